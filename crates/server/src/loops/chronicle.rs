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
        if now.retired {
            if !last.retired {
                tracing::info!("leads and follows no more");
            }
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
        if now.state == ServerState::Looking {
            if last.state != ServerState::Looking {
                self.note_looking();
            }
            return;
        }
        let Some(leader) = now.leader else { return };
        if last.state != ServerState::Looking {
            // It has looked and found within one step.
            self.note_looking();
        }
        tracing::info!("{}", word(now.state));
        self.decided_at = Instant::now();
        let took = self.decided_at - self.looking_since;
        tracing::info!("the leader is server {leader}, elected in {} ms", took.as_millis());
    }

    fn note_looking(&mut self) {
        tracing::info!("Peer state changed: looking");
        tracing::info!("LOOKING");
        self.looking_since = Instant::now();
    }

    fn note_mode(&self, now: Standing) {
        match now.mode {
            Mode::Leader | Mode::Follower | Mode::Observer => {
                let word = word(now.state);
                let took = (self.decided_at - self.looking_since).as_millis();
                tracing::info!("{word} - LEADER ELECTION TOOK - {took} MS");
                tracing::info!("Peer state changed: {} - broadcast", word.to_lowercase());
                tracing::info!(
                    "serving epoch 0x{:x}, {} ms after the election",
                    now.epoch.0,
                    self.decided_at.elapsed().as_millis()
                );
            }
            Mode::ReadOnly => tracing::info!("no leader: serving reads only"),
            Mode::Down => tracing::info!("no leader: not serving clients"),
            Mode::Standalone => {}
        }
    }
}

fn word(state: ServerState) -> &'static str {
    match state {
        ServerState::Looking => "LOOKING",
        ServerState::Following => "FOLLOWING",
        ServerState::Leading => "LEADING",
        ServerState::Observing => "OBSERVING",
    }
}
