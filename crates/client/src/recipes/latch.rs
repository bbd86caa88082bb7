//! Who among many is the leader, for as long as it takes part.
//!
//! **Layout** (Curator's `LeaderLatch`): each participant has an ephemeral sequential child
//! `_c_<uuid>-latch-<number>` of the path, whose data is its id; the lowest number leads.
//!
//! **Guarantees.** At most one session is first, as the server sees it. A participant stops
//! considering itself the leader as soon as its connection is down, which is before the server
//! gives the leadership to another; it is the leader again, with the same fencing token, if it
//! is back before its session has expired. After that the latch is over:
//! [`Leadership::Over`] says why, and another needs another session.

use std::fmt;
use std::future::pending;

use tokio::sync::{oneshot, watch};

use crate::runtime::{Either, race};
use crate::{Client, Error, Result, State, Zxid};

use super::guard::{doubted, gone};
use super::line::contenders;
use super::order::{CURATOR_LATCH, Marks};
use super::seat::{Layout, Seat, Taking, Waited, name_of};
use super::steady::connected;

/// A participant in the choice of a leader.
///
/// Dropping it withdraws in the background.
///
/// ```no_run
/// # async fn run() -> ostler_client::Result<()> {
/// use ostler_client::{Client, recipes::LeaderLatch};
///
/// let client = Client::connect("localhost:2181").await?;
/// let mut latch = LeaderLatch::join(&client, "/leader", "host-1");
/// let token = latch.lead().await?;
/// println!("this is the leader, with token {token:?}");
/// latch.withdraw().await?;
/// # Ok(())
/// # }
/// ```
pub struct LeaderLatch {
    client: Client,
    path: String,
    leadership: watch::Receiver<Leadership>,
    /// Ends the task, also when it is dropped.
    withdrawal: Option<oneshot::Sender<oneshot::Sender<Result<()>>>>,
}

/// How a participant stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leadership {
    /// Another one leads, or nobody can be known to.
    Waiting,
    /// This one leads.
    Leading {
        /// The fencing token: of two leaders the later one's is greater.
        fencing: Zxid,
    },
    /// It takes part no more: its session is over, or the server refuses it.
    Over(Error),
}

impl LeaderLatch {
    /// Takes part under the name `id`, which others can see.
    pub fn join(client: &Client, path: impl Into<String>, id: impl Into<Vec<u8>>) -> Self {
        let path = path.into();
        let (sender, leadership) = watch::channel(Leadership::Waiting);
        let (withdrawal, withdrawn) = oneshot::channel();
        let participant =
            Participant { client: client.clone(), path: path.clone(), id: id.into(), sender };
        client.runtime().spawn(Box::pin(participant.run(withdrawn)));
        Self { client: client.clone(), path, leadership, withdrawal: Some(withdrawal) }
    }

    /// Whether this one leads now.
    pub fn is_leader(&self) -> bool {
        matches!(*self.leadership.borrow(), Leadership::Leading { .. })
    }

    /// How it stands now.
    pub fn leadership(&self) -> Leadership {
        self.leadership.borrow().clone()
    }

    /// Waits until it stands otherwise than when this was last asked, and says how.
    ///
    /// Changes in between are not told; [`Leadership::Over`] is the last, and then it never ends.
    pub async fn changed(&mut self) -> Leadership {
        if self.leadership.changed().await.is_err() {
            return pending().await;
        }
        self.leadership.borrow_and_update().clone()
    }

    /// Waits until it leads. The result is the fencing token.
    ///
    /// # Errors
    /// Why it takes part no more.
    pub async fn lead(&mut self) -> Result<Zxid> {
        let decided = |now: &Leadership| *now != Leadership::Waiting;
        // The task says why before it ends.
        match self.leadership.wait_for(decided).await.as_deref() {
            Ok(Leadership::Leading { fencing }) => Ok(*fencing),
            Ok(Leadership::Over(error)) => Err(error.clone()),
            Ok(Leadership::Waiting) | Err(_) => Err(Error::Closed),
        }
    }

    /// Waits until it does not lead.
    pub async fn deposed(&mut self) {
        let is_deposed = |now: &Leadership| !matches!(now, Leadership::Leading { .. });
        // A task that has ended leads nobody.
        let _ = self.leadership.wait_for(is_deposed).await;
    }

    /// The ids of all participants, the leader's first.
    ///
    /// # Errors
    /// What the server refuses with.
    pub async fn participants(&self) -> Result<Vec<Vec<u8>>> {
        contenders(&self.client, &self.path, &Marks::latch()).await
    }

    /// Takes part no more, and returns when the server has confirmed that.
    ///
    /// # Errors
    /// When the server refuses the deletion of its node.
    pub async fn withdraw(mut self) -> Result<()> {
        let (confirm, confirmed) = oneshot::channel();
        if let Some(withdrawal) = self.withdrawal.take() {
            // It is over already when nobody receives that.
            let _ = withdrawal.send(confirm);
        }
        confirmed.await.unwrap_or(Ok(()))
    }
}

impl fmt::Debug for LeaderLatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("LeaderLatch");
        out.field("path", &self.path).field("leadership", &*self.leadership.borrow()).finish()
    }
}

/// What the task of a latch knows.
struct Participant {
    client: Client,
    path: String,
    id: Vec<u8>,
    sender: watch::Sender<Leadership>,
}

impl Participant {
    async fn run(self, withdrawn: oneshot::Receiver<oneshot::Sender<Result<()>>>) {
        let mut seat = None;
        let ended = race(withdrawn, self.take_part(&mut seat)).await;
        match ended {
            Either::Left(confirm) => {
                self.sender.send_replace(Leadership::Over(Error::Closed));
                let left = match seat {
                    Some(seat) => seat.leave().await,
                    None => Ok(()),
                };
                if let Ok(confirm) = confirm {
                    // Whoever has withdrawn need not wait for it.
                    let _ = confirm.send(left);
                }
            }
            Either::Right(error) => {
                self.sender.send_replace(Leadership::Over(error));
            }
        }
    }

    /// Takes part until that is not possible any more, and says why.
    async fn take_part(&self, seat: &mut Option<Seat>) -> Error {
        loop {
            if let Err(error) = self.one_term(seat).await {
                return error;
            }
        }
    }

    /// Waits for the leadership and holds it until something happens to it.
    async fn one_term(&self, place: &mut Option<Seat>) -> Result<()> {
        let seat = match place {
            Some(seat) => seat,
            None => {
                let name = name_of(&self.client, Layout::Curator, CURATOR_LATCH);
                let taking = Taking { data: &self.id, acl: None, number: None };
                place.insert(Seat::take(&self.client, &self.path, name, taking).await?)
            }
        };
        connected(&self.client).await?;
        if seat.wait_turn(&Marks::latch()).await? == Waited::Gone {
            *place = None;
            return Ok(());
        }
        self.sender.send_replace(Leadership::Leading { fencing: seat.czxid() });
        let unsure = race(cut_off(&self.client), doubted(&self.client));
        race(unsure, gone(&self.client, seat.path(), seat.czxid())).await;
        self.sender.send_replace(Leadership::Waiting);
        Ok(())
    }
}

/// Waits until the client has no connection to a server that keeps its session alive.
async fn cut_off(client: &Client) {
    let mut states = client.states();
    while states.next().await == Some(State::Connected) {}
}
