//! A place in a queue of sequential nodes: taken, waited on, and given back whatever happens.
//!
//! The node's name begins with a random token, so that a node whose creation was done but never
//! answered is found again instead of being left behind to block everybody (Curator calls this
//! protection).
//!
//! Invariant: from the moment the creation is asked for until [`Seat::leave`] has ended, the seat
//! owes its node's deletion. Dropping it, also inside a future that is dropped while it waits for
//! an answer, pays that in the background.

use std::mem;

use crate::{Acl, Client, CreateOptions, Error, Result, State, Zxid};

use super::order::{Marks, Standing, standing};
use super::steady::{
    catch_up, connected, ensure_container, insist, join, passes, pause, remove_ephemeral, uuid,
};

/// How the names of a recipe's nodes are written. Clients of both kinds see each other's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// As Apache Curator: `_c_<uuid>-lock-0000000001`. A kazoo lock beside it needs
    /// `extra_lock_patterns=["lock-"]` (for read-write locks `["__WRIT__", "__READ__"]`).
    #[default]
    Curator,
    /// As kazoo: `<uuid>__lock__0000000001`. A Curator lock beside it does not see this one.
    Kazoo,
}

/// The name of a node before its number.
pub(crate) fn name_of(client: &Client, layout: Layout, mark: &str) -> Name {
    let uuid = uuid(client);
    let token = match layout {
        Layout::Curator => format!("_c_{uuid}-"),
        Layout::Kazoo => uuid.replace('-', ""),
    };
    let stem = format!("{token}{mark}");
    Name { token, stem }
}

/// A node name that is not used twice.
#[derive(Debug)]
pub(crate) struct Name {
    /// What no other node's name begins with.
    pub(crate) token: String,
    /// The token and the mark.
    pub(crate) stem: String,
}

/// How a seat's node is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taking<'a> {
    pub(crate) data: &'a [u8],
    pub(crate) acl: Option<&'a [Acl]>,
    /// Instead of the server's number, the one of a node that is about to go.
    pub(crate) number: Option<&'a str>,
}

/// An ephemeral node of this session's in a queue.
pub(crate) struct Seat {
    client: Client,
    parent: String,
    token: String,
    /// What is known of the node; nothing while the answer to its creation is awaited.
    node: Option<(String, Zxid)>,
    is_owed: bool,
}

/// How waiting for one's turn has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// It is this seat's turn.
    Turn,
    /// Somebody has deleted its node.
    Gone,
}

impl Seat {
    /// Creates the node, and the parents it lacks.
    pub(crate) async fn take(
        client: &Client,
        parent: &str,
        name: Name,
        taking: Taking<'_>,
    ) -> Result<Self> {
        let mut options = CreateOptions::ephemeral();
        if let Some(acl) = taking.acl {
            options = options.acl(acl.to_vec());
        }
        let mut path = join(parent, &name.stem);
        match taking.number {
            Some(number) => path.push_str(number),
            None => options = options.sequential(),
        }
        let mut seat = Self {
            client: client.clone(),
            parent: parent.to_owned(),
            token: name.token,
            node: None,
            is_owed: false,
        };
        let mut tries = 0;
        loop {
            seat.is_owed = true;
            match client.create(&path, taking.data, &options).await {
                Ok(created) => seat.node = Some((created.path, created.stat.czxid)),
                Err(Error::NoNode) => {
                    seat.is_owed = false;
                    ensure_container(client, parent).await?;
                }
                // Only a fixed name exists already: this very creation, asked for once before.
                Err(error) if passes(&error) || error == Error::NodeExists => {
                    pause(client, &mut tries).await;
                    seat.node = find_again(client, parent, &seat.token).await?;
                }
                Err(error) => {
                    seat.is_owed = false;
                    return Err(error);
                }
            }
            if seat.node.is_some() {
                return Ok(seat);
            }
        }
    }

    /// The whole path of the node.
    pub(crate) fn path(&self) -> &str {
        self.node.as_ref().map_or("", |(path, _)| path)
    }

    /// The node's name.
    pub(crate) fn name(&self) -> &str {
        self.path().rsplit_once('/').map_or("", |(_, name)| name)
    }

    /// The zxid of the node's creation.
    pub(crate) fn czxid(&self) -> Zxid {
        self.node.as_ref().map_or_else(Zxid::default, |(_, czxid)| *czxid)
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn parent(&self) -> &str {
        &self.parent
    }

    /// Looks once where the seat stands.
    ///
    /// The list may lag behind, never in front of this session's own creation: all who were before
    /// it are on it, some perhaps no longer there.
    pub(crate) async fn look(&self, marks: &Marks) -> Result<Standing> {
        match insist(&self.client, || self.client.children(&self.parent)).await {
            Ok((children, _)) => Ok(standing(&children, self.name(), marks)),
            Err(Error::NoNode) => Ok(Standing::Gone),
            Err(error) => Err(error),
        }
    }

    /// Waits until nobody is before the seat.
    ///
    /// # Errors
    /// [`Error::SessionExpired`] and the like; the seat is none any more.
    pub(crate) async fn wait_turn(&self, marks: &Marks) -> Result<Waited> {
        loop {
            let before = match self.look(marks).await? {
                Standing::Turn if self.client.state() != State::ConnectedReadOnly => {
                    return Ok(Waited::Turn);
                }
                // A server that is cut off from the others may show what has long passed.
                Standing::Turn => {
                    connected(&self.client).await?;
                    continue;
                }
                Standing::Gone => return Ok(Waited::Gone),
                Standing::Behind(name) => join(&self.parent, &name),
            };
            let client = &self.client;
            let (stat, watch) = insist(client, || client.exists_and_watch(&before)).await?;
            if stat.is_some() {
                // Whatever has happened, the next look tells; a lost session too.
                watch.await;
            }
        }
    }

    /// Deletes the node.
    ///
    /// # Errors
    /// When the server refuses that. The deletion is tried again in the background.
    pub(crate) async fn leave(mut self) -> Result<()> {
        remove_ephemeral(&self.client, self.path()).await?;
        self.is_owed = false;
        Ok(())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.is_owed {
            return;
        }
        let client = self.client.clone();
        let parent = mem::take(&mut self.parent);
        let token = mem::take(&mut self.token);
        let node = self.node.take();
        let task = async move {
            // Nobody is left to be told of a refusal; the end of the session settles it at last.
            let _ = match node {
                Some((path, _)) => remove_ephemeral(&client, &path).await,
                None => forget(&client, &parent, &token).await,
            };
        };
        self.client.runtime().spawn(Box::pin(task));
    }
}

/// Deletes what an unanswered creation may have left.
///
/// Requests are done in the order of the calls, so this list shows what came of it, when the
/// server it is asked of has caught up.
async fn forget(client: &Client, parent: &str, token: &str) -> Result<()> {
    for name in names_with(client, parent, token).await? {
        remove_ephemeral(client, &join(parent, &name)).await?;
    }
    Ok(())
}

/// The node of an unanswered creation, if it was done. Further ones are deleted.
async fn find_again(client: &Client, parent: &str, token: &str) -> Result<Option<(String, Zxid)>> {
    let mut found = None;
    for name in names_with(client, parent, token).await? {
        let path = join(parent, &name);
        if found.is_some() {
            remove_ephemeral(client, &path).await?;
        } else if let Some(stat) = insist(client, || client.exists(&path)).await? {
            found = Some((path, stat.czxid));
        }
    }
    Ok(found)
}

/// The children whose names begin with a token, the first created first.
///
/// The connection may have moved to a server that has not yet seen what the last one did:
/// it is brought up to date. What the last one has not yet passed on is refused from then on,
/// because the session has moved.
async fn names_with(client: &Client, parent: &str, token: &str) -> Result<Vec<String>> {
    catch_up(client, parent).await?;
    let mut names = match insist(client, || client.children(parent)).await {
        Ok((names, _)) => names,
        Err(Error::NoNode) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    names.retain(|name| name.starts_with(token));
    names.sort_unstable();
    Ok(names)
}
