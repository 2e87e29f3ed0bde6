//! Locks for several commands at once: of a transaction, of a script.
//!
//! A [`Footprint`] collects which shards the commands are going to touch; [`Keyspace::lock_footprint`] locks them
//! together, each in the strongest mode that any command wants. A view made by [`Keyspace::lock_growing`] has the
//! barrier alone, so [`View::cover`] can lock for it what its commands turn out to need on the way.

use super::{Growing, Guard, Held, KeyHash, Keyspace, Many, Mode, View, lock};
use smallvec::SmallVec;

/// One shard in one mode, packed so that sorting gives the global order, and the stronger mode of a shard first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Wanted(u64);

impl Wanted {
    fn new(db: usize, shard: u32, mode: Mode) -> Wanted {
        Wanted((db as u64) << 33 | (shard as u64) << 1 | (mode == Mode::Shared) as u64)
    }

    fn place(self) -> (u32, u32) {
        ((self.0 >> 33) as u32, (self.0 >> 1) as u32)
    }

    fn mode(self) -> Mode {
        if self.0 & 1 == 0 { Mode::Exclusive } else { Mode::Shared }
    }

    fn same_shard(self, other: Wanted) -> bool {
        self.0 >> 1 == other.0 >> 1
    }
}

/// The shards that several commands touch between them.
#[derive(Clone, Default)]
pub struct Footprint {
    shards: SmallVec<[Wanted; 16]>,
    /// Whole databases.
    databases: SmallVec<[(usize, Mode); 2]>,
    /// All databases that are in use.
    used: Option<Mode>,
    /// It may not be all.
    is_open: bool,
}

impl Footprint {
    /// A key of a database.
    #[inline]
    pub fn add_key(&mut self, db: usize, hash: KeyHash, mode: Mode) {
        self.shards.push(Wanted::new(db, hash.shard, mode));
    }

    /// Every shard of a database.
    pub fn add_database(&mut self, db: usize, mode: Mode) {
        self.databases.push((db, mode));
    }

    /// Every shard of every database that was ever used, or of which this footprint names a part.
    pub fn add_used_databases(&mut self, mode: Mode) {
        self.used = Some(self.used.map_or(mode, |other| other.max(mode)));
    }

    /// The same shards, all of them to be locked exclusively.
    pub fn exclusively(mut self) -> Footprint {
        let shards = self.shards.iter().map(|shard| shard.place());
        self.shards = shards.map(|(db, shard)| Wanted::new(db as usize, shard, Mode::Exclusive)).collect();
        self.databases.iter_mut().for_each(|(_, mode)| *mode = Mode::Exclusive);
        self.used = self.used.map(|_| Mode::Exclusive);
        self
    }

    /// States that the commands may touch more than this, so that it takes a view that may grow.
    pub fn open(&mut self) {
        self.is_open = true;
    }

    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// All shards, in the global order, each once.
    fn wanted(&self, keyspace: &Keyspace) -> SmallVec<[Wanted; 16]> {
        let mut wanted = self.shards.clone();
        let mut add = |db: usize, mode| {
            wanted.extend((0..keyspace.shards_per_database as u32).map(|shard| Wanted::new(db, shard, mode)));
        };
        self.databases.iter().for_each(|(db, mode)| add(*db, *mode));
        if let Some(mode) = self.used {
            let is_named = |db| self.shards.iter().any(|shard| shard.place().0 as usize == db);
            let used =
                (0..keyspace.databases()).filter(|db| keyspace.existing(*db).is_some() || is_named(*db));
            used.for_each(|db| add(db, mode));
        }
        wanted.sort_unstable();
        wanted.dedup_by(|later, first| later.same_shard(*first));
        wanted
    }
}

impl Keyspace {
    /// Locks all of the footprint.
    pub fn lock_footprint(&self, db: usize, now_ms: i64, footprint: &Footprint) -> View<'_> {
        let locked = |wanted: Wanted| {
            let (db, shard) = wanted.place();
            lock(self, db as usize, shard as usize, wanted.mode())
        };
        let held = match footprint.wanted(self).as_slice() {
            [] => Held::Nothing,
            [one] => Held::One(locked(*one)),
            all => {
                let passage = self.barrier.together();
                Held::Many(Many { locked: all.iter().map(|one| locked(*one)).collect(), _passage: passage })
            }
        };
        self.view(db, now_ms, &[], held)
    }

    /// Locks all of the footprint in `mode`. The view may grow (see [`View::cover`]); until it is finished, nobody else
    /// locks more than one shard.
    pub fn lock_growing(&self, db: usize, now_ms: i64, footprint: &Footprint, mode: Mode) -> View<'_> {
        let held = self.hold_growing(footprint, mode);
        self.view(db, now_ms, &[], held)
    }

    fn hold_growing(&self, footprint: &Footprint, mode: Mode) -> Held<'_> {
        let passage = self.barrier.alone();
        let locked = footprint.wanted(self).into_iter().map(|wanted| {
            let (db, shard) = wanted.place();
            lock(self, db as usize, shard as usize, mode)
        });
        Held::Growing(Box::new(Growing { locked: locked.collect(), mode, _passage: passage }))
    }
}

impl View<'_> {
    /// Sees to it that the view holds all of the footprint. Locks what is missing, if the view may grow; false if it
    /// may not, or if it grows by shared locks only and the footprint asks for others.
    pub fn cover(&mut self, footprint: &Footprint) -> bool {
        let wanted = footprint.wanted(self.keyspace);
        let mut missing = false;
        for one in &wanted {
            match self.guard_at(one.place()).map(Guard::mode) {
                Some(mode) if mode >= one.mode() => {}
                Some(_) => return false,
                None => missing = true,
            }
        }
        if !missing {
            return true;
        }
        let keyspace = self.keyspace;
        let Held::Growing(growing) = &mut self.held else { return false };
        let Growing { locked, mode, .. } = &mut **growing;
        if wanted.iter().any(|one| one.mode() > *mode) {
            return false;
        }
        for one in wanted {
            if let Err(at) = locked.binary_search_by_key(&one.place(), |locked| locked.place) {
                let (db, shard) = one.place();
                locked.insert(at, lock(keyspace, db as usize, shard as usize, *mode));
            }
        }
        // Whoever has become interested in keys of these shards has done so before they were locked.
        self.news.set_interest(keyspace.effects.interest());
        true
    }

    /// Whether the view can lock more than it holds.
    pub fn may_grow(&self) -> bool {
        matches!(self.held, Held::Growing(_))
    }

    /// Whether the view holds the shard of a key in this mode.
    #[inline]
    pub fn covers(&self, db: usize, hash: KeyHash, mode: Mode) -> bool {
        self.guard_at((db as u32, hash.shard)).is_some_and(|guard| guard.mode() >= mode)
    }

    /// Lets go of everything and locks all of the footprint in `mode`, now so that the view may grow. For work that has
    /// changed nothing so far and begins again.
    pub fn start_again(&mut self, footprint: &Footprint, mode: Mode) {
        self.unlock();
        self.held = self.keyspace.hold_growing(footprint, mode);
        self.news.set_interest(self.keyspace.effects.interest());
    }

    /// The next command of a transaction or script uses the view, in the database `db`.
    pub fn turn_to(&mut self, db: usize) {
        self.db = db;
        self.hints = &[];
        self.next_hint.set(0);
    }
}
