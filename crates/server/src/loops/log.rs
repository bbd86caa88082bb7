//! The log: everything that waits becomes one write and one sync, and whatever else is done to
//! history on disk is done here, in order.
//!
//! It has a thread, and no timer: while one sync runs, the next batch gathers. Only a record that
//! is alone is written by the replica's thread itself ([`LogBox::write_alone`]), when the log's
//! thread has nothing to do: there is no batch to join, and two hand-overs take as long as the
//! write.
//!
//! A log that cannot be written ends the server, since nothing could be acknowledged any more and
//! nobody knows what is on disk. It is not touched again.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ostler_disk::disk::Disk;
use ostler_disk::storage::Storage;
use ostler_disk::truncate::TruncateError;
use ostler_node::replica::{EpochFile, Found, Input, LogOp};
use ostler_wire::ids::Zxid;

use crate::mail::{ReplicaBox, ReplicaMail, mailbox};

/// The log, whoever writes it.
pub(crate) struct Log<D: Disk> {
    storage: Storage<D>,
    /// `fsync.warningthresholdms`.
    slow_sync: Duration,
    /// Whether transactions and the epoch they belong to are written: `false` for an observer that
    /// leaves that to the voters (`syncEnabled=false`).
    ///
    /// What is on its disk is then a history that ended early: a promise of an epoch, and
    /// snapshots. The current epoch stays behind with it, unlike in Java, so that the server could
    /// become a voter without winning elections by an epoch of which it lacks the history.
    keeps_log: bool,
    /// How many syncs in a row were fast.
    fast_syncs: u32,
}

/// What the log's thread and the replica's have in common.
struct Shared<D: Disk> {
    log: Mutex<Log<D>>,
    /// Mails that were sent to the log's thread and not carried out yet. Invariant: while it is 0,
    /// only the replica's thread touches the log.
    waiting: AtomicUsize,
}

/// The replica's way to the log.
pub(crate) struct LogBox<D: Disk> {
    shared: Arc<Shared<D>>,
    mail: Sender<Vec<LogOp>>,
}

/// What is on disk now, and how long the disk took.
pub(crate) struct Written {
    pub(crate) up_to: Zxid,
    pub(crate) took: Duration,
}

/// What the log thread works with.
pub(crate) struct LogLoop<D: Disk> {
    shared: Arc<Shared<D>>,
    mail: Receiver<Vec<LogOp>>,
    replica: ReplicaBox,
}

/// A log for one who sends and one who writes.
pub(crate) fn log<D: Disk>(log: Log<D>, replica: ReplicaBox) -> (LogBox<D>, LogLoop<D>) {
    let (to_log, mail) = mailbox();
    let shared = Arc::new(Shared { log: Mutex::new(log), waiting: AtomicUsize::new(0) });
    (LogBox { shared: Arc::clone(&shared), mail: to_log }, LogLoop { shared, mail, replica })
}

impl<D: Disk> Shared<D> {
    fn log(&self) -> MutexGuard<'_, Log<D>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<D: Disk + Clone> LogBox<D> {
    /// Hands this to the log's thread.
    pub(crate) fn send(&self, ops: Vec<LogOp>) {
        self.shared.waiting.fetch_add(1, Ordering::SeqCst);
        // It listens no more only when the server ends.
        let _ = self.mail.send(ops);
    }

    /// Whether the log's thread has done all it was handed. What it had to say to the replica has
    /// been sent before this is true.
    pub(crate) fn is_idle(&self) -> bool {
        self.shared.waiting.load(Ordering::SeqCst) == 0
    }

    /// Writes a lone record here and now, if nothing is under way and the disk is fast; `None` if
    /// it was not written. The replica must have heard all that the log's thread had to say.
    ///
    /// # Errors
    /// As the log's thread ends the server; nothing may be written any more.
    pub(crate) fn write_alone(&self, ops: &[LogOp]) -> io::Result<Option<Written>> {
        let [LogOp::Append { zxid, body }] = ops else { return Ok(None) };
        if !self.is_idle() {
            return Ok(None);
        }
        let mut log = self.shared.log();
        if log.fast_syncs < FAST_SYNCS_MIN {
            return Ok(None);
        }
        if log.keeps_log {
            log.storage.append(*zxid, body);
            log.sync()?;
        }
        Ok(Some(Written { up_to: *zxid, took: log.storage.last_sync() }))
    }
}

impl<D: Disk + Clone> LogLoop<D> {
    /// Runs until the replica is gone and everything it sent is on disk.
    pub(crate) fn run(self) -> io::Result<()> {
        while let Ok(ops) = self.mail.recv() {
            let taken = self.batch(ops)?;
            self.shared.waiting.fetch_sub(taken, Ordering::SeqCst);
        }
        Ok(())
    }

    /// Takes what is there, up to a bound, and brings it to disk; returns how many mails that were.
    fn batch(&self, first: Vec<LogOp>) -> io::Result<usize> {
        let mut log = self.shared.log();
        let mut batch = Batch::default();
        let mut taken = 1;
        log.take(first, &mut batch, &self.replica)?;
        while batch.records < BATCH_RECORDS_MAX && batch.bytes < BATCH_BYTES_MAX {
            match self.mail.try_recv() {
                Ok(ops) => log.take(ops, &mut batch, &self.replica)?,
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
            taken += 1;
        }
        log.commit(&mut batch, &self.replica)?;
        Ok(taken)
    }
}

impl<D: Disk + Clone> Log<D> {
    pub(crate) fn new(storage: Storage<D>, slow_sync: Duration, keeps_log: bool) -> Self {
        Self { storage, slow_sync, keeps_log, fast_syncs: FAST_SYNCS_MIN }
    }

    fn take(&mut self, ops: Vec<LogOp>, batch: &mut Batch, replica: &ReplicaBox) -> io::Result<()> {
        for op in ops {
            if let LogOp::Append { zxid, body } = op {
                if self.keeps_log {
                    self.storage.append(zxid, &body);
                }
                batch.last = Some(zxid);
                batch.records += 1;
                batch.bytes += body.len();
            } else {
                self.commit(batch, replica)?;
                self.alone(op, replica)?;
            }
        }
        Ok(())
    }

    fn commit(&mut self, batch: &mut Batch, replica: &ReplicaBox) -> io::Result<()> {
        let Some(last) = std::mem::take(batch).last else { return Ok(()) };
        if self.keeps_log {
            self.sync()?;
        }
        replica.send(ReplicaMail::LogSynced(last));
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.storage.commit()?;
        let took = self.storage.last_sync();
        self.fast_syncs = if took < FAST_SYNC { self.fast_syncs.saturating_add(1) } else { 0 };
        if took >= self.slow_sync {
            tracing::warn!(
                "the sync of the transaction log took {} ms: a slow disk delays every write",
                took.as_millis()
            );
        }
        Ok(())
    }

    /// Does what is no append. Everything before it is on disk.
    fn alone(&mut self, op: LogOp, replica: &ReplicaBox) -> io::Result<()> {
        match op {
            LogOp::Append { .. } => unreachable!("appends go into batches"),
            LogOp::Roll if !self.keeps_log => {}
            LogOp::Roll => self.storage.roll(),
            LogOp::WriteEpoch(file, epoch) => {
                match file {
                    EpochFile::Accepted => self.storage.write_accepted_epoch(epoch)?,
                    EpochFile::Current if !self.keeps_log => {}
                    EpochFile::Current => self.storage.write_current_epoch(epoch)?,
                }
                replica.send(ReplicaMail::Input(Input::EpochWritten(file, epoch)));
            }
            LogOp::Truncate { zxid, reload } => {
                let input = self.truncate(zxid, reload)?;
                replica.send(ReplicaMail::Input(input));
            }
            LogOp::Install(tree) => {
                self.storage.install(&tree)?;
                tracing::info!("{} is on disk in place of what was there", tree.last_zxid());
            }
        }
        Ok(())
    }

    fn truncate(&mut self, zxid: Zxid, reload: bool) -> io::Result<Input> {
        match self.storage.truncate(zxid) {
            Ok(()) => {
                tracing::info!("what lies behind {zxid} was never committed: it is dropped");
                Ok(Input::Truncated(if reload { Some(self.reload()?) } else { None }))
            }
            Err(error @ TruncateError::Changing { .. }) => Err(io::Error::other(error)),
            Err(error) => {
                tracing::warn!("{error}: the leader is asked for a snapshot");
                Ok(Input::TruncateFailed(self.reload()?))
            }
        }
    }

    fn reload(&mut self) -> io::Result<Found> {
        let found = self.storage.recover().map_err(io::Error::other)?;
        let (tree, history) = (found.tree, found.tail);
        Ok(Found { tree, history, txns_logged: found.txns_replayed })
    }
}

#[derive(Default)]
struct Batch {
    last: Option<Zxid>,
    records: usize,
    bytes: usize,
}

/// A batch ends at so many records or bytes, so that no reply waits for a very long write.
const BATCH_RECORDS_MAX: usize = 1000;
const BATCH_BYTES_MAX: usize = 1 << 20;

/// So long a sync may keep the replica's thread from everything else, and so many in a row have to
/// have been no longer.
const FAST_SYNC: Duration = Duration::from_micros(200);
const FAST_SYNCS_MIN: u32 = 16;

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use ostler_disk::disk::create_directories;
    use ostler_disk::memory_disk::{Faults, MemoryDisk, Survival};
    use ostler_disk::storage::StorageOptions;
    use ostler_tree::Tree;

    use super::*;
    use crate::mail::Bell;

    fn storage(disk: &MemoryDisk) -> Storage<MemoryDisk> {
        let dir = PathBuf::from("/data");
        create_directories(disk, &dir).expect("the disk is sound");
        let storage = Storage::new(disk.clone(), dir.clone(), dir, StorageOptions::default());
        storage.write_snapshot(&Tree::fresh(1)).expect("the disk is sound");
        storage
    }

    fn record(zxid: i64) -> LogOp {
        LogOp::Append { zxid: Zxid(zxid), body: vec![1; 40].into() }
    }

    fn log_of(
        disk: &MemoryDisk,
    ) -> (LogBox<MemoryDisk>, LogLoop<MemoryDisk>, Receiver<ReplicaMail>) {
        let (replica, mail) = ReplicaBox::new(Bell::mute());
        let (log_box, log_loop) =
            log(Log::new(storage(disk), Duration::from_secs(1), true), replica);
        (log_box, log_loop, mail)
    }

    fn files_after_a_crash(disk: &MemoryDisk) -> Vec<u8> {
        let disk = disk.crash(Survival::Nothing, 1);
        disk.contents(&PathBuf::from("/data/log.1")).unwrap_or_default()
    }

    #[test]
    fn a_lone_record_is_on_disk_at_once() {
        let disk = MemoryDisk::new();
        let (log, _thread, _mail) = log_of(&disk);
        assert!(log.write_alone(&[record(1), record(2)]).expect("nothing is done").is_none());
        assert!(log.write_alone(&[LogOp::Roll]).expect("nothing is done").is_none());
        assert!(files_after_a_crash(&disk).is_empty());
        let written = log.write_alone(&[record(1)]).expect("the disk is sound");
        assert_eq!(written.map(|written| written.up_to), Some(Zxid(1)));
        assert!(files_after_a_crash(&disk).windows(40).any(|bytes| bytes == [1; 40]));
    }

    #[test]
    fn what_waits_for_the_thread_comes_first() {
        let disk = MemoryDisk::new();
        let (log, thread, mail) = log_of(&disk);
        log.send(vec![record(1)]);
        assert!(log.write_alone(&[record(2)]).expect("nothing is done").is_none());
        log.send(vec![record(2)]);
        let first = thread.mail.recv().expect("it was sent");
        let taken = thread.batch(first).expect("the disk is sound");
        assert_eq!(taken, 2);
        assert!(matches!(mail.try_recv(), Ok(ReplicaMail::LogSynced(Zxid(2)))));
        thread.shared.waiting.fetch_sub(taken, Ordering::SeqCst);
        assert!(log.write_alone(&[record(3)]).expect("the disk is sound").is_some());
    }

    #[test]
    fn a_slow_disk_is_left_to_the_thread_until_it_has_been_fast_for_a_while() {
        let disk = MemoryDisk::new();
        let (log, thread, _mail) = log_of(&disk);
        thread.shared.log().fast_syncs = 0;
        assert!(log.write_alone(&[record(1)]).expect("nothing is done").is_none());
        thread.shared.log().fast_syncs = FAST_SYNCS_MIN;
        assert!(log.write_alone(&[record(1)]).expect("the disk is sound").is_some());
    }

    #[test]
    fn a_failed_write_is_told() {
        let disk = MemoryDisk::new();
        let (log, _thread, _mail) = log_of(&disk);
        let fail_at = Some((disk.operations(), io::ErrorKind::StorageFull));
        disk.set_faults(Faults { fail_at, ..Faults::default() });
        assert!(log.write_alone(&[record(1)]).is_err());
    }
}
