//! What a view has to tell others (see [`effects`](crate::keyspace::effects)), and what it has to do when its locks are
//! gone: expired keys that it met, keys of which an observer wants to hear once more.
//!
//! Expired keys are removed when the command is done. Where their shard is locked exclusively, that is before it is
//! unlocked, and their expiry is told when they are met; else they are locked again for it, and what the
//! command has to tell after it had met them waits for that, so that everything is told in order.

use super::{Guard, Held, Mode, View, exclusive};
use crate::keyspace::effects::{Actor, Change, Expiring, Interest, Listed, MassChange, Party, Place};
use crate::keyspace::hash::KeyHash;
use crate::keyspace::log::Unit;
use crate::keyspace::shard::{Read, is_expired};
use crate::keyspace::{Entry, Keyspace};
use crate::types::events::Class;
use std::cell::Cell;
use std::collections::HashSet;

/// The view's part of effects. What is rare is somewhere else, so that views stay small.
pub(super) struct News {
    /// Whose command it is (55 bits), whether it counts as an access (1 bit), and who is interested (8 bits): in one
    /// word for the same reason.
    scene: u64,
    rare: Cell<Option<Box<Rare>>>,
}

/// Where in the scene it stands that the command counts as an access.
const TOUCH: u64 = 1 << u8::BITS;
/// Where the number of the client begins.
const ACTOR_SHIFT: u32 = u8::BITS + 1;

thread_local! {
    /// One that is out of use: whoever needs it at all needs it all the time.
    static SPARE: Cell<Option<Box<Rare>>> = const { Cell::new(None) };
}

/// The spare one is kept if it holds no more memory for the log than this, bytes.
const KEEP_BYTES: usize = 64 * 1024;

#[derive(Default)]
pub(super) struct Rare {
    /// Expired keys that were met, each once.
    stale: HashSet<Place>,
    /// Those of them whose shards are locked exclusively: to be removed in the end.
    dead: Vec<Place>,
    later: Vec<Later>,
    /// What observers want listed, by party.
    listed: [Vec<Listed>; Party::ALL.len()],
    /// What is to be logged when the command, or the whole transaction, is done.
    pub unit: Unit,
    /// The command has said in which form it is logged.
    pub is_stated: bool,
}

impl Rare {
    /// Keeps the memory for the next view of this thread. All was done that was noted.
    fn recycle(mut self: Box<Rare>) {
        let Rare { stale, dead, later, listed, unit, is_stated } = &mut *self;
        stale.clear();
        dead.clear();
        later.clear();
        listed.iter_mut().for_each(Vec::clear);
        unit.clear();
        *is_stated = false;
        if unit.capacity_bytes() <= KEEP_BYTES {
            SPARE.set(Some(self));
        }
    }
}

/// What has to wait until the locks are gone.
enum Later {
    /// To be removed.
    Expired(Place),
    /// To be published.
    Missed(Place),
}

impl News {
    pub(super) fn new(interest: Interest) -> News {
        News { scene: TOUCH | u64::from(interest.bits()), rare: Cell::new(None) }
    }

    #[inline]
    pub(super) fn interest(&self) -> Interest {
        Interest::from_bits(self.scene as u8)
    }

    pub(super) fn set_interest(&mut self, interest: Interest) {
        self.scene = self.scene & !u64::from(u8::MAX) | u64::from(interest.bits());
    }

    #[inline]
    pub(super) fn touches(&self) -> bool {
        self.scene & TOUCH != 0
    }

    /// Whether something rare was noted.
    pub(super) fn has_rare(&self) -> bool {
        let rare = self.rare.take();
        let has_rare = rare.is_some();
        self.rare.set(rare);
        has_rare
    }

    fn by(&self) -> Actor {
        self.scene >> ACTOR_SHIFT
    }

    pub(super) fn with_rare<R>(&self, f: impl FnOnce(&mut Rare) -> R) -> R {
        let mut rare = self.rare.take().or_else(|| SPARE.take()).unwrap_or_default();
        let result = f(&mut rare);
        self.rare.set(Some(rare));
        result
    }

    /// An expired key was met in a shard that is locked in this mode.
    #[cold]
    pub(super) fn met_expired(&self, keyspace: &Keyspace, now_ms: i64, db: usize, key: &[u8], mode: Mode) {
        if keyspace.expiry().is_paused(now_ms) {
            return;
        }
        let place = Place { db, key: key.into() };
        let is_new = self.with_rare(|rare| {
            let is_new = rare.stale.insert(place.clone());
            if is_new {
                match mode {
                    Mode::Exclusive => rare.dead.push(place),
                    Mode::Shared => rare.later.push(Later::Expired(place)),
                }
            }
            is_new
        });
        if is_new && mode == Mode::Exclusive {
            self.expired(keyspace, db, key, Expiring::Key);
        }
    }

    /// An expired key is removed or replaced by the command: tells so, unless that was done when it was met.
    #[cold]
    pub(super) fn replaced_expired(&self, keyspace: &Keyspace, db: usize, key: &[u8]) {
        let is_known = self.with_rare(|rare| rare.stale.remove(&Place { db, key: key.into() }));
        if !is_known {
            self.expired(keyspace, db, key, Expiring::Key);
        }
    }

    /// Tells what has expired.
    pub(super) fn expired(&self, keyspace: &Keyspace, db: usize, key: &[u8], what: Expiring<'_>) {
        if self.interest().is_logged() {
            let removal = keyspace.effects.log().removal();
            let push =
                |rare: &mut Rare| what.write(removal, key, |count, args| rare.unit.push(db, count, args));
            self.with_rare(push);
        }
        if self.interest().is_none() {
            return;
        }
        let nobody = News { scene: self.interest().bits().into(), rare: Cell::new(self.rare.take()) };
        for (class, event) in what.events() {
            nobody.event(keyspace, *class, db, event, key);
        }
        nobody.modified(keyspace, db, key);
        self.rare.set(nobody.rare.take());
    }

    #[cold]
    fn event(&self, keyspace: &Keyspace, class: Class, db: usize, event: &str, key: &[u8]) {
        if self.interest().in_events() {
            keyspace.effects.publish(class, db, event, key);
        }
    }

    #[cold]
    fn modified(&self, keyspace: &Keyspace, db: usize, key: &[u8]) {
        let change = Change { db, key, hash: keyspace.hash(key), by: self.by() };
        for (party, observer) in keyspace.effects.observers(self.interest()) {
            if observer.modified(&change) {
                self.with_rare(|rare| rare.listed[party as usize].push(Listed::of(&change)));
            }
        }
    }

    /// A key that the command asked for does not exist.
    #[cold]
    pub(super) fn missed(&self, keyspace: &Keyspace, db: usize, key: &[u8]) {
        let waits = self.with_rare(|rare| {
            let waits = !rare.later.is_empty();
            if waits {
                rare.later.push(Later::Missed(Place { db, key: key.into() }));
            }
            waits
        });
        if !waits {
            self.event(keyspace, Class::KEY_MISS, db, "keymiss", key);
        }
    }

    #[cold]
    fn all_modified(&self, keyspace: &Keyspace, change: &MassChange<'_>) {
        for (party, observer) in keyspace.effects.observers(self.interest()) {
            let mut list = Vec::new();
            observer.all_modified(change, &mut list);
            self.with_rare(|rare| rare.listed[party as usize].append(&mut list));
        }
    }
}

impl View<'_> {
    /// From now on the view's changes are made by this client.
    #[inline]
    pub fn act_for(&mut self, actor: Actor) {
        let rest = (1 << ACTOR_SHIFT) - 1;
        self.news.scene = actor << ACTOR_SHIFT | self.news.scene & rest;
    }

    /// Whether what the view hands out counts as an access (CLIENT NO-TOUCH).
    #[inline]
    pub fn set_touch(&mut self, touch: bool) {
        self.news.scene = self.news.scene & !TOUCH | if touch { TOUCH } else { 0 };
    }

    /// Whose changes the view's are.
    pub fn actor(&self) -> Actor {
        self.news.by()
    }

    /// Whether nobody wants to know what happens to keys.
    #[inline]
    pub fn is_unobserved(&self) -> bool {
        self.news.interest().is_none()
    }

    /// States that `key` of the selected database was modified, and which event that is.
    #[inline]
    pub fn notify(&self, class: Class, event: &str, key: &[u8]) {
        self.notify_in(self.db, class, event, key);
    }

    /// As [`View::notify`], of any locked database.
    #[inline]
    pub fn notify_in(&self, db: usize, class: Class, event: &str, key: &[u8]) {
        if !self.news.interest().is_none() {
            self.news.modified(self.keyspace, db, key);
            self.news.event(self.keyspace, class, db, event, key);
        }
    }

    /// States that `key` of the selected database was modified, without an event.
    #[inline]
    pub fn modified(&self, key: &[u8]) {
        if !self.news.interest().is_none() {
            self.news.modified(self.keyspace, self.db, key);
        }
    }

    /// States that something happened to `key` of the selected database that did not modify it, or that goes
    /// with a modification which was stated already.
    #[inline]
    pub fn event(&self, class: Class, event: &str, key: &[u8]) {
        self.event_in(self.db, class, event, key);
    }

    /// As [`View::event`], of any locked database.
    #[inline]
    pub fn event_in(&self, db: usize, class: Class, event: &str, key: &[u8]) {
        if !self.news.interest().is_none() {
            self.news.event(self.keyspace, class, db, event, key);
        }
    }

    /// A key has come into being. Part of whatever makes keys.
    #[inline]
    pub(super) fn created(&self, db: usize, key: &[u8]) {
        self.event_in(db, Class::NEW, "new", key);
    }

    /// Whether the shard of this key is locked exclusively.
    pub fn may_write(&self, db: usize, key: &[u8]) -> bool {
        let place = (db as u32, self.keyspace.hash(key).shard);
        self.guard_at(place).is_some_and(|guard| matches!(guard, Guard::Exclusive(_)))
    }

    /// Takes the list of keys of which a party's observer wanted to hear once more.
    pub fn take_listed(&self, party: Party) -> Vec<Listed> {
        if self.news.interest().of(party) {
            self.news.with_rare(|rare| std::mem::take(&mut rare.listed[party as usize]))
        } else {
            Vec::new()
        }
    }

    /// What a locked database has under this key, expired or not; nothing in one that is not locked.
    fn find(&self, db: usize, key: &[u8]) -> Option<&Entry> {
        let hash = self.keyspace.hash(key);
        self.guard_at((db as u32, hash.shard))?.find(key, hash)
    }

    fn has(&self, db: usize, key: &[u8]) -> bool {
        self.find(db, key).is_some()
    }

    fn shows(&self, db: usize, key: &[u8]) -> bool {
        self.find(db, key).is_some_and(|entry| !is_expired(entry.deadline(), self.now_ms))
    }

    /// All keys of these databases are about to be removed.
    pub(super) fn tell_flush(&self, databases: &[usize]) {
        if !self.news.interest().is_none() {
            self.news.all_modified(
                self.keyspace,
                &MassChange {
                    databases,
                    all: databases.len() == self.keyspace.databases(),
                    concerns: &|db, key| self.has(db, key),
                    shows: &|db, key| self.shows(db, key),
                    by: self.news.by(),
                },
            );
        }
    }

    /// These databases have exchanged their contents.
    pub(super) fn tell_swap(&self, a: usize, b: usize) {
        if !self.news.interest().is_none() {
            self.news.all_modified(
                self.keyspace,
                &MassChange {
                    databases: &[a, b],
                    all: self.keyspace.databases() == 2,
                    concerns: &|_, key| self.has(a, key) || self.has(b, key),
                    shows: &|_, key| self.shows(a, key) || self.shows(b, key),
                    by: self.news.by(),
                },
            );
        }
    }

    /// Releases the locks, and does what was left for the end.
    #[inline]
    pub(super) fn unlock(&mut self) {
        match self.news.rare.take() {
            None => self.held = Held::Nothing,
            Some(rare) => self.unlock_and_settle(rare),
        }
    }

    #[cold]
    fn unlock_and_settle(&mut self, rare: Box<Rare>) {
        if !rare.unit.is_empty() {
            self.keyspace.effects.log().append_unit(&rare.unit);
        }
        let mut dead = Vec::new();
        for Place { db, key } in &rare.dead {
            let hash = self.keyspace.hash(key);
            let shard = exclusive(&mut self.held, *db, hash);
            if shard.find(key, hash).is_some_and(|entry| is_expired(entry.deadline(), self.now_ms)) {
                dead.extend(shard.remove(key, hash));
            }
        }
        let mut expired = dead.len() as u32;
        self.held = Held::Nothing;
        // Only now, since values may be large.
        dead.into_iter().for_each(|entry| self.keyspace.dispose(entry));
        for later in &rare.later {
            match later {
                Later::Expired(place) => {
                    if let Some(entry) = self.keyspace.remove_expired(place, self.now_ms) {
                        expired += 1;
                        self.keyspace.dispose(entry);
                    }
                }
                Later::Missed(Place { db, key }) => {
                    self.news.event(self.keyspace, Class::KEY_MISS, *db, "keymiss", key);
                }
            }
        }
        self.tally.expired.set(self.tally.expired.get() + expired);
        for (party, observer) in self.keyspace.effects.observers(self.news.interest()) {
            let listed = &rare.listed[party as usize];
            if !listed.is_empty() {
                observer.settled(listed);
            }
        }
        rare.recycle();
    }
}

impl Keyspace {
    /// Removes a key if it has expired.
    fn remove_expired(&self, place: &Place, now_ms: i64) -> Option<Entry> {
        let Place { db, key } = place;
        let hash: KeyHash = self.hash(key);
        let mut shard = self.exclusive(self.shards(*db), hash.shard as usize);
        shard.find(key, hash).filter(|entry| is_expired(entry.deadline(), now_ms))?;
        let entry = shard.remove(key, hash);
        self.effects.expired(Expiring::Key, *db, key, || hash);
        entry
    }
}
