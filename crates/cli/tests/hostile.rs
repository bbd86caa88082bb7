//! Enemies by the hundred against the real server, and three friends who must not notice.
//!
//! Enemies send what is no frame, half a frame, frames of impossible lengths, requests by the
//! thousand without reading one answer; they connect and reset, flood four-letter words, and leave
//! thousands of watches behind. Meanwhile each friend does work whose every answer is known. No
//! time is asserted: friends are only to come to their end. What the server holds is: its memory
//! stays within a bound while it is attacked, and its files are as many as before when it is over.

mod common;

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use common::{Server, TestDir, connect};
use ostler_cli::process::ProcessUse;
use ostler_cli::raw_client::{
    RawClient, Reply, SessionRequest, create, delete, exists, get_children, get_data, set_data,
};
use ostler_wire::acl::{AclEntry, Perms};
use ostler_wire::error::ErrorCode;
use ostler_wire::ids::Xid;
use ostler_wire::reply::EventType;
use ostler_wire::request::Request;
use rustix::process::Signal;

/// What the server's memory may grow by under attack. Each of the floods would take gigabytes of
/// a server that did not stop reading.
const GROWTH_MAX_BYTES: u64 = 256 << 20;

/// The data that floods ask for.
const BIG_BYTES: usize = 500_000;

/// Enemies of each kind, unless there is a reason for another number.
const ENEMIES: u64 = 150;

/// Who attacks how, each on a thread of its own.
const ATTACKS: &[fn(&str)] = &[
    send_garbage,
    send_half_frames,
    claim_lengths,
    flood_reads,
    flood_reads_behind_a_write,
    flood_writes,
    connect_and_reset,
    flood_words,
    leave_watches,
    collect_identities,
    write_long_lists,
];

#[test]
fn enemies_cost_friends_nothing() {
    let dir = TestDir::new("hostile");
    let server = Server::start(&dir, &["tickTime=500", "maxSessionTimeout=60000"]);
    let mut owner = connect(&server);
    owner.call(&create("/big", &[b'b'; BIG_BYTES], 0)).unwrap().ok().expect("it is new");
    owner.call(&create("/flood", b"", 0)).unwrap().ok().expect("it is new");
    let friends = Friends::start(&server);
    friends.work_a_while();
    let files_before = open_files(&server);
    let memory = Memory::watch(&server);

    let attacks = ATTACKS.iter().map(|attack| {
        let address = server.address.clone();
        thread::spawn(move || attack(&address))
    });
    for attack in attacks.collect::<Vec<_>>() {
        attack.join().expect("the server took it");
    }
    friends.work_a_while();

    memory.assert_bounded();
    common::poll_until("the enemies' connections are gone", || {
        (open_files(&server) <= files_before).then_some(())
    });
    friends.end();
    owner.call(&exists("/big", false)).unwrap().ok().expect("it is there");
    owner.close_session().expect("it can be closed");
    end(server);
}

/// The server ends when it is told to, with status 0 and without having complained of itself.
fn end(mut server: Server) {
    server.signal(Signal::TERM);
    let status = server.wait();
    assert_eq!(status.code(), Some(0), "{}", server.log_text());
    assert!(!server.log_text().contains("panicked"), "{}", server.log_text());
}

fn open_files(server: &Server) -> usize {
    let files = fs::read_dir(format!("/proc/{}/fd", server.pid()));
    files.expect("the server runs").count()
}

/// Three clients with work whose answers they know.
struct Friends {
    threads: Vec<JoinHandle<()>>,
    rounds: Arc<[AtomicU64; 3]>,
    done: Arc<AtomicBool>,
}

impl Friends {
    fn start(server: &Server) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let rounds: Arc<[AtomicU64; 3]> = Arc::default();
        let threads = (0..rounds.len()).map(|friend| {
            let mut client = connect(server);
            let (address, done) = (server.address.clone(), Arc::clone(&done));
            let rounds = Arc::clone(&rounds);
            thread::spawn(move || {
                let own = format!("/friend{friend}");
                client.call(&create(&own, b"", 0)).unwrap().ok().expect("it is new");
                while !done.load(Ordering::Relaxed) {
                    let round = rounds[friend].load(Ordering::Relaxed);
                    work(&mut client, &own, round).expect("the server serves its friends");
                    if round % 8 == 7 {
                        let resumed = RawClient::resume(&*address, &client.resumption());
                        client = resumed.expect("an answer").expect("the session lives");
                    }
                    rounds[friend].store(round + 1, Ordering::Relaxed);
                }
                client.close_session().expect("it can be closed");
            })
        });
        Self { threads: threads.collect(), rounds, done }
    }

    /// Waits until each has done some rounds more.
    fn work_a_while(&self) {
        for rounds in &*self.rounds {
            let before = rounds.load(Ordering::Relaxed);
            common::poll_until("a friend has worked", || {
                assert!(self.threads.iter().all(|thread| !thread.is_finished()));
                (rounds.load(Ordering::Relaxed) >= before + 5).then_some(())
            });
        }
    }

    fn end(self) {
        self.done.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("a friend was not disturbed");
        }
    }
}

/// One znode's life, watched; then reads by the dozen, answered in order.
fn work(client: &mut RawClient, own: &str, round: u64) -> io::Result<()> {
    let path = format!("{own}/{round}");
    let data = round.to_be_bytes();
    client.call(&create(&path, b"first", 1))?.ok()?;
    let reply = client.call(&get_data(&path, true))?.ok()?;
    assert_eq!(reply.data()?.0, Some(&b"first"[..]));
    let xid = client.send(&set_data(&path, &data))?;
    let event = client.receive_event()?;
    assert_eq!((event.event_type, &*event.path), (EventType::NodeDataChanged, &*path));
    assert_eq!(client.receive()?.ok()?.header.xid, xid);
    let mut answers = 0;
    let check = |reply: Reply| {
        assert_eq!(reply.data().expect("data").0, Some(&data[..]));
        answers += 1;
    };
    client.call_all((0..48).map(|_| get_data(&path, false)), 16, check)?;
    assert_eq!(answers, 48);
    assert_eq!(client.call(&get_children(own, false))?.ok()?.names()?, [round.to_string()]);
    client.call(&delete(&path))?.ok()?;
    let reply = client.call(&exists(&path, false))?;
    assert_eq!(reply.header.err, ErrorCode::NO_NODE);
    Ok(())
}

/// The most memory that the server was seen to use.
struct Memory {
    thread: JoinHandle<()>,
    before_bytes: u64,
    most_bytes: Arc<AtomicU64>,
    done: Arc<AtomicBool>,
}

impl Memory {
    fn watch(server: &Server) -> Self {
        let pid = server.pid();
        let read = move || ProcessUse::of(pid).map_or(0, |usage| usage.resident_bytes);
        let (most_bytes, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (most, is_done) = (Arc::clone(&most_bytes), Arc::clone(&done));
        let before_bytes = read();
        let thread = thread::spawn(move || {
            while !is_done.load(Ordering::Relaxed) {
                most.fetch_max(read(), Ordering::Relaxed);
                thread::park_timeout(Duration::from_millis(5));
            }
        });
        Self { thread, before_bytes, most_bytes, done }
    }

    fn assert_bounded(self) {
        self.done.store(true, Ordering::Relaxed);
        self.thread.join().expect("the server can be watched");
        let growth_bytes = self.most_bytes.load(Ordering::Relaxed) - self.before_bytes;
        assert!(growth_bytes < GROWTH_MAX_BYTES, "{} MiB more", growth_bytes >> 20);
    }
}

fn dial(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the server accepts");
    stream.set_write_timeout(Some(common::PATIENCE)).expect("a timeout can be set");
    stream.set_read_timeout(Some(common::PATIENCE)).expect("a timeout can be set");
    stream
}

fn session(address: &str) -> RawClient {
    RawClient::connect(address, 10_000).expect("the server opens sessions")
}

/// Sends as much as the server reads within a moment; it may cut the connection meanwhile.
/// Returns how many bytes that was.
fn pour(stream: &mut TcpStream, bytes: &[u8], bytes_max: usize) -> usize {
    let timeout = Some(Duration::from_millis(300));
    stream.set_write_timeout(timeout).expect("a timeout can be set");
    let mut sent = 0;
    while sent < bytes_max {
        match stream.write(bytes) {
            Ok(count) if count == bytes.len() => sent += count,
            // What is left of the last frame is never sent.
            Ok(count) => return sent + count,
            Err(_) => return sent,
        }
    }
    sent
}

/// Up to 3000 bytes, the same for the same seed.
fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let length = usize::from(u16::from_le_bytes([next()[3], next()[4]])) % 3000;
    (0..length).map(|_| next()[5]).collect()
}

/// Reads and writes of requests as one client would pipeline them.
fn frames(requests: &[Request<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for (xid, request) in (1..).zip(requests) {
        ostler_wire::frame::put(&mut out, |out| request.encode(Xid(xid), out));
    }
    out
}

fn send_garbage(address: &str) {
    for seed in 0..ENEMIES {
        let mut stream = if seed % 2 == 0 { dial(address) } else { session(address).into_stream() };
        let mut bytes = noise(seed);
        let length = bytes.len();
        if seed % 4 > 1 && length > 4 {
            // Frames of which nothing but the length makes sense.
            let body_bytes = u32::try_from(length - 4).expect("small");
            bytes[..4].copy_from_slice(&body_bytes.to_be_bytes());
        }
        // The server may have cut it before the last byte.
        let _ = stream.write_all(&bytes);
    }
}

/// All of them hold on to their connections, a byte at a time, and never come to an end.
fn send_half_frames(address: &str) {
    let frame = frames(&[create("/half", &[b'h'; 100], 0)]);
    let mut enemies: Vec<TcpStream> = (0..ENEMIES)
        .map(|enemy| if enemy % 2 == 0 { dial(address) } else { session(address).into_stream() })
        .collect();
    let hello = {
        let mut bytes = Vec::new();
        SessionRequest::new(10_000).encode(&mut bytes);
        bytes
    };
    for at in 0..20 {
        for (enemy, stream) in enemies.iter_mut().enumerate() {
            let bytes = if enemy % 2 == 0 { &hello } else { &frame };
            // Its time may be over.
            let _ = stream.write_all(&bytes[at..=at]);
        }
    }
}

/// Lengths that are refused, and the greatest that is not: nothing is reserved for either.
fn claim_lengths(address: &str) {
    let mut kept = Vec::new();
    for enemy in 0..ENEMIES {
        let mut stream = session(address).into_stream();
        let length: u32 = [0x7fff_ffff, 0x8000_0000, 0xf_ffff, 0x0010_0000][(enemy % 4) as usize];
        stream.write_all(&length.to_be_bytes()).expect("the server reads");
        let _ = stream.write_all(b"a few bytes of it");
        if length != 0xf_ffff {
            let ended = stream.read(&mut [0; 16]);
            assert!(matches!(ended, Ok(0) | Err(_)), "{length:#x} is cut off: {ended:?}");
        }
        kept.push(stream);
    }
}

/// Nobody reads the answers, so the server stops reading.
fn flood_reads(address: &str) {
    let requests = vec![get_data("/big", false); 1000];
    for _ in 0..3 {
        let mut stream = session(address).into_stream();
        let sent = pour(&mut stream, &frames(&requests), FLOOD_MAX_BYTES);
        assert!(sent < FLOOD_MAX_BYTES, "the server reads on without being read");
    }
}

/// The same while the first of them, a write, keeps the others waiting.
fn flood_reads_behind_a_write(address: &str) {
    let mut requests = vec![set_data("/flood", b"first of all")];
    requests.resize(4000, get_data("/big", false));
    for _ in 0..3 {
        let mut stream = session(address).into_stream();
        let sent = pour(&mut stream, &frames(&requests), FLOOD_MAX_BYTES);
        assert!(sent < FLOOD_MAX_BYTES, "the server reads on without being read");
    }
}

/// Answers to writes are short, so this ends only by the bytes that it may send.
fn flood_writes(address: &str) {
    let requests = vec![set_data("/flood", &[b'f'; 1000]); 200];
    let mut stream = session(address).into_stream();
    pour(&mut stream, &frames(&requests), 4 << 20);
    // Large ones, of which a shard lets only so many be in progress.
    let requests = vec![set_data("/flood", &[b'f'; 200_000]); 10];
    let mut stream = session(address).into_stream();
    pour(&mut stream, &frames(&requests), 16 << 20);
}

fn connect_and_reset(address: &str) {
    for enemy in 0..2 * ENEMIES {
        let mut stream = dial(address);
        if enemy % 3 == 0 {
            let mut hello = Vec::new();
            SessionRequest::new(10_000).encode(&mut hello);
            stream.write_all(&hello).expect("the server reads");
        }
        let linger = Some(Duration::ZERO);
        rustix::net::sockopt::set_socket_linger(&stream, linger).expect("an option of sockets");
    }
}

/// Half of them do not wait for the answer.
fn flood_words(address: &str) {
    for enemy in 0..2 * ENEMIES {
        let mut stream = dial(address);
        let word = [b"srvr", b"ruok", b"cons", b"\0\xff\n "][(enemy % 4) as usize];
        stream.write_all(word).expect("the server reads");
        if enemy % 8 < 3 {
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).expect("an answer and the end");
            assert!(!answer.is_empty());
        }
    }
}

fn leave_watches(address: &str) {
    for _ in 0..8 {
        let mut client = session(address);
        let paths: Vec<String> = (0..1000).map(|index| format!("/nowhere/{index}")).collect();
        let missing = |reply: Reply| assert_eq!(reply.header.err, ErrorCode::NO_NODE);
        let requests = paths.iter().map(|path| exists(path, true));
        client.call_all(requests, 200, missing).expect("the server answers");
        for mode in 0..2 {
            let watch = Request::AddWatch { path: "/friend0".into(), mode };
            client.send(&watch).expect("the server reads");
        }
    }
}

/// Each packet adds another id, until there are too many; and names of any length.
fn collect_identities(address: &str) {
    for name_bytes in [10, 100_000] {
        let name = "n".repeat(name_bytes);
        let mut client = session(address);
        for number in 0..2000 {
            let credentials = format!("{name}{number}:secret");
            let auth = Some(credentials.as_bytes());
            // At some time the server has heard enough.
            let _ = client.send(&Request::Auth { scheme: "digest".into(), auth });
        }
        let answers = client.receive_until_closed().expect("the server cuts it off");
        assert!(answers.len() < 500, "{} ids", answers.len());
    }
}

/// Lists of as many entries as fit into a frame, all of them different, with each `auth` for a
/// hundred ids.
fn write_long_lists(address: &str) {
    let mut client = session(address);
    for number in 0..100 {
        let credentials = format!("{number}:secret");
        let auth = Request::Auth { scheme: "digest".into(), auth: Some(credentials.as_bytes()) };
        client.send(&auth).expect("the server reads");
        client.receive().and_then(Reply::ok).expect("it is true");
    }
    client.call(&create("/listed", b"", 0)).and_then(Reply::ok).expect("it is new");
    for (scheme, id) in [("auth", ""), ("ip", "10.0.0.1"), ("world", "anyone")] {
        let entry = |perms| AclEntry {
            perms: Perms(perms),
            scheme: Some(scheme.into()),
            id: Some(id.into()),
        };
        let acl = Some((0..35_000).map(entry).collect());
        let set_acl = Request::SetAcl { path: "/listed".into(), acl, version: -1 };
        // Whether it is taken does not matter here.
        client.call(&set_acl).expect("an answer");
    }
}

/// Requests that a flood sends at most: more than sockets hold by themselves.
const FLOOD_MAX_BYTES: usize = 64 << 20;
