//! The newest transactions, in memory: what a learner that was away for a while may lack.
//!
//! Holds what was logged, committed or not, without gaps inside an epoch. It is bounded: who lacks
//! more than it holds gets a snapshot.

use alloc::collections::VecDeque;
use alloc::sync::Arc;

use ostler_wire::ids::Zxid;

/// A transaction as it stands in the log and in a proposal: header, transaction, digest.
pub type TxnBody = Arc<[u8]>;

/// The newest transactions of one server.
#[derive(Debug)]
pub struct History {
    /// Invariant: ascending by zxid; the next of an epoch follows directly.
    entries: VecDeque<(Zxid, TxnBody)>,
    bytes: usize,
    count_max: usize,
}

impl History {
    /// An empty history that keeps so many transactions (`commitLogCount`).
    #[must_use]
    pub fn new(count_max: usize) -> Self {
        Self { entries: VecDeque::new(), bytes: 0, count_max: count_max.max(COUNT_MIN) }
    }

    /// Adds the next transaction.
    ///
    /// # Panics
    /// When it does not come after the last one.
    pub fn push(&mut self, zxid: Zxid, body: TxnBody) {
        assert!(self.last().is_none_or(|last| zxid > last), "history does not go back");
        self.bytes += body.len();
        self.entries.push_back((zxid, body));
        while self.entries.len() > self.count_max && self.bytes > BYTES_KEPT
            || self.entries.len() > COUNT_MAX
        {
            let dropped = self.entries.pop_front();
            self.bytes -= dropped.map_or(0, |(_, body)| body.len());
        }
    }

    /// Drops everything behind `zxid`.
    pub fn truncate(&mut self, zxid: Zxid) {
        while let Some((_, body)) = self.entries.pop_back_if(|(last, _)| *last > zxid) {
            self.bytes -= body.len();
        }
    }

    /// Drops everything: what comes next does not follow what was there.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
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

    /// The last transaction at or before `zxid`.
    #[must_use]
    pub fn at_or_before(&self, zxid: Zxid) -> Option<Zxid> {
        let behind = self.entries.partition_point(|(entry, _)| *entry <= zxid);
        self.entries.get(behind.checked_sub(1)?).map(|(zxid, _)| *zxid)
    }
}

/// Never fewer are kept, as in ZooKeeper.
const COUNT_MIN: usize = 500;
/// More than the count are kept while they are small: they are cheaper than a snapshot.
const BYTES_KEPT: usize = 8 << 20;
const COUNT_MAX: usize = 100_000;
