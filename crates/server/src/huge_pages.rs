//! Huge pages: for large trees only.
//!
//! The allocator asks the system for pages of 2 MiB. For a large tree they pay: reads of a million
//! znodes miss the address cache less and cost a tenth less. But whatever touches one byte of such
//! a page has all of it resident, and every thread begins with pages of its own: a server with
//! hardly any data would hold 10 MiB more than it uses, and its first thousand sessions would seem
//! to cost 15 KiB each. So the process does without until its data are large.
//!
//! Nothing depends on it but speed and memory, and a system may refuse.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use ostler_tree::Tree;

/// Does without from now on.
pub(crate) fn avoid() {
    allow(false);
}

/// Does with or without huge pages from now on, as suits a server that will load what is in this
/// directory of snapshots.
pub(crate) fn suit_directory(dir: &Path) {
    let files = std::fs::read_dir(dir).into_iter().flatten().flatten();
    // The logs may be here too, and are long before anything is in them.
    let snapshots =
        files.filter(|file| file.file_name().as_encoded_bytes().starts_with(b"snapshot."));
    let largest = snapshots.filter_map(|file| Some(file.metadata().ok()?.len())).max();
    allow(largest.unwrap_or(0) >= LARGE_BYTES);
}

/// The same for a server that holds this tree. It costs nothing while the answer stays.
pub(crate) fn suit_tree(tree: &Tree) {
    let overhead = tree.node_count() as u64 * ZNODE_BYTES;
    allow(tree.data_size_bytes() + overhead >= LARGE_BYTES);
}

/// Pages that are there already stay as they are; the system merges or parts them in its own time.
fn allow(allowed: bool) {
    if ALLOWED.load(Ordering::Relaxed) == allowed {
        return;
    }
    ALLOWED.store(allowed, Ordering::Relaxed);
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(!allowed) {
        tracing::debug!("cannot choose the size of pages: {error}");
    }
}

/// What was chosen last; a process begins with them.
static ALLOWED: AtomicBool = AtomicBool::new(true);

/// From here on a tree is large.
const LARGE_BYTES: u64 = 64 << 20;

/// About what a znode takes besides its path and data.
const ZNODE_BYTES: u64 = 200;
