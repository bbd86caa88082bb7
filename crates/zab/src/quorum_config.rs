//! The configuration of an ensemble: its servers, who votes with which weight, what is a quorum.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
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

    /// This configuration with the version that another server's text gives to the same servers,
    /// groups and weights, if that is a later one.
    ///
    /// Java's servers count versions even where nobody asked for a change (`reconfigEnabled`), and
    /// follow only who knows theirs. What differs in anything else is not followed: who leads by a
    /// list of members that others have left behind is what versions are there to prevent.
    #[must_use]
    pub fn at_version_of(&self, text: &str) -> Option<Arc<Self>> {
        let (members, version) = text.rsplit_once("\nversion=")?;
        let version = i64::from_str_radix(version.trim_end(), 16).ok()?;
        let later = Self { version, ..self.clone() };
        let own = self.text();
        let (own_members, _) = own.rsplit_once("\nversion=")?;
        let same = lines_of(members) == lines_of(own_members);
        (version > self.version && same).then(|| Arc::new(later))
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
        for sid in self.members.keys().filter(|sid| self.has_weight_line(**sid)) {
            let _ = writeln!(text, "weight.{sid}={}", self.weight(*sid));
        }
        let _ = write!(text, "version={:x}", self.version);
        text
    }

    // Java: QuorumHierarchical.parse fills in the weights that are missing, for voters; QuorumMaj
    // knows none.
    fn has_weight_line(&self, sid: Sid) -> bool {
        !self.groups.is_empty() && (self.is_voter(sid) || self.weights.contains_key(&sid))
    }
}

/// The lines of a text in any order, without the addresses for clients: each server knows only its
/// own.
fn lines_of(text: &str) -> BTreeSet<&str> {
    let lines = text.lines().map(|line| line.split_once(';').map_or(line, |(line, _)| line));
    lines.collect()
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec::Vec;

    use super::*;

    fn config(voters: i64, observers: i64) -> QuorumConfig {
        let mut config = QuorumConfig::default();
        for sid in 1..=voters + observers {
            let (role, word) = if sid <= voters {
                (PeerRole::Participant, "participant")
            } else {
                (PeerRole::Observer, "observer")
            };
            let line = format!("h{sid}:2888:3888:{word};0.0.0.0:2181");
            config.members.insert(Sid(sid), Member { role, line });
        }
        config
    }

    /// Groups of servers in order, from 1 on.
    fn grouped(groups: &[i64], weights: &[(i64, i64)]) -> QuorumConfig {
        let mut config = config(i64::try_from(groups.len()).expect("a few"), 0);
        config.groups = (1..).map(Sid).zip(groups.iter().copied()).collect();
        config.weights = weights.iter().map(|(sid, weight)| (Sid(*sid), *weight)).collect();
        config
    }

    fn is_quorum(config: &QuorumConfig, sids: &[i64]) -> bool {
        config.contains_quorum(&sids.iter().copied().map(Sid).collect())
    }

    #[test]
    fn a_majority_is_more_than_half_of_the_voters() {
        for (voters, least) in [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (7, 4)] {
            let config = config(voters, 2);
            let first: Vec<i64> = (1..=voters).collect();
            assert!(is_quorum(&config, &first[..least]), "{least} of {voters}");
            assert!(!is_quorum(&config, &first[..least - 1]), "{least} of {voters} less one");
        }
    }

    #[test]
    fn observers_and_strangers_count_for_nothing() {
        let config = config(3, 3);
        assert!(!is_quorum(&config, &[1, 4, 5, 6]));
        assert!(!is_quorum(&config, &[1, 7, 8, -1]));
        assert!(is_quorum(&config, &[1, 2, 4]));
        assert_eq!(config.voters().collect::<Vec<_>>(), [Sid(1), Sid(2), Sid(3)]);
        assert!(config.is_voter(Sid(3)) && !config.is_voter(Sid(4)) && !config.is_voter(Sid(7)));
    }

    #[test]
    fn nobody_is_no_quorum() {
        assert!(!is_quorum(&QuorumConfig::default(), &[]));
        assert!(!is_quorum(&config(0, 2), &[1, 2]));
        assert!(!is_quorum(&config(1, 0), &[]));
        assert!(!is_quorum(&grouped(&[1, 2], &[(1, 0), (2, 0)]), &[1, 2]));
    }

    #[test]
    fn groups_need_a_majority_of_groups_with_a_majority_each() {
        let config = grouped(&[1, 1, 1, 2, 2, 2, 3, 3, 3], &[]);
        assert!(is_quorum(&config, &[1, 2, 4, 5]));
        assert!(is_quorum(&config, &[2, 3, 8, 9]));
        assert!(!is_quorum(&config, &[1, 2, 3, 4, 7]));
        assert!(!is_quorum(&config, &[1, 4, 7]));
        assert!(!is_quorum(&config, &[1, 2, 3]));
    }

    #[test]
    fn weights_count_within_their_group() {
        let config = grouped(&[1, 1, 1, 2, 2, 2], &[(1, 3), (2, 1), (6, 0)]);
        // 3 of 5, and 2 of 2: half is not enough.
        assert!(is_quorum(&config, &[1, 4, 5]));
        assert!(!is_quorum(&config, &[1, 4, 6]));
        assert!(!is_quorum(&config, &[2, 3, 4, 5]));
        assert_eq!(
            (config.weight(Sid(1)), config.weight(Sid(3)), config.weight(Sid(6))),
            (3, 1, 0)
        );
    }

    #[test]
    fn a_group_without_weight_is_no_group() {
        let config = grouped(&[1, 1, 1, 2, 3], &[(4, 0), (5, 0)]);
        assert!(is_quorum(&config, &[1, 2]));
        assert!(!is_quorum(&config, &[1, 4, 5]));
    }

    #[test]
    fn quorums_meet_whatever_the_groups_and_weights() {
        let configs = [
            config(4, 1),
            grouped(&[1, 1, 2, 2, 3], &[(1, 2)]),
            grouped(&[1, 1, 1, 2, 2, 2], &[(2, 0), (4, 5)]),
            grouped(&[1, 2, 3, 3, 4], &[(1, 0)]),
        ];
        for config in configs {
            let all: Vec<Sid> = config.members.keys().copied().collect();
            let subset = |bits: usize| -> BTreeSet<Sid> {
                let chosen = all.iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1);
                chosen.map(|(_, sid)| *sid).collect()
            };
            let quorums: Vec<_> = (0..1 << all.len())
                .map(subset)
                .filter(|sids| config.contains_quorum(sids))
                .collect();
            assert!(!quorums.is_empty());
            for a in &quorums {
                assert!(quorums.iter().all(|b| !a.is_disjoint(b)), "{a:?} meets not every other");
            }
        }
    }

    #[test]
    fn its_text_is_what_zookeeper_writes() {
        let mut config = config(2, 1);
        assert_eq!(
            config.text(),
            "server.1=h1:2888:3888:participant;0.0.0.0:2181\n\
             server.2=h2:2888:3888:participant;0.0.0.0:2181\n\
             server.3=h3:2888:3888:observer;0.0.0.0:2181\n\
             version=0"
        );
        config.version = 0x1_0000_000a;
        assert!(config.text().ends_with("\nversion=10000000a"));
    }

    #[test]
    fn its_text_has_a_weight_for_every_voter_when_there_are_groups() {
        let mut config = grouped(&[1, 2, 1], &[(2, 4)]);
        for (sid, member) in &mut config.members {
            member.line = format!("h{sid}");
        }
        assert_eq!(
            config.text(),
            "server.1=h1\nserver.2=h2\nserver.3=h3\ngroup.1=1:3\ngroup.2=2\n\
             weight.1=1\nweight.2=4\nweight.3=1\nversion=0"
        );
    }

    #[test]
    fn a_later_version_of_the_same_members_is_taken_and_nothing_else_is() {
        let config = config(2, 1);
        let version_of = |text: &str| config.at_version_of(text).map(|later| later.version);
        let members = "server.3=h3:2888:3888:observer\nserver.1=h1:2888:3888:participant\n\
                       server.2=h2:2888:3888:participant;0.0.0.0:2182\n";
        let text = |version: &str| format!("{members}version={version}");
        assert_eq!(version_of(&text("100000000")), Some(0x1_0000_0000));
        let later = config.at_version_of(&text("5")).expect("it is later");
        assert_eq!((&later.members, later.version), (&config.members, 5));
        for other in ["0", "-1", "", "x"] {
            assert_eq!(version_of(&text(other)), None, "{other}");
        }
        assert_eq!(version_of(&text("5").replace("server.3", "server.4")), None);
        assert_eq!(version_of(&text("5").replace("observer", "participant")), None);
        assert_eq!(version_of(&text("5").replace("h2:2888", "h2:2889")), None);
        assert_eq!(version_of(&text("5").replace("version", "group.1=1:2\nversion")), None);
        assert_eq!(version_of(""), None);
    }
}
