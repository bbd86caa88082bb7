//! Servers of an ensemble are killed and stopped over and over under load, leaders and followers;
//! what was acknowledged is there afterwards, on all of them, and sessions live on.

#![allow(clippy::print_stdout)]

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use common::ensemble::{Ensemble, sync};
use common::poll_until;
use common::worker::{Random, Worker};
use ostler_cli::raw_client::RawClient;

#[test]
fn three_servers_lose_nothing() {
    lose_nothing("load3", 3, 12);
}

#[test]
fn five_servers_lose_nothing() {
    lose_nothing("load5", 5, 10);
}

fn lose_nothing(name: &str, servers: usize, rounds: u64) {
    let seed = std::env::var("OSTLER_TEST_SEED").map_or(1, |seed| seed.parse().expect("a number"));
    let mut random = Random(seed | 1);
    let mut ensemble = Ensemble::new(name, servers);
    ensemble.start_all();
    ensemble.wait_all_serving();
    let addresses = ensemble.addresses();
    let mut workers: Vec<_> = (0..WORKERS).map(|id| Worker::new(id, random.next())).collect();
    let load = Load::default();
    thread::scope(|scope| {
        for (turn, worker) in workers.iter_mut().enumerate() {
            let (addresses, load) = (&addresses, &load);
            scope.spawn(move || load.work(worker, addresses, turn));
        }
        // Ends the workers even when a round panics, or the scope would wait for them for ever.
        let _ended = End(&load.ended);
        for round in 0..rounds {
            lose_some(&mut ensemble, round, &load, &mut random);
        }
    });
    ensemble.assert_same_everywhere();
    for worker in &mut workers {
        for index in 0..servers {
            let mut client = worker.resume(&ensemble.address(index));
            sync(&mut client).expect("it can catch up");
            worker.check(&mut client);
        }
    }
    ensemble.assert_digests_agreed();
    println!(
        "{servers} servers, {rounds} losses: {} writes acknowledged, {} connections lost",
        load.acknowledged.load(Ordering::Relaxed),
        load.lost.load(Ordering::Relaxed)
    );
}

/// Takes servers away, sees that the others go on, and brings those back.
fn lose_some(ensemble: &mut Ensemble, round: u64, load: &Load, random: &mut Random) {
    load.progress(200);
    let leader = ensemble.leader();
    let count = ensemble.len();
    let other = |step: u64| {
        let step = 1 + usize::try_from(step).expect("it is small");
        (leader + step) % count
    };
    let follower = other(random.below(count as u64 - 1));
    let gone = match round % 4 {
        0 => vec![leader],
        1 => vec![follower],
        2 if count > 3 => vec![leader, follower],
        2 => vec![leader],
        _ => vec![follower],
    };
    for index in &gone {
        // As a power failure, or as an operator does.
        if (round / 2).is_multiple_of(2) {
            ensemble.kill(*index);
        } else {
            ensemble.terminate(*index);
        }
    }
    load.progress(200);
    gone.iter().for_each(|index| ensemble.start(*index));
    gone.iter().for_each(|index| ensemble.wait_serving(*index));
}

/// What the workers have done together.
#[derive(Default)]
struct Load {
    acknowledged: AtomicU64,
    lost: AtomicU64,
    ended: AtomicBool,
}

impl Load {
    /// Writes on one server after the other, whichever is there.
    fn work(&self, worker: &mut Worker, addresses: &[String], turn: usize) {
        let mut at = turn;
        while !self.ended.load(Ordering::Relaxed) {
            at += 1;
            let address = &addresses[at % addresses.len()];
            let Some(mut client) = self.connect(worker, address) else { continue };
            if sync(&mut client).is_err() {
                continue;
            }
            worker.check(&mut client);
            worker.work(&mut client, || {
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
                !self.ended.load(Ordering::Relaxed)
            });
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The session of a worker, on a server that may be gone or not serve.
    fn connect(&self, worker: &mut Worker, address: &str) -> Option<RawClient> {
        let Some(resumption) = worker.resumption else {
            return Some(worker.begin(address));
        };
        let resumed = RawClient::resume(address, &resumption).ok()?;
        Some(resumed.unwrap_or_else(|| panic!("{}: the session is lost", worker.home)))
    }

    /// Waits until so many more writes are acknowledged.
    fn progress(&self, count: u64) {
        let target = self.acknowledged.load(Ordering::Relaxed) + count;
        poll_until("writes are acknowledged", || {
            (self.acknowledged.load(Ordering::Relaxed) >= target).then_some(())
        });
    }
}

/// Says that it is over when it goes.
struct End<'l>(&'l AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

const WORKERS: u64 = 4;
