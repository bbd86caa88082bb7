//! Room for file descriptors before there are threads.
//!
//! The system's table of open files begins small and doubles as connections come. In a process
//! with threads each doubling waits until every core has passed a quiet point, ten milliseconds in
//! which nobody is accepted: half of the time that it takes to open 6,000 sessions.

use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::process::{Resource, getrlimit};

/// Makes the table large at once, as far as descriptors are allowed at all.
pub(super) fn make_room() {
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let Some(last) = i32::try_from(allowed.min(ROOM)).ok().and_then(|room| room.checked_sub(1))
    else {
        return;
    };
    // A descriptor so high makes the table long enough, and nothing makes it shorter.
    match fcntl_dupfd_cloexec(std::io::stderr(), last) {
        Ok(high) => drop(high),
        // Taken, or no error output: then tables grow as they always do.
        Err(Errno::MFILE | Errno::BADF | Errno::INVAL) => {}
        Err(error) => tracing::debug!("no room for many connections beforehand: {error}"),
    }
}

/// Descriptors that there is room for: a table of 256 KiB in the system.
const ROOM: u64 = 1 << 15;
