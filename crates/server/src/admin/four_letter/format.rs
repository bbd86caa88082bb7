//! Dates, addresses and fractions as texts from Java have them.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ostler_wire::ids::WallMs;
use std::net::{IpAddr, SocketAddr};

/// The zone of the machine; UTC where it does not say, as in many containers.
pub(super) fn local_zone() -> TimeZone {
    let zone = TimeZone::system();
    if zone.is_unknown() { TimeZone::UTC } else { zone }
}

/// Such as `Sat Nov 21 19:19:44 UTC 2026`.
// Java: Date.toString.
pub(super) fn date(at: WallMs, zone: &TimeZone) -> String {
    let at = Timestamp::from_millisecond(at.0).unwrap_or(Timestamp::UNIX_EPOCH);
    at.to_zoned(zone.clone()).strftime("%a %b %d %H:%M:%S %Z %Y").to_string()
}

/// Such as `/127.0.0.1:53864` and `/[0:0:0:0:0:0:0:1]:53864`.
///
/// The slash is what stands behind a host's name, if it has been looked up.
// Java: InetSocketAddress.toString.
pub(super) fn address(address: SocketAddr) -> String {
    match address.ip() {
        IpAddr::V4(ip) => format!("/{ip}:{}", address.port()),
        IpAddr::V6(ip) => {
            // No run of zeros is left out.
            let groups = ip.segments().map(|group| format!("{group:x}")).join(":");
            let scope = match address {
                SocketAddr::V6(address) if address.scope_id() != 0 => {
                    format!("%{}", address.scope_id())
                }
                _ => String::new(),
            };
            format!("/[{groups}{scope}]:{}", address.port())
        }
    }
}

/// A fraction with a point: `0.0`, `1.814`, `1.0E-4`.
// Java: Double.toString.
pub(super) fn double(value: f64) -> String {
    if value == 0.0 || (1e-3..1e7).contains(&value.abs()) {
        return format!("{value:?}");
    }
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((digits, exponent)) if digits.contains('.') => format!("{digits}E{exponent}"),
        Some((digits, exponent)) => format!("{digits}.0E{exponent}"),
        None => text,
    }
}

/// Rounded to four places behind the point, halves upwards; for values from 0 on.
// Java: AvgMinMaxCounter.getAvg.
pub(super) fn four_places(value: f64) -> f64 {
    // Formatting rounds exact halves to the even neighbour. Such a value is a multiple of 1/32.
    let is_half = (value * 32.0).fract() == 0.0;
    let value = if is_half { value + 1e-9 } else { value };
    format!("{value:.4}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_in_the_zone() {
        let at = WallMs(1_795_288_784_000);
        assert_eq!(date(at, &TimeZone::UTC), "Sat Nov 21 19:19:44 UTC 2026");
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("a zone");
        assert_eq!(date(at, &berlin), "Sat Nov 21 20:19:44 CET 2026");
        assert_eq!(date(WallMs(1_780_524_123_456), &berlin), "Thu Jun 04 00:02:03 CEST 2026");
    }

    #[test]
    fn addresses_are_written_out() {
        for (given, expected) in [
            ("127.0.0.1:2181", "/127.0.0.1:2181"),
            ("[::1]:51192", "/[0:0:0:0:0:0:0:1]:51192"),
            ("[2001:db8::a0:ff]:1", "/[2001:db8:0:0:0:0:a0:ff]:1"),
            ("[fe80::1%2]:1", "/[fe80:0:0:0:0:0:0:1%2]:1"),
        ] {
            assert_eq!(address(given.parse().expect("an address")), expected);
        }
    }

    #[test]
    fn fractions_equal_javas() {
        for (total, count, expected) in [
            (0.0, 1.0, "0.0"),
            (8.0, 2.0, "4.0"),
            (16.0, 10.0, "1.6"),
            (20.0, 3.0, "6.6667"),
            (2.0, 3.0, "0.6667"),
            (1.0, 32.0, "0.0313"),
            (3.0, 32.0, "0.0938"),
            (5.0, 32.0, "0.1563"),
            (1.0, 10_000.0, "1.0E-4"),
            (3.0, 2000.0, "0.0015"),
            (99.0, 100_000.0, "0.001"),
            (1.0, 30_000.0, "0.0"),
            (12_345_678.0, 1.0, "1.2345678E7"),
        ] {
            assert_eq!(double(four_places(total / count)), expected, "{total}/{count}");
        }
    }
}
