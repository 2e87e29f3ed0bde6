//! Listpacks, the blobs of small collections since Redis 7: length in bytes (u32), number of items (u16), items
//! as [`crate::types::packed`] has them, an end mark.

use crate::types::packed::{self, Item};

const HEADER_BYTES: usize = 6;
const END: u8 = 0xFF;
/// The number of items is not noted.
const UNKNOWN_COUNT: u16 = u16::MAX;

/// Walks all items of a blob. An error is what is wrong with it, which nothing is handed out behind.
pub fn each<'a>(blob: &'a [u8], mut f: impl FnMut(Item<'a>) -> Result<(), &'static str>) -> Result<(), &'static str> {
    const BROKEN: &str = "broken listpack";
    let (Some(total), Some(count)) = (blob.first_chunk::<4>(), blob.get(4..HEADER_BYTES)) else {
        return Err(BROKEN);
    };
    if u32::from_le_bytes(*total) as usize != blob.len() || blob.len() <= HEADER_BYTES || blob.last() != Some(&END) {
        return Err(BROKEN);
    }
    let noted = u16::from_le_bytes([count[0], count[1]]);
    let items = &blob[HEADER_BYTES..blob.len() - 1];
    let (mut at, mut found) = (0, 0_usize);
    while at < items.len() {
        let (item, next) = packed::get(items, at).ok_or(BROKEN)?;
        if !packed::length_back_fits(items, at, next) {
            return Err(BROKEN);
        }
        f(item)?;
        (at, found) = (next, found + 1);
    }
    if noted != UNKNOWN_COUNT && noted as usize != found {
        return Err(BROKEN);
    }
    Ok(())
}

/// The blob of a sequence in [`packed`] form.
pub fn from_packed(sequence: &[u8]) -> Vec<u8> {
    let items = &sequence[packed::HEADER_BYTES..];
    let total = HEADER_BYTES + items.len() + 1;
    let mut blob = Vec::with_capacity(total);
    blob.extend_from_slice(&(total as u32).to_le_bytes());
    blob.extend_from_slice(&sequence[..packed::HEADER_BYTES]);
    blob.extend_from_slice(items);
    blob.push(END);
    blob
}
