//! Databases: keys with values and deadlines, sharded, each shard under a lock of its own.
//!
//! Commands see a [`View`]: the shards that their keys need, locked before they start, in one global order
//! (database, shard). From the inside out: [`entry`] is one key with its value, [`shard`] a lock with its
//! table and wheel, [`Keyspace`] all shards of all databases, [`view`] what a running command may touch,
//! [`scan`] and [`expire`] the two walks that take one shard at a time, [`effects`] the place where others learn
//! what happened to keys, [`log`] the stream of changes as commands, [`snapshot`] everything as it was at one instant,
//! [`fill`] takes what comes from a file.
//!
//! Lock order: the [`barrier`] (for whoever locks more than one shard), shards by (database, shard), inside only what
//! [`effects`] are told to. Whoever holds one shard without having passed the barrier never waits for another. `gate`
//! sees to it wherever tests run, and `model` explores what it is good for. Knows nothing of commands, clients or
//! replies.

pub mod access;
mod barrier;
pub mod effects;
pub mod entry;
pub mod expire;
pub mod fields;
pub mod fill;
mod gate;
pub mod hash;
pub mod log;
#[cfg(test)]
pub(crate) mod model;
mod nap;
mod new_value;
pub mod scan;
pub mod shard;
pub mod snapshot;
pub mod view;

pub use entry::{Entry, Kind, Object, StringRef, Type, Value};
pub use new_value::NewValue;
pub use view::{Deadline, Footprint, View};

/// A log is replayed in a time so far before this one that no deadline has passed. A multiple of all that clocks of
/// access records count in, milliseconds (see [`access`]).
pub const REPLAY_SHIFT_MS: i64 = 60_000 << 32;

use effects::Effects;
use hash::{KeyHash, KeyHasher};
use shard::{Common, Counts, Shards, Table};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Those that may pass the barrier at the same time: there is a reaper for two workers, and now and then the main thread.
const THREADS_PER_REAPER: usize = 4;

/// All databases of the server.
pub struct Keyspace {
    databases: Box<[OnceLock<Shards>]>,
    common: Common,
    barrier: barrier::Barrier,
    effects: Effects,
    /// What frees values that may take long.
    disposer: OnceLock<fn(Entry)>,
    shards_per_database: usize,
}

impl Keyspace {
    /// `shards` (a power of two) per database; `reapers` share the work of expiry.
    pub fn new(databases: usize, shards: usize, reapers: usize) -> Keyspace {
        Keyspace {
            databases: (0..databases).map(|_| OnceLock::new()).collect(),
            common: Common {
                hasher: KeyHasher::new(shards),
                expiry: expire::Expiry::new(reapers),
                snapshots: snapshot::Snapshots::new(),
            },
            barrier: barrier::Barrier::new(reapers * THREADS_PER_REAPER),
            effects: Effects::default(),
            disposer: OnceLock::new(),
            shards_per_database: shards,
        }
    }

    /// Has entries whose values stand outside of them freed by `free` once they are in no table any more, so that it
    /// can take a large one elsewhere. Without it they are freed in place. The first call counts.
    pub fn free_with(&self, free: fn(Entry)) {
        self.disposer.get_or_init(|| free);
    }

    /// Frees an entry that is in no table any more.
    #[inline]
    fn dispose(&self, entry: Entry) {
        if entry.object().is_some()
            && let Some(free) = self.disposer.get()
        {
            free(entry);
        }
    }

    /// The number of databases.
    pub fn databases(&self) -> usize {
        self.databases.len()
    }

    pub fn shards_per_database(&self) -> usize {
        self.shards_per_database
    }

    #[inline]
    pub fn hash(&self, key: &[u8]) -> KeyHash {
        self.common.hasher.hash(key)
    }

    /// The shards of a database, which come to life with their first use.
    ///
    /// # Panics
    /// If there is no such database: SELECT has checked the number.
    #[inline]
    pub fn shards(&self, database: usize) -> &Shards {
        self.databases[database].get().unwrap_or_else(|| self.new_shards(database))
    }

    #[cold]
    fn new_shards(&self, database: usize) -> &Shards {
        let _birth = self.common.snapshots.birth();
        self.databases[database]
            .get_or_init(|| Shards::new(database, &self.common.hasher, self.shards_per_database, unix_ms()))
    }

    /// The shards of a database that was used before.
    pub fn existing(&self, database: usize) -> Option<&Shards> {
        self.databases[database].get()
    }

    /// Keys, deadlines and sizes of a database, each shard at its own instant.
    pub fn counts(&self, database: usize) -> Counts {
        self.lock_nothing(database, 0).survey(database)
    }

    /// Who wants to know what happens to keys.
    #[inline]
    pub fn effects(&self) -> &Effects {
        &self.effects
    }

    pub fn expiry(&self) -> &expire::Expiry {
        &self.common.expiry
    }

    fn snapshots(&self) -> &snapshot::Snapshots {
        &self.common.snapshots
    }
}

/// Memory of a database beside its entries.
#[derive(Clone, Copy, Default, Debug)]
pub struct Overhead {
    pub table_bytes: usize,
    /// The timing wheels.
    pub wheel_bytes: usize,
}

/// What a flush took out, to be dropped where it disturbs nobody.
#[derive(Default)]
pub struct Garbage {
    /// But for those that a snapshot still wants.
    tables: Vec<Table>,
    keys: usize,
}

impl Garbage {
    /// Number of keys.
    pub fn len(&self) -> usize {
        self.keys
    }

    pub fn is_empty(&self) -> bool {
        self.keys == 0
    }

    /// Number of keys that are to be freed with it.
    pub fn objects(&self) -> usize {
        self.tables.iter().map(Table::len).sum()
    }
}

/// The wall clock: the time since the Unix epoch.
pub fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The wall clock in Unix milliseconds.
pub fn unix_ms() -> i64 {
    unix_time().as_millis() as i64
}
