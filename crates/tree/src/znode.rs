//! A znode: what is stored at one path, and below it.
//!
//! ```text
//! Znode (16 bytes) = leaf:8  below:8 or null        a slot in a bucket of its parent's Dir
//!                      |       |
//!                      |       +-- count:8  children:16  pzxid:8  cversion:4  digest:4     40
//!                      +---------- count:8  numbers:24  length:8  rare numbers, name, data  40+
//! ```
//!
//! The leaf ([`Leaf`]) never changes: setting data or a list makes another one. What is below is
//! there only for znodes that have or had children; as long as it is null, there are none and
//! pzxid and cversion are as at the creation. So a znode without children is one allocation, and a
//! create copies nothing of the parent but its 40 bytes, however large its data are.
//!
//! The length of the data and the number of children are derived. A clone of a znode is two
//! reference counts and never changes when the original does.
//!
//! Trees can be half a million levels deep, so nothing here recurses from a znode into its
//! children; dropping one is a loop.

use alloc::vec::Vec;
use core::mem;

use ostler_wire::ids::{SessionId, Zxid};
use ostler_wire::stat::{Stat, StatPersisted};
use triomphe::{Arc, UniqueArc};

use crate::acl_table::AclId;
use crate::dir::{Bucket, Dir, Iter};
use crate::leaf::{Leaf, Numbers};

/// One node of the tree. Immutable to everybody but the tree that owns it.
#[derive(Clone)]
pub struct Znode {
    leaf: Leaf,
    below: Option<Arc<Below>>,
}

/// What changes with the children of a znode.
#[derive(Clone)]
pub(crate) struct Below {
    pub(crate) children: Dir<Znode>,
    pub(crate) pzxid: Zxid,
    pub(crate) cversion: i32,
    /// The digest of the whole znode, or 0 if it is not known: each create below changes it, and
    /// the next one must know what it was.
    digest: u32,
}

const _: () = assert!(size_of::<Znode>() == 16);
const _: () = assert!(size_of::<Option<Znode>>() == 16);
const _: () = assert!(size_of::<Below>() == 32);
const _: () = assert!(size_of::<Bucket<Znode, 2>>() + 8 == 48);
const _: () = assert!(size_of::<Bucket<Znode, 6>>() + 8 == 128);
const _: () = assert!(size_of::<Bucket<Znode, 9>>() + 8 == 192);
const _: () = assert!(size_of::<Bucket<Znode, 15>>() + 8 == 312);

impl Znode {
    /// A znode without children.
    pub(crate) fn new(name: &str, data: Option<&[u8]>, acl: AclId, stat: &StatPersisted) -> Self {
        let numbers = Numbers {
            czxid: stat.czxid,
            mzxid: stat.mzxid,
            ctime: stat.ctime,
            mtime: stat.mtime,
            owner: stat.ephemeral_owner,
            version: stat.version,
            aversion: stat.aversion,
            acl,
        };
        let StatPersisted { pzxid, cversion, .. } = *stat;
        let below = (pzxid != stat.czxid || cversion != 0)
            .then(|| Arc::new(Below { children: Dir::Empty, pzxid, cversion, digest: 0 }));
        Self { leaf: Leaf::new(name.as_bytes(), data, &numbers), below }
    }

    /// Last component of the path; empty for the root.
    #[must_use]
    pub fn name(&self) -> &str {
        self.leaf.name()
    }

    /// The data; null is not the same as empty.
    #[must_use]
    pub fn data(&self) -> Option<&[u8]> {
        self.leaf.data()
    }

    /// Which list guards the znode.
    #[must_use]
    pub fn acl_id(&self) -> AclId {
        self.leaf.acl()
    }

    /// What sort of znode it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        Kind::of_owner(self.leaf.owner())
    }

    /// Whether a session owns the znode. Containers and TTL znodes are not ephemeral.
    #[must_use]
    pub fn is_ephemeral(&self) -> bool {
        matches!(self.kind(), Kind::Ephemeral(_))
    }

    /// Number of children.
    #[must_use]
    pub fn child_count(&self) -> usize {
        self.below.as_ref().map_or(0, |below| below.children.len())
    }

    /// Names of the children, in an order that depends on the hash key.
    pub fn children(&self) -> impl ExactSizeIterator<Item = &str> {
        self.child_iter().map(|child| child.name())
    }

    /// The stat as clients get it.
    #[must_use]
    pub fn stat(&self) -> Stat {
        let stored = self.stat_persisted();
        let num_children = as_i32(self.child_count());
        Stat {
            czxid: stored.czxid,
            mzxid: stored.mzxid,
            ctime: stored.ctime,
            mtime: stored.mtime,
            version: stored.version,
            // Stored are the creates; with the deletes (creates less present children) added,
            // every create and every delete counts one.
            cversion: stored.cversion.wrapping_mul(2).wrapping_sub(num_children),
            aversion: stored.aversion,
            ephemeral_owner: match Kind::of_owner(stored.ephemeral_owner) {
                Kind::Ephemeral(session) => session,
                Kind::Persistent | Kind::Container | Kind::Ttl { .. } => SessionId::NONE,
            },
            data_length: as_i32(self.data().map_or(0, <[u8]>::len)),
            num_children,
            pzxid: stored.pzxid,
        }
    }

    /// The stat as snapshots hold it.
    #[must_use]
    pub fn stat_persisted(&self) -> StatPersisted {
        let numbers = self.leaf.numbers();
        let (pzxid, cversion) = match &self.below {
            Some(below) => (below.pzxid, below.cversion),
            None => (numbers.czxid, 0),
        };
        StatPersisted {
            czxid: numbers.czxid,
            mzxid: numbers.mzxid,
            ctime: numbers.ctime,
            mtime: numbers.mtime,
            version: numbers.version,
            cversion,
            aversion: numbers.aversion,
            ephemeral_owner: numbers.owner,
            pzxid,
        }
    }

    /// What does not change with the children.
    pub(crate) fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    /// Replaces it.
    pub(crate) fn set_leaf(&mut self, leaf: Leaf) {
        self.leaf = leaf;
        if self.noted_digest().is_some() {
            self.below_mut();
        }
    }

    /// What changes with the children, for changing it: copies what is shared. A digest that was
    /// noted is forgotten.
    pub(crate) fn below_mut(&mut self) -> &mut Below {
        let fresh = || {
            let (children, pzxid) = (Dir::Empty, self.leaf.czxid());
            Arc::new(Below { children, pzxid, cversion: 0, digest: 0 })
        };
        let below = Arc::make_mut(self.below.get_or_insert_with(fresh));
        below.digest = 0;
        below
    }

    /// The digest that was noted, if nothing that it covers has changed since.
    pub(crate) fn noted_digest(&self) -> Option<u64> {
        let digest = self.below.as_ref().map_or(0, |below| below.digest);
        (digest != 0).then_some(u64::from(digest))
    }

    /// Notes the digest of a znode below which something has changed.
    pub(crate) fn note_digest(&mut self, digest: u64) {
        if let (Some(below), Ok(digest)) = (&mut self.below, u32::try_from(digest)) {
            Arc::make_mut(below).digest = digest;
        }
    }

    /// Gives it the children of another.
    pub(crate) fn take_children(&mut self, of: &mut Self) {
        if of.child_count() > 0 {
            self.below_mut().children = mem::take(&mut of.below_mut().children);
        }
    }

    /// The child of that name, whose hash the caller knows.
    #[inline]
    pub(crate) fn child(&self, hash: u32, name: &str) -> Option<&Self> {
        self.below.as_ref()?.children.find(hash, |child| child.is_named(name))
    }

    /// The same for changing it: copies what is shared.
    #[inline]
    pub(crate) fn child_mut(&mut self, hash: u32, name: &str) -> Option<&mut Self> {
        let below = Arc::make_mut(self.below.as_mut()?);
        below.children.find_mut(hash, |child| child.is_named(name))
    }

    #[inline]
    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.leaf.name_bytes() == name.as_bytes()
    }

    /// How many hold its two parts, mixed.
    #[inline]
    pub(crate) fn holder_counts(&self) -> usize {
        self.leaf.holder_count() ^ self.below.as_ref().map_or(0, Arc::strong_count)
    }

    /// The children, if it has or had any.
    pub(crate) fn child_dir(&self) -> Option<&Dir<Self>> {
        self.below.as_ref().map(|below| &below.children)
    }

    pub(crate) fn child_iter(&self) -> Iter<'_, Self> {
        self.below.as_ref().map_or(const { &Dir::Empty }, |below| &below.children).iter()
    }
}

impl Drop for Below {
    fn drop(&mut self) {
        // A loop, since one stack frame per level would not do for a deep tree.
        let mut pending = Vec::new();
        let mut dir = mem::take(&mut self.children);
        loop {
            dir.dissolve(&mut |child: Znode| {
                let last_holder = child.below.and_then(Arc::into_unique).map(UniqueArc::into_inner);
                if let Some(mut below) = last_holder
                    && !below.children.is_empty()
                {
                    pending.push(mem::take(&mut below.children));
                }
            });
            let Some(next) = pending.pop() else { return };
            dir = next;
        }
    }
}

/// What sort of znode a stored owner stands for.
///
/// Containers and TTL znodes are recognised whether or not `extendedTypesEnabled` is set: with it
/// off Java takes TTL znodes for ephemerals of a dead session and deletes them when it starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// An ordinary znode: owner 0.
    Persistent,
    /// Lives as long as its session.
    Ephemeral(SessionId),
    /// Goes when its last child has gone: owner `i64::MIN`.
    Container,
    /// Goes when it had no children and no setData for so long: top 24 bits `0xff0000`.
    Ttl {
        /// Time to live in milliseconds.
        ms: i64,
    },
}

impl Kind {
    /// The longest time to live that an owner can hold, in milliseconds: 40 bits.
    pub const TTL_MS_MAX: i64 = (1 << 40) - 1;

    /// Reads a stored owner.
    #[must_use]
    pub fn of_owner(owner: i64) -> Self {
        match owner {
            0 => Self::Persistent,
            i64::MIN => Self::Container,
            _ if owner & !Self::TTL_MS_MAX == TTL_MARK => {
                Self::Ttl { ms: owner & Self::TTL_MS_MAX }
            }
            _ => Self::Ephemeral(SessionId(owner)),
        }
    }

    /// The owner to be stored.
    ///
    /// A time to live that cannot be stored becomes the longest that can: a log that holds one is
    /// wrong, and a wrong number must not delete data early.
    #[must_use]
    pub fn to_owner(self) -> i64 {
        match self {
            Self::Persistent => 0,
            Self::Ephemeral(session) => session.0,
            Self::Container => i64::MIN,
            Self::Ttl { ms } if (1..=Self::TTL_MS_MAX).contains(&ms) => TTL_MARK | ms,
            Self::Ttl { .. } => TTL_MARK | Self::TTL_MS_MAX,
        }
    }
}

const TTL_MARK: i64 = (0xff_0000_u64 << 40).cast_signed();

fn as_i32(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use alloc::string::String;
    use alloc::vec::Vec;

    use super::{Below, Kind, Znode};
    use crate::acl_table::AclId;
    use crate::tree::Walk;
    use ostler_wire::ids::{SessionId, Zxid};
    use ostler_wire::stat::StatPersisted;

    fn znode(name: &str) -> Znode {
        Znode::new(name, None, AclId::OPEN, &StatPersisted::default())
    }

    #[test]
    fn names_of_any_length_come_back() {
        for name in ["", "a", "ä", "ünïcödé ünïcödé"] {
            assert_eq!(znode(name).name(), name);
            assert!(znode(name).is_named(name));
            assert!(!znode(name).is_named("other"));
        }
    }

    /// What the module says about allocations.
    #[test]
    fn only_a_znode_with_children_or_a_history_of_them_has_a_part_for_it() {
        let stat = StatPersisted { czxid: Zxid(5), pzxid: Zxid(5), ..StatPersisted::default() };
        let fresh = Znode::new("name", None, AclId::OPEN, &stat);
        assert!(fresh.below.is_none());
        assert_eq!((fresh.stat().pzxid, fresh.stat().cversion), (Zxid(5), 0));
        for stat in
            [StatPersisted { pzxid: Zxid(6), ..stat }, StatPersisted { cversion: 2, ..stat }]
        {
            let znode = Znode::new("name", None, AclId::OPEN, &stat);
            assert_eq!(znode.stat_persisted(), stat);
            assert_eq!(
                size_of_val(&**znode.below.as_ref().expect("it has one")),
                size_of::<Below>()
            );
        }
    }

    #[test]
    fn a_change_below_leaves_the_leaf_shared() {
        let mut parent = znode("parent");
        let old = parent.clone();
        parent.below_mut().children.insert(1, znode("a"));
        assert!(core::ptr::eq(parent.name(), old.name()));
        assert_eq!((old.child_count(), parent.child_count()), (0, 1));
    }

    #[test]
    fn kinds_are_told_by_the_owner() {
        let ttl = 0xff00_0000_0000_1388_u64.cast_signed();
        assert_eq!(Kind::of_owner(0), Kind::Persistent);
        assert_eq!(Kind::of_owner(i64::MIN), Kind::Container);
        assert_eq!(Kind::of_owner(ttl), Kind::Ttl { ms: 5000 });
        assert_eq!(Kind::of_owner(-1), Kind::Ephemeral(SessionId(-1)));
        assert_eq!(Kind::of_owner(i64::MIN + 1), Kind::Ephemeral(SessionId(i64::MIN + 1)));
        let later = 0xff00_0100_0000_0000_u64.cast_signed();
        assert_eq!(Kind::of_owner(later), Kind::Ephemeral(SessionId(later)));
        for owner in [0, i64::MIN, ttl, -1, 1, i64::MAX, later] {
            assert_eq!(Kind::of_owner(owner).to_owner(), owner);
        }
    }

    #[test]
    fn an_impossible_time_to_live_becomes_the_longest() {
        let longest = Kind::Ttl { ms: Kind::TTL_MS_MAX }.to_owner();
        assert_eq!(longest, 0xff00_00ff_ffff_ffff_u64.cast_signed());
        for ms in [0, -1, i64::MIN, i64::MAX, Kind::TTL_MS_MAX + 1] {
            assert_eq!(Kind::Ttl { ms }.to_owner(), longest);
        }
        assert_eq!(Kind::of_owner(Kind::Ttl { ms: 1 }.to_owner()), Kind::Ttl { ms: 1 });
    }

    /// A chain of znodes, each the only child of the one before.
    fn chain(depth: usize) -> Znode {
        (0..depth).fold(znode("end"), |below, _| {
            let mut above = znode("a");
            above.below_mut().children.insert(7, below);
            above
        })
    }

    /// Half a million levels are the most that a path of 1 MiB can have. The stack of a test's
    /// thread is 2 MiB; this one gets less, so that a frame per level would overflow at once.
    #[test]
    fn the_deepest_chain_is_walked_copied_and_dropped_on_a_small_stack() {
        const DEPTH: usize = 500_000;
        let small_stack = std::thread::Builder::new().stack_size(64 << 10);
        let run = small_stack.spawn(|| {
            let root = chain(DEPTH);
            let mut walk = Walk::below(String::new(), &root);
            let mut count = 0;
            let mut longest = 0;
            while let Some((path, _)) = walk.next() {
                count += 1;
                longest = longest.max(path.len());
            }
            assert_eq!(count, DEPTH + 1);
            assert_eq!(longest, 2 * (DEPTH - 1) + "/end".len());
            drop(walk);

            let mut copy = root.clone();
            let mut below = copy.below_mut();
            while let Some(child) = below.children.find_mut(7, |_| true) {
                below = child.below_mut();
            }
            below.cversion = 1;
            drop(root);
            drop(copy);
        });
        run.expect("a thread starts").join().expect("nothing overflowed");
    }

    /// Of two holders that let go at once, at each level exactly one finds itself the last.
    #[test]
    fn two_threads_may_drop_the_same_chain_at_once() {
        let root = chain(100_000);
        let start = std::sync::Arc::new(std::sync::Barrier::new(2));
        let threads = [root.clone(), root].map(|root| {
            // Each holds every tenth level besides the root, so that they meet on the way down.
            let mut held = Vec::new();
            let mut walk = Some(&root);
            while let Some(znode) = walk {
                held.push(znode.clone());
                walk = (0..10).try_fold(znode, |above, _| above.child_iter().next());
            }
            drop(root);
            let start = start.clone();
            let small_stack = std::thread::Builder::new().stack_size(64 << 10);
            let run = small_stack.spawn(move || {
                start.wait();
                drop(held);
            });
            run.expect("a thread starts")
        });
        threads.into_iter().for_each(|thread| thread.join().expect("nothing overflowed"));
    }

    #[test]
    fn dropping_spares_what_others_hold() {
        let below = znode("below");
        let mut above = znode("above");
        above.below_mut().children.insert(1, below.clone());
        assert_eq!(below.leaf.holder_count(), 2);
        drop(above);
        assert_eq!(below.leaf.holder_count(), 1);
        assert_eq!(below.name(), "below");
    }

    #[test]
    fn cversion_counts_creates_and_deletes_and_wraps() {
        let mut parent = znode("");
        parent.below_mut().children.insert(1, znode("a"));
        parent.below_mut().cversion = 3;
        assert_eq!(parent.stat().cversion, 5);
        assert_eq!(parent.stat_persisted().cversion, 3);
        parent.below_mut().cversion = i32::MIN;
        assert_eq!(parent.stat().cversion, -1);
        parent.below_mut().cversion = i32::MAX;
        assert_eq!(parent.stat().cversion, -3);
    }
}
