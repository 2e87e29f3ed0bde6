//! What the work on lists costs: at the ends of short and long ones, in the middle, and reading ranges.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use nuthatch::types::list::items::Items;
use nuthatch::types::list::{End, Incoming, Limit, List, Wanted};
use nuthatch::types::packed::{self, HEADER_BYTES, Item};
use std::hint::black_box;
use std::ops::ControlFlow;

const TEXT: &[u8] = b"fifteen letters";
const ELEMENTS: usize = 100_000;
/// `list-max-listpack-size` -2, the default.
const LIMIT: Limit = Limit { bytes: 8192, items: u32::MAX };
const EMPTY: Items<'static> = Items { bytes: &[], count: 0 };

fn filled(elements: usize) -> List {
    let mut list = List::new(EMPTY, Some(LIMIT));
    for number in 0..elements {
        list.push(End::Tail, Incoming::from(format!("element {number:07}").as_bytes()));
    }
    list
}

fn ends(c: &mut Criterion) {
    let mut group = c.benchmark_group("list");
    group.throughput(Throughput::Elements(ELEMENTS as u64));
    for (name, end) in [("push at the head", End::Head), ("push at the tail", End::Tail)] {
        group.bench_function(name, |b| {
            b.iter_batched(
                || List::new(EMPTY, Some(LIMIT)),
                |mut list| {
                    (0..ELEMENTS).for_each(|_| list.push(end, Incoming::from(TEXT)));
                    list
                },
                BatchSize::PerIteration,
            )
        });
    }
    for (name, end) in [("pop from the head", End::Head), ("pop from the tail", End::Tail)] {
        group.bench_function(name, |b| {
            b.iter_batched(
                || filled(ELEMENTS),
                |mut list| {
                    while list.pop(end, |element| element.with(<[u8]>::len)).is_some() {}
                    list
                },
                BatchSize::PerIteration,
            )
        });
    }
    group.finish();

    let mut queue = List::new(EMPTY, None);
    (0..100).for_each(|_| queue.push(End::Tail, Incoming::from(TEXT)));
    c.bench_function("list/queue of 100: push at the head, pop from the tail", |b| {
        b.iter(|| {
            queue.push(End::Head, Incoming::from(TEXT));
            queue.pop(End::Tail, |element| element.with(<[u8]>::len))
        })
    });
}

fn middle(c: &mut Criterion) {
    let list = filled(ELEMENTS);
    c.bench_function("list/element in the middle of 100,000", |b| {
        b.iter(|| list.get(black_box(ELEMENTS / 2)).map(|element| element.with(<[u8]>::len)))
    });
    let mut group = c.benchmark_group("list");
    group.throughput(Throughput::Elements(ELEMENTS as u64));
    group.bench_function("compare 100,000 elements", |b| {
        let wanted = Wanted::new(b"element 1000000");
        b.iter(|| {
            let mut found = 0;
            list.visit(0, End::Head, |element| {
                found += u32::from(wanted.is(element));
                ControlFlow::Continue(())
            });
            found
        })
    });
    group.finish();
}

/// Short lists, which are moved as a whole by each change.
fn short(c: &mut Criterion) {
    let mut short = packed::new();
    (0..10).for_each(|_| packed::push(&mut short, Item::of(TEXT)));
    c.bench_function("list/short one of 10: push at the head, pop from it", |b| {
        b.iter(|| {
            packed::insert(&mut short, HEADER_BYTES, &[Item::of(black_box(TEXT))]);
            packed::remove(&mut short, HEADER_BYTES, 1);
        })
    });
}

criterion_group!(benches, ends, middle, short);
criterion_main!(benches);
