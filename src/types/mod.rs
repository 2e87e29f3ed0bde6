//! Pure data structures and algorithms: they know nothing of commands, sockets or the keyspace.

pub mod bits;
pub mod geo;
pub mod glob;
pub mod hyperloglog;
pub mod field;
pub mod hash;
pub mod intset;
pub mod lcs;
pub mod list;
pub mod long_double;
pub mod member;
pub mod number;
pub mod packed;
pub mod packed_hash;
pub mod prefetch;
pub mod sorted_set;
pub mod table;
pub mod stream;
pub mod wheel;

mod binary;
mod grisu;
mod wide;
