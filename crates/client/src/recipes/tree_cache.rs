//! A copy of a subtree that follows the servers' one, over one persistent recursive watch.
//!
//! Here is what users see of it. [`view`] is the tree as a value and knows the zxid rule,
//! [`follow`] is the task that feeds it.

mod follow;
mod view;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures_core::Stream;
use ostler_wire::stat::Stat;
use tokio::sync::{mpsc, oneshot, watch};

use super::sessions::Sessions;
use crate::{Error, Result};
use follow::Follower;
use view::{Scope, View};

/// A cached znode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Where it is, without the client's chroot.
    pub path: String,
    /// Its data; empty for null data.
    pub data: Vec<u8>,
    /// Its stat when it was read. Later changes of children or ACL do not touch it.
    pub stat: Stat,
}

impl Node {
    /// The last part of its path.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// What happened to a cache.
///
/// The events of one path come in the order of its changes, a node's creation behind its
/// parent's, and a deletion before the parent's. Changes that follow one another quickly may be
/// seen as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheEvent {
    /// A node has come.
    Created(Arc<Node>),
    /// A node has other data; or, when `czxid` differs, was deleted and created again.
    Changed {
        /// As it was.
        old: Arc<Node>,
        /// As it is.
        new: Arc<Node>,
    },
    /// A node has gone; this is what was known of it last.
    Deleted(Arc<Node>),
    /// The cache has read everything: for the first time, or again after the link was broken.
    Current,
    /// The link is broken: what the cache shows may be old until the next
    /// [`CacheEvent::Current`].
    Stale,
}

/// How a cache is set up.
#[derive(Clone, Debug)]
pub struct CacheOptions {
    depth_max: Option<usize>,
    reads_max: usize,
}

impl Default for CacheOptions {
    fn default() -> Self {
        Self { depth_max: None, reads_max: 128 }
    }
}

impl CacheOptions {
    /// Everything below the root, 128 reads under way at most.
    pub fn new() -> Self {
        Self::default()
    }

    /// So many levels below the root: 0 is the root alone, 1 its children too.
    #[must_use]
    pub fn depth(mut self, levels: usize) -> Self {
        self.depth_max = Some(levels);
        self
    }

    /// How many nodes are read at a time, at least 1.
    #[must_use]
    pub fn reads_at_once(mut self, reads: usize) -> Self {
        self.reads_max = reads.max(1);
        self
    }
}

/// Where a cache stands.
#[derive(Clone, Debug, PartialEq)]
enum Standing {
    /// It has not read everything since it was connected last.
    Behind,
    Current,
    /// It has given up.
    Failed(Error),
}

struct Tree {
    view: View,
    subscribers: Vec<mpsc::UnboundedSender<CacheEvent>>,
    /// Everything has been read at least once.
    loaded: bool,
}

/// What the cache and its follower share.
struct Shared {
    tree: Mutex<Tree>,
    standing: watch::Sender<Standing>,
    reads_max: usize,
}

impl Shared {
    /// Changes the tree, and tells its subscribers while nobody else can look at it.
    fn change<T>(&self, change: impl FnOnce(&mut View) -> T) -> T {
        let mut tree = self.tree.lock().expect("nobody panics with it");
        let result = change(&mut tree.view);
        for event in tree.view.take_changes() {
            if event == CacheEvent::Current {
                tree.loaded = true;
                self.standing.send_replace(Standing::Current);
            }
            tree.tell(&event);
        }
        result
    }

    /// The link is broken.
    fn fall_behind(&self) {
        let mut tree = self.tree.lock().expect("nobody panics with it");
        tree.view.interrupt();
        if *self.standing.borrow() == Standing::Current {
            self.standing.send_replace(Standing::Behind);
            tree.tell(&CacheEvent::Stale);
        }
    }

    /// The cache follows nothing any more; its subscribers' streams end.
    fn give_up(&self, error: Error) {
        let mut tree = self.tree.lock().expect("nobody panics with it");
        self.standing.send_replace(Standing::Failed(error));
        tree.subscribers.clear();
    }
}

impl Tree {
    fn tell(&mut self, event: &CacheEvent) {
        self.subscribers.retain(|subscriber| subscriber.send(event.clone()).is_ok());
    }
}

/// A copy of a subtree that follows the servers' one. Dropping it ends that.
///
/// The tree is read once, many nodes at a time, and from then on each change is read as one
/// persistent recursive watch tells it. What the cache shows is a little older than what the
/// servers have, and never goes back: an event that is not newer than the cached node changes
/// nothing, by the zxids of both.
///
/// **When the link breaks** the cache keeps what it has, tells [`CacheEvent::Stale`], and reads
/// the tree again when it is connected; the differences come as events, then
/// [`CacheEvent::Current`]. **When the session is lost** it goes on the same way with another one;
/// see [`Sessions`]. So it may miss that a node has come and gone, but not what is there.
///
/// A node that the client may not read counts as missing, with all that is below it.
///
/// Needs servers that know recursive watches: Ostler, or ZooKeeper 3.6 and later.
///
/// ```no_run
/// # async fn example(client: &ostler_client::Client) -> ostler_client::Result<()> {
/// use ostler_client::recipes::{CacheOptions, TreeCache};
///
/// let cache = TreeCache::new(client, "/config", &CacheOptions::new());
/// cache.ready().await?;
/// for node in cache.children("/config") {
///     println!("{} = {}", node.name(), String::from_utf8_lossy(&node.data));
/// }
/// # Ok(())
/// # }
/// ```
pub struct TreeCache {
    shared: Arc<Shared>,
    /// Dropped with the cache, which ends the follower.
    _alive: oneshot::Sender<()>,
}

impl TreeCache {
    /// Starts to follow the tree at `path`, which need not exist yet.
    ///
    /// `sessions` is a [`Client`](crate::Client) or [`Sessions`] shared with other recipes.
    pub fn new(sessions: impl Into<Sessions>, path: &str, options: &CacheOptions) -> Self {
        let scope = Scope { root: path.to_owned(), depth_max: options.depth_max };
        let tree = Tree { view: View::new(scope), subscribers: Vec::new(), loaded: false };
        let shared = Arc::new(Shared {
            tree: Mutex::new(tree),
            standing: watch::Sender::new(Standing::Behind),
            reads_max: options.reads_max,
        });
        let (alive, ended) = oneshot::channel();
        Follower::start(Arc::clone(&shared), sessions.into(), ended);
        Self { shared, _alive: alive }
    }

    /// Waits until everything has been read, and what was missed since the link broke last.
    ///
    /// # Errors
    /// [`Error::Unimplemented`] when the server knows no recursive watches; whatever else ended
    /// the cache: a closed client, a refused path.
    pub async fn ready(&self) -> Result<()> {
        let mut standing = self.shared.standing.subscribe();
        let standing = standing.wait_for(|standing| *standing != Standing::Behind).await;
        match &*standing.expect("the sender is ours") {
            Standing::Failed(error) => Err(error.clone()),
            Standing::Current | Standing::Behind => Ok(()),
        }
    }

    /// Whether it is connected and has read everything.
    pub fn is_current(&self) -> bool {
        *self.shared.standing.borrow() == Standing::Current
    }

    /// The node at a path, if there was one when the cache looked last.
    pub fn get(&self, path: &str) -> Option<Arc<Node>> {
        self.look(|view| view.nodes().get(path).cloned())
    }

    /// The children of a path in the order of their names.
    pub fn children(&self, path: &str) -> Vec<Arc<Node>> {
        self.look(|view| view.children(path))
    }

    /// All nodes in the order of their paths, as they were at one time.
    pub fn nodes(&self) -> Vec<Arc<Node>> {
        self.look(|view| view.nodes().values().cloned().collect())
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.look(|view| view.nodes().len())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The path of the tree's root.
    pub fn root(&self) -> String {
        self.look(|view| view.scope().root.clone())
    }

    /// What is there now, as [`CacheEvent::Created`] for each node, and every change after that:
    /// nothing between is missed or told twice.
    ///
    /// Events wait in memory until they are taken out.
    pub fn events(&self) -> CacheEvents {
        let mut tree = self.shared.tree.lock().expect("nobody panics with it");
        let mut first: VecDeque<_> =
            tree.view.nodes().values().cloned().map(CacheEvent::Created).collect();
        if tree.loaded {
            first.push_back(CacheEvent::Current);
        }
        let standing = self.shared.standing.borrow().clone();
        if tree.loaded && standing == Standing::Behind {
            first.push_back(CacheEvent::Stale);
        }
        let (sender, changes) = mpsc::unbounded_channel();
        if !matches!(standing, Standing::Failed(_)) {
            tree.subscribers.push(sender);
        }
        CacheEvents { first, changes }
    }

    fn look<T>(&self, look: impl FnOnce(&View) -> T) -> T {
        look(&self.shared.tree.lock().expect("nobody panics with it").view)
    }
}

/// The events of a cache; see [`TreeCache::events`]. Ends with the cache.
pub struct CacheEvents {
    first: VecDeque<CacheEvent>,
    changes: mpsc::UnboundedReceiver<CacheEvent>,
}

impl CacheEvents {
    /// The next event; nothing when the cache is gone or has failed.
    pub async fn next(&mut self) -> Option<CacheEvent> {
        match self.first.pop_front() {
            Some(event) => Some(event),
            None => self.changes.recv().await,
        }
    }
}

impl Stream for CacheEvents {
    type Item = CacheEvent;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<CacheEvent>> {
        match self.first.pop_front() {
            Some(event) => Poll::Ready(Some(event)),
            None => self.changes.poll_recv(context),
        }
    }
}
