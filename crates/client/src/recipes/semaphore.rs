//! A number of leases that sessions hold.
//!
//! **Layout** (Curator's `InterProcessSemaphoreV2`): `<path>/leases` has a child
//! `_c_<uuid>-lease-<number>` for each lease that is held; `<path>/locks` is a mutex, held
//! by whoever waits for a lease, so that one is woken when a lease comes back and the others wait
//! in line. With [`Layout::Kazoo`] (kazoo's `Semaphore`) the leases are `<path>/<uuid>`, the mutex
//! is `<path>-__lock__`, and the path's data is the number of leases as text.
//!
//! **Guarantees.** Never more leases than that, as the server sees it, as long as all name the same
//! number. A lease comes back when its session ends; what its holder knows of that is said by
//! [`Guard::lost`]. Leases are had in the order of asking.

use std::time::Duration;

use crate::{Client, CreateOptions, Error, Result};

use super::guard::Guard;
use super::mutex::Mutex;
use super::seat::{Layout, Name, Seat, Taking, name_of};
use super::steady::{ensure_container, ensure_parent, insist, uuid, within};

/// A number of leases; one more waits until one comes back.
///
/// ```no_run
/// # async fn run() -> ostler_client::Result<()> {
/// use ostler_client::{Client, recipes::Semaphore};
///
/// let client = Client::connect("localhost:2181").await?;
/// let lease = Semaphore::new(&client, "/licences", 5).acquire().await?;
/// lease.release().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Semaphore {
    client: Client,
    path: String,
    leases_max: usize,
    layout: Layout,
    data: Vec<u8>,
}

impl Semaphore {
    /// A semaphore at `path`. Nothing is asked of the server yet.
    pub fn new(client: &Client, path: impl Into<String>, leases_max: usize) -> Self {
        let layout = Layout::default();
        Self { client: client.clone(), path: path.into(), leases_max, layout, data: Vec::new() }
    }

    /// Names its nodes in the way of another client library.
    #[must_use]
    pub fn layout(mut self, layout: Layout) -> Self {
        self.layout = layout;
        self
    }

    /// What is written into a lease's node, for others to see who it is.
    #[must_use]
    pub fn data(mut self, data: impl Into<Vec<u8>>) -> Self {
        self.data = data.into();
        self
    }

    /// Waits for a lease. The future may be dropped, as with [`Mutex::acquire`].
    ///
    /// # Errors
    /// As with [`Mutex::acquire`]. [`Error::BadArguments`] when the layout is kazoo's and the path
    /// says another number of leases.
    pub async fn acquire(&self) -> Result<Guard> {
        self.ensure_leases().await?;
        let queue = self.queue().acquire().await?;
        let lease = self.wait_lease().await?;
        // In the background: the next in line need not wait for this one's confirmation.
        drop(queue);
        Ok(lease)
    }

    /// Waits for a lease for a limited time.
    ///
    /// # Errors
    /// As with [`Self::acquire`].
    pub async fn acquire_within(&self, time: Duration) -> Result<Option<Guard>> {
        within(&self.client, time, self.acquire()).await.transpose()
    }

    /// Waits for several leases. All or none: dropping the future gives back what it has.
    ///
    /// # Errors
    /// As with [`Self::acquire`]. [`Error::BadArguments`] for more than there are.
    pub async fn acquire_many(&self, count: usize) -> Result<Vec<Guard>> {
        if count > self.leases_max {
            return Err(Error::BadArguments);
        }
        self.ensure_leases().await?;
        // One place in line for all of them, or two who need several could wait for each other.
        let queue = self.queue().acquire().await?;
        let mut leases = Vec::with_capacity(count);
        for _ in 0..count {
            leases.push(self.wait_lease().await?);
        }
        drop(queue);
        Ok(leases)
    }

    /// Takes a lease if one is there and nobody waits for one.
    ///
    /// # Errors
    /// As with [`Self::acquire`].
    pub async fn try_acquire(&self) -> Result<Option<Guard>> {
        self.ensure_leases().await?;
        let Some(queue) = self.queue().try_acquire().await? else { return Ok(None) };
        let lease = self.try_lease().await?;
        queue.release().await?;
        Ok(lease)
    }

    /// How many leases are held now.
    ///
    /// # Errors
    /// What the server refuses with.
    pub async fn held(&self) -> Result<usize> {
        let leases = self.leases();
        match insist(&self.client, || self.client.children(&leases)).await {
            Ok((children, _)) => Ok(children.len()),
            Err(Error::NoNode) => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Waits until there is room and takes it. Only one in the line does this at a time.
    async fn wait_lease(&self) -> Result<Guard> {
        let (client, leases) = (&self.client, self.leases());
        loop {
            let list = insist(client, || client.children_and_watch(&leases)).await;
            match list {
                Ok((children, _, watch)) if children.len() >= self.leases_max => {
                    watch.await;
                }
                Ok(_) => {
                    if let Some(lease) = self.try_lease().await? {
                        return Ok(lease);
                    }
                }
                // An empty container may be taken away.
                Err(Error::NoNode) => self.ensure_leases().await?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes a lease, and gives it back if there are too many now. That happens only to those
    /// who have lost their place in the line, and to those who do not keep to it.
    async fn try_lease(&self) -> Result<Option<Guard>> {
        let name = match self.layout {
            Layout::Curator => name_of(&self.client, self.layout, LEASE),
            Layout::Kazoo => {
                let token = uuid(&self.client).replace('-', "");
                Name { stem: token.clone(), token }
            }
        };
        let number = match self.layout {
            Layout::Curator => None,
            Layout::Kazoo => Some(""),
        };
        let leases = self.leases();
        let taking = Taking { data: &self.data, acl: None, number };
        let seat = Seat::take(&self.client, &leases, name, taking).await?;
        let (children, _) = insist(&self.client, || self.client.children(&leases)).await?;
        let is_there = children.iter().any(|child| child == seat.name());
        if is_there && children.len() <= self.leases_max {
            return Ok(Some(Guard::new(seat)));
        }
        seat.leave().await?;
        Ok(None)
    }

    fn queue(&self) -> Mutex {
        let path = match self.layout {
            Layout::Curator => format!("{}/locks", self.path),
            Layout::Kazoo => format!("{}-__lock__", self.path),
        };
        Mutex::new(&self.client, path).layout(self.layout).data(self.data.clone())
    }

    fn leases(&self) -> String {
        match self.layout {
            Layout::Curator => format!("{}/leases", self.path),
            Layout::Kazoo => self.path.clone(),
        }
    }

    async fn ensure_leases(&self) -> Result<()> {
        match self.layout {
            Layout::Curator => ensure_container(&self.client, &self.leases()).await,
            Layout::Kazoo => self.agree_on_max().await,
        }
    }

    /// kazoo writes the number of leases into the path and refuses to use another one.
    async fn agree_on_max(&self) -> Result<()> {
        let (client, path) = (&self.client, &self.path);
        ensure_parent(client, path).await?;
        let text = self.leases_max.to_string();
        let persistent = CreateOptions::persistent();
        match insist(client, || client.create(path, text.as_str(), &persistent)).await {
            Ok(_) | Err(Error::NodeExists) => {}
            Err(error) => return Err(error),
        }
        let (data, _) = insist(client, || client.get(path)).await?;
        let agreed = std::str::from_utf8(&data).ok().and_then(|text| text.parse::<usize>().ok());
        match agreed {
            Some(other) if other != self.leases_max => Err(Error::BadArguments),
            // Other data are none of kazoo's business either.
            _ => Ok(()),
        }
    }
}

/// The mark of a lease in Curator's layout.
const LEASE: &str = "lease-";
