//! Mistakes made on purpose, to see that the checks find them.

use std::collections::BTreeMap;

use ostler_client::{Client, CreateOptions, Error, Result};
use ostler_wire::frame;
use ostler_wire::ids::Xid;

use crate::net::WireId;
use crate::random::Random;

/// A client that loses some of its events ([`Plant::EventSwallowed`](crate::options::Plant)).
pub(crate) struct Swallow {
    random: Random,
    /// What is not yet a whole frame.
    kept: BTreeMap<WireId, (bool, Vec<u8>)>,
}

impl Swallow {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: Random::new(seed, "swallow"), kept: BTreeMap::new() }
    }

    /// What of these bytes the session is shown.
    pub(crate) fn pass(&mut self, wire: WireId, bytes: Vec<u8>) -> Vec<u8> {
        let (greeted, kept) = self.kept.entry(wire).or_default();
        kept.extend(bytes);
        let mut shown = Vec::new();
        while let Ok(Some(body)) = frame::first(kept, usize::MAX) {
            let length = frame::PREFIX_BYTES + body.len();
            let is_event = *greeted && body.starts_with(&Xid::NOTIFICATION.0.to_be_bytes());
            *greeted = true;
            let frame: Vec<u8> = kept.drain(..length).collect();
            if !(is_event && self.random.one_in(5)) {
                shown.extend(frame);
            }
        }
        shown
    }
}

/// A lock whose holders watch the first in line instead of the one before them, and take its
/// going for their turn ([`Plant::WrongPredecessor`](crate::options::Plant)).
pub(crate) struct Naive {
    path: String,
    pub(crate) czxid: ostler_client::Zxid,
}

pub(crate) async fn lock(client: &Client, parent: &str) -> Result<Naive> {
    let own = loop {
        match take(client, parent).await {
            Err(error) if error.is_retryable() => {}
            own => break own?,
        }
    };
    loop {
        let mut names = match client.children(parent).await {
            Ok((names, _)) => names,
            Err(error) if error.is_retryable() => continue,
            Err(error) => return Err(error),
        };
        names.sort_by_key(|name| number_of(name));
        let first = format!("{parent}/{}", names[0]);
        if first == own.path {
            return Ok(own);
        }
        match client.exists_and_watch(&first).await {
            Ok((Some(_), watch)) => {
                watch.await;
                return Ok(own);
            }
            Ok((None, _)) => {}
            Err(error) if error.is_retryable() => {}
            Err(error) => return Err(error),
        }
    }
}

async fn take(client: &Client, parent: &str) -> Result<Naive> {
    let token = format!("{:016x}-lock-", client.session().map_or(0, |(session, _)| session.0));
    let stem = format!("{parent}/{token}");
    let ephemeral = CreateOptions::ephemeral().sequential();
    client.sync(parent).await?;
    let found = match client.children(parent).await {
        Ok((names, _)) => names.into_iter().find(|name| name.starts_with(&token)),
        Err(Error::NoNode) => {
            let (above, _) = parent.rsplit_once('/').expect("a path");
            for path in [above, parent] {
                match client.create(path, "", &CreateOptions::persistent()).await {
                    Ok(_) | Err(Error::NodeExists) => {}
                    Err(error) => return Err(error),
                }
            }
            None
        }
        Err(error) => return Err(error),
    };
    if let Some(name) = found {
        let path = format!("{parent}/{name}");
        let stat = client.exists(&path).await?.ok_or(Error::ConnectionLoss)?;
        return Ok(Naive { path, czxid: stat.czxid });
    }
    let created = client.create(&stem, "", &ephemeral).await?;
    Ok(Naive { path: created.path, czxid: created.stat.czxid })
}

impl Naive {
    pub(crate) async fn release(self, client: &Client) -> Result<()> {
        loop {
            match client.delete(&self.path, None).await {
                Err(error) if error.is_retryable() => {}
                Err(Error::NoNode) => return Ok(()),
                outcome => return outcome,
            }
        }
    }
}

/// The sequence number at the end of a name.
pub(crate) fn number_of(name: &str) -> i32 {
    name.get(name.len().saturating_sub(10)..).and_then(|end| end.parse().ok()).unwrap_or(-1)
}
