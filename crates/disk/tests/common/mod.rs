//! What several tests of this crate share: showing trees, and histories to write.

#![allow(dead_code)] // Each test file uses its part.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use ostler_disk::disk::{Disk, create_directories};
use ostler_disk::memory_disk::MemoryDisk;
use ostler_tree::{Tree, Znode};
use ostler_wire::acl::Acl;
use ostler_wire::ids::{SessionId, WallMs, Xid, Zxid};
use ostler_wire::txn::{CreateKind, CreateTxn, Txn, TxnDigest, TxnHeader, TxnRecord};

/// The directory of all tests; it holds snapshots and logs.
pub(crate) const DIR: &str = "/data/version-2";

/// A disk with the directory on it.
pub(crate) fn disk_with_dir() -> MemoryDisk {
    let disk = MemoryDisk::new();
    create_directories(&disk, Path::new(DIR)).expect("nothing fails yet");
    disk
}

/// The contents of every file, to see that nothing has changed.
pub(crate) fn files(disk: &MemoryDisk) -> BTreeMap<String, Vec<u8>> {
    let names = disk.list(Path::new(DIR)).expect("the directory is there");
    let contents = |name: String| {
        let bytes = disk.contents(&Path::new(DIR).join(&name)).expect("it is listed");
        (name, bytes)
    };
    names.into_iter().map(contents).collect()
}

/// Every znode in the order of Java's `DataDir dump`, the sessions, digest and last zxid.
pub(crate) fn dump(tree: &Tree) -> Vec<String> {
    let mut nodes = BTreeMap::new();
    let mut walk = tree.walk();
    while let Some((path, znode)) = walk.next() {
        // Siblings sort by name, and whatever is below one comes before the next.
        let key: Vec<String> = path.split('/').map(str::to_owned).collect();
        nodes.insert(key, line(path, znode, tree.acl(znode.acl_id())));
    }
    let mut lines: Vec<String> = nodes.into_values().collect();
    let sessions: BTreeMap<i64, i32> =
        tree.sessions().map(|(session, timeout_ms)| (session.0, timeout_ms)).collect();
    lines.extend(sessions.iter().map(|(id, timeout_ms)| format!("session {id:#x} {timeout_ms}")));
    lines.push(format!("digest {} zxid {:x}", tree.digest(), tree.last_zxid().0));
    lines
}

fn line(path: &str, znode: &Znode, acl: &[Acl]) -> String {
    let path = if path.is_empty() { "/".to_owned() } else { path.replace(' ', "\\s") };
    let stat = znode.stat_persisted();
    let data = match znode.data() {
        None => "null".to_owned(),
        Some([]) => "-".to_owned(),
        Some(data) => data.iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("strings take everything");
            hex
        }),
    };
    let entry = |acl: &Acl| format!("{}:{}:{}", acl.id.scheme, acl.id.id, acl.perms.0);
    let acl: Vec<String> = acl.iter().map(entry).collect();
    format!(
        "{path} {:x} {:x} {:x} {} {} {} {} {} {:x} {data} {}",
        stat.czxid.0,
        stat.mzxid.0,
        stat.pzxid.0,
        stat.ctime.0,
        stat.mtime.0,
        stat.version,
        stat.cversion,
        stat.aversion,
        stat.ephemeral_owner,
        if acl.is_empty() { "-".to_owned() } else { acl.join(",") }
    )
}

/// A tree with what is needed to make its next transactions.
#[derive(Clone)]
pub(crate) struct History {
    pub(crate) tree: Tree,
}

impl History {
    pub(crate) fn fresh() -> Self {
        Self { tree: Tree::fresh(1) }
    }

    /// Applies the next transaction, which `seed` chooses, and gives its record.
    pub(crate) fn next(&mut self, seed: u64) -> (Zxid, Vec<u8>) {
        self.next_at(self.tree.last_zxid().next(), seed)
    }

    /// The same with a zxid of choice, such as the first one of an epoch.
    pub(crate) fn next_at(&mut self, zxid: Zxid, seed: u64) -> (Zxid, Vec<u8>) {
        // Lengths from a few bytes to several sectors, some of them nothing but zeros.
        let length = [0, 5, 40, 700, 2000][usize::try_from(seed / 8 % 5).expect("below 5")];
        let data = vec![if seed.is_multiple_of(3) { 0 } else { 0xd5 }; length];
        let path = format!("/n{}", seed % 16);
        let exists = self.tree.node(&path).is_some();
        let header = TxnHeader {
            session: SessionId(0x10),
            cxid: Xid(1),
            zxid,
            time: WallMs(1_700_000_000_000 + zxid.0),
        };
        let txn = match seed % 8 {
            0 => Txn::CreateSession { timeout_ms: 4000 },
            1 if exists => Txn::Delete { path: path.as_str().into(), container: false },
            _ if exists => Txn::SetData {
                path: path.as_str().into(),
                data: Some(&data),
                version: 1,
                reconfig: false,
            },
            kind => Txn::Create(CreateTxn {
                kind: CreateKind::WithStat { ephemeral: kind == 2 },
                path: path.as_str().into(),
                data: Some(&data),
                acl: Acl::open(),
                parent_cversion: -1,
            }),
        };
        self.tree.apply(&header, &txn, &mut Vec::new());
        let digest = TxnDigest { version: 2, tree_digest: self.tree.digest() };
        let mut body = Vec::new();
        TxnRecord { header, txn, digest: Some(digest) }.encode(&mut body);
        (zxid, body)
    }
}

/// A stream of numbers that depends on the seed alone.
pub(crate) struct Seeds(pub(crate) u64);

impl Iterator for Seeds {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Some(self.0 >> 33)
    }
}
