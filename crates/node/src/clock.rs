//! The clocks that come with every input of a machine of this crate.

use ostler_wire::ids::WallMs;
pub use ostler_zab::clock::{Span, Time};

/// What the clocks showed when an input was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Clock {
    /// The monotonic clock: for timeouts and latencies.
    pub now: Time,
    /// The wall clock: for `ctime`, `mtime` and texts.
    pub wall: WallMs,
}
