//! Answers to writes, made of the outcome of the transaction.
//!
//! Whoever holds the client makes its answer: the server that prepared the transaction, or a
//! learner to which it came back as a proposal. Both by this code, so a client cannot tell.

use alloc::boxed::Box;
use alloc::vec::Vec;

use ostler_tree::Outcome;
use ostler_wire::error::ErrorCode;
use ostler_wire::ids::{Xid, Zxid};
use ostler_wire::op::OpCode;
use ostler_wire::reply::OpResult;
use ostler_wire::txn::{CreateKind, Txn};

use crate::messages::{ConnRef, Notice, Reply, ReplyBody, Request};

/// Who waits for which answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) to: ConnRef,
    pub(super) xid: Xid,
    pub(super) op: OpCode,
    pub(super) body_bytes: usize,
    /// Whether something is answered right before it that must show nothing of it.
    pub(super) is_parted: bool,
}

impl Asked {
    pub(super) fn of(request: &Request) -> Self {
        let Request { from, xid, op, body, behind_read, .. } = request;
        let body_bytes = body.len();
        Self { to: *from, xid: *xid, op: *op, body_bytes, is_parted: *behind_read }
    }

    pub(super) fn reply(self, zxid: Zxid, err: ErrorCode, body: ReplyBody) -> Reply {
        Reply { to: self.to, xid: self.xid, zxid, err, body, body_bytes: self.body_bytes }
    }

    /// What is told instead of an answer when there will be none.
    pub(super) fn dropped(self) -> Notice {
        Notice::Dropped { to: self.to, body_bytes: self.body_bytes }
    }

    /// Whether a request of this operation can have become this transaction.
    pub(super) fn may_become(self, txn: &Txn<'_>) -> bool {
        match txn {
            Txn::Error(_) => true,
            Txn::CloseSession { .. } => self.op == OpCode::CloseSession,
            Txn::Multi(_) => self.op == OpCode::Multi,
            Txn::Delete { .. } => self.op == OpCode::Delete,
            Txn::SetData { .. } => matches!(self.op, OpCode::SetData | OpCode::Reconfig),
            Txn::SetAcl { .. } => self.op == OpCode::SetAcl,
            Txn::Create(_) => matches!(
                self.op,
                OpCode::Create | OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl
            ),
            Txn::CreateSession { .. } | Txn::Check { .. } => false,
        }
    }

    /// The answer to a request whose transaction had this outcome.
    pub(super) fn answer(self, zxid: Zxid, txn: &Txn<'_>, outcome: Outcome) -> Reply {
        let body = match outcome {
            Outcome::Error(err) => return self.reply(zxid, err, ReplyBody::Empty),
            Outcome::Created(stat) => {
                let path = Box::from(txn.path().expect("a create has a path"));
                match self.op {
                    OpCode::Create => ReplyBody::Path(path),
                    _ => ReplyBody::PathStat(path, stat),
                }
            }
            Outcome::DataSet(stat) | Outcome::AclSet(stat) => ReplyBody::Stat(stat),
            Outcome::Multi(outcomes) => ReplyBody::Multi(multi_results(txn, outcomes)),
            Outcome::Deleted
            | Outcome::Checked
            | Outcome::SessionCreated
            | Outcome::SessionClosed => ReplyBody::Empty,
        };
        self.reply(zxid, ErrorCode::OK, body)
    }
}

fn multi_results(txn: &Txn<'_>, outcomes: Vec<Outcome>) -> Vec<OpResult> {
    let Txn::Multi(parts) = txn else { unreachable!("only a multi has the outcome of one") };
    parts.iter().zip(outcomes).map(|(part, outcome)| multi_result(part, outcome)).collect()
}

fn multi_result(part: &Txn<'_>, outcome: Outcome) -> OpResult {
    match (outcome, part) {
        (Outcome::Created(stat), Txn::Create(create)) => {
            let path = create.path.clone().into_owned();
            match create.kind {
                CreateKind::Plain { .. } => OpResult::Created { path },
                _ => OpResult::CreatedWithStat { path, stat },
            }
        }
        (Outcome::Deleted, _) => OpResult::Deleted,
        (Outcome::DataSet(stat), _) => OpResult::DataSet(stat),
        (Outcome::Checked, _) => OpResult::Checked,
        (Outcome::Error(err), _) => OpResult::Error(err),
        (outcome, part) => unreachable!("{part:?} in a multi had the outcome {outcome:?}"),
    }
}
