//! The replica: one server's single writer, as a pure machine.
//!
//! ```text
//!             standalone    leader                     learner
//!  request ─► prepare ───── prepare ─► propose         send to the leader ... comes back
//!             apply to head, log, wait in flight       apply to head, log, wait in flight
//!  commit  ── log synced    a quorum has logged it     the leader says so
//!             publish ───── publish ────────────────── publish
//! ```
//!
//! A transaction is applied to the head tree at once and waits in flight until it is committed;
//! then it is published. Nothing that is not on disk, here or at a quorum, is ever shown to
//! anybody. A server that is alone plays one role for ever; a member of an ensemble goes from role
//! to role. What was in flight stays in flight until it is known whether the next leader has it.
//!
//! Reading order: `pipeline` (from head to feed), `requests` with `prepare`, `quota`, `sessions`,
//! `answers` and `reaper` (ordering them, alone or as a leader), `snapshots`; then `ensemble` (from
//! role to role), `leading` with `owners`, `learning` with `forwarding`; `local_sessions` and
//! `read_only`.

mod answers;
mod connection_throttle;
mod ensemble;
mod forwarding;
mod leading;
mod learning;
mod local_sessions;
mod owners;
mod pipeline;
mod prepare;
mod quota;
mod read_only;
mod reaper;
mod requests;
mod sessions;
mod snapshots;
mod standing;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use ostler_tree::Tree;
use ostler_wire::ids::{Epoch, Sid, Zxid};
use ostler_wire::quorum::QuorumPacket;
use ostler_wire::vote::Notification;
use ostler_zab::LinkId;
use ostler_zab::history::{History, TxnBody};
use ostler_zab::quorum_config::QuorumConfig;
use ostler_zab::settings::ZabSettings;

use crate::clock::{Clock, Time};
use crate::limits::Settings;
use crate::messages::{Commit, Notice, Service, ToReplica};
use crate::rng::Rng;
use crate::status::{Mode, ReplicaReport};
use connection_throttle::{Asks, ConnectionThrottle};
use ensemble::Ensemble;
use local_sessions::LocalSessions;
use pipeline::{InFlight, Pipeline};
pub use quota::Excess;
use quota::QuotaWarnings;
use reaper::Reaper;
use sessions::Sessions;
use snapshots::SnapshotTrigger;
pub use standing::Standing;

/// Everything that can happen to the replica.
#[derive(Debug)]
pub enum Input {
    /// A shard has something to say; messages of one shard come in order.
    FromShard(ToReplica),
    /// Everything up to here is on disk.
    LogSynced(Zxid),
    /// The snapshot that was asked for is on disk, or could not be written.
    SnapshotEnded,
    /// [`Replica::next_deadline`] has come.
    Deadline,
    /// A notification arrived on the election port.
    Vote(Sid, Notification),
    /// There is a new election connection to this server.
    ElectionConnected(Sid),
    /// The election connection to this server broke, or it could not be dialled.
    ElectionUnreachable(Sid),
    /// Answers [`Effect::DialLeader`]: the new link, or none.
    Dialled(Sid, Option<LinkId>),
    /// A learner has connected to the quorum port.
    Accepted(LinkId),
    /// The other end of a link has sent a packet.
    Packet(LinkId, QuorumPacket),
    /// The snapshot behind a SNAP packet was read to its end; its tree carries the packet's zxid.
    Snapshot(LinkId, Tree),
    /// Everything that [`Effect::SendSnapshot`] asked for has been handed to the network.
    SnapshotSent(LinkId),
    /// A link is gone, whoever closed it. Always the last word about it, but for
    /// [`Input::SnapshotSent`].
    LinkDown(LinkId),
    /// Answers [`LogOp::WriteEpoch`].
    EpochWritten(EpochFile, Epoch),
    /// Answers [`LogOp::Truncate`]: what is on disk now, if it was to be loaded again.
    Truncated(Option<Found>),
    /// Answers [`LogOp::Truncate`] when what should stay is not on disk by itself, but inside a
    /// snapshot of what lies behind it. Nothing was changed; this is what is there.
    TruncateFailed(Found),
    /// The server will end soon: if it leads, somebody else should, at once.
    HandOver,
}

/// One of the two files in which a server keeps its epochs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EpochFile {
    /// The newest epoch that this server has promised to follow.
    Accepted,
    /// The epoch whose history it has.
    Current,
}

/// What recovery found on disk.
#[derive(Debug)]
pub struct Found {
    /// The tree, with everything that was logged, committed or not.
    pub tree: Tree,
    /// The newest transactions of the log, oldest first.
    pub history: Vec<(Zxid, TxnBody)>,
    /// How many transactions are behind the newest snapshot.
    pub txns_logged: u64,
}

/// What the driver has to do, in this order.
#[derive(Debug)]
pub enum Effect {
    /// For the log thread, in order.
    Log(LogOp),
    /// Send this to a server on the election port, in place of anything that still waits to be
    /// sent to it; dial it if there is no connection.
    SendVote(Sid, Notification),
    /// Dial the election port of this server if there is no connection to it.
    ConnectElection(Sid),
    /// Dial the quorum port of this server. Answered by [`Input::Dialled`].
    DialLeader(Sid),
    /// Send a packet. Whatever goes to one link goes out in order.
    Send(LinkId, QuorumPacket),
    /// Send the snapshot stream of this tree, in order with the packets. Answered by
    /// [`Input::SnapshotSent`] if the link lasts so long.
    SendSnapshot(LinkId, Box<Tree>),
    /// Send what is waiting, then close. Answered by [`Input::LinkDown`].
    CloseLink(LinkId, &'static str),
    /// The server cannot go on and must end.
    Stop(&'static str),
    /// Must reach every shard, in exactly this order.
    Publish(Box<Commit>),
    /// Write this tree to a snapshot, beside everything else. Answered by
    /// [`Input::SnapshotEnded`].
    WriteSnapshot(Box<Tree>),
    /// To be logged as a warning.
    QuotaExceeded(Excess),
    /// To be logged as an error: this server's tree differs from its leader's since this
    /// transaction, or since some time before it. Said once until they agree again.
    DigestMismatch(Zxid),
}

/// What the log has to do.
#[derive(Debug)]
pub enum LogOp {
    /// Append the body of a record. Answered by [`Input::LogSynced`], alone or with others.
    Append {
        /// The transaction in it.
        zxid: Zxid,
        /// Header, transaction and digest, encoded.
        body: TxnBody,
    },
    /// Go on in a new file.
    Roll,
    /// Write an epoch file, when everything before is on disk. Answered by
    /// [`Input::EpochWritten`].
    WriteEpoch(EpochFile, Epoch),
    /// Drop everything behind `zxid`, from logs and snapshots. Answered by [`Input::Truncated`] or
    /// [`Input::TruncateFailed`].
    Truncate {
        /// What stays is up to here.
        zxid: Zxid,
        /// Whether the tree has to be loaded again.
        reload: bool,
    },
    /// Bring this tree to disk in place of everything there: a snapshot, then a new log.
    Install(Box<Tree>),
}

// There is one of each for every transaction, and they are moved from list to list: what is large
// and rare is in a box.
const _: () = assert!(size_of::<LogOp>() <= 32 && size_of::<Effect>() <= 80);

/// One server's single writer.
#[derive(Debug)]
pub struct Replica {
    settings: Arc<Settings>,
    pipeline: Pipeline,
    /// Those whose end is decided here: all of them alone and as a leader, none as a learner.
    sessions: Sessions,
    connection_throttle: ConnectionThrottle,
    reaper: Reaper,
    quota_warnings: QuotaWarnings,
    rng: Rng,
    /// Reused room in which records are encoded.
    record: Vec<u8>,
    expired_sessions: u64,
    /// The roles of a member of an ensemble; none for a server that is alone.
    ensemble: Option<Box<Ensemble>>,
}

impl Replica {
    /// A server that is alone takes over what recovery found. Sessions start with their full
    /// timeout.
    ///
    /// `txns_logged` is the number of transactions behind the newest snapshot; `seed` feeds the
    /// jitter.
    #[must_use]
    pub fn new(
        at: Clock,
        settings: Arc<Settings>,
        tree: Tree,
        txns_logged: u64,
        seed: u64,
    ) -> Self {
        let mut rng = Rng::new(seed);
        let mut sessions = Sessions::new(settings.tick_time_ms, settings.server_id, at.wall);
        for (session, timeout_ms) in tree.sessions() {
            sessions.restore(at.now, session, timeout_ms);
        }
        let snapshot_trigger = SnapshotTrigger::new(
            settings.snap_count,
            settings.snap_size_limit_bytes,
            txns_logged,
            &mut rng,
        );
        let reaper = Reaper::new(at.now, settings.reaper, settings.extended_types);
        let throttle_settings = settings.connection_throttle;
        Self {
            connection_throttle: ConnectionThrottle::new(at.now, throttle_settings),
            settings,
            pipeline: Pipeline::new(tree, snapshot_trigger),
            sessions,
            reaper,
            quota_warnings: QuotaWarnings::default(),
            rng,
            record: Vec::new(),
            expired_sessions: 0,
            ensemble: None,
        }
    }

    /// A member of an ensemble takes over what recovery found, and looks for a leader. Nobody is
    /// served until there is one.
    ///
    /// `epochs` are the accepted and the current one as they are on disk. Without `may_vote` the
    /// data are unexpectedly missing, and this server has no say until a leader has given it some.
    #[must_use]
    #[allow(clippy::too_many_arguments)]
    pub fn in_ensemble(
        at: Clock,
        settings: Arc<Settings>,
        zab: Arc<ZabSettings>,
        config: Arc<QuorumConfig>,
        found: Found,
        epochs: (Epoch, Epoch),
        may_vote: bool,
        seed: u64,
        out: &mut Vec<Effect>,
    ) -> Self {
        let Found { mut tree, history, txns_logged } = found;
        tree.set_config(&config.text(), config.version, at.wall);
        let mut replica = Self::new(at, settings, tree, txns_logged, seed);
        let mut kept = History::new(replica.settings.history_count);
        fill_history(&mut kept, history, replica.pipeline.head.last_zxid());
        replica.pipeline.history = Some(kept);
        replica.sessions.clear();
        let settings = &replica.settings;
        let local = settings
            .local_sessions
            .then(|| LocalSessions::new(settings.tick_time_ms, settings.server_id, at.wall));
        let ensemble = Ensemble::new(zab, config, epochs, may_vote, local);
        replica.ensemble = Some(Box::new(ensemble));
        replica.pipeline.publish_now(vec![Notice::Service(Service::Down)], out);
        replica.drive(at, out);
        replica
    }

    /// Takes one input and appends what has to be done.
    pub fn handle(&mut self, at: Clock, input: Input, out: &mut Vec<Effect>) {
        self.hear(at, input, out);
        self.end_turn(out);
    }

    /// Takes one of several inputs that are taken together; [`Replica::end_turn`] follows the last
    /// one, before anything is carried out. What they bring about is shown together.
    pub fn hear(&mut self, at: Clock, input: Input, out: &mut Vec<Effect>) {
        match input {
            Input::FromShard(message) => self.hear_shard(at, message, out),
            Input::LogSynced(zxid) => {
                self.pipeline.log_synced(zxid, out);
                if self.ensemble.is_none() {
                    self.commit_up_to(zxid, out);
                } else {
                    self.log_synced_in_role(at, zxid);
                }
            }
            Input::SnapshotEnded => self.pipeline.snapshot_ended(out),
            Input::Deadline => self.deadline(at, out),
            peers => self.hear_peers(at, peers, out),
        }
        if self.ensemble.is_some() {
            self.drive(at, out);
        }
    }

    /// Appends what becomes of all the inputs since the last time.
    pub fn end_turn(&mut self, out: &mut Vec<Effect>) {
        self.pipeline.seal();
        self.publish_agreed(out);
    }

    /// When [`Input::Deadline`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        let own = self.orders().then(|| {
            let reaper = self.reaper.next_deadline();
            self.sessions.next_deadline().map_or(reaper, |sessions| sessions.min(reaper))
        });
        let ensemble = self.ensemble.as_ref().and_then(|ensemble| ensemble.next_deadline());
        own.into_iter().chain(ensemble).min()
    }

    /// How many znodes with a time to live stay for ever, as `extendedTypesEnabled` is not set.
    #[must_use]
    pub fn ttls_that_stay(&self) -> usize {
        if self.settings.extended_types { 0 } else { self.pipeline.committed().ttls().count() }
    }

    /// Everything there is to know about it.
    #[must_use]
    pub fn report(&self, at: Clock) -> ReplicaReport {
        ReplicaReport {
            tree: self.pipeline.committed().clone(),
            expiry: self.sessions.report(at),
            in_flight: self.pipeline.in_flight_count(),
            commits: self.pipeline.commits(),
            expired_sessions: self.expired_sessions,
            mode: self.ensemble.as_ref().map_or(Mode::Standalone, |ensemble| ensemble.mode()),
            ensemble: self.ensemble.as_ref().map(|ensemble| ensemble.report(at)),
        }
    }

    fn hear_shard(&mut self, at: Clock, message: ToReplica, out: &mut Vec<Effect>) {
        if let Some(notice) = self.turned_away(at, &message) {
            return self.pipeline.publish_now(vec![notice], out);
        }
        match message {
            ToReplica::Open { from, timeout_ms, .. } => self.open(at, from, timeout_ms, out),
            ToReplica::Resume { from, session, password, timeout_ms, .. } => {
                let proven = password == Some(sessions::password(session));
                self.resume(at, (from, session, proven, timeout_ms), out);
            }
            ToReplica::Request(request) => self.request(at, request, out),
            ToReplica::Touch(touches) => {
                for touch in touches {
                    if self.touch_local(touch.at, touch.session, touch.timeout_ms) {
                        continue;
                    }
                    match self.learning_mut() {
                        Some(learning) => {
                            learning.forwarding.touch(touch.session, touch.timeout_ms);
                        }
                        None => {
                            self.sessions.touch(touch.at, touch.session, touch.timeout_ms);
                        }
                    }
                }
            }
        }
    }

    /// Whether a client that wants a session may not have it here and now, and what it is told.
    fn turned_away(&mut self, at: Clock, message: &ToReplica) -> Option<Notice> {
        let (to, asks, last_zxid_seen) = match message {
            ToReplica::Open { from, last_zxid_seen, .. } => (*from, Asks::New, *last_zxid_seen),
            ToReplica::Resume { from, last_zxid_seen, .. } => {
                (*from, Asks::Renewed, *last_zxid_seen)
            }
            ToReplica::Request(_) | ToReplica::Touch(_) => return None,
        };
        let is_admitted = self.connection_throttle.admits(at.now, asks, &mut self.rng);
        if !is_admitted || !self.serves_new_clients() {
            return Some(Notice::TurnedAway { to });
        }
        // Judged here, since no shard has come further: a client that moves from one shard to
        // another may have seen what the other has yet to learn.
        let is_ahead = last_zxid_seen > self.pipeline.committed().last_zxid();
        is_ahead.then_some(Notice::Ahead { to })
    }

    /// Everything up to here is committed: publishes what is not shown together with more.
    fn commit_up_to(&mut self, zxid: Zxid, out: &mut Vec<Effect>) {
        self.pipeline.agree(zxid);
        self.publish_agreed(out);
    }

    /// Everything up to here is committed, and published now.
    fn publish_exactly(&mut self, zxid: Zxid, out: &mut Vec<Effect>) {
        self.pipeline.split_at(zxid);
        self.commit_up_to(zxid, out);
    }

    fn publish_agreed(&mut self, out: &mut Vec<Effect>) {
        let before = self.pipeline.commits();
        let ensemble = &mut self.ensemble;
        let mut before_publishing = |next: &mut InFlight| {
            if let Some(ensemble) = ensemble {
                ensemble.before_publishing(next);
            }
        };
        while self.pipeline.publish_next(&mut before_publishing, out) {}
        let published = self.pipeline.commits() - before;
        if let Some(ensemble) = self.ensemble.as_mut().filter(|ensemble| ensemble.reigns()) {
            ensemble.metrics.commits += published;
        }
    }
}

/// Fills a history with the end of a log that leads to `last`. What is before a gap is of no use,
/// and neither is what Apache's servers may have logged twice.
fn fill_history(history: &mut History, tail: Vec<(Zxid, TxnBody)>, last: Zxid) {
    history.clear();
    for (zxid, body) in tail {
        match history.last() {
            Some(before) if zxid <= before => continue,
            Some(before) if zxid != before.next() && zxid.epoch() == before.epoch() => {
                history.restart(Zxid(zxid.0 - 1));
            }
            _ => {}
        }
        history.push(zxid, body);
    }
    if history.last() != Some(last) {
        history.restart(last);
    }
}
