//! Requests that a shard answers by itself.

use ostler_node::shard::ShardInput;
use ostler_wire::jute::Text;
use ostler_wire::request::Request;

use super::Round;
use crate::served::{Served, conn_id, put_request};
use crate::znodes::{Grove, child_path};

/// Reads in a round.
pub(crate) const READS: usize = 20_000;

/// Hands a shard ten getData of 100 bytes at once, on twenty connections in turn, and takes what it
/// answers.
pub(crate) fn read() -> Round {
    let grove = Grove::new(10, 1_000);
    let mut served = Served::new(&grove.tree, CONNS);
    let batches: Vec<Vec<u8>> = (0..READS / DEPTH)
        .map(|batch| {
            let mut bytes = Vec::new();
            for place in 0..DEPTH {
                let number = (batch * DEPTH + place) * 7919 % 10_000;
                let path = child_path(number / 1_000, number % 1_000);
                let request = Request::GetData { path: Text::Borrowed(&path), watch: false };
                put_request(&mut bytes, &request);
            }
            bytes
        })
        .collect();
    Box::new(move || {
        for (batch, slot) in batches.iter().zip((0..CONNS).cycle()) {
            served.handle(ShardInput::Bytes(conn_id(slot), batch));
            assert!(served.carry_out() >= 1_000, "ten answers of 100 bytes");
        }
    })
}

const CONNS: u32 = 20;
const DEPTH: usize = 10;
