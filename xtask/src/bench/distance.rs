//! How far apart two cores are: what a line of memory takes from one to the other and back.
//!
//! The host of a virtual machine may move its processors while a row runs. Whatever one thread
//! tells another then takes several times as long as before, and figures that consist of little
//! else follow, of either server. So it is told beside them.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Looks for so long.
const LOOK: Duration = Duration::from_millis(50);

/// Ways there and back that are timed together.
const ROUNDS: u32 = 50;

/// Looks without an answer after which the other may not have a core.
const LOOKS_MAX: u32 = 1_000;

/// Ends the answers. No count comes so far.
const END: u32 = u32::MAX;

/// Microseconds there and back: of many times one of the shorter, since both threads may begin on
/// one core. Meaningless where there is no other.
pub(super) fn cores_apart_us() -> f64 {
    let ball = AtomicU32::new(0);
    let mut times = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut next = 1;
            while let Some(count) = wait_for(&ball, next) {
                ball.store(count + 1, Ordering::Release);
                next = count + 2;
            }
        });
        let mut count = 0;
        let end = Instant::now() + LOOK;
        while Instant::now() < end {
            let start = Instant::now();
            for _ in 0..ROUNDS {
                ball.store(count + 1, Ordering::Release);
                count += 2;
                wait_for(&ball, count);
            }
            times.push(start.elapsed());
        }
        ball.store(END, Ordering::Release);
    });
    times.sort_unstable();
    times[times.len() / 10].as_secs_f64() * 1e6 / f64::from(ROUNDS)
}

/// Waits until the ball shows this count; `None` at the end.
fn wait_for(ball: &AtomicU32, count: u32) -> Option<u32> {
    let mut looks = 0;
    loop {
        match ball.load(Ordering::Acquire) {
            END => return None,
            seen if seen == count => return Some(count),
            _ => {}
        }
        looks += 1;
        if looks < LOOKS_MAX {
            std::hint::spin_loop();
        } else {
            thread::yield_now();
            looks = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_distance() {
        assert!(cores_apart_us() > 0.0);
    }
}
