//! The election: who should lead, by votes that every server sends to every other.
//!
//! A server that looks for a leader votes for itself first, and from then on for the best it has
//! heard of: the newest epoch, the longest history, the largest id. As soon as a quorum votes alike
//! and no better vote can be expected, each of them goes on alone: the one voted for leads, the
//! others dial it. A server that comes later asks, and joins when a quorum *and the leader itself*
//! tell it the same.
//!
//! ```text
//!   look ──► propose ◄── a better vote ──┐
//!               │ a quorum agrees        │
//!               ▼                        │
//!             wait ──────────────────────┘
//!               │ all voters were heard or cannot be reached, or the wait is over
//!               ▼
//!            Decided: LEADING, FOLLOWING or OBSERVING; who asks from now on is told of it
//! ```
//!
//! Rounds keep elections apart: a vote counts only in its round, and who hears of a later round
//! moves there. An election is about progress only. That two leaders never both commit is the
//! business of the epochs ([`crate::leader`]).
//!
//! Beyond what ZooKeeper does, and without its servers noticing more than speed:
//! - The wait ends when nobody is left to be waited for.
//! - A vote in the same round is answered if it is worse, or its sender's first: the sender may
//!   have sat in its old role, and dropped what it heard, when ours came.
//! - Who asked in vain, or could not be asked, is told when there is a leader.
//! - An observer goes by the words of those who have a leader only. Proposals change without its
//!   being told.
//! - Unreachable voters are dialled again at least every second, and an observer asks as often.
//!
//! Not here: connections ([`crate::connect_rule`] and the driver), and what configurations others
//! send, since members do not change while servers run ([`QuorumConfig::at_version_of`]).

mod ballot;
mod search;

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use ostler_wire::ids::{Epoch, Sid, Zxid};
use ostler_wire::vote::{NOTIFICATION_VERSION, Notification, ServerState, peer_epoch};

use crate::clock::Time;
use crate::quorum_config::QuorumConfig;
use crate::settings::ZabSettings;
use search::Search;

/// A vote: whom, and what makes that server a good choice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vote {
    /// The server voted for.
    pub leader: Sid,
    /// Its last zxid.
    pub zxid: Zxid,
    /// The round in which the vote was cast.
    pub round: i64,
    /// The server's current epoch.
    pub peer_epoch: i64,
}

/// What has to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ElectionEffect {
    /// Send this to a server, in place of anything that waits to be sent to it; dial it if there is
    /// no connection.
    Send(Sid, Notification),
    /// Dial this server if there is no connection to it.
    Connect(Sid),
    /// The election is over; [`Election::state`] says as what this server goes on.
    Decided(Vote),
}

/// One server's part in all elections of its life: it looks for a leader when told to, and answers
/// those who look at all times.
#[derive(Debug)]
pub struct Election {
    settings: Arc<ZabSettings>,
    config: Arc<QuorumConfig>,
    /// `config` as every notification carries it.
    config_text: String,
    /// What this server is doing. It looks from the start, although it does not begin to vote
    /// before it is told to.
    state: ServerState,
    /// The present round, or the one in which the leader was found.
    round: i64,
    /// How the last election ended; none before the first end.
    decided: Option<Vote>,
    /// Voters of which the last that was heard is that they cannot be reached: at all times, since
    /// the loss of a leader's connection may be known before the search for the next one begins.
    unreachable: BTreeSet<Sid>,
    /// Invariant: there is none unless this server is looking.
    search: Option<Search>,
}

impl Election {
    /// A server that has not looked for a leader yet.
    #[must_use]
    pub fn new(settings: Arc<ZabSettings>, config: Arc<QuorumConfig>) -> Self {
        Self {
            config_text: config.text(),
            settings,
            config,
            state: ServerState::Looking,
            round: 0,
            decided: None,
            unreachable: BTreeSet::new(),
            search: None,
        }
    }

    /// Begins a round. `last` is the last transaction on this server's disk, committed or not;
    /// -1 if its data are unexpectedly missing, and then its vote does not count.
    pub fn look(
        &mut self,
        now: Time,
        last: Zxid,
        current_epoch: Epoch,
        out: &mut Vec<ElectionEffect>,
    ) {
        self.state = ServerState::Looking;
        self.round = self.round.saturating_add(1);
        let votes = self.config.is_voter(self.settings.my_sid);
        let initial = if votes {
            Vote {
                leader: self.settings.my_sid,
                zxid: last,
                round: self.round,
                peer_epoch: peer_epoch(current_epoch),
            }
        } else {
            Vote { round: self.round, ..NOBODY }
        };
        self.search = Some(Search::new(initial));
        self.propose(now, initial, out);
        self.count(now, out);
    }

    /// A notification arrived. Those from this server itself never come this way.
    pub fn notification(
        &mut self,
        now: Time,
        from: Sid,
        notification: &Notification,
        out: &mut Vec<ElectionEffect>,
    ) {
        if from == self.settings.my_sid {
            return;
        }
        self.unreachable.remove(&from);
        if !self.config.is_voter(from) {
            // Java answers whatever such a server says. Only one who looks can use it, and two
            // servers with different configurations would answer each other for ever.
            if notification.state == ServerState::Looking {
                self.answer_stranger(from, out);
            }
        } else if self.search.is_some() {
            self.hear(now, from, notification, out);
        } else if notification.state == ServerState::Looking
            && let Some(decided) = self.decided
            && self.state != ServerState::Looking
        {
            out.push(ElectionEffect::Send(from, self.message(decided)));
        }
    }

    /// There is a new connection to a server.
    ///
    /// What was sent to it last may have been lost with an earlier connection, so it is sent again.
    pub fn connected(&mut self, _now: Time, sid: Sid, out: &mut Vec<ElectionEffect>) {
        self.unreachable.remove(&sid);
        let Some(search) = &self.search else { return };
        if self.config.is_voter(sid) && sid != self.settings.my_sid {
            let proposal = search.proposal;
            out.push(ElectionEffect::Send(sid, self.message(proposal)));
        }
    }

    /// A server cannot be reached: its connection broke, or dialling it failed.
    pub fn unreachable(&mut self, now: Time, sid: Sid, out: &mut Vec<ElectionEffect>) {
        if self.config.is_voter(sid) {
            self.unreachable.insert(sid);
            self.count(now, out);
        }
    }

    /// [`Election::next_deadline`] has come.
    pub fn deadline(&mut self, now: Time, out: &mut Vec<ElectionEffect>) {
        self.end_wait(now, out);
        self.ask_again(now, out);
    }

    /// When [`Election::deadline`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        self.search.as_ref().map(Search::next_deadline)
    }

    /// The same servers have a later version of their configuration: it is what others are told.
    pub fn adopt(&mut self, config: Arc<QuorumConfig>) {
        self.config_text = config.text();
        self.config = config;
    }

    /// This server and its leader have agreed on an epoch: later joiners are told of it.
    ///
    /// Else they would hear of different epochs from those who elected the leader and from those
    /// who joined it later, and find no quorum.
    // Java: QuorumPeer.updateElectionVote (ZOOKEEPER-1732).
    pub fn settled(&mut self, epoch: Epoch) {
        if self.state == ServerState::Looking {
            return;
        }
        if let Some(decided) = &mut self.decided {
            decided.peer_epoch = peer_epoch(epoch);
        }
    }

    /// Whether a voter that looks for a leader knows a better one than this server, which leads.
    ///
    /// Who was elected without having heard of a server that was about to start may be left alone:
    /// the others elect that one. As long as nobody follows, it should look again.
    #[must_use]
    pub fn is_outvoted(&self, from: Sid, notification: &Notification) -> bool {
        self.state == ServerState::Leading
            && self.config.is_voter(from)
            && notification.state == ServerState::Looking
            && notification.round >= self.round
            && self.decided.is_some_and(|decided| {
                Vote::from(notification).is_better_than(&decided, &self.config)
            })
    }

    /// What this server does.
    #[must_use]
    pub fn state(&self) -> ServerState {
        self.state
    }

    /// Whom it votes for.
    #[must_use]
    pub fn vote(&self) -> Vote {
        let proposal = self.search.as_ref().map(|search| search.proposal);
        proposal.or(self.decided).unwrap_or(NOBODY)
    }

    /// Answers one who does not vote: now, or when there is a leader.
    // Java: FastLeaderElection.Messenger.WorkerReceiver, which answers at once with the leader of
    // the *last* election even while looking for another one; an observer then counts that as a
    // vote, and dials a dead server.
    fn answer_stranger(&mut self, from: Sid, out: &mut Vec<ElectionEffect>) {
        if let Some(search) = &mut self.search {
            // Others than members are too many to be remembered; they ask again.
            if self.config.members.contains_key(&from) {
                search.asked.insert(from);
            }
        } else if self.state != ServerState::Looking
            && let Some(decided) = self.decided
        {
            let vote = Vote { round: self.round, ..decided };
            out.push(ElectionEffect::Send(from, self.message(vote)));
        }
    }

    fn message(&self, vote: Vote) -> Notification {
        Notification {
            state: self.state,
            leader: vote.leader,
            zxid: vote.zxid,
            round: vote.round,
            peer_epoch: vote.peer_epoch,
            version: NOTIFICATION_VERSION,
            config: self.config_text.clone(),
        }
    }
}

/// The vote of one who has no vote.
// Java: FastLeaderElection.getInitId and its sisters.
const NOBODY: Vote =
    Vote { leader: Sid(i64::MIN), zxid: Zxid(i64::MIN), round: 0, peer_epoch: i64::MIN };
