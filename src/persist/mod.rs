//! Data on disk: snapshots in Redis's RDB format, how they are saved while commands go on, and how they are loaded.
//!
//! [`rdb`] is the file: written, read, checked. [`engine`] is who does it when a command, a save point or the end of the
//! server asks for it; [`start`] what happens to the files when the server starts,
//! [`tools`] what looks at files without a server. Knows keyspaces, values and the
//! shared state; nothing of sockets or requests.

pub mod engine;
pub mod rdb;
pub mod start;
pub mod tools;
