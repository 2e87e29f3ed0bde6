//! The walk through everything that was there at the cut.
//!
//! Buckets are taken in order. Where entries have moved within the table since the last step (its generation differs),
//! the shard is walked again: what was given out already is of the new epoch.

use super::{Active, Lane, Open};
use crate::keyspace::Keyspace;
use crate::keyspace::entry::Entry;
use crate::keyspace::hash::KeyHash;
use crate::keyspace::shard::{ExclusiveShard, Read, Table};
use crate::types::prefetch::prefetch;
use std::sync::atomic::Ordering;

/// Entries looked at per lock. Their cache misses overlap, so more are cheaper each, but somebody may wait.
const STEP_ENTRIES: usize = 32;

/// Buckets looked at per lock, so that a nearly empty table does not hold anybody up either.
const STEP_BUCKETS: usize = 512;

/// Bytes given out per lock, about: some ten microseconds.
const STEP_BYTES: usize = 32 << 10;

/// How far the walk of a shard has come.
#[derive(Default)]
struct Position {
    generation: Option<u32>,
    bucket: usize,
}

struct Walker<'a, P> {
    keyspace: &'a Keyspace,
    active: &'a Active,
    pace: P,
}

/// Gives out every old entry; brings those of a cancelled snapshot into the new epoch.
pub(super) fn walk(keyspace: &Keyspace, active: &Active, pace: impl FnMut()) {
    let mut walker = Walker { keyspace, active, pace };
    for (origin, _) in &active.cut.databases {
        for index in 0..keyspace.shards_per_database {
            let mut position = Position::default();
            while !walker.step(*origin, index, &mut position) {
                walker.breathe();
            }
            walker.breathe();
            walker.orphans();
        }
    }
}

impl<'a, P: FnMut()> Walker<'a, P> {
    fn breathe(&mut self) {
        if !self.active.is_cancelled() && !self.active.sink.breathe() {
            self.active.cancelled.store(true, Ordering::Relaxed);
        }
        (self.pace)();
    }

    /// The shard that has this part of a database of the cut now.
    fn lock(&self, origin: usize, index: usize) -> ExclusiveShard<'a> {
        loop {
            let db = self.active.place_of(origin);
            let shard = self.keyspace.exclusive(self.keyspace.shards(db), index);
            if self.active.origin(db) == origin {
                return shard;
            }
        }
    }

    /// The next few entries of a shard. Returns whether these were the last.
    fn step(&self, origin: usize, index: usize, position: &mut Position) -> bool {
        let mut shard = self.lock(origin, index);
        let Some(mut budget) = self.go_on_with_open(&mut shard) else { return false };
        let generation = Some(shard.generation());
        if position.generation != generation {
            *position = Position { generation, bucket: 0 };
        }
        let buckets = shard.buckets();
        let end = buckets.min(position.bucket + STEP_BUCKETS);
        let (mut ahead, mut found) = ([0; STEP_ENTRIES], 0);
        let mut bucket = position.bucket;
        while bucket < end && found < STEP_ENTRIES {
            if let Some(entry) = shard.at(bucket) {
                prefetch(entry.address());
                ahead[found] = bucket;
                found += 1;
            }
            bucket += 1;
        }
        for here in &ahead[..found] {
            let Some(entry) = shard.old_at(*here) else { continue };
            let hash = |entry: &Entry| self.keyspace.hash(entry.key());
            if budget == 0 || !self.give(origin, entry, 0, budget, hash) {
                position.bucket = *here;
                return false;
            }
            budget = budget.saturating_sub(entry.inline_bytes());
        }
        position.bucket = bucket;
        bucket == buckets
    }

    /// Gives out more of the open value, if there is one: it is in this shard. Returns what is left to be given out
    /// in this step; nothing while the value stays open.
    fn go_on_with_open(&self, shard: &mut ExclusiveShard<'_>) -> Option<usize> {
        let Some(open) = self.active.open.lock().take() else { return Some(STEP_BYTES) };
        if self.active.is_cancelled() {
            return Some(STEP_BYTES);
        }
        let entry = shard.find_old(&open.key, open.hash).expect("who changes an open entry closes it");
        self.give(open.origin, entry, open.next, STEP_BYTES, |_| open.hash).then_some(0)
    }

    /// Gives out an entry from `from` on. Returns whether that was all of it; else it is open now.
    fn give(
        &self,
        origin: usize,
        entry: &mut Entry,
        from: u64,
        budget: usize,
        hash: impl Fn(&Entry) -> KeyHash,
    ) -> bool {
        if !self.active.is_cancelled() {
            if let Some(next) = self.active.sink.save(Lane::Walker, origin, entry, from, budget) {
                let (key, address) = (entry.key().into(), entry.address());
                *self.active.open.lock() = Some(Open { origin, hash: hash(entry), key, address, next });
                return false;
            }
            self.active.saved.fetch_add(1, Ordering::Relaxed);
        }
        entry.set_epoch(self.active.epoch);
        true
    }

    /// Gives out what flushes have taken out so far. They belong to nobody else.
    fn orphans(&mut self) {
        loop {
            let Some((origin, table)) = self.active.orphans.lock().pop() else { return };
            self.orphan(origin, table);
        }
    }

    fn orphan(&mut self, origin: usize, mut table: Table) {
        let mut drain = table.drain();
        let mut ahead = Vec::with_capacity(STEP_ENTRIES);
        loop {
            ahead.extend(drain.by_ref().take(STEP_ENTRIES));
            if ahead.is_empty() {
                return;
            }
            ahead.iter().for_each(|(entry, _)| prefetch(entry.address()));
            for (entry, _) in ahead.drain(..) {
                if entry.epoch() == self.active.epoch {
                    continue;
                }
                let mut from = Some(0);
                while let Some(at) = from
                    && !self.active.is_cancelled()
                {
                    from = self.active.sink.save(Lane::Walker, origin, &entry, at, STEP_BYTES);
                    if from.is_some() {
                        self.breathe();
                    }
                }
                self.active.saved.fetch_add(1, Ordering::Relaxed);
            }
            self.breathe();
        }
    }
}
