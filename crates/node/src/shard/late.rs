//! Answers that are put off: encoded when there is room, from the view that they were due at.
//!
//! When a write is answered, a thousand reads behind it may be due at once, each of a megabyte. All
//! of them are answered at that step of the world: their watches are set, and they show nothing
//! that comes later. But a connection with enough unsent output keeps, for each long answer, the
//! view and the request instead of the bytes, and the bytes are made again when those before them
//! have left.
//!
//! ```text
//!  output (encoded) │ late answer │ output behind it │ late answer │ output behind it
//!  leaves next ────►                                                new output goes here
//! ```
//!
//! A view shares with all others what did not change, so a late answer holds little but the data
//! that were replaced since, and those are bounded by the writes that were in progress.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::mem;

use ostler_tree::Tree;
use ostler_wire::jute::Reader;
use ostler_wire::op::OpCode;
use ostler_wire::request::{Request as ClientRequest, RequestHeader};

use super::conn::{Conn, State, Waiting};
use super::read::Reading;
use super::watches::Watches;
use super::{Shard, ShardEffect};
use crate::clock::Clock;
use crate::limits::{
    ENCODED_AT_ONCE_BYTES, LATE_ANSWER_MIN_BYTES, UNSENT_PER_CONNECTION_MAX_BYTES,
};
use crate::messages::Ids;

/// The answers of a connection that were put off, oldest first. Hardly any connection has some.
#[derive(Debug, Default)]
// A box, since every connection has room for this: 8 bytes instead of 32.
#[allow(clippy::box_collection)]
pub(super) struct LateAnswers(Option<Box<VecDeque<Late>>>);

impl LateAnswers {
    pub(super) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|late| late.is_empty())
    }

    /// Where new output goes while there are some.
    pub(super) fn tail(&mut self) -> Option<&mut Vec<u8>> {
        Some(&mut self.0.as_mut()?.back_mut()?.behind)
    }

    /// The length of what is encoded behind them.
    pub(super) fn encoded_bytes(&self) -> usize {
        self.0.iter().flat_map(|late| late.iter()).map(|late| late.behind.len()).sum()
    }

    fn push(&mut self, late: Late) {
        self.0.get_or_insert_default().push_back(late);
    }

    fn pop(&mut self) -> Option<Late> {
        let late = self.0.as_mut()?.pop_front();
        if late.is_none() {
            self.0 = None;
        }
        late
    }
}

/// An answer that is encoded later, and what was queued behind it.
#[derive(Debug)]
struct Late {
    /// Header and body of the request.
    frame: Vec<u8>,
    /// What it sees.
    view: Tree,
    /// Who asked.
    ids: Ids,
    behind: Vec<u8>,
}

impl Shard {
    /// Serves a request whose turn has come, and puts its answer off if that is long and there is
    /// no room for it.
    pub(super) fn serve_in_turn(
        &mut self,
        at: Clock,
        conn: &mut Conn,
        waiting: Waiting,
        out: &mut Vec<ShardEffect>,
    ) {
        let has_room = conn.unsent_bytes() < UNSENT_PER_CONNECTION_MAX_BYTES;
        let before = conn.tail().len();
        self.serve(at, conn, &waiting, out);
        let answer_bytes = conn.tail().len() - before;
        if has_room
            || answer_bytes < LATE_ANSWER_MIN_BYTES
            || conn.state != State::Open
            || !is_repeatable(&waiting.frame)
        {
            return;
        }
        let tail = conn.tail();
        tail.truncate(before);
        tail.shrink_to(2 * before);
        let (view, ids) = (self.view.clone(), Ids::clone(&conn.ids));
        conn.late.push(Late { frame: waiting.frame, view, ids, behind: Vec::new() });
    }

    /// Encodes late answers of a connection whose output has left.
    pub(super) fn encode_late(&self, conn: &mut Conn) {
        while conn.output.len() < ENCODED_AT_ONCE_BYTES
            && let Some(Late { frame, view, ids, behind }) = conn.late.pop()
        {
            let mut from = Reader::new(&frame);
            let header = RequestHeader::read(&mut from).expect("it was read before");
            let op = OpCode::from_number(header.op_number).expect("it was served before");
            let request = ClientRequest::decode(op, from.rest()).expect("it was decoded before");
            // Its watch is set already, and the client may have proved more of itself since.
            let mut nobody = Watches::new(0);
            let watched = mem::take(&mut conn.watched);
            let ids = mem::replace(&mut conn.ids, ids);
            let late = mem::take(&mut conn.late);
            Reading { view: &view, auth: &self.settings.auth, watches: &mut nobody }
                .answer(conn, header.xid, &request);
            conn.late = late;
            conn.ids = ids;
            conn.watched = watched;
            conn.output.extend_from_slice(&behind);
        }
    }
}

/// Whether the answer depends on nothing but the view and the ids, and can be long.
fn is_repeatable(frame: &[u8]) -> bool {
    let header = RequestHeader::read(&mut Reader::new(frame));
    let op = header.ok().and_then(|header| OpCode::from_number(header.op_number));
    matches!(
        op,
        Some(
            OpCode::GetData
                | OpCode::GetChildren
                | OpCode::GetChildren2
                | OpCode::GetAcl
                | OpCode::GetEphemerals
                | OpCode::MultiRead
        )
    )
}
