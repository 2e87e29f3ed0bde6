//! The claim protocol under a model checker: pushers, waiters, clocks and ends of connections on the real queues and
//! keyspace, under many schedules that `shuttle` chooses (see [`crate::keyspace::model`]).
//!
//! Every element that was pushed is popped once, or still there; whoever waits is told once; nobody waits for what is
//! there; first come, first served. Other scenarios break the protocol on purpose, to show that the checker would
//! notice.

use super::*;
use crate::keyspace::model::{discovery, explore};
use crate::keyspace::view::Hashed;
use crate::keyspace::{Deadline, StringRef, Value};
use crate::resp::reply::Reply;
use crate::state::clients::Transport;
use shuttle::thread;

const NOW_MS: i64 = 1_700_000_000_000;
const SHARDS: usize = 4;

/// Takes one from the first of its keys that counts any, for the destination if there is one.
struct Take {
    keys: Box<[Box<[u8]>]>,
    destination: Option<Box<[u8]>>,
}

impl Operation for Take {
    fn keys(&self) -> &[Box<[u8]>] {
        &self.keys
    }

    fn destination(&self) -> Option<&[u8]> {
        self.destination.as_deref()
    }

    fn is_ready(&self, view: &View<'_>, key: &[u8]) -> bool {
        count(view, key) > 0
    }

    fn perform(&self, view: &mut View<'_>, out: &mut Reply) -> Result<(), Vec<u8>> {
        let key = self.keys.iter().find(|key| view.may_write(view.db, key) && count(view, key) > 0);
        let key = key.expect("claimed for a key that is ready");
        add(view, key, -1);
        if let Some(destination) = &self.destination {
            add(view, destination, 1);
        }
        out.integer(1);
        Ok(())
    }
}

/// How many elements there are at a key.
fn count(view: &View<'_>, key: &[u8]) -> i64 {
    match view.peek(key).and_then(|entry| entry.string()) {
        Some(StringRef::Int(n)) => n,
        _ => 0,
    }
}

fn add(view: &mut View<'_>, key: &[u8], n: i64) {
    let left = count(view, key) + n;
    if left == 0 {
        view.remove(key);
    } else {
        view.set(key, Value::Int(left), Deadline::Clear);
    }
    view.modified(key);
}

/// A server as far as waiting goes. Each key has a shard of its own.
#[derive(Clone)]
struct World {
    keyspace: Arc<Keyspace>,
    waiters: Arc<Waiters>,
    keys: Arc<[Box<[u8]>; SHARDS]>,
}

/// Somebody who waits, or does not have to.
enum Client {
    Served,
    Waiting(Arc<Waiter>),
}

impl World {
    fn new() -> World {
        let keyspace = Keyspace::new(1, SHARDS, 1);
        let waiters = Arc::new(Waiters::default());
        keyspace.effects().set_observer(Party::Waiters, waiters.clone());
        let key_of = |shard: usize| {
            let mut keys = (0..).map(|n: u32| Box::<[u8]>::from(n.to_le_bytes()));
            keys.find(|key| keyspace.hash(key).shard as usize == shard)
        };
        let keys = std::array::from_fn(|shard| key_of(shard).expect("every shard has keys"));
        World { keyspace: Arc::new(keyspace), waiters, keys: Arc::new(keys) }
    }

    fn with<R>(&self, keys: &[usize], f: impl FnOnce(&mut View<'_>) -> R) -> R {
        let hashed: Vec<Hashed> = keys
            .iter()
            .map(|key| Hashed::new(&self.keys[*key], self.keyspace.hash(&self.keys[*key])))
            .collect();
        let mut view = self.keyspace.lock_keys(0, NOW_MS, &hashed, Mode::Exclusive);
        let result = f(&mut view);
        view.finish();
        result
    }

    /// Pushes one element to each key, as one command, and serves whoever waits.
    fn push(&self, keys: &[usize]) {
        let mut rest = Rest::default();
        self.with(keys, |view| {
            keys.iter().for_each(|key| add(view, &self.keys[*key], 1));
            let ready = ready_keys(view);
            self.waiters.serve(view, ready, &mut rest);
        });
        self.waiters.serve_rest(&self.keyspace, NOW_MS, &mut rest, |view| {
            view.finish();
        });
    }

    /// Takes one element from the first key that has any, or waits for one.
    fn take(&self, keys: &[usize], destination: Option<usize>) -> Client {
        self.take_as(keys, destination, true)
    }

    fn take_as(&self, keys: &[usize], destination: Option<usize>, holds_locks: bool) -> Client {
        let take = Take {
            keys: keys.iter().map(|key| self.keys[*key].clone()).collect(),
            destination: destination.map(|key| self.keys[key].clone()),
        };
        let all: Vec<usize> = keys.iter().copied().chain(destination).collect();
        let client = Arc::new(super::Client::new(1, Transport::Tcp, "a:1".into(), "b:2".into(), 3, 0));
        let terms = Terms { proto: Default::default(), silent: false, is_timed: true };
        let look = |view: &mut View<'_>, take: &Take| {
            let is_ready = |key: &[u8]| !self.waiters.is_promised(view, key) && take.is_ready(view, key);
            let ready = take.keys.iter().any(|key| is_ready(key));
            if ready {
                take.perform(view, &mut Reply::default()).expect("the scenarios know no errors");
            }
            ready
        };
        if holds_locks {
            return self.with(&all, |view| match look(view, &take) {
                true => Client::Served,
                false => {
                    Client::Waiting(self.waiters.wait(view, &client, Box::new(take), terms, Bill::default()))
                }
            });
        }
        // The fault: to look first, and to join the queue when the locks were away.
        if self.with(&all, |view| look(view, &take)) {
            return Client::Served;
        }
        Client::Waiting(
            self.with(&all, |view| self.waiters.wait(view, &client, Box::new(take), terms, Bill::default())),
        )
    }

    fn elements(&self) -> i64 {
        self.with(&[0, 1, 2, 3], |view| self.keys.iter().map(|key| count(view, key)).sum())
    }

    fn spawn<R: Send + 'static>(
        &self,
        f: impl FnOnce(&World) -> R + Send + 'static,
    ) -> thread::JoinHandle<R> {
        let world = self.clone();
        thread::spawn(move || f(&world))
    }
}

impl Client {
    fn is_served(&self) -> bool {
        match self {
            Client::Served => true,
            Client::Waiting(waiter) => waiter.has_ended(),
        }
    }
}

fn join<R>(thread: thread::JoinHandle<R>) -> R {
    thread.join().expect("a thread of the scenario panicked")
}

/// What there is, and what was taken, is what was pushed; and nobody waits while there is something for him.
fn check(world: &World, pushed: i64, served: usize, waiting: usize) {
    assert_eq!(world.elements() + served as i64, pushed, "lost, or delivered twice");
    assert_eq!(world.waiters.clients(), waiting);
    let blocking = world.waiters.blocking_keys();
    assert_eq!(blocking.all > 0, waiting > 0, "queues are left over");
}

/// Two pushers to different keys, a client that waits for both, one that waits for one of them.
fn two_keys_for_one_waiter() {
    let world = World::new();
    let both = world.spawn(|w| w.take(&[0, 1], None));
    let one = world.spawn(|w| w.take(&[1], None));
    let pushers = [world.spawn(|w| w.push(&[0])), world.spawn(|w| w.push(&[1]))];
    let clients = [join(both), join(one)];
    pushers.into_iter().for_each(join);
    let served = clients.iter().filter(|client| client.is_served()).count();
    // The one who waits for both may have taken what was for the other.
    assert!(clients[0].is_served(), "nobody told of what there is");
    check(&world, 2, served, 2 - served);
}

/// A wait that ends in several ways at once ends in one.
fn a_wait_ends_once() {
    let world = World::new();
    let Client::Waiting(waiter) = world.take(&[0, 2], None) else { unreachable!("there was nothing yet") };
    let clock = {
        let waiter = waiter.clone();
        world.spawn(move |w| w.waiters.time_out(&w.keyspace, &waiter))
    };
    let end = {
        let waiter = waiter.clone();
        world.spawn(move |w| w.waiters.withdraw(&w.keyspace, &waiter))
    };
    let pushers = [world.spawn(|w| w.push(&[0])), world.spawn(|w| w.push(&[2]))];
    let (timed_out, withdrawn) = (join(clock), join(end));
    pushers.into_iter().for_each(join);
    assert!(!(timed_out && withdrawn), "ended twice");
    let served = waiter.has_ended() && !timed_out;
    assert!(withdrawn || timed_out || served, "nobody has ended it");
    check(&world, 2, served as usize, 0);
}

/// Whoever came first is served first, also if his operation needs another shard, and others come meanwhile.
fn first_come_first_served() {
    let world = World::new();
    let first = world.take(&[1], Some(3));
    let second = world.take(&[1], None);
    let threads = [world.spawn(|w| w.push(&[1])), world.spawn(|w| w.push(&[3, 2]))];
    let late = join(world.spawn(|w| w.take(&[1], None)));
    threads.into_iter().for_each(join);
    assert!(first.is_served(), "somebody else was served first");
    assert!(!second.is_served() && !late.is_served());
    // One of three elements was moved.
    check(&world, 3, 0, 2);
}

/// Elements that are moved on are delivered to those who wait for them at the next key.
fn chains_of_moves() {
    let world = World::new();
    let clients = [world.take(&[3], None), world.take(&[1], Some(3)), world.take(&[0], Some(1))];
    let pushers = [world.spawn(|w| w.push(&[0])), world.spawn(|w| w.push(&[2]))];
    pushers.into_iter().for_each(join);
    assert!(clients.iter().all(Client::is_served), "nobody told of what there is");
    check(&world, 2, 1, 0);
}

#[test]
fn every_element_is_delivered_once_and_in_order() {
    explore(two_keys_for_one_waiter);
    explore(a_wait_ends_once);
    explore(first_come_first_served);
    explore(chains_of_moves);
}

/// A client that joins the queue after it has let go of the locks may wait for what is there.
#[test]
fn joining_without_the_locks_is_found() {
    let found = discovery(|| {
        let world = World::new();
        let client = world.spawn(|w| w.take_as(&[0], None, false));
        let pusher = world.spawn(|w| w.push(&[0]));
        let client = join(client);
        join(pusher);
        assert!(client.is_served(), "nobody told of what there is");
    });
    assert!(found.contains("nobody told"), "{found}");
}

/// Serving after the locks are gone lets two pushers, or a pusher and a client, take the same turn.
#[test]
fn serving_without_the_locks_is_found() {
    let found = discovery(|| {
        let world = World::new();
        let (first, second) = (world.take(&[0], None), world.take(&[0], None));
        let push_then_serve = |w: &World| {
            let ready = w.with(&[0], |view| {
                add(view, &w.keys[0], 1);
                ready_keys(view)
            });
            w.with(&[0], |view| w.waiters.serve(view, ready, &mut Rest::default()));
        };
        let pusher = world.spawn(push_then_serve);
        let late = join(world.spawn(|w| w.with(&[0], |view| count(view, &w.keys[0]) > 0)));
        join(pusher);
        assert!(!late, "an element is seen that belongs to somebody who waits");
        assert!(first.is_served() && !second.is_served());
    });
    assert!(found.contains("belongs to somebody"), "{found}");
}
