//! From a request to a transaction: every check that a write has to pass, in ZooKeeper's order.
//!
//! The first check that fails decides the error, so the order is part of the protocol
//! (`PrepRequestProcessor`). Checks see the head tree: all that was proposed, committed or not.

use alloc::format;
use alloc::vec::Vec;

use ostler_tree::{Kind, Outcome, Tree, Znode};
use ostler_wire::acl::{Id, Perms};
use ostler_wire::error::ErrorCode;
use ostler_wire::jute::Text;
use ostler_wire::op::OpCode;
use ostler_wire::path;
use ostler_wire::request::{CreateRequest, Request};
use ostler_wire::txn::{CreateKind, CreateTxn, Txn, TxnHeader};

use super::quota::{Growth, QuotaJudge};
use crate::auth;
use crate::limits::{AUTH_ENTRIES_MAX_BYTES, Settings};

/// What a request is judged by.
#[derive(Clone, Copy)]
pub(super) struct Judge<'s> {
    /// Everything proposed so far.
    pub(super) head: &'s Tree,
    pub(super) settings: &'s Settings,
    /// Who asks.
    pub(super) ids: &'s [Id],
    /// Why the session may make no ephemerals, if it may not.
    pub(super) no_ephemerals: Option<ErrorCode>,
    pub(super) quota: QuotaJudge<'s>,
}

impl Judge<'_> {
    /// The transaction that `request` becomes, or why it is refused.
    pub(super) fn prepare<'r>(&self, request: Request<'r>) -> Result<Txn<'r>, ErrorCode> {
        let op = request.op();
        match request {
            Request::Create(create)
            | Request::Create2(create)
            | Request::CreateContainer(create)
            | Request::CreateTtl(create) => self.create(op, create),
            Request::Delete { path, version } => self.delete(path, version),
            Request::SetData { path, data, version } => {
                let znode = self.valid(&path, Perms::WRITE)?;
                let bytes = length(data) - length(znode.data());
                self.quota.check(&path, Growth { count: 0, bytes })?;
                let version = next_version(znode.stat().version, version)?;
                Ok(Txn::SetData { path, data, version, reconfig: false })
            }
            Request::SetAcl { path, acl, version } => {
                path::validate(&path).map_err(|_| ErrorCode::BAD_ARGUMENTS)?;
                let acl = auth::check_list(&self.settings.auth, acl.as_deref(), self.ids)?;
                let znode = self.valid(&path, Perms::ADMIN)?;
                let version = next_version(znode.stat().aversion, version)?;
                Ok(Txn::SetAcl { path, acl, version })
            }
            Request::Check { path, version } => {
                let znode = self.valid(&path, Perms::READ)?;
                let version = next_version(znode.stat().version, version)?;
                Ok(Txn::Check { path, version })
            }
            _ => Err(ErrorCode::UNIMPLEMENTED),
        }
    }

    /// The transaction of a whole multi: all of its parts, or the error of the first that fails.
    ///
    /// Each part sees what those before it would do, on a clone that nobody else gets to see.
    pub(super) fn multi<'r>(&self, header: &TxnHeader, parts: Vec<Request<'r>>) -> Txn<'r> {
        let mut ahead = self.head.clone();
        let mut txns = Vec::with_capacity(parts.len());
        let mut failed = false;
        let mut acl_room_bytes = self.settings.frame_max_bytes + AUTH_ENTRIES_MAX_BYTES;
        for part in parts {
            if failed {
                txns.push(Txn::Error(ErrorCode::RUNTIME_INCONSISTENCY));
                continue;
            }
            let prepared = (Judge { head: &ahead, ..*self }).prepare(part);
            match prepared.and_then(|txn| with_acl_room(txn, &mut acl_room_bytes)) {
                Ok(txn) => {
                    let outcome = ahead.apply(header, &txn, &mut Vec::new());
                    assert!(!matches!(outcome, Outcome::Error(_)), "a prepared part applies");
                    txns.push(txn);
                }
                Err(err) => {
                    failed = true;
                    txns.push(Txn::Error(err));
                }
            }
        }
        Txn::Multi(txns)
    }

    /// What a request is told whose session may not ask for anything, for this reason.
    pub(super) fn refused(&self, request: &Request<'_>, err: ErrorCode) -> ErrorCode {
        // Of a create, ZooKeeper looks at the mode before it looks at the session.
        let (Request::Create(create)
        | Request::Create2(create)
        | Request::CreateContainer(create)
        | Request::CreateTtl(create)) = request
        else {
            return err;
        };
        let extended = self.settings.extended_types;
        let mode = Mode::of(request.op(), create.flags, create.ttl_ms, extended);
        mode.err().unwrap_or(err)
    }

    /// The same for a multi: its first part fails. One without parts has nothing else to tell by.
    pub(super) fn refused_multi(&self, parts: &[Request<'_>], err: ErrorCode) -> Txn<'static> {
        let Some((first, others)) = parts.split_first() else { return Txn::Error(err) };
        let others = others.iter().map(|_| ErrorCode::RUNTIME_INCONSISTENCY);
        let errors = [self.refused(first, err)].into_iter().chain(others);
        Txn::Multi(errors.map(Txn::Error).collect())
    }

    fn create<'r>(&self, op: OpCode, request: CreateRequest<'r>) -> Result<Txn<'r>, ErrorCode> {
        let CreateRequest { path, data, acl, flags, ttl_ms } = request;
        let mode = Mode::of(op, flags, ttl_ms, self.settings.extended_types)?;
        if let (Some(err), true) = (self.no_ephemerals, mode.is_ephemeral()) {
            return Err(err);
        }
        let (parent_path, _) = path::split(&path).ok_or(ErrorCode::BAD_ARGUMENTS)?;
        if path.contains('\0') {
            return Err(ErrorCode::BAD_ARGUMENTS);
        }
        let acl = auth::check_list(&self.settings.auth, acl.as_deref(), self.ids)?;
        let parent = self.head.node(parent_path).ok_or(ErrorCode::NO_NODE)?;
        self.allowed(parent, Perms::CREATE)?;
        let parent_cversion = parent.stat_persisted().cversion;
        let path = if mode.sequential {
            Text::Owned(format!("{path}{parent_cversion:010}"))
        } else {
            path
        };
        path::validate(&path).map_err(|_| ErrorCode::BAD_ARGUMENTS)?;
        if self.head.node_below(parent, &path).is_some() {
            return Err(ErrorCode::NODE_EXISTS);
        }
        if parent.is_ephemeral() {
            return Err(ErrorCode::NO_CHILDREN_FOR_EPHEMERALS);
        }
        self.quota.check(&path, Growth { count: 1, bytes: length(data) })?;
        let parent_cversion = parent_cversion.wrapping_add(1);
        Ok(Txn::Create(CreateTxn { kind: mode.kind, path, data, acl, parent_cversion }))
    }

    fn delete<'r>(&self, path: Text<'r>, version: i32) -> Result<Txn<'r>, ErrorCode> {
        let (parent_path, _) = path::split(&path).ok_or(ErrorCode::BAD_ARGUMENTS)?;
        if path.contains('\0') || BUILT_IN.contains(&&*path) {
            return Err(ErrorCode::BAD_ARGUMENTS);
        }
        let parent = self.head.node(parent_path).ok_or(ErrorCode::NO_NODE)?;
        self.allowed(parent, Perms::DELETE)?;
        let znode = self.head.node_below(parent, &path).ok_or(ErrorCode::NO_NODE)?;
        next_version(znode.stat().version, version)?;
        if znode.child_count() > 0 {
            return Err(ErrorCode::NOT_EMPTY);
        }
        Ok(Txn::Delete { path, container: false })
    }

    /// The znode at a path that must be valid, exist and allow `wanted`.
    fn valid(&self, path: &str, wanted: Perms) -> Result<&Znode, ErrorCode> {
        path::validate(path).map_err(|_| ErrorCode::BAD_ARGUMENTS)?;
        let znode = self.head.node(path).ok_or(ErrorCode::NO_NODE)?;
        self.allowed(znode, wanted)?;
        Ok(znode)
    }

    fn allowed(&self, znode: &Znode, wanted: Perms) -> Result<(), ErrorCode> {
        let acl = self.head.acl(znode.acl_id());
        if auth::allows(&self.settings.auth, acl, wanted, self.ids) {
            Ok(())
        } else {
            Err(ErrorCode::NO_AUTH)
        }
    }
}

/// What a create makes: by its flags, and by its opcode where the two disagree.
struct Mode {
    kind: CreateKind,
    sequential: bool,
}

impl Mode {
    // Java: PrepRequestProcessor.validateCreateRequest and pRequest2TxnCreate.
    fn of(op: OpCode, flags: i32, ttl_ms: i64, extended: bool) -> Result<Self, ErrorCode> {
        let (ephemeral, has_ttl) = match flags {
            0 | 2 | 4 => (false, false),
            1 | 3 => (true, false),
            // Znodes with a time to live are an extension that has to be switched on.
            5 | 6 if extended => (false, true),
            5 | 6 => return Err(ErrorCode::UNIMPLEMENTED),
            _ => return Err(ErrorCode::BAD_ARGUMENTS),
        };
        // Other operations come without a time to live, which is -1.
        let ttl_fits = if has_ttl { (1..=Kind::TTL_MS_MAX).contains(&ttl_ms) } else { ttl_ms < 0 };
        if !ttl_fits || (op == OpCode::CreateTtl) != has_ttl {
            return Err(ErrorCode::BAD_ARGUMENTS);
        }
        let kind = match op {
            OpCode::CreateContainer => CreateKind::Container,
            OpCode::CreateTtl => CreateKind::Ttl { ttl_ms },
            OpCode::Create => CreateKind::Plain { ephemeral },
            _ => CreateKind::WithStat { ephemeral },
        };
        Ok(Self { kind, sequential: matches!(flags, 2 | 3 | 6) })
    }

    fn is_ephemeral(&self) -> bool {
        let (CreateKind::Plain { ephemeral } | CreateKind::WithStat { ephemeral }) = self.kind
        else {
            return false;
        };
        ephemeral
    }
}

/// Takes the bytes of a part's ACL off the room that is left for those of the whole multi.
///
/// What a client sends fits by itself; but `auth` stands for all that the client has shown, and
/// thousands of parts can say it. No server could read the record that this makes.
fn with_acl_room<'r>(txn: Txn<'r>, room_bytes: &mut usize) -> Result<Txn<'r>, ErrorCode> {
    let acl = match &txn {
        Txn::Create(create) => &create.acl[..],
        Txn::SetAcl { acl, .. } => acl,
        _ => return Ok(txn),
    };
    let needed_bytes = acl.iter().map(|entry| 12 + entry.id.scheme.len() + entry.id.id.len()).sum();
    *room_bytes = room_bytes.checked_sub(needed_bytes).ok_or(ErrorCode::INVALID_ACL)?;
    Ok(txn)
}

/// The version after a change, if `expected` allows it: -1 asks for nothing.
fn next_version(present: i32, expected: i32) -> Result<i32, ErrorCode> {
    if expected == -1 || expected == present {
        Ok(present.wrapping_add(1))
    } else {
        Err(ErrorCode::BAD_VERSION)
    }
}

fn length(data: Option<&[u8]>) -> i64 {
    data.map_or(0, |data| i64::try_from(data.len()).unwrap_or(i64::MAX))
}

/// What cannot be deleted.
const BUILT_IN: &[&str] = &["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"];
