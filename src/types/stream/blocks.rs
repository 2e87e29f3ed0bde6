//! The blocks of a stream in the order of their IDs.
//!
//! The last block, to which entries are appended, stands apart from the others: it is found without a detour
//! through the queue's memory, and may have room to grow, while all others are cut to size. The first blocks,
//! which trimming removes, leave the queue in constant time; a block for an ID is found by binary search.

use super::block::Block;
use super::id::Id;
use std::collections::VecDeque;

/// A queue that is at most a quarter full gives memory back, if it has more places than this.
const FEW_PLACES: usize = 64;

#[derive(Clone, Debug, Default)]
pub struct Blocks {
    sealed: VecDeque<Block>,
    last: Option<Block>,
    /// Bytes allocated for the items of the sealed blocks.
    sealed_bytes: usize,
}

impl Blocks {
    pub fn len(&self) -> usize {
        self.sealed.len() + self.last.is_some() as usize
    }

    #[inline]
    pub fn get(&self, index: usize) -> Option<&Block> {
        match self.sealed.get(index) {
            None if index == self.sealed.len() => self.last.as_ref(),
            found => found,
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Block> {
        self.sealed.iter().chain(&self.last)
    }

    #[inline]
    pub fn last_mut(&mut self) -> Option<&mut Block> {
        self.last.as_mut()
    }

    /// Appends a block, whose entries are above all others.
    pub fn push(&mut self, block: Block) {
        if let Some(mut last) = self.last.replace(block) {
            last.seal();
            self.sealed_bytes += last.heap_bytes();
            self.sealed.push_back(last);
        }
    }

    /// Lets `f` change a block.
    pub fn edit<R>(&mut self, index: usize, f: impl FnOnce(&mut Block) -> R) -> Option<R> {
        let Some(block) = self.sealed.get_mut(index) else {
            return self.last.as_mut().filter(|_| index == self.sealed.len()).map(f);
        };
        let before = block.heap_bytes();
        let result = f(block);
        self.sealed_bytes = self.sealed_bytes + block.heap_bytes() - before;
        Some(result)
    }

    /// Removes a block: the first one in constant time.
    pub fn remove(&mut self, index: usize) {
        let removed = if index == self.sealed.len() {
            let before = self.sealed.pop_back();
            self.sealed_bytes -= before.as_ref().map_or(0, Block::heap_bytes);
            self.last = before;
            None
        } else {
            self.sealed.remove(index)
        };
        self.sealed_bytes -= removed.map_or(0, |block| block.heap_bytes());
        if self.sealed.capacity() > FEW_PLACES.max(4 * self.sealed.len()) {
            self.sealed.shrink_to(2 * self.sealed.len());
        }
    }

    /// The block that holds `id`, if any does: the last one that begins at or below it.
    pub fn find(&self, id: Id) -> Option<usize> {
        if self.last.as_ref().is_some_and(|last| last.first() <= id) {
            return Some(self.sealed.len());
        }
        self.sealed.partition_point(|block| block.first() <= id).checked_sub(1)
    }

    /// Bytes allocated.
    pub fn heap_bytes(&self) -> usize {
        self.sealed.capacity() * size_of::<Block>()
            + self.sealed_bytes
            + self.last.as_ref().map_or(0, Block::heap_bytes)
    }
}
