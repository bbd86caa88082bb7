//! The server: sockets, files, threads and clocks around the pure core of `ostler-node`.
//!
//! ```text
//!  clients ══ shard threads ══ mailbox ══► replica thread ══► log thread ══ disk
//!                  ▲                          │   ▲               │
//!                  ╚════════ feed ════════════╝   ╚═══ synced ════╝      snapshot thread ══ disk
//! ```
//!
//! Every loop here is the same: wait, hand a batch of inputs to its machine, carry out the effects
//! in order. What a request means is not decided here.
//!
//! Reading order: [`config`], [`logging`], [`boot`] (how it all starts and ends), `mail` and `feed`
//! (how threads talk), the four loops, `net`, `peers` (the other servers), `admin`, `notify`,
//! `huge_pages`.

pub mod admin;
pub mod boot;
pub mod config;
mod feed;
mod huge_pages;
pub mod logging;
mod loops;
mod mail;
mod net;
mod notify;
mod peers;
mod version;

pub use boot::serve;
