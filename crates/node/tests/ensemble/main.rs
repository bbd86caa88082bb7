//! Several servers: what their clients see, and what becomes of their data.

#[path = "../common/mod.rs"]
mod common;

use std::sync::LazyLock;

use ostler_node::limits::Settings;
use ostler_node::messages::Service;
use ostler_node::status::Mode;
use ostler_wire::acl::Acl;
use ostler_wire::error::ErrorCode;
use ostler_wire::ids::{SessionId, Zxid};
use ostler_wire::reply::EventType;
use ostler_wire::request::{CreateRequest, Request, acl_entries};

use common::answer::{Answer, Frame};
use common::client::{Client, Wires as _};
use common::ensemble::{TICK_MS, World};

#[test]
fn three_servers_elect_and_replicate() {
    let mut world = three();
    let leader = world.until_served();
    assert_eq!(leader, 2, "all else being equal, the largest id");
    assert_eq!([0, 1, 2].map(|i| world.mode(i)), [Mode::Follower, Mode::Follower, Mode::Leader]);
    for i in 0..3 {
        let mut client = Client::open(&mut world, i, 30_000);
        world.settle();
        client.receive(&world);
        assert_eq!(client.session.0 >> 56, i64::try_from(i + 1).unwrap(), "made by its server");
        let path = format!("/from-{i}");
        client.send(&mut world, &create(&path, 0));
        client.send(&mut world, &Request::Exists { path: (&*path).into(), watch: false });
        world.settle();
        let frames = client.receive(&world);
        assert!(matches!(&frames[0], Frame::Reply { outcome: Ok(Answer::Path(made)), .. } if *made == path), "{frames:?}");
        assert!(matches!(&frames[1], Frame::Reply { outcome: Ok(Answer::Stat(_)), .. }), "{frames:?}");
    }
    for i in 0..3 {
        for j in 0..3 {
            assert!(world.tree(i).node(&format!("/from-{j}")).is_some());
        }
    }
    world.assert_alike();
}

fn three() -> World {
    World::new(3, 0, Settings::default())
}

static OPEN: LazyLock<Vec<Acl>> = LazyLock::new(Acl::open);

fn create(path: &str, flags: i32) -> Request<'_> {
    let acl = Some(acl_entries(&OPEN));
    Request::Create(CreateRequest { path: path.into(), data: Some(b"x"), acl, flags, ttl_ms: -1 })
}
