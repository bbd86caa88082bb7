//! A lock that many readers or one writer hold at a time.
//!
//! **Layout** (Curator's `InterProcessReadWriteLock`; with [`Layout::Kazoo`] kazoo's `ReadLock` and
//! `WriteLock`): as a mutex, but a reader's node is marked `__READ__`, a writer's `__WRIT__`
//! (kazoo: `__rlock__`, `__lock__`). A writer waits for everybody before it, a reader for the
//! writers before it.
//!
//! **Guarantees.** Those of the mutex between a writer and everyone else. Nobody is passed by: a
//! reader that comes after a waiting writer waits for it, so neither kind starves.

use std::time::Duration;

use crate::{Acl, Client, Error, Result};

use super::guard::Guard;
use super::line::Line;
use super::order::{CURATOR_READ, CURATOR_WRITE, KAZOO_LOCK, KAZOO_READ, Marks, sequence_of};
use super::seat::Layout;

/// A lock that many readers or one writer hold at a time.
///
/// ```no_run
/// # async fn run() -> ostler_client::Result<()> {
/// use ostler_client::{Client, recipes::RwLock};
///
/// let client = Client::connect("localhost:2181").await?;
/// let lock = RwLock::new(&client, "/locks/table");
/// let one = lock.read().await?;
/// let other = lock.read().await?;
/// assert!(lock.try_write().await?.is_none());
/// drop((one, other));
/// let guard = lock.write().await?;
/// let guard = lock.downgrade(guard).await?; // nobody else wrote in between
/// # drop(guard);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RwLock {
    line: Line,
}

impl RwLock {
    /// A lock at `path`, whose children are its contenders. Nothing is asked of the server yet.
    pub fn new(client: &Client, path: impl Into<String>) -> Self {
        Self { line: Line::new(client, path.into(), Marks::read_write()) }
    }

    /// Names its nodes in the way of another client library.
    #[must_use]
    pub fn layout(mut self, layout: Layout) -> Self {
        self.line.layout = layout;
        self
    }

    /// What is written into a contender's node, for others to see who it is.
    #[must_use]
    pub fn data(mut self, data: impl Into<Vec<u8>>) -> Self {
        self.line.data = data.into();
        self
    }

    /// What the ACL of a contender's node is; by default everybody may do everything.
    #[must_use]
    pub fn acl(mut self, acl: Vec<Acl>) -> Self {
        self.line.acl = Some(acl);
        self
    }

    /// Where the lock is.
    pub fn path(&self) -> &str {
        &self.line.path
    }

    /// Waits until no writer is before.
    ///
    /// As with [`super::Mutex::acquire`] the future may be dropped.
    ///
    /// # Errors
    /// As with [`super::Mutex::acquire`].
    pub async fn read(&self) -> Result<Guard> {
        self.line.wait(self.read_mark()).await
    }

    /// Waits until nobody is before.
    ///
    /// As with [`super::Mutex::acquire`] the future may be dropped.
    ///
    /// # Errors
    /// As with [`super::Mutex::acquire`].
    pub async fn write(&self) -> Result<Guard> {
        self.line.wait(self.write_mark()).await
    }

    /// As [`Self::read`] for a limited time.
    ///
    /// # Errors
    /// As with [`super::Mutex::acquire`].
    pub async fn read_within(&self, time: Duration) -> Result<Option<Guard>> {
        self.line.wait_within(self.read_mark(), time).await
    }

    /// As [`Self::write`] for a limited time.
    ///
    /// # Errors
    /// As with [`super::Mutex::acquire`].
    pub async fn write_within(&self, time: Duration) -> Result<Option<Guard>> {
        self.line.wait_within(self.write_mark(), time).await
    }

    /// Reads if no writer holds it or waits for it.
    ///
    /// # Errors
    /// As with [`super::Mutex::acquire`].
    pub async fn try_read(&self) -> Result<Option<Guard>> {
        self.line.look(self.read_mark()).await
    }

    /// Writes if nobody holds it or waits for it.
    ///
    /// # Errors
    /// As with [`super::Mutex::acquire`].
    pub async fn try_write(&self) -> Result<Option<Guard>> {
        self.line.look(self.write_mark()).await
    }

    /// Makes a reader of a writer, in its place: nobody writes in between.
    ///
    /// The fencing token of the result is a new one, greater than all writers' before it.
    ///
    /// # Errors
    /// As with [`super::Mutex::acquire`], and [`Error::BadArguments`] for a guard that is not a
    /// writer's of this lock. The writer's place is given back then, too.
    pub async fn downgrade(&self, writer: Guard) -> Result<Guard> {
        let seat = writer.seat();
        let number =
            [CURATOR_WRITE, KAZOO_LOCK].into_iter().find_map(|mark| sequence_of(seat.name(), mark));
        let number = match number {
            Some(number) if seat.parent() == self.line.path => number,
            _ => return Err(Error::BadArguments),
        };
        // The reader's node has the writer's number, as Curator's has.
        let reader = self.line.take(self.read_mark(), Some(number)).await?;
        writer.release().await?;
        Ok(Guard::new(reader))
    }

    /// The data of the contenders' nodes in their order, readers and writers.
    ///
    /// # Errors
    /// What the server refuses with.
    pub async fn contenders(&self) -> Result<Vec<Vec<u8>>> {
        self.line.contenders().await
    }

    fn read_mark(&self) -> &'static str {
        match self.line.layout {
            Layout::Curator => CURATOR_READ,
            Layout::Kazoo => KAZOO_READ,
        }
    }

    fn write_mark(&self) -> &'static str {
        match self.line.layout {
            Layout::Curator => CURATOR_WRITE,
            Layout::Kazoo => KAZOO_LOCK,
        }
    }
}
