//! The small part of a file system that this crate uses, and what it may rely on after a crash.
//!
//! Everything above is written against [`Disk`], so the same code runs on the operating system
//! ([`crate::real_disk`]) and on a simulated disk that tears, reorders and drops whatever was not
//! synced ([`crate::memory_disk`]).
//!
//! # The crash contract
//!
//! A crash of the *process* loses nothing that a call has returned from. After a crash of the
//! *machine*, nothing may be relied on but this:
//!
//! 1. When `sync_data` or `sync_all` of a file has returned `Ok`, every earlier write to that file
//!    and its length survive. They do not make the *name* of the file survive.
//! 2. Of the writes since the last sync, each sector of [`SECTOR_BYTES`] survives or not on its
//!    own, in any combination: a sector holds what it held at the last sync, or what it held after
//!    one of the writes since. Nothing smaller than a sector tears.
//! 3. The length survives likewise as any of the lengths since the last sync. Bytes inside it that
//!    were never written read as zero.
//! 4. A create, rename or remove survives for certain when `sync_dir` of its directory has
//!    returned `Ok`. Before that each of them survives or not on its own. A rename is atomic: the
//!    new name is the old file or the renamed one, never absent if it was present.
//! 5. When a write or a sync has failed, the state is that of 2 and 3 *for good*: a later sync of
//!    the same file that returns `Ok` proves nothing. So nobody ever retries; the writer stops.
//!
//! Rule 2 leans on sectors of 512 bytes, the least that any drive promises. Drives and file
//! systems with 4 KiB sectors promise more, not less.

use std::io;
use std::path::Path;
use std::sync::Arc;

/// The least unit that a crash keeps or drops as a whole.
pub const SECTOR_BYTES: usize = 512;

/// Directories and names. Paths are full paths; a name is in exactly one directory.
pub trait Disk: Send + Sync {
    /// An open file.
    type File: DiskFile;

    /// Opens an existing file for reading.
    fn open(&self, path: &Path) -> io::Result<Self::File>;

    /// Opens an existing file for reading and writing.
    fn open_writable(&self, path: &Path) -> io::Result<Self::File>;

    /// Makes an empty file and opens it for reading and writing; an existing one is emptied.
    fn create(&self, path: &Path) -> io::Result<Self::File>;

    /// The names of the files in a directory, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Whether there is a file or directory of that name.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Gives a file another name in the same directory, replacing a file that has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Makes one directory whose parent exists; nothing happens if it is there already.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Makes the names in a directory survive a crash.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Whether large files are read by a thread of their own. A simulated disk says no, so that
    /// one seed reproduces everything.
    fn reads_beside(&self) -> bool {
        false
    }
}

/// One open file, read and written at given offsets.
pub trait DiskFile: Send {
    /// The length in bytes.
    fn len_bytes(&self) -> io::Result<u64>;

    /// Reads what is at `offset`, possibly less than asked for; 0 only at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Where something other than zero may come next: at `offset` or behind it; `None` if nothing
    /// but zeros is left.
    fn next_data(&self, offset: u64) -> io::Result<Option<u64>> {
        Ok(Some(offset))
    }

    /// Writes all of `bytes` at `offset`, making the file longer if need be.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts the file, or makes it longer with bytes that read as zero.
    fn set_len(&mut self, len_bytes: u64) -> io::Result<()>;

    /// Makes content and length survive a crash.
    fn sync_data(&mut self) -> io::Result<()>;

    /// As [`Self::sync_data`], with the times and the rest of the metadata.
    fn sync_all(&mut self) -> io::Result<()>;
}

/// Makes a directory and whatever is missing above it, each durable before the next.
pub fn create_directories<D: Disk>(disk: &D, dir: &Path) -> io::Result<()> {
    if dir.as_os_str().is_empty() || disk.exists(dir)? {
        return Ok(());
    }
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    create_directories(disk, parent)?;
    disk.create_dir(dir)?;
    disk.sync_dir(parent)
}

/// Fills `buffer` from `offset` as far as the file goes and tells how far that was.
pub(crate) fn read_full<F: DiskFile>(
    file: &F,
    buffer: &mut [u8],
    offset: u64,
) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

impl<D: Disk> Disk for Arc<D> {
    type File = D::File;

    fn open(&self, path: &Path) -> io::Result<Self::File> {
        (**self).open(path)
    }

    fn open_writable(&self, path: &Path) -> io::Result<Self::File> {
        (**self).open_writable(path)
    }

    fn create(&self, path: &Path) -> io::Result<Self::File> {
        (**self).create(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        (**self).list(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        (**self).exists(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        (**self).remove(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        (**self).rename(from, to)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        (**self).create_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        (**self).sync_dir(dir)
    }

    fn reads_beside(&self) -> bool {
        (**self).reads_beside()
    }
}
