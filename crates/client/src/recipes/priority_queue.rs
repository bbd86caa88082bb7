//! A queue from which the most urgent item is taken first.

use std::time::Duration;

use super::queue::entries::{Deadline, Entries, changed, sequence};
use super::queue::over;
use crate::{Client, Error, Result};

/// A queue from which the most urgent item is taken first: kazoo's `Queue`. An item is a znode
/// `<path>/entry-100-0000000001` that holds its data; the number between is its priority.
///
/// Smaller numbers come first, items of the same number in the order in which they were put. Each
/// `take` asks for all names, so it is meant for thousands of items and not for millions.
///
/// What it guarantees is what a [`Queue`](super::Queue) does: each item goes to one taker at most.
///
/// ```no_run
/// # async fn example(client: &ostler_client::Client) -> ostler_client::Result<()> {
/// use ostler_client::recipes::PriorityQueue;
///
/// let queue = PriorityQueue::new(client, "/alarms");
/// queue.put(500, "dust").await?;
/// queue.put(1, "fire").await?;
/// assert_eq!(queue.take().await?, b"fire");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct PriorityQueue {
    entries: Entries<Rank>,
}

/// What items are sorted by: priority, then number.
pub(crate) type Rank = (u16, u32);

impl PriorityQueue {
    /// The queue at `path`, which is created when it is needed.
    pub fn new(client: &Client, path: &str) -> Self {
        Self { entries: Entries::new(client, path.to_owned(), rank) }
    }

    /// Puts an item with a priority of 0 (first) to 999; 100 is the usual one.
    ///
    /// # Errors
    /// [`Error::BadArguments`] for a priority over 999. [`Error::ConnectionLoss`] when the link
    /// broke: the item may be in the queue.
    pub async fn put(&self, priority: u16, data: impl AsRef<[u8]>) -> Result<()> {
        let stem = format!("entry-{:03}-", check_priority(priority)?);
        self.entries.add(&stem, data.as_ref()).await
    }

    /// Takes the most urgent item; waits for one when there is none.
    ///
    /// # Errors
    /// [`Error::ConnectionLoss`] when the link broke and an item may be lost.
    pub async fn take(&self) -> Result<Vec<u8>> {
        let taken = self.take_until(Deadline::NEVER).await?;
        Ok(taken.expect("it waits for one"))
    }

    /// Takes the most urgent item, and waits for one no longer than so long.
    ///
    /// # Errors
    /// As [`PriorityQueue::take`].
    pub async fn take_within(&self, time: Duration) -> Result<Option<Vec<u8>>> {
        self.take_until(Deadline::after(&self.entries.client, time)).await
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
            let (names, watch) = self.entries.list_and_watch().await?;
            let none = names.is_empty();
            for (_, name) in names {
                let claimed = self.entries.claim(&name).await?;
                if claimed.is_some() {
                    return Ok(claimed);
                }
            }
            if none && deadline.is_over(client) {
                return Ok(None);
            }
            changed(client, watch, deadline.left(client, None)).await;
            over(client)?;
        }
    }
}

/// `entry-<priority>-<number>`.
pub(crate) fn rank(name: &str) -> Option<Rank> {
    let (priority, digits) = name.strip_prefix("entry-")?.split_once('-')?;
    Some((priority.parse().ok()?, sequence(digits)?))
}

pub(crate) fn check_priority(priority: u16) -> Result<u16> {
    if priority > 999 { Err(Error::BadArguments) } else { Ok(priority) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_priority_and_number() {
        let order = ["entry-001-0000000009", "entry-100-0000000002", "entry-100--2147483648"];
        let ranks: Vec<_> = order.iter().map(|name| rank(name).unwrap()).collect();
        assert!(ranks.is_sorted(), "{ranks:?}");
        for stranger in ["qn-0000000001", "entry-", "entry-1", "entry-x-0000000001"] {
            assert_eq!(rank(stranger), None, "{stranger}");
        }
        assert_eq!(check_priority(1000), Err(Error::BadArguments));
    }
}
