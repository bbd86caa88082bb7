//! Whether a text has the shape of a distinguished name: ids of the scheme `x509`.
//!
//! ```text
//! name  = part *( ("," / ";") part )       an empty text is a name too
//! part  = pair *( "+" pair )
//! pair  = key "=" value                    blanks around both do not count
//! value = "#" DER in hex / quoted / characters, special ones behind a backslash
//! ```
//!
//! Only the shape is looked at; ids are compared as they are written.
// Java: X500Principal, which takes more than RFC 2253: `;`, `OID.` and the keys below.

/// Whether the text is a distinguished name.
pub(super) fn is_distinguished_name(text: &str) -> bool {
    text.is_empty() || is_name(text).is_some()
}

fn is_name(text: &str) -> Option<()> {
    let mut rest = text;
    loop {
        let (key, behind) = rest.split_once('=')?;
        if !is_key(key.trim_matches(BLANKS)) {
            return None;
        }
        let behind = behind.trim_start_matches(BLANKS);
        let behind = match behind.chars().next() {
            Some('"') => skip_quoted(behind)?,
            Some('#') => skip_hex(behind)?,
            _ => skip_plain(behind)?,
        };
        if behind.is_empty() {
            return Some(());
        }
        rest = behind.strip_prefix(SEPARATORS)?;
    }
}

fn is_key(key: &str) -> bool {
    KEYS.iter().any(|known| known.eq_ignore_ascii_case(key)) || is_object_id(key).is_some()
}

fn is_object_id(key: &str) -> Option<()> {
    let numbers = match key.split_at_checked(4) {
        Some((prefix, numbers)) if prefix.eq_ignore_ascii_case("OID.") => numbers,
        _ => key,
    };
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !numbers.split('.').all(all_digits) {
        return None;
    }
    let mut parts = numbers.split('.');
    let first: u32 = parts.next()?.parse().ok()?;
    // The first two share a byte; only below 2 is the second one limited by that.
    let second_fits = |second: &str| second.parse::<u32>().is_ok_and(|number| number < 40);
    let second = parts.next()?;
    (first == 2 || first < 2 && second_fits(second)).then_some(())
}

/// Behind the closing quote.
fn skip_quoted(text: &str) -> Option<&str> {
    let mut inside = text.strip_prefix('"')?;
    loop {
        let (at, end) = inside.match_indices(['"', '\\']).next()?;
        let behind = &inside[at + 1..];
        if end == "\"" {
            return Some(behind.trim_start_matches(BLANKS));
        }
        inside = skip_escaped(behind)?;
    }
}

/// Behind a value that is written as its bytes: a tag, a length, and as much as it says.
fn skip_hex(text: &str) -> Option<&str> {
    let text = text.strip_prefix('#')?;
    let digits = text.bytes().take_while(u8::is_ascii_hexdigit).count();
    let (digits, behind) = text.split_at(digits);
    let length = digits.get(2..4).and_then(|length| usize::from_str_radix(length, 16).ok())?;
    let whole = length < 0x80 && digits.len() == 4 + 2 * length;
    whole.then_some(behind.trim_start_matches(BLANKS))
}

/// Behind a value without quotes.
fn skip_plain(text: &str) -> Option<&str> {
    let mut rest = text;
    loop {
        let Some(next) = rest.chars().next() else { return Some(rest) };
        let behind = &rest[next.len_utf8()..];
        rest = match next {
            ',' | ';' | '+' => return Some(rest),
            '<' | '>' | '"' => return None,
            '\\' => skip_escaped(behind)?,
            _ => behind,
        };
    }
}

/// Behind what a backslash stands for: a special character, or a byte in hex.
fn skip_escaped(behind: &str) -> Option<&str> {
    let next = behind.chars().next()?;
    if SPECIAL.contains(&next) {
        return Some(&behind[next.len_utf8()..]);
    }
    let (byte, rest) = behind.split_at_checked(2)?;
    byte.bytes().all(|b| b.is_ascii_hexdigit()).then_some(rest)
}

const BLANKS: [char; 2] = [' ', '\n'];
const SEPARATORS: [char; 3] = [',', ';', '+'];
const SPECIAL: [char; 11] = [',', ';', '+', '=', '<', '>', '#', '"', '\\', ' ', '\n'];

/// What Java has a name for; everything else is written as an object id.
const KEYS: [&str; 21] = [
    "C",
    "CN",
    "DC",
    "DNQ",
    "DNQUALIFIER",
    "EMAIL",
    "EMAILADDRESS",
    "GENERATION",
    "GIVENNAME",
    "INITIALS",
    "IP",
    "L",
    "O",
    "OU",
    "S",
    "SERIALNUMBER",
    "ST",
    "STREET",
    "SURNAME",
    "T",
    "UID",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        let valid = "CN cn C L S ST O OU T IP STREET DC DNQUALIFIER DNQ SURNAME GIVENNAME INITIALS \
             GENERATION EMAIL EMAILADDRESS UID SERIALNUMBER 2.5.4.3 OID.2.5.4.3 Oid.2.5.4.3 2.999 \
             1.39 2.05.4";
        for key in valid.split_whitespace() {
            assert!(is_distinguished_name(&alloc::format!("{key}=1")), "{key}");
        }
        for key in ["TITLE", "SN", "E", "OID", "3.1", "0.40", "2.5.4.x", "1", "", "CN CN", "2..5"] {
            assert!(!is_distinguished_name(&alloc::format!("{key}=1")), "{key}");
        }
    }

    #[test]
    fn values() {
        for value in [
            "a",
            "",
            "a ",
            "a\\ ",
            "\\#a",
            "#0c0161",
            "\"a\"",
            "\"a\" ",
            "\"a\\\"b\"",
            "\"a,b;c+d\"",
            "a\\\\",
            "a\\;",
            "a\\41",
            "a\\<",
            "a;CN=b",
            "a,CN=b",
            "a+CN=b",
            " a , CN = b ",
            "a\nb",
            "é",
            "=",
            "a=b",
            "a\\ ,CN=b",
            "a,CN=",
            "\"\"",
            "\"a\"+CN=b",
        ] {
            assert!(is_distinguished_name(&alloc::format!("CN={value}")), "{value:?}");
        }
        for value in [
            "#",
            "#0401",
            "#13016",
            "#zz,CN=b",
            "#0",
            "\"a\"b",
            "a\\4",
            "a\\4g",
            "a\"b",
            "a<",
            "a>b",
            "a;",
            "a+",
            "a,",
            "a+b",
            "\\e",
            "a,CN",
            "\\",
            "\"",
            "a;;CN=b",
            "\"a\"xCN=b",
        ] {
            assert!(!is_distinguished_name(&alloc::format!("CN={value}")), "{value:?}");
        }
        assert!(is_distinguished_name(""));
        for text in [" ", "joe", "=x", ",CN=a", "CN=a,,O=b"] {
            assert!(!is_distinguished_name(text), "{text:?}");
        }
    }
}
