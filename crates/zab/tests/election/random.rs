//! Elections under faults, drawn from a seed: servers come and go, cables are drawn and connections
//! fall silent. Whatever happened, when it stops there is one leader soon, and nobody ever decided
//! without a quorum's word.

use std::collections::BTreeSet;

use ostler_wire::ids::{Epoch, Sid, Zxid};
use ostler_zab::quorum_config::{PeerRole, QuorumConfig};

use crate::dice::Dice;
use crate::net::Path;
use crate::script::add;
use crate::world::{Role, World};

const SEEDS: u64 = 300;
/// Beyond the interval at which unreachable voters are dialled, and a few lost rounds.
const LED_WITHIN_MS: u64 = 10_000;
/// Apache's servers ask again after intervals that grow to a minute.
const LED_WITHIN_MS_AMONG_APACHES: u64 = 130_000;

#[test]
fn without_faults_the_best_server_leads_after_the_first_round() {
    for seed in 0..SEEDS {
        begin(seed, false);
        begin(seed, true);
    }
}

fn begin(seed: u64, among_apaches: bool) {
    let mut dice = Dice::new(seed);
    let config = draw_config(&mut dice);
    // Faster than the wait for a better vote, with two messages on the way.
    let mut world = World::new(config, seed, (100, 20_000));
    let mut best = None;
    let members: Vec<Sid> = world.config.members.keys().copied().collect();
    if among_apaches {
        world.apaches = members.iter().copied().filter(|_| dice.one_in(2)).collect();
    }
    for sid in members {
        let epoch = dice.between(0, 2);
        let zxid = Zxid(i64::try_from(epoch << 32 | dice.between(0, 3)).expect("a zxid"));
        let epoch = Epoch(u32::try_from(epoch).expect("an epoch"));
        if world.config.is_voter(sid) && world.config.weight(sid) > 0 {
            best = best.max(Some((epoch, zxid, sid)));
        }
        world.start(sid, zxid, epoch);
    }
    let (_, _, best) = best.expect("a voter");
    let voters: BTreeSet<Sid> = world.config.voters().collect();
    world.run(3000);
    for (at, sid, vote) in &world.decisions {
        // Apache's observers take old news for votes, and its voters sit out their wait.
        if world.apaches.contains(sid) && !voters.contains(sid) {
            continue;
        }
        assert_eq!(vote.leader, best, "seed {seed}: {sid} decides\n{}", world.trace);
        assert!(
            !world.apaches.is_empty() || !voters.contains(sid) || at.millis() < 250,
            "seed {seed}: {sid} is slow\n{}",
            world.trace
        );
    }
    assert_eq!(world.leader_of_all(), Some(best), "seed {seed}\n{}", world.trace);
}

#[test]
fn after_faults_there_is_one_leader_and_it_was_decided_by_a_quorum() {
    for seed in 0..SEEDS {
        play(seed, false);
    }
}

#[test]
fn so_it_is_among_servers_of_apaches() {
    for seed in 0..SEEDS {
        play(seed, true);
    }
}

#[test]
fn a_lost_leader_is_replaced_without_any_wait() {
    for seed in 0..SEEDS {
        let mut dice = Dice::new(seed);
        let mut config = QuorumConfig::default();
        for number in 1..=*dice.pick(&[3, 5, 7]) {
            add(&mut config, sid(number), PeerRole::Participant);
        }
        // Who has lost its leader notices within as much.
        let mut world = World::new(config, seed, (50, 5_000));
        let members: Vec<Sid> = world.config.members.keys().copied().collect();
        for sid in &members {
            world.start(*sid, Zxid::ZERO, Epoch(0));
            world.run(dice.between(0, 100));
        }
        world.run(2000);
        for _ in 0..4 {
            let leader = world.leader_of_all().expect("a leader");
            world.trace.clear();
            world.crash(leader);
            world.run(100);
            assert!(world.leader_of_all().is_some(), "seed {seed}\n{}", world.trace);
            let (last, epoch) = (world.server(leader).last, world.server(leader).epoch);
            world.start(leader, last, epoch);
            world.run(1000);
        }
    }
}

/// To try a single seed by hand.
#[test]
fn one_seed_is_played_twice_alike() {
    assert_eq!(play(7, false), play(7, false));
    assert_eq!(play(7, true), play(7, true));
}

fn play(seed: u64, among_apaches: bool) -> String {
    let mut dice = Dice::new(seed);
    let config = draw_config(&mut dice);
    let slowest_us = *dice.pick(&[1_000, 20_000, 400_000]);
    let mut world = World::new(config, seed, (100, slowest_us));
    let members: Vec<Sid> = world.config.members.keys().copied().collect();
    if among_apaches {
        world.apaches = members.iter().copied().filter(|_| dice.one_in(2)).collect();
    }
    for sid in &members {
        world.start(*sid, Zxid::ZERO, Epoch(0));
        world.run(dice.between(0, 3) * 100);
    }
    for _ in 0..dice.between(5, 40) {
        disturb(&mut world, &mut dice, &members);
        world.run(if dice.one_in(3) { dice.between(0, 3000) } else { dice.between(0, 30) });
    }
    for (index, a) in members.iter().enumerate() {
        for b in &members[..index] {
            world.heal(*a, *b);
        }
        if !world.is_up(*a) {
            world.start(*a, Zxid::ZERO, Epoch(0));
        }
    }
    let within_ms =
        if world.apaches.is_empty() { LED_WITHIN_MS } else { LED_WITHIN_MS_AMONG_APACHES };
    let led = world.run_until_led(within_ms);
    assert!(led.is_some(), "seed {seed}: no leader\n{}", world.trace);
    let leader = led.map(|(leader, _)| leader);
    world.run(5000);
    assert_eq!(world.leader_of_all(), leader, "seed {seed}: it does not stay\n{}", world.trace);
    world.trace
}

fn disturb(world: &mut World, dice: &mut Dice, members: &[Sid]) {
    let (a, b) = (*dice.pick(members), *dice.pick(members));
    match dice.between(0, 9) {
        0 | 1 if world.is_up(a) => world.crash(a),
        0..=3 if !world.is_up(a) => {
            let (last, epoch) = (world.server(a).last, world.server(a).epoch);
            world.start(a, last, epoch);
        }
        4 if a != b => world.cut(a, b),
        5 if a != b => world.silence(a, b),
        6 | 7 if a != b && world.net.path(a, b) != Path::Open => world.heal(a, b),
        8 => write(world, dice),
        9 if world.is_up(a) => world.look(a),
        _ => {}
    }
}

/// A leader's new transaction reaches some of its followers, a quorum or not.
fn write(world: &mut World, dice: &mut Dice) {
    let leading = world.servers.iter().filter_map(|(sid, server)| match &server.role {
        Role::Leading { established: true, joined } => Some((*sid, joined.clone())),
        _ => None,
    });
    for (leader, joined) in leading.collect::<Vec<_>>() {
        let last = world.server(leader).last.next();
        world.server(leader).last = last;
        for sid in joined {
            if dice.one_in(2) {
                world.server(sid).last = last;
            }
        }
    }
}

/// 1 to 7 voters, with groups now and then, and some observers.
fn draw_config(dice: &mut Dice) -> QuorumConfig {
    let mut config = QuorumConfig::default();
    let voters = dice.between(1, 7);
    for number in 1..=voters {
        add(&mut config, sid(number), PeerRole::Participant);
    }
    for number in 1..=dice.between(0, 2) {
        add(&mut config, sid(10 + number), PeerRole::Observer);
    }
    if voters >= 5 && dice.one_in(2) {
        for number in 1..=voters {
            config.groups.insert(sid(number), i64::from(number > 3));
        }
        if dice.one_in(2) {
            config.weights.insert(sid(voters), 0);
        }
    }
    config
}

fn sid(number: u64) -> Sid {
    Sid(i64::try_from(number).expect("a small number"))
}
