//! What the tree keeps of quotas, step by step.

use ostler_tree::{AclId, Builder, Outcome, Tree};
use ostler_wire::acl::Acl;
use ostler_wire::ids::{SessionId, WallMs, Xid, Zxid};
use ostler_wire::txn::{CreateKind, CreateTxn, Txn, TxnHeader};

/// A tree that is changed by simple calls.
struct Garden(Tree);

impl Garden {
    fn new() -> Self {
        Self(Tree::fresh(3))
    }

    /// With a quota of `of`, whose path and those above are made.
    fn with_quota(of: &str) -> Self {
        let mut garden = Self::new();
        garden.create_with_parents(of);
        garden.limit(of);
        garden
    }

    fn apply(&mut self, txn: &Txn<'_>) -> Outcome {
        let zxid = self.0.last_zxid().next();
        let header =
            TxnHeader { session: SessionId(5), cxid: Xid(1), zxid, time: WallMs(zxid.0 * 1000) };
        let outcome = self.0.apply(&header, txn, &mut Vec::new());
        assert!(!matches!(outcome, Outcome::Error(_)), "{txn:?}: {outcome:?}");
        outcome
    }

    fn create(&mut self, path: &str, data: &'static str) -> Outcome {
        self.apply(&create(path, data))
    }

    fn create_with_parents(&mut self, path: &str) {
        for (end, _) in path.match_indices('/').skip(1).chain([(path.len(), "")]) {
            if self.0.node(&path[..end]).is_none() {
                self.create(&path[..end], "");
            }
        }
    }

    fn limit(&mut self, of: &str) {
        self.create_with_parents(&format!("/zookeeper/quota{of}"));
        self.create(&format!("/zookeeper/quota{of}/zookeeper_limits"), "count=3,bytes=10");
        self.create(&format!("/zookeeper/quota{of}/zookeeper_stats"), "");
    }

    fn set(&mut self, path: &str, data: &'static str) {
        let data = Some(data.as_bytes());
        self.apply(&Txn::SetData { path: path.into(), data, version: 1, reconfig: false });
    }

    fn delete(&mut self, path: &str) {
        self.apply(&Txn::Delete { path: path.into(), container: false });
    }

    fn used(&self, of: &str) -> String {
        let stats = self.0.node(&format!("/zookeeper/quota{of}/zookeeper_stats"));
        let text = stats.expect("it was made").data().expect("it has a text");
        String::from_utf8(text.to_vec()).expect("it is a text")
    }
}

fn create<'t>(path: &'t str, data: &'static str) -> Txn<'t> {
    let (kind, acl) = (CreateKind::Plain { ephemeral: path.ends_with("-e") }, Acl::open());
    let data = Some(data.as_bytes());
    Txn::Create(CreateTxn { kind, path: path.into(), data, acl, parent_cversion: -1 })
}

#[test]
fn usage_follows_every_change_below_the_path() {
    let mut garden = Garden::with_quota("/a");
    assert_eq!(garden.used("/a"), "count=1,bytes=0");
    garden.create("/a/b", "four");
    garden.create("/a/b/c", "five5");
    assert_eq!(garden.used("/a"), "count=3,bytes=9");
    garden.set("/a/b", "");
    garden.set("/a", "12");
    assert_eq!(garden.used("/a"), "count=3,bytes=7");
    garden.delete("/a/b/c");
    assert_eq!(garden.used("/a"), "count=2,bytes=2");
    garden.create("/ab", "no relation");
    garden.create("/a/own-e", "me");
    assert_eq!(garden.used("/a"), "count=3,bytes=4");
    garden.apply(&Txn::CloseSession { paths: None });
    assert_eq!(garden.used("/a"), "count=2,bytes=2");
    garden.apply(&Txn::Multi(vec![create("/a/x", "1"), create("/a/y", "22")]));
    assert_eq!(garden.used("/a"), "count=4,bytes=5");
}

#[test]
fn nothing_but_the_text_of_the_stats_znode_changes() {
    let mut garden = Garden::with_quota("/a");
    let stats = |garden: &Garden| {
        garden.0.node("/zookeeper/quota/a/zookeeper_stats").expect("it is there").stat()
    };
    let (before, digest, kept) = (stats(&garden), garden.0.digest(), garden.0.clone());
    let size = garden.0.data_size_bytes();
    let zxid = garden.0.last_zxid().next();
    let header = TxnHeader { session: SessionId(5), cxid: Xid(1), zxid, time: WallMs(9) };
    let mut changes = Vec::new();
    garden.0.apply(&header, &create("/a/0123456789", ""), &mut changes);
    assert_eq!(changes.len(), 1);
    assert_eq!(stats(&garden), before);
    assert_ne!(garden.0.digest(), digest, "/a/0123456789 counts");
    garden.set("/a/0123456789", "0123456789");
    assert_eq!(garden.used("/a"), "count=2,bytes=10");
    let after = stats(&garden);
    assert_eq!((after.version, after.mzxid, after.mtime), (0, before.mzxid, before.mtime));
    assert_eq!(after.data_length, before.data_length + 1);
    assert_eq!(garden.0.data_size_bytes(), size + 13 + 10 + 1);
    assert_eq!(Garden(kept).used("/a"), "count=1,bytes=0");
}

#[test]
fn only_the_deepest_quota_counts() {
    let mut garden = Garden::with_quota("/a");
    garden.create("/a/b", "");
    garden.limit("/a/b");
    garden.create("/a/b/c", "1");
    garden.create("/a/d", "22");
    assert_eq!(
        (garden.used("/a/b"), garden.used("/a")),
        ("count=2,bytes=1".into(), "count=3,bytes=2".into())
    );
    garden.delete("/zookeeper/quota/a/b/zookeeper_limits");
    garden.create("/a/b/e", "333");
    assert_eq!(garden.used("/a"), "count=4,bytes=5");
    assert_eq!(garden.used("/a/b"), "count=2,bytes=1");
}

#[test]
fn making_the_stats_znode_counts_whatever_it_was_given() {
    let mut garden = Garden::new();
    garden.create_with_parents("/zookeeper/quota/a/b");
    garden.create_with_parents("/a/b/c");
    garden.set("/a/b/c", "data");
    let outcome = garden.create("/zookeeper/quota/a/b/zookeeper_stats", "count=100,bytes=100");
    let Outcome::Created(stat) = outcome else { panic!("{outcome:?}") };
    assert_eq!(stat.data_length, 19, "the creator hears of its own text");
    assert_eq!(garden.used("/a/b"), "count=2,bytes=4");
    garden.create("/a/b/d", "");
    assert_eq!(garden.used("/a/b"), "count=2,bytes=4", "nothing is registered yet");
    garden.create("/zookeeper/quota/a/b/zookeeper_limits", "");
    garden.create("/a/b/e", "");
    assert_eq!(garden.used("/a/b"), "count=3,bytes=4");
    garden.create("/zookeeper/quota/none", "");
    garden.create("/zookeeper/quota/none/zookeeper_stats", "");
    assert_eq!(garden.used("/none"), "count=0,bytes=0");
}

#[test]
fn malformed_usage_is_counted_anew() {
    let mut garden = Garden::with_quota("/a");
    garden.create("/a/b", "1234");
    garden.set("/zookeeper/quota/a/zookeeper_stats", "count=many");
    assert_eq!(garden.0.quota("/a").expect("it is registered").used, None);
    garden.create("/a/c", "5");
    assert_eq!(garden.used("/a"), "count=3,bytes=5");
    garden.set("/zookeeper/quota/a/zookeeper_stats", "count=10,bytes=20,more=1");
    garden.create("/a/d", "6");
    assert_eq!(garden.used("/a"), "count=11,bytes=21=;more=1");
}

#[test]
fn limits_in_odd_places_are_ordinary_znodes() {
    let mut garden = Garden::new();
    garden.create("/zookeeper/quota/zookeeper_limits", "count=1,bytes=1");
    garden.create("/zookeeper/zookeeper_limits", "count=1,bytes=1");
    garden.create("/zookeeper_limits", "count=1,bytes=1");
    garden.create("/zookeeper/quotas", "");
    garden.create("/zookeeper/quotas/zookeeper_limits", "");
    garden.create("/a", "");
    for path in ["/", "/a", "/zookeeper", "/s", ""] {
        assert_eq!(garden.0.quota(path), None, "{path}");
    }
    garden.delete("/zookeeper/zookeeper_limits");
    garden.delete("/zookeeper/quota/zookeeper_limits");
}

#[test]
fn a_quota_tells_limits_and_usage() {
    let mut garden = Garden::with_quota("/a/b");
    let quota = garden.0.quota("/a/b/not/yet/there").expect("it is registered");
    assert_eq!((&*quota.path, quota.limits.count(), quota.limits.bytes()), ("/a/b", 3, 10));
    let used = quota.used.expect("it is kept");
    assert_eq!((used.count(), used.bytes()), (1, 0));
    assert_eq!(garden.0.quota("/a"), None);
    assert_eq!(garden.0.quota("/a/bc"), None);
    garden.set("/zookeeper/quota/a/b/zookeeper_limits", "no limits");
    assert_eq!(garden.0.quota("/a/b").expect("it is registered").limits.count(), -1);
}

#[test]
fn loading_a_snapshot_counts_anew() {
    let mut garden = Garden::with_quota("/a");
    garden.create("/a/b", "1234");
    garden.set("/zookeeper/quota/a/zookeeper_stats", "count=77,bytes=77");
    let mut builder = Builder::new(8);
    let mut walk = garden.0.walk();
    while let Some((path, znode)) = walk.next() {
        let open = AclId::OPEN.file_id();
        builder
            .node(path, znode.data(), open, &znode.stat_persisted())
            .expect("parents come first");
    }
    let mut loaded = Garden(builder.finish(Zxid(100)));
    assert_eq!(loaded.used("/a"), "count=2,bytes=4");
    loaded.delete("/a/b");
    assert_eq!(loaded.used("/a"), "count=1,bytes=0");
}
