//! The sockets of one shard, by the slots that the core knows connections by.
//!
//! Reads and writes go to the system directly: in a process with threads the C library wraps each
//! in two atomic operations so that a thread could be cancelled in it, a twentieth of what a small
//! read costs.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use ostler_node::messages::ConnId;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send, sockopt};

use super::limits::Permit;

/// One socket.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) id: ConnId,
    stream: TcpStream,
    /// Whether there may be something to read.
    pub(crate) readable: bool,
    /// Whether the other end has said that nothing comes any more, or the connection broke.
    pub(crate) is_ending: bool,
    /// Whether it stands in the list of those to be read next.
    pub(crate) in_turn: bool,
    /// Since when it only waits for its output to leave.
    pub(crate) closing_since: Option<Instant>,
    _permit: Permit,
}

/// What each connection costs here, and its shard's record besides. Without optimisation `mio` adds
/// to it.
const _: () = assert!(size_of::<Option<Socket>>() <= 80);

/// How a read went.
pub(crate) enum ReadOutcome {
    /// So many bytes, and whether more are likely there.
    Bytes(usize, bool),
    /// Nothing for now.
    Empty,
    /// The other end is gone.
    Gone,
}

/// All sockets of a shard.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    slots: Vec<Option<Socket>>,
    /// Slots that are free and the generation that comes next there.
    free: Vec<ConnId>,
}

impl Sockets {
    /// Takes a new connection and asks to be told of everything that happens to it.
    pub(crate) fn add(
        &mut self,
        registry: &Registry,
        mut stream: TcpStream,
        permit: Permit,
    ) -> io::Result<ConnId> {
        let next =
            ConnId { slot: u32::try_from(self.slots.len()).unwrap_or(u32::MAX), generation: 0 };
        let id = self.free.pop().unwrap_or(next);
        let token = Token(id.slot as usize + FIRST_TOKEN);
        // Edge-triggered: said once, remembered in the socket.
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = registry.register(&mut stream, token, interest) {
            self.free.push(id);
            return Err(error);
        }
        let socket = Socket {
            id,
            stream,
            readable: false,
            is_ending: false,
            in_turn: false,
            closing_since: None,
            _permit: permit,
        };
        let slot = id.slot as usize;
        if slot == self.slots.len() {
            self.slots.push(None);
        }
        self.slots[slot] = Some(socket);
        Ok(id)
    }

    /// Closes a socket; its slot is free for another.
    pub(crate) fn remove(&mut self, registry: &Registry, id: ConnId) {
        let Some(slot) = self.slots.get_mut(id.slot as usize) else { return };
        let Some(mut socket) = slot.take_if(|socket| socket.id == id) else { return };
        // What fails here was closed by the other end already.
        let _ = registry.deregister(&mut socket.stream);
        let _ = socket.stream.shutdown(std::net::Shutdown::Both);
        self.free.push(ConnId { slot: id.slot, generation: id.generation.wrapping_add(1) });
    }

    pub(crate) fn get(&mut self, id: ConnId) -> Option<&mut Socket> {
        self.slots.get_mut(id.slot as usize)?.as_mut().filter(|socket| socket.id == id)
    }

    /// The socket that an event is about.
    pub(crate) fn by_token(&mut self, token: Token) -> Option<&mut Socket> {
        self.slots.get_mut(token.0.checked_sub(FIRST_TOKEN)?)?.as_mut()
    }
}

impl Socket {
    /// Reads once.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> ReadOutcome {
        loop {
            match recv(&self.stream, &mut *buffer, RecvFlags::empty()) {
                Ok((0, _)) => return ReadOutcome::Gone,
                // A short read has emptied the socket: what comes later is a new event.
                Ok((count, _)) => return ReadOutcome::Bytes(count, count == buffer.len()),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return ReadOutcome::Empty,
                Err(_) => return ReadOutcome::Gone,
            }
        }
    }

    /// Writes what the socket takes; 0 if it takes nothing for now.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = 0;
        while written < bytes.len() {
            match send(&self.stream, &bytes[written..], SendFlags::NOSIGNAL) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(written)
    }
}

/// Ends a connection that exceeds a limit: it gets no bytes, and leaves nothing behind here.
// Java: NIOServerCnxnFactory.fastCloseSock; the client sees an end, and a reset behind it.
pub(crate) fn reset(stream: TcpStream, remote: SocketAddr, reason: &str) {
    tracing::warn!("connection from {remote} refused: {reason}");
    let _ = sockopt::set_socket_linger(&stream, Some(std::time::Duration::ZERO));
    let _ = stream.shutdown(std::net::Shutdown::Write);
    drop(stream);
}

/// Tokens below are the shard's own.
pub(crate) const FIRST_TOKEN: usize = 2;
