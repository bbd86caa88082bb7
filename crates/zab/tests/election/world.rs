//! An ensemble of elections, with just so much of a server around each that it goes on from one
//! election to the next: a leader is established when a quorum has come to it, gives up when it has
//! none for too long, and whoever loses its leader looks for another one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use ostler_wire::ids::{Epoch, Sid, Zxid};
use ostler_wire::vote::{Notification, ServerState};
use ostler_zab::clock::{Span, Time};
use ostler_zab::connect_rule::{Verdict, accepted, dialled};
use ostler_zab::election::{Election, ElectionEffect, Vote};
use ostler_zab::quorum_config::QuorumConfig;
use ostler_zab::settings::ZabSettings;

use crate::dice::Dice;
use crate::java::JavaElection;
use crate::net::{Message, Net, Path};

/// How long a follower tries to reach its leader, and a leader waits for a quorum.
const JOIN_MS: u64 = 500;
const REIGN_MS: u64 = 2000;
/// Between two tries.
const RETRY_MS: u64 = 20;
/// After which a dial over a cut path fails.
const DIAL_MS: u64 = 300;

pub(crate) struct World {
    pub(crate) now: Time,
    events: BTreeMap<(Time, u64), Event>,
    event_count: u64,
    pub(crate) servers: BTreeMap<Sid, Server>,
    pub(crate) net: Net,
    pub(crate) config: Arc<QuorumConfig>,
    /// Which of the servers are Apache's.
    pub(crate) apaches: BTreeSet<Sid>,
    dice: Dice,
    latency_us: (u64, u64),
    /// What happened, a line each.
    pub(crate) trace: String,
    /// Every decision that was made.
    pub(crate) decisions: Vec<(Time, Sid, Vote)>,
    /// Who ever voted for whom: while looking in which round, or else as its leader.
    said: BTreeSet<(Sid, Sid, Option<i64>)>,
}

/// One server.
pub(crate) struct Server {
    /// None while it is down, and for servers that the script plays.
    pub(crate) election: Option<Machine>,
    pub(crate) played: bool,
    /// Counts changes of role, so that what was meant for an earlier one is dropped.
    role_number: u64,
    pub(crate) role: Role,
    pub(crate) last: Zxid,
    pub(crate) epoch: Epoch,
}

/// Whose server it is.
pub(crate) enum Machine {
    Ours(Box<Election>),
    Java(Box<JavaElection>),
}

impl Machine {
    fn look(&mut self, now: Time, last: Zxid, epoch: Epoch, out: &mut Vec<ElectionEffect>) {
        match self {
            Self::Ours(ours) => ours.look(now, last, epoch, out),
            Self::Java(java) => java.look(now, last, epoch, out),
        }
    }

    fn notification(
        &mut self,
        now: Time,
        from: Sid,
        said: &Notification,
        out: &mut Vec<ElectionEffect>,
    ) {
        match self {
            Self::Ours(ours) => ours.notification(now, from, said, out),
            Self::Java(java) => java.notification(now, from, said, out),
        }
    }

    fn connected(&mut self, now: Time, sid: Sid, out: &mut Vec<ElectionEffect>) {
        match self {
            Self::Ours(ours) => ours.connected(now, sid, out),
            Self::Java(java) => java.connected(sid, out),
        }
    }

    fn unreachable(&mut self, now: Time, sid: Sid, out: &mut Vec<ElectionEffect>) {
        match self {
            Self::Ours(ours) => ours.unreachable(now, sid, out),
            Self::Java(_) => {}
        }
    }

    fn deadline(&mut self, now: Time, out: &mut Vec<ElectionEffect>) {
        match self {
            Self::Ours(ours) => ours.deadline(now, out),
            Self::Java(java) => java.deadline(now, out),
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        match self {
            Self::Ours(ours) => ours.next_deadline(),
            Self::Java(java) => java.next_deadline(),
        }
    }

    fn settled(&mut self, epoch: Epoch) {
        match self {
            Self::Ours(ours) => ours.settled(epoch),
            Self::Java(java) => java.settled(epoch),
        }
    }

    fn state(&self) -> ServerState {
        match self {
            Self::Ours(ours) => ours.state(),
            Self::Java(java) => java.state(),
        }
    }

    fn vote(&self) -> Vote {
        match self {
            Self::Ours(ours) => ours.vote(),
            Self::Java(java) => java.vote(),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    Down,
    Looking,
    Led { leader: Sid, joined: bool, until: Time },
    Leading { established: bool, joined: BTreeSet<Sid> },
}

#[derive(Debug)]
enum Event {
    /// The network takes what waits for a server; until then it may have been replaced.
    Leaves(Sid, Sid),
    Arrives(Message),
    Dialled(Sid, Sid),
    /// A learner tries to join its leader.
    Join(Sid, u64),
    /// A leader has waited long enough for a quorum.
    NoQuorum(Sid, u64),
    /// A server notices that what it relied on is gone.
    Lost(Sid, u64),
}

impl World {
    pub(crate) fn new(config: QuorumConfig, seed: u64, latency_us: (u64, u64)) -> Self {
        Self {
            now: Time::default(),
            events: BTreeMap::new(),
            event_count: 0,
            servers: BTreeMap::new(),
            net: Net::default(),
            config: Arc::new(config),
            apaches: BTreeSet::new(),
            dice: Dice::new(seed),
            latency_us,
            trace: String::new(),
            decisions: Vec::new(),
            said: BTreeSet::new(),
        }
    }

    pub(crate) fn start(&mut self, sid: Sid, last: Zxid, epoch: Epoch) {
        let config = self.config.clone();
        let election = Some(if self.apaches.contains(&sid) {
            Machine::Java(Box::new(JavaElection::new(sid, config)))
        } else {
            Machine::Ours(Box::new(Election::new(Arc::new(settings(sid)), config)))
        });
        let role_number = self.servers.get(&sid).map_or(0, |server| server.role_number + 1);
        let role = Role::Looking;
        let server = Server { election, played: false, role_number, role, last, epoch };
        self.servers.insert(sid, server);
        self.look(sid);
    }

    /// A server whose words come from the script.
    pub(crate) fn play(&mut self, sid: Sid) {
        let server = Server {
            election: None,
            played: true,
            role_number: 0,
            role: Role::Looking,
            last: Zxid::ZERO,
            epoch: Epoch(0),
        };
        self.servers.insert(sid, server);
    }

    pub(crate) fn crash(&mut self, sid: Sid) {
        self.note(sid, "is down");
        self.change_role(sid, Role::Down);
        self.server(sid).election = None;
        self.net.forget(sid);
        for other in self.others(sid) {
            self.break_connection(sid, other);
            self.part(sid, other);
        }
    }

    /// Ends what is between two servers, as if a cable was drawn and the kernels knew.
    pub(crate) fn cut(&mut self, a: Sid, b: Sid) {
        self.net.set_path(a, b, Path::Cut);
        self.break_connection(a, b);
        self.part(a, b);
    }

    /// Stops what is between two servers without telling them.
    pub(crate) fn silence(&mut self, a: Sid, b: Sid) {
        self.net.set_path(a, b, Path::Silent);
        self.part(a, b);
    }

    pub(crate) fn heal(&mut self, a: Sid, b: Sid) {
        for message in self.net.set_path(a, b, Path::Open) {
            self.later(0, Event::Arrives(message));
        }
    }

    pub(crate) fn is_up(&self, sid: Sid) -> bool {
        self.servers.get(&sid).is_some_and(|server| server.played || server.election.is_some())
    }

    pub(crate) fn others(&self, sid: Sid) -> Vec<Sid> {
        self.servers.keys().copied().filter(|other| *other != sid).collect()
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, millis: u64) {
        let end = self.now + Span::from_millis(millis);
        while let Some(at) = self.next_time().filter(|at| *at <= end) {
            assert!(at >= self.now);
            self.now = at;
            self.step();
        }
        self.now = end;
    }

    /// Runs until all servers that are up follow one leader, and returns it with the time it took;
    /// none if it takes longer than `millis`.
    pub(crate) fn run_until_led(&mut self, millis: u64) -> Option<(Sid, u64)> {
        let start = self.now;
        let end = self.now + Span::from_millis(millis);
        loop {
            if let Some(leader) = self.leader_of_all() {
                return Some((leader, self.now.millis_since(start)));
            }
            self.now = self.next_time().filter(|at| *at <= end)?;
            self.step();
        }
    }

    /// The established leader that every server follows that is up.
    pub(crate) fn leader_of_all(&self) -> Option<Sid> {
        let is_established =
            |server: &Server| matches!(server.role, Role::Leading { established: true, .. });
        let (leader, _) = self.servers.iter().find(|(_, server)| is_established(server))?;
        let follows = |(sid, server): (&Sid, &Server)| match &server.role {
            Role::Down => true,
            Role::Looking => false,
            Role::Led { leader: its, joined, .. } => its == leader && *joined,
            Role::Leading { .. } => sid == leader,
        };
        self.servers.iter().all(follows).then_some(*leader)
    }

    fn next_time(&self) -> Option<Time> {
        let timers = self.servers.values().filter_map(|server| server.election.as_ref());
        let timer = timers.filter_map(Machine::next_deadline).min();
        let event = self.events.keys().next().map(|(at, _)| *at);
        match (timer, event) {
            (Some(timer), Some(event)) => Some(timer.min(event)),
            (timer, event) => timer.or(event),
        }
        .map(|at| at.max(self.now))
    }

    fn step(&mut self) {
        if let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let event = entry.remove();
            return self.happen(event);
        }
        let due = |server: &Server| {
            let deadline = server.election.as_ref().and_then(Machine::next_deadline);
            deadline.is_some_and(|at| at <= self.now)
        };
        let (sid, _) = self.servers.iter().find(|(_, server)| due(server)).expect("something due");
        self.with_election(*sid, |election, now, out| election.deadline(now, out));
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Leaves(from, to) => self.leaves(from, to),
            Event::Arrives(message) => self.arrives(message),
            Event::Dialled(from, to) => self.dialled(from, to),
            Event::Join(sid, role_number) if self.server(sid).role_number == role_number => {
                self.join(sid);
            }
            Event::NoQuorum(sid, role_number) if self.server(sid).role_number == role_number => {
                if matches!(self.server(sid).role, Role::Leading { established: false, .. }) {
                    self.note(sid, "gives up: nobody follows");
                    self.look(sid);
                }
            }
            Event::Lost(sid, role_number) if self.server(sid).role_number == role_number => {
                self.look(sid);
            }
            Event::Join(..) | Event::NoQuorum(..) | Event::Lost(..) => {}
        }
    }

    fn arrives(&mut self, message: Message) {
        let Message { connection, from, to, notification } = &message;
        if self.net.connection(*from, *to) != Some(*connection) || !self.is_up(*to) {
            return;
        }
        if self.net.path(*from, *to) == Path::Silent {
            return self.net.hold(message);
        }
        self.hears(*from, *to, notification);
    }

    /// A server hears something, over a connection or from the script.
    pub(crate) fn hears(&mut self, from: Sid, to: Sid, notification: &Notification) {
        self.line(&format!("{from} -> {to} {}", said(notification)));
        self.with_election(to, |election, now, out| {
            election.notification(now, from, notification, out);
        });
    }

    fn dial(&mut self, from: Sid, to: Sid) {
        if !self.config.members.contains_key(&to) || !self.net.dial(from, to) {
            return;
        }
        let open = self.net.path(from, to) == Path::Open;
        let micros = if open { self.latency() } else { DIAL_MS * 1000 };
        self.later(micros, Event::Dialled(from, to));
    }

    fn dialled(&mut self, from: Sid, to: Sid) {
        self.net.dial_ended(from, to);
        if !self.is_up(from) || self.net.connection(from, to).is_some() {
            return;
        }
        if !self.is_up(to) || self.net.path(from, to) != Path::Open {
            return self.with_election(from, |election, now, out| {
                election.unreachable(now, to, out);
            });
        }
        match (dialled(from, to), accepted(to, from)) {
            (Verdict::Keep, Verdict::Keep) => self.connect(from, to),
            (Verdict::Close, Verdict::DialBack) => self.dial(to, from),
            verdicts => panic!("{from} and {to} do not agree: {verdicts:?}"),
        }
    }

    fn connect(&mut self, a: Sid, b: Sid) {
        self.net.connect(a, b);
        for (me, other) in [(a, b), (b, a)] {
            self.with_election(me, |election, now, out| election.connected(now, other, out));
            self.start_sending(me, other);
        }
    }

    fn break_connection(&mut self, a: Sid, b: Sid) {
        if !self.net.disconnect(a, b) {
            return;
        }
        for (me, other) in [(a, b), (b, a)] {
            if self.is_up(me) {
                self.with_election(me, |election, now, out| {
                    election.unreachable(now, other, out);
                });
            }
        }
    }

    fn send(&mut self, from: Sid, to: Sid, notification: Notification) {
        self.net.enqueue(from, to, notification);
        if self.net.connection(from, to).is_some() {
            self.start_sending(from, to);
        } else {
            self.dial(from, to);
        }
    }

    fn start_sending(&mut self, from: Sid, to: Sid) {
        let delay_us = self.dice.between(0, (self.latency_us.1 - self.latency_us.0) / 4);
        self.later(delay_us, Event::Leaves(from, to));
    }

    fn leaves(&mut self, from: Sid, to: Sid) {
        let Some(connection) = self.net.connection(from, to) else { return };
        let Some(notification) = self.net.dequeue(from, to) else { return };
        let earliest = self.now + Span(self.latency());
        let at = self.net.arrival(from, to, earliest);
        let message = Message { connection, from, to, notification };
        self.later(at.0 - self.now.0, Event::Arrives(message));
    }

    pub(crate) fn look(&mut self, sid: Sid) {
        self.change_role(sid, Role::Looking);
        let (last, epoch) = (self.server(sid).last, self.server(sid).epoch);
        self.note(sid, "looks");
        self.with_election(sid, |election, now, out| election.look(now, last, epoch, out));
    }

    fn with_election(
        &mut self,
        sid: Sid,
        act: impl FnOnce(&mut Machine, Time, &mut Vec<ElectionEffect>),
    ) {
        let now = self.now;
        let Some(election) = &mut self.server(sid).election else { return };
        let mut out = Vec::new();
        act(election, now, &mut out);
        for effect in out {
            match effect {
                ElectionEffect::Send(to, notification) => {
                    let looking = notification.state == ServerState::Looking;
                    let round = looking.then_some(notification.round);
                    self.said.insert((sid, notification.leader, round));
                    self.send(sid, to, notification);
                }
                ElectionEffect::Connect(to) => self.dial(sid, to),
                ElectionEffect::Decided(vote) => self.decided(sid, vote),
            }
        }
    }

    fn decided(&mut self, sid: Sid, vote: Vote) {
        let server = self.server(sid);
        let election = server.election.as_ref().expect("a server that is up");
        assert_eq!(election.vote(), vote);
        let state = election.state();
        assert_eq!(state == ServerState::Leading, vote.leader == sid);
        let word = state_name(state).to_lowercase();
        self.note(sid, &format!("is {word}: {}", vote_text(&vote)));
        self.decisions.push((self.now, sid, vote));
        self.assert_voted_for(sid, &vote);
        if state == ServerState::Leading {
            self.change_role(sid, Role::Leading { established: false, joined: BTreeSet::new() });
            let role_number = self.server(sid).role_number;
            self.later(REIGN_MS * 1000, Event::NoQuorum(sid, role_number));
            self.establish(sid);
        } else {
            let until = self.now + Span::from_millis(JOIN_MS);
            self.change_role(sid, Role::Led { leader: vote.leader, joined: false, until });
            let (role_number, latency) = (self.server(sid).role_number, self.latency());
            self.later(latency, Event::Join(sid, role_number));
        }
    }

    /// Nobody decides without a quorum's word: for this leader in this round, or for the leader
    /// that they have already. Servers that the script plays may say what they like.
    fn assert_voted_for(&self, sid: Sid, vote: &Vote) {
        let voted = |voter: &Sid| {
            let said = |round| self.said.contains(&(*voter, vote.leader, round));
            let its_own = *voter == sid;
            its_own || self.servers[voter].played || said(Some(vote.round)) || said(None)
        };
        let voters = self.config.voters().filter(|voter| self.servers.contains_key(voter));
        let voters: BTreeSet<Sid> = voters.filter(voted).collect();
        assert!(self.config.contains_quorum(&voters), "{sid} decides alone\n{}", self.trace);
    }

    /// A learner asks its leader to be taken.
    fn join(&mut self, sid: Sid) {
        let Role::Led { leader, joined: false, until } = self.server(sid).role else { return };
        let mine = (self.server(sid).epoch, self.server(sid).last);
        let taken = self.net.path(sid, leader) == Path::Open
            && self.servers.get_mut(&leader).is_some_and(|leader| match &mut leader.role {
                Role::Leading { established, joined } => {
                    // A leader that knows less than a learner sends it away.
                    let take = *established || mine <= (leader.epoch, leader.last);
                    if take {
                        joined.insert(sid);
                    }
                    take
                }
                Role::Down | Role::Looking | Role::Led { .. } => false,
            });
        if taken {
            self.server(sid).role = Role::Led { leader, joined: true, until };
            self.establish(leader);
        } else if self.now >= until {
            self.note(sid, &format!("gives up: {leader} does not take it"));
            self.look(sid);
        } else {
            let role_number = self.server(sid).role_number;
            self.later(RETRY_MS * 1000, Event::Join(sid, role_number));
        }
    }

    /// Establishes a leader that has a quorum, and gives those who came everything it has.
    fn establish(&mut self, leader: Sid) {
        let Role::Leading { established, joined } = self.server(leader).role.clone() else {
            return;
        };
        if !established {
            let mut with_it = joined.clone();
            with_it.insert(leader);
            if !self.config.contains_quorum(&with_it) {
                return;
            }
            let epoch = with_it.iter().map(|sid| self.servers[sid].epoch).max();
            let epoch = Epoch(epoch.map_or(0, |epoch| epoch.0) + 1);
            self.note(leader, &format!("is established in epoch {}", epoch.0));
            self.server(leader).role = Role::Leading { established: true, joined: joined.clone() };
            self.server(leader).last = epoch.first_zxid();
            self.server(leader).epoch = epoch;
        }
        let (epoch, last) = (self.server(leader).epoch, self.server(leader).last);
        for sid in joined.into_iter().chain([leader]) {
            let server = self.server(sid);
            (server.epoch, server.last) = (epoch, last);
            if let Some(election) = &mut server.election {
                election.settled(epoch);
            }
        }
    }

    /// Two servers do not hear each other any more; if one led the other, they will notice.
    fn part(&mut self, a: Sid, b: Sid) {
        for (leader, learner) in [(a, b), (b, a)] {
            if let Role::Led { leader: its, joined: true, .. } = self.server(learner).role
                && its == leader
            {
                self.lose(learner);
            }
            let config = self.config.clone();
            if let Role::Leading { established, joined } = &mut self.server(leader).role
                && joined.remove(&learner)
                && *established
            {
                let mut left = joined.clone();
                left.insert(leader);
                if !config.contains_quorum(&left) {
                    for learner in left {
                        self.lose(learner);
                    }
                }
            }
        }
    }

    fn lose(&mut self, sid: Sid) {
        let (role_number, latency) = (self.server(sid).role_number, self.latency());
        self.later(latency, Event::Lost(sid, role_number));
    }

    /// Leaves a role; those who relied on it will notice.
    fn change_role(&mut self, sid: Sid, role: Role) {
        let server = self.server(sid);
        server.role_number += 1;
        let old = std::mem::replace(&mut server.role, role);
        match old {
            Role::Leading { joined, .. } => {
                for learner in joined {
                    self.lose(learner);
                }
            }
            Role::Led { leader, joined: true, .. } => self.part(leader, sid),
            Role::Led { .. } | Role::Down | Role::Looking => {}
        }
    }

    pub(crate) fn server(&mut self, sid: Sid) -> &mut Server {
        self.servers.get_mut(&sid).expect("a server of the ensemble")
    }

    fn latency(&mut self) -> u64 {
        self.dice.between(self.latency_us.0, self.latency_us.1)
    }

    fn later(&mut self, micros: u64, event: Event) {
        self.event_count += 1;
        self.events.insert((self.now + Span(micros), self.event_count), event);
    }

    fn note(&mut self, sid: Sid, what: &str) {
        self.line(&format!("{sid} {what}"));
    }

    fn line(&mut self, what: &str) {
        let (millis, tenths) = (self.now.0 / 1000, self.now.0 % 1000 / 100);
        let _ = writeln!(self.trace, "{millis:>4}.{tenths} {what}");
    }
}

fn settings(my_sid: Sid) -> ZabSettings {
    ZabSettings::new(my_sid)
}

pub(crate) fn state_name(state: ServerState) -> &'static str {
    match state {
        ServerState::Looking => "LOOKING",
        ServerState::Following => "FOLLOWING",
        ServerState::Leading => "LEADING",
        ServerState::Observing => "OBSERVING",
    }
}

fn said(notification: &Notification) -> String {
    let vote = Vote {
        leader: notification.leader,
        zxid: notification.zxid,
        round: notification.round,
        peer_epoch: notification.peer_epoch,
    };
    format!("{} {}", state_name(notification.state), vote_text(&vote))
}

fn vote_text(vote: &Vote) -> String {
    if vote.leader == Sid(i64::MIN) {
        return format!("nobody r{}", vote.round);
    }
    format!("{} e{} z{} r{}", vote.leader, vote.peer_epoch, vote.zxid, vote.round)
}
