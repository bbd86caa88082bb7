//! What a server does around the machine of its role.

use std::collections::VecDeque;
use std::sync::Arc;

use ostler_wire::ids::{Epoch, Sid, Zxid};
use ostler_wire::quorum::Touched;
use ostler_wire::vote::ServerState;
use ostler_zab::LinkId;
use ostler_zab::clock::Time;
use ostler_zab::election::{Election, ElectionEffect};
use ostler_zab::history::{History, TxnBody};
use ostler_zab::leader::{Leader, LeaderEffect};
use ostler_zab::learner::{Learner, LearnerEffect};
use ostler_zab::settings::ZabSettings;

use crate::disk::{DiskOp, Txn};
use crate::net::{Cargo, Path};
use crate::world::{Event, Role, World, short};

impl World {
    fn settings_of(&self, sid: Sid) -> Arc<ZabSettings> {
        Arc::new(ZabSettings { my_sid: sid, ..self.settings.clone() })
    }

    /// Begins to lead.
    pub(crate) fn lead(&mut self, sid: Sid) {
        let (settings, config, now) = (self.settings_of(sid), self.config.clone(), self.now);
        let server = self.server(sid);
        assert!(matches!(server.role, Role::Idle | Role::Looking) && server.disk.queue.is_empty());
        let (accepted, current, last) = (server.accepted, server.current, server.head);
        let mut out = Vec::new();
        let leader = Leader::new(now, settings, config, accepted, current, last, &mut out);
        server.role = Role::Leading(Box::new(leader));
        server.role_number += 1;
        let early = std::mem::take(&mut server.early);
        self.note(sid, "leads");
        self.do_for_leader(sid, out);
        for (link, packets) in early {
            self.with_leader(sid, |leader, _, now, _| leader.link_up(now, link));
            packets.into_iter().for_each(|packet| self.hears(sid, link, packet));
        }
    }

    /// Begins to follow or to observe.
    pub(crate) fn follow(&mut self, sid: Sid, leader: Sid) {
        let (settings, config, now) = (self.settings_of(sid), self.config.clone(), self.now);
        let server = self.server(sid);
        assert!(matches!(server.role, Role::Idle | Role::Looking) && server.disk.queue.is_empty());
        let epochs = (server.accepted, server.current);
        let mut out = Vec::new();
        let mut learner =
            Learner::new(now, settings, config, leader, epochs, server.head, &mut out);
        if let Some(epoch) = server.needs_snapshot_of {
            learner.ask_for_snapshot(epoch);
        }
        server.role = Role::Learning(Box::new(learner));
        server.role_number += 1;
        for (link, _) in std::mem::take(&mut server.early) {
            self.close(sid, link);
        }
        self.note(sid, &format!("follows {leader}"));
        self.do_for_learner(sid, out);
    }

    pub(crate) fn with_leader(
        &mut self,
        sid: Sid,
        act: impl FnOnce(&mut Leader, &History, Time, &mut Vec<LeaderEffect>),
    ) {
        let now = self.now;
        let server = self.server(sid);
        let Role::Leading(leader) = &mut server.role else { return };
        let mut out = Vec::new();
        act(leader, &server.history, now, &mut out);
        self.do_for_leader(sid, out);
    }

    fn do_for_leader(&mut self, sid: Sid, effects: Vec<LeaderEffect>) {
        let mut queue = VecDeque::from(effects);
        while let Some(effect) = queue.pop_front() {
            match effect {
                LeaderEffect::Send(link, packet) => self.send(sid, link, Cargo::Packet(packet)),
                LeaderEffect::SendSnapshot(link, zxid) => self.send_snapshot(sid, link, zxid),
                LeaderEffect::Close(link, why) => {
                    self.assert_no_fault_of_ours(sid, why);
                    let other = self.net.links.get(&link).map(|link| link.other(sid));
                    let name = other.map_or_else(|| "nobody".into(), |other| other.to_string());
                    self.note(sid, &format!("closes the link of {name}: {why}"));
                    self.close(sid, link);
                }
                LeaderEffect::WriteAcceptedEpoch(epoch) => {
                    self.ask_disk(sid, DiskOp::AcceptedEpoch(epoch));
                }
                LeaderEffect::WriteCurrentEpoch(epoch) => {
                    self.ask_disk(sid, DiskOp::CurrentEpoch(epoch));
                }
                LeaderEffect::Established(epoch) => self.established(sid, epoch),
                LeaderEffect::Committed(zxid) => {
                    self.assert_held_by_quorum(zxid);
                    self.deliver(sid, zxid);
                }
                LeaderEffect::Request(_, request, _) => {
                    if let Some((zxid, body)) = self.next_txn(sid, &request.body) {
                        let mut out = Vec::new();
                        let now = self.now;
                        if let Role::Leading(leader) = &mut self.server(sid).role {
                            leader.propose(now, zxid, &body, &mut out);
                        }
                        queue.extend(out);
                        self.append(sid, zxid, body);
                    }
                }
                LeaderEffect::Revalidate(link, touched) => {
                    let valid = touched.session.0 % 2 == 1;
                    let mut out = Vec::new();
                    if let Role::Leading(leader) = &mut self.server(sid).role {
                        leader.revalidated(link, touched.session, valid, &mut out);
                    }
                    queue.extend(out);
                }
                LeaderEffect::Touched(_, touched) => {
                    self.note(sid, &format!("hears of {} sessions", touched.len()));
                }
                LeaderEffect::Left(_) => {}
                LeaderEffect::GiveUp(why) => return self.give_up(sid, why),
            }
        }
    }

    fn send_snapshot(&mut self, sid: Sid, link: LinkId, zxid: Zxid) {
        let server = &self.servers[&sid];
        let Role::Leading(leader) = &server.role else { panic!("{sid} does not lead") };
        let txns: Vec<Txn> = if leader.takes_proposals() {
            let delivered = server.txns[..server.delivered].to_vec();
            let last = delivered.last().map_or(Zxid::ZERO, |(zxid, _)| *zxid);
            assert_eq!(zxid, last.max(leader.epoch().first_zxid()));
            delivered
        } else {
            server.txns.iter().filter(|(txn, _)| *txn <= zxid).cloned().collect()
        };
        self.send(sid, link, Cargo::Snapshot(zxid, txns));
    }

    fn established(&mut self, sid: Sid, epoch: Epoch) {
        self.note(sid, &format!("is established in epoch {}", epoch.0));
        assert_eq!(self.servers[&sid].disk.current, epoch, "{sid}: not its epoch yet");
        let txns = self.servers[&sid].txns.clone();
        self.checks.established(sid, epoch, &txns);
        if let Some((last, _)) = txns.last() {
            self.assert_held_by_quorum(*last);
        }
        self.deliver(sid, epoch.first_zxid());
        let server = self.server(sid);
        server.head = epoch.first_zxid();
        if let Some(election) = &mut server.election {
            election.settled(epoch);
        }
    }

    /// The transaction for a request, if this server takes any.
    fn next_txn(&mut self, sid: Sid, payload: &[u8]) -> Option<(Zxid, TxnBody)> {
        let Role::Leading(leader) = &self.servers[&sid].role else { return None };
        if !leader.takes_proposals() {
            return None;
        }
        self.txn_count += 1;
        let zxid = self.servers[&sid].head.next();
        let mut body = payload.to_vec();
        body.extend(self.txn_count.to_be_bytes());
        let body: TxnBody = body.into();
        self.checks.proposes(sid, zxid, &body);
        Some((zxid, body))
    }

    /// A client of a server writes, if the server leads.
    pub(crate) fn propose(&mut self, sid: Sid) {
        let Some((zxid, body)) = self.next_txn(sid, b"") else { return };
        let logged = body.clone();
        self.with_leader(sid, |leader, _, now, out| leader.propose(now, zxid, &body, out));
        self.append(sid, zxid, logged);
    }

    pub(crate) fn with_learner(
        &mut self,
        sid: Sid,
        act: impl FnOnce(&mut Learner, Time, &mut Vec<LearnerEffect>),
    ) {
        let now = self.now;
        let Role::Learning(learner) = &mut self.server(sid).role else { return };
        let mut out = Vec::new();
        act(learner, now, &mut out);
        self.do_for_learner(sid, out);
    }

    fn do_for_learner(&mut self, sid: Sid, effects: Vec<LearnerEffect>) {
        let mut queue = VecDeque::from(effects);
        while let Some(effect) = queue.pop_front() {
            match effect {
                LearnerEffect::Dial(leader) => {
                    let role_number = self.server(sid).role_number;
                    // A dial over a silent path ends when nobody waits for it any more.
                    let latency = self.latency();
                    if self.net.path(sid, leader) != Path::Silent {
                        self.later(latency, Event::Dialled(sid, role_number, leader));
                    }
                }
                LearnerEffect::Send(link, packet) => self.send(sid, link, Cargo::Packet(packet)),
                LearnerEffect::WriteAcceptedEpoch(epoch) => {
                    self.ask_disk(sid, DiskOp::AcceptedEpoch(epoch));
                }
                LearnerEffect::WriteCurrentEpoch(epoch) => {
                    let server = self.server(sid);
                    server.history_end = server.txns.len();
                    self.ask_disk(sid, DiskOp::CurrentEpoch(epoch));
                }
                LearnerEffect::Truncate(zxid) => self.truncate(sid, zxid),
                LearnerEffect::Append(zxid, body) => self.append(sid, zxid, body),
                LearnerEffect::Committed(zxid) => self.deliver(sid, zxid),
                LearnerEffect::Serve(epoch) => {
                    self.note(sid, &format!("serves in epoch {}", epoch.0));
                    if let Some(election) = &mut self.server(sid).election {
                        election.settled(epoch);
                    }
                }
                LearnerEffect::Ping(ping) => {
                    let touched =
                        Touched { session: ostler_wire::ids::SessionId(1), timeout_ms: 1 };
                    let touched = if self.pings_shown { vec![touched] } else { Vec::new() };
                    let mut out = Vec::new();
                    if let Role::Learning(learner) = &mut self.server(sid).role {
                        learner.pong(ping, &touched, &mut out);
                    }
                    queue.extend(out);
                }
                LearnerEffect::Revalidated(session, valid) => {
                    self.note(sid, &format!("hears of session {session}: {valid}"));
                }
                LearnerEffect::Synced => self.note(sid, "is synced"),
                LearnerEffect::GiveUp(why) => return self.give_up(sid, why),
            }
        }
    }

    fn truncate(&mut self, sid: Sid, zxid: Zxid) {
        self.note(sid, &format!("cuts to {}", short(zxid)));
        let server = self.server(sid);
        let at = server.txns.partition_point(|(txn, _)| *txn <= zxid);
        assert!(at >= server.delivered, "{sid} cuts off what it has delivered");
        server.txns.truncate(at);
        server.history.truncate(zxid);
        server.head = zxid;
        self.ask_disk(sid, DiskOp::Truncate(zxid));
    }

    pub(crate) fn receive_snapshot(&mut self, sid: Sid, id: LinkId, zxid: Zxid, txns: Vec<Txn>) {
        let server = self.server(sid);
        let Role::Learning(learner) = &server.role else { return };
        if learner.link() != Some(id) {
            return;
        }
        let delivered = server.delivered;
        assert_eq!(txns[..delivered], server.txns[..delivered], "{sid} loses what was delivered");
        server.txns = txns.clone();
        server.needs_snapshot_of = None;
        server.history.restart(zxid);
        server.head = zxid;
        self.ask_disk(sid, DiskOp::Install(zxid, txns));
        self.with_learner(sid, |learner, now, out| learner.snapshot_received(now, id, out));
    }

    /// Everything up to here is committed, says the machine.
    fn deliver(&mut self, sid: Sid, zxid: Zxid) {
        let server = &self.servers[&sid];
        let upto = server.txns.partition_point(|(txn, _)| *txn <= zxid);
        assert!(upto >= server.delivered, "{sid} goes back to {zxid}");
        if upto == server.delivered {
            return;
        }
        for index in server.delivered..upto {
            self.checks.delivers(sid, index, &self.servers[&sid].txns[index]);
        }
        let last = self.servers[&sid].txns[upto - 1].0;
        self.server(sid).delivered = upto;
        self.note(sid, &format!("commits up to {}", short(last)));
    }

    fn give_up(&mut self, sid: Sid, why: &str) {
        self.note(sid, &format!("gives up: {why}"));
        self.assert_no_fault_of_ours(sid, why);
        for link in self.net.links_of(sid) {
            self.close(sid, link);
        }
        let server = self.server(sid);
        server.role = Role::Idle;
        server.role_number += 1;
        self.settle(sid);
    }

    /// Looks for a leader as soon as everything is on disk.
    pub(crate) fn settle(&mut self, sid: Sid) {
        let server = self.server(sid);
        if !matches!(server.role, Role::Idle) || !server.disk.queue.is_empty() {
            return;
        }
        assert_eq!(server.txns.len(), server.disk.txns.len(), "{sid}: memory is not as the disk");
        if server.election.is_some() {
            server.role = Role::Looking;
            let (head, current) = (server.head, server.current);
            self.note(sid, &format!("looks, at {} in epoch {}", short(head), current.0));
            self.with_election(sid, |election, now, out| {
                election.look(now, head, current, out);
            });
        }
    }

    pub(crate) fn disk_has_done(&mut self, sid: Sid, op: DiskOp) {
        match op {
            DiskOp::Append(zxid, _) => {
                self.note(sid, &format!("has {} on disk", short(zxid)));
                self.with_leader(sid, |leader, _, now, out| leader.log_synced(now, zxid, out));
                self.with_learner(sid, |learner, now, out| learner.log_synced(now, zxid, out));
            }
            DiskOp::AcceptedEpoch(epoch) => {
                self.note(sid, &format!("has accepted epoch {} on disk", epoch.0));
                self.server(sid).accepted = epoch;
                self.with_leader(sid, |leader, _, now, out| {
                    leader.accepted_epoch_written(now, epoch, out);
                });
                self.with_learner(sid, |learner, now, out| {
                    learner.accepted_epoch_written(now, epoch, out);
                });
            }
            DiskOp::CurrentEpoch(epoch) => {
                self.note(sid, &format!("has current epoch {} on disk", epoch.0));
                self.server(sid).current = epoch;
                self.with_leader(sid, |leader, _, now, out| {
                    leader.current_epoch_written(now, epoch, out);
                });
                self.with_learner(sid, |learner, now, out| {
                    learner.current_epoch_written(now, epoch, out);
                });
            }
            DiskOp::Truncate(zxid) => {
                self.note(sid, &format!("has cut to {} on disk", short(zxid)));
                self.with_learner(sid, |learner, now, out| learner.truncated(now, out));
            }
            DiskOp::Uncut(zxid) => {
                self.note(sid, &format!("cannot cut to {} on disk", short(zxid)));
                let server = self.server(sid);
                server.txns = server.disk.txns.clone();
                server.head = server.disk.last();
                server.history.restart(server.head);
                server.needs_snapshot_of = Some(server.accepted);
                self.with_learner(sid, |learner, _, out| learner.truncate_failed(out));
            }
            DiskOp::Install(zxid, _) => {
                self.note(sid, &format!("has a snapshot of {} on disk", short(zxid)));
            }
        }
        self.settle(sid);
    }

    pub(crate) fn with_election(
        &mut self,
        sid: Sid,
        act: impl FnOnce(&mut Election, Time, &mut Vec<ElectionEffect>),
    ) {
        let now = self.now;
        let Some(election) = &mut self.server(sid).election else { return };
        let mut out = Vec::new();
        act(election, now, &mut out);
        for effect in out {
            match effect {
                ElectionEffect::Send(to, notification) => {
                    let latency = self.latency();
                    let event = if self.elections_reach(sid, to) {
                        Event::Vote(sid, to, notification)
                    } else {
                        Event::Connected(sid, to)
                    };
                    self.later(latency, event);
                }
                ElectionEffect::Connect(to) => {
                    let latency = self.latency();
                    self.later(latency, Event::Connected(sid, to));
                }
                ElectionEffect::Decided(vote) => {
                    let election = self.server(sid).election.as_ref().expect("an election");
                    if election.state() == ServerState::Leading {
                        self.lead(sid);
                    } else {
                        self.follow(sid, vote.leader);
                    }
                }
            }
        }
    }
}
