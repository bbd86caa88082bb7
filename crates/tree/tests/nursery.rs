//! A tree is the same whether its creates are applied or were made ready before.

use ostler_tree::{Nursery, Tree};
use ostler_wire::acl::Acl;
use ostler_wire::ids::{SessionId, WallMs, Xid, Zxid};
use ostler_wire::jute::Text;
use ostler_wire::txn::{CreateKind, CreateRecord, CreateTxn, Txn, TxnHeader, TxnRecord};
use proptest::prelude::*;

fn paths() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        8 => "[a-c]",
        1 => Just("zookeeper/quota/a".to_owned()),
        1 => Just("zookeeper/quota/a/zookeeper_limits".to_owned()),
        1 => Just("é/".to_owned()),
    ];
    prop::collection::vec(name, 0..4)
        .prop_map(|names| names.iter().flat_map(|name| ["/", name.as_str()]).collect())
}

fn kind(number: u8) -> CreateKind {
    match number {
        0 => CreateKind::Plain { ephemeral: true },
        1 => CreateKind::WithStat { ephemeral: true },
        2 => CreateKind::Container,
        3 => CreateKind::Ttl { ttl_ms: 5 },
        4 => CreateKind::WithStat { ephemeral: false },
        _ => CreateKind::Plain { ephemeral: false },
    }
}

fn list(number: u8) -> Vec<Acl> {
    match number {
        0 => Vec::new(),
        1 => Acl::read_only(),
        2 => Acl::creator_all(),
        _ => Acl::open(),
    }
}

/// The body of a transaction.
type Body = Vec<u8>;

prop_compose! {
    fn txns()(
        txns in prop::collection::vec((paths(), 0..9u8, 0..9u8, 0..6i32, 0..9u8), 0..60)
    ) -> Vec<Body> {
        let bodies = (1..).zip(&txns).map(|(zxid, (path, number, acl, parent_cversion, what))| {
            let path = Text::Borrowed(path.as_str());
            let txn = match what {
                0 => Txn::Delete { path, container: false },
                1 => Txn::SetAcl { path, acl: list(*acl), version: 1 },
                _ => Txn::Create(CreateTxn {
                    kind: kind(*number),
                    path,
                    data: (*number % 3 > 0).then_some(&b"count=5,bytes=50"[..usize::from(*number)]),
                    acl: list(*acl),
                    parent_cversion: parent_cversion - 1,
                }),
            };
            let header = TxnHeader {
                session: SessionId(7),
                cxid: Xid(1),
                zxid: Zxid(zxid),
                time: WallMs(zxid * 5),
            };
            let mut body = Vec::new();
            TxnRecord { header, txn, digest: None }.encode(&mut body);
            body
        });
        bodies.collect()
    }
}

fn apply(tree: &mut Tree, body: &[u8]) {
    let record = TxnRecord::decode(body).expect("it was encoded");
    tree.apply(&record.header, &record.txn, &mut Vec::new());
}

/// False if that was left to [`apply`].
fn plant(tree: &mut Tree, nursery: &mut Nursery, body: &[u8]) -> bool {
    let Some(create) = CreateRecord::decode(body) else { return false };
    let Some((mut seedling, list)) = nursery.raise(&create) else { return false };
    tree.plant(create.header.zxid, &create.path, list, &mut seedling)
}

/// Everything that can be seen of a tree.
fn dump(tree: &Tree) -> Vec<String> {
    let mut lines = Vec::new();
    let mut walk = tree.walk();
    while let Some((path, znode)) = walk.next() {
        let (stat, acl) = (znode.stat(), (znode.acl_id(), tree.acl(znode.acl_id())));
        lines.push(format!("{path} {:?} {:?} {stat:?} {acl:?}", znode.data(), znode.kind()));
    }
    lines.push(format!("{:?}", tree.acl_lists().collect::<Vec<_>>()));
    lines.push(format!("{:?}", tree.ephemerals(SessionId(7)).collect::<Vec<_>>()));
    lines.push(format!("{:?}", tree.containers().chain(tree.ttls()).collect::<Vec<_>>()));
    let counts = (tree.node_count(), tree.data_size_bytes(), tree.digest(), tree.last_zxid());
    lines.push(format!("{counts:?}"));
    lines
}

proptest! {
    #[test]
    fn planted_and_applied_are_the_same(txns in txns()) {
        let (mut planted, mut applied) = (Tree::fresh(3), Tree::fresh(3));
        let mut nursery = planted.nursery();
        for body in &txns {
            if !plant(&mut planted, &mut nursery, body) {
                apply(&mut planted, body);
            }
            apply(&mut applied, body);
            prop_assert_eq!(dump(&planted), dump(&applied));
        }
    }
}

#[test]
fn the_usual_is_planted() {
    let mut tree = Tree::fresh(3);
    let mut nursery = tree.nursery();
    for zxid in 1..10 {
        let txn = Txn::Create(CreateTxn {
            kind: CreateKind::Plain { ephemeral: false },
            path: Text::Owned(format!("/{zxid}")),
            data: Some(b"data"),
            acl: Acl::open(),
            parent_cversion: -1,
        });
        let (session, cxid, time) = (SessionId(7), Xid(1), WallMs(5));
        let header = TxnHeader { session, cxid, zxid: Zxid(zxid), time };
        let mut body = Vec::new();
        TxnRecord { header, txn, digest: None }.encode(&mut body);
        assert!(plant(&mut tree, &mut nursery, &body), "{zxid}");
        assert!(!plant(&mut tree, &mut nursery, &body), "it is there");
    }
}
