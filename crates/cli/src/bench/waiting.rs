//! How the load waits for replies.
//!
//! A thread that sleeps has to be woken by whoever sends to it. Over loopback that is the server,
//! on its own time, and where cores go to sleep, or belong to a virtual machine, it takes longer
//! than many a request. A client elsewhere costs the server nothing of the kind.

use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Poll};

/// Waits up to `wait` for something to happen, and looks again and again for up to `spin` of that
/// before it sleeps. Other threads may have the core between two looks.
pub(crate) fn wait(
    poll: &mut Poll,
    events: &mut Events,
    wait: Duration,
    spin: Duration,
) -> io::Result<()> {
    if !spin.min(wait).is_zero() {
        let end = Instant::now() + spin.min(wait);
        loop {
            look(poll, events, Duration::ZERO)?;
            if !events.is_empty() {
                return Ok(());
            }
            if Instant::now() >= end {
                break;
            }
            std::thread::yield_now();
        }
    }
    look(poll, events, wait)
}

/// Nothing has happened if a signal broke it off.
fn look(poll: &mut Poll, events: &mut Events, wait: Duration) -> io::Result<()> {
    match poll.poll(events, Some(wait)) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            events.clear();
            Ok(())
        }
        result => result,
    }
}
