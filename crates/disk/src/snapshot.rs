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
    write_unnamed(disk, dir, tree, options, give_way)?.name(disk, dir)
}

/// A snapshot that is whole and synced, under a name that no recovery looks at.
pub(crate) struct Unnamed {
    unfinished: PathBuf,
    path: PathBuf,
}

/// Writes everything but the name.
pub(crate) fn write_unnamed<D: Disk>(
    disk: &D,
    dir: &Path,
    tree: &Tree,
    options: &SnapshotOptions,
    give_way: &mut dyn FnMut(),
) -> io::Result<Unnamed> {
    let name = names::snapshot_name(tree.last_zxid(), options.compression);
    let unnamed = Unnamed { path: dir.join(&name), unfinished: dir.join(name + ".tmp") };
    write_under(disk, unnamed, tree, options, give_way)
}

/// The same for a tree that was sent: under another name, since a snapshot of that zxid may just be
/// on its way to disk.
pub(crate) fn write_unnamed_sent<D: Disk>(
    disk: &D,
    dir: &Path,
    tree: &Tree,
    options: &SnapshotOptions,
) -> io::Result<Unnamed> {
    let name = names::snapshot_name(tree.last_zxid(), options.compression);
    let unfinished = dir.join(format!("{}{name}.tmp", names::SENT));
    let unnamed = Unnamed { path: dir.join(name), unfinished };
    write_under(disk, unnamed, tree, options, &mut || {})
}

fn write_under<D: Disk>(
    disk: &D,
    unnamed: Unnamed,
    tree: &Tree,
    options: &SnapshotOptions,
    give_way: &mut dyn FnMut(),
) -> io::Result<Unnamed> {
    match write_file(disk, &unnamed.unfinished, tree, options, give_way) {
        Ok(()) => Ok(unnamed),
        Err(error) => {
            unnamed.discard(disk);
            Err(error)
        }
    }
}

impl Unnamed {
    /// Gives the snapshot its name, from which moment on it counts; durable when this returns.
    pub(crate) fn name<D: Disk>(self, disk: &D, dir: &Path) -> io::Result<PathBuf> {
        let named = disk.rename(&self.unfinished, &self.path).and_then(|()| disk.sync_dir(dir));
        match named {
            Ok(()) => Ok(self.path),
            Err(error) => {
                self.discard(disk);
                Err(error)
            }
        }
    }

    /// Removes it, as far as possible: whatever made it useless is what has to be reported.
    pub(crate) fn discard<D: Disk>(&self, disk: &D) {
        if disk.exists(&self.unfinished).unwrap_or(false) {
            let _ = disk.remove(&self.unfinished);
        }
    }
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
    out.buffer.extend_from_slice(&HEADER);
    let SealedWriter { to, buffer, sum } = &mut out;
    let mut drain = |bytes: &[u8]| {
        sum.write(bytes);
        to.write_all(bytes)
    };
    put_body(tree, buffer, &mut drain, give_way)?;
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

/// Puts sessions, ACL lists, znodes and the mark that ends them into `buffer`, which `drain` takes
/// whenever it is large. What is left in it at the end is for the caller.
pub(crate) fn put_body(
    tree: &Tree,
    buffer: &mut Vec<u8>,
    drain: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    give_way: &mut dyn FnMut(),
) -> io::Result<()> {
    put_tables(tree, buffer);
    let mut walk = tree.walk();
    let mut written: u64 = 0;
    while let Some((path, znode)) = walk.next() {
        written += 1;
        if written.is_multiple_of(GIVE_WAY_ZNODES) {
            give_way();
        }
        buffer.put_string(path);
        buffer.put_buffer(znode.data());
        buffer.put_long(znode.acl_id().file_id());
        znode.stat_persisted().write(buffer);
        if buffer.len() >= DRAIN_BYTES {
            drain(buffer)?;
            buffer.clear();
        }
    }
    buffer.put_string("/");
    Ok(())
}

/// The sessions and the ACL lists.
fn put_tables(tree: &Tree, out: &mut Vec<u8>) {
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

/// So much is gathered before it is passed on.
pub(crate) const DRAIN_BYTES: usize = 64 << 10;

const SYNC_STEP_BYTES: u64 = 1 << 20;

/// So many znodes take some dozen microseconds.
const GIVE_WAY_ZNODES: u64 = 64;
