//! What finding the requests in received bytes costs, per request.

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use nuthatch::resp::scan::{Found, Limits, Request, Scanner, Span};
use std::hint::black_box;

const LIMITS: Limits = Limits { max_bulk_bytes: 512 << 20, authenticated: true };
/// As many as a connection executes at once.
const PIPELINE: usize = 64;

fn multibulk(args: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        bytes.extend(format!("${}\r\n", arg.len()).bytes());
        bytes.extend_from_slice(arg);
        bytes.extend(b"\r\n");
    }
    bytes
}

/// Scans all of `bytes` and looks at each argument. Returns the number of requests.
fn scan(bytes: &[u8], spans: &mut Vec<Span>, large: &mut Vec<Bytes>) -> usize {
    let mut scanner = Scanner::new();
    let mut requests = 0;
    loop {
        spans.clear();
        large.clear();
        match scanner.scan(bytes, LIMITS, spans, large) {
            Found::Request => {
                requests += 1;
                for arg in Request::new(bytes, large, spans).iter() {
                    black_box(arg);
                }
            }
            Found::Incomplete => return requests,
            other => panic!("{other:?}"),
        }
    }
}

fn scanner(c: &mut Criterion) {
    let (key, value): (&[u8], &[u8]) = (b"key:000000123456", b"0123456789abcdef");
    let mset: Vec<&[u8]> = [b"MSET".as_slice()].into_iter().chain([key, value].repeat(10)).collect();
    let large = vec![b'v'; 1 << 20];
    let cases = [
        ("GET", multibulk(&[b"GET", key]).repeat(PIPELINE), PIPELINE),
        ("SET", multibulk(&[b"SET", key, value]).repeat(PIPELINE), PIPELINE),
        ("MSET of ten", multibulk(&mset).repeat(PIPELINE), PIPELINE),
        ("SET of 1 kB", multibulk(&[b"SET", key, &large[..1000]]).repeat(PIPELINE), PIPELINE),
        ("SET of 1 MB", multibulk(&[b"SET", key, &large]), 1),
        ("inline GET", b"GET key:000000123456\r\n".repeat(PIPELINE), PIPELINE),
        ("inline SET, quoted", b"SET key:000000123456 \"0123456789\\xff\"\r\n".repeat(PIPELINE), PIPELINE),
    ];
    let mut group = c.benchmark_group("scanner");
    for (name, bytes, requests) in &cases {
        group.throughput(Throughput::Elements(*requests as u64));
        let (mut spans, mut large) = (Vec::new(), Vec::new());
        group.bench_function(*name, |b| {
            b.iter(|| assert_eq!(scan(black_box(bytes), &mut spans, &mut large), *requests))
        });
    }
    // The same in the pieces that a slow network makes of it.
    let request = multibulk(&[b"SET", key, value]);
    group.throughput(Throughput::Elements(1));
    group.bench_function("SET, byte by byte", |b| {
        let (mut spans, mut large) = (Vec::new(), Vec::new());
        b.iter(|| {
            spans.clear();
            let mut scanner = Scanner::new();
            for end in 1..request.len() {
                let found = scanner.scan(&request[..end], LIMITS, &mut spans, &mut large);
                assert_eq!(found, Found::Incomplete);
            }
            assert_eq!(scanner.scan(&request, LIMITS, &mut spans, &mut large), Found::Request);
        })
    });
    group.finish();
}

criterion_group!(benches, scanner);
criterion_main!(benches);
