//! A copy of one znode that follows the servers' one.

use std::sync::Arc;

use super::sessions::Sessions;
use super::tree_cache::{CacheEvents, CacheOptions, Node, TreeCache};
use crate::Result;

/// A copy of one znode that follows the servers' one; the znode need not exist.
///
/// A [`TreeCache`] of depth 0, over a persistent watch of the one znode. It is never older than
/// it was before, keeps what it has while the link is broken, reads again afterwards, and goes on
/// with another session when one is lost.
///
/// ```no_run
/// # async fn example(client: &ostler_client::Client) -> ostler_client::Result<()> {
/// use ostler_client::recipes::{CacheEvent, NodeCache};
///
/// let config = NodeCache::new(client, "/app/config");
/// let mut events = config.events();
/// while let Some(event) = events.next().await {
///     if let CacheEvent::Created(node) | CacheEvent::Changed { new: node, .. } = event {
///         println!("now {}", String::from_utf8_lossy(&node.data));
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct NodeCache {
    cache: TreeCache,
    path: String,
}

impl NodeCache {
    /// Starts to follow the znode at `path`.
    ///
    /// `sessions` is a [`Client`](crate::Client) or [`Sessions`] shared with other recipes.
    pub fn new(sessions: impl Into<Sessions>, path: &str) -> Self {
        let cache = TreeCache::new(sessions, path, &CacheOptions::new().depth(0));
        Self { cache, path: path.to_owned() }
    }

    /// Waits until the znode has been looked at.
    ///
    /// # Errors
    /// As [`TreeCache::ready`].
    pub async fn ready(&self) -> Result<()> {
        self.cache.ready().await
    }

    /// Whether it is connected and has looked at the znode since.
    pub fn is_current(&self) -> bool {
        self.cache.is_current()
    }

    /// The znode as it was seen last; nothing when there was none.
    pub fn get(&self) -> Option<Arc<Node>> {
        self.cache.get(&self.path)
    }

    /// As [`TreeCache::events`].
    pub fn events(&self) -> CacheEvents {
        self.cache.events()
    }
}
