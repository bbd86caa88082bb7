//! The parts of the `ostler` binary that are worth calling from elsewhere.
//!
//! - [`mod@bench`]: a load generator for any server that speaks ZooKeeper's client protocol.
//! - [`process`]: what a process uses of the machine.
//! - [`raw_client`]: one connection, blocking, frame by frame. It sets up what a bench needs, and
//!   the tests of this crate use it to send what no decent client would send.
//! - [`mod@shell`]: the command line shell, like Apache's.
//! - [`tools`]: what is done to data directories while nobody serves them.
//!
//! None of this is a client library: that is the crate `ostler-client`.

pub mod bench;
pub mod process;
pub mod raw_client;
pub mod shell;
pub mod tools;
