//! Links between two ends in one process, on real sockets.

use std::net::TcpListener;
use std::sync::mpsc::Receiver;

use ostler_disk::stream;

use super::*;
use crate::mail::Bell;
use crate::peers::listening::Door;

/// A server that others connect to, and what its replica would hear.
struct End {
    links: Links,
    mail: Receiver<ReplicaMail>,
    address: HostPort,
    _door: Door,
}

impl End {
    fn new(addresses: HashMap<Sid, Vec<HostPort>>, lag_bytes_max: usize) -> Self {
        let (replica, mail) = ReplicaBox::new(Bell::mute());
        let settings = LinkSettings {
            addresses,
            dial_timeout: Duration::from_secs(5),
            stall_max: Duration::from_secs(60),
            lag_bytes_max,
            packet_bytes_max: 1 << 20,
            hash_key: 7,
            leader_no_delay: true,
            follower_no_delay: true,
        };
        let links = Links::new(settings, replica);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let accepting = links.clone();
        let door = Door::open(vec![listener], "link", 8, move |stream, remote| {
            accepting.accepted(stream, remote);
        });
        let address = HostPort::new("127.0.0.1", port);
        Self { links, mail, address, _door: door.expect("a thread") }
    }

    fn next(&self) -> ReplicaMail {
        self.mail.recv_timeout(PATIENCE).expect("something happens")
    }

    fn input(&self) -> Input {
        match self.next() {
            ReplicaMail::Input(input) => input,
            other => panic!("{other:?} is no input"),
        }
    }

    /// Packets up to a number of them.
    fn packets(&self, count: usize) -> Vec<QuorumPacket> {
        let mut found = Vec::new();
        while found.len() < count {
            match self.next() {
                ReplicaMail::Packets(_, packets, _freight) => found.extend(packets),
                other => panic!("{other:?} is no packet"),
            }
        }
        found
    }
}

/// A learner's end and a leader's end, with a link between them.
fn pair(lag_bytes_max: usize) -> ((End, LinkId), (End, LinkId)) {
    let leader = End::new(HashMap::new(), lag_bytes_max);
    let addresses = HashMap::from([(Sid(3), vec![leader.address.clone()])]);
    let learner = End::new(addresses, LAG_BYTES_MAX);
    learner.links.dial(Sid(3));
    let Input::Dialled(Sid(3), Some(own)) = learner.input() else { panic!("it is there") };
    let Input::Accepted(other) = leader.input() else { panic!("it was dialled") };
    ((learner, own), (leader, other))
}

fn proposal(zxid: i64, bytes: usize) -> QuorumPacket {
    QuorumPacket::with_data(PacketKind::Proposal, Zxid(zxid), vec![b'p'; bytes])
}

#[test]
fn packets_and_snapshots_arrive_in_order_and_then_the_end() {
    let ((learner, own), (leader, link)) = pair(LAG_BYTES_MAX);
    let tree = Tree::fresh(9);
    let mut bytes = Vec::new();
    stream::write_stream(&tree, &mut bytes).expect("a vector takes everything");
    let snap = QuorumPacket::bare(PacketKind::Snap, Zxid(5));
    let many = (6..900).map(|zxid| (link, Outgoing::Packet(proposal(zxid, 1000))));
    let mut all =
        vec![(link, Outgoing::Packet(snap.clone())), (link, Outgoing::Snapshot(tree.clone()))];
    all.extend(many);
    leader.links.send(all);
    assert_eq!(learner.packets(1), [snap]);
    let Input::Snapshot(from, received) = learner.input() else { panic!("it follows its packet") };
    assert_eq!((from, received.digest(), received.last_zxid()), (own, tree.digest(), Zxid(5)));
    let expected: Vec<_> = (6..900).map(|zxid| proposal(zxid, 1000)).collect();
    assert_eq!(learner.packets(894), expected);
    assert!(matches!(leader.input(), Input::SnapshotSent(sent) if sent == link));

    let ack = QuorumPacket::bare(PacketKind::Ack, Zxid(899));
    learner.links.send(vec![
        (own, Outgoing::Packet(ack.clone())),
        (own, Outgoing::Close("it is enough")),
        (own, Outgoing::Packet(ack.clone())),
    ]);
    assert_eq!(leader.packets(1), [ack], "what was sent before the end, and nothing behind it");
    assert!(matches!(leader.input(), Input::LinkDown(down) if down == link));
    assert!(matches!(learner.input(), Input::LinkDown(down) if down == own));
    leader.links.send(vec![(link, Outgoing::Packet(proposal(1, 1)))]);
}

#[test]
fn who_does_not_read_is_given_up() {
    let ((learner, own), (leader, link)) = pair(4 << 20);
    // The learner's replica takes nothing, so its reader stops at its own bound.
    let mut sent: usize = 0;
    let down = loop {
        leader.links.send(vec![(link, Outgoing::Packet(proposal(1, 1 << 19)))]);
        sent += 1 << 19;
        match leader.mail.recv_timeout(Duration::from_millis(1)) {
            Ok(ReplicaMail::Input(Input::LinkDown(down))) => break down,
            Ok(other) => panic!("{other:?}"),
            Err(_) => assert!(sent < 1 << 30, "so much cannot be on its way"),
        }
    };
    assert_eq!(down, link);
    drop(learner.packets(1));
    let last = std::iter::from_fn(|| learner.mail.recv_timeout(PATIENCE).ok())
        .find(|mail| !matches!(mail, ReplicaMail::Packets(..)));
    assert!(matches!(last, Some(ReplicaMail::Input(Input::LinkDown(down))) if down == own));
}

#[test]
fn nobody_is_where_nobody_listens() {
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let port = closed.expect("a port").port();
    let addresses = HashMap::from([(Sid(3), vec![HostPort::new("127.0.0.1", port)])]);
    let learner = End::new(addresses, LAG_BYTES_MAX);
    learner.links.dial(Sid(3));
    assert!(matches!(learner.input(), Input::Dialled(Sid(3), None)));
    learner.links.dial(Sid(4));
    assert!(matches!(learner.input(), Input::Dialled(Sid(4), None)), "it has no address");
}

#[test]
fn nonsense_ends_a_link() {
    let (leader, _) = pair(LAG_BYTES_MAX).1;
    let address = (leader.address.host.as_str(), leader.address.port);
    let mut stream = TcpStream::connect(address).expect("it listens");
    // A packet of kind 2 with data of two gigabytes.
    stream.write_all(&[0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 0, 0, 0]).expect("it reads");
    let link = loop {
        match leader.input() {
            Input::Accepted(link) => break link,
            // The pair's other end is gone.
            Input::LinkDown(_) => {}
            other => panic!("{other:?}"),
        }
    };
    loop {
        match leader.input() {
            Input::LinkDown(down) if down == link => break,
            Input::LinkDown(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// How long anything may take that a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);
