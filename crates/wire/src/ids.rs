//! Numbers that must not be mixed up, each as its own type.
//!
//! All are plain integers on the wire (big-endian); signedness follows ZooKeeper's records, because
//! comparisons there are signed.

use core::fmt;

/// A transaction id: the epoch in the upper 32 bits, a counter in the lower 32.
///
/// Signed, since -1 stands for "none" in reply headers and clients may send any value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Zxid(pub i64);

impl Zxid {
    /// No transaction: what replies to unknown opcodes and catch-up events carry.
    pub const NONE: Self = Self(-1);
    /// Before the first transaction.
    pub const ZERO: Self = Self(0);

    /// The zxid of the next transaction in the same epoch.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The epoch half.
    #[must_use]
    pub fn epoch(self) -> Epoch {
        // An arithmetic shift of the upper half always fits.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Epoch((self.0 >> 32) as u32)
    }

    /// The counter half.
    #[must_use]
    pub fn counter(self) -> u32 {
        // Truncation to the lower half is the meaning.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let counter = self.0 as u32;
        counter
    }
}

impl fmt::Debug for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Display for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// The reign of one leader.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Epoch(pub u32);

impl Epoch {
    /// The zxid before the first transaction of this epoch.
    #[must_use]
    pub fn first_zxid(self) -> Zxid {
        Zxid(i64::from(self.0) << 32)
    }
}

/// A server of the ensemble: the number in its `myid` file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Sid(pub i64);

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A session. The upper byte is the id of the server that made it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SessionId(pub i64);

impl SessionId {
    /// "No session": what a client sends to ask for a new one.
    pub const NONE: Self = Self(0);
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A client's request number, echoed in the reply and stored as `cxid` in the transaction.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Xid(pub i32);

impl Xid {
    /// Carried by watch notifications.
    pub const NOTIFICATION: Self = Self(-1);
    /// Carried by every ping reply, whatever the ping carried.
    pub const PING: Self = Self(-2);
    /// Used by clients for auth packets.
    pub const AUTH: Self = Self(-4);
    /// Used by Java clients for setWatches.
    pub const SET_WATCHES: Self = Self(-8);
}

/// Milliseconds since 1970, as in `ctime` and transaction headers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct WallMs(pub i64);
