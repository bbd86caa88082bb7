//! A server's disk: it does one thing after the other, takes its time, and keeps over a crash what
//! it has done.

use std::collections::VecDeque;

use ostler_wire::ids::{Epoch, Zxid};
use ostler_zab::history::TxnBody;

/// A transaction.
pub(crate) type Txn = (Zxid, TxnBody);

/// What is asked of a disk.
#[derive(Clone, Debug)]
pub(crate) enum DiskOp {
    Append(Zxid, TxnBody),
    AcceptedEpoch(Epoch),
    CurrentEpoch(Epoch),
    Truncate(Zxid),
    /// What has become of a cut to where only a snapshot reaches, from behind.
    Uncut(Zxid),
    /// A snapshot, in place of everything.
    Install(Zxid, Vec<Txn>),
}

/// What survives, and what is still to be done.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    pub(crate) accepted: Epoch,
    pub(crate) current: Epoch,
    /// Every transaction since the beginning, those in the snapshot included.
    pub(crate) txns: Vec<Txn>,
    /// How many of them are in the snapshot, and its zxid: no cut can go further back.
    pub(crate) snapshot: (usize, Zxid),
    pub(crate) queue: VecDeque<DiskOp>,
}

impl Disk {
    /// Does the oldest thing it was asked for.
    pub(crate) fn work(&mut self) -> DiskOp {
        let op = self.queue.pop_front().expect("something to do");
        match op.clone() {
            DiskOp::Append(zxid, body) => {
                assert!(zxid > self.last(), "the log goes on");
                self.txns.push((zxid, body));
            }
            DiskOp::AcceptedEpoch(epoch) => {
                assert!(epoch > self.accepted);
                self.accepted = epoch;
            }
            DiskOp::CurrentEpoch(epoch) => {
                assert!(epoch >= self.current && epoch <= self.accepted);
                self.current = epoch;
            }
            DiskOp::Truncate(zxid) => {
                let at = self.txns.partition_point(|(txn, _)| *txn <= zxid);
                if at < self.snapshot.0 || zxid < self.snapshot.1 {
                    return DiskOp::Uncut(zxid);
                }
                let target = self.txns[..at].last().map(|(txn, _)| *txn);
                let is_there = target == Some(zxid) || zxid == self.snapshot.1;
                assert!(is_there, "a cut to {zxid}, which is not there");
                self.txns.truncate(at);
            }
            DiskOp::Uncut(_) => unreachable!("nobody asks for it"),
            DiskOp::Install(zxid, txns) => {
                self.snapshot = (txns.len(), zxid);
                self.txns = txns;
            }
        }
        op
    }

    /// The last zxid, as one finds it at start.
    pub(crate) fn last(&self) -> Zxid {
        self.txns.last().map_or(Zxid::ZERO, |(zxid, _)| *zxid).max(self.snapshot.1)
    }

    /// The server stops; what it was doing is not done.
    pub(crate) fn crash(&mut self) {
        self.queue.clear();
        // What was logged of an epoch before that epoch was written makes it the current one.
        let last = self.last().epoch();
        if last > self.current && last <= self.accepted {
            self.current = last;
        }
    }
}
