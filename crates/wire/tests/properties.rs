//! Properties of every decoder, on random records and on random bytes.
//!
//! Records of any shape come back from their bytes unchanged. Bytes that are random, or a record's
//! bytes with damage, go through the bodies of the fuzz targets, which say what must hold.

mod fuzz_bodies;
mod strategies;

use ostler_wire::acl::Acl;
use ostler_wire::connect::{ConnectRequest, ConnectResponse};
use ostler_wire::frame::{self, BadLength};
use ostler_wire::ids::{SessionId, Xid, Zxid};
use ostler_wire::jute::{DecodeError, Put, Reader};
use ostler_wire::op::OpCode;
use ostler_wire::reply::{EventType, OpResult, ReplyHeader, WatcherEvent};
use ostler_wire::request::{MultiHeader, Request, RequestHeader, acl_entries};
use ostler_wire::stat::{Stat, StatPersisted};
use ostler_wire::txn::{CreateRecord, CreateTxn, Txn, TxnRecord};
use proptest::prelude::*;

/// Somewhere in a record's bytes, something else.
fn damage(mut bytes: Vec<u8>, spots: &[(prop::sample::Index, u8)], keep: f64) -> Vec<u8> {
    for (spot, value) in spots {
        if !bytes.is_empty() {
            let index = spot.index(bytes.len());
            bytes[index] = *value;
        }
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    bytes.truncate((bytes.len() as f64 * keep) as usize);
    bytes
}

/// A few bytes to overwrite; the values are those that lengths and counts are sensitive to.
fn spots() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    let value = prop_oneof![Just(0), Just(1), Just(0x7f), Just(0x80), Just(0xff), any::<u8>()];
    prop::collection::vec((any::<prop::sample::Index>(), value), 0..4)
}

/// How much of the bytes to keep.
fn keep() -> impl Strategy<Value = f64> {
    prop_oneof![3 => Just(1.0), 1 => 0.0..1.0_f64]
}

/// Bytes such as lengths and counts begin with.
fn mostly_zero() -> impl Strategy<Value = u8> {
    prop_oneof![4 => Just(0), 1 => 0..16_u8, 1 => any::<u8>()]
}

proptest! {
    #[test]
    fn requests_survive(request in strategies::request(), xid in any::<i32>()) {
        let mut out = Vec::new();
        request.encode(Xid(xid), &mut out);
        let from = &mut Reader::new(&out);
        let header = RequestHeader::read(from).expect("a header");
        prop_assert_eq!(header, RequestHeader { xid: Xid(xid), op_number: request.op().number() });
        let end = out.len() - from.rest().len();
        prop_assert_eq!(Request::decode(request.op(), &out[end..]), Ok(request.clone()));
        // What stands behind a request is nobody's business.
        out.extend_from_slice(b"left over");
        prop_assert_eq!(Request::decode(request.op(), &out[end..]), Ok(request));
    }

    #[test]
    fn requests_cut_short_are_refused(request in strategies::request(), keep in 0.0..1.0_f64) {
        let mut body = Vec::new();
        request.write_body(&mut body);
        let whole = body.len();
        let cut = damage(body, &[], keep);
        prop_assume!(cut.len() < whole);
        let decoded = Request::decode(request.op(), &cut);
        prop_assert!(decoded.is_err(), "{:?}", decoded);
    }

    #[test]
    fn damaged_requests_are_harmless(
        request in strategies::request(), spots in spots(), keep in keep(),
    ) {
        let mut out = Vec::new();
        request.encode(Xid(1), &mut out);
        fuzz_bodies::run("request", &damage(out, &spots, keep));
    }

    #[test]
    fn transactions_survive(record in strategies::txn_record()) {
        let mut out = Vec::new();
        record.encode(&mut out);
        prop_assert_eq!(TxnRecord::decode(&out), Ok(record));
    }

    #[test]
    fn creates_are_read_alike_with_and_without_their_lists(
        record in strategies::txn_record(), spots in spots(), keep in keep(),
    ) {
        let mut out = Vec::new();
        record.encode(&mut out);
        let is_create = matches!(record.txn, Txn::Create(_));
        prop_assert_eq!(CreateRecord::decode(&out).is_some(), is_create);
        for body in [out.clone(), damage(out.clone(), &spots, keep)] {
            let Some(create) = CreateRecord::decode(&body) else { continue };
            let CreateRecord { header, kind, path, data, acl, parent_cversion, digest } = create;
            let acl = Acl::read_list(&mut Reader::new(acl)).expect("it was read before");
            let txn = Txn::Create(CreateTxn { kind, path, data, acl, parent_cversion });
            prop_assert_eq!(TxnRecord::decode(&body), Ok(TxnRecord { header, txn, digest }));
        }
    }

    #[test]
    fn damaged_transactions_are_harmless(
        record in strategies::txn_record(), spots in spots(), keep in keep(),
    ) {
        let mut out = Vec::new();
        record.encode(&mut out);
        fuzz_bodies::run("txn", &damage(out, &spots, keep));
    }

    #[test]
    fn multi_results_survive(results in prop::collection::vec(strategies::op_result(), 0..6)) {
        let mut out = Vec::new();
        OpResult::write_all(&results, &mut out);
        let from = &mut Reader::new(&out);
        prop_assert_eq!(OpResult::read_all(from), Ok(results));
        prop_assert!(from.rest().is_empty());
    }

    #[test]
    fn damaged_replies_are_harmless(
        results in prop::collection::vec(strategies::op_result(), 0..6),
        acl in strategies::acl_list(),
        spots in spots(),
        keep in keep(),
    ) {
        let mut out = Vec::new();
        strategies::reply_header(0).write(&mut out);
        if results.is_empty() {
            Acl::write_list(&acl, &mut out);
        } else {
            OpResult::write_all(&results, &mut out);
        }
        fuzz_bodies::run("reply", &damage(out, &spots, keep));
    }

    #[test]
    fn connect_requests_survive(
        (protocol_version, zxid, timeout_ms, session) in any::<(i32, i64, i32, i64)>(),
        password in strategies::data(),
        read_only in any::<Option<bool>>(),
    ) {
        let last_zxid_seen = Zxid(zxid);
        let session = SessionId(session);
        let request = ConnectRequest {
            protocol_version, last_zxid_seen, timeout_ms, session, password, read_only,
        };
        let mut out = Vec::new();
        request.encode(&mut out);
        prop_assert_eq!(ConnectRequest::decode(&out), Ok(request));
    }

    #[test]
    fn connect_responses_survive(
        (timeout_ms, session, password) in any::<(i32, i64, [u8; 16])>(),
        read_only in any::<Option<bool>>(),
    ) {
        let session = SessionId(session);
        let response = ConnectResponse { timeout_ms, session, password, read_only };
        let mut out = Vec::new();
        response.encode(&mut out);
        prop_assert_eq!(ConnectResponse::decode(&out), Ok(response));
    }

    #[test]
    fn stats_survive(stat in strategies::stat(), persisted in strategies::stat_persisted()) {
        let mut out = Vec::new();
        stat.write(&mut out);
        prop_assert_eq!(out.len(), Stat::SIZE_BYTES);
        prop_assert_eq!(Stat::read(&mut Reader::new(&out)), Ok(stat));
        out.clear();
        persisted.write(&mut out);
        prop_assert_eq!(out.len(), StatPersisted::SIZE_BYTES);
        prop_assert_eq!(StatPersisted::read(&mut Reader::new(&out)), Ok(persisted));
    }

    #[test]
    fn acl_lists_survive_as_lists_and_as_entries(acl in strategies::acl_list()) {
        let mut out = Vec::new();
        Acl::write_list(&acl, &mut out);
        prop_assert_eq!(Acl::read_list(&mut Reader::new(&out)), Ok(acl.clone()));
        let entries = acl_entries(&acl);
        let request =
            Request::SetAcl { path: "/".into(), acl: Some(entries), version: 0 };
        let mut body = Vec::new();
        request.write_body(&mut body);
        // A path "/" of five bytes in front, a version behind.
        prop_assert_eq!(&body[5..body.len() - 4], &out[..]);
    }

    #[test]
    fn notifications_survive(path in ".{0,12}", zxid in any::<i64>(), number in 1..=4) {
        let event_type = EventType::from_number(number).expect("one of the four");
        let mut out = Vec::new();
        WatcherEvent::write_notification(Zxid(zxid), event_type, &path, &mut out);
        let from = &mut Reader::new(&out);
        let header = ReplyHeader::read(from).expect("a header");
        prop_assert_eq!(header, ReplyHeader { xid: Xid(-1), ..strategies::reply_header(zxid) });
        prop_assert_eq!(WatcherEvent::read(from), Ok(WatcherEvent { event_type, path }));
    }

    #[test]
    fn frames_come_out_as_they_went_in(
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
    ) {
        let mut stream = Vec::new();
        for body in &bodies {
            frame::put(&mut stream, |out| out.extend_from_slice(body));
        }
        // Byte by byte, as the slowest network would bring them.
        let mut buffer = Vec::new();
        let mut arrived = Vec::new();
        for byte in stream {
            buffer.push(byte);
            if let Some(body) = frame::first(&buffer, 40).expect("a good length") {
                arrived.push(body.to_vec());
                buffer.clear();
            }
        }
        prop_assert_eq!(arrived, bodies);
        prop_assert!(buffer.is_empty());
    }

    #[test]
    fn any_bytes_are_harmless(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for (_, body) in fuzz_bodies::BODIES {
            body(&bytes);
        }
    }

    /// Random bytes rarely name an operation.
    #[test]
    fn any_body_of_any_operation_is_harmless(
        op in prop::sample::select(OpCode::ALL),
        body in prop::collection::vec(mostly_zero(), 0..80),
    ) {
        let mut out = Vec::new();
        RequestHeader { xid: Xid(1), op_number: op.number() }.write(&mut out);
        out.extend_from_slice(&body);
        fuzz_bodies::run("request", &out);
    }

    #[test]
    fn any_text_as_a_path_gets_the_verdict_of_the_rule(
        path in "(/[.a\u{0}\u{7f}\u{e000}-\u{e001}\u{ffef}-\u{fff1}]{0,3}){0,4}|.*",
    ) {
        fuzz_bodies::run("path", path.as_bytes());
    }
}

/// The count is the sender's claim; memory must not follow it.
#[test]
fn a_lying_count_is_refused_by_the_bytes_that_are_missing() {
    for count in [1, 1 << 20, i32::MAX] {
        let mut list = Vec::new();
        list.put_int(count);
        assert_eq!(Acl::read_list(&mut Reader::new(&list)), Err(DecodeError::Truncated));
        let mut set_watches = vec![0; 8];
        set_watches.put_int(count);
        let decoded = Request::decode(OpCode::SetWatches, &set_watches);
        assert_eq!(decoded, Err(DecodeError::Truncated));
    }
}

#[test]
fn a_negative_count_other_than_null_is_an_empty_vector() {
    for (count, expected) in [(-1, None), (-2, Some(Vec::new())), (i32::MIN, Some(Vec::new()))] {
        let mut bytes = Vec::new();
        bytes.put_int(count);
        assert_eq!(Reader::new(&bytes).vector(Reader::int), Ok(expected));
    }
}

#[test]
fn a_buffer_longer_than_what_is_left_is_refused() {
    for length in [2, i32::MAX, -2, i32::MIN] {
        let mut bytes = Vec::new();
        bytes.put_int(length);
        bytes.push(b'x');
        assert_eq!(Reader::new(&bytes).buffer(), Err(DecodeError::BadLength(length)));
    }
}

#[test]
fn a_frame_above_the_limit_is_refused_before_it_arrives() {
    let limit = 0xf_ffff;
    let at_limit = 0x000f_ffff_i32.to_be_bytes();
    assert_eq!(frame::first(&at_limit, limit), Ok(None));
    let above = 0x0010_0000_i32;
    assert_eq!(frame::first(&above.to_be_bytes(), limit), Err(BadLength(above)));
}

/// What a part of a multi is, by the opcode and flags that it was sent with.
#[test]
fn flags_decide_what_a_create_in_a_multi_is() {
    let cases = [
        (OpCode::Create, 0..=3, OpCode::Create),
        (OpCode::Create2, 0..=3, OpCode::Create2),
        (OpCode::CreateContainer, 0..=3, OpCode::CreateContainer),
        (OpCode::Create, 4..=4, OpCode::CreateContainer),
        (OpCode::Create2, 4..=4, OpCode::CreateContainer),
        (OpCode::CreateTtl, 0..=3, OpCode::Create),
        (OpCode::CreateTtl, 4..=4, OpCode::CreateContainer),
        (OpCode::CreateTtl, 5..=6, OpCode::CreateTtl),
        (OpCode::CreateTtl, 7..=8, OpCode::Create),
        (OpCode::CreateTtl, -1..=-1, OpCode::Create),
    ];
    for (sent, flags, expected) in cases {
        for flags in flags {
            let parts = decode_multi_create(sent, flags, 0).expect("a multi");
            let [
                Request::Create(create)
                | Request::Create2(create)
                | Request::CreateContainer(create)
                | Request::CreateTtl(create),
            ] = &*parts
            else {
                panic!("not a create: {parts:?}");
            };
            assert_eq!(parts[0].op(), expected, "{sent:?} with flags {flags}");
            assert_eq!(create.flags, flags);
            assert_eq!(create.ttl_ms, if expected == OpCode::CreateTtl { 1000 } else { -1 });
        }
    }
}

#[test]
fn a_create_in_a_multi_can_spoil_the_whole() {
    for sent in [OpCode::Create, OpCode::Create2, OpCode::CreateContainer] {
        for flags in [-1, 5, 6, 7] {
            let decoded = decode_multi_create(sent, flags, 0);
            assert_eq!(decoded, Err(DecodeError::BadValue(flags)), "{sent:?}");
        }
    }
    for (sent, flags) in [(OpCode::Create, 0), (OpCode::Create2, 4), (OpCode::CreateContainer, 4)] {
        let decoded = decode_multi_create(sent, flags, -1);
        assert_eq!(decoded, Err(DecodeError::NullAcl), "{sent:?} with flags {flags}");
    }
    assert!(decode_multi_create(OpCode::CreateTtl, 5, -1).is_ok());
}

/// A multi of one create, as its bytes say.
fn decode_multi_create(
    op: OpCode,
    flags: i32,
    acl_count: i32,
) -> Result<Vec<Request<'static>>, DecodeError> {
    let mut body = Vec::new();
    MultiHeader { op_number: op.number(), done: false, err: -1 }.write(&mut body);
    body.put_string("/a");
    body.put_buffer(None);
    body.put_int(acl_count);
    body.put_int(flags);
    if op == OpCode::CreateTtl {
        body.put_long(1000);
    }
    MultiHeader::END.write(&mut body);
    match Request::decode(OpCode::Multi, body.leak())? {
        Request::Multi(parts) => Ok(parts),
        other => panic!("not a multi: {other:?}"),
    }
}
