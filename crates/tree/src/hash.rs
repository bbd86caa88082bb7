//! Keyed hashing of names, paths, numbers and ACL lists: SipHash-1-3.
//!
//! Names come from clients. Without a secret key somebody could choose a million names that share
//! one hash and turn every look-up among them into a search; with it they cannot. The function is
//! ours because the one in `core` is deprecated and the one in `std` is out of reach here.

/// The secret of a process (fixed in simulations).
#[derive(Clone, Copy)]
pub(crate) struct HashKey {
    k0: u64,
    k1: u64,
}

impl HashKey {
    /// Stretches the 64 bits given to the 128 that the function takes.
    pub(crate) fn new(key: u64) -> Self {
        Self { k0: key, k1: key.rotate_left(32) ^ 0x9e37_79b9_7f4a_7c15 }
    }

    /// The hash of some bytes.
    #[inline]
    pub(crate) fn bytes(self, bytes: &[u8]) -> u64 {
        let mut state = Sip::new(self.k0, self.k1);
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            state.absorb(u64::from_le_bytes(*word));
        }
        // The last word holds what is left over, and the length in its highest byte.
        let last = match bytes.last_chunk() {
            // Most of them were absorbed already.
            Some(end) if !rest.is_empty() => u64::from_le_bytes(*end) >> (64 - 8 * rest.len()),
            _ => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
        };
        state.absorb(last | (bytes.len() as u64) << 56);
        state.finish()
    }

    /// The hash of a number, a session id for instance.
    #[inline]
    pub(crate) fn number(self, number: u64) -> u64 {
        let mut state = Sip::new(self.k0, self.k1);
        state.absorb(number);
        state.finish()
    }

    /// The hash under which a name stands among its siblings.
    ///
    /// Its upper bits are those of all but the last byte, so that names which count up, as those
    /// of sequential znodes do, come into one bucket by tens. Whoever creates them one after the
    /// other then changes what was changed just before, instead of one cold place after the other.
    /// Without the key nobody can make more names agree in these bits than there are last bytes,
    /// and the lower ones tell those apart.
    #[inline]
    pub(crate) fn name(self, name: &str) -> u32 {
        let Some((last, others)) = name.as_bytes().split_last() else { return 0 };
        let others = self.bytes(others);
        let whole = (others ^ u64::from(*last)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        upper_half(others) & !LAST_BITS | upper_half(whole) >> (u32::BITS - LAST_BITS.count_ones())
    }
}

/// Where in the hash of a name its last byte makes a difference.
const LAST_BITS: u32 = (1 << 10) - 1;

/// The 32 bits of a hash that a [`Dir`](crate::dir::Dir) goes by.
#[inline]
pub(crate) fn upper_half(hash: u64) -> u32 {
    // What is shifted out is given up on purpose.
    #[allow(clippy::cast_possible_truncation)]
    let upper = (hash >> 32) as u32;
    upper
}

struct Sip {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl Sip {
    #[inline]
    fn new(k0: u64, k1: u64) -> Self {
        Self {
            v0: k0 ^ 0x736f_6d65_7073_6575,
            v1: k1 ^ 0x646f_7261_6e64_6f6d,
            v2: k0 ^ 0x6c79_6765_6e65_7261,
            v3: k1 ^ 0x7465_6462_7974_6573,
        }
    }

    #[inline]
    fn absorb(&mut self, word: u64) {
        self.v3 ^= word;
        self.round();
        self.v0 ^= word;
    }

    #[inline]
    fn finish(mut self) -> u64 {
        self.v2 ^= 0xff;
        self.round();
        self.round();
        self.round();
        self.v0 ^ self.v1 ^ self.v2 ^ self.v3
    }

    #[inline]
    fn round(&mut self) {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v2 = self.v2.rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use core::hash::Hasher as _;
    use std::vec::Vec;

    use super::{HashKey, LAST_BITS};

    #[test]
    fn it_is_the_function_of_the_standard_library() {
        // The standard library's default hasher is SipHash-1-3 with the key 0, 0.
        let key = HashKey { k0: 0, k1: 0 };
        for length in 0..40u8 {
            let bytes: Vec<u8> = (0..length).collect();
            let mut theirs = std::collections::hash_map::DefaultHasher::new();
            theirs.write(&bytes);
            assert_eq!(key.bytes(&bytes), theirs.finish(), "{length} bytes");
        }
    }

    #[test]
    fn names_that_count_up_come_together_by_tens() {
        let key = HashKey::new(3);
        let hash = |number: u32| key.name(&std::format!("lock-{number:010}"));
        let mut all: Vec<u32> = (0..1000).map(hash).collect();
        for tens in all.chunks(10) {
            assert!(tens.iter().all(|hash| hash & !LAST_BITS == tens[0] & !LAST_BITS));
        }
        all.sort_unstable();
        all.dedup();
        assert!(all.len() > 900, "hardly any are the same: {}", all.len());
        all.dedup_by_key(|hash| *hash & !LAST_BITS);
        assert!(all.len() > 95, "tens are spread: {}", all.len());
        assert_eq!(key.name(""), 0);
        assert_ne!(key.name("a"), HashKey::new(4).name("a"));
    }

    #[test]
    fn the_key_matters() {
        assert_ne!(HashKey::new(1).bytes(b"name"), HashKey::new(2).bytes(b"name"));
        assert_ne!(HashKey::new(1).number(7), HashKey::new(2).number(7));
    }
}
