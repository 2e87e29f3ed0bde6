//! Pure data structures and algorithms: they know nothing of commands, sockets or the keyspace.

pub mod bits;
pub mod geo;
pub mod glob;
pub mod hyperloglog;
pub mod intset;
pub mod lcs;
pub mod long_double;
pub mod member;
pub mod number;
pub mod packed;
pub mod sorted_set;
pub mod table;
pub mod wheel;

mod binary;
mod grisu;
mod wide;
