//! Removing snapshots and logs that nobody needs any more.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ostler_disk::purge;
use ostler_disk::real_disk::RealDisk;
use ostler_wire::ids::WallMs;

use super::in_use::lock_all;
use super::java_text::Dates;
use super::screen::{Refusal, Screen};

/// What is cleaned up, and how much stays.
#[derive(Clone, Debug)]
pub(crate) struct Cleanup {
    /// `dataLogDir`.
    pub(crate) log_dir: PathBuf,
    /// `dataDir`.
    pub(crate) snap_dir: PathBuf,
    /// How many snapshots stay, with what follows the oldest of them.
    pub(crate) keep: usize,
    /// Whether a server may be using the directories.
    pub(crate) may_be_in_use: bool,
}

/// Removes what is not needed and tells what that was.
///
/// With a server at work this is what its own purging does: what is removed is older than snapshots
/// that were found to be complete, and a server that looks for the removed file at that moment
/// fails as it would have a moment later.
// Java: PurgeTxnLog.
pub(crate) fn clean_up(screen: &mut Screen<'_>, what: &Cleanup) -> Result<(), Refusal> {
    let Cleanup { log_dir, snap_dir, keep, may_be_in_use } = what;
    let _locks = match may_be_in_use {
        true => Vec::new(),
        false => lock_all(&[snap_dir, log_dir]).map_err(|error| {
            Refusal::new(
                1,
                format!(
                    "{error}. A server can clean up by itself: set autopurge.purgeInterval and \
                     autopurge.snapRetainCount. To clean up beside it, use --in-use"
                ),
            )
        })?,
    };
    let (snap_dir, log_dir) = (snap_dir.join(VERSION_DIR), log_dir.join(VERSION_DIR));
    let failed = |path: &Path, error: &io::Error| {
        Refusal::new(1, format!("cannot clean up {}: {error}", path.display()))
    };
    let superfluous = purge::superfluous(&RealDisk, &snap_dir, &log_dir, *keep)
        .map_err(|error| failed(&snap_dir, &error))?;
    let dates = Dates::local();
    // Logs first, as it always was; nobody recovers from an old snapshot without its log.
    for path in superfluous.logs.iter().chain(&superfluous.snapshots) {
        let changed = fs::metadata(path)
            .and_then(|found| found.modified())
            .map_err(|error| failed(path, &error))?;
        let since = changed.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let changed = WallMs(i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
        writeln!(screen.out, "Removing file: {}\t{}", dates.medium(changed), path.display())?;
        if fs::remove_file(path).is_err() {
            screen.out.flush()?;
            eprintln!("Failed to remove {}", path.display());
        }
    }
    Ok(())
}

/// Where in a data directory the files are.
const VERSION_DIR: &str = "version-2";
