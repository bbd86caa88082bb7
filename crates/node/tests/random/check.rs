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

use std::collections::BTreeMap;

use ostler_node::clock::{Span, Time};
use ostler_node::limits::EXPIRY_GRACE;
use ostler_wire::ids::{SessionId, Xid, Zxid};
use ostler_wire::request::Request;
use ostler_wire::txn::{Txn, TxnHeader, TxnRecord};

use crate::common::answer::{Answer, Frame};
use crate::common::{START_MS, WALL_START_MS};
use crate::hearing::{Hearing, Step, is_write, same};
use crate::model::Moment;
use crate::{Asked, History, Talk};

pub(crate) fn check(history: &History) {
    let steps = replay(history);
    for commit in &history.world.published {
        if let Some(last) = commit.zxids().next_back() {
            same(&commit.view, &steps[index(last)].model, None);
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
    let mut steps = vec![Step::first()];
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
        steps.push(Step { zxid: header.zxid, model, changes, outcome, header: Some(header) });
    }
    steps
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
    let mut hearing = Hearing::new(steps);
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
                // The log of one server has no gaps, so that it has every zxid that was told.
                let step = &steps[index(*zxid)];
                if is_write(&asked.request) {
                    let header = step.header.expect("every step but the first has one");
                    assert_eq!(header.cxid, asked.xid, "the transaction of {:?}", asked.request);
                }
                hearing.reply((asked.xid, &asked.request), *zxid, outcome);
            }
        }
    }
    if talk.lasted {
        assert!(index(history.quiet_zxid) < steps.len());
        hearing.go_to(history.quiet_zxid);
        hearing.assert_told();
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
