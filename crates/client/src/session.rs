//! The session without its sockets: for whoever drives a client by other means than tokio.
//!
//! A [`Client`](crate::Client) is a handle on a machine of values. [`Session`] is the other side of
//! that machine: it says what is to be done on the network ([`Effect`]) and is told what came of it
//! ([`Input`]). The tokio driver of this crate is one user of it; a simulator with a virtual
//! network and clock is another. It gets one per client from
//! [`Builder::start_on`](crate::Builder::start_on):
//!
//! ```
//! # fn example(runtime: std::sync::Arc<dyn ostler_client::runtime::Runtime>)
//! #     -> ostler_client::Result<()> {
//! use std::sync::mpsc;
//! use std::time::Duration;
//! use ostler_client::Client;
//! use ostler_client::session::{Effect, Input};
//!
//! let (launched, sessions) = mpsc::channel();
//! let launch = move |session| launched.send(session).expect("somebody drives it");
//! let client = Client::builder().start_on(runtime, launch, "one:2181,two:2181")?;
//! let session = sessions.recv().expect("start_on launches it");
//!
//! // The loop of a driver: tell the time, carry out, wait for the next thing to happen.
//! session.handle(Duration::ZERO, Input::Tick);
//! for effect in session.take_effects() {
//!     match effect {
//!         Effect::Dial(link, host) => println!("connect {link:?} to {host}"),
//!         Effect::HangUp(link) => println!("close {link:?}"),
//!         Effect::Probe(host) => println!("ask {host} with isro"),
//!         Effect::End => println!("this was all"),
//!     }
//! }
//! let wait_until = session.next_deadline();
//! # Ok(())
//! # }
//! ```
//!
//! A driver calls [`handle`](Session::handle) for everything that happens and with [`Input::Tick`]
//! at [`next_deadline`](Session::next_deadline) or whenever [`woken`](Session::woken) is ready,
//! which is when a caller of the client did something. After each it carries out
//! [`take_effects`](Session::take_effects) in order, then sends what
//! [`transmit`](Session::transmit) gives while the connection takes bytes. Time is whatever
//! [`Runtime::now`](crate::Runtime::now) of the client's runtime says.
//!
//! Reading order: `queue` (requests on their way), `watches`, `core` (connections and moments),
//! `incoming` (what servers say), `shared` (the lock around it).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

mod proof;
pub(crate) mod queue;
pub(crate) mod watches;

pub(crate) mod core;
mod incoming;

pub(crate) mod shared;

#[cfg(test)]
mod tests;

pub use crate::hosts::Host;
use crate::session::shared::Shared;

/// A connection, or an attempt to make one. Every dial has a new number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LinkId(pub u64);

/// What happened. Inputs of a link that is not the last one that was dialed are ignored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input<'a> {
    /// Nothing but that time has passed, or that a caller wants something.
    Tick,
    /// The connection that was asked for stands.
    Dialed(LinkId),
    /// It could not be made, and why.
    DialFailed(LinkId, &'a str),
    /// Bytes from the server, cut anywhere.
    Bytes(LinkId, &'a [u8]),
    /// The connection ended from the other side or broke, and why.
    Closed(LinkId, &'a str),
    /// The answer of a server to [`Effect::Probe`]: whether it takes writes.
    Probed(Host, bool),
}

impl Input<'_> {
    fn link(&self) -> Option<LinkId> {
        match self {
            Self::Dialed(link)
            | Self::DialFailed(link, _)
            | Self::Bytes(link, _)
            | Self::Closed(link, _) => Some(*link),
            Self::Tick | Self::Probed(..) => None,
        }
    }
}

/// What is to be done, in the order in which it was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Connect to a server, looking its name up, and say [`Input::Dialed`] or
    /// [`Input::DialFailed`]. Any connection of before is over.
    Dial(LinkId, Host),
    /// Close this connection, or stop to make it, without a further word about it.
    HangUp(LinkId),
    /// Ask a server, on a connection of its own, with the four bytes `isro`, and say
    /// [`Input::Probed`] with whether it answered `rw`. When it cannot be asked nothing need be
    /// said.
    Probe(Host),
    /// The session is over. Nothing comes after it.
    End,
}

/// The network's side of a client. Dropping it ends the client as if it had been closed.
pub struct Session {
    shared: Arc<Shared>,
}

impl Session {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Takes in what happened at `now`, which never goes back.
    pub fn handle(&self, now: Duration, input: Input<'_>) {
        self.shared.core().handle(now, input);
    }

    /// What is to be done now, in this order.
    #[must_use]
    pub fn take_effects(&self) -> Vec<Effect> {
        self.shared.core().take_effects()
    }

    /// Appends what is to be sent on this connection, until `out` holds `limit_bytes` or more. What
    /// was appended counts as sent.
    pub fn transmit(&self, now: Duration, link: LinkId, limit_bytes: usize, out: &mut Vec<u8>) {
        self.shared.core().transmit(now, link, limit_bytes, out);
    }

    /// Whether [`transmit`](Self::transmit) has something to send.
    #[must_use]
    pub fn has_bytes(&self) -> bool {
        self.shared.core().has_bytes()
    }

    /// When to come with [`Input::Tick`] if nothing happens before; `None` when the session is
    /// over.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        self.shared.core().next_deadline()
    }

    /// Is ready when a caller did something since the last time it was ready.
    pub async fn woken(&self) {
        self.shared.wake.notified().await;
    }

    /// Sets the way to the present socket for lone requests; none when there is none.
    pub(crate) fn set_shortcut(&self, shortcut: Option<shared::Shortcut>) {
        self.shared.set_shortcut(shortcut);
    }

    pub(crate) fn runtime(&self) -> &Arc<dyn crate::runtime::Runtime> {
        &self.shared.runtime
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.shared.set_shortcut(None);
        self.shared.core().abandon();
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}
