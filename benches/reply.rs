//! What writing replies costs, per reply; and reading the parts of a large one back for the socket.

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use nuthatch::resp::reply::{Proto, Reply};
use std::hint::black_box;

/// As many as a connection writes at once.
const PIPELINE: usize = 64;
/// Buffers keep this much between batches.
const KEEP_BYTES: usize = 64 * 1024;

fn reply(c: &mut Criterion) {
    type Write<'a> = &'a dyn Fn(&mut Reply, usize);
    let value = [b'v'; 1000];
    let shared = Bytes::from(vec![b'v'; 20_000]);
    let cases: [(&str, Write<'_>); 9] = [
        ("OK", &|reply, _| reply.ok()),
        ("null", &|reply, _| reply.null()),
        ("integer of one digit", &|reply, n| reply.integer(n as i64 % 10)),
        ("integer of ten digits", &|reply, n| reply.integer(1_234_567_890 + n as i64)),
        ("bulk of 16 bytes", &|reply, _| reply.bulk(black_box(&value[..16]))),
        ("bulk of 1 kB", &|reply, _| reply.bulk(black_box(&value))),
        ("bulk of 20 kB, shared", &|reply, _| reply.bulk_shared(black_box(&shared))),
        ("array of ten bulks", &|reply, _| {
            reply.array(10);
            (0..10).for_each(|_| reply.bulk(black_box(&value[..16])));
        }),
        ("array of ten bulks, deferred", &|reply, _| {
            let place = reply.deferred();
            (0..10).for_each(|_| reply.bulk(black_box(&value[..16])));
            reply.finish_array(place, 10);
        }),
    ];
    let mut group = c.benchmark_group("reply");
    group.throughput(Throughput::Elements(PIPELINE as u64));
    for (name, write) in cases {
        let mut reply = Reply::new(Proto::Resp2);
        group.bench_function(name, |b| {
            b.iter(|| {
                (0..PIPELINE).for_each(|n| write(&mut reply, n));
                let bytes: usize = reply.parts().map(|part| part.as_slice().len()).sum();
                reply.clear(KEEP_BYTES);
                bytes
            })
        });
    }
    group.finish();
}

criterion_group!(benches, reply);
criterion_main!(benches);
