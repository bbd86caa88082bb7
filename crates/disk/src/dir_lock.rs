//! Keeps two servers from using one data directory at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// The exclusive use of a directory, given up when dropped or when the process ends, however it
/// ends.
///
/// The lock is the operating system's, on a file `ostler.lock` that holds the owner's process id
/// as text. The file stays there and means nothing by itself.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

/// Why a directory cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error(
        "{} is in use by another server{}. Stop that one or set another dataDir",
        dir.display(),
        owner.map_or_else(String::new, |pid| format!(", process {pid}"))
    )]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// The process, if it left its id.
        owner: Option<u32>,
    },
    /// The operating system refused.
    #[error("cannot lock {}: {source}", dir.display())]
    Refused {
        /// The directory.
        dir: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl DirLock {
    /// Takes the lock of an existing directory, or says who has it; never waits.
    pub fn acquire(dir: &Path) -> Result<Self, LockError> {
        let refused = |source| LockError::Refused { dir: dir.to_owned(), source };
        let options = &mut OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(dir.join("ostler.lock"))
            .map_err(refused)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                // Without the id the message is still right.
                let _ = file.take(16).read_to_string(&mut owner);
                let owner = owner.trim().parse().ok();
                return Err(LockError::InUse { dir: dir.to_owned(), owner });
            }
            Err(TryLockError::Error(source)) => return Err(refused(source)),
        }
        file.set_len(0).map_err(refused)?;
        file.rewind().map_err(refused)?;
        writeln!(file, "{}", std::process::id()).map_err(refused)?;
        Ok(Self { _file: file })
    }
}
