//! One connection: what it has sent, what it waits for, what it is owed.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::SocketAddr;

use ostler_wire::error::ErrorCode;
use ostler_wire::frame;
use ostler_wire::ids::{SessionId, WallMs, Xid, Zxid};
use ostler_wire::op::OpCode;
use ostler_wire::reply::ReplyHeader;

use super::admission::LargeRequest;
use super::late::LateAnswers;
use crate::clock::{Clock, Time};
use crate::limits::{
    PENDING_PER_CONNECTION_MAX, UNSENT_PER_CONNECTION_MAX_BYTES, WAITING_PER_CONNECTION_MAX_BYTES,
};
use crate::messages::{ConnId, Ids, Touch};
use crate::status::LatencyStats;

/// How far a connection has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// Nothing whole has arrived yet.
    New,
    /// It asked for a session; reading waits for the replica's answer.
    Connecting {
        /// As in the request: whether the client knows of read-only servers at all.
        read_only: Option<bool>,
    },
    /// It has a session.
    Open,
    /// Whatever it still sends is not looked at; it closes when its output is written.
    Closing,
}

/// A request that has not been answered.
#[derive(Debug)]
pub(super) enum Pending {
    /// The replica has it.
    Ordered { since: Time, op: OpCode, _large: Option<LargeRequest> },
    /// It waits for the answers before it.
    Waiting(Waiting),
}

/// A request that is answered here, but not before others are.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) since: Time,
    /// The whole frame body.
    pub(super) frame: Vec<u8>,
    /// Whether it is answered with an error, since it was held back for too long.
    pub(super) throttled: bool,
    pub(super) _large: Option<LargeRequest>,
}

/// One connection of a shard.
///
/// ```text
/// Conn, 320 bytes, an allocation of its own; a slot in the shard's table is 8
///   stats     88   what `cons` tells
///   remote    32   address and port
///   pending   32   } nothing behind them
///   input     24   } while the connection
///   output    24   } is silent
///   watched   24   numbers of the watches, 4 bytes each
///   ids       16   shared with others from the same address until it proves more
///   late       8   answers that were put off, hardly ever any
///   the rest  72   names, times, counts and marks
/// ```
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) id: ConnId,
    pub(super) remote: SocketAddr,
    pub(super) state: State,
    pub(super) session: SessionId,
    pub(super) timeout_ms: i32,
    /// Who the client is, as far as it has shown.
    pub(super) ids: Ids,
    /// Bytes that are no whole frame yet, or that wait until the connection may go on.
    pub(super) input: Vec<u8>,
    /// Invariant: replies leave in the order of requests, so nothing is answered past the front.
    pub(super) pending: VecDeque<Pending>,
    /// Invariant: the length of all frames in `pending`.
    pub(super) waiting_bytes: usize,
    /// Encoded and not yet written to the socket, from `unsent_start` on.
    pub(super) output: Vec<u8>,
    pub(super) unsent_start: usize,
    /// What leaves behind `output`. Invariant: empty if `output` is.
    pub(super) late: LateAnswers,
    /// Whether the driver already knows that there is output.
    pub(super) output_announced: bool,
    /// Whether reading has stopped until something that it owes or is owed goes away.
    pub(super) paused: bool,
    /// Since when its oldest request is held back because too much is in progress.
    pub(super) held_since: Option<Time>,
    /// Whether it stands in the shard's list of paused connections.
    pub(super) in_paused: bool,
    /// Entries of the watch table that it stands in.
    pub(super) watched: Vec<u32>,
    pub(super) last_active: Time,
    /// Whether the replica still has to be told of a sign of life.
    pub(super) touched: bool,
    pub(super) stats: ConnStats,
}

const _: () = assert!(size_of::<Conn>() == 320);
const _: () = assert!(size_of::<ConnStats>() == 88);

/// What `cons` tells of a connection.
#[derive(Debug)]
pub(super) struct ConnStats {
    pub(super) established: WallMs,
    pub(super) received: u64,
    pub(super) sent: u64,
    /// `None` before the first, and for one that is no operation.
    pub(super) last_op: Option<OpCode>,
    pub(super) last_cxid: Xid,
    pub(super) last_zxid: Zxid,
    pub(super) last_response: Time,
    pub(super) last_latency_ms: u64,
    pub(super) latency: LatencyStats,
}

impl ConnStats {
    fn new(established: WallMs) -> Self {
        Self {
            established,
            received: 0,
            sent: 0,
            last_op: None,
            last_cxid: Xid(-1),
            last_zxid: Zxid::NONE,
            last_response: Time::default(),
            last_latency_ms: 0,
            latency: LatencyStats::default(),
        }
    }

    /// Notes that a request was answered.
    pub(super) fn answered(
        &mut self,
        now: Time,
        latency_ms: u64,
        op: Option<OpCode>,
        (xid, zxid): (Xid, Zxid),
    ) {
        self.sent += 1;
        self.last_op = op;
        // Java: ServerCnxn.updateStatsForResponse passes over pings and other numbers of its own.
        if xid.0 >= 0 {
            self.last_cxid = xid;
        }
        self.last_zxid = zxid;
        self.last_response = now;
        self.last_latency_ms = latency_ms;
        self.latency.add(latency_ms);
    }

    /// Forgets everything but when the connection began.
    pub(super) fn reset(&mut self) {
        *self = Self::new(self.established);
    }
}

impl Conn {
    pub(super) fn new(at: Clock, id: ConnId, remote: SocketAddr, ids: Ids) -> Self {
        Self {
            id,
            remote,
            state: State::New,
            session: SessionId::NONE,
            timeout_ms: 0,
            ids,
            input: Vec::new(),
            pending: VecDeque::new(),
            waiting_bytes: 0,
            output: Vec::new(),
            unsent_start: 0,
            late: LateAnswers::default(),
            output_announced: false,
            paused: false,
            held_since: None,
            in_paused: false,
            watched: Vec::new(),
            last_active: at.now,
            touched: false,
            stats: ConnStats::new(at.wall),
        }
    }

    /// Whether it may be read from and its requests be taken.
    pub(super) fn may_proceed(&self) -> bool {
        matches!(self.state, State::New | State::Open)
            && self.pending.len() < PENDING_PER_CONNECTION_MAX
            && self.waiting_bytes < WAITING_PER_CONNECTION_MAX_BYTES
            && self.late.is_empty()
            && self.unsent_bytes() < UNSENT_PER_CONNECTION_MAX_BYTES
    }

    /// Bytes that are encoded and were not sent yet.
    pub(super) fn unsent_bytes(&self) -> usize {
        self.output.len() - self.unsent_start + self.late.encoded_bytes()
    }

    /// Where new output goes: behind everything.
    pub(super) fn tail(&mut self) -> &mut Vec<u8> {
        self.late.tail().unwrap_or(&mut self.output)
    }

    /// Lets a request wait for the answers before it.
    pub(super) fn wait(&mut self, waiting: Waiting) {
        self.waiting_bytes += waiting.frame.len();
        self.pending.push_back(Pending::Waiting(waiting));
    }

    /// The oldest request, if nothing but its turn was missing.
    pub(super) fn next_waiting(&mut self) -> Option<Waiting> {
        let is_waiting = |pending: &mut Pending| matches!(pending, Pending::Waiting(_));
        let Some(Pending::Waiting(waiting)) = self.pending.pop_front_if(is_waiting) else {
            return None;
        };
        self.waiting_bytes -= waiting.frame.len();
        self.release_pending();
        Some(waiting)
    }

    /// Takes the oldest request out if the replica has it.
    pub(super) fn next_ordered(&mut self) -> Option<(Time, OpCode)> {
        let is_ordered = |pending: &mut Pending| matches!(pending, Pending::Ordered { .. });
        let Some(Pending::Ordered { since, op, .. }) = self.pending.pop_front_if(is_ordered) else {
            return None;
        };
        self.release_pending();
        Some((since, op))
    }

    /// Who once asked for much at a time does not keep the memory for it.
    fn release_pending(&mut self) {
        if self.pending.is_empty() && self.pending.capacity() > PENDING_KEPT_MAX {
            self.pending = VecDeque::new();
        }
    }

    /// What the replica has to know so that the session lives on.
    pub(super) fn sign_of_life(&self) -> Touch {
        Touch { session: self.session, at: self.last_active, timeout_ms: self.timeout_ms }
    }

    /// Queues a reply that has just a header.
    pub(super) fn reply(&mut self, xid: Xid, zxid: Zxid, err: ErrorCode) {
        self.reply_with(ReplyHeader { xid, zxid, err }, |_| {});
    }

    /// Queues a reply: header, and what `body` writes.
    pub(super) fn reply_with(&mut self, header: ReplyHeader, body: impl FnOnce(&mut Vec<u8>)) {
        frame::put(self.tail(), |out| {
            header.write(out);
            body(out);
        });
    }
}

/// So many places for unanswered requests are kept when there are none.
const PENDING_KEPT_MAX: usize = 16;
