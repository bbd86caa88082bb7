//! The ports on which other servers connect.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::address::HostPort;

/// A port that could not be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for the other servers: {source}")]
pub(crate) struct BindError {
    address: String,
    source: io::Error,
}

/// Listens on each of these, or on every address of the host; tries again, a second apart, as often
/// as `electionPortBindRetry` says (0 is for ever).
pub(crate) fn bind(
    addresses: &[HostPort],
    on_all: bool,
    tries_max: u32,
) -> Result<Vec<TcpListener>, BindError> {
    let mut listeners: Vec<TcpListener> = Vec::new();
    for address in addresses {
        let port = address.port;
        let bound_already =
            |listener: &TcpListener| listener.local_addr().is_ok_and(|bound| bound.port() == port);
        if on_all && listeners.iter().any(bound_already) {
            continue;
        }
        let mut tries = 1;
        listeners.push(loop {
            let error = match bind_once(address, on_all) {
                Ok(listener) => break listener,
                Err(error) => error,
            };
            let shown = address.to_string();
            if tries == tries_max {
                return Err(BindError { address: shown, source: error });
            }
            tracing::warn!("cannot listen on {shown} for the other servers: {error}; trying again");
            tries = tries.wrapping_add(1);
            thread::park_timeout(BETWEEN_TRIES);
        });
    }
    Ok(listeners)
}

fn bind_once(address: &HostPort, on_all: bool) -> io::Result<TcpListener> {
    if !on_all {
        return TcpListener::bind((address.host.as_str(), address.port));
    }
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, address.port));
    TcpListener::bind(any).or_else(|error| match error.kind() {
        io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied => Err(error),
        // A system without the newer family.
        _ => TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port)),
    })
}

/// The listeners of one kind of port, and the threads that accept from them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Door {
    listeners: Arc<Vec<TcpListener>>,
    closed: Arc<AtomicBool>,
}

impl Door {
    /// Gives every connection a thread of its own, up to so many at a time; `serve` ends when the
    /// connection does, or when it is somebody else's.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub(crate) fn open(
        listeners: Vec<TcpListener>,
        name: &'static str,
        threads_max: usize,
        serve: impl Fn(TcpStream, SocketAddr) + Clone + Send + 'static,
    ) -> io::Result<Self> {
        let door = Self { listeners: Arc::new(listeners), closed: Arc::default() };
        let threads = Arc::new(AtomicUsize::new(0));
        for index in 0..door.listeners.len() {
            let (door, serve, threads) = (door.clone(), serve.clone(), Arc::clone(&threads));
            let accepting =
                move || door.accept(&door.listeners[index], name, (&threads, threads_max), &serve);
            thread::Builder::new().name(name.to_owned()).spawn(accepting)?;
        }
        Ok(door)
    }

    fn accept(
        &self,
        listener: &TcpListener,
        name: &'static str,
        (threads, threads_max): (&Arc<AtomicUsize>, usize),
        serve: &(impl Fn(TcpStream, SocketAddr) + Clone + Send + 'static),
    ) {
        while !self.closed.load(Ordering::SeqCst) {
            let (stream, remote) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(error) => {
                    if !self.closed.load(Ordering::SeqCst) {
                        tracing::warn!("cannot accept a connection of another server: {error}");
                        thread::park_timeout(AFTER_ERROR);
                    }
                    continue;
                }
            };
            if threads.fetch_add(1, Ordering::SeqCst) >= threads_max {
                threads.fetch_sub(1, Ordering::SeqCst);
                tracing::warn!("connection from {remote} refused: {threads_max} are there already");
                continue;
            }
            let place = Place(Arc::clone(threads));
            let serve = serve.clone();
            let spawned = thread::Builder::new().name(name.to_owned()).spawn(move || {
                let _place = place;
                serve(stream, remote);
            });
            if let Err(error) = spawned {
                tracing::warn!("connection from {remote} lost, there is no thread for it: {error}");
            }
        }
    }

    /// Accepts nobody any more.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        for listener in self.listeners.iter() {
            // Wakes whoever waits in accept.
            let _ = rustix::net::shutdown(listener, rustix::net::Shutdown::Both);
        }
    }
}

/// One of the threads that there may be, given back when dropped.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

const BETWEEN_TRIES: Duration = Duration::from_secs(1);
const AFTER_ERROR: Duration = Duration::from_millis(100);
