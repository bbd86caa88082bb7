//! One server as values: no sockets, no files, no clock, no threads.
//!
//! ```text
//!  bytes in ─► shard: frame ─► decode ─► session FIFO ─┬─ read ─► view ──────────► bytes out
//!                                                      └─ write ─► ToReplica          ▲
//!                                                                     │               │
//!  replica: prepare ─► head tree ─► Effect::Log ... Input::LogSynced ─► commit ─► Effect::Publish
//! ```
//!
//! Two machines share one grammar: `handle(clock, input, &mut effects)` and `next_deadline()`.
//! [`shard::Shard`] serves the connections of one thread; [`replica::Replica`] is the single
//! writer. Whoever drives them (threads in the server crate, one loop in a simulator) carries out
//! the effects in order.
//!
//! In an ensemble the replica is more than that: it owns the machines of [`ostler_zab`] and plays
//! the role that they find for it. A leader orders what all servers' clients ask for; a learner
//! sends its clients' requests there and answers them from the transactions that come back. Shards
//! notice nothing of it but whether clients are served ([`messages::Service`]).
//!
//! **The ordering rule.** A shard learns of the world only by the commits it is handed, one at a
//! time; at each it (1) queues watch events, (2) queues replies, (3) adopts the view, (4) serves
//! the reads that waited for it. Hence a client sees its own writes, zxids never go back on a
//! connection, and an event precedes any reply that shows the change.
//!
//! Reading order: [`clock`], [`rng`], [`limits`] (settings and bounds), [`messages`] (what the two
//! machines tell each other), [`auth`], then [`shard`] and [`replica`], and [`status`].

#![no_std]

extern crate alloc;

pub mod clock;
pub mod rng;

pub mod limits;

pub mod messages;

pub mod auth;

pub mod shard;

pub mod replica;

pub mod status;
