//! Warming: requests that have arrived together load together what they need of the tree; see
//! [`Tree::warm`].
//!
//! It decides nothing and refuses nothing: whoever carries a request out finds what is wrong with
//! it. Writes are carried out by the replica, on a tree that shares nearly everything with the view
//! that is warmed here.

use core::str;

use ostler_tree::{Intent, Tree};
use ostler_wire::frame;
use ostler_wire::op::OpCode;
use ostler_wire::request::RequestHeader;

/// Warms what the first frames of `bytes` are about. Returns how many bytes of them have had all
/// that there is for them.
pub(super) fn warm(view: &Tree, bytes: &[u8], frame_max_bytes: usize) -> usize {
    if view.node_count() < LARGE_TREE_ZNODES {
        return bytes.len();
    }
    let mut rest = bytes;
    let frames = core::iter::from_fn(|| {
        let body = frame::first(rest, frame_max_bytes).ok()??;
        rest = &rest[frame::PREFIX_BYTES + body.len()..];
        Some(body)
    });
    let mut frames = frames.take(TOGETHER_MAX);
    let (Some(first), Some(second)) = (frames.next(), frames.next()) else {
        // A request that is alone has nobody to wait together with.
        return bytes.len();
    };
    view.warm([first, second].into_iter().chain(frames).filter_map(subject));
    bytes.len() - rest.len()
}

/// The znode that a request is about, and what for, if it is about one.
fn subject(body: &[u8]) -> Option<(&str, Intent)> {
    let (header, rest) = body.split_at_checked(RequestHeader::SIZE_BYTES)?;
    let op_number = i32::from_be_bytes(*header.last_chunk()?);
    let intent = match OpCode::from_number(op_number)? {
        OpCode::Exists
        | OpCode::GetData
        | OpCode::GetAcl
        | OpCode::GetChildren
        | OpCode::GetChildren2 => Intent::Read,
        // Of creates, and of deletes of what was just created, little is cold: it did not pay.
        OpCode::SetData | OpCode::SetAcl => Intent::Change,
        _ => return None,
    };
    // In all of these the path comes first.
    let (length, rest) = rest.split_first_chunk()?;
    let length_bytes = usize::try_from(i32::from_be_bytes(*length)).ok()?;
    Some((str::from_utf8(rest.get(..length_bytes)?).ok()?, intent))
}

/// A tree of fewer znodes, 40 MB, is in a large cache or nearly so, and going down twice would cost
/// more than it saves. In builds for tests every tree is large.
const LARGE_TREE_ZNODES: usize = if cfg!(debug_assertions) { 2 } else { 200_000 };

/// What so many requests need is still in the caches when the last of them is carried out.
const TOGETHER_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use ostler_wire::ids::Xid;
    use ostler_wire::jute::Text;
    use ostler_wire::request::Request;

    use super::*;

    fn put(bytes: &mut Vec<u8>, request: &Request<'_>) {
        frame::put(bytes, |out| request.encode(Xid(1), out));
    }

    fn body(request: &Request<'_>) -> Vec<u8> {
        let mut body = Vec::new();
        request.encode(Xid(1), &mut body);
        body
    }

    #[test]
    fn the_subject_of_a_request_is_its_path() {
        let path = Text::Borrowed("/a/b");
        let read = Request::GetData { path: path.clone(), watch: true };
        let write = Request::SetData { path: path.clone(), data: Some(b"data"), version: -1 };
        let delete = Request::Delete { path, version: 3 };
        assert_eq!(subject(&body(&read)), Some(("/a/b", Intent::Read)));
        assert_eq!(subject(&body(&write)), Some(("/a/b", Intent::Change)));
        assert_eq!(subject(&body(&delete)), None);
        assert_eq!(subject(&body(&Request::Ping)), None);
        let whole = body(&write);
        let ends = (0..whole.len()).filter(|end| subject(&whole[..*end]).is_some());
        assert_eq!(ends.min(), Some(RequestHeader::SIZE_BYTES + 4 + "/a/b".len()));
    }

    #[test]
    fn as_many_as_fit_are_warmed_at_a_time_and_one_alone_never() {
        let view = Tree::fresh(1);
        let mut bytes = Vec::new();
        put(&mut bytes, &Request::GetData { path: Text::Borrowed("/zookeeper"), watch: false });
        let frame_bytes = bytes.len();
        assert_eq!(warm(&view, &bytes, 1000), bytes.len());
        let bytes = bytes.repeat(TOGETHER_MAX + 1);
        assert_eq!(warm(&view, &bytes, 1000), TOGETHER_MAX * frame_bytes);
        // The last frame is not whole.
        assert_eq!(warm(&view, &bytes[..3 * frame_bytes - 1], 1000), 2 * frame_bytes);
    }
}
