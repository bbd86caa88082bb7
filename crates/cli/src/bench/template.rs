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
    parents: u64,
    parent_at: usize,
    number_at: usize,
}

impl Template {
    /// Encodes what `request` makes of a path below `root`.
    pub(crate) fn new(root: &str, parents: u64, request: impl FnOnce(&str) -> Vec<u8>) -> Self {
        let path = node_path(root, 0, parents);
        let frame = request(&path);
        let path_at = frame
            .windows(path.len())
            .position(|window| window == path.as_bytes())
            .expect("the request holds its path");
        let number_at = path_at + path.len() - NUMBER_DIGITS;
        let parent_at = number_at - "/n".len() - PARENT_DIGITS;
        Self { frame, parents, parent_at, number_at }
    }

    /// Appends the frame for znode `number` under `xid`.
    pub(crate) fn put(&self, xid: i32, number: u64, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.frame);
        let frame = &mut out[start..];
        frame[frame::PREFIX_BYTES..frame::PREFIX_BYTES + 4].copy_from_slice(&xid.to_be_bytes());
        put_digits(
            &mut frame[self.parent_at..self.parent_at + PARENT_DIGITS],
            number % self.parents,
        );
        put_digits(&mut frame[self.number_at..self.number_at + NUMBER_DIGITS], number);
    }
}

/// A request as a whole frame.
pub(crate) fn framed(request: &Request<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::put(&mut bytes, |out| request.encode(Xid(0), out));
    bytes
}

fn put_digits(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
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
    use crate::raw_client::get_data;

    #[test]
    fn a_patched_frame_equals_an_encoded_one() {
        let template = Template::new("/root", 7, |path| framed(&get_data(path, false)));
        for number in [0, 1, 6, 7, 4_000_000_123] {
            let mut patched = Vec::new();
            template.put(77, number, &mut patched);
            let mut encoded = Vec::new();
            let path = node_path("/root", number, 7);
            frame::put(&mut encoded, |out| get_data(&path, false).encode(Xid(77), out));
            assert_eq!(patched, encoded);
        }
    }
}
