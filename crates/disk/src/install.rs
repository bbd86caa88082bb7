//! Putting a tree that a leader has sent in the place of everything in the directory.
//!
//! # What a crash leaves
//!
//! 1. The tree is written and synced under a name that no recovery looks at: the old history.
//! 2. Logs are cut behind the tree's zxid, if they reach there: the old history or, since a leader
//!    that sends a snapshot knows of nothing behind it, its part that may matter to anybody.
//! 3. The snapshot gets its name: the tree, or a later good snapshot of old if there is one.
//! 4. All else is removed, in no order: such a later snapshot as long as one is left, or the tree.
//!    Nothing may stay, not even what is older: it may be no part of the history that the tree is
//!    of, and whoever fell back on it would find a hole between it and what is logged from now on.
//!
//! As a rule nothing of old is behind the tree's zxid, and 2 finds nothing to do.

use std::io;
use std::path::{Path, PathBuf};

use ostler_tree::Tree;

use crate::disk::Disk;
use crate::names::{self, NamedFile};
use crate::snapshot::{SnapshotOptions, write_unnamed_sent};
use crate::truncate::{cut_logs_behind, remove_bad_snapshots_behind};

/// Makes `tree` all that the directories hold; returns its snapshot.
pub(crate) fn install<D: Disk>(
    disk: &D,
    snap_dir: &Path,
    log_dir: &Path,
    tree: &Tree,
    options: &SnapshotOptions,
    max_record_bytes: usize,
) -> io::Result<PathBuf> {
    let zxid = tree.last_zxid();
    let whole = write_unnamed_sent(disk, snap_dir, tree, options)?;
    remove_bad_snapshots_behind(disk, snap_dir, zxid).map_err(io::Error::other)?;
    cut_logs_behind(disk, log_dir, zxid, zxid, max_record_bytes).map_err(io::Error::other)?;
    let installed = whole.name(disk, snap_dir)?;
    let old = names::snapshots(disk, snap_dir)?.into_iter().chain(names::logs(disk, log_dir)?);
    for NamedFile { path, .. } in old.filter(|file| file.path != installed) {
        disk.remove(&path)?;
    }
    disk.sync_dir(snap_dir)?;
    disk.sync_dir(log_dir)?;
    Ok(installed)
}
