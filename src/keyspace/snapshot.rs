//! Snapshots: all databases as they were at one instant, handed out while commands go on changing them.
//!
//! A snapshot begins with a *cut*: every shard of every database is locked for an instant, and the [`Epoch`] moves on.
//! There are two epochs, which take turns, and every entry has one bit for the epoch in which it was saved or came into
//! being. So at the cut all entries are old, and none is when the snapshot ends. The *walker* takes shard by shard in
//! small steps, each under the shard's lock, and gives old entries to the [`Sink`]. Whoever is about to change
//! or remove an old entry gives it to the sink first (`Snapshots::preserve`); what comes into being is of the new epoch.
//! What a flush takes out is kept and walked later. So the sink gets each entry exactly once, as it was at the cut.
//!
//! While no snapshot runs, a writer's part is the test of the entry's bit; nobody else has any.
//!
//! Large values are given out in pieces, with the lock released in between. A writer that wants just this key meanwhile
//! gives out the rest of it first. The pieces of a value follow each other in their [`Lane`].
//!
//! A snapshot that is cancelled walks on, only to bring all entries into the new epoch; the next one waits for it.
//!
//! Lock order: the list of who is active, then the value that is open, then whatever the sink locks: all of them are
//! leaves behind shards. Knows nothing of files or formats.

#[cfg(test)]
pub(super) mod tests;
mod walker;

use super::entry::Entry;
use super::hash::KeyHash;
use super::shard::{Counts, ExclusiveShard, Read, Table};
use super::{Keyspace, unix_ms};
use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// One of two epochs, which take turns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Epoch(pub(super) bool);

/// Where an entry goes: what belongs to one value follows each other in one lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lane {
    /// What the walker comes to.
    Walker,
    /// What writers were about to change, always whole. Several may come at once.
    Writers,
}

/// Takes the entries of a snapshot.
pub trait Sink: Send + Sync {
    /// Takes an entry of the database `db` (its number at the cut), or about the next `budget` bytes of it. `from` is 0
    /// at the value's beginning, later what was returned before. Returns where to go on, `None` if that was all.
    ///
    /// The entry's shard is locked: takes leaf locks only, and waits for nothing else.
    fn save(&self, lane: Lane, db: usize, entry: &Entry, from: u64, budget: usize) -> Option<u64>;

    /// Called by the walker between its steps, without a lock: the place to write to a file, and to wait for it.
    /// False ends the snapshot.
    fn breathe(&self) -> bool;
}

/// What was there at the cut.
#[derive(Clone, Debug)]
pub struct Cut {
    /// Unix milliseconds.
    pub at_ms: i64,
    /// Databases that were ever used, in order, and what was in them.
    pub databases: Vec<(usize, Counts)>,
}

impl Cut {
    /// The number of keys.
    pub fn keys(&self) -> u64 {
        self.databases.iter().map(|(_, counts)| counts.keys as u64).sum()
    }
}

/// Another snapshot is being taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Busy;

/// What a keyspace has for its snapshots.
pub(super) struct Snapshots {
    /// Changes only while all shards are locked.
    epoch: AtomicBool,
    active: RwLock<Option<Arc<Active>>>,
    /// Held while a database comes to life, and at a cut.
    births: Mutex<()>,
    /// Whether one is in progress, the cancelled included.
    is_running: Mutex<bool>,
    /// One has ended.
    ended: Condvar,
    /// Tests break the cut with this, to see that they would notice.
    #[cfg(test)]
    broken: AtomicBool,
}

/// A snapshot in progress.
struct Active {
    sink: Arc<dyn Sink>,
    epoch: Epoch,
    cut: Cut,
    cancelled: AtomicBool,
    /// For each database: which one it was at the cut (SWAPDB). Changes while both are locked.
    origins: Box<[AtomicU32]>,
    open: Mutex<Option<Open>>,
    /// What flushes took out of databases (as of the cut).
    orphans: Mutex<Vec<(usize, Table)>>,
    /// Keys given out.
    saved: AtomicU64,
}

/// The value of which the walker has given out a part.
struct Open {
    origin: usize,
    hash: KeyHash,
    key: Box<[u8]>,
    /// The entry's, which it keeps until somebody changes it.
    address: *const u8,
    next: u64,
}

// SAFETY: the address is only compared.
unsafe impl Send for Open {}

/// A snapshot whose cut is done: [`Snapshot::run`] takes it, on a thread that may take its time.
#[must_use = "a snapshot has to be run"]
pub struct Snapshot {
    active: Arc<Active>,
}

/// Looks at a snapshot from outside, and cancels it.
#[derive(Clone)]
pub struct Control {
    active: Arc<Active>,
}

impl Control {
    /// Ends the snapshot early; what the sink has is of no use then.
    pub fn cancel(&self) {
        self.active.cancelled.store(true, Ordering::Relaxed);
    }

    pub fn is_cancelled(&self) -> bool {
        self.active.is_cancelled()
    }

    /// Keys given out so far.
    pub fn saved_keys(&self) -> u64 {
        self.active.saved.load(Ordering::Relaxed)
    }

    pub fn cut(&self) -> &Cut {
        &self.active.cut
    }
}

impl Snapshot {
    /// Makes the cut. `at_cut` is called while everything is locked: what it does belongs to the same instant.
    /// Whoever calls holds no lock of the keyspace. Waits until a snapshot that was cancelled has ended.
    pub fn begin(
        keyspace: &Keyspace,
        sink: Arc<dyn Sink>,
        at_cut: impl FnOnce(&Cut),
    ) -> Result<Snapshot, Busy> {
        let snapshots = keyspace.snapshots();
        snapshots.enter()?;
        let passage = keyspace.barrier.alone();
        let mut locked: Vec<(usize, Vec<ExclusiveShard<'_>>)> = Vec::new();
        let births = loop {
            for db in 0..keyspace.databases() {
                if let Some(shards) = keyspace.existing(db)
                    && !locked.iter().any(|(other, _)| *other == db)
                {
                    locked.push((db, (0..shards.len()).map(|i| keyspace.exclusive(shards, i)).collect()));
                }
            }
            // A database that comes to life from here on sees the new epoch.
            let births = snapshots.births.lock();
            if (0..keyspace.databases()).filter(|db| keyspace.existing(*db).is_some()).count() == locked.len()
            {
                break births;
            }
        };
        locked.sort_unstable_by_key(|(db, _)| *db);
        let count = |shards: &[ExclusiveShard<'_>]| {
            let mut sum = Counts::default();
            shards.iter().for_each(|shard| sum.add(shard.counts()));
            sum
        };
        let databases = locked.iter().map(|(db, shards)| (*db, count(shards))).collect();
        let cut = Cut { at_ms: unix_ms(), databases };
        let epoch = Epoch(!snapshots.epoch().0);
        snapshots.epoch.store(epoch.0, Ordering::Relaxed);
        let active = Arc::new(Active {
            sink,
            epoch,
            cut,
            cancelled: AtomicBool::new(false),
            origins: (0..keyspace.databases()).map(|db| AtomicU32::new(db as u32)).collect(),
            open: Mutex::new(None),
            orphans: Mutex::new(Vec::new()),
            saved: AtomicU64::new(0),
        });
        *snapshots.active.write() = Some(active.clone());
        at_cut(&active.cut);
        drop(births);
        drop(locked);
        drop(passage);
        Ok(Snapshot { active })
    }

    pub fn control(&self) -> Control {
        Control { active: self.active.clone() }
    }

    /// Gives the sink all entries as they were at the cut. Returns whether it has them all: not if the snapshot was
    /// cancelled, or the sink gave up. `pace` is called between steps and may offer the core to others.
    pub fn run(self, keyspace: &Keyspace, pace: impl FnMut()) -> bool {
        walker::walk(keyspace, &self.active, pace);
        let snapshots = keyspace.snapshots();
        let is_whole = !self.active.is_cancelled();
        // No entry is old any more, so nobody preserves any.
        *snapshots.active.write() = None;
        self.active.orphans.lock().clear();
        *snapshots.is_running.lock() = false;
        snapshots.ended.notify_all();
        is_whole
    }
}

impl Active {
    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Which database this one was at the cut. Stays while a shard of it is locked.
    fn origin(&self, db: usize) -> usize {
        self.origins[db].load(Ordering::Relaxed) as usize
    }

    /// Where the contents of a database are now.
    fn place_of(&self, origin: usize) -> usize {
        let is_here = |place: &AtomicU32| place.load(Ordering::Relaxed) as usize == origin;
        // While two are exchanged both seem to be the same.
        self.origins.iter().position(is_here).unwrap_or(origin)
    }

    /// Gives out all of an entry, or the rest of it if it is the open one.
    fn save_whole(&self, db: usize, entry: &Entry) {
        if self.is_cancelled() {
            return;
        }
        let mut open = self.open.lock();
        let (lane, mut from) = match open.take_if(|open| open.address == entry.address()) {
            Some(open) => (Lane::Walker, open.next),
            None => (Lane::Writers, 0),
        };
        drop(open);
        let origin = self.origin(db);
        while let Some(next) = self.sink.save(lane, origin, entry, from, usize::MAX) {
            from = next;
        }
        self.saved.fetch_add(1, Ordering::Relaxed);
    }
}

impl Snapshots {
    pub(super) fn new() -> Snapshots {
        Snapshots {
            epoch: AtomicBool::new(false),
            active: RwLock::new(None),
            births: Mutex::new(()),
            is_running: Mutex::new(false),
            ended: Condvar::new(),
            #[cfg(test)]
            broken: AtomicBool::new(false),
        }
    }

    #[cfg(test)]
    pub(super) fn break_cut(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }

    /// The epoch of what is saved or comes into being now. Stays while a shard is locked.
    #[inline]
    pub(super) fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::Relaxed))
    }

    /// Held while a database comes to life.
    pub(super) fn birth(&self) -> MutexGuard<'_, ()> {
        self.births.lock()
    }

    /// Waits until no cancelled snapshot is in progress, and claims the next one.
    fn enter(&self) -> Result<(), Busy> {
        let mut is_running = self.is_running.lock();
        while *is_running {
            if self.active.read().as_ref().is_some_and(|active| !active.is_cancelled()) {
                return Err(Busy);
            }
            self.ended.wait_for(&mut is_running, std::time::Duration::from_millis(1));
        }
        *is_running = true;
        Ok(())
    }

    /// An old entry is about to be changed or removed: it is given out first, and is of the new epoch from now on.
    #[cold]
    pub(super) fn preserve(&self, db: usize, entry: &mut Entry) {
        #[cfg(test)]
        if self.broken.load(Ordering::Relaxed) {
            return entry.set_epoch(self.epoch());
        }
        if let Some(active) = &*self.active.read() {
            active.save_whole(db, entry);
        }
        entry.set_epoch(self.epoch());
    }

    /// As [`Snapshots::preserve`] for an entry that has expired: nobody misses it, unless a part of it is given out.
    #[cold]
    pub(super) fn forget(&self, db: usize, entry: &mut Entry) {
        if let Some(active) = &*self.active.read()
            && active.open.lock().as_ref().is_some_and(|open| open.address == entry.address())
        {
            active.save_whole(db, entry);
        }
    }

    /// The value that is open, if its key is in this shard, is given out before all of it goes.
    pub(super) fn close_open(&self, db: usize, shard: &mut ExclusiveShard<'_>) {
        let active = self.active.read();
        let Some(active) = &*active else { return };
        let is_here =
            |open: &&Open| open.origin == active.origin(db) && open.hash.shard == shard.index() as u32;
        let place = active.open.lock().as_ref().filter(is_here).map(|open| (open.hash, open.key.clone()));
        if let Some((hash, key)) = place
            && let Some(entry) = shard.find_old(&key, hash)
        {
            active.save_whole(db, entry);
            entry.set_epoch(active.epoch);
        }
    }

    /// Takes a table out of which not everything may have been given out. Returns it if it is of no interest.
    pub(super) fn adopt(&self, db: usize, table: Table) -> Option<Table> {
        let active = self.active.read();
        match &*active {
            Some(active) if !active.is_cancelled() && !table.is_empty() => {
                active.orphans.lock().push((active.origin(db), table));
                None
            }
            _ => Some(table),
        }
    }

    /// Two databases, all of whose shards are locked, have exchanged their contents.
    pub(super) fn swapped(&self, a: usize, b: usize) {
        if let Some(active) = &*self.active.read() {
            let (origin_a, origin_b) = (active.origin(a), active.origin(b));
            active.origins[a].store(origin_b as u32, Ordering::Relaxed);
            active.origins[b].store(origin_a as u32, Ordering::Relaxed);
        }
    }
}
