//! The files `acceptedEpoch` and `currentEpoch` that servers of an ensemble keep.
//!
//! A standalone server has no use for them and leaves them as they are, so that a directory can
//! go to an ensemble and come back.

use std::io;
use std::path::Path;

use ostler_wire::ids::Epoch;

use crate::disk::{Disk, read_full};

/// What the two files say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EpochFiles {
    /// The last epoch whose leader this server promised to follow.
    pub accepted: Option<Epoch>,
    /// The epoch of the history that this server holds.
    pub current: Option<Epoch>,
}

/// Reads both files of a snapshot directory; one that is missing or says nothing is `None`.
pub fn read_epochs<D: Disk>(disk: &D, snap_dir: &Path) -> io::Result<EpochFiles> {
    Ok(EpochFiles {
        accepted: read_epoch(disk, &snap_dir.join("acceptedEpoch"))?,
        current: read_epoch(disk, &snap_dir.join("currentEpoch"))?,
    })
}

fn read_epoch<D: Disk>(disk: &D, path: &Path) -> io::Result<Option<Epoch>> {
    let file = match disk.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut bytes = [0; 32];
    let filled = read_full(&file, &mut bytes, 0)?;
    let text = bytes.get(..filled).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let number = text.and_then(|text| text.lines().next()?.trim().parse().ok().map(Epoch));
    if number.is_none() {
        tracing::warn!("{} does not hold a number; left as it is", path.display());
    }
    Ok(number)
}
