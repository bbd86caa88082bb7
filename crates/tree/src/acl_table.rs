//! Interned ACL lists: each list is kept once, however many znodes it guards.
//!
//! A znode holds a number; the table holds the list and how many znodes use it. A list that nobody
//! uses any more is dropped and its number is not given to another list soon.

use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;

use ostler_wire::acl::Acl;
use triomphe::Arc;

use crate::dir::Dir;
use crate::hash::{HashKey, upper_half};

/// Number of an interned list, as it stands in snapshots (where -1 is [`AclId::OPEN`]).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AclId(u32);

impl AclId {
    /// `world:anyone:cdrwa` as the built-in znodes have it, outside the table. Znodes that clients
    /// create with the same list get a number of the table.
    pub const OPEN: Self = Self(0);

    /// The number for a snapshot: -1 for [`AclId::OPEN`], else 1 and more.
    #[must_use]
    pub fn file_id(self) -> i64 {
        if self == Self::OPEN { -1 } else { i64::from(self.0) }
    }

    fn hash(self) -> u32 {
        // Numbers are ours, not a client's: spreading them is enough.
        self.0.wrapping_mul(0x9e37_79b1)
    }
}

/// A shared list. Cloning is cheap; the empty list, which allows nothing, costs nothing.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AclList(Option<Arc<Vec<Acl>>>);

impl AclList {
    /// Takes a list over.
    #[must_use]
    pub fn new(list: Vec<Acl>) -> Self {
        Self((!list.is_empty()).then(|| Arc::new(list)))
    }
}

impl Deref for AclList {
    type Target = [Acl];

    fn deref(&self) -> &[Acl] {
        self.0.as_ref().map_or(&[], |list| list)
    }
}

impl fmt::Debug for AclList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The table. A value like the tree that it belongs to.
#[derive(Clone)]
pub(crate) struct AclTable {
    // Invariant: the two hold the same lists, but for OPEN, which is only in `by_id`.
    by_id: Dir<Arc<Interned>>,
    by_list: Dir<Listed>,
    last: u32,
    /// The list of the znode that came last, so that one more like it costs little.
    // Invariant: never OPEN. Its users are counted here, and not in `by_id`.
    recent: Option<Interned>,
}

#[derive(Clone)]
struct Interned {
    id: AclId,
    list: AclList,
    // Invariant: greater than 0, but for OPEN, which is not counted.
    users: u64,
}

#[derive(Clone)]
struct Listed {
    list: AclList,
    id: AclId,
}

impl AclTable {
    /// A table that knows [`AclId::OPEN`] only.
    pub(crate) fn new() -> Self {
        let mut by_id = Dir::Empty;
        let open = Interned { id: AclId::OPEN, list: AclList::new(Acl::open()), users: 0 };
        by_id.insert(AclId::OPEN.hash(), Arc::new(open));
        Self { by_id, by_list: Dir::Empty, last: 0, recent: None }
    }

    /// The number of that list, for one more znode.
    pub(crate) fn retain(&mut self, key: HashKey, list: &[Acl]) -> AclId {
        if let Some(recent) = &mut self.recent
            && recent.list[..] == *list
        {
            recent.users += 1;
            return recent.id;
        }
        let hash = list_hash(key, list);
        if let Some(listed) = self.by_list.find(hash, |listed| listed.list[..] == *list) {
            let (id, list) = (listed.id, listed.list.clone());
            self.make_recent(id, list);
            self.retain_id(id);
            return id;
        }
        let id = self.unused_id();
        let list = AclList::new(list.to_vec());
        self.by_list.insert(hash, Listed { list: list.clone(), id });
        self.by_id.insert(id.hash(), Arc::new(Interned { id, list: list.clone(), users: 1 }));
        self.make_recent(id, list);
        id
    }

    fn make_recent(&mut self, id: AclId, list: AclList) {
        if let Some(before) = self.recent.take()
            && let Some(interned) = self.interned_mut(before.id)
        {
            interned.users = before.users;
        }
        let users = self.interned_mut(id).map_or(0, |interned| interned.users);
        self.recent = Some(Interned { id, list, users });
    }

    /// One more znode uses a list that is in the table.
    pub(crate) fn retain_id(&mut self, id: AclId) {
        if id == AclId::OPEN {
            return;
        }
        if let Some(interned) = self.interned_mut(id) {
            interned.users += 1;
        }
    }

    /// One znode less uses the list.
    pub(crate) fn release(&mut self, key: HashKey, id: AclId) {
        if id == AclId::OPEN {
            return;
        }
        let Some(interned) = self.interned_mut(id) else { return };
        interned.users -= 1;
        if interned.users == 0 {
            let hash = list_hash(key, &interned.list);
            self.by_id.remove(id.hash(), |interned| interned.id == id);
            self.by_list.remove(hash, |listed| listed.id == id);
            self.recent.take_if(|recent| recent.id == id);
        }
    }

    /// Where the users of that number are counted.
    fn interned_mut(&mut self, id: AclId) -> Option<&mut Interned> {
        if let Some(recent) = self.recent.as_mut().filter(|recent| recent.id == id) {
            return Some(recent);
        }
        self.by_id.find_mut(id.hash(), |interned| interned.id == id).map(Arc::make_mut)
    }

    /// Whether a list has that number.
    pub(crate) fn contains(&self, id: AclId) -> bool {
        self.find(id).is_some()
    }

    /// The list of that number; a number that is not there allows nothing.
    pub(crate) fn list(&self, id: AclId) -> &[Acl] {
        self.find(id).map_or(&[], |list| list)
    }

    /// A handle to the list of that number.
    pub(crate) fn shared_list(&self, id: AclId) -> AclList {
        self.find(id).cloned().unwrap_or_default()
    }

    /// All lists but OPEN.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (AclId, &[Acl])> {
        let all = self.by_id.iter().filter(|interned| interned.id != AclId::OPEN);
        all.map(|interned| (interned.id, &interned.list[..]))
    }

    fn find(&self, id: AclId) -> Option<&AclList> {
        if let Some(recent) = self.recent.as_ref().filter(|recent| recent.id == id) {
            return Some(&recent.list);
        }
        let interned = self.by_id.find(id.hash(), |interned| interned.id == id)?;
        Some(&interned.list)
    }

    /// Ascending from 1, and after 4 billion lists over again, leaving out those in use.
    fn unused_id(&mut self) -> AclId {
        loop {
            self.last = self.last.wrapping_add(1);
            if self.find(AclId(self.last)).is_none() {
                return AclId(self.last);
            }
        }
    }
}

/// Mixes what tells lists apart; the texts are framed by their lengths.
fn list_hash(key: HashKey, list: &[Acl]) -> u32 {
    let hash = list.iter().fold(key.number(list.len() as u64), |hash, acl| {
        let perms = u64::from(acl.perms.0.cast_unsigned());
        let id = key.bytes(acl.id.id.as_bytes()).rotate_left(1);
        key.number(hash ^ perms ^ key.bytes(acl.id.scheme.as_bytes()) ^ id)
    });
    upper_half(hash)
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use ostler_wire::acl::{Acl, Id, Perms};

    use super::{AclId, AclTable};
    use crate::hash::HashKey;

    const KEY: fn() -> HashKey = || HashKey::new(1);

    fn digest(user: &str) -> Vec<Acl> {
        vec![Acl { perms: Perms::READ, id: Id::new("digest", user) }]
    }

    #[test]
    fn equal_lists_share_a_number_and_go_with_their_last_user() {
        let mut table = AclTable::new();
        let a = table.retain(KEY(), &digest("a"));
        let b = table.retain(KEY(), &digest("b"));
        assert_eq!((a.file_id(), b.file_id()), (1, 2));
        assert_eq!(table.retain(KEY(), &digest("a")), a);
        table.release(KEY(), a);
        assert_eq!(table.list(a), digest("a"));
        table.release(KEY(), a);
        assert_eq!(table.list(a), []);
        assert_eq!(table.iter().collect::<Vec<_>>(), [(b, &digest("b")[..])]);
        assert_eq!(table.retain(KEY(), &digest("a")).file_id(), 3);
    }

    #[test]
    fn users_are_counted_through_every_change_of_the_recent_list() {
        let mut table = AclTable::new();
        let a = table.retain(KEY(), &digest("a"));
        let b = table.retain(KEY(), &digest("b"));
        for _ in 0..3 {
            table.retain(KEY(), &digest("a"));
            table.retain_id(b);
            table.retain(KEY(), &digest("b"));
            table.retain_id(a);
        }
        for _ in 0..6 {
            table.release(KEY(), a);
            table.release(KEY(), b);
        }
        assert_eq!((table.list(a), table.list(b)), (&digest("a")[..], &digest("b")[..]));
        table.release(KEY(), b);
        table.release(KEY(), a);
        assert_eq!(table.iter().count(), 0);
        assert!(table.recent.is_none());
    }

    #[test]
    fn open_is_not_in_the_table() {
        let mut table = AclTable::new();
        assert_eq!(table.list(AclId::OPEN), Acl::open());
        assert_eq!(table.retain(KEY(), &Acl::open()).file_id(), 1);
        table.retain_id(AclId::OPEN);
        table.release(KEY(), AclId::OPEN);
        table.release(KEY(), AclId::OPEN);
        assert_eq!(table.list(AclId::OPEN), Acl::open());
        assert_eq!(table.iter().count(), 1);
    }

    #[test]
    fn numbers_start_over_and_leave_out_those_in_use() {
        let mut table = AclTable::new();
        let a = table.retain(KEY(), &digest("a"));
        table.last = u32::MAX - 1;
        assert_eq!(table.retain(KEY(), &digest("b")).file_id(), i64::from(u32::MAX));
        assert_eq!(table.retain(KEY(), &digest("c")).file_id(), 2);
        assert_eq!(table.list(a), digest("a"));
    }

    #[test]
    fn a_clone_keeps_what_it_had() {
        let mut table = AclTable::new();
        let a = table.retain(KEY(), &digest("a"));
        let old = table.clone();
        table.release(KEY(), a);
        assert_eq!(table.list(a), []);
        assert_eq!(old.list(a), digest("a"));
    }

    #[test]
    fn the_empty_list_is_a_list() {
        let mut table = AclTable::new();
        let empty = table.retain(KEY(), &[]);
        assert_eq!(table.list(empty), []);
        assert_eq!(table.retain(KEY(), &[]), empty);
    }
}
