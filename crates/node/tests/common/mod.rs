//! A world of one replica and some shards on one thread, for the tests of this crate.
//!
//! ```text
//!  client ─ bytes ─► shard ─ mailbox ─► replica ─ log ─► (sync) ─ feed ─► shard ─ bytes ─► client
//! ```
//!
//! Every arrow is a queue that the test empties as it likes, in any order between queues and in any
//! portions. The world plays the driver: it carries out effects as the server's threads do, and it
//! asserts what every driver may rely on (see [`World::shard_effects`] and [`World::publish`]).

// Each test program uses its part of this.
#![allow(dead_code)]

// The simulator's: the same for one server and for many.
#[path = "../../../sim/src/answer.rs"]
pub(crate) mod answer;
pub(crate) mod client;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use ostler_node::clock::{Clock, Span, Time};
use ostler_node::limits::Settings;
use ostler_node::messages::{Commit, ConnId, Notice, ShardId, ToReplica};
use ostler_node::replica::{Effect, Input, LogOp, Replica};
use ostler_node::shard::{Shard, ShardEffect, ShardInput};
use ostler_tree::Tree;
use ostler_wire::ids::{WallMs, Zxid};
use ostler_wire::txn::TxnRecord;

/// A connection of the world, in the order of their making.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct LinkId(pub(crate) usize);

/// One TCP connection.
pub(crate) struct Link {
    pub(crate) shard: usize,
    conn: ConnId,
    /// Sent by the client, not yet read by the shard.
    pub(crate) to_server: VecDeque<u8>,
    /// Everything that has reached the client.
    pub(crate) received: Vec<u8>,
    /// Whether the driver reads; it stops when the shard says so and until it says otherwise.
    reading: bool,
    /// Whether the shard has said that there is output.
    announced: bool,
    /// Whether the shard wants it closed.
    closing: bool,
    /// Whether the client has hung up.
    hung_up: bool,
    /// Whether it is gone: the shard was told.
    pub(crate) closed: bool,
}

/// A record of the log.
pub(crate) struct Record {
    pub(crate) zxid: Zxid,
    pub(crate) body: Vec<u8>,
}

/// One server, its disk, and the wires to its clients.
pub(crate) struct World {
    pub(crate) settings: Arc<Settings>,
    pub(crate) clock: Clock,
    pub(crate) replica: Replica,
    pub(crate) shards: Vec<Shard>,
    pub(crate) links: Vec<Link>,
    /// Per shard; between shards there is no order.
    mailboxes: Vec<VecDeque<ToReplica>>,
    /// Everything published since the start, and how far each shard has come.
    feed: Vec<Arc<Commit>>,
    cursors: Vec<usize>,
    /// Everything published by this process and those before it.
    pub(crate) published: Vec<Arc<Commit>>,
    /// On disk.
    pub(crate) durable: Vec<Record>,
    /// Handed to the log and not yet on disk.
    pub(crate) unsynced: VecDeque<Record>,
    /// Snapshots asked for, by the zxid of their trees.
    pub(crate) snapshots: Vec<Zxid>,
    /// What an operator would find in the log.
    pub(crate) warnings: Vec<String>,
    /// How often the log was rolled.
    pub(crate) rolls: usize,
    /// Whether the replica takes all that a shard has to say in one turn.
    pub(crate) whole_turns: bool,
    generation: u32,
    seed: u64,
}

impl World {
    /// A fresh server.
    pub(crate) fn new(shards: usize, settings: Settings, seed: u64) -> Self {
        let settings = Arc::new(settings);
        let clock = clock_at(Time::from_millis(START_MS));
        let tree = Tree::fresh(seed);
        Self {
            replica: Replica::new(clock, Arc::clone(&settings), tree.clone(), 0, seed),
            shards: new_shards(shards, &settings, &tree, seed),
            settings,
            clock,
            links: Vec::new(),
            mailboxes: (0..shards).map(|_| VecDeque::new()).collect(),
            feed: Vec::new(),
            cursors: vec![0; shards],
            published: Vec::new(),
            durable: Vec::new(),
            unsynced: VecDeque::new(),
            snapshots: Vec::new(),
            warnings: Vec::new(),
            rolls: 0,
            whole_turns: false,
            generation: 0,
            seed,
        }
    }

    /// The process dies with `kept` records more on disk than it knew of, and starts again.
    pub(crate) fn restart(&mut self, kept: usize) {
        for link in &mut self.links {
            link.closed = true;
        }
        let kept = kept.min(self.unsynced.len());
        self.durable.extend(self.unsynced.drain(..kept));
        self.unsynced.clear();
        let mut tree = Tree::fresh(self.seed);
        for record in &self.durable {
            let record = TxnRecord::decode(&record.body).expect("what was logged can be read");
            tree.apply(&record.header, &record.txn, &mut Vec::new());
            if let Some(digest) = record.digest {
                assert_eq!(digest.tree_digest, tree.digest(), "at {}", record.header.zxid);
            }
        }
        tree.remove_orphans();
        let shards = self.shards.len();
        self.replica = Replica::new(
            self.clock,
            Arc::clone(&self.settings),
            tree.clone(),
            self.durable.len() as u64,
            self.seed,
        );
        self.shards = new_shards(shards, &self.settings, &tree, self.seed);
        self.mailboxes.iter_mut().for_each(VecDeque::clear);
        self.feed.clear();
        self.cursors = vec![0; shards];
    }

    /// A client connects to `shard` from `from`.
    pub(crate) fn connect(&mut self, shard: usize, from: IpAddr) -> LinkId {
        let on_shard = |link: &&Link| link.shard == shard && !link.closed;
        let taken: Vec<u32> =
            self.links.iter().filter(on_shard).map(|link| link.conn.slot).collect();
        let slot = (0..).find(|slot| !taken.contains(slot)).expect("there is a free slot");
        self.generation += 1;
        let conn = ConnId { slot, generation: self.generation };
        self.links.push(Link {
            shard,
            conn,
            to_server: VecDeque::new(),
            received: Vec::new(),
            reading: true,
            announced: false,
            closing: false,
            hung_up: false,
            closed: false,
        });
        self.input(shard, ShardInput::Accepted(conn, SocketAddr::new(from, 4000)));
        LinkId(self.links.len() - 1)
    }

    /// The client sends bytes.
    pub(crate) fn send(&mut self, link: LinkId, bytes: &[u8]) {
        let link = &mut self.links[link.0];
        if !link.closed && !link.hung_up {
            link.to_server.extend(bytes);
        }
    }

    /// The client is gone; the shard hears of it by [`World::carry_hang_up`].
    pub(crate) fn hang_up(&mut self, link: LinkId) {
        self.links[link.0].hung_up = true;
    }

    /// The server's socket tells that the client is gone; bytes on the way are lost.
    pub(crate) fn carry_hang_up(&mut self, link: LinkId) -> bool {
        let hung_up = self.links[link.0].hung_up && !self.links[link.0].closed;
        if hung_up {
            self.close(link);
        }
        hung_up
    }

    /// Hands at most `count_max` bytes of a client to its shard, if the shard wants any.
    pub(crate) fn carry_in(&mut self, id: LinkId, count_max: usize) -> bool {
        let link = &mut self.links[id.0];
        if link.closed || link.closing || !link.reading || link.to_server.is_empty() {
            return false;
        }
        let count = count_max.min(link.to_server.len());
        let bytes: Vec<u8> = link.to_server.drain(..count).collect();
        let (shard, conn) = (link.shard, link.conn);
        self.input(shard, ShardInput::Bytes(conn, &bytes));
        if self.shards[shard].is_paused(conn) {
            self.links[id.0].reading = false;
        }
        true
    }

    /// Carries at most `count_max` bytes of output to a client; closes what is to be closed.
    pub(crate) fn carry_out(&mut self, id: LinkId, count_max: usize) -> bool {
        let link = &mut self.links[id.0];
        if link.closed {
            return false;
        }
        let (shard, conn) = (link.shard, link.conn);
        let unsent = self.shards[shard].unsent(conn);
        let count = unsent.len().min(count_max);
        let is_last = count == unsent.len();
        if count > 0 {
            link.received.extend_from_slice(&unsent[..count]);
            link.announced &= !is_last;
            let mut effects = Vec::new();
            self.shards[shard].sent(self.clock, conn, count, &mut effects);
            self.shard_effects(shard, effects);
        }
        let over = is_last && self.links[id.0].closing;
        if over {
            self.close(id);
        }
        count > 0 || over
    }

    /// Hands the oldest message of a shard to the replica, or all of them.
    pub(crate) fn carry_mail(&mut self, shard: usize) -> bool {
        let mailbox = &mut self.mailboxes[shard];
        let count = if self.whole_turns { mailbox.len() } else { 1.min(mailbox.len()) };
        let mut effects = Vec::new();
        for message in mailbox.drain(..count) {
            self.replica.hear(self.clock, Input::FromShard(message), &mut effects);
        }
        self.replica.end_turn(&mut effects);
        self.effects_of_replica(effects);
        count > 0
    }

    /// Brings at most `count_max` records to disk and says so.
    pub(crate) fn sync_log(&mut self, count_max: usize) -> bool {
        let count = count_max.min(self.unsynced.len());
        self.durable.extend(self.unsynced.drain(..count));
        if let (true, Some(last)) = (count > 0, self.durable.last()) {
            self.replica_input(Input::LogSynced(last.zxid));
        }
        count > 0
    }

    /// Hands the next commit to a shard.
    pub(crate) fn carry_commit(&mut self, shard: usize) -> bool {
        let Some(commit) = self.feed.get(self.cursors[shard]).cloned() else { return false };
        self.cursors[shard] += 1;
        self.input(shard, ShardInput::Commit(&commit));
        true
    }

    /// Publishes a step that a replica without an ensemble does not make: no transaction, `view` as
    /// it is.
    pub(crate) fn tell(&mut self, view: Tree, notices: Vec<Notice>) {
        self.feed.push(Arc::new(Commit::telling(view, notices)));
    }

    /// How much output of a connection its client has not read.
    pub(crate) fn unsent(&self, id: LinkId) -> usize {
        let link = &self.links[id.0];
        self.shards[link.shard].unsent(link.conn).len()
    }

    /// The snapshot that was asked for is on disk.
    pub(crate) fn end_snapshot(&mut self) {
        self.replica_input(Input::SnapshotEnded);
    }

    /// The first deadline of all machines.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        let shards = self.shards.iter().filter_map(Shard::next_deadline);
        shards.chain(self.replica.next_deadline()).min()
    }

    /// Lets time pass up to `until`, at most to the next deadline; true if that was met.
    ///
    /// Mailboxes are emptied before the replica's deadline, as its thread does.
    pub(crate) fn pass_time(&mut self, until: Time) -> bool {
        let Some(deadline) = self.next_deadline().filter(|deadline| *deadline <= until) else {
            self.clock = clock_at(until);
            return false;
        };
        self.clock = clock_at(deadline.max(self.clock.now));
        for shard in 0..self.shards.len() {
            if self.shards[shard].next_deadline().is_some_and(|due| due <= self.clock.now) {
                self.input(shard, ShardInput::Deadline);
            }
        }
        if self.replica.next_deadline().is_some_and(|due| due <= self.clock.now) {
            for shard in 0..self.shards.len() {
                while self.carry_mail(shard) {}
            }
            self.replica_input(Input::Deadline);
        }
        true
    }

    /// Lets everything happen that can without time passing.
    pub(crate) fn settle(&mut self) {
        self.settle_but(&Held::default());
    }

    /// The same, but for the queues that are held.
    pub(crate) fn settle_but(&mut self, held: &Held) {
        loop {
            let mut busy = false;
            for link in (0..self.links.len()).map(LinkId) {
                busy |= self.carry_hang_up(link);
                busy |= self.carry_in(link, usize::MAX);
            }
            for shard in 0..self.shards.len() {
                busy |= !held.mail && self.carry_mail(shard);
            }
            busy |= !held.log && self.sync_log(usize::MAX);
            for shard in 0..self.shards.len() {
                busy |= !held.feed.contains(&shard) && self.carry_commit(shard);
            }
            for link in (0..self.links.len()).map(LinkId) {
                busy |= !held.output && self.carry_out(link, usize::MAX);
            }
            if !busy {
                return;
            }
        }
    }

    /// Lets so much time pass, with everything that happens meanwhile.
    pub(crate) fn advance(&mut self, span_ms: u64, held: &Held) {
        let until = self.clock.now + Span::from_millis(span_ms);
        while self.pass_time(until) {
            self.settle_but(held);
        }
        self.settle_but(held);
    }

    /// Clients whose bytes nobody will ever read, though they are connected: a stall.
    pub(crate) fn stalled(&self) -> Vec<LinkId> {
        let stalled = |link: &Link| !link.closed && !link.to_server.is_empty();
        (0..self.links.len()).filter(|i| stalled(&self.links[*i])).map(LinkId).collect()
    }

    fn close(&mut self, id: LinkId) {
        let link = &mut self.links[id.0];
        link.closed = true;
        let (shard, conn) = (link.shard, link.conn);
        self.input(shard, ShardInput::Closed(conn));
    }

    fn input(&mut self, shard: usize, input: ShardInput<'_>) {
        let mut effects = Vec::new();
        self.shards[shard].handle(self.clock, input, &mut effects);
        self.shard_effects(shard, effects);
    }

    /// Carries out what a shard wants, and asserts that output is announced, once, and that no
    /// connection is spoken of when it is gone.
    fn shard_effects(&mut self, shard: usize, effects: Vec<ShardEffect>) {
        for effect in effects {
            match effect {
                ShardEffect::Output(conn) => {
                    let link = self.link_of(shard, conn);
                    assert!(!link.announced, "{conn:?} was announced twice");
                    link.announced = true;
                }
                ShardEffect::Close(conn) => {
                    let link = self.link_of(shard, conn);
                    assert!(!link.closing, "{conn:?} was closed twice");
                    link.closing = true;
                }
                ShardEffect::Resume(conn) => self.link_of(shard, conn).reading = true,
                ShardEffect::FourLetterWord(conn, word) => {
                    let text = format!("the answer to {}\n", word.escape_ascii());
                    self.input(shard, ShardInput::Text(conn, text.as_bytes()));
                }
                ShardEffect::ToReplica(message) => self.mailboxes[shard].push_back(message),
            }
        }
        for link in self.links.iter().filter(|link| link.shard == shard && !link.closed) {
            let has_output = !self.shards[shard].unsent(link.conn).is_empty();
            assert_eq!(has_output, link.announced, "output of {:?}", link.conn);
        }
    }

    fn link_of(&mut self, shard: usize, conn: ConnId) -> &mut Link {
        let is_it = |link: &&mut Link| link.shard == shard && link.conn == conn;
        let link = self.links.iter_mut().find(is_it).expect("a connection that there was");
        assert!(!link.closed, "{conn:?} is gone");
        link
    }

    fn replica_input(&mut self, input: Input) {
        let mut effects = Vec::new();
        self.replica.handle(self.clock, input, &mut effects);
        self.effects_of_replica(effects);
    }

    fn effects_of_replica(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Log(LogOp::Append { zxid, body }) => self.log(zxid, body.to_vec()),
                Effect::Log(LogOp::Roll) => self.rolls += 1,
                Effect::Publish(commit) => self.publish(*commit),
                Effect::WriteSnapshot(tree) => self.snapshots.push(tree.last_zxid()),
                Effect::QuotaExceeded(excess) => self.warnings.push(excess.to_string()),
                other => panic!("a standalone server does not ask for {other:?}"),
            }
        }
    }

    fn log(&mut self, zxid: Zxid, body: Vec<u8>) {
        let last = self.unsynced.back().or_else(|| self.durable.last());
        let expected = last.map_or(Zxid(1), |record| record.zxid.next());
        assert_eq!(zxid, expected, "the log has no gaps");
        self.unsynced.push_back(Record { zxid, body });
    }

    /// Asserts that nobody is shown what is not on disk, and that the world only goes on.
    fn publish(&mut self, commit: Commit) {
        let synced = self.durable.last().map_or(Zxid::ZERO, |record| record.zxid);
        let zxid = commit.view.last_zxid();
        assert!(zxid <= synced, "{zxid} was published when the log was synced to {synced}");
        if let Some(before) = self.feed.last().map(|commit| commit.view.last_zxid()) {
            let last = commit.zxids().fold(before, |last, zxid| {
                assert_eq!(zxid, last.next(), "every transaction, in order");
                zxid
            });
            assert_eq!(zxid, last, "the view behind the last one");
        }
        let commit = Arc::new(commit);
        self.feed.push(Arc::clone(&commit));
        self.published.push(commit);
    }
}

/// Queues that [`World::settle_but`] leaves alone.
#[derive(Clone, Default)]
pub(crate) struct Held {
    pub(crate) mail: bool,
    pub(crate) log: bool,
    /// What clients would read.
    pub(crate) output: bool,
    /// By shard.
    pub(crate) feed: Vec<usize>,
}

/// Where clients are unless they say otherwise.
pub(crate) const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What the monotonic clock shows when a world begins.
pub(crate) const START_MS: u64 = 1_000_000;

/// What the wall clock shows then.
pub(crate) const WALL_START_MS: i64 = 1_700_000_000_000;

pub(crate) fn clock_at(now: Time) -> Clock {
    let passed = now.millis().cast_signed() - START_MS.cast_signed();
    Clock { now, wall: WallMs(WALL_START_MS + passed) }
}

fn new_shards(count: usize, settings: &Arc<Settings>, view: &Tree, seed: u64) -> Vec<Shard> {
    let id = |i| ShardId(u16::try_from(i).expect("a test has few shards"));
    let shard = |i| Shard::new(id(i), Arc::clone(settings), view.clone(), seed);
    (0..count).map(shard).collect()
}
