//! The learner, follower or observer: what [`ostler_zab::learner`] wants is done here, and what
//! this server's clients ask for is sent to the leader.
//!
//! A proposal is applied to the head and logged as it comes, and published when the leader says
//! that it is committed, but not before [`LearnerEffect::Serve`]: until then the leader itself
//! does not know whether its history will be that of a quorum. Answers to clients are made of the
//! transactions that come back.
//!
//! This server judges no session: it tells the leader who gave a sign of life, and asks it about
//! sessions that clients want back.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use ostler_tree::{Outcome, Tree};
use ostler_wire::acl::Id;
use ostler_wire::error::ErrorCode;
use ostler_wire::ids::{Epoch, SessionId, Sid, Zxid};
use ostler_wire::op::OpCode;
use ostler_wire::quorum::{ForwardedRequest, PacketKind, QuorumPacket, Touched};
use ostler_wire::request::Request as ClientRequest;
use ostler_wire::txn::{Txn, TxnDigest, TxnRecord};
use ostler_wire::vote::ServerState;
use ostler_zab::LinkId;
use ostler_zab::clock::Time;
use ostler_zab::history::TxnBody;
use ostler_zab::learner::{Learner, LearnerEffect};
use ostler_zab::quorum_config::QuorumConfig;
use ostler_zab::settings::ZabSettings;

use super::answers::Asked;
use super::forwarding::{Forwarding, Resume};
use super::leading::XID_OF_OPEN;
use super::requests::attached;
use super::snapshots::SnapshotTrigger;
use super::{Effect, EpochFile, Found, LogOp, Replica, fill_history};
use crate::clock::Clock;
use crate::messages::{ConnRef, Notice, Notices, ReplyBody, Request, Service};

/// A server that follows or observes, or tries to.
#[derive(Debug)]
pub(super) struct Learning {
    learner: Learner,
    leader_sid: Sid,
    effects: VecDeque<LearnerEffect>,
    /// Empty between calls.
    scratch: Vec<LearnerEffect>,
    serves: bool,
    /// What the leader has said is committed; published when this server serves.
    committed: Zxid,
    /// The zxid of a snapshot that its tree came as, and that may hold what is yet to come, as
    /// Java's do; until all of that has come.
    fuzzy_since: Option<Zxid>,
    /// What its own clients wait for.
    pub(super) forwarding: Forwarding,
    /// The sessions that this leader knows to be here, if it may believe them at an earlier link.
    claimed: BTreeSet<SessionId>,
}

impl Learning {
    pub(super) fn new(
        now: Time,
        zab: Arc<ZabSettings>,
        config: Arc<QuorumConfig>,
        leader_sid: Sid,
        epochs: (Epoch, Epoch),
        last: Zxid,
    ) -> Self {
        let mut effects = Vec::new();
        let learner = Learner::new(now, zab, config, leader_sid, epochs, last, &mut effects);
        Self {
            learner,
            leader_sid,
            effects: effects.into(),
            scratch: Vec::new(),
            serves: false,
            committed: Zxid::ZERO,
            fuzzy_since: None,
            forwarding: Forwarding::default(),
            claimed: BTreeSet::new(),
        }
    }

    /// Whom it follows or observes.
    pub(super) fn leader_sid(&self) -> Sid {
        self.leader_sid
    }

    /// Whether it has the leader's history, and serves clients.
    pub(super) fn serves(&self) -> bool {
        self.serves
    }

    pub(super) fn link(&self) -> Option<LinkId> {
        self.learner.link()
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.learner.next_deadline()
    }

    /// Tells the machine something; what it wants is done in order, by and by.
    pub(super) fn call(&mut self, tell: impl FnOnce(&mut Learner, &mut Vec<LearnerEffect>)) {
        tell(&mut self.learner, &mut self.scratch);
        self.effects.extend(self.scratch.drain(..));
    }

    pub(super) fn next_effect(&mut self) -> Option<LearnerEffect> {
        self.effects.pop_front()
    }

    /// Has the leader open a session, for a client that waits for it or one that has it already.
    pub(super) fn open(&mut self, from: Option<ConnRef>, session: SessionId, timeout_ms: i32) {
        if let Some(from) = from {
            self.forwarding.opening(session, from);
        }
        let op = OpCode::CreateSession.number();
        let body = timeout_ms.to_be_bytes().to_vec();
        self.send_request(&ForwardedRequest { session, xid: XID_OF_OPEN, op, body }, Vec::new());
    }

    /// Asks the leader whether a session is alive, and takes it over if it is.
    pub(super) fn resume(&mut self, from: ConnRef, session: SessionId, timeout_ms: i32) {
        self.forwarding.resuming(Resume { session, from, timeout_ms });
        self.revalidate(session, timeout_ms);
    }

    /// Tells a leader that has been left and found again that a session is still here, before its
    /// first request: a client that was held meanwhile has noticed nothing.
    // Java: SessionTrackerImpl.checkSession goes by the link, so the request would have moved. Its
    // followers close all connections when they lose their leader, and each client asks again.
    fn claim(&mut self, session: SessionId, timeout_ms: i32) {
        if self.learner.rejoins() && self.claimed.insert(session) {
            self.revalidate(session, timeout_ms);
        }
    }

    fn revalidate(&mut self, session: SessionId, timeout_ms: i32) {
        let mut data = Vec::new();
        Touched { session, timeout_ms }.write(&mut data);
        self.send(QuorumPacket::with_data(PacketKind::Revalidate, Zxid::NONE, data));
    }

    fn send_request(&mut self, request: &ForwardedRequest, ids: Vec<Id>) {
        let packet = QuorumPacket::with_data(PacketKind::Request, Zxid::NONE, request.encode());
        self.send(QuorumPacket { ids, ..packet });
    }

    fn send(&mut self, packet: QuorumPacket) {
        let link = self.learner.link().expect("who serves is connected to the leader");
        self.effects.push_back(LearnerEffect::Send(link, packet));
    }
}

impl Replica {
    /// Sends a client's request to the leader. What cannot be read is answered here, as Apache's
    /// leaders do not survive it.
    pub(super) fn forward(
        &mut self,
        request: Request,
        refusal: Option<ErrorCode>,
        out: &mut Vec<Effect>,
    ) {
        let asked = Asked::of(&request);
        let Request { session, xid, op, body, ids, .. } = request;
        let zxid = self.pipeline.committed().last_zxid();
        let global_timeout_ms = self.pipeline.committed().session_timeout_ms(session);
        let Some(learning) = self.learning_mut() else { return };
        match ClientRequest::decode(op, &body) {
            Err(_) => {
                let reply = asked.reply(zxid, ErrorCode::MARSHALLING_ERROR, ReplyBody::Empty);
                if let Some(notice) = learning.forwarding.answer_in_turn(session, asked, reply) {
                    self.pipeline.publish_now(vec![notice], out);
                }
                return;
            }
            Ok(ClientRequest::Sync { path }) => {
                learning.forwarding.syncing(session, asked, path.map(|path| (&*path).into()));
            }
            Ok(_) => learning.forwarding.forwarded(session, asked, refusal),
        }
        if let Some(timeout_ms) = global_timeout_ms {
            learning.claim(session, timeout_ms);
        }
        let body = if op == OpCode::CloseSession { Vec::new() } else { body };
        let request = ForwardedRequest { session, xid, op: op.number(), body };
        learning.send_request(&request, ids.to_vec());
    }

    /// Carries out one wish of the learner's machine.
    pub(super) fn do_for_learner(
        &mut self,
        at: Clock,
        effect: LearnerEffect,
        out: &mut Vec<Effect>,
    ) {
        match effect {
            LearnerEffect::Dial(leader) => out.push(Effect::DialLeader(leader)),
            LearnerEffect::Send(link, packet) => out.push(Effect::Send(link, packet)),
            LearnerEffect::WriteAcceptedEpoch(epoch) => {
                self.write_epoch(EpochFile::Accepted, epoch, out);
            }
            LearnerEffect::WriteCurrentEpoch(epoch) => {
                self.write_epoch(EpochFile::Current, epoch, out);
            }
            LearnerEffect::Truncate(zxid) => self.truncate(at, zxid, out),
            LearnerEffect::Append(zxid, body) => self.append(at, zxid, body, out),
            LearnerEffect::Committed(zxid) => {
                let Some(learning) = self.learning_mut() else { return };
                learning.committed = learning.committed.max(zxid);
                if learning.serves {
                    self.commit_up_to(zxid, out);
                    self.member().metrics.commits_received += 1;
                }
            }
            LearnerEffect::Serve(epoch) => self.serve(at, epoch, out),
            LearnerEffect::Ping(ping) => {
                let Some(learning) = self.learning_mut() else { return };
                let touched = learning.forwarding.take_touched();
                learning.call(|learner, to| learner.pong(ping, &touched, to));
            }
            LearnerEffect::Revalidated(session, is_alive) => {
                self.revalidated(session, is_alive, out);
            }
            LearnerEffect::Synced => {
                // Whoever asked may see all that the leader had committed, and not in a while.
                self.publish_exactly(self.pipeline.agreed(), out);
                let zxid = self.pipeline.committed().last_zxid();
                let mut told = Notices::new();
                if let Some(learning) = self.learning_mut() {
                    learning.forwarding.synced(zxid, &mut told);
                }
                if !told.is_empty() {
                    self.pipeline.publish_now(told.into_vec(), out);
                }
            }
            LearnerEffect::GiveUp(reason) => self.leave(at, reason, out),
        }
    }

    /// The leader answered the dial, or it did not.
    pub(super) fn dialled(
        &mut self,
        at: Clock,
        sid: Sid,
        link: Option<LinkId>,
        out: &mut Vec<Effect>,
    ) {
        let is_it =
            |learning: &&mut Learning| learning.leader_sid == sid && learning.link().is_none();
        match (self.learning_mut().filter(is_it), link) {
            (Some(learning), Some(link)) => {
                learning.call(|learner, to| learner.dialled(at.now, link, to));
            }
            (Some(learning), None) => learning.call(|learner, to| learner.dial_failed(at.now, to)),
            (None, Some(link)) => out.push(Effect::CloseLink(link, "nobody waits for it any more")),
            (None, None) => {}
        }
    }

    /// Logs a transaction of the leader and applies it to the head.
    fn append(&mut self, at: Clock, zxid: Zxid, body: TxnBody, out: &mut Vec<Effect>) {
        let follows = zxid > self.pipeline.head.last_zxid();
        let record = match TxnRecord::decode(&body) {
            Ok(record) if record.header.zxid == zxid && follows => record,
            Ok(_) => return self.leave(at, "the leader goes back in history", out),
            Err(_) => {
                // Another try would end alike.
                self.leave(at, "a transaction cannot be read", out);
                return out.push(Effect::Stop("the leader's transactions cannot be read"));
            }
        };
        let Some(learning) = self.learning_mut() else { return };
        let serves = learning.serves;
        let session = record.header.session;
        let asked = learning.forwarding.proposed(session, record.header.cxid, &record.txn);
        if asked.is_some_and(|(asked, _)| asked.is_parted) {
            self.pipeline.seal();
        }
        let (outcome, changes) = self.pipeline.apply(&record.header, &record.txn);
        self.compare_digests(zxid, record.digest, out);
        let Some(learning) = self.learning_mut() else { return };
        let told = (changes, learning.told_of(&record, asked, outcome));
        let awaited_by = asked.map(|_| session);
        self.pipeline.append(body.clone(), told, awaited_by, &mut self.rng, out);
        let member = self.member();
        let counts = serves && member.election.state() == ServerState::Following;
        member.metrics.proposals_received += u64::from(counts);
    }

    fn compare_digests(&mut self, zxid: Zxid, theirs: Option<TxnDigest>, out: &mut Vec<Effect>) {
        let Some(theirs) = theirs.filter(|theirs| theirs.version == TxnDigest::VERSION) else {
            return;
        };
        let compares = self.settings.digest_enabled
            && self.learning().is_some_and(|learning| learning.fuzzy_since.is_none());
        let differ = compares && theirs.tree_digest != self.pipeline.head.digest();
        let member = self.member();
        member.metrics.digest_mismatches += u64::from(differ);
        if differ && !member.digests_differ {
            out.push(Effect::DigestMismatch(zxid));
        }
        member.digests_differ = differ;
    }

    /// From now on this server shows what the leader has shown.
    fn serve(&mut self, at: Clock, epoch: Epoch, out: &mut Vec<Effect>) {
        let member = self.member();
        member.may_vote = true;
        member.needs_snapshot_of = None;
        member.election.settled(epoch);
        let Some(learning) = self.learning_mut() else { return };
        learning.serves = true;
        let fuzzy_since = learning.fuzzy_since.take();
        let committed = learning.committed;
        self.publish_exactly(committed, out);
        if fuzzy_since.is_some_and(|zxid| zxid < committed) {
            // From the one on disk this server would start with the digest of no tree that ever
            // was, and tell of differences that there are not.
            self.pipeline.want_snapshot(out);
        }
        self.pipeline.begin_epoch(epoch.first_zxid(), false);
        self.serve_as(at, Service::Up, Vec::new(), out);
    }

    fn revalidated(&mut self, session: SessionId, is_alive: bool, out: &mut Vec<Effect>) {
        let Some(learning) = self.learning_mut() else { return };
        let Some(resume) = learning.forwarding.resumed(session) else { return };
        let notice = if is_alive {
            attached(resume.from, session, resume.timeout_ms)
        } else {
            Notice::Refused { to: resume.from }
        };
        self.pipeline.publish_now(vec![notice], out);
    }

    /// Drops everything behind `zxid`.
    fn truncate(&mut self, at: Clock, zxid: Zxid, out: &mut Vec<Effect>) {
        let reload = self.pipeline.truncate(zxid);
        if reload {
            // Clients have seen what is not true.
            self.serve_as(at, Service::Down, Vec::new(), out);
        }
        self.member().log_duties.truncation = Some(zxid);
        out.push(Effect::Log(LogOp::Truncate { zxid, reload }));
    }

    /// The log was cut.
    pub(super) fn truncated(&mut self, at: Clock, found: Option<Found>) {
        let zxid = self.member().log_duties.truncation.take();
        let zxid = zxid.expect("only what was asked for is done");
        match found {
            None => self.pipeline.truncated(zxid),
            Some(Found { mut tree, history, txns_logged }) => {
                tree.set_last_zxid(zxid);
                self.replace_tree(at, tree, txns_logged);
                if let Some(kept) = &mut self.pipeline.history {
                    fill_history(kept, history, zxid);
                }
            }
        }
        if let Some(learning) = self.learning_mut() {
            learning.call(|learner, to| learner.truncated(at.now, to));
        }
    }

    /// The log could not be cut: this server cannot go back to where its leader goes on.
    pub(super) fn truncate_failed(&mut self, at: Clock, found: Found, out: &mut Vec<Effect>) {
        let Found { tree, history, txns_logged } = found;
        self.serve_as(at, Service::Down, Vec::new(), out);
        self.replace_tree(at, tree, txns_logged);
        let last = self.pipeline.head.last_zxid();
        if let Some(kept) = &mut self.pipeline.history {
            fill_history(kept, history, last);
        }
        let member = self.member();
        member.log_duties.truncation = None;
        member.needs_snapshot_of = Some(member.accepted_epoch);
        if let Some(learning) = self.learning_mut() {
            learning.call(|learner, to| learner.truncate_failed(to));
        }
    }

    /// The leader has sent all that there is.
    pub(super) fn snapshot_received(
        &mut self,
        at: Clock,
        link: LinkId,
        tree: Tree,
        out: &mut Vec<Effect>,
    ) {
        if self.learning().is_none_or(|learning| learning.link() != Some(link)) {
            return;
        }
        self.serve_as(at, Service::Down, Vec::new(), out);
        self.replace_tree(at, tree, 0);
        let member = self.member();
        member.log_duties.is_installing = true;
        member.needs_snapshot_of = None;
        member.digests_differ = false;
        let last = self.pipeline.head.last_zxid();
        out.push(Effect::Log(LogOp::Install(self.pipeline.head.clone().into())));
        if let Some(learning) = self.learning_mut() {
            learning.fuzzy_since = Some(last);
            learning.call(|learner, to| learner.snapshot_received(at.now, link, to));
        }
    }

    fn replace_tree(&mut self, at: Clock, mut tree: Tree, txns_logged: u64) {
        let config = &self.member().config;
        tree.set_config(&config.text(), config.version, at.wall);
        for (session, _) in tree.sessions() {
            self.sessions.avoid(session);
        }
        let trigger = SnapshotTrigger::new(
            self.settings.snap_count,
            self.settings.snap_size_limit_bytes,
            txns_logged,
            &mut self.rng,
        );
        self.pipeline.replace(tree, trigger);
    }
}

impl Learning {
    /// What this server's clients are told when a transaction is committed; `asked` is the one who
    /// waits for it, if there is one.
    fn told_of(
        &mut self,
        record: &TxnRecord<'_>,
        asked: Option<(Asked, Option<ErrorCode>)>,
        outcome: Outcome,
    ) -> Notices {
        let header = record.header;
        if let Txn::CreateSession { timeout_ms } = record.txn {
            self.forwarding.touch(header.session, timeout_ms);
            let opened = self.forwarding.opened(header.session);
            let notice = opened.map(|from| attached(from, header.session, timeout_ms));
            return notice.into_iter().collect();
        }
        let mut notices = Notices::new();
        if let Some((asked, instead)) = asked {
            let mut reply = asked.answer(header.zxid, &record.txn, outcome);
            if let (Txn::Error(_), Some(err)) = (&record.txn, instead) {
                reply.err = err;
            }
            notices.push(Notice::Reply(reply));
        }
        if let Txn::CloseSession { .. } = record.txn {
            notices.push(Notice::Ended(header.session));
        }
        notices
    }
}
