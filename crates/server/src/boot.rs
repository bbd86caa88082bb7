//! How a server begins and ends: configuration, data directory, recovery, threads, signals.

mod core;
mod descriptors;
mod directories;
mod ensemble;
mod starter;

use std::net::SocketAddr;
use std::process::ExitCode as ProcessExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{io, thread};

use mio::net::TcpListener;
use ostler_disk::dir_lock::DirLock;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::config::{Config, ConfigError, ExitCode, Flags};
use crate::huge_pages;
use crate::logging;
use crate::mail::{ReplicaBox, ReplicaMail, ShardBox, SnapshotMail, mailbox};
use crate::net::listener::listen;
use crate::notify;
use crate::peers::Peers;
use ensemble::{Doors, Ports};
use starter::{Starter, Taken};

/// What ends a running server without being asked.
#[derive(Debug)]
pub(crate) enum Fatal {
    /// The log cannot be written: nothing can be acknowledged any more.
    Log(io::Error),
    /// A shard cannot wait for its sockets.
    Shard(io::Error),
    /// The replica cannot go on.
    Replica(&'static str),
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
    /// A port for the other servers cannot be had.
    #[error("{0}")]
    PeerPort(String),
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
            Self::PeerPort(_) => ExitCode::ElectionPortUnbound,
            Self::Data(_) | Self::Listen { .. } | Self::System(_) => ExitCode::UnexpectedError,
        }
    }
}

/// `ostler serve`: runs a server until a signal or a fatal error ends it.
#[must_use]
pub fn serve(arguments: &[String]) -> ProcessExitCode {
    huge_pages::avoid();
    descriptors::make_room();
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
        notify::ready();
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
    replica: ReplicaBox,
    snapshots: Sender<SnapshotMail>,
    /// The other servers, and where they come in.
    peers: Option<(Peers, Doors)>,
    ends: Receiver<End>,
    end: Sender<End>,
    threads: Vec<JoinHandle<()>>,
    _locks: Vec<DirLock>,
}

/// Why a server ends.
#[derive(Debug)]
pub(crate) enum End {
    /// Somebody wants it to.
    Asked(&'static str),
    /// It cannot go on.
    Fatal(Fatal),
}

impl Server {
    /// Recovers the data, opens the client port and serves it.
    ///
    /// # Errors
    ///
    /// When the directories, the data in them or the port cannot be used; nothing is changed then.
    pub fn start(config: Config) -> Result<Self, StartError> {
        let settings = Arc::new(core::settings(&config)?);
        let locks = directories::prepare(&config)?;
        let listener = bind(&config)?;
        let hash_key = random()?;
        let found = directories::recover(&config, hash_key)?;
        // Not before: whoever is refused knows that this server has no vote yet, and whoever only
        // waits does not.
        let own = config.ensemble.as_ref();
        let ports = own.map(|own| Ports::bind(&config, own)).transpose()?;
        let (end, ends) = mailbox();
        let mut starter = Starter::new(config, end);
        starter.add_shards(&settings, &found.data.tree)?;
        starter.start(settings, found, Taken { locks, listener, ports, hash_key }, ends)
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
                notify::stopping();
                self.hand_over();
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
            Ok(End::Fatal(Fatal::Replica(reason))) => {
                tracing::error!("the server cannot go on: {reason}");
                ExitCode::QuorumPacketError
            }
            Err(_) => ExitCode::UnexpectedError,
        };
        if let Some((peers, doors)) = &self.peers {
            doors.close();
            peers.stop();
        }
        self.shards.iter().for_each(|shard| shard.stop());
        self.replica.send(ReplicaMail::Stop);
        let _ = self.snapshots.send(SnapshotMail::Stop);
        for thread in self.threads {
            // One that panicked has said so already.
            let _ = thread.join();
        }
        code
    }

    /// Lets somebody else lead, if this server does: found at once, since nobody has to notice that
    /// it is gone.
    fn hand_over(&self) {
        let Some((peers, doors)) = &self.peers else { return };
        // Whoever dials from now on learns at once that nobody is here.
        doors.close();
        let (to, given_up) = mailbox();
        self.replica.send(ReplicaMail::HandOver(to));
        // It is dropped when this server leads no more.
        let _ = given_up.recv_timeout(HAND_OVER_MAX);
        peers.stop();
        let deadline = Instant::now() + HAND_OVER_MAX;
        while !peers.links.all_closed() && Instant::now() < deadline {
            thread::park_timeout(LOOK_AGAIN);
        }
    }
}

/// How long the writes of a leader that ends may take to be committed.
const HAND_OVER_MAX: Duration = Duration::from_millis(500);
const LOOK_AGAIN: Duration = Duration::from_millis(1);

fn bind(config: &Config) -> Result<Option<TcpListener>, StartError> {
    let Some(port) = config.client_port else { return Ok(None) };
    let host = config.client_port_address.as_deref();
    let (backlog, keep_alive) = (config.client_port_listen_backlog, config.client_tcp_keep_alive);
    listen(host, port, backlog, keep_alive).map(Some).map_err(|source| {
        let host = host.unwrap_or("every address").to_owned();
        StartError::Listen { host, port, source }
    })
}

/// How many threads serve nothing but connections. On a small machine none: the replica's thread
/// does it, since each hand-over to another thread costs more than it brings.
fn shard_threads(config: &Config) -> u16 {
    config.shard_threads.unwrap_or_else(|| {
        // The replica and the log want cores too.
        u16::try_from(cores().saturating_sub(2).min(SHARD_THREADS_MAX)).unwrap_or(0)
    })
}

fn shard_count(config: &Config) -> u16 {
    shard_threads(config).max(1)
}

/// How long a thread looks again before it sleeps: a client on the same core would have to wait.
fn spin_max(config: &Config) -> Duration {
    if cores() > 1 { Duration::from_micros(u64::from(config.spin_max_us)) } else { Duration::ZERO }
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// So many threads are more than one replica can keep busy.
const SHARD_THREADS_MAX: usize = 32;

fn random() -> Result<u64, StartError> {
    getrandom::u64().map_err(|error| StartError::System(io::Error::other(error)))
}
