//! What one connection must be told, step by step of the history, and what it was told.
//!
//! The tests of a single server use this file too.

use std::collections::{BTreeSet, VecDeque};

use ostler_tree::Tree;
use ostler_wire::acl::{Acl, Id};
use ostler_wire::error::ErrorCode;
use ostler_wire::ids::{SessionId, Xid, Zxid};
use ostler_wire::reply::EventType;
use ostler_wire::request::Request;
use ostler_wire::txn::TxnHeader;

use crate::answer::Answer;
use crate::model::{Change, Model, Watches};

/// The world after a transaction.
pub(crate) struct Step {
    pub(crate) zxid: Zxid,
    pub(crate) model: Model,
    pub(crate) changes: Vec<Change>,
    /// What its request is answered.
    pub(crate) outcome: Result<Answer, ErrorCode>,
    pub(crate) header: Option<TxnHeader>,
}

impl Step {
    /// Before the first transaction.
    pub(crate) fn first() -> Self {
        Self {
            zxid: Zxid::ZERO,
            model: Model::fresh(),
            changes: Vec::new(),
            outcome: Ok(Answer::Empty),
            header: None,
        }
    }
}

/// How far a connection has come, and what it must be told next.
pub(crate) struct Hearing<'h> {
    steps: &'h [Step],
    pub(crate) session: SessionId,
    /// The step that it has come to.
    at: usize,
    /// The greatest zxid that it was told.
    pub(crate) zxid: Zxid,
    /// The zxid of the last answer.
    answered: Zxid,
    watches: Watches,
    expected: VecDeque<(Zxid, EventType, String)>,
    /// Events without a zxid that came since the last answer.
    caught_up: Vec<(EventType, String)>,
}

impl<'h> Hearing<'h> {
    pub(crate) fn new(steps: &'h [Step]) -> Self {
        Self {
            steps,
            session: SessionId::NONE,
            at: 0,
            zxid: Zxid::ZERO,
            answered: Zxid::ZERO,
            watches: Watches::default(),
            expected: VecDeque::new(),
            caught_up: Vec::new(),
        }
    }

    pub(crate) fn event(&mut self, zxid: Zxid, event_type: EventType, path: &str) {
        if zxid == Zxid::NONE {
            return self.caught_up.push((event_type, path.to_owned()));
        }
        while self.expected.is_empty() && self.next_zxid().is_some_and(|next| next <= zxid) {
            self.go_on();
        }
        self.zxid = self.zxid.max(zxid);
        let heard = (zxid, event_type, path.to_owned());
        assert_eq!(self.expected.pop_front(), Some(heard), "each event once, in order");
    }

    pub(crate) fn reply(
        &mut self,
        (xid, request): (Xid, &Request<'_>),
        zxid: Zxid,
        outcome: &Result<Answer, ErrorCode>,
    ) {
        assert!(zxid >= self.zxid, "{xid:?} at {zxid} after {}", self.zxid);
        self.go_to(zxid);
        self.zxid = zxid;
        assert!(self.expected.is_empty(), "{:?} comes before {xid:?}", self.expected);
        let step = &self.steps[self.at];
        let expected = if is_write(request) {
            assert!(zxid > self.answered, "a read before {xid:?} saw it");
            assert_eq!(step.zxid, zxid, "{request:?} was acknowledged but is not there");
            let header = step.header.expect("every step but the first has one");
            let is_own_end = *request == Request::CloseSession && header.session == self.session;
            assert!(header.cxid == xid || is_own_end, "the transaction of {request:?}");
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

    /// That nothing is owed.
    pub(crate) fn assert_told(&self) {
        assert!(self.expected.is_empty(), "never told: {:?}", self.expected);
    }

    fn next_zxid(&self) -> Option<Zxid> {
        self.steps.get(self.at + 1).map(|step| step.zxid)
    }

    /// To the last transaction that is not behind this zxid.
    pub(crate) fn go_to(&mut self, zxid: Zxid) {
        while self.next_zxid().is_some_and(|next| next <= zxid) {
            self.go_on();
        }
    }

    /// One transaction further.
    fn go_on(&mut self) {
        self.at += 1;
        let step = &self.steps[self.at];
        let mut events = Vec::new();
        for change in &step.changes {
            self.watches.fire(change, &mut events);
        }
        let at = step.zxid;
        self.expected.extend(events.into_iter().map(|(event_type, path)| (at, event_type, path)));
    }
}

/// Whether it makes a transaction.
pub(crate) fn is_write(request: &Request<'_>) -> bool {
    matches!(
        request,
        Request::Create(_)
            | Request::Create2(_)
            | Request::CreateContainer(_)
            | Request::Delete { .. }
            | Request::SetData { .. }
            | Request::SetAcl { .. }
            | Request::Multi(_)
            | Request::CloseSession
    )
}

/// The committed tree is the model's, but for what stands in a znode that the model is not told of.
pub(crate) fn same(tree: &Tree, model: &Model, untold: Option<&str>) {
    let mut walk = tree.walk();
    let mut count = 0;
    while let Some((path, znode)) = walk.next() {
        count += 1;
        let path = if path.is_empty() { "/" } else { path };
        if Some(path) == untold {
            continue;
        }
        let node =
            model.nodes.get(path).unwrap_or_else(|| panic!("{path} at {}", tree.last_zxid()));
        assert_eq!(znode.stat(), model.stat(path), "{path} at {}", tree.last_zxid());
        assert_eq!(znode.data(), node.data.as_deref(), "{path} at {}", tree.last_zxid());
        let acl = [Acl { perms: node.perms, id: Id::new("world", "anyone") }];
        assert_eq!(tree.acl(znode.acl_id()), acl, "{path} at {}", tree.last_zxid());
    }
    assert_eq!(count, model.nodes.len(), "at {}", tree.last_zxid());
    let sessions: BTreeSet<SessionId> = tree.sessions().map(|(session, _)| session).collect();
    assert_eq!(sessions, model.sessions, "at {}", tree.last_zxid());
}
