//! Pure data structures and algorithms: they know nothing of commands, sockets or the keyspace.

pub mod glob;
pub mod number;

mod binary;
mod grisu;
