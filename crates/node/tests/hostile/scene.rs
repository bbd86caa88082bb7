//! What any schedule of hostile connections may do to a server, and what it may not.
//!
//! ```text
//!  script: settings byte, then steps: [what: 1] [operands: as many as that takes]
//!  friends: a bystander with one watch, a keeper who will fire it, two workers who pipeline
//!  enemies: connections that send anything at all, a few dozen at most
//! ```
//!
//! A script that ends in the middle of a step is continued by zeros. Whatever it says, no step
//! panics; friends get all their answers in order (their clients assert that) and keep their
//! connections unless somebody asks for their very sessions; the bystander's watch fires once; no
//! queue outgrows its bound; the log, applied to a fresh tree, gives the tree of the replica; and
//! when all have left nothing stays behind.

use std::net::{IpAddr, Ipv4Addr};

use ostler_node::clock::Span;
use ostler_node::limits::{PENDING_PER_CONNECTION_MAX, Settings, UNSENT_PER_CONNECTION_MAX_BYTES};
use ostler_node::rng::Rng;
use ostler_tree::Tree;
use ostler_wire::acl::{AclEntry, Perms};
use ostler_wire::connect::{ConnectRequest, ConnectResponse, Password};
use ostler_wire::frame;
use ostler_wire::ids::{SessionId, Xid, Zxid};
use ostler_wire::jute::{Put as _, Reader};
use ostler_wire::reply::ReplyHeader;
use ostler_wire::request::{CreateRequest, Request};
use ostler_wire::txn::TxnRecord;

use crate::common::answer::Frame;
use crate::common::client::{Client, new_session};
use crate::common::{Held, LinkId, World};
use crate::workload;

/// Runs one schedule and asserts everything that the module promises.
pub(crate) fn run(script: &[u8]) {
    let mut scene = Scene::new(Script(script));
    for _ in 0..STEPS_MAX {
        if scene.script.0.is_empty() {
            break;
        }
        scene.step();
    }
    scene.end();
}

/// Steps of one schedule; what is left of longer ones is not looked at.
const STEPS_MAX: usize = 2000;

/// Enemies of one schedule, those that are gone included.
const ENEMIES_MAX: usize = 24;

/// Bytes that all enemies of one schedule may send.
const SENT_MAX_BYTES: usize = 256 << 10;

/// Time that may pass while nothing is carried, so that friends do not expire.
const UNSETTLED_MAX_MS: u64 = 5_000;

const FRIEND_TIMEOUT_MS: i32 = 20_000;

/// Who the friends are; enemies do not come from there.
const FRIENDS_FROM: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

/// What is left of the schedule.
struct Script<'s>(&'s [u8]);

impl<'s> Script<'s> {
    /// The next byte; zero behind the end.
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn index(&mut self, length: usize) -> usize {
        usize::from(self.byte()) % length
    }

    /// So many bytes, or what is left.
    fn bytes(&mut self, count: usize) -> &'s [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A number of bytes, and they.
    fn counted(&mut self) -> &'s [u8] {
        let count = usize::from(self.byte() / 4);
        self.bytes(count)
    }
}

/// A connection that may send anything.
struct Enemy {
    link: LinkId,
    /// Everything that it has sent.
    sent: Vec<u8>,
    next_xid: i32,
}

/// A connection that keeps the rules.
struct Friend {
    client: Client,
    events: usize,
    /// Somebody asked for its session, which may have cost it its connection.
    robbed: bool,
}

struct Scene<'s> {
    script: Script<'s>,
    world: World,
    /// The bystander, the keeper, and the workers.
    friends: Vec<Friend>,
    enemies: Vec<Enemy>,
    sent_bytes: usize,
    unsettled_ms: u64,
}

/// What an enemy says first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hello {
    New,
    /// It wants the session of another enemy, or its own of before.
    Resume,
    WrongPassword,
    Mutated,
}

const BYSTANDER: usize = 0;
const KEEPER: usize = 1;

impl<'s> Scene<'s> {
    fn new(mut script: Script<'s>) -> Self {
        let switches = script.byte();
        let settings = Settings {
            tick_time_ms: 500,
            session_timeout_min_ms: 1000,
            session_timeout_max_ms: FRIEND_TIMEOUT_MS,
            frame_max_bytes: 8000,
            // So few that pausing is the rule, or so many that it is not.
            outstanding_max: if switches & 1 == 0 { 3 } else { 1000 },
            snap_count: if switches & 2 == 0 { 10 } else { 100_000 },
            digest_enabled: switches & 4 == 0,
            reconfig_enabled: switches & 8 != 0,
            ..Settings::default()
        };
        let mut world = World::new(2, settings, u64::from(switches));
        let friends = (0..4).map(|i| Friend::new(&mut world, i % 2)).collect();
        let mut scene =
            Self { script, world, friends, enemies: Vec::new(), sent_bytes: 0, unsettled_ms: 0 };
        scene.set_up();
        scene
    }

    /// The bystander's watch is on a znode that enemies can neither reach nor take away.
    fn set_up(&mut self) {
        self.settle();
        let auth = Request::Auth { scheme: "digest".into(), auth: Some(b"calm:and a secret") };
        self.ask(BYSTANDER, &auth);
        self.ask(KEEPER, &auth);
        let own = || {
            let (scheme, id) = (Some("auth".into()), Some("".into()));
            Some(vec![AclEntry { perms: Perms::ALL, scheme, id }])
        };
        for path in ["/fort", FORT] {
            let path = path.into();
            let create = CreateRequest { path, data: None, acl: own(), flags: 0, ttl_ms: -1 };
            self.ask(KEEPER, &Request::Create(create));
        }
        self.settle();
        self.ask(BYSTANDER, &Request::GetData { path: FORT.into(), watch: true });
        self.settle();
    }

    fn ask(&mut self, friend: usize, request: &Request<'_>) {
        self.friends[friend].client.send(&mut self.world, request);
    }

    fn step(&mut self) {
        match self.script.byte() {
            what @ 0..105 => self.attack(what),
            105..140 => self.work(),
            140..160 => {
                let (link, count) = (self.any_link(), self.portion());
                self.world.carry_in(link, count);
            }
            160..175 => {
                let shard = self.script.index(2);
                self.world.carry_mail(shard);
            }
            175..190 => {
                let count = self.portion();
                self.world.sync_log(count);
            }
            190..215 => {
                let shard = self.script.index(2);
                self.world.carry_commit(shard);
            }
            215..230 => {
                let (link, count) = (self.any_link(), self.portion());
                self.world.carry_out(link, count);
                self.listen();
            }
            230..234 => {
                let link = self.any_link();
                self.world.carry_hang_up(link);
            }
            234..242 => self.settle(),
            242..248 => {
                let span_ms = u64::from(self.script.byte());
                self.pass_time(span_ms);
            }
            248..252 => {
                let span_ms = u64::from(self.script.byte()) * 30;
                self.advance(span_ms);
            }
            _ => self.world.end_snapshot(),
        }
    }

    /// An enemy does something; there is one more if the script wants that.
    fn attack(&mut self, what: u8) {
        if what < 20 || self.enemies.is_empty() {
            return self.dial(what);
        }
        let enemy = self.script.index(self.enemies.len());
        match what {
            20..22 => {
                let bytes = self.script.counted();
                self.send(enemy, bytes);
            }
            22..24 => {
                let body = self.script.counted();
                self.send_frame(enemy, body);
            }
            24..26 => {
                let prefix = self.script.bytes(4);
                let rest = self.script.counted();
                self.send(enemy, &[prefix, rest].concat());
            }
            26..76 => {
                let body = self.request(enemy);
                self.send_frame(enemy, &body);
            }
            76..90 => {
                let body = self.request(enemy);
                let body = self.mutate(body);
                self.send_frame(enemy, &body);
            }
            90..94 => {
                let mut body = self.script.bytes(4).to_vec();
                body.put_int(i32::from(self.script.byte().cast_signed()));
                body.extend_from_slice(self.script.counted());
                self.send_frame(enemy, &body);
            }
            94..100 => {
                let body = self.request(enemy);
                for _ in 0..self.script.byte() / 2 {
                    self.send_frame(enemy, &body);
                }
                self.check_bounds();
            }
            100..103 => self.world.hang_up(self.enemies[enemy].link),
            _ => self.send(enemy, [b"ruok", b"stat", b"mntr", b"junk"][enemy % 4]),
        }
    }

    /// One more enemy, who mostly asks for a session first; or, if there are enough, one of them
    /// asks again.
    fn dial(&mut self, what: u8) {
        let shard = self.script.index(2);
        let mut enemy = self.enemies.len();
        if enemy < ENEMIES_MAX {
            let link = self.world.connect(shard, crate::common::LOCALHOST);
            self.enemies.push(Enemy { link, sent: Vec::new(), next_xid: 1 });
        } else {
            enemy = self.script.index(enemy);
        }
        match what {
            0..9 => self.hello(enemy, Hello::New),
            9..14 => self.hello(enemy, Hello::Resume),
            14..16 => self.hello(enemy, Hello::WrongPassword),
            16..18 => self.hello(enemy, Hello::Mutated),
            _ => {}
        }
    }

    fn hello(&mut self, enemy: usize, how: Hello) {
        let other = self.script.index(self.enemies.len());
        let before = if how == Hello::New { None } else { self.session_of(other) };
        let (session, mut password) = before.unwrap_or((SessionId::NONE, [0; 16]));
        password[0] ^= u8::from(how == Hello::WrongPassword);
        let timeout_ms = i32::from(self.script.byte()) * 100 - 1000;
        let request =
            ConnectRequest { session, password: Some(&password), ..new_session(timeout_ms) };
        let mut body = Vec::new();
        request.encode(&mut body);
        if how == Hello::Mutated {
            body = self.mutate(body);
        }
        self.send_frame(enemy, &body);
    }

    /// The session that an enemy was given.
    fn session_of(&self, enemy: usize) -> Option<(SessionId, Password)> {
        let received = &*self.world.links[self.enemies[enemy].link.0].received;
        let body = frame::first(received, usize::MAX).ok()??;
        let response = ConnectResponse::decode(body).ok()?;
        Some((response.session, response.password))
    }

    /// A request as a decent client would send it: a frame's body.
    fn request(&mut self, enemy: usize) -> Vec<u8> {
        let draw = self.script.byte();
        let seed = u64::from(draw) << 8 | u64::from(self.script.byte());
        let last_zxid = self.world.durable.last().map_or(Zxid::ZERO, |record| record.zxid);
        let request = match draw {
            0..10 => self.odd_request(draw),
            _ => workload::request(&mut Rng::new(seed), last_zxid, true),
        };
        let enemy = &mut self.enemies[enemy];
        let xid = Xid(enemy.next_xid);
        enemy.next_xid += 1;
        let mut body = Vec::new();
        request.encode(xid, &mut body);
        body
    }

    /// What the workload does not ask for.
    fn odd_request(&mut self, draw: u8) -> Request<'s> {
        let text = |bytes: &'s [u8]| Some(String::from_utf8_lossy(bytes));
        match draw {
            0..2 => Request::CloseSession,
            2 => Request::WhoAmI,
            3 => Request::Sasl { token: Some(self.script.counted()) },
            4 => Request::Reconfig {
                joining: text(self.script.counted()),
                leaving: None,
                members: None,
                config_id: -1,
            },
            5 => {
                let scheme = ["digest", "ip", "world", "super", "auth"][self.script.index(5)];
                Request::Auth { scheme: scheme.into(), auth: Some(self.script.counted()) }
            }
            6 => Request::GetData { path: FORT.into(), watch: true },
            7 => Request::Delete { path: FORT.into(), version: -1 },
            8 => Request::Exists {
                path: text(self.script.counted()).unwrap_or_default(),
                watch: true,
            },
            _ => Request::CreateTtl(CreateRequest {
                path: text(self.script.counted()).unwrap_or_default(),
                data: Some(self.script.counted()),
                acl: None,
                flags: i32::from(self.script.byte() % 9),
                ttl_ms: i64::from(self.script.byte().cast_signed()),
            }),
        }
    }

    /// Changes, repeats or drops bytes.
    fn mutate(&mut self, mut body: Vec<u8>) -> Vec<u8> {
        for _ in 0..=self.script.index(4) {
            let at = self.script.index(body.len().max(1));
            let value = self.script.byte();
            match (value % 8, body.get_mut(at)) {
                (0, Some(_)) => body.truncate(at),
                (1, Some(_)) => body.extend_from_within(at..),
                (2, Some(byte)) => *byte ^= 0x80,
                (_, Some(byte)) => *byte = value,
                (_, None) => body.push(value),
            }
        }
        body
    }

    fn send_frame(&mut self, enemy: usize, body: &[u8]) {
        let mut bytes = Vec::new();
        frame::put(&mut bytes, |out| out.extend_from_slice(body));
        self.send(enemy, &bytes);
    }

    fn send(&mut self, enemy: usize, bytes: &[u8]) {
        self.sent_bytes += bytes.len();
        if self.sent_bytes <= SENT_MAX_BYTES {
            self.world.send(self.enemies[enemy].link, bytes);
            self.enemies[enemy].sent.extend_from_slice(bytes);
        }
    }

    /// A worker asks for something.
    fn work(&mut self) {
        let seed = u64::from(self.script.byte()) << 8 | u64::from(self.script.byte());
        let worker = 2 + usize::from(seed % 2 == 1);
        let friend = &self.friends[worker];
        if !friend.robbed && friend.client.waiting.len() < 200 {
            let last_zxid = friend.client.last_zxid;
            self.ask(worker, &workload::request(&mut Rng::new(seed), last_zxid, true));
        }
    }

    fn any_link(&mut self) -> LinkId {
        LinkId(self.script.index(self.world.links.len()))
    }

    /// How much of a queue is carried: a little, or all.
    fn portion(&mut self) -> usize {
        match self.script.byte() {
            255 => usize::MAX,
            byte => 1 + usize::from(byte),
        }
    }

    /// Time passes, and nothing is carried.
    fn pass_time(&mut self, span_ms: u64) {
        self.unsettled_ms += span_ms;
        if self.unsettled_ms > UNSETTLED_MAX_MS {
            return self.advance(span_ms);
        }
        let until = self.world.clock.now + Span::from_millis(span_ms);
        while self.world.pass_time(until) {}
    }

    /// Time passes while everything is carried; friends show that they live.
    fn advance(&mut self, span_ms: u64) {
        for _ in 0..2 {
            for friend in 0..self.friends.len() {
                self.ask(friend, &Request::Ping);
            }
            self.settle();
            self.world.advance(span_ms / 2, &Held::default());
        }
        self.listen();
    }

    fn settle(&mut self) {
        self.unsettled_ms = 0;
        self.world.settle();
        self.check_bounds();
        assert_eq!(self.world.stalled(), [], "nobody reads them");
        self.listen();
        for friend in self.friends.iter().filter(|friend| !friend.robbed) {
            assert!(friend.client.waiting.is_empty(), "{:?}", friend.client.waiting);
        }
        let zxid = self.world.replica.report(self.world.clock).tree.last_zxid();
        for shard in &self.world.shards {
            assert_eq!(shard.report(false).outstanding, 0);
            assert_eq!(shard.last_zxid(), zxid);
        }
    }

    /// Friends read what has come, and must have their connections.
    fn listen(&mut self) {
        for friend in 0..self.friends.len() {
            let Friend { client, events, robbed } = &mut self.friends[friend];
            if *robbed {
                continue;
            }
            let frames = client.receive(&self.world);
            *events += frames.iter().filter(|frame| matches!(frame, Frame::Event { .. })).count();
            if self.world.links[client.link.0].closed {
                let session = client.session;
                *robbed = self.enemies.iter().any(|enemy| enemy.asked_for(session));
                assert!(self.friends[friend].robbed, "friend {friend} lost its connection");
            }
        }
    }

    fn check_bounds(&self) {
        let settings = &self.world.settings;
        let answer_max = UNSENT_PER_CONNECTION_MAX_BYTES + SENT_MAX_BYTES;
        for shard in &self.world.shards {
            let report = shard.report(false);
            assert!(report.outstanding <= settings.outstanding_max, "{}", report.outstanding);
            for conn in report.connections {
                assert!(conn.queued <= PENDING_PER_CONNECTION_MAX, "{}", conn.queued);
                assert!(shard.unsent(conn.conn).len() <= answer_max);
            }
        }
    }

    fn end(&mut self) {
        self.settle();
        for _ in 0..2 {
            let wake = Request::SetData { path: FORT.into(), data: Some(b"woken"), version: -1 };
            self.ask(KEEPER, &wake);
            self.settle();
        }
        if !self.friends[BYSTANDER].robbed && !self.friends[KEEPER].robbed {
            assert_eq!(self.friends[BYSTANDER].events, 1, "a watch fires once");
        }
        for enemy in &self.enemies {
            check_stream(&self.world.links[enemy.link.0].received);
        }
        self.friends.clear();
        (0..self.world.links.len()).for_each(|link| self.world.hang_up(LinkId(link)));
        self.settle();
        self.world.advance(u64::from(FRIEND_TIMEOUT_MS.unsigned_abs()) + 1000, &Held::default());
        self.check_log();
        let report = self.world.replica.report(self.world.clock);
        assert_eq!(report.tree.session_count(), 0, "sessions end");
        assert_eq!(report.tree.ephemeral_count(), 0, "and their znodes with them");
        assert_eq!(report.in_flight, 0);
        for shard in &self.world.shards {
            let report = shard.report(true);
            assert_eq!((report.outstanding, report.watch_counts), (0, (0, 0)));
            assert_eq!(report.connections.len(), 0);
        }
    }

    /// The log alone gives the tree.
    fn check_log(&self) {
        let mut tree = Tree::fresh(0);
        for record in &self.world.durable {
            let record = TxnRecord::decode(&record.body).expect("what was logged can be read");
            tree.apply(&record.header, &record.txn, &mut Vec::new());
            if let Some(digest) = record.digest {
                assert_eq!(digest.tree_digest, tree.digest(), "at {}", record.header.zxid);
            }
        }
        let live = self.world.replica.report(self.world.clock).tree;
        let facts = |tree: &Tree| {
            (tree.last_zxid(), tree.digest(), tree.node_count(), tree.data_size_bytes())
        };
        assert_eq!(facts(&tree), facts(&live));
    }
}

impl Friend {
    fn new(world: &mut World, shard: usize) -> Self {
        let client = Client::dial(world, shard, FRIENDS_FROM);
        client.hello(world, &new_session(FRIEND_TIMEOUT_MS));
        Self { client, events: 0, robbed: false }
    }
}

impl Enemy {
    fn asked_for(&self, session: SessionId) -> bool {
        frame::first(&self.sent, usize::MAX).is_ok_and(|body| {
            body.and_then(|body| ConnectRequest::decode(body).ok())
                .is_some_and(|request| request.session == session)
        })
    }
}

/// Whatever was sent, what came back is frames: an answer to the connect request, then replies.
fn check_stream(mut received: &[u8]) {
    if received.starts_with(b"the ") {
        return;
    }
    let mut first = true;
    while let Some(body) = frame::first(received, usize::MAX).expect("servers send good lengths") {
        if first {
            ConnectResponse::decode(body).expect("a connect response");
        } else {
            ReplyHeader::read(&mut Reader::new(body)).expect("a reply header");
        }
        first = false;
        received = &received[frame::PREFIX_BYTES + body.len()..];
    }
}

/// What the bystander watches.
const FORT: &str = "/fort/calm";
