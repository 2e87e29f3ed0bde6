//! Listpacks, the blobs of small collections since Redis 7: length in bytes (u32), number of items (u16), items
//! as [`packed`] has them, an end mark.

use crate::types::packed::{self, Item};

const HEADER_BYTES: usize = 6;
const END: u8 = 0xFF;

/// The items of a blob, and how many it says there are, unless it says nothing of it. `None` if its frame is broken.
pub fn open(blob: &[u8]) -> Option<(&[u8], Option<usize>)> {
    let total = u32::from_le_bytes(*blob.first_chunk()?);
    let (header, rest) = blob.split_at_checked(HEADER_BYTES)?;
    let (end, items) = rest.split_last()?;
    if total as usize != blob.len() || *end != END {
        return None;
    }
    let noted = u16::from_le_bytes([header[4], header[5]]) as usize;
    Some((items, (noted != packed::MAX_COUNT).then_some(noted)))
}

/// Walks all items of a blob. An error is that of `f`, or `broken`, before which items were handed out as far as they
/// were good.
pub fn each<'a>(
    blob: &'a [u8],
    broken: &'static str,
    mut f: impl FnMut(Item<'a>) -> Result<(), &'static str>,
) -> Result<(), &'static str> {
    let (items, noted) = open(blob).ok_or(broken)?;
    let (mut at, mut found) = (0, 0);
    while at < items.len() {
        let (item, next) = packed::get(items, at).ok_or(broken)?;
        if !packed::length_back_fits(items, at, next) {
            return Err(broken);
        }
        f(item)?;
        (at, found) = (next, found + 1);
    }
    if noted.is_some_and(|noted| noted != found) {
        return Err(broken);
    }
    Ok(())
}

/// The blob of these items, of which there are `count`.
pub fn from_items(items: &[u8], count: usize) -> Vec<u8> {
    let total = HEADER_BYTES + items.len() + 1;
    let mut blob = Vec::with_capacity(total);
    blob.extend_from_slice(&(total as u32).to_le_bytes());
    blob.extend_from_slice(&(count.min(packed::MAX_COUNT) as u16).to_le_bytes());
    blob.extend_from_slice(items);
    blob.push(END);
    blob
}

/// The blob of these items.
pub fn of<'a>(items: impl Iterator<Item = Item<'a>>) -> Vec<u8> {
    let (mut encoded, mut count) = (Vec::new(), 0);
    for item in items {
        item.encode(&mut encoded);
        count += 1;
    }
    from_items(&encoded, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walked(blob: &[u8]) -> Result<Vec<Vec<u8>>, &'static str> {
        let mut all = Vec::new();
        each(blob, "broken", |item| {
            all.push(item.to_vec());
            Ok(())
        })?;
        Ok(all)
    }

    #[test]
    fn only_whole_blobs_are_walked() {
        let mut items = Vec::new();
        let texts = [&b"one"[..], b"-5", b"", &[b'x'; 300]];
        texts.iter().for_each(|text| Item::of(text).encode(&mut items));
        let blob = from_items(&items, texts.len());
        assert_eq!(walked(&blob).unwrap(), texts);
        assert!(walked(&from_items(&items, packed::MAX_COUNT)).is_ok());
        assert!(walked(&from_items(&items, 3)).is_err());
        assert!(walked(&from_items(&items[..items.len() - 1], 4)).is_err());
        (0..blob.len()).for_each(|len| assert!(walked(&blob[..len]).is_err(), "{len}"));
        let mut damaged = blob.clone();
        // The length behind the first item.
        damaged[10] = 5;
        assert!(walked(&damaged).is_err());
    }
}
