//! A step of the world: what a shard does with a commit.

use alloc::sync::Arc;
use alloc::vec::Vec;

use ostler_tree::{Change, ChangeKind};
use ostler_wire::acl::{Acl, Id, Perms};
use ostler_wire::connect::ConnectResponse;
use ostler_wire::error::ErrorCode;
use ostler_wire::ids::Zxid;
use ostler_wire::jute::Put as _;
use ostler_wire::path;
use ostler_wire::reply::{EventType, OpResult, ReplyHeader, WatcherEvent};
use ostler_wire::{frame, op::OpCode};

use super::conn::{Pending, State};
use super::watches::{Slots, Table};
use super::{Shard, ShardEffect, close};
use crate::auth;
use crate::clock::Clock;
use crate::limits::UNSENT_EVENTS_MAX_BYTES;
use crate::messages::{Commit, ConnRef, Notice, Reply, ReplyBody, Service};

impl Shard {
    /// Events, answers, view, waiting reads: in this order (see the crate's ordering rule).
    pub(super) fn commit(&mut self, at: Clock, commit: &Commit, out: &mut Vec<ShardEffect>) {
        let is_watched = !self.watches.is_empty();
        let mut behind_reads = Vec::new();
        for step in &commit.steps {
            if is_watched {
                step.changes.iter().for_each(|change| self.fire(step.zxid, change, out));
            }
            for notice in &step.notices {
                if !behind_reads.is_empty() || self.is_behind_read(notice) {
                    behind_reads.push(notice);
                } else {
                    self.notice(at, commit, notice, out);
                }
            }
        }
        self.view = commit.view.clone();
        self.serve_answered(at, out);
        for notice in behind_reads {
            self.notice(at, commit, notice, out);
            self.serve_answered(at, out);
        }
        if !self.paused.is_empty() {
            self.resume_paused(at, out);
        }
    }

    /// Whether this is an answer, and something before it has to be read from the view first. It
    /// is one that changed nothing then ([`Request::behind_read`](crate::messages::Request)).
    fn is_behind_read(&self, notice: &Notice) -> bool {
        let to = match notice {
            Notice::Reply(reply) => reply.to,
            Notice::Dropped { to, .. } => *to,
            _ => return false,
        };
        let conn = self.conn(to.conn).filter(|_| to.shard == self.id);
        conn.is_some_and(|conn| matches!(conn.pending.front(), Some(Pending::Waiting(_))))
    }

    /// Serves what waited for answers that were given now.
    fn serve_answered(&mut self, at: Clock, out: &mut Vec<ShardEffect>) {
        for id in core::mem::take(&mut self.answered) {
            let Some(mut conn) = self.take(id) else { continue };
            while let Some(waiting) = conn.next_waiting() {
                self.serve_in_turn(at, &mut conn, waiting, out);
            }
            let opened = conn.state == State::Open && !conn.input.is_empty() && !conn.paused;
            if opened {
                self.buffered(at, &mut conn, out);
            }
            self.put_back(conn, out);
        }
    }

    fn fire(&mut self, zxid: Zxid, change: &Change, out: &mut Vec<ShardEffect>) {
        let path = &*change.path;
        let parent = match path::parent(path).unwrap_or_default() {
            "" => "/",
            parent => parent,
        };
        match change.kind {
            ChangeKind::Created => {
                self.pass(zxid, (Table::Data, path, EventType::NodeCreated), &change.acl, &[], out);
            }
            ChangeKind::DataChanged => {
                let event = (Table::Data, path, EventType::NodeDataChanged);
                self.pass(zxid, event, &change.acl, &[], out);
                return;
            }
            ChangeKind::Deleted => {
                let event = (Table::Data, path, EventType::NodeDeleted);
                let told = self.pass(zxid, event, &change.acl, &[], out);
                let event = (Table::Child, path, EventType::NodeDeleted);
                self.pass(zxid, event, &change.acl, &told, out);
            }
        }
        let event = (Table::Child, parent, EventType::NodeChildrenChanged);
        self.pass(zxid, event, &change.parent_acl, &[], out);
    }

    /// One pass over a table: everybody at `path` but those in `told`, which ascends, if the list
    /// lets them read. Returns all of them, ascending.
    fn pass(
        &mut self,
        zxid: Zxid,
        (table, path, event_type): (Table, &str, EventType),
        acl: &[Acl],
        told: &[u32],
        out: &mut Vec<ShardEffect>,
    ) -> Slots {
        let watchers = self.watches.fire(table, path);
        if watchers.is_empty() {
            return watchers;
        }
        // The bytes are the same for all.
        let mut event = core::mem::take(&mut self.event);
        event.clear();
        frame::put(&mut event, |out| {
            WatcherEvent::write_notification(zxid, event_type, path, out);
        });
        let settings = Arc::clone(&self.settings);
        let allows = |ids: &[Id]| auth::allows(&settings.auth, acl, Perms::READ, ids);
        let anyone_may_read = allows(&[]);
        for slot in &watchers {
            let conn = self.conns[*slot as usize].take();
            let mut conn = conn.expect("a connection takes its watches with it");
            let is_told = told.binary_search(slot).is_ok();
            if conn.state == State::Open && !is_told && (anyone_may_read || allows(&conn.ids)) {
                self.spare_buffers.lend(&mut conn.output);
                conn.tail().extend_from_slice(&event);
                conn.stats.sent += 1;
                self.counters.packets_sent += 1;
                self.metrics.watch_bytes += (event.len() - frame::PREFIX_BYTES) as u64;
                if conn.unsent_bytes() > UNSENT_EVENTS_MAX_BYTES {
                    close(&mut conn, out);
                }
            }
            self.put_back(conn, out);
        }
        self.event = event;
        watchers
    }

    fn notice(&mut self, at: Clock, commit: &Commit, notice: &Notice, out: &mut Vec<ShardEffect>) {
        match notice {
            Notice::Reply(reply) if reply.to.shard == self.id => self.reply(at, reply, out),
            Notice::Dropped { to, body_bytes } if to.shard == self.id => {
                self.done(*body_bytes);
                if let Some(conn) = self.conn_mut(to.conn) {
                    conn.next_ordered();
                }
            }
            Notice::Attached { to, session, timeout_ms, password } if to.shard == self.id => {
                let is_read_only = self.service == Service::ReadOnly;
                let response = |read_only: Option<bool>| ConnectResponse {
                    timeout_ms: *timeout_ms,
                    session: *session,
                    password: *password,
                    read_only: read_only.map(|_| is_read_only),
                };
                if self.connected(at, *to, response, out) {
                    self.by_session.insert(*session, to.conn);
                    self.answered.push(to.conn);
                    if let Some(conn) = self.conn_mut(to.conn) {
                        conn.state = State::Open;
                        conn.session = *session;
                        conn.timeout_ms = *timeout_ms;
                        out.push(ShardEffect::Resume(to.conn));
                    }
                }
            }
            Notice::Refused { to } if to.shard == self.id => {
                let is_read_only = self.service == Service::ReadOnly;
                let response = |read_only: Option<bool>| {
                    ConnectResponse::expired(read_only.map(|_| is_read_only))
                };
                if self.connected(at, *to, response, out)
                    && let Some(mut conn) = self.take(to.conn)
                {
                    close(&mut conn, out);
                    self.put_back(conn, out);
                }
            }
            Notice::Ahead { to } if to.shard == self.id => self.close_holder(Some(to.conn), out),
            Notice::TurnedAway { to } if to.shard == self.id => {
                // Without a leader it is not the number of clients.
                self.metrics.connections_rejected += u64::from(self.service == Service::Up);
                self.close_holder(Some(to.conn), out);
            }
            Notice::Evict { session, keep } => {
                let holder = self.by_session.get(session).copied();
                let holder =
                    holder.filter(|id| *keep != Some(ConnRef { shard: self.id, conn: *id }));
                self.close_holder(holder, out);
            }
            Notice::Service(service) => self.serve_as(at, *service, &commit.view, out),
            Notice::Ended(session) => {
                let holder = self.by_session.get(session).copied();
                self.close_holder(holder, out);
            }
            Notice::Reply(_)
            | Notice::Dropped { .. }
            | Notice::Attached { .. }
            | Notice::Refused { .. }
            | Notice::Ahead { .. }
            | Notice::TurnedAway { .. } => {}
        }
    }

    /// Sends the connect response, if the connection is still there to get it.
    fn connected(
        &mut self,
        at: Clock,
        to: ConnRef,
        response: impl FnOnce(Option<bool>) -> ConnectResponse,
        out: &mut Vec<ShardEffect>,
    ) -> bool {
        let Some(mut conn) = self.take(to.conn) else { return false };
        let State::Connecting { read_only } = conn.state else {
            self.put_back(conn, out);
            return false;
        };
        self.spare_buffers.lend(&mut conn.output);
        frame::put(&mut conn.output, |out| response(read_only).encode(out));
        let latency_ms = at.now.millis_since(conn.last_active);
        let of = (XID_OF_CONNECT, self.view.last_zxid());
        conn.stats.answered(at.now, latency_ms, Some(OpCode::CreateSession), of);
        self.put_back(conn, out);
        self.counters.packets_sent += 1;
        self.counters.latency.add(latency_ms);
        true
    }

    fn reply(&mut self, at: Clock, reply: &Reply, out: &mut Vec<ShardEffect>) {
        self.done(reply.body_bytes);
        let Some(mut conn) = self.take(reply.to.conn) else { return };
        if has_moved(reply) {
            close(&mut conn, out);
        }
        if let Some((since, op)) = conn.next_ordered() {
            self.spare_buffers.lend(&mut conn.output);
            let before = conn.tail().len();
            let header = ReplyHeader { xid: reply.xid, zxid: reply.zxid, err: reply.err };
            conn.reply_with(header, |out| write_body(&reply.body, out));
            let bytes = conn.tail().len() - before;
            let of = (reply.xid, reply.zxid);
            self.answered(at, &mut conn, (since, Some(op)), of, bytes);
            self.note_length(&conn, bytes - frame::PREFIX_BYTES, || None);
            if matches!(conn.pending.front(), Some(Pending::Waiting(_))) {
                self.answered.push(conn.id);
            }
        }
        self.put_back(conn, out);
    }

    /// The replica has one request less of this shard.
    fn done(&mut self, body_bytes: usize) {
        self.outstanding -= 1;
        self.outstanding_bytes -= body_bytes;
    }

    fn close_holder(&mut self, holder: Option<super::ConnId>, out: &mut Vec<ShardEffect>) {
        let Some(mut conn) = holder.and_then(|id| self.take(id)) else { return };
        close(&mut conn, out);
        self.put_back(conn, out);
    }
}

/// Whether the answer says that the session is with another server now.
///
/// No client may hear that: one that was faster elsewhere than its own request was here would give
/// up a session that is well.
// Java: FinalRequestProcessor closes the connection, behind the answers before this one.
fn has_moved(reply: &Reply) -> bool {
    let moved = OpResult::Error(ErrorCode::SESSION_MOVED);
    reply.err == ErrorCode::SESSION_MOVED
        || matches!(&reply.body, ReplyBody::Multi(results) if results.contains(&moved))
}

/// A connect request has no number; `cons` shows none.
const XID_OF_CONNECT: ostler_wire::ids::Xid = ostler_wire::ids::Xid(-1);

fn write_body(body: &ReplyBody, out: &mut Vec<u8>) {
    match body {
        ReplyBody::Empty => {}
        ReplyBody::Path(path) => out.put_string(path),
        ReplyBody::PathStat(path, stat) => {
            out.put_string(path);
            stat.write(out);
        }
        ReplyBody::Stat(stat) => stat.write(out),
        ReplyBody::Multi(results) => OpResult::write_all(results, out),
        ReplyBody::Sync(path) => out.put_buffer(path.as_deref().map(str::as_bytes)),
    }
}
