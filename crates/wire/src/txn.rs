//! Transactions: what the log stores, proposals carry and the tree applies.
//!
//! ```text
//! body    = header txn [digest]
//! header  = session:long cxid:int zxid:long time:long type:int            (32 bytes)
//! digest  = version:int(2) treeDigest:long                                (12 bytes)
//! ```
//!
//! The body of a log record and of a proposal are the same bytes. A digest is there when at
//! least 12 bytes remain. Transactions borrow from the bytes that they were read from, or from the
//! request that they were made of.

use alloc::vec::Vec;

use crate::acl::Acl;
use crate::error::ErrorCode;
use crate::ids::{SessionId, WallMs, Xid, Zxid};
use crate::jute::{DecodeError, Put, Reader, Text};

/// Who caused a transaction, its place in history, and when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TxnHeader {
    /// The session of the request; for createSession the new session.
    pub session: SessionId,
    /// The request's number.
    pub cxid: Xid,
    /// The place in history.
    pub zxid: Zxid,
    /// The leader's clock.
    pub time: WallMs,
}

/// The four shapes of a create transaction; the type number tells them apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CreateKind {
    /// Type 1: made by the plain create request.
    Plain {
        /// Owned by the header's session.
        ephemeral: bool,
    },
    /// Type 15: made by create2.
    WithStat {
        /// Owned by the header's session.
        ephemeral: bool,
    },
    /// Type 19: a container.
    Container,
    /// Type 21: a znode with a time to live.
    Ttl {
        /// Milliseconds since the last setData.
        ttl_ms: i64,
    },
}

/// A create of any kind. Sequential names are already expanded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreateTxn<'a> {
    /// Type number and what it brings along.
    pub kind: CreateKind,
    /// Full path.
    pub path: Text<'a>,
    /// Data; null stays null.
    pub data: Option<&'a [u8]>,
    /// The list to be stored.
    pub acl: Vec<Acl>,
    /// The parent's stored cversion after this create; -1 means "one more".
    pub parent_cversion: i32,
}

/// The body of a transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Txn<'a> {
    /// Types 1, 15, 19, 21.
    Create(CreateTxn<'a>),
    /// Types 2 and 20 (deleteContainer).
    Delete {
        /// Full path.
        path: Text<'a>,
        /// Whether the container reaper made it (type 20).
        container: bool,
    },
    /// Types 5 and 16 (reconfig).
    SetData {
        /// Full path.
        path: Text<'a>,
        /// The new data.
        data: Option<&'a [u8]>,
        /// The version after this transaction.
        version: i32,
        /// Whether a reconfig made it (type 16).
        reconfig: bool,
    },
    /// Type 7.
    SetAcl {
        /// Full path.
        path: Text<'a>,
        /// The new list.
        acl: Vec<Acl>,
        /// The aversion after this transaction.
        version: i32,
    },
    /// Type 13; only inside a multi.
    Check {
        /// Full path.
        path: Text<'a>,
        /// The version that was expected.
        version: i32,
    },
    /// Type -10. The header's session is the new one.
    CreateSession {
        /// Negotiated timeout.
        timeout_ms: i32,
    },
    /// Type -11.
    CloseSession {
        /// The ephemerals to delete, in order; `None` in logs before 3.6.
        paths: Option<Vec<Text<'a>>>,
    },
    /// Type -1: a request that was refused but took a zxid.
    Error(ErrorCode),
    /// Type 14. Sub-transactions share the header; a failed multi holds errors.
    Multi(Vec<Self>),
}

impl Txn<'_> {
    /// The path of a transaction that concerns a single one.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Create(create) => Some(&create.path),
            Self::Delete { path, .. }
            | Self::SetData { path, .. }
            | Self::SetAcl { path, .. }
            | Self::Check { path, .. } => Some(path),
            Self::CreateSession { .. }
            | Self::CloseSession { .. }
            | Self::Error(_)
            | Self::Multi(_) => None,
        }
    }

    /// The number in the header.
    #[must_use]
    pub fn type_number(&self) -> i32 {
        match self {
            Self::Create(create) => match create.kind {
                CreateKind::Plain { .. } => 1,
                CreateKind::WithStat { .. } => 15,
                CreateKind::Container => 19,
                CreateKind::Ttl { .. } => 21,
            },
            Self::Delete { container, .. } => {
                if *container {
                    20
                } else {
                    2
                }
            }
            Self::SetData { reconfig, .. } => {
                if *reconfig {
                    16
                } else {
                    5
                }
            }
            Self::SetAcl { .. } => 7,
            Self::Check { .. } => 13,
            Self::CreateSession { .. } => -10,
            Self::CloseSession { .. } => -11,
            Self::Error(_) => -1,
            Self::Multi(_) => 14,
        }
    }
}

/// The tree's digest after a transaction, as the leader computed it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TxnDigest {
    /// Which function made it; 2 is the only one in use.
    pub version: i32,
    /// Sum of the node digests.
    pub tree_digest: u64,
}

impl TxnDigest {
    /// The digest function of ZooKeeper 3.6 and later.
    pub const VERSION: i32 = 2;
}

/// Header, body and digest together: the body of a log record or a proposal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TxnRecord<'a> {
    /// Who, where in history, when.
    pub header: TxnHeader,
    /// What.
    pub txn: Txn<'a>,
    /// The tree's digest afterwards.
    pub digest: Option<TxnDigest>,
}

impl<'a> TxnRecord<'a> {
    /// Reads a whole body.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let from = &mut Reader::new(body);
        let (header, txn_type) = read_header(from)?;
        let txn = match txn_type {
            -11 => read_close_session(from)?,
            14 => Txn::Multi(from.vector(read_sub_txn)?.unwrap_or_default()),
            // A check is nothing by itself; a log that has one was not written by ZooKeeper.
            13 => return Err(DecodeError::UnknownTxnType(13)),
            other => read_txn(from, other)?,
        };
        Ok(Self { header, txn, digest: read_digest(from) })
    }

    /// Appends the whole body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        Self::encode_parts(&self.header, &self.txn, self.digest, out);
    }

    /// Appends the whole body of a record whose parts are not together.
    pub fn encode_parts(
        header: &TxnHeader,
        txn: &Txn<'_>,
        digest: Option<TxnDigest>,
        out: &mut Vec<u8>,
    ) {
        out.put_long(header.session.0);
        out.put_int(header.cxid.0);
        out.put_long(header.zxid.0);
        out.put_long(header.time.0);
        out.put_int(txn.type_number());
        write_txn(txn, out);
        if let Some(digest) = digest {
            out.put_int(digest.version);
            out.put_long(digest.tree_digest.cast_signed());
        }
    }
}

/// A record of a create whose list is left as it stands: creates that follow one another mostly
/// have the same, and taking it apart is most of what decoding one costs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreateRecord<'a> {
    /// Who, where in history, when.
    pub header: TxnHeader,
    /// Type number and what it brings along.
    pub kind: CreateKind,
    /// Full path.
    pub path: Text<'a>,
    /// Data; null stays null.
    pub data: Option<&'a [u8]>,
    /// The bytes of the list: what [`Acl::read_list`] takes.
    pub acl: &'a [u8],
    /// As in [`CreateTxn`].
    pub parent_cversion: i32,
    /// The tree's digest afterwards.
    pub digest: Option<TxnDigest>,
}

impl<'a> CreateRecord<'a> {
    /// Reads a whole body. `None` if it is not that of a create, or if anything about it is not
    /// as it should be: what that is, [`TxnRecord::decode`] tells.
    #[must_use]
    pub fn decode(body: &'a [u8]) -> Option<Self> {
        let from = &mut Reader::new(body);
        let (header, txn_type) = read_header(from).ok()?;
        if !matches!(txn_type, 1 | 15 | 19 | 21) {
            return None;
        }
        let path = from.text().ok()?;
        let data = from.buffer().ok()?;
        let at_list = from.rest();
        for _ in 0..from.count().ok()?.unwrap_or(0) {
            from.int().ok()?;
            // Scheme and id.
            from.buffer().ok()??;
            from.buffer().ok()??;
        }
        let acl = at_list.get(..at_list.len() - from.rest().len())?;
        let (kind, parent_cversion) = read_create_end(from, txn_type).ok()?;
        Some(Self { header, kind, path, data, acl, parent_cversion, digest: read_digest(from) })
    }
}

/// The header and the type that stands behind it.
fn read_header(from: &mut Reader<'_>) -> Result<(TxnHeader, i32), DecodeError> {
    let session = SessionId(from.long()?);
    let cxid = Xid(from.int()?);
    let zxid = Zxid(from.long()?);
    let time = WallMs(from.long()?);
    Ok((TxnHeader { session, cxid, zxid, time }, from.int()?))
}

/// Fewer than 12 bytes left mean that there is none.
fn read_digest(from: &mut Reader<'_>) -> Option<TxnDigest> {
    let mut ahead = from.clone();
    let version = ahead.int().ok()?;
    let tree_digest = ahead.long().ok()?.cast_unsigned();
    *from = ahead;
    Some(TxnDigest { version, tree_digest })
}

/// closeSession comes with paths, without them (before 3.6), or without them but with a digest.
fn read_close_session<'a>(from: &mut Reader<'a>) -> Result<Txn<'a>, DecodeError> {
    let mut ahead = from.clone();
    match ahead.vector(Reader::text) {
        Ok(paths) => {
            *from = ahead;
            Ok(Txn::CloseSession { paths: Some(paths.unwrap_or_default()) })
        }
        // What does not parse as paths is a digest (its version would be the count) or nothing.
        Err(_) if from.rest().is_empty() || from.rest().len() == 12 => {
            Ok(Txn::CloseSession { paths: None })
        }
        Err(error) => Err(error),
    }
}

fn read_sub_txn<'a>(from: &mut Reader<'a>) -> Result<Txn<'a>, DecodeError> {
    let txn_type = from.int()?;
    let record = from.buffer()?.ok_or(DecodeError::UnexpectedNull)?;
    match txn_type {
        -10 | 7 | 14 | 16 => Err(DecodeError::UnknownTxnType(txn_type)),
        _ => read_txn(&mut Reader::new(record), txn_type),
    }
}

fn read_txn<'a>(from: &mut Reader<'a>, txn_type: i32) -> Result<Txn<'a>, DecodeError> {
    Ok(match txn_type {
        1 | 15 | 19 | 21 => Txn::Create(read_create(from, txn_type)?),
        2 | 20 => Txn::Delete { path: from.text()?, container: txn_type == 20 },
        5 | 16 => Txn::SetData {
            path: from.text()?,
            data: from.buffer()?,
            version: from.int()?,
            reconfig: txn_type == 16,
        },
        7 => Txn::SetAcl { path: from.text()?, acl: Acl::read_list(from)?, version: from.int()? },
        13 => Txn::Check { path: from.text()?, version: from.int()? },
        -10 => Txn::CreateSession { timeout_ms: from.int()? },
        -1 => Txn::Error(ErrorCode(from.int()?)),
        other => return Err(DecodeError::UnknownTxnType(other)),
    })
}

fn read_create<'a>(from: &mut Reader<'a>, txn_type: i32) -> Result<CreateTxn<'a>, DecodeError> {
    let path = from.text()?;
    let data = from.buffer()?;
    let acl = Acl::read_list(from)?;
    let (kind, parent_cversion) = read_create_end(from, txn_type)?;
    Ok(CreateTxn { kind, path, data, acl, parent_cversion })
}

/// What follows the list of a create.
fn read_create_end(from: &mut Reader<'_>, txn_type: i32) -> Result<(CreateKind, i32), DecodeError> {
    Ok(match txn_type {
        19 => (CreateKind::Container, from.int()?),
        21 => {
            let parent_cversion = from.int()?;
            (CreateKind::Ttl { ttl_ms: from.long()? }, parent_cversion)
        }
        _ => {
            let ephemeral = from.bool()?;
            // The oldest form ends here.
            let parent_cversion = if from.rest().is_empty() { -1 } else { from.int()? };
            let kind = match txn_type {
                1 => CreateKind::Plain { ephemeral },
                _ => CreateKind::WithStat { ephemeral },
            };
            (kind, parent_cversion)
        }
    })
}

fn write_txn(txn: &Txn<'_>, out: &mut Vec<u8>) {
    match txn {
        Txn::Create(create) => write_create(create, out),
        Txn::Delete { path, .. } => out.put_string(path),
        Txn::SetData { path, data, version, .. } => {
            out.put_string(path);
            out.put_buffer(*data);
            out.put_int(*version);
        }
        Txn::SetAcl { path, acl, version } => {
            out.put_string(path);
            Acl::write_list(acl, out);
            out.put_int(*version);
        }
        Txn::Check { path, version } => {
            out.put_string(path);
            out.put_int(*version);
        }
        Txn::CreateSession { timeout_ms } => out.put_int(*timeout_ms),
        Txn::CloseSession { paths } => {
            if let Some(paths) = paths {
                out.put_count(paths.len());
                paths.iter().for_each(|path| out.put_string(path));
            }
        }
        Txn::Error(code) => out.put_int(code.0),
        Txn::Multi(sub_txns) => {
            out.put_count(sub_txns.len());
            for sub_txn in sub_txns {
                out.put_int(sub_txn.type_number());
                let mut record = Vec::new();
                write_txn(sub_txn, &mut record);
                out.put_buffer(Some(&record));
            }
        }
    }
}

fn write_create(create: &CreateTxn<'_>, out: &mut Vec<u8>) {
    out.put_string(&create.path);
    out.put_buffer(create.data);
    Acl::write_list(&create.acl, out);
    match create.kind {
        CreateKind::Plain { ephemeral } | CreateKind::WithStat { ephemeral } => {
            out.put_bool(ephemeral);
            out.put_int(create.parent_cversion);
        }
        CreateKind::Container => out.put_int(create.parent_cversion),
        CreateKind::Ttl { ttl_ms } => {
            out.put_int(create.parent_cversion);
            out.put_long(ttl_ms);
        }
    }
}
