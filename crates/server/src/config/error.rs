//! Why a configuration was refused, and the exit codes of the server process.
//!
//! A [`ConfigError`] prints as one line that names the place, the key, the value and the reason:
//! whoever edits the file reads this line and nothing else. The reasons are those that operators
//! of ZooKeeper already know, so that a search for them finds an answer.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// How the server process ends. The numbers are an interface: init scripts look at them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// The server was asked to stop and did.
    Finished = 0,
    /// Anything without a code of its own, a client port in use among them.
    UnexpectedError = 1,
    /// The command line or the configuration is wrong.
    InvalidInvocation = 2,
    /// The data directory is missing, damaged, locked or cannot be written.
    DataDirUnusable = 3,
    /// The admin server could not start.
    AdminServerFailed = 4,
    /// A snapshot could not be written.
    SnapshotFailed = 10,
    /// A commit arrived for something other than the oldest proposal.
    UnmatchedCommit = 12,
    /// A packet between servers could not be understood.
    QuorumPacketError = 13,
    /// The election port stayed taken through all retries.
    ElectionPortUnbound = 14,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A line of a configuration file; lines count from 1.
    File(Arc<PathBuf>, u32),
    /// A `-Dname=value` argument of the command.
    Argument,
    /// The environment variable `SERVER_JVMFLAGS`.
    Environment,
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, line) => write!(out, "{} line {line}", path.display()),
            Self::Argument => out.write_str("command line"),
            Self::Environment => out.write_str("SERVER_JVMFLAGS"),
        }
    }
}

/// A configuration that the server does not start with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    place: Option<String>,
    setting: Option<(String, String)>,
    reason: String,
    exit_code: ExitCode,
}

impl ConfigError {
    /// A refusal for which no single line is to blame.
    pub(super) fn new(place: Option<String>, reason: impl Into<String>) -> Self {
        Self { place, setting: None, reason: reason.into(), exit_code: ExitCode::InvalidInvocation }
    }

    /// A refusal of the value of one key.
    pub(super) fn at(origin: &Origin, key: &str, value: &str, reason: impl Into<String>) -> Self {
        let mut error = Self::new(Some(origin.to_string()), reason);
        error.setting = Some((key.to_owned(), value.to_owned()));
        error
    }

    /// The same refusal with another exit code.
    pub(super) fn exiting(mut self, exit_code: ExitCode) -> Self {
        self.exit_code = exit_code;
        self
    }

    /// What the process ends with.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        self.exit_code
    }

    /// The reason alone, without place, key and value.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(out, "{place}: ")?;
        }
        if let Some((key, value)) = &self.setting {
            write!(out, "{}={}: ", key.escape_debug(), value.escape_debug())?;
        }
        out.write_str(&self.reason)
    }
}

impl std::error::Error for ConfigError {}
