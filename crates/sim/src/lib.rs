//! The simulator: a whole ensemble and its clients on one thread, in virtual time, from one seed.
//!
//! It drives the very same `Replica`, `Shard` and `Storage` that the server does, over a network,
//! disks and clocks that misbehave as drawn from the seed. Every hand-over between threads of the
//! real server is an event here, so their interleavings are explored too. Everything that servers
//! show and that clients are told is held against what was committed ([`witness`](self)), and what
//! was committed against a naive model.
//!
//! ```text
//!  seed ─► options, plan of faults
//!            │
//!  clients ─► net ─► shard ─► replica ─► log ─► memory disk
//!    ▲                 ▲        │ ▲               │
//!    └── net ◄─────────┴─ feed ◄┘ └─ peers ◄─ net ┘        every arrow is an event
//! ```
//!
//! Not here: real threads, sockets and files (the server crate and its tests), and anything but
//! the protocol itself: four-letter words, TLS, SASL.
//!
//! Reading order: `options`, `faults`; `random`, `trace`, `queue`, `net`; `server` with
//! `process`, `shard_thread`, `log_thread`, `peers`; `client`, `workload`, `answer`; `witness`,
//! `model`, `hearing`, `check`; [`recipes`]; `world`, [`run`].

#![warn(missing_docs)]

pub mod options;

pub mod faults;

mod queue;
mod random;
mod trace;

mod net;

mod server;

mod answer;
mod client;
mod workload;

mod check;
mod hearing;
mod model;
mod witness;

pub mod recipes;

mod world;

pub mod run;

pub use world::Stats;
