//! What a learner gets before it may follow: the transactions that it lacks, a cut, or everything.
//!
//! P is the learner's last zxid, T the leader's last committed one; max is the last transaction of
//! the history that is not behind T. The first row that fits decides.
//!
//! | case | plan |
//! |---|---|
//! | snapshots are forced | snapshot |
//! | P = T | nothing |
//! | the history does not reach T or P | snapshot |
//! | P is in the history, or begins an epoch (counter 0) | what is behind P |
//! | P > max, both of one epoch | cut to max |
//! | P is not in the history, but what is around it is of the same epoch | cut to what is before |
//! | else: P is of an epoch that went on without it | snapshot |
//!
//! A zxid whose counter is 0 is no transaction: who has it last had nothing new in that epoch, so
//! there is nothing to cut. A cut goes only to a transaction of P's own epoch, since any other one
//! the learner is more likely to have inside a snapshot than in its log. If it has this one there
//! too, it comes back and names no P ([`Learner::ask_for_snapshot`]).
//!
//! [`Learner::ask_for_snapshot`]: crate::learner::Learner::ask_for_snapshot
// Java: LearnerHandler.syncFollower, without its search of the log on disk (which may hold what
// another leader left there before a snapshot was received), and with snapshots in place of cuts
// across epochs and to zxids that are no transaction.

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
pub fn plan(history: &History, committed: Zxid, last: Zxid, forced: bool) -> Plan {
    if forced {
        return Plan::Snap;
    }
    if last == committed {
        return Plan::Diff(last);
    }
    let (Some(max), Some(before)) = (history.at_or_before(committed), history.at_or_before(last))
    else {
        return Plan::Snap;
    };
    // What is not committed yet may change hands again: it is no place to go on from.
    let before = before.min(max);
    if before == last || last.counter() == 0 {
        return Plan::Diff(last);
    }
    let next = history.after(before).map(|(next, _)| next).find(|next| *next <= committed);
    let one_epoch = before.epoch() == last.epoch()
        && before.counter() != 0
        && next.is_none_or(|next| next.epoch() == last.epoch());
    if one_epoch { Plan::Trunc(before) } else { Plan::Snap }
}

#[cfg(test)]
mod tests {
    use ostler_wire::ids::Epoch;

    use super::*;
    use Plan::{Diff, Snap, Trunc};

    fn at(epoch: u32, counter: i64) -> Zxid {
        Zxid(Epoch(epoch).first_zxid().0 + counter)
    }

    fn history(base: Option<Zxid>, zxids: &[Zxid]) -> History {
        let mut history = History::new(500);
        if let Some(base) = base {
            history.restart(base);
        }
        for zxid in zxids {
            history.push(*zxid, [][..].into());
        }
        history
    }

    #[test]
    fn the_first_row_that_fits_decides() {
        let known = history(None, &[at(2, 3), at(2, 4), at(4, 1), at(4, 2), at(4, 3)]);
        // The last transaction is proposed, not committed.
        let committed = at(4, 2);
        for (last, expected) in [
            (committed, Diff(committed)),
            (at(2, 3), Diff(at(2, 3))),
            (at(2, 4), Diff(at(2, 4))),
            (at(4, 1), Diff(at(4, 1))),
            (at(3, 0), Diff(at(3, 0))),
            (at(4, 0), Diff(at(4, 0))),
            // Before the first entry, and before the first transaction of all.
            (at(2, 2), Snap),
            (at(2, 0), Snap),
            (Zxid::ZERO, Snap),
            (Zxid::NONE, Snap),
            // Beyond the end, also if the leader has proposed the same.
            (at(4, 3), Trunc(at(4, 2))),
            (at(4, 9), Trunc(at(4, 2))),
            // Epochs that went on without it, and one of which nothing was kept.
            (at(2, 5), Snap),
            (at(3, 1), Snap),
            (at(5, 1), Snap),
            // Had nothing new, but in a later epoch.
            (at(5, 0), Diff(at(5, 0))),
        ] {
            assert_eq!(plan(&known, committed, last, false), expected, "{last}");
            assert_eq!(plan(&known, committed, last, true), Snap, "{last}");
        }
    }

    #[test]
    fn a_new_leader_has_an_epoch_of_which_there_is_nothing() {
        let known = history(None, &[at(2, 3), at(2, 4)]);
        assert_eq!(plan(&known, at(4, 0), at(2, 4), false), Diff(at(2, 4)));
        assert_eq!(plan(&known, at(4, 0), at(2, 6), false), Trunc(at(2, 4)));
        assert_eq!(plan(&known, at(4, 0), at(3, 0), false), Diff(at(3, 0)));
        assert_eq!(plan(&known, at(4, 0), at(3, 1), false), Snap);
        assert_eq!(plan(&known, at(4, 0), at(4, 1), false), Snap);
    }

    #[test]
    fn where_a_history_begins_is_as_good_as_an_entry() {
        let received = history(Some(at(3, 7)), &[]);
        assert_eq!(plan(&received, at(4, 0), at(3, 7), false), Diff(at(3, 7)));
        assert_eq!(plan(&received, at(4, 0), at(3, 8), false), Trunc(at(3, 7)));
        assert_eq!(plan(&received, at(4, 0), at(3, 6), false), Snap);
        let begun = history(Some(at(3, 0)), &[]);
        assert_eq!(plan(&begun, at(4, 0), at(3, 1), false), Snap, "no cut to what is no entry");
        let unknown = history(None, &[]);
        assert_eq!(plan(&unknown, at(3, 7), at(3, 7), false), Diff(at(3, 7)));
        assert_eq!(plan(&unknown, at(3, 7), at(3, 8), false), Snap);
        assert_eq!(plan(&unknown, at(4, 0), at(3, 7), false), Snap);
    }
}
