//! Bounds: whoever asks for too much waits, nobody else does, and nothing is lost.

mod common;

use std::sync::LazyLock;

use ostler_node::limits::{
    OUTSTANDING_MAX_BYTES, PENDING_PER_CONNECTION_MAX, Settings, UNSENT_EVENTS_MAX_BYTES,
    UNSENT_PER_CONNECTION_MAX_BYTES, WAITING_PER_CONNECTION_MAX_BYTES,
};
use ostler_node::status::ConnReport;
use ostler_wire::acl::Acl;
use ostler_wire::ids::{SessionId, Xid};
use ostler_wire::op::OpCode;
use ostler_wire::reply::EventType;
use ostler_wire::request::{CreateRequest, Request, acl_entries};

use common::answer::{Answer, Frame};
use common::client::Client;
use common::{Held, LinkId, World};

#[test]
fn writes_wait_while_too_many_are_in_progress() {
    let mut world = World::new(2, Settings { outstanding_max: 4, ..Settings::default() }, 1);
    let mut clients: Vec<Client> = (0..3).map(|_| open(&mut world, 0)).collect();
    let mut reader = open(&mut world, 0);
    let mut elsewhere = open(&mut world, 1);
    for client in &mut clients {
        for _ in 0..20 {
            client.send(&mut world, &create("/n-", b"x", 2));
            client.send(&mut world, &Request::Ping);
        }
    }
    let held = Held { log: true, ..Held::default() };
    world.settle_but(&held);
    assert_eq!(world.shards[0].report(false).outstanding, 4);
    assert_eq!(world.unsynced.len(), 4);

    // Reads go on for those who wait for nothing, and so do writes on another shard.
    reader.send(&mut world, &exists("/"));
    elsewhere.send(&mut world, &create("/other", b"x", 0));
    world.settle_but(&held);
    assert_eq!(reader.receive(&world).len(), 1);
    assert_eq!(world.unsynced.len(), 5);

    // One record at a time: never more than four, and every client gets its turn.
    let mut synced = 0;
    while world.sync_log(1) {
        synced += 1;
        world.settle_but(&held);
        assert!(world.shards[0].report(false).outstanding <= 4);
        if synced == 15 {
            let answered: Vec<_> = clients.iter_mut().map(|c| c.receive(&world).len()).collect();
            assert!(answered.iter().all(|count| *count > 0), "{answered:?}");
        }
    }
    world.settle();
    assert_eq!(world.stalled(), []);
    for client in &mut clients {
        client.receive(&world);
        assert!(client.waiting.is_empty());
    }
    assert_eq!(world.shards[0].report(false).outstanding, 0);
    let root = world.replica.report(world.clock).tree;
    assert_eq!(root.node("/").map(|root| root.child_count()), Some(62));
}

#[test]
fn writes_are_bounded_by_bytes_too() {
    let mut world = world();
    let mut client = open(&mut world, 0);
    let large = vec![7; 1 << 20 >> 1];
    let count = 2 * OUTSTANDING_MAX_BYTES / large.len();
    for _ in 0..count {
        client.send(&mut world, &create("/n-", &large, 2));
    }
    world.settle_but(&Held { log: true, ..Held::default() });
    let in_progress = world.unsynced.len() * large.len();
    assert!((OUTSTANDING_MAX_BYTES / 2..=OUTSTANDING_MAX_BYTES).contains(&in_progress));
    world.settle();
    assert_eq!(client.receive(&world).len(), count);
}

#[test]
fn requests_behind_a_write_are_bounded_in_number() {
    let mut world = world();
    let mut client = open(&mut world, 0);
    client.send(&mut world, &create("/a", b"x", 0));
    let count = PENDING_PER_CONNECTION_MAX + 2000;
    for _ in 0..count {
        client.send(&mut world, &Request::Ping);
    }
    while world.carry_in(client.link, 10_000) {}
    assert_eq!(report(&world, &client).queued, PENDING_PER_CONNECTION_MAX);
    assert!(!world.links[client.link.0].to_server.is_empty(), "the socket is left alone");
    world.settle();
    assert_eq!(client.receive(&world).len(), count + 1);
}

#[test]
fn requests_behind_a_write_are_bounded_in_bytes() {
    let mut world = world();
    let mut client = open(&mut world, 0);
    client.send(&mut world, &create("/a", b"x", 0));
    // Whatever stands behind a body is ignored, but has to be kept until then.
    let mut body = Vec::new();
    exists("/a").write_body(&mut body);
    body.resize(1 << 20 >> 1, 0);
    for _ in 0..50 {
        client.send_raw(&mut world, OpCode::Exists.number(), &body);
    }
    while world.carry_in(client.link, 10_000) {}
    let kept = report(&world, &client).queued * body.len();
    assert!(kept <= WAITING_PER_CONNECTION_MAX_BYTES + 2 * body.len(), "{kept}");
    world.settle();
    assert_eq!(client.receive(&world).len(), 51);
}

#[test]
fn a_client_that_does_not_read_is_not_read_from() {
    let mut world = world();
    let mut client = open(&mut world, 0);
    let large = vec![7; 1 << 20 >> 1];
    client.send(&mut world, &create("/large", &large, 0));
    client.one_reply(&mut world);
    for _ in 0..50 {
        client.send(&mut world, &Request::GetData { path: "/large".into(), watch: false });
    }
    let held = Held { output: true, ..Held::default() };
    world.settle_but(&held);
    // Sent when the client reads again, however little at a time.
    let mut portion = 1;
    let mut answered = 0;
    while answered < 50 {
        let unsent = world.unsent(client.link);
        assert!(unsent <= UNSENT_PER_CONNECTION_MAX_BYTES + large.len() + 100, "{unsent}");
        world.carry_out(client.link, portion);
        portion = (portion * 3).min(300_000);
        world.settle_but(&held);
        answered += client.receive(&world).len();
    }
    assert!(client.waiting.is_empty());
}

#[test]
fn a_watcher_that_does_not_read_is_given_up() {
    let mut world = world();
    let mut watcher = open(&mut world, 0);
    watcher.send(&mut world, &Request::AddWatch { path: "/".into(), mode: 1 });
    watcher.one_reply(&mut world);
    let mut writer = open(&mut world, 0);
    let name = format!("/{}", "n".repeat(1_000_000));
    let held = Held { output: true, ..Held::default() };
    let mut unsent_max = 0;
    for _ in 0..50 {
        writer.send(&mut world, &create(&name, b"", 0));
        writer.send(&mut world, &Request::Delete { path: name.as_str().into(), version: -1 });
        world.settle_but(&held);
        world.carry_out(writer.link, usize::MAX);
        unsent_max = unsent_max.max(world.unsent(watcher.link));
    }
    let bound = UNSENT_EVENTS_MAX_BYTES + 2 * name.len();
    assert!((UNSENT_EVENTS_MAX_BYTES..bound).contains(&unsent_max), "{unsent_max}");
    world.settle();
    assert!(world.links[watcher.link.0].closed);
    assert!(!world.links[writer.link.0].closed);
    assert_eq!(writer.receive(&world).len(), 100);
}

#[test]
fn clients_that_go_leave_nothing_outstanding() {
    let mut world = World::new(1, Settings { outstanding_max: 3, ..Settings::default() }, 1);
    let held = Held { log: true, ..Held::default() };
    let mut clients: Vec<Client> = (0..4).map(|_| open(&mut world, 0)).collect();
    for client in &mut clients {
        for _ in 0..5 {
            client.send(&mut world, &create("/n-", b"x", 2));
        }
    }
    world.settle_but(&held);
    world.hang_up(clients[0].link);
    world.hang_up(clients[1].link);
    world.settle();
    assert_eq!(world.shards[0].report(false).outstanding, 0);
    for client in &mut clients[2..] {
        assert_eq!(client.receive(&world).len(), 5);
    }

    // Nor do requests of a session that has ended.
    let mut old = open(&mut world, 0);
    let session_of = &mut clients[2];
    for _ in 0..5 {
        old.send(&mut world, &Request::CloseSession);
        session_of.send(&mut world, &create("/n-", b"x", 2));
    }
    world.settle();
    assert_eq!(world.shards[0].report(false).outstanding, 0);
    assert!(world.links[old.link.0].closed);
    assert_eq!(session_of.receive(&world).len(), 5);
}

#[test]
fn a_connection_given_up_hears_no_answer_without_its_events() {
    let mut world = World::new(1, Settings { tick_time_ms: 1000, ..Settings::default() }, 1);
    let mut watcher = Client::open(&mut world, 0, 6000);
    watcher.one_reply(&mut world);
    let mut writer = Client::open(&mut world, 0, 60_000);
    writer.one_reply(&mut world);
    writer.send(&mut world, &create("/a", b"x", 0));
    writer.one_reply(&mut world);
    watcher.send(&mut world, &Request::GetData { path: "/a".into(), watch: true });
    watcher.one_reply(&mut world);

    // Its write is on the way and its output is stuck when it has been silent for too long.
    let held = Held { log: true, output: true, ..Held::default() };
    writer.send(&mut world, &Request::Delete { path: "/a".into(), version: -1 });
    world.settle_but(&held);
    watcher.send(&mut world, &create("/b", b"x", 0));
    watcher.send(&mut world, &exists("/a"));
    world.settle_but(&held);
    world.advance(6900, &held);
    world.settle_but(&Held { output: true, ..Held::default() });
    world.settle();
    let heard = watcher.receive(&world);
    assert!(world.links[watcher.link.0].closed);
    let event = heard.iter().any(|frame| matches!(frame, Frame::Event { .. }));
    let answer = heard.iter().any(|frame| matches!(frame, Frame::Reply { .. }));
    assert!(event || !answer, "{heard:?}");
}

#[test]
fn bytes_may_be_cut_anywhere() {
    let whole = conversation(usize::MAX);
    assert!(whole.len() > 500);
    for portion in [1, 2, 3, 4, 5, 7, 11, 16, 50] {
        assert_eq!(conversation(portion), whole, "in portions of {portion}");
    }
}

/// What a client receives that sends and receives so many bytes at a time.
fn conversation(portion: usize) -> Vec<u8> {
    let mut world = world();
    let mut client = Client::open(&mut world, 0, 8000);
    client.send(&mut world, &create("/a", b"hello", 0));
    client.send(&mut world, &Request::GetData { path: "/a".into(), watch: true });
    client.send(&mut world, &Request::Multi(vec![create("/a/b", b"", 1), create("/a/c", b"", 2)]));
    client.send(&mut world, &Request::GetChildren2 { path: "/a".into(), watch: true });
    client.send(&mut world, &Request::GetAcl { path: "/a".into() });
    client.send(&mut world, &Request::SetData { path: "/a".into(), data: None, version: 0 });
    client.send(&mut world, &Request::Ping);
    client.send(&mut world, &Request::CloseSession);
    while !world.links[client.link.0].closed {
        world.carry_in(client.link, portion);
        world.carry_mail(0);
        world.sync_log(1);
        world.carry_commit(0);
        world.carry_out(client.link, portion);
    }
    let frames = client.receive(&world);
    let told = |wanted| {
        move |frame: &&Frame| match frame {
            Frame::Event { event_type, .. } => *event_type == wanted,
            _ => false,
        }
    };
    assert_eq!(frames.iter().filter(told(EventType::NodeDataChanged)).count(), 1);
    assert_eq!(frames.iter().filter(told(EventType::NodeChildrenChanged)).count(), 1);
    assert!(client.waiting.is_empty());
    world.links[client.link.0].received.clone()
}

#[test]
fn snapshots_are_of_what_is_on_disk_and_one_at_a_time() {
    let mut world = World::new(1, Settings { snap_count: 20, ..Settings::default() }, 1);
    let mut client = open(&mut world, 0);
    for _ in 0..100 {
        client.send(&mut world, &create("/n-", b"x", 2));
    }
    world.settle_but(&Held { log: true, ..Held::default() });
    assert!(world.rolls >= 5, "{}", world.rolls);
    assert!(world.snapshots.is_empty(), "nothing is on disk");
    while world.sync_log(1) {
        let synced = world.durable.last().map(|record| record.zxid);
        assert!(world.snapshots.iter().all(|zxid| Some(*zxid) <= synced));
    }
    assert_eq!(world.snapshots.len(), 1, "until the first has ended");
    world.settle();
    assert_eq!(world.snapshots.len(), 1, "until the first has ended");
    let rolls = world.rolls;
    world.end_snapshot();
    world.settle();
    // One of those that fell due meanwhile, of everything that has come since.
    assert_eq!(world.snapshots.len(), 2);
    assert_eq!(world.snapshots.last(), world.durable.last().map(|record| &record.zxid));
    assert_eq!(world.rolls, rolls + 1, "a log begins behind each");
    world.end_snapshot();
    world.settle();
    assert_eq!(world.snapshots.len(), 2, "nothing fell due since");
    for _ in 0..20 {
        client.send(&mut world, &create("/n-", b"x", 2));
    }
    world.settle();
    assert_eq!(world.snapshots.len(), 3);
}

#[test]
fn a_snapshot_that_is_owed_waits_for_what_is_under_way() {
    let mut world = World::new(1, Settings { snap_count: 20, ..Settings::default() }, 1);
    let mut client = open(&mut world, 0);
    for _ in 0..60 {
        client.send(&mut world, &create("/n-", b"x", 2));
    }
    world.settle();
    assert_eq!(world.snapshots.len(), 1);
    client.send(&mut world, &create("/n-", b"x", 2));
    world.settle_but(&Held { log: true, ..Held::default() });
    world.end_snapshot();
    world.settle_but(&Held { log: true, ..Held::default() });
    assert_eq!(world.snapshots.len(), 1, "the newest is not on disk");
    world.settle();
    assert_eq!(world.snapshots.last(), world.durable.last().map(|record| &record.zxid));
    assert_eq!(world.snapshots.len(), 2);
}

#[test]
fn a_restart_keeps_sessions_and_their_znodes() {
    let mut world = world();
    let mut client = open(&mut world, 0);
    for _ in 0..3 {
        client.send(&mut world, &create("/e-", b"x", 3));
    }
    world.settle();
    client.receive(&world);
    let digest = world.replica.report(world.clock).tree.digest();
    for _ in 0..3 {
        world.restart(0);
        assert_eq!(world.replica.report(world.clock).tree.digest(), digest);
        client = Client::resume(&mut world, 0, 10_000, &client);
        let last_zxid = world.durable.last().map(|record| record.zxid);
        let Frame::Connected(response) = client.one_reply(&mut world) else { panic!("connect") };
        assert_ne!(response.session, SessionId::NONE);
        assert_eq!(world.durable.last().map(|record| record.zxid), last_zxid);
        client.send(&mut world, &Request::GetChildren { path: "/".into(), watch: false });
        let Frame::Reply { outcome, .. } = client.one_reply(&mut world) else { panic!("reply") };
        let names = ["e-0000000000", "e-0000000001", "e-0000000002", "zookeeper"];
        assert_eq!(outcome, Ok(Answer::Children(names.map(str::to_owned).to_vec())));
    }
    client.send(&mut world, &Request::CloseSession);
    let closed = client.one_reply(&mut world);
    assert!(matches!(closed, Frame::Reply { xid: Xid(2), outcome: Ok(_), .. }), "{closed:?}");
    world.restart(0);
    assert_eq!(world.replica.report(world.clock).tree.ephemeral_count(), 0);
    let client = Client::resume(&mut world, 0, 10_000, &client);
    world.settle();
    assert!(world.links[client.link.0].closed, "the session has ended");
}

#[test]
fn a_session_whose_creation_was_not_on_disk_is_unknown_after_a_restart() {
    let mut world = world();
    let mut client = Client::open(&mut world, 0, 10_000);
    world.settle_but(&Held { log: true, ..Held::default() });
    assert_eq!(client.receive(&world), [], "nobody hears of a session that is not on disk");
    world.restart(0);
    assert_eq!(world.replica.report(world.clock).tree.session_count(), 0);
}

fn world() -> World {
    World::new(1, Settings::default(), 1)
}

/// A client with a session.
fn open(world: &mut World, shard: usize) -> Client {
    let mut client = Client::open(world, shard, 30_000);
    client.one_reply(world);
    client
}

fn create<'c>(path: &'c str, data: &'c [u8], flags: i32) -> Request<'c> {
    static OPEN: LazyLock<Vec<Acl>> = LazyLock::new(Acl::open);
    let acl = Some(acl_entries(&OPEN));
    Request::Create(CreateRequest { path: path.into(), data: Some(data), acl, flags, ttl_ms: -1 })
}

fn exists(path: &str) -> Request<'_> {
    Request::Exists { path: path.into(), watch: false }
}

fn report(world: &World, client: &Client) -> ConnReport {
    let LinkId(link) = client.link;
    let shard = world.links[link].shard;
    let connections = world.shards[shard].report(false).connections;
    let is_it = |report: &ConnReport| {
        report.session.as_ref().is_some_and(|session| session.session == client.session)
    };
    connections.into_iter().find(is_it).expect("a connection with this session")
}
