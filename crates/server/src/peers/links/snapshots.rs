//! Snapshots on a link: a thread of their own, which blocks, for as long as one takes.
//!
//! The thread has the socket's one direction to itself. It ends when the stream does, when the peer
//! takes or sends nothing for too long, or when the link is closed under it.

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Instant;

use ostler_disk::stream;
use ostler_tree::Tree;
use ostler_wire::ids::Zxid;
use ostler_zab::LinkId;

use super::{LinkMail, Links};
use crate::peers::incoming::Incoming;

/// A link's socket in the hands of a snapshot thread.
pub(super) struct Lent {
    pub(super) links: Links,
    pub(super) id: LinkId,
    pub(super) stream: TcpStream,
    pub(super) remote: SocketAddr,
}

impl Lent {
    /// Writes the stream of this tree; answered by [`LinkMail::SnapshotWritten`].
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub(super) fn write(self, tree: Box<Tree>) -> io::Result<()> {
        spawn(move || {
            let written = self.write_stream(&tree);
            // Whoever waits for the answer need not wait for this.
            self.links.tell(LinkMail::SnapshotWritten(self.id, written));
            drop(tree);
        })
    }

    /// Reads the stream behind a SNAP packet with this zxid; answered by
    /// [`LinkMail::SnapshotRead`].
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub(super) fn read(self, mut incoming: Incoming, zxid: Zxid) -> io::Result<()> {
        spawn(move || {
            let read = self.read_stream(&mut incoming, zxid);
            self.links.tell(LinkMail::SnapshotRead(self.id, incoming, read.map(Box::new)));
        })
    }

    fn write_stream(&self, tree: &Tree) -> io::Result<()> {
        let start = Instant::now();
        let mut out = io::BufWriter::with_capacity(BUFFER_BYTES, &self.stream);
        if let Err(error) = stream::write_stream(tree, &mut out).and_then(|()| out.flush()) {
            // Else it would try once more, and wait again.
            drop(out.into_parts());
            return Err(error);
        }
        tracing::info!(
            "sent a snapshot of {} with {} znodes to {} in {} ms",
            tree.last_zxid(),
            tree.node_count(),
            self.remote,
            start.elapsed().as_millis()
        );
        Ok(())
    }

    fn read_stream(&self, incoming: &mut Incoming, zxid: Zxid) -> io::Result<Tree> {
        let start = Instant::now();
        let hash_key = self.links.0.settings.hash_key;
        let tree = stream::read_stream(&mut incoming.streamed(&self.stream), hash_key, zxid)
            .map_err(|error| io::Error::other(format!("the snapshot of {zxid}: {error}")))?;
        tracing::info!(
            "received a snapshot of {zxid} with {} znodes from {} in {} ms",
            tree.node_count(),
            self.remote,
            start.elapsed().as_millis()
        );
        Ok(tree)
    }
}

fn spawn(body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name("link-snapshot".to_owned()).spawn(body).map(drop)
}

const BUFFER_BYTES: usize = 128 << 10;
