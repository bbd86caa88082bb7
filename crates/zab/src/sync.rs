//! What a learner gets before it may follow: the transactions that it lacks, a cut, or everything.

use ostler_wire::ids::Zxid;

use crate::history::History;

/// How a learner is brought to the leader's history.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plan {
    /// It gets what is behind this zxid.
    Diff(Zxid),
    /// It drops what is behind this zxid and gets what the leader has behind it.
    Trunc(Zxid),
    /// It gets a snapshot.
    Snap,
}

/// Decides for a learner whose last transaction is `last`, of a leader that has committed up to
/// `committed`.
#[must_use]
pub fn plan(_history: &History, _committed: Zxid, _last: Zxid, _forced: bool) -> Plan {
    todo!()
}
