//! The snapshot thread: writes the trees it is handed, and purges what is no longer needed.
//!
//! It holds a tree, which nobody changes, so nobody waits for it. A snapshot that cannot be written
//! is reported and tried again at the next occasion: the log has everything.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use ostler_disk::disk::Disk;
use ostler_disk::snapshots::Snapshots;
use ostler_tree::Tree;

use crate::mail::{ReplicaBox, ReplicaMail, SnapshotMail};

/// What the snapshot thread works with.
pub(crate) struct SnapshotLoop<D: Disk> {
    pub(crate) snapshots: Snapshots<D>,
    /// How many snapshots a purge keeps, and the time between purges.
    pub(crate) purge: Option<(usize, Duration)>,
    pub(crate) mail: Receiver<SnapshotMail>,
    pub(crate) replica: ReplicaBox,
}

impl<D: Disk + Clone> SnapshotLoop<D> {
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
                    self.replica.send(ReplicaMail::SnapshotEnded);
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
        match self.snapshots.write(tree, &mut give_way) {
            Ok(Some(path)) => tracing::info!(
                "snapshot of {} znodes written to {} in {} ms",
                tree.node_count(),
                path.display(),
                start.elapsed().as_millis()
            ),
            Ok(None) => tracing::info!(
                "snapshot of {} not kept: what it holds was taken back meanwhile",
                tree.last_zxid()
            ),
            Err(error) => tracing::error!(
                "cannot write a snapshot: {error}. The log keeps everything; free space or repair \
                 the directory, or restarts will take longer and longer"
            ),
        }
    }

    fn purge(&self, keep: usize) {
        match self.snapshots.purge(keep) {
            Ok(removed) => {
                removed.iter().for_each(|path| tracing::info!("purged {}", path.display()))
            }
            Err(error) => tracing::error!("cannot purge old snapshots and logs: {error}"),
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
