//! Local sessions: only the server that made one knows of it, and no transaction tells of it.
//!
//! They cost an ensemble nothing, and they end with their server. What they ask for goes the way
//! of all requests. Only ephemerals need a session that everybody knows: when a client asks for
//! the first one, its session is opened for all with the id that it has (*upgraded*), or the client
//! is refused.
//!
//! A server keeps its local sessions from role to role, with their full timeout when it serves
//! again, since nobody could be heard meanwhile.

use alloc::vec;
use alloc::vec::Vec;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use ostler_wire::error::ErrorCode;
use ostler_wire::ids::{SessionId, WallMs, Xid};
use ostler_wire::op::OpCode;
use ostler_wire::request::Request as ClientRequest;
use ostler_wire::txn::Txn;

use super::answers::Asked;
use super::owners::Owner;
use super::sessions::Sessions;
use super::{Effect, Replica};
use crate::clock::{Clock, Time};
use crate::messages::{Notice, Notices, ReplyBody, Request};
use crate::status::ExpiryBucket;

/// The local sessions of one server.
#[derive(Debug)]
pub(super) struct LocalSessions {
    alive: Sessions,
    /// Invariant: of those that are alive.
    timeouts_ms: HashMap<SessionId, i32, FixedState>,
}

impl LocalSessions {
    pub(super) fn new(tick_ms: u64, server_id: u8, wall: WallMs) -> Self {
        let alive = Sessions::new(tick_ms, server_id, wall);
        Self { alive, timeouts_ms: HashMap::default() }
    }

    pub(super) fn contains(&self, session: SessionId) -> bool {
        self.alive.contains(session)
    }

    /// Notes a sign of life; false if there is no such session.
    pub(super) fn touch(&mut self, at: Time, session: SessionId, timeout_ms: i32) -> bool {
        self.alive.touch(at, session, timeout_ms)
    }

    /// Keeps watch over a session, which has its whole timeout before it.
    pub(super) fn track(&mut self, now: Time, session: SessionId, timeout_ms: i32) {
        self.alive.track(now, session, timeout_ms);
        self.timeouts_ms.insert(session, timeout_ms);
    }

    /// Forgets a session; its timeout, if there was one.
    pub(super) fn remove(&mut self, session: SessionId) -> Option<i32> {
        self.alive.remove(session);
        self.timeouts_ms.remove(&session)
    }

    /// Gives every session its whole timeout.
    pub(super) fn renew_all(&mut self, now: Time) {
        for (session, timeout_ms) in &self.timeouts_ms {
            self.alive.renew(now, *session, *timeout_ms);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.alive.next_deadline()
    }

    pub(super) fn report(&self, at: Clock) -> Vec<ExpiryBucket> {
        self.alive.report(at)
    }
}

impl Replica {
    fn local_mut(&mut self) -> Option<&mut LocalSessions> {
        self.ensemble.as_mut()?.local.as_mut()
    }

    /// Whether a session is one of which only this server knows.
    pub(super) fn is_local(&self, session: SessionId) -> bool {
        let local = self.ensemble.as_ref().and_then(|member| member.local.as_ref());
        local.is_some_and(|local| local.contains(session))
    }

    /// Whether a session is one of which only another server knows, as far as its id tells.
    // Java: LeaderSessionTracker.checkSession.
    pub(super) fn may_be_local_elsewhere(&self, session: SessionId) -> bool {
        self.settings.local_sessions
            && session.0.to_be_bytes()[0] != self.settings.server_id
            && self.ensemble.is_some()
    }

    /// Opens a local session, or takes it up again, if this server has such; false if not.
    pub(super) fn open_local(&mut self, at: Clock, session: SessionId, timeout_ms: i32) -> bool {
        let Some(local) = self.local_mut() else { return false };
        local.track(at.now, session, timeout_ms);
        true
    }

    /// Notes a sign of life of a local session; false if there is no such session.
    pub(super) fn touch_local(&mut self, at: Time, session: SessionId, timeout_ms: i32) -> bool {
        self.local_mut().is_some_and(|local| local.touch(at, session, timeout_ms))
    }

    /// Ends the local sessions whose time has come.
    pub(super) fn end_local_sessions(&mut self, at: Clock, out: &mut Vec<Effect>) {
        let Some(local) = self.local_mut() else { return };
        let due = local.alive.due(at.now);
        let ended = due.into_iter().filter(|session| local.remove(*session).is_some());
        let notices: Vec<Notice> = ended.map(Notice::Ended).collect();
        if !notices.is_empty() {
            self.pipeline.publish_now(notices, out);
        }
    }

    /// Looks at a request of a local session: ends the session, or opens it for all, if that is
    /// what it needs. Returns the request if it is still to be carried out, and why it is to be
    /// refused all the same.
    pub(super) fn local_request(
        &mut self,
        at: Clock,
        request: Request,
        out: &mut Vec<Effect>,
    ) -> Option<(Request, Option<ErrorCode>)> {
        if !self.is_local(request.session) {
            return Some((request, None));
        }
        if request.op == OpCode::CloseSession {
            self.close_local(&request, out);
            return None;
        }
        let makes_ephemerals = ClientRequest::decode(request.op, &request.body)
            .is_ok_and(|request| makes_ephemerals(&request));
        if !makes_ephemerals {
            return Some((request, None));
        }
        if !self.settings.local_sessions_upgrading {
            return Some((request, Some(ErrorCode::EPHEMERAL_ON_LOCAL_SESSION)));
        }
        self.upgrade(at, request.session, out);
        Some((request, None))
    }

    /// Ends a local session for its client.
    pub(super) fn close_local(&mut self, request: &Request, out: &mut Vec<Effect>) {
        let session = request.session;
        let asked = Asked::of(request);
        if let Some(local) = self.local_mut() {
            local.remove(session);
        }
        let zxid = self.pipeline.head.last_zxid();
        let reply = asked.reply(zxid, ErrorCode::OK, ReplyBody::Empty);
        match self.learning_mut() {
            Some(learning) => {
                let told = learning.forwarding.end_in_turn(session, asked, reply);
                if !told.is_empty() {
                    self.pipeline.publish_now(told, out);
                }
            }
            None => {
                let told = vec![Notice::Reply(reply), Notice::Ended(session)];
                self.pipeline.publish_in_order(told, out);
            }
        }
    }

    /// Opens a local session for all.
    fn upgrade(&mut self, at: Clock, session: SessionId, out: &mut Vec<Effect>) {
        let Some(timeout_ms) = self.local_mut().and_then(|local| local.remove(session)) else {
            return;
        };
        if let Some(learning) = self.learning_mut() {
            return learning.open(None, session, timeout_ms);
        }
        self.track(at, session, timeout_ms, Owner::Here);
        let header = self.header(at, session, Xid(0));
        self.propose(at, header, &Txn::CreateSession { timeout_ms }, out, |_| Notices::new());
    }
}

/// Whether a request is for an ephemeral, as itself or as a part.
fn makes_ephemerals(request: &ClientRequest<'_>) -> bool {
    match request {
        ClientRequest::Create(create) | ClientRequest::Create2(create) => {
            matches!(create.flags, 1 | 3)
        }
        ClientRequest::Multi(parts) => parts.iter().any(makes_ephemerals),
        _ => false,
    }
}
