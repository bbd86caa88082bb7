//! A client: it connects to some server, asks this and that, loses the connection or drops it, and
//! comes back for its session elsewhere. It notes everything that it asked and was told.

use std::collections::{BTreeSet, VecDeque};

use ostler_node::clock::{Span, Time};
use ostler_wire::connect::{ConnectRequest, ConnectResponse, Password};
use ostler_wire::error::ErrorCode;
use ostler_wire::frame;
use ostler_wire::ids::{SessionId, Xid, Zxid};
use ostler_wire::op::OpCode;
use ostler_wire::reply::EventType;
use ostler_wire::request::{Request, WatchLists};

use crate::answer::{Frame, next_frame};
use crate::net::{Cargo, End, Place, Port, WireId};
use crate::queue::Event;
use crate::workload;
use crate::world::Outside;

/// A request and when it was sent.
pub(crate) struct Asked {
    pub(crate) xid: Xid,
    pub(crate) request: Request<'static>,
    pub(crate) sent_at: Time,
}

/// A connection with all that was said on it.
pub(crate) struct Talk {
    /// When the session was asked for.
    pub(crate) began_at: Time,
    /// The session that it asked for.
    pub(crate) wanted: SessionId,
    /// The greatest zxid that the client had seen then.
    pub(crate) seen: Zxid,
    pub(crate) timeout_ms: i32,
    pub(crate) asked: Vec<Asked>,
    /// What was heard, and when.
    pub(crate) frames: Vec<(Time, Frame)>,
    /// When it ended for the client.
    pub(crate) ended_at: Option<Time>,
    /// Whether it lasted until everything was answered.
    pub(crate) lasted: bool,
}

/// Where a client stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Idle,
    /// No answer to the dial yet.
    Dialling(WireId),
    /// No answer to the connect request yet.
    Greeting(WireId),
    Open(WireId),
    /// It will do nothing any more.
    Gone,
}

/// What the client believes to be waiting for.
#[derive(Default)]
struct Hopes {
    data: BTreeSet<String>,
    exist: BTreeSet<String>,
    child: BTreeSet<String>,
}

/// One client.
pub(crate) struct Client {
    index: usize,
    state: State,
    /// Since when it is in this state, or heard something.
    heard_at: Time,
    sent_at: Time,
    session: SessionId,
    password: Password,
    timeout_ms: i32,
    last_zxid: Zxid,
    input: Vec<u8>,
    waiting: VecDeque<(Xid, OpCode)>,
    hopes: Hopes,
    pub(crate) talks: Vec<Talk>,
    /// When a write was last acknowledged.
    pub(crate) wrote_at: Time,
    /// It asks nothing more and keeps its connection.
    pub(crate) is_listening: bool,
}

impl Client {
    pub(crate) fn new(index: usize, timeout_ms: i32) -> Self {
        Self {
            index,
            state: State::Idle,
            heard_at: Time(0),
            sent_at: Time(0),
            session: SessionId::NONE,
            password: [0; 16],
            timeout_ms,
            last_zxid: Zxid::ZERO,
            input: Vec::new(),
            waiting: VecDeque::new(),
            hopes: Hopes::default(),
            talks: Vec::new(),
            wrote_at: Time(0),
            is_listening: false,
        }
    }

    /// Looks around, and says when it wants to look again.
    pub(crate) fn wake(&mut self, outside: &mut Outside) {
        let now = outside.queue.now();
        let silent_ms = now.millis_since(self.heard_at);
        let timeout_ms = u64::try_from(self.timeout_ms).unwrap_or(0);
        match self.state {
            State::Gone => return,
            State::Idle => self.dial(outside),
            State::Dialling(wire) | State::Greeting(wire) => {
                if silent_ms > timeout_ms {
                    self.hang_up(outside, wire);
                }
            }
            State::Open(wire) => {
                if silent_ms > timeout_ms * 2 / 3 {
                    self.hang_up(outside, wire);
                } else if now.millis_since(self.sent_at) >= timeout_ms / 3 {
                    self.ask(outside, wire, Request::Ping);
                } else if !self.is_listening {
                    self.act(outside, wire);
                }
            }
        }
        let pace = outside.workload.between(outside.options.pace_micros);
        // However slow it is, it does not let its session expire.
        let pace = pace.min(timeout_ms * 1_000 / 6);
        outside.queue.after(pace, Event::Client(self.index));
    }

    /// Something has come by a wire.
    pub(crate) fn arrive(&mut self, outside: &mut Outside, wire: WireId, cargo: Cargo) {
        let (State::Dialling(own) | State::Greeting(own) | State::Open(own)) = self.state else {
            return;
        };
        if own != wire {
            return;
        }
        self.heard_at = outside.queue.now();
        match cargo {
            Cargo::Accepted => self.greet(outside, wire),
            Cargo::Bytes(bytes) => {
                self.input.extend_from_slice(&bytes);
                self.hear(outside, wire);
            }
            Cargo::Refused | Cargo::Closed | Cargo::Reset => self.lost(outside.queue.now()),
            Cargo::Dial => unreachable!("nobody dials a client"),
        }
    }

    /// A dial took too long.
    pub(crate) fn dial_timed_out(&mut self, now: Time, wire: WireId) {
        if self.state == State::Dialling(wire) {
            self.lost(now);
        }
    }

    /// Leaves for good; its session stays.
    pub(crate) fn leave(&mut self, outside: &mut Outside) {
        if let State::Open(wire) = self.state {
            let talk = self.talks.last_mut().expect("a connection is a talk");
            // A ping may have been sent just now.
            let is_recent = outside.queue.now().millis_since(self.sent_at) < 500;
            let mut waiting = self.waiting.iter().skip(usize::from(is_recent));
            talk.lasted = waiting.next().is_none();
            assert!(talk.lasted, "c{} never heard of {:?}", self.index, self.waiting);
            self.hang_up(outside, wire);
        }
        self.state = State::Gone;
    }

    fn dial(&mut self, outside: &mut Outside) {
        let server = outside.workload.index(outside.options.servers());
        let (from, to) = (Place::Client(self.index), Place::Server(server));
        let wire = outside.net.dial(&mut outside.queue, from, to, Port::Clients);
        self.heard_at = outside.queue.now();
        self.state = State::Dialling(wire);
    }

    fn greet(&mut self, outside: &mut Outside, wire: WireId) {
        self.state = State::Greeting(wire);
        self.input.clear();
        self.waiting.clear();
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: self.last_zxid,
            timeout_ms: self.timeout_ms,
            session: self.session,
            password: Some(&self.password),
            read_only: Some(false),
        };
        let mut bytes = Vec::new();
        frame::put(&mut bytes, |out| request.encode(out));
        outside.net.send(&mut outside.queue, wire, End::Dialler, &bytes);
        let now = outside.queue.now();
        self.sent_at = now;
        self.talks.push(Talk {
            began_at: now,
            wanted: self.session,
            seen: self.last_zxid,
            timeout_ms: self.timeout_ms,
            asked: Vec::new(),
            frames: Vec::new(),
            ended_at: None,
            lasted: false,
        });
    }

    fn act(&mut self, outside: &mut Outside, wire: WireId) {
        match outside.workload.below(300) {
            0..2 => self.hang_up(outside, wire),
            2..4 => self.ask(outside, wire, Request::CloseSession),
            // The old connection stays: the server has to notice that its session has moved.
            4..6 => {
                self.lost(outside.queue.now());
                self.dial(outside);
            }
            6 => {
                self.session = SessionId::NONE;
                self.hang_up(outside, wire);
            }
            _ if self.waiting.len() > 30 => {}
            _ => {
                for _ in 0..=outside.workload.below(3) {
                    let request = workload::request(outside.workload.rng(), self.last_zxid, false);
                    self.ask(outside, wire, request);
                }
            }
        }
    }

    fn ask(&mut self, outside: &mut Outside, wire: WireId, request: Request<'static>) {
        let xid = if request == Request::Ping { Xid::PING } else { outside.next_xid() };
        let mut bytes = Vec::new();
        frame::put(&mut bytes, |out| request.encode(xid, out));
        outside.net.send(&mut outside.queue, wire, End::Dialler, &bytes);
        let sent_at = outside.queue.now();
        self.sent_at = sent_at;
        self.waiting.push_back((xid, request.op()));
        let talk = self.talks.last_mut().expect("a connection is a talk");
        talk.asked.push(Asked { xid, request, sent_at });
    }

    fn hang_up(&mut self, outside: &mut Outside, wire: WireId) {
        outside.net.close(&mut outside.queue, wire, End::Dialler);
        self.lost(outside.queue.now());
    }

    fn lost(&mut self, now: Time) {
        if let (State::Greeting(_) | State::Open(_), Some(talk)) =
            (self.state, self.talks.last_mut())
        {
            talk.ended_at = Some(now);
        }
        self.state = State::Idle;
    }

    fn hear(&mut self, outside: &mut Outside, wire: WireId) {
        let now = outside.queue.now();
        loop {
            let is_first = matches!(self.state, State::Greeting(_));
            let waiting = &self.waiting;
            let op_of = |xid| match waiting.iter().find(|(waiting, _)| *waiting == xid) {
                Some((_, op)) => *op,
                None => panic!("a reply to {xid:?}, which was not asked"),
            };
            let Some((frame, length)) = next_frame(&self.input, is_first, op_of) else { return };
            self.input.drain(..length);
            match &frame {
                Frame::Connected(response) => self.connected(outside, wire, *response),
                Frame::Reply { xid, zxid, outcome } => {
                    let outcome = outcome.as_ref().map(|_| ()).map_err(|code| *code);
                    self.replied(now, (*xid, *zxid), outcome);
                }
                Frame::Event { event_type, path, .. } => self.hopes.met(*event_type, path),
                Frame::Text(text) => panic!("nobody asked for {text}"),
            }
            let talk = self.talks.last_mut().expect("a connection is a talk");
            talk.frames.push((now, frame));
            if self.state == State::Idle {
                return;
            }
        }
    }

    fn connected(&mut self, outside: &mut Outside, wire: WireId, response: ConnectResponse) {
        if response.session == SessionId::NONE {
            // Its session is gone; the next one is a new one.
            self.session = SessionId::NONE;
            self.hopes = Hopes::default();
            return self.hang_up(outside, wire);
        }
        let is_new = self.session == SessionId::NONE;
        (self.session, self.password) = (response.session, response.password);
        self.state = State::Open(wire);
        let hopes = if is_new { Hopes::default() } else { std::mem::take(&mut self.hopes) };
        if let Some(lists) = hopes.lists(self.last_zxid) {
            // They count again when the answer is here; a connection lost before loses them.
            self.hopes = hopes;
            self.ask(outside, wire, Request::SetWatches(lists));
        }
    }

    fn replied(&mut self, now: Time, (xid, zxid): (Xid, Zxid), outcome: Result<(), ErrorCode>) {
        self.last_zxid = self.last_zxid.max(zxid);
        let (expected, op) = self.waiting.pop_front().expect("a reply belongs to a request");
        assert_eq!(xid, expected, "answers come in the order of requests");
        let talk = self.talks.last().expect("a connection is a talk");
        let asked = talk.asked.iter().rev().find(|asked| asked.xid == xid);
        let asked = asked.expect("it was asked");
        self.hopes.answered(&asked.request, outcome);
        if matches!(op, OpCode::Create | OpCode::SetData | OpCode::Delete | OpCode::Multi) {
            self.wrote_at = now;
        }
        if op == OpCode::CloseSession && outcome.is_ok() {
            self.session = SessionId::NONE;
        }
    }
}

impl Hopes {
    fn answered(&mut self, request: &Request<'_>, outcome: Result<(), ErrorCode>) {
        match (request, outcome) {
            (
                Request::Exists { path, watch: true } | Request::GetData { path, watch: true },
                Ok(()),
            ) => _ = self.data.insert(path.to_string()),
            (Request::Exists { path, watch: true }, Err(ErrorCode::NO_NODE)) => {
                self.exist.insert(path.to_string());
            }
            (
                Request::GetChildren { path, watch: true }
                | Request::GetChildren2 { path, watch: true },
                Ok(()),
            ) => _ = self.child.insert(path.to_string()),
            _ => {}
        }
    }

    fn met(&mut self, event_type: EventType, path: &str) {
        if event_type != EventType::NodeChildrenChanged {
            self.data.remove(path);
            self.exist.remove(path);
        }
        if matches!(event_type, EventType::NodeChildrenChanged | EventType::NodeDeleted) {
            self.child.remove(path);
        }
    }

    /// What a client that comes back asks for.
    fn lists(&self, relative_zxid: Zxid) -> Option<WatchLists<'static>> {
        let list = |set: &BTreeSet<String>| set.iter().cloned().map(Into::into).collect();
        let is_empty = self.data.is_empty() && self.exist.is_empty() && self.child.is_empty();
        (!is_empty).then(|| WatchLists {
            relative_zxid,
            data: list(&self.data),
            exist: list(&self.exist),
            child: list(&self.child),
            ..WatchLists::default()
        })
    }
}

/// How long after a client's last sign of life its session may still be there.
pub(crate) fn expiry_slack(timeout_ms: i32, tick_ms: u64) -> Span {
    Span::from_millis(u64::try_from(timeout_ms).unwrap_or(0) + 3 * tick_ms + 1_000)
}
