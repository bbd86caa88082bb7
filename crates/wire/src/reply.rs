//! What servers answer: `ReplyHeader`, the bodies behind it, and watch notifications.
//!
//! ```text
//! frame body   = xid:int zxid:long err:int [body]          no body when err is not 0
//! notification = xid(-1) zxid:long err(0) type:int state:int path:string
//! ```

use alloc::string::String;
use alloc::vec::Vec;

use crate::acl::Acl;
use crate::error::ErrorCode;
use crate::ids::{Xid, Zxid};
use crate::jute::{DecodeError, Put, Reader};
use crate::op::OpCode;
use crate::request::MultiHeader;
use crate::stat::Stat;

/// In front of every reply but the connect response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplyHeader {
    /// The request's number.
    pub xid: Xid,
    /// For writes their transaction, for reads the last one the server had applied.
    pub zxid: Zxid,
    /// The outcome.
    pub err: ErrorCode,
}

impl ReplyHeader {
    /// Length of the encoded record.
    pub const SIZE_BYTES: usize = 16;

    /// Reads the record.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { xid: Xid(from.int()?), zxid: Zxid(from.long()?), err: ErrorCode(from.int()?) })
    }

    /// Appends the record.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.put_int(self.xid.0);
        out.put_long(self.zxid.0);
        out.put_int(self.err.0);
    }
}

/// What happened to a watched path.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EventType {
    /// 1
    NodeCreated,
    /// 2
    NodeDeleted,
    /// 3
    NodeDataChanged,
    /// 4
    NodeChildrenChanged,
}

impl EventType {
    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> i32 {
        match self {
            Self::NodeCreated => 1,
            Self::NodeDeleted => 2,
            Self::NodeDataChanged => 3,
            Self::NodeChildrenChanged => 4,
        }
    }

    /// The type of this number.
    pub fn from_number(number: i32) -> Result<Self, DecodeError> {
        match number {
            1 => Ok(Self::NodeCreated),
            2 => Ok(Self::NodeDeleted),
            3 => Ok(Self::NodeDataChanged),
            4 => Ok(Self::NodeChildrenChanged),
            other => Err(DecodeError::BadValue(other)),
        }
    }
}

/// A watch that fired.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WatcherEvent {
    /// What happened.
    pub event_type: EventType,
    /// Where: the full path on the server.
    pub path: String,
}

impl WatcherEvent {
    /// The only keeper state that servers send: SyncConnected.
    const STATE: i32 = 3;

    /// Reads the record that follows the reply header.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let event_type = EventType::from_number(from.int()?)?;
        from.int()?;
        Ok(Self { event_type, path: from.text()?.into_owned() })
    }

    /// Appends a whole notification: reply header and record.
    pub fn write_notification(zxid: Zxid, event_type: EventType, path: &str, out: &mut Vec<u8>) {
        ReplyHeader { xid: Xid::NOTIFICATION, zxid, err: ErrorCode::OK }.write(out);
        out.put_int(event_type.number());
        out.put_int(Self::STATE);
        out.put_string(path);
    }
}

/// Appends the body of getACL: the list and the stat.
pub fn write_acl(acl: &[Acl], stat: &Stat, out: &mut Vec<u8>) {
    Acl::write_list(acl, out);
    stat.write(out);
}

/// Appends a vector of names, as getChildren answers it.
pub fn write_names<'n>(count: usize, names: impl IntoIterator<Item = &'n str>, out: &mut Vec<u8>) {
    out.put_count(count);
    for name in names {
        out.put_string(name);
    }
}

/// One part of the answer to a multi or multiRead.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OpResult {
    /// Type 1: a plain create.
    Created {
        /// The final path.
        path: String,
    },
    /// Type 15: every other create.
    CreatedWithStat {
        /// The final path.
        path: String,
        /// The new znode's stat.
        stat: Stat,
    },
    /// Type 2.
    Deleted,
    /// Type 5: the stat right after this part.
    DataSet(Stat),
    /// Type 13.
    Checked,
    /// Type 4 (multiRead).
    Data {
        /// Null stays null.
        data: Option<Vec<u8>>,
        /// The znode's stat.
        stat: Stat,
    },
    /// Type 8 (multiRead).
    Children(Vec<String>),
    /// Type -1: why this part failed, or why it was not done.
    Error(ErrorCode),
}

impl OpResult {
    /// Appends header and body of this part.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (op_number, err) = match self {
            Self::Created { .. } => (OpCode::Create.number(), 0),
            Self::CreatedWithStat { .. } => (OpCode::Create2.number(), 0),
            Self::Deleted => (OpCode::Delete.number(), 0),
            Self::DataSet(_) => (OpCode::SetData.number(), 0),
            Self::Checked => (OpCode::Check.number(), 0),
            Self::Data { .. } => (OpCode::GetData.number(), 0),
            Self::Children(_) => (OpCode::GetChildren.number(), 0),
            Self::Error(code) => (-1, code.0),
        };
        MultiHeader { op_number, done: false, err }.write(out);
        match self {
            Self::Created { path } => out.put_string(path),
            Self::CreatedWithStat { path, stat } => {
                out.put_string(path);
                stat.write(out);
            }
            Self::Deleted | Self::Checked => {}
            Self::DataSet(stat) => stat.write(out),
            Self::Data { data, stat } => {
                out.put_buffer(data.as_deref());
                stat.write(out);
            }
            Self::Children(names) => {
                write_names(names.len(), names.iter().map(String::as_str), out);
            }
            Self::Error(code) => out.put_int(code.0),
        }
    }

    /// Appends all parts and the end mark.
    pub fn write_all(results: &[Self], out: &mut Vec<u8>) {
        results.iter().for_each(|result| result.write(out));
        MultiHeader::END.write(out);
    }

    /// Reads all parts up to the end mark.
    pub fn read_all(from: &mut Reader<'_>) -> Result<Vec<Self>, DecodeError> {
        let mut results = Vec::new();
        loop {
            let header = MultiHeader::read(from)?;
            if header.done {
                return Ok(results);
            }
            results.push(Self::read(header.op_number, from)?);
        }
    }

    fn read(op_number: i32, from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match op_number {
            -1 => Self::Error(ErrorCode(from.int()?)),
            1 => Self::Created { path: from.text()?.into_owned() },
            2 => Self::Deleted,
            4 => Self::Data { data: from.buffer()?.map(<[u8]>::to_vec), stat: Stat::read(from)? },
            5 => Self::DataSet(Stat::read(from)?),
            8 => Self::Children(
                from.vector(|from| from.text().map(String::from))?.unwrap_or_default(),
            ),
            13 => Self::Checked,
            15 => {
                Self::CreatedWithStat { path: from.text()?.into_owned(), stat: Stat::read(from)? }
            }
            other => return Err(DecodeError::BadValue(other)),
        })
    }
}
