//! A set of integers as plain bytes: sorted, each of the same width.
//!
//! ```text
//! ┌──────────┬───────┬───────┬───────┬┄
//! │ width u8 │ least │  ...  │ most  │
//! └──────────┴───────┴───────┴───────┴┄
//! ```
//!
//! The idea is that of Redis's *intset* (`intset.c`): all integers take 2, 4 or 8 bytes, as wide as the widest one
//! ever needed, in little-endian order. One byte of width is the whole header, since who owns the memory knows
//! its size. An integer is found by binary search; adding one moves the larger ones. Functions that read do not
//! trust the bytes; [`validate`] tells whether they are what they should be.

use super::packed::Buffer;

/// Bytes before the first integer.
pub const HEADER_BYTES: usize = 1;

/// The bytes that an integer takes at least.
fn width_of(n: i64) -> usize {
    match n {
        -0x8000..=0x7FFF => 2,
        -0x8000_0000..=0x7FFF_FFFF => 4,
        _ => 8,
    }
}

/// How many bytes each integer takes; 2 if there is no such byte.
#[inline]
pub fn width(bytes: &[u8]) -> usize {
    match bytes.first() {
        Some(4) => 4,
        Some(8) => 8,
        _ => 2,
    }
}

fn encode(n: i64, width: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&n.to_le_bytes()[..width]);
}

/// An empty set.
pub fn new() -> Vec<u8> {
    vec![2]
}

/// The set of these integers, which ascend.
pub fn of(sorted: &[i64]) -> Vec<u8> {
    let width = sorted.iter().map(|n| width_of(*n)).max().unwrap_or(2);
    let mut bytes = Vec::with_capacity(HEADER_BYTES + width * sorted.len());
    bytes.push(width as u8);
    sorted.iter().for_each(|n| encode(*n, width, &mut bytes));
    bytes
}

/// Number of integers.
#[inline]
pub fn len(bytes: &[u8]) -> usize {
    bytes.len().saturating_sub(HEADER_BYTES) / width(bytes)
}

/// Number `index` of the integers, the least first.
#[inline]
pub fn get(bytes: &[u8], index: usize) -> Option<i64> {
    let width = width(bytes);
    let at = HEADER_BYTES + index.checked_mul(width)?;
    let found = bytes.get(at..at.checked_add(width)?)?;
    Some(match width {
        2 => i16::from_le_bytes(*found.first_chunk()?).into(),
        4 => i32::from_le_bytes(*found.first_chunk()?).into(),
        _ => i64::from_le_bytes(*found.first_chunk()?),
    })
}

/// All integers, ascending.
pub fn iter(bytes: &[u8]) -> impl ExactSizeIterator<Item = i64> {
    (0..len(bytes)).map(|index| get(bytes, index).unwrap_or_default())
}

/// The index of an integer, or as an error the one it would have.
#[inline]
pub fn find(bytes: &[u8], n: i64) -> Result<usize, usize> {
    let (mut low, mut high) = (0, len(bytes));
    while low < high {
        let middle = low.midpoint(high);
        match get(bytes, middle) {
            Some(found) if found == n => return Ok(middle),
            Some(found) if found < n => low = middle + 1,
            _ => high = middle,
        }
    }
    Err(low)
}

/// Adds an integer; false if it was there.
pub fn insert(buffer: &mut impl Buffer, n: i64) -> bool {
    let (old, needed) = (width(buffer.bytes()), width_of(n));
    if needed > old {
        // It is less or more than all others, which take more bytes now.
        let mut all: Vec<i64> = iter(buffer.bytes()).collect();
        all.insert(if n < 0 { 0 } else { all.len() }, n);
        let wider = of(&all);
        buffer.splice(0, buffer.bytes().len(), &wider);
        return true;
    }
    let Err(index) = find(buffer.bytes(), n) else { return false };
    buffer.splice(HEADER_BYTES + index * old, 0, &n.to_le_bytes()[..old]);
    true
}

/// Removes an integer; false if it was not there.
pub fn remove(buffer: &mut impl Buffer, n: i64) -> bool {
    let Ok(index) = find(buffer.bytes(), n) else { return false };
    remove_at(buffer, index);
    true
}

/// Removes number `index`, which there has to be.
pub fn remove_at(buffer: &mut impl Buffer, index: usize) {
    let width = width(buffer.bytes());
    buffer.splice(HEADER_BYTES + index * width, width, &[]);
}

/// Whether the bytes are a set: a width that there is, and integers that ascend.
pub fn validate(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(2 | 4 | 8))
        && (bytes.len() - HEADER_BYTES).is_multiple_of(width(bytes))
        && iter(bytes).is_sorted_by(|a, b| a < b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn integer() -> impl Strategy<Value = i64> {
        prop_oneof![
            -20_i64..20,
            any::<i16>().prop_map(i64::from),
            any::<i32>().prop_map(i64::from),
            any::<i64>()
        ]
    }

    #[test]
    fn as_wide_as_the_widest() {
        let mut set = new();
        for (n, width, bytes) in
            [(5, 2, 3), (-32_768, 2, 5), (32_768, 4, 13), (-1, 4, 17), (i64::MIN, 8, 41), (i64::MAX, 8, 49)]
        {
            assert!(insert(&mut set, n) && !insert(&mut set, n));
            assert_eq!((super::width(&set), set.len()), (width, bytes));
        }
        assert_eq!(iter(&set).collect::<Vec<_>>(), [i64::MIN, -32_768, -1, 5, 32_768, i64::MAX]);
    }

    proptest! {
        #[test]
        fn agrees_with_a_tree(steps in proptest::collection::vec((0_u8..3, integer()), 1..200)) {
            let (mut set, mut model) = (new(), BTreeSet::new());
            for (step, n) in steps {
                match step {
                    0 => prop_assert_eq!(remove(&mut set, n), model.remove(&n)),
                    _ => prop_assert_eq!(insert(&mut set, n), model.insert(n)),
                }
                prop_assert!(validate(&set));
                prop_assert_eq!(find(&set, n).is_ok(), model.contains(&n));
                prop_assert!(iter(&set).eq(model.iter().copied()));
            }
            let all: Vec<i64> = model.into_iter().collect();
            prop_assert_eq!(iter(&of(&all)).collect::<Vec<_>>(), all);
        }

        #[test]
        fn damaged_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..60), n in integer()) {
            let _ = (validate(&bytes), len(&bytes), find(&bytes, n), get(&bytes, n as usize), iter(&bytes).count());
        }
    }
}
