//! One session after another: what the recipes that outlive a session stand on.
//!
//! A [`Client`] is finished when its session is lost. Caches, persistent nodes, groups and service
//! discovery go on with another session, and those that are given the same [`Sessions`] go on with
//! the same one. Locks and elections do not: who held one must learn that it is lost.

use std::fmt;
use std::sync::{Arc, Mutex};

use super::steady::pause;
use crate::{Client, Error, Result, State};

/// A client that is replaced by another one when its session is lost.
///
/// Recipes take a `&Client` or a `&Sessions`: a client given to two recipes leads to two sessions
/// once the first is lost, a shared `Sessions` to one.
///
/// ```no_run
/// # async fn example(client: &ostler_client::Client) -> ostler_client::Result<()> {
/// use ostler_client::recipes::{Discovery, Group, NodeCache, Sessions};
///
/// let sessions = Sessions::new(client);
/// let config = NodeCache::new(&sessions, "/config");
/// let workers = Group::new(&sessions, "/workers");
/// let services = Discovery::new(&sessions, "/services");
/// // For calls of one's own: the client of the present session.
/// let (data, _) = sessions.live().await?.get("/elsewhere").await?;
/// # drop((config, workers, services, data));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Sessions {
    shared: Arc<Shared>,
}

struct Shared {
    present: Mutex<Client>,
    /// Held by the one that opens the next session.
    opening: tokio::sync::Mutex<()>,
}

impl Sessions {
    /// Begins with the session of this client.
    pub fn new(client: &Client) -> Self {
        let present = Mutex::new(client.clone());
        Self { shared: Arc::new(Shared { present, opening: tokio::sync::Mutex::new(()) }) }
    }

    /// The present client. Its session may have been lost just now.
    pub fn client(&self) -> Client {
        self.shared.present.lock().expect("nobody panics with it").clone()
    }

    /// A client whose session is not lost as far as it knows; opens a session when there is none,
    /// and tries again until it succeeds.
    ///
    /// # Errors
    /// [`Error::Closed`] when the client was closed, [`Error::AuthFailed`] when the servers refuse
    /// its credentials.
    pub async fn live(&self) -> Result<Client> {
        if let Some(client) = usable(self.client())? {
            return Ok(client);
        }
        let _one_at_a_time = self.shared.opening.lock().await;
        let lost = self.client();
        if let Some(client) = usable(lost.clone())? {
            return Ok(client);
        }
        let mut tries = 0;
        loop {
            match lost.reopen().await {
                Ok(client) => {
                    *self.shared.present.lock().expect("nobody panics with it") = client.clone();
                    return Ok(client);
                }
                Err(error @ (Error::Closed | Error::AuthFailed)) => return Err(error),
                Err(_) => pause(&lost, &mut tries).await,
            }
        }
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

/// The client unless its session is lost.
fn usable(client: Client) -> Result<Option<Client>> {
    match client.state() {
        State::Lost => Ok(None),
        State::Closed => Err(Error::Closed),
        State::AuthFailed => Err(Error::AuthFailed),
        _ => Ok(Some(client)),
    }
}

impl From<&Client> for Sessions {
    fn from(client: &Client) -> Self {
        Self::new(client)
    }
}

impl From<&Self> for Sessions {
    fn from(sessions: &Self) -> Self {
        sessions.clone()
    }
}
