//! Watches as the user holds them: [`OneshotWatch`], [`Watch`], and the [`Event`]s they bring.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use ostler_wire::ids::Zxid;
use ostler_wire::reply::EventType;
use tokio::sync::{mpsc, oneshot};

use crate::session::shared::Handle;
use crate::session::watches::Table;

/// What a watch saw.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// Where, as the client sees it: without the chroot.
    pub path: String,
    /// The transaction that did it. [`Zxid::NONE`] if it happened while the client was between two
    /// connections, if the server is older than 3.9, and for what no transaction did.
    pub zxid: Zxid,
}

/// What can happen to a watched znode, or to the watch.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EventKind {
    /// The znode was created.
    Created,
    /// The znode was deleted.
    Deleted,
    /// The data of the znode were set.
    DataChanged,
    /// A child was created or deleted. Recursive watches do not bring this.
    ChildrenChanged,
    /// The watch was taken away by [`Client::remove_watches`](crate::Client::remove_watches).
    /// Nothing comes after it.
    Removed,
    /// The session is gone: expired, refused or closed. Nothing comes after it.
    SessionLost,
}

impl From<EventType> for EventKind {
    fn from(event_type: EventType) -> Self {
        match event_type {
            EventType::NodeCreated => Self::Created,
            EventType::NodeDeleted => Self::Deleted,
            EventType::NodeDataChanged => Self::DataChanged,
            EventType::NodeChildrenChanged => Self::ChildrenChanged,
        }
    }
}

/// How far a [`Watch`] looks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum WatchMode {
    /// One znode: created, deleted, data changed, children changed.
    Persistent,
    /// The znode and all below it: created, deleted, data changed.
    PersistentRecursive,
}

/// Which watches [`Client::remove_watches`](crate::Client::remove_watches) takes away.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum WatchKind {
    /// Those left by `get_and_watch` and `exists_and_watch`.
    Data,
    /// Those left by `children_and_watch`.
    Children,
    /// Those of `watch` with [`WatchMode::Persistent`].
    Persistent,
    /// Those of `watch` with [`WatchMode::PersistentRecursive`].
    PersistentRecursive,
    /// All of them.
    Any,
}

impl WatchKind {
    /// The number on the wire.
    pub(crate) fn number(self) -> i32 {
        match self {
            Self::Children => 1,
            Self::Data => 2,
            Self::Any => 3,
            Self::Persistent => 4,
            Self::PersistentRecursive => 5,
        }
    }
}

/// Where a watch was left, so that it can be taken back.
pub(crate) struct Place {
    pub(crate) handle: Arc<Handle>,
    /// The server's path.
    pub(crate) path: String,
    pub(crate) table: Table,
}

impl Place {
    fn release(&self) {
        self.handle.release(&self.path, self.table);
    }
}

/// A future that is ready at the first event. It survives reconnects: what happens meanwhile is
/// caught up.
///
/// Dropping it takes the watch away, on the server too when nobody else of this client watches the
/// same. While it exists the session is kept open.
///
/// ```no_run
/// # async fn example(client: ostler_client::Client) -> ostler_client::Result<()> {
/// let (children, _, watch) = client.children_and_watch("/services").await?;
/// println!("now {children:?}");
/// let event = watch.await;
/// println!("{:?} at {}", event.kind, event.path);
/// # Ok(())
/// # }
/// ```
#[must_use = "a watch that is dropped is taken away"]
pub struct OneshotWatch {
    receiver: oneshot::Receiver<Event>,
    place: Place,
    is_done: bool,
}

impl OneshotWatch {
    pub(crate) fn new(receiver: oneshot::Receiver<Event>, place: Place) -> Self {
        Self { receiver, place, is_done: false }
    }
}

impl Future for OneshotWatch {
    type Output = Event;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Event> {
        let received = std::task::ready!(Pin::new(&mut self.receiver).poll(cx));
        self.is_done = true;
        // The sender only goes without a word when the session did.
        Poll::Ready(received.unwrap_or_else(|_| Event {
            kind: EventKind::SessionLost,
            path: self.place.handle.inward(&self.place.path),
            zxid: Zxid::NONE,
        }))
    }
}

impl Drop for OneshotWatch {
    fn drop(&mut self) {
        if !self.is_done {
            self.receiver.close();
            self.place.release();
        }
    }
}

impl fmt::Debug for OneshotWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneshotWatch").field("path", &self.place.path).finish_non_exhaustive()
    }
}

/// A stream of events that lasts until it is dropped or the session is gone. It survives
/// reconnects; what happened while there was no connection is *not* caught up, so read the state
/// again when the client is connected again.
///
/// Dropping it takes the watch away, on the server too when nobody else of this client watches the
/// same. While it exists the session is kept open. Events that are not fetched wait in memory.
///
/// ```no_run
/// # async fn example(client: ostler_client::Client) -> ostler_client::Result<()> {
/// use ostler_client::WatchMode;
///
/// let mut watch = client.watch("/config", WatchMode::PersistentRecursive).await?;
/// while let Some(event) = watch.next().await {
///     println!("{:?} at {}", event.kind, event.path);
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "a watch that is dropped is taken away"]
pub struct Watch {
    receiver: mpsc::UnboundedReceiver<Event>,
    place: Place,
    mode: WatchMode,
}

impl Watch {
    pub(crate) fn new(
        receiver: mpsc::UnboundedReceiver<Event>,
        place: Place,
        mode: WatchMode,
    ) -> Self {
        Self { receiver, place, mode }
    }

    /// The next event; `None` when the last one was fetched, which is
    /// [`SessionLost`](EventKind::SessionLost) or [`Removed`](EventKind::Removed).
    pub async fn next(&mut self) -> Option<Event> {
        self.receiver.recv().await
    }

    /// How far it looks.
    #[must_use]
    pub fn mode(&self) -> WatchMode {
        self.mode
    }
}

impl Stream for Watch {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.receiver.poll_recv(cx)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.receiver.close();
        self.place.release();
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.place.path;
        f.debug_struct("Watch")
            .field("path", path)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}
