//! What arrives on a link: packets one after the other and, behind some, a snapshot stream.
//!
//! ```text
//!  socket ─► fill ─► │ belongs to nobody yet │ ─┬─► next: whole packets, the rest is kept
//!                    start                 end └─► streamed: the bytes as they are
//! ```

use std::io::{self, Read};

use ostler_wire::quorum::QuorumPacket;

/// Bytes that were read and not taken yet.
#[derive(Debug)]
pub(crate) struct Incoming {
    buffer: Vec<u8>,
    /// Invariant: `start <= end <= buffer.len()`; the bytes between belong to nobody yet.
    start: usize,
    end: usize,
    packet_bytes_max: usize,
}

/// How far one read has emptied the place where the bytes come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Filled {
    /// It gave as much as there was room for, and has probably more.
    Full,
    /// It gave all it had.
    Short,
    /// It had nothing.
    Nothing,
}

impl Incoming {
    /// Room for packets whose data are not longer than this.
    pub(crate) fn new(packet_bytes_max: usize) -> Self {
        Self { buffer: vec![0; BUFFER_BYTES], start: 0, end: 0, packet_bytes_max }
    }

    /// Takes the next packet if it is whole.
    ///
    /// # Errors
    /// When what stands there can be no packet.
    pub(crate) fn next(&mut self) -> io::Result<Option<QuorumPacket>> {
        let waiting = &self.buffer[self.start..self.end];
        match QuorumPacket::first(waiting, self.packet_bytes_max) {
            Ok(Some((packet, length))) => {
                self.start += length;
                Ok(Some(packet))
            }
            Ok(None) => Ok(None),
            Err(error) => Err(io::Error::other(format!("not a packet: {error}"))),
        }
    }

    /// Reads once, as much as there is room for. To be asked for when [`Self::next`] found nothing
    /// whole: the room grows only then.
    ///
    /// # Errors
    /// When the stream ends or fails.
    pub(crate) fn fill(&mut self, mut from: impl Read) -> io::Result<Filled> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            // Bounded, since a packet that is too long is refused before it is whole.
            self.buffer.resize(self.buffer.len() * 2, 0);
        } else if self.end == 0 && self.buffer.len() > KEPT_BYTES {
            self.buffer = vec![0; BUFFER_BYTES];
        }
        let room = self.buffer.len() - self.end;
        match read_some(&mut from, &mut self.buffer[self.end..]) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                self.end += count;
                Ok(if count == room { Filled::Full } else { Filled::Short })
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Filled::Nothing),
            Err(error) => Err(error),
        }
    }

    /// The bytes as they are, first those that are here and then those of `from`.
    pub(crate) fn streamed<R: Read>(&mut self, from: R) -> Streamed<'_, R> {
        Streamed { incoming: self, from }
    }
}

/// Reads through what has arrived already.
#[derive(Debug)]
pub(crate) struct Streamed<'i, R> {
    incoming: &'i mut Incoming,
    from: R,
}

impl<R: Read> Read for Streamed<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let here = &mut *self.incoming;
        if here.start == here.end {
            if into.len() >= here.buffer.len() {
                return read_some(&mut self.from, into);
            }
            here.start = 0;
            // Should the read fail, nothing is there.
            here.end = 0;
            here.end = read_some(&mut self.from, &mut here.buffer)?;
        }
        let count = into.len().min(here.end - here.start);
        into[..count].copy_from_slice(&here.buffer[here.start..here.start + count]);
        here.start += count;
        Ok(count)
    }
}

fn read_some(from: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match from.read(into) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

const BUFFER_BYTES: usize = 64 << 10;
/// A buffer that grew beyond this is given back when it is empty.
const KEPT_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use ostler_wire::ids::Zxid;
    use ostler_wire::quorum::PacketKind;

    /// Gives a few bytes at a time, and nothing every other time.
    struct Drops<'b> {
        left: &'b [u8],
        at_once: usize,
        is_dry: bool,
    }

    impl Read for Drops<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.is_dry = !self.is_dry;
            if self.is_dry {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let count = into.len().min(self.at_once).min(self.left.len());
            let (now, later) = self.left.split_at(count);
            into[..count].copy_from_slice(now);
            self.left = later;
            Ok(count)
        }
    }

    fn stream() -> (Vec<QuorumPacket>, Vec<u8>) {
        let packets = vec![
            QuorumPacket::with_data(PacketKind::Proposal, Zxid(1), vec![7; 200_000]),
            QuorumPacket::bare(PacketKind::Commit, Zxid(1)),
            QuorumPacket::bare(PacketKind::Snap, Zxid(1)),
        ];
        let mut bytes = Vec::new();
        packets.iter().for_each(|packet| packet.write(&mut bytes));
        bytes.extend(*b"raw");
        packets[1].write(&mut bytes);
        (packets, bytes)
    }

    fn next(incoming: &mut Incoming, from: &mut Drops<'_>) -> io::Result<QuorumPacket> {
        loop {
            if let Some(packet) = incoming.next()? {
                return Ok(packet);
            }
            incoming.fill(&mut *from)?;
        }
    }

    #[test]
    fn packets_and_what_stands_behind_a_snap() {
        let (packets, bytes) = stream();
        for at_once in [1, 7, 1000, usize::MAX] {
            let mut from = Drops { left: &bytes, at_once, is_dry: false };
            let mut incoming = Incoming::new(300_000);
            for packet in &packets {
                assert_eq!(next(&mut incoming, &mut from).expect("it is there"), *packet);
            }
            let mut raw = Vec::new();
            while raw.len() < 3 {
                let mut byte = [0];
                match incoming.streamed(&mut from).read(&mut byte) {
                    Ok(count) => raw.extend_from_slice(&byte[..count]),
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                }
            }
            assert_eq!(raw, b"raw");
            assert_eq!(next(&mut incoming, &mut from).expect("one more"), packets[1]);
            let end = next(&mut incoming, &mut from).expect_err("there is no more");
            assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    #[test]
    fn what_is_too_long_is_refused_before_it_is_whole() {
        let (_, bytes) = stream();
        let mut from = Drops { left: &bytes, at_once: 100, is_dry: false };
        let mut incoming = Incoming::new(199_999);
        let error = next(&mut incoming, &mut from).expect_err("too long");
        assert!(error.to_string().starts_with("not a packet"), "{error}");
        assert!(incoming.buffer.len() <= BUFFER_BYTES);
    }

    #[test]
    fn how_far_a_read_went() {
        let (_, bytes) = stream();
        let mut incoming = Incoming::new(300_000);
        assert_eq!(incoming.fill(&bytes[..BUFFER_BYTES]).expect("bytes"), Filled::Full);
        assert!(incoming.next().expect("no nonsense").is_none());
        let (second, rest) = bytes[BUFFER_BYTES..].split_at(BUFFER_BYTES);
        assert_eq!(incoming.fill(second).expect("bytes"), Filled::Full);
        assert!(incoming.next().expect("no nonsense").is_none());
        assert_eq!(incoming.fill(rest).expect("bytes"), Filled::Short);
        assert!(incoming.next().expect("no nonsense").is_some());
    }
}
