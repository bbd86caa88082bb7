//! What must hold for any bytes at all, one function per decoder.
//!
//! The fuzz targets, the corpus test and the property tests all call these. Each decodes; nothing
//! may panic, what decodes must survive encoding and decoding again unchanged, and the memory that
//! a decoded value holds stays within [`footprint_max`] of its input.

use std::mem::size_of;

use ostler_wire::acl::{Acl, AclEntry};
use ostler_wire::connect::{ConnectRequest, ConnectResponse};
use ostler_wire::frame;
use ostler_wire::jute::{Reader, Text};
use ostler_wire::op::OpCode;
use ostler_wire::path;
use ostler_wire::quorum::{ForwardedRequest, LearnerInfo, PacketKind, QuorumPacket, Touched};
use ostler_wire::reply::{OpResult, ReplyHeader, WatcherEvent};
use ostler_wire::request::{CreateRequest, Request, RequestHeader, WatchLists};
use ostler_wire::stat::{Stat, StatPersisted};
use ostler_wire::txn::{CreateTxn, Txn, TxnRecord};
use ostler_wire::vote::{Hello, NOTIFICATION_VERSION, Notification};

/// A check of any bytes.
pub(crate) type Body = fn(&[u8]);

/// Every check by the name of its fuzz target and of its corpus.
pub(crate) const BODIES: &[(&str, Body)] = &[
    ("connect", connect),
    ("frame", frame),
    ("path", path),
    ("quorum", quorum),
    ("reply", reply),
    ("request", request),
    ("txn", txn),
    ("vote", vote),
];

/// Runs the check of this name.
pub(crate) fn run(name: &str, bytes: &[u8]) {
    let (_, body) = BODIES.iter().find(|(known, _)| *known == name).expect("a known body");
    body(bytes);
}

/// The most memory in bytes that a value decoded from `input` may hold besides itself.
///
/// The densest inputs are long lists of the shortest elements, with the list's capacity at twice
/// its length.
fn footprint_max(input: &[u8]) -> usize {
    32 * input.len() + 1024
}

fn connect(bytes: &[u8]) {
    if let Ok(request) = ConnectRequest::decode(bytes) {
        let mut out = Vec::new();
        request.encode(&mut out);
        assert_eq!(ConnectRequest::decode(&out), Ok(request));
    }
    if let Ok(response) = ConnectResponse::decode(bytes) {
        let mut out = Vec::new();
        response.encode(&mut out);
        assert_eq!(ConnectResponse::decode(&out), Ok(response));
    }
}

fn frame(bytes: &[u8]) {
    const LENGTH_MAX: usize = 64;
    let mut rest = bytes;
    while let Ok(Some(body)) = frame::first(rest, LENGTH_MAX) {
        assert!(body.len() <= LENGTH_MAX);
        let taken = frame::PREFIX_BYTES + body.len();
        let mut out = Vec::new();
        frame::put(&mut out, |out| out.extend_from_slice(body));
        assert_eq!(Some(&*out), rest.get(..taken));
        // A frame is not seen before its last byte is there.
        let short = rest.get(..taken - 1).expect("shorter than what is there");
        assert_eq!(frame::first(short, LENGTH_MAX), Ok(None));
        rest = rest.get(taken..).expect("the frame was there");
    }
}

fn path(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let verdict = path::validate(&text);
    assert_eq!(verdict.is_ok(), is_valid_path(&text), "{text:?}: {verdict:?}");
    assert_eq!(path::parent(&text), path::split(&text).map(|(parent, _)| parent));
    if let Some((parent, name)) = path::split(&text) {
        assert_eq!(format!("{parent}/{name}"), text);
        assert!(!name.contains('/'));
    }
}

/// The rule once more, unit by unit as ZooKeeper's documents word it.
fn is_valid_path(path: &str) -> bool {
    let units: Vec<u16> = path.encode_utf16().collect();
    let allowed =
        |unit: &u16| !matches!(unit, 0..=0x1f | 0x7f..=0x9f | 0xd800..=0xf8ff | 0xfff0..=0xffff);
    let name_fits = |name: &&str| !["", ".", ".."].contains(name);
    path == "/"
        || path.starts_with('/')
            && units.iter().all(allowed)
            && path.split('/').skip(1).collect::<Vec<_>>().iter().all(name_fits)
}

fn reply(bytes: &[u8]) {
    let from = &mut Reader::new(bytes);
    let Ok(header) = ReplyHeader::read(from) else { return };
    let mut out = Vec::new();
    header.write(&mut out);
    assert_eq!(bytes.get(..ReplyHeader::SIZE_BYTES), Some(&*out));
    let body = from.rest();
    if let Ok(event) = WatcherEvent::read(&mut Reader::new(body)) {
        assert!(event.path.capacity() <= footprint_max(body));
        let mut out = Vec::new();
        WatcherEvent::write_notification(header.zxid, event.event_type, &event.path, &mut out);
        let body = out.get(ReplyHeader::SIZE_BYTES..).expect("a body");
        assert_eq!(WatcherEvent::read(&mut Reader::new(body)), Ok(event));
    }
    if let Ok(results) = OpResult::read_all(&mut Reader::new(body)) {
        assert!(results_footprint(&results) <= footprint_max(body));
        let mut out = Vec::new();
        OpResult::write_all(&results, &mut out);
        assert_eq!(OpResult::read_all(&mut Reader::new(&out)), Ok(results));
    }
    if let Ok(list) = Acl::read_list(&mut Reader::new(body)) {
        assert!(acl_footprint(&list) <= footprint_max(body));
        let mut out = Vec::new();
        Acl::write_list(&list, &mut out);
        assert_eq!(Acl::read_list(&mut Reader::new(&out)), Ok(list));
    }
    if let Ok(stat) = Stat::read(&mut Reader::new(body)) {
        let mut out = Vec::new();
        stat.write(&mut out);
        assert_eq!(body.get(..Stat::SIZE_BYTES), Some(&*out));
    }
    if let Ok(stat) = StatPersisted::read(&mut Reader::new(body)) {
        let mut out = Vec::new();
        stat.write(&mut out);
        assert_eq!(body.get(..StatPersisted::SIZE_BYTES), Some(&*out));
    }
}

fn request(bytes: &[u8]) {
    let from = &mut Reader::new(bytes);
    let Ok(header) = RequestHeader::read(from) else { return };
    let Some(op) = OpCode::from_number(header.op_number) else { return };
    assert_eq!(op.number(), header.op_number);
    let Ok(request) = Request::decode(op, from.rest()) else { return };
    assert_eq!(request.op(), op);
    assert!(request_footprint(&request) <= footprint_max(bytes));
    let mut out = Vec::new();
    request.encode(header.xid, &mut out);
    let from = &mut Reader::new(&out);
    assert_eq!(RequestHeader::read(from), Ok(header));
    let again = Request::decode(op, from.rest());
    match &request {
        // Read from an opcode that is forgiven what the one it is written with is not.
        Request::Multi(parts) if parts.iter().any(has_no_mode) => assert!(again.is_err()),
        _ => assert_eq!(again, Ok(request)),
    }
}

/// Whether this is a create that is bound to be refused for its flags.
fn has_no_mode(part: &Request<'_>) -> bool {
    matches!(part, Request::Create(create) if !(0..=3).contains(&create.flags))
}

fn txn(bytes: &[u8]) {
    let Ok(record) = TxnRecord::decode(bytes) else { return };
    assert!(txn_footprint(&record.txn) <= footprint_max(bytes));
    let mut out = Vec::new();
    record.encode(&mut out);
    assert_eq!(TxnRecord::decode(&out), Ok(record));
}

fn quorum(bytes: &[u8]) {
    const LENGTH_MAX: usize = 64;
    let mut rest = bytes;
    while let Ok(Some((packet, taken))) = QuorumPacket::first(rest, LENGTH_MAX) {
        let whole = rest.get(..taken).expect("no more than there is");
        assert!(packet_footprint(&packet) <= footprint_max(whole));
        assert_eq!(PacketKind::from_number(packet.kind.number()), packet.kind);
        let mut out = Vec::new();
        packet.write(&mut out);
        // Null texts come back as empty ones, and malformed ones repaired: longer, perhaps.
        let again = QuorumPacket::first(&out, 3 * LENGTH_MAX);
        assert_eq!(again, Ok(Some((packet.clone(), out.len()))));
        // A packet is not seen before its last byte is there.
        let short = whole.get(..taken - 1).expect("shorter than what is there");
        assert_eq!(QuorumPacket::first(short, LENGTH_MAX), Ok(None));
        packet_data(packet.data.as_deref().unwrap_or_default());
        rest = rest.get(taken..).expect("the packet was there");
    }
}

/// What stands in the data of packets, whatever their kind is.
fn packet_data(data: &[u8]) {
    if let Ok(info) = LearnerInfo::decode(data) {
        assert_eq!(LearnerInfo::decode(&info.encode()), Ok(info));
    }
    if let Ok(request) = ForwardedRequest::decode(data) {
        assert_eq!(request.encode(), data);
    }
    if let Ok(touched) = Touched::read_all(data) {
        let mut out = Vec::new();
        touched.iter().for_each(|one| one.write(&mut out));
        assert_eq!(out, data);
    }
}

fn packet_footprint(packet: &QuorumPacket) -> usize {
    let ids = packet.ids.iter().map(|id| id.scheme.capacity() + id.id.capacity());
    let data = packet.data.as_ref().map_or(0, |data| data.len());
    capacity(&packet.ids) + ids.sum::<usize>() + data
}

fn vote(bytes: &[u8]) {
    if let Ok(notification) = Notification::decode(bytes) {
        assert!(notification.config.capacity() <= footprint_max(bytes));
        let mut out = Vec::new();
        notification.write(&mut out);
        let version = NOTIFICATION_VERSION;
        assert_eq!(Notification::decode(&out), Ok(Notification { version, ..notification }));
    }
    if let Ok(Some((hello, taken))) = Hello::first(bytes) {
        let addresses = hello.addresses.iter().map(String::capacity).sum::<usize>();
        assert!(capacity(&hello.addresses) + addresses <= footprint_max(bytes));
        let short = bytes.get(..taken - 1).expect("shorter than what is there");
        assert_eq!(Hello::first(short), Ok(None));
        // What is repaired may have become too long.
        let out = hello.encode();
        if !hello.addresses.is_empty() && out.len() <= 20 + 2048 {
            assert_eq!(Hello::first(&out), Ok(Some((hello, out.len()))));
        }
    }
}

/// What a list holds besides the memory of its elements.
fn capacity<T>(list: &Vec<T>) -> usize {
    list.capacity() * size_of::<T>()
}

/// Borrowed text costs nothing.
fn text_footprint(text: &Text<'_>) -> usize {
    match text {
        Text::Borrowed(_) => 0,
        Text::Owned(owned) => owned.capacity(),
    }
}

fn texts_footprint(texts: &Vec<Text<'_>>) -> usize {
    capacity(texts) + texts.iter().map(text_footprint).sum::<usize>()
}

fn optional_footprint(text: Option<&Text<'_>>) -> usize {
    text.map_or(0, text_footprint)
}

fn acl_footprint(list: &Vec<Acl>) -> usize {
    let ids = list.iter().map(|acl| acl.id.scheme.capacity() + acl.id.id.capacity());
    capacity(list) + ids.sum::<usize>()
}

fn entries_footprint(entries: Option<&Vec<AclEntry<'_>>>) -> usize {
    let Some(entries) = entries else { return 0 };
    let ids = entries.iter().map(|entry| {
        optional_footprint(entry.scheme.as_ref()) + optional_footprint(entry.id.as_ref())
    });
    capacity(entries) + ids.sum::<usize>()
}

fn create_footprint(create: &CreateRequest<'_>) -> usize {
    text_footprint(&create.path) + entries_footprint(create.acl.as_ref())
}

fn watch_lists_footprint(lists: &WatchLists<'_>) -> usize {
    [&lists.data, &lists.exist, &lists.child, &lists.persistent, &lists.recursive]
        .into_iter()
        .map(texts_footprint)
        .sum()
}

fn request_footprint(request: &Request<'_>) -> usize {
    match request {
        Request::CloseSession | Request::Ping | Request::Sasl { .. } | Request::WhoAmI => 0,
        Request::AddWatch { path, .. }
        | Request::Auth { scheme: path, .. }
        | Request::Check { path, .. }
        | Request::CheckWatches { path, .. }
        | Request::Delete { path, .. }
        | Request::Exists { path, .. }
        | Request::GetAcl { path }
        | Request::GetAllChildrenNumber { path }
        | Request::GetChildren { path, .. }
        | Request::GetChildren2 { path, .. }
        | Request::GetData { path, .. }
        | Request::RemoveWatches { path, .. }
        | Request::SetData { path, .. } => text_footprint(path),
        Request::Create(create)
        | Request::Create2(create)
        | Request::CreateContainer(create)
        | Request::CreateTtl(create) => create_footprint(create),
        Request::GetEphemerals { prefix: text } | Request::Sync { path: text } => {
            optional_footprint(text.as_ref())
        }
        Request::Multi(ops) | Request::MultiRead(ops) => {
            capacity(ops) + ops.iter().map(request_footprint).sum::<usize>()
        }
        Request::Reconfig { joining, leaving, members, .. } => {
            [joining, leaving, members].map(|text| optional_footprint(text.as_ref())).iter().sum()
        }
        Request::SetAcl { path, acl, .. } => text_footprint(path) + entries_footprint(acl.as_ref()),
        Request::SetWatches(lists) | Request::SetWatches2(lists) => watch_lists_footprint(lists),
    }
}

fn results_footprint(results: &Vec<OpResult>) -> usize {
    let one = |result: &OpResult| match result {
        OpResult::Created { path } | OpResult::CreatedWithStat { path, .. } => path.capacity(),
        OpResult::Deleted | OpResult::DataSet(_) | OpResult::Checked | OpResult::Error(_) => 0,
        OpResult::Data { data, .. } => data.as_ref().map_or(0, Vec::capacity),
        OpResult::Children(names) => {
            capacity(names) + names.iter().map(String::capacity).sum::<usize>()
        }
    };
    capacity(results) + results.iter().map(one).sum::<usize>()
}

fn txn_footprint(txn: &Txn<'_>) -> usize {
    match txn {
        Txn::Create(CreateTxn { path, acl, .. }) | Txn::SetAcl { path, acl, .. } => {
            text_footprint(path) + acl_footprint(acl)
        }
        Txn::Delete { path, .. } | Txn::SetData { path, .. } | Txn::Check { path, .. } => {
            text_footprint(path)
        }
        Txn::CreateSession { .. } | Txn::Error(_) => 0,
        Txn::CloseSession { paths } => paths.as_ref().map_or(0, texts_footprint),
        Txn::Multi(sub_txns) => {
            capacity(sub_txns) + sub_txns.iter().map(txn_footprint).sum::<usize>()
        }
    }
}
