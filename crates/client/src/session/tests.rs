//! The session machine alone, with moments and bytes made up.

use std::time::Duration;

use ostler_wire::connect::{ConnectRequest, ConnectResponse};
use ostler_wire::error::ErrorCode;
use ostler_wire::frame;
use ostler_wire::ids::{SessionId, Xid, Zxid};
use ostler_wire::jute::{Put as _, Reader};
use ostler_wire::op::OpCode;
use ostler_wire::reply::{EventType, ReplyHeader, WatcherEvent};
use ostler_wire::request::{Request, RequestHeader};
use tokio::sync::{mpsc, oneshot};

use crate::builder::{Builder, Settings};
use crate::error::Error;
use crate::event::{Event, EventKind};
use crate::hosts::{ConnectString, Host};
use crate::reply::Answer;
use crate::session::core::Core;
use crate::session::queue::Purpose;
use crate::session::watches::{Subscriber, Table};
use crate::session::{Effect, Input, LinkId};
use crate::state::State;

const PASSWORD: [u8; 16] = [9; 16];
const SESSION: SessionId = SessionId(77);
const GRANTED_MS: i32 = 6000;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A machine, the moment, and its present connection.
struct Bench {
    core: Core,
    now: Duration,
    link: LinkId,
}

impl Bench {
    fn new(settings: Settings, servers: &str) -> Self {
        let core = Core::new(settings, ConnectString::parse(servers).unwrap(), 1);
        Self { core, now: Duration::ZERO, link: LinkId(0) }
    }

    /// With a session on the one server there is.
    fn connected() -> Self {
        let mut bench = Self::new(settings(), "one");
        bench.connect();
        bench
    }

    fn handle(&mut self, input: Input<'_>) {
        self.core.handle(self.now, input);
    }

    fn tick_at(&mut self, now: Duration) {
        self.now = now;
        self.handle(Input::Tick);
    }

    /// Goes on to what the machine waits for.
    fn reach_deadline(&mut self) {
        let deadline = self.core.next_deadline().expect("it waits for something");
        self.tick_at(deadline.max(self.now));
    }

    fn effects(&mut self) -> Vec<Effect> {
        self.core.take_effects()
    }

    /// The one server that is to be dialed now.
    fn dialed(&mut self) -> String {
        let effects = self.effects();
        let [Effect::Dial(link, host)] = &effects[..] else { panic!("{effects:?}") };
        self.link = *link;
        host.to_string()
    }

    /// What is sent now, frame by frame.
    fn sent(&mut self) -> Vec<Vec<u8>> {
        let mut bytes = Vec::new();
        self.core.transmit(self.now, self.link, usize::MAX, &mut bytes);
        let mut frames = Vec::new();
        while let Some(body) = frame::first(&bytes, usize::MAX).unwrap() {
            frames.push(body.to_vec());
            let taken = body.len() + frame::PREFIX_BYTES;
            bytes.drain(..taken);
        }
        assert!(bytes.is_empty(), "half a frame");
        frames
    }

    /// The same as operations with their xids.
    fn sent_ops(&mut self) -> Vec<(OpCode, i32)> {
        let header = |frame: &Vec<u8>| RequestHeader::read(&mut Reader::new(frame)).unwrap();
        let headers = self.sent().iter().map(header).collect::<Vec<_>>();
        headers.iter().map(|h| (OpCode::from_number(h.op_number).unwrap(), h.xid.0)).collect()
    }

    fn receive(&mut self, body: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = Vec::new();
        frame::put(&mut bytes, body);
        self.handle(Input::Bytes(self.link, &bytes));
    }

    fn receive_reply(&mut self, xid: i32, zxid: i64, err: i32, body: &[u8]) {
        self.receive(|out| {
            ReplyHeader { xid: Xid(xid), zxid: Zxid(zxid), err: ErrorCode(err) }.write(out);
            out.extend_from_slice(body);
        });
    }

    /// Dials if that is due, and sends the connect request, which is returned.
    fn greet(&mut self) -> ConnectRequest<'static> {
        self.reach_deadline();
        self.dialed();
        self.handle(Input::Dialed(self.link));
        let frames = self.sent();
        let [frame] = &frames[..] else { panic!("{frames:?}") };
        ConnectRequest::decode(Box::leak(frame.clone().into_boxed_slice())).unwrap()
    }

    fn accept(&mut self, read_only: bool) {
        let response = ConnectResponse {
            timeout_ms: GRANTED_MS,
            session: SESSION,
            password: PASSWORD,
            read_only: Some(read_only),
        };
        self.receive(|out| response.encode(out));
    }

    fn connect(&mut self) {
        self.greet();
        self.accept(false);
    }

    fn cut(&mut self) {
        self.handle(Input::Closed(self.link, "cut"));
    }

    fn call(&mut self, request: &Request<'_>) -> oneshot::Receiver<Answer> {
        self.core.call(self.now, request, Purpose::Plain).unwrap()
    }

    fn get(&mut self) -> oneshot::Receiver<Answer> {
        self.call(&Request::GetData { path: "/".into(), watch: false })
    }

    /// A watch of a kind on a path, as if the server had just confirmed it.
    fn watch(&mut self, path: &str, table: Table) -> Receiver {
        let (receiver, subscriber) = subscriber(table);
        self.core.watches.expect(path, table);
        assert!(!self.core.watches.arrive(path, table, subscriber, false));
        receiver
    }
}

enum Receiver {
    Once(oneshot::Receiver<Event>),
    Many(mpsc::UnboundedReceiver<Event>),
}

impl Receiver {
    fn event(&mut self) -> Option<Event> {
        match self {
            Self::Once(receiver) => receiver.try_recv().ok(),
            Self::Many(receiver) => receiver.try_recv().ok(),
        }
    }
}

fn subscriber(table: Table) -> (Receiver, Subscriber) {
    match table {
        Table::Data | Table::Child => {
            let (sender, receiver) = oneshot::channel();
            (Receiver::Once(receiver), Subscriber::Once(sender))
        }
        Table::Persistent | Table::Recursive => {
            let (sender, receiver) = mpsc::unbounded_channel();
            (Receiver::Many(receiver), Subscriber::Many(sender))
        }
    }
}

fn settings() -> Settings {
    settings_of(Builder::default())
}

fn settings_of(builder: Builder) -> Settings {
    builder.shuffle(false).into_settings()
}

fn answer(receiver: &mut oneshot::Receiver<Answer>) -> Option<Answer> {
    receiver.try_recv().ok()
}

#[test]
fn a_new_session_is_asked_for_and_an_old_one_resumed() {
    let mut bench = Bench::new(settings(), "one");
    let request = bench.greet();
    assert_eq!((request.session, request.timeout_ms), (SessionId::NONE, 30_000));
    assert_eq!((request.read_only, request.last_zxid_seen), (Some(false), Zxid::ZERO));
    assert_eq!(bench.core.state, State::Connecting);
    bench.accept(false);
    assert_eq!(bench.core.state, State::Connected);
    assert_eq!(bench.core.timeout(), ms(6000));
    let mut read = bench.get();
    assert_eq!(bench.sent_ops(), [(OpCode::GetData, 1)]);
    bench.receive_reply(1, 5, 0, b"body");
    assert_eq!(answer(&mut read), Some(Ok(b"body".to_vec())));
    bench.cut();
    assert_eq!(bench.core.state, State::Suspended);
    let request = bench.greet();
    assert_eq!((request.session, request.password), (SESSION, Some(&PASSWORD[..])));
    assert_eq!(request.last_zxid_seen, Zxid(5));
}

#[test]
fn answers_may_come_in_any_pieces() {
    let mut bench = Bench::connected();
    let mut reads: Vec<_> = (0..3).map(|_| bench.get()).collect();
    bench.sent();
    let mut bytes = Vec::new();
    for xid in 1..=3 {
        frame::put(&mut bytes, |out| {
            ReplyHeader { xid: Xid(xid), zxid: Zxid(9), err: ErrorCode::OK }.write(out);
            out.put_int(xid);
        });
    }
    for piece in bytes.chunks(7) {
        bench.handle(Input::Bytes(bench.link, piece));
    }
    for (read, number) in reads.iter_mut().zip(1_i32..) {
        assert_eq!(answer(read), Some(Ok(number.to_be_bytes().to_vec())));
    }
}

#[test]
fn a_quiet_connection_is_pinged_and_a_dead_one_left() {
    let mut bench = Bench::connected();
    bench.reach_deadline();
    assert_eq!(bench.now, ms(2000));
    assert_eq!(bench.sent_ops(), [(OpCode::Ping, -2)]);
    bench.receive_reply(-2, 0, 0, b"");
    bench.reach_deadline();
    assert_eq!(bench.now, ms(4000));
    assert_eq!(bench.sent_ops(), [(OpCode::Ping, -2)]);
    // No answer now. The server was last heard at 2000, two thirds of the timeout are 4000.
    bench.tick_at(ms(5999));
    assert_eq!(bench.effects(), []);
    bench.tick_at(ms(6000));
    assert_eq!(bench.effects(), [Effect::HangUp(bench.link)]);
    assert_eq!(bench.core.state, State::Suspended);
}

#[test]
fn a_ping_that_cannot_be_sent_is_not_due_again() {
    let mut bench = Bench::connected();
    bench.reach_deadline();
    assert!(bench.core.next_deadline().unwrap() > bench.now);
}

#[test]
fn what_was_sent_is_lost_and_what_was_not_waits() {
    let mut bench = Bench::connected();
    let mut sent = bench.get();
    bench.sent();
    let mut unsent = bench.get();
    bench.cut();
    assert_eq!(answer(&mut sent), Some(Err(Error::ConnectionLoss)));
    assert_eq!(answer(&mut unsent), None);
    let mut later = bench.get();
    bench.connect();
    assert_eq!(bench.sent_ops(), [(OpCode::GetData, 2), (OpCode::GetData, 3)]);
    bench.receive_reply(2, 1, 0, b"");
    bench.receive_reply(3, 1, -101, b"");
    assert_eq!(answer(&mut unsent), Some(Ok(Vec::new())));
    assert_eq!(answer(&mut later), Some(Err(Error::NoNode)));
}

#[test]
fn an_answer_out_of_order_ends_the_connection() {
    let mut bench = Bench::connected();
    let mut first = bench.get();
    bench.sent();
    bench.receive_reply(2, 1, 0, b"");
    assert_eq!(bench.effects(), [Effect::HangUp(bench.link)]);
    assert_eq!(answer(&mut first), Some(Err(Error::ConnectionLoss)));
}

#[test]
fn servers_are_tried_round_and_round_with_growing_pauses() {
    let mut bench = Bench::new(settings(), "one,two");
    let mut pauses = Vec::new();
    for _ in 0..8 {
        let before = bench.now;
        bench.reach_deadline();
        pauses.push(bench.now - before);
        for host in ["one:2181", "two:2181"] {
            assert_eq!(bench.dialed(), host);
            // All of them can be tried within the timeout, none is waited for very long.
            assert_eq!(bench.core.next_deadline(), Some(bench.now + ms(10_000)));
            bench.handle(Input::DialFailed(bench.link, "refused"));
        }
    }
    assert_eq!(pauses[0], Duration::ZERO);
    assert!(pauses[1] >= ms(25) && pauses[1] <= ms(50), "{pauses:?}");
    assert!(pauses[7] >= ms(500) && pauses[7] <= ms(1000), "{pauses:?}");
    assert_eq!(bench.core.last_failure(), "two:2181: refused");
}

#[test]
fn a_dial_or_a_greeting_without_an_answer_is_given_up() {
    let mut bench = Bench::new(settings(), "one,two,three");
    bench.reach_deadline();
    assert_eq!(bench.dialed(), "one:2181");
    let first = bench.link;
    bench.reach_deadline();
    assert_eq!(bench.now, ms(10_000));
    assert_eq!(bench.effects()[..1], [Effect::HangUp(first)]);
    bench.handle(Input::Dialed(first));
    assert!(bench.sent().is_empty(), "it came too late");
    bench.link = LinkId(first.0 + 1);
    bench.handle(Input::Dialed(bench.link));
    assert_eq!(bench.sent().len(), 1);
    bench.reach_deadline();
    assert_eq!(bench.effects()[..1], [Effect::HangUp(LinkId(first.0 + 1))]);
}

#[test]
fn an_expired_session_is_the_end() {
    let mut bench = Bench::connected();
    let mut watch = bench.watch("/a", Table::Data);
    bench.cut();
    let mut waiting = bench.get();
    let mut states = bench.core.watch_states();
    bench.greet();
    bench.receive(|out| ConnectResponse::expired(Some(false)).encode(out));
    assert_eq!(answer(&mut waiting), Some(Err(Error::SessionExpired)));
    assert_eq!(watch.event().unwrap().kind, EventKind::SessionLost);
    assert_eq!(states.try_recv(), Ok(State::Suspended));
    assert_eq!(states.try_recv(), Ok(State::Lost));
    assert!(states.try_recv().is_err());
    assert_eq!(bench.effects(), [Effect::HangUp(bench.link), Effect::End]);
    assert_eq!(bench.core.next_deadline(), None);
    let call = bench.core.call(bench.now, &Request::WhoAmI, Purpose::Plain);
    assert_eq!(call.unwrap_err(), Error::SessionExpired);
}

#[test]
fn a_connection_begins_with_credentials_and_watches() {
    let builder = Builder::default().auth("digest", b"u:p");
    let mut bench = Bench::new(settings_of(builder), "one");
    let mut early = bench.get();
    bench.connect();
    assert_eq!(bench.sent_ops(), [(OpCode::Auth, -4), (OpCode::GetData, 1)]);
    bench.receive_reply(-4, 0, 0, b"");
    bench.receive_reply(1, 3, 0, b"");
    assert!(answer(&mut early).unwrap().is_ok());
    let _data = bench.watch("/data", Table::Data);
    let _child = bench.watch("/child", Table::Child);
    let mut added = bench.core.add_auth("ip", b"x").unwrap();
    bench.sent();
    bench.cut();
    let _waiting = bench.get();
    bench.connect();
    let frames = bench.sent();
    let ops = frames.iter().map(|frame| {
        let header = RequestHeader::read(&mut Reader::new(frame)).unwrap();
        (OpCode::from_number(header.op_number).unwrap(), header.xid.0)
    });
    // Requests that put watches back have ordinary numbers.
    let auth = (OpCode::Auth, -4);
    assert_eq!(
        ops.collect::<Vec<_>>(),
        [auth, auth, (OpCode::SetWatches, 2), (OpCode::GetData, 3)]
    );
    let body = &frames[2][RequestHeader::SIZE_BYTES..];
    let Ok(Request::SetWatches(lists)) = Request::decode(OpCode::SetWatches, body) else {
        panic!("not lists of watches");
    };
    assert_eq!(lists.relative_zxid, Zxid(3));
    assert_eq!(
        (&lists.data[..], &lists.child[..]),
        (&["/data".into()][..], &["/child".into()][..])
    );
    bench.receive_reply(-4, 0, 0, b"");
    assert_eq!(answer(&mut added), None);
    bench.receive_reply(-4, 0, 0, b"");
    assert_eq!(answer(&mut added), Some(Ok(Vec::new())));
}

#[test]
fn refused_credentials_are_the_end() {
    let mut bench = Bench::connected();
    let mut added = bench.core.add_auth("digest", b"x").unwrap();
    let mut read = bench.get();
    bench.sent();
    bench.receive_reply(-4, 0, -115, b"");
    assert_eq!(answer(&mut added), Some(Err(Error::AuthFailed)));
    assert_eq!(answer(&mut read), Some(Err(Error::AuthFailed)));
    assert_eq!(bench.core.state, State::AuthFailed);
}

#[test]
fn persistent_watches_need_the_newer_request_and_long_lists_several() {
    let mut bench = Bench::connected();
    let path = |number: usize| format!("/{}{number:04}", "x".repeat(500));
    let _watches: Vec<_> = (0..600).map(|number| bench.watch(&path(number), Table::Data)).collect();
    let _last = bench.watch("/z", Table::Recursive);
    bench.cut();
    bench.connect();
    let frames = bench.sent();
    assert!(frames.iter().all(|frame| frame.len() < 140 * 1024));
    let op = |frame: &Vec<u8>| RequestHeader::read(&mut Reader::new(frame)).unwrap().op_number;
    assert_eq!(frames.iter().map(op).collect::<Vec<_>>(), [101, 101, 105]);
    let mut count = 0;
    for frame in &frames {
        let code = OpCode::from_number(op(frame)).unwrap();
        match Request::decode(code, &frame[RequestHeader::SIZE_BYTES..]).unwrap() {
            Request::SetWatches(lists) => count += lists.data.len(),
            Request::SetWatches2(lists) => {
                count += lists.data.len();
                assert_eq!(lists.recursive, ["/z"]);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(count, 600);
}

#[test]
fn events_go_to_all_who_wait_for_them() {
    let mut bench = Bench::connected();
    let mut receivers = [
        bench.watch("/a/b", Table::Data),
        bench.watch("/a/b", Table::Data),
        bench.watch("/a/b", Table::Child),
        bench.watch("/a/b", Table::Persistent),
        bench.watch("/a", Table::Recursive),
        bench.watch("/", Table::Recursive),
        bench.watch("/a", Table::Persistent),
    ];
    let mut fire = |event_type, path: &str| {
        bench.receive(|out| WatcherEvent::write_notification(Zxid(4), event_type, path, out));
        receivers.each_mut().map(|receiver| receiver.event().is_some())
    };
    let changed = fire(EventType::NodeDataChanged, "/a/b");
    assert_eq!(changed, [true, true, false, true, true, true, false]);
    let children = fire(EventType::NodeChildrenChanged, "/a/b");
    assert_eq!(children, [false, false, true, true, false, false, false]);
    let deleted = fire(EventType::NodeDeleted, "/a/b");
    assert_eq!(deleted, [false, false, false, true, true, true, false]);
    let other = fire(EventType::NodeCreated, "/b");
    assert_eq!(other, [false, false, false, false, false, true, false]);
}

#[test]
fn a_read_only_server_is_left_for_a_better_one() {
    let settings = settings_of(Builder::default().read_only(true));
    let mut bench = Bench::new(settings, "one,two");
    assert_eq!(bench.greet().read_only, Some(true));
    bench.accept(true);
    assert_eq!(bench.core.state, State::ConnectedReadOnly);
    let two = Host { name: "two".to_owned(), port: 2181 };
    bench.reach_deadline();
    assert_eq!(bench.now, ms(100));
    assert_eq!(bench.effects(), [Effect::Probe(two.clone())]);
    bench.handle(Input::Probed(two.clone(), false));
    assert_eq!(bench.core.state, State::ConnectedReadOnly);
    // The one it is connected to need not be asked.
    bench.reach_deadline();
    assert_eq!((bench.now, bench.effects()), (ms(300), Vec::new()));
    bench.reach_deadline();
    assert_eq!((bench.now, bench.effects()), (ms(700), vec![Effect::Probe(two.clone())]));
    let link = bench.link;
    bench.handle(Input::Probed(two, true));
    assert_eq!(bench.effects(), [Effect::HangUp(link)]);
    // A server with a quorum knows nothing of that session.
    bench.reach_deadline();
    assert_eq!(bench.dialed(), "two:2181");
    bench.handle(Input::Dialed(bench.link));
    let frames = bench.sent();
    assert_eq!(ConnectRequest::decode(&frames[0]).unwrap().session, SessionId::NONE);
    bench.accept(false);
    assert_eq!(bench.core.state, State::Connected);
}

#[test]
fn a_session_is_closed_behind_what_was_called() {
    let mut bench = Bench::connected();
    let mut read = bench.get();
    let mut closed = bench.core.close(bench.now).unwrap();
    let mut again = bench.core.close(bench.now).unwrap();
    assert!(bench.core.call(bench.now, &Request::WhoAmI, Purpose::Plain).is_err());
    assert_eq!(bench.sent_ops(), [(OpCode::GetData, 1), (OpCode::CloseSession, 2)]);
    bench.receive_reply(1, 1, 0, b"");
    assert!(answer(&mut read).unwrap().is_ok());
    assert!(closed.try_recv().is_err());
    bench.receive_reply(2, 2, 0, b"");
    assert_eq!((closed.try_recv(), again.try_recv()), (Ok(()), Ok(())));
    assert_eq!(bench.core.state, State::Closed);
    assert_eq!(bench.effects(), [Effect::HangUp(bench.link), Effect::End]);
    assert!(bench.core.close(bench.now).is_none());
}

#[test]
fn closing_waits_for_a_server_but_not_long() {
    let mut bench = Bench::connected();
    bench.cut();
    let mut closed = bench.core.close(bench.now).unwrap();
    bench.connect();
    assert_eq!(bench.sent_ops(), [(OpCode::CloseSession, 1)]);
    bench.tick_at(ms(5050));
    assert_eq!(closed.try_recv(), Ok(()));
    let mut bench = Bench::connected();
    bench.cut();
    let mut closed = bench.core.close(bench.now).unwrap();
    bench.reach_deadline();
    bench.dialed();
    bench.handle(Input::DialFailed(bench.link, "refused"));
    assert_eq!(closed.try_recv(), Ok(()));
}

#[test]
fn callers_stop_to_wait_in_their_order() {
    let builder = Builder::default().request_timeout(ms(1000));
    let mut bench = Bench::new(settings_of(builder), "one");
    bench.connect();
    let mut first = bench.get();
    bench.sent();
    bench.tick_at(ms(300));
    let mut second = bench.get();
    bench.reach_deadline();
    assert_eq!(bench.now, ms(1000));
    assert_eq!(answer(&mut first), Some(Err(Error::RequestTimeout)));
    assert_eq!(answer(&mut second), None);
    bench.reach_deadline();
    assert_eq!(bench.now, ms(1300));
    assert_eq!(answer(&mut second), Some(Err(Error::RequestTimeout)));
    assert!(bench.sent_ops().is_empty(), "what nobody waits for is not sent");
    // The late answer finds its place.
    let mut third = bench.get();
    bench.sent();
    bench.receive_reply(1, 1, 0, b"");
    bench.receive_reply(2, 1, 0, b"");
    assert!(answer(&mut third).unwrap().is_ok());
}

#[test]
fn numbers_start_again_at_one() {
    let mut bench = Bench::connected();
    bench.core.queue.set_xid(i32::MAX - 1);
    let _reads = [bench.get(), bench.get()];
    assert_eq!(bench.sent_ops(), [(OpCode::GetData, i32::MAX), (OpCode::GetData, 1)]);
}

#[test]
fn an_answer_that_is_too_long_is_reported_to_its_caller() {
    let builder = Builder::default().frame_max(100);
    let mut bench = Bench::new(settings_of(builder), "one");
    bench.connect();
    let (mut first, mut second) = (bench.get(), bench.get());
    bench.sent();
    // The length alone does not tell whose it is.
    bench.handle(Input::Bytes(bench.link, &101_i32.to_be_bytes()));
    assert_eq!(answer(&mut first), None);
    bench.handle(Input::Bytes(bench.link, &1_i32.to_be_bytes()));
    assert_eq!(answer(&mut first), Some(Err(Error::TooLarge { bytes: 101, max: 100 })));
    assert_eq!(answer(&mut second), Some(Err(Error::ConnectionLoss)));
}

#[test]
fn a_watch_nobody_wants_any_more_is_taken_from_the_server() {
    let mut bench = Bench::connected();
    let request = Request::GetData { path: "/a".into(), watch: true };
    let (receiver, subscriber) = subscriber(Table::Data);
    let purpose =
        Purpose::Watch { path: "/a".to_owned(), table: Table::Data, subscriber, is_exists: false };
    let _answer = bench.core.call(bench.now, &request, purpose).unwrap();
    bench.sent();
    drop(receiver);
    bench.core.release("/a", Table::Data);
    assert!(bench.sent_ops().is_empty(), "it is not there yet");
    bench.receive_reply(1, 1, 0, b"");
    assert_eq!(bench.sent_ops(), [(OpCode::RemoveWatches, 2)]);
    // On another connection there is nothing to take away.
    let watch = bench.watch("/b", Table::Data);
    drop(watch);
    bench.core.release("/b", Table::Data);
    bench.cut();
    bench.connect();
    assert!(bench.sent_ops().is_empty());
}

/// A server that says anything may cost the connection and never more than that.
#[test]
fn no_server_can_break_the_machine() {
    for seed in 0..300 {
        let mut random = crate::random::Random::new(seed);
        let mut bench = Bench::new(settings_of(Builder::default().frame_max(4096)), "one,two");
        let mut replies = Vec::new();
        let mut receivers = Vec::new();
        for step in 0..200_u64 {
            match random.below(8) {
                0 => bench.reach_deadline(),
                1 => bench.handle(Input::Dialed(bench.link)),
                2 => replies.extend(bench.core.call(
                    bench.now,
                    &Request::GetData { path: "/".into(), watch: false },
                    Purpose::Plain,
                )),
                3 => {
                    let table = [Table::Data, Table::Recursive][random.below(2)];
                    let (receiver, subscriber) = subscriber(table);
                    let (path, is_exists) = ("/w".to_owned(), random.below(2) == 0);
                    let purpose = Purpose::Watch { path, table, subscriber, is_exists };
                    replies.extend(bench.core.call(bench.now, &Request::WhoAmI, purpose));
                    receivers.push(receiver);
                }
                4 => drop(bench.sent()),
                5 => {
                    let length = random.below(60);
                    let bytes: Vec<u8> =
                        (0..length).map(|_| random.next().to_le_bytes()[3]).collect();
                    bench.handle(Input::Bytes(bench.link, &bytes));
                }
                6 => bench.accept(random.below(9) == 0),
                _ => {
                    let xid = [-4, -2, -1, i32::try_from(step / 20).unwrap(), 1][random.below(5)];
                    let err = [0, 0, -101, -4, -112][random.below(5)];
                    let body = [0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 2, b'/', b'w'];
                    bench.receive_reply(xid, i64::from(random.next().to_le_bytes()[0]), err, &body);
                }
            }
            if random.below(9) == 0 {
                receivers.pop();
                bench.core.release("/w", Table::Data);
                bench.core.release("/w", Table::Recursive);
            }
            for effect in bench.effects() {
                if let Effect::Dial(link, _) = effect {
                    bench.link = link;
                }
            }
            if bench.core.state.is_final() {
                break;
            }
        }
        bench.core.abandon();
        assert!(replies.iter_mut().all(|reply| answer(reply).is_some()), "seed {seed}");
    }
}
