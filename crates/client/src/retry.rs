//! Doing it again when the link was to blame.

use std::future::Future;
use std::time::Duration;

use crate::client::Client;
use crate::error::{Error, Result};

/// How often, and after which pauses, something is tried again that failed with an error that
/// [is retryable](Error::is_retryable).
///
/// Mind that such a failure does not say that nothing was done: a create may find its own znode, a
/// delete may find none.
///
/// ```no_run
/// # async fn example(client: ostler_client::Client) -> ostler_client::Result<()> {
/// use std::time::Duration;
/// use ostler_client::Retry;
///
/// let retry = Retry::exponential(Duration::from_millis(50), Duration::from_secs(2), 10)
///     .within(Duration::from_secs(30));
/// let (data, _) = retry.run(&client, || client.get("/a")).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retry {
    /// How often it is tried again; `None` is without end.
    times: Option<u32>,
    base: Duration,
    max: Duration,
    within: Option<Duration>,
}

impl Retry {
    /// Not at all: one try.
    #[must_use]
    pub fn once() -> Self {
        Self::times(0, Duration::ZERO)
    }

    /// So many more tries, with a pause before each.
    #[must_use]
    pub fn times(times: u32, pause: Duration) -> Self {
        Self { times: Some(times), base: pause, max: pause, within: None }
    }

    /// Until it succeeds or fails for another reason, with a pause before each further try.
    #[must_use]
    pub fn forever(pause: Duration) -> Self {
        Self { times: None, base: pause, max: pause, within: None }
    }

    /// So many more tries, with pauses that begin at about `base` and double up to `max`. Each is
    /// between half of it and the whole, at random, so that clients do not come back all at once.
    #[must_use]
    pub fn exponential(base: Duration, max: Duration, times: u32) -> Self {
        Self { times: Some(times), base, max, within: None }
    }

    /// No further try begins when so much time has passed since the first.
    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        self.within = Some(time);
        self
    }

    /// Runs `operation` until it succeeds, fails for good, or the tries are used up; the last
    /// outcome.
    ///
    /// # Errors
    /// Those of `operation`.
    pub async fn run<T, F>(&self, client: &Client, mut operation: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let runtime = client.runtime();
        let start = runtime.now();
        let mut tries = 0;
        loop {
            let error = match operation().await {
                Err(error) if error.is_retryable() => error,
                outcome => return outcome,
            };
            let pause = self.pause(tries, runtime.random());
            let elapsed = runtime.now().saturating_sub(start);
            let is_late = self.within.is_some_and(|within| elapsed + pause > within);
            if self.times.is_some_and(|times| tries >= times) || is_late {
                return Err(error);
            }
            tries = tries.saturating_add(1);
            runtime.sleep(pause).await;
            if error == Error::Overloaded {
                client.ready().await?;
            }
        }
    }

    /// How long to wait after so many further tries.
    fn pause(&self, tries: u32, random: u64) -> Duration {
        if self.base == self.max {
            return self.base;
        }
        let pause = self.base.saturating_mul(2_u32.saturating_pow(tries)).min(self.max);
        let half = pause / 2;
        let random_ns = u128::from(random) % (half.as_nanos() + 1);
        half + Duration::from_nanos(u64::try_from(random_ns).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_maximum() {
        let ms = Duration::from_millis;
        let retry = Retry::exponential(ms(100), ms(1000), 9);
        for (tries, whole) in [(0, 100), (1, 200), (3, 800), (4, 1000), (40, 1000)] {
            for random in [0, 7, u64::MAX] {
                let pause = retry.pause(tries, random);
                assert!((ms(whole / 2)..=ms(whole)).contains(&pause), "{tries}: {pause:?}");
            }
        }
        assert_eq!(Retry::times(3, ms(5)).pause(2, 99), ms(5));
    }
}
