//! Links between two ends in one process, on real sockets, driven by the test's own thread.

use std::collections::VecDeque;
use std::io::Write as _;
use std::net::TcpListener;
use std::sync::mpsc::Receiver;
use std::time::Instant;

use mio::{Events, Poll};
use ostler_node::clock::Clock;
use ostler_wire::ids::Zxid;
use ostler_wire::quorum::PacketKind;

use super::*;
use crate::mail::{Bell, Clocks};
use crate::peers::listening::Door;

/// A server that others connect to, and what its replica has heard.
struct End {
    links: Links,
    table: LinkTable,
    poll: Poll,
    mail: Receiver<ReplicaMail>,
    clocks: Clocks,
    /// What was heard and not yet looked at.
    heard: VecDeque<Input>,
    address: HostPort,
    _door: Door,
}

impl End {
    fn new(addresses: HashMap<Sid, Vec<HostPort>>, change: impl FnOnce(&mut LinkSettings)) -> Self {
        let (replica, mail) = ReplicaBox::new(Bell::mute());
        let mut settings = LinkSettings {
            addresses,
            dial_timeout: Duration::from_secs(5),
            stall_max: Duration::from_secs(60),
            lag_bytes_max: LAG_BYTES_MAX,
            packet_bytes_max: 1 << 20,
            hash_key: 7,
            leader_no_delay: true,
            follower_no_delay: true,
        };
        change(&mut settings);
        let links = Links::new(settings, replica);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let accepting = links.clone();
        let door = Door::open(vec![listener], "link", 8, move |stream, remote| {
            accepting.accepted(stream, remote);
        });
        let poll = Poll::new().expect("a poll");
        let registry = poll.registry().try_clone().expect("another handle of it");
        Self {
            table: LinkTable::new(links.clone(), registry),
            links,
            poll,
            mail,
            clocks: Clocks::new(),
            heard: VecDeque::new(),
            address: HostPort::new("127.0.0.1", port),
            _door: door.expect("a thread"),
        }
    }

    fn now(&self) -> Clock {
        self.clocks.read()
    }

    /// What the replica's thread does between two sleeps.
    fn turn(&mut self) {
        let mut events = Events::with_capacity(8);
        self.poll.poll(&mut events, Some(Duration::ZERO)).expect("it polls");
        for event in &events {
            assert!(is_link(event.token()), "nothing else is waited for");
            self.table.note(event);
        }
        let now = self.now().now;
        let heard = &mut self.heard;
        self.table.turn(now, &mut |input| heard.push_back(input));
        while let Ok(mail) = self.mail.try_recv() {
            match mail {
                ReplicaMail::Link(mail) => {
                    self.table.take(now, mail, &mut |input| heard.push_back(input));
                }
                ReplicaMail::Input(input) => heard.push_back(input),
                other => panic!("{other:?} is not about links"),
            }
        }
    }

    fn send(&mut self, outgoing: Vec<(LinkId, Outgoing)>) {
        self.table.send(self.now().now, outgoing);
    }

    /// The next of what the replica hears; the other end gets its turns too.
    fn input(&mut self, other: &mut Self) -> Input {
        let start = Instant::now();
        loop {
            if let Some(input) = self.heard.pop_front() {
                return input;
            }
            assert!(start.elapsed() < PATIENCE, "something happens");
            self.turn();
            other.turn();
            thread::yield_now();
        }
    }

    fn packet(&mut self, other: &mut Self) -> QuorumPacket {
        match self.input(other) {
            Input::Packet(_, packet) => packet,
            other => panic!("{other:?} is no packet"),
        }
    }

    fn packets(&mut self, count: usize, other: &mut Self) -> Vec<QuorumPacket> {
        (0..count).map(|_| self.packet(other)).collect()
    }
}

/// A leader's end and a learner's end, with a link between them.
fn pair(change: impl FnOnce(&mut LinkSettings)) -> ((End, LinkId), (End, LinkId)) {
    let mut leader = End::new(HashMap::new(), change);
    let addresses = HashMap::from([(Sid(3), vec![leader.address.clone()])]);
    let mut learner = End::new(addresses, |_| {});
    learner.links.dial(Sid(3));
    let Input::Dialled(Sid(3), Some(own)) = learner.input(&mut leader) else {
        panic!("it is there")
    };
    let Input::Accepted(link) = leader.input(&mut learner) else { panic!("it was dialled") };
    ((leader, link), (learner, own))
}

fn proposal(zxid: i64, bytes: usize) -> QuorumPacket {
    QuorumPacket::with_data(PacketKind::Proposal, Zxid(zxid), vec![b'p'; bytes])
}

fn proposals(link: LinkId, zxids: std::ops::Range<i64>, bytes: usize) -> Vec<(LinkId, Outgoing)> {
    zxids.map(|zxid| (link, Outgoing::Packet(proposal(zxid, bytes)))).collect()
}

#[test]
fn packets_and_snapshots_arrive_in_order_and_then_the_end() {
    let ((mut leader, link), (mut learner, own)) = pair(|_| {});
    let tree = Tree::fresh(9);
    let snap = QuorumPacket::bare(PacketKind::Snap, Zxid(5));
    let ack = QuorumPacket::bare(PacketKind::Ack, Zxid(899));
    leader.send(vec![
        (link, Outgoing::Packet(snap.clone())),
        (link, Outgoing::Snapshot(Box::new(tree.clone()))),
    ]);
    // The other direction goes on meanwhile, and so does who queues.
    learner.send(vec![(own, Outgoing::Packet(ack.clone()))]);
    leader.send(proposals(link, 6..900, 1000));
    assert_eq!(learner.packet(&mut leader), snap);
    let Input::Snapshot(from, received) = learner.input(&mut leader) else {
        panic!("it follows its packet")
    };
    assert_eq!((from, received.digest(), received.last_zxid()), (own, tree.digest(), Zxid(5)));
    let expected: Vec<_> = (6..900).map(|zxid| proposal(zxid, 1000)).collect();
    assert_eq!(learner.packets(894, &mut leader), expected);
    let mut heard = [leader.input(&mut learner), leader.input(&mut learner)];
    heard.sort_by_key(|input| matches!(input, Input::Packet(..)));
    assert!(matches!(heard[0], Input::SnapshotSent(sent) if sent == link));
    assert!(matches!(&heard[1], Input::Packet(_, packet) if *packet == ack));

    learner.send(vec![
        (own, Outgoing::Packet(ack.clone())),
        (own, Outgoing::Close("it is enough")),
        (own, Outgoing::Packet(ack.clone())),
    ]);
    assert_eq!(leader.packet(&mut learner), ack, "what was sent before the end");
    let down = leader.input(&mut learner);
    assert!(matches!(down, Input::LinkDown(down) if down == link), "and nothing behind it");
    let down = learner.input(&mut leader);
    assert!(matches!(down, Input::LinkDown(down) if down == own));
    leader.send(proposals(link, 1..2, 1));
    assert!(leader.links.all_closed() && learner.links.all_closed());
}

#[test]
fn packets_larger_than_any_buffer_arrive_whole() {
    let ((mut leader, link), (mut learner, _)) = pair(|_| {});
    leader.send(proposals(link, 1..40, 1 << 20));
    for zxid in 1..40 {
        assert!(learner.packet(&mut leader) == proposal(zxid, 1 << 20), "{zxid}");
    }
}

#[test]
fn who_does_not_read_is_given_up() {
    let ((mut leader, link), (learner, own)) = pair(|with| with.lag_bytes_max = 4 << 20);
    let mut sent: usize = 0;
    // The learner has no turn, as if its process was stopped.
    while leader.heard.is_empty() {
        leader.send(proposals(link, 1..2, 1 << 19));
        leader.turn();
        sent += 1 << 19;
        assert!(sent < 1 << 30, "so much cannot be on its way");
    }
    both_see_the_end((leader, link), (learner, own));
}

/// The leader has been told that the link is down; the learner reads what came before that.
fn both_see_the_end((mut leader, link): (End, LinkId), (mut learner, own): (End, LinkId)) {
    assert!(matches!(leader.heard.pop_front(), Some(Input::LinkDown(down)) if down == link));
    let last = loop {
        match learner.input(&mut leader) {
            Input::Packet(..) => {}
            other => break other,
        }
    };
    assert!(matches!(last, Input::LinkDown(down) if down == own));
}

#[test]
fn who_takes_nothing_for_too_long_is_given_up() {
    let ((mut leader, link), (learner, own)) =
        pair(|with| with.stall_max = Duration::from_millis(50));
    leader.send(proposals(link, 1..200, 1 << 19));
    assert!(leader.table.next_deadline().is_some(), "the socket does not take so much");
    while leader.heard.is_empty() {
        leader.turn();
        thread::yield_now();
    }
    both_see_the_end((leader, link), (learner, own));
}

#[test]
fn last_words_leave_before_the_server_ends() {
    let ((mut leader, link), (mut learner, own)) = pair(|_| {});
    leader.send(proposals(link, 1..30, 1 << 18));
    leader.links.stop();
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = nobody.local_addr().expect("it is bound");
    leader.links.accepted(TcpStream::connect(address).expect("it listens"), address);
    for zxid in 1..30 {
        assert!(learner.packet(&mut leader) == proposal(zxid, 1 << 18), "{zxid}");
    }
    assert!(matches!(learner.input(&mut leader), Input::LinkDown(down) if down == own));
    assert!(matches!(leader.input(&mut learner), Input::LinkDown(down) if down == link));
    assert!(leader.links.all_closed(), "who came late was turned away");
}

#[test]
fn a_snapshot_ends_with_its_link() {
    let ((mut leader, link), (mut learner, own)) = pair(|_| {});
    let snap = QuorumPacket::bare(PacketKind::Snap, Zxid(5));
    leader.send(vec![(link, Outgoing::Packet(snap.clone()))]);
    assert_eq!(learner.packet(&mut leader), snap);
    // A thread waits for the stream now; what is no stream does not keep it.
    learner.send(vec![(own, Outgoing::Close("it takes too long"))]);
    assert!(matches!(learner.input(&mut leader), Input::LinkDown(down) if down == own));
    assert!(matches!(leader.input(&mut learner), Input::LinkDown(down) if down == link));
}

#[test]
fn an_end_that_comes_with_the_last_bytes_is_found() {
    let ((mut leader, _), (mut learner, _)) = pair(|_| {});
    let address = (leader.address.host.as_str(), leader.address.port);
    let mut stream = TcpStream::connect(address).expect("it listens");
    let mut bytes = Vec::new();
    proposal(1, 10).write(&mut bytes);
    // Half a packet, and the end: the same event may tell of both.
    bytes.extend_from_slice(&bytes.clone()[..7]);
    stream.write_all(&bytes).expect("it reads");
    drop(stream);
    let Input::Accepted(link) = leader.input(&mut learner) else { panic!("it was dialled") };
    assert_eq!(leader.packet(&mut learner), proposal(1, 10));
    assert!(matches!(leader.input(&mut learner), Input::LinkDown(down) if down == link));
}

#[test]
fn nobody_is_where_nobody_listens() {
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let port = closed.expect("a port").port();
    let addresses = HashMap::from([(Sid(3), vec![HostPort::new("127.0.0.1", port)])]);
    let mut learner = End::new(addresses, |_| {});
    let mut other = End::new(HashMap::new(), |_| {});
    learner.links.dial(Sid(3));
    assert!(matches!(learner.input(&mut other), Input::Dialled(Sid(3), None)));
    learner.links.dial(Sid(4));
    let dialled = learner.input(&mut other);
    assert!(matches!(dialled, Input::Dialled(Sid(4), None)), "it has no address");
}

#[test]
fn nonsense_ends_a_link() {
    let ((mut leader, _), (mut learner, _)) = pair(|_| {});
    let address = (leader.address.host.as_str(), leader.address.port);
    let mut stream = TcpStream::connect(address).expect("it listens");
    let mut bytes = Vec::new();
    proposal(1, 10).write(&mut bytes);
    // A packet of kind 2 with data of two gigabytes.
    bytes.extend_from_slice(&[0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 0, 0, 0]);
    stream.write_all(&bytes).expect("it reads");
    let Input::Accepted(link) = leader.input(&mut learner) else { panic!("it was dialled") };
    assert_eq!(leader.packet(&mut learner), proposal(1, 10), "what came before it counts");
    assert!(matches!(leader.input(&mut learner), Input::LinkDown(down) if down == link));
}

/// How long anything may take that a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);
