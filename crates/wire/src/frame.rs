//! Frames: an int length, then that many bytes; both ways, and between servers too.
//!
//! The first four bytes of a client connection can be a four-letter word instead. No word is a
//! length that anybody would send: as a number each is beyond 1.6 billion.

use alloc::vec::Vec;

use crate::jute::Put;

/// Length of the length.
pub const PREFIX_BYTES: usize = 4;

/// A length that is negative or above the limit; the connection is beyond repair.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadLength(pub i32);

/// The body of the first frame in `buffer`, or `None` while it is not complete.
///
/// The frame takes [`PREFIX_BYTES`] more than its body.
pub fn first(buffer: &[u8], length_max: usize) -> Result<Option<&[u8]>, BadLength> {
    let Some((prefix, rest)) = buffer.split_first_chunk::<PREFIX_BYTES>() else {
        return Ok(None);
    };
    let length = i32::from_be_bytes(*prefix);
    match usize::try_from(length) {
        Ok(length_bytes) if length_bytes <= length_max => Ok(rest.get(..length_bytes)),
        _ => Err(BadLength(length)),
    }
}

/// The four-letter word that `buffer`, the first bytes of a connection, begins with.
///
/// The last one is what telnet sends at Ctrl-C.
#[must_use]
pub fn four_letter_word(buffer: &[u8]) -> Option<[u8; 4]> {
    let word = buffer.first_chunk::<4>()?;
    FOUR_LETTER_WORDS.iter().find(|known| *known == &word).map(|known| **known)
}

const FOUR_LETTER_WORDS: &[&[u8; 4]] = &[
    b"conf",
    b"cons",
    b"crst",
    b"dirs",
    b"dump",
    b"envi",
    b"gtmk",
    b"hash",
    b"isro",
    b"mntr",
    b"ruok",
    b"srst",
    b"srvr",
    b"stat",
    b"stmk",
    b"wchc",
    b"wchp",
    b"wchs",
    b"\xff\xf4\xff\xfd",
];

/// Appends a frame whose body `body` writes.
pub fn put<T>(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    let start = out.len();
    out.put_int(0);
    let result = body(out);
    let length = out.len() - start - PREFIX_BYTES;
    let length = i32::try_from(length).expect("a frame is shorter than 2 GiB");
    if let Some(prefix) = out.get_mut(start..start + PREFIX_BYTES) {
        prefix.copy_from_slice(&length.to_be_bytes());
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_found_when_it_is_whole() {
        let mut bytes = Vec::new();
        put(&mut bytes, |out| out.extend_from_slice(b"abc"));
        assert_eq!(bytes, b"\0\0\0\x03abc");
        for short in 0..bytes.len() {
            assert_eq!(first(&bytes[..short], 3), Ok(None));
        }
        assert_eq!(first(&bytes, 3), Ok(Some(&b"abc"[..])));
        assert_eq!(first(&bytes, 2), Err(BadLength(3)));
        assert_eq!(first(&[0xff; 4], 100), Err(BadLength(-1)));
        assert_eq!(first(&[0; 4], 100), Ok(Some(&[][..])));
    }
}
