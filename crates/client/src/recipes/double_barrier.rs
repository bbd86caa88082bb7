//! A room that nobody is in before all have come, and nobody leaves before all are done.
//!
//! **Layout** (Curator's `DistributedDoubleBarrier`, kazoo's `DoubleBarrier`): the path has an
//! ephemeral child for each member, and the child `ready` from when all have come.
//!
//! **Guarantees.** Whoever has entered knows that as many members were there at the same time. A
//! member whose session ends counts as one who has left: before all have come, the others go on
//! waiting for another one; afterwards they do not wait for it when they leave.
//!
//! kazoo's `DoubleBarrier.enter` does not look whether `ready` is there already: such a member can
//! wait for ever when the others leave before it has counted them.
//!
//! A path is good for one round: one who comes back before the last has left is taken for a member
//! of the same round, by all three libraries. Give the next round another path.

use std::time::Duration;

use crate::runtime::{Either, race};
use crate::{Client, CreateOptions, Error, EventKind, Result};

use super::seat::{Name, Seat, Taking};
use super::steady::{insist, join, uuid, within};

/// A double barrier for a number of members.
///
/// ```no_run
/// # async fn run() -> ostler_client::Result<()> {
/// use ostler_client::{Client, recipes::DoubleBarrier};
///
/// let client = Client::connect("localhost:2181").await?;
/// let inside = DoubleBarrier::new(&client, "/round-1", 3).enter().await?;
/// // … all three are at work …
/// inside.leave().await?;
/// // … and all three have finished.
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct DoubleBarrier {
    client: Client,
    path: String,
    members: usize,
}

/// A member that has entered. Dropping it leaves, without waiting for the others.
#[must_use = "it leaves when dropped"]
pub struct Inside {
    seat: Seat,
}

impl DoubleBarrier {
    /// The barrier at `path` for this many members. Nothing is asked of the server yet.
    pub fn new(client: &Client, path: impl Into<String>, members: usize) -> Self {
        Self { client: client.clone(), path: path.into(), members }
    }

    /// Comes in and waits until all are there. Dropping the future steps back out.
    ///
    /// # Errors
    /// What the server refuses with, or that the session is over.
    pub async fn enter(&self) -> Result<Inside> {
        let (client, ready) = (&self.client, join(&self.path, READY));
        let token = uuid(client);
        let name = Name { stem: token.clone(), token };
        let taking = Taking { data: b"", acl: None, number: Some("") };
        let seat = Seat::take(client, &self.path, name, taking).await?;
        let (mut stat, mut is_ready) = insist(client, || client.exists_and_watch(&ready)).await?;
        while stat.is_none() {
            let (children, _, changed) =
                insist(client, || client.children_and_watch(&self.path)).await?;
            if others_than_ready(&children).count() >= self.members {
                let persistent = CreateOptions::persistent();
                match insist(client, || client.create(&ready, b"", &persistent)).await {
                    Ok(_) | Err(Error::NodeExists) => break,
                    Err(error) => return Err(error),
                }
            }
            // Not only `ready`: the last to come may end before it makes that.
            match race(&mut is_ready, changed).await {
                // It may be gone again: kazoo's members take it away when they leave.
                Either::Left(event) if event.kind == EventKind::Created => break,
                Either::Left(_) => {
                    (stat, is_ready) = insist(client, || client.exists_and_watch(&ready)).await?;
                }
                Either::Right(_) => {}
            }
        }
        Ok(Inside { seat })
    }

    /// The same for a limited time.
    ///
    /// # Errors
    /// As with [`Self::enter`].
    pub async fn enter_within(&self, time: Duration) -> Result<Option<Inside>> {
        within(&self.client, time, self.enter()).await.transpose()
    }
}

impl Inside {
    /// Leaves, and waits until all have. Dropping the future leaves without waiting.
    ///
    /// # Errors
    /// What the server refuses with, or that the session is over.
    pub async fn leave(self) -> Result<()> {
        let client = self.seat.client().clone();
        let path = self.seat.parent().to_owned();
        let own = self.seat.name().to_owned();
        let mut seat = Some(self.seat);
        loop {
            let members = members(&client, &path).await?;
            let (Some(lowest), Some(highest)) = (members.first(), members.last()) else { break };
            let is_last = *lowest == own && *highest == own;
            // The lowest waits for the highest, the others leave and wait for the lowest: so each
            // departure wakes few.
            let awaited = if *lowest == own { highest } else { lowest };
            let awaited = join(&path, awaited);
            if (*lowest != own || is_last)
                && let Some(seat) = seat.take()
            {
                seat.leave().await?;
            }
            if !is_last {
                let (stat, watch) = insist(&client, || client.exists_and_watch(&awaited)).await?;
                if stat.is_some() {
                    watch.await;
                }
            }
        }
        let ready = join(&path, READY);
        match insist(&client, || client.delete(&ready, None)).await {
            Ok(()) | Err(Error::NoNode) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// The names of those who are in, sorted as all sort them.
async fn members(client: &Client, path: &str) -> Result<Vec<String>> {
    let children = match insist(client, || client.children(path)).await {
        Ok((children, _)) => children,
        Err(Error::NoNode) => Vec::new(),
        Err(error) => return Err(error),
    };
    let mut members: Vec<_> = others_than_ready(&children).cloned().collect();
    members.sort_unstable();
    Ok(members)
}

fn others_than_ready(children: &[String]) -> impl Iterator<Item = &String> {
    children.iter().filter(|name| *name != READY)
}

const READY: &str = "ready";
