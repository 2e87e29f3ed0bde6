//! Streams: logs of entries, each with an ID above all before it and a list of fields; and the groups of
//! consumers that share the reading.
//!
//! The entries lie in [`block`]s, each one piece of memory with some dozens of them, in exactly the encoding of
//! Redis's stream nodes (`t_stream.c`; Redis keeps the nodes in a radix tree by their first ID). IDs are kept as
//! small differences, and the names of fields only where they differ from those of the block's first entry, so
//! that an entry of a few short fields takes little more than the bytes of its values. Appending writes
//! straight into the last block. Here the blocks stand in a queue ([`blocks`]): entries come in the order of
//! their IDs, so it is sorted by itself, an ID is found by binary search, and a block of Redis's tree takes
//! some hundred bytes of nodes where a place in the queue takes forty.
//!
//! From the inside out: [`id`], [`block`], [`blocks`], then [`entries`] with all that can be asked of them and
//! [`trim`], the [`groups`] of consumers, and here what concerns both. [`radix`] only counts: what XINFO tells
//! of the tree that is not there.

pub mod block;
mod blocks;
pub mod entries;
pub mod groups;
pub mod id;
mod radix;
pub mod trim;

pub use block::StreamEntry;
pub use entries::{AppendError, BlockLimits, Entries, Marks};
pub use groups::{Consumer, ConsumerId, Contradiction, Group, Groups, NewConsumer, NewPending, Pending};
pub use id::{Id, Numbering};
pub use trim::{Keep, Trim};

/// What becomes of an entry's places in groups when it is deleted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum References {
    /// They stay, as far as it is pending.
    #[default]
    Keep,
    /// They go with it.
    Delete,
    /// An entry that is still to be read or acknowledged in any group is not deleted.
    Acknowledged,
}

/// A stream.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    pub entries: Entries,
    pub groups: Groups,
}

impl Stream {
    /// Trims, and returns how many entries were removed.
    pub fn trim(&mut self, trim: &Trim, references: References) -> u64 {
        let groups = &mut self.groups;
        match references {
            References::Keep => self.entries.trim(trim, None),
            References::Delete => self.entries.trim(
                trim,
                Some(&mut |id| {
                    groups.forget(id);
                    true
                }),
            ),
            References::Acknowledged => self.entries.trim(trim, Some(&mut |id| !groups.refer_to(id))),
        }
    }

    /// How many entries a group has yet to read, if that can be told.
    pub fn lag(&self, group: &Group) -> Option<i64> {
        let marks = self.entries.marks();
        if marks.added == 0 {
            return Some(0);
        }
        let read = match group.entries_read {
            Some(read) if !marks.has_gap_from(group.last_id) => Some(read),
            _ => marks.added_up_to(group.last_id),
        };
        read.map(|read| marks.added.wrapping_sub(read) as i64)
    }

    /// Gives entries above the last one that a group has read to one of its consumers, at most `count` of them,
    /// each to `each` as well. With `acknowledged` they do not become pending. Returns how many there were.
    ///
    /// # Panics
    /// If there is no such group.
    pub fn deliver(
        &mut self,
        group: &[u8],
        consumer: ConsumerId,
        count: usize,
        acknowledged: bool,
        now_ms: i64,
        mut each: impl FnMut(StreamEntry<'_>),
    ) -> usize {
        let group = self.groups.get_mut(group).expect("the caller has found the group");
        let marks = *self.entries.marks();
        let Some(start) = group.last_id.next() else { return 0 };
        let mut delivered = 0;
        for entry in self.entries.range(start..=Id::MAX).take(count) {
            group.entries_read = match group.entries_read {
                Some(read) if !marks.has_gap_from(entry.id) => Some(read.wrapping_add(1)),
                _ => marks.added_up_to(entry.id),
            };
            group.last_id = entry.id;
            if !acknowledged {
                group.deliver(entry.id, consumer, now_ms);
            }
            each(entry);
            delivered += 1;
        }
        delivered
    }

    /// Pieces that have to be freed one by one.
    pub fn pieces(&self) -> usize {
        self.entries.blocks.len() + self.groups.pending() + self.groups.len()
    }

    /// Bytes allocated, the stream itself included; those of groups are an estimate.
    pub fn heap_bytes(&self) -> usize {
        size_of::<Stream>() + self.entries.heap_bytes() + self.groups.heap_bytes()
    }
}

#[cfg(test)]
mod tests;
