//! A znode that comes back: when somebody deletes it, and with each new session.

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex};

use ostler_wire::stat::Stat;
use tokio::sync::{oneshot, watch};

use super::sessions::Sessions;
use super::steady::{catch_up, ensure_parent, insist, passes, pause};
use crate::runtime::{Either, race};
use crate::{Client, CreateOptions, Error, EventKind, Result};

/// A znode that is there as long as this value is: Curator's `PersistentNode`.
///
/// It is created again when somebody deletes it, and when the session that it belonged to was lost
/// and there is another one (see [`Sessions`]). A znode that is there already is taken over: it
/// gets this one's data, and when it is another session's ephemeral znode and goes with it, it is
/// created again. Missing parents are created as containers.
///
/// **When the session is lost** an ephemeral znode is gone until another session is there. Its
/// `czxid` tells the two apart.
///
/// Dropping it deletes the znode in the background, unless it has become another session's.
///
/// ```no_run
/// # async fn example(client: &ostler_client::Client) -> ostler_client::Result<()> {
/// use ostler_client::CreateOptions;
/// use ostler_client::recipes::PersistentNode;
///
/// let node = PersistentNode::new(client, "/hosts/h1", "10.0.0.1", CreateOptions::ephemeral())?;
/// node.placed().await?;
/// node.set("10.0.0.2").await?;
/// node.close().await?;
/// # Ok(())
/// # }
/// ```
pub struct PersistentNode {
    shared: Arc<Shared>,
    /// Taken when it is closed; dropped with it.
    alive: Option<oneshot::Sender<()>>,
    /// One change of the data at a time.
    setting: tokio::sync::Mutex<()>,
}

struct Shared {
    sessions: Sessions,
    path: String,
    options: CreateOptions,
    data: Mutex<Vec<u8>>,
    standing: watch::Sender<Standing>,
}

#[derive(Clone, Debug)]
enum Standing {
    Missing,
    There(Stat),
    /// The servers refuse it; tried again later.
    Refused(Error),
    /// Nothing more will happen.
    Over(Option<Error>),
}

impl PersistentNode {
    /// Begins to keep a znode at `path`.
    ///
    /// `sessions` is a [`Client`] or [`Sessions`] shared with other recipes.
    ///
    /// # Errors
    /// [`Error::BadArguments`] for a sequential znode: each time it would have another name.
    pub fn new(
        sessions: impl Into<Sessions>,
        path: &str,
        data: impl AsRef<[u8]>,
        options: CreateOptions,
    ) -> Result<Self> {
        if options.is_sequential() {
            return Err(Error::BadArguments);
        }
        let shared = Arc::new(Shared {
            sessions: sessions.into(),
            path: path.to_owned(),
            options,
            data: Mutex::new(data.as_ref().to_vec()),
            standing: watch::Sender::new(Standing::Missing),
        });
        let (alive, ended) = oneshot::channel();
        let runtime = Arc::clone(shared.sessions.client().runtime());
        runtime.spawn(Box::pin(run(Arc::clone(&shared), ended)));
        Ok(Self { shared, alive: Some(alive), setting: tokio::sync::Mutex::new(()) })
    }

    /// Its path.
    pub fn path(&self) -> &str {
        &self.shared.path
    }

    /// The data it has, or gets when it is created.
    pub fn data(&self) -> Vec<u8> {
        self.shared.data()
    }

    /// Whether it was there when this was noticed last.
    pub fn is_there(&self) -> bool {
        matches!(*self.shared.standing.borrow(), Standing::There(_))
    }

    /// Waits until it is there.
    ///
    /// # Errors
    /// What the servers refuse it for (it is tried again, so this may be asked again), or what
    /// ended the client.
    pub async fn placed(&self) -> Result<Stat> {
        let mut standing = self.shared.standing.subscribe();
        let settled = |standing: &Standing| !matches!(standing, Standing::Missing);
        let settled = standing.wait_for(settled).await.expect("the sender is ours").clone();
        match settled {
            Standing::There(stat) => Ok(stat),
            Standing::Refused(error) | Standing::Over(Some(error)) => Err(error),
            Standing::Missing | Standing::Over(None) => Err(Error::Closed),
        }
    }

    /// Waits until it is there as another znode than the one with this `czxid`.
    ///
    /// # Errors
    /// As [`PersistentNode::placed`].
    pub async fn placed_again(&self, czxid: crate::Zxid) -> Result<Stat> {
        let mut standing = self.shared.standing.subscribe();
        let other = |standing: &Standing| match standing {
            Standing::There(stat) => stat.czxid != czxid,
            Standing::Missing | Standing::Refused(_) => false,
            Standing::Over(_) => true,
        };
        standing.wait_for(other).await.expect("the sender is ours");
        self.placed().await
    }

    /// Gives it other data. When it is not there at the moment, it will be created with them.
    ///
    /// # Errors
    /// When the servers refuse them.
    pub async fn set(&self, data: impl AsRef<[u8]>) -> Result<()> {
        let _one_at_a_time = self.setting.lock().await;
        *self.shared.data.lock().expect("nobody panics with it") = data.as_ref().to_vec();
        let client = self.shared.sessions.client();
        let set = insist(&client, || client.set(&self.shared.path, self.shared.data(), None));
        match set.await {
            Ok(_) | Err(Error::NoNode | Error::SessionExpired) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Deletes the znode and returns when that is done.
    ///
    /// # Errors
    /// When the servers refuse it.
    pub async fn close(mut self) -> Result<()> {
        let mut standing = self.shared.standing.subscribe();
        self.alive = None;
        let over = |standing: &Standing| matches!(standing, Standing::Over(_));
        match &*standing.wait_for(over).await.expect("the sender is ours") {
            Standing::Over(Some(error)) if *error != Error::Closed => Err(error.clone()),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for PersistentNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PersistentNode").field("path", &self.shared.path).finish_non_exhaustive()
    }
}

impl Shared {
    fn data(&self) -> Vec<u8> {
        self.data.lock().expect("nobody panics with it").clone()
    }

    /// Creates it, or takes over the one that is there.
    ///
    /// The data are fetched in the moment a request is queued, and requests are done in order, so
    /// the last of all requests carries the last data.
    async fn place(&self, client: &Client) -> Result<()> {
        let mut tries = 0;
        loop {
            match client.create(&self.path, self.data(), &self.options).await {
                Ok(_) => return Ok(()),
                Err(Error::NodeExists) => {
                    match insist(client, || client.set(&self.path, self.data(), None)).await {
                        Ok(_) => return Ok(()),
                        Err(Error::NoNode) => {}
                        Err(error) => return Err(error),
                    }
                }
                Err(Error::NoNode) => ensure_parent(client, &self.path).await?,
                Err(error) if passes(&error) => pause(client, &mut tries).await,
                Err(error) => return Err(error),
            }
        }
    }

    /// Keeps it while the session lasts.
    async fn keep(&self, client: &Client) -> Result<Infallible> {
        loop {
            self.place(client).await?;
            loop {
                let look = insist(client, || client.exists_and_watch(&self.path)).await?;
                let (Some(stat), watch) = look else { break };
                self.standing.send_replace(Standing::There(stat));
                if watch.await.kind == EventKind::SessionLost {
                    return Err(Error::SessionExpired);
                }
            }
            self.standing.send_replace(Standing::Missing);
        }
    }

    /// Deletes it unless it belongs to another session.
    async fn remove(&self) -> Result<()> {
        let mut tries = 0;
        loop {
            let client = self.sessions.client();
            let looked = insist(&client, || client.exists(&self.path)).await;
            let own = client.session().map(|(id, _)| id);
            let removed = match looked {
                Ok(Some(stat)) if stat.ephemeral_owner.0 == 0 => {
                    insist(&client, || client.delete(&self.path, None)).await
                }
                Ok(Some(stat)) if Some(stat.ephemeral_owner) == own => {
                    client.delete(&self.path, None).await
                }
                Ok(_) => Ok(()),
                Err(error) => Err(error),
            };
            match removed {
                // A znode that outlives sessions is deleted with another one.
                Err(Error::SessionExpired) => drop(self.sessions.live().await?),
                Ok(()) | Err(Error::NoNode) => return Ok(()),
                // It may have been done, and be another session's by now: looks again.
                Err(error) if passes(&error) => {
                    pause(&client, &mut tries).await;
                    drop(catch_up(&client, &self.path).await);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

async fn run(shared: Arc<Shared>, mut ended: oneshot::Receiver<()>) {
    let mut tries = 0;
    loop {
        let client = match race(&mut ended, shared.sessions.live()).await {
            Either::Left(_) => break,
            Either::Right(Ok(client)) => client,
            Either::Right(Err(error)) => {
                shared.standing.send_replace(Standing::Over(Some(error)));
                return;
            }
        };
        match race(&mut ended, shared.keep(&client)).await {
            Either::Left(_) => break,
            Either::Right(Ok(never)) => match never {},
            Either::Right(Err(Error::SessionExpired | Error::Closed)) => {
                shared.standing.send_replace(Standing::Missing);
                pause(&client, &mut 0).await;
            }
            Either::Right(Err(error)) => {
                shared.standing.send_replace(Standing::Refused(error));
                if let Either::Left(_) = race(&mut ended, pause(&client, &mut tries)).await {
                    break;
                }
            }
        }
    }
    let removed = shared.remove().await;
    shared.standing.send_replace(Standing::Over(removed.err()));
}
