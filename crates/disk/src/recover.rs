//! From the files of a directory to the tree that was there, or to a refusal that says why.
//!
//! 1. The newest snapshot that can be read whole, else the next older one.
//! 2. Every transaction of the logs after it (`replay`), which must reach at least as far
//!    as any newer snapshot that could not be read.
//! 3. Only when all this has succeeded, the traces of a crash are put right, so that the next
//!    reader, Apache's server included, finds nothing to stumble over: a torn write at the end is
//!    cut off, a last log without content and unfinished snapshots are removed; a last log that
//!    lost its header only, so that parts of its first batch are there, is renamed. Whatever was
//!    read is synced: after a crash of the process it may be in the page cache only, and is about
//!    to be told to clients as fact.
//!
//! When recovery fails, no file has been changed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ostler_tree::Tree;
use ostler_wire::ids::Zxid;

use crate::disk::{Disk, DiskFile};
use crate::log_format::HEADER_BYTES;
use crate::log_reader::{LogError, LogReader, Step};
use crate::names::{self, NamedFile};
use crate::replay::{Hollow, LogState, Replay};
use crate::snapshot_reader::{self, LoadedSnapshot, SnapshotError};

/// What recovery has to know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecoverOptions {
    /// Key of the tree's hashes; see [`Tree::fresh`].
    pub hash_key: u64,
    /// Longest record of a log, in bytes (`jute.maxbuffer` and its extra size).
    pub max_record_bytes: usize,
    /// Whether logs without any snapshot are taken for the whole history
    /// (`snapshot.trust.empty`).
    pub trust_empty: bool,
    /// Whether digests are compared (`digest.enabled`).
    pub digest_check: bool,
}

impl Default for RecoverOptions {
    fn default() -> Self {
        Self { hash_key: 0, max_record_bytes: 2 * 0xf_ffff, trust_empty: false, digest_check: true }
    }
}

/// What was in the directory.
pub struct Recovered {
    /// The tree.
    pub tree: Tree,
    /// The last transaction of history: the last record of the logs, or the snapshot's.
    pub last_zxid: Zxid,
    /// The snapshot that the tree began with. Without one the caller writes one of this tree before
    /// anything else, or the next start finds logs that follow nothing.
    pub snapshot: Option<Zxid>,
    /// How many transactions came after it.
    pub txns_replayed: u64,
    /// The file that ended in a torn write and the length in bytes that it was cut to.
    pub torn_tail: Option<(PathBuf, u64)>,
    /// How many digests did not agree; each was reported.
    pub digest_mismatches: u64,
    /// The newest of these, oldest first, as they were logged: as many as are good to have in
    /// memory, which is some thousands, or some MiB.
    pub tail: Vec<(Zxid, Arc<[u8]>)>,
    /// Nothing was there, neither a snapshot nor any transaction.
    pub fresh: bool,
}

/// Why a directory cannot be used. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// A directory cannot be read.
    #[error("cannot read the directory {}: {source}", dir.display())]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Two directories are configured, and one holds what belongs into the other.
    #[error(
        "{} is a {kind} in the directory for {other}s. Check dataDir and dataLogDir; move the \
         {kind}s into the right one",
        path.display()
    )]
    MixedDirectories {
        /// The file.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
        /// What its directory is for.
        other: &'static str,
    },
    /// There are snapshots, and all of them are bad.
    #[error(
        "none of the {} snapshots can be used; the newest: {newest}. Restore one from a backup \
         or from another server",
        .older.len() + 1
    )]
    NoGoodSnapshot {
        /// What is wrong with the newest one.
        newest: SnapshotError,
        /// What is wrong with the others.
        older: Vec<SnapshotError>,
    },
    /// There are transactions but no snapshot that they follow.
    #[error(
        "{} holds transactions, but there is no snapshot in {}. If it was lost, restore it. If \
         the data come from ZooKeeper 3.4 and never had one, start once with \
         snapshot.trust.empty=true",
        log.display(), snap_dir.display()
    )]
    NoSnapshot {
        /// The first log.
        log: PathBuf,
        /// Where snapshots were looked for.
        snap_dir: PathBuf,
    },
    /// Transactions are missing between the newest good snapshot and a newer bad one.
    #[error(
        "the logs end at zxid {last}, before the newest snapshot: {newest}. Transactions up to \
         zxid {wanted} were acknowledged; restore that snapshot, or move it away if losing them \
         is acceptable"
    )]
    LogsTooShort {
        /// What is wrong with the newer snapshot.
        newest: SnapshotError,
        /// The last transaction of the logs.
        last: Zxid,
        /// The one that the snapshot was to hold.
        wanted: Zxid,
    },
    /// Transactions are missing in the logs.
    #[error(
        "{} holds zxid {found} at byte {offset} right after zxid {after}: the transactions in \
         between are missing. Restore the missing log or a newer snapshot from a backup or from \
         another server",
        path.display()
    )]
    Gap {
        /// The file.
        path: PathBuf,
        /// Where the record behind the gap begins, in bytes.
        offset: u64,
        /// Its zxid.
        found: Zxid,
        /// The zxid before the gap.
        after: Zxid,
    },
    /// A log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// What was read could not be made durable, or the traces of a crash not be removed.
    #[error("cannot write to {}: {source}", path.display())]
    Repair {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Reads the snapshots of one directory and the logs of another (or the same).
pub fn recover<D: Disk>(
    disk: &D,
    snap_dir: &Path,
    log_dir: &Path,
    options: &RecoverOptions,
) -> Result<Recovered, RecoverError> {
    let found = recover_again(disk, snap_dir, log_dir, options)?;
    remove_unfinished(disk, snap_dir)?;
    Ok(found)
}

/// The same for a server that runs, and may just be writing a snapshot.
pub(crate) fn recover_again<D: Disk>(
    disk: &D,
    snap_dir: &Path,
    log_dir: &Path,
    options: &RecoverOptions,
) -> Result<Recovered, RecoverError> {
    refuse_mixed(disk, snap_dir, log_dir)?;
    let (found, bad) = newest_good_snapshot(disk, snap_dir, options.hash_key)?;
    let fresh = found.is_none();
    if fresh && !options.trust_empty {
        refuse_lone_logs(disk, snap_dir, log_dir, options)?;
    }
    let snapshot = found.as_ref().map(|(file, _)| file.clone());
    let mut replay = begin(found, options);
    replay.landmarks = bad.iter().map(|(_, wanted)| *wanted).collect();
    let logs = replay.run(disk, log_dir, options.max_record_bytes)?;
    if let Some((newest, wanted)) = bad.into_iter().find(|(_, wanted)| *wanted > replay.last) {
        return Err(RecoverError::LogsTooShort { newest, last: replay.last, wanted });
    }
    if let Some(end) = replay.fuzzy_until {
        let (last, end) = (replay.last, end.zxid);
        tracing::warn!("the logs end at {last}, but the snapshot may hold parts of up to {end}");
    }
    repair(disk, snap_dir, log_dir, snapshot.as_ref(), &logs)?;
    Ok(Recovered {
        last_zxid: replay.last,
        tree: replay.tree,
        snapshot: snapshot.map(|file| file.zxid),
        txns_replayed: replay.txns,
        tail: replay.tail.into_records(),
        torn_tail: logs.torn.map(|torn| (torn.path, torn.offset)),
        digest_mismatches: replay.digest_mismatches,
        fresh: fresh && replay.txns == 0,
    })
}

/// The tree to replay on.
fn begin(found: Option<GoodSnapshot>, options: &RecoverOptions) -> Replay {
    let Some((NamedFile { zxid, .. }, LoadedSnapshot { tree, digest, .. })) = found else {
        return Replay::new(Tree::fresh(options.hash_key), Zxid::ZERO, options.digest_check);
    };
    let mut replay = Replay::new(tree, zxid, options.digest_check);
    match digest {
        Some(digest) if digest.zxid > zxid => replay.fuzzy_until = Some(digest),
        Some(digest) if digest.zxid == zxid && zxid != Zxid::ZERO => {
            replay.compare_digest(zxid, Some(digest.digest));
        }
        // A digest of an earlier moment says nothing, nor does one of no moment at all.
        _ => {}
    }
    replay
}

type GoodSnapshot = (NamedFile, LoadedSnapshot);
type BadSnapshot = (SnapshotError, Zxid);

/// The newest snapshot that loads, and the newer ones that do not.
fn newest_good_snapshot<D: Disk>(
    disk: &D,
    snap_dir: &Path,
    hash_key: u64,
) -> Result<(Option<GoodSnapshot>, Vec<BadSnapshot>), RecoverError> {
    let files = names::snapshots(disk, snap_dir)
        .map_err(|source| RecoverError::Directory { dir: snap_dir.to_owned(), source })?;
    let mut bad = Vec::new();
    for file in files.into_iter().rev() {
        match snapshot_reader::load_snapshot(disk, &file.path, hash_key) {
            Ok(loaded) => return Ok((Some((file, loaded)), bad)),
            Err(error) => {
                tracing::warn!("{error}; trying the one before");
                bad.push((error, file.zxid));
            }
        }
    }
    let mut bad = bad.into_iter().map(|(error, _)| error);
    match bad.next() {
        None => Ok((None, Vec::new())),
        Some(newest) => Err(RecoverError::NoGoodSnapshot { newest, older: bad.collect() }),
    }
}

/// Refuses a directory whose logs hold anything, since there is no snapshot.
fn refuse_lone_logs<D: Disk>(
    disk: &D,
    snap_dir: &Path,
    log_dir: &Path,
    options: &RecoverOptions,
) -> Result<(), RecoverError> {
    let files = names::logs(disk, log_dir)
        .map_err(|source| RecoverError::Directory { dir: log_dir.to_owned(), source })?;
    for NamedFile { path: log, .. } in files {
        let mut reader = LogReader::open(disk, &log, options.max_record_bytes)?;
        if matches!(reader.next()?, Step::Record(_)) {
            return Err(RecoverError::NoSnapshot { log, snap_dir: snap_dir.to_owned() });
        }
    }
    Ok(())
}

fn refuse_mixed<D: Disk>(disk: &D, snap_dir: &Path, log_dir: &Path) -> Result<(), RecoverError> {
    if snap_dir == log_dir {
        return Ok(());
    }
    let failed = |dir: &Path, source| RecoverError::Directory { dir: dir.to_owned(), source };
    let snapshots = names::snapshots(disk, log_dir).map_err(|error| failed(log_dir, error))?;
    if let Some(NamedFile { path, .. }) = snapshots.into_iter().next() {
        return Err(RecoverError::MixedDirectories { path, kind: "snapshot", other: "log" });
    }
    let logs = names::logs(disk, snap_dir).map_err(|error| failed(snap_dir, error))?;
    if let Some(NamedFile { path, .. }) = logs.into_iter().next() {
        return Err(RecoverError::MixedDirectories { path, kind: "log", other: "snapshot" });
    }
    Ok(())
}

/// Removes the traces of a crash and makes durable what was read.
fn repair<D: Disk>(
    disk: &D,
    snap_dir: &Path,
    log_dir: &Path,
    snapshot: Option<&NamedFile>,
    logs: &LogState,
) -> Result<(), RecoverError> {
    if let Some(torn) = &logs.torn {
        tracing::warn!(
            "cutting {} to {} bytes: {}. This is what a crash leaves; nothing acknowledged is lost",
            torn.path.display(),
            torn.offset,
            torn.reason
        );
        debug_assert!(torn.offset >= HEADER_BYTES, "a file without a header is hollow");
        let mut file = disk.open_writable(&torn.path).map_err(at(&torn.path))?;
        file.set_len(torn.offset).map_err(at(&torn.path))?;
    }
    for path in logs.read.iter().chain(snapshot.map(|file| &file.path)) {
        let mut file = disk.open(path).map_err(at(path))?;
        file.sync_all().map_err(at(path))?;
    }
    for hollow in &logs.hollow {
        put_out_of_the_way(disk, hollow).map_err(at(&hollow.path))?;
    }
    for dir in [snap_dir, log_dir] {
        if disk.exists(dir).map_err(at(dir))? {
            disk.sync_dir(dir).map_err(at(dir))?;
        }
    }
    Ok(())
}

/// Removes the snapshots that a crash left unfinished.
fn remove_unfinished<D: Disk>(disk: &D, snap_dir: &Path) -> Result<(), RecoverError> {
    let names = names::list_if_present(disk, snap_dir).map_err(at(snap_dir))?;
    for name in names.iter().filter(|name| names::is_unfinished_snapshot(name)) {
        let path = snap_dir.join(name);
        disk.remove(&path).map_err(at(&path))?;
    }
    Ok(())
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> RecoverError {
    let path = path.to_owned();
    move |source| RecoverError::Repair { path, source }
}

/// A log without a header would keep Apache's server from starting.
fn put_out_of_the_way<D: Disk>(disk: &D, hollow: &Hollow) -> io::Result<()> {
    let path = &hollow.path;
    if hollow.is_blank {
        tracing::warn!("removing {}, which has no content", path.display());
        return disk.remove(path);
    }
    // A crash before the first commit leaves this. So would a disk that lost the first sector of
    // more than one batch, and then somebody may want what remains.
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let aside = path.with_file_name(format!("torn.{name}"));
    tracing::warn!("renaming {}, whose header was never written, to torn.{name}", path.display());
    disk.rename(path, &aside)
}
