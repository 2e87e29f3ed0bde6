//! WATCH: which clients want to know whether a key has changed before their EXEC.
//!
//! A key is registered while its shard is locked, and EXEC asks whether anything has changed while the shards of all
//! watched keys are locked again: no change is missed, and none is imagined. A client that was told once needs to hear
//! nothing more. What is compared is what clients can see: a key that had expired when it was watched does not change
//! when it is removed; one that expires afterwards does, also if nobody has noticed yet.
//!
//! The registry is an observer of the keyspace's effects. Its locks are leaf locks, one for a part of the keys each.

use super::clients::Client;
use crate::keyspace::View;
use crate::keyspace::effects::{Change, Effects, Listed, MassChange, Observer, Party, Place};
use crate::keyspace::hash::KeyHash;
use hashbrown::{Equivalent, HashMap};
use parking_lot::Mutex;
use smallvec::SmallVec;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

/// Parts of the registry, a power of two: so that clients that watch different keys seldom meet.
const PARTS: usize = 64;

/// How far a client's watching has come. Part of its record.
#[derive(Default)]
pub struct WatchState {
    /// [`IDLE`], [`WATCHING`] or [`DIRTY`].
    state: AtomicU8,
    keys: AtomicUsize,
}

const IDLE: u8 = 0;
const WATCHING: u8 = 1;
const DIRTY: u8 = 2;

impl WatchState {
    /// A watched key has changed.
    pub fn is_dirty(&self) -> bool {
        self.state.load(Ordering::Acquire) == DIRTY
    }

    /// How many keys the client watches; none once it is known that one has changed.
    pub fn keys(&self) -> usize {
        match self.state.load(Ordering::Relaxed) {
            WATCHING => self.keys.load(Ordering::Relaxed),
            _ => 0,
        }
    }

    fn soil(&self) {
        self.state.store(DIRTY, Ordering::Release);
    }
}

/// A key that the connection watches.
pub struct Watched {
    pub db: usize,
    pub hash: KeyHash,
    key: Box<[u8]>,
    /// When the key, as it was, is going to expire: Unix milliseconds.
    deadline: Option<i64>,
}

/// All that one connection watches.
#[derive(Default)]
pub struct WatchedKeys(Vec<Watched>);

impl WatchedKeys {
    pub fn keys(&self) -> &[Watched] {
        &self.0
    }

    /// Whether a key has reached its deadline.
    fn is_expired(&self, now_ms: i64) -> bool {
        self.0.iter().any(|watched| watched.deadline.is_some_and(|deadline| now_ms > deadline))
    }

    /// Memory of the list, and its part in the registry.
    pub fn heap_bytes(&self) -> usize {
        let names: usize = self.0.iter().map(|watched| 2 * watched.key.len()).sum();
        self.0.len() * (size_of::<Watched>() + size_of::<(Place, Clients)>()) + names
    }
}

type Clients = SmallVec<[Watcher; 1]>;

struct Watcher {
    client: Arc<Client>,
    /// There was such a key when it was watched.
    existed: bool,
}

/// A place to look up.
#[derive(Hash)]
struct PlaceRef<'a> {
    db: usize,
    key: &'a [u8],
}

impl Equivalent<Place> for PlaceRef<'_> {
    fn equivalent(&self, place: &Place) -> bool {
        self.db == place.db && *self.key == *place.key
    }
}

/// The registry. See the module's head.
pub struct Watchers {
    parts: Box<[Mutex<HashMap<Place, Clients>>]>,
}

impl Default for Watchers {
    fn default() -> Watchers {
        Watchers { parts: (0..PARTS).map(|_| Mutex::default()).collect() }
    }
}

impl Watchers {
    fn part(&self, hash: KeyHash) -> &Mutex<HashMap<Place, Clients>> {
        &self.parts[hash.item as usize % PARTS]
    }

    /// Registers a key of the view's database, whose shard the view has locked. `watched` is all that the client watches.
    pub fn watch(&self, client: &Arc<Client>, watched: &mut WatchedKeys, view: &View<'_>, key: &[u8]) {
        // A client that knows of a change already needs to know nothing more.
        if client.watch.is_dirty() {
            return;
        }
        let (db, hash) = (view.db, view.keyspace().hash(key));
        if watched.0.iter().any(|other| other.db == db && *other.key == *key) {
            return;
        }
        let entry = view.peek(key);
        let (existed, deadline) = (entry.is_some(), entry.and_then(|entry| entry.deadline()));
        if watched.0.is_empty() {
            view.keyspace().effects().enter(Party::Watchers);
            client.watch.state.store(WATCHING, Ordering::Relaxed);
        }
        watched.0.push(Watched { db, hash, key: key.into(), deadline });
        client.watch.keys.store(watched.0.len(), Ordering::Relaxed);
        let mut part = self.part(hash).lock();
        let watcher = Watcher { client: client.clone(), existed };
        match part.get_mut(&PlaceRef { db, key }) {
            Some(clients) => clients.push(watcher),
            None => drop(part.insert(Place { db, key: key.into() }, SmallVec::from_iter([watcher]))),
        }
    }

    /// Forgets all that the client watches, and what has happened to it.
    pub fn unwatch(&self, client: &Client, watched: &mut WatchedKeys, effects: &Effects) {
        if watched.0.is_empty() {
            return;
        }
        for Watched { db, hash, key, .. } in watched.0.drain(..) {
            let mut part = self.part(hash).lock();
            let place = PlaceRef { db, key: &key };
            if let Some(clients) = part.get_mut(&place) {
                clients.retain(|watcher| watcher.client.id != client.id);
                if clients.is_empty() {
                    part.remove(&place);
                }
            }
        }
        effects.leave(Party::Watchers);
        client.watch.state.store(IDLE, Ordering::Relaxed);
    }

    /// Whether a watched key has changed. The shards of all of them are locked.
    pub fn has_changed(&self, client: &Client, watched: &WatchedKeys, now_ms: i64) -> bool {
        client.watch.is_dirty() || watched.is_expired(now_ms)
    }

    /// How many keys are watched by anybody who does not know yet that one has changed.
    pub fn watched_keys(&self) -> usize {
        let is_watched = |clients: &Clients| clients.iter().any(|watcher| !watcher.client.watch.is_dirty());
        self.parts.iter().map(|part| part.lock().values().filter(|clients| is_watched(clients)).count()).sum()
    }
}

impl Observer for Watchers {
    fn modified(&self, change: &Change<'_>) -> bool {
        let part = self.part(change.hash).lock();
        if let Some(clients) = part.get(&PlaceRef { db: change.db, key: change.key }) {
            // Nobody's change is an expiry, which makes no difference to who saw no key.
            let is_expiry = change.by == 0;
            for watcher in clients.iter().filter(|watcher| watcher.existed || !is_expiry) {
                watcher.client.watch.soil();
            }
        }
        false
    }

    fn all_modified(&self, change: &MassChange<'_>, _list: &mut Vec<Listed>) {
        for part in &self.parts {
            let part = part.lock();
            let concerned = |place: &Place| change.all || change.databases.contains(&place.db);
            for (place, clients) in part.iter().filter(|(place, _)| concerned(place)) {
                if (change.shows)(place.db, &place.key) {
                    clients.iter().for_each(|watcher| watcher.client.watch.soil());
                }
            }
        }
    }

    fn expired(&self, _change: &Change<'_>) {}

    fn settled(&self, _listed: &[Listed]) {}
}
