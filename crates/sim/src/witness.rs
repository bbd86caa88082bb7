//! The witness: what was proposed and what was committed, in the order of zxids, and who has it on
//! disk. Every server is held against it whenever it shows anything.
//!
//! - The same zxid means the same bytes, on whichever server, committed or not.
//! - Servers publish one sequence: none skips, repeats or swaps anything.
//! - What is published is on the disks of a quorum at that moment.
//! - At the same zxid all trees have the same digest and the same sessions.
//! - An epoch has one leader; epochs on disk never go back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ostler_node::clock::Time;
use ostler_tree::Tree;
use ostler_wire::ids::{Epoch, SessionId, Sid, Zxid};
use ostler_wire::txn::TxnRecord;
use ostler_zab::history::TxnBody;

/// A committed transaction.
pub(crate) struct Committed {
    pub(crate) zxid: Zxid,
    pub(crate) body: TxnBody,
    /// The tree after it.
    pub(crate) tree: Tree,
    /// When it was proposed.
    pub(crate) proposed_at: Time,
}

/// What one server has logged, as its driver saw it.
#[derive(Default)]
pub(crate) struct LogCopy {
    /// Everything up to here came with a snapshot.
    pub(crate) base: Zxid,
    /// What was handed to the log, or is known to be in the snapshot.
    pub(crate) records: BTreeMap<Zxid, TxnBody>,
    /// How far it is on disk.
    pub(crate) synced: Zxid,
    /// What was on the disk that it lost. It had that when it said so, and that one is lost again
    /// is more than has to be survived.
    lost: Option<Box<Self>>,
    /// The last transaction and the newest ones of a snapshot that is being installed.
    installing: Option<(Zxid, Records)>,
}

type Records = BTreeMap<Zxid, TxnBody>;

impl LogCopy {
    fn has(&self, zxid: Zxid, body: &TxnBody) -> bool {
        zxid <= self.base
            || zxid <= self.synced && self.records.get(&zxid).is_some_and(|have| have == body)
            || self.lost.as_ref().is_some_and(|lost| lost.has(zxid, body))
    }

    /// Forgets what is behind `zxid`.
    pub(crate) fn truncate(&mut self, zxid: Zxid) {
        self.records.retain(|record, _| *record <= zxid);
        self.synced = self.synced.min(zxid);
    }

    /// A leader's snapshot is on disk, in place of everything else.
    pub(crate) fn installed(&mut self) {
        let Some((zxid, known)) = self.installing.take() else { return };
        self.records.retain(|record, _| *record > zxid);
        self.records.extend(known);
        self.base = zxid;
        self.synced = self.synced.max(zxid);
    }

    /// The server starts with this snapshot and these records behind it.
    pub(crate) fn recovered(&mut self, base: Zxid, records: Records, last: Zxid) {
        if self.installing.as_ref().is_some_and(|(zxid, _)| *zxid == base) {
            self.installed();
        }
        self.installing = None;
        self.records.retain(|record, _| *record <= base);
        self.records.extend(records);
        self.base = base;
        self.synced = last;
    }
}

/// All that is known of all servers.
pub(crate) struct Witness {
    /// Which servers vote.
    voters: Vec<usize>,
    is_ensemble: bool,
    pub(crate) committed: Vec<Committed>,
    /// Before the first transaction.
    first: Option<Tree>,
    proposed: BTreeMap<Zxid, (TxnBody, Time)>,
    pub(crate) logs: Vec<LogCopy>,
    leaders: BTreeMap<Epoch, Sid>,
    /// What is in snapshots that leaders sent and was not known to be committed then.
    sent: BTreeMap<Zxid, Records>,
    epochs: Vec<(Epoch, Epoch)>,
}

impl Witness {
    pub(crate) fn new(servers: usize, voters: Vec<usize>) -> Self {
        Self {
            is_ensemble: servers > 1,
            voters,
            committed: Vec::new(),
            first: None,
            proposed: BTreeMap::new(),
            logs: (0..servers).map(|_| LogCopy::default()).collect(),
            leaders: BTreeMap::new(),
            sent: BTreeMap::new(),
            epochs: vec![(Epoch(0), Epoch(0)); servers],
        }
    }

    /// How many transactions were committed up to this zxid.
    pub(crate) fn index(&self, zxid: Zxid) -> usize {
        self.committed.partition_point(|entry| entry.zxid <= zxid)
    }

    /// The last committed transaction.
    pub(crate) fn last(&self) -> Zxid {
        self.committed.last().map_or(Zxid::ZERO, |entry| entry.zxid)
    }

    /// The tree that all history begins with.
    pub(crate) fn begins(&mut self, tree: &Tree) {
        self.first.get_or_insert_with(|| tree.clone());
    }

    /// A server has handed a transaction to its log.
    pub(crate) fn logged(&mut self, server: usize, zxid: Zxid, body: &TxnBody, now: Time) {
        let record = TxnRecord::decode(body).expect("what is logged can be read");
        assert_eq!(record.header.zxid, zxid, "a record has its own zxid");
        if self.is_ensemble {
            let (proposed, _) =
                self.proposed.entry(zxid).or_insert_with(|| (Arc::clone(body), now));
            assert!(proposed == body, "{zxid} was proposed twice, with different bytes");
        } else {
            self.proposed.insert(zxid, (Arc::clone(body), now));
        }
        self.logs[server].records.insert(zxid, Arc::clone(body));
    }

    /// A leader sends a snapshot.
    pub(crate) fn snapshot_sent(&mut self, server: usize, zxid: Zxid) {
        let known = self.logs[server].records.range(self.last().next()..);
        let known = known.take_while(|(record, _)| **record <= zxid);
        let known = known.map(|(zxid, body)| (*zxid, Arc::clone(body))).collect();
        self.sent.insert(zxid, known);
    }

    /// A server begins to install a snapshot.
    pub(crate) fn installs(&mut self, server: usize, zxid: Zxid) {
        let known = self.sent.get(&zxid).cloned().unwrap_or_default();
        let log = &mut self.logs[server];
        log.truncate(zxid);
        log.installing = Some((zxid, known));
    }

    /// A server shows transactions, and the view behind the last of them.
    pub(crate) fn published(
        &mut self,
        server: usize,
        zxids: impl Iterator<Item = Zxid>,
        view: &Tree,
    ) {
        for zxid in zxids {
            let body = self.logs[server].records.get(&zxid);
            let body = body.unwrap_or_else(|| panic!("{zxid} is shown but was not logged"));
            self.commit(server, zxid, Arc::clone(body));
        }
        self.shown(view);
    }

    /// A server serves this view, which it did not come to step by step.
    pub(crate) fn jumped(&mut self, server: usize, view: &Tree) {
        let log = &self.logs[server];
        let known: Vec<_> = log
            .records
            .range(..=view.last_zxid())
            .map(|(zxid, body)| (*zxid, Arc::clone(body)))
            .collect();
        for (zxid, body) in known {
            self.commit(server, zxid, body);
        }
        self.shown(view);
    }

    /// A view is what it has to be.
    pub(crate) fn shown(&self, view: &Tree) {
        let zxid = view.last_zxid();
        let tree = match self.index(zxid) {
            0 => self.first.as_ref().expect("the first tree was noted"),
            index => &self.committed[index - 1].tree,
        };
        assert_eq!(view.digest(), tree.digest(), "the digest of the tree at {zxid}");
        let sessions = |tree: &Tree| tree.sessions().map(|(id, _)| id).collect::<BTreeSet<_>>();
        let (shown, expected): (BTreeSet<SessionId>, _) = (sessions(view), sessions(tree));
        assert_eq!(shown, expected, "the sessions at {zxid}");
    }

    /// A server has become the leader of an epoch.
    pub(crate) fn leads(&mut self, sid: Sid, epoch: Epoch) {
        let leader = *self.leaders.entry(epoch).or_insert(sid);
        assert_eq!(leader, sid, "two leaders of epoch {}", epoch.0);
    }

    /// A server has lost its disk, and with it its epochs.
    pub(crate) fn wiped(&mut self, server: usize) {
        self.epochs[server] = (Epoch(0), Epoch(0));
        let lost = std::mem::take(&mut self.logs[server]);
        self.logs[server].lost = Some(Box::new(lost));
    }

    /// How many epochs had a leader.
    pub(crate) fn reigns(&self) -> usize {
        self.leaders.len()
    }

    /// A server's epochs, as they stand on its disk: accepted, current.
    pub(crate) fn epochs(&mut self, server: usize, (accepted, current): (Epoch, Epoch)) {
        let before = self.epochs[server];
        assert!(
            accepted >= before.0 && current >= before.1,
            "epochs go back from {before:?} to {:?}",
            (accepted, current)
        );
        assert!(accepted >= current, "accepted epoch {accepted:?} is before {current:?}");
        self.epochs[server] = (accepted, current);
    }

    fn commit(&mut self, server: usize, zxid: Zxid, body: TxnBody) {
        if zxid <= self.last() {
            let index = self.index(zxid);
            let entry = index.checked_sub(1).map(|index| &self.committed[index]);
            let entry = entry.filter(|entry| entry.zxid == zxid);
            let entry =
                entry.unwrap_or_else(|| panic!("s{server} shows {zxid}, which others left out"));
            assert!(entry.body == body, "{zxid} has two meanings");
            return;
        }
        let holders = self.voters.iter().filter(|voter| self.logs[**voter].has(zxid, &body));
        let holders = holders.count();
        assert!(
            holders > self.voters.len() / 2,
            "{zxid} is shown by s{server} with {holders} of {} disks having it",
            self.voters.len()
        );
        let last = self.committed.last().map(|entry| &entry.tree).or(self.first.as_ref());
        let mut tree = last.expect("the first tree was noted").clone();
        let record = TxnRecord::decode(&body).expect("what is logged can be read");
        tree.apply(&record.header, &record.txn, &mut Vec::new());
        if let Some(digest) = record.digest {
            assert_eq!(digest.tree_digest, tree.digest(), "the digest in {zxid}");
        }
        let proposed_at = self.proposed.get(&zxid).map_or(Time(0), |(_, at)| *at);
        self.committed.push(Committed { zxid, body, tree, proposed_at });
    }
}
