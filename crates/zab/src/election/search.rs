//! One search for a leader: from the first vote to the decision.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use ostler_wire::ids::{Sid, Zxid};
use ostler_wire::vote::{Notification, ServerState};

use super::ballot::{Ballot, BallotBox};
use super::{Election, ElectionEffect, Vote};
use crate::clock::{Span, Time};

/// What a server that looks for a leader knows. Every set is bounded by the number of members.
#[derive(Debug)]
pub(super) struct Search {
    /// Its vote for itself, to which it returns when a later round begins.
    initial: Vote,
    /// Invariant: its round is the election's.
    pub(super) proposal: Vote,
    /// What voters said in this round, this server included.
    in_round: BallotBox,
    /// What those said who have a leader, in whichever round they found it.
    settled: BallotBox,
    /// Voters whose data are missing: nothing can be expected of them.
    without_data: BTreeSet<Sid>,
    /// Who was told the proposal although it had been sent it before: at most once until it is sent
    /// to all again, for servers with different configurations may never agree.
    reminded: BTreeSet<Sid>,
    /// Members without a vote that asked, and wait to be told.
    pub(super) asked: BTreeSet<Sid>,
    /// Until when a better vote is waited for, once a quorum agrees.
    wait_ends: Option<Time>,
    /// When the proposal is sent again.
    ask_again: Time,
    ask_again_ms: u64,
}

impl Search {
    pub(super) fn new(initial: Vote) -> Self {
        Self {
            initial,
            proposal: initial,
            in_round: BallotBox::default(),
            settled: BallotBox::default(),
            without_data: BTreeSet::new(),
            reminded: BTreeSet::new(),
            asked: BTreeSet::new(),
            wait_ends: None,
            ask_again: Time::default(),
            ask_again_ms: 0,
        }
    }

    pub(super) fn next_deadline(&self) -> Time {
        self.wait_ends.map_or(self.ask_again, |wait_ends| wait_ends.min(self.ask_again))
    }

    /// Who would go without the outcome, or hear of it late: members that have asked in vain, and
    /// voters for which only a proposal waits, which is old news by the time they can be reached.
    fn to_be_told(&self, unreachable: &BTreeSet<Sid>) -> BTreeSet<Sid> {
        let voters = unreachable.union(&self.without_data);
        voters.chain(&self.asked).copied().collect()
    }

    /// A server without data neither counts votes nor casts one.
    fn has_data(&self) -> bool {
        self.initial.zxid != Zxid::NONE
    }
}

impl Election {
    /// Votes, and tells all voters.
    pub(super) fn propose(&mut self, now: Time, vote: Vote, out: &mut Vec<ElectionEffect>) {
        assert_eq!(self.state, ServerState::Looking, "only who looks proposes");
        assert_eq!(self.round, vote.round, "a proposal is for the present round");
        let me = self.settings.my_sid;
        let Some(search) = &mut self.search else { return };
        search.proposal = vote;
        search.wait_ends = None;
        search.reminded.clear();
        search.ask_again_ms = self.settings.notification_min_ms;
        search.ask_again = now + Span::from_millis(search.ask_again_ms);
        if self.config.is_voter(me) && search.has_data() {
            search.in_round.put(me, Ballot::looking(vote));
        }
        for voter in self.config.voters().filter(|voter| *voter != me) {
            out.push(ElectionEffect::Send(voter, self.message(vote)));
        }
    }

    /// A voter has said something while this server looks.
    pub(super) fn hear(
        &mut self,
        now: Time,
        from: Sid,
        notification: &Notification,
        out: &mut Vec<ElectionEffect>,
    ) {
        match notification.state {
            ServerState::Looking => self.hear_vote(now, from, notification, out),
            ServerState::Following | ServerState::Leading => {
                self.hear_settled(now, from, notification, out);
            }
            // A voter that says so has another configuration.
            ServerState::Observing => {}
        }
    }

    /// A voter that looks has voted. That is for voters.
    fn hear_vote(
        &mut self,
        now: Time,
        from: Sid,
        notification: &Notification,
        out: &mut Vec<ElectionEffect>,
    ) {
        let votes = self.config.is_voter(self.settings.my_sid);
        let Some(search) = self.search.as_mut().filter(|_| votes) else { return };
        let (proposal, initial) = (search.proposal, search.initial);
        let vote = Vote::from(notification);
        if vote.round < self.round {
            self.remind(from, out);
            return;
        }
        if vote.zxid == Zxid::NONE {
            search.without_data.insert(from);
            self.count(now, out);
            return;
        }
        search.without_data.remove(&from);
        if !search.has_data() || !self.config.is_voter(vote.leader) {
            return;
        }
        if vote.round > self.round {
            self.round = vote.round;
            search.in_round.clear();
            let own = Vote { round: vote.round, ..initial };
            let better = if vote.is_better_than(&own, &self.config) { vote } else { own };
            self.propose(now, better, out);
        } else if vote.is_better_than(&proposal, &self.config) {
            self.propose(now, vote, out);
        } else if !vote.agrees_with(&proposal) || !search.in_round.has_heard(from) {
            // Who speaks for the first time may have dropped all that was said before.
            self.remind(from, out);
        }
        if let Some(search) = &mut self.search {
            search.in_round.put(from, Ballot::looking(vote));
        }
        self.count(now, out);
    }

    /// A voter that has a leader says which one.
    // Java: FastLeaderElection.receivedFollowingNotification.
    fn hear_settled(
        &mut self,
        now: Time,
        from: Sid,
        notification: &Notification,
        out: &mut Vec<ElectionEffect>,
    ) {
        let vote = Vote::from(notification);
        if !self.config.is_voter(vote.leader) {
            return;
        }
        let Some(search) = &mut self.search else { return };
        let ballot = Ballot { vote, state: notification.state, version: notification.version };
        let leads = |heard: &BallotBox| {
            if vote.leader == self.settings.my_sid {
                // They may mean what this server was before it came down.
                vote.round == self.round
            } else {
                // It may have come down without their noticing.
                heard.is_leading(vote.leader)
            }
        };
        let mut found = false;
        if vote.round == self.round {
            // Java: the vote is kept without its version, and so compared by the leader alone.
            search.in_round.put(from, Ballot { version: 0, ..ballot });
            found =
                search.in_round.has_quorum_for(&ballot, &self.config) && leads(&search.in_round);
        }
        search.settled.put(from, ballot);
        found =
            found || search.settled.has_quorum_for(&ballot, &self.config) && leads(&search.settled);
        if found {
            self.decide(vote, out);
        } else {
            self.count(now, out);
        }
    }

    /// Tells a voter that is behind what this server votes for.
    fn remind(&mut self, voter: Sid, out: &mut Vec<ElectionEffect>) {
        let Some(search) = &mut self.search else { return };
        if search.reminded.insert(voter) {
            let proposal = search.proposal;
            out.push(ElectionEffect::Send(voter, self.message(proposal)));
        }
    }

    /// Decides if a quorum votes for the proposal and nobody is left to be waited for; else begins
    /// to wait, or goes on waiting, if there is a quorum.
    pub(super) fn count(&mut self, now: Time, out: &mut Vec<ElectionEffect>) {
        let Some(search) = &mut self.search else { return };
        let proposal = search.proposal;
        if !search.in_round.has_quorum_for(&Ballot::looking(proposal), &self.config) {
            search.wait_ends = None;
            return;
        }
        // A better vote can come from nobody else: it begins as the vote of a server for itself.
        // That of the leader-to-be is known.
        let mut voters = self.config.voters();
        let nobody_left = voters.all(|voter| {
            voter == proposal.leader
                || search.in_round.has_heard(voter)
                || self.unreachable.contains(&voter)
                || search.without_data.contains(&voter)
                || self.config.weight(voter) <= 0
        });
        drop(voters);
        if nobody_left {
            self.decide(proposal, out);
        } else if search.wait_ends.is_none() {
            search.wait_ends = Some(now + Span::from_millis(self.settings.finalize_wait_ms));
        }
    }

    /// Decides if the wait is over: no better vote has come.
    pub(super) fn end_wait(&mut self, now: Time, out: &mut Vec<ElectionEffect>) {
        let Some(search) = &mut self.search else { return };
        if search.wait_ends.is_none_or(|wait_ends| wait_ends > now) {
            return;
        }
        search.wait_ends = None;
        let proposal = search.proposal;
        // Somebody who agreed may have found another leader meanwhile.
        if search.in_round.has_quorum_for(&Ballot::looking(proposal), &self.config) {
            self.decide(proposal, out);
        }
    }

    /// Tells all voters again, if it is time: notifications get lost with their connections, and
    /// those who have found a leader meanwhile speak only when asked.
    pub(super) fn ask_again(&mut self, now: Time, out: &mut Vec<ElectionEffect>) {
        let Some(search) = &mut self.search else { return };
        if search.ask_again > now {
            return;
        }
        let mut longest_ms = self.settings.notification_max_ms;
        let votes = self.config.is_voter(self.settings.my_sid);
        if !votes || !self.unreachable.is_empty() {
            longest_ms = longest_ms.min(IN_NEED_INTERVAL_MAX_MS);
        }
        let doubled_ms = search.ask_again_ms.saturating_mul(2).min(longest_ms);
        search.ask_again_ms = doubled_ms.max(1);
        search.ask_again = now + Span::from_millis(search.ask_again_ms);
        search.reminded.clear();
        let proposal = search.proposal;
        for voter in self.config.voters().filter(|voter| *voter != self.settings.my_sid) {
            // Who gets connected is sent the proposal anyway.
            out.push(if self.unreachable.contains(&voter) {
                ElectionEffect::Connect(voter)
            } else {
                ElectionEffect::Send(voter, self.message(proposal))
            });
        }
    }

    fn decide(&mut self, vote: Vote, out: &mut Vec<ElectionEffect>) {
        let me = self.settings.my_sid;
        self.state = if vote.leader == me {
            ServerState::Leading
        } else if self.config.is_voter(me) {
            ServerState::Following
        } else {
            ServerState::Observing
        };
        self.round = vote.round;
        self.decided = Some(vote);
        if let Some(search) = self.search.take() {
            for sid in search.to_be_told(&self.unreachable) {
                out.push(ElectionEffect::Send(sid, self.message(vote)));
            }
        }
        out.push(ElectionEffect::Decided(vote));
    }
}

/// How long a voter that cannot be reached is left alone, and how long an observer waits before it
/// asks again. ZooKeeper's intervals grow to a minute, which is long for an ensemble that needs
/// just this voter, and for the clients of an observer that nobody tells when there is a leader.
const IN_NEED_INTERVAL_MAX_MS: u64 = 1000;
