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
/// What three bytes of control can stand for: no input grows by more.
const MAX_GROWTH: u64 = MAX_COPY as u64 / 3;
const HASH_BITS: u32 = 13;

/// The `len` bytes that `packed` stands for; `None` if it is damaged.
pub fn decompress(packed: &[u8], len: u64) -> Option<Vec<u8>> {
    if len > (packed.len() as u64).saturating_mul(MAX_GROWTH) {
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
            // The copy may reach into what it writes.
            for index in from..from + length + 2 {
                out.push(out[index]);
            }
        }
        if out.len() > len {
            return None;
        }
    }
    (out.len() == len).then_some(out)
}

/// The compressed form of `bytes`; `None` if it would not be smaller.
pub fn compress(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len());
    // Where three bytes with this hash stood last, plus one.
    let mut seen = vec![0_u32; 1 << HASH_BITS];
    let (mut at, mut literal_from) = (0, 0);
    while at + MIN_COPY <= bytes.len() && at < u32::MAX as usize - 1 {
        let three = u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], 0]);
        let slot = &mut seen[(three.wrapping_mul(0x9E37_79B1) >> (32 - HASH_BITS)) as usize];
        let before = std::mem::replace(slot, at as u32 + 1) as usize;
        let distance = at + 1 - before;
        if before == 0 || distance > MAX_DISTANCE || bytes[before - 1..][..MIN_COPY] != bytes[at..][..MIN_COPY] {
            at += 1;
            continue;
        }
        let most = MAX_COPY.min(bytes.len() - at);
        let length = (MIN_COPY..most).find(|&n| bytes[before - 1 + n] != bytes[at + n]).unwrap_or(most);
        push_literals(&mut out, &bytes[literal_from..at]);
        let (short, back) = (length - 2, distance - 1);
        out.push((short.min(7) << 5 | back >> 8) as u8);
        if short >= 7 {
            out.push((short - 7) as u8);
        }
        out.push(back as u8);
        at += length;
        literal_from = at;
        if out.len() >= bytes.len() {
            return None;
        }
    }
    push_literals(&mut out, &bytes[literal_from..]);
    (out.len() < bytes.len()).then_some(out)
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
                prop_assert!(packed.len() < bytes.len());
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
