//! The replica's work: mail on one side, the replica on the other. Who waits, and whether a shard
//! works on the same thread, is the driver's affair.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use mio::event::Event;
use ostler_disk::real_disk::RealDisk;
use ostler_node::clock::{Clock, Span, Time};
use ostler_node::messages::ToReplica;
use ostler_node::replica::{Effect, Input, LogOp, Replica};

use crate::boot::{End, Fatal};
use crate::feed::Tail;
use crate::huge_pages;
use crate::loops::chronicle::Chronicle;
use crate::loops::log::{LogBox, Written};
use crate::mail::{ReplicaMail, ShardBox, SnapshotMail};
use crate::peers::Peers;
use crate::peers::links::{LinkTable, Outgoing};

/// What the replica works with.
pub(crate) struct ReplicaLoop {
    pub(crate) replica: Replica,
    pub(crate) mail: Receiver<ReplicaMail>,
    pub(crate) feed: Tail,
    pub(crate) shards: Vec<Arc<ShardBox>>,
    pub(crate) log: LogBox<RealDisk>,
    pub(crate) snapshots: Sender<SnapshotMail>,
    /// The other servers, if there are any.
    pub(crate) peers: Option<Peers>,
    /// The connections with them that transactions travel on, if there are any.
    pub(crate) links: Option<LinkTable>,
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
    /// The disk has kept this thread from everything else.
    has_stalled: bool,
    /// No deadline counts before this.
    deadlines_from: Time,
    /// Nothing may be written any more.
    log_failed: bool,
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
        let links_are_busy = self.links.as_ref().is_some_and(LinkTable::is_busy);
        self.has_mail() || self.turn.has_heard || links_are_busy
    }

    fn has_mail(&mut self) -> bool {
        if self.turn.mail.is_none() {
            self.turn.mail = self.mail.try_recv().ok();
        }
        self.turn.mail.is_some()
    }

    /// Remembers what a link's socket has said.
    pub(crate) fn note_link(&mut self, event: &Event) {
        if let Some(links) = &mut self.links {
            links.note(event);
        }
    }

    /// How long it can wait when nothing happens; `None` is for ever.
    pub(crate) fn patience(&self, now: Time) -> Option<Duration> {
        let links = self.links.as_ref().and_then(LinkTable::next_deadline);
        let deadline = self.next_deadline().into_iter().chain(links).min()?;
        Some(Duration::from_micros(deadline.0.saturating_sub(now.0)))
    }

    /// Takes what a shard of this thread has to say.
    pub(crate) fn hear_shard(&mut self, at: Clock, messages: &mut Vec<ToReplica>) {
        for message in messages.drain(..) {
            self.hear(at, Input::FromShard(message));
        }
    }

    /// Takes its mail, up to a bound, and carries out what follows from all that it has heard;
    /// false if the server ends. `is_alone` says that nobody else on this thread has anything to
    /// do, so that it may wait for the disk.
    pub(crate) fn turn(&mut self, at: Clock, is_alone: bool) -> bool {
        let mut goes_on = true;
        self.with_links(at, |links, hear| links.turn(at.now, hear));
        for _ in 0..TURN_MAX {
            let mail = self.turn.mail.take().or_else(|| self.mail.try_recv().ok());
            let Some(mail) = mail else { break };
            goes_on = self.take(at, mail);
            if !goes_on {
                break;
            }
        }
        if std::mem::take(&mut self.turn.has_stalled) {
            self.turn.deadlines_from = at.now + STALL_GRACE;
        }
        if self.next_deadline().is_some_and(|deadline| deadline <= at.now) {
            self.hear(at, Input::Deadline);
        }
        let mut is_alone = is_alone && !self.links.as_ref().is_some_and(LinkTable::is_busy);
        while std::mem::take(&mut self.turn.has_heard) {
            self.carry_out(at, std::mem::take(&mut is_alone));
        }
        goes_on
    }

    /// Lets the links do something, whose words go to the replica at once.
    fn with_links(&mut self, at: Clock, work: impl FnOnce(&mut LinkTable, &mut dyn FnMut(Input))) {
        let Some(links) = &mut self.links else { return };
        let (replica, turn) = (&mut self.replica, &mut self.turn);
        work(links, &mut |input| {
            replica.hear(at, input, &mut turn.effects);
            turn.has_heard = true;
        });
    }

    /// Whoever gave a sign of life while this thread waited for the disk is heard first.
    fn next_deadline(&self) -> Option<Time> {
        Some(self.replica.next_deadline()?.max(self.turn.deadlines_from))
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
            ReplicaMail::LogWritten(progress) => {
                self.log.note(&progress);
                if let Some(up_to) = progress.up_to {
                    self.hear(at, Input::LogSynced(up_to));
                }
            }
            ReplicaMail::SnapshotEnded => self.hear(at, Input::SnapshotEnded),
            ReplicaMail::Input(input) => self.hear(at, input),
            ReplicaMail::Vote(sid, notification, _freight) => {
                self.hear(at, Input::Vote(sid, notification));
            }
            ReplicaMail::Link(mail) => {
                self.with_links(at, |links, hear| links.take(at.now, mail, hear))
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

    fn carry_out(&mut self, at: Clock, is_alone: bool) {
        let mut effects = std::mem::take(&mut self.turn.effects);
        self.replica.end_turn(&mut effects);
        let mut log_ops = Vec::new();
        let mut outgoing = Vec::new();
        let mut published = false;
        for effect in effects.drain(..) {
            match effect {
                Effect::Log(op) => log_ops.push(op),
                Effect::Publish(commit) => {
                    huge_pages::suit_tree(&commit.view);
                    self.feed.publish(*commit);
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
        // Before the log, so that the disks of all servers work at the same time.
        if let Some(links) = &mut self.links
            && !outgoing.is_empty()
        {
            links.send(at.now, outgoing);
        }
        if !log_ops.is_empty() {
            self.log(at, log_ops, is_alone);
        }
        if published {
            self.shards.iter().for_each(|shard| shard.wake());
        }
        if let Some(standing) = self.replica.standing() {
            self.chronicle.note(standing);
            self.handing_over.take_if(|_| standing.retired);
        }
    }

    fn log(&mut self, at: Clock, ops: Vec<LogOp>, is_alone: bool) {
        if self.turn.log_failed {
            return;
        }
        let is_alone = is_alone && !self.has_mail();
        let synced = if is_alone { self.log.write_alone(&ops) } else { Ok(None) };
        match synced {
            Ok(Some(Written { up_to, took })) => {
                self.turn.has_stalled |= took >= STALL;
                self.hear(at, Input::LogSynced(up_to));
            }
            Ok(None) => self.log.send(ops),
            Err(error) => {
                self.turn.log_failed = true;
                let _ = self.end.send(End::Fatal(Fatal::Log(error)));
            }
        }
    }

    fn peers(&self) -> &Peers {
        self.peers.as_ref().expect("a standalone server has nothing to say to others")
    }
}

/// Mails handled before their effects are carried out: late enough to batch, soon enough to
/// keep the disk busy.
const TURN_MAX: usize = 64;

/// A disk that took so long may have kept signs of life waiting, and a shard may keep them to
/// itself for a while.
const STALL: Duration = Duration::from_millis(10);
const STALL_GRACE: Span = Span::from_millis(50);
