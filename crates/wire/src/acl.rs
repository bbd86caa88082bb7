//! Access control lists: who (scheme and id) may do what (permission bits).

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::jute::{DecodeError, Put, Reader, Text};

/// Permission bits. The number is stored as the client sent it, meaningless bits included.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Perms(pub i32);

impl Perms {
    /// Read data, stat, children.
    pub const READ: Self = Self(1);
    /// Set data.
    pub const WRITE: Self = Self(2);
    /// Create children.
    pub const CREATE: Self = Self(4);
    /// Delete children.
    pub const DELETE: Self = Self(8);
    /// Set the ACL.
    pub const ADMIN: Self = Self(16);
    /// All of them.
    pub const ALL: Self = Self(31);

    /// Whether the two share a bit.
    #[must_use]
    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The bits of both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Somebody: an authentication scheme and an id whose meaning the scheme defines.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Id {
    /// `world`, `digest`, `ip`, `sasl`, `x509`, `super` …
    pub scheme: String,
    /// `anyone`, `user:hash`, an address …
    pub id: String,
}

impl Id {
    /// An id of these two texts.
    #[must_use]
    pub fn new(scheme: &str, id: &str) -> Self {
        Self { scheme: scheme.to_string(), id: id.to_string() }
    }

    /// Whether this is `world:anyone`.
    #[must_use]
    pub fn is_anyone(&self) -> bool {
        self.scheme == "world" && self.id == "anyone"
    }
}

/// One entry of a list that was checked and is kept.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Acl {
    /// What is allowed.
    pub perms: Perms,
    /// To whom.
    pub id: Id,
}

impl Acl {
    /// The list `world:anyone:cdrwa`.
    #[must_use]
    pub fn open() -> Vec<Self> {
        alloc::vec![Self { perms: Perms::ALL, id: Id::new("world", "anyone") }]
    }

    /// The list `world:anyone:r`.
    #[must_use]
    pub fn read_only() -> Vec<Self> {
        alloc::vec![Self { perms: Perms::READ, id: Id::new("world", "anyone") }]
    }

    /// The list `auth::cdrwa`: everything for whoever sends it, as authenticated by then.
    #[must_use]
    pub fn creator_all() -> Vec<Self> {
        alloc::vec![Self { perms: Perms::ALL, id: Id::new("auth", "") }]
    }

    /// Reads an entry of a log or snapshot, where null texts do not occur.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let entry = AclEntry::read(from)?;
        Ok(Self {
            perms: entry.perms,
            id: Id {
                scheme: entry.scheme.ok_or(DecodeError::UnexpectedNull)?.into_owned(),
                id: entry.id.ok_or(DecodeError::UnexpectedNull)?.into_owned(),
            },
        })
    }

    /// Appends the entry: perms int, scheme string, id string.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.put_int(self.perms.0);
        out.put_string(&self.id.scheme);
        out.put_string(&self.id.id);
    }

    /// Reads a whole list; the null list reads as empty.
    pub fn read_list(from: &mut Reader<'_>) -> Result<Vec<Self>, DecodeError> {
        Ok(from.vector(Self::read)?.unwrap_or_default())
    }

    /// Appends a whole list.
    pub fn write_list(list: &[Self], out: &mut Vec<u8>) {
        out.put_count(list.len());
        for entry in list {
            entry.write(out);
        }
    }
}

/// One entry as a client sent it, before anybody looked at it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AclEntry<'a> {
    /// What is allowed.
    pub perms: Perms,
    /// The scheme; clients can send null.
    pub scheme: Option<Text<'a>>,
    /// The id; clients can send null.
    pub id: Option<Text<'a>>,
}

impl<'a> AclEntry<'a> {
    /// Reads an entry.
    pub fn read(from: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { perms: Perms(from.int()?), scheme: from.string()?, id: from.string()? })
    }
}
