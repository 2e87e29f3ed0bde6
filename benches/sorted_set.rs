//! What the operations of a large sorted set cost, on a million members in random order.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use nuthatch::types::sorted_set::SortedSet;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use std::hint::black_box;

const MEMBERS: u32 = 1_000_000;

/// A name of 17 bytes.
fn name(n: u32) -> [u8; 17] {
    let mut name = *b"member:0000000000";
    let mut rest = n;
    for digit in name.iter_mut().rev().take(10) {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    name
}

fn filled(rng: &mut SmallRng, members: u32) -> SortedSet {
    let mut set = SortedSet::new();
    (0..members).for_each(|n| {
        set.insert(rng.random_range(0..1_000_000_000_u32).into(), &name(n));
    });
    set
}

fn sorted_set(c: &mut Criterion) {
    let mut rng = SmallRng::seed_from_u64(1);
    let mut set = filled(&mut rng, MEMBERS);
    println!("{:.1} bytes a member", set.heap_bytes() as f64 / f64::from(MEMBERS));
    let mut group = c.benchmark_group("sorted_set");
    group.bench_function("score", |b| b.iter(|| set.score(&name(rng.random_range(0..MEMBERS)))));
    group.bench_function("rank", |b| b.iter(|| set.rank(&name(rng.random_range(0..MEMBERS)))));
    group.bench_function("position by score", |b| {
        b.iter(|| {
            let score = f64::from(rng.random_range(0..1_000_000_000_u32));
            set.position_by_score(|other| other < score)
        })
    });
    group.bench_function("range of 100", |b| {
        b.iter(|| {
            let from = rng.random_range(0..MEMBERS as usize - 100);
            set.range(from..from + 100, false).map(|(member, score)| score + member.len() as f64).sum::<f64>()
        })
    });
    group.bench_function("new score", |b| {
        b.iter(|| {
            set.insert(rng.random_range(0..1_000_000_000_u32).into(), &name(rng.random_range(0..MEMBERS)))
        })
    });
    group.bench_function("pop first, add one", |b| {
        b.iter(|| {
            black_box(set.remove_rank(0, |(_, score)| score));
            set.insert(rng.random_range(0..1_000_000_000_u32).into(), &name(rng.random()))
        })
    });
    group.bench_function("ten thousand members one by one", |b| {
        b.iter_batched(|| (), |()| filled(&mut rng, 10_000), BatchSize::PerIteration)
    });
    group.finish();
}

criterion_group!(benches, sorted_set);
criterion_main!(benches);
