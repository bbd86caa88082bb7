//! The transactions that a leader sends: in order, without gaps, each logged, acknowledged and
//! committed once.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use ostler_wire::ids::{Epoch, Zxid};

use super::LearnerEffect;
use crate::history::TxnBody;

/// What comes in on one link.
#[derive(Debug)]
pub(super) struct Intake {
    /// Observers acknowledge no transaction.
    acknowledges: bool,
    /// What this server had when it was told what it lacks.
    base: Zxid,
    /// Whether `base` is a snapshot's zxid: Java sends again what it holds of the latest ones.
    from_snapshot: bool,
    /// The last proposal on this link.
    proposed: Option<Zxid>,
    /// Proposed, not committed. Invariant: ascending.
    uncommitted: VecDeque<Zxid>,
    /// Committed, as far as the leader has said.
    committed: Zxid,
    /// To be acknowledged when they are on disk. Invariant: ascending.
    to_ack: VecDeque<Zxid>,
    synced: Zxid,
    /// The last proposal before NEWLEADER: on disk when the current epoch is.
    history_end: Zxid,
}

impl Intake {
    pub(super) fn new(is_observer: bool) -> Self {
        Self {
            acknowledges: !is_observer,
            base: Zxid::NONE,
            from_snapshot: false,
            proposed: None,
            uncommitted: VecDeque::new(),
            committed: Zxid::NONE,
            to_ack: VecDeque::new(),
            synced: Zxid::NONE,
            history_end: Zxid::NONE,
        }
    }

    /// What comes now is behind `base`.
    pub(super) fn begin(&mut self, base: Zxid, from_snapshot: bool) {
        self.base = base;
        self.from_snapshot = from_snapshot;
        self.committed = base;
    }

    /// PROPOSAL of a leader of this epoch.
    pub(super) fn propose(
        &mut self,
        zxid: Zxid,
        body: TxnBody,
        epoch: Epoch,
        out: &mut Vec<LearnerEffect>,
    ) -> Result<(), &'static str> {
        // Every epoch begins with 1, whatever there was of the one before.
        let begins = |last: Zxid| zxid.epoch() > last.epoch() && zxid.counter() == 1;
        let follows = |last: Zxid| zxid == last.next() || begins(last);
        let held = self.from_snapshot && zxid <= self.base;
        let in_order = match self.proposed {
            Some(last) => follows(last),
            None => held || follows(self.base),
        };
        if !in_order {
            return Err("a proposal is not the next one");
        }
        if zxid.epoch() > epoch {
            return Err("a proposal of a later epoch");
        }
        self.proposed = Some(zxid);
        self.uncommitted.push_back(zxid);
        if !held {
            if self.acknowledges && zxid.epoch() == epoch {
                self.to_ack.push_back(zxid);
            }
            out.push(LearnerEffect::Append(zxid, body));
        }
        Ok(())
    }

    /// COMMIT; `serving` if others may hear of it.
    pub(super) fn commit(
        &mut self,
        zxid: Zxid,
        serving: bool,
        out: &mut Vec<LearnerEffect>,
    ) -> Result<(), &'static str> {
        if self.uncommitted.pop_front_if(|next| *next == zxid).is_none() {
            // Java: Follower ignores a commit of what it does not wait for.
            return if self.uncommitted.is_empty() && zxid <= self.committed {
                Ok(())
            } else {
                Err("a commit is not the next one")
            };
        }
        // Of what was in the snapshot already, a commit says nothing new.
        self.committed = self.committed.max(zxid);
        if serving {
            out.push(LearnerEffect::Committed(self.committed));
        }
        Ok(())
    }

    /// How far the leader has committed.
    pub(super) fn committed(&self) -> Zxid {
        self.committed
    }

    /// NEWLEADER: what came so far is to be on disk before the current epoch is.
    pub(super) fn history_ends(&mut self) {
        self.history_end = self.proposed.unwrap_or(self.base);
    }

    /// The current epoch is on disk.
    pub(super) fn history_held(&mut self) {
        self.synced(self.history_end);
    }

    /// The log is on disk up to here.
    pub(super) fn synced(&mut self, zxid: Zxid) {
        self.synced = self.synced.max(zxid);
    }

    /// The next zxid to acknowledge, if there is one.
    pub(super) fn next_ack(&mut self) -> Option<Zxid> {
        let synced = self.synced;
        self.to_ack.pop_front_if(|zxid| *zxid <= synced)
    }
}
