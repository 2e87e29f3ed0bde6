//! Client-side caching: who is told that a key which it may have cached has changed (CLIENT TRACKING).
//!
//! In the default mode, what a client reads is remembered while the key's shard is locked ([`Tracking::remember`]),
//! and whoever modifies the key after that takes the readers out and sends each an invalidation, while the shard is
//! locked exclusively. So the invalidation is in the client's mailbox behind the reply with the old value, and before
//! the writer gets its own reply: no stale value survives both. In broadcasting mode clients are told of all keys
//! with certain prefixes, once per command.
//!
//! Locks taken in here are leaf locks, and are released before anything is sent; only those of the table of read
//! keys are taken under that of the clients. Knows nothing of commands.

mod table;

use super::clients::{Client, Clients};
use crate::keyspace::effects::{Change, Effects, Listed, MassChange, Observer, Party};
use crate::resp::reply::{Proto, Reply};
use bitflags::bitflags;
use parking_lot::RwLock;
use smallvec::SmallVec;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use table::{ReadKeys, Readers};

/// The channel on which a connection of protocol 2 gets the invalidations that are redirected to it.
pub const CHANNEL: &[u8] = b"__redis__:invalidate";

bitflags! {
    /// How a client is tracked.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Modes: u8 {
        const ON = 1;
        /// Told of prefixes, whatever the client reads.
        const BCAST = 1 << 1;
        /// Reads count only behind CLIENT CACHING YES.
        const OPTIN = 1 << 2;
        /// Reads count except behind CLIENT CACHING NO.
        const OPTOUT = 1 << 3;
        /// Not told of its own changes.
        const NOLOOP = 1 << 4;
        /// CLIENT CACHING was said of the next command.
        const CACHING = 1 << 5;
        /// The client that was to be told instead is gone.
        const BROKEN = 1 << 6;
    }
}

impl Modes {
    /// Whether what the client reads now is remembered.
    pub fn remembers(self) -> bool {
        self.contains(Modes::ON)
            && !self.contains(Modes::BCAST)
            && self.contains(Modes::OPTIN) <= self.contains(Modes::CACHING)
            && !self.contains(Modes::OPTOUT | Modes::CACHING)
    }
}

/// A client that is tracked, and how.
pub struct Tracker {
    client: Arc<Client>,
    modes: Modes,
    /// The client that is told instead; 0 is none.
    redirect: u64,
    /// Of broadcasting mode, in order.
    pub prefixes: Vec<Box<[u8]>>,
}

/// Whom a change concerns. Mostly a few.
type Trackers = SmallVec<[Arc<Tracker>; 4]>;

/// Whom each prefix concerns.
type Prefixes = BTreeMap<Box<[u8]>, Vec<Arc<Tracker>>>;

/// All that is tracked.
pub struct Tracking {
    clients: Arc<Clients>,
    trackers: RwLock<HashMap<u64, Arc<Tracker>>>,
    read_keys: ReadKeys,
    /// `tracking-table-max-keys`; 0 is no limit.
    max_keys: AtomicUsize,
    /// Who is told of keys with this prefix.
    prefixes: RwLock<Prefixes>,
    prefix_count: AtomicUsize,
}

impl Tracking {
    /// `clients` is where those are found to whom invalidations are redirected.
    pub fn new(clients: Arc<Clients>) -> Tracking {
        Tracking {
            clients,
            trackers: RwLock::default(),
            read_keys: ReadKeys::default(),
            max_keys: AtomicUsize::new(0),
            prefixes: RwLock::default(),
            prefix_count: AtomicUsize::new(0),
        }
    }

    /// How a client is tracked, if it is.
    pub fn of(&self, client: u64) -> Option<Arc<Tracker>> {
        self.trackers.read().get(&client).cloned()
    }

    /// Tracks a client from now on, in `modes`; tells the client of number `redirect` instead of it unless that
    /// is 0. `prefixes` come to those that it has in broadcasting mode.
    pub fn enable(
        &self,
        effects: &Effects,
        client: &Arc<Client>,
        modes: Modes,
        redirect: u64,
        prefixes: &[&[u8]],
    ) {
        let mut all: Vec<Box<[u8]>> = Vec::new();
        if let Some(before) = self.of(client.id) {
            all.clone_from(&before.prefixes);
        }
        if modes.contains(Modes::BCAST) {
            let everything: &[&[u8]] = &[b""];
            let new = if prefixes.is_empty() { everything } else { prefixes };
            all.extend(new.iter().map(|prefix| Box::from(*prefix)));
            all.sort();
            all.dedup();
        }
        let tracker = Arc::new(Tracker { client: client.clone(), modes, redirect, prefixes: all });
        client.tracking.store(modes.bits(), Ordering::Relaxed);
        client.redirect.store(redirect as i64, Ordering::Relaxed);
        let before = self.trackers.write().insert(client.id, tracker.clone());
        self.set_prefixes(client.id, Some(&tracker));
        if before.is_none() {
            effects.enter(Party::Tracking);
        }
    }

    /// Tracks a client no more. What it has read is forgotten when it is invalidated, or when no client is tracked.
    pub fn disable(&self, effects: &Effects, client: &Client) {
        let mut trackers = self.trackers.write();
        let was_tracked = trackers.remove(&client.id).is_some();
        if was_tracked && trackers.is_empty() {
            // Nobody is told of changes from now on. The next client must wait until this is done.
            self.read_keys.clear();
        }
        drop(trackers);
        if was_tracked {
            self.set_prefixes(client.id, None);
            client.tracking.store(0, Ordering::Relaxed);
            client.redirect.store(-1, Ordering::Relaxed);
            effects.leave(Party::Tracking);
        }
    }

    /// Enters a client under its prefixes, and under no others.
    fn set_prefixes(&self, client: u64, tracker: Option<&Arc<Tracker>>) {
        let mut prefixes = self.prefixes.write();
        prefixes.retain(|_, trackers| {
            trackers.retain(|tracker| tracker.client.id != client);
            !trackers.is_empty()
        });
        if let Some(tracker) = tracker {
            for prefix in &tracker.prefixes {
                prefixes.entry(prefix.clone()).or_default().push(tracker.clone());
            }
        }
        self.prefix_count.store(prefixes.len(), Ordering::Relaxed);
    }

    /// A client has read a key, whose shard is still locked.
    pub fn remember(&self, client: u64, key: &[u8]) {
        self.read_keys.add(key, client);
        self.trim();
    }

    /// Sets how many keys are remembered at most (0: no limit), and forgets those that are too many.
    pub fn set_max_keys(&self, max_keys: usize) {
        self.max_keys.store(max_keys, Ordering::Relaxed);
        self.trim();
    }

    /// Forgets keys beyond the limit, whose readers have to forget them first.
    fn trim(&self) {
        let max_keys = self.max_keys.load(Ordering::Relaxed);
        while max_keys != 0
            && self.read_keys.keys() > max_keys
            && let Some((key, readers)) = self.read_keys.take_any()
        {
            self.invalidate(&key, &readers, 0);
        }
    }

    /// Tells the readers of a key that somebody has changed it.
    fn invalidate(&self, key: &[u8], readers: &Readers, by: u64) {
        if readers.is_empty() {
            return;
        }
        let concerned: Trackers = {
            let trackers = self.trackers.read();
            readers.iter().filter_map(|client| trackers.get(client).cloned()).collect()
        };
        for tracker in concerned {
            let is_own = tracker.modes.contains(Modes::NOLOOP) && tracker.client.id == by;
            // Whoever has changed to broadcasting mode does not want what it read before.
            if !tracker.modes.contains(Modes::BCAST) && !is_own {
                self.tell(&tracker, |mail| {
                    mail.array(1);
                    mail.bulk(key);
                });
            }
        }
    }

    /// Sends an invalidation, whose keys `write_keys` writes.
    fn tell(&self, tracker: &Tracker, write_keys: impl Fn(&mut Reply)) {
        let push = |mail: &mut Reply| {
            mail.push(2);
            mail.bulk(b"invalidate");
            write_keys(mail);
        };
        if tracker.redirect == 0 {
            tracker.client.send(|mail| {
                if mail.proto() == Proto::Resp3 {
                    push(mail);
                }
            });
            return;
        }
        let target = self.clients.get(tracker.redirect);
        let is_sent = target.is_some_and(|target| {
            let is_subscriber = target.is_subscriber.load(Ordering::Relaxed);
            target.send(|mail| {
                if mail.proto() == Proto::Resp3 {
                    push(mail);
                } else if is_subscriber {
                    mail.array(3);
                    mail.bulk(b"message");
                    mail.bulk(CHANNEL);
                    write_keys(mail);
                }
            })
        });
        if !is_sent {
            tracker.client.tracking.fetch_or(Modes::BROKEN.bits(), Ordering::Relaxed);
            tracker.client.send(|mail| {
                if mail.proto() == Proto::Resp3 {
                    mail.push(2);
                    mail.bulk(b"tracking-redir-broken");
                    mail.integer(tracker.redirect as i64);
                }
            });
        }
    }

    /// Tells those who have prefixes of the keys which have them.
    fn broadcast(&self, listed: &[Listed]) {
        // Of changes of one key by different clients, the last one counts, as in Redis.
        let keys: BTreeMap<&[u8], u64> =
            listed.iter().map(|Listed { place, by }| (&*place.key, *by)).collect();
        let mut concerned = Prefixes::new();
        for (prefix, trackers) in &*self.prefixes.read() {
            if keys.keys().any(|key| key.starts_with(prefix)) {
                concerned.insert(prefix.clone(), trackers.clone());
            }
        }
        for (prefix, trackers) in concerned {
            let with_prefix = || keys.iter().filter(|(key, _)| key.starts_with(&prefix));
            for tracker in trackers {
                let own = if tracker.modes.contains(Modes::NOLOOP) { tracker.client.id } else { 0 };
                let wanted = || with_prefix().filter(|(_, by)| own == 0 || **by != own);
                let count = wanted().count();
                if count > 0 {
                    self.tell(&tracker, |mail| {
                        mail.array(count);
                        wanted().for_each(|(key, _)| mail.bulk(key));
                    });
                }
            }
        }
    }

    /// How many clients are tracked.
    pub fn tracked_clients(&self) -> usize {
        self.trackers.read().len()
    }

    /// How many keys are remembered.
    pub fn keys(&self) -> usize {
        self.read_keys.keys()
    }

    /// How many readers are remembered, of all keys together.
    pub fn items(&self) -> usize {
        self.read_keys.items()
    }

    /// How many prefixes somebody wants to be told of.
    pub fn prefix_count(&self) -> usize {
        self.prefix_count.load(Ordering::Relaxed)
    }
}

impl Observer for Tracking {
    fn modified(&self, change: &Change<'_>) -> bool {
        self.invalidate(change.key, &self.read_keys.take(change.key), change.by);
        self.prefix_count() > 0 && self.prefixes.read().keys().any(|prefix| change.key.starts_with(prefix))
    }

    fn all_modified(&self, _change: &MassChange<'_>, _list: &mut Vec<Listed>) {
        // First this: who reads another database's key now must be told of its changes, or that all are gone.
        self.read_keys.clear();
        let all: Vec<Arc<Tracker>> = self.trackers.read().values().cloned().collect();
        for tracker in all {
            self.tell(&tracker, Reply::null);
        }
    }

    fn expired(&self, change: &Change<'_>) {
        self.broadcast(&[Listed::of(change)]);
    }

    fn settled(&self, listed: &[Listed]) {
        self.broadcast(listed);
    }
}
