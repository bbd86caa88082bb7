//! Texts as Java makes them: dates, records, JSON, Base64.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use ostler_wire::acl::Acl;
use ostler_wire::ids::WallMs;

/// The local time zone, looked up once.
pub(crate) struct Dates(TimeZone);

impl Dates {
    pub(crate) fn local() -> Self {
        Self(TimeZone::try_system().unwrap_or(TimeZone::UTC))
    }

    #[cfg(test)]
    pub(crate) fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// As `Date.toString`: `Sat Nov 21 20:42:06 UTC 2026`.
    pub(crate) fn plain(&self, time: WallMs) -> String {
        self.format(time, "%a %b %d %H:%M:%S %Z %Y")
    }

    /// A short date and a long time of American English: `11/21/26, 8:42:06 PM UTC`.
    pub(crate) fn short(&self, time: WallMs) -> String {
        self.format(time, "%-m/%-d/%y, %-I:%M:%S %p %Z")
    }

    /// Date and time of American English, neither short nor long: `Nov 21, 2026, 8:42:06 PM`.
    pub(crate) fn medium(&self, time: WallMs) -> String {
        self.format(time, "%b %-d, %Y, %-I:%M:%S %p")
    }

    fn format(&self, time: WallMs, format: &str) -> String {
        match Timestamp::from_millisecond(time.0) {
            Ok(time) => time.to_zoned(self.0.clone()).strftime(format).to_string(),
            // A time that no calendar has is still told.
            Err(_) => format!("{} ms", time.0),
        }
    }
}

/// A text inside a record.
// Java: ToStringOutputArchive.escapeString.
pub(crate) fn put_text(out: &mut String, text: &str) {
    out.push('\'');
    for character in text.chars() {
        match character {
            '\0' => out.push_str("%00"),
            '\n' => out.push_str("%0A"),
            '\r' => out.push_str("%0D"),
            ',' => out.push_str("%2C"),
            '}' => out.push_str("%7D"),
            '%' => out.push_str("%25"),
            other => out.push(other),
        }
    }
}

/// A list of ACL entries that stands alone: each entry is a record and ends its line.
pub(crate) fn put_acl_list(out: &mut String, list: &[Acl]) {
    out.push('[');
    for (at, entry) in list.iter().enumerate() {
        out.push_str(if at == 0 { "" } else { ", " });
        put_acl(out, entry);
        out.push('\n');
    }
    out.push(']');
}

/// A list of ACL entries inside a record.
pub(crate) fn put_acl_vector(out: &mut String, list: &[Acl]) {
    out.push_str("v{");
    for (at, entry) in list.iter().enumerate() {
        out.push_str(if at == 0 { "s{" } else { ",s{" });
        put_acl(out, entry);
        out.push('}');
    }
    out.push('}');
}

fn put_acl(out: &mut String, entry: &Acl) {
    let _ = write!(out, "{},s{{", entry.perms.0);
    put_text(out, &entry.id.scheme);
    out.push(',');
    put_text(out, &entry.id.id);
    out.push('}');
}

/// The inside of a JSON string.
pub(crate) fn put_json(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            control if control < ' ' => {
                let _ = write!(out, "\\u{:04X}", u32::from(control));
            }
            other => out.push(other),
        }
    }
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ostler_wire::acl::{Id, Perms};

    #[test]
    fn dates_are_those_of_american_english() {
        let (dates, evening) = (Dates::utc(), WallMs(1_795_293_726_123));
        assert_eq!(dates.plain(evening), "Sat Nov 21 20:42:06 UTC 2026");
        assert_eq!(dates.short(evening), "11/21/26, 8:42:06 PM UTC");
        assert_eq!(dates.medium(evening), "Nov 21, 2026, 8:42:06 PM");
        let epoch = WallMs(0);
        assert_eq!(dates.plain(epoch), "Thu Jan 01 00:00:00 UTC 1970");
        assert_eq!(dates.short(epoch), "1/1/70, 12:00:00 AM UTC");
        assert_eq!(dates.plain(WallMs(i64::MAX)), format!("{} ms", i64::MAX));
    }

    #[test]
    fn lists_differ_by_where_they_stand() {
        let entry = |perms, scheme, id| Acl { perms: Perms(perms), id: Id::new(scheme, id) };
        let list = [entry(31, "world", "anyone"), entry(1, "digest", "a,b:}%")];
        let (mut alone, mut inside) = (String::new(), String::new());
        put_acl_list(&mut alone, &list);
        put_acl_vector(&mut inside, &list);
        assert_eq!(alone, "[31,s{'world,'anyone}\n, 1,s{'digest,'a%2Cb:%7D%25}\n]");
        assert_eq!(inside, "v{s{31,s{'world,'anyone}},s{1,s{'digest,'a%2Cb:%7D%25}}}");
    }

    #[test]
    fn json_hides_what_it_must() {
        let mut text = String::new();
        put_json(&mut text, "a\"\\\u{1f}\nü");
        assert_eq!(text, "a\\\"\\\\\\u001F\\nü");
    }
}
