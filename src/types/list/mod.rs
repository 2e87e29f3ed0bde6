//! A list of byte strings that is long, quick at both ends, and hardly larger than its bytes.
//!
//! ```text
//! ┌───────────────┬─────┬───────┐      ┌───────────────┬───────────────┬───────────────┐
//! │ first block ▾ │ len │ limit │      │ next block  ▾ │ large item  ▾ │ last block  ▾ │  a ring
//! └─────────────┼─┴─────┴───────┘      └─────────────┼─┴─────────────┼─┴─────────────┼─┘
//!   item item item …                     item item item …   a shared string    item item …
//! ```
//!
//! It is what Redis's *quicklist* is (after Matt Stancliff's of 2014): blocks of packed items, each at most as
//! large as a [`Limit`] says, and a block of its own for an item that is larger than that. Where it departs from
//! it, and why:
//!
//! - The blocks stand in a ring instead of being linked with each other. That is 32 bytes a block instead of 40
//!   (and the ring grows by an eighth, so little of it is unused), and the counts of all blocks are next to each
//!   other: to find item number n is to add up a run of them, from the nearer end.
//! - The first block is in the list itself, so that a list of one block costs one step less from the memory.
//! - A block has free room at either end ([`block`]), so that work at the ends moves no other items.
//! - A large item is a reference-counted string: who stores or sends it need not copy it.
//! - A list without a limit is one block of any size: the form of a list that is short, but not so short that it
//!   would be moved about as a whole ([`List::divide`] and [`List::unite`] change between the two).
//!
//! Where blocks begin is decided as in a quicklist, since it shows: a list whose one block has become small can
//! become a short list again. Sizes are those of a listpack for this, whose own header and end count seven bytes,
//! and a new item is taken to need eight bytes beside its text. Blocks are split when something is inserted into
//! a full one, and joined with their neighbours only after that. Removals leave small blocks behind, until they
//! are empty, and replacing items may make a block larger than it should be.
//!
//! Knows nothing of keys, commands or where its limits come from. Never holds items of more than 4 GiB other than
//! as large ones.

pub mod block;
pub mod items;

use crate::types::packed::Item;
use block::Packed;
use bytes::Bytes;
use items::{Items, Place};
use std::collections::VecDeque;
use std::ops::ControlFlow;

/// An end of a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    Head,
    Tail,
}

impl End {
    pub fn other(self) -> End {
        match self {
            End::Head => End::Tail,
            End::Tail => End::Head,
        }
    }
}

/// Bytes of a listpack that are not its items': four for the size, two for the count, one for the end.
const LISTPACK_FRAME_BYTES: usize = 7;

/// A list of so many blocks makes a new one as large as its neighbour at once: that it may stay empty is not felt any
/// more, and it need not move a dozen times to grow.
const LONG_FROM_BLOCKS: usize = 16;

/// What an item is taken to need beyond its text before it is encoded.
const ESTIMATED_ITEM_BYTES: usize = 8;

/// At most so much stands in one block, of bytes (with the frame of a listpack) and of items. Whoever inserts
/// has to keep to both.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limit {
    pub bytes: u32,
    pub items: u32,
}

impl Limit {
    /// Whether so many items of so many bytes in all keep to it.
    #[inline]
    pub fn admits(self, item_bytes: usize, items: usize) -> bool {
        item_bytes + LISTPACK_FRAME_BYTES <= self.bytes as usize && items <= self.items as usize
    }

    /// Whether an item has to have a block of its own.
    #[inline]
    pub fn is_large(self, text_bytes: usize) -> bool {
        text_bytes > self.bytes as usize
    }
}

/// An element on its way into a list.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    pub text: &'a [u8],
    /// The same bytes, if they can be shared instead of being copied.
    pub shared: Option<&'a Bytes>,
}

impl<'a> From<&'a [u8]> for Incoming<'a> {
    fn from(text: &'a [u8]) -> Incoming<'a> {
        Incoming { text, shared: None }
    }
}

/// An element of a list.
#[derive(Clone, Copy, Debug)]
pub enum Element<'a> {
    Packed(Item<'a>),
    Large(&'a Bytes),
}

impl Element<'_> {
    /// Calls `f` with the bytes that a client sees.
    #[inline]
    pub fn with<R>(self, f: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            Element::Packed(item) => item.with(f),
            Element::Large(bytes) => f(bytes),
        }
    }
}

/// What elements are compared with.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    text: &'a [u8],
    item: Item<'a>,
}

impl<'a> Wanted<'a> {
    pub fn new(text: &'a [u8]) -> Wanted<'a> {
        Wanted { text, item: Item::of(text) }
    }

    /// As packed items are compared.
    pub fn item(self) -> Item<'a> {
        self.item
    }

    #[inline]
    pub fn is(self, element: Element<'_>) -> bool {
        match element {
            Element::Packed(item) => item == self.item,
            Element::Large(bytes) => bytes == self.text,
        }
    }
}

/// A block to be read.
#[derive(Clone, Copy, Debug)]
pub enum Node<'a> {
    Packed(Items<'a>),
    Large(&'a Bytes),
}

#[derive(Clone, Debug)]
enum Block {
    Packed(Packed),
    /// One item. Behind a pointer, because blocks are the smaller for it.
    Large(Box<Bytes>),
}

const BLOCK_BYTES: usize = size_of::<Block>();
const _: () = assert!(BLOCK_BYTES == 32);

impl Default for Block {
    fn default() -> Block {
        Block::Packed(Packed::default())
    }
}

impl Block {
    fn large(new: Incoming<'_>) -> Block {
        let bytes = new.shared.cloned().unwrap_or_else(|| Bytes::copy_from_slice(new.text));
        Block::Large(Box::new(bytes))
    }

    fn count(&self) -> usize {
        match self {
            Block::Packed(packed) => packed.count(),
            Block::Large(_) => 1,
        }
    }

    fn heap_bytes(&self) -> usize {
        match self {
            Block::Packed(packed) => packed.heap_bytes(),
            Block::Large(bytes) => size_of::<Bytes>() + bytes.len(),
        }
    }

    /// The items, if a text of `text_bytes` may be added to them. An empty block takes whatever is not large.
    #[inline]
    fn with_room(&mut self, limit: Limit, text_bytes: usize) -> Option<&mut Packed> {
        let Block::Packed(packed) = self else { return None };
        let admitted = limit.admits(packed.used() + text_bytes + ESTIMATED_ITEM_BYTES, packed.count() + 1);
        (admitted || packed.count() == 0).then_some(packed)
    }

    fn visit(
        &self,
        index: usize,
        from: End,
        f: &mut impl FnMut(Element<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match self {
            Block::Packed(packed) => packed.items().visit(index, from, |item| f(Element::Packed(item))),
            Block::Large(bytes) => f(Element::Large(bytes)),
        }
    }
}

/// A list: see the module's head.
#[derive(Clone, Debug, Default)]
pub struct List {
    /// Empty if the list is, and only then.
    first: Block,
    /// None of these is empty.
    rest: VecDeque<Block>,
    len: usize,
    /// `None` for a list in one block of any size, which has no large items.
    limit: Option<Limit>,
}

impl List {
    /// A list of these items in one block, divided further as it grows if there is a limit.
    pub fn new(items: Items<'_>, limit: Option<Limit>) -> List {
        let first = Block::Packed(Packed::new(items));
        List { first, rest: VecDeque::new(), len: items.count, limit }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What blocks are limited to; `None` for a list that is kept in one.
    pub fn limit(&self) -> Option<Limit> {
        self.limit
    }

    /// From now on the list grows by further blocks of this size. What there is stays in its block.
    pub fn divide(&mut self, limit: Limit) {
        self.limit = Some(limit);
    }

    /// The items of a list that is all in one block, if that is not a large item.
    #[inline]
    pub fn only_block(&self) -> Option<Items<'_>> {
        match &self.first {
            Block::Packed(packed) if self.rest.is_empty() => Some(packed.items()),
            _ => None,
        }
    }

    /// From now on the list is kept in one block, in which it must be already.
    pub fn unite(&mut self) {
        debug_assert!(self.only_block().is_some());
        self.limit = None;
    }

    /// The blocks from the head on.
    pub fn nodes(&self) -> impl Iterator<Item = Node<'_>> {
        self.all_blocks().map(|block| match block {
            Block::Packed(packed) => Node::Packed(packed.items()),
            Block::Large(bytes) => Node::Large(bytes),
        })
    }

    /// The number of blocks.
    pub fn blocks(&self) -> usize {
        1 + self.rest.len()
    }

    /// Bytes allocated for what the list holds, itself excluded.
    pub fn heap_bytes(&self) -> usize {
        let blocks = self.all_blocks().map(Block::heap_bytes).sum::<usize>();
        self.rest.capacity() * BLOCK_BYTES + blocks
    }

    fn all_blocks(&self) -> impl Iterator<Item = &Block> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    #[inline]
    fn block(&self, at: usize) -> &Block {
        if at == 0 { &self.first } else { &self.rest[at - 1] }
    }

    #[inline]
    fn block_mut(&mut self, at: usize) -> &mut Block {
        if at == 0 { &mut self.first } else { &mut self.rest[at - 1] }
    }

    #[inline]
    fn end_mut(&mut self, end: End) -> &mut Block {
        match (end, self.rest.back_mut()) {
            (End::Tail, Some(last)) => last,
            _ => &mut self.first,
        }
    }

    /// Puts a block before block number `at`.
    fn insert_block(&mut self, at: usize, block: Block) {
        if self.is_empty() {
            self.first = block;
            return;
        }
        if self.rest.len() == self.rest.capacity() {
            // Not by doubling: half a ring of unused places would be felt.
            self.rest.reserve_exact((self.rest.len() / 8).max(2));
        }
        if at == 0 {
            let second = std::mem::replace(&mut self.first, block);
            self.rest.push_front(second);
        } else {
            self.rest.insert(at - 1, block);
        }
    }

    /// Takes blocks away, whose items are not counted any more.
    fn remove_blocks(&mut self, from: usize, to: usize) {
        if from == to {
            return;
        }
        self.rest.drain(from.saturating_sub(1)..to - 1);
        if from == 0 {
            self.first = self.rest.pop_front().unwrap_or_default();
        }
        if self.rest.is_empty() {
            self.rest = VecDeque::new();
        } else if self.rest.len() < self.rest.capacity() / 4 {
            self.rest.shrink_to(self.rest.len() * 2);
        }
    }

    /// The block that item number `index` is in, and its number there. Adds up from the nearer end.
    fn locate(&self, index: usize) -> Option<(usize, usize)> {
        if index >= self.len {
            return None;
        }
        if index < self.len / 2 {
            let mut index = index;
            for (at, block) in self.all_blocks().enumerate() {
                match index.checked_sub(block.count()) {
                    Some(further) => index = further,
                    None => return Some((at, index)),
                }
            }
            return None;
        }
        let mut start = self.len;
        for (at, block) in self.rest.iter().enumerate().rev() {
            start -= block.count();
            if index >= start {
                return Some((at + 1, index - start));
            }
        }
        Some((0, index))
    }

    /// Adds an element at an end.
    #[inline]
    pub fn push(&mut self, end: End, new: Incoming<'_>) {
        let item = Item::of(new.text);
        match self.limit {
            None => {
                let Block::Packed(packed) = &mut self.first else {
                    unreachable!("one block has no large items")
                };
                packed.push(end, item);
            }
            Some(limit) => match self.end_mut(end).with_room(limit, new.text.len()) {
                Some(packed) if !limit.is_large(new.text.len()) => packed.push(end, item),
                _ => self.push_block(end, limit, new),
            },
        }
        self.len += 1;
    }

    /// Adds a block for an element at an end. The one that was there has its final size, perhaps.
    #[cold]
    fn push_block(&mut self, end: End, limit: Limit, new: Incoming<'_>) {
        if let Block::Packed(packed) = self.end_mut(end) {
            packed.fit();
        }
        let at = match end {
            End::Head => 0,
            End::Tail => self.blocks(),
        };
        let mut block = Self::block_of(limit, new);
        if self.blocks() >= LONG_FROM_BLOCKS
            && let (Block::Packed(packed), Block::Packed(before)) = (&mut block, self.end_mut(end))
        {
            packed.make_room(before.heap_bytes().saturating_sub(packed.used()), end);
        }
        self.insert_block(at, block);
    }

    fn block_of(limit: Limit, new: Incoming<'_>) -> Block {
        if limit.is_large(new.text.len()) {
            return Block::large(new);
        }
        let mut packed = Packed::default();
        packed.push(End::Tail, Item::of(new.text));
        Block::Packed(packed)
    }

    /// Shows the element at an end to `f`, then removes it. `None` if there is none.
    #[inline]
    pub fn pop<R>(&mut self, end: End, f: impl FnOnce(Element<'_>) -> R) -> Option<R> {
        let (result, is_used_up) = match self.end_mut(end) {
            Block::Packed(packed) => {
                let result = packed.pop(end, |item| f(Element::Packed(item)))?;
                (result, packed.count() == 0)
            }
            Block::Large(bytes) => (f(Element::Large(bytes)), true),
        };
        self.len -= 1;
        if is_used_up {
            let at = match end {
                End::Head => 0,
                End::Tail => self.rest.len(),
            };
            self.remove_blocks(at, at + 1);
        }
        Some(result)
    }

    /// Element number `index`.
    pub fn get(&self, index: usize) -> Option<Element<'_>> {
        let (at, index) = self.locate(index)?;
        match self.block(at) {
            Block::Packed(packed) => packed.items().get(index).map(Element::Packed),
            Block::Large(bytes) => Some(Element::Large(bytes)),
        }
    }

    /// Shows elements to `f` one after the other, from number `index` on away from the end `from`, until it
    /// breaks.
    pub fn visit(&self, index: usize, from: End, mut f: impl FnMut(Element<'_>) -> ControlFlow<()>) {
        let Some((at, index)) = self.locate(index) else { return };
        if self.block(at).visit(index, from, &mut f).is_break() {
            return;
        }
        match from {
            End::Head => {
                let _ = (at + 1..self.blocks()).try_for_each(|at| self.block(at).visit(0, from, &mut f));
            }
            End::Tail => {
                let _ = (0..at).rev().try_for_each(|at| {
                    let block = self.block(at);
                    block.visit(block.count() - 1, from, &mut f)
                });
            }
        }
    }

    /// Inserts an element beside the first one that equals `pivot`, on the side of the end `towards`; `false` if
    /// there is none.
    pub fn insert_beside(&mut self, pivot: Wanted<'_>, towards: End, new: Incoming<'_>) -> bool {
        let found = self.all_blocks().enumerate().find_map(|(at, block)| match block {
            Block::Packed(packed) => packed.items().find(pivot.item).map(|place| (at, place)),
            Block::Large(bytes) => (**bytes == pivot.text).then_some((at, Place { index: 0, at: 0 })),
        });
        let Some((at, place)) = found else { return false };
        let index = match towards {
            End::Head => place.index,
            End::Tail => place.index + 1,
        };
        self.insert_into(at, index, new);
        true
    }

    /// Inserts an element before item number `index` of a block, or behind its last.
    fn insert_into(&mut self, at: usize, index: usize, new: Incoming<'_>) {
        let item = Item::of(new.text);
        let count = self.block(at).count();
        let Some(limit) = self.limit else {
            let Block::Packed(packed) = &mut self.first else { unreachable!("one block has no large items") };
            packed.insert(packed.items().offset(index), item);
            self.len += 1;
            return;
        };
        let text_bytes = new.text.len();
        if limit.is_large(text_bytes) {
            let at = self.split(at, index);
            self.insert_block(at, Block::large(new));
        } else if let Some(packed) = self.block_mut(at).with_room(limit, text_bytes) {
            packed.insert(packed.items().offset(index), item);
        } else if index == count {
            let next = self.rest.get_mut(at).and_then(|next| next.with_room(limit, text_bytes));
            match next {
                Some(packed) => packed.push(End::Head, item),
                None => self.insert_block(at + 1, Self::block_of(limit, new)),
            }
        } else if index == 0 {
            let before =
                at.checked_sub(1).and_then(|before| self.block_mut(before).with_room(limit, text_bytes));
            match before {
                Some(packed) => packed.push(End::Tail, item),
                None => self.insert_block(at, Self::block_of(limit, new)),
            }
        } else {
            self.split(at, index);
            if let Block::Packed(packed) = self.block_mut(at) {
                packed.push(End::Tail, item);
            }
            self.join(at + 1, limit);
            if at > 0 {
                self.join(at - 1, limit);
            }
        }
        self.len += 1;
    }

    /// Splits a block before its item number `index`. Returns the number of the block that begins there, or
    /// would.
    fn split(&mut self, at: usize, index: usize) -> usize {
        let block = self.block_mut(at);
        if index == 0 {
            return at;
        }
        if let Block::Packed(packed) = block
            && index < packed.count()
        {
            let rest = packed.split_off(index, packed.items().offset(index));
            self.insert_block(at + 1, Block::Packed(rest));
        }
        at + 1
    }

    /// Makes a block and the next one a single one, if the limit admits it.
    fn join(&mut self, at: usize, limit: Limit) {
        let Block::Packed(packed) = self.block(at) else { return };
        let Some(Block::Packed(next)) = self.rest.get(at) else { return };
        if limit.admits(packed.used() + next.used(), packed.count() + next.count()) {
            let next = std::mem::take(&mut self.rest[at]);
            if let (Block::Packed(packed), Block::Packed(next)) = (self.block_mut(at), &next) {
                packed.append(next);
            }
            self.remove_blocks(at + 1, at + 2);
        }
    }

    /// Puts another element in the place of number `index`; `false` if there is none.
    pub fn set(&mut self, index: usize, new: Incoming<'_>) -> bool {
        let Some((at, index)) = self.locate(index) else { return false };
        let large_for = self.limit.filter(|limit| limit.is_large(new.text.len()));
        match (self.block_mut(at), large_for) {
            // Even if the block gets larger than it may.
            (Block::Packed(packed), None) => {
                let items = packed.items();
                let range = items.offset(index)..items.offset(index + 1);
                packed.replace(range, Item::of(new.text));
            }
            (Block::Packed(packed), Some(limit)) if packed.count() > 1 => {
                let items = packed.items();
                let range = items.offset(index)..items.offset(index + 1);
                packed.remove(range, 1);
                self.len -= 1;
                self.insert_into(at, index, new);
                if index > 0 {
                    // The large one is the next block.
                    if at + 2 < self.blocks() {
                        self.join(at + 2, limit);
                    }
                    if at > 0 {
                        self.join(at - 1, limit);
                    }
                }
            }
            (block, Some(_)) => *block = Block::large(new),
            (Block::Large(_), None) => {
                // The small one may find room behind the large one that it replaces.
                self.insert_into(at, 1, new);
                self.remove_blocks(at, at + 1);
                self.len -= 1;
            }
        }
        true
    }

    /// Removes elements that equal `wanted`: at most `most` of them, those nearest to the end `from`. Returns how
    /// many there were.
    pub fn remove_equal(&mut self, wanted: Wanted<'_>, most: usize, from: End) -> usize {
        let (mut removed, mut emptied) = (0, false);
        let blocks = self.blocks();
        for step in 0..blocks {
            if removed == most {
                break;
            }
            let at = match from {
                End::Head => step,
                End::Tail => blocks - 1 - step,
            };
            let block = self.block_mut(at);
            match block {
                Block::Packed(packed) => {
                    let ranges = packed.items().matches(wanted.item, most - removed, from);
                    packed.remove_all(&ranges);
                    removed += ranges.len();
                }
                Block::Large(bytes) if **bytes == wanted.text => {
                    *block = Block::default();
                    removed += 1;
                }
                Block::Large(_) => {}
            }
            emptied |= block.count() == 0;
        }
        self.len -= removed;
        if emptied {
            self.rest.retain(|block| block.count() > 0);
            if self.first.count() == 0 {
                self.first = self.rest.pop_front().unwrap_or_default();
            }
        }
        removed
    }

    /// Removes `count` elements from number `index` on, or as many as there are.
    pub fn remove_range(&mut self, index: usize, count: usize) {
        let Some((mut at, mut index)) = self.locate(index) else { return };
        let mut left = count;
        // A part of the first block, whole blocks, a part of the last.
        let mut whole = None;
        while left > 0 && at < self.blocks() {
            let here = self.block(at).count();
            let removed = left.min(here - index);
            if removed == here {
                let from = whole.map_or(at, |(from, _)| from);
                whole = Some((from, at + 1));
            } else if let Block::Packed(packed) = self.block_mut(at) {
                let items = packed.items();
                let range = items.offset(index)..items.offset(index + removed);
                packed.remove(range, removed);
            }
            self.len -= removed;
            left -= removed;
            (at, index) = (at + 1, 0);
        }
        if let Some((from, to)) = whole {
            self.remove_blocks(from, to);
        }
    }
}

#[cfg(test)]
mod tests;
