//! The data directory of one server as a whole: log, snapshots and epochs, and every change to what
//! history says.
//!
//! One thread owns it and carries out what the replica asks for, in order. Everything here is
//! durable when it returns `Ok`. After an error the state on disk is one that recovery knows, but
//! not a known one: the owner stops, except where [`TruncateError`] says otherwise.
//!
//! Snapshots are taken by another thread, with a [`Snapshots`] of the same storage.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ostler_tree::Tree;
use ostler_wire::ids::{Epoch, Zxid};

use crate::disk::Disk;
use crate::epochs::{self, EpochError};
use crate::install;
use crate::log::{Log, LogOptions};
use crate::recover::{self, RecoverError, RecoverOptions, Recovered};
use crate::snapshot::{self, SnapshotOptions};
use crate::snapshots::{Bar, Snapshots};
use crate::truncate::{self, TruncateError};

/// How a directory is written and read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StorageOptions {
    /// How the log is written.
    pub log: LogOptions,
    /// How snapshots are written.
    pub snapshot: SnapshotOptions,
    /// How the directory is read.
    pub recover: RecoverOptions,
}

/// The logs, snapshots and epoch files of a running server.
pub struct Storage<D: Disk> {
    disk: D,
    snap_dir: PathBuf,
    log_dir: PathBuf,
    options: StorageOptions,
    log: Log<D>,
    /// The last transaction that is or was here.
    last: Zxid,
    has_recovered: bool,
    bar: Arc<Bar>,
}

impl<D: Disk + Clone> Storage<D> {
    /// The directories must exist, and may be the same. Nothing is done yet: [`Self::recover`]
    /// comes first.
    pub fn new(disk: D, snap_dir: PathBuf, log_dir: PathBuf, options: StorageOptions) -> Self {
        let log = Log::new(disk.clone(), log_dir.clone(), options.log.clone());
        let (last, has_recovered, bar) = (Zxid::ZERO, false, Arc::default());
        Self { disk, snap_dir, log_dir, options, log, last, has_recovered, bar }
    }

    /// Finds what is there. To be called at the start, and again after a truncation if the tree is
    /// to be loaded.
    ///
    /// When [`Recovered::snapshot`] is `None` there is none, and [`Self::write_snapshot`] has to
    /// come before the first append.
    pub fn recover(&mut self) -> Result<Recovered, RecoverError> {
        // After a failed write what is read back is not what is on disk.
        self.log.commit().map_err(|source| {
            let path = self.log_dir.clone();
            RecoverError::Repair { path, source }
        })?;
        self.log.start_over();
        let options = &self.options.recover;
        let found = if self.has_recovered {
            recover::recover_again(&self.disk, &self.snap_dir, &self.log_dir, options)?
        } else {
            recover::recover(&self.disk, &self.snap_dir, &self.log_dir, options)?
        };
        self.has_recovered = true;
        self.last = self.last.max(found.last_zxid);
        Ok(found)
    }

    /// Adds a transaction to the batch. `body` is header, transaction and digest, encoded.
    pub fn append(&mut self, zxid: Zxid, body: &[u8]) {
        self.last = self.last.max(zxid);
        self.log.append(zxid, body);
    }

    /// Makes everything appended durable; see [`Log::commit`].
    pub fn commit(&mut self) -> io::Result<()> {
        self.log.commit()
    }

    /// Makes the next append begin a new file; see [`Log::roll`].
    ///
    /// # Panics
    /// If something was appended but not committed.
    pub fn roll(&mut self) {
        self.log.roll();
    }

    /// How long the disk took to sync the last commit.
    #[must_use]
    pub fn last_sync(&self) -> Duration {
        self.log.last_sync()
    }

    /// Drops everything behind `zxid` from logs and snapshots. What was appended is committed
    /// before.
    ///
    /// `zxid` must be in the logs, reachable from a snapshot, or be a snapshot itself.
    pub fn truncate(&mut self, zxid: Zxid) -> Result<(), TruncateError> {
        self.log.commit().map_err(|source| {
            let path = self.log_dir.clone();
            TruncateError::Changing { path, source }
        })?;
        self.log.start_over();
        // Before the snapshots are looked at, so that none comes later.
        let _barred = self.bar.put(zxid.next(), self.last);
        let max = self.options.recover.max_record_bytes;
        truncate::truncate(&self.disk, &self.snap_dir, &self.log_dir, zxid, max)
    }

    /// Puts `tree` in the place of everything that is there, as after a SNAP.
    pub fn install(&mut self, tree: &Tree) -> io::Result<()> {
        self.log.commit()?;
        self.log.start_over();
        self.last = self.last.max(tree.last_zxid());
        let _barred = self.bar.put(Zxid::NONE, self.last);
        let (snapshot, max) = (&self.options.snapshot, self.options.recover.max_record_bytes);
        install::install(&self.disk, &self.snap_dir, &self.log_dir, tree, snapshot, max).map(|_| ())
    }

    /// Writes a snapshot of `tree` at once; returns its path.
    pub fn write_snapshot(&self, tree: &Tree) -> io::Result<PathBuf> {
        snapshot::write_snapshot(&self.disk, &self.snap_dir, tree, &self.options.snapshot)
    }

    /// What takes snapshots on another thread.
    #[must_use]
    pub fn snapshots(&self) -> Snapshots<D> {
        Snapshots {
            disk: self.disk.clone(),
            snap_dir: self.snap_dir.clone(),
            log_dir: self.log_dir.clone(),
            options: self.options.snapshot,
            bar: Arc::clone(&self.bar),
        }
    }

    /// The accepted and the current epoch of a server with the history up to `last`; see
    /// [`epochs`] for what is put right.
    pub fn read_epochs(&self, last: Zxid) -> Result<(Epoch, Epoch), EpochError> {
        epochs::load_epochs(&self.disk, &self.snap_dir, last)
    }

    /// Notes the newest epoch that this server has promised to follow. What was appended is
    /// committed before.
    pub fn write_accepted_epoch(&mut self, epoch: Epoch) -> io::Result<()> {
        self.log.commit()?;
        epochs::write_epoch(&self.disk, &self.snap_dir, epochs::ACCEPTED, epoch)
    }

    /// Notes the epoch whose history this server has. What was appended is committed before.
    pub fn write_current_epoch(&mut self, epoch: Epoch) -> io::Result<()> {
        self.log.commit()?;
        epochs::write_epoch(&self.disk, &self.snap_dir, epochs::CURRENT, epoch)
    }
}
