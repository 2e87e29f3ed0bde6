//! Clients that wait for keys: a queue for each (database, key), first come, first served.
//!
//! A client that finds nothing joins the queues of its keys while it holds their shards, so that nobody can make
//! one of them ready unnoticed in between. Whoever changes a key for which somebody waits serves the queue on its own
//! thread, still holding the shard, when its own command (or transaction) is finished: it claims a waiter
//! (see [`waiter::Claim`]), carries out the waiter's operation, and leaves the reply for the waiter's connection,
//! which it wakes. The time between the push and the pop is none at all, to everybody else.
//!
//! An operation that needs one more shard (BLMOVE's destination) is done right after the pusher has released its
//! own, with all its keys locked in the global order. Until then nobody who waits is served from this key, and whoever
//! comes to wait queues up.
//!
//! That somebody waits for a key that was changed is found out through the effects of the keyspace (see
//! [`crate::keyspace::effects`]), where the queues are an [`Observer`]: a view lists such keys. A stream that expires,
//! on which somebody waits as the reader of a group, is changed without a view; it is looked at a moment later.
//!
//! Queues are under leaf locks, which are never held while anything else is locked.

mod waiter;

#[cfg(test)]
mod model;

pub use waiter::{Bill, Operation, Outcome, Terms, Unblock, Waiter};

use super::clients::Client;
use crate::keyspace::effects::{Change, Listed, MassChange, Observer, Party, Place};
use crate::keyspace::hash::KeyHash;
use crate::keyspace::view::Mode;
use crate::keyspace::{Keyspace, View};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// The queues are in so many parts, each under a lock of its own, so that workers rarely meet.
const PARTS: usize = 64;

const UNBLOCKED: &[u8] = b"UNBLOCKED client unblocked via CLIENT UNBLOCK";

/// Those who wait for one key.
#[derive(Default)]
struct Queue {
    /// By their order of arrival.
    waiters: BTreeMap<u64, Arc<Waiter>>,
    /// How many of them also end when the key is gone.
    without_key: usize,
}

/// Queues by database and key.
type Part = BTreeMap<usize, HashMap<Box<[u8]>, Queue>>;

/// Numbers of keys for INFO.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct BlockingKeys {
    /// For which somebody waits.
    pub all: usize,
    /// For whose end somebody waits.
    pub without_key: usize,
}

/// An operation that needs another shard than those that were locked when its key became ready.
pub struct Postponed {
    place: Place,
    destination: Box<[u8]>,
}

/// What serving leaves to whoever has the locks.
#[derive(Default)]
pub struct Rest {
    /// To be given to [`Waiters::serve_rest`].
    pub postponed: Vec<Postponed>,
    /// Waits that have ended: their commands are to be counted.
    pub ended: Vec<Arc<Waiter>>,
}

/// All queues of the server.
pub struct Waiters {
    parts: Box<[Mutex<Part>]>,
    last_ordinal: AtomicU64,
    /// Clients that wait, for keys or for something else, and those of them who do so for a limited time.
    clients: AtomicUsize,
    timed: AtomicUsize,
    /// Keys that have expired while somebody waited for that.
    expired: Mutex<Vec<Place>>,
    has_expired: AtomicBool,
}

impl Default for Waiters {
    fn default() -> Waiters {
        Waiters {
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
            last_ordinal: AtomicU64::new(0),
            clients: AtomicUsize::new(0),
            timed: AtomicUsize::new(0),
            expired: Mutex::default(),
            has_expired: AtomicBool::new(false),
        }
    }
}

/// Where a model may change to another thread.
#[inline(always)]
fn point() {
    #[cfg(test)]
    crate::keyspace::model::point();
}

/// The keys that the view's command has changed, for which somebody waits.
pub fn ready_keys(view: &View<'_>) -> Vec<Place> {
    view.take_listed(Party::Waiters).into_iter().map(|listed| listed.place).collect()
}

fn part_of(hash: KeyHash) -> usize {
    hash.shard as usize % PARTS
}

impl Waiters {
    /// Makes the client wait. The view holds the shards of all keys of the operation, and none of them is ready;
    /// its selected database is the operation's.
    pub fn wait(
        &self,
        view: &View<'_>,
        client: &Arc<Client>,
        operation: Box<dyn Operation>,
        terms: Terms,
        bill: Bill,
    ) -> Arc<Waiter> {
        let parts = operation.keys().iter().map(|key| part_of(view.keyspace().hash(key))).collect();
        let ordinal = self.last_ordinal.fetch_add(1, Ordering::Relaxed) + 1;
        let waiter = Arc::new(Waiter::new(ordinal, client.clone(), view.db, operation, parts, (terms, bill)));
        self.clients.fetch_add(1, Ordering::Relaxed);
        self.timed.fetch_add(terms.is_timed as usize, Ordering::Relaxed);
        if !waiter.parts.is_empty() {
            view.keyspace().effects().enter(Party::Waiters);
        }
        for (key, part) in waiter.operation.keys().iter().zip(&waiter.parts) {
            point();
            let mut part = self.parts[*part].lock();
            let queue = part.entry(view.db).or_default().entry(key.clone()).or_default();
            // A key may be named twice.
            if queue.waiters.insert(ordinal, waiter.clone()).is_none() {
                queue.without_key += waiter.operation.ends_without_key() as usize;
            }
        }
        // Last: from here on CLIENT UNBLOCK may take the waiter out of the queues again. Others cannot without locks.
        client.set_waiter(Some(waiter.clone()));
        waiter
    }

    /// Whether somebody waits who is going to be served from this key of the selected database before anybody
    /// else, as soon as another shard is locked too.
    pub fn is_promised(&self, view: &View<'_>, key: &[u8]) -> bool {
        // Whoever waits for this key began to under the shard's lock, so the number is not out of date.
        if self.clients() == 0 {
            return false;
        }
        let mut after = 0;
        while let Some(waiter) = self.next(view, view.db, key, after) {
            if waiter.claim.is_waiting() && waiter.operation.is_ready(view, key) {
                return true;
            }
            after = waiter.ordinal;
        }
        false
    }

    /// The first in the queue after `after`. Nobody, if the key is gone and nobody waits for that.
    fn next(&self, view: &View<'_>, db: usize, key: &[u8], after: u64) -> Option<Arc<Waiter>> {
        point();
        let part = self.parts[part_of(view.keyspace().hash(key))].lock();
        let queue = part.get(&db)?.get(key)?;
        let (_, waiter) = queue.waiters.range((Bound::Excluded(after), Bound::Unbounded)).next()?;
        let waiter = waiter.clone();
        let without_key = queue.without_key;
        drop(part);
        (without_key > 0 || view.peek_in(db, key).is_some()).then_some(waiter)
    }

    /// Serves those who wait for keys that were made ready, and for keys that become ready by that. What cannot be
    /// done under this view is added to `rest`.
    pub fn serve(&self, view: &mut View<'_>, ready: Vec<Place>, rest: &mut Rest) {
        let mut ready = VecDeque::from(ready);
        while let Some(Place { db, key }) = ready.pop_front() {
            let (selected, actor) = (std::mem::replace(&mut view.db, db), view.actor());
            self.serve_key(view, &key, rest);
            view.db = selected;
            view.act_for(actor);
            ready.extend(ready_keys(view));
        }
    }

    fn serve_key(&self, view: &mut View<'_>, key: &[u8], rest: &mut Rest) {
        let mut after = 0;
        while let Some(waiter) = self.next(view, view.db, key, after) {
            after = waiter.ordinal;
            if !waiter.claim.is_waiting() || !waiter.operation.is_ready(view, key) {
                continue;
            }
            if let Some(destination) = waiter.operation.destination()
                && !view.may_write(view.db, destination)
            {
                // Whoever comes behind in the queue has to wait for it.
                let place = Place { db: view.db, key: key.into() };
                rest.postponed.push(Postponed { place, destination: destination.into() });
                return;
            }
            if self.claim(view.keyspace(), &waiter) {
                view.act_for(waiter.client.id);
                waiter.end(|out| {
                    let result = waiter.operation.perform(view, out);
                    view.log_unit();
                    result
                });
                rest.ended.push(waiter);
            }
        }
    }

    /// Does what was postponed, and looks at keys that have expired: to be called when no shard is held. `finished` is
    /// given each view that was needed. Adds to the waits that have ended.
    pub fn serve_rest(
        &self,
        keyspace: &Keyspace,
        now_ms: i64,
        rest: &mut Rest,
        mut finished: impl FnMut(&mut View<'_>),
    ) {
        let mut expired = self.take_expired();
        loop {
            if let Some(Postponed { place, destination }) = rest.postponed.pop() {
                let places = [(place.db, &*place.key), (place.db, &*destination)];
                let mut view = keyspace.lock_places(place.db, now_ms, &places, Mode::Exclusive);
                self.serve(&mut view, vec![place.clone()], rest);
                finished(&mut view);
            } else if let Some(place) = expired.pop() {
                let places = [(place.db, &*place.key)];
                let mut view = keyspace.lock_places(place.db, now_ms, &places, Mode::Exclusive);
                self.serve(&mut view, vec![place.clone()], rest);
                finished(&mut view);
            } else {
                return;
            }
        }
    }

    /// Whether a key has expired while somebody waited for that.
    #[inline]
    pub fn has_expired(&self) -> bool {
        self.has_expired.load(Ordering::Relaxed)
    }

    fn take_expired(&self) -> Vec<Place> {
        if !self.has_expired() {
            return Vec::new();
        }
        let mut expired = self.expired.lock();
        self.has_expired.store(false, Ordering::Relaxed);
        std::mem::take(&mut *expired)
    }

    /// Takes the right to end this wait, and the waiter out of all queues.
    fn claim(&self, keyspace: &Keyspace, waiter: &Waiter) -> bool {
        if !waiter.claim.take() {
            return false;
        }
        if !waiter.parts.is_empty() {
            keyspace.effects().leave(Party::Waiters);
        }
        for (key, part) in waiter.operation.keys().iter().zip(&waiter.parts) {
            point();
            let mut part = self.parts[*part].lock();
            let Some(queues) = part.get_mut(&waiter.db) else { continue };
            let Some(queue) = queues.get_mut(&**key) else { continue };
            if queue.waiters.remove(&waiter.ordinal).is_some() {
                queue.without_key -= waiter.operation.ends_without_key() as usize;
            }
            if queue.waiters.is_empty() {
                queues.remove(&**key);
            }
        }
        waiter.client.set_waiter(None);
        self.clients.fetch_sub(1, Ordering::Relaxed);
        self.timed.fetch_sub(waiter.terms.is_timed as usize, Ordering::Relaxed);
        true
    }

    /// Ends a wait whose time is over. False if somebody else has ended it, or is about to.
    pub fn time_out(&self, keyspace: &Keyspace, waiter: &Waiter) -> bool {
        let claimed = self.claim(keyspace, waiter);
        if claimed {
            waiter.end(|out| {
                waiter.operation.give_up(out);
                Ok(())
            });
        }
        claimed
    }

    /// Ends a wait for something else than keys, which has come. Does nothing if somebody else has ended it.
    pub fn complete(&self, keyspace: &Keyspace, waiter: &Waiter) {
        if self.claim(keyspace, waiter) {
            waiter.end(|out| {
                waiter.operation.complete(out);
                Ok(())
            });
        }
    }

    /// Ends a wait because its connection ends. False if somebody else has ended it, or is about to.
    pub fn withdraw(&self, keyspace: &Keyspace, waiter: &Waiter) -> bool {
        self.claim(keyspace, waiter)
    }

    /// CLIENT UNBLOCK: the wait that was ended, none if the client does not wait.
    pub fn unblock(&self, keyspace: &Keyspace, client: &Client, how: Unblock) -> Option<Arc<Waiter>> {
        let waiter = client.waiter()?;
        let ended = match how {
            Unblock::Timeout => self.time_out(keyspace, &waiter),
            Unblock::Error => {
                let claimed = self.claim(keyspace, &waiter);
                if claimed {
                    waiter.end(|_| Err(UNBLOCKED.to_vec()));
                }
                claimed
            }
        };
        ended.then_some(waiter)
    }

    /// How many clients wait.
    pub fn clients(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }

    /// How many of them do so for a limited time.
    pub fn timed_clients(&self) -> usize {
        self.timed.load(Ordering::Relaxed)
    }

    /// For how many keys clients wait.
    pub fn blocking_keys(&self) -> BlockingKeys {
        let mut keys = BlockingKeys::default();
        for part in &self.parts {
            let part = part.lock();
            for queue in part.values().flat_map(HashMap::values) {
                keys.all += 1;
                keys.without_key += (queue.without_key > 0) as usize;
            }
        }
        keys
    }
}

impl Observer for Waiters {
    /// Whether somebody waits for the key.
    fn modified(&self, change: &Change<'_>) -> bool {
        point();
        let part = self.parts[part_of(change.hash)].lock();
        part.get(&change.db).is_some_and(|queues| queues.contains_key(change.key))
    }

    fn all_modified(&self, change: &MassChange<'_>, list: &mut Vec<Listed>) {
        for part in &self.parts {
            let mut found = Vec::new();
            for (db, queues) in &*part.lock() {
                if change.all || change.databases.contains(db) {
                    found.extend(queues.keys().map(|key| Place { db: *db, key: key.clone() }));
                }
            }
            // Asked without the leaf lock: the answer is in the tables.
            found.retain(|place: &Place| (change.concerns)(place.db, &place.key));
            list.extend(found.into_iter().map(|place| Listed { place, by: change.by }));
        }
    }

    fn expired(&self, change: &Change<'_>) {
        self.expired.lock().push(Place { db: change.db, key: change.key.into() });
        self.has_expired.store(true, Ordering::Relaxed);
    }

    fn settled(&self, _listed: &[Listed]) {}
}
