//! Links between learners and leaders: in order, delayed, cut, and silent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ostler_wire::ids::{Sid, Zxid};
use ostler_wire::quorum::QuorumPacket;
use ostler_zab::LinkId;
use ostler_zab::clock::Time;

use crate::disk::Txn;

/// What becomes of packets between two servers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Path {
    #[default]
    Open,
    /// Connections break at once, and none come about.
    Cut,
    /// Nothing arrives, but nobody is told.
    Silent,
}

/// What travels on a link.
#[derive(Clone, Debug)]
pub(crate) enum Cargo {
    Packet(QuorumPacket),
    Snapshot(Zxid, Vec<Txn>),
    /// The other end has closed.
    End,
}

/// A connection on the quorum port.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) learner: Sid,
    pub(crate) leader: Sid,
    /// When the last thing sent arrives, to the learner and to the leader.
    last_arrival: [Time; 2],
    /// What was sent while the path was silent.
    pub(crate) held: VecDeque<(bool, Cargo)>,
    /// Who has closed it, or knows that it is closed.
    pub(crate) closed_at: BTreeSet<Sid>,
}

impl Link {
    pub(crate) fn other(&self, sid: Sid) -> Sid {
        if sid == self.leader { self.learner } else { self.leader }
    }

    /// Nothing overtakes.
    pub(crate) fn arrival(&mut self, to_leader: bool, earliest: Time) -> Time {
        let last = &mut self.last_arrival[usize::from(to_leader)];
        *last = earliest.max(*last);
        *last
    }
}

/// All links and paths.
#[derive(Debug, Default)]
pub(crate) struct Net {
    pub(crate) links: BTreeMap<LinkId, Link>,
    paths: BTreeMap<(Sid, Sid), Path>,
    count: u64,
}

impl Net {
    pub(crate) fn path(&self, a: Sid, b: Sid) -> Path {
        self.paths.get(&(a.min(b), a.max(b))).copied().unwrap_or_default()
    }

    pub(crate) fn set_path(&mut self, a: Sid, b: Sid, path: Path) {
        self.paths.insert((a.min(b), a.max(b)), path);
    }

    pub(crate) fn connect(&mut self, learner: Sid, leader: Sid) -> LinkId {
        self.count += 1;
        let id = LinkId(self.count);
        let link = Link {
            learner,
            leader,
            last_arrival: [Time::default(); 2],
            held: VecDeque::new(),
            closed_at: BTreeSet::new(),
        };
        self.links.insert(id, link);
        id
    }

    /// The links of a server that it has not closed.
    pub(crate) fn links_of(&self, sid: Sid) -> Vec<LinkId> {
        let its = self.links.iter().filter(|(_, link)| {
            (link.learner == sid || link.leader == sid) && !link.closed_at.contains(&sid)
        });
        its.map(|(id, _)| *id).collect()
    }

    /// All links between two servers, closed by one of them or not.
    pub(crate) fn links_between(&self, a: Sid, b: Sid) -> Vec<LinkId> {
        let theirs = self
            .links
            .iter()
            .filter(|(_, link)| [(a, b), (b, a)].contains(&(link.learner, link.leader)));
        theirs.map(|(id, _)| *id).collect()
    }
}
