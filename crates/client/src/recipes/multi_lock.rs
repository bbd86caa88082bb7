//! Several locks held together.
//!
//! **Layout** (Curator's `InterProcessMultiLock`): that of each [`Mutex`]; nothing of its own.
//!
//! **Guarantees.** Those of each lock. They are taken one after the other in the order of their
//! paths, so that two who want the same locks never wait for each other; a Curator client beside
//! them has to name them in that order. When one is lost, all count as lost.

use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;

use crate::{Client, Result, Zxid};

use super::guard::Guard;
use super::mutex::Mutex;
use super::steady::within;

/// Several locks, held together or not at all.
///
/// ```no_run
/// # async fn run() -> ostler_client::Result<()> {
/// use ostler_client::{Client, recipes::MultiLock};
///
/// let client = Client::connect("localhost:2181").await?;
/// let both = MultiLock::new(&client, ["/locks/from", "/locks/to"]).acquire().await?;
/// both.release().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MultiLock {
    client: Client,
    mutexes: Vec<Mutex>,
}

impl MultiLock {
    /// The locks at these paths.
    pub fn new<P: Into<String>>(client: &Client, paths: impl IntoIterator<Item = P>) -> Self {
        Self::of(client, paths.into_iter().map(|path| Mutex::new(client, path)))
    }

    /// These locks, which may belong to different clients; the time is `client`'s.
    pub fn of(client: &Client, mutexes: impl IntoIterator<Item = Mutex>) -> Self {
        let mut mutexes: Vec<_> = mutexes.into_iter().collect();
        mutexes.sort_by(|a, b| a.path().cmp(b.path()));
        // The second would wait for the first for ever.
        mutexes.dedup_by(|a, b| a.path() == b.path());
        Self { client: client.clone(), mutexes }
    }

    /// Waits for all of them. Dropping the future gives back what it has.
    ///
    /// # Errors
    /// As with [`Mutex::acquire`].
    pub async fn acquire(&self) -> Result<MultiGuard> {
        let mut held = MultiGuard { guards: Vec::new() };
        for mutex in &self.mutexes {
            held.guards.push(mutex.acquire().await?);
        }
        Ok(held)
    }

    /// Waits for all of them for a limited time.
    ///
    /// # Errors
    /// As with [`Mutex::acquire`].
    pub async fn acquire_within(&self, time: Duration) -> Result<Option<MultiGuard>> {
        within(&self.client, time, self.acquire()).await.transpose()
    }

    /// Takes all of them if nobody holds any or waits for any.
    ///
    /// # Errors
    /// As with [`Mutex::acquire`].
    pub async fn try_acquire(&self) -> Result<Option<MultiGuard>> {
        let mut held = MultiGuard { guards: Vec::new() };
        for mutex in &self.mutexes {
            match mutex.try_acquire().await? {
                Some(guard) => held.guards.push(guard),
                None => {
                    held.release().await?;
                    return Ok(None);
                }
            }
        }
        Ok(Some(held))
    }
}

/// Several locks that are held. Dropping it gives them back in the background.
#[must_use = "they are given back when dropped"]
#[derive(Debug)]
pub struct MultiGuard {
    guards: Vec<Guard>,
}

impl MultiGuard {
    /// The fencing tokens, each with the path of its lock's node, in the order of the paths.
    pub fn fencing(&self) -> impl Iterator<Item = (&str, Zxid)> {
        self.guards.iter().map(|guard| (guard.path(), guard.fencing()))
    }

    /// Waits until one of them can no longer be relied on; see [`Guard::lost`].
    pub fn lost(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut all: Vec<_> = self.guards.iter().map(|guard| Box::pin(guard.lost())).collect();
        poll_fn(move |context| {
            let is_lost = all.iter_mut().any(|one| one.as_mut().poll(context).is_ready());
            if is_lost { Poll::Ready(()) } else { Poll::Pending }
        })
    }

    /// Gives all of them back, the last taken first.
    ///
    /// # Errors
    /// The first of what the server refuses with; the others are given back all the same.
    pub async fn release(mut self) -> Result<()> {
        let mut result = Ok(());
        while let Some(guard) = self.guards.pop() {
            result = result.and(guard.release().await);
        }
        result
    }
}
