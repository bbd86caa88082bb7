//! How the threads talk: what may lie in each mailbox, and how a sleeper is woken.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use mio::Waker;
use mio::net::TcpStream;
use ostler_node::clock::{Clock, Time};
use ostler_node::messages::{ConnId, ToReplica};
use ostler_node::replica::Input;
use ostler_node::status::{ReplicaReport, ShardReport};
use ostler_tree::Tree;
use ostler_wire::ids::{Sid, WallMs, Zxid};
use ostler_wire::vote::Notification;

use crate::peers::gate::Freight;
use crate::peers::links::LinkMail;

/// For the replica thread.
#[derive(Debug)]
pub(crate) enum ReplicaMail {
    /// All that one shard had to say after a turn of its loop.
    FromShard(Vec<ToReplica>),
    /// How far the log's thread has come.
    LogWritten(LogProgress),
    /// The snapshot that was asked for has been written, or has failed.
    SnapshotEnded,
    /// What happens between servers, or to the files that only their members have.
    Input(Input),
    /// A notification of another server.
    Vote(Sid, Notification, Freight),
    /// What other threads have for the links.
    Link(LinkMail),
    /// Somebody wants to know how things are.
    Report(Sender<ReplicaReport>),
    /// Forget what the server has counted (`srst`).
    ResetCounters,
    /// The server ends soon: whoever leads should be another. Dropped when it leads no more.
    HandOver(Sender<()>),
    /// The server ends.
    Stop,
}

/// What the log's thread has done since it last spoke.
#[derive(Debug)]
pub(crate) struct LogProgress {
    /// The log is on disk up to here, if that is further than before.
    pub(crate) up_to: Option<Zxid>,
    /// Mails that are carried out. Everything else about them has been said before.
    pub(crate) mails: usize,
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
    Write(Box<Tree>),
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

/// Wakes a thread that waits for its sockets. All that the thread has mailboxes for share it.
#[derive(Debug)]
pub(crate) struct Bell {
    /// `None` only where nobody waits for sockets.
    waker: Option<Waker>,
    /// Whether the thread sleeps, or is about to, and nobody has woken it yet.
    sleeping: AtomicBool,
}

impl Bell {
    pub(crate) fn new(waker: Waker) -> Arc<Self> {
        Arc::new(Self { waker: Some(waker), sleeping: AtomicBool::new(false) })
    }

    /// A bell that nobody hears.
    #[cfg(test)]
    pub(crate) fn mute() -> Arc<Self> {
        Arc::new(Self { waker: None, sleeping: AtomicBool::new(false) })
    }

    /// Wakes the thread if it sleeps: after the feed or a mailbox got something new.
    pub(crate) fn ring(&self) {
        // What the thread has to see comes before this, and the thread looks after it has said
        // that it sleeps: one of the two notices.
        fence(Ordering::SeqCst);
        if self.sleeping.load(Ordering::Relaxed)
            && self.sleeping.swap(false, Ordering::Relaxed)
            && let Some(waker) = &self.waker
            && let Err(error) = waker.wake()
        {
            tracing::error!("cannot wake a thread: {error}");
        }
    }

    /// Called by the thread before it looks a last time and sleeps.
    pub(crate) fn will_sleep(&self) {
        self.sleeping.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Called by the thread when it is awake.
    pub(crate) fn is_awake(&self) {
        self.sleeping.store(false, Ordering::Relaxed);
    }
}

/// A shard's mailbox, and the bell beside it.
#[derive(Debug)]
pub(crate) struct ShardBox {
    mail: Sender<ShardMail>,
    bell: Arc<Bell>,
    stopping: AtomicBool,
}

impl ShardBox {
    /// The box, and what its owner takes the mail from.
    pub(crate) fn new(bell: Arc<Bell>) -> (Arc<Self>, Receiver<ShardMail>) {
        let (mail, inbox) = mailbox();
        (Arc::new(Self { mail, bell, stopping: AtomicBool::new(false) }), inbox)
    }

    /// Puts something in and wakes the shard.
    pub(crate) fn send(&self, mail: ShardMail) {
        // It listens no more only when the server ends.
        let _ = self.mail.send(mail);
        self.bell.ring();
    }

    /// Tells the shard to end.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.bell.ring();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Wakes the shard if it sleeps: after the feed got something new.
    pub(crate) fn wake(&self) {
        self.bell.ring();
    }
}

/// The replica's mailbox, and the bell beside it.
#[derive(Clone, Debug)]
pub(crate) struct ReplicaBox {
    mail: Sender<ReplicaMail>,
    bell: Arc<Bell>,
}

impl ReplicaBox {
    /// The box, and what its owner takes the mail from.
    pub(crate) fn new(bell: Arc<Bell>) -> (Self, Receiver<ReplicaMail>) {
        let (mail, inbox) = mailbox();
        (Self { mail, bell }, inbox)
    }

    /// Puts something in and wakes the replica. It listens no more only when the server ends, and
    /// then nobody has to care.
    pub(crate) fn send(&self, mail: ReplicaMail) {
        let _ = self.mail.send(mail);
        self.bell.ring();
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
