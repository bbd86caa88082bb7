//! What a client needs of the world besides bytes: time, tasks and randomness.
//!
//! Client and recipes reach all of it through [`Runtime`], so the very same code runs on tokio
//! ([`TokioRuntime`]) and in a simulator with a virtual clock.

use std::future::{Future, poll_fn};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use crate::error::{Error, Result};

/// A future that is ready when some time has passed.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A task without a result.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Time, tasks and randomness.
pub trait Runtime: Send + Sync + 'static {
    /// Time since some start that stays the same; never goes back.
    fn now(&self) -> Duration;
    /// Is ready after `time`.
    fn sleep(&self, time: Duration) -> Sleep;
    /// Runs `task` until it ends.
    fn spawn(&self, task: Task);
    /// Any number.
    fn random(&self) -> u64;
}

/// The tokio runtime in which it was made.
#[derive(Clone, Debug)]
pub struct TokioRuntime {
    handle: tokio::runtime::Handle,
    start: tokio::time::Instant,
}

impl TokioRuntime {
    /// The runtime of the calling task.
    ///
    /// # Errors
    /// [`Error::NoRuntime`] outside of a tokio runtime.
    pub fn current() -> Result<Self> {
        let handle = tokio::runtime::Handle::try_current().map_err(|_| Error::NoRuntime)?;
        Ok(Self { handle, start: tokio::time::Instant::now() })
    }
}

impl Runtime for TokioRuntime {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, time: Duration) -> Sleep {
        // A sleep belongs to the runtime in which it is made, also when another one waits for it.
        let _entered = self.handle.enter();
        Box::pin(tokio::time::sleep(time))
    }

    fn spawn(&self, task: Task) {
        self.handle.spawn(task);
    }

    fn random(&self) -> u64 {
        // Each has new keys, from the operating system's randomness.
        RandomState::new().build_hasher().finish()
    }
}

/// Which of two futures was ready first, and with what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Either<A, B> {
    /// The first.
    Left(A),
    /// The second.
    Right(B),
}

/// Waits for one of two futures and drops the other. When both are ready it is `a`.
///
/// ```
/// # async fn example(client: ostler_client::Client, watch: ostler_client::OneshotWatch) {
/// use std::time::Duration;
/// use ostler_client::runtime::{Either, race};
///
/// match race(watch, client.runtime().sleep(Duration::from_secs(5))).await {
///     Either::Left(event) => drop(event),
///     Either::Right(()) => {} // nothing happened for five seconds
/// }
/// # }
/// ```
pub async fn race<A: Future, B: Future>(a: A, b: B) -> Either<A::Output, B::Output> {
    let mut a = pin!(a);
    let mut b = pin!(b);
    poll_fn(|cx| {
        if let Poll::Ready(output) = a.as_mut().poll(cx) {
            return Poll::Ready(Either::Left(output));
        }
        b.as_mut().poll(cx).map(Either::Right)
    })
    .await
}

/// Waits for `future`, but no longer than `time`.
///
/// # Errors
/// [`Error::Timeout`] when the time is over.
pub async fn within<F: Future>(
    runtime: &dyn Runtime,
    time: Duration,
    future: F,
) -> Result<F::Output> {
    match race(future, runtime.sleep(time)).await {
        Either::Left(output) => Ok(output),
        Either::Right(()) => Err(Error::Timeout),
    }
}
