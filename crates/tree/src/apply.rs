//! Applying transactions, one function for each.
//!
//! The same code serves the present and replay. A transaction that was prepared on this very tree
//! always applies cleanly. Replay over a snapshot that was written while updates went on (Java's
//! are) meets transactions whose effect, or whose successors' effect, is already there: the rules
//! below make the end the same. Therefore nothing here can fail but by an [`Outcome::Error`], and
//! nothing panics, whatever the transaction says.

use alloc::vec::Vec;

use ostler_wire::acl::Acl;
use ostler_wire::error::ErrorCode;
use ostler_wire::ids::{SessionId, Zxid};
use ostler_wire::stat::StatPersisted;
use ostler_wire::txn::{CreateKind, CreateTxn, Txn, TxnHeader};

use crate::acl_table::{AclId, AclList};
use crate::changes::{Change, ChangeKind, Outcome};
use crate::digest;
use crate::dir::Entry;
use crate::tree::{Tree, node_mut, size_bytes, split};
use crate::znode::{Kind, Znode};

impl Tree {
    /// Applies a transaction and appends what watches have to hear of it to `changes`.
    ///
    /// What an [`Outcome::Error`] leaves behind, so that replay ends at the same tree:
    /// - a create of what exists gives it the transaction's ACL; if it is a plain create (type 1,
    ///   not create2 and the others) the parent gets the transaction's cversion and its zxid as
    ///   pzxid, if that cversion is greater;
    /// - a delete of what does not exist still raises the parent's pzxid.
    pub fn apply(
        &mut self,
        header: &TxnHeader,
        txn: &Txn<'_>,
        changes: &mut Vec<Change>,
    ) -> Outcome {
        let outcome = match txn {
            Txn::Multi(txns) => self.multi(header, txns, changes),
            Txn::SetAcl { path, acl, version } => self.set_acl(path, acl, *version),
            Txn::CreateSession { timeout_ms } => {
                self.put_session(header.session, *timeout_ms);
                Outcome::SessionCreated
            }
            Txn::CloseSession { paths } => {
                let paths = paths.iter().flatten().map(|path| &**path);
                self.close_session(header.session, header.zxid, paths, changes);
                Outcome::SessionClosed
            }
            Txn::Create(_)
            | Txn::Delete { .. }
            | Txn::SetData { .. }
            | Txn::Check { .. }
            | Txn::Error(_) => self.apply_one(header, txn, changes),
        };
        self.last_zxid = self.last_zxid.max(header.zxid);
        outcome
    }

    /// Deletes the ephemerals of sessions that are not in the table, as a server does when it has
    /// loaded its data; returns how many there were. There is no transaction for it.
    pub fn remove_orphans(&mut self) -> usize {
        let before = self.ephemeral_count();
        let orphaned: Vec<SessionId> = self
            .ephemeral_sessions()
            .filter(|session| self.session_timeout_ms(*session).is_none())
            .collect();
        for session in orphaned {
            self.close_session(session, self.last_zxid, [].into_iter(), &mut Vec::new());
        }
        before - self.ephemeral_count()
    }

    /// Takes znodes with a time to live as release 3.5.3 stored them, with any negative owner, for
    /// what they are, and stores them as later releases do; returns how many there were. There is
    /// no transaction for it.
    ///
    /// An owner whose session is in the table is a session. Until they are adopted, such znodes
    /// are ephemerals of sessions that are not.
    // Java: EphemeralTypeEmulate353, of whose owner only the low 40 bits are the time.
    pub fn adopt_ttls_of_353(&mut self) -> usize {
        let owners: Vec<SessionId> = self
            .ephemeral_sessions()
            .filter(|owner| owner.0 < 0 && self.session_timeout_ms(*owner).is_none())
            .collect();
        let mut adopted = 0;
        for owner in owners {
            let ttl = Kind::Ttl { ms: owner.0 & Kind::TTL_MS_MAX }.to_owner();
            for path in self.ephemerals.take(self.key, owner).iter() {
                let Some(znode) = node_mut(&mut self.root, self.key, path) else { continue };
                let before = digest::node(path, znode);
                znode.set_leaf(znode.leaf().with_numbers(|numbers| numbers.owner = ttl));
                let digest_change = digest::node(path, znode).wrapping_sub(before);
                self.digest = self.digest.wrapping_add(digest_change);
                self.add_ttl(path);
                adopted += 1;
            }
        }
        adopted
    }

    /// What can stand alone and in a multi.
    fn apply_one(
        &mut self,
        header: &TxnHeader,
        txn: &Txn<'_>,
        changes: &mut Vec<Change>,
    ) -> Outcome {
        match txn {
            Txn::Create(create) => self.create(header, create, changes),
            Txn::Delete { path, .. } => self.delete(path, header.zxid, changes),
            Txn::SetData { path, data, version, .. } => {
                self.set_data(header, path, *data, *version, changes)
            }
            Txn::Check { .. } => Outcome::Checked,
            Txn::Error(code) => Outcome::Error(*code),
            // No multi holds these, and the decoder refuses one that does.
            Txn::SetAcl { .. }
            | Txn::CreateSession { .. }
            | Txn::CloseSession { .. }
            | Txn::Multi(_) => Outcome::Error(ErrorCode::UNIMPLEMENTED),
        }
    }

    fn multi(
        &mut self,
        header: &TxnHeader,
        txns: &[Txn<'_>],
        changes: &mut Vec<Change>,
    ) -> Outcome {
        let failed_at = txns.iter().position(|txn| matches!(txn, Txn::Error(_)));
        let Some(failed_at) = failed_at else {
            let apply = |txn| self.apply_one(header, txn, changes);
            return Outcome::Multi(txns.iter().map(apply).collect());
        };
        let error = |(i, txn): (usize, &Txn<'_>)| match txn {
            Txn::Error(code) => Outcome::Error(*code),
            _ if i < failed_at => Outcome::Error(ErrorCode::OK),
            _ => Outcome::Error(ErrorCode::RUNTIME_INCONSISTENCY),
        };
        Outcome::Multi(txns.iter().enumerate().map(error).collect())
    }

    fn create(
        &mut self,
        header: &TxnHeader,
        create: &CreateTxn<'_>,
        changes: &mut Vec<Change>,
    ) -> Outcome {
        let path: &str = &create.path;
        let Some((parent_path, name)) = split(path) else {
            // The root exists; anything else has no place.
            let Some(acl) = self.node(path).map(Znode::acl_id) else {
                return Outcome::Error(ErrorCode::NO_NODE);
            };
            return self.create_existing(header, create, "", acl);
        };
        let (key, hash) = (self.key, self.key.name(name));
        let Some(parent) = node_mut(&mut self.root, key, parent_path) else {
            return Outcome::Error(ErrorCode::NO_NODE);
        };
        if let Some(child) = parent.child(hash, name) {
            let acl = child.acl_id();
            return self.create_existing(header, create, parent_path, acl);
        }
        let parent_acl = parent.acl_id();
        let acl = self.acls.retain(key, &create.acl);
        let child = Znode::new(name, create.data, acl, &first_stat(header, create.kind));
        let (stat, kind) = (child.stat(), child.kind());
        let (digest, size_bytes) = (digest::node(path, &child), size_bytes(path, &child));
        let (cversion, zxid) = (create.parent_cversion, header.zxid);
        let digest_change = take_in(parent_path, parent, (hash, child), cversion, zxid);
        self.digest = self.digest.wrapping_add(digest_change);
        self.count_in(path, kind, digest, size_bytes);
        self.quota_create(path, create.data);
        changes.push(Change {
            kind: ChangeKind::Created,
            path: path.into(),
            acl: self.acls.shared_list(acl),
            parent_acl: self.acls.shared_list(parent_acl),
        });
        Outcome::Created(stat)
    }

    /// Replay of a create whose znode, perhaps a later one of the same name, is there already.
    fn create_existing(
        &mut self,
        header: &TxnHeader,
        create: &CreateTxn<'_>,
        parent_path: &str,
        old_acl: AclId,
    ) -> Outcome {
        let key = self.key;
        let acl = self.acls.retain(key, &create.acl);
        if let Some(znode) = node_mut(&mut self.root, key, &create.path) {
            znode.set_leaf(znode.leaf().with_numbers(|numbers| numbers.acl = acl));
        }
        self.acls.release(key, old_acl);
        // Java: DataTree.processTxn adjusts the parent for OpCode.create only. The znode may have
        // been deleted with its session and made anew by another after the parent was written.
        if matches!(create.kind, CreateKind::Plain { .. })
            && let Some(parent) = node_mut(&mut self.root, key, parent_path)
        {
            let before = digest::node(parent_path, parent);
            raise_cversion(parent, create.parent_cversion, header.zxid);
            let digest_change = note_change(parent_path, parent, before);
            self.digest = self.digest.wrapping_add(digest_change);
        }
        Outcome::Error(ErrorCode::NODE_EXISTS)
    }

    fn delete(&mut self, path: &str, zxid: Zxid, changes: &mut Vec<Change>) -> Outcome {
        let Some((parent_path, name)) = split(path) else {
            return Outcome::Error(ErrorCode::NO_NODE);
        };
        let (key, hash) = (self.key, self.key.name(name));
        let Some(parent) = node_mut(&mut self.root, key, parent_path) else {
            return Outcome::Error(ErrorCode::NO_NODE);
        };
        let parent_acl = parent.acl_id();
        let parent_digest = digest::node(parent_path, parent);
        let below = parent.below_mut();
        let removed = below.children.remove(hash, |child| child.is_named(name));
        below.pzxid = below.pzxid.max(zxid);
        let digest_change = note_change(parent_path, parent, parent_digest);
        self.digest = self.digest.wrapping_add(digest_change);
        let Some(removed) = removed else {
            return Outcome::Error(ErrorCode::NO_NODE);
        };
        changes.push(Change {
            kind: ChangeKind::Deleted,
            path: path.into(),
            acl: self.acls.shared_list(removed.acl_id()),
            parent_acl: self.acls.shared_list(parent_acl),
        });
        self.count_out(path, &removed);
        self.quota_delete(path, &removed);
        Outcome::Deleted
    }

    fn set_data(
        &mut self,
        header: &TxnHeader,
        path: &str,
        data: Option<&[u8]>,
        version: i32,
        changes: &mut Vec<Change>,
    ) -> Outcome {
        let path = if path == "/" { "" } else { path };
        let Some(znode) = node_mut(&mut self.root, self.key, path) else {
            return Outcome::Error(ErrorCode::NO_NODE);
        };
        let before = digest::node(path, znode);
        let old_bytes = znode.data().map_or(0, <[u8]>::len);
        let leaf = znode.leaf().with_data(data, |numbers| {
            numbers.mtime = header.time;
            numbers.mzxid = header.zxid;
            numbers.version = version;
        });
        znode.set_leaf(leaf);
        let digest_change = digest::node(path, znode).wrapping_sub(before);
        let (stat, acl) = (znode.stat(), znode.acl_id());
        self.digest = self.digest.wrapping_add(digest_change);
        self.resize(old_bytes, data.map_or(0, <[u8]>::len));
        self.quota_set(path, old_bytes, data);
        changes.push(Change {
            kind: ChangeKind::DataChanged,
            path: if path.is_empty() { "/" } else { path }.into(),
            acl: self.acls.shared_list(acl),
            parent_acl: AclList::default(),
        });
        Outcome::DataSet(stat)
    }

    fn set_acl(&mut self, path: &str, list: &[Acl], version: i32) -> Outcome {
        let path = if path == "/" { "" } else { path };
        if self.node(path).is_none() {
            return Outcome::Error(ErrorCode::NO_NODE);
        }
        let acl = self.acls.retain(self.key, list);
        let Some(znode) = node_mut(&mut self.root, self.key, path) else {
            return Outcome::Error(ErrorCode::NO_NODE);
        };
        let before = digest::node(path, znode);
        let old_acl = znode.acl_id();
        let leaf = znode.leaf().with_numbers(|numbers| {
            numbers.acl = acl;
            numbers.aversion = version;
        });
        znode.set_leaf(leaf);
        let digest_change = digest::node(path, znode).wrapping_sub(before);
        let stat = znode.stat();
        self.digest = self.digest.wrapping_add(digest_change);
        self.acls.release(self.key, old_acl);
        Outcome::AclSet(stat)
    }

    /// First what the transaction lists, in its order, then what it should have listed.
    fn close_session<'p>(
        &mut self,
        session: SessionId,
        zxid: Zxid,
        listed: impl Iterator<Item = &'p str>,
        changes: &mut Vec<Change>,
    ) {
        self.remove_session(session);
        let mut owned = self.ephemerals.take(self.key, session);
        for path in listed {
            self.delete(path, zxid, changes);
            owned.remove(self.key, path);
        }
        for path in owned.iter() {
            self.delete(path, zxid, changes);
        }
    }
}

/// Puts a new child below its parent, and returns by how much the parent's digest has changed.
pub(crate) fn take_in(
    path: &str,
    parent: &mut Znode,
    (hash, child): Entry<Znode>,
    cversion: i32,
    zxid: Zxid,
) -> u64 {
    let before = digest::node(path, parent);
    raise_cversion(parent, cversion, zxid);
    parent.below_mut().children.insert(hash, child);
    note_change(path, parent, before)
}

/// Notes the digest of a parent that was changed, and returns by how much it has.
fn note_change(path: &str, parent: &mut Znode, before: u64) -> u64 {
    let digest = digest::node(path, parent);
    parent.note_digest(digest);
    digest.wrapping_sub(before)
}

/// The rule for a parent's cversion and pzxid: both, or neither when the tree is ahead already.
fn raise_cversion(parent: &mut Znode, to: i32, zxid: Zxid) {
    // -1 means one more. At i32::MAX one more is less, so the number stays.
    let below = parent.below_mut();
    let to = if to == -1 { below.cversion.wrapping_add(1) } else { to };
    if to > below.cversion {
        below.cversion = to;
        below.pzxid = zxid;
    }
}

/// The stat of a znode that was just created.
pub(crate) fn first_stat(header: &TxnHeader, kind: CreateKind) -> StatPersisted {
    let kind = match kind {
        CreateKind::Plain { ephemeral: true } | CreateKind::WithStat { ephemeral: true } => {
            Kind::Ephemeral(header.session)
        }
        CreateKind::Plain { .. } | CreateKind::WithStat { .. } => Kind::Persistent,
        CreateKind::Container => Kind::Container,
        CreateKind::Ttl { ttl_ms } => Kind::Ttl { ms: ttl_ms },
    };
    StatPersisted {
        czxid: header.zxid,
        mzxid: header.zxid,
        pzxid: header.zxid,
        ctime: header.time,
        mtime: header.time,
        ephemeral_owner: kind.to_owner(),
        ..StatPersisted::default()
    }
}
