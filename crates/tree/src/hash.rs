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
        let mut last = [0; 8];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        state.absorb(u64::from_le_bytes(last) | (bytes.len() as u64) << 56);
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
    #[inline]
    pub(crate) fn name(self, name: &str) -> u32 {
        upper_half(self.bytes(name.as_bytes()))
    }
}

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

    use super::HashKey;

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
    fn the_key_matters() {
        assert_ne!(HashKey::new(1).bytes(b"name"), HashKey::new(2).bytes(b"name"));
        assert_ne!(HashKey::new(1).number(7), HashKey::new(2).number(7));
    }
}
