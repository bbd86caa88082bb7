//! How the threads talk: what may lie in each mailbox, and how a sleeper is woken.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use mio::Waker;
use mio::net::TcpStream;
use ostler_node::clock::{Clock, Time};
use ostler_node::messages::{ConnId, ToReplica};
use ostler_node::replica::Input;
use ostler_node::status::{ReplicaReport, ShardReport};
use ostler_tree::Tree;
use ostler_wire::ids::{Sid, WallMs, Zxid};
use ostler_wire::quorum::QuorumPacket;
use ostler_wire::vote::Notification;
use ostler_zab::LinkId;

use crate::peers::gate::Freight;

/// For the replica thread.
#[derive(Debug)]
pub(crate) enum ReplicaMail {
    /// All that one shard had to say after a turn of its loop.
    FromShard(Vec<ToReplica>),
    /// The log is on disk up to here.
    LogSynced(Zxid),
    /// The snapshot that was asked for has been written, or has failed.
    SnapshotEnded,
    /// What happens between servers, or to the files that only their members have.
    Input(Input),
    /// A notification of another server.
    Vote(Sid, Notification, Freight),
    /// What was read from a link at once, in order.
    Packets(LinkId, Vec<QuorumPacket>, Freight),
    /// Somebody wants to know how things are.
    Report(Sender<ReplicaReport>),
    /// Forget what the server has counted (`srst`).
    ResetCounters,
    /// The server ends soon: whoever leads should be another. Dropped when it leads no more.
    HandOver(Sender<()>),
    /// The server ends.
    Stop,
}

/// For a shard thread.
#[derive(Debug)]
pub(crate) enum ShardMail {
    /// A connection to be served from now on.
    Accepted(TcpStream, SocketAddr),
    /// The answer to a four-letter word.
    Text(ConnId, Vec<u8>),
    /// Somebody wants to know how things are, with every single watch or without.
    Report(bool, Sender<ShardReport>),
    /// Forget the server's counters.
    ResetCounters,
    /// Forget the connections' counters.
    ResetConnections,
}

/// For the snapshot thread.
#[derive(Debug)]
pub(crate) enum SnapshotMail {
    /// Write this tree.
    Write(Tree),
    /// The server ends.
    Stop,
}

/// A four-letter word that somebody sent.
#[derive(Debug)]
pub(crate) struct Question {
    /// Which shard has the connection.
    pub(crate) shard: Arc<ShardBox>,
    /// The connection.
    pub(crate) conn: ConnId,
    /// The word.
    pub(crate) word: [u8; 4],
}

/// A shard's mailbox, and the bell beside it.
#[derive(Debug)]
pub(crate) struct ShardBox {
    mail: Mutex<Vec<ShardMail>>,
    waker: Waker,
    /// Whether the shard sleeps, or is about to, and nobody has woken it yet.
    sleeping: AtomicBool,
    stopping: AtomicBool,
}

impl ShardBox {
    pub(crate) fn new(waker: Waker) -> Arc<Self> {
        Arc::new(Self {
            mail: Mutex::default(),
            waker,
            sleeping: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
        })
    }

    /// Puts something in and wakes the shard.
    pub(crate) fn send(&self, mail: ShardMail) {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner).push(mail);
        self.wake();
    }

    /// Tells the shard to end.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.wake();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Wakes the shard if it sleeps: after the feed or the mailbox got something new.
    pub(crate) fn wake(&self) {
        // The swap comes after what the shard has to see, and the shard looks after it has said
        // that it sleeps: one of the two notices.
        if self.sleeping.swap(false, Ordering::SeqCst)
            && let Err(error) = self.waker.wake()
        {
            tracing::error!("cannot wake a shard: {error}");
        }
    }

    /// Called by the shard before it looks a last time and sleeps.
    pub(crate) fn will_sleep(&self) {
        self.sleeping.store(true, Ordering::SeqCst);
    }

    /// Called by the shard when it is awake.
    pub(crate) fn is_awake(&self) {
        self.sleeping.store(false, Ordering::SeqCst);
    }

    pub(crate) fn has_mail(&self) -> bool {
        !self.mail.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    pub(crate) fn take_mail(&self) -> Vec<ShardMail> {
        std::mem::take(&mut *self.mail.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Where the one thread that owns `T` gets its mail from.
pub(crate) fn mailbox<T>() -> (Sender<T>, Receiver<T>) {
    channel()
}

/// The clocks of this process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    start: Instant,
}

impl Clocks {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now() }
    }

    /// What they show now. The monotonic one counts from the start of the server.
    pub(crate) fn read(self) -> Clock {
        let now = Time(u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX));
        let wall = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        Clock { now, wall: WallMs(i64::try_from(wall.as_millis()).unwrap_or(i64::MAX)) }
    }
}
