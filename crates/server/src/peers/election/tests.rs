//! Election connections between servers in one process, on real sockets.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::Receiver;

use ostler_wire::ids::Zxid;
use ostler_wire::vote::ServerState;

use super::*;
use crate::mail::Bell;
use crate::peers::listening::Door;

/// A server and what its replica would hear.
struct Server {
    peers: ElectionPeers,
    mail: Receiver<ReplicaMail>,
    door: Door,
}

impl Server {
    fn new(sid: i64, listener: TcpListener, addresses: &HashMap<Sid, Vec<HostPort>>) -> Self {
        let (replica, mail) = ReplicaBox::new(Bell::mute());
        let own = Sid(sid);
        let settings = ElectionSettings {
            own,
            hello: Hello { sid: own, addresses: vec![addresses[&own][0].to_string()] },
            addresses: addresses.clone(),
            dial_timeout: Duration::from_secs(5),
            hello_timeout: Duration::from_secs(60),
            keep_alive: false,
        };
        let peers = ElectionPeers::new(settings, replica);
        let accepting = peers.clone();
        let door = Door::open(vec![listener], "election", 8, move |stream, remote| {
            accepting.accepted(stream, remote);
        });
        Self { peers, mail, door: door.expect("a thread") }
    }

    /// The next thing of a kind; others are passed over.
    fn wait<T>(&self, wanted: impl Fn(&ReplicaMail) -> Option<T>) -> T {
        let next = || self.mail.recv_timeout(PATIENCE).expect("something happens");
        loop {
            if let Some(found) = wanted(&next()) {
                return found;
            }
        }
    }

    fn wait_vote(&self, from: i64) -> Notification {
        self.wait(|mail| match mail {
            ReplicaMail::Vote(sid, vote, _) if *sid == Sid(from) => Some(vote.clone()),
            _ => None,
        })
    }

    fn wait_connected(&self, to: i64) {
        self.wait(|mail| match mail {
            ReplicaMail::Input(Input::ElectionConnected(sid)) => (*sid == Sid(to)).then_some(()),
            _ => None,
        });
    }

    fn wait_unreachable(&self, who: i64) {
        self.wait(|mail| match mail {
            ReplicaMail::Input(Input::ElectionUnreachable(sid)) => (*sid == Sid(who)).then_some(()),
            _ => None,
        });
    }

    fn end(self) {
        self.door.close();
        self.peers.stop();
    }
}

fn vote(round: i64) -> Notification {
    Notification {
        state: ServerState::Looking,
        leader: Sid(1),
        zxid: Zxid(5),
        round,
        peer_epoch: 0,
        version: 2,
        config: "version=0".to_owned(),
    }
}

/// Ports for servers 1 and up.
fn ports(count: i64) -> (Vec<TcpListener>, HashMap<Sid, Vec<HostPort>>) {
    let listeners: Vec<_> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
    let addresses = (1..).zip(&listeners).map(|(sid, listener)| {
        let port = listener.local_addr().expect("it is bound").port();
        (Sid(sid), vec![HostPort::new("127.0.0.1", port)])
    });
    let addresses = addresses.collect();
    (listeners, addresses)
}

#[test]
fn votes_go_both_ways_whoever_dials() {
    for dials in [1, 2] {
        let (mut listeners, addresses) = ports(2);
        let second = Server::new(2, listeners.pop().expect("two"), &addresses);
        let first = Server::new(1, listeners.pop().expect("two"), &addresses);
        let (asks, answers) = if dials == 1 { (&first, &second) } else { (&second, &first) };
        asks.peers.send(Sid(3 - dials), &vote(1));
        assert_eq!(answers.wait_vote(dials), vote(1));
        answers.peers.send(Sid(dials), &vote(2));
        assert_eq!(asks.wait_vote(3 - dials), vote(2));
    }
}

#[test]
fn the_last_word_is_said_again_to_who_comes_back() {
    let (mut listeners, addresses) = ports(2);
    let second = Server::new(2, listeners.pop().expect("two"), &addresses);
    let first = Server::new(1, listeners.pop().expect("two"), &addresses);
    first.peers.send(Sid(2), &vote(1));
    first.peers.send(Sid(2), &vote(2));
    while second.wait_vote(1) != vote(2) {}
    second.end();
    first.wait_unreachable(2);

    let port = addresses[&Sid(2)][0].port;
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("it is free again");
    let second = Server::new(2, listener, &addresses);
    second.peers.connect(Sid(1));
    assert_eq!(second.wait_vote(1), vote(2));
}

#[test]
fn who_says_nothing_keeps_nobody_waiting() {
    let (mut listeners, addresses) = ports(2);
    let second = Server::new(2, listeners.pop().expect("two"), &addresses);
    let first = Server::new(1, listeners.pop().expect("two"), &addresses);
    let port = addresses[&Sid(1)][0].port;
    let _silent: Vec<_> =
        (0..5).map(|_| TcpStream::connect(("127.0.0.1", port)).expect("it listens")).collect();
    second.peers.connect(Sid(1));
    second.wait_connected(1);
    first.wait_connected(2);
    second.peers.send(Sid(1), &vote(7));
    assert_eq!(first.wait_vote(2), vote(7));
}

#[test]
fn strangers_are_heard_and_liars_are_not() {
    let (mut listeners, addresses) = ports(1);
    let only = Server::new(1, listeners.pop().expect("one"), &addresses);
    let port = addresses[&Sid(1)][0].port;
    let dial = |sid: i64| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        let hello = Hello { sid: Sid(sid), addresses: vec!["127.0.0.1:1".to_owned()] };
        stream.write_all(&hello.encode()).expect("it reads");
        stream
    };
    let is_closed = |mut stream: TcpStream| stream.read(&mut [0]).is_ok_and(|count| count == 0);
    assert!(is_closed(dial(1)), "it is server 1 itself");
    assert!(is_closed(dial(-5)), "no server has this id");
    let mut stranger = dial(9);
    only.wait_connected(9);
    let mut frame = vec![0; 4];
    vote(3).write(&mut frame);
    let length = u32::try_from(frame.len() - 4).expect("it is short");
    frame[..4].copy_from_slice(&length.to_be_bytes());
    stranger.write_all(&frame).expect("it reads");
    assert_eq!(only.wait_vote(9), vote(3));
    only.peers.send(Sid(9), &vote(4));
    let mut answer = vec![0; frame.len()];
    stranger.read_exact(&mut answer).expect("it answers");
    assert_eq!(Notification::decode(&answer[4..]), Ok(vote(4)));
    // A message that is too long ends the connection.
    stranger.write_all(&[0x7f; 4]).expect("it reads");
    assert!(is_closed(stranger));
    only.wait_unreachable(9);
}

#[test]
fn strangers_that_cannot_be_dialled_back_are_forgotten() {
    let (listeners, mut addresses) = ports(1);
    let own = addresses.remove(&Sid(1)).expect("one");
    let port = own[0].port;
    let addresses = HashMap::from([(Sid(900), own)]);
    let only = Server::new(900, listeners.into_iter().next().expect("one"), &addresses);
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let closed = closed.expect("a port");
    for sid in 1..200 {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        let hello = Hello { sid: Sid(sid), addresses: vec![closed.to_string()] };
        stream.write_all(&hello.encode()).expect("it reads");
        only.wait_unreachable(sid);
    }
    assert!(only.peers.state().peers.is_empty());
}

/// How long anything may take that a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);
