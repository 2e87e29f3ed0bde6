//! Lengths, strings and numbers, the parts that all values are made of.
//!
//! A length's top two bits say how it goes on: 6 bits here, 14 bits with the next byte, 32 or 64 bits behind
//! (big endian), or not a length at all but a string in another form: an integer of 8, 16 or 32 bits (little
//! endian), or compressed by LZF.

use super::lzf;
use super::source::{Corrupt, Slice, Source};

pub const LENGTH_6: u8 = 0;
pub const LENGTH_14: u8 = 1;
pub const LENGTH_32: u8 = 0x80;
pub const LENGTH_64: u8 = 0x81;
/// The top two bits of a string in another form.
pub const SPECIAL: u8 = 3;
pub const SPECIAL_INT_8: u8 = 0;
pub const SPECIAL_INT_16: u8 = 1;
pub const SPECIAL_INT_32: u8 = 2;
pub const SPECIAL_LZF: u8 = 3;

/// What stands where a length may stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Length {
    Plain(u64),
    /// The form of the string that follows.
    Special(u8),
}

/// A length, or the mark of a string in another form.
pub fn length_or_special(source: &mut impl Source) -> Result<Length, Corrupt> {
    let first = source.byte()?;
    Ok(match first >> 6 {
        LENGTH_6 => Length::Plain(u64::from(first & 0x3F)),
        LENGTH_14 => Length::Plain(u64::from(first & 0x3F) << 8 | u64::from(source.byte()?)),
        SPECIAL => Length::Special(first & 0x3F),
        _ => match first {
            LENGTH_32 => Length::Plain(u32::from_be_bytes(source.array()?).into()),
            LENGTH_64 => Length::Plain(u64::from_be_bytes(source.array()?)),
            _ => return Err(source.corrupt("unknown form of a length")),
        },
    })
}

/// A length.
pub fn length(source: &mut impl Source) -> Result<u64, Corrupt> {
    match length_or_special(source)? {
        Length::Plain(length) => Ok(length),
        Length::Special(_) => Err(source.corrupt("a string where a length should be")),
    }
}

/// The longest element and the longest blob: lengths of 32 bits are kept with both, here and within listpacks.
const MAX_STRING_BYTES: u64 = u32::MAX as u64;

/// A string of any form, as a client sees it: an element or a blob.
pub fn string(source: &mut impl Source) -> Result<Vec<u8>, Corrupt> {
    string_up_to(source, MAX_STRING_BYTES)
}

/// A string that is a whole value, and may be of any length.
pub fn value(source: &mut impl Source) -> Result<Vec<u8>, Corrupt> {
    string_up_to(source, u64::MAX)
}

fn string_up_to(source: &mut impl Source, limit: u64) -> Result<Vec<u8>, Corrupt> {
    let integer = |n: i32| itoa::Buffer::new().format(n).as_bytes().to_vec();
    match length_or_special(source)? {
        Length::Plain(length) => {
            check_len(source, length, limit)?;
            source.bytes(length)
        }
        Length::Special(SPECIAL_INT_8) => Ok(integer(i8::from_le_bytes(source.array()?).into())),
        Length::Special(SPECIAL_INT_16) => Ok(integer(i16::from_le_bytes(source.array()?).into())),
        Length::Special(SPECIAL_INT_32) => Ok(integer(i32::from_le_bytes(source.array()?))),
        Length::Special(SPECIAL_LZF) => {
            let (packed_len, len) = (length(source)?, length(source)?);
            check_len(source, len, limit)?;
            let packed = source.bytes(packed_len)?;
            lzf::decompress(&packed, len).ok_or_else(|| source.corrupt("broken compression"))
        }
        Length::Special(_) => Err(source.corrupt("unknown form of a string")),
    }
}

/// As [`value`], without copying what stands there as it is.
#[inline]
pub fn value_in<'a>(source: &mut Slice<'a>) -> Result<Text<'a>, Corrupt> {
    let before = source.clone();
    match length_or_special(source)? {
        Length::Plain(length) => source.part(length).map(Text::Plain),
        Length::Special(SPECIAL_INT_8) => Ok(Text::Int(i8::from_le_bytes(source.array()?).into())),
        Length::Special(SPECIAL_INT_16) => Ok(Text::Int(i16::from_le_bytes(source.array()?).into())),
        Length::Special(SPECIAL_INT_32) => Ok(Text::Int(i32::from_le_bytes(source.array()?))),
        Length::Special(_) => {
            *source = before;
            value(source).map(Text::Unpacked)
        }
    }
}

/// A string as it stands somewhere.
pub enum Text<'a> {
    Plain(&'a [u8]),
    Int(i32),
    Unpacked(Vec<u8>),
}

impl Text<'_> {
    /// Calls `f` with the bytes that a client sees.
    #[inline]
    pub fn with<R>(&self, f: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            Text::Plain(bytes) => f(bytes),
            Text::Int(n) => f(itoa::Buffer::new().format(*n).as_bytes()),
            Text::Unpacked(bytes) => f(bytes),
        }
    }
}

fn check_len(source: &impl Source, len: u64, limit: u64) -> Result<(), Corrupt> {
    if len > limit { Err(source.corrupt("a string beyond all limits")) } else { Ok(()) }
}

/// A double as eight bytes.
pub fn double(source: &mut impl Source) -> Result<f64, Corrupt> {
    Ok(f64::from_le_bytes(source.array()?))
}

/// A double as text with its length before it, as Redis wrote it until 3.2.
pub fn text_double(source: &mut impl Source) -> Result<f64, Corrupt> {
    match source.byte()? {
        253 => Ok(f64::NAN),
        254 => Ok(f64::INFINITY),
        255 => Ok(f64::NEG_INFINITY),
        len => {
            let text = source.bytes(len.into())?;
            crate::types::number::parse_f64(&text).ok_or_else(|| source.corrupt("a score that is no number"))
        }
    }
}

/// A time in milliseconds.
pub fn millis(source: &mut impl Source) -> Result<i64, Corrupt> {
    Ok(i64::from_le_bytes(source.array()?))
}
