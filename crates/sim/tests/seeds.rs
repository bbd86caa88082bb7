//! Two hundred seeds, each twice, and every seed that ever failed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use ostler_sim::run::{options, plan, run_twice};

#[test]
fn seeds_agree_with_the_model() {
    all((0..SEEDS).collect());
}

#[test]
fn seeds_that_failed_once_do_not_fail_again() {
    let kept = include_str!("../seeds/failed.txt");
    let lines = kept.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let seed = |line: &str| line.split_whitespace().next().and_then(|seed| seed.parse().ok());
    all(lines.map(|line| seed(line).expect("a line begins with a seed")).collect());
}

/// Runs seeds on as many threads as there are cores, and names all that fail.
fn all(seeds: Vec<u64>) {
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
                            "{tail}\n{}seed {seed}: {}\nagain: ostler-sim --seed {seed} --trace",
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

const SEEDS: u64 = 200;
