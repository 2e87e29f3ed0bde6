//! The entries of a stream, and what it remembers of entries that are gone.

use super::block::{Backward, Block, Decision, Forward, StreamEntry};
use super::blocks::Blocks;
use super::id::{Id, Numbering};
use super::radix;
use std::ops::RangeInclusive;

/// However large blocks may get, the listpack they are part of in a dump has a length of 32 bits.
const MAX_BLOCK_BYTES: usize = 1 << 30;

/// How large blocks get.
#[derive(Clone, Copy, Debug)]
pub struct BlockLimits {
    /// Bytes, 0 for no limit.
    pub bytes: usize,
    /// Entries, deleted ones included; 0 for no limit.
    pub entries: usize,
}

/// Why an entry cannot be appended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AppendError {
    /// There is no ID above the last one.
    Exhausted,
    /// The ID is not above the last one.
    NotAbove,
    /// More than [`MAX_BLOCK_BYTES`].
    TooLarge,
}

/// What a stream counts and remembers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Entries that there are.
    pub length: u64,
    /// The first of them; 0-0 if there is none.
    pub first_id: Id,
    /// The last ID that was given, whether or not the entry is still there.
    pub last_id: Id,
    /// The highest ID that was deleted other than by trimming.
    pub max_deleted_id: Id,
    /// Entries that were ever added.
    pub added: u64,
}

impl Marks {
    /// Whether an entry at or above `id` was deleted, as far as is known.
    pub fn has_gap_from(&self, id: Id) -> bool {
        self.length > 0
            && self.max_deleted_id != Id::MIN
            && self.first_id <= self.max_deleted_id
            && id <= self.max_deleted_id
    }

    /// How many entries up to and with `id` were ever added, if that can be told: for IDs below the first entry,
    /// of the first, of the last and below an empty stream's, as long as no gap confuses the count.
    pub fn added_up_to(&self, id: Id) -> Option<u64> {
        if self.added == 0 {
            return Some(0);
        }
        if id == self.last_id || (self.length == 0 && id < self.last_id) {
            return Some(self.added);
        }
        let has_gap = self.max_deleted_id != Id::MIN && self.max_deleted_id >= self.first_id;
        if id > self.last_id || has_gap {
            return None;
        }
        let before_first = self.added.wrapping_sub(self.length);
        match id.cmp(&self.first_id) {
            std::cmp::Ordering::Less => Some(before_first),
            std::cmp::Ordering::Equal => Some(before_first.wrapping_add(1)),
            std::cmp::Ordering::Greater => None,
        }
    }
}

/// The entries of a stream.
#[derive(Clone, Debug, Default)]
pub struct Entries {
    pub(super) blocks: Blocks,
    pub(super) marks: Marks,
}

impl Entries {
    pub fn marks(&self) -> &Marks {
        &self.marks
    }

    pub fn is_empty(&self) -> bool {
        self.marks.length == 0
    }

    /// The number of blocks.
    pub fn block_count(&self) -> usize {
        self.blocks.len()
    }

    /// The block with this number.
    pub fn block(&self, index: usize) -> Option<&Block> {
        self.blocks.get(index)
    }

    /// All blocks in the order of their IDs.
    pub fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.blocks.iter()
    }

    /// How many nodes the radix tree has in which Redis keeps the blocks.
    pub fn radix_nodes(&self) -> usize {
        radix::nodes(self.blocks.iter().map(|block| block.first().to_bytes()))
    }

    /// Sets the last ID, and what else is given. The caller has checked that nothing contradicts the entries.
    pub fn set_marks(&mut self, last_id: Id, added: Option<u64>, max_deleted_id: Option<Id>) {
        self.marks.last_id = last_id;
        self.marks.added = added.unwrap_or(self.marks.added);
        self.marks.max_deleted_id = max_deleted_id.unwrap_or(self.marks.max_deleted_id);
    }

    /// Appends a block, whose entries count as added now. `false`, and nothing is done, unless all of them are above
    /// the last ID.
    pub fn append_block(&mut self, block: Block) -> bool {
        let is_empty = self.blocks.len() == 0;
        let Some(last_id) = block.last_id() else { return false };
        if !is_empty && block.first() <= self.marks.last_id {
            return false;
        }
        let live = block.counts().0 as u64;
        self.blocks.push(block);
        let marks = &mut self.marks;
        marks.length += live;
        marks.added = marks.added.wrapping_add(live);
        marks.last_id = last_id;
        if marks.length == live {
            self.find_first();
        }
        true
    }

    /// The ID for a new entry.
    fn number(&self, numbering: Numbering, now_ms: i64) -> Result<Id, AppendError> {
        let last = self.marks.last_id;
        if last == Id::MAX {
            return Err(AppendError::Exhausted);
        }
        let id = match numbering {
            Numbering::Given(id) => id,
            Numbering::At(ms) if ms == last.ms => {
                Id::new(ms, last.seq.checked_add(1).ok_or(AppendError::NotAbove)?)
            }
            Numbering::At(ms) => Id::new(ms, 0),
            Numbering::Clock if now_ms as u64 > last.ms => Id::new(now_ms as u64, 0),
            Numbering::Clock => last.next().ok_or(AppendError::Exhausted)?,
        };
        if id > last { Ok(id) } else { Err(AppendError::NotAbove) }
    }

    /// Appends an entry of these names and values in turns. `now_ms` is Unix time in milliseconds.
    #[inline]
    pub fn append<'p>(
        &mut self,
        numbering: Numbering,
        pairs: impl Iterator<Item = &'p [u8]> + Clone,
        limits: BlockLimits,
        now_ms: i64,
    ) -> Result<Id, AppendError> {
        let id = self.number(numbering, now_ms)?;
        let text_bytes: usize = pairs.clone().map(<[u8]>::len).sum();
        if text_bytes > MAX_BLOCK_BYTES {
            return Err(AppendError::TooLarge);
        }
        match self.blocks.last_mut().filter(|last| has_room(last, limits, text_bytes)) {
            Some(last) => last.append(id, pairs),
            None => {
                let mut block = Block::new(id, pairs.clone());
                block.append(id, pairs);
                self.blocks.push(block);
            }
        }
        let marks = &mut self.marks;
        marks.length += 1;
        marks.added = marks.added.wrapping_add(1);
        marks.last_id = id;
        if marks.length == 1 {
            marks.first_id = id;
        }
        Ok(id)
    }

    /// Entries from the lower end of the range on.
    pub fn range(&self, ids: RangeInclusive<Id>) -> Range<'_> {
        let block = self.blocks.find(*ids.start()).unwrap_or(0);
        Range { blocks: &self.blocks, block, walk: self.blocks.get(block).map(Block::forward), ids }
    }

    /// Entries from the upper end of the range on.
    pub fn range_back(&self, ids: RangeInclusive<Id>) -> RangeBack<'_> {
        let block = self.blocks.find(*ids.end());
        let walk = block.and_then(|block| self.blocks.get(block)).map(Block::backward);
        RangeBack { blocks: &self.blocks, block: block.unwrap_or(0), walk, ids }
    }

    /// The entry of this ID.
    pub fn get(&self, id: Id) -> Option<StreamEntry<'_>> {
        self.blocks.get(self.blocks.find(id)?)?.find(id)
    }

    pub fn contains(&self, id: Id) -> bool {
        self.get(id).is_some()
    }

    /// The ID of the last entry that there is.
    pub fn top_id(&self) -> Option<Id> {
        self.range_back(Id::MIN..=Id::MAX).next().map(|entry| entry.id)
    }

    /// The first ID that is kept, be it that of a deleted entry (what a trimming by ID is repeated with).
    pub fn edge_id(&self) -> Option<Id> {
        self.blocks.get(0)?.forward().next().map(|entry| entry.id)
    }

    /// Deletes the entry of this ID; `false` if there is none.
    pub fn delete(&mut self, id: Id) -> bool {
        let Some(index) = self.blocks.find(id) else { return false };
        let Some(block) = self.blocks.get(index) else { return false };
        let deleted = if block.counts().0 == 1 {
            let found = block.find(id).is_some();
            if found {
                self.blocks.remove(index);
            }
            found
        } else {
            self.blocks.edit(index, |block| block.delete_one(id)).unwrap_or(false)
        };
        if deleted {
            self.marks.length -= 1;
            self.marks.max_deleted_id = self.marks.max_deleted_id.max(id);
            if id == self.marks.first_id {
                self.find_first();
            }
        }
        deleted
    }

    /// Deletes entries of one block, as `decide` says. The block stays, even if none is left; the first ID is to
    /// be found anew by the caller. Returns how many were deleted.
    pub(super) fn delete_in(&mut self, index: usize, decide: impl FnMut(Id) -> Decision) -> u64 {
        let deleted = self.blocks.edit(index, |block| block.delete(decide)).unwrap_or(0) as u64;
        self.marks.length -= deleted;
        deleted
    }

    /// Removes a block with all its entries, of which there are `entries`.
    pub(super) fn remove_block(&mut self, index: usize, entries: u64) {
        self.blocks.remove(index);
        self.marks.length -= entries;
    }

    /// Finds out which entry is the first.
    pub(super) fn find_first(&mut self) {
        self.marks.first_id = self.range(Id::MIN..=Id::MAX).next().map_or(Id::MIN, |entry| entry.id);
    }

    /// Bytes allocated.
    pub fn heap_bytes(&self) -> usize {
        self.blocks.heap_bytes()
    }
}

/// Whether an entry with so many bytes of text goes into the block.
#[inline]
fn has_room(block: &Block, limits: BlockLimits, text_bytes: usize) -> bool {
    let max_bytes = if limits.bytes == 0 { MAX_BLOCK_BYTES } else { limits.bytes.min(MAX_BLOCK_BYTES) };
    if block.listpack_bytes() + text_bytes >= max_bytes {
        return false;
    }
    let (live, deleted) = block.counts();
    limits.entries == 0 || live + deleted < limits.entries
}

/// Entries in ascending order.
#[derive(Clone, Debug)]
pub struct Range<'a> {
    blocks: &'a Blocks,
    block: usize,
    walk: Option<Forward<'a>>,
    ids: RangeInclusive<Id>,
}

impl<'a> Iterator for Range<'a> {
    type Item = StreamEntry<'a>;

    #[inline]
    fn next(&mut self) -> Option<StreamEntry<'a>> {
        loop {
            for entry in self.walk.as_mut()? {
                if entry.id > *self.ids.end() {
                    self.walk = None;
                    return None;
                }
                if !entry.is_deleted && entry.id >= *self.ids.start() {
                    return Some(entry);
                }
            }
            self.block += 1;
            self.walk = self.blocks.get(self.block).map(Block::forward);
        }
    }
}

/// Entries in descending order.
#[derive(Clone, Debug)]
pub struct RangeBack<'a> {
    blocks: &'a Blocks,
    block: usize,
    walk: Option<Backward<'a>>,
    ids: RangeInclusive<Id>,
}

impl<'a> Iterator for RangeBack<'a> {
    type Item = StreamEntry<'a>;

    fn next(&mut self) -> Option<StreamEntry<'a>> {
        loop {
            for entry in self.walk.as_mut()? {
                if entry.id < *self.ids.start() {
                    self.walk = None;
                    return None;
                }
                if !entry.is_deleted && entry.id <= *self.ids.end() {
                    return Some(entry);
                }
            }
            let before = self.block.checked_sub(1);
            self.block = before.unwrap_or(0);
            self.walk = before.and_then(|block| self.blocks.get(block)).map(Block::backward);
        }
    }
}
