//! The learner, follower or observer: discovery, synchronisation and broadcast, seen from the one
//! who is led.

use alloc::sync::Arc;
use alloc::vec::Vec;

use ostler_wire::ids::{Epoch, SessionId, Sid, Zxid};
use ostler_wire::quorum::{QuorumPacket, Touched};

use crate::LinkId;
use crate::clock::Time;
use crate::history::TxnBody;
use crate::quorum_config::QuorumConfig;
use crate::settings::ZabSettings;

/// What has to be done, in this order.
#[derive(Debug)]
pub enum LearnerEffect {
    /// Dial the quorum port of the leader; answered by [`Learner::dialled`] or
    /// [`Learner::dial_failed`].
    Dial(Sid),
    /// Send a packet to the leader.
    Send(LinkId, QuorumPacket),
    /// Bring the accepted epoch to disk; answered by [`Learner::accepted_epoch_written`].
    WriteAcceptedEpoch(Epoch),
    /// Bring everything appended and then the current epoch to disk; answered by
    /// [`Learner::current_epoch_written`].
    WriteCurrentEpoch(Epoch),
    /// Drop everything behind this zxid, here and on disk, before anything else is appended.
    Truncate(Zxid),
    /// Log this transaction and apply it to the head, behind everything logged before.
    Append(Zxid, TxnBody),
    /// Everything up to here is committed.
    Committed(Zxid),
    /// The leader's history is here: serve.
    Serve(Epoch),
    /// The leader asks for a sign of life: answer by [`Learner::pong`].
    Ping(QuorumPacket),
    /// The leader's word about a session.
    Revalidated(SessionId, bool),
    /// The oldest sync that was sent to the leader is answered.
    Synced,
    /// Leave this leader and look for another one; the link is to be closed.
    GiveUp(&'static str),
}

/// A server that follows or observes, or tries to.
#[derive(Debug)]
pub struct Learner {
    settings: Arc<ZabSettings>,
    config: Arc<QuorumConfig>,
}

impl Learner {
    /// Begins by dialling the leader. `last` is the last zxid of the tree, all of which is on disk.
    /// Whether this server follows or observes is what `config` says.
    #[must_use]
    pub fn new(
        _now: Time,
        settings: Arc<ZabSettings>,
        config: Arc<QuorumConfig>,
        _leader: Sid,
        _epochs: (Epoch, Epoch),
        _last: Zxid,
        _out: &mut Vec<LearnerEffect>,
    ) -> Self {
        Self { settings, config }
    }

    /// The leader answered the dial.
    pub fn dialled(&mut self, _now: Time, _link: LinkId, _out: &mut Vec<LearnerEffect>) {
        todo!()
    }

    /// The leader could not be reached.
    pub fn dial_failed(&mut self, _now: Time, _out: &mut Vec<LearnerEffect>) {
        todo!()
    }

    /// The link is gone.
    pub fn link_down(&mut self, _now: Time, _link: LinkId, _out: &mut Vec<LearnerEffect>) {
        todo!()
    }

    /// The leader has sent a packet.
    pub fn packet(
        &mut self,
        _now: Time,
        _link: LinkId,
        _packet: QuorumPacket,
        _out: &mut Vec<LearnerEffect>,
    ) {
        todo!()
    }

    /// The snapshot behind a SNAP packet has arrived whole, in place of everything that was here;
    /// the caller brings it to disk in the order of its other writes.
    pub fn snapshot_received(&mut self, _now: Time, _link: LinkId, _out: &mut Vec<LearnerEffect>) {
        todo!()
    }

    /// The accepted epoch is on disk.
    pub fn accepted_epoch_written(
        &mut self,
        _now: Time,
        _epoch: Epoch,
        _out: &mut Vec<LearnerEffect>,
    ) {
        todo!()
    }

    /// The current epoch is on disk, and so is everything that was appended before.
    pub fn current_epoch_written(
        &mut self,
        _now: Time,
        _epoch: Epoch,
        _out: &mut Vec<LearnerEffect>,
    ) {
        todo!()
    }

    /// The log of this server is on disk up to here.
    pub fn log_synced(&mut self, _now: Time, _zxid: Zxid, _out: &mut Vec<LearnerEffect>) {
        todo!()
    }

    /// Answers [`LearnerEffect::Ping`] with what its clients did.
    pub fn pong(
        &mut self,
        _ping: QuorumPacket,
        _touched: &[Touched],
        _out: &mut Vec<LearnerEffect>,
    ) {
        todo!()
    }

    /// The link to the leader, once there is one.
    #[must_use]
    pub fn link(&self) -> Option<LinkId> {
        let _ = (&self.settings, &self.config);
        None
    }

    /// [`Learner::next_deadline`] has come.
    pub fn deadline(&mut self, _now: Time, _out: &mut Vec<LearnerEffect>) {
        todo!()
    }

    /// When [`Learner::deadline`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        todo!()
    }
}
