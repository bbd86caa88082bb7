//! One link: a socket that never keeps its thread waiting, and what is on its way through it.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd as _;
use std::time::Duration;

use mio::{Interest, Registry, Token};
use ostler_node::clock::{Span, Time};
use ostler_node::replica::Input;
use ostler_wire::ids::Zxid;
use ostler_wire::quorum::{PacketKind, QuorumPacket};
use ostler_zab::LinkId;
use rustix::net::{RecvFlags, SendFlags};

use super::snapshots::Lent;
use super::{Connection, Links, Outgoing, Place};
use crate::peers::incoming::{Filled, Incoming};

/// One link.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: LinkId,
    pub(super) remote: SocketAddr,
    stream: mio::net::TcpStream,
    /// Whether this server is the learner.
    is_learner: bool,
    /// A learner has been told how it is brought up to date.
    begun: bool,
    /// `None` while a thread reads a snapshot.
    incoming: Option<Incoming>,
    /// The other end has said its last; until it is found, more is there to be read.
    is_ending: bool,
    /// Whether it stands in the table's list of those to be read next.
    pub(super) is_to_read: bool,
    /// Whether it stands in the table's list of those to be written next.
    pub(super) is_to_write: bool,
    /// What leaves next.
    buffer: Vec<u8>,
    /// What comes behind the buffer, and what the packets among it weigh.
    waiting: VecDeque<Outgoing>,
    waiting_bytes: usize,
    /// How much of the buffer has left. Invariant: at most its length.
    sent: usize,
    /// A thread writes a snapshot.
    is_writing_snapshot: bool,
    /// Since when the socket takes nothing.
    stalled_since: Option<Time>,
    /// Since when it is to be closed.
    closing_since: Option<Time>,
    /// Nothing more is written; what has arrived is read, and then its end.
    is_shut: bool,
    _place: Place,
}

/// How far reading has come.
pub(super) enum ReadOn {
    /// There is probably more.
    More,
    /// The socket says when there is more.
    Later,
}

/// How far writing has come.
pub(super) enum WriteOn {
    /// The socket takes more, and it is another's turn.
    More,
    /// There is nothing to write, or the socket or the snapshot thread says when to go on.
    Later,
    /// It is shut: only its end is still to be read.
    Shut,
}

impl Link {
    pub(super) fn new(
        id: LinkId,
        connection: Connection,
        registry: &Registry,
        token: Token,
        packet_bytes_max: usize,
    ) -> io::Result<Self> {
        let Connection { stream, remote, dialled, place } = connection;
        let mut stream = mio::net::TcpStream::from_std(stream);
        // Edge-triggered: said once, remembered here.
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            id,
            remote,
            stream,
            is_learner: dialled.is_some(),
            begun: dialled.is_none(),
            incoming: Some(Incoming::new(packet_bytes_max)),
            is_ending: false,
            is_to_read: false,
            is_to_write: false,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            buffer: Vec::new(),
            sent: 0,
            is_writing_snapshot: false,
            stalled_since: None,
            closing_since: None,
            is_shut: false,
            _place: place,
        })
    }

    /// Closes the connection, also for a thread that still uses it.
    pub(super) fn close(mut self, registry: &Registry) {
        // What fails here was closed by the other end already.
        let _ = registry.deregister(&mut self.stream);
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing_since.is_some()
    }

    /// Whether there is something that the socket did not take.
    pub(super) fn is_stalled(&self) -> bool {
        self.stalled_since.is_some()
    }

    /// The end of what arrives is in sight, and no event will tell of it again.
    pub(super) fn note_end(&mut self) {
        self.is_ending = true;
    }

    /// Reads once and hands over what is whole, up to a snapshot.
    ///
    /// # Errors
    /// When the link has ended; what arrived before has been handed over.
    pub(super) fn read(
        &mut self,
        links: &Links,
        hear: &mut dyn FnMut(Input),
    ) -> io::Result<ReadOn> {
        let mut filled = None;
        loop {
            // The one that has the rest gives it back.
            let Some(incoming) = &mut self.incoming else { return Ok(ReadOn::Later) };
            while let Some(packet) = incoming.next()? {
                self.begun = self.begun || note_beginning(&packet);
                let is_snap = self.is_learner && packet.kind == PacketKind::Snap;
                let zxid = packet.zxid;
                hear(Input::Packet(self.id, packet));
                if is_snap {
                    self.read_snapshot(links, zxid)?;
                    return Ok(ReadOn::Later);
                }
            }
            match filled {
                None => filled = Some(incoming.fill(Socket(&self.stream))?),
                Some(Filled::Full) => return Ok(ReadOn::More),
                Some(Filled::Short) if self.is_ending => return Ok(ReadOn::More),
                Some(Filled::Short | Filled::Nothing) => return Ok(ReadOn::Later),
            }
        }
    }

    fn read_snapshot(&mut self, links: &Links, zxid: Zxid) -> io::Result<()> {
        let incoming = self.incoming.take().expect("a packet was just read from it");
        self.lend(links)?.read(incoming, zxid)
    }

    /// Takes back what a snapshot was read through.
    pub(super) fn snapshot_was_read(&mut self, incoming: Incoming) {
        self.incoming = Some(incoming);
    }

    /// Queues what there is to say; nothing behind its end.
    pub(super) fn queue(&mut self, now: Time, outgoing: Outgoing) {
        if self.is_closing() || self.is_shut {
            return;
        }
        match outgoing {
            Outgoing::Close(reason) => {
                tracing::info!("closing link {} with {}: {reason}", self.id.0, self.remote);
                self.closing_since = Some(now);
            }
            Outgoing::Packet(packet) if self.waiting.is_empty() && self.has_room() => {
                packet.write(&mut self.buffer);
            }
            outgoing => {
                self.waiting_bytes += outgoing.weight();
                self.waiting.push_back(outgoing);
            }
        }
    }

    fn has_room(&self) -> bool {
        self.buffer.len() < BUFFER_BYTES
    }

    /// Gives up a peer that lags too far behind.
    fn bound(&mut self, now: Time, lag_bytes_max: usize) {
        let bytes = self.waiting_bytes + self.buffer.len();
        if bytes <= lag_bytes_max || self.is_closing() {
            return;
        }
        tracing::warn!(
            "{} has {} MB to read and does not: closing link {}; it has to connect again",
            self.remote,
            bytes >> 20,
            self.id.0
        );
        self.closing_since = Some(now);
        self.shut();
    }

    /// Writes what is queued, as far as the socket takes it; when that is all and the link is to be
    /// closed, shuts it.
    pub(super) fn write(&mut self, now: Time, links: &Links) -> WriteOn {
        self.bound(now, links.0.settings.lag_bytes_max);
        match self.write_some(now, links) {
            Ok(on) => on,
            Err(error) => {
                self.fail(&error);
                WriteOn::Shut
            }
        }
    }

    fn write_some(&mut self, now: Time, links: &Links) -> io::Result<WriteOn> {
        if self.is_shut {
            return Ok(WriteOn::Shut);
        }
        if self.is_writing_snapshot {
            return Ok(WriteOn::Later);
        }
        for _ in 0..BUFFERS_A_TURN {
            if self.sent == self.buffer.len() && !self.fill_buffer() {
                if let Some(Outgoing::Snapshot(tree)) = self.waiting.pop_front() {
                    self.lend(links)?.write(tree)?;
                    self.is_writing_snapshot = true;
                } else if self.is_closing() {
                    self.shut();
                    return Ok(WriteOn::Shut);
                }
                return Ok(WriteOn::Later);
            }
            while self.sent < self.buffer.len() {
                let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
                match rustix::net::send(&self.stream, &self.buffer[self.sent..], flags) {
                    Ok(count) => {
                        self.sent += count;
                        self.stalled_since = None;
                    }
                    Err(rustix::io::Errno::INTR) => {}
                    Err(rustix::io::Errno::AGAIN) => {
                        self.stalled_since.get_or_insert(now);
                        return Ok(WriteOn::Later);
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(WriteOn::More)
    }

    /// Encodes what comes next into the buffer, which has left; false if that is nothing.
    fn fill_buffer(&mut self) -> bool {
        self.sent = 0;
        self.buffer.clear();
        if self.buffer.capacity() > KEPT_BYTES {
            self.buffer = Vec::new();
        }
        while self.has_room()
            && let Some(next) = self.waiting.pop_front_if(|next| next.is_packet())
            && let Outgoing::Packet(packet) = &next
        {
            packet.write(&mut self.buffer);
            self.waiting_bytes -= next.weight();
        }
        !self.buffer.is_empty()
    }

    /// Takes back the socket from the thread that has written a snapshot.
    pub(super) fn snapshot_was_written(&mut self, written: io::Result<()>) -> bool {
        self.is_writing_snapshot = false;
        if let Err(error) = &written {
            self.fail(error);
        }
        written.is_ok()
    }

    fn lend(&self, links: &Links) -> io::Result<Lent> {
        let stream = TcpStream::from(self.stream.as_fd().try_clone_to_owned()?);
        Ok(Lent { links: links.clone(), id: self.id, stream, remote: self.remote })
    }

    /// When [`Self::keep_time`] has something to do.
    pub(super) fn deadline(&self, stall_max: Duration) -> Option<Time> {
        if self.is_shut {
            return None;
        }
        let stall_max = Span(u64::try_from(stall_max.as_micros()).unwrap_or(u64::MAX));
        let closed = self.closing_since.map(|since| since + LINGER);
        let stalled = self.stalled_since.map(|since| since + stall_max);
        closed.into_iter().chain(stalled).min()
    }

    /// Shuts a link whose peer takes nothing for too long, or not its last words; true if it did.
    pub(super) fn keep_time(&mut self, now: Time, stall_max: Duration) -> bool {
        let is_over = self.deadline(stall_max).is_some_and(|deadline| deadline <= now);
        if is_over {
            self.fail(&io::ErrorKind::TimedOut.into());
        }
        is_over
    }

    fn fail(&mut self, error: &io::Error) {
        if !self.is_closing() && !self.is_shut {
            tracing::info!("cannot write to {}: {error}", self.remote);
        }
        self.shut();
    }

    /// Writes nothing more, and lets the end be found behind what has arrived.
    fn shut(&mut self) {
        self.is_shut = true;
        self.is_ending = true;
        self.waiting.clear();
        self.buffer.clear();
        self.sent = 0;
        self.waiting_bytes = 0;
        // Fails if the other end was faster. A thread that uses the socket learns of it by this.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

impl Outgoing {
    fn is_packet(&self) -> bool {
        matches!(self, Self::Packet(_))
    }

    fn weight(&self) -> usize {
        match self {
            Self::Packet(packet) => {
                packet.data.as_ref().map_or(0, |data| data.len()) + PACKET_BYTES
            }
            Self::Snapshot(_) | Self::Close(_) => 0,
        }
    }
}

/// Reads what is there and does not wait, whatever the mode of the socket.
struct Socket<'l>(&'l mio::net::TcpStream);

impl Read for Socket<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let (_, count) = rustix::net::recv(self.0, into, RecvFlags::DONTWAIT)?;
        Ok(count)
    }
}

/// Tells how a leader brings this server up to date, if this is the packet that says so; in the
/// words that operators of ZooKeeper search their logs for.
fn note_beginning(packet: &QuorumPacket) -> bool {
    let zxid = packet.zxid;
    match packet.kind {
        PacketKind::Diff => tracing::info!("Getting a diff from the leader {zxid}"),
        PacketKind::Trunc => tracing::info!("Truncating log to get in sync with the leader {zxid}"),
        PacketKind::Snap => tracing::info!("Getting a snapshot from leader {zxid}"),
        _ => return false,
    }
    true
}

/// What a packet weighs besides its data.
const PACKET_BYTES: usize = 64;

/// What is written at once.
const BUFFER_BYTES: usize = 128 << 10;
/// A buffer that grew beyond this is given back.
const KEPT_BYTES: usize = 1 << 20;
/// So much is written to one peer that reads as fast before it is another's turn.
const BUFFERS_A_TURN: usize = 8;

/// How long the last words of a link may take to leave.
const LINGER: Span = Span::from_millis(500);
