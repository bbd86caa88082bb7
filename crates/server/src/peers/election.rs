//! Election connections: one between each pair of servers, on which votes go both ways.
//!
//! Who keeps a connection is the rule of `ostler_zab::connect_rule`: of two servers the one with
//! the larger id dials; whom it finds dialling, it dials back.
//!
//! For each server there is at most one message to be sent: a newer one takes its place. The last
//! one that was written is written again on a new connection, since nobody knows whether it arrived
//! on the old one.
//!
//! The replica hears when a connection begins, and when a server cannot be reached: it could not be
//! dialled, or its connection broke and its port is closed.

mod conn;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ostler_node::replica::Input;
use ostler_wire::ids::Sid;
use ostler_wire::vote::{Hello, Notification};

use super::address::HostPort;
use super::tell;
use crate::mail::{ReplicaBox, ReplicaMail};

/// What election connections are made with.
#[derive(Clone, Debug)]
pub(crate) struct ElectionSettings {
    pub(crate) own: Sid,
    /// What is said first on every connection that is dialled from here.
    pub(crate) hello: Hello,
    /// Where the servers can be dialled.
    pub(crate) addresses: HashMap<Sid, Vec<HostPort>>,
    /// `cnxTimeout`.
    pub(crate) dial_timeout: Duration,
    /// How long who connects may take to say who it is.
    pub(crate) hello_timeout: Duration,
    pub(crate) keep_alive: bool,
}

/// All election connections.
#[derive(Clone, Debug)]
pub(crate) struct ElectionPeers(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: ElectionSettings,
    hello: Vec<u8>,
    replica: ReplicaBox,
    state: Mutex<State>,
    /// Rings for every change; there are few servers and few changes.
    bell: Condvar,
}

#[derive(Debug, Default)]
struct State {
    peers: BTreeMap<Sid, Peer>,
    /// Connections so far; each has its number.
    conns: u64,
    stopping: bool,
}

/// Another server.
#[derive(Debug, Default)]
struct Peer {
    conn: Option<Conn>,
    /// What is to be sent next, with its length before it.
    queued: Option<Arc<[u8]>>,
    /// What was sent last.
    last: Option<Arc<[u8]>>,
    /// Somebody is dialling it.
    dialling: bool,
    /// It is not to be dialled before this: it was asked to dial back, or hung up at once.
    spared_until: Option<Instant>,
    /// How often in a row a connection with it ended soon.
    hang_ups: u32,
}

/// The connection with a server that counts.
#[derive(Debug)]
struct Conn {
    id: u64,
    stream: Arc<TcpStream>,
    since: Instant,
}

impl ElectionPeers {
    pub(crate) fn new(settings: ElectionSettings, replica: ReplicaBox) -> Self {
        let hello = settings.hello.encode();
        let state = Mutex::default();
        Self(Arc::new(Shared { settings, hello, replica, state, bell: Condvar::new() }))
    }

    /// Sends this to a server in place of anything that still waits to be sent to it, and dials it
    /// if there is no connection.
    pub(crate) fn send(&self, sid: Sid, notification: &Notification) {
        let mut frame = vec![0; 4];
        notification.write(&mut frame);
        let length = u32::try_from(frame.len() - 4).unwrap_or(0);
        frame[..4].copy_from_slice(&length.to_be_bytes());
        let mut state = self.state();
        if !state.peers.contains_key(&sid) && !self.0.settings.addresses.contains_key(&sid) {
            // A stranger that has left: there is nowhere to send it to.
            return;
        }
        state.peers.entry(sid).or_default().queued = Some(frame.into());
        self.0.bell.notify_all();
        self.dial_if_needed(&mut state, sid);
    }

    /// Dials a server if there is no connection to it.
    pub(crate) fn connect(&self, sid: Sid) {
        let mut state = self.state();
        if self.0.settings.addresses.contains_key(&sid) {
            self.dial_if_needed(&mut state, sid);
        }
    }

    /// Closes everything.
    pub(crate) fn stop(&self) {
        let mut state = self.state();
        state.stopping = true;
        for peer in state.peers.values_mut() {
            if let Some(conn) = peer.conn.take() {
                let _ = conn.stream.shutdown(Shutdown::Both);
            }
        }
        self.0.bell.notify_all();
    }

    fn dial_if_needed(&self, state: &mut State, sid: Sid) {
        let peer = state.peers.entry(sid).or_default();
        let spared = peer.spared_until.is_some_and(|until| Instant::now() < until);
        if peer.conn.is_none() && !peer.dialling && !spared {
            let addresses = self.0.settings.addresses.get(&sid).cloned().unwrap_or_default();
            self.start_dialling(state, sid, addresses);
        }
    }

    /// Whether there may be a connection with this server, or is one.
    fn has_room(&self, state: &State, sid: Sid) -> bool {
        let known = &self.0.settings.addresses;
        let is_known = known.contains_key(&sid) || state.peers.contains_key(&sid);
        is_known || state.peers.len() < known.len() + STRANGERS_MAX
    }

    /// Forgets a stranger with whom there is no connection.
    fn forget_stranger(&self, state: &mut State, sid: Sid) {
        let is_gone = |peer: &Peer| peer.conn.is_none() && !peer.dialling;
        if !self.0.settings.addresses.contains_key(&sid)
            && state.peers.get(&sid).is_some_and(is_gone)
        {
            state.peers.remove(&sid);
        }
    }

    /// Dials a server in a thread of its own, unless somebody does already.
    fn start_dialling(&self, state: &mut State, sid: Sid, addresses: Vec<HostPort>) {
        if !self.has_room(state, sid) {
            return tracing::warn!("server {sid} is not dialled: too many that nobody knows");
        }
        let peer = state.peers.entry(sid).or_default();
        if peer.dialling || state.stopping {
            return;
        }
        peer.dialling = true;
        let peers = self.clone();
        let dialling = move || peers.dial(sid, &addresses);
        if let Err(error) = thread::Builder::new().name("election".to_owned()).spawn(dialling) {
            peer.dialling = false;
            tracing::error!("there is no thread to dial server {sid}: {error}");
        }
    }

    /// Makes a connection the one that counts, in place of an older one.
    fn install(&self, sid: Sid, stream: TcpStream) -> io::Result<(u64, Arc<TcpStream>)> {
        let stream = Arc::new(stream);
        let mut state = self.state();
        if state.stopping {
            return Err(io::Error::other("the server ends"));
        }
        if !self.has_room(&state, sid) {
            return Err(io::Error::other("too many servers that no server line names"));
        }
        state.conns += 1;
        let id = state.conns;
        let peers = self.clone();
        let to = Arc::clone(&stream);
        thread::Builder::new()
            .name("election".to_owned())
            .spawn(move || peers.write(sid, id, &to))?;
        let conn = Conn { id, stream: Arc::clone(&stream), since: Instant::now() };
        let peer = state.peers.entry(sid).or_default();
        // Not before: until now it was on its way, and nobody was to dial beside it.
        peer.dialling = false;
        if let Some(old) = peer.conn.replace(conn) {
            let _ = old.stream.shutdown(Shutdown::Both);
        }
        self.0.bell.notify_all();
        // Before the lock is given back, so that the order of these is the one of what happened.
        self.tell(Input::ElectionConnected(sid));
        Ok((id, stream))
    }

    /// Forgets a connection that has ended, and tells when it is time for another one; `None` if
    /// another has taken its place.
    fn remove(&self, sid: Sid, id: u64) -> Option<Duration> {
        let mut state = self.state();
        let peer = state.peers.get_mut(&sid)?;
        let age = peer.conn.take_if(|conn| conn.id == id)?.since.elapsed();
        if age < SHORT_LIVED {
            peer.spared_until = Some(Instant::now() + SPARED);
        }
        peer.hang_ups = if age < LONG_LIVED { peer.hang_ups.saturating_add(1) } else { 0 };
        let pause = SPARED * (1 << peer.hang_ups.min(HANG_UPS_MAX));
        self.forget_stranger(&mut state, sid);
        self.0.bell.notify_all();
        Some(pause)
    }

    fn tell(&self, input: Input) {
        tell(&self.0.replica, ReplicaMail::Input(input));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connections of servers that have not said yet who they are, or have.
pub(crate) const CONNS_MAX: usize = 512;

/// Servers that no server line names: joiners, which want to know who leads.
const STRANGERS_MAX: usize = 64;

/// Whoever has the larger id gets this long to dial back before it is asked to again, and whoever
/// hangs up at once is left alone for as long.
const SPARED: Duration = Duration::from_millis(100);
const SHORT_LIVED: Duration = Duration::from_millis(20);
/// A connection that lived so long was a good one.
const LONG_LIVED: Duration = Duration::from_secs(1);
/// The pause between connections that end soon is doubled so often.
const HANG_UPS_MAX: u32 = 6;

#[cfg(test)]
mod tests;
