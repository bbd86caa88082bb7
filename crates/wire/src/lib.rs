//! Bytes and records: everything that ZooKeeper puts on a socket or into a file, and nothing else.
//!
//! This crate knows shapes, not meanings. It has no state, does no IO and allocates nothing that
//! its input does not justify; decoding any bytes ends in a record or a [`jute::DecodeError`],
//! never in a panic.
//!
//! Reading order: [`jute`] (the encoding), [`ids`] (numbers that must not be mixed up),
//! [`error`], [`stat`], [`acl`], [`path`], then the two ends of a conversation with a client:
//! [`frame`], [`connect`], [`op`], [`request`], [`reply`]; [`txn`], what is logged; and what
//! servers say to each other: [`vote`] in an election, [`quorum`] between leader and learner.

#![no_std]
#![warn(missing_docs)]
#![warn(clippy::indexing_slicing)]

extern crate alloc;

pub mod jute;

pub mod ids;

pub mod error;
pub mod stat;

pub mod acl;
pub mod path;

pub mod frame;

pub mod connect;
pub mod op;

pub mod request;

pub mod reply;
pub mod txn;

pub mod quorum;
pub mod vote;
