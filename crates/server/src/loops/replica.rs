//! The replica thread.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::time::Duration;

use ostler_node::clock::Clock;
use ostler_node::replica::{Effect, Input, LogOp, Replica};

use crate::feed::Tail;
use crate::mail::{Clocks, ReplicaMail, ShardBox, SnapshotMail};

/// What the replica thread works with.
pub(crate) struct ReplicaLoop {
    pub(crate) replica: Replica,
    pub(crate) mail: Receiver<ReplicaMail>,
    pub(crate) feed: Tail,
    pub(crate) shards: Vec<Arc<ShardBox>>,
    pub(crate) log: Sender<Vec<LogOp>>,
    pub(crate) snapshots: Sender<SnapshotMail>,
    pub(crate) clocks: Clocks,
}

impl ReplicaLoop {
    /// Runs until it is told to stop or everybody is gone.
    pub(crate) fn run(mut self) {
        let mut effects = Vec::new();
        while let Some(first) = self.wait() {
            let at = self.clocks.read();
            let mut next = first;
            let mut taken = 0;
            while let Some(mail) = next {
                if !self.take(at, mail, &mut effects) {
                    return;
                }
                taken += 1;
                next = match self.mail.try_recv() {
                    Ok(mail) if taken < TURN_MAX => Some(mail),
                    Ok(mail) => {
                        self.carry_out(&mut effects);
                        taken = 0;
                        Some(mail)
                    }
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => None,
                };
            }
            if self.replica.next_deadline().is_some_and(|deadline| deadline <= at.now) {
                self.replica.handle(at, Input::Deadline, &mut effects);
            }
            self.carry_out(&mut effects);
        }
    }

    /// The next mail; `Some(None)` when a deadline has come first, `None` when nobody is left.
    fn wait(&self) -> Option<Option<ReplicaMail>> {
        let Some(deadline) = self.replica.next_deadline() else {
            return self.mail.recv().ok().map(Some);
        };
        let now = self.clocks.read().now;
        let wait = Duration::from_micros(deadline.0.saturating_sub(now.0));
        match self.mail.recv_timeout(wait) {
            Ok(mail) => Some(Some(mail)),
            Err(RecvTimeoutError::Timeout) => Some(None),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    /// Hands one mail to the machine; false if it is the last.
    fn take(&mut self, at: Clock, mail: ReplicaMail, effects: &mut Vec<Effect>) -> bool {
        match mail {
            ReplicaMail::FromShard(messages) => {
                for message in messages {
                    self.replica.handle(at, Input::FromShard(message), effects);
                }
            }
            ReplicaMail::LogSynced(zxid) => {
                self.replica.handle(at, Input::LogSynced(zxid), effects);
            }
            ReplicaMail::SnapshotEnded => self.replica.handle(at, Input::SnapshotEnded, effects),
            ReplicaMail::Report(to) => {
                // Who asked may have given up.
                let _ = to.send(self.replica.report(at));
            }
            ReplicaMail::Stop => return false,
        }
        true
    }

    fn carry_out(&mut self, effects: &mut Vec<Effect>) {
        let mut log_ops = Vec::new();
        let mut published = false;
        for effect in effects.drain(..) {
            match effect {
                Effect::Log(op) => log_ops.push(op),
                Effect::Publish(commit) => {
                    self.feed.publish(commit);
                    published = true;
                }
                Effect::WriteSnapshot(tree) => {
                    let _ = self.snapshots.send(SnapshotMail::Write(tree));
                }
                Effect::QuotaExceeded(excess) => tracing::warn!("{excess}"),
                Effect::SendVote(..)
                | Effect::ConnectElection(_)
                | Effect::DialLeader(_)
                | Effect::Send(..)
                | Effect::SendSnapshot(..)
                | Effect::CloseLink(..)
                | Effect::Stop(_) => unreachable!("a standalone server has no peers"),
            }
        }
        // Neither listens any more only when the server ends.
        if !log_ops.is_empty() {
            let _ = self.log.send(log_ops);
        }
        if published {
            self.shards.iter().for_each(|shard| shard.wake());
        }
    }
}

/// Mails handled before their effects are carried out: late enough to batch, soon enough to
/// keep the disk busy.
const TURN_MAX: usize = 64;
