//! Many connections that mostly wait: what fan-out and sessions are measured with.

use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use ostler_wire::frame;
use ostler_wire::ids::Xid;
use ostler_wire::request::Request;

use super::conn::{Conn, Intake};
use super::waiting;

/// How long the server may be silent while it closes sessions.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// How often idle sessions are looked at.
const PING_SWEEP: Duration = Duration::from_secs(1);

/// Connections on one poll, addressed by their index.
pub(crate) struct Swarm {
    poll: Poll,
    events: Events,
    pub(crate) conns: Vec<Conn>,
    intake: Intake,
    sweep: Instant,
    spin: Duration,
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
            intake: Intake::new(),
            sweep: Instant::now() + PING_SWEEP,
            spin: Duration::ZERO,
        })
    }

    /// Looks for so long whether something happens before it sleeps.
    pub(crate) fn spin_for(&mut self, spin: Duration) {
        self.spin = spin;
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
        self.conns[index].send(bytes, Instant::now())
    }

    /// Gives up the connections to another poll.
    pub(crate) fn into_conns(mut self) -> io::Result<Vec<Conn>> {
        for conn in &mut self.conns {
            conn.deregister(self.poll.registry())?;
        }
        Ok(self.conns)
    }

    /// Closes all sessions and waits until the server has confirmed that.
    pub(crate) fn close_sessions(mut self) -> io::Result<()> {
        let mut bytes = Vec::new();
        frame::put(&mut bytes, |out| Request::CloseSession.encode(Xid(1), out));
        let count = self.conns.len();
        let mut answered = vec![false; count];
        let mut missing = count;
        for (index, answered) in answered.iter_mut().enumerate() {
            // One that is broken needs no closing.
            if self.send(index, &bytes).is_err() {
                *answered = true;
                missing -= 1;
            }
        }
        let mut progress = Instant::now();
        while missing > 0 {
            let before = missing;
            self.turn(Duration::from_millis(50), |index, happening, _| {
                // The server closes what was confirmed, so being lost is an answer too.
                if !matches!(happening, Happening::Writable) && !answered[index] {
                    answered[index] = true;
                    missing -= 1;
                }
                Ok(Next::Wait)
            })?;
            if missing < before {
                progress = Instant::now();
            } else if progress.elapsed() > SILENCE_MAX {
                return Err(io::Error::other("the server does not confirm closed sessions"));
            }
        }
        Ok(())
    }

    /// Waits once, up to `wait`, and tells what happened.
    pub(crate) fn turn(
        &mut self,
        wait: Duration,
        mut tell: impl FnMut(usize, Happening<'_>, Instant) -> io::Result<Next>,
    ) -> io::Result<()> {
        waiting::wait(&mut self.poll, &mut self.events, wait, self.spin)?;
        let mut now = Instant::now();
        for event in &self.events {
            let index = event.token().0;
            let conn = &mut self.conns[index];
            if event.is_writable() {
                let sent = match tell(index, Happening::Writable, now)? {
                    Next::Send(bytes) => conn.send(&bytes, now),
                    Next::Wait => conn.flush(now),
                };
                if let Err(error) = sent {
                    tell(index, Happening::Lost(error), now)?;
                }
            }
            if event.is_readable() {
                read(index, conn, &mut self.intake, &mut tell)?;
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

/// Reads until the socket is drained.
fn read(
    index: usize,
    conn: &mut Conn,
    intake: &mut Intake,
    tell: &mut impl FnMut(usize, Happening<'_>, Instant) -> io::Result<Next>,
) -> io::Result<()> {
    loop {
        let mut answer = Vec::new();
        let mut refused = None;
        let result = conn.read(intake, |body, arrived| {
            match tell(index, Happening::Frame(body), arrived) {
                Ok(Next::Send(bytes)) => answer.extend_from_slice(&bytes),
                Ok(Next::Wait) => {}
                // What the caller makes of a frame is no fault of the connection.
                Err(error) => refused = refused.take().or(Some(error)),
            }
            Ok(())
        });
        if let Some(error) = refused {
            return Err(error);
        }
        let now = Instant::now();
        let result = result.and_then(|more| conn.send(&answer, now).map(|()| more));
        match result {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) => {
                tell(index, Happening::Lost(error), now)?;
                return Ok(());
            }
        }
    }
}
