//! The configuration of a server: `zoo.cfg`, process properties, or nothing at all.
//!
//! Names, types and defaults stand in one table, [`keys`]. A key of the file that the table does
//! not read by name becomes the process property `zookeeper.<key>` and wins over one that was
//! given with `-D`. [`Config`] holds what this version acts upon, resolved and in range; all
//! that was set besides is in [`Config::properties`].
//!
//! Reading a configuration opens files (the configuration, a dynamic file, `myid`) but creates
//! none, opens no socket and looks up no name. Log lines are collected, not written, because the
//! log wants to know the server id first.

mod authentication;
pub(crate) mod ensemble;
mod error;
mod flags;
pub mod keys;
pub mod membership;
pub mod properties;
mod quorum;
mod resolve;
mod settings;
#[cfg(test)]
mod tests;
mod throttling;

pub use ensemble::Ensemble;
pub use error::{ConfigError, ExitCode, Origin};
pub use flags::Flags;
pub use throttling::Throttling;

use membership::Membership;
use settings::Settings;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What a server was told to do.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file all this came from, if any.
    pub config_path: Option<PathBuf>,
    /// Directory that holds `myid` and, in `version-2`, the snapshots.
    pub data_dir: PathBuf,
    /// Directory that holds, in `version-2`, the transaction logs.
    pub data_log_dir: PathBuf,
    /// The number in `<data_dir>/myid`, if that file exists.
    pub server_id: Option<u64>,
    /// The servers named by the configuration.
    pub membership: Membership,
    /// What a member of an ensemble has to know; `None` for a server that runs alone.
    pub ensemble: Option<Ensemble>,

    /// Port for clients; `None` opens none, 0 lets the system choose.
    pub client_port: Option<u16>,
    /// Name or address to listen on; `None` is every address.
    pub client_port_address: Option<String>,
    /// Connections that the system holds before they are accepted; -1 leaves it to the system.
    pub client_port_listen_backlog: i32,
    /// Whether client connections use TCP keepalive.
    pub client_tcp_keep_alive: bool,
    /// A connection that opens no session is closed after this time.
    pub sessionless_cnxn_timeout_ms: u32,
    /// Connections from one address; 0 is no limit.
    pub max_client_cnxns: u32,
    /// Connections altogether; 0 is no limit.
    pub max_cnxns: u32,
    /// Requests under way; at the limit the server stops reading from its clients.
    pub global_outstanding_limit: u32,
    /// Threads that serve nothing but connections, 0 for none; `None` goes by the number of cores.
    pub shard_threads: Option<u16>,
    /// How long a thread with little to do looks again before it sleeps; 0 is not at all.
    pub spin_max_us: u32,
    /// What slows clients down or turns them away.
    pub throttling: Throttling,
    /// Greatest request and greatest node.
    pub jute_max_buffer_bytes: u32,
    /// What the server's own framing of a request may add on top of that.
    pub jute_max_buffer_extra_bytes: u32,
    /// The four-letter words that are answered.
    pub four_letter_whitelist: FourLetterWhitelist,

    /// The unit of the other times.
    pub tick_time_ms: u32,
    /// Least timeout that a session gets.
    pub min_session_timeout_ms: u32,
    /// Greatest timeout that a session gets; never below the least.
    pub max_session_timeout_ms: u32,

    /// A snapshot and a new log after a random count in `(n/2, n]` transactions; at least 2.
    pub snap_count: u32,
    /// The same by size of the log; 0 or less is off.
    pub snap_size_limit_kb: i64,
    /// Size at which a log file ends; 0 or less is off.
    pub txn_log_size_limit_kb: i64,
    /// Step by which log files are allocated; 0 or less is off.
    pub pre_alloc_size_kb: i64,
    /// Whether a write is answered only when the log is on disk.
    pub force_sync: bool,
    /// A slower fsync is warned of.
    pub fsync_warning_threshold_ms: i64,
    /// How snapshots are compressed.
    pub snapshot_compression: SnapshotCompression,
    /// Whether to start from logs without any snapshot.
    pub snapshot_trust_empty: bool,
    /// Whether snapshots end with the last zxid.
    pub serialize_last_processed_zxid: bool,
    /// Whether missing data directories are created.
    pub datadir_autocreate: bool,
    /// Whether the digest of the tree is kept and checked.
    pub digest_enabled: bool,
    /// Snapshots that a purge keeps; at least 3.
    pub autopurge_snap_retain_count: u32,
    /// Time between purges, the first at start; 0 is never.
    pub autopurge_purge_interval_hours: u32,

    /// Whether membership may be changed at run time.
    pub reconfig_enabled: bool,
    /// Whether writes beyond a hard limit of a quota are refused.
    pub enforce_quota: bool,
    /// Whether znodes with a time to live can be made, and are deleted in time.
    pub extended_types_enabled: bool,
    /// Whether znodes of release 3.5.3 that have a time to live are known as such.
    pub adopts_ttls_of_353: bool,
    /// Time between looks for containers and znodes that can be deleted.
    pub container_check_interval_ms: u32,
    /// Deletions of such a minute, at most.
    pub container_max_per_minute: u32,
    /// How long a container stays that never had a child; 0 is for ever.
    pub container_max_never_used_interval_ms: i64,

    /// Whether ACLs are left unchecked.
    pub skip_acl: bool,
    /// Whether the scheme `digest` exists.
    pub digest_auth_enabled: bool,
    /// How ids of the scheme `digest` are made, by the name Java has for it, such as `SHA1`.
    pub digest_alg: String,
    /// `super:<base64 of the digest>` of the user who may do everything.
    pub super_digest: Option<String>,
    /// Whether ids of the scheme `sasl` may stand in ACLs.
    pub sasl_auth_enabled: bool,
    /// The id in an ACL that stands for every SASL user.
    pub any_sasl_user: Option<String>,
    /// Whether ids of the scheme `x509` may stand in ACLs.
    pub x509_auth_enabled: bool,
    /// The distinguished name of the user who may do everything.
    pub x509_super_user: Option<String>,
    /// Whether clients may name the ensemble that they mean.
    pub ensemble_auth_enabled: bool,
    /// The names that are right; `None` takes every name.
    pub ensemble_auth_names: Option<Vec<String>>,
    /// A client needs an id of one of these schemes; empty asks for nothing.
    pub required_auth_schemes: Vec<String>,

    /// All process properties, with those the file stands for, by full name.
    pub properties: BTreeMap<String, String>,
    /// To be logged as warnings, one line each.
    pub warnings: Vec<String>,
    /// To be logged at level debug, one line each.
    pub notes: Vec<String>,
}

/// How snapshots are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SnapshotCompression {
    /// Not at all.
    #[default]
    None,
    /// gzip, suffix `.gz`.
    Gzip,
    /// Snappy in the framing of its Java library, suffix `.snappy`.
    Snappy,
}

/// Which four-letter words are answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FourLetterWhitelist {
    all: bool,
    words: BTreeSet<String>,
}

impl FourLetterWhitelist {
    /// Reads a comma-separated list, in which `*` stands for every word. `srvr` is always on.
    #[must_use]
    pub fn parse(list: &str) -> Self {
        let words = list.split(',').map(str::trim).filter(|word| !word.is_empty());
        let mut words: BTreeSet<String> = words.map(str::to_owned).collect();
        let all = words.remove("*");
        words.insert("srvr".to_owned());
        Self { all, words }
    }

    /// Whether this word is answered.
    #[must_use]
    pub fn allows(&self, word: &str) -> bool {
        self.all || self.words.contains(word)
    }
}

impl Config {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// When the file cannot be read or a value is wrong.
    pub fn load(path: &Path, flags: &Flags) -> Result<Self, ConfigError> {
        let mut settings = Settings::new(flags);
        settings.add_file(path)?;
        settings.check()?;
        let mut config = resolve::resolve(&mut settings, Some(path))?;
        quorum::resolve(&mut config, &mut settings, path)?;
        config.take_messages(settings);
        Ok(config)
    }

    /// The configuration of a server that was given no file: port 2181, data under `./data`.
    ///
    /// # Errors
    /// When a process property has a value that the server refuses.
    pub fn default_standalone(flags: &Flags) -> Result<Self, ConfigError> {
        Self::standalone(&[("clientPort", "2181"), ("dataDir", "./data")], flags)
    }

    /// The configuration that the arguments of `serve` ask for: none, `<file>`, or
    /// `<port> <data directory> [tick time in ms] [connections per address]`.
    ///
    /// # Errors
    /// As [`Config::load`], or when there are too many arguments.
    pub fn from_arguments(arguments: &[String], flags: &Flags) -> Result<Self, ConfigError> {
        let refuse = |reason| Err(ConfigError::new(Some("command line".to_owned()), reason));
        if let Some(option) = arguments.iter().find(|argument| argument.starts_with('-')) {
            return refuse(format!("unknown option {}", option.escape_debug()));
        }
        match arguments {
            [] => Self::default_standalone(flags),
            [path] => Self::load(Path::new(path), flags),
            arguments if arguments.len() <= 4 => {
                let names = ["clientPort", "dataDir", "tickTime", "maxClientCnxns"];
                let values = arguments.iter().map(String::as_str);
                let set: Vec<_> = names.into_iter().zip(values).collect();
                Self::standalone(&set, flags)
            }
            arguments => refuse(format!(
                "Invalid number of arguments: {} (expected configfile | port datadir [ticktime] \
                 [maxcnxns])",
                arguments.len()
            )),
        }
    }

    fn standalone(set: &[(&str, &str)], flags: &Flags) -> Result<Self, ConfigError> {
        let mut settings = Settings::new(flags);
        for (key, value) in set {
            settings.set_typed(key, value);
        }
        settings.check()?;
        let mut config = resolve::resolve(&mut settings, None)?;
        // Asked for by hand, port 0 is the system's choice and not the absence of a port.
        config.client_port.get_or_insert(0);
        config.take_messages(settings);
        Ok(config)
    }

    fn take_messages(&mut self, settings: Settings) {
        self.properties = settings.property_values();
        self.warnings = settings.warnings;
        self.notes = settings.notes;
    }
}
