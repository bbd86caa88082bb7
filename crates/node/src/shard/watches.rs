//! Which connections of this shard wait for which paths.
//!
//! Two tables as in ZooKeeper, *data* (left by exists, getData and addWatch) and *child* (left by
//! getChildren and addWatch), share one entry a path, since a path is often watched in both. A
//! watcher in a table has any of three modes: standard watches are one-shot, firing takes them
//! away; persistent ones stay; recursive ones stay and also hear of everything below their path.
//!
//! Connections are named by their slot; a connection's watches are taken out before its slot is
//! used again. It keeps the numbers of the entries that it stands in, for cleaning up. That list
//! may also hold numbers of entries that it has left; it is swept before it grows.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hash::BuildHasher as _;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use smallvec::SmallVec;

/// The place of a connection in its shard's table.
pub(super) type Slot = u32;

/// The slots that a firing reaches, each once.
pub(super) type Slots = SmallVec<[Slot; 8]>;

/// Which of the two tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Table {
    /// Watches left by exists, getData and addWatch.
    Data,
    /// Watches left by getChildren and by addWatch in persistent mode.
    Child,
}

impl Table {
    /// Both.
    pub(super) const ALL: [Self; 2] = [Self::Data, Self::Child];
}

/// How a watch behaves; also a set of modes, since one connection can have several on a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mode(u32);

impl Mode {
    /// Fires once.
    pub(super) const STANDARD: Self = Self(1);
    /// Fires until it is removed.
    pub(super) const PERSISTENT: Self = Self(2);
    /// The same, for the path and everything below it; only in the data table.
    pub(super) const RECURSIVE: Self = Self(4);
    /// Any of them.
    pub(super) const ANY: Self = Self(7);
}

/// A slot and the set of its modes in one word.
#[derive(Clone, Copy, Debug)]
struct Watcher(u32);

impl Watcher {
    fn new(slot: Slot, mode: Mode) -> Self {
        assert!(slot < 1 << 29, "a shard has fewer than 2^29 connections");
        Self(slot << 3 | mode.0)
    }

    fn slot(self) -> Slot {
        self.0 >> 3
    }

    fn has(self, mode: Mode) -> bool {
        self.0 & mode.0 != 0
    }

    fn without(self, mode: Mode) -> Option<Self> {
        let rest = Self(self.0 & !mode.0);
        rest.has(Mode::ANY).then_some(rest)
    }
}

/// All watches of one shard.
#[derive(Debug)]
pub(super) struct Watches {
    entries: Vec<Entry>,
    /// Numbers of entries that are not in use.
    free: Vec<u32>,
    /// From the hash of a path to the number of its entry.
    index: HashTable<u32>,
    hasher: FixedState,
    /// Watchers in each table.
    counts: [usize; 2],
    /// Watchers with the recursive mode: without any, no ancestors are looked at.
    recursive_count: usize,
}

#[derive(Debug, Default)]
struct Entry {
    path: Box<str>,
    // Invariant: an entry in use has a watcher in at least one table; slots ascend, so that one
    // of twenty thousand watchers of a path is found without looking at all of them.
    watchers: [SmallVec<[Watcher; 4]>; 2],
}

const _: () = assert!(size_of::<Entry>() == 80);

impl Watches {
    /// No watches; `seed` keys the hash of the paths that clients choose.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            hasher: FixedState::with_seed(seed),
            counts: [0; 2],
            recursive_count: 0,
        }
    }

    /// Lets `slot`, whose entries are in `own`, wait for `path`. Twice is the same as once.
    pub(super) fn add(
        &mut self,
        (table, mode): (Table, Mode),
        path: &str,
        slot: Slot,
        own: &mut Vec<u32>,
    ) {
        let number = self.entry_number(path);
        let entry = &mut self.entries[number as usize];
        let known = entry.watchers.iter().any(|watchers| has_slot(watchers, slot));
        let watchers = &mut entry.watchers[table as usize];
        match place_of(watchers, slot) {
            Ok(at) => {
                let watcher = &mut watchers[at];
                self.recursive_count +=
                    usize::from(mode == Mode::RECURSIVE && !watcher.has(Mode::RECURSIVE));
                watcher.0 |= mode.0;
            }
            Err(at) => {
                watchers.insert(at, Watcher::new(slot, mode));
                self.counts[table as usize] += 1;
                self.recursive_count += usize::from(mode == Mode::RECURSIVE);
            }
        }
        if known {
            return;
        }
        if own.len() == own.capacity() {
            self.sweep(slot, own);
        }
        own.push(number);
    }

    /// Everybody who waits for `path` in `table`, ascending; standard watches are gone afterwards.
    pub(super) fn fire(&mut self, table: Table, path: &str) -> Slots {
        let mut reached = Slots::new();
        if let Some(number) = self.find(path) {
            let watchers = &mut self.entries[number as usize].watchers[table as usize];
            reached.extend(watchers.iter().map(|watcher| watcher.slot()));
            watchers.retain(|watcher| match watcher.without(Mode::STANDARD) {
                Some(rest) => {
                    *watcher = rest;
                    true
                }
                None => false,
            });
            self.counts[table as usize] -= reached.len() - watchers.len();
            self.release_if_unused(number);
        }
        if table == Table::Data && self.recursive_count > 0 {
            self.add_recursive_above(path, &mut reached);
        }
        reached
    }

    /// Whether `slot` waits for `path` in `table` in one of these modes.
    pub(super) fn contains(&self, table: Table, mode: Mode, path: &str, slot: Slot) -> bool {
        self.find(path).is_some_and(|number| {
            let watchers = &self.entries[number as usize].watchers[table as usize];
            place_of(watchers, slot).is_ok_and(|at| watchers[at].has(mode))
        })
    }

    /// Takes these modes of `slot` out; false if it has none of them.
    pub(super) fn remove(&mut self, table: Table, mode: Mode, path: &str, slot: Slot) -> bool {
        let Some(number) = self.find(path) else { return false };
        let removed = self.remove_modes(number, table, mode, slot);
        self.release_if_unused(number);
        removed
    }

    /// Takes out every watch of `slot`.
    pub(super) fn remove_all(&mut self, slot: Slot, own: &[u32]) {
        for &number in own {
            for table in Table::ALL {
                self.remove_modes(number, table, Mode::ANY, slot);
            }
            self.release_if_unused(number);
        }
    }

    /// Whether anybody waits for anything.
    pub(super) fn is_empty(&self) -> bool {
        self.counts == [0; 2]
    }

    /// Number of watchers in a table.
    pub(super) fn count(&self, table: Table) -> usize {
        self.counts[table as usize]
    }

    /// Watched paths of a table, each with who waits.
    pub(super) fn iter(
        &self,
        table: Table,
    ) -> impl Iterator<Item = (&str, impl Iterator<Item = Slot>)> {
        self.entries
            .iter()
            .map(move |entry| (&*entry.path, &entry.watchers[table as usize]))
            .filter(|(_, watchers)| !watchers.is_empty())
            .map(|(path, watchers)| (path, watchers.iter().map(|watcher| watcher.slot())))
    }

    /// Adds those who wait for everything below an ancestor of `path`.
    fn add_recursive_above(&self, path: &str, reached: &mut Slots) {
        let ends = path.rmatch_indices('/').map(|(at, _)| at).filter(|at| *at > 0);
        let ancestors = ends.map(|at| &path[..at]).chain((path != "/").then_some("/"));
        let before = reached.len();
        for ancestor in ancestors {
            let Some(number) = self.find(ancestor) else { continue };
            let watchers = &self.entries[number as usize].watchers[Table::Data as usize];
            let recursive = watchers.iter().filter(|watcher| watcher.has(Mode::RECURSIVE));
            reached.extend(recursive.map(|watcher| watcher.slot()));
        }
        if reached.len() > before {
            reached.sort_unstable();
            reached.dedup();
        }
    }

    fn find(&self, path: &str) -> Option<u32> {
        if self.index.is_empty() {
            return None;
        }
        let hash = self.hasher.hash_one(path);
        self.index.find(hash, |number| &*self.entries[*number as usize].path == path).copied()
    }

    /// The entry of `path`, made if there is none.
    fn entry_number(&mut self, path: &str) -> u32 {
        if let Some(number) = self.find(path) {
            return number;
        }
        let number = self.free.pop().unwrap_or_else(|| {
            self.entries.push(Entry::default());
            u32::try_from(self.entries.len() - 1).expect("fewer than 2^32 watched paths")
        });
        self.entries[number as usize].path = path.into();
        let (entries, hasher) = (&self.entries, &self.hasher);
        self.index.insert_unique(hasher.hash_one(path), number, |number| {
            hasher.hash_one(&*entries[*number as usize].path)
        });
        number
    }

    fn remove_modes(&mut self, number: u32, table: Table, mode: Mode, slot: Slot) -> bool {
        let watchers = &mut self.entries[number as usize].watchers[table as usize];
        let Ok(at) = place_of(watchers, slot) else { return false };
        let watcher = watchers[at];
        if watcher.has(mode) && watcher.has(Mode::RECURSIVE) && mode.0 & Mode::RECURSIVE.0 != 0 {
            self.recursive_count -= 1;
        }
        match watcher.without(mode) {
            Some(rest) => watchers[at] = rest,
            None => {
                watchers.remove(at);
                self.counts[table as usize] -= 1;
            }
        }
        watcher.has(mode)
    }

    fn release_if_unused(&mut self, number: u32) {
        let entry = &self.entries[number as usize];
        if entry.watchers.iter().any(|watchers| !watchers.is_empty()) {
            return;
        }
        let hash = self.hasher.hash_one(&*entry.path);
        if let Ok(found) = self.index.find_entry(hash, |other| *other == number) {
            found.remove();
            self.entries[number as usize] = Entry::default();
            self.free.push(number);
        }
    }

    /// Takes numbers out of `own` that no longer concern `slot`.
    fn sweep(&self, slot: Slot, own: &mut Vec<u32>) {
        own.sort_unstable();
        own.dedup();
        own.retain(|number| {
            let entry = &self.entries[*number as usize];
            entry.watchers.iter().any(|watchers| has_slot(watchers, slot))
        });
    }
}

/// Where the watcher of `slot` is, or would have to be put.
fn place_of(watchers: &[Watcher], slot: Slot) -> Result<usize, usize> {
    watchers.binary_search_by_key(&slot, |watcher| watcher.slot())
}

fn has_slot(watchers: &[Watcher], slot: Slot) -> bool {
    place_of(watchers, slot).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: (Table, Mode) = (Table::Data, Mode::STANDARD);

    #[test]
    fn a_standard_watch_fires_once() {
        let mut watches = Watches::new(1);
        let mut own = Vec::new();
        watches.add(DATA, "/a", 7, &mut own);
        watches.add(DATA, "/a", 7, &mut own);
        assert_eq!(watches.fire(Table::Child, "/a").as_slice(), []);
        assert_eq!(watches.fire(Table::Data, "/a").as_slice(), [7]);
        assert_eq!(watches.fire(Table::Data, "/a").as_slice(), []);
        assert!(watches.is_empty());
        assert!(watches.index.is_empty());
    }

    #[test]
    fn persistent_watches_stay_and_recursive_ones_hear_from_below() {
        let mut watches = Watches::new(1);
        let mut own = Vec::new();
        watches.add((Table::Data, Mode::PERSISTENT), "/a", 1, &mut own);
        watches.add((Table::Data, Mode::RECURSIVE), "/a", 2, &mut own);
        watches.add((Table::Data, Mode::RECURSIVE), "/", 3, &mut own);
        for _ in 0..2 {
            assert_eq!(watches.fire(Table::Data, "/a").as_slice(), [1, 2, 3]);
            assert_eq!(watches.fire(Table::Data, "/a/b/c").as_slice(), [2, 3]);
            assert_eq!(watches.fire(Table::Data, "/ab").as_slice(), [3]);
            assert_eq!(watches.fire(Table::Child, "/a/b").as_slice(), []);
        }
        assert!(watches.remove(Table::Data, Mode::RECURSIVE, "/a", 2));
        assert!(!watches.remove(Table::Data, Mode::RECURSIVE, "/a", 2));
        assert!(watches.remove(Table::Data, Mode::ANY, "/", 3));
        assert_eq!(watches.fire(Table::Data, "/a/b").as_slice(), []);
        assert_eq!(watches.recursive_count, 0);
    }

    #[test]
    fn watchers_of_a_path_ascend_and_each_is_reached_once() {
        let mut watches = Watches::new(1);
        let mut own = [const { Vec::new() }; 9];
        for slot in [5, 3, 8, 1, 7] {
            watches.add(DATA, "/a/b", slot, &mut own[slot as usize]);
        }
        for slot in [6, 8, 2] {
            let recursive = (Table::Data, Mode::RECURSIVE);
            watches.add(recursive, "/a", slot, &mut own[slot as usize]);
            watches.add(recursive, "/", slot, &mut own[slot as usize]);
        }
        assert!(watches.remove(Table::Data, Mode::STANDARD, "/a/b", 3));
        assert!(!watches.contains(Table::Data, Mode::ANY, "/a/b", 3));
        assert_eq!(watches.fire(Table::Data, "/a/b").as_slice(), [1, 2, 5, 6, 7, 8]);
        assert_eq!(watches.fire(Table::Data, "/a/b").as_slice(), [2, 6, 8]);
    }

    #[test]
    fn modes_on_one_path_come_and_go_one_by_one() {
        let mut watches = Watches::new(1);
        let mut own = Vec::new();
        for mode in [Mode::STANDARD, Mode::PERSISTENT, Mode::RECURSIVE] {
            watches.add((Table::Data, mode), "/a", 1, &mut own);
        }
        assert_eq!((own.len(), watches.count(Table::Data)), (1, 1));
        assert_eq!(watches.fire(Table::Data, "/a").as_slice(), [1], "one event a pass");
        assert!(!watches.contains(Table::Data, Mode::STANDARD, "/a", 1), "fired");
        assert!(watches.remove(Table::Data, Mode::PERSISTENT, "/a", 1));
        assert!(watches.contains(Table::Data, Mode::RECURSIVE, "/a", 1));
        watches.remove_all(1, &own);
        assert!(watches.is_empty() && watches.recursive_count == 0);
    }

    #[test]
    fn closing_takes_out_the_watches_of_one_connection() {
        let mut watches = Watches::new(1);
        let (mut own_1, mut own_2) = (Vec::new(), Vec::new());
        for path in ["/a", "/b", "/c"] {
            watches.add(DATA, path, 1, &mut own_1);
            watches.add((Table::Child, Mode::STANDARD), path, 1, &mut own_1);
            watches.add(DATA, path, 2, &mut own_2);
        }
        watches.remove_all(1, &own_1);
        assert_eq!((watches.count(Table::Data), watches.count(Table::Child)), (3, 0));
        assert_eq!(watches.fire(Table::Data, "/b").as_slice(), [2]);
    }

    #[test]
    fn the_list_of_a_connection_does_not_grow_with_its_history() {
        let mut watches = Watches::new(1);
        let mut own = Vec::new();
        for round in 0..10_000 {
            let path = alloc::format!("/n{round}");
            watches.add(DATA, &path, 1, &mut own);
            watches.fire(Table::Data, &path);
        }
        assert!(own.len() <= 8, "{}", own.len());
        assert_eq!(watches.entries.len(), 1);
    }
}
