//! The learner, follower or observer: discovery, synchronisation and broadcast, seen from the one
//! who is led.
//!
//! What it says about its disk is said in this order, and never before it is so: accepted epoch,
//! ACKEPOCH; history, current epoch, ACK of NEWLEADER; then every proposal of the epoch, ACK.
//! What it logs is logged as it arrives, committed or not. What is committed is known only from
//! UPTODATE on: before, the leader has not been told that a quorum has its history.

mod intake;

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use ostler_wire::ids::{Epoch, SessionId, Sid, Zxid};
use ostler_wire::jute::Reader;
use ostler_wire::quorum::ack_epoch_data;
use ostler_wire::quorum::{LearnerInfo, PROTOCOL_VERSION, PacketKind, QuorumPacket, Touched};

use crate::LinkId;
use crate::clock::{Span, Time};
use crate::history::TxnBody;
use crate::quorum_config::{PeerRole, QuorumConfig};
use crate::settings::ZabSettings;
use intake::Intake;

/// What has to be done, in this order.
#[derive(Debug)]
pub enum LearnerEffect {
    /// Dial the quorum port of the leader; answered by [`Learner::dialled`] or
    /// [`Learner::dial_failed`].
    Dial(Sid),
    /// Send a packet to the leader.
    Send(LinkId, QuorumPacket),
    /// Bring the accepted epoch to disk; answered by [`Learner::accepted_epoch_written`].
    WriteAcceptedEpoch(Epoch),
    /// Bring everything appended and then the current epoch to disk; answered by
    /// [`Learner::current_epoch_written`].
    WriteCurrentEpoch(Epoch),
    /// Drop everything behind this zxid, here and on disk; answered by [`Learner::truncated`] or
    /// [`Learner::truncate_failed`], and nothing is appended before.
    Truncate(Zxid),
    /// Log this transaction and apply it to the head, behind everything logged before. After a
    /// snapshot of one of Java's leaders its effects may be there already, in whole or in part.
    Append(Zxid, TxnBody),
    /// Everything up to here is committed. First right before [`LearnerEffect::Serve`], and then
    /// it may name a transaction that was here before this leader was.
    Committed(Zxid),
    /// The leader's history is here, and a quorum has it: serve.
    Serve(Epoch),
    /// The leader asks for a sign of life: answer by [`Learner::pong`].
    Ping(QuorumPacket),
    /// The leader's word about a session.
    Revalidated(SessionId, bool),
    /// The oldest sync that was sent to the leader is answered.
    Synced,
    /// Leave this leader and look for another one; the link is to be closed.
    GiveUp(&'static str),
}

/// A server that follows or observes, or tries to.
#[derive(Debug)]
pub struct Learner {
    settings: Arc<ZabSettings>,
    config: Arc<QuorumConfig>,
    leader: Sid,
    accepted_epoch: Epoch,
    current_epoch: Epoch,
    /// The last zxid of the tree when this began.
    last: Zxid,
    /// The epoch whose leader demanded a cut that could not be made.
    needs_snapshot_of: Option<Epoch>,
    rejoins: bool,
    stage: Stage,
    link: Option<LinkId>,
    /// When the leader was heard last; before there is a link, when this began.
    heard: Time,
    dials_failed: usize,
    /// When to dial again, if no dial is under way.
    redial_at: Option<Time>,
    intake: Intake,
    /// What came while a cut was under way.
    waiting: VecDeque<QuorumPacket>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// There is no link yet.
    Dialling,
    /// It has said who it is, and waits for an epoch.
    Introduced,
    /// The accepted epoch is on its way to disk.
    Accepting,
    /// It has accepted the epoch, and waits to hear what it lacks.
    Accepted,
    /// A snapshot is on its way here.
    Receiving,
    /// Its history is being cut.
    Truncating,
    /// It gets what it lacks.
    Lacking,
    /// The history and the current epoch are on their way to disk.
    Holding,
    /// It has said that it has the history.
    Held,
    Serving,
    Over,
}

impl Learner {
    /// Begins by dialling the leader. `epochs` are the accepted and the current one, `last` is the
    /// last zxid of the tree, all of which is on disk. Whether this server follows or observes is
    /// what `config` says.
    #[must_use]
    pub fn new(
        now: Time,
        settings: Arc<ZabSettings>,
        config: Arc<QuorumConfig>,
        leader: Sid,
        epochs: (Epoch, Epoch),
        last: Zxid,
        out: &mut Vec<LearnerEffect>,
    ) -> Self {
        out.push(LearnerEffect::Dial(leader));
        Self {
            intake: Intake::new(is_observer(&config, settings.my_sid)),
            settings,
            config,
            leader,
            accepted_epoch: epochs.0,
            current_epoch: epochs.1,
            last,
            needs_snapshot_of: None,
            rejoins: false,
            stage: Stage::Dialling,
            link: None,
            heard: now,
            dials_failed: 0,
            redial_at: None,
            waiting: VecDeque::new(),
        }
    }

    /// The leader answered the dial.
    pub fn dialled(&mut self, now: Time, link: LinkId, out: &mut Vec<LearnerEffect>) {
        if self.stage != Stage::Dialling {
            return;
        }
        self.link = Some(link);
        self.heard = now;
        self.stage = Stage::Introduced;
        let kind = if is_observer(&self.config, self.settings.my_sid) {
            PacketKind::ObserverInfo
        } else {
            PacketKind::FollowerInfo
        };
        let info = LearnerInfo {
            sid: self.settings.my_sid,
            protocol_version: PROTOCOL_VERSION,
            config_version: self.config.version,
        };
        let zxid = self.accepted_epoch.first_zxid();
        self.send(QuorumPacket::with_data(kind, zxid, info.encode()), out);
    }

    /// The leader could not be reached.
    // Java: Learner.connectToLeader tries five times, equally far apart. The first pauses are
    // shorter, since a leader that was elected a moment ago opens its port within milliseconds.
    pub fn dial_failed(&mut self, now: Time, out: &mut Vec<LearnerEffect>) {
        if self.stage != Stage::Dialling || self.redial_at.is_some() {
            return;
        }
        let first = FIRST_REDIALS_MS.get(self.dials_failed).copied();
        let pause_ms = first.unwrap_or(u64::MAX).min(self.settings.redial_pause_ms);
        match self.dials_failed {
            0..DIALS_MAX => {
                self.dials_failed += 1;
                self.redial_at = Some(now + Span::from_millis(pause_ms));
            }
            _ => self.give_up("the leader cannot be reached", out),
        }
    }

    /// The link is gone.
    pub fn link_down(&mut self, _now: Time, link: LinkId, out: &mut Vec<LearnerEffect>) {
        if self.link == Some(link) {
            self.give_up("the link to the leader is gone", out);
        }
    }

    /// The leader has sent a packet.
    pub fn packet(
        &mut self,
        now: Time,
        link: LinkId,
        packet: QuorumPacket,
        out: &mut Vec<LearnerEffect>,
    ) {
        if self.stage == Stage::Over || self.link != Some(link) {
            return;
        }
        self.heard = now;
        if self.stage == Stage::Truncating {
            return self.waiting.push_back(packet);
        }
        if let Err(why) = self.take(packet, out) {
            self.give_up(why, out);
        }
    }

    /// The snapshot behind a SNAP packet has arrived whole, in place of everything that was here;
    /// the caller brings it to disk in the order of its other writes.
    ///
    /// While it arrives this machine has no deadline: whoever reads the stream sees to it that it
    /// does not stall.
    pub fn snapshot_received(&mut self, now: Time, link: LinkId, _out: &mut Vec<LearnerEffect>) {
        if self.stage == Stage::Receiving && self.link == Some(link) {
            self.heard = now;
            self.stage = Stage::Lacking;
        }
    }

    /// Answers [`LearnerEffect::Truncate`]: everything behind the zxid is gone.
    pub fn truncated(&mut self, now: Time, out: &mut Vec<LearnerEffect>) {
        if self.stage != Stage::Truncating {
            return;
        }
        self.heard = now;
        self.stage = Stage::Lacking;
        while let Some(packet) = self.waiting.pop_front() {
            if let Err(why) = self.take(packet, out) {
                return self.give_up(why, out);
            }
        }
    }

    /// Answers [`LearnerEffect::Truncate`] when what is to stay is not on disk alone any more: all
    /// that there is came in a snapshot behind it. What there is stays, and the next one to learn
    /// from this leader is to be told by [`Learner::ask_for_snapshot`].
    pub fn truncate_failed(&mut self, out: &mut Vec<LearnerEffect>) {
        if self.stage == Stage::Truncating {
            self.give_up("the history cannot be cut where the leader's goes on", out);
        }
    }

    /// Comes right after [`Learner::new`] when the leader of this epoch has demanded a cut that
    /// could not be made: it is to send a snapshot instead.
    ///
    /// That leader alone: it is asked by naming no last zxid, which is safe where this server's
    /// consent to the epoch cannot count any more. A new leader must hear how recent this server
    /// is, or it might reign without what only this server has.
    pub fn ask_for_snapshot(&mut self, epoch: Epoch) {
        self.needs_snapshot_of = Some(epoch);
    }

    /// The accepted epoch is on disk.
    pub fn accepted_epoch_written(
        &mut self,
        now: Time,
        epoch: Epoch,
        out: &mut Vec<LearnerEffect>,
    ) {
        if self.stage == Stage::Accepting && epoch == self.accepted_epoch {
            self.heard = now;
            self.accept(Some(self.current_epoch), out);
        }
    }

    /// The current epoch is on disk, and so is everything that was appended before.
    pub fn current_epoch_written(
        &mut self,
        _now: Time,
        epoch: Epoch,
        out: &mut Vec<LearnerEffect>,
    ) {
        if self.stage == Stage::Holding && epoch == self.accepted_epoch {
            self.stage = Stage::Held;
            self.current_epoch = epoch;
            self.acknowledge_history(out);
            self.intake.history_held();
            self.acknowledge(out);
        }
    }

    /// The log of this server is on disk up to here.
    pub fn log_synced(&mut self, _now: Time, zxid: Zxid, out: &mut Vec<LearnerEffect>) {
        self.intake.synced(zxid);
        self.acknowledge(out);
    }

    /// Answers [`LearnerEffect::Ping`] with what its clients did.
    pub fn pong(&mut self, ping: QuorumPacket, touched: &[Touched], out: &mut Vec<LearnerEffect>) {
        if self.stage != Stage::Serving {
            return;
        }
        let mut data = Vec::with_capacity(touched.len() * 12);
        for touched in touched {
            touched.write(&mut data);
        }
        self.send(QuorumPacket { data: Some(data.into()), ..ping }, out);
    }

    /// The link to the leader, once there is one.
    #[must_use]
    pub fn link(&self) -> Option<LinkId> {
        self.link
    }

    /// The leader.
    #[must_use]
    pub fn leader(&self) -> Sid {
        self.leader
    }

    /// Whether this server has followed this leader in this epoch before, or was about to.
    #[must_use]
    pub fn rejoins(&self) -> bool {
        self.rejoins
    }

    /// Whether the leader is present and this server has its history.
    #[must_use]
    pub fn serves(&self) -> bool {
        self.stage == Stage::Serving
    }

    /// [`Learner::next_deadline`] has come.
    pub fn deadline(&mut self, now: Time, out: &mut Vec<LearnerEffect>) {
        if self.patience().is_some_and(|patience| now >= self.heard + patience) {
            let why = match self.stage {
                Stage::Dialling => "the leader could not be reached in time",
                _ => "the leader was silent for too long",
            };
            self.give_up(why, out);
        } else if self.redial_at.is_some_and(|at| now >= at) {
            self.redial_at = None;
            out.push(LearnerEffect::Dial(self.leader));
        }
    }

    /// When [`Learner::deadline`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        let silent_at = self.patience().map(|patience| self.heard + patience);
        silent_at.into_iter().chain(self.redial_at).min()
    }

    /// How long the leader may be silent; `None` while it has no reason to speak.
    fn patience(&self) -> Option<Span> {
        let ZabSettings { tick_ms, init_limit, sync_limit, silence_max_ms, connect_limit, .. } =
            *self.settings;
        let init_ms = tick_ms.saturating_mul(init_limit);
        let sync_ms = tick_ms.saturating_mul(sync_limit);
        let silence_ms = match self.stage {
            Stage::Dialling => {
                let dial_ms = connect_limit.map_or(init_ms, |ticks| tick_ms.saturating_mul(ticks));
                // Who asked for a fast detector does not wait for a leader that fell at once.
                dial_ms.min(silence_max_ms.map_or(dial_ms, |max_ms| max_ms.max(DIAL_MIN_MS)))
            }
            Stage::Introduced | Stage::Accepted | Stage::Lacking => init_ms,
            Stage::Holding | Stage::Held => sync_ms,
            Stage::Serving => sync_ms.min(silence_max_ms.unwrap_or(sync_ms)),
            Stage::Accepting | Stage::Receiving | Stage::Truncating | Stage::Over => return None,
        };
        Some(Span::from_millis(silence_ms))
    }

    fn take(
        &mut self,
        packet: QuorumPacket,
        out: &mut Vec<LearnerEffect>,
    ) -> Result<(), &'static str> {
        match self.stage {
            Stage::Introduced if packet.kind == PacketKind::LeaderInfo => {
                self.invited(packet.zxid.epoch(), out)
            }
            Stage::Accepted => self.begin(&packet, out),
            Stage::Lacking | Stage::Holding | Stage::Held | Stage::Serving => {
                self.carry_on(packet, out)
            }
            Stage::Dialling
            | Stage::Introduced
            | Stage::Accepting
            | Stage::Receiving
            | Stage::Truncating
            | Stage::Over => Err("the leader spoke out of turn"),
        }
    }

    /// LEADERINFO: an epoch to accept.
    fn invited(&mut self, epoch: Epoch, out: &mut Vec<LearnerEffect>) -> Result<(), &'static str> {
        if epoch < self.accepted_epoch {
            return Err("the leader's epoch is behind the accepted one");
        }
        if epoch == self.accepted_epoch {
            // It may not count twice, but may follow.
            self.rejoins = true;
            if self.needs_snapshot_of == Some(epoch) {
                self.last = Zxid::NONE;
            }
            self.accept(None, out);
        } else {
            self.accepted_epoch = epoch;
            self.stage = Stage::Accepting;
            out.push(LearnerEffect::WriteAcceptedEpoch(epoch));
        }
        Ok(())
    }

    fn accept(&mut self, current_epoch: Option<Epoch>, out: &mut Vec<LearnerEffect>) {
        self.stage = Stage::Accepted;
        let data = ack_epoch_data(current_epoch);
        self.send(QuorumPacket::with_data(PacketKind::AckEpoch, self.last, data), out);
    }

    /// DIFF, TRUNC or SNAP: how this server is brought to the leader's history.
    fn begin(
        &mut self,
        packet: &QuorumPacket,
        out: &mut Vec<LearnerEffect>,
    ) -> Result<(), &'static str> {
        match packet.kind {
            PacketKind::Diff => {
                // Java: the zxid of a DIFF may name what is yet to come.
                self.intake.begin(self.last, false);
                self.stage = Stage::Lacking;
            }
            PacketKind::Trunc => {
                if packet.zxid > self.last {
                    return Err("a cut behind the end");
                }
                self.intake.begin(packet.zxid, false);
                self.stage = Stage::Truncating;
                out.push(LearnerEffect::Truncate(packet.zxid));
            }
            PacketKind::Snap => {
                self.intake.begin(packet.zxid, true);
                self.stage = Stage::Receiving;
            }
            _ => return Err("neither DIFF nor TRUNC nor SNAP"),
        }
        Ok(())
    }

    fn carry_on(
        &mut self,
        packet: QuorumPacket,
        out: &mut Vec<LearnerEffect>,
    ) -> Result<(), &'static str> {
        let serving = self.stage == Stage::Serving;
        let zxid = packet.zxid;
        match packet.kind {
            PacketKind::Proposal => {
                let body = packet.data.ok_or("a proposal of nothing")?;
                self.intake.propose(zxid, body, self.accepted_epoch, out)
            }
            // Configurations do not change, so there is nothing to activate.
            PacketKind::Commit | PacketKind::CommitAndActivate => {
                self.intake.commit(zxid, serving, out)
            }
            PacketKind::Inform => {
                let body = packet.data.ok_or("an inform of nothing")?;
                self.intake.propose(zxid, body, self.accepted_epoch, out)?;
                self.intake.commit(zxid, serving, out)
            }
            PacketKind::InformAndActivate => {
                let data = packet.data.unwrap_or_default();
                let (_leader, body) = data.split_at_checked(8).ok_or("an inform of nothing")?;
                self.intake.propose(zxid, body.into(), self.accepted_epoch, out)?;
                self.intake.commit(zxid, serving, out)
            }
            PacketKind::NewLeader => self.new_leader(zxid, out),
            PacketKind::UpToDate => self.up_to_date(out),
            PacketKind::Ping if serving => {
                out.push(LearnerEffect::Ping(packet));
                Ok(())
            }
            PacketKind::Revalidate if serving => {
                let mut data = Reader::new(packet.data.as_deref().unwrap_or_default());
                let (Ok(session), Ok(valid)) = (data.long(), data.bool()) else {
                    return Err("a revalidation cannot be read");
                };
                out.push(LearnerEffect::Revalidated(SessionId(session), valid));
                Ok(())
            }
            PacketKind::Sync if serving => {
                out.push(LearnerEffect::Synced);
                Ok(())
            }
            // Java: an answer to a ping before UPTODATE would be taken for something else.
            PacketKind::Ping | PacketKind::Unknown(_) => Ok(()),
            PacketKind::Request
            | PacketKind::Ack
            | PacketKind::Revalidate
            | PacketKind::Sync
            | PacketKind::FollowerInfo
            | PacketKind::Diff
            | PacketKind::Trunc
            | PacketKind::Snap
            | PacketKind::ObserverInfo
            | PacketKind::LeaderInfo
            | PacketKind::AckEpoch => Err("the leader spoke out of turn"),
        }
    }

    /// NEWLEADER: this is the whole history of earlier epochs.
    fn new_leader(&mut self, zxid: Zxid, out: &mut Vec<LearnerEffect>) -> Result<(), &'static str> {
        if self.stage != Stage::Lacking {
            return Err("a second NEWLEADER");
        }
        if zxid != self.accepted_epoch.first_zxid() {
            return Err("NEWLEADER of another epoch");
        }
        self.intake.history_ends();
        self.stage = Stage::Holding;
        out.push(LearnerEffect::WriteCurrentEpoch(self.accepted_epoch));
        Ok(())
    }

    fn up_to_date(&mut self, out: &mut Vec<LearnerEffect>) -> Result<(), &'static str> {
        if self.stage != Stage::Held {
            return Err("UPTODATE out of turn");
        }
        self.stage = Stage::Serving;
        // Java: Learner.syncWithLeader acknowledges NEWLEADER a second time here.
        self.acknowledge_history(out);
        out.push(LearnerEffect::Committed(self.intake.committed()));
        out.push(LearnerEffect::Serve(self.accepted_epoch));
        Ok(())
    }

    fn acknowledge_history(&self, out: &mut Vec<LearnerEffect>) {
        self.send(QuorumPacket::bare(PacketKind::Ack, self.accepted_epoch.first_zxid()), out);
    }

    /// Acknowledges what is on disk, each alone: Java's leader counts them one by one.
    fn acknowledge(&mut self, out: &mut Vec<LearnerEffect>) {
        if !matches!(self.stage, Stage::Held | Stage::Serving) {
            return;
        }
        while let Some(zxid) = self.intake.next_ack() {
            self.send(QuorumPacket::bare(PacketKind::Ack, zxid), out);
        }
    }

    fn send(&self, packet: QuorumPacket, out: &mut Vec<LearnerEffect>) {
        out.extend(self.link.map(|link| LearnerEffect::Send(link, packet)));
    }

    fn give_up(&mut self, why: &'static str, out: &mut Vec<LearnerEffect>) {
        if self.stage != Stage::Over {
            self.stage = Stage::Over;
            self.redial_at = None;
            out.push(LearnerEffect::GiveUp(why));
        }
    }
}

fn is_observer(config: &QuorumConfig, sid: Sid) -> bool {
    config.members.get(&sid).is_some_and(|member| member.role == PeerRole::Observer)
}

/// The first pauses between dials, and how many there are. Together about as long as Java tries.
const FIRST_REDIALS_MS: [u64; 5] = [5, 10, 20, 40, 80];
const DIALS_MAX: usize = 9;
/// A dial is given this long, however soon silence is to be noticed.
const DIAL_MIN_MS: u64 = 500;
