//! Who is turned away: without authentication, in a crowd, with too much, or after too long a wait.

mod common;

use ostler_node::limits::{AuthSettings, Settings, ThrottleSettings};
use ostler_wire::acl::Acl;
use ostler_wire::error::ErrorCode;
use ostler_wire::ids::{Xid, Zxid};
use ostler_wire::op::OpCode;
use ostler_wire::request::{CreateRequest, Request, acl_entries};

use common::answer::Frame;
use common::client::Client;
use common::{Held, World};

#[test]
fn the_first_request_without_authentication_is_the_last() {
    let auth = AuthSettings {
        required_schemes: vec!["digest".to_owned()],
        ensemble_enabled: true,
        ensemble_names: Some(vec!["one".to_owned()]),
        ..AuthSettings::default()
    };
    let mut world = World::new(1, Settings { auth, ..Settings::default() }, 1);
    let required = ErrorCode::SESSION_CLOSED_REQUIRE_SASL_AUTH;
    for op in [OpCode::Ping, OpCode::CloseSession, OpCode::SetWatches, OpCode::Create] {
        let mut client = open(&mut world);
        // By the number that was sent, pings too, and whatever the body is.
        client.send_numbered(&mut world, Xid(-2), op.number(), b"");
        client.send_numbered(&mut world, Xid(-2), op.number(), b"");
        world.settle();
        assert_eq!(errors(&mut client, &world), [(Zxid::ZERO, required)], "{op:?}");
        assert!(world.links[client.link.0].closed, "{op:?}");
    }
    // Neither what proves something else nor what proves nothing is enough.
    let mut client = open(&mut world);
    client.send(&mut world, &auth_packet("ip", b""));
    client.send(&mut world, &auth_packet("ensemble", b"one"));
    client.send(&mut world, &Request::Sasl { token: Some(b"") });
    client.send(&mut world, &exists("/"));
    world.settle();
    let codes: Vec<_> = errors(&mut client, &world).into_iter().map(|(_, err)| err).collect();
    assert_eq!(codes, [ErrorCode::OK, ErrorCode::OK, ErrorCode::OK, required]);

    let mut client = open(&mut world);
    client.send(&mut world, &auth_packet("digest", b"joe:secret"));
    client.send(&mut world, &create("/joe", b""));
    world.settle();
    assert!(errors(&mut client, &world).iter().all(|(_, err)| *err == ErrorCode::OK));
    assert!(!world.links[client.link.0].closed);
}

#[test]
fn the_wrong_ensemble_does_not_answer() {
    let auth = AuthSettings {
        ensemble_enabled: true,
        ensemble_names: Some(vec!["one".to_owned(), "two".to_owned()]),
        ..AuthSettings::default()
    };
    let mut world = World::new(1, Settings { auth, ..Settings::default() }, 1);
    for (name, closed) in [(&b"two"[..], false), (b"", false), (b"three", true)] {
        let mut client = open(&mut world);
        client.send(&mut world, &auth_packet("ensemble", name));
        world.settle();
        assert_eq!(world.links[client.link.0].closed, closed);
        assert_eq!(client.receive(&world).len(), usize::from(!closed));
    }
}

#[test]
fn a_crowd_of_sessions_is_let_in_little_by_little() {
    let connection_throttle =
        ThrottleSettings { tokens_max: 3, fill_time_ms: 100, ..ThrottleSettings::default() };
    let settings = Settings { connection_throttle, ..Settings::default() };
    let mut world = World::new(2, settings, 1);
    let let_in = |world: &mut World, resumed: Option<&Client>| {
        let clients: Vec<Client> = (0..4)
            .map(|number| match resumed {
                Some(other) => Client::resume(world, number % 2, 30_000, other),
                None => Client::open(world, number % 2, 30_000),
            })
            .collect();
        world.settle();
        let (mut connected, mut silent) = (Vec::new(), 0);
        for mut client in clients {
            match client.receive(world).as_slice() {
                [Frame::Connected(_)] => connected.push(client),
                [] => {
                    assert!(world.links[client.link.0].closed);
                    silent += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(connected.len() + silent, 4);
        connected
    };
    let first = let_in(&mut world, None);
    assert_eq!(first.len(), 3, "as many as there are tokens");
    assert_eq!(let_in(&mut world, None).len(), 0);
    world.advance(150, &Held::default());
    assert_eq!(let_in(&mut world, None).len(), 1, "one token was filled in");
    world.advance(1000, &Held::default());
    assert_eq!(let_in(&mut world, Some(&first[0])).len(), 3, "who comes back pays as well");
}

/// A server that takes one write at a time.
fn narrow(settings: Settings) -> World {
    World::new(1, Settings { outstanding_max: 1, ..settings }, 1)
}

#[test]
fn what_was_held_back_for_too_long_is_answered_in_order_and_not_carried_out() {
    let mut world = narrow(Settings { throttled_op_wait_ms: 500, ..Settings::default() });
    let mut first = open(&mut world);
    let mut second = open(&mut world);
    let held = Held { log: true, ..Held::default() };
    first.send(&mut world, &create("/first", b""));
    world.settle_but(&held);
    second.send(&mut world, &create("/late", b""));
    second.send(&mut world, &Request::Ping);
    second.send(&mut world, &exists("/"));
    second.send(&mut world, &Request::CloseSession);
    world.settle_but(&held);
    world.advance(501, &held);
    world.settle();
    assert_eq!(errors(&mut first, &world), [(Zxid(3), ErrorCode::OK)]);
    assert_eq!(
        errors(&mut second, &world),
        [
            (Zxid(3), ErrorCode::THROTTLED_OP),
            (Zxid(3), ErrorCode::OK),
            (Zxid(3), ErrorCode::THROTTLED_OP),
            (Zxid(4), ErrorCode::OK),
        ]
    );
    assert!(world.replica.report(world.clock).tree.node("/late").is_none());
    assert!(world.links[second.link.0].closed, "the session was closed as asked");

    // What is sent later was not held back.
    let mut third = open(&mut world);
    third.send(&mut world, &create("/third", b""));
    world.settle();
    assert_eq!(errors(&mut third, &world), [(Zxid(6), ErrorCode::OK)]);
}

#[test]
fn a_short_wait_is_no_reason_to_refuse() {
    let mut world = narrow(Settings { throttled_op_wait_ms: 500, ..Settings::default() });
    let mut client = open(&mut world);
    let held = Held { log: true, ..Held::default() };
    for number in 0..10 {
        client.send(&mut world, &create(&format!("/n{number}"), b""));
    }
    world.settle_but(&held);
    world.advance(500, &held);
    world.settle();
    assert!(errors(&mut client, &world).iter().all(|(_, err)| *err == ErrorCode::OK));
    assert!(client.waiting.is_empty());
}

#[test]
fn a_client_whose_requests_are_older_than_its_session_may_be_disconnected() {
    let mut world = narrow(Settings { drop_stale: true, ..Settings::default() });
    let mut first = open(&mut world);
    let mut second = Client::open(&mut world, 0, 6000);
    second.one_reply(&mut world);
    let held = Held { log: true, ..Held::default() };
    first.send(&mut world, &create("/first", b""));
    world.settle_but(&held);
    second.send(&mut world, &create("/stale", b""));
    second.send(&mut world, &create("/stale-too", b""));
    world.settle_but(&held);
    // Its session lives as long as it is heard of; here only the request is too old.
    for _ in 0..7 {
        world.advance(1000, &held);
    }
    world.settle();
    assert_eq!(errors(&mut second, &world), []);
    assert!(world.links[second.link.0].closed);
    let tree = world.replica.report(world.clock).tree;
    assert!(tree.node("/stale").is_none() && tree.node("/stale-too").is_none());
    assert!(tree.node("/first").is_some());
}

#[test]
fn large_requests_are_bounded_together_and_counted_until_they_are_answered() {
    let mut world = World::new(
        1,
        Settings {
            large_request_threshold_bytes: Some(1000),
            large_requests_max_bytes: 25_000,
            ..Settings::default()
        },
        1,
    );
    let held = Held { log: true, ..Held::default() };
    let large = vec![7; 10_000];
    let mut clients: Vec<Client> = (0..4).map(|_| open(&mut world)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(&mut world, &create(&format!("/n{number}"), &large));
        world.settle_but(&held);
    }
    let closed: Vec<bool> = clients.iter().map(|c| world.links[c.link.0].closed).collect();
    assert_eq!(closed, [false, false, true, true]);
    // Small ones are still taken, large ones are refused by their length alone.
    let mut small = open_but(&mut world, &held);
    world.settle();
    small.send(&mut world, &create("/small", b"x"));
    world.settle();
    assert_eq!(errors(&mut clients[0], &world).len(), 1);
    assert_eq!(errors(&mut clients[1], &world).len(), 1);
    assert_eq!(errors(&mut clients[2], &world).len(), 0, "closed without an answer");
    assert_eq!(clients[2].receive(&world).len(), 0);
    assert!(!world.links[small.link.0].closed);

    // Answered, they make room.
    let mut late = open(&mut world);
    late.send(&mut world, &create("/late", &large));
    world.settle();
    assert_eq!(errors(&mut late, &world).len(), 1);
    let mut greedy = open(&mut world);
    greedy.send_raw(&mut world, OpCode::Exists.number(), &vec![0; 25_001]);
    world.settle();
    assert!(world.links[greedy.link.0].closed, "one alone can be too large");
}

#[test]
fn large_requests_of_clients_that_go_are_forgotten() {
    let mut world = World::new(
        1,
        Settings {
            large_request_threshold_bytes: Some(1000),
            large_requests_max_bytes: 25_000,
            ..Settings::default()
        },
        1,
    );
    let held = Held { log: true, ..Held::default() };
    for _ in 0..10 {
        let mut client = open(&mut world);
        client.send(&mut world, &create("/n", b""));
        let mut body = Vec::new();
        exists("/n").write_body(&mut body);
        body.resize(20_000, 0);
        client.send_raw(&mut world, OpCode::Exists.number(), &body);
        world.settle_but(&held);
        assert!(!world.links[client.link.0].closed);
        world.hang_up(client.link);
        world.settle();
    }
}

#[test]
fn a_flood_on_every_connection_neither_grows_without_bound_nor_loses_anything() {
    let limit = 8;
    let mut world = World::new(2, Settings { outstanding_max: limit, ..Settings::default() }, 1);
    let mut clients: Vec<Client> = (0..20)
        .map(|number| {
            let mut client = Client::open(&mut world, number % 2, 30_000);
            client.one_reply(&mut world);
            client
        })
        .collect();
    let each = 100;
    for (number, client) in clients.iter_mut().enumerate() {
        for round in 0..each {
            client.send(&mut world, &create(&format!("/n-{number}-{round}"), &[1; 100]));
            client.send(&mut world, &exists("/"));
        }
    }
    let held = Held { log: true, ..Held::default() };
    world.settle_but(&held);
    let mut synced = 0;
    loop {
        for shard in &world.shards {
            assert!(shard.report(false).outstanding <= limit);
        }
        assert!(world.unsynced.len() <= 2 * limit, "the log has no more to do");
        if !world.sync_log(1) {
            break;
        }
        synced += 1;
        world.settle_but(&held);
    }
    world.settle();
    assert_eq!(synced, 20 * each);
    assert_eq!(world.stalled(), []);
    for client in &mut clients {
        let answers = errors(client, &world);
        assert_eq!(answers.len(), 2 * each);
        assert!(answers.iter().all(|(_, err)| *err == ErrorCode::OK));
        assert!(answers.is_sorted_by_key(|(zxid, _)| *zxid));
    }
}

#[test]
fn answers_beyond_the_frame_limit_are_sent_and_told_of() {
    let mut world = World::new(1, Settings { frame_max_bytes: 500, ..Settings::default() }, 1);
    let mut client = open(&mut world);
    for number in 0..40 {
        client.send(&mut world, &create(&format!("/child-number-{number}"), b""));
    }
    client.send(&mut world, &exists("/"));
    world.settle();
    client.receive(&world);
    assert_eq!(world.shards[0].take_long_answers(), None);
    let path = "/".into();
    client.send(&mut world, &Request::GetChildren { path, watch: false });
    world.settle();
    assert_eq!(errors(&mut client, &world).len(), 1, "as Java does, it is sent");
    let long = world.shards[0].take_long_answers().expect("it is told of");
    assert_eq!((long.count, long.path.as_deref()), (1, Some("/")));
    assert!(long.bytes > 500, "{long:?}");
    assert_eq!(long.session, client.session);
    assert_eq!(world.shards[0].take_long_answers(), None, "once");
}

fn open(world: &mut World) -> Client {
    let mut client = Client::open(world, 0, 30_000);
    client.one_reply(world);
    client
}

/// Connects while a queue is held: the answer may come later.
fn open_but(world: &mut World, held: &Held) -> Client {
    let client = Client::open(world, 0, 30_000);
    world.settle_but(held);
    client
}

/// The zxid and the code of each reply since the last time.
fn errors(client: &mut Client, world: &World) -> Vec<(Zxid, ErrorCode)> {
    let frames = client.receive(world);
    let reply = |frame: &Frame| match frame {
        Frame::Reply { zxid, outcome: Ok(_), .. } => Some((*zxid, ErrorCode::OK)),
        Frame::Reply { zxid, outcome: Err(err), .. } => Some((*zxid, *err)),
        _ => None,
    };
    frames.iter().filter_map(reply).collect()
}

fn create<'c>(path: &'c str, data: &'c [u8]) -> Request<'c> {
    static OPEN: std::sync::LazyLock<Vec<Acl>> = std::sync::LazyLock::new(Acl::open);
    let acl = Some(acl_entries(&OPEN));
    Request::Create(CreateRequest {
        path: path.into(),
        data: Some(data),
        acl,
        flags: 0,
        ttl_ms: -1,
    })
}

fn exists(path: &str) -> Request<'_> {
    Request::Exists { path: path.into(), watch: false }
}

fn auth_packet<'a>(scheme: &'a str, auth: &'a [u8]) -> Request<'a> {
    Request::Auth { scheme: scheme.into(), auth: Some(auth) }
}
