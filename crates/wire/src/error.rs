//! Error codes as they stand in reply headers, multi results and error transactions.

use core::fmt;

/// One code of the table below; codes that are not in it can occur in a foreign log.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub i32);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $meaning:literal;)*) => {
        impl ErrorCode {
            $(
                #[doc = $meaning]
                pub const $name: Self = Self($code);
            )*

            /// Every code with its name and its meaning in one clause.
            pub const TABLE: &'static [(Self, &'static str, &'static str)] =
                &[$((Self::$name, stringify!($name), $meaning),)*];
        }
    };
}

codes! {
    OK = 0, "everything is all right";
    SYSTEM_ERROR = -1, "a fault of the server; marks the range down to -100";
    RUNTIME_INCONSISTENCY = -2, "an operation of a failed multi that stands behind the failing one";
    DATA_INCONSISTENCY = -3, "the data contradict themselves";
    CONNECTION_LOSS = -4, "made by clients: the connection broke";
    MARSHALLING_ERROR = -5, "the request could not be read";
    UNIMPLEMENTED = -6, "the server does not know this operation";
    OPERATION_TIMEOUT = -7, "made by clients: no answer in time";
    BAD_ARGUMENTS = -8, "an argument is not valid, mostly the path";
    UNKNOWN_SESSION = -12, "internal to an ensemble: the session is not known";
    NEW_CONFIG_NO_QUORUM = -13, "reconfig: no quorum of the new servers is up to date";
    RECONFIG_IN_PROGRESS = -14, "reconfig: another one has not ended yet";
    API_ERROR = -100, "marks the range of the codes below it";
    NO_NODE = -101, "the znode does not exist";
    NO_AUTH = -102, "the ACL does not allow it";
    BAD_VERSION = -103, "the expected version is not the present one";
    NO_CHILDREN_FOR_EPHEMERALS = -108, "ephemeral znodes cannot have children";
    NODE_EXISTS = -110, "the znode exists already";
    NOT_EMPTY = -111, "the znode has children";
    SESSION_EXPIRED = -112, "the session is gone";
    INVALID_CALLBACK = -113, "made by clients: a callback is not valid";
    INVALID_ACL = -114, "the ACL is empty or not well-formed";
    AUTH_FAILED = -115, "the client could not be authenticated";
    CLOSING = -116, "made by the C client: it is closing";
    NOTHING = -117, "made by the C client: nothing to do";
    SESSION_MOVED = -118, "the session is with another server now";
    NOT_READ_ONLY = -119, "a write on a read-only server";
    EPHEMERAL_ON_LOCAL_SESSION = -120, "ephemeral znodes need a global session";
    NO_WATCHER = -121, "there is no such watch";
    REQUEST_TIMEOUT = -122, "made by clients: the request timed out";
    RECONFIG_DISABLED = -123, "reconfig is switched off";
    SESSION_CLOSED_REQUIRE_SASL_AUTH = -124, "the server insists on authentication";
    QUOTA_EXCEEDED = -125, "a hard quota would be exceeded";
    THROTTLED_OP = -127, "the server is overloaded and did not run the operation";
}

impl ErrorCode {
    /// The name of the code, if the table has it.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        Self::TABLE.iter().find(|(code, ..)| *code == self).map(|(_, name, _)| *name)
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "ErrorCode({})", self.0),
        }
    }
}
