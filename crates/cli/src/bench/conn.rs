//! A non-blocking connection of the bench: frames in, frames out, no allocation once it is warm.
//!
//! It is registered with an edge-triggered poll, so whoever owns it reads until the socket is
//! drained and, after a short write, waits for the next writable event.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use ostler_wire::frame;
use ostler_wire::ids::Xid;
use ostler_wire::request::Request;

use crate::raw_client::RawClient;

const FRAME_BYTES_MAX: usize = 1 << 30;
const INPUT_BYTES_MIN: usize = 2 * 1024;

/// A connection with a session, or one that is about to get one.
pub(crate) struct Conn {
    stream: TcpStream,
    input: Vec<u8>,
    /// What was read and not taken is `input[taken..filled]`.
    taken: usize,
    filled: usize,
    /// Frames to send; `output[..written]` is sent already.
    pub(crate) output: Vec<u8>,
    written: usize,
    last_sent: Instant,
    ping_every: Duration,
}

impl Conn {
    /// Takes over a session that was opened by hand.
    pub(crate) fn from_raw(client: RawClient) -> io::Result<Self> {
        let timeout_ms = client.timeout_ms();
        let stream = client.into_stream();
        stream.set_nonblocking(true)?;
        let mut conn = Self::new(TcpStream::from_std(stream));
        conn.keep_alive(timeout_ms);
        Ok(conn)
    }

    /// Wraps a socket that may still be connecting.
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            input: Vec::new(),
            taken: 0,
            filled: 0,
            output: Vec::new(),
            written: 0,
            last_sent: Instant::now(),
            ping_every: Duration::MAX,
        }
    }

    /// Makes [`Self::ping_if_idle`] keep a session of this timeout alive.
    pub(crate) fn keep_alive(&mut self, timeout_ms: i32) {
        self.ping_every = Duration::from_millis(u64::try_from(timeout_ms / 3).unwrap_or(0).max(1));
    }

    /// Registers for both directions.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.stream, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// The error of a connection attempt, if it failed; sets what a fresh socket needs.
    pub(crate) fn finish_connecting(&self) -> io::Result<()> {
        match self.stream.take_error()? {
            None => self.stream.set_nodelay(true),
            Some(error) => Err(error),
        }
    }

    /// Sends as much of `output` as the socket takes.
    pub(crate) fn flush(&mut self, now: Instant) -> io::Result<()> {
        while self.written < self.output.len() {
            match self.stream.write(&self.output[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(length) => self.written += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            self.last_sent = now;
        }
        self.output.clear();
        self.written = 0;
        Ok(())
    }

    /// Reads what is there, up to the room of one buffer; false when the socket is drained.
    ///
    /// The end of the stream is an error: no server closes a session that is being used.
    pub(crate) fn read_some(&mut self) -> io::Result<bool> {
        self.make_room();
        loop {
            match self.stream.read(&mut self.input[self.filled..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => {
                    self.filled += length;
                    // A short read has drained the socket; what comes later is a new edge.
                    return Ok(self.filled == self.input.len());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The body of the next frame that has arrived whole.
    pub(crate) fn pop_frame(&mut self) -> io::Result<Option<&[u8]>> {
        let found = frame::first(&self.input[self.taken..self.filled], FRAME_BYTES_MAX);
        let found = found.map_err(|bad| {
            io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {} bytes", bad.0))
        })?;
        if let Some(body) = found {
            self.taken += frame::PREFIX_BYTES + body.len();
        }
        Ok(found)
    }

    /// Queues a ping if the session has been silent for a third of its timeout.
    pub(crate) fn ping_if_idle(&mut self, now: Instant) -> io::Result<()> {
        if now.duration_since(self.last_sent) < self.ping_every {
            return Ok(());
        }
        frame::put(&mut self.output, |out| Request::Ping.encode(Xid::PING, out));
        self.flush(now)
    }

    fn make_room(&mut self) {
        if self.taken == self.filled {
            self.taken = 0;
            self.filled = 0;
        }
        if self.filled == self.input.len() {
            if self.taken > 0 {
                self.input.copy_within(self.taken..self.filled, 0);
                self.filled -= self.taken;
                self.taken = 0;
            }
            // Still more than half full: a long frame, or many short ones behind each other.
            if self.filled * 2 >= self.input.len() {
                let length = (self.input.len() * 2).max(INPUT_BYTES_MIN);
                self.input.resize(length, 0);
            }
        }
    }
}
