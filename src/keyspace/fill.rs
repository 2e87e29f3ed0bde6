//! Keys that are put into the keyspace in great numbers, as they come from a file.

use super::Keyspace;
use super::entry::Entry;
use super::hash::KeyHash;

/// What becomes of a key that is there already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Existing {
    /// It stays; the file is wrong.
    Fault,
    Replaced,
}

impl Keyspace {
    /// Makes room for so many keys in a database, so that its tables need not grow step by step.
    pub fn reserve(&self, db: usize, keys: usize) {
        let shards = self.shards(db);
        for index in 0..shards.len() {
            self.exclusive(shards, index).reserve(keys / shards.len());
        }
    }

    /// Puts entries into a database, without telling anybody.
    ///
    /// # Errors
    /// The first entry whose key is there already, if that is a fault; the ones behind it are dropped.
    pub fn fill(&self, db: usize, entries: &mut Vec<Entry>, existing: Existing) -> Result<(), Entry> {
        let shards = self.shards(db);
        let hashes: Vec<KeyHash> = entries.iter().map(|entry| self.hash(entry.key())).collect();
        hashes.iter().for_each(|hash| shards.prefetch_bucket(*hash));
        for (entry, hash) in entries.drain(..).zip(hashes) {
            let mut shard = self.exclusive(shards, hash.shard as usize);
            if let Some(old) = shard.replace(entry, hash)
                && existing == Existing::Fault
            {
                return Err(old);
            }
        }
        Ok(())
    }
}
