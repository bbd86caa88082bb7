//! Output buffers that were emptied, for the next connections that have something to say.
//!
//! A connection owns a buffer only while there is something in it, so that thousands of silent ones
//! own none, and a thousand that are told something in one turn need not ask the allocator.

use alloc::vec::Vec;

use crate::limits::SPARE_BUFFERS_MAX_BYTES;

/// The buffers of one shard that nobody uses.
#[derive(Debug, Default)]
pub(super) struct SpareBuffers {
    buffers: Vec<Vec<u8>>,
    /// Invariant: the capacity of all of them, at most `SPARE_BUFFERS_MAX_BYTES`.
    bytes: usize,
}

impl SpareBuffers {
    /// Gives `output` a buffer if it has none.
    pub(super) fn lend(&mut self, output: &mut Vec<u8>) {
        if output.capacity() > 0 {
            return;
        }
        *output = match self.buffers.pop() {
            Some(buffer) => {
                self.bytes -= buffer.capacity();
                buffer
            }
            // Most answers fit in, so that it does not grow by and by.
            None => Vec::with_capacity(NEW_BYTES),
        };
    }

    /// Keeps a buffer, unless it is long or there are enough.
    pub(super) fn take_back(&mut self, mut buffer: Vec<u8>) {
        let bytes = buffer.capacity();
        let is_kept = (1..=KEPT_MAX_BYTES).contains(&bytes);
        if is_kept && self.bytes + bytes <= SPARE_BUFFERS_MAX_BYTES {
            buffer.clear();
            self.bytes += bytes;
            self.buffers.push(buffer);
        }
    }
}

/// What a new buffer has room for.
const NEW_BYTES: usize = 512;

/// A buffer that has grown beyond this is freed.
const KEPT_MAX_BYTES: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_and_comes_back_empty() {
        let mut spares = SpareBuffers::default();
        spares.take_back(Vec::new());
        spares.take_back(Vec::with_capacity(KEPT_MAX_BYTES + 1));
        assert!(spares.buffers.is_empty());
        for _ in 0..2 * SPARE_BUFFERS_MAX_BYTES / KEPT_MAX_BYTES {
            let mut buffer = Vec::with_capacity(KEPT_MAX_BYTES);
            buffer.push(1);
            spares.take_back(buffer);
        }
        assert!(spares.bytes <= SPARE_BUFFERS_MAX_BYTES);
        let mut output = Vec::new();
        spares.lend(&mut output);
        assert!(output.is_empty() && output.capacity() >= KEPT_MAX_BYTES);
        let kept = spares.buffers.iter().map(Vec::capacity).sum::<usize>();
        assert_eq!(spares.bytes, kept);
        output.push(1);
        spares.lend(&mut output);
        assert_eq!(output, [1], "it has one");
    }
}
