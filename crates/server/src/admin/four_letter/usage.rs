//! What the process takes from its machine: open files and room on the disk.

use rustix::process::{Resource, getrlimit};
use std::fs;
use std::path::Path;

/// File descriptors that are open now; 0 where the system does not tell.
#[must_use]
pub fn open_files() -> u64 {
    let listed = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    // One of them is the listing itself.
    u64::try_from(listed.saturating_sub(1)).unwrap_or(u64::MAX)
}

/// File descriptors that may be open.
#[must_use]
pub fn open_files_max() -> u64 {
    // Java too has the greatest number for "as many as you like".
    getrlimit(Resource::Nofile).current.unwrap_or(i64::MAX.unsigned_abs())
}

/// Length of all files in a directory and below it; what cannot be read counts nothing.
///
/// Lengths are those that a reader sees: a log file that was allocated ahead counts in full.
#[must_use]
pub fn directory_size_bytes(directory: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    let size_bytes = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => directory_size_bytes(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size_bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_below_count_too() {
        let directory = std::env::temp_dir().join(format!("ostler-usage-{}", std::process::id()));
        fs::create_dir_all(directory.join("version-2")).expect("writable");
        fs::write(directory.join("a"), [0; 10]).expect("writable");
        fs::write(directory.join("version-2/b"), [0; 300]).expect("writable");
        assert_eq!(directory_size_bytes(&directory), 310);
        fs::remove_dir_all(&directory).expect("removable");
        assert_eq!(directory_size_bytes(&directory), 0);
    }

    #[test]
    fn descriptors_are_counted() {
        let before = open_files();
        assert!(before >= 3 && before <= open_files_max());
    }
}
