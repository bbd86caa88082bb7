//! The syntax of Java's `.properties` files, with line numbers.
//!
//! It knows nothing of ZooKeeper's keys. Rules:
//! - bytes are ISO-8859-1, so decoding cannot fail; other characters are written `\uXXXX`;
//! - lines end in LF, CR or CRLF; a line that is blank, or starts (after blanks) with `#` or `!`,
//!   is skipped; an odd number of backslashes at the end continues the line on the next one,
//!   whose leading blanks are dropped, and which is never a comment;
//! - the key ends at the first unescaped `=`, `:` or blank; blanks around one `=` or `:` are
//!   dropped; the rest is the value;
//! - a repeated key keeps its last value;
//! - keys and values are trimmed, as ZooKeeper does after Java's parser.

use std::collections::BTreeSet;

/// One `key = value` of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// The key, unescaped and trimmed.
    pub key: String,
    /// The value, unescaped and trimmed; may be empty.
    pub value: String,
    /// The line on which the key starts, counted from 1.
    pub line: u32,
}

/// Text that is not a properties file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// The line on which the offending entry starts, counted from 1.
    pub line: u32,
    /// What is wrong.
    pub reason: &'static str,
}

/// Reads all entries, in file order; of a repeated key only the last is kept.
///
/// # Errors
/// Only a `\u` that is not followed by four hexadecimal digits.
pub fn parse(bytes: &[u8]) -> Result<Vec<Property>, SyntaxError> {
    let mut properties: Vec<Property> = Vec::new();
    for (line, text) in logical_lines(bytes) {
        let (key, value) = split_key(&text);
        let unescaped = |part| unescape(part).map_err(|reason| SyntaxError { line, reason });
        let key = trim(&unescaped(key)?).to_owned();
        let value = trim(&unescaped(value)?).to_owned();
        properties.push(Property { key, value, line });
    }
    let mut seen = BTreeSet::new();
    properties.reverse();
    properties.retain(|property| seen.insert(property.key.clone()));
    properties.reverse();
    Ok(properties)
}

/// Joins continued lines and drops blank lines and comments. Escapes are left as they are, except
/// for the line ends that they hide.
fn logical_lines(bytes: &[u8]) -> Vec<(u32, Vec<char>)> {
    let mut lines = Vec::new();
    let mut open: Option<(u32, Vec<char>)> = None;
    for (number, natural) in (1_u32..).zip(natural_lines(bytes)) {
        let text = natural.trim_start_matches(is_blank);
        let (line, mut joined) = match open.take() {
            Some(continued) => continued,
            None if text.is_empty() || text.starts_with(['#', '!']) => continue,
            None => (number, Vec::new()),
        };
        joined.extend(text.chars());
        let backslashes = joined.iter().rev().take_while(|&&c| c == '\\').count();
        if backslashes % 2 == 1 {
            joined.pop();
            // With nothing before the backslash the next line is a line of its own.
            open = Some((line, joined)).filter(|(_, joined)| !joined.is_empty());
        } else {
            lines.push((line, joined));
        }
    }
    lines.extend(open);
    lines
}

fn natural_lines(bytes: &[u8]) -> Vec<String> {
    let text: String = bytes.iter().map(|&byte| char::from(byte)).collect();
    text.replace("\r\n", "\n").split(['\n', '\r']).map(str::to_owned).collect()
}

fn split_key(text: &[char]) -> (&[char], &[char]) {
    let mut escaped = false;
    let end = text.iter().position(|&c| {
        let ends = !escaped && (c == '=' || c == ':' || is_blank(c));
        escaped = c == '\\' && !escaped;
        ends
    });
    let (key, rest) = text.split_at(end.unwrap_or(text.len()));
    let value = skip_blanks(rest);
    match value.split_first() {
        Some(('=' | ':', value)) => (key, skip_blanks(value)),
        _ => (key, value),
    }
}

fn skip_blanks(text: &[char]) -> &[char] {
    let blanks = text.iter().take_while(|&&c| is_blank(c)).count();
    text.split_at(blanks).1
}

fn unescape(text: &[char]) -> Result<String, &'static str> {
    // UTF-16, because a character outside the basic plane is written as two escapes.
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut rest = text.iter().copied();
    while let Some(c) = rest.next() {
        let plain = match c {
            '\\' => match rest.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\u{c}',
                Some('u') => {
                    units.push(hex_unit(rest.by_ref().take(4))?);
                    continue;
                }
                Some(other) => other,
                None => break,
            },
            plain => plain,
        };
        units.extend_from_slice(plain.encode_utf16(&mut [0; 2]));
    }
    Ok(String::from_utf16_lossy(&units))
}

fn hex_unit(digits: impl Iterator<Item = char>) -> Result<u16, &'static str> {
    let malformed = "Malformed \\uxxxx encoding.";
    let digits: String = digits.collect();
    if digits.len() != 4 || digits.starts_with('+') {
        return Err(malformed);
    }
    u16::from_str_radix(&digits, 16).map_err(|_| malformed)
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

// Java: String.trim, which takes every character up to the blank for white space.
fn trim(text: &str) -> &str {
    text.trim_matches(|c| c <= ' ')
}

#[cfg(test)]
mod tests {
    use super::parse;

    /// Renders the entries as `line:key=value` joined by `|`.
    fn check(input: &str, expect: &str) {
        let latin1: Vec<u8> = input.chars().map(|c| u8::try_from(c).expect("latin 1")).collect();
        let found = match parse(&latin1) {
            Ok(properties) => properties
                .iter()
                .map(|p| format!("{}:{}={}", p.line, p.key, p.value))
                .collect::<Vec<_>>()
                .join("|"),
            Err(error) => format!("{}! {}", error.line, error.reason),
        };
        assert_eq!(found, expect, "input {input:?}");
    }

    #[test]
    fn separators_and_blanks() {
        check("a=1\nb:2\nc 3\nd\t=\t4\n", "1:a=1|2:b=2|3:c=3|4:d=4");
        check("server.1:host:2888:3888", "1:server.1=host:2888:3888");
        check("server.1=h:1:2;3", "1:server.1=h:1:2;3");
        check("  a  =  b c  \t\n", "1:a=b c");
        check("a = = b", "1:a== b");
        check("alone\n", "1:alone=");
        check("=value", "1:=value");
        check("", "");
    }

    #[test]
    fn comments_blank_lines_and_line_ends() {
        check("# a=1\n ! b=2\n\n \t\nc=3", "5:c=3");
        check("a=1 # kept", "1:a=1 # kept");
        check("a=1\r\nb=2\rc=3\n", "1:a=1|2:b=2|3:c=3");
        check("# no continuation \\\na=1", "2:a=1");
    }

    #[test]
    fn continuation() {
        check("a=1,\\\n   2\nb=3", "1:a=1,2|3:b=3");
        check("a=1\\\\\nb=2", "1:a=1\\|2:b=2");
        check("a=\\\n# part of a", "1:a=# part of a");
        check("a=1\\", "1:a=1");
        check("\\\n", "");
        check("\\\n# no part of anything", "");
    }

    #[test]
    fn escapes() {
        check("a\\=b\\:c\\ d=e", "1:a=b:c d=e");
        check("a=\\u0041\\u00e9\\ud83d\\ude00\\q", "1:a=A\u{e9}\u{1f600}q");
        check("a=x\\ty", "1:a=x\ty");
        check("dir=C:\\\\zk", "1:dir=C:\\zk");
        check("dir=/caf\u{e9}", "1:dir=/caf\u{e9}");
        check("ok=1\na=\\u00g0", "2! Malformed \\uxxxx encoding.");
        check("a=\\u+123", "1! Malformed \\uxxxx encoding.");
        check("a=\\u12", "1! Malformed \\uxxxx encoding.");
    }

    #[test]
    fn last_value_wins() {
        check("a=1\nb=2\na=3", "2:b=2|3:a=3");
        check("a=1\na =3", "2:a=3");
    }
}
