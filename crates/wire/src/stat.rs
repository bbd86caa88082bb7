//! What is known of a znode besides its data: as kept, and as told to clients.

use alloc::vec::Vec;

use crate::ids::{SessionId, WallMs, Zxid};
use crate::jute::{DecodeError, Put, Reader};

/// `Stat` as clients get it: 68 bytes, the fields in this order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stat {
    /// Transaction that created the znode.
    pub czxid: Zxid,
    /// Transaction that last set its data.
    pub mzxid: Zxid,
    /// Creation time.
    pub ctime: WallMs,
    /// Time of the last setData.
    pub mtime: WallMs,
    /// Number of setData since creation.
    pub version: i32,
    /// Number of creates and deletes of children: twice the creates minus the present children.
    pub cversion: i32,
    /// Number of setACL since creation.
    pub aversion: i32,
    /// Session that owns an ephemeral znode; 0 for every other kind.
    pub ephemeral_owner: SessionId,
    /// Length of the data in bytes; 0 for null data.
    pub data_length: i32,
    /// Number of children.
    pub num_children: i32,
    /// Transaction that last added or removed a child.
    pub pzxid: Zxid,
}

impl Stat {
    /// Length of the encoded record.
    pub const SIZE_BYTES: usize = 68;

    /// Reads the record.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            czxid: Zxid(from.long()?),
            mzxid: Zxid(from.long()?),
            ctime: WallMs(from.long()?),
            mtime: WallMs(from.long()?),
            version: from.int()?,
            cversion: from.int()?,
            aversion: from.int()?,
            ephemeral_owner: SessionId(from.long()?),
            data_length: from.int()?,
            num_children: from.int()?,
            pzxid: Zxid(from.long()?),
        })
    }

    /// Appends the record.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.put_long(self.czxid.0);
        out.put_long(self.mzxid.0);
        out.put_long(self.ctime.0);
        out.put_long(self.mtime.0);
        out.put_int(self.version);
        out.put_int(self.cversion);
        out.put_int(self.aversion);
        out.put_long(self.ephemeral_owner.0);
        out.put_int(self.data_length);
        out.put_int(self.num_children);
        out.put_long(self.pzxid.0);
    }
}

/// `StatPersisted`: what the tree keeps of a znode and snapshots hold; 60 bytes in this order.
///
/// The tree digest covers the same fields in another order (see the tree crate).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StatPersisted {
    /// Transaction that created the znode.
    pub czxid: Zxid,
    /// Transaction that last set its data.
    pub mzxid: Zxid,
    /// Creation time.
    pub ctime: WallMs,
    /// Time of the last setData.
    pub mtime: WallMs,
    /// Number of setData since creation.
    pub version: i32,
    /// Number of creates of children since creation (not what clients are told).
    pub cversion: i32,
    /// Number of setACL since creation.
    pub aversion: i32,
    /// Kind and owner as stored: 0, a session id, the container mark or a TTL.
    pub ephemeral_owner: i64,
    /// Transaction that last added or removed a child.
    pub pzxid: Zxid,
}

impl StatPersisted {
    /// Length of the encoded record.
    pub const SIZE_BYTES: usize = 60;

    /// Reads the record.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            czxid: Zxid(from.long()?),
            mzxid: Zxid(from.long()?),
            ctime: WallMs(from.long()?),
            mtime: WallMs(from.long()?),
            version: from.int()?,
            cversion: from.int()?,
            aversion: from.int()?,
            ephemeral_owner: from.long()?,
            pzxid: Zxid(from.long()?),
        })
    }

    /// Appends the record.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.put_long(self.czxid.0);
        out.put_long(self.mzxid.0);
        out.put_long(self.ctime.0);
        out.put_long(self.mtime.0);
        out.put_int(self.version);
        out.put_int(self.cversion);
        out.put_int(self.aversion);
        out.put_long(self.ephemeral_owner);
        out.put_long(self.pzxid.0);
    }
}
