//! Requests into transactions: what a server does that decides the order, alone or as a leader.
//!
//! Whether a request is allowed is judged in `prepare`, by the head tree; whether its session may
//! ask at all, here. What a learner sends for its clients takes the same way.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;

use ostler_tree::Outcome;
use ostler_wire::acl::Id;
use ostler_wire::error::ErrorCode;
use ostler_wire::ids::{SessionId, Xid};
use ostler_wire::jute::DecodeError;
use ostler_wire::op::OpCode;
use ostler_wire::request::Request as ClientRequest;
use ostler_wire::txn::{Txn, TxnDigest, TxnHeader, TxnRecord};

use super::answers::Asked;
use super::owners::Owner;
use super::prepare::Judge;
use super::quota::{Excess, QuotaJudge};
use super::{Effect, Replica, sessions};
use crate::clock::Clock;
use crate::messages::{ConnRef, Notice, Notices, ReplyBody, Request};

impl Replica {
    /// Whether requests become transactions here, now.
    pub(super) fn orders(&self) -> bool {
        self.ensemble.as_ref().is_none_or(|ensemble| ensemble.orders())
    }

    /// Whether a client may get a session here, now.
    pub(super) fn serves_new_clients(&self) -> bool {
        self.orders()
            || self.learning().is_some_and(|learning| learning.serves())
            || self.is_read_only()
    }

    /// Makes a session for a client.
    pub(super) fn open(
        &mut self,
        at: Clock,
        from: ConnRef,
        timeout_ms: i32,
        out: &mut Vec<Effect>,
    ) {
        let session = self.sessions.next_id();
        if self.open_local(at, session, timeout_ms) {
            return self.pipeline.publish_now(vec![attached(from, session, timeout_ms)], out);
        }
        if self.is_read_only() {
            // Java sends something that no client understands.
            return self.pipeline.publish_now(vec![Notice::TurnedAway { to: from }], out);
        }
        if let Some(learning) = self.learning_mut() {
            return learning.open(Some(from), session, timeout_ms);
        }
        self.track(at, session, timeout_ms, Owner::Here);
        let header = self.header(at, session, Xid(0));
        self.propose(at, header, &Txn::CreateSession { timeout_ms }, out, |_| {
            [attached(from, session, timeout_ms)].into()
        });
    }

    /// Gives a session back to a client that has proven that it is its own, if there is one.
    pub(super) fn resume(
        &mut self,
        at: Clock,
        (from, session, proven, timeout_ms): (ConnRef, SessionId, bool, i32),
        out: &mut Vec<Effect>,
    ) {
        if self.is_read_only() {
            return self.resume_read_only(at, (from, session, proven, timeout_ms), out);
        }
        // The rightful holder loses its connection even to a wrong password, as in Java.
        let mut notices = vec![Notice::Evict { session, keep: Some(from) }];
        if proven && self.is_local(session) && self.open_local(at, session, timeout_ms) {
            notices.push(attached(from, session, timeout_ms));
            return self.pipeline.publish_now(notices, out);
        }
        match self.learning_mut() {
            Some(learning) if proven => learning.resume(from, session, timeout_ms),
            _ => {
                let is_alive = proven
                    && self.learning().is_none()
                    && self.renew(at, session, timeout_ms, Owner::Here);
                notices.push(if is_alive {
                    attached(from, session, timeout_ms)
                } else {
                    Notice::Refused { to: from }
                });
            }
        }
        self.pipeline.publish_now(notices, out);
    }

    /// Orders a client's request, or has the leader do it.
    pub(super) fn request(&mut self, at: Clock, request: Request, out: &mut Vec<Effect>) {
        if request.behind_read {
            self.pipeline.seal();
        }
        if self.orders() {
            if let Some((request, refusal)) = self.local_request(at, request, out) {
                self.order(at, request, refusal, out);
            }
        } else if self.learning().is_some_and(|learning| learning.serves()) {
            if let Some((request, refusal)) = self.local_request(at, request, out) {
                self.forward(request, refusal, out);
            }
        } else if self.is_read_only() {
            self.refuse_write(&request, out);
        } else if let Some(leading) = self.leading_mut().filter(|leading| leading.is_established())
        {
            // It is about to hand over; who asked will be disconnected then.
            leading.held.push(Asked::of(&request));
        } else {
            // Its connection is being closed: nobody serves it.
            self.pipeline.publish_now(vec![Asked::of(&request).dropped()], out);
        }
    }

    /// Orders a request; `no_ephemerals` says why it may make none.
    fn order(
        &mut self,
        at: Clock,
        request: Request,
        no_ephemerals: Option<ErrorCode>,
        out: &mut Vec<Effect>,
    ) {
        let asked = Asked::of(&request);
        let Request { session, xid, op, body, ids, .. } = request;
        if !self.sessions.contains(session) && !self.is_local(session) {
            // Java: ZooKeeperServer.submitRequestNow says nothing to a session that is gone. What
            // the session asked before is still to be answered, so this has to wait its turn too.
            return self.pipeline.publish_in_order(vec![asked.dropped()], out);
        }
        match ClientRequest::decode(op, &body) {
            Ok(ClientRequest::CloseSession) => {
                self.close_session(at, session, xid, Some(asked), out);
            }
            Ok(ClientRequest::Sync { path }) => {
                let path = path.map(|path| Box::from(&*path));
                self.answer_in_order(asked, ErrorCode::OK, ReplyBody::Sync(path), out);
            }
            Err(error) if !takes_a_zxid(op, error) => {
                let err = ErrorCode::MARSHALLING_ERROR;
                self.answer_in_order(asked, err, ReplyBody::Empty, out);
            }
            decoded => {
                let refusal = self.refusal(session, Owner::Here);
                let header = self.header(at, session, xid);
                let rights = Rights { ids: &ids, refusal, no_ephemerals };
                self.prepare(at, header, decoded, rights, out, Some(asked));
            }
        }
    }

    /// Proposes what a request becomes: a transaction, or an error that takes a zxid as well.
    pub(super) fn prepare(
        &mut self,
        at: Clock,
        header: TxnHeader,
        decoded: Result<ClientRequest<'_>, DecodeError>,
        rights: Rights<'_>,
        out: &mut Vec<Effect>,
        asked: Option<Asked>,
    ) {
        let excess = Cell::new(None);
        let judge = self.judge(rights, &excess);
        let txn = match (decoded, rights.refusal) {
            (Err(_), _) => Txn::Error(ErrorCode::MARSHALLING_ERROR),
            (Ok(ClientRequest::Reconfig { .. }), _) => Txn::Error(self.answer_to_reconfig()),
            (Ok(ClientRequest::Multi(parts)), Some(err)) => judge.refused_multi(&parts, err),
            (Ok(single), Some(err)) => Txn::Error(judge.refused(&single, err)),
            (Ok(ClientRequest::Multi(parts)), None) => judge.multi(&header, parts),
            (Ok(single), None) => judge.prepare(single).unwrap_or_else(Txn::Error),
        };
        let warning = self.quota_warnings.take(at.now, excess.into_inner());
        out.extend(warning.map(Effect::QuotaExceeded));
        self.propose(at, header, &txn, out, |outcome| {
            let reply = asked.map(|asked| asked.answer(header.zxid, &txn, outcome));
            reply.into_iter().map(Notice::Reply).collect()
        });
    }

    fn answer_to_reconfig(&self) -> ErrorCode {
        if self.settings.reconfig_enabled && self.ensemble.is_none() {
            // There is no ensemble whose members could change.
            ErrorCode::UNIMPLEMENTED
        } else {
            ErrorCode::RECONFIG_DISABLED
        }
    }

    fn judge<'s>(&'s self, rights: Rights<'s>, excess: &'s Cell<Option<Excess>>) -> Judge<'s> {
        let (head, settings) = (&self.pipeline.head, &*self.settings);
        let quota = QuotaJudge { tree: head, enforced: settings.enforce_quota, excess };
        Judge { head, settings, ids: rights.ids, no_ephemerals: rights.no_ephemerals, quota }
    }

    /// Ends a session, because its client asked for it or because its time has come.
    pub(super) fn close_session(
        &mut self,
        at: Clock,
        session: SessionId,
        xid: Xid,
        asked: Option<Asked>,
        out: &mut Vec<Effect>,
    ) {
        self.untrack(session);
        let header = self.header(at, session, xid);
        // Ephemerals still in flight are in the head tree, so they are in the list.
        let before = self.pipeline.head.clone();
        let paths = before.ephemerals(session).map(Into::into).collect();
        self.propose(at, header, &Txn::CloseSession { paths: Some(paths) }, out, |_| {
            let reply = asked.map(|asked| {
                Notice::Reply(asked.reply(header.zxid, ErrorCode::OK, ReplyBody::Empty))
            });
            reply.into_iter().chain([Notice::Ended(session)]).collect()
        });
    }

    /// Ends the sessions whose time has come, and deletes what the reaper says is to go.
    pub(super) fn order_what_is_due(&mut self, at: Clock, out: &mut Vec<Effect>) {
        for session in self.sessions.due(at.now) {
            if !self.orders() {
                return;
            }
            self.expired_sessions += 1;
            self.close_session(at, session, Xid(0), None, out);
        }
        if !self.orders() {
            return;
        }
        let (committed, head) = (self.pipeline.committed(), &self.pipeline.head);
        if let Some(path) = self.reaper.next(at, committed, head) {
            let txn = Txn::Delete { path: (&*path).into(), container: true };
            let header = self.header(at, SessionId::NONE, Xid(0));
            self.propose(at, header, &txn, out, |_| Notices::new());
        }
    }

    /// The header of the next transaction.
    pub(super) fn header(&self, at: Clock, session: SessionId, cxid: Xid) -> TxnHeader {
        TxnHeader { session, cxid, zxid: self.pipeline.head.last_zxid().next(), time: at.wall }
    }

    /// Applies a transaction to the head, logs it, sends it to all learners, and lets its commit
    /// wait.
    pub(super) fn propose(
        &mut self,
        at: Clock,
        header: TxnHeader,
        txn: &Txn<'_>,
        out: &mut Vec<Effect>,
        notices: impl FnOnce(Outcome) -> Notices,
    ) {
        let (outcome, changes) = self.pipeline.apply(&header, txn);
        let refused = matches!(txn, Txn::Error(_));
        assert!(refused || !matches!(outcome, Outcome::Error(_)), "prepared, yet {outcome:?}");
        let tree_digest = self.pipeline.head.digest();
        let digest = (self.settings.digest_enabled && !refused)
            .then_some(TxnDigest { version: TxnDigest::VERSION, tree_digest });
        self.record.clear();
        TxnRecord::encode_parts(&header, txn, digest, &mut self.record);
        let body = self.record.as_slice().into();
        // One large transaction must not hold its memory for ever.
        self.record.shrink_to(RECORD_BYTES_KEPT);
        self.send_proposal(at, header.zxid, &body);
        let told = (changes, notices(outcome));
        self.pipeline.append(body, told, None, &mut self.rng, out);
    }

    /// Answers a request that makes no transaction, behind everything that was proposed before it.
    fn answer_in_order(
        &mut self,
        asked: Asked,
        err: ErrorCode,
        body: ReplyBody,
        out: &mut Vec<Effect>,
    ) {
        let zxid = self.pipeline.head.last_zxid();
        let reply = Notice::Reply(asked.reply(zxid, err, body));
        self.pipeline.publish_in_order(vec![reply], out);
    }
}

/// What whoever asks may do.
#[derive(Clone, Copy)]
pub(super) struct Rights<'r> {
    /// Who it is.
    pub(super) ids: &'r [Id],
    /// Why its session may not ask for anything, if it may not.
    pub(super) refusal: Option<ErrorCode>,
    /// Why its session may make no ephemerals, if it may not.
    pub(super) no_ephemerals: Option<ErrorCode>,
}

/// What a client with a session is told.
pub(super) fn attached(to: ConnRef, session: SessionId, timeout_ms: i32) -> Notice {
    Notice::Attached { to, session, timeout_ms, password: sessions::password(session) }
}

/// What cannot be read takes no zxid, but Java notices some of it late enough that it does, as a
/// refused request does: a null path, and in a multi almost all that is wrong.
fn takes_a_zxid(op: OpCode, error: DecodeError) -> bool {
    error == DecodeError::UnexpectedNull || (op == OpCode::Multi && error != DecodeError::NullAcl)
}

/// The room that is kept for encoding records.
const RECORD_BYTES_KEPT: usize = 64 << 10;
