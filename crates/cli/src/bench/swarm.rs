//! Many connections that mostly wait: what fan-out and sessions are measured with.

use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use super::conn::Conn;

/// How often idle sessions are looked at.
const PING_SWEEP: Duration = Duration::from_secs(1);

/// Connections on one poll, addressed by their index.
pub(crate) struct Swarm {
    poll: Poll,
    events: Events,
    pub(crate) conns: Vec<Conn>,
    sweep: Instant,
}

/// What happened to a connection.
pub(crate) enum Happening<'a> {
    /// It can be written to, maybe for the first time.
    Writable,
    /// A frame arrived.
    Frame(&'a [u8]),
    /// It broke, or the server closed it.
    Lost(io::Error),
}

/// What a callback wants done with the connection next.
pub(crate) enum Next {
    /// Nothing.
    Wait,
    /// Send these bytes.
    Send(Vec<u8>),
}

impl Swarm {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            conns: Vec::new(),
            sweep: Instant::now() + PING_SWEEP,
        })
    }

    /// Takes a connection in and tells its index.
    pub(crate) fn add(&mut self, mut conn: Conn) -> io::Result<usize> {
        let index = self.conns.len();
        conn.register(self.poll.registry(), Token(index))?;
        self.conns.push(conn);
        Ok(index)
    }

    /// Queues and sends bytes on a connection.
    pub(crate) fn send(&mut self, index: usize, bytes: &[u8]) -> io::Result<()> {
        let conn = &mut self.conns[index];
        conn.output.extend_from_slice(bytes);
        conn.flush(Instant::now())
    }

    /// Waits once, up to `wait`, and tells what happened.
    pub(crate) fn turn(
        &mut self,
        wait: Duration,
        mut tell: impl FnMut(usize, Happening<'_>, Instant) -> io::Result<Next>,
    ) -> io::Result<()> {
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => result?,
        }
        let mut now = Instant::now();
        for event in &self.events {
            let index = event.token().0;
            let conn = &mut self.conns[index];
            if event.is_writable() {
                if let Next::Send(bytes) = tell(index, Happening::Writable, now)? {
                    conn.output.extend_from_slice(&bytes);
                }
                if let Err(error) = conn.flush(now) {
                    tell(index, Happening::Lost(error), now)?;
                }
            }
            if event.is_readable() {
                read(index, conn, now, &mut tell)?;
            }
            now = Instant::now();
        }
        if now >= self.sweep {
            self.sweep = now + PING_SWEEP;
            for conn in &mut self.conns {
                // A broken connection is told when it is read.
                let _ = conn.ping_if_idle(now);
            }
        }
        Ok(())
    }
}

fn read(
    index: usize,
    conn: &mut Conn,
    now: Instant,
    tell: &mut impl FnMut(usize, Happening<'_>, Instant) -> io::Result<Next>,
) -> io::Result<()> {
    loop {
        let more = match conn.read_some() {
            Ok(more) => more,
            Err(error) => {
                tell(index, Happening::Lost(error), now)?;
                return Ok(());
            }
        };
        let mut answer = Vec::new();
        while let Some(body) = conn.pop_frame()? {
            if let Next::Send(bytes) = tell(index, Happening::Frame(body), now)? {
                answer.extend_from_slice(&bytes);
            }
        }
        if !answer.is_empty() {
            conn.output.extend_from_slice(&answer);
            conn.flush(now)?;
        }
        if !more {
            return Ok(());
        }
    }
}
