//! Each rule of applying transactions by itself.

use ostler_tree::{AclId, Builder, Change, ChangeKind, Kind, MissingParent, Outcome, Tree, Znode};
use ostler_wire::acl::{Acl, Id, Perms};
use ostler_wire::error::ErrorCode;
use ostler_wire::ids::{SessionId, WallMs, Xid, Zxid};
use ostler_wire::stat::{Stat, StatPersisted};
use ostler_wire::txn::{CreateKind, CreateTxn, Txn, TxnHeader};

const PLAIN: CreateKind = CreateKind::Plain { ephemeral: false };
const EPHEMERAL: CreateKind = CreateKind::Plain { ephemeral: true };
const SESSION: SessionId = SessionId(0x1000_0000_0001);

fn header(zxid: i64) -> TxnHeader {
    TxnHeader { session: SESSION, cxid: Xid(1), zxid: Zxid(zxid), time: WallMs(zxid * 1000) }
}

fn create_of(kind: CreateKind, path: &str, parent_cversion: i32) -> Txn<'_> {
    let acl = Acl::open();
    Txn::Create(CreateTxn { kind, path: path.into(), data: Some(b"data"), acl, parent_cversion })
}

fn create(path: &str, parent_cversion: i32) -> Txn<'_> {
    create_of(PLAIN, path, parent_cversion)
}

fn delete(path: &str) -> Txn<'_> {
    Txn::Delete { path: path.into(), container: false }
}

fn set_data(path: &str, data: Option<&'static [u8]>, version: i32) -> Txn<'static> {
    Txn::SetData { path: path.to_owned().into(), data, version, reconfig: false }
}

fn apply(tree: &mut Tree, zxid: i64, txn: &Txn<'_>) -> (Outcome, Vec<Change>) {
    let mut changes = Vec::new();
    let outcome = tree.apply(&header(zxid), txn, &mut changes);
    (outcome, changes)
}

/// A fresh tree after these transactions, which get zxids from 1 on and must not fail.
fn tree_after(txns: &[Txn<'_>]) -> Tree {
    let mut tree = Tree::fresh(7);
    for (zxid, txn) in (1..).zip(txns) {
        let (outcome, _) = apply(&mut tree, zxid, txn);
        assert!(!matches!(outcome, Outcome::Error(_)), "{txn:?}: {outcome:?}");
    }
    tree
}

fn stat(tree: &Tree, path: &str) -> Stat {
    tree.node(path).expect("the znode exists").stat()
}

fn persisted(tree: &Tree, path: &str) -> StatPersisted {
    tree.node(path).expect("the znode exists").stat_persisted()
}

fn error(code: ErrorCode) -> (Outcome, Vec<Change>) {
    (Outcome::Error(code), Vec::new())
}

#[test]
fn a_fresh_tree_is_the_one_of_a_fresh_server() {
    let tree = Tree::fresh(1);
    assert_eq!(tree.digest(), 0x51c6_d660);
    assert_eq!(tree.node_count(), 5);
    assert_eq!(tree.data_size_bytes(), 44);
    assert_eq!(tree.last_zxid(), Zxid(0));
    assert_eq!((stat(&tree, "/").cversion, stat(&tree, "/").num_children), (-1, 1));
    assert_eq!(stat(&tree, "/zookeeper").cversion, -2);
    let config = tree.node("/zookeeper/config").expect("it is there");
    assert_eq!(tree.acl(config.acl_id()), Acl::read_only());
    assert_eq!((config.acl_id().file_id(), config.stat().aversion), (1, -1));
    let quota = tree.node("/zookeeper/quota").expect("it is there");
    assert_eq!((quota.acl_id(), quota.acl_id().file_id()), (AclId::OPEN, -1));
    assert_eq!(tree.acl(AclId::OPEN), Acl::open());
    assert_eq!(quota.data(), Some(&b""[..]));
    assert_eq!(tree.acl_lists().collect::<Vec<_>>(), [(1, &Acl::read_only()[..])]);
    assert_eq!((tree.session_count(), tree.ephemeral_count()), (0, 0));
}

#[test]
fn only_proper_paths_lead_somewhere() {
    let tree = tree_after(&[create("/a", 1), create("/a/b", 1)]);
    assert_eq!(tree.node("").map(|node| node.name()), Some(""));
    assert_eq!(tree.node("/").map(|node| node.name()), Some(""));
    assert_eq!(tree.node("/a/b").map(|node| node.name()), Some("b"));
    for path in ["a", "a/b", "//", "//a", "/a/", "/a//b", "/a/b/", "/a/c", "/a/b/c", " ", "x"] {
        assert!(tree.node(path).is_none(), "{path:?}");
    }
    let root = tree.node("/").expect("there is always a root");
    for path in ["", "/", "/zookeeper", "//zookeeper", "/zookeeper/", "zookeeper", "/none"] {
        let found = tree.node_below(root, path).map(Znode::name);
        assert_eq!(found, tree.node(path).map(Znode::name), "{path:?}");
    }
}

#[test]
fn create_sets_every_field_of_the_stat() {
    let mut tree = Tree::fresh(1);
    let (outcome, changes) = apply(&mut tree, 5, &create("/a", 1));
    let expected = Stat {
        czxid: Zxid(5),
        mzxid: Zxid(5),
        ctime: WallMs(5000),
        mtime: WallMs(5000),
        data_length: 4,
        pzxid: Zxid(5),
        ..Stat::default()
    };
    assert_eq!(outcome, Outcome::Created(expected));
    assert_eq!(stat(&tree, "/a"), expected);
    assert_eq!((persisted(&tree, "").cversion, persisted(&tree, "").pzxid), (1, Zxid(5)));
    assert_eq!((stat(&tree, "/").cversion, stat(&tree, "/").num_children), (0, 2));
    assert_eq!(tree.node_count(), 6);
    assert_eq!(tree.data_size_bytes(), 44 + 2 + 4);
    assert_eq!(changes.len(), 1);
    assert_eq!((changes[0].kind, &*changes[0].path), (ChangeKind::Created, "/a"));
    assert_eq!((&changes[0].acl[..], &changes[0].parent_acl[..]), (&*Acl::open(), &*Acl::open()));
    assert_eq!(tree.last_zxid(), Zxid(5));
}

#[test]
fn create_below_nothing_does_nothing() {
    let mut tree = Tree::fresh(1);
    let digest = tree.digest();
    for path in ["/a/b", "a", "a/b", "//a", "/a/", "/zookeeper/", ""] {
        let expected = if path.is_empty() { ErrorCode::NODE_EXISTS } else { ErrorCode::NO_NODE };
        assert_eq!(apply(&mut tree, 9, &create(path, 0)), error(expected), "{path:?}");
        assert_eq!(tree.digest(), digest);
    }
    assert_eq!(tree.node_count(), 5);
    assert_eq!(tree.last_zxid(), Zxid(9));
}

#[test]
fn the_parent_takes_cversion_and_pzxid_together_or_not_at_all() {
    let mut tree = tree_after(&[create("/p", 1), create("/p/a", 10)]);
    assert_eq!((persisted(&tree, "/p").cversion, persisted(&tree, "/p").pzxid), (10, Zxid(2)));
    apply(&mut tree, 3, &create("/p/b", 10));
    assert_eq!((persisted(&tree, "/p").cversion, persisted(&tree, "/p").pzxid), (10, Zxid(2)));
    apply(&mut tree, 4, &create("/p/c", -1));
    assert_eq!((persisted(&tree, "/p").cversion, persisted(&tree, "/p").pzxid), (11, Zxid(4)));
    apply(&mut tree, 5, &create("/p/d", -7));
    assert_eq!((persisted(&tree, "/p").cversion, persisted(&tree, "/p").pzxid), (11, Zxid(4)));
    apply(&mut tree, 6, &create("/p/e", i32::MAX));
    apply(&mut tree, 7, &create("/p/f", -1));
    assert_eq!(persisted(&tree, "/p").cversion, i32::MAX);
    assert_eq!(persisted(&tree, "/p").pzxid, Zxid(6));
    assert_eq!(stat(&tree, "/p").num_children, 6);
}

#[test]
fn create_of_what_exists_replaces_its_acl_and_mends_the_parent_for_type_1() {
    let readers = vec![Acl { perms: Perms::READ, id: Id::new("ip", "10.0.0.1") }];
    for (kind, mends) in [
        (PLAIN, true),
        (CreateKind::WithStat { ephemeral: false }, false),
        (CreateKind::Container, false),
        (CreateKind::Ttl { ttl_ms: 9 }, false),
    ] {
        let mut tree = tree_after(&[create("/p", 1), create("/p/a", 1)]);
        let before = persisted(&tree, "/p/a");
        let txn = Txn::Create(CreateTxn {
            kind,
            path: "/p/a".into(),
            data: Some(b"other"),
            acl: readers.clone(),
            parent_cversion: 5,
        });
        assert_eq!(apply(&mut tree, 3, &txn), error(ErrorCode::NODE_EXISTS));
        let node = tree.node("/p/a").expect("it is there");
        assert_eq!(tree.acl(node.acl_id()), readers);
        assert_eq!(node.data(), Some(&b"data"[..]));
        assert_eq!(node.stat_persisted(), before);
        let expected = if mends { (5, Zxid(3)) } else { (1, Zxid(2)) };
        let parent = persisted(&tree, "/p");
        assert_eq!((parent.cversion, parent.pzxid), expected, "{kind:?}");
    }
}

#[test]
fn mending_the_parent_obeys_the_same_rule() {
    let mut tree = tree_after(&[create("/p", 1), create("/p/a", 5)]);
    for cversion in [5, 4, -2, i32::MIN] {
        assert_eq!(apply(&mut tree, 9, &create("/p/a", cversion)), error(ErrorCode::NODE_EXISTS));
        assert_eq!(persisted(&tree, "/p").pzxid, Zxid(2));
    }
    apply(&mut tree, 9, &create("/p/a", -1));
    assert_eq!((persisted(&tree, "/p").cversion, persisted(&tree, "/p").pzxid), (6, Zxid(9)));
    let multi = Txn::Multi(vec![create("/p/a", 8), create("/p/b", 9)]);
    let (outcome, _) = apply(&mut tree, 10, &multi);
    assert!(matches!(&outcome, Outcome::Multi(outcomes)
        if outcomes[0] == Outcome::Error(ErrorCode::NODE_EXISTS)
        && matches!(outcomes[1], Outcome::Created(_))));
    assert_eq!((persisted(&tree, "/p").cversion, persisted(&tree, "/p").pzxid), (9, Zxid(10)));
}

#[test]
fn delete_keeps_the_stored_cversion() {
    let mut tree = tree_after(&[create("/p", 1), create("/p/a", 1)]);
    let (outcome, changes) = apply(&mut tree, 3, &delete("/p/a"));
    assert_eq!(outcome, Outcome::Deleted);
    assert_eq!((changes[0].kind, &*changes[0].path), (ChangeKind::Deleted, "/p/a"));
    assert!(tree.node("/p/a").is_none());
    assert_eq!((persisted(&tree, "/p").cversion, persisted(&tree, "/p").pzxid), (1, Zxid(3)));
    assert_eq!((stat(&tree, "/p").cversion, stat(&tree, "/p").num_children), (2, 0));
}

#[test]
fn delete_of_nothing_still_raises_the_pzxid() {
    let mut tree = tree_after(&[create("/p", 1)]);
    assert_eq!(apply(&mut tree, 9, &delete("/p/gone")), error(ErrorCode::NO_NODE));
    assert_eq!(persisted(&tree, "/p").pzxid, Zxid(9));
    assert_eq!(apply(&mut tree, 4, &delete("/p/gone")), error(ErrorCode::NO_NODE));
    assert_eq!(persisted(&tree, "/p").pzxid, Zxid(9));
    assert_eq!(apply(&mut tree, 4, &delete("/none/gone")), error(ErrorCode::NO_NODE));
    for path in ["/", "", "p", "/p/", "//p"] {
        assert_eq!(apply(&mut tree, 4, &delete(path)), error(ErrorCode::NO_NODE), "{path:?}");
    }
    assert_eq!(tree.last_zxid(), Zxid(9));
}

#[test]
fn delete_of_a_subtree_takes_all_of_it_along() {
    let mut tree = tree_after(&[
        create("/a", 1),
        create("/a/b", 1),
        create_of(EPHEMERAL, "/a/b/e", 1),
        create_of(CreateKind::Container, "/a/b/c", 2),
        create_of(CreateKind::Ttl { ttl_ms: 5 }, "/a/b/t", 3),
    ]);
    assert_eq!(tree.containers().collect::<Vec<_>>(), ["/a/b/c"]);
    assert_eq!(tree.ttls().collect::<Vec<_>>(), ["/a/b/t"]);
    let (outcome, changes) = apply(&mut tree, 9, &delete("/a"));
    assert_eq!((outcome, changes.len()), (Outcome::Deleted, 1));
    assert_eq!((tree.node_count(), tree.data_size_bytes()), (5, 44));
    assert_eq!((tree.ephemeral_count(), tree.containers().count(), tree.ttls().count()), (0, 0, 0));
    assert_eq!(tree.acl_lists().count(), 1);
}

#[test]
fn set_data_changes_data_and_nothing_of_the_parent() {
    let mut tree = tree_after(&[create("/a", 1)]);
    let root = persisted(&tree, "");
    let (outcome, changes) = apply(&mut tree, 2, &set_data("/a", Some(b"longer data"), 7));
    assert!(matches!(outcome, Outcome::DataSet(set) if set == stat(&tree, "/a")));
    let expected = StatPersisted {
        czxid: Zxid(1),
        mzxid: Zxid(2),
        ctime: WallMs(1000),
        mtime: WallMs(2000),
        version: 7,
        pzxid: Zxid(1),
        ..StatPersisted::default()
    };
    assert_eq!(persisted(&tree, "/a"), expected);
    assert_eq!(persisted(&tree, ""), root);
    assert_eq!(tree.data_size_bytes(), 44 + 2 + 11);
    assert_eq!((changes[0].kind, &*changes[0].path), (ChangeKind::DataChanged, "/a"));
    assert_eq!(changes[0].acl[..], Acl::open());
    assert_eq!(apply(&mut tree, 3, &set_data("/b", None, 1)), error(ErrorCode::NO_NODE));
}

#[test]
fn null_data_are_not_empty_data() {
    let mut tree = tree_after(&[create("/a", 1), set_data("/a", None, 1)]);
    assert_eq!(tree.node("/a").expect("it is there").data(), None);
    apply(&mut tree, 3, &set_data("/a", Some(b""), 2));
    assert_eq!(tree.node("/a").expect("it is there").data(), Some(&b""[..]));
    assert_eq!(stat(&tree, "/a").data_length, 0);
}

#[test]
fn the_root_has_two_names_and_one_digest() {
    let mut one = Tree::fresh(1);
    let mut other = Tree::fresh(2);
    let (_, changes) = apply(&mut one, 1, &set_data("/", Some(b"x"), 1));
    apply(&mut other, 1, &set_data("", Some(b"x"), 1));
    assert_eq!(&*changes[0].path, "/");
    assert_eq!(one.digest(), other.digest());
    assert_ne!(one.digest(), Tree::fresh(1).digest());
    assert_eq!(apply(&mut one, 2, &create("/", 8)), error(ErrorCode::NODE_EXISTS));
    assert_eq!(persisted(&one, "").cversion, 8);
}

#[test]
fn reconfig_sets_version_minus_one_outside_the_digest() {
    let mut tree = Tree::fresh(1);
    let digest = tree.digest();
    let txn = Txn::SetData {
        path: "/zookeeper/config".into(),
        data: Some(b"version=100000000"),
        version: -1,
        reconfig: true,
    };
    assert!(matches!(apply(&mut tree, 3, &txn).0, Outcome::DataSet(_)));
    assert_eq!(persisted(&tree, "/zookeeper/config").version, -1);
    assert_eq!(persisted(&tree, "/zookeeper/config").mzxid, Zxid(3));
    assert_eq!(tree.digest(), digest);
}

#[test]
fn set_acl_changes_list_and_aversion_only() {
    let mut tree = tree_after(&[create("/a", 1)]);
    let before = persisted(&tree, "/a");
    let acl = vec![Acl { perms: Perms::ALL, id: Id::new("digest", "u:h") }];
    let txn = Txn::SetAcl { path: "/a".into(), acl: acl.clone(), version: 3 };
    let (outcome, changes) = apply(&mut tree, 2, &txn);
    assert_eq!((outcome, changes), (Outcome::AclSet(stat(&tree, "/a")), vec![]));
    assert_eq!(persisted(&tree, "/a"), StatPersisted { aversion: 3, ..before });
    assert_eq!(tree.acl(tree.node("/a").expect("it is there").acl_id()), acl);
    let txn = Txn::SetAcl { path: "/none".into(), acl, version: 3 };
    assert_eq!(apply(&mut tree, 3, &txn), error(ErrorCode::NO_NODE));
    // The list that nobody uses any more is gone from the table.
    assert_eq!(tree.acl_lists().count(), 2);
}

#[test]
fn events_carry_the_lists_that_were_in_force() {
    let list = |id| vec![Acl { perms: Perms::ALL, id: Id::new("ip", id) }];
    let with_acl = |path: &'static str, id| {
        let acl = list(id);
        Txn::Create(CreateTxn {
            kind: PLAIN,
            path: path.into(),
            data: None,
            acl,
            parent_cversion: -1,
        })
    };
    let mut tree = tree_after(&[with_acl("/p", "1")]);
    let (_, changes) = apply(&mut tree, 2, &with_acl("/p/a", "2"));
    assert_eq!((&*changes[0].acl, &*changes[0].parent_acl), (&*list("2"), &*list("1")));
    apply(&mut tree, 3, &Txn::SetAcl { path: "/p/a".into(), acl: list("3"), version: 1 });
    let (_, changes) = apply(&mut tree, 4, &delete("/p/a"));
    assert_eq!((&*changes[0].acl, &*changes[0].parent_acl), (&*list("3"), &*list("1")));
}

#[test]
fn kinds_store_their_owner_and_clients_see_sessions_only() {
    let session = SESSION.0;
    for (kind, owner, sent, is) in [
        (PLAIN, 0, 0, Kind::Persistent),
        (EPHEMERAL, session, session, Kind::Ephemeral(SESSION)),
        (CreateKind::WithStat { ephemeral: true }, session, session, Kind::Ephemeral(SESSION)),
        (CreateKind::Container, i64::MIN, 0, Kind::Container),
        (
            CreateKind::Ttl { ttl_ms: 5000 },
            0xff00_0000_0000_1388_u64.cast_signed(),
            0,
            Kind::Ttl { ms: 5000 },
        ),
    ] {
        let tree = tree_after(&[create_of(kind, "/a", 1)]);
        assert_eq!(persisted(&tree, "/a").ephemeral_owner, owner);
        assert_eq!(stat(&tree, "/a").ephemeral_owner, SessionId(sent));
        let node = tree.node("/a").expect("it is there");
        assert_eq!((node.kind(), node.is_ephemeral()), (is, sent != 0));
    }
}

#[test]
fn closing_a_session_deletes_in_the_order_of_the_txn_and_then_the_rest() {
    let mut tree = tree_after(&[
        Txn::CreateSession { timeout_ms: 10_000 },
        create_of(EPHEMERAL, "/a", 1),
        create_of(EPHEMERAL, "/b", 2),
        create_of(EPHEMERAL, "/c", 3),
        create("/d", 4),
    ]);
    assert_eq!(tree.session_timeout_ms(SESSION), Some(10_000));
    assert_eq!((tree.ephemeral_count(), tree.ephemerals(SESSION).count()), (3, 3));
    let close = Txn::CloseSession { paths: Some(vec!["/none".into(), "/c".into(), "/a".into()]) };
    let (outcome, changes) = apply(&mut tree, 9, &close);
    assert_eq!(outcome, Outcome::SessionClosed);
    let deleted: Vec<&str> = changes.iter().map(|change| &*change.path).collect();
    assert_eq!(deleted, ["/c", "/a", "/b"]);
    assert_eq!((tree.session_count(), tree.ephemeral_count()), (0, 0));
    assert_eq!(tree.ephemeral_sessions().count(), 0);
    assert!(tree.node("/d").is_some());
    assert_eq!(persisted(&tree, "").pzxid, Zxid(9));
}

#[test]
fn closing_a_session_of_an_old_log_finds_its_ephemerals() {
    let mut tree = tree_after(&[create_of(EPHEMERAL, "/a", 1)]);
    apply(&mut tree, 9, &Txn::CloseSession { paths: None });
    assert!(tree.node("/a").is_none());
}

#[test]
fn a_listed_path_goes_whoever_owns_it_now() {
    let mut tree = Tree::fresh(1);
    let other = TxnHeader { session: SessionId(77), ..header(1) };
    tree.apply(&other, &create_of(EPHEMERAL, "/a", 1), &mut Vec::new());
    apply(&mut tree, 2, &Txn::CloseSession { paths: Some(vec!["/a".into()]) });
    assert!(tree.node("/a").is_none());
    assert_eq!(tree.ephemeral_count(), 0);
    assert_eq!(tree.ephemerals(SessionId(77)).count(), 0);
}

#[test]
fn a_session_created_twice_has_its_last_timeout() {
    let mut tree = tree_after(&[Txn::CreateSession { timeout_ms: 1 }]);
    let (outcome, _) = apply(&mut tree, 2, &Txn::CreateSession { timeout_ms: 2 });
    assert_eq!(outcome, Outcome::SessionCreated);
    assert_eq!(tree.sessions().collect::<Vec<_>>(), [(SESSION, 2)]);
}

#[test]
fn orphans_are_those_without_a_session() {
    let mut tree = tree_after(&[
        Txn::CreateSession { timeout_ms: 10 },
        create_of(EPHEMERAL, "/mine", 1),
        create_of(CreateKind::Ttl { ttl_ms: 1 }, "/ttl", 2),
        create_of(CreateKind::Container, "/container", 3),
    ]);
    let dead = TxnHeader { session: SessionId(5), ..header(8) };
    tree.apply(&dead, &create_of(EPHEMERAL, "/orphan", 4), &mut Vec::new());
    apply(&mut tree, 9, &Txn::Error(ErrorCode::NO_NODE));
    assert_eq!(tree.remove_orphans(), 1);
    assert_eq!(tree.remove_orphans(), 0);
    assert!(tree.node("/orphan").is_none());
    assert!(["/mine", "/ttl", "/container"].iter().all(|path| tree.node(path).is_some()));
    assert_eq!((tree.last_zxid(), persisted(&tree, "").pzxid), (Zxid(9), Zxid(9)));
}

#[test]
fn a_multi_applies_in_order_and_ignores_checks() {
    let mut tree = Tree::fresh(1);
    let multi = Txn::Multi(vec![
        create("/a", 1),
        Txn::Check { path: "/none".into(), version: 3 },
        create("/a/b", 1),
        set_data("/a/b", None, 1),
        delete("/a/b"),
    ]);
    let (outcome, changes) = apply(&mut tree, 4, &multi);
    let Outcome::Multi(outcomes) = outcome else { panic!("it is a multi") };
    assert!(matches!(
        outcomes[..],
        [
            Outcome::Created(_),
            Outcome::Checked,
            Outcome::Created(_),
            Outcome::DataSet(_),
            Outcome::Deleted
        ]
    ));
    let kinds: Vec<_> = changes.iter().map(|change| change.kind).collect();
    use ChangeKind::{Created, DataChanged, Deleted};
    assert_eq!(kinds, [Created, Created, DataChanged, Deleted]);
    assert_eq!(persisted(&tree, "/a").pzxid, Zxid(4));
}

#[test]
fn a_failed_multi_does_nothing_but_take_its_zxid() {
    let mut tree = Tree::fresh(1);
    let digest = tree.digest();
    let multi = Txn::Multi(vec![
        create("/a", 1),
        Txn::Error(ErrorCode::BAD_VERSION),
        Txn::Error(ErrorCode::RUNTIME_INCONSISTENCY),
        create("/b", 1),
    ]);
    let codes = [
        ErrorCode::OK,
        ErrorCode::BAD_VERSION,
        ErrorCode::RUNTIME_INCONSISTENCY,
        ErrorCode::RUNTIME_INCONSISTENCY,
    ];
    let expected = Outcome::Multi(codes.map(Outcome::Error).to_vec());
    assert_eq!(apply(&mut tree, 4, &multi), (expected, vec![]));
    assert_eq!((tree.digest(), tree.last_zxid()), (digest, Zxid(4)));
}

#[test]
fn a_multi_goes_on_where_replay_finds_nothing() {
    let mut tree = Tree::fresh(1);
    let multi = Txn::Multi(vec![delete("/gone"), create("/a", 1), Txn::Multi(vec![])]);
    let (outcome, _) = apply(&mut tree, 4, &multi);
    let Outcome::Multi(outcomes) = outcome else { panic!("it is a multi") };
    assert_eq!(outcomes[0], Outcome::Error(ErrorCode::NO_NODE));
    assert!(matches!(outcomes[1], Outcome::Created(_)));
    assert_eq!(outcomes[2], Outcome::Error(ErrorCode::UNIMPLEMENTED));
}

#[test]
fn the_zxid_never_goes_back() {
    let mut tree = tree_after(&[create("/a", 1)]);
    apply(&mut tree, 9, &Txn::Error(ErrorCode::NO_AUTH));
    apply(&mut tree, 3, &create("/b", 2));
    assert_eq!(tree.last_zxid(), Zxid(9));
    assert_eq!(stat(&tree, "/b").czxid, Zxid(3));
}

#[test]
fn a_clone_is_not_touched_by_what_comes_later() {
    let mut tree = tree_after(&[create("/a", 1), create_of(EPHEMERAL, "/a/e", 1)]);
    let old = tree.clone();
    apply(&mut tree, 8, &set_data("/a", None, 1));
    apply(&mut tree, 9, &Txn::CloseSession { paths: None });
    assert_eq!(old.node("/a").expect("it is there").data(), Some(&b"data"[..]));
    assert_eq!(old.ephemerals(SESSION).collect::<Vec<_>>(), ["/a/e"]);
    assert_eq!(old.last_zxid(), Zxid(2));
    assert_ne!(old.digest(), tree.digest());
}

#[test]
fn data_size_counts_paths_in_utf_16_units() {
    let tree = tree_after(&[create("/ä𝄞", 1)]);
    assert_eq!(tree.data_size_bytes(), 44 + 4 + 4);
}

#[test]
fn a_snapshot_may_be_damaged_but_not_torn_apart() {
    let zero = StatPersisted::default();
    let mut builder = Builder::new(1);
    builder.acl(40, Acl::read_only());
    builder.acl(41, Acl::open());
    builder.node("", None, -1, &zero).expect("the root needs no parent");
    builder.node("/a", None, 40, &zero).expect("its parent is there");
    builder.node("/b", None, 99, &zero).expect("a missing list is no reason to stop");
    let lost = builder.node("/c/d", None, -1, &zero);
    assert_eq!(lost, Err(MissingParent { path: "/c/d".to_owned() }));
    assert!(builder.node("/a/", None, -1, &zero).is_err());
    builder.session(SESSION, 5);
    let tree = builder.finish(Zxid(3));
    assert_eq!(tree.last_zxid(), Zxid(3));
    assert_eq!(tree.acl(tree.node("/a").expect("it is there").acl_id()), Acl::read_only());
    assert_eq!(tree.acl(tree.node("/b").expect("it is there").acl_id()), []);
    assert_eq!(tree.node("").expect("it is there").data(), None);
    assert_eq!(tree.session_timeout_ms(SESSION), Some(5));
    assert_eq!(tree.node_count(), 4);
    // The list that no znode refers to is left out.
    assert!(tree.acl_lists().all(|(id, list)| id > 0 && list != Acl::open()));
}

// Would not end in an hour if a create or delete looked at the other children.
#[test]
fn a_million_children_come_and_go() {
    let mut tree = tree_after(&[create("/p", 1)]);
    let paths: Vec<String> = (0..1_000_000).map(|i| format!("/p/child-{i}")).collect();
    for (zxid, path) in (2..).zip(&paths) {
        assert!(matches!(apply(&mut tree, zxid, &create(path, -1)).0, Outcome::Created(_)));
    }
    assert_eq!(stat(&tree, "/p").num_children, 1_000_000);
    let kept = tree.clone();
    for path in &paths {
        assert_eq!(apply(&mut tree, 1_000_002, &delete(path)).0, Outcome::Deleted);
    }
    assert_eq!(tree.node("/p").expect("it is there").child_count(), 0);
    assert_eq!(kept.node("/p").expect("it is there").children().count(), 1_000_000);
}

#[test]
fn ttls_of_release_353_are_adopted() {
    let mut builder = Builder::new(1);
    let alive = SessionId(i64::MIN | 7);
    builder.session(alive, 4000);
    let owned = |owner: i64| StatPersisted { ephemeral_owner: owner, ..StatPersisted::default() };
    for (path, owner) in [
        ("", 0),
        ("/ttl", i64::MIN | 5000),
        ("/container", i64::MIN),
        ("/new", Kind::Ttl { ms: 9 }.to_owner()),
        ("/alive", alive.0),
        ("/dead", 77),
    ] {
        builder.node(path, None, -1, &owned(owner)).expect("parents come first");
    }
    let mut tree = builder.finish(Zxid(9));
    assert_eq!(tree.ephemeral_count(), 3);
    assert_eq!(tree.adopt_ttls_of_353(), 1);
    assert_eq!(tree.adopt_ttls_of_353(), 0);
    assert_eq!(tree.remove_orphans(), 1);
    let kind = |path| tree.node(path).map(|znode| znode.kind());
    assert_eq!(kind("/ttl"), Some(Kind::Ttl { ms: 5000 }));
    assert_eq!(kind("/new"), Some(Kind::Ttl { ms: 9 }));
    assert_eq!(kind("/alive"), Some(Kind::Ephemeral(alive)));
    assert_eq!(kind("/dead"), None);
    assert_eq!(tree.ephemeral_count(), 1);
    let mut ttls: Vec<&str> = tree.ttls().collect();
    ttls.sort_unstable();
    assert_eq!(ttls, ["/new", "/ttl"]);
    let stat = persisted(&tree, "/ttl");
    let mut again = Builder::new(2);
    again.session(alive, 4000);
    for path in ["", "/ttl", "/container", "/new", "/alive"] {
        again.node(path, None, -1, &persisted(&tree, path)).expect("parents come first");
    }
    assert_eq!(again.finish(Zxid(9)).digest(), tree.digest());
    assert_eq!(stat.ephemeral_owner, Kind::Ttl { ms: 5000 }.to_owner());
}
