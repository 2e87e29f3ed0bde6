//! What the keyspace knows of hashes: that their fields expire, and how those that have are removed.
//!
//! An entry whose fields have deadlines stands in its shard's wheel for the earliest of them, as one with a deadline
//! of its own does for that (see [`shard`](super::shard)). Knows nothing of commands.

use super::entry::{Entry, Kind, Object};
use crate::types::names::Names;
use crate::types::packed_hash::{self, Layout};

impl Entry {
    /// The earliest deadline of a field (Unix milliseconds), if the value is a hash that has any.
    #[inline]
    pub fn field_deadline(&self) -> Option<i64> {
        match self.kind() {
            Kind::TimedPackedHash => self.packed().and_then(packed_hash::earliest),
            Kind::Hash => match self.object() {
                Some(Object::Hash(hash)) => hash.earliest(),
                _ => None,
            },
            _ => None,
        }
    }

    /// Removes up to `limit` fields whose deadline has passed, and returns their names.
    pub fn remove_due_fields(&mut self, now_ms: i64, limit: usize) -> Names {
        let mut names = Names::default();
        match self.kind() {
            Kind::TimedPackedHash => {
                packed_hash::remove_due(self, now_ms, limit, &mut names);
            }
            Kind::Hash => {
                if let Some(Object::Hash(hash)) = self.object_mut() {
                    hash.remove_due(now_ms, limit, &mut names);
                }
            }
            _ => {}
        }
        names
    }

    /// Whether the value is a hash whose last field is gone.
    pub fn is_empty_hash(&self) -> bool {
        match self.kind() {
            Kind::PackedHash => self.is_without_fields(Layout::Plain),
            Kind::TimedPackedHash => self.is_without_fields(Layout::Timed),
            Kind::Hash => matches!(self.object(), Some(Object::Hash(hash)) if hash.fields() == 0),
            _ => false,
        }
    }

    fn is_without_fields(&self, layout: Layout) -> bool {
        self.packed().is_some_and(|bytes| packed_hash::fields(bytes, layout) == 0)
    }
}
