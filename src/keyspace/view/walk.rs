//! Walks that look at one shard after the other: SCAN, RANDOMKEY, counts for INFO.
//!
//! A shard that the view holds is looked at as it is held. Any other is locked for as long as the look takes; a view of
//! a transaction or script must hold all of them, since whoever holds a shard waits for no other.

use super::{Guard, Read, SharedShard, Side, Table, View};
use crate::keyspace::shard::{Counts, Shards};
use crate::keyspace::{Entry, Overhead, scan};

enum Looked<'v, 'a> {
    Held(&'v Guard<'a>),
    Own(SharedShard<'v>),
}

impl Read for Looked<'_, '_> {
    fn table(&self) -> &Table {
        match self {
            Looked::Held(guard) => guard.table(),
            Looked::Own(shard) => shard.table(),
        }
    }

    fn side(&self) -> &Side {
        match self {
            Looked::Held(guard) => guard.side(),
            Looked::Own(shard) => shard.side(),
        }
    }
}

impl<'a> View<'a> {
    fn look<'v>(&'v self, db: usize, shards: &'v Shards, index: usize) -> Looked<'v, 'a> {
        match self.guard_at((db as u32, index as u32)) {
            Some(guard) => Looked::Held(guard),
            None => Looked::Own(shards.shared(index)),
        }
    }

    /// Visits about `count` keys of the selected database from `cursor` on; returns the cursor to go on with, 0 at the
    /// end.
    pub fn scan(&self, cursor: u64, count: usize, visit: impl FnMut(&Entry)) -> u64 {
        let Some(shards) = self.keyspace.existing(self.db) else { return 0 };
        let shard = |index| self.look(self.db, shards, index);
        scan::scan(shards.len(), shard, cursor, count, self.now_ms, visit)
    }

    /// A key of the selected database picked at random, each with the same probability, unless luck runs out in a
    /// nearly empty database (then any); `None` if there is none.
    pub fn random_key(&self) -> Option<Vec<u8>> {
        let shards = self.keyspace.existing(self.db)?;
        scan::random_key(shards.len(), |index| self.look(self.db, shards, index), self.now_ms)
    }

    /// Keys, deadlines and sizes of any database; each shard that is not held at its own instant.
    pub fn survey(&self, db: usize) -> Counts {
        let mut counts = Counts::default();
        if let Some(shards) = self.keyspace.existing(db) {
            (0..shards.len()).for_each(|index| counts.add(self.look(db, shards, index).counts()));
        }
        counts
    }

    /// What any database takes beside its entries.
    pub fn overhead(&self, db: usize) -> Overhead {
        let mut overhead = Overhead::default();
        if let Some(shards) = self.keyspace.existing(db) {
            for index in 0..shards.len() {
                let shard = self.look(db, shards, index);
                overhead.table_bytes += shard.table_bytes();
                overhead.wheel_bytes += shard.wheel_bytes();
            }
        }
        overhead
    }
}
