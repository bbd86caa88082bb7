//! One server among enemies: the corpus of the fuzz target, and schedules made from seeds.
//!
//! What a schedule is and what must hold for each stands in [`scene`], which the fuzz target
//! shares. A seed that fails says so; `OSTLER_SEED=n` runs that one alone and `OSTLER_SEEDS=n` so
//! many. An input that once made the server fail belongs into the corpus.

#[path = "../common/mod.rs"]
mod common;
#[path = "../../../sim/src/workload.rs"]
mod workload;

mod late;
mod multi;
mod scene;

use std::fs;
use std::path::Path;

use ostler_node::rng::Rng;

#[test]
fn the_corpus_passes() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/hostile");
    let mut count = 0;
    for file in fs::read_dir(&corpus).expect("the corpus") {
        let path = file.expect("a directory entry").path();
        let failing = Failing(format!("{}", path.display()));
        scene::run(&fs::read(&path).expect("a readable file"));
        std::mem::forget(failing);
        count += 1;
    }
    assert!(count > 0, "the corpus is empty");
}

#[test]
fn seeded_schedules_pass() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    let seeds: std::ops::Range<u64> = match number("OSTLER_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("OSTLER_SEEDS").unwrap_or(400),
    };
    for seed in seeds {
        let failing = Failing(format!("OSTLER_SEED={seed}"));
        scene::run(&schedule(seed));
        std::mem::forget(failing);
    }
}

/// Names the schedule when it fails.
struct Failing(String);

impl Drop for Failing {
    fn drop(&mut self) {
        eprintln!("this schedule failed: {}", self.0);
    }
}

/// Any bytes are a schedule.
fn schedule(seed: u64) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    let length = 100 + rng.below(2500);
    let byte = |_| u8::try_from(rng.below(256)).expect("below 256");
    (0..length).map(byte).collect()
}
