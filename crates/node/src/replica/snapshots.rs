//! When to write a snapshot: after a random number of transactions or bytes of log, so that the
//! servers of an ensemble do not all do it at once.

use crate::rng::Rng;

/// Counts what was logged since the log was rolled.
// Java: SyncRequestProcessor.shouldSnapshot.
#[derive(Debug)]
pub(super) struct SnapshotTrigger {
    /// At most so many transactions; at least half of it.
    txns_max: u64,
    /// At most so many bytes, at least half of it; 0 is no limit.
    bytes_max: u64,
    txns: u64,
    bytes: u64,
    txns_limit: u64,
    bytes_limit: u64,
}

impl SnapshotTrigger {
    /// `txns` were logged since the last snapshot that there is.
    pub(super) fn new(txns_max: u64, bytes_max: u64, txns: u64, rng: &mut Rng) -> Self {
        let mut trigger =
            Self { txns_max, bytes_max, txns, bytes: 0, txns_limit: 0, bytes_limit: 0 };
        trigger.draw(rng);
        trigger
    }

    /// Counts a transaction; true if the log should be rolled and a snapshot written now.
    pub(super) fn logged(&mut self, bytes: usize, rng: &mut Rng) -> bool {
        self.txns += 1;
        self.bytes += bytes as u64;
        let due =
            self.txns > self.txns_limit || (self.bytes_max > 0 && self.bytes > self.bytes_limit);
        if due {
            self.txns = 0;
            self.bytes = 0;
            self.draw(rng);
        }
        due
    }

    /// Counts from here on: the log was rolled for another reason.
    pub(super) fn begin_anew(&mut self) {
        (self.txns, self.bytes) = (0, 0);
    }

    fn draw(&mut self, rng: &mut Rng) {
        self.txns_limit = self.txns_max / 2 + rng.below(self.txns_max / 2);
        self.bytes_limit = self.bytes_max / 2 + rng.below(self.bytes_max / 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_between_half_of_the_limit_and_the_limit() {
        let mut rng = Rng::new(3);
        let mut trigger = SnapshotTrigger::new(100, 0, 0, &mut rng);
        for _ in 0..50 {
            let txns = (1..).find(|_| trigger.logged(1000, &mut rng)).unwrap();
            assert!((51..=100).contains(&txns), "{txns}");
        }
    }

    #[test]
    fn comes_by_bytes_too() {
        let mut rng = Rng::new(3);
        let mut trigger = SnapshotTrigger::new(u64::MAX, 1000, 0, &mut rng);
        let txns = (1..).find(|_| trigger.logged(10, &mut rng)).unwrap();
        assert!((51..=100).contains(&txns), "{txns}");
    }
}
