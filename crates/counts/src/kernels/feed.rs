//! Commits that reach a shard.

use std::collections::VecDeque;

use ostler_node::messages::{Commit, Notice, Reply, ReplyBody, Step};
use ostler_node::shard::ShardInput;
use ostler_tree::Outcome;
use ostler_wire::error::ErrorCode;
use ostler_wire::ids::Xid;
use ostler_wire::jute::Text;
use ostler_wire::request::Request;

use super::Round;
use crate::ROUNDS_MAX;
use crate::served::{Served, conn_id, conn_ref, put_request};
use crate::znodes::{DATA, Grove, child_path, set_data};

/// Steps in a round.
pub(crate) const STEPS: usize = 2_000;

/// Hands a shard commits of ten steps. Each step is a setData that one connection waits for and
/// that two others watch. Requests and watches are there before the first round.
pub(crate) fn feed() -> Round {
    let mut grove = Grove::new(PARENTS, STEPS * ROUNDS_MAX / PARENTS);
    let mut served = Served::new(&grove.tree, CONNS);
    let mut commits = VecDeque::new();
    for turn in 0..STEPS * ROUNDS_MAX / STEPS_PER_COMMIT {
        let steps = (0..STEPS_PER_COMMIT).map(|place| {
            let number = turn * STEPS_PER_COMMIT + place;
            step(&mut served, &mut grove, number)
        });
        let steps = steps.collect();
        commits.push_back(Commit { view: grove.tree.clone(), steps });
    }
    Box::new(move || {
        for _ in 0..STEPS / STEPS_PER_COMMIT {
            let commit = commits.pop_front().expect("there is one for each turn");
            served.handle(ShardInput::Commit(&commit));
            drop(commit);
            assert!(served.carry_out() > STEPS_PER_COMMIT * 100, "answers and events");
        }
    })
}

/// Sends what waits for a step, and makes the step.
fn step(served: &mut Served, grove: &mut Grove, number: usize) -> Step {
    let path = child_path(number % PARENTS, number / PARENTS);
    // The first ten connections write, the others watch.
    let slot = u32::try_from(number).expect("it is small") % 10;
    let mut write = Vec::new();
    let text = || Text::Borrowed(&*path);
    put_request(&mut write, &Request::SetData { path: text(), data: Some(DATA), version: -1 });
    served.handle(ShardInput::Bytes(conn_id(slot), &write));
    let mut read = Vec::new();
    put_request(&mut read, &Request::GetData { path: text(), watch: true });
    for watcher in [10 + slot, 10 + (slot + 1) % 10] {
        served.handle(ShardInput::Bytes(conn_id(watcher), &read));
    }
    served.carry_out();
    let Outcome::DataSet(stat) = grove.apply(&set_data(&path)) else { panic!("data are set") };
    let zxid = grove.tree.last_zxid();
    let reply = Notice::Reply(Reply {
        to: conn_ref(slot),
        xid: Xid(1),
        zxid,
        err: ErrorCode::OK,
        body: ReplyBody::Stat(stat),
        body_bytes: path.len() + DATA.len() + 12,
    });
    Step {
        zxid,
        changes: grove.changes.drain(..).collect(),
        notices: [reply].into_iter().collect(),
    }
}

const PARENTS: usize = 10;
const CONNS: u32 = 20;
const STEPS_PER_COMMIT: usize = 10;
