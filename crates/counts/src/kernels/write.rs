//! The way of a write through the replica.

use std::hint::black_box;
use std::sync::Arc;

use ostler_node::messages::{ConnRef, Ids, Notice, Request, ToReplica};
use ostler_node::replica::{Effect, Input, LogOp, Replica};
use ostler_wire::acl::{Acl, Id};
use ostler_wire::ids::{SessionId, Xid, Zxid};
use ostler_wire::jute::Text;
use ostler_wire::op::OpCode;
use ostler_wire::request::{CreateRequest, Request as ClientRequest, acl_entries};

use super::Round;
use crate::served::{AT, conn_ref, settings};
use crate::znodes::{DATA, Grove, child_path, parent_path};

/// Writes in a round.
pub(crate) const WRITES: usize = 10_000;

/// Hands the replica of a server that is alone ten requests a turn (eight setData of 100 bytes, a
/// create and the delete of what it created), says that they are on disk, and takes the commit.
pub(crate) fn write() -> Round {
    let grove = Grove::new(10, 1_000);
    let mut desk = Desk::new(Replica::new(AT, Arc::new(settings()), grove.tree, 0, SEED));
    let turns: Vec<Vec<(OpCode, Vec<u8>)>> = (0..WRITES / 10).map(turn).collect();
    Box::new(move || {
        for turn in &turns {
            let requests = turn.iter().map(|(op, body)| desk.request(*op, body.clone())).collect();
            assert_eq!(desk.carry_through(requests), 10, "ten answers");
        }
    })
}

/// Operations and bodies.
fn turn(number: usize) -> Vec<(OpCode, Vec<u8>)> {
    let acl = Acl::open();
    let new = format!("{}/new", parent_path(number % 10));
    let path = || Text::Borrowed(&*new);
    let acl = Some(acl_entries(&acl));
    let create = CreateRequest { path: path(), data: Some(DATA), acl, flags: 0, ttl_ms: -1 };
    let set = (0..8).map(|place| {
        let number = (number * 8 + place) * 7919 % 10_000;
        let path = Text::Owned(child_path(number / 1_000, number % 1_000));
        ClientRequest::SetData { path, data: Some(DATA), version: -1 }
    });
    let others =
        [ClientRequest::Create(create), ClientRequest::Delete { path: path(), version: -1 }];
    set.chain(others)
        .map(|request| {
            let mut body = Vec::new();
            request.write_body(&mut body);
            (request.op(), body)
        })
        .collect()
}

/// The replica and what is around it: a log that is always on time.
struct Desk {
    replica: Replica,
    effects: Vec<Effect>,
    from: ConnRef,
    session: SessionId,
    ids: Ids,
}

impl Desk {
    fn new(replica: Replica) -> Self {
        let ids = Arc::from([Id::new("ip", "127.0.0.1")]);
        let (from, session) = (conn_ref(0), SessionId::NONE);
        let mut desk = Self { replica, effects: Vec::new(), from, session, ids };
        let open = ToReplica::Open { from, last_zxid_seen: Zxid::ZERO, timeout_ms: 30_000 };
        assert_eq!(desk.carry_through(vec![open]), 0, "no answer but the session");
        assert_ne!(desk.session, SessionId::NONE, "a session is open");
        desk
    }

    fn request(&self, op: OpCode, body: Vec<u8>) -> ToReplica {
        let ids = Arc::clone(&self.ids);
        let (from, session, xid) = (self.from, self.session, Xid(1));
        ToReplica::Request(Request { from, session, xid, op, body, ids, behind_read: false })
    }

    /// Takes messages together, from the first to the commit; returns how many answers there were.
    fn carry_through(&mut self, messages: Vec<ToReplica>) -> usize {
        for message in messages {
            self.replica.hear(AT, Input::FromShard(message), &mut self.effects);
        }
        self.replica.end_turn(&mut self.effects);
        let mut last = Zxid::NONE;
        let mut answers = 0;
        while !self.effects.is_empty() {
            let mut effects = std::mem::take(&mut self.effects);
            for effect in effects.drain(..) {
                match effect {
                    Effect::Log(LogOp::Append { zxid, body }) => {
                        drop(black_box(body));
                        last = zxid;
                    }
                    Effect::Publish(commit) => {
                        for notice in commit.notices() {
                            match notice {
                                Notice::Reply(reply) => {
                                    assert_eq!(reply.err.0, 0, "a write succeeds");
                                    answers += 1;
                                }
                                Notice::Attached { session, .. } => self.session = *session,
                                _ => {}
                            }
                        }
                    }
                    other => panic!("nobody asked for {other:?}"),
                }
            }
            self.effects = effects;
            if last != Zxid::NONE {
                self.replica.handle(AT, Input::LogSynced(last), &mut self.effects);
                last = Zxid::NONE;
            }
        }
        answers
    }
}

const SEED: u64 = 7;
