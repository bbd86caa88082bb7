//! Waits until the disk has done what earlier runs left to it.
//!
//! Apache's server does not sync its snapshots, so the system writes gigabytes of them half a
//! minute later; and where a file system tells its device of freed blocks, removing them takes its
//! time, too. Both hold up every sync for tens of milliseconds, whoever's turn it is by then.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// A disk is quiet when nothing has taken longer for so long.
const SLOW: Duration = Duration::from_millis(10);
const QUIET_FOR: Duration = Duration::from_secs(2);

/// It is not waited for longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Has everything written, then makes, syncs and removes files in `dir` until that is quick.
pub(super) fn wait(dir: &Path) -> io::Result<()> {
    Command::new("sync").status()?;
    fs::create_dir_all(dir)?;
    let path = dir.join("probe");
    let start = Instant::now();
    let mut quiet_since = start;
    while quiet_since.elapsed() < QUIET_FOR {
        if start.elapsed() > PATIENCE {
            eprintln!("  the disk is busy with something else");
            break;
        }
        let before = Instant::now();
        let mut file = File::create(&path)?;
        file.write_all(&[1; 4096])?;
        // The file is new, so that what was removed before is done with, too.
        file.sync_all()?;
        fs::remove_file(&path)?;
        if before.elapsed() > SLOW {
            quiet_since = Instant::now();
        }
    }
    Ok(())
}
