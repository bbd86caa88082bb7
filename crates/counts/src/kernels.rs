//! The kernels: what each of them does and prepares is written at its function.

mod apply;
mod bytes;
mod feed;
mod log;
mod read;
mod write;

/// A hot path.
pub(crate) struct Kernel {
    pub(crate) name: &'static str,
    /// How many of what it counts are in one round.
    pub(crate) operations: usize,
    /// Makes what the rounds work on; what it returns is one round.
    pub(crate) prepare: fn() -> Round,
}

/// One round of a kernel. All rounds do the same.
pub(crate) type Round = Box<dyn FnMut()>;

/// All kernels, in the order in which a request meets them.
pub(crate) const KERNELS: &[Kernel] = &[
    Kernel { name: "decode", operations: bytes::DECODED, prepare: bytes::decode },
    Kernel { name: "read", operations: read::READS, prepare: read::read },
    Kernel { name: "write", operations: write::WRITES, prepare: write::write },
    Kernel { name: "apply", operations: apply::TXNS, prepare: apply::apply },
    Kernel { name: "log", operations: log::RECORDS, prepare: log::log },
    Kernel { name: "feed", operations: feed::STEPS, prepare: feed::feed },
    Kernel { name: "encode", operations: bytes::ENCODED, prepare: bytes::encode },
];
