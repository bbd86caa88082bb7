//! The replica's work: mail on one side, the replica on the other. Who waits, and whether a shard
//! works on the same thread, is the driver's affair.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use ostler_node::clock::{Clock, Time};
use ostler_node::messages::ToReplica;
use ostler_node::replica::{Effect, Input, LogOp, Replica};

use crate::boot::{End, Fatal};
use crate::feed::Tail;
use crate::loops::chronicle::Chronicle;
use crate::mail::{ReplicaMail, ShardBox, SnapshotMail};
use crate::peers::Peers;
use crate::peers::links::Outgoing;

/// What the replica works with.
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
    pub(crate) chronicle: Chronicle,
    /// Who waits until this server leads no more.
    pub(crate) handing_over: Option<Sender<()>>,
    pub(crate) turn: Turn,
}

/// What a turn works on; kept so that nothing is allocated again.
#[derive(Default)]
pub(crate) struct Turn {
    /// Mail that was found before the turn began.
    mail: Option<ReplicaMail>,
    effects: Vec<Effect>,
    /// Whether the replica has heard anything.
    has_heard: bool,
}

impl Turn {
    /// A first turn, with what the replica has to do before it hears anything.
    pub(crate) fn beginning(effects: Vec<Effect>) -> Self {
        Self { effects, has_heard: true, ..Self::default() }
    }
}

impl ReplicaLoop {
    /// Whether there is something to do without waiting.
    pub(crate) fn is_busy(&mut self) -> bool {
        let turn = &mut self.turn;
        if turn.mail.is_none() {
            turn.mail = self.mail.try_recv().ok();
        }
        turn.mail.is_some() || turn.has_heard
    }

    /// How long it can wait when nothing happens; `None` is for ever.
    pub(crate) fn patience(&self, now: Time) -> Option<Duration> {
        let deadline = self.replica.next_deadline()?;
        Some(Duration::from_micros(deadline.0.saturating_sub(now.0)))
    }

    /// Takes what a shard of this thread has to say.
    pub(crate) fn hear_shard(&mut self, at: Clock, messages: &mut Vec<ToReplica>) {
        for message in messages.drain(..) {
            self.hear(at, Input::FromShard(message));
        }
    }

    /// Takes its mail, up to a bound, and carries out what follows from all that it has heard;
    /// false if the server ends.
    pub(crate) fn turn(&mut self, at: Clock) -> bool {
        let mut goes_on = true;
        for _ in 0..TURN_MAX {
            let mail = self.turn.mail.take().or_else(|| self.mail.try_recv().ok());
            let Some(mail) = mail else { break };
            goes_on = self.take(at, mail);
            if !goes_on {
                break;
            }
        }
        if self.replica.next_deadline().is_some_and(|deadline| deadline <= at.now) {
            self.hear(at, Input::Deadline);
        }
        if std::mem::take(&mut self.turn.has_heard) {
            self.carry_out();
        }
        goes_on
    }

    fn hear(&mut self, at: Clock, input: Input) {
        self.replica.hear(at, input, &mut self.turn.effects);
        self.turn.has_heard = true;
    }

    /// Hands one mail to the machine; false if it is the last.
    fn take(&mut self, at: Clock, mail: ReplicaMail) -> bool {
        match mail {
            ReplicaMail::FromShard(messages) => {
                for message in messages {
                    self.hear(at, Input::FromShard(message));
                }
            }
            ReplicaMail::LogSynced(zxid) => self.hear(at, Input::LogSynced(zxid)),
            ReplicaMail::SnapshotEnded => self.hear(at, Input::SnapshotEnded),
            ReplicaMail::Input(input) => self.hear(at, input),
            ReplicaMail::Vote(sid, notification, _freight) => {
                self.hear(at, Input::Vote(sid, notification));
            }
            ReplicaMail::Packets(link, packets, _freight) => {
                for packet in packets {
                    self.hear(at, Input::Packet(link, packet));
                }
            }
            ReplicaMail::HandOver(to) => {
                self.hear(at, Input::HandOver);
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

    fn carry_out(&mut self) {
        let mut effects = std::mem::take(&mut self.turn.effects);
        self.replica.end_turn(&mut effects);
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
        self.turn.effects = effects;
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
