//! What shards and the replica tell each other, and nothing but that.
//!
//! Shards speak to the replica through a mailbox ([`ToReplica`]); the replica speaks to all shards
//! at once through the feed, one [`Commit`] after the other. A shard has no other way to learn of
//! the world, so what it shows to clients never goes back in time.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use ostler_tree::{Change, Tree};
use ostler_wire::acl::Id;
use ostler_wire::connect::Password;
use ostler_wire::error::ErrorCode;
use ostler_wire::ids::{SessionId, Xid, Zxid};
use ostler_wire::op::OpCode;
use ostler_wire::reply::OpResult;
use ostler_wire::stat::Stat;
use smallvec::SmallVec;

use crate::clock::Time;

/// One of the threads that serve connections.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ShardId(pub u16);

/// A connection of one shard. Slots are used again, generations are not.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ConnId {
    /// The place in the shard's table.
    pub slot: u32,
    /// Which of the connections that had this place.
    pub generation: u32,
}

/// A connection of any shard.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ConnRef {
    /// The shard that serves it.
    pub shard: ShardId,
    /// Its name there.
    pub conn: ConnId,
}

/// The ids of a connection at one moment.
pub type Ids = Arc<[Id]>;

/// From a shard to the replica, in order.
#[derive(Debug)]
pub enum ToReplica {
    /// A connection wants a new session. Answered by [`Notice::Attached`], [`Notice::Ahead`] or
    /// [`Notice::TurnedAway`].
    Open {
        /// Who asks.
        from: ConnRef,
        /// What the client has seen, here or elsewhere.
        last_zxid_seen: Zxid,
        /// Already within the limits.
        timeout_ms: i32,
    },
    /// A connection wants its session back. Answered by [`Notice::Attached`] or
    /// [`Notice::Refused`], in any case behind a [`Notice::Evict`]; or by [`Notice::Ahead`] or
    /// [`Notice::TurnedAway`] alone.
    Resume {
        /// Who asks.
        from: ConnRef,
        /// Which session.
        session: SessionId,
        /// What the client believes to be its password.
        password: Option<Password>,
        /// What the client has seen, here or elsewhere.
        last_zxid_seen: Zxid,
        /// Already within the limits.
        timeout_ms: i32,
    },
    /// A write, a sync or a closeSession. Answered by one [`Notice::Reply`], or by
    /// [`Notice::Dropped`] if its session is gone or the leader that had it: always by exactly one,
    /// in whatever state the server is, since until then the request counts as outstanding.
    Request(Request),
    /// Sessions that gave a sign of life.
    Touch(Vec<Touch>),
}

/// A request that the replica has to order.
#[derive(Debug)]
pub struct Request {
    /// Who waits for the answer.
    pub from: ConnRef,
    /// On behalf of which session.
    pub session: SessionId,
    /// The client's number for it.
    pub xid: Xid,
    /// What it wants.
    pub op: OpCode,
    /// The body behind the request header, not yet decoded.
    pub body: Vec<u8>,
    /// Who the client was when the request was read.
    pub ids: Ids,
    /// Whether the request right before it on its connection waits to be read from a view: one that
    /// shows what was asked before, and nothing of this one.
    pub behind_read: bool,
}

/// A sign of life.
#[derive(Clone, Copy, Debug)]
pub struct Touch {
    /// Of whom.
    pub session: SessionId,
    /// When.
    pub at: Time,
    /// The timeout of the connection that it came by.
    pub timeout_ms: i32,
}

/// Steps of the world that are shown together: the only thing that moves a shard's view.
///
/// Of each step, one after the other, a shard (1) queues the watch events of `changes` and (2)
/// carries out the notices; then it (3) adopts the view and (4) serves the reads that waited for
/// it. So nobody sees anything between two of them.
#[derive(Debug)]
pub struct Commit {
    /// The tree after the last step.
    pub view: Tree,
    /// What happened, in order.
    pub steps: Vec<Step>,
}

/// One step of the world.
#[derive(Debug)]
pub struct Step {
    /// Its transaction; [`Zxid::NONE`] if it had none.
    pub zxid: Zxid,
    /// What the transaction changed, in order.
    pub changes: Changes,
    /// Whom to tell what.
    pub notices: Notices,
}

/// The changes of one step. Most have one: with its place inside the step, none is allocated here
/// to be freed by another thread.
pub type Changes = SmallVec<[Change; 1]>;

/// The notices of one step; see [`Changes`].
pub type Notices = SmallVec<[Notice; 1]>;

impl Commit {
    /// Tells something without a transaction.
    #[must_use]
    pub fn telling(view: Tree, notices: Vec<Notice>) -> Self {
        let (changes, notices) = (Changes::new(), notices.into());
        Self { view, steps: vec![Step { zxid: Zxid::NONE, changes, notices }] }
    }

    /// The transactions, oldest first.
    pub fn zxids(&self) -> impl DoubleEndedIterator<Item = Zxid> {
        self.steps.iter().map(|step| step.zxid).filter(|zxid| *zxid != Zxid::NONE)
    }

    /// Whom to tell what, in order.
    pub fn notices(&self) -> impl DoubleEndedIterator<Item = &Notice> {
        self.steps.iter().flat_map(|step| &step.notices)
    }
}

/// What one connection, or the holder of a session, is told.
#[derive(Debug)]
pub enum Notice {
    /// The answer to a [`Request`].
    Reply(Reply),
    /// A [`Request`] that gets no answer, since its session is gone, or the leader that had it.
    Dropped {
        /// Whose it was.
        to: ConnRef,
        /// Length of its body.
        body_bytes: usize,
    },
    /// The session is open on this connection.
    Attached {
        /// Which connection.
        to: ConnRef,
        /// Which session.
        session: SessionId,
        /// The negotiated timeout.
        timeout_ms: i32,
        /// What the client has to show to get the session back.
        password: Password,
    },
    /// The session is gone, or the password is wrong.
    Refused {
        /// Which connection asked.
        to: ConnRef,
    },
    /// The client has seen more than this server has, and must look elsewhere: it is closed without
    /// an answer.
    Ahead {
        /// Which connection asked.
        to: ConnRef,
    },
    /// Too many sessions are being opened: it is closed without an answer.
    TurnedAway {
        /// Which connection asked.
        to: ConnRef,
    },
    /// Whoever else holds this session has lost it.
    Evict {
        /// Which session.
        session: SessionId,
        /// The connection that asked for it, if it is one of this server's.
        keep: Option<ConnRef>,
    },
    /// The session has ended: its connection is closed once it got its replies.
    Ended(SessionId),
    /// Whether clients are served from now on.
    Service(Service),
}

/// How clients are served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Service {
    /// All of them, as usual. Who was held goes on, if its session is still there.
    Up,
    /// The leader is lost and another may be found soon: connections with a write or a sync in
    /// progress are closed, all others are kept, and nothing of theirs is taken or answered.
    Held,
    /// Nobody: connections are closed, and so are new ones when they ask for a session.
    Down,
    /// There is no leader, and whoever said that reading is enough may read what this server has.
    /// All others are served as when it is down.
    ReadOnly,
}

/// The answer to a request, not yet encoded.
#[derive(Debug)]
pub struct Reply {
    /// Who waits for it.
    pub to: ConnRef,
    /// The request's number.
    pub xid: Xid,
    /// The transaction, or the last one before the answer.
    pub zxid: Zxid,
    /// The outcome.
    pub err: ErrorCode,
    /// What stands behind the header.
    pub body: ReplyBody,
    /// Length of the request's body, which no longer counts as outstanding.
    pub body_bytes: usize,
}

/// The body of an answer.
#[derive(Debug)]
pub enum ReplyBody {
    /// Nothing: errors, delete, closeSession.
    Empty,
    /// create.
    Path(Box<str>),
    /// The other creates.
    PathStat(Box<str>, Stat),
    /// setData, setACL.
    Stat(Stat),
    /// multi.
    Multi(Vec<OpResult>),
    /// sync: the path as it came, null included.
    Sync(Option<Box<str>>),
}
