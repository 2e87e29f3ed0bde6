//! Intsets, the blobs of small sets of integers: bytes of an integer (u32: 2, 4 or 8), number of them (u32),
//! the integers in ascending order, all little endian.

use crate::types::intset;

const HEADER_BYTES: usize = 8;
const BROKEN: &str = "Intset integrity check failed";

/// Walks all members. An error is what is wrong with the blob.
pub fn each(blob: &[u8], mut f: impl FnMut(i64) -> Result<(), &'static str>) -> Result<(), &'static str> {
    let (header, members) = blob.split_at_checked(HEADER_BYTES).ok_or(BROKEN)?;
    let word =
        |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]) as usize;
    let (width, count) = (word(0), word(4));
    if !matches!(width, 2 | 4 | 8) || members.len() != width.saturating_mul(count) || count == 0 {
        return Err(BROKEN);
    }
    let mut before = None;
    for member in members.chunks_exact(width) {
        let n = match *member {
            [a, b] => i16::from_le_bytes([a, b]).into(),
            [a, b, c, d] => i32::from_le_bytes([a, b, c, d]).into(),
            [a, b, c, d, e, f, g, h] => i64::from_le_bytes([a, b, c, d, e, f, g, h]),
            _ => return Err(BROKEN),
        };
        if before.is_some_and(|before| before >= n) {
            return Err(BROKEN);
        }
        f(n)?;
        before = Some(n);
    }
    Ok(())
}

/// The blob of a set of integers in the form of [`intset`].
pub fn from_set(set: &[u8]) -> Vec<u8> {
    let members = &set[intset::HEADER_BYTES..];
    let mut blob = Vec::with_capacity(HEADER_BYTES + members.len());
    blob.extend_from_slice(&(intset::width(set) as u32).to_le_bytes());
    blob.extend_from_slice(&(intset::len(set) as u32).to_le_bytes());
    blob.extend_from_slice(members);
    blob
}
