//! The ends of values, found without looking at what is in them.

use super::read::{
    Length, SPECIAL_INT_8, SPECIAL_INT_16, SPECIAL_INT_32, SPECIAL_LZF, length, length_or_special,
};
use super::source::{Corrupt, Source};
use super::value::{UNKNOWN_KIND, kind};

/// Bytes of an ID in its raw form, of a time, of a double.
const ID_BYTES: u64 = 16;
const TIME_BYTES: u64 = 8;
const DOUBLE_BYTES: u64 = 8;

/// Passes a string of any form.
#[inline]
pub fn string(source: &mut impl Source) -> Result<(), Corrupt> {
    match length_or_special(source)? {
        Length::Plain(len) => source.pass(len),
        Length::Special(SPECIAL_INT_8) => source.pass(1),
        Length::Special(SPECIAL_INT_16) => source.pass(2),
        Length::Special(SPECIAL_INT_32) => source.pass(4),
        Length::Special(SPECIAL_LZF) => {
            let packed = length(source)?;
            length(source)?;
            source.pass(packed)
        }
        Length::Special(_) => Err(source.corrupt("unknown form of a string")),
    }
}

/// Passes so many times what `each` passes.
fn counted<S: Source>(
    source: &mut S,
    mut each: impl FnMut(&mut S) -> Result<(), Corrupt>,
) -> Result<(), Corrupt> {
    for _ in 0..length(source)? {
        each(source)?;
    }
    Ok(())
}

fn lengths(source: &mut impl Source, count: usize) -> Result<(), Corrupt> {
    (0..count).try_for_each(|_| length(source).map(drop))
}

/// Passes a value of this [`kind`].
pub fn value(kind: u8, source: &mut impl Source) -> Result<(), Corrupt> {
    match kind {
        kind::STRING
        | kind::HASH_ZIPMAP
        | kind::LIST_ZIPLIST
        | kind::SET_INTSET
        | kind::SORTED_SET_ZIPLIST
        | kind::HASH_ZIPLIST
        | kind::HASH_LISTPACK
        | kind::SORTED_SET_LISTPACK
        | kind::SET_LISTPACK
        | kind::HASH_LISTPACK_DEADLINES_EARLY => string(source),
        kind::LIST | kind::SET | kind::LIST_QUICKLIST => counted(source, |source| string(source)),
        kind::LIST_QUICKLIST_2 => counted(source, |source| {
            length(source)?;
            string(source)
        }),
        kind::SORTED_SET => counted(source, |source| {
            string(source)?;
            source.pass(DOUBLE_BYTES)
        }),
        kind::SORTED_SET_TEXT => counted(source, |source| {
            string(source)?;
            match source.byte()? {
                // Infinities and what is no number.
                253.. => Ok(()),
                len => source.pass(len.into()),
            }
        }),
        kind::HASH => counted(source, |source| {
            string(source)?;
            string(source)
        }),
        kind::HASH_DEADLINES | kind::HASH_DEADLINES_EARLY => {
            if kind == kind::HASH_DEADLINES {
                source.pass(TIME_BYTES)?;
            }
            counted(source, |source| {
                length(source)?;
                string(source)?;
                string(source)
            })
        }
        kind::HASH_LISTPACK_DEADLINES => {
            source.pass(TIME_BYTES)?;
            string(source)
        }
        kind::STREAM | kind::STREAM_2 | kind::STREAM_3 => stream(kind, source),
        _ => Err(source.corrupt(UNKNOWN_KIND)),
    }
}

fn stream(kind: u8, source: &mut impl Source) -> Result<(), Corrupt> {
    counted(source, |source| {
        string(source)?;
        string(source)
    })?;
    // The number of entries and the last ID; then the first, the highest deleted one, and how many there ever were.
    lengths(source, if kind == kind::STREAM { 3 } else { 8 })?;
    counted(source, |source| {
        string(source)?;
        lengths(source, if kind == kind::STREAM { 2 } else { 3 })?;
        counted(source, |source| {
            source.pass(ID_BYTES + TIME_BYTES)?;
            lengths(source, 1)
        })?;
        counted(source, |source| {
            string(source)?;
            source.pass(if kind == kind::STREAM_3 { 2 * TIME_BYTES } else { TIME_BYTES })?;
            counted(source, |source| source.pass(ID_BYTES))
        })
    })
}
