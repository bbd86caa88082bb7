//! Several servers: what their clients see, and what becomes of their data.

#[path = "../common/mod.rs"]
mod common;

mod changes_of_leader;
mod history;
mod local_sessions;
mod read_only;
mod requests;
mod sessions;
mod world;

use std::sync::LazyLock;

use ostler_node::limits::Settings;
use ostler_wire::acl::Acl;
use ostler_wire::error::ErrorCode;
use ostler_wire::ids::Zxid;
use ostler_wire::request::{CreateRequest, Request, acl_entries};

use common::answer::{Answer, Frame};
use common::client::{Client, Wires as _};
use world::World;

/// Three servers of which the last leads, as all else is equal.
fn three() -> World {
    let mut world = World::new(3, 0, Settings::default());
    assert_eq!(world.until_served(), 2);
    world
}

/// A client with a session at this server.
fn open(world: &mut World, server: usize) -> Client {
    let mut client = Client::open(world, server, 30_000);
    assert!(matches!(client.one_reply(world), Frame::Connected(_)));
    assert_ne!(client.session.0, 0);
    client
}

/// The client goes to another server with its session; whether it is let in.
fn move_to(world: &mut World, client: &Client, server: usize) -> Option<Client> {
    let mut moved = Client::resume(world, server, 30_000, client);
    world.settle();
    moved.receive(world);
    (moved.session == client.session).then_some(moved)
}

/// Carries out a request; the outcome and the zxid of the answer.
fn ask(
    world: &mut World,
    client: &mut Client,
    request: &Request<'_>,
) -> (Zxid, Result<Answer, ErrorCode>) {
    client.send(world, request);
    match client.one_reply(world) {
        Frame::Reply { zxid, outcome, .. } => (zxid, outcome),
        other => panic!("{other:?}"),
    }
}

fn ok(world: &mut World, client: &mut Client, request: &Request<'_>) -> Zxid {
    let (zxid, outcome) = ask(world, client, request);
    outcome.unwrap_or_else(|err| panic!("{request:?}: {err:?}"));
    zxid
}

/// The leader, which is the last server, proposes `/lost` for its client, and before the others
/// hear of it they are cut off.
fn lose(world: &mut World, client: &mut Client) {
    for i in 0..2 {
        world.servers[i].is_deaf = true;
    }
    client.send(world, &create("/lost"));
    world.settle();
    assert_eq!(client.receive(world), []);
    world.isolate(2);
    for i in 0..2 {
        world.servers[i].is_deaf = false;
    }
    world.settle();
}

fn exists_at(world: &World, server: usize, path: &str) -> bool {
    world.tree(server).node(path).is_some()
}

static OPEN: LazyLock<Vec<Acl>> = LazyLock::new(Acl::open);

fn create(path: &str) -> Request<'_> {
    create_as(path, 0)
}

fn create_as(path: &str, flags: i32) -> Request<'_> {
    let acl = Some(acl_entries(&OPEN));
    Request::Create(CreateRequest { path: path.into(), data: Some(b"x"), acl, flags, ttl_ms: -1 })
}

fn exists(path: &str, watch: bool) -> Request<'_> {
    Request::Exists { path: path.into(), watch }
}

fn sync() -> Request<'static> {
    Request::Sync { path: Some("/".into()) }
}
