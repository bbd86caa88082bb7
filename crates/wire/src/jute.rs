//! Jute, the encoding of every record on the wire and on disk.
//!
//! | type | bytes |
//! |---|---|
//! | int, long | 4, 8 bytes, big-endian two's complement |
//! | boolean | 1 byte; written 0 or 1, any other byte reads as true |
//! | buffer | int length, then bytes; length -1 is null, which is not the empty buffer |
//! | string | int length in bytes, then UTF-8; -1 is null |
//! | vector | int count, then elements; -1 is null, any other negative count reads as empty |
//! | record | the fields in order, nothing around them |
//!
//! Reading borrows from the input and allocates nothing except for malformed UTF-8, whose bad
//! sequences become U+FFFD as they do in ZooKeeper. Nothing is ever reserved by a count that the
//! sender chose.
//!
//! Java writes a character beyond U+FFFF as two surrogates of three bytes each and reads that back
//! as two U+FFFD. Here it is written as plain UTF-8 and read back whole.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// A string as it was read: borrowed unless its UTF-8 had to be repaired.
pub type Text<'a> = Cow<'a, str>;

/// Why bytes could not be read as a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecodeError {
    /// The input ended inside a field.
    Truncated,
    /// A buffer or string length below -1, or larger than what is left of the input.
    BadLength(i32),
    /// A field that must be there is null.
    UnexpectedNull,
    /// A create inside a multi has no list of ACLs at all.
    NullAcl,
    /// An enumeration holds a value that has no meaning.
    BadValue(i32),
    /// A transaction type that no version of ZooKeeper writes.
    UnknownTxnType(i32),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the record ends too early"),
            Self::BadLength(length) => write!(f, "a length of {length} cannot be"),
            Self::UnexpectedNull => f.write_str("a field that must not be null is null"),
            Self::NullAcl => f.write_str("a create without a list of ACLs"),
            Self::BadValue(value) => write!(f, "the value {value} has no meaning here"),
            Self::UnknownTxnType(txn_type) => write!(f, "unknown transaction type {txn_type}"),
        }
    }
}

impl core::error::Error for DecodeError {}

/// Reads fields one after the other from a byte slice.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What was not read yet.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Takes exactly `N` bytes.
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, tail) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated)?;
        self.rest = tail;
        Ok(*head)
    }

    /// A 32-bit integer.
    pub fn int(&mut self) -> Result<i32, DecodeError> {
        self.array().map(i32::from_be_bytes)
    }

    /// A 64-bit integer.
    pub fn long(&mut self) -> Result<i64, DecodeError> {
        self.array().map(i64::from_be_bytes)
    }

    /// One byte.
    pub fn byte(&mut self) -> Result<u8, DecodeError> {
        self.array().map(|[byte]| byte)
    }

    /// A boolean: any byte but 0 is true.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        self.byte().map(|byte| byte != 0)
    }

    /// A buffer; `None` is null.
    pub fn buffer(&mut self) -> Result<Option<&'a [u8]>, DecodeError> {
        let length = self.int()?;
        if length == -1 {
            return Ok(None);
        }
        let bad = DecodeError::BadLength(length);
        let length = usize::try_from(length).map_err(|_| bad)?;
        let (head, tail) = self.rest.split_at_checked(length).ok_or(bad)?;
        self.rest = tail;
        Ok(Some(head))
    }

    /// A string; `None` is null. Malformed UTF-8 is repaired with U+FFFD, never refused.
    pub fn string(&mut self) -> Result<Option<Text<'a>>, DecodeError> {
        Ok(self.buffer()?.map(repair))
    }

    /// A string that must not be null.
    pub fn text(&mut self) -> Result<Text<'a>, DecodeError> {
        self.string()?.ok_or(DecodeError::UnexpectedNull)
    }

    /// The count in front of a vector; `None` is the null vector.
    ///
    /// The count is the sender's claim: do not reserve memory by it.
    pub fn count(&mut self) -> Result<Option<usize>, DecodeError> {
        let count = self.int()?;
        Ok((count != -1).then(|| usize::try_from(count).unwrap_or(0)))
    }

    /// A vector whose elements `element` reads; `None` is the null vector.
    pub fn vector<T>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<Vec<T>>, DecodeError> {
        let Some(count) = self.count()? else { return Ok(None) };
        let mut elements = Vec::new();
        for _ in 0..count {
            // Every element takes at least a byte, so a lying count ends here, not in memory.
            if self.rest.is_empty() {
                return Err(DecodeError::Truncated);
            }
            elements.push(element(self)?);
        }
        Ok(Some(elements))
    }
}

/// The text of `bytes`, with U+FFFD in place of each sequence that is not UTF-8.
///
/// Differs from the standard library's repair in one thing: an encoded surrogate, whole or cut
/// short, becomes one U+FFFD and not one per byte.
// Java: String(byte[], Charset) replaces a surrogate as a whole; the length of an ACL id that was
// stored as such must be the same on every server of an ensemble.
#[must_use]
pub fn repair(bytes: &[u8]) -> Text<'_> {
    if let Ok(text) = core::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::new();
    // How many bytes of a surrogate stand right before the next chunk.
    let mut surrogate_bytes = 0;
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        if !chunk.valid().is_empty() {
            surrogate_bytes = 0;
        }
        surrogate_bytes = match (surrogate_bytes, chunk.invalid()) {
            (1, [0xa0..=0xbf]) => 2,
            (2, [0x80..=0xbf]) => 0,
            (_, []) => 0,
            (_, invalid) => {
                text.push(char::REPLACEMENT_CHARACTER);
                usize::from(invalid == [0xed])
            }
        };
    }
    Cow::Owned(text)
}

/// Appends jute fields to a growing buffer.
pub trait Put {
    /// A 32-bit integer.
    fn put_int(&mut self, value: i32);
    /// A 64-bit integer.
    fn put_long(&mut self, value: i64);
    /// A boolean, as 0 or 1.
    fn put_bool(&mut self, value: bool);
    /// A buffer; `None` is written as null (length -1).
    fn put_buffer(&mut self, value: Option<&[u8]>);
    /// A string, as plain UTF-8.
    fn put_string(&mut self, value: &str);
    /// The count in front of a vector.
    fn put_count(&mut self, count: usize);
}

impl Put for Vec<u8> {
    fn put_int(&mut self, value: i32) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn put_long(&mut self, value: i64) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn put_bool(&mut self, value: bool) {
        self.push(u8::from(value));
    }

    fn put_buffer(&mut self, value: Option<&[u8]>) {
        match value {
            None => self.put_int(-1),
            Some(bytes) => {
                self.put_count(bytes.len());
                self.extend_from_slice(bytes);
            }
        }
    }

    fn put_string(&mut self, value: &str) {
        self.put_buffer(Some(value.as_bytes()));
    }

    fn put_count(&mut self, count: usize) {
        self.put_int(i32::try_from(count).expect("nothing of 2 GiB is ever put into a record"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Java's decoder makes of the same bytes.
    #[test]
    fn malformed_utf8_is_repaired_as_java_does() {
        for (bytes, text) in [
            (&b"\xed\xa0\xbd\xed\xb8\x80"[..], "\u{fffd}\u{fffd}"),
            (b"\xed\xa0", "\u{fffd}"),
            (b"\xed\xa0A", "\u{fffd}A"),
            (b"\xedA\xa0", "\u{fffd}A\u{fffd}"),
            (b"\xed\xb0\xff", "\u{fffd}\u{fffd}"),
            (b"\xed\xa0\x80\xff", "\u{fffd}\u{fffd}"),
            (b"\xed\xa0\x80\x80", "\u{fffd}\u{fffd}"),
            (b"\xed\xff\xbf", "\u{fffd}\u{fffd}\u{fffd}"),
            (b"\xed\x9f\xbf", "\u{d7ff}"),
            (b"\xed\x80A", "\u{fffd}A"),
            (b"\xc0\xaf", "\u{fffd}\u{fffd}"),
            (b"\xe0\x80\x80", "\u{fffd}\u{fffd}\u{fffd}"),
            (b"\xf0\x9f\x98A", "\u{fffd}A"),
            (b"\xf0\x9f\x98\x80", "\u{1f600}"),
        ] {
            assert_eq!(repair(bytes), text, "{bytes:x?}");
        }
    }
}
