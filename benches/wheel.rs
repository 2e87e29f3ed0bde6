//! What a deadline costs: filing it, and its share of the hand-outs on the way to it.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use nuthatch::types::wheel::Wheel;
use rand::{Rng, SeedableRng, rngs::SmallRng};

const START_MS: u64 = 1_700_000_000_000;
const ITEMS: u32 = 100_000;
const HOUR_MS: u64 = 3_600_000;

fn deadlines() -> Vec<u64> {
    let mut rng = SmallRng::seed_from_u64(1);
    (0..ITEMS).map(|_| START_MS + rng.random_range(1..HOUR_MS)).collect()
}

fn filled(deadlines: &[u64]) -> Wheel {
    let mut wheel = Wheel::new(START_MS);
    for (item, &deadline) in deadlines.iter().enumerate() {
        wheel.file(item as u32, deadline);
    }
    wheel
}

fn wheel(c: &mut Criterion) {
    let deadlines = deadlines();
    let mut group = c.benchmark_group("wheel");
    group.throughput(Throughput::Elements(u64::from(ITEMS)));
    group.bench_function("file, deadlines within an hour", |b| {
        b.iter_batched(|| (), |()| filled(&deadlines), BatchSize::PerIteration)
    });
    group.bench_function("expire all of an hour, on time", |b| {
        b.iter_batched(
            || filled(&deadlines),
            |mut wheel| {
                let mut due = Vec::new();
                while let Some(now) = wheel.next_due() {
                    wheel.advance(now, &mut due, usize::MAX);
                    for item in due.drain(..) {
                        let deadline = deadlines[item as usize];
                        if deadline > now {
                            wheel.file(item, deadline);
                        }
                    }
                }
            },
            BatchSize::PerIteration,
        )
    });
    group.finish();

    let wheel = filled(&deadlines);
    c.bench_function("wheel/next_due", |b| b.iter(|| black_box(&wheel).next_due()));
    c.bench_function("wheel/one key at a time", |b| {
        let mut now = START_MS;
        let mut wheel = Wheel::new(now);
        let mut due = Vec::new();
        b.iter(|| {
            wheel.file(1, now + 1);
            now += 1;
            wheel.advance(now, &mut due, 100);
            due.clear();
        })
    });
}

criterion_group!(benches, wheel);
criterion_main!(benches);
