//! ZooKeeper's data directory: transaction logs and snapshots, written, recovered and purged.
//!
//! The files are Apache's, byte for byte, so that a directory can be taken over from its server
//! and handed back. What is kept about them is stricter: nothing is acknowledged before data,
//! length and name are durable; a snapshot has its name only when it is whole; damage is refused
//! with file, offset and advice instead of being skipped.
//!
//! This crate decides nothing about *when* to log, to take a snapshot or to purge, and starts no
//! thread but the one that reads while a recovery works on what was read. It checks no transaction:
//! what the log says is applied.
//!
//! Invariants:
//! - Once [`log::Log::commit`] has returned `Ok`, every recovery finds the batch, whatever crashes,
//!   until somebody asks for a truncation or an installation that takes it back.
//! - What recovery returns is a prefix of what was appended.
//! - A recovery that fails has changed no file.
//! - No bytes in any file make a reader panic or allocate more than the file justifies.
//!
//! Reading order: [`disk`] (the trait and the crash contract), [`real_disk`], [`memory_disk`];
//! [`names`]; [`log_format`] with `bit_flip`, [`log_frames`], [`log_reader`], [`log`];
//! [`compress`], [`snapshot`], [`snapshot_reader`] with `beside`, [`stream`]; `replay`,
//! [`recover`], [`purge`]; `install`, [`truncate`], [`epochs`]; [`storage`], which puts it all
//! together, and [`snapshots`]; [`dir_lock`].

#![warn(missing_docs, clippy::indexing_slicing)]

mod beside;
mod bit_flip;
pub mod compress;
pub mod dir_lock;
pub mod disk;
pub mod epochs;
mod install;
pub mod log;
pub mod log_format;
pub mod log_frames;
pub mod log_reader;
pub mod memory_disk;
pub mod names;
pub mod purge;
pub mod real_disk;
pub mod recover;
mod replay;
pub mod snapshot;
pub mod snapshot_reader;
pub mod snapshots;
pub mod storage;
pub mod stream;
pub mod truncate;
