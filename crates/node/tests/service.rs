//! What clients notice when their server finds and loses its leader.

mod common;

use std::sync::LazyLock;

use ostler_node::limits::Settings;
use ostler_node::messages::{ConnRef, Notice, Reply, ReplyBody, Service, ShardId};
use ostler_node::shard::Shard;
use ostler_tree::Tree;
use ostler_wire::acl::Acl;
use ostler_wire::error::ErrorCode;
use ostler_wire::ids::{SessionId, WallMs, Xid, Zxid};
use ostler_wire::reply::{EventType, OpResult};
use ostler_wire::request::{CreateRequest, Request, acl_entries};
use ostler_wire::txn::{Txn, TxnHeader};

use common::answer::Frame;
use common::client::Client;
use common::{Held, World};

#[test]
fn who_is_held_gets_its_answers_later_and_in_order() {
    let mut world = world();
    let mut idle = open(&mut world);
    let mut busy = open(&mut world);
    let mut other = open(&mut world);
    serve(&mut world, Service::Held);
    busy.send(&mut world, &create("/a"));
    busy.send(&mut world, &exists("/a"));
    other.send(&mut world, &Request::Ping);
    world.settle();
    for client in [&mut idle, &mut busy, &mut other] {
        assert_eq!(client.receive(&world), []);
        assert!(!is_closed(&world, client));
    }
    assert!(world.unsynced.is_empty() && world.durable.len() == 3, "no write was taken");

    serve(&mut world, Service::Up);
    let zxids: Vec<_> = busy.receive(&world).iter().map(ok_zxid).collect();
    assert_eq!(zxids, [Zxid(4), Zxid(4)], "the read behind the write sees it");
    assert_eq!(other.receive(&world).len(), 1);
    idle.send(&mut world, &exists("/a"));
    assert_eq!(ok_zxid(&idle.one_reply(&mut world)), Zxid(4));
    assert_eq!(world.stalled(), []);
}

#[test]
fn who_is_owed_an_answer_that_may_never_come_is_closed() {
    let mut world = world();
    let mail = Held { mail: true, ..Held::default() };
    let mut reader = open(&mut world);
    let mut writer = open(&mut world);
    let mut syncer = open(&mut world);
    writer.send(&mut world, &create("/a"));
    writer.send(&mut world, &exists("/a"));
    syncer.send(&mut world, &Request::Sync { path: Some("/".into()) });
    let mut newcomer = Client::open(&mut world, 0, 30_000);
    world.settle_but(&mail);
    serve_but(&mut world, Service::Held, &mail);
    for client in [&mut writer, &mut syncer, &mut newcomer] {
        assert!(is_closed(&world, client));
        assert_eq!(client.receive(&world), []);
    }
    assert!(!is_closed(&world, &reader));

    // The replica answers all the same, and nothing of it is counted as outstanding any more.
    world.settle();
    assert_eq!(world.shards[0].report(false).outstanding, 0);
    serve(&mut world, Service::Up);
    reader.send(&mut world, &exists("/a"));
    ok_zxid(&reader.one_reply(&mut world));
}

#[test]
fn who_connects_while_others_are_held_waits_with_them() {
    let mut world = world();
    serve(&mut world, Service::Held);
    let mut early = Client::open(&mut world, 0, 30_000);
    let mut words = Client::dial(&mut world, 0, common::LOCALHOST);
    world.send(words.link, b"srvr");
    world.settle();
    assert!(matches!(words.receive(&world).as_slice(), [Frame::Text(_)]));
    assert_eq!(early.receive(&world), []);
    assert!(!is_closed(&world, &early));
    serve(&mut world, Service::Up);
    assert!(matches!(early.receive(&world).as_slice(), [Frame::Connected(_)]));
}

#[test]
fn who_is_held_is_not_taken_for_silent() {
    let mut world = world();
    let timeout_ms = 6000;
    let mut client = Client::open(&mut world, 0, timeout_ms);
    client.one_reply(&mut world);
    world.advance(3000, &Held::default());
    serve(&mut world, Service::Held);
    client.send(&mut world, &Request::Ping);
    // Longer than its timeout, but for the replica, which another leader has in its place.
    let mail = Held { mail: true, feed: vec![0], ..Held::default() };
    world.advance(7000, &mail);
    assert!(!is_closed(&world, &client));
}

#[test]
fn what_is_kept_of_the_held_is_bounded() {
    let mut world = world();
    let mut client = open(&mut world);
    serve(&mut world, Service::Held);
    for _ in 0..1000 {
        client.send(&mut world, &exists("/some/path"));
    }
    while world.carry_in(client.link, 100) {}
    let taken = 1000 * 27 - world.links[client.link.0].to_server.len();
    assert_eq!(taken, 100, "reading stops when the first request is there");
    serve(&mut world, Service::Up);
    let answers = client.receive(&world);
    assert_eq!(answers.len(), 1000);
}

#[test]
fn watches_outlive_the_leader() {
    let mut world = world();
    let mut watcher = open(&mut world);
    let mut writer = open(&mut world);
    watcher.send(&mut world, &Request::Exists { path: "/a".into(), watch: true });
    world.settle();
    watcher.receive(&world);
    // In progress with the old leader, kept by the new one.
    let log = Held { log: true, ..Held::default() };
    writer.send(&mut world, &create("/a"));
    world.settle_but(&log);
    serve_but(&mut world, Service::Held, &log);
    watcher.send(&mut world, &exists("/a"));
    world.settle();
    assert!(is_closed(&world, &writer));
    let event = watcher.receive(&world);
    let [Frame::Event { event_type: EventType::NodeCreated, .. }] = event.as_slice() else {
        panic!("{event:?}");
    };
    serve(&mut world, Service::Up);
    assert_eq!(watcher.receive(&world).len(), 1, "the read behind it");
}

#[test]
fn sessions_that_ended_elsewhere_are_closed_when_service_goes_on() {
    let mut world = world();
    let mut lives = open(&mut world);
    let ended = open(&mut world);
    serve(&mut world, Service::Held);
    lives.send(&mut world, &exists("/"));
    let view = without(&tree(&world), ended.session);
    world.tell(view, vec![Notice::Service(Service::Up)]);
    world.settle();
    assert!(is_closed(&world, &ended));
    assert!(!is_closed(&world, &lives));
    assert_eq!(lives.receive(&world).len(), 1);
}

#[test]
fn a_session_that_is_in_no_view_goes_on() {
    let mut world = world();
    let mut local = open(&mut world);
    let view = without(&tree(&world), local.session);
    world.tell(view.clone(), vec![Notice::Service(Service::Held)]);
    world.tell(view, vec![Notice::Service(Service::Up)]);
    local.send(&mut world, &exists("/"));
    world.settle();
    assert!(!is_closed(&world, &local));
    assert_eq!(local.receive(&world).len(), 1);
}

#[test]
fn nobody_is_served_without_a_leader() {
    let mut world = world();
    let mut client = open(&mut world);
    client.send(&mut world, &create("/a"));
    let log = Held { log: true, ..Held::default() };
    world.settle_but(&log);
    serve_but(&mut world, Service::Held, &log);
    let waiting = Client::open(&mut world, 0, 30_000);
    serve_but(&mut world, Service::Down, &log);
    let mut refused = Client::open(&mut world, 0, 30_000);
    let silent = Client::dial(&mut world, 0, common::LOCALHOST);
    let mut words = Client::dial(&mut world, 0, common::LOCALHOST);
    world.send(words.link, b"ruok");
    world.settle();
    for client in [&client, &waiting, &refused] {
        assert!(is_closed(&world, client));
    }
    assert_eq!(refused.receive(&world), []);
    assert!(!is_closed(&world, &silent), "it has not asked for anything");
    assert!(matches!(words.receive(&world).as_slice(), [Frame::Text(_)]));
    assert_eq!(world.shards[0].report(true).watch_counts, (0, 0));

    serve(&mut world, Service::Up);
    let mut back = Client::resume(&mut world, 0, 30_000, &client);
    assert!(matches!(back.one_reply(&mut world), Frame::Connected(_)));
    back.send(&mut world, &exists("/a"));
    ok_zxid(&back.one_reply(&mut world));
}

#[test]
fn a_member_of_an_ensemble_begins_without_a_leader() {
    let mut world = world();
    let settings = std::sync::Arc::new(Settings::default());
    let view = tree(&world);
    world.shards[0] = Shard::new(ShardId(0), settings, view, 1).beginning(Service::Down);
    let client = Client::open(&mut world, 0, 30_000);
    world.settle();
    assert!(is_closed(&world, &client));
    serve(&mut world, Service::Up);
    open(&mut world);
}

#[test]
fn a_session_that_has_moved_is_not_told_so() {
    let moved = [
        (ErrorCode::SESSION_MOVED, ReplyBody::Empty),
        (ErrorCode::OK, ReplyBody::Multi(vec![OpResult::Error(ErrorCode::SESSION_MOVED)])),
    ];
    for (err, body) in moved {
        let mut world = world();
        let mail = Held { mail: true, ..Held::default() };
        let mut client = open(&mut world);
        let conn = world.shards[0].report(false).connections[0].conn;
        let to = ConnRef { shard: ShardId(0), conn };
        for path in ["/a", "/b", "/c"] {
            client.send(&mut world, &create(path));
            client.send(&mut world, &exists("/"));
        }
        world.settle_but(&mail);
        let zxid = Zxid(1);
        let reply = |xid, err, body| {
            Notice::Reply(Reply { to, xid: Xid(xid), zxid, err, body, body_bytes: 0 })
        };
        let first = reply(1, ErrorCode::OK, ReplyBody::Path("/a".into()));
        for notice in [first, reply(3, err, body)] {
            let view = tree(&world);
            world.tell(view, vec![notice]);
        }
        world.settle_but(&mail);
        let answers = client.receive(&world);
        assert_eq!(answers.len(), 2, "what was asked before: {answers:?}");
        assert!(is_closed(&world, &client));
    }
}

#[test]
fn what_happens_to_connections_is_counted() {
    let mut world = world();
    serve(&mut world, Service::Down);
    Client::open(&mut world, 0, 30_000);
    world.settle();
    serve(&mut world, Service::Up);
    let mut watcher = open(&mut world);
    let mut writer = open(&mut world);
    watcher.send(&mut world, &Request::Exists { path: "/a".into(), watch: true });
    world.settle();
    writer.send(&mut world, &create("/a"));
    let words = Client::dial(&mut world, 0, common::LOCALHOST);
    world.send(words.link, b"srvr");
    world.settle();
    world.hang_up(writer.link);
    Client::dial(&mut world, 0, common::LOCALHOST);
    world.settle();
    watcher.send(&mut world, &Request::Ping);
    world.advance(12_000, &Held::default());

    let metrics = world.shards[0].report(false).metrics;
    assert_eq!(metrics.closed_without_service, 1);
    assert_eq!(metrics.connection_requests, 2);
    assert_eq!(metrics.connections_lost, 1, "one was hung up, the others were closed");
    assert_eq!(metrics.sessionless_expired, 1);
    // The answers to exists, create and ping; an event.
    assert_eq!(metrics.response_bytes, 16 + (16 + 4 + 2) + 16);
    assert_eq!(metrics.watch_bytes, 16 + 4 + 4 + 4 + 2);
    let (connects, exists, create, ping, word) = (3 * 49, 19, 53, 12, 4);
    assert_eq!(metrics.bytes_received, connects + exists + create + ping + word);
}

fn world() -> World {
    World::new(1, Settings::default(), 1)
}

fn serve(world: &mut World, service: Service) {
    serve_but(world, service, &Held::default());
}

fn serve_but(world: &mut World, service: Service, held: &Held) {
    let view = tree(world);
    world.tell(view, vec![Notice::Service(service)]);
    world.settle_but(held);
}

fn tree(world: &World) -> Tree {
    world.replica.report(world.clock).tree
}

fn without(tree: &Tree, session: SessionId) -> Tree {
    let mut tree = tree.clone();
    let zxid = tree.last_zxid().next();
    let header = TxnHeader { session, cxid: Xid(0), zxid, time: WallMs(common::WALL_START_MS) };
    tree.apply(&header, &Txn::CloseSession { paths: Some(Vec::new()) }, &mut Vec::new());
    tree
}

fn is_closed(world: &World, client: &Client) -> bool {
    world.links[client.link.0].closed
}

fn open(world: &mut World) -> Client {
    let mut client = Client::open(world, 0, 30_000);
    client.one_reply(world);
    client
}

fn ok_zxid(frame: &Frame) -> Zxid {
    match frame {
        Frame::Reply { zxid, outcome: Ok(_), .. } => *zxid,
        other => panic!("{other:?}"),
    }
}

fn create(path: &str) -> Request<'_> {
    static OPEN: LazyLock<Vec<Acl>> = LazyLock::new(Acl::open);
    let acl = Some(acl_entries(&OPEN));
    let path = path.into();
    Request::Create(CreateRequest { path, data: None, acl, flags: 0, ttl_ms: -1 })
}

fn exists(path: &str) -> Request<'_> {
    Request::Exists { path: path.into(), watch: false }
}
