//! What one server knows of itself: the source of the four-letter words and of everything else
//! that shows a server from outside.
//!
//! Each machine gives a report of its own part; whoever asks puts them together.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use ostler_tree::Tree;
use ostler_wire::ids::{Epoch, SessionId, Sid, WallMs, Xid, Zxid};
use ostler_wire::vote::ServerState;
use ostler_zab::leader::LearnerReport;

use crate::messages::ConnId;

/// Least, mean and greatest of a number of latencies.
#[derive(Clone, Copy, Debug, Default)]
pub struct LatencyStats {
    /// How many there were.
    pub count: u64,
    /// Their sum.
    pub total_ms: u64,
    /// The least, 0 if there was none.
    pub min_ms: u64,
    /// The greatest.
    pub max_ms: u64,
}

impl LatencyStats {
    /// Takes one more into account.
    pub fn add(&mut self, latency_ms: u64) {
        self.min_ms = if self.count == 0 { latency_ms } else { self.min_ms.min(latency_ms) };
        self.max_ms = self.max_ms.max(latency_ms);
        self.total_ms += latency_ms;
        self.count += 1;
    }

    /// Takes everything into account that `other` has seen.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        self.min_ms = if self.count == 0 { other.min_ms } else { self.min_ms.min(other.min_ms) };
        self.max_ms = self.max_ms.max(other.max_ms);
        self.total_ms += other.total_ms;
        self.count += other.count;
    }

    /// The mean, 0 if there was none.
    #[must_use]
    pub fn mean_ms(&self) -> f64 {
        // Rounding beyond 2^53 ms does not matter.
        #[allow(clippy::cast_precision_loss)]
        if self.count == 0 { 0.0 } else { self.total_ms as f64 / self.count as f64 }
    }
}

/// Sizes of things: last, least, greatest; -1 before the first.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// The last one.
    pub last_bytes: i64,
    /// The least.
    pub min_bytes: i64,
    /// The greatest.
    pub max_bytes: i64,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { last_bytes: -1, min_bytes: -1, max_bytes: -1 }
    }
}

impl Sizes {
    /// Takes one more into account.
    pub fn add(&mut self, bytes: usize) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.last_bytes = bytes;
        self.min_bytes = if self.min_bytes < 0 { bytes } else { self.min_bytes.min(bytes) };
        self.max_bytes = self.max_bytes.max(bytes);
    }
}

/// Counters of one shard since start or the last reset.
#[derive(Clone, Copy, Debug, Default)]
pub struct ShardCounters {
    /// Requests read, connects and pings included.
    pub packets_received: u64,
    /// Answers and events queued.
    pub packets_sent: u64,
    /// From reading a request to queueing its answer.
    pub latency: LatencyStats,
    /// Of answers to requests.
    pub responses: Sizes,
    /// Auth packets that were refused.
    pub auth_failed: u64,
}

/// What one shard has counted since its server began. Nothing sets it back.
#[derive(Clone, Copy, Debug, Default)]
pub struct ShardMetrics {
    /// Bytes of the packets read, four-letter words and lengths included.
    pub bytes_received: u64,
    /// Bytes of answers to requests, without their lengths.
    pub response_bytes: u64,
    /// Bytes of watch events, without their lengths.
    pub watch_bytes: u64,
    /// Connections that asked for a session while clients were served.
    pub connection_requests: u64,
    /// Those of them that wanted one back.
    pub renewal_requests: u64,
    /// Connections turned away since there were too many of them, or too many at once.
    pub connections_rejected: u64,
    /// Connections closed since they asked for a session while nobody was served.
    pub closed_without_service: u64,
    /// Connections that their clients closed, or that broke.
    pub connections_lost: u64,
    /// Connections closed since they opened no session.
    pub sessionless_expired: u64,
    /// Connections closed since too many large requests were in progress.
    pub large_requests_rejected: u64,
    /// Requests answered by an error since they had to wait too long.
    pub throttled_ops: u64,
    /// Connections closed since their requests had to wait too long.
    pub stale_requests_dropped: u64,
}

/// One connection, as `cons` and `stat` show it.
#[derive(Clone, Debug)]
pub struct ConnReport {
    /// Its name in its shard.
    pub conn: ConnId,
    /// The other end.
    pub remote: SocketAddr,
    /// Requests not yet answered.
    pub queued: usize,
    /// Requests read.
    pub received: u64,
    /// Answers and events queued.
    pub sent: u64,
    /// Whether its socket is being read.
    pub reading: bool,
    /// Whether there is output that its socket has not taken yet.
    pub writing: bool,
    /// What belongs to its session, if it has one.
    pub session: Option<SessionReport>,
    /// When it will be closed if nothing more arrives: ms on the monotonic clock.
    pub idle_deadline_ms: u64,
}

/// The part of a [`ConnReport`] that only connections with a session have.
#[derive(Clone, Debug)]
pub struct SessionReport {
    /// Its id.
    pub session: SessionId,
    /// Abbreviation of the last operation.
    pub last_op: &'static str,
    /// When the connection began.
    pub established: WallMs,
    /// Negotiated.
    pub timeout_ms: i32,
    /// The last request's number; negative ones are not shown.
    pub last_cxid: Xid,
    /// The zxid of the last answer.
    pub last_zxid: Zxid,
    /// The monotonic clock at the last answer.
    pub last_response_ms: u64,
    /// Of the last request.
    pub last_latency_ms: u64,
    /// Of all requests.
    pub latency: LatencyStats,
}

/// A data watch: a path and the sessions that wait for it.
#[derive(Clone, Debug)]
pub struct WatchReport {
    /// The path.
    pub path: Box<str>,
    /// Sessions with a watch left by exists or getData.
    pub sessions: Vec<SessionId>,
}

/// Everything about one shard.
#[derive(Clone, Debug, Default)]
pub struct ShardReport {
    /// Its connections.
    pub connections: Vec<ConnReport>,
    /// Its counters.
    pub counters: ShardCounters,
    /// Its counters that `srst` leaves alone.
    pub metrics: ShardMetrics,
    /// Requests that the replica has.
    pub outstanding: usize,
    /// Data watches, when they were asked for.
    pub data_watches: Vec<WatchReport>,
    /// Number of data watches and of child watches.
    pub watch_counts: (usize, usize),
}

/// Sessions that expire at the same instant.
#[derive(Clone, Debug)]
pub struct ExpiryBucket {
    /// When, on the wall clock.
    pub at: WallMs,
    /// Who.
    pub sessions: Vec<SessionId>,
}

/// Everything about the replica.
#[derive(Clone, Debug)]
pub struct ReplicaReport {
    /// The committed tree; browsing it disturbs nobody.
    pub tree: Tree,
    /// Sessions by the instant at which they expire unless they are touched.
    pub expiry: Vec<ExpiryBucket>,
    /// Transactions that are not committed yet.
    pub in_flight: usize,
    /// Transactions committed since start.
    pub commits: u64,
    /// Sessions that this server has ended since their time had come.
    pub expired_sessions: u64,
    /// As what it serves.
    pub mode: Mode,
    /// What only a member of an ensemble has.
    pub ensemble: Option<EnsembleReport>,
}

/// As what a server serves its clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Alone.
    Standalone,
    /// It leads.
    Leader,
    /// It follows.
    Follower,
    /// It observes.
    Observer,
    /// It has no leader and serves reads to those who are content with that.
    ReadOnly,
    /// It has no leader and serves nobody.
    Down,
}

/// Everything about a member of an ensemble.
#[derive(Clone, Debug)]
pub struct EnsembleReport {
    /// What it is doing, whether or not it has come far enough to serve.
    pub state: ServerState,
    /// Who leads, as far as it knows.
    pub leader: Option<Sid>,
    /// The newest epoch that it has promised to follow.
    pub accepted_epoch: Epoch,
    /// The epoch whose history it has.
    pub current_epoch: Epoch,
    /// The leader's learners; empty elsewhere.
    pub learners: Vec<LearnerReport>,
    /// Syncs that the leader has not answered yet; 0 elsewhere.
    pub pending_syncs: usize,
    /// Of the transactions that the leader has proposed, as they are logged; none elsewhere.
    pub proposals: Sizes,
    /// Its local sessions by the instant at which they expire, if such are made.
    pub local_expiry: Option<Vec<ExpiryBucket>>,
    /// What it has counted since it began.
    pub metrics: EnsembleMetrics,
    /// When it began to serve as what it is now: ms on the monotonic clock. 0 if it does not serve.
    pub serving_since_ms: u64,
    /// The configuration as a text.
    pub config: String,
}

/// What a member of an ensemble has counted, in all its roles. Nothing sets it back.
#[derive(Clone, Copy, Debug, Default)]
pub struct EnsembleMetrics {
    /// How often it began to look for a leader.
    pub searches: u64,
    /// Transactions proposed as a leader.
    pub proposals: u64,
    /// Transactions committed as a leader.
    pub commits: u64,
    /// Learners that got what they lacked, or were told what they had too much.
    pub diffs_sent: u64,
    /// Learners that got a snapshot.
    pub snapshots_sent: u64,
    /// Sessions about which learners asked.
    pub revalidations: u64,
    /// Proposals that came when it followed and served.
    pub proposals_received: u64,
    /// Commits that came when it served as a learner.
    pub commits_received: u64,
    /// Transactions after which its tree was not the leader's.
    pub digest_mismatches: u64,
}
