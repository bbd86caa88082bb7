//! Sessions: opened, moved, expired and closed through any server.

use ostler_wire::error::ErrorCode;
use ostler_wire::ids::SessionId;
use ostler_wire::request::Request;

use super::*;
use crate::world::TICK_MS;

#[test]
fn a_session_moves_with_its_client() {
    let mut world = three();
    let mut client = open(&mut world, 0);
    ok(&mut world, &mut client, &create_as("/mine", 1));
    for (turn, server) in [1, 2, 0, 2, 1].into_iter().enumerate() {
        world.hang_up(client.link);
        let mut moved = move_to(&mut world, &client, server).expect("it is let in");
        assert_eq!(moved.session, client.session);
        ok(&mut world, &mut moved, &create(&format!("/at-{server}-{turn}")));
        client = moved;
    }
    assert!(exists_at(&world, 0, "/mine"));
    world.assert_alike();
}

#[test]
fn a_wrong_password_or_an_unknown_session_is_refused_everywhere() {
    let mut world = three();
    let mut client = open(&mut world, 0);
    for server in 0..3 {
        client.password[3] ^= 1;
        assert!(move_to(&mut world, &client, server).is_none());
        client.password[3] ^= 1;
    }
    let mut stranger = open(&mut world, 1);
    stranger.session = SessionId(stranger.session.0 + 1000);
    for server in 0..3 {
        assert!(move_to(&mut world, &stranger, server).is_none());
    }
}

#[test]
fn a_client_that_has_seen_more_than_its_server_is_sent_away() {
    let mut world = three();
    world.cut(2, 0);
    let mut client = open(&mut world, 2);
    ok(&mut world, &mut client, &create("/a"));
    // Server 0 lags behind and does not know it yet.
    assert!(move_to(&mut world, &client, 0).is_none());
    assert!(move_to(&mut world, &client, 1).is_some());
}

#[test]
fn who_has_moved_away_can_write_no_more_through_the_old_server() {
    let mut world = three();
    for (old, new) in [(0, 1), (0, 2), (2, 1)] {
        let mut before = open(&mut world, old);
        ok(&mut world, &mut before, &exists("/", false));
        let mut after = move_to(&mut world, &before, new).expect("it is let in");
        before.send(&mut world, &create("/late"));
        before.send(&mut world, &exists("/", false));
        world.settle();
        assert_eq!(before.receive(&world), [], "nothing is said to it");
        assert!(world.is_closed(before.link));
        assert!(!exists_at(&world, 2, "/late"));
        ok(&mut world, &mut after, &create(&format!("/{old}{new}")));
    }
    world.assert_alike();
}

#[test]
fn who_has_moved_away_can_write_no_more_by_a_multi_either() {
    let mut world = three();
    let mut before = open(&mut world, 0);
    ok(&mut world, &mut before, &exists("/", false));
    move_to(&mut world, &before, 1).expect("it is let in");
    before.send(&mut world, &Request::Multi(vec![create("/late"), create("/later")]));
    world.settle();
    assert_eq!(before.receive(&world), [], "nothing is said to it");
    assert!(world.is_closed(before.link));
    assert!(!exists_at(&world, 2, "/late"));
    world.assert_alike();
}

#[test]
fn only_the_leader_expires_and_only_who_is_silent() {
    let mut world = three();
    let mut silent = Client::open(&mut world, 0, 4000);
    let mut lively = Client::open(&mut world, 1, 4000);
    world.settle();
    for client in [&mut silent, &mut lively] {
        client.receive(&world);
    }
    ok(&mut world, &mut silent, &create_as("/silent", 1));
    ok(&mut world, &mut lively, &create_as("/lively", 1));
    world.hang_up(silent.link);
    assert!(world.expiry_count(2) > 0);
    assert_eq!(world.expiry_count(0) + world.expiry_count(1), 0);
    for _ in 0..12 {
        world.advance(1000);
        lively.send(&mut world, &Request::Ping);
        world.settle();
        lively.receive(&world);
    }
    for i in 0..3 {
        assert!(!exists_at(&world, i, "/silent"), "server {i}");
        assert!(exists_at(&world, i, "/lively"), "server {i}");
    }
    assert!(!world.is_closed(lively.link));
    assert!(move_to(&mut world, &silent, 1).is_none());
}

#[test]
fn closing_a_session_deletes_its_ephemerals_everywhere() {
    let mut world = three();
    for server in 0..3 {
        let mut client = open(&mut world, server);
        client.send(&mut world, &create_as("/mine", 1));
        client.send(&mut world, &Request::CloseSession);
        world.settle();
        assert_eq!(client.receive(&world).len(), 2);
        assert!(world.is_closed(client.link), "behind its answers");
        assert!((0..3).all(|i| !exists_at(&world, i, "/mine")));
        assert!(move_to(&mut world, &client, server).is_none());
    }
    world.assert_alike();
    assert_eq!(world.tree(0).session_count(), 0);
}

#[test]
fn what_a_session_asks_behind_its_end_is_refused() {
    let mut world = three();
    let mut before = open(&mut world, 0);
    // Closed from another server, where it is known as well.
    let mut after = move_to(&mut world, &before, 1).expect("it is let in");
    ok(&mut world, &mut after, &Request::CloseSession);
    before.send(&mut world, &create("/late"));
    world.settle();
    assert_eq!(before.receive(&world), []);
    assert!(world.is_closed(before.link), "it has ended for all");
    let learner = open(&mut world, 1);
    assert!(world.tree(2).session_timeout_ms(learner.session).is_some());
    world.assert_alike();
}

#[test]
fn a_write_of_a_session_that_the_leader_has_ended_is_told_so() {
    let mut world = three();
    let mut client = Client::open(&mut world, 0, 4000);
    world.settle();
    client.receive(&world);
    // The leader hears no pings, and its word does not reach the learner.
    world.servers[0].is_disk_held = true;
    world.servers[1].is_disk_held = true;
    world.advance(5 * TICK_MS / 2);
    client.send(&mut world, &create("/late"));
    world.servers[0].is_disk_held = false;
    world.servers[1].is_disk_held = false;
    world.advance(2 * TICK_MS);
    for frame in client.receive(&world) {
        let Frame::Reply { outcome, .. } = frame else { panic!() };
        assert_eq!(outcome, Err(ErrorCode::SESSION_EXPIRED));
    }
    assert!(world.is_closed(client.link));
    assert!(!exists_at(&world, 2, "/late"));
    world.assert_alike();
}

#[test]
fn who_is_held_while_the_leader_is_lost_for_a_moment_is_claimed_again() {
    let mut world = three();
    let mut writer = open(&mut world, 0);
    let mut reader = open(&mut world, 0);
    ok(&mut world, &mut writer, &create("/before"));
    let revalidations = |world: &World| world.ensemble(2).metrics.revalidations;
    assert_eq!(revalidations(&world), 0);
    world.cut(0, 2);
    world.heal();
    world.until_served();
    assert_eq!(world.leader(), Some(2));
    ok(&mut world, &mut writer, &create("/after"));
    ok(&mut world, &mut writer, &create("/again"));
    assert!(ask(&mut world, &mut reader, &exists("/again", false)).1.is_ok());
    assert_eq!(revalidations(&world), 1, "once, and only of who writes");
    assert!(!world.is_closed(writer.link) && !world.is_closed(reader.link));
    world.assert_alike();
}
