//! What must hold whatever happens: the invariants of Zab, and that nobody says of its disk what
//! is not so.

use std::collections::{BTreeMap, BTreeSet};

use ostler_wire::ids::{Epoch, Sid, Zxid};
use ostler_wire::quorum::{PacketKind, QuorumPacket};
use ostler_zab::history::TxnBody;

use crate::disk::{Disk, Txn};
use crate::world::World;

/// What the ensemble has done as a whole.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    /// Everything that anybody took for committed, in order.
    pub(crate) decided: Vec<Txn>,
    /// Everything that a leader proposed.
    proposed: BTreeMap<Zxid, TxnBody>,
    /// Who was established in which epoch.
    reigns: BTreeMap<Epoch, Sid>,
}

impl Checks {
    /// A leader proposes: once, and nobody else has.
    pub(crate) fn proposes(&mut self, sid: Sid, zxid: Zxid, body: &TxnBody) {
        assert_eq!(self.reigns.get(&zxid.epoch()), Some(&sid), "{sid} does not lead");
        let before = self.proposed.insert(zxid, body.clone());
        assert!(before.is_none(), "{zxid} is proposed twice");
    }

    /// What a server had before the play began.
    pub(crate) fn given(&mut self, txns: &[Txn]) {
        self.proposed.extend(txns.iter().cloned());
    }

    /// Leadership, and primary integrity: it has all that was decided in earlier epochs. (Of later
    /// ones a leader may not have heard yet; it has lost its quorum to them.)
    pub(crate) fn established(&mut self, sid: Sid, epoch: Epoch, txns: &[Txn]) {
        let other = self.reigns.insert(epoch, sid);
        assert!(other.is_none(), "{other:?} and {sid} are both established in {epoch:?}");
        let earlier = self.decided.partition_point(|(zxid, _)| zxid.epoch() < epoch);
        let decided = &self.decided[..earlier];
        assert!(
            txns.starts_with(decided),
            "{sid} leads without what was decided: {:?}, {:?}",
            decided.last(),
            txns.last(),
        );
    }

    /// Integrity, agreement, total order: what one delivers, all deliver, at the same place.
    pub(crate) fn delivers(&mut self, sid: Sid, index: usize, txn: &Txn) {
        assert_eq!(self.proposed.get(&txn.0), Some(&txn.1), "{sid}: nobody proposed {}", txn.0);
        match self.decided.get(index) {
            Some(decided) => assert_eq!(decided, txn, "{sid} delivers something else"),
            None => self.decided.push(txn.clone()),
        }
        let before = index.checked_sub(1).map(|index| self.decided[index].0);
        let follows = |before: Zxid| {
            let first = txn.0.epoch() > before.epoch() && txn.0.counter() == 1;
            txn.0 == before.next() || first
        };
        assert!(before.is_none_or(follows), "{before:?} is followed by {}", txn.0);
    }
}

/// What no server of ours ever has to say of another one of ours, whatever happens around them.
const NEVER_SAID: [&str; 10] = [
    "out of turn",
    "not the next one",
    "a proposal of",
    "of another epoch",
    "a second",
    "behind the end",
    "neither",
    "never proposed",
    "cannot be read",
    "of nothing",
];

impl World {
    /// A server leaves another one.
    pub(crate) fn assert_no_fault_of_ours(&self, sid: Sid, why: &str) {
        let is_fault = NEVER_SAID.iter().any(|never| why.contains(never));
        assert!(!(self.elects && is_fault), "{sid}: {why}");
    }

    /// A leader commits: a quorum has it on disk.
    pub(crate) fn assert_held_by_quorum(&self, zxid: Zxid) {
        let holds = |disk: &Disk| {
            let found = disk.txns.binary_search_by_key(&zxid, |(txn, _)| *txn);
            // What is on a disk but will be cut is of another epoch: that is checked elsewhere.
            found.is_ok() || zxid.counter() == 0
        };
        let holders =
            self.servers.iter().filter(|(_, server)| server.plays() || holds(&server.disk));
        let holders: BTreeSet<Sid> = holders.map(|(sid, _)| *sid).collect();
        assert!(self.config.contains_quorum(&holders), "{zxid} is only on {holders:?}");
    }

    /// A learner speaks of its disk.
    pub(crate) fn assert_true_word(&self, from: Sid, packet: &QuorumPacket) {
        let server = &self.servers[&from];
        if server.plays() {
            return;
        }
        let disk = &server.disk;
        match packet.kind {
            PacketKind::AckEpoch => assert_eq!(disk.accepted, server.accepted),
            PacketKind::Ack if packet.zxid.counter() == 0 => {
                assert_eq!(disk.current, packet.zxid.epoch(), "{from}: not its epoch");
                let held = disk.txns.len().max(server.txns.len().min(server.history_end));
                assert!(disk.txns.len() >= held, "{from}: its history is not on disk");
            }
            PacketKind::Ack => {
                let found = disk.txns.binary_search_by_key(&packet.zxid, |(txn, _)| *txn);
                assert!(found.is_ok(), "{from}: {} is not on disk", packet.zxid);
                assert_eq!(disk.current, packet.zxid.epoch(), "{from}: not its epoch yet");
            }
            PacketKind::LeaderInfo => {
                assert_eq!(disk.accepted, packet.zxid.epoch(), "{from}: not accepted on disk");
            }
            _ => {}
        }
    }
}
