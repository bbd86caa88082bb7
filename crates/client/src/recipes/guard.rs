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
use std::time::Duration;

use crate::runtime::{Either, race};
use crate::{Client, Result, State, States, Zxid};

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
    /// - the connection has been down for a third of the session timeout: the server may give the
    ///   place away soon after. Until then it has not, as long as both clocks run equally fast;
    /// - somebody has deleted the node.
    ///
    /// It watches from the first poll on, and does not borrow the guard: run the work against it
    /// and stop the work when it is ready.
    pub fn lost(&self) -> impl Future<Output = ()> + Send + use<> {
        lost(self.seat.client().clone(), self.seat.path().to_owned(), self.seat.czxid())
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

/// Waits until the session is over or has been out of touch for too long.
async fn doubted(client: &Client) {
    let mut states = client.states();
    let mut state = states.next().await;
    loop {
        state = match state {
            None | Some(State::Lost | State::Closed | State::AuthFailed) => return,
            Some(State::Connected) => states.next().await,
            // A server that is cut off from the others serves reads; it keeps no session alive.
            Some(_) => match reconnected(client, &mut states).await {
                Some(state) => Some(state),
                None => return,
            },
        };
    }
}

/// The state that ends a time without connection, unless that lasts too long.
async fn reconnected(client: &Client, states: &mut States) -> Option<State> {
    let change = async {
        loop {
            let state = states.next().await;
            let is_out_of_touch = matches!(
                state,
                Some(State::Connecting | State::Suspended | State::ConnectedReadOnly)
            );
            if !is_out_of_touch {
                return state;
            }
        }
    };
    match race(change, client.runtime().sleep(grace(client))).await {
        Either::Left(state) => state,
        Either::Right(()) => None,
    }
}

/// How long after a connection broke the session is certainly still alive.
///
/// A client notices at the latest when it has heard nothing for two thirds of the session timeout.
fn grace(client: &Client) -> Duration {
    client.session_timeout() / 3
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
