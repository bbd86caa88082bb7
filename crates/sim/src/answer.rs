//! What a client makes of the bytes it receives. The tests of a single server use this file too.

use ostler_wire::acl::Acl;
use ostler_wire::connect::ConnectResponse;
use ostler_wire::error::ErrorCode;
use ostler_wire::frame;
use ostler_wire::ids::{Xid, Zxid};
use ostler_wire::jute::{DecodeError, Reader};
use ostler_wire::op::OpCode;
use ostler_wire::reply::{EventType, OpResult, ReplyHeader, WatcherEvent};
use ostler_wire::stat::Stat;

/// The body of a reply.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Answer {
    Empty,
    Path(String),
    PathStat(String, Stat),
    Stat(Stat),
    Data(Option<Vec<u8>>, Stat),
    /// Sorted, since their order means nothing.
    Children(Vec<String>),
    ChildrenStat(Vec<String>, Stat),
    Acl(Vec<Acl>, Stat),
    Multi(Vec<OpResult>),
    Sync(Option<String>),
    Number(i32),
    /// Schemes and users.
    Ids(Vec<(String, String)>),
    /// An error that has a body, a list of no parts: multiRead alone has it.
    NoParts(ErrorCode),
    /// A token of SASL.
    Token(Option<Vec<u8>>),
}

impl Answer {
    /// Reads the body of a successful reply to `op`, all of it.
    fn decode(op: OpCode, body: &[u8]) -> Result<Self, DecodeError> {
        let from = &mut Reader::new(body);
        let answer = match op {
            OpCode::Create => Self::Path(from.text()?.into_owned()),
            OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
                Self::PathStat(from.text()?.into_owned(), Stat::read(from)?)
            }
            OpCode::SetData | OpCode::SetAcl | OpCode::Exists => Self::Stat(Stat::read(from)?),
            OpCode::GetData => Self::Data(from.buffer()?.map(<[u8]>::to_vec), Stat::read(from)?),
            OpCode::GetChildren | OpCode::GetEphemerals => Self::Children(names(from)?),
            OpCode::GetChildren2 => Self::ChildrenStat(names(from)?, Stat::read(from)?),
            OpCode::GetAcl => Self::Acl(Acl::read_list(from)?, Stat::read(from)?),
            OpCode::Multi => Self::Multi(OpResult::read_all(from)?),
            OpCode::MultiRead => Self::Multi(sorted(OpResult::read_all(from)?)),
            OpCode::AddWatch | OpCode::GetAllChildrenNumber => Self::Number(from.int()?),
            OpCode::WhoAmI => Self::Ids(
                from.vector(|from| Ok((from.text()?.into_owned(), from.text()?.into_owned())))?
                    .unwrap_or_default(),
            ),
            OpCode::Sasl => Self::Token(from.buffer()?.map(<[u8]>::to_vec)),
            OpCode::Sync => Self::Sync(from.string()?.map(|path| path.into_owned())),
            _ => Self::Empty,
        };
        assert!(from.rest().is_empty(), "bytes behind the answer to {op:?}");
        Ok(answer)
    }
}

fn sorted(mut results: Vec<OpResult>) -> Vec<OpResult> {
    for result in &mut results {
        if let OpResult::Children(names) = result {
            names.sort();
        }
    }
    results
}

fn names(from: &mut Reader<'_>) -> Result<Vec<String>, DecodeError> {
    let mut names = from.vector(|from| Ok(from.text()?.into_owned()))?.unwrap_or_default();
    names.sort();
    Ok(names)
}

/// One frame from the server.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Frame {
    Connected(ConnectResponse),
    Reply {
        xid: Xid,
        zxid: Zxid,
        outcome: Result<Answer, ErrorCode>,
    },
    Event {
        zxid: Zxid,
        event_type: EventType,
        path: String,
    },
    /// The answer to a four-letter word.
    Text(String),
}

/// Takes the first whole frame from `bytes`, and says how long it is.
///
/// `is_first` is for the first of a connection; `op_of` tells which operation had this number.
pub(crate) fn next_frame(
    bytes: &[u8],
    is_first: bool,
    op_of: impl FnOnce(Xid) -> OpCode,
) -> Option<(Frame, usize)> {
    if is_first && bytes.starts_with(b"the ") {
        return Some((Frame::Text(String::from_utf8_lossy(bytes).into_owned()), bytes.len()));
    }
    let body = frame::first(bytes, usize::MAX).expect("servers send good lengths")?;
    let length = frame::PREFIX_BYTES + body.len();
    if is_first {
        let response = ConnectResponse::decode(body).expect("a connect response");
        return Some((Frame::Connected(response), length));
    }
    let from = &mut Reader::new(body);
    let header = ReplyHeader::read(from).expect("a reply header");
    if header.xid == Xid::NOTIFICATION {
        let event = WatcherEvent::read(from).expect("an event");
        let (event_type, path) = (event.event_type, event.path);
        return Some((Frame::Event { zxid: header.zxid, event_type, path }, length));
    }
    let op = op_of(header.xid);
    let outcome = if header.err == ErrorCode::OK {
        Ok(Answer::decode(op, from.rest()).expect("an answer"))
    } else if op == OpCode::MultiRead && !from.rest().is_empty() {
        assert_eq!(OpResult::read_all(from), Ok(Vec::new()));
        Ok(Answer::NoParts(header.err))
    } else {
        assert!(from.rest().is_empty(), "an error has no body");
        Err(header.err)
    };
    Some((Frame::Reply { xid: header.xid, zxid: header.zxid, outcome }, length))
}
