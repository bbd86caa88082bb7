//! How the shell writes what it got: stats, dates, access control lists, bytes, lists of names.
//!
//! Everything here is text that scripts cut apart, so it is Apache's to the byte.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ostler_wire::acl::{Acl, Perms};
use ostler_wire::stat::Stat;

/// The eleven lines of a stat, each with its end.
pub(super) fn stat(stat: &Stat) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = writeln!(text, "cZxid = {:#x}", stat.czxid.0);
    let _ = writeln!(text, "ctime = {}", date(stat.ctime.0));
    let _ = writeln!(text, "mZxid = {:#x}", stat.mzxid.0);
    let _ = writeln!(text, "mtime = {}", date(stat.mtime.0));
    let _ = writeln!(text, "pZxid = {:#x}", stat.pzxid.0);
    let _ = writeln!(text, "cversion = {}", stat.cversion);
    let _ = writeln!(text, "dataVersion = {}", stat.version);
    let _ = writeln!(text, "aclVersion = {}", stat.aversion);
    let _ = writeln!(text, "ephemeralOwner = {:#x}", stat.ephemeral_owner.0);
    let _ = writeln!(text, "dataLength = {}", stat.data_length);
    let _ = writeln!(text, "numChildren = {}", stat.num_children);
    text
}

/// A time in milliseconds since 1970, in the local time zone: `Sat Nov 21 19:17:57 UTC 2026`.
pub(super) fn date(time_ms: i64) -> String {
    date_in(time_ms, TimeZone::system())
}

fn date_in(time_ms: i64, zone: TimeZone) -> String {
    // Java: Date.toString. A time outside the years that can be written out stays a number.
    Timestamp::from_millisecond(time_ms).map_or_else(
        |_| format!("{time_ms} ms"),
        |time| time.to_zoned(zone).strftime("%a %b %d %H:%M:%S %Z %Y").to_string(),
    )
}

/// The entries of an access control list, two lines each.
pub(super) fn acl(list: &[Acl]) -> String {
    let mut text = String::new();
    for entry in list {
        // The first line end is in Java's text of an id, which record classes print like that.
        let _ = writeln!(
            text,
            "'{},'{}\n: {}",
            csv(&entry.id.scheme),
            csv(&entry.id.id),
            perms(entry.perms)
        );
    }
    text
}

/// Java: jute's text format of strings, in which ids are printed.
fn csv(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '\0' => escaped.push_str("%00"),
            '\n' => escaped.push_str("%0A"),
            '\r' => escaped.push_str("%0D"),
            ',' => escaped.push_str("%2C"),
            '}' => escaped.push_str("%7D"),
            '%' => escaped.push_str("%25"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// `cdrwa`, without what is not allowed.
pub(super) fn perms(perms: Perms) -> String {
    LETTERS.iter().filter(|(_, perm)| perms.intersects(*perm)).map(|(letter, _)| letter).collect()
}

/// The letters of permissions, in the order in which they are printed.
pub(super) const LETTERS: &[(char, Perms)] = &[
    ('c', Perms::CREATE),
    ('d', Perms::DELETE),
    ('r', Perms::READ),
    ('w', Perms::WRITE),
    ('a', Perms::ADMIN),
];

/// `[a, b, c]`.
pub(super) fn list(names: &[String]) -> String {
    format!("[{}]", names.join(", "))
}

/// Bytes as hexadecimal numbers and as text, sixteen a line, in a frame; nothing of nothing. No
/// line end behind the last line.
pub(super) fn hex_dump(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return String::new();
    }
    let frame = format!("+--------+{}+{}+", "-".repeat(49), "-".repeat(16));
    let mut text = format!(
        "         +{0}+\n         |  0  1  2  3  4  5  6  7  8  9  a  b  c  d  e  f |\n{frame}\n",
        "-".repeat(49)
    );
    for (number, row) in bytes.chunks(16).enumerate() {
        let hex: String = row.iter().map(|byte| format!(" {byte:02x}")).collect();
        let plain: String = row.iter().map(|byte| plain_char(*byte)).collect();
        let _ = writeln!(text, "|{:08x}|{hex:48} |{plain:16}|", number * 16);
    }
    text + &frame
}

fn plain_char(byte: u8) -> char {
    if (0x20..0x7f).contains(&byte) { char::from(byte) } else { '.' }
}

/// A number of bytes for people: `17`, `1.2K`, `34M`.
pub(super) fn size(bytes: u64) -> String {
    let mut unit = 1_u64;
    let mut letter = "";
    for next in ["K", "M", "G", "T"] {
        if bytes < unit * 1024 {
            break;
        }
        unit *= 1024;
        letter = next;
    }
    let tenths = bytes * 10 / unit;
    if letter.is_empty() || tenths >= 100 {
        format!("{}{letter}", bytes / unit)
    } else {
        format!("{}.{}{letter}", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use ostler_wire::acl::Id;
    use ostler_wire::ids::{SessionId, WallMs, Zxid};

    use super::*;

    #[test]
    fn a_stat_has_eleven_lines() {
        let text = stat(&Stat {
            czxid: Zxid(0x1_0000_0002),
            mzxid: Zxid(3),
            ctime: WallMs(0),
            mtime: WallMs(0),
            version: -1,
            cversion: 2,
            aversion: 1,
            ephemeral_owner: SessionId(i64::MIN),
            data_length: 5,
            num_children: 1,
            pzxid: Zxid(4),
        });
        let lines: Vec<&str> = text.lines().filter(|line| !line.contains("time = ")).collect();
        assert_eq!(
            lines,
            [
                "cZxid = 0x100000002",
                "mZxid = 0x3",
                "pZxid = 0x4",
                "cversion = 2",
                "dataVersion = -1",
                "aclVersion = 1",
                "ephemeralOwner = 0x8000000000000000",
                "dataLength = 5",
                "numChildren = 1",
            ]
        );
    }

    #[test]
    fn dates_are_java_s_in_the_local_zone() {
        let time_ms = 1_795_288_677_123;
        assert_eq!(date_in(time_ms, TimeZone::UTC), "Sat Nov 21 19:17:57 UTC 2026");
        assert_eq!(date_in(0, TimeZone::UTC), "Thu Jan 01 00:00:00 UTC 1970");
        let zone = TimeZone::get("Europe/Berlin").expect("a zone of the database");
        assert_eq!(date_in(time_ms, zone), "Sat Nov 21 20:17:57 CET 2026");
        assert_eq!(date_in(i64::MAX, TimeZone::UTC), "9223372036854775807 ms");
    }

    #[test]
    fn an_acl_has_two_lines_an_entry() {
        let list = [
            Acl { perms: Perms::ALL, id: Id::new("world", "anyone") },
            Acl { perms: Perms(3), id: Id::new("digest", "joe:a,b%=") },
        ];
        assert_eq!(acl(&list), "'world,'anyone\n: cdrwa\n'digest,'joe:a%2Cb%25=\n: rw\n");
    }

    #[test]
    fn bytes_are_framed() {
        assert_eq!(hex_dump(b""), "");
        assert_eq!(
            hex_dump(b"hi\n"),
            "         +-------------------------------------------------+\n\
             \x20        |  0  1  2  3  4  5  6  7  8  9  a  b  c  d  e  f |\n\
             +--------+-------------------------------------------------+----------------+\n\
             |00000000| 68 69 0a                                        |hi.             |\n\
             +--------+-------------------------------------------------+----------------+"
        );
        assert_eq!(hex_dump(&[b'x'; 17]).lines().count(), 6);
    }

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [
            (0, "0"),
            (1023, "1023"),
            (1024, "1.0K"),
            (10_240, "10K"),
            (1_572_864, "1.5M"),
            (u64::from(u32::MAX), "3.9G"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
