//! Another leader: who is kept, who is closed, and what becomes of what was in progress.

use ostler_node::messages::Service;
use ostler_node::replica::Input;
use ostler_node::status::Mode;
use ostler_wire::ids::Zxid;
use ostler_wire::reply::EventType;
use ostler_wire::request::Request;

use super::*;
use crate::world::TICK_MS;

#[test]
fn clients_of_followers_are_kept_when_the_leader_dies() {
    let mut world = three();
    let mut clients = [open(&mut world, 0), open(&mut world, 1)];
    for (i, client) in clients.iter_mut().enumerate() {
        ok(&mut world, client, &create_as(&format!("/mine-{i}"), 1));
        let (_, outcome) = ask(&mut world, client, &exists("/watched", true));
        assert!(outcome.is_err());
    }
    world.services(0);
    world.kill(2);
    assert_eq!(world.until_served(), 1);
    assert_eq!(world.services(0), [Service::Held, Service::Up]);
    for client in &clients {
        assert!(!world.is_closed(client.link));
    }
    // Both write, and the watches that were set under the old leader fire.
    let zxid = ok(&mut world, &mut clients[0], &create("/new"));
    assert_eq!(zxid, Zxid(2 << 32 | 1));
    clients[1].send(&mut world, &create("/watched"));
    world.settle();
    for client in &mut clients {
        let frames = client.receive(&world);
        let event = frames.iter().position(|frame| {
            matches!(frame, Frame::Event { event_type: EventType::NodeCreated, .. })
        });
        assert_eq!(event, Some(0), "before the answer: {frames:?}");
    }
    assert!(exists_at(&world, 0, "/mine-1"));
    world.start(2);
    world.until_served();
    world.assert_alike();
}

#[test]
fn who_waits_for_a_write_is_disconnected_and_the_write_survives_if_a_quorum_has_it() {
    let mut world = three();
    let mut client = open(&mut world, 0);
    let mut watcher = open(&mut world, 1);
    let _ = ask(&mut world, &mut watcher, &exists("/a", true));
    // The followers log it, but the leader dies before it hears of that.
    world.servers[0].is_disk_held = true;
    world.servers[1].is_disk_held = true;
    client.send(&mut world, &create("/a"));
    world.settle();
    world.kill(2);
    world.settle();
    assert_eq!(watcher.receive(&world), [], "nobody knows yet");
    world.servers[0].is_disk_held = false;
    world.servers[1].is_disk_held = false;
    world.until_served();
    world.settle();
    assert!(world.is_closed(client.link));
    assert_eq!(client.receive(&world), []);
    assert!(!world.is_closed(watcher.link));
    assert!(matches!(&watcher.receive(&world)[..], [Frame::Event { .. }]));
    world.start(2);
    world.until_served();
    assert!((0..3).all(|i| exists_at(&world, i, "/a")));
    world.assert_alike();
}

#[test]
fn what_only_the_old_leader_has_is_cut_and_its_clients_never_saw_it() {
    for others_go_on in [false, true] {
        let mut world = three();
        let mut client = open(&mut world, 2);
        let mut idle = open(&mut world, 2);
        let _ = ask(&mut world, &mut idle, &exists("/lost", true));
        lose(&mut world, &mut client);
        for _ in 0..4 {
            world.advance(TICK_MS);
        }
        assert_eq!(world.mode(2), Mode::Down);
        assert!(world.is_closed(client.link) && world.is_closed(idle.link), "after a tick");
        if others_go_on {
            let mut other = open(&mut world, 1);
            ok(&mut world, &mut other, &create("/won"));
        }
        world.heal();
        world.until_served();
        assert_eq!(world.mode(2), Mode::Follower);
        let disk = &world.servers[2].disk;
        if others_go_on {
            assert_eq!((disk.truncations.len(), disk.installs), (0, 1));
        } else {
            assert!(matches!(&disk.truncations[..], [(_, false)]), "the tree was at hand");
        }
        let mut other = open(&mut world, 2);
        ok(&mut world, &mut other, &create("/after"));
        assert!((0..3).all(|i| !exists_at(&world, i, "/lost") && exists_at(&world, i, "/after")));
        assert!((0..3).all(|i| exists_at(&world, i, "/won") == others_go_on));
        assert!(!idle.receive(&world).iter().any(|frame| matches!(frame, Frame::Event { .. })));
        world.assert_alike();
    }
}

#[test]
fn clients_are_kept_over_a_cut_if_the_cut_is_soon() {
    let mut world = three();
    let mut client = open(&mut world, 2);
    let mut idle = open(&mut world, 2);
    let _ = ask(&mut world, &mut idle, &exists("/lost", true));
    lose(&mut world, &mut client);
    world.until_served_but(2);
    world.heal();
    world.until_served();
    assert!(matches!(&world.servers[2].disk.truncations[..], [(_, false)]));
    assert!(world.is_closed(client.link));
    assert!(!world.is_closed(idle.link));
    ok(&mut world, &mut idle, &create("/after"));
    assert!(!exists_at(&world, 2, "/lost"));
    assert_eq!(idle.receive(&world), [], "no watch has fired");
    world.assert_alike();
}

#[test]
fn nobody_is_served_without_a_quorum() {
    let mut world = three();
    let idle = open(&mut world, 1);
    world.services(1);
    world.kill(2);
    world.kill(0);
    world.settle();
    assert_eq!(world.services(1), [Service::Held]);
    assert!(!world.is_closed(idle.link));
    world.advance(TICK_MS + 1);
    assert_eq!(world.services(1), [Service::Down]);
    assert!(world.is_closed(idle.link));
    let mut newcomer = Client::open(&mut world, 1, 30_000);
    world.settle();
    assert_eq!(newcomer.receive(&world), []);
    assert!(world.is_closed(newcomer.link));
    world.start(0);
    world.until_served();
    assert!(move_to(&mut world, &idle, 0).is_some(), "its session lives on");
    world.assert_alike();
}

#[test]
fn a_leader_that_is_to_end_commits_what_it_has_and_goes() {
    let mut world = three();
    let mut client = open(&mut world, 2);
    let kept = open(&mut world, 0);
    world.servers[0].is_disk_held = true;
    world.servers[1].is_disk_held = true;
    client.send(&mut world, &create("/a"));
    world.settle();
    world.replica_input(2, Input::HandOver);
    client.send(&mut world, &create("/b"));
    world.settle();
    assert_eq!(world.mode(2), Mode::Leader, "something is outstanding");
    world.servers[0].is_disk_held = false;
    world.servers[1].is_disk_held = false;
    world.settle();
    assert!(matches!(&client.receive(&world)[..], [Frame::Reply { outcome: Ok(_), .. }]));
    assert!(world.is_closed(client.link));
    assert_eq!(world.mode(2), Mode::Down);
    world.kill(2);
    world.until_served();
    assert!(!world.is_closed(kept.link));
    assert!(exists_at(&world, 0, "/a") && !exists_at(&world, 0, "/b"));
    world.assert_alike();
}

#[test]
fn a_client_that_wants_its_session_back_during_the_change_gets_it_afterwards() {
    let mut world = three();
    let client = open(&mut world, 0);
    world.hang_up(client.link);
    world.cut(2, 0);
    world.cut(2, 1);
    let mut early = Client::resume(&mut world, 0, 30_000, &client);
    world.settle();
    world.until_served_but(2);
    let frames = early.receive(&world);
    if frames.is_empty() {
        assert!(world.is_closed(early.link));
        assert!(move_to(&mut world, &client, 0).is_some());
    } else {
        assert_eq!(early.session, client.session);
    }
}

#[test]
fn a_new_leader_gives_every_session_its_whole_time() {
    let mut world = three();
    let mut client = Client::open(&mut world, 0, 6000);
    world.settle();
    client.receive(&world);
    world.hang_up(client.link);
    world.advance(5000);
    world.kill(2);
    world.until_served();
    world.advance(4000);
    assert!(move_to(&mut world, &client, 0).is_some());
    world.assert_alike();
}

#[test]
fn reads_and_pings_of_who_is_held_are_answered_afterwards() {
    let mut world = three();
    let mut client = open(&mut world, 0);
    // Only the votes do not get through for a while.
    world.kill(2);
    world.cut(0, 1);
    world.settle();
    client.send(&mut world, &exists("/", false));
    client.send(&mut world, &Request::Ping);
    client.send(&mut world, &create("/a"));
    world.settle();
    assert_eq!(client.receive(&world), []);
    world.advance(500);
    assert_eq!(client.receive(&world), []);
    world.heal();
    world.until_served();
    world.settle();
    assert!(!world.is_closed(client.link));
    assert_eq!(client.receive(&world).len(), 3);
    assert!(exists_at(&world, 1, "/a"));
}

#[test]
fn an_observer_rests_before_it_looks_for_another_leader() {
    let settings = Settings { observer_rest_max_ms: 60_000, ..Settings::default() };
    let mut world = World::new(3, 1, settings);
    world.until_served();
    let leader = world.leader().expect("there is one");
    world.kill(leader);
    world.settle();
    world.advance(TICK_MS);
    assert!(world.leader().is_some(), "voters do not rest");
    assert_eq!(world.mode(3), Mode::Down);
    world.advance(60_000);
    assert_eq!(world.mode(3), Mode::Observer);
    world.assert_alike();
}
