//! What a command costs in the keyspace, from the locks it takes to their release: a million keys in random
//! order, so that nearly each is fetched from memory, one at a time and with the prefetching of a batch.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use nuthatch::keyspace::view::{Hashed, Mode};
use nuthatch::keyspace::{Deadline, Keyspace, Value, View, unix_ms};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use std::hint::black_box;
use std::time::Duration;

const KEYS: u32 = 1_000_000;
const SHARDS: usize = 256;
/// As many requests as a connection executes at once.
const BATCH: usize = 64;
const VALUE: &[u8] = b"0123456789abcdef";
const HOUR_MS: i64 = 3_600_000;

type Key = [u8; 16];

fn key(n: u32) -> Key {
    let mut key = *b"key:000000000000";
    let digits = n.to_string();
    key[16 - digits.len()..].copy_from_slice(digits.as_bytes());
    key
}

fn random_keys(rng: &mut SmallRng, from: u32) -> Vec<Key> {
    (0..BATCH).map(|_| key(from + rng.random_range(0..KEYS))).collect()
}

/// Runs a command on one key.
fn command<R>(
    keyspace: &Keyspace,
    now_ms: i64,
    key: &Key,
    mode: Mode,
    f: impl FnOnce(&mut View<'_>, &Key) -> R,
) -> R {
    let hashed = [Hashed::new(key, keyspace.hash(key))];
    let mut view = keyspace.lock_keys(0, now_ms, &hashed, mode);
    let result = f(&mut view, key);
    view.finish();
    result
}

fn filled(now_ms: i64) -> Keyspace {
    let keyspace = Keyspace::new(1, SHARDS, 1);
    for n in 0..KEYS {
        command(&keyspace, now_ms, &key(n), Mode::Exclusive, |view, key| {
            view.set(key, Value::Bytes(VALUE), Deadline::Clear);
        });
    }
    keyspace
}

fn get(view: &mut View<'_>, key: &Key) -> usize {
    view.get(key).map_or(0, |entry| entry.string().unwrap().with(<[u8]>::len))
}

fn one_at_a_time(c: &mut Criterion) {
    let now_ms = unix_ms();
    let keyspace = filled(now_ms);
    let mut group = c.benchmark_group("keyspace");
    group.throughput(Throughput::Elements(BATCH as u64));
    type Command<'a> = &'a dyn Fn(&mut View<'_>, &Key);
    let deadline = Deadline::At(now_ms + HOUR_MS);
    let cases: [(&str, Mode, u32, Command<'_>); 8] = [
        ("get, hit", Mode::Shared, 0, &|view, key| {
            black_box(get(view, key));
        }),
        ("get, miss", Mode::Shared, KEYS, &|view, key| {
            black_box(get(view, key));
        }),
        ("set over a value of the same size", Mode::Exclusive, 0, &|view, key| {
            view.set(key, Value::Bytes(VALUE), Deadline::Clear);
        }),
        ("set over a value of another size", Mode::Exclusive, 0, &|view, key| {
            let len = view.peek(key).map_or(8, |entry| entry.string().unwrap().len());
            view.set(key, Value::Bytes(&VALUE[..24 - len]), Deadline::Clear);
        }),
        ("append a byte, take it off", Mode::Exclusive, 0, &|view, key| {
            if let Some(entry) = view.update(key) {
                let len = entry.string().unwrap().len();
                if len > VALUE.len() { entry.resize_inline(len - 1) } else { entry.write_at(len, b"x") }
            }
        }),
        ("set a deadline", Mode::Exclusive, 0, &|view, key| {
            view.set_deadline(key, Some(now_ms + HOUR_MS));
        }),
        ("set with a deadline", Mode::Exclusive, 0, &|view, key| {
            view.set(key, Value::Bytes(VALUE), deadline)
        }),
        ("remove and set", Mode::Exclusive, 0, &|view, key| {
            view.remove(key);
            view.set(key, Value::Bytes(VALUE), Deadline::Clear);
        }),
    ];
    let mut rng = SmallRng::seed_from_u64(1);
    for (name, mode, from, run) in cases {
        group.bench_function(name, |b| {
            b.iter_batched_ref(
                || random_keys(&mut rng, from),
                |keys| keys.iter().for_each(|key| command(&keyspace, now_ms, key, mode, run)),
                BatchSize::SmallInput,
            )
        });
    }
    group.finish();
}

/// As the connection does it: hash all, ask for buckets, then for entries, before the first command runs.
fn prefetched(keyspace: &Keyspace, keys: &[Key]) -> Vec<Hashed> {
    let hashed: Vec<Hashed> = keys.iter().map(|key| Hashed::new(key, keyspace.hash(key))).collect();
    let shards = keyspace.shards(0);
    hashed.iter().for_each(|key| shards.prefetch_bucket(key.hash));
    hashed.iter().for_each(|key| shards.prefetch_entry(key.hash));
    hashed
}

fn batches(c: &mut Criterion) {
    let now_ms = unix_ms();
    let keyspace = filled(now_ms);
    let mut rng = SmallRng::seed_from_u64(2);
    let mut group = c.benchmark_group("keyspace, prefetched");
    group.throughput(Throughput::Elements(BATCH as u64));
    let mut batch = |name: &str, mode: Mode, run: &dyn Fn(&mut View<'_>, &Key)| {
        group.bench_function(name, |b| {
            b.iter_batched_ref(
                || random_keys(&mut rng, 0),
                |keys| {
                    let hashed = prefetched(&keyspace, keys);
                    for (key, hashed) in keys.iter().zip(hashed.chunks(1)) {
                        let mut view = keyspace.lock_keys(0, now_ms, hashed, mode);
                        run(&mut view, key);
                        view.finish();
                    }
                },
                BatchSize::SmallInput,
            )
        });
    };
    batch("get, hit", Mode::Shared, &|view, key| {
        black_box(get(view, key));
    });
    batch("set over a value of the same size", Mode::Exclusive, &|view, key| {
        view.set(key, Value::Bytes(VALUE), Deadline::Clear);
    });
    group.bench_function("get, hit, ten keys a view", |b| {
        b.iter_batched_ref(
            || random_keys(&mut rng, 0),
            |keys| {
                let hashed = prefetched(&keyspace, keys);
                hashed.chunks(10).zip(keys.chunks(10)).for_each(|(hashed, keys)| {
                    let mut view = keyspace.lock_keys(0, now_ms, hashed, Mode::Shared);
                    keys.iter().for_each(|key| {
                        black_box(get(&mut view, key));
                    });
                    view.finish();
                });
            },
            BatchSize::SmallInput,
        )
    });
    group.finish();
}

fn whole(c: &mut Criterion) {
    let now_ms = unix_ms();
    let mut group = c.benchmark_group("keyspace, a million keys");
    group.sample_size(10);
    group.throughput(Throughput::Elements(u64::from(KEYS)));
    group.bench_function("insert", |b| b.iter_with_large_drop(|| filled(now_ms)));
    let keyspace = filled(now_ms);
    group.bench_function("scan", |b| {
        b.iter(|| {
            let (mut cursor, mut seen) = (0, 0);
            loop {
                cursor = keyspace.scan(0, cursor, 1000, now_ms, |_| seen += 1);
                if cursor == 0 {
                    break seen;
                }
            }
        })
    });
    group.bench_function("expire", |b| {
        b.iter_batched(
            || {
                // Wheels start by the real clock.
                let now_ms = unix_ms();
                let keyspace = Keyspace::new(1, SHARDS, 1);
                let mut rng = SmallRng::seed_from_u64(3);
                for n in 0..KEYS {
                    let deadline = Deadline::At(now_ms + rng.random_range(0..1000));
                    command(&keyspace, now_ms, &key(n), Mode::Exclusive, |view, key| {
                        view.set(key, Value::Bytes(VALUE), deadline);
                    });
                }
                (keyspace, now_ms)
            },
            |(keyspace, now_ms)| {
                let round = keyspace.expire_due(0, now_ms + 2000, Duration::from_secs(60));
                assert_eq!(round.expired, u64::from(KEYS));
                keyspace
            },
            BatchSize::PerIteration,
        )
    });
    group.finish();
}

criterion_group!(benches, one_at_a_time, batches, whole);
criterion_main!(benches);
