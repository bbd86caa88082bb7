//! Queues: first in first out, and one whose items are locked while they are worked on.

pub(crate) mod entries;
mod locking;

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use crate::{Client, Error, Result};
use entries::{Deadline, Entries, changed, sequence};

pub use locking::{Item, LockingQueue};

/// First in, first out: Curator's `SimpleDistributedQueue`, and the queue of ZooKeeper's own
/// recipes. An item is a znode `<path>/qn-0000000001` that holds its data.
///
/// **Each item goes to one taker at most.** It is removed before it is returned, so it is lost with
/// a taker that dies then; a [`LockingQueue`] gives it to another one. When the link breaks just as
/// an item is removed, it may be lost, and [`Error::ConnectionLoss`] tells so; the same error from
/// [`Queue::put`] means that the item may or may not be there.
///
/// Dropping the future of a `take` while it removes an item loses that item; give it a time with
/// [`Queue::take_within`] instead, which only ends the waiting.
///
/// ```no_run
/// # async fn example(client: &ostler_client::Client) -> ostler_client::Result<()> {
/// use ostler_client::recipes::Queue;
///
/// let queue = Queue::new(client, "/jobs");
/// queue.put("paint the shed").await?;
/// let job = queue.take().await?;
/// assert_eq!(job, b"paint the shed");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Queue {
    entries: Entries<u32>,
    /// Names that were the first ones in the queue when it was listed last, and still are unless
    /// they are gone: new ones come behind them.
    front: Mutex<VecDeque<String>>,
}

impl Queue {
    /// The queue at `path`, which is created when it is needed.
    pub fn new(client: &Client, path: &str) -> Self {
        let order = |name: &str| sequence(name.strip_prefix(STEM)?);
        let entries = Entries::new(client, path.to_owned(), order);
        Self { entries, front: Mutex::new(VecDeque::new()) }
    }

    /// Puts an item at the end.
    ///
    /// # Errors
    /// [`Error::ConnectionLoss`] when the link broke: the item may be in the queue.
    pub async fn put(&self, data: impl AsRef<[u8]>) -> Result<()> {
        self.entries.add(STEM, data.as_ref()).await
    }

    /// Takes the first item; waits for one when there is none.
    ///
    /// # Errors
    /// [`Error::ConnectionLoss`] when the link broke and an item may be lost.
    pub async fn take(&self) -> Result<Vec<u8>> {
        let taken = self.take_until(Deadline::NEVER).await?;
        Ok(taken.expect("it waits for one"))
    }

    /// Takes the first item, and waits for one no longer than so long.
    ///
    /// # Errors
    /// As [`Queue::take`].
    pub async fn take_within(&self, time: Duration) -> Result<Option<Vec<u8>>> {
        self.take_until(Deadline::after(&self.entries.client, time)).await
    }

    /// Takes the first item if there is one.
    ///
    /// # Errors
    /// As [`Queue::take`].
    pub async fn try_take(&self) -> Result<Option<Vec<u8>>> {
        loop {
            if let Some(data) = self.claim_front().await? {
                return Ok(Some(data));
            }
            let names = self.entries.list().await?;
            if names.is_empty() {
                return Ok(None);
            }
            self.refill(names);
        }
    }

    /// The data of the first item, which stays in the queue.
    ///
    /// # Errors
    /// When the servers refuse it or the session is over.
    pub async fn peek(&self) -> Result<Option<Vec<u8>>> {
        for (_, name) in self.entries.list().await? {
            let data = self.entries.read(&name).await?;
            if data.is_some() {
                return Ok(data);
            }
        }
        Ok(None)
    }

    /// How many items there are.
    ///
    /// # Errors
    /// When the servers refuse it or the session is over.
    pub async fn len(&self) -> Result<usize> {
        self.entries.count().await
    }

    async fn take_until(&self, deadline: Deadline) -> Result<Option<Vec<u8>>> {
        let client = &self.entries.client;
        loop {
            if let Some(data) = self.claim_front().await? {
                return Ok(Some(data));
            }
            let (names, watch) = self.entries.list_and_watch().await?;
            if !names.is_empty() {
                self.refill(names);
            } else if deadline.is_over(client) {
                return Ok(None);
            } else {
                changed(client, watch, deadline.left(client, None)).await;
                over(client)?;
            }
        }
    }

    /// Takes one of those that are known to be first.
    async fn claim_front(&self) -> Result<Option<Vec<u8>>> {
        loop {
            let front = || self.front.lock().expect("nobody panics with it");
            let Some(name) = front().pop_front() else { return Ok(None) };
            if let Some(data) = self.entries.claim(&name).await? {
                return Ok(Some(data));
            }
            // Others take too: what is known is old.
            front().clear();
        }
    }

    fn refill(&self, names: Vec<(u32, String)>) {
        let mut front = self.front.lock().expect("nobody panics with it");
        *front = names.into_iter().map(|(_, name)| name).collect();
    }
}

const STEM: &str = "qn-";

/// Ends a wait whose watch is ready because there is no session any more.
pub(crate) fn over(client: &Client) -> Result<()> {
    match client.state() {
        crate::State::Lost => Err(Error::SessionExpired),
        crate::State::AuthFailed => Err(Error::AuthFailed),
        crate::State::Closed => Err(Error::Closed),
        _ => Ok(()),
    }
}
