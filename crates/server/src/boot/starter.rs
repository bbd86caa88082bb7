//! The threads of a server, and what connects them.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mio::net::TcpListener;
use mio::{Poll, Waker};
use ostler_disk::dir_lock::DirLock;
use ostler_disk::real_disk::RealDisk;
use ostler_disk::snapshots::Snapshots;
use ostler_disk::storage::Storage;
use ostler_node::limits::Settings;
use ostler_node::messages::{Service, ShardId};
use ostler_node::replica::{Effect, LogOp, Replica};
use ostler_node::shard::{LargeRequests, Shard};
use ostler_tree::Tree;

use super::core::version_dirs;
use super::directories::Found;
use super::ensemble::{self, Doors, Ports};
use super::{End, Fatal, Server, StartError, random, shard_count};
use crate::admin::AdminLoop;
use crate::config::Config;
use crate::feed::Tail;
use crate::loops::chronicle::Chronicle;
use crate::loops::log::LogLoop;
use crate::loops::replica::ReplicaLoop;
use crate::loops::shard::{Listener, ShardLoop, WAKE};
use crate::loops::snapshot::SnapshotLoop;
use crate::mail::{Clocks, Question, ReplicaMail, ShardBox, SnapshotMail, mailbox};
use crate::net::limits::ConnLimits;
use crate::peers::Peers;

/// What a server has taken from its surroundings before it starts a thread.
pub(super) struct Taken {
    pub(super) locks: Vec<DirLock>,
    /// The client port.
    pub(super) listener: Option<TcpListener>,
    /// The ports for other servers, if there are any.
    pub(super) ports: Option<Ports>,
    pub(super) hash_key: u64,
}

/// A server that is being put together.
pub(super) struct Starter {
    config: Arc<Config>,
    clocks: Clocks,
    shards: Vec<(Shard, Poll, Arc<ShardBox>)>,
    end: Sender<End>,
    threads: Vec<JoinHandle<()>>,
}

impl Starter {
    pub(super) fn new(config: Config, end: Sender<End>) -> Self {
        let (config, clocks) = (Arc::new(config), Clocks::new());
        Self { config, clocks, shards: Vec::new(), end, threads: Vec::new() }
    }

    /// Makes the shards, all of which begin with this tree.
    pub(super) fn add_shards(
        &mut self,
        settings: &Arc<Settings>,
        tree: &Tree,
    ) -> Result<(), StartError> {
        let service = if self.config.ensemble.is_some() { Service::Down } else { Service::Up };
        let large_requests = LargeRequests::new(settings);
        for shard in 0..shard_count() {
            let shard = Shard::new(ShardId(shard), Arc::clone(settings), tree.clone(), random()?);
            let poll = Poll::new()?;
            let own_box = ShardBox::new(Waker::new(poll.registry(), WAKE)?);
            let shard = shard.sharing(&large_requests).beginning(service);
            self.shards.push((shard, poll, own_box));
        }
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
    pub(super) fn start(
        mut self,
        settings: Arc<Settings>,
        found: Found,
        taken: Taken,
        ends: Receiver<End>,
    ) -> Result<Server, StartError> {
        let address = taken.listener.as_ref().and_then(|socket| socket.local_addr().ok());
        let (to_replica, replica_mail) = mailbox();
        let (to_log, log_mail) = mailbox();
        let (to_snapshots, snapshot_mail) = mailbox();
        let (to_admin, questions) = mailbox();
        let feed = Tail::new();
        let boxes: Vec<_> = self.shards.iter().map(|(_, _, own_box)| Arc::clone(own_box)).collect();
        let listener =
            taken.listener.map(|socket| Listener { socket, shards: boxes.clone(), next: 0 });
        self.start_shards(&feed, listener, (&to_replica, &to_admin))?;
        let snapshots = found.storage.snapshots();
        let mut effects = Vec::new();
        let (replica, storage) = self.replica(settings, found, &mut effects)?;
        let peers = self.peers(taken.hash_key, &to_replica);
        let replica = ReplicaLoop {
            replica,
            mail: replica_mail,
            feed,
            shards: boxes.clone(),
            log: to_log,
            snapshots: to_snapshots.clone(),
            peers: peers.clone(),
            end: self.end.clone(),
            clocks: self.clocks,
            chronicle: Chronicle::new(),
            handing_over: None,
        };
        self.spawn("replica", move || replica.run(effects))?;
        self.start_log(storage, log_mail, &to_replica)?;
        self.start_snapshots(snapshots, snapshot_mail, &to_replica)?;
        let peers = peers
            .zip(taken.ports)
            .map(|(peers, ports)| ports.open(&peers).map(|doors| (peers, doors)));
        let peers: Option<(Peers, Doors)> = peers.transpose()?;
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
            peers,
            ends,
            end: self.end,
            threads: self.threads,
            _locks: taken.locks,
        })
    }

    /// The replica with what it has to do first, and what it leaves to the log thread.
    fn replica(
        &self,
        settings: Arc<Settings>,
        found: Found,
        effects: &mut Vec<Effect>,
    ) -> Result<(Replica, Storage<RealDisk>), StartError> {
        let (at, seed) = (self.clocks.read(), random()?);
        let Found { data, storage, may_vote } = found;
        let Some(own) = &self.config.ensemble else {
            let replica = Replica::new(at, settings, data.tree, data.txns_logged, seed);
            let ttls = replica.ttls_that_stay();
            if ttls > 0 {
                tracing::warn!(
                    "{ttls} znodes have a time to live and are not deleted when it is over: \
                     extendedTypesEnabled is not set"
                );
            }
            return Ok((replica, storage));
        };
        let epochs = storage
            .read_epochs(data.tree.last_zxid())
            .map_err(|error| StartError::Data(error.to_string()))?;
        let replica = Replica::in_ensemble(
            at,
            settings,
            ensemble::zab_settings(&self.config, own),
            ensemble::quorum_config(&self.config.membership),
            data,
            epochs,
            may_vote,
            seed,
            effects,
        );
        Ok((replica, storage))
    }

    fn peers(&self, hash_key: u64, replica: &Sender<ReplicaMail>) -> Option<Peers> {
        let own = self.config.ensemble.as_ref()?;
        Some(ensemble::peers(&self.config, own, hash_key, replica))
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
        storage: Storage<RealDisk>,
        mail: Receiver<Vec<LogOp>>,
        replica: &Sender<ReplicaMail>,
    ) -> Result<(), StartError> {
        let slow_sync_ms = u64::try_from(self.config.fsync_warning_threshold_ms).unwrap_or(0);
        let log = LogLoop {
            storage,
            mail,
            replica: replica.clone(),
            slow_sync: Duration::from_millis(slow_sync_ms),
            keeps_log: self.config.ensemble.as_ref().is_none_or(|own| own.keeps_log),
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
        snapshots: Snapshots<RealDisk>,
        mail: Receiver<SnapshotMail>,
        replica: &Sender<ReplicaMail>,
    ) -> Result<(), StartError> {
        let config = &self.config;
        let hours = u64::from(config.autopurge_purge_interval_hours);
        let keep = config.autopurge_snap_retain_count as usize;
        let snapshots = SnapshotLoop {
            snapshots,
            purge: (hours > 0).then(|| (keep, Duration::from_secs(hours * 3600))),
            mail,
            replica: replica.clone(),
        };
        // Not waited for: a snapshot that is cut short leaves nothing but a temporary file.
        thread::Builder::new().name("snapshot".to_owned()).spawn(move || snapshots.run())?;
        Ok(())
    }
}
