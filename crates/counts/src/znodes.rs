//! Trees to work on.

use ostler_tree::{Change, Outcome, Tree};
use ostler_wire::acl::Acl;
use ostler_wire::ids::{SessionId, WallMs, Xid, Zxid};
use ostler_wire::jute::Text;
use ostler_wire::txn::{CreateKind, CreateTxn, Txn, TxnHeader};

/// The data of every znode here.
pub(crate) const DATA: &[u8] = &[b'x'; 100];

/// Any moment will do, if it is always the same.
pub(crate) const WALL: WallMs = WallMs(1_700_000_000_000);

/// The session of transactions.
pub(crate) const SESSION: SessionId = SessionId(0x0100_0000_0000_0001);

/// A tree that transactions are applied to.
pub(crate) struct Grove {
    pub(crate) tree: Tree,
    /// What the last transaction changed.
    pub(crate) changes: Vec<Change>,
}

impl Grove {
    /// So many znodes below each of so many parents.
    pub(crate) fn new(parents: usize, children: usize) -> Self {
        let mut grove = Self { tree: Tree::fresh(HASH_KEY), changes: Vec::new() };
        for parent in 0..parents {
            grove.apply(&create(&parent_path(parent)));
            for child in 0..children {
                grove.apply(&create(&child_path(parent, child)));
            }
        }
        grove
    }

    /// Applies the next transaction, which must do something.
    pub(crate) fn apply(&mut self, txn: &Txn<'_>) -> Outcome {
        self.changes.clear();
        let header = header(self.tree.last_zxid().next());
        let outcome = self.tree.apply(&header, txn, &mut self.changes);
        assert!(!matches!(outcome, Outcome::Error(_)), "{txn:?}: {outcome:?}");
        outcome
    }
}

pub(crate) fn header(zxid: Zxid) -> TxnHeader {
    TxnHeader { session: SESSION, cxid: Xid(1), zxid, time: WALL }
}

pub(crate) fn create(path: &str) -> Txn<'_> {
    Txn::Create(CreateTxn {
        kind: CreateKind::Plain { ephemeral: false },
        path: Text::Borrowed(path),
        data: Some(DATA),
        acl: Acl::open(),
        parent_cversion: -1,
    })
}

pub(crate) fn delete(path: &str) -> Txn<'_> {
    Txn::Delete { path: Text::Borrowed(path), container: false }
}

pub(crate) fn set_data(path: &str) -> Txn<'_> {
    Txn::SetData { path: Text::Borrowed(path), data: Some(DATA), version: 1, reconfig: false }
}

pub(crate) fn parent_path(parent: usize) -> String {
    format!("/parent-{parent:03}")
}

pub(crate) fn child_path(parent: usize, child: usize) -> String {
    format!("/parent-{parent:03}/child-{child:06}")
}

const HASH_KEY: u64 = 0x0123_4567_89ab_cdef;
