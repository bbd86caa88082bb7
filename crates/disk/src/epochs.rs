//! The files `acceptedEpoch` and `currentEpoch` that servers of an ensemble keep.
//!
//! Each holds a decimal number and nothing else. A file is replaced as a whole: written under
//! another name, synced, renamed, and the rename synced. A standalone server has no use for them
//! and leaves them as they are, so that a directory can go to an ensemble and come back.
//!
//! # After a crash
//!
//! What follows a new leader brings its history to disk first and raises `currentEpoch` then. A
//! crash in between leaves a history that reaches into an epoch above `currentEpoch`. Since the
//! history arrives in order, a record of that epoch proves that everything before the epoch is
//! there too: raising the file is what was left to do, and
//! [`Storage::read_epochs`](crate::storage::Storage::read_epochs) does it. It does so only up to
//! `acceptedEpoch`, which was written before any history of that epoch could arrive; a history
//! beyond it has come into the directory in some other way, and is refused.

use std::io;
use std::path::{Path, PathBuf};

use ostler_wire::ids::{Epoch, Zxid};

use crate::disk::{Disk, DiskFile, read_full};

/// What the two files say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EpochFiles {
    /// The last epoch whose leader this server promised to follow.
    pub accepted: Option<Epoch>,
    /// The epoch of the history that this server holds.
    pub current: Option<Epoch>,
}

/// Why a server must not take part in an ensemble with these files. Nothing was changed, unless a
/// file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum EpochError {
    /// A file cannot be read or written.
    #[error("cannot use {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file holds something else than a number.
    #[error(
        "{} does not hold the number of an epoch. Restore it from a backup; or move the whole \
         data directory away, and this server gets everything from the others",
        path.display()
    )]
    NoNumber {
        /// The file.
        path: PathBuf,
    },
    /// The history is of an epoch that this server never agreed to.
    #[error(
        "the history reaches to zxid {last}, but currentEpoch is {} and acceptedEpoch {}: files \
         of different moments or servers were mixed in {}. Restore all of them from one backup; \
         or move the whole data directory away, and this server gets everything from the others",
        current.0, accepted.0, dir.display()
    )]
    HistoryAhead {
        /// The directory with the files.
        dir: PathBuf,
        /// The last transaction of history.
        last: Zxid,
        /// What `acceptedEpoch` says.
        accepted: Epoch,
        /// What `currentEpoch` says.
        current: Epoch,
    },
    /// `acceptedEpoch` is below `currentEpoch`.
    #[error(
        "acceptedEpoch is {}, below currentEpoch, which is {}, in {}. Restore both from one \
         backup; or move the whole data directory away, and this server gets everything from \
         the others",
        accepted.0, current.0, dir.display()
    )]
    AcceptedBehind {
        /// The directory with the files.
        dir: PathBuf,
        /// What `acceptedEpoch` says.
        accepted: Epoch,
        /// What `currentEpoch` says.
        current: Epoch,
    },
}

/// Reads both files of a snapshot directory; one that is missing or says nothing is `None`.
pub fn read_epochs<D: Disk>(disk: &D, snap_dir: &Path) -> io::Result<EpochFiles> {
    let read = |name| match read_epoch(disk, &snap_dir.join(name)) {
        Ok(epoch) => Ok(epoch),
        Err(EpochError::File { source, .. }) => Err(source),
        Err(error) => {
            tracing::warn!("{error}");
            Ok(None)
        }
    };
    Ok(EpochFiles { accepted: read(ACCEPTED)?, current: read(CURRENT)? })
}

/// What a server with the history up to `last` starts with: the accepted and the current epoch.
///
/// A missing file is written with the epoch of `last`; `currentEpoch` is raised as described above.
pub(crate) fn load_epochs<D: Disk>(
    disk: &D,
    snap_dir: &Path,
    last: Zxid,
) -> Result<(Epoch, Epoch), EpochError> {
    let read = |name| read_epoch(disk, &snap_dir.join(name));
    let (found_accepted, found_current) = (read(ACCEPTED)?, read(CURRENT)?);
    let reached = last.epoch();
    let accepted = found_accepted.unwrap_or(reached);
    let mut current = found_current.unwrap_or(reached);
    if current < reached {
        if accepted < reached {
            let dir = snap_dir.to_owned();
            return Err(EpochError::HistoryAhead { dir, last, accepted, current });
        }
        // Java: QuorumPeer.loadDataBase takes the number of an unfinished write. It was begun when
        // the history was on disk, so that is safe as far as it reaches.
        let begun = read_epoch(disk, &snap_dir.join(unfinished(CURRENT))).ok().flatten();
        let begun = begun.filter(|begun| (reached..=accepted).contains(begun));
        current = begun.unwrap_or(reached);
        tracing::warn!("raising currentEpoch to {}: a crash came before it was done", current.0);
    }
    if accepted < current {
        let dir = snap_dir.to_owned();
        return Err(EpochError::AcceptedBehind { dir, accepted, current });
    }
    // This one first, so that it is never the lower one.
    for (name, found, epoch) in
        [(ACCEPTED, found_accepted, accepted), (CURRENT, found_current, current)]
    {
        let written = if found == Some(epoch) {
            make_durable(disk, snap_dir, name)
        } else {
            write_epoch(disk, snap_dir, name, epoch)
        };
        let path = snap_dir.join(name);
        written.map_err(|source| EpochError::File { path, source })?;
    }
    Ok((accepted, current))
}

/// Writes the file `name` so that a crash leaves the old number or this one.
pub(crate) fn write_epoch<D: Disk>(
    disk: &D,
    snap_dir: &Path,
    name: &str,
    epoch: Epoch,
) -> io::Result<()> {
    let begun = snap_dir.join(unfinished(name));
    let mut file = disk.create(&begun)?;
    file.write_at(epoch.0.to_string().as_bytes(), 0)?;
    file.sync_all()?;
    disk.rename(&begun, &snap_dir.join(name))?;
    disk.sync_dir(snap_dir)
}

/// After a crash of the process alone, what was read may never have reached the disk, and others
/// are about to be told of it.
fn make_durable<D: Disk>(disk: &D, snap_dir: &Path, name: &str) -> io::Result<()> {
    disk.open(&snap_dir.join(name))?.sync_all()?;
    disk.sync_dir(snap_dir)
}

fn read_epoch<D: Disk>(disk: &D, path: &Path) -> Result<Option<Epoch>, EpochError> {
    let failed = |source| EpochError::File { path: path.to_owned(), source };
    let file = match disk.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(failed)?,
    };
    let mut bytes = [0; 32];
    let filled = read_full(&file, &mut bytes, 0).map_err(failed)?;
    let text = bytes.get(..filled).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let number = text.and_then(|text| text.lines().next()?.trim().parse::<i64>().ok());
    // Java: QuorumPeer.loadDataBase writes -1 when a server waits for its first data.
    let epoch = if number == Some(-1) { Some(0) } else { number.and_then(|it| it.try_into().ok()) };
    match epoch {
        Some(epoch) => Ok(Some(Epoch(epoch))),
        None => Err(EpochError::NoNumber { path: path.to_owned() }),
    }
}

fn unfinished(name: &str) -> String {
    format!("{name}.tmp")
}

/// The file with the newest epoch that this server has promised to follow.
pub(crate) const ACCEPTED: &str = "acceptedEpoch";

/// The file with the epoch whose history this server has.
pub(crate) const CURRENT: &str = "currentEpoch";
