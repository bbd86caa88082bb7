//! Fifty seeds in which clients use recipes, each twice, every seed that ever failed, and the bugs
//! that the checks have to find.

mod common;

use common::kept;
use ostler_sim::options::Plant;
use ostler_sim::recipes::options;
use ostler_sim::run::run;

#[test]
fn what_recipes_promise_holds() {
    all(&Vec::from_iter(0..SEEDS));
}

#[test]
fn seeds_that_failed_once_do_not_fail_again() {
    all(&kept(include_str!("../seeds/failed-recipes.txt")));
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

fn all(seeds: &[u64]) {
    common::all(seeds, |seed| options(seed, None), "ostler-sim --recipes");
}

const SEEDS: u64 = 50;
