//! The replica: one server's single writer, as a pure machine. Here in the standalone role.
//!
//! A request becomes a transaction by the checks in `prepare`, is applied to the head tree at once,
//! and waits in flight until the log is on disk; then it is published. Nothing that was not synced
//! is ever shown to anybody.

mod connection_throttle;
mod prepare;
mod quota;
mod reaper;
mod sessions;
mod snapshots;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;

use ostler_tree::{Change, Outcome, Tree};
use ostler_wire::acl::Id;
use ostler_wire::error::ErrorCode;
use ostler_wire::ids::{Epoch, SessionId, Sid, Xid, Zxid};
use ostler_wire::jute::DecodeError;
use ostler_wire::op::OpCode;
use ostler_wire::quorum::QuorumPacket;
use ostler_wire::reply::OpResult;
use ostler_wire::request::Request as ClientRequest;
use ostler_wire::txn::{CreateKind, Txn, TxnDigest, TxnHeader, TxnRecord};
use ostler_wire::vote::Notification;
use ostler_zab::LinkId;
use ostler_zab::history::TxnBody;

use crate::clock::{Clock, Time};
use crate::limits::Settings;
use crate::messages::{Commit, ConnRef, Notice, Reply, ReplyBody, Request, ToReplica};
use crate::rng::Rng;
use crate::status::{Mode, ReplicaReport};
use connection_throttle::{Asks, ConnectionThrottle};
use prepare::Judge;
pub use quota::Excess;
use quota::{QuotaJudge, QuotaWarnings};
use reaper::Reaper;
use sessions::Sessions;
use snapshots::SnapshotTrigger;

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
    /// A link is gone, whoever closed it. Always the last word about it.
    LinkDown(LinkId),
    /// Answers [`LogOp::WriteEpoch`].
    EpochWritten(EpochFile, Epoch),
    /// Answers [`LogOp::Truncate`]: what is on disk now, if it was to be loaded again.
    Truncated(Option<Found>),
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
    /// Send the snapshot stream of this tree, in order with the packets.
    SendSnapshot(LinkId, Tree),
    /// Send what is waiting, then close. Answered by [`Input::LinkDown`].
    CloseLink(LinkId, &'static str),
    /// The server cannot go on and must end.
    Stop(&'static str),
    /// Must reach every shard, in exactly this order.
    Publish(Commit),
    /// Write this tree to a snapshot, beside everything else. Answered by
    /// [`Input::SnapshotEnded`].
    WriteSnapshot(Tree),
    /// To be logged as a warning.
    QuotaExceeded(Excess),
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
    /// Drop everything behind `zxid`, from logs and snapshots. Answered by [`Input::Truncated`].
    Truncate {
        /// What stays is up to here.
        zxid: Zxid,
        /// Whether the tree has to be loaded again.
        reload: bool,
    },
    /// Bring this tree to disk in place of everything there: a snapshot, then a new log.
    Install(Tree),
}

/// One server's single writer.
#[derive(Debug)]
pub struct Replica {
    settings: Arc<Settings>,
    /// Everything that was proposed.
    head: Tree,
    /// Everything that was published.
    committed: Tree,
    /// Invariant: in the order of `wait_for`; nothing here has been published.
    in_flight: VecDeque<InFlight>,
    /// How far the log is on disk.
    synced: Zxid,
    sessions: Sessions,
    connection_throttle: ConnectionThrottle,
    snapshot_trigger: SnapshotTrigger,
    snapshot_running: bool,
    reaper: Reaper,
    quota_warnings: QuotaWarnings,
    rng: Rng,
    commits: u64,
}

/// A step that waits for the disk.
#[derive(Debug)]
struct InFlight {
    /// Published when the log is synced up to here.
    wait_for: Zxid,
    commit: Commit,
    /// Whether the log was rolled behind it, so that a snapshot of it is due.
    snapshot_due: bool,
}

impl Replica {
    /// Takes over what recovery found. Sessions start with their full timeout.
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
            head: tree.clone(),
            synced: tree.last_zxid(),
            committed: tree,
            in_flight: VecDeque::new(),
            sessions,
            snapshot_trigger,
            snapshot_running: false,
            reaper,
            quota_warnings: QuotaWarnings::default(),
            rng,
            commits: 0,
        }
    }

    /// Takes one input and appends what has to be done.
    pub fn handle(&mut self, at: Clock, input: Input, out: &mut Vec<Effect>) {
        if let Some(to) = self.turned_away(at, &input) {
            return self.publish_now(vec![Notice::TurnedAway { to }], out);
        }
        match input {
            // Judged here, since no shard has come further: a client that moves from one shard to
            // another may have seen what the other has yet to learn.
            Input::FromShard(
                ToReplica::Open { from, last_zxid_seen, .. }
                | ToReplica::Resume { from, last_zxid_seen, .. },
            ) if last_zxid_seen > self.committed.last_zxid() => {
                self.publish_now(vec![Notice::Ahead { to: from }], out);
            }
            Input::FromShard(ToReplica::Open { from, timeout_ms, .. }) => {
                self.open(at, from, timeout_ms, out);
            }
            Input::FromShard(ToReplica::Resume { from, session, password, timeout_ms, .. }) => {
                let known = password == Some(sessions::password(session))
                    && self.sessions.renew(at.now, session, timeout_ms);
                let answer = if known {
                    self.attached(from, session, timeout_ms)
                } else {
                    Notice::Refused { to: from }
                };
                // The rightful holder loses its connection even to a wrong password, as in Java.
                let evict = Notice::Evict { session, keep: from };
                self.publish_now(vec![evict, answer], out);
            }
            Input::FromShard(ToReplica::Request(request)) => self.request(at, request, out),
            Input::FromShard(ToReplica::Touch(touches)) => {
                for touch in touches {
                    self.sessions.touch(touch.at, touch.session, touch.timeout_ms);
                }
            }
            Input::LogSynced(zxid) => self.log_synced(zxid, out),
            Input::SnapshotEnded => self.snapshot_running = false,
            Input::Vote(..)
            | Input::ElectionConnected(_)
            | Input::ElectionUnreachable(_)
            | Input::Dialled(..)
            | Input::Accepted(_)
            | Input::Packet(..)
            | Input::Snapshot(..)
            | Input::LinkDown(_)
            | Input::EpochWritten(..)
            | Input::Truncated(_)
            | Input::HandOver => todo!(),
            Input::Deadline => {
                for session in self.sessions.due(at.now) {
                    self.close_session(at, session, Xid(0), None, out);
                }
                if let Some(path) = self.reaper.next(at, &self.committed, &self.head) {
                    let txn = Txn::Delete { path: (&*path).into(), container: true };
                    let header = self.header(at, SessionId::NONE, Xid(0));
                    self.propose(header, &txn, out, |_, _| Vec::new());
                }
            }
        }
    }

    /// When [`Input::Deadline`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        let reaper = self.reaper.next_deadline();
        Some(self.sessions.next_deadline().map_or(reaper, |sessions| sessions.min(reaper)))
    }

    /// How many znodes with a time to live stay for ever, as `extendedTypesEnabled` is not set.
    #[must_use]
    pub fn ttls_that_stay(&self) -> usize {
        if self.settings.extended_types { 0 } else { self.committed.ttls().count() }
    }

    /// Everything there is to know about it.
    #[must_use]
    pub fn report(&self, at: Clock) -> ReplicaReport {
        ReplicaReport {
            tree: self.committed.clone(),
            expiry: self.sessions.report(at),
            in_flight: self.in_flight.len(),
            commits: self.commits,
            mode: Mode::Standalone,
            ensemble: None,
        }
    }

    /// Who wants a session and may not have it now.
    fn turned_away(&mut self, at: Clock, input: &Input) -> Option<ConnRef> {
        let (from, asks) = match input {
            Input::FromShard(ToReplica::Open { from, .. }) => (*from, Asks::New),
            Input::FromShard(ToReplica::Resume { from, .. }) => (*from, Asks::Renewed),
            _ => return None,
        };
        let admitted = self.connection_throttle.admits(at.now, asks, &mut self.rng);
        (!admitted).then_some(from)
    }

    fn open(&mut self, at: Clock, from: ConnRef, timeout_ms: i32, out: &mut Vec<Effect>) {
        let session = self.sessions.open(at.now, timeout_ms);
        let header = self.header(at, session, Xid(0));
        let txn = Txn::CreateSession { timeout_ms };
        self.propose(header, &txn, out, |replica, _| {
            vec![replica.attached(from, session, timeout_ms)]
        });
    }

    fn attached(&self, to: ConnRef, session: SessionId, timeout_ms: i32) -> Notice {
        Notice::Attached { to, session, timeout_ms, password: sessions::password(session) }
    }

    fn request(&mut self, at: Clock, request: Request, out: &mut Vec<Effect>) {
        let Request { from, session, xid, op, body, ids } = request;
        let body_bytes = body.len();
        if !self.sessions.contains(session) {
            // Java: ZooKeeperServer.submitRequestNow says nothing to a session that is gone. What
            // the session asked before is still to be answered, so this has to wait its turn too.
            return self.publish_in_order(vec![Notice::Dropped { to: from, body_bytes }], out);
        }
        let asked = Asked { to: from, xid, op, body_bytes };
        let decoded = ClientRequest::decode(op, &body);
        let header = self.header(at, session, xid);
        let excess = Cell::new(None);
        let judge = self.judge(&ids, &excess);
        let txn = match decoded {
            Ok(ClientRequest::CloseSession) => {
                return self.close_session(at, session, xid, Some(asked), out);
            }
            Ok(ClientRequest::Sync { path }) => {
                let path = path.map(|path| Box::from(&*path));
                return self.answer_in_order(asked, ErrorCode::OK, ReplyBody::Sync(path), out);
            }
            Ok(ClientRequest::Reconfig { .. }) => Txn::Error(if self.settings.reconfig_enabled {
                // There is no ensemble whose members could change.
                ErrorCode::UNIMPLEMENTED
            } else {
                ErrorCode::RECONFIG_DISABLED
            }),
            Ok(ClientRequest::Multi(parts)) => judge.multi(&header, parts),
            Ok(single) => judge.prepare(single).unwrap_or_else(Txn::Error),
            // What cannot be read takes no zxid, but Java notices some of it late enough that it
            // does, as a refused request does: a null path, and in a multi almost all that is
            // wrong.
            Err(DecodeError::UnexpectedNull) => Txn::Error(ErrorCode::MARSHALLING_ERROR),
            Err(error) if op == OpCode::Multi && error != DecodeError::NullAcl => {
                Txn::Error(ErrorCode::MARSHALLING_ERROR)
            }
            Err(_) => {
                let err = ErrorCode::MARSHALLING_ERROR;
                return self.answer_in_order(asked, err, ReplyBody::Empty, out);
            }
        };
        let warning = self.quota_warnings.take(at.now, excess.into_inner());
        out.extend(warning.map(Effect::QuotaExceeded));
        self.propose(header, &txn, out, |_, outcome| {
            vec![Notice::Reply(asked.answer(header.zxid, &txn, outcome))]
        });
    }

    fn judge<'s>(&'s self, ids: &'s [Id], excess: &'s Cell<Option<Excess>>) -> Judge<'s> {
        let (head, settings) = (&self.head, &*self.settings);
        let quota = QuotaJudge { tree: head, enforced: settings.enforce_quota, excess };
        Judge { head, settings, ids, quota }
    }

    /// Ends a session, because its client asked for it or because its time has come.
    fn close_session(
        &mut self,
        at: Clock,
        session: SessionId,
        xid: Xid,
        asked: Option<Asked>,
        out: &mut Vec<Effect>,
    ) {
        let was_alive = self.sessions.remove(session);
        assert!(was_alive, "only living sessions are closed");
        let header = self.header(at, session, xid);
        // Ephemerals still in flight are in the head tree, so they are in the list.
        let before = self.head.clone();
        let paths = before.ephemerals(session).map(Into::into).collect();
        self.propose(header, &Txn::CloseSession { paths: Some(paths) }, out, |_, _| {
            let reply = asked.map(|asked| {
                Notice::Reply(asked.reply(header.zxid, ErrorCode::OK, ReplyBody::Empty))
            });
            reply.into_iter().chain([Notice::Ended(session)]).collect()
        });
    }

    fn header(&self, at: Clock, session: SessionId, cxid: Xid) -> TxnHeader {
        TxnHeader { session, cxid, zxid: self.head.last_zxid().next(), time: at.wall }
    }

    /// Applies a transaction to the head, logs it, and lets its commit wait for the disk.
    fn propose(
        &mut self,
        header: TxnHeader,
        txn: &Txn<'_>,
        out: &mut Vec<Effect>,
        notices: impl FnOnce(&Self, Outcome) -> Vec<Notice>,
    ) {
        let mut changes: Vec<Change> = Vec::new();
        let outcome = self.head.apply(&header, txn, &mut changes);
        assert_eq!(self.head.last_zxid(), header.zxid, "every transaction moves the tree on");
        let refused = matches!(txn, Txn::Error(_));
        assert!(refused || !matches!(outcome, Outcome::Error(_)), "prepared, yet {outcome:?}");
        let digest = (self.settings.digest_enabled && !refused)
            .then(|| TxnDigest { version: TxnDigest::VERSION, tree_digest: self.head.digest() });
        let mut body = Vec::with_capacity(RECORD_BYTES_GUESS);
        TxnRecord::encode_parts(&header, txn, digest, &mut body);
        let snapshot_due = self.snapshot_trigger.logged(body.len(), &mut self.rng);
        out.push(Effect::Log(LogOp::Append { zxid: header.zxid, body: body.into() }));
        if snapshot_due {
            out.push(Effect::Log(LogOp::Roll));
        }
        let notices = notices(self, outcome);
        let commit = Commit { view: self.head.clone(), zxid: header.zxid, changes, notices };
        self.in_flight.push_back(InFlight { wait_for: header.zxid, commit, snapshot_due });
    }

    /// Answers a request that makes no transaction, behind everything that was proposed before it.
    fn answer_in_order(
        &mut self,
        asked: Asked,
        err: ErrorCode,
        body: ReplyBody,
        out: &mut Vec<Effect>,
    ) {
        let zxid = self.head.last_zxid();
        self.publish_in_order(vec![Notice::Reply(asked.reply(zxid, err, body))], out);
    }

    /// Tells the shards something without a transaction, behind everything that was proposed.
    fn publish_in_order(&mut self, notices: Vec<Notice>, out: &mut Vec<Effect>) {
        if self.in_flight.is_empty() {
            return self.publish_now(notices, out);
        }
        let view = self.head.clone();
        let wait_for = view.last_zxid();
        let commit = Commit { view, zxid: Zxid::NONE, changes: Vec::new(), notices };
        self.in_flight.push_back(InFlight { wait_for, commit, snapshot_due: false });
    }

    /// Tells the shards something that has nothing to do with transactions.
    fn publish_now(&self, notices: Vec<Notice>, out: &mut Vec<Effect>) {
        let view = self.committed.clone();
        out.push(Effect::Publish(Commit { view, zxid: Zxid::NONE, changes: Vec::new(), notices }));
    }

    fn log_synced(&mut self, zxid: Zxid, out: &mut Vec<Effect>) {
        assert!(zxid >= self.synced, "the log does not go back");
        assert!(zxid <= self.head.last_zxid(), "the log does not run ahead");
        self.synced = zxid;
        while let Some(next) = self.in_flight.pop_front_if(|next| next.wait_for <= zxid) {
            self.committed = next.commit.view.clone();
            self.commits += u64::from(next.commit.zxid != Zxid::NONE);
            if next.snapshot_due && !self.snapshot_running {
                self.snapshot_running = true;
                out.push(Effect::WriteSnapshot(self.committed.clone()));
            }
            out.push(Effect::Publish(next.commit));
        }
    }
}

/// Who waits for which answer.
#[derive(Clone, Copy)]
struct Asked {
    to: ConnRef,
    xid: Xid,
    op: OpCode,
    body_bytes: usize,
}

impl Asked {
    fn reply(self, zxid: Zxid, err: ErrorCode, body: ReplyBody) -> Reply {
        Reply { to: self.to, xid: self.xid, zxid, err, body, body_bytes: self.body_bytes }
    }

    /// The answer to a request whose transaction had this outcome.
    fn answer(self, zxid: Zxid, txn: &Txn<'_>, outcome: Outcome) -> Reply {
        let body = match outcome {
            Outcome::Error(err) => return self.reply(zxid, err, ReplyBody::Empty),
            Outcome::Created(stat) => {
                let path = Box::from(txn.path().expect("a create has a path"));
                match self.op {
                    OpCode::Create => ReplyBody::Path(path),
                    _ => ReplyBody::PathStat(path, stat),
                }
            }
            Outcome::DataSet(stat) | Outcome::AclSet(stat) => ReplyBody::Stat(stat),
            Outcome::Multi(outcomes) => ReplyBody::Multi(multi_results(txn, outcomes)),
            Outcome::Deleted
            | Outcome::Checked
            | Outcome::SessionCreated
            | Outcome::SessionClosed => ReplyBody::Empty,
        };
        self.reply(zxid, ErrorCode::OK, body)
    }
}

fn multi_results(txn: &Txn<'_>, outcomes: Vec<Outcome>) -> Vec<OpResult> {
    let Txn::Multi(parts) = txn else { unreachable!("only a multi has the outcome of one") };
    parts.iter().zip(outcomes).map(|(part, outcome)| multi_result(part, outcome)).collect()
}

fn multi_result(part: &Txn<'_>, outcome: Outcome) -> OpResult {
    match (outcome, part) {
        (Outcome::Created(stat), Txn::Create(create)) => {
            let path = create.path.clone().into_owned();
            match create.kind {
                CreateKind::Plain { .. } => OpResult::Created { path },
                _ => OpResult::CreatedWithStat { path, stat },
            }
        }
        (Outcome::Deleted, _) => OpResult::Deleted,
        (Outcome::DataSet(stat), _) => OpResult::DataSet(stat),
        (Outcome::Checked, _) => OpResult::Checked,
        (Outcome::Error(err), _) => OpResult::Error(err),
        (outcome, part) => unreachable!("{part:?} in a multi had the outcome {outcome:?}"),
    }
}

/// Most records are shorter; longer ones grow.
const RECORD_BYTES_GUESS: usize = 256;
