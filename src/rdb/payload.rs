//! The envelope of DUMP: a value's kind and bytes, the version of the format (u16), and the checksum of all of
//! that (u64, little endian).

use crc::{CRC_64_REDIS, Crc, Table};

/// Redis 7.0's version, the oldest that reads all but hashes with field deadlines as they are written here.
pub const VERSION: u16 = 10;
/// The version with field deadlines, of Redis 7.4.
pub const VERSION_DEADLINES: u16 = 12;
/// The newest version that can be read.
pub const MAX_VERSION: u16 = 12;

const VERSION_BYTES: usize = 2;
const CHECKSUM_BYTES: usize = 8;

/// The checksum of envelopes and files.
pub static CHECKSUM: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_REDIS);

/// Closes the envelope.
pub fn seal(mut payload: Vec<u8>, version: u16) -> Vec<u8> {
    payload.extend_from_slice(&version.to_le_bytes());
    let checksum = CHECKSUM.checksum(&payload);
    payload.extend_from_slice(&checksum.to_le_bytes());
    payload
}

/// What is in an envelope of a version that can be read, if its checksum is right or ignored.
pub fn open(payload: &[u8], ignore_checksum: bool) -> Option<&[u8]> {
    let (sealed, checksum) = payload.split_last_chunk::<CHECKSUM_BYTES>()?;
    let (body, version) = sealed.split_last_chunk::<VERSION_BYTES>()?;
    let is_known = u16::from_le_bytes(*version) <= MAX_VERSION;
    let is_whole = || u64::from_le_bytes(*checksum) == CHECKSUM.checksum(sealed);
    (is_known && (ignore_checksum || is_whole())).then_some(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_redis_s() {
        // Redis's own test value (crc64.c).
        assert_eq!(CHECKSUM.checksum(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
    }

    #[test]
    fn only_whole_envelopes_open() {
        let sealed = seal(b"\x00\x01a".to_vec(), VERSION);
        assert_eq!(open(&sealed, false), Some(&b"\x00\x01a"[..]));
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert_eq!(open(&damaged, false), None, "byte {at}");
            assert_eq!(open(&sealed[..at], false), None);
        }
        assert_eq!(open(&seal(vec![0], MAX_VERSION + 1), true), None);
    }
}
