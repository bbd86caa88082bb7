//! The life of one election connection: dialled or accepted, read, written, lost.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ostler_node::replica::Input;
use ostler_wire::ids::Sid;
use ostler_wire::vote::{Hello, Notification};
use ostler_zab::connect_rule::{self, Verdict};
use rustix::net::RecvFlags;

use super::{ElectionPeers, SPARED};
use crate::mail::ReplicaMail;
use crate::peers::address::{self, HostPort};
use crate::peers::gate::Gate;

impl ElectionPeers {
    /// Dials a server and, if the connection is to be kept, serves it until it ends.
    pub(super) fn dial(&self, sid: Sid, addresses: &[HostPort]) {
        match self.dial_once(sid, addresses) {
            Ok(Some(stream)) => self.serve(sid, stream, Vec::new()),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!("Cannot open channel to {sid} at election address {error}");
                self.tell_unreachable(sid);
            }
        }
    }

    /// Dials a server and says who this is; the connection, if it is to be kept.
    fn dial_once(&self, sid: Sid, addresses: &[HostPort]) -> io::Result<Option<TcpStream>> {
        let settings = &self.0.settings;
        let dialled = address::dial(addresses, settings.dial_timeout).and_then(|stream| {
            self.prepare(&stream)?;
            // In one write: Java reads it with one call.
            (&stream).write_all(&self.0.hello)?;
            Ok(stream)
        });
        let is_kept = connect_rule::dialled(settings.own, sid) == Verdict::Keep;
        let mut state = self.state();
        let peer = state.peers.entry(sid).or_default();
        peer.dialling = dialled.is_ok() && is_kept;
        // It may have dialled back already, faster than this thread got here.
        if dialled.is_ok() && !is_kept && peer.conn.is_none() {
            peer.spared_until = Some(Instant::now() + SPARED);
        }
        if dialled.is_err() || !is_kept {
            self.forget_stranger(&mut state, sid);
        }
        dialled.map(|stream| is_kept.then_some(stream))
    }

    /// Takes a connection that somebody opened, and serves it until it ends if it is to be kept.
    pub(crate) fn accepted(&self, stream: TcpStream, remote: SocketAddr) {
        let hello = self.prepare(&stream).and_then(|()| self.hear_hello(&stream));
        let (hello, rest) = match hello {
            Ok(heard) => heard,
            // Somebody wants to know whether this server is there.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return tracing::debug!("{remote} connected to the election port and left");
            }
            Err(error) => {
                return tracing::warn!("{remote} did not say which server it is: {error}");
            }
        };
        let sid = hello.sid;
        match connect_rule::accepted(self.0.settings.own, sid) {
            // Late to be heard, and not to take the place of one that came later.
            Verdict::Keep if has_left(&stream) => {}
            Verdict::Keep => self.serve(sid, stream, rest),
            Verdict::DialBack => {
                drop(stream);
                self.dial_back(&hello);
            }
            Verdict::Close => {
                tracing::warn!("{remote} says that it is server {sid}, which cannot be: refused");
            }
        }
    }

    /// Reads who has connected, and what it may have sent behind that.
    fn hear_hello(&self, stream: &TcpStream) -> io::Result<(Hello, Vec<u8>)> {
        stream.set_read_timeout(Some(self.0.settings.hello_timeout))?;
        let mut heard = Vec::new();
        let mut piece = [0; 512];
        loop {
            if let Some((hello, length)) = Hello::first(&heard).map_err(io::Error::other)? {
                stream.set_read_timeout(None)?;
                return Ok((hello, heard.split_off(length)));
            }
            match { stream }.read(&mut piece)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => heard.extend_from_slice(&piece[..count]),
            }
        }
    }

    /// Dials who has dialled, where it says it is; its server line is the second choice.
    fn dial_back(&self, hello: &Hello) {
        let said = hello.addresses.iter().filter_map(|text| HostPort::parse(text));
        let mut addresses: Vec<_> = said.filter(|address| !address.is_any()).collect();
        let known = self.0.settings.addresses.get(&hello.sid);
        for address in known.into_iter().flatten() {
            if !addresses.contains(address) {
                addresses.push(address.clone());
            }
        }
        let mut state = self.state();
        if let Some(peer) = state.peers.get_mut(&hello.sid)
            && let Some(conn) = peer.conn.take()
        {
            // Whoever dials has lost it.
            let _ = conn.stream.shutdown(Shutdown::Both);
        }
        self.start_dialling(&mut state, hello.sid, addresses);
    }

    /// Serves a connection until it ends; what `rest` holds was read before.
    fn serve(&self, sid: Sid, stream: TcpStream, rest: Vec<u8>) {
        let (id, stream) = match self.install(sid, stream) {
            Ok(installed) => installed,
            Err(error) => {
                if let Some(peer) = self.state().peers.get_mut(&sid) {
                    peer.dialling = false;
                }
                return tracing::warn!("connection of server {sid} refused: {error}");
            }
        };
        let error = self.read(sid, &stream, rest);
        let _ = stream.shutdown(Shutdown::Both);
        let Some(pause) = self.remove(sid, id) else { return };
        tracing::debug!("election connection with server {sid} is gone: {error}");
        // Its end says little by itself: it may have been closed for a better one. A port that is
        // closed says that nobody is there.
        if self.is_gone(sid) {
            tracing::info!("server {sid} is gone: nobody listens where it was");
            return self.tell_unreachable(sid);
        }
        // Two servers that dialled each other at once may both have closed what the other kept.
        // Whose turn it is to dial goes first.
        let is_own_turn = connect_rule::dialled(self.0.settings.own, sid) == Verdict::Keep;
        thread::park_timeout(if is_own_turn { pause } else { pause * 3 });
        self.connect(sid);
    }

    /// Says that a server cannot be reached, unless it has connected meanwhile: nothing would say
    /// that it can be after all.
    fn tell_unreachable(&self, sid: Sid) {
        let state = self.state();
        if state.peers.get(&sid).is_none_or(|peer| peer.conn.is_none()) {
            self.tell(Input::ElectionUnreachable(sid));
        }
    }

    /// Whether nobody listens any more where a server was.
    fn is_gone(&self, sid: Sid) -> bool {
        let settings = &self.0.settings;
        let Some(addresses) = settings.addresses.get(&sid) else { return true };
        for _ in 0..PROBES {
            if self.state().stopping {
                return false;
            }
            // Closed at once and without a word, which keeps no listener waiting.
            if address::dial(addresses, PROBE_TIMEOUT).is_err() {
                return true;
            }
            thread::park_timeout(BETWEEN_PROBES);
        }
        false
    }

    /// Hands over votes until the connection ends.
    fn read(&self, sid: Sid, stream: &TcpStream, rest: Vec<u8>) -> io::Error {
        let gate = Gate::new(UNTAKEN_BYTES_MAX);
        let mut from = io::BufReader::new(io::Cursor::new(rest).chain(stream));
        let mut message = Vec::new();
        loop {
            if let Err(error) = read_message(&mut from, &mut message) {
                return error;
            }
            let freight = gate.enter(message.len());
            match Notification::decode(&message) {
                Ok(notification) => {
                    let mail = ReplicaMail::Vote(sid, notification, freight);
                    super::tell(&self.0.replica, mail);
                }
                Err(error) => {
                    tracing::debug!("a notification of server {sid} means nothing: {error}");
                }
            }
        }
    }

    /// Writes what there is to say until the connection ends or is no longer the one that counts.
    pub(super) fn write(&self, sid: Sid, id: u64, stream: &TcpStream) {
        let mut is_new = true;
        while let Some(message) = self.next_message(sid, id, is_new) {
            is_new = false;
            if let Err(error) = { stream }.write_all(&message) {
                tracing::debug!("cannot write to server {sid}: {error}");
                break;
            }
        }
        // The reader does the rest.
        let _ = stream.shutdown(Shutdown::Both);
    }

    fn next_message(&self, sid: Sid, id: u64, is_new: bool) -> Option<Arc<[u8]>> {
        let mut state = self.state();
        loop {
            let peer = state.peers.get_mut(&sid)?;
            if peer.conn.as_ref().is_none_or(|conn| conn.id != id) {
                return None;
            }
            if let Some(message) = peer.queued.take() {
                peer.last = Some(Arc::clone(&message));
                return Some(message);
            }
            if is_new && peer.last.is_some() {
                return peer.last.clone();
            }
            state = self.0.bell.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn prepare(&self, stream: &TcpStream) -> io::Result<()> {
        let settings = &self.0.settings;
        let patience = settings.dial_timeout.max(settings.hello_timeout);
        address::prepare(stream, true, settings.keep_alive, patience)?;
        stream.set_write_timeout(Some(patience))
    }
}

/// Whether the other end has closed a connection and left nothing to read.
fn has_left(stream: &TcpStream) -> bool {
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    rustix::net::recv(stream, &mut [0], flags).is_ok_and(|(_, count)| count == 0)
}

/// Reads a message and the length before it.
fn read_message(from: &mut impl Read, message: &mut Vec<u8>) -> io::Result<()> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if !(1..=MESSAGE_BYTES_MAX).contains(&length) {
        return Err(io::Error::other(format!("a message of {length} bytes")));
    }
    message.resize(length, 0);
    from.read_exact(message)
}

/// As much as Java takes.
const MESSAGE_BYTES_MAX: usize = 512 << 10;
/// Votes of one server that the replica has not taken yet.
const UNTAKEN_BYTES_MAX: usize = 1 << 20;

/// A server that is ending may have a port for some moments longer than its connections.
const PROBES: u32 = 3;
const BETWEEN_PROBES: Duration = Duration::from_millis(5);
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);
