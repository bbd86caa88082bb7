//! A shard thread: sockets and the feed on one side, a shard on the other.
//!
//! A turn reads every socket that has something, takes the mail and the feed, and only then writes:
//! one write a connection and one mail to the replica for all that the turn made.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use ostler_node::clock::{Clock, Span, Time};
use ostler_node::messages::{ConnId, ToReplica};
use ostler_node::shard::{Shard, ShardEffect, ShardInput};

use crate::feed::Cursor;
use crate::mail::{Clocks, Question, ReplicaMail, ShardBox, ShardMail};
use crate::net::limits::ConnLimits;
use crate::net::sockets::{ReadOutcome, Sockets, prepare, reset};

/// What a shard thread works with.
pub(crate) struct ShardLoop {
    pub(crate) shard: Shard,
    pub(crate) poll: Poll,
    pub(crate) own_box: Arc<ShardBox>,
    pub(crate) cursor: Cursor,
    pub(crate) replica: Sender<ReplicaMail>,
    pub(crate) questions: Sender<Question>,
    pub(crate) clocks: Clocks,
    pub(crate) limits: Arc<ConnLimits>,
    pub(crate) keep_alive: bool,
    /// Only the first shard listens; it hands connections to the others in turn.
    pub(crate) listener: Option<Listener>,
}

/// The client port and who gets the next connection.
pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    pub(crate) shards: Vec<Arc<ShardBox>>,
    pub(crate) next: usize,
}

/// What a turn works on; kept so that nothing is allocated again.
struct Turn {
    sockets: Sockets,
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
    /// When long answers may be told of again.
    told_until: Time,
}

impl ShardLoop {
    /// Runs until the server ends.
    pub(crate) fn run(mut self) -> io::Result<()> {
        if let Some(listener) = &mut self.listener {
            let registry = self.poll.registry();
            registry.register(&mut listener.socket, LISTENER, Interest::READABLE)?;
        }
        let mut events = Events::with_capacity(1024);
        let mut turn = Turn {
            sockets: Sockets::default(),
            to_read: VecDeque::new(),
            effects: Vec::new(),
            to_replica: Vec::new(),
            to_write: Vec::new(),
            closing: Vec::new(),
            buffer: vec![0; READ_BUFFER_BYTES],
            accept_again: false,
            told_until: Time::default(),
        };
        while !self.own_box.is_stopping() {
            self.sleep(&turn, &mut events)?;
            let at = self.clocks.read();
            self.note_events(&events, &mut turn);
            self.accept(at, &mut turn);
            self.take_mail(at, &mut turn);
            // The feed first: a client may have seen, by another shard, what is in it.
            self.follow_feed(at, &mut turn);
            self.read_sockets(at, &mut turn);
            if self.shard.next_deadline().is_some_and(|deadline| deadline <= at.now) {
                self.shard.handle(at, ShardInput::Deadline, &mut turn.effects);
            }
            self.carry_out(at, &mut turn);
            self.tell_long_answers(at, &mut turn);
        }
        Ok(())
    }

    fn sleep(&mut self, turn: &Turn, events: &mut Events) -> io::Result<()> {
        self.own_box.will_sleep();
        let busy = turn.accept_again
            || !turn.to_read.is_empty()
            || !self.cursor.is_at_end()
            || self.own_box.has_mail();
        let wait = if busy {
            Some(Duration::ZERO)
        } else {
            let now = self.clocks.read().now;
            let deadline = self.shard.next_deadline();
            let wait = deadline.map(|at| Duration::from_micros(at.0.saturating_sub(now.0)));
            if turn.closing.is_empty() {
                wait
            } else {
                Some(wait.map_or(LINGER, |w| w.min(LINGER)))
            }
        };
        let polled = self.poll.poll(events, wait);
        self.own_box.is_awake();
        match polled {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            other => other,
        }
    }

    fn note_events(&self, events: &Events, turn: &mut Turn) {
        for event in events {
            match event.token() {
                WAKE => {}
                LISTENER => turn.accept_again = true,
                token => {
                    let Some(socket) = turn.sockets.by_token(token) else { continue };
                    if event.is_writable() && !self.shard.unsent(socket.id).is_empty() {
                        turn.to_write.push(socket.id);
                    }
                    if event.is_readable() || event.is_read_closed() || event.is_error() {
                        socket.readable = true;
                        if !socket.in_turn {
                            socket.in_turn = true;
                            turn.to_read.push_back(socket.id);
                        }
                    }
                }
            }
        }
    }

    fn accept(&mut self, at: Clock, turn: &mut Turn) {
        if !std::mem::take(&mut turn.accept_again) {
            return;
        }
        for _ in 0..ACCEPTS_A_TURN {
            let Some(listener) = &mut self.listener else { return };
            match listener.socket.accept() {
                Ok((stream, remote)) => {
                    listener.next = (listener.next + 1) % listener.shards.len();
                    let shard = &listener.shards[listener.next];
                    if Arc::ptr_eq(shard, &self.own_box) {
                        self.adopt(at, stream, remote, turn);
                    } else {
                        shard.send(ShardMail::Accepted(stream, remote));
                    }
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return,
                    io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
                    _ => {
                        // Out of file descriptors, mostly: it is tried again with the next event.
                        tracing::error!("cannot accept a connection: {error}");
                        return;
                    }
                },
            }
        }
        turn.accept_again = true;
    }

    fn adopt(
        &mut self,
        at: Clock,
        stream: TcpStream,
        remote: std::net::SocketAddr,
        turn: &mut Turn,
    ) {
        let permit = match self.limits.permit(remote.ip()) {
            Ok(permit) => permit,
            Err(reason) => {
                self.shard.note_rejected();
                return reset(stream, remote, &reason);
            }
        };
        let added = prepare(&stream, self.keep_alive)
            .and_then(|()| turn.sockets.add(self.poll.registry(), stream, permit));
        match added {
            Ok(id) => self.shard.handle(at, ShardInput::Accepted(id, remote), &mut turn.effects),
            Err(error) => tracing::warn!("connection from {remote} lost at once: {error}"),
        }
    }

    fn take_mail(&mut self, at: Clock, turn: &mut Turn) {
        for mail in self.own_box.take_mail() {
            let effects = &mut turn.effects;
            match mail {
                ShardMail::Accepted(stream, remote) => self.adopt(at, stream, remote, turn),
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
    fn read_sockets(&mut self, at: Clock, turn: &mut Turn) {
        for _ in 0..turn.to_read.len() {
            let Some(id) = turn.to_read.pop_front() else { return };
            let paused = self.shard.is_paused(id);
            let Some(socket) = turn.sockets.get(id) else { continue };
            if paused && socket.closing_since.is_none() {
                // It stays readable; the shard says when it may go on.
                socket.in_turn = false;
                continue;
            }
            match socket.read(&mut turn.buffer) {
                ReadOutcome::Bytes(count, more) => {
                    socket.readable = more;
                    socket.in_turn = more;
                    if more {
                        turn.to_read.push_back(id);
                    }
                    let bytes = &turn.buffer[..count];
                    self.shard.handle(at, ShardInput::Bytes(id, bytes), &mut turn.effects);
                }
                ReadOutcome::Empty => {
                    socket.readable = false;
                    socket.in_turn = false;
                }
                ReadOutcome::Gone => self.drop_conn(at, id, turn),
            }
        }
    }

    fn follow_feed(&mut self, at: Clock, turn: &mut Turn) {
        while let Some(commit) = self.cursor.advance() {
            self.shard.handle(at, ShardInput::Commit(commit), &mut turn.effects);
        }
    }

    /// Effects make more effects (what is written lets others go on), so until there are none.
    fn carry_out(&mut self, at: Clock, turn: &mut Turn) {
        loop {
            let mut effects = std::mem::take(&mut turn.effects);
            for effect in effects.drain(..) {
                self.effect(effect, turn);
            }
            turn.effects = effects;
            for id in std::mem::take(&mut turn.to_write) {
                self.write(at, id, turn);
            }
            self.close_finished(at, turn);
            if turn.effects.is_empty() {
                break;
            }
        }
        if !turn.to_replica.is_empty() {
            let mail = ReplicaMail::FromShard(std::mem::take(&mut turn.to_replica));
            // It listens no more only when the server ends.
            let _ = self.replica.send(mail);
        }
    }

    fn effect(&self, effect: ShardEffect, turn: &mut Turn) {
        match effect {
            ShardEffect::Output(id) => turn.to_write.push(id),
            ShardEffect::Close(id) => {
                if let Some(socket) = turn.sockets.get(id)
                    && socket.closing_since.is_none()
                {
                    socket.closing_since = Some(Instant::now());
                    turn.closing.push(id);
                }
            }
            ShardEffect::Resume(id) => {
                if let Some(socket) = turn.sockets.get(id)
                    && socket.readable
                    && !socket.in_turn
                {
                    socket.in_turn = true;
                    turn.to_read.push_back(id);
                }
            }
            ShardEffect::FourLetterWord(conn, word) => {
                let shard = Arc::clone(&self.own_box);
                let _ = self.questions.send(Question { shard, conn, word });
            }
            ShardEffect::ToReplica(message) => turn.to_replica.push(message),
        }
    }

    fn write(&mut self, at: Clock, id: ConnId, turn: &mut Turn) {
        let Some(socket) = turn.sockets.get(id) else { return };
        match socket.write(self.shard.unsent(id)) {
            // What is left goes out when the socket says that it takes more.
            Ok(count) => self.shard.sent(at, id, count, &mut turn.effects),
            Err(_) => self.drop_conn(at, id, turn),
        }
    }

    /// Closes connections whose last words are out, or that do not take them.
    fn close_finished(&mut self, at: Clock, turn: &mut Turn) {
        for id in std::mem::take(&mut turn.closing) {
            let Some(socket) = turn.sockets.get(id) else { continue };
            let patience = socket.closing_since.map_or(LINGER, |since| since.elapsed());
            if self.shard.unsent(id).is_empty() || patience >= LINGER {
                self.drop_conn(at, id, turn);
            } else {
                turn.closing.push(id);
            }
        }
    }

    /// A line a second at most: whoever asks for too much asks again and again.
    fn tell_long_answers(&mut self, at: Clock, turn: &mut Turn) {
        if at.now < turn.told_until {
            return;
        }
        let Some(long) = self.shard.take_long_answers() else { return };
        turn.told_until = at.now + TOLD_AGAIN_AFTER;
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

    fn drop_conn(&mut self, at: Clock, id: ConnId, turn: &mut Turn) {
        turn.sockets.remove(self.poll.registry(), id);
        self.shard.handle(at, ShardInput::Closed(id), &mut turn.effects);
    }
}

/// The bell of the shard's mailbox.
pub(crate) const WAKE: Token = Token(0);
const LISTENER: Token = Token(1);

/// How much is read from one socket before it is another's turn.
const READ_BUFFER_BYTES: usize = 64 << 10;

/// Connections accepted before those that exist are served again.
const ACCEPTS_A_TURN: usize = 128;

/// Least time between two lines about long answers.
const TOLD_AGAIN_AFTER: Span = Span::from_millis(1000);

/// How long a connection that is being closed may take to accept its last words.
const LINGER: Duration = Duration::from_secs(5);
