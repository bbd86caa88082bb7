//! The leader: discovery, synchronisation and broadcast, seen from the one who leads.
//!
//! ```text
//!  learner                                   leader
//!  FOLLOWERINFO(accepted epoch) ──────────►  a quorum? new epoch > all of them
//!                                            accepted epoch to disk
//!            ◄────────────────── LEADERINFO(epoch)
//!  ACKEPOCH(current epoch, last zxid) ────►  a quorum, none more recent than this server?
//!                                            current epoch to disk, and meanwhile
//!            ◄── DIFF | TRUNC | SNAP, history, NEWLEADER, and from here on all that happens
//!  ACK(epoch << 32) ──────────────────────►  a quorum has the history: established
//!            ◄──────────────────── UPTODATE
//! ```
//!
//! Every learner walks this path at its own pace; late ones find the epoch fixed. What is sent to
//! one learner is one ascending sequence: history, outstanding proposals, NEWLEADER, live traffic.
//!
//! Effects are to be carried out before the next call: a request that a learner sends before a
//! `sync` is proposed before the sync is looked at.

mod broadcast;
mod feeding;
mod link;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

use ostler_wire::acl::Id;
use ostler_wire::ids::{Epoch, SessionId, Sid, Zxid};
use ostler_wire::jute::{Put as _, Reader};
use ostler_wire::quorum::{
    ForwardedRequest, LearnerInfo, PacketKind, QuorumPacket, Touched, leader_info_data,
};

use crate::LinkId;
use crate::clock::{Span, Time};
use crate::history::{History, TxnBody};
use crate::quorum_config::QuorumConfig;
use crate::settings::ZabSettings;
use link::{Link, Stage};

/// What has to be done, in this order. Whatever goes to one link goes out in this order too.
#[derive(Debug)]
pub enum LeaderEffect {
    /// Send a packet.
    Send(LinkId, QuorumPacket),
    /// Send the stream of a snapshot of exactly this zxid, which is the last committed one (before
    /// broadcast: the last of the whole history). Its packet was sent right before.
    SendSnapshot(LinkId, Zxid),
    /// Send what is waiting, then close the link. It is not spoken of again.
    Close(LinkId, &'static str),
    /// Bring the accepted epoch to disk; answered by [`Leader::accepted_epoch_written`]. Also right
    /// before the end of a reign, which does not wait for it.
    WriteAcceptedEpoch(Epoch),
    /// Bring the current epoch to disk; answered by [`Leader::current_epoch_written`].
    WriteCurrentEpoch(Epoch),
    /// A quorum has the whole history, which is thereby committed: serve, and propose from
    /// `epoch << 32 | 1` on.
    Established(Epoch),
    /// Everything up to here is committed. Only after [`LeaderEffect::Established`].
    Committed(Zxid),
    /// A learner's client wants something.
    Request(LinkId, ForwardedRequest, Vec<Id>),
    /// A learner asks whether a session is alive; answered by [`Leader::revalidated`].
    Revalidate(LinkId, Touched),
    /// Signs of life of sessions that a learner holds.
    Touched(LinkId, Vec<Touched>),
    /// A learner is gone, and with it what its clients were doing.
    Left(LinkId),
    /// Stop leading, close all links (behind what is waiting to be sent) and look for a leader.
    GiveUp(&'static str),
}

/// How it stands with one learner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LearnerReport {
    /// Who; negative for servers without an id.
    pub sid: Sid,
    /// Whether it votes in this configuration.
    pub voter: bool,
    /// Whether it observes.
    pub observer: bool,
    /// Whether it has the leader's history.
    pub synced: bool,
}

/// A server that leads, or tries to.
#[derive(Debug)]
pub struct Leader {
    settings: Arc<ZabSettings>,
    config: Arc<QuorumConfig>,
    /// What NEWLEADER carries.
    config_text: Arc<[u8]>,
    phase: Phase,
    /// The epoch to be; fixed when discovery is over.
    epoch: Epoch,
    /// How recent this server is: its current epoch, and the last zxid of its tree.
    recency: (Epoch, Zxid),
    links: BTreeMap<LinkId, Link>,
    /// In which epoch the history of a member ends, as it told who it votes for.
    histories: BTreeMap<Sid, Epoch>,
    /// How many servers came without an id.
    nameless: i64,
    /// When the present phase has taken too long; of no meaning in broadcast.
    phase_ends: Time,
    ping_at: Time,
    current_epoch_on_disk: bool,
    /// What this server's log has on disk.
    synced: Zxid,
    /// Invariant: before broadcast the last of the history, then of this epoch.
    committed: Zxid,
    /// Invariant: not below `committed`, and equal to it before broadcast.
    proposed: Zxid,
    /// Invariant: everything behind `committed` up to `proposed`, without gaps.
    outstanding: VecDeque<(Zxid, TxnBody)>,
    /// The syncs that wait for a commit. Invariant: ascending.
    syncs: VecDeque<(Zxid, LinkId)>,
    /// When to end even if something is outstanding, once the end was announced.
    ends_at: Option<Time>,
    /// Reused room for counting acknowledgements.
    tally: Vec<(Zxid, Sid)>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Phase {
    /// Waits until a quorum has said which epochs it has accepted.
    Discovery,
    /// The epoch is fixed, and on its way to disk.
    Fixing,
    /// Waits until a quorum has accepted the epoch.
    Inviting,
    /// Waits until a quorum has the history, and the current epoch is on disk.
    Synchronisation,
    Broadcast,
    Over,
}

impl Leader {
    /// Begins with discovery. `last` is the last zxid of the tree, all of which is on disk.
    #[must_use]
    pub fn new(
        now: Time,
        settings: Arc<ZabSettings>,
        config: Arc<QuorumConfig>,
        accepted_epoch: Epoch,
        current_epoch: Epoch,
        last: Zxid,
        out: &mut Vec<LeaderEffect>,
    ) -> Self {
        let init_ms = settings.tick_ms.saturating_mul(settings.init_limit);
        let epoch_ms = init_ms.min(settings.epoch_wait_max_ms.unwrap_or(u64::MAX));
        let mut leader = Self {
            config_text: config.text().into_bytes().into(),
            config,
            phase: Phase::Discovery,
            epoch: Epoch(accepted_epoch.0 + 1),
            recency: (current_epoch, last),
            links: BTreeMap::new(),
            histories: BTreeMap::new(),
            nameless: 0,
            phase_ends: now + Span::from_millis(epoch_ms),
            ping_at: now + ping_interval(&settings),
            settings,
            current_epoch_on_disk: false,
            synced: last,
            committed: last,
            proposed: last,
            outstanding: VecDeque::new(),
            syncs: VecDeque::new(),
            ends_at: None,
            tally: Vec::new(),
        };
        leader.fix_epoch(now, out);
        leader
    }

    /// A learner has connected.
    pub fn link_up(&mut self, now: Time, link: LinkId) {
        self.links.insert(link, Link::new(now));
    }

    /// A learner's link is gone.
    pub fn link_down(&mut self, now: Time, link: LinkId, out: &mut Vec<LeaderEffect>) {
        if self.phase != Phase::Over && self.links.remove(&link).is_some() {
            out.push(LeaderEffect::Left(link));
            self.check_followers(now, out);
        }
    }

    /// A learner has sent a packet. `history` is what this server has logged so far.
    pub fn packet(
        &mut self,
        now: Time,
        link: LinkId,
        packet: QuorumPacket,
        history: &History,
        out: &mut Vec<LeaderEffect>,
    ) {
        let Some(from) = self.links.get_mut(&link).filter(|_| self.phase != Phase::Over) else {
            return;
        };
        from.hear(now);
        let result = match (packet.kind, from.stage) {
            (PacketKind::FollowerInfo | PacketKind::ObserverInfo, Stage::Silent) => {
                self.introduced(now, link, &packet, out)
            }
            (PacketKind::AckEpoch, Stage::Invited) => {
                self.accepted(now, link, &packet, history, out)
            }
            (PacketKind::Ack, Stage::Fed | Stage::Synced) => self.ack(now, link, packet.zxid, out),
            (PacketKind::Ping, Stage::Synced) => pong(link, &packet, out),
            (PacketKind::Request, Stage::Synced) => self.request(link, packet, out),
            (PacketKind::Revalidate, Stage::Synced) => revalidate(link, &packet, out),
            // Java: LearnerHandler ignores what it does not know.
            (PacketKind::Unknown(_), Stage::Synced) => Ok(()),
            _ => Err("the learner spoke out of turn"),
        };
        if let (Err(why), true) = (result, self.phase != Phase::Over) {
            self.drop_link(now, link, why, out);
        }
    }

    /// The accepted epoch is on disk.
    pub fn accepted_epoch_written(&mut self, now: Time, epoch: Epoch, out: &mut Vec<LeaderEffect>) {
        if self.phase != Phase::Fixing || epoch != self.epoch {
            return;
        }
        self.enter(now, Phase::Inviting);
        for (id, link) in &mut self.links {
            if link.stage == Stage::Introduced {
                invite(*id, link, epoch, out);
            }
        }
        // Nobody can have accepted the epoch yet, but this server may be a quorum.
        self.end_discovery(now, out);
    }

    /// The current epoch is on disk.
    pub fn current_epoch_written(&mut self, now: Time, epoch: Epoch, out: &mut Vec<LeaderEffect>) {
        if self.phase == Phase::Synchronisation && epoch == self.epoch {
            self.current_epoch_on_disk = true;
            self.establish(now, out);
        }
    }

    /// Answers [`LeaderEffect::Revalidate`].
    pub fn revalidated(
        &mut self,
        link: LinkId,
        session: SessionId,
        valid: bool,
        out: &mut Vec<LeaderEffect>,
    ) {
        if self.links.contains_key(&link) {
            let mut data = Vec::with_capacity(9);
            data.put_long(session.0);
            data.put_bool(valid);
            let answer = QuorumPacket::with_data(PacketKind::Revalidate, Zxid::NONE, data);
            out.push(LeaderEffect::Send(link, answer));
        }
    }

    /// A member that looks for a leader has a history that ends in this epoch.
    pub fn heard_history(&mut self, member: Sid, epoch: Epoch) {
        if self.is_member(member) {
            self.histories.insert(member, epoch);
        }
    }

    /// The same servers have a later version of their configuration: learners that know it may
    /// follow.
    pub fn adopt(&mut self, config: Arc<QuorumConfig>) {
        self.config_text = config.text().into_bytes().into();
        self.config = config;
    }

    /// The whole snapshot has been handed to the network: from here on the learner's time runs as
    /// without one.
    pub fn snapshot_sent(&mut self, now: Time, link: LinkId) {
        if let Some(link) = self.links.get_mut(&link).filter(|link| link.snapshot) {
            link.snapshot = false;
            link.hear(now);
        }
    }

    /// [`Leader::next_deadline`] has come.
    pub fn deadline(&mut self, now: Time, out: &mut Vec<LeaderEffect>) {
        if self.phase == Phase::Over {
            return;
        }
        if self.phase < Phase::Broadcast && now >= self.phase_ends {
            return self.give_up(self.why_too_long(), out);
        }
        if self.ends_at.is_some_and(|at| now >= at) {
            return self.give_up("the reign was ended, with proposals outstanding", out);
        }
        if now >= self.ping_at {
            self.ping_at = now + ping_interval(&self.settings);
            self.ping(now, out);
            self.check_followers(now, out);
        }
    }

    /// When [`Leader::deadline`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Time {
        let next = self.ends_at.map_or(self.ping_at, |at| at.min(self.ping_at));
        if self.phase < Phase::Broadcast { next.min(self.phase_ends) } else { next }
    }

    /// Whether it still waits for a quorum to connect.
    #[must_use]
    pub fn is_in_discovery(&self) -> bool {
        self.phase == Phase::Discovery
    }

    /// Whether it would carry on what is proposed now: not before a quorum has its history, nor
    /// when its reign is about to end.
    #[must_use]
    pub fn takes_proposals(&self) -> bool {
        self.phase == Phase::Broadcast && self.ends_at.is_none()
    }

    /// Ends the reign in good order: what is outstanding is committed first, but nothing new is
    /// taken ([`Leader::takes_proposals`]), neither from learners; then [`LeaderEffect::GiveUp`].
    pub fn hand_over(&mut self, now: Time, out: &mut Vec<LeaderEffect>) {
        if self.phase < Phase::Broadcast {
            return self.give_up("the server is about to end", out);
        }
        if self.takes_proposals() {
            self.ends_at = Some(now + Span::from_millis(self.settings.tick_ms));
            self.end_if_due(out);
        }
    }

    /// The epoch that it leads, or will lead unless a learner has accepted a later one.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Who is at the other end of a link, once it has said so.
    #[must_use]
    pub fn sid(&self, link: LinkId) -> Option<Sid> {
        self.links.get(&link).filter(|link| link.stage > Stage::Silent).map(|link| link.sid)
    }

    /// Syncs of learners that wait for a commit.
    #[must_use]
    pub fn pending_syncs(&self) -> usize {
        self.syncs.len()
    }

    /// Its learners.
    #[must_use]
    pub fn report(&self) -> Vec<LearnerReport> {
        let introduced = self.links.values().filter(|link| link.stage > Stage::Silent);
        let report = introduced.map(|link| LearnerReport {
            sid: link.sid,
            voter: link.voter,
            observer: link.observer,
            synced: link.stage == Stage::Synced,
        });
        report.collect()
    }

    /// FOLLOWERINFO or OBSERVERINFO: who it is, and which epoch it has accepted.
    fn introduced(
        &mut self,
        now: Time,
        id: LinkId,
        packet: &QuorumPacket,
        out: &mut Vec<LeaderEffect>,
    ) -> Result<(), &'static str> {
        let info = match packet.data.as_deref() {
            Some(data) => LearnerInfo::decode(data).map_err(|_| "who it is cannot be read")?,
            None => {
                self.nameless += 1;
                LearnerInfo {
                    sid: Sid(-self.nameless),
                    protocol_version: ostler_wire::quorum::PROTOCOL_VERSION,
                    config_version: 0,
                }
            }
        };
        if info.config_version > self.config.version {
            return Err("the learner knows a later configuration");
        }
        if info.protocol_version < ostler_wire::quorum::PROTOCOL_VERSION {
            return Err("the learner is older than ZooKeeper 3.4");
        }
        if info.sid == self.settings.my_sid {
            return Err("the learner has the id of this server");
        }
        let accepted = packet.zxid.epoch();
        if accepted > EPOCH_MAX {
            return Err("the learner has accepted an epoch that cannot be");
        }
        if accepted > self.epoch && self.phase > Phase::Discovery && self.is_member(info.sid) {
            // A quorum had accepted that epoch before anybody's history could be of it, so that no
            // leader of an earlier one can have come since: these data are not of this ensemble, or
            // a quorum has lost its disks. To make way would put them in place of all there is.
            if self.histories.get(&info.sid).is_some_and(|history| *history > self.epoch) {
                return Err("the learner's data are of a later epoch");
            }
            self.make_way(now, accepted, out);
            return Err("the learner has accepted a later epoch");
        }
        // A server has one link; if it opens another one, the first is dead.
        let is_it = |(other, link): &(&LinkId, &Link)| {
            link.stage > Stage::Silent && link.sid == info.sid && **other != id
        };
        if let Some(old) = self.links.iter().find(is_it).map(|(old, _)| *old) {
            self.links.remove(&old);
            out.push(LeaderEffect::Close(old, "the learner has connected again"));
            out.push(LeaderEffect::Left(old));
        }
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        link.sid = info.sid;
        link.observer = packet.kind == PacketKind::ObserverInfo;
        link.voter = !link.observer && self.config.is_voter(info.sid);
        link.stage = Stage::Introduced;
        if self.phase == Phase::Discovery {
            self.epoch = self.epoch.max(Epoch(accepted.0 + 1));
            self.fix_epoch(now, out);
        } else if self.phase > Phase::Fixing {
            invite(id, link, self.epoch, out);
        }
        Ok(())
    }

    /// A member has accepted a later epoch, of a leader that came to nothing. It can follow nobody
    /// but the leader of a still later one; so there has to be one.
    // Java: such a server is left out until the next election.
    fn make_way(&mut self, now: Time, accepted: Epoch, out: &mut Vec<LeaderEffect>) {
        if self.ends_at.is_some() {
            return;
        }
        // Whoever leads next hears of it from this server, if not from that one.
        out.push(LeaderEffect::WriteAcceptedEpoch(accepted));
        if self.phase == Phase::Broadcast {
            self.hand_over(now, out);
        } else {
            self.give_up("a member has accepted a later epoch", out);
        }
    }

    fn is_member(&self, sid: Sid) -> bool {
        self.config.members.contains_key(&sid)
    }

    /// Ends the wait for accepted epochs if a quorum has spoken.
    fn fix_epoch(&mut self, now: Time, out: &mut Vec<LeaderEffect>) {
        if self.quorum_of(|link| link.stage >= Stage::Introduced) {
            self.enter(now, Phase::Fixing);
            out.push(LeaderEffect::WriteAcceptedEpoch(self.epoch));
        }
    }

    /// ACKEPOCH: it follows nobody of an earlier epoch any more.
    fn accepted(
        &mut self,
        now: Time,
        id: LinkId,
        packet: &QuorumPacket,
        history: &History,
        out: &mut Vec<LeaderEffect>,
    ) -> Result<(), &'static str> {
        let data = packet.data.as_deref().unwrap_or_default();
        let current = Reader::new(data).int().map_err(|_| "no current epoch in ACKEPOCH")?;
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        link.last = packet.zxid;
        link.stage = Stage::Accepted;
        if self.phase == Phase::Synchronisation || self.phase == Phase::Broadcast {
            // The quorum stands: whatever this learner has beyond it, nobody was told of.
            return self.feed(now, id, history, out);
        }
        // -1 says that it had accepted the epoch before: it may not count twice.
        if let Ok(current) = u32::try_from(current).map(Epoch) {
            if (current, link.last) > self.recency {
                return Err("the learner is more recent than its leader");
            }
            // Java: Leader.waitForEpochAck; who has lost its data vouches for nothing.
            link.consents = link.voter && link.last != Zxid::NONE;
        }
        self.end_discovery(now, out);
        if self.phase == Phase::Synchronisation {
            let waiting = self.links.iter().filter(|(_, link)| link.stage == Stage::Accepted);
            for id in waiting.map(|(id, _)| *id).collect::<Vec<_>>() {
                if let Err(why) = self.feed(now, id, history, out) {
                    self.drop_link(now, id, why, out);
                }
            }
        }
        Ok(())
    }

    fn end_discovery(&mut self, now: Time, out: &mut Vec<LeaderEffect>) {
        if self.phase == Phase::Inviting && self.quorum_of(|link| link.consents) {
            self.enter(now, Phase::Synchronisation);
            out.push(LeaderEffect::WriteCurrentEpoch(self.epoch));
        }
    }

    /// Begins to broadcast if a quorum has the history.
    fn establish(&mut self, now: Time, out: &mut Vec<LeaderEffect>) {
        let ready = self.phase == Phase::Synchronisation && self.current_epoch_on_disk;
        if !ready || !self.quorum_of(|link| link.stage == Stage::Synced) {
            return;
        }
        self.enter(now, Phase::Broadcast);
        self.committed = self.epoch.first_zxid();
        self.proposed = self.committed;
        out.push(LeaderEffect::Established(self.epoch));
        for (id, link) in &mut self.links {
            if link.stage == Stage::Synced {
                // It had no reason to speak while it waited for this.
                link.hear(now);
                out.push(up_to_date(*id));
            }
        }
    }

    fn enter(&mut self, now: Time, phase: Phase) {
        assert!(phase > self.phase, "phases follow each other");
        self.phase = phase;
        let init_ms = self.settings.tick_ms.saturating_mul(self.settings.init_limit);
        // The wait for the disk is part of the wait for epochs.
        if phase != Phase::Inviting {
            self.phase_ends = now + Span::from_millis(init_ms);
        }
    }

    fn why_too_long(&self) -> &'static str {
        match self.phase {
            Phase::Discovery => "no quorum connected in time",
            Phase::Fixing | Phase::Inviting => "no quorum accepted the epoch in time",
            Phase::Synchronisation | Phase::Broadcast | Phase::Over => {
                "no quorum took the history in time"
            }
        }
    }

    /// Signs of life to all who can take them; who gives none is dropped.
    fn ping(&mut self, now: Time, out: &mut Vec<LeaderEffect>) {
        let zxid = self.proposed.max(self.epoch.first_zxid());
        let (reigns, settings) = (self.phase == Phase::Broadcast, &self.settings);
        self.links.retain(|id, link| {
            let fault = link.fault(now, reigns, settings);
            if let Some(why) = fault {
                out.push(LeaderEffect::Close(*id, why));
                out.push(LeaderEffect::Left(*id));
            } else if link.is_fed() {
                out.push(LeaderEffect::Send(*id, QuorumPacket::bare(PacketKind::Ping, zxid)));
            }
            fault.is_none()
        });
    }

    /// Without a quorum there is nothing to lead.
    fn check_followers(&mut self, now: Time, out: &mut Vec<LeaderEffect>) {
        if self.phase == Phase::Broadcast
            && !self.quorum_of(|link| link.follows(now, &self.settings))
        {
            self.give_up("the quorum is lost", out);
        }
    }

    fn drop_link(
        &mut self,
        now: Time,
        link: LinkId,
        why: &'static str,
        out: &mut Vec<LeaderEffect>,
    ) {
        out.push(LeaderEffect::Close(link, why));
        self.link_down(now, link, out);
    }

    fn give_up(&mut self, why: &'static str, out: &mut Vec<LeaderEffect>) {
        self.phase = Phase::Over;
        out.push(LeaderEffect::GiveUp(why));
    }

    /// Whether this server and the voters of whom `holds` is true are a quorum.
    fn quorum_of(&self, holds: impl Fn(&Link) -> bool) -> bool {
        let voters = self.links.values().filter(|link| link.voter && holds(link));
        let mut sids: BTreeSet<Sid> = voters.map(|link| link.sid).collect();
        sids.insert(self.settings.my_sid);
        self.config.contains_quorum(&sids)
    }
}

/// Half a tick as in Java, or more often if silence is to be noticed sooner.
fn ping_interval(settings: &ZabSettings) -> Span {
    let half_ms = settings.tick_ms / 2;
    let quarter_ms = settings.silence_max_ms.map_or(half_ms, |max_ms| max_ms / 4);
    Span::from_millis(half_ms.min(quarter_ms).max(1))
}

fn invite(id: LinkId, link: &mut Link, epoch: Epoch, out: &mut Vec<LeaderEffect>) {
    link.stage = Stage::Invited;
    let zxid = epoch.first_zxid();
    let packet = QuorumPacket::with_data(PacketKind::LeaderInfo, zxid, leader_info_data());
    out.push(LeaderEffect::Send(id, packet));
}

fn up_to_date(id: LinkId) -> LeaderEffect {
    LeaderEffect::Send(id, QuorumPacket::bare(PacketKind::UpToDate, Zxid::NONE))
}

fn pong(
    id: LinkId,
    packet: &QuorumPacket,
    out: &mut Vec<LeaderEffect>,
) -> Result<(), &'static str> {
    let data = packet.data.as_deref().unwrap_or_default();
    let touched = Touched::read_all(data).map_err(|_| "an answer to a ping cannot be read")?;
    if !touched.is_empty() {
        out.push(LeaderEffect::Touched(id, touched));
    }
    Ok(())
}

fn revalidate(
    id: LinkId,
    packet: &QuorumPacket,
    out: &mut Vec<LeaderEffect>,
) -> Result<(), &'static str> {
    let mut data = Reader::new(packet.data.as_deref().unwrap_or_default());
    let asked = Touched::read(&mut data).map_err(|_| "a revalidation cannot be read")?;
    out.push(LeaderEffect::Revalidate(id, asked));
    Ok(())
}

/// Epochs are ints on the wire, and there must be one more.
const EPOCH_MAX: Epoch = Epoch(i32::MAX as u32 - 1);
