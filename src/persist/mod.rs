//! Data on disk: snapshots in Redis's RDB format, how they are saved while commands go on, and how they are loaded; and
//! the log of changes in Redis's AOF format.
//!
//! [`rdb`] is the snapshot's file: written, read, checked. [`aof`] is the log. [`engine`] is who does it when a command, a save point or the end of the
//! server asks for it; [`start`] what happens to the files when the server starts,
//! [`tools`] what looks at files without a server. Knows keyspaces, values and the
//! shared state; nothing of sockets or requests.

pub mod aof;
pub mod engine;
pub mod rdb;
pub mod start;
pub mod tools;
