//! A shard: one lock, one table of entries, and beside the table what its expiry and SCAN need.
//!
//! The table and its lock are a shard of a `DashMap`; the rest (timing wheel, counts, generation) is a
//! [`Side`] that the same lock protects. All that is done to entries as members of the table (finding,
//! inserting, removing, changing deadlines) is done here, so that table, wheel and counts stay in step. Knows
//! nothing of databases, commands or clients.
//!
//! # Invariants of the `unsafe` code
//! - A `Side` is reached only through [`SharedShard`] (as `&`) and [`ExclusiveShard`] (as `&mut`), which hold
//!   the shard's lock in that mode; `Shards` is the only owner of both and pairs them by index.
//! - A bucket obtained from the table is used before the table is changed again.

use super::entry::Entry;
use super::expire::Expiry;
use super::gate::{Gates, Permit};
use super::hash::{KeyHash, KeyHasher, table_hash};
use super::snapshot::Snapshots;
use crate::types::names::Names;
use crate::types::prefetch::prefetch;
use crate::types::prefetch::{Step, Target};
use crate::types::wheel::Wheel;
use ahash::RandomState;
use crossbeam_utils::CachePadded;
use dashmap::{DashMap, RwLock, RwLockReadGuard, RwLockWriteGuard, SharedValue};
use hashbrown::raw::{Bucket, RawTable};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicI64, Ordering};

type Slot = (Entry, SharedValue<()>);
/// The table of one shard.
pub type Table = RawTable<Slot>;

/// Bytes of one bucket of a table, its control byte counted in.
pub const BUCKET_BYTES: usize = size_of::<Slot>() + 1;

/// A shard whose table has fewer entries than one in this many buckets gives memory back.
const SHRINK_BELOW_ONE_IN: usize = 8;
/// Tables of up to this many buckets are never shrunk.
const SHRINK_FROM_BUCKETS: usize = 64;
/// How many entries are prefetched ahead while a table is rebuilt.
const REBUILD_LOOKAHEAD: usize = 32;
/// Fields of one hash removed at a time: a few microseconds.
const FIELDS_PER_LOOK: usize = 32;
/// A wheel is swept when it holds more than this many items beyond twice the number of entries that have deadlines.
const WHEEL_SLACK: usize = 64;

/// What a shard keeps beside its table.
pub struct Side {
    wheel: Wheel,
    /// Entries that have a deadline, and the sum of those.
    deadlines: usize,
    deadline_sum: i128,
    /// Hashes whose fields have deadlines.
    timed_hashes: usize,
    /// Items of hashes that had more expired fields than were removed at a time, and since when there are any.
    unfinished: Vec<u32>,
    unfinished_ms: i64,
    /// Counts the times at which entries moved within the table, for SCAN.
    generation: u32,
    /// The shard's number, the same in every database.
    index: u32,
}

/// What the shards of all databases share.
pub struct Common {
    pub hasher: KeyHasher,
    pub expiry: Expiry,
    pub(super) snapshots: Snapshots,
}

/// When a shard's wheel next wants attention: Unix milliseconds, `i64::MAX` if never.
pub struct Due(AtomicI64);

/// The shards of one database.
pub struct Shards {
    map: DashMap<Entry, (), RandomState>,
    sides: Box<[CachePadded<UnsafeCell<Side>>]>,
    due: Box<[Due]>,
    gates: Gates,
    database: usize,
}

// SAFETY: the sides are reached only under the locks of their shards (see the module's head).
unsafe impl Sync for Shards {}

/// A shard locked for reading.
pub struct SharedShard<'a> {
    table: RwLockReadGuard<'a, Table>,
    side: &'a Side,
    _permit: Permit<'a>,
}

/// A shard locked for writing.
pub struct ExclusiveShard<'a> {
    table: RwLockWriteGuard<'a, Table>,
    side: &'a mut Side,
    shards: &'a Shards,
    common: &'a Common,
    _permit: Permit<'a>,
}

/// What expiry has removed.
pub enum Expired<'e> {
    Key(Entry),
    /// These fields of the hash at this key, which has others.
    Fields(Names, &'e [u8]),
    /// The last fields of a hash, and the hash itself.
    AllFields(Names, Entry),
}

/// Counts of one shard (or, added up, of a database).
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Counts {
    pub keys: usize,
    pub deadlines: usize,
    /// Sum of all deadlines, Unix milliseconds.
    pub deadline_sum: i128,
    /// Hashes whose fields have deadlines.
    pub timed_hashes: usize,
    pub buckets: usize,
}

impl Counts {
    pub fn add(&mut self, other: Counts) {
        self.keys += other.keys;
        self.deadlines += other.deadlines;
        self.deadline_sum += other.deadline_sum;
        self.timed_hashes += other.timed_hashes;
        self.buckets += other.buckets;
    }
}

impl Due {
    /// Unix milliseconds, `i64::MAX` if never.
    #[inline]
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A key expires after the millisecond of its deadline, as in Redis.
#[inline]
pub fn is_expired(deadline_ms: Option<i64>, now_ms: i64) -> bool {
    deadline_ms.is_some_and(|deadline| now_ms > deadline)
}

/// Every shard's wheel turns ahead of the clock by a time of its own, so that the wheels do not all empty a slot of
/// a higher level in the same instant. Milliseconds, below [`MAX_PHASE_MS`].
fn phase_ms(index: usize) -> u64 {
    // Multiples of an odd number are spread evenly over the slots of each level.
    (index as u64).wrapping_mul(0x9E37_79B1) % MAX_PHASE_MS
}

/// A slot of the fifth level: what lasts longer is rare enough.
const MAX_PHASE_MS: u64 = 1 << 24;

impl Shards {
    /// The shards of database number `database`.
    pub fn new(database: usize, hasher: &KeyHasher, amount: usize, now_ms: i64) -> Shards {
        // DashMap wants at least two shards; hashing decides which are used.
        let map = DashMap::with_hasher_and_shard_amount(hasher.state(), amount.max(2));
        let side = |index| Side {
            wheel: Wheel::new(now_ms.max(0) as u64 + phase_ms(index)),
            deadlines: 0,
            deadline_sum: 0,
            timed_hashes: 0,
            unfinished: Vec::new(),
            unfinished_ms: 0,
            generation: 0,
            index: index as u32,
        };
        Shards {
            map,
            sides: (0..amount).map(|index| CachePadded::new(UnsafeCell::new(side(index)))).collect(),
            due: (0..amount).map(|_| Due(AtomicI64::new(i64::MAX))).collect(),
            gates: Gates::new(database, amount),
            database,
        }
    }

    pub fn len(&self) -> usize {
        self.sides.len()
    }

    pub fn is_empty(&self) -> bool {
        self.sides.is_empty()
    }

    pub fn due(&self, index: usize) -> &Due {
        &self.due[index]
    }

    #[inline]
    fn lock(&self, index: usize) -> &RwLock<Table> {
        &self.map.shards()[index]
    }

    #[inline]
    pub fn shared(&self, index: usize) -> SharedShard<'_> {
        let permit = self.gates.shared(index);
        let table = self.lock(index).read();
        // SAFETY: the shard's lock is held for reading for as long as the reference lives.
        SharedShard { table, side: unsafe { &*self.sides[index].get() }, _permit: permit }
    }

    #[inline]
    pub fn exclusive<'a>(&'a self, index: usize, common: &'a Common) -> ExclusiveShard<'a> {
        let permit = self.gates.exclusive(index);
        let table = self.lock(index).write();
        // SAFETY: the shard's lock is held for writing for as long as the reference lives.
        let side = unsafe { &mut *self.sides[index].get() };
        ExclusiveShard { table, side, shards: self, common, _permit: permit }
    }

    /// Asks the processor for the bucket in which the key would be. A hint: costs a short read lock.
    #[inline]
    pub fn prefetch_bucket(&self, hash: KeyHash) {
        let _permit = self.gates.shared(hash.shard as usize);
        let table = self.lock(hash.shard as usize).read();
        prefetch_bucket(&table, hash.table_hash());
    }

    /// Asks the processor for the value of the key, if that does not stand in its entry, which should have arrived
    /// by now. False if it does, or if there is no such key.
    #[inline]
    pub fn prefetch_object(&self, hash: KeyHash) -> bool {
        self.with_entry(hash, |entry| {
            let object = entry.object();
            object.into_iter().for_each(|object| prefetch(std::ptr::from_ref(object).cast()));
            object.is_some()
        })
    }

    /// Asks the processor for memory on the way to what is wanted of the key's value, if it is a large collection.
    #[inline]
    pub fn prefetch_elements<'a>(
        &self,
        hash: KeyHash,
        targets: impl Iterator<Item = Target<'a>>,
        step: Step,
    ) {
        self.with_entry(hash, |entry| {
            let object = entry.object();
            if let Some(object) = object {
                targets.for_each(|target| object.prefetch(target, step));
            }
            object.is_some()
        });
    }

    /// Calls `f` with the entry of the key, or with one that has nearly the same hash.
    /// False if there is none.
    #[inline]
    fn with_entry(&self, hash: KeyHash, f: impl FnOnce(&Entry) -> bool) -> bool {
        let _permit = self.gates.shared(hash.shard as usize);
        let table = self.lock(hash.shard as usize).read();
        // SAFETY: the table is not changed while the lock is held; the bucket is read at once.
        let bucket = unsafe { table.iter_hash(hash.table_hash()).next() };
        // SAFETY: as above.
        bucket.is_some_and(|bucket| f(unsafe { &bucket.as_ref().0 }))
    }

    /// Asks the processor for the entry of the key, whose bucket should have arrived by now.
    #[inline]
    pub fn prefetch_entry(&self, hash: KeyHash) {
        let _permit = self.gates.shared(hash.shard as usize);
        let table = self.lock(hash.shard as usize).read();
        prefetch_entry(&table, hash.table_hash());
    }
}

#[inline]
fn prefetch_bucket(table: &Table, hash: u64) {
    // The control bytes start where the buckets end; buckets lie before, in descending order.
    let control = table.data_end().as_ptr().cast::<u8>();
    let position = hash as usize & (table.buckets() - 1);
    prefetch(control.wrapping_add(position));
    prefetch(control.wrapping_sub((position + 1) * size_of::<Slot>()));
}

#[inline]
fn prefetch_entry(table: &Table, hash: u64) {
    // SAFETY: the table is not changed while the iterator lives; the bucket is read at once.
    unsafe {
        if let Some(bucket) = table.iter_hash(hash).next() {
            let address = bucket.as_ref().0.address();
            prefetch(address);
            prefetch(address.wrapping_add(CACHE_LINE_BYTES - 16));
        }
    }
}

const CACHE_LINE_BYTES: usize = 64;

#[inline]
fn find(table: &Table, key: &[u8], hash: KeyHash) -> Option<Bucket<Slot>> {
    table.find(hash.table_hash(), |slot| slot.0.key() == key)
}

fn counts(table: &Table, side: &Side) -> Counts {
    Counts {
        keys: table.len(),
        deadlines: side.deadlines,
        deadline_sum: side.deadline_sum,
        timed_hashes: side.timed_hashes,
        buckets: if table.capacity() == 0 { 0 } else { table.buckets() },
    }
}

/// The entry in bucket `index`, if there is one.
fn at(table: &Table, index: usize) -> Option<&Entry> {
    if table.capacity() == 0 || index >= table.buckets() {
        return None;
    }
    // SAFETY: the index is within the table, whose buckets exist since it has capacity; a full bucket is
    // initialised, and the table is borrowed while the reference lives.
    unsafe { table.is_bucket_full(index).then(|| &table.bucket(index).as_ref().0) }
}

/// What both modes of locking allow.
pub trait Read {
    fn table(&self) -> &Table;
    fn side(&self) -> &Side;

    #[inline]
    fn find(&self, key: &[u8], hash: KeyHash) -> Option<&Entry> {
        // SAFETY: the table is borrowed while the reference lives.
        find(self.table(), key, hash).map(|bucket| unsafe { &bucket.as_ref().0 })
    }

    fn counts(&self) -> Counts {
        counts(self.table(), self.side())
    }

    /// Changes whenever entries may have moved within the table.
    fn generation(&self) -> u32 {
        self.side().generation
    }

    /// Number of buckets, full or empty; an upper bound for [`Read::at`].
    fn buckets(&self) -> usize {
        self.counts().buckets
    }

    /// The entry in bucket `index`, if there is one.
    fn at(&self, index: usize) -> Option<&Entry> {
        at(self.table(), index)
    }

    /// All entries, expired ones included.
    fn entries(&self) -> impl Iterator<Item = &Entry> {
        // SAFETY: the table is borrowed while the iterator and its references live.
        unsafe { self.table().iter().map(|bucket| &bucket.as_ref().0) }
    }

    /// Bytes of the table itself, without the entries.
    fn table_bytes(&self) -> usize {
        self.buckets() * BUCKET_BYTES
    }

    /// Bytes of the wheel.
    fn wheel_bytes(&self) -> usize {
        self.side().wheel.heap_bytes()
    }

    #[inline]
    fn prefetch_bucket(&self, hash: KeyHash) {
        prefetch_bucket(self.table(), hash.table_hash());
    }

    #[inline]
    fn prefetch_entry(&self, hash: KeyHash) {
        prefetch_entry(self.table(), hash.table_hash());
    }
}

impl Read for SharedShard<'_> {
    fn table(&self) -> &Table {
        &self.table
    }

    fn side(&self) -> &Side {
        self.side
    }
}

impl Read for ExclusiveShard<'_> {
    fn table(&self) -> &Table {
        &self.table
    }

    fn side(&self) -> &Side {
        self.side
    }
}

impl ExclusiveShard<'_> {
    /// A time (Unix milliseconds) as the wheel counts it.
    fn wheel_time(&self, unix_ms: i64) -> u64 {
        unix_ms.max(0) as u64 + phase_ms(self.side.index as usize)
    }

    /// When the wheel has to look at a key with this deadline.
    fn look_time(&self, deadline_ms: i64) -> u64 {
        self.wheel_time(deadline_ms.saturating_add(1))
    }

    /// The shard's number.
    pub(super) fn index(&self) -> usize {
        self.side.index as usize
    }

    /// Called with an entry that is about to be changed or removed.
    #[inline]
    fn preserve(&self, entry: &mut Entry) {
        if entry.epoch() != self.common.snapshots.epoch() {
            self.common.snapshots.preserve(self.shards.database, entry);
        }
    }

    /// The entry of `key`, whose value may be changed in place. Its deadline is changed by
    /// [`ExclusiveShard::set_deadline`] only.
    #[inline]
    pub fn find_mut(&mut self, key: &[u8], hash: KeyHash) -> Option<&mut Entry> {
        let bucket = find(&self.table, key, hash)?;
        // SAFETY: the table is borrowed exclusively while the reference lives.
        let entry = unsafe { &mut bucket.as_mut().0 };
        self.preserve(entry);
        Some(entry)
    }

    /// The entry in bucket `index` if a snapshot has yet to give it out.
    pub(super) fn old_at(&mut self, index: usize) -> Option<&mut Entry> {
        let epoch = self.common.snapshots.epoch();
        at(&self.table, index).filter(|entry| entry.epoch() != epoch)?;
        // SAFETY: there is an entry, and the table is borrowed exclusively while the reference lives.
        Some(unsafe { &mut self.table.bucket(index).as_mut().0 })
    }

    /// The entry of `key` if a snapshot has yet to give it out.
    pub(super) fn find_old(&mut self, key: &[u8], hash: KeyHash) -> Option<&mut Entry> {
        let bucket = find(&self.table, key, hash)?;
        // SAFETY: the table is borrowed exclusively while the reference lives.
        let entry = unsafe { &mut bucket.as_mut().0 };
        (entry.epoch() != self.common.snapshots.epoch()).then_some(entry)
    }

    /// Makes room for so many entries.
    pub(super) fn reserve(&mut self, entries: usize) {
        if entries > self.table.capacity() {
            self.rebuild(entries);
        }
    }

    /// Adds an entry whose key is not in the table.
    pub fn insert(&mut self, mut entry: Entry, hash: KeyHash) {
        entry.set_epoch(self.common.snapshots.epoch());
        if self.table.len() == self.table.capacity() {
            // A full table doubles. One that is worn out by removals keeps its size, with at least an eighth
            // of its length free until the next time.
            self.rebuild(self.table.len() + self.table.len() / 8 + 1);
        }
        let (deadline, field_deadline) = (entry.deadline(), entry.field_deadline());
        // SAFETY: there is room for one more, as just made sure.
        unsafe { self.table.insert_no_grow(hash.table_hash(), (entry, SharedValue::new(()))) };
        self.count_deadline(None, deadline);
        // Last, because a sweep of the wheel keeps only the items of keys that it finds in the table.
        if let Some(deadline) = deadline {
            self.file(hash.item, deadline);
        }
        self.fields_changed(None, field_deadline, hash);
    }

    /// Puts `entry` in the place of the one with the same key, which is returned, or adds it.
    pub fn replace(&mut self, mut entry: Entry, hash: KeyHash) -> Option<Entry> {
        let Some(bucket) = find(&self.table, entry.key(), hash) else {
            self.insert(entry, hash);
            return None;
        };
        let (new_deadline, new_fields) = (entry.deadline(), entry.field_deadline());
        // SAFETY: the bucket is of this table, which is borrowed exclusively and unchanged.
        let place = unsafe { &mut bucket.as_mut().0 };
        self.preserve(place);
        entry.set_epoch(place.epoch());
        let old = std::mem::replace(place, entry);
        self.deadline_changed(old.deadline(), new_deadline, hash);
        self.fields_changed(old.field_deadline(), new_fields, hash);
        Some(old)
    }

    pub fn remove(&mut self, key: &[u8], hash: KeyHash) -> Option<Entry> {
        let bucket = find(&self.table, key, hash)?;
        // SAFETY: the bucket is of this table, which is borrowed exclusively and unchanged.
        self.preserve(unsafe { &mut bucket.as_mut().0 });
        let entry = self.take(bucket);
        self.shrink_if_sparse();
        Some(entry)
    }

    fn take(&mut self, bucket: Bucket<Slot>) -> Entry {
        // SAFETY: the bucket is of this table and full.
        let ((entry, _), _) = unsafe { self.table.remove(bucket) };
        self.count_deadline(entry.deadline(), None);
        self.count_fields(entry.field_deadline(), None);
        entry
    }

    /// Changes the deadline of `key`; `false` if there is no such key.
    pub fn set_deadline(&mut self, key: &[u8], hash: KeyHash, deadline_ms: Option<i64>) -> bool {
        let Some(bucket) = find(&self.table, key, hash) else { return false };
        // SAFETY: the bucket is of this table, which is borrowed exclusively and unchanged.
        let entry = unsafe { &mut bucket.as_mut().0 };
        self.preserve(entry);
        let old = entry.deadline();
        entry.set_deadline(deadline_ms);
        self.deadline_changed(old, deadline_ms, hash);
        true
    }

    /// A key with an item at or before its deadline needs no second one: the wheel looks at it then and files
    /// it again.
    fn deadline_changed(&mut self, old: Option<i64>, new: Option<i64>, hash: KeyHash) {
        self.count_deadline(old, new);
        if let Some(new) = new
            && old.is_none_or(|old| new < old)
        {
            self.file(hash.item, new);
        }
    }

    /// The earliest deadline of a field of this key's hash is no more `old` but `new`.
    #[inline]
    pub fn fields_changed(&mut self, old: Option<i64>, new: Option<i64>, hash: KeyHash) {
        self.count_fields(old, new);
        if let Some(new) = new
            && old.is_none_or(|old| new < old)
        {
            self.file(hash.item, new);
        }
    }

    #[inline]
    fn count_fields(&mut self, old: Option<i64>, new: Option<i64>) {
        self.side.timed_hashes += new.is_some() as usize;
        self.side.timed_hashes -= old.is_some() as usize;
    }

    /// As [`ExclusiveShard::find_mut`]; fields of a hash that have expired are removed first, and the hash if
    /// none is left. `expired` is told how many.
    #[inline]
    pub fn find_fresh(
        &mut self,
        key: &[u8],
        hash: KeyHash,
        now_ms: i64,
        expired: &mut dyn FnMut(Expired<'_>),
    ) -> Option<&mut Entry> {
        let bucket = find(&self.table, key, hash)?;
        // SAFETY: the bucket is of this table, which is borrowed exclusively and unchanged.
        let entry = unsafe { &mut bucket.as_mut().0 };
        self.preserve(entry);
        let old = entry.field_deadline();
        if !is_expired(old, now_ms) {
            return Some(entry);
        }
        let removed = entry.remove_due_fields(now_ms, usize::MAX);
        self.count_fields(old, entry.field_deadline());
        let is_empty = entry.is_empty_hash();
        expired(if is_empty {
            Expired::AllFields(removed, self.take(bucket))
        } else {
            Expired::Fields(removed, key)
        });
        // The item that stands for the old deadline will find the next one.
        if is_empty { None } else { self.find_mut(key, hash) }
    }

    #[inline]
    fn count_deadline(&mut self, old: Option<i64>, new: Option<i64>) {
        self.side.deadlines += new.is_some() as usize;
        self.side.deadlines -= old.is_some() as usize;
        self.side.deadline_sum += new.unwrap_or(0) as i128 - old.unwrap_or(0) as i128;
    }

    fn file(&mut self, item: u32, deadline_ms: i64) {
        let time = self.look_time(deadline_ms);
        self.side.wheel.file(item, time);
        // Keys that were deleted leave their items behind until those come up; where that adds up, sweep.
        let owners = self.side.deadlines + self.side.timed_hashes;
        if self.side.wheel.len() > 2 * owners + WHEEL_SLACK {
            for item in self.side.wheel.drain_all() {
                self.look_at(item, i64::MIN, &mut |_| {});
            }
        }
        self.publish_due();
    }

    fn publish_due(&self) {
        let phase_ms = phase_ms(self.side.index as usize);
        let mut due = self.side.wheel.next_due().map_or(i64::MAX, |due| due.saturating_sub(phase_ms) as i64);
        if !self.side.unfinished.is_empty() {
            due = due.min(self.side.unfinished_ms);
        }
        let place = &self.shards.due[self.side.index as usize];
        let before = place.get();
        if due == before {
            return;
        }
        place.0.store(due, Ordering::Relaxed);
        if due < before {
            self.common.expiry.wake_for(self.side.index as usize, due);
        }
    }

    /// Hands up to `limit` items that are due to the keys they stand for: expired ones are removed and passed
    /// to `expired`, as are expired fields; the others are filed again. Returns whether more is due.
    pub fn advance(
        &mut self,
        now_ms: i64,
        limit: usize,
        due: &mut Vec<u32>,
        expired: &mut dyn FnMut(Expired<'_>),
    ) -> bool {
        due.clear();
        let now = self.wheel_time(now_ms);
        let mut more = self.side.wheel.advance(now, due, limit);
        due.append(&mut self.side.unfinished);
        for item in due.iter() {
            prefetch_bucket(&self.table, table_hash(*item));
        }
        for item in due.iter() {
            prefetch_entry(&self.table, table_hash(*item));
        }
        for item in due.iter() {
            self.look_at(*item, now_ms, expired);
        }
        self.side.unfinished_ms = now_ms;
        more |= !self.side.unfinished.is_empty();
        self.shrink_if_sparse();
        self.publish_due();
        more
    }

    /// Removes every expired key of this item, and expired fields, and files those again that still have deadlines.
    fn look_at(&mut self, item: u32, now_ms: i64, expired: &mut dyn FnMut(Expired<'_>)) {
        let mut refile: Option<i64> = None;
        let mut unfinished = false;
        loop {
            let mut dead = None;
            // SAFETY: the table is not changed while the iterator lives.
            for bucket in unsafe { self.table.iter_hash(table_hash(item)) } {
                // SAFETY: as above; the bucket is full, and the table is borrowed exclusively.
                let entry = unsafe { &mut bucket.as_mut().0 };
                let (deadline, fields) = (entry.deadline(), entry.field_deadline());
                if deadline.is_none() && fields.is_none() || self.common.hasher.hash(entry.key()).item != item
                {
                    continue;
                }
                if is_expired(deadline, now_ms) {
                    if entry.epoch() != self.common.snapshots.epoch() {
                        self.common.snapshots.forget(self.shards.database, entry);
                    }
                    dead = Some((bucket, None));
                    break;
                }
                let mut next_field = fields;
                if is_expired(fields, now_ms) {
                    if entry.epoch() != self.common.snapshots.epoch() {
                        self.common.snapshots.preserve(self.shards.database, entry);
                    }
                    let removed = entry.remove_due_fields(now_ms, FIELDS_PER_LOOK);
                    next_field = entry.field_deadline();
                    self.side.timed_hashes -= next_field.is_none() as usize;
                    if entry.is_empty_hash() {
                        dead = Some((bucket, Some(removed)));
                        break;
                    }
                    expired(Expired::Fields(removed, entry.key()));
                    if is_expired(next_field, now_ms) {
                        unfinished = true;
                        next_field = None;
                    }
                }
                for deadline in [deadline, next_field].into_iter().flatten() {
                    refile = Some(refile.map_or(deadline, |other| other.min(deadline)));
                }
            }
            let Some((bucket, removed)) = dead else { break };
            let entry = self.take(bucket);
            expired(match removed {
                None => Expired::Key(entry),
                Some(removed) => Expired::AllFields(removed, entry),
            });
            (refile, unfinished) = (None, false);
        }
        if unfinished {
            self.side.unfinished.push(item);
        } else if let Some(deadline) = refile {
            let time = self.look_time(deadline);
            self.side.wheel.file(item, time);
        }
    }

    fn shrink_if_sparse(&mut self) {
        let buckets = self.buckets();
        if buckets > SHRINK_FROM_BUCKETS && self.table.len() < buckets / SHRINK_BELOW_ONE_IN {
            self.rebuild(self.table.len() * 2);
        }
    }

    /// Moves all entries to a table with room for `capacity`. The table's own growth would fetch entry after
    /// entry from memory; this asks for them in advance.
    #[cold]
    fn rebuild(&mut self, capacity: usize) {
        self.side.generation = self.side.generation.wrapping_add(1);
        let mut old = std::mem::replace(&mut *self.table, Table::with_capacity(capacity));
        let mut ahead = Vec::with_capacity(REBUILD_LOOKAHEAD);
        let mut drain = old.drain();
        loop {
            ahead.extend(drain.by_ref().take(REBUILD_LOOKAHEAD));
            if ahead.is_empty() {
                return;
            }
            for (entry, _) in &ahead {
                prefetch(entry.address());
            }
            for slot in ahead.drain(..) {
                let hash = self.common.hasher.hash(slot.0.key()).table_hash();
                // SAFETY: the new table was made with room for all entries of the old one.
                unsafe { self.table.insert_no_grow(hash, slot) };
            }
        }
    }

    /// Removes everything. Returns the old table, to be dropped where it disturbs nobody, unless a snapshot wants it,
    /// and the number of its keys.
    pub fn clear(&mut self) -> (Option<Table>, usize) {
        let common = self.common;
        common.snapshots.close_open(self.shards.database, self);
        self.side.generation = self.side.generation.wrapping_add(1);
        self.side.wheel.clear();
        self.side.deadlines = 0;
        self.side.deadline_sum = 0;
        self.side.timed_hashes = 0;
        self.side.unfinished.clear();
        self.publish_due();
        let old = std::mem::replace(&mut *self.table, Table::new());
        let keys = old.len();
        (common.snapshots.adopt(self.shards.database, old), keys)
    }

    fn moved(&mut self) {
        self.side.generation = self.side.generation.wrapping_add(1);
        self.publish_due();
    }

    /// Exchanges all contents with another shard of the same position (SWAPDB).
    pub fn swap(&mut self, other: &mut ExclusiveShard<'_>) {
        std::mem::swap(&mut *self.table, &mut *other.table);
        std::mem::swap(self.side, other.side);
        self.moved();
        other.moved();
    }
}
