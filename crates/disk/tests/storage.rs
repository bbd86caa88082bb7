//! Going back and starting over: whenever the power fails while the end of history is dropped, or
//! all of it replaced, the next start finds a history that may be there, and the same can be asked
//! for again.
//!
//! Each case makes a directory with snapshots, rolled logs and changes of epoch from a seed, and
//! then lets the power fail at every operation of one truncation or installation.

mod common;

use std::collections::BTreeMap;
use std::io;

use common::{DIR, History, Seeds, disk_with_dir, dump, files};
use ostler_disk::compress::Compression;
use ostler_disk::disk::{Disk, create_directories};
use ostler_disk::epochs::EpochError;
use ostler_disk::log::LogOptions;
use ostler_disk::memory_disk::{Faults, MemoryDisk, Survival};
use ostler_disk::names;
use ostler_disk::recover::{RecoverOptions, Recovered};
use ostler_disk::snapshot::SnapshotOptions;
use ostler_disk::storage::{Storage, StorageOptions};
use ostler_disk::truncate::TruncateError;
use ostler_tree::Tree;
use ostler_wire::ids::{Epoch, Zxid};

const LOG_DIR: &str = "/logs/version-2";

/// A directory with a history in it.
#[derive(Clone)]
struct Scene {
    seed: u64,
    disk: MemoryDisk,
    // Invariant: the tree after each zxid of history, the fresh one at 0 too.
    trees: BTreeMap<Zxid, Tree>,
}

impl Scene {
    /// Draws a history; `keep` is for the purges in between, 0 for none.
    fn draw(seed: u64, keep: usize) -> Self {
        let disk = disk_with_dir();
        create_directories(&disk, LOG_DIR.as_ref()).expect("nothing fails yet");
        let fresh = History::fresh().tree;
        let mut scene = Self { seed, disk, trees: [(Zxid::ZERO, fresh.clone())].into() };
        let mut storage = scene.storage();
        storage.write_snapshot(&fresh).expect("nothing fails yet");
        let draws = &mut Seeds(seed);
        for _ in 0..25 {
            let draw = draws.next().unwrap_or(0);
            scene.append(&mut storage, draw, draw.is_multiple_of(7));
            if (draw / 7).is_multiple_of(5) {
                storage.roll();
            }
            if (draw / 35).is_multiple_of(5) {
                let snapshots = storage.snapshots();
                snapshots.write(scene.last(), &mut || {}).expect("nothing fails yet");
                if keep > 0 {
                    snapshots.purge(keep).expect("nothing fails yet");
                }
            }
        }
        scene
    }

    /// Appends a batch of up to three, the first of which may begin an epoch.
    fn append(&mut self, storage: &mut Storage<MemoryDisk>, draw: u64, new_epoch: bool) {
        for nth in 0..draw % 3 + 1 {
            let mut history = History { tree: self.last().clone() };
            let last = history.tree.last_zxid();
            let zxid = if new_epoch && nth == 0 {
                Epoch(last.epoch().0 + 1 + (draw % 2) as u32).first_zxid().next()
            } else {
                last.next()
            };
            let (zxid, body) = history.next_at(zxid, draw / 3 + nth);
            storage.append(zxid, &body);
            self.trees.insert(zxid, history.tree);
        }
        storage.commit().expect("nothing fails yet");
    }

    fn last(&self) -> &Tree {
        self.trees.values().next_back().expect("the fresh one is always there")
    }

    /// Makes the newest snapshot a bad one, in one of three scenes, unless it is the only one.
    fn spoil_a_snapshot(&self) {
        let snapshots = names::snapshots(&self.disk, DIR.as_ref()).expect("nothing fails yet");
        if let [_, .., newest] = &snapshots[..]
            && self.seed % 3 == 1
        {
            self.disk.put(&newest.path, b"ZKSN?");
        }
    }

    /// The directory as a new process finds it.
    fn storage(&self) -> Storage<MemoryDisk> {
        storage_on(&self.disk, self.seed)
    }

    /// Some zxid of history.
    fn pick(&self, draw: u64) -> Zxid {
        let at = usize::try_from(draw).expect("small") % self.trees.len();
        *self.trees.keys().nth(at).expect("within bounds")
    }

    /// Sees that what was found is history, and not shorter than to `least`.
    fn check(&self, found: &Recovered, least: Zxid, context: &str) {
        let last = found.last_zxid;
        assert!(last >= least, "{context}: {last} is before {least}");
        let tree = self.trees.get(&last);
        let tree = tree.unwrap_or_else(|| panic!("{context}: {last} is not in history"));
        assert_same(&found.tree, tree, context);
        assert_eq!(found.digest_mismatches, 0, "{context}");
        let tail: Vec<Zxid> = found.tail.iter().map(|(zxid, _)| *zxid).collect();
        let from = found.snapshot.unwrap_or(Zxid::ZERO);
        let expected: Vec<Zxid> =
            self.trees.keys().copied().filter(|zxid| (from < *zxid) && *zxid <= last).collect();
        assert_eq!(tail, expected, "{context}");
    }
}

fn storage_on(disk: &MemoryDisk, seed: u64) -> Storage<MemoryDisk> {
    let pick = |of: &[u64], at: u64| of[usize::try_from(seed / at).expect("small") % of.len()];
    let options = StorageOptions {
        log: LogOptions {
            pre_alloc_bytes: pick(&[0, 4096, 20_000], 1),
            zero_ahead_bytes: pick(&[0, 4096], 3),
            ..LogOptions::default()
        },
        snapshot: SnapshotOptions {
            compression: match pick(&[0, 0, 1], 5) {
                0 => Compression::None,
                _ => Compression::Snappy,
            },
            ..SnapshotOptions::default()
        },
        recover: RecoverOptions { hash_key: 1, ..RecoverOptions::default() },
    };
    let log_dir = if seed.is_multiple_of(2) { LOG_DIR } else { DIR };
    Storage::new(disk.clone(), DIR.into(), log_dir.into(), options)
}

fn recover(storage: &mut Storage<MemoryDisk>, context: &str) -> Recovered {
    storage.recover().unwrap_or_else(|error| panic!("{context}: {error}"))
}

fn assert_same(found: &Tree, expected: &Tree, context: &str) {
    assert_eq!(dump(found), dump(expected), "{context}");
}

/// Runs `work` on copies of a disk, with the power failing at its first operation, then at its
/// second, and so on; `check` gets what each kind of crash leaves.
fn crash_at_every_step(
    scene: &Scene,
    mut work: impl FnMut(&mut Storage<MemoryDisk>) -> bool,
    mut check: impl FnMut(MemoryDisk, String),
) {
    for step in 0.. {
        assert!(step < 500, "the work never ends");
        let disk = scene.disk.crash(Survival::Everything, 0);
        let mut storage = storage_on(&disk, scene.seed);
        recover(&mut storage, "the scene");
        let begin = disk.operations();
        disk.set_faults(Faults { power_off_at: Some(begin + step), ..Faults::default() });
        let is_over = work(&mut storage);
        let kinds = Survival::ALL.into_iter().chain([Survival::Torn; 3]);
        for (round, survival) in (0..).zip(kinds) {
            let after = disk.crash(survival, scene.seed ^ step << 8 ^ round << 24);
            let context = format!("seed {}, step {step}, {survival:?} {round}", scene.seed);
            check(after, context);
        }
        // The process may be killed while the machine goes on.
        disk.set_faults(Faults::default());
        check(disk, format!("seed {}, step {step}, killed", scene.seed));
        if is_over {
            return;
        }
    }
}

/// Goes on with another history behind `from` and sees that it is what the next start finds.
fn go_on(
    storage: &mut Storage<MemoryDisk>,
    from: &Tree,
    (disk, seed): (&MemoryDisk, u64),
    context: &str,
) {
    let trees = [(from.last_zxid(), from.clone())].into();
    let mut other = Scene { seed, disk: disk.clone(), trees };
    let is_new_epoch = context.len().is_multiple_of(2);
    for draw in [40, 17, 5] {
        other.append(storage, draw, is_new_epoch && draw == 40);
    }
    let mut again = storage_on(&disk.crash(Survival::Nothing, 7), seed);
    let found = recover(&mut again, context);
    assert_same(&found.tree, other.last(), context);
}

#[test]
fn a_truncation_ends_history_at_its_target_wherever_the_power_fails() {
    for seed in 0..24 {
        let scene = Scene::draw(seed, 0);
        scene.spoil_a_snapshot();
        let target = scene.pick(seed * 7919 + 3);
        let expected = &scene.trees[&target];
        crash_at_every_step(
            &scene,
            |storage| storage.truncate(target).is_ok(),
            |disk, context| {
                let mut storage = storage_on(&disk, seed);
                scene.check(&recover(&mut storage, &context), target, &context);
                let cut = storage.truncate(target);
                cut.unwrap_or_else(|error| panic!("{context}: {error}"));
                let found = recover(&mut storage, &context);
                assert_eq!(found.last_zxid, target, "{context}");
                scene.check(&found, target, &context);
                go_on(&mut storage, expected, (&disk, seed), &context);
            },
        );
    }
}

#[test]
fn a_truncation_is_durable_when_it_returns() {
    for seed in 0..40 {
        let scene = Scene::draw(seed, 0);
        let target = scene.pick(seed * 31);
        let mut storage = scene.storage();
        recover(&mut storage, "seed");
        storage.truncate(target).expect("the target is there");
        let mut again = storage_on(&scene.disk.crash(Survival::Nothing, 0), seed);
        let found = recover(&mut again, "seed");
        assert_eq!(found.last_zxid, target);
        scene.check(&found, target, "after the truncation");
        // The same process goes on.
        go_on(&mut storage, &scene.trees[&target], (&scene.disk, seed), "the same process");
    }
}

#[test]
fn what_cannot_be_gone_back_to_is_refused_and_nothing_changes() {
    let mut refused = 0;
    for seed in 0..60 {
        let scene = Scene::draw(seed, 1);
        let mut storage = scene.storage();
        let snapshot = recover(&mut storage, "seed").snapshot.expect("one was kept");
        let before = files(&scene.disk);
        let last = scene.last().last_zxid();
        let missing = [
            last.next(),
            Epoch(last.epoch().0 + 1).first_zxid(),
            Zxid(last.0 + (3 << 32)),
            Zxid::NONE,
        ];
        for target in missing {
            let error = storage.truncate(target).expect_err("there is no such transaction");
            assert!(!matches!(error, TruncateError::Changing { .. }), "{error}");
        }
        for target in scene.trees.keys().filter(|zxid| **zxid < snapshot) {
            let error = storage.truncate(*target).expect_err("its snapshot was purged");
            assert!(matches!(error, TruncateError::NoBase { .. }), "{error}");
            refused += 1;
        }
        assert_eq!(files(&scene.disk), before);
        scene.check(&recover(&mut scene.storage(), "seed"), last, "refused");
    }
    assert!(refused > 100);
}

#[test]
fn bad_snapshots_are_nothing_to_go_back_to() {
    for seed in [1, 3, 5, 7, 9] {
        let scene = Scene::draw(seed, 0);
        let last = scene.last().last_zxid();
        let names = scene.disk.list(DIR.as_ref()).expect("it is there");
        let mut snapshots: Vec<_> =
            names.iter().filter(|name| name.starts_with("snapshot.")).collect();
        snapshots.sort_by_key(|name| (name.len(), (*name).clone()));
        let (first, others) = snapshots.split_first().expect("the first one is always there");
        // All but the newest are bad, and later all but the oldest.
        let spoil = |name: &str| scene.disk.put(format!("{DIR}/{name}").as_ref(), b"ZKSN?");
        let newest = others.last().expect("there are several");
        let newest_zxid = Zxid(
            i64::from_str_radix(newest.split('.').nth(1).expect("the zxid"), 16).expect("a zxid"),
        );
        if newest_zxid == last {
            continue;
        }
        others.iter().rev().skip(1).for_each(|name| spoil(name));
        let spoiled_first = scene.disk.contents(format!("{DIR}/{first}").as_ref());
        spoil(first);
        let mut storage = scene.storage();
        let target = *scene.trees.range(..newest_zxid).next_back().expect("the fresh one").0;
        let error = storage.truncate(target).expect_err("no good one is that old");
        assert!(matches!(error, TruncateError::NoBase { .. }), "{error}");
        let first_again = spoiled_first.expect("it was there");
        scene.disk.put(format!("{DIR}/{first}").as_ref(), &first_again);
        storage.truncate(target).expect("the oldest one is good again");
        let found = recover(&mut scene.storage(), "seed");
        assert_eq!(found.last_zxid, target);
        scene.check(&found, target, "after the truncation");
    }
}

/// A tree that a leader might send: of a history of its own.
fn sent_tree(scene: &Scene, draw: u64) -> Tree {
    let last = scene.last().last_zxid();
    let zxid = match draw % 6 {
        0 | 1 => Epoch(last.epoch().0 + 1).first_zxid(),
        2 => Zxid(last.0 + (1 << 32) + 12),
        3 => last,
        _ => scene.pick(draw / 6),
    };
    let mut other = History::fresh();
    for draw in Seeds(draw).take(10) {
        other.next(draw);
    }
    other.next_at(zxid.max(Zxid(20)), draw);
    other.tree
}

#[test]
fn an_installed_tree_takes_the_place_of_everything_wherever_the_power_fails() {
    for seed in 0..24 {
        let scene = Scene::draw(seed, usize::from(seed % 3 == 0));
        scene.spoil_a_snapshot();
        let tree = sent_tree(&scene, seed * 7919 + seed / 6);
        let at = tree.last_zxid();
        // What may matter to others stays until the tree is there.
        let least = *scene.trees.range(..=at).next_back().expect("the fresh one").0;
        crash_at_every_step(
            &scene,
            |storage| storage.install(&tree).is_ok(),
            |disk, context| {
                let mut storage = storage_on(&disk, seed);
                let found = recover(&mut storage, &context);
                if found.last_zxid == at && found.tree.digest() == tree.digest() {
                    assert_same(&found.tree, &tree, &context);
                } else {
                    scene.check(&found, least, &context);
                }
                storage.install(&tree).unwrap_or_else(|error| panic!("{context}: {error}"));
                let mut again = storage_on(&disk.crash(Survival::Nothing, 1), seed);
                let found = recover(&mut again, &context);
                assert_same(&found.tree, &tree, &context);
                assert_eq!(found.snapshot, Some(at), "{context}");
                assert_eq!(found.txns_replayed, 0, "{context}");
                go_on(&mut storage, &tree, (&disk, seed), &context);
            },
        );
    }
}

#[test]
fn after_an_installation_there_is_nothing_else() {
    for seed in [1, 3, 5, 7] {
        let scene = Scene::draw(seed, 0);
        let mut storage = scene.storage();
        recover(&mut storage, "seed");
        storage.install(&sent_tree(&scene, seed)).expect("nothing fails");
        assert_eq!(files(&scene.disk).len(), 1, "{:?}", files(&scene.disk).keys());
    }
}

#[test]
fn no_snapshot_comes_back_behind_a_truncation_or_an_installation() {
    for seed in [1, 3, 5, 7, 9] {
        let scene = Scene::draw(seed, 0);
        let mut storage = scene.storage();
        recover(&mut storage, "seed");
        let snapshots = storage.snapshots();
        let dropped = scene.last().clone();
        let target = *scene.trees.keys().rev().nth(2).expect("there are many");
        storage.truncate(target).expect("it is there");
        // It was asked for before, and is only written now.
        let written = snapshots.write(&dropped, &mut || {}).expect("nothing fails");
        assert_eq!(written, None);
        let kept = snapshots.write(&scene.trees[&target], &mut || {}).expect("nothing fails");
        assert!(kept.is_some());
        let mut again = scene.storage();
        assert_eq!(recover(&mut again, "seed").last_zxid, target);
        let sent = sent_tree(&scene, 2);
        storage.install(&sent).expect("nothing fails");
        let written = snapshots.write(&scene.trees[&target], &mut || {}).expect("nothing fails");
        assert_eq!(written, None);
        let mut history = History { tree: sent };
        let (zxid, body) = history.next(1);
        storage.append(zxid, &body);
        storage.commit().expect("nothing fails");
        let written = snapshots.write(&history.tree, &mut || {}).expect("nothing fails");
        assert!(written.is_some(), "history goes on");
    }
}

#[test]
fn a_snapshot_that_is_being_written_survives_a_reload() {
    let scene = Scene::draw(1, 0);
    let mut storage = scene.storage();
    recover(&mut storage, "seed");
    scene.disk.put(format!("{DIR}/snapshot.77.tmp").as_ref(), b"half");
    recover(&mut storage, "reload");
    assert!(scene.disk.exists(format!("{DIR}/snapshot.77.tmp").as_ref()).expect("no fault"));
    recover(&mut scene.storage(), "start");
    assert!(!scene.disk.exists(format!("{DIR}/snapshot.77.tmp").as_ref()).expect("no fault"));
}

#[test]
fn a_dead_log_does_nothing_more() {
    let scene = Scene::draw(3, 0);
    let mut storage = scene.storage();
    recover(&mut storage, "seed");
    let fail_at = Some((scene.disk.operations() + 1, io::ErrorKind::Other));
    scene.disk.set_faults(Faults { fail_at, ..Faults::default() });
    let mut history = History { tree: scene.last().clone() };
    let (zxid, body) = history.next(1);
    storage.append(zxid, &body);
    storage.commit().expect_err("the disk fails");
    scene.disk.set_faults(Faults::default());
    let before = files(&scene.disk);
    assert!(storage.truncate(scene.pick(9)).is_err());
    assert!(storage.install(&history.tree).is_err());
    assert!(storage.write_accepted_epoch(Epoch(9)).is_err());
    assert!(storage.write_current_epoch(Epoch(9)).is_err());
    assert!(storage.recover().is_err());
    assert_eq!(files(&scene.disk), before);
}

#[test]
fn an_epoch_is_the_old_one_or_the_new_one_wherever_the_power_fails() {
    let scene = Scene::draw(1, 0);
    let last = scene.last().last_zxid();
    let old = last.epoch();
    let new = Epoch(old.0 + 10);
    assert_eq!(scene.storage().read_epochs(last).expect("they are made"), (old, old));
    let promise = |storage: &mut Storage<MemoryDisk>| storage.write_accepted_epoch(new).is_ok();
    crash_at_every_step(&scene, promise, |disk, context| {
        let epochs = storage_on(&disk, 1).read_epochs(last);
        let (accepted, current) = epochs.unwrap_or_else(|error| panic!("{context}: {error}"));
        assert!(accepted == old || accepted == new, "{context}: {accepted:?}");
        assert_eq!(current, old, "{context}");
    });
    let mut storage = scene.storage();
    storage.write_accepted_epoch(new).expect("nothing fails");
    let follow = |storage: &mut Storage<MemoryDisk>| storage.write_current_epoch(new).is_ok();
    crash_at_every_step(&scene, follow, |disk, context| {
        let epochs = storage_on(&disk, 1).read_epochs(last);
        let (accepted, current) = epochs.unwrap_or_else(|error| panic!("{context}: {error}"));
        assert_eq!(accepted, new, "{context}");
        assert!(current == old || current == new, "{context}: {current:?}");
        // Once the history reaches into the new epoch it must be that.
        let reached = new.first_zxid().next();
        let epochs = storage_on(&disk, 1).read_epochs(reached).expect("it was promised");
        assert_eq!(epochs, (new, new), "{context}");
        let again = storage_on(&disk.crash(Survival::Nothing, 0), 1).read_epochs(last);
        assert_eq!(again.expect("it was written back"), (new, new), "{context}");
    });
    storage.write_current_epoch(new).expect("nothing fails");
    let after = storage_on(&scene.disk.crash(Survival::Nothing, 0), 1);
    assert_eq!(after.read_epochs(last).expect("both are there"), (new, new));
    let text = scene.disk.contents(format!("{DIR}/currentEpoch").as_ref());
    assert_eq!(text, Some(new.0.to_string().into_bytes()));
}

#[test]
fn epoch_files_that_cannot_belong_together_are_refused() {
    let put = |disk: &MemoryDisk, name: &str, text: &str| {
        disk.put(format!("{DIR}/{name}").as_ref(), text.as_bytes());
    };
    let last = Zxid(0x5_0000_0007);
    let read = |files: &[(&str, &str)]| {
        let disk = disk_with_dir();
        files.iter().for_each(|(name, text)| put(&disk, name, text));
        let found = storage_on(&disk, 1).read_epochs(last);
        (found.map(|(accepted, current)| (accepted.0, current.0)), disk)
    };
    let good = |files: &[(&str, &str)]| read(files).0.expect("they belong together");
    let bad = |files: &[(&str, &str)]| read(files).0.expect_err("they do not belong together");
    assert_eq!(good(&[]), (5, 5));
    assert_eq!(good(&[("acceptedEpoch", "7"), ("currentEpoch", "6\n")]), (7, 6));
    assert_eq!(good(&[("acceptedEpoch", "7"), ("currentEpoch", "4")]), (7, 5), "raised");
    let begun = ("currentEpoch.tmp", "6");
    assert_eq!(good(&[("acceptedEpoch", "7"), ("currentEpoch", "4"), begun]), (7, 6), "as begun");
    for begun in ["8", "3", "", "x"] {
        let begun = ("currentEpoch.tmp", begun);
        assert_eq!(good(&[("acceptedEpoch", "7"), ("currentEpoch", "4"), begun]), (7, 5));
    }
    let begun = ("currentEpoch.tmp", "7");
    assert_eq!(good(&[("acceptedEpoch", "7"), ("currentEpoch", "6"), begun]), (7, 6), "no need");
    assert_eq!(good(&[("currentEpoch", "5")]), (5, 5));
    assert_eq!(good(&[("acceptedEpoch", "6")]), (6, 5));
    let ahead = bad(&[("acceptedEpoch", "4"), ("currentEpoch", "4")]);
    assert!(matches!(ahead, EpochError::HistoryAhead { .. }), "{ahead}");
    let behind = bad(&[("acceptedEpoch", "6"), ("currentEpoch", "7")]);
    assert!(matches!(behind, EpochError::AcceptedBehind { .. }), "{behind}");
    for text in ["", "five", "-2", "4294967296"] {
        let none = bad(&[("acceptedEpoch", text), ("currentEpoch", "5")]);
        assert!(matches!(none, EpochError::NoNumber { .. }), "{none}");
    }
    let (_, disk) = read(&[("acceptedEpoch", "4"), ("currentEpoch", "4")]);
    assert_eq!(files(&disk).len(), 2, "a refusal changes nothing");
}
