//! When the requests of an open loop are due, and what wakes the loop then.
//!
//! A poll waits whole milliseconds, which is longer than most requests take; the kernel's timer
//! wakes it in between. It ticks at most every 50 µs: at a rate above that, each tick issues what
//! has become due since the last one, and the latencies say so, since they count from then.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

const TICK_MIN: Duration = Duration::from_micros(50);

/// Longest time between ticks, for rates of less than one request in that time.
const TICK_MAX: Duration = Duration::from_millis(50);

/// A clock that counts requests that are due.
pub(crate) struct Pacer {
    start: Instant,
    rate: f64,
    /// How many have been issued, and when the next one is due.
    issued: u64,
    next: Instant,
    timer: OwnedFd,
}

impl Pacer {
    /// Requests are due from `start` on, so many per second; `token` tells that some are.
    pub(crate) fn new(
        start: Instant,
        rate: f64,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Self> {
        let tick = Duration::from_secs_f64(1.0 / rate).clamp(TICK_MIN, TICK_MAX);
        let tick = Timespec::try_from(tick).expect("it is short");
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let times = Itimerspec { it_interval: tick, it_value: tick };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &times)?;
        registry.register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self { start, rate, issued: 0, next: start, timer })
    }

    /// Takes a tick; there is no other before that.
    pub(crate) fn take_tick(&self) -> io::Result<()> {
        match rustix::io::read(&self.timer, &mut [0; size_of::<u64>()]) {
            // It was taken already.
            Ok(_) | Err(Errno::AGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// When the next request is due.
    pub(crate) fn due(&self) -> Instant {
        self.next
    }

    /// Turns to the one after it.
    pub(crate) fn advance(&mut self) {
        self.issued += 1;
        // Counted from the start, so that nothing adds up.
        #[allow(clippy::cast_precision_loss)]
        let offset_s = self.issued as f64 / self.rate;
        self.next = self.start + Duration::from_secs_f64(offset_s);
    }

    /// How many requests that are due before `end` have not been issued.
    pub(crate) fn missing_at(&self, end: Instant) -> u64 {
        if self.next >= end {
            return 0;
        }
        let due = (end - self.start).as_secs_f64() * self.rate;
        // A count of requests that a bench can make is far below 2^52.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let due = due.ceil() as u64;
        due.saturating_sub(self.issued)
    }
}

#[cfg(test)]
mod tests {
    use mio::{Events, Poll};

    use super::*;

    #[test]
    fn ticks_go_on_and_what_is_due_is_counted() {
        let mut poll = Poll::new().unwrap();
        let start = Instant::now();
        let mut pacer = Pacer::new(start, 1000.0, poll.registry(), Token(7)).unwrap();
        let mut events = Events::with_capacity(4);
        for _ in 0..5 {
            // Without a tick this waits for ever.
            while events.is_empty() {
                poll.poll(&mut events, None).unwrap();
            }
            assert!(events.iter().all(|event| event.token() == Token(7)));
            events.clear();
            pacer.take_tick().unwrap();
        }
        for issued in 0..30 {
            assert_eq!(pacer.due(), start + Duration::from_millis(issued));
            pacer.advance();
        }
        assert_eq!(pacer.missing_at(start + Duration::from_millis(30)), 0);
        assert_eq!(pacer.missing_at(start + Duration::from_micros(39_500)), 10);
    }
}
