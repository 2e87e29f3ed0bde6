//! Which clients have read which keys: what CLIENT TRACKING's default mode remembers.
//!
//! As in Redis, names of keys count whatever the database, and a client that is gone stays in here until its keys
//! are invalidated. The table is cut into parts with a lock each: leaf locks, under which nothing else is locked.

use ahash::RandomState;
use crossbeam_utils::CachePadded;
use hashbrown::HashTable;
use parking_lot::Mutex;
use rand::Rng;
use smallvec::SmallVec;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Parts of the table: so many that workers hardly ever meet in one.
const PARTS: usize = 64;

/// Numbers of clients, ascending. Most keys are cached by a few.
pub type Readers = SmallVec<[u64; 2]>;

/// See the module's head.
pub struct ReadKeys {
    parts: Box<[CachePadded<Mutex<Part>>]>,
    hasher: RandomState,
    keys: AtomicUsize,
    items: AtomicUsize,
}

/// Keys in any order, so that one can be picked at random, and an index over them.
#[derive(Default)]
struct Part {
    slots: Vec<Slot>,
    index: HashTable<usize>,
}

struct Slot {
    hash: u64,
    key: Box<[u8]>,
    readers: Readers,
}

impl Part {
    fn find(&self, hash: u64, key: &[u8]) -> Option<usize> {
        self.index.find(hash, |at| *self.slots[*at].key == *key).copied()
    }

    fn remove(&mut self, at: usize) -> Slot {
        let hash = self.slots[at].hash;
        if let Ok(entry) = self.index.find_entry(hash, |other| *other == at) {
            entry.remove();
        }
        let last = self.slots.len() - 1;
        if at != last
            && let Some(moved) = self.index.find_mut(self.slots[last].hash, |other| *other == last)
        {
            *moved = at;
        }
        self.slots.swap_remove(at)
    }
}

impl Default for ReadKeys {
    fn default() -> ReadKeys {
        ReadKeys {
            parts: (0..PARTS).map(|_| CachePadded::default()).collect(),
            hasher: RandomState::new(),
            keys: AtomicUsize::new(0),
            items: AtomicUsize::new(0),
        }
    }
}

impl ReadKeys {
    fn part(&self, hash: u64) -> &Mutex<Part> {
        // The index takes the lowest and the highest bits.
        &self.parts[(hash >> 32) as usize % PARTS]
    }

    /// Notes that a client has read a key.
    pub fn add(&self, key: &[u8], client: u64) {
        let hash = self.hasher.hash_one(key);
        let mut part = self.part(hash).lock();
        match part.find(hash, key) {
            Some(at) => {
                let readers = &mut part.slots[at].readers;
                let Err(place) = readers.binary_search(&client) else { return };
                readers.insert(place, client);
            }
            None => {
                let Part { slots, index } = &mut *part;
                slots.push(Slot { hash, key: key.into(), readers: SmallVec::from_slice(&[client]) });
                index.insert_unique(hash, slots.len() - 1, |at| slots[*at].hash);
                self.keys.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.items.fetch_add(1, Ordering::Relaxed);
    }

    /// Forgets a key. Returns who has read it.
    pub fn take(&self, key: &[u8]) -> Readers {
        if self.keys() == 0 {
            return Readers::new();
        }
        let hash = self.hasher.hash_one(key);
        let mut part = self.part(hash).lock();
        let Some(at) = part.find(hash, key) else { return Readers::new() };
        let slot = part.remove(at);
        self.count_removed(&slot);
        slot.readers
    }

    /// Forgets some key. Returns it and who has read it; `None` if there is none.
    pub fn take_any(&self) -> Option<(Box<[u8]>, Readers)> {
        let mut rng = rand::rng();
        let first = rng.random_range(0..PARTS);
        (0..PARTS).find_map(|n| {
            let mut part = self.parts[(first + n) % PARTS].lock();
            if part.slots.is_empty() {
                return None;
            }
            let at = rng.random_range(0..part.slots.len());
            let slot = part.remove(at);
            self.count_removed(&slot);
            Some((slot.key, slot.readers))
        })
    }

    fn count_removed(&self, slot: &Slot) {
        self.keys.fetch_sub(1, Ordering::Relaxed);
        self.items.fetch_sub(slot.readers.len(), Ordering::Relaxed);
    }

    /// Forgets everything.
    pub fn clear(&self) {
        for part in &self.parts {
            let old = std::mem::take(&mut *part.lock());
            self.keys.fetch_sub(old.slots.len(), Ordering::Relaxed);
            let items: usize = old.slots.iter().map(|slot| slot.readers.len()).sum();
            self.items.fetch_sub(items, Ordering::Relaxed);
        }
    }

    /// How many keys are remembered.
    #[inline]
    pub fn keys(&self) -> usize {
        self.keys.load(Ordering::Relaxed)
    }

    /// How many readers are remembered, of all keys together.
    pub fn items(&self) -> usize {
        self.items.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn remembers_as_a_map_of_sets_does() {
        let table = ReadKeys::default();
        let mut model: BTreeMap<Vec<u8>, BTreeSet<u64>> = BTreeMap::new();
        let mut rng = rand::rng();
        for _ in 0..20_000 {
            let key = rng.random_range(0..300_u32).to_string().into_bytes();
            match rng.random_range(0..10) {
                0..7 => {
                    let client = rng.random_range(0..5);
                    table.add(&key, client);
                    model.entry(key).or_default().insert(client);
                }
                7..9 => {
                    let readers = model.remove(&key).unwrap_or_default();
                    assert_eq!(table.take(&key).to_vec(), Vec::from_iter(readers));
                }
                _ => match table.take_any() {
                    Some((key, readers)) => {
                        let expected = model.remove(&*key).expect("a key that was added");
                        assert_eq!(readers.to_vec(), Vec::from_iter(expected));
                    }
                    None => assert!(model.is_empty()),
                },
            }
            assert_eq!(table.keys(), model.len());
            assert_eq!(table.items(), model.values().map(BTreeSet::len).sum::<usize>());
        }
        table.clear();
        assert_eq!((table.keys(), table.items(), table.take_any()), (0, 0, None));
    }
}
