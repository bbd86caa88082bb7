//! A queue whose items are locked while somebody works on them.

use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use ostler_wire::ids::Zxid;

use super::entries::{Deadline, Entries, changed, ensure_path, present};
use super::over;
use crate::recipes::guard;
use crate::recipes::priority_queue::{Rank, check_priority, rank};
use crate::recipes::steady::{catch_up, insist, join, passes, pause, uuid};
use crate::runtime::race;
use crate::{Client, CreateOptions, Error, Result};

/// A queue whose items are locked while somebody works on them: kazoo's `LockingQueue`.
///
/// An item is a znode `<path>/entries/entry-100-0000000001` that holds its data, and is locked by
/// an ephemeral znode of the same name below `<path>/taken`. Items of smaller priority numbers come
/// first, those of the same number in the order in which they were put.
///
/// **Each item is worked on at least once**: when the session of the one that has it is lost
/// before [`Item::complete`], another one gets it. Two may work on the same one when the first
/// does not stop at [`Item::lost`]; a store that compares [`Item::fencing`] tokens keeps the first
/// one's late writes out.
///
/// ```no_run
/// # async fn example(client: &ostler_client::Client) -> ostler_client::Result<()> {
/// use ostler_client::recipes::LockingQueue;
///
/// let queue = LockingQueue::new(client, "/jobs");
/// queue.put("paint the shed").await?;
/// let job = queue.take().await?;
/// println!("working on {}", String::from_utf8_lossy(job.data()));
/// job.complete().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct LockingQueue {
    entries: Entries<Rank>,
    taken: Entries<Rank>,
}

impl LockingQueue {
    /// The queue at `path`, which is created when it is needed.
    pub fn new(client: &Client, path: &str) -> Self {
        Self {
            entries: Entries::new(client, join(path, "entries"), rank),
            taken: Entries::new(client, join(path, "taken"), rank),
        }
    }

    /// Puts an item at the end, with the usual priority of 100.
    ///
    /// # Errors
    /// [`Error::ConnectionLoss`] when the link broke: the item may be in the queue.
    pub async fn put(&self, data: impl AsRef<[u8]>) -> Result<()> {
        self.put_with(100, data).await
    }

    /// Puts an item with a priority of 0 (first) to 999.
    ///
    /// # Errors
    /// As [`LockingQueue::put`]; [`Error::BadArguments`] for a priority over 999.
    pub async fn put_with(&self, priority: u16, data: impl AsRef<[u8]>) -> Result<()> {
        let stem = format!("entry-{:03}-", check_priority(priority)?);
        self.entries.add(&stem, data.as_ref()).await
    }

    /// Puts all of these or none of them, with the same priority.
    ///
    /// # Errors
    /// As [`LockingQueue::put_with`].
    pub async fn put_all<D: AsRef<[u8]>>(&self, priority: u16, items: &[D]) -> Result<()> {
        let stem = format!("entry-{:03}-", check_priority(priority)?);
        let path = join(&self.entries.path, &stem);
        let options = CreateOptions::persistent().sequential();
        loop {
            let mut multi = self.entries.client.multi();
            for item in items {
                multi = multi.create(&path, item.as_ref(), &options);
            }
            match multi.send().await {
                Ok(_) => return Ok(()),
                Err(Error::Multi { cause, .. }) if *cause == Error::NoNode => {
                    ensure_path(&self.entries.client, &self.entries.path).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Locks the first item that nobody has; waits for one when there is none.
    ///
    /// # Errors
    /// When the servers refuse it or the session is over.
    pub async fn take(&self) -> Result<Item> {
        let item = self.take_until(Deadline::NEVER).await?;
        Ok(item.expect("it waits for one"))
    }

    /// The same, waiting no longer than so long.
    ///
    /// # Errors
    /// As [`LockingQueue::take`].
    pub async fn take_within(&self, time: Duration) -> Result<Option<Item>> {
        self.take_until(Deadline::after(&self.entries.client, time)).await
    }

    /// How many items there are, those that are worked on too.
    ///
    /// # Errors
    /// When the servers refuse it or the session is over.
    pub async fn len(&self) -> Result<usize> {
        self.entries.count().await
    }

    async fn take_until(&self, deadline: Deadline) -> Result<Option<Item>> {
        let client = &self.entries.client;
        loop {
            let (entries, entries_change) = self.entries.list_and_watch().await?;
            let (taken, taken_change) = self.taken.list_and_watch().await?;
            let taken: HashSet<_> = taken.into_iter().map(|(rank, _)| rank).collect();
            for (_, name) in entries.into_iter().filter(|(rank, _)| !taken.contains(rank)) {
                if let Some(item) = self.lock(&name).await? {
                    return Ok(Some(item));
                }
            }
            if deadline.is_over(client) {
                return Ok(None);
            }
            let change = race(entries_change, taken_change);
            changed(client, change, deadline.left(client, None)).await;
            over(client)?;
        }
    }

    /// Locks an item; nothing when somebody else has or had it.
    async fn lock(&self, name: &str) -> Result<Option<Item>> {
        let client = &self.entries.client;
        let entry = join(&self.entries.path, name);
        // From here on the lock is given back whatever happens, also when this future is dropped
        // before the answer has come.
        let token = uuid(client).replace('-', "");
        let lock = Arc::new(Lock { path: join(&self.taken.path, name), token });
        let mut item = Item {
            client: client.clone(),
            entry,
            lock: Some(lock.clone()),
            data: Vec::new(),
            czxid: Zxid::ZERO,
        };
        match lock.take(client).await {
            Ok(Some(czxid)) => item.czxid = czxid,
            Ok(None) => {
                item.lock = None;
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
        match present(insist(client, || client.get(&item.entry)).await)? {
            Some((data, _)) => {
                item.data = data;
                Ok(Some(item))
            }
            None => {
                item.release().await?;
                Ok(None)
            }
        }
    }
}

/// The ephemeral znode that locks an item.
#[derive(Debug)]
struct Lock {
    path: String,
    /// Its data, by which the one who made it knows it.
    token: String,
}

impl Lock {
    /// Its czxid; nothing when it is somebody else's.
    async fn take(&self, client: &Client) -> Result<Option<Zxid>> {
        let mut tries = 0;
        let ephemeral = CreateOptions::ephemeral();
        loop {
            match client.create(&self.path, self.token.as_bytes(), &ephemeral).await {
                Ok(created) => return Ok(Some(created.stat.czxid)),
                // Perhaps a creation that was done and not answered.
                Err(Error::NodeExists) if tries > 0 => return self.own(client).await,
                Err(Error::NodeExists | Error::NoNode) => return Ok(None),
                Err(error) if passes(&error) => pause(client, &mut tries).await,
                Err(error) => return Err(error),
            }
        }
    }

    /// Its czxid if it is there and one's own.
    async fn own(&self, client: &Client) -> Result<Option<Zxid>> {
        let found = present(insist(client, || client.get(&self.path)).await)?;
        let own = found.filter(|(data, _)| data == self.token.as_bytes());
        Ok(own.map(|(_, stat)| stat.czxid))
    }

    /// Deletes it if it is one's own. That is asked again after a try that was not answered: it may
    /// have been done, and the znode of that name be somebody else's by now.
    async fn give_back(&self, client: &Client) -> Result<()> {
        let mut tries = 0;
        while self.own(client).await?.is_some() {
            match client.delete(&self.path, None).await {
                Ok(()) | Err(Error::NoNode) => return Ok(()),
                Err(error) if passes(&error) => pause(client, &mut tries).await,
                Err(error) => return Err(error),
            }
            // The next server may not know yet what the last one did.
            catch_up(client, &self.path).await?;
        }
        Ok(())
    }
}

/// An item that is locked for one to work on. Dropping it gives it back to the queue, at its old
/// place, in the background.
#[must_use = "it is given back when dropped"]
pub struct Item {
    client: Client,
    /// Path of the item.
    entry: String,
    /// Taken when it is dealt with.
    lock: Option<Arc<Lock>>,
    data: Vec<u8>,
    czxid: Zxid,
}

impl Item {
    /// What was put into the queue.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The name of its znode, which no other item of the queue has or had.
    pub fn name(&self) -> &str {
        self.entry.rsplit('/').next().unwrap_or_default()
    }

    /// The fencing token: of two that had the same item, the later one's is greater.
    pub fn fencing(&self) -> Zxid {
        self.czxid
    }

    /// Is ready when the lock can no longer be relied on, as
    /// [`Guard::lost`](crate::recipes::Guard::lost) is.
    pub fn lost(&self) -> impl Future<Output = ()> + Send + use<> {
        let path = self.lock.as_ref().map(|lock| lock.path.clone()).unwrap_or_default();
        guard::lost(self.client.clone(), path, self.czxid)
    }

    /// Removes it from the queue for good.
    ///
    /// # Errors
    /// [`Error::SessionExpired`] when the session was lost before: somebody else has it or will
    /// have it. [`Error::NoNode`] when somebody has deleted its znode or the lock's.
    pub async fn complete(mut self) -> Result<()> {
        let lock = Arc::clone(self.lock.as_ref().expect("it is dealt with once"));
        let client = self.client.clone();
        let (mut tries, mut unsure) = (0, false);
        loop {
            let multi = client.multi().delete(&self.entry, None).delete(&lock.path, None);
            match multi.send().await {
                Ok(_) => break,
                Err(error) if passes(&error) => {
                    unsure = true;
                    pause(&client, &mut tries).await;
                }
                // Done the first time, and not answered.
                Err(Error::Multi { index: 0, cause }) if unsure && *cause == Error::NoNode => break,
                Err(Error::Multi { cause, .. }) => return Err(*cause),
                Err(error) => return Err(error),
            }
        }
        self.lock = None;
        Ok(())
    }

    /// Gives it back to the queue, at its old place.
    ///
    /// # Errors
    /// When the servers refuse it. That it was lost before is no error.
    pub async fn release(mut self) -> Result<()> {
        let lock = Arc::clone(self.lock.as_ref().expect("it is dealt with once"));
        // The future may be dropped: then it is given back in the background.
        match lock.give_back(&self.client).await {
            Ok(()) | Err(Error::SessionExpired | Error::Closed) => {
                self.lock = None;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        let Some(lock) = self.lock.take() else { return };
        let client = self.client.clone();
        let runtime = Arc::clone(client.runtime());
        // Nobody is left to hear of an error; the session's end gives it back too.
        runtime.spawn(Box::pin(async move { drop(lock.give_back(&client).await) }));
    }
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { entry, czxid, .. } = self;
        f.debug_struct("Item").field("entry", entry).field("fencing", czxid).finish_non_exhaustive()
    }
}
