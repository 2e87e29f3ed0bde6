//! What appending, reading and trimming cost, and how much memory entries take.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use nuthatch::types::stream::{BlockLimits, Group, Id, Keep, Numbering, Stream, Trim};
use std::hint::black_box;

/// The defaults of the directives.
const LIMITS: BlockLimits = BlockLimits { bytes: 4096, entries: 100 };
const ENTRIES: u64 = 100_000;
const FIELDS: [&[u8]; 4] = [b"sensor", b"1234", b"value", b"19.8"];

fn append(stream: &mut Stream, n: u64) {
    let id = Numbering::Given(Id::new(1_700_000_000_000 + n, 0));
    stream.entries.append(id, FIELDS.into_iter(), LIMITS, 0).expect("IDs ascend");
}

fn filled() -> Stream {
    let mut stream = Stream::default();
    (0..ENTRIES).for_each(|n| append(&mut stream, n));
    stream
}

fn length(keep: u64) -> Trim {
    Trim { keep: Keep::Length(keep), approximate: true, limit: 0 }
}

fn entries(c: &mut Criterion) {
    let full = filled();
    println!("{} bytes an entry", full.heap_bytes() / ENTRIES as usize);
    let mut group = c.benchmark_group("stream, 100,000 entries of two fields");
    group.throughput(Throughput::Elements(ENTRIES));
    group.bench_function("append", |b| b.iter_with_large_drop(filled));
    group.bench_function("walk", |b| {
        b.iter(|| {
            let all = full.entries.range(Id::MIN..=Id::MAX);
            all.for_each(|entry| entry.fields.for_each(|field| _ = black_box(field)))
        })
    });
    group.bench_function("walk back", |b| b.iter(|| full.entries.range_back(Id::MIN..=Id::MAX).count()));
    group.bench_function("append, keeping 1000", |b| {
        b.iter(|| {
            let mut stream = Stream::default();
            for n in 0..ENTRIES {
                append(&mut stream, n);
                stream.trim(&length(1000), Default::default());
            }
        })
    });
    group.finish();
    let mut group = c.benchmark_group("stream");
    let ids: Vec<Id> = (0..1000).map(|n| Id::new(1_700_000_000_000 + n * 7919 % ENTRIES, 0)).collect();
    group.throughput(Throughput::Elements(ids.len() as u64));
    group.bench_function("find", |b| b.iter(|| ids.iter().filter(|id| full.entries.contains(**id)).count()));
    group.bench_function("delete", |b| {
        b.iter_batched_ref(
            || full.clone(),
            |stream| ids.iter().filter(|id| stream.entries.delete(**id)).count(),
            BatchSize::PerIteration,
        )
    });
    group.finish();
}

fn groups(c: &mut Criterion) {
    let mut stream = filled();
    let mut reader = Group::new(Id::MIN, Some(0));
    let (consumer, _) = reader.find_or_create_consumer(b"consumer", 0);
    stream.groups.add(b"group", reader);
    let mut group = c.benchmark_group("stream, 100,000 entries through a group");
    group.throughput(Throughput::Elements(ENTRIES));
    group.bench_function("deliver and acknowledge", |b| {
        b.iter_batched_ref(
            || stream.clone(),
            |stream| {
                let mut ids = Vec::with_capacity(10);
                loop {
                    ids.clear();
                    if stream.deliver(b"group", consumer, 10, false, 5, |entry| ids.push(entry.id)) == 0 {
                        break;
                    }
                    let group = stream.groups.get_mut(b"group").expect("the group");
                    ids.iter().for_each(|id| assert!(group.acknowledge(*id)));
                }
            },
            BatchSize::PerIteration,
        )
    });
    group.finish();
}

criterion_group!(benches, entries, groups);
criterion_main!(benches);
