//! The hash table that sets, hashes and sorted sets share: elements that know their key, found by it.
//!
//! An element is an owned pointer of eight bytes; what it points to is the business of the three types. The
//! table is *extendible hashing* (Fagin, Nievergelt, Pippenger, Strong: "Extendible Hashing - A Fast Access
//! Method for Dynamic Files", 1979): a directory, indexed by the first bits of the hash, of segments. A full
//! segment is split in two by the next bit of the hash; the directory doubles when a segment that already uses
//! all its bits is split. So growth is always the work of one small segment: nothing ever moves a million
//! elements at once, and there is never an old and a new table side by side. Neighbours that together are
//! sparse become one again, and the directory is halved when nobody needs its last bit.
//!
//! What differs from the paper:
//! - A segment is not itself a hash table but a plain array without gaps, with one byte of each element's hash
//!   in front (the tags, as in Google's "Swiss tables"). A look-up compares all tags of a segment at once with
//!   vector instructions. This costs one or two cache lines more than a probe, and saves all the empty places:
//!   an element costs about twelve bytes (9 to 18, as full as the segments are), where open addressing costs 10 to 21.
//! - Of the slots that share a segment, the first holds it and the others are empty, instead of all pointing to
//!   it: ownership stays a tree. Who comes to an empty slot clears the lowest bit of its number that is set,
//!   until there is a segment; this works because the slots of a segment are an aligned power of two.
//!
//! **Walks** ([`Table::scan`]) go through the elements in the order of their hashes, and the cursor is a position
//! in this order. It means the same whatever has been split or merged since: an element that is there from the
//! first step to the last is seen, no state is kept, and repetitions are rare (none, unless an element leaves
//! and comes back).
//!
//! **Random picks** are exactly uniform: a slot, then a place in it, are thrown until there is an element in it.
//!
//! The hash is seeded per process, so that nobody can prepare keys that collide.

mod segment;

use super::prefetch::{Step, prefetch};
use ahash::RandomState;
use rand::Rng;
use segment::Segment;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::LazyLock;

/// What a table holds: one owned pointer each.
pub trait Element {
    /// What the element is found by. Stays the same as long as the element is in a table.
    fn key(&self) -> &[u8];

    /// Bytes allocated for the element, as asked of the allocator.
    fn heap_bytes(&self) -> usize;

    /// Where the element's memory begins, for prefetching only.
    fn address(&self) -> *const u8 {
        std::ptr::null()
    }
}

/// The most elements of a segment. As many as values of a tag: more would mean more look-ups that compare a key
/// in vain. Splitting so many takes a few microseconds.
const MAX_SEGMENT: usize = 256;

/// From this depth on, that is in a table of some thousand elements, a new segment gets room for all that it may ever
/// have. All segments of a table grow at about the same time: if they grew step by step, all would leave a size
/// class of the allocator together, and its slabs, emptied in no order, would keep more memory than the room takes.
const FULL_ROOM_FROM_DEPTH: u8 = 4;

/// Neighbours of together no more elements than this become one: less than half of a full segment, so that
/// the next few elements do not split it again.
const MERGE_AT: usize = MAX_SEGMENT * 2 / 5;

/// The directory grows only while there are so many elements for each of its slots; a hash that behaves has
/// more than a hundred. Otherwise segments get longer, but no directory explodes.
const MIN_ELEMENTS_PER_SLOT: usize = 16;

/// Cursors of walks are so many of the first bits of a hash.
const CURSOR_BITS: u32 = 48;

/// How often a random pick throws its dice before it counts the elements instead.
const RANDOM_TRIES: usize = 128;

/// How many elements are looked at to estimate the bytes of all.
const SAMPLE_ELEMENTS: usize = 1000;

static HASH_STATE: LazyLock<RandomState> = LazyLock::new(RandomState::new);

#[inline]
fn hash(key: &[u8]) -> u64 {
    let mut hasher = HASH_STATE.build_hasher();
    hasher.write(key);
    hasher.finish()
}

/// The byte of a hash that stands in a segment: of the end that the directory does not use.
#[inline]
fn tag(hash: u64) -> u8 {
    hash as u8
}

/// Where a walk comes to an element with this hash.
#[inline]
fn position(hash: u64) -> u64 {
    hash >> (u64::BITS - CURSOR_BITS)
}

/// A power of two of slots. The first slot of those that share a segment holds it.
#[derive(Clone)]
enum Directory<E> {
    /// Of small tables: empty as long as there is no element.
    One(Option<Segment<E>>),
    Many(Box<[Option<Segment<E>>]>),
}

impl<E> Directory<E> {
    #[inline]
    fn slots(&self) -> &[Option<Segment<E>>] {
        match self {
            Directory::One(slot) => std::slice::from_ref(slot),
            Directory::Many(slots) => slots,
        }
    }

    #[inline]
    fn slots_mut(&mut self) -> &mut [Option<Segment<E>>] {
        match self {
            Directory::One(slot) => std::slice::from_mut(slot),
            Directory::Many(slots) => slots,
        }
    }

    fn take_slots(&mut self) -> Vec<Option<Segment<E>>> {
        match std::mem::replace(self, Directory::One(None)) {
            Directory::One(slot) => vec![slot],
            Directory::Many(slots) => slots.into_vec(),
        }
    }

    fn of(mut slots: Vec<Option<Segment<E>>>) -> Directory<E> {
        if slots.len() == 1 {
            return Directory::One(slots.pop().flatten());
        }
        Directory::Many(slots.into_boxed_slice())
    }
}

/// A set of elements, found by their keys: see the module's head.
#[derive(Clone)]
pub struct Table<E: Element> {
    directory: Directory<E>,
    len: usize,
    /// How many segments use all bits of the directory.
    deepest: u32,
    /// No segment ever had more elements than this.
    longest: u32,
}

impl<E: Element> Default for Table<E> {
    fn default() -> Self {
        Table { directory: Directory::One(None), len: 0, deepest: 0, longest: MAX_SEGMENT as u32 }
    }
}

impl<E: Element> fmt::Debug for Table<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("len", &self.len).finish_non_exhaustive()
    }
}

impl<E: Element> Table<E> {
    /// An empty table, which allocates nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many bits of a hash the directory uses.
    #[inline]
    fn bits(&self) -> u32 {
        self.directory.slots().len().trailing_zeros()
    }

    /// The slot whose segment this hash belongs to.
    #[inline]
    fn slot_of(&self, hash: u64) -> usize {
        // In two steps, as a directory of one slot uses no bits and 64 are too many to shift by.
        self.holder((hash >> 1 >> (u64::BITS - 1 - self.bits())) as usize)
    }

    /// The slot that holds the segment of this slot.
    #[inline]
    fn holder(&self, mut slot: usize) -> usize {
        let slots = self.directory.slots();
        while slots[slot].is_none() {
            slot &= slot - 1;
        }
        slot
    }

    #[inline]
    fn segment(&self, holder: usize) -> &Segment<E> {
        self.directory.slots()[holder].as_ref().expect("a slot that holds a segment")
    }

    #[inline]
    fn segment_mut(&mut self, holder: usize) -> &mut Segment<E> {
        self.directory.slots_mut()[holder].as_mut().expect("a slot that holds a segment")
    }

    /// How many slots share a segment of this depth.
    #[inline]
    fn width(&self, depth: u8) -> usize {
        self.directory.slots().len() >> depth
    }

    /// Where the element is: the slot that holds its segment, and the place therein.
    #[inline]
    fn find(&self, hash: u64, key: &[u8]) -> Option<(usize, usize)> {
        if self.len == 0 {
            return None;
        }
        let holder = self.slot_of(hash);
        let segment = self.segment(holder);
        let elements = segment.elements();
        memchr::memchr_iter(tag(hash), segment.tags())
            .find(|&at| elements[at].key() == key)
            .map(|at| (holder, at))
    }

    /// Asks the processor for memory on the way to the element with this key. The steps before have to be done, and
    /// what they asked for should have arrived.
    pub fn prefetch(&self, key: &[u8], step: Step) {
        if self.len == 0 {
            return;
        }
        if step > Step::Element {
            return;
        }
        let hash = hash(key);
        let segment = self.segment(self.slot_of(hash));
        if step == Step::Segment {
            return segment.prefetch();
        }
        let Some(at) = memchr::memchr(tag(hash), segment.tags()) else { return };
        let element = &segment.elements()[at];
        prefetch(if step == Step::Place { std::ptr::from_ref(element).cast() } else { element.address() });
    }

    /// The element with this key.
    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<&E> {
        let (holder, at) = self.find(hash(key), key)?;
        Some(&self.segment(holder).elements()[at])
    }

    /// The element with this key, to be changed; its key has to stay the same.
    #[inline]
    pub fn get_mut(&mut self, key: &[u8]) -> Option<&mut E> {
        let (holder, at) = self.find(hash(key), key)?;
        Some(&mut self.segment_mut(holder).elements_mut()[at])
    }

    /// Adds an element; returns the one that had the same key and is now replaced.
    pub fn insert(&mut self, element: E) -> Option<E> {
        let hash = hash(element.key());
        if let Some((holder, at)) = self.find(hash, element.key()) {
            return Some(std::mem::replace(&mut self.segment_mut(holder).elements_mut()[at], element));
        }
        self.add(hash, element);
        None
    }

    /// Adds the element that `make` makes for this key, unless there is one; false if there is.
    pub fn insert_new(&mut self, key: &[u8], make: impl FnOnce() -> E) -> bool {
        let hash = hash(key);
        if self.find(hash, key).is_some() {
            return false;
        }
        self.add(hash, make());
        true
    }

    /// Adds an element whose key is not there.
    fn add(&mut self, hash: u64, element: E) {
        if self.len == 0 {
            self.directory = Directory::One(Some(Segment::with_room(1, 0)));
            self.deepest = 1;
        }
        let mut holder = self.slot_of(hash);
        while self.segment(holder).len() >= MAX_SEGMENT && self.split(holder) {
            holder = self.slot_of(hash);
        }
        let segment = self.segment_mut(holder);
        segment.push(tag(hash), element);
        let len = segment.len() as u32;
        self.longest = self.longest.max(len);
        self.len += 1;
    }

    /// Splits a segment by the next bit of the hash. False if the directory must not grow for that.
    fn split(&mut self, mut holder: usize) -> bool {
        let depth = self.segment(holder).depth();
        if self.width(depth) == 1 {
            if self.directory.slots().len() * MIN_ELEMENTS_PER_SLOT > self.len {
                return false;
            }
            self.double();
            holder *= 2;
        }
        let half = self.width(depth) / 2;
        let slots = self.directory.slots_mut();
        let mut old = slots[holder].take().expect("a slot that holds a segment");
        let bit = 1_u64 << (u64::BITS - 1 - u32::from(depth));
        let goes_up: Vec<bool> = old.elements().iter().map(|e| hash(e.key()) & bit != 0).collect();
        let up = goes_up.iter().filter(|up| **up).count();
        let room =
            |len: usize| if depth + 1 < FULL_ROOM_FROM_DEPTH { len + 1 } else { MAX_SEGMENT.max(len + 1) };
        let mut lower = Segment::with_room(room(old.len() - up), depth + 1);
        let mut upper = Segment::with_room(room(up), depth + 1);
        for up in goes_up.into_iter().rev() {
            let (tag, element) = old.pop().expect("as many as were looked at");
            if up { &mut upper } else { &mut lower }.push(tag, element);
        }
        slots[holder] = Some(lower);
        slots[holder + half] = Some(upper);
        if half == 1 {
            self.deepest += 2;
        }
        true
    }

    /// Gives the directory one bit more, which nobody uses yet.
    fn double(&mut self) {
        let slots = self.directory.take_slots();
        let mut doubled = Vec::with_capacity(slots.len() * 2);
        doubled.extend(slots.into_iter().flat_map(|slot| [slot, None]));
        self.directory = Directory::of(doubled);
        self.deepest = 0;
    }

    /// Takes the directory's last bits away, as long as nobody uses them.
    fn halve(&mut self) {
        while self.deepest == 0 && self.directory.slots().len() > 1 {
            self.directory = Directory::of(self.directory.take_slots().into_iter().step_by(2).collect());
            let depth = self.bits() as u8;
            let segments = self.directory.slots().iter().flatten();
            self.deepest = segments.filter(|s| s.depth() == depth).count() as u32;
        }
    }

    /// Makes one of this segment and the one it was split from, if they are sparse. Returns the slot that holds
    /// it then.
    fn merge(&mut self, holder: usize) -> Option<usize> {
        let depth = self.segment(holder).depth();
        let width = self.width(depth);
        if depth == 0 {
            return None;
        }
        let (lower, upper) = (holder & !width, holder | width);
        let other = self.directory.slots()[holder ^ width].as_ref()?;
        if other.depth() != depth || other.len() + self.segment(holder).len() > MERGE_AT {
            return None;
        }
        let mut from = self.directory.slots_mut()[upper].take()?;
        let to = self.segment_mut(lower);
        while let Some((tag, element)) = from.pop() {
            to.push(tag, element);
        }
        to.set_depth(depth - 1);
        if width == 1 {
            self.deepest -= 2;
        }
        Some(lower)
    }

    /// Gives memory back after elements of this segment were removed.
    fn tidy(&mut self, mut holder: usize) {
        if self.len == 0 {
            *self = Table::default();
            return;
        }
        if self.segment(holder).len() > MERGE_AT {
            return;
        }
        while let Some(merged) = self.merge(holder) {
            holder = merged;
        }
        self.segment_mut(holder).shrink();
        self.halve();
    }

    /// Takes the element with this key out.
    pub fn remove(&mut self, key: &[u8]) -> Option<E> {
        let (holder, at) = self.find(hash(key), key)?;
        Some(self.take(holder, at))
    }

    fn take(&mut self, holder: usize, at: usize) -> E {
        let element = self.segment_mut(holder).swap_remove(at);
        self.len -= 1;
        self.tidy(holder);
        element
    }

    /// All elements, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &E> {
        self.directory.slots().iter().flatten().flat_map(|segment| segment.elements())
    }

    /// Shows elements to `f`, those of whole segments, from this slot of the directory on (the first is 0), until
    /// it says that it has enough. Returns the slot to go on with, if there is more; it means the same as long as
    /// the table is not changed.
    pub fn walk(&self, slot: usize, mut f: impl FnMut(&[E]) -> bool) -> Option<usize> {
        let slots = self.directory.slots();
        let mut next = slot;
        while let Some(slot) = slots.get(next) {
            next += 1;
            if let Some(segment) = slot
                && f(segment.elements())
            {
                break;
            }
        }
        (next < slots.len()).then_some(next)
    }

    /// Keeps only the elements that `f` says true for. It may change them, but not their keys.
    pub fn retain(&mut self, mut f: impl FnMut(&mut E) -> bool) {
        for segment in self.directory.slots_mut().iter_mut().flatten() {
            let mut at = 0;
            while at < segment.len() {
                if f(&mut segment.elements_mut()[at]) {
                    at += 1;
                } else {
                    drop(segment.swap_remove(at));
                    self.len -= 1;
                }
            }
            segment.shrink();
        }
        if self.len == 0 {
            *self = Table::default();
            return;
        }
        for slot in 0..self.directory.slots().len() {
            let mut holder = slot;
            while self.directory.slots()[holder].is_some()
                && let Some(merged) = self.merge(holder)
            {
                holder = merged;
            }
        }
        self.halve();
    }

    /// An element, each with the same probability.
    pub fn random(&self, rng: &mut impl Rng) -> Option<&E> {
        let (holder, at) = self.pick(rng)?;
        Some(&self.segment(holder).elements()[at])
    }

    /// Takes an element out, each with the same probability.
    pub fn take_random(&mut self, rng: &mut impl Rng) -> Option<E> {
        let (holder, at) = self.pick(rng)?;
        Some(self.take(holder, at))
    }

    /// The place of an element picked at random.
    fn pick(&self, rng: &mut impl Rng) -> Option<(usize, usize)> {
        if self.len == 0 {
            return None;
        }
        for _ in 0..RANDOM_TRIES {
            // All slots are thought to have as many places as the longest segment ever had; a segment that
            // has several slots has its elements in the first of them.
            let holder = self.holder(rng.random_range(0..self.directory.slots().len()));
            let segment = self.segment(holder);
            let at = rng.random_range(0..self.longest as usize * self.width(segment.depth()));
            if at < segment.len() {
                return Some((holder, at));
            }
        }
        let mut rank = rng.random_range(0..self.len);
        for (holder, segment) in self.directory.slots().iter().enumerate() {
            let len = segment.as_ref().map_or(0, Segment::len);
            if rank < len {
                return Some((holder, rank));
            }
            rank -= len;
        }
        None
    }

    /// A step of a walk: visits at least `count` elements from `cursor` on, or all up to the end, and returns
    /// the cursor to go on with. 0 is the start, and as a result the end; cursors are below 2^48.
    pub fn scan(&self, mut cursor: u64, count: usize, mut f: impl FnMut(&E)) -> u64 {
        let mut left = count.max(1);
        let mut found: Vec<(u64, usize)> = Vec::new();
        while cursor < 1 << CURSOR_BITS && self.len > 0 {
            let holder = self.slot_of(cursor << (u64::BITS - CURSOR_BITS));
            let segment = self.segment(holder);
            let elements = segment.elements();
            found.clear();
            let positions = elements.iter().map(|element| position(hash(element.key())));
            found.extend(positions.zip(0..).filter(|(position, _)| *position >= cursor));
            if left < found.len() {
                let (_, (last, _), _) = found.select_nth_unstable(left - 1);
                let last = *last;
                let seen = found.iter().filter(|(position, _)| *position <= last);
                if seen.clone().count() < found.len() {
                    seen.for_each(|(_, at)| f(&elements[*at]));
                    return last + 1;
                }
            }
            found.iter().for_each(|(_, at)| f(&elements[*at]));
            let next_slot = (holder + self.width(segment.depth())) as u64;
            cursor = next_slot << (CURSOR_BITS - self.bits());
            left = left.saturating_sub(found.len());
            if left == 0 {
                break;
            }
        }
        if cursor < 1 << CURSOR_BITS && self.len > 0 { cursor } else { 0 }
    }

    /// Bytes allocated for the table and its elements, as asked of the allocator: exact for small tables,
    /// estimated from some hundred elements for large ones.
    pub fn heap_bytes(&self) -> usize {
        let directory = match &self.directory {
            Directory::One(_) => 0,
            Directory::Many(slots) => size_of_val::<[_]>(slots),
        };
        let (mut seen, mut bytes) = (0, 0);
        for segment in self.directory.slots().iter().flatten() {
            seen += segment.len();
            bytes += segment.allocated_bytes();
            bytes += segment.elements().iter().map(Element::heap_bytes).sum::<usize>();
            if seen >= SAMPLE_ELEMENTS {
                break;
            }
        }
        if seen == 0 {
            return directory;
        }
        directory + (bytes as u128 * self.len as u128 / seen as u128) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use std::collections::{BTreeSet, HashMap};

    /// A key and a value, behind one pointer.
    #[derive(Clone, Debug, PartialEq)]
    struct Pair(Box<(Vec<u8>, u64)>);

    impl Element for Pair {
        fn key(&self) -> &[u8] {
            &self.0.0
        }

        fn heap_bytes(&self) -> usize {
            size_of::<(Vec<u8>, u64)>() + self.0.0.capacity()
        }
    }

    fn pair(n: u64, value: u64) -> Pair {
        Pair(Box::new((n.to_string().into_bytes(), value)))
    }

    fn filled(count: u64) -> Table<Pair> {
        let mut table = Table::new();
        (0..count).for_each(|n| assert!(table.insert(pair(n, n)).is_none()));
        table
    }

    impl Table<Pair> {
        /// Checks what must always be true.
        fn check(&self) {
            let slots = self.directory.slots();
            assert!(slots.len().is_power_of_two() && (slots[0].is_some() || self.len == 0));
            let (mut slot, mut len, mut deepest) = (0, 0, 0);
            while slot < slots.len() && self.len > 0 {
                let segment = self.segment(slot);
                let width = self.width(segment.depth());
                assert!(slot.is_multiple_of(width));
                assert!(slots[slot + 1..slot + width].iter().all(Option::is_none));
                for (element, &tag) in segment.elements().iter().zip(segment.tags()) {
                    let hash = hash(element.key());
                    assert_eq!((self.slot_of(hash), super::tag(hash)), (slot, tag));
                }
                assert!(segment.len() <= self.longest as usize);
                deepest += (width == 1) as u32;
                len += segment.len();
                slot += width;
            }
            assert_eq!((len, deepest), (self.len, self.deepest));
        }
    }

    #[test]
    fn is_small() {
        assert_eq!(size_of::<Table<Pair>>(), 32);
    }

    #[test]
    fn grows_and_shrinks_in_bounds() {
        const COUNT: u64 = 100_000;
        let mut table = filled(COUNT);
        table.check();
        assert!(table.longest as usize == MAX_SEGMENT, "no segment overflows");
        assert!(
            table.directory.slots().len() < COUNT as usize / 20,
            "{} slots",
            table.directory.slots().len()
        );
        let own = table.heap_bytes() - COUNT as usize * table.iter().next().unwrap().heap_bytes();
        assert!((9..14).contains(&(own / COUNT as usize)), "{own} bytes beside the elements");
        assert_eq!(table.clone().len(), COUNT as usize);
        for n in 0..COUNT {
            assert_eq!(table.remove(n.to_string().as_bytes()), Some(pair(n, n)));
            if n % 10_000 == 9_990 {
                table.check();
            }
            if n == COUNT - 100 {
                assert!(table.directory.slots().len() < 64, "{} slots", table.directory.slots().len());
            }
        }
        assert!(table.is_empty() && table.heap_bytes() == 0);
    }

    #[test]
    fn picks_are_uniform() {
        let mut rng = StdRng::seed_from_u64(7);
        for count in [1, 3, 200, 1000] {
            let table = filled(count);
            let picks = count * 200;
            let mut seen: HashMap<&[u8], u64> = HashMap::new();
            for _ in 0..picks {
                *seen.entry(table.random(&mut rng).unwrap().key()).or_default() += 1;
            }
            let expected = picks as f64 / count as f64;
            let off = |seen: u64| (seen as f64 - expected).powi(2) / expected;
            let unseen = (count - seen.len() as u64) as f64 * expected;
            let chi_square = unseen + seen.values().map(|seen| off(*seen)).sum::<f64>();
            // Mean and five standard deviations of the distribution.
            let freedom = (count - 1) as f64;
            assert!(chi_square <= freedom + 5.0 * (2.0 * freedom).sqrt(), "{count}: {chi_square}");
        }
        assert!(Table::<Pair>::new().random(&mut rng).is_none());
    }

    #[test]
    fn random_elements_are_taken_until_none_is_left() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut table = filled(3000);
        let mut taken = BTreeSet::new();
        while let Some(element) = table.take_random(&mut rng) {
            assert!(taken.insert(element.0.1));
        }
        assert_eq!(taken.len(), 3000);
    }

    #[test]
    fn a_walk_sees_whoever_stays() {
        for (before, change) in [(10, 5000), (5000, -4900), (300, 300), (40_000, -39_000), (2000, 0)] {
            for count in [1, 10, 777] {
                let mut table = filled(before);
                let stays = before.saturating_add_signed(change.min(0));
                let (mut seen, mut cursor, mut steps, mut visits) = (BTreeSet::new(), 0, 0, 0_u64);
                loop {
                    let mut found = 0;
                    cursor = table.scan(cursor, count, |element| {
                        seen.insert(element.0.1);
                        found += 1;
                    });
                    visits += found as u64;
                    assert!(cursor < 1 << 48 && (found >= count || cursor == 0));
                    if cursor == 0 {
                        break;
                    }
                    steps += 1;
                    // The whole change is done by the tenth step.
                    let done = |steps: u64| before.saturating_add_signed(change / 10 * steps.min(10) as i64);
                    for n in done(steps - 1)..done(steps) {
                        table.insert(pair(n, n));
                    }
                    for n in done(steps)..done(steps - 1) {
                        table.remove(n.to_string().as_bytes());
                    }
                }
                assert!((0..stays).all(|n| seen.contains(&n)), "{before} {change} {count}");
                assert_eq!(visits, seen.len() as u64, "nobody is seen twice");
            }
        }
        assert_eq!(Table::<Pair>::new().scan(0, 10, |_| unreachable!()), 0);
        assert_eq!(filled(10).scan(u64::MAX, 10, |_| unreachable!()), 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn agrees_with_a_hash_map(
            steps in proptest::collection::vec((0_u8..10, 0_u64..3000, any::<u64>()), 1..60),
        ) {
            let (mut table, mut model) = (Table::new(), HashMap::<u64, u64>::new());
            for (step, n, value) in steps {
                let key = n.to_string();
                match step {
                    0 | 1 => prop_assert_eq!(
                        table.insert(pair(n, value)), model.insert(n, value).map(|old| pair(n, old))),
                    2 => prop_assert_eq!(
                        table.remove(key.as_bytes()), model.remove(&n).map(|old| pair(n, old))),
                    3 => if let Some(element) = table.get_mut(key.as_bytes()) {
                        element.0.1 = value;
                        prop_assert!(model.insert(n, value).is_some());
                    },
                    // Many at once, so that segments split and merge.
                    4..7 => for n in n..n + value % 1000 {
                        prop_assert_eq!(
                            table.insert(pair(n, value)).map(|old| old.0.1), model.insert(n, value));
                    },
                    7 => for n in n..n + value % 3000 {
                        prop_assert_eq!(
                            table.remove(n.to_string().as_bytes()).map(|old| old.0.1), model.remove(&n));
                    },
                    8 => {
                        table.retain(|element| !element.0.1.is_multiple_of(value % 5 + 1));
                        model.retain(|_, other| !other.is_multiple_of(value % 5 + 1));
                    }
                    _ => table = table.clone(),
                }
                table.check();
                prop_assert_eq!(table.len(), model.len());
                prop_assert_eq!(
                    table.get(key.as_bytes()).map(|element| element.0.1), model.get(&n).copied());
            }
            let all: HashMap<u64, u64> =
                table.iter().map(|e| (String::from_utf8_lossy(e.key()).parse().unwrap(), e.0.1)).collect();
            prop_assert_eq!(all, model);
        }
    }
}
