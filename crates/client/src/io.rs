//! The tokio driver: one task a client, which owns the socket.
//!
//! Each turn hands over what happened, carries out effects, and sends what waits. Reading never
//! waits for writing: servers stop to read from clients that do not.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::mpsc;

use crate::hosts::Host;
use crate::runtime::{Runtime, Sleep, Task, within};
use crate::session::{Effect, Input, LinkId, Session};

/// Drives a session until it ends.
pub(crate) fn drive(session: Session) -> Task {
    Box::pin(async move {
        let (probed, probes) = mpsc::unbounded_channel();
        let runtime = Arc::clone(session.runtime());
        let driver = Driver {
            session,
            runtime,
            link: Link::None,
            probed,
            probes,
            timer: None,
            inbox: vec![0; READ_BYTES],
            out: Vec::new(),
        };
        driver.run().await;
    })
}

type Dialing = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

/// The present connection.
enum Link {
    None,
    Dialing(LinkId, Dialing),
    Up(LinkId, OwnedReadHalf, Arc<OwnedWriteHalf>),
}

struct Driver {
    session: Session,
    runtime: Arc<dyn Runtime>,
    link: Link,
    probed: mpsc::UnboundedSender<(Host, bool)>,
    probes: mpsc::UnboundedReceiver<(Host, bool)>,
    /// A moment that is waited for, no later than the session's deadline, and the wait.
    timer: Option<(Duration, Sleep)>,
    /// Where the socket is read to.
    inbox: Vec<u8>,
    /// Bytes that count as sent and are not.
    out: Vec<u8>,
}

/// Why a turn begins.
enum Cause {
    Dialed(LinkId, io::Result<TcpStream>),
    Probed(Host, bool),
    /// So many bytes are in the inbox.
    Read(LinkId, io::Result<usize>),
    /// The clock, a caller, or room to write.
    Any,
}

impl Driver {
    async fn run(mut self) {
        let mut cause = Cause::Any;
        loop {
            self.hand_over(cause);
            if self.carry_out() {
                return;
            }
            self.write();
            cause = self.wait().await;
        }
    }

    fn hand_over(&mut self, cause: Cause) {
        let now = self.runtime.now();
        match cause {
            Cause::Any => self.session.handle(now, Input::Tick),
            Cause::Probed(host, writable) => {
                self.session.handle(now, Input::Probed(host, writable));
            }
            Cause::Dialed(link, Ok(stream)) => {
                // Requests are small and waited for; failing to say so is no harm.
                drop(stream.set_nodelay(true));
                let (reader, writer) = stream.into_split();
                let writer = Arc::new(writer);
                let direct = Arc::clone(&writer);
                let shortcut = move |bytes: &[u8]| direct.try_write(bytes).unwrap_or(0);
                self.session.set_shortcut(Some(Box::new(shortcut)));
                self.link = Link::Up(link, reader, writer);
                self.session.handle(now, Input::Dialed(link));
            }
            Cause::Dialed(link, Err(error)) => {
                self.link = Link::None;
                self.session.handle(now, Input::DialFailed(link, &error.to_string()));
            }
            Cause::Read(link, Ok(0)) => self.closed(link, "the server closed the connection"),
            Cause::Read(link, Ok(count)) => {
                self.session.handle(now, Input::Bytes(link, &self.inbox[..count]));
                if count == self.inbox.len() && count < READ_BYTES_MAX {
                    self.inbox.resize(count * 2, 0);
                }
            }
            Cause::Read(link, Err(error)) => self.closed(link, &error.to_string()),
        }
    }

    fn closed(&mut self, link: LinkId, why: &str) {
        self.leave();
        self.session.handle(self.runtime.now(), Input::Closed(link, why));
    }

    /// Lets go of the socket, or of making one.
    fn leave(&mut self) {
        self.session.set_shortcut(None);
        self.link = Link::None;
        self.out.clear();
    }

    /// True when this was all.
    fn carry_out(&mut self) -> bool {
        for effect in self.session.take_effects() {
            match effect {
                Effect::Dial(link, host) => {
                    self.leave();
                    let dialing = dial(host, Arc::clone(&self.runtime));
                    self.link = Link::Dialing(link, Box::pin(dialing));
                }
                Effect::HangUp(_) => self.leave(),
                Effect::Probe(host) => self.probe(host),
                Effect::End => return true,
            }
        }
        false
    }

    fn probe(&self, host: Host) {
        let probed = self.probed.clone();
        let runtime = Arc::clone(&self.runtime);
        self.runtime.spawn(Box::pin(async move {
            let asked = ask(&host);
            if let Ok(Ok(writable)) = within(&*runtime, PROBE_PATIENCE, asked).await {
                // A driver that has ended does not care.
                drop(probed.send((host, writable)));
            }
        }));
    }

    /// Sends until there is nothing to send or the socket is full.
    fn write(&mut self) {
        loop {
            let Link::Up(link, _, writer) = &self.link else { return };
            let link = *link;
            if self.out.is_empty() {
                self.session.transmit(self.runtime.now(), link, WRITE_BYTES, &mut self.out);
            }
            if self.out.is_empty() {
                return;
            }
            match writer.try_write(&self.out) {
                Ok(count) => drop(self.out.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.closed(link, &error.to_string()),
            }
        }
    }

    /// Waits for a reason for another turn.
    async fn wait(&mut self) -> Cause {
        match (self.session.next_deadline(), &self.timer) {
            // One that comes too early does no harm, and deadlines move on with every answer.
            (Some(deadline), Some((set, _))) if *set <= deadline => {}
            (Some(deadline), _) => {
                let time = deadline.saturating_sub(self.runtime.now());
                self.timer = Some((deadline, self.runtime.sleep(time)));
            }
            (None, _) => self.timer = None,
        }
        let Self { session, link, probes, timer, inbox, out, .. } = self;
        let mut woken = pin!(session.woken());
        poll_fn(|cx| {
            if let Poll::Ready(Some((host, writable))) = probes.poll_recv(cx) {
                return Poll::Ready(Cause::Probed(host, writable));
            }
            if let Poll::Ready(cause) = poll_link(link, inbox, !out.is_empty(), cx) {
                return Poll::Ready(cause);
            }
            if let Some((_, sleep)) = timer
                && sleep.as_mut().poll(cx).is_ready()
            {
                *timer = None;
                return Poll::Ready(Cause::Any);
            }
            woken.as_mut().poll(cx).map(|()| Cause::Any)
        })
        .await
    }
}

fn poll_link(
    link: &mut Link,
    inbox: &mut [u8],
    wants_write: bool,
    cx: &mut Context<'_>,
) -> Poll<Cause> {
    match link {
        Link::None => Poll::Pending,
        Link::Dialing(id, dialing) => {
            dialing.as_mut().poll(cx).map(|result| Cause::Dialed(*id, result))
        }
        Link::Up(id, reader, writer) => {
            let mut buffer = ReadBuf::new(inbox);
            if let Poll::Ready(result) = Pin::new(reader).poll_read(cx, &mut buffer) {
                let count = buffer.filled().len();
                return Poll::Ready(Cause::Read(*id, result.map(|()| count)));
            }
            if wants_write && writer.as_ref().as_ref().poll_write_ready(cx).is_ready() {
                return Poll::Ready(Cause::Any);
            }
            Poll::Pending
        }
    }
}

/// Connects to a server. A name can stand for several addresses: they are tried from a random one
/// on, so that one which swallows everything does not hide the others for ever.
async fn dial(host: Host, runtime: Arc<dyn Runtime>) -> io::Result<TcpStream> {
    let addresses = lookup_host((host.name.as_str(), host.port)).await?;
    let mut addresses: Vec<SocketAddr> = addresses.collect();
    let start = runtime.random() % u64::try_from(addresses.len().max(1)).unwrap_or(1);
    addresses.rotate_left(usize::try_from(start).unwrap_or(0));
    let mut outcome = Err(io::Error::other("the name has no address"));
    for address in addresses {
        outcome = match within(&*runtime, ADDRESS_PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(refused) => refused,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
    }
    outcome
}

/// Whether a server takes writes.
async fn ask(host: &Host) -> io::Result<bool> {
    let mut stream = TcpStream::connect((host.name.as_str(), host.port)).await?;
    stream.write_all(b"isro").await?;
    let mut answer = Vec::new();
    stream.take(16).read_to_end(&mut answer).await?;
    Ok(answer.starts_with(b"rw"))
}

/// Enough for a client that asks now and then; it doubles for those who ask for more.
const READ_BYTES: usize = 2 * 1024;
const READ_BYTES_MAX: usize = 64 * 1024;
const WRITE_BYTES: usize = 64 * 1024;
/// The session limits the whole of it as well.
const ADDRESS_PATIENCE: Duration = Duration::from_secs(2);
const PROBE_PATIENCE: Duration = Duration::from_secs(1);
