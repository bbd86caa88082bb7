//! Measures this crate on a real disk:
//! `cargo run --release -p ostler-disk --example measure DIR [PART]`.
//!
//! Prints what a commit costs for batches of several sizes with and without preallocation and
//! zeros ahead (`commits`), the time to write, verify and load a snapshot of a million znodes of
//! 100 bytes (`snapshots`), what commits cost while a snapshot is being written (`beside`), and
//! the time to replay a log (`replay`). Without a part it does all of it.

#![allow(clippy::print_stdout)]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use ostler_disk::compress::Compression;
use ostler_disk::log::{Log, LogOptions};
use ostler_disk::real_disk::RealDisk;
use ostler_disk::recover::{RecoverOptions, recover};
use ostler_disk::snapshot::{SnapshotOptions, write_snapshot};
use ostler_disk::snapshot_reader::{load_snapshot, verify_snapshot};
use ostler_tree::{Builder, Tree};
use ostler_wire::acl::Acl;
use ostler_wire::ids::{SessionId, WallMs, Xid, Zxid};
use ostler_wire::stat::StatPersisted;
use ostler_wire::txn::{Txn, TxnHeader, TxnRecord};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn Error>> {
    let dir =
        env::args().nth(1).map_or_else(|| env::temp_dir().join("ostler-measure"), PathBuf::from);
    fs::create_dir_all(&dir)?;
    let part = env::args().nth(2);
    let wants = |name| part.as_deref().is_none_or(|part| part == name);
    if wants("commits") {
        commits(&dir)?;
    }
    if wants("snapshots") {
        snapshots(&dir, &million())?;
    }
    if wants("beside") {
        commits_beside_a_snapshot(&dir, &million())?;
    }
    if wants("replay") {
        replay(&dir)?;
    }
    fs::remove_dir_all(&dir)?;
    Ok(())
}

fn commits(dir: &Path) -> Result<(), Box<dyn Error>> {
    println!("commits of 250-byte transactions, in µs");
    let default = LogOptions::default();
    let ways = [
        ("nothing ahead", LogOptions { pre_alloc_bytes: 0, ..default.clone() }),
        ("length only", LogOptions { zero_ahead_bytes: 0, ..default.clone() }),
        ("zeros 256 KiB", LogOptions { zero_ahead_bytes: 256 << 10, ..default.clone() }),
        ("zeros 1 MiB", default.clone()),
        ("zeros 4 MiB", LogOptions { zero_ahead_bytes: 4 << 20, ..default.clone() }),
        ("zeros 64 MiB", LogOptions { zero_ahead_bytes: 64 << 20, ..default }),
    ];
    for (batch, count) in [(1, 8000), (10, 4000), (100, 2000), (1000, 400)] {
        for (name, options) in &ways {
            let mut log = Log::new(RealDisk, dir.to_owned(), options.clone());
            let mut zxid = Zxid(1);
            let times = time_commits(&mut log, &mut zxid, batch, |done| done < count);
            report(&format!("{name:14} batch {batch:4}"), times);
            clear(dir)?;
        }
    }
    Ok(())
}

fn time_commits(
    log: &mut Log<RealDisk>,
    zxid: &mut Zxid,
    batch: usize,
    more: impl Fn(usize) -> bool,
) -> Vec<Duration> {
    let mut times = Vec::new();
    while more(times.len()) {
        for _ in 0..batch {
            log.append(*zxid, &body(*zxid));
            *zxid = zxid.next();
        }
        let start = Instant::now();
        log.commit().expect("the disk is all right");
        times.push(start.elapsed());
    }
    times
}

fn report(what: &str, mut times: Vec<Duration>) {
    let total: Duration = times.iter().sum();
    times.sort();
    let at = |part: usize| times.get(times.len() * part / 1000).or_else(|| times.last());
    let micros = |time: Option<&Duration>| time.map_or(0, Duration::as_micros);
    println!(
        "{what}: mean {:5} p50 {:5} p99 {:5} p99.9 {:6} max {:6}",
        total.as_micros() / times.len().max(1) as u128,
        micros(at(500)),
        micros(at(990)),
        micros(at(999)),
        micros(times.last())
    );
}

fn snapshots(dir: &Path, tree: &Tree) -> Result<(), Box<dyn Error>> {
    println!("snapshots of {} znodes", tree.node_count());
    for compression in [Compression::None, Compression::Gzip, Compression::Snappy] {
        let options = SnapshotOptions { compression, ..SnapshotOptions::default() };
        let start = Instant::now();
        let path = write_snapshot(&RealDisk, dir, tree, &options)?;
        let written = start.elapsed();
        let start = Instant::now();
        verify_snapshot(&RealDisk, &path)?;
        let verified = start.elapsed();
        let start = Instant::now();
        // Another key than it was written with, as after a start: children come in no order.
        let loaded = load_snapshot(&RealDisk, &path, 2)?;
        let took = start.elapsed();
        assert_eq!(loaded.tree.digest(), tree.digest());
        let megabytes = fs::metadata(&path)?.len() >> 20;
        println!(
            "{compression:?}: {megabytes} MiB, write {written:.2?}, verify {verified:.2?}, \
             load {took:.2?}"
        );
        clear(dir)?;
    }
    Ok(())
}

fn commits_beside_a_snapshot(dir: &Path, tree: &Tree) -> Result<(), Box<dyn Error>> {
    println!("commits of 10 transactions, in µs");
    let mut log = Log::new(RealDisk, dir.to_owned(), LogOptions::default());
    let mut zxid = Zxid(1);
    report("alone            ", time_commits(&mut log, &mut zxid, 10, |done| done < 20_000));
    let (tree, is_over) = (tree.clone(), AtomicBool::new(false));
    let times = thread::scope(|scope| {
        scope.spawn(|| {
            write_snapshot(&RealDisk, dir, &tree, &SnapshotOptions::default()).expect("room");
            is_over.store(true, Ordering::Relaxed);
        });
        time_commits(&mut log, &mut zxid, 10, |_| !is_over.load(Ordering::Relaxed))
    });
    report("beside a snapshot", times);
    clear(dir)
}

fn replay(dir: &Path) -> Result<(), Box<dyn Error>> {
    write_snapshot(&RealDisk, dir, &Tree::fresh(1), &SnapshotOptions::default())?;
    let mut log = Log::new(RealDisk, dir.to_owned(), LogOptions::default());
    let mut zxid = Zxid(1);
    time_commits(&mut log, &mut zxid, 1000, |done| done < 200);
    let start = Instant::now();
    let found = recover(&RealDisk, dir, dir, &RecoverOptions::default())?;
    println!("replay of {} transactions: {:.2?}", found.txns_replayed, start.elapsed());
    clear(dir)
}

fn clear(dir: &Path) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(dir)? {
        fs::remove_file(entry?.path())?;
    }
    Ok(())
}

/// A setData, 250 bytes with its frame.
fn body(zxid: Zxid) -> Vec<u8> {
    let header = TxnHeader { session: SessionId(1), cxid: Xid(1), zxid, time: WallMs(1) };
    let (path, data) = ("/bench/node-000001".into(), Some(&[7; 175][..]));
    let txn = Txn::SetData { path, data, version: 1, reconfig: false };
    let mut out = Vec::new();
    TxnRecord { header, txn, digest: None }.encode(&mut out);
    out
}

fn million() -> Tree {
    let mut builder = Builder::new(1);
    let stat = StatPersisted::default();
    builder.acl(1, Acl::open());
    builder.node("", Some(&[]), -1, &stat).expect("the root needs no parent");
    for parent in 0..1000 {
        let parent = format!("/directory-{parent:04}");
        builder.node(&parent, None, 1, &stat).expect("the root is there");
        for child in 0..1000 {
            let path = format!("{parent}/node-{child:06}");
            let stat = StatPersisted { czxid: Zxid(child + 1), ..stat };
            builder.node(&path, Some(&[b'x'; 100]), 1, &stat).expect("its parent is there");
        }
    }
    builder.finish(Zxid(1_001_000))
}
