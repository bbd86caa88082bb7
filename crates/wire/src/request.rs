//! What clients ask: `RequestHeader` and the body of every operation.
//!
//! ```text
//! frame body = xid:int type:int body
//! ```
//!
//! Requests borrow from the frame. Bytes behind a body are ignored, as in ZooKeeper.

use alloc::vec::Vec;

use crate::acl::{Acl, AclEntry};
use crate::ids::{Xid, Zxid};
use crate::jute::{DecodeError, Put, Reader, Text};
use crate::op::OpCode;

/// In front of every request but the connect request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestHeader {
    /// The client's number for it.
    pub xid: Xid,
    /// The operation, not yet looked up.
    pub op_number: i32,
}

impl RequestHeader {
    /// Length of the encoded record.
    pub const SIZE_BYTES: usize = 8;

    /// Reads the record.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { xid: Xid(from.int()?), op_number: from.int()? })
    }

    /// Appends the record.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.put_int(self.xid.0);
        out.put_int(self.op_number);
    }
}

/// What a create request says, for all four opcodes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreateRequest<'a> {
    /// The path asked for; a sequential create appends to it.
    pub path: Text<'a>,
    /// Null stays null.
    pub data: Option<&'a [u8]>,
    /// Unchecked; null is possible.
    pub acl: Option<Vec<AclEntry<'a>>>,
    /// The create mode, 0 to 6 when valid.
    pub flags: i32,
    /// Time to live in ms; -1 for opcodes that have none.
    pub ttl_ms: i64,
}

/// The five lists of paths that setWatches and setWatches2 carry.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WatchLists<'a> {
    /// What the client had seen when it lost the connection.
    pub relative_zxid: Zxid,
    /// Watches left by getData, and by exists on a present znode.
    pub data: Vec<Text<'a>>,
    /// Watches left by exists on a missing znode.
    pub exist: Vec<Text<'a>>,
    /// Watches left by getChildren.
    pub child: Vec<Text<'a>>,
    /// Persistent watches (setWatches2).
    pub persistent: Vec<Text<'a>>,
    /// Persistent recursive watches (setWatches2).
    pub recursive: Vec<Text<'a>>,
}

/// A request by operation. Field names are ZooKeeper's.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Request<'a> {
    AddWatch {
        path: Text<'a>,
        mode: i32,
    },
    Auth {
        scheme: Text<'a>,
        auth: Option<&'a [u8]>,
    },
    Check {
        path: Text<'a>,
        version: i32,
    },
    CheckWatches {
        path: Text<'a>,
        watcher_type: i32,
    },
    CloseSession,
    Create(CreateRequest<'a>),
    Create2(CreateRequest<'a>),
    CreateContainer(CreateRequest<'a>),
    CreateTtl(CreateRequest<'a>),
    Delete {
        path: Text<'a>,
        version: i32,
    },
    Exists {
        path: Text<'a>,
        watch: bool,
    },
    GetAcl {
        path: Text<'a>,
    },
    GetAllChildrenNumber {
        path: Text<'a>,
    },
    GetChildren {
        path: Text<'a>,
        watch: bool,
    },
    GetChildren2 {
        path: Text<'a>,
        watch: bool,
    },
    GetData {
        path: Text<'a>,
        watch: bool,
    },
    GetEphemerals {
        prefix: Option<Text<'a>>,
    },
    Multi(Vec<Self>),
    MultiRead(Vec<Self>),
    Ping,
    Reconfig {
        joining: Option<Text<'a>>,
        leaving: Option<Text<'a>>,
        members: Option<Text<'a>>,
        config_id: i64,
    },
    RemoveWatches {
        path: Text<'a>,
        watcher_type: i32,
    },
    Sasl {
        token: Option<&'a [u8]>,
    },
    SetAcl {
        path: Text<'a>,
        acl: Option<Vec<AclEntry<'a>>>,
        version: i32,
    },
    SetData {
        path: Text<'a>,
        data: Option<&'a [u8]>,
        version: i32,
    },
    SetWatches(WatchLists<'a>),
    SetWatches2(WatchLists<'a>),
    Sync {
        path: Option<Text<'a>>,
    },
    WhoAmI,
}

impl<'a> Request<'a> {
    /// Reads the body of `op`, which stands behind the header.
    ///
    /// Operations that no client may send by itself (createSession, deleteContainer) are refused
    /// as [`DecodeError::BadValue`]: the caller answers them before looking at the body.
    pub fn decode(op: OpCode, body: &'a [u8]) -> Result<Self, DecodeError> {
        let from = &mut Reader::new(body);
        Ok(match op {
            OpCode::AddWatch => Self::AddWatch { path: watched(from)?, mode: from.int()? },
            OpCode::Auth => {
                from.int()?;
                Self::Auth { scheme: from.string()?.unwrap_or_default(), auth: from.buffer()? }
            }
            OpCode::Check => Self::Check { path: from.text()?, version: from.int()? },
            OpCode::CheckWatches => {
                Self::CheckWatches { path: watched(from)?, watcher_type: from.int()? }
            }
            OpCode::CloseSession => Self::CloseSession,
            OpCode::Create => Self::Create(read_create(from, false)?),
            OpCode::Create2 => Self::Create2(read_create(from, false)?),
            OpCode::CreateContainer => Self::CreateContainer(read_create(from, false)?),
            OpCode::CreateTtl => Self::CreateTtl(read_create(from, true)?),
            OpCode::Delete => Self::Delete { path: from.text()?, version: from.int()? },
            OpCode::Exists => Self::Exists { path: from.text()?, watch: from.bool()? },
            OpCode::GetAcl => Self::GetAcl { path: from.text()? },
            OpCode::GetAllChildrenNumber => Self::GetAllChildrenNumber { path: from.text()? },
            OpCode::GetChildren => Self::GetChildren { path: from.text()?, watch: from.bool()? },
            OpCode::GetChildren2 => Self::GetChildren2 { path: from.text()?, watch: from.bool()? },
            OpCode::GetData => Self::GetData { path: from.text()?, watch: from.bool()? },
            OpCode::GetEphemerals => Self::GetEphemerals { prefix: from.string()? },
            OpCode::Multi => Self::Multi(read_multi(from, false)?),
            OpCode::MultiRead => Self::MultiRead(read_multi(from, true)?),
            OpCode::Ping => Self::Ping,
            OpCode::Reconfig => Self::Reconfig {
                joining: from.string()?,
                leaving: from.string()?,
                members: from.string()?,
                config_id: from.long()?,
            },
            OpCode::RemoveWatches => {
                Self::RemoveWatches { path: watched(from)?, watcher_type: from.int()? }
            }
            OpCode::Sasl => Self::Sasl { token: from.buffer()? },
            OpCode::SetAcl => Self::SetAcl {
                // A null path is as invalid as an empty one, and answered like it.
                path: from.string()?.unwrap_or_default(),
                acl: from.vector(AclEntry::read)?,
                version: from.int()?,
            },
            OpCode::SetData => Self::SetData {
                path: from.string()?.unwrap_or_default(),
                data: from.buffer()?,
                version: from.int()?,
            },
            OpCode::SetWatches => Self::SetWatches(read_watch_lists(from, false)?),
            OpCode::SetWatches2 => Self::SetWatches2(read_watch_lists(from, true)?),
            OpCode::Sync => Self::Sync { path: from.string()? },
            OpCode::WhoAmI => Self::WhoAmI,
            OpCode::CreateSession | OpCode::DeleteContainer => {
                return Err(DecodeError::BadValue(op.number()));
            }
        })
    }

    /// The operation.
    #[must_use]
    pub fn op(&self) -> OpCode {
        match self {
            Self::AddWatch { .. } => OpCode::AddWatch,
            Self::Auth { .. } => OpCode::Auth,
            Self::Check { .. } => OpCode::Check,
            Self::CheckWatches { .. } => OpCode::CheckWatches,
            Self::CloseSession => OpCode::CloseSession,
            Self::Create(_) => OpCode::Create,
            Self::Create2(_) => OpCode::Create2,
            Self::CreateContainer(_) => OpCode::CreateContainer,
            Self::CreateTtl(_) => OpCode::CreateTtl,
            Self::Delete { .. } => OpCode::Delete,
            Self::Exists { .. } => OpCode::Exists,
            Self::GetAcl { .. } => OpCode::GetAcl,
            Self::GetAllChildrenNumber { .. } => OpCode::GetAllChildrenNumber,
            Self::GetChildren { .. } => OpCode::GetChildren,
            Self::GetChildren2 { .. } => OpCode::GetChildren2,
            Self::GetData { .. } => OpCode::GetData,
            Self::GetEphemerals { .. } => OpCode::GetEphemerals,
            Self::Multi(_) => OpCode::Multi,
            Self::MultiRead(_) => OpCode::MultiRead,
            Self::Ping => OpCode::Ping,
            Self::Reconfig { .. } => OpCode::Reconfig,
            Self::RemoveWatches { .. } => OpCode::RemoveWatches,
            Self::Sasl { .. } => OpCode::Sasl,
            Self::SetAcl { .. } => OpCode::SetAcl,
            Self::SetData { .. } => OpCode::SetData,
            Self::SetWatches(_) => OpCode::SetWatches,
            Self::SetWatches2(_) => OpCode::SetWatches2,
            Self::Sync { .. } => OpCode::Sync,
            Self::WhoAmI => OpCode::WhoAmI,
        }
    }

    /// Appends header and body, as a client sends them inside a frame.
    pub fn encode(&self, xid: Xid, out: &mut Vec<u8>) {
        RequestHeader { xid, op_number: self.op().number() }.write(out);
        self.write_body(out);
    }

    /// Appends the body alone.
    pub fn write_body(&self, out: &mut Vec<u8>) {
        match self {
            Self::CloseSession | Self::Ping | Self::WhoAmI => {}
            Self::AddWatch { path, mode: number }
            | Self::Check { path, version: number }
            | Self::CheckWatches { path, watcher_type: number }
            | Self::Delete { path, version: number }
            | Self::RemoveWatches { path, watcher_type: number } => {
                out.put_string(path);
                out.put_int(*number);
            }
            Self::Exists { path, watch }
            | Self::GetChildren { path, watch }
            | Self::GetChildren2 { path, watch }
            | Self::GetData { path, watch } => {
                out.put_string(path);
                out.put_bool(*watch);
            }
            Self::GetAcl { path } | Self::GetAllChildrenNumber { path } => out.put_string(path),
            Self::GetEphemerals { prefix: text } | Self::Sync { path: text } => {
                put_optional(out, text.as_deref());
            }
            Self::Auth { scheme, auth } => {
                out.put_int(0);
                out.put_string(scheme);
                out.put_buffer(*auth);
            }
            Self::Create(create) | Self::Create2(create) | Self::CreateContainer(create) => {
                write_create(create, out);
            }
            Self::CreateTtl(create) => {
                write_create(create, out);
                out.put_long(create.ttl_ms);
            }
            Self::Multi(ops) | Self::MultiRead(ops) => write_multi(ops, out),
            Self::Reconfig { joining, leaving, members, config_id } => {
                put_optional(out, joining.as_deref());
                put_optional(out, leaving.as_deref());
                put_optional(out, members.as_deref());
                out.put_long(*config_id);
            }
            Self::Sasl { token } => out.put_buffer(*token),
            Self::SetAcl { path, acl, version } => {
                out.put_string(path);
                write_acl_entries(acl.as_deref(), out);
                out.put_int(*version);
            }
            Self::SetData { path, data, version } => {
                out.put_string(path);
                out.put_buffer(*data);
                out.put_int(*version);
            }
            Self::SetWatches(lists) => write_watch_lists(lists, false, out),
            Self::SetWatches2(lists) => write_watch_lists(lists, true, out),
        }
    }
}

/// In front of each part of a multi, in requests and replies, and with `done` at its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MultiHeader {
    /// The part's operation; -1 for an error and for the end.
    pub op_number: i32,
    /// Whether this is the end.
    pub done: bool,
    /// The part's error in replies; -1 in requests.
    pub err: i32,
}

impl MultiHeader {
    /// Behind the last part.
    pub const END: Self = Self { op_number: -1, done: true, err: -1 };

    /// Reads the record.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { op_number: from.int()?, done: from.bool()?, err: from.int()? })
    }

    /// Appends the record.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.put_int(self.op_number);
        out.put_bool(self.done);
        out.put_int(self.err);
    }
}

fn read_create<'a>(
    from: &mut Reader<'a>,
    with_ttl: bool,
) -> Result<CreateRequest<'a>, DecodeError> {
    Ok(CreateRequest {
        path: from.text()?,
        data: from.buffer()?,
        acl: from.vector(AclEntry::read)?,
        flags: from.int()?,
        ttl_ms: if with_ttl { from.long()? } else { -1 },
    })
}

fn write_create(create: &CreateRequest<'_>, out: &mut Vec<u8>) {
    out.put_string(&create.path);
    out.put_buffer(create.data);
    write_acl_entries(create.acl.as_deref(), out);
    out.put_int(create.flags);
}

fn write_acl_entries(entries: Option<&[AclEntry<'_>]>, out: &mut Vec<u8>) {
    let Some(entries) = entries else { return out.put_int(-1) };
    out.put_count(entries.len());
    for entry in entries {
        out.put_int(entry.perms.0);
        put_optional(out, entry.scheme.as_deref());
        put_optional(out, entry.id.as_deref());
    }
}

fn put_optional(out: &mut Vec<u8>, text: Option<&str>) {
    out.put_buffer(text.map(str::as_bytes));
}

/// Reads the parts of a multi or a multiRead; one that is not allowed there fails the whole.
fn read_multi<'a>(from: &mut Reader<'a>, reads: bool) -> Result<Vec<Request<'a>>, DecodeError> {
    let mut ops = Vec::new();
    loop {
        let header = MultiHeader::read(from)?;
        if header.done {
            return Ok(ops);
        }
        let op =
            OpCode::from_number(header.op_number).ok_or(DecodeError::BadValue(header.op_number))?;
        ops.push(if reads { read_multi_read(from, op)? } else { read_multi_write(from, op)? });
    }
}

fn read_multi_read<'a>(from: &mut Reader<'a>, op: OpCode) -> Result<Request<'a>, DecodeError> {
    match op {
        OpCode::GetData => Ok(Request::GetData { path: from.text()?, watch: from.bool()? }),
        OpCode::GetChildren => Ok(Request::GetChildren { path: from.text()?, watch: from.bool()? }),
        other => Err(DecodeError::BadValue(other.number())),
    }
}

fn read_multi_write<'a>(from: &mut Reader<'a>, op: OpCode) -> Result<Request<'a>, DecodeError> {
    Ok(match op {
        OpCode::Create | OpCode::Create2 | OpCode::CreateContainer => {
            let create = read_create(from, false)?;
            retype_create(op, create)?
        }
        OpCode::CreateTtl => retype_create_ttl(read_create(from, true)?),
        OpCode::Delete => Request::Delete { path: from.text()?, version: from.int()? },
        OpCode::SetData => {
            Request::SetData { path: from.text()?, data: from.buffer()?, version: from.int()? }
        }
        OpCode::Check => Request::Check { path: from.text()?, version: from.int()? },
        other => return Err(DecodeError::BadValue(other.number())),
    })
}

/// In a multi the flags decide what a create is, not its number.
// Java: Op.Create and its subclasses choose the operation by the create mode.
fn retype_create<'a>(op: OpCode, create: CreateRequest<'a>) -> Result<Request<'a>, DecodeError> {
    match create.flags {
        0..=6 if create.acl.is_none() => Err(DecodeError::NullAcl),
        0..=4 => Ok(retyped(op, create)),
        flags => Err(DecodeError::BadValue(flags)),
    }
}

/// The same for the opcode with a TTL, which forgives more: flags that mean nothing and a null ACL
/// are refused when the part is run and not by the whole multi.
fn retype_create_ttl(create: CreateRequest<'_>) -> Request<'_> {
    match create.flags {
        5 | 6 => Request::CreateTtl(create),
        _ => retyped(OpCode::Create, CreateRequest { ttl_ms: -1, ..create }),
    }
}

fn retyped(op: OpCode, create: CreateRequest<'_>) -> Request<'_> {
    match (create.flags, op) {
        (4, _) | (_, OpCode::CreateContainer) => Request::CreateContainer(create),
        (_, OpCode::Create2) => Request::Create2(create),
        _ => Request::Create(create),
    }
}

fn write_multi(ops: &[Request<'_>], out: &mut Vec<u8>) {
    for op in ops {
        MultiHeader { op_number: op.op().number(), done: false, err: -1 }.write(out);
        op.write_body(out);
    }
    MultiHeader::END.write(out);
}

/// Watches can be left on a null path, as on any text; there they never fire.
fn watched<'a>(from: &mut Reader<'a>) -> Result<Text<'a>, DecodeError> {
    Ok(from.string()?.unwrap_or_default())
}

fn read_watch_lists<'a>(
    from: &mut Reader<'a>,
    with_persistent: bool,
) -> Result<WatchLists<'a>, DecodeError> {
    fn paths<'a>(from: &mut Reader<'a>) -> Result<Vec<Text<'a>>, DecodeError> {
        from.vector(Reader::text)?.ok_or(DecodeError::UnexpectedNull)
    }
    let mut lists = WatchLists {
        relative_zxid: Zxid(from.long()?),
        data: paths(from)?,
        exist: paths(from)?,
        child: paths(from)?,
        ..WatchLists::default()
    };
    if with_persistent {
        let mut paths = || from.vector(watched)?.ok_or(DecodeError::UnexpectedNull);
        lists.persistent = paths()?;
        lists.recursive = paths()?;
    }
    Ok(lists)
}

fn write_watch_lists(lists: &WatchLists<'_>, with_persistent: bool, out: &mut Vec<u8>) {
    out.put_long(lists.relative_zxid.0);
    let persistent = if with_persistent { &[&lists.persistent, &lists.recursive][..] } else { &[] };
    for list in
        [&lists.data, &lists.exist, &lists.child].into_iter().chain(persistent.iter().copied())
    {
        out.put_count(list.len());
        list.iter().for_each(|path| out.put_string(path));
    }
}

/// The list `acl` as a client would send it.
#[must_use]
pub fn acl_entries(acl: &[Acl]) -> Vec<AclEntry<'_>> {
    acl.iter()
        .map(|entry| AclEntry {
            perms: entry.perms,
            scheme: Some(Text::Borrowed(&entry.id.scheme)),
            id: Some(Text::Borrowed(&entry.id.id)),
        })
        .collect()
}
