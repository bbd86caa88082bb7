//! A waiting line at a path: what mutex and read-write lock have in common.

use std::time::Duration;

use crate::{Acl, Client, Error, Result};

use super::guard::Guard;
use super::order::{Marks, Standing, in_order};
use super::seat::{Layout, Seat, Taking, Waited, name_of};
use super::steady::{insist, join, within};

/// A path whose children are contenders, and how this client's are made.
#[derive(Clone)]
pub(crate) struct Line {
    pub(crate) client: Client,
    pub(crate) path: String,
    pub(crate) layout: Layout,
    pub(crate) marks: Marks,
    pub(crate) data: Vec<u8>,
    pub(crate) acl: Option<Vec<Acl>>,
}

impl Line {
    pub(crate) fn new(client: &Client, path: String, marks: Marks) -> Self {
        let layout = Layout::default();
        Self { client: client.clone(), path, layout, marks, data: Vec::new(), acl: None }
    }

    /// Waits at the end of the line until nobody is before.
    pub(crate) async fn wait(&self, mark: &str) -> Result<Guard> {
        loop {
            let seat = self.take(mark, None).await?;
            if seat.wait_turn(&self.marks).await? == Waited::Turn {
                return Ok(Guard::new(seat));
            }
            // Somebody has deleted the node: back to the end of the line.
        }
    }

    /// The same for a limited time.
    pub(crate) async fn wait_within(&self, mark: &str, time: Duration) -> Result<Option<Guard>> {
        within(&self.client, time, self.wait(mark)).await.transpose()
    }

    /// Looks whether it is one's turn at once.
    pub(crate) async fn look(&self, mark: &str) -> Result<Option<Guard>> {
        let seat = self.take(mark, None).await?;
        if seat.look(&self.marks).await? == Standing::Turn {
            return Ok(Some(Guard::new(seat)));
        }
        seat.leave().await?;
        Ok(None)
    }

    /// A seat at the end of the line, or where `number` says.
    pub(crate) async fn take(&self, mark: &str, number: Option<&str>) -> Result<Seat> {
        let name = name_of(&self.client, self.layout, mark);
        let taking = Taking { data: &self.data, acl: self.acl.as_deref(), number };
        Seat::take(&self.client, &self.path, name, taking).await
    }

    /// The data of those in the line, the first first.
    pub(crate) async fn contenders(&self) -> Result<Vec<Vec<u8>>> {
        contenders(&self.client, &self.path, &self.marks).await
    }
}

/// The data of the contenders under `path`, in their order.
pub(crate) async fn contenders(client: &Client, path: &str, marks: &Marks) -> Result<Vec<Vec<u8>>> {
    let children = match insist(client, || client.children(path)).await {
        Ok((children, _)) => children,
        Err(Error::NoNode) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut all = Vec::new();
    for name in in_order(&children, marks) {
        let node = join(path, name);
        match insist(client, || client.get(&node)).await {
            Ok((data, _)) => all.push(data),
            Err(Error::NoNode) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}
