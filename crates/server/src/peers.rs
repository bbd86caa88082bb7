//! The other servers of an ensemble: the sockets and threads between them and the replica.
//!
//! ```text
//!  election port ══ a reader and a writer thread per server ══► mailbox ─┐
//!                                                                        ├─► the replica's thread
//!  quorum port   ══ sockets of this thread's poll ═══════════════════════┘
//! ```
//!
//! Nothing here knows what a vote or a packet means. Elections are rare, and their threads may
//! block: what the replica has not yet taken holds back the one who reads (`gate`). Links are what
//! every write travels on: nobody has to wake up between their sockets and the replica. Whatever a
//! silent or dead peer does, the replica's thread never waits for it.

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
