//! A queue whose items can be taken when their time has come.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::queue::entries::{Deadline, Entries, changed, sequence};
use super::queue::over;
use crate::{Client, Result};

/// A queue whose items can be taken when their time has come: Curator's `DistributedDelayQueue`
/// (without a lock path). An item is a znode `<path>/queue-|0192F3A4B5C6|0000000001`; between the
/// bars is the time from which on it may be taken, in milliseconds since 1970.
///
/// Those whose time came first are taken first. The clocks of those who put and take should agree;
/// see [`DelayQueue::clock`]. Each `take` asks for all names, so it is meant for thousands of
/// items and not for millions.
///
/// What it guarantees is what a [`Queue`](super::Queue) does: each item goes to one taker at most.
/// A znode of Curator's that holds several items is taken at once: those behind the first wait in
/// this value for the next `take`.
///
/// ```no_run
/// # async fn example(client: &ostler_client::Client) -> ostler_client::Result<()> {
/// use std::time::Duration;
/// use ostler_client::recipes::DelayQueue;
///
/// let queue = DelayQueue::new(client, "/reminders");
/// queue.put_after(Duration::from_secs(60), "tea is ready").await?;
/// let reminder = queue.take().await?;
/// # drop(reminder);
/// # Ok(())
/// # }
/// ```
pub struct DelayQueue {
    entries: Entries<Rank>,
    clock: Clock,
    /// Items of a znode that was taken with more than one.
    spare: Mutex<VecDeque<Vec<u8>>>,
}

type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// When it is due, then its number.
type Rank = (u64, u32);

impl DelayQueue {
    /// The queue at `path`, which is created when it is needed.
    pub fn new(client: &Client, path: &str) -> Self {
        // A clock that is set before 1970 is as good as one that stands at 1970.
        let clock = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let entries = Entries::new(client, path.to_owned(), rank);
        Self { entries, clock: Arc::new(clock), spare: Mutex::new(VecDeque::new()) }
    }

    /// Uses another clock than the operating system's: the time since 1970.
    #[must_use]
    pub fn clock(mut self, clock: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Puts an item that can be taken at a time since 1970, in whole milliseconds.
    ///
    /// # Errors
    /// [`Error::ConnectionLoss`](crate::Error::ConnectionLoss) when the link broke: the item may
    /// be in the queue.
    pub async fn put_at(&self, due: Duration, data: impl AsRef<[u8]>) -> Result<()> {
        let stem = format!("queue-|{:08X}|", due.as_millis());
        self.entries.add(&stem, &wrap(data.as_ref())).await
    }

    /// Puts an item that can be taken after so long.
    ///
    /// # Errors
    /// As [`DelayQueue::put_at`].
    pub async fn put_after(&self, delay: Duration, data: impl AsRef<[u8]>) -> Result<()> {
        self.put_at((self.clock)().saturating_add(delay), data).await
    }

    /// Takes the item that is due for the longest time; waits until one is due.
    ///
    /// # Errors
    /// [`Error::ConnectionLoss`](crate::Error::ConnectionLoss) when the link broke and an item may
    /// be lost.
    pub async fn take(&self) -> Result<Vec<u8>> {
        let taken = self.take_until(Deadline::NEVER).await?;
        Ok(taken.expect("it waits for one"))
    }

    /// The same, waiting no longer than so long.
    ///
    /// # Errors
    /// As [`DelayQueue::take`].
    pub async fn take_within(&self, time: Duration) -> Result<Option<Vec<u8>>> {
        self.take_until(Deadline::after(&self.entries.client, time)).await
    }

    /// How many items there are, due or not.
    ///
    /// # Errors
    /// When the servers refuse it or the session is over.
    pub async fn len(&self) -> Result<usize> {
        let spare = self.spare.lock().expect("nobody panics with it").len();
        Ok(self.entries.count().await? + spare)
    }

    async fn take_until(&self, deadline: Deadline) -> Result<Option<Vec<u8>>> {
        let client = &self.entries.client;
        loop {
            if let Some(data) = self.spare.lock().expect("nobody panics with it").pop_front() {
                return Ok(Some(data));
            }
            let (names, watch) = self.entries.list_and_watch().await?;
            let now = u64::try_from((self.clock)().as_millis()).unwrap_or(u64::MAX);
            let mut next_due = None;
            let mut claimed = None;
            for ((due, _), name) in names {
                if due > now {
                    next_due = Some(Duration::from_millis(due - now));
                    break;
                }
                claimed = self.entries.claim(&name).await?;
                if claimed.is_some() {
                    break;
                }
            }
            if let Some(data) = claimed {
                self.spare.lock().expect("nobody panics with it").extend(unwrap(&data));
            } else if deadline.is_over(client) {
                return Ok(None);
            } else {
                changed(client, watch, deadline.left(client, next_due)).await;
                over(client)?;
            }
        }
    }
}

impl fmt::Debug for DelayQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DelayQueue").field("path", &self.entries.path).finish_non_exhaustive()
    }
}

/// `queue-|<hexadecimal milliseconds>|<number>`.
fn rank(name: &str) -> Option<Rank> {
    let (due, digits) = name.strip_prefix("queue-|")?.split_once('|')?;
    let is_hexadecimal = due.bytes().all(|byte| byte.is_ascii_hexdigit());
    let due = u64::from_str_radix(due, 16).ok()?;
    is_hexadecimal.then_some((due, sequence(digits)?))
}

/// Curator's list of items: a version, then each item behind a 1 and its length, then a 2.
fn wrap(data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).expect("no request is that long");
    [&VERSION[..], &[ITEM], &length.to_be_bytes(), data, &[END]].concat()
}

/// The items; as many as can be read when the list is damaged.
fn unwrap(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut items = Vec::new();
    let Some(rest) = bytes.strip_prefix(&VERSION) else { return items };
    bytes = rest;
    while let [ITEM, a, b, c, d, rest @ ..] = bytes {
        let length = u32::from_be_bytes([*a, *b, *c, *d]);
        let Some((item, rest)) =
            usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length))
        else {
            break;
        };
        items.push(item.to_vec());
        bytes = rest;
    }
    items
}

const VERSION: [u8; 4] = [0, 1, 0, 1];
const ITEM: u8 = 1;
const END: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_when() {
        assert_eq!(rank("queue-|18BCFE568FB|0000000007"), Some((0x18B_CFE5_68FB, 7)));
        assert_eq!(rank("queue-|0000000A|0000000007"), Some((10, 7)));
        for stranger in ["queue-0000000001", "queue-|+A|0000000001", "queue-||1", "x"] {
            assert_eq!(rank(stranger), None, "{stranger}");
        }
    }

    #[test]
    fn items_are_wrapped_as_curator_does() {
        assert_eq!(wrap(b"ab"), [0, 1, 0, 1, 1, 0, 0, 0, 2, b'a', b'b', 2]);
        assert_eq!(unwrap(&wrap(b"ab")), [b"ab"]);
        let two = [&wrap(b"a")[..10], &[1, 0, 0, 0, 0, 2]].concat();
        assert_eq!(unwrap(&two), [b"a".to_vec(), Vec::new()]);
        assert_eq!(unwrap(b""), [b""; 0]);
        assert_eq!(unwrap(&[0, 1, 0, 1, 1, 0, 0, 0, 9, 1]), [b""; 0]);
    }
}
