//! Randomness: one stream for each concern, all from one seed, so that drawing more for one does
//! not shift the others.

use ostler_node::rng::Rng;

/// A stream of draws.
#[derive(Clone, Debug)]
pub(crate) struct Random(Rng);

impl Random {
    /// The stream of this name.
    pub(crate) fn new(seed: u64, stream: &str) -> Self {
        let name = stream.bytes().fold(FNV_START, fnv);
        Self(Rng::new(Rng::new(seed).next_u64() ^ name))
    }

    /// The generator itself.
    pub(crate) fn rng(&mut self) -> &mut Rng {
        &mut self.0
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`; 0 if that is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0.below(bound)
    }

    /// From `low` to `high`, both included.
    pub(crate) fn between(&mut self, (low, high): (u64, u64)) -> u64 {
        low + self.0.below(high - low + 1)
    }

    /// The place of something among `len`.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.0.below(len as u64)).expect("below a length")
    }

    /// True once in `n` times.
    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.0.below(n) == 0
    }

    pub(crate) fn pick<'p, T>(&mut self, from: &'p [T]) -> &'p T {
        &from[self.index(from.len())]
    }
}

/// One step of the 64-bit FNV-1a hash.
pub(crate) fn fnv(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
}

/// Where that hash starts.
pub(crate) const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;
