//! Keeping hands off directories that a server uses.

use std::path::Path;

use ostler_disk::dir_lock::{DirLock, LockError};

/// Locks directories that an Ostler server has used before, until the result is dropped.
///
/// A directory without the file that servers lock is nobody's: no file is made in it for that. A
/// server of Apache's locks nothing and cannot be noticed.
pub(crate) fn lock_all(dirs: &[&Path]) -> Result<Vec<DirLock>, LockError> {
    let mut locked: Vec<(std::path::PathBuf, DirLock)> = Vec::new();
    for dir in dirs {
        let Ok(known) = dir.canonicalize() else { continue };
        if known.join(LOCK_FILE).exists() && locked.iter().all(|(other, _)| *other != known) {
            locked.push((known, DirLock::acquire(dir)?));
        }
    }
    Ok(locked.into_iter().map(|(_, lock)| lock).collect())
}

const LOCK_FILE: &str = "ostler.lock";
