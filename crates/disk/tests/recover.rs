//! What recovery accepts, what it refuses and in which words, and that a refusal changes nothing.

mod common;

use std::path::{Path, PathBuf};

use common::{DIR, History, disk_with_dir, dump, files};
use ostler_disk::disk::{Disk, create_directories};
use ostler_disk::log::{Log, LogOptions};
use ostler_disk::memory_disk::MemoryDisk;
use ostler_disk::recover::{RecoverError, RecoverOptions, Recovered, recover};
use ostler_disk::snapshot::{SnapshotOptions, write_snapshot};
use ostler_tree::Tree;
use ostler_wire::ids::Zxid;

fn path(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

fn start(disk: &MemoryDisk) -> Result<Recovered, RecoverError> {
    recover(&disk.with_readers_beside(), DIR.as_ref(), DIR.as_ref(), &options())
}

fn options() -> RecoverOptions {
    RecoverOptions { hash_key: 1, ..RecoverOptions::default() }
}

/// The message of a refusal, which must have left every file as it was.
fn refusal(disk: &MemoryDisk) -> String {
    let (before, operations) = (files(disk), disk.operations());
    let Err(error) = start(disk) else { panic!("it was accepted") };
    assert_eq!(files(disk), before);
    assert_eq!(disk.operations(), operations, "a refusal touches nothing");
    let alone = recover(disk, DIR.as_ref(), DIR.as_ref(), &options()).map(|_| ());
    let same = alone.map_err(|alone| alone.to_string());
    assert_eq!(same, Err(error.to_string()), "by one thread as by two");
    error.to_string()
}

fn take_snapshot(disk: &MemoryDisk, tree: &Tree) -> PathBuf {
    write_snapshot(disk, DIR.as_ref(), tree, &SnapshotOptions::default()).expect("room enough")
}

/// snapshot.0, then logs of the given numbers of transactions, one file each and one commit for
/// each transaction; the trees after each transaction, the fresh one first.
fn written(disk: &MemoryDisk, counts: &[usize]) -> Vec<Tree> {
    let mut history = History::fresh();
    let mut trees = vec![history.tree.clone()];
    take_snapshot(disk, &history.tree);
    let options = LogOptions { pre_alloc_bytes: 8192, ..LogOptions::default() };
    let mut log = Log::new(disk.clone(), DIR.into(), options);
    for count in counts {
        for _ in 0..*count {
            let (zxid, body) = history.next(11 * trees.len() as u64 + 3);
            log.append(zxid, &body);
            log.commit().expect("room enough");
            trees.push(history.tree.clone());
        }
        log.roll();
    }
    trees
}

/// Where the records of a log begin, and where the last one ends.
fn offsets(disk: &MemoryDisk, name: &str) -> Vec<usize> {
    let bytes = disk.contents(&path(name)).expect("it is there");
    let mut at = 16;
    let mut offsets = vec![at];
    loop {
        let length = bytes.get(at + 8..at + 12).and_then(|length| length.try_into().ok());
        match length.map_or(0, u32::from_be_bytes) {
            0 => return offsets,
            length => at += usize::try_from(length).expect("it fits") + 13,
        }
        offsets.push(at);
    }
}

fn change(disk: &MemoryDisk, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = disk.contents(&path(name)).expect("it is there");
    change(&mut bytes);
    disk.put(&path(name), &bytes);
}

fn check_at(found: &Recovered, trees: &[Tree], zxid: usize) {
    assert_eq!(found.last_zxid.0, i64::try_from(zxid).expect("small"));
    assert_eq!(dump(&found.tree), dump(&trees[zxid]));
    assert_eq!(found.digest_mismatches, 0);
}

#[test]
fn nothing_is_a_fresh_start() {
    let found = start(&disk_with_dir()).expect("nothing is wrong with nothing");
    assert!(found.fresh);
    assert_eq!(found.last_zxid, Zxid::ZERO);
    assert_eq!(dump(&found.tree), dump(&Tree::fresh(1)));
    let found = start(&MemoryDisk::new()).expect("not even directories");
    assert!(found.fresh);
}

#[test]
fn a_snapshot_without_logs_is_enough() {
    let disk = disk_with_dir();
    let trees = written(&disk, &[5]);
    let alone = disk_with_dir();
    take_snapshot(&alone, &trees[5]);
    let found = start(&alone).expect("it is whole");
    check_at(&found, &trees, 5);
    assert!(!found.fresh);
    assert_eq!(found.snapshot, Some(Zxid(5)));
}

#[test]
fn any_flipped_bit_in_a_log_is_refused_with_file_and_byte() {
    let disk = disk_with_dir();
    written(&disk, &[12]);
    let offsets = offsets(&disk, "log.1");
    // Also in the last record: it was acknowledged like the others.
    for (index, pair) in offsets.windows(2).enumerate() {
        for place in (pair[0]..pair[0] + 60).chain(pair[1] - 9..pair[1]) {
            let damaged = disk_with_dir();
            written(&damaged, &[12]);
            change(&damaged, "log.1", |bytes| bytes[place] ^= 1 << (place % 8));
            let message = refusal(&damaged);
            let found = format!("/data/version-2/log.1 is damaged at byte {}:", pair[0]);
            assert!(message.contains(&found), "record {index}, byte {place}: {message}");
        }
    }
}

#[test]
fn damage_in_an_earlier_log_is_refused() {
    let disk = disk_with_dir();
    written(&disk, &[3, 3]);
    let last = offsets(&disk, "log.1")[2];
    change(&disk, "log.1", |bytes| bytes[last..].fill(0));
    let message = refusal(&disk);
    assert!(message.contains("log.4 holds zxid 0x4 at byte 16 right after zxid 0x2"), "{message}");
}

#[test]
fn a_torn_end_is_cut_off() {
    let disk = disk_with_dir();
    let trees = written(&disk, &[6]);
    let [.., before, end] = offsets(&disk, "log.1")[..] else { panic!("six records") };
    for cut in before + 1..end {
        let torn = disk_with_dir();
        written(&torn, &[6]);
        change(&torn, "log.1", |bytes| bytes[cut..].fill(0));
        let found = start(&torn).expect("a crash leaves this");
        check_at(&found, &trees, 5);
        // The first half of a checksum is zero anyway.
        if cut > before + 8 {
            assert_eq!(found.torn_tail, Some((path("log.1"), before as u64)));
            assert_eq!(torn.contents(&path("log.1")).map(|bytes| bytes.len()), Some(before));
        }
        assert_eq!(start(&torn).expect("it was put right").torn_tail, None);

        let short = disk_with_dir();
        written(&short, &[6]);
        change(&short, "log.1", |bytes| bytes.truncate(cut));
        check_at(&start(&short).expect("a crash leaves this"), &trees, 5);
    }
}

#[test]
fn a_sector_that_was_never_written_is_torn_and_a_zero_record_is_not() {
    let disk = disk_with_dir();
    let mut history = History::fresh();
    take_snapshot(&disk, &history.tree);
    let options = LogOptions { pre_alloc_bytes: 65_536, ..LogOptions::default() };
    let mut log = Log::new(disk.clone(), DIR.into(), options);
    // Large enough that several sectors hold no border between records.
    for _ in 0..20 {
        let (zxid, body) = history.next(3 + 16 * 3);
        log.append(zxid, &body);
    }
    log.commit().expect("room enough");
    let end = *offsets(&disk, "log.1").last().expect("records");
    let whole = files(&disk);
    for sector in (512..end - 512).step_by(512) {
        let torn = disk_with_dir();
        whole.iter().for_each(|(name, bytes)| torn.put(&path(name), bytes));
        change(&torn, "log.1", |bytes| bytes[sector..sector + 512].fill(0));
        let found = start(&torn).unwrap_or_else(|error| panic!("sector {sector}: {error}"));
        assert!(found.torn_tail.is_some(), "sector {sector}");
        assert!(found.last_zxid < Zxid(20));
    }
    change(&disk, "log.1", |bytes| bytes[1030..1040].fill(0));
    assert!(refusal(&disk).contains("log.1 is damaged at byte"), "no sector is that small");
}

#[test]
fn a_torn_end_before_later_logs_needs_the_very_successor() {
    let disk = disk_with_dir();
    let trees = written(&disk, &[3, 3]);
    // Apache's server leaves the torn bytes of zxid 4 and logs the next zxid 4 into a new file.
    let next = disk.contents(&path("log.4")).expect("it is there");
    let end = *offsets(&disk, "log.1").last().expect("records");
    change(&disk, "log.1", |bytes| bytes[end..end + 20].copy_from_slice(&next[16..36]));
    let before = files(&disk);
    check_at(&start(&disk).expect("nothing is missing"), &trees, 6);
    assert_eq!(files(&disk), before, "only the end of history is cut");

    let last = offsets(&disk, "log.1")[2];
    change(&disk, "log.1", |bytes| bytes[last + 20..].fill(0));
    let message = refusal(&disk);
    assert!(message.contains(&format!("log.1 is damaged at byte {last}:")), "{message}");
    assert!(message.contains("later logs follow"), "{message}");
}

#[test]
fn a_last_log_without_content_is_removed_and_no_other_file() {
    for content in [&b""[..], b"ZKLG", b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0", &[0; 15], &[0; 70_000]] {
        let disk = disk_with_dir();
        let trees = written(&disk, &[4]);
        disk.put(&path("log.5"), content);
        disk.put(&path("snapshot.3.tmp"), b"unfinished");
        disk.put(&path("notes.txt"), b"");
        disk.put(&path("log.6.bak"), b"");
        disk.put(&path("currentEpoch.tmp"), b"1");
        let mut expected = files(&disk);
        expected.remove("log.5");
        expected.remove("snapshot.3.tmp");
        check_at(&start(&disk).expect("a crash leaves this"), &trees, 4);
        assert_eq!(files(&disk), expected);
    }
    let disk = disk_with_dir();
    written(&disk, &[4]);
    disk.put(&path("log.5"), b"something else that is not a log at all");
    assert!(refusal(&disk).contains("log.5 is damaged at byte 0:"));
}

#[test]
fn a_last_log_that_lost_its_header_is_set_aside() {
    let disk = disk_with_dir();
    let trees = written(&disk, &[4, 6]);
    change(&disk, "log.5", |bytes| bytes[..512].fill(0));
    let content = disk.contents(&path("log.5"));
    check_at(&start(&disk).expect("a crash leaves this"), &trees, 4);
    assert_eq!(disk.contents(&path("log.5")), None);
    assert_eq!(disk.contents(&path("torn.log.5")), content);
}

#[test]
fn a_torn_end_before_a_hollow_log_is_the_end() {
    let disk = disk_with_dir();
    let trees = written(&disk, &[4]);
    let last = offsets(&disk, "log.1")[3];
    change(&disk, "log.1", |bytes| bytes[last + 20..].fill(0));
    disk.put(&path("log.5"), b"");
    let found = start(&disk).expect("a crash leaves this");
    check_at(&found, &trees, 3);
    assert_eq!(found.torn_tail, Some((path("log.1"), last as u64)));
}

#[test]
fn repeated_records_are_skipped() {
    let disk = disk_with_dir();
    let trees = written(&disk, &[6]);
    // The log of a server that was sent 3 to 6 once more.
    let repeated = offsets(&disk, "log.1");
    change(&disk, "log.1", |bytes| {
        let again = bytes[repeated[2]..repeated[6]].to_vec();
        bytes.truncate(repeated[6]);
        bytes.extend_from_slice(&again);
    });
    let found = start(&disk).expect("Apache's servers write this");
    check_at(&found, &trees, 6);
    assert_eq!(found.txns_replayed, 6);
}

#[test]
fn a_missing_transaction_is_refused() {
    let disk = disk_with_dir();
    written(&disk, &[6]);
    let cut = offsets(&disk, "log.1");
    change(&disk, "log.1", |bytes| drop(bytes.drain(cut[2]..cut[3])));
    let message = refusal(&disk);
    let found = format!("log.1 holds zxid 0x4 at byte {} right after zxid 0x2", cut[2]);
    assert!(message.contains(&found), "{message}");
}

#[test]
fn a_transaction_that_cannot_be_read_is_refused() {
    let disk = disk_with_dir();
    written(&disk, &[2]);
    let [_, second, end] = offsets(&disk, "log.1")[..] else { panic!("two records") };
    change(&disk, "log.1", |bytes| {
        // Type 99, with the right checksum.
        bytes[second + 12 + 28..second + 12 + 32].copy_from_slice(&99_i32.to_be_bytes());
        let sum = simd_adler32::adler32(&&bytes[second + 12..end - 1]);
        bytes[second..second + 8].copy_from_slice(&u64::from(sum).to_be_bytes());
    });
    let message = refusal(&disk);
    assert!(message.contains("unknown transaction type 99"), "{message}");
    assert!(message.contains(&format!("damaged at byte {second}")), "{message}");
}

#[test]
fn a_record_above_the_limit_is_refused_by_the_settings_name() {
    let disk = disk_with_dir();
    written(&disk, &[9]);
    let options = RecoverOptions { max_record_bytes: 200, ..options() };
    let before = files(&disk);
    let Err(error) = recover(&disk, DIR.as_ref(), DIR.as_ref(), &options) else {
        panic!("it was accepted");
    };
    assert!(matches!(error, RecoverError::Log(_)));
    assert!(error.to_string().contains("Raise jute.maxbuffer"), "{error}");
    assert_eq!(files(&disk), before);
}

#[test]
fn logs_without_a_snapshot_need_trust() {
    let disk = disk_with_dir();
    let trees = written(&disk, &[4]);
    let alone = disk_with_dir();
    alone.put(&path("log.1"), &disk.contents(&path("log.1")).expect("it is there"));
    let message = refusal(&alone);
    assert!(message.contains("snapshot.trust.empty"), "{message}");
    let options = RecoverOptions { trust_empty: true, ..options() };
    let found = recover(&alone, DIR.as_ref(), DIR.as_ref(), &options).expect("it is trusted");
    check_at(&found, &trees, 4);
    assert_eq!((found.snapshot, found.fresh), (None, false));
}

#[test]
fn bad_snapshots_alone_are_refused() {
    let disk = disk_with_dir();
    disk.put(&path("snapshot.0"), b"");
    disk.put(&path("snapshot.5"), b"ZKSN");
    let message = refusal(&disk);
    assert!(message.contains("none of the 2 snapshots can be used"), "{message}");
    assert!(message.contains("/data/version-2/snapshot.5"), "{message}");
}

#[test]
fn an_older_snapshot_needs_logs_up_to_the_newer_one() {
    let disk = disk_with_dir();
    let trees = written(&disk, &[4]);
    disk.put(&path("snapshot.4"), b"cut off by a crash");
    let found = start(&disk).expect("the log reaches it");
    check_at(&found, &trees, 4);
    assert_eq!(found.snapshot, Some(Zxid::ZERO));
    disk.put(&path("snapshot.7"), b"sent by a leader, then damaged");
    let message = refusal(&disk);
    assert!(message.contains("the logs end at zxid 0x4"), "{message}");
    assert!(message.contains("snapshot.7"), "{message}");
}

#[test]
fn an_older_snapshot_needs_logs_that_follow_it() {
    let disk = disk_with_dir();
    let trees = written(&disk, &[4, 4]);
    let later = disk_with_dir();
    take_snapshot(&later, &trees[0]);
    later.put(&path("log.5"), &disk.contents(&path("log.5")).expect("it is there"));
    let message = refusal(&later);
    assert!(message.contains("zxid 0x5 at byte 16 right after zxid 0x0"), "{message}");
}

#[test]
fn a_later_epoch_begins_with_its_first_transaction() {
    let disk = disk_with_dir();
    let trees = written(&disk, &[2]);
    let snapshot = disk_with_dir();
    let bytes = disk.contents(&take_snapshot(&disk, &trees[2])).expect("it was written");
    // The same znodes, known as the state at the end of epoch 1.
    snapshot.put(&path("snapshot.100000007"), &bytes);
    let log = |first: i64| {
        let mut log = Log::new(snapshot.clone(), DIR.into(), LogOptions::default());
        let mut body = History { tree: trees[2].clone() }.next(0).1;
        body[12..20].copy_from_slice(&first.to_be_bytes());
        log.append(Zxid(first), &body);
        log.commit().expect("room enough");
    };
    log(0x2_0000_0001);
    assert_eq!(start(&snapshot).expect("it follows").last_zxid, Zxid(0x2_0000_0001));
    snapshot.put(&path("log.200000001"), b"");
    log(0x2_0000_0003);
    assert!(refusal(&snapshot).contains("right after zxid 0x100000007"));
}

#[test]
fn a_snapshot_written_while_it_changed_comes_right_by_replay() {
    let disk = disk_with_dir();
    let trees = written(&disk, &[9]);
    let at_end = disk.contents(&take_snapshot(&disk, &trees[9])).expect("it was written");
    let at_seven = disk.contents(&take_snapshot(&disk, &trees[7])).expect("it was written");
    for (snapshot, mismatches) in [(at_seven, 0), (at_end, 0)] {
        // Named by the zxid at which Apache's walk began.
        let fuzzy = disk_with_dir();
        fuzzy.put(&path("snapshot.4"), &snapshot);
        fuzzy.put(&path("log.1"), &disk.contents(&path("log.1")).expect("it is there"));
        let found = start(&fuzzy).expect("Apache's servers write this");
        assert_eq!(found.snapshot, Some(Zxid(4)));
        assert_eq!(found.txns_replayed, 5);
        assert_eq!(found.digest_mismatches, mismatches);
        assert_eq!(dump(&found.tree), dump(&trees[9]));
    }
}

#[test]
fn a_wrong_digest_is_counted_and_nothing_else() {
    let disk = disk_with_dir();
    let trees = written(&disk, &[5]);
    // A snapshot of another tree under this name: every later digest is wrong.
    let wrong = disk.contents(&take_snapshot(&disk, &trees[1])).expect("it was written");
    let mixed = disk_with_dir();
    mixed.put(&path("snapshot.3"), &wrong);
    mixed.put(&path("log.1"), &disk.contents(&path("log.1")).expect("it is there"));
    let found = start(&mixed).expect("digests only report");
    assert!(found.digest_mismatches > 0);
    let options = RecoverOptions { digest_check: false, ..options() };
    let found = recover(&mixed, DIR.as_ref(), DIR.as_ref(), &options).expect("the same");
    assert_eq!(found.digest_mismatches, 0);
}

#[test]
fn logs_and_snapshots_in_each_others_directories_are_refused() {
    let (snaps, logs) = (Path::new("/snaps/version-2"), Path::new("/logs/version-2"));
    for (name, dir) in [("snapshot.0", logs), ("log.1", snaps)] {
        let disk = MemoryDisk::new();
        create_directories(&disk, snaps).expect("nothing fails");
        create_directories(&disk, logs).expect("nothing fails");
        let found = recover(&disk, snaps, logs, &options()).expect("nothing is there");
        assert!(found.fresh);
        disk.put(&dir.join(name), b"");
        let Err(error) = recover(&disk, snaps, logs, &options()) else { panic!("accepted") };
        assert!(error.to_string().contains("Check dataDir and dataLogDir"), "{error}");
    }
}

#[test]
fn the_end_of_an_epoch_cannot_be_missing_before_a_snapshot_that_is_bad() {
    let disk = disk_with_dir();
    let trees = written(&disk, &[3, 4]);
    let mut history = History { tree: trees[7].clone() };
    let newest = take_snapshot(&disk, &trees[7]);
    let mut log = Log::new(disk.clone(), DIR.into(), LogOptions::default());
    let (zxid, body) = history.next_at(Zxid(0x1_0000_0001), 5);
    log.append(zxid, &body);
    log.commit().expect("room enough");
    assert_eq!(start(&disk).expect("all is there").last_zxid, zxid);
    // With the snapshot gone bad the logs have to do, and they can.
    disk.put(&newest, b"ZKSN");
    assert_eq!(start(&disk).expect("the logs are there").last_zxid, zxid);
    // Without the second one the epochs would still follow each other.
    disk.remove(&path("log.4")).expect("it is there");
    let message = refusal(&disk);
    assert!(message.contains("right after zxid 0x3: the transactions in between"), "{message}");
}

#[test]
fn the_newest_records_come_along_as_they_were_logged() {
    let disk = disk_with_dir();
    let trees = written(&disk, &[3, 4]);
    let found = start(&disk).expect("all is there");
    let zxids: Vec<i64> = found.tail.iter().map(|(zxid, _)| zxid.0).collect();
    assert_eq!(zxids, [1, 2, 3, 4, 5, 6, 7]);
    let bytes = disk.contents(&path("log.4")).expect("it is there");
    let at = offsets(&disk, "log.4");
    assert_eq!(*found.tail[4].1, bytes[at[1] + 12..at[2] - 1]);
    // Only what follows the snapshot is known to be history.
    take_snapshot(&disk, &trees[5]);
    let zxids: Vec<i64> =
        start(&disk).expect("all is there").tail.iter().map(|(zxid, _)| zxid.0).collect();
    assert_eq!(zxids, [6, 7]);
    // And never more than is good to have in memory.
    let mut log = Log::new(disk.clone(), DIR.into(), LogOptions::default());
    let mut history = History { tree: trees[7].clone() };
    for draw in 0..6000 {
        let (zxid, body) = history.next(8 * draw + 2);
        log.append(zxid, &body);
    }
    log.commit().expect("room enough");
    let tail = start(&disk).expect("all is there").tail;
    assert_eq!(tail.len(), 5000);
    assert_eq!(tail.last().expect("there are many").0, Zxid(6007));
    assert!(tail.is_sorted_by(|(a, _), (b, _)| a.next() == *b));
}
