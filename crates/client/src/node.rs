//! What a znode is made of: its data, and how it is to be created.

use std::time::Duration;

use ostler_wire::acl::Acl;
use ostler_wire::request::{CreateRequest, Request, acl_entries};
use ostler_wire::stat::Stat;

use crate::error::Result;
use crate::path;

/// The data of a znode: bytes, or null, which is not the same as no bytes.
///
/// ```
/// use ostler_client::Data;
///
/// assert_eq!(Data::from("text").as_slice(), Some(&b"text"[..]));
/// assert_eq!(Data::from([1, 2]).as_slice(), Some(&[1, 2][..]));
/// assert_eq!(Data::NULL.as_slice(), None);
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Data(Option<Vec<u8>>);

impl Data {
    /// No data at all.
    pub const NULL: Self = Self(None);

    /// The bytes, or `None` for null.
    #[must_use]
    pub fn as_slice(&self) -> Option<&[u8]> {
        self.0.as_deref()
    }
}

impl From<Vec<u8>> for Data {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Some(bytes))
    }
}

impl From<&Vec<u8>> for Data {
    fn from(bytes: &Vec<u8>) -> Self {
        Self(Some(bytes.clone()))
    }
}

impl From<&[u8]> for Data {
    fn from(bytes: &[u8]) -> Self {
        Self(Some(bytes.to_vec()))
    }
}

impl<const N: usize> From<[u8; N]> for Data {
    fn from(bytes: [u8; N]) -> Self {
        Self(Some(bytes.to_vec()))
    }
}

impl<const N: usize> From<&[u8; N]> for Data {
    fn from(bytes: &[u8; N]) -> Self {
        Self(Some(bytes.to_vec()))
    }
}

impl From<&str> for Data {
    fn from(text: &str) -> Self {
        Self(Some(text.as_bytes().to_vec()))
    }
}

impl From<String> for Data {
    fn from(text: String) -> Self {
        Self(Some(text.into_bytes()))
    }
}

impl From<&String> for Data {
    fn from(text: &String) -> Self {
        Self(Some(text.clone().into_bytes()))
    }
}

impl From<Option<Vec<u8>>> for Data {
    fn from(bytes: Option<Vec<u8>>) -> Self {
        Self(bytes)
    }
}

/// How long a znode lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Persistent,
    Ephemeral,
    Container,
    Ttl(Duration),
}

/// How a znode is created: its kind, its name and who may do what with it.
///
/// ```
/// use std::time::Duration;
/// use ostler_client::{Acl, CreateOptions};
///
/// let member = CreateOptions::ephemeral().sequential();
/// let secret = CreateOptions::persistent().acl(Acl::creator_all());
/// let short_lived = CreateOptions::ttl(Duration::from_secs(60));
/// /// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreateOptions {
    kind: Kind,
    sequential: bool,
    acl: Vec<Acl>,
}

impl Default for CreateOptions {
    fn default() -> Self {
        Self::persistent()
    }
}

impl CreateOptions {
    fn of(kind: Kind) -> Self {
        Self { kind, sequential: false, acl: Acl::open() }
    }

    /// Stays until it is deleted. Everybody may do everything with it, as with the other kinds,
    /// unless [`acl`](Self::acl) says otherwise.
    #[must_use]
    pub fn persistent() -> Self {
        Self::of(Kind::Persistent)
    }

    /// Goes with the session that creates it; cannot have children.
    #[must_use]
    pub fn ephemeral() -> Self {
        Self::of(Kind::Ephemeral)
    }

    /// Is deleted by the servers some time after its last child is gone.
    #[must_use]
    pub fn container() -> Self {
        Self::of(Kind::Container)
    }

    /// Is deleted by the servers when it has no children and was not changed for so long.
    ///
    /// Servers know this kind only if their `extendedTypesEnabled` is on; others answer
    /// [`Error::Unimplemented`](crate::Error::Unimplemented). Counted in milliseconds, at least
    /// one.
    #[must_use]
    pub fn ttl(ttl: Duration) -> Self {
        Self::of(Kind::Ttl(ttl))
    }

    /// The server appends ten digits that grow with each child of the parent. Not for containers,
    /// where it has no effect.
    #[must_use]
    pub fn sequential(mut self) -> Self {
        self.sequential = true;
        self
    }

    /// Who may do what with the znode.
    #[must_use]
    pub fn acl(mut self, acl: Vec<Acl>) -> Self {
        self.acl = acl;
        self
    }

    /// Whether the server appends digits to the name.
    #[must_use]
    pub fn is_sequential(&self) -> bool {
        self.sequential && self.kind != Kind::Container
    }

    /// The create flags of the protocol.
    fn flags(&self) -> i32 {
        match (self.kind, self.sequential) {
            (Kind::Persistent, false) => 0,
            (Kind::Ephemeral, false) => 1,
            (Kind::Persistent, true) => 2,
            (Kind::Ephemeral, true) => 3,
            (Kind::Container, _) => 4,
            (Kind::Ttl(_), false) => 5,
            (Kind::Ttl(_), true) => 6,
        }
    }

    pub(crate) fn check_path(&self, path: &str) -> Result<()> {
        if self.is_sequential() { path::check_sequential(path) } else { path::check(path) }
    }

    /// The request that creates the znode `path` of the server.
    pub(crate) fn request<'r>(&'r self, path: &'r str, data: &'r Data) -> Request<'r> {
        let ttl_ms = match self.kind {
            Kind::Ttl(ttl) => i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX),
            Kind::Persistent | Kind::Ephemeral | Kind::Container => -1,
        };
        let create = CreateRequest {
            path: path.into(),
            data: data.as_slice(),
            acl: Some(acl_entries(&self.acl)),
            flags: self.flags(),
            ttl_ms,
        };
        match self.kind {
            Kind::Persistent | Kind::Ephemeral => Request::Create2(create),
            Kind::Container => Request::CreateContainer(create),
            Kind::Ttl(_) => Request::CreateTtl(create),
        }
    }
}

/// A znode that was created.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Created {
    /// Its path, with the digits that the server appended.
    pub path: String,
    /// What is known of it.
    pub stat: Stat,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_opcode_and_flags() {
        let data = Data::NULL;
        for (options, op, flags) in [
            (CreateOptions::persistent(), 15, 0),
            (CreateOptions::ephemeral(), 15, 1),
            (CreateOptions::persistent().sequential(), 15, 2),
            (CreateOptions::ephemeral().sequential(), 15, 3),
            (CreateOptions::container(), 19, 4),
            (CreateOptions::ttl(Duration::from_secs(1)), 21, 5),
            (CreateOptions::ttl(Duration::from_secs(1)).sequential(), 21, 6),
        ] {
            let request = options.request("/a", &data);
            assert_eq!((request.op().number(), options.flags()), (op, flags));
        }
    }
}
