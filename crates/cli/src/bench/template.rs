//! Requests that are encoded once and sent many times with another xid and another znode.
//!
//! ```text
//! length | xid | type | path = <root>/p<parent: 4 digits>/n<number: 10 digits> | …
//!          ^^^                           ^^^^^^                 ^^^^^^ patched
//! ```

use ostler_wire::frame;
use ostler_wire::ids::Xid;
use ostler_wire::request::Request;

const PARENT_DIGITS: usize = 4;
const NUMBER_DIGITS: usize = 10;

/// How many parents the digits have room for.
pub(crate) const PARENTS_MAX: u32 = 10_000;

/// The path of a parent of znodes.
pub(crate) fn parent_path(root: &str, parent: u64) -> String {
    format!("{root}/p{parent:04}")
}

/// The path of a znode; those of the bench are spread evenly over their parents.
pub(crate) fn node_path(root: &str, number: u64, parents: u64) -> String {
    format!("{}/n{number:010}", parent_path(root, number % parents))
}

/// The frame of one kind of request.
pub(crate) struct Template {
    frame: Vec<u8>,
    parent_at: usize,
    /// `None` if the request is about a parent.
    number_at: Option<usize>,
}

impl Template {
    /// Encodes what `request` makes of the path of a znode below `root`.
    pub(crate) fn of_node(root: &str, request: impl FnOnce(&str) -> Vec<u8>) -> Self {
        let path = node_path(root, 0, 1);
        let frame = request(&path);
        let number_at = end_of(&path, &frame) - NUMBER_DIGITS;
        let parent_at = number_at - "/n".len() - PARENT_DIGITS;
        Self { frame, parent_at, number_at: Some(number_at) }
    }

    /// Encodes what `request` makes of the path of a parent below `root`.
    pub(crate) fn of_parent(root: &str, request: impl FnOnce(&str) -> Vec<u8>) -> Self {
        let path = parent_path(root, 0);
        let frame = request(&path);
        let parent_at = end_of(&path, &frame) - PARENT_DIGITS;
        Self { frame, parent_at, number_at: None }
    }

    /// Appends the frame under `xid` for znode `number` below `parent`, or for that parent.
    pub(crate) fn put(&self, xid: i32, parent: u64, number: u64, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.frame);
        let frame = &mut out[start..];
        frame[frame::PREFIX_BYTES..frame::PREFIX_BYTES + 4].copy_from_slice(&xid.to_be_bytes());
        put_digits(&mut frame[self.parent_at..self.parent_at + PARENT_DIGITS], parent);
        if let Some(at) = self.number_at {
            put_digits(&mut frame[at..at + NUMBER_DIGITS], number);
        }
    }
}

fn end_of(path: &str, frame: &[u8]) -> usize {
    let found = frame.windows(path.len()).position(|window| window == path.as_bytes());
    found.expect("the request holds its path") + path.len()
}

/// A request as a whole frame.
pub(crate) fn framed(request: &Request<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::put(&mut bytes, |out| request.encode(Xid(0), out));
    bytes
}

/// Writes a number over zeros.
fn put_digits(zeros: &mut [u8], mut number: u64) {
    for digit in zeros.iter_mut().rev() {
        if number == 0 {
            return;
        }
        // A single digit always fits.
        #[allow(clippy::cast_possible_truncation)]
        let value = (number % 10) as u8;
        *digit = b'0' + value;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw_client::{get_children, get_data};

    #[test]
    fn a_patched_frame_equals_an_encoded_one() {
        let node = Template::of_node("/root", |path| framed(&get_data(path, false)));
        let parent = Template::of_parent("/root", |path| framed(&get_children(path, false)));
        for number in [0, 1, 6, 7, 4_000_000_123] {
            let path = node_path("/root", number, 7);
            check(&node, number, &get_data(&path, false));
            let path = parent_path("/root", number % 7);
            check(&parent, number, &get_children(&path, false));
        }
    }

    fn check(template: &Template, number: u64, request: &Request<'_>) {
        let mut patched = Vec::new();
        template.put(77, number % 7, number, &mut patched);
        let mut encoded = Vec::new();
        frame::put(&mut encoded, |out| request.encode(Xid(77), out));
        assert_eq!(patched, encoded);
    }
}
