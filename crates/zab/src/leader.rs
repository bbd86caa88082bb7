//! The leader: discovery, synchronisation and broadcast, seen from the one who leads.

use alloc::sync::Arc;
use alloc::vec::Vec;

use ostler_wire::acl::Id;
use ostler_wire::ids::{Epoch, SessionId, Sid, Zxid};
use ostler_wire::quorum::{ForwardedRequest, QuorumPacket, Touched};

use crate::LinkId;
use crate::clock::Time;
use crate::history::{History, TxnBody};
use crate::quorum_config::QuorumConfig;
use crate::settings::ZabSettings;

/// What has to be done, in this order. Whatever goes to one link goes out in this order too.
#[derive(Debug)]
pub enum LeaderEffect {
    /// Send a packet.
    Send(LinkId, QuorumPacket),
    /// Send a snapshot of exactly this zxid, which is the last committed one (before broadcast:
    /// the last of the whole history).
    SendSnapshot(LinkId, Zxid),
    /// Close a link.
    Close(LinkId, &'static str),
    /// Bring the accepted epoch to disk; answered by [`Leader::accepted_epoch_written`].
    WriteAcceptedEpoch(Epoch),
    /// Bring the current epoch to disk; answered by [`Leader::current_epoch_written`].
    WriteCurrentEpoch(Epoch),
    /// A quorum has the whole history, which is thereby committed: serve, and propose from
    /// `epoch << 32 | 1` on.
    Established(Epoch),
    /// Everything up to here is committed. Only after [`LeaderEffect::Established`].
    Committed(Zxid),
    /// A learner's client wants something.
    Request(LinkId, ForwardedRequest, Vec<Id>),
    /// A learner asks whether a session is alive; answered by [`Leader::revalidated`].
    Revalidate(LinkId, Touched),
    /// Signs of life of sessions that a learner holds.
    Touched(LinkId, Vec<Touched>),
    /// A learner is gone, and with it what its clients were doing.
    Left(LinkId),
    /// Stop leading and look for a leader.
    GiveUp(&'static str),
}

/// How it stands with one learner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LearnerReport {
    /// Who; negative for servers without an id.
    pub sid: Sid,
    /// Whether it votes in this configuration.
    pub voter: bool,
    /// Whether it observes.
    pub observer: bool,
    /// Whether it has the leader's history.
    pub synced: bool,
}

/// A server that leads, or tries to.
#[derive(Debug)]
pub struct Leader {
    settings: Arc<ZabSettings>,
    config: Arc<QuorumConfig>,
}

impl Leader {
    /// Begins with discovery. `last` is the last zxid of the tree, all of which is on disk.
    #[must_use]
    pub fn new(
        _now: Time,
        settings: Arc<ZabSettings>,
        config: Arc<QuorumConfig>,
        _accepted_epoch: Epoch,
        _current_epoch: Epoch,
        _last: Zxid,
        _out: &mut Vec<LeaderEffect>,
    ) -> Self {
        Self { settings, config }
    }

    /// A learner has connected.
    pub fn link_up(&mut self, _now: Time, _link: LinkId) {
        todo!()
    }

    /// A learner's link is gone.
    pub fn link_down(&mut self, _now: Time, _link: LinkId, _out: &mut Vec<LeaderEffect>) {
        todo!()
    }

    /// A learner has sent a packet. `history` is what this server has logged so far.
    pub fn packet(
        &mut self,
        _now: Time,
        _link: LinkId,
        _packet: QuorumPacket,
        _history: &History,
        _out: &mut Vec<LeaderEffect>,
    ) {
        todo!()
    }

    /// The accepted epoch is on disk.
    pub fn accepted_epoch_written(
        &mut self,
        _now: Time,
        _epoch: Epoch,
        _out: &mut Vec<LeaderEffect>,
    ) {
        todo!()
    }

    /// The current epoch is on disk.
    pub fn current_epoch_written(
        &mut self,
        _now: Time,
        _epoch: Epoch,
        _history: &History,
        _out: &mut Vec<LeaderEffect>,
    ) {
        todo!()
    }

    /// Proposes a transaction, which is being logged here at the same time.
    pub fn propose(
        &mut self,
        _now: Time,
        _zxid: Zxid,
        _body: &TxnBody,
        _out: &mut Vec<LeaderEffect>,
    ) {
        todo!()
    }

    /// The log of this server is on disk up to here.
    pub fn log_synced(&mut self, _now: Time, _zxid: Zxid, _out: &mut Vec<LeaderEffect>) {
        todo!()
    }

    /// Answers [`LeaderEffect::Revalidate`].
    pub fn revalidated(
        &mut self,
        _link: LinkId,
        _session: SessionId,
        _valid: bool,
        _out: &mut Vec<LeaderEffect>,
    ) {
        todo!()
    }

    /// [`Leader::next_deadline`] has come.
    pub fn deadline(&mut self, _now: Time, _out: &mut Vec<LeaderEffect>) {
        todo!()
    }

    /// When [`Leader::deadline`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Time {
        let _ = (&self.settings, &self.config);
        todo!()
    }

    /// Ends the reign in good order: the best follower should lead next, and soon.
    pub fn hand_over(&mut self, _now: Time, _out: &mut Vec<LeaderEffect>) {
        todo!()
    }

    /// Its learners.
    #[must_use]
    pub fn report(&self) -> Vec<LearnerReport> {
        todo!()
    }
}
