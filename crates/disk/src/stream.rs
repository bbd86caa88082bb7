//! The snapshot that a leader sends to a learner behind a SNAP packet.
//!
//! ```text
//! stream = body string "BenWasHere"             body as in a snapshot file, see `snapshot`
//! ```
//!
//! There is no header, no checksum and no digest: the connection vouches for the bytes, and the
//! zxid stands in the packet. Apache's leaders write the tree while it changes, so a stream of
//! theirs may hold parts of transactions that follow it as proposals; see
//! [`crate::snapshot_reader`].

use std::io::{self, Read, Write};

use ostler_tree::Tree;
use ostler_wire::ids::Zxid;
use ostler_wire::jute::Put;

use crate::snapshot::{DRAIN_BYTES, put_body};
use crate::snapshot_reader::{Bad, read_stream_body};

/// Why a stream did not become a tree. The connection is of no use any more.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The connection broke, or nothing came in time.
    #[error("the snapshot stream broke off after {offset} bytes: {source}")]
    Read {
        /// How far it was read, in bytes.
        offset: u64,
        /// What the operating system said.
        source: io::Error,
    },
    /// What came is no snapshot.
    #[error("the snapshot stream cannot be used from byte {offset} on: {reason}")]
    Malformed {
        /// Where, in bytes.
        offset: u64,
        /// What was found.
        reason: String,
    },
}

/// Writes the tree, a piece of 64 KiB or one znode at a time, and does not flush.
///
/// Never holds more than such a piece in memory.
pub fn write_stream(tree: &Tree, out: &mut dyn Write) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(2 * DRAIN_BYTES);
    put_body(tree, &mut buffer, &mut |bytes| out.write_all(bytes), &mut || {})?;
    buffer.put_string(END);
    out.write_all(&buffer)
}

/// Reads a tree through its end mark and not one byte further; the tree's last zxid is `zxid`.
///
/// `from` is asked for a few bytes at a time, so it should be buffered by whoever goes on reading
/// from it. `hash_key` is for [`ostler_tree::Builder::new`].
pub fn read_stream(from: &mut dyn Read, hash_key: u64, zxid: Zxid) -> Result<Tree, StreamError> {
    read_stream_body(from, hash_key, zxid, END, FIELD_BYTES_MAX).map_err(
        |(offset, bad)| match bad {
            Bad::Read(source) => StreamError::Read { offset, source },
            Bad::Content(reason) => StreamError::Malformed { offset, reason },
        },
    )
}

const END: &str = "BenWasHere";

/// No znode is as large as this: its server would refuse to load it.
const FIELD_BYTES_MAX: usize = 256 << 20;
