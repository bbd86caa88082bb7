//! Bytes to records, and records to bytes.

use std::hint::black_box;

use ostler_wire::acl::Acl;
use ostler_wire::error::ErrorCode;
use ostler_wire::frame;
use ostler_wire::ids::{Xid, Zxid};
use ostler_wire::jute::{Put as _, Reader, Text};
use ostler_wire::op::OpCode;
use ostler_wire::reply::{EventType, ReplyHeader, WatcherEvent};
use ostler_wire::request::{CreateRequest, Request, RequestHeader, acl_entries};
use ostler_wire::stat::Stat;
use ostler_wire::txn::{TxnDigest, TxnRecord};

use super::Round;
use crate::served::put_request;
use crate::znodes::{DATA, child_path, create, header, set_data};

/// Requests in a round of [`decode`].
pub(crate) const DECODED: usize = 40_000;

/// Records in a round of [`encode`].
pub(crate) const ENCODED: usize = 50_000;

/// Cuts frames and decodes requests: getData, setData of 100 bytes, create, exists, in turn.
pub(crate) fn decode() -> Round {
    let acl = Acl::open();
    let mut bytes = Vec::new();
    for number in 0..10 {
        let path = child_path(number, number);
        let path = || Text::Borrowed(&*path);
        let data = Some(DATA);
        put_request(&mut bytes, &Request::GetData { path: path(), watch: false });
        put_request(&mut bytes, &Request::SetData { path: path(), data, version: -1 });
        let acl = Some(acl_entries(&acl));
        let create = CreateRequest { path: path(), data, acl, flags: 0, ttl_ms: -1 };
        put_request(&mut bytes, &Request::Create(create));
        put_request(&mut bytes, &Request::Exists { path: path(), watch: true });
    }
    Box::new(move || {
        for _ in 0..DECODED / 40 {
            let mut rest = black_box(&*bytes);
            while let Some(body) = frame::first(rest, 1 << 20).expect("good lengths") {
                let mut from = Reader::new(body);
                let header = RequestHeader::read(&mut from).expect("a header");
                let op = OpCode::from_number(header.op_number).expect("an operation");
                black_box(Request::decode(op, from.rest()).expect("a request"));
                rest = &rest[frame::PREFIX_BYTES + body.len()..];
            }
        }
    })
}

/// Encodes the answers to getData and setData, a watch event, and the log's records of setData and
/// create, in turn.
pub(crate) fn encode() -> Round {
    let path = child_path(1, 1);
    let stat = Stat { czxid: Zxid(1), mzxid: Zxid(2), data_length: 100, ..Stat::default() };
    let reply = ReplyHeader { xid: Xid(1), zxid: Zxid(3), err: ErrorCode::OK };
    let mut out = Vec::new();
    Box::new(move || {
        let digest = Some(TxnDigest { version: TxnDigest::VERSION, tree_digest: 1 });
        let record = |txn| TxnRecord { header: header(Zxid(3)), txn, digest };
        let records = [record(set_data(&path)), record(create(&path))];
        for _ in 0..ENCODED / 5 {
            out.clear();
            let (reply, stat) = (black_box(&reply), black_box(&stat));
            frame::put(&mut out, |out| {
                reply.write(out);
                out.put_buffer(Some(DATA));
                stat.write(out);
            });
            frame::put(&mut out, |out| {
                reply.write(out);
                stat.write(out);
            });
            frame::put(&mut out, |out| {
                let event = EventType::NodeDataChanged;
                WatcherEvent::write_notification(reply.zxid, event, &path, out);
            });
            black_box(&records).iter().for_each(|record| record.encode(&mut out));
            black_box(&out);
        }
    })
}
