//! The bytes of a log file, and what stands behind its last good record.
//!
//! ```text
//! file     = header record* padding
//! header   = int "ZKLG"  int version(2)  long dbid(0)                        16 bytes
//! record   = long checksum  int length  body[length]  byte 'B'              13 + length
//! padding  = zero bytes up to the end of the file
//! checksum = Adler-32 of the body alone, in the lower half of the long
//! ```
//!
//! Version and dbid are not looked at, as they never were.
//!
//! # Torn or damaged
//!
//! Where no good record follows, three things can be: padding, a write that a crash cut short
//! ([`Tail::Torn`]), or damage to something that was safely on disk ([`Tail::Damaged`]). The first
//! two lose nothing, the third would lose acknowledged writes if it were taken for the second. A
//! torn write is recognised by what a crash can do and a flipped bit cannot: log files are zero
//! ahead of the last write, so a sector that was not written is *all zero*. Either a zero sector
//! stands in the bad record, or the record runs into zeros from some point on and no good record
//! follows. And all of it lies within the size of one batch, `TORN_SPAN_BYTES_MAX`. Whatever
//! fits neither is damage, and so is a record that a single flipped bit makes good, unless that
//! bit stands in a sector of zeros.

use std::io;

use crate::bit_flip::is_one_bit_off;
use crate::disk::{DiskFile, SECTOR_BYTES, read_full};

/// Length of the header in front of the first record.
pub(crate) const HEADER_BYTES: u64 = 16;

/// What a record takes besides its body.
pub(crate) const FRAME_BYTES: usize = 13;

/// Checksum and length, in front of a record's body.
pub(crate) const FRAME_HEAD_BYTES: usize = 12;

/// How far a torn write can reach: no batch is larger.
pub(crate) const TORN_SPAN_BYTES_MAX: u64 = 8 << 20;

/// The header of every log file.
pub(crate) const HEADER: [u8; 16] = *b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0";

/// The byte behind every body.
pub(crate) const TRAILER: u8 = b'B';

/// Appends one record.
pub(crate) fn put_record(out: &mut Vec<u8>, body: &[u8]) {
    let length = i32::try_from(body.len()).expect("no transaction has 2 GiB");
    out.reserve(body.len() + FRAME_BYTES);
    out.extend_from_slice(&checksum(body).to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(body);
    out.push(TRAILER);
}

/// The checksum of a body as it stands in front of it.
pub(crate) fn checksum(body: &[u8]) -> i64 {
    i64::from(simd_adler32::adler32(&body))
}

/// Splits the head of a record into checksum and length.
pub(crate) fn split_head(head: &[u8; FRAME_HEAD_BYTES]) -> (i64, i32) {
    let [c0, c1, c2, c3, c4, c5, c6, c7, l0, l1, l2, l3] = *head;
    (i64::from_be_bytes([c0, c1, c2, c3, c4, c5, c6, c7]), i32::from_be_bytes([l0, l1, l2, l3]))
}

/// What follows the last good record of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Tail {
    /// Nothing but padding.
    Clean,
    /// A write that a crash cut short, so nobody was ever told that it is safe; with the reason.
    Torn(String),
    /// Something that was safe once; with the reason.
    Damaged(String),
}

/// Where and why reading records came to an end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BadRecord {
    /// Offset of the record.
    pub(crate) at: u64,
    /// Where it ends by its own account; no further than its head if that cannot be believed.
    pub(crate) end: u64,
    /// What is wrong with it.
    pub(crate) reason: &'static str,
}

/// Decides what the bytes from a bad record to the end of the file are.
pub(crate) fn judge<F: DiskFile>(file: &F, len: u64, bad: BadRecord) -> io::Result<Tail> {
    let Some(data_end) = end_of_data(file, bad.at, len)? else {
        return Ok(Tail::Clean);
    };
    let span = data_end - bad.at;
    if span > TORN_SPAN_BYTES_MAX {
        let reason = bad.reason;
        return Ok(Tail::Damaged(format!("{reason}, and {span} bytes follow that are not zero")));
    }
    let mut bytes = vec![0; usize::try_from(span).unwrap_or(usize::MAX)];
    let filled = read_full(file, &mut bytes, bad.at)?;
    bytes.truncate(filled);
    if is_one_bit_off(&bytes, |offset| is_in_missing_sector(&bytes, bad.at, offset)) {
        return Ok(Tail::Damaged(bad.reason.to_owned()));
    }
    if bad.end > data_end && !holds_record(&bytes) {
        return Ok(Tail::Torn(format!("{}: its write ended early", bad.reason)));
    }
    match missing_sector(&bytes, bad) {
        Some(at) => Ok(Tail::Torn(format!("{}: byte {at} on was never written", bad.reason))),
        None => Ok(Tail::Damaged(bad.reason.to_owned())),
    }
}

/// Decides the same for a file that does not begin with the header.
pub(crate) fn judge_headless<F: DiskFile>(file: &F, len: u64) -> io::Result<Tail> {
    let Some(data_end) = end_of_data(file, 0, len)? else {
        return Ok(Tail::Clean);
    };
    if len < HEADER_BYTES {
        return Ok(Tail::Torn("the file ends inside its header".to_owned()));
    }
    let mut sector = [0; SECTOR_BYTES];
    read_full(file, &mut sector, 0)?;
    if is_zero(&sector) && data_end <= TORN_SPAN_BYTES_MAX {
        return Ok(Tail::Torn("the sector with the file header was never written".to_owned()));
    }
    Ok(Tail::Damaged("the file does not begin with the header of a log".to_owned()))
}

/// The offset behind the last byte that is not zero, at or after `from`.
fn end_of_data<F: DiskFile>(file: &F, from: u64, len: u64) -> io::Result<Option<u64>> {
    let mut chunk = vec![0; CHUNK_BYTES.min(usize::try_from(len - from).unwrap_or(CHUNK_BYTES))];
    let mut at = from;
    let mut end = None;
    while at < len {
        // Most of what was set aside for a log was never written.
        let Some(data) = file.next_data(at)?.filter(|data| *data < len) else { break };
        at = at.max(data);
        let filled = read_full(file, &mut chunk, at)?;
        let Some(bytes) = chunk.get(..filled).filter(|bytes| !bytes.is_empty()) else { break };
        if !is_zero(bytes) {
            end = bytes.iter().rposition(|byte| *byte != 0).map(|last| at + last as u64 + 1);
        }
        at += filled as u64;
    }
    Ok(end)
}

/// Whether a whole good record stands anywhere behind the first byte.
fn holds_record(bytes: &[u8]) -> bool {
    (1..bytes.len()).any(|at| bytes.get(at..).is_some_and(starts_with_record))
}

fn starts_with_record(bytes: &[u8]) -> bool {
    let Some((head, rest)) = bytes.split_first_chunk::<FRAME_HEAD_BYTES>() else { return false };
    let (sum, length) = split_head(head);
    // The cheap questions first: this is asked at every byte.
    if length <= 0 || u32::try_from(sum).is_err() {
        return false;
    }
    let Ok(length) = usize::try_from(length) else { return false };
    match rest.split_at_checked(length) {
        Some((body, [TRAILER, ..])) => checksum(body) == sum,
        _ => false,
    }
}

/// Whether the byte at an offset stands in a sector that holds nothing. `bytes` begin at `at`.
fn is_in_missing_sector(bytes: &[u8], at: u64, offset: usize) -> bool {
    let sector = SECTOR_BYTES as u64;
    let sector_at = (at + offset as u64) / sector * sector;
    let from = usize::try_from(sector_at.saturating_sub(at)).unwrap_or(usize::MAX);
    let to = usize::try_from(sector_at + sector - at).unwrap_or(usize::MAX).min(bytes.len());
    bytes.get(from..to).is_some_and(is_zero)
}

/// The first sector of the bad record that holds nothing, if there is one.
fn missing_sector(bytes: &[u8], bad: BadRecord) -> Option<u64> {
    let sector = SECTOR_BYTES as u64;
    let mut at = bad.at;
    while at < bad.end {
        let sector_end = (at / sector + 1) * sector;
        let from = usize::try_from(at - bad.at).ok()?;
        let to = usize::try_from(sector_end - bad.at).ok()?.min(bytes.len());
        let part = bytes.get(from..to).filter(|part| !part.is_empty())?;
        // The first half of the checksum is zero in every record and proves nothing.
        if is_zero(part) && (at > bad.at || part.len() > 4) {
            return Some(at);
        }
        at = sector_end;
    }
    None
}

fn is_zero(bytes: &[u8]) -> bool {
    // Blocks without an early exit inside are what the compiler turns into wide instructions.
    bytes.chunks(256).all(|block| block.iter().fold(0, |all, byte| all | byte) == 0)
}

const CHUNK_BYTES: usize = 1 << 20;
