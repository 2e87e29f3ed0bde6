//! How a key finds its shard and its place in the shard's table.
//!
//! One 64-bit hash of the key is split once: some bits choose the shard, 32 others are the key's *item*: all
//! that the table needs (25 bits of position, 7 of tag) and all that the timing wheel remembers of a key. The
//! seed is random per process, so that nobody can prepare keys that collide.

use ahash::RandomState;
use std::hash::{BuildHasher, Hasher};

/// Position bits of an item; the rest is the tag that the table keeps per bucket.
const POSITION_BITS: u32 = 25;
const POSITION_MASK: u32 = (1 << POSITION_BITS) - 1;

/// Where the table looks for its 7-bit tag.
const TAG_SHIFT: u32 = 57;

/// A key's hash, split.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyHash {
    pub item: u32,
    pub shard: u32,
}

impl KeyHash {
    /// The hash to give to the shard's table.
    #[inline]
    pub fn table_hash(self) -> u64 {
        table_hash(self.item)
    }
}

/// The hash to give to a table for this item.
#[inline]
pub fn table_hash(item: u32) -> u64 {
    (item & POSITION_MASK) as u64 | ((item >> POSITION_BITS) as u64) << TAG_SHIFT
}

/// Hashes keys for a fixed number of shards.
#[derive(Clone)]
pub struct KeyHasher {
    state: RandomState,
    shard_mask: u32,
}

impl KeyHasher {
    /// `shards` is a power of two.
    pub fn new(shards: usize) -> KeyHasher {
        assert!(shards.is_power_of_two() && shards <= 1 << 16, "shards: a power of two up to 65536");
        KeyHasher { state: RandomState::new(), shard_mask: shards as u32 - 1 }
    }

    #[inline]
    pub fn hash(&self, key: &[u8]) -> KeyHash {
        let mut hasher = self.state.build_hasher();
        hasher.write(key);
        let h = hasher.finish();
        KeyHash { item: h as u32, shard: (h >> 40) as u32 & self.shard_mask }
    }

    pub(super) fn state(&self) -> RandomState {
        self.state.clone()
    }
}
