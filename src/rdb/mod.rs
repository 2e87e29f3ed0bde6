//! Values in the serialised form of Redis's RDB: what DUMP replies, RESTORE takes and snapshots are made of.
//!
//! [`source`] is where bytes come from, [`read`] the lengths and strings that everything is made of, [`value`]
//! a whole value of any type in any encoding that Redis 2.8 to 8 wrote; the blobs of small collections have a
//! module each ([`listpack`], [`ziplist`], [`zipmap`], [`intset`]). [`write`] goes the other way, in the
//! encodings that Redis 7.0 reads. [`payload`] is the envelope of DUMP: version and checksum.
//!
//! Readers trust nothing: every length is checked against what is there, memory is allocated only for bytes
//! that have arrived, and each blob is walked from one end to the other. What does not fit is a [`Corrupt`]
//! with its offset. Knows nothing of keys, commands, or how a value is kept: a [`value::Sink`] builds it.
//!
//! Source of the format: Redis's `rdb.h` and `rdb.c`, `ziplist.c`, `zipmap.c`, `intset.c`, `listpack.c`.

pub mod intset;
pub mod listpack;
pub mod lzf;
pub mod payload;
pub mod read;
pub mod source;
pub mod value;
pub mod write;
pub mod zipmap;
pub mod ziplist;

pub use source::{Corrupt, Source};
