//! The leader: what [`ostler_zab::leader`] wants is done here, and what learners ask for.
//!
//! From [`LeaderEffect::Established`] on this server orders requests, its own clients' and those
//! that learners send, as a server does that is alone; the difference is who commits. It alone
//! ends sessions whose time has come, and it starts with all of them at their full timeout, since
//! it cannot know when they were last heard of.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use ostler_wire::acl::Id;
use ostler_wire::error::ErrorCode;
use ostler_wire::ids::{Epoch, SessionId, Xid, Zxid};
use ostler_wire::jute::{DecodeError, Reader};
use ostler_wire::op::OpCode;
use ostler_wire::quorum::{ForwardedRequest, PacketKind, QuorumPacket, Touched};
use ostler_wire::request::Request as ClientRequest;
use ostler_wire::txn::Txn;
use ostler_zab::LinkId;
use ostler_zab::clock::Time;
use ostler_zab::history::TxnBody;
use ostler_zab::leader::{Leader, LeaderEffect, LearnerReport};
use ostler_zab::quorum_config::QuorumConfig;
use ostler_zab::settings::ZabSettings;

use super::answers::Asked;
use super::ensemble::LinkState;
use super::owners::{Owner, Owners};
use super::reaper::Reaper;
use super::requests::Rights;
use super::{Effect, EpochFile, Replica};
use crate::clock::Clock;
use crate::messages::{Notice, Notices, Service};
use crate::status::Sizes;

/// A server that leads, or tries to.
#[derive(Debug)]
pub(super) struct Leading {
    leader: Leader,
    effects: VecDeque<LeaderEffect>,
    /// Empty between calls.
    scratch: Vec<LeaderEffect>,
    established: bool,
    owners: Owners,
    /// Requests of this server's clients that came when the end was announced.
    pub(super) held: Vec<Asked>,
    proposals: Sizes,
}

impl Leading {
    pub(super) fn new(
        now: Time,
        zab: Arc<ZabSettings>,
        config: Arc<QuorumConfig>,
        (accepted, current): (Epoch, Epoch),
        last: Zxid,
    ) -> Self {
        let mut effects = Vec::new();
        let leader = Leader::new(now, zab, config, accepted, current, last, &mut effects);
        Self {
            leader,
            effects: effects.into(),
            scratch: Vec::new(),
            established: false,
            owners: Owners::default(),
            held: Vec::new(),
            proposals: Sizes::default(),
        }
    }

    /// Whether the whole history is committed, and clients are served.
    pub(super) fn is_established(&self) -> bool {
        self.established
    }

    /// Whether it still waits for a quorum to connect.
    pub(super) fn is_in_discovery(&self) -> bool {
        self.leader.is_in_discovery()
    }

    /// Whether requests become transactions.
    pub(super) fn orders(&self) -> bool {
        self.established && self.leader.takes_proposals()
    }

    pub(super) fn learners(&self) -> Vec<LearnerReport> {
        self.leader.report()
    }

    /// Syncs of learners that wait for a commit.
    pub(super) fn pending_syncs(&self) -> usize {
        self.leader.pending_syncs()
    }

    /// Of the transactions proposed.
    pub(super) fn proposals(&self) -> Sizes {
        self.proposals
    }

    pub(super) fn next_deadline(&self) -> Time {
        self.leader.next_deadline()
    }

    /// Tells the machine something; what it wants is done in order, by and by.
    pub(super) fn call(&mut self, tell: impl FnOnce(&mut Leader, &mut Vec<LeaderEffect>)) {
        tell(&mut self.leader, &mut self.scratch);
        self.effects.extend(self.scratch.drain(..));
    }

    pub(super) fn next_effect(&mut self) -> Option<LeaderEffect> {
        self.effects.pop_front()
    }
}

impl Replica {
    /// Carries out one wish of the leader's machine.
    pub(super) fn do_for_leader(&mut self, at: Clock, effect: LeaderEffect, out: &mut Vec<Effect>) {
        match effect {
            LeaderEffect::Send(link, packet) => {
                let is_diff = matches!(packet.kind, PacketKind::Diff | PacketKind::Trunc);
                self.member().metrics.diffs_sent += u64::from(is_diff);
                out.push(Effect::Send(link, packet));
            }
            LeaderEffect::SendSnapshot(link, zxid) => {
                self.member().metrics.snapshots_sent += 1;
                let tree = self.pipeline.tree_at(zxid);
                let mut tree = tree.expect("the leader knows where it stands");
                // What clients see may tell of an epoch in which there is nothing yet.
                tree.set_last_zxid(zxid);
                out.push(Effect::SendSnapshot(link, tree.into()));
            }
            LeaderEffect::Close(link, reason) => self.close_link(link, reason, out),
            LeaderEffect::WriteAcceptedEpoch(epoch) => {
                self.write_epoch(EpochFile::Accepted, epoch, out);
            }
            LeaderEffect::WriteCurrentEpoch(epoch) => {
                self.write_epoch(EpochFile::Current, epoch, out);
            }
            LeaderEffect::Established(epoch) => self.established(at, epoch, out),
            LeaderEffect::Committed(zxid) => self.commit_up_to(zxid, out),
            LeaderEffect::Request(link, request, ids) => {
                self.learner_request(at, link, &request, &ids, out);
            }
            LeaderEffect::Revalidate(link, Touched { session, timeout_ms }) => {
                self.member().metrics.revalidations += 1;
                let owner = Owner::Learner(link);
                let is_alive = self.renew(at, session, timeout_ms, owner);
                if is_alive {
                    // Java: the leader does not even read any more for who was here before.
                    let notices = vec![Notice::Evict { session, keep: None }];
                    self.pipeline.publish_now(notices, out);
                }
                if let Some(leading) = self.leading_mut() {
                    leading.call(|leader, to| leader.revalidated(link, session, is_alive, to));
                }
            }
            LeaderEffect::Touched(_, touched) => {
                for Touched { session, timeout_ms } in touched {
                    self.sessions.touch(at.now, session, timeout_ms);
                }
            }
            // Who owns what is judged by the links that there are.
            LeaderEffect::Left(_) => {}
            LeaderEffect::GiveUp(reason) => self.leave(at, reason, out),
        }
    }

    /// Forgets how large proposals were (`srst`).
    pub fn forget_proposal_sizes(&mut self) {
        if let Some(leading) = self.leading_mut() {
            leading.proposals = Sizes::default();
        }
    }

    pub(super) fn link_up(&mut self, at: Clock, link: LinkId) {
        if let Some(leading) = self.leading_mut() {
            leading.call(|leader, _| leader.link_up(at.now, link));
        }
    }

    pub(super) fn leader_packet(&mut self, at: Clock, link: LinkId, packet: QuorumPacket) {
        let Self { pipeline, ensemble: Some(member), .. } = self else { return };
        let history = pipeline.history.as_ref().expect("a member has a history");
        if let super::ensemble::Role::Leading(leading) = &mut member.role {
            leading.call(|leader, to| leader.packet(at.now, link, packet, history, to));
        }
    }

    /// Sends a transaction to all learners, if this server leads.
    pub(super) fn send_proposal(&mut self, at: Clock, zxid: Zxid, body: &TxnBody) {
        if let Some(leading) = self.leading_mut() {
            leading.proposals.add(body.len());
            leading.call(|leader, to| leader.propose(at.now, zxid, body, to));
            self.member().metrics.proposals += 1;
        }
    }

    /// The reign begins: all of history is committed.
    fn established(&mut self, at: Clock, epoch: Epoch, out: &mut Vec<Effect>) {
        let last = self.pipeline.head.last_zxid();
        self.publish_exactly(last, out);
        self.pipeline.begin_epoch(epoch.first_zxid(), true);
        self.sessions.clear();
        for (session, timeout_ms) in self.pipeline.head.sessions() {
            self.sessions.restore(at.now, session, timeout_ms);
        }
        self.reaper = Reaper::new(at.now, self.settings.reaper, self.settings.extended_types);
        self.member().election.settled(epoch);
        if let Some(leading) = self.leading_mut() {
            leading.established = true;
        }
        let service = if self.settings.leader_serves { Service::Up } else { Service::Down };
        self.serve_as(at, service, Vec::new(), out);
    }

    /// Orders what a client of a learner wants. Each request takes a zxid, even if it cannot be
    /// read, since its learner waits for one.
    // Java: PrepRequestProcessor takes the last zxid again for a request that cannot be read, and
    // then no write of the ensemble is ever committed any more.
    fn learner_request(
        &mut self,
        at: Clock,
        link: LinkId,
        request: &ForwardedRequest,
        ids: &[Id],
        out: &mut Vec<Effect>,
    ) {
        if !self.orders() {
            // Its learner asks the next leader for other things.
            return;
        }
        let ForwardedRequest { session, xid, op, ref body } = *request;
        let owner = Owner::Learner(link);
        let header = self.header(at, session, xid);
        match OpCode::from_number(op) {
            Some(OpCode::CreateSession) => {
                let txn = match Reader::new(body).int() {
                    Ok(timeout_ms) => {
                        self.track(at, session, timeout_ms, owner);
                        Txn::CreateSession { timeout_ms }
                    }
                    Err(_) => Txn::Error(ErrorCode::MARSHALLING_ERROR),
                };
                self.propose(at, header, &txn, out, |_| Notices::new());
            }
            Some(OpCode::CloseSession) => self.close_session(at, session, xid, None, out),
            op => {
                let decoded = op.map_or(Err(DecodeError::UnknownTxnType(request.op)), |op| {
                    ClientRequest::decode(op, body)
                });
                let refusal = self.refusal(session, owner);
                // A learner opens a local session for all before it asks for an ephemeral.
                let is_global = self.sessions.contains(session);
                let no_ephemerals = (!is_global).then_some(ErrorCode::SESSION_EXPIRED);
                let rights = Rights { ids, refusal, no_ephemerals };
                self.prepare(at, header, decoded, rights, out, None);
            }
        }
    }

    /// Why a session may not ask for anything here, if it may not.
    pub(super) fn refusal(&mut self, session: SessionId, owner: Owner) -> Option<ErrorCode> {
        if !self.sessions.contains(session) {
            let is_local = match owner {
                Owner::Here => self.is_local(session),
                Owner::Learner(_) => self.may_be_local_elsewhere(session),
            };
            return (!is_local).then_some(ErrorCode::SESSION_EXPIRED);
        }
        let member = self.ensemble.as_mut()?;
        let super::ensemble::Role::Leading(leading) = &mut member.role else { return None };
        let links = &member.links;
        let is_there = |link| matches!(links.get(&link), Some(LinkState::Up));
        let is_its = leading.owners.allows(session, owner, is_there);
        (!is_its).then_some(ErrorCode::SESSION_MOVED)
    }

    /// Keeps watch over a session from now on.
    pub(super) fn track(&mut self, at: Clock, session: SessionId, timeout_ms: i32, owner: Owner) {
        self.sessions.track(at.now, session, timeout_ms);
        if let Some(leading) = self.leading_mut() {
            leading.owners.set(session, owner);
        }
    }

    /// Gives a session, if it is alive, to who wants it back, with its whole timeout.
    pub(super) fn renew(
        &mut self,
        at: Clock,
        session: SessionId,
        timeout_ms: i32,
        owner: Owner,
    ) -> bool {
        let is_alive = self.sessions.renew(at.now, session, timeout_ms);
        if is_alive && let Some(leading) = self.leading_mut() {
            leading.owners.set(session, owner);
        }
        is_alive
    }

    /// Watches over a session no longer: it is being closed.
    pub(super) fn untrack(&mut self, session: SessionId) {
        self.sessions.remove(session);
        if let Some(leading) = self.leading_mut() {
            leading.owners.remove(session);
        }
    }
}

/// The number of a request to open a session; clients do not number it.
pub(super) const XID_OF_OPEN: Xid = Xid(0);
