//! The pipeline: what was proposed, what was published, and what is between.
//!
//! ```text
//!  transaction ─► head ─► log ─► [ in flight ] ─► committed ─► feed
//!                          └─► history, for learners
//! ```
//!
//! Every role moves transactions through it alike. What differs is who makes them and who says
//! that one is committed: the disk of a server that is alone, the acknowledgements of a quorum at
//! a leader, the leader's word at its learners. Nothing here knows of roles.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use ostler_tree::{Change, Outcome, Tree};
use ostler_wire::ids::{SessionId, Zxid};
use ostler_wire::txn::{Txn, TxnHeader};
use ostler_zab::history::{History, TxnBody};

use super::snapshots::SnapshotTrigger;
use super::{Effect, LogOp};
use crate::messages::{Commit, Notice};
use crate::rng::Rng;

/// Everything between a transaction and its publication.
#[derive(Debug)]
pub(super) struct Pipeline {
    /// Everything that was proposed.
    pub(super) head: Tree,
    /// Everything that was published.
    committed: Tree,
    /// The last transaction in `committed`. Its tree may say more: that a new epoch has begun.
    committed_zxid: Zxid,
    /// Invariant: in the order of `wait_for`; nothing here has been published.
    in_flight: VecDeque<InFlight>,
    /// The last transaction that was handed to the log.
    appended: Zxid,
    /// How far the log is on disk.
    synced: Zxid,
    /// What learners may lack; a server that is alone keeps none.
    pub(super) history: Option<History>,
    snapshot_trigger: SnapshotTrigger,
    snapshot_running: bool,
    /// Due, but the log is not on disk so far.
    snapshot_waiting: Option<Tree>,
    commits: u64,
}

/// A step that waits to be committed.
#[derive(Debug)]
pub(super) struct InFlight {
    /// Published when everything up to here is committed.
    wait_for: Zxid,
    pub(super) commit: Commit,
    /// Whether the log was rolled behind it, so that a snapshot of it is due.
    snapshot_due: bool,
    /// The session of a client of this server that waits for it, at a learner.
    pub(super) awaited_by: Option<SessionId>,
}

impl Pipeline {
    /// Takes over a tree, all of which is on disk and counts as published.
    pub(super) fn new(tree: Tree, snapshot_trigger: SnapshotTrigger) -> Self {
        let last = tree.last_zxid();
        Self {
            head: tree.clone(),
            committed: tree,
            committed_zxid: last,
            in_flight: VecDeque::new(),
            appended: last,
            synced: last,
            history: None,
            snapshot_trigger,
            snapshot_running: false,
            snapshot_waiting: None,
            commits: 0,
        }
    }

    /// What clients see.
    pub(super) fn committed(&self) -> &Tree {
        &self.committed
    }

    /// Transactions that are not published yet, and other steps behind them.
    pub(super) fn in_flight_count(&self) -> usize {
        self.in_flight.len()
    }

    /// Transactions published since start.
    pub(super) fn commits(&self) -> u64 {
        self.commits
    }

    /// Whether everything that was handed to the log is on disk.
    pub(super) fn is_synced(&self) -> bool {
        self.synced == self.appended
    }

    /// Applies a transaction to the head.
    ///
    /// # Panics
    /// When it does not come behind everything before it.
    pub(super) fn apply(&mut self, header: &TxnHeader, txn: &Txn<'_>) -> (Outcome, Vec<Change>) {
        assert!(header.zxid > self.head.last_zxid(), "every transaction moves the tree on");
        let mut changes = Vec::new();
        let outcome = self.head.apply(header, txn, &mut changes);
        (outcome, changes)
    }

    /// Logs the transaction that was applied last, and lets its commit wait.
    pub(super) fn append(
        &mut self,
        body: TxnBody,
        (changes, notices): (Vec<Change>, Vec<Notice>),
        awaited_by: Option<SessionId>,
        rng: &mut Rng,
        out: &mut Vec<Effect>,
    ) {
        let zxid = self.head.last_zxid();
        let snapshot_due = self.snapshot_trigger.logged(body.len(), rng);
        if let Some(history) = &mut self.history {
            history.push(zxid, body.clone());
        }
        self.appended = zxid;
        out.push(Effect::Log(LogOp::Append { zxid, body }));
        if snapshot_due {
            out.push(Effect::Log(LogOp::Roll));
        }
        let commit = Commit { view: self.head.clone(), zxid, changes, notices };
        let in_flight = InFlight { wait_for: zxid, commit, snapshot_due, awaited_by };
        self.in_flight.push_back(in_flight);
    }

    /// Tells the shards something without a transaction, behind everything that was proposed.
    pub(super) fn publish_in_order(&mut self, notices: Vec<Notice>, out: &mut Vec<Effect>) {
        if self.in_flight.is_empty() {
            return self.publish_now(notices, out);
        }
        let view = self.head.clone();
        let wait_for = view.last_zxid();
        let commit = Commit { view, zxid: Zxid::NONE, changes: Vec::new(), notices };
        let in_flight = InFlight { wait_for, commit, snapshot_due: false, awaited_by: None };
        self.in_flight.push_back(in_flight);
    }

    /// Tells the shards something that has nothing to do with transactions.
    pub(super) fn publish_now(&self, notices: Vec<Notice>, out: &mut Vec<Effect>) {
        let view = self.committed.clone();
        out.push(Effect::Publish(Commit { view, zxid: Zxid::NONE, changes: Vec::new(), notices }));
    }

    /// The next step to be published when everything up to `zxid` is committed.
    pub(super) fn next_up_to(&mut self, zxid: Zxid) -> Option<InFlight> {
        self.in_flight.pop_front_if(|next| next.wait_for <= zxid)
    }

    /// Publishes what [`Pipeline::next_up_to`] gave.
    pub(super) fn publish(&mut self, next: InFlight, out: &mut Vec<Effect>) {
        self.committed = next.commit.view.clone();
        if next.commit.zxid != Zxid::NONE {
            self.committed_zxid = next.commit.zxid;
            self.commits += 1;
        }
        if next.snapshot_due {
            self.snapshot_waiting = Some(self.committed.clone());
            self.write_snapshot(out);
        }
        out.push(Effect::Publish(next.commit));
    }

    /// The log is on disk up to here.
    pub(super) fn log_synced(&mut self, zxid: Zxid, out: &mut Vec<Effect>) {
        assert!(zxid >= self.synced, "the log does not go back");
        assert!(zxid <= self.appended, "the log does not run ahead");
        self.synced = zxid;
        self.write_snapshot(out);
    }

    /// The snapshot that was asked for is written, or could not be.
    pub(super) fn snapshot_ended(&mut self) {
        self.snapshot_running = false;
    }

    /// Asks for the snapshot that is due: only of what is on disk, and one at a time.
    fn write_snapshot(&mut self, out: &mut Vec<Effect>) {
        let is_logged = |tree: &mut Tree| tree.last_zxid() <= self.synced;
        if self.snapshot_running {
            self.snapshot_waiting = None;
        } else if let Some(tree) = self.snapshot_waiting.take_if(is_logged) {
            self.snapshot_running = true;
            out.push(Effect::WriteSnapshot(tree));
        }
    }

    /// A new epoch has begun: at this server's head as its leader, else only in what clients see,
    /// as they may have heard of it from the leader already.
    pub(super) fn begin_epoch(&mut self, first: Zxid, leading: bool) {
        if leading {
            assert!(self.in_flight.is_empty(), "all of history is committed when a reign begins");
            self.head.set_last_zxid(first);
            self.committed_zxid = first;
        }
        if self.committed.last_zxid() < first {
            self.committed.set_last_zxid(first);
        }
    }

    /// The tree at exactly this zxid, if it is what was published or lies behind it.
    pub(super) fn tree_at(&self, zxid: Zxid) -> Option<&Tree> {
        if zxid <= self.committed_zxid {
            return Some(&self.committed);
        }
        let views = self.in_flight.iter().map(|in_flight| &in_flight.commit.view);
        views.chain([&self.head]).find(|view| view.last_zxid() == zxid)
    }

    /// Nobody waits any more for what is in flight: returns what those who did are to be told.
    ///
    /// The transactions stay, since a new leader may have them too.
    pub(super) fn withdraw(&mut self) -> Vec<Notice> {
        let mut told = Vec::new();
        for in_flight in &mut self.in_flight {
            let notices = &mut in_flight.commit.notices;
            let (kept, taken) = core::mem::take(notices)
                .into_iter()
                .partition(|notice| matches!(notice, Notice::Ended(_)));
            *notices = kept;
            told.extend::<Vec<Notice>>(taken);
            in_flight.awaited_by = None;
        }
        self.in_flight.retain(|in_flight| in_flight.commit.zxid != Zxid::NONE);
        told.into_iter().map(withdrawn).collect()
    }

    /// Drops everything behind `zxid`; true if that reaches behind what was published, so that the
    /// tree has to be loaded again.
    pub(super) fn truncate(&mut self, zxid: Zxid) -> bool {
        while self.in_flight.pop_back_if(|last| last.wait_for > zxid).is_some() {}
        if let Some(history) = &mut self.history {
            history.truncate(zxid);
        }
        self.snapshot_waiting = None;
        let last = self.in_flight.back().map(|last| &last.commit.view);
        self.head = last.unwrap_or(&self.committed).clone();
        self.head.set_last_zxid(zxid);
        zxid < self.committed_zxid
    }

    /// The log was cut at `zxid`, by [`Pipeline::truncate`].
    pub(super) fn truncated(&mut self, zxid: Zxid) {
        self.appended = zxid;
        self.synced = zxid;
    }

    /// Goes on with another tree, all of which is on disk or will be before anything is asked of
    /// the log.
    pub(super) fn replace(&mut self, tree: Tree, snapshot_trigger: SnapshotTrigger) {
        let last = tree.last_zxid();
        self.in_flight.clear();
        if let Some(history) = &mut self.history {
            history.restart(last);
        }
        self.snapshot_waiting = None;
        self.snapshot_trigger = snapshot_trigger;
        self.committed_zxid = last;
        self.truncated(last);
        self.head = tree.clone();
        self.committed = tree;
    }
}

/// What is told instead of `notice` when nobody can say any more whether it will come true.
fn withdrawn(notice: Notice) -> Notice {
    match notice {
        Notice::Reply(reply) => Notice::Dropped { to: reply.to, body_bytes: reply.body_bytes },
        Notice::Attached { to, .. } => Notice::TurnedAway { to },
        other => other,
    }
}
