//! A shard thread: connections of clients and the feed on one side, a shard on the other.
//!
//! A turn is that of the server crate: mail, then the feed, then sockets, then what is to be
//! written.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

use ostler_node::clock::{Clock, Time};
use ostler_node::messages::{Commit, ConnId, ToReplica};
use ostler_node::shard::{Shard, ShardEffect, ShardInput};
use ostler_wire::ids::Zxid;

use super::alarm::Alarm;
use crate::net::{End, WireId};
use crate::options::Plant;
use crate::world::Outside;

/// A connection of a client.
struct Conn {
    id: ConnId,
    /// Read from the socket by nobody yet.
    input: Vec<u8>,
    /// Whether the shard knows of it.
    accepted: bool,
    /// Whether the other end is gone.
    gone: bool,
    /// Whether the shard wants it closed.
    closing: bool,
    /// Whether it is read.
    reading: bool,
}

/// One shard and its thread.
pub(super) struct ShardThread {
    pub(super) shard: Shard,
    pub(super) alarm: Alarm,
    conns: BTreeMap<WireId, Conn>,
    /// How many commits it has seen.
    pub(super) cursor: usize,
    generation: u32,
    /// The planted bug: a commit whose view was shown already.
    shown_early: Option<Zxid>,
}

impl ShardThread {
    pub(super) fn new(shard: Shard, cursor: usize) -> Self {
        Self {
            shard,
            alarm: Alarm::default(),
            conns: BTreeMap::new(),
            cursor,
            generation: 0,
            shown_early: None,
        }
    }

    /// A client has connected.
    pub(super) fn accept(&mut self, wire: WireId) {
        let taken: Vec<u32> = self.conns.values().map(|conn| conn.id.slot).collect();
        let slot = (0..).find(|slot| !taken.contains(slot)).expect("there is a free slot");
        self.generation += 1;
        let conn = Conn {
            id: ConnId { slot, generation: self.generation },
            input: Vec::new(),
            accepted: false,
            gone: false,
            closing: false,
            reading: true,
        };
        self.conns.insert(wire, conn);
    }

    /// Whether this connection is here.
    pub(super) fn has(&self, wire: WireId) -> bool {
        self.conns.contains_key(&wire)
    }

    /// Bytes have come.
    pub(super) fn bytes(&mut self, wire: WireId, bytes: &[u8]) {
        if let Some(conn) = self.conns.get_mut(&wire) {
            conn.input.extend_from_slice(bytes);
        }
    }

    /// The client is gone.
    pub(super) fn gone(&mut self, wire: WireId) {
        if let Some(conn) = self.conns.get_mut(&wire) {
            conn.gone = true;
        }
    }

    /// One turn; what the replica is told.
    pub(super) fn turn(
        &mut self,
        outside: &mut Outside,
        at: Clock,
        feed: &[Rc<Commit>],
    ) -> Vec<ToReplica> {
        let mut mail = Vec::new();
        for wire in self.wires() {
            let Some(conn) = self.conns.get_mut(&wire).filter(|conn| !conn.accepted) else {
                continue;
            };
            conn.accepted = true;
            let id = conn.id;
            let from = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4000);
            self.input(at, ShardInput::Accepted(id, from), &mut mail);
        }
        self.follow(outside, at, feed, &mut mail);
        for wire in self.wires() {
            self.read(outside, at, wire, &mut mail);
        }
        if self.shard.next_deadline().is_some_and(|due| due <= at.now) {
            self.input(at, ShardInput::Deadline, &mut mail);
        }
        for wire in self.wires() {
            self.write(outside, at, wire, &mut mail);
        }
        mail
    }

    fn wires(&self) -> Vec<WireId> {
        self.conns.keys().copied().collect()
    }

    /// Takes every commit that is there.
    fn follow(
        &mut self,
        outside: &mut Outside,
        at: Clock,
        feed: &[Rc<Commit>],
        mail: &mut Vec<ToReplica>,
    ) {
        while let Some(commit) = feed.get(self.cursor) {
            let is_planted = outside.options.plant == Some(Plant::EventAfterData)
                && commit.steps.iter().any(|step| !step.changes.is_empty())
                && self.shown_early != Some(commit.view.last_zxid());
            if is_planted && outside.threads.one_in(4) {
                self.shown_early = Some(commit.view.last_zxid());
                let early = Commit::telling(commit.view.clone(), Vec::new());
                return self.input(at, ShardInput::Commit(&early), mail);
            }
            self.cursor += 1;
            self.input(at, ShardInput::Commit(commit), mail);
        }
    }

    /// Hands over what a client sent, if its shard wants it.
    fn read(&mut self, outside: &mut Outside, at: Clock, wire: WireId, mail: &mut Vec<ToReplica>) {
        let Some(conn) = self.conns.get_mut(&wire) else { return };
        let id = conn.id;
        if conn.reading && !conn.closing && !conn.input.is_empty() {
            let bytes = std::mem::take(&mut conn.input);
            self.input(at, ShardInput::Bytes(id, &bytes), mail);
            let is_paused = self.shard.is_paused(id);
            if let (true, Some(conn)) = (is_paused, self.conns.get_mut(&wire)) {
                conn.reading = false;
            }
        }
        let is_gone = self.conns.get(&wire).is_some_and(|conn| conn.gone);
        if is_gone {
            self.close(outside, at, wire, mail);
        }
    }

    /// Writes what there is for a client and what its connection takes.
    fn write(&mut self, outside: &mut Outside, at: Clock, wire: WireId, mail: &mut Vec<ToReplica>) {
        let Some(conn) = self.conns.get(&wire) else { return };
        let (id, is_closing) = (conn.id, conn.closing);
        let unsent = self.shard.unsent(id);
        let on_the_way = outside.net.bytes_to(wire, End::Dialler);
        let count = unsent.len().min(outside.options.window_bytes.saturating_sub(on_the_way));
        let is_all = count == unsent.len();
        if count > 0 {
            outside.net.send(&mut outside.queue, wire, End::Acceptor, &unsent[..count]);
            let mut effects = Vec::new();
            self.shard.sent(at, id, count, &mut effects);
            self.effects(effects, mail);
        }
        if is_all && is_closing {
            self.close(outside, at, wire, mail);
        }
    }

    /// Whether a connection has something to write.
    pub(super) fn has_output(&self, wire: WireId) -> bool {
        self.conns.get(&wire).is_some_and(|conn| !self.shard.unsent(conn.id).is_empty())
    }

    fn close(&mut self, outside: &mut Outside, at: Clock, wire: WireId, mail: &mut Vec<ToReplica>) {
        let Some(conn) = self.conns.remove(&wire) else { return };
        outside.net.close(&mut outside.queue, wire, End::Acceptor);
        self.input(at, ShardInput::Closed(conn.id), mail);
    }

    fn input(&mut self, at: Clock, input: ShardInput<'_>, mail: &mut Vec<ToReplica>) {
        let mut effects = Vec::new();
        self.shard.handle(at, input, &mut effects);
        self.effects(effects, mail);
    }

    fn effects(&mut self, effects: Vec<ShardEffect>, mail: &mut Vec<ToReplica>) {
        for effect in effects {
            match effect {
                // Written at the end of the turn in any case.
                ShardEffect::Output(_) => {}
                ShardEffect::Close(id) => self.of(id).closing = true,
                ShardEffect::Resume(id) => self.of(id).reading = true,
                ShardEffect::FourLetterWord(..) => unreachable!("nobody asks for one"),
                ShardEffect::ToReplica(message) => mail.push(message),
            }
        }
    }

    fn of(&mut self, id: ConnId) -> &mut Conn {
        let conn = self.conns.values_mut().find(|conn| conn.id == id);
        conn.expect("a shard speaks of connections that there are")
    }

    /// Whether it has anything to do without being told of it.
    pub(super) fn is_busy(&self, feed_length: usize) -> bool {
        let readable = |conn: &Conn| conn.reading && !conn.closing && !conn.input.is_empty();
        self.cursor < feed_length || self.conns.values().any(readable)
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.shard.next_deadline()
    }
}
