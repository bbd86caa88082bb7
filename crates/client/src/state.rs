//! How a client stands with its servers, and the stream of changes of that.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use tokio::sync::mpsc;

/// How a client stands with its servers.
///
/// ```text
/// Connecting ──► Connected ◄──► Suspended ──► Lost
///     │      └─► ConnectedReadOnly ◄─┘    (from anywhere: AuthFailed, Closed)
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum State {
    /// There was no session yet.
    Connecting,
    /// A server serves the session.
    Connected,
    /// A server serves the session that has no quorum: reads may be old and writes are refused.
    /// Only with [`Builder::read_only`](crate::Builder::read_only).
    ConnectedReadOnly,
    /// The connection is lost and the session, for all that is known, is not. Nobody can say
    /// whether it still is there until a server was reached: whoever relies on an ephemeral znode
    /// should pause.
    Suspended,
    /// The session has expired. The client is finished; [`Client::reopen`](crate::Client::reopen)
    /// makes another.
    Lost,
    /// A server has refused the credentials. The client is finished.
    AuthFailed,
    /// The client was closed.
    Closed,
}

impl State {
    /// Whether a server serves the session.
    #[must_use]
    pub fn is_connected(self) -> bool {
        matches!(self, Self::Connected | Self::ConnectedReadOnly)
    }

    /// Whether this is the end of the client.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Lost | Self::AuthFailed | Self::Closed)
    }
}

/// The states of a client: the present one first, then each change, none left out.
///
/// Ends behind a final state. Changes that are not fetched wait in memory.
///
/// ```no_run
/// # async fn example(client: ostler_client::Client) {
/// use ostler_client::State;
///
/// let mut states = client.states();
/// while let Some(state) = states.next().await {
///     match state {
///         State::Suspended => println!("whoever holds a lock pauses"),
///         State::Connected => println!("on with it"),
///         State::Lost => println!("all ephemeral znodes are gone"),
///         _ => {}
///     }
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct States {
    pub(crate) receiver: mpsc::UnboundedReceiver<State>,
}

impl States {
    /// The next state; `None` when there will be no other.
    pub async fn next(&mut self) -> Option<State> {
        self.receiver.recv().await
    }
}

impl Stream for States {
    type Item = State;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<State>> {
        self.receiver.poll_recv(cx)
    }
}
