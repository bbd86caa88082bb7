//! A server of a few operations: enough for clients to count with.

use std::collections::{BTreeMap, BTreeSet};

use ostler_client::session::LinkId;
use ostler_wire::connect::{ConnectRequest, ConnectResponse};
use ostler_wire::error::ErrorCode;
use ostler_wire::frame;
use ostler_wire::ids::{SessionId, Xid, Zxid};
use ostler_wire::jute::{Put as _, Reader};
use ostler_wire::op::OpCode;
use ostler_wire::reply::{EventType, ReplyHeader, WatcherEvent};
use ostler_wire::request::{Request, RequestHeader};
use ostler_wire::stat::Stat;

/// A connection: the client's number and its link.
pub(crate) type Connection = (usize, LinkId);

#[derive(Default)]
pub(crate) struct Server {
    zxid: i64,
    sessions: i64,
    nodes: BTreeMap<String, (Vec<u8>, Stat)>,
    connections: BTreeMap<Connection, Open>,
    watches: BTreeSet<(String, Connection)>,
}

#[derive(Default)]
struct Open {
    inbox: Vec<u8>,
    is_greeted: bool,
}

impl Server {
    pub(crate) fn accept(&mut self, connection: Connection) {
        self.connections.insert(connection, Open::default());
    }

    pub(crate) fn forget(&mut self, connection: Connection) {
        self.connections.remove(&connection);
        self.watches.retain(|(_, of)| *of != connection);
    }

    pub(crate) fn data(&self, path: &str) -> &[u8] {
        &self.nodes[path].0
    }

    /// Takes bytes and gives the bytes that go out because of them.
    pub(crate) fn receive(&mut self, from: Connection, bytes: &[u8]) -> Vec<(Connection, Vec<u8>)> {
        let mut out = Vec::new();
        let Some(open) = self.connections.get_mut(&from) else { return out };
        open.inbox.extend_from_slice(bytes);
        let mut inbox = std::mem::take(&mut open.inbox);
        while let Some(body) = frame::first(&inbox, 1 << 20).expect("clients send frames") {
            let body = body.to_vec();
            inbox.drain(..frame::PREFIX_BYTES + body.len());
            if std::mem::replace(&mut self.connections.get_mut(&from).unwrap().is_greeted, true) {
                self.answer(from, &body, &mut out);
            } else {
                out.push((from, self.greet(&body)));
            }
        }
        self.connections.get_mut(&from).unwrap().inbox = inbox;
        out
    }

    fn greet(&mut self, body: &[u8]) -> Vec<u8> {
        let request = ConnectRequest::decode(body).expect("a connect request");
        assert!(request.last_zxid_seen.0 <= self.zxid, "clients are never ahead");
        let session = if request.session == SessionId::NONE {
            self.sessions += 1;
            SessionId(self.sessions)
        } else {
            request.session
        };
        let (timeout_ms, password) = (request.timeout_ms, [1; 16]);
        let response = ConnectResponse { timeout_ms, session, password, read_only: Some(false) };
        let mut bytes = Vec::new();
        frame::put(&mut bytes, |out| response.encode(out));
        bytes
    }

    fn answer(&mut self, from: Connection, body: &[u8], out: &mut Vec<(Connection, Vec<u8>)>) {
        let header = RequestHeader::read(&mut Reader::new(body)).expect("a header");
        let op = OpCode::from_number(header.op_number).expect("an operation");
        let body = &body[RequestHeader::SIZE_BYTES..];
        let request = Request::decode(op, body).expect("a request");
        let mut reply = Vec::new();
        let err = self.execute(from, &request, &mut reply, out);
        let mut bytes = Vec::new();
        frame::put(&mut bytes, |out| {
            ReplyHeader { xid: header.xid, zxid: Zxid(self.zxid), err }.write(out);
            out.extend_from_slice(&reply);
        });
        out.push((from, bytes));
    }

    fn execute(
        &mut self,
        from: Connection,
        request: &Request<'_>,
        reply: &mut Vec<u8>,
        out: &mut Vec<(Connection, Vec<u8>)>,
    ) -> ErrorCode {
        match request {
            Request::Create2(create) => {
                self.zxid += 1;
                if self.nodes.contains_key(&*create.path) {
                    return ErrorCode::NODE_EXISTS;
                }
                let stat = Stat { czxid: Zxid(self.zxid), ..Stat::default() };
                let data = create.data.unwrap_or_default().to_vec();
                self.nodes.insert(create.path.to_string(), (data, stat));
                reply.put_string(&create.path);
                stat.write(reply);
            }
            Request::GetData { path, watch } => {
                let Some((data, stat)) = self.nodes.get(&**path) else {
                    return ErrorCode::NO_NODE;
                };
                reply.put_buffer(Some(data));
                stat.write(reply);
                if *watch {
                    self.watches.insert((path.to_string(), from));
                }
            }
            Request::SetData { path, data, version } => {
                self.zxid += 1;
                let Some((old, stat)) = self.nodes.get_mut(&**path) else {
                    return ErrorCode::NO_NODE;
                };
                if ![-1, stat.version].contains(version) {
                    return ErrorCode::BAD_VERSION;
                }
                *old = data.unwrap_or_default().to_vec();
                *stat = Stat { version: stat.version + 1, mzxid: Zxid(self.zxid), ..*stat };
                stat.write(reply);
                self.fire(path, out);
            }
            Request::SetWatches(lists) => {
                for path in &lists.data {
                    if self.nodes[&**path].1.mzxid > lists.relative_zxid {
                        out.push((from, event(Zxid::NONE, path)));
                    } else {
                        self.watches.insert((path.to_string(), from));
                    }
                }
            }
            Request::Ping => {}
            Request::RemoveWatches { path, .. } => {
                self.watches.remove(&(path.to_string(), from));
            }
            Request::CloseSession => {}
            other => panic!("{other:?} is not served"),
        }
        ErrorCode::OK
    }

    fn fire(&mut self, path: &str, out: &mut Vec<(Connection, Vec<u8>)>) {
        let zxid = Zxid(self.zxid);
        self.watches.retain(|(watched, connection)| {
            if watched == path {
                out.push((*connection, event(zxid, path)));
            }
            watched != path
        });
    }
}

fn event(zxid: Zxid, path: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::put(&mut bytes, |out| {
        WatcherEvent::write_notification(zxid, EventType::NodeDataChanged, path, out);
    });
    debug_assert!(bytes[4..8] == Xid::NOTIFICATION.0.to_be_bytes());
    bytes
}
