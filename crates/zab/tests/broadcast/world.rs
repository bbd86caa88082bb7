//! An ensemble: servers with a disk and a role each, and what happens to them in which order.

use std::collections::BTreeMap;
use std::sync::Arc;

use ostler_wire::ids::{Epoch, Sid, Zxid};
use ostler_wire::quorum::{PacketKind, QuorumPacket};
use ostler_wire::vote::Notification;
use ostler_zab::LinkId;
use ostler_zab::clock::{Span, Time};
use ostler_zab::election::Election;
use ostler_zab::history::{History, TxnBody};
use ostler_zab::leader::Leader;
use ostler_zab::learner::Learner;
use ostler_zab::quorum_config::QuorumConfig;
use ostler_zab::settings::ZabSettings;

use crate::checks::Checks;
use crate::dice::Dice;
use crate::disk::{Disk, DiskOp, Txn};
use crate::net::{Cargo, Net, Path};

pub(crate) struct World {
    pub(crate) now: Time,
    events: BTreeMap<(Time, u64), Event>,
    event_count: u64,
    pub(crate) servers: BTreeMap<Sid, Server>,
    pub(crate) net: Net,
    pub(crate) config: Arc<QuorumConfig>,
    pub(crate) settings: ZabSettings,
    pub(crate) dice: Dice,
    pub(crate) latency_us: (u64, u64),
    pub(crate) checks: Checks,
    /// What happened, a line each.
    pub(crate) trace: String,
    pub(crate) pings_shown: bool,
    /// Whether servers elect their leader themselves.
    pub(crate) elects: bool,
    pub(crate) txn_count: u64,
}

/// One server.
pub(crate) struct Server {
    pub(crate) disk: Disk,
    pub(crate) disk_us: (u64, u64),
    disk_is_busy: bool,
    /// Everything logged, whether on disk or not.
    pub(crate) txns: Vec<Txn>,
    /// The zxid of the tree: that of the last transaction, or of an epoch without any.
    pub(crate) head: Zxid,
    pub(crate) history: History,
    /// How many transactions it took for committed.
    pub(crate) delivered: usize,
    pub(crate) accepted: Epoch,
    pub(crate) current: Epoch,
    /// How many of the newest transactions on disk are at hand after a start.
    pub(crate) tail: usize,
    /// How many transactions there were at NEWLEADER.
    pub(crate) history_end: usize,
    /// The epoch whose leader demanded a cut that could not be made.
    pub(crate) needs_snapshot_of: Option<Epoch>,
    pub(crate) role: Role,
    /// Links of learners who know before this server does that it leads.
    pub(crate) early: Vec<(LinkId, Vec<QuorumPacket>)>,
    /// Counts roles and lives, so that what was meant for an earlier one is dropped.
    pub(crate) role_number: u64,
    life: u64,
    pub(crate) election: Option<Election>,
}

pub(crate) enum Role {
    Down,
    /// The script speaks for it.
    Played,
    /// It waits for its disk, and then for an order or an election.
    Idle,
    Looking,
    Leading(Box<Leader>),
    Learning(Box<Learner>),
}

#[derive(Debug)]
pub(crate) enum Event {
    Arrives(LinkId, bool, Cargo),
    /// A dial of a learner in this role ends.
    Dialled(Sid, u64, Sid),
    DiskDone(Sid, u64),
    Vote(Sid, Sid, Notification),
    /// A server learns whether it is connected to another one for elections.
    Connected(Sid, Sid),
}

impl Server {
    pub(crate) fn new() -> Self {
        Self {
            disk: Disk::default(),
            disk_us: (1000, 1000),
            disk_is_busy: false,
            txns: Vec::new(),
            head: Zxid::ZERO,
            history: History::new(0),
            delivered: 0,
            accepted: Epoch(0),
            current: Epoch(0),
            tail: usize::MAX,
            history_end: 0,
            needs_snapshot_of: None,
            role: Role::Down,
            early: Vec::new(),
            role_number: 0,
            life: 0,
            election: None,
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        !matches!(self.role, Role::Down)
    }

    pub(crate) fn plays(&self) -> bool {
        matches!(self.role, Role::Played)
    }

    fn next_deadline(&self) -> Option<Time> {
        let role = match &self.role {
            Role::Leading(leader) => Some(leader.next_deadline()),
            Role::Learning(learner) => learner.next_deadline(),
            Role::Down | Role::Played | Role::Idle | Role::Looking => None,
        };
        let election = self.election.as_ref().and_then(Election::next_deadline);
        role.into_iter().chain(election).min()
    }
}

impl World {
    pub(crate) fn new(config: QuorumConfig, settings: ZabSettings, seed: u64) -> Self {
        let sids: Vec<Sid> = config.members.keys().copied().collect();
        Self {
            now: Time::default(),
            events: BTreeMap::new(),
            event_count: 0,
            servers: sids.into_iter().map(|sid| (sid, Server::new())).collect(),
            net: Net::default(),
            config: Arc::new(config),
            settings,
            dice: Dice::new(seed),
            latency_us: (1000, 1000),
            checks: Checks::default(),
            trace: String::new(),
            pings_shown: false,
            elects: false,
            txn_count: 0,
        }
    }

    pub(crate) fn server(&mut self, sid: Sid) -> &mut Server {
        self.servers.get_mut(&sid).expect("a member")
    }

    /// Starts from what is on disk; of that, the newest `tail` transactions are kept at hand.
    pub(crate) fn start(&mut self, sid: Sid, tail: usize) {
        let settings = Arc::new(ZabSettings { my_sid: sid, ..self.settings.clone() });
        let election = self.elects.then(|| Election::new(settings, self.config.clone()));
        let server = self.server(sid);
        assert!(!server.is_up());
        server.role = Role::Idle;
        server.role_number += 1;
        server.txns = server.disk.txns.clone();
        server.head = server.disk.last();
        server.delivered = 0;
        server.needs_snapshot_of = None;
        server.accepted = server.disk.accepted;
        server.current = server.disk.current;
        server.history = History::new(0);
        // Never over a snapshot: what lies before it on disk may be something else.
        let from = server.txns.len().saturating_sub(tail).max(server.disk.snapshot.0);
        if from == server.txns.len() {
            server.history.restart(server.head);
        }
        for (zxid, body) in &server.txns[from..] {
            server.history.push(*zxid, body.clone());
        }
        server.election = election;
        self.note(sid, "starts");
        for other in self.others(sid) {
            self.elections_meet(sid, other);
        }
        self.settle(sid);
    }

    pub(crate) fn crash(&mut self, sid: Sid) {
        self.note(sid, "is down");
        for link in self.net.links_of(sid) {
            self.close(sid, link);
        }
        let server = self.server(sid);
        server.role = Role::Down;
        server.role_number += 1;
        server.life += 1;
        server.disk.crash();
        server.disk_is_busy = false;
        server.election = None;
        server.early.clear();
        for other in self.others(sid) {
            self.elections_meet(sid, other);
        }
    }

    pub(crate) fn others(&self, sid: Sid) -> Vec<Sid> {
        self.servers.keys().copied().filter(|other| *other != sid).collect()
    }

    /// Ends what is between two servers, as if a cable was drawn and the kernels knew.
    pub(crate) fn cut(&mut self, a: Sid, b: Sid) {
        self.net.set_path(a, b, Path::Cut);
        for id in self.net.links_between(a, b) {
            let Some(link) = self.net.links.remove(&id) else { continue };
            for sid in [a, b] {
                if !link.closed_at.contains(&sid) {
                    self.link_is_down(sid, id);
                }
            }
        }
        self.elections_meet(a, b);
    }

    /// Stops what is between two servers without telling them.
    pub(crate) fn silence(&mut self, a: Sid, b: Sid) {
        self.net.set_path(a, b, Path::Silent);
    }

    pub(crate) fn heal(&mut self, a: Sid, b: Sid) {
        self.net.set_path(a, b, Path::Open);
        for id in self.net.links_between(a, b) {
            let link = self.net.links.get_mut(&id).expect("a link");
            // At once, so that nothing overtakes them that was sent later.
            for (to_leader, cargo) in std::mem::take(&mut link.held) {
                self.arrives(id, to_leader, cargo);
            }
        }
        self.elections_meet(a, b);
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, millis: u64) {
        let end = self.now + Span::from_millis(millis);
        while let Some(at) = self.next_time().filter(|at| *at <= end) {
            self.now = at;
            self.step();
        }
        self.now = end;
    }

    fn next_time(&self) -> Option<Time> {
        let timer = self.servers.values().filter_map(Server::next_deadline).min();
        let event = self.events.keys().next().map(|(at, _)| *at);
        timer.into_iter().chain(event).min().map(|at| at.max(self.now))
    }

    fn step(&mut self) {
        if let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let event = entry.remove();
            return self.happen(event);
        }
        let now = self.now;
        let is_due = |server: &Server| server.next_deadline().is_some_and(|at| at <= now);
        let (sid, _) = self.servers.iter().find(|(_, server)| is_due(server)).expect("a timer");
        let sid = *sid;
        let is_due = |at: Option<Time>| at.is_some_and(|at| at <= now);
        if is_due(self.server(sid).election.as_ref().and_then(Election::next_deadline)) {
            self.with_election(sid, |election, now, out| election.deadline(now, out));
        }
        match &self.server(sid).role {
            Role::Leading(leader) if leader.next_deadline() <= now => {
                self.with_leader(sid, |leader, _, now, out| leader.deadline(now, out));
            }
            Role::Learning(learner) if is_due(learner.next_deadline()) => {
                self.with_learner(sid, |learner, now, out| learner.deadline(now, out));
            }
            _ => {}
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrives(link, to_leader, cargo) => self.arrives(link, to_leader, cargo),
            Event::Dialled(sid, role_number, leader) => {
                if self.server(sid).role_number == role_number {
                    self.dialled(sid, leader);
                }
            }
            Event::DiskDone(sid, life) => {
                if self.server(sid).life == life {
                    self.server(sid).disk_is_busy = false;
                    let op = self.server(sid).disk.work();
                    self.feed_disk(sid);
                    self.disk_has_done(sid, op);
                }
            }
            Event::Vote(from, to, notification) => {
                if self.net.path(from, to) == Path::Open {
                    self.with_election(to, |election, now, out| {
                        election.notification(now, from, &notification, out);
                    });
                }
            }
            Event::Connected(sid, other) => {
                let is_connected = self.elections_reach(sid, other);
                self.with_election(sid, |election, now, out| {
                    if is_connected {
                        election.connected(now, other, out);
                    } else {
                        election.unreachable(now, other, out);
                    }
                });
            }
        }
    }

    /// Two servers' election connection comes about or breaks.
    fn elections_meet(&mut self, a: Sid, b: Sid) {
        for (sid, other) in [(a, b), (b, a)] {
            let latency = self.latency();
            self.later(latency, Event::Connected(sid, other));
        }
    }

    /// Whether what a server sends in elections goes out, whether it arrives or not.
    pub(crate) fn elections_reach(&self, from: Sid, to: Sid) -> bool {
        let is_up = self.servers.get(&to).is_some_and(Server::is_up);
        is_up && self.net.path(from, to) != Path::Cut
    }

    fn dialled(&mut self, sid: Sid, leader: Sid) {
        let answers = self.net.path(sid, leader) == Path::Open && self.servers[&leader].is_up();
        if !answers {
            return self.with_learner(sid, |learner, now, out| learner.dial_failed(now, out));
        }
        let link = self.net.connect(sid, leader);
        match &self.servers[&leader].role {
            Role::Leading(_) => {
                self.with_leader(leader, |leader, _, now, _| leader.link_up(now, link));
            }
            Role::Idle | Role::Looking => self.server(leader).early.push((link, Vec::new())),
            Role::Learning(_) => self.close(leader, link),
            Role::Down | Role::Played => {}
        }
        self.with_learner(sid, |learner, now, out| learner.dialled(now, link, out));
    }

    pub(crate) fn send(&mut self, from: Sid, link: LinkId, cargo: Cargo) {
        if let Cargo::Packet(packet) = &cargo {
            self.assert_true_word(from, packet);
        }
        let Some(its) = self.net.links.get(&link) else { return };
        if !its.closed_at.contains(&from) {
            let to_leader = its.learner == from;
            self.travel(link, to_leader, cargo);
        }
    }

    fn travel(&mut self, link: LinkId, to_leader: bool, cargo: Cargo) {
        let earliest = self.now + Span(self.latency());
        let Some(its) = self.net.links.get_mut(&link) else { return };
        let at = its.arrival(to_leader, earliest);
        self.later(at.0 - self.now.0, Event::Arrives(link, to_leader, cargo));
    }

    /// A server closes a link.
    pub(crate) fn close(&mut self, sid: Sid, link: LinkId) {
        self.send(sid, link, Cargo::End);
        if let Some(link) = self.net.links.get_mut(&link) {
            link.closed_at.insert(sid);
        }
    }

    fn arrives(&mut self, id: LinkId, to_leader: bool, cargo: Cargo) {
        let Some(link) = self.net.links.get(&id) else { return };
        let (from, to) =
            if to_leader { (link.learner, link.leader) } else { (link.leader, link.learner) };
        let path = self.net.path(from, to);
        let link = self.net.links.get_mut(&id).expect("the link");
        if path == Path::Silent {
            return link.held.push_back((to_leader, cargo));
        }
        if link.closed_at.contains(&to) {
            return;
        }
        match cargo {
            Cargo::End => {
                link.closed_at.insert(to);
                self.link_is_down(to, id);
            }
            Cargo::Packet(packet) => {
                if self.pings_shown || packet.kind != PacketKind::Ping {
                    self.line(&format!("{from} -> {to} {}", said(&packet)));
                }
                self.hears(to, id, packet);
            }
            Cargo::Snapshot(zxid, txns) => {
                self.line(&format!("{from} -> {to} a snapshot of {} transactions", txns.len()));
                self.receive_snapshot(to, id, zxid, txns);
            }
        }
    }

    pub(crate) fn hears(&mut self, to: Sid, link: LinkId, packet: QuorumPacket) {
        match &self.server(to).role {
            Role::Leading(_) => self.with_leader(to, |leader, history, now, out| {
                leader.packet(now, link, packet, history, out);
            }),
            Role::Learning(_) => self.with_learner(to, |learner, now, out| {
                learner.packet(now, link, packet, out);
            }),
            Role::Idle | Role::Looking => {
                let mut early = self.server(to).early.iter_mut();
                if let Some((_, packets)) = early.find(|(early, _)| *early == link) {
                    packets.push(packet);
                }
            }
            Role::Down | Role::Played => {}
        }
    }

    fn link_is_down(&mut self, sid: Sid, link: LinkId) {
        match &self.server(sid).role {
            Role::Leading(_) => {
                self.with_leader(sid, |leader, _, now, out| leader.link_down(now, link, out));
            }
            Role::Learning(_) => {
                self.with_learner(sid, |learner, now, out| learner.link_down(now, link, out));
            }
            Role::Idle | Role::Looking => {
                self.server(sid).early.retain(|(early, _)| *early != link);
            }
            Role::Down | Role::Played => {}
        }
    }

    /// Asks a disk for something.
    pub(crate) fn ask_disk(&mut self, sid: Sid, op: DiskOp) {
        self.server(sid).disk.queue.push_back(op);
        self.feed_disk(sid);
    }

    fn feed_disk(&mut self, sid: Sid) {
        let (low, high) = self.server(sid).disk_us;
        let micros = self.dice.between(low, high);
        let server = self.server(sid);
        if !server.disk_is_busy && !server.disk.queue.is_empty() {
            server.disk_is_busy = true;
            let life = server.life;
            self.later(micros, Event::DiskDone(sid, life));
        }
    }

    /// Logs a transaction and applies it.
    pub(crate) fn append(&mut self, sid: Sid, zxid: Zxid, body: TxnBody) {
        let server = self.server(sid);
        server.history.push(zxid, body.clone());
        server.txns.push((zxid, body.clone()));
        server.head = zxid;
        self.ask_disk(sid, DiskOp::Append(zxid, body));
    }

    pub(crate) fn later(&mut self, micros: u64, event: Event) {
        self.event_count += 1;
        self.events.insert((self.now + Span(micros), self.event_count), event);
    }

    pub(crate) fn latency(&mut self) -> u64 {
        let (low, high) = self.latency_us;
        self.dice.between(low, high)
    }

    pub(crate) fn note(&mut self, sid: Sid, what: &str) {
        self.line(&format!("{sid} {what}"));
    }

    fn line(&mut self, text: &str) {
        let millis = self.now.0 / 1000;
        self.trace.push_str(&format!("{millis:>6} {text}\n"));
    }
}

/// A zxid as epoch and counter.
pub(crate) fn short(zxid: Zxid) -> String {
    if zxid == Zxid::NONE {
        return "-".into();
    }
    format!("{}:{}", zxid.epoch().0, zxid.counter())
}

/// A packet for people.
fn said(packet: &QuorumPacket) -> String {
    let data = packet.data.as_deref().unwrap_or_default();
    let name = format!("{:?}", packet.kind).to_uppercase();
    let more = match packet.kind {
        PacketKind::AckEpoch => {
            let epoch = data.try_into().map(i32::from_be_bytes);
            epoch.map_or(String::new(), |epoch| format!(" current={epoch}"))
        }
        PacketKind::Ping if !data.is_empty() => format!(" touched={}", data.len() / 12),
        PacketKind::Revalidate => format!(" {data:?}"),
        _ => String::new(),
    };
    format!("{name} {}{more}", short(packet.zxid))
}
