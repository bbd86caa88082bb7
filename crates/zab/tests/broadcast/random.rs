//! Whole ensembles under faults, drawn from a seed: servers crash and lose what is not on disk,
//! cables are drawn, connections fall silent, disks are slow, leaders hand over; elections are the
//! real ones. Whatever happened, [`crate::checks`] holds, and when it stops all servers soon serve
//! one history.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use ostler_wire::ids::{SessionId, Sid, Xid, Zxid};
use ostler_wire::quorum::{ForwardedRequest, PacketKind, QuorumPacket};
use ostler_zab::quorum_config::{PeerRole, QuorumConfig};
use ostler_zab::settings::ZabSettings;

use crate::dice::Dice;
use crate::net::{Cargo, Path};
use crate::script::{add, settings};
use crate::world::{Role, World};

const SEEDS: u64 = 300;
const SERVES_WITHIN_MS: u64 = 30_000;

#[test]
fn whatever_happens_there_is_one_history() {
    let from: u64 = std::env::var("SEED").map_or(0, |seed| seed.parse().expect("a seed"));
    let count: u64 = std::env::var("SEEDS").map_or(SEEDS, |seeds| seeds.parse().expect("a count"));
    for seed in from..from + count {
        play(seed);
    }
}

#[test]
fn one_seed_is_played_twice_alike() {
    assert_eq!(play(7), play(7));
}

fn play(seed: u64) -> String {
    let mut dice = Dice::new(seed);
    let mut world = draw_world(&mut dice, seed);
    let result = catch_unwind(AssertUnwindSafe(|| live(&mut world, &mut dice)));
    if let Err(panic) = result {
        let lines: Vec<&str> = world.trace.lines().collect();
        let newest = &lines[lines.len().saturating_sub(150)..];
        eprintln!("seed {seed}:\n{}", newest.join("\n"));
        resume_unwind(panic);
    }
    world.trace
}

fn live(world: &mut World, dice: &mut Dice) {
    let members: Vec<Sid> = world.servers.keys().copied().collect();
    for sid in &members {
        world.start(*sid, usize::MAX);
    }
    for _ in 0..dice.between(10, 80) {
        disturb(world, dice, &members);
        for _ in 0..dice.between(0, 4) {
            write(world, dice);
            world.run(dice.between(0, 5));
        }
        world.run(if dice.one_in(4) { dice.between(0, 2000) } else { dice.between(0, 20) });
    }
    for (index, a) in members.iter().enumerate() {
        for b in &members[..index] {
            world.heal(*a, *b);
        }
        if !world.servers[a].is_up() {
            world.start(*a, usize::MAX);
        }
        world.server(*a).disk_us = (100, 1000);
    }
    let end = world.now.millis() + SERVES_WITHIN_MS;
    while !all_serve(world) {
        assert!(world.now.millis() < end, "not all serve");
        world.run(10);
    }
    for _ in 0..3 {
        write(world, dice);
    }
    world.run(5000);
    assert!(all_serve(world), "it does not stay");
    let decided = world.checks.decided.len();
    for (sid, server) in &world.servers {
        assert_eq!(server.txns, world.checks.decided, "{sid} has something else");
        assert_eq!(server.delivered, decided, "{sid} has not heard of all commits");
        assert_eq!(server.disk.txns.len(), decided, "{sid} has not logged all");
    }
}

fn all_serve(world: &World) -> bool {
    let leads = |role: &Role| matches!(role, Role::Leading(leader) if leader.takes_proposals());
    let serves = |role: &Role| matches!(role, Role::Learning(learner) if learner.serves());
    let leaders = world.servers.values().filter(|server| leads(&server.role)).count();
    let learners = world.servers.values().filter(|server| serves(&server.role)).count();
    leaders == 1 && learners == world.servers.len() - 1
}

fn disturb(world: &mut World, dice: &mut Dice, members: &[Sid]) {
    let (a, b) = (*dice.pick(members), *dice.pick(members));
    match dice.between(0, 16) {
        0 | 1 if world.servers[&a].is_up() => world.crash(a),
        0..=4 if !world.servers[&a].is_up() => {
            let tail = *dice.pick(&[0, 1, 3, 100]);
            world.start(a, tail);
        }
        5 if a != b => world.cut(a, b),
        6 if a != b => world.silence(a, b),
        7..=9 if a != b && world.net.path(a, b) != Path::Open => world.heal(a, b),
        10 => {
            let slowest = *dice.pick(&[500, 10_000, 300_000]);
            world.server(a).disk_us = (100, slowest);
        }
        11 => {
            let leading = |sid: &&Sid| matches!(world.servers[sid].role, Role::Leading(_));
            if let Some(leader) = members.iter().find(leading) {
                if dice.one_in(2) {
                    world.crash(*leader);
                } else {
                    world.with_leader(*leader, |leader, _, now, out| leader.hand_over(now, out));
                }
            }
        }
        12 | 13 => {
            // A few that hear each other, and not the others.
            let part: Vec<bool> = members.iter().map(|_| dice.one_in(2)).collect();
            let silent = dice.one_in(3);
            for (index, a) in members.iter().enumerate() {
                for (other, b) in members[..index].iter().enumerate() {
                    match (part[index] == part[other], silent) {
                        (true, _) => world.heal(*a, *b),
                        (false, true) => world.silence(*a, *b),
                        (false, false) => world.cut(*a, *b),
                    }
                }
            }
        }
        14 => {
            // A snapshot of what is committed and on disk.
            let server = world.server(a);
            let count = server.delivered.min(server.disk.txns.len());
            if let Some((zxid, _)) = server.disk.txns[..count].last()
                && *zxid > server.disk.snapshot.1
            {
                server.disk.snapshot = (count, *zxid);
            }
        }
        _ => {}
    }
}

/// Some client writes, at a leader or at a learner.
fn write(world: &mut World, dice: &mut Dice) {
    let members: Vec<Sid> = world.servers.keys().copied().collect();
    for sid in members {
        match &world.servers[&sid].role {
            Role::Leading(_) => world.propose(sid),
            Role::Learning(learner) if learner.serves() && dice.one_in(2) => {
                let Some(link) = learner.link() else { continue };
                let op = *dice.pick(&[1, 9]);
                let request =
                    ForwardedRequest { session: SessionId(1), xid: Xid(1), op, body: Vec::new() };
                let packet =
                    QuorumPacket::with_data(PacketKind::Request, Zxid::NONE, request.encode());
                world.send(sid, link, Cargo::Packet(packet));
            }
            _ => {}
        }
    }
}

fn draw_world(dice: &mut Dice, seed: u64) -> World {
    let mut config = QuorumConfig::default();
    let voters = *dice.pick(&[1, 2, 3, 3, 3, 3, 5, 5]);
    for sid in 1..=voters {
        add(&mut config, Sid(sid), PeerRole::Participant);
    }
    if dice.one_in(3) {
        add(&mut config, Sid(voters + 1), PeerRole::Observer);
    }
    if voters == 5 && dice.one_in(2) {
        config.groups = (1..=5).map(|sid| (Sid(sid), (sid + 1) / 2)).collect();
    }
    let settings = ZabSettings {
        tick_ms: 200,
        silence_max_ms: dice.one_in(2).then_some(300),
        snap_syncs_max: 1,
        diff_syncs_max: 1,
        snapshot_sync_forced: dice.one_in(8),
        ..settings()
    };
    let slowest_us = *dice.pick(&[500, 2_000, 40_000]);
    let mut world = World::new(config, settings, seed);
    world.latency_us = (100, slowest_us);
    for server in world.servers.values_mut() {
        server.disk_us = (100, *dice.pick(&[500, 10_000]));
    }
    world.elects = true;
    world
}
