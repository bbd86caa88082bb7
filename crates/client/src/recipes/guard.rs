//! What is held: a lock, a lease, the leadership. Given back by [`Guard::release`], or in the
//! background when it is dropped.
//!
//! What a guard is worth when the connection breaks: the server gives the place to the next in line
//! when it has not heard of the session for the session timeout. The client cannot see that happen
//! while it is cut off, so it has to stop in time by its own clock: see [`Guard::lost`]. A process
//! that is stopped for long, or a write that is long on its way, can still come too late; the
//! only full protection is a resource that compares [`Guard::fencing`] tokens.

use std::fmt;
use std::future::Future;

use crate::runtime::race;
use crate::{Client, Error, Result, Zxid};

use super::seat::Seat;
use super::steady::insist;

/// Something held that others wait for. Dropping it gives it back in the background.
///
/// While it is held its client's session is kept, also when all other handles of the client are
/// dropped.
#[must_use = "it is given back when dropped"]
pub struct Guard {
    seat: Seat,
}

impl Guard {
    pub(crate) fn new(seat: Seat) -> Self {
        Self { seat }
    }

    /// The fencing token: the zxid at which the lock's node was made.
    ///
    /// Of two holders the later one's is greater. A resource that remembers the greatest token it
    /// has seen, and refuses smaller ones, cannot be spoiled by a holder that has lost the lock
    /// without knowing.
    pub fn fencing(&self) -> Zxid {
        self.seat.czxid()
    }

    /// The path of the node that stands for it.
    pub fn path(&self) -> &str {
        self.seat.path()
    }

    /// Waits until it can no longer be relied on:
    ///
    /// - the session is over, or the client was closed;
    /// - no server has answered for so long that the session may be over: see
    ///   [`Client::certain_until`], which also says what cannot be known;
    /// - somebody has deleted the node.
    ///
    /// A connection that is down for a moment only is none of these.
    ///
    /// It watches from the first poll on, and does not borrow the guard: run the work against it
    /// and stop the work when it is ready.
    pub fn lost(&self) -> impl Future<Output = ()> + Send + use<> {
        lost(self.seat.client().clone(), self.seat.path().to_owned(), self.seat.czxid())
    }

    /// Asks the servers whether it is still held, and returns once a quorum has answered.
    ///
    /// True says that nobody else held it until now; it may have been lost since.
    ///
    /// # Errors
    /// What the server refuses with. That the session is over is no error: then it is not held.
    pub async fn is_held(&self) -> Result<bool> {
        let (client, path) = (self.seat.client(), self.seat.path());
        // Not a read nor a sync, which a leader answers alone, also one that is none any more.
        match insist(client, || client.multi().check(path, None).send()).await {
            Ok(_) => Ok(true),
            Err(Error::SessionExpired | Error::Closed) => Ok(false),
            Err(Error::Multi { cause, .. }) if *cause == Error::NoNode => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives it back, and returns when the server has confirmed that.
    ///
    /// A broken connection is waited out. That it was lost already is no error.
    ///
    /// # Errors
    /// When the server refuses the deletion.
    pub async fn release(self) -> Result<()> {
        self.seat.leave().await
    }

    pub(crate) fn seat(&self) -> &Seat {
        &self.seat
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("path", &self.path())
            .field("fencing", &self.fencing())
            .finish()
    }
}

/// See [`Guard::lost`].
pub(crate) async fn lost(client: Client, path: String, czxid: Zxid) {
    race(doubted(&client), gone(&client, &path, czxid)).await;
}

/// Waits until the session is over, or may be for all that the client knows.
pub(crate) async fn doubted(client: &Client) {
    let mut states = client.states();
    let over = async { while states.next().await.is_some_and(|state| !state.is_final()) {} };
    let silence = async {
        let runtime = client.runtime();
        // Each answer of the servers has moved the moment on.
        while let Some(until) = client.certain_until()
            && let Some(left) = until.checked_sub(runtime.now()).filter(|left| !left.is_zero())
        {
            runtime.sleep(left).await;
        }
    };
    race(over, silence).await;
}

/// Waits until the node is not there, or is another one of the same name.
pub(crate) async fn gone(client: &Client, path: &str, czxid: Zxid) {
    loop {
        match insist(client, || client.exists_and_watch(path)).await {
            Ok((Some(stat), watch)) if stat.czxid == czxid => {
                watch.await;
            }
            Ok(_) | Err(_) => return,
        }
    }
}
