//! The order in which Java's `HashMap` and `HashSet` are walked.
//!
//! Apache's tools print children and sessions in that order, and scripts compare what they print.
//! A walk goes through the buckets of the table, and through each bucket in the order in which its
//! entries came. Growing the table keeps that order inside a bucket, so only the size of the table
//! matters in the end.
//!
//! Not imitated: a bucket with nine entries or more in a table of 64 buckets or more becomes a tree
//! whose walk begins at its root. It takes thousands of names that were chosen to collide.

/// The hash of a text.
pub(crate) fn hash_of_text(text: &str) -> u32 {
    text.encode_utf16()
        .fold(0, |hash, unit| hash.wrapping_mul(31_u32).wrapping_add(u32::from(unit)))
}

/// The hash of a 64-bit number.
#[allow(clippy::cast_possible_truncation)] // Both halves are in it.
pub(crate) fn hash_of_long(number: i64) -> u32 {
    let bits = number.cast_unsigned();
    (bits ^ (bits >> 32)) as u32
}

/// The positions of entries that were put in this order, in the order of the walk. The table has
/// `capacity` buckets, a power of two, when the first comes.
pub(crate) fn walk_order(hashes: &[u32], capacity: usize) -> Vec<usize> {
    let mask = capacity_after(hashes, capacity) - 1;
    let mut order: Vec<usize> = (0..hashes.len()).collect();
    // Stable, so that a bucket keeps its order.
    order.sort_by_key(|at| hashes.get(*at).map(|hash| spread(*hash) & mask));
    order
}

/// Java: HashMap.hash.
fn spread(hash: u32) -> usize {
    (hash ^ (hash >> 16)) as usize
}

fn capacity_after(hashes: &[u32], mut capacity: usize) -> usize {
    // How full each bucket is, as long as that can make the table grow.
    let mut lengths = vec![0_u8; capacity];
    for (at, hash) in hashes.iter().enumerate() {
        let mut grows = 0;
        if capacity < TREES_FROM {
            let length = &mut lengths[spread(*hash) & (capacity - 1)];
            *length += 1;
            grows += u32::from(*length > BUCKET_LENGTH_MAX);
        }
        if at + 1 > (capacity << grows) / 4 * 3 {
            grows += 1;
        }
        if grows > 0 {
            capacity <<= grows;
            lengths = vec![0; capacity];
            for hash in hashes.iter().take(at + 1).filter(|_| capacity < TREES_FROM) {
                lengths[spread(*hash) & (capacity - 1)] += 1;
            }
        }
    }
    capacity
}

/// A longer bucket makes a small table grow.
const BUCKET_LENGTH_MAX: u8 = 8;

/// From this size of the table on, a long bucket becomes a tree instead.
const TREES_FROM: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn walked(names: &[&str]) -> Vec<String> {
        let hashes: Vec<u32> = names.iter().map(|name| hash_of_text(name)).collect();
        walk_order(&hashes, 8).into_iter().map(|at| names[at].to_owned()).collect()
    }

    #[test]
    fn texts_hash_as_in_java() {
        assert_eq!(hash_of_text(""), 0);
        assert_eq!(hash_of_text("hello"), 99_162_322);
        assert_eq!(hash_of_text("Aa"), hash_of_text("BB"));
        assert_eq!(hash_of_long(-1), 0);
        assert_eq!(hash_of_long(0x5_0000_0003), 6);
    }

    #[test]
    fn buckets_come_in_order_and_keep_the_order_inside() {
        assert_eq!(walked(&["h", "a", "i", "b"]), ["h", "a", "i", "b"].map(str::to_owned));
        assert_eq!(walked(&["BB", "Aa"]), ["BB", "Aa"]);
        assert_eq!(walked(&["Aa", "BB"]), ["Aa", "BB"]);
    }

    #[test]
    fn nine_of_a_kind_make_a_small_table_grow() {
        assert_eq!(capacity_after(&[0; 6], 8), 8);
        assert_eq!(capacity_after(&[0; 7], 8), 16);
        assert_eq!(capacity_after(&[0; 8], 16), 16);
        assert_eq!(capacity_after(&[0; 9], 16), 32);
        assert_eq!(capacity_after(&[0; 10], 16), 64);
        assert_eq!(capacity_after(&[0; 20], 16), 64);
    }
}
