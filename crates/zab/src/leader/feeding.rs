//! Bringing one learner to the leader's history, in one ascending sequence.

use alloc::sync::Arc;
use alloc::vec::Vec;

use ostler_wire::ids::Zxid;
use ostler_wire::quorum::{PacketKind, QuorumPacket};

use super::link::Stage;
use super::{Leader, LeaderEffect};
use crate::LinkId;
use crate::clock::Time;
use crate::history::{History, TxnBody};
use crate::sync::{Plan, plan};

impl Leader {
    /// Queues everything that a learner lacks, up to NEWLEADER; from here on it gets what is live.
    ///
    /// What is committed goes as proposal and commit, what is outstanding as proposal alone: its
    /// commit will be live. An observer gets what is outstanding when it is committed.
    pub(super) fn feed(
        &mut self,
        now: Time,
        id: LinkId,
        history: &History,
        out: &mut Vec<LeaderEffect>,
    ) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let plan = plan(history, self.committed, link.last, self.settings.snapshot_sync_forced);
        let (kind, from) = match plan {
            Plan::Diff(from) => (PacketKind::Diff, from),
            Plan::Trunc(to) => (PacketKind::Trunc, to),
            Plan::Snap => (PacketKind::Snap, self.committed),
        };
        // Java: a DIFF names the zxid to which it leads; nobody reads it.
        let zxid = if kind == PacketKind::Diff { self.committed.max(from) } else { from };
        out.push(LeaderEffect::Send(id, QuorumPacket::bare(kind, zxid)));
        if plan == Plan::Snap {
            link.snapshot = true;
            out.push(LeaderEffect::SendSnapshot(id, zxid));
        }
        let mut send = |packet| out.push(LeaderEffect::Send(id, packet));
        for (zxid, body) in history.after(from).take_while(|(zxid, _)| *zxid <= self.committed) {
            send(proposal(PacketKind::Proposal, zxid, body));
            send(QuorumPacket::bare(PacketKind::Commit, zxid));
        }
        if !link.observer {
            for (zxid, body) in &self.outstanding {
                link.owe(now, *zxid);
                send(proposal(PacketKind::Proposal, *zxid, body));
            }
        }
        let text = Arc::clone(&self.config_text);
        send(QuorumPacket::with_data(PacketKind::NewLeader, self.epoch.first_zxid(), text));
        link.stage = Stage::Fed;
    }
}

/// A packet that carries a transaction.
pub(super) fn proposal(kind: PacketKind, zxid: Zxid, body: &TxnBody) -> QuorumPacket {
    QuorumPacket { kind, zxid, data: Some(Arc::clone(body)), ids: Vec::new() }
}
