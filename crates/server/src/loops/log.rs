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
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ostler_disk::disk::Disk;
use ostler_disk::storage::Storage;
use ostler_disk::truncate::TruncateError;
use ostler_node::replica::{EpochFile, Found, Input, LogOp};
use ostler_wire::ids::Zxid;

use crate::mail::{LogProgress, ReplicaBox, ReplicaMail, mailbox};

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

/// The replica's way to the log.
pub(crate) struct LogBox<D: Disk> {
    log: SharedLog<D>,
    mail: Sender<Vec<LogOp>>,
    /// Mails of which the replica has not heard that they are carried out. Invariant: while it is
    /// 0, the log's thread does nothing, and the replica has heard all that it had to say.
    ///
    /// The replica's own count, so that there is no moment at which the thread is done and has not
    /// been heard.
    unheard: usize,
}

type SharedLog<D> = Arc<Mutex<Log<D>>>;

/// What is on disk now, and how long the disk took.
pub(crate) struct Written {
    pub(crate) up_to: Zxid,
    pub(crate) took: Duration,
}

/// What the log thread works with.
pub(crate) struct LogLoop<D: Disk> {
    log: SharedLog<D>,
    mail: Receiver<Vec<LogOp>>,
    replica: ReplicaBox,
}

/// A log for one who sends and one who writes.
pub(crate) fn log<D: Disk>(log: Log<D>, replica: ReplicaBox) -> (LogBox<D>, LogLoop<D>) {
    let (to_log, mail) = mailbox();
    let log = Arc::new(Mutex::new(log));
    (LogBox { log: Arc::clone(&log), mail: to_log, unheard: 0 }, LogLoop { log, mail, replica })
}

fn lock<D: Disk>(log: &SharedLog<D>) -> MutexGuard<'_, Log<D>> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<D: Disk + Clone> LogBox<D> {
    /// Hands this to the log's thread.
    pub(crate) fn send(&mut self, ops: Vec<LogOp>) {
        self.unheard += 1;
        // It listens no more only when the server ends.
        let _ = self.mail.send(ops);
    }

    /// The replica hears this from the log's thread.
    ///
    /// # Panics
    /// When that is more than was handed to it.
    pub(crate) fn note(&mut self, progress: &LogProgress) {
        let unheard = self.unheard.checked_sub(progress.mails);
        self.unheard = unheard.expect("only what was handed over is carried out");
    }

    /// Writes a lone record here and now, if the log's thread has nothing to do or to say and the
    /// disk is fast; `None` if it was not written.
    ///
    /// # Errors
    /// As the log's thread ends the server; nothing may be written any more.
    pub(crate) fn write_alone(&self, ops: &[LogOp]) -> io::Result<Option<Written>> {
        let [LogOp::Append { zxid, body }] = ops else { return Ok(None) };
        if self.unheard > 0 {
            return Ok(None);
        }
        let mut log = lock(&self.log);
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
            self.batch(ops)?;
        }
        Ok(())
    }

    /// Takes what is there, up to a bound, brings it to disk and says so.
    fn batch(&self, first: Vec<LogOp>) -> io::Result<()> {
        let mut log = lock(&self.log);
        let mut batch = Batch::default();
        let mut mails = 1;
        log.take(first, &mut batch, &self.replica)?;
        while batch.records < BATCH_RECORDS_MAX && batch.bytes < BATCH_BYTES_MAX {
            match self.mail.try_recv() {
                Ok(ops) => log.take(ops, &mut batch, &self.replica)?,
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
            mails += 1;
        }
        let up_to = log.commit(&mut batch)?;
        // Whoever hears of it may want to write.
        drop(log);
        self.replica.send(ReplicaMail::LogWritten(LogProgress { up_to, mails }));
        Ok(())
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
                if let up_to @ Some(_) = self.commit(batch)? {
                    replica.send(ReplicaMail::LogWritten(LogProgress { up_to, mails: 0 }));
                }
                self.alone(op, replica)?;
            }
        }
        Ok(())
    }

    /// Brings to disk what was appended, if anything was, and returns how far that goes.
    fn commit(&mut self, batch: &mut Batch) -> io::Result<Option<Zxid>> {
        let Some(last) = std::mem::take(batch).last else { return Ok(None) };
        if self.keeps_log {
            self.sync()?;
        }
        Ok(Some(last))
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

    /// What the replica, the log's thread and its mailbox may do next.
    #[derive(Clone, Copy, PartialEq, Debug)]
    enum Step {
        HandOver,
        WriteAlone,
        ThreadWrites,
        Hear,
    }

    impl Step {
        const ALL: [Self; 4] = [Self::HandOver, Self::WriteAlone, Self::ThreadWrites, Self::Hear];
    }

    /// Plays these steps with records in ascending order; returns how many were written alone.
    fn play(steps: &[Step]) -> usize {
        let disk = MemoryDisk::new();
        let (mut log, thread, mail) = log_of(&disk);
        let (mut last, mut synced, mut alone) = (0, Zxid(0), 0);
        let mut hear = |up_to: Zxid| {
            assert!(synced < up_to, "{steps:?}: the log goes back from {synced} to {up_to}");
            synced = up_to;
        };
        for step in steps {
            match step {
                Step::HandOver => {
                    last += 1;
                    log.send(vec![record(last)]);
                }
                Step::WriteAlone => {
                    let written = log.write_alone(&[record(last + 1)]).expect("a sound disk");
                    if let Some(Written { up_to, .. }) = written {
                        (last, alone) = (last + 1, alone + 1);
                        assert_eq!(up_to, Zxid(last));
                        hear(up_to);
                    }
                }
                Step::ThreadWrites => {
                    if let Ok(ops) = thread.mail.try_recv() {
                        thread.batch(ops).expect("a sound disk");
                    }
                }
                Step::Hear => {
                    if let Ok(ReplicaMail::LogWritten(progress)) = mail.try_recv() {
                        log.note(&progress);
                        progress.up_to.into_iter().for_each(&mut hear);
                    }
                }
            }
        }
        alone
    }

    #[test]
    fn in_whatever_order_things_happen_the_log_goes_forward() {
        let mut alone = 0;
        for number in 0..4_usize.pow(5) {
            let steps: [Step; 5] = std::array::from_fn(|at| Step::ALL[number >> (2 * at) & 3]);
            alone += play(&steps);
        }
        assert!(alone > 500, "{alone}");
    }

    #[test]
    fn what_the_thread_has_done_is_heard_before_anything_is_written_behind_it() {
        use Step::{HandOver, Hear, ThreadWrites, WriteAlone};
        assert_eq!(play(&[HandOver, WriteAlone]), 0);
        assert_eq!(play(&[HandOver, ThreadWrites, WriteAlone]), 0);
        assert_eq!(play(&[HandOver, HandOver, ThreadWrites, Hear, WriteAlone]), 1);
    }

    #[test]
    fn what_is_no_append_is_done_before_anything_is_written_behind_it() {
        let disk = MemoryDisk::new();
        let (mut log, thread, mail) = log_of(&disk);
        log.send(vec![record(1), LogOp::Roll]);
        log.send(vec![LogOp::Roll]);
        let first = thread.mail.recv().expect("it was sent");
        thread.batch(first).expect("the disk is sound");
        let heard: Vec<_> = mail.try_iter().collect();
        let [ReplicaMail::LogWritten(synced), ReplicaMail::LogWritten(done)] = &heard[..] else {
            panic!("{heard:?}");
        };
        assert_eq!((synced.up_to, synced.mails), (Some(Zxid(1)), 0));
        assert_eq!((done.up_to, done.mails), (None, 2));
        log.note(synced);
        assert!(log.write_alone(&[record(2)]).expect("nothing is done").is_none());
        log.note(done);
        assert!(log.write_alone(&[record(2)]).expect("the disk is sound").is_some());
    }

    #[test]
    fn a_slow_disk_is_left_to_the_thread_until_it_has_been_fast_for_a_while() {
        let disk = MemoryDisk::new();
        let (log, thread, _mail) = log_of(&disk);
        lock(&thread.log).fast_syncs = 0;
        assert!(log.write_alone(&[record(1)]).expect("nothing is done").is_none());
        lock(&thread.log).fast_syncs = FAST_SYNCS_MIN;
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
