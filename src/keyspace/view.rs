//! What one running command sees of the keyspace: the shards of its keys, locked until it is done.
//!
//! A view is made by [`Keyspace::lock_keys`] and its siblings, which take all locks at once in the global
//! order; nothing is locked later, except for a view that may grow. [`footprint`] is about views of several commands.
//! Expired keys are invisible here even before the wheel reaches them. The view also tallies what the command did to
//! keys, for the statistics, and tells those whom it concerns (see `news`). Knows nothing of arguments or replies.

mod footprint;
mod logging;
mod news;
mod walk;

pub use footprint::Footprint;

use super::access::Access;
use super::barrier::{Alone, Together};
use super::effects::Expiring;
use super::entry::{Entry, Type, Value};
use super::hash::KeyHash;
use super::shard::{Counts, ExclusiveShard, Expired, Read, Shards, SharedShard, Side, Table, is_expired};
use super::{Garbage, Keyspace};
use crate::types::events::Class;
use news::News;
use smallvec::SmallVec;
use std::cell::Cell;
use std::ops::Range;

/// Keys that are asked for from memory before the commands that name them run.
pub const MAX_FETCHED_AHEAD: usize = 512;

/// A key whose hash is known: (address of its bytes, hash).
#[derive(Clone, Copy)]
pub struct Hashed {
    address: *const u8,
    pub hash: KeyHash,
}

impl Hashed {
    pub fn new(key: &[u8], hash: KeyHash) -> Hashed {
        Hashed { address: key.as_ptr(), hash }
    }

    /// The same key, found again this many bytes further on.
    #[inline]
    pub fn repeated(self, bytes: usize) -> Hashed {
        Hashed { address: self.address.wrapping_add(bytes), hash: self.hash }
    }
}

/// What becomes of a key's deadline when its value is replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deadline {
    Clear,
    Keep,
    /// Unix milliseconds.
    At(i64),
}

/// What a command did to keys, for the statistics.
#[derive(Default, Debug)]
pub struct Tally {
    pub hits: Cell<u32>,
    pub misses: Cell<u32>,
    pub expired: Cell<u32>,
    /// Fields of hashes.
    pub expired_fields: Cell<u32>,
    /// Changes to the data set, and [`UNLOGGED`]: in one word, so that views stay small.
    dirty: Cell<u32>,
}

/// There were changes since a command was last logged.
const UNLOGGED: u32 = 1 << 31;

impl Tally {
    /// Changes to the data set, as `rdb_changes_since_last_save` counts them.
    #[inline]
    pub fn dirty(&self) -> u32 {
        self.dirty.get() & !UNLOGGED
    }

    #[inline]
    fn change(&self, changes: u32) {
        if changes > 0 {
            self.dirty.set(self.dirty().saturating_add(changes).min(UNLOGGED - 1) | UNLOGGED);
        }
    }

    /// Whether the data set has changed since this was last asked.
    #[inline]
    fn take_changed(&self) -> bool {
        self.dirty.replace(self.dirty()) & UNLOGGED != 0
    }
}

fn bump(cell: &Cell<u32>) {
    cell.set(cell.get() + 1);
}

enum Guard<'a> {
    Shared(SharedShard<'a>),
    Exclusive(ExclusiveShard<'a>),
}

struct Locked<'a> {
    /// (database, shard): the global order.
    place: (u32, u32),
    guard: Guard<'a>,
}

enum Held<'a> {
    Nothing,
    One(Locked<'a>),
    Many(Many<'a>),
    /// Rare, so it is somewhere else.
    Growing(Box<Growing<'a>>),
}

struct Many<'a> {
    /// In the global order.
    locked: Vec<Locked<'a>>,
    _passage: Together<'a>,
}

/// Further shards may be locked.
struct Growing<'a> {
    /// In the global order.
    locked: Vec<Locked<'a>>,
    mode: Mode,
    _passage: Alone<'a>,
}

impl<'a> Held<'a> {
    #[inline]
    fn all(&self) -> &[Locked<'a>] {
        match self {
            Held::Nothing => &[],
            Held::One(one) => std::slice::from_ref(one),
            Held::Many(many) => &many.locked,
            Held::Growing(growing) => &growing.locked,
        }
    }

    #[inline]
    fn all_mut(&mut self) -> &mut [Locked<'a>] {
        match self {
            Held::Nothing => &mut [],
            Held::One(one) => std::slice::from_mut(one),
            Held::Many(many) => &mut many.locked,
            Held::Growing(growing) => &mut growing.locked,
        }
    }
}

/// Views are moved twice per command, which is cheap as long as it takes no call of `memcpy`.
const _: () = assert!(size_of::<View<'_>>() <= 128 || cfg!(debug_assertions));

/// The locked part of the keyspace.
pub struct View<'a> {
    keyspace: &'a Keyspace,
    /// The selected database.
    pub db: usize,
    /// The time at which this command happens: Unix milliseconds.
    pub now_ms: i64,
    held: Held<'a>,
    hints: &'a [Hashed],
    next_hint: Cell<u32>,
    pub tally: Tally,
    news: News,
}

/// How keys are to be locked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Mode {
    Shared,
    Exclusive,
}

fn lock<'a>(keyspace: &'a Keyspace, database: usize, shard: usize, mode: Mode) -> Locked<'a> {
    let shards = keyspace.shards(database);
    let guard = match mode {
        Mode::Shared => Guard::Shared(shards.shared(shard)),
        Mode::Exclusive => Guard::Exclusive(keyspace.exclusive(shards, shard)),
    };
    Locked { place: (database as u32, shard as u32), guard }
}

impl Keyspace {
    fn view<'a>(&'a self, db: usize, now_ms: i64, hints: &'a [Hashed], held: Held<'a>) -> View<'a> {
        View {
            keyspace: self,
            db,
            now_ms,
            held,
            hints,
            next_hint: Cell::new(0),
            tally: Tally::default(),
            // Only now that the locks are held: who has become interested in their keys has done so before.
            news: News::new(self.effects.interest()),
        }
    }

    /// A view of no keys, for commands that need none or lock in steps of their own.
    pub fn lock_nothing(&self, db: usize, now_ms: i64) -> View<'_> {
        self.view(db, now_ms, &[], Held::Nothing)
    }

    /// Locks the shards of these keys of one database. The caller has asked the processor for the first
    /// [`MAX_FETCHED_AHEAD`] keys; a command that names more has all of them fetched here.
    #[inline]
    pub fn lock_keys<'a>(&'a self, db: usize, now_ms: i64, keys: &'a [Hashed], mode: Mode) -> View<'a> {
        let held = match keys {
            [] => Held::Nothing,
            [key] => Held::One(lock(self, db, key.hash.shard as usize, mode)),
            keys => {
                let mut shards: SmallVec<[u32; 32]> = keys.iter().map(|key| key.hash.shard).collect();
                shards.sort_unstable();
                shards.dedup();
                let held = self.lock_all(shards.iter().map(|shard| (db, *shard as usize)), mode);
                if keys.len() > MAX_FETCHED_AHEAD {
                    for key in keys {
                        self.shards_of(&held, db, key.hash, |shard| shard.prefetch_bucket(key.hash));
                    }
                    for key in keys {
                        self.shards_of(&held, db, key.hash, |shard| shard.prefetch_entry(key.hash));
                    }
                }
                held
            }
        };
        self.view(db, now_ms, keys, held)
    }

    /// Locks shards that are given in the global order, each once.
    fn lock_all(&self, places: impl ExactSizeIterator<Item = (usize, usize)>, mode: Mode) -> Held<'_> {
        let is_one = places.len() == 1;
        let mut places = places.map(|(db, shard)| (db, shard, mode));
        let locked = |(db, shard, mode)| lock(self, db, shard, mode);
        if is_one && let Some(place) = places.next() {
            return Held::One(locked(place));
        }
        let passage = self.barrier.together();
        Held::Many(Many { locked: places.map(locked).collect(), _passage: passage })
    }

    fn shards_of(&self, held: &Held<'_>, db: usize, hash: KeyHash, f: impl Fn(&dyn Prefetch)) {
        let all = held.all();
        if let Ok(at) = all.binary_search_by_key(&(db as u32, hash.shard), |locked| locked.place) {
            match &all[at].guard {
                Guard::Shared(shard) => f(shard),
                Guard::Exclusive(shard) => f(shard),
            }
        }
    }

    /// Locks the shards of keys that may lie in different databases.
    pub fn lock_places(&self, db: usize, now_ms: i64, keys: &[(usize, &[u8])], mode: Mode) -> View<'_> {
        let mut places: Vec<(usize, usize)> =
            keys.iter().map(|(db, key)| (*db, self.hash(key).shard as usize)).collect();
        places.sort_unstable();
        places.dedup();
        let held = self.lock_all(places.into_iter(), mode);
        self.view(db, now_ms, &[], held)
    }

    /// Locks every shard of `databases`, which ascend.
    pub fn lock_databases(
        &self,
        db: usize,
        now_ms: i64,
        databases: impl Iterator<Item = usize>,
        mode: Mode,
    ) -> View<'_> {
        let passage = self.barrier.together();
        let locked = databases
            .flat_map(|db| (0..self.shards_per_database).map(move |shard| (db, shard)))
            .map(|(db, shard)| lock(self, db, shard, mode))
            .collect();
        self.view(db, now_ms, &[], Held::Many(Many { locked, _passage: passage }))
    }
}

/// Both kinds of guard, as far as prefetching goes.
trait Prefetch {
    fn prefetch_bucket(&self, hash: KeyHash);
    fn prefetch_entry(&self, hash: KeyHash);
}

impl<T: Read> Prefetch for T {
    fn prefetch_bucket(&self, hash: KeyHash) {
        Read::prefetch_bucket(self, hash);
    }

    fn prefetch_entry(&self, hash: KeyHash) {
        Read::prefetch_entry(self, hash);
    }
}

impl Guard<'_> {
    fn mode(&self) -> Mode {
        match self {
            Guard::Shared(_) => Mode::Shared,
            Guard::Exclusive(_) => Mode::Exclusive,
        }
    }
}

impl Read for Guard<'_> {
    #[inline]
    fn table(&self) -> &Table {
        match self {
            Guard::Shared(shard) => shard.table(),
            Guard::Exclusive(shard) => shard.table(),
        }
    }

    #[inline]
    fn side(&self) -> &Side {
        match self {
            Guard::Shared(shard) => shard.side(),
            Guard::Exclusive(shard) => shard.side(),
        }
    }
}

impl<'a> View<'a> {
    /// What the clock shows, Unix milliseconds: when the command happens, unless it is replayed.
    pub fn clock_ms(&self) -> i64 {
        if self.now_ms < 0 { self.now_ms + super::REPLAY_SHIFT_MS } else { self.now_ms }
    }

    pub fn keyspace(&self) -> &'a Keyspace {
        self.keyspace
    }

    #[inline]
    fn hash(&self, key: &[u8]) -> KeyHash {
        // Handlers ask for their keys in the order of the arguments: the next hint nearly always fits.
        let at = self.next_hint.get() as usize;
        match self.hints.get(at) {
            Some(hint) if std::ptr::eq(hint.address, key.as_ptr()) => {
                self.next_hint.set(if at + 1 == self.hints.len() { 0 } else { at as u32 + 1 });
                hint.hash
            }
            _ => self.keyspace.hash(key),
        }
    }

    #[inline]
    fn guard(&self, db: usize, hash: KeyHash) -> &Guard<'a> {
        self.guard_at((db as u32, hash.shard)).unwrap_or_else(|| unlocked())
    }

    /// The shard at this place, if the view holds it.
    #[inline]
    fn guard_at(&self, place: (u32, u32)) -> Option<&Guard<'a>> {
        match &self.held {
            Held::One(locked) if locked.place == place => Some(&locked.guard),
            Held::Nothing | Held::One(_) => None,
            held => {
                let all = held.all();
                all.binary_search_by_key(&place, |locked| locked.place).ok().map(|at| &all[at].guard)
            }
        }
    }

    #[inline]
    fn exclusive(&mut self, db: usize, hash: KeyHash) -> &mut ExclusiveShard<'a> {
        exclusive(&mut self.held, db, hash)
    }

    /// The entry of a key that has not expired, hash known.
    #[inline]
    fn live(&self, db: usize, key: &[u8], hash: KeyHash) -> Option<&Entry> {
        let guard = self.guard(db, hash);
        let entry = guard.find(key, hash)?;
        if is_expired(entry.deadline(), self.now_ms) {
            self.news.met_expired(self.keyspace, self.now_ms, db, key, guard.mode());
            return None;
        }
        Some(entry)
    }

    /// States that the command asked for a key that does not exist.
    #[inline]
    fn missed(&self, key: &[u8]) {
        bump(&self.tally.misses);
        if self.news.interest().in_events() {
            self.news.missed(self.keyspace, self.db, key);
        }
    }

    /// The entry of `key`: counts as a hit or a miss, and as an access.
    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<&Entry> {
        let found = self.live(self.db, key, self.hash(key));
        match found {
            Some(entry) => {
                bump(&self.tally.hits);
                if self.news.touches() {
                    entry.set_access(entry.access().touched(self.now_ms));
                }
            }
            None => self.missed(key),
        }
        found
    }

    /// The entry of `key` in any locked database, without a trace in statistics or access times.
    pub fn peek_in(&self, db: usize, key: &[u8]) -> Option<&Entry> {
        self.live(db, key, self.hash(key))
    }

    /// Whether `key` is locked for writing.
    pub fn may_change(&self, key: &[u8]) -> bool {
        matches!(self.guard(self.db, self.hash(key)), Guard::Exclusive(_))
    }

    /// The entry of `key`, without a trace in statistics or access times.
    #[inline]
    pub fn peek(&self, key: &[u8]) -> Option<&Entry> {
        self.peek_in(self.db, key)
    }

    /// As [`View::probe`], but a miss is no event (OBJECT).
    pub fn probe_untold(&self, key: &[u8]) -> Option<&Entry> {
        let found = self.peek(key);
        bump(if found.is_some() { &self.tally.hits } else { &self.tally.misses });
        found
    }

    /// The entry of `key` without an access, but counted as a hit or a miss (EXISTS-like commands).
    pub fn probe(&self, key: &[u8]) -> Option<&Entry> {
        let found = self.peek(key);
        match found {
            Some(_) => bump(&self.tally.hits),
            None => self.missed(key),
        }
        found
    }

    /// The entry of `key`, to be changed in place; an access without hit or miss, as for Redis's writes.
    #[inline]
    pub fn update(&mut self, key: &[u8]) -> Option<&mut Entry> {
        let (db, now_ms, hash) = (self.db, self.now_ms, self.hash(key));
        let entry = exclusive(&mut self.held, db, hash).find_mut(key, hash)?;
        if is_expired(entry.deadline(), now_ms) {
            self.news.met_expired(self.keyspace, now_ms, db, key, Mode::Exclusive);
            return None;
        }
        if self.news.touches() {
            entry.set_access(entry.access().touched(now_ms));
        }
        Some(entry)
    }

    /// As [`View::update`]; fields of a hash that have expired are removed before it is handed out, and a hash
    /// that has no others is not there.
    #[inline]
    pub fn update_fields(&mut self, key: &[u8]) -> Option<&mut Entry> {
        let (db, now_ms, hash) = (self.db, self.now_ms, self.hash(key));
        let shard = exclusive(&mut self.held, db, hash);
        let (fields, news, keyspace) = (&self.tally.expired_fields, &self.news, self.keyspace);
        let mut tell = |expired: Expired| {
            let (removed, what) = match &expired {
                Expired::Key(_) => return,
                Expired::Fields(removed, _) => (removed.len(), Expiring::Fields(removed)),
                Expired::AllFields(removed, _) => (removed.len(), Expiring::AllFields(removed)),
            };
            fields.set(fields.get() + removed as u32);
            news.expired(keyspace, db, key, what);
        };
        let entry = shard.find_fresh(key, hash, now_ms, &mut tell)?;
        if is_expired(entry.deadline(), now_ms) {
            self.news.met_expired(self.keyspace, now_ms, db, key, Mode::Exclusive);
            return None;
        }
        if self.news.touches() {
            entry.set_access(entry.access().touched(now_ms));
        }
        Some(entry)
    }

    /// States that the earliest deadline of a field of this key's hash was `old` before the command changed the
    /// hash in place.
    pub fn fields_changed(&mut self, key: &[u8], old: Option<i64>) {
        let (db, hash) = (self.db, self.hash(key));
        let shard = self.exclusive(db, hash);
        let new = shard.find(key, hash).and_then(Entry::field_deadline);
        shard.fields_changed(old, new, hash);
    }

    /// The entry of `key`, to be changed in place; it is created with `initial` if there is none.
    pub fn update_or_create(&mut self, key: &[u8], initial: Value<'_>) -> &mut Entry {
        if self.update(key).is_none() {
            self.set(key, initial, Deadline::Clear);
        }
        let (db, hash) = (self.db, self.hash(key));
        self.exclusive(db, hash).find_mut(key, hash).expect("the key was found or created just now")
    }

    /// Gives `key` a value. Whatever it held before is gone.
    #[inline]
    pub fn set(&mut self, key: &[u8], value: Value<'_>, deadline: Deadline) {
        let (db, now_ms, hash) = (self.db, self.now_ms, self.hash(key));
        let mut expired = false;
        let shard = self.exclusive(db, hash);
        let Some(entry) = shard.find_mut(key, hash) else {
            let deadline = match deadline {
                Deadline::At(deadline) => Some(deadline),
                Deadline::Clear | Deadline::Keep => None,
            };
            shard.insert(Entry::new(key, value, deadline, Access::created(now_ms)), hash);
            self.created(db, key);
            return;
        };
        let mut access = entry.access();
        let old = entry.deadline();
        if is_expired(old, now_ms) {
            expired = true;
            access = Access::created(now_ms);
        }
        let new = match deadline {
            Deadline::Clear => None,
            Deadline::Keep => old.filter(|_| !expired),
            Deadline::At(deadline) => Some(deadline),
        };
        let access = access.touched(now_ms);
        if new == old && entry.field_deadline().is_none() && entry.overwrite(&value) {
            entry.set_access(access);
        } else {
            let old = shard.replace(Entry::new(key, value, new, access), hash);
            old.into_iter().for_each(|old| self.keyspace.dispose(old));
        }
        if expired {
            bump(&self.tally.expired);
            self.news.replaced_expired(self.keyspace, db, key);
            self.created(db, key);
        }
    }

    /// As [`View::set`], for a value that has nothing to do with the one before: tells that it was overwritten.
    #[inline]
    pub fn overwrite(&mut self, key: &[u8], value: Value<'_>, deadline: Deadline) {
        if self.is_unobserved() {
            self.set(key, value, deadline);
        } else {
            self.overwrite_observed(key, value, deadline);
        }
    }

    #[cold]
    fn overwrite_observed(&mut self, key: &[u8], value: Value<'_>, deadline: Deadline) {
        let before = self.peek(key).map(Entry::value_type);
        self.set(key, value, deadline);
        let after = self.peek(key).map(Entry::value_type);
        if let (Some(before), Some(after)) = (before, after) {
            self.overwritten(self.db, key, before, after);
        }
    }

    /// States that the value of a key, of type `before`, was replaced by one of type `after`.
    pub fn overwritten(&self, db: usize, key: &[u8], before: Type, after: Type) {
        self.event_in(db, Class::OVERWRITTEN, "overwritten", key);
        if before != after {
            self.event_in(db, Class::TYPE_CHANGED, "type_changed", key);
        }
    }

    /// Puts an entry into a locked database. Returns the one with the same key whose place it took.
    pub fn insert_in(&mut self, db: usize, entry: Entry) -> Option<Entry> {
        let hash = self.keyspace.hash(entry.key());
        let key: SmallVec<[u8; 64]> = if self.is_unobserved() { SmallVec::new() } else { entry.key().into() };
        let now_ms = self.now_ms;
        let old = self.exclusive(db, hash).replace(entry, hash);
        let (old, expired) = match old {
            Some(old) if is_expired(old.deadline(), now_ms) => (None, Some(old)),
            old => (old, None),
        };
        if let Some(expired) = expired {
            bump(&self.tally.expired);
            self.news.replaced_expired(self.keyspace, db, expired.key());
        }
        self.created(db, &key);
        old
    }

    /// Takes `key` out of a locked database.
    pub fn remove_in(&mut self, db: usize, key: &[u8]) -> Option<Entry> {
        let hash = self.hash(key);
        let now_ms = self.now_ms;
        let entry = self.exclusive(db, hash).remove(key, hash)?;
        if is_expired(entry.deadline(), now_ms) {
            bump(&self.tally.expired);
            self.news.replaced_expired(self.keyspace, db, key);
            return None;
        }
        Some(entry)
    }

    /// Takes `key` out of the selected database.
    #[inline]
    pub fn remove(&mut self, key: &[u8]) -> Option<Entry> {
        self.remove_in(self.db, key)
    }

    /// Sets or clears the deadline (Unix milliseconds) of `key`; `false` if there is no such key.
    pub fn set_deadline(&mut self, key: &[u8], deadline_ms: Option<i64>) -> bool {
        let (db, hash) = (self.db, self.hash(key));
        if self.live(db, key, hash).is_none() {
            return false;
        }
        self.exclusive(db, hash).set_deadline(key, hash, deadline_ms)
    }

    /// States that the command removed so many fields because their deadlines have passed.
    pub fn fields_expired(&self, fields: usize) {
        self.tally.expired_fields.set(self.tally.expired_fields.get() + fields as u32);
    }

    /// States that the command changed the data set `changes` times.
    #[inline]
    pub fn changed(&self, changes: u64) {
        let changes = u32::try_from(changes).unwrap_or(u32::MAX);
        self.tally.change(changes);
    }

    fn locked(&self, db: usize) -> impl Iterator<Item = &Guard<'a>> {
        self.held.all().iter().filter(move |locked| locked.place.0 == db as u32).map(|locked| &locked.guard)
    }

    /// Counts of a locked database.
    pub fn counts(&self, db: usize) -> Counts {
        let mut counts = Counts::default();
        for guard in self.locked(db) {
            counts.add(guard.counts());
        }
        counts
    }

    /// All keys of a locked database that have not expired.
    pub fn each_entry(&self, db: usize, mut f: impl FnMut(&Entry)) {
        for guard in self.locked(db) {
            let mut visit = |entry: &Entry| {
                if !is_expired(entry.deadline(), self.now_ms) {
                    f(entry);
                }
            };
            guard.entries().for_each(&mut visit);
        }
    }

    /// Empties databases, as far as they are locked: others were never used.
    pub fn flush(&mut self, databases: Range<usize>) -> Garbage {
        let list: SmallVec<[usize; 16]> = databases.clone().collect();
        self.tell_flush(&list);
        let mut garbage = Garbage::default();
        let all = self.held.all_mut().iter_mut();
        for locked in all.filter(|locked| databases.contains(&(locked.place.0 as usize))) {
            match &mut locked.guard {
                Guard::Exclusive(shard) => {
                    let (table, keys) = shard.clear();
                    garbage.tables.extend(table);
                    garbage.keys += keys;
                }
                Guard::Shared(_) => panic!("a flush needs exclusive locks"),
            }
        }
        garbage
    }

    /// Exchanges the contents of two locked databases.
    pub fn swap(&mut self, a: usize, b: usize) {
        if a == b {
            return;
        }
        let databases = (a, b);
        let all = self.held.all_mut();
        let first = |db: usize| all.partition_point(|locked| locked.place.0 < db as u32);
        let (a, b) = (first(a.min(b)), first(a.max(b)));
        let (low, high) = all.split_at_mut(b);
        for (one, other) in low[a..].iter_mut().zip(high).take(self.keyspace.shards_per_database) {
            match (&mut one.guard, &mut other.guard) {
                (Guard::Exclusive(one), Guard::Exclusive(other)) => one.swap(other),
                _ => panic!("swapping needs exclusive locks"),
            }
        }
        self.keyspace.common.snapshots.swapped(databases.0, databases.1);
        self.tell_swap(databases.0, databases.1);
    }

    /// Whether a command that wants just this key of this database, in this mode, has its lock here.
    #[inline]
    pub fn has_lock_of(&self, db: usize, key: &Hashed, mode: Mode) -> bool {
        let Held::One(locked) = &self.held else { return false };
        let is_shared = matches!(locked.guard, Guard::Shared(_));
        locked.place == (db as u32, key.hash.shard) && is_shared == (mode == Mode::Shared)
    }

    /// The next command, of the key in `hints`, uses the view under the same lock.
    #[inline]
    pub fn pass_on(&mut self, hints: &'a [Hashed]) {
        self.hints = hints;
        self.next_hint.set(0);
    }

    /// Releases the locks, then does what was left for the end (see `news`). Returns the tally.
    #[inline]
    pub fn finish(&mut self) -> &Tally {
        self.unlock();
        &self.tally
    }
}

/// The shard of a key, locked for writing.
#[inline]
fn exclusive<'h, 'a>(held: &'h mut Held<'a>, db: usize, hash: KeyHash) -> &'h mut ExclusiveShard<'a> {
    let guard = match held {
        Held::One(locked) => {
            if locked.place != (db as u32, hash.shard) {
                unlocked();
            }
            &mut locked.guard
        }
        held => {
            let all = held.all_mut();
            match all.binary_search_by_key(&(db as u32, hash.shard), |locked| locked.place) {
                Ok(at) => &mut all[at].guard,
                Err(_) => unlocked(),
            }
        }
    };
    match guard {
        Guard::Exclusive(shard) => shard,
        Guard::Shared(_) => panic!("a command that is not marked as writing tried to write"),
    }
}

#[cold]
fn unlocked() -> ! {
    panic!("a handler asked for a key that its command's record does not name")
}

impl Keyspace {
    /// The shards of a database for walks that take one at a time.
    pub(super) fn exclusive<'a>(&'a self, shards: &'a Shards, index: usize) -> ExclusiveShard<'a> {
        shards.exclusive(index, &self.common)
    }
}
