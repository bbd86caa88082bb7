//! The first frame each way: opening or resuming a session.
//!
//! ```text
//! request  = protocolVersion:int lastZxidSeen:long timeOut:int sessionId:long passwd:buffer [readOnly:bool]
//! response = protocolVersion:int(0) timeOut:int sessionId:long passwd:buffer(16) [readOnly:bool]
//! ```
//!
//! Clients from before 3.4 leave the last byte out, and then so does the response.

use alloc::vec::Vec;

use crate::ids::{SessionId, Zxid};
use crate::jute::{DecodeError, Put, Reader};

/// A session's password: derived from its id, checked by any server.
pub type Password = [u8; 16];

/// What a client opens with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectRequest<'a> {
    /// Always 0; nobody looks at it.
    pub protocol_version: i32,
    /// The client has seen history up to here and must not be taken back before it.
    pub last_zxid_seen: Zxid,
    /// The session timeout that the client would like.
    pub timeout_ms: i32,
    /// The session to resume, or [`SessionId::NONE`].
    pub session: SessionId,
    /// Null is fine for a new session.
    pub password: Option<&'a [u8]>,
    /// Whether a read-only server will do; `None` from old clients, which means no.
    pub read_only: Option<bool>,
}

impl<'a> ConnectRequest<'a> {
    /// Reads the record; bytes behind it are ignored.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let from = &mut Reader::new(body);
        Ok(Self {
            protocol_version: from.int()?,
            last_zxid_seen: Zxid(from.long()?),
            timeout_ms: from.int()?,
            session: SessionId(from.long()?),
            password: from.buffer()?,
            read_only: if from.rest().is_empty() { None } else { Some(from.bool()?) },
        })
    }

    /// Appends the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_int(self.protocol_version);
        out.put_long(self.last_zxid_seen.0);
        out.put_int(self.timeout_ms);
        out.put_long(self.session.0);
        out.put_buffer(self.password);
        if let Some(read_only) = self.read_only {
            out.put_bool(read_only);
        }
    }
}

/// What the server answers. A timeout of 0 says: that session is gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConnectResponse {
    /// The negotiated timeout; 0 for a session that is gone.
    pub timeout_ms: i32,
    /// The session; 0 for one that is gone.
    pub session: SessionId,
    /// Its password; zeros for one that is gone.
    pub password: Password,
    /// Whether this server is read-only; `None` towards old clients.
    pub read_only: Option<bool>,
}

impl ConnectResponse {
    /// "That session is gone, or the password is wrong."
    #[must_use]
    pub fn expired(read_only: Option<bool>) -> Self {
        Self { timeout_ms: 0, session: SessionId::NONE, password: [0; 16], read_only }
    }

    /// Reads the record. A password of another length than 16 reads as zeros.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let from = &mut Reader::new(body);
        from.int()?;
        Ok(Self {
            timeout_ms: from.int()?,
            session: SessionId(from.long()?),
            password: from.buffer()?.and_then(|p| p.try_into().ok()).unwrap_or_default(),
            read_only: if from.rest().is_empty() { None } else { Some(from.bool()?) },
        })
    }

    /// Appends the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_int(0);
        out.put_int(self.timeout_ms);
        out.put_long(self.session.0);
        out.put_buffer(Some(&self.password));
        if let Some(read_only) = self.read_only {
            out.put_bool(read_only);
        }
    }
}
