//! Data directories that Apache ZooKeeper 3.9.5 wrote and was killed on, against the dump that
//! Apache's own classes made of them.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{DIR, dump, files};

use ostler_disk::compress::Compression;
use ostler_disk::log_reader::{LogReader, Step};
use ostler_disk::memory_disk::MemoryDisk;
use ostler_disk::names::parse_snapshot_name;
use ostler_disk::recover::{RecoverOptions, Recovered, recover};
use ostler_disk::snapshot::{SnapshotOptions, write_snapshot};
use ostler_disk::snapshot_reader::{load_snapshot, verify_snapshot};
use ostler_wire::ids::Zxid;
use ostler_wire::txn::TxnRecord;

const FORMATS: [&str; 3] = ["plain", "gzip", "snappy"];

fn golden(format: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format)
}

/// The files of a golden directory that `keep` wants, on a disk of their own.
fn disk_with(format: &str, keep: impl Fn(&str) -> bool) -> MemoryDisk {
    let disk = common::disk_with_dir();
    for entry in fs::read_dir(golden(format).join("version-2")).expect("the golden files") {
        let entry = entry.expect("a golden file");
        let name = entry.file_name().into_string().expect("a plain name");
        if keep(&name) {
            let contents = fs::read(entry.path()).expect("a golden file");
            disk.put(&Path::new(DIR).join(name), &contents);
        }
    }
    disk
}

fn recovered(disk: &MemoryDisk) -> Recovered {
    recover(disk, DIR.as_ref(), DIR.as_ref(), &RecoverOptions::default()).expect("Apache loads it")
}

fn expected(format: &str) -> Vec<String> {
    let text = fs::read_to_string(golden(format).join("expected.txt")).expect("the expectation");
    text.lines().map(str::to_owned).collect()
}

#[test]
fn recovers_what_apache_recovers() {
    for format in FORMATS {
        let disk = disk_with(format, |_| true);
        let recovered = recovered(&disk);
        assert_eq!(dump(&recovered.tree), expected(format), "{format}");
        assert_eq!(recovered.digest_mismatches, 0, "{format}");
        assert_eq!(recovered.snapshot, Some(Zxid(0x3b)), "{format}");
        assert_eq!(recovered.last_zxid, Zxid(0x5d), "{format}");
        assert_eq!(recovered.torn_tail, None, "{format}");
        assert!(!recovered.fresh);
    }
}

#[test]
fn the_first_snapshot_and_all_logs_give_the_same() {
    let disk = disk_with("plain", |name| name != "snapshot.3b");
    let recovered = recovered(&disk);
    assert_eq!(recovered.snapshot, Some(Zxid(0)));
    assert_eq!(recovered.txns_replayed, 0x5d);
    assert_eq!(recovered.digest_mismatches, 0);
    assert_eq!(dump(&recovered.tree), expected("plain"));
}

#[test]
fn a_damaged_snapshot_gives_way_to_the_one_before() {
    let disk = disk_with("plain", |_| true);
    let path = Path::new(DIR).join("snapshot.3b");
    let mut contents = disk.contents(&path).expect("it is there");
    let middle = contents.len() / 2;
    contents[middle] ^= 0x10;
    disk.put(&path, &contents);
    let recovered = recovered(&disk);
    assert_eq!(recovered.snapshot, Some(Zxid(0)));
    assert_eq!(dump(&recovered.tree), expected("plain"));
}

#[test]
fn recovery_leaves_clean_files_alone() {
    for format in FORMATS {
        let disk = disk_with(format, |_| true);
        let before = files(&disk);
        recovered(&disk);
        assert_eq!(files(&disk), before, "{format}");
    }
}

#[test]
fn every_record_is_encoded_again_as_apache_did() {
    let disk = disk_with("plain", |name| name.starts_with("log."));
    let mut records = 0;
    for name in ["log.1", "log.3d"] {
        let mut reader =
            LogReader::open(&disk, &Path::new(DIR).join(name), 1 << 20).expect("a log");
        while let Step::Record(record) = reader.next().expect("a sound log") {
            let mut again = Vec::new();
            TxnRecord::decode(record.body).expect("a transaction").encode(&mut again);
            assert_eq!(again, record.body, "zxid {}", record.zxid);
            records += 1;
        }
    }
    assert_eq!(records, 0x5d);
}

#[test]
fn what_is_written_again_loads_the_same() {
    let tree = recovered(&disk_with("plain", |_| true)).tree;
    for (compression, name) in [
        (Compression::None, "snapshot.5d"),
        (Compression::Gzip, "snapshot.5d.gz"),
        (Compression::Snappy, "snapshot.5d.snappy"),
    ] {
        let disk = common::disk_with_dir();
        let options = SnapshotOptions { compression, ..SnapshotOptions::default() };
        let path = write_snapshot(&disk, DIR.as_ref(), &tree, &options).expect("room enough");
        assert_eq!(path, Path::new(DIR).join(name));
        verify_snapshot(&disk, &path).expect("its seals are right");
        let loaded = load_snapshot(&disk, &path, 7).expect("its seals are right");
        assert_eq!(dump(&loaded.tree), expected("plain"));
        assert_eq!(loaded.digest.map(|digest| digest.zxid), Some(Zxid(0x5d)));
        assert_eq!(loaded.last_zxid, Some(Zxid(0x5d)));
    }
}

#[test]
fn the_plain_snapshot_differs_from_apaches_only_in_the_order_of_znodes() {
    let disk = disk_with("plain", |_| true);
    let apaches = Path::new(DIR).join("snapshot.3b");
    let loaded = load_snapshot(&disk, &apaches, 7).expect("a golden file");
    assert!(parse_snapshot_name("snapshot.3b").is_some());
    let before = disk.contents(&apaches).expect("it is there");
    let options = SnapshotOptions::default();
    write_snapshot(&disk, DIR.as_ref(), &loaded.tree, &options).expect("room enough");
    let after = disk.contents(&apaches).expect("it was replaced");
    assert_eq!(after.len(), before.len());
    assert_eq!(after[..16], before[..16]);
}

#[test]
fn snapshots_without_the_later_parts_load() {
    let tree = recovered(&disk_with("plain", |_| true)).tree;
    for (digest, last_zxid_trailer) in [(false, false), (true, false), (false, true)] {
        let disk = common::disk_with_dir();
        let options = SnapshotOptions { digest, last_zxid_trailer, ..SnapshotOptions::default() };
        let path = write_snapshot(&disk, DIR.as_ref(), &tree, &options).expect("room enough");
        let loaded = load_snapshot(&disk, &path, 7).expect("older versions wrote these");
        assert_eq!(loaded.digest.is_some(), digest);
        assert_eq!(loaded.last_zxid.is_some(), last_zxid_trailer);
        assert_eq!(dump(&loaded.tree), expected("plain"));
    }
}
