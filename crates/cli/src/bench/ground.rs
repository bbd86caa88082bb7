//! The part of the tree that a bench works in: made before, removed after.

use std::io;

use super::interruption;
use super::random::Random;
use super::template::{node_path, parent_path};
use crate::raw_client::{RawClient, Reply, create, delete, get_children};

/// Bytes of requests that preparing and cleaning up keep under way.
const WINDOW_BYTES: usize = 256 * 1024;

/// Flag of ZooKeeper's create: append a number that makes the name unique.
const SEQUENTIAL: i32 = 2;

/// Znodes whose paths are held at a time.
const BATCH: u64 = 10_000;

/// A root of the bench's own and the parents below it.
pub(crate) struct Ground {
    server: String,
    pub(crate) root: String,
    parents: u64,
}

impl Ground {
    /// Creates `/ostler-bench-<n>` and its parents, and `spare` more of them that nothing is spread
    /// over.
    pub(crate) fn create(
        server: &str,
        parents: u32,
        spare: u32,
        timeout_ms: i32,
    ) -> io::Result<Self> {
        let mut client = RawClient::connect(server, timeout_ms)?;
        let root = client.call(&create("/ostler-bench-", b"", SEQUENTIAL))?.ok()?.path()?;
        let ground = Self { server: server.to_owned(), root, parents: u64::from(parents) };
        let paths: Vec<_> =
            (0..ground.parents + u64::from(spare)).map(|p| ground.parent(p)).collect();
        let mut first_error = None;
        let requests = paths.iter().map(|path| create(path, b"", 0));
        client.call_all(requests, depth_for(100), |reply| note_error(reply, &mut first_error))?;
        client.close_session()?;
        first_error.map_or(Ok(ground), Err)
    }

    fn parent(&self, parent: u64) -> String {
        parent_path(&self.root, parent)
    }

    /// The path of znode `number`.
    pub(crate) fn node(&self, number: u64) -> String {
        node_path(&self.root, number, self.parents)
    }

    /// Creates znodes `0..count` with `size_bytes` of data each.
    pub(crate) fn populate(
        &self,
        count: u64,
        size_bytes: usize,
        timeout_ms: i32,
    ) -> io::Result<()> {
        let mut client = RawClient::connect(&self.server, timeout_ms)?;
        let data = Random::new(1).bytes(size_bytes);
        let mut first_error = None;
        for start in (0..count).step_by(usize::try_from(BATCH).expect("it is small")) {
            interruption::check()?;
            let end = count.min(start + BATCH);
            let paths: Vec<_> = (start..end).map(|number| self.node(number)).collect();
            let requests = paths.iter().map(|path| create(path, &data, 0));
            client.call_all(requests, depth_for(size_bytes + 100), |reply| {
                note_error(reply, &mut first_error);
            })?;
        }
        client.close_session()?;
        first_error.map_or(Ok(()), Err)
    }

    /// Removes everything below the root, then the root.
    pub(crate) fn remove(&self, timeout_ms: i32) -> io::Result<()> {
        let mut client = RawClient::connect(&self.server, timeout_ms)?;
        for parent in client.call(&get_children(&self.root, false))?.ok()?.names()? {
            let parent = format!("{}/{parent}", self.root);
            let names = client.call(&get_children(&parent, false))?.ok()?.names()?;
            let paths: Vec<_> = names.iter().map(|name| format!("{parent}/{name}")).collect();
            let requests = paths.iter().map(|path| delete(path)).chain([delete(&parent)]);
            let mut first_error = None;
            client
                .call_all(requests, depth_for(100), |reply| note_error(reply, &mut first_error))?;
            first_error.map_or(Ok(()), Err)?;
        }
        client.call(&delete(&self.root))?.ok()?;
        client.close_session()?;
        Ok(())
    }
}

/// How many requests of this size fit into the window.
fn depth_for(request_bytes: usize) -> usize {
    (WINDOW_BYTES / request_bytes).clamp(1, 500)
}

fn note_error(reply: Reply, first_error: &mut Option<io::Error>) {
    if let Err(error) = reply.ok() {
        first_error.get_or_insert(error);
    }
}
