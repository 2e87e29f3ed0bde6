//! What the hash table of sets, hashes and sorted sets costs: adding, finding, taking out, random picks, walks.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use nuthatch::types::member::Member;
use nuthatch::types::table::Table;
use rand::{SeedableRng, rngs::SmallRng};
use std::hint::black_box;

/// A member of 17 bytes.
fn name(n: usize) -> String {
    format!("member:{n:010}")
}

fn filled(count: usize) -> Table<Member> {
    let mut table = Table::new();
    for n in 0..count {
        table.insert(Member::new(name(n).as_bytes()));
    }
    table
}

fn table(c: &mut Criterion) {
    for count in [100, 10_000, 1_000_000] {
        let mut group = c.benchmark_group(format!("table of {count}"));
        let names: Vec<String> = (0..count).map(name).collect();
        let full = filled(count);
        // Strides visit the elements in an order that no cache foresees.
        let order: Vec<usize> = (0..count).map(|n| n * 7_919 % count).collect();
        group.throughput(Throughput::Elements(count as u64));
        group.sample_size(10);
        group.bench_function("insert", |b| b.iter(|| filled(count)));
        group.bench_function("get", |b| {
            b.iter(|| order.iter().filter(|n| full.get(names[**n].as_bytes()).is_some()).count())
        });
        group.bench_function("miss", |b| {
            b.iter(|| order.iter().filter(|n| full.get(&names[**n].as_bytes()[1..]).is_some()).count())
        });
        group.bench_function("take random", |b| {
            let mut rng = SmallRng::seed_from_u64(1);
            b.iter_batched(
                || full.clone(),
                |mut table| while table.take_random(&mut rng).is_some() {},
                BatchSize::PerIteration,
            )
        });
        group.bench_function("walk in steps of 10", |b| {
            b.iter(|| {
                let mut cursor = 0;
                loop {
                    cursor = full.scan(cursor, 10, |member| {
                        black_box(member);
                    });
                    if cursor == 0 {
                        break;
                    }
                }
            })
        });
        group.finish();
    }
}

criterion_group!(benches, table);
criterion_main!(benches);
