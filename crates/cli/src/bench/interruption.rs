//! Ctrl-C and SIGTERM: a load that is told to end sends nothing more, closes its sessions, removes
//! what it has made and fails. Told twice, it ends at once and leaves everything.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::process::ignores_signal;

/// Signals are the process's affair, and so is what they have told it.
static ASKED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// What shells call the end by SIGINT.
pub(crate) const EXIT_CODE: i32 = 130;

/// How long it may take to notice.
const NOTICED_WITHIN: Duration = Duration::from_millis(50);

/// Listens from now on.
pub(crate) fn listen() -> io::Result<()> {
    for signal in [SIGINT, SIGTERM].into_iter().filter(|signal| !ignores_signal(*signal)) {
        // In this order: the first signal finds the mark unset, and sets it.
        flag::register_conditional_shutdown(signal, EXIT_CODE, Arc::clone(&ASKED))?;
        flag::register(signal, Arc::clone(&ASKED))?;
    }
    Ok(())
}

/// Whether the load has been told to end.
pub(crate) fn is_asked_for() -> bool {
    ASKED.load(Ordering::Relaxed)
}

/// Fails if the load has been told to end.
pub(crate) fn check() -> io::Result<()> {
    match is_asked_for() {
        // Not the kind of a system call that a signal met, which is tried again.
        true => Err(io::Error::other("interrupted")),
        false => Ok(()),
    }
}

/// Sleeps until then, or until the load is told to end.
pub(crate) fn sleep_until(end: Instant) {
    while !is_asked_for() {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        thread::sleep(left.min(NOTICED_WITHIN));
    }
}
