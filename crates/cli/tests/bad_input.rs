//! What no decent client sends: each is answered or cut off as ZooKeeper does, and nobody else on
//! the server notices.
//!
//! While a test sends its bytes, a bystander on another connection keeps reading with many requests
//! under way and holds a watch; at the end everything it asked for must have come, in order.

mod common;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use common::{Server, TestDir, connect};
use ostler_cli::raw_client::{
    RawClient, Reply, SessionRequest, create, exists, get_data, is_closed, set_data,
};
use ostler_wire::connect::{ConnectRequest, ConnectResponse};
use ostler_wire::error::ErrorCode;
use ostler_wire::ids::{SessionId, Xid, Zxid};
use ostler_wire::jute::Put;
use ostler_wire::op::OpCode;
use ostler_wire::reply::{EventType, ReplyHeader};
use ostler_wire::request::{Request, RequestHeader};

/// `jute.maxbuffer` when nobody sets it.
const FRAME_BYTES_MAX: usize = 0xf_ffff;

/// A server, and somebody on it who wants to be left alone.
struct Scene {
    server: Server,
    bystander: Option<JoinHandle<u64>>,
    done: Arc<AtomicBool>,
    // Last, so that the server is gone before its directory.
    _dir: TestDir,
}

impl Scene {
    fn new(name: &str) -> Self {
        let dir = TestDir::new(name);
        let server = Server::start(&dir, &["tickTime=2000"]);
        let mut client = connect(&server);
        client.call(&create("/bystander", b"calm", 0)).unwrap().ok().unwrap();
        client.call(&get_data("/bystander", true)).unwrap().ok().expect("it is there");
        let done = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&done);
        let bystander = thread::spawn(move || read_until_done(client, &seen));
        Self { server, bystander: Some(bystander), done, _dir: dir }
    }

    fn connect(&self) -> RawClient {
        connect(&self.server)
    }

    fn dial(&self) -> RawClient {
        let client = RawClient::dial(&*self.server.address).expect("the server accepts");
        client.set_io_timeout(common::PATIENCE).expect("a timeout can be set");
        client
    }

    /// Ends the bystander's reading; its watch must fire after that.
    fn end(mut self) {
        self.done.store(true, Ordering::Relaxed);
        let mut writer = self.connect();
        writer.call(&set_data("/bystander", b"woken")).unwrap().ok().expect("it is there");
        let bystander = self.bystander.take().expect("it ends once");
        let reads = bystander.join().expect("the bystander was not disturbed");
        assert!(reads > 0);
    }
}

/// Reads with up to 32 requests under way; then waits for the watch that is set already.
fn read_until_done(mut client: RawClient, done: &AtomicBool) -> u64 {
    let mut pending = VecDeque::from([client.send(&get_data("/bystander", false)).unwrap()]);
    let (mut reads, mut events) = (0, 0);
    while events == 0 || !pending.is_empty() {
        while pending.len() < 32 && !done.load(Ordering::Relaxed) {
            pending
                .push_back(client.send(&get_data("/bystander", false)).expect("the server reads"));
        }
        let reply = client.receive().expect("the server answers");
        if reply.header.xid == Xid::NOTIFICATION {
            let event = reply.event().expect("it is one");
            assert_eq!(event.event_type, EventType::NodeDataChanged);
            assert_eq!(event.path, "/bystander");
            events += 1;
        } else {
            assert_eq!(Some(reply.header.xid), pending.pop_front());
            assert_eq!(reply.header.err, ErrorCode::OK);
            reads += 1;
        }
    }
    assert_eq!(events, 1);
    client.close_session().expect("it can be closed");
    reads
}

/// Asserts that a connection was cut without a word.
fn assert_cut(mut client: RawClient, what: &str) {
    let frames = client.receive_until_closed().unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(frames, Vec::<Vec<u8>>::new(), "{what}");
}

/// A request by its number, with a body as it is.
fn raw_request(xid: i32, op_number: i32, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    RequestHeader { xid: Xid(xid), op_number }.write(&mut frame);
    frame.extend_from_slice(body);
    frame
}

fn assert_lives(client: &mut RawClient, what: &str) {
    let reply = client.call(&exists("/bystander", false));
    let reply = reply.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(reply.header.err, ErrorCode::OK, "{what}");
}

#[test]
fn bytes_that_are_no_frames_are_cut_off() {
    let scene = Scene::new("no-frames");
    for (what, bytes) in [
        ("an HTTP request", &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..]),
        ("a negative length", &[0xff, 0xff, 0xff, 0xff, 0, 0]),
        ("the smallest length", &[0x80, 0, 0, 0]),
        ("a frame that is too long", &[0, 0x10, 0, 0, 0, 0, 0, 0]),
        ("an empty frame", &[0, 0, 0, 0]),
        ("a connect request that is too short", &[0, 0, 0, 5, 0, 0, 0, 0, 0]),
        ("a TLS hello", &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]),
    ] {
        let mut client = scene.dial();
        client.send_bytes(bytes).expect("the server reads");
        assert_cut(client, what);
    }
    // A password longer than the frame, and one of a negative length.
    for length in [i32::MAX, -2] {
        let mut body = Vec::new();
        body.put_int(0);
        body.put_long(0);
        body.put_int(10_000);
        body.put_long(0);
        body.put_int(length);
        let mut client = scene.dial();
        client.send_frame(&body).expect("the server reads");
        assert_cut(client, "a connect request with a bad password length");
    }
    scene.end();
}

#[test]
fn broken_frames_end_a_session_s_connection_only() {
    let scene = Scene::new("broken-frames");
    for (what, bytes) in [
        ("a negative length", &[0xff, 0xff, 0xff, 0xfe][..]),
        ("a frame that is too long", &[0, 0x10, 0, 0]),
        ("an empty frame", &[0, 0, 0, 0]),
        ("a header that is cut", &[0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0]),
        ("a four-letter word that comes too late", b"ruok"),
    ] {
        let mut client = scene.connect();
        let resumption = client.resumption();
        client.send_bytes(bytes).expect("the server reads");
        assert_cut(client, what);
        let resumed = RawClient::resume(&*scene.server.address, &resumption).expect("an answer");
        assert_lives(&mut resumed.expect("the session lives on"), what);
    }
    scene.end();
}

#[test]
fn a_frame_of_exactly_the_limit_is_served() {
    let scene = Scene::new("limit");
    let mut client = scene.connect();
    let overhead = {
        let mut bytes = Vec::new();
        create("/big", b"", 0).encode(Xid(1), &mut bytes);
        bytes.len()
    };
    let data = vec![7; FRAME_BYTES_MAX - overhead];
    client.call(&create("/big", &data, 0)).unwrap().ok().expect("it fits");
    let reply = client.call(&get_data("/big", false)).unwrap().ok().expect("it is there");
    assert_eq!(reply.data().unwrap().0, Some(&data[..]));
    let mut too_long = data;
    too_long.push(7);
    // The server may be gone before it has taken all of it.
    if let Err(error) = client.send(&create("/bigger", &too_long, 0)) {
        assert!(is_closed(&error), "{error}");
    }
    assert_cut(client, "one byte too many");
    let mut client = scene.connect();
    let reply = client.call(&exists("/bigger", false)).unwrap();
    assert_eq!(reply.header.err, ErrorCode::NO_NODE);
    scene.end();
}

#[test]
fn requests_cut_short_by_the_client_s_end_are_dropped() {
    let scene = Scene::new("cut-short");
    let mut whole = Vec::new();
    let mut client = scene.connect();
    client.encode(&create("/cut", b"data", 0), &mut whole);
    for length in [1, 3, 4, 10, whole.len() - 1] {
        let mut client = scene.connect();
        client.send_bytes(&whole[..length]).expect("the server reads");
        // Dropped here, in the middle of a frame.
    }
    let reply = client.call(&exists("/cut", false)).unwrap();
    assert_eq!(reply.header.err, ErrorCode::NO_NODE);
    scene.end();
}

#[test]
fn unknown_operations_are_answered_and_cut_off() {
    let scene = Scene::new("unknown-operations");
    let mut numbers = vec![0, -1, 10, 23, 99, 108, 1000, i32::MIN, i32::MAX];
    numbers.push(OpCode::Check.number());
    if !common::is_foreign() {
        // Java serves these to anybody, which is a hole: see the table of its defects.
        numbers.extend([OpCode::DeleteContainer.number(), OpCode::CreateSession.number()]);
    }
    for number in numbers {
        let mut client = scene.connect();
        client.send_frame(&raw_request(7, number, b"\0\0\0\x02/x\0\0\0\0")).unwrap();
        let frames = client.receive_until_closed().expect("an answer and the end");
        let [frame] = &frames[..] else { panic!("operation {number}: {frames:?}") };
        let reply = Reply::decode(frame.clone()).expect("a reply");
        let expected = ReplyHeader { xid: Xid(7), zxid: Zxid(-1), err: ErrorCode::UNIMPLEMENTED };
        assert_eq!((reply.header, reply.body()), (expected, &[][..]), "operation {number}");
    }
    scene.end();
}

#[test]
fn a_body_that_cannot_be_read_is_answered_and_the_connection_stays() {
    let scene = Scene::new("unreadable-bodies");
    let mut client = scene.connect();
    for op in [
        OpCode::Create,
        OpCode::Create2,
        OpCode::Delete,
        OpCode::Exists,
        OpCode::GetData,
        OpCode::SetData,
        OpCode::GetAcl,
        OpCode::SetAcl,
        OpCode::GetChildren,
        OpCode::GetChildren2,
        OpCode::Multi,
        OpCode::SetWatches,
    ] {
        // Nothing at all; a path that claims to be longer than the frame; half a record.
        for body in [&b""[..], b"\x7f\xff\xff\xff/x", b"\0\0\0\x0a\0bystan", b"\xff\xff\xff\xfe"] {
            let what = format!("{op:?} with the body {body:?}");
            client.send_frame(&raw_request(9, op.number(), body)).expect("the server reads");
            let reply = client.receive().unwrap_or_else(|error| panic!("{what}: {error}"));
            let told = (reply.header.xid, reply.header.err, reply.body());
            assert_eq!(told, (Xid(9), ErrorCode::MARSHALLING_ERROR, &[][..]), "{what}");
            assert_lives(&mut client, &what);
        }
    }
    scene.end();
}

#[test]
fn null_paths_are_answered_and_the_connection_stays() {
    let scene = Scene::new("null-paths");
    let mut client = scene.connect();
    let null = (-1_i32).to_be_bytes();
    let mut set_data = null.to_vec();
    set_data.put_buffer(Some(b"x"));
    set_data.put_int(-1);
    for (op, rest, err) in [
        (OpCode::Exists, &b"\0"[..], ErrorCode::MARSHALLING_ERROR),
        (OpCode::GetData, b"\0", ErrorCode::MARSHALLING_ERROR),
        (OpCode::Delete, b"\xff\xff\xff\xff", ErrorCode::MARSHALLING_ERROR),
        (OpCode::SetData, &set_data[4..], ErrorCode::BAD_ARGUMENTS),
    ] {
        let body = [&null[..], rest].concat();
        client.send_frame(&raw_request(3, op.number(), &body)).expect("the server reads");
        let reply = client.receive().expect("an answer");
        assert_eq!((reply.header.xid, reply.header.err), (Xid(3), err), "{op:?}");
        assert_lives(&mut client, "a null path");
    }
    scene.end();
}

#[test]
fn bytes_behind_a_request_are_ignored() {
    let scene = Scene::new("left-over");
    let mut client = scene.connect();
    let mut body = Vec::new();
    exists("/bystander", false).encode(Xid(5), &mut body);
    body.extend_from_slice(b"and then some");
    client.send_frame(&body).expect("the server reads");
    let reply = client.receive().expect("an answer");
    assert_eq!((reply.header.xid, reply.header.err), (Xid(5), ErrorCode::OK));
    scene.end();
}

#[test]
fn invalid_paths_of_each_kind_are_refused() {
    let scene = Scene::new("invalid-paths");
    let mut client = scene.connect();
    // What create says of a path that is wrong: the parent is looked for first.
    for (path, err) in [
        ("", ErrorCode::BAD_ARGUMENTS),
        ("relative", ErrorCode::BAD_ARGUMENTS),
        ("no/parent", ErrorCode::NO_NODE),
        ("/end/", ErrorCode::NO_NODE),
        ("/bystander/", ErrorCode::BAD_ARGUMENTS),
        ("/a//b", ErrorCode::NO_NODE),
        ("//", ErrorCode::BAD_ARGUMENTS),
        ("/.", ErrorCode::BAD_ARGUMENTS),
        ("/..", ErrorCode::BAD_ARGUMENTS),
        ("/none/.", ErrorCode::NO_NODE),
        ("/bystander/..", ErrorCode::BAD_ARGUMENTS),
        ("/nul\0", ErrorCode::BAD_ARGUMENTS),
        ("/control\u{1}", ErrorCode::BAD_ARGUMENTS),
        ("/control\u{9f}", ErrorCode::BAD_ARGUMENTS),
        ("/private\u{e000}", ErrorCode::BAD_ARGUMENTS),
        ("/special\u{fff0}", ErrorCode::BAD_ARGUMENTS),
        ("/beyond\u{1f600}", ErrorCode::BAD_ARGUMENTS),
        ("/", ErrorCode::NODE_EXISTS),
    ] {
        let reply = client.call(&create(path, b"", 0)).expect("an answer");
        assert_eq!(reply.header.err, err, "create {path:?}");
    }
    for path in ["", "relative", "/end/", "/a//b", "/.", "/a/../b", "/nul\0", "/beyond\u{1f600}"] {
        let reply = client.call(&set_data(path, b"")).expect("an answer");
        assert_eq!(reply.header.err, ErrorCode::BAD_ARGUMENTS, "setData {path:?}");
    }
    for path in ["", "relative", "/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config", "/a\0"]
    {
        let reply = client.call(&Request::Delete { path: path.into(), version: -1 }).unwrap();
        assert_eq!(reply.header.err, ErrorCode::BAD_ARGUMENTS, "delete {path:?}");
    }
    // Reads do not judge paths, they just find nothing; and the empty path is the root.
    for path in ["relative", "/end/", "/a//b", "/.", "/nul\0"] {
        let reply = client.call(&get_data(path, false)).expect("an answer");
        assert_eq!(reply.header.err, ErrorCode::NO_NODE, "getData {path:?}");
    }
    let reply = client.call(&get_data("", false)).expect("an answer");
    assert_eq!(reply.header.err, ErrorCode::OK);
    scene.end();
}

#[test]
fn malformed_text_is_refused_on_writes_and_not_found_on_reads() {
    let scene = Scene::new("malformed-text");
    let mut client = scene.connect();
    for bad in [&b"/\xff"[..], b"/a\xc3", b"/\xed\xa0\x80", b"/\xc0\x80"] {
        let mut path = Vec::new();
        path.put_buffer(Some(bad));
        let mut write = path.clone();
        write.put_buffer(Some(b"data"));
        write.put_int(-1);
        client.send_frame(&raw_request(1, OpCode::SetData.number(), &write)).unwrap();
        assert_eq!(client.receive().unwrap().header.err, ErrorCode::BAD_ARGUMENTS, "{bad:?}");
        path.put_bool(false);
        client.send_frame(&raw_request(2, OpCode::GetData.number(), &path)).unwrap();
        assert_eq!(client.receive().unwrap().header.err, ErrorCode::NO_NODE, "{bad:?}");
    }
    scene.end();
}

#[test]
fn a_wrong_password_opens_nothing() {
    let scene = Scene::new("wrong-password");
    let mut owner = scene.connect();
    owner.call(&create("/owned", b"", 1)).unwrap().ok().expect("it is new");
    let right = owner.resumption();
    let mut wrong = right;
    wrong.password[3] ^= 1;
    assert_refused(&scene, &wrong);
    // The session survives; its old connection need not.
    let resumed = RawClient::resume(&*scene.server.address, &right).expect("an answer");
    let mut resumed = resumed.expect("the session lives on");
    assert_eq!(resumed.session(), right.session);
    resumed.call(&exists("/owned", false)).unwrap().ok().expect("it is there");
    scene.end();
}

#[test]
fn sessions_that_never_were_are_refused() {
    let scene = Scene::new("foreign-sessions");
    let client = scene.connect();
    let real = client.resumption();
    for session in [real.session.0 + 1_000_000, i64::MAX, i64::MIN, 1, -1] {
        assert_refused(&scene, &SessionRequest { session: SessionId(session), ..real });
    }
    scene.end();
}

/// Asserts the answer "that session is gone" and the end of the connection.
fn assert_refused(scene: &Scene, request: &SessionRequest) {
    let mut client = scene.dial();
    let response = client.handshake(request).expect("an answer");
    assert_eq!(response, ConnectResponse::expired(Some(false)), "{request:?}");
    assert_cut(client, "a session that is refused");
}

#[test]
fn a_client_from_the_future_is_cut_off() {
    let scene = Scene::new("future");
    let client = scene.connect();
    let ahead = Zxid(client.last_zxid().0 + 1_000_000);
    for session in [SessionRequest::new(10_000), client.resumption()] {
        let mut late = scene.dial();
        late.send_connect(&SessionRequest { last_zxid: ahead, ..session }).unwrap();
        assert_cut(late, "a zxid ahead of the server");
    }
    scene.end();
}

#[test]
fn old_clients_get_the_answer_of_their_time() -> io::Result<()> {
    let scene = Scene::new("old-clients");
    let mut client = scene.dial();
    let request = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid(0),
        timeout_ms: 10_000,
        session: SessionId::NONE,
        password: None,
        read_only: None,
    };
    let mut body = Vec::new();
    request.encode(&mut body);
    client.send_frame(&body)?;
    let answer = client.receive_frame()?;
    assert_eq!(answer.len(), 36);
    assert_lives(&mut client, "an old client");
    scene.end();
    Ok(())
}

#[test]
fn requests_sent_with_the_handshake_are_served_after_it() -> io::Result<()> {
    let scene = Scene::new("early-requests");
    let mut client = scene.dial();
    let mut bytes = Vec::new();
    SessionRequest::new(10_000).encode(&mut bytes);
    let xid = client.encode(&exists("/bystander", false), &mut bytes);
    client.send_bytes(&bytes)?;
    assert!(client.receive_connect()?.timeout_ms > 0);
    let reply = client.receive()?;
    assert_eq!((reply.header.xid, reply.header.err), (xid, ErrorCode::OK));
    scene.end();
    Ok(())
}

#[test]
fn a_second_connect_request_harms_nobody() {
    let scene = Scene::new("second-connect");
    let mut client = scene.connect();
    client.send_connect(&SessionRequest::new(10_000)).expect("the server reads");
    // It reads as a request with xid 0 and operation 0.
    let frames = client.receive_until_closed().expect("the end");
    for frame in frames {
        let reply = Reply::decode(frame).expect("a reply");
        assert_eq!(reply.header.err, ErrorCode::UNIMPLEMENTED);
    }
    scene.end();
}
