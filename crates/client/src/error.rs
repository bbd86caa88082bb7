//! Everything that can go wrong, as one enum.
//!
//! The first block is what servers say; each variant has a code of ZooKeeper's protocol. The second
//! is what the client itself finds out. Nothing here is fatal to the process.

use std::sync::Arc;

use ostler_wire::error::ErrorCode;

/// The result of an operation.
pub type Result<T> = core::result::Result<T, Error>;

/// Why an operation did not succeed.
///
/// ```
/// use ostler_client::Error;
///
/// assert_eq!(Error::NoNode.code(), Some(-101));
/// assert!(Error::ConnectionLoss.is_retryable());
/// assert!(!Error::NodeExists.is_retryable());
/// ```
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// -101: the znode, or the parent of one to be created, does not exist.
    #[error("the znode does not exist")]
    NoNode,
    /// -110: a znode of that path exists already.
    #[error("the znode exists already")]
    NodeExists,
    /// -111: a znode with children cannot be deleted.
    #[error("the znode has children")]
    NotEmpty,
    /// -103: the expected version is not the present one.
    #[error("the expected version is not the present one")]
    BadVersion,
    /// -102: the znode's ACL does not allow it.
    #[error("the ACL does not allow it")]
    NoAuth,
    /// -114: the ACL is empty or not well-formed.
    #[error("the ACL is empty or not well-formed")]
    InvalidAcl,
    /// -108: ephemeral znodes cannot have children.
    #[error("ephemeral znodes cannot have children")]
    NoChildrenForEphemerals,
    /// -8: an argument is not valid, mostly the path.
    #[error("an argument is not valid")]
    BadArguments,
    /// -119: a write on a server that is read-only at the moment.
    #[error("the server is read-only at the moment")]
    NotReadOnly,
    /// -118: the session is with another server now.
    #[error("the session is with another server now")]
    SessionMoved,
    /// -125: a hard quota would be exceeded.
    #[error("a quota would be exceeded")]
    QuotaExceeded,
    /// -121: there is no such watch.
    #[error("there is no such watch")]
    NoWatcher,
    /// -6: the server does not know this operation.
    #[error("the server does not know this operation")]
    Unimplemented,
    /// -123: reconfiguration is switched off.
    #[error("reconfiguration is switched off")]
    ReconfigDisabled,
    /// -14: another reconfiguration has not ended yet.
    #[error("another reconfiguration has not ended yet")]
    ReconfigInProgress,
    /// -13: no quorum of the new servers is up to date.
    #[error("no quorum of the new servers is up to date")]
    NewConfigNoQuorum,
    /// -120: ephemeral znodes need a global session.
    #[error("ephemeral znodes need a global session")]
    EphemeralOnLocalSession,
    /// -122: no answer within [`Builder::request_timeout`](crate::Builder::request_timeout); it is
    /// not known whether the operation was done.
    #[error("no answer in time")]
    RequestTimeout,
    /// -5: the server could not read the request.
    #[error("the server could not read the request")]
    MarshallingError,
    /// -127: the server is overloaded and did not run the operation.
    #[error("the server is overloaded")]
    Throttled,
    /// Any other code of a server.
    #[error("error {0} of the server")]
    Server(i32),

    /// -4: the connection broke before the answer came; it is not known whether the operation was
    /// done. A request that is longer than the server's `jute.maxbuffer` ends like this as well.
    #[error("the connection broke before the answer came")]
    ConnectionLoss,
    /// -112: the session is gone, and with it its ephemeral znodes and watches.
    #[error("the session has expired")]
    SessionExpired,
    /// -115: a server refused the credentials; the client is finished.
    #[error("the credentials were refused")]
    AuthFailed,
    /// The client is closed.
    #[error("the client is closed")]
    Closed,
    /// -7: something that was waited for did not happen in time.
    #[error("it did not happen in time")]
    Timeout,
    /// No session could be had in time from any of the servers.
    #[error("no session with {servers}: {why}")]
    Unreachable {
        /// The connect string.
        servers: String,
        /// What went wrong last.
        why: String,
    },
    /// A path that no server would accept; nothing was sent.
    #[error("{why}")]
    BadPath {
        /// The path as it was given.
        path: String,
        /// The sentence that ZooKeeper's own client has for it.
        why: String,
    },
    /// A connect string that cannot be understood.
    #[error("the connect string {text:?} is not valid: {why}")]
    BadConnectString {
        /// The whole string.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// The answer is larger than [`Builder::frame_max`](crate::Builder::frame_max) allows; the
    /// connection was dropped because of it.
    #[error("an answer of {bytes} bytes is more than the {max} that are allowed")]
    TooLarge {
        /// Length of the answer.
        bytes: i64,
        /// The limit.
        max: usize,
    },
    /// More operations wait for answers than
    /// [`Builder::outstanding_max`](crate::Builder::outstanding_max) allows; this one was not sent.
    /// [`Client::ready`](crate::Client::ready) waits until there is room.
    #[error("too many operations wait for their answers")]
    Overloaded,
    /// The client was started outside of a tokio runtime.
    #[error("there is no tokio runtime to run in")]
    NoRuntime,
    /// A multi was refused; nothing of it was done.
    #[error("operation {index} of the multi: {cause}")]
    Multi {
        /// Which of its operations was refused, counted from 0.
        index: usize,
        /// Why.
        cause: Box<Self>,
    },
    /// An answer could not be read as what it should be.
    #[error("an answer could not be read: {0}")]
    BadAnswer(Arc<str>),
}

/// What servers say, and the codes that clients share with them.
const CODES: &[(ErrorCode, Error)] = &[
    (ErrorCode::NO_NODE, Error::NoNode),
    (ErrorCode::NODE_EXISTS, Error::NodeExists),
    (ErrorCode::NOT_EMPTY, Error::NotEmpty),
    (ErrorCode::BAD_VERSION, Error::BadVersion),
    (ErrorCode::NO_AUTH, Error::NoAuth),
    (ErrorCode::INVALID_ACL, Error::InvalidAcl),
    (ErrorCode::NO_CHILDREN_FOR_EPHEMERALS, Error::NoChildrenForEphemerals),
    (ErrorCode::BAD_ARGUMENTS, Error::BadArguments),
    (ErrorCode::NOT_READ_ONLY, Error::NotReadOnly),
    (ErrorCode::SESSION_MOVED, Error::SessionMoved),
    (ErrorCode::QUOTA_EXCEEDED, Error::QuotaExceeded),
    (ErrorCode::NO_WATCHER, Error::NoWatcher),
    (ErrorCode::UNIMPLEMENTED, Error::Unimplemented),
    (ErrorCode::RECONFIG_DISABLED, Error::ReconfigDisabled),
    (ErrorCode::RECONFIG_IN_PROGRESS, Error::ReconfigInProgress),
    (ErrorCode::NEW_CONFIG_NO_QUORUM, Error::NewConfigNoQuorum),
    (ErrorCode::EPHEMERAL_ON_LOCAL_SESSION, Error::EphemeralOnLocalSession),
    (ErrorCode::REQUEST_TIMEOUT, Error::RequestTimeout),
    (ErrorCode::MARSHALLING_ERROR, Error::MarshallingError),
    (ErrorCode::THROTTLED_OP, Error::Throttled),
    (ErrorCode::CONNECTION_LOSS, Error::ConnectionLoss),
    (ErrorCode::SESSION_EXPIRED, Error::SessionExpired),
    (ErrorCode::AUTH_FAILED, Error::AuthFailed),
    (ErrorCode::OPERATION_TIMEOUT, Error::Timeout),
];

impl Error {
    /// The error of this code of the protocol.
    #[must_use]
    pub fn from_code(code: i32) -> Self {
        let known = CODES.iter().find(|(known, _)| known.0 == code);
        known.map_or(Self::Server(code), |(_, error)| error.clone())
    }

    /// The code of the protocol, as other clients show it. `None` for what only this client knows.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        match self {
            Self::Server(code) => Some(*code),
            Self::Multi { cause, .. } => cause.code(),
            _ => CODES.iter().find(|(_, known)| known == self).map(|(code, _)| code.0),
        }
    }

    /// Whether the same call may succeed when it is made again: the link or the server is to blame
    /// and not the request. It may have been done already.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::ConnectionLoss
                | Self::Timeout
                | Self::RequestTimeout
                | Self::Throttled
                | Self::Overloaded
        )
    }

    pub(crate) fn bad_answer(why: impl core::fmt::Display) -> Self {
        Self::BadAnswer(why.to_string().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_lead_to_errors_and_back() {
        for (code, error) in CODES {
            assert_eq!(Error::from_code(code.0), *error);
            assert_eq!(error.code(), Some(code.0));
        }
        assert_eq!(Error::from_code(-77), Error::Server(-77));
        assert_eq!(Error::Server(-77).code(), Some(-77));
        assert_eq!(Error::Closed.code(), None);
        let multi = Error::Multi { index: 1, cause: Box::new(Error::NoNode) };
        assert_eq!(multi.code(), Some(-101));
        assert_eq!(multi.to_string(), "operation 1 of the multi: the znode does not exist");
    }
}
