//! The newest transactions, in memory: what a learner that was away for a while may lack.
//!
//! Holds what was logged, committed or not, without gaps inside an epoch. It is bounded: who lacks
//! more than it holds gets a snapshot. It never reaches back over a snapshot that was received or
//! over a cut: what lies on disk behind such a seam may be another leader's.

use alloc::collections::VecDeque;
use alloc::sync::Arc;

use ostler_wire::ids::Zxid;

/// A transaction as it stands in the log and in a proposal: header, transaction, digest.
pub type TxnBody = Arc<[u8]>;

/// The newest transactions of one server.
#[derive(Debug)]
pub struct History {
    /// Where it begins: who has exactly this lacks nothing but the entries. `None` if that is not
    /// known, as it is when only the end of a log was read.
    ///
    /// Invariant: below the first entry.
    base: Option<Zxid>,
    /// Invariant: ascending by zxid; the next of an epoch follows directly.
    entries: VecDeque<(Zxid, TxnBody)>,
    bytes: usize,
    count_max: usize,
}

impl History {
    /// An empty history that keeps so many transactions (`commitLogCount`).
    #[must_use]
    pub fn new(count_max: usize) -> Self {
        let count_max = count_max.max(COUNT_MIN);
        Self { base: None, entries: VecDeque::new(), bytes: 0, count_max }
    }

    /// Adds the next transaction.
    ///
    /// # Panics
    /// When it does not come after the last one.
    pub fn push(&mut self, zxid: Zxid, body: TxnBody) {
        assert!(self.last().or(self.base).is_none_or(|last| zxid > last), "history goes on");
        self.bytes += body.len();
        self.entries.push_back((zxid, body));
        while self.entries.len() > self.count_max && self.bytes > BYTES_KEPT
            || self.entries.len() > COUNT_MAX
        {
            let Some((dropped, body)) = self.entries.pop_front() else { break };
            self.bytes -= body.len();
            self.base = Some(dropped);
        }
    }

    /// Drops everything behind `zxid`.
    pub fn truncate(&mut self, zxid: Zxid) {
        while let Some((_, body)) = self.entries.pop_back_if(|(last, _)| *last > zxid) {
            self.bytes -= body.len();
        }
        if self.entries.is_empty() && self.base.is_none_or(|base| base > zxid) {
            // What was asked for is what is there now.
            self.base = Some(zxid);
        }
    }

    /// Drops everything: what comes next does not follow what was there.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
        self.base = None;
    }

    /// Drops everything; what comes next follows `zxid`, the last transaction of the tree.
    pub fn restart(&mut self, zxid: Zxid) {
        self.clear();
        self.base = Some(zxid);
    }

    /// The oldest transaction.
    #[must_use]
    pub fn first(&self) -> Option<Zxid> {
        self.entries.front().map(|(zxid, _)| *zxid)
    }

    /// The newest transaction.
    #[must_use]
    pub fn last(&self) -> Option<Zxid> {
        self.entries.back().map(|(zxid, _)| *zxid)
    }

    /// Everything behind `zxid`, oldest first.
    pub fn after(&self, zxid: Zxid) -> impl Iterator<Item = (Zxid, &TxnBody)> {
        let from = self.entries.partition_point(|(entry, _)| *entry <= zxid);
        self.entries.range(from..).map(|(zxid, body)| (*zxid, body))
    }

    /// The last transaction at or before `zxid`, or the one behind which the history begins. None
    /// if it does not reach back that far.
    #[must_use]
    pub fn at_or_before(&self, zxid: Zxid) -> Option<Zxid> {
        let behind = self.entries.partition_point(|(entry, _)| *entry <= zxid);
        match behind.checked_sub(1) {
            Some(before) => self.entries.get(before).map(|(zxid, _)| *zxid),
            None => self.base.filter(|base| *base <= zxid),
        }
    }
}

/// Never fewer are kept, as in ZooKeeper.
const COUNT_MIN: usize = 500;
/// More than the count are kept while they are small: they are cheaper than a snapshot.
const BYTES_KEPT: usize = 8 << 20;
const COUNT_MAX: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(count: usize, bytes: usize) -> History {
        let mut history = History::new(0);
        let body: TxnBody = alloc::vec![0; bytes].into();
        for zxid in (1..).map(Zxid).take(count) {
            history.push(zxid, Arc::clone(&body));
        }
        history
    }

    #[test]
    fn small_transactions_are_kept_beyond_the_count() {
        assert_eq!(filled(COUNT_MAX, 10).first(), Some(Zxid(1)));
        assert_eq!(filled(COUNT_MAX + 3, 10).first(), Some(Zxid(4)));
        let large = filled(COUNT_MIN + 10, 1 << 20);
        assert_eq!(large.first(), Some(Zxid(11)));
        assert_eq!(large.at_or_before(Zxid(10)), Some(Zxid(10)), "nothing is lacked behind it");
        assert_eq!(large.at_or_before(Zxid(9)), None);
    }

    #[test]
    fn a_cut_below_the_first_entry_leaves_only_a_place_to_go_on_from() {
        let mut history = filled(9, 1);
        history.truncate(Zxid(7));
        assert_eq!(history.last(), Some(Zxid(7)));
        history.truncate(Zxid(0));
        assert_eq!((history.last(), history.at_or_before(Zxid(5))), (None, Some(Zxid(0))));
        history.clear();
        assert_eq!(history.at_or_before(Zxid(5)), None);
        history.restart(Zxid(4));
        assert_eq!(history.at_or_before(Zxid(5)), Some(Zxid(4)));
    }
}
