//! The data of quota znodes: limits that somebody set, or what is in use.
//!
//! ```text
//! count=2,bytes=100                                           no hard limits
//! count=2,bytes=100=;byteHardLimit=120;countHardLimit=3       with them, sorted
//! ```
//!
//! -1 is no limit. The `=` before the first `;` makes servers of old, which know no hard limits,
//! pass over them.

use std::collections::BTreeMap;

/// Numbers by their names.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Quota {
    values: BTreeMap<String, i64>,
}

/// The names of the four limits.
pub(super) const COUNT: &str = "count";
/// Bytes, soft.
pub(super) const BYTES: &str = "bytes";
/// Znodes, enforced.
pub(super) const COUNT_HARD: &str = "countHardLimit";
/// Bytes, enforced.
pub(super) const BYTES_HARD: &str = "byteHardLimit";

impl Quota {
    /// All limits there are, none of them set.
    pub(super) fn unlimited() -> Self {
        let mut quota = Self::default();
        for name in [COUNT, BYTES, COUNT_HARD, BYTES_HARD] {
            quota.set(name, -1);
        }
        quota
    }

    /// Reads the data of a quota znode. What is no number counts as no limit.
    pub(super) fn parse(data: &[u8]) -> Self {
        let text = String::from_utf8_lossy(data);
        let mut quota = Self::default();
        for pair in text.split([',', ';']).filter(|pair| !pair.is_empty()) {
            // What stands behind a second `=` is nothing.
            let mut parts = pair.split('=');
            if let (Some(name), Some(value)) = (parts.next(), parts.next()) {
                quota.set(name, value.parse().unwrap_or(-1));
            }
        }
        quota
    }

    /// The value with this name; -1 if there is none.
    pub(super) fn value(&self, name: &str) -> i64 {
        self.values.get(name).copied().unwrap_or(-1)
    }

    /// Sets a value.
    pub(super) fn set(&mut self, name: &str, value: i64) {
        self.values.insert(name.to_string(), value);
    }

    /// As it is stored and shown.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{COUNT}={},{BYTES}={}", self.value(COUNT), self.value(BYTES));
        let mut separator = "=;";
        for (name, value) in &self.values {
            if name != COUNT && name != BYTES {
                text.push_str(&format!("{separator}{name}={value}"));
                separator = ";";
            }
        }
        text
    }

    /// What there is to warn of when these limits are set while `usage` is in use already.
    pub(super) fn exceeded_by(&self, usage: &Self) -> Vec<String> {
        let mut warnings = Vec::new();
        for (soft, hard) in [(COUNT, COUNT_HARD), (BYTES, BYTES_HARD)] {
            let used = usage.value(soft);
            let is_below = |limit: i64| limit > -1 && limit < used;
            if is_below(self.value(soft)) || is_below(self.value(hard)) {
                warnings.push(format!(
                    "[Warning]: the {soft} quota you create is less than the existing {soft}:{used}"
                ));
            }
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_are_written_as_they_were_read() {
        for text in [
            "count=2,bytes=100",
            "count=-1,bytes=-1=;byteHardLimit=120;countHardLimit=3",
            "count=0,bytes=5=;byteHardLimit=-1",
        ] {
            assert_eq!(Quota::parse(text.as_bytes()).text(), text);
        }
        assert_eq!(Quota::parse(b"count=x,,;bytes").text(), "count=-1,bytes=-1");
        assert_eq!(
            Quota::unlimited().text(),
            "count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=-1"
        );
    }

    #[test]
    fn limits_below_the_usage_are_warned_of() {
        let usage = Quota::parse(b"count=3,bytes=10");
        let warnings = |text: &str| Quota::parse(text.as_bytes()).exceeded_by(&usage);
        assert!(warnings("count=3,bytes=-1").is_empty());
        assert_eq!(
            warnings("count=2,bytes=100=;byteHardLimit=9"),
            [
                "[Warning]: the count quota you create is less than the existing count:3",
                "[Warning]: the bytes quota you create is less than the existing bytes:10",
            ]
        );
    }
}
