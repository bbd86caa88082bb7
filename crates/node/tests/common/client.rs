//! A client: it numbers its requests, encodes them, and reads what comes back.

use std::collections::VecDeque;
use std::net::IpAddr;

use ostler_wire::connect::{ConnectRequest, ConnectResponse, Password};
use ostler_wire::frame;
use ostler_wire::ids::{SessionId, Xid, Zxid};
use ostler_wire::jute::Put as _;
use ostler_wire::op::OpCode;
use ostler_wire::request::Request;

use super::answer::{Frame, next_frame};
use super::{LinkId, World};

/// What joins clients to servers. Where there are several servers, they stand in for shards.
pub(crate) trait Wires {
    fn connect(&mut self, shard: usize, from: IpAddr) -> LinkId;
    fn send(&mut self, link: LinkId, bytes: &[u8]);
    /// Everything that has reached the client.
    fn received(&self, link: LinkId) -> &[u8];
    fn settle(&mut self);
}

impl Wires for World {
    fn connect(&mut self, shard: usize, from: IpAddr) -> LinkId {
        Self::connect(self, shard, from)
    }

    fn send(&mut self, link: LinkId, bytes: &[u8]) {
        Self::send(self, link, bytes);
    }

    fn received(&self, link: LinkId) -> &[u8] {
        &self.links[link.0].received
    }

    fn settle(&mut self) {
        Self::settle(self);
    }
}

/// One connection as its client sees it.
pub(crate) struct Client {
    pub(crate) link: LinkId,
    next_xid: i32,
    /// Requests without an answer, oldest first.
    pub(crate) waiting: VecDeque<(Xid, OpCode)>,
    /// How many of the received bytes were looked at.
    seen_bytes: usize,
    /// As the connect response had it.
    pub(crate) session: SessionId,
    pub(crate) password: Password,
    /// The greatest zxid in a reply.
    pub(crate) last_zxid: Zxid,
}

impl Client {
    /// Connects without a word.
    pub(crate) fn dial(world: &mut impl Wires, shard: usize, from: IpAddr) -> Self {
        Self {
            link: world.connect(shard, from),
            next_xid: 1,
            waiting: VecDeque::new(),
            seen_bytes: 0,
            session: SessionId::NONE,
            password: Password::default(),
            last_zxid: Zxid::ZERO,
        }
    }

    /// Connects and asks for a new session.
    pub(crate) fn open(world: &mut impl Wires, shard: usize, timeout_ms: i32) -> Self {
        let client = Self::dial(world, shard, super::LOCALHOST);
        client.hello(world, &new_session(timeout_ms));
        client
    }

    /// Connects and asks for the session of `other`.
    pub(crate) fn resume(
        world: &mut impl Wires,
        shard: usize,
        timeout_ms: i32,
        other: &Self,
    ) -> Self {
        let client = Self::dial(world, shard, super::LOCALHOST);
        let request = ConnectRequest {
            last_zxid_seen: other.last_zxid,
            session: other.session,
            password: Some(&other.password),
            ..new_session(timeout_ms)
        };
        client.hello(world, &request);
        client
    }

    /// Sends a connect request.
    pub(crate) fn hello(&self, world: &mut impl Wires, request: &ConnectRequest<'_>) {
        let mut bytes = Vec::new();
        frame::put(&mut bytes, |out| request.encode(out));
        world.send(self.link, &bytes);
    }

    /// Sends a request with the next number.
    pub(crate) fn send(&mut self, world: &mut impl Wires, request: &Request<'_>) -> Xid {
        let mut body = Vec::new();
        request.write_body(&mut body);
        self.send_raw(world, request.op().number(), &body)
    }

    /// Sends whatever body for whatever operation, with the next number.
    pub(crate) fn send_raw(&mut self, world: &mut impl Wires, op_number: i32, body: &[u8]) -> Xid {
        let xid = Xid(self.next_xid);
        self.next_xid += 1;
        self.send_numbered(world, xid, op_number, body);
        xid
    }

    /// The same with any number.
    pub(crate) fn send_numbered(&mut self, world: &mut impl Wires, xid: Xid, op: i32, body: &[u8]) {
        let mut bytes = Vec::new();
        frame::put(&mut bytes, |out| {
            out.put_int(xid.0);
            out.put_int(op);
            out.extend_from_slice(body);
        });
        let op = OpCode::from_number(op).unwrap_or(OpCode::Check);
        let answered_as = if op == OpCode::Ping { Xid::PING } else { xid };
        self.waiting.push_back((answered_as, op));
        world.send(self.link, &bytes);
    }

    /// What came since the last time.
    pub(crate) fn receive(&mut self, world: &impl Wires) -> Vec<Frame> {
        let mut frames = Vec::new();
        let received = world.received(self.link);
        loop {
            let waiting = &mut self.waiting;
            let op_of = |xid| match waiting.iter().find(|(waiting, _)| *waiting == xid) {
                Some((_, op)) => *op,
                None => panic!("a reply to {xid:?}, which was not asked"),
            };
            let (rest, is_first) = (&received[self.seen_bytes..], self.seen_bytes == 0);
            let Some((frame, length)) = next_frame(rest, is_first, op_of) else { return frames };
            self.seen_bytes += length;
            match &frame {
                Frame::Connected(response) => self.connected(*response),
                Frame::Reply { xid, zxid, .. } => {
                    self.last_zxid = self.last_zxid.max(*zxid);
                    let at = self.waiting.iter().position(|(waiting, _)| waiting == xid);
                    let at = at.expect("a reply belongs to a request");
                    let (_, op) = self.waiting.remove(at).expect("it was found there");
                    let is_ordered = !matches!(op, OpCode::Auth | OpCode::Sasl);
                    assert!(at == 0 || !is_ordered, "{xid:?} was answered too early");
                }
                Frame::Event { .. } | Frame::Text(_) => {}
            }
            frames.push(frame);
        }
    }

    /// Settles the world and returns the one reply that came, without events.
    pub(crate) fn one_reply(&mut self, world: &mut impl Wires) -> Frame {
        world.settle();
        let mut frames = self.receive(world);
        frames.retain(|frame| matches!(frame, Frame::Reply { .. } | Frame::Connected(_)));
        assert_eq!(frames.len(), 1, "{frames:?}");
        frames.remove(0)
    }

    fn connected(&mut self, response: ConnectResponse) {
        self.session = response.session;
        self.password = response.password;
    }
}

/// What a modern client sends for a new session.
pub(crate) fn new_session(timeout_ms: i32) -> ConnectRequest<'static> {
    ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid::ZERO,
        timeout_ms,
        session: SessionId::NONE,
        password: Some(&[0; 16]),
        read_only: Some(false),
    }
}
