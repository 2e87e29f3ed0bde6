//! One block of a stream: some dozens of entries in one piece of memory, exactly the bytes of a node of
//! Redis's streams without the header and the end of its listpack.
//!
//! ```text
//! ┌──────┬─────────┬────────┬────────┬┄┬────────┬───┐   the reference, written for the first entry
//! │ live │ deleted │ fields │ name 1 │ │ name N │ 0 │
//! └──────┴─────────┴────────┴────────┴┄┴────────┴───┘
//! ┌───────┬────────┬─────────┬─────────┬┄┬─────────┬───────┐   an entry with the names of the reference
//! │ flags │ ms - … │ seq - … │ value 1 │ │ value N │ items │
//! └───────┴────────┴─────────┴─────────┴┄┴─────────┴───────┘
//! ┌───────┬────────┬─────────┬────────┬────────┬─────────┬┄┬────────┬─────────┬───────┐   any other entry
//! │ flags │ ms - … │ seq - … │ fields │ name 1 │ value 1 │ │ name N │ value N │ items │
//! └───────┴────────┴─────────┴────────┴────────┴─────────┴┄┴────────┴─────────┴───────┘
//! ```
//!
//! Each box is one item of [`packed`], which can be walked in both directions. IDs are kept as differences from
//! the ID that the block is filed under; the items at the end of an entry say how many items it has before
//! them, so that it can be entered from behind, where the reference's 0 is the end. An entry that is deleted
//! is only marked. Walks do not trust the bytes: what is damaged ends them.

use super::id::Id;
use crate::types::packed::{self, Item};

/// The entry is deleted.
const DELETED: i64 = 1;
/// The entry has the names of the reference and does not repeat them.
const SAME_NAMES: i64 = 2;

/// Items of every entry before its values: flags and the two parts of the ID.
const ENTRY_ITEMS: usize = 3;

/// Bytes that a listpack has beyond its items: a header of six and an end of one. Limits count them.
const LISTPACK_BYTES: usize = 7;

/// Bytes that an item takes beyond those of its text, at most.
const ITEM_BYTES: usize = 10;

/// A block: see the module's head.
#[derive(Clone, Debug)]
pub struct Block {
    first: Id,
    bytes: Vec<u8>,
}

/// One entry in place.
#[derive(Clone, Copy, Debug)]
pub struct StreamEntry<'a> {
    pub id: Id,
    pub is_deleted: bool,
    pub fields: Fields<'a>,
    /// Where it begins in its block.
    at: usize,
}

/// The fields of an entry: names with values.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    bytes: &'a [u8],
    /// Where the next name is, if it is one of the reference's.
    name_at: Option<usize>,
    at: usize,
    left: usize,
}

impl Fields<'_> {
    /// How many fields are left.
    pub fn len(&self) -> usize {
        self.left
    }

    pub fn is_empty(&self) -> bool {
        self.left == 0
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (Item<'a>, Item<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let name = match &mut self.name_at {
            Some(at) => take(self.bytes, at)?,
            None => take(self.bytes, &mut self.at)?,
        };
        Some((name, take(self.bytes, &mut self.at)?))
    }
}

/// The item at `at`, which moves behind it.
#[inline]
fn take<'a>(bytes: &'a [u8], at: &mut usize) -> Option<Item<'a>> {
    let (item, next) = packed::get(bytes, *at)?;
    *at = next;
    Some(item)
}

#[inline]
fn take_int(bytes: &[u8], at: &mut usize) -> Option<i64> {
    match take(bytes, at)? {
        Item::Int(n) => Some(n),
        Item::Text(_) => None,
    }
}

fn take_count(bytes: &[u8], at: &mut usize) -> Option<usize> {
    usize::try_from(take_int(bytes, at)?).ok()
}

fn skip(bytes: &[u8], at: &mut usize, items: usize) -> Option<()> {
    for _ in 0..items {
        *at = packed::get(bytes, *at)?.1;
    }
    Some(())
}

/// Where items begin and end, from `at` on.
struct Offsets<'a> {
    bytes: &'a [u8],
    at: usize,
}

fn offsets_from(bytes: &[u8], at: usize) -> Offsets<'_> {
    Offsets { bytes, at }
}

impl Iterator for Offsets<'_> {
    type Item = (usize, usize);

    fn next(&mut self) -> Option<(usize, usize)> {
        let (_, next) = packed::get(self.bytes, self.at)?;
        Some((std::mem::replace(&mut self.at, next), next))
    }
}

/// What the reference says.
#[derive(Clone, Copy, Debug)]
struct Reference {
    names_at: usize,
    names: usize,
}

impl Block {
    /// A block without entries whose reference has the names of these `pairs` (names and values in turns), and
    /// with room for one such entry.
    pub fn new<'p>(first: Id, pairs: impl Iterator<Item = &'p [u8]> + Clone) -> Block {
        let (items, text_bytes) = pairs.clone().fold((0, 0), |(n, bytes), text| (n + 1, bytes + text.len()));
        // Names are there once, values once, and items of the block's own.
        let mut bytes = Vec::with_capacity(32 + text_bytes + items * 2);
        for n in [0, 0, items as i64 / 2] {
            Item::Int(n).encode(&mut bytes);
        }
        pairs.step_by(2).for_each(|name| Item::of(name).encode(&mut bytes));
        Item::Int(0).encode(&mut bytes);
        Block { first, bytes }
    }

    /// A block of items that come from elsewhere. `None` unless they are a reference and entries as described above,
    /// at least one, whose IDs ascend from `first` on; nothing that the block says of itself is believed.
    pub fn of_items(first: Id, items: &[u8]) -> Option<Block> {
        let block = Block { first, bytes: items.to_vec() };
        let bytes = block.bytes.as_slice();
        let is_item = |(at, next): (usize, usize)| packed::length_back_fits(bytes, at, next);
        let mut ends = offsets_from(bytes, 0);
        if !ends.by_ref().all(is_item) || ends.at != bytes.len() {
            return None;
        }
        let reference = block.reference()?;
        let mut at = reference.names_at;
        skip(bytes, &mut at, reference.names)?;
        if take_int(bytes, &mut at)? != 0 {
            return None;
        }
        let (mut live, mut deleted, mut before) = (0, 0, None);
        while at < bytes.len() {
            let (entry, next) = block.entry(reference, at)?;
            if entry.id < first || before.is_some_and(|before| before >= entry.id) {
                return None;
            }
            // The items of the entry without the last, which counts them.
            let items = offsets_from(&bytes[..next], at).count() - 1;
            let count_at = packed::ending_at(bytes, next)?;
            if take_count(bytes, &mut { count_at })? != items {
                return None;
            }
            *(if entry.is_deleted { &mut deleted } else { &mut live }) += 1;
            (at, before) = (next, Some(entry.id));
        }
        before?;
        let mut at = 0;
        let noted = (take_count(bytes, &mut at)?, take_count(bytes, &mut at)?);
        (noted == (live, deleted)).then_some(block)
    }

    /// The ID that the block is filed under: that of the entry it was made for.
    #[inline]
    pub fn first(&self) -> Id {
        self.first
    }

    /// The items in their encoding.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Number of items.
    pub fn items(&self) -> usize {
        offsets_from(&self.bytes, 0).count()
    }

    /// Bytes allocated.
    pub fn heap_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Bytes of the listpack that Redis would have.
    #[inline]
    pub fn listpack_bytes(&self) -> usize {
        self.bytes.len() + LISTPACK_BYTES
    }

    /// Gives back memory that was only there to grow.
    pub fn seal(&mut self) {
        self.bytes.shrink_to_fit();
    }

    /// Number of entries, and of those that are deleted.
    #[inline]
    pub fn counts(&self) -> (usize, usize) {
        let mut at = 0;
        let live = take_count(&self.bytes, &mut at).unwrap_or(0);
        (live, take_count(&self.bytes, &mut at).unwrap_or(0))
    }

    #[inline]
    fn reference(&self) -> Option<Reference> {
        let mut at = 0;
        skip(&self.bytes, &mut at, 2)?;
        let names = take_count(&self.bytes, &mut at)?;
        Some(Reference { names_at: at, names })
    }

    /// Puts an integer in the place of the item at `at`.
    fn put_int(&mut self, at: usize, n: i64) {
        let mut encoded = Vec::new();
        let old = packed::get(&self.bytes, at).map_or(0, |(_, next)| next - at);
        // Nearly all of these are below 128, one byte and its length.
        if old == 2 && (0..128).contains(&n) {
            self.bytes[at] = n as u8;
            return;
        }
        Item::Int(n).encode(&mut encoded);
        self.bytes.splice(at..at + old, encoded);
    }

    /// Changes the counts of entries and of deleted ones.
    fn count(&mut self, live: usize, deleted: usize) {
        let behind_live = packed::get(&self.bytes, 0).map_or(0, |(_, next)| next);
        self.put_int(behind_live, deleted as i64);
        self.put_int(0, live as i64);
    }

    /// Appends an entry of these names and values in turns, whose ID is above all others.
    #[inline]
    pub fn append<'p>(&mut self, id: Id, pairs: impl Iterator<Item = &'p [u8]> + Clone) {
        let mut at = 0;
        let live = take_count(&self.bytes, &mut at).unwrap_or(0);
        self.put_int(0, live as i64 + 1);
        let (items, text_bytes) = pairs.clone().fold((0, 0), |(n, bytes), text| (n + 1, bytes + text.len()));
        let fields = items / 2;
        let same = self.has_names(fields, pairs.clone());
        self.bytes.reserve(text_bytes + (items + ENTRY_ITEMS + 2) * ITEM_BYTES);
        let out = &mut self.bytes;
        let flags = if same { SAME_NAMES } else { 0 };
        Item::Int(flags).encode(out);
        Item::Int(id.ms.wrapping_sub(self.first.ms) as i64).encode(out);
        Item::Int(id.seq.wrapping_sub(self.first.seq) as i64).encode(out);
        if same {
            pairs.skip(1).step_by(2).for_each(|value| Item::of(value).encode(out));
            Item::Int((ENTRY_ITEMS + fields) as i64).encode(out);
        } else {
            Item::Int(fields as i64).encode(out);
            pairs.for_each(|text| Item::of(text).encode(out));
            Item::Int((ENTRY_ITEMS + 1 + items) as i64).encode(out);
        }
    }

    /// Whether these are the names of the reference.
    #[inline]
    fn has_names<'p>(&self, fields: usize, pairs: impl Iterator<Item = &'p [u8]>) -> bool {
        let Some(reference) = self.reference() else { return false };
        let mut at = reference.names_at;
        reference.names == fields
            && pairs.step_by(2).all(|name| match take(&self.bytes, &mut at) {
                Some(Item::Text(text)) => text == name,
                Some(number) => number.with(|text| text == name),
                None => false,
            })
    }

    /// The entry that begins at `at`, and where the next one begins.
    #[inline]
    fn entry(&self, reference: Reference, at: usize) -> Option<(StreamEntry<'_>, usize)> {
        let bytes = self.bytes.as_slice();
        let mut next = at;
        let flags = take_int(bytes, &mut next)?;
        let ms = self.first.ms.wrapping_add(take_int(bytes, &mut next)? as u64);
        let seq = self.first.seq.wrapping_add(take_int(bytes, &mut next)? as u64);
        let same = flags & SAME_NAMES != 0;
        let left = if same { reference.names } else { take_count(bytes, &mut next)? };
        let fields = Fields { bytes, name_at: same.then_some(reference.names_at), at: next, left };
        skip(bytes, &mut next, if same { left } else { left.checked_mul(2)? })?;
        skip(bytes, &mut next, 1)?;
        Some((StreamEntry { id: Id::new(ms, seq), is_deleted: flags & DELETED != 0, fields, at }, next))
    }

    /// All entries from the first on, deleted ones included.
    pub fn forward(&self) -> Forward<'_> {
        let place = self.reference().and_then(|reference| {
            let mut at = reference.names_at;
            skip(&self.bytes, &mut at, reference.names + 1)?;
            Some((reference, at))
        });
        Forward { block: self, place }
    }

    /// All entries from the last on, deleted ones included.
    pub fn backward(&self) -> Backward<'_> {
        Backward { block: self, reference: self.reference(), end: self.bytes.len() }
    }

    /// The ID of the last entry, be it deleted.
    pub fn last_id(&self) -> Option<Id> {
        self.backward().next().map(|entry| entry.id)
    }

    /// The entry of this ID, unless it is deleted.
    pub fn find(&self, id: Id) -> Option<StreamEntry<'_>> {
        self.forward().take_while(|entry| entry.id <= id).find(|entry| entry.id == id && !entry.is_deleted)
    }

    /// Marks entries as deleted: of those that are not yet, from the first on, those for which `decide` says so,
    /// until it says that it is enough. Returns how many.
    pub fn delete(&mut self, mut decide: impl FnMut(Id) -> Decision) -> usize {
        let mut marks = Vec::new();
        for entry in self.forward().filter(|entry| !entry.is_deleted) {
            match decide(entry.id) {
                Decision::Delete => marks.push(entry.at),
                Decision::Keep => {}
                Decision::Stop => break,
            }
        }
        // From behind, so that a mark that takes more room would not shift the others.
        for at in marks.iter().rev() {
            self.mark_deleted(*at);
        }
        let (live, deleted) = self.counts();
        self.count(live.saturating_sub(marks.len()), deleted + marks.len());
        marks.len()
    }

    /// Marks the entry of this ID as deleted; `false` if there is none, or it is already.
    pub fn delete_one(&mut self, id: Id) -> bool {
        let Some(at) = self.find(id).map(|entry| entry.at) else { return false };
        self.mark_deleted(at);
        let (live, deleted) = self.counts();
        self.count(live.saturating_sub(1), deleted + 1);
        true
    }

    fn mark_deleted(&mut self, at: usize) {
        if let Some(flags) = take_int(&self.bytes, &mut { at }) {
            self.put_int(at, flags | DELETED);
        }
    }
}

/// What becomes of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    Delete,
    Keep,
    /// Keep this one and all behind it.
    Stop,
}

/// The entries of a block from the first on.
#[derive(Clone, Debug)]
pub struct Forward<'a> {
    block: &'a Block,
    place: Option<(Reference, usize)>,
}

impl<'a> Iterator for Forward<'a> {
    type Item = StreamEntry<'a>;

    #[inline]
    fn next(&mut self) -> Option<StreamEntry<'a>> {
        let (reference, at) = self.place?;
        match self.block.entry(reference, at) {
            Some((entry, next)) => {
                self.place = Some((reference, next));
                Some(entry)
            }
            None => {
                self.place = None;
                None
            }
        }
    }
}

/// The entries of a block from the last on.
#[derive(Clone, Debug)]
pub struct Backward<'a> {
    block: &'a Block,
    reference: Option<Reference>,
    /// Where the entry to come ends.
    end: usize,
}

impl<'a> Iterator for Backward<'a> {
    type Item = StreamEntry<'a>;

    fn next(&mut self) -> Option<StreamEntry<'a>> {
        let bytes = self.block.bytes.as_slice();
        let reference = self.reference?;
        let mut at = packed::before(bytes, self.end)?;
        let items = take_count(bytes, &mut { at }).filter(|items| *items > 0)?;
        for _ in 0..items {
            at = packed::before(bytes, at)?;
        }
        let (entry, _) = self.block.entry(reference, at)?;
        self.end = at;
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs<'a>(texts: &'a [&'a str]) -> impl Iterator<Item = &'a [u8]> + Clone {
        texts.iter().map(|text| text.as_bytes())
    }

    fn ints(numbers: &[i64]) -> Vec<u8> {
        let mut bytes = Vec::new();
        numbers.iter().for_each(|n| Item::Int(*n).encode(&mut bytes));
        bytes
    }

    #[test]
    fn bytes_are_those_of_a_node() {
        let mut block = Block::new(Id::new(1000, 5), pairs(&["a", "1"]));
        block.append(Id::new(1000, 5), pairs(&["a", "1"]));
        block.append(Id::new(1001, 0), pairs(&["a", "x"]));
        block.append(Id::new(1001, 1), pairs(&["b", "1"]));
        let mut expected = ints(&[3, 0, 1]);
        Item::Text(b"a").encode(&mut expected);
        expected.extend(ints(&[0, 2, 0, 0, 1, 4, 2, 1, -5]));
        Item::Text(b"x").encode(&mut expected);
        expected.extend(ints(&[4, 0, 1, -4, 1]));
        Item::Text(b"b").encode(&mut expected);
        expected.extend(ints(&[1, 6]));
        assert_eq!(block.bytes(), expected);
        assert!(block.delete_one(Id::new(1001, 0)));
        assert!(!block.delete_one(Id::new(1001, 0)));
        assert_eq!(block.counts(), (2, 1));
        let ids: Vec<(u64, bool)> = block.forward().map(|entry| (entry.id.seq, entry.is_deleted)).collect();
        assert_eq!(ids, [(5, false), (0, true), (1, false)]);
        assert!(block.backward().map(|entry| (entry.id.seq, entry.is_deleted)).eq(ids.into_iter().rev()));
        assert_eq!(block.last_id(), Some(Id::new(1001, 1)));
    }

    #[test]
    fn items_from_elsewhere_have_to_be_a_block() {
        let first = Id::new(1000, 5);
        let mut block = Block::new(first, pairs(&["a", "1"]));
        for seq in 5..8 {
            block.append(Id::new(1000, seq), pairs(&["a", "1"]));
        }
        block.append(Id::new(1001, 0), pairs(&["b", "x", "c", "y"]));
        block.delete_one(Id::new(1000, 6));
        let again = Block::of_items(first, block.bytes()).expect("a block");
        assert_eq!(again.bytes(), block.bytes());
        assert_eq!(block.items(), 5 + 4 * 3 + 3 + 3 + 1 + 4 + 1);
        assert!(Block::of_items(Id::new(1000, 6), &[]).is_none());
        (0..block.bytes.len()).for_each(|len| assert!(Block::of_items(first, &block.bytes[..len]).is_none()));
        // A count that is a text, a wrong one, no end of the reference, IDs that do not ascend.
        let entry = [2, 0, 0, 1, 4];
        assert!(Block::of_items(first, &ints(&[[1, 0, 1, 7, 0].as_slice(), &entry].concat())).is_some());
        for reference in [[2, 0, 1, 7, 0], [1, 1, 1, 7, 0], [1, 0, 1, 7, 1], [1, 0, -1, 7, 0]] {
            assert!(Block::of_items(first, &ints(&[reference.as_slice(), &entry].concat())).is_none());
        }
        assert!(
            Block::of_items(first, &ints(&[[2, 0, 1, 7, 0].as_slice(), &entry, &entry].concat())).is_none()
        );
        let text = [&ints(&[1])[..], &[0x80, 1], &ints(&[1, 7, 0]), &ints(&entry)].concat();
        assert!(Block::of_items(first, &text).is_none());
    }

    #[test]
    fn more_entries_than_a_byte_counts() {
        let mut block = Block::new(Id::new(1, 0), pairs(&["name", "value"]));
        for seq in 0..1000 {
            block.append(Id::new(1, seq), pairs(&["name", "value"]));
        }
        assert_eq!(block.delete(|id| if id.seq < 500 { Decision::Delete } else { Decision::Stop }), 500);
        assert_eq!(block.counts(), (500, 500));
        assert_eq!(block.forward().filter(|entry| !entry.is_deleted).count(), 500);
        assert_eq!(block.backward().count(), 1000);
        assert!(block.find(Id::new(1, 499)).is_none() && block.find(Id::new(1, 500)).is_some());
    }

    #[test]
    fn damaged_bytes_end_a_walk() {
        let mut block = Block::new(Id::new(1, 0), pairs(&["name", "value"]));
        for seq in 0..20 {
            block.append(Id::new(1, seq), pairs(&["name", "value", "other", "7"]));
        }
        for at in 0..block.bytes.len() {
            for byte in [0, 1, 0x7F, 0x80, 0xC5, 0xDF, 0xF0, 0xF4, 0xFF] {
                let mut damaged = block.clone();
                damaged.bytes[at] = byte;
                let seen: usize = damaged.forward().map(|entry| entry.fields.count()).sum();
                let back: usize = damaged.backward().map(|entry| entry.fields.count()).sum();
                assert!(seen <= 10_000 && back <= 10_000);
                damaged.delete(|_| Decision::Delete);
            }
        }
    }
}
