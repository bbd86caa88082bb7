//! A small, fast and seeded source of numbers: what the bench draws need not be unpredictable.

/// Xorshift with a multiplication at its end.
#[derive(Clone, Debug)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    /// Different seeds give different sequences.
    pub(crate) fn new(seed: u64) -> Self {
        // The state must not be 0; spreading the bits keeps neighbouring seeds apart.
        Self { state: (seed ^ 0x6f73_746c_6572).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 }
    }

    /// A number of 64 even bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number of `0..end`; 0 if that is empty.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        // The upper half of a 64 by 64 bit product is below `end`.
        #[allow(clippy::cast_possible_truncation)]
        let number = ((u128::from(self.next()) * u128::from(end)) >> 64) as u64;
        number
    }

    /// True in `share` of the cases.
    pub(crate) fn chance(&mut self, share: f64) -> bool {
        // 53 bits are what a double holds.
        #[allow(clippy::cast_precision_loss)]
        let draw = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        draw < share
    }

    /// Bytes that do not compress.
    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_stay_in_range_and_reach_all_of_it() {
        let mut random = Random::new(1);
        let mut seen = [false; 10];
        for _ in 0..1000 {
            seen[usize::try_from(random.below(10)).unwrap()] = true;
        }
        assert_eq!(seen, [true; 10]);
        assert!(!random.chance(0.0) && random.chance(1.0));
        assert_eq!(random.bytes(13).len(), 13);
    }
}
