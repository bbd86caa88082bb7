//! The replica thread.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::time::Duration;

use ostler_node::clock::Clock;
use ostler_node::replica::{Effect, Input, LogOp, Replica};

use crate::boot::{End, Fatal};
use crate::feed::Tail;
use crate::loops::chronicle::Chronicle;
use crate::mail::{Clocks, ReplicaMail, ShardBox, SnapshotMail};
use crate::peers::Peers;
use crate::peers::links::Outgoing;

/// What the replica thread works with.
pub(crate) struct ReplicaLoop {
    pub(crate) replica: Replica,
    pub(crate) mail: Receiver<ReplicaMail>,
    pub(crate) feed: Tail,
    pub(crate) shards: Vec<Arc<ShardBox>>,
    pub(crate) log: Sender<Vec<LogOp>>,
    pub(crate) snapshots: Sender<SnapshotMail>,
    /// The other servers, if there are any.
    pub(crate) peers: Option<Peers>,
    pub(crate) end: Sender<End>,
    pub(crate) clocks: Clocks,
    pub(crate) chronicle: Chronicle,
    /// Who waits until this server leads no more.
    pub(crate) handing_over: Option<Sender<()>>,
}

impl ReplicaLoop {
    /// Runs until it is told to stop or everybody is gone.
    ///
    /// `effects` are those with which the replica began.
    pub(crate) fn run(mut self, mut effects: Vec<Effect>) {
        self.carry_out(&mut effects);
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
                self.replica.hear(at, Input::Deadline, &mut effects);
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
                    self.replica.hear(at, Input::FromShard(message), effects);
                }
            }
            ReplicaMail::LogSynced(zxid) => {
                self.replica.hear(at, Input::LogSynced(zxid), effects);
            }
            ReplicaMail::SnapshotEnded => self.replica.hear(at, Input::SnapshotEnded, effects),
            ReplicaMail::Input(input) => self.replica.hear(at, input, effects),
            ReplicaMail::Vote(sid, notification, _freight) => {
                self.replica.hear(at, Input::Vote(sid, notification), effects);
            }
            ReplicaMail::Packets(link, packets, _freight) => {
                for packet in packets {
                    self.replica.hear(at, Input::Packet(link, packet), effects);
                }
            }
            ReplicaMail::HandOver(to) => {
                self.replica.hear(at, Input::HandOver, effects);
                self.handing_over = Some(to);
            }
            ReplicaMail::Report(to) => {
                // Who asked may have given up.
                let _ = to.send(self.replica.report(at));
            }
            ReplicaMail::ResetCounters => self.replica.forget_proposal_sizes(),
            ReplicaMail::Stop => return false,
        }
        true
    }

    fn carry_out(&mut self, effects: &mut Vec<Effect>) {
        self.replica.end_turn(effects);
        let mut log_ops = Vec::new();
        let mut outgoing = Vec::new();
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
                Effect::DigestMismatch(zxid) => tracing::error!(
                    "the data differ from the leader's at {zxid} or before: stop this server, move \
                     its data directory away and start it again"
                ),
                Effect::SendVote(sid, vote) => self.peers().election.send(sid, &vote),
                Effect::ConnectElection(sid) => self.peers().election.connect(sid),
                Effect::DialLeader(sid) => self.peers().links.dial(sid),
                Effect::Send(link, packet) => outgoing.push((link, Outgoing::Packet(packet))),
                Effect::SendSnapshot(link, tree) => {
                    outgoing.push((link, Outgoing::Snapshot(tree)));
                }
                Effect::CloseLink(link, reason) => outgoing.push((link, Outgoing::Close(reason))),
                Effect::Stop(reason) => {
                    let _ = self.end.send(End::Fatal(Fatal::Replica(reason)));
                }
            }
        }
        // Neither listens any more only when the server ends.
        if !log_ops.is_empty() {
            let _ = self.log.send(log_ops);
        }
        if !outgoing.is_empty() {
            self.peers().links.send(outgoing);
        }
        if published {
            self.shards.iter().for_each(|shard| shard.wake());
        }
        if let Some(standing) = self.replica.standing() {
            self.chronicle.note(standing);
            self.handing_over.take_if(|_| standing.retired);
        }
    }

    fn peers(&self) -> &Peers {
        self.peers.as_ref().expect("a standalone server has nothing to say to others")
    }
}

/// Mails handled before their effects are carried out: late enough to batch, soon enough to
/// keep the disk busy.
const TURN_MAX: usize = 64;
