//! The stream behind SNAP: the body of a snapshot file, an end mark, and nothing taken from behind
//! it, whatever the bytes are.

mod common;

use std::io::{self, Read, Write};

use common::{DIR, History, Seeds, disk_with_dir, dump};
use ostler_disk::snapshot::{SnapshotOptions, write_snapshot};
use ostler_disk::stream::{StreamError, read_stream, write_stream};
use ostler_tree::Tree;
use ostler_wire::ids::Zxid;
use proptest::prelude::*;

fn tree(draws: usize) -> Tree {
    let mut history = History::fresh();
    Seeds(draws as u64).take(draws).for_each(|draw| drop(history.next(draw)));
    history.tree
}

fn stream_of(tree: &Tree) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_stream(tree, &mut bytes).expect("memory takes everything");
    bytes
}

/// Gives at most so many bytes at a time, and says how many were taken.
struct Trickle<'a> {
    bytes: &'a [u8],
    most: usize,
    taken: usize,
}

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(self.most);
        let count = self.bytes.read(&mut buffer[..most])?;
        self.taken += count;
        Ok(count)
    }
}

#[test]
fn a_tree_arrives_as_it_was_sent_and_nothing_behind_it_is_taken() {
    for draws in [0, 1, 30, 300] {
        let sent = tree(draws);
        let mut bytes = stream_of(&sent);
        let length = bytes.len();
        bytes.extend_from_slice(&[0; 100]);
        for most in [1, 7, 4096, usize::MAX] {
            let mut from = Trickle { bytes: &bytes, most, taken: 0 };
            let got = read_stream(&mut from, 1, sent.last_zxid()).expect("it is whole");
            assert_eq!(dump(&got), dump(&sent));
            assert_eq!(from.taken, length);
        }
    }
}

#[test]
fn the_stream_is_the_body_of_a_snapshot_file() {
    let sent = tree(50);
    let disk = disk_with_dir();
    let options =
        SnapshotOptions { digest: false, last_zxid_trailer: false, ..SnapshotOptions::default() };
    let path = write_snapshot(&disk, DIR.as_ref(), &sent, &options).expect("nothing fails");
    let file = disk.contents(&path).expect("it was written");
    // Without the header and the seal.
    let body = &file[16..file.len() - 13];
    let stream = stream_of(&sent);
    assert_eq!(&stream[..body.len()], body);
    assert_eq!(&stream[body.len()..], b"\0\0\0\x0aBenWasHere");
}

#[test]
fn large_znodes_and_many_of_them_need_no_more_memory_than_one() {
    struct Counting(usize, usize);
    impl Write for Counting {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.max(bytes.len());
            self.1 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut out = Counting(0, 0);
    write_stream(&tree(3000), &mut out).expect("it takes everything");
    assert!(out.0 < 80_000 && out.1 > 5000, "{} of {}", out.0, out.1);
}

#[test]
fn a_stream_that_breaks_off_is_an_error_wherever_it_does() {
    let bytes = stream_of(&tree(12));
    for length in 0..bytes.len() {
        let error = read_stream(&mut &bytes[..length], 1, Zxid(9)).expect_err("it is cut");
        let StreamError::Malformed { offset, .. } = error else { panic!("{error}") };
        assert!(offset <= length as u64);
    }
}

#[test]
fn a_connection_that_fails_is_told_from_bytes_that_are_wrong() {
    struct Timeout;
    impl Read for Timeout {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::TimedOut.into())
        }
    }
    let bytes = stream_of(&tree(12));
    let mut from = bytes[..60].chain(Timeout);
    let error = read_stream(&mut from, 1, Zxid(9)).expect_err("nothing came in time");
    let StreamError::Read { source, .. } = error else { panic!("{error}") };
    assert_eq!(source.kind(), io::ErrorKind::TimedOut);
}

#[test]
fn claims_are_not_believed() {
    let claims: [&[u8]; 6] = [
        // So many sessions, then nothing.
        b"\x7f\xff\xff\xff",
        b"\xff\xff\xff\xfe",
        // No session, so many lists.
        b"\0\0\0\0\x7f\xff\xff\xff",
        // A path, then data, of a length that nobody has.
        b"\0\0\0\0\0\0\0\0\x7f\xff\xff\xff",
        b"\0\0\0\0\0\0\0\0\0\0\0\0\x7f\xff\xff\xff",
        b"\0\0\0\0\0\0\0\0\0\0\0\0\xff\xff\xff\x80",
    ];
    for claim in claims {
        read_stream(&mut &*claim, 1, Zxid(9)).expect_err("nothing is behind it");
        let mut endless = claim.chain(io::repeat(0).take(1 << 22));
        read_stream(&mut endless, 1, Zxid(9)).expect_err("zeros are no tree");
    }
    // The end mark must be that one, and its length is seen before its bytes are waited for.
    let mut bytes = stream_of(&tree(3));
    let mark = bytes.len() - 14;
    bytes.truncate(mark);
    bytes.extend_from_slice(b"\0\0\0\x0bBenWasHere?");
    let mut from = Trickle { bytes: &bytes, most: 100, taken: 0 };
    read_stream(&mut from, 1, Zxid(9)).expect_err("it is another mark");
    assert_eq!(from.taken, mark + 4);
}

proptest! {
    #[test]
    fn changed_bytes_never_panic(at in any::<prop::sample::Index>(), value in any::<u8>()) {
        let mut bytes = stream_of(&tree(20));
        let at = at.index(bytes.len());
        bytes[at] = value;
        let _ = read_stream(&mut bytes.as_slice(), 1, Zxid(9));
    }
}
