//! The lock protocol under a model checker: scenarios of a few threads on the real keyspace, run under many
//! schedules that `shuttle` chooses at every taking and releasing of a shard (see [`super::gate`]).
//!
//! The scenarios show that nothing deadlocks and that every view is atomic. Others break the protocol on
//! purpose, to show that the checker would notice.

mod caches;
mod cut;

use super::view::{Hashed, Mode};
use super::{Deadline, Footprint, Keyspace, StringRef, Value, View};
use shuttle::scheduler::{DfsScheduler, PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, FailurePersistence, Runner, thread};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Schedules per scenario and scheduler.
const SCHEDULES: usize = 4000;
/// How often PCT takes the turn from a thread that could go on: bugs need few such changes (Burckhardt et al.,
/// "A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs", 2010).
const PCT_DEPTH: usize = 3;

const DATABASES: usize = 2;
const SHARDS: usize = 4;
const NOW_MS: i64 = 1_700_000_000_000;

thread_local! {
    static RUNNING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is exploring a scenario, whose shards then have gates of the checker.
pub fn is_running() -> bool {
    RUNNING.get()
}

/// Where another thread of the scenario may have its turn; nothing outside of a scenario.
pub fn point() {
    if is_running() {
        thread::yield_now();
    }
}

struct Running;

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.set(false);
    }
}

fn explore_with(scheduler: impl Scheduler + 'static, scenario: fn()) {
    RUNNING.set(true);
    let _running = Running;
    let mut config = Config::new();
    config.failure_persistence = FailurePersistence::None;
    Runner::new(scheduler, config).run(scenario);
}

/// Runs the scenario under many schedules; panics if it deadlocks or panics under one.
pub fn explore(scenario: fn()) {
    explore_with(RandomScheduler::new(SCHEDULES), scenario);
    explore_with(PctScheduler::new(PCT_DEPTH, SCHEDULES), scenario);
}

/// What exploring a broken scenario comes upon.
pub fn discovery(scenario: fn()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| explore(scenario))).expect_err("the fault is not found");
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(other) => other.downcast_ref::<&str>().map_or(String::new(), |text| text.to_string()),
    }
}

/// A keyspace and keys of which each has a shard of its own, in order of shards.
#[derive(Clone)]
struct World {
    keyspace: Arc<Keyspace>,
    keys: Arc<[Vec<u8>; SHARDS]>,
}

impl World {
    fn new() -> World {
        let keyspace = Keyspace::new(DATABASES, SHARDS, 1);
        let key_of = |shard: usize| {
            (0..)
                .map(|n: u32| n.to_le_bytes().to_vec())
                .find(|key| keyspace.hash(key).shard as usize == shard)
        };
        let keys = std::array::from_fn(|shard| key_of(shard).expect("every shard has keys"));
        World { keyspace: Arc::new(keyspace), keys: Arc::new(keys) }
    }

    /// Does something with the keys of database 0, as a command does that names them.
    fn command<R>(&self, keys: &[usize], mode: Mode, f: impl FnOnce(&mut View<'_>) -> R) -> R {
        let hashed: Vec<Hashed> =
            keys.iter().map(|key| Hashed::new(self.key(*key), self.keyspace.hash(self.key(*key)))).collect();
        let mut view = self.keyspace.lock_keys(0, NOW_MS, &hashed, mode);
        let result = f(&mut view);
        view.finish();
        result
    }

    /// Does something with everything, as FLUSHALL and SWAPDB do.
    fn everything<R>(&self, mode: Mode, f: impl FnOnce(&mut View<'_>) -> R) -> R {
        let mut view = self.keyspace.lock_databases(0, NOW_MS, 0..DATABASES, mode);
        let result = f(&mut view);
        view.finish();
        result
    }

    /// Does something as a script does that names its keys one after the other, while it runs: `f` may lock keys of
    /// database 0.
    fn script<R>(&self, f: impl FnOnce(&mut View<'_>, &dyn Fn(&mut View<'_>, usize)) -> R) -> R {
        let mut view = self.keyspace.lock_growing(0, NOW_MS, &Footprint::default(), Mode::Exclusive);
        let lock = |view: &mut View<'_>, key: usize| {
            let mut footprint = Footprint::default();
            footprint.add_key(0, self.keyspace.hash(self.key(key)), Mode::Exclusive);
            assert!(view.cover(&footprint));
        };
        let result = f(&mut view, &lock);
        view.finish();
        result
    }

    /// Sets keys as a transaction, and reads others.
    fn transaction(&self, reads: &[(usize, usize)], writes: &[(usize, usize)], n: i64) -> Vec<Option<i64>> {
        let mut footprint = Footprint::default();
        for (keys, mode) in [(reads, Mode::Shared), (writes, Mode::Exclusive)] {
            for (db, key) in keys {
                footprint.add_key(*db, self.keyspace.hash(self.key(*key)), mode);
            }
        }
        let mut view = self.keyspace.lock_footprint(0, NOW_MS, &footprint);
        for (db, key) in writes {
            view.turn_to(*db);
            view.set(self.key(*key), Value::Int(n), Deadline::Clear);
        }
        let seen = reads.iter().map(|(db, key)| number(&view, *db, self.key(*key))).collect();
        view.finish();
        seen
    }

    fn key(&self, key: usize) -> &[u8] {
        &self.keys[key]
    }

    fn set_all(&self, keys: &[usize], n: i64) {
        self.command(keys, Mode::Exclusive, |view| {
            for key in keys {
                view.set(self.key(*key), Value::Int(n), Deadline::Clear);
            }
        });
    }

    fn get_all(&self, keys: &[usize]) -> Vec<Option<i64>> {
        self.command(keys, Mode::Shared, |view| {
            keys.iter().map(|key| number(view, 0, self.key(*key))).collect()
        })
    }

    fn add(&self, keys: &[usize], n: i64) {
        self.command(keys, Mode::Exclusive, |view| {
            for key in keys {
                let before = number(view, 0, self.key(*key)).unwrap_or(0);
                view.set(self.key(*key), Value::Int(before + n), Deadline::Keep);
            }
        });
    }

    fn swap(&self) {
        self.everything(Mode::Exclusive, |view| view.swap(0, 1));
    }

    fn flush(&self) {
        self.everything(Mode::Exclusive, |view| {
            view.flush(0..2);
        });
    }

    /// A thread of the scenario.
    fn spawn(&self, f: impl FnOnce(&World) + Send + 'static) -> thread::JoinHandle<()> {
        let world = self.clone();
        thread::spawn(move || f(&world))
    }
}

fn number(view: &View<'_>, db: usize, key: &[u8]) -> Option<i64> {
    view.peek_in(db, key).map(|entry| match entry.string() {
        Some(StringRef::Int(n)) => n,
        _ => panic!("the scenarios know numbers only"),
    })
}

fn join(threads: impl IntoIterator<Item = thread::JoinHandle<()>>) {
    threads.into_iter().for_each(|thread| thread.join().expect("a thread of the scenario panicked"));
}

fn all_equal(values: &[Option<i64>]) -> bool {
    values.windows(2).all(|pair| pair[0] == pair[1])
}

/// Writers of several keys in different orders, a reader, and whole-keyspace commands between them.
fn writers_of_several_keys() {
    let world = World::new();
    join([
        world.spawn(|w| w.set_all(&[0, 2, 3], 1)),
        world.spawn(|w| w.set_all(&[3, 2, 0, 3], 2)),
        world.spawn(|w| {
            for _ in 0..2 {
                let seen = w.get_all(&[2, 3, 0]);
                assert!(all_equal(&seen), "half a write is visible: {seen:?}");
            }
        }),
        world.spawn(World::swap),
        world.spawn(World::flush),
    ]);
}

/// Walks that take one shard at a time run beside all others.
fn walks_between_writers() {
    let world = World::new();
    world.set_all(&[0, 1, 2, 3], 0);
    join([
        world.spawn(|w| w.set_all(&[1, 3, 2], 1)),
        world.spawn(|w| {
            w.keyspace.counts(0);
            w.keyspace.scan(0, 0, 100, NOW_MS, |_| ());
        }),
        world.spawn(|w| {
            w.keyspace.expire_due(0, NOW_MS, Duration::from_secs(1));
            w.keyspace.random_key(0, NOW_MS);
        }),
        world.spawn(World::swap),
    ]);
    assert_eq!(world.keyspace.counts(1).keys, SHARDS);
}

/// Increments of one key and of several add up, whatever swaps their databases.
fn increments_are_not_lost() {
    let world = World::new();
    join([
        world.spawn(|w| (0..2).for_each(|_| w.add(&[1], 1))),
        world.spawn(|w| w.add(&[1, 0], 10)),
        world.spawn(|w| w.add(&[0, 1], 100)),
        world.spawn(|w| (0..2).for_each(|_| w.swap())),
    ]);
    let sum = |key| {
        world.everything(Mode::Shared, |view| {
            (0..DATABASES).map(|db| number(view, db, world.key(key)).unwrap_or(0)).sum::<i64>()
        })
    };
    assert_eq!((sum(0), sum(1)), (110, 112));
}

/// A key on its way between databases and names is always in exactly one place.
fn a_moving_key_is_in_one_place() {
    let world = World::new();
    world.set_all(&[1], 7);
    let shift = |from: (usize, usize), to: (usize, usize)| {
        move |w: &World| {
            let places = [(from.0, w.key(from.1)), (to.0, w.key(to.1))];
            let mut view = w.keyspace.lock_places(0, NOW_MS, &places, Mode::Exclusive);
            if let Some(entry) = view.remove_in(places[0].0, places[0].1) {
                view.insert_in(places[1].0, entry.renamed(places[1].1));
            }
            view.finish();
        }
    };
    join([
        world.spawn(shift((0, 1), (1, 0))),
        world.spawn(shift((1, 0), (0, 3))),
        world.spawn(shift((0, 3), (0, 1))),
        world.spawn(|w| {
            for _ in 0..2 {
                let keys: usize =
                    w.everything(Mode::Shared, |view| view.counts(0).keys + view.counts(1).keys);
                assert_eq!(keys, 1);
            }
        }),
        world.spawn(World::swap),
    ]);
}

/// A key that expires is counted once, by whoever comes upon it first, and a new one is never taken for it.
fn a_key_expires_once() {
    let world = World::new();
    world.command(&[2], Mode::Exclusive, |view| {
        view.set(world.key(2), Value::Int(1), Deadline::At(NOW_MS - 1));
    });
    let expired = Arc::new(AtomicU64::new(0));
    let count = |f: fn(&World) -> u64| {
        let expired = expired.clone();
        move |w: &World| {
            expired.fetch_add(f(w), Ordering::Relaxed);
        }
    };
    let read = |w: &World| {
        let hashed = [Hashed::new(w.key(2), w.keyspace.hash(w.key(2)))];
        let mut view = w.keyspace.lock_keys(0, NOW_MS, &hashed, Mode::Shared);
        assert_ne!(number(&view, 0, w.key(2)), Some(1), "an expired key is visible");
        view.finish().expired.get() as u64
    };
    let write = |w: &World| {
        let hashed = [Hashed::new(w.key(2), w.keyspace.hash(w.key(2)))];
        let mut view = w.keyspace.lock_keys(0, NOW_MS, &hashed, Mode::Exclusive);
        view.set(w.key(2), Value::Int(2), Deadline::Clear);
        view.finish().expired.get() as u64
    };
    join([
        world.spawn(count(read)),
        world.spawn(count(read)),
        world.spawn(count(write)),
        world.spawn(count(|w| w.keyspace.expire_due(0, NOW_MS, Duration::from_secs(1)).expired)),
    ]);
    assert_eq!(expired.load(Ordering::Relaxed), 1);
    assert_eq!(world.get_all(&[2]), [Some(2)]);
}

/// Scripts that lock as they go, against the global order, beside commands on one key and on several.
fn scripts_that_lock_as_they_go() {
    let world = World::new();
    let script = |keys: [usize; 3], n: i64| {
        move |w: &World| {
            w.script(|view, lock| {
                for key in keys {
                    lock(view, key);
                    view.set(w.key(key), Value::Int(n), Deadline::Clear);
                }
                for key in keys {
                    assert_eq!(number(view, 0, w.key(key)), Some(n), "the script sees another's write");
                }
            });
        }
    };
    join([
        world.spawn(script([3, 0, 2], 1)),
        world.spawn(script([2, 3, 0], 2)),
        world.spawn(|w| w.set_all(&[0, 2, 3], 3)),
        world.spawn(|w| {
            w.set_all(&[1], 4);
            let seen = w.get_all(&[0, 3, 2]);
            assert!(all_equal(&seen), "half a script is visible: {seen:?}");
            assert_eq!(w.get_all(&[1]), [Some(4)]);
        }),
        world.spawn(|w| {
            w.keyspace.counts(0);
            w.keyspace.expire_due(0, NOW_MS, Duration::from_secs(1));
        }),
    ]);
}

/// Transactions that read and write keys of several databases, scripts and single commands: each sees all or nothing
/// of any other.
fn transactions_over_databases() {
    let world = World::new();
    join([
        world.spawn(|w| drop(w.transaction(&[], &[(0, 1), (1, 3), (0, 3)], 1))),
        world.spawn(|w| drop(w.transaction(&[(0, 1)], &[(1, 3), (0, 3), (0, 1)], 2))),
        world.spawn(|w| {
            let seen = w.transaction(&[(1, 3), (0, 3), (0, 1), (0, 1)], &[], 0);
            assert!(all_equal(&seen), "half a transaction is visible: {seen:?}");
        }),
        world.spawn(|w| {
            w.script(|view, lock| {
                lock(view, 3);
                let three = number(view, 0, w.key(3));
                lock(view, 1);
                let one = number(view, 0, w.key(1));
                assert_eq!(three, one, "half a transaction is visible to a script");
            });
        }),
    ]);
}

#[test]
fn views_are_atomic_and_nothing_deadlocks() {
    explore(scripts_that_lock_as_they_go);
    explore(transactions_over_databases);
    explore(writers_of_several_keys);
    explore(walks_between_writers);
    explore(increments_are_not_lost);
    explore(a_moving_key_is_in_one_place);
    explore(a_key_expires_once);
}

/// Small enough for all their schedules to be tried.
#[test]
fn two_at_a_time_in_every_schedule() {
    let in_every_schedule = |scenario: fn()| explore_with(DfsScheduler::new(None, false), scenario);
    in_every_schedule(|| {
        let world = World::new();
        let writer = world.spawn(|w| w.set_all(&[1, 0], 1));
        let seen = world.get_all(&[0, 1]);
        assert!(all_equal(&seen), "half a write is visible: {seen:?}");
        join([writer]);
    });
    in_every_schedule(|| {
        let world = World::new();
        let script = world.spawn(|w| {
            w.script(|view, lock| {
                for key in [1, 0] {
                    lock(view, key);
                    view.set(w.key(key), Value::Int(1), Deadline::Clear);
                }
            });
        });
        world.set_all(&[0, 1], 2);
        join([script]);
        assert!(all_equal(&world.get_all(&[0, 1])));
    });
}

#[test]
fn locks_in_another_order_are_found() {
    let found = discovery(|| {
        let world = World::new();
        join([
            world.spawn(World::flush),
            // Descending, against the contract.
            world.spawn(|w| {
                w.keyspace.lock_databases(0, NOW_MS, (0..DATABASES).rev(), Mode::Exclusive).finish();
            }),
        ]);
    });
    assert!(found.contains("deadlock"), "{found}");
}

#[test]
fn a_lock_taken_while_holding_another_is_found() {
    let found = discovery(|| {
        let world = World::new();
        join([
            world.spawn(|w| w.set_all(&[0, 1], 1)),
            world.spawn(|w| w.command(&[1], Mode::Exclusive, |_| w.set_all(&[0], 2))),
        ]);
    });
    assert!(found.contains("deadlock"), "{found}");
}

/// Without the barrier, a script that locks as it goes deadlocks with a command on the same keys.
#[test]
fn growing_without_the_barrier_is_found() {
    let found = discovery(|| {
        let world = World::new();
        join([
            world.spawn(|w| w.set_all(&[0, 1], 1)),
            world.spawn(|w| {
                let shards = w.keyspace.shards(0);
                let _second = w.keyspace.exclusive(shards, 1);
                let _first = w.keyspace.exclusive(shards, 0);
            }),
        ]);
    });
    assert!(found.contains("deadlock"), "{found}");
}

/// Two scripts would deadlock with each other if both passed the barrier together with others.
#[test]
fn two_that_grow_must_not_share_the_barrier() {
    let found = discovery(|| {
        let world = World::new();
        let grow = |order: [usize; 2]| {
            move |w: &World| {
                let _passage = w.keyspace.barrier.together();
                let shards = w.keyspace.shards(0);
                let _one = w.keyspace.exclusive(shards, order[0]);
                let _other = w.keyspace.exclusive(shards, order[1]);
            }
        };
        join([world.spawn(grow([0, 1])), world.spawn(grow([1, 0]))]);
    });
    assert!(found.contains("deadlock"), "{found}");
}

#[test]
fn a_lock_released_too_early_is_found() {
    let found = discovery(|| {
        let world = World::new();
        join([
            world.spawn(|w| w.set_all(&[0, 1], 1)),
            world.spawn(|w| [0, 1].into_iter().for_each(|key| w.set_all(&[key], 2))),
        ]);
        let left = world.get_all(&[0, 1]);
        assert!(all_equal(&left), "torn: {left:?}");
    });
    assert!(found.contains("torn"), "{found}");
}

#[test]
#[should_panic(expected = "that can deadlock")]
fn outside_of_a_model_the_barrier_is_asserted() {
    let world = World::new();
    let shards = world.keyspace.shards(0);
    let _first = world.keyspace.exclusive(shards, 0);
    let _second = world.keyspace.exclusive(shards, 1);
}

#[test]
fn views_cover_what_they_hold_and_grow_if_they_may() {
    let world = World::new();
    let footprint = |keys: &[usize], mode| {
        let mut footprint = Footprint::default();
        keys.iter().for_each(|key| footprint.add_key(0, world.keyspace.hash(world.key(*key)), mode));
        footprint
    };
    let (shared, exclusive) = (Mode::Shared, Mode::Exclusive);
    let mut view = world.keyspace.lock_footprint(0, NOW_MS, &footprint(&[1, 2], shared));
    assert!(view.cover(&footprint(&[2], shared)) && !view.cover(&footprint(&[2], exclusive)));
    assert!(!view.cover(&footprint(&[1, 3], shared)));
    drop(view);
    let mut view = world.keyspace.lock_growing(0, NOW_MS, &footprint(&[2], shared), exclusive);
    assert!(view.cover(&footprint(&[3, 0], shared)) && view.cover(&footprint(&[0, 2, 3], exclusive)));
    let mut all = Footprint::default();
    all.add_database(1, shared);
    all.add_used_databases(exclusive);
    assert!(view.cover(&all));
    assert_eq!((view.counts(0).keys, view.counts(1).keys), (0, 0));
    drop(view);
    let mut view = world.keyspace.lock_growing(0, NOW_MS, &footprint(&[2], shared), shared);
    assert!(view.cover(&footprint(&[3, 0], shared)) && !view.cover(&footprint(&[1], exclusive)));
}

#[test]
#[should_panic(expected = "that can deadlock")]
fn outside_of_a_model_the_order_is_asserted() {
    let world = World::new();
    world.command(&[1], Mode::Shared, |_| world.get_all(&[0]));
}
