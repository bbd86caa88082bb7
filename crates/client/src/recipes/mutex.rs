//! A lock that one holds at a time, across processes and machines.
//!
//! **Layout** (Curator's `InterProcessMutex`, go-zookeeper's lock; with [`Layout::Kazoo`] kazoo's
//! `Lock`): the path is a container, each contender an ephemeral sequential child; the lowest
//! number holds the lock and each other one watches the one before it, so that a release wakes
//! one. Contenders of both layouts are seen.
//!
//! **Guarantees.** At most one session is first in line at any time, as the server sees it; the
//! order is that of arrival. When the holder's session ends the next in line gets the lock; what
//! the holder knows of that is said by [`Guard::lost`].

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Mutex as AsyncMutex;

use crate::{Acl, Client, Result};

use super::guard::Guard;
use super::line::Line;
use super::order::{CURATOR_LOCK, KAZOO_LOCK, Marks, Role};
use super::seat::Layout;

/// A lock that one holds at a time. It is not reentrant: see [`ReentrantMutex`].
///
/// ```no_run
/// # async fn run() -> ostler_client::Result<()> {
/// use ostler_client::{Client, recipes::Mutex};
///
/// let client = Client::connect("localhost:2181").await?;
/// let guard = Mutex::new(&client, "/locks/report").acquire().await?;
/// println!("locked, with token {:?}", guard.fencing());
/// guard.release().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Mutex {
    line: Line,
}

impl Mutex {
    /// A lock at `path`, whose children are its contenders. Nothing is asked of the server yet.
    pub fn new(client: &Client, path: impl Into<String>) -> Self {
        Self { line: Line::new(client, path.into(), Marks::mutex()) }
    }

    /// Names its nodes in the way of another client library.
    #[must_use]
    pub fn layout(mut self, layout: Layout) -> Self {
        self.line.layout = layout;
        self
    }

    /// Also stands aside for nodes whose names end in this mark and a sequence number, as with
    /// kazoo's `extra_lock_patterns`.
    #[must_use]
    pub fn beside(mut self, mark: &str) -> Self {
        self.line.marks.add(mark, Role::Exclusive);
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

    /// Waits for the lock.
    ///
    /// Dropping the future gives the place in the line back: no node stays behind, even when the
    /// answer to its creation was not there yet.
    ///
    /// # Errors
    /// [`Error::SessionExpired`](crate::Error::SessionExpired) and others that end a session, or
    /// what the server refuses with. Broken connections are waited out.
    pub async fn acquire(&self) -> Result<Guard> {
        self.line.wait(self.mark()).await
    }

    /// Waits for the lock for a limited time.
    ///
    /// # Errors
    /// As with [`Self::acquire`].
    pub async fn acquire_within(&self, time: Duration) -> Result<Option<Guard>> {
        self.line.wait_within(self.mark(), time).await
    }

    /// Takes the lock if nobody holds it or waits for it.
    ///
    /// # Errors
    /// As with [`Self::acquire`].
    pub async fn try_acquire(&self) -> Result<Option<Guard>> {
        self.line.look(self.mark()).await
    }

    /// The data of the contenders' nodes, the holder's first.
    ///
    /// # Errors
    /// What the server refuses with.
    pub async fn contenders(&self) -> Result<Vec<Vec<u8>>> {
        self.line.contenders().await
    }

    /// The same lock for another session.
    pub(crate) fn on(&self, client: &Client) -> Self {
        let mut other = self.clone();
        other.line.client = client.clone();
        other
    }

    fn mark(&self) -> &'static str {
        match self.line.layout {
            Layout::Curator => CURATOR_LOCK,
            Layout::Kazoo => KAZOO_LOCK,
        }
    }
}

/// A [`Mutex`] that whoever holds it through the same handle, or a clone of it, can take again.
///
/// The handle is the owner, as a thread is in Curator: give each task that shall exclude the
/// others a handle of its own by [`Self::new`], not a clone. The lock is released when
/// the last guard is dropped or released.
#[derive(Clone)]
pub struct ReentrantMutex {
    mutex: Mutex,
    held: Arc<AsyncMutex<Weak<Guard>>>,
}

impl ReentrantMutex {
    /// A reentrant lock with the settings of a plain one.
    pub fn new(mutex: Mutex) -> Self {
        Self { mutex, held: Arc::default() }
    }

    /// Takes the lock again if this handle holds it, otherwise waits for it.
    ///
    /// What is held may have been lost: see [`Guard::lost`]. It is not given out again once the
    /// client knows that its session is over.
    ///
    /// # Errors
    /// As with [`Mutex::acquire`].
    pub async fn acquire(&self) -> Result<Arc<Guard>> {
        let mut held = self.held.lock().await;
        if let Some(guard) = held.upgrade()
            && !guard.seat().client().state().is_final()
        {
            return Ok(guard);
        }
        let guard = Arc::new(self.mutex.acquire().await?);
        *held = Arc::downgrade(&guard);
        Ok(guard)
    }

    /// Gives one of the guards back. With the last one the lock is released, and the server's
    /// confirmation awaited.
    ///
    /// # Errors
    /// As with [`Guard::release`].
    pub async fn release(&self, guard: Arc<Guard>) -> Result<()> {
        match Arc::into_inner(guard) {
            Some(guard) => guard.release().await,
            None => Ok(()),
        }
    }
}
