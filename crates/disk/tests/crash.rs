//! The crash contract: whenever the power fails and whatever of the unsynced writes survives,
//! every acknowledged transaction is there afterwards, in a history that is a prefix of what was
//! appended.
//!
//! One workload is run again and again; each time the power fails at its next operation. What the
//! disk is found to hold is drawn from seeds, sector by sector. Then the server starts again, goes
//! on writing, and the power fails again, possibly while it recovers.

mod common;

use std::io;
use std::path::Path;

use common::{DIR, History, Seeds, dump};
use ostler_disk::compress::Compression;
use ostler_disk::log::{Log, LogOptions};
use ostler_disk::memory_disk::{Faults, MemoryDisk, Survival};
use ostler_disk::purge::purge;
use ostler_disk::recover::{RecoverError, RecoverOptions, Recovered, recover};
use ostler_disk::snapshot::{SnapshotOptions, write_snapshot};
use ostler_tree::Tree;
use ostler_wire::ids::Zxid;

/// What was appended and how much of it was acknowledged.
#[derive(Clone)]
struct Model {
    // Invariant: the tree after zxid n is at n.
    trees: Vec<Tree>,
    acknowledged: usize,
}

impl Model {
    fn new() -> Self {
        Self { trees: vec![History::fresh().tree], acknowledged: 0 }
    }

    fn last(&self) -> &Tree {
        self.trees.last().expect("the fresh one is always there")
    }

    /// Holds a recovered tree against the model and forgets what did not survive.
    fn check(&mut self, found: &Recovered, thoroughly: bool, context: &str) {
        let last = usize::try_from(found.last_zxid.0).expect("zxids here are small");
        assert_eq!(found.tree.last_zxid(), found.last_zxid, "{context}");
        assert!(last >= self.acknowledged, "{context}: {last} < {}", self.acknowledged);
        let expected = self.trees.get(last);
        let expected = expected.unwrap_or_else(|| panic!("{context}: {last} was never appended"));
        assert_eq!(found.tree.digest(), expected.digest(), "{context}");
        assert_eq!(found.tree.session_count(), expected.session_count(), "{context}");
        assert_eq!(found.digest_mismatches, 0, "{context}");
        if thoroughly {
            assert_eq!(dump(&found.tree), dump(expected), "{context}");
        }
        self.trees.truncate(last + 1);
        self.acknowledged = last;
    }
}

/// Everything that a case draws from its seed.
#[derive(Clone, Copy, Debug)]
struct Knobs {
    pre_alloc_bytes: u64,
    zero_ahead_bytes: u64,
    size_limit_bytes: Option<u64>,
    compression: Compression,
    seed: u64,
}

impl Knobs {
    fn draw(seed: u64) -> Self {
        let seeds = &mut Seeds(seed);
        let mut pick =
            |of: &[u64]| of[usize::try_from(seeds.next().unwrap_or(0)).unwrap_or(0) % of.len()];
        Self {
            pre_alloc_bytes: pick(&[0, 4096, 20_000, 65_536]),
            zero_ahead_bytes: pick(&[0, 1, 4096, 10_000]),
            size_limit_bytes: Some(pick(&[0, 9_000])).filter(|limit| *limit > 0),
            compression: [Compression::None, Compression::Gzip, Compression::Snappy]
                [usize::try_from(pick(&[0, 0, 1, 2])).unwrap_or(0)],
            seed,
        }
    }

    fn log_options(self) -> LogOptions {
        LogOptions {
            pre_alloc_bytes: self.pre_alloc_bytes,
            zero_ahead_bytes: self.zero_ahead_bytes,
            size_limit_bytes: self.size_limit_bytes,
            ..LogOptions::default()
        }
    }
}

fn start(disk: &MemoryDisk) -> Result<Recovered, RecoverError> {
    let options = RecoverOptions { hash_key: 1, ..RecoverOptions::default() };
    recover(disk, DIR.as_ref(), DIR.as_ref(), &options)
}

/// Serves `steps` batches; ends early with the first error, as a server does.
fn serve(
    disk: &MemoryDisk,
    knobs: Knobs,
    generation: u64,
    steps: usize,
    model: &mut Model,
) -> io::Result<()> {
    let dir = Path::new(DIR);
    let snapshots =
        SnapshotOptions { compression: knobs.compression, ..SnapshotOptions::default() };
    let seeds = &mut Seeds(knobs.seed ^ generation << 32);
    if model.last().last_zxid() == Zxid::ZERO {
        write_snapshot(disk, dir, model.last(), &snapshots)?;
    }
    let mut log = Log::new(disk.clone(), dir.to_owned(), knobs.log_options());
    for _ in 0..steps {
        let draw = seeds.next().unwrap_or(0);
        for _ in 0..draw % 4 + 1 {
            let mut history = History { tree: model.last().clone() };
            let (zxid, body) = history.next(seeds.next().unwrap_or(0));
            log.append(zxid, &body);
            model.trees.push(history.tree);
        }
        log.commit()?;
        model.acknowledged = model.trees.len() - 1;
        if (draw / 4).is_multiple_of(6) {
            log.roll();
            write_snapshot(disk, dir, model.last(), &snapshots)?;
            purge(disk, dir, dir, 2)?;
        }
    }
    Ok(())
}

/// One life after a crash: start, serve, and crash once more, now at operation `crash_at`.
fn live_on(disk: &MemoryDisk, knobs: Knobs, crash_at: u64, model: &mut Model, context: &str) {
    disk.set_faults(Faults {
        power_off_at: Some(crash_at),
        short_reads: crash_at.is_multiple_of(3),
        ..Faults::default()
    });
    match start(disk) {
        Ok(found) => {
            model.check(&found, crash_at.is_multiple_of(5), context);
            let _ = serve(disk, knobs, crash_at + 1, 6, model);
        }
        // The power failed during the recovery; nothing else may stop it.
        Err(_) if disk.operations() > crash_at => {}
        Err(error) => panic!("{context}: {error}"),
    }
}

/// Lets the power fail at every operation of one workload.
fn crash_everywhere(seed: u64) {
    let knobs = Knobs::draw(seed);
    for crash_at in 0.. {
        let disk = common::disk_with_dir();
        let begin = disk.operations();
        disk.set_faults(Faults { power_off_at: Some(begin + crash_at), ..Faults::default() });
        let mut model = Model::new();
        let is_over = serve(&disk, knobs, 0, 14, &mut model).is_ok();
        for (round, survival) in (0..8).zip(Survival::ALL.into_iter().chain([Survival::Torn; 4])) {
            let mut model = model.clone();
            let chance = seed ^ crash_at << 8 ^ round << 24;
            let context = format!("{knobs:?}, crash at {crash_at}, {survival:?}, {round}");
            let mut after = disk.crash(survival, chance);
            for again in 0..2 {
                let crash_at = Seeds(chance ^ again).next().unwrap_or(0) % 40;
                live_on(&after, knobs, crash_at, &mut model, &context);
                after = after.crash(Survival::Torn, chance ^ again);
            }
            let found = start(&after).unwrap_or_else(|error| panic!("{context}: {error}"));
            model.check(&found, true, &context);
        }
        if is_over {
            assert!(crash_at > 30, "the workload is too short to mean anything");
            return;
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_wherever_the_power_fails() {
    // The last two lost a sector that lacked a single bit: 1014 of a body, 1219 of a checksum.
    (0..8).chain([1014, 1219]).for_each(crash_everywhere);
}

/// After `kill -9` the page cache still holds what was not synced. The next server tells clients
/// of it, so it must be durable before anything is built on it.
#[test]
fn what_a_killed_process_left_unsynced_is_synced_by_the_next() {
    for seed in 0..40 {
        let knobs = Knobs::draw(seed);
        for killed_at in (5..45).step_by(3) {
            let disk = common::disk_with_dir();
            let mut model = Model::new();
            let begin = disk.operations();
            disk.set_faults(Faults { power_off_at: Some(begin + killed_at), ..Faults::default() });
            let _ = serve(&disk, knobs, 0, 14, &mut model);
            disk.set_faults(Faults::default());
            let context = format!("{knobs:?}, killed at {killed_at}");
            let found = start(&disk).unwrap_or_else(|error| panic!("{context}: {error}"));
            model.check(&found, true, &context);
            let after = disk.crash(Survival::Nothing, seed);
            let again = start(&after).unwrap_or_else(|error| panic!("{context}: {error}"));
            assert_eq!(again.last_zxid, found.last_zxid, "{context}");
            model.check(&again, true, &context);
        }
    }
}

#[test]
fn after_a_failed_write_or_sync_nothing_more_is_acknowledged() {
    for kind in [io::ErrorKind::StorageFull, io::ErrorKind::Other] {
        for seed in (0..20).chain([1178]) {
            fail_everywhere(seed, kind);
        }
    }
}

fn fail_everywhere(seed: u64, kind: io::ErrorKind) {
    let knobs = Knobs::draw(seed);
    for fail_at in 0..40 {
        let disk = common::disk_with_dir();
        let begin = disk.operations();
        disk.set_faults(Faults { fail_at: Some((begin + fail_at, kind)), ..Faults::default() });
        let mut model = Model::new();
        let Err(error) = serve(&disk, knobs, 0, 14, &mut model) else { return };
        assert_eq!(error.kind(), kind);
        let context = format!("{knobs:?}, {kind:?} at {fail_at}");
        for (round, survival) in (0..4).zip(Survival::ALL) {
            let mut model = model.clone();
            let after = disk.crash(survival, seed ^ fail_at << 8 ^ round << 24);
            let found = start(&after).unwrap_or_else(|error| panic!("{context}: {error}"));
            model.check(&found, true, &context);
        }
        disk.set_faults(Faults::default());
        let found = start(&disk).unwrap_or_else(|error| panic!("{context}: {error}"));
        model.check(&found, true, &context);
    }
}

#[test]
fn a_dead_log_stays_dead() {
    let disk = common::disk_with_dir();
    let mut log = Log::new(
        disk.clone(),
        DIR.into(),
        LogOptions { pre_alloc_bytes: 4096, ..LogOptions::default() },
    );
    let mut history = History::fresh();
    let (zxid, body) = history.next(4);
    log.append(zxid, &body);
    log.commit().expect("nothing fails yet");
    // The second write is the next operation, its sync the one after.
    let sync = disk.operations() + 1;
    disk.set_faults(Faults { fail_at: Some((sync, io::ErrorKind::Other)), ..Faults::default() });
    let (zxid, body) = history.next(5);
    log.append(zxid, &body);
    assert!(log.commit().is_err());
    disk.set_faults(Faults::default());
    assert!(log.is_dead());
    let operations = disk.operations();
    assert!(log.commit().is_err(), "even with nothing new");
    let (zxid, body) = history.next(6);
    log.append(zxid, &body);
    assert!(log.commit().is_err());
    assert_eq!(disk.operations(), operations, "a dead log touches nothing");
}
