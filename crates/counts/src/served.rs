//! A shard with open connections, and the little that drives it.

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use ostler_node::clock::{Clock, Time};
use ostler_node::limits::Settings;
use ostler_node::messages::{Commit, ConnId, ConnRef, Notice, ShardId, ToReplica};
use ostler_node::shard::{Shard, ShardEffect, ShardInput};
use ostler_tree::Tree;
use ostler_wire::connect::ConnectRequest;
use ostler_wire::frame;
use ostler_wire::ids::{SessionId, Xid, Zxid};
use ostler_wire::request::Request;

use crate::znodes::WALL;

/// The moment at which everything happens.
pub(crate) const AT: Clock = Clock { now: Time(1_000_000_000), wall: WALL };

/// The only shard.
pub(crate) const SHARD: ShardId = ShardId(0);

/// Settings of a server at which nothing but requests happens.
pub(crate) fn settings() -> Settings {
    Settings { outstanding_max: 100_000, snap_count: 1 << 40, ..Settings::default() }
}

/// A shard, its connections all open.
pub(crate) struct Served {
    shard: Shard,
    effects: Vec<ShardEffect>,
}

impl Served {
    /// Connections get the slots from 0 on.
    pub(crate) fn new(view: &Tree, conn_count: u32) -> Self {
        let shard = Shard::new(SHARD, Arc::new(settings()), view.clone(), SEED);
        let mut served = Self { shard, effects: Vec::new() };
        let mut hello = Vec::new();
        frame::put(&mut hello, |out| CONNECT_REQUEST.encode(out));
        for slot in 0..conn_count {
            let remote = SocketAddr::from((Ipv4Addr::LOCALHOST, 40_000));
            served.handle(ShardInput::Accepted(conn_id(slot), remote));
            served.handle(ShardInput::Bytes(conn_id(slot), &hello));
            let attached = Notice::Attached {
                to: conn_ref(slot),
                session: SessionId(0x0100_0000_0000_0000 + i64::from(slot)),
                timeout_ms: 30_000,
                password: [0; 16],
            };
            served.handle(ShardInput::Commit(&Commit::telling(view.clone(), vec![attached])));
            assert!(served.carry_out() > 0, "a session is answered");
        }
        served
    }

    /// Hands the shard an input.
    pub(crate) fn handle(&mut self, input: ShardInput<'_>) {
        self.shard.handle(AT, input, &mut self.effects);
    }

    /// Sends all output, as a socket does that has room; returns how many bytes there were.
    pub(crate) fn carry_out(&mut self) -> usize {
        let mut sent_bytes = 0;
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            match effect {
                ShardEffect::Output(id) => {
                    let count = black_box(self.shard.unsent(id)).len();
                    self.shard.sent(AT, id, count, &mut self.effects);
                    sent_bytes += count;
                }
                ShardEffect::ToReplica(ToReplica::Request(request)) => drop(black_box(request)),
                ShardEffect::ToReplica(_) | ShardEffect::Resume(_) => {}
                ShardEffect::Close(_) | ShardEffect::FourLetterWord(..) => {
                    panic!("nobody asked for {effect:?}")
                }
            }
        }
        assert!(self.effects.is_empty(), "sending leads to nothing more");
        self.effects = effects;
        sent_bytes
    }
}

pub(crate) fn conn_id(slot: u32) -> ConnId {
    ConnId { slot, generation: 1 }
}

pub(crate) fn conn_ref(slot: u32) -> ConnRef {
    ConnRef { shard: SHARD, conn: conn_id(slot) }
}

/// Appends a request's frame.
pub(crate) fn put_request(out: &mut Vec<u8>, request: &Request<'_>) {
    frame::put(out, |out| request.encode(Xid(1), out));
}

const CONNECT_REQUEST: ConnectRequest<'_> = ConnectRequest {
    protocol_version: 0,
    last_zxid_seen: Zxid::ZERO,
    timeout_ms: 30_000,
    session: SessionId::NONE,
    password: None,
    read_only: Some(false),
};

const SEED: u64 = 7;
