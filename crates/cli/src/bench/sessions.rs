//! Sessions: how fast does a server open them, and what does each cost it?

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::net::TcpStream;
use ostler_wire::connect::ConnectResponse;

use super::conn::Conn;
use super::interruption;
use super::swarm::{Happening, Next, Swarm};
use super::tally::latencies;
use crate::raw_client::SessionRequest;

/// How long the server may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Sessions that are open, and how they were opened.
pub(crate) struct Sessions {
    pub(crate) swarm: Swarm,
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

/// Opens `count` sessions on servers in turn, never more than `window` of them at a time.
pub(crate) fn open(
    servers: &[String],
    count: usize,
    window: usize,
    asked_ms: i32,
) -> io::Result<Sessions> {
    let servers: Vec<SocketAddr> =
        servers.iter().map(|server| reachable(server)).collect::<io::Result<_>>()?;
    let mut ask = Vec::new();
    SessionRequest::new(asked_ms).encode(&mut ask);
    let mut swarm = Swarm::new()?;
    let mut phases: Vec<(Phase, Instant)> = Vec::with_capacity(count);
    let mut handshakes = latencies();
    let (mut open, mut timeout_ms) = (0, asked_ms);
    let start = Instant::now();
    let mut progress = start;
    while open < count {
        while phases.len() < count && phases.len() - open < window {
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
        interruption::check()?;
        if progress.elapsed() > SILENCE_MAX {
            return Err(io::Error::other(format!("only {open} of {count} sessions were opened")));
        }
    }
    Ok(Sessions { swarm, handshakes, taken: start.elapsed() })
}

/// The address of a server; of several, the first one where somebody listens.
fn reachable(server: &str) -> io::Result<SocketAddr> {
    let addresses: Vec<_> = server.to_socket_addrs()?.collect();
    match addresses[..] {
        [address] => Ok(address),
        _ => std::net::TcpStream::connect(&addresses[..])?.peer_addr(),
    }
}
