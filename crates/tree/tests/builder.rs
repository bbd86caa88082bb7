//! A tree is the same in whatever order its znodes came, and whatever came twice.

use std::collections::{BTreeMap, BTreeSet};

use ostler_tree::{Builder, Kind, Tree};
use ostler_wire::acl::Acl;
use ostler_wire::ids::{SessionId, WallMs, Zxid};
use ostler_wire::stat::StatPersisted;
use proptest::prelude::*;

/// A znode as it stands in a snapshot; all but the path follows from `seed`.
type Piece = (String, u8);

fn stat(seed: u8) -> StatPersisted {
    let owners = [0, 0, 0, 7, 8, Kind::Container.to_owner(), Kind::Ttl { ms: 5 }.to_owner()];
    StatPersisted {
        czxid: Zxid(i64::from(seed)),
        mtime: WallMs(i64::from(seed) * 3),
        ephemeral_owner: owners[usize::from(seed) % owners.len()],
        ..StatPersisted::default()
    }
}

fn build(pieces: &[Piece]) -> Tree {
    let mut builder = Builder::new(5);
    builder.acl(1, Acl::open());
    builder.acl(2, Acl::read_only());
    builder.node("", None, -1, &StatPersisted::default()).expect("the root needs no parent");
    for (path, seed) in pieces {
        let data = [*seed; 40];
        let data = (seed % 4 != 0).then(|| &data[..usize::from(seed % 41)]);
        let acl = i64::from(seed % 4) - 1;
        builder.node(path, data, acl, &stat(*seed)).unwrap_or_else(|error| panic!("{error}"));
    }
    builder.finish(Zxid(9))
}

/// Everything that can be seen of a tree.
fn dump(tree: &Tree) -> Vec<String> {
    let mut lines = BTreeSet::new();
    let mut lists = BTreeSet::new();
    let mut walk = tree.walk();
    while let Some((path, znode)) = walk.next() {
        assert_eq!(tree.node(path).map(|found| found.name()), Some(znode.name()));
        let (stat, acl) = (znode.stat(), tree.acl(znode.acl_id()));
        lines.insert(format!("{path} {:?} {:?} {stat:?} {acl:?}", znode.data(), znode.kind()));
        lists.insert(znode.acl_id().file_id());
    }
    let mut lines: Vec<String> = lines.into_iter().collect();
    for session in [7, 8] {
        let ephemerals: BTreeSet<_> = tree.ephemerals(SessionId(session)).collect();
        lines.push(format!("{session} has {ephemerals:?}"));
    }
    let (containers, ttls): (BTreeSet<_>, BTreeSet<_>) =
        (tree.containers().collect(), tree.ttls().collect());
    lines.push(format!("containers {containers:?}, ttls {ttls:?}"));
    lines.push(format!(
        "{} znodes, {} ephemerals, {} bytes, digest {:x}",
        tree.node_count(),
        tree.ephemeral_count(),
        tree.data_size_bytes(),
        tree.digest()
    ));
    // Numbers depend on the order, but none is there that nobody uses.
    lists.remove(&-1);
    assert_eq!(tree.acl_lists().map(|(id, _)| id).collect::<BTreeSet<_>>(), lists);
    lines
}

/// Znodes in an order in which snapshots have them: what comes again has its own children.
fn depth_first(draws: &[(u8, u8)]) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut path = String::new();
    for (draw, seed) in draws {
        for _ in 0..draw % 3 {
            path.truncate(path.rfind('/').unwrap_or(0));
        }
        path = format!("{path}/n{}", draw / 3 % 12);
        pieces.push((path.clone(), *seed));
    }
    pieces
}

/// Something that comes in another order than any snapshot has, to begin with.
fn beginning(in_order: bool) -> Vec<Piece> {
    let order = if in_order { ["/a", "/a/a", "/a/b", "/b"] } else { ["/a", "/a/a", "/b", "/a/b"] };
    order.into_iter().map(|path| (path.to_owned(), 3)).collect()
}

proptest! {
    #[test]
    fn the_order_makes_no_difference(draws in prop::collection::vec(any::<(u8, u8)>(), 1..300)) {
        let pieces = depth_first(&draws);
        let with = |in_order| dump(&build(&[beginning(in_order), pieces.clone()].concat()));
        // Only the first of these goes depth first all the way.
        prop_assert_eq!(with(true), with(false));
        // Without what comes again, level by level is as good.
        let mut once: BTreeMap<&str, u8> = BTreeMap::new();
        for (path, seed) in &pieces {
            once.entry(path).or_insert(*seed);
        }
        let mut levels: Vec<Piece> =
            once.into_iter().map(|(path, seed)| (path.to_owned(), seed)).collect();
        let in_depth = dump(&build(&levels));
        levels.sort_by_key(|(path, _)| path.matches('/').count());
        prop_assert_eq!(dump(&build(&levels)), in_depth);
    }
}

#[test]
fn a_path_may_be_many_levels_deep() {
    let depth = 20_000;
    let mut builder = Builder::new(5);
    let mut path = String::new();
    for _ in 0..depth {
        path.push_str("/d");
        builder.node(&path, None, -1, &StatPersisted::default()).expect("its parent came before");
    }
    let tree = builder.finish(Zxid(1));
    assert_eq!(tree.node_count(), depth + 2);
    assert!(tree.node(&path).is_some());
}
