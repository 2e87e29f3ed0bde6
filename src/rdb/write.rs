//! Lengths, strings and numbers on their way out; [`super::read`] describes them.

use super::lzf;
use super::read::{
    LENGTH_14, LENGTH_32, LENGTH_64, SPECIAL, SPECIAL_INT_8, SPECIAL_INT_16, SPECIAL_INT_32, SPECIAL_LZF,
};
use crate::types::number;

/// Shorter strings are not worth compressing (Redis's figure).
const COMPRESS_FROM_BYTES: usize = 21;
/// The longest text of an integer of 32 bits.
const MAX_INT_32_CHARS: usize = 11;

/// Where serialised bytes go. Errors are kept by whoever can have any.
pub trait Output {
    fn put(&mut self, bytes: &[u8]);
}

impl Output for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl<O: Output> Output for &mut O {
    fn put(&mut self, bytes: &[u8]) {
        (**self).put(bytes);
    }
}

/// Writes what values are made of.
pub struct Writer<O> {
    pub out: O,
    /// Long strings are compressed if that makes them smaller (`rdbcompression`).
    pub compress: bool,
}

impl<O: Output> Writer<O> {
    pub fn byte(&mut self, byte: u8) {
        self.out.put(&[byte]);
    }

    pub fn length(&mut self, length: u64) {
        match length {
            0..0x40 => self.byte(length as u8),
            0x40..0x4000 => self.out.put(&[LENGTH_14 << 6 | (length >> 8) as u8, length as u8]),
            0x4000..=0xFFFF_FFFF => {
                self.byte(LENGTH_32);
                self.out.put(&(length as u32).to_be_bytes());
            }
            _ => {
                self.byte(LENGTH_64);
                self.out.put(&length.to_be_bytes());
            }
        }
    }

    /// A string: as an integer where it is one of 32 bits, compressed if that is wanted and makes it smaller.
    pub fn string(&mut self, text: &[u8]) {
        if text.len() <= MAX_INT_32_CHARS
            && let Some(n) = number::parse_i64(text).and_then(|n| i32::try_from(n).ok())
        {
            return self.integer(n);
        }
        if !self.compressed(text) {
            self.length(text.len() as u64);
            self.out.put(text);
        }
    }

    /// A compressed string, if that is wanted and makes it smaller; otherwise nothing, and false.
    pub fn compressed(&mut self, text: &[u8]) -> bool {
        if self.compress
            && text.len() >= COMPRESS_FROM_BYTES
            && let Some(packed) = lzf::compress(text)
        {
            self.byte(SPECIAL << 6 | SPECIAL_LZF);
            self.length(packed.len() as u64);
            self.length(text.len() as u64);
            self.out.put(&packed);
            return true;
        }
        false
    }

    fn integer(&mut self, n: i32) {
        let (mark, bytes) = match n {
            -0x80..=0x7F => (SPECIAL_INT_8, 1),
            -0x8000..=0x7FFF => (SPECIAL_INT_16, 2),
            _ => (SPECIAL_INT_32, 4),
        };
        self.byte(SPECIAL << 6 | mark);
        self.out.put(&n.to_le_bytes()[..bytes]);
    }

    /// A double as eight bytes.
    pub fn double(&mut self, n: f64) {
        self.out.put(&n.to_le_bytes());
    }

    /// A time in milliseconds.
    pub fn millis(&mut self, ms: i64) {
        self.out.put(&ms.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rdb::read;
    use crate::rdb::source::Slice;
    use proptest::prelude::*;

    fn written(compress: bool, write: impl FnOnce(&mut Writer<Vec<u8>>)) -> Vec<u8> {
        let mut writer = Writer { out: Vec::new(), compress };
        write(&mut writer);
        writer.out
    }

    proptest! {
        #[test]
        fn lengths_come_back(bits in 0_u32..64, low in any::<u64>()) {
            let length = low >> bits;
            let out = written(false, |writer| writer.length(length));
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
            let out = written(compress, |writer| writer.string(&text));
            let mut source = Slice::new(&out);
            prop_assert_eq!(read::string(&mut source), Ok(text));
            prop_assert!(source.is_done());
        }
    }
}
