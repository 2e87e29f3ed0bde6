//! Packed items in an allocation of their own, with free room at either end.
//!
//! ```text
//! ┌───────────┬────────┬────────┬────────┬┄┄┄┬───────────┐
//! │ free room │ item 0 │ item 1 │ item 2 │   │ free room │
//! └───────────┴────────┴────────┴────────┴┄┄┄┴───────────┘
//! 0           start                          len         capacity of the vector
//! ```
//!
//! To add or remove an item at an end moves no other item while there is room at that end. When the room is used
//! up, the items move into an allocation of the next size that allocators have (four to a doubling), with all
//! the new room at the end that wanted it; or, if much was freed at the other end meanwhile, to the middle of
//! what there is. So a push costs a constant share of such moves, whatever the pattern, and a block that was
//! filled from one end is as large as its items, up to the granularity of the allocator.

use super::End;
use super::items::{Items, Ranges};
use crate::types::packed::{self, Item};
use std::ops::Range;

/// Free room of less than one part in so many of the items is not worth moving them for.
const WORTHWHILE_PART: usize = 8;

/// A block is given back its room when its items take less than one part in so many of it, unless it is small.
const SPARSE_PART: usize = 4;
const SMALL_BYTES: usize = 64;

/// Items of a list that stand together.
#[derive(Debug, Default)]
pub struct Packed {
    /// Up to its length: what is before `start` is free.
    bytes: Vec<u8>,
    start: u32,
    count: u32,
}

impl Clone for Packed {
    fn clone(&self) -> Packed {
        Packed::new(self.items())
    }
}

/// Allocators have this size, and none between it and `bytes`.
fn size_class(bytes: usize) -> usize {
    let step_log = bytes.saturating_sub(1).checked_ilog2().unwrap_or(0).saturating_sub(2).max(3);
    bytes.next_multiple_of(1 << step_log)
}

impl Packed {
    pub fn new(items: Items<'_>) -> Packed {
        Packed { bytes: items.bytes.to_vec(), start: 0, count: items.count as u32 }
    }

    pub fn count(&self) -> usize {
        self.count as usize
    }

    pub fn items(&self) -> Items<'_> {
        Items { bytes: &self.bytes[self.start as usize..], count: self.count as usize }
    }

    /// Bytes of the items.
    pub fn used(&self) -> usize {
        self.bytes.len() - self.start as usize
    }

    pub fn heap_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Adds an item at an end.
    #[inline]
    pub fn push(&mut self, end: End, item: Item<'_>) {
        let at = match end {
            End::Head => 0,
            End::Tail => self.used(),
        };
        self.insert(at, item);
    }

    /// Shows the item at an end to `f`, then removes it.
    #[inline]
    pub fn pop<R>(&mut self, end: End, f: impl FnOnce(Item<'_>) -> R) -> Option<R> {
        let items = self.items();
        let at = match end {
            End::Head => 0,
            End::Tail => packed::ending_at(items.bytes, items.bytes.len())?,
        };
        let (item, next) = packed::get(items.bytes, at)?;
        let result = f(item);
        self.remove(at..next, 1);
        Some(result)
    }

    /// Inserts an item before the one at `at`, which may be the end. The smaller part of the others moves.
    #[inline]
    pub fn insert(&mut self, at: usize, item: Item<'_>) {
        let (len, used) = (item.encoded_bytes(), self.used());
        let place = if at < used - at {
            self.make_room(len, End::Head);
            let start = self.start as usize;
            self.bytes.copy_within(start..start + at, start - len);
            self.start -= len as u32;
            start - len + at
        } else {
            self.make_room(len, End::Tail);
            let (place, end) = (self.start as usize + at, self.bytes.len());
            self.bytes.resize(end + len, 0);
            self.bytes.copy_within(place..end, place + len);
            place
        };
        item.write(&mut self.bytes[place..place + len]);
        self.count += 1;
    }

    /// Removes `count` items, which lie at `range`. The smaller part of the others moves.
    #[inline]
    pub fn remove(&mut self, range: Range<usize>, count: usize) {
        let (start, used) = (self.start as usize, self.used());
        if range.start < used - range.end {
            self.bytes.copy_within(start..start + range.start, start + range.len());
            self.start += range.len() as u32;
        } else {
            self.bytes.copy_within(start + range.end..start + used, start + range.start);
            self.bytes.truncate(start + used - range.len());
        }
        self.count -= count as u32;
        if self.used() * SPARSE_PART < self.bytes.capacity() && self.bytes.capacity() > SMALL_BYTES {
            let used = self.used();
            self.move_to(size_class(used * 2), used / 2);
        }
    }

    /// Removes single items, which lie at `ranges`, in one pass.
    pub fn remove_all(&mut self, ranges: &Ranges) {
        let start = self.start as usize;
        let Some(first) = ranges.first() else { return };
        let mut end = start + first.start;
        for (number, range) in ranges.iter().enumerate() {
            let next = ranges.get(number + 1).map_or(self.bytes.len(), |next| start + next.start);
            self.bytes.copy_within(start + range.end..next, end);
            end += next - (start + range.end);
        }
        self.bytes.truncate(end);
        self.count -= ranges.len() as u32;
        self.fit();
    }

    /// Puts another item in the place of the one that lies at `range`.
    pub fn replace(&mut self, range: Range<usize>, item: Item<'_>) {
        if item.encoded_bytes() == range.len() {
            let start = self.start as usize;
            item.write(&mut self.bytes[start + range.start..start + range.end]);
        } else {
            let at = range.start;
            self.remove(range, 1);
            self.insert(at, item);
        }
    }

    /// Takes the items from number `index` on away, which begin at `at`.
    pub fn split_off(&mut self, index: usize, at: usize) -> Packed {
        let all = self.items();
        let rest = Packed::new(Items { bytes: &all.bytes[at..], count: all.count - index });
        self.bytes.truncate(self.start as usize + at);
        self.count = index as u32;
        self.fit();
        rest
    }

    /// Adds the items of another block behind those of this one.
    pub fn append(&mut self, other: &Packed) {
        self.make_room(other.used(), End::Tail);
        self.bytes.extend_from_slice(other.items().bytes);
        self.count += other.count;
    }

    /// Gives back room that the items do not need.
    pub fn fit(&mut self) {
        let size = size_class(self.used());
        if size < self.bytes.capacity() {
            self.move_to(size, 0);
        }
    }

    /// Makes sure that so many bytes fit in at an end.
    #[inline]
    pub fn make_room(&mut self, len: usize, end: End) {
        let room = match end {
            End::Head => self.start as usize,
            End::Tail => self.bytes.capacity() - self.bytes.len(),
        };
        if room < len {
            self.find_room(len, end);
        }
    }

    #[cold]
    fn find_room(&mut self, len: usize, end: End) {
        let (capacity, used) = (self.bytes.capacity(), self.used());
        let needed = used + len;
        if needed > capacity || (capacity - used) * WORTHWHILE_PART < used {
            let size = size_class(needed.max(capacity + 1));
            match end {
                End::Tail if self.start == 0 => self.bytes.reserve_exact(size - used),
                End::Tail => self.move_to(size, 0),
                End::Head => self.move_to(size, size - used),
            }
            return;
        }
        // Half of what is left goes to either end: they are both in use.
        let spare = (capacity - needed) / 2;
        let start = match end {
            End::Head => len + spare,
            End::Tail => spare,
        };
        let old = self.start as usize..self.bytes.len();
        if start + used > old.end {
            self.bytes.resize(start + used, 0);
        }
        self.bytes.copy_within(old, start);
        self.bytes.truncate(start + used);
        self.start = start as u32;
    }

    /// Moves the items into an allocation of this size, behind so much free room.
    fn move_to(&mut self, size: usize, start: usize) {
        let mut bytes = Vec::with_capacity(size);
        bytes.resize(start, 0);
        bytes.extend_from_slice(self.items().bytes);
        self.bytes = bytes;
        self.start = start as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ITEM: Item<'static> = Item::Text(b"fifteen letters");

    #[test]
    fn size_classes_are_those_of_allocators() {
        for (bytes, size) in [
            (0, 0),
            (1, 8),
            (8, 8),
            (64, 64),
            (65, 80),
            (1024, 1024),
            (1025, 1280),
            (7169, 8192),
            (8193, 10240),
        ] {
            assert_eq!(size_class(bytes), size, "{bytes}");
        }
    }

    #[test]
    fn a_block_that_is_filled_from_one_end_has_no_slack() {
        for end in [End::Head, End::Tail] {
            let mut block = Packed::default();
            for _ in 0..480 {
                block.push(end, ITEM);
                assert_eq!(block.bytes.capacity(), size_class(block.used()));
            }
            assert_eq!(block.bytes.capacity(), 8192);
        }
    }

    #[test]
    fn a_queue_stays_where_it_is() {
        let mut block = Packed::default();
        (0..100).for_each(|_| block.push(End::Tail, ITEM));
        for (into, from) in [(End::Head, End::Tail), (End::Tail, End::Head)] {
            let mut moves = 0;
            for _ in 0..10_000 {
                let (address, start) = (block.bytes.as_ptr(), block.start);
                block.push(into, ITEM);
                let stayed = block.bytes.as_ptr() == address && block.start.abs_diff(start) <= 17;
                moves += u32::from(!stayed);
                assert_eq!(block.pop(from, |item| item == ITEM), Some(true));
            }
            assert!(moves < 1_200, "{moves} moves");
            assert!(block.bytes.capacity() <= 2_560);
        }
    }

    #[test]
    fn pushing_at_both_ends_in_turn_seldom_moves_the_items() {
        let mut block = Packed::default();
        let mut moved = 0;
        for number in 0..480 {
            let start = block.start;
            let end = if number % 2 == 0 { End::Head } else { End::Tail };
            block.push(end, ITEM);
            let stayed = block.start == start || (end == End::Head && block.start + 17 == start);
            moved += if stayed { 0 } else { block.used() };
        }
        assert!(moved < 40 * block.used(), "{moved} bytes moved for {}", block.used());
    }

    #[test]
    fn room_is_given_back() {
        for end in [End::Head, End::Tail] {
            let mut block = Packed::default();
            (0..480).for_each(|_| block.push(End::Tail, ITEM));
            while block.count() > 1 {
                block.pop(end, |_| ());
                assert!(block.bytes.capacity() <= (SPARSE_PART * block.used()).max(SMALL_BYTES));
            }
        }
    }
}
