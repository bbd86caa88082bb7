//! Fifty seeds in which clients use recipes, each twice, every seed that ever failed, and the bugs
//! that the checks have to find.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use ostler_sim::options::Plant;
use ostler_sim::recipes::options;
use ostler_sim::run::{plan, run, run_twice};

#[test]
fn what_recipes_promise_holds() {
    all(&Vec::from_iter(0..SEEDS));
}

#[test]
fn seeds_that_failed_once_do_not_fail_again() {
    let kept = include_str!("../seeds/failed-recipes.txt");
    let lines = kept.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let seed = |line: &str| line.split_whitespace().next().and_then(|seed| seed.parse().ok());
    let seeds: Vec<u64> = lines.map(|line| seed(line).expect("it begins with a seed")).collect();
    all(&seeds);
}

#[test]
fn a_lock_that_watches_the_wrong_one_is_found() {
    is_found(Plant::WrongPredecessor);
}

#[test]
fn a_holder_that_ignores_its_loss_is_found() {
    is_found(Plant::LossIgnored);
}

#[test]
fn events_that_get_lost_are_found() {
    is_found(Plant::EventSwallowed);
}

fn is_found(plant: Plant) {
    let found = (0..SEEDS).any(|seed| run(&options(seed, Some(plant)), None).is_err());
    assert!(found, "{plant:?} stays unnoticed by {SEEDS} seeds");
}

/// Runs seeds on as many threads as there are cores, and names all that fail.
fn all(seeds: &[u64]) {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let options = options(*seed, None);
                    if let Err(failure) = run_twice(&options) {
                        let tail = failure.tail.join("\n");
                        let text = format!(
                            "{tail}\n{}seed {seed}: {}\nagain: ostler-sim --recipes --seed {seed} \
                             --trace",
                            plan(&options),
                            failure.message,
                        );
                        failed.lock().expect("nobody panics with it").push(text);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("nobody panics with it");
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), seeds.len(), failed.join("\n\n"));
}

const SEEDS: u64 = 50;
