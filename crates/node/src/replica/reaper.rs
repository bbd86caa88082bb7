//! The reaper: deletes containers that are empty again and znodes whose time to live is over.
//!
//! From time to time it looks for what can go, by the indexes of the tree, a slice at a time so
//! that nobody has to wait for it, and takes one path after the other, a little apart, so that a
//! great many do not go at once. When a path's turn comes it is judged again by all that was
//! proposed meanwhile: what was used again, or was deleted and is something else by now, stays.
//! Its transactions are of session 0.
//!
//! It decides; the replica proposes.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use ostler_tree::{Kind, Tree, Znode};
use ostler_wire::ids::WallMs;

use crate::clock::{Clock, Span, Time};
use crate::limits::ReaperSettings;

/// What is due, and when to look again.
// Java: ContainerManager.
#[derive(Debug)]
pub(super) struct Reaper {
    rules: ReaperSettings,
    /// Whether znodes with a time to live are deleted: only with `extendedTypesEnabled`.
    takes_ttls: bool,
    next_look: Time,
    next_turn: Time,
    /// Where the present look goes on.
    look: Option<Look>,
    /// Found by it, not yet taken.
    found: VecDeque<Box<str>>,
}

/// How far a look has come: which index, and its mark.
#[derive(Clone, Copy, Debug)]
enum Look {
    Containers(u64),
    Ttls(u64),
}

impl Reaper {
    /// The first look comes after one interval.
    pub(super) fn new(now: Time, rules: ReaperSettings, takes_ttls: bool) -> Self {
        let next_look = now + Span::from_millis(rules.interval_ms.max(1));
        Self { rules, takes_ttls, next_look, next_turn: now, look: None, found: VecDeque::new() }
    }

    /// When [`Reaper::next`] has something to do; in the past while it is looking.
    pub(super) fn next_deadline(&self) -> Time {
        if self.found.is_empty() && self.look.is_none() { self.next_look } else { self.next_turn }
    }

    /// The path to delete now, if any. Looks are made at what was committed, the last word is with
    /// what was proposed.
    pub(super) fn next(&mut self, at: Clock, committed: &Tree, head: &Tree) -> Option<Box<str>> {
        if at.now < self.next_deadline() {
            return None;
        }
        if self.found.is_empty() {
            self.go_on_looking(at, committed);
        }
        while let Some(path) = self.found.pop_front() {
            if head.node(&path).is_some_and(|znode| self.is_due(znode, at.wall)) {
                self.next_turn = at.now + Span::from_millis(self.rules.spacing_ms());
                return Some(path);
            }
        }
        None
    }

    /// Looks at one more slice, which is the first if no look is under way.
    fn go_on_looking(&mut self, at: Clock, tree: &Tree) {
        let look = self.look.unwrap_or_else(|| {
            self.schedule_next_look(at.now);
            Look::Containers(0)
        });
        let mut found = VecDeque::new();
        let each = |path: &str| {
            if tree.node(path).is_some_and(|znode| self.is_due(znode, at.wall)) {
                found.push_back(path.into());
            }
        };
        self.look = match look {
            Look::Containers(mark) => match tree.visit_containers(mark, SLICE, each) {
                Some(mark) => Some(Look::Containers(mark)),
                None => self.takes_ttls.then_some(Look::Ttls(0)),
            },
            Look::Ttls(mark) => tree.visit_ttls(mark, SLICE, each).map(Look::Ttls),
        };
        self.found = found;
    }

    fn schedule_next_look(&mut self, now: Time) {
        let interval = Span::from_millis(self.rules.interval_ms.max(1));
        self.next_look = self.next_look + interval;
        if self.next_look <= now {
            // The machine slept, or the last look was long: none are made up for.
            self.next_look = now + interval;
        }
    }

    fn is_due(&self, znode: &Znode, wall: WallMs) -> bool {
        if znode.child_count() > 0 {
            return false;
        }
        let stat = znode.stat_persisted();
        let age_ms = wall.0.saturating_sub(stat.mtime.0);
        match znode.kind() {
            Kind::Container if stat.cversion > 0 => true,
            Kind::Container => self.rules.unused_max_ms != 0 && age_ms > self.rules.unused_max_ms,
            Kind::Ttl { ms } => self.takes_ttls && ms != 0 && age_ms > ms,
            Kind::Persistent | Kind::Ephemeral(_) => false,
        }
    }
}

/// Paths that are looked at without anybody else getting a turn: a millisecond or less.
const SLICE: usize = 1000;

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use alloc::format;
    use alloc::vec::Vec;

    use ostler_tree::Tree;
    use ostler_wire::acl::Acl;
    use ostler_wire::ids::{SessionId, WallMs, Xid};
    use ostler_wire::txn::{CreateKind, CreateTxn, Txn, TxnHeader};

    use super::Reaper;
    use crate::clock::{Clock, Time};
    use crate::limits::ReaperSettings;

    fn apply(tree: &mut Tree, txn: &Txn<'_>) {
        let zxid = tree.last_zxid().next();
        let header = TxnHeader { session: SessionId::NONE, cxid: Xid(0), zxid, time: WallMs(0) };
        tree.apply(&header, txn, &mut Vec::new());
    }

    fn create(tree: &mut Tree, path: &str, kind: CreateKind) {
        let (path, acl) = (path.into(), Acl::open());
        let create = CreateTxn { kind, path, data: None, acl, parent_cversion: -1 };
        apply(tree, &Txn::Create(create));
    }

    fn delete(tree: &mut Tree, path: &str) {
        apply(tree, &Txn::Delete { path: path.into(), container: false });
    }

    /// Everything that goes at this moment, one after the other, of a tree that stays as it is.
    fn taken(rules: ReaperSettings, takes_ttls: bool, ms: u64, tree: &Tree) -> Vec<Box<str>> {
        let rules = ReaperSettings { interval_ms: 1, ..rules };
        let mut reaper = Reaper::new(Time(0), rules, takes_ttls);
        let wall = WallMs(ms.cast_signed());
        let mut taken: Vec<_> = (1..200)
            .filter_map(|turn| {
                reaper.next(Clock { now: Time::from_millis(turn), wall }, tree, tree)
            })
            .take_while({
                let mut seen = Vec::new();
                move |path| {
                    let is_new = !seen.contains(path);
                    seen.push(path.clone());
                    is_new
                }
            })
            .collect();
        taken.sort();
        taken
    }

    const PLAIN: CreateKind = CreateKind::Plain { ephemeral: false };
    const QUICK: ReaperSettings = ReaperSettings { per_minute: 60_000, ..ReaperSettings::DEFAULT };

    #[test]
    fn goes_what_is_empty_again_or_too_old() {
        let mut tree = Tree::fresh(1);
        for path in ["/unused", "/used", "/in-use"] {
            create(&mut tree, path, CreateKind::Container);
        }
        for path in ["/used/a", "/in-use/a"] {
            create(&mut tree, path, PLAIN);
        }
        delete(&mut tree, "/used/a");
        create(&mut tree, "/young", CreateKind::Ttl { ttl_ms: 1000 });
        create(&mut tree, "/old", CreateKind::Ttl { ttl_ms: 999 });
        create(&mut tree, "/parent", CreateKind::Ttl { ttl_ms: 1 });
        create(&mut tree, "/parent/a", PLAIN);
        assert_eq!(taken(QUICK, true, 1000, &tree), ["/old".into(), "/used".into()]);
        assert_eq!(taken(QUICK, false, 1000, &tree), ["/used".into()]);
        let impatient = ReaperSettings { unused_max_ms: 999, ..QUICK };
        assert_eq!(taken(impatient, false, 999, &tree), ["/used".into()]);
        assert_eq!(taken(impatient, false, 1000, &tree), ["/unused".into(), "/used".into()]);
    }

    #[test]
    fn looks_once_an_interval_and_takes_its_time() {
        let mut tree = Tree::fresh(1);
        for path in ["/a", "/b"] {
            create(&mut tree, path, CreateKind::Ttl { ttl_ms: 1 });
        }
        let rules = ReaperSettings { per_minute: 6000, ..QUICK };
        let mut reaper = Reaper::new(Time::from_millis(500), rules, true);
        let mut next = |ms: u64, head: &Tree| {
            let at = Clock { now: Time::from_millis(ms), wall: WallMs(ms.cast_signed()) };
            (reaper.next(at, &tree, head).is_some(), reaper.next_deadline().millis())
        };
        assert_eq!(next(60_499, &tree), (false, 60_500));
        // First it looks at the containers; the deadline is in the past until the look is over.
        assert_eq!(next(60_500, &tree), (false, 500));
        assert_eq!(next(60_500, &tree), (true, 60_510));
        assert_eq!(next(60_509, &tree), (false, 60_510));
        assert_eq!(next(60_510, &tree), (true, 120_500));
        assert_eq!(next(120_500, &tree), (false, 60_520));
        assert_eq!(next(120_500, &tree), (true, 120_510));
        let mut head = tree.clone();
        for path in ["/a", "/b"] {
            delete(&mut head, path);
            create(&mut head, path, PLAIN);
        }
        assert_eq!(next(120_510, &head), (false, 180_500));
        assert_eq!(next(999_999, &head), (false, 120_510));
        assert_eq!(next(999_999, &head), (false, 1_059_999));
    }

    #[test]
    fn a_long_look_is_taken_in_slices() {
        let mut tree = Tree::fresh(1);
        let count = 3 * super::SLICE;
        for i in 0..count {
            create(&mut tree, &format!("/container-{i}"), CreateKind::Container);
        }
        let used = "/container-7";
        create(&mut tree, "/container-7/a", PLAIN);
        delete(&mut tree, "/container-7/a");
        let rules = ReaperSettings { per_minute: u64::MAX, ..QUICK };
        let mut reaper = Reaper::new(Time(0), rules, false);
        let at = Clock { now: Time::from_millis(60_000), wall: WallMs(0) };
        let mut turns = Vec::new();
        while reaper.next_deadline() <= at.now {
            turns.push(reaper.next(at, &tree, &tree));
        }
        assert!((3..=4).contains(&turns.len()), "{turns:?}");
        let taken: Vec<_> = turns.into_iter().flatten().collect();
        assert_eq!(taken, [used.into()]);
    }
}
