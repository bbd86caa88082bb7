//! Waits until the disk has done what earlier runs left to it.
//!
//! Where a file system tells its device of freed blocks, removing the gigabytes of one run can hold
//! up every sync for tens of milliseconds well into the next one, whoever's turn that is.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

/// A disk is quiet when nothing has taken longer for so long.
const SLOW: Duration = Duration::from_millis(10);
const QUIET_FOR: Duration = Duration::from_secs(2);

/// It is not waited for longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Makes, syncs and removes files in `dir` until that is quick.
pub(super) fn wait(dir: &Path) -> io::Result<()> {
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
