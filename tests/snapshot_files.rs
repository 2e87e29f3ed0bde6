//! Files that are not what they should be: cut off or changed at any place, hostile, or written by others.

#[path = "common/fuzzing.rs"]
mod fuzzing;
#[path = "common/rdb_examples.rs"]
mod rdb_examples;

use fuzzing::{allocated_bytes, fuzz};
use nuthatch::command::serialize::Limits;
use nuthatch::config::Config;
use nuthatch::keyspace::fill::Existing;
use nuthatch::keyspace::{Keyspace, unix_ms};
use nuthatch::persist::rdb::check::check;
use nuthatch::persist::rdb::load::{Error, Listener, Loaded, Options, load};
use nuthatch::rdb::payload::CHECKSUM;
use parking_lot::Mutex;
use std::path::Path;

/// Far in the future, Unix milliseconds.
const LATE_MS: i64 = 4_000_000_000_000;

#[derive(Default)]
struct Heard {
    facts: Mutex<Vec<(Vec<u8>, Vec<u8>)>>,
    libraries: Mutex<Vec<Vec<u8>>>,
}

impl Listener for Heard {
    fn progress(&self, _bytes: u64) {}

    fn aux(&self, name: &[u8], value: &[u8]) {
        self.facts.lock().push((name.to_vec(), value.to_vec()));
    }

    fn library(&self, source: &[u8]) -> Result<(), String> {
        self.libraries.lock().push(source.to_vec());
        Ok(())
    }
}

fn options(check_sum: bool) -> Options {
    Options {
        now_ms: unix_ms(),
        keep_expired: false,
        existing: Existing::Fault,
        check_sum,
        threads: 1,
        limits: Limits::of(&Config::new()),
    }
}

fn load_into(keyspace: &Keyspace, bytes: &[u8], check_sum: bool) -> Result<Loaded, Error> {
    load(bytes, bytes.len() as u64, keyspace, options(check_sum), &Heard::default())
}

fn load_all(bytes: &[u8], check_sum: bool) -> Result<Loaded, Error> {
    load_into(&Keyspace::new(16, 4, 1), bytes, check_sum)
}

fn text(out: &mut Vec<u8>, text: &[u8]) {
    assert!(text.len() < 64);
    out.push(text.len() as u8);
    out.extend_from_slice(text);
}

fn sealed(mut file: Vec<u8>) -> Vec<u8> {
    file.push(255);
    let checksum = CHECKSUM.checksum(&file);
    file.extend_from_slice(&checksum.to_le_bytes());
    file
}

/// A file with a key of every kind that there ever was.
fn small_file() -> (Vec<u8>, u64) {
    let mut file = b"REDIS0012".to_vec();
    file.push(250);
    text(&mut file, b"redis-ver");
    text(&mut file, b"7.4.0");
    file.push(245);
    text(&mut file, b"#!lua name=lib\n");
    file.extend_from_slice(&[254, 0, 251, 60, 2]);
    let mut keys = 0;
    for (number, (value, contents)) in rdb_examples::examples().into_iter().enumerate() {
        let Some(_) = contents else { continue };
        match number % 4 {
            0 => {
                file.push(252);
                file.extend_from_slice(&LATE_MS.to_le_bytes());
            }
            1 => file.extend_from_slice(&[248, 10]),
            2 => file.extend_from_slice(&[249, 7]),
            _ => {
                file.push(253);
                file.extend_from_slice(&2_000_000_000_i32.to_le_bytes());
            }
        }
        let (kind, value) = value.split_first().expect("a kind");
        file.push(*kind);
        text(&mut file, format!("key {number}").as_bytes());
        file.extend_from_slice(value);
        keys += 1;
    }
    (sealed(file), keys)
}

#[test]
fn a_file_with_everything_is_loaded_and_passes_the_check() {
    let (file, keys) = small_file();
    let heard = Heard::default();
    let keyspace = Keyspace::new(16, 4, 1);
    let loaded = load(&file[..], file.len() as u64, &keyspace, options(true), &heard).expect("a right file");
    assert_eq!((loaded.keys, loaded.bytes), (keys, file.len() as u64));
    assert_eq!(keyspace.counts(0).keys as u64, keys);
    assert_eq!(*heard.facts.lock(), [(b"redis-ver".to_vec(), b"7.4.0".to_vec())]);
    assert_eq!(*heard.libraries.lock(), [b"#!lua name=lib\n".to_vec()]);
    let mut report = String::new();
    assert!(check(&file[..], Path::new("dump.rdb"), &mut report), "{report}");
    // What follows belongs to somebody else.
    let longer = [&file[..], b"*1\r\n$4\r\nPING\r\n"].concat();
    let loaded = load_all(&longer, true).expect("a snapshot with a log behind it");
    assert_eq!(loaded.bytes, file.len() as u64);
}

#[test]
fn a_file_that_ends_anywhere_is_refused() {
    let (file, _) = small_file();
    for len in 0..file.len() {
        match load_all(&file[..len], true) {
            Err(Error::Short { at }) => assert!(at <= len as u64, "{len}: {at}"),
            other => panic!("{len} of {} bytes: {other:?}", file.len()),
        }
        assert!(!check(&file[..len], Path::new("dump.rdb"), &mut String::new()), "{len}");
    }
}

#[test]
fn a_file_with_a_flipped_bit_is_refused() {
    let (file, _) = small_file();
    let checksum_at = file.len() - 8;
    // A change of the version may make one of it that had no checksum yet.
    for at in (0..5).chain(9..file.len()) {
        for bit in [0, 3, 7] {
            let mut damaged = file.clone();
            damaged[at] ^= 1 << bit;
            let result = load_all(&damaged, true);
            assert!(result.is_err(), "byte {at}, bit {bit}: {result:?}");
            if let Err(Error::Corrupt { at: found, .. }) = result {
                assert!(found <= file.len() as u64);
            }
            assert!(!check(&damaged[..], Path::new("dump.rdb"), &mut String::new()), "byte {at}, bit {bit}");
            // Without a checksum it may pass, but never for more than it is.
            let unchecked = load_all(&damaged, false);
            assert!(unchecked.is_ok() || at < checksum_at);
        }
    }
}

#[test]
fn foreign_files_are_told_apart() {
    let why = |bytes: &[u8]| load_all(bytes, true).expect_err("a wrong file").to_string();
    assert_eq!(why(b"hello, world"), "Wrong signature trying to load DB from file");
    assert_eq!(why(b"hello"), "Wrong signature trying to load DB from file");
    assert_eq!(why(b"REDIS0099xxxxxxxx"), "Can't handle RDB format version 0099");
    assert_eq!(why(b"REDISabcdxxxxxxxx"), "Can't handle RDB format version abcd");
    assert!(why(b"").starts_with("Short read"));
    // A value of a module, named as the module is.
    let module = sealed(b"REDIS0010\x07\x03key\x81\x86\x9d\x24\x89\x40\x00\x00\x01\x00".to_vec());
    assert!(why(&module).contains("no matching module type"), "{}", why(&module));
    let unknown = sealed(b"REDIS0010\x63\x03keyvalue".to_vec());
    assert_eq!(why(&unknown), "Internal error in RDB reading offset 9 -> Unknown RDB encoding type");
    let twice = sealed(b"REDIS0010\x00\x01a\x01b\x00\x01a\x01c".to_vec());
    assert_eq!(why(&twice), "RDB has duplicated key 'a' in DB 0");
    let far = sealed(b"REDIS0010\xfe\x11\x00\x01a\x01b".to_vec());
    assert!(why(&far).contains("more than 17 databases"), "{}", why(&far));
}

#[test]
fn keys_that_have_expired_are_left_out_unless_they_are_wanted() {
    let mut file = b"REDIS0010".to_vec();
    for (key, deadline_ms) in [(b'a', 1000), (b'b', LATE_MS)] {
        file.push(252);
        file.extend_from_slice(&i64::to_le_bytes(deadline_ms));
        file.extend_from_slice(&[0, 1, key, 1, b'v']);
    }
    let file = sealed(file);
    let loaded = load_all(&file, true).expect("a right file");
    assert_eq!((loaded.keys, loaded.expired_keys), (1, 1));
    let keep = Options { keep_expired: true, ..options(true) };
    let keyspace = Keyspace::new(1, 4, 1);
    let loaded = load(&file[..], 0, &keyspace, keep, &Heard::default()).expect("a right file");
    assert_eq!((loaded.keys, loaded.expired_keys), (2, 0));
}

#[test]
fn sizes_that_are_only_announced_allocate_little() {
    // Database 0 with 2^60 keys; a string of 2^40 bytes; a list of as many elements.
    let announced = [
        &b"\xfe\x00\xfb\x81\x10\x00\x00\x00\x00\x00\x00\x00\x00"[..],
        b"\x00\x01a\x81\x00\x00\x01\x00\x00\x00\x00\x00",
        b"\x01\x01a\x81\x00\x00\x01\x00\x00\x00\x00\x00",
    ];
    for part in announced {
        let file = [b"REDIS0010", part].concat();
        let allocated = allocated_bytes(|| assert!(load_all(&file, true).is_err()));
        assert!(allocated < 8 << 20, "{allocated} bytes for {}", part.escape_ascii());
    }
}

/// Blocks end where records do, whatever their size.
#[test]
fn large_and_small_records_come_in_any_order() {
    let mut file = b"REDIS0010".to_vec();
    let mut keys = 0;
    for size in [10_usize, 3 << 20, 5, 1 << 20, 100, 7 << 20, 1] {
        for copies in 0..if size < 1000 { 5000 } else { 1 } {
            file.push(0);
            text(&mut file, format!("{size} {copies}").as_bytes());
            file.push(0x80);
            file.extend_from_slice(&(size as u32).to_be_bytes());
            file.extend(std::iter::repeat_n(b'v', size));
            keys += 1;
        }
    }
    let file = sealed(file);
    for threads in [1, 3] {
        let keyspace = Keyspace::new(1, 16, 1);
        let options = Options { threads, ..options(true) };
        let loaded = load(&file[..], file.len() as u64, &keyspace, options, &Heard::default());
        assert_eq!(loaded.expect("a right file").keys, keys);
        assert_eq!(keyspace.counts(0).keys as u64, keys);
    }
}

#[test]
fn damaged_files_are_refused_or_loaded() {
    let (file, _) = small_file();
    let dictionary: &[&[u8]] =
        &[b"\xff", b"\xfe\x00", b"\xfb\x01\x01", b"\xfc", b"\xfd", b"\xf8", b"\xf7", b"\x81"];
    let keyspace = Keyspace::new(16, 4, 1);
    fuzz(&[&file, b"REDIS0010\xfe\x00\xfb\x01\x00\x00\x01a\x01b\xff12345678"], dictionary, |input, _| {
        let loaded = load_into(&keyspace, input, false);
        let checked = check(input, Path::new("dump.rdb"), &mut String::new());
        (0..16).for_each(|db| {
            let mut view = keyspace.lock_databases(
                db,
                unix_ms(),
                std::iter::once(db),
                nuthatch::keyspace::view::Mode::Exclusive,
            );
            drop(view.flush(db..db + 1));
            view.finish();
        });
        // A kind of coverage: what was said of it.
        (loaded.map(|loaded| loaded.keys).map_err(|error| std::mem::discriminant(&error)), checked)
    });
}
