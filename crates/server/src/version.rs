//! The version that the server tells of itself.
//!
//! Tools read the version of ZooKeeper from its first three numbers, so these are the ones of the
//! ZooKeeper whose behaviour is followed; what server it really is stands behind them.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::sync::LazyLock;

/// The version of ZooKeeper that the server takes the place of.
pub(crate) const ZOOKEEPER: &str = "3.9.5";

/// The server's own version.
pub(crate) const OWN: &str = env!("CARGO_PKG_VERSION");

/// Such as `3.9.5-ostler-0.1.0, built on 2026-02-11 20:18 UTC`.
pub(crate) fn full() -> &'static str {
    static FULL: LazyLock<String> = LazyLock::new(|| {
        let built_s = env!("OSTLER_BUILT_AT_S").parse().unwrap_or(0);
        let built = Timestamp::from_second(built_s).unwrap_or(Timestamp::UNIX_EPOCH);
        let built = built.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M UTC");
        format!("{ZOOKEEPER}-ostler-{OWN}, built on {built}")
    });
    &FULL
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_is_the_one_that_tools_take_apart() {
        let (version, built) = full().split_once(", built on ").expect("both parts");
        assert_eq!(version, format!("3.9.5-ostler-{OWN}"));
        let shape: String =
            built.chars().map(|char| if char.is_ascii_digit() { '0' } else { char }).collect();
        assert_eq!(shape, "0000-00-00 00:00 UTC");
    }
}
