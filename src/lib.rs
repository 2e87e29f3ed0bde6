//! Nuthatch: an in-memory cache server that speaks the Redis protocol.
//!
//! The map, from the outside in; arrows only point downwards:
//!
//! ```text
//! server    listeners, workers, connections, shutdown
//!   │
//! persist   data on disk: snapshots, loading
//!   │
//! command   the command table, dispatch, the handlers by group
//!   │
//! state     what all connections share: the server's parts, sessions, the client table, statistics
//!   │
//!   ├── keyspace   databases, entries, shard locks, expiry, SCAN
//!   ├── config     directives, redis.conf, command line
//!   ├── observe    log, histograms, slow log, latency events
//!   ├── resp       requests in, replies out
//!   ├── rdb        values in the form of dumps and snapshots
//!   └── memory     the allocator and its exact figures
//!         │
//!       types      algorithms and data structures that know none of the above
//! ```

pub mod command;
pub mod config;
pub mod keyspace;
pub mod memory;
pub mod observe;
pub mod persist;
pub mod rdb;
pub mod resp;
pub mod script;
pub mod server;
pub mod state;
pub mod types;

/// The newest version of Redis whose command set is complete here or named as missing in the documentation:
/// what INFO and HELLO tell clients that choose their commands by it.
pub const REDIS_VERSION: &str = "7.4.2";

/// The version of this server.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
