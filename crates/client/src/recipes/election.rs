//! A task that runs in one process at a time: that of the elected leader.
//!
//! **Layout** (Curator's `LeaderSelector`; with [`Layout::Kazoo`] kazoo's `Election`): a mutex at
//! the path, the candidates' ids being the data of their nodes. To hold the lock is to lead.
//!
//! **Guarantees.** Those of the [`Mutex`]. The task is stopped, its future dropped at the point
//! where it waits, as soon as the leadership cannot be relied on any more (see
//! [`super::Guard::lost`]): before another leader's task starts, provided it does not keep its
//! thread busy without waiting. The fencing token protects resources that are written by it.

use std::future::Future;

use crate::runtime::{Either, race};
use crate::{Client, Error, Result, Zxid};

use super::mutex::Mutex;
use super::seat::Layout;
use super::sessions::Sessions;

/// A candidate for the leadership.
///
/// ```no_run
/// # async fn run() -> ostler_client::Result<()> {
/// use ostler_client::{Client, recipes::{Election, Outcome}};
///
/// let client = Client::connect("localhost:2181").await?;
/// let election = Election::new(&client, "/leader", "host-1");
/// let outcome = election.run(|term| async move {
///     println!("leading, with token {:?}", term.fencing);
/// });
/// match outcome.await? {
///     Outcome::Finished(()) => println!("done"),
///     Outcome::Deposed => println!("stopped: somebody else may lead now"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Election {
    /// Whoever is elected once more may need another session.
    sessions: Sessions,
    mutex: Mutex,
}

/// A time of leading.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Term {
    /// The fencing token: of two leaders the later one's is greater.
    pub fencing: Zxid,
}

/// How a term has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// The task has ended.
    Finished(T),
    /// The leadership was lost and the task stopped.
    Deposed,
}

impl Election {
    /// A candidate named `id`. Nothing is asked of the server yet.
    pub fn new(client: &Client, path: impl Into<String>, id: impl Into<Vec<u8>>) -> Self {
        Self { sessions: Sessions::new(client), mutex: Mutex::new(client, path).data(id) }
    }

    /// Names its nodes in the way of another client library.
    #[must_use]
    pub fn layout(mut self, layout: Layout) -> Self {
        self.mutex = self.mutex.layout(layout);
        self
    }

    /// Waits to be elected, then runs the task, which leads as long as it runs.
    ///
    /// Dropping the future withdraws, at any time.
    ///
    /// # Errors
    /// As with [`Mutex::acquire`]; the task did not run then, or has ended but the server refuses
    /// to take the leadership back.
    pub async fn run<F: Future>(&self, task: impl FnOnce(Term) -> F) -> Result<Outcome<F::Output>> {
        let guard = self.mutex.acquire().await?;
        let lost = guard.lost();
        let work = task(Term { fencing: guard.fencing() });
        match race(work, lost).await {
            Either::Left(output) => {
                guard.release().await?;
                Ok(Outcome::Finished(output))
            }
            // The guard is dropped: if its node is still there it goes.
            Either::Right(()) => Ok(Outcome::Deposed),
        }
    }

    /// Runs the task, as [`Self::run`], again and again until it ends by itself: when the
    /// leadership was lost it waits to be elected once more, with a new session if the old one is
    /// over.
    ///
    /// # Errors
    /// When the client is closed, credentials are refused, or the server refuses the candidacy.
    pub async fn run_until_finished<F: Future>(
        &self,
        mut task: impl FnMut(Client, Term) -> F,
    ) -> Result<F::Output> {
        loop {
            let client = self.sessions.live().await?;
            let candidate = Self { mutex: self.mutex.on(&client), sessions: self.sessions.clone() };
            match candidate.run(|term| task(client, term)).await {
                Ok(Outcome::Finished(output)) => return Ok(output),
                Ok(Outcome::Deposed) | Err(Error::SessionExpired) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The ids of all candidates, the leader's first.
    ///
    /// # Errors
    /// What the server refuses with.
    pub async fn candidates(&self) -> Result<Vec<Vec<u8>>> {
        self.mutex.contenders().await
    }
}
