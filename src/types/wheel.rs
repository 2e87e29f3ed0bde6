//! A hierarchical timing wheel: what is due when, at a cost of about five bytes an item.
//!
//! After Varghese and Lauck, "Hashed and Hierarchical Timing Wheels" (1987). Time moves in ticks of one
//! millisecond. Level 0 has a slot for each of the 64 ticks around now, level 1 one for each 64 ticks around
//! those, and so on up to level 6, whose slots last 2.2 years each. An item is put into the slot of the lowest
//! level that tells its deadline from now, so filing is a shift and a push, and finding what comes next is a look
//! at one bitmap per level.
//!
//! Departures from the paper, all for memory:
//!
//! * An item is a bare `u32` (its owner's key hash, say); from level 3 on, for deadlines more than four minutes
//!   away, that is all that is kept, because the owner has the deadline anyway. The wheel therefore cannot sort a
//!   slot of such a level into lower ones by itself. When the time of the slot begins, its items are handed out
//!   like due ones, and the owner either finds the deadline passed or files the item again, now into a lower
//!   level. So every item handed out means only "look at me", and an owner who postpones a deadline need not
//!   tell the wheel: it sees the item at the old time and files it again. On levels 1 and 2 the deadline stands
//!   beside the item, four bytes for a few minutes, and spares the owner two looks at the end.
//! * Nothing can be taken out. The owner of a removed item is asked to look in vain; if many were removed, it
//!   takes all with [`Wheel::drain_all`] and files those it still has.
//! * Equal items within one slot are handed out once. Hashes that collide do no harm, they are one look.
//! * Slots grow by a quarter, not to the double, and a level is allocated while it has items. An empty wheel
//!   owns nothing.
//!
//! Deadlines beyond the last level's reach go to its farthest slot and are filed again from there.

/// Levels of 64 slots; seven reach 139 years.
const LEVELS: usize = 7;
const TOP: usize = LEVELS - 1;
const SLOTS: usize = 64;
const SLOT_BITS: u32 = SLOTS.trailing_zeros();
/// The levels below this one know the deadlines of their items: level 0 by the slot, the others item by item.
const FIRST_BARE: usize = 3;
/// Ticks of one slot of the top level, as a shift.
const TOP_SHIFT: u32 = SLOT_BITS * TOP as u32;

/// Clocks that show more are wrong; capping them there keeps the arithmetic from overflowing.
const MAX_NOW_MS: u64 = 1 << 60;

/// How far a clock may go back without anything being done about it. Readers of one clock whose readings reach
/// the wheel in the wrong order stay below this; a clock that was set does not.
pub const CLOCK_JITTER_MS: u64 = 1000;

/// The words of one slot: its items, each followed by the low bits of its deadline where the level has those. The
/// first word counts those that follow, the rest is room to grow: that makes the header of an empty slot 16 bytes
/// where a `Vec` has 24.
#[derive(Default)]
struct Slot(Box<[u32]>);

impl Slot {
    /// Words of a first allocation, and the multiple all others are rounded up to: 16 bytes, the grain of the
    /// allocator's size classes.
    const GRAIN: usize = 4;

    fn push<const N: usize>(&mut self, item: [u32; N]) {
        let first = self.0.first().map_or(0, |&count| count as usize) + 1;
        if first + N > self.0.len() {
            let mut words = Vec::from(std::mem::take(&mut self.0));
            let target = (words.len() + (words.len() / 4).max(Self::GRAIN)).next_multiple_of(Self::GRAIN);
            words.reserve_exact(target - words.len());
            words.resize(target, 0);
            self.0 = words.into_boxed_slice();
        }
        self.0[first..first + N].copy_from_slice(&item);
        self.0[0] = (first + N - 1) as u32;
    }

    /// Empties the slot; its memory goes along with the words, without the count.
    fn take(&mut self) -> Vec<u32> {
        let mut words = Vec::from(std::mem::take(&mut self.0));
        if let Some(&count) = words.first() {
            words.truncate(count as usize + 1);
            words.remove(0);
        }
        words
    }
}

/// What a wheel that has items owns.
#[derive(Default)]
struct Slots {
    /// Bit `i` of a level: whether its slot `i` has items.
    occupied: [u64; LEVELS],
    levels: [Option<Box<[Slot; SLOTS]>>; LEVELS],
    /// The slot being handed out, sorted and without duplicates; taken from the end. Its time is `now`.
    draining: Vec<u32>,
    /// The slot whose items, each with its deadline behind it, are on their way to lower levels; taken from the
    /// end. Its time is `now`.
    falling: Vec<u32>,
}

/// Whether the items of a level have their deadlines with them.
fn has_deadlines(level: usize) -> bool {
    level > 0 && level < FIRST_BARE
}

impl Slots {
    /// The occupied slot whose time begins first: level, index and that time.
    ///
    /// Slots of a level below the top share all time bits above the level with `now` and come after it (one of
    /// level 0 may be that of `now`), and with them come before any slot of a higher level; so the lowest level
    /// that has any is the one.
    fn next(&self, now: u64) -> Option<(usize, usize, u64)> {
        let level = self.occupied.iter().position(|&bits| bits != 0)?;
        let shift = SLOT_BITS * level as u32;
        let current = now >> shift;
        let bits = self.occupied[level];
        let start = if level == TOP {
            // The top level is a circle: look from the slot after the current one.
            let ahead = 1 + bits.rotate_right((current + 1) as u32 % SLOTS as u32).trailing_zeros();
            current + u64::from(ahead)
        } else {
            current & !(SLOTS as u64 - 1) | u64::from(bits.trailing_zeros())
        };
        Some((level, start as usize % SLOTS, start << shift))
    }

    /// Puts an item that is due at `deadline`, which is not before `now`, into its slot.
    fn put(&mut self, now: u64, item: u32, deadline: u64) {
        // The highest bit in which they differ says which level tells them apart.
        let level = (deadline ^ now).checked_ilog2().unwrap_or(0) / SLOT_BITS;
        let (level, slot) = if level < TOP as u32 {
            (level as usize, (deadline >> (SLOT_BITS * level)) as usize % SLOTS)
        } else {
            let current = now >> TOP_SHIFT;
            let ahead = ((deadline >> TOP_SHIFT) - current).min(SLOTS as u64 - 1);
            (TOP, (current + ahead) as usize % SLOTS)
        };
        self.occupied[level] |= 1 << slot;
        let slots =
            self.levels[level].get_or_insert_with(|| Box::new(std::array::from_fn(|_| Slot::default())));
        if has_deadlines(level) {
            slots[slot].push([item, deadline as u32]);
        } else {
            slots[slot].push([item]);
        }
    }

    /// Moves up to `limit` items to lower levels, and returns how many.
    fn fall(&mut self, now: u64, limit: usize) -> usize {
        let from = self.falling.len().saturating_sub(limit.saturating_mul(2));
        let mut falling = std::mem::take(&mut self.falling);
        for pair in falling[from..].chunks_exact(2) {
            // The slot's time and the deadline are less than 2^32 apart.
            let ahead = pair[1].wrapping_sub(now as u32);
            self.put(now, pair[0], now + u64::from(ahead));
        }
        let moved = (falling.len() - from) / 2;
        falling.truncate(from);
        if from > 0 {
            self.falling = falling;
        }
        moved
    }

    /// The words of a slot, which is empty then.
    fn take(&mut self, level: usize, slot: usize) -> Vec<u32> {
        let items = self.levels[level].as_mut().map_or_else(Vec::new, |slots| slots[slot].take());
        self.occupied[level] &= !(1 << slot);
        if self.occupied[level] == 0 {
            self.levels[level] = None;
        }
        items
    }
}

/// See the [module](self).
pub struct Wheel {
    /// The last tick that was handed out, in ms; every item is filed after it.
    now: u64,
    len: usize,
    slots: Option<Box<Slots>>,
}

impl Wheel {
    /// An empty wheel at `now_ms` of any clock; deadlines are times of the same clock.
    pub fn new(now_ms: u64) -> Wheel {
        Wheel { now: now_ms.min(MAX_NOW_MS), len: 0, slots: None }
    }

    /// Items held, counting every time one was filed.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Has `item` handed out at `deadline_ms`, and possibly a few times before; a deadline that has passed
    /// means the next tick.
    pub fn file(&mut self, item: u32, deadline_ms: u64) {
        let now = self.now;
        let deadline = deadline_ms.max(now + 1);
        self.slots.get_or_insert_default().put(now, item, deadline);
        self.len += 1;
    }

    /// When [`advance`](Self::advance) will next have something to hand out; in the past if it has now.
    pub fn next_due(&self) -> Option<u64> {
        let slots = self.slots.as_ref()?;
        if slots.draining.is_empty() && slots.falling.is_empty() {
            slots.next(self.now).map(|(_, _, start)| start)
        } else {
            Some(self.now)
        }
    }

    /// Moves time on to `now_ms` and appends what the owner should look at to `due`, in the order of their slots'
    /// times: at most `limit` items, those counted in that only moved within the wheel. Returns whether there is more at this time; call again for it.
    ///
    /// The owner looks up each item and, if its deadline is still to come, files it again. It may do so at any
    /// time before or after the next call.
    ///
    /// Time may jump ahead by any amount. If the clock is found to have been set back, everything is handed out
    /// in turn, to be filed anew by the new clock. For that to be noticed early, call this now and then even if
    /// [`next_due`](Self::next_due) is far away.
    pub fn advance(&mut self, now_ms: u64, due: &mut Vec<u32>, limit: usize) -> bool {
        let now_ms = now_ms.min(MAX_NOW_MS);
        if now_ms + CLOCK_JITTER_MS < self.now {
            let draining = self.drain_all();
            self.now = now_ms;
            if !draining.is_empty() {
                self.len = draining.len();
                self.slots = Some(Box::new(Slots { draining, ..Slots::default() }));
            }
        }
        if let Some(slots) = &mut self.slots {
            let mut room = limit;
            loop {
                let kept = slots.draining.len().saturating_sub(room);
                room -= slots.draining.len() - kept;
                self.len -= slots.draining.len() - kept;
                due.extend(slots.draining.drain(kept..));
                if kept > 0 {
                    return true;
                }
                slots.draining = Vec::new();
                room -= slots.fall(self.now, room);
                if !slots.falling.is_empty() {
                    return true;
                }
                let Some((level, slot, start)) = slots.next(self.now).filter(|next| next.2 <= now_ms) else {
                    break;
                };
                if room == 0 {
                    return true;
                }
                self.now = start;
                let mut items = slots.take(level, slot);
                if has_deadlines(level) {
                    slots.falling = items;
                } else {
                    let filed = items.len();
                    items.sort_unstable();
                    items.dedup();
                    self.len -= filed - items.len();
                    slots.draining = items;
                }
            }
        }
        if self.len == 0 {
            self.slots = None;
        }
        self.now = self.now.max(now_ms);
        false
    }

    /// Forgets all items; time stays.
    pub fn clear(&mut self) {
        self.slots = None;
        self.len = 0;
    }

    /// Takes all items out, sorted and each once.
    pub fn drain_all(&mut self) -> Vec<u32> {
        let mut all = Vec::with_capacity(self.len);
        if let Some(mut slots) = self.slots.take() {
            all.append(&mut slots.draining);
            all.extend(slots.falling.iter().step_by(2));
            for (number, level) in slots.levels.iter_mut().enumerate() {
                let words = 1 + usize::from(has_deadlines(number));
                for slot in level.iter_mut().flat_map(|level| level.iter_mut()) {
                    all.extend(slot.take().iter().step_by(words));
                }
            }
        }
        self.len = 0;
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Bytes allocated, as asked of the allocator.
    pub fn heap_bytes(&self) -> usize {
        let Some(slots) = &self.slots else { return 0 };
        let words: usize =
            slots.levels.iter().flatten().flat_map(|level| level.iter()).map(|slot| slot.0.len()).sum();
        size_of::<Slots>()
            + slots.levels.iter().flatten().count() * size_of::<[Slot; SLOTS]>()
            + (words + slots.draining.capacity() + slots.falling.capacity()) * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const HOUR_MS: u64 = 3_600_000;

    fn advance(wheel: &mut Wheel, now: u64) -> Vec<u32> {
        let mut due = Vec::new();
        assert!(!wheel.advance(now, &mut due, usize::MAX));
        due
    }

    #[test]
    fn a_level_goes_with_its_last_item() {
        let mut wheel = Wheel::new(0);
        wheel.file(1, 30 * 24 * HOUR_MS);
        let before = wheel.heap_bytes();
        for item in 0..1000 {
            wheel.file(item, 5_000 + u64::from(item));
        }
        assert!(wheel.heap_bytes() > before);
        assert!(wheel.advance(7_000, &mut Vec::new(), 1));
        while wheel.len() > 1 {
            advance(&mut wheel, 7_000);
        }
        assert_eq!(wheel.heap_bytes(), before);
    }

    #[test]
    fn sizes_are_as_designed() {
        assert_eq!(size_of::<Slot>(), 16);
        assert_eq!(size_of::<Wheel>(), 24);
        assert_eq!(Wheel::new(0).heap_bytes(), 0);
    }

    #[test]
    fn an_item_comes_out_at_its_tick() {
        let mut wheel = Wheel::new(1000);
        wheel.file(7, 1010);
        wheel.file(8, 1005);
        wheel.file(9, 3);
        assert_eq!(wheel.len(), 3);
        assert_eq!(wheel.next_due(), Some(1001));
        assert_eq!(advance(&mut wheel, 1001), [9]);
        assert_eq!(wheel.next_due(), Some(1005));
        assert!(advance(&mut wheel, 1004).is_empty());
        assert_eq!(advance(&mut wheel, 1100), [8, 7]);
        assert_eq!(wheel.next_due(), None);
        assert_eq!(wheel.heap_bytes(), 0);
    }

    #[test]
    fn duplicates_in_a_slot_are_one() {
        let mut wheel = Wheel::new(0);
        for _ in 0..10 {
            wheel.file(1, 5);
            wheel.file(2, 5);
        }
        assert_eq!(wheel.len(), 20);
        let mut due = Vec::new();
        assert!(wheel.advance(5, &mut due, 1));
        assert_eq!(wheel.len(), 1);
        assert!(!wheel.advance(5, &mut due, 1));
        due.sort_unstable();
        assert_eq!((due, wheel.len()), (vec![1, 2], 0));
    }

    #[test]
    fn a_slot_handed_out_in_part_resumes() {
        let mut wheel = Wheel::new(0);
        (0..100).for_each(|item| wheel.file(item, 10));
        (100..150).for_each(|item| wheel.file(item, 20));
        let mut due = Vec::new();
        assert!(wheel.advance(15, &mut due, 30));
        assert_eq!((due.len(), wheel.len(), wheel.next_due()), (30, 120, Some(10)));
        // Filing while a slot is being handed out, also for the past.
        wheel.file(200, 1);
        assert!(wheel.advance(15, &mut due, 70));
        assert_eq!(due.len(), 100);
        assert!(!wheel.advance(15, &mut due, 70));
        assert_eq!(due.pop(), Some(200));
        due.sort_unstable();
        assert_eq!(due, (0..100).collect::<Vec<_>>());
        assert_eq!(advance(&mut wheel, 20).len(), 50);
        assert!(!wheel.advance(20, &mut due, 0));
    }

    #[test]
    fn deadlines_beyond_the_reach_are_filed_again() {
        let mut wheel = Wheel::new(5);
        wheel.file(1, u64::MAX);
        let mut seen = 0;
        for _ in 0..3 {
            let next = wheel.next_due().unwrap();
            assert_eq!(advance(&mut wheel, next), [1]);
            wheel.file(1, u64::MAX);
            seen += 1;
            // 63 slots of the top level at a time.
            assert_eq!(next, (63 * seen) << TOP_SHIFT);
        }
        // The end of what a clock may show.
        assert_eq!(advance(&mut wheel, u64::MAX), [1]);
        wheel.file(1, u64::MAX);
        assert_eq!(wheel.next_due(), Some(MAX_NOW_MS + (63 << TOP_SHIFT)));
    }

    #[test]
    fn a_clock_set_back_has_all_items_filed_again() {
        let mut wheel = Wheel::new(10 * HOUR_MS);
        wheel.file(1, 10 * HOUR_MS + 50);
        wheel.file(2, 20 * HOUR_MS);
        assert!(advance(&mut wheel, 10 * HOUR_MS - 10).is_empty());
        assert_eq!(wheel.len(), 2);
        let mut due = Vec::new();
        assert!(wheel.advance(5 * HOUR_MS, &mut due, 1));
        assert_eq!(wheel.next_due(), Some(5 * HOUR_MS));
        assert!(!wheel.advance(5 * HOUR_MS, &mut due, 1));
        due.sort_unstable();
        assert_eq!(due, [1, 2]);
        wheel.file(1, 5 * HOUR_MS + 7);
        assert_eq!(wheel.next_due(), Some(5 * HOUR_MS + 7));
    }

    #[test]
    fn everything_can_be_taken_out() {
        let mut wheel = Wheel::new(0);
        for item in [5, 3, 5, 9] {
            wheel.file(item, 1 << (4 * item));
        }
        let mut due = Vec::new();
        wheel.file(1, 1);
        wheel.file(2, 1);
        assert!(wheel.advance(1, &mut due, 1));
        assert_eq!(due, [2]);
        assert_eq!(wheel.drain_all(), [1, 3, 5, 9]);
        assert_eq!((wheel.len(), wheel.heap_bytes(), wheel.next_due()), (0, 0, None));
        wheel.file(1, 100);
        wheel.clear();
        assert_eq!((wheel.len(), wheel.next_due()), (0, None));
    }

    #[test]
    fn memory_per_item_is_small() {
        let mut wheel = Wheel::new(0);
        // An hour of deadlines: 14 slots of level 3.
        (0..100_000u32).for_each(|item| wheel.file(item, u64::from(item) * HOUR_MS / 100_000));
        let bytes = wheel.heap_bytes() as f64 / 100_000.0;
        assert!(bytes < 5.2, "{bytes} bytes an item");
    }

    /// The owner: true deadlines in the obvious structure, and the wheel that shall be equivalent to it.
    struct Owner {
        wheel: Wheel,
        deadlines: BTreeMap<u32, u64>,
    }

    impl Owner {
        fn file(&mut self, item: u32, deadline: u64) {
            // A key has one live entry: a second one would only be a look in vain.
            self.deadlines.insert(item, deadline);
            self.wheel.file(item, deadline);
        }

        /// Looks at what is due and files again what is not; returns what expired.
        fn run(&mut self, now: u64, limit: usize) -> Vec<(u32, u64)> {
            let mut expired = Vec::new();
            loop {
                let mut due = Vec::new();
                let more = self.wheel.advance(now, &mut due, limit);
                for item in due {
                    match self.deadlines.get(&item) {
                        Some(&deadline) if deadline <= now => {
                            self.deadlines.remove(&item);
                            expired.push((item, deadline));
                        }
                        Some(&deadline) => self.wheel.file(item, deadline),
                        None => {}
                    }
                }
                if !more {
                    return expired;
                }
            }
        }
    }

    fn delays() -> impl Strategy<Value = u64> {
        prop_oneof![0..200u64, 0..100_000u64, 0..30 * 24 * HOUR_MS, 0..(1u64 << 44)]
    }

    /// Starts near the seams of the levels too.
    fn starts() -> impl Strategy<Value = u64> {
        prop_oneof![
            Just(0),
            Just((1 << 42) - 3),
            Just((1 << 36) - 1),
            1_700_000_000_000..1_800_000_000_000u64
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn nobody_is_early_late_or_lost(
            start in starts(),
            filings in prop::collection::vec((delays(), delays()), 1..60),
            limit in 1..20usize,
        ) {
            let mut owner = Owner { wheel: Wheel::new(start), deadlines: BTreeMap::new() };
            let mut now = start;
            for (item, (delay, jump)) in filings.into_iter().enumerate() {
                owner.file(item as u32, now + delay);
                now += jump;
                // Stop at every time the wheel asks for, as an owner on time would.
                while let Some(next) = owner.wheel.next_due().filter(|&next| next <= now) {
                    for (item, deadline) in owner.run(next, limit) {
                        prop_assert!(next - deadline <= 1, "{item}: {deadline} handed out at {next}");
                    }
                }
                prop_assert!(owner.run(now, limit).is_empty());
                prop_assert!(owner.deadlines.values().all(|&deadline| deadline > now || jump == 0));
                prop_assert_eq!(owner.wheel.len(), owner.deadlines.len());
            }
        }

        #[test]
        fn jumps_and_postponements_lose_nobody(
            start in starts(),
            steps in prop::collection::vec((0..30u32, delays(), prop_oneof![Just(0), 1..5000u64, delays()]), 1..80),
            limit in 1..20usize,
        ) {
            let mut owner = Owner { wheel: Wheel::new(start), deadlines: BTreeMap::new() };
            let mut now = start;
            for (item, delay, jump) in steps {
                // Filed again with another deadline each time: the old entries are looks in vain.
                owner.file(item, now + delay);
                now += jump;
                for (_, deadline) in owner.run(now, limit) {
                    prop_assert!(deadline <= now);
                }
                prop_assert!(owner.deadlines.values().all(|&deadline| deadline > now || jump == 0));
            }
            let mut left: Vec<u32> = owner.wheel.drain_all();
            left.retain(|item| owner.deadlines.contains_key(item));
            prop_assert_eq!(left, owner.deadlines.keys().copied().collect::<Vec<_>>());
        }

        #[test]
        fn clocks_going_anywhere_are_safe(times in prop::collection::vec((any::<u64>(), any::<u64>(), 0..5usize), 1..50)) {
            let mut wheel = Wheel::new(times[0].0);
            for (now, deadline, limit) in times {
                wheel.file(now as u32, deadline);
                wheel.advance(now, &mut Vec::new(), limit);
                prop_assert_eq!(wheel.is_empty(), wheel.next_due().is_none());
            }
        }
    }
}
