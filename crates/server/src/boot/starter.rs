//! The threads of a server, and what connects them.

use std::net::SocketAddr;
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
use ostler_node::replica::Replica;
use ostler_node::shard::{LargeRequests, Shard};
use ostler_tree::Tree;

use super::core::version_dirs;
use super::directories::Found;
use super::ensemble::{self, Doors, Ports};
use super::{End, Fatal, Server, StartError, random, shard_count, shard_threads, spin_max};
use crate::admin::AdminLoop;
use crate::config::Config;
use crate::feed::Tail;
use crate::loops::chronicle::Chronicle;
use crate::loops::driver::{Driver, WAKE};
use crate::loops::log::{Log, LogLoop, log};
use crate::loops::replica::{self, ReplicaLoop};
use crate::loops::shard::{self, Listener, ShardLoop};
use crate::loops::snapshot::SnapshotLoop;
use crate::loops::spin::Spin;
use crate::mail::{Bell, Clocks, Question, ReplicaBox, ShardBox, SnapshotMail, mailbox};
use crate::net::limits::ConnLimits;
use crate::peers::Peers;
use crate::peers::links::LinkTable;

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
    shards: Vec<Shard>,
    end: Sender<End>,
    threads: Vec<JoinHandle<()>>,
}

/// A place to wait at, for a thread that is to come.
struct Post {
    poll: Poll,
    bell: Arc<Bell>,
}

impl Post {
    fn new() -> Result<Self, StartError> {
        let poll = Poll::new()?;
        let bell = Bell::new(Waker::new(poll.registry(), WAKE)?);
        Ok(Self { poll, bell })
    }

    fn driver(self, clocks: Clocks, spin_max: Duration) -> Driver {
        let Self { poll, bell } = self;
        let spin = Spin::new(spin_max);
        Driver { poll, bell, clocks, spin, shard: None, replica: None }
    }
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
        for shard in 0..shard_count(&self.config) {
            let shard = Shard::new(ShardId(shard), Arc::clone(settings), tree.clone(), random()?);
            self.shards.push(shard.sharing(&large_requests).beginning(service));
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

    fn spawn_driver(&mut self, name: &str, driver: Driver) -> Result<(), StartError> {
        let end = self.end.clone();
        self.spawn(name, move || {
            if let Err(error) = driver.run() {
                let _ = end.send(End::Fatal(Fatal::Shard(error)));
            }
        })
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
        let (to_snapshots, snapshot_mail) = mailbox();
        let (to_admin, questions) = mailbox();
        let feed = Tail::new();
        let is_shared = shard_threads(&self.config) == 0;
        let own_post = Post::new()?;
        let (to_replica, replica_mail) = ReplicaBox::new(Arc::clone(&own_post.bell));
        let registry = own_post.poll.registry().try_clone()?;
        let mut own_post = Some(own_post);
        let mut shards = self.shards(&feed, (&to_replica, &to_admin), || {
            own_post.take_if(|_| is_shared).map_or_else(Post::new, Ok)
        })?;
        let boxes: Vec<_> = shards.iter().map(|(shard, _)| Arc::clone(&shard.own_box)).collect();
        if let Some((first, _)) = shards.first_mut() {
            let shards = boxes.clone();
            first.listener = taken.listener.map(|socket| Listener { socket, shards, next: 0 });
        }
        let snapshots = found.storage.snapshots();
        let (replica, turn, storage) = self.replica(settings, found)?;
        let (to_log, log) = log(self.log(storage), to_replica.clone());
        let peers = self.peers(taken.hash_key, &to_replica);
        let replica = ReplicaLoop {
            replica,
            mail: replica_mail,
            feed,
            shards: boxes.clone(),
            log: to_log,
            snapshots: to_snapshots.clone(),
            links: peers.as_ref().map(|peers| LinkTable::new(peers.links.clone(), registry)),
            peers: peers.clone(),
            end: self.end.clone(),
            chronicle: Chronicle::new(),
            handing_over: None,
            turn,
        };
        self.start_drivers(shards, replica, own_post)?;
        self.start_log(log)?;
        self.start_snapshots(snapshots, snapshot_mail, &to_replica)?;
        let peers = peers
            .zip(taken.ports)
            .map(|(peers, ports)| ports.open(&peers).map(|doors| (peers, doors)));
        let peers: Option<(Peers, Doors)> = peers.transpose()?;
        self.start_admin(address, &boxes, &to_replica, questions)?;
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

    fn start_admin(
        &mut self,
        address: Option<SocketAddr>,
        shards: &[Arc<ShardBox>],
        replica: &ReplicaBox,
        questions: Receiver<Question>,
    ) -> Result<(), StartError> {
        let (snap_dir, log_dir) = version_dirs(&self.config);
        let admin = AdminLoop {
            config: Arc::clone(&self.config),
            client_port: address.map(|address| address.port()),
            snap_dir,
            log_dir,
            shards: shards.to_vec(),
            replica: replica.clone(),
            questions,
            clocks: self.clocks,
        };
        self.spawn("admin", move || admin.run())
    }

    /// The replica with what it has to do first, and what it leaves to the log thread.
    fn replica(
        &self,
        settings: Arc<Settings>,
        found: Found,
    ) -> Result<(Replica, replica::Turn, Storage<RealDisk>), StartError> {
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
            return Ok((replica, replica::Turn::default(), storage));
        };
        let epochs = storage
            .read_epochs(data.tree.last_zxid())
            .map_err(|error| StartError::Data(error.to_string()))?;
        let mut effects = Vec::new();
        let replica = Replica::in_ensemble(
            at,
            settings,
            ensemble::zab_settings(&self.config, own),
            ensemble::quorum_config(&self.config.membership),
            data,
            epochs,
            may_vote,
            seed,
            &mut effects,
        );
        Ok((replica, replica::Turn::beginning(effects), storage))
    }

    fn peers(&self, hash_key: u64, replica: &ReplicaBox) -> Option<Peers> {
        let own = self.config.ensemble.as_ref()?;
        Some(ensemble::peers(&self.config, own, hash_key, replica))
    }

    /// The shards, each with the place where it waits.
    fn shards(
        &mut self,
        feed: &Tail,
        (replica, questions): (&ReplicaBox, &Sender<Question>),
        mut post: impl FnMut() -> Result<Post, StartError>,
    ) -> Result<Vec<(ShardLoop, Post)>, StartError> {
        let limits = ConnLimits::new(self.config.max_client_cnxns, self.config.max_cnxns);
        let mut shards = Vec::new();
        for shard in std::mem::take(&mut self.shards) {
            let post = post()?;
            let (own_box, mail) = ShardBox::new(Arc::clone(&post.bell));
            let shard = ShardLoop {
                shard,
                registry: post.poll.registry().try_clone()?,
                own_box,
                mail,
                cursor: feed.cursor(),
                replica: replica.clone(),
                questions: questions.clone(),
                limits: Arc::clone(&limits),
                listener: None,
                turn: shard::Turn::new(),
            };
            shards.push((shard, post));
        }
        Ok(shards)
    }

    /// Starts the threads of shards and replica; a replica without a place of its own shares that
    /// of the only shard.
    fn start_drivers(
        &mut self,
        shards: Vec<(ShardLoop, Post)>,
        replica: ReplicaLoop,
        own_post: Option<Post>,
    ) -> Result<(), StartError> {
        let spin_max = spin_max(&self.config);
        let mut replica = Some(replica);
        if let Some(post) = own_post {
            let driver = Driver { replica: replica.take(), ..post.driver(self.clocks, spin_max) };
            self.spawn_driver("replica", driver)?;
        }
        for (shard, post) in shards {
            let name = if replica.is_some() { "shard+replica" } else { "shard" };
            let driver = post.driver(self.clocks, spin_max);
            let driver = Driver { shard: Some(shard), replica: replica.take(), ..driver };
            self.spawn_driver(name, driver)?;
        }
        Ok(())
    }

    fn log(&self, storage: Storage<RealDisk>) -> Log<RealDisk> {
        let slow_sync_ms = u64::try_from(self.config.fsync_warning_threshold_ms).unwrap_or(0);
        let keeps_log = self.config.ensemble.as_ref().is_none_or(|own| own.keeps_log);
        Log::new(storage, Duration::from_millis(slow_sync_ms), keeps_log)
    }

    fn start_log(&mut self, log: LogLoop<RealDisk>) -> Result<(), StartError> {
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
        replica: &ReplicaBox,
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
