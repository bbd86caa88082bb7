//! Agreement: who leads, and which transactions everybody has in which order.
//!
//! ```text
//!  LOOKING ──election──► LEADING:   discovery ─► synchronisation ─► broadcast
//!     ▲                  FOLLOWING: discovery ─► synchronisation ─► broadcast
//!     └──── lost a quorum, the leader, or a link ◄──────────────────────┘
//! ```
//!
//! Pure machines: time comes in with every call, effects go out in a list, nothing here opens a
//! socket or a file. Transactions are opaque bytes. The names are ZooKeeper's; the rules are those
//! of its 3.9 servers, since these machines talk to them.
//!
//! Reading order: [`clock`], [`settings`], [`quorum_config`] (who votes, what is a quorum),
//! [`election`], [`history`] and [`sync`] (what a learner lacks), [`leader`], [`learner`].

#![no_std]
#![warn(missing_docs)]

extern crate alloc;

pub mod clock;
pub mod settings;

pub mod quorum_config;

pub mod connect_rule;
pub mod election;

pub mod history;
pub mod sync;

pub mod leader;
pub mod learner;

/// A connection between a learner and its leader. The driver numbers them and never uses a number
/// twice, so that what comes late from an earlier connection is not taken for the present one's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LinkId(pub u64);
