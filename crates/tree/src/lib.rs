//! The znode tree as a persistent value.
//!
//! A [`Tree`] is everything that a ZooKeeper server has agreed on: znodes, sessions, ACL lists and
//! how far history has come. Its clone is a few reference counts and shares whatever was not
//! changed since. From that follows most of the server: what is prepared but not committed is a
//! tree of its own, a failed multi is a clone that is dropped, a commit publishes a tree, a reader
//! or a snapshot keeps the tree that it began with and needs no lock.
//!
//! This crate applies transactions ([`Tree::apply`]) and answers look-ups. It does no IO, knows no
//! clock, checks no permission and never refuses what the log says: validation is done before,
//! by whoever makes a transaction.
//!
//! Invariants:
//! - Nothing that is reachable from a clone ever changes.
//! - [`Tree::digest`], the counts and the indexes always agree with the znodes.
//! - No transaction makes [`Tree::apply`] panic.
//! - No recursion is as deep as a path.
//!
//! Reading order: `znode` with `leaf` (what is stored), `dir` (the one container), `tree`
//! (look-ups), `apply` with `changes`; then `warm`, `quota`, `acl_table`, `ephemerals`, `digest`,
//! `builder`, `nursery`, `hash`.

#![no_std]
#![warn(missing_docs)]

extern crate alloc;

mod acl_table;
mod apply;
mod builder;
mod changes;
mod digest;
mod dir;
mod ephemerals;
mod hash;
mod leaf;
mod nursery;
mod quota;
mod tree;
mod warm;
mod znode;

pub use acl_table::{AclId, AclList};
pub use builder::{Builder, MissingParent};
pub use changes::{Change, ChangeKind, Outcome};
pub use nursery::{Nursery, Seedling};
pub use quota::{Amounts, Quota};
pub use tree::{Tree, Walk};
pub use warm::Intent;
pub use znode::{Kind, Znode};
