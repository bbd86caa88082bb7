//! Building a tree from the pieces of a snapshot.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use ostler_wire::acl::Acl;
use ostler_wire::ids::{SessionId, Zxid};
use ostler_wire::stat::StatPersisted;

use crate::acl_table::AclId;
use crate::tree::{Tree, split};
use crate::znode::Znode;

/// Takes sessions, then ACL lists, then znodes, parents before children, in the order in which a
/// snapshot has them.
pub struct Builder {
    tree: Tree,
    /// Lists by their number in the file. Numbers are local to a server; ours are given anew.
    lists: BTreeMap<i64, Vec<Acl>>,
    /// Numbers that were met, with ours.
    ids: BTreeMap<i64, AclId>,
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
        Self { tree: Tree::root_only(hash_key), lists: BTreeMap::new(), ids: BTreeMap::new() }
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
        let (_, name) = split(path).ok_or_else(missing)?;
        let acl = self.retain(acl_file_id);
        self.tree.attach(path, Znode::new(name, data, acl, stat)).ok_or_else(missing)
    }

    /// The tree, with everything up to `zxid` in it; what quotas use is counted anew.
    #[must_use]
    pub fn finish(mut self, zxid: Zxid) -> Tree {
        self.tree.last_zxid = zxid;
        self.tree.quota_recount_all();
        self.tree
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
