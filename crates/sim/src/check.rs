//! Whether what clients were told is right, once a run is over.
//!
//! The witness says what was committed: each record names the session and the number of its
//! request. The model does the same requests in the same order. Then
//!
//! - every committed tree equals the model;
//! - every answer equals what the model says at the answer's zxid, so nothing acknowledged is lost
//!   and nothing is done twice;
//! - on each connection answers come in the order of requests, and zxids never go back, not even
//!   from one connection of a client to its next;
//! - each event is told exactly once, to those who waited, before any answer that could show it;
//! - a write that was sent when another had been acknowledged comes after it;
//! - sessions do not expire before their time.

use std::collections::{BTreeMap, BTreeSet};

use ostler_node::clock::{Span, Time};
use ostler_wire::error::ErrorCode;
use ostler_wire::ids::{SessionId, Xid, Zxid};
use ostler_wire::reply::OpResult;
use ostler_wire::request::Request;
use ostler_wire::txn::{Txn, TxnHeader, TxnRecord};

use crate::answer::{Answer, Frame};
use crate::client::{Asked, Client, Talk};
use crate::hearing::{Hearing, Step, is_write, same};
use crate::model::{Change, Model, Moment};
use crate::witness::Witness;

/// What is checked.
pub(crate) struct History<'h> {
    pub(crate) witness: &'h Witness,
    pub(crate) clients: &'h [Client],
    /// The last transaction when everybody who lasted had been told of it.
    pub(crate) quiet: Zxid,
    /// Whether there were no faults at all.
    pub(crate) is_calm: bool,
    pub(crate) drift_ppm: u64,
}

impl History<'_> {
    pub(crate) fn check(&self) {
        let steps = self.replay();
        for (entry, step) in self.witness.committed.iter().zip(&steps[1..]) {
            same(&entry.tree, &step.model, Some("/zookeeper/config"));
        }
        for talk in self.talks() {
            check_session(talk);
            self.check_talk(talk, &steps);
        }
        self.check_order();
        if self.is_calm {
            self.check_syncs();
        }
        self.check_expiry(&steps);
    }

    fn talks(&self) -> impl Iterator<Item = &Talk> {
        self.clients.iter().flat_map(|client| &client.talks)
    }

    /// Does on the model what was committed.
    fn replay(&self) -> Vec<Step> {
        let mut asked: BTreeMap<Xid, (SessionId, &Request<'_>)> = BTreeMap::new();
        for talk in self.talks() {
            let session = session_of(talk);
            asked.extend(talk.asked.iter().map(|asked| (asked.xid, (session, &asked.request))));
        }
        let moved = self.moved();
        let mut steps = vec![Step::first()];
        for entry in &self.witness.committed {
            let TxnRecord { header, txn, .. } = TxnRecord::decode(&entry.body).expect("a record");
            let mut model = steps.last().expect("at least the first").model.clone();
            let mut changes = Vec::new();
            let request = match &txn {
                Txn::CreateSession { .. }
                | Txn::CloseSession { .. }
                | Txn::Delete { container: true, .. } => None,
                // Removed, since nothing is done twice.
                _ => {
                    let (session, request) =
                        asked.remove(&header.cxid).expect("a request that was sent, once");
                    assert_eq!(session, header.session, "the session of {:?}", header.cxid);
                    Some(request)
                }
            };
            let is_moved = moved.contains(&header.session);
            let outcome = apply(&mut model, &header, &txn, (request, is_moved), &mut changes);
            steps.push(Step { zxid: header.zxid, model, changes, outcome, header: Some(header) });
        }
        steps
    }

    /// Sessions that were on more than one connection.
    fn moved(&self) -> BTreeSet<SessionId> {
        let mut seen = BTreeSet::new();
        let mut moved = BTreeSet::new();
        for talk in self.talks() {
            let session = session_of(talk);
            let wanted = talk.wanted;
            if !seen.insert(session) || wanted != SessionId::NONE {
                moved.extend([session, wanted]);
            }
        }
        moved
    }

    /// What one connection was told, from its first frame to its last.
    fn check_talk(&self, talk: &Talk, steps: &[Step]) {
        let mut hearing = Hearing::new(steps);
        let mut asked = talk.asked.iter();
        for (_, frame) in &talk.frames {
            match frame {
                Frame::Connected(response) => {
                    hearing.session = response.session;
                    hearing.zxid = talk.seen;
                }
                Frame::Text(text) => panic!("nobody asked for {text}"),
                Frame::Event { zxid, event_type, path } => {
                    hearing.event(*zxid, *event_type, path);
                }
                Frame::Reply { zxid, outcome, .. } => {
                    let asked = asked.next().expect("one answer for each request");
                    hearing.reply((asked.xid, &asked.request), *zxid, outcome);
                }
            }
        }
        if talk.lasted {
            hearing.go_to(self.quiet);
            hearing.assert_told();
        }
    }

    /// Writes that followed each other in real time do so in history.
    fn check_order(&self) {
        let mut sent = Vec::new();
        let mut acknowledged = Vec::new();
        for (asked, at, zxid) in self.answers() {
            if is_write(&asked.request) {
                sent.push((asked.sent_at, zxid, asked.xid));
                acknowledged.push((at, zxid, asked.xid));
            }
        }
        sent.sort_unstable();
        acknowledged.sort_unstable();
        let mut before = acknowledged.into_iter().peekable();
        let mut greatest = Zxid::ZERO;
        for (sent_at, zxid, xid) in sent {
            while let Some((_, acknowledged, _)) = before.next_if(|(at, ..)| *at < sent_at) {
                greatest = greatest.max(acknowledged);
            }
            assert!(
                zxid > greatest,
                "{xid:?} got {zxid} though {greatest} was acknowledged before it was sent"
            );
        }
    }

    /// Who syncs sees every write that was acknowledged before.
    ///
    /// Only while all is well: a leader that does not know yet that it was deposed answers too, as
    /// ZooKeeper's do.
    fn check_syncs(&self) {
        let writes: Vec<(Time, Zxid)> = self
            .answers()
            .filter(|(asked, ..)| is_write(&asked.request))
            .map(|(_, at, zxid)| (at, zxid))
            .collect();
        for (asked, _, zxid) in self.answers() {
            if matches!(asked.request, Request::Sync { .. }) {
                let before = writes.iter().filter(|(at, _)| *at < asked.sent_at);
                let greatest = before.map(|(_, zxid)| *zxid).max().unwrap_or(Zxid::ZERO);
                assert!(zxid >= greatest, "{:?} sees {zxid}, not {greatest}", asked.xid);
            }
        }
    }

    /// What was asked and answered: when, and at which zxid.
    fn answers(&self) -> impl Iterator<Item = (&Asked, Time, Zxid)> {
        self.talks().flat_map(|talk| {
            let replies = talk.frames.iter().filter_map(|(at, frame)| match frame {
                Frame::Reply { zxid, .. } => Some((*at, *zxid)),
                _ => None,
            });
            talk.asked.iter().zip(replies).map(|(asked, (at, zxid))| (asked, at, zxid))
        })
    }

    /// A session that came to a server has its whole timeout before it.
    fn check_expiry(&self, steps: &[Step]) {
        for (entry, step) in self.witness.committed.iter().zip(&steps[1..]) {
            let header = step.header.expect("every step but the first has one");
            let before = &steps[self.witness.index(header.zxid) - 1].model;
            let ends = before.sessions.contains(&header.session)
                && !step.model.sessions.contains(&header.session);
            if !ends || header.cxid != Xid(0) {
                continue;
            }
            let ended_at = entry.proposed_at;
            // A deposed leader that does not know it yet gives sessions back too, as ZooKeeper's
            // do; who got a write done was at the true one's.
            let counts = |talk: &&Talk| session_of(talk) == header.session && has_written(talk);
            for talk in self.talks().filter(counts) {
                let (session, began_at) = (header.session, talk.began_at);
                let timeout = u64::try_from(talk.timeout_ms).expect("positive") * 1_000;
                let least = Span(timeout - timeout * 2 * self.drift_ppm / 1_000_000);
                assert!(
                    ended_at <= began_at || ended_at >= began_at + least,
                    "{session} expires at {ended_at:?}, asked for at {began_at:?}"
                );
                let is_held = talk.ended_at.is_none_or(|at| at > ended_at);
                let is_settled = began_at + Span(timeout / 2) < ended_at;
                assert!(
                    !(self.is_calm && is_held && is_settled),
                    "{session} expires while its client is there"
                );
            }
        }
    }
}

/// Does one transaction on the model; says what its request is answered.
fn apply(
    model: &mut Model,
    header: &TxnHeader,
    txn: &Txn<'_>,
    (request, is_moved): (Option<&Request<'_>>, bool),
    changes: &mut Vec<Change>,
) -> Result<Answer, ErrorCode> {
    let at = Moment { zxid: header.zxid, time: header.time, session: header.session };
    match txn {
        Txn::CreateSession { .. } => {
            assert!(model.sessions.insert(header.session), "{} is new", header.session);
            Ok(Answer::Empty)
        }
        Txn::CloseSession { paths } => {
            let paths = paths.iter().flatten().map(|path| path.to_string());
            let paths: Vec<String> = paths.collect();
            if model.sessions.contains(&header.session) {
                model.close(at, &paths, changes);
            } else {
                // Java: PrepRequestProcessor asks nobody whether the session is there.
                assert!(paths.is_empty() && header.cxid != Xid(0), "{} ends again", header.session);
            }
            Ok(Answer::Empty)
        }
        Txn::Delete { path, container: true } => {
            assert!(model.children(path).is_empty(), "{path} is still in use");
            model.remove(at, path, changes);
            Ok(Answer::Empty)
        }
        txn if refusal(txn) == Some(ErrorCode::SESSION_EXPIRED) => {
            assert!(!model.sessions.contains(&header.session), "{} lives", header.session);
            refused(txn, ErrorCode::SESSION_EXPIRED)
        }
        txn if refusal(txn) == Some(ErrorCode::SESSION_MOVED) => {
            assert!(is_moved, "{} was never elsewhere", header.session);
            // Nobody hears of it, whatever it was.
            Err(ErrorCode::SESSION_MOVED)
        }
        txn => {
            assert!(model.sessions.contains(&header.session), "{} lives", header.session);
            let request = request.expect("only sessions begin and end without a request");
            let outcome = model.write(at, request, changes);
            let refused = if let Txn::Error(code) = txn { Some(*code) } else { None };
            assert_eq!(outcome.as_ref().err().copied(), refused, "{request:?}");
            outcome
        }
    }
}

/// What a transaction tells its session, if it tells of nothing else. A multi does so by its first
/// part.
fn refusal(txn: &Txn<'_>) -> Option<ErrorCode> {
    match txn {
        Txn::Error(err) => Some(*err),
        Txn::Multi(parts) => parts.first().and_then(refusal),
        _ => None,
    }
}

/// How a request is answered whose session is told this.
fn refused(txn: &Txn<'_>, err: ErrorCode) -> Result<Answer, ErrorCode> {
    let Txn::Multi(parts) = txn else { return Err(err) };
    let errors = parts.iter().map(|part| match part {
        Txn::Error(err) => OpResult::Error(*err),
        part => panic!("{part:?} in what was refused"),
    });
    Ok(Answer::Multi(errors.collect()))
}

fn session_of(talk: &Talk) -> SessionId {
    match talk.frames.first() {
        Some((_, Frame::Connected(response))) => response.session,
        _ => SessionId::NONE,
    }
}

/// Whether a write was acknowledged.
fn has_written(talk: &Talk) -> bool {
    let replies = talk.frames.iter().filter(|(_, frame)| matches!(frame, Frame::Reply { .. }));
    talk.asked.iter().zip(replies).any(|(asked, _)| is_write(&asked.request))
}

/// Nobody gets another session than the one that was asked for.
fn check_session(talk: &Talk) {
    if let Some((_, Frame::Connected(response))) = talk.frames.first()
        && response.session != SessionId::NONE
    {
        assert!(talk.wanted == SessionId::NONE || talk.wanted == response.session);
        assert_eq!(response.timeout_ms, talk.timeout_ms);
    }
}
