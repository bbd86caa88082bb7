//! Answers that clients with the usual limit cannot take.
//!
//! A server sends whatever was asked for, as in Java; but a client drops a connection that brings a
//! frame above its own `jute.maxbuffer`, connects again and asks again. Whoever looks for the
//! reason should find a line in the server's log.

use alloc::borrow::ToOwned as _;
use alloc::boxed::Box;
use core::net::SocketAddr;

use ostler_wire::ids::SessionId;
use ostler_wire::request::Request as ClientRequest;

use super::Shard;
use super::conn::Conn;

/// The longest of the answers that were longer than a request may be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LongAnswers {
    /// How many there were.
    pub count: u64,
    /// Who got the longest.
    pub remote: SocketAddr,
    /// Its session.
    pub session: SessionId,
    /// What was asked; of several parts the first.
    pub path: Option<Box<str>>,
    /// The length of the frame.
    pub bytes: usize,
}

impl Shard {
    /// What there was since the last time, to be told to the operator.
    pub fn take_long_answers(&mut self) -> Option<LongAnswers> {
        self.long_answers.take()
    }

    /// Notes an answer if it is longer than the server itself takes a frame.
    pub(super) fn note_length(
        &mut self,
        conn: &Conn,
        bytes: usize,
        path: impl FnOnce() -> Option<Box<str>>,
    ) {
        if bytes <= self.settings.frame_max_bytes {
            return;
        }
        let before = self.long_answers.take();
        let count = before.as_ref().map_or(0, |before| before.count) + 1;
        self.long_answers = Some(match before {
            Some(before) if before.bytes >= bytes => LongAnswers { count, ..before },
            _ => LongAnswers {
                count,
                remote: conn.remote,
                session: conn.session,
                path: path(),
                bytes,
            },
        });
    }
}

/// The path whose answer can be long.
pub(super) fn path_of(request: &ClientRequest<'_>) -> Option<Box<str>> {
    match request {
        ClientRequest::GetAcl { path }
        | ClientRequest::GetChildren { path, .. }
        | ClientRequest::GetChildren2 { path, .. }
        | ClientRequest::GetData { path, .. } => Some((**path).to_owned().into()),
        ClientRequest::GetEphemerals { prefix } => {
            prefix.as_ref().map(|prefix| (**prefix).to_owned().into())
        }
        ClientRequest::MultiRead(parts) => parts.first().and_then(path_of),
        _ => None,
    }
}
