//! The language of transcripts.
//!
//! ```text
//! ensemble 1 2 3 observers=4 groups=1:1,2;2:3 weights=3:0     each file begins with it
//! start 1 2 z0x100000005 e1       begins to look, with this last zxid and current epoch
//! start 1 z-1                     a server whose data are missing
//! apache 2 3                      these are Apache's servers from their next start on
//! play 2 3                        servers whose words come from the script
//! say 3>1 LEADING 3 e1 z0x5 r4    a played server says so: v0 at the end for an old one
//! bytes 3>1 00000000...           the same as bytes of a notification
//! run 500                         lets so many milliseconds pass
//! crash 3 | look 1                goes down | looks again
//! cut 1 2 | silence 1 2 | heal 1 2
//! ```
//!
//! A line of output begins with the time in milliseconds. Every message takes one millisecond.

use std::collections::BTreeMap;

use ostler_wire::ids::{Epoch, Sid, Zxid};
use ostler_wire::vote::{NOTIFICATION_VERSION, Notification, ServerState};
use ostler_zab::quorum_config::{Member, PeerRole, QuorumConfig};

use crate::world::World;

/// Plays a transcript and returns it with what really happened.
pub(crate) fn play(text: &str) -> String {
    let mut world = None;
    let mut played = String::new();
    for block in text.split_terminator("\n\n") {
        let commands = block.split_once("----").map_or(block, |(commands, _)| commands).trim_end();
        for command in commands.lines().filter(|line| !line.starts_with('#')) {
            if let Some(members) = command.strip_prefix("ensemble ") {
                world = Some(World::new(config(members), 1, (1000, 1000)));
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
    match verb {
        "start" => start(world, &words),
        "apache" => world.apaches.extend(words.iter().map(|word| sid(word))),
        "play" => words.iter().for_each(|word| world.play(sid(word))),
        "run" => world.run(rest.parse().expect("milliseconds")),
        "crash" => words.iter().for_each(|word| world.crash(sid(word))),
        "look" => words.iter().for_each(|word| world.look(sid(word))),
        "cut" => world.cut(sid(words[0]), sid(words[1])),
        "silence" => world.silence(sid(words[0]), sid(words[1])),
        "heal" => world.heal(sid(words[0]), sid(words[1])),
        "say" => {
            let (from, to) = words[0].split_once('>').expect("from>to");
            world.hears(sid(from), sid(to), &notification(&words[1..]));
        }
        "bytes" => {
            let (from, to) = words[0].split_once('>').expect("from>to");
            match Notification::decode(&unhex(words[1])) {
                Ok(notification) => world.hears(sid(from), sid(to), &notification),
                Err(error) => world.trace.push_str(&format!("dropped: {error:?}\n")),
            }
        }
        other => panic!("no such command: {other}"),
    }
}

fn start(world: &mut World, words: &[&str]) {
    let (mut last, mut epoch) = (Zxid::ZERO, Epoch(0));
    for word in words {
        if let Some(number) = word.strip_prefix('z') {
            last = zxid(number);
        } else if let Some(number) = word.strip_prefix('e') {
            epoch = Epoch(number.parse().expect("an epoch"));
        }
    }
    for word in words.iter().filter(|word| !word.starts_with(['z', 'e'])) {
        world.start(sid(word), last, epoch);
    }
}

fn notification(words: &[&str]) -> Notification {
    let state = match words[0] {
        "LOOKING" => ServerState::Looking,
        "FOLLOWING" => ServerState::Following,
        "LEADING" => ServerState::Leading,
        "OBSERVING" => ServerState::Observing,
        other => panic!("no such state: {other}"),
    };
    let mut said = Notification {
        state,
        leader: sid(words[1]),
        zxid: Zxid::ZERO,
        round: 1,
        peer_epoch: 0,
        version: NOTIFICATION_VERSION,
        config: String::new(),
    };
    for word in &words[2..] {
        let (key, value) = word.split_at(1);
        match key {
            "e" => said.peer_epoch = value.parse().expect("an epoch"),
            "z" => said.zxid = zxid(value),
            "r" => said.round = value.parse().expect("a round"),
            "v" => said.version = value.parse().expect("a version"),
            _ => panic!("no such field: {word}"),
        }
    }
    said
}

/// A configuration from the line of an `ensemble` command.
fn config(members: &str) -> QuorumConfig {
    let mut config = QuorumConfig::default();
    for word in members.split(' ') {
        match word.split_once('=') {
            None => add(&mut config, sid(word), PeerRole::Participant),
            Some(("observers", sids)) => {
                for word in sids.split(',') {
                    add(&mut config, sid(word), PeerRole::Observer);
                }
            }
            Some(("groups", groups)) => config.groups = groups_of(groups),
            Some(("weights", weights)) => {
                for weight in weights.split(',') {
                    let (of, weight) = weight.split_once(':').expect("sid:weight");
                    config.weights.insert(sid(of), weight.parse().expect("a weight"));
                }
            }
            Some(_) => panic!("no such option: {word}"),
        }
    }
    config
}

fn groups_of(text: &str) -> BTreeMap<Sid, i64> {
    let mut groups = BTreeMap::new();
    for group in text.split(';') {
        let (number, sids) = group.split_once(':').expect("group:sids");
        for word in sids.split(',') {
            groups.insert(sid(word), number.parse().expect("a group"));
        }
    }
    groups
}

pub(crate) fn add(config: &mut QuorumConfig, sid: Sid, role: PeerRole) {
    let word = if role == PeerRole::Observer { "observer" } else { "participant" };
    let line = format!("h{sid}:2888:3888:{word}");
    config.members.insert(sid, Member { role, line });
}

fn sid(word: &str) -> Sid {
    Sid(word.parse().expect("a server id"))
}

fn zxid(word: &str) -> Zxid {
    Zxid(match word.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).expect("hexadecimal"),
        None => word.parse().expect("a zxid"),
    })
}

fn unhex(digits: &str) -> Vec<u8> {
    assert!(digits.len().is_multiple_of(2), "two digits for a byte");
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal");
    (0..digits.len()).step_by(2).map(byte).collect()
}
