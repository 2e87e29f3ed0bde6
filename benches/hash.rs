//! What hashes cost: small ones in one piece, and large ones, with deadlines of their fields and without.

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use nuthatch::types::hash::Hash;
use nuthatch::types::names::Names;
use nuthatch::types::packed_hash::{self, Layout};
use nuthatch::types::rows;
use std::hint::black_box;

/// A name of 17 bytes.
fn name(n: usize) -> String {
    format!("field:{n:011}")
}

const VALUE: &[u8] = b"a 16-byte value.";
const OTHER_VALUE: &[u8] = b"the other value!";

fn small(c: &mut Criterion) {
    let mut group = c.benchmark_group("packed hash");
    for count in [5, 50, 500] {
        let names: Vec<String> = (0..count).map(name).collect();
        let mut full = rows::new();
        for name in &names {
            packed_hash::push(&mut full, Layout::Plain, name.as_bytes(), VALUE);
        }
        group.throughput(Throughput::Elements(count as u64));
        group.bench_with_input(BenchmarkId::new("get", count), &full, |b, full| {
            let get = |name: &String| packed_hash::value(full, Layout::Plain, name.as_bytes(), 0).is_some();
            b.iter(|| names.iter().filter(|name| get(name)).count())
        });
        group.bench_with_input(BenchmarkId::new("set anew", count), &full, |b, full| {
            let mut hash = full.clone();
            let mut values = [VALUE, OTHER_VALUE].into_iter().cycle();
            b.iter(|| {
                let value = values.next().expect("endless");
                for name in &names {
                    packed_hash::set(&mut hash, Layout::Plain, name.as_bytes(), value, false);
                }
            })
        });
        group.bench_with_input(BenchmarkId::new("read all", count), &full, |b, full| {
            b.iter(|| {
                packed_hash::iter(full, Layout::Plain, 0).for_each(|entry| {
                    black_box(entry);
                })
            })
        });
    }
    group.finish();
}

fn filled(count: usize, deadlines: bool) -> Hash {
    let mut hash = Hash::new();
    for n in 0..count {
        let name = name(n);
        hash.set(name.as_bytes(), VALUE, false);
        if deadlines {
            hash.set_deadline(name.as_bytes(), Some((n * 7_919 % count) as i64));
        }
    }
    hash
}

fn large(c: &mut Criterion) {
    for count in [1000, 1_000_000] {
        let mut group = c.benchmark_group(format!("hash of {count}"));
        let names: Vec<String> = (0..count).map(|n| name(n * 7_919 % count)).collect();
        group.throughput(Throughput::Elements(count as u64));
        group.sample_size(10);
        let mut full = filled(count, false);
        println!("{} bytes a field", full.heap_bytes() / count);
        group.bench_function("fill", |b| b.iter(|| filled(count, false)));
        group.bench_function("fill, with deadlines", |b| b.iter(|| filled(count, true)));
        group.bench_function("get", |b| {
            b.iter(|| names.iter().filter(|name| full.get(name.as_bytes(), 0).is_some()).count())
        });
        group.bench_function("set anew", |b| {
            b.iter(|| names.iter().filter(|name| full.set(name.as_bytes(), OTHER_VALUE, false)).count())
        });
        let timed = filled(count, true);
        println!("{} bytes a field with a deadline", timed.heap_bytes() / count);
        group.bench_function("expire all", |b| {
            b.iter_batched(
                || timed.clone(),
                |mut hash| hash.remove_due(i64::MAX, usize::MAX, &mut Names::default()),
                BatchSize::PerIteration,
            )
        });
        group.finish();
    }
}

criterion_group!(benches, small, large);
criterion_main!(benches);
