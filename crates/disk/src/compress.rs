//! The three ways in which a snapshot's bytes stand in a file.
//!
//! Plain; gzip of the whole; or xerial's Snappy stream, which is not Snappy's own frame format:
//!
//! ```text
//! stream = 82 "SNAPPY" 00  int version(1)  int compatible(1)  chunk*
//! chunk  = int compressedLength  one raw Snappy block of at most 32768 bytes of input
//! ```

use std::io::{self, BufReader, Read, Write};

use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;

/// How snapshots are compressed (`snapshot.compression.method`); readers go by the file's suffix.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// `gz`.
    Gzip,
    /// `snappy`.
    Snappy,
}

impl Compression {
    /// What follows the zxid in the file's name.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Snappy => ".snappy",
        }
    }

    /// How a file of that name is compressed, whatever stands before the suffix.
    #[must_use]
    pub fn of_name(name: &str) -> Self {
        let mut with_suffix = [Self::Gzip, Self::Snappy].into_iter();
        with_suffix.find(|one| name.ends_with(one.suffix())).unwrap_or(Self::None)
    }
}

/// Compresses what is written into `W`.
pub(crate) enum Compressor<W: Write> {
    Plain(W),
    Gzip(Box<GzEncoder<W>>),
    Snappy(Box<SnappyWriter<W>>),
}

impl<W: Write> Compressor<W> {
    pub(crate) fn new(compression: Compression, mut to: W) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Self::Plain(to),
            // Level 1 is several times faster than the default and hardly larger here.
            Compression::Gzip => {
                Self::Gzip(Box::new(GzEncoder::new(to, flate2::Compression::fast())))
            }
            Compression::Snappy => {
                to.write_all(&SNAPPY_HEADER)?;
                let (encoder, block) = (snap::raw::Encoder::new(), Vec::new());
                Self::Snappy(Box::new(SnappyWriter { to, encoder, block }))
            }
        })
    }

    pub(crate) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(to) => to.write_all(bytes),
            Self::Gzip(to) => to.write_all(bytes),
            Self::Snappy(to) => to.write_all(bytes),
        }
    }

    /// Writes what is still held back and gives back what was written to.
    pub(crate) fn finish(self) -> io::Result<W> {
        match self {
            Self::Plain(to) => Ok(to),
            Self::Gzip(to) => to.finish(),
            Self::Snappy(to) => to.finish(),
        }
    }
}

/// A reader of the uncompressed bytes.
pub(crate) fn decompressor<'a>(
    compression: Compression,
    from: impl Read + 'a,
) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match compression {
        // Whoever reads a snapshot has a buffer already.
        Compression::None => Box::new(from),
        Compression::Gzip => Box::new(MultiGzDecoder::new(buffered(from))),
        Compression::Snappy => {
            let mut from = buffered(from);
            let mut header = [0; SNAPPY_HEADER.len()];
            from.read_exact(&mut header)?;
            if !header.starts_with(&SNAPPY_MAGIC) {
                return Err(bad_data("it does not begin as a Snappy stream"));
            }
            Box::new(SnappyReader {
                from,
                decoder: snap::raw::Decoder::new(),
                compressed: Vec::new(),
                block: Vec::new(),
                used: 0,
            })
        }
    })
}

fn buffered<R: Read>(from: R) -> BufReader<R> {
    BufReader::with_capacity(READ_BYTES, from)
}

/// The first bytes of a gzip file.
pub(crate) const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The first bytes of a xerial Snappy stream.
pub(crate) const SNAPPY_MAGIC: [u8; 8] = *b"\x82SNAPPY\0";

pub(crate) struct SnappyWriter<W: Write> {
    to: W,
    encoder: snap::raw::Encoder,
    block: Vec<u8>,
}

impl<W: Write> SnappyWriter<W> {
    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = BLOCK_BYTES - self.block.len();
            let (now, later) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
            self.block.extend_from_slice(now);
            bytes = later;
            if self.block.len() == BLOCK_BYTES {
                self.write_block()?;
            }
        }
        Ok(())
    }

    fn write_block(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let compressed = self.encoder.compress_vec(&self.block).map_err(io::Error::other)?;
        let length = i32::try_from(compressed.len()).map_err(io::Error::other)?;
        self.to.write_all(&length.to_be_bytes())?;
        self.to.write_all(&compressed)?;
        self.block.clear();
        Ok(())
    }

    fn finish(mut self) -> io::Result<W> {
        self.write_block()?;
        Ok(self.to)
    }
}

struct SnappyReader<R> {
    from: R,
    decoder: snap::raw::Decoder,
    compressed: Vec<u8>,
    block: Vec<u8>,
    used: usize,
}

impl<R: Read> SnappyReader<R> {
    /// Reads the next chunk into `block`; false at the end of the stream.
    fn next_block(&mut self) -> io::Result<bool> {
        let mut length = [0; 4];
        let Some(()) = read_exact_or_end(&mut self.from, &mut length)? else { return Ok(false) };
        let length = u64::try_from(i32::from_be_bytes(length))
            .map_err(|_| bad_data("a Snappy chunk of negative length"))?;
        self.compressed.clear();
        // `take` grows with what is really there, whatever the length claims.
        self.from.by_ref().take(length).read_to_end(&mut self.compressed)?;
        if (self.compressed.len() as u64) < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let claimed = snap::raw::decompress_len(&self.compressed).map_err(io::Error::other)?;
        if claimed > self.compressed.len().saturating_mul(SNAPPY_RATIO_MAX) {
            return Err(bad_data("a Snappy block that claims more than it can hold"));
        }
        self.block.resize(claimed, 0);
        let filled = self.decoder.decompress(&self.compressed, &mut self.block);
        self.block.truncate(filled.map_err(io::Error::other)?);
        self.used = 0;
        Ok(true)
    }
}

impl<R: Read> Read for SnappyReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.used == self.block.len() && !buffer.is_empty() {
            if !self.next_block()? {
                return Ok(0);
            }
        }
        let count = buffer.len().min(self.block.len() - self.used);
        let rest = self.block.get(self.used..self.used + count).unwrap_or_default();
        buffer.get_mut(..count).unwrap_or_default().copy_from_slice(rest);
        self.used += count;
        Ok(count)
    }
}

/// Fills the buffer; `None` if the end came before its first byte.
fn read_exact_or_end(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<Option<()>> {
    let Some((first, rest)) = buffer.split_first_mut() else { return Ok(Some(())) };
    loop {
        match from.read(std::slice::from_mut(first)) {
            Ok(0) => return Ok(None),
            Ok(_) => return from.read_exact(rest).map(Some),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn bad_data(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

const SNAPPY_HEADER: [u8; 16] = *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";

/// Input of one block, as xerial's writer has it.
const BLOCK_BYTES: usize = 32 << 10;

/// What is read of a compressed file at once.
const READ_BYTES: usize = 1 << 20;

/// No Snappy element is expanded more: 3 bytes give at most 64.
const SNAPPY_RATIO_MAX: usize = 64;

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn packed(compression: Compression, bytes: &[u8]) -> Vec<u8> {
        let mut to = Compressor::new(compression, Vec::new()).unwrap();
        bytes.chunks(1000).for_each(|part| to.write_all(part).unwrap());
        to.finish().unwrap()
    }

    #[test]
    fn each_way_gives_back_what_went_in() {
        let bytes: Vec<u8> = (0..200_000_u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        for compression in [Compression::None, Compression::Gzip, Compression::Snappy] {
            let file = packed(compression, &bytes);
            let mut back = Vec::new();
            decompressor(compression, &file[..]).unwrap().read_to_end(&mut back).unwrap();
            assert!(back == bytes, "{compression:?}");
        }
    }

    #[test]
    fn snappy_stream_is_chunks_of_32_kib() {
        let file = packed(Compression::Snappy, &[7; 40_000]);
        assert_eq!(file[..16], SNAPPY_HEADER);
        let first = u32::from_be_bytes(file[16..20].try_into().unwrap()) as usize;
        let block = snap::raw::Decoder::new().decompress_vec(&file[20..20 + first]).unwrap();
        assert_eq!(block.len(), 32_768);
    }

    #[test]
    fn cut_or_changed_streams_end_in_an_error() {
        let bytes: Vec<u8> = (0..70_000_u32).flat_map(u32::to_le_bytes).collect();
        for compression in [Compression::Gzip, Compression::Snappy] {
            let file = packed(compression, &bytes);
            for cut in [file.len() / 2, file.len() - 1] {
                let mut back = Vec::new();
                let end = decompressor(compression, &file[..cut]).unwrap().read_to_end(&mut back);
                assert!(end.is_err(), "{compression:?} cut at {cut}");
            }
        }
        let mut lying = SNAPPY_HEADER.to_vec();
        lying.extend_from_slice(&i32::MAX.to_be_bytes());
        assert!(decompressor(Compression::Snappy, &lying[..]).unwrap().read(&mut [0]).is_err());
    }
}
