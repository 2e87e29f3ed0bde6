//! Pure data structures and algorithms: they know nothing of commands, sockets or the keyspace.

pub mod bits;
pub mod events;
pub mod field;
pub mod geo;
pub mod glob;
pub mod hash;
pub mod hyperloglog;
pub mod intset;
pub mod lcs;
pub mod list;
pub mod long_double;
pub mod member;
pub mod names;
pub mod number;
pub mod packed;
pub mod packed_hash;
pub mod prefetch;
pub mod quoting;
pub mod rows;
pub mod sorted_set;
pub mod stream;
pub mod table;
pub mod wheel;

mod binary;
mod grisu;
mod wide;
