//! Values in the serialised form of Redis's RDB: what DUMP replies, RESTORE takes and snapshots are made of.
//!
//! [`source`] is where bytes come from, [`read`] the lengths and strings that everything is made of, [`value`]
//! a whole value of any type in any encoding that Redis 2.8 to 8 wrote; the blobs of small collections have a
//! module each ([`listpack`], [`ziplist`], [`zipmap`], [`intset`]), and so has the [`stream`]. [`write`] is [`read`]
//! the other way. [`payload`] is the envelope of DUMP: version and checksum.
//!
//! Readers trust nothing: every length is checked against what is there, memory is allocated only for bytes
//! that have arrived (or that compressed ones stand for), and each blob is walked from one end to the other. What does not fit is a [`Corrupt`]
//! with its offset. Knows nothing of keys, commands, or how a value is kept: a [`value::Sink`] builds it. What is wrong is
//! said in the words of Redis's log where it has some, because tests look for them. [`skip`] finds where a value ends
//! without a look at what is in it.
//!
//! Source of the format: Redis's `rdb.h` and `rdb.c`, `ziplist.c`, `zipmap.c`, `intset.c`, `listpack.c`.

pub mod intset;
pub mod listpack;
pub mod lzf;
pub mod payload;
pub mod read;
pub mod skip;
pub mod source;
pub mod stream;
pub mod value;
pub mod write;
pub mod ziplist;
pub mod zipmap;

pub use source::{Corrupt, Source};
