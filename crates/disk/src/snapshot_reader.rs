//! Reading a snapshot into a tree, or only checking it.
//!
//! # Fuzzy snapshots
//!
//! Apache's server writes a snapshot while transactions go on. Such a file is named by the last
//! zxid *before* its walk began, and may hold effects of later ones, up to the zxid that stands
//! with its digest. Replaying every transaction after the name over it gives the right tree
//! again, which is what the tolerant rules of `Tree::apply` are for; but only from the digest's
//! zxid on does any digest agree. What [`write_snapshot`](crate::snapshot::write_snapshot) makes
//! is never fuzzy: both zxids are the same.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ostler_tree::{Builder, MissingParent, Tree};
use ostler_wire::acl::{Acl, Id, Perms};
use ostler_wire::ids::{SessionId, Zxid};
use ostler_wire::jute::Reader;
use ostler_wire::stat::StatPersisted;
use ostler_wire::txn::TxnDigest;
use simd_adler32::Adler32;

use crate::beside::{PIECE_BYTES, read_beside};
use crate::compress::{self, Compression};
use crate::disk::{Disk, DiskFile, read_full};
use crate::names;
use crate::snapshot::END_MARK;

/// A snapshot that was read whole, with every seal right.
pub struct LoadedSnapshot {
    /// The tree; its last zxid is the one in the file's name.
    pub tree: Tree,
    /// The digest that the writer noted.
    pub digest: Option<SnapshotDigest>,
    /// The last zxid that the writer noted at the end (3.9 and later); not used for recovery.
    pub last_zxid: Option<Zxid>,
}

/// The tree's digest and the transaction after which it holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SnapshotDigest {
    /// The transaction. From here on the snapshot is no longer fuzzy.
    pub zxid: Zxid,
    /// The digest with its version.
    pub digest: TxnDigest,
}

/// Why a file is no usable snapshot.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be used from byte {offset} of its contents on: {reason}", path.display())]
pub struct SnapshotError {
    /// The file.
    pub path: PathBuf,
    /// Where, in bytes; counted after decompression.
    pub offset: u64,
    /// What was found.
    pub reason: String,
}

/// Reads a snapshot. `hash_key` is for [`Builder::new`].
pub fn load_snapshot<D: Disk>(
    disk: &D,
    path: &Path,
    hash_key: u64,
) -> Result<LoadedSnapshot, SnapshotError> {
    if let Some(loaded) = load_beside(disk, path, hash_key) {
        return Ok(loaded);
    }
    let mut builder = Builder::new(hash_key);
    let (zxid, ending) = read_file(disk, path, &mut builder)?;
    let Ending { digest, last_zxid } = ending;
    Ok(LoadedSnapshot { tree: builder.finish(zxid), digest, last_zxid })
}

/// The same with a second thread that reads, checks and takes apart. `None` if the disk does
/// without, or if anything is wrong with the snapshot: what that is, one thread can tell better.
fn load_beside<D: Disk>(disk: &D, path: &Path, hash_key: u64) -> Option<LoadedSnapshot> {
    if !disk.reads_beside() {
        return None;
    }
    let mut builder = Builder::new(hash_key);
    let mut all_have_a_place = true;
    let gather = |put: &mut dyn FnMut(Piece) -> bool| {
        let mut gatherer = Gatherer { piece: Piece::default(), put };
        let found = read_file(disk, path, &mut gatherer);
        (gatherer.put)(gatherer.piece);
        found
    };
    let found = read_beside(true, gather, &mut |piece: Piece| {
        all_have_a_place = piece.give_to(&mut builder).is_ok();
        all_have_a_place
    });
    let (zxid, Ending { digest, last_zxid }) = found.ok()?;
    all_have_a_place.then(|| LoadedSnapshot { tree: builder.finish(zxid), digest, last_zxid })
}

/// Reads a snapshot to its end and checks its seals, without keeping anything.
pub fn verify_snapshot<D: Disk>(disk: &D, path: &Path) -> Result<(), SnapshotError> {
    read_file(disk, path, &mut Nowhere).map(|_| ())
}

/// Reads a file of any name, compressed as that name ends, for programs that look into snapshots:
/// what is there goes to the visitor even if a seal shows that it is not what was written, which is
/// the error inside.
pub fn visit_snapshot<D: Disk>(
    disk: &D,
    path: &Path,
    visitor: &mut impl SnapshotVisitor,
) -> Result<Result<(), SnapshotError>, SnapshotError> {
    let fail = |offset, reason| SnapshotError { path: path.to_owned(), offset, reason };
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let file = disk.open(path).map_err(|error| fail(0, error.to_string()))?;
    let file = FileReader { file: &file, at: 0 };
    let from = compress::decompressor(Compression::of_name(name), file)
        .map_err(|error| fail(0, error.to_string()))?;
    let from = &mut SealedReader::new(from);
    read_header(from)
        .and_then(|()| read_body(from, visitor))
        .map_err(|bad| fail(from.offset(), bad.to_string()))?;
    let ending = from.check_seal().and_then(|()| read_ending(from));
    Ok(ending.map(|_| ()).map_err(|bad| fail(from.offset(), bad.to_string())))
}

/// Whether a file looks like a whole snapshot, by a few bytes of it: cheap, and can be wrong.
pub fn looks_complete<D: Disk>(disk: &D, path: &Path) -> io::Result<bool> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some((_, compression)) = names::parse_snapshot_name(name) else { return Ok(false) };
    let file = disk.open(path)?;
    let len = file.len_bytes()?;
    let magic: (&[u8], u64) = match compression {
        Compression::None if len < 10 => return Ok(false),
        Compression::None => (&END_MARK, len - END_MARK.len() as u64),
        Compression::Gzip => (&compress::GZIP_MAGIC, 0),
        Compression::Snappy => (&compress::SNAPPY_MAGIC, 0),
    };
    let mut found = vec![0; magic.0.len()];
    let filled = read_full(&file, &mut found, magic.1)?;
    Ok(found.get(..filled) == Some(magic.0))
}

/// Where the parts of a snapshot go, in the order in which they stand in the file.
pub trait SnapshotVisitor {
    /// A session with its timeout.
    fn session(&mut self, session: SessionId, timeout_ms: i32);
    /// An ACL list with the number that znodes call it by.
    fn acl(&mut self, file_id: i64, list: Vec<Acl>);
    /// A znode, after its parent; the path of the root is empty.
    fn node(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        acl_file_id: i64,
        stat: &StatPersisted,
    ) -> Result<(), MissingParent>;
}

impl SnapshotVisitor for Builder {
    fn session(&mut self, session: SessionId, timeout_ms: i32) {
        Self::session(self, session, timeout_ms);
    }

    fn acl(&mut self, file_id: i64, list: Vec<Acl>) {
        Self::acl(self, file_id, list);
    }

    fn node(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        acl_file_id: i64,
        stat: &StatPersisted,
    ) -> Result<(), MissingParent> {
        Self::node(self, path, data, acl_file_id, stat)
    }
}

/// Some of a snapshot, in the order in which it stands in the file.
#[derive(Default)]
struct Piece {
    sessions: Vec<(SessionId, i32)>,
    acls: Vec<(i64, Vec<Acl>)>,
    nodes: Vec<Node>,
    /// The paths of all nodes, one behind the other, and their data.
    paths: String,
    data: Vec<u8>,
}

/// A node of a piece; its path and data begin where those of the one before it end.
struct Node {
    path_end: usize,
    data_end: usize,
    has_data: bool,
    acl_file_id: i64,
    stat: StatPersisted,
}

impl Piece {
    fn give_to(self, sink: &mut impl SnapshotVisitor) -> Result<(), MissingParent> {
        self.sessions.into_iter().for_each(|(session, timeout)| sink.session(session, timeout));
        self.acls.into_iter().for_each(|(file_id, list)| sink.acl(file_id, list));
        let (mut path_start, mut data_start) = (0, 0);
        for node in self.nodes {
            let path = self.paths.get(path_start..node.path_end).unwrap_or_default();
            let data = self.data.get(data_start..node.data_end).unwrap_or_default();
            (path_start, data_start) = (node.path_end, node.data_end);
            sink.node(path, node.has_data.then_some(data), node.acl_file_id, &node.stat)?;
        }
        Ok(())
    }
}

/// Gathers a snapshot in pieces.
struct Gatherer<'p> {
    piece: Piece,
    put: &'p mut dyn FnMut(Piece) -> bool,
}

impl SnapshotVisitor for Gatherer<'_> {
    fn session(&mut self, session: SessionId, timeout_ms: i32) {
        self.piece.sessions.push((session, timeout_ms));
    }

    fn acl(&mut self, file_id: i64, list: Vec<Acl>) {
        self.piece.acls.push((file_id, list));
    }

    fn node(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        acl_file_id: i64,
        stat: &StatPersisted,
    ) -> Result<(), MissingParent> {
        let piece = &mut self.piece;
        piece.paths.push_str(path);
        piece.data.extend_from_slice(data.unwrap_or_default());
        let (path_end, data_end) = (piece.paths.len(), piece.data.len());
        let has_data = data.is_some();
        piece.nodes.push(Node { path_end, data_end, has_data, acl_file_id, stat: *stat });
        if path_end + data_end + piece.nodes.len() * size_of::<Node>() < PIECE_BYTES {
            return Ok(());
        }
        // Whoever wants no more knows why; nobody is told this.
        let is_wanted = (self.put)(std::mem::take(piece));
        if is_wanted { Ok(()) } else { Err(MissingParent { path: path.to_owned() }) }
    }
}

struct Nowhere;

impl SnapshotVisitor for Nowhere {
    fn session(&mut self, _: SessionId, _: i32) {}

    fn acl(&mut self, _: i64, _: Vec<Acl>) {}

    fn node(
        &mut self,
        _: &str,
        _: Option<&[u8]>,
        _: i64,
        _: &StatPersisted,
    ) -> Result<(), MissingParent> {
        Ok(())
    }
}

/// What follows the tree in a file.
#[derive(Default)]
struct Ending {
    digest: Option<SnapshotDigest>,
    last_zxid: Option<Zxid>,
}

fn read_file<D: Disk>(
    disk: &D,
    path: &Path,
    sink: &mut impl SnapshotVisitor,
) -> Result<(Zxid, Ending), SnapshotError> {
    let fail = |offset, reason| SnapshotError { path: path.to_owned(), offset, reason };
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some((zxid, compression)) = names::parse_snapshot_name(name) else {
        return Err(fail(0, "its name is not that of a snapshot".to_owned()));
    };
    let file = disk.open(path).map_err(|error| fail(0, error.to_string()))?;
    let from = compress::decompressor(compression, FileReader { file: &file, at: 0 })
        .map_err(|error| fail(0, error.to_string()))?;
    let mut from = SealedReader::new(from);
    let ending = read_parts(&mut from, sink).map_err(|bad| fail(from.offset(), bad.to_string()))?;
    Ok((zxid, ending))
}

/// The reason why reading ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Bad {
    /// The bytes cannot be had.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// The bytes are not those of a snapshot.
    #[error("{0}")]
    Content(String),
}

impl From<&str> for Bad {
    fn from(reason: &str) -> Self {
        Self::Content(reason.to_owned())
    }
}

fn read_parts<R: Read>(
    from: &mut SealedReader<R>,
    sink: &mut impl SnapshotVisitor,
) -> Result<Ending, Bad> {
    read_header(from)?;
    read_body(from, sink)?;
    from.check_seal()?;
    read_ending(from)
}

fn read_header<R: Read>(from: &mut SealedReader<R>) -> Result<(), Bad> {
    match from.take(16)?.starts_with(b"ZKSN") {
        true => Ok(()),
        false => Err("it does not begin with the header of a snapshot".into()),
    }
}

/// Reads sessions, ACL lists and znodes, through the mark that ends them and not one byte further
/// than that, unless the reader reads ahead.
fn read_body<R: Read>(
    from: &mut SealedReader<R>,
    sink: &mut impl SnapshotVisitor,
) -> Result<(), Bad> {
    for _ in 0..from.count()? {
        let mut fields = Reader::new(from.take(12)?);
        let (session, timeout_ms) = (long(&mut fields)?, int(&mut fields)?);
        sink.session(SessionId(session), timeout_ms);
    }
    for _ in 0..from.count()? {
        let id = long(&mut Reader::new(from.take(8)?))?;
        let mut list = Vec::new();
        for _ in 0..from.count()? {
            let perms = Perms(int(&mut Reader::new(from.take(4)?))?);
            list.push(Acl { perms, id: Id { scheme: from.text()?, id: from.text()? } });
        }
        sink.acl(id, list);
    }
    while read_node(from, sink)? {}
    Ok(())
}

/// Reads what follows a SNAP packet, through the string `end`, into a tree at `zxid`; the offset in
/// bytes goes with the reason why not. Takes not one byte from behind it.
pub(crate) fn read_stream_body(
    from: &mut dyn Read,
    hash_key: u64,
    zxid: Zxid,
    end: &str,
    field_bytes_max: usize,
) -> Result<Tree, (u64, Bad)> {
    let mut builder = Builder::new(hash_key);
    let mut from = SealedReader { reads_ahead: false, field_bytes_max, ..SealedReader::new(from) };
    let read = read_body(&mut from, &mut builder).and_then(|()| {
        // First the length alone: if it is another one, the other bytes may not come.
        if length(from.peek(4)?, 0)? != Some(end.len()) || from.text()? != end {
            return Err(Bad::Content(format!("it does not end in {end}")));
        }
        Ok(())
    });
    match read {
        Ok(()) => Ok(builder.finish(zxid)),
        Err(bad) => Err((from.offset(), bad)),
    }
}

/// Reads one node, or the mark that ends them: then false.
fn read_node<R: Read>(
    from: &mut SealedReader<R>,
    sink: &mut impl SnapshotVisitor,
) -> Result<bool, Bad> {
    let path_bytes = length(from.peek(4)?, 0)?.ok_or("a path is null")?;
    if path_bytes == 1 && from.peek(5)? == END_MARK {
        from.take(5)?;
        return Ok(false);
    }
    let data_at = path_bytes + 4;
    let data_bytes = length(from.peek(data_at + 4)?, data_at)?.unwrap_or(0);
    let fields = &mut Reader::new(from.take(data_at + 4 + data_bytes + 8 + STAT_BYTES)?);
    let path = fields.text().map_err(|error| Bad::Content(error.to_string()))?;
    let data = fields.buffer().map_err(|error| Bad::Content(error.to_string()))?;
    let acl_id = long(fields)?;
    let stat = StatPersisted::read(fields).map_err(|error| Bad::Content(error.to_string()))?;
    sink.node(&path, data, acl_id, &stat).map_err(|missing| Bad::Content(missing.to_string()))?;
    Ok(true)
}

/// Reads the parts that versions and settings leave out: a digest, the last zxid, or neither.
/// Which is there is told by which of them is followed by its seal.
fn read_ending<R: Read>(from: &mut SealedReader<R>) -> Result<Ending, Bad> {
    let mut ending = Ending::default();
    let rest = from.peek_up_to(ENDING_BYTES_MAX)?;
    if rest.is_empty() {
        return Ok(ending);
    }
    if let Some((digest, size)) = parse_digest(rest)
        && from.seal_follows(size)?
    {
        from.take(size)?;
        from.check_seal()?;
        ending.digest = digest;
        if from.peek_up_to(1)?.is_empty() {
            return Ok(ending);
        }
    }
    if !from.seal_follows(8)? {
        return Err("what follows the tree is not sealed".into());
    }
    ending.last_zxid = Some(Zxid(long(&mut Reader::new(from.take(8)?))?));
    from.check_seal()?;
    // Whatever later versions add behind it is not ours to judge.
    Ok(ending)
}

/// The digest and the length of its fields; digests of versions below 2 are skipped.
fn parse_digest(rest: &[u8]) -> Option<(Option<SnapshotDigest>, usize)> {
    let from = &mut Reader::new(rest);
    let zxid = Zxid(from.long().ok()?);
    let version = from.int().ok()?;
    let digest = if version < TxnDigest::VERSION {
        from.string().ok()?;
        None
    } else {
        let tree_digest = from.long().ok()?.cast_unsigned();
        Some(SnapshotDigest { zxid, digest: TxnDigest { version, tree_digest } })
    };
    Some((digest, rest.len() - from.rest().len()))
}

fn int(from: &mut Reader<'_>) -> Result<i32, Bad> {
    from.int().map_err(|error| Bad::Content(error.to_string()))
}

fn long(from: &mut Reader<'_>) -> Result<i64, Bad> {
    from.long().map_err(|error| Bad::Content(error.to_string()))
}

/// The length that stands at `at`; `None` is null.
fn length(bytes: &[u8], at: usize) -> Result<Option<usize>, Bad> {
    match int(&mut Reader::new(bytes.get(at..).unwrap_or_default()))? {
        -1 => Ok(None),
        length => match usize::try_from(length) {
            Ok(length) => Ok(Some(length)),
            Err(_) => Err(Bad::Content(format!("a length of {length} cannot be"))),
        },
    }
}

/// Reads through a large buffer and keeps the checksum of what was taken.
struct SealedReader<R> {
    from: R,
    buffer: Vec<u8>,
    // Invariant: summed <= start <= end <= buffer.len(). Taken bytes end at `start`, those that
    // are in `sum` at `summed`, those that were read at `end`.
    summed: usize,
    start: usize,
    end: usize,
    dropped: u64,
    sum: Adler32,
    /// Whether more may be read than was asked for.
    reads_ahead: bool,
    /// More than that is not believed to belong together.
    field_bytes_max: usize,
}

impl<R: Read> SealedReader<R> {
    fn new(from: R) -> Self {
        Self {
            from,
            buffer: Vec::new(),
            summed: 0,
            start: 0,
            end: 0,
            dropped: 0,
            sum: Adler32::new(),
            reads_ahead: true,
            field_bytes_max: usize::MAX,
        }
    }

    fn offset(&self) -> u64 {
        self.dropped + self.start as u64
    }

    /// The next `count` bytes, which stay next.
    fn peek(&mut self, count: usize) -> Result<&[u8], Bad> {
        if self.end - self.start < count {
            self.fill(count)?;
        }
        let bytes = self.buffer.get(self.start..self.start + count);
        bytes.filter(|_| self.end - self.start >= count).ok_or_else(|| "it ends here".into())
    }

    /// As [`Self::peek`], but what there is if the file ends before.
    fn peek_up_to(&mut self, count: usize) -> Result<&[u8], Bad> {
        self.fill(count)?;
        let end = self.end.min(self.start + count);
        Ok(self.buffer.get(self.start..end).unwrap_or_default())
    }

    fn take(&mut self, count: usize) -> Result<&[u8], Bad> {
        self.peek(count)?;
        self.start += count;
        Ok(self.buffer.get(self.start - count..self.start).unwrap_or_default())
    }

    fn count(&mut self) -> Result<usize, Bad> {
        Ok(length(self.take(4)?, 0)?.unwrap_or(0))
    }

    fn text(&mut self) -> Result<String, Bad> {
        let length = length(self.peek(4)?, 0)?.ok_or("a text is null")?;
        let bytes = self.take(4 + length)?;
        Ok(String::from_utf8_lossy(bytes.get(4..).unwrap_or_default()).into_owned())
    }

    /// Takes a seal and compares it with what was taken before.
    fn check_seal(&mut self) -> Result<(), Bad> {
        let expected = self.sum_after(0)?;
        let seal = self.take(SEAL_BYTES)?;
        if seal == expected { Ok(()) } else { Err("the checksum is wrong".into()) }
    }

    /// Whether the seal of everything before it stands behind the next `skip` bytes.
    fn seal_follows(&mut self, skip: usize) -> Result<bool, Bad> {
        if self.peek_up_to(skip + SEAL_BYTES)?.len() < skip + SEAL_BYTES {
            return Ok(false);
        }
        let expected = self.sum_after(skip)?;
        Ok(self.peek(skip + SEAL_BYTES)?.ends_with(&expected))
    }

    /// The seal that belongs behind the next `skip` bytes.
    fn sum_after(&mut self, skip: usize) -> Result<[u8; SEAL_BYTES], Bad> {
        self.sum_up();
        let mut sum = self.sum.clone();
        sum.write(self.peek(skip)?);
        let [s0, s1, s2, s3] = sum.finish().to_be_bytes();
        let [m0, m1, m2, m3, m4] = END_MARK;
        Ok([0, 0, 0, 0, s0, s1, s2, s3, m0, m1, m2, m3, m4])
    }

    fn sum_up(&mut self) {
        self.sum.write(self.buffer.get(self.summed..self.start).unwrap_or_default());
        self.summed = self.start;
    }

    /// Reads until `count` bytes are there or the file ends. The buffer grows with what really
    /// comes, not with what a length claims.
    fn fill(&mut self, count: usize) -> Result<(), Bad> {
        if self.end - self.start >= count {
            return Ok(());
        }
        if count > self.field_bytes_max {
            return Err(Bad::Content(format!("a length of about {count} is too much")));
        }
        self.sum_up();
        self.buffer.copy_within(self.start..self.end, 0);
        self.dropped += self.start as u64;
        self.end -= self.start;
        (self.start, self.summed) = (0, 0);
        while self.end < count {
            if self.end == self.buffer.len() {
                self.buffer.resize((2 * self.buffer.len()).max(BUFFER_BYTES), 0);
            }
            let room = if self.reads_ahead { self.buffer.len() } else { count };
            let to = self.end..room.min(self.buffer.len());
            match self.from.read(self.buffer.get_mut(to).unwrap_or_default()) {
                Ok(0) => break,
                Ok(filled) => self.end += filled,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Reads a file from its beginning to its end.
struct FileReader<'a, F> {
    file: &'a F,
    at: u64,
}

impl<F: DiskFile> Read for FileReader<'_, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Not what `Read` asks for, but it keeps decompressors out of the matter of interrupts.
        let filled = read_full(self.file, buffer, self.at)?;
        self.at += filled as u64;
        Ok(filled)
    }
}

const STAT_BYTES: usize = StatPersisted::SIZE_BYTES;

const SEAL_BYTES: usize = 13;

/// Digest, last zxid and their seals, with room for a digest of the old kind.
const ENDING_BYTES_MAX: usize = 256;

const BUFFER_BYTES: usize = 1 << 20;
