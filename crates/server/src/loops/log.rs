//! The log thread: everything that waits becomes one write and one sync, and whatever else is done
//! to history on disk is done here, in order.
//!
//! There is no timer: while one sync runs, the next batch gathers. A log that cannot be written
//! ends the server, since nothing could be acknowledged any more and nobody knows what is on disk.

use std::io;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use ostler_disk::disk::Disk;
use ostler_disk::storage::Storage;
use ostler_disk::truncate::TruncateError;
use ostler_node::replica::{EpochFile, Found, Input, LogOp};
use ostler_wire::ids::Zxid;

use crate::mail::{ReplicaBox, ReplicaMail};

/// What the log thread works with.
pub(crate) struct LogLoop<D: Disk> {
    pub(crate) storage: Storage<D>,
    pub(crate) mail: Receiver<Vec<LogOp>>,
    pub(crate) replica: ReplicaBox,
    /// `fsync.warningthresholdms`.
    pub(crate) slow_sync: Duration,
    /// Whether transactions and the epoch they belong to are written: `false` for an observer that
    /// leaves that to the voters (`syncEnabled=false`).
    ///
    /// What is on its disk is then a history that ended early: a promise of an epoch, and
    /// snapshots. The current epoch stays behind with it, unlike in Java, so that the server could
    /// become a voter without winning elections by an epoch of which it lacks the history.
    pub(crate) keeps_log: bool,
}

impl<D: Disk + Clone> LogLoop<D> {
    /// Runs until the replica is gone and everything it sent is on disk.
    pub(crate) fn run(mut self) -> io::Result<()> {
        while let Ok(ops) = self.mail.recv() {
            self.batch(ops)?;
        }
        Ok(())
    }

    /// Takes what is there, up to a bound, and brings it to disk.
    fn batch(&mut self, first: Vec<LogOp>) -> io::Result<()> {
        let mut batch = Batch::default();
        self.take(first, &mut batch)?;
        while batch.records < BATCH_RECORDS_MAX && batch.bytes < BATCH_BYTES_MAX {
            match self.mail.try_recv() {
                Ok(ops) => self.take(ops, &mut batch)?,
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        self.commit(&mut batch)
    }

    fn take(&mut self, ops: Vec<LogOp>, batch: &mut Batch) -> io::Result<()> {
        for op in ops {
            if let LogOp::Append { zxid, body } = op {
                if self.keeps_log {
                    self.storage.append(zxid, &body);
                }
                batch.last = Some(zxid);
                batch.records += 1;
                batch.bytes += body.len();
            } else {
                self.commit(batch)?;
                self.alone(op)?;
            }
        }
        Ok(())
    }

    fn commit(&mut self, batch: &mut Batch) -> io::Result<()> {
        let Some(last) = std::mem::take(batch).last else { return Ok(()) };
        if self.keeps_log {
            self.sync()?;
        }
        self.say(ReplicaMail::LogSynced(last));
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.storage.commit()?;
        let took = self.storage.last_sync();
        if took >= self.slow_sync {
            tracing::warn!(
                "the sync of the transaction log took {} ms: a slow disk delays every write",
                took.as_millis()
            );
        }
        Ok(())
    }

    /// Does what is no append. Everything before it is on disk.
    fn alone(&mut self, op: LogOp) -> io::Result<()> {
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
                self.say(ReplicaMail::Input(Input::EpochWritten(file, epoch)));
            }
            LogOp::Truncate { zxid, reload } => {
                let input = self.truncate(zxid, reload)?;
                self.say(ReplicaMail::Input(input));
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

    fn say(&self, mail: ReplicaMail) {
        self.replica.send(mail);
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
