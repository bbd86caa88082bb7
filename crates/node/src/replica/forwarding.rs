//! What a learner's own clients wait for while the leader has it.
//!
//! A request is noted here before it is sent. It comes back as a proposal with the same session
//! and number; the oldest of its session that has not come back is the one. Requests that are
//! answered here without the leader stand in line too, so that each client gets its answers in the
//! order in which it asked.
//!
//! Bounds: every request here counts as outstanding in its shard, which takes no more than
//! `globalOutstandingLimit` and [`crate::limits::OUTSTANDING_MAX_BYTES`]; a connection asks for a
//! session once; signs of life are one for each session.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec;
use alloc::vec::Vec;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use ostler_wire::error::ErrorCode;
use ostler_wire::ids::{SessionId, Xid, Zxid};
use ostler_wire::quorum::Touched;
use ostler_wire::txn::Txn;

use super::answers::Asked;
use crate::messages::{ConnRef, Notice, Notices, Reply, ReplyBody};

/// All that is on its way to the leader or back.
#[derive(Debug, Default)]
pub(super) struct Forwarding {
    /// Oldest first; no session has an empty line.
    lines: HashMap<SessionId, VecDeque<Waiting>, FixedState>,
    /// The sessions of the syncs that the leader has, oldest first.
    syncs: VecDeque<SessionId>,
    /// Sessions that are being opened, and for whom.
    opens: BTreeMap<SessionId, ConnRef>,
    /// Sessions that their clients want back, oldest first.
    resumes: VecDeque<Resume>,
    /// Signs of life that the leader has not heard of, with the timeouts.
    touched: BTreeMap<SessionId, i32>,
}

/// A client that wants its session back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resume {
    pub(super) session: SessionId,
    pub(super) from: ConnRef,
    pub(super) timeout_ms: i32,
}

#[derive(Debug)]
struct Waiting {
    asked: Asked,
    /// The error that the client is told in place of the leader's.
    instead: Option<ErrorCode>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// A write that the leader has.
    Forwarded,
    /// A sync that the leader has, and its path.
    Syncing(Option<Box<str>>),
    /// A write that came back; its answer goes out with the commit.
    Proposed,
    /// Answered, but something before it is not.
    Answered(Reply),
    /// The same, and its session is over then.
    Ended(Reply),
}

impl Forwarding {
    /// Notes a write that is being sent to the leader. If it comes back as an error, its client is
    /// told the error `instead`, if there is one.
    pub(super) fn forwarded(
        &mut self,
        session: SessionId,
        mut asked: Asked,
        instead: Option<ErrorCode>,
    ) {
        let before = self.lines.get(&session).and_then(VecDeque::back);
        let is_write =
            |before: &Waiting| matches!(before.state, State::Forwarded | State::Proposed);
        asked.is_parted |= before.is_some_and(|before| !is_write(before));
        self.line_up(session, Waiting { asked, instead, state: State::Forwarded });
    }

    /// Notes a sync that is being sent to the leader.
    pub(super) fn syncing(&mut self, session: SessionId, asked: Asked, path: Option<Box<str>>) {
        self.syncs.push_back(session);
        self.line_up(session, Waiting { asked, instead: None, state: State::Syncing(path) });
    }

    /// Notes an answer that needs no leader; it is returned at once if nothing is before it.
    pub(super) fn answer_in_turn(
        &mut self,
        session: SessionId,
        asked: Asked,
        reply: Reply,
    ) -> Option<Notice> {
        if !self.lines.contains_key(&session) {
            return Some(Notice::Reply(reply));
        }
        self.line_up(session, Waiting { asked, instead: None, state: State::Answered(reply) });
        None
    }

    /// Notes the last answer of a session that ends here; what is to be told at once is returned.
    pub(super) fn end_in_turn(
        &mut self,
        session: SessionId,
        asked: Asked,
        reply: Reply,
    ) -> Vec<Notice> {
        if !self.lines.contains_key(&session) {
            return vec![Notice::Reply(reply), Notice::Ended(session)];
        }
        self.line_up(session, Waiting { asked, instead: None, state: State::Ended(reply) });
        Vec::new()
    }

    fn line_up(&mut self, session: SessionId, waiting: Waiting) {
        self.lines.entry(session).or_default().push_back(waiting);
    }

    /// Who asked for the transaction that has come, if it was a client of this server, and the
    /// error that it is to be told in place of another.
    ///
    /// A client that went on elsewhere may have begun to count anew there: what it asked here is
    /// not answered by what it asked there.
    // Java: CommitProcessor goes by session and number alone, and can mix the two up.
    pub(super) fn proposed(
        &mut self,
        session: SessionId,
        cxid: Xid,
        txn: &Txn<'_>,
    ) -> Option<(Asked, Option<ErrorCode>)> {
        let line = self.lines.get_mut(&session)?;
        let is_write = |waiting: &&mut Waiting| matches!(waiting.state, State::Forwarded);
        let oldest = line.iter_mut().find(is_write)?;
        if oldest.asked.xid != cxid || !oldest.asked.may_become(txn) {
            return None;
        }
        oldest.state = State::Proposed;
        Some((oldest.asked, oldest.instead))
    }

    /// The oldest write of a session that had come back is answered, as it was committed with
    /// `zxid`: appends the answers that waited for that.
    pub(super) fn committed(&mut self, session: SessionId, zxid: Zxid, told: &mut Notices) {
        let Some(line) = self.lines.get_mut(&session) else { return };
        let is_it = |waiting: &Waiting| matches!(waiting.state, State::Proposed);
        if let Some(at) = line.iter().position(is_it) {
            line.remove(at);
        }
        self.answer_ready(session, zxid, told);
    }

    /// The leader has ended the oldest sync; `zxid` is the last transaction before that. Appends
    /// its answer and those that waited for it.
    pub(super) fn synced(&mut self, zxid: Zxid, told: &mut Notices) {
        let Some(session) = self.syncs.pop_front() else { return };
        let Some(line) = self.lines.get_mut(&session) else { return };
        for waiting in line {
            if let State::Syncing(path) = &mut waiting.state {
                let body = ReplyBody::Sync(path.take());
                waiting.state = State::Answered(waiting.asked.reply(zxid, ErrorCode::OK, body));
                break;
            }
        }
        self.answer_ready(session, zxid, told);
    }

    fn answer_ready(&mut self, session: SessionId, zxid: Zxid, told: &mut Notices) {
        let Some(line) = self.lines.get_mut(&session) else { return };
        let is_ready =
            |waiting: &mut Waiting| matches!(waiting.state, State::Answered(_) | State::Ended(_));
        while let Some(ready) = line.pop_front_if(is_ready) {
            let ends = matches!(ready.state, State::Ended(_));
            let (State::Answered(reply) | State::Ended(reply)) = ready.state else {
                unreachable!("it was looked at")
            };
            // The client has heard of what came meanwhile.
            told.push(Notice::Reply(Reply { zxid: reply.zxid.max(zxid), ..reply }));
            if ends {
                told.push(Notice::Ended(session));
            }
        }
        if line.is_empty() {
            self.lines.remove(&session);
        }
    }

    /// Notes a session that the leader is asked to open.
    pub(super) fn opening(&mut self, session: SessionId, from: ConnRef) {
        self.opens.insert(session, from);
    }

    /// Who waits for a session that was opened.
    pub(super) fn opened(&mut self, session: SessionId) -> Option<ConnRef> {
        self.opens.remove(&session)
    }

    /// Notes a session of which the leader is asked whether it is alive.
    pub(super) fn resuming(&mut self, resume: Resume) {
        self.resumes.push_back(resume);
    }

    /// Who waits for the leader's word about a session.
    pub(super) fn resumed(&mut self, session: SessionId) -> Option<Resume> {
        let at = self.resumes.iter().position(|resume| resume.session == session)?;
        self.resumes.remove(at)
    }

    /// Notes a sign of life for the leader.
    pub(super) fn touch(&mut self, session: SessionId, timeout_ms: i32) {
        self.touched.insert(session, timeout_ms);
    }

    /// The signs of life since the last time.
    pub(super) fn take_touched(&mut self) -> Vec<Touched> {
        let touched = core::mem::take(&mut self.touched);
        let touched = touched.into_iter();
        touched.map(|(session, timeout_ms)| Touched { session, timeout_ms }).collect()
    }

    /// What everybody who waits is told when the leader is gone. Answers that go out with a commit
    /// are not here but there.
    pub(super) fn withdraw(self) -> Vec<Notice> {
        let lines = self.lines.into_values().flatten();
        let unanswered = lines.filter(|waiting| !matches!(waiting.state, State::Proposed));
        let mut told: Vec<Notice> = unanswered.map(|waiting| waiting.asked.dropped()).collect();
        let opens = self.opens.into_values();
        let resumes = self.resumes.into_iter().map(|resume| resume.from);
        told.extend(opens.chain(resumes).map(|to| Notice::TurnedAway { to }));
        told
    }
}
