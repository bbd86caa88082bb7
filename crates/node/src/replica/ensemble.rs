//! A member of an ensemble: from role to role.
//!
//! ```text
//!            everything is on disk        decided
//!  settling ───────────────────► looking ─────────► leading ──┐
//!     ▲                             └─────────────► learning ─┤
//!     └────────── lost a quorum, the leader, or a link ───────┘
//! ```
//!
//! The machines of [`ostler_zab`] know the protocol; here they get what happens and what they want
//! is done. They see transactions as bytes; what those mean is the business of the roles
//! (`leading`, `learning`). Between roles this server *settles*: it votes for what is on its disk,
//! so it waits until the log has done all that it was asked to.
//!
//! Clients are kept over an election if there is a new leader within a tick: nothing of theirs is
//! answered meanwhile, and who waits for a write is disconnected, as nobody can say any more
//! whether it came about.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use ostler_wire::ids::{Epoch, Sid, Zxid};
use ostler_wire::quorum::QuorumPacket;
use ostler_wire::vote::{Notification, ServerState};
use ostler_zab::LinkId;
use ostler_zab::election::{Election, ElectionEffect};
use ostler_zab::quorum_config::QuorumConfig;
use ostler_zab::settings::ZabSettings;

use super::leading::Leading;
use super::learning::Learning;
use super::local_sessions::LocalSessions;
use super::pipeline::InFlight;
use super::{Effect, EpochFile, Input, LogOp, Replica};
use crate::clock::{Clock, Span, Time};
use crate::limits::{EARLY_LINKS_MAX, EARLY_PACKETS_MAX};
use crate::messages::{Notice, Service};
use crate::status::{EnsembleMetrics, EnsembleReport, Mode, Sizes};

/// What a member has besides what every server has.
#[derive(Debug)]
pub(super) struct Ensemble {
    pub(super) zab: Arc<ZabSettings>,
    pub(super) config: Arc<QuorumConfig>,
    pub(super) accepted_epoch: Epoch,
    pub(super) current_epoch: Epoch,
    /// Whether its history counts; not before it has one.
    pub(super) may_vote: bool,
    pub(super) election: Election,
    pub(super) role: Role,
    /// How clients were last said to be served.
    pub(super) service: Service,
    /// Since when in the present role; 0 if they are not.
    serving_since: Time,
    /// When those who are held are let go if there is no leader.
    held_until: Option<Time>,
    /// When reads are to be served if there is no leader by then.
    pub(super) read_only_at: Option<Time>,
    /// What the log has to do before this server may settle.
    pub(super) log_duties: LogDuties,
    /// Learners that are connected, and whether they are being disconnected.
    pub(super) links: BTreeMap<LinkId, LinkState>,
    pub(super) digests_differ: bool,
    /// Sessions of which only this server knows, if such are made here.
    pub(super) local: Option<LocalSessions>,
    pub(super) metrics: EnsembleMetrics,
    /// The epoch whose leader demanded a cut that could not be made, until there is a snapshot.
    pub(super) needs_snapshot_of: Option<Epoch>,
    /// Whether it is not to look for a leader any more.
    retires: bool,
    /// Roles since it served last.
    vain_roles: u32,
    /// When it may look for a leader again.
    rests_until: Time,
}

/// What the log was asked and has not answered, beside appending.
#[derive(Debug, Default)]
pub(super) struct LogDuties {
    /// Epochs to be written.
    pub(super) epochs: usize,
    /// A cut to be made, up to here.
    pub(super) truncation: Option<Zxid>,
    /// A tree is to be installed: done when an epoch was written that was asked for later.
    pub(super) is_installing: bool,
}

/// How it stands with a learner's link.
#[derive(Debug)]
pub(super) enum LinkState {
    /// It came before this server knew that it leads, with these packets.
    Early(Vec<QuorumPacket>),
    /// It is one of the leader's.
    Up,
    /// It is being closed.
    Closing,
}

/// What a member does.
#[derive(Debug)]
pub(super) enum Role {
    /// It waits for its disk.
    Settling,
    /// It looks for a leader.
    Looking,
    /// It leads, or tries to.
    Leading(Box<Leading>),
    /// It follows or observes, or tries to.
    Learning(Box<Learning>),
    /// It has handed over and does nothing any more.
    Retired,
}

impl Ensemble {
    pub(super) fn new(
        zab: Arc<ZabSettings>,
        config: Arc<QuorumConfig>,
        (accepted_epoch, current_epoch): (Epoch, Epoch),
        may_vote: bool,
        local: Option<LocalSessions>,
    ) -> Self {
        Self {
            election: Election::new(Arc::clone(&zab), Arc::clone(&config)),
            zab,
            config,
            accepted_epoch,
            current_epoch,
            may_vote,
            role: Role::Settling,
            service: Service::Down,
            serving_since: Time::default(),
            held_until: None,
            read_only_at: None,
            log_duties: LogDuties::default(),
            links: BTreeMap::new(),
            digests_differ: false,
            local,
            metrics: EnsembleMetrics::default(),
            needs_snapshot_of: None,
            retires: false,
            vain_roles: 0,
            rests_until: Time::default(),
        }
    }

    /// Whether requests become transactions here, now.
    pub(super) fn orders(&self) -> bool {
        matches!(&self.role, Role::Leading(leading) if leading.orders())
    }

    /// Whether this server leads, and clients are served.
    pub(super) fn reigns(&self) -> bool {
        matches!(&self.role, Role::Leading(leading) if leading.is_established())
    }

    pub(super) fn mode(&self) -> Mode {
        match &self.role {
            Role::Leading(leading) if leading.is_established() => Mode::Leader,
            Role::Learning(learning) if !learning.serves() => Mode::Down,
            Role::Learning(_) if self.election.state() == ServerState::Observing => Mode::Observer,
            Role::Learning(_) => Mode::Follower,
            _ if self.service == Service::ReadOnly => Mode::ReadOnly,
            Role::Leading(_) | Role::Settling | Role::Looking | Role::Retired => Mode::Down,
        }
    }

    pub(super) fn report(&self, at: Clock) -> EnsembleReport {
        let mut report = EnsembleReport {
            state: self.election.state(),
            leader: None,
            accepted_epoch: self.accepted_epoch,
            current_epoch: self.current_epoch,
            learners: Vec::new(),
            pending_syncs: 0,
            proposals: Sizes::default(),
            local_expiry: self.local.as_ref().map(|local| local.report(at)),
            metrics: self.metrics,
            serving_since_ms: self.serving_since.millis(),
            config: self.config.text(),
        };
        match &self.role {
            Role::Leading(leading) => {
                report.leader = Some(self.zab.my_sid);
                report.learners = leading.learners();
                report.pending_syncs = leading.pending_syncs();
                report.proposals = leading.proposals();
            }
            Role::Learning(learning) => report.leader = Some(learning.leader_sid()),
            Role::Settling | Role::Looking | Role::Retired => {}
        }
        report
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        let role = match &self.role {
            Role::Leading(leading) => Some(leading.next_deadline()),
            Role::Learning(learning) => learning.next_deadline(),
            Role::Settling | Role::Looking | Role::Retired => None,
        };
        let is_over = matches!(self.role, Role::Retired);
        let election = self.election.next_deadline().filter(|_| !is_over);
        let rests = matches!(self.role, Role::Settling) && self.is_done_with_log();
        let rested = rests.then_some(self.rests_until);
        let local = self.local.as_ref().filter(|_| self.hears_clients());
        let local = local.and_then(LocalSessions::next_deadline);
        let service = [self.held_until, self.read_only_at, local];
        [role, election, rested].into_iter().chain(service).flatten().min()
    }

    /// What follows from a step that is being published, besides its publication.
    pub(super) fn before_publishing(&mut self, next: &mut InFlight) {
        if let (Role::Learning(learning), Some(session)) = (&mut self.role, next.awaited_by) {
            let step = &mut next.step;
            learning.forwarding.committed(session, step.zxid, &mut step.notices);
        }
    }

    /// Whether clients can give a sign of life.
    fn hears_clients(&self) -> bool {
        matches!(self.service, Service::Up | Service::ReadOnly)
    }

    /// Whether the log has done all that it was asked to, but for appending.
    fn is_done_with_log(&self) -> bool {
        let LogDuties { epochs, truncation, is_installing } = self.log_duties;
        epochs == 0 && truncation.is_none() && !is_installing
    }
}

impl Replica {
    pub(super) fn leading_mut(&mut self) -> Option<&mut Leading> {
        match &mut self.ensemble.as_mut()?.role {
            Role::Leading(leading) => Some(leading),
            _ => None,
        }
    }

    pub(super) fn learning(&self) -> Option<&Learning> {
        match &self.ensemble.as_ref()?.role {
            Role::Learning(learning) => Some(learning),
            _ => None,
        }
    }

    pub(super) fn learning_mut(&mut self) -> Option<&mut Learning> {
        match &mut self.ensemble.as_mut()?.role {
            Role::Learning(learning) => Some(learning),
            _ => None,
        }
    }

    /// Only members have peers.
    pub(super) fn member(&mut self) -> &mut Ensemble {
        self.ensemble.as_mut().expect("a server that is alone hears of no peers")
    }

    /// Takes what the other servers, and the log for them, have to say.
    pub(super) fn hear_peers(&mut self, at: Clock, input: Input, out: &mut Vec<Effect>) {
        match input {
            Input::Vote(from, notification) => self.vote(at, from, &notification, out),
            Input::ElectionConnected(sid) => {
                self.elect(at, out, |election, to| election.connected(at.now, sid, to));
            }
            Input::ElectionUnreachable(sid) => {
                self.elect(at, out, |election, to| election.unreachable(at.now, sid, to));
            }
            Input::Dialled(sid, link) => self.dialled(at, sid, link, out),
            Input::Accepted(link) => self.accepted(at, link, out),
            Input::Packet(link, packet) => self.packet(at, link, packet, out),
            Input::Snapshot(link, tree) => self.snapshot_received(at, link, tree, out),
            Input::SnapshotSent(link) => {
                if let Some(leading) = self.leading_mut() {
                    leading.call(|leader, _| leader.snapshot_sent(at.now, link));
                }
            }
            Input::LinkDown(link) => self.link_down(at, link),
            Input::EpochWritten(file, epoch) => self.epoch_written(at, file, epoch),
            Input::Truncated(found) => self.truncated(at, found),
            Input::TruncateFailed(found) => self.truncate_failed(at, found, out),
            Input::HandOver => self.hand_over(at, out),
            Input::FromShard(_) | Input::LogSynced(_) | Input::SnapshotEnded | Input::Deadline => {
                unreachable!("it concerns every server")
            }
        }
    }

    /// Does what the roles want, and moves on to the next role, until nothing is left to do.
    pub(super) fn drive(&mut self, at: Clock, out: &mut Vec<Effect>) {
        loop {
            let is_synced = self.pipeline.is_synced();
            let member = self.member();
            let is_settled = is_synced && member.is_done_with_log() && at.now >= member.rests_until;
            match &mut member.role {
                Role::Settling if is_settled => self.look(at, out),
                Role::Leading(leading) => {
                    let Some(effect) = leading.next_effect() else { return };
                    self.do_for_leader(at, effect, out);
                }
                Role::Learning(learning) => {
                    let Some(effect) = learning.next_effect() else { return };
                    self.do_for_learner(at, effect, out);
                }
                Role::Settling | Role::Looking | Role::Retired => return,
            }
        }
    }

    pub(super) fn deadline(&mut self, at: Clock, out: &mut Vec<Effect>) {
        if self.orders() {
            self.order_what_is_due(at, out);
        }
        let Some(member) = &mut self.ensemble else { return };
        if member.hears_clients() {
            self.end_local_sessions(at, out);
        }
        let member = self.member();
        let is_due = |deadline: Option<Time>| deadline.is_some_and(|deadline| deadline <= at.now);
        match &mut member.role {
            Role::Leading(leading) if is_due(Some(leading.next_deadline())) => {
                leading.call(|leader, to| leader.deadline(at.now, to));
            }
            Role::Learning(learning) if is_due(learning.next_deadline()) => {
                learning.call(|learner, to| learner.deadline(at.now, to));
            }
            _ => {}
        }
        let (held_until, read_only_at) = (member.held_until, member.read_only_at);
        if is_due(held_until) {
            self.serve_as(at, Service::Down, Vec::new(), out);
        }
        if is_due(read_only_at) {
            self.member().read_only_at = None;
            self.serve_as(at, Service::ReadOnly, Vec::new(), out);
        }
        if is_due(self.member().election.next_deadline()) {
            self.elect(at, out, |election, to| election.deadline(at.now, to));
        }
    }

    /// Hands something to the election and does what it wants.
    fn elect(
        &mut self,
        at: Clock,
        out: &mut Vec<Effect>,
        call: impl FnOnce(&mut Election, &mut Vec<ElectionEffect>),
    ) {
        let member = self.member();
        if matches!(member.role, Role::Retired) {
            return;
        }
        let mut effects = Vec::new();
        call(&mut member.election, &mut effects);
        for effect in effects {
            match effect {
                ElectionEffect::Send(to, notification) => {
                    out.push(Effect::SendVote(to, notification));
                }
                ElectionEffect::Connect(to) => out.push(Effect::ConnectElection(to)),
                ElectionEffect::Decided(vote) => self.decided(at, vote.leader, out),
            }
        }
    }

    fn vote(&mut self, at: Clock, from: Sid, notification: &Notification, out: &mut Vec<Effect>) {
        self.adopt_version(from, notification);
        let member = self.member();
        let is_alone = matches!(&member.role, Role::Leading(leading) if leading.is_in_discovery());
        if is_alone && member.election.is_outvoted(from, notification) {
            self.leave(at, "a better leader is being elected", out);
        }
        if let (Role::Leading(leading), Some(epoch)) =
            (&mut self.member().role, own_history(from, notification))
        {
            leading.call(|leader, _| leader.heard_history(from, epoch));
        }
        self.elect(at, out, |election, to| election.notification(at.now, from, notification, to));
    }

    /// Another member knows a later version of the configuration, with the same members.
    fn adopt_version(&mut self, from: Sid, notification: &Notification) {
        let member = self.member();
        let Some(later) = member.config.at_version_of(&notification.config) else { return };
        if !member.config.is_voter(from) {
            return;
        }
        member.election.adopt(Arc::clone(&later));
        if let Role::Leading(leading) = &mut member.role {
            leading.call(|leader, _| leader.adopt(Arc::clone(&later)));
        }
        member.config = later;
    }

    /// Begins a round: everything this server has is on disk.
    fn look(&mut self, at: Clock, out: &mut Vec<Effect>) {
        let last = self.last_zxid();
        let member = self.member();
        let current_epoch = member.current_epoch;
        member.role = Role::Looking;
        member.metrics.searches += 1;
        self.plan_read_only(at);
        self.elect(at, out, |election, to| election.look(at.now, last, current_epoch, to));
    }

    /// How far this server's history goes, as others hear of it; -1 if it has none.
    fn last_zxid(&self) -> Zxid {
        let may_vote = self.ensemble.as_ref().is_none_or(|member| member.may_vote);
        if may_vote { self.pipeline.head.last_zxid() } else { Zxid::NONE }
    }

    /// The election is over.
    fn decided(&mut self, at: Clock, leader: Sid, out: &mut Vec<Effect>) {
        let last = self.last_zxid();
        let member = self.member();
        assert!(matches!(member.role, Role::Looking), "only who looks finds a leader");
        let (zab, config) = (Arc::clone(&member.zab), Arc::clone(&member.config));
        let epochs = (member.accepted_epoch, member.current_epoch);
        self.end_read_only(at, out);
        let member = self.member();
        if member.election.state() != ServerState::Leading {
            let reason = "this server does not lead";
            self.close_links(reason, out);
            let mut learning = Learning::new(at.now, zab, config, leader, epochs, last);
            if let Some(epoch) = self.member().needs_snapshot_of {
                learning.call(|learner, _| learner.ask_for_snapshot(epoch));
            }
            self.member().role = Role::Learning(Box::new(learning));
            return;
        }
        member.role = Role::Leading(Box::new(Leading::new(at.now, zab, config, epochs, last)));
        let links: Vec<LinkId> = member.links.keys().copied().collect();
        for link in links {
            let state = self.member().links.insert(link, LinkState::Up);
            match state {
                Some(LinkState::Early(packets)) => {
                    self.link_up(at, link);
                    for packet in packets {
                        self.leader_packet(at, link, packet);
                    }
                }
                Some(state) => drop(self.member().links.insert(link, state)),
                None => unreachable!("it was in the map"),
            }
        }
    }

    /// The present role is over, and the next one is to look for a leader.
    pub(super) fn leave(&mut self, at: Clock, reason: &'static str, out: &mut Vec<Effect>) {
        // Who can be answered is answered.
        self.publish_exactly(self.pipeline.agreed(), out);
        let member = self.member();
        let role = core::mem::replace(&mut member.role, Role::Settling);
        let mut told = self.pipeline.withdraw();
        let retires = self.member().retires;
        match role {
            Role::Leading(leading) => {
                self.close_links(reason, out);
                self.sessions.clear();
                told.extend(leading.held.iter().map(|asked| asked.dropped()));
            }
            Role::Learning(learning) => {
                let link = learning.link();
                out.extend(link.map(|link| Effect::CloseLink(link, reason)));
                told.extend(learning.forwarding.withdraw());
            }
            Role::Settling | Role::Looking | Role::Retired => {
                unreachable!("a role that cannot be left")
            }
        }
        let is_installing = self.member().log_duties.is_installing;
        if is_installing && self.member().log_duties.epochs == 0 {
            // Its answer says that everything before is on disk.
            let epoch = self.member().current_epoch;
            self.write_epoch(EpochFile::Current, epoch, out);
        }
        self.rest(at);
        let service = if self.member().service == Service::Down || retires {
            Service::Down
        } else {
            Service::Held
        };
        self.serve_as(at, service, told, out);
        if retires {
            self.member().role = Role::Retired;
        }
    }

    /// Waits a little before the next election if several roles have come to nothing: what was
    /// wrong with them may well be so again at once.
    fn rest(&mut self, at: Clock) {
        let rest_max_ms = self.settings.observer_rest_max_ms;
        let member = self.ensemble.as_mut().expect("only members look for a leader");
        if rest_max_ms > 0 && !member.config.is_voter(member.zab.my_sid) {
            // As many observers as there are, they do not all come at once.
            member.rests_until = at.now + Span::from_millis(self.rng.below(rest_max_ms));
        }
        if member.service == Service::Up {
            member.vain_roles = 0;
            return;
        }
        member.vain_roles = member.vain_roles.saturating_add(1);
        if let Some(doublings) = member.vain_roles.checked_sub(VAIN_ROLES_FREE) {
            let pause_ms = REST_MIN_MS << doublings.min(REST_DOUBLINGS_MAX);
            member.rests_until = member.rests_until.max(at.now + Span::from_millis(pause_ms));
        }
    }

    /// The server is about to end: if it leads, what is outstanding is committed first.
    fn hand_over(&mut self, at: Clock, out: &mut Vec<Effect>) {
        let member = self.member();
        member.retires = true;
        match &mut member.role {
            Role::Leading(leading) => leading.call(|leader, to| leader.hand_over(at.now, to)),
            Role::Learning(_) => self.leave(at, "the server is about to end", out),
            Role::Settling | Role::Looking | Role::Retired => {
                member.role = Role::Retired;
                self.serve_as(at, Service::Down, Vec::new(), out);
            }
        }
    }

    /// Says how clients are served from now on, and whatever else follows from it.
    pub(super) fn serve_as(
        &mut self,
        at: Clock,
        service: Service,
        told: Vec<Notice>,
        out: &mut Vec<Effect>,
    ) {
        let member = self.member();
        let has_changed = member.service != service;
        if service != Service::Held {
            member.held_until = None;
        } else if has_changed {
            member.held_until = Some(at.now + Span::from_millis(member.zab.tick_ms));
        }
        if has_changed {
            member.serving_since = if service == Service::Up { at.now } else { Time::default() };
        }
        member.service = service;
        if let (true, true, Some(local)) = (has_changed, member.hears_clients(), &mut member.local)
        {
            local.renew_all(at.now);
        }
        let mut notices = if has_changed { vec![Notice::Service(service)] } else { Vec::new() };
        // Who is dropped has to be disconnected before.
        notices.extend(told);
        if !notices.is_empty() {
            self.pipeline.publish_now(notices, out);
        }
    }

    fn accepted(&mut self, at: Clock, link: LinkId, out: &mut Vec<Effect>) {
        let member = self.member();
        let early_count =
            member.links.values().filter(|state| matches!(state, LinkState::Early(_))).count();
        match &member.role {
            Role::Leading(_) => {
                member.links.insert(link, LinkState::Up);
                self.link_up(at, link);
            }
            Role::Settling | Role::Looking if early_count < EARLY_LINKS_MAX => {
                member.links.insert(link, LinkState::Early(Vec::new()));
            }
            Role::Settling | Role::Looking => self.close_link(link, "too many are waiting", out),
            Role::Learning(_) | Role::Retired => {
                self.close_link(link, "this server does not lead", out);
            }
        }
    }

    fn packet(&mut self, at: Clock, link: LinkId, packet: QuorumPacket, out: &mut Vec<Effect>) {
        if let Some(learning) = self.learning_mut()
            && learning.link() == Some(link)
        {
            return learning.call(|learner, to| learner.packet(at.now, link, packet, to));
        }
        match self.member().links.get_mut(&link) {
            Some(LinkState::Up) => self.leader_packet(at, link, packet),
            Some(LinkState::Early(packets)) if packets.len() < EARLY_PACKETS_MAX => {
                packets.push(packet);
            }
            Some(LinkState::Early(_)) => {
                self.close_link(link, "it has more to say than a learner", out);
            }
            // What comes late.
            Some(LinkState::Closing) | None => {}
        }
    }

    fn link_down(&mut self, at: Clock, link: LinkId) {
        let was = self.member().links.remove(&link);
        if let Some(learning) = self.learning_mut()
            && learning.link() == Some(link)
        {
            learning.call(|learner, to| learner.link_down(at.now, link, to));
        }
        if let (Some(leading), Some(LinkState::Up | LinkState::Closing)) = (self.leading_mut(), was)
        {
            leading.call(|leader, to| leader.link_down(at.now, link, to));
        }
    }

    /// Closes a learner's link.
    pub(super) fn close_link(&mut self, link: LinkId, reason: &'static str, out: &mut Vec<Effect>) {
        let was = self.member().links.insert(link, LinkState::Closing);
        if !matches!(was, Some(LinkState::Closing)) {
            out.push(Effect::CloseLink(link, reason));
        }
    }

    fn close_links(&mut self, reason: &'static str, out: &mut Vec<Effect>) {
        let links: Vec<LinkId> = self.member().links.keys().copied().collect();
        for link in links {
            self.close_link(link, reason, out);
        }
    }

    /// Asks the log to write an epoch.
    pub(super) fn write_epoch(&mut self, file: EpochFile, epoch: Epoch, out: &mut Vec<Effect>) {
        self.member().log_duties.epochs += 1;
        out.push(Effect::Log(LogOp::WriteEpoch(file, epoch)));
    }

    fn epoch_written(&mut self, at: Clock, file: EpochFile, epoch: Epoch) {
        let member = self.member();
        member.log_duties.epochs -= 1;
        if member.log_duties.epochs == 0 {
            member.log_duties.is_installing = false;
        }
        match file {
            EpochFile::Accepted => member.accepted_epoch = epoch,
            EpochFile::Current => member.current_epoch = epoch,
        }
        match (&mut member.role, file) {
            (Role::Leading(leading), EpochFile::Accepted) => {
                leading.call(|leader, to| leader.accepted_epoch_written(at.now, epoch, to));
            }
            (Role::Leading(leading), EpochFile::Current) => {
                leading.call(|leader, to| leader.current_epoch_written(at.now, epoch, to));
            }
            (Role::Learning(learning), EpochFile::Accepted) => {
                learning.call(|learner, to| learner.accepted_epoch_written(at.now, epoch, to));
            }
            (Role::Learning(learning), EpochFile::Current) => {
                learning.call(|learner, to| learner.current_epoch_written(at.now, epoch, to));
            }
            (Role::Settling | Role::Looking | Role::Retired, _) => {}
        }
    }

    /// Tells the role how far the log is on disk.
    pub(super) fn log_synced_in_role(&mut self, at: Clock, zxid: Zxid) {
        match &mut self.member().role {
            Role::Leading(leading) => {
                leading.call(|leader, to| leader.log_synced(at.now, zxid, to));
            }
            Role::Learning(learning) => {
                learning.call(|learner, to| learner.log_synced(at.now, zxid, to));
            }
            Role::Settling | Role::Looking | Role::Retired => {}
        }
    }
}

/// In which epoch the history of a server ends that looks for a leader and votes for itself.
fn own_history(from: Sid, notification: &Notification) -> Option<Epoch> {
    let votes_for_itself =
        notification.state == ServerState::Looking && notification.leader == from;
    u32::try_from(notification.peer_epoch).ok().filter(|_| votes_for_itself).map(Epoch)
}

/// Roles that come to nothing are followed by the next election at once, the first so many times.
const VAIN_ROLES_FREE: u32 = 3;
/// The first pause, and how often it grows to the double.
const REST_MIN_MS: u64 = 10;
const REST_DOUBLINGS_MAX: u32 = 6;
