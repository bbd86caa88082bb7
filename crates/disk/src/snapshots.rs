//! Taking and purging snapshots beside everything else.
//!
//! A snapshot is asked for, and may be written long after that; meanwhile a leader may have taken
//! back what the tree holds. Such a snapshot must not appear: the next recovery would begin with
//! it. So the storage bars the zxids that it drops before it looks at the files, and a snapshot
//! gets its name only under the same lock. Purging is done under the lock too, since it would take
//! away the very snapshots that are left to go back to.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ostler_tree::Tree;
use ostler_wire::ids::Zxid;

use crate::disk::Disk;
use crate::purge;
use crate::snapshot::{SnapshotOptions, write_unnamed};

/// The snapshots of a [`Storage`](crate::storage::Storage), for the thread that takes them.
#[derive(Clone, Debug)]
pub struct Snapshots<D: Disk> {
    pub(crate) disk: D,
    pub(crate) snap_dir: PathBuf,
    pub(crate) log_dir: PathBuf,
    pub(crate) options: SnapshotOptions,
    pub(crate) bar: Arc<Bar>,
}

/// Zxids whose snapshots come too late.
#[derive(Debug, Default)]
pub(crate) struct Bar {
    /// From the first through the second.
    range: Mutex<Option<(Zxid, Zxid)>>,
}

impl<D: Disk> Snapshots<D> {
    /// Writes a snapshot and returns its path when it is durable; `None` if what the tree holds has
    /// been taken back since. `give_way` is called every few dozen microseconds of work.
    pub fn write(&self, tree: &Tree, give_way: &mut dyn FnMut()) -> io::Result<Option<PathBuf>> {
        let whole = write_unnamed(&self.disk, &self.snap_dir, tree, &self.options, give_way)?;
        let barred = self.bar.range.lock().unwrap_or_else(PoisonError::into_inner);
        let zxid = tree.last_zxid();
        if barred.is_some_and(|(from, to)| (from..=to).contains(&zxid)) {
            whole.discard(&self.disk);
            return Ok(None);
        }
        whole.name(&self.disk, &self.snap_dir).map(Some)
    }

    /// Keeps the newest `keep` snapshots and what follows the oldest of them; see
    /// [`purge::purge`].
    pub fn purge(&self, keep: usize) -> io::Result<Vec<PathBuf>> {
        let _locked = self.bar.range.lock().unwrap_or_else(PoisonError::into_inner);
        purge::purge(&self.disk, &self.snap_dir, &self.log_dir, keep)
    }
}

impl Bar {
    /// Lets no snapshot from `from` through `to` appear any more, and none at all as long as what
    /// is returned is held; waits for one that is just being named.
    ///
    /// Ranges are merged: a snapshot in between is one of history, but an old one, and nobody
    /// misses it.
    pub(crate) fn put(&self, from: Zxid, to: Zxid) -> MutexGuard<'_, Option<(Zxid, Zxid)>> {
        let mut range = self.range.lock().unwrap_or_else(PoisonError::into_inner);
        if from <= to {
            *range = Some(range.map_or((from, to), |(a, b)| (a.min(from), b.max(to))));
        }
        range
    }
}
