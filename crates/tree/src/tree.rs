//! `Tree`: the value, and how to look things up in it.

use alloc::string::String;
use alloc::vec::Vec;
use core::mem;

use ostler_wire::acl::Acl;
use ostler_wire::ids::{SessionId, WallMs, Zxid};
use ostler_wire::stat::StatPersisted;

use crate::acl_table::{AclId, AclTable};
use crate::digest;
use crate::dir::{Dir, Iter};
use crate::ephemerals::{Ephemerals, PathSet, session_hash};
use crate::hash::HashKey;
use crate::quota;
use crate::znode::{Kind, Znode};

/// All that a server has agreed on: znodes, sessions, ACL lists, and how far history has come.
///
/// A clone costs a few reference counts and never changes when the original does.
#[derive(Clone)]
pub struct Tree {
    pub(crate) root: Znode,
    pub(crate) acls: AclTable,
    pub(crate) ephemerals: Ephemerals,
    pub(crate) sessions: Dir<Session>,
    pub(crate) last_zxid: Zxid,
    // Invariant: the sum of digest::node over all znodes.
    pub(crate) digest: u64,
    pub(crate) key: HashKey,
    containers: PathSet,
    ttls: PathSet,
    // Invariant: the number of znodes that register a quota.
    pub(crate) quota_count: usize,
    // Invariant: the number of znodes, the root included once.
    znode_count: usize,
    data_size_bytes: u64,
}

const _: () = {
    const fn is_shareable<T: Clone + Send + Sync>() {}
    is_shareable::<Tree>();
};

#[derive(Clone, Copy)]
pub(crate) struct Session {
    id: SessionId,
    timeout_ms: i32,
}

impl Tree {
    /// The tree of a server that has no data yet: `/`, `/zookeeper`, `/zookeeper/quota` and
    /// `/zookeeper/config`, at zxid 0.
    ///
    /// `hash_key` should be secret and random; equal keys give equal orders of children.
    #[must_use]
    pub fn fresh(hash_key: u64) -> Self {
        let mut tree = Self::root_only(hash_key);
        let zero = StatPersisted::default();
        // Java: DataTree.addConfigNode sets the list with version -1, and that stays visible.
        let config = StatPersisted { aversion: -1, ..zero };
        let read_only = tree.acls.retain(tree.key, &Acl::read_only());
        for (path, name, acl, stat) in [
            ("/zookeeper", "zookeeper", AclId::OPEN, &zero),
            ("/zookeeper/quota", "quota", AclId::OPEN, &zero),
            ("/zookeeper/config", "config", read_only, &config),
        ] {
            let znode = Znode::new(name, Some(b""), acl, stat);
            tree.attach(path, znode).expect("the parent was made before");
        }
        tree
    }

    /// A tree of the root alone.
    pub(crate) fn root_only(hash_key: u64) -> Self {
        let root = Znode::new("", Some(b""), AclId::OPEN, &StatPersisted::default());
        Self {
            digest: digest::node("", &root),
            root,
            acls: AclTable::new(),
            ephemerals: Ephemerals::default(),
            sessions: Dir::Empty,
            last_zxid: Zxid::ZERO,
            key: HashKey::new(hash_key),
            containers: PathSet::default(),
            ttls: PathSet::default(),
            quota_count: 0,
            znode_count: 1,
            data_size_bytes: 0,
        }
    }

    /// The last transaction that was applied.
    #[must_use]
    pub fn last_zxid(&self) -> Zxid {
        self.last_zxid
    }

    /// Says how far history has come although no transaction came with it: a new epoch has begun,
    /// or what lay behind was dropped.
    pub fn set_last_zxid(&mut self, zxid: Zxid) {
        self.last_zxid = zxid;
    }

    /// Gives `/zookeeper/config` the configuration of an ensemble. There is no transaction for it,
    /// and no digest shows it: each server has its own.
    // Java: DataTree.setData with version -1, called by ZKDatabase.initConfigInZKDatabase.
    pub fn set_config(&mut self, text: &str, version: i64, time: WallMs) {
        const PATH: &str = "/zookeeper/config";
        if self.node(PATH).is_none() {
            let stat = StatPersisted { aversion: -1, ..StatPersisted::default() };
            let acl = self.acls.retain(self.key, &Acl::read_only());
            if self.attach(PATH, Znode::new("config", Some(b""), acl, &stat)).is_none() {
                self.acls.release(self.key, acl);
            }
        }
        // Without `/zookeeper` there is no place for it.
        let Some(znode) = node_mut(&mut self.root, self.key, PATH) else { return };
        let old_bytes = znode.data().map_or(0, <[u8]>::len);
        let leaf = znode.leaf().with_data(Some(text.as_bytes()), |numbers| {
            numbers.mtime = time;
            numbers.mzxid = Zxid(version);
            numbers.version = -1;
        });
        znode.set_leaf(leaf);
        self.resize(old_bytes, text.len());
    }

    /// The znode at a path; both `""` and `"/"` are the root. Never an error: nothing is found at
    /// a path that cannot be.
    #[must_use]
    pub fn node(&self, path: &str) -> Option<&Znode> {
        let mut znode = &self.root;
        for name in components(path)? {
            znode = znode.child(self.key.name(name), name)?;
        }
        Some(znode)
    }

    /// The same for a path whose parent the caller has looked up.
    #[must_use]
    pub fn node_below<'z>(&'z self, parent: &'z Znode, path: &str) -> Option<&'z Znode> {
        match split(path) {
            Some((_, name)) => parent.child(self.key.name(name), name),
            None => self.node(path),
        }
    }

    /// Number of znodes as Java's servers tell it; 5 in a fresh tree.
    ///
    /// Java: `DataTree.getNodeCount` is the size of a map that has the root as `""` and as `"/"`.
    #[must_use]
    pub fn node_count(&self) -> usize {
        self.znode_count + 1
    }

    /// The sum of the digests of all znodes, as leaders put it into transactions.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// Lengths of all paths (in UTF-16 units) and of all data; 44 in a fresh tree.
    ///
    /// Java: `DataTree.cachedApproximateDataSize`, where `"/"` counts 1 beside the root's `""`.
    #[must_use]
    pub fn data_size_bytes(&self) -> u64 {
        self.data_size_bytes + 1
    }

    /// The timeout of a session that is in the table.
    #[must_use]
    pub fn session_timeout_ms(&self, session: SessionId) -> Option<i32> {
        let hash = session_hash(self.key, session);
        Some(self.sessions.find(hash, |have| have.id == session)?.timeout_ms)
    }

    /// All sessions of the table with their timeouts in milliseconds.
    pub fn sessions(&self) -> impl ExactSizeIterator<Item = (SessionId, i32)> {
        self.sessions.iter().map(|session| (session.id, session.timeout_ms))
    }

    /// Number of sessions in the table.
    #[must_use]
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// Full paths of a session's ephemerals.
    pub fn ephemerals(&self, session: SessionId) -> impl Iterator<Item = &str> {
        self.ephemerals.of(self.key, session)
    }

    /// Sessions that own an ephemeral, whether or not they are in the table.
    pub fn ephemeral_sessions(&self) -> impl Iterator<Item = SessionId> {
        self.ephemerals.sessions()
    }

    /// Number of ephemerals of all sessions.
    #[must_use]
    pub fn ephemeral_count(&self) -> usize {
        self.ephemerals.count()
    }

    /// Full paths of all containers.
    pub fn containers(&self) -> impl Iterator<Item = &str> {
        self.containers.iter()
    }

    /// Full paths of all znodes with a time to live.
    pub fn ttls(&self) -> impl Iterator<Item = &str> {
        self.ttls.iter()
    }

    /// The same in slices: calls `each` for about `count` paths from `mark` on, which is 0 at
    /// first, and returns the next mark, `None` at the end. A mark holds for later trees too: what
    /// was there all the time is met once.
    pub fn visit_containers(
        &self,
        mark: u64,
        count: usize,
        mut each: impl FnMut(&str),
    ) -> Option<u64> {
        visit(&self.containers, mark, count, &mut each)
    }

    /// [`Tree::ttls`] in slices; see [`Tree::visit_containers`].
    pub fn visit_ttls(&self, mark: u64, count: usize, mut each: impl FnMut(&str)) -> Option<u64> {
        visit(&self.ttls, mark, count, &mut each)
    }

    /// The list that a znode's number stands for. It is empty, so that it allows nothing, when a
    /// damaged snapshot did not say.
    #[must_use]
    pub fn acl(&self, id: AclId) -> &[Acl] {
        self.acls.list(id)
    }

    /// The table for a snapshot: number (1 and more) and list. Znodes refer to it by
    /// [`AclId::file_id`].
    pub fn acl_lists(&self) -> impl Iterator<Item = (i64, &[Acl])> {
        self.acls.iter().map(|(id, list)| (id.file_id(), list))
    }

    /// All znodes, parents before children, the root first.
    #[must_use]
    pub fn walk(&self) -> Walk<'_> {
        Walk::below(String::new(), &self.root)
    }

    /// The same for the znode at `path` and what is below it.
    #[must_use]
    pub fn walk_below(&self, path: &str) -> Option<Walk<'_>> {
        let znode = self.node(path)?;
        Some(Walk::below(String::from(path.trim_end_matches('/')), znode))
    }

    /// Adds a znode whose list was retained before; one that is there already goes with all below
    /// it. The parent's stat is the caller's business. `None` if there is no parent.
    pub(crate) fn attach(&mut self, path: &str, znode: Znode) -> Option<()> {
        let (parent_path, name) = split(path)?;
        let hash = self.key.name(name);
        let (kind, digest) = (znode.kind(), digest::node(path, &znode));
        let size_bytes = size_bytes(path, &znode);
        let parent = node_mut(&mut self.root, self.key, parent_path)?;
        let children = &mut parent.below_mut().children;
        let old = children.remove(hash, |child| child.is_named(name));
        children.insert(hash, znode);
        if let Some(old) = old {
            self.count_out(path, &old);
        }
        self.count_in(path, kind, digest, size_bytes);
        Some(())
    }

    /// Gives the root other contents; its children stay.
    pub(crate) fn replace_root(&mut self, mut root: Znode) {
        root.take_children(&mut self.root);
        let (kind, digest) = (root.kind(), digest::node("", &root));
        let size_bytes = size_bytes("", &root);
        let old = mem::replace(&mut self.root, root);
        self.count_out("", &old);
        self.count_in("", kind, digest, size_bytes);
    }

    /// Everything that has to be known of a new znode besides its place.
    pub(crate) fn count_in(&mut self, path: &str, kind: Kind, digest: u64, size_bytes: u64) {
        self.digest = self.digest.wrapping_add(digest);
        self.znode_count += 1;
        self.data_size_bytes += size_bytes;
        self.quota_count += usize::from(quota::is_limits(path));
        self.list_kind(path, kind);
    }

    /// The part of [`Tree::count_in`] that changes nothing when it is done twice.
    pub(crate) fn list_kind(&mut self, path: &str, kind: Kind) {
        match kind {
            Kind::Persistent => {}
            Kind::Ephemeral(session) => self.ephemerals.insert(self.key, session, path),
            Kind::Container => drop(self.containers.insert(self.key, path)),
            Kind::Ttl { .. } => drop(self.ttls.insert(self.key, path)),
        }
    }

    /// The opposite of [`Tree::count_in`], for a znode that was unlinked and all below it.
    ///
    /// There is something below it only when a transaction is replayed over a snapshot that is
    /// ahead of it; the znodes below then come again with later transactions.
    pub(crate) fn count_out(&mut self, path: &str, znode: &Znode) {
        let mut walk = Walk::below(String::from(path), znode);
        while let Some((path, znode)) = walk.next() {
            self.digest = self.digest.wrapping_sub(digest::node(path, znode));
            self.znode_count -= 1;
            self.data_size_bytes -= size_bytes(path, znode);
            self.quota_count -= usize::from(quota::is_limits(path));
            self.acls.release(self.key, znode.acl_id());
            match znode.kind() {
                Kind::Persistent => {}
                Kind::Ephemeral(session) => self.ephemerals.remove(self.key, session, path),
                Kind::Container => drop(self.containers.remove(self.key, path)),
                Kind::Ttl { .. } => drop(self.ttls.remove(self.key, path)),
            }
        }
    }

    /// Notes a znode that has got a time to live.
    pub(crate) fn add_ttl(&mut self, path: &str) {
        self.ttls.insert(self.key, path);
    }

    /// Accounts for a change of a znode's data.
    pub(crate) fn resize(&mut self, old_bytes: usize, new_bytes: usize) {
        self.data_size_bytes -= old_bytes as u64;
        self.data_size_bytes += new_bytes as u64;
    }

    pub(crate) fn put_session(&mut self, session: SessionId, timeout_ms: i32) {
        let hash = session_hash(self.key, session);
        match self.sessions.find_mut(hash, |have| have.id == session) {
            Some(have) => have.timeout_ms = timeout_ms,
            None => self.sessions.insert(hash, Session { id: session, timeout_ms }),
        }
    }

    pub(crate) fn remove_session(&mut self, session: SessionId) {
        self.sessions.remove(session_hash(self.key, session), |have| have.id == session);
    }
}

/// Where it stands, not what it holds: trees have millions of znodes.
impl core::fmt::Debug for Tree {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Tree")
            .field("last_zxid", &self.last_zxid())
            .field("node_count", &self.node_count())
            .finish_non_exhaustive()
    }
}

/// Marks are hashes; nothing is behind the last one.
fn visit(set: &PathSet, mark: u64, count: usize, each: &mut impl FnMut(&str)) -> Option<u64> {
    set.visit(u32::try_from(mark).ok()?, count, each).map(u64::from)
}

/// The names along a path, none for the root; `None` if no znode can be there.
pub(crate) fn components(path: &str) -> Option<Components<'_>> {
    let rest = match path {
        "" | "/" => None,
        _ => Some(path.strip_prefix('/')?),
    };
    Some(Components { rest })
}

/// See [`components`].
pub(crate) struct Components<'p> {
    rest: Option<&'p str>,
}

impl<'p> Iterator for Components<'p> {
    type Item = &'p str;

    // Names are short: `str::split` prepares for long texts, and takes several times as long.
    #[inline]
    fn next(&mut self) -> Option<&'p str> {
        let rest = self.rest.take()?;
        let Some(at) = rest.bytes().position(|byte| byte == b'/') else { return Some(rest) };
        self.rest = Some(&rest[at + 1..]);
        Some(&rest[..at])
    }
}

/// Parent and name: `/a/b` is `/a` and `b`, `/a` is the root, `""`, and `a`. `None` for the root
/// and for what is not a path.
pub(crate) fn split(path: &str) -> Option<(&str, &str)> {
    // Names are short: `str::rsplit_once` prepares for long ones, and takes several times as long.
    let at = path.bytes().rposition(|byte| byte == b'/')?;
    let (parent, name) = (&path[..at], &path[at + 1..]);
    // "//a" is no other name for "/a".
    let is_parent = parent.is_empty() || (parent.starts_with('/') && parent.len() > 1);
    (is_parent && !name.is_empty()).then_some((parent, name))
}

/// The same as [`Tree::node`] for changing: copies what is shared on the way.
pub(crate) fn node_mut<'t>(root: &'t mut Znode, key: HashKey, path: &str) -> Option<&'t mut Znode> {
    let mut znode = root;
    for name in components(path)? {
        znode = znode.child_mut(key.name(name), name)?;
    }
    Some(znode)
}

/// What a znode adds to [`Tree::data_size_bytes`].
pub(crate) fn size_bytes(path: &str, znode: &Znode) -> u64 {
    // Java: String.length counts UTF-16 units.
    let path_units = if path.is_ascii() { path.len() } else { path.encode_utf16().count() };
    (path_units + znode.data().map_or(0, <[u8]>::len)) as u64
}

/// Goes through znodes with their paths; see [`Tree::walk`].
pub struct Walk<'a> {
    path: String,
    /// The znode that the walk starts with, until it was handed out.
    first: Option<&'a Znode>,
    /// For each level the children still to come and the length of their parent's path.
    levels: Vec<(Iter<'a, Znode>, usize)>,
}

impl<'a> Walk<'a> {
    pub(crate) fn below(path: String, znode: &'a Znode) -> Self {
        Self { path, first: Some(znode), levels: Vec::new() }
    }

    /// The next znode and its path, which is `""` for the root.
    // Not an `Iterator`: the path is lent until the next call.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<(&str, &'a Znode)> {
        let znode = match self.first.take() {
            Some(znode) => znode,
            None => self.next_child()?,
        };
        if znode.child_count() > 0 {
            self.levels.push((znode.child_iter(), self.path.len()));
        }
        Some((&self.path, znode))
    }

    fn next_child(&mut self) -> Option<&'a Znode> {
        loop {
            let (children, parent_len) = self.levels.last_mut()?;
            self.path.truncate(*parent_len);
            if let Some(child) = children.next() {
                self.path.push('/');
                self.path.push_str(child.name());
                return Some(child);
            }
            self.levels.pop();
        }
    }
}
