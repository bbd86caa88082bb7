//! The configuration of an ensemble: its servers, who votes with which weight, what is a quorum.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use core::fmt::Write as _;

use ostler_wire::ids::Sid;

/// Whether a server votes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PeerRole {
    /// It votes and may lead.
    Participant,
    /// It learns what was decided.
    Observer,
}

/// One server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Whether it votes.
    pub role: PeerRole,
    /// Its addresses as they stand behind `server.N=`, in ZooKeeper's normal form. Nothing here
    /// reads them.
    pub line: String,
}

/// The servers of an ensemble.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct QuorumConfig {
    /// The zxid at which it was decided; 0 when it comes from a file.
    pub version: i64,
    /// All servers.
    pub members: BTreeMap<Sid, Member>,
    /// The group of each voter when there are groups; empty for plain majorities.
    pub groups: BTreeMap<Sid, i64>,
    /// Weights that are not 1.
    pub weights: BTreeMap<Sid, i64>,
}

impl QuorumConfig {
    /// Whether a server votes.
    #[must_use]
    pub fn is_voter(&self, sid: Sid) -> bool {
        self.members.get(&sid).is_some_and(|member| member.role == PeerRole::Participant)
    }

    /// All servers that vote.
    pub fn voters(&self) -> impl Iterator<Item = Sid> {
        let participants =
            self.members.iter().filter(|(_, member)| member.role == PeerRole::Participant);
        participants.map(|(sid, _)| *sid)
    }

    /// The weight of a server's vote.
    #[must_use]
    pub fn weight(&self, sid: Sid) -> i64 {
        self.weights.get(&sid).copied().unwrap_or(1)
    }

    /// Whether these servers are a quorum; those that do not vote count for nothing.
    // Java: QuorumMaj.containsQuorum, QuorumHierarchical.containsQuorum.
    #[must_use]
    pub fn contains_quorum(&self, sids: &BTreeSet<Sid>) -> bool {
        if self.groups.is_empty() {
            let for_it = self.voters().filter(|sid| sids.contains(sid)).count();
            return for_it > self.voters().count() / 2;
        }
        let mut total: BTreeMap<i64, i64> = BTreeMap::new();
        let mut for_it: BTreeMap<i64, i64> = BTreeMap::new();
        for sid in self.voters() {
            let Some(group) = self.groups.get(&sid) else { continue };
            *total.entry(*group).or_default() += self.weight(sid);
            if sids.contains(&sid) {
                *for_it.entry(*group).or_default() += self.weight(sid);
            }
        }
        total.retain(|_, weight| *weight > 0);
        let won = total
            .iter()
            .filter(|(group, weight)| for_it.get(group).is_some_and(|sum| *sum > **weight / 2));
        won.count() > total.len() / 2
    }

    /// Its text, as notifications, NEWLEADER and `/zookeeper/config` carry it: a line for each
    /// server, group and weight, and the version in hexadecimal; no newline at the end.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (sid, member) in &self.members {
            let _ = writeln!(text, "server.{sid}={}", member.line);
        }
        let mut by_group: BTreeMap<i64, String> = BTreeMap::new();
        for (sid, group) in &self.groups {
            let line = by_group.entry(*group).or_default();
            let colon = if line.is_empty() { "" } else { ":" };
            let _ = write!(line, "{colon}{sid}");
        }
        for (group, sids) in by_group {
            let _ = writeln!(text, "group.{group}={sids}");
        }
        for (sid, weight) in &self.weights {
            let _ = writeln!(text, "weight.{sid}={weight}");
        }
        let _ = write!(text, "version={:x}", self.version);
        text
    }
}
