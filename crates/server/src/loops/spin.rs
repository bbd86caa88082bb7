//! Looking again for a moment before going to sleep, where that pays.
//!
//! To wake a thread that sleeps takes longer than to answer a request: a client that waits for each
//! answer has its next request there before the thread could be woken. So after a turn with little
//! to do the thread looks again for a moment, and lets others have the core between two looks. It
//! keeps a score: where nothing is found it soon sleeps at once, and tries ever less often.

use std::time::Duration;

/// Whether to look again, by what came of it lately.
#[derive(Debug)]
pub(crate) struct Spin {
    /// For how long, at most; zero is never.
    pub(crate) longest: Duration,
    /// Gains, less the losses. Invariant: below 0 it does not pay.
    score: i32,
    /// While it does not pay: waits without a try since the last one, and how many there are to be.
    untried: u32,
    pause: u32,
}

impl Spin {
    pub(crate) fn new(longest: Duration) -> Self {
        Self { longest, score: 0, untried: 0, pause: PAUSE_MIN }
    }

    /// Whether it is worth trying after a turn that was told of so many sockets.
    pub(crate) fn is_worth_it(&mut self, events: usize) -> bool {
        if self.longest.is_zero() || events > FEW_EVENTS {
            // Who comes next makes a batch with others.
            return false;
        }
        if self.score >= 0 {
            return true;
        }
        self.untried += 1;
        self.untried >= self.pause
    }

    /// Something was there before the thread would have slept.
    pub(crate) fn gained(&mut self) {
        self.score = (self.score.max(0) + 1).min(SCORE_MAX);
        self.pause = PAUSE_MIN;
    }

    /// Nothing was.
    pub(crate) fn lost(&mut self) {
        if self.score - LOSS >= 0 {
            self.score -= LOSS;
        } else {
            self.give_up();
        }
    }

    /// Others want the core, and keep it for longer than it takes to be woken.
    pub(crate) fn give_up(&mut self) {
        self.score = -1;
        self.untried = 0;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }
}

/// More than so many sockets in a turn are a batch.
const FEW_EVENTS: usize = 2;

/// A loss weighs as much as so many gains.
const LOSS: i32 = 4;
const SCORE_MAX: i32 = 16;

/// How many waits go by between tries where it does not pay.
const PAUSE_MIN: u32 = 64;
const PAUSE_MAX: u32 = 1 << 13;

/// Who is away from the core for so long would have been woken sooner.
pub(crate) const CROWDED: Duration = Duration::from_micros(50);

#[cfg(test)]
mod tests {
    use super::*;

    fn tries(spin: &mut Spin, waits: u32) -> u32 {
        (0..waits).map(|_| u32::from(spin.is_worth_it(1))).sum()
    }

    #[test]
    fn it_goes_on_while_it_pays() {
        let mut spin = Spin::new(Duration::from_micros(50));
        for _ in 0..100 {
            assert!(spin.is_worth_it(1));
            spin.gained();
        }
        assert!(!spin.is_worth_it(FEW_EVENTS + 1), "a batch gathers");
        for _ in 0..SCORE_MAX / LOSS {
            assert!(spin.is_worth_it(1));
            spin.lost();
        }
        assert!(spin.is_worth_it(1), "an equal score is no loss");
        spin.lost();
        assert!(!spin.is_worth_it(1));
    }

    #[test]
    fn it_is_tried_ever_less_often_where_it_does_not_pay() {
        let mut spin = Spin::new(Duration::from_micros(50));
        let mut waits = 0;
        for _ in 0..20 {
            while !spin.is_worth_it(1) {
                waits += 1;
            }
            spin.lost();
        }
        assert!(waits > 10 * PAUSE_MAX, "20 tries in {waits} waits");
        while !spin.is_worth_it(1) {}
        spin.gained();
        assert_eq!(tries(&mut spin, 10), 10, "it pays again");
    }

    #[test]
    fn it_can_be_forbidden() {
        assert_eq!(tries(&mut Spin::new(Duration::ZERO), 100_000), 0);
    }
}
