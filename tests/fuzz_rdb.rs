//! Hostile values: whatever RESTORE is given, nothing panics, no more is allocated than the bytes can stand for, and
//! what is taken is a value in order that can be written and read again. See `common/fuzzing.rs`; the long run is
//! `NUTHATCH_FUZZ_RUNS=10000000 cargo test --release --test fuzz_rdb damaged`.

#[path = "common/fuzzing.rs"]
mod fuzzing;
#[path = "common/rdb_examples.rs"]
mod rdb_examples;

use fuzzing::{MAX_INPUT_BYTES, allocated_bytes, fuzz};
use nuthatch::command::serialize::{Limits, Problem, Saving, load};
use nuthatch::config::{Caller, Config};
use nuthatch::keyspace::access::Access;
use nuthatch::keyspace::{Entry, Kind, Object};
use nuthatch::rdb::payload;
use nuthatch::rdb::source::{Slice, Source};
use nuthatch::rdb::write::Writer;
use nuthatch::types::stream::{Id, Stream};
use nuthatch::types::{intset, packed, rows};
use rand::Rng;
use rdb_examples::{Contents, examples, listpack, ziplist};

/// Nothing has expired by then, not even what the examples say is over.
const BEGINNING_MS: i64 = 0;

/// Each byte may stand for as many as compression can make of three, and each element of a byte or two has a
/// structure around it, all of which grows by doubling.
fn allowed_bytes(input: &[u8]) -> u64 {
    (256 << 10) + 1000 * input.len() as u64
}

fn entry_of(input: &[u8], limits: Limits) -> Result<Entry, Problem> {
    let mut source = Slice::new(input);
    let kind = source.byte()?;
    let value = load(kind, &mut source, limits)?;
    if !source.is_done() {
        return Err(Problem::Corrupt(source.corrupt("more")));
    }
    Ok(value.store(|value| Entry::new(b"key", value, None, Access(0))))
}

fn saved(entry: &Entry, compress: bool) -> Vec<u8> {
    let value = Saving::of(entry, BEGINNING_MS).expect("a value that has just been made");
    let mut writer = Writer { out: vec![value.kind()], compress };
    value.write(&mut writer);
    assert_eq!(value.bytes(compress), writer.out.len() - 1);
    writer.out
}

fn check_stream(stream: &Stream) {
    let all = Id::MIN..=Id::MAX;
    let mut ids: Vec<Id> = stream.entries.range(all.clone()).map(|entry| entry.id).collect();
    assert!(ids.is_sorted_by(|a, b| a < b));
    assert_eq!(ids.len() as u64, stream.entries.marks().length);
    assert!(ids.last().is_none_or(|last| *last <= stream.entries.marks().last_id));
    assert!(ids.iter().all(|id| stream.entries.contains(*id)));
    ids.reverse();
    assert!(stream.entries.range_back(all).map(|entry| entry.id).eq(ids));
    for (_, group) in stream.groups.iter() {
        let pending: usize = group.consumers().map(|consumer| consumer.pending().len()).sum();
        assert_eq!(pending, group.pending().len());
    }
}

/// The value is in order, and says what the input said.
fn check(entry: &Entry, input: &[u8]) {
    match (entry.kind(), entry.packed(), entry.object()) {
        (Kind::IntSet, Some(bytes), _) => assert!(intset::validate(bytes)),
        (Kind::PackedSet, Some(bytes), _) => assert!(rows::validate(bytes, 1)),
        (Kind::PackedHash | Kind::PackedSortedSet, Some(bytes), _) => assert!(rows::validate(bytes, 2)),
        (Kind::TimedPackedHash, Some(bytes), _) => assert!(rows::validate(bytes, 3)),
        (_, Some(bytes), _) => assert!(packed::validate(bytes)),
        (_, _, Some(Object::Stream(stream))) => check_stream(stream),
        (_, _, Some(Object::List(list))) => {
            assert_eq!(list.nodes().count(), list.blocks());
            assert!((0..list.len()).all(|index| list.get(index).is_some()));
        }
        _ => {}
    }
    let contents = Contents::of(input).expect("what was loaded can be read");
    for compress in [false, true] {
        let again = saved(entry, compress);
        assert_eq!(Contents::of(&again).expect("what was saved can be read"), contents);
        let sealed = payload::seal(again.clone(), payload::VERSION);
        assert_eq!(payload::open(&sealed, false), Some(again.as_slice()));
    }
}

/// Loads an input under directives that are usual, or so small that everything becomes large.
fn limits() -> [Limits; 2] {
    let usual = Config::new();
    let small = Config::new();
    let tiny = [
        "hash-max-listpack-entries",
        "set-max-listpack-entries",
        "set-max-intset-entries",
        "zset-max-listpack-entries",
        "list-max-listpack-size",
    ];
    let settings: Vec<(&[u8], &[u8])> = tiny.iter().map(|name| (name.as_bytes(), b"1".as_slice())).collect();
    small.set_many(&settings, Caller::default(), &mut |_| Ok(())).expect("good settings");
    [Limits::of(&usual), Limits::of(&small)]
}

#[test]
fn every_encoding_is_read() {
    for (input, expected) in examples() {
        for limits in limits() {
            let entry = entry_of(&input, limits).unwrap_or_else(|problem| panic!("{problem:?} in {input:?}"));
            check(&entry, &input);
            if let Some(expected) = &expected {
                assert_eq!(Contents::of(&saved(&entry, false)).as_ref(), Ok(expected));
            }
        }
    }
}

#[test]
fn every_end_and_every_change_of_a_byte_is_survived() {
    let limits = limits();
    for (input, _) in examples() {
        if input.len() > MAX_INPUT_BYTES {
            continue;
        }
        for len in 0..input.len() {
            assert!(entry_of(&input[..len], limits[0]).is_err(), "{len} of {input:?}");
        }
        for at in 0..input.len() {
            for byte in [0, 1, 2, 0x3F, 0x40, 0x7F, 0x80, 0x81, 0xC0, 0xC3, 0xE0, 0xFE, 0xFF, input[at] ^ 1] {
                let mut damaged = input.clone();
                damaged[at] = byte;
                if let Ok(entry) = entry_of(&damaged, limits[at % 2]) {
                    check(&entry, &damaged);
                }
            }
        }
    }
}

#[test]
fn lengths_do_not_allocate() {
    let huge: [&[u8]; 3] = [b"\x80\xff\xff\xff\xff", b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff", b"\x7f\xff"];
    for kind in 0..=30 {
        for length in huge {
            // As the length of everything, of the compressed and of what it stands for.
            for before in [&b""[..], b"\x01", b"\x01\x02", b"\xc3", b"\xc3\x05", b"\x01\xc3\x03", &[0; 9]] {
                let input = [&[kind], before, length, b"rest"].concat();
                let bytes = allocated_bytes(|| drop(entry_of(&input, limits()[0])));
                assert!(bytes < allowed_bytes(&input), "{bytes} bytes for {input:?}");
            }
        }
    }
}

#[test]
fn damaged_values_are_refused_or_in_order() {
    let blobs: Vec<Vec<u8>> = vec![
        listpack(&["a", "1", "b", "2.5"]),
        ziplist(&["a", "1", "b", "-200", "xyz"]),
        listpack(&["1", "0", "1", "f", "0", "2", "0", "0", "v", "4"]),
        [0, 0, 0, 0, 0, 0, 3, 232, 0, 0, 0, 0, 0, 0, 0, 5].to_vec(),
    ];
    let mut dictionary: Vec<&[u8]> = vec![
        b"\x80\xff\xff\xff\xff",
        b"\x81\x00\x00\x00\x00\x00\x00\x00\x05",
        b"\xc0\x05",
        b"\xc1\x05\x00",
        b"\xc3\x03\x0a\x00a\xe0\x00\x00",
        b"\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x00",
        b"\x01",
        b"\x02",
        b"\xff",
        b"\xfe",
        b"\xf4",
        b"\xf0\x04\x00\x00\x00",
        b"\x01\x01",
        b"\x00\x01",
    ];
    dictionary.extend(blobs.iter().map(Vec::as_slice));
    let examples = examples();
    let examples: Vec<&[u8]> = examples.iter().map(|(input, _)| input.as_slice()).collect();
    let limits = limits();
    fuzz(&examples, &dictionary, |input, rng| {
        let limits = limits[rng.random_range(0..2)];
        let mut loaded = None;
        let bytes = allocated_bytes(|| loaded = Some(entry_of(input, limits)));
        assert!(bytes < allowed_bytes(input), "{bytes} bytes for {}", input.len());
        match loaded {
            Some(Ok(entry)) => {
                check(&entry, input);
                let size = saved(&entry, false).len().ilog2();
                Ok((input[0], entry.encoding_name(), size))
            }
            Some(Err(Problem::Corrupt(corrupt))) => Err((input.first().copied(), corrupt.what)),
            _ => Err((input.first().copied(), "empty")),
        }
    });
}
