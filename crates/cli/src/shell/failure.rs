//! What a command that failed leaves behind: a text for stderr and an exit code.
//!
//! The texts are those of Apache's shell, so that what greps for them goes on finding them.

use ostler_client::Error;
use ostler_wire::error::ErrorCode;

/// Why a command failed.
#[derive(Debug)]
pub(super) struct Failure {
    /// For stderr; nothing when all has been said already.
    pub text: Option<String>,
    /// What a one-shot command ends with.
    pub code: u8,
}

impl Failure {
    /// Exit code of a command that failed.
    pub(super) const FAILED: u8 = 1;
    /// Exit code for a client configuration that cannot be used.
    pub(super) const BAD_CONFIGURATION: u8 = 2;
    /// Exit code for a command that there is not, as shells have it.
    pub(super) const NOT_FOUND: u8 = 127;
    /// Exit code after Ctrl-C, as shells have it.
    pub(super) const INTERRUPTED: u8 = 130;

    /// An ordinary failure.
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), code: Self::FAILED }
    }

    /// A failure of which everything has been printed.
    pub(super) fn told() -> Self {
        Self { text: None, code: Self::FAILED }
    }

    /// The command was broken off with Ctrl-C.
    pub(super) fn interrupted() -> Self {
        Self { text: None, code: Self::INTERRUPTED }
    }

    /// An option that cannot be read, in the words of the library that Apache's shell uses.
    pub(super) fn parse(exception: &str, text: &str) -> Self {
        // Java: CliParseException prints its cause with the name of its class.
        Self::new(format!("org.apache.commons.cli.{exception}: {text}"))
    }

    /// No command has this name.
    pub(super) fn not_found(command: &str) -> Self {
        // Java: ZooKeeperMain.processZKCmd and CommandNotFoundException both say so.
        Self {
            text: Some(format!("Command not found: Command not found {command}")),
            code: Self::NOT_FOUND,
        }
    }

    /// The server, or the client on its way there, refused an operation on `path`.
    pub(super) fn refused(error: &Error, path: &str) -> Self {
        Self::new(refusal(error, path))
    }

    /// As [`refused`](Self::refused), for an operation without a path.
    pub(super) fn refused_without_path(error: &Error) -> Self {
        Self::new(refusal(error, ""))
    }
}

fn refusal(error: &Error, path: &str) -> String {
    let Some(code) = error.code().map(ErrorCode) else { return error.to_string() };
    let text = match code {
        ErrorCode::NO_NODE => "Node does not exist: ",
        ErrorCode::NO_CHILDREN_FOR_EPHEMERALS => "Ephemerals cannot have children: ",
        ErrorCode::NODE_EXISTS => "Node already exists: ",
        ErrorCode::NOT_EMPTY => "Node not empty: ",
        ErrorCode::NOT_READ_ONLY => "Not a read-only call: ",
        ErrorCode::INVALID_ACL => "Acl is not valid : ",
        ErrorCode::NO_AUTH => "Insufficient permission : ",
        ErrorCode::BAD_ARGUMENTS => "Arguments are not valid : ",
        ErrorCode::BAD_VERSION => "version No is not valid : ",
        ErrorCode::QUOTA_EXCEEDED => "Quota has exceeded : ",
        ErrorCode::RECONFIG_IN_PROGRESS => return RECONFIG_IN_PROGRESS.to_string(),
        ErrorCode::NEW_CONFIG_NO_QUORUM => return NEW_CONFIG_NO_QUORUM.to_string(),
        _ => return keeper_text(code, path),
    };
    format!("{text}{path}")
}

/// `KeeperErrorCode = NoNode for /a`: what Java's exceptions of the client say.
pub(super) fn keeper_text(code: ErrorCode, path: &str) -> String {
    let meaning = MEANINGS.iter().find(|(known, _)| *known == code);
    let meaning = match (meaning, code.name()) {
        (Some((_, meaning)), _) => (*meaning).to_string(),
        (None, Some(name)) => format!("Unknown error {}", name.replace('_', "")),
        (None, None) => format!("Unknown error {}", code.0),
    };
    let target = if path.is_empty() { String::new() } else { format!(" for {path}") };
    format!("KeeperErrorCode = {meaning}{target}")
}

const RECONFIG_IN_PROGRESS: &str =
    "Another reconfiguration is in progress -- concurrent reconfigs not supported (yet)";

// The spelling is Apache's.
const NEW_CONFIG_NO_QUORUM: &str = "No quorum of new config is connected and up-to-date with the \
     leader of last commmitted config - try invoking reconfiguration after new servers are \
     connected and synced";

/// Java: KeeperException.getCodeMessage.
const MEANINGS: &[(ErrorCode, &str)] = &[
    (ErrorCode::OK, "ok"),
    (ErrorCode::SYSTEM_ERROR, "SystemError"),
    (ErrorCode::RUNTIME_INCONSISTENCY, "RuntimeInconsistency"),
    (ErrorCode::DATA_INCONSISTENCY, "DataInconsistency"),
    (ErrorCode::CONNECTION_LOSS, "ConnectionLoss"),
    (ErrorCode::MARSHALLING_ERROR, "MarshallingError"),
    (ErrorCode::NEW_CONFIG_NO_QUORUM, "NewConfigNoQuorum"),
    (ErrorCode::RECONFIG_IN_PROGRESS, "ReconfigInProgress"),
    (ErrorCode::UNIMPLEMENTED, "Unimplemented"),
    (ErrorCode::OPERATION_TIMEOUT, "OperationTimeout"),
    (ErrorCode::BAD_ARGUMENTS, "BadArguments"),
    (ErrorCode::API_ERROR, "APIError"),
    (ErrorCode::NO_NODE, "NoNode"),
    (ErrorCode::NO_AUTH, "NoAuth"),
    (ErrorCode::BAD_VERSION, "BadVersion"),
    (ErrorCode::NO_CHILDREN_FOR_EPHEMERALS, "NoChildrenForEphemerals"),
    (ErrorCode::NODE_EXISTS, "NodeExists"),
    (ErrorCode::INVALID_ACL, "InvalidACL"),
    (ErrorCode::AUTH_FAILED, "AuthFailed"),
    (ErrorCode::NOT_EMPTY, "Directory not empty"),
    (ErrorCode::SESSION_EXPIRED, "Session expired"),
    (ErrorCode::INVALID_CALLBACK, "Invalid callback"),
    (ErrorCode::SESSION_MOVED, "Session moved"),
    (ErrorCode::NOT_READ_ONLY, "Not a read-only call"),
    (ErrorCode::EPHEMERAL_ON_LOCAL_SESSION, "Ephemeral node on local session"),
    (ErrorCode::NO_WATCHER, "No such watcher"),
    (ErrorCode::RECONFIG_DISABLED, "Reconfig is disabled"),
    (
        ErrorCode::SESSION_CLOSED_REQUIRE_SASL_AUTH,
        "Session closed because client failed to authenticate",
    ),
    (ErrorCode::QUOTA_EXCEEDED, "Quota has exceeded"),
    (ErrorCode::THROTTLED_OP, "Op throttled due to high load"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_in_the_words_that_scripts_know() {
        for (error, text) in [
            (Error::NoNode, "Node does not exist: /a"),
            (Error::BadVersion, "version No is not valid : /a"),
            (Error::ConnectionLoss, "KeeperErrorCode = ConnectionLoss for /a"),
            (Error::NoWatcher, "KeeperErrorCode = No such watcher for /a"),
            (Error::Server(-122), "KeeperErrorCode = Unknown error REQUESTTIMEOUT for /a"),
            (Error::Server(-999), "KeeperErrorCode = Unknown error -999 for /a"),
        ] {
            assert_eq!(refusal(&error, "/a"), text);
        }
        assert_eq!(refusal(&Error::Unimplemented, ""), "KeeperErrorCode = Unimplemented");
    }
}
