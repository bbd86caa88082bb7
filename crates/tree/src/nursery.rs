//! Creates made ready beside the tree.
//!
//! Most of a create needs nothing of the tree: the znode with its leaf, the hash of its name, its
//! digest. Recovery makes them on the thread that reads the log and leaves to the one that holds
//! the tree what cannot be done elsewhere. The tree is the same either way.
//!
//! Only what is as usual goes this way. Where a create meets anything else - a znode that is there
//! already, no parent, a quota - [`Tree::plant`] does nothing, and [`Tree::apply`] takes it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use ostler_wire::acl::Acl;
use ostler_wire::ids::Zxid;
use ostler_wire::jute::Reader;
use ostler_wire::txn::CreateRecord;

use crate::acl_table::{AclId, AclTable};
use crate::apply::{first_stat, take_in};
use crate::digest;
use crate::hash::HashKey;
use crate::tree::{Tree, components, size_bytes, split};
use crate::znode::{Kind, Znode};

/// Makes znodes for creates that a tree will hear of later.
pub struct Nursery {
    key: HashKey,
    /// Numbers lists as the tree will, as long as nothing but creates comes.
    acls: AclTable,
    /// The list that came last, as it stood in the record.
    bytes: Vec<u8>,
    list: Arc<[Acl]>,
}

/// A znode that was made before the tree has a place for it.
pub struct Seedling {
    /// There until it is planted.
    znode: Option<Znode>,
    kind: Kind,
    parents: Parents,
    digest: u64,
    size_bytes: u64,
    hash: u32,
    /// What the list of the znode will probably be called.
    acl: AclId,
    parent_cversion: i32,
}

/// Hashes of the first names along the path of a parent.
#[derive(Default)]
struct Parents([u32; PARENTS]);

const PARENTS: usize = 4;

impl Parents {
    fn of(key: HashKey, path: &str) -> Option<Self> {
        let mut hashes = Self::default();
        for (hash, name) in hashes.0.iter_mut().zip(components(path)?) {
            *hash = key.name(name);
        }
        Some(hashes)
    }

    /// The names along `path` with their hashes; `None` if no znode can be there.
    fn along<'p>(
        &self,
        key: HashKey,
        path: &'p str,
    ) -> Option<impl Iterator<Item = (u32, &'p str)>> {
        let with_hash =
            move |(i, name)| (self.0.get(i).copied().unwrap_or_else(|| key.name(name)), name);
        Some(components(path)?.enumerate().map(with_hash))
    }
}

impl Nursery {
    /// Makes the znode of a create, with its list. `None` if there is something unusual about it.
    pub fn raise(&mut self, create: &CreateRecord<'_>) -> Option<(Seedling, &Arc<[Acl]>)> {
        let path = &*create.path;
        let (parent_path, name) = split(path).filter(|_| !path.starts_with(OWN_PREFIX))?;
        if create.acl != self.bytes {
            self.list = Acl::read_list(&mut Reader::new(create.acl)).ok()?.into();
            self.bytes = create.acl.to_vec();
        }
        let acl = self.acls.retain(self.key, &self.list);
        let znode = Znode::new(name, create.data, acl, &first_stat(&create.header, create.kind));
        let seedling = Seedling {
            kind: znode.kind(),
            digest: digest::node(path, &znode),
            size_bytes: size_bytes(path, &znode),
            hash: self.key.name(name),
            parents: Parents::of(self.key, parent_path)?,
            znode: Some(znode),
            acl,
            parent_cversion: create.parent_cversion,
        };
        Some((seedling, &self.list))
    }
}

impl Tree {
    /// Makes znodes for this tree, on any thread and while the tree goes on.
    #[must_use]
    pub fn nursery(&self) -> Nursery {
        // No list has no bytes.
        let (bytes, list) = (Vec::new(), [].into());
        Nursery { key: self.key, acls: self.acls.clone(), bytes, list }
    }

    /// Applies a create whose znode was made before, for a tree on which nobody has a watch. False
    /// if there is something unusual about it: then nothing has happened, and [`Tree::apply`] knows
    /// what to do.
    #[must_use]
    pub fn plant(&mut self, zxid: Zxid, path: &str, list: &[Acl], seedling: &mut Seedling) -> bool {
        let Some((parent_path, name)) = split(path) else { return false };
        let Some(names) = seedling.parents.along(self.key, parent_path) else { return false };
        if self.quota_count > 0 {
            return false;
        }
        let mut parent = &mut self.root;
        for (hash, name) in names {
            let Some(next) = parent.child_mut(hash, name) else { return false };
            parent = next;
        }
        if parent.child(seedling.hash, name).is_some() {
            return false;
        }
        let Some(mut znode) = seedling.znode.take() else { return false };
        let acl = self.acls.retain(self.key, list);
        if acl != seedling.acl {
            znode.set_leaf(znode.leaf().with_numbers(|numbers| numbers.acl = acl));
        }
        let child = (seedling.hash, znode);
        let digest_change = take_in(parent_path, parent, child, seedling.parent_cversion, zxid);
        self.digest = self.digest.wrapping_add(digest_change);
        self.count_in(path, seedling.kind, seedling.digest, seedling.size_bytes);
        self.last_zxid = self.last_zxid.max(zxid);
        true
    }
}

/// What is below here has effects of its own.
const OWN_PREFIX: &str = "/zookeeper/";
