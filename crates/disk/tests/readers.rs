//! Readers against bytes that nobody wrote: they end in an error or an end, never in a panic.

mod common;

use std::path::{Path, PathBuf};

use common::{DIR, disk_with_dir, dump};
use ostler_disk::compress::Compression;
use ostler_disk::log::{Log, LogOptions};
use ostler_disk::log_reader::{LogReader, Step};
use ostler_disk::memory_disk::{Faults, MemoryDisk};
use ostler_disk::recover::{RecoverOptions, recover};
use ostler_disk::snapshot::{SnapshotOptions, write_snapshot};
use ostler_disk::snapshot_reader::{load_snapshot, looks_complete, verify_snapshot};
use ostler_tree::Tree;
use ostler_wire::ids::Zxid;
use proptest::collection::vec;
use proptest::prelude::*;

const MAX_RECORD_BYTES: usize = 1 << 20;

fn path(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

/// The zxids and bodies of a log up to its end; whether the end was a good one.
fn read_all(disk: &MemoryDisk, path: &Path) -> (Vec<(Zxid, Vec<u8>)>, bool) {
    let mut reader = LogReader::open(disk, path, MAX_RECORD_BYTES).expect("it can be opened");
    let mut records = Vec::new();
    loop {
        match reader.next() {
            Ok(Step::Record(record)) => records.push((record.zxid, record.body.to_vec())),
            Ok(Step::End { .. }) => return (records, true),
            Err(_) => return (records, false),
        }
    }
}

/// Reads the file in every way there is.
fn read_in_every_way(disk: &MemoryDisk, name: &str) {
    let path = path(name);
    if name.starts_with("log.") {
        read_all(disk, &path);
    } else {
        // The same bytes are good or bad to both.
        assert_eq!(verify_snapshot(disk, &path).is_ok(), load_snapshot(disk, &path, 1).is_ok());
        looks_complete(disk, &path).expect("it can be read");
    }
    let _ = recover(disk, DIR.as_ref(), DIR.as_ref(), &RecoverOptions::default());
}

/// A body with this zxid and some bytes behind the 20 that hold it.
fn body(zxid: i64, more: &[u8]) -> Vec<u8> {
    let mut body = vec![0; 12];
    body.extend_from_slice(&zxid.to_be_bytes());
    body.extend_from_slice(more);
    body
}

/// A file of each kind, with something in it.
fn sample(name: &str) -> Vec<u8> {
    let disk = disk_with_dir();
    let mut history = common::History::fresh();
    if name.starts_with("log.") {
        let options = LogOptions { pre_alloc_bytes: 4096, ..LogOptions::default() };
        let mut log = Log::new(disk.clone(), DIR.into(), options);
        for seed in 0..20 {
            let (zxid, body) = history.next(seed);
            log.append(zxid, &body);
        }
        log.commit().expect("room enough");
        return disk.contents(&path("log.1")).expect("it was written");
    }
    (0..30).for_each(|seed| drop(history.next(seed)));
    let compression = match name {
        "snapshot.1e.gz" => Compression::Gzip,
        "snapshot.1e.snappy" => Compression::Snappy,
        _ => Compression::None,
    };
    let options = SnapshotOptions { compression, ..SnapshotOptions::default() };
    let path = write_snapshot(&disk, DIR.as_ref(), &history.tree, &options).expect("room enough");
    disk.contents(&path).expect("it was written")
}

const NAMES: [&str; 4] = ["log.1", "snapshot.1e", "snapshot.1e.gz", "snapshot.1e.snappy"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_appended_is_what_is_read(
        batches in vec(vec(vec(any::<u8>(), 0..3000), 1..5), 1..6),
        pre_alloc_bytes in prop::sample::select(vec![0_u64, 1, 4096, 65_536]),
        zero_ahead_bytes in prop::sample::select(vec![0_u64, 1, 5000]),
        short_reads in any::<bool>(),
    ) {
        let disk = disk_with_dir();
        let options = LogOptions { pre_alloc_bytes, zero_ahead_bytes, ..LogOptions::default() };
        let mut log = Log::new(disk.clone(), DIR.into(), options);
        let mut expected = Vec::new();
        for batch in &batches {
            for more in batch {
                let zxid = 1 + expected.len() as i64;
                log.append(Zxid(zxid), &body(zxid, more));
                expected.push((Zxid(zxid), body(zxid, more)));
            }
            log.commit().expect("room enough");
        }
        disk.set_faults(Faults { short_reads, ..Faults::default() });
        prop_assert_eq!(read_all(&disk, &path("log.1")), (expected, true));
    }

    #[test]
    fn random_bytes_are_no_file(
        name in prop::sample::select(&NAMES[..]),
        bytes in vec(any::<u8>(), 0..600),
    ) {
        let disk = disk_with_dir();
        disk.put(&path(name), &bytes);
        read_in_every_way(&disk, name);
    }

    #[test]
    fn random_bytes_behind_a_good_header(
        name in prop::sample::select(&NAMES[..]),
        bytes in vec(any::<u8>(), 0..600),
    ) {
        let disk = disk_with_dir();
        let header = sample(name).into_iter().take(16);
        disk.put(&path(name), &header.chain(bytes).collect::<Vec<u8>>());
        read_in_every_way(&disk, name);
    }

    #[test]
    fn changed_bytes_are_read_or_refused(
        name in prop::sample::select(&NAMES[..]),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let disk = disk_with_dir();
        let mut bytes = sample(name);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        disk.put(&path(name), &bytes);
        read_in_every_way(&disk, name);
    }
}

#[test]
fn a_snapshot_with_any_byte_changed_or_cut_off_is_refused() {
    for name in ["snapshot.1e", "snapshot.1e.snappy"] {
        let good = sample(name);
        let disk = disk_with_dir();
        disk.put(&path(name), &good);
        let expected = dump(&load_snapshot(&disk, &path(name), 1).expect("it is good").tree);
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 0x20;
            disk.put(&path(name), &bytes);
            match load_snapshot(&disk, &path(name), 1) {
                Err(_) => {}
                Ok(_) if name == "snapshot.1e" => panic!("byte {at} was changed"),
                // Of a compressed file some bytes do not matter, or say the same in another way.
                Ok(loaded) => assert_eq!(dump(&loaded.tree), expected, "byte {at}"),
            }
        }
        let ends: Vec<_> = (0..good.len())
            .filter(|end| {
                disk.put(&path(name), &good[..*end]);
                load_snapshot(&disk, &path(name), 1).is_ok()
            })
            .collect();
        // What remains without the last zxid, and without the digest, is what older servers wrote.
        let expected =
            if name == "snapshot.1e" { vec![good.len() - 54, good.len() - 21] } else { vec![] };
        assert_eq!(ends, expected, "{name}");
    }
}

#[test]
fn lengths_that_lie_take_no_memory() {
    let huge = i32::MAX.to_be_bytes();
    let disk = disk_with_dir();
    // A path, a data length and a count that claim 2 GiB.
    let header = &sample("snapshot.1e")[..16];
    let empty_tables = [header, &[0; 8]].concat();
    for tail in [
        &huge[..],
        &[&[0; 4], &huge[..]].concat(),
        &[&[0, 0, 0, 2, b'/', b'a'], &huge[..]].concat(),
    ] {
        for start in [header, &empty_tables] {
            disk.put(&path("snapshot.1"), &[start, tail].concat());
            assert!(load_snapshot(&disk, &path("snapshot.1"), 1).is_err());
        }
    }
    let log = [&sample("log.1")[..16], &[0; 8], &huge, &[1; 100]].concat();
    disk.put(&path("log.1"), &log);
    let (records, is_good) = read_all(&disk, &path("log.1"));
    assert!(records.is_empty() && !is_good);
}

#[test]
fn short_reads_change_nothing() {
    for name in NAMES {
        let disk = disk_with_dir();
        disk.put(&path(name), &sample(name));
        disk.set_faults(Faults { short_reads: true, ..Faults::default() });
        if name == "log.1" {
            assert_eq!(read_all(&disk, &path(name)).0.len(), 20);
        } else {
            let loaded = load_snapshot(&disk, &path(name), 1).expect("it is good");
            let mut history = common::History::fresh();
            (0..30).for_each(|seed| drop(history.next(seed)));
            assert_eq!(dump(&loaded.tree), dump(&history.tree));
        }
    }
}

#[test]
fn the_smallest_snapshot_is_that_of_the_fresh_tree() {
    let disk = disk_with_dir();
    let path = write_snapshot(&disk, DIR.as_ref(), &Tree::fresh(1), &SnapshotOptions::default())
        .expect("room enough");
    let loaded = load_snapshot(&disk, &path, 1).expect("it is good");
    assert_eq!(dump(&loaded.tree), dump(&Tree::fresh(1)));
    let digest = loaded.digest.expect("it has one").digest;
    assert_eq!(digest.tree_digest, 0, "there was no transaction yet");
}
