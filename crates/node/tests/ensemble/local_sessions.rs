//! Local sessions: known to one server alone until they make an ephemeral.

use ostler_node::limits::Settings;
use ostler_wire::error::ErrorCode;
use ostler_wire::reply::OpResult;
use ostler_wire::request::Request;

use super::*;
use crate::world::TICK_MS;

fn local(upgrading: bool) -> World {
    let settings = Settings {
        local_sessions: true,
        local_sessions_upgrading: upgrading,
        ..Settings::default()
    };
    let mut world = World::new(3, 0, settings);
    assert_eq!(world.until_served(), 2);
    world
}

fn is_global(world: &World, client: &Client) -> bool {
    let known = |i: usize| world.tree(i).session_timeout_ms(client.session).is_some();
    assert_eq!(known(0), known(2));
    known(0)
}

#[test]
fn they_come_and_go_without_a_transaction() {
    let mut world = local(true);
    for server in 0..3 {
        let before = world.tree(2).last_zxid();
        let mut client = open(&mut world, server);
        assert_eq!(world.tree(2).last_zxid(), before);
        assert!(!is_global(&world, &client));
        let path = format!("/{server}");
        ok(&mut world, &mut client, &create(&path));
        ok(&mut world, &mut client, &sync());
        client
            .send(&mut world, &Request::SetData { path: (&*path).into(), data: None, version: 0 });
        client.send(&mut world, &Request::CloseSession);
        world.settle();
        assert_eq!(client.receive(&world).len(), 2);
        assert!(world.is_closed(client.link));
        assert_eq!(world.tree(2).last_zxid().0, before.0 + 2);
        assert!(move_to(&mut world, &client, server).is_none());
    }
    world.assert_alike();
}

#[test]
fn the_first_ephemeral_makes_them_known_to_all() {
    let mut world = local(true);
    for server in 0..3 {
        let mut client = open(&mut world, server);
        let paths = ["a", "b"].map(|name| format!("/{name}-{server}"));
        if server == 1 {
            let multi = Request::Multi(vec![create(&paths[1]), create_as(&paths[0], 1)]);
            ok(&mut world, &mut client, &multi);
        } else {
            ok(&mut world, &mut client, &create_as(&paths[0], 1));
            ok(&mut world, &mut client, &create_as(&paths[1], 3));
        }
        assert!(is_global(&world, &client));
        assert!(exists_at(&world, 0, &paths[0]));
        let mut moved = move_to(&mut world, &client, (server + 1) % 3).expect("it is let in");
        ok(&mut world, &mut moved, &Request::CloseSession);
        assert!(!exists_at(&world, 0, &paths[0]));
    }
    world.assert_alike();
}

#[test]
fn they_are_refused_ephemerals_if_they_may_not_become_known() {
    let mut world = local(false);
    for server in 0..3 {
        let mut client = open(&mut world, server);
        let path = format!("/{server}");
        let (_, outcome) = ask(&mut world, &mut client, &create_as(&path, 1));
        assert_eq!(outcome, Err(ErrorCode::EPHEMERAL_ON_LOCAL_SESSION), "at server {server}");
        let multi = Request::Multi(vec![create(&path), create_as("/e", 1)]);
        let Ok(Answer::Multi(results)) = ask(&mut world, &mut client, &multi).1 else { panic!() };
        // Java: a learner leaves the parts of a multi to its leader, who knows no such session.
        let err = if server == 2 {
            ErrorCode::EPHEMERAL_ON_LOCAL_SESSION
        } else {
            ErrorCode::SESSION_EXPIRED
        };
        assert_eq!(results, [ErrorCode::OK, err].map(OpResult::Error));
        ok(&mut world, &mut client, &create(&path));
    }
    world.assert_alike();
}

#[test]
fn they_go_on_at_their_own_server_alone() {
    let mut world = local(true);
    for server in 0..3 {
        let client = open(&mut world, server);
        world.hang_up(client.link);
        assert!(move_to(&mut world, &client, (server + 1) % 3).is_none());
        let mut back = move_to(&mut world, &client, server).expect("it is known here");
        ok(&mut world, &mut back, &create(&format!("/{server}")));
    }
    world.assert_alike();
}

#[test]
fn they_expire_at_their_server() {
    let mut world = local(true);
    for server in 0..3 {
        let mut silent = Client::open(&mut world, server, 4000);
        let mut lively = Client::open(&mut world, server, 4000);
        world.settle();
        for client in [&mut silent, &mut lively] {
            client.receive(&world);
        }
        world.hang_up(silent.link);
        for _ in 0..5 {
            world.advance(TICK_MS);
            lively.send(&mut world, &Request::Ping);
            world.settle();
        }
        assert!(!world.is_closed(lively.link));
        assert!(move_to(&mut world, &silent, server).is_none());
        assert!(move_to(&mut world, &lively, server).is_some());
    }
}

#[test]
fn they_live_through_a_change_of_leader() {
    let mut world = local(true);
    let client = open(&mut world, 0);
    world.kill(2);
    world.until_served();
    let mut client = if world.is_closed(client.link) {
        move_to(&mut world, &client, 0).expect("its server is the same")
    } else {
        client
    };
    ok(&mut world, &mut client, &create_as("/e", 1));
    world.start(2);
    world.until_served();
    world.assert_alike();
}
