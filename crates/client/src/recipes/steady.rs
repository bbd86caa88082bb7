//! What the recipes share: calls that are repeated across broken connections, parents made on
//! demand, nodes that are certainly deleted.
//!
//! Only calls that may be done twice are repeated here. Sequential nodes are
//! [`super::seat::Seat`]'s business, and a counter's additions the counter's.

use std::future::Future;
use std::time::Duration;

use crate::runtime::{Either, race};
use crate::{Client, CreateOptions, Error, Reply, Result, State};

/// Repeats a call until it has an answer of the server's, or the session is over.
///
/// There is no limit of tries: whoever waits may drop the future. A request made while the
/// connection is down waits for the next one by itself, so the pauses only matter when a server
/// answers and refuses.
pub(crate) async fn insist<T>(client: &Client, mut call: impl FnMut() -> Reply<T>) -> Result<T> {
    let mut tries = 0;
    loop {
        match call().await {
            Err(error) if passes(&error) => pause(client, &mut tries).await,
            answer => return answer,
        }
    }
}

/// Has the client's server know whatever was done before, as a quorum knows it: what comes of a
/// request that was not answered is decided by then.
///
/// Not by `sync`, which a leader answers alone, also one that is none any more and does not know
/// it yet. A write that is refused goes through the quorum as one that is done does.
pub(crate) async fn catch_up(client: &Client, path: &str) -> Result<()> {
    match insist(client, || client.multi().check(path, None).send()).await {
        Ok(_) | Err(Error::Multi { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether an error says nothing about the request, only about the moment.
pub(crate) fn passes(error: &Error) -> bool {
    error.is_retryable()
        || matches!(error, Error::Overloaded | Error::NotReadOnly | Error::SessionMoved)
}

/// Waits before the next try: at first 10 ms, at most a second, and a little at random.
pub(crate) async fn pause(client: &Client, tries: &mut u32) {
    let runtime = client.runtime();
    let longest = PAUSE_MIN.saturating_mul(1 << (*tries).min(10)).min(PAUSE_MAX);
    let part = f64::from(u32::try_from(runtime.random() >> 32).unwrap_or(0)) / f64::from(u32::MAX);
    *tries = tries.saturating_add(1);
    runtime.sleep(longest.mul_f64(0.5 + part / 2.0)).await;
}

const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Creates `path` and what is missing above it, as containers where the server has them, so that
/// the server takes them away when they are empty and unused.
pub(crate) async fn ensure_container(client: &Client, path: &str) -> Result<()> {
    if path == "/" || ensure_one(client, path).await? {
        return Ok(());
    }
    // From the top down; any of them may be taken away again while this runs.
    loop {
        let ends = path.match_indices('/').skip(1).map(|(at, _)| at);
        let mut is_there = false;
        for (depth, end) in ends.chain([path.len()]).enumerate() {
            is_there = ensure_one(client, &path[..end]).await?;
            if depth == 0 && !is_there {
                // Not even the client's root is there, which is not for a recipe to make.
                return Err(Error::NoNode);
            }
        }
        if is_there {
            return Ok(());
        }
    }
}

/// Whether the node is there now; not when its parent is missing.
async fn ensure_one(client: &Client, path: &str) -> Result<bool> {
    let container = CreateOptions::container();
    let mut made = insist(client, || client.create(path, b"", &container)).await;
    if matches!(made, Err(Error::Unimplemented)) {
        let persistent = CreateOptions::persistent();
        made = insist(client, || client.create(path, b"", &persistent)).await;
    }
    match made {
        Ok(_) | Err(Error::NodeExists) => Ok(true),
        Err(Error::NoNode) => Ok(false),
        // Who may not create here may still use what is there.
        Err(Error::NoAuth) => Ok(insist(client, || client.exists(path)).await?.is_some()),
        Err(error) => Err(error),
    }
}

/// The same for the parent of `path`.
pub(crate) async fn ensure_parent(client: &Client, path: &str) -> Result<()> {
    match path.rfind('/') {
        Some(0) | None => Ok(()),
        Some(at) => ensure_container(client, &path[..at]).await,
    }
}

/// Deletes a node and does not stop before it is gone. An ephemeral node is also gone when its
/// session is over.
pub(crate) async fn remove_ephemeral(client: &Client, path: &str) -> Result<()> {
    match insist(client, || client.delete(path, None)).await {
        Ok(()) | Err(Error::NoNode | Error::SessionExpired | Error::Closed) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Waits until the client has a connection on which its session is kept alive.
pub(crate) async fn connected(client: &Client) -> Result<()> {
    let mut states = client.states();
    loop {
        match states.next().await {
            Some(State::Connected) => return Ok(()),
            Some(State::Lost) => return Err(Error::SessionExpired),
            Some(State::AuthFailed) => return Err(Error::AuthFailed),
            Some(State::Closed) | None => return Err(Error::Closed),
            Some(_) => {}
        }
    }
}

/// `<parent>/<name>`.
pub(crate) fn join(parent: &str, name: &str) -> String {
    if parent == "/" { format!("/{name}") } else { format!("{parent}/{name}") }
}

/// A random UUID (version 4) in its usual spelling.
pub(crate) fn uuid(client: &Client) -> String {
    let high = client.runtime().random() & !0xf000 | 0x4000;
    let low = client.runtime().random() >> 2 | 1 << 63;
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}

/// What comes of a future within a time.
pub(crate) async fn within<F: Future>(
    client: &Client,
    time: Duration,
    future: F,
) -> Option<F::Output> {
    match race(future, client.runtime().sleep(time)).await {
        Either::Left(output) => Some(output),
        Either::Right(()) => None,
    }
}
