//! The other servers of an ensemble: the sockets and threads between them and the replica.
//!
//! ```text
//!  election port ══ a reader and a writer thread per server ══╗
//!                                                             ╠══ mailbox ══► replica thread
//!  quorum port   ══ a reader and a writer thread per link   ══╝◄── effects ──────┘
//! ```
//!
//! Nothing here knows what a vote or a packet means. Threads block, since there are two for each of
//! a handful of servers; the replica thread never does: what it sends waits in bounded queues, and
//! what it has not yet taken holds back the one who reads (`gate`). Whatever a silent or dead peer
//! does, it keeps nobody but its own two threads waiting.

pub(crate) mod address;
pub(crate) mod election;
pub(crate) mod gate;
pub(crate) mod incoming;
pub(crate) mod links;
pub(crate) mod listening;

use election::ElectionPeers;
use links::Links;

use crate::mail::{ReplicaBox, ReplicaMail};

/// Everything that the replica thread needs to reach the other servers.
#[derive(Clone, Debug)]
pub(crate) struct Peers {
    pub(crate) election: ElectionPeers,
    pub(crate) links: Links,
}

impl Peers {
    /// Closes everything; what was sent before has a moment to leave.
    pub(crate) fn stop(&self) {
        self.links.stop();
        self.election.stop();
    }
}

/// Where inputs go.
pub(crate) fn tell(replica: &ReplicaBox, mail: ReplicaMail) {
    replica.send(mail);
}
