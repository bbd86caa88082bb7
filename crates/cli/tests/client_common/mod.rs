//! What the client's tests share: a runtime to run in, and a proxy that cuts connections.

#![allow(dead_code, unreachable_pub)]

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ostler_client::{Builder, Client, State};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::common::{PATIENCE, Server};

/// Runs a test on a runtime with several threads, and not for ever.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(patiently("the test ends", test))
}

/// The same on a runtime with one thread.
pub fn run_on_one_thread<T>(test: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build().expect("a runtime");
    runtime.block_on(patiently("the test ends", test))
}

/// Waits for something that must happen.
pub async fn patiently<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("waited in vain until {what}"),
    }
}

/// A client with a session on this server.
pub async fn connect(server: &Server) -> Client {
    start(Client::builder(), &server.address).await
}

/// The same with settings.
pub async fn start(builder: Builder, servers: &str) -> Client {
    builder.connect_timeout(PATIENCE).connect(servers).await.expect("a session")
}

/// Waits until the client is in this state.
pub async fn reach(client: &Client, wanted: State) {
    let mut states = client.states();
    let reached = async {
        while let Some(state) = states.next().await {
            if state == wanted {
                return;
            }
        }
        panic!("{client:?} will never be {wanted:?}");
    };
    patiently("the client is in that state", reached).await;
}

/// A way to a server that can be cut.
pub struct Proxy {
    pub address: String,
    gate: Arc<Gate>,
}

struct Gate {
    target: String,
    is_open: AtomicBool,
    /// Whether bytes are kept back.
    holds: AtomicBool,
    cut: Notify,
}

impl Proxy {
    pub async fn to(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let gate = Arc::new(Gate {
            target: target.to_owned(),
            is_open: AtomicBool::new(true),
            holds: AtomicBool::new(false),
            cut: Notify::new(),
        });
        tokio::spawn(accept(listener, Arc::clone(&gate)));
        Self { address, gate }
    }

    /// Cuts all connections; new ones can be made.
    pub fn cut(&self) {
        self.gate.cut.notify_waiters();
    }

    /// Cuts all connections and those that are made from now on.
    pub fn close(&self) {
        self.gate.is_open.store(false, Ordering::SeqCst);
        self.cut();
    }

    pub fn open(&self) {
        self.gate.is_open.store(true, Ordering::SeqCst);
    }

    /// Keeps back what the server sends, until a cut or `false`.
    pub fn hold(&self, hold: bool) {
        self.gate.holds.store(hold, Ordering::SeqCst);
    }
}

async fn accept(listener: TcpListener, gate: Arc<Gate>) {
    loop {
        let (client, _) = listener.accept().await.expect("it listens");
        if gate.is_open.load(Ordering::SeqCst) {
            tokio::spawn(pass(client, Arc::clone(&gate)));
        }
    }
}

async fn pass(client: TcpStream, gate: Arc<Gate>) {
    let cut = gate.cut.notified();
    let Ok(server) = TcpStream::connect(&gate.target).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let there = tokio::spawn(copy(from_client, to_server, None));
    let back = tokio::spawn(copy(from_server, to_client, Some(Arc::clone(&gate))));
    cut.await;
    there.abort();
    back.abort();
}

async fn copy(
    from: tokio::net::tcp::OwnedReadHalf,
    to: tokio::net::tcp::OwnedWriteHalf,
    gate: Option<Arc<Gate>>,
) {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        if from.readable().await.is_err() {
            return;
        }
        if gate.as_ref().is_some_and(|gate| gate.holds.load(Ordering::SeqCst)) {
            tokio::time::sleep(Duration::from_millis(2)).await;
            continue;
        }
        let count = match from.try_read(&mut bytes) {
            Ok(0) => return,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(_) => return,
        };
        let mut rest = &bytes[..count];
        while !rest.is_empty() {
            if to.writable().await.is_err() {
                return;
            }
            match to.try_write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }
}
