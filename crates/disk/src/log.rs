//! The transaction log being written: batches in, one write and one sync each.
//!
//! ```text
//!             good records           zeros, on disk already      zeros, not allocated
//!   |header|rec|rec|rec|rec|   0 0 0 0 0 0 0 0 0 0 0 0 0 0 0  | . . . . . . . . . . . . |
//!                          ^ end                              ^ zeroed            length ^
//! ```
//!
//! - The length grows by `pre_alloc_bytes`, as Apache's server does it, and is never cut back.
//! - Writing into unallocated space makes every sync write metadata too. So whenever a batch
//!   passes `zeroed`, the same write carries zeros for the batches after it, `zero_ahead_bytes`
//!   of them: a sync in between has nothing but its data to write. The zeros also let a reader
//!   tell a torn write from damage (see [`crate::log_format`]).
//! - A file is made by the first batch after a start or a roll, under the zxid of the batch's
//!   first record, and its directory is synced before that batch counts as committed.
//! - After the first error the log is dead: each later commit fails. What reached the disk is not
//!   known then (rule 5 of [`crate::disk`]), and only a new start with a recovery finds out.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ostler_wire::ids::Zxid;

use crate::disk::{Disk, DiskFile};
use crate::log_format::{self, HEADER, HEADER_BYTES, TORN_SPAN_BYTES_MAX};
use crate::log_reader::{LogReader, Step};
use crate::names;

/// How a log is written. `Default` has the defaults of `zoo.cfg`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogOptions {
    /// Step by which the file's length grows (`preAllocSize`); 0 switches it off.
    pub pre_alloc_bytes: u64,
    /// How many zeros a write puts ahead of itself; 0 switches it off, as no `pre_alloc_bytes` do.
    pub zero_ahead_bytes: u64,
    /// Whether a commit waits for the disk (`forceSync`).
    pub force_sync: bool,
    /// Length at which a file is left for a new one (`txnLogSizeLimitInKb`).
    pub size_limit_bytes: Option<u64>,
    /// Longest body that is read (`jute.maxbuffer` and its extra size).
    pub max_record_bytes: usize,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            pre_alloc_bytes: 64 << 20,
            zero_ahead_bytes: 1 << 20,
            force_sync: true,
            size_limit_bytes: None,
            max_record_bytes: 2 * 0xf_ffff,
        }
    }
}

/// The log of a running server.
#[derive(Debug)]
pub struct Log<D: Disk> {
    disk: D,
    dir: PathBuf,
    options: LogOptions,
    file: Option<OpenFile<D::File>>,
    batch: Batch,
    last_appended: Option<Zxid>,
    // Invariant: lengths of the files left since the last `roll`.
    left_bytes: u64,
    last_sync: Duration,
    failure: Option<(io::ErrorKind, String)>,
}

#[derive(Debug)]
struct OpenFile<F> {
    file: F,
    end: u64,
    zeroed: u64,
    len: u64,
}

/// Records that wait for the next commit.
#[derive(Debug, Default)]
struct Batch {
    first: Option<Zxid>,
    bytes: Vec<u8>,
    // Invariant: ascending ends of records, at most `WRITE_BYTES_MAX` apart unless one record is
    // larger than that.
    cuts: Vec<usize>,
    last_record_at: usize,
}

impl<D: Disk> Log<D> {
    /// A log in a directory that recovery has been over; nothing happens before the first commit.
    pub fn new(disk: D, dir: PathBuf, options: LogOptions) -> Self {
        Self {
            disk,
            dir,
            options,
            file: None,
            batch: Batch::default(),
            last_appended: None,
            left_bytes: 0,
            last_sync: Duration::ZERO,
            failure: None,
        }
    }

    /// Adds a transaction to the batch. `body` is header, transaction and digest, encoded.
    pub fn append(&mut self, zxid: Zxid, body: &[u8]) {
        if let Some(last) = self.last_appended.filter(|last| *last >= zxid) {
            tracing::warn!("logging zxid {zxid} after {last}");
        }
        if body.len() > self.options.max_record_bytes {
            let (length, max) = (body.len(), self.options.max_record_bytes);
            tracing::warn!("zxid {zxid} has {length} bytes; a start needs jute.maxbuffer > {max}");
        }
        self.last_appended = Some(zxid);
        let batch = &mut self.batch;
        batch.first.get_or_insert(zxid);
        let last_cut = batch.cuts.last().copied().unwrap_or(0);
        batch.last_record_at = batch.bytes.len();
        log_format::put_record(&mut batch.bytes, body);
        if batch.bytes.len() - last_cut > WRITE_BYTES_MAX && batch.last_record_at > last_cut {
            batch.cuts.push(batch.last_record_at);
        }
    }

    /// Makes everything appended durable. Only after `Ok` may anybody be told of it.
    ///
    /// One write and one sync, a sync of the directory when a file was made. Batches larger than
    /// 4 MiB take one of each per 4 MiB, since recovery bounds how far a torn write can reach.
    pub fn commit(&mut self) -> io::Result<()> {
        if let Some((kind, message)) = &self.failure {
            return Err(io::Error::new(*kind, format!("the log failed earlier: {message}")));
        }
        self.last_sync = Duration::ZERO;
        let mut batch = std::mem::take(&mut self.batch);
        let written = self.write_batch(&mut batch);
        if let Err(error) = &written {
            self.failure = Some((error.kind(), error.to_string()));
        }
        batch.clear();
        self.batch = batch;
        let over = |file: &OpenFile<D::File>| {
            self.options.size_limit_bytes.is_some_and(|limit| file.len > limit)
        };
        if self.file.as_ref().is_some_and(over) {
            self.leave_file();
        }
        written
    }

    /// Makes the next append begin a new file, and [`Self::size_bytes`] begin at 0.
    ///
    /// To be called when a snapshot is taken.
    ///
    /// # Panics
    /// If something was appended but not committed.
    pub fn roll(&mut self) {
        assert!(self.batch.bytes.is_empty(), "a batch goes into one file");
        self.leave_file();
        self.left_bytes = 0;
    }

    /// Length of all files since the last roll with their padding, as `snapSizeLimitInKb` has it.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.left_bytes + self.file.as_ref().map_or(0, |file| file.len)
    }

    /// How long the disk took to sync the last commit.
    #[must_use]
    pub fn last_sync(&self) -> Duration {
        self.last_sync
    }

    /// Whether a commit has failed, after which every one does.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.failure.is_some()
    }

    /// Forgets the files: they were cut or removed. The next append begins a new one.
    ///
    /// # Panics
    /// If something was appended but not committed.
    pub(crate) fn start_over(&mut self) {
        self.roll();
        self.last_appended = None;
    }

    fn leave_file(&mut self) {
        self.left_bytes += self.file.take().map_or(0, |file| file.len);
    }

    fn write_batch(&mut self, batch: &mut Batch) -> io::Result<()> {
        let Some(first) = batch.first else { return Ok(()) };
        let made = self.file.is_none();
        if made {
            self.file = Some(create_file(&self.disk, &self.dir, first, &self.options)?);
            batch.bytes.splice(..0, HEADER);
            batch.cuts.iter_mut().for_each(|cut| *cut += HEADER.len());
        }
        let Some(file) = &mut self.file else { unreachable!("made above") };
        batch.cuts.push(batch.bytes.len());
        let mut sync_time = Duration::ZERO;
        let mut from = 0;
        for cut in std::mem::take(&mut batch.cuts) {
            let is_last = cut == batch.bytes.len();
            file.write(&mut batch.bytes, from..cut, is_last, &self.options)?;
            from = cut;
            if self.options.force_sync {
                let start = Instant::now();
                file.file.sync_data()?;
                sync_time += start.elapsed();
            }
        }
        if made && self.options.force_sync {
            self.disk.sync_dir(&self.dir)?;
        }
        self.last_sync = sync_time;
        Ok(())
    }
}

impl<F: DiskFile> OpenFile<F> {
    /// Writes a part of `bytes` at the end; the last part can take zeros along.
    fn write(
        &mut self,
        bytes: &mut Vec<u8>,
        part: std::ops::Range<usize>,
        is_last: bool,
        options: &LogOptions,
    ) -> io::Result<()> {
        let data = part.len() as u64;
        let end = self.end + data;
        if options.pre_alloc_bytes > 0 && end + 4096 >= self.len {
            while end + 4096 >= self.len {
                self.len += options.pre_alloc_bytes;
            }
            self.file.set_len(self.len)?;
        }
        let mut until = part.end;
        if is_last && end > self.zeroed && options.pre_alloc_bytes > 0 {
            // To a block boundary, so that the next zeros do not share one with these.
            let zeroed = (end + options.zero_ahead_bytes).next_multiple_of(4096).min(self.len);
            if options.zero_ahead_bytes > 0 {
                let zeros = usize::try_from(zeroed - end).unwrap_or(0);
                until += zeros;
                bytes.resize(until, 0);
                self.zeroed = zeroed;
            }
        }
        self.file.write_at(bytes.get(part.start..until).unwrap_or_default(), self.end)?;
        self.end = end;
        self.len = self.len.max(end);
        Ok(())
    }
}

impl Batch {
    fn clear(&mut self) {
        self.first = None;
        self.cuts.clear();
        self.bytes.clear();
        // One huge transaction must not hold its memory for ever.
        self.bytes.shrink_to(2 * WRITE_BYTES_MAX);
    }
}

/// Makes the file for the record `first`. A file of that name is replaced only if it is empty.
fn create_file<D: Disk>(
    disk: &D,
    dir: &Path,
    first: Zxid,
    options: &LogOptions,
) -> io::Result<OpenFile<D::File>> {
    let path = dir.join(names::log_name(first));
    if disk.exists(&path)? {
        let mut reader =
            LogReader::open(disk, &path, options.max_record_bytes).map_err(io::Error::other)?;
        if !matches!(reader.next(), Ok(Step::End { .. })) {
            let message = format!("{} holds transactions and is in the way", path.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
        }
    }
    let file = disk.create(&path)?;
    Ok(OpenFile { file, end: 0, zeroed: 0, len: HEADER_BYTES })
}

/// How much of a batch is written and synced at a time. With the zeros ahead it stays well within
/// what a torn write may span.
const WRITE_BYTES_MAX: usize = 4 << 20;
const _: () = assert!(2 * WRITE_BYTES_MAX as u64 <= TORN_SPAN_BYTES_MAX);
