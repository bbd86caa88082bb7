//! A server of Apache's, as far as elections go: the loop of its `FastLeaderElection` step by step,
//! with a queue before it and a drain behind a quorum, so that ours can be tried among them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use ostler_wire::ids::{Epoch, Sid, Zxid};
use ostler_wire::vote::{NOTIFICATION_VERSION, Notification, ServerState, peer_epoch};
use ostler_zab::clock::{Span, Time};
use ostler_zab::election::{ElectionEffect, Vote};
use ostler_zab::quorum_config::QuorumConfig;

const NOTIFICATION_MIN_MS: u64 = 200;
const NOTIFICATION_MAX_MS: u64 = 60_000;
const FINALIZE_WAIT_MS: u64 = 200;

#[derive(Debug)]
pub(crate) struct JavaElection {
    me: Sid,
    config: Arc<QuorumConfig>,
    state: ServerState,
    clock: i64,
    current: Vote,
    initial: Vote,
    proposal: Vote,
    queue: VecDeque<(Sid, Notification)>,
    received: BTreeMap<Sid, Counted>,
    outside: BTreeMap<Sid, Counted>,
    timeout_ms: u64,
    polls_until: Time,
    /// Whether it only waits for something better.
    drains: bool,
    /// What was sent last; sent again on a new connection.
    last: BTreeMap<Sid, Notification>,
}

#[derive(Clone, Copy, Debug)]
struct Counted {
    vote: Vote,
    state: ServerState,
    version: i32,
}

impl Counted {
    fn equals(&self, other: &Self) -> bool {
        if self.state == ServerState::Looking || other.state == ServerState::Looking {
            return self.vote == other.vote;
        }
        self.vote.leader == other.vote.leader
            && ((self.version > 0) ^ (other.version > 0)
                || self.vote.peer_epoch == other.vote.peer_epoch)
    }
}

impl JavaElection {
    pub(crate) fn new(me: Sid, config: Arc<QuorumConfig>) -> Self {
        let nobody = Vote { leader: me, zxid: Zxid::ZERO, round: -1, peer_epoch: 0 };
        Self {
            me,
            config,
            state: ServerState::Looking,
            clock: 0,
            current: nobody,
            initial: nobody,
            proposal: nobody,
            queue: VecDeque::new(),
            received: BTreeMap::new(),
            outside: BTreeMap::new(),
            timeout_ms: 0,
            polls_until: Time::default(),
            drains: false,
            last: BTreeMap::new(),
        }
    }

    pub(crate) fn look(
        &mut self,
        now: Time,
        last: Zxid,
        current_epoch: Epoch,
        out: &mut Vec<ElectionEffect>,
    ) {
        self.state = ServerState::Looking;
        self.clock += 1;
        let (leader, zxid, epoch) = if self.config.is_voter(self.me) {
            (self.me, last, peer_epoch(current_epoch))
        } else {
            (Sid(i64::MIN), Zxid(i64::MIN), i64::MIN)
        };
        self.initial = Vote { leader, zxid, round: self.clock, peer_epoch: epoch };
        self.proposal = self.initial;
        self.received.clear();
        self.outside.clear();
        self.drains = false;
        self.timeout_ms = NOTIFICATION_MIN_MS;
        self.send_to_all(out);
        self.poll(now, out);
    }

    pub(crate) fn notification(
        &mut self,
        now: Time,
        from: Sid,
        notification: &Notification,
        out: &mut Vec<ElectionEffect>,
    ) {
        let looks = notification.state == ServerState::Looking;
        if !self.config.is_voter(from) {
            let vote = Vote { round: self.clock, ..self.current };
            self.send(from, vote, self.state, out);
        } else if self.state == ServerState::Looking {
            self.queue.push_back((from, notification.clone()));
            if looks && notification.round < self.clock {
                self.send(from, self.proposal, ServerState::Looking, out);
            }
            self.work(now, out);
        } else if looks {
            self.send(from, self.current, self.state, out);
        }
    }

    pub(crate) fn connected(&self, sid: Sid, out: &mut Vec<ElectionEffect>) {
        let last = self.last.get(&sid).cloned();
        out.extend(last.map(|last| ElectionEffect::Send(sid, last)));
    }

    pub(crate) fn deadline(&mut self, now: Time, out: &mut Vec<ElectionEffect>) {
        if self.state != ServerState::Looking || now < self.polls_until {
            return;
        }
        if self.drains {
            return self.decide(self.proposal, out);
        }
        self.send_to_all(out);
        self.timeout_ms = (self.timeout_ms * 2).min(NOTIFICATION_MAX_MS);
        self.poll(now, out);
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        (self.state == ServerState::Looking && self.timeout_ms > 0).then_some(self.polls_until)
    }

    pub(crate) fn settled(&mut self, epoch: Epoch) {
        if self.state != ServerState::Looking {
            self.current.peer_epoch = peer_epoch(epoch);
        }
    }

    pub(crate) fn state(&self) -> ServerState {
        self.state
    }

    pub(crate) fn vote(&self) -> Vote {
        if self.state == ServerState::Looking { self.proposal } else { self.current }
    }

    /// Waits for the next notification, or takes those that are there.
    fn poll(&mut self, now: Time, out: &mut Vec<ElectionEffect>) {
        let wait_ms = if self.drains { FINALIZE_WAIT_MS } else { self.timeout_ms };
        self.polls_until = now + Span::from_millis(wait_ms);
        self.work(now, out);
    }

    fn work(&mut self, now: Time, out: &mut Vec<ElectionEffect>) {
        while self.state == ServerState::Looking
            && let Some((from, notification)) = self.queue.pop_front()
        {
            if self.drains {
                if self.is_better(&vote_of(&notification), &self.proposal) {
                    self.queue.push_back((from, notification));
                    self.drains = false;
                }
            } else {
                self.hear(from, &notification, out);
            }
            let wait_ms = if self.drains { FINALIZE_WAIT_MS } else { self.timeout_ms };
            self.polls_until = now + Span::from_millis(wait_ms);
        }
    }

    fn hear(&mut self, from: Sid, notification: &Notification, out: &mut Vec<ElectionEffect>) {
        if !self.config.is_voter(from) || !self.config.is_voter(notification.leader) {
            return;
        }
        match notification.state {
            ServerState::Looking => self.hear_looking(from, notification, out),
            ServerState::Observing => {}
            ServerState::Following | ServerState::Leading => {
                self.hear_settled(from, notification, out);
            }
        }
    }

    fn hear_looking(
        &mut self,
        from: Sid,
        notification: &Notification,
        out: &mut Vec<ElectionEffect>,
    ) {
        let vote = vote_of(notification);
        if self.initial.zxid == Zxid::NONE || vote.zxid == Zxid::NONE || vote.round < self.clock {
            return;
        }
        if vote.round > self.clock {
            self.clock = vote.round;
            self.received.clear();
            let better = self.is_better(&vote, &self.initial);
            let proposal = if better { vote } else { self.initial };
            self.proposal = Vote { round: self.clock, ..proposal };
            self.send_to_all(out);
        } else if self.is_better(&vote, &self.proposal) {
            self.proposal = vote;
            self.send_to_all(out);
        }
        self.received.insert(from, Counted { vote, state: ServerState::Looking, version: 0 });
        let proposal = Counted { vote: self.proposal, state: ServerState::Looking, version: 0 };
        self.drains = self.has_quorum(&self.received, &proposal);
    }

    fn hear_settled(
        &mut self,
        from: Sid,
        notification: &Notification,
        out: &mut Vec<ElectionEffect>,
    ) {
        let vote = vote_of(notification);
        let counted = Counted { vote, state: notification.state, version: notification.version };
        if vote.round == self.clock {
            self.received.insert(from, Counted { version: 0, ..counted });
            if self.has_quorum(&self.received, &counted) && self.leads(&self.received, &vote) {
                return self.decide(vote, out);
            }
        }
        self.outside.insert(from, counted);
        if self.has_quorum(&self.outside, &counted) && self.leads(&self.outside, &vote) {
            self.clock = vote.round;
            self.decide(vote, out);
        }
    }

    fn leads(&self, heard: &BTreeMap<Sid, Counted>, vote: &Vote) -> bool {
        if vote.leader == self.me {
            return vote.round == self.clock;
        }
        heard.get(&vote.leader).is_some_and(|counted| counted.state == ServerState::Leading)
    }

    fn has_quorum(&self, heard: &BTreeMap<Sid, Counted>, for_it: &Counted) -> bool {
        let same = heard.iter().filter(|(_, counted)| for_it.equals(counted));
        let voters: BTreeSet<Sid> = same.map(|(sid, _)| *sid).collect();
        self.config.contains_quorum(&voters)
    }

    fn is_better(&self, vote: &Vote, than: &Vote) -> bool {
        let order = |vote: &Vote| (vote.peer_epoch, vote.zxid.0, vote.leader);
        self.config.weight(vote.leader) != 0 && order(vote) > order(than)
    }

    fn decide(&mut self, vote: Vote, out: &mut Vec<ElectionEffect>) {
        self.state = if vote.leader == self.me {
            ServerState::Leading
        } else if self.config.is_voter(self.me) {
            ServerState::Following
        } else {
            ServerState::Observing
        };
        self.current = vote;
        self.queue.clear();
        out.push(ElectionEffect::Decided(vote));
    }

    fn send_to_all(&mut self, out: &mut Vec<ElectionEffect>) {
        let proposal = Vote { round: self.clock, ..self.proposal };
        for sid in self.config.clone().voters() {
            if sid == self.me {
                let said = self.message(proposal, ServerState::Looking);
                self.queue.push_back((sid, said));
            } else {
                self.send(sid, proposal, ServerState::Looking, out);
            }
        }
    }

    fn send(&mut self, to: Sid, vote: Vote, state: ServerState, out: &mut Vec<ElectionEffect>) {
        let notification = self.message(vote, state);
        self.last.insert(to, notification.clone());
        out.push(ElectionEffect::Send(to, notification));
    }

    fn message(&self, vote: Vote, state: ServerState) -> Notification {
        Notification {
            state,
            leader: vote.leader,
            zxid: vote.zxid,
            round: vote.round,
            peer_epoch: vote.peer_epoch,
            version: NOTIFICATION_VERSION,
            config: String::new(),
        }
    }
}

fn vote_of(notification: &Notification) -> Vote {
    Vote {
        leader: notification.leader,
        zxid: notification.zxid,
        round: notification.round,
        peer_epoch: notification.peer_epoch,
    }
}
