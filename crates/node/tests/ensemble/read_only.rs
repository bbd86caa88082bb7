//! Read-only mode: reads without a leader, for those who asked for no more.

use ostler_node::limits::Settings;
use ostler_node::messages::Service;
use ostler_node::status::Mode;
use ostler_wire::connect::ConnectRequest;
use ostler_wire::error::ErrorCode;
use ostler_wire::request::Request;

use super::*;
use crate::common::LOCALHOST;
use crate::common::client::new_session;
use crate::world::TICK_MS;

/// Server 0 is alone and serves reads; `/a` is there.
fn alone(local_sessions: bool) -> World {
    let settings = Settings { local_sessions, read_only_mode: true, ..Settings::default() };
    let mut world = World::new(3, 0, settings);
    world.until_served();
    let mut client = open(&mut world, 0);
    ok(&mut world, &mut client, &create("/a"));
    world.services(0);
    world.isolate(0);
    world.advance(TICK_MS + 1);
    assert_eq!(world.services(0), [Service::Held, Service::Down, Service::ReadOnly]);
    assert_eq!(world.mode(0), Mode::ReadOnly);
    assert!(world.is_closed(client.link));
    world
}

fn connect(world: &mut World, read_only: Option<bool>) -> Option<(Client, Option<bool>)> {
    let mut client = Client::dial(world, 0, LOCALHOST);
    client.hello(world, &ConnectRequest { read_only, ..new_session(30_000) });
    world.settle();
    match client.receive(world).pop() {
        Some(Frame::Connected(response)) => Some((client, response.read_only)),
        None => {
            assert!(world.is_closed(client.link));
            None
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_is_content_with_reading_may_read() {
    let mut world = alone(true);
    assert!(connect(&mut world, Some(false)).is_none());
    assert!(connect(&mut world, None).is_none());
    let (mut client, said) = connect(&mut world, Some(true)).expect("it is let in");
    assert_eq!(said, Some(true));
    ok(&mut world, &mut client, &exists("/a", true));
    for request in [create("/b"), sync(), Request::Multi(vec![create("/b")])] {
        let (zxid, outcome) = ask(&mut world, &mut client, &request);
        assert_eq!(outcome, Err(ErrorCode::NOT_READ_ONLY));
        assert_eq!(zxid, world.tree(0).last_zxid());
    }
    world.hang_up(client.link);
    let mut back = Client::dial(&mut world, 0, LOCALHOST);
    let password = client.password;
    let hello = ConnectRequest {
        session: client.session,
        password: Some(&password),
        read_only: Some(true),
        ..new_session(30_000)
    };
    back.hello(&mut world, &hello);
    assert!(matches!(back.one_reply(&mut world), Frame::Connected(_)));
    assert_eq!(back.session, client.session);
    ok(&mut world, &mut back, &Request::CloseSession);
    assert!(world.is_closed(back.link));
}

#[test]
fn it_ends_with_all_connections_when_there_is_a_leader() {
    let mut world = alone(true);
    let (client, _) = connect(&mut world, Some(true)).expect("it is let in");
    world.heal();
    world.until_served();
    assert_eq!(world.services(0), [Service::Down, Service::Up]);
    assert!(world.is_closed(client.link));
    let mut back = move_to(&mut world, &client, 0).expect("its server is the same");
    ok(&mut world, &mut back, &create("/b"));
    world.assert_alike();
}

#[test]
fn sessions_of_all_are_not_continued_and_none_is_opened_without_local_ones() {
    let mut world = alone(false);
    assert!(connect(&mut world, Some(true)).is_none());
    let known = world.tree(0).sessions().next().expect("of the client that made /a").0;
    let mut client = Client::dial(&mut world, 0, LOCALHOST);
    let hello = ConnectRequest { session: known, read_only: Some(true), ..new_session(30_000) };
    client.hello(&mut world, &hello);
    world.settle();
    assert_eq!(client.receive(&world), []);
    assert!(world.is_closed(client.link));
}

#[test]
fn without_the_setting_nobody_is_served() {
    let mut world = three();
    world.isolate(0);
    world.advance(10 * TICK_MS);
    assert_eq!(world.mode(0), Mode::Down);
    assert!(connect(&mut world, Some(true)).is_none());
}
