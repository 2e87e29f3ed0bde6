//! Publishing: who listens to which channels, and the delivery of messages.
//!
//! Channels are spread over shards, each with a lock that is held while a message is put in the mailboxes of all
//! who listen to its channel. So all of them get the messages of one channel in the same order, whichever workers
//! publish; and whoever subscribes or unsubscribes comes before or after a message, never in its midst. Patterns
//! are few and tried one by one, under a lock that publishers share.
//!
//! A message is encoded once for each protocol that is listened with. Locks are taken in the order: channels,
//! patterns, mailbox; nobody who holds one of them waits for anything else.

use super::clients::{self, Client};
use super::relay::{Group, Relay};
use super::session::Session;
use crate::resp::reply::Reply;
use crate::types::glob;
use ahash::RandomState;
use bytes::Bytes;
use crossbeam_utils::CachePadded;
use parking_lot::{Mutex, RwLock};
use smallvec::SmallVec;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Enough that the workers of a large machine, publishing to different channels, seldom meet.
const SHARDS: usize = 64;

/// What a subscription takes beside its name, here and in the session, bytes: an estimate for
/// `maxmemory-clients`.
const SUBSCRIPTION_BYTES: usize = 128;

/// What can be subscribed to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Channel,
    Pattern,
    /// A channel that belongs to a slot, in a cluster. A namespace of its own.
    Shard,
}

/// Who listens to one channel or pattern.
#[derive(Default)]
struct Audience {
    /// By worker; none is empty.
    groups: SmallVec<[Arc<Group>; 2]>,
}

impl Audience {
    fn insert(&mut self, relay: &Arc<Relay>, client: &Arc<Client>) {
        let known = self.groups.iter().position(|group| Arc::ptr_eq(group.relay(), relay));
        let at = known.unwrap_or_else(|| {
            self.groups.push(Arc::new(Group::new(relay.clone())));
            self.groups.len() - 1
        });
        self.groups[at].insert(client);
    }

    /// Whether the client was there.
    fn remove(&mut self, id: u64) -> bool {
        let Some(at) = self.groups.iter().position(|group| group.remove(id)) else { return false };
        if self.groups[at].size() == 0 {
            self.groups.swap_remove(at);
        }
        true
    }

    fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// How many listen. Who is being closed does not.
    fn size(&self) -> usize {
        let size = if clients::any_closing() { Group::live } else { Group::size };
        self.groups.iter().map(|group| size(group)).sum()
    }

    /// Sends a message to all, and says to how many.
    fn send(&self, write: impl Fn(&mut Reply)) -> usize {
        for group in &self.groups {
            group.relay().put(group, &write);
        }
        self.size()
    }
}

/// What a session has subscribed to.
#[derive(Default)]
pub struct Subscriptions {
    /// By [`Kind`].
    names: [HashSet<Bytes, RandomState>; 3],
    name_bytes: usize,
}

impl Subscriptions {
    /// How many of this kind.
    pub fn count(&self, kind: Kind) -> usize {
        self.names[kind as usize].len()
    }

    fn total(&self) -> usize {
        self.names.iter().map(HashSet::len).sum()
    }

    /// The names of this kind, in no order.
    pub fn names(&self, kind: Kind) -> Vec<Bytes> {
        self.names[kind as usize].iter().cloned().collect()
    }

    /// What the subscriptions take, bytes.
    pub fn memory_bytes(&self) -> usize {
        self.name_bytes + self.total() * SUBSCRIPTION_BYTES
    }
}

/// Who listens to each channel, for a part of the channels.
type Shard = Mutex<HashMap<Bytes, Audience, RandomState>>;

/// The channels of one namespace.
struct Channels {
    shards: Box<[CachePadded<Shard>]>,
    hasher: RandomState,
    /// Subscriptions to them, by all clients.
    subscriptions: AtomicUsize,
}

impl Default for Channels {
    fn default() -> Channels {
        Channels {
            shards: (0..SHARDS).map(|_| CachePadded::default()).collect(),
            hasher: RandomState::new(),
            subscriptions: AtomicUsize::new(0),
        }
    }
}

impl Channels {
    fn shard(&self, channel: &[u8]) -> &Shard {
        &self.shards[self.hasher.hash_one(channel) as usize % SHARDS]
    }

    fn insert(&self, channel: &[u8], relay: &Arc<Relay>, client: &Arc<Client>) -> Bytes {
        let mut shard = self.shard(channel).lock();
        let name = match shard.get_key_value(channel) {
            Some((name, _)) => name.clone(),
            None => Bytes::copy_from_slice(channel),
        };
        shard.entry(name.clone()).or_default().insert(relay, client);
        self.subscriptions.fetch_add(1, Ordering::Release);
        name
    }

    fn remove(&self, channel: &[u8], id: u64) {
        let mut shard = self.shard(channel).lock();
        let Some(audience) = shard.get_mut(channel) else { return };
        if audience.remove(id) {
            self.subscriptions.fetch_sub(1, Ordering::Release);
        }
        if audience.is_empty() {
            shard.remove(channel);
        }
    }

    /// How many listen to a channel. Who is being closed does not listen.
    fn listeners(&self, channel: &[u8]) -> usize {
        self.shard(channel).lock().get(channel).map_or(0, Audience::size)
    }

    /// The channels that somebody listens to.
    fn active(&self) -> Vec<Bytes> {
        let mut names = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock();
            let active = shard.iter().filter(|(_, audience)| audience.size() > 0);
            names.extend(active.map(|(name, _)| name.clone()));
        }
        names
    }

    fn count(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }
}

/// All subscriptions of the server.
pub struct PubSub {
    /// By worker.
    relays: Box<[Arc<Relay>]>,
    channels: Channels,
    shard_channels: Channels,
    patterns: RwLock<BTreeMap<Bytes, Audience>>,
    /// So that nobody looks at the patterns if there are none.
    pattern_count: AtomicUsize,
    clients: AtomicUsize,
}

impl PubSub {
    /// For so many workers.
    pub fn new(workers: usize) -> PubSub {
        PubSub {
            relays: (0..workers).map(|worker| Arc::new(Relay::new(worker))).collect(),
            channels: Channels::default(),
            shard_channels: Channels::default(),
            patterns: RwLock::default(),
            pattern_count: AtomicUsize::new(0),
            clients: AtomicUsize::new(0),
        }
    }

    /// What is published to clients of a worker goes through here.
    pub fn relay(&self, worker: usize) -> &Arc<Relay> {
        &self.relays[worker]
    }

    /// Subscribes the session to `name`. From now on it gets what is published there.
    pub fn subscribe(&self, session: &mut Session, kind: Kind, name: &[u8]) {
        let subscriptions = session.subscriptions.get_or_insert_default();
        if subscriptions.names[kind as usize].contains(name) {
            return;
        }
        let client = &session.client;
        let relay = self.relay(client.worker);
        client.set_relay(relay);
        let name = match kind {
            Kind::Channel => self.channels.insert(name, relay, client),
            Kind::Shard => self.shard_channels.insert(name, relay, client),
            Kind::Pattern => {
                let mut patterns = self.patterns.write();
                let name = match patterns.get_key_value(name) {
                    Some((name, _)) => name.clone(),
                    None => Bytes::copy_from_slice(name),
                };
                patterns.entry(name.clone()).or_default().insert(relay, client);
                self.pattern_count.store(patterns.len(), Ordering::Release);
                name
            }
        };
        subscriptions.name_bytes += name.len();
        subscriptions.names[kind as usize].insert(name);
        self.note(session);
    }

    /// Ends the session's subscription to `name`, if it has one. What was published before is in its mailbox.
    pub fn unsubscribe(&self, session: &mut Session, kind: Kind, name: &[u8]) {
        let Some(subscriptions) = &mut session.subscriptions else { return };
        if !subscriptions.names[kind as usize].remove(name) {
            return;
        }
        subscriptions.name_bytes -= name.len();
        let id = session.client.id;
        match kind {
            Kind::Channel => self.channels.remove(name, id),
            Kind::Shard => self.shard_channels.remove(name, id),
            Kind::Pattern => {
                let mut patterns = self.patterns.write();
                if let Some(audience) = patterns.get_mut(name) {
                    audience.remove(id);
                    if audience.is_empty() {
                        patterns.remove(name);
                    }
                }
                self.pattern_count.store(patterns.len(), Ordering::Release);
            }
        }
        self.note(session);
    }

    /// Ends all subscriptions of the session.
    pub fn forget(&self, session: &mut Session) {
        for kind in [Kind::Channel, Kind::Pattern, Kind::Shard] {
            let names = session.subscriptions.as_ref().map_or(Vec::new(), |all| all.names(kind));
            for name in names {
                self.unsubscribe(session, kind, &name);
            }
        }
    }

    /// Brings what others see of the session's subscriptions up to date.
    fn note(&self, session: &mut Session) {
        let Some(subscriptions) = &session.subscriptions else { return };
        for (count, names) in session.client.subscriptions.iter().zip(&subscriptions.names) {
            count.store(names.len(), Ordering::Relaxed);
        }
        let is_subscriber = subscriptions.total() > 0;
        match (session.is_subscriber, is_subscriber) {
            (false, true) => self.clients.fetch_add(1, Ordering::Relaxed),
            (true, false) => self.clients.fetch_sub(1, Ordering::Relaxed),
            _ => return,
        };
        session.set_subscriber(is_subscriber);
        if !is_subscriber {
            session.subscriptions = None;
        }
    }

    /// Sends a message to all who listen to `channel`, or to a pattern that fits it. Returns how many messages
    /// were sent.
    ///
    /// Any thread may call this, also one that holds shards of the keyspace.
    pub fn publish(&self, channel: &[u8], message: &[u8]) -> usize {
        let listened = self.channels.subscriptions.load(Ordering::Acquire) > 0;
        let patterns = self.pattern_count.load(Ordering::Acquire) > 0;
        if !listened && !patterns {
            return 0;
        }
        // The lock is held for the patterns, too: they must see the channel's messages in the same order.
        let shard = self.channels.shard(channel).lock();
        let mut sent = shard
            .get(channel)
            .map_or(0, |audience| audience.send(|out| write_message(out, "message", channel, message)));
        if patterns {
            for (pattern, audience) in &*self.patterns.read() {
                if glob::matches(pattern, channel, false) {
                    sent += audience.send(|out| {
                        out.push(4);
                        out.text("pmessage");
                        out.bulk(pattern);
                        out.bulk(channel);
                        out.bulk(message);
                    });
                }
            }
        }
        sent
    }

    /// Sends a message to all who listen to a shard channel.
    pub fn publish_to_shard(&self, channel: &[u8], message: &[u8]) -> usize {
        if self.shard_channels.subscriptions.load(Ordering::Acquire) == 0 {
            return 0;
        }
        let shard = self.shard_channels.shard(channel).lock();
        shard
            .get(channel)
            .map_or(0, |audience| audience.send(|out| write_message(out, "smessage", channel, message)))
    }

    fn channels_of(&self, kind: Kind) -> &Channels {
        match kind {
            Kind::Shard => &self.shard_channels,
            Kind::Channel | Kind::Pattern => &self.channels,
        }
    }

    /// How many clients listen to a channel, patterns aside. Of patterns there is no such figure: `kind` is one of
    /// the other two.
    pub fn listeners(&self, kind: Kind, channel: &[u8]) -> usize {
        self.channels_of(kind).listeners(channel)
    }

    /// The channels that somebody listens to, in no order. `kind` as above.
    pub fn active_channels(&self, kind: Kind) -> Vec<Bytes> {
        self.channels_of(kind).active()
    }

    /// How many different names of this kind are subscribed to.
    pub fn count(&self, kind: Kind) -> usize {
        match kind {
            Kind::Channel => self.channels.count(),
            Kind::Shard => self.shard_channels.count(),
            Kind::Pattern => self.pattern_count.load(Ordering::Acquire),
        }
    }

    /// Clients with subscriptions.
    pub fn clients(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }
}

fn write_message(out: &mut Reply, kind: &str, channel: &[u8], message: &[u8]) {
    out.push(3);
    out.text(kind);
    out.bulk(channel);
    out.bulk(message);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::reply::Proto;
    use crate::state::clients::Transport;

    fn session(id: u64) -> Session {
        let client = Client::new(id, Transport::Tcp, format!("1.2.3.4:{id}"), "0.0.0.0:6".into(), 3, 0);
        Session::new(Arc::new(client), true)
    }

    fn mail(session: &Session) -> String {
        session.client.spread_relay();
        let mut out = Reply::default();
        session.client.mailbox.empty_into(&mut out);
        out.parts().map(|part| String::from_utf8_lossy(part.as_slice()).into_owned()).collect()
    }

    #[test]
    fn channels_patterns_and_shard_channels_are_apart() {
        let pubsub = PubSub::new(1);
        let (mut a, mut b) = (session(1), session(2));
        b.set_proto(Proto::Resp3);
        pubsub.subscribe(&mut a, Kind::Channel, b"news");
        pubsub.subscribe(&mut a, Kind::Channel, b"news");
        pubsub.subscribe(&mut b, Kind::Channel, b"news");
        pubsub.subscribe(&mut b, Kind::Pattern, b"n*");
        pubsub.subscribe(&mut b, Kind::Shard, b"news");
        assert_eq!(pubsub.clients(), 2);
        assert_eq!(
            (pubsub.count(Kind::Channel), pubsub.count(Kind::Pattern), pubsub.count(Kind::Shard)),
            (1, 1, 1)
        );
        assert_eq!(pubsub.listeners(Kind::Channel, b"news"), 2);
        assert_eq!(
            (pubsub.publish(b"news", b"x"), pubsub.publish(b"never", b"y"), pubsub.publish(b"old", b"z")),
            (3, 1, 0)
        );
        assert_eq!(pubsub.publish_to_shard(b"news", b"s"), 1);
        assert_eq!(mail(&a), "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\nx\r\n");
        assert_eq!(
            mail(&b),
            ">3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\nx\r\n\
             >4\r\n$8\r\npmessage\r\n$2\r\nn*\r\n$4\r\nnews\r\n$1\r\nx\r\n\
             >4\r\n$8\r\npmessage\r\n$2\r\nn*\r\n$5\r\nnever\r\n$1\r\ny\r\n\
             >3\r\n$8\r\nsmessage\r\n$4\r\nnews\r\n$1\r\ns\r\n"
        );
        pubsub.unsubscribe(&mut b, Kind::Channel, b"news");
        assert!(b.is_subscriber);
        pubsub.forget(&mut b);
        assert!(!b.is_subscriber && b.subscriptions.is_none());
        assert_eq!((pubsub.publish(b"news", b"x"), pubsub.publish_to_shard(b"news", b"s")), (1, 0));
        pubsub.forget(&mut a);
        assert_eq!((pubsub.clients(), pubsub.count(Kind::Channel), pubsub.publish(b"news", b"x")), (0, 0, 0));
    }

    #[test]
    fn who_is_being_closed_does_not_count() {
        let pubsub = PubSub::new(1);
        let (mut a, mut b) = (session(1), session(2));
        pubsub.subscribe(&mut a, Kind::Channel, b"c");
        pubsub.subscribe(&mut b, Kind::Channel, b"c");
        b.client.kill();
        assert_eq!((pubsub.listeners(Kind::Channel, b"c"), pubsub.publish(b"c", b"m")), (1, 1));
        a.client.kill();
        assert!(pubsub.active_channels(Kind::Channel).is_empty());
    }

    #[test]
    fn large_messages_are_shared() {
        let pubsub = PubSub::new(1);
        let mut sessions: Vec<Session> = (1..=3).map(session).collect();
        for session in &mut sessions {
            pubsub.subscribe(session, Kind::Channel, b"c");
        }
        let message = vec![b'x'; 100_000];
        assert_eq!(pubsub.publish(b"c", &message), 3);
        pubsub.relay(0).spread();
        let addresses: HashSet<usize> = sessions
            .iter()
            .map(|session| {
                let mut out = Reply::default();
                session.client.mailbox.empty_into(&mut out);
                assert!(out.len() > message.len());
                out.parts().next().map_or(0, |part| part.as_slice().as_ptr() as usize)
            })
            .collect();
        assert_eq!(addresses.len(), 1);
    }
}
