//! Lengths, strings and numbers on their way out; [`super::read`] describes them.

use super::lzf;
use super::read::{LENGTH_14, LENGTH_32, LENGTH_64, SPECIAL, SPECIAL_INT_8, SPECIAL_INT_16, SPECIAL_INT_32, SPECIAL_LZF};
use crate::types::number;

/// Shorter strings are not worth compressing (Redis's figure).
const COMPRESS_FROM_BYTES: usize = 21;
/// The longest text of an integer of 32 bits.
const MAX_INT_32_CHARS: usize = 11;

/// Appends a length.
pub fn length(out: &mut Vec<u8>, length: u64) {
    match length {
        0..0x40 => out.push(length as u8),
        0x40..0x4000 => out.extend_from_slice(&[LENGTH_14 << 6 | (length >> 8) as u8, length as u8]),
        0x4000..=0xFFFF_FFFF => {
            out.push(LENGTH_32);
            out.extend_from_slice(&(length as u32).to_be_bytes());
        }
        _ => {
            out.push(LENGTH_64);
            out.extend_from_slice(&length.to_be_bytes());
        }
    }
}

/// Appends a string: as an integer where it is one of 32 bits, compressed if that is wanted and makes it smaller.
pub fn string(out: &mut Vec<u8>, text: &[u8], compress: bool) {
    if text.len() <= MAX_INT_32_CHARS
        && let Some(n) = number::parse_i64(text).and_then(|n| i32::try_from(n).ok())
    {
        return integer(out, n);
    }
    if compress
        && text.len() >= COMPRESS_FROM_BYTES
        && let Some(packed) = lzf::compress(text)
    {
        out.push(SPECIAL << 6 | SPECIAL_LZF);
        length(out, packed.len() as u64);
        length(out, text.len() as u64);
        return out.extend_from_slice(&packed);
    }
    length(out, text.len() as u64);
    out.extend_from_slice(text);
}

fn integer(out: &mut Vec<u8>, n: i32) {
    let (mark, bytes) = match n {
        -0x80..=0x7F => (SPECIAL_INT_8, 1),
        -0x8000..=0x7FFF => (SPECIAL_INT_16, 2),
        _ => (SPECIAL_INT_32, 4),
    };
    out.push(SPECIAL << 6 | mark);
    out.extend_from_slice(&n.to_le_bytes()[..bytes]);
}

/// Appends a double as eight bytes.
pub fn double(out: &mut Vec<u8>, n: f64) {
    out.extend_from_slice(&n.to_le_bytes());
}

/// Appends a time in milliseconds.
pub fn millis(out: &mut Vec<u8>, ms: i64) {
    out.extend_from_slice(&ms.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use crate::rdb::read;
    use crate::rdb::source::Slice;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lengths_come_back(bits in 0_u32..64, low in any::<u64>()) {
            let length = low >> bits;
            let mut out = Vec::new();
            super::length(&mut out, length);
            let mut source = Slice::new(&out);
            prop_assert_eq!(read::length(&mut source), Ok(length));
            prop_assert!(source.is_done());
        }

        #[test]
        fn strings_come_back(
            text in prop_oneof![
                any::<i64>().prop_map(|n| n.to_string().into_bytes()),
                any::<i32>().prop_map(|n| (n >> (n & 31)).to_string().into_bytes()),
                proptest::collection::vec(any::<u8>(), 0..100),
                proptest::collection::vec(0_u8..3, 0..20_000),
            ],
            compress: bool,
        ) {
            let mut out = Vec::new();
            super::string(&mut out, &text, compress);
            let mut source = Slice::new(&out);
            prop_assert_eq!(read::string(&mut source), Ok(text));
            prop_assert!(source.is_done());
        }
    }
}
