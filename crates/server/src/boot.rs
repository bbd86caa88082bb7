//! How a server begins and ends: configuration, data directory, recovery, threads, signals.

mod directories;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode as ProcessExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{io, thread};

use mio::net::TcpListener;
use mio::{Poll, Waker};
use ostler_disk::compress::Compression;
use ostler_disk::dir_lock::DirLock;
use ostler_disk::log::{Log, LogOptions};
use ostler_disk::real_disk::RealDisk;
use ostler_disk::snapshot::SnapshotOptions;
use ostler_node::auth::DigestAlgorithm;
use ostler_node::limits::{AuthSettings, ReaperSettings, Settings};
use ostler_node::messages::ShardId;
use ostler_node::replica::{LogOp, Replica};
use ostler_node::shard::{LargeRequests, Shard};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::admin::AdminLoop;
use crate::config::{Config, ConfigError, ExitCode, Flags, SnapshotCompression};
use crate::feed::Tail;
use crate::logging;
use crate::loops::log::LogLoop;
use crate::loops::replica::ReplicaLoop;
use crate::loops::shard::{Listener, ShardLoop, WAKE};
use crate::loops::snapshot::SnapshotLoop;
use crate::mail::{Clocks, Question, ReplicaMail, ShardBox, SnapshotMail, mailbox};
use crate::net::limits::ConnLimits;
use crate::net::listener::listen;

/// What ends a running server without being asked.
#[derive(Debug)]
pub(crate) enum Fatal {
    /// The log cannot be written: nothing can be acknowledged any more.
    Log(io::Error),
    /// A shard cannot wait for its sockets.
    Shard(io::Error),
}

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A value of the configuration has no meaning here.
    #[error("{0}")]
    Setting(String),
    /// A data directory cannot be had or used.
    #[error("{0}")]
    Directory(String),
    /// What is in the data directories cannot be trusted.
    #[error("{0}")]
    Data(String),
    /// The client port cannot be had.
    #[error("cannot listen on port {port} of {host}: {source}")]
    Listen {
        /// The configured host, or every address.
        host: String,
        /// The configured port.
        port: u16,
        /// What the operating system said.
        source: io::Error,
    },
    /// The operating system gave no thread or no random numbers.
    #[error("the operating system refused: {0}")]
    System(#[from] io::Error),
}

impl StartError {
    /// What the process ends with.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Setting(_) => ExitCode::InvalidInvocation,
            Self::Directory(_) => ExitCode::DataDirUnusable,
            Self::Data(_) | Self::Listen { .. } | Self::System(_) => ExitCode::UnexpectedError,
        }
    }
}

/// `ostler serve`: runs a server until a signal or a fatal error ends it.
#[must_use]
pub fn serve(arguments: &[String]) -> ProcessExitCode {
    match configure(arguments) {
        Ok(config) => {
            logging::init(config.server_id);
            run(config).into()
        }
        Err(error) => {
            eprintln!("{error}");
            error.exit_code().into()
        }
    }
}

fn configure(arguments: &[String]) -> Result<Config, ConfigError> {
    let from_environment = std::env::var("SERVER_JVMFLAGS").unwrap_or_default();
    let mut flags = Flags::from_environment(&from_environment);
    let arguments = flags.take_arguments(arguments.iter().cloned());
    let config = Config::from_arguments(&arguments, &flags)?;
    if arguments.is_empty() {
        eprintln!(
            "no configuration given: serving port 2181 with data in {}",
            config.data_dir.display()
        );
    }
    Ok(config)
}

fn run(config: Config) -> ExitCode {
    tracing::info!("Ostler {} starting", env!("CARGO_PKG_VERSION"));
    config.notes.iter().for_each(|note| tracing::debug!("{note}"));
    config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    // Before anything that takes time, so that no signal is missed.
    let signals = Signals::new([SIGTERM, SIGINT, SIGHUP]);
    let server = match signals.map_err(StartError::from).and_then(|signals| {
        let server = Server::start(config)?;
        server.end_on(signals);
        Ok(server)
    }) {
        Ok(server) => server,
        Err(error) => {
            tracing::error!("{error}");
            return error.exit_code();
        }
    };
    server.wait()
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    address: Option<SocketAddr>,
    shards: Vec<Arc<ShardBox>>,
    replica: Sender<ReplicaMail>,
    snapshots: Sender<SnapshotMail>,
    ends: Receiver<End>,
    end: Sender<End>,
    threads: Vec<JoinHandle<()>>,
    _locks: Vec<DirLock>,
}

/// Why a server ends.
#[derive(Debug)]
enum End {
    Asked(&'static str),
    Fatal(Fatal),
}

impl Server {
    /// Recovers the data, opens the client port and serves it.
    ///
    /// # Errors
    ///
    /// When the directories, the data in them or the port cannot be used; nothing is changed then.
    pub fn start(config: Config) -> Result<Self, StartError> {
        let settings = Arc::new(settings(&config)?);
        let locks = directories::prepare(&config)?;
        let listener = bind(&config)?;
        let seed = random()?;
        let found = directories::recover(&config, seed)?;
        let clocks = Clocks::new();
        let at = clocks.read();
        let replica =
            Replica::new(at, Arc::clone(&settings), found.tree.clone(), found.txns_logged, seed);
        let ttls = replica.ttls_that_stay();
        if ttls > 0 {
            tracing::warn!(
                "{ttls} znodes have a time to live and are not deleted when it is over: \
                 extendedTypesEnabled is not set"
            );
        }
        let (end, ends) = mailbox();
        let mut starter = Starter {
            config: Arc::new(config),
            clocks,
            shards: Vec::new(),
            end,
            threads: Vec::new(),
        };
        let large_requests = LargeRequests::new(&settings);
        for shard in 0..shard_count() {
            let id = ShardId(shard);
            let seed = random()?;
            let shard = Shard::new(id, Arc::clone(&settings), found.tree.clone(), seed);
            starter.add_shard(shard.sharing(&large_requests))?;
        }
        starter.start(replica, listener, (ends, locks))
    }

    /// Where clients can connect, if there is a client port.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Ends the server and waits until everything that was taken is on disk.
    pub fn stop(self) {
        let _ = self.end.send(End::Asked("it was asked to"));
        self.wait();
    }

    /// Lets a signal end the server.
    fn end_on(&self, mut signals: Signals) {
        let end = self.end.clone();
        // Ends with the process; there is nothing to clean up.
        thread::spawn(move || {
            for signal in &mut signals {
                let reason = match signal {
                    SIGTERM => "SIGTERM",
                    SIGINT => "SIGINT",
                    _ => {
                        tracing::info!("SIGHUP: nothing to reload");
                        continue;
                    }
                };
                let _ = end.send(End::Asked(reason));
            }
        });
    }

    /// Waits for the end and ends the threads.
    fn wait(self) -> ExitCode {
        let code = match self.ends.recv() {
            Ok(End::Asked(reason)) => {
                tracing::info!("ending: {reason}");
                ExitCode::Finished
            }
            Ok(End::Fatal(Fatal::Log(error))) => {
                tracing::error!(
                    "cannot write the transaction log: {error}. Nothing more can be acknowledged; \
                     the server ends. What was acknowledged is safe"
                );
                ExitCode::UnexpectedError
            }
            Ok(End::Fatal(Fatal::Shard(error))) => {
                tracing::error!("cannot wait for sockets: {error}");
                ExitCode::UnexpectedError
            }
            Err(_) => ExitCode::UnexpectedError,
        };
        self.shards.iter().for_each(|shard| shard.stop());
        let _ = self.replica.send(ReplicaMail::Stop);
        let _ = self.snapshots.send(SnapshotMail::Stop);
        for thread in self.threads {
            // One that panicked has said so already.
            let _ = thread.join();
        }
        code
    }
}

/// A server that is being put together.
struct Starter {
    config: Arc<Config>,
    clocks: Clocks,
    shards: Vec<(Shard, Poll, Arc<ShardBox>)>,
    end: Sender<End>,
    threads: Vec<JoinHandle<()>>,
}

impl Starter {
    fn add_shard(&mut self, shard: Shard) -> Result<(), StartError> {
        let poll = Poll::new()?;
        let own_box = ShardBox::new(Waker::new(poll.registry(), WAKE)?);
        self.shards.push((shard, poll, own_box));
        Ok(())
    }

    fn spawn(
        &mut self,
        name: &str,
        body: impl FnOnce() + Send + 'static,
    ) -> Result<(), StartError> {
        self.threads.push(thread::Builder::new().name(name.to_owned()).spawn(body)?);
        Ok(())
    }

    /// Starts the threads; from here on clients are served.
    fn start(
        mut self,
        replica: Replica,
        listener: Option<TcpListener>,
        (ends, locks): (Receiver<End>, Vec<DirLock>),
    ) -> Result<Server, StartError> {
        let address = listener.as_ref().and_then(|socket| socket.local_addr().ok());
        let (to_replica, replica_mail) = mailbox();
        let (to_log, log_mail) = mailbox();
        let (to_snapshots, snapshot_mail) = mailbox();
        let (to_admin, questions) = mailbox();
        let feed = Tail::new();
        let boxes: Vec<_> = self.shards.iter().map(|(_, _, own_box)| Arc::clone(own_box)).collect();
        let listener = listener.map(|socket| Listener { socket, shards: boxes.clone(), next: 0 });
        self.start_shards(&feed, listener, (&to_replica, &to_admin))?;
        let replica = ReplicaLoop {
            replica,
            mail: replica_mail,
            feed,
            shards: boxes.clone(),
            log: to_log,
            snapshots: to_snapshots.clone(),
            clocks: self.clocks,
        };
        self.spawn("replica", move || replica.run())?;
        self.start_log(log_mail, &to_replica)?;
        self.start_snapshots(snapshot_mail, &to_replica)?;
        let (snap_dir, log_dir) = version_dirs(&self.config);
        let admin = AdminLoop {
            config: Arc::clone(&self.config),
            client_port: address.map(|address| address.port()),
            snap_dir,
            log_dir,
            shards: boxes.clone(),
            replica: to_replica.clone(),
            questions,
            clocks: self.clocks,
        };
        self.spawn("admin", move || admin.run())?;
        match address {
            Some(address) => tracing::info!("serving clients on {address}"),
            None => tracing::warn!("no clientPort is set: no client can connect"),
        }
        Ok(Server {
            address,
            shards: boxes,
            replica: to_replica,
            snapshots: to_snapshots,
            ends,
            end: self.end,
            threads: self.threads,
            _locks: locks,
        })
    }

    fn start_shards(
        &mut self,
        feed: &Tail,
        mut listener: Option<Listener>,
        (replica, questions): (&Sender<ReplicaMail>, &Sender<Question>),
    ) -> Result<(), StartError> {
        let limits = ConnLimits::new(self.config.max_client_cnxns, self.config.max_cnxns);
        for (shard, poll, own_box) in std::mem::take(&mut self.shards) {
            let shard = ShardLoop {
                shard,
                poll,
                own_box,
                cursor: feed.cursor(),
                replica: replica.clone(),
                questions: questions.clone(),
                clocks: self.clocks,
                limits: Arc::clone(&limits),
                keep_alive: self.config.client_tcp_keep_alive,
                listener: listener.take(),
            };
            let end = self.end.clone();
            self.spawn("shard", move || {
                if let Err(error) = shard.run() {
                    let _ = end.send(End::Fatal(Fatal::Shard(error)));
                }
            })?;
        }
        Ok(())
    }

    fn start_log(
        &mut self,
        mail: Receiver<Vec<LogOp>>,
        replica: &Sender<ReplicaMail>,
    ) -> Result<(), StartError> {
        let config = &self.config;
        let (_, log_dir) = version_dirs(config);
        let slow_sync_ms = u64::try_from(config.fsync_warning_threshold_ms).unwrap_or(0);
        let log = LogLoop {
            log: Log::new(RealDisk, log_dir, log_options(config)),
            mail,
            replica: replica.clone(),
            slow_sync: Duration::from_millis(slow_sync_ms),
        };
        let end = self.end.clone();
        self.spawn("log", move || {
            if let Err(error) = log.run() {
                let _ = end.send(End::Fatal(Fatal::Log(error)));
            }
        })
    }

    fn start_snapshots(
        &self,
        mail: Receiver<SnapshotMail>,
        replica: &Sender<ReplicaMail>,
    ) -> Result<(), StartError> {
        let config = &self.config;
        let (snap_dir, log_dir) = version_dirs(config);
        let hours = u64::from(config.autopurge_purge_interval_hours);
        let keep = config.autopurge_snap_retain_count as usize;
        let snapshots = SnapshotLoop {
            disk: RealDisk,
            snap_dir,
            log_dir,
            options: snapshot_options(config),
            purge: (hours > 0).then(|| (keep, Duration::from_secs(hours * 3600))),
            mail,
            replica: replica.clone(),
        };
        // Not waited for: a snapshot that is cut short leaves nothing but a temporary file.
        thread::Builder::new().name("snapshot".to_owned()).spawn(move || snapshots.run())?;
        Ok(())
    }
}

fn bind(config: &Config) -> Result<Option<TcpListener>, StartError> {
    let Some(port) = config.client_port else { return Ok(None) };
    let host = config.client_port_address.as_deref();
    listen(host, port, config.client_port_listen_backlog).map(Some).map_err(|source| {
        let host = host.unwrap_or("every address").to_owned();
        StartError::Listen { host, port, source }
    })
}

/// One thread for connections on a small machine; the replica and the log want cores too.
fn shard_count() -> u16 {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    u16::try_from(cores.saturating_sub(2).clamp(1, 32)).unwrap_or(1)
}

fn random() -> Result<u64, StartError> {
    getrandom::u64().map_err(|error| StartError::System(io::Error::other(error)))
}

/// What the core has to know of the configuration.
fn settings(config: &Config) -> Result<Settings, StartError> {
    let digest_algorithm = DigestAlgorithm::from_name(&config.digest_alg)
        .ok_or_else(|| StartError::Setting(format!("no algorithm {}", config.digest_alg)))?;
    let throttling = &config.throttling;
    let session_timeout = |ms: u32| i32::try_from(ms).unwrap_or(i32::MAX);
    Ok(Settings {
        // Java: a standalone server makes session ids as server 1, whatever its myid.
        server_id: 1,
        tick_time_ms: u64::from(config.tick_time_ms),
        session_timeout_min_ms: session_timeout(config.min_session_timeout_ms),
        session_timeout_max_ms: session_timeout(config.max_session_timeout_ms),
        frame_max_bytes: config.jute_max_buffer_bytes as usize,
        outstanding_max: outstanding_max(config),
        throttled_op_wait_ms: u64::from(throttling.throttled_op_wait_ms),
        drop_stale: throttling.stale_requests_dropped,
        large_request_threshold_bytes: throttling
            .large_request_threshold_bytes
            .map(|bytes| bytes as usize),
        large_requests_max_bytes: throttling.large_requests_max_bytes as usize,
        connection_throttle: throttling.connections,
        snap_count: u64::from(config.snap_count),
        snap_size_limit_bytes: kilobytes(config.snap_size_limit_kb),
        digest_enabled: config.digest_enabled,
        enforce_quota: config.enforce_quota,
        extended_types: config.extended_types_enabled,
        reaper: ReaperSettings {
            interval_ms: u64::from(config.container_check_interval_ms),
            per_minute: u64::from(config.container_max_per_minute),
            unused_max_ms: config.container_max_never_used_interval_ms,
        },
        reconfig_enabled: config.reconfig_enabled,
        sessionless_timeout_ms: u64::from(config.sessionless_cnxn_timeout_ms),
        auth: AuthSettings {
            skip_acl: config.skip_acl,
            digest_enabled: config.digest_auth_enabled,
            digest_algorithm,
            super_digest: config.super_digest.clone(),
            sasl_enabled: config.sasl_auth_enabled,
            any_sasl_user: config.any_sasl_user.clone(),
            x509_enabled: config.x509_auth_enabled,
            x509_super_user: config.x509_super_user.clone(),
            ensemble_enabled: config.ensemble_auth_enabled,
            ensemble_names: config.ensemble_auth_names.clone(),
            required_schemes: config.required_auth_schemes.clone(),
        },
    })
}

/// What one shard may have in progress.
fn outstanding_max(config: &Config) -> usize {
    let limit = config.global_outstanding_limit as usize;
    let throttle = config.throttling.requests_max as usize;
    // Java holds requests back above the throttle's limit in steps of a tenth of a second; here
    // they are held back where all others are.
    let limit = match throttle.div_ceil(usize::from(shard_count())) {
        0 => limit,
        share => limit.min(share),
    };
    limit.max(1)
}

fn log_options(config: &Config) -> LogOptions {
    let size_limit_bytes = kilobytes(config.txn_log_size_limit_kb);
    LogOptions {
        pre_alloc_bytes: kilobytes(config.pre_alloc_size_kb),
        force_sync: config.force_sync,
        size_limit_bytes: (size_limit_bytes > 0).then_some(size_limit_bytes),
        max_record_bytes: record_bytes_max(config),
        ..LogOptions::default()
    }
}

fn snapshot_options(config: &Config) -> SnapshotOptions {
    SnapshotOptions {
        compression: match config.snapshot_compression {
            SnapshotCompression::None => Compression::None,
            SnapshotCompression::Gzip => Compression::Gzip,
            SnapshotCompression::Snappy => Compression::Snappy,
        },
        last_zxid_trailer: config.serialize_last_processed_zxid,
        digest: config.digest_enabled,
    }
}

/// The longest record of a log: what a client may send, and what the server adds.
fn record_bytes_max(config: &Config) -> usize {
    config.jute_max_buffer_bytes as usize + config.jute_max_buffer_extra_bytes as usize
}

/// A limit in KB as bytes; 0 or less is off, which is 0.
fn kilobytes(limit_kb: i64) -> u64 {
    u64::try_from(limit_kb).unwrap_or(0) * 1024
}

/// The directory in a data directory that holds the files.
const VERSION_DIR: &str = "version-2";

/// Where snapshots and logs are.
fn version_dirs(config: &Config) -> (PathBuf, PathBuf) {
    (config.data_dir.join(VERSION_DIR), config.data_log_dir.join(VERSION_DIR))
}
