//! Limits that an operator sets, with real sockets: who is one too many hears nothing, and nobody
//! else notices.

mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use common::{PATIENCE, Server, TestDir, connect, free_port, poll_until, write_config};
use ostler_cli::raw_client::{RawClient, SessionRequest, create, exists, get_children};

/// Connects and tells whether the server let it be, with the bytes that came if it did not.
fn dial(server: &Server) -> Result<TcpStream, Vec<u8>> {
    let mut stream = TcpStream::connect(&*server.address).expect("the system takes connections");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    // A word that is answered shows that the connection was let in; the answer stays unread.
    let mut received = Vec::new();
    let alive = stream.write_all(b"isro").is_ok()
        && stream.read_to_end(&mut received).is_ok()
        && !received.is_empty();
    if alive { Ok(stream) } else { Err(received) }
}

#[test]
fn a_connection_too_many_is_ended_without_a_byte() {
    for setting in ["maxClientCnxns=3", "maxCnxns=3"] {
        let dir = TestDir::new("too-many");
        let server = Server::start(&dir, &[setting, "tickTime=2000"]);
        let mut clients: Vec<RawClient> = Vec::new();
        while clients.len() < 3 {
            // The connection that saw the server start may still be counted.
            clients.push(poll_until("there is room", || {
                let mut client = RawClient::connect(&*server.address, 30_000).ok()?;
                client.set_io_timeout(PATIENCE).ok()?;
                client.call(&exists("/", false)).ok().map(|_| client)
            }));
        }
        for _ in 0..5 {
            assert_eq!(dial(&server).err(), Some(Vec::new()), "{setting}");
        }
        for client in &mut clients {
            client.call(&exists("/", false)).and_then(|reply| reply.ok()).expect("it stays");
        }
        clients.pop().expect("there are three").close_session().expect("it can be closed");
        poll_until("there is room again", || dial(&server).ok());
        assert!(server.log_text().contains("refused: "), "{}", server.log_text());
    }
}

#[test]
fn who_found_no_room_is_let_in_when_there_is_some() {
    let dir = TestDir::new("no-descriptors");
    let mut server = Server::start(&dir, &[]);
    let in_use = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).map(Iterator::count);
    let Ok(in_use) = in_use else { return };
    let max = u64::try_from(in_use).expect("few") + 10;
    let pid = rustix::process::Pid::from_child(&server.child);
    let limit = rustix::process::Rlimit { current: Some(max), maximum: Some(max) };
    rustix::process::prlimit(Some(pid), rustix::process::Resource::Nofile, limit)
        .expect("the child is ours");
    let dial = || {
        let mut client = RawClient::dial(&*server.address).expect("the system takes connections");
        client.set_io_timeout(PATIENCE).expect("a timeout can be set");
        client.send_connect(&SessionRequest::new(30_000)).expect("it can be sent");
        client
    };
    let mut clients: Vec<RawClient> = (0..40).map(|_| dial()).collect();
    poll_until("descriptors are used up", || {
        server.log_text().contains("cannot accept connections").then_some(())
    });
    // Nobody else comes: whoever waits is let in because others leave.
    while !clients.is_empty() {
        let mut client = clients.remove(0);
        client.receive_connect().expect("it is let in");
        client.close_session().expect("it can be closed");
    }
    let told = server.log_text().matches("cannot accept connections").count();
    assert!(told < 40, "told {told} times");
    server.kill();
}

#[test]
fn a_client_that_leaves_in_the_middle_of_a_frame_is_let_go() {
    let dir = TestDir::new("half-frames");
    // Long enough that nobody is let go for being silent.
    let server = Server::start(&dir, &["nio.sessionlessCnxnTimeout=600000"]);
    for _ in 0..50 {
        let mut stream = TcpStream::connect(&*server.address).expect("it takes connections");
        stream.write_all(b"\0\0\0\x2c\0\0").expect("it takes bytes");
    }
    poll_until("only who asks is connected", || {
        let mut stream = TcpStream::connect(&*server.address).ok()?;
        stream.write_all(b"srvr").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        text.contains("\nConnections: 1\n").then_some(())
    });
}

#[test]
fn an_answer_too_long_for_clients_is_sent_and_told_of() {
    let dir = TestDir::new("long-answer");
    let server = Server::start(&dir, &[]);
    let mut client = connect(&server);
    client.call(&create("/big", b"", 0)).and_then(|reply| reply.ok()).expect("a parent");
    let names: Vec<String> =
        (0..5000).map(|number| format!("/big/{number:0200}-is-the-name-of-a-child")).collect();
    let requests = names.iter().map(|name| create(name, b"", 0));
    client.call_all(requests, 1000, |_| {}).expect("the children are made");
    let children = client.call(&get_children("/big", false)).expect("it is answered");
    assert_eq!(children.names().expect("names").len(), names.len());
    assert!(children.body().len() > 0xf_ffff, "longer than jute.maxbuffer");
    client.call(&exists("/big", false)).and_then(|reply| reply.ok()).expect("it goes on");
    let line = poll_until("the log tells of it", || {
        let text = server.log_text();
        text.lines().find(|line| line.contains("jute.maxbuffer")).map(str::to_owned)
    });
    assert!(line.contains("/big") && line.contains("127.0.0.1:"), "{line}");
}

#[test]
fn authentication_that_cannot_be_is_refused_at_the_start() {
    for (lines, code, reason) in [
        (&["enforce.auth.enabled=true"][..], 2, "must be configured"),
        (
            &["enforce.auth.enabled=true", "enforce.auth.schemes=digest,sasl"],
            2,
            "Authentication scheme sasl is not available",
        ),
        (&["sessionRequireClientSASLAuth=true"], 2, "Authentication scheme sasl is not available"),
        (&["DigestAuthenticationProvider.digestAlg=FOO"], 1, "digest algorithm: FOO"),
    ] {
        let dir = TestDir::new("no-provider");
        let port = free_port();
        let config = write_config(&dir, port, lines);
        let mut server = Server::spawn(&dir, &config, port);
        assert_eq!(server.wait().code(), Some(code), "{lines:?}");
        assert!(server.log_text().contains(reason), "{lines:?}: {}", server.log_text());
    }
}
