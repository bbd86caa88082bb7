//! A shard's work: sockets and the feed on one side, a shard on the other.
//!
//! A turn reads every socket that has something, takes the mail and the feed, and only then writes:
//! one write a connection and one mail to the replica for all that the turn made. Who waits for the
//! sockets, and whether the replica works on the same thread, is the driver's affair.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use ostler_node::clock::{Clock, Span, Time};
use ostler_node::messages::{ConnId, ToReplica};
use ostler_node::shard::{Shard, ShardEffect, ShardInput};

use crate::feed::Cursor;
use crate::mail::{Question, ReplicaBox, ReplicaMail, ShardBox, ShardMail};
use crate::net::limits::ConnLimits;
use crate::net::sockets::{ReadOutcome, Sockets, reset};

/// What a shard works with.
pub(crate) struct ShardLoop {
    pub(crate) shard: Shard,
    /// Where its sockets are waited for.
    pub(crate) registry: Registry,
    pub(crate) own_box: Arc<ShardBox>,
    pub(crate) mail: Receiver<ShardMail>,
    pub(crate) cursor: Cursor,
    pub(crate) replica: ReplicaBox,
    pub(crate) questions: Sender<Question>,
    pub(crate) limits: Arc<ConnLimits>,
    /// Only the first shard listens; it hands connections to the others in turn.
    pub(crate) listener: Option<Listener>,
    pub(crate) turn: Turn,
}

/// The client port and who gets the next connection.
pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    pub(crate) shards: Vec<Arc<ShardBox>>,
    pub(crate) next: usize,
}

/// What a turn works on; kept so that nothing is allocated again.
pub(crate) struct Turn {
    sockets: Sockets,
    /// Mail that was found before the turn began.
    mail: Option<ShardMail>,
    /// Connections to be read, each once.
    to_read: VecDeque<ConnId>,
    effects: Vec<ShardEffect>,
    to_replica: Vec<ToReplica>,
    /// Connections with output.
    to_write: Vec<ConnId>,
    /// Connections whose output has to leave before they are closed.
    closing: Vec<ConnId>,
    buffer: Vec<u8>,
    accept_again: bool,
    /// When it is tried again, if the last try failed: those who wait are not told of twice.
    accept_at: Option<Time>,
    /// When long answers may be told of again.
    told_until: Time,
}

impl Turn {
    pub(crate) fn new() -> Self {
        Self {
            sockets: Sockets::default(),
            mail: None,
            to_read: VecDeque::new(),
            effects: Vec::new(),
            to_replica: Vec::new(),
            to_write: Vec::new(),
            closing: Vec::new(),
            buffer: vec![0; READ_BUFFER_BYTES],
            accept_again: false,
            accept_at: None,
            told_until: Time::default(),
        }
    }
}

impl ShardLoop {
    /// Begins to listen, if this is the shard that does.
    pub(crate) fn begin(&mut self) -> io::Result<()> {
        let Some(listener) = &mut self.listener else { return Ok(()) };
        self.registry.register(&mut listener.socket, LISTENER, Interest::READABLE)
    }

    /// Whether the server ends.
    pub(crate) fn is_over(&self) -> bool {
        self.own_box.is_stopping()
    }

    /// Whether there is something to do without waiting.
    pub(crate) fn is_busy(&mut self) -> bool {
        let turn = &mut self.turn;
        if turn.mail.is_none() {
            turn.mail = self.mail.try_recv().ok();
        }
        turn.mail.is_some()
            || turn.accept_again
            || !turn.to_read.is_empty()
            || !turn.to_replica.is_empty()
            || !self.cursor.is_at_end()
            || self.own_box.is_stopping()
    }

    /// Whether nobody waits for anything that it could do.
    pub(crate) fn is_idle(&self) -> bool {
        let turn = &self.turn;
        turn.to_read.is_empty() && turn.to_write.is_empty() && !turn.accept_again
    }

    /// How long it can wait when nothing happens; `None` is for ever.
    pub(crate) fn patience(&self, now: Time) -> Option<Duration> {
        let deadline = self.shard.next_deadline().into_iter().chain(self.turn.accept_at).min();
        let wait = deadline.map(|at| Duration::from_micros(at.0.saturating_sub(now.0)));
        let linger = (!self.turn.closing.is_empty()).then_some(LINGER);
        wait.into_iter().chain(linger).min()
    }

    /// Notes that something has happened to the listener or a socket.
    pub(crate) fn note_event(&mut self, event: &Event) {
        let turn = &mut self.turn;
        if event.token() == LISTENER {
            turn.accept_again = true;
            return;
        }
        let Some(socket) = turn.sockets.by_token(event.token()) else { return };
        if event.is_writable() && !self.shard.unsent(socket.id).is_empty() {
            turn.to_write.push(socket.id);
        }
        // Said once: a read that finds the last bytes does not empty such a socket.
        socket.is_ending |= event.is_read_closed() || event.is_error();
        if event.is_readable() || socket.is_ending {
            socket.readable = true;
            if !socket.in_turn {
                socket.in_turn = true;
                turn.to_read.push_back(socket.id);
            }
        }
    }

    /// The first half of a turn: takes what there is. What it makes for the replica waits in
    /// [`Self::messages`].
    pub(crate) fn take_in(&mut self, at: Clock) {
        self.accept(at);
        self.take_mail(at);
        // The feed first: a client may have seen, by another shard, what is in it.
        self.follow_feed(at);
        self.read_sockets(at);
        if self.shard.next_deadline().is_some_and(|deadline| deadline <= at.now) {
            self.shard.handle(at, ShardInput::Deadline, &mut self.turn.effects);
        }
        self.settle();
    }

    /// What it has to say to the replica, in order.
    pub(crate) fn messages(&mut self) -> &mut Vec<ToReplica> {
        &mut self.turn.to_replica
    }

    /// Says it, to a replica on another thread.
    pub(crate) fn post(&mut self) {
        if !self.turn.to_replica.is_empty() {
            let messages = std::mem::take(&mut self.turn.to_replica);
            self.replica.send(ReplicaMail::FromShard(messages));
        }
    }

    /// The second half of a turn: shows what was committed meanwhile, and writes.
    ///
    /// Effects make more effects (what is written lets others go on), so until there are none.
    pub(crate) fn carry_out(&mut self, at: Clock) {
        self.follow_feed(at);
        loop {
            self.settle();
            let mut to_write = std::mem::take(&mut self.turn.to_write);
            for id in to_write.drain(..) {
                self.write(at, id);
            }
            self.turn.to_write = to_write;
            self.close_finished(at);
            if self.turn.effects.is_empty() {
                break;
            }
        }
        self.tell_long_answers(at);
    }

    /// Puts what has to be done where it is done.
    fn settle(&mut self) {
        let mut effects = std::mem::take(&mut self.turn.effects);
        for effect in effects.drain(..) {
            self.effect(effect);
        }
        self.turn.effects = effects;
    }

    fn accept(&mut self, at: Clock) {
        let is_due = self.turn.accept_at.is_some_and(|due| due <= at.now);
        if !std::mem::take(&mut self.turn.accept_again) && !is_due {
            return;
        }
        for _ in 0..ACCEPTS_A_TURN {
            let Some(listener) = &mut self.listener else { return };
            match listener.socket.accept() {
                Ok((stream, remote)) => {
                    listener.next = (listener.next + 1) % listener.shards.len();
                    let shard = &listener.shards[listener.next];
                    if Arc::ptr_eq(shard, &self.own_box) {
                        self.adopt(at, stream, remote);
                    } else {
                        shard.send(ShardMail::Accepted(stream, remote));
                    }
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => {
                        self.turn.accept_at = None;
                        return;
                    }
                    io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
                    _ => {
                        // Out of file descriptors, mostly.
                        if self.turn.accept_at.is_none() {
                            tracing::error!("cannot accept connections for now: {error}");
                        }
                        self.turn.accept_at = Some(at.now + ACCEPT_PAUSE);
                        return;
                    }
                },
            }
        }
        self.turn.accept_again = true;
    }

    fn adopt(&mut self, at: Clock, stream: TcpStream, remote: std::net::SocketAddr) {
        let permit = match self.limits.permit(remote.ip()) {
            Ok(permit) => permit,
            Err(reason) => {
                self.shard.note_rejected();
                return reset(stream, remote, &reason);
            }
        };
        match self.turn.sockets.add(&self.registry, stream, permit) {
            Ok(id) => {
                self.shard.handle(at, ShardInput::Accepted(id, remote), &mut self.turn.effects)
            }
            Err(error) => tracing::warn!("connection from {remote} lost at once: {error}"),
        }
    }

    fn take_mail(&mut self, at: Clock) {
        while let Some(mail) = self.turn.mail.take().or_else(|| self.mail.try_recv().ok()) {
            let effects = &mut self.turn.effects;
            match mail {
                ShardMail::Accepted(stream, remote) => self.adopt(at, stream, remote),
                ShardMail::Text(id, text) => {
                    self.shard.handle(at, ShardInput::Text(id, &text), effects);
                }
                ShardMail::Report(with_watches, to) => {
                    // Who asked may have given up.
                    let _ = to.send(self.shard.report(with_watches));
                }
                ShardMail::ResetCounters => {
                    self.shard.handle(at, ShardInput::ResetCounters, effects);
                }
                ShardMail::ResetConnections => {
                    self.shard.handle(at, ShardInput::ResetConnections, effects);
                }
            }
        }
    }

    /// Reads each connection that has something once, so that none keeps the others waiting.
    fn read_sockets(&mut self, at: Clock) {
        for _ in 0..self.turn.to_read.len() {
            let Some(id) = self.turn.to_read.pop_front() else { return };
            let paused = self.shard.is_paused(id);
            let Some(socket) = self.turn.sockets.get(id) else { continue };
            if paused && socket.closing_since.is_none() {
                // It stays readable; the shard says when it may go on.
                socket.in_turn = false;
                continue;
            }
            match socket.read(&mut self.turn.buffer) {
                ReadOutcome::Bytes(count, more) => {
                    let more = more || socket.is_ending;
                    socket.readable = more;
                    socket.in_turn = more;
                    if more {
                        self.turn.to_read.push_back(id);
                    }
                    let bytes = &self.turn.buffer[..count];
                    self.shard.handle(at, ShardInput::Bytes(id, bytes), &mut self.turn.effects);
                }
                ReadOutcome::Empty => {
                    socket.readable = false;
                    socket.in_turn = false;
                }
                ReadOutcome::Gone => self.drop_conn(at, id),
            }
        }
    }

    fn follow_feed(&mut self, at: Clock) {
        while let Some(commit) = self.cursor.advance() {
            self.shard.handle(at, ShardInput::Commit(commit), &mut self.turn.effects);
        }
    }

    fn effect(&mut self, effect: ShardEffect) {
        match effect {
            ShardEffect::Output(id) => self.turn.to_write.push(id),
            ShardEffect::Close(id) => {
                if let Some(socket) = self.turn.sockets.get(id)
                    && socket.closing_since.is_none()
                {
                    socket.closing_since = Some(Instant::now());
                    self.turn.closing.push(id);
                }
            }
            ShardEffect::Resume(id) => {
                if let Some(socket) = self.turn.sockets.get(id)
                    && socket.readable
                    && !socket.in_turn
                {
                    socket.in_turn = true;
                    self.turn.to_read.push_back(id);
                }
            }
            ShardEffect::FourLetterWord(conn, word) => {
                let shard = Arc::clone(&self.own_box);
                let _ = self.questions.send(Question { shard, conn, word });
            }
            ShardEffect::ToReplica(message) => self.turn.to_replica.push(message),
        }
    }

    fn write(&mut self, at: Clock, id: ConnId) {
        let Some(socket) = self.turn.sockets.get(id) else { return };
        match socket.write(self.shard.unsent(id)) {
            // What is left goes out when the socket says that it takes more.
            Ok(count) => self.shard.sent(at, id, count, &mut self.turn.effects),
            Err(_) => self.drop_conn(at, id),
        }
    }

    /// Closes connections whose last words are out, or that do not take them.
    fn close_finished(&mut self, at: Clock) {
        for id in std::mem::take(&mut self.turn.closing) {
            let Some(socket) = self.turn.sockets.get(id) else { continue };
            let patience = socket.closing_since.map_or(LINGER, |since| since.elapsed());
            if self.shard.unsent(id).is_empty() || patience >= LINGER {
                self.drop_conn(at, id);
            } else {
                self.turn.closing.push(id);
            }
        }
    }

    /// A line a second at most: whoever asks for too much asks again and again.
    fn tell_long_answers(&mut self, at: Clock) {
        if at.now < self.turn.told_until {
            return;
        }
        let Some(long) = self.shard.take_long_answers() else { return };
        self.turn.told_until = at.now + TOLD_AGAIN_AFTER;
        tracing::warn!(
            "answers longer than jute.maxbuffer: {}, the longest of {} bytes about {} to {} of \
             session 0x{:x}. A client drops the connection at answers beyond its own jute.maxbuffer",
            long.count,
            long.bytes,
            long.path.as_deref().unwrap_or("several paths").escape_debug(),
            long.remote,
            long.session.0,
        );
    }

    fn drop_conn(&mut self, at: Clock, id: ConnId) {
        self.turn.sockets.remove(&self.registry, id);
        self.shard.handle(at, ShardInput::Closed(id), &mut self.turn.effects);
    }
}

/// Below is the bell of the thread, above are the sockets.
const LISTENER: Token = Token(1);

/// How much is read from one socket before it is another's turn.
const READ_BUFFER_BYTES: usize = 64 << 10;

/// Connections accepted before those that exist are served again.
const ACCEPTS_A_TURN: usize = 128;

/// How long those who wait are left alone where a connection could not be accepted.
// Java: NIOServerCnxnFactory.AcceptThread.pauseAccept.
const ACCEPT_PAUSE: Span = Span::from_millis(10);

/// Least time between two lines about long answers.
const TOLD_AGAIN_AFTER: Span = Span::from_millis(1000);

/// How long a connection that is being closed may take to accept its last words.
const LINGER: Duration = Duration::from_secs(5);
