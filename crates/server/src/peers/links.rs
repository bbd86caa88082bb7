//! Links: connections between a learner and its leader, on the quorum port of the leader.
//!
//! Each has two threads. The reader waits for packets and hands them to the replica, as many as
//! came at once; it is also the one that tells the replica of a link's beginning and, as its last
//! word, of its end. The writer takes what the replica sent, in order, and writes it in few large
//! pieces; a snapshot is written straight from its tree, which nobody changes.
//!
//! Bounds: what waits to be written (a learner that lags further behind is given up), what was read
//! and not yet taken by the replica, how long a peer may take nothing, how many links there are.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ostler_disk::stream;
use ostler_node::replica::Input;
use ostler_tree::Tree;
use ostler_wire::ids::{Sid, Zxid};
use ostler_wire::quorum::{PacketKind, QuorumPacket};
use ostler_zab::LinkId;
use rustix::net::SendFlags;

use super::address::{self, HostPort};
use super::gate::Gate;
use super::incoming::Incoming;
use super::tell;
use crate::mail::{ReplicaBox, ReplicaMail};

/// What links are made with.
#[derive(Clone, Debug)]
pub(crate) struct LinkSettings {
    /// Where the servers can be dialled.
    pub(crate) addresses: HashMap<Sid, Vec<HostPort>>,
    /// How long dialling may take.
    pub(crate) dial_timeout: Duration,
    /// How long a peer may take nothing of what is written to it, or send nothing of a snapshot.
    pub(crate) stall_max: Duration,
    /// What may wait to be written to one peer.
    pub(crate) lag_bytes_max: usize,
    /// The longest data of a packet.
    pub(crate) packet_bytes_max: usize,
    /// Key of the hashes of trees that arrive as snapshots.
    pub(crate) hash_key: u64,
    /// Whether TCP sends at once to learners.
    pub(crate) leader_no_delay: bool,
    /// Whether TCP sends at once to the leader.
    pub(crate) follower_no_delay: bool,
}

/// Something for the other end of a link.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Packet(QuorumPacket),
    /// The rest of packets whose beginning has left.
    Rest(Vec<u8>),
    /// The stream behind a SNAP packet.
    Snapshot(Tree),
    /// Nothing more.
    Close(&'static str),
}

/// All links.
#[derive(Clone, Debug)]
pub(crate) struct Links(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: LinkSettings,
    replica: ReplicaBox,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// Numbers given so far; none is used twice.
    last: u64,
    open: HashMap<LinkId, Arc<Link>>,
    stopping: bool,
}

#[derive(Debug)]
struct Link {
    id: LinkId,
    stream: TcpStream,
    remote: SocketAddr,
    queue: Mutex<Queue>,
    bell: Condvar,
    lag_bytes_max: usize,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Outgoing>,
    /// What the packets among them weigh, and those that are being written.
    bytes: usize,
    /// The writer has taken something and not finished with it.
    is_writing: bool,
    /// Since when it is to be closed.
    closing_since: Option<Instant>,
    /// The reader has ended.
    dead: bool,
}

impl Links {
    pub(crate) fn new(settings: LinkSettings, replica: ReplicaBox) -> Self {
        Self(Arc::new(Shared { settings, replica, table: Mutex::default() }))
    }

    /// Dials a server; answered by [`Input::Dialled`].
    pub(crate) fn dial(&self, sid: Sid) {
        let links = self.clone();
        let dialling = move || {
            let settings = &links.0.settings;
            let addresses = settings.addresses.get(&sid).map_or(&[][..], Vec::as_slice);
            let opened = address::dial(addresses, settings.dial_timeout)
                .and_then(|stream| links.open(stream, settings.follower_no_delay));
            match opened {
                Ok(link) => {
                    let id = link.id;
                    tracing::info!("connected to the leader {sid} at {}", link.remote);
                    links.tell(Input::Dialled(sid, Some(id)));
                    links.read(&link, true);
                }
                Err(error) => {
                    tracing::debug!("cannot connect to the leader {sid}: {error}");
                    links.tell(Input::Dialled(sid, None));
                }
            }
        };
        if let Err(error) = thread::Builder::new().name("link".to_owned()).spawn(dialling) {
            tracing::error!("there is no thread to dial server {sid}: {error}");
            self.tell(Input::Dialled(sid, None));
        }
    }

    /// Serves a connection that somebody opened, until it ends.
    pub(crate) fn accepted(&self, stream: TcpStream, remote: SocketAddr) {
        match self.open(stream, self.0.settings.leader_no_delay) {
            Ok(link) => {
                self.tell(Input::Accepted(link.id));
                self.read(&link, false);
            }
            Err(error) => tracing::warn!("connection of a learner at {remote} lost: {error}"),
        }
    }

    /// Queues what a turn of the replica has for its peers; order counts within each link.
    pub(crate) fn send(&self, mut outgoing: Vec<(LinkId, Outgoing)>) {
        outgoing.sort_by_key(|(link, _)| *link);
        let mut outgoing = outgoing.into_iter().peekable();
        while let Some((id, first)) = outgoing.next() {
            let link = self.table().open.get(&id).cloned();
            let rest = std::iter::from_fn(|| {
                outgoing.next_if(|(next, _)| *next == id).map(|(_, packet)| packet)
            });
            let all = std::iter::once(first).chain(rest);
            match link {
                Some(link) => link.queue(all),
                // It is gone, and the replica is about to hear of it.
                None => all.for_each(drop),
            }
        }
    }

    /// Closes every link, and those that come yet.
    pub(crate) fn stop(&self) {
        let mut table = self.table();
        table.stopping = true;
        for link in table.open.values() {
            link.queue(std::iter::once(Outgoing::Close("the server ends")));
        }
    }

    /// Whether the last word to every peer has left.
    pub(crate) fn all_closed(&self) -> bool {
        self.table().open.is_empty()
    }

    /// Gives a connection a number and a writer.
    fn open(&self, stream: TcpStream, no_delay: bool) -> io::Result<Arc<Link>> {
        let settings = &self.0.settings;
        address::prepare(&stream, no_delay, false, settings.stall_max)?;
        stream.set_write_timeout(Some(WRITE_SLICE))?;
        let remote = stream.peer_addr()?;
        let mut table = self.table();
        if table.stopping {
            return Err(io::Error::other("the server ends"));
        }
        table.last += 1;
        let link = Arc::new(Link {
            id: LinkId(table.last),
            stream,
            remote,
            queue: Mutex::default(),
            bell: Condvar::new(),
            lag_bytes_max: settings.lag_bytes_max,
        });
        let writer = Arc::clone(&link);
        let (stall_max, replica) = (settings.stall_max, self.0.replica.clone());
        thread::Builder::new()
            .name("link-writer".to_owned())
            .spawn(move || writer.write(stall_max, &replica))?;
        table.open.insert(link.id, Arc::clone(&link));
        Ok(link)
    }

    /// Hands over what arrives until the link ends, and then says so.
    fn read(&self, link: &Link, is_learner: bool) {
        let error = self.read_on(link, is_learner);
        {
            let mut queue = link.lock();
            queue.dead = true;
            if queue.closing_since.is_none() {
                tracing::info!("link {} with {} is gone: {error}", link.id.0, link.remote);
            }
        }
        link.bell.notify_one();
        let _ = link.stream.shutdown(Shutdown::Both);
        self.table().open.remove(&link.id);
        self.tell(Input::LinkDown(link.id));
    }

    fn read_on(&self, link: &Link, is_learner: bool) -> io::Error {
        let settings = &self.0.settings;
        let gate = Gate::new(UNTAKEN_BYTES_MAX);
        let mut incoming = Incoming::new(&link.stream, settings.packet_bytes_max);
        let mut begun = !is_learner;
        loop {
            let (packets, bytes) = match incoming.packets() {
                Ok(found) => found,
                Err(error) => return error,
            };
            begun = begun || packets.iter().any(note_beginning);
            let snap = packets
                .last()
                .filter(|last| is_learner && last.kind == PacketKind::Snap)
                .map(|last| last.zxid);
            let freight = gate.enter(bytes + packets.len() * PACKET_BYTES);
            tell(&self.0.replica, ReplicaMail::Packets(link.id, packets, freight));
            if let Some(zxid) = snap {
                match self.read_snapshot(link, &mut incoming, zxid) {
                    Ok(tree) => self.tell(Input::Snapshot(link.id, tree)),
                    Err(error) => return error,
                }
            }
        }
    }

    fn read_snapshot(
        &self,
        link: &Link,
        incoming: &mut Incoming<&TcpStream>,
        zxid: Zxid,
    ) -> io::Result<Tree> {
        let settings = &self.0.settings;
        let start = Instant::now();
        link.stream.set_read_timeout(Some(settings.stall_max))?;
        let tree = stream::read_stream(incoming, settings.hash_key, zxid)
            .map_err(|error| io::Error::other(format!("the snapshot of {zxid}: {error}")))?;
        link.stream.set_read_timeout(None)?;
        tracing::info!(
            "received a snapshot of {zxid} with {} znodes from {} in {} ms",
            tree.node_count(),
            link.remote,
            start.elapsed().as_millis()
        );
        Ok(tree)
    }

    fn tell(&self, input: Input) {
        tell(&self.0.replica, ReplicaMail::Input(input));
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self, all: impl Iterator<Item = Outgoing>) {
        let mut queue = self.lock();
        for outgoing in all {
            if queue.closing_since.is_some() || queue.dead {
                continue;
            }
            match outgoing {
                Outgoing::Close(reason) => {
                    tracing::info!("closing link {} with {}: {reason}", self.id.0, self.remote);
                    queue.closing_since = Some(Instant::now());
                }
                outgoing => {
                    queue.bytes += outgoing.weight();
                    queue.waiting.push_back(outgoing);
                }
            }
        }
        if queue.bytes > self.lag_bytes_max && queue.closing_since.is_none() {
            tracing::warn!(
                "{} has {} MB to read and does not: closing link {}; it has to connect again",
                self.remote,
                queue.bytes >> 20,
                self.id.0
            );
            queue.waiting.clear();
            queue.bytes = 0;
            queue.closing_since = Some(Instant::now());
            let _ = self.stream.shutdown(Shutdown::Both);
        }
        if !self.write_at_once(&mut queue) {
            drop(queue);
            self.bell.notify_one();
        }
    }

    /// Writes a few packets without waking the writer, if it has nothing to do and the socket takes
    /// them; false if there is something left for it.
    fn write_at_once(&self, queue: &mut Queue) -> bool {
        let is_short = queue.bytes <= AT_ONCE_BYTES_MAX
            && queue.waiting.iter().all(|next| matches!(next, Outgoing::Packet(_)));
        if !is_short || queue.is_writing || queue.dead || queue.closing_since.is_some() {
            return false;
        }
        let mut bytes = Vec::with_capacity(AT_ONCE_BYTES_MAX);
        for outgoing in queue.waiting.drain(..) {
            let Outgoing::Packet(packet) = outgoing else { unreachable!("all are packets") };
            packet.write(&mut bytes);
        }
        queue.bytes = 0;
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        // What an error means the writer finds out when it tries.
        let written = rustix::net::send(&self.stream, &bytes, flags).unwrap_or(0);
        if written == bytes.len() {
            return true;
        }
        bytes.drain(..written);
        queue.bytes = bytes.len();
        queue.waiting.push_back(Outgoing::Rest(bytes));
        false
    }

    /// Writes what is queued until the link ends.
    fn write(&self, stall_max: Duration, replica: &ReplicaBox) {
        let mut buffer = Vec::with_capacity(BUFFER_BYTES);
        while let Some((batch, bytes)) = self.next_batch() {
            if let Err(error) = self.write_batch(batch, &mut buffer, stall_max, replica) {
                if self.lock().closing_since.is_none() {
                    tracing::info!("cannot write to {}: {error}", self.remote);
                }
                break;
            }
            // Only now: what is being written counts as waiting.
            let mut queue = self.lock();
            queue.bytes = queue.bytes.saturating_sub(bytes);
            queue.is_writing = false;
        }
        let mut queue = self.lock();
        queue.dead = true;
        queue.waiting.clear();
        // The reader tells the replica.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// What is to be written next and its weight; `None` when there is nothing more to come.
    fn next_batch(&self) -> Option<(VecDeque<Outgoing>, usize)> {
        let idle = |queue: &mut Queue| {
            queue.waiting.is_empty() && queue.closing_since.is_none() && !queue.dead
        };
        let mut queue =
            self.bell.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
        if queue.dead || queue.waiting.is_empty() {
            return None;
        }
        queue.is_writing = true;
        let batch = std::mem::take(&mut queue.waiting);
        let bytes = batch.iter().map(Outgoing::weight).sum();
        Some((batch, bytes))
    }

    fn write_batch(
        &self,
        batch: VecDeque<Outgoing>,
        buffer: &mut Vec<u8>,
        stall_max: Duration,
        replica: &ReplicaBox,
    ) -> io::Result<()> {
        let mut out = Patient { link: self, stall_max };
        buffer.clear();
        for outgoing in batch {
            match outgoing {
                Outgoing::Packet(packet) => packet.write(buffer),
                Outgoing::Rest(bytes) => buffer.extend_from_slice(&bytes),
                Outgoing::Snapshot(tree) => {
                    out.write_all(buffer)?;
                    buffer.clear();
                    self.write_snapshot(&tree, &mut out)?;
                    tell(replica, ReplicaMail::Input(Input::SnapshotSent(self.id)));
                }
                Outgoing::Close(_) => unreachable!("it is not queued"),
            }
            if buffer.len() >= BUFFER_BYTES {
                out.write_all(buffer)?;
                buffer.clear();
            }
        }
        out.write_all(buffer)?;
        if buffer.capacity() > KEPT_BYTES {
            *buffer = Vec::with_capacity(BUFFER_BYTES);
        }
        Ok(())
    }

    fn write_snapshot(&self, tree: &Tree, out: &mut Patient<'_>) -> io::Result<()> {
        let start = Instant::now();
        let mut out = io::BufWriter::with_capacity(BUFFER_BYTES, out);
        stream::write_stream(tree, &mut out)?;
        out.flush()?;
        tracing::info!(
            "sent a snapshot of {} with {} znodes to {} in {} ms",
            tree.last_zxid(),
            tree.node_count(),
            self.remote,
            start.elapsed().as_millis()
        );
        Ok(())
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

impl Outgoing {
    fn weight(&self) -> usize {
        match self {
            Self::Packet(packet) => {
                packet.data.as_ref().map_or(0, |data| data.len()) + PACKET_BYTES
            }
            Self::Rest(bytes) => bytes.len(),
            Self::Snapshot(_) | Self::Close(_) => 0,
        }
    }
}

/// A socket that is waited for in slices: until it takes nothing for too long, or until the link
/// was to be closed and its last words do not leave.
struct Patient<'l> {
    link: &'l Link,
    stall_max: Duration,
}

impl Write for Patient<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let start = Instant::now();
        loop {
            let error = match (&self.link.stream).write(bytes) {
                Err(error) => error,
                done => return done,
            };
            match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                    let queue = self.link.lock();
                    let lingering = queue.closing_since.map_or(Duration::ZERO, |at| at.elapsed());
                    if queue.dead || lingering > LINGER || start.elapsed() > self.stall_max {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                }
                _ => return Err(error),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Links that others may open to this server at a time: each has two threads.
pub(crate) const LINKS_MAX: usize = 512;

/// What may wait to be written to one peer: many times what is in flight while all is well. It
/// holds what comes while a snapshot is on its way.
pub(crate) const LAG_BYTES_MAX: usize = 512 << 20;
/// What one peer has sent and the replica has not taken yet.
const UNTAKEN_BYTES_MAX: usize = 16 << 20;
/// What a packet weighs besides its data.
const PACKET_BYTES: usize = 64;

/// So little is written by who queues it: sooner than the writer would wake up. More is left to the
/// writer, so that the replica goes on with what comes next.
const AT_ONCE_BYTES_MAX: usize = 4 << 10;

const BUFFER_BYTES: usize = 128 << 10;
/// A buffer that grew beyond this is given back.
const KEPT_BYTES: usize = 1 << 20;

/// How often a writer that waits for its peer looks up.
const WRITE_SLICE: Duration = Duration::from_millis(100);
/// How long the last words of a link may take to leave.
const LINGER: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;
