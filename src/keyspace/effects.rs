//! Effects: what others must learn of a change to a key, told in one place.
//!
//! Whoever changes keys (a command through its [`View`](super::View), a reaper, the removal of an expired key that
//! was met) states what happened while it still holds the lock of the key's shard, and it is told at once to
//! those who want to know: events are published, and observers (watched keys, blocked clients, client-side caches)
//! hear which key was modified. So the order in which everybody learns of one key's changes is the order in
//! which they happened.
//!
//! Mostly nobody wants to know anything, and then all of this costs one test of a register: a view loads the
//! [`Interest`] once, when it has its locks. That is enough because whoever becomes interested in a key
//! registers *while holding the lock of the key's shard* (a shared one will do) and calls [`Effects::enter`]
//! before releasing it: a later writer of the key sees the interest, since its lock comes after that one; an earlier
//! one was done before. Interest in keys as such, not in one (events, prefixes), takes effect with the next view.
//!
//! The log (see [`log`](super::log)) is told of commands, not of keys: it only shares the word that says who is
//! interested.
//!
//! Lock order: observers and publishers are called under locks of shards, so they may take leaf locks only and
//! must not wait for anything. Knows nothing of commands, clients, channels or replies.

use super::hash::KeyHash;
use super::log::Log;
use crate::types::events::Class;
use crate::types::names::Names;
use crossbeam_utils::CachePadded;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Somebody's identity as far as effects are concerned: the number of the client whose command changes keys, 0 if
/// it is nobody's (expiry).
pub type Actor = u64;

/// A key was modified: created, changed, removed, or what it was renamed or moved to.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    pub db: usize,
    pub key: &'a [u8],
    pub hash: KeyHash,
    pub by: Actor,
}

/// A key in a database.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Place {
    pub db: usize,
    pub key: Box<[u8]>,
}

/// A key that an observer wanted listed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    pub place: Place,
    /// Who modified it.
    pub by: Actor,
}

impl Listed {
    /// The key of a change.
    pub fn of(change: &Change<'_>) -> Listed {
        Listed { place: Place { db: change.db, key: change.key.into() }, by: change.by }
    }
}

/// All keys of a database have changed, or are going to while its locks are held.
#[derive(Clone, Copy)]
pub struct MassChange<'a> {
    /// The databases concerned.
    pub databases: &'a [usize],
    /// Whether every database is concerned.
    pub all: bool,
    /// Whether a key is, or was before, in a database that is concerned: what is neither has not changed.
    pub concerns: &'a dyn Fn(usize, &[u8]) -> bool,
    /// The same for keys that have not expired: what was or is there otherwise, nobody could see.
    pub shows: &'a dyn Fn(usize, &[u8]) -> bool,
    pub by: Actor,
}

/// Who may want to know of modified keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Party {
    /// WATCH.
    Watchers,
    /// Blocked clients.
    Waiters,
    /// Client-side caches.
    Tracking,
}

impl Party {
    pub const ALL: [Party; 3] = [Party::Watchers, Party::Waiters, Party::Tracking];

    const fn bit(self) -> u8 {
        EVENTS << (1 + self as u8)
    }

    /// Where the party's count stands in [`Effects::counts`].
    const fn shift(self) -> u32 {
        COUNT_BITS * self as u32
    }
}

/// One party that observes changes. All methods are called while the shards of the keys are locked exclusively.
pub trait Observer: Send + Sync {
    /// A key was modified. Returns whether the observer wants to hear of the key once more when the command (or
    /// the whole transaction) is done: then the view lists it.
    fn modified(&self, change: &Change<'_>) -> bool;

    /// Databases were emptied, or their contents exchanged. What has to be looked at when the command is done goes
    /// to `list`.
    fn all_modified(&self, change: &MassChange<'_>, list: &mut Vec<Listed>);

    /// A key that `modified` wanted listed has expired in nobody's command: there is no view to list it.
    fn expired(&self, change: &Change<'_>);

    /// The command is done: these are the keys that `modified` wanted listed, in order, some maybe twice. Not
    /// called for [`Party::Waiters`]: they are served by [`View::take_listed`](super::View::take_listed). Called
    /// when the locks are released, before the command's reply is sent.
    fn settled(&self, listed: &[Listed]);
}

/// Whom events are given to.
pub trait Publisher: Send + Sync {
    /// Something of this class happened to a key. `classes` are those that are to be published, this one among
    /// them, and where.
    fn publish(&self, classes: Class, db: usize, event: &str, key: &[u8]);
}

/// Events are published.
const EVENTS: u8 = 1;

/// Commands are logged.
const LOG: u8 = 1 << 7;

/// Bits of each party's count, which so goes beyond a million: no process has as many connections.
const COUNT_BITS: u32 = 20;

/// Where the counts end and the flags stand that events are published, and that the log is open.
const EVENTS_FLAG: u64 = 1 << 60;
const LOG_FLAG: u64 = 1 << 61;

/// Who wants to know, as of one instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Interest(u8);

impl Interest {
    /// As a number, which [`Interest::from_bits`] understands.
    #[inline]
    pub const fn bits(self) -> u8 {
        self.0
    }

    #[inline]
    pub const fn from_bits(bits: u8) -> Interest {
        Interest(bits)
    }

    /// Whether nobody wants to know of keys.
    #[inline]
    pub fn is_none(self) -> bool {
        self.0 & !LOG == 0
    }

    /// Whether there is anything to do at the end of a command: somebody wants to know of keys, or it is logged.
    #[inline]
    pub fn is_any(self) -> bool {
        self.0 != 0
    }

    /// Whether commands are logged.
    #[inline]
    pub fn is_logged(self) -> bool {
        self.0 & LOG != 0
    }

    /// Whether events are published.
    #[inline]
    pub fn in_events(self) -> bool {
        self.0 & EVENTS != 0
    }

    #[inline]
    pub fn of(self, party: Party) -> bool {
        self.0 & party.bit() != 0
    }

    #[cold]
    fn from_counts(counts: u64) -> Interest {
        let mut bits = if counts & EVENTS_FLAG != 0 { EVENTS } else { 0 };
        if counts & LOG_FLAG != 0 {
            bits |= LOG;
        }
        for party in Party::ALL {
            if (counts >> party.shift()) & ((1 << COUNT_BITS) - 1) != 0 {
                bits |= party.bit();
            }
        }
        Interest(bits)
    }
}

/// Who wants to know what. See the module's head.
#[derive(Default)]
pub struct Effects {
    /// How many members each party has, and [`EVENTS_FLAG`], in one word: the hot path loads and tests it.
    counts: CachePadded<AtomicU64>,
    /// The classes of events that are published.
    classes: AtomicU32,
    observers: [OnceLock<Arc<dyn Observer>>; Party::ALL.len()],
    publisher: OnceLock<Arc<dyn Publisher>>,
    log: Log,
}

impl Effects {
    /// Sets who is told of changes on behalf of a party. The first who is set stays.
    pub fn set_observer(&self, party: Party, observer: Arc<dyn Observer>) {
        let _ = self.observers[party as usize].set(observer);
    }

    /// Sets who publishes events. The first who is set stays.
    pub fn set_publisher(&self, publisher: Arc<dyn Publisher>) {
        let _ = self.publisher.set(publisher);
    }

    /// Chooses the classes of events that are published, and where.
    pub fn set_classes(&self, classes: Class) {
        self.classes.store(classes.bits(), Ordering::Relaxed);
        if classes.intersects(Class::KEYSPACE | Class::KEYEVENT) {
            self.counts.fetch_or(EVENTS_FLAG, Ordering::Relaxed);
        } else {
            self.counts.fetch_and(!EVENTS_FLAG, Ordering::Relaxed);
        }
    }

    /// A party has a member more (a client, or whatever the party counts). Who is interested in a key calls this
    /// before it releases the lock of the key's shard.
    #[inline]
    pub fn enter(&self, party: Party) {
        self.counts.fetch_add(1 << party.shift(), Ordering::Relaxed);
    }

    /// A member that entered leaves.
    #[inline]
    pub fn leave(&self, party: Party) {
        self.counts.fetch_sub(1 << party.shift(), Ordering::Relaxed);
    }

    /// The stream of effects.
    #[inline]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// From now on commands are logged. To be called while every shard is locked, or before there are clients.
    /// Returns the position at which the log goes on.
    pub fn open_log(&self) -> u64 {
        self.counts.fetch_or(LOG_FLAG, Ordering::Relaxed);
        self.log.open()
    }

    /// Commands are not logged any more.
    pub fn close_log(&self) {
        self.counts.fetch_and(!LOG_FLAG, Ordering::Relaxed);
        self.log.close();
    }

    /// Who wants to know, for somebody who holds the locks of all keys that it is going to change.
    #[inline]
    pub fn interest(&self) -> Interest {
        match self.counts.load(Ordering::Relaxed) {
            0 => Interest::default(),
            counts => Interest::from_counts(counts),
        }
    }

    /// Publishes an event if its class is published.
    pub(super) fn publish(&self, class: Class, db: usize, event: &str, key: &[u8]) {
        let classes = Class::from_bits(self.classes.load(Ordering::Relaxed));
        if classes.intersects(class)
            && let Some(publisher) = self.publisher.get()
        {
            publisher.publish(classes, db, event, key);
        }
    }

    /// The observer of a party.
    pub(super) fn observer(&self, party: Party) -> Option<&dyn Observer> {
        self.observers[party as usize].get().map(|observer| &**observer)
    }

    /// The interested parties with their observers.
    pub(super) fn observers(&self, interest: Interest) -> impl Iterator<Item = (Party, &dyn Observer)> {
        let parties = Party::ALL.into_iter().filter(move |party| interest.of(*party));
        parties.filter_map(|party| self.observer(party).map(|observer| (party, observer)))
    }

    /// States what expiry has done to a key whose shard the caller has locked, without a view.
    #[inline]
    pub(super) fn expired(&self, what: Expiring<'_>, db: usize, key: &[u8], hash: impl FnOnce() -> KeyHash) {
        let interest = self.interest();
        if interest.is_logged() {
            what.write(self.log.removal(), key, |count, args| self.log.append(db, count, args));
        }
        if !interest.is_none() {
            self.tell_expired(interest, what, db, key, hash());
        }
    }

    #[cold]
    fn tell_expired(&self, interest: Interest, what: Expiring<'_>, db: usize, key: &[u8], hash: KeyHash) {
        if interest.in_events() {
            for (class, event) in what.events() {
                self.publish(*class, db, event, key);
            }
        }
        let change = Change { db, key, hash, by: 0 };
        for (_, observer) in self.observers(interest) {
            if observer.modified(&change) {
                observer.expired(&change);
            }
        }
    }
}

/// What expiry does to a key.
#[derive(Clone, Copy, Debug)]
pub enum Expiring<'n> {
    /// Removes it.
    Key,
    /// Removes fields of its hash.
    Fields(&'n Names),
    /// Removes the last fields of its hash, and so the key.
    AllFields(&'n Names),
}

impl Expiring<'_> {
    /// The events, in order.
    pub(super) fn events(self) -> &'static [(Class, &'static str)] {
        match self {
            Expiring::Key => &[(Class::EXPIRED, "expired")],
            Expiring::Fields(_) => &[(Class::HASH, "hexpired")],
            Expiring::AllFields(_) => &[(Class::HASH, "hexpired"), (Class::GENERIC, "del")],
        }
    }

    /// Hands the command that does the same to `write`: the number of its arguments, and these.
    pub(super) fn write(
        self,
        removal: &'static [u8],
        key: &[u8],
        write: impl FnOnce(usize, &mut dyn Iterator<Item = &[u8]>),
    ) {
        match self {
            Expiring::Key => write(2, &mut [removal, key].into_iter()),
            Expiring::Fields(names) | Expiring::AllFields(names) => {
                write(2 + names.len(), &mut [b"HDEL".as_slice(), key].into_iter().chain(names.iter()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::view::{Hashed, Mode};
    use crate::keyspace::{Deadline, Keyspace, Value, View, unix_ms};
    use parking_lot::Mutex;
    use std::time::Duration;

    /// Writes down all that it is told.
    #[derive(Default)]
    struct Recorder {
        told: Mutex<Vec<String>>,
        lists: bool,
    }

    impl Recorder {
        fn note(&self, text: String) {
            self.told.lock().push(text);
        }

        fn take(&self) -> Vec<String> {
            std::mem::take(&mut *self.told.lock())
        }
    }

    fn name(db: usize, key: &[u8]) -> String {
        format!("{db}:{}", String::from_utf8_lossy(key))
    }

    impl Publisher for Recorder {
        fn publish(&self, _classes: Class, db: usize, event: &str, key: &[u8]) {
            self.note(format!("{event} {}", name(db, key)));
        }
    }

    impl Observer for Recorder {
        fn modified(&self, change: &Change<'_>) -> bool {
            self.note(format!("modified {} by {}", name(change.db, change.key), change.by));
            self.lists
        }

        fn all_modified(&self, change: &MassChange<'_>, list: &mut Vec<Listed>) {
            for (db, key) in change.databases.iter().flat_map(|db| [(*db, b"a"), (*db, b"b")]) {
                if (change.concerns)(db, key) {
                    self.note(format!("all modified, with {}", name(db, key)));
                    list.push(Listed { place: Place { db, key: key.as_slice().into() }, by: change.by });
                }
            }
        }

        fn expired(&self, change: &Change<'_>) {
            self.note(format!("expired in no command: {}", name(change.db, change.key)));
        }

        fn settled(&self, listed: &[Listed]) {
            let names: Vec<String> = listed.iter().map(|l| name(l.place.db, &l.place.key)).collect();
            self.note(format!("settled {}", names.join(" ")));
        }
    }

    struct World {
        keyspace: Keyspace,
        recorder: Arc<Recorder>,
        /// When all began. The wheels have the time, too.
        now_ms: i64,
    }

    impl World {
        fn new(lists: bool) -> World {
            let recorder = Arc::new(Recorder { lists, ..Recorder::default() });
            let keyspace = Keyspace::new(2, 4, 1);
            keyspace.effects().set_publisher(recorder.clone());
            keyspace.effects().set_observer(Party::Tracking, recorder.clone());
            World { keyspace, recorder, now_ms: unix_ms() }
        }

        fn command(
            &self,
            now_ms: i64,
            keys: &[&[u8]],
            mode: Mode,
            f: impl FnOnce(&mut View<'_>),
        ) -> Vec<String> {
            let hashed: Vec<Hashed> =
                keys.iter().map(|key| Hashed::new(key, self.keyspace.hash(key))).collect();
            let mut view = self.keyspace.lock_keys(0, now_ms, &hashed, mode);
            view.act_for(7);
            f(&mut view);
            view.finish();
            self.recorder.take()
        }

        fn publish_all(&self) {
            self.keyspace.effects().set_classes(Class::ALL | Class::KEYEVENT | Class::NEW | Class::KEY_MISS);
        }
    }

    fn set(view: &mut View<'_>, key: &[u8], deadline: Deadline) {
        view.overwrite(key, Value::Int(1), deadline);
        view.notify(Class::STRING, "set", key);
    }

    #[test]
    fn only_those_who_are_interested_are_told() {
        let world = World::new(false);
        let write = |view: &mut View<'_>| set(view, b"a", Deadline::Clear);
        assert!(world.command(world.now_ms, &[b"a"], Mode::Exclusive, write).is_empty());
        world.keyspace.effects().enter(Party::Tracking);
        world.keyspace.effects().enter(Party::Tracking);
        let told = world.command(world.now_ms, &[b"a"], Mode::Exclusive, write);
        assert_eq!(told, ["modified 0:a by 7"]);
        world.keyspace.effects().leave(Party::Tracking);
        world.keyspace.effects().set_classes(Class::STRING | Class::KEYSPACE);
        let told = world.command(world.now_ms, &[b"a"], Mode::Exclusive, write);
        assert_eq!(told, ["modified 0:a by 7", "set 0:a"]);
        world.keyspace.effects().leave(Party::Tracking);
        assert_eq!(world.command(world.now_ms, &[b"a"], Mode::Exclusive, write), ["set 0:a"]);
        // A class without a channel is told to nobody.
        world.keyspace.effects().set_classes(Class::ALL);
        assert!(world.command(world.now_ms, &[b"a"], Mode::Exclusive, write).is_empty());
        assert!(world.keyspace.effects().interest().is_none());
    }

    #[test]
    fn parties_are_counted_apart() {
        let effects = Effects::default();
        for party in Party::ALL {
            (0..3).for_each(|_| effects.enter(party));
            assert!(effects.interest().of(party));
        }
        for party in Party::ALL {
            (0..3).for_each(|_| effects.leave(party));
            assert!(!effects.interest().of(party));
        }
        assert!(effects.interest().is_none());
    }

    #[test]
    fn expiry_is_told_once_and_in_order_whoever_meets_it() {
        let world = World::new(false);
        world.publish_all();
        world.keyspace.effects().enter(Party::Tracking);
        let keys: &[&[u8]] = &[b"a", b"b", b"x"];
        let prepare = || {
            world.command(world.now_ms, keys, Mode::Exclusive, |view| {
                set(view, b"a", Deadline::At(world.now_ms + 5));
                set(view, b"b", Deadline::Clear);
            });
        };
        let gone = ["expired 0:a", "modified 0:a by 0"];
        let later_ms = world.now_ms + 10;
        // A reader.
        prepare();
        let told = world.command(later_ms, keys, Mode::Shared, |view| {
            assert!(view.get(b"a").is_none() && view.get(b"x").is_none() && view.get(b"a").is_none());
        });
        assert_eq!(told[..2], gone);
        assert_eq!(told[2..], ["keymiss 0:a", "keymiss 0:x", "keymiss 0:a"]);
        // A writer that looks first, then writes.
        prepare();
        let told = world.command(later_ms, keys, Mode::Exclusive, |view| {
            assert!(view.update(b"a").is_none() && view.peek(b"a").is_none());
            set(view, b"a", Deadline::Clear);
        });
        assert_eq!(told[..2], gone);
        assert_eq!(told[2..], ["new 0:a", "modified 0:a by 7", "set 0:a"]);
        // A writer that just writes, one that removes, one that does nothing.
        prepare();
        let told = world
            .command(later_ms, keys, Mode::Exclusive, |view| view.set(b"a", Value::Int(2), Deadline::Clear));
        assert_eq!(told, [gone[0], gone[1], "new 0:a"]);
        prepare();
        assert_eq!(
            world.command(later_ms, keys, Mode::Exclusive, |view| assert!(view.remove(b"a").is_none())),
            gone
        );
        prepare();
        assert_eq!(
            world.command(later_ms, keys, Mode::Exclusive, |view| assert!(view.update(b"a").is_none())),
            gone
        );
        assert_eq!(world.keyspace.counts(0).keys, 1);
        // Nobody: the reaper.
        prepare();
        let round = world.keyspace.expire_due(0, later_ms, Duration::from_secs(1));
        assert_eq!((round.expired, world.recorder.take()), (1, gone.map(str::to_owned).to_vec()));
    }

    #[test]
    fn listed_keys_are_settled_when_the_command_is_done() {
        let world = World::new(true);
        world.keyspace.effects().enter(Party::Tracking);
        let told = world.command(world.now_ms, &[b"a", b"b"], Mode::Exclusive, |view| {
            set(view, b"b", Deadline::At(world.now_ms + 5));
            set(view, b"a", Deadline::Clear);
        });
        assert_eq!(told, ["modified 0:b by 7", "modified 0:a by 7", "settled 0:b 0:a"]);
        world.keyspace.expire_due(0, world.now_ms + 10, Duration::from_secs(1));
        assert_eq!(world.recorder.take(), ["modified 0:b by 0", "expired in no command: 0:b"]);
    }

    #[test]
    fn flushing_and_swapping_concern_the_keys_that_there_are() {
        let world = World::new(true);
        world.keyspace.effects().enter(Party::Tracking);
        world.command(world.now_ms, &[b"a"], Mode::Exclusive, |view| set(view, b"a", Deadline::Clear));
        let all = |f: &dyn Fn(&mut View<'_>)| {
            let mut view = world.keyspace.lock_databases(0, world.now_ms, 0..2, Mode::Exclusive);
            f(&mut view);
            view.finish();
            world.recorder.take()
        };
        let both = ["all modified, with 0:a", "all modified, with 1:a", "settled 0:a 1:a"];
        assert_eq!(all(&|view| view.swap(0, 1)), both);
        assert!(all(&|view| drop(view.flush(0..1))).is_empty());
        assert_eq!(all(&|view| drop(view.flush(0..2))), ["all modified, with 1:a", "settled 1:a"]);
    }
}
