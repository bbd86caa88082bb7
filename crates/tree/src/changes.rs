//! What a transaction did: its outcome for whoever asked for it, its changes for the watches.

use alloc::boxed::Box;
use alloc::vec::Vec;

use ostler_wire::error::ErrorCode;
use ostler_wire::stat::Stat;

use crate::acl_table::AclList;

/// What watches can be set for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChangeKind {
    /// The znode is there; its parent has a child more.
    Created,
    /// The znode is gone; its parent has a child less.
    Deleted,
    /// The data were set. Nothing happened to the parent.
    DataChanged,
}

/// One change, in the order in which watches must hear of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// Full path of the znode.
    pub path: Box<str>,
    /// Who may hear of the znode: its list, after a delete its last one.
    pub acl: AclList,
    /// Who may hear of the parent's children: the parent's list. Empty for `DataChanged`.
    pub parent_acl: AclList,
}

/// What became of a transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The znode was created and has this stat.
    Created(Stat),
    /// The znode was deleted.
    Deleted,
    /// The data were set.
    DataSet(Stat),
    /// The list was set.
    AclSet(Stat),
    /// A check of a multi; it held when the transaction was made.
    Checked,
    /// The session is in the table.
    SessionCreated,
    /// The session and its ephemerals are gone.
    SessionClosed,
    /// Nothing was done, or the little that replay demands (see [`crate::Tree::apply`]). In a
    /// failed multi also what came before and after the operation that failed, with
    /// [`ErrorCode::OK`] and [`ErrorCode::RUNTIME_INCONSISTENCY`].
    Error(ErrorCode),
    /// One for each operation.
    Multi(Vec<Self>),
}
