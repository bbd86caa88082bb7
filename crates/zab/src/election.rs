//! The election: who should lead, by votes that every server sends to every other.

use alloc::sync::Arc;
use alloc::vec::Vec;

use ostler_wire::ids::{Epoch, Sid, Zxid};
use ostler_wire::vote::{Notification, ServerState};

use crate::clock::Time;
use crate::quorum_config::QuorumConfig;
use crate::settings::ZabSettings;

/// A vote: whom, and what makes that server a good choice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vote {
    /// The server voted for.
    pub leader: Sid,
    /// Its last zxid.
    pub zxid: Zxid,
    /// The round in which the vote was cast.
    pub round: i64,
    /// The server's current epoch.
    pub peer_epoch: i64,
}

/// What has to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ElectionEffect {
    /// Send this to a server, in place of anything that waits to be sent to it; dial it if there is
    /// no connection.
    Send(Sid, Notification),
    /// Dial this server if there is no connection to it.
    Connect(Sid),
    /// The election is over; [`Election::state`] says as what this server goes on.
    Decided(Vote),
}

/// One server's part in all elections of its life: it looks for a leader when told to, and answers
/// those who look at all times.
#[derive(Debug)]
pub struct Election {
    settings: Arc<ZabSettings>,
    config: Arc<QuorumConfig>,
    state: ServerState,
}

impl Election {
    /// A server that has not looked for a leader yet.
    #[must_use]
    pub fn new(settings: Arc<ZabSettings>, config: Arc<QuorumConfig>) -> Self {
        Self { settings, config, state: ServerState::Looking }
    }

    /// Begins a round. `last` is the last transaction on this server's disk, committed or not;
    /// -1 if its data are unexpectedly missing, and then its vote does not count.
    pub fn look(
        &mut self,
        _now: Time,
        _last: Zxid,
        _current_epoch: Epoch,
        _out: &mut Vec<ElectionEffect>,
    ) {
        todo!()
    }

    /// A notification arrived. Those from this server itself never come this way.
    pub fn notification(
        &mut self,
        _now: Time,
        _from: Sid,
        _notification: &Notification,
        _out: &mut Vec<ElectionEffect>,
    ) {
        todo!()
    }

    /// There is a new connection to a server.
    pub fn connected(&mut self, _now: Time, _sid: Sid, _out: &mut Vec<ElectionEffect>) {
        todo!()
    }

    /// A server cannot be reached: its connection broke, or dialling it failed.
    pub fn unreachable(&mut self, _now: Time, _sid: Sid, _out: &mut Vec<ElectionEffect>) {
        todo!()
    }

    /// [`Election::next_deadline`] has come.
    pub fn deadline(&mut self, _now: Time, _out: &mut Vec<ElectionEffect>) {
        todo!()
    }

    /// When [`Election::deadline`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        todo!()
    }

    /// This server and its leader have agreed on an epoch: later joiners are told of it.
    pub fn settled(&mut self, _epoch: Epoch) {
        todo!()
    }

    /// What this server does.
    #[must_use]
    pub fn state(&self) -> ServerState {
        let _ = (&self.settings, &self.config);
        self.state
    }

    /// Whom it votes for.
    #[must_use]
    pub fn vote(&self) -> Vote {
        todo!()
    }
}
