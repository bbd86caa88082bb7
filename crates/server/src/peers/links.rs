//! Links: connections between a learner and its leader, on the quorum port of the leader.
//!
//! ```text
//!  accepting, dialling  ── LinkMail ──►  LinkTable, on the thread that drives the replica
//!  (threads of their own)                 sockets ─► packets ─► replica ─► packets ─► sockets
//!  snapshots, in and out ◄─ a socket ──►  (`links/snapshots.rs`: a thread for as long as it lasts)
//! ```
//!
//! Nothing that takes long happens on the replica's thread: whoever is dialled or accepted is
//! handed over connected, and a snapshot stream has a thread that blocks. Meanwhile the link's
//! other direction goes on.
//!
//! Bounds: what waits to be written (a learner that lags further behind is given up), what is read
//! at once (a link that sends more is read again in the next turn; what is not read stays with its
//! sender), how long a peer may take nothing, how many links there are.

mod link;
mod snapshots;
mod table;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use ostler_node::replica::Input;
use ostler_tree::Tree;
use ostler_wire::ids::Sid;
use ostler_wire::quorum::QuorumPacket;
use ostler_zab::LinkId;
pub(crate) use table::{LinkTable, is_link};

use super::address::{self, HostPort};
use super::incoming::Incoming;
use super::tell;
use crate::mail::{ReplicaBox, ReplicaMail};

/// What links are made with.
#[derive(Clone, Debug)]
pub(crate) struct LinkSettings {
    /// Where the servers can be dialled.
    pub(crate) addresses: HashMap<Sid, Vec<HostPort>>,
    /// How long dialling may take.
    pub(crate) dial_timeout: Duration,
    /// How long a peer may take nothing of what is written to it, or send nothing of a snapshot.
    pub(crate) stall_max: Duration,
    /// What may wait to be written to one peer.
    pub(crate) lag_bytes_max: usize,
    /// The longest data of a packet.
    pub(crate) packet_bytes_max: usize,
    /// Key of the hashes of trees that arrive as snapshots.
    pub(crate) hash_key: u64,
    /// Whether TCP sends at once to learners.
    pub(crate) leader_no_delay: bool,
    /// Whether TCP sends at once to the leader.
    pub(crate) follower_no_delay: bool,
}

/// Something for the other end of a link.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Packet(QuorumPacket),
    /// The stream behind a SNAP packet.
    Snapshot(Box<Tree>),
    /// Nothing more.
    Close(&'static str),
}

/// What other threads have for the table of links.
#[derive(Debug)]
pub(crate) enum LinkMail {
    /// There is a connection.
    Connected(Connection),
    /// The snapshot of this link has been handed to the network, or that failed. The socket may be
    /// written to again.
    SnapshotWritten(LinkId, io::Result<()>),
    /// The snapshot of this link was read to its end, or that failed. The socket may be read from
    /// again, through what was read too much.
    SnapshotRead(LinkId, Incoming, io::Result<Box<Tree>>),
    /// Every link is to be closed.
    Stop,
}

/// A connection that is to become a link.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    remote: SocketAddr,
    /// Who was dialled; nobody if the other end did that.
    dialled: Option<Sid>,
    place: Place,
}

/// The links as the other threads know them: where connections are brought.
#[derive(Clone, Debug)]
pub(crate) struct Links(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: LinkSettings,
    replica: ReplicaBox,
    /// Connections on their way to the table, and those in it.
    count: Arc<AtomicUsize>,
    stopping: AtomicBool,
}

/// Counts one connection for as long as it exists.
#[derive(Debug)]
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Links {
    pub(crate) fn new(settings: LinkSettings, replica: ReplicaBox) -> Self {
        let (count, stopping) = (Arc::default(), AtomicBool::new(false));
        Self(Arc::new(Shared { settings, replica, count, stopping }))
    }

    /// Dials a server in a thread of its own; answered by [`Input::Dialled`].
    pub(crate) fn dial(&self, sid: Sid) {
        let links = self.clone();
        let dialling = move || {
            let settings = &links.0.settings;
            let addresses = settings.addresses.get(&sid).map_or(&[][..], Vec::as_slice);
            let connected = address::dial(addresses, settings.dial_timeout)
                .and_then(|stream| links.prepare(stream, Some(sid)));
            match connected {
                Ok(connection) => links.tell(LinkMail::Connected(connection)),
                Err(error) => {
                    tracing::debug!("cannot connect to the leader {sid}: {error}");
                    links.tell_input(Input::Dialled(sid, None));
                }
            }
        };
        if let Err(error) = thread::Builder::new().name("link".to_owned()).spawn(dialling) {
            tracing::error!("there is no thread to dial server {sid}: {error}");
            self.tell_input(Input::Dialled(sid, None));
        }
    }

    /// Takes a connection that somebody opened.
    pub(crate) fn accepted(&self, stream: TcpStream, remote: SocketAddr) {
        match self.prepare(stream, None) {
            Ok(connection) => self.tell(LinkMail::Connected(connection)),
            Err(error) => tracing::warn!("connection of a learner at {remote} lost: {error}"),
        }
    }

    /// Closes every link, and those that come yet.
    pub(crate) fn stop(&self) {
        self.0.stopping.store(true, Ordering::SeqCst);
        self.tell(LinkMail::Stop);
    }

    /// Whether the last word to every peer has left.
    pub(crate) fn all_closed(&self) -> bool {
        self.0.count.load(Ordering::SeqCst) == 0
    }

    fn prepare(&self, stream: TcpStream, dialled: Option<Sid>) -> io::Result<Connection> {
        let settings = &self.0.settings;
        let place = Place(Arc::clone(&self.0.count));
        let earlier = place.0.fetch_add(1, Ordering::SeqCst);
        if self.is_stopping() {
            return Err(io::Error::other("the server ends"));
        }
        if earlier >= LINKS_MAX && dialled.is_none() {
            return Err(io::Error::other(format!("there are {LINKS_MAX} already")));
        }
        let no_delay = match dialled {
            Some(_) => settings.follower_no_delay,
            None => settings.leader_no_delay,
        };
        address::prepare(&stream, no_delay, false, settings.stall_max)?;
        // These count where a thread blocks, for a snapshot. The table never does: it says so with
        // every call, so that nobody has to change the mode of a socket which another thread uses.
        let patience = Some(settings.stall_max.max(Duration::from_millis(1)));
        stream.set_read_timeout(patience)?;
        stream.set_write_timeout(patience)?;
        let remote = stream.peer_addr()?;
        Ok(Connection { stream, remote, dialled, place })
    }

    fn is_stopping(&self) -> bool {
        self.0.stopping.load(Ordering::SeqCst)
    }

    fn tell(&self, mail: LinkMail) {
        tell(&self.0.replica, ReplicaMail::Link(mail));
    }

    fn tell_input(&self, input: Input) {
        tell(&self.0.replica, ReplicaMail::Input(input));
    }
}

/// Links that others may open to this server at a time.
pub(crate) const LINKS_MAX: usize = 512;

/// What may wait to be written to one peer: many times what is in flight while all is well. It
/// holds what comes while a snapshot is on its way.
pub(crate) const LAG_BYTES_MAX: usize = 512 << 20;
