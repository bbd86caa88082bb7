//! The session as a machine of values: bytes, moments and calls in, bytes and effects out.
//!
//! It opens no socket, reads no clock and draws no random numbers of its own. Whoever drives it
//! hands over what happened and carries out what it asks for; [`Session`](crate::session::Session)
//! says how.
//!
//! ```text
//! Idle ── due ──► Dialing ── Dialed ──► Handshake ── ConnectResponse ──► Up
//!  ▲                 │ DialFailed           │ closed, late                │ closed, silent
//!  └─────────────────┴──────────────────────┴────────────────────────────┘      any ──► Over
//! ```
//!
//! Invariants: requests are sent only when `Up`, in the order of the calls; what was sent when a
//! connection breaks is answered `ConnectionLoss`, what was not waits for the next connection;
//! nothing follows `Over`.

use std::collections::VecDeque;
use std::time::Duration;

use ostler_wire::connect::{ConnectRequest, Password};
use ostler_wire::frame;
use ostler_wire::ids::{SessionId, Xid, Zxid};
use ostler_wire::op::OpCode;
use ostler_wire::request::{Request, RequestHeader};
use tokio::sync::{mpsc, oneshot};

use crate::builder::Settings;
use crate::error::{Error, Result};
use crate::event::EventKind;
use crate::hosts::{ConnectString, Host, Hosts};
use crate::path::Chroot;
use crate::random::Random;
use crate::reply::Answer;
use crate::session::proof::Proof;
use crate::session::queue::{Entry, NEVER, Purpose, Queue};
use crate::session::watches::Watches;
use crate::session::{Effect, Input, LinkId};
use crate::state::State;

/// Where the connection stands.
enum Phase {
    /// There is none; the next server is dialed at this moment.
    Idle { until: Duration },
    /// The driver dials.
    Dialing { deadline: Duration },
    /// The connect request is on its way.
    Handshake { deadline: Duration },
    /// Requests flow.
    Up,
    /// Nothing more will be.
    Over,
}

/// What a server has given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Established {
    pub(crate) id: SessionId,
    pub(crate) password: Password,
    pub(crate) timeout: Duration,
    /// Whether a server with a quorum knows it. One without gives ids of its own.
    pub(crate) is_global: bool,
}

/// Credentials that every connection begins with.
pub(super) struct Auth {
    pub(super) scheme: String,
    pub(super) auth: Vec<u8>,
    /// Whoever added them and has no answer yet.
    pub(super) answer: Option<oneshot::Sender<Answer>>,
}

/// The machine.
pub(crate) struct Core {
    pub(crate) settings: Settings,
    pub(crate) chroot: Chroot,
    hosts: Hosts,
    random: Random,
    phase: Phase,
    /// Of the present connection, or of the last one.
    link: LinkId,
    /// The server that is dialed or connected.
    host: Option<Host>,
    pub(crate) state: State,
    pub(crate) session: Option<Established>,
    pub(crate) last_zxid: Zxid,
    pub(super) queue: Queue,
    pub(super) watches: Watches,
    pub(super) auths: Vec<Auth>,
    /// Places in `auths` of the packets that are sent and not answered.
    pub(super) auths_sent: VecDeque<usize>,
    /// Bytes that go before the queue: connect request, credentials, pings.
    pub(super) urgent: Vec<u8>,
    /// Whether the driver may hold bytes that are not on the socket yet.
    is_writing: bool,
    /// An incomplete frame.
    pub(super) inbox: Vec<u8>,
    pub(super) last_received: Duration,
    last_sent: Duration,
    pub(super) proof: Proof,
    /// When to ask another server whether it takes writes, and how long to wait after that.
    probe: Option<(Duration, Duration)>,
    /// After `close`: when to give up.
    closing: Option<Duration>,
    effects: Vec<Effect>,
    states: Vec<mpsc::UnboundedSender<State>>,
    ended: Vec<oneshot::Sender<()>>,
    room: VecDeque<oneshot::Sender<()>>,
    last_failure: String,
    /// Why no call is accepted any more.
    refusal: Option<Error>,
}

impl Core {
    pub(crate) fn new(settings: Settings, servers: ConnectString, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let hosts = Hosts::new(servers.hosts, settings.shuffle.then_some(&mut random));
        let session = settings.resume.map(|(id, password)| Established {
            id,
            password,
            timeout: settings.session_timeout,
            is_global: true,
        });
        let auths = settings.auths.iter().map(|(scheme, auth)| Auth {
            scheme: scheme.clone(),
            auth: auth.clone(),
            answer: None,
        });
        Self {
            auths: auths.collect(),
            settings,
            chroot: servers.chroot,
            hosts,
            random,
            phase: Phase::Idle { until: Duration::ZERO },
            link: LinkId(0),
            host: None,
            state: State::Connecting,
            session,
            last_zxid: Zxid::ZERO,
            queue: Queue::default(),
            watches: Watches::default(),
            auths_sent: VecDeque::new(),
            urgent: Vec::new(),
            is_writing: false,
            inbox: Vec::new(),
            last_received: Duration::ZERO,
            last_sent: Duration::ZERO,
            proof: Proof::default(),
            probe: None,
            closing: None,
            effects: Vec::new(),
            states: Vec::new(),
            ended: Vec::new(),
            room: VecDeque::new(),
            last_failure: "no server was tried yet".to_owned(),
            refusal: None,
        }
    }

    // What the driver calls.

    pub(crate) fn handle(&mut self, now: Duration, input: Input<'_>) {
        if let Some(link) = input.link()
            && link != self.link
        {
            return;
        }
        match (input, &self.phase) {
            (_, Phase::Over) | (Input::Tick, _) => {}
            (Input::Dialed(_), Phase::Dialing { deadline }) => {
                self.phase = Phase::Handshake { deadline: *deadline };
                self.greet();
            }
            (Input::DialFailed(_, why), Phase::Dialing { .. }) => self.failed(now, why),
            (Input::Bytes(_, bytes), Phase::Handshake { .. } | Phase::Up) => {
                self.receive(now, bytes);
            }
            (Input::Closed(_, why), Phase::Handshake { .. } | Phase::Up) => self.broke(now, why),
            (Input::Probed(host, true), Phase::Up) if self.state == State::ConnectedReadOnly => {
                self.hosts.prefer(&host);
                self.hang_up(now, "another server takes writes");
            }
            // What belongs to another phase came too late to matter.
            _ => {}
        }
        self.tick(now);
    }

    /// What is to be done, in this order.
    pub(crate) fn take_effects(&mut self) -> Vec<Effect> {
        core::mem::take(&mut self.effects)
    }

    /// Whether [`transmit`](Self::transmit) has something.
    pub(crate) fn has_bytes(&self) -> bool {
        match self.phase {
            Phase::Handshake { .. } => !self.urgent.is_empty(),
            Phase::Up => !self.urgent.is_empty() || self.queue.has_waiting(),
            Phase::Idle { .. } | Phase::Dialing { .. } | Phase::Over => false,
        }
    }

    /// Appends what is to be sent on connection `link`, until `out` holds `limit_bytes` or more.
    pub(crate) fn transmit(
        &mut self,
        now: Duration,
        link: LinkId,
        limit_bytes: usize,
        out: &mut Vec<u8>,
    ) {
        self.is_writing = link == self.link && self.has_bytes();
        if self.is_writing {
            self.take_bytes(now, limit_bytes, out);
        }
    }

    fn take_bytes(&mut self, now: Duration, limit_bytes: usize, out: &mut Vec<u8>) {
        out.append(&mut self.urgent);
        if matches!(self.phase, Phase::Up) {
            self.queue.send(now, out, limit_bytes);
        }
        self.last_sent = now;
        self.proof.sent(now, matches!(self.phase, Phase::Handshake { .. }));
    }

    /// The bytes of the one request there is, if they may go out right now: nothing else is on its
    /// way, so they can overtake nothing, and there is no batch to be part of.
    pub(crate) fn take_lone(&mut self, now: Duration) -> Option<Vec<u8>> {
        let is_lone = matches!(self.phase, Phase::Up)
            && !self.is_writing
            && self.urgent.is_empty()
            && self.queue.is_lone()
            && self.settings.request_timeout.is_none();
        is_lone.then(|| {
            let mut bytes = Vec::new();
            self.take_bytes(now, usize::MAX, &mut bytes);
            bytes
        })
    }

    /// What could not be sent of it; it goes before all else.
    pub(crate) fn put_back(&mut self, rest: &[u8]) {
        self.urgent.extend_from_slice(rest);
    }

    /// When to call [`handle`](Self::handle) with a tick if nothing else happens.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        let phase = match self.phase {
            Phase::Over => return None,
            Phase::Idle { until } => Some(until),
            Phase::Dialing { deadline } | Phase::Handshake { deadline } => Some(deadline),
            Phase::Up => {
                // A ping that is queued already is not due again.
                let ping = self.urgent.is_empty().then(|| self.ping_at());
                [ping, self.probe.map(|(at, _)| at), Some(self.dead_at())]
                    .into_iter()
                    .flatten()
                    .min()
            }
        };
        [phase, self.closing, self.queue.next_due()].into_iter().flatten().min()
    }

    // Moments.

    fn tick(&mut self, now: Duration) {
        self.time_out(now);
        if self.closing.is_some_and(|deadline| deadline <= now) {
            self.end(State::Closed, &Error::Closed);
        }
        match self.phase {
            Phase::Dialing { deadline } if deadline <= now => {
                self.effects.push(Effect::HangUp(self.link));
                self.failed(now, "no connection in time");
            }
            Phase::Handshake { deadline } if deadline <= now => {
                self.hang_up(now, "no answer to the connect request in time");
            }
            Phase::Up if self.dead_at() <= now => self.hang_up(now, "the server is silent"),
            Phase::Up => self.tick_up(now),
            Phase::Idle { .. } | Phase::Dialing { .. } | Phase::Handshake { .. } | Phase::Over => {}
        }
        if let Phase::Idle { until } = self.phase
            && until <= now
        {
            self.dial(now);
        }
    }

    fn tick_up(&mut self, now: Duration) {
        if self.urgent.is_empty() && self.ping_at() <= now {
            frame::put(&mut self.urgent, |out| {
                RequestHeader { xid: Xid::PING, op_number: OpCode::Ping.number() }.write(out);
            });
            self.proof.ping_queued();
        }
        if let Some((at, pause)) = self.probe
            && at <= now
        {
            self.probe = Some((now + pause, (pause * 2).min(PROBE_PAUSE_MAX)));
            let host = self.hosts.look_around();
            if Some(&host) != self.host.as_ref() {
                self.effects.push(Effect::Probe(host));
            }
        }
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.session.map_or(self.settings.session_timeout, |session| session.timeout)
    }

    /// See [`Client::certain_until`](crate::Client::certain_until).
    pub(crate) fn certain_until(&self) -> Option<Duration> {
        self.proof.certain_until(self.timeout())
    }

    fn ping_at(&self) -> Duration {
        self.last_sent + (self.timeout() / 3).min(PING_PAUSE_MAX)
    }

    fn dead_at(&self) -> Duration {
        self.last_received + self.timeout() * 2 / 3
    }

    // Connections.

    fn dial(&mut self, now: Duration) {
        // Java: ClientCnxn divides the timeout by the servers, so that all can be tried in it.
        let servers = u32::try_from(self.hosts.len()).unwrap_or(u32::MAX);
        let patience = (self.timeout() / servers).clamp(DIAL_PATIENCE_MIN, DIAL_PATIENCE_MAX);
        let host = self.hosts.advance();
        self.link = LinkId(self.link.0 + 1);
        self.host = Some(host.clone());
        self.effects.push(Effect::Dial(self.link, host));
        self.phase = Phase::Dialing { deadline: now + patience };
    }

    fn greet(&mut self) {
        self.inbox.clear();
        self.urgent.clear();
        let known = self.session.filter(|session| session.is_global);
        let timeout_ms = self.settings.session_timeout.as_millis();
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: self.last_zxid,
            timeout_ms: i32::try_from(timeout_ms).unwrap_or(i32::MAX),
            session: known.map_or(SessionId::NONE, |session| session.id),
            password: Some(known.as_ref().map_or(&[0; 16], |session| &session.password)),
            read_only: Some(self.settings.read_only),
        };
        frame::put(&mut self.urgent, |out| request.encode(out));
    }

    /// A server serves the session.
    pub(super) fn established(&mut self, now: Duration, session: Established, read_only: bool) {
        self.session = Some(session);
        self.last_received = now;
        if !read_only {
            self.proof.connected();
        }
        self.phase = Phase::Up;
        self.hosts.succeeded();
        self.probe = read_only.then_some((now + PROBE_PAUSE, PROBE_PAUSE * 2));
        self.authenticate();
        let entries = if self.settings.keep_watches { self.restore() } else { Vec::new() };
        self.queue.push_front(entries);
        self.enter(if read_only { State::ConnectedReadOnly } else { State::Connected });
    }

    /// Sends all credentials.
    fn authenticate(&mut self) {
        for place in 0..self.auths.len() {
            self.send_auth(place);
        }
    }

    fn send_auth(&mut self, place: usize) {
        let Auth { scheme, auth, .. } = &self.auths[place];
        let request = Request::Auth { scheme: scheme.as_str().into(), auth: Some(auth) };
        frame::put(&mut self.urgent, |out| request.encode(Xid::AUTH, out));
        self.auths_sent.push_back(place);
    }

    /// The requests that put all watches back.
    fn restore(&mut self) -> Vec<Entry> {
        let lists = self.watches.lists(self.last_zxid);
        lists
            .into_iter()
            .map(|lists| {
                // Servers before 3.6 know no other lists than the first three.
                let request = if lists.persistent.is_empty() && lists.recursive.is_empty() {
                    Request::SetWatches(lists)
                } else {
                    Request::SetWatches2(lists)
                };
                Entry::new(&request, NEVER, None, Purpose::Restore)
            })
            .collect()
    }

    /// Leaves the connection, whatever its state.
    pub(super) fn hang_up(&mut self, now: Duration, why: &str) {
        self.effects.push(Effect::HangUp(self.link));
        self.broke(now, why);
    }

    /// The connection is gone.
    fn broke(&mut self, now: Duration, why: &str) {
        if !matches!(self.phase, Phase::Up) {
            return self.failed(now, why);
        }
        self.failure(why);
        self.forget_link();
        if matches!(self.phase, Phase::Over) {
            return;
        }
        let jitter = u64::try_from(self.random.below(JITTER_MS_MAX)).unwrap_or(0);
        self.phase = Phase::Idle { until: now + Duration::from_millis(jitter) };
        self.enter(State::Suspended);
        if !self.settings.keep_watches {
            self.watches.end(EventKind::Removed, &self.chroot);
        }
    }

    /// Answers what was on its way.
    fn forget_link(&mut self) {
        self.proof.disconnected();
        self.probe = None;
        self.inbox.clear();
        self.urgent.clear();
        self.auths_sent.clear();
        self.watches.disconnected();
        for entry in self.queue.take_sent() {
            self.finish(entry, Err(Error::ConnectionLoss));
        }
        for entry in self.queue.take_waiting(false) {
            self.finish(entry, Err(Error::ConnectionLoss));
        }
    }

    /// A server could not be had: on to the next, after a pause if all were tried.
    fn failed(&mut self, now: Duration, why: &str) {
        self.failure(why);
        self.inbox.clear();
        self.urgent.clear();
        if self.closing.is_some() {
            return self.end(State::Closed, &Error::Closed);
        }
        let mut until = now;
        if self.hosts.at_end_of_round() {
            let doublings = u32::try_from(self.hosts.rounds() - 1).unwrap_or(u32::MAX);
            let pause = (ROUND_PAUSE * 2_u32.pow(doublings.min(8))).min(ROUND_PAUSE_MAX);
            // Half of it fixed, half of it random.
            let random_ms = usize::try_from(pause.as_millis() / 2).unwrap_or(1);
            let random_ms = u64::try_from(self.random.below(random_ms)).unwrap_or(0);
            until = now + pause / 2 + Duration::from_millis(random_ms);
        }
        self.phase = Phase::Idle { until };
    }

    fn failure(&mut self, why: &str) {
        self.last_failure = match &self.host {
            Some(host) => format!("{host}: {why}"),
            None => why.to_owned(),
        };
    }

    /// Why no call is accepted any more.
    pub(crate) fn refusal(&self) -> Option<Error> {
        self.refusal.clone()
    }

    /// All credentials, those of the beginning and those that were added.
    pub(crate) fn credentials(&self) -> Vec<(String, Vec<u8>)> {
        self.auths.iter().map(|auth| (auth.scheme.clone(), auth.auth.clone())).collect()
    }

    /// What went wrong last.
    pub(crate) fn last_failure(&self) -> &str {
        &self.last_failure
    }

    /// How often all servers were tried in vain since there was a connection.
    pub(crate) fn rounds_failed(&self) -> usize {
        self.hosts.rounds()
    }

    // The end.

    /// Ends everything: all callers hear `error`, all watchers that the session is lost.
    pub(super) fn end(&mut self, state: State, error: &Error) {
        if matches!(self.phase, Phase::Over) {
            return;
        }
        if matches!(self.phase, Phase::Dialing { .. } | Phase::Handshake { .. } | Phase::Up) {
            self.effects.push(Effect::HangUp(self.link));
        }
        self.phase = Phase::Over;
        self.closing = None;
        self.refusal = Some(error.clone());
        for queue in [self.queue.take_sent(), self.queue.take_waiting(true)] {
            for entry in queue {
                self.finish(entry, Err(error.clone()));
            }
        }
        for auth in &mut self.auths {
            if let Some(answer) = auth.answer.take() {
                drop(answer.send(Err(error.clone())));
            }
        }
        self.watches.end(EventKind::SessionLost, &self.chroot);
        self.enter(state);
        self.states.clear();
        self.ended.drain(..).for_each(|ended| ended.send(()).unwrap_or(()));
        self.room.drain(..).for_each(|room| room.send(()).unwrap_or(()));
        self.effects.push(Effect::End);
    }

    /// Whoever drove the session is gone.
    pub(crate) fn abandon(&mut self) {
        self.end(State::Closed, &Error::Closed);
        self.effects.clear();
    }

    fn enter(&mut self, state: State) {
        if self.state != state {
            self.state = state;
            self.states.retain(|states| states.send(state).is_ok());
        }
    }

    // What the user calls.

    /// Queues a request.
    pub(crate) fn call(
        &mut self,
        now: Duration,
        request: &Request<'_>,
        purpose: Purpose,
    ) -> Result<oneshot::Receiver<Answer>> {
        if let Some(refusal) = &self.refusal {
            return Err(refusal.clone());
        }
        if self.queue.len() >= self.settings.outstanding_max {
            return Err(Error::Overloaded);
        }
        if let Purpose::Watch { path, table, .. } = &purpose {
            self.watches.expect(path, *table);
        }
        let due = self.settings.request_timeout.map_or(NEVER, |timeout| now + timeout);
        let (sender, receiver) = oneshot::channel();
        self.queue.push(Entry::new(request, due, Some(sender), purpose));
        Ok(receiver)
    }

    /// Tells the server, without being asked by a caller, that a watch is not wanted.
    pub(super) fn tidy(&mut self, path: &str, table: super::watches::Table) {
        if !matches!(self.phase, Phase::Up) || self.refusal.is_some() {
            return;
        }
        let request =
            Request::RemoveWatches { path: path.into(), watcher_type: table.kind().number() };
        self.queue.push(Entry::new(&request, NEVER, None, Purpose::Tidy));
    }

    pub(crate) fn release(&mut self, path: &str, table: super::watches::Table) {
        if self.watches.release(path, table) {
            self.tidy(path, table);
        }
    }

    pub(crate) fn add_auth(
        &mut self,
        scheme: &str,
        auth: &[u8],
    ) -> Result<oneshot::Receiver<Answer>> {
        if let Some(refusal) = &self.refusal {
            return Err(refusal.clone());
        }
        let (sender, receiver) = oneshot::channel();
        let (scheme, auth) = (scheme.to_owned(), auth.to_vec());
        self.auths.push(Auth { scheme, auth, answer: Some(sender) });
        if matches!(self.phase, Phase::Up) {
            self.send_auth(self.auths.len() - 1);
        }
        Ok(receiver)
    }

    /// Asks for the end of the session, behind all calls so far.
    pub(crate) fn close(&mut self, now: Duration) -> Option<oneshot::Receiver<()>> {
        if matches!(self.phase, Phase::Over) {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        self.ended.push(sender);
        if self.closing.is_none() {
            self.refusal = Some(Error::Closed);
            if self.session.is_none() {
                // There is nothing that a server would have to be told.
                self.end(State::Closed, &Error::Closed);
            } else {
                self.closing = Some(now + self.timeout().min(CLOSE_PATIENCE_MAX));
                self.queue.push(Entry::new(&Request::CloseSession, NEVER, None, Purpose::Close));
            }
        }
        Some(receiver)
    }

    pub(crate) fn update_hosts(&mut self, now: Duration, hosts: Vec<Host>) {
        let current = self.host.as_ref().filter(|_| matches!(self.phase, Phase::Up));
        if self.hosts.update(hosts, current, &mut self.random) {
            self.hang_up(now, "the list of servers has changed");
        }
    }

    pub(crate) fn watch_states(&mut self) -> mpsc::UnboundedReceiver<State> {
        let (sender, receiver) = mpsc::unbounded_channel();
        sender.send(self.state).expect("the receiver is in our hands");
        if !self.state.is_final() {
            self.states.push(sender);
        }
        receiver
    }

    /// `None` if there is room for another call.
    pub(crate) fn wait_for_room(&mut self) -> Result<Option<oneshot::Receiver<()>>> {
        if let Some(refusal) = &self.refusal {
            return Err(refusal.clone());
        }
        if self.queue.len() < self.settings.outstanding_max {
            return Ok(None);
        }
        let (sender, receiver) = oneshot::channel();
        self.room.push_back(sender);
        Ok(Some(receiver))
    }

    /// One request fewer waits.
    pub(super) fn make_room(&mut self) {
        let is_idle = self.queue.len() == 0;
        while let Some(room) = self.room.pop_front() {
            // Whoever gave up does not need it.
            if room.send(()).is_ok() && !is_idle {
                break;
            }
        }
    }

    /// The server that serves the session.
    pub(crate) fn server(&self) -> Option<&Host> {
        self.host.as_ref().filter(|_| matches!(self.phase, Phase::Up))
    }

    fn time_out(&mut self, now: Duration) {
        if self.queue.next_due().is_none_or(|due| now < due) {
            return;
        }
        let (entries, senders) = self.queue.time_out(now);
        for entry in entries {
            self.finish(entry, Err(Error::RequestTimeout));
        }
        for sender in senders {
            drop(sender.send(Err(Error::RequestTimeout)));
        }
    }

    pub(super) fn is_shaking_hands(&self) -> bool {
        matches!(self.phase, Phase::Handshake { .. })
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Up)
    }
}

/// A third of a long timeout would let firewalls forget the connection.
// Java: ClientCnxn.MAX_SEND_PING_INTERVAL
const PING_PAUSE_MAX: Duration = Duration::from_secs(10);
const DIAL_PATIENCE_MIN: Duration = Duration::from_millis(100);
const DIAL_PATIENCE_MAX: Duration = Duration::from_secs(10);
/// The first pause when no server of the list could be had; it doubles with each round.
const ROUND_PAUSE: Duration = Duration::from_millis(50);
const ROUND_PAUSE_MAX: Duration = Duration::from_secs(1);
/// Spreads the clients of a server that has gone.
const JITTER_MS_MAX: usize = 50;
// Java: ClientCnxn.SendThread.minPingRwTimeout and maxPingRwTimeout
const PROBE_PAUSE: Duration = Duration::from_millis(100);
const PROBE_PAUSE_MAX: Duration = Duration::from_secs(60);
/// How long `close` waits for the server's word.
const CLOSE_PATIENCE_MAX: Duration = Duration::from_secs(5);
