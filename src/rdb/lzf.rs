//! LZF, the compression of strings: literal runs, and copies of earlier bytes.
//!
//! A control byte below 32 announces that many literal bytes, plus one. Any other is a copy: its top three bits
//! are the length less 2 (7: the next byte is added), its low five bits and the following byte the distance less
//! 1. Source of the format: Marc Lehmann's liblzf.

/// The longest run of literal bytes.
const MAX_LITERAL: usize = 32;
/// The farthest that a copy reaches back.
const MAX_DISTANCE: usize = 1 << 13;
/// The shortest and the longest copy.
const MIN_COPY: usize = 3;
const MAX_COPY: usize = 7 + 255 + 2;
/// The table of what was seen has so many places, as powers of two, but no more than twice the bytes of the input.
const HASH_BITS: std::ops::RangeInclusive<u32> = 5..=13;
/// What compression has to save at least, as in Redis.
const MIN_SAVED: usize = 4;

/// The length of what `packed` stands for, if it is as it should be.
fn unpacked_len(packed: &[u8]) -> Option<u64> {
    let (mut at, mut len) = (0, 0);
    while let Some(&control) = packed.get(at) {
        let control = control as usize;
        let (bytes, copied) = match control >> 5 {
            0 => (control + 2, control + 1),
            7 => (3, *packed.get(at + 1)? as usize + 9),
            short => (2, short + 2),
        };
        at += bytes;
        len += copied as u64;
    }
    (at == packed.len()).then_some(len)
}

/// The `len` bytes that `packed` stands for; `None` if it is damaged. Nothing is allocated for a length that is wrong.
pub fn decompress(packed: &[u8], len: u64) -> Option<Vec<u8>> {
    if unpacked_len(packed)? != len {
        return None;
    }
    let len = usize::try_from(len).ok()?;
    let mut out = Vec::with_capacity(len);
    let mut at = 0;
    while let Some(&control) = packed.get(at) {
        at += 1;
        let control = control as usize;
        if control < MAX_LITERAL {
            out.extend_from_slice(packed.get(at..at + control + 1)?);
            at += control + 1;
        } else {
            let mut length = control >> 5;
            if length == 7 {
                length += *packed.get(at)? as usize;
                at += 1;
            }
            let distance = ((control & 0x1F) << 8 | *packed.get(at)? as usize) + 1;
            at += 1;
            let from = out.len().checked_sub(distance)?;
            let length = length + 2;
            if length <= distance {
                out.extend_from_within(from..from + length);
            } else {
                // The copy reaches into what it writes.
                (from..from + length).for_each(|index| out.push(out[index]));
            }
        }
    }
    (out.len() == len).then_some(out)
}

/// The compressed form of `bytes`; `None` if it would not be smaller by [`MIN_SAVED`].
pub fn compress(bytes: &[u8]) -> Option<Vec<u8>> {
    let most = bytes.len().checked_sub(MIN_SAVED)?;
    let mut out = Vec::with_capacity(bytes.len());
    let hash_bits = (bytes.len().max(1).ilog2() + 1).clamp(*HASH_BITS.start(), *HASH_BITS.end());
    // Where three bytes with this hash stood last, plus one.
    let mut seen = vec![0_u32; 1 << hash_bits];
    let (mut at, mut literal_from) = (0, 0);
    while at + MIN_COPY <= bytes.len() && at < u32::MAX as usize - 1 {
        let three = u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], 0]);
        let slot = &mut seen[(three.wrapping_mul(0x9E37_79B1) >> (32 - hash_bits)) as usize];
        let before = std::mem::replace(slot, at as u32 + 1) as usize;
        let distance = at + 1 - before;
        if before == 0
            || distance > MAX_DISTANCE
            || bytes[before - 1..][..MIN_COPY] != bytes[at..][..MIN_COPY]
        {
            at += 1;
            continue;
        }
        let longest = MAX_COPY.min(bytes.len() - at);
        let length = (MIN_COPY..longest).find(|&n| bytes[before - 1 + n] != bytes[at + n]).unwrap_or(longest);
        push_literals(&mut out, &bytes[literal_from..at]);
        let (short, back) = (length - 2, distance - 1);
        out.push((short.min(7) << 5 | back >> 8) as u8);
        if short >= 7 {
            out.push((short - 7) as u8);
        }
        out.push(back as u8);
        at += length;
        literal_from = at;
        if out.len() > most {
            return None;
        }
    }
    push_literals(&mut out, &bytes[literal_from..]);
    (out.len() <= most).then_some(out)
}

fn push_literals(out: &mut Vec<u8>, literals: &[u8]) {
    for run in literals.chunks(MAX_LITERAL) {
        out.push(run.len() as u8 - 1);
        out.extend_from_slice(run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_known_stream() {
        // One literal, then a copy of 11 from one byte back.
        assert_eq!(decompress(&[0, b'a', 0xE0, 2, 0], 12).unwrap(), [b'a'; 12]);
        assert_eq!(compress(&[b'a'; 12]).unwrap(), [0, b'a', 0xE0, 2, 0]);
        assert_eq!(decompress(&[0, b'a', 0x20, 1], 4), None);
        assert_eq!(decompress(&[0, b'a'], u64::MAX), None);
    }

    proptest! {
        #[test]
        fn round_trip(bytes in proptest::collection::vec(0_u8..4, 0..2000)) {
            if let Some(packed) = compress(&bytes) {
                prop_assert!(packed.len() + MIN_SAVED <= bytes.len());
                prop_assert!(packed.capacity() <= 2 * bytes.len() + 64);
                prop_assert_eq!(decompress(&packed, bytes.len() as u64), Some(bytes));
            }
        }

        #[test]
        fn damaged_input_is_refused(packed in proptest::collection::vec(any::<u8>(), 0..200), len in 0_u64..5000) {
            if let Some(bytes) = decompress(&packed, len) {
                prop_assert_eq!(bytes.len() as u64, len);
            }
        }
    }
}
