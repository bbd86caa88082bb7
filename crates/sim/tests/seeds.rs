//! Two hundred seeds, each twice, and every seed that ever failed.

mod common;

use common::kept;
use ostler_sim::run::options;

#[test]
fn seeds_agree_with_the_model() {
    all(&Vec::from_iter(0..SEEDS));
}

#[test]
fn seeds_that_failed_once_do_not_fail_again() {
    all(&kept(include_str!("../seeds/failed.txt")));
}

fn all(seeds: &[u64]) {
    common::all(seeds, |seed| options(seed, None), "ostler-sim");
}

const SEEDS: u64 = 200;
