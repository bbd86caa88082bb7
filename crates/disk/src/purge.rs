//! Removing snapshots and logs that are no longer needed (`autopurge`).

use std::io;
use std::path::{Path, PathBuf};

use ostler_wire::ids::Zxid;

use crate::disk::Disk;
use crate::names::{self, NamedFile};
use crate::snapshot_reader::{looks_complete, verify_snapshot};

/// Keeps the newest `keep` snapshots and the logs that follow the oldest of them; returns what was
/// removed.
///
/// The oldest one that is kept has been read to its end, so that what remains is certain to be
/// recoverable; if it is bad an older one is kept in its place. Without any good snapshot, or with
/// `keep` 0, nothing is removed. The log that began last before the oldest kept snapshot stays,
/// since its later records may follow that snapshot.
pub fn purge<D: Disk>(
    disk: &D,
    snap_dir: &Path,
    log_dir: &Path,
    keep: usize,
) -> io::Result<Vec<PathBuf>> {
    let Superfluous { mut snapshots, mut logs } = superfluous(disk, snap_dir, log_dir, keep)?;
    snapshots.append(&mut logs);
    for path in &snapshots {
        disk.remove(path)?;
    }
    Ok(snapshots)
}

/// What [`purge`] would remove.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Superfluous {
    /// Older than the oldest that is kept.
    pub snapshots: Vec<PathBuf>,
    /// With nothing that follows it.
    pub logs: Vec<PathBuf>,
}

/// Finds what [`purge`] would remove, and removes nothing.
pub fn superfluous<D: Disk>(
    disk: &D,
    snap_dir: &Path,
    log_dir: &Path,
    keep: usize,
) -> io::Result<Superfluous> {
    let snapshots = names::snapshots(disk, snap_dir)?;
    let Some(oldest) = oldest_to_keep(disk, &snapshots, keep)? else {
        return Ok(Superfluous::default());
    };
    let logs = names::logs(disk, log_dir)?;
    let first_log = logs.iter().rposition(|log| log.zxid <= oldest).unwrap_or(0);
    let paths = |files: Vec<NamedFile>| files.into_iter().map(|file| file.path);
    let old_snapshots = snapshots.into_iter().filter(|snapshot| snapshot.zxid < oldest).collect();
    Ok(Superfluous {
        snapshots: paths(old_snapshots).collect(),
        logs: paths(logs).take(first_log).collect(),
    })
}

fn oldest_to_keep<D: Disk>(
    disk: &D,
    snapshots: &[NamedFile],
    keep: usize,
) -> io::Result<Option<Zxid>> {
    let mut kept = 0;
    for NamedFile { path, zxid } in snapshots.iter().rev() {
        if !looks_complete(disk, path)? {
            continue;
        }
        kept += 1;
        if kept < keep.max(1) {
            continue;
        }
        match verify_snapshot(disk, path) {
            Ok(()) => return Ok((keep > 0).then_some(*zxid)),
            Err(error) => tracing::warn!("{error}; keeping an older one in its place"),
        }
    }
    // Fewer than that many: nothing is old.
    Ok(None)
}
