//! Walks over all keys of a database without holding it up: SCAN and RANDOMKEY.
//!
//! A cursor is (generation of the shard, shard, bucket). The walk takes one shard at a time, bucket after
//! bucket. If the entries of the shard have moved since (its generation differs), the shard is walked again
//! from its first bucket: every key that is there from start to end is returned at least once. Cursors stay
//! below 2^53, since some clients keep them in floating point numbers.

use super::shard::{Read, is_expired};
use super::{Entry, Keyspace};
use rand::Rng;

const BUCKET_BITS: u32 = 26;
const SHARD_BITS: u32 = 16;
const GENERATION_BITS: u32 = 10;
const _: () = assert!(BUCKET_BITS + SHARD_BITS + GENERATION_BITS < 53);

/// Buckets looked at for each element asked for, so that a nearly empty table returns early.
const BUCKETS_PER_ELEMENT: usize = 10;

/// How often RANDOMKEY throws its dice before it looks at everything.
const RANDOM_TRIES: usize = 1000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Cursor {
    generation: u32,
    shard: usize,
    bucket: usize,
}

impl Cursor {
    fn decode(cursor: u64) -> Cursor {
        let bits = |shift: u32, width: u32| (cursor >> shift) & ((1 << width) - 1);
        Cursor {
            generation: bits(BUCKET_BITS + SHARD_BITS, GENERATION_BITS) as u32,
            shard: bits(BUCKET_BITS, SHARD_BITS) as usize,
            bucket: bits(0, BUCKET_BITS) as usize,
        }
    }

    fn encode(self) -> u64 {
        let generation = self.generation as u64 & ((1 << GENERATION_BITS) - 1);
        generation << (BUCKET_BITS + SHARD_BITS) | (self.shard as u64) << BUCKET_BITS | self.bucket as u64
    }
}

/// Visits about `count` keys of `shards` shards from `cursor` on; returns the cursor to go on with, 0 at the end.
pub(super) fn scan<S: Read>(
    shards: usize,
    shard: impl Fn(usize) -> S,
    cursor: u64,
    count: usize,
    now_ms: i64,
    mut visit: impl FnMut(&Entry),
) -> u64 {
    let mut cursor = Cursor::decode(cursor);
    let mut buckets_left = count.saturating_mul(BUCKETS_PER_ELEMENT);
    let mut left = count;
    while cursor.shard < shards {
        let shard = shard(cursor.shard);
        let generation = shard.generation() & ((1 << GENERATION_BITS) - 1);
        if cursor.bucket != 0 && cursor.generation != generation {
            cursor.bucket = 0;
        }
        cursor.generation = generation;
        let buckets = shard.buckets();
        while cursor.bucket < buckets {
            if left == 0 || buckets_left == 0 {
                return cursor.encode();
            }
            buckets_left -= 1;
            if let Some(entry) = shard.at(cursor.bucket)
                && !is_expired(entry.deadline(), now_ms)
            {
                left -= 1;
                visit(entry);
            }
            cursor.bucket += 1;
        }
        cursor.shard += 1;
        cursor.bucket = 0;
    }
    0
}

/// A key of `shards` shards picked at random, each with the same probability, unless luck runs out in a nearly empty
/// database (then any); `None` if there is none.
pub(super) fn random_key<S: Read>(shards: usize, shard: impl Fn(usize) -> S, now_ms: i64) -> Option<Vec<u8>> {
    let largest = (0..shards).map(|i| shard(i).buckets()).max()?;
    if largest == 0 {
        return None;
    }
    let mut rng = rand::rng();
    for _ in 0..RANDOM_TRIES {
        let shard = shard(rng.random_range(0..shards));
        if let Some(entry) = shard.at(rng.random_range(0..largest))
            && !is_expired(entry.deadline(), now_ms)
        {
            return Some(entry.key().to_vec());
        }
    }
    let first = rng.random_range(0..shards);
    (0..shards).map(|i| shard((first + i) % shards)).find_map(|shard| {
        shard.entries().find(|e| !is_expired(e.deadline(), now_ms)).map(|e| e.key().to_vec())
    })
}

impl Keyspace {
    /// As [`super::View::scan`], for whoever has no view.
    pub fn scan(&self, db: usize, cursor: u64, count: usize, now_ms: i64, visit: impl FnMut(&Entry)) -> u64 {
        self.lock_nothing(db, now_ms).scan(cursor, count, visit)
    }

    /// As [`super::View::random_key`], for whoever has no view.
    pub fn random_key(&self, db: usize, now_ms: i64) -> Option<Vec<u8>> {
        self.lock_nothing(db, now_ms).random_key()
    }
}
