//! Ziplists, the blobs of small collections until Redis 6: length in bytes (u32), offset of the last item (u32),
//! number of items (u16), items, an end mark. An item is the length of the one before it (one byte, or 254 and
//! four), its own encoding, and its bytes.

use crate::types::packed::Item;

const HEADER_BYTES: usize = 10;
const END: u8 = 0xFF;
const LONG_BEFORE: u8 = 254;
const UNKNOWN_COUNT: u16 = u16::MAX;

/// Walks all items of a blob. An error is that of `f`, or `broken`, before which items were handed out as far as they
/// were good.
pub fn each<'a>(
    blob: &'a [u8],
    broken: &'static str,
    mut f: impl FnMut(Item<'a>) -> Result<(), &'static str>,
) -> Result<(), &'static str> {
    let word =
        |at: usize| blob.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize);
    let (Some(total), Some(tail), Some(count)) = (word(0), word(4), blob.get(8..HEADER_BYTES)) else {
        return Err(broken);
    };
    if total != blob.len() || blob.last() != Some(&END) || blob.len() <= HEADER_BYTES {
        return Err(broken);
    }
    let noted = u16::from_le_bytes([count[0], count[1]]);
    let items = &blob[..blob.len() - 1];
    let (mut at, mut before, mut last, mut found) = (HEADER_BYTES, 0, HEADER_BYTES, 0_usize);
    while at < items.len() {
        let (noted_before, body) = match items[at] {
            LONG_BEFORE => (word(at + 1).ok_or(broken)?, at + 5),
            END => return Err(broken),
            short => (short as usize, at + 1),
        };
        if noted_before != before {
            return Err(broken);
        }
        let (item, next) = item(items, body).ok_or(broken)?;
        f(item)?;
        (before, last, at, found) = (next - at, at, next, found + 1);
    }
    if tail != last || (noted != UNKNOWN_COUNT && noted as usize != found) {
        return Err(broken);
    }
    Ok(())
}

/// The item whose encoding stands at `at`, and where the next one begins.
fn item(items: &[u8], at: usize) -> Option<(Item<'_>, usize)> {
    let mark = *items.get(at)?;
    let rest = &items[at + 1..];
    let text = |skip: usize, len: usize| {
        let text = rest.get(skip..skip.checked_add(len)?)?;
        Some((Item::Text(text), at + 1 + skip + len))
    };
    let int = |n: i64, bytes: usize| Some((Item::Int(n), at + 1 + bytes));
    match mark {
        0..0x40 => text(0, mark as usize),
        0x40..0x80 => text(1, (mark as usize & 0x3F) << 8 | *rest.first()? as usize),
        0x80 => text(4, u32::from_be_bytes(*rest.first_chunk()?) as usize),
        0xC0 => int(i16::from_le_bytes(*rest.first_chunk()?).into(), 2),
        0xD0 => int(i32::from_le_bytes(*rest.first_chunk()?).into(), 4),
        0xE0 => int(i64::from_le_bytes(*rest.first_chunk()?), 8),
        0xF0 => {
            let [a, b, c] = *rest.first_chunk()?;
            int((i32::from_le_bytes([0, a, b, c]) >> 8).into(), 3)
        }
        0xFE => int((*rest.first()? as i8).into(), 1),
        // Thirteen small numbers in the mark itself.
        0xF1..=0xFD => int(i64::from(mark & 0x0F) - 1, 0),
        _ => None,
    }
}
