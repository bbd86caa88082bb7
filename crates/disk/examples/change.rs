//! Changes a data directory in the ways in which a server of an ensemble does:
//! `cargo run -p ostler-disk --example change DIR truncate ZXID`, or `DIR install FROM`.
//!
//! `truncate` ends the history at a zxid (hexadecimal); `install` puts the tree that is in the
//! directory FROM in the place of everything in DIR, through the stream that a leader sends. Both
//! are directories that hold snapshots and logs. Then, or with DIR alone, it prints what recovery
//! finds. No server may be using them.

#![allow(clippy::print_stdout)]

use std::env;
use std::error::Error;
use std::path::PathBuf;

use ostler_disk::real_disk::RealDisk;
use ostler_disk::storage::{Storage, StorageOptions};
use ostler_disk::stream::{read_stream, write_stream};
use ostler_wire::ids::Zxid;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (dir, change) = arguments.split_first().ok_or("which directory?")?;
    let mut storage = open(dir);
    storage.recover()?;
    match change {
        [] => {}
        ["truncate", zxid] => storage.truncate(Zxid(i64::from_str_radix(zxid, 16)?))?,
        ["install", from] => {
            let sent = open(from).recover()?;
            let mut stream = Vec::new();
            write_stream(&sent.tree, &mut stream)?;
            storage.install(&read_stream(&mut stream.as_slice(), 7, sent.last_zxid)?)?;
        }
        _ => return Err("truncate ZXID, or install FROM".into()),
    }
    let found = open(dir).recover()?;
    assert_eq!(found.digest_mismatches, 0);
    println!("digest {} zxid {:x}", found.tree.digest(), found.last_zxid.0);
    Ok(())
}

fn open(dir: &str) -> Storage<RealDisk> {
    Storage::new(RealDisk, PathBuf::from(dir), PathBuf::from(dir), StorageOptions::default())
}
