//! The process: a replica, shards, a log, a snapshot writer, and connections to other servers.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use ostler_disk::log::LogOptions;
use ostler_disk::memory_disk::{Faults, MemoryDisk};
use ostler_disk::recover::RecoverOptions;
use ostler_disk::storage::{Storage, StorageOptions};
use ostler_node::clock::Time;
use ostler_node::messages::{Commit, Notice, Service, ShardId};
use ostler_node::replica::{Effect, Found, Input, LogOp, Replica};
use ostler_node::shard::Shard;
use ostler_node::status::Mode;
use ostler_tree::Tree;
use ostler_wire::ids::Zxid;

use super::alarm::Alarm;
use super::log_thread::{LogFailed, LogThread, directory, records};
use super::peers::{Own, Peers, snapshot_bytes};
use super::shard_thread::ShardThread;
use super::{Clocks, Server, clock, world_time};
use crate::net::{Cargo, End, Port, WireId};
use crate::queue::{Event, Turn};
use crate::world::Outside;

/// Why a process ends by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Ending {
    /// The core says so.
    Stopped(&'static str),
    /// The disk has failed.
    Disk(String),
    /// It was asked to.
    Terminated,
}

/// What runs on a machine.
pub(super) struct Process {
    own: Own,
    pub(super) replica: Replica,
    mail: VecDeque<Input>,
    replica_alarm: Alarm,
    shards: Vec<ShardThread>,
    feed: Vec<Rc<Commit>>,
    pub(super) log: LogThread,
    snapshots: VecDeque<Tree>,
    peers: Peers,
    /// How clients are served as of the last commit of the feed.
    service: Service,
    /// The last view that was published while clients were served.
    shown: Option<Zxid>,
    pub(super) ending: Option<Ending>,
    terminating: bool,
}

impl Process {
    /// Recovers what is on the disk and begins.
    pub(super) fn start(outside: &mut Outside, server: &mut Server) -> Self {
        let own = Own { index: server.index, sid: server.sid, start: server.starts };
        let (storage, found, may_vote) = recover(outside, server);
        let tree = found.tree.clone();
        let settings = Arc::clone(&server.settings);
        let at = server.clock(outside.queue.now());
        let is_alone = outside.options.servers() == 1;
        let service = if is_alone { Service::Up } else { Service::Down };
        let hash_key = outside.options.seed;
        let shards = (0..outside.options.shards).map(|shard| {
            let id = ShardId(u16::try_from(shard).expect("few shards"));
            let shard = Shard::new(id, Arc::clone(&settings), tree.clone(), hash_key);
            ShardThread::new(shard.beginning(service), 0)
        });
        let shards = shards.collect();
        let seed = outside.threads.next();
        let mut effects = Vec::new();
        let replica = if is_alone {
            Replica::new(at, settings, found.tree, found.txns_logged, seed)
        } else {
            let epochs = storage.read_epochs(tree.last_zxid());
            let epochs = epochs.unwrap_or_else(|error| panic!("s{}: {error}", own.index));
            outside.witness.epochs(own.index, epochs);
            let zab = Arc::new(outside.options.zab(own.sid));
            let config = Arc::new(outside.options.config());
            let members = (zab, config);
            Replica::in_ensemble(
                at,
                settings,
                members.0,
                members.1,
                found,
                epochs,
                may_vote,
                seed,
                &mut effects,
            )
        };
        let mut process = Self {
            own,
            replica,
            mail: VecDeque::new(),
            replica_alarm: Alarm::default(),
            shards,
            feed: Vec::new(),
            log: LogThread::new(storage),
            snapshots: VecDeque::new(),
            peers: Peers::default(),
            service,
            shown: None,
            ending: None,
            terminating: false,
        };
        if is_alone {
            outside.witness.jumped(own.index, &tree);
            process.shown = Some(tree.last_zxid());
        }
        process.carry_out(outside, &mut effects);
        process.wake_replica(outside);
        process
    }

    /// The process dies, perhaps in the middle of writing something.
    pub(super) fn die(&mut self, outside: &mut Outside, disk: &MemoryDisk) {
        disk.set_faults(Faults::default());
        self.log.die(outside, disk);
        if let Some(tree) = self.snapshots.pop_front() {
            let at = disk.operations() + outside.disks.below(10);
            disk.set_faults(Faults { power_off_at: Some(at), ..Faults::default() });
            let _ = self.log.storage.snapshots().write(&tree, &mut || {});
            disk.set_faults(Faults::default());
        }
    }

    /// It is asked to end in good order.
    pub(super) fn terminate(&mut self, outside: &mut Outside) {
        if outside.options.servers() == 1 {
            self.ending = Some(Ending::Terminated);
        } else if !std::mem::replace(&mut self.terminating, true) {
            self.mail.push_back(Input::HandOver);
            self.wake_replica(outside);
            let turn = Event::Turn(self.own.index, self.own.start, Turn::Shutdown);
            outside.queue.after(TERMINATION_MICROS, turn);
        }
    }

    /// A client, or another server, has dialled.
    pub(super) fn accept(&mut self, outside: &mut Outside, wire: WireId, port: Port) {
        if port != Port::Clients {
            let mut mail = Vec::new();
            self.peers.accept(outside, wire, port, &mut mail);
            return self.deliver(outside, mail);
        }
        outside.net.accept(&mut outside.queue, wire);
        let shard = outside.threads.index(self.shards.len());
        self.shards[shard].accept(wire);
        self.wake_shard(outside, shard);
    }

    /// Something has come by a wire.
    pub(super) fn arrive(
        &mut self,
        outside: &mut Outside,
        (wire, end, cargo): (WireId, End, Cargo),
        port: Port,
    ) {
        if port != Port::Clients {
            let mut mail = Vec::new();
            self.peers.arrive(outside, self.own, (wire, end, cargo), &mut mail);
            return self.deliver(outside, mail);
        }
        let Some(shard) = self.shards.iter().position(|shard| shard.has(wire)) else { return };
        match cargo {
            Cargo::Bytes(bytes) => self.shards[shard].bytes(wire, &bytes),
            _ => self.shards[shard].gone(wire),
        }
        self.wake_shard(outside, shard);
    }

    /// A wire of this server has broken, or was never made.
    pub(super) fn gone(&mut self, outside: &mut Outside, wire: WireId) {
        let mut mail = Vec::new();
        self.peers.gone(outside, self.own, wire, &mut mail);
        self.deliver(outside, mail);
    }

    /// A client has taken something.
    pub(super) fn drained(&mut self, outside: &mut Outside, wire: WireId) {
        if let Some(shard) = self.shards.iter().position(|shard| shard.has_output(wire)) {
            self.wake_shard(outside, shard);
        }
    }

    /// A thread takes its turn.
    pub(super) fn turn(
        &mut self,
        outside: &mut Outside,
        clocks: &Clocks,
        disk: &MemoryDisk,
        turn: Turn,
    ) {
        let mut mail = Vec::new();
        match turn {
            Turn::Replica => self.replica_turn(outside, clocks),
            Turn::Shard(shard) => self.shard_turn(outside, clocks, shard, &mut mail),
            Turn::Log => self.log.begin(outside, self.own, &mut mail),
            Turn::LogDone => {
                if let Err(LogFailed(reason)) = self.log.done(outside, self.own, &mut mail) {
                    self.ending = Some(Ending::Disk(reason));
                }
            }
            Turn::Snapshot => {
                if let Some(tree) = self.snapshots.pop_front() {
                    // A snapshot that fails costs nothing but itself.
                    let _ = self.log.storage.snapshots().write(&tree, &mut || {});
                    mail.push(Input::SnapshotEnded);
                }
            }
            Turn::Ballot(sid) => self.peers.ballot(outside, sid),
            Turn::Stall(link) => self.peers.stall(outside, self.own, link, &mut mail),
            Turn::Shutdown => self.ending = Some(Ending::Terminated),
        }
        let _ = disk;
        self.deliver(outside, mail);
    }

    /// The replica takes all its mail, and its deadline if that has come.
    fn replica_turn(&mut self, outside: &mut Outside, clocks: &Clocks) {
        let now = outside.queue.now();
        if !self.replica_alarm.rings(now) {
            return;
        }
        let at = clock(clocks, now);
        let mut effects = Vec::new();
        let mut taken = 0;
        while let Some(input) = self.mail.pop_front() {
            if !matches!(input, Input::FromShard(_)) {
                outside.note(self.own.index, format_args!("< {}", brief(&input)));
            }
            self.replica.hear(at, input, &mut effects);
            taken += 1;
            if taken % TURN_MAX == 0 {
                self.carry_out(outside, &mut effects);
            }
        }
        if self.replica.next_deadline().is_some_and(|due| due <= at.now) {
            self.replica.hear(at, Input::Deadline, &mut effects);
        }
        self.carry_out(outside, &mut effects);
        if let Some(due) = self.replica.next_deadline() {
            let at = world_time(clocks, due).max(Time(now.0 + 1));
            let turn = Event::Turn(self.own.index, self.own.start, Turn::Replica);
            self.replica_alarm.set(&mut outside.queue, at, turn);
        }
    }

    fn carry_out(&mut self, outside: &mut Outside, effects: &mut Vec<Effect>) {
        let own = self.own;
        let mut mail = Vec::new();
        self.replica.end_turn(effects);
        for effect in effects.drain(..) {
            if !matches!(effect, Effect::Publish(_)) {
                outside.note(own.index, format_args!("> {}", brief_effect(&effect)));
            }
            match effect {
                Effect::Log(op) => self.log.push(outside, own, op),
                Effect::SendVote(sid, vote) => self.peers.vote(outside, own, sid, vote),
                Effect::ConnectElection(sid) => self.peers.connect(outside, own, sid),
                Effect::DialLeader(sid) => self.peers.dial_leader(outside, own, sid),
                Effect::Send(link, packet) => {
                    let mut bytes = Vec::new();
                    packet.write(&mut bytes);
                    self.peers.send(outside, link, &bytes);
                }
                Effect::SendSnapshot(link, tree) => {
                    outside.stats.snapshots_sent += 1;
                    outside.witness.snapshot_sent(own.index, tree.last_zxid());
                    self.peers.send(outside, link, &snapshot_bytes(&tree));
                    mail.push(Input::SnapshotSent(link));
                }
                Effect::CloseLink(link, reason) => {
                    let is_breach = BREACHES.iter().any(|breach| reason.contains(breach));
                    assert!(!is_breach, "s{} breaks with a peer: {reason}", own.index);
                    self.peers.close(outside, link, &mut mail);
                }
                Effect::Stop(reason) => self.ending = Some(Ending::Stopped(reason)),
                Effect::Publish(commit) => self.publish(outside, *commit),
                Effect::WriteSnapshot(tree) => {
                    self.snapshots.push_back(*tree);
                    let micros = 3 * outside.disks.between(outside.options.sync_micros);
                    let turn = Event::Turn(own.index, own.start, Turn::Snapshot);
                    outside.queue.after(micros, turn);
                }
                Effect::DigestMismatch(zxid) => panic!("s{} differs at {zxid}", own.index),
                Effect::QuotaExceeded(_) => {}
            }
        }
        self.deliver(outside, mail);
    }

    /// Holds a commit against the witness and hands it to the shards.
    fn publish(&mut self, outside: &mut Outside, commit: Commit) {
        let zxid = commit.view.last_zxid();
        let service = commit.notices().rev().find_map(|notice| match notice {
            Notice::Service(service) => Some(*service),
            _ => None,
        });
        let before = self.service;
        self.service = service.unwrap_or(before);
        let txns = commit.zxids().count();
        if service.is_some() || txns > 0 {
            let index = self.own.index;
            outside.note(index, format_args!("publishes {txns} view {zxid} {service:?}"));
        }
        match self.service {
            Service::Up => self.hold_against_witness(outside, &commit, before),
            // What a new leader has, before it is said that there is one.
            Service::Held if txns > 0 => self.hold_against_witness(outside, &commit, before),
            Service::Held => {}
            Service::Down | Service::ReadOnly => self.shown = None,
        }
        outside.stats.commits += txns as u64;
        self.feed.push(Rc::new(commit));
        for shard in 0..self.shards.len() {
            self.wake_shard(outside, shard);
        }
    }

    fn hold_against_witness(&mut self, outside: &mut Outside, commit: &Commit, before: Service) {
        let index = self.own.index;
        let zxid = commit.view.last_zxid();
        let witness = &mut outside.witness;
        match commit.zxids().next_back() {
            Some(last) => {
                assert_eq!(last, zxid, "a commit shows its own view");
                witness.published(index, commit.zxids(), &commit.view);
            }
            None => witness.jumped(index, &commit.view),
        }
        if let Some(shown) = self.shown {
            let steps = witness.index(zxid).checked_sub(witness.index(shown));
            let steps = steps.unwrap_or_else(|| panic!("s{index} goes back to {zxid}"));
            let moved = commit.zxids().count();
            assert_eq!(steps, moved, "s{index} went from {shown} to {zxid} at once");
        }
        self.shown = Some(zxid);
        if before != Service::Up && self.service == Service::Up {
            let standing = self.replica.standing();
            if let Some(standing) = standing.filter(|standing| standing.mode == Mode::Leader) {
                outside.witness.leads(self.own.sid, standing.epoch);
            }
        }
    }

    fn shard_turn(
        &mut self,
        outside: &mut Outside,
        clocks: &Clocks,
        index: usize,
        mail: &mut Vec<Input>,
    ) {
        let now = outside.queue.now();
        let shard = &mut self.shards[index];
        if !shard.alarm.rings(now) {
            return;
        }
        let at = clock(clocks, now);
        let messages = shard.turn(outside, at, &self.feed);
        mail.extend(messages.into_iter().map(Input::FromShard));
        if shard.is_busy(self.feed.len()) {
            self.wake_shard(outside, index);
        }
        if let Some(due) = self.shards[index].next_deadline() {
            let at = world_time(clocks, due).max(Time(now.0 + 1));
            let turn = Event::Turn(self.own.index, self.own.start, Turn::Shard(index));
            self.shards[index].alarm.set(&mut outside.queue, at, turn);
        }
    }

    fn deliver(&mut self, outside: &mut Outside, mail: Vec<Input>) {
        if !mail.is_empty() {
            self.mail.extend(mail);
            self.wake_replica(outside);
        }
    }

    fn wake_replica(&mut self, outside: &mut Outside) {
        let at = outside.wake_time();
        let turn = Event::Turn(self.own.index, self.own.start, Turn::Replica);
        self.replica_alarm.set(&mut outside.queue, at, turn);
    }

    fn wake_shard(&mut self, outside: &mut Outside, shard: usize) {
        let at = outside.wake_time();
        let turn = Event::Turn(self.own.index, self.own.start, Turn::Shard(shard));
        self.shards[shard].alarm.set(&mut outside.queue, at, turn);
    }
}

/// Reads the disk as a server does at its start, and tells the witness what is there.
fn recover(outside: &mut Outside, server: &mut Server) -> (Storage<MemoryDisk>, Found, bool) {
    let index = server.index;
    let log = LogOptions {
        pre_alloc_bytes: 16 << 10,
        zero_ahead_bytes: 4 << 10,
        ..LogOptions::default()
    };
    let recover = RecoverOptions { hash_key: outside.options.seed, ..RecoverOptions::default() };
    let options = StorageOptions { log, recover, ..StorageOptions::default() };
    let mut storage = Storage::new(server.disk.clone(), directory(), directory(), options);
    let found = storage.recover().unwrap_or_else(|error| panic!("s{index}: {error}"));
    // Whoever lost its disk has nothing to say until it has got something.
    let may_vote = !(found.fresh && server.is_wiped);
    server.is_wiped &= found.fresh;
    let mut txns_logged = found.txns_replayed;
    let mut tree = found.tree;
    let orphans = tree.remove_orphans();
    if may_vote && (found.snapshot.is_none() || orphans > 0) {
        storage.write_snapshot(&tree).expect("the disk is well");
        txns_logged = 0;
    }
    let (base, last) = (found.snapshot.unwrap_or(Zxid::ZERO), found.last_zxid);
    let records = records(&server.disk, base, last);
    outside.witness.logs[index].recovered(base, records, last);
    let mut history = found.tail;
    history.drain(..history.len().saturating_sub(outside.options.history_kept));
    let last = tree.last_zxid();
    outside.note(index, format_args!("recovers {last}, {txns_logged} behind the snapshot"));
    (storage, Found { tree, history, txns_logged }, may_vote)
}

/// An input as a trace shows it.
fn brief(input: &Input) -> String {
    match input {
        Input::Packet(link, packet) => {
            format!("link {} {:?} {}", link.0, packet.kind, packet.zxid)
        }
        Input::Vote(sid, vote) => format!(
            "vote of {sid}: {:?} {} {} round {} epoch {}",
            vote.state, vote.leader, vote.zxid, vote.round, vote.peer_epoch
        ),
        Input::Snapshot(link, tree) => format!("link {} snapshot {}", link.0, tree.last_zxid()),
        Input::Truncated(found) => {
            format!("truncated {:?}", found.as_ref().map(|found| found.tree.last_zxid()))
        }
        other => format!("{other:?}"),
    }
}

/// An effect as a trace shows it.
fn brief_effect(effect: &Effect) -> String {
    match effect {
        Effect::Send(link, packet) => {
            format!("link {} {:?} {}", link.0, packet.kind, packet.zxid)
        }
        Effect::SendVote(sid, vote) => format!(
            "vote to {sid}: {:?} {} {} round {} epoch {}",
            vote.state, vote.leader, vote.zxid, vote.round, vote.peer_epoch
        ),
        Effect::SendSnapshot(link, tree) => {
            format!("link {} snapshot {}", link.0, tree.last_zxid())
        }
        Effect::Log(LogOp::Append { zxid, .. }) => format!("log {zxid}"),
        Effect::Log(LogOp::Install(tree)) => format!("install {}", tree.last_zxid()),
        Effect::WriteSnapshot(tree) => format!("write snapshot {}", tree.last_zxid()),
        other => format!("{other:?}"),
    }
}

/// What no server that keeps to the protocol can be told by another one. Faults break links, but
/// they never make anybody say what it must not.
const BREACHES: &[&str] = &[
    "is not the next one",
    "out of turn",
    "cannot be read",
    "a proposal of",
    "an inform of",
    "a cut behind the end",
    "neither DIFF",
    "NEWLEADER",
    "never proposed",
    "goes back in history",
    "has the id of this server",
    "before there is a leader",
];

/// Mails handled before their effects are carried out, as in the server crate.
const TURN_MAX: usize = 64;

/// How long a server that hands over may take.
const TERMINATION_MICROS: u64 = 100_000;
