//! The bytes of one simulated file: cheap to clone, and blocks of zeros cost nothing.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

const BLOCK_BYTES: usize = 4096;

/// What a file holds at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Image {
    len: u64,
    // Invariant: what is not here is zero, and so is everything behind `len`.
    blocks: BTreeMap<u64, Arc<[u8; BLOCK_BYTES]>>,
}

impl Image {
    pub(super) fn len_bytes(&self) -> u64 {
        self.len
    }

    pub(super) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(self.len).unwrap_or(usize::MAX)];
        self.read(&mut bytes, 0);
        bytes
    }

    /// Fills `buffer` from `offset`, with zeros behind the end.
    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) {
        let mut rest = buffer;
        let mut at = offset;
        while !rest.is_empty() {
            let (block, within) = place(at);
            let count = rest.len().min(BLOCK_BYTES - within);
            let (part, more) = rest.split_at_mut(count);
            match self.blocks.get(&block).and_then(|bytes| bytes.get(within..within + count)) {
                Some(bytes) => part.copy_from_slice(bytes),
                None => part.fill(0),
            }
            rest = more;
            at += count as u64;
        }
    }

    /// Writes at `offset`, making it longer if need be.
    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) {
        let mut rest = bytes;
        let mut at = offset;
        while !rest.is_empty() {
            let (block, within) = place(at);
            let (part, more) = rest.split_at(rest.len().min(BLOCK_BYTES - within));
            self.write_block(block, within, part);
            rest = more;
            at += part.len() as u64;
        }
        self.len = self.len.max(at);
    }

    pub(super) fn set_len(&mut self, len: u64) {
        if len < self.len {
            let (block, within) = place(len);
            if within > 0 {
                self.write_block(block, within, [0; BLOCK_BYTES].get(within..).unwrap_or_default());
            }
            self.blocks.split_off(&len.div_ceil(BLOCK_BYTES as u64));
        }
        self.len = len;
    }

    /// Makes a range the same as in `from`, up to whole blocks, without copying.
    pub(super) fn adopt(&mut self, from: &Self, range: Range<u64>) {
        let size = BLOCK_BYTES as u64;
        for block in range.start / size..range.end.div_ceil(size) {
            match from.blocks.get(&block) {
                Some(bytes) => self.blocks.insert(block, Arc::clone(bytes)),
                None => self.blocks.remove(&block),
            };
        }
    }

    fn write_block(&mut self, block: u64, within: usize, part: &[u8]) {
        if part.iter().all(|byte| *byte == 0) && !self.blocks.contains_key(&block) {
            return;
        }
        let bytes = self.blocks.entry(block).or_insert_with(|| Arc::new([0; BLOCK_BYTES]));
        let bytes = Arc::make_mut(bytes);
        bytes.get_mut(within..within + part.len()).unwrap_or_default().copy_from_slice(part);
        if bytes.iter().all(|byte| *byte == 0) {
            self.blocks.remove(&block);
        }
    }
}

/// The block with an offset, and where in it.
fn place(offset: u64) -> (u64, usize) {
    let size = BLOCK_BYTES as u64;
    (offset / size, usize::try_from(offset % size).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::{BLOCK_BYTES, Image};

    #[test]
    fn an_image_is_the_bytes_that_were_written() {
        let (mut image, mut bytes) = (Image::default(), Vec::new());
        let mut draw: u64 = 5;
        for step in 0..2000_u32 {
            draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (at, count) = ((draw >> 33) % 20_000, (draw >> 50) % 9_000);
            let value = if step % 3 == 0 { 0 } else { step.to_le_bytes()[0] };
            let end = usize::try_from(at + count).expect("small");
            if step % 7 == 0 {
                image.set_len(at);
                bytes.resize(usize::try_from(at).expect("small"), 0);
            } else if count > 0 {
                let part = vec![value; usize::try_from(count).expect("small")];
                image.write(&part, at);
                bytes.resize(bytes.len().max(end), 0);
                bytes[end - part.len()..end].copy_from_slice(&part);
            }
            assert_eq!(image.to_vec(), bytes, "step {step}");
            let mut other = Image::default();
            other.set_len(image.len_bytes());
            other.adopt(&image, 0..image.len_bytes());
            assert_eq!(other.to_vec(), bytes, "step {step}");
        }
    }

    #[test]
    fn zeros_cost_nothing() {
        let mut image = Image::default();
        image.set_len(1 << 40);
        image.write(&[0; 3 * BLOCK_BYTES], 100);
        image.write(&[1], 1 << 39);
        image.write(&[0], 1 << 39);
        assert_eq!(image.len_bytes(), 1 << 40);
        assert!(image.blocks.is_empty());
    }
}
