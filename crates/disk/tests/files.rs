//! File names and sizes, purging, the lock, epoch files; on a real disk where that matters.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{DIR, History, disk_with_dir, files};
use ostler_disk::dir_lock::{DirLock, LockError};
use ostler_disk::disk::create_directories;
use ostler_disk::epochs::{EpochFiles, read_epochs};
use ostler_disk::log::{Log, LogOptions};
use ostler_disk::memory_disk::MemoryDisk;
use ostler_disk::purge::purge;
use ostler_disk::real_disk::RealDisk;
use ostler_disk::recover::{RecoverOptions, recover};
use ostler_disk::snapshot::{SnapshotOptions, write_snapshot};
use ostler_wire::ids::{Epoch, Zxid};

/// A directory of the real disk that is removed in the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("ostler-disk-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).expect("a scratch directory");
        Self(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn names(disk: &MemoryDisk) -> Vec<String> {
    files(disk).into_keys().collect()
}

fn length(disk: &MemoryDisk, name: &str) -> u64 {
    disk.contents(&Path::new(DIR).join(name)).expect("it is there").len() as u64
}

fn append(log: &mut Log<MemoryDisk>, zxid: i64, length: usize) {
    let mut body = vec![0; 12];
    body.extend_from_slice(&zxid.to_be_bytes());
    body.resize(length, 1);
    log.append(Zxid(zxid), &body);
    log.commit().expect("room enough");
}

#[test]
fn logs_grow_as_apaches_do() {
    let disk = disk_with_dir();
    let options = LogOptions { pre_alloc_bytes: 65_536, ..LogOptions::default() };
    let mut log = Log::new(disk.clone(), DIR.into(), options);
    assert_eq!(names(&disk), Vec::<String>::new(), "nothing before the first commit");
    append(&mut log, 0x1_0000_000a, 100);
    assert_eq!(length(&disk, "log.10000000a"), 65_552);
    assert_eq!(log.size_bytes(), 65_552);
    // Up to 4096 bytes before the end nothing happens, then the next step is taken.
    append(&mut log, 0x1_0000_000b, 61_000);
    assert_eq!(length(&disk, "log.10000000a"), 65_552);
    append(&mut log, 0x1_0000_000c, 400);
    assert_eq!(length(&disk, "log.10000000a"), 131_088);
    log.roll();
    assert_eq!(log.size_bytes(), 0);
    append(&mut log, 0x1_0000_000d, 100);
    assert_eq!(names(&disk), ["log.10000000a", "log.10000000d"]);
}

#[test]
fn without_preallocation_a_log_is_what_was_written() {
    let disk = disk_with_dir();
    let options = LogOptions { pre_alloc_bytes: 0, ..LogOptions::default() };
    let mut log = Log::new(disk.clone(), DIR.into(), options);
    append(&mut log, 1, 100);
    append(&mut log, 2, 50);
    assert_eq!(length(&disk, "log.1"), 16 + 113 + 63);
}

#[test]
fn a_size_limit_leaves_the_file_for_a_new_one() {
    let disk = disk_with_dir();
    let options =
        LogOptions { pre_alloc_bytes: 0, size_limit_bytes: Some(200), ..LogOptions::default() };
    let mut log = Log::new(disk.clone(), DIR.into(), options);
    (1..=5).for_each(|zxid| append(&mut log, zxid, 90));
    assert_eq!(names(&disk), ["log.1", "log.3", "log.5"]);
    assert_eq!(log.size_bytes(), 3 * 16 + 5 * 103, "files left for their size still count");
}

#[test]
fn a_log_never_replaces_one_that_holds_anything() {
    let disk = disk_with_dir();
    let options = LogOptions { pre_alloc_bytes: 4096, ..LogOptions::default() };
    append(&mut Log::new(disk.clone(), DIR.into(), options.clone()), 1, 100);
    let before = files(&disk);
    let mut log = Log::new(disk.clone(), DIR.into(), options);
    log.append(Zxid(1), &[0; 40]);
    let error = log.commit().expect_err("log.1 is there");
    assert!(error.to_string().contains("log.1 holds transactions"), "{error}");
    assert_eq!(files(&disk), before);
}

#[test]
fn a_batch_larger_than_a_torn_write_may_be_is_written_in_pieces() {
    let disk = disk_with_dir();
    let options = LogOptions { pre_alloc_bytes: 1 << 20, ..LogOptions::default() };
    let mut log = Log::new(disk.clone(), DIR.into(), options);
    for zxid in 1..=10_i64 {
        let mut body = vec![0; 12];
        body.extend_from_slice(&zxid.to_be_bytes());
        body.resize(1_000_000, 7);
        log.append(Zxid(zxid), &body);
    }
    let before = disk.operations();
    log.commit().expect("room enough");
    // Create, three writes that each extend and sync, and the directory.
    assert_eq!(disk.operations() - before, 1 + 3 * 3 + 1);
    let mut reader =
        ostler_disk::log_reader::LogReader::open(&disk, &Path::new(DIR).join("log.1"), 1 << 20)
            .expect("it is there");
    let mut count = 0;
    while let ostler_disk::log_reader::Step::Record(record) = reader.next().expect("it is good") {
        count += 1;
        assert_eq!(record.zxid, Zxid(count));
    }
    assert_eq!(count, 10);
}

/// Snapshots at 4, 9, 14 and 19; logs that begin at 1, 7, 13 and 19, not where snapshots end.
fn many_files() -> MemoryDisk {
    let disk = disk_with_dir();
    let mut history = History::fresh();
    let options = LogOptions { pre_alloc_bytes: 4096, ..LogOptions::default() };
    let mut log = Log::new(disk.clone(), DIR.into(), options);
    for zxid in 1..=22 {
        let (next, body) = history.next(zxid * 5);
        log.append(next, &body);
        log.commit().expect("room enough");
        if zxid % 6 == 0 {
            log.roll();
        }
        if zxid % 5 == 4 {
            write_snapshot(&disk, DIR.as_ref(), &history.tree, &SnapshotOptions::default())
                .expect("room enough");
        }
    }
    disk
}

#[test]
fn purging_keeps_snapshots_and_the_logs_that_follow_them() {
    let disk = many_files();
    disk.put(&Path::new(DIR).join("snapshot.1.tmp"), b"being written");
    let removed = purge(&disk, DIR.as_ref(), DIR.as_ref(), 3).expect("nothing fails");
    // log.7 holds 10, which follows the oldest snapshot that is kept.
    assert_eq!(removed.len(), 2);
    assert_eq!(
        names(&disk),
        ["log.13", "log.7", "log.d", "snapshot.1.tmp", "snapshot.13", "snapshot.9", "snapshot.e"]
    );
    assert_eq!(
        purge(&disk, DIR.as_ref(), DIR.as_ref(), 3).expect("nothing fails"),
        [""; 0].map(PathBuf::from)
    );
    let options = RecoverOptions { hash_key: 1, ..RecoverOptions::default() };
    let found = recover(&disk, DIR.as_ref(), DIR.as_ref(), &options).expect("it is all there");
    assert_eq!(found.last_zxid, Zxid(22));
    // The oldest kept snapshot alone is enough, which is what it is kept for.
    for name in ["snapshot.13", "snapshot.e"] {
        disk.put(&Path::new(DIR).join(name), b"damaged");
    }
    let found = recover(&disk, DIR.as_ref(), DIR.as_ref(), &options).expect("it is all there");
    assert_eq!((found.snapshot, found.last_zxid), (Some(Zxid(9)), Zxid(22)));
}

#[test]
fn purging_counts_only_good_snapshots() {
    let disk = many_files();
    let path = Path::new(DIR).join("snapshot.e");
    disk.put(&path, b"");
    let removed = purge(&disk, DIR.as_ref(), DIR.as_ref(), 3).expect("nothing fails");
    assert!(removed.is_empty(), "only three are good: {removed:?}");

    let disk = many_files();
    let path = Path::new(DIR).join("snapshot.9");
    let mut bytes = disk.contents(&path).expect("it is there");
    bytes[100] ^= 1;
    disk.put(&path, &bytes);
    let removed = purge(&disk, DIR.as_ref(), DIR.as_ref(), 3).expect("nothing fails");
    assert!(removed.is_empty(), "the third looks good but is not: {removed:?}");

    let disk = disk_with_dir();
    disk.put(&Path::new(DIR).join("snapshot.5"), b"");
    disk.put(&Path::new(DIR).join("log.1"), b"");
    let removed = purge(&disk, DIR.as_ref(), DIR.as_ref(), 3).expect("nothing fails");
    assert!(removed.is_empty(), "without a good snapshot nothing goes");
}

#[test]
fn epoch_files_are_read_as_far_as_they_make_sense() {
    let disk = disk_with_dir();
    let read = |disk: &MemoryDisk| read_epochs(disk, DIR.as_ref()).expect("they can be read");
    assert_eq!(read(&disk), EpochFiles::default());
    disk.put(&Path::new(DIR).join("acceptedEpoch"), b"12");
    disk.put(&Path::new(DIR).join("currentEpoch"), b"11\nmore");
    assert_eq!(read(&disk), EpochFiles { accepted: Some(Epoch(12)), current: Some(Epoch(11)) });
    disk.put(&Path::new(DIR).join("currentEpoch"), b"eleven");
    assert_eq!(read(&disk), EpochFiles { accepted: Some(Epoch(12)), current: None });
}

#[test]
fn a_directory_has_one_owner_at_a_time() {
    let scratch = Scratch::new("lock");
    let lock = DirLock::acquire(&scratch.0).expect("nobody has it");
    match DirLock::acquire(&scratch.0) {
        Err(error @ LockError::InUse { owner, .. }) => {
            assert_eq!(owner, Some(std::process::id()));
            assert!(error.to_string().contains("is in use by another server, process"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    drop(lock);
    DirLock::acquire(&scratch.0).expect("it was given up");
    assert!(matches!(DirLock::acquire(&scratch.0.join("missing")), Err(LockError::Refused { .. })));
}

#[test]
fn the_real_disk_keeps_a_history() {
    let scratch = Scratch::new("history");
    let dir = scratch.0.join("data/version-2");
    create_directories(&RealDisk, &dir).expect("a new directory");
    create_directories(&RealDisk, &dir).expect("it is there already");
    let options = RecoverOptions { hash_key: 1, ..RecoverOptions::default() };
    let mut history = History::fresh();
    for round in 0..4 {
        let found = recover(&RealDisk, &dir, &dir, &options).expect("all is well");
        assert_eq!(found.tree.digest(), history.tree.digest(), "round {round}");
        assert_eq!(found.fresh, round == 0);
        if found.fresh {
            write_snapshot(&RealDisk, &dir, &found.tree, &SnapshotOptions::default())
                .expect("room enough");
        }
        let mut log = Log::new(RealDisk, dir.clone(), LogOptions::default());
        for seed in 0..50 {
            let (zxid, body) = history.next(seed);
            log.append(zxid, &body);
            if seed % 7 == 0 {
                log.commit().expect("room enough");
            }
        }
        log.commit().expect("room enough");
        if round == 2 {
            write_snapshot(&RealDisk, &dir, &history.tree, &SnapshotOptions::default())
                .expect("room enough");
        }
        assert_eq!(
            fs::metadata(dir.join(format!("log.{:x}", round * 50 + 1))).expect("a log").len(),
            (64 << 20) + 16
        );
    }
    let removed = purge(&RealDisk, &dir, &dir, 1).expect("nothing fails");
    assert_eq!(removed.len(), 3, "{removed:?}");
    let found = recover(&RealDisk, &dir, &dir, &options).expect("all is well");
    assert_eq!((found.last_zxid, found.snapshot), (Zxid(200), Some(Zxid(150))));
    assert_eq!(found.tree.digest(), history.tree.digest());
}
