//! Bugs that the driver makes on purpose: the simulator is worth nothing if it does not find them.

use ostler_sim::options::Plant;
use ostler_sim::run::{options, run};

/// Each is found by one of so many seeds.
const SEEDS: u64 = 200;

fn is_found(plant: Plant) {
    let found = (0..SEEDS).any(|seed| run(&options(seed, Some(plant)), None).is_err());
    assert!(found, "{plant:?} stays unnoticed by {SEEDS} seeds");
}

#[test]
fn an_acknowledgement_before_the_sync() {
    is_found(Plant::AckBeforeSync);
}

#[test]
fn the_current_epoch_before_its_history() {
    is_found(Plant::EpochBeforeHistory);
}

#[test]
fn a_cut_off_by_one() {
    is_found(Plant::TruncOffByOne);
}

#[test]
fn a_commit_lost_at_newleader() {
    is_found(Plant::CommitLostAtNewLeader);
}

#[test]
fn an_event_after_its_data() {
    is_found(Plant::EventAfterData);
}
