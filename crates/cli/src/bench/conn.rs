//! Non-blocking connections of the bench, and the buffer that those of one thread share.
//!
//! Memory is what many connections cost, so a connection holds bytes only while they cannot move
//! on: the part of a frame that has arrived so far, or what the socket did not take. Everything
//! else passes through the buffers of the thread: one read takes all that is there, one write
//! sends all that it led to.
//!
//! Connections are registered with an edge-triggered poll: whoever owns them reads again while
//! [`Conn::read`] says that there may be more, and flushes when the socket is writable again.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use ostler_wire::frame;
use ostler_wire::ids::Xid;
use ostler_wire::request::Request;

const FRAME_BYTES_MAX: usize = 1 << 30;

/// Large enough for all that a socket holds at most times.
const INTAKE_BYTES: usize = 256 * 1024;

/// Where the connections of one thread put what they read, one after the other.
pub(crate) struct Intake {
    bytes: Vec<u8>,
}

impl Intake {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; INTAKE_BYTES] }
    }
}

/// A connection with a session, or one that is about to get one.
pub(crate) struct Conn {
    stream: TcpStream,
    /// The beginning of a frame whose rest has not arrived.
    partial: Vec<u8>,
    /// Bytes to send that the socket did not take.
    unsent: Vec<u8>,
    last_sent: Instant,
    ping_every: Duration,
}

impl Conn {
    /// Wraps a socket that may still be connecting.
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            partial: Vec::new(),
            unsent: Vec::new(),
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

    /// Takes it out of the poll that it was registered with.
    pub(crate) fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        registry.deregister(&mut self.stream)
    }

    /// The error of a connection attempt, if it failed; sets what a fresh socket needs.
    pub(crate) fn finish_connecting(&self) -> io::Result<()> {
        match self.stream.take_error()? {
            None => self.stream.set_nodelay(true),
            Some(error) => Err(error),
        }
    }

    /// Sends `bytes` behind what waits already; what the socket does not take is kept.
    pub(crate) fn send(&mut self, bytes: &[u8], now: Instant) -> io::Result<()> {
        if !self.unsent.is_empty() {
            self.unsent.extend_from_slice(bytes);
            return self.flush(now);
        }
        let sent = write_some(&mut self.stream, bytes)?;
        self.unsent.extend_from_slice(&bytes[sent..]);
        self.last_sent = now;
        Ok(())
    }

    /// Sends as much of what was kept as the socket takes.
    pub(crate) fn flush(&mut self, now: Instant) -> io::Result<()> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        let sent = write_some(&mut self.stream, &self.unsent)?;
        if sent == self.unsent.len() {
            self.unsent = Vec::new();
        } else {
            self.unsent.drain(..sent);
        }
        self.last_sent = now;
        Ok(())
    }

    /// Reads once and hands out the body of every frame that is whole now. False when the socket
    /// is drained: what comes later is a new event. `take` learns when the bytes were there, too.
    ///
    /// The end of the stream is an error: no server closes a session that is being used.
    pub(crate) fn read(
        &mut self,
        intake: &mut Intake,
        mut take: impl FnMut(&[u8], Instant) -> io::Result<()>,
    ) -> io::Result<bool> {
        let kept = self.partial.len();
        // A frame longer than the buffer: twice the room, so that it is not copied too often.
        if kept * 2 > intake.bytes.len() {
            intake.bytes.resize(kept * 4, 0);
        }
        intake.bytes[..kept].copy_from_slice(&self.partial);
        let Some(length) = read_some(&mut self.stream, &mut intake.bytes[kept..])? else {
            return Ok(false);
        };
        let arrived = Instant::now();
        let more = kept + length == intake.bytes.len();
        let mut rest = &intake.bytes[..kept + length];
        while let Some(body) = frame::first(rest, FRAME_BYTES_MAX).map_err(no_frame)? {
            take(body, arrived)?;
            rest = &rest[frame::PREFIX_BYTES + body.len()..];
        }
        if !rest.is_empty() || kept > 0 {
            self.partial = rest.to_vec();
        }
        Ok(more)
    }

    /// Sends a ping if the session has been silent for a third of its timeout.
    pub(crate) fn ping_if_idle(&mut self, now: Instant) -> io::Result<()> {
        if now.duration_since(self.last_sent) < self.ping_every {
            return Ok(());
        }
        let mut ping = Vec::new();
        frame::put(&mut ping, |out| Request::Ping.encode(Xid::PING, out));
        self.send(&ping, now)
    }
}

/// How many bytes there were to read; `None` if none can be read now.
fn read_some(stream: &mut TcpStream, room: &mut [u8]) -> io::Result<Option<usize>> {
    loop {
        match stream.read(room) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => return Ok(Some(length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// How many of the bytes the socket has taken.
fn write_some(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match stream.write(&bytes[sent..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(length) => sent += length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}

fn no_frame(bad: frame::BadLength) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {} bytes", bad.0))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::TcpListener;

    use super::*;

    /// Everything that comes out of `conn` until `count` frames have.
    fn frames(conn: &mut Conn, intake: &mut Intake, count: usize) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        while found.len() < count {
            conn.read(intake, |body, _| {
                found.push(body.to_vec());
                Ok(())
            })
            .unwrap();
            std::thread::yield_now();
        }
        found
    }

    #[test]
    fn frames_are_put_together_whatever_their_length() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        stream.set_nonblocking(true).unwrap();
        let mut conn = Conn::new(TcpStream::from_std(stream));
        let (mut server, _) = listener.accept().unwrap();
        let mut intake = Intake::new();
        let bodies = [vec![1; 10], vec![2; 3 * INTAKE_BYTES], Vec::new(), vec![3; 100]];
        let mut bytes = Vec::new();
        for body in &bodies {
            frame::put(&mut bytes, |out| out.extend_from_slice(body));
        }
        let sender = std::thread::spawn(move || {
            let (first, rest) = bytes.split_at(7);
            server.write_all(first).unwrap();
            server.write_all(rest).unwrap();
            server
        });
        assert!(frames(&mut conn, &mut intake, bodies.len()) == bodies);
        assert!(conn.partial.capacity() == 0, "nothing is kept without need");
        drop(sender.join().unwrap());
        let end = loop {
            if let Err(error) = conn.read(&mut intake, |_, _| Ok(())) {
                break error;
            }
        };
        assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
    }
}
