//! Random histories against a naive model: one sorted map from path to znode, nothing shared,
//! nothing counted, the digest summed up anew at every step.
//!
//! Histories are worse than any log: paths and sessions are few, so that creates meet what exists
//! and deletes what does not; zxids repeat and fall; multis fail; sessions close with the wrong
//! list. Clones of the tree are kept on the way and compared with the model of their time at the
//! end: what a clone shows never changes.

use std::collections::{BTreeMap, BTreeSet};

use ostler_tree::{Builder, Change, ChangeKind, Kind, Outcome, Tree, Znode};
use ostler_wire::acl::{Acl, Id, Perms};
use ostler_wire::error::ErrorCode;
use ostler_wire::ids::{SessionId, WallMs, Xid, Zxid};
use ostler_wire::stat::StatPersisted;
use ostler_wire::txn::{CreateKind, CreateTxn, Txn, TxnHeader};
use proptest::prelude::*;

#[derive(Clone, PartialEq, Debug)]
struct Node {
    data: Option<Vec<u8>>,
    acl: Vec<Acl>,
    /// Made by the server itself with the list that is in no table.
    has_open_acl: bool,
    stat: StatPersisted,
}

/// What the tree has to be equal to. The root is at `""`.
#[derive(Clone)]
struct Model {
    nodes: BTreeMap<String, Node>,
    sessions: BTreeMap<i64, i32>,
    last_zxid: Zxid,
}

/// Kind, path and the two lists of a change.
type Seen = (ChangeKind, String, Vec<Acl>, Vec<Acl>);

impl Model {
    fn fresh() -> Self {
        let node = |acl, has_open_acl, aversion| Node {
            data: Some(Vec::new()),
            acl,
            has_open_acl,
            stat: StatPersisted { aversion, ..StatPersisted::default() },
        };
        let mut nodes = BTreeMap::new();
        for path in ["", "/zookeeper", "/zookeeper/quota"] {
            nodes.insert(path.to_owned(), node(Acl::open(), true, 0));
        }
        nodes.insert("/zookeeper/config".to_owned(), node(Acl::read_only(), false, -1));
        Self { nodes, sessions: BTreeMap::new(), last_zxid: Zxid(0) }
    }

    /// `leftover` is the order in which ephemerals go that a closeSession does not list.
    fn apply(
        &mut self,
        header: &TxnHeader,
        txn: &Txn<'_>,
        leftover: &[String],
        seen: &mut Vec<Seen>,
    ) -> Result<Vec<Result<(), ErrorCode>>, ErrorCode> {
        self.last_zxid = self.last_zxid.max(header.zxid);
        match txn {
            Txn::CreateSession { timeout_ms } => {
                self.sessions.insert(header.session.0, *timeout_ms);
            }
            Txn::CloseSession { paths } => {
                self.sessions.remove(&header.session.0);
                let listed: Vec<String> =
                    paths.iter().flatten().map(|path| path.to_string()).collect();
                let rest = leftover.iter().filter(|path| !listed.contains(path));
                for path in listed.iter().chain(rest) {
                    let _ = self.delete(path, header.zxid, seen);
                }
            }
            Txn::SetAcl { path, acl, version } => {
                let node = self.nodes.get_mut(root_alias(path)).ok_or(ErrorCode::NO_NODE)?;
                node.acl = acl.clone();
                node.has_open_acl = false;
                node.stat.aversion = *version;
            }
            Txn::Multi(txns) if txns.iter().any(|txn| matches!(txn, Txn::Error(_))) => {
                let mut code = ErrorCode::OK;
                let results = txns.iter().map(|txn| {
                    let own = if let Txn::Error(own) = txn { *own } else { code };
                    if matches!(txn, Txn::Error(_)) {
                        code = ErrorCode::RUNTIME_INCONSISTENCY;
                    }
                    Err(own)
                });
                return Ok(results.collect());
            }
            Txn::Multi(txns) => {
                return Ok(txns.iter().map(|txn| self.one(header, txn, seen)).collect());
            }
            single => self.one(header, single, seen)?,
        }
        Ok(Vec::new())
    }

    fn one(
        &mut self,
        header: &TxnHeader,
        txn: &Txn<'_>,
        seen: &mut Vec<Seen>,
    ) -> Result<(), ErrorCode> {
        match txn {
            Txn::Create(create) => self.create(header, create, seen),
            Txn::Delete { path, .. } => self.delete(path, header.zxid, seen),
            Txn::SetData { path, data, version, .. } => {
                let path = root_alias(path);
                let node = self.nodes.get_mut(path).ok_or(ErrorCode::NO_NODE)?;
                let old_bytes = bytes_of(&node.data);
                node.data = data.map(<[u8]>::to_vec);
                node.stat.version = *version;
                node.stat.mzxid = header.zxid;
                node.stat.mtime = header.time;
                let shown = if path.is_empty() { "/" } else { path };
                seen.push((ChangeKind::DataChanged, shown.to_owned(), node.acl.clone(), vec![]));
                let new_bytes = bytes_of(&node.data);
                self.use_quota(path, 0, new_bytes - old_bytes);
                Ok(())
            }
            Txn::Check { .. } => Ok(()),
            Txn::Error(code) => Err(*code),
            _ => Err(ErrorCode::UNIMPLEMENTED),
        }
    }

    fn create(
        &mut self,
        header: &TxnHeader,
        create: &CreateTxn<'_>,
        seen: &mut Vec<Seen>,
    ) -> Result<(), ErrorCode> {
        let path = root_alias(&create.path);
        let parent_path = if path.is_empty() { "" } else { parent_of(path)? };
        let exists = self.nodes.contains_key(path);
        if let Some(node) = self.nodes.get_mut(path) {
            node.acl = create.acl.clone();
            node.has_open_acl = false;
        }
        let parent = self.nodes.get_mut(parent_path).ok_or(ErrorCode::NO_NODE)?;
        if !exists || matches!(create.kind, CreateKind::Plain { .. }) {
            let one_more = parent.stat.cversion.wrapping_add(1);
            let to = if create.parent_cversion == -1 { one_more } else { create.parent_cversion };
            if to > parent.stat.cversion {
                (parent.stat.cversion, parent.stat.pzxid) = (to, header.zxid);
            }
        }
        if exists {
            return Err(ErrorCode::NODE_EXISTS);
        }
        let parent_acl = parent.acl.clone();
        let owner = match create.kind {
            CreateKind::Plain { ephemeral: true } | CreateKind::WithStat { ephemeral: true } => {
                header.session.0
            }
            CreateKind::Plain { .. } | CreateKind::WithStat { .. } => 0,
            CreateKind::Container => i64::MIN,
            CreateKind::Ttl { ttl_ms } => Kind::Ttl { ms: ttl_ms }.to_owner(),
        };
        let stat = StatPersisted {
            czxid: header.zxid,
            mzxid: header.zxid,
            pzxid: header.zxid,
            ctime: header.time,
            mtime: header.time,
            ephemeral_owner: owner,
            ..StatPersisted::default()
        };
        let data = create.data.map(<[u8]>::to_vec);
        let bytes = bytes_of(&data);
        let node = Node { data, acl: create.acl.clone(), has_open_acl: false, stat };
        self.nodes.insert(path.to_owned(), node);
        if let Some((of, "zookeeper_stats")) = path.rsplit_once('/')
            && let Some(of) = of.strip_prefix("/zookeeper/quota")
            && (of.is_empty() || of.starts_with('/'))
        {
            self.count_quota(of);
        }
        self.use_quota(path, 1, bytes);
        seen.push((ChangeKind::Created, path.to_owned(), create.acl.clone(), parent_acl));
        Ok(())
    }

    fn delete(&mut self, path: &str, zxid: Zxid, seen: &mut Vec<Seen>) -> Result<(), ErrorCode> {
        let parent = self.nodes.get_mut(parent_of(path)?).ok_or(ErrorCode::NO_NODE)?;
        parent.stat.pzxid = parent.stat.pzxid.max(zxid);
        let parent_acl = parent.acl.clone();
        let node = self.nodes.remove(path).ok_or(ErrorCode::NO_NODE)?;
        let (mut count, mut bytes) = (1, bytes_of(&node.data));
        let below = format!("{path}/");
        self.nodes.retain(|path, node| {
            let stays = !path.starts_with(&below);
            count += i64::from(!stays);
            bytes += if stays { 0 } else { bytes_of(&node.data) };
            stays
        });
        seen.push((ChangeKind::Deleted, path.to_owned(), node.acl, parent_acl));
        self.use_quota(path, -count, -bytes);
        Ok(())
    }

    /// Paths with limits.
    fn registered(&self) -> Vec<String> {
        let limited = self.nodes.keys().filter_map(|path| {
            path.strip_prefix("/zookeeper/quota/")?.strip_suffix("/zookeeper_limits")
        });
        limited.map(|of| format!("/{of}")).collect()
    }

    fn use_quota(&mut self, path: &str, count: i64, bytes: i64) {
        let above = |of: &&String| {
            path.strip_prefix(&***of).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let registered = self.registered();
        let Some(of) = registered.iter().filter(above).max_by_key(|of| of.len()) else { return };
        let Some(stats) = self.nodes.get_mut(&format!("/zookeeper/quota{of}/zookeeper_stats"))
        else {
            return;
        };
        match read_stats(&stats.data) {
            Some((old_count, old_bytes, rest)) => {
                let text = format!("count={},bytes={}{rest}", old_count + count, old_bytes + bytes);
                stats.data = Some(text.into_bytes());
            }
            None => self.count_quota(of),
        }
    }

    fn count_quota(&mut self, of: &str) {
        let below = format!("{of}/");
        let counted = self.nodes.iter().filter(|(path, _)| *path == of || path.starts_with(&below));
        let (count, bytes) = counted
            .fold((0, 0), |(count, bytes), (_, node)| (count + 1, bytes + bytes_of(&node.data)));
        if let Some(stats) = self.nodes.get_mut(&format!("/zookeeper/quota{of}/zookeeper_stats")) {
            stats.data = Some(format!("count={count},bytes={bytes}").into_bytes());
        }
    }

    /// What loading a snapshot does.
    fn count_quotas(&mut self) {
        self.registered().iter().for_each(|of| self.count_quota(of));
    }

    fn children(&self, path: &str) -> Vec<&str> {
        let below = self.nodes.keys().filter_map(|have| have.strip_prefix(path)?.strip_prefix('/'));
        below.filter(|name| !name.is_empty() && !name.contains('/')).collect()
    }

    fn digest(&self) -> u64 {
        let counted = self.nodes.iter().filter(|(path, _)| !path.starts_with("/zookeeper/"));
        counted.fold(0, |sum: u64, (path, node)| {
            let mut bytes = path.clone().into_bytes();
            bytes.extend(node.data.iter().flatten());
            let stat = &node.stat;
            let longs = [stat.czxid.0, stat.mzxid.0, stat.pzxid.0, stat.ctime.0, stat.mtime.0];
            bytes.extend(longs.iter().flat_map(|long| long.to_be_bytes()));
            let ints = [stat.version, stat.cversion, stat.aversion];
            bytes.extend(ints.iter().flat_map(|int| int.to_be_bytes()));
            bytes.extend(stat.ephemeral_owner.to_be_bytes());
            sum.wrapping_add(u64::from(crc32fast::hash(&bytes)))
        })
    }

    fn ephemerals(&self) -> BTreeMap<i64, BTreeSet<&str>> {
        let mut by_session: BTreeMap<i64, BTreeSet<&str>> = BTreeMap::new();
        for (path, node) in &self.nodes {
            if let Kind::Ephemeral(session) = Kind::of_owner(node.stat.ephemeral_owner) {
                by_session.entry(session.0).or_default().insert(path);
            }
        }
        by_session
    }

    fn of_kind(&self, is_it: impl Fn(Kind) -> bool) -> BTreeSet<&str> {
        let of_kind =
            self.nodes.iter().filter(|(_, node)| is_it(Kind::of_owner(node.stat.ephemeral_owner)));
        of_kind.map(|(path, _)| &**path).collect()
    }
}

/// Count, bytes and all behind them, of the texts that [`data`] and the model make.
fn read_stats(data: &Option<Vec<u8>>) -> Option<(i64, i64, String)> {
    let text = str::from_utf8(data.as_ref()?).ok()?;
    if text.is_empty() {
        return Some((-1, -1, String::new()));
    }
    let (count, rest) = text.strip_prefix("count=")?.split_once(",bytes=")?;
    let end = rest.find('=').unwrap_or(rest.len());
    Some((count.parse().ok()?, rest[..end].parse().ok()?, rest[end..].to_owned()))
}

fn bytes_of(data: &Option<Vec<u8>>) -> i64 {
    data.as_ref().map_or(0, |data| i64::try_from(data.len()).expect("it is in memory"))
}

fn root_alias(path: &str) -> &str {
    if path == "/" { "" } else { path }
}

fn parent_of(path: &str) -> Result<&str, ErrorCode> {
    match path.rsplit_once('/') {
        Some((parent, name)) if !name.is_empty() => Ok(parent),
        _ => Err(ErrorCode::NO_NODE),
    }
}

/// Everything that can be asked of a tree.
fn check_equal(tree: &Tree, model: &Model) {
    assert_eq!(tree.digest(), model.digest());
    assert_eq!(tree.last_zxid(), model.last_zxid);
    assert_eq!(tree.node_count(), model.nodes.len() + 1);
    assert_eq!(
        tree.sessions().map(|(id, ms)| (id.0, ms)).collect::<BTreeMap<_, _>>(),
        model.sessions
    );
    assert_eq!(tree.session_count(), model.sessions.len());

    let mut walked = BTreeMap::new();
    let mut walk = tree.walk();
    while let Some((path, znode)) = walk.next() {
        let parent = path.rsplit_once('/').map(|(parent, _)| parent.to_owned());
        assert!(parent.is_none_or(|parent| walked.contains_key(&parent)));
        walked.insert(path.to_owned(), as_node(tree, znode));
    }
    assert_eq!(walked, model.nodes);
    let mut size = 1;
    for (path, node) in &model.nodes {
        let znode = tree.node(path).expect("it was walked over");
        assert_eq!(as_node(tree, znode), *node);
        let mut children: Vec<&str> = znode.children().collect();
        children.sort_unstable();
        assert_eq!(children, model.children(path));
        let sent = znode.stat();
        assert_eq!(sent.num_children as usize, children.len());
        assert_eq!(
            sent.cversion,
            node.stat.cversion.wrapping_mul(2).wrapping_sub(sent.num_children)
        );
        assert_eq!(sent.data_length as usize, node.data.as_ref().map_or(0, Vec::len));
        size += path.encode_utf16().count() + node.data.as_ref().map_or(0, Vec::len);
    }
    assert_eq!(tree.data_size_bytes(), size as u64);
    check_indexes(tree, model);
}

fn check_indexes(tree: &Tree, model: &Model) {
    let owned = model.ephemerals();
    let sessions: BTreeSet<i64> = tree.ephemeral_sessions().map(|session| session.0).collect();
    assert!(sessions.iter().eq(owned.keys()));
    for (session, paths) in &owned {
        assert_eq!(tree.ephemerals(SessionId(*session)).collect::<BTreeSet<_>>(), *paths);
    }
    assert_eq!(tree.ephemeral_count(), owned.values().map(BTreeSet::len).sum::<usize>());
    let containers = model.of_kind(|kind| kind == Kind::Container);
    assert_eq!(tree.containers().collect::<BTreeSet<_>>(), containers);
    let (mut visited, mut mark) = (Vec::new(), Some(0));
    while let Some(from) = mark {
        mark = tree.visit_containers(from, 2, |path| visited.push(path.to_owned()));
    }
    assert!(visited.iter().map(|path| &**path).eq(tree.containers()));
    let ttls = model.of_kind(|kind| matches!(kind, Kind::Ttl { .. }));
    assert_eq!(tree.ttls().collect::<BTreeSet<_>>(), ttls);

    // The table holds exactly the lists in use, each once.
    let in_table: Vec<_> = tree.acl_lists().map(|(_, list)| format!("{list:?}")).collect();
    let in_use: BTreeSet<_> = model.nodes.values().filter(|node| !node.has_open_acl).collect_acls();
    assert_eq!(in_table.len(), in_use.len());
    assert_eq!(in_table.into_iter().collect::<BTreeSet<_>>(), in_use);
}

trait CollectAcls {
    fn collect_acls(self) -> BTreeSet<String>;
}

impl<'a, I: Iterator<Item = &'a Node>> CollectAcls for I {
    fn collect_acls(self) -> BTreeSet<String> {
        self.map(|node| format!("{:?}", node.acl)).collect()
    }
}

fn as_node(tree: &Tree, znode: &Znode) -> Node {
    Node {
        data: znode.data().map(<[u8]>::to_vec),
        acl: tree.acl(znode.acl_id()).to_vec(),
        has_open_acl: znode.acl_id().file_id() == -1,
        stat: znode.stat_persisted(),
    }
}

fn check_outcome(
    outcome: &Outcome,
    expected: &Result<Vec<Result<(), ErrorCode>>, ErrorCode>,
    txn: &Txn<'_>,
) {
    match (outcome, expected) {
        (Outcome::Multi(outcomes), Ok(results)) => {
            let codes = outcomes.iter().map(|outcome| match outcome {
                Outcome::Error(code) => Err(*code),
                _ => Ok(()),
            });
            assert!(codes.eq(results.iter().copied()), "{outcome:?} {expected:?}");
        }
        (Outcome::Error(code), Err(expected)) => assert_eq!(code, expected, "{txn:?}"),
        (_, Ok(_)) => assert!(!matches!(outcome, Outcome::Error(_)), "{outcome:?} {txn:?}"),
        (_, Err(code)) => panic!("{outcome:?} instead of {code:?} for {txn:?}"),
    }
}

fn as_seen(change: &Change) -> Seen {
    (change.kind, change.path.to_string(), change.acl.to_vec(), change.parent_acl.to_vec())
}

/// Writes a tree down as a snapshot does and builds it anew.
fn rebuilt(tree: &Tree) -> Tree {
    let mut builder = Builder::new(99);
    tree.sessions().for_each(|(session, timeout_ms)| builder.session(session, timeout_ms));
    // Other numbers than the builder will give.
    tree.acl_lists().for_each(|(id, list)| builder.acl(id + 1000, list.to_vec()));
    let mut walk = tree.walk();
    while let Some((path, znode)) = walk.next() {
        let file_id = match znode.acl_id().file_id() {
            -1 => -1,
            id => id + 1000,
        };
        let node = builder.node(path, znode.data(), file_id, &znode.stat_persisted());
        node.expect("parents come first");
    }
    builder.finish(tree.last_zxid())
}

static LARGE: [u8; 5000] = [0xab; 5000];

fn data() -> impl Strategy<Value = Option<&'static [u8]>> {
    prop_oneof![
        Just(None),
        Just(Some(&b""[..])),
        Just(Some(&b"some data"[..])),
        Just(Some(&b"count=7,bytes=-3=;countHardLimit=9"[..])),
        Just(Some(&LARGE[..]))
    ]
}

fn path() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        4 => Just("a"),
        4 => Just("b"),
        2 => Just("ein Name von mehr als fünfzehn Bytes"),
        1 => Just("zookeeper"),
        1 => Just("config"),
    ];
    let proper =
        prop::collection::vec(name, 1..4).prop_map(|names| format!("/{}", names.join("/")));
    let quota_name = prop_oneof![2 => Just("zookeeper_limits"), 2 => Just("zookeeper_stats"), 2 => Just("a"), 1 => Just("b")];
    let quota =
        (prop::sample::select(vec!["", "/a", "/b", "/a/b", "/zookeeper", "s/a"]), quota_name)
            .prop_map(|(of, name)| format!("/zookeeper/quota{of}/{name}"));
    let improper = prop::sample::select(vec!["", "/", "a", "//a", "/a/", "/a//b", "/zookeeper/"]);
    prop_oneof![24 => proper, 8 => quota, 1 => improper.prop_map(str::to_owned)]
}

fn acl() -> impl Strategy<Value = Vec<Acl>> {
    let one =
        |scheme: &'static str, id: &'static str| Acl { perms: Perms(3), id: Id::new(scheme, id) };
    prop_oneof![
        4 => Just(Acl::open()),
        2 => Just(Acl::read_only()),
        1 => Just(vec![one("digest", "a:x"), one("ip", "::1")]),
        1 => Just(vec![one("ip", "::1"), one("digest", "a:x")]),
        1 => Just(vec![]),
    ]
}

fn number() -> impl Strategy<Value = i32> {
    prop_oneof![4 => Just(-1), 4 => 0..20, 1 => Just(i32::MAX), 1 => Just(i32::MIN), 1 => -9..0]
}

fn create_kind() -> impl Strategy<Value = CreateKind> {
    prop_oneof![
        4 => any::<bool>().prop_map(|ephemeral| CreateKind::Plain { ephemeral }),
        4 => any::<bool>().prop_map(|ephemeral| CreateKind::WithStat { ephemeral }),
        1 => Just(CreateKind::Container),
        1 => prop_oneof![1..9i64, any::<i64>()].prop_map(|ttl_ms| CreateKind::Ttl { ttl_ms }),
    ]
}

fn single_txn() -> impl Strategy<Value = Txn<'static>> {
    let create = (create_kind(), path(), data(), acl(), number()).prop_map(
        |(kind, path, data, acl, parent_cversion)| {
            Txn::Create(CreateTxn { kind, path: path.into(), data, acl, parent_cversion })
        },
    );
    let delete = (path(), any::<bool>())
        .prop_map(|(path, container)| Txn::Delete { path: path.into(), container });
    let set_data =
        (path(), data(), number(), any::<bool>()).prop_map(|(path, data, version, reconfig)| {
            Txn::SetData { path: path.into(), data, version, reconfig }
        });
    let check =
        (path(), number()).prop_map(|(path, version)| Txn::Check { path: path.into(), version });
    prop_oneof![10 => create, 4 => delete, 3 => set_data, 1 => check]
}

fn error() -> impl Strategy<Value = Txn<'static>> {
    prop_oneof![Just(ErrorCode::BAD_VERSION), Just(ErrorCode::RUNTIME_INCONSISTENCY)]
        .prop_map(Txn::Error)
}

fn txn() -> impl Strategy<Value = Txn<'static>> {
    let part = prop_oneof![12 => single_txn(), 1 => error(), 1 => Just(Txn::Multi(vec![]))];
    let multi = prop::collection::vec(part, 0..6).prop_map(Txn::Multi);
    let set_acl = (path(), acl(), number()).prop_map(|(path, acl, version)| Txn::SetAcl {
        path: path.into(),
        acl,
        version,
    });
    let create_session = number().prop_map(|timeout_ms| Txn::CreateSession { timeout_ms });
    let close_session = prop::option::of(prop::collection::vec(path(), 0..4)).prop_map(|paths| {
        Txn::CloseSession { paths: paths.map(|paths| paths.into_iter().map(Into::into).collect()) }
    });
    prop_oneof![
        20 => single_txn(),
        4 => multi,
        2 => set_acl,
        1 => error(),
        1 => create_session,
        2 => close_session,
    ]
}

/// Session (0, ordinary ones and one that looks like a time to live), step of the zxid, txn.
fn step() -> impl Strategy<Value = (i64, i64, Txn<'static>)> {
    let odd = 0xff00_0000_0000_0007_u64.cast_signed();
    let session = prop::sample::select(vec![0, 1, 2, 0x1000_0000_0000_0001, -5, i64::MIN, odd]);
    let zxid_step = prop_oneof![20 => Just(1i64), 1 => -3..3i64];
    (session, zxid_step, txn())
}

proptest! {
    #[test]
    fn the_tree_is_the_model(steps in prop::collection::vec(step(), 1..120), hash_key: u64) {
        let (mut tree, mut model) = (Tree::fresh(hash_key), Model::fresh());
        let mut kept = Vec::new();
        let mut zxid = 0;
        for (i, (session, zxid_step, txn)) in steps.iter().enumerate() {
            zxid += zxid_step;
            let session = SessionId(*session);
            let time = WallMs(1_700_000_000_000 + zxid);
            let header = TxnHeader { session, cxid: Xid(7), zxid: Zxid(zxid), time };
            let leftover: Vec<String> = tree.ephemerals(session).map(str::to_owned).collect();
            let (mut changes, mut seen) = (Vec::new(), Vec::new());
            let outcome = tree.apply(&header, txn, &mut changes);
            let expected = model.apply(&header, txn, &leftover, &mut seen);
            check_outcome(&outcome, &expected, txn);
            prop_assert_eq!(changes.iter().map(as_seen).collect::<Vec<_>>(), seen);
            prop_assert_eq!(tree.digest(), model.digest());
            if i % 5 == 0 {
                check_equal(&tree, &model);
                kept.push((tree.clone(), model.clone()));
            }
        }
        check_equal(&tree, &model);
        model.count_quotas();
        check_equal(&rebuilt(&tree), &model);
        let owned = model.ephemerals();
        let orphans = owned.iter().filter(|(id, _)| !model.sessions.contains_key(*id));
        let orphaned: usize = orphans.map(|(_, paths)| paths.len()).sum();
        // More than that go when an ephemeral had ephemerals below it.
        prop_assert!(tree.remove_orphans() >= orphaned);
        prop_assert!(tree.ephemeral_sessions().all(|id| tree.session_timeout_ms(id).is_some()));
        drop(tree);
        for (tree, model) in kept {
            check_equal(&tree, &model);
        }
    }
}
