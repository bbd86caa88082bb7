//! The bytes of a snapshot, and writing one.
//!
//! ```text
//! file      = header body seal [digest seal [lastZxid seal]]
//! header    = int "ZKSN"  int version(2)  long dbid(-1)
//! body      = int n, n × {long session, int timeout}
//!             int n, n × {long aclId, vector of ACL entries}
//!             node*  string "/"                       parents before children, the root is ""
//! node      = string path  buffer data  long aclId  StatPersisted
//! seal      = long Adler-32 of every byte before it  string "/"
//! digest    = long zxid  int version(2)  long digest                   ZooKeeper 3.6 and later
//! lastZxid  = long                                                     3.9 and later
//! ```
//!
//! A snapshot is written from a [`Tree`], which is a value, so it shows exactly one moment, however
//! long the writing takes and whatever happens meanwhile. (Apache's server walks a tree that
//! changes under it; see [`crate::snapshot_reader`] for what that means to a reader.) The file gets
//! its name only when it is whole and synced.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ostler_tree::Tree;
use ostler_wire::acl::Acl;
use ostler_wire::ids::Zxid;
use ostler_wire::jute::Put;
use ostler_wire::txn::TxnDigest;
use simd_adler32::Adler32;

use crate::compress::{Compression, Compressor};
use crate::disk::{Disk, DiskFile};
use crate::names;

/// How snapshots are written. `Default` has the defaults of `zoo.cfg`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SnapshotOptions {
    /// `snapshot.compression.method`.
    pub compression: Compression,
    /// Whether the last zxid stands at the end (`serializeLastProcessedZxid.enabled`).
    pub last_zxid_trailer: bool,
    /// Whether the digest stands there (`digest.enabled`).
    pub digest: bool,
}

impl Default for SnapshotOptions {
    fn default() -> Self {
        Self { compression: Compression::None, last_zxid_trailer: true, digest: true }
    }
}

/// Writes `snapshot.<last zxid>` into `dir` and returns its path when it is durable.
///
/// On an error nothing is left behind, except that the temporary file stays if it cannot be
/// removed either; the next recovery removes it.
pub fn write_snapshot<D: Disk>(
    disk: &D,
    dir: &Path,
    tree: &Tree,
    options: &SnapshotOptions,
) -> io::Result<PathBuf> {
    write_snapshot_beside(disk, dir, tree, options, &mut || {})
}

/// The same beside work that matters more: `give_way` is called every few dozen microseconds of
/// work and may take its time.
pub fn write_snapshot_beside<D: Disk>(
    disk: &D,
    dir: &Path,
    tree: &Tree,
    options: &SnapshotOptions,
    give_way: &mut dyn FnMut(),
) -> io::Result<PathBuf> {
    let name = names::snapshot_name(tree.last_zxid(), options.compression);
    let path = dir.join(&name);
    let unfinished = dir.join(name + ".tmp");
    let written = write_file(disk, &unfinished, tree, options, give_way)
        .and_then(|()| disk.rename(&unfinished, &path))
        .and_then(|()| disk.sync_dir(dir));
    if let Err(error) = written {
        if disk.exists(&unfinished).unwrap_or(false) {
            // The first error is the one to report.
            let _ = disk.remove(&unfinished);
        }
        return Err(error);
    }
    Ok(path)
}

fn write_file<D: Disk>(
    disk: &D,
    path: &Path,
    tree: &Tree,
    options: &SnapshotOptions,
    give_way: &mut dyn FnMut(),
) -> io::Result<()> {
    let file = FileWriter { file: disk.create(path)?, end: 0, synced: 0 };
    let mut out = SealedWriter::new(Compressor::new(options.compression, file)?);
    put_tables(tree, &mut out.buffer);
    let mut walk = tree.walk();
    let mut written: u64 = 0;
    while let Some((path, znode)) = walk.next() {
        written += 1;
        if written.is_multiple_of(GIVE_WAY_ZNODES) {
            give_way();
        }
        out.buffer.put_string(path);
        out.buffer.put_buffer(znode.data());
        out.buffer.put_long(znode.acl_id().file_id());
        znode.stat_persisted().write(&mut out.buffer);
        out.drain_if_full()?;
    }
    out.buffer.put_string("/");
    out.seal()?;
    if options.digest {
        // Before the first transaction there is no digest to speak of.
        let none_yet = tree.last_zxid() == Zxid::ZERO;
        out.buffer.put_long(tree.last_zxid().0);
        out.buffer.put_int(TxnDigest::VERSION);
        out.buffer.put_long(if none_yet { 0 } else { tree.digest().cast_signed() });
        out.seal()?;
    }
    if options.last_zxid_trailer {
        out.buffer.put_long(tree.last_zxid().0);
        out.seal()?;
    }
    out.to.finish()?.file.sync_all()
}

/// The header, the sessions and the ACL lists.
fn put_tables(tree: &Tree, out: &mut Vec<u8>) {
    out.extend_from_slice(&HEADER);
    out.put_count(tree.session_count());
    for (session, timeout_ms) in tree.sessions() {
        out.put_long(session.0);
        out.put_int(timeout_ms);
    }
    let lists: Vec<_> = tree.acl_lists().collect();
    out.put_count(lists.len());
    for (id, list) in lists {
        out.put_long(id);
        Acl::write_list(list, out);
    }
}

/// Gathers bytes, keeps their checksum and passes them on in large pieces.
struct SealedWriter<W: Write> {
    to: Compressor<W>,
    buffer: Vec<u8>,
    sum: Adler32,
}

impl<W: Write> SealedWriter<W> {
    fn new(to: Compressor<W>) -> Self {
        Self { to, buffer: Vec::with_capacity(2 * DRAIN_BYTES), sum: Adler32::new() }
    }

    fn drain_if_full(&mut self) -> io::Result<()> {
        if self.buffer.len() >= DRAIN_BYTES { self.drain() } else { Ok(()) }
    }

    fn drain(&mut self) -> io::Result<()> {
        self.sum.write(&self.buffer);
        self.to.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    fn seal(&mut self) -> io::Result<()> {
        self.drain()?;
        self.buffer.put_long(i64::from(self.sum.finish()));
        self.buffer.put_string("/");
        self.drain()
    }
}

/// Writes a file from its beginning to its end.
struct FileWriter<F> {
    file: F,
    end: u64,
    synced: u64,
}

impl<F: DiskFile> Write for FileWriter<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_at(bytes, self.end)?;
        self.end += bytes.len() as u64;
        // Little by little, so that the log's syncs never queue behind hundreds of megabytes.
        if self.end - self.synced >= SYNC_STEP_BYTES {
            self.file.sync_data()?;
            self.synced = self.end;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The header of every snapshot.
pub(crate) const HEADER: [u8; 16] = *b"ZKSN\0\0\0\x02\xff\xff\xff\xff\xff\xff\xff\xff";

/// The string that ends the nodes and every seal.
pub(crate) const END_MARK: [u8; 5] = *b"\0\0\0\x01/";

const DRAIN_BYTES: usize = 64 << 10;

const SYNC_STEP_BYTES: u64 = 1 << 20;

/// So many znodes take some dozen microseconds.
const GIVE_WAY_ZNODES: u64 = 64;
