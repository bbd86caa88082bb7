//! The snapshot thread: writes the trees it is handed, and purges what is no longer needed.
//!
//! It holds a tree, which nobody changes, so nobody waits for it. A snapshot that cannot be written
//! is reported and tried again at the next occasion: the log has everything.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use ostler_disk::disk::Disk;
use ostler_disk::purge::purge;
use ostler_disk::snapshot::{SnapshotOptions, write_snapshot_beside};
use ostler_tree::Tree;

use crate::mail::{ReplicaMail, SnapshotMail};

/// What the snapshot thread works with.
pub(crate) struct SnapshotLoop<D: Disk> {
    pub(crate) disk: D,
    pub(crate) snap_dir: PathBuf,
    pub(crate) log_dir: PathBuf,
    pub(crate) options: SnapshotOptions,
    /// How many snapshots a purge keeps, and the time between purges.
    pub(crate) purge: Option<(usize, Duration)>,
    pub(crate) mail: Receiver<SnapshotMail>,
    pub(crate) replica: Sender<ReplicaMail>,
}

impl<D: Disk> SnapshotLoop<D> {
    /// Runs until it is told to stop or the replica is gone.
    pub(crate) fn run(self) {
        yield_to_others();
        let mut next_purge = Instant::now();
        loop {
            let mail = match self.purge {
                None => self.mail.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(_) => {
                    self.mail.recv_timeout(next_purge.saturating_duration_since(Instant::now()))
                }
            };
            match (mail, self.purge) {
                (Ok(SnapshotMail::Write(tree)), _) => {
                    self.write(&tree);
                    let _ = self.replica.send(ReplicaMail::SnapshotEnded);
                }
                (Err(RecvTimeoutError::Timeout), Some((keep, period))) => {
                    self.purge(keep);
                    next_purge = Instant::now() + period;
                }
                (Ok(SnapshotMail::Stop) | Err(_), _) => return,
            }
        }
    }

    fn write(&self, tree: &Tree) {
        let start = Instant::now();
        let mut worked_since = Instant::now();
        let mut give_way = || {
            if worked_since.elapsed() >= WORK_AT_A_TIME {
                // The scheduler lets even the least of threads finish its slice, and that is
                // longer than a write may take.
                std::thread::park_timeout(REST);
                worked_since = Instant::now();
            }
        };
        let (disk, dir) = (&self.disk, &self.snap_dir);
        let written = write_snapshot_beside(disk, dir, tree, &self.options, &mut give_way);
        match written {
            Ok(path) => tracing::info!(
                "snapshot of {} znodes written to {} in {} ms",
                tree.node_count(),
                path.display(),
                start.elapsed().as_millis()
            ),
            Err(error) => tracing::error!(
                "cannot write a snapshot to {}: {error}. The log keeps everything; free space or \
                 repair the directory, or restarts will take longer and longer",
                self.snap_dir.display()
            ),
        }
    }

    fn purge(&self, keep: usize) {
        match purge(&self.disk, &self.snap_dir, &self.log_dir, keep) {
            Ok(removed) => {
                removed.iter().for_each(|path| tracing::info!("purged {}", path.display()))
            }
            Err(error) => tracing::error!("cannot purge {}: {error}", self.snap_dir.display()),
        }
    }
}

/// Where cores are few, requests go before snapshots.
fn yield_to_others() {
    let own = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(own), NICENESS) {
        tracing::debug!("cannot lower the priority of the snapshot thread: {error}");
    }
}

/// As far back as there is.
const NICENESS: i32 = 19;

/// How long a snapshot keeps a core to itself, and how long it then leaves it to others.
const WORK_AT_A_TIME: Duration = Duration::from_micros(100);
const REST: Duration = Duration::from_micros(100);
