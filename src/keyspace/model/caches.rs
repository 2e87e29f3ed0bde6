//! That whoever caches what it has read is told when it changes, under every schedule: what [`effects`] promise to
//! those who register under the lock of the key's shard.
//!
//! [`effects`]: crate::keyspace::effects

use super::{World, discovery, explore, join, number};
use crate::keyspace::effects::{Change, Listed, MassChange, Observer, Party};
use crate::keyspace::view::Mode;
use crate::keyspace::{Deadline, Value};
use crate::types::events::Class;
use parking_lot::Mutex;
use shuttle::thread;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const KEY: usize = 1;

/// A client that caches one key.
#[derive(Default)]
struct Cache {
    is_registered: AtomicBool,
    is_told: AtomicBool,
    value: Mutex<Option<i64>>,
}

impl Cache {
    fn tell(&self) {
        if self.is_registered.swap(false, Ordering::Relaxed) {
            self.is_told.store(true, Ordering::Relaxed);
        }
    }

    fn register(&self, world: &World) {
        self.is_registered.store(true, Ordering::Relaxed);
        world.keyspace.effects().enter(Party::Tracking);
    }
}

impl Observer for Cache {
    fn modified(&self, _change: &Change<'_>) -> bool {
        self.tell();
        false
    }

    fn all_modified(&self, _change: &MassChange<'_>, _list: &mut Vec<Listed>) {
        self.tell();
    }

    fn expired(&self, _change: &Change<'_>) {}

    fn settled(&self, _listed: &[Listed]) {}
}

/// A client reads and caches a key that others change, remove with all others, and exchange.
fn reader_among_writers(registers_in_time: bool) {
    let (world, cache) = (World::new(), Arc::new(Cache::default()));
    world.keyspace.effects().set_observer(Party::Tracking, cache.clone());
    world.set_all(&[KEY], 0);
    let reader = {
        let cache = cache.clone();
        world.spawn(move |w| {
            *cache.value.lock() = w.command(&[KEY], Mode::Shared, |view| {
                let value = number(view, 0, w.key(KEY));
                if registers_in_time {
                    cache.register(w);
                }
                value
            });
            if !registers_in_time {
                thread::yield_now();
                cache.register(w);
            }
        })
    };
    let writer = world.spawn(|w| {
        w.command(&[KEY, 3], Mode::Exclusive, |view| {
            view.set(w.key(KEY), Value::Int(1), Deadline::Clear);
            view.notify(Class::STRING, "set", w.key(KEY));
        });
    });
    join([reader, writer, world.spawn(World::swap), world.spawn(World::flush)]);
    let (cached, held) = (*cache.value.lock(), world.get_all(&[KEY])[0]);
    assert!(cached == held || cache.is_told.load(Ordering::Relaxed), "stale: {cached:?}, not {held:?}");
}

#[test]
fn no_cached_value_outlives_the_one_that_is_held() {
    explore(|| reader_among_writers(true));
}

#[test]
fn one_that_is_registered_too_late_does() {
    let found = discovery(|| reader_among_writers(false));
    assert!(found.starts_with("stale"), "{found}");
}
