//! The order in which Java's `HashMap` and `HashSet` are walked.
//!
//! Apache's tools print children and sessions in that order, and scripts compare what they print.
//! A walk goes through the buckets of the table, and through the list of each bucket. A list keeps
//! the order in which its entries came, until it is long and the table large: then its entries also
//! form a red-black tree, whose root always moves to the front of the list and whose new entries
//! come right behind their parents. Some 1,500 siblings with numbers in their names, in the order
//! of a snapshot, are enough for that. So the table is filled here as Java fills it, step by step.
//! Nothing is ever removed.

use std::cmp::Ordering;
use std::ops::{Index, IndexMut};

/// The hash of a text.
pub(crate) fn hash_of_text(text: &str) -> u32 {
    text.encode_utf16()
        .fold(0, |hash, unit| hash.wrapping_mul(31_u32).wrapping_add(u32::from(unit)))
}

/// The hash of a 64-bit number.
#[allow(clippy::cast_possible_truncation)] // Both halves are in it.
pub(crate) fn hash_of_long(number: i64) -> u32 {
    let bits = number.cast_unsigned();
    (bits ^ (bits >> 32)) as u32
}

/// Which text is the smaller one. Java compares UTF-16 units and not characters.
pub(crate) fn compare_texts(one: &str, other: &str) -> Ordering {
    one.encode_utf16().cmp(other.encode_utf16())
}

/// The positions of distinct entries that were put in this order, in the order of the walk. The
/// table has `capacity` buckets, a power of two, when the first comes. `compare` is asked about the
/// positions of entries with equal hashes.
pub(crate) fn walk_order(
    hashes: &[u32],
    capacity: usize,
    compare: impl Fn(usize, usize) -> Ordering,
) -> Vec<usize> {
    let table = filled(hashes, capacity, compare);
    let mut order = Vec::with_capacity(hashes.len());
    for bucket in &table.buckets {
        let mut at = bucket.first;
        while at != NONE {
            order.push(at as usize);
            at = table.entries[at].next;
        }
    }
    order
}

fn filled<C>(hashes: &[u32], capacity: usize, compare: C) -> Table<C>
where
    C: Fn(usize, usize) -> Ordering,
{
    let entries = Entries(hashes.iter().map(|hash| Entry::new(*hash)).collect());
    let mut table = Table { buckets: vec![Bucket::EMPTY; capacity], entries, compare };
    for at in 0..u32::try_from(hashes.len()).expect("a file with fewer znodes") {
        table.put(at);
        if at as usize + 1 > table.buckets.len() / 4 * 3 {
            table.grow();
        }
    }
    table
}

/// A list becomes a tree when it has so many entries. Java: `HashMap.TREEIFY_THRESHOLD` counts the
/// ones before the last.
const TREE_LENGTH_MIN: usize = 9;

/// With fewer buckets a long list makes the table grow instead. Java:
/// `HashMap.MIN_TREEIFY_CAPACITY`.
const TREES_FROM: usize = 64;

/// A tree that lost entries to another bucket is a list if it has not more. Java:
/// `HashMap.UNTREEIFY_THRESHOLD`.
const LIST_LENGTH_MAX: usize = 6;

/// In the place of a position: there is no entry.
const NONE: u32 = u32::MAX;

struct Table<C> {
    buckets: Vec<Bucket>,
    entries: Entries,
    compare: C,
}

#[derive(Clone)]
struct Bucket {
    /// The beginning of the list, and in a tree the root too.
    first: u32,
    is_tree: bool,
}

impl Bucket {
    const EMPTY: Self = Self { first: NONE, is_tree: false };
}

/// Entries by position.
struct Entries(Vec<Entry>);

/// An entry, which refers to others by position.
struct Entry {
    /// Java: HashMap.hash. In a tree it is a number with a sign.
    hash: i32,
    previous: u32,
    next: u32,
    parent: u32,
    /// Left and right.
    children: [u32; 2],
    is_red: bool,
}

impl Entry {
    fn new(hash: u32) -> Self {
        let hash = (hash ^ (hash >> 16)).cast_signed();
        let (previous, next, parent, children) = (NONE, NONE, NONE, [NONE; 2]);
        Self { hash, previous, next, parent, children, is_red: false }
    }
}

impl Index<u32> for Entries {
    type Output = Entry;

    fn index(&self, at: u32) -> &Entry {
        &self.0[at as usize]
    }
}

impl IndexMut<u32> for Entries {
    fn index_mut(&mut self, at: u32) -> &mut Entry {
        &mut self.0[at as usize]
    }
}

impl<C: Fn(usize, usize) -> Ordering> Table<C> {
    /// Java: HashMap.putVal, without the growth that may follow.
    fn put(&mut self, at: u32) {
        let place = self.entries[at].hash.cast_unsigned() as usize & (self.buckets.len() - 1);
        let Bucket { first, is_tree } = self.buckets[place];
        if first == NONE {
            self.buckets[place].first = at;
        } else if is_tree {
            let parent = self.hang(first, at);
            self.entries.link(parent, at);
            self.move_root_to_front(place);
        } else {
            let (mut last, mut length) = (first, 2);
            while self.entries[last].next != NONE {
                last = self.entries[last].next;
                length += 1;
            }
            self.entries.link(last, at);
            if length < TREE_LENGTH_MIN {
                // It stays a list.
            } else if self.buckets.len() < TREES_FROM {
                self.grow();
            } else {
                self.make_tree(place);
            }
        }
    }

    /// Java: HashMap.resize.
    fn grow(&mut self) {
        let old = self.buckets.len();
        self.buckets.resize(2 * old, Bucket::EMPTY);
        for place in 0..old {
            self.split(place, old);
        }
    }

    /// Moves some entries of a bucket by `distance`, the old size of the table. Java:
    /// HashMap.TreeNode.split.
    fn split(&mut self, place: usize, distance: usize) {
        let Bucket { first, is_tree } = self.buckets[place];
        // First and last entry, and how many.
        let mut parts = [(NONE, NONE, 0); 2];
        let mut at = first;
        while at != NONE {
            let next = self.entries[at].next;
            let moves = self.entries[at].hash.cast_unsigned() as usize & distance != 0;
            let (first, last, length) = &mut parts[usize::from(moves)];
            if *length == 0 {
                *first = at;
                self.entries[at].previous = NONE;
                self.entries[at].next = NONE;
            } else {
                self.entries[at].next = NONE;
                self.entries.link(*last, at);
            }
            *last = at;
            *length += 1;
            at = next;
        }
        let stays_whole = parts.iter().any(|(_, _, length)| *length == 0);
        for ((first, _, length), place) in parts.into_iter().zip([place, place + distance]) {
            let is_tree = is_tree && length > LIST_LENGTH_MAX;
            self.buckets[place] = Bucket { first, is_tree };
            if is_tree && !stays_whole {
                self.make_tree(place);
            }
        }
    }

    /// Java: HashMap.TreeNode.treeify.
    fn make_tree(&mut self, place: usize) {
        self.buckets[place].is_tree = true;
        let mut root = self.buckets[place].first;
        let mut at = root;
        while at != NONE {
            let entry = &mut self.entries[at];
            (entry.parent, entry.children, entry.is_red) = (NONE, [NONE; 2], false);
            let next = entry.next;
            if at != root {
                self.hang(root, at);
                root = self.entries.root_of(root);
            }
            at = next;
        }
        self.move_root_to_front(place);
    }

    /// Hangs an entry into the tree and balances it. Returns what was its parent before that.
    fn hang(&mut self, root: u32, at: u32) -> u32 {
        let mut parent = root;
        loop {
            let side = usize::from(self.is_greater(at, parent));
            let child = self.entries[parent].children[side];
            if child == NONE {
                self.entries[parent].children[side] = at;
                self.entries[at].parent = parent;
                self.entries.balance(at);
                return parent;
            }
            parent = child;
        }
    }

    fn is_greater(&self, at: u32, than: u32) -> bool {
        let by_hash = self.entries[at].hash.cmp(&self.entries[than].hash);
        by_hash.then_with(|| (self.compare)(at as usize, than as usize)).is_gt()
    }

    /// Java: HashMap.TreeNode.moveRootToFront.
    fn move_root_to_front(&mut self, place: usize) {
        let first = self.buckets[place].first;
        let root = self.entries.root_of(first);
        if root == first {
            return;
        }
        let Entry { previous, next, .. } = self.entries[root];
        self.entries[previous].next = next;
        if next != NONE {
            self.entries[next].previous = previous;
        }
        self.entries[root].previous = NONE;
        self.entries[root].next = first;
        self.entries[first].previous = root;
        self.buckets[place].first = root;
    }
}

impl Entries {
    /// Puts an entry right behind another in its list.
    fn link(&mut self, before: u32, at: u32) {
        let next = std::mem::replace(&mut self[before].next, at);
        self[at].previous = before;
        self[at].next = next;
        if next != NONE {
            self[next].previous = at;
        }
    }

    fn root_of(&self, mut at: u32) -> u32 {
        while self[at].parent != NONE {
            at = self[at].parent;
        }
        at
    }

    /// Which child of its parent an entry is.
    fn side(&self, at: u32) -> usize {
        usize::from(self[self[at].parent].children[1] == at)
    }

    /// Restores the rules of red-black trees after an entry was hung in: the root is black, a red
    /// entry has no red child, and all ways down pass equally many black ones.
    fn balance(&mut self, mut at: u32) {
        self[at].is_red = true;
        loop {
            let parent = self[at].parent;
            if parent == NONE {
                self[at].is_red = false;
                return;
            }
            if !self[parent].is_red {
                return;
            }
            // Red, so not the root.
            let grandparent = self[parent].parent;
            let side = self.side(parent);
            let uncle = self[grandparent].children[1 - side];
            self[grandparent].is_red = true;
            if uncle != NONE && self[uncle].is_red {
                self[parent].is_red = false;
                self[uncle].is_red = false;
                at = grandparent;
            } else {
                let mut above = parent;
                if self.side(at) != side {
                    self.rotate(parent, side);
                    above = at;
                }
                self[above].is_red = false;
                self.rotate(grandparent, 1 - side);
                return;
            }
        }
    }

    /// Moves an entry down to one side, so that its child of the other side takes its place.
    fn rotate(&mut self, down: u32, side: usize) {
        let up = self[down].children[1 - side];
        let between = self[up].children[side];
        let parent = self[down].parent;
        if parent != NONE {
            let side = self.side(down);
            self[parent].children[side] = up;
        }
        self[up].parent = parent;
        self[up].children[side] = down;
        self[down].parent = up;
        self[down].children[1 - side] = between;
        if between != NONE {
            self[between].parent = down;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walked(names: &[&str]) -> Vec<String> {
        let hashes: Vec<u32> = names.iter().map(|name| hash_of_text(name)).collect();
        let order = walk_order(&hashes, 8, |one, other| compare_texts(names[one], names[other]));
        order.into_iter().map(|at| names[at].to_owned()).collect()
    }

    #[test]
    fn texts_hash_as_in_java() {
        assert_eq!(hash_of_text(""), 0);
        assert_eq!(hash_of_text("hello"), 99_162_322);
        assert_eq!(hash_of_text("Aa"), hash_of_text("BB"));
        assert_eq!(hash_of_long(-1), 0);
        assert_eq!(hash_of_long(0x5_0000_0003), 6);
    }

    #[test]
    fn buckets_come_in_order_and_keep_the_order_inside() {
        assert_eq!(walked(&["h", "a", "i", "b"]), ["h", "a", "i", "b"].map(str::to_owned));
        assert_eq!(walked(&["BB", "Aa"]), ["BB", "Aa"]);
        assert_eq!(walked(&["Aa", "BB"]), ["Aa", "BB"]);
    }

    #[test]
    fn nine_of_a_kind_make_a_small_table_grow() {
        let capacity_after =
            |hashes: &[u32], capacity| filled(hashes, capacity, |a, b| a.cmp(&b)).buckets.len();
        assert_eq!(capacity_after(&[0; 6], 8), 8);
        assert_eq!(capacity_after(&[0; 7], 8), 16);
        assert_eq!(capacity_after(&[0; 8], 16), 16);
        assert_eq!(capacity_after(&[0; 9], 16), 32);
        assert_eq!(capacity_after(&[0; 10], 16), 64);
        assert_eq!(capacity_after(&[0; 20], 16), 64);
    }

    #[test]
    fn texts_compare_as_in_java() {
        assert!(compare_texts("\u{ff00}", "\u{10000}").is_gt());
        assert!(compare_texts("a", "ab").is_lt());
    }

    /// The number that a walk makes of the positions, in Java `sum = sum * 31 + position`.
    fn checksum(order: &[usize]) -> i32 {
        order
            .iter()
            .map(|at| i32::try_from(*at).unwrap())
            .fold(0, |sum: i32, at| sum.wrapping_mul(31).wrapping_add(at))
    }

    /// Puts `count` texts into a table, in steps of `step` around the circle of their numbers.
    #[track_caller]
    fn check_texts(count: usize, step: usize, name: fn(usize) -> String, expected: i32) {
        let names: Vec<String> = (0..count).map(|at| name(at * step % count)).collect();
        let hashes: Vec<u32> = names.iter().map(|name| hash_of_text(name)).collect();
        let order = walk_order(&hashes, 8, |one, other| compare_texts(&names[one], &names[other]));
        assert_eq!(checksum(&order), expected);
    }

    #[track_caller]
    fn check_numbers(count: i64, step: i64, number: fn(i64) -> i64, expected: i32) {
        let numbers: Vec<i64> = (0..count).map(|at| number(at * step % count)).collect();
        let hashes: Vec<u32> = numbers.iter().map(|number| hash_of_long(*number)).collect();
        let order = walk_order(&hashes, 16, |one, other| numbers[one].cmp(&numbers[other]));
        assert_eq!(checksum(&order), expected);
    }

    fn member(number: usize) -> String {
        format!("member-{number:010}")
    }

    /// All texts with as many pairs of letters have the same hash.
    fn colliding(number: usize, pairs: usize) -> String {
        (0..pairs).map(|bit| if number >> bit & 1 == 1 { "Aa" } else { "BB" }).collect()
    }

    // What is expected from here on was printed by a program in Java.

    #[test]
    fn trees_of_different_hashes_are_walked_as_in_java() {
        check_texts(2003, 1, member, 541_537_259);
        check_texts(2003, 700, member, 842_598_327);
        check_texts(5003, 1234, member, 301_176_075);
    }

    #[test]
    fn trees_of_equal_hashes_are_walked_as_in_java() {
        check_texts(64, 5, |number| colliding(number, 6), -192_150_150);
        check_texts(1021, 377, |number| colliding(number, 10), -1_943_907_302);
        let groups = |number| format!("{}{}", colliding(number % 32, 5), number / 32);
        check_texts(1021, 377, groups, 2_143_181_024);
        // Characters of one unit and of two.
        let wide = |number: usize| {
            let base = if number.is_multiple_of(2) { 0xff00 } else { 0x10000 };
            let first = char::from_u32(base + u32::try_from(number).unwrap() / 2).unwrap();
            format!("{first}{}", colliding(number, 5))
        };
        check_texts(509, 77, wide, -295_551_210);
    }

    #[test]
    fn trees_of_numbers_are_walked_as_in_java() {
        let of_one_hash = |number| {
            let high = number - 250;
            high << 32 | (high ^ 5) & 0xffff_ffff
        };
        check_numbers(499, 77, of_one_hash, 1_395_536_425);
        check_numbers(3001, 1234, |number| 0x1000_abcd_1234_0000 + number, -199_017_022);
        check_numbers(3001, 1234, |number| 0x1000_abcd_1234_0000 + (number << 17), 1_000_422_776);
    }
}
