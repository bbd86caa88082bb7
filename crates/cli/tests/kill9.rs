//! The server is killed over and over under load; what it acknowledged is there afterwards.
//!
//! Workers write on sessions that live through all rounds. Beside them, sessions are opened, closed
//! and abandoned; a session that is gone stays gone.

#![allow(clippy::print_stdout)]

mod common;

use std::fs;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use common::worker::{LONG_MS, Random, Worker};
use common::{PATIENCE, Server, TestDir, free_port};
use ostler_cli::raw_client::{RawClient, SessionRequest, create, exists};
use ostler_wire::error::ErrorCode;

const ROUNDS: u64 = 50;
const WORKERS: u64 = 4;
const ACKNOWLEDGEMENTS_MAX: u64 = 400;
const SESSION_STEPS_MAX: u64 = 6;

/// Two ticks: gone soon after nobody holds it.
const SHORT_MS: i32 = 100;

const CONFIG: &[&str] =
    &["tickTime=50", "minSessionTimeout=100", "maxSessionTimeout=120000", "snapCount=200"];

const EPHEMERAL: i32 = 1;

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let seed = std::env::var("OSTLER_TEST_SEED").map_or(1, |seed| seed.parse().expect("a number"));
    let dir = TestDir::new("kill9");
    let port = free_port();
    let mut random = Random(seed | 1);
    let mut workers: Vec<_> = (0..WORKERS).map(|id| Worker::new(id, random.next())).collect();
    let mut sessions = SessionRound::default();
    let (mut acknowledged, mut cut_short) = (0, 0);
    for round in 0..ROUNDS {
        // With one thread, two, and more.
        let threads = format!("ostler.shardThreads={}", round % 3);
        let config = [CONFIG, &[&threads]].concat();
        let mut server = Server::start_on(&dir, port, &config);
        let target = Target {
            acknowledgements: 1 + random.below(ACKNOWLEDGEMENTS_MAX),
            session_steps: random.below(SESSION_STEPS_MAX),
        };
        acknowledged += run_round(&mut server, round, target, &mut workers, &mut sessions);
        cut_short += u64::from(workers.iter().any(|worker| !worker.pending.is_empty()));
    }
    let mut server = Server::start_on(&dir, port, CONFIG);
    check_everything(&server.address, &mut workers, &mut sessions);
    server.signal(rustix::process::Signal::TERM);
    server.wait();
    let server = Server::start_on(&dir, port, CONFIG);
    check_everything(&server.address, &mut workers, &mut sessions);
    assert!(acknowledged > ROUNDS * ACKNOWLEDGEMENTS_MAX / 4, "only {acknowledged} writes");
    assert!(cut_short > ROUNDS / 2, "only {cut_short} kills met requests under way");
    let names: Vec<_> = fs::read_dir(dir.join("data/version-2"))
        .expect("the data directory is there")
        .map(|entry| entry.expect("it can be listed").file_name().into_string().unwrap())
        .collect();
    let count = |kind: &str| names.iter().filter(|name| name.starts_with(kind)).count();
    assert!(count("snapshot.") > 5 && count("log.") > 5, "too few snapshots or rolls: {names:?}");
    println!(
        "{ROUNDS} kills, {cut_short} of them with requests under way; {acknowledged} writes \
         acknowledged, {} sessions gone for good",
        sessions.gone.len()
    );
}

/// What must have happened before the server is killed.
struct Target {
    acknowledgements: u64,
    session_steps: u64,
}

/// Lets everybody check what the last round left, then work up to the target, then kills the
/// server.
fn run_round(
    server: &mut Server,
    round: u64,
    target: Target,
    workers: &mut [Worker],
    sessions: &mut SessionRound,
) -> u64 {
    let address = server.address.clone();
    let (acknowledge, acknowledgements) = channel();
    let (step, steps) = channel();
    let dead = AtomicBool::new(false);
    let mut clients: Vec<_> = workers.iter().map(|_| None).collect();
    thread::scope(|scope| {
        for (worker, client) in workers.iter_mut().zip(&mut clients) {
            scope.spawn(|| *client = Some(worker.prepare(&address)));
        }
        scope.spawn(|| sessions.check(&address, sessions.checked));
    });
    thread::scope(|scope| {
        let (address, dead) = (&*address, &dead);
        for (worker, client) in workers.iter_mut().zip(&mut clients) {
            let acknowledge = acknowledge.clone();
            let client = client.as_mut().expect("it was prepared");
            scope.spawn(move || {
                worker.work(client, || {
                    // The receiver stops listening when it has killed the server.
                    let _ = acknowledge.send(());
                    true
                });
            });
        }
        scope.spawn(move || sessions.round(address, round, &step, dead));
        drop(acknowledge);
        let count = count_up_to(&acknowledgements, target.acknowledgements);
        count_up_to(&steps, target.session_steps);
        server.kill();
        dead.store(true, Ordering::Relaxed);
        count + u64::try_from(acknowledgements.iter().count()).unwrap()
    })
}

fn count_up_to(acknowledgements: &Receiver<()>, target: u64) -> u64 {
    for count in 0..target {
        if acknowledgements.recv_timeout(PATIENCE).is_err() {
            // Somebody panicked, or the server hangs; the kill ends the round either way.
            return count;
        }
    }
    target
}

fn check_everything(address: &str, workers: &mut [Worker], sessions: &mut SessionRound) {
    for worker in workers {
        let mut client = worker.resume(address);
        worker.check(&mut client);
    }
    sessions.check(address, 0);
}

/// A session and the ephemeral znode that it made.
#[derive(Clone, Debug)]
struct Owner {
    resumption: SessionRequest,
    path: String,
}

/// Sessions that come and go beside the workers.
#[derive(Default)]
struct SessionRound {
    /// Closed with an acknowledgement, or seen to have expired: they must stay gone.
    gone: Vec<Owner>,
    /// Those of `gone` up to here have been looked for after a restart.
    checked: usize,
    /// Left alone: they expire when their time is over.
    abandoned: Vec<Owner>,
    /// Asked to close, without an answer: gone or there, but not half of it.
    unsure: Vec<Owner>,
}

impl SessionRound {
    fn round(&mut self, address: &str, round: u64, step: &Sender<()>, dead: &AtomicBool) {
        let mut count = 0;
        while !dead.load(Ordering::Relaxed) {
            count += 1;
            let path = format!("/e{round}-{count}");
            let result = if count % 3 == 0 {
                self.abandon(address, path)
            } else {
                self.open_and_close(address, path)
            };
            let result = result.and_then(|()| self.see_expire(address));
            if result.is_err() {
                // The server is being killed, or `check` will find what is wrong.
                return;
            }
            let _ = step.send(());
        }
    }

    fn open_and_close(&mut self, address: &str, path: String) -> io::Result<()> {
        let mut client = RawClient::connect(address, LONG_MS)?;
        client.call(&create(&path, b"closed", EPHEMERAL))?.ok()?;
        let owner = Owner { resumption: client.resumption(), path };
        self.unsure.push(owner);
        let zxid = client.close_session()?;
        let mut owner = self.unsure.pop().expect("it was pushed");
        owner.resumption.last_zxid = zxid;
        self.gone.push(owner);
        Ok(())
    }

    fn abandon(&mut self, address: &str, path: String) -> io::Result<()> {
        let mut client = RawClient::connect(address, SHORT_MS)?;
        client.call(&create(&path, b"abandoned", EPHEMERAL))?.ok()?;
        self.abandoned.push(Owner { resumption: client.resumption(), path });
        Ok(())
    }

    /// Notes which of the abandoned sessions have expired by now.
    fn see_expire(&mut self, address: &str) -> io::Result<()> {
        let mut client = RawClient::connect(address, LONG_MS)?;
        for owner in std::mem::take(&mut self.abandoned) {
            match client.call(&exists(&owner.path, false)) {
                Ok(reply) if reply.header.err == ErrorCode::NO_NODE => self.gone.push(owner),
                _ => self.abandoned.push(owner),
            }
        }
        client.close_session()?;
        Ok(())
    }

    /// Looks for sessions that should be gone, from `from` on, and for those that may be.
    fn check(&mut self, address: &str, from: usize) {
        let mut client = RawClient::connect(address, LONG_MS).expect("a new session");
        for owner in std::mem::take(&mut self.unsure) {
            match RawClient::resume(address, &owner.resumption).expect("an answer") {
                None => self.gone.push(owner),
                Some(mut session) => {
                    let reply = session.call(&exists(&owner.path, false)).unwrap().ok();
                    let stat = reply.and_then(|reply| reply.stat()).expect("its znode is there");
                    assert_eq!(stat.ephemeral_owner, owner.resumption.session);
                    session.close_session().expect("it can be closed");
                    self.gone.push(owner);
                }
            }
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.abandoned.is_empty() {
            self.see_expire(address).expect("the server serves");
            assert!(Instant::now() < deadline, "these do not expire: {:?}", self.abandoned);
            thread::sleep(Duration::from_millis(5));
        }
        for owner in &self.gone[from..] {
            let resumed = RawClient::resume(address, &owner.resumption)
                .unwrap_or_else(|error| panic!("no answer for {owner:?}: {error}"));
            assert!(resumed.is_none(), "{owner:?} was resurrected");
            let reply = client.call(&exists(&owner.path, false)).expect("an answer");
            assert_eq!(reply.header.err, ErrorCode::NO_NODE, "{owner:?}");
        }
        self.checked = self.gone.len();
        client.close_session().expect("it can be closed");
    }
}
