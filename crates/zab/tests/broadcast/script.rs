//! The language of transcripts.
//!
//! ```text
//! ensemble 1 2 3 observers=4 groups=1:1,2;2:3 weights=3:0 silence=400 forced
//!                                    each file begins with it; no member runs yet
//! has 1 a1 c1 1:1-1:5 tail=2         what is on a disk: accepted and current epoch, transactions;
//!                                    of those, so many are at hand (all); snap=1:3 is in a snapshot
//! start 1 2                          starts them, without a role
//! lead 1 | follow 2 3 1              1 leads | 2 and 3 follow (or observe) 1
//! run 500                            lets so many milliseconds pass
//! propose 1 3                        1 proposes three transactions
//! request 2 | sync 2                 a client of 2 writes | syncs
//! revalidate 2 7                     asks for a session: odd ones live
//! disk 2 50 | latency 5              how many milliseconds things take; 1 at first
//! crash 3                            what is not on disk is lost
//! cut 1 2 | silence 1 2 | heal 1 2
//! handover 1
//! pings                              shows them, too, from here on
//! play 9                             a server whose words come from the script; it may be no member
//! dial 9 1                           a played server dials a leader
//! say 9>1 ACK 1:0                    a played server says so; further words are data:
//!                                    i32=5 i64=7 txn=x text; stream=1:1-1:4 is a snapshot
//! show                               what each server has
//! ```
//!
//! A line of output begins with the time in milliseconds.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ostler_wire::ids::{Epoch, SessionId, Sid, Xid, Zxid};
use ostler_wire::quorum::{ForwardedRequest, PacketKind, QuorumPacket, Touched};
use ostler_zab::quorum_config::{Member, PeerRole, QuorumConfig};
use ostler_zab::settings::ZabSettings;

use crate::disk::Txn;
use crate::net::Cargo;
use crate::world::{Role, Server, World, short};

/// Plays a transcript and returns it with what really happened.
pub(crate) fn play(text: &str) -> String {
    let mut world = None;
    let mut played = String::new();
    for block in text.split_terminator("\n\n") {
        let commands = block.split_once("----").map_or(block, |(commands, _)| commands).trim_end();
        for command in commands.lines().filter(|line| !line.starts_with('#')) {
            if let Some(members) = command.strip_prefix("ensemble ") {
                world = Some(ensemble(members));
            } else {
                carry_out(world.as_mut().expect("an ensemble first"), command);
            }
        }
        if !played.is_empty() {
            played.push_str("\n\n");
        }
        played.push_str(commands);
        let heard = world.as_mut().map(|world| std::mem::take(&mut world.trace));
        if let Some(heard) = heard.filter(|heard| !heard.is_empty()) {
            played.push_str("\n----\n");
            played.push_str(heard.trim_end());
        }
    }
    played.push('\n');
    played
}

fn carry_out(world: &mut World, command: &str) {
    let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
    let words: Vec<&str> = rest.split(' ').collect();
    let one = || sid(words[0]);
    match verb {
        "has" => has(world, &words),
        "start" => words.iter().for_each(|word| {
            let tail = world.server(sid(word)).tail;
            world.start(sid(word), tail);
        }),
        "lead" => world.lead(one()),
        "follow" => {
            let (leader, learners) = words.split_last().expect("a leader");
            learners.iter().for_each(|word| world.follow(sid(word), sid(leader)));
        }
        "run" => world.run(rest.parse().expect("milliseconds")),
        "propose" => (0..number(words[1])).for_each(|_| world.propose(one())),
        "request" => request(world, one(), 1),
        "sync" => request(world, one(), 9),
        "revalidate" => {
            let session = SessionId(words[1].parse().expect("a session"));
            let mut data = Vec::new();
            Touched { session, timeout_ms: 1000 }.write(&mut data);
            say_up(world, one(), QuorumPacket::with_data(PacketKind::Revalidate, Zxid::NONE, data));
        }
        "disk" => {
            let micros = number(words[1]) * 1000;
            world.server(one()).disk_us = (micros, micros);
        }
        "latency" => world.latency_us = (number(words[0]) * 1000, number(words[0]) * 1000),
        "crash" => words.iter().for_each(|word| world.crash(sid(word))),
        "cut" => world.cut(one(), sid(words[1])),
        "silence" => world.silence(one(), sid(words[1])),
        "heal" => world.heal(one(), sid(words[1])),
        "handover" => {
            world.with_leader(one(), |leader, _, now, out| leader.hand_over(now, out));
        }
        "pings" => world.pings_shown = true,
        "play" => {
            let mut server = Server::new();
            server.role = Role::Played;
            world.servers.insert(one(), server);
        }
        "dial" => {
            let (learner, leader) = (one(), sid(words[1]));
            let link = world.net.connect(learner, leader);
            world.with_leader(leader, |leader, _, now, _| leader.link_up(now, link));
        }
        "say" => say(world, &words),
        "show" => show(world),
        other => panic!("no such command: {other}"),
    }
}

fn has(world: &mut World, words: &[&str]) {
    let sid = sid(words[0]);
    let mut txns: Vec<Txn> = Vec::new();
    let mut snapshot = Zxid::ZERO;
    let mut tail = usize::MAX;
    let server = world.server(sid);
    for word in &words[1..] {
        if let Some(value) = word.strip_prefix("tail=") {
            tail = value.parse().expect("a count");
        } else if let Some(value) = word.strip_prefix("snap=") {
            snapshot = zxid(value);
        } else if let Some(value) = word.strip_prefix('a') {
            server.disk.accepted = Epoch(value.parse().expect("an epoch"));
        } else if let Some(value) = word.strip_prefix('c') {
            server.disk.current = Epoch(value.parse().expect("an epoch"));
        } else {
            txns.extend(range(word));
        }
    }
    let in_snapshot = txns.iter().filter(|(txn, _)| *txn <= snapshot).count();
    server.disk.snapshot = (in_snapshot, snapshot);
    server.disk.txns = txns.clone();
    server.tail = tail;
    world.checks.given(&txns);
}

/// The transactions of `1:3-1:9` or `1:3`. Their bodies are the same whoever has them.
fn range(word: &str) -> Vec<Txn> {
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    let (first, last) = (zxid(first), zxid(last));
    (first.0..=last.0).map(|zxid| (Zxid(zxid), zxid.to_be_bytes()[..].into())).collect()
}

fn request(world: &mut World, from: Sid, op: i32) {
    let request = ForwardedRequest { session: SessionId(1), xid: Xid(1), op, body: Vec::new() };
    let packet = QuorumPacket::with_data(PacketKind::Request, Zxid::NONE, request.encode());
    say_up(world, from, packet);
}

/// A server says something to its leader that its machine knows nothing of.
fn say_up(world: &mut World, from: Sid, packet: QuorumPacket) {
    let link = match &world.servers[&from].role {
        Role::Learning(learner) => learner.link(),
        _ => None,
    };
    world.send(from, link.expect("a link to the leader"), Cargo::Packet(packet));
}

fn say(world: &mut World, words: &[&str]) {
    let (from, to) = words[0].split_once('>').expect("from>to");
    let (from, to) = (sid(from), sid(to));
    let links = world.net.links_between(from, to);
    let link = *links.last().expect("a link between them");
    let zxid = words.get(2).map_or(Zxid::NONE, |word| zxid(word));
    if let Some(stream) = words[1].strip_prefix("stream=") {
        let txns = if stream.is_empty() { Vec::new() } else { range(stream) };
        world.checks.given(&txns);
        return world.send(from, link, Cargo::Snapshot(zxid, txns));
    }
    let mut data = None;
    for word in words.iter().skip(3) {
        let data = data.get_or_insert_with(Vec::new);
        if let Some(value) = word.strip_prefix("i32=") {
            data.extend(value.parse::<i32>().expect("an int").to_be_bytes());
        } else if let Some(value) = word.strip_prefix("i64=") {
            data.extend(value.parse::<i64>().expect("a long").to_be_bytes());
        } else if *word == "txn" {
            data.extend(zxid.0.to_be_bytes());
            world.checks.given(&range(&short(zxid)));
        } else {
            data.extend(word.bytes());
        }
    }
    let kinds = (1..=19).map(PacketKind::from_number);
    let named = |kind: &PacketKind| format!("{kind:?}").to_uppercase() == words[1];
    let kind = kinds.into_iter().find(named).unwrap_or(PacketKind::Unknown(99));
    let packet = QuorumPacket { data: data.map(Into::into), ..QuorumPacket::bare(kind, zxid) };
    world.send(from, link, Cargo::Packet(packet));
}

fn show(world: &mut World) {
    let mut text = String::new();
    for (sid, server) in &world.servers {
        let Server { disk, txns, delivered, accepted, current, .. } = server;
        let last = txns.last().map_or(Zxid::ZERO, |(zxid, _)| *zxid);
        let committed = delivered.checked_sub(1).map_or(Zxid::ZERO, |index| txns[index].0);
        let role = match &server.role {
            Role::Down => "down",
            Role::Played => continue,
            Role::Idle | Role::Looking => "idle",
            Role::Leading(leader) if leader.takes_proposals() => "leads",
            Role::Leading(_) => "tries to lead",
            Role::Learning(learner) if learner.serves() => "serves",
            Role::Learning(_) => "tries to learn",
        };
        let _ = writeln!(
            text,
            "       {sid} {role}: accepted {} current {}, {} transactions up to {} ({} on disk), \
             committed {}",
            accepted.0,
            current.0,
            txns.len(),
            short(last),
            disk.txns.len(),
            short(committed),
        );
        if let Role::Leading(leader) = &server.role {
            for learner in leader.report() {
                let _ = writeln!(text, "         {learner:?}");
            }
        }
    }
    world.trace.push_str(&text);
}

fn ensemble(words: &str) -> World {
    let mut config = QuorumConfig::default();
    let mut settings = settings();
    for word in words.split(' ') {
        if word == "forced" {
            settings.snapshot_sync_forced = true;
        } else if let Some(value) = word.strip_prefix("silence=") {
            settings.silence_max_ms = Some(number(value));
        } else if let Some(sids) = word.strip_prefix("observers=") {
            sids.split(',').for_each(|word| add(&mut config, sid(word), PeerRole::Observer));
        } else if let Some(groups) = word.strip_prefix("groups=") {
            for group in groups.split(';') {
                let (group, sids) = group.split_once(':').expect("group:sids");
                let group = group.parse().expect("a group");
                config.groups.extend(sids.split(',').map(|word| (sid(word), group)));
            }
        } else if let Some(weights) = word.strip_prefix("weights=") {
            let weight = |pair: &str| {
                let (of, weight) = pair.split_once(':').expect("sid:weight");
                (sid(of), weight.parse().expect("a weight"))
            };
            config.weights = weights.split(',').map(weight).collect::<BTreeMap<_, _>>();
        } else {
            add(&mut config, sid(word), PeerRole::Participant);
        }
    }
    World::new(config, settings, 1)
}

/// What everybody here has set.
pub(crate) fn settings() -> ZabSettings {
    ZabSettings::new(Sid(0))
}

pub(crate) fn add(config: &mut QuorumConfig, sid: Sid, role: PeerRole) {
    let word = if role == PeerRole::Observer { "observer" } else { "participant" };
    config.members.insert(sid, Member { role, line: format!("10.0.0.{sid}:2888:3888:{word}") });
}

fn sid(word: &str) -> Sid {
    Sid(word.parse().unwrap_or_else(|_| panic!("{word} is no sid")))
}

fn number(word: &str) -> u64 {
    word.parse().unwrap_or_else(|_| panic!("{word} is no number"))
}

fn zxid(word: &str) -> Zxid {
    if word == "-" {
        return Zxid::NONE;
    }
    let (epoch, counter) = word.split_once(':').expect("epoch:counter");
    let epoch = Epoch(epoch.parse().expect("an epoch"));
    Zxid(epoch.first_zxid().0 + counter.parse::<i64>().expect("a counter"))
}
