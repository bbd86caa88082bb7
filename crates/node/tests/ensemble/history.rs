//! History: how a server that was away gets what it lacks and loses what nobody has.

use ostler_node::status::Mode;

use super::*;

#[test]
fn a_server_that_was_away_gets_what_it_lacks() {
    let mut world = three();
    let mut client = open(&mut world, 1);
    ok(&mut world, &mut client, &create("/before"));
    world.kill(0);
    for i in 0..5 {
        ok(&mut world, &mut client, &create(&format!("/meanwhile-{i}")));
    }
    world.start(0);
    world.until_served();
    assert!((0..5).all(|i| exists_at(&world, 0, &format!("/meanwhile-{i}"))));
    assert_eq!(world.servers[0].disk.installs, 0);
    ok(&mut world, &mut client, &create("/after"));
    world.assert_alike();
}

#[test]
fn one_that_was_away_for_long_gets_a_snapshot() {
    let mut world = three();
    let mut client = open(&mut world, 1);
    ok(&mut world, &mut client, &create_as("/mine", 1));
    write_more_than_is_kept(&mut world, &mut client);
    world.start(0);
    world.until_served();
    assert_eq!(world.servers[0].disk.installs, 1);
    assert!(exists_at(&world, 0, "/599"));
    world.assert_alike();
    // What it got is on its disk, and it goes on behind it.
    world.kill(0);
    world.start(0);
    world.until_served();
    assert_eq!(world.servers[0].disk.installs, 1);
    assert!(exists_at(&world, 0, "/599"));
    assert_eq!(world.tree(0).ephemerals(client.session).count(), 1);
    world.assert_alike();
}

#[test]
fn what_came_while_a_snapshot_was_received_is_soon_in_one_of_its_own() {
    let mut world = three();
    let mut client = open(&mut world, 1);
    write_more_than_is_kept(&mut world, &mut client);
    // The snapshot is there and is not on disk for a while.
    world.servers[0].is_disk_held = true;
    world.start(0);
    world.settle();
    let last = ok(&mut world, &mut client, &create("/meanwhile"));
    world.servers[0].is_disk_held = false;
    world.until_served();
    assert_eq!(world.servers[0].disk.installs, 1);
    assert_eq!(world.servers[0].disk.snapshots, [last]);
    world.assert_alike();
}

#[test]
fn who_hangs_with_its_snapshot_is_dropped_as_soon_as_others() {
    let mut world = three();
    let mut client = open(&mut world, 1);
    write_more_than_is_kept(&mut world, &mut client);
    world.servers[0].is_disk_held = true;
    world.start(0);
    world.settle();
    let learners = |world: &World| world.ensemble(2).learners.len();
    let init_ms = 10 * world::TICK_MS;
    world.advance(init_ms / 2);
    assert_eq!(learners(&world), 2, "it has its time");
    world.advance(init_ms / 2 + world::TICK_MS);
    assert_eq!(learners(&world), 1);
    world.servers[0].is_disk_held = false;
    world.until_served();
    assert_eq!(learners(&world), 2);
    ok(&mut world, &mut client, &create("/after"));
    world.assert_alike();
}

/// Server 0 is killed, and the others write more than they remember.
fn write_more_than_is_kept(world: &mut World, client: &mut Client) {
    world.kill(0);
    let big = vec![7; 1 << 20 >> 2];
    for i in 0..600 {
        let path = format!("/{i}");
        let Request::Create(small) = create(&path) else { unreachable!() };
        client.send(world, &Request::Create(CreateRequest { data: Some(&big), ..small }));
        if i % 20 == 0 {
            world.settle();
        }
    }
    world.settle();
    assert_eq!(client.receive(world).len(), 600);
}

#[test]
fn a_log_that_goes_beyond_the_leaders_is_cut_and_loaded_again() {
    let mut world = three();
    let mut client = open(&mut world, 2);
    ok(&mut world, &mut client, &create("/both"));
    lose(&mut world, &mut client);
    let lost = world.servers[2].disk.records.len();
    world.kill(2);
    world.until_served();
    // It believes what is on its disk until it hears better.
    world.heal();
    world.start(2);
    world.until_served();
    assert_eq!(world.mode(2), Mode::Follower);
    let truncations = &world.servers[2].disk.truncations;
    assert!(matches!(&truncations[..], [(_, true)]), "{truncations:?}");
    assert_eq!(world.servers[2].disk.records.len(), lost - 1);
    let mut other = open(&mut world, 0);
    ok(&mut world, &mut other, &create("/won"));
    assert!((0..3).all(|i| !exists_at(&world, i, "/lost") && exists_at(&world, i, "/won")));
    world.assert_alike();
}

#[test]
fn who_cannot_be_cut_gets_a_snapshot() {
    for kept in [false, true] {
        let mut world = three();
        let mut client = open(&mut world, 2);
        lose(&mut world, &mut client);
        world.servers[2].disk.is_one_snapshot = true;
        if !kept {
            world.kill(2);
        }
        world.until_served_but(2);
        world.heal();
        if !kept {
            world.start(2);
        }
        world.until_served();
        let disk = &world.servers[2].disk;
        assert_eq!((disk.truncations.len(), disk.installs), (0, 1));
        assert!((0..3).all(|i| !exists_at(&world, i, "/lost")));
        let mut other = open(&mut world, 2);
        ok(&mut world, &mut other, &create("/after"));
        world.assert_alike();
    }
}

#[test]
fn all_servers_are_killed_and_nothing_is_lost() {
    let mut world = three();
    let mut client = open(&mut world, 0);
    let mut last = Zxid::ZERO;
    for i in 0..10 {
        last = ok(&mut world, &mut client, &create(&format!("/{i}")));
    }
    for i in 0..3 {
        world.kill(i);
    }
    for i in 0..3 {
        world.start(i);
    }
    world.until_served();
    assert!((0..3).all(|i| exists_at(&world, i, "/9")));
    let mut moved = move_to(&mut world, &client, 1).expect("its session lives on");
    assert!(ok(&mut world, &mut moved, &create("/next")) > last);
    world.assert_alike();
}

#[test]
fn a_server_votes_for_what_is_on_its_disk() {
    let mut world = three();
    let mut client = open(&mut world, 0);
    ok(&mut world, &mut client, &create("/a"));
    // Server 1 has been told of more than it has on disk.
    world.servers[1].is_disk_held = true;
    ok(&mut world, &mut client, &create("/b"));
    world.kill(2);
    world.settle();
    assert_eq!(world.ensemble(0).state, ostler_wire::vote::ServerState::Looking);
    assert_eq!(world.leader(), None, "it does not vote yet");
    world.servers[1].is_disk_held = false;
    world.until_served();
    assert!((0..2).all(|i| exists_at(&world, i, "/b")));
    world.assert_alike();
}

#[test]
fn five_servers_survive_two() {
    let mut world = World::new(5, 0, Settings::default());
    world.until_served();
    let mut client = open(&mut world, 0);
    for round in 0..3 {
        let leader = world.leader().unwrap();
        ok(&mut world, &mut client, &create(&format!("/{round}-a")));
        let other = (1..5).find(|i| *i != leader).unwrap();
        world.kill(leader);
        world.kill(other);
        world.until_served();
        assert!(!world.is_closed(client.link) || leader == 0);
        ok(&mut world, &mut client, &create(&format!("/{round}-b")));
        world.start(leader);
        world.start(other);
        world.until_served();
    }
    world.assert_alike();
}
