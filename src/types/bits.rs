//! Strings as arrays of bits, for SETBIT, BITCOUNT, BITPOS, BITOP and BITFIELD.
//!
//! Bit 0 is the most significant bit of the first byte, bit 8 that of the second; a string goes on with zeros
//! behind its end wherever that makes a difference. A field of several bits has its most significant bit first,
//! so that a field that fills whole bytes is a big-endian number.
//!
//! Everything that may have to look at hundreds of megabytes (counting, searching, combining) is a plain loop
//! over words or blocks that the compiler vectorises, and touches every byte of its input once: it runs at the
//! speed of memory.

use super::wide::count_ones;
use std::ops::Range;

/// What the bits before the first one of a range are masked out with in its first byte, and those behind the
/// last one in its last byte. The range is not empty.
fn edge_masks(range: &Range<u64>) -> (u8, u8) {
    (0xff >> (range.start % 8), 0xff << (7 - (range.end - 1) % 8))
}

/// The first and the last byte that a range of bits touches. The range is not empty.
fn edge_bytes(range: &Range<u64>) -> (usize, usize) {
    ((range.start / 8) as usize, ((range.end - 1) / 8) as usize)
}

/// The number of bits that are set among those of `range`, which must lie within the bytes.
pub fn count(bytes: &[u8], range: Range<u64>) -> u64 {
    if range.is_empty() {
        return 0;
    }
    let ((first, last), (head, tail)) = (edge_bytes(&range), edge_masks(&range));
    if first == last {
        return u64::from((bytes[first] & head & tail).count_ones());
    }
    let edges = (bytes[first] & head).count_ones() + (bytes[last] & tail).count_ones();
    count_ones(&bytes[first + 1..last]) + u64::from(edges)
}

/// The position of the first bit of this value among those of `range`, which must lie within the bytes.
pub fn find(bytes: &[u8], range: Range<u64>, bit: bool) -> Option<u64> {
    if range.is_empty() {
        return None;
    }
    let ((first, last), (head, tail)) = (edge_bytes(&range), edge_masks(&range));
    // What is searched for becomes a one.
    let skipped = if bit { 0x00 } else { 0xff };
    let found = |at: usize, mask: u8| {
        let hits = (bytes[at] ^ skipped) & mask;
        (hits != 0).then(|| at as u64 * 8 + u64::from(hits.leading_zeros()))
    };
    if first == last {
        return found(first, head & tail);
    }
    found(first, head)
        .or_else(|| {
            let at = first_other_than(skipped, &bytes[first + 1..last])?;
            found(first + 1 + at, 0xff)
        })
        .or_else(|| found(last, tail))
}

/// The position of the first byte that is another one.
fn first_other_than(skipped: u8, bytes: &[u8]) -> Option<usize> {
    /// Bytes that are looked at before it is asked whether the search is over.
    const STRIDE: usize = 128;
    let is_skipped = |chunk: &&[u8]| chunk.iter().fold(0, |seen, byte| seen | (byte ^ skipped)) == 0;
    let from = STRIDE * bytes.chunks_exact(STRIDE).take_while(is_skipped).count();
    bytes[from..].iter().position(|byte| *byte != skipped).map(|at| from + at)
}

/// What BITOP makes of its sources, bit by bit. `X` is the first source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    And,
    Or,
    Xor,
    /// Of the only source.
    Not,
    /// What is in `X` and in none of the others.
    Diff,
    /// What is not in `X`, but in one of the others.
    Diff1,
    /// What is in `X` and in at least one of the others.
    AndOr,
    /// What is in exactly one source.
    One,
}

/// Bytes of the result that are worked on at a time, source after source: they stay in the innermost cache.
const BLOCK_BYTES: usize = 8 * 1024;

/// The result of an operation, as long as the longest source; shorter ones are filled up with zeros.
pub fn combine(operation: Operation, sources: &[&[u8]]) -> Vec<u8> {
    let len = sources.iter().map(|source| source.len()).max().unwrap_or(0);
    let mut out = Vec::with_capacity(len);
    while out.len() < len {
        let range = out.len()..len.min(out.len() + BLOCK_BYTES);
        append_block(operation, sources, range, &mut out);
    }
    out
}

/// Appends the bytes of the result in `range`, of at most [`BLOCK_BYTES`].
fn append_block(operation: Operation, sources: &[&[u8]], range: Range<usize>, out: &mut Vec<u8>) {
    use Operation::{And, AndOr, Diff, Diff1, Not, One, Or, Xor};
    let part = |source: &[u8]| {
        let end = range.end.min(source.len());
        range.start.min(end)..end
    };
    let first = &sources[0][part(sources[0])];
    // Those that set the first source against the others want the union of these before.
    let wants_union = matches!(operation, Diff | Diff1 | AndOr);
    let mut parts = sources[usize::from(wants_union)..].iter().map(|source| &source[part(source)]);
    out.extend_from_slice(parts.next().unwrap_or_default());
    out.resize(range.end, 0);
    let block = &mut out[range.start..];
    match operation {
        And => parts.for_each(|part| merge(block, part, |a, b| a & b)),
        Or | Diff | Diff1 | AndOr => parts.for_each(|part| merge(block, part, |a, b| a | b)),
        Xor => parts.for_each(|part| merge(block, part, |a, b| a ^ b)),
        Not => block.iter_mut().for_each(|byte| *byte = !*byte),
        One => keep_singles(block, parts),
    }
    match operation {
        Diff => merge(block, first, |union, x| x & !union),
        Diff1 => merge(block, first, |union, x| union & !x),
        AndOr => merge(block, first, |union, x| x & union),
        And | Or | Xor | Not | One => {}
    }
}

/// Changes each byte of a block by the one of a source in its place, or by zero behind the source's end.
#[inline(always)]
fn merge(block: &mut [u8], part: &[u8], f: impl Fn(u8, u8) -> u8) {
    let (within, beyond) = block.split_at_mut(part.len());
    within.iter_mut().zip(part).for_each(|(byte, other)| *byte = f(*byte, *other));
    beyond.iter_mut().for_each(|byte| *byte = f(*byte, 0));
}

/// Leaves the bits that are set in just one of the block and the other sources.
fn keep_singles<'a>(block: &mut [u8], others: impl Iterator<Item = &'a [u8]>) {
    let mut repeated = [0; BLOCK_BYTES];
    let repeated = &mut repeated[..block.len()];
    for part in others {
        for ((any, repeated), byte) in block.iter_mut().zip(&mut *repeated).zip(part) {
            *repeated |= *any & byte;
            *any |= byte;
        }
    }
    merge(block, repeated, |any, repeated| any & !repeated);
}

/// What kind of integer a field of bits holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field {
    is_signed: bool,
    /// 1 to 64; of an unsigned one at most 63, so that every value is an `i64`.
    bits: u32,
}

/// What becomes of a value that does not fit a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Overflow {
    /// Its lowest bits are kept.
    Wrap,
    /// The nearest value that fits is taken.
    Saturate,
    /// There is none.
    Fail,
}

impl Field {
    /// A field of so many bits; `None` if there is no such field.
    pub fn new(is_signed: bool, bits: u32) -> Option<Field> {
        let most = if is_signed { 64 } else { 63 };
        (1..=most).contains(&bits).then_some(Field { is_signed, bits })
    }

    pub fn bits(self) -> u32 {
        self.bits
    }

    /// The value of the field at a bit's position. Behind the last byte there are zeros.
    pub fn read(self, bytes: &[u8], at: u64) -> i64 {
        let part = usize::try_from(at / 8).ok().and_then(|first| bytes.get(first..)).unwrap_or_default();
        self.kept(shifted(window(part), at, self.bits))
    }

    /// Overwrites the field at a bit's position, which must lie within the bytes.
    pub fn write(self, bytes: &mut [u8], at: u64, value: i64) {
        let first = (at / 8) as usize;
        let part = &mut bytes[first..first + (at % 8 + u64::from(self.bits)).div_ceil(8) as usize];
        let shift = 128 - (at % 8) as u32 - self.bits;
        let mask = ((1 << self.bits) - 1) << shift;
        let new = window(part) & !mask | u128::from(value as u64) << shift & mask;
        let len = part.len();
        part.copy_from_slice(&new.to_be_bytes()[..len]);
    }

    /// The value to store for a result that may not fit.
    pub fn fit(self, value: i128, overflow: Overflow) -> Option<i64> {
        let (min, max) = match self.is_signed {
            true => (-(1_i128 << (self.bits - 1)), (1 << (self.bits - 1)) - 1),
            false => (0, (1 << self.bits) - 1),
        };
        let nearest = value.clamp(min, max);
        match overflow {
            _ if nearest == value => Some(value as i64),
            Overflow::Wrap => Some(self.kept(value as u64)),
            Overflow::Saturate => Some(nearest as i64),
            Overflow::Fail => None,
        }
    }

    /// The value to store for one that was given. To an unsigned field a negative number is a large one, as in C.
    /// So is one to a signed field from which the field's highest value is more than 64 bits away: Redis takes the
    /// difference modulo 2^64, and saturates at the wrong end.
    pub fn fit_given(self, value: i64, overflow: Overflow) -> Option<i64> {
        if !self.is_signed {
            return self.fit(i128::from(value as u64), overflow);
        }
        let max = i64::MAX >> (64 - self.bits);
        match overflow {
            Overflow::Saturate if max.checked_sub(value).is_none() && self.bits < 64 => Some(max),
            _ => self.fit(value.into(), overflow),
        }
    }

    /// The value that the lowest bits stand for.
    fn kept(self, raw: u64) -> i64 {
        let spare = 64 - self.bits;
        if self.is_signed { (raw << spare) as i64 >> spare } else { (raw << spare >> spare) as i64 }
    }
}

/// Up to nine bytes, which hold every field that begins in the first of them, at the top of an integer.
fn window(bytes: &[u8]) -> u128 {
    let mut window = [0; 16];
    let len = bytes.len().min(9);
    window[..len].copy_from_slice(&bytes[..len]);
    u128::from_be_bytes(window)
}

/// The field at position `at` of the window's first byte, as the lowest bits.
fn shifted(window: u128, at: u64, bits: u32) -> u64 {
    (window << (at % 8) >> (128 - bits)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bit(bytes: &[u8], at: u64) -> bool {
        bytes.get((at / 8) as usize).is_some_and(|byte| byte & (0x80 >> (at % 8)) != 0)
    }

    fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
        // Long runs of the same bit are what a search skips.
        let byte = prop_oneof![Just(0_u8), Just(0xff), any::<u8>()];
        prop_oneof![
            proptest::collection::vec(byte, 0..40),
            (0..most, any::<bool>(), any::<u8>()).prop_map(|(len, ones, odd)| {
                let mut bytes = vec![if ones { 0xff } else { 0 }; len];
                if let Some(last) = bytes.last_mut() {
                    *last = odd;
                }
                bytes
            }),
        ]
    }

    fn expected(operation: Operation, bits: &[bool]) -> bool {
        let (x, others) = (bits[0], &bits[1..]);
        let any = others.contains(&true);
        match operation {
            Operation::And => !bits.contains(&false),
            Operation::Or => bits.contains(&true),
            Operation::Xor => bits.iter().filter(|bit| **bit).count() % 2 == 1,
            Operation::Not => !x,
            Operation::Diff => x && !any,
            Operation::Diff1 => !x && any,
            Operation::AndOr => x && any,
            Operation::One => bits.iter().filter(|bit| **bit).count() == 1,
        }
    }

    const OPERATIONS: [Operation; 8] = [
        Operation::And,
        Operation::Or,
        Operation::Xor,
        Operation::Not,
        Operation::Diff,
        Operation::Diff1,
        Operation::AndOr,
        Operation::One,
    ];

    fn check(operation: Operation, sources: &[&[u8]]) {
        let sources = if operation == Operation::Not { &sources[..1] } else { sources };
        let result = combine(operation, sources);
        assert_eq!(result.len(), sources.iter().map(|source| source.len()).max().unwrap());
        for at in 0..result.len() as u64 * 8 {
            let bits: Vec<bool> = sources.iter().map(|source| bit(source, at)).collect();
            assert_eq!(bit(&result, at), expected(operation, &bits), "{operation:?} of {sources:?} at {at}");
        }
    }

    #[test]
    fn sources_longer_than_a_block() {
        let long: Vec<u8> = (0..BLOCK_BYTES * 2 + 100).map(|i| ((i * 31) >> 3) as u8).collect();
        let other: Vec<u8> = (0..BLOCK_BYTES + 7).map(|i| ((i * 17) >> 2) as u8).collect();
        for operation in OPERATIONS {
            check(operation, &[&long, &other, &[0x55; 9000], &[]]);
            check(operation, &[&other, &long]);
            check(operation, &[&[], &other]);
        }
    }

    #[test]
    fn fields_and_their_limits() {
        assert_eq!(Field::new(false, 64), None);
        assert_eq!(Field::new(true, 65), None);
        assert_eq!(Field::new(true, 0), None);
        let i64s = Field::new(true, 64).unwrap();
        let over = i128::from(i64::MAX) + 1;
        assert_eq!(i64s.fit(over, Overflow::Wrap), Some(i64::MIN));
        assert_eq!(i64s.fit(over, Overflow::Saturate), Some(i64::MAX));
        assert_eq!(i64s.fit(over, Overflow::Fail), None);
        assert_eq!(i64s.fit_given(i64::MIN, Overflow::Saturate), Some(i64::MIN));
        // As Redis 7.0.15 and 8.2.3 answer.
        let i3 = Field::new(true, 3).unwrap();
        assert_eq!(i3.fit_given(i64::MIN, Overflow::Saturate), Some(3));
        assert_eq!(i3.fit_given(i64::MIN + 3, Overflow::Saturate), Some(3));
        assert_eq!(i3.fit_given(i64::MIN + 4, Overflow::Saturate), Some(-4));
        let u63s = Field::new(false, 63).unwrap();
        assert_eq!(u63s.fit(-1, Overflow::Wrap), Some(i64::MAX));
        assert_eq!(u63s.fit(-1, Overflow::Saturate), Some(0));
        let i1 = Field::new(true, 1).unwrap();
        assert_eq!(i1.fit(1, Overflow::Wrap), Some(-1));
        assert_eq!(i1.fit(1, Overflow::Saturate), Some(0));
        assert_eq!(i1.read(b"\x80", 0), -1);
        assert_eq!(i64s.read(b"", u64::MAX), 0);
    }

    proptest! {
        #[test]
        fn counting_and_searching_agree_with_looking_at_each_bit(
            bytes in bytes(2000), ends: (prop::sample::Index, prop::sample::Index), value: bool,
        ) {
            let bits = bytes.len() as u64 * 8;
            let (a, b) = (ends.0.index(bits as usize + 1) as u64, ends.1.index(bits as usize + 1) as u64);
            for range in [0..bits, a.min(b)..a.max(b)] {
                let hits = || range.clone().filter(|at| bit(&bytes, *at) == value);
                let set = range.clone().filter(|at| bit(&bytes, *at)).count() as u64;
                prop_assert_eq!(count(&bytes, range.clone()), set);
                prop_assert_eq!(find(&bytes, range.clone(), value), hits().next());
            }
        }

        #[test]
        fn operations_work_bit_by_bit(
            sources in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 1..6),
        ) {
            let sources: Vec<&[u8]> = sources.iter().map(Vec::as_slice).collect();
            for operation in OPERATIONS {
                check(operation, &sources);
            }
        }

        #[test]
        fn fields_are_read_and_written_bit_by_bit(
            bytes in proptest::collection::vec(any::<u8>(), 20), is_signed: bool, bits in 1..=63_u32, at in 0..90_u64,
            value: i64,
        ) {
            let field = Field::new(is_signed, bits).unwrap();
            let raw = (at..at + u64::from(bits)).fold(0, |raw: u64, at| raw << 1 | u64::from(bit(&bytes, at)));
            let sign = if is_signed && raw >> (bits - 1) == 1 { 1_i128 << bits } else { 0 };
            prop_assert_eq!(i128::from(field.read(&bytes, at)), i128::from(raw) - sign);
            // Cut short, as if the rest were zeros.
            let mut padded = bytes[..12].to_vec();
            padded.resize(20, 0);
            prop_assert_eq!(field.read(&bytes[..12], at), field.read(&padded, at));

            let value = field.fit(i128::from(value), Overflow::Wrap).unwrap();
            let mut written = bytes.clone();
            field.write(&mut written, at, value);
            prop_assert_eq!(field.read(&written, at), value);
            for other in (0..at).chain(at + u64::from(bits)..160) {
                prop_assert_eq!(bit(&written, other), bit(&bytes, other));
            }
        }
    }
}
