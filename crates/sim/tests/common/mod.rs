//! Playing seeds: which were kept, and all of them at once.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use ostler_sim::options::Options;
use ostler_sim::run::{plan, run_twice};

/// The seeds that a file of kept ones names, each at the beginning of its line.
pub(crate) fn kept(file: &str) -> Vec<u64> {
    let lines = file.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let seed = |line: &str| line.split_whitespace().next().and_then(|seed| seed.parse().ok());
    lines.map(|line| seed(line).expect("a line begins with a seed")).collect()
}

/// Runs seeds twice on as many threads as there are cores, and names all that fail, with the
/// `command` that plays them again.
pub(crate) fn all(seeds: &[u64], options: impl Fn(u64) -> Options + Sync, command: &str) {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let options = options(*seed);
                    if let Err(failure) = run_twice(&options) {
                        let tail = failure.tail.join("\n");
                        let text = format!(
                            "{tail}\n{}seed {seed}: {}\nagain: {command} --seed {seed} --trace",
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
