//! Our decoders against bytes that Apache's own classes made.
//!
//! `golden/records.txt` holds pairs of lines: `# field values`, then `kind name hex`. Each vector
//! is decoded, printed in the same form and compared, and encoded again to the same bytes.
//! `golden/traffic-*.txt` hold conversations of real clients with a real server; see [`Talk`].

mod describe;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use describe::{Fields, TXN_HEADER_BYTES, hex, unhex};
use ostler_wire::acl::Acl;
use ostler_wire::connect::{ConnectRequest, ConnectResponse};
use ostler_wire::error::ErrorCode;
use ostler_wire::ids::Xid;
use ostler_wire::jute::{DecodeError, Put, Reader};
use ostler_wire::op::OpCode;
use ostler_wire::reply::{OpResult, ReplyHeader, WatcherEvent};
use ostler_wire::request::{Request, RequestHeader};
use ostler_wire::stat::{Stat, StatPersisted};
use ostler_wire::txn::{Txn, TxnRecord};

fn golden_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// One vector of `records.txt`.
struct Vector<'t> {
    fields: &'t str,
    kind: &'t str,
    name: &'t str,
    bytes: Vec<u8>,
}

/// The vectors of `records.txt`; every line must be part of one.
fn vectors(file: &str) -> Vec<Vector<'_>> {
    let mut lines = file.lines().skip(2);
    let mut vectors = Vec::new();
    while let Some(comment) = lines.next() {
        let fields = comment.strip_prefix("# ").unwrap_or_else(|| panic!("not fields: {comment}"));
        let vector = lines.next().expect("a vector behind its fields");
        let parts: Vec<&str> = vector.split(' ').collect();
        let [kind, name, bytes] = parts[..] else { panic!("not a vector: {vector}") };
        vectors.push(Vector { fields, kind, name, bytes: unhex(bytes) });
    }
    vectors
}

#[test]
fn every_record_decodes_to_its_fields_and_encodes_to_its_bytes() {
    let file = read(&golden_directory().join("records.txt"));
    for vector in vectors(&file) {
        let what = format!("{} {}", vector.kind, vector.name);
        match vector.kind {
            "part" => check_part(&vector),
            "connectRequest" | "connectResponse" => check_connect(&vector),
            "requestHeader" | "replyHeader" | "event" => check_header(&vector),
            "request" => check_request(&vector),
            "reply" => check_reply(&vector),
            "txnHeader" | "txnDigest" => check_txn_part(&vector),
            "txn" => check_txn(&vector),
            "entry" => check_entry(&vector),
            _ => panic!("no decoder is known for {what}"),
        }
    }
}

/// A new operation in the table needs a vector.
#[test]
fn every_operation_has_a_vector() {
    let file = read(&golden_directory().join("records.txt"));
    let seen: BTreeSet<String> = vectors(&file)
        .iter()
        .filter(|vector| vector.kind == "request")
        .map(|vector| operation(vector.name).name().to_owned())
        .collect();
    for op in OpCode::ALL {
        // The create bodies are one; the internal two have no request.
        let shared = [OpCode::Create2, OpCode::CreateContainer].contains(op);
        let internal = [OpCode::CreateSession, OpCode::DeleteContainer].contains(op);
        assert_eq!(seen.contains(op.name()), !shared && !internal, "{op:?}");
    }
}

#[track_caller]
fn same(vector: &Vector<'_>, fields: &str, encoded: &[u8]) {
    assert_eq!(fields, vector.fields, "fields of {} {}", vector.kind, vector.name);
    assert_eq!(hex(encoded), hex(&vector.bytes), "bytes of {} {}", vector.kind, vector.name);
}

/// The operation of `create.nullData`: what stands before the dot.
fn operation(name: &str) -> OpCode {
    let wanted = name.split('.').next().expect("split yields something");
    let found = OpCode::ALL.iter().find(|op| op.name() == wanted);
    *found.unwrap_or_else(|| panic!("no operation {wanted}"))
}

fn check_part(vector: &Vector<'_>) {
    let from = &mut Reader::new(&vector.bytes);
    let mut out = Vec::new();
    let fields = match vector.name {
        "stat" | "stat.zero" => {
            assert_eq!(vector.bytes.len(), Stat::SIZE_BYTES);
            let stat = Stat::read(from).expect("a stat");
            stat.write(&mut out);
            describe::stat(&stat)
        }
        "statPersisted" => {
            assert_eq!(vector.bytes.len(), StatPersisted::SIZE_BYTES);
            let stat = StatPersisted::read(from).expect("a persisted stat");
            stat.write(&mut out);
            describe::stat_persisted(&stat)
        }
        "acl" => {
            let entry = Acl::read(from).expect("an ACL entry");
            entry.write(&mut out);
            describe::acl(&entry)
        }
        // Java writes each half of a surrogate pair by itself and cannot read that back either.
        "acl.beyondBmp" => {
            let entry = Acl::read(from).expect("an ACL entry");
            assert_eq!(describe::acl(&entry), vector.fields.replace('😀', "\u{fffd}\u{fffd}"));
            return;
        }
        "id" | "id.null" | "clientInfo" => {
            let names =
                if vector.name == "clientInfo" { ["authScheme", "user"] } else { ["scheme", "id"] };
            names
                .iter()
                .fold(Fields::new(), |fields, name| {
                    let text = from.string().expect("a string");
                    out.put_buffer(text.as_deref().map(str::as_bytes));
                    fields.with(name, describe::text(text.as_deref()))
                })
                .end()
        }
        "fileHeader.log" | "fileHeader.snapshot" => {
            let (magic, version) = (from.int().expect("an int"), from.int().expect("an int"));
            let database = from.long().expect("a long");
            out.put_int(magic);
            out.put_int(version);
            out.put_long(database);
            let fields = Fields::new().with("magic", magic).with("version", version);
            fields.with("dbid", database).end()
        }
        other => panic!("no decoder is known for part {other}"),
    };
    assert!(from.rest().is_empty(), "bytes are left over in {}", vector.name);
    same(vector, &fields, &out);
}

fn check_connect(vector: &Vector<'_>) {
    let mut out = Vec::new();
    let fields = if vector.kind == "connectRequest" {
        let request = ConnectRequest::decode(&vector.bytes).expect("a connect request");
        request.encode(&mut out);
        describe::connect_request(&request)
    } else {
        let response = ConnectResponse::decode(&vector.bytes).expect("a connect response");
        response.encode(&mut out);
        describe::connect_response(&response)
    };
    same(vector, &fields, &out);
}

fn check_header(vector: &Vector<'_>) {
    let from = &mut Reader::new(&vector.bytes);
    let mut out = Vec::new();
    let fields = match vector.kind {
        "requestHeader" => {
            let header = RequestHeader::read(from).expect("a request header");
            header.write(&mut out);
            assert_eq!(out.len(), RequestHeader::SIZE_BYTES);
            Fields::new().with("xid", header.xid.0).with("type", header.op_number)
        }
        "replyHeader" => {
            let header = ReplyHeader::read(from).expect("a reply header");
            header.write(&mut out);
            assert_eq!(out.len(), ReplyHeader::SIZE_BYTES);
            let fields = Fields::new().with("xid", header.xid.0).with("zxid", header.zxid.0);
            fields.with("err", header.err.0)
        }
        _ => {
            let event = WatcherEvent::read(from).expect("an event");
            let zxid = ostler_wire::ids::Zxid(7);
            WatcherEvent::write_notification(zxid, event.event_type, &event.path, &mut out);
            out.drain(..ReplyHeader::SIZE_BYTES);
            // The only state that servers send.
            let fields = Fields::new().with("type", event.event_type.number()).with("state", 3);
            fields.with("path", describe::text(Some(&event.path)))
        }
    };
    assert!(from.rest().is_empty(), "bytes are left over in {}", vector.name);
    same(vector, &fields.end(), &out);
}

fn check_request(vector: &Vector<'_>) {
    let op = operation(vector.name);
    if vector.name == "exists.nullPath" {
        assert_eq!(Request::decode(op, &vector.bytes), Err(DecodeError::UnexpectedNull));
        return;
    }
    // The four creates tell themselves apart by the opcode alone.
    let ops = match op {
        OpCode::Create => vec![OpCode::Create, OpCode::Create2, OpCode::CreateContainer],
        other => vec![other],
    };
    for op in ops {
        let request = Request::decode(op, &vector.bytes).expect("a request");
        assert_eq!(request.op(), op);
        let mut out = Vec::new();
        request.write_body(&mut out);
        same(vector, &describe::request(&request), &out);
        let mut whole = Vec::new();
        request.encode(Xid(9), &mut whole);
        let header = RequestHeader::read(&mut Reader::new(&whole)).expect("a request header");
        assert_eq!(header, RequestHeader { xid: Xid(9), op_number: op.number() });
        assert_eq!(whole.split_off(RequestHeader::SIZE_BYTES), out);
    }
}

fn check_reply(vector: &Vector<'_>) {
    let op = operation(vector.name);
    let (fields, encoded) = describe::reply(op, &vector.bytes).expect("a reply");
    let Some(results) = expected_results(vector.name) else {
        return same(vector, &fields, &encoded);
    };
    assert_eq!(OpResult::read_all(&mut Reader::new(&vector.bytes)), Ok(results));
    assert_eq!(hex(&encoded), hex(&vector.bytes), "bytes of {}", vector.name);
}

/// What the vectors of multi replies hold; the file describes them in words.
fn expected_results(name: &str) -> Option<Vec<OpResult>> {
    let stat = golden_stat();
    let error = |code| OpResult::Error(ErrorCode(code));
    Some(match name {
        "multi" => vec![
            OpResult::Created { path: "/a".into() },
            OpResult::CreatedWithStat { path: "/a/c".into(), stat },
            OpResult::DataSet(stat),
            OpResult::Checked,
            OpResult::Deleted,
        ],
        "multi.failed" => [0, 0, -103, -2, -2].map(error).to_vec(),
        "multi.empty" => Vec::new(),
        "multiRead" => vec![
            OpResult::Data { data: Some(b"hello".to_vec()), stat },
            OpResult::Children(vec!["a".into(), "b".into()]),
            error(-101),
        ],
        _ => return None,
    })
}

/// The stat that the file uses throughout; its fields are checked as `part stat`.
fn golden_stat() -> Stat {
    let file = read(&golden_directory().join("records.txt"));
    let all = vectors(&file);
    let vector = all.iter().find(|vector| vector.name == "stat").expect("the stat's vector");
    Stat::read(&mut Reader::new(&vector.bytes)).expect("a stat")
}

/// Header and digest are only ever read as parts of a whole record.
fn check_txn_part(vector: &Vector<'_>) {
    let mut whole = Vec::new();
    if vector.kind == "txnHeader" {
        whole.extend_from_slice(&vector.bytes);
        // The smallest body that both types accept: path "/", null data, no ACL; or a timeout.
        whole.extend_from_slice(&unhex("000000012fffffffff0000000000ffffffff"));
        let record = TxnRecord::decode(&whole).expect("a record");
        let mut out = Vec::new();
        record.encode(&mut out);
        let fields = describe::txn_header(&record.header, record.txn.type_number());
        return same(vector, &fields, &out[..TXN_HEADER_BYTES]);
    }
    whole.resize(TXN_HEADER_BYTES - 4, 0);
    whole.put_int(-1);
    whole.put_int(0);
    whole.extend_from_slice(&vector.bytes);
    let record = TxnRecord::decode(&whole).expect("a record");
    let digest = record.digest.expect("a digest");
    let fields = Fields::new().with("version", digest.version);
    let mut out = Vec::new();
    record.encode(&mut out);
    same(
        vector,
        &fields.with("treeDigest", digest.tree_digest).end(),
        &out[TXN_HEADER_BYTES + 4..],
    );
}

fn check_txn(vector: &Vector<'_>) {
    let type_number = vector.name.split('.').next().expect("split yields something");
    let type_number: i32 = type_number.parse().expect("a type number");
    let mut whole = vec![0; TXN_HEADER_BYTES - 4];
    if type_number == 13 {
        // A check stands only inside a multi.
        whole.put_int(14);
        whole.put_int(1);
        whole.put_int(type_number);
        whole.put_buffer(Some(&vector.bytes));
    } else {
        whole.put_int(type_number);
        whole.extend_from_slice(&vector.bytes);
    }
    let record = TxnRecord::decode(&whole).expect("a transaction");
    assert_eq!(record.digest, None);
    let txn = match record.txn {
        Txn::Multi(mut sub_txns) if type_number == 13 => sub_txns.remove(0),
        txn => txn,
    };
    assert_eq!(txn.type_number(), type_number);
    same_txn(vector, &describe::txn(&txn), &describe::txn_body(&txn));
}

/// Like [`same`], but the oldest create has no parent cversion and gains one: -1, "one more".
fn same_txn(vector: &Vector<'_>, fields: &str, encoded: &[u8]) {
    if !vector.name.ends_with(".v0") {
        return same(vector, fields, encoded);
    }
    assert_eq!(fields.replace(" parentCVersion=-1", ""), vector.fields);
    assert_eq!(hex(encoded), hex(&vector.bytes) + "ffffffff");
}

fn check_entry(vector: &Vector<'_>) {
    let record = TxnRecord::decode(&vector.bytes).expect("a log entry");
    let mut out = Vec::new();
    record.encode(&mut out);
    let digest = record.digest.map_or_else(
        || "none".into(),
        |digest| {
            let fields = Fields::new().with("version", digest.version);
            fields.with("treeDigest", digest.tree_digest).end()
        },
    );
    let header = describe::txn_header(&record.header, record.txn.type_number());
    let fields = format!("{header} txn {} digest {digest}", describe::txn(&record.txn));
    same_txn(vector, &fields, &out);
}

/// What a client waits for.
enum Awaited {
    Connect,
    Reply { xid: Xid, request: Result<OpCode, i32>, decodes: bool },
}

/// A conversation: `C hex` and `S hex` are frames without their length, `E` is the server's close,
/// `R` and `T` are bytes outside frames, `#` is a comment. Connections can overlap.
struct Talk {
    /// Whether the client is not a real one, and sends what a real one would not.
    raw: bool,
    awaited: Vec<Awaited>,
}

#[test]
fn every_frame_of_real_traffic_decodes_and_encodes_to_its_bytes() {
    let mut files = 0;
    for entry in std::fs::read_dir(golden_directory()).expect("the golden directory") {
        let path = entry.expect("a directory entry").path();
        let name = path.file_name().expect("a file name").to_string_lossy().into_owned();
        if !name.starts_with("traffic-") {
            assert_eq!(name, "records.txt", "a golden file that no test reads");
            continue;
        }
        files += 1;
        let mut talk = Talk { raw: name == "traffic-raw.txt", awaited: Vec::new() };
        for (index, line) in read(&path).lines().enumerate() {
            talk.line(line, &format!("{name}:{}", index + 1));
        }
    }
    assert!(files > 0, "there is no traffic");
}

impl Talk {
    fn line(&mut self, line: &str, at: &str) {
        match line.split_once(' ') {
            Some(("C", frame)) => self.client(&unhex(frame), at),
            Some(("S", frame)) => self.server(&unhex(frame), at),
            Some(("#" | "R" | "T", _)) => {}
            None if line == "E" => self.closed(at),
            _ => panic!("{at}: not a line of traffic"),
        }
    }

    fn client(&mut self, frame: &[u8], at: &str) {
        if let Some(request) = as_connect_request(frame) {
            let mut out = Vec::new();
            request.encode(&mut out);
            if !self.raw {
                assert_eq!(hex(&out), hex(frame), "{at}");
            }
            assert_eq!(ConnectRequest::decode(&out), Ok(request), "{at}");
            return self.awaited.push(Awaited::Connect);
        }
        let from = &mut Reader::new(frame);
        let Ok(header) = RequestHeader::read(from) else {
            assert!(self.raw, "{at}: too short for a header");
            return;
        };
        let request = OpCode::from_number(header.op_number).ok_or(header.op_number);
        let decoded = request.map(|op| Request::decode(op, from.rest()));
        let decodes = matches!(decoded, Ok(Ok(_)));
        if let Ok(Ok(decoded)) = decoded {
            let mut out = Vec::new();
            decoded.encode(header.xid, &mut out);
            if !self.raw {
                assert_eq!(hex(&out), hex(frame), "{at}: {decoded:?}");
            }
            let again = Request::decode(decoded.op(), &out[RequestHeader::SIZE_BYTES..]);
            assert_eq!(again, Ok(decoded), "{at}");
        }
        self.awaited.push(Awaited::Reply { xid: header.xid, request, decodes });
    }

    fn server(&mut self, frame: &[u8], at: &str) {
        let connects = self.awaited.iter().position(|awaited| matches!(awaited, Awaited::Connect));
        if let (Some(index), Some(response)) = (connects, as_connect_response(frame)) {
            self.awaited.remove(index);
            let mut out = Vec::new();
            response.encode(&mut out);
            assert_eq!(hex(&out), hex(frame), "{at}");
            return;
        }
        let from = &mut Reader::new(frame);
        let header = ReplyHeader::read(from).unwrap_or_else(|error| panic!("{at}: {error}"));
        let mut out = Vec::new();
        if header.xid == Xid::NOTIFICATION {
            let event = WatcherEvent::read(from).unwrap_or_else(|error| panic!("{at}: {error}"));
            let WatcherEvent { event_type, path } = event;
            WatcherEvent::write_notification(header.zxid, event_type, &path, &mut out);
        } else {
            let request = self.answered(&header, at);
            header.write(&mut out);
            if let (Ok(op), ErrorCode::OK) = (request, header.err) {
                let (_, body) = describe::reply(op, from.rest())
                    .unwrap_or_else(|error| panic!("{at}: {op:?}: {error}"));
                out.extend_from_slice(&body);
            }
        }
        assert_eq!(hex(&out), hex(frame), "{at}");
    }

    /// The request that `header` answers. Whether it decoded must agree with the server's verdict.
    fn answered(&mut self, header: &ReplyHeader, at: &str) -> Result<OpCode, i32> {
        let index = self
            .awaited
            .iter()
            .position(|awaited| match awaited {
                Awaited::Connect => false,
                Awaited::Reply { request: Ok(OpCode::Ping), .. } => header.xid == Xid::PING,
                Awaited::Reply { xid, .. } => *xid == header.xid,
            })
            .unwrap_or_else(|| panic!("{at}: an answer to nothing: {header:?}"));
        let Awaited::Reply { request, decodes, .. } = self.awaited.remove(index) else {
            unreachable!("a reply was looked for");
        };
        if request.is_ok() {
            assert_eq!(decodes, header.err != ErrorCode::MARSHALLING_ERROR, "{at}: {request:?}");
        } else {
            assert_eq!(header.err, ErrorCode::UNIMPLEMENTED, "{at}");
        }
        request
    }

    fn closed(&mut self, at: &str) {
        // What got no answer was sent behind a closeSession or could not be read.
        assert!(self.raw, "{at}: only raw traffic notes a close");
        self.awaited.clear();
    }
}

/// A connect request has no mark of its own: version 0, and nothing behind its last field.
fn as_connect_request(frame: &[u8]) -> Option<ConnectRequest<'_>> {
    let request = ConnectRequest::decode(frame).ok()?;
    let mut out = Vec::new();
    request.encode(&mut out);
    (request.protocol_version == 0 && out.len() == frame.len()).then_some(request)
}

fn as_connect_response(frame: &[u8]) -> Option<ConnectResponse> {
    let response = ConnectResponse::decode(frame).ok()?;
    let mut out = Vec::new();
    response.encode(&mut out);
    (out == frame).then_some(response)
}
