//! `Dir`: a persistent map from a hash to a value, the one container that the tree is made of.
//!
//! It is a trie over the bits of a 32-bit hash, two at a time from the top, with buckets for
//! leaves. Children, sessions, ephemerals and the ACL table are all kept in it.
//!
//! ```text
//! Dir (16 bytes) = kind:u8 . . . len:u32 pointer:8
//!   Empty
//!   Two | Four | Six | Nine | Twelve | Fifteen   bucket of that many slots, those in use first,
//!                                                ascending by hash
//!   Many                                         bucket of any size, only where no hash bits are
//!                                                left
//!   Branch                                       four Dirs, by the next two bits
//!
//! bucket of N = count:8  hash:4 x N  value x N
//! branch      = count:8  Dir:16 x 4
//! ```
//!
//! - **Persistent.** A clone is one reference count. A change copies only what is shared with a
//!   clone, at most one bucket and the branches above it; what is not shared is changed in place.
//! - **No rehash.** A full bucket splits by itself; nothing ever moves but its entries.
//! - **Order.** Iteration goes by ascending hash: it depends on the key and the content alone.
//! - **Copies are what a change costs.** The values of a bucket and the arms of a branch have
//!   reference counts of their own, and the memory of many is not in any cache. So buckets and
//!   branches are small.
//! - Sizes of buckets are chosen so that with a reference count they fill an allocator's size
//!   class (48, 96, 128, 192, 256, 320 bytes) when the value is a znode.
//! - Equal hashes are allowed: that a hash fits is checked first, equality is the caller's.

use alloc::vec::{self, Vec};
use core::slice;

use triomphe::{Arc, UniqueArc};

/// Holds values of type `T`, each under a hash that the caller computes.
#[derive(Clone, Default)]
pub(crate) enum Dir<T> {
    #[default]
    Empty,
    Two(u32, Arc<Bucket<T, 2>>),
    Four(u32, Arc<Bucket<T, 4>>),
    Six(u32, Arc<Bucket<T, 6>>),
    Nine(u32, Arc<Bucket<T, 9>>),
    Twelve(u32, Arc<Bucket<T, 12>>),
    Fifteen(u32, Arc<Bucket<T, BUCKET_MAX>>),
    Many(u32, Arc<Many<T>>),
    // Invariant: the number is the sum of the arms' and greater than MERGE_AT.
    Branch(u32, Arc<[Self; FANOUT]>),
}

/// Slots of a bucket. Invariant: no slot in use stands behind an empty one.
#[derive(Clone)]
pub(crate) struct Bucket<T, const N: usize> {
    hashes: [u32; N],
    values: [Option<T>; N],
}

/// A bucket that cannot split any more.
#[derive(Clone)]
pub(crate) struct Many<T> {
    hashes: Vec<u32>,
    values: Vec<Option<T>>,
}

/// An entry on its way from one bucket to another.
pub(crate) type Entry<T> = (u32, T);

pub(crate) const BITS: u32 = 2;
const FANOUT: usize = 1 << BITS;
/// Below so many branches all bits of the hash are used up.
const DEPTH_MAX: u32 = u32::BITS / BITS;
/// A bucket with so many entries splits, unless it is at `DEPTH_MAX`.
const BUCKET_MAX: usize = 15;
/// A branch that has shrunk to so many entries becomes a bucket. Far enough below `BUCKET_MAX`
/// that a create and a delete in turns do not split and merge in turns.
const MERGE_AT: usize = 7;

const _: () = assert!(size_of::<Dir<Arc<u8>>>() == 16);

impl<T: Clone> Dir<T> {
    /// A map of these entries, which are ascending by hash, made at once: nothing grows or splits.
    pub(crate) fn from_sorted(entries: Vec<Entry<T>>) -> Self {
        let count = entries.len();
        Self::from_next(0, count, &mut entries.into_iter())
    }

    /// Number of values.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Two(len, _)
            | Self::Four(len, _)
            | Self::Six(len, _)
            | Self::Nine(len, _)
            | Self::Twelve(len, _)
            | Self::Fifteen(len, _)
            | Self::Many(len, _)
            | Self::Branch(len, _) => *len as usize,
        }
    }

    /// Whether there is no value.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// The value under `hash` that `is_it` accepts.
    #[inline]
    pub(crate) fn find(&self, hash: u32, is_it: impl Fn(&T) -> bool) -> Option<&T> {
        let mut dir = self;
        let mut bits = hash;
        while let Self::Branch(_, arms) = dir {
            (dir, bits) = (&arms[arm(bits)], bits << BITS);
        }
        let (hashes, values) = dir.slots();
        let slots = hashes.iter().zip(values).filter(|(h, _)| **h == hash);
        slots.filter_map(|(_, value)| value.as_ref()).find(|value| is_it(value))
    }

    /// The same for changing the value. Copies what is shared on the way to it.
    #[inline]
    pub(crate) fn find_mut(&mut self, hash: u32, is_it: impl Fn(&T) -> bool) -> Option<&mut T> {
        let mut dir = self;
        let mut bits = hash;
        while let Self::Branch(_, arms) = dir {
            (dir, bits) = (&mut Arc::make_mut(arms)[arm(bits)], bits << BITS);
        }
        let (hashes, values) = dir.slots_mut();
        let slots = hashes.iter().zip(values).filter(|(h, _)| **h == hash);
        slots.into_iter().filter_map(|(_, value)| value.as_mut()).find(|value| is_it(value))
    }

    /// Adds a value. The caller knows that it is not there yet.
    pub(crate) fn insert(&mut self, hash: u32, value: T) {
        let mut dir = self;
        let mut depth = 0;
        while let Self::Branch(len, arms) = dir {
            *len += 1;
            dir = &mut Arc::make_mut(arms)[arm(hash << (depth * BITS))];
            depth += 1;
        }
        dir.insert_into_bucket(depth, hash, value);
    }

    /// Takes out the value under `hash` that `is_it` accepts.
    pub(crate) fn remove(&mut self, hash: u32, is_it: impl Fn(&T) -> bool) -> Option<T> {
        // Nothing is copied for what is not there.
        self.find(hash, &is_it)?;
        self.remove_at(0, hash, &is_it)
    }

    /// How many hold what this stands for.
    #[inline]
    pub(crate) fn holder_count(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Two(_, bucket) => Arc::strong_count(bucket),
            Self::Four(_, bucket) => Arc::strong_count(bucket),
            Self::Six(_, bucket) => Arc::strong_count(bucket),
            Self::Nine(_, bucket) => Arc::strong_count(bucket),
            Self::Twelve(_, bucket) => Arc::strong_count(bucket),
            Self::Fifteen(_, bucket) => Arc::strong_count(bucket),
            Self::Many(_, bucket) => Arc::strong_count(bucket),
            Self::Branch(_, arms) => Arc::strong_count(arms),
        }
    }

    /// All values, ascending by hash.
    pub(crate) fn iter(&self) -> Iter<'_, T> {
        let mut iter = Iter { arms: Vec::new(), slots: ([].iter(), [].iter()), left: self.len() };
        iter.enter(self);
        iter
    }

    /// Visits about `count` values, those under `from` first, ascending by hash. Returns the hash
    /// to go on from, also in a later version of the map; `None` when there is nothing more.
    pub(crate) fn visit(&self, from: u32, count: usize, each: &mut impl FnMut(&T)) -> Option<u32> {
        let mut iter = Iter { arms: Vec::new(), slots: ([].iter(), [].iter()), left: self.len() };
        let mut dir = self;
        let mut bits = from;
        while let Self::Branch(_, arms) = dir {
            let (next, behind) = arms[arm(bits)..].split_first().expect("two bits name an arm");
            iter.arms.push(behind.iter());
            (dir, bits) = (next, bits << BITS);
        }
        iter.enter(dir);
        let (mut visited, mut last) = (0, from);
        while let Some((hash, value)) = iter.next_entry() {
            if hash < from {
                continue;
            }
            // Values under equal hashes are not parted, or some would be visited again.
            if visited >= count && hash != last {
                return Some(hash);
            }
            each(value);
            (visited, last) = (visited + 1, hash);
        }
        None
    }

    /// Consumes the map and hands over the values that nobody else can reach any more.
    pub(crate) fn dissolve(self, each: &mut impl FnMut(T)) {
        match self {
            Self::Empty => {}
            Self::Two(_, bucket) => dissolve_bucket(bucket, each),
            Self::Four(_, bucket) => dissolve_bucket(bucket, each),
            Self::Six(_, bucket) => dissolve_bucket(bucket, each),
            Self::Nine(_, bucket) => dissolve_bucket(bucket, each),
            Self::Twelve(_, bucket) => dissolve_bucket(bucket, each),
            Self::Fifteen(_, bucket) => dissolve_bucket(bucket, each),
            Self::Many(_, slots) => {
                let slots = Arc::into_unique(slots).map(UniqueArc::into_inner);
                slots.into_iter().flat_map(|slots| slots.values).flatten().for_each(each);
            }
            Self::Branch(_, arms) => {
                let arms = Arc::into_unique(arms).map(UniqueArc::into_inner);
                // Recursion goes no deeper than DEPTH_MAX.
                arms.into_iter().flatten().for_each(|dir| dir.dissolve(each));
            }
        }
    }

    /// The part of a map, `depth` branches down, that has the next `count` entries.
    fn from_next(depth: u32, count: usize, entries: &mut vec::IntoIter<Entry<T>>) -> Self {
        if count <= BUCKET_MAX || depth >= DEPTH_MAX {
            return Self::filled(count, as_len(count), &mut entries.take(count));
        }
        let mut left = count;
        let arms = core::array::from_fn(|here| {
            let rest = &entries.as_slice()[..left];
            let within = rest.partition_point(|(hash, _)| arm(hash << (depth * BITS)) <= here);
            left -= within;
            Self::from_next(depth + 1, within, entries)
        });
        Self::Branch(as_len(count), Arc::new(arms))
    }

    fn insert_into_bucket(&mut self, depth: u32, hash: u32, value: T) {
        let len = self.len();
        if len == BUCKET_MAX && depth < DEPTH_MAX {
            let mut arms: [Self; FANOUT] = Default::default();
            for (h, v) in self.take_entries() {
                arms[arm(h << (depth * BITS))].insert_into_bucket(depth + 1, h, v);
            }
            arms[arm(hash << (depth * BITS))].insert_into_bucket(depth + 1, hash, value);
            *self = Self::Branch(as_len(len + 1), Arc::new(arms));
            return;
        }
        if len == self.capacity() {
            *self = Self::bucket(len + 1, self.take_entries());
        }
        let (hashes, values) = self.slots_mut();
        let at = hashes[..len].partition_point(|h| *h < hash);
        hashes.copy_within(at..len, at + 1);
        hashes[at] = hash;
        values[len] = Some(value);
        values[at..=len].rotate_right(1);
        self.set_len(len + 1);
    }

    fn remove_at(&mut self, depth: u32, hash: u32, is_it: &impl Fn(&T) -> bool) -> Option<T> {
        if let Self::Branch(len, arms) = self {
            let arm = &mut Arc::make_mut(arms)[arm(hash << (depth * BITS))];
            let value = arm.remove_at(depth + 1, hash, is_it)?;
            *len -= 1;
            if *len as usize <= MERGE_AT {
                *self = Self::bucket(MERGE_AT, self.take_entries());
            }
            return Some(value);
        }
        let len = self.len();
        let (hashes, values) = self.slots_mut();
        let mut slots = hashes.iter().zip(&*values);
        let at = slots.position(|(h, v)| *h == hash && v.as_ref().is_some_and(is_it))?;
        let value = values[at].take()?;
        hashes.copy_within(at + 1..len, at);
        values[at..len].rotate_left(1);
        self.set_len(len - 1);
        if len == 1 {
            *self = Self::Empty;
        } else if len - 1 <= self.capacity() / 3 {
            *self = Self::bucket(len - 1, self.take_entries());
        }
        Some(value)
    }

    /// An empty or filled bucket with room for `room` entries.
    fn bucket(room: usize, entries: Vec<Entry<T>>) -> Self {
        Self::filled(room, as_len(entries.len()), &mut entries.into_iter())
    }

    /// A bucket with room for `room` entries and the `len` that `entries` yields.
    fn filled(room: usize, len: u32, entries: &mut impl Iterator<Item = Entry<T>>) -> Self {
        match room {
            0 => Self::Empty,
            1..=2 => Self::Two(len, fill(entries)),
            3..=4 => Self::Four(len, fill(entries)),
            5..=6 => Self::Six(len, fill(entries)),
            7..=9 => Self::Nine(len, fill(entries)),
            10..=12 => Self::Twelve(len, fill(entries)),
            13..=BUCKET_MAX => Self::Fifteen(len, fill(entries)),
            _ => {
                let (mut hashes, values): (Vec<u32>, Vec<T>) = entries.unzip();
                let mut values: Vec<Option<T>> = values.into_iter().map(Some).collect();
                hashes.resize(room + room / 2, 0);
                values.resize_with(room + room / 2, || None);
                Self::Many(len, Arc::new(Many { hashes, values }))
            }
        }
    }

    /// Empties the map into a list, ascending by hash. What nobody else holds is moved, not cloned.
    fn take_entries(&mut self) -> Vec<Entry<T>> {
        let mut entries = Vec::with_capacity(self.len());
        core::mem::take(self).append_entries(&mut entries);
        entries
    }

    fn append_entries(self, to: &mut Vec<Entry<T>>) {
        match self {
            Self::Empty => {}
            Self::Two(_, bucket) => append_bucket(bucket, to),
            Self::Four(_, bucket) => append_bucket(bucket, to),
            Self::Six(_, bucket) => append_bucket(bucket, to),
            Self::Nine(_, bucket) => append_bucket(bucket, to),
            Self::Twelve(_, bucket) => append_bucket(bucket, to),
            Self::Fifteen(_, bucket) => append_bucket(bucket, to),
            Self::Many(_, slots) => {
                let Many { hashes, values } = Arc::unwrap_or_clone(slots);
                append_slots(hashes, values, to);
            }
            Self::Branch(_, arms) => {
                Arc::unwrap_or_clone(arms).into_iter().for_each(|arm| arm.append_entries(to));
            }
        }
    }

    fn capacity(&self) -> usize {
        match self {
            Self::Empty | Self::Branch(..) => 0,
            Self::Two(..) => 2,
            Self::Four(..) => 4,
            Self::Six(..) => 6,
            Self::Nine(..) => 9,
            Self::Twelve(..) => 12,
            Self::Fifteen(..) => BUCKET_MAX,
            Self::Many(_, slots) => slots.values.len(),
        }
    }

    fn set_len(&mut self, new: usize) {
        match self {
            Self::Empty => {}
            Self::Two(len, _)
            | Self::Four(len, _)
            | Self::Six(len, _)
            | Self::Nine(len, _)
            | Self::Twelve(len, _)
            | Self::Fifteen(len, _)
            | Self::Many(len, _)
            | Self::Branch(len, _) => *len = as_len(new),
        }
    }

    /// Hashes and values of the slots of a bucket; a branch has none of its own.
    #[inline]
    pub(crate) fn slots(&self) -> (&[u32], &[Option<T>]) {
        match self {
            Self::Empty | Self::Branch(..) => (&[], &[]),
            Self::Two(_, bucket) => (&bucket.hashes, &bucket.values),
            Self::Four(_, bucket) => (&bucket.hashes, &bucket.values),
            Self::Six(_, bucket) => (&bucket.hashes, &bucket.values),
            Self::Nine(_, bucket) => (&bucket.hashes, &bucket.values),
            Self::Twelve(_, bucket) => (&bucket.hashes, &bucket.values),
            Self::Fifteen(_, bucket) => (&bucket.hashes, &bucket.values),
            Self::Many(_, slots) => (&slots.hashes, &slots.values),
        }
    }

    #[inline]
    fn slots_mut(&mut self) -> (&mut [u32], &mut [Option<T>]) {
        match self {
            Self::Empty | Self::Branch(..) => (&mut [], &mut []),
            Self::Two(_, bucket) => own_slots(bucket),
            Self::Four(_, bucket) => own_slots(bucket),
            Self::Six(_, bucket) => own_slots(bucket),
            Self::Nine(_, bucket) => own_slots(bucket),
            Self::Twelve(_, bucket) => own_slots(bucket),
            Self::Fifteen(_, bucket) => own_slots(bucket),
            Self::Many(_, slots) => {
                let slots = Arc::make_mut(slots);
                (&mut slots.hashes, &mut slots.values)
            }
        }
    }
}

/// Which arm of a branch the topmost bits choose.
#[inline]
pub(crate) fn arm(bits: u32) -> usize {
    (bits >> (u32::BITS - BITS)) as usize
}

fn as_len(len: usize) -> u32 {
    u32::try_from(len).expect("4 Gi entries do not fit into memory")
}

/// The slots of a bucket, which is copied if it is shared.
#[inline]
fn own_slots<T: Clone, const N: usize>(
    bucket: &mut Arc<Bucket<T, N>>,
) -> (&mut [u32], &mut [Option<T>]) {
    let Bucket { hashes, values } = Arc::make_mut(bucket);
    (hashes, values)
}

fn fill<T, const N: usize>(entries: &mut impl Iterator<Item = Entry<T>>) -> Arc<Bucket<T, N>> {
    let mut hashes = [0; N];
    let values = core::array::from_fn(|i| {
        let (hash, value) = entries.next()?;
        hashes[i] = hash;
        Some(value)
    });
    Arc::new(Bucket { hashes, values })
}

fn append_bucket<T: Clone, const N: usize>(bucket: Arc<Bucket<T, N>>, to: &mut Vec<Entry<T>>) {
    let Bucket { hashes, values } = Arc::unwrap_or_clone(bucket);
    append_slots(hashes, values, to);
}

fn append_slots<T>(
    hashes: impl IntoIterator<Item = u32>,
    values: impl IntoIterator<Item = Option<T>>,
    to: &mut Vec<Entry<T>>,
) {
    to.extend(hashes.into_iter().zip(values).map_while(|(hash, value)| Some((hash, value?))));
}

fn dissolve_bucket<T: Clone, const N: usize>(bucket: Arc<Bucket<T, N>>, each: &mut impl FnMut(T)) {
    let bucket = Arc::into_unique(bucket).map(UniqueArc::into_inner);
    bucket.into_iter().flat_map(|bucket| bucket.values).flatten().for_each(each);
}

/// Iterates over a [`Dir`]. Allocates only when there are branches.
pub(crate) struct Iter<'a, T> {
    /// Arms still to be visited, one iterator for each branch on the way down.
    arms: Vec<slice::Iter<'a, Dir<T>>>,
    /// Slots of the present bucket.
    slots: (slice::Iter<'a, u32>, slice::Iter<'a, Option<T>>),
    left: usize,
}

impl<'a, T: Clone> Iter<'a, T> {
    fn next_entry(&mut self) -> Option<(u32, &'a T)> {
        loop {
            let (hashes, values) = &mut self.slots;
            if let Some(Some(value)) = values.next() {
                return Some((*hashes.next()?, value));
            }
            match self.arms.last_mut()?.next() {
                Some(dir) => self.enter(dir),
                None => drop(self.arms.pop()),
            }
        }
    }

    fn enter(&mut self, dir: &'a Dir<T>) {
        match dir {
            Dir::Branch(_, arms) => self.arms.push(arms.iter()),
            bucket => {
                let (hashes, values) = bucket.slots();
                self.slots = (hashes.iter(), values.iter());
            }
        }
    }
}

impl<'a, T: Clone> Iterator for Iter<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        let (_, value) = self.next_entry()?;
        self.left -= 1;
        Some(value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T: Clone> ExactSizeIterator for Iter<'_, T> {}

#[cfg(test)]
mod tests {
    extern crate std;

    use alloc::collections::BTreeMap;
    use alloc::vec::Vec;

    use proptest::prelude::*;
    use triomphe::Arc;

    use super::{BUCKET_MAX, Dir, MERGE_AT};

    type Value = Arc<(u32, u16)>;

    /// The invariants of the layout; returns the number of values.
    fn check(dir: &Dir<Value>, is_root: bool) -> usize {
        let len = match dir {
            Dir::Branch(_, arms) => {
                assert!(dir.len() > MERGE_AT);
                arms.iter().map(|arm| check(arm, false)).sum()
            }
            bucket => {
                let (hashes, values) = bucket.slots();
                let used = values.iter().take_while(|value| value.is_some()).count();
                assert!(values[used..].iter().all(Option::is_none));
                assert!(hashes[..used].is_sorted());
                assert!(is_root || used <= BUCKET_MAX || is_final(&hashes[..used]));
                used
            }
        };
        assert_eq!(dir.len(), len);
        assert_eq!(dir.is_empty(), len == 0);
        len
    }

    /// Whether the hashes cannot be told apart by the bits that branches use.
    fn is_final(hashes: &[u32]) -> bool {
        hashes.iter().all(|hash| *hash == hashes[0])
    }

    fn in_slices(dir: &Dir<Value>, count: usize) -> Vec<(u32, u16)> {
        let (mut met, mut mark) = (Vec::new(), Some(0));
        while let Some(from) = mark {
            mark = dir.visit(from, count, &mut |value| met.push(**value));
            assert!(mark.is_none_or(|mark| mark > from && met.len() >= count));
        }
        met
    }

    fn all(dir: &Dir<Value>) -> Vec<(u32, u16)> {
        let iter = dir.iter();
        assert_eq!(iter.len(), dir.len());
        let all: Vec<_> = iter.map(|value| **value).collect();
        assert_eq!(all.len(), dir.len());
        assert!(all.is_sorted_by_key(|(hash, _)| *hash));
        all
    }

    fn put(dir: &mut Dir<Value>, hash: u32, id: u16) {
        match dir.find_mut(hash, |value| value.1 == id) {
            Some(value) => *value = Arc::new((hash, id)),
            None => dir.insert(hash, Arc::new((hash, id))),
        }
    }

    /// Hashes that crowd: few distinct top bits, few distinct values at all.
    fn crowded_hash() -> impl Strategy<Value = u32> {
        prop_oneof![0..4u32, (0..64u32).prop_map(|bits| bits << 26), any::<u32>()]
    }

    fn op() -> impl Strategy<Value = (u32, u16, bool)> {
        (crowded_hash(), 0..40u16, prop::bool::weighted(0.6))
    }

    proptest! {
        #[test]
        fn it_is_a_map_and_old_clones_stay(ops in prop::collection::vec(op(), 1..600)) {
            let mut dir = Dir::default();
            let mut model = BTreeMap::new();
            let mut kept = Vec::new();
            for (i, (hash, id, insert)) in ops.into_iter().enumerate() {
                if insert {
                    put(&mut dir, hash, id);
                    model.insert((hash, id), ());
                } else {
                    let removed = dir.remove(hash, |value| value.1 == id).map(|value| *value);
                    let expected = model.remove(&(hash, id)).map(|()| (hash, id));
                    prop_assert_eq!(removed, expected);
                }
                let found = dir.find(hash, |value| value.1 == id).is_some();
                prop_assert_eq!(found, model.contains_key(&(hash, id)));
                if i % 7 == 0 {
                    kept.push((dir.clone(), model.clone()));
                }
            }
            kept.push((dir, model));
            for (dir, model) in kept {
                check(&dir, true);
                let mut sliced = in_slices(&dir, 5);
                sliced.sort_unstable();
                let mut all = all(&dir);
                all.sort_unstable();
                prop_assert_eq!(&sliced, &all);
                prop_assert_eq!(all, model.into_keys().collect::<Vec<_>>());
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_made_at_once_is_what_inserts_make(
            mut hashes in prop::collection::vec(crowded_hash(), 0..300)
        ) {
            hashes.sort_unstable();
            let values = hashes.iter().zip(0..).map(|(hash, id)| (*hash, Arc::new((*hash, id))));
            let dir = Dir::from_sorted(values.collect());
            check(&dir, true);
            prop_assert_eq!(all(&dir).len(), hashes.len());
            for (hash, id) in hashes.iter().zip(0..) {
                prop_assert!(dir.find(*hash, |value| value.1 == id).is_some());
            }
            // And it can be changed like any other.
            let mut changed = dir.clone();
            for (hash, id) in hashes.iter().zip(0..) {
                put(&mut changed, hash ^ 1 << 31, 1000);
                prop_assert!(changed.remove(*hash, |value| value.1 == id).is_some());
                check(&changed, true);
            }
            check(&dir, true);
        }
    }

    #[test]
    fn a_thousand_values_may_share_one_hash() {
        for hash in [0, u32::MAX, 0x1234_5678] {
            let mut dir = Dir::default();
            put(&mut dir, hash ^ 1, 5000);
            for id in 0..1000 {
                put(&mut dir, hash, id);
            }
            let old = dir.clone();
            check(&dir, true);
            assert_eq!(dir.len(), 1001);
            assert_eq!(in_slices(&dir, 1).len(), 1001);
            for id in (0..1000).rev() {
                assert_eq!(dir.find(hash, |value| value.1 == id).map(|v| v.1), Some(id));
                assert!(dir.remove(hash, |value| value.1 == id).is_some());
                assert!(dir.find(hash, |value| value.1 == id).is_none());
            }
            check(&dir, true);
            assert_eq!(all(&dir), [(hash ^ 1, 5000)]);
            assert_eq!(all(&old).len(), 1001);
        }
    }

    #[test]
    fn a_change_in_place_keeps_the_allocation_and_a_shared_one_does_not() {
        let mut dir = Dir::default();
        put(&mut dir, 1, 1);
        let address = dir.slots().1.as_ptr();
        put(&mut dir, 2, 2);
        assert_eq!(dir.slots().1.as_ptr(), address);
        let old = dir.clone();
        assert_eq!(old.slots().1.as_ptr(), dir.slots().1.as_ptr());
        put(&mut dir, 2, 2);
        assert_ne!(old.slots().1.as_ptr(), dir.slots().1.as_ptr());
    }

    #[test]
    fn dissolving_hands_over_what_nobody_else_holds() {
        let mut dir = Dir::default();
        for i in 0..100 {
            put(&mut dir, u32::from(i) << 24, i);
        }
        let mut count = 0;
        dir.clone().dissolve(&mut |_| count += 1);
        assert_eq!(count, 0);
        dir.dissolve(&mut |_| count += 1);
        assert_eq!(count, 100);
    }
}
