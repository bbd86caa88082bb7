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
    /// It ticks as long as it is open.
    _timer: OwnedFd,
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
        Ok(Self { start, rate, issued: 0, next: start, _timer: timer })
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
