//! The server's connections to other servers: votes on the election port, links on the quorum port.
//!
//! As in the server crate, but small: who keeps an election connection is zab's rule, at most one
//! message waits for each server, the last one is written again on a new connection; a link hands
//! packets over in order, and a snapshot when all of it is here.

use std::collections::BTreeMap;

use ostler_disk::stream::read_stream;
use ostler_node::clock::{Span, Time};
use ostler_node::replica::Input;
use ostler_tree::Tree;
use ostler_wire::ids::{Sid, Zxid};
use ostler_wire::quorum::{PacketKind, QuorumPacket};
use ostler_wire::vote::{Hello, Notification};
use ostler_zab::LinkId;
use ostler_zab::connect_rule::{self, Verdict};

use crate::net::{Cargo, End, Place, Port, WireId};
use crate::options::Plant;
use crate::queue::{Event, Turn};
use crate::world::Outside;

/// Who a server is, for those who speak for it.
#[derive(Clone, Copy)]
pub(super) struct Own {
    pub(super) index: usize,
    pub(super) sid: Sid,
    pub(super) start: u64,
}

/// What a wire is for.
#[derive(Debug)]
enum Use {
    /// An election connection being dialled.
    DialElection(Sid),
    /// Only to see whether somebody listens.
    Probe(Sid),
    /// Somebody has dialled and not yet said who it is.
    Stranger(Vec<u8>),
    /// The election connection that counts.
    Election(Sid, Vec<u8>),
    /// A link being dialled.
    DialLeader(Sid),
    /// A link.
    Link(LinkId),
}

/// An election peer.
#[derive(Default)]
struct Peer {
    wire: Option<(WireId, End)>,
    waiting: Option<Notification>,
    last: Option<Notification>,
    dialling: bool,
    /// When it was last asked to dial back.
    asked_at: Option<Time>,
    writer_due: bool,
}

/// A connection between learner and leader.
struct Link {
    wire: WireId,
    end: End,
    input: Vec<u8>,
    /// The snapshot being read.
    snapshot: Option<Zxid>,
    /// When bytes came last.
    heard_at: Time,
    /// Whether NEWLEADER has come, and UPTODATE has not.
    is_between: bool,
    has_lost: bool,
}

/// All connections to other servers.
#[derive(Default)]
pub(super) struct Peers {
    uses: BTreeMap<WireId, Use>,
    election: BTreeMap<Sid, Peer>,
    links: BTreeMap<LinkId, Link>,
    next_link: u64,
}

impl Peers {
    /// Sends a vote in place of one that still waits.
    pub(super) fn vote(
        &mut self,
        outside: &mut Outside,
        own: Own,
        to: Sid,
        notification: Notification,
    ) {
        let peer = self.election.entry(to).or_default();
        peer.waiting = Some(notification);
        self.connect(outside, own, to);
        self.ring(outside, own, to);
    }

    /// Dials an election port if there is no connection.
    pub(super) fn connect(&mut self, outside: &mut Outside, own: Own, to: Sid) {
        let now = outside.queue.now();
        let peer = self.election.entry(to).or_default();
        let asked = peer.asked_at.is_some_and(|at| now.millis_since(at) < DIALS_BACK_WITHIN_MS);
        if peer.wire.is_none() && !asked {
            self.dial_election(outside, own, to);
        }
    }

    fn dial_election(&mut self, outside: &mut Outside, own: Own, to: Sid) {
        let peer = self.election.entry(to).or_default();
        if !std::mem::replace(&mut peer.dialling, true) {
            let wire = dial(outside, own, to, Port::Election);
            self.uses.insert(wire, Use::DialElection(to));
        }
    }

    /// Dials a leader.
    pub(super) fn dial_leader(&mut self, outside: &mut Outside, own: Own, to: Sid) {
        let wire = dial(outside, own, to, Port::Quorum);
        self.uses.insert(wire, Use::DialLeader(to));
    }

    /// Sends bytes by a link.
    pub(super) fn send(&self, outside: &mut Outside, link: LinkId, bytes: &[u8]) {
        if let Some(Link { wire, end, .. }) = self.links.get(&link) {
            outside.net.send(&mut outside.queue, *wire, *end, bytes);
        }
    }

    /// Closes a link behind what was sent.
    pub(super) fn close(&mut self, outside: &mut Outside, id: LinkId, mail: &mut Vec<Input>) {
        if let Some(link) = self.links.remove(&id) {
            self.uses.remove(&link.wire);
            outside.net.close(&mut outside.queue, link.wire, link.end);
            mail.push(Input::LinkDown(id));
        }
    }

    /// The reader of a link has waited for the rest of a snapshot for some time.
    pub(super) fn stall(
        &mut self,
        outside: &mut Outside,
        own: Own,
        id: LinkId,
        mail: &mut Vec<Input>,
    ) {
        let Some(link) = self.links.get(&id).filter(|link| link.snapshot.is_some()) else { return };
        let at = link.heard_at + stall_max(outside);
        if at <= outside.queue.now() {
            return self.close(outside, id, mail);
        }
        outside.queue.at(at, Event::Turn(own.index, own.start, Turn::Stall(id)));
    }

    /// The thread that writes votes to a server takes its turn.
    pub(super) fn ballot(&mut self, outside: &mut Outside, to: Sid) {
        let peer = self.election.entry(to).or_default();
        peer.writer_due = false;
        if let Some((wire, end)) = peer.wire
            && let Some(notification) = peer.waiting.take()
        {
            write_vote(outside, (wire, end), &notification);
            peer.last = Some(notification);
        }
    }

    /// Somebody dials this server.
    pub(super) fn accept(
        &mut self,
        outside: &mut Outside,
        wire: WireId,
        port: Port,
        mail: &mut Vec<Input>,
    ) {
        outside.net.accept(&mut outside.queue, wire);
        match port {
            Port::Election => _ = self.uses.insert(wire, Use::Stranger(Vec::new())),
            Port::Quorum => {
                let link = self.open_link(wire, End::Acceptor);
                mail.push(Input::Accepted(link));
            }
            Port::Clients => unreachable!("clients go to shards"),
        }
    }

    /// Something has come by a wire.
    pub(super) fn arrive(
        &mut self,
        outside: &mut Outside,
        own: Own,
        (wire, end, cargo): (WireId, End, Cargo),
        mail: &mut Vec<Input>,
    ) {
        if !matches!(cargo, Cargo::Bytes(_)) {
            let what = self.uses.get(&wire);
            outside.note(own.index, format_args!("wire {} of {what:?} {cargo:?}", wire.0));
        }
        match cargo {
            Cargo::Accepted => self.dialled(outside, own, wire, mail),
            Cargo::Bytes(bytes) => self.bytes(outside, own, (wire, end), &bytes, mail),
            Cargo::Refused | Cargo::Closed | Cargo::Reset => self.gone(outside, own, wire, mail),
            Cargo::Dial => unreachable!("that is accepted"),
        }
    }

    /// A dial was answered.
    fn dialled(&mut self, outside: &mut Outside, own: Own, wire: WireId, mail: &mut Vec<Input>) {
        match self.uses.remove(&wire) {
            Some(Use::Probe(_)) => outside.net.close(&mut outside.queue, wire, End::Dialler),
            Some(Use::DialElection(sid)) => {
                let hello = Hello { sid: own.sid, addresses: vec![format!("s{}:1", own.index)] };
                outside.net.send(&mut outside.queue, wire, End::Dialler, &hello.encode());
                let peer = self.election.entry(sid).or_default();
                peer.dialling = false;
                if connect_rule::dialled(own.sid, sid) == Verdict::Keep {
                    return self.keep(outside, own, (wire, End::Dialler, sid), Vec::new(), mail);
                }
                if peer.wire.is_none() {
                    peer.asked_at = Some(outside.queue.now());
                }
                outside.net.close(&mut outside.queue, wire, End::Dialler);
            }
            Some(Use::DialLeader(sid)) => {
                let link = self.open_link(wire, End::Dialler);
                mail.push(Input::Dialled(sid, Some(link)));
            }
            Some(other) => unreachable!("{other:?} was not dialled"),
            None => {}
        }
    }

    fn open_link(&mut self, wire: WireId, end: End) -> LinkId {
        self.next_link += 1;
        let id = LinkId(self.next_link);
        let link = Link {
            wire,
            end,
            input: Vec::new(),
            snapshot: None,
            heard_at: Time(0),
            is_between: false,
            has_lost: false,
        };
        self.links.insert(id, link);
        self.uses.insert(wire, Use::Link(id));
        id
    }

    /// Makes an election connection the one that counts.
    fn keep(
        &mut self,
        outside: &mut Outside,
        own: Own,
        (wire, end, sid): (WireId, End, Sid),
        rest: Vec<u8>,
        mail: &mut Vec<Input>,
    ) {
        self.uses.insert(wire, Use::Election(sid, Vec::new()));
        let peer = self.election.entry(sid).or_default();
        peer.asked_at = None;
        if let Some((old, end)) = peer.wire.replace((wire, end)) {
            self.uses.remove(&old);
            outside.net.close(&mut outside.queue, old, end);
        }
        let peer = self.election.entry(sid).or_default();
        if let (None, Some(last)) = (&peer.waiting, &peer.last) {
            write_vote(outside, (wire, end), last);
        }
        mail.push(Input::ElectionConnected(sid));
        self.ring(outside, own, sid);
        self.bytes(outside, own, (wire, end), &rest, mail);
    }

    fn ring(&mut self, outside: &mut Outside, own: Own, to: Sid) {
        let peer = self.election.entry(to).or_default();
        if peer.waiting.is_some() && peer.wire.is_some() && !peer.writer_due {
            peer.writer_due = true;
            let delay = outside.wake_delay();
            outside.queue.after(delay, Event::Turn(own.index, own.start, Turn::Ballot(to)));
        }
    }

    fn bytes(
        &mut self,
        outside: &mut Outside,
        own: Own,
        (wire, end): (WireId, End),
        bytes: &[u8],
        mail: &mut Vec<Input>,
    ) {
        match self.uses.get_mut(&wire) {
            Some(Use::Stranger(heard)) => {
                heard.extend_from_slice(bytes);
                match Hello::first(heard).expect("servers say who they are") {
                    None => {}
                    Some((hello, length)) => {
                        let rest = heard.split_off(length);
                        self.introduced(outside, own, (wire, hello.sid), rest, mail);
                    }
                }
            }
            Some(Use::Election(sid, input)) => {
                input.extend_from_slice(bytes);
                take_votes(*sid, input, mail);
            }
            Some(Use::Link(id)) => {
                let id = *id;
                let link = self.links.get_mut(&id).expect("a link that is open");
                link.input.extend_from_slice(bytes);
                link.heard_at = outside.queue.now();
                let was_reading = link.snapshot.is_some();
                link.take_packets(outside, id, mail);
                if link.snapshot.is_some() && !was_reading {
                    let at = outside.queue.now() + stall_max(outside);
                    outside.queue.at(at, Event::Turn(own.index, own.start, Turn::Stall(id)));
                }
            }
            Some(other) => unreachable!("bytes for {other:?}"),
            None => outside.net.close(&mut outside.queue, wire, end),
        }
    }

    fn introduced(
        &mut self,
        outside: &mut Outside,
        own: Own,
        (wire, sid): (WireId, Sid),
        rest: Vec<u8>,
        mail: &mut Vec<Input>,
    ) {
        self.uses.remove(&wire);
        match connect_rule::accepted(own.sid, sid) {
            Verdict::Keep => self.keep(outside, own, (wire, End::Acceptor, sid), rest, mail),
            Verdict::DialBack => {
                outside.net.close(&mut outside.queue, wire, End::Acceptor);
                let peer = self.election.entry(sid).or_default();
                if let Some((old, end)) = peer.wire.take() {
                    self.uses.remove(&old);
                    outside.net.close(&mut outside.queue, old, end);
                }
                self.dial_election(outside, own, sid);
            }
            Verdict::Close => outside.net.close(&mut outside.queue, wire, End::Acceptor),
        }
    }

    /// A server cannot be reached, unless it has connected meanwhile.
    fn unreachable(&self, sid: Sid, mail: &mut Vec<Input>) {
        if self.election.get(&sid).is_none_or(|peer| peer.wire.is_none()) {
            mail.push(Input::ElectionUnreachable(sid));
        }
    }

    /// A wire has broken, or was never made.
    pub(super) fn gone(
        &mut self,
        outside: &mut Outside,
        own: Own,
        wire: WireId,
        mail: &mut Vec<Input>,
    ) {
        match self.uses.remove(&wire) {
            Some(Use::DialElection(sid)) => {
                self.election.entry(sid).or_default().dialling = false;
                self.unreachable(sid, mail);
            }
            Some(Use::Probe(sid)) => self.unreachable(sid, mail),
            Some(Use::Election(sid, ..)) => {
                self.election.entry(sid).or_default().wire = None;
                let probe = dial(outside, own, sid, Port::Election);
                self.uses.insert(probe, Use::Probe(sid));
            }
            Some(Use::DialLeader(sid)) => mail.push(Input::Dialled(sid, None)),
            Some(Use::Link(link)) => {
                self.links.remove(&link);
                mail.push(Input::LinkDown(link));
            }
            Some(Use::Stranger(_)) | None => {}
        }
    }
}

impl Link {
    /// Hands over the packets that are whole, and the snapshot behind the last of them.
    fn take_packets(&mut self, outside: &Outside, id: LinkId, mail: &mut Vec<Input>) {
        loop {
            if let Some(zxid) = self.snapshot {
                let mut rest = &*self.input;
                // What is not whole yet is tried again when there is more.
                let Ok(tree) = read_stream(&mut rest, outside.options.seed, zxid) else { return };
                let length = self.input.len() - rest.len();
                self.input.drain(..length);
                self.snapshot = None;
                mail.push(Input::Snapshot(id, tree));
            }
            let first = QuorumPacket::first(&self.input, PACKET_BYTES_MAX);
            let Some((packet, length)) = first.expect("servers send packets") else { return };
            self.input.drain(..length);
            if packet.kind == PacketKind::Snap && self.end == End::Dialler {
                self.snapshot = Some(packet.zxid);
            }
            if !self.loses(outside, &packet) {
                mail.push(Input::Packet(id, packet));
            }
        }
    }

    /// Whether the planted bug strikes this packet.
    fn loses(&mut self, outside: &Outside, packet: &QuorumPacket) -> bool {
        match packet.kind {
            PacketKind::NewLeader => self.is_between = true,
            PacketKind::UpToDate => self.is_between = false,
            PacketKind::Commit
                if self.is_between
                    && !self.has_lost
                    && outside.options.plant == Some(Plant::CommitLostAtNewLeader) =>
            {
                self.has_lost = true;
                return true;
            }
            _ => {}
        }
        false
    }
}

/// How long the reader of a snapshot waits for more of it.
fn stall_max(outside: &Outside) -> Span {
    Span::from_millis(outside.options.settings.tick_time_ms * outside.options.init_limit)
}

/// The bytes of a snapshot stream.
pub(super) fn snapshot_bytes(tree: &Tree) -> Vec<u8> {
    let mut bytes = Vec::new();
    ostler_disk::stream::write_stream(tree, &mut bytes).expect("memory takes everything");
    bytes
}

fn dial(outside: &mut Outside, own: Own, to: Sid, port: Port) -> WireId {
    let server = usize::try_from(to.0 - 1).expect("sids of the simulator begin with 1");
    let (from, to) = (Place::Server(own.index), Place::Server(server));
    let wire = outside.net.dial(&mut outside.queue, from, to, port);
    outside.note(own.index, format_args!("wire {} to {server} {port:?}", wire.0));
    wire
}

fn write_vote(outside: &mut Outside, (wire, end): (WireId, End), notification: &Notification) {
    let mut bytes = Vec::new();
    ostler_wire::frame::put(&mut bytes, |out| notification.write(out));
    outside.net.send(&mut outside.queue, wire, end, &bytes);
}

fn take_votes(sid: Sid, input: &mut Vec<u8>, mail: &mut Vec<Input>) {
    while let Some(message) =
        ostler_wire::frame::first(input, 512 << 10).expect("servers send good lengths")
    {
        let length = ostler_wire::frame::PREFIX_BYTES + message.len();
        let notification = Notification::decode(message).expect("servers send votes");
        mail.push(Input::Vote(sid, notification));
        input.drain(..length);
    }
}

const PACKET_BYTES_MAX: usize = 64 << 20;

/// Whoever was dialled and has the larger id gets this long to dial back before it is dialled
/// again.
const DIALS_BACK_WITHIN_MS: u64 = 100;
