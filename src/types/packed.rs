//! A short sequence of strings and integers in one piece of memory: the form of small lists, of the blocks of large ones,
//! and of streams.
//!
//! ```text
//! ┌───────────┬──────────────────────────┬──────────────────────────┬┄
//! │ count u16 │ item 0 │ its length back │ item 1 │ its length back │
//! └───────────┴──────────────────────────┴──────────────────────────┴┄
//! ```
//!
//! Items are encoded as in Redis's *listpack* (see `src/listpack.md` of antirez/listpack), so that a dump only
//! adds its header and its end: the first byte tells an integer of 7, 13, 16, 24, 32 or 64 bits or the length of
//! a string of 6, 12 or 32 bits; behind an item stands how long it is, so that one can walk backwards. The count
//! replaces listpack's own header: who owns the memory knows its size, and two bytes suffice up to
//! [`MAX_COUNT`], above which items are counted by walking.
//!
//! An item is named by its *offset*. Offsets stay valid until something before them changes. Functions that
//! read do not trust the bytes: what is damaged ends the walk, and [`validate`] tells.

use crate::types::number;
use smallvec::{SmallVec, smallvec};

/// Bytes before the first item.
pub const HEADER_BYTES: usize = 2;

/// A count that does not fit the header is kept as this, and found out by walking.
pub const MAX_COUNT: usize = u16::MAX as usize;

/// The marks of strings whose length stands in the mark itself, up to [`INT_13`].
pub(super) const STRING_6: u8 = 0x80;
/// The longest of these strings.
pub(super) const MAX_STRING_6_BYTES: usize = 63;
pub(super) const INT_13: u8 = 0xC0;
const STRING_12: u8 = 0xE0;
const STRING_32: u8 = 0xF0;
pub(super) const INT_16: u8 = 0xF1;
pub(super) const INT_24: u8 = 0xF2;
pub(super) const INT_32: u8 = 0xF3;
pub(super) const INT_64: u8 = 0xF4;

/// One item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Item<'a> {
    Int(i64),
    Text(&'a [u8]),
}

/// Memory that holds a sequence.
pub trait Buffer {
    fn bytes(&self) -> &[u8];

    /// Replaces `removed` bytes at `at` by others.
    fn splice(&mut self, at: usize, removed: usize, inserted: &[u8]);

    /// Replaces `removed` bytes at `at` by `len` others, which `write` puts into their place.
    fn splice_with(&mut self, at: usize, removed: usize, len: usize, write: impl FnOnce(&mut [u8])) {
        let mut inserted: SmallVec<[u8; 128]> = smallvec![0; len];
        write(&mut inserted);
        self.splice(at, removed, &inserted);
    }

    /// Writes over bytes at `at`.
    fn overwrite(&mut self, at: usize, bytes: &[u8]) {
        self.splice(at, bytes.len(), bytes);
    }
}

impl Buffer for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn splice(&mut self, at: usize, removed: usize, inserted: &[u8]) {
        open(self, at, removed, inserted.len()).copy_from_slice(inserted);
    }

    fn splice_with(&mut self, at: usize, removed: usize, len: usize, write: impl FnOnce(&mut [u8])) {
        write(open(self, at, removed, len));
    }

    fn overwrite(&mut self, at: usize, bytes: &[u8]) {
        self[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

/// Makes `len` bytes of the `removed` bytes at `at`; what they hold is for the caller to write.
pub fn open(bytes: &mut Vec<u8>, at: usize, removed: usize, len: usize) -> &mut [u8] {
    let old = bytes.len();
    if len > removed {
        bytes.resize(old + len - removed, 0);
    }
    bytes.copy_within(at + removed..old, at + len);
    bytes.truncate(old - removed + len);
    &mut bytes[at..at + len]
}

impl<'a> Item<'a> {
    /// A string as an item: an integer if it is the canonical form of one.
    pub fn of(text: &'a [u8]) -> Item<'a> {
        number::parse_i64(text).map_or(Item::Text(text), Item::Int)
    }

    /// Calls `f` with the bytes that a client sees.
    #[inline]
    pub fn with<R>(self, f: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            Item::Int(n) => f(itoa::Buffer::new().format(n).as_bytes()),
            Item::Text(text) => f(text),
        }
    }

    /// The bytes that a client sees.
    pub fn to_vec(self) -> Vec<u8> {
        self.with(<[u8]>::to_vec)
    }

    /// Bytes of the encoded item without the length behind it.
    #[inline]
    pub(super) fn body_bytes(self) -> usize {
        match self {
            Item::Int(0..=127) => 1,
            Item::Int(-4096..=4095) => 2,
            Item::Int(n) => 1 + int_form(n).1,
            Item::Text(text) => text_head_bytes(text.len()) + text.len(),
        }
    }

    /// Bytes of the encoded item, with its length behind it.
    #[inline]
    pub fn encoded_bytes(self) -> usize {
        let body = self.body_bytes();
        body + length_back_bytes(body)
    }

    /// Writes the encoded item, with its length behind it, over all of `out`, which has
    /// [`Item::encoded_bytes`]. A text is shorter than 4 GiB.
    #[inline]
    pub fn write(self, out: &mut [u8]) {
        let body = self.write_body(out);
        write_length_back(body, &mut out[body..]);
    }

    /// Writes the encoded item without the length behind it, [`Item::body_bytes`], which are returned.
    #[inline]
    pub(super) fn write_body(self, out: &mut [u8]) -> usize {
        match self {
            Item::Int(n @ 0..=127) => {
                out[0] = n as u8;
                1
            }
            Item::Int(n @ -4096..=4095) => {
                let bits = n as u16 & 0x1FFF;
                out[0] = INT_13 | (bits >> 8) as u8;
                out[1] = bits as u8;
                2
            }
            Item::Int(n) => {
                let (mark, len) = int_form(n);
                out[0] = mark;
                out[1..=len].copy_from_slice(&n.to_le_bytes()[..len]);
                1 + len
            }
            Item::Text(text) => {
                let head = text_head_bytes(text.len());
                match text.len() {
                    len @ 0..64 => out[0] = STRING_6 | len as u8,
                    len @ 64..4096 => {
                        out[0] = STRING_12 | (len >> 8) as u8;
                        out[1] = len as u8;
                    }
                    len => {
                        debug_assert!(u32::try_from(len).is_ok());
                        out[0] = STRING_32;
                        out[1..5].copy_from_slice(&(len as u32).to_le_bytes());
                    }
                }
                out[head..head + text.len()].copy_from_slice(text);
                head + text.len()
            }
        }
    }

    /// Appends the encoded item, with its length behind it.
    pub fn encode(self, out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + self.encoded_bytes(), 0);
        self.write(&mut out[start..]);
    }
}

/// Bytes before the text of a string of `len` bytes.
#[inline]
fn text_head_bytes(len: usize) -> usize {
    match len {
        0..64 => 1,
        64..4096 => 2,
        _ => 5,
    }
}

/// The mark of an integer that does not fit 13 bits, and how many bytes follow it.
#[inline]
fn int_form(n: i64) -> (u8, usize) {
    match n {
        -0x8000..=0x7FFF => (INT_16, 2),
        -0x80_0000..=0x7F_FFFF => (INT_24, 3),
        -0x8000_0000..=0x7FFF_FFFF => (INT_32, 4),
        _ => (INT_64, 8),
    }
}

/// Seven bits a byte, the highest first; all bytes but the first have their top bit set, for who reads backwards.
#[inline]
fn write_length_back(len: usize, out: &mut [u8]) {
    let (first, rest) = out.split_at_mut(1);
    first[0] = (len >> (7 * rest.len())) as u8 & 0x7F;
    for (at, byte) in rest.iter_mut().rev().enumerate() {
        *byte = (len >> (7 * at)) as u8 | 0x80;
    }
}

/// Bytes that the length behind an item of `len` bytes takes. (The limits are listpack's, odd as they are.)
#[inline]
fn length_back_bytes(len: usize) -> usize {
    match len {
        0..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    }
}

/// The item at `at` and the offset of the next one; `None` at the end, or where the bytes are damaged.
#[inline]
pub fn get(bytes: &[u8], at: usize) -> Option<(Item<'_>, usize)> {
    let (item, len) = body(bytes, at)?;
    let next = at + len + length_back_bytes(len);
    (next <= bytes.len()).then_some((item, next))
}

/// The item at `at` and how many bytes it takes without the length behind it.
#[inline]
pub(super) fn body(bytes: &[u8], at: usize) -> Option<(Item<'_>, usize)> {
    let mark = *bytes.get(at)?;
    let rest = &bytes[at + 1..];
    Some(match mark {
        0..STRING_6 => (Item::Int(mark.into()), 1),
        STRING_6..INT_13 => text(rest, 0, (mark & 0x3F) as usize)?,
        INT_13..STRING_12 => {
            let bits = u16::from(mark & 0x1F) << 8 | u16::from(*rest.first()?);
            // The 13th bit is the sign.
            (Item::Int(((bits << 3) as i16 >> 3).into()), 2)
        }
        STRING_12..STRING_32 => {
            let len = (mark as usize & 0x0F) << 8 | *rest.first()? as usize;
            text(rest, 1, len)?
        }
        STRING_32 => {
            let len = u32::from_le_bytes(*rest.first_chunk()?);
            text(rest, 4, len as usize)?
        }
        INT_16 => (Item::Int(i16::from_le_bytes(*rest.first_chunk()?).into()), 3),
        INT_24 => {
            let [a, b, c] = *rest.first_chunk()?;
            (Item::Int((i32::from_le_bytes([0, a, b, c]) >> 8).into()), 4)
        }
        INT_32 => (Item::Int(i32::from_le_bytes(*rest.first_chunk()?).into()), 5),
        INT_64 => (Item::Int(i64::from_le_bytes(*rest.first_chunk()?)), 9),
        _ => return None,
    })
}

/// A string of `len` bytes after `skip` bytes of `rest`, and its encoded length.
#[inline]
fn text(rest: &[u8], skip: usize, len: usize) -> Option<(Item<'_>, usize)> {
    Some((Item::Text(rest.get(skip..skip.checked_add(len)?)?), 1 + skip + len))
}

/// The offset of the item before the one at `at`; `None` for the first one, or where the bytes are damaged.
#[inline]
pub fn before(bytes: &[u8], at: usize) -> Option<usize> {
    if at <= HEADER_BYTES {
        return None;
    }
    ending_at(bytes, at).filter(|start| *start >= HEADER_BYTES)
}

/// The offset of the item that ends at `at`, whatever stands before the first item; `None` where the bytes are
/// damaged.
#[inline]
pub fn ending_at(bytes: &[u8], at: usize) -> Option<usize> {
    let mut len = 0_usize;
    for (digit, &byte) in bytes.get(..at)?.iter().rev().take(5).enumerate() {
        len |= (byte as usize & 0x7F) << (7 * digit);
        if byte & 0x80 == 0 {
            return at.checked_sub(len + length_back_bytes(len));
        }
    }
    None
}

/// Whether the length behind the item from `at` to `next` is that of the item.
#[inline]
pub fn length_back_fits(bytes: &[u8], at: usize, next: usize) -> bool {
    ending_at(bytes, next) == Some(at)
}

/// Whether no two of these items are equal.
pub fn are_distinct<'a>(items: impl Iterator<Item = Item<'a>> + Clone) -> bool {
    /// So few are compared with each other.
    const FEW: usize = 8;
    if items.clone().nth(FEW).is_none() {
        return items
            .clone()
            .enumerate()
            .all(|(index, item)| items.clone().take(index).all(|other| other != item));
    }
    let mut seen = hashbrown::HashSet::<Item<'a>, ahash::RandomState>::default();
    items.into_iter().all(|item| seen.insert(item))
}

/// An empty sequence.
pub fn new() -> Vec<u8> {
    vec![0; HEADER_BYTES]
}

/// Number of items.
#[inline]
pub fn len(bytes: &[u8]) -> usize {
    let Some(&header) = bytes.first_chunk::<HEADER_BYTES>() else { return 0 };
    match u16::from_le_bytes(header) as usize {
        MAX_COUNT => offsets(bytes).count(),
        count => count,
    }
}

/// All items from the first on.
pub fn iter(bytes: &[u8]) -> impl Iterator<Item = Item<'_>> {
    let mut at = HEADER_BYTES;
    std::iter::from_fn(move || {
        let (item, next) = get(bytes, at)?;
        at = next;
        Some(item)
    })
}

/// The offsets of all items.
pub fn offsets(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let mut at = HEADER_BYTES;
    std::iter::from_fn(move || {
        let (_, next) = get(bytes, at)?;
        Some(std::mem::replace(&mut at, next))
    })
}

/// The offset of item number `index`, from the end if it is negative (-1 is the last).
pub fn nth(bytes: &[u8], index: i64) -> Option<usize> {
    let count = len(bytes);
    let index = if index < 0 { count.checked_sub(index.unsigned_abs() as usize)? } else { index as usize };
    if index >= count {
        return None;
    }
    if index <= count / 2 {
        return offsets(bytes).nth(index);
    }
    let mut at = bytes.len();
    for _ in index..count {
        at = before(bytes, at)?;
    }
    Some(at)
}

/// The offset of the first item that equals `wanted`, looking at one item in `step` from the first on.
pub fn find(bytes: &[u8], wanted: Item<'_>, step: usize) -> Option<usize> {
    let mut at = HEADER_BYTES;
    loop {
        let (item, mut next) = get(bytes, at)?;
        if item == wanted {
            return Some(at);
        }
        for _ in 1..step {
            next = get(bytes, next)?.1;
        }
        at = next;
    }
}

/// Writes the number of items into the header.
pub(super) fn set_len(buffer: &mut impl Buffer, count: usize) {
    buffer.overwrite(0, &(count.min(MAX_COUNT) as u16).to_le_bytes());
}

/// Inserts items before the one at `at` (the length of the bytes is the end).
pub fn insert(buffer: &mut impl Buffer, at: usize, items: &[Item<'_>]) {
    let count = len(buffer.bytes()) + items.len();
    let bytes = items.iter().map(|item| item.encoded_bytes()).sum();
    buffer.splice_with(at, 0, bytes, |out| write_all(items, out));
    set_len(buffer, count);
}

fn write_all(items: &[Item<'_>], mut out: &mut [u8]) {
    for item in items {
        let (place, rest) = out.split_at_mut(item.encoded_bytes());
        item.write(place);
        out = rest;
    }
}

/// Appends an item.
pub fn push(buffer: &mut impl Buffer, item: Item<'_>) {
    insert(buffer, buffer.bytes().len(), &[item]);
}

/// Puts another item in the place of the one at `at`.
pub fn replace(buffer: &mut impl Buffer, at: usize, item: Item<'_>) {
    let Some((_, next)) = get(buffer.bytes(), at) else { return };
    buffer.splice_with(at, next - at, item.encoded_bytes(), |out| item.write(out));
}

/// Removes `count` items from the one at `at` on, or as many as there are.
pub fn remove(buffer: &mut impl Buffer, at: usize, count: usize) {
    let before = len(buffer.bytes());
    let (mut end, mut removed) = (at, 0);
    while removed < count
        && let Some((_, next)) = get(buffer.bytes(), end)
    {
        end = next;
        removed += 1;
    }
    buffer.splice(at, end - at, &[]);
    set_len(buffer, before - removed);
}

/// Whether the bytes are a sequence from one end to the other, in both directions.
pub fn validate(bytes: &[u8]) -> bool {
    let Some(&header) = bytes.first_chunk::<HEADER_BYTES>() else { return false };
    let (mut at, mut count) = (HEADER_BYTES, 0);
    while let Some((_, next)) = get(bytes, at) {
        if before(bytes, next) != Some(at) {
            return false;
        }
        at = next;
        count += 1;
    }
    let noted = u16::from_le_bytes(header) as usize;
    at == bytes.len() && (noted == count || (noted == MAX_COUNT && count >= MAX_COUNT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(bytes: &[u8]) -> Vec<Vec<u8>> {
        iter(bytes).map(Item::to_vec).collect()
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            any::<i64>().prop_map(|n| n.to_string().into_bytes()),
            (-5000_i64..5000).prop_map(|n| n.to_string().into_bytes()),
            (0_u32..64).prop_map(|bits| (i64::MIN >> bits).to_string().into_bytes()),
            proptest::collection::vec(any::<u8>(), 0..80),
            (0_usize..6000).prop_map(|len| vec![b'x'; len]),
        ]
    }

    #[test]
    fn equal_items_are_found() {
        let items: Vec<Item<'_>> = (0..20).map(Item::Int).collect();
        for count in 0..20 {
            assert!(are_distinct(items[..count].iter().copied()));
            let twice = items[..count].iter().chain(&items[count / 2..=count / 2]).copied();
            assert_eq!(are_distinct(twice), count == 0, "{count}");
        }
    }

    #[test]
    fn bytes_are_those_of_listpack() {
        let encoded = |text: &[u8]| {
            let mut out = Vec::new();
            Item::of(text).encode(&mut out);
            out
        };
        assert_eq!(encoded(b"127"), [0x7F, 1]);
        assert_eq!(encoded(b"-1"), [0xDF, 0xFF, 2]);
        assert_eq!(encoded(b"128"), [0xC0, 0x80, 2]);
        assert_eq!(encoded(b"-32768"), [0xF1, 0x00, 0x80, 3]);
        assert_eq!(encoded(b"-8388608"), [0xF2, 0x00, 0x00, 0x80, 4]);
        assert_eq!(encoded(b"2147483647"), [0xF3, 0xFF, 0xFF, 0xFF, 0x7F, 5]);
        assert_eq!(encoded(b"01"), [0x82, b'0', b'1', 3]);
        let long = encoded(&[b'a'; 200]);
        assert_eq!((&long[..2], &long[202..]), (&[0xE0, 200][..], &[1, 0x80 | 74][..]));
    }

    proptest! {
        #[test]
        fn edits_agree_with_a_vector(
            steps in proptest::collection::vec((0_u8..5, any::<prop::sample::Index>(), text()), 1..60),
        ) {
            let (mut packed, mut model) = (new(), Vec::<Vec<u8>>::new());
            for (step, index, text) in steps {
                let at = index.index(model.len() + 1);
                let offset = nth(&packed, at as i64).unwrap_or(packed.len());
                match step {
                    0 | 1 => {
                        insert(&mut packed, offset, &[Item::of(&text)]);
                        model.insert(at, text);
                    }
                    2 if at < model.len() => {
                        replace(&mut packed, offset, Item::of(&text));
                        model[at] = text;
                    }
                    3 => {
                        remove(&mut packed, offset, text.len());
                        model.drain(at..(at + text.len()).min(model.len()));
                    }
                    _ => {
                        let found = find(&packed, Item::of(&text), 1);
                        let expected = model.iter().position(|other| *other == text);
                        prop_assert_eq!(found, expected.and_then(|at| nth(&packed, at as i64)));
                        push(&mut packed, Item::of(&text));
                        model.push(text);
                    }
                }
                prop_assert!(validate(&packed));
                prop_assert_eq!(texts(&packed), model.clone());
                prop_assert_eq!(len(&packed), model.len());
                let last = nth(&packed, -1).and_then(|at| get(&packed, at)).map(|(item, _)| item.to_vec());
                prop_assert_eq!(last.as_ref(), model.last());
            }
        }

        #[test]
        fn damaged_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0_usize..220) {
            let _ = (validate(&bytes), len(&bytes), get(&bytes, at), before(&bytes, at), texts(&bytes));
            let _ = (nth(&bytes, at as i64), nth(&bytes, -(at as i64)), find(&bytes, Item::Int(1), 2));
        }
    }
}
