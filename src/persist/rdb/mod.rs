//! Snapshots as files, in the format of Redis's RDB:
//!
//! ```text
//! REDIS0010                    version in four digits
//! 250 name value               facts about the file (aux fields)
//! 245 library                  functions
//! 254 number                   the database of the keys that follow; may come any number of times
//! 251 keys deadlines           sizes of the database
//! [252 deadline]               of the next key: Unix milliseconds (253: seconds, in old files)
//! [248 idle] [249 frequency]   of the next key: seconds since its last access, or how often it is used
//! kind key value               a key
//! 255 checksum                 the end, and CRC-64 of all before
//! ```
//!
//! [`save`] makes records out of entries, [`file`] has them on disk as a whole or not at all, [`scan`] finds records in
//! bytes, [`load`] fills a keyspace with them, [`check`] looks through a file for `nuthatch check-rdb`.
//!
//! What is written is version 10, Redis 7.0's. Only where fields of hashes have deadlines, version 12 is needed (7.4);
//! since that is known when the first of them comes, behind the header, a file says 12 if any hash has field deadlines
//! at the cut.
//!
//! Source of the format: Redis's `rdb.h` and `rdb.c`.

pub mod check;
pub mod file;
pub mod load;
pub mod save;
pub mod scan;

/// What stands before everything else.
pub const SIGNATURE: &[u8] = b"REDIS";
/// Digits of the version.
pub const VERSION_DIGITS: usize = 4;
/// From this version on there is a checksum at the end.
pub const CHECKSUM_FROM_VERSION: u16 = 5;
/// Bytes of the checksum.
pub const CHECKSUM_BYTES: usize = 8;

/// What may stand where a key's kind may stand.
pub mod opcode {
    /// Redis 7.4, in clusters: the number of a slot, and its sizes.
    pub const SLOT_INFO: u8 = 244;
    pub const FUNCTION: u8 = 245;
    /// As Redis 7.0's release candidates wrote it.
    pub const FUNCTION_EARLY: u8 = 246;
    pub const MODULE_AUX: u8 = 247;
    pub const IDLE: u8 = 248;
    pub const FREQUENCY: u8 = 249;
    pub const AUX: u8 = 250;
    pub const RESIZE_DB: u8 = 251;
    pub const DEADLINE_MS: u8 = 252;
    pub const DEADLINE_S: u8 = 253;
    pub const SELECT_DB: u8 = 254;
    pub const END: u8 = 255;
}
