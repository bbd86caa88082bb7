//! What the threads do: wait, hand over what came, carry out the effects in order.

pub(crate) mod chronicle;
pub(crate) mod driver;
pub(crate) mod log;
pub(crate) mod replica;
pub(crate) mod shard;
pub(crate) mod snapshot;
pub(crate) mod spin;
