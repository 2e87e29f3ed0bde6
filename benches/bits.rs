//! Bits at the speed of memory: counting, searching and combining strings far larger than any cache; and what a
//! HyperLogLog costs.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use nuthatch::types::bits::{self, Field, Operation, Overflow};
use nuthatch::types::hyperloglog::{self, Registers};
use rand::{Rng, RngCore, SeedableRng, rngs::SmallRng};

const LARGE_BYTES: usize = 100 << 20;

fn random(bytes: usize, seed: u64) -> Vec<u8> {
    let mut out = vec![0; bytes];
    SmallRng::seed_from_u64(seed).fill_bytes(&mut out);
    out
}

fn strings(c: &mut Criterion) {
    let (a, b) = (random(LARGE_BYTES, 1), random(LARGE_BYTES, 2));
    let zeros = vec![0; LARGE_BYTES];
    let all = || 0..LARGE_BYTES as u64 * 8;
    let mut group = c.benchmark_group("100 MB");
    group.throughput(Throughput::Bytes(LARGE_BYTES as u64)).sample_size(20);
    group.bench_function("count", |bench| bench.iter(|| bits::count(black_box(&a), all())));
    group.bench_function("find nothing", |bench| bench.iter(|| bits::find(black_box(&zeros), all(), true)));
    for (name, operation) in [("and", Operation::And), ("andor", Operation::AndOr), ("one", Operation::One)] {
        group.bench_function(name, |bench| bench.iter(|| bits::combine(operation, black_box(&[&a, &b]))));
    }
    group.bench_function("not", |bench| bench.iter(|| bits::combine(Operation::Not, black_box(&[&a]))));
    group.finish();
}

fn fields(c: &mut Criterion) {
    let mut bytes = random(1 << 16, 3);
    let field = Field::new(true, 23).expect("a field");
    let mut rng = SmallRng::seed_from_u64(4);
    c.bench_function("increment a field", |bench| {
        bench.iter(|| {
            let at = rng.random_range(0..(1 << 19) - 23);
            let sum = i128::from(field.read(&bytes, at)) + 1;
            field.write(&mut bytes, at, field.fit(sum, Overflow::Wrap).expect("wraps"));
        })
    });
}

fn sketches(c: &mut Criterion) {
    const MAX_SPARSE_BYTES: usize = 3000;
    let filled = |elements: u64| {
        let mut sketch = hyperloglog::empty();
        for element in 0..elements {
            let (register, rank) = hyperloglog::place(&element.to_le_bytes());
            hyperloglog::raise(&mut sketch, register, rank, MAX_SPARSE_BYTES).expect("a good sketch");
        }
        sketch
    };
    let (sparse, dense) = (filled(1_000), filled(100_000));
    let mut group = c.benchmark_group("HyperLogLog");
    for (name, sketch) in [("sparse", &sparse), ("dense", &dense)] {
        let mut element = 1_u64 << 32;
        group.bench_function(format!("add to a {name} one"), |bench| {
            bench.iter_batched_ref(
                || sketch.clone(),
                |sketch| {
                    element += 1;
                    let (register, rank) = hyperloglog::place(&element.to_le_bytes());
                    hyperloglog::raise(sketch, register, rank, MAX_SPARSE_BYTES)
                },
                BatchSize::SmallInput,
            )
        });
        group.bench_function(format!("estimate of a {name} one"), |bench| {
            bench.iter(|| hyperloglog::cardinality(black_box(sketch)))
        });
        for (with, vectors) in [("with", true), ("without", false)] {
            group.bench_function(format!("merge a {name} one {with} vectors"), |bench| {
                let mut union = Registers::new(vectors);
                bench.iter(|| union.merge(black_box(sketch)))
            });
        }
    }
    group.finish();
}

criterion_group!(benches, strings, fields, sketches);
criterion_main!(benches);
