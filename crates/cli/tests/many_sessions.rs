//! Ten thousand sessions at once, all of them watching.

#![allow(clippy::print_stdout)]

mod common;

use std::io;
use std::time::{Duration, Instant};

use common::{PATIENCE, Server, TestDir};
use ostler_cli::process::{ProcessUse, raise_open_files_limit};
use ostler_cli::raw_client::{
    RawClient, Reply, SessionRequest, create, exists, get_data, set_data,
};
use ostler_wire::error::ErrorCode;
use ostler_wire::ids::Xid;
use ostler_wire::reply::EventType;
use ostler_wire::request::Request;

const SESSIONS: usize = 10_000;
/// Connections that are being opened at a time; fewer than any listen backlog.
const AT_A_TIME: usize = 40;
const TIMEOUT_MS: i32 = 40_000;

/// Besides the sessions: the listener, the log, epoll and what the test harness holds.
const OTHER_FILES: u64 = 100;

#[test]
fn ten_thousand_sessions_are_each_notified_once() {
    // The server is another process and inherits the limit.
    let open_files = raise_open_files_limit().expect("the limit can be raised to its own maximum");
    assert!(
        open_files >= SESSIONS as u64 + OTHER_FILES,
        "the hard limit of open files is {open_files}: raise it to run this test"
    );
    let dir = TestDir::new("many-sessions");
    let server = Server::start(&dir, &["tickTime=2000", "maxSessionTimeout=40000"]);
    let idle = ProcessUse::of(server.pid()).expect("the server runs");

    let start = Instant::now();
    let mut clients = open_sessions(&server);
    let opened = start.elapsed();
    let with_sessions = ProcessUse::of(server.pid()).expect("the server runs");

    let mut writer = common::connect(&server);
    let own: Vec<String> = (0..SESSIONS).map(|index| format!("/own/n{index}")).collect();
    create_nodes(&mut writer, &own);
    let start = Instant::now();
    watch(&mut clients, &own);
    let watched = start.elapsed();
    let with_watches = ProcessUse::of(server.pid()).expect("the server runs");

    let start = Instant::now();
    writer.call(&set_data("/shared", b"1")).unwrap().ok().expect("it is there");
    for client in &mut clients {
        expect_change(client, "/shared");
    }
    let notified = start.elapsed();
    // Watches fire once: nobody hears of this.
    writer.call(&set_data("/shared", b"2")).unwrap().ok().expect("it is there");

    let start = Instant::now();
    let requests = own.iter().map(|path| set_data(path, b"1"));
    let mut refused = 0;
    let count = |reply: Reply| {
        refused += u64::from(reply.header.err != ErrorCode::OK);
    };
    writer.call_all(requests, 500, count).expect("the server writes");
    assert_eq!(refused, 0);
    for (client, path) in clients.iter_mut().zip(&own) {
        expect_change(client, path);
    }
    let own_notified = start.elapsed();
    for client in &mut clients {
        let reply = client.call(&Request::Ping).expect("nothing but the answer to a ping");
        assert_eq!(reply.header.xid, Xid::PING);
    }

    let kib = |after: ProcessUse, before: ProcessUse| {
        after.resident_bytes.saturating_sub(before.resident_bytes) / 1024
    };
    println!(
        "{SESSIONS} sessions opened in {opened:?} (+{} KiB), 2 watches on each in {watched:?} \
         (+{} KiB), one change told to all in {notified:?}, a change for each in {own_notified:?}; \
         {} KiB resident in the end",
        kib(with_sessions, idle),
        kib(with_watches, with_sessions),
        with_watches.resident_bytes / 1024
    );
    close_sessions(clients);
}

fn open_sessions(server: &Server) -> Vec<RawClient> {
    let mut clients = Vec::with_capacity(SESSIONS);
    while clients.len() < SESSIONS {
        let count = AT_A_TIME.min(SESSIONS - clients.len());
        let mut batch: Vec<_> = (0..count)
            .map(|_| RawClient::dial(&*server.address).expect("the server accepts"))
            .collect();
        for client in &mut batch {
            client.set_io_timeout(PATIENCE).expect("a timeout can be set");
            client.send_connect(&SessionRequest::new(TIMEOUT_MS)).expect("the server reads");
        }
        for client in &mut batch {
            let response = client.receive_connect().expect("the server answers");
            assert_eq!(response.timeout_ms, TIMEOUT_MS);
        }
        clients.append(&mut batch);
    }
    clients
}

fn create_nodes(writer: &mut RawClient, own: &[String]) {
    let shared = ["/shared", "/own"].into_iter();
    let requests = shared.chain(own.iter().map(String::as_str)).map(|path| create(path, b"0", 0));
    let check = |reply: Reply| {
        assert_eq!(reply.header.err, ErrorCode::OK);
    };
    writer.call_all(requests, 500, check).expect("the server writes");
}

fn watch(clients: &mut [RawClient], own: &[String]) {
    for (client, path) in clients.iter_mut().zip(own) {
        client.send(&get_data("/shared", true)).expect("the server reads");
        client.send(&get_data(path, true)).expect("the server reads");
    }
    for client in clients {
        for _ in 0..2 {
            let reply = client.receive().and_then(|reply| reply.ok()).expect("it is there");
            assert_eq!(reply.data().expect("data and stat").0, Some(&b"0"[..]));
        }
    }
}

fn expect_change(client: &mut RawClient, path: &str) {
    let event = client.receive_event().expect("a notification");
    assert_eq!((event.event_type, &*event.path), (EventType::NodeDataChanged, path));
}

fn close_sessions(mut clients: Vec<RawClient>) {
    for client in &mut clients {
        client.send(&Request::CloseSession).expect("the server reads");
    }
    let start = Instant::now();
    for mut client in clients {
        client.receive().and_then(|reply| reply.ok()).expect("the end is confirmed");
        let rest = client.receive_until_closed().expect("the server closes");
        assert_eq!(rest, Vec::<Vec<u8>>::new());
        assert!(start.elapsed() < PATIENCE + Duration::from_secs(60), "closing takes too long");
    }
}

#[test]
fn silent_sessions_expire_and_lively_ones_do_not() -> io::Result<()> {
    let dir = TestDir::new("silent-sessions");
    let server =
        Server::start(&dir, &["tickTime=50", "minSessionTimeout=200", "maxSessionTimeout=60000"]);
    let mut silent = RawClient::connect(&*server.address, 200)?;
    silent.call(&create("/silent", b"", 1))?.ok()?;
    let mut lively = RawClient::connect(&*server.address, 200)?;
    lively.call(&create("/lively", b"", 1))?.ok()?;
    let start = Instant::now();
    common::poll_until("the silent session is gone", || {
        let reply = lively.call(&exists("/silent", false)).expect("a session in use lives on");
        (reply.header.err == ErrorCode::NO_NODE).then_some(())
    });
    assert!(start.elapsed() >= Duration::from_millis(150), "{:?} is too early", start.elapsed());
    // Expiry comes without a message, and the session cannot be had back.
    assert_eq!(silent.receive_until_closed()?, Vec::<Vec<u8>>::new());
    assert!(RawClient::resume(&*server.address, &silent.resumption())?.is_none());
    lively.call(&exists("/lively", false))?.ok()?;
    Ok(())
}
