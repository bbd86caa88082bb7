//! The log thread: everything that waits becomes one write and one sync.
//!
//! There is no timer: while one sync runs, the next batch gathers. A log that cannot be written
//! ends the server, since nothing could be acknowledged any more and nobody knows what is on disk.

use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::time::Duration;

use ostler_disk::disk::Disk;
use ostler_disk::log::Log;
use ostler_node::replica::LogOp;
use ostler_wire::ids::Zxid;

use crate::mail::ReplicaMail;

/// What the log thread works with.
pub(crate) struct LogLoop<D: Disk> {
    pub(crate) log: Log<D>,
    pub(crate) mail: Receiver<Vec<LogOp>>,
    pub(crate) replica: Sender<ReplicaMail>,
    /// `fsync.warningthresholdms`.
    pub(crate) slow_sync: Duration,
}

impl<D: Disk> LogLoop<D> {
    /// Runs until the replica is gone and everything it sent is on disk.
    pub(crate) fn run(mut self) -> std::io::Result<()> {
        while let Ok(ops) = self.mail.recv() {
            self.batch(ops)?;
        }
        Ok(())
    }

    /// Takes what is there, up to a bound, and brings it to disk.
    fn batch(&mut self, first: Vec<LogOp>) -> std::io::Result<()> {
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

    fn take(&mut self, ops: Vec<LogOp>, batch: &mut Batch) -> std::io::Result<()> {
        for op in ops {
            match op {
                LogOp::Append { zxid, body } => {
                    self.log.append(zxid, &body);
                    batch.last = Some(zxid);
                    batch.records += 1;
                    batch.bytes += body.len();
                }
                LogOp::WriteEpoch(..) | LogOp::Truncate { .. } | LogOp::Install(_) => {
                    unreachable!("a standalone server has no peers")
                }
                LogOp::Roll => {
                    self.commit(batch)?;
                    self.log.roll();
                }
            }
        }
        Ok(())
    }

    fn commit(&mut self, batch: &mut Batch) -> std::io::Result<()> {
        let Some(last) = std::mem::take(batch).last else { return Ok(()) };
        self.log.commit()?;
        let took = self.log.last_sync();
        if took >= self.slow_sync {
            tracing::warn!(
                "the sync of the transaction log took {} ms: a slow disk delays every write",
                took.as_millis()
            );
        }
        // Nobody listens only when the server ends.
        let _ = self.replica.send(ReplicaMail::LogSynced(last));
        Ok(())
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
