//! A world of several servers on one thread, for the tests of this crate.
//!
//! ```text
//!  client ─ bytes ─► shard ─ mailbox ─► replica ◄─ links, votes ─► the other replicas
//!                      ▲                   └─ log operations ─► disk
//!                      └────── feed ───────┘
//! ```
//!
//! Each server has one shard. Every arrow is a queue; links can be cut, disks held up, servers
//! killed and started again. The world asserts what has to hold at any time: what is published is
//! on the disks of a quorum, and everybody publishes the same.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ostler_node::clock::{Clock, Span, Time};
use ostler_node::limits::Settings;
use ostler_node::messages::{Commit, ConnId, Service, ShardId, ToReplica};
use ostler_node::replica::{Effect, EpochFile, Found, Input, LogOp, Replica};
use ostler_node::shard::{Shard, ShardEffect, ShardInput};
use ostler_node::status::{EnsembleReport, Mode};
use ostler_tree::Tree;
use ostler_wire::ids::{Epoch, Sid, Zxid};
use ostler_wire::quorum::QuorumPacket;
use ostler_wire::txn::TxnRecord;
use ostler_wire::vote::Notification;
use ostler_zab::history::TxnBody;
use ostler_zab::quorum_config::{Member, PeerRole, QuorumConfig};
use ostler_zab::settings::ZabSettings;

use crate::common::client::Wires;
use crate::common::{LinkId, START_MS, clock_at};

/// Several servers, their disks, and the wires between them and to their clients.
pub(crate) struct World {
    pub(crate) clock: Clock,
    pub(crate) servers: Vec<Server>,
    settings: Settings,
    zab: ZabSettings,
    config: Arc<QuorumConfig>,
    clients: Vec<Wire>,
    /// Between servers; what was sent and has not arrived, for each direction.
    links: BTreeMap<u64, Link>,
    next_link: u64,
    votes: BTreeMap<(usize, usize), VecDeque<Notification>>,
    /// Pairs of servers that cannot hear each other.
    cut: BTreeSet<(usize, usize)>,
    /// Whether a replica takes all that a shard or a peer has to say in one turn.
    pub(crate) whole_turns: bool,
    /// The digest after each published transaction.
    published: BTreeMap<Zxid, u64>,
    generation: u32,
}

/// One server.
pub(crate) struct Server {
    process: Option<Process>,
    pub(crate) disk: Disk,
    /// Whether the disk does nothing at the moment.
    pub(crate) is_disk_held: bool,
    /// Whether nothing of what the others send arrives at the moment.
    pub(crate) is_deaf: bool,
}

struct Process {
    replica: Replica,
    shard: Shard,
    mailbox: VecDeque<ToReplica>,
    feed: VecDeque<Arc<Commit>>,
    /// Every service that was announced.
    services: Vec<Service>,
    log: VecDeque<LogOp>,
}

/// What survives the process.
#[derive(Clone)]
pub(crate) struct Disk {
    snapshot: Tree,
    pub(crate) records: Vec<(Zxid, TxnBody)>,
    pub(crate) epochs: (Epoch, Epoch),
    /// Snapshots that leaders sent.
    pub(crate) installs: usize,
    /// Snapshots of its own, by the zxids of their trees.
    pub(crate) snapshots: Vec<Zxid>,
    /// Cuts, and whether the tree was loaded again.
    pub(crate) truncations: Vec<(Zxid, bool)>,
    /// Whether everything is in one snapshot, so that nothing can be cut.
    pub(crate) is_one_snapshot: bool,
}

/// A client's connection.
struct Wire {
    server: usize,
    conn: ConnId,
    to_server: VecDeque<u8>,
    received: Vec<u8>,
    reading: bool,
    closing: bool,
    closed: bool,
}

struct Link {
    /// The learner and its leader.
    ends: [usize; 2],
    /// By receiver, as in `ends`.
    queues: [VecDeque<Item>; 2],
}

enum Item {
    Packet(QuorumPacket),
    Snapshot(Tree),
}

impl World {
    /// So many servers that vote and so many that observe, all without data, started.
    pub(crate) fn new(voters: usize, observers: usize, settings: Settings) -> Self {
        let member = |i: usize| {
            let role = if i < voters { PeerRole::Participant } else { PeerRole::Observer };
            (sid(i), Member { role, line: format!("host{i}:2888:3888") })
        };
        let config = QuorumConfig {
            members: (0..voters + observers).map(member).collect(),
            ..QuorumConfig::default()
        };
        let zab = ZabSettings { tick_ms: TICK_MS, ..ZabSettings::new(Sid(0)) };
        let disk = Disk {
            snapshot: Tree::fresh(7),
            records: Vec::new(),
            epochs: (Epoch(0), Epoch(0)),
            installs: 0,
            snapshots: Vec::new(),
            truncations: Vec::new(),
            is_one_snapshot: false,
        };
        let server =
            |_| Server { process: None, disk: disk.clone(), is_disk_held: false, is_deaf: false };
        let mut world = Self {
            clock: clock_at(Time::from_millis(START_MS)),
            servers: (0..voters + observers).map(server).collect(),
            settings: Settings { tick_time_ms: TICK_MS, ..settings },
            zab,
            config: Arc::new(config),
            clients: Vec::new(),
            links: BTreeMap::new(),
            next_link: 0,
            votes: BTreeMap::new(),
            cut: BTreeSet::new(),
            whole_turns: false,
            published: BTreeMap::new(),
            generation: 0,
        };
        for i in 0..voters + observers {
            world.start(i);
        }
        world
    }

    /// Starts a server on what is on its disk.
    pub(crate) fn start(&mut self, i: usize) {
        let Disk { epochs, .. } = self.servers[i].disk;
        let found = self.servers[i].disk.found();
        let settings =
            Settings { server_id: u8::try_from(i + 1).unwrap(), ..self.settings.clone() };
        let settings = Arc::new(settings);
        let zab = Arc::new(ZabSettings { my_sid: sid(i), ..self.zab.clone() });
        let view = found.tree.clone();
        let config = Arc::clone(&self.config);
        let mut effects = Vec::new();
        let seed = i as u64;
        let replica = Replica::in_ensemble(
            self.clock,
            Arc::clone(&settings),
            zab,
            config,
            found,
            epochs,
            true,
            seed,
            &mut effects,
        );
        let shard = Shard::new(ShardId(0), settings, view, seed).beginning(Service::Down);
        self.servers[i].process = Some(Process {
            replica,
            shard,
            mailbox: VecDeque::new(),
            feed: VecDeque::new(),
            services: Vec::new(),
            log: VecDeque::new(),
        });
        self.effects(i, effects);
        for j in 0..self.servers.len() {
            if j != i && self.hear(i, j) {
                self.replica_input(i, Input::ElectionConnected(sid(j)));
                self.replica_input(j, Input::ElectionConnected(sid(i)));
            }
        }
    }

    /// A process dies; what its disk has not done yet is lost.
    pub(crate) fn kill(&mut self, i: usize) {
        self.servers[i].process = None;
        for wire in self.clients.iter_mut().filter(|wire| wire.server == i) {
            wire.closed = true;
        }
        let links = self.links.iter().filter(|(_, link)| link.ends.contains(&i));
        for link in links.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.break_link(link);
        }
        self.votes.retain(|(from, to), _| *from != i && *to != i);
        for j in 0..self.servers.len() {
            if self.is_up(j) {
                self.replica_input(j, Input::ElectionUnreachable(sid(i)));
            }
        }
    }

    /// From now on two servers do not hear each other, and know it.
    pub(crate) fn cut(&mut self, a: usize, b: usize) {
        self.cut.extend([(a, b), (b, a)]);
        let links =
            self.links.iter().filter(|(_, link)| link.ends == [a, b] || link.ends == [b, a]);
        for link in links.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.break_link(link);
        }
        for (from, to) in [(a, b), (b, a)] {
            self.votes.remove(&(from, to));
            if self.is_up(to) {
                self.replica_input(to, Input::ElectionUnreachable(sid(from)));
            }
        }
    }

    /// A server is cut off from all others.
    pub(crate) fn isolate(&mut self, i: usize) {
        for j in (0..self.servers.len()).filter(|j| *j != i) {
            self.cut(i, j);
        }
    }

    /// All servers hear each other again.
    pub(crate) fn heal(&mut self) {
        for (a, b) in std::mem::take(&mut self.cut) {
            if self.is_up(a) && self.is_up(b) {
                self.replica_input(a, Input::ElectionConnected(sid(b)));
            }
        }
    }

    /// Hands something to a replica.
    pub(crate) fn replica_input(&mut self, i: usize, input: Input) {
        self.replica_turn(i, vec![input]);
    }

    /// Hands several things to a replica at once.
    fn replica_turn(&mut self, i: usize, inputs: Vec<Input>) {
        let Some(process) = &mut self.servers[i].process else { return };
        let mut effects = Vec::new();
        for input in inputs {
            process.replica.hear(self.clock, input, &mut effects);
        }
        process.replica.end_turn(&mut effects);
        self.effects(i, effects);
    }

    pub(crate) fn is_up(&self, i: usize) -> bool {
        self.servers[i].process.is_some()
    }

    pub(crate) fn mode(&self, i: usize) -> Mode {
        self.process(i).replica.report(self.clock).mode
    }

    pub(crate) fn tree(&self, i: usize) -> Tree {
        self.process(i).replica.report(self.clock).tree
    }

    pub(crate) fn expiry_count(&self, i: usize) -> usize {
        self.process(i).replica.report(self.clock).expiry.len()
    }

    pub(crate) fn ensemble(&self, i: usize) -> EnsembleReport {
        self.process(i).replica.report(self.clock).ensemble.expect("it is a member")
    }

    /// Everything that was said about how clients are served, since the last time.
    pub(crate) fn services(&mut self, i: usize) -> Vec<Service> {
        std::mem::take(&mut self.servers[i].process.as_mut().expect("it is up").services)
    }

    /// Requests that a server's replica has of its shard.
    pub(crate) fn outstanding(&self, i: usize) -> usize {
        self.process(i).shard.report(false).outstanding
    }

    /// Who leads, if exactly one does.
    pub(crate) fn leader(&self) -> Option<usize> {
        let mut leaders =
            (0..self.servers.len()).filter(|i| self.is_up(*i) && self.mode(*i) == Mode::Leader);
        let leader = leaders.next()?;
        leaders.next().is_none().then_some(leader)
    }

    /// Lets time pass until all servers that are up serve; who leads.
    pub(crate) fn until_served(&mut self) -> usize {
        self.until_served_but(usize::MAX)
    }

    /// The same, whatever one of them does.
    pub(crate) fn until_served_but(&mut self, other: usize) -> usize {
        let are_meant = |world: &Self| {
            let up = (0..world.servers.len()).filter(|i| *i != other && world.is_up(*i));
            up.collect::<Vec<_>>()
        };
        for _ in 0..600 {
            self.settle();
            let meant = are_meant(self);
            if meant.iter().all(|i| self.mode(*i) != Mode::Down) {
                let mut leaders = meant.into_iter().filter(|i| self.mode(*i) == Mode::Leader);
                return leaders.next().expect("one leads");
            }
            self.advance(100);
        }
        panic!("nobody leads after a minute");
    }

    /// Whether a connection is closed.
    pub(crate) fn is_closed(&self, link: LinkId) -> bool {
        self.clients[link.0].closed
    }

    /// A client goes without a word.
    pub(crate) fn hang_up(&mut self, link: LinkId) {
        if !self.clients[link.0].closed {
            self.close_wire(link);
        }
    }

    fn process(&self, i: usize) -> &Process {
        self.servers[i].process.as_ref().expect("it is up")
    }

    fn hear(&self, a: usize, b: usize) -> bool {
        self.is_up(a) && self.is_up(b) && !self.cut.contains(&(a, b))
    }

    fn break_link(&mut self, id: u64) {
        let Some(link) = self.links.remove(&id) else { return };
        for end in link.ends {
            self.replica_input(end, Input::LinkDown(ostler_zab::LinkId(id)));
        }
    }

    /// Does one log operation of a server; appends that follow each other are one.
    pub(crate) fn work_log(&mut self, i: usize) -> bool {
        let Server { process: Some(process), disk, is_disk_held: false, .. } = &mut self.servers[i]
        else {
            return false;
        };
        let Some(op) = process.log.pop_front() else { return false };
        match op {
            LogOp::Append { zxid, body } => {
                disk.append(zxid, body);
                let mut last = zxid;
                while let Some(LogOp::Append { zxid, body }) =
                    process.log.pop_front_if(|op| matches!(op, LogOp::Append { .. }))
                {
                    disk.append(zxid, body);
                    last = zxid;
                }
                self.replica_input(i, Input::LogSynced(last));
            }
            LogOp::Roll => {}
            LogOp::WriteEpoch(file, epoch) => {
                match file {
                    EpochFile::Accepted => disk.epochs.0 = epoch,
                    EpochFile::Current => disk.epochs.1 = epoch,
                }
                assert!(disk.epochs.0 >= disk.epochs.1, "accepted before it is current");
                self.replica_input(i, Input::EpochWritten(file, epoch));
            }
            LogOp::Truncate { .. } if disk.is_one_snapshot => {
                let found = disk.found();
                self.replica_input(i, Input::TruncateFailed(found));
            }
            LogOp::Truncate { zxid, reload } => {
                disk.truncate(zxid, reload);
                let found = reload.then(|| disk.found());
                self.replica_input(i, Input::Truncated(found));
            }
            LogOp::Install(tree) => {
                disk.snapshot = *tree;
                disk.records.clear();
                disk.installs += 1;
            }
        }
        true
    }

    fn effects(&mut self, i: usize, effects: Vec<Effect>) {
        for effect in effects {
            let Some(process) = &mut self.servers[i].process else { return };
            match effect {
                Effect::Log(op) => process.log.push_back(op),
                Effect::SendVote(to, vote) => self.send_vote(i, place(to), vote),
                Effect::ConnectElection(to) => {
                    if !self.hear(i, place(to)) {
                        self.replica_input(i, Input::ElectionUnreachable(to));
                    }
                }
                Effect::DialLeader(leader) => self.dial(i, leader),
                Effect::Send(link, packet) => self.push(i, link, Item::Packet(packet)),
                Effect::SendSnapshot(link, tree) => {
                    self.push(i, link, Item::Snapshot(*tree));
                    self.replica_input(i, Input::SnapshotSent(link));
                }
                Effect::CloseLink(link, _) => {
                    self.deliver_all(link.0);
                    self.break_link(link.0);
                }
                Effect::Publish(commit) => self.publish(i, *commit),
                Effect::WriteSnapshot(tree) => {
                    self.servers[i].disk.snapshots.push(tree.last_zxid());
                    self.replica_input(i, Input::SnapshotEnded);
                }
                Effect::Stop(why) => panic!("server {i} ends: {why}"),
                Effect::DigestMismatch(zxid) => panic!("server {i} differs at {zxid}"),
                Effect::QuotaExceeded(_) => {}
            }
        }
    }

    fn send_vote(&mut self, from: usize, to: usize, vote: Notification) {
        if self.hear(from, to) {
            let queue = self.votes.entry((from, to)).or_default();
            queue.clear();
            queue.push_back(vote);
        } else {
            self.replica_input(from, Input::ElectionUnreachable(sid(to)));
        }
    }

    fn dial(&mut self, i: usize, leader: Sid) {
        let to = place(leader);
        if !self.hear(i, to) {
            return self.replica_input(i, Input::Dialled(leader, None));
        }
        self.next_link += 1;
        let id = ostler_zab::LinkId(self.next_link);
        self.links.insert(id.0, Link { ends: [i, to], queues: [VecDeque::new(), VecDeque::new()] });
        self.replica_input(to, Input::Accepted(id));
        self.replica_input(i, Input::Dialled(leader, Some(id)));
    }

    fn push(&mut self, from: usize, link: ostler_zab::LinkId, item: Item) {
        let Some(link) = self.links.get_mut(&link.0) else { return };
        let to = usize::from(link.ends[0] == from);
        link.queues[to].push_back(item);
    }

    fn deliver_all(&mut self, link: u64) {
        while self.deliver(link, 0) || self.deliver(link, 1) {}
    }

    /// Brings one item over a link.
    fn deliver(&mut self, id: u64, to: usize) -> bool {
        let Some(link) = self.links.get_mut(&id) else { return false };
        let queue = &mut link.queues[to];
        let count = if self.whole_turns { queue.len() } else { 1.min(queue.len()) };
        let (receiver, id) = (link.ends[to], ostler_zab::LinkId(id));
        let input = |item| match item {
            Item::Packet(packet) => Input::Packet(id, packet),
            Item::Snapshot(tree) => Input::Snapshot(id, tree),
        };
        let inputs: Vec<_> = queue.drain(..count).map(input).collect();
        self.replica_turn(receiver, inputs);
        count > 0
    }

    fn publish(&mut self, i: usize, commit: Commit) {
        if let Some(zxid) = commit.zxids().next_back() {
            let digest = *self.published.entry(zxid).or_insert_with(|| commit.view.digest());
            assert_eq!(digest, commit.view.digest(), "server {i} at {zxid}");
        }
        for zxid in commit.zxids() {
            let voters = self.config.voters().map(place);
            let holders = voters.filter(|i| self.servers[*i].disk.has(zxid)).count();
            assert!(holders > self.config.voters().count() / 2, "{zxid} is with {holders}");
        }
        let process = self.servers[i].process.as_mut().expect("it is up");
        for notice in commit.notices() {
            if let ostler_node::messages::Notice::Service(service) = notice {
                process.services.push(*service);
            }
        }
        process.feed.push_back(Arc::new(commit));
    }

    fn shard_input(&mut self, i: usize, input: ShardInput<'_>) {
        let Some(process) = &mut self.servers[i].process else { return };
        let mut effects = Vec::new();
        process.shard.handle(self.clock, input, &mut effects);
        self.shard_effects(i, effects);
    }

    fn shard_effects(&mut self, i: usize, effects: Vec<ShardEffect>) {
        for effect in effects {
            match effect {
                ShardEffect::Output(_) | ShardEffect::FourLetterWord(..) => {}
                ShardEffect::Close(conn) => self.wire_of(i, conn).closing = true,
                ShardEffect::Resume(conn) => self.wire_of(i, conn).reading = true,
                ShardEffect::ToReplica(message) => {
                    let process = self.servers[i].process.as_mut().expect("its shard has spoken");
                    process.mailbox.push_back(message);
                }
            }
        }
    }

    fn wire_of(&mut self, server: usize, conn: ConnId) -> &mut Wire {
        let is_it = |wire: &&mut Wire| wire.server == server && wire.conn == conn && !wire.closed;
        self.clients.iter_mut().find(is_it).expect("a connection that there is")
    }

    fn carry_in(&mut self, id: LinkId) -> bool {
        let wire = &mut self.clients[id.0];
        if wire.closed || wire.closing || !wire.reading || wire.to_server.is_empty() {
            return false;
        }
        let bytes: Vec<u8> = wire.to_server.drain(..).collect();
        let (server, conn) = (wire.server, wire.conn);
        self.shard_input(server, ShardInput::Bytes(conn, &bytes));
        let is_paused = self.process(server).shard.is_paused(conn);
        self.clients[id.0].reading &= !is_paused;
        true
    }

    fn carry_out(&mut self, id: LinkId) -> bool {
        let wire = &mut self.clients[id.0];
        if wire.closed {
            return false;
        }
        let (server, conn, closing) = (wire.server, wire.conn, wire.closing);
        let process = self.servers[server].process.as_mut().expect("it has a connection");
        let unsent = process.shard.unsent(conn).to_vec();
        if !unsent.is_empty() {
            let mut effects = Vec::new();
            process.shard.sent(self.clock, conn, unsent.len(), &mut effects);
            wire.received.extend_from_slice(&unsent);
            self.shard_effects(server, effects);
        }
        if closing {
            self.close_wire(id);
        }
        closing || !unsent.is_empty()
    }

    fn close_wire(&mut self, id: LinkId) {
        let wire = &mut self.clients[id.0];
        wire.closed = true;
        let (server, conn) = (wire.server, wire.conn);
        self.shard_input(server, ShardInput::Closed(conn));
    }

    fn work_server(&mut self, i: usize) -> bool {
        let Some(process) = &mut self.servers[i].process else { return false };
        let mut busy = false;
        let mailbox = &mut process.mailbox;
        let count = if self.whole_turns { mailbox.len() } else { 1.min(mailbox.len()) };
        if count > 0 {
            let inputs = mailbox.drain(..count).map(Input::FromShard).collect();
            self.replica_turn(i, inputs);
            busy = true;
        }
        busy |= self.work_log(i);
        let process = self.servers[i].process.as_mut();
        if let Some(commit) = process.and_then(|process| process.feed.pop_front()) {
            self.shard_input(i, ShardInput::Commit(&commit));
            busy = true;
        }
        busy
    }

    fn work_peers(&mut self) -> bool {
        let mut busy = false;
        let hears = |world: &Self, to: usize| !world.servers[to].is_deaf;
        for (from, to) in self.votes.keys().copied().collect::<Vec<_>>() {
            if !hears(self, to) {
                continue;
            }
            let queue = self.votes.get_mut(&(from, to)).expect("it was there");
            if let Some(vote) = queue.pop_front() {
                self.replica_input(to, Input::Vote(sid(from), vote));
                busy = true;
            }
        }
        for id in self.links.keys().copied().collect::<Vec<_>>() {
            for to in 0..2 {
                let end = self.links.get(&id).map(|link| link.ends[to]);
                busy |= end.is_some_and(|end| hears(self, end)) && self.deliver(id, to);
            }
        }
        busy
    }

    /// Lets so much time pass, with everything that happens meanwhile.
    pub(crate) fn advance(&mut self, span_ms: u64) {
        let until = self.clock.now + Span::from_millis(span_ms);
        loop {
            let processes = self.servers.iter().filter_map(|server| server.process.as_ref());
            let deadlines = processes.flat_map(|process| {
                [process.replica.next_deadline(), process.shard.next_deadline()]
            });
            let next = deadlines.flatten().min().filter(|next| *next <= until);
            self.clock = clock_at(next.unwrap_or(until).max(self.clock.now));
            let now = self.clock.now;
            for i in 0..self.servers.len() {
                let Some(process) = &self.servers[i].process else { continue };
                if process.shard.next_deadline().is_some_and(|due| due <= now) {
                    self.shard_input(i, ShardInput::Deadline);
                }
                let Some(process) = &self.servers[i].process else { continue };
                if process.replica.next_deadline().is_some_and(|due| due <= now) {
                    self.replica_input(i, Input::Deadline);
                }
            }
            self.settle();
            if next.is_none() {
                return;
            }
        }
    }

    /// Asserts that all servers that are up have the same, and nothing is in progress.
    pub(crate) fn assert_alike(&mut self) {
        self.advance(2 * TICK_MS);
        let up: Vec<usize> = (0..self.servers.len()).filter(|i| self.is_up(*i)).collect();
        let leader = self.tree(self.leader().expect("one leads"));
        for i in up {
            let tree = self.tree(i);
            assert_eq!(tree.digest(), leader.digest(), "server {i}");
            assert_eq!(tree.session_count(), leader.session_count(), "server {i}");
            assert_eq!(self.process(i).replica.report(self.clock).in_flight, 0, "server {i}");
            assert_eq!(self.outstanding(i), 0, "server {i}");
        }
    }
}

impl Wires for World {
    fn connect(&mut self, server: usize, from: IpAddr) -> LinkId {
        let taken: Vec<u32> = self
            .clients
            .iter()
            .filter(|wire| wire.server == server && !wire.closed)
            .map(|wire| wire.conn.slot)
            .collect();
        let slot = (0..).find(|slot| !taken.contains(slot)).expect("there is a free slot");
        self.generation += 1;
        let conn = ConnId { slot, generation: self.generation };
        self.clients.push(Wire {
            server,
            conn,
            to_server: VecDeque::new(),
            received: Vec::new(),
            reading: true,
            closing: false,
            closed: false,
        });
        self.shard_input(server, ShardInput::Accepted(conn, SocketAddr::new(from, 4000)));
        LinkId(self.clients.len() - 1)
    }

    fn send(&mut self, link: LinkId, bytes: &[u8]) {
        self.clients[link.0].to_server.extend(bytes);
    }

    fn received(&self, link: LinkId) -> &[u8] {
        &self.clients[link.0].received
    }

    /// Lets everything happen that can without time passing.
    fn settle(&mut self) {
        loop {
            let mut busy = false;
            for id in (0..self.clients.len()).map(LinkId) {
                busy |= self.carry_in(id);
            }
            for i in 0..self.servers.len() {
                busy |= self.work_server(i);
            }
            busy |= self.work_peers();
            for id in (0..self.clients.len()).map(LinkId) {
                busy |= self.carry_out(id);
            }
            if !busy {
                return;
            }
        }
    }
}

impl Disk {
    fn append(&mut self, zxid: Zxid, body: TxnBody) {
        let last = self.records.last().map_or_else(|| self.snapshot.last_zxid(), |(last, _)| *last);
        let follows = zxid == last.next() || zxid.epoch() > last.epoch();
        assert!(follows, "{zxid} behind {last}");
        self.records.push((zxid, body));
    }

    fn truncate(&mut self, zxid: Zxid, reload: bool) {
        self.truncations.push((zxid, reload));
        self.records.retain(|(record, _)| *record <= zxid);
        let last = self.records.last().map_or_else(|| self.snapshot.last_zxid(), |(last, _)| *last);
        assert_eq!(last, zxid, "what is cut to is there");
    }

    fn has(&self, zxid: Zxid) -> bool {
        zxid <= self.snapshot.last_zxid()
            || self.records.binary_search_by_key(&zxid, |(record, _)| *record).is_ok()
    }

    /// What recovery finds.
    fn found(&self) -> Found {
        let mut tree = self.snapshot.clone();
        for (_, body) in &self.records {
            let record = TxnRecord::decode(body).expect("what was logged can be read");
            tree.apply(&record.header, &record.txn, &mut Vec::new());
            if let Some(digest) = record.digest {
                assert_eq!(digest.tree_digest, tree.digest(), "at {}", record.header.zxid);
            }
        }
        let history = self.records.clone();
        Found { tree, history, txns_logged: self.records.len() as u64 }
    }
}

/// `tickTime` here.
pub(crate) const TICK_MS: u64 = 2000;

fn sid(i: usize) -> Sid {
    Sid(i64::try_from(i + 1).expect("a test has few servers"))
}

fn place(sid: Sid) -> usize {
    usize::try_from(sid.0 - 1).expect("ids begin with 1")
}
