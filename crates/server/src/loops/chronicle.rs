//! What a member of an ensemble writes down of its ways from role to role.
//!
//! The words are those that operators of ZooKeeper search their logs for.

use std::time::Instant;

use ostler_node::replica::Standing;
use ostler_node::status::Mode;
use ostler_wire::vote::ServerState;

/// Where the server stood, so that only what is new is told.
#[derive(Debug)]
pub(crate) struct Chronicle {
    last: Option<Standing>,
    /// Since when it looks for a leader.
    looking_since: Instant,
    /// Since when it has been told who leads.
    decided_at: Instant,
}

impl Chronicle {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self { last: None, looking_since: now, decided_at: now }
    }

    /// Tells what has changed.
    pub(crate) fn note(&mut self, now: Standing) {
        let Some(last) = self.last.replace(now) else {
            return tracing::info!("LOOKING");
        };
        if last == now {
            return;
        }
        if (last.state, last.leader) != (now.state, now.leader) {
            self.note_state(last, now);
        }
        if last.epoch != now.epoch {
            tracing::info!("the current epoch is 0x{:x}", now.epoch.0);
        }
        if last.mode != now.mode {
            self.note_mode(now);
        }
    }

    fn note_state(&mut self, last: Standing, now: Standing) {
        match now.state {
            ServerState::Looking => {
                if last.state != ServerState::Looking {
                    tracing::warn!("Peer state changed: looking");
                    tracing::info!("LOOKING");
                    self.looking_since = Instant::now();
                }
                return;
            }
            ServerState::Leading => tracing::info!("LEADING"),
            ServerState::Following => tracing::info!("FOLLOWING"),
            ServerState::Observing => tracing::info!("OBSERVING"),
        }
        self.decided_at = Instant::now();
        let took = (self.decided_at - self.looking_since).as_millis();
        match now.leader {
            Some(leader) => tracing::info!("the leader is server {leader}, elected in {took} ms"),
            None => tracing::info!("elected in {took} ms"),
        }
    }

    fn note_mode(&self, now: Standing) {
        let election = (self.decided_at - self.looking_since).as_millis();
        let since = self.decided_at.elapsed().as_millis();
        let epoch = now.epoch.0;
        match now.mode {
            Mode::Leader => tracing::info!(
                "LEADING - LEADER ELECTION TOOK - {election} ms; serving epoch 0x{epoch:x}, \
                 {since} ms after the election"
            ),
            Mode::Follower => tracing::info!(
                "FOLLOWING - LEADER ELECTION TOOK - {election} ms; serving epoch 0x{epoch:x}, \
                 {since} ms after the election"
            ),
            Mode::Observer => tracing::info!(
                "OBSERVING - LEADER ELECTION TOOK - {election} ms; serving epoch 0x{epoch:x}, \
                 {since} ms after the election"
            ),
            Mode::ReadOnly => tracing::info!("no leader: serving reads only"),
            Mode::Down => tracing::warn!("no leader: not serving clients"),
            Mode::Standalone => {}
        }
    }
}
