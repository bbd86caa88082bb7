//! What comes in one turn is shown together, and yet nobody sees too much.

mod common;

use std::sync::LazyLock;

use ostler_node::limits::Settings;
use ostler_wire::acl::Acl;
use ostler_wire::error::ErrorCode;
use ostler_wire::ids::Zxid;
use ostler_wire::op::OpCode;
use ostler_wire::request::{CreateRequest, Request, acl_entries};

use common::answer::Frame;
use common::client::Client;
use common::{Held, World};

#[test]
fn what_comes_in_one_turn_is_shown_together_when_all_of_it_is_on_disk() {
    let mut world = world();
    let mut client = open(&mut world);
    let before = world.published.len();
    for _ in 0..10 {
        client.send(&mut world, &create("/n-", 2));
    }
    let held = Held { log: true, ..Held::default() };
    world.settle_but(&held);
    assert_eq!(world.unsynced.len(), 10);
    assert!(world.sync_log(4));
    world.settle_but(&held);
    assert_eq!(client.receive(&world), [], "the view behind these four shows six more");
    assert!(world.sync_log(6));
    world.settle_but(&held);
    assert_eq!(client.receive(&world).len(), 10);
    let [together] = &world.published[before..] else { panic!("one commit") };
    assert_eq!(together.zxids().count(), 10);
    assert_eq!(together.view.last_zxid(), together.zxids().next_back().unwrap_or(Zxid::NONE));
}

#[test]
fn a_read_between_two_writes_sees_the_first_alone() {
    let mut world = world();
    let mut client = open(&mut world);
    let before = world.published.len();
    client.send(&mut world, &create("/a", 0));
    client.send(&mut world, &exists("/a"));
    client.send(&mut world, &Request::Delete { path: "/a".into(), version: -1 });
    client.send(&mut world, &create("/b", 0));
    client.send(&mut world, &exists("/a"));
    client.send_raw(&mut world, OpCode::SetData.number(), b"nonsense");
    client.send(&mut world, &exists("/b"));
    client.send(&mut world, &Request::Delete { path: "/b".into(), version: -1 });
    world.settle();
    let frames = client.receive(&world);
    let errors: Vec<_> = frames
        .iter()
        .map(|frame| match frame {
            Frame::Reply { outcome, .. } => outcome.clone().err(),
            other => panic!("{other:?}"),
        })
        .collect();
    let (none, bad) = (Some(ErrorCode::NO_NODE), Some(ErrorCode::MARSHALLING_ERROR));
    assert_eq!(errors, [None, None, None, None, none, bad, None, None]);
    let zxids = world.published[before..].iter().map(|commit| commit.zxids().count());
    assert_eq!(zxids.collect::<Vec<_>>(), [1, 2, 0, 1], "each read parts what is around it");
}

#[test]
fn a_snapshot_that_is_due_within_a_turn_is_exact() {
    let mut world = World::new(1, Settings { snap_count: 20, ..Settings::default() }, 1);
    world.whole_turns = true;
    let mut client = open(&mut world);
    for _ in 0..60 {
        client.send(&mut world, &create("/n-", 2));
    }
    world.settle();
    assert_eq!(client.receive(&world).len(), 60);
    assert!(world.rolls > 0);
    for zxid in &world.snapshots {
        let mut shown = world.published.iter().map(|commit| commit.view.last_zxid());
        assert!(shown.any(|shown| shown == *zxid), "{zxid} was shown");
    }
}

fn world() -> World {
    let mut world = World::new(1, Settings::default(), 1);
    world.whole_turns = true;
    world
}

fn open(world: &mut World) -> Client {
    let mut client = Client::open(world, 0, 30_000);
    client.one_reply(world);
    client
}

fn create(path: &str, flags: i32) -> Request<'_> {
    static OPEN: LazyLock<Vec<Acl>> = LazyLock::new(Acl::open);
    let acl = Some(acl_entries(&OPEN));
    Request::Create(CreateRequest { path: path.into(), data: Some(b"x"), acl, flags, ttl_ms: -1 })
}

fn exists(path: &str) -> Request<'_> {
    Request::Exists { path: path.into(), watch: false }
}
