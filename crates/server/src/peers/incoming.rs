//! What arrives on a link: packets one after the other and, behind some, a snapshot stream.

use std::io::{self, Read};

use ostler_wire::quorum::{PacketKind, QuorumPacket};

/// A stream whose bytes are taken as packets or as they are.
#[derive(Debug)]
pub(crate) struct Incoming<R> {
    from: R,
    buffer: Vec<u8>,
    /// Invariant: `start <= end <= buffer.len()`; the bytes between belong to nobody yet.
    start: usize,
    end: usize,
    packet_bytes_max: usize,
}

impl<R: Read> Incoming<R> {
    /// Reads packets whose data are not longer than this.
    pub(crate) fn new(from: R, packet_bytes_max: usize) -> Self {
        Self { from, buffer: vec![0; BUFFER_BYTES], start: 0, end: 0, packet_bytes_max }
    }

    /// Waits for a packet and takes those that came with it, but nothing behind a SNAP. Also tells
    /// how many bytes they were.
    ///
    /// # Errors
    /// When the stream ends or fails, or holds what can be no packet.
    pub(crate) fn packets(&mut self) -> io::Result<(Vec<QuorumPacket>, usize)> {
        let mut packets = Vec::new();
        let mut bytes = 0;
        loop {
            let waiting = &self.buffer[self.start..self.end];
            match QuorumPacket::first(waiting, self.packet_bytes_max) {
                Ok(Some((packet, length))) => {
                    self.start += length;
                    bytes += length;
                    let is_last = packet.kind == PacketKind::Snap || packets.len() >= AT_ONCE_MAX;
                    packets.push(packet);
                    if is_last {
                        return Ok((packets, bytes));
                    }
                }
                Ok(None) if packets.is_empty() => self.fill()?,
                Ok(None) => return Ok((packets, bytes)),
                Err(error) if packets.is_empty() => {
                    return Err(io::Error::other(format!("not a packet: {error}")));
                }
                // Told when the packets before it are taken.
                Err(_) => return Ok((packets, bytes)),
            }
        }
    }

    fn fill(&mut self) -> io::Result<()> {
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
        let count = read_some(&mut self.from, &mut self.buffer[self.end..])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.end += count;
        Ok(())
    }
}

impl<R: Read> Read for Incoming<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.start == self.end {
            if into.len() >= self.buffer.len() {
                return read_some(&mut self.from, into);
            }
            self.start = 0;
            self.end = read_some(&mut self.from, &mut self.buffer)?;
        }
        let count = into.len().min(self.end - self.start);
        into[..count].copy_from_slice(&self.buffer[self.start..self.start + count]);
        self.start += count;
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
/// Packets handed over at once, so that the replica is not kept from others for long.
const AT_ONCE_MAX: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use ostler_wire::ids::Zxid;

    /// Gives a few bytes at a time.
    struct Drops<'b>(&'b [u8], usize);

    impl Read for Drops<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let count = into.len().min(self.1).min(self.0.len());
            let (now, later) = self.0.split_at(count);
            into[..count].copy_from_slice(now);
            self.0 = later;
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

    #[test]
    fn packets_and_what_stands_behind_a_snap() {
        let (packets, bytes) = stream();
        for piece in [1, 7, 1000, usize::MAX] {
            let mut incoming = Incoming::new(Drops(&bytes, piece), 300_000);
            let mut found = Vec::new();
            while found.len() < 3 {
                found.extend(incoming.packets().expect("they are there").0);
            }
            assert_eq!(found, packets);
            let mut raw = [0; 3];
            incoming.read_exact(&mut raw).expect("it is there");
            assert_eq!(&raw, b"raw");
            assert_eq!(incoming.packets().expect("one more").0, packets[1..2]);
            let end = incoming.packets().expect_err("there is no more");
            assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    #[test]
    fn what_is_too_long_is_refused_before_it_is_whole() {
        let (_, bytes) = stream();
        let mut incoming = Incoming::new(Drops(&bytes, 100), 199_999);
        let error = incoming.packets().expect_err("too long");
        assert!(error.to_string().starts_with("not a packet"), "{error}");
        assert!(incoming.buffer.len() <= BUFFER_BYTES);
    }
}
