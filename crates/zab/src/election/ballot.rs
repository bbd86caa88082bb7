//! Votes as they are compared and counted: which is better, which are the same.

use alloc::collections::{BTreeMap, BTreeSet};

use ostler_wire::ids::Sid;
use ostler_wire::vote::{Notification, ServerState};

use super::Vote;
use crate::quorum_config::QuorumConfig;

impl Vote {
    /// Whether this vote should replace `other`: a newer epoch, then a longer history, then the
    /// larger id. The round is no part of it. A server without weight is not worth a vote.
    // Java: FastLeaderElection.totalOrderPredicate, which does not ask for the weight of the other
    // one: there a server without weight, and with the largest id, never joins an election itself.
    pub(super) fn is_better_than(&self, other: &Self, config: &QuorumConfig) -> bool {
        let worth = |vote: &Self| config.weight(vote.leader) > 0;
        worth(self) && (!worth(other) || self.order() > other.order())
    }

    /// Whether both are for the same server with the same history, in whichever rounds.
    pub(super) fn agrees_with(&self, other: &Self) -> bool {
        self.order() == other.order()
    }

    fn order(&self) -> (i64, i64, Sid) {
        (self.peer_epoch, self.zxid.0, self.leader)
    }
}

impl From<&Notification> for Vote {
    fn from(notification: &Notification) -> Self {
        Self {
            leader: notification.leader,
            zxid: notification.zxid,
            round: notification.round,
            peer_epoch: notification.peer_epoch,
        }
    }
}

/// A vote, and what its voter does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ballot {
    pub(super) vote: Vote,
    pub(super) state: ServerState,
    /// The version of the notification that it came in; 0 where it must not count.
    pub(super) version: i32,
}

impl Ballot {
    /// The vote of one who looks.
    pub(super) fn looking(vote: Vote) -> Self {
        Self { vote, state: ServerState::Looking, version: 0 }
    }

    /// Whether both count for the same leader.
    ///
    /// Those who look must agree in everything. Those who have a leader need not: each of them may
    /// have found it in another round and with another zxid, and servers before 3.4.6 do not
    /// even keep the epoch.
    // Java: Vote.equals.
    fn counts_with(&self, other: &Self) -> bool {
        if self.state == ServerState::Looking || other.state == ServerState::Looking {
            return self.vote == other.vote;
        }
        self.vote.leader == other.vote.leader
            && ((self.version > 0) != (other.version > 0)
                || self.vote.peer_epoch == other.vote.peer_epoch)
    }
}

/// The last ballot of every voter that was heard. Bounded by the number of voters.
#[derive(Debug, Default)]
pub(super) struct BallotBox(BTreeMap<Sid, Ballot>);

impl BallotBox {
    pub(super) fn put(&mut self, voter: Sid, ballot: Ballot) {
        self.0.insert(voter, ballot);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn has_heard(&self, voter: Sid) -> bool {
        self.0.contains_key(&voter)
    }

    /// Whether `server` says of itself that it leads.
    pub(super) fn is_leading(&self, server: Sid) -> bool {
        self.0.get(&server).is_some_and(|ballot| ballot.state == ServerState::Leading)
    }

    /// Whether a quorum's ballots count with this one.
    pub(super) fn has_quorum_for(&self, ballot: &Ballot, config: &QuorumConfig) -> bool {
        let same = self.0.iter().filter(|(_, other)| other.counts_with(ballot));
        let voters: BTreeSet<Sid> = same.map(|(voter, _)| *voter).collect();
        config.contains_quorum(&voters)
    }
}
