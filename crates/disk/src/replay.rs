//! Applying the logs of a directory to the tree of a snapshot.
//!
//! The records after the snapshot must be there without a hole: each is the successor of the last
//! one, or the first of a later epoch. A record that is not later than the last one is skipped: a
//! server that was sent a piece of history again has logged it again. Between files nothing may be
//! missing either. A torn write at the end of a file is accepted if it is the last file that holds
//! anything, or if the next record of the next file is the very successor: Apache's server leaves
//! torn bytes where they are and goes on in a new file.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ostler_tree::{Change, Tree};
use ostler_wire::ids::Zxid;
use ostler_wire::txn::{TxnDigest, TxnRecord};

use crate::beside::{PIECE_BYTES, read_beside};
use crate::disk::{Disk, DiskFile};
use crate::log_format::{HEADER_BYTES, Tail};
use crate::log_reader::{LogError, LogReader, Record, Step};
use crate::names::{self, NamedFile};
use crate::recover::RecoverError;
use crate::snapshot_reader::SnapshotDigest;

/// A tree on which records are being replayed.
pub(crate) struct Replay {
    pub(crate) tree: Tree,
    pub(crate) last: Zxid,
    pub(crate) txns: u64,
    pub(crate) digest_mismatches: u64,
    /// Until this transaction the snapshot is fuzzy and digests say nothing.
    pub(crate) fuzzy_until: Option<SnapshotDigest>,
    pub(crate) check_digests: bool,
    /// The newest records.
    pub(crate) tail: RecordTail,
    /// Snapshots that cannot be read, and that history goes through.
    pub(crate) landmarks: Vec<Zxid>,
    /// A torn write that only the record right behind it can excuse.
    excused_by_successor: Option<TornTail>,
    /// Whether the file that is being read has held any.
    file_has_records: bool,
    /// Empty between calls.
    changes: Vec<Change>,
}

/// Some records of one file, and what comes behind them if nothing more does.
struct Piece {
    path: Arc<Path>,
    /// The bodies of the records, one behind the other.
    bytes: Vec<u8>,
    records: Vec<PieceRecord>,
    end: Option<FileEnd>,
}

/// A record of a piece; its body begins where that of the one before it ends.
struct PieceRecord {
    offset: u64,
    zxid: Zxid,
    end: usize,
}

/// How reading a file ended.
struct FileEnd {
    offset: u64,
    tail: Tail,
    len_bytes: u64,
}

/// The newest records that were replayed, oldest first.
#[derive(Default)]
pub(crate) struct RecordTail {
    pub(crate) records: VecDeque<(Zxid, Arc<[u8]>)>,
    bytes: usize,
}

/// A torn write at the end of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct TornTail {
    pub(crate) path: PathBuf,
    pub(crate) offset: u64,
    pub(crate) reason: String,
}

/// A log whose header never reached the disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Hollow {
    pub(crate) path: PathBuf,
    /// Nothing but zeros, or shorter than a header. Otherwise parts of its first batch are there.
    pub(crate) is_blank: bool,
}

/// What replay found out about the files.
#[derive(Default, Debug)]
pub(crate) struct LogState {
    /// Every file that was read, oldest first.
    pub(crate) read: Vec<PathBuf>,
    /// To be cut, since it stands at the end of history.
    pub(crate) torn: Option<TornTail>,
    /// Trailing files without even a header, to be put out of the way.
    pub(crate) hollow: Vec<Hollow>,
}

impl Replay {
    pub(crate) fn new(tree: Tree, snapshot: Zxid, check_digests: bool) -> Self {
        Self {
            tree,
            last: snapshot,
            txns: 0,
            digest_mismatches: 0,
            fuzzy_until: None,
            check_digests,
            tail: RecordTail::default(),
            landmarks: Vec::new(),
            excused_by_successor: None,
            file_has_records: false,
            changes: Vec::new(),
        }
    }

    /// Replays all records of the directory that are later than the tree.
    pub(crate) fn run<D: Disk>(
        &mut self,
        disk: &D,
        log_dir: &Path,
        max_record_bytes: usize,
    ) -> Result<LogState, RecoverError> {
        let files = names::logs(disk, log_dir)
            .map_err(|source| RecoverError::Directory { dir: log_dir.to_owned(), source })?;
        let files = needed(files, self.last).map(|file| file.path);
        let mut state = LogState::default();
        let mut refusal = None;
        let read =
            |put: &mut dyn FnMut(Piece) -> bool| read_files(disk, files, max_record_bytes, put);
        let read = read_beside(disk.reads_beside(), read, &mut |piece| {
            refusal = self.take(piece, &mut state).err();
            refusal.is_none()
        });
        // It concerns what was read before.
        refusal.map_or(Ok(()), Err)?;
        read?;
        state.torn = self.excused_by_successor.take();
        state.read.retain(|path| state.hollow.iter().all(|hollow| hollow.path != *path));
        Ok(state)
    }

    fn take(&mut self, piece: Piece, state: &mut LogState) -> Result<(), RecoverError> {
        let Piece { path, bytes, records, end } = piece;
        let mut start = 0;
        for PieceRecord { offset, zxid, end } in records {
            let body = bytes.get(start..end).unwrap_or_default();
            self.apply(&path, &Record { offset, zxid, body })?;
            (start, self.file_has_records) = (end, true);
        }
        match end {
            Some(end) => self.end_file(&path, end, state),
            None => Ok(()),
        }
    }

    /// What follows the last record of a file.
    fn end_file(
        &mut self,
        path: &Path,
        end: FileEnd,
        state: &mut LogState,
    ) -> Result<(), RecoverError> {
        let FileEnd { offset, tail, len_bytes } = end;
        match tail {
            tail if offset < HEADER_BYTES => {
                let is_blank = tail == Tail::Clean || len_bytes < HEADER_BYTES;
                state.hollow.push(Hollow { path: path.to_owned(), is_blank });
            }
            Tail::Clean => {}
            Tail::Torn(reason) | Tail::Damaged(reason) => {
                if let Some(earlier) = &self.excused_by_successor {
                    return Err(earlier.clone().into_damage().into());
                }
                let path = path.to_owned();
                self.excused_by_successor = Some(TornTail { path, offset, reason });
            }
        }
        let has_records = std::mem::take(&mut self.file_has_records);
        if has_records && let Some(hollow) = state.hollow.first() {
            return Err(RecoverError::from(LogError::Damaged {
                path: hollow.path.clone(),
                offset: 0,
                reason: "a later log follows a file without content".to_owned(),
            }));
        }
        state.read.push(path.to_owned());
        Ok(())
    }

    fn apply(&mut self, path: &Path, record: &Record<'_>) -> Result<(), RecoverError> {
        let Record { offset, zxid, body } = *record;
        if zxid <= self.last {
            tracing::debug!("{}: zxid {zxid} at {offset} was there before", path.display());
            return Ok(());
        }
        if let Some(torn) = self.excused_by_successor.take()
            && zxid != self.last.next()
        {
            return Err(torn.into_damage().into());
        }
        if !follows(self.last, zxid) || self.passes_by_landmark(zxid) {
            let (path, after) = (path.to_owned(), self.last);
            return Err(RecoverError::Gap { path, offset, found: zxid, after });
        }
        let record = TxnRecord::decode(body).map_err(|error| LogError::Damaged {
            path: path.to_owned(),
            offset,
            reason: format!("the transaction cannot be read: {error}"),
        })?;
        self.tree.apply(&record.header, &record.txn, &mut self.changes);
        // No watches are left on a tree that is being loaded.
        self.changes.clear();
        self.tail.push(zxid, body);
        self.last = zxid;
        self.txns += 1;
        self.check_digest(zxid, record.digest);
        Ok(())
    }

    /// Whether the end of an epoch is missing before `zxid`, which nothing else would show. A
    /// landmark without a counter is the start of an epoch, which is no transaction.
    fn passes_by_landmark(&self, zxid: Zxid) -> bool {
        let passed = |mark: &Zxid| *mark > self.last && *mark < zxid && mark.counter() != 0;
        self.landmarks.iter().any(passed)
    }

    fn check_digest(&mut self, zxid: Zxid, noted: Option<TxnDigest>) {
        let noted = match self.fuzzy_until {
            Some(end) if zxid < end.zxid => return,
            Some(end) => {
                self.fuzzy_until = None;
                // A log without the very transaction says nothing about the snapshot's digest.
                if zxid == end.zxid { Some(end.digest) } else { noted }
            }
            None => noted,
        };
        self.compare_digest(zxid, noted);
    }

    /// Counts and reports a digest that is not the tree's.
    pub(crate) fn compare_digest(&mut self, zxid: Zxid, noted: Option<TxnDigest>) {
        let Some(noted) = noted.filter(|noted| noted.version == TxnDigest::VERSION) else { return };
        if !self.check_digests || noted.tree_digest == self.tree.digest() {
            return;
        }
        self.digest_mismatches += 1;
        // One bad digest makes all later ones bad: the first ones tell all there is to tell.
        if self.digest_mismatches <= REPORTED_MISMATCHES_MAX {
            let (noted, found) = (noted.tree_digest, self.tree.digest());
            tracing::warn!("digest mismatch at zxid {zxid}: {noted:#x} noted, {found:#x} found");
        }
    }
}

/// Reads files one after the other and checks every record by itself.
fn read_files<D: Disk>(
    disk: &D,
    files: impl Iterator<Item = PathBuf>,
    max_record_bytes: usize,
    put: &mut dyn FnMut(Piece) -> bool,
) -> Result<(), LogError> {
    for path in files {
        let mut reader = LogReader::open(disk, &path, max_record_bytes)?;
        let path: Arc<Path> = path.into();
        let mut is_over = false;
        while !is_over {
            let (bytes, records, end) = (Vec::new(), Vec::new(), None);
            let mut piece = Piece { path: Arc::clone(&path), bytes, records, end };
            let read = piece.fill(&mut reader);
            is_over = piece.end.is_some();
            // What was read before an error comes before it.
            if !put(piece) {
                return Ok(());
            }
            read?;
        }
    }
    Ok(())
}

impl Piece {
    fn fill<F: DiskFile>(&mut self, reader: &mut LogReader<F>) -> Result<(), LogError> {
        let len_bytes = reader.len_bytes();
        while self.bytes.len() < PIECE_BYTES {
            match reader.next()? {
                Step::Record(Record { offset, zxid, body }) => {
                    self.bytes.extend_from_slice(body);
                    self.records.push(PieceRecord { offset, zxid, end: self.bytes.len() });
                }
                Step::End { offset, tail } => {
                    self.end = Some(FileEnd { offset, tail, len_bytes });
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

impl RecordTail {
    fn push(&mut self, zxid: Zxid, body: &[u8]) {
        self.bytes += body.len();
        self.records.push_back((zxid, body.into()));
        while self.records.len() > TAIL_RECORDS_MAX || self.bytes > TAIL_BYTES_MAX {
            let Some((_, dropped)) = self.records.pop_front() else { return };
            self.bytes -= dropped.len();
        }
    }
}

impl TornTail {
    fn into_damage(self) -> LogError {
        let Self { path, offset, reason } = self;
        LogError::Damaged { path, offset, reason: format!("{reason}, and later logs follow") }
    }
}

/// The files that can hold records after `last`: the newest that begins no later than its
/// successor, and everything newer.
pub(crate) fn needed(files: Vec<NamedFile>, last: Zxid) -> impl Iterator<Item = NamedFile> {
    let first = files.iter().rposition(|file| file.zxid.0 <= last.0.saturating_add(1));
    files.into_iter().skip(first.unwrap_or(0))
}

/// Whether `zxid` can come right after `last`.
pub(crate) fn follows(last: Zxid, zxid: Zxid) -> bool {
    zxid.0 == last.0.saturating_add(1) || (zxid.epoch() > last.epoch() && zxid.counter() <= 1)
}

const REPORTED_MISMATCHES_MAX: u64 = 10;

/// What a server has to offer to others right after a start: no more than this, for it stays in
/// memory.
const TAIL_RECORDS_MAX: usize = 5000;
const TAIL_BYTES_MAX: usize = 16 << 20;
