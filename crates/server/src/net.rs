//! Sockets: listening, counting, reading and writing.

pub(crate) mod limits;
pub(crate) mod listener;
pub(crate) mod sockets;
