//! Requests on their way: queued, then sent, then answered, always in the order of the calls.
//!
//! Invariant: answers arrive in the order of the requests, so the sent ones are a queue and a reply
//! that is not its head's is a broken server.

use std::collections::VecDeque;
use std::time::Duration;

use ostler_wire::frame;
use ostler_wire::ids::Xid;
use ostler_wire::request::Request;
use tokio::sync::oneshot;

use crate::event::WatchKind;
use crate::reply::Answer;
use crate::session::watches::{Subscriber, Table};

/// What an answer means to the session besides being handed to the caller.
pub(crate) enum Purpose {
    /// Nothing.
    Plain,
    /// Leaves a watch if it succeeds, or, for exists, if the znode is missing.
    Watch { path: String, table: Table, subscriber: Subscriber, is_exists: bool },
    /// Takes watches away.
    Unwatch { path: String, kind: WatchKind, local: bool },
    /// Tells the server that nobody watches any more; of use on this connection only.
    Tidy,
    /// Puts watches back; of use on this connection only.
    Restore,
    /// Ends the session.
    Close,
}

/// One request.
pub(crate) struct Entry {
    pub(crate) xid: Xid,
    /// The whole frame with its prefix, without its xid; empty once it was sent.
    frame: Vec<u8>,
    /// When its caller stops to wait.
    due: Duration,
    /// When it was sent.
    pub(crate) sent: Duration,
    /// `None` when nobody waits.
    pub(crate) answer: Option<oneshot::Sender<Answer>>,
    pub(crate) purpose: Purpose,
}

impl Entry {
    pub(crate) fn new(
        request: &Request<'_>,
        due: Duration,
        answer: Option<oneshot::Sender<Answer>>,
        purpose: Purpose,
    ) -> Self {
        let mut bytes = Vec::with_capacity(FRAME_BYTES);
        frame::put(&mut bytes, |out| request.encode(Xid::default(), out));
        Self { xid: Xid::default(), frame: bytes, due, sent: Duration::ZERO, answer, purpose }
    }
}

/// Room for a frame that is not special.
const FRAME_BYTES: usize = 96;

/// Waits for ever.
pub(crate) const NEVER: Duration = Duration::MAX;

/// All requests of a session that have no answer yet.
#[derive(Default)]
pub(crate) struct Queue {
    sent: VecDeque<Entry>,
    waiting: VecDeque<Entry>,
    /// The xid of the request that was sent last.
    xid: i32,
    /// All that was due by then is answered.
    timed_out: Duration,
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.sent.len() + self.waiting.len()
    }

    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether there is one request and it waits.
    pub(crate) fn is_lone(&self) -> bool {
        self.sent.is_empty() && self.waiting.len() == 1
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        self.waiting.push_back(entry);
    }

    /// Queues in front of all others, the first of `entries` first.
    pub(crate) fn push_front(&mut self, entries: Vec<Entry>) {
        for mut entry in entries.into_iter().rev() {
            // Keeps the order of what is due when.
            entry.due = self.waiting.front().map_or(NEVER, |front| front.due);
            self.waiting.push_front(entry);
        }
    }

    /// Appends the frames of waiting requests to `out` until it holds `limit` bytes or more.
    pub(crate) fn send(&mut self, now: Duration, out: &mut Vec<u8>, limit_bytes: usize) {
        while out.len() < limit_bytes {
            let Some(mut entry) = self.waiting.pop_front() else { break };
            // Java: ClientCnxn.getXid starts again at 1; negative numbers have meanings.
            self.xid = self.xid.checked_add(1).unwrap_or(1);
            entry.xid = Xid(self.xid);
            entry.sent = now;
            let start = out.len() + frame::PREFIX_BYTES;
            out.append(&mut entry.frame);
            out[start..start + XID_BYTES].copy_from_slice(&self.xid.to_be_bytes());
            entry.frame = Vec::new();
            self.sent.push_back(entry);
        }
    }

    #[cfg(test)]
    pub(crate) fn set_xid(&mut self, xid: i32) {
        self.xid = xid;
    }

    /// Takes the request that is answered next, if that is its number.
    pub(crate) fn answered(&mut self, xid: Xid) -> Option<Entry> {
        self.sent.pop_front_if(|entry| entry.xid == xid)
    }

    /// Takes all that were sent.
    pub(crate) fn take_sent(&mut self) -> VecDeque<Entry> {
        core::mem::take(&mut self.sent)
    }

    /// Takes all that wait, or only those that make no sense on another connection.
    pub(crate) fn take_waiting(&mut self, all: bool) -> VecDeque<Entry> {
        if all {
            return core::mem::take(&mut self.waiting);
        }
        let here_only = |entry: &Entry| matches!(entry.purpose, Purpose::Tidy | Purpose::Restore);
        let (taken, kept) = core::mem::take(&mut self.waiting).into_iter().partition(here_only);
        self.waiting = kept;
        taken
    }

    /// When the next caller stops to wait.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        let front = |queue: &VecDeque<Entry>| {
            let late = queue.partition_point(|entry| entry.due <= self.timed_out);
            queue.get(late).map(|entry| entry.due)
        };
        front(&self.sent).or_else(|| front(&self.waiting)).filter(|due| *due != NEVER)
    }

    /// Takes the unsent requests that nobody waits for any more, and the senders of the sent ones.
    pub(crate) fn time_out(&mut self, now: Duration) -> (Vec<Entry>, Vec<oneshot::Sender<Answer>>) {
        let begin = self.sent.partition_point(|entry| entry.due <= self.timed_out);
        let end = self.sent.partition_point(|entry| entry.due <= now);
        let senders = self.sent.range_mut(begin..end).filter_map(|entry| entry.answer.take());
        let senders = senders.collect();
        let mut entries = Vec::new();
        while let Some(entry) = self.waiting.pop_front_if(|entry| entry.due <= now) {
            entries.push(entry);
        }
        self.timed_out = now;
        (entries, senders)
    }
}

const XID_BYTES: usize = 4;
