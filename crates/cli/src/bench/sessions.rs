//! Sessions: how fast does a server open them, and what does each cost it?

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::net::TcpStream;
use ostler_wire::connect::ConnectResponse;
use ostler_wire::frame;
use ostler_wire::ids::Xid;
use ostler_wire::request::Request;

use super::Options;
use super::conn::Conn;
use super::swarm::{Happening, Next, Swarm};
use super::tally::latencies;
use crate::raw_client::SessionRequest;

/// How long the server may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Sessions that are open, and how they were opened.
pub(crate) struct Sessions {
    swarm: Swarm,
    /// From starting the connection to the answer that opens the session.
    pub(crate) handshakes: Histogram<u64>,
    pub(crate) taken: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Connecting,
    Asked,
    Open,
}

/// Opens `count` sessions, never more than `options.connections` of them at a time.
pub(crate) fn open(options: &Options, count: usize) -> io::Result<Sessions> {
    let servers: Vec<SocketAddr> = options
        .server
        .iter()
        .map(|server| {
            server.to_socket_addrs()?.next().ok_or_else(|| io::ErrorKind::NotFound.into())
        })
        .collect::<io::Result<_>>()?;
    let mut ask = Vec::new();
    SessionRequest::new(options.timeout_ms).encode(&mut ask);
    let mut swarm = Swarm::new()?;
    let mut phases: Vec<(Phase, Instant)> = Vec::with_capacity(count);
    let mut handshakes = latencies();
    let (mut open, mut timeout_ms) = (0, options.timeout_ms);
    let start = Instant::now();
    let mut progress = start;
    while open < count {
        while phases.len() < count && phases.len() - open < options.connections {
            let stream = TcpStream::connect(servers[phases.len() % servers.len()])?;
            swarm.add(Conn::new(stream))?;
            phases.push((Phase::Connecting, Instant::now()));
        }
        let mut connected = Vec::new();
        let mut opened = Vec::new();
        swarm.turn(Duration::from_millis(50), |index, happening, now| {
            let (phase, since) = phases[index];
            match (phase, happening) {
                (Phase::Connecting, Happening::Writable) => {
                    phases[index].0 = Phase::Asked;
                    connected.push(index);
                    Ok(Next::Send(ask.clone()))
                }
                (Phase::Asked, Happening::Frame(body)) => {
                    let response = ConnectResponse::decode(body).map_err(io::Error::other)?;
                    if response.timeout_ms <= 0 {
                        return Err(io::Error::other("the server refuses a new session"));
                    }
                    timeout_ms = response.timeout_ms;
                    phases[index].0 = Phase::Open;
                    opened.push(index);
                    let taken = now.saturating_duration_since(since).as_nanos();
                    handshakes.saturating_record(u64::try_from(taken).unwrap_or(u64::MAX));
                    Ok(Next::Wait)
                }
                (_, Happening::Lost(error)) => Err(error),
                _ => Ok(Next::Wait),
            }
        })?;
        for index in connected {
            swarm.conns[index].finish_connecting()?;
        }
        open += opened.len();
        for index in opened {
            swarm.conns[index].keep_alive(timeout_ms);
            progress = Instant::now();
        }
        if progress.elapsed() > SILENCE_MAX {
            return Err(io::Error::other(format!("only {open} of {count} sessions were opened")));
        }
    }
    Ok(Sessions { swarm, handshakes, taken: start.elapsed() })
}

impl Sessions {
    /// Closes all of them and waits until the server has confirmed that.
    pub(crate) fn close(mut self) -> io::Result<()> {
        let mut bytes = Vec::new();
        let xid = Xid(1);
        frame::put(&mut bytes, |out| Request::CloseSession.encode(xid, out));
        let count = self.swarm.conns.len();
        for index in 0..count {
            self.swarm.send(index, &bytes)?;
        }
        let mut answered = vec![false; count];
        let mut missing = count;
        let mut progress = Instant::now();
        while missing > 0 {
            let before = missing;
            self.swarm.turn(Duration::from_millis(50), |index, happening, _| {
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
}
