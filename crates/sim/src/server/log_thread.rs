//! The log of a server: its thread, its disk, and what a crash makes of both.
//!
//! What a batch does to the disk happens at the end of its time: a crash before finds nothing of
//! it, or a part if it is so drawn.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::PathBuf;

use ostler_disk::log_reader::{LogReader, Step};
use ostler_disk::memory_disk::{Faults, MemoryDisk};
use ostler_disk::names;
use ostler_disk::storage::Storage;
use ostler_disk::truncate::TruncateError;
use ostler_node::replica::{EpochFile, Found, Input, LogOp};
use ostler_wire::ids::Zxid;
use ostler_zab::history::TxnBody;

use super::alarm::Alarm;
use super::peers::Own;
use crate::options::Plant;
use crate::queue::{Event, Turn};
use crate::world::Outside;

/// The log thread of one process.
pub(super) struct LogThread {
    pub(super) storage: Storage<MemoryDisk>,
    ops: VecDeque<LogOp>,
    /// What the disk is doing now.
    batch: Vec<LogOp>,
    alarm: Alarm,
    /// How many times slower than usual the disk is.
    pub(super) slowness: u64,
}

/// The log cannot go on.
pub(super) struct LogFailed(pub(super) String);

impl From<io::Error> for LogFailed {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

impl LogThread {
    pub(super) fn new(storage: Storage<MemoryDisk>) -> Self {
        Self {
            storage,
            ops: VecDeque::new(),
            batch: Vec::new(),
            alarm: Alarm::default(),
            slowness: 1,
        }
    }

    /// Hands an operation to the thread.
    pub(super) fn push(&mut self, outside: &mut Outside, own: Own, op: LogOp) {
        match &op {
            LogOp::Append { zxid, body } => {
                let now = outside.queue.now();
                outside.witness.logged(own.index, *zxid, body, now);
            }
            LogOp::Truncate { zxid, .. } => outside.witness.logs[own.index].truncate(*zxid),
            LogOp::Install(tree) => outside.witness.installs(own.index, tree.last_zxid()),
            LogOp::Roll | LogOp::WriteEpoch(..) => {}
        }
        let is_early = outside.options.plant == Some(Plant::EpochBeforeHistory)
            && matches!(op, LogOp::WriteEpoch(EpochFile::Current, _));
        if is_early {
            self.ops.push_front(op);
        } else {
            self.ops.push_back(op);
        }
        self.ring(outside, own);
    }

    /// Takes what there is, and gives the disk time for it.
    pub(super) fn begin(&mut self, outside: &mut Outside, own: Own, mail: &mut Vec<Input>) {
        if !self.alarm.rings(outside.queue.now()) || !self.batch.is_empty() {
            return;
        }
        while let Some(op) = self.ops.front() {
            let is_append = matches!(op, LogOp::Append { .. });
            let fits = self.batch.is_empty()
                || is_append
                    && matches!(self.batch[0], LogOp::Append { .. })
                    && self.batch.len() < outside.options.batch_max;
            if !fits {
                break;
            }
            self.batch.extend(self.ops.pop_front());
        }
        if let (Some(Plant::AckBeforeSync), Some(LogOp::Append { zxid, .. })) =
            (outside.options.plant, self.batch.last())
        {
            mail.push(Input::LogSynced(*zxid));
        }
        let micros = outside.disks.between(outside.options.sync_micros) * self.slowness;
        outside.queue.after(micros, Event::Turn(own.index, own.start, Turn::LogDone));
    }

    /// The disk has done it.
    pub(super) fn done(
        &mut self,
        outside: &mut Outside,
        own: Own,
        mail: &mut Vec<Input>,
    ) -> Result<(), LogFailed> {
        let batch = std::mem::take(&mut self.batch);
        let mut last = None;
        for op in batch {
            match op {
                LogOp::Append { zxid, body } => {
                    self.storage.append(zxid, &body);
                    last = Some(zxid);
                }
                other => self.alone(outside, own, other, mail)?,
            }
        }
        if let Some(last) = last {
            self.storage.commit()?;
            let log = &mut outside.witness.logs[own.index];
            log.synced = log.synced.max(last);
            if outside.options.plant != Some(Plant::AckBeforeSync) {
                mail.push(Input::LogSynced(last));
            }
        }
        self.ring(outside, own);
        Ok(())
    }

    /// Whatever is not an append comes alone.
    fn alone(
        &mut self,
        outside: &mut Outside,
        own: Own,
        op: LogOp,
        mail: &mut Vec<Input>,
    ) -> Result<(), LogFailed> {
        match op {
            LogOp::Append { .. } => unreachable!("appends come in batches"),
            LogOp::Roll => self.storage.roll(),
            LogOp::WriteEpoch(file, epoch) => {
                match file {
                    EpochFile::Accepted => self.storage.write_accepted_epoch(epoch)?,
                    EpochFile::Current => self.storage.write_current_epoch(epoch)?,
                }
                let epochs = self.storage.read_epochs(Zxid::ZERO);
                let epochs = epochs.map_err(|error| LogFailed(error.to_string()))?;
                outside.witness.epochs(own.index, epochs);
                mail.push(Input::EpochWritten(file, epoch));
            }
            LogOp::Truncate { zxid, reload } => {
                outside.stats.truncations += 1;
                outside.stats.reloads += u64::from(reload);
                let is_wrong = outside.options.plant == Some(Plant::TruncOffByOne)
                    && self.storage.truncate(zxid.next()).is_ok();
                match if is_wrong { Ok(()) } else { self.storage.truncate(zxid) } {
                    Ok(()) => {}
                    Err(error @ TruncateError::Changing { .. }) => {
                        return Err(LogFailed(error.to_string()));
                    }
                    Err(_) => {
                        mail.push(Input::TruncateFailed(self.reload()?));
                        return Ok(());
                    }
                }
                let log = &mut outside.witness.logs[own.index];
                log.synced = log.synced.min(zxid);
                let found = if reload { Some(self.reload()?) } else { None };
                mail.push(Input::Truncated(found));
            }
            LogOp::Install(tree) => {
                self.storage.install(&tree)?;
                outside.witness.logs[own.index].installed();
            }
        }
        Ok(())
    }

    fn reload(&mut self) -> Result<Found, LogFailed> {
        let found = self.storage.recover().map_err(|error| LogFailed(error.to_string()))?;
        Ok(Found { tree: found.tree, history: found.tail, txns_logged: found.txns_replayed })
    }

    /// The process dies now: perhaps in the middle of what the disk was doing.
    pub(super) fn die(&mut self, outside: &mut Outside, disk: &MemoryDisk) {
        if self.batch.is_empty() || outside.disks.one_in(3) {
            return;
        }
        let at = disk.operations() + outside.disks.below(6);
        disk.set_faults(Faults { power_off_at: Some(at), ..Faults::default() });
        for op in std::mem::take(&mut self.batch) {
            // Nobody is told how far it came.
            let _ = match op {
                LogOp::Append { zxid, body } => {
                    self.storage.append(zxid, &body);
                    Ok(())
                }
                LogOp::WriteEpoch(EpochFile::Accepted, epoch) => {
                    self.storage.write_accepted_epoch(epoch)
                }
                LogOp::WriteEpoch(EpochFile::Current, epoch) => {
                    self.storage.write_current_epoch(epoch)
                }
                LogOp::Truncate { zxid, .. } => {
                    self.storage.truncate(zxid).map_err(io::Error::other)
                }
                LogOp::Install(tree) => self.storage.install(&tree),
                LogOp::Roll => Ok(()),
            };
        }
        let _ = self.storage.commit();
        disk.set_faults(Faults::default());
    }

    fn ring(&mut self, outside: &mut Outside, own: Own) {
        if self.batch.is_empty() && !self.ops.is_empty() {
            let at = outside.wake_time();
            let turn = Event::Turn(own.index, own.start, Turn::Log);
            self.alarm.set(&mut outside.queue, at, turn);
        }
    }
}

/// Where everything of a server is.
pub(super) fn directory() -> PathBuf {
    PathBuf::from("/data/version-2")
}

/// What the logs hold behind `base`, up to `last`.
pub(super) fn records(disk: &MemoryDisk, base: Zxid, last: Zxid) -> BTreeMap<Zxid, TxnBody> {
    let mut records = BTreeMap::new();
    let files = names::logs(disk, &directory()).expect("the directory is there");
    for file in files {
        let reader = LogReader::open(disk, &file.path, usize::MAX);
        let mut reader = reader.expect("recovery has read it");
        while let Ok(Step::Record(record)) = reader.next() {
            if record.zxid > base && record.zxid <= last {
                records.insert(record.zxid, record.body.into());
            }
        }
    }
    records
}
