//! Whether a history is right.
//!
//! The log says what happened: each record names the session and the number of its request. The
//! model does the same requests in the same order. Then
//!
//! - every published tree equals the model at its zxid, old ones still at the end;
//! - every answer equals what the model says at the answer's zxid;
//! - on each connection answers come in the order of requests and zxids never go back;
//! - each event is told exactly once, to those who waited, before any answer that could show it;
//! - a session that is heard does not expire.

use std::collections::{BTreeMap, VecDeque};

use ostler_node::clock::{Span, Time};
use ostler_node::limits::EXPIRY_GRACE;
use ostler_tree::Tree;
use ostler_wire::acl::{Acl, Id};
use ostler_wire::error::ErrorCode;
use ostler_wire::ids::{SessionId, Xid, Zxid};
use ostler_wire::reply::EventType;
use ostler_wire::request::Request;
use ostler_wire::txn::{Txn, TxnHeader, TxnRecord};

use crate::common::answer::{Answer, Frame};
use crate::common::{START_MS, WALL_START_MS};
use crate::model::{Change, Model, Moment, Watches};
use crate::{Asked, History, Talk};

/// The world after a transaction.
struct Step {
    model: Model,
    changes: Vec<Change>,
    /// What its request is answered.
    outcome: Result<Answer, ErrorCode>,
    header: Option<TxnHeader>,
}

pub(crate) fn check(history: &History) {
    let steps = replay(history);
    for commit in &history.world.published {
        if let Some(last) = commit.zxids().next_back() {
            same(&commit.view, &steps[index(last)].model);
        }
    }
    for talk in &history.talks {
        check_session(history, talk, &steps);
        check_talk(history, talk, &steps);
    }
    check_expiry(history, &steps);
}

/// Does on the model what the log says was done.
fn replay(history: &History) -> Vec<Step> {
    let mut asked: BTreeMap<Xid, &Request<'_>> = BTreeMap::new();
    for talk in &history.talks {
        asked.extend(talk.asked.iter().map(|asked| (asked.xid, &asked.request)));
    }
    let first = Step {
        model: Model::fresh(),
        changes: Vec::new(),
        outcome: Ok(Answer::Empty),
        header: None,
    };
    let mut steps = vec![first];
    for record in &history.world.durable {
        let TxnRecord { header, txn, .. } = TxnRecord::decode(&record.body).expect("a record");
        assert_eq!(index(header.zxid), steps.len());
        let mut model = steps.last().expect("at least the first").model.clone();
        let at = Moment { zxid: header.zxid, time: header.time, session: header.session };
        let mut changes = Vec::new();
        let outcome = match &txn {
            Txn::CreateSession { .. } => {
                assert!(model.sessions.insert(header.session), "{} is new", header.session);
                Ok(Answer::Empty)
            }
            Txn::CloseSession { paths } => {
                let paths = paths.iter().flatten().map(|path| path.to_string());
                model.close(at, &paths.collect::<Vec<_>>(), &mut changes);
                Ok(Answer::Empty)
            }
            txn => {
                assert!(model.sessions.contains(&header.session), "{} lives", header.session);
                // Removed, since nothing is done twice.
                let request = asked.remove(&header.cxid).expect("a request that was sent");
                let outcome = model.write(at, request, &mut changes);
                let refused = if let Txn::Error(code) = txn { Some(*code) } else { None };
                assert_eq!(outcome.as_ref().err().copied(), refused, "{request:?}");
                outcome
            }
        };
        steps.push(Step { model, changes, outcome, header: Some(header) });
    }
    steps
}

fn same(tree: &Tree, model: &Model) {
    let mut walk = tree.walk();
    let mut count = 0;
    while let Some((path, znode)) = walk.next() {
        let path = if path.is_empty() { "/" } else { path };
        let node =
            model.nodes.get(path).unwrap_or_else(|| panic!("{path} at {}", tree.last_zxid()));
        assert_eq!(znode.stat(), model.stat(path), "{path} at {}", tree.last_zxid());
        assert_eq!(znode.data(), node.data.as_deref(), "{path} at {}", tree.last_zxid());
        let acl = [Acl { perms: node.perms, id: Id::new("world", "anyone") }];
        assert_eq!(tree.acl(znode.acl_id()), acl, "{path} at {}", tree.last_zxid());
        count += 1;
    }
    assert_eq!(count, model.nodes.len(), "at {}", tree.last_zxid());
    let sessions: std::collections::BTreeSet<SessionId> =
        tree.sessions().map(|(session, _)| session).collect();
    assert_eq!(sessions, model.sessions, "at {}", tree.last_zxid());
}

/// Who gets a session and who does not.
fn check_session(history: &History, talk: &Talk, steps: &[Step]) {
    let Some((at, Frame::Connected(response))) = talk.frames.first() else { return };
    if response.session != SessionId::NONE {
        assert!(!talk.must_fail, "{} got {}", talk.wanted, response.session);
        assert!(talk.wanted == SessionId::NONE || talk.wanted == response.session);
        assert_eq!(response.timeout_ms, talk.timeout_ms);
    } else if !talk.must_fail && history.restarts == 0 {
        // A process that dies may forget that a session has ended.
        let end = ends(steps).find(|header| header.session == talk.wanted);
        let end = end.expect("all sessions end");
        assert!(moment(&end) <= *at, "{} was refused while it lived", talk.wanted);
    }
}

/// What one connection was told, from its first frame to its last.
fn check_talk(history: &History, talk: &Talk, steps: &[Step]) {
    let mut hearing = Hearing {
        steps,
        session: SessionId::NONE,
        zxid: Zxid::ZERO,
        answered: Zxid::ZERO,
        watches: Watches::default(),
        expected: VecDeque::new(),
        caught_up: Vec::new(),
    };
    let mut asked = talk.asked.iter();
    for (i, (_, frame)) in talk.frames.iter().enumerate() {
        match frame {
            Frame::Connected(response) => {
                assert_eq!(i, 0);
                hearing.session = response.session;
            }
            Frame::Text(text) => panic!("nobody asked for {text}"),
            Frame::Event { zxid, event_type, path } => {
                hearing.event(*zxid, *event_type, path);
            }
            Frame::Reply { zxid, outcome, .. } => {
                let asked = asked.next().expect("one answer for each request");
                hearing.reply(asked, *zxid, outcome);
            }
        }
    }
    if talk.lasted {
        while hearing.zxid < history.quiet_zxid {
            hearing.go_on();
        }
        assert!(hearing.expected.is_empty(), "never told: {:?}", hearing.expected);
    }
}

/// How far a connection has come, and what it must be told next.
struct Hearing<'h> {
    steps: &'h [Step],
    session: SessionId,
    zxid: Zxid,
    /// The zxid of the last answer.
    answered: Zxid,
    watches: Watches,
    expected: VecDeque<(Zxid, EventType, String)>,
    /// Events without a zxid that came since the last answer.
    caught_up: Vec<(EventType, String)>,
}

impl Hearing<'_> {
    fn event(&mut self, zxid: Zxid, event_type: EventType, path: &str) {
        if zxid == Zxid::NONE {
            return self.caught_up.push((event_type, path.to_owned()));
        }
        while self.expected.is_empty() && self.zxid < zxid {
            self.go_on();
        }
        let heard = (zxid, event_type, path.to_owned());
        assert_eq!(self.expected.pop_front(), Some(heard), "each event once, in order");
    }

    fn reply(&mut self, asked: &Asked, zxid: Zxid, outcome: &Result<Answer, ErrorCode>) {
        let Asked { xid, request, .. } = asked;
        assert!(zxid >= self.zxid, "{xid:?} at {zxid} after {}", self.zxid);
        while self.zxid < zxid {
            self.go_on();
        }
        assert!(self.expected.is_empty(), "{:?} comes before {xid:?}", self.expected);
        let step = &self.steps[index(zxid)];
        let is_write = matches!(
            request,
            Request::Create(_)
                | Request::Create2(_)
                | Request::CreateContainer(_)
                | Request::Delete { .. }
                | Request::SetData { .. }
                | Request::SetAcl { .. }
                | Request::Multi(_)
                | Request::CloseSession
        );
        let expected = if is_write {
            assert!(zxid > self.answered, "a read before {xid:?} saw it");
            let header = step.header.expect("every step but the first has one");
            assert_eq!(header.cxid, *xid, "the transaction of {request:?}");
            step.outcome.clone()
        } else if let Some(answer) = self.watches.request(request) {
            answer
        } else {
            step.model.read(request, self.session)
        };
        assert_eq!(*outcome, expected, "{xid:?} at {zxid}: {request:?}");
        self.answered = zxid;
        let caught_up = std::mem::take(&mut self.caught_up);
        let missed = match request {
            Request::SetWatches(lists) | Request::SetWatches2(lists) => {
                self.watches.catch_up(&step.model, lists)
            }
            _ => Vec::new(),
        };
        assert_eq!(caught_up, missed, "{xid:?} at {zxid}: {request:?}");
        self.watches.register(request, outcome.as_ref().map(|_| ()).map_err(|code| *code));
    }

    /// One transaction further.
    fn go_on(&mut self) {
        self.zxid = self.zxid.next();
        let mut events = Vec::new();
        for change in &self.steps[index(self.zxid)].changes {
            self.watches.fire(change, &mut events);
        }
        let at = self.zxid;
        self.expected.extend(events.into_iter().map(|(event_type, path)| (at, event_type, path)));
    }
}

/// A request is a sign of life between the times at which it was sent and answered.
fn check_expiry(history: &History, steps: &[Step]) {
    for header in ends(steps).filter(|header| header.cxid == Xid(0)) {
        let expired_at = moment(&header);
        for (asked, answered_at, timeout_ms) in answered(history, header.session) {
            // An answer within the moment that expiry waits for touches may have come too late.
            let was_in_time = answered_at + EXPIRY_GRACE <= expired_at;
            let alive_until = asked.sent_at + Span::from_millis(timeout_ms);
            let (session, xid) = (header.session, asked.xid);
            assert!(!was_in_time || alive_until <= expired_at, "{session} ends despite {xid:?}");
        }
    }
}

/// The transactions that end sessions.
fn ends(steps: &[Step]) -> impl Iterator<Item = TxnHeader> {
    let has = |step: &Step, header: &TxnHeader| step.model.sessions.contains(&header.session);
    let pairs = steps.iter().zip(&steps[1..]);
    pairs.filter_map(move |(before, step)| {
        let header = step.header.expect("every step but the first has one");
        (has(before, &header) && !has(step, &header)).then_some(header)
    })
}

/// The monotonic clock at a transaction.
fn moment(header: &TxnHeader) -> Time {
    let millis = header.time.0 - WALL_START_MS + START_MS.cast_signed();
    Time::from_millis(millis.cast_unsigned())
}

/// The answered requests of a session, each with when it was answered and with the timeout.
fn answered(history: &History, session: SessionId) -> impl Iterator<Item = (&Asked, Time, u64)> {
    let of_session = move |talk: &&Talk| {
        matches!(talk.frames.first(),
        Some((_, Frame::Connected(response))) if response.session == session)
    };
    history.talks.iter().filter(of_session).flat_map(|talk| {
        let replies = talk.frames.iter().filter(|(_, frame)| matches!(frame, Frame::Reply { .. }));
        let timeout_ms = u64::try_from(talk.timeout_ms).expect("positive");
        talk.asked.iter().zip(replies).map(move |(asked, (at, _))| (asked, *at, timeout_ms))
    })
}

fn index(zxid: Zxid) -> usize {
    usize::try_from(zxid.0).expect("zxids of histories are small")
}
