//! Building a tree from the pieces of a snapshot.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::{fmt, mem};

use ostler_wire::acl::Acl;
use ostler_wire::ids::{SessionId, Zxid};
use ostler_wire::stat::StatPersisted;

use crate::acl_table::AclId;
use crate::digest;
use crate::dir::Dir;
use crate::tree::{Tree, Walk, size_bytes, split};
use crate::znode::Znode;

/// Takes sessions, then ACL lists, then znodes, parents before children, in the order in which a
/// snapshot has them.
///
/// Snapshots go through a tree depth first: a znode comes right behind its parent or behind all
/// that is below a sibling. So the way down to the last znode is kept open, and the children of
/// each znode on it are gathered until something comes that is not below it. Then they become its
/// `Dir` at once, which costs a fraction of growing it child by child. From the first znode on
/// that comes in any other order, each one is looked up from the root.
pub struct Builder {
    tree: Tree,
    /// Lists by their number in the file. Numbers are local to a server; ours are given anew.
    lists: BTreeMap<i64, Vec<Acl>>,
    /// Numbers that were met, with ours.
    ids: BTreeMap<i64, AclId>,
    /// Children of the root that are complete.
    top: Vec<Entry>,
    /// The way down from the root, which is not in it, to the last znode.
    // Invariant: none of these, nor of `top`, is in the tree yet, but all are counted in.
    open: Vec<Open>,
    /// The path of the last one of these.
    path: String,
    in_any_order: bool,
}

/// A znode by the hash of its name.
type Entry = (u32, Znode);

/// A znode below which more may come.
struct Open {
    hash: u32,
    znode: Znode,
    children: Vec<Entry>,
    /// The length of its parent's path, in bytes.
    parent_len: usize,
}

/// A znode came before its parent, or its path is none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MissingParent {
    /// Path of the znode that has no place.
    pub path: String,
}

impl fmt::Display for MissingParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the znode {:?} has no parent", self.path)
    }
}

impl core::error::Error for MissingParent {}

impl Builder {
    /// Starts with an empty root.
    #[must_use]
    pub fn new(hash_key: u64) -> Self {
        Self {
            tree: Tree::root_only(hash_key),
            lists: BTreeMap::new(),
            ids: BTreeMap::new(),
            top: Vec::new(),
            open: Vec::new(),
            path: String::new(),
            in_any_order: false,
        }
    }

    /// Adds a session.
    pub fn session(&mut self, session: SessionId, timeout_ms: i32) {
        self.tree.put_session(session, timeout_ms);
    }

    /// Adds a list of the table. One that no znode refers to is left out of the tree.
    pub fn acl(&mut self, file_id: i64, list: Vec<Acl>) {
        self.lists.insert(file_id, list);
    }

    /// Adds a znode. The root comes with the path `""`; a path that comes twice counts as it came
    /// last. A number that no list was given for becomes the empty list, which allows nothing:
    /// clients are denied, but replay, which may put it right, goes on.
    pub fn node(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        acl_file_id: i64,
        stat: &StatPersisted,
    ) -> Result<(), MissingParent> {
        if path.is_empty() {
            let acl = self.retain(acl_file_id);
            self.tree.replace_root(Znode::new("", data, acl, stat));
            return Ok(());
        }
        let missing = || MissingParent { path: path.into() };
        let (parent, name) = split(path).ok_or_else(missing)?;
        let acl = self.retain(acl_file_id);
        let znode = Znode::new(name, data, acl, stat);
        while !self.in_any_order && self.path != parent {
            if self.open.is_empty() {
                self.attach_top();
                self.in_any_order = true;
            } else {
                self.close_last();
            }
        }
        if self.in_any_order {
            return self.tree.attach(path, znode).ok_or_else(missing);
        }
        let size_bytes = size_bytes(path, &znode);
        self.tree.count_in(path, znode.kind(), digest::node(path, &znode), size_bytes);
        let hash = self.tree.key.name(name);
        let parent_len = parent.len();
        self.open.push(Open { hash, znode, children: Vec::new(), parent_len });
        self.path.push('/');
        self.path.push_str(name);
        Ok(())
    }

    /// The tree, with everything up to `zxid` in it; what quotas use is counted anew.
    #[must_use]
    pub fn finish(mut self, zxid: Zxid) -> Tree {
        while !self.open.is_empty() {
            self.close_last();
        }
        self.attach_top();
        self.tree.last_zxid = zxid;
        self.tree.quota_recount_all();
        self.tree
    }

    /// Nothing more comes below the last znode: gives it to its parent.
    fn close_last(&mut self) {
        let Some(Open { hash, mut znode, children, parent_len }) = self.open.pop() else { return };
        if !children.is_empty() {
            znode.below_mut().children = self.dir_of(children);
        }
        self.path.truncate(parent_len);
        let siblings = self.open.last_mut().map_or(&mut self.top, |parent| &mut parent.children);
        siblings.push((hash, znode));
    }

    /// Gives the root its children.
    fn attach_top(&mut self) {
        let top = mem::take(&mut self.top);
        if !top.is_empty() {
            let children = self.dir_of(top);
            self.tree.root.below_mut().children = children;
        }
    }

    /// The children of the znode at the present path.
    fn dir_of(&mut self, children: Vec<Entry>) -> Dir<Znode> {
        // Of equals the last one is the one that came last. Sorting numbers and moving each child
        // once takes half the time of sorting children.
        let number = |(i, (hash, _)): (usize, &Entry)| u64::from(*hash) << 32 | i as u64;
        let mut order: Vec<u64> = children.iter().enumerate().map(number).collect();
        order.sort_unstable();
        let mut unordered: Vec<Option<Entry>> = children.into_iter().map(Some).collect();
        let mut next = |number: u64| unordered.get_mut((number & INDEX_BITS) as usize)?.take();
        let mut children: Vec<Entry> = order.into_iter().filter_map(&mut next).collect();
        if children.windows(2).any(|pair| matches!(pair, [(a, _), (b, _)] if a == b)) {
            children = self.last_of_each(children);
        }
        Dir::from_sorted(children)
    }

    /// Drops what came again later.
    fn last_of_each(&mut self, children: Vec<Entry>) -> Vec<Entry> {
        let mut kept: Vec<Entry> = Vec::with_capacity(children.len());
        for (hash, child) in children {
            let mut equals = kept.iter_mut().rev().take_while(|(other, _)| *other == hash);
            match equals.find(|(_, other)| other.is_named(child.name())) {
                None => kept.push((hash, child)),
                Some((_, place)) => {
                    let old = mem::replace(place, child.clone());
                    let path = [&self.path, "/", child.name()].concat();
                    self.tree.count_out(&path, &old);
                    // That took both from where paths are listed.
                    let mut walk = Walk::below(path, &child);
                    while let Some((path, znode)) = walk.next() {
                        self.tree.list_kind(path, znode.kind());
                    }
                }
            }
        }
        kept
    }

    /// Our number for the file's.
    fn retain(&mut self, file_id: i64) -> AclId {
        if file_id == AclId::OPEN.file_id() {
            return AclId::OPEN;
        }
        if let Some(id) = self.ids.get(&file_id)
            && self.tree.acls.contains(*id)
        {
            self.tree.acls.retain_id(*id);
            return *id;
        }
        let list = self.lists.get(&file_id).map_or(&[][..], |list| list);
        let id = self.tree.acls.retain(self.tree.key, list);
        self.ids.insert(file_id, id);
        id
    }
}

/// Which part of a number that is sorted is the index.
const INDEX_BITS: u64 = (1 << 32) - 1;
