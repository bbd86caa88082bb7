//! Dropping the end of history, as a leader demands that never heard of it.
//!
//! # What a crash leaves
//!
//! The order is: snapshots behind the target that are no good; logs, the newest first; snapshots
//! behind the target, the newest first. Each step is durable before the next. So at every moment
//! the directory holds the old history up to some point that is not before the target, and the
//! same truncation can be asked for again:
//!
//! - while a good snapshot behind the target is there, recovery begins with it, whatever the logs
//!   still hold;
//! - without one, it begins with a snapshot that is not behind the target and has been read to its
//!   end, from which the logs reach the target without a hole, as was seen before anything changed.
//!
//! Logs are cut right behind a record, without padding; the next append begins a new file.

use std::io;
use std::path::{Path, PathBuf};

use ostler_wire::ids::Zxid;

use crate::disk::{Disk, DiskFile};
use crate::log_reader::{LogError, LogReader, Step};
use crate::names::{self, NamedFile};
use crate::replay::{follows, needed};
use crate::snapshot_reader::verify_snapshot;

/// Why the history does not end where it was to end.
///
/// Unless it is [`Self::Changing`], nothing was changed: this server cannot go back to where it
/// agrees with its leader, but what it has is as good as before. The leader that demanded it can
/// send everything instead, for [`Storage::install`](crate::storage::Storage::install).
#[derive(Debug, thiserror::Error)]
pub enum TruncateError {
    /// No snapshot is old enough, so what came before the target is not there any more.
    #[error("cannot go back to zxid {target}: no good snapshot in {} is that old", dir.display())]
    NoBase {
        /// Where the history was to end.
        target: Zxid,
        /// Where snapshots were looked for.
        dir: PathBuf,
    },
    /// The logs do not have the target.
    #[error(
        "cannot go back to zxid {target}: the logs in {} have no such transaction behind the \
         snapshot of zxid {base}",
        dir.display()
    )]
    Absent {
        /// Where the history was to end.
        target: Zxid,
        /// The snapshot that the search began with.
        base: Zxid,
        /// Where logs were looked for.
        dir: PathBuf,
    },
    /// A log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The files could not be looked at or changed. What is there now only a recovery can tell, so
    /// the server must stop.
    #[error("cannot use {}: {source}", path.display())]
    Changing {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Drops everything behind `target`, which is the last record or snapshot that stays.
pub(crate) fn truncate<D: Disk>(
    disk: &D,
    snap_dir: &Path,
    log_dir: &Path,
    target: Zxid,
    max_record_bytes: usize,
) -> Result<(), TruncateError> {
    let base = find_base(disk, snap_dir, target)?;
    require_target(disk, log_dir, base, target, max_record_bytes)?;
    remove_bad_snapshots_behind(disk, snap_dir, target)?;
    cut_logs_behind(disk, log_dir, base, target, max_record_bytes)?;
    remove_snapshots_behind(disk, snap_dir, target)
}

/// The snapshot that recovery will begin with.
fn find_base<D: Disk>(disk: &D, snap_dir: &Path, target: Zxid) -> Result<Zxid, TruncateError> {
    let snapshots = names::snapshots(disk, snap_dir).map_err(changing(snap_dir))?;
    let is_newest_kept = snapshots.last().is_some_and(|newest| newest.zxid <= target);
    let mut old_enough = snapshots.iter().rev().filter(|snapshot| snapshot.zxid <= target);
    // As long as none is removed, the last recovery has found what it needs, and will again.
    let base = old_enough.find(|it| is_newest_kept || verify_snapshot(disk, &it.path).is_ok());
    match base {
        Some(base) => Ok(base.zxid),
        None => Err(TruncateError::NoBase { target, dir: snap_dir.to_owned() }),
    }
}

/// Sees that the logs reach from `base` to `target` without a hole.
fn require_target<D: Disk>(
    disk: &D,
    log_dir: &Path,
    base: Zxid,
    target: Zxid,
    max_record_bytes: usize,
) -> Result<(), TruncateError> {
    let logs = names::logs(disk, log_dir).map_err(changing(log_dir))?;
    let mut last = base;
    for NamedFile { path, .. } in needed(logs, base) {
        let mut reader = LogReader::open(disk, &path, max_record_bytes)?;
        while last < target
            && let Step::Record(record) = reader.next()?
        {
            if record.zxid > last && follows(last, record.zxid) {
                last = record.zxid;
            } else if record.zxid > last {
                return Err(TruncateError::Absent { target, base, dir: log_dir.to_owned() });
            }
        }
    }
    if last == target {
        return Ok(());
    }
    Err(TruncateError::Absent { target, base, dir: log_dir.to_owned() })
}

/// Removes snapshots behind `target` that would only make recovery ask for more logs than there
/// will be.
pub(crate) fn remove_bad_snapshots_behind<D: Disk>(
    disk: &D,
    snap_dir: &Path,
    target: Zxid,
) -> Result<(), TruncateError> {
    for NamedFile { path, .. } in behind(names::snapshots(disk, snap_dir), snap_dir, target)? {
        if verify_snapshot(disk, &path).is_err() {
            remove_for_good(disk, snap_dir, &path)?;
        }
    }
    Ok(())
}

/// Removes snapshots behind `target`.
fn remove_snapshots_behind<D: Disk>(
    disk: &D,
    snap_dir: &Path,
    target: Zxid,
) -> Result<(), TruncateError> {
    for NamedFile { path, .. } in behind(names::snapshots(disk, snap_dir), snap_dir, target)? {
        remove_for_good(disk, snap_dir, &path)?;
    }
    Ok(())
}

/// Cuts every log that recovery from the snapshot `base` reads, so that none has records behind
/// `target`.
pub(crate) fn cut_logs_behind<D: Disk>(
    disk: &D,
    log_dir: &Path,
    base: Zxid,
    target: Zxid,
    max_record_bytes: usize,
) -> Result<(), TruncateError> {
    // Newest first: a hole is never there, not even for a moment.
    for NamedFile { path, .. } in behind(names::logs(disk, log_dir), log_dir, target)? {
        remove_for_good(disk, log_dir, &path)?;
    }
    let left = names::logs(disk, log_dir).map_err(changing(log_dir))?;
    let first = left.iter().rposition(|log| log.zxid <= base).unwrap_or(0);
    for NamedFile { path, .. } in left.iter().skip(first).rev() {
        if let Some(offset) = first_behind(disk, path, target, max_record_bytes)? {
            let mut file = disk.open_writable(path).map_err(changing(path))?;
            file.set_len(offset).map_err(changing(path))?;
            file.sync_all().map_err(changing(path))?;
        }
    }
    Ok(())
}

/// Where in a log the first record behind `target` begins.
fn first_behind<D: Disk>(
    disk: &D,
    path: &Path,
    target: Zxid,
    max_record_bytes: usize,
) -> Result<Option<u64>, TruncateError> {
    let mut reader = LogReader::open(disk, path, max_record_bytes)?;
    while let Step::Record(record) = reader.next()? {
        if record.zxid > target {
            return Ok(Some(record.offset));
        }
    }
    Ok(None)
}

/// Those of the files that are named after a later zxid, the newest first.
fn behind(
    files: io::Result<Vec<NamedFile>>,
    dir: &Path,
    target: Zxid,
) -> Result<impl Iterator<Item = NamedFile>, TruncateError> {
    let files = files.map_err(changing(dir))?;
    Ok(files.into_iter().rev().take_while(move |file| file.zxid > target))
}

fn remove_for_good<D: Disk>(disk: &D, dir: &Path, path: &Path) -> Result<(), TruncateError> {
    tracing::info!("removing {}: what is in it is not part of history any more", path.display());
    disk.remove(path).map_err(changing(path))?;
    disk.sync_dir(dir).map_err(changing(dir))
}

fn changing(path: &Path) -> impl FnOnce(io::Error) -> TruncateError {
    let path = path.to_owned();
    move |source| TruncateError::Changing { path, source }
}
