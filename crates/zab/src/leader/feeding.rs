//! Bringing one learner to the leader's history, in one ascending sequence.

use alloc::sync::Arc;
use alloc::vec::Vec;

use ostler_wire::ids::Zxid;
use ostler_wire::quorum::{PacketKind, QuorumPacket};

use super::link::{Link, Stage};
use super::{Leader, LeaderEffect};
use crate::LinkId;
use crate::clock::Time;
use crate::history::{History, TxnBody};
use crate::settings::ZabSettings;
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
    ) -> Result<(), &'static str> {
        let Some(link) = self.links.get(&id) else { return Ok(()) };
        let plan = plan(history, self.committed, link.last, self.settings.snapshot_sync_forced);
        let has_snapshot = plan == Plan::Snap;
        if link.observer && self.is_busy_feeding(has_snapshot) {
            return Err("too many learners are being brought up to date");
        }
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        link.has_snapshot = has_snapshot;
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
        Ok(())
    }

    /// Whether as many learners as may be are being brought up to date in the same way.
    ///
    /// Followers count and are never turned away: without them nothing is committed.
    // Java: LearnerSyncThrottler.
    fn is_busy_feeding(&self, by_snapshot: bool) -> bool {
        let is_alike = |link: &&Link| link.stage == Stage::Fed && link.has_snapshot == by_snapshot;
        let ZabSettings { snap_syncs_max, diff_syncs_max, .. } = *self.settings;
        let max = if by_snapshot { snap_syncs_max } else { diff_syncs_max };
        self.links.values().filter(is_alike).count() >= max
    }
}

/// A packet that carries a transaction.
pub(super) fn proposal(kind: PacketKind, zxid: Zxid, body: &TxnBody) -> QuorumPacket {
    QuorumPacket { kind, zxid, data: Some(Arc::clone(body)), ids: Vec::new() }
}
