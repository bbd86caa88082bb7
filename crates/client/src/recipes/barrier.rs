//! A gate that is shut for everybody until somebody opens it.
//!
//! **Layout** (Curator's `DistributedBarrier`, kazoo's `Barrier`): the gate is shut while the path
//! exists.
//!
//! **Guarantees.** The gate belongs to no session: it stays shut when whoever has shut it ends.
//! Whoever waits when their session is lost is told so.

use std::time::Duration;

use crate::{Client, CreateOptions, Error, Result};

use super::steady::{ensure_parent, insist, within};

/// A gate: shut while its path exists.
///
/// ```no_run
/// # async fn run() -> ostler_client::Result<()> {
/// use ostler_client::{Client, recipes::Barrier};
///
/// let client = Client::connect("localhost:2181").await?;
/// let barrier = Barrier::new(&client, "/maintenance");
/// barrier.wait().await?; // until there is no maintenance
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Barrier {
    client: Client,
    path: String,
}

impl Barrier {
    /// The gate at `path`. Nothing is asked of the server yet.
    pub fn new(client: &Client, path: impl Into<String>) -> Self {
        Self { client: client.clone(), path: path.into() }
    }

    /// Shuts it. That it is shut already is no error.
    ///
    /// # Errors
    /// What the server refuses with, or that the session is over.
    pub async fn set(&self) -> Result<()> {
        let (client, path) = (&self.client, &self.path);
        let persistent = CreateOptions::persistent();
        loop {
            match insist(client, || client.create(path, b"", &persistent)).await {
                Ok(_) | Err(Error::NodeExists) => return Ok(()),
                Err(Error::NoNode) => ensure_parent(client, path).await?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Opens it. That it is open already is no error.
    ///
    /// # Errors
    /// What the server refuses with, or that the session is over.
    pub async fn remove(&self) -> Result<()> {
        match insist(&self.client, || self.client.delete(&self.path, None)).await {
            Ok(()) | Err(Error::NoNode) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Waits until it is open.
    ///
    /// # Errors
    /// What the server refuses with, or that the session is over.
    pub async fn wait(&self) -> Result<()> {
        let client = &self.client;
        loop {
            match insist(client, || client.exists_and_watch(&self.path)).await? {
                (None, _) => return Ok(()),
                (Some(_), watch) => {
                    watch.await;
                }
            }
        }
    }

    /// Waits for a limited time, and says whether it is open.
    ///
    /// # Errors
    /// As with [`Self::wait`].
    pub async fn wait_within(&self, time: Duration) -> Result<bool> {
        Ok(within(&self.client, time, self.wait()).await.transpose()?.is_some())
    }
}
