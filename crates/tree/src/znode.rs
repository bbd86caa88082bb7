//! A znode: what is stored at one path, and below it.
//!
//! ```text
//! Znode, 104 bytes; with its reference count one allocation of 112
//!   name      16   last component of the path; up to 15 bytes inline
//!   children  16   Dir of shared znodes, by the keyed hash of their names
//!   data       8   thin shared bytes, or null
//!   czxid mzxid pzxid ctime mtime owner        6 x 8
//!   version cversion aversion acl              4 x 4
//! ```
//!
//! The length of the data and the number of children are derived. A clone of a znode (made when a
//! path is copied) shares data and children.
//!
//! Trees can be half a million levels deep, so nothing here recurses from a znode into its
//! children; dropping one is a loop.

use alloc::vec::Vec;
use core::mem;
use core::str;

use ostler_wire::ids::{SessionId, WallMs, Zxid};
use ostler_wire::stat::{Stat, StatPersisted};
use triomphe::{Arc, ThinArc, UniqueArc};

use crate::acl_table::AclId;
use crate::dir::{Dir, Iter};

/// One node of the tree. Immutable to everybody but the tree that owns it.
#[derive(Clone)]
pub struct Znode {
    name: Name,
    pub(crate) children: Dir<Arc<Self>>,
    pub(crate) data: Option<Blob>,
    pub(crate) czxid: Zxid,
    pub(crate) mzxid: Zxid,
    pub(crate) pzxid: Zxid,
    pub(crate) ctime: WallMs,
    pub(crate) mtime: WallMs,
    pub(crate) owner: i64,
    pub(crate) version: i32,
    pub(crate) cversion: i32,
    pub(crate) aversion: i32,
    pub(crate) acl: AclId,
}

const _: () = assert!(size_of::<Znode>() == 104);
const _: () = assert!(size_of::<Name>() == 16);
const _: () = assert!(size_of::<Option<Blob>>() == 8);

impl Znode {
    /// A znode without children.
    pub(crate) fn new(name: &str, data: Option<&[u8]>, acl: AclId, stat: &StatPersisted) -> Self {
        Self {
            name: Name::new(name),
            children: Dir::Empty,
            data: data.map(Blob::new),
            czxid: stat.czxid,
            mzxid: stat.mzxid,
            pzxid: stat.pzxid,
            ctime: stat.ctime,
            mtime: stat.mtime,
            owner: stat.ephemeral_owner,
            version: stat.version,
            cversion: stat.cversion,
            aversion: stat.aversion,
            acl,
        }
    }

    /// Last component of the path; empty for the root.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// The data; null is not the same as empty.
    #[must_use]
    pub fn data(&self) -> Option<&[u8]> {
        self.data.as_ref().map(Blob::bytes)
    }

    /// Which list guards the znode.
    #[must_use]
    pub fn acl_id(&self) -> AclId {
        self.acl
    }

    /// What sort of znode it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        Kind::of_owner(self.owner)
    }

    /// Whether a session owns the znode. Containers and TTL znodes are not ephemeral.
    #[must_use]
    pub fn is_ephemeral(&self) -> bool {
        matches!(self.kind(), Kind::Ephemeral(_))
    }

    /// Number of children.
    #[must_use]
    pub fn child_count(&self) -> usize {
        self.children.len()
    }

    /// Names of the children, in an order that depends on the hash key.
    pub fn children(&self) -> impl ExactSizeIterator<Item = &str> {
        self.children.iter().map(|child| child.name())
    }

    /// The stat as clients get it.
    #[must_use]
    pub fn stat(&self) -> Stat {
        let num_children = as_i32(self.child_count());
        Stat {
            czxid: self.czxid,
            mzxid: self.mzxid,
            ctime: self.ctime,
            mtime: self.mtime,
            version: self.version,
            // Stored are the creates; with the deletes (creates less present children) added,
            // every create and every delete counts one.
            cversion: self.cversion.wrapping_mul(2).wrapping_sub(num_children),
            aversion: self.aversion,
            ephemeral_owner: match self.kind() {
                Kind::Ephemeral(session) => session,
                Kind::Persistent | Kind::Container | Kind::Ttl { .. } => SessionId::NONE,
            },
            data_length: as_i32(self.data().map_or(0, <[u8]>::len)),
            num_children,
            pzxid: self.pzxid,
        }
    }

    /// The stat as snapshots hold it.
    #[must_use]
    pub fn stat_persisted(&self) -> StatPersisted {
        StatPersisted {
            czxid: self.czxid,
            mzxid: self.mzxid,
            ctime: self.ctime,
            mtime: self.mtime,
            version: self.version,
            cversion: self.cversion,
            aversion: self.aversion,
            ephemeral_owner: self.owner,
            pzxid: self.pzxid,
        }
    }

    /// The child of that name, whose hash the caller knows.
    #[inline]
    pub(crate) fn child(&self, hash: u64, name: &str) -> Option<&Self> {
        self.children.find(hash, |child| child.is_named(name)).map(|child| &**child)
    }

    /// The same for changing it: copies what is shared.
    #[inline]
    pub(crate) fn child_mut(&mut self, hash: u64, name: &str) -> Option<&mut Self> {
        self.children.find_mut(hash, |child| child.is_named(name)).map(Arc::make_mut)
    }

    #[inline]
    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.name.as_bytes() == name.as_bytes()
    }

    pub(crate) fn child_iter(&self) -> Iter<'_, Arc<Self>> {
        self.children.iter()
    }
}

impl Drop for Znode {
    fn drop(&mut self) {
        // A loop, since one stack frame per level would not do for a deep tree.
        let mut pending = Vec::new();
        let mut dir = mem::take(&mut self.children);
        loop {
            dir.dissolve(&mut |child| {
                let last_holder = Arc::into_unique(child).map(UniqueArc::into_inner);
                if let Some(mut znode) = last_holder
                    && !znode.children.is_empty()
                {
                    pending.push(mem::take(&mut znode.children));
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

/// The name of a znode: 16 bytes, shared when it does not fit into them.
#[derive(Clone)]
enum Name {
    Inline(InlineLen, [u8; 15]),
    Shared(ThinArc<(), u8>),
}

/// A length of 0 to 15. An enum, so that the other 240 values of the byte can tell that a name is
/// shared: only that way it fits into 16 bytes.
#[derive(Clone, Copy)]
#[rustfmt::skip]
enum InlineLen { L0, L1, L2, L3, L4, L5, L6, L7, L8, L9, L10, L11, L12, L13, L14, L15 }

impl InlineLen {
    #[rustfmt::skip]
    const ALL: [Self; 16] = [
        Self::L0, Self::L1, Self::L2, Self::L3, Self::L4, Self::L5, Self::L6, Self::L7,
        Self::L8, Self::L9, Self::L10, Self::L11, Self::L12, Self::L13, Self::L14, Self::L15,
    ];
}

impl Name {
    fn new(name: &str) -> Self {
        let bytes = name.as_bytes();
        match InlineLen::ALL.get(bytes.len()) {
            Some(len) => {
                let mut inline = [0; 15];
                inline[..bytes.len()].copy_from_slice(bytes);
                Self::Inline(*len, inline)
            }
            None => Self::Shared(ThinArc::from_header_and_slice((), bytes)),
        }
    }

    #[inline]
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Inline(len, bytes) => &bytes[..*len as usize],
            Self::Shared(bytes) => &bytes.slice,
        }
    }

    fn as_str(&self) -> &str {
        str::from_utf8(self.as_bytes()).expect("a name is made of a str")
    }
}

/// Data of a znode: shared bytes behind a pointer of 8 bytes.
///
/// Large data carry their CRC-32 behind them, so that a digest need not read a megabyte again for
/// each child that is created below them.
#[derive(Clone)]
pub(crate) struct Blob(ThinArc<(), u8>);

impl Blob {
    /// Data of more bytes than this carry their checksum.
    const SEALED_ABOVE: usize = 2048;
    const SEAL: usize = 4;

    pub(crate) fn new(data: &[u8]) -> Self {
        if data.len() <= Self::SEALED_ABOVE {
            return Self(ThinArc::from_header_and_slice((), data));
        }
        let mut sealed = Vec::with_capacity(data.len() + Self::SEAL);
        sealed.extend_from_slice(data);
        sealed.extend_from_slice(&crc32fast::hash(data).to_be_bytes());
        Self(ThinArc::from_header_and_slice((), &sealed))
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        self.parts().0
    }

    /// The data, and their CRC-32 if they carry it.
    #[inline]
    pub(crate) fn parts(&self) -> (&[u8], Option<u32>) {
        let all = &self.0.slice;
        if all.len() <= Self::SEALED_ABOVE {
            return (all, None);
        }
        let (data, seal) = all.split_last_chunk().expect("sealed data are longer than the seal");
        (data, Some(u32::from_be_bytes(*seal)))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use alloc::string::String;
    use alloc::vec::Vec;

    use ostler_wire::ids::SessionId;
    use ostler_wire::stat::StatPersisted;
    use triomphe::Arc;

    use super::{Blob, Kind, Name, Znode};
    use crate::acl_table::AclId;
    use crate::tree::Walk;

    fn znode(name: &str) -> Znode {
        Znode::new(name, None, AclId::OPEN, &StatPersisted::default())
    }

    #[test]
    fn names_of_any_length_come_back() {
        for name in ["", "a", "fifteen bytes..", "sixteen bytes...", "ä", "ünïcödé ünïcödé"]
        {
            assert_eq!(Name::new(name).as_str(), name);
            assert_eq!(Name::new(name).clone().as_bytes(), name.as_bytes());
            assert!(znode(name).is_named(name));
            assert!(!znode(name).is_named("other"));
        }
    }

    #[test]
    fn blobs_of_any_length_come_back() {
        for length in [0, 1, 7, 2048, 2049, 2050, 2052, 2053, 1 << 20] {
            let data: Vec<u8> = (0..length).map(|i: u32| i.to_le_bytes()[0]).collect();
            let blob = Blob::new(&data);
            assert_eq!(blob.bytes(), data);
            assert!(blob.parts().1.is_none_or(|seal| seal == crc32fast::hash(&data)));
        }
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
            above.children.insert(7, Arc::new(below));
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
            let root = Arc::new(chain(DEPTH));
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
            let mut znode = Arc::make_mut(&mut copy);
            while let Some(child) = znode.children.find_mut(7, |_| true) {
                znode = Arc::make_mut(child);
            }
            znode.version = 1;
            drop(root);
            drop(copy);
        });
        run.expect("a thread starts").join().expect("nothing overflowed");
    }

    /// Of two holders that let go at once, at each level exactly one finds itself the last.
    #[test]
    fn two_threads_may_drop_the_same_chain_at_once() {
        let root = Arc::new(chain(100_000));
        let start = std::sync::Arc::new(std::sync::Barrier::new(2));
        let threads = [root.clone(), root].map(|root| {
            // Each holds every tenth level besides the root, so that they meet on the way down.
            let mut held = Vec::new();
            let mut walk = Some(&root);
            while let Some(znode) = walk {
                held.push(znode.clone());
                walk = (0..10).try_fold(znode, |above, _| above.children.iter().next());
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
        let below = Arc::new(znode("below"));
        let mut above = znode("above");
        above.children.insert(1, below.clone());
        drop(above);
        assert_eq!(below.name(), "below");
        assert_eq!(Arc::count(&below), 1);
    }

    #[test]
    fn cversion_counts_creates_and_deletes_and_wraps() {
        let mut parent = znode("");
        parent.children.insert(1, Arc::new(znode("a")));
        parent.cversion = 3;
        assert_eq!(parent.stat().cversion, 5);
        assert_eq!(parent.stat_persisted().cversion, 3);
        parent.cversion = i32::MIN;
        assert_eq!(parent.stat().cversion, -1);
        parent.cversion = i32::MAX;
        assert_eq!(parent.stat().cversion, -3);
    }
}
