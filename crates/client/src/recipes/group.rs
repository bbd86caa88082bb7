//! Who is there: processes that join a group under an id, and leave it with their session.

use std::collections::BTreeMap;
use std::fmt;

use super::persistent_node::PersistentNode;
use super::sessions::Sessions;
use super::steady::join;
use super::tree_cache::{CacheEvent, CacheEvents, CacheOptions, Node, TreeCache};
use crate::{CreateOptions, Result};

/// A group of processes, as somebody sees it who need not be in it: Curator's `GroupMember`.
///
/// Each member is an ephemeral znode `<path>/<id>` that holds its data. (kazoo's `Party` names its
/// znodes otherwise, so the two do not mix.)
///
/// **When a member's session is lost** it is gone for the others, and comes back with another
/// session. While the own link is broken [`Group::members`] shows who was there last.
///
/// ```no_run
/// # async fn example(client: &ostler_client::Client) -> ostler_client::Result<()> {
/// use ostler_client::recipes::Group;
///
/// let group = Group::new(client, "/workers");
/// let me = group.join("worker-1", "10.0.0.1:4000")?;
/// me.joined().await?;
/// group.ready().await?;
/// for (id, data) in group.members() {
///     println!("{id} at {}", String::from_utf8_lossy(&data));
/// }
/// me.leave().await?;
/// # Ok(())
/// # }
/// ```
pub struct Group {
    sessions: Sessions,
    path: String,
    cache: TreeCache,
}

impl Group {
    /// Looks at the group at `path` from now on.
    pub fn new(sessions: impl Into<Sessions>, path: &str) -> Self {
        let sessions = sessions.into();
        let cache = TreeCache::new(&sessions, path, &CacheOptions::new().depth(1));
        Self { sessions, path: path.to_owned(), cache }
    }

    /// Waits until it is known who is there.
    ///
    /// # Errors
    /// As [`TreeCache::ready`].
    pub async fn ready(&self) -> Result<()> {
        self.cache.ready().await
    }

    /// Whether what is known is what the servers tell, and not from before the link broke.
    pub fn is_current(&self) -> bool {
        self.cache.is_current()
    }

    /// The ids of the members and their data.
    pub fn members(&self) -> BTreeMap<String, Vec<u8>> {
        let members = self.cache.children(&self.path);
        members.iter().map(|node| (node.name().to_owned(), node.data.clone())).collect()
    }

    /// Who is there, as [`GroupEvent::Joined`] each, and every change after that.
    pub fn events(&self) -> GroupEvents {
        GroupEvents { path: self.path.clone(), events: self.cache.events() }
    }

    /// Joins under an id, which nobody else in the group should have.
    ///
    /// # Errors
    /// None at present; what the servers say comes with [`Member::joined`].
    pub fn join(&self, id: &str, data: impl AsRef<[u8]>) -> Result<Member> {
        let path = join(&self.path, id);
        let node = PersistentNode::new(&self.sessions, &path, data, CreateOptions::ephemeral())?;
        Ok(Member { node, id: id.to_owned() })
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A membership; dropping it leaves the group in the background.
#[derive(Debug)]
pub struct Member {
    node: PersistentNode,
    id: String,
}

impl Member {
    /// The id under which it has joined.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Waits until it is in the group.
    ///
    /// # Errors
    /// As [`PersistentNode::placed`].
    pub async fn joined(&self) -> Result<()> {
        self.node.placed().await.map(drop)
    }

    /// Changes the member's data.
    ///
    /// # Errors
    /// When the servers refuse them.
    pub async fn set(&self, data: impl AsRef<[u8]>) -> Result<()> {
        self.node.set(data).await
    }

    /// Leaves, and returns when nobody sees it any more.
    ///
    /// # Errors
    /// When the servers refuse it.
    pub async fn leave(self) -> Result<()> {
        self.node.close().await
    }
}

/// What happened to a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupEvent {
    /// Somebody has joined.
    Joined {
        /// Who.
        id: String,
        /// With these data.
        data: Vec<u8>,
    },
    /// A member has other data; or has left and joined again meanwhile.
    Changed {
        /// Who.
        id: String,
        /// The present data.
        data: Vec<u8>,
    },
    /// A member has left, or its session was lost.
    Left {
        /// Who.
        id: String,
    },
    /// All members have been told of, for the first time or again after a broken link.
    Current,
    /// The link is broken: who is there may change unseen until the next [`GroupEvent::Current`].
    Stale,
}

/// The events of a group; see [`Group::events`].
pub struct GroupEvents {
    path: String,
    events: CacheEvents,
}

impl GroupEvents {
    /// The next event; nothing when the group value is gone or its client is closed.
    pub async fn next(&mut self) -> Option<GroupEvent> {
        loop {
            let event = self.events.next().await?;
            let told = match event {
                CacheEvent::Created(node) => {
                    self.id(&node).map(|id| GroupEvent::Joined { id, data: node.data.clone() })
                }
                CacheEvent::Changed { new, .. } => {
                    self.id(&new).map(|id| GroupEvent::Changed { id, data: new.data.clone() })
                }
                CacheEvent::Deleted(node) => self.id(&node).map(|id| GroupEvent::Left { id }),
                CacheEvent::Current => Some(GroupEvent::Current),
                CacheEvent::Stale => Some(GroupEvent::Stale),
            };
            if told.is_some() {
                return told;
            }
        }
    }

    /// The id of a member; the group's own node has none.
    fn id(&self, node: &Node) -> Option<String> {
        (node.path != self.path).then(|| node.name().to_owned())
    }
}
