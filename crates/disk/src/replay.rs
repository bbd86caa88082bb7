//! Applying the logs of a directory to the tree of a snapshot.
//!
//! The records after the snapshot must be there without a hole: each is the successor of the last
//! one, or the first of a later epoch. A record that is not later than the last one is skipped: a
//! server that was sent a piece of history again has logged it again. Between files nothing may be
//! missing either. A torn write at the end of a file is accepted if it is the last file that holds
//! anything, or if the next record of the next file is the very successor: Apache's server leaves
//! torn bytes where they are and goes on in a new file.
//!
//! The thread that reads and checks the records also makes creates ready, as far as that can be
//! done without the tree: most of a create is its znode. The thread with the tree judges the order
//! of records, finds the places and compares digests.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ostler_tree::{Change, Nursery, Seedling, Tree};
use ostler_wire::acl::Acl;
use ostler_wire::ids::Zxid;
use ostler_wire::txn::{CreateRecord, TxnDigest, TxnRecord};

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
    /// The paths of the creates that were made ready, one behind the other.
    create_paths: String,
    /// Their lists, each once where the same one comes again and again.
    lists: Vec<Arc<[Acl]>>,
    end: Option<FileEnd>,
}

/// A record of a piece; its body begins where that of the one before it ends.
struct PieceRecord {
    offset: u64,
    zxid: Zxid,
    end: usize,
    /// There if it is a create with nothing unusual about it.
    create: Option<ReadyCreate>,
}

/// A create that needs nothing but its place in the tree.
struct ReadyCreate {
    seedling: Seedling,
    path: Range<usize>,
    list: usize,
    digest: Option<TxnDigest>,
}

/// How reading a file ended.
struct FileEnd {
    offset: u64,
    tail: Tail,
    len_bytes: u64,
}

/// The newest records that were replayed, and some older ones: they are kept by pieces, since most
/// of them are forgotten again.
#[derive(Default)]
pub(crate) struct RecordTail {
    /// Oldest first.
    pieces: VecDeque<Replayed>,
    records: usize,
    bytes: usize,
}

/// What was replayed of a piece.
struct Replayed {
    bytes: Vec<u8>,
    records: Vec<(Zxid, Range<usize>)>,
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
        let (after, nursery) = (self.last, self.tree.nursery());
        let read = |put: &mut dyn FnMut(Piece) -> bool| {
            read_files(disk, files, max_record_bytes, (after, nursery), put)
        };
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
        let Piece { path, bytes, mut records, create_paths, lists, end } = piece;
        let mut replayed = Vec::with_capacity(records.len());
        let mut start = 0;
        for PieceRecord { offset, zxid, end, create } in &mut records {
            let (zxid, body) = (*zxid, start..*end);
            (start, self.file_has_records) = (*end, true);
            let bytes = bytes.get(body.clone()).unwrap_or_default();
            let record = Record { offset: *offset, zxid, body: bytes };
            if !self.follows(&path, &record)? {
                continue;
            }
            let create = create.as_mut();
            if !create.is_some_and(|create| self.plant(zxid, create, &create_paths, &lists)) {
                self.apply(&path, &record)?;
            }
            replayed.push((zxid, body));
            (self.last, self.txns) = (zxid, self.txns + 1);
        }
        self.tail.push(Replayed { bytes, records: replayed });
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

    /// Whether a record is the next one of history; false if it was there before.
    fn follows(&mut self, path: &Path, record: &Record<'_>) -> Result<bool, RecoverError> {
        let Record { offset, zxid, .. } = *record;
        if zxid <= self.last {
            tracing::debug!("{}: zxid {zxid} at {offset} was there before", path.display());
            return Ok(false);
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
        Ok(true)
    }

    /// Applies a create that was made ready, if the tree is as it should be for it.
    fn plant(
        &mut self,
        zxid: Zxid,
        create: &mut ReadyCreate,
        paths: &str,
        lists: &[Arc<[Acl]>],
    ) -> bool {
        let ReadyCreate { seedling, path, list, digest } = create;
        let (Some(path), Some(list)) = (paths.get(path.clone()), lists.get(*list)) else {
            return false;
        };
        let is_planted = self.tree.plant(zxid, path, list, seedling);
        if is_planted {
            self.check_digest(zxid, *digest);
        }
        is_planted
    }

    fn apply(&mut self, path: &Path, record: &Record<'_>) -> Result<(), RecoverError> {
        let Record { offset, zxid, body } = *record;
        let record = TxnRecord::decode(body).map_err(|error| LogError::Damaged {
            path: path.to_owned(),
            offset,
            reason: format!("the transaction cannot be read: {error}"),
        })?;
        self.tree.apply(&record.header, &record.txn, &mut self.changes);
        // No watches are left on a tree that is being loaded.
        self.changes.clear();
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

/// Reads files one after the other, checks every record by itself, and makes ready what comes
/// `after` the snapshot.
fn read_files<D: Disk>(
    disk: &D,
    files: impl Iterator<Item = PathBuf>,
    max_record_bytes: usize,
    (after, mut nursery): (Zxid, Nursery),
    put: &mut dyn FnMut(Piece) -> bool,
) -> Result<(), LogError> {
    for path in files {
        let mut reader = LogReader::open(disk, &path, max_record_bytes)?;
        let path: Arc<Path> = path.into();
        let mut is_over = false;
        while !is_over {
            let mut piece = Piece::of(Arc::clone(&path));
            let read = piece.fill(&mut reader, after, &mut nursery);
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
    fn of(path: Arc<Path>) -> Self {
        Self {
            path,
            bytes: Vec::with_capacity(2 * PIECE_BYTES),
            records: Vec::new(),
            create_paths: String::new(),
            lists: Vec::new(),
            end: None,
        }
    }

    fn fill<F: DiskFile>(
        &mut self,
        reader: &mut LogReader<F>,
        after: Zxid,
        nursery: &mut Nursery,
    ) -> Result<(), LogError> {
        let len_bytes = reader.len_bytes();
        while self.bytes.len() < PIECE_BYTES {
            match reader.next()? {
                Step::Record(Record { offset, zxid, body }) => {
                    self.bytes.extend_from_slice(body);
                    let is_new = zxid > after;
                    let create = is_new.then(|| self.make_ready(body, nursery)).flatten();
                    self.records.push(PieceRecord { offset, zxid, end: self.bytes.len(), create });
                }
                Step::End { offset, tail } => {
                    self.end = Some(FileEnd { offset, tail, len_bytes });
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Does for a create what can be done without the tree.
    fn make_ready(&mut self, body: &[u8], nursery: &mut Nursery) -> Option<ReadyCreate> {
        let create = CreateRecord::decode(body)?;
        let (seedling, list) = nursery.raise(&create)?;
        if !self.lists.last().is_some_and(|last| Arc::ptr_eq(last, list)) {
            self.lists.push(Arc::clone(list));
        }
        let start = self.create_paths.len();
        self.create_paths.push_str(&create.path);
        let path = start..self.create_paths.len();
        Some(ReadyCreate { seedling, path, list: self.lists.len() - 1, digest: create.digest })
    }
}

impl RecordTail {
    fn push(&mut self, piece: Replayed) {
        self.records += piece.records.len();
        self.bytes += piece.bytes.len();
        self.pieces.push_back(piece);
        // Without the first one there must be enough.
        let is_spare = |first: &mut Replayed, records: usize, bytes: usize| {
            records - first.records.len() >= TAIL_RECORDS_MAX
                || bytes - first.bytes.len() >= TAIL_BYTES_MAX
        };
        let (mut records, mut bytes) = (self.records, self.bytes);
        while let Some(first) = self.pieces.pop_front_if(|first| is_spare(first, records, bytes)) {
            records -= first.records.len();
            bytes -= first.bytes.len();
        }
        (self.records, self.bytes) = (records, bytes);
    }

    /// The newest, oldest first.
    pub(crate) fn into_records(self) -> Vec<(Zxid, Arc<[u8]>)> {
        let newest_first = self.pieces.iter().rev().flat_map(|piece| {
            let bodies = piece.records.iter().rev();
            bodies.map(|(zxid, body)| (*zxid, piece.bytes.get(body.clone()).unwrap_or_default()))
        });
        let mut bytes = 0;
        let fits = |(_, body): &(Zxid, &[u8])| {
            bytes += body.len();
            bytes <= TAIL_BYTES_MAX
        };
        let newest = newest_first.take(TAIL_RECORDS_MAX).take_while(fits);
        let mut records: Vec<_> = newest.map(|(zxid, body)| (zxid, body.into())).collect();
        records.reverse();
        records
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
