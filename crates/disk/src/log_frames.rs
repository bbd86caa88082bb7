//! The frames of a log file one after the other, for programs that look into logs.
//!
//! [`crate::log_reader`] decides what a server may believe; this only says what stands there: a
//! frame whose checksum is wrong is a frame, and so is one without its last byte. Nothing here
//! seeks, and no more than one frame is in memory.

use std::io::{self, BufReader, ErrorKind, Read, Write};

use crate::log_format::{self, FRAME_BYTES, FRAME_HEAD_BYTES, HEADER, HEADER_BYTES, TRAILER};

/// What stands in front of the first frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileHeader {
    /// The version of the format; 2 everywhere.
    pub version: i32,
    /// Which database it belongs to; 0 everywhere.
    pub dbid: i64,
    bytes: [u8; HEADER.len()],
}

/// One record as it stands in the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame<'a> {
    /// Where it begins, in bytes.
    pub offset: u64,
    /// The checksum that was written in front of it.
    pub checksum: i64,
    /// Header, transaction and digest: what `TxnRecord::decode` takes.
    pub body: &'a [u8],
    /// Whether the byte that ends a record follows it; `None` if the file ends first.
    pub is_ended: Option<bool>,
}

/// Why no frame can be made out.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The bytes cannot be had.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// The file does not begin as logs do.
    #[error("it does not begin with the header of a log")]
    NoHeader,
    /// What stands at the place of a length is none, so nobody knows where the next frame begins.
    #[error("the record at byte {offset} claims a length of {length} bytes")]
    Length {
        /// Where the frame begins, in bytes.
        offset: u64,
        /// What it says of itself.
        length: i32,
    },
}

/// A log file being read.
#[derive(Debug)]
pub struct Frames<R> {
    from: BufReader<R>,
    offset: u64,
    body: Vec<u8>,
}

impl<R: Read> Frames<R> {
    /// Reads the header.
    pub fn open(from: R) -> Result<(FileHeader, Self), FrameError> {
        let mut from = BufReader::with_capacity(BUFFER_BYTES, from);
        let mut bytes = [0; HEADER.len()];
        from.read_exact(&mut bytes).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => FrameError::NoHeader,
            _ => FrameError::Read(error),
        })?;
        let [b'Z', b'K', b'L', b'G', v0, v1, v2, v3, d0, d1, d2, d3, d4, d5, d6, d7] = bytes else {
            return Err(FrameError::NoHeader);
        };
        let version = i32::from_be_bytes([v0, v1, v2, v3]);
        let dbid = i64::from_be_bytes([d0, d1, d2, d3, d4, d5, d6, d7]);
        let frames = Self { from, offset: HEADER_BYTES, body: Vec::new() };
        Ok((FileHeader { version, dbid, bytes }, frames))
    }

    /// The next frame; `None` where padding begins and where the file ends, inside a body too.
    #[allow(clippy::should_implement_trait)] // Frames borrow from the reader.
    pub fn next(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        let mut head = [0; FRAME_HEAD_BYTES];
        if !fill(&mut self.from, &mut head)? {
            return Ok(None);
        }
        let offset = self.offset;
        let (checksum, length) = log_format::split_head(&head);
        let Ok(length_bytes) = u64::try_from(length) else {
            return Err(FrameError::Length { offset, length });
        };
        if length_bytes == 0 {
            return Ok(None);
        }
        self.body.clear();
        // `take` grows with what is really there, whatever the length claims.
        self.from.by_ref().take(length_bytes).read_to_end(&mut self.body)?;
        let is_cut = (self.body.len() as u64) < length_bytes;
        if length_bytes > BELIEVABLE_BYTES_MAX && (is_cut || checksum_of(&self.body) != checksum) {
            return Err(FrameError::Length { offset, length });
        }
        if is_cut {
            return Ok(None);
        }
        let mut last = [0];
        let is_ended = fill(&mut self.from, &mut last)?.then_some(last == [TRAILER]);
        self.offset += length_bytes + FRAME_BYTES as u64;
        Ok(Some(Frame { offset, checksum, body: &self.body, is_ended }))
    }
}

impl FileHeader {
    /// Writes it as it was read.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&self.bytes)
    }
}

/// The checksum that belongs in front of a body.
#[must_use]
pub fn checksum_of(body: &[u8]) -> i64 {
    log_format::checksum(body)
}

/// Writes one frame with whatever checksum.
pub fn write_frame(out: &mut dyn Write, checksum: i64, body: &[u8]) -> io::Result<()> {
    let length = i32::try_from(body.len()).map_err(io::Error::other)?;
    out.write_all(&checksum.to_be_bytes())?;
    out.write_all(&length.to_be_bytes())?;
    out.write_all(body)?;
    out.write_all(&[TRAILER])
}

/// Fills the buffer; false if the file ends before.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// A longer record is only believed with its checksum: it may be a damaged length, and what follows
/// it is lost either way.
// Java: BinaryInputArchive, jute.maxbuffer with jute.maxbuffer.extrasize.
const BELIEVABLE_BYTES_MAX: u64 = 2 * 0xf_ffff;

const BUFFER_BYTES: usize = 256 << 10;

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::log_format::put_record;

    fn offsets(file: &[u8]) -> Vec<(u64, bool, Option<bool>)> {
        let (_, mut frames) = Frames::open(file).expect("it has a header");
        let mut found = Vec::new();
        while let Some(frame) = frames.next().expect("all lengths are") {
            let is_right = checksum_of(frame.body) == frame.checksum;
            found.push((frame.offset, is_right, frame.is_ended));
        }
        found
    }

    #[test]
    fn damage_is_shown_and_not_judged() {
        let mut file = HEADER.to_vec();
        put_record(&mut file, b"first");
        put_record(&mut file, b"second");
        assert_eq!(offsets(&file), [(16, true, Some(true)), (34, true, Some(true))]);
        file[30] ^= 1;
        file.extend([0; 100]);
        assert_eq!(offsets(&file), [(16, false, Some(true)), (34, true, Some(true))]);
        file[33] = b'C';
        assert_eq!(offsets(&file), [(16, false, Some(false)), (34, true, Some(true))]);
        assert_eq!(offsets(&file[..52]), [(16, false, Some(false)), (34, true, None)]);
        assert_eq!(offsets(&file[..51]), [(16, false, Some(false))]);
    }

    #[test]
    fn what_was_read_is_written_the_same() {
        let mut file = HEADER.to_vec();
        put_record(&mut file, b"first");
        let (header, mut frames) = Frames::open(&file[..]).expect("it has a header");
        let frame = frames.next().expect("it can be read").expect("there is one");
        let mut copy = Vec::new();
        header.write(&mut copy).expect("memory takes it");
        write_frame(&mut copy, frame.checksum, frame.body).expect("memory takes it");
        assert_eq!(copy, file);
    }

    #[test]
    fn a_length_that_cannot_be_ends_the_reading() {
        let mut file = HEADER.to_vec();
        file.extend([0; 8]);
        file.extend(0x7000_0000_i32.to_be_bytes());
        file.extend([0; 64]);
        let (_, mut frames) = Frames::open(&file[..]).expect("it has a header");
        assert!(matches!(frames.next(), Err(FrameError::Length { offset: 16, .. })));
        file[24] = 0xff;
        let (_, mut frames) = Frames::open(&file[..]).expect("it has a header");
        assert!(matches!(frames.next(), Err(FrameError::Length { .. })));
        assert!(matches!(Frames::open(&b"ZKLG"[..]), Err(FrameError::NoHeader)));
    }
}
