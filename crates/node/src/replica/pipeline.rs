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
//!
//! A view costs a copy of every path that is changed after it. So not each transaction gets one:
//! what comes in one turn of the driver is one *group*, changed in place, shown together under the
//! view at its end ([`Pipeline::seal`]). A group whose end is not committed yet waits, unless
//! somebody has to see exactly what is ([`Pipeline::split_at`]): then the view in its midst is made
//! again from the transactions.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use ostler_tree::{Change, Outcome, Tree};
use ostler_wire::ids::{SessionId, Zxid};
use ostler_wire::txn::{Txn, TxnHeader, TxnRecord};
use ostler_zab::history::{History, TxnBody};

use super::snapshots::SnapshotTrigger;
use super::{Effect, LogOp};
use crate::messages::{Changes, Commit, Notice, Notices, Step};
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
    /// Everything up to here may be published.
    agreed: Zxid,
    /// Invariant: in the order of `wait_for`; nothing here has been published.
    in_flight: VecDeque<InFlight>,
    /// How the oldest of them are shown together. Invariant: with `open` they are all of them.
    groups: VecDeque<Group>,
    /// How many of the newest are in no group so far.
    open: usize,
    /// The last transaction that was handed to the log.
    appended: Zxid,
    /// How far the log is on disk.
    synced: Zxid,
    /// What learners may lack; a server that is alone keeps none.
    pub(super) history: Option<History>,
    snapshot_trigger: SnapshotTrigger,
    snapshot_running: bool,
    /// One fell due while another was being written.
    snapshot_owed: bool,
    /// Due, but the log is not on disk so far.
    snapshot_waiting: Option<Tree>,
    commits: u64,
    /// Empty between calls.
    scratch: Vec<Change>,
}

/// A step that waits to be committed.
#[derive(Debug)]
pub(super) struct InFlight {
    /// Published when everything up to here is committed.
    wait_for: Zxid,
    pub(super) step: Step,
    /// Its transaction as it was logged, if it has one.
    body: Option<TxnBody>,
    /// The session of a client of this server that waits for it, at a learner.
    pub(super) awaited_by: Option<SessionId>,
}

/// Steps that are shown together.
#[derive(Debug)]
struct Group {
    steps: usize,
    /// What the last of them waits for.
    wait_for: Zxid,
    /// The tree after the last of them.
    view: Tree,
    /// Whether the log was rolled behind it, so that a snapshot of it is due.
    snapshot_due: bool,
}

impl Pipeline {
    /// Takes over a tree, all of which is on disk and counts as published.
    pub(super) fn new(tree: Tree, snapshot_trigger: SnapshotTrigger) -> Self {
        let last = tree.last_zxid();
        Self {
            head: tree.clone(),
            committed: tree,
            committed_zxid: last,
            agreed: last,
            in_flight: VecDeque::new(),
            groups: VecDeque::new(),
            open: 0,
            appended: last,
            synced: last,
            history: None,
            snapshot_trigger,
            snapshot_running: false,
            snapshot_owed: false,
            snapshot_waiting: None,
            commits: 0,
            scratch: Vec::new(),
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

    /// Applies a transaction to the head; [`Pipeline::append`] follows.
    ///
    /// # Panics
    /// When it does not come behind everything before it.
    pub(super) fn apply(&mut self, header: &TxnHeader, txn: &Txn<'_>) -> (Outcome, Changes) {
        assert!(header.zxid > self.head.last_zxid(), "every transaction moves the tree on");
        let outcome = self.head.apply(header, txn, &mut self.scratch);
        (outcome, self.scratch.drain(..).collect())
    }

    /// Logs the transaction that was applied last, and lets it wait to be committed.
    pub(super) fn append(
        &mut self,
        body: TxnBody,
        (changes, notices): (Changes, Notices),
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
        out.push(Effect::Log(LogOp::Append { zxid, body: body.clone() }));
        let step = Step { zxid, changes, notices };
        self.push(InFlight { wait_for: zxid, step, body: Some(body), awaited_by });
        if snapshot_due {
            self.roll_for_snapshot(out);
        }
    }

    /// Begins a new log behind everything in flight, which is not nothing, and lets a snapshot
    /// follow it.
    fn roll_for_snapshot(&mut self, out: &mut Vec<Effect>) {
        out.push(Effect::Log(LogOp::Roll));
        self.seal();
        self.groups.back_mut().expect("it was sealed").snapshot_due = true;
    }

    /// Tells the shards something without a transaction, behind everything that was proposed.
    pub(super) fn publish_in_order(&mut self, notices: Vec<Notice>, out: &mut Vec<Effect>) {
        if self.in_flight.is_empty() {
            return self.publish_now(notices, out);
        }
        let wait_for = self.head.last_zxid();
        let (changes, notices) = (Changes::new(), notices.into());
        let step = Step { zxid: Zxid::NONE, changes, notices };
        self.push(InFlight { wait_for, step, body: None, awaited_by: None });
    }

    fn push(&mut self, in_flight: InFlight) {
        self.in_flight.push_back(in_flight);
        self.open += 1;
    }

    /// Tells the shards something that has nothing to do with transactions.
    pub(super) fn publish_now(&self, notices: Vec<Notice>, out: &mut Vec<Effect>) {
        let commit = Commit::telling(self.committed.clone(), notices);
        out.push(Effect::Publish(commit.into()));
    }

    /// Ends the present group: what comes next is not shown together with what is there.
    pub(super) fn seal(&mut self) {
        let steps = core::mem::take(&mut self.open);
        if let Some(last) = self.in_flight.back().filter(|_| steps > 0) {
            let (wait_for, view) = (last.wait_for, self.head.clone());
            self.groups.push_back(Group { steps, wait_for, view, snapshot_due: false });
        }
    }

    /// Ends a group right behind `zxid`, and another behind everything.
    pub(super) fn split_at(&mut self, zxid: Zxid) {
        self.seal();
        let upto = self.in_flight.partition_point(|next| next.wait_for <= zxid);
        let mut before = 0;
        for i in 0..self.groups.len() {
            let end = before + self.groups[i].steps;
            if before < upto && upto < end {
                let view = self.tree_after(upto);
                let wait_for = self.in_flight[upto - 1].wait_for;
                self.groups[i].steps = end - upto;
                let steps = upto - before;
                self.groups.insert(i, Group { steps, wait_for, view, snapshot_due: false });
                return;
            }
            before = end;
        }
    }

    /// The tree after the oldest `count` steps in flight.
    fn tree_after(&self, count: usize) -> Tree {
        if count == self.in_flight.len() {
            return self.head.clone();
        }
        let (mut view, mut before) = (&self.committed, 0);
        for group in &self.groups {
            if before + group.steps > count {
                break;
            }
            (view, before) = (&group.view, before + group.steps);
        }
        let mut tree = view.clone();
        for body in self.in_flight.range(before..count).filter_map(|next| next.body.as_ref()) {
            let record = TxnRecord::decode(body).expect("it was made or read before");
            tree.apply(&record.header, &record.txn, &mut Vec::new());
        }
        tree
    }

    /// Everything up to `zxid` is committed.
    pub(super) fn agree(&mut self, zxid: Zxid) {
        self.agreed = self.agreed.max(zxid);
    }

    /// How far everything is committed, published or not.
    pub(super) fn agreed(&self) -> Zxid {
        self.agreed
    }

    /// Publishes the next group if all of it is committed, each of its steps after `before`; false
    /// if there is none.
    pub(super) fn publish_next(
        &mut self,
        before: &mut impl FnMut(&mut InFlight),
        out: &mut Vec<Effect>,
    ) -> bool {
        let agreed = self.agreed;
        let Some(group) = self.groups.pop_front_if(|next| next.wait_for <= agreed) else {
            return false;
        };
        let Group { steps, view, snapshot_due, .. } = group;
        self.committed = view.clone();
        let steps = self.in_flight.drain(..steps).map(|mut in_flight| {
            before(&mut in_flight);
            in_flight.step
        });
        let steps: Vec<Step> = steps.collect();
        for step in steps.iter().filter(|step| step.zxid != Zxid::NONE) {
            self.committed_zxid = step.zxid;
            self.commits += 1;
        }
        if snapshot_due {
            self.want_snapshot(out);
        }
        out.push(Effect::Publish(Commit { view, steps }.into()));
        true
    }

    /// The log is on disk up to here.
    pub(super) fn log_synced(&mut self, zxid: Zxid, out: &mut Vec<Effect>) {
        assert!(zxid >= self.synced, "the log does not go back");
        assert!(zxid <= self.appended, "the log does not run ahead");
        self.synced = zxid;
        self.write_snapshot(out);
    }

    /// Asks for a snapshot of what is published, for whatever reason: now, or when the one that is
    /// being written has ended.
    pub(super) fn want_snapshot(&mut self, out: &mut Vec<Effect>) {
        if self.snapshot_running {
            self.snapshot_owed = true;
        } else {
            self.snapshot_waiting = Some(self.committed.clone());
            self.write_snapshot(out);
        }
    }

    /// The snapshot that was asked for is written, or could not be. One that fell due meanwhile
    /// begins, with the tree of now: the later it is, the less is left to replay.
    // Java: SyncRequestProcessor.run skips it ("Too busy to snap") until as many transactions more
    // have come. After a burst of writes that leaves long logs behind the last snapshot.
    pub(super) fn snapshot_ended(&mut self, out: &mut Vec<Effect>) {
        self.snapshot_running = false;
        if !core::mem::take(&mut self.snapshot_owed) {
            return;
        }
        self.snapshot_trigger.begin_anew();
        if self.in_flight.is_empty() {
            out.push(Effect::Log(LogOp::Roll));
            self.want_snapshot(out);
        } else {
            self.roll_for_snapshot(out);
        }
    }

    /// Asks for the snapshot that waits, when what it holds is on disk.
    fn write_snapshot(&mut self, out: &mut Vec<Effect>) {
        let is_logged = |tree: &mut Tree| tree.last_zxid() <= self.synced;
        if let Some(tree) = self.snapshot_waiting.take_if(is_logged) {
            assert!(!self.snapshot_running, "one at a time");
            self.snapshot_running = true;
            out.push(Effect::WriteSnapshot(tree.into()));
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
    pub(super) fn tree_at(&self, zxid: Zxid) -> Option<Tree> {
        if zxid <= self.committed_zxid {
            return Some(self.committed.clone());
        }
        if zxid == self.head.last_zxid() {
            return Some(self.head.clone());
        }
        let is_it = |in_flight: &InFlight| in_flight.step.zxid == zxid;
        let at = self.in_flight.iter().position(is_it)?;
        Some(self.tree_after(at + 1))
    }

    /// Nobody waits any more for what is in flight: returns what those who did are to be told.
    ///
    /// The transactions stay, since a new leader may have them too.
    pub(super) fn withdraw(&mut self) -> Vec<Notice> {
        self.seal();
        let mut told = Vec::new();
        for in_flight in &mut self.in_flight {
            let notices = &mut in_flight.step.notices;
            let (kept, taken): (Notices, Notices) = core::mem::take(notices)
                .into_iter()
                .partition(|notice| matches!(notice, Notice::Ended(_)));
            *notices = kept;
            told.extend(taken);
            in_flight.awaited_by = None;
        }
        let mut steps = self.in_flight.iter();
        for group in &mut self.groups {
            let all = steps.by_ref().take(group.steps);
            group.steps = all.filter(|in_flight| in_flight.body.is_some()).count();
        }
        self.groups.retain(|group| group.steps > 0);
        self.in_flight.retain(|in_flight| in_flight.body.is_some());
        told.into_iter().map(withdrawn).collect()
    }

    /// Drops everything behind `zxid`; true if that reaches behind what was published, so that the
    /// tree has to be loaded again.
    pub(super) fn truncate(&mut self, zxid: Zxid) -> bool {
        self.split_at(zxid);
        while self.groups.pop_back_if(|last| last.wait_for > zxid).is_some() {}
        while self.in_flight.pop_back_if(|last| last.wait_for > zxid).is_some() {}
        if let Some(history) = &mut self.history {
            history.truncate(zxid);
        }
        (self.snapshot_waiting, self.snapshot_owed) = (None, false);
        self.agreed = self.agreed.min(zxid);
        self.head = self.groups.back().map_or(&self.committed, |last| &last.view).clone();
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
        self.groups.clear();
        self.open = 0;
        if let Some(history) = &mut self.history {
            history.restart(last);
        }
        (self.snapshot_waiting, self.snapshot_owed) = (None, false);
        self.snapshot_trigger = snapshot_trigger;
        self.committed_zxid = last;
        self.agreed = last;
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
