//! Which connections of this shard wait for which paths.
//!
//! Two tables as in ZooKeeper, *data* (left by exists and getData) and *child* (left by
//! getChildren), share one entry a path, since a path is often watched in both. A watch is
//! one-shot: firing takes it away. Connections are named by their slot; a connection's watches are
//! taken out before its slot is used again.
//!
//! A connection keeps the numbers of the entries that it stands in, for cleaning up. The list may
//! also hold numbers of entries that it has left; it is swept before it grows.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hash::BuildHasher as _;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use smallvec::SmallVec;

/// The place of a connection in its shard's table.
pub(super) type Slot = u32;

/// The slots that a firing reaches.
pub(super) type Slots = SmallVec<[Slot; 8]>;

/// Which of the two tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Table {
    /// Watches left by exists and getData.
    Data,
    /// Watches left by getChildren.
    Child,
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
    counts: [usize; 2],
}

#[derive(Debug, Default)]
struct Entry {
    path: Box<str>,
    // Invariant: an entry in use has a watcher in at least one table.
    watchers: [SmallVec<[Slot; 4]>; 2],
}

impl Watches {
    /// No watches; `seed` keys the hash of the paths that clients choose.
    #[must_use]
    pub(super) fn new(seed: u64) -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            hasher: FixedState::with_seed(seed),
            counts: [0; 2],
        }
    }

    /// Lets `slot`, whose entries are in `own`, wait for `path`. Twice is the same as once.
    pub(super) fn add(&mut self, table: Table, path: &str, slot: Slot, own: &mut Vec<u32>) {
        let number = self.entry_number(path);
        let entry = &mut self.entries[number as usize];
        if entry.watchers[table as usize].contains(&slot) {
            return;
        }
        let known = entry.watchers.iter().any(|watchers| watchers.contains(&slot));
        entry.watchers[table as usize].push(slot);
        self.counts[table as usize] += 1;
        if known {
            return;
        }
        if own.len() == own.capacity() {
            self.sweep(slot, own);
        }
        own.push(number);
    }

    /// Takes everybody who waits for `path` in `table`.
    pub(super) fn fire(&mut self, table: Table, path: &str) -> Slots {
        let Some(number) = self.find(path) else { return Slots::new() };
        let entry = &mut self.entries[number as usize];
        let watchers = core::mem::take(&mut entry.watchers[table as usize]);
        self.counts[table as usize] -= watchers.len();
        self.release_if_unused(number);
        watchers.iter().copied().collect()
    }

    /// Whether `slot` waits for `path` in `table`.
    pub(super) fn contains(&self, table: Table, path: &str, slot: Slot) -> bool {
        self.find(path).is_some_and(|number| {
            self.entries[number as usize].watchers[table as usize].contains(&slot)
        })
    }

    /// Takes out one watch of `slot`; false if there is none.
    pub(super) fn remove(&mut self, table: Table, path: &str, slot: Slot) -> bool {
        let Some(number) = self.find(path) else { return false };
        let removed = self.remove_watcher(number, table as usize, slot);
        self.release_if_unused(number);
        removed
    }

    /// Takes out every watch of `slot`.
    pub(super) fn remove_all(&mut self, slot: Slot, own: &[u32]) {
        for &number in own {
            for table in [Table::Data, Table::Child] {
                self.remove_watcher(number, table as usize, slot);
            }
            self.release_if_unused(number);
        }
    }

    /// Number of watches in a table.
    #[must_use]
    pub(super) fn count(&self, table: Table) -> usize {
        self.counts[table as usize]
    }

    /// Watched paths of a table, each with who waits.
    pub(super) fn iter(&self, table: Table) -> impl Iterator<Item = (&str, &[Slot])> {
        self.entries
            .iter()
            .map(move |entry| (&*entry.path, &*entry.watchers[table as usize]))
            .filter(|(_, watchers)| !watchers.is_empty())
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

    fn remove_watcher(&mut self, number: u32, table: usize, slot: Slot) -> bool {
        let watchers = &mut self.entries[number as usize].watchers[table];
        let Some(at) = watchers.iter().position(|watcher| *watcher == slot) else { return false };
        watchers.swap_remove(at);
        self.counts[table] -= 1;
        true
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
            entry.watchers.iter().any(|watchers| watchers.contains(&slot))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_fires_once() {
        let mut watches = Watches::new(1);
        let mut own = Vec::new();
        watches.add(Table::Data, "/a", 7, &mut own);
        watches.add(Table::Data, "/a", 7, &mut own);
        assert_eq!(watches.fire(Table::Child, "/a").as_slice(), []);
        assert_eq!(watches.fire(Table::Data, "/a").as_slice(), [7]);
        assert_eq!(watches.fire(Table::Data, "/a").as_slice(), []);
        assert_eq!(watches.count(Table::Data), 0);
        assert!(watches.index.is_empty());
    }

    #[test]
    fn closing_takes_out_the_watches_of_one_connection() {
        let mut watches = Watches::new(1);
        let (mut own_1, mut own_2) = (Vec::new(), Vec::new());
        for path in ["/a", "/b", "/c"] {
            watches.add(Table::Data, path, 1, &mut own_1);
            watches.add(Table::Child, path, 1, &mut own_1);
            watches.add(Table::Data, path, 2, &mut own_2);
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
            watches.add(Table::Data, &path, 1, &mut own);
            watches.fire(Table::Data, &path);
        }
        assert!(own.len() <= 8, "{}", own.len());
        assert_eq!(watches.entries.len(), 1);
    }
}
