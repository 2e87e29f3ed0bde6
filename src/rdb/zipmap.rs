//! Zipmaps, the blobs of small hashes until Redis 2.4: number of fields (one byte, of no use from 254 on), then
//! fields and values, each with its length (one byte, or 254 and four), a value also with the number of unused
//! bytes behind it; an end mark.

const LONG: u8 = 254;
const END: u8 = 0xFF;
const BROKEN: &str = "Zipmap integrity check failed";

/// Walks all fields and values. An error is what is wrong with the blob.
pub fn each(
    blob: &[u8],
    mut f: impl FnMut(&[u8], &[u8]) -> Result<(), &'static str>,
) -> Result<(), &'static str> {
    let noted = *blob.first().ok_or(BROKEN)?;
    let (mut at, mut found) = (1, 0_usize);
    while *blob.get(at).ok_or(BROKEN)? != END {
        let (field, next) = text(blob, at, 0).ok_or(BROKEN)?;
        let (value, next) = text(blob, next, 1).ok_or(BROKEN)?;
        f(field, value)?;
        (at, found) = (next, found + 1);
    }
    // Redis has never written an empty one.
    if found == 0 || at + 1 != blob.len() || (noted < LONG && noted as usize != found) {
        return Err(BROKEN);
    }
    Ok(())
}

/// The string at `at`, with `unused_bytes` of a count of unused bytes behind its length, and where it ends.
fn text(blob: &[u8], at: usize, unused_bytes: usize) -> Option<(&[u8], usize)> {
    let (len, at) = match *blob.get(at)? {
        END => return None,
        LONG => (u32::from_le_bytes(*blob.get(at + 1..)?.first_chunk()?) as usize, at + 5),
        len => (len as usize, at + 1),
    };
    let unused = if unused_bytes == 1 { *blob.get(at)? as usize } else { 0 };
    let start = at + unused_bytes;
    let end = start.checked_add(len)?;
    Some((blob.get(start..end)?, end.checked_add(unused)?))
}
