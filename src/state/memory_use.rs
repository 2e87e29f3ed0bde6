//! Where the server's memory goes: the figures behind INFO memory, MEMORY STATS and MEMORY DOCTOR.

use super::Server;
use crate::keyspace::{Overhead, View};
use crate::memory::{self, AllocatorStats};

/// The memory of the server at one moment, bytes throughout.
#[derive(Clone, Debug)]
pub struct MemoryUse {
    pub used: usize,
    pub peak: usize,
    /// When that was, in Unix seconds.
    pub peak_at_secs: i64,
    /// In use when start-up was complete.
    pub startup: usize,
    /// Connections with their buffers.
    pub clients: usize,
    /// Databases with keys: number, and memory beside the entries.
    pub databases: Vec<(usize, Overhead)>,
    pub keys: usize,
    /// Resident set of the process.
    pub resident: usize,
    pub allocator: AllocatorStats,
}

impl MemoryUse {
    /// Adds everything up. Takes a lock per shard, if the view does not hold it, and asks the allocator: nothing for a
    /// hot path.
    pub fn of(server: &Server, view: &View<'_>) -> MemoryUse {
        memory::publish();
        let clients = server.clients.all();
        let mut databases = Vec::new();
        let mut keys = 0;
        for db in 0..server.keyspace.databases() {
            let counts = view.survey(db);
            if counts.keys > 0 {
                keys += counts.keys;
                databases.push((db, view.overhead(db)));
            }
        }
        let used = memory::used_bytes();
        MemoryUse {
            used,
            peak: memory::peak_bytes(),
            peak_at_secs: memory::peak_at_secs(),
            startup: memory::startup_bytes(),
            clients: clients.iter().map(|client| client.total_memory_bytes()).sum(),
            databases,
            keys,
            resident: memory::resident_bytes(),
            allocator: memory::allocator_stats(),
        }
    }

    /// All that is not the data set.
    pub fn overhead(&self) -> usize {
        let tables: usize = self.databases.iter().map(|(_, o)| o.table_bytes + o.wheel_bytes).sum();
        self.startup + self.clients + tables
    }

    /// The data set: what keys and values take.
    pub fn dataset(&self) -> usize {
        self.used.saturating_sub(self.overhead())
    }

    /// The data set's share of what is in use beyond start-up.
    pub fn dataset_percent(&self) -> f64 {
        percent(self.dataset(), self.used.saturating_sub(self.startup))
    }

    pub fn peak_percent(&self) -> f64 {
        percent(self.used, self.peak)
    }

    /// What a key takes on average, all beyond start-up counted in.
    pub fn bytes_per_key(&self) -> usize {
        self.used.saturating_sub(self.startup).checked_div(self.keys).unwrap_or(0)
    }

    /// Pages in use, over what was asked for.
    pub fn allocator_fragmentation(&self) -> Excess {
        Excess::of(self.allocator.active, self.allocator.allocated)
    }

    /// Pages the allocator keeps, over those in use.
    pub fn allocator_resident(&self) -> Excess {
        Excess::of(self.allocator.resident, self.allocator.active)
    }

    /// The process, over the pages of its allocator.
    pub fn beyond_allocator(&self) -> Excess {
        Excess::of(self.resident, self.allocator.resident)
    }

    /// The process, over the memory in use.
    pub fn fragmentation(&self) -> Excess {
        Excess::of(self.resident, self.used)
    }
}

/// How much more one figure is than another.
#[derive(Clone, Copy, Debug)]
pub struct Excess {
    pub ratio: f64,
    pub bytes: i64,
}

impl Excess {
    fn of(more: usize, less: usize) -> Excess {
        Excess { ratio: more as f64 / less.max(1) as f64, bytes: more as i64 - less as i64 }
    }
}

fn percent(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}
