//! Read-only mode: a member that finds no leader shows what it has to clients that asked for no
//! more.
//!
//! It begins when this server has looked for a leader for a while and ends, with all connections,
//! when it has found one. Sessions that all know of are not continued here, since nobody could
//! say whether they are alive; new ones are local.
// Java: ReadOnlyZooKeeperServer.

use alloc::vec;
use alloc::vec::Vec;

use ostler_wire::error::ErrorCode;
use ostler_wire::ids::SessionId;
use ostler_wire::op::OpCode;

use super::answers::Asked;
use super::requests::attached;
use super::{Effect, Replica};
use crate::clock::{Clock, Span};
use crate::limits::READ_ONLY_AFTER;
use crate::messages::{ConnRef, Notice, ReplyBody, Request, Service};

impl Replica {
    /// Whether clients are served without a leader.
    pub(super) fn is_read_only(&self) -> bool {
        self.ensemble.as_ref().is_some_and(|member| member.service == Service::ReadOnly)
    }

    /// This server begins to look for a leader: if it finds none for long, it will serve without.
    pub(super) fn plan_read_only(&mut self, at: Clock) {
        let is_wanted = self.settings.read_only_mode;
        let member = self.member();
        if is_wanted && member.read_only_at.is_none() {
            let tick = Span::from_millis(member.zab.tick_ms);
            member.read_only_at = Some(at.now + tick.max(READ_ONLY_AFTER));
        }
    }

    /// There may be a leader: nobody is served without one any more.
    pub(super) fn end_read_only(&mut self, at: Clock, out: &mut Vec<Effect>) {
        self.member().read_only_at = None;
        if self.is_read_only() {
            self.serve_as(at, Service::Down, Vec::new(), out);
        }
    }

    /// Gives a session back to a client that reads, if it is one of this server alone.
    pub(super) fn resume_read_only(
        &mut self,
        at: Clock,
        (from, session, proven, timeout_ms): (ConnRef, SessionId, bool, i32),
        out: &mut Vec<Effect>,
    ) {
        if self.pipeline.committed().session_timeout_ms(session).is_some() {
            return self.pipeline.publish_now(vec![Notice::TurnedAway { to: from }], out);
        }
        let is_alive = proven && self.is_local(session) && self.open_local(at, session, timeout_ms);
        let evict = Notice::Evict { session, keep: Some(from) };
        let answer = if is_alive {
            attached(from, session, timeout_ms)
        } else {
            Notice::Refused { to: from }
        };
        self.pipeline.publish_now(vec![evict, answer], out);
    }

    /// Refuses what is no read, but for the end of a session.
    pub(super) fn refuse_write(&mut self, request: &Request, out: &mut Vec<Effect>) {
        if request.op == OpCode::CloseSession && self.is_local(request.session) {
            return self.close_local(request, out);
        }
        let zxid = self.pipeline.committed().last_zxid();
        let asked = Asked::of(request);
        let reply = asked.reply(zxid, ErrorCode::NOT_READ_ONLY, ReplyBody::Empty);
        self.pipeline.publish_now(vec![Notice::Reply(reply)], out);
    }
}
