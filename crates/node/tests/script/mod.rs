//! The language of transcripts.
//!
//! ```text
//! world shards=2 super=secret ...         a new server; each file begins with it
//! c1 connect timeout=4000 shard=1 ...     options in `connect` below
//! c1 create /a hello ; get /a watch       requests, sent together
//! c1 words ruok | c1 bytes 00ff           bytes as they are
//! c1 drop                                 hangs up
//! hold log|mail|feed|feed1                stops a queue
//! release log|mail|feed|feed1             lets it go
//! sync 2 | mail 0 | feed 1                takes so many records, or one message, by hand
//! advance 5000                            lets so many milliseconds pass
//! restart                                 the process dies and starts again
//! ```
//!
//! After every command the world settles as far as the held queues let it. Sessions are printed as
//! S1, S2 … in the order in which clients hear of them.

mod print;
mod requests;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use ostler_node::limits::Settings;
use ostler_wire::connect::ConnectRequest;
use ostler_wire::ids::{SessionId, Xid, Zxid};
use print::Names;

use crate::common::client::{Client, new_session};
use crate::common::{Held, LOCALHOST, World};

/// Plays a transcript and returns it with what really happened.
pub(crate) fn play(text: &str) -> String {
    let mut script = Script::default();
    let mut played = String::new();
    for block in text.split_terminator("\n\n") {
        let (commands, output) = match block.split_once("----") {
            Some((commands, _)) => (commands.trim_end(), true),
            None => (block.trim_end(), false),
        };
        let heard = script.commands(commands);
        if !played.is_empty() {
            played.push_str("\n\n");
        }
        played.push_str(commands);
        if output || !heard.is_empty() {
            let _ = write!(played, "\n----\n{}", heard.trim_end());
        }
    }
    played.truncate(played.trim_end().len());
    played.push('\n');
    played
}

/// Says which command it was that failed.
struct At<'l>(&'l str);

impl Drop for At<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("at the command: {}", self.0);
        }
    }
}

#[derive(Default)]
struct Script {
    world: Option<World>,
    clients: BTreeMap<String, Seat>,
    held: Held,
    names: Names,
}

/// A client and whether its end was printed.
struct Seat {
    client: Client,
    end_told: bool,
}

impl Script {
    /// Carries out the commands of a block; returns what the clients heard.
    fn commands(&mut self, commands: &str) -> String {
        let mut heard = String::new();
        for line in commands.lines() {
            let line = line.split("  #").next().unwrap_or_default().trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let at = At(line);
            self.command(line);
            self.hear(&mut heard);
            drop(at);
        }
        heard
    }

    fn command(&mut self, line: &str) {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb {
            "world" => {
                *self = Self { world: Some(new_world(rest)), ..Self::default() };
                return;
            }
            "hold" => self.hold(rest),
            "release" => self.release(rest),
            "sync" => assert!(self.world().sync_log(number(rest)), "nothing to sync"),
            "mail" => assert!(self.world().carry_mail(number(rest)), "no mail"),
            "feed" => assert!(self.world().carry_commit(number(rest)), "no commit"),
            "advance" => {
                let held = self.held.clone();
                self.world().advance(number(rest.trim_end_matches("ms")), &held);
            }
            "restart" => self.world().restart(0),
            name => self.client_command(name, rest),
        }
        let held = self.held.clone();
        self.world().settle_but(&held);
    }

    fn world(&mut self) -> &mut World {
        self.world.as_mut().expect("a transcript begins with `world`")
    }

    fn hold(&mut self, what: &str) {
        let shards = self.world().shards.len();
        match what {
            "log" => self.held.log = true,
            "mail" => self.held.mail = true,
            "feed" => self.held.feed = (0..shards).collect(),
            one => self.held.feed.push(number(one.strip_prefix("feed").expect(KINDS))),
        }
    }

    fn release(&mut self, what: &str) {
        match what {
            "log" => self.held.log = false,
            "mail" => self.held.mail = false,
            "feed" => self.held.feed.clear(),
            one => {
                let shard: usize = number(one.strip_prefix("feed").expect(KINDS));
                self.held.feed.retain(|held| *held != shard);
            }
        }
    }

    fn client_command(&mut self, name: &str, rest: &str) {
        let (verb, arguments) = rest.split_once(' ').unwrap_or((rest, ""));
        match verb {
            "connect" => {
                let client = self.connect(arguments);
                self.clients.insert(name.to_owned(), Seat { client, end_told: false });
                return;
            }
            "dial" => {
                let client = Client::dial(self.world(), 0, LOCALHOST);
                self.clients.insert(name.to_owned(), Seat { client, end_told: false });
                return;
            }
            _ => {}
        }
        let world = self.world.as_mut().expect("a transcript begins with `world`");
        let seat = self.clients.get_mut(name).unwrap_or_else(|| panic!("who is {name}?"));
        match verb {
            "words" => world.send(seat.client.link, arguments.as_bytes()),
            "bytes" => world.send(seat.client.link, &requests::hex(arguments)),
            "drop" => world.hang_up(seat.client.link),
            _ => {
                for request in rest.split(" ; ") {
                    send(world, &mut seat.client, request);
                }
            }
        }
    }

    /// `connect [timeout=] [shard=] [ip=] [zxid=] [old] [resume=client] [session=hex]
    /// [password=wrong|short|null]`
    fn connect(&mut self, arguments: &str) -> Client {
        let option = |name: &str| requests::option(arguments, name);
        let address: IpAddr = option("ip").map_or(LOCALHOST, |ip| ip.parse().expect("an address"));
        let shard = option("shard").map_or(0, number);
        let client = Client::dial(self.world(), shard, address);
        let other = option("resume").map(|name| &self.clients[name].client);
        let hex = |text| i64::from_str_radix(text, 16).expect("a session in hex");
        let asked = option("session").map(|text| SessionId(hex(text)));
        let session = asked.or_else(|| other.map(|other| other.session)).unwrap_or(SessionId::NONE);
        let known = other.map_or([0; 16], |other| other.password);
        let password = match option("password") {
            Some("wrong") => Some(vec![7; 16]),
            Some("short") => Some(known[..15].to_vec()),
            Some("null") => None,
            _ => Some(known.to_vec()),
        };
        let request = ConnectRequest {
            last_zxid_seen: Zxid(option("zxid").map_or(0, number)),
            session,
            password: password.as_deref(),
            read_only: (!arguments.split(' ').any(|word| word == "old")).then_some(false),
            ..new_session(option("timeout").map_or(10_000, number))
        };
        client.hello(self.world(), &request);
        client
    }

    /// Prints what every client has heard since the last time.
    fn hear(&mut self, heard: &mut String) {
        let world = self.world.as_mut().expect("a transcript begins with `world`");
        for warning in world.warnings.drain(..) {
            let _ = writeln!(heard, "log: {warning}");
        }
        for (name, seat) in &mut self.clients {
            for frame in seat.client.receive(world) {
                let _ = writeln!(heard, "{name}: {}", self.names.frame(&frame));
            }
            if world.links[seat.client.link.0].closed && !seat.end_told {
                seat.end_told = true;
                let _ = writeln!(heard, "{name}: closed");
            }
        }
    }
}

fn send(world: &mut World, client: &mut Client, request: &str) {
    let (op, body) = requests::encode(request);
    match requests::option(request, "xid") {
        Some(xid) => client.send_numbered(world, Xid(number(xid)), op, &body),
        None => _ = client.send_raw(world, op, &body),
    }
}

fn new_world(options: &str) -> World {
    let option = |name: &str| requests::option(options, name);
    let mut settings = Settings {
        tick_time_ms: 1000,
        session_timeout_min_ms: 2000,
        session_timeout_max_ms: 20_000,
        ..Settings::default()
    };
    if let Some(bytes) = option("frame-max") {
        settings.frame_max_bytes = number(bytes);
    }
    settings.auth.super_digest = option("super").map(str::to_owned);
    settings.auth.skip_acl = option("skip-acl") == Some("yes");
    settings.auth.digest_enabled = option("digest-auth") != Some("no");
    if let Some(timeout) = option("sessionless") {
        settings.sessionless_timeout_ms = number(timeout);
    }
    settings.enforce_quota = option("enforce-quota") == Some("yes");
    settings.extended_types = option("extended-types") == Some("yes");
    if let Some(interval) = option("reap-every") {
        settings.reaper.interval_ms = number(interval);
    }
    if let Some(per_minute) = option("reap-per-minute") {
        settings.reaper.per_minute = number(per_minute);
    }
    if let Some(age) = option("reap-unused") {
        settings.reaper.unused_max_ms = number(age);
    }
    World::new(option("shards").map_or(1, number), settings, 1)
}

fn number<N: std::str::FromStr>(text: &str) -> N {
    text.parse().unwrap_or_else(|_| panic!("{text} should be a number"))
}

const KINDS: &str = "log, mail, feed or feed with the number of a shard";
