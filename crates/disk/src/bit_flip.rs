//! Whether a bad record is one flipped bit away from a good one.
//!
//! Such a record was whole once, hence acknowledged: it is damage, whatever else it looks like.
//! Without this question a record with long runs of zeros in its data could pass for one whose
//! sectors were never written. The other way round, a sector that was never written can have
//! lacked a single bit; of a bit in an all-zero sector the caller decides.
//!
//! Adler-32 makes the answer cheap. Its halves are sums, `a` of the bytes and `b` of the bytes
//! times their distance from the end, modulo 65521. One changed byte therefore shifts `a` by the
//! change and `b` by the change times that distance: the two shifts tell which byte it was.

use crate::log_format::{FRAME_HEAD_BYTES, TRAILER, checksum, split_head};

/// Whether flipping one bit of the head, body or trailer makes a good record of what stands at
/// the beginning of `bytes`. Bits of bytes whose offset `is_excused` are left alone.
pub(crate) fn is_one_bit_off(bytes: &[u8], is_excused: impl Fn(usize) -> bool) -> bool {
    let Some((head, rest)) = bytes.split_first_chunk::<FRAME_HEAD_BYTES>() else { return false };
    let (sum, length) = split_head(head);
    let is_good = |length: i32| {
        body_and_trailer(rest, length)
            .is_some_and(|(body, trailer)| trailer == TRAILER && checksum(body) == sum)
    };
    let is_length_bit = |bit: u32| !is_excused(FRAME_HEAD_BYTES - 1 - bit as usize / 8);
    if (0..32).any(|bit| is_length_bit(bit) && is_good(length ^ (1 << bit))) {
        return true;
    }
    let Some((body, trailer)) = body_and_trailer(rest, length) else { return false };
    let found = checksum(body);
    if trailer != TRAILER {
        let is_flipped = (trailer ^ TRAILER).is_power_of_two();
        return found == sum && is_flipped && !is_excused(FRAME_HEAD_BYTES + body.len());
    }
    let sum_bits = found ^ sum;
    (sum_bits.count_ones() == 1 && !is_excused(sum_bits.leading_zeros() as usize / 8))
        || is_body_one_bit_off(body, found, sum, |at| is_excused(FRAME_HEAD_BYTES + at))
}

fn body_and_trailer(rest: &[u8], length: i32) -> Option<(&[u8], u8)> {
    let length = usize::try_from(length).ok().filter(|length| *length > 0)?;
    let (body, rest) = rest.split_at_checked(length)?;
    Some((body, *rest.first()?))
}

/// Whether one bit of `body` explains that its checksum is `found` instead of `noted`.
fn is_body_one_bit_off(
    body: &[u8],
    found: i64,
    noted: i64,
    is_excused: impl Fn(usize) -> bool,
) -> bool {
    let half = |sum: i64, shift: u32| (sum >> shift) & 0xffff;
    let shift_a = (half(found, 0) - half(noted, 0)).rem_euclid(MODULUS);
    let shift_b = (half(found, 16) - half(noted, 16)).rem_euclid(MODULUS);
    (0..8).any(|bit| {
        let value = 1_i64 << bit;
        // A bit that was set shows as a larger sum, one that was cleared as a smaller one.
        let (is_set_now, per_step) = if shift_a == value {
            (true, value)
        } else if shift_a == MODULUS - value {
            (false, MODULUS - value)
        } else {
            return false;
        };
        body.iter().enumerate().rev().zip(1_i64..).any(|((at, byte), distance)| {
            (byte & (1 << bit) != 0) == is_set_now
                && distance * per_step % MODULUS == shift_b
                && !is_excused(at)
        })
    })
}

const MODULUS: i64 = 65_521;

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::log_format::put_record;

    #[test]
    fn every_single_flip_is_seen() {
        for length in [1, 2, 50, 700] {
            let body: Vec<u8> = (0..length).map(|n| if n % 3 == 0 { 0 } else { 0xd5 }).collect();
            let mut record = Vec::new();
            put_record(&mut record, &body);
            record.resize(record.len() + 100, 0);
            // The upper half of the checksum counts as well: it must be zero.
            for bit in 0..(length + 13) * 8 {
                let mut flipped = record.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(is_one_bit_off(&flipped, |_| false), "length {length}, bit {bit}");
            }
        }
    }

    #[test]
    fn a_record_with_a_missing_part_is_not_one_flip_away() {
        let body: Vec<u8> = (0..3000_u32).map(|n| (n * 7 % 251).to_le_bytes()[0]).collect();
        let mut record = Vec::new();
        put_record(&mut record, &body);
        for from in (12..2500).step_by(100) {
            let mut torn = record.clone();
            torn[from..from + 512].fill(0);
            assert!(!is_one_bit_off(&torn, |_| false), "zeros from {from} on");
        }
    }
}
