//! The digest of a tree, bit-equal to Java's: a sum of one CRC-32 per znode.
//!
//! ```text
//! node = crc32(path data czxid:8 mzxid:8 pzxid:8 ctime:8 mtime:8
//!              version:4 cversion:4 aversion:4 owner:8)             all big-endian, as stored
//! tree = sum of all nodes modulo 2^64
//! ```
//!
//! The path of the root is empty, null data add nothing, ACLs are not covered. Znodes below
//! `/zookeeper/` count 0, since servers may differ there.

use crc32fast::Hasher;
use ostler_wire::stat::StatPersisted;

use crate::znode::Znode;

const UNCOUNTED_PREFIX: &str = "/zookeeper/";

/// The digest of one znode.
pub(crate) fn node(path: &str, znode: &Znode) -> u64 {
    if path.starts_with(UNCOUNTED_PREFIX) {
        return 0;
    }
    if let Some(digest) = znode.noted_digest() {
        return digest;
    }
    let data = znode.leaf().sealed_data();
    let stat = stat_bytes(&znode.stat_persisted());
    let (data, seal) = data.unwrap_or_default();
    let (data_at, stat_at) = (path.len(), path.len() + data.len());
    // The sum of one long piece costs a fraction of that of three short ones.
    let mut whole = [0; AT_ONCE_MAX];
    if let Some(bytes) = whole.get_mut(..stat_at + STAT_BYTES) {
        bytes[..data_at].copy_from_slice(path.as_bytes());
        bytes[data_at..stat_at].copy_from_slice(data);
        bytes[stat_at..].copy_from_slice(&stat);
        return u64::from(crc32fast::hash(bytes));
    }
    let mut crc = Hasher::new();
    crc.update(path.as_bytes());
    match seal {
        None => crc.update(data),
        Some(seal) => crc.combine(&Hasher::new_with_initial_len(seal, data.len() as u64)),
    }
    crc.update(&stat);
    u64::from(crc.finalize())
}

const STAT_BYTES: usize = 60;
/// Znodes of no more bytes are put together on the stack.
const AT_ONCE_MAX: usize = 512;

/// Not the order of a persisted stat.
fn stat_bytes(stat: &StatPersisted) -> [u8; STAT_BYTES] {
    let mut bytes = [0; STAT_BYTES];
    let longs = [stat.czxid.0, stat.mzxid.0, stat.pzxid.0, stat.ctime.0, stat.mtime.0];
    for (to, from) in bytes.chunks_exact_mut(8).zip(longs) {
        to.copy_from_slice(&from.to_be_bytes());
    }
    let ints = [stat.version, stat.cversion, stat.aversion];
    for (to, from) in bytes[40..].chunks_exact_mut(4).zip(ints) {
        to.copy_from_slice(&from.to_be_bytes());
    }
    bytes[52..].copy_from_slice(&stat.ephemeral_owner.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use ostler_wire::ids::{WallMs, Zxid};
    use ostler_wire::stat::StatPersisted;

    use super::{node, stat_bytes};
    use crate::acl_table::AclId;
    use crate::znode::Znode;

    fn znode(data: Option<&[u8]>, stat: &StatPersisted) -> Znode {
        Znode::new("", data, AclId::OPEN, stat)
    }

    #[test]
    fn vectors_of_a_real_server() {
        let zero = StatPersisted::default();
        assert_eq!(node("", &znode(Some(b""), &zero)), 0x0412_8908);
        assert_eq!(node("/zookeeper", &znode(Some(b""), &zero)), 0x4db4_4d58);
        let stat = StatPersisted {
            czxid: Zxid(0x1_0000_0002),
            mzxid: Zxid(0x1_0000_0002),
            pzxid: Zxid(0x1_0000_0002),
            ctime: WallMs(1_700_000_000_000),
            mtime: WallMs(1_700_000_000_000),
            ..zero
        };
        assert_eq!(node("/a", &znode(Some(b"hello"), &stat)), 0xdaf4_f09d);
    }

    #[test]
    fn only_what_is_below_zookeeper_is_left_out() {
        let znode = znode(None, &StatPersisted::default());
        assert_eq!(node("/zookeeper/config", &znode), 0);
        assert_eq!(node("/zookeeper/quota/a", &znode), 0);
        assert_ne!(node("/zookeepers", &znode), 0);
        assert_ne!(node("/a/zookeeper/config", &znode), 0);
    }

    #[test]
    fn large_data_count_like_small_ones() {
        for length in [0, 1, 447, 448, 2047, 2048, 2049, 2052, 100_000] {
            let data: Vec<u8> = (0..length).map(|i: u32| i.to_le_bytes()[0]).collect();
            let znode = znode(Some(&data), &StatPersisted::default());
            let mut whole = vec![];
            whole.extend_from_slice(b"/path");
            whole.extend_from_slice(&data);
            whole.extend_from_slice(&stat_bytes(&znode.stat_persisted()));
            assert_eq!(znode.data(), Some(&data[..]));
            assert_eq!(node("/path", &znode), u64::from(crc32fast::hash(&whole)), "{length}");
        }
    }
}
