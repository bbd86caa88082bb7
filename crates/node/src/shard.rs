//! A shard: the connections of one thread, as a pure machine.
//!
//! It cuts bytes into frames, keeps each connection's requests in order, answers reads from the
//! view it holds, sends writes to the replica, and turns commits into events and answers. It never
//! decides that a session is dead, and it never looks at the world but by the commits it is handed.
//!
//! Output is kept per connection: the driver is told once that there is some
//! ([`ShardEffect::Output`]), takes it by [`Shard::unsent`] and says by [`Shard::sent`] how much
//! went out. So a connection gets one write for all that a batch of inputs made.

mod admission;
mod conn;
mod events;
mod late;
mod long_answers;
mod read;
mod report;
mod service;
mod spare_buffers;
mod warming;
mod watch_requests;
mod watches;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::ToString as _;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use ostler_tree::Tree;
use ostler_wire::acl::Id;
use ostler_wire::connect::ConnectRequest;
use ostler_wire::error::ErrorCode;
use ostler_wire::frame;
use ostler_wire::ids::{SessionId, Xid, Zxid};
use ostler_wire::jute::{DecodeError, Put as _, Reader};
use ostler_wire::op::OpCode;
use ostler_wire::reply::ReplyHeader;
use ostler_wire::request::{MultiHeader, Request as ClientRequest, RequestHeader};

use crate::auth;
use crate::clock::{Clock, Span, Time};
use crate::limits::{IDLE_SCAN_MIN_MS, OUTSTANDING_MAX_BYTES, Settings, TOUCH_FLUSH};
use crate::messages::{Commit, ConnId, ConnRef, Ids, Request, Service, ShardId, ToReplica};
use crate::status::{ShardCounters, ShardMetrics};
pub use admission::LargeRequests;
use admission::Verdict;
use conn::{Conn, Pending, State, Waiting};
pub use long_answers::LongAnswers;
use long_answers::path_of;
use read::Reading;
use spare_buffers::SpareBuffers;
use watches::Watches;

/// Everything that can happen to a shard.
#[derive(Debug)]
pub enum ShardInput<'i> {
    /// A client connected. The driver names the connection; slots may be used again after
    /// [`ShardInput::Closed`], with another generation.
    Accepted(ConnId, SocketAddr),
    /// Bytes arrived, cut anywhere.
    Bytes(ConnId, &'i [u8]),
    /// The connection is gone, whoever closed it. Always the last word about it.
    Closed(ConnId),
    /// The next step of the world. Each shard gets every commit, in order.
    Commit(&'i Commit),
    /// The text of a four-letter word's answer, to be sent as it is.
    Text(ConnId, &'i [u8]),
    /// Forget the server's counters (`srst`).
    ResetCounters,
    /// Forget every connection's counters (`crst`).
    ResetConnections,
    /// [`Shard::next_deadline`] has come.
    Deadline,
}

/// What the driver has to do, in this order.
#[derive(Debug)]
pub enum ShardEffect {
    /// There is output for the connection; said once until all that [`Shard::unsent`] shows was
    /// sent, and then again if there is more.
    Output(ConnId),
    /// Close the connection as soon as its output is written, and say [`ShardInput::Closed`].
    Close(ConnId),
    /// The connection may be read again after [`Shard::is_paused`].
    Resume(ConnId),
    /// The connection asked for the answer to a four-letter word: [`ShardInput::Text`].
    FourLetterWord(ConnId, [u8; 4]),
    /// For the replica's mailbox, in order.
    ToReplica(ToReplica),
}

/// The connections of one thread.
#[derive(Debug)]
pub struct Shard {
    id: ShardId,
    settings: Arc<Settings>,
    /// How clients are served now.
    service: Service,
    /// The world when clients were last held, while they are.
    held_view: Option<Tree>,
    /// Invariant: the view of the last commit that was handed in.
    view: Tree,
    /// Boxed: a connection is taken out while it is worked on, and a table that grows moves
    /// pointers only.
    conns: Vec<Option<Box<Conn>>>,
    /// How many of the slots in `conns` are taken.
    open_count: usize,
    by_session: HashMap<SessionId, ConnId, FixedState>,
    watches: Watches,
    /// Requests that the replica has, and the bytes of their bodies.
    outstanding: usize,
    outstanding_bytes: usize,
    /// Connections that were stopped while a request was ready, first come, first served.
    paused: VecDeque<ConnId>,
    /// Connections whose sign of life the replica does not know of.
    touched: Vec<ConnId>,
    touch_deadline: Option<Time>,
    idle_deadline: Time,
    counters: ShardCounters,
    metrics: ShardMetrics,
    /// Connections whose answer came with the commit in hand and whose reads may be next.
    answered: Vec<ConnId>,
    spare_buffers: SpareBuffers,
    /// The event in hand, encoded once for all who are told.
    event: Vec<u8>,
    /// What the last client that came is known by. Most come from few machines.
    last_comer: Option<(IpAddr, Ids)>,
    /// Large frames in progress here and in other shards.
    large_requests: LargeRequests,
    /// Answers too long for most clients that nobody was told of yet.
    long_answers: Option<LongAnswers>,
}

impl Shard {
    /// A shard without connections that sees the world as `view`, and serves it. `seed` keys its
    /// hash tables.
    #[must_use]
    pub fn new(id: ShardId, settings: Arc<Settings>, view: Tree, seed: u64) -> Self {
        Self {
            id,
            large_requests: LargeRequests::new(&settings),
            long_answers: None,
            settings,
            service: Service::Up,
            held_view: None,
            view,
            conns: Vec::new(),
            open_count: 0,
            by_session: HashMap::with_hasher(FixedState::with_seed(seed)),
            watches: Watches::new(seed),
            outstanding: 0,
            outstanding_bytes: 0,
            paused: VecDeque::new(),
            touched: Vec::new(),
            touch_deadline: None,
            idle_deadline: Time::default(),
            counters: ShardCounters::default(),
            metrics: ShardMetrics::default(),
            answered: Vec::new(),
            spare_buffers: SpareBuffers::default(),
            event: Vec::new(),
            last_comer: None,
        }
    }

    /// Counts large requests together with other shards.
    #[must_use]
    pub fn sharing(self, large_requests: &LargeRequests) -> Self {
        Self { large_requests: large_requests.clone(), ..self }
    }

    /// Begins with this service: a member of an ensemble is down until it has a leader.
    #[must_use]
    pub fn beginning(self, service: Service) -> Self {
        Self { service, ..self }
    }

    /// Takes one input and appends what has to be done.
    pub fn handle(&mut self, at: Clock, input: ShardInput<'_>, out: &mut Vec<ShardEffect>) {
        match input {
            ShardInput::Accepted(id, remote) => self.accept(at, id, remote),
            ShardInput::Bytes(id, bytes) => {
                if let Some(mut conn) = self.take(id) {
                    self.bytes(at, &mut conn, bytes, out);
                    self.put_back(conn, out);
                }
            }
            ShardInput::Closed(id) => self.closed(id, out),
            ShardInput::Commit(commit) => self.commit(at, commit, out),
            ShardInput::Text(id, text) => {
                if let Some(mut conn) = self.take(id) {
                    self.spare_buffers.lend(&mut conn.output);
                    conn.output.extend_from_slice(text);
                    self.counters.packets_sent += 1;
                    self.put_back(conn, out);
                    out.push(ShardEffect::Close(id));
                }
            }
            ShardInput::ResetCounters => self.counters = ShardCounters::default(),
            ShardInput::ResetConnections => {
                self.conns.iter_mut().flatten().for_each(|conn| conn.stats.reset());
            }
            ShardInput::Deadline => self.deadline(at, out),
        }
    }

    /// Notes that the driver turned a connection away, since there were too many.
    pub fn note_rejected(&mut self) {
        self.metrics.connections_rejected += 1;
    }

    /// When [`ShardInput::Deadline`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        let idle = (self.open_count > 0).then_some(self.idle_deadline);
        [self.touch_deadline, idle].into_iter().flatten().min()
    }

    /// Output that was not sent yet.
    #[must_use]
    pub fn unsent(&self, id: ConnId) -> &[u8] {
        self.conn(id).map_or(&[], |conn| &conn.output[conn.unsent_start..])
    }

    /// Notes that so many bytes of [`Shard::unsent`] went out.
    pub fn sent(&mut self, at: Clock, id: ConnId, count: usize, out: &mut Vec<ShardEffect>) {
        let Some(mut conn) = self.take(id) else { return };
        conn.unsent_start += count;
        assert!(conn.unsent_start <= conn.output.len(), "more was sent than there was");
        if conn.unsent_start == conn.output.len() {
            conn.unsent_start = 0;
            conn.output_announced = false;
            self.spare_buffers.take_back(core::mem::take(&mut conn.output));
            if !conn.late.is_empty() {
                self.encode_late(&mut conn);
            }
        }
        let is_paused = conn.paused;
        self.put_back(conn, out);
        if is_paused {
            self.go_on(at, id, out);
        }
    }

    /// Whether the driver should not read from the connection for now.
    #[must_use]
    pub fn is_paused(&self, id: ConnId) -> bool {
        self.conn(id).is_none_or(|conn| {
            conn.paused || matches!(conn.state, State::Connecting { .. } | State::Closing)
        })
    }

    /// The zxid of the view: how far this shard has come.
    #[must_use]
    pub fn last_zxid(&self) -> Zxid {
        self.view.last_zxid()
    }

    fn accept(&mut self, at: Clock, id: ConnId, remote: SocketAddr) {
        let slot = id.slot as usize;
        if self.open_count == 0 {
            self.idle_deadline = at.now + self.idle_scan_period();
        }
        if self.conns.len() <= slot {
            self.conns.resize_with(slot + 1, || None);
        }
        assert!(self.conns[slot].is_none(), "a slot is used again only after it was closed");
        // The scheme knows no mapped addresses: a v4 client is a v4 client on any socket.
        let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        let ids = self.ids_at_first(remote.ip());
        self.conns[slot] = Some(Box::new(Conn::new(at, id, remote, ids)));
        self.open_count += 1;
    }

    /// What a client is known by before it says anything.
    fn ids_at_first(&mut self, address: IpAddr) -> Ids {
        if let Some((known, ids)) = &self.last_comer
            && *known == address
        {
            return Ids::clone(ids);
        }
        let ids = Ids::from([Id::new("ip", &address.to_string())]);
        self.last_comer = Some((address, Ids::clone(&ids)));
        ids
    }

    fn closed(&mut self, id: ConnId, out: &mut Vec<ShardEffect>) {
        let Some(conn) = self.take(id) else { return };
        self.metrics.connections_lost += u64::from(conn.state != State::Closing);
        if conn.touched {
            // The session may outlive the connection, and then this moment counts.
            out.push(ShardEffect::ToReplica(ToReplica::Touch(vec![conn.sign_of_life()])));
        }
        self.open_count -= 1;
        self.watches.remove_all(id.slot, &conn.watched);
        if self.by_session.get(&conn.session) == Some(&id) {
            self.by_session.remove(&conn.session);
        }
    }

    /// Takes new bytes of a connection, as far as it may go on, and keeps the rest.
    fn bytes(&mut self, at: Clock, conn: &mut Conn, bytes: &[u8], out: &mut Vec<ShardEffect>) {
        conn.last_active = at.now;
        if conn.input.is_empty() {
            let consumed = self.frames(at, conn, bytes, out);
            if conn.state != State::Closing {
                conn.input.extend_from_slice(&bytes[consumed..]);
            }
        } else {
            conn.input.extend_from_slice(bytes);
            self.buffered(at, conn, out);
        }
    }

    /// Goes through the bytes that a connection sent earlier.
    fn buffered(&mut self, at: Clock, conn: &mut Conn, out: &mut Vec<ShardEffect>) {
        let mut input = core::mem::take(&mut conn.input);
        let consumed = self.frames(at, conn, &input, out);
        if consumed < input.len() && conn.state != State::Closing {
            input.drain(..consumed);
            conn.input = input;
        }
    }

    /// Takes whole frames from `bytes` until the connection has to wait; returns how far it came.
    fn frames(
        &mut self,
        at: Clock,
        conn: &mut Conn,
        bytes: &[u8],
        out: &mut Vec<ShardEffect>,
    ) -> usize {
        let (mut consumed, mut warm_to) = (0, 0);
        loop {
            let is_held = self.service == Service::Held;
            if !conn.may_proceed() || (is_held && conn.state == State::Open) {
                if matches!(conn.state, State::Open) {
                    self.pause(conn);
                }
                return consumed;
            }
            let rest = &bytes[consumed..];
            if conn.state == State::New
                && let Some(word) = frame::four_letter_word(rest)
            {
                self.counters.packets_received += 1;
                self.metrics.bytes_received += word.len() as u64;
                conn.stats.received += 1;
                conn.state = State::Closing;
                out.push(ShardEffect::FourLetterWord(conn.id, word));
                return bytes.len();
            }
            if !self.large_requests.have_room(rest) {
                self.metrics.large_requests_rejected += 1;
                close(conn, out);
                return bytes.len();
            }
            match frame::first(rest, self.settings.frame_max_bytes) {
                Ok(Some(_)) if is_held => {
                    // Who asks for a session waits, but nobody says that it waits too long.
                    self.pause(conn);
                    return consumed;
                }
                Ok(Some(body)) => {
                    if consumed >= warm_to {
                        let frame_max_bytes = self.settings.frame_max_bytes;
                        warm_to = consumed + warming::warm(&self.view, rest, frame_max_bytes);
                    }
                    if !self.frame(at, conn, body, out) {
                        conn.held_since.get_or_insert(at.now);
                        self.pause(conn);
                        return consumed;
                    }
                    let frame_bytes = frame::PREFIX_BYTES + body.len();
                    self.metrics.bytes_received += frame_bytes as u64;
                    consumed += frame_bytes;
                }
                Ok(None) => {
                    // What was held back has been taken.
                    conn.held_since = None;
                    return consumed;
                }
                Err(frame::BadLength(_)) => {
                    close(conn, out);
                    return bytes.len();
                }
            }
        }
    }

    /// Takes one frame; false if it has to wait because too much is outstanding.
    fn frame(
        &mut self,
        at: Clock,
        conn: &mut Conn,
        body: &[u8],
        out: &mut Vec<ShardEffect>,
    ) -> bool {
        if conn.state == State::New {
            self.counters.packets_received += 1;
            conn.stats.received += 1;
            self.connect(conn, body, out);
            return true;
        }
        let mut from = Reader::new(body);
        let Ok(header) = RequestHeader::read(&mut from) else {
            close(conn, out);
            return true;
        };
        let op = OpCode::from_number(header.op_number);
        let proves_identity = matches!(op, Some(OpCode::Auth | OpCode::Sasl));
        if !proves_identity && !auth::is_admitted(&self.settings.auth, &conn.ids) {
            let err = ErrorCode::SESSION_CLOSED_REQUIRE_SASL_AUTH;
            conn.reply(header.xid, Zxid::ZERO, err);
            close(conn, out);
            return true;
        }
        let ordered = op.is_some_and(is_ordered_by_replica);
        if ordered && self.is_full() {
            return false;
        }
        self.counters.packets_received += 1;
        conn.stats.received += 1;
        if op != Some(OpCode::Auth) {
            self.touch(at, conn);
        }
        match op {
            Some(OpCode::Auth) => self.authenticate(conn, header, from.rest(), out),
            Some(OpCode::Sasl) => self.sasl(conn, header, from.rest(), out),
            _ => self.request(at, conn, (header, op), body, out),
        }
        true
    }

    /// Takes a request of a session: hands it on, answers it, or lets it wait for its turn.
    fn request(
        &mut self,
        at: Clock,
        conn: &mut Conn,
        (header, op): (RequestHeader, Option<OpCode>),
        body: &[u8],
        out: &mut Vec<ShardEffect>,
    ) {
        let verdict = admission::judge(&self.settings, at, conn, op);
        let throttled = verdict == Verdict::Throttle;
        let ordered = op.filter(|op| is_ordered_by_replica(*op) && !throttled);
        let at_once = ordered.is_none() && conn.pending.is_empty();
        match verdict {
            Verdict::Drop => {
                self.metrics.stale_requests_dropped += 1;
                return close(conn, out);
            }
            Verdict::Throttle if at_once => {
                return self.refuse(at, conn, (header, op), at.now);
            }
            Verdict::Take if at_once => {
                return self.read(at, conn, (header, op), body, at.now, out);
            }
            Verdict::Throttle | Verdict::Take => {}
        }
        let Ok(large) = self.large_requests.admit(body.len()) else {
            self.metrics.large_requests_rejected += 1;
            return close(conn, out);
        };
        match ordered {
            Some(op) => {
                let behind_read = matches!(conn.pending.back(), Some(Pending::Waiting(_)));
                conn.pending.push_back(Pending::Ordered { since: at.now, op, _large: large });
                let body = &body[RequestHeader::SIZE_BYTES..];
                self.forward(conn, (header, op), body, behind_read, out);
            }
            None => {
                let frame = body.to_vec();
                conn.wait(Waiting { since: at.now, frame, throttled, _large: large });
            }
        }
    }

    fn connect(&mut self, conn: &mut Conn, body: &[u8], out: &mut Vec<ShardEffect>) {
        let Ok(request) = ConnectRequest::decode(body) else { return close(conn, out) };
        let is_served = match self.service {
            Service::Up | Service::Held => true,
            Service::Down => false,
            Service::ReadOnly => request.read_only == Some(true),
        };
        if !is_served {
            self.metrics.closed_without_service += 1;
            return close(conn, out);
        }
        self.metrics.connection_requests += 1;
        self.metrics.renewal_requests += u64::from(request.session != SessionId::NONE);
        let timeout_ms = request
            .timeout_ms
            .min(self.settings.session_timeout_max_ms)
            .max(self.settings.session_timeout_min_ms);
        conn.state = State::Connecting { read_only: request.read_only };
        conn.timeout_ms = timeout_ms;
        let from = ConnRef { shard: self.id, conn: conn.id };
        let ConnectRequest { session, last_zxid_seen, .. } = request;
        out.push(ShardEffect::ToReplica(if session == SessionId::NONE {
            ToReplica::Open { from, last_zxid_seen, timeout_ms }
        } else {
            let password = request.password.and_then(|password| password.try_into().ok());
            ToReplica::Resume { from, session, password, last_zxid_seen, timeout_ms }
        }));
    }

    /// Auth packets are answered at once, before anything that is still in progress.
    fn authenticate(
        &mut self,
        conn: &mut Conn,
        header: RequestHeader,
        body: &[u8],
        out: &mut Vec<ShardEffect>,
    ) {
        let Ok(ClientRequest::Auth { scheme, auth }) = ClientRequest::decode(OpCode::Auth, body)
        else {
            return close(conn, out);
        };
        let added = auth::authenticate(&self.settings.auth, &scheme, auth, &conn.ids);
        match added.and_then(|added| auth::join(&conn.ids, added)) {
            Ok(ids) => {
                conn.ids = ids;
                conn.reply(header.xid, Zxid::ZERO, ErrorCode::OK);
            }
            Err(auth::Refusal::Failed) => {
                self.counters.auth_failed += 1;
                conn.reply(header.xid, Zxid::ZERO, ErrorCode::AUTH_FAILED);
                close(conn, out);
            }
            Err(auth::Refusal::WrongEnsemble) => return close(conn, out),
        }
        self.counters.packets_sent += 1;
        conn.stats.sent += 1;
    }

    /// Without SASL configured every token is answered by the null token: go on as you are.
    fn sasl(
        &mut self,
        conn: &mut Conn,
        header: RequestHeader,
        body: &[u8],
        out: &mut Vec<ShardEffect>,
    ) {
        let Ok(ClientRequest::Sasl { token: Some(_) }) = ClientRequest::decode(OpCode::Sasl, body)
        else {
            return close(conn, out);
        };
        self.counters.packets_sent += 1;
        conn.stats.sent += 1;
        let header = ReplyHeader { xid: header.xid, zxid: Zxid::ZERO, err: ErrorCode::OK };
        conn.reply_with(header, |out| out.put_buffer(None));
    }

    /// Hands a request to the replica; its answer comes with a commit.
    fn forward(
        &mut self,
        conn: &Conn,
        (header, op): (RequestHeader, OpCode),
        body: &[u8],
        behind_read: bool,
        out: &mut Vec<ShardEffect>,
    ) {
        self.outstanding += 1;
        self.outstanding_bytes += body.len();
        out.push(ShardEffect::ToReplica(ToReplica::Request(Request {
            from: ConnRef { shard: self.id, conn: conn.id },
            session: conn.session,
            xid: header.xid,
            op,
            body: body.to_vec(),
            ids: Arc::clone(&conn.ids),
            behind_read,
        })));
    }

    /// Answers a request whose turn has come.
    fn serve(&mut self, at: Clock, conn: &mut Conn, waiting: &Waiting, out: &mut Vec<ShardEffect>) {
        let header = RequestHeader::read(&mut Reader::new(&waiting.frame));
        let header = header.expect("it was read when the frame came");
        let op = OpCode::from_number(header.op_number);
        if waiting.throttled {
            self.refuse(at, conn, (header, op), waiting.since);
        } else {
            self.read(at, conn, (header, op), &waiting.frame, waiting.since, out);
        }
    }

    /// Answers that a request was not carried out since it was held back for too long.
    fn refuse(
        &mut self,
        at: Clock,
        conn: &mut Conn,
        (header, op): (RequestHeader, Option<OpCode>),
        since: Time,
    ) {
        self.metrics.throttled_ops += 1;
        let before = conn.tail().len();
        let zxid = self.view.last_zxid();
        conn.reply(header.xid, zxid, ErrorCode::THROTTLED_OP);
        let bytes = conn.tail().len() - before;
        self.answered(at, conn, (since, op), (header.xid, zxid), bytes);
    }

    /// Answers a frame that is no write: it is the oldest that has no answer.
    fn read(
        &mut self,
        at: Clock,
        conn: &mut Conn,
        (header, op): (RequestHeader, Option<OpCode>),
        frame: &[u8],
        since: Time,
        out: &mut Vec<ShardEffect>,
    ) {
        self.spare_buffers.lend(&mut conn.output);
        let before = conn.tail().len();
        let Some(op) = op.filter(|op| is_served(*op)) else {
            conn.reply(header.xid, Zxid::NONE, ErrorCode::UNIMPLEMENTED);
            return close(conn, out);
        };
        let body = &frame[RequestHeader::SIZE_BYTES..];
        let zxid = self.view.last_zxid();
        match ClientRequest::decode(op, body) {
            Err(error) if op == OpCode::MultiRead && has_read_to_end(error, body) => {
                // The one error with a body: a list of no parts.
                let err = ErrorCode::MARSHALLING_ERROR;
                let header = ReplyHeader { xid: header.xid, zxid, err };
                conn.reply_with(header, |out| MultiHeader::END.write(out));
            }
            Err(_) => conn.reply(header.xid, zxid, ErrorCode::MARSHALLING_ERROR),
            Ok(request) => {
                Reading { view: &self.view, auth: &self.settings.auth, watches: &mut self.watches }
                    .answer(conn, header.xid, &request)
            }
        }
        let bytes = conn.tail().len() - before;
        self.answered(at, conn, (since, Some(op)), (header.xid, zxid), bytes);
        self.note_length(conn, bytes - frame::PREFIX_BYTES, || {
            path_of(&ClientRequest::decode(op, body).ok()?)
        });
    }

    /// Notes an answer whose frame has so many bytes, to a request read at `since`.
    fn answered(
        &mut self,
        at: Clock,
        conn: &mut Conn,
        (since, op): (Time, Option<OpCode>),
        of: (Xid, Zxid),
        frame_bytes: usize,
    ) {
        let latency_ms = at.now.millis_since(since);
        conn.stats.answered(at.now, latency_ms, op, of);
        let bytes = frame_bytes - frame::PREFIX_BYTES;
        self.counters.packets_sent += 1;
        self.counters.latency.add(latency_ms);
        self.counters.responses.add(bytes);
        self.metrics.response_bytes += bytes as u64;
    }

    /// Notes a request, which may have waited since its bytes came.
    fn touch(&mut self, at: Clock, conn: &mut Conn) {
        conn.last_active = at.now;
        if !conn.touched {
            conn.touched = true;
            self.touched.push(conn.id);
            self.touch_deadline.get_or_insert(at.now + TOUCH_FLUSH);
        }
    }

    fn deadline(&mut self, at: Clock, out: &mut Vec<ShardEffect>) {
        if self.touch_deadline.is_some_and(|deadline| deadline <= at.now) {
            self.flush_touches(out);
        }
        if self.idle_deadline <= at.now {
            self.idle_deadline = at.now + self.idle_scan_period();
            // Of who is held nothing is read, so nobody knows who is silent.
            if self.service != Service::Held {
                self.close_idle(at, out);
            }
        }
    }

    fn flush_touches(&mut self, out: &mut Vec<ShardEffect>) {
        self.touch_deadline = None;
        let mut touches = Vec::with_capacity(self.touched.len());
        for id in core::mem::take(&mut self.touched) {
            let Some(conn) = self.conn_mut(id) else { continue };
            conn.touched = false;
            touches.push(conn.sign_of_life());
        }
        if !touches.is_empty() {
            out.push(ShardEffect::ToReplica(ToReplica::Touch(touches)));
        }
    }

    /// A connection without traffic for its timeout has lost its client.
    fn close_idle(&mut self, at: Clock, out: &mut Vec<ShardEffect>) {
        for conn in self.conns.iter_mut().flatten() {
            let idle_ms = at.now.millis_since(conn.last_active);
            if idle_ms >= idle_limit_ms(&self.settings, conn) {
                let is_new = matches!(conn.state, State::New | State::Connecting { .. });
                self.metrics.sessionless_expired += u64::from(is_new);
                close(conn, out);
            }
        }
    }

    /// A tick, or less where connections have less than that to open a session.
    fn idle_scan_period(&self) -> Span {
        let sessionless_ms = self.settings.sessionless_timeout_ms.max(IDLE_SCAN_MIN_MS);
        Span::from_millis(self.settings.tick_time_ms.min(sessionless_ms).max(1))
    }

    fn is_full(&self) -> bool {
        self.outstanding >= self.settings.outstanding_max
            || self.outstanding_bytes >= OUTSTANDING_MAX_BYTES
    }

    fn pause(&mut self, conn: &mut Conn) {
        conn.paused = true;
        if !conn.in_paused {
            conn.in_paused = true;
            self.paused.push_back(conn.id);
        }
    }

    /// Lets paused connections go on, in the order in which they were stopped.
    fn resume_paused(&mut self, at: Clock, out: &mut Vec<ShardEffect>) {
        if self.service == Service::Held {
            return;
        }
        for _ in 0..self.paused.len() {
            if self.is_full() {
                return;
            }
            let Some(id) = self.paused.pop_front() else { return };
            let Some(conn) = self.conn_mut(id) else { continue };
            conn.in_paused = false;
            if !conn.paused {
                continue;
            }
            if conn.may_proceed() {
                self.go_on(at, id, out);
            } else {
                conn.in_paused = true;
                self.paused.push_back(id);
            }
        }
    }

    /// Goes through what a connection sent while it had to wait.
    fn go_on(&mut self, at: Clock, id: ConnId, out: &mut Vec<ShardEffect>) {
        let is_held = self.service == Service::Held;
        let Some(mut conn) = self.take(id) else { return };
        if conn.may_proceed() && !is_held {
            conn.paused = false;
            self.buffered(at, &mut conn, out);
            if !conn.paused && conn.state != State::Closing {
                out.push(ShardEffect::Resume(id));
            }
        }
        self.put_back(conn, out);
    }

    fn conn(&self, id: ConnId) -> Option<&Conn> {
        self.conns.get(id.slot as usize)?.as_deref().filter(|conn| conn.id == id)
    }

    fn conn_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.conns.get_mut(id.slot as usize)?.as_deref_mut().filter(|conn| conn.id == id)
    }

    /// Takes a connection out while it is worked on; [`Shard::put_back`] follows.
    fn take(&mut self, id: ConnId) -> Option<Box<Conn>> {
        self.conns.get_mut(id.slot as usize)?.take_if(|conn| conn.id == id)
    }

    fn put_back(&mut self, mut conn: Box<Conn>, out: &mut Vec<ShardEffect>) {
        announce_output(&mut conn, out);
        let slot = conn.id.slot as usize;
        self.conns[slot] = Some(conn);
    }
}

/// Stops looking at the connection and has it closed when its output is written.
///
/// Nothing is answered from here on: it gets no events any more, and an answer without the events
/// before it would tell the client that it has missed none.
fn close(conn: &mut Conn, out: &mut Vec<ShardEffect>) {
    if conn.state != State::Closing {
        conn.state = State::Closing;
        conn.pending.clear();
        conn.waiting_bytes = 0;
        conn.input = Vec::new();
        out.push(ShardEffect::Close(conn.id));
    }
}

/// Says once that there is output.
fn announce_output(conn: &mut Conn, out: &mut Vec<ShardEffect>) {
    if !conn.output_announced && conn.output.len() > conn.unsent_start {
        conn.output_announced = true;
        out.push(ShardEffect::Output(conn.id));
    }
}

/// How long a connection may be silent.
fn idle_limit_ms(settings: &Settings, conn: &Conn) -> u64 {
    match conn.state {
        State::Open => u64::try_from(conn.timeout_ms).unwrap_or(0),
        State::New | State::Connecting { .. } | State::Closing => settings.sessionless_timeout_ms,
    }
}

/// Whether Java would read all of a multiRead before it notices what is wrong: writes where reads
/// should be, or a null path.
fn has_read_to_end(error: DecodeError, body: &[u8]) -> bool {
    error == DecodeError::UnexpectedNull || ClientRequest::decode(OpCode::Multi, body).is_ok()
}

/// What the replica puts into order: everything that makes a transaction, and sync.
fn is_ordered_by_replica(op: OpCode) -> bool {
    matches!(
        op,
        OpCode::Create
            | OpCode::Create2
            | OpCode::CreateContainer
            | OpCode::CreateTtl
            | OpCode::Delete
            | OpCode::SetData
            | OpCode::SetAcl
            | OpCode::Sync
            | OpCode::Multi
            | OpCode::Reconfig
            | OpCode::CloseSession
    )
}

/// What is answered from the view. Everything else answers as an unknown operation does.
fn is_served(op: OpCode) -> bool {
    matches!(
        op,
        OpCode::Exists
            | OpCode::GetData
            | OpCode::GetAcl
            | OpCode::GetChildren
            | OpCode::GetChildren2
            | OpCode::Ping
            | OpCode::SetWatches
            | OpCode::SetWatches2
            | OpCode::AddWatch
            | OpCode::CheckWatches
            | OpCode::RemoveWatches
            | OpCode::MultiRead
            | OpCode::GetEphemerals
            | OpCode::GetAllChildrenNumber
            | OpCode::WhoAmI
    )
}
