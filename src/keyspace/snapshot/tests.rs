use super::{Control, Cut, Epoch, Lane, Sink, Snapshot};
use crate::keyspace::view::{Hashed, Mode};
use crate::keyspace::{Deadline, Entry, Footprint, Keyspace, Kind, Object, StringRef, Value, View, unix_ms};
use parking_lot::Mutex;
use rand::Rng;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

const NOW_MS: i64 = 1_700_000_000_000;
const SHARDS: usize = 8;

type Key = (usize, Vec<u8>);

/// Keeps everything in memory: integers as they are, of packed values the bytes, given out piece by piece.
#[derive(Default)]
pub(crate) struct Kept {
    entries: Mutex<BTreeMap<Key, Vec<u8>>>,
    /// Keys that came twice, or whose pieces did not fit.
    faults: Mutex<Vec<Key>>,
    /// What comes in the walker's lane at the moment.
    open: Mutex<Option<(Key, usize)>>,
    breaths: AtomicUsize,
    /// The sink gives up at this breath.
    last_breath: usize,
}

impl Kept {
    pub(crate) fn new() -> Arc<Kept> {
        Arc::new(Kept { last_breath: usize::MAX, ..Kept::default() })
    }

    /// What was given out.
    pub(crate) fn entries(&self) -> BTreeMap<Key, Vec<u8>> {
        assert_eq!(*self.faults.lock(), []);
        assert_eq!(*self.open.lock(), None);
        self.entries.lock().clone()
    }

    /// The sum of all integers.
    pub(crate) fn sum(&self) -> i64 {
        let number = |bytes: &Vec<u8>| std::str::from_utf8(bytes).ok()?.parse::<i64>().ok();
        self.entries().values().filter_map(number).sum()
    }
}

/// What a client sees of a value, or its packed bytes.
fn bytes_of(entry: &Entry) -> Vec<u8> {
    match entry.string() {
        Some(string) => string.with(<[u8]>::to_vec),
        None => entry.packed().expect("these tests use no other values").to_vec(),
    }
}

impl Sink for Kept {
    fn save(&self, lane: Lane, db: usize, entry: &Entry, from: u64, budget: usize) -> Option<u64> {
        let key = (db, entry.key().to_vec());
        let bytes = bytes_of(entry);
        let from = from as usize;
        let end = bytes.len().min(from.saturating_add(budget));
        let expected = match lane {
            Lane::Walker => self.open.lock().take(),
            Lane::Writers => None,
        };
        let mut entries = self.entries.lock();
        let is_right = match expected {
            Some(expected) => expected == (key.clone(), from),
            None => from == 0 && !entries.contains_key(&key),
        };
        if !is_right {
            self.faults.lock().push(key.clone());
        }
        entries.entry(key.clone()).or_default().extend_from_slice(&bytes[from..end]);
        if end == bytes.len() {
            return None;
        }
        assert_eq!(lane, Lane::Walker, "writers give out all at once");
        *self.open.lock() = Some((key, end));
        Some(end as u64)
    }

    fn breathe(&self) -> bool {
        self.breaths.fetch_add(1, Ordering::Relaxed) < self.last_breath
    }
}

fn begin(keyspace: &Keyspace, sink: &Arc<Kept>) -> Snapshot {
    Snapshot::begin(keyspace, sink.clone(), |_| {}).expect("no other snapshot")
}

/// Does something with a key of a database, as a command does.
fn with_key<R>(keyspace: &Keyspace, db: usize, key: &[u8], f: impl FnOnce(&mut View<'_>) -> R) -> R {
    let hashed = [Hashed::new(key, keyspace.hash(key))];
    let mut view = keyspace.lock_keys(db, NOW_MS, &hashed, Mode::Exclusive);
    let result = f(&mut view);
    view.finish();
    result
}

fn set(keyspace: &Keyspace, db: usize, key: &str, n: i64) {
    with_key(keyspace, db, key.as_bytes(), |view| {
        view.set(key.as_bytes(), Value::Int(n), Deadline::Clear);
    });
}

fn everything<R>(keyspace: &Keyspace, f: impl FnOnce(&mut View<'_>) -> R) -> R {
    let mut view = keyspace.lock_databases(0, NOW_MS, 0..keyspace.databases(), Mode::Exclusive);
    let result = f(&mut view);
    view.finish();
    result
}

fn content(keys: &[(usize, &str, &str)]) -> BTreeMap<Key, Vec<u8>> {
    keys.iter().map(|(db, key, value)| ((*db, key.as_bytes().to_vec()), value.as_bytes().to_vec())).collect()
}

#[test]
fn a_snapshot_has_everything_as_it_was_at_the_cut() {
    let keyspace = Keyspace::new(4, SHARDS, 1);
    for (n, key) in ["kept", "changed", "overwritten", "removed", "renamed", "moved"].iter().enumerate() {
        set(&keyspace, 0, key, n as i64);
    }
    set(&keyspace, 1, "other", 7);
    with_key(&keyspace, 0, b"expires", |view| {
        view.set(b"expires", Value::Int(8), Deadline::At(NOW_MS + 10_000));
    });
    let before = content(&[
        (0, "kept", "0"),
        (0, "changed", "1"),
        (0, "overwritten", "2"),
        (0, "removed", "3"),
        (0, "renamed", "4"),
        (0, "moved", "5"),
        (0, "expires", "8"),
        (1, "other", "7"),
    ]);
    let sink = Kept::new();
    let mut seen = None;
    let snapshot =
        Snapshot::begin(&keyspace, sink.clone(), |cut| seen = Some(cut.clone())).expect("no other");
    let cut: Cut = seen.expect("called");
    assert_eq!(cut.keys(), 8);
    let counted: Vec<_> = cut.databases.iter().map(|(db, counts)| (*db, counts.keys)).collect();
    assert_eq!(counted, [(0, 7), (1, 1)]);
    assert!(Snapshot::begin(&keyspace, sink.clone(), |_| {}).is_err());
    with_key(&keyspace, 0, b"changed", |view| {
        view.update(b"changed").expect("there").set_value(Value::Bytes(b"new"));
    });
    set(&keyspace, 0, "overwritten", 100);
    set(&keyspace, 0, "new", 100);
    set(&keyspace, 2, "new", 100);
    assert!(with_key(&keyspace, 0, b"removed", |view| view.remove(b"removed")).is_some());
    everything(&keyspace, |view| {
        let entry = view.remove_in(0, b"renamed").expect("there");
        view.insert_in(0, entry.renamed(b"another name"));
        let entry = view.remove_in(0, b"moved").expect("there");
        view.insert_in(1, entry);
    });
    with_key(&keyspace, 0, b"expires", |view| assert!(view.set_deadline(b"expires", None)));
    let mut steps = 0;
    assert!(snapshot.run(&keyspace, || steps += 1));
    assert!(steps >= 2 * SHARDS);
    assert_eq!(sink.entries(), before);
    // The next ones have what there is now, and each other's epoch.
    for _ in 0..2 {
        let sink = Kept::new();
        assert!(begin(&keyspace, &sink).run(&keyspace, || {}));
        let now = [
            (0, "kept", "0"),
            (0, "changed", "new"),
            (0, "overwritten", "100"),
            (0, "new", "100"),
            (2, "new", "100"),
            (0, "another name", "4"),
            (1, "moved", "5"),
            (0, "expires", "8"),
            (1, "other", "7"),
        ];
        assert_eq!(sink.entries(), content(&now));
    }
}

#[test]
fn flushed_and_exchanged_databases_are_given_out_as_they_were() {
    let keyspace = Keyspace::new(4, SHARDS, 1);
    for n in 0..50 {
        set(&keyspace, 0, &format!("a{n}"), n);
        set(&keyspace, 1, &format!("b{n}"), n + 100);
    }
    let all = {
        let sink = Kept::new();
        assert!(begin(&keyspace, &sink).run(&keyspace, || {}));
        sink.entries()
    };
    assert_eq!(all.len(), 100);
    let sink = Kept::new();
    let snapshot = begin(&keyspace, &sink);
    let mut steps = 0;
    let whole = snapshot.run(&keyspace, || {
        steps += 1;
        match steps {
            2 => everything(&keyspace, |view| view.swap(0, 1)),
            3 => set(&keyspace, 1, "a1", -1),
            4 => everything(&keyspace, |view| view.swap(1, 3)),
            5 => assert_eq!(everything(&keyspace, |view| view.flush(0..1)).len(), 50),
            6 => set(&keyspace, 0, "a1", -1),
            7 => assert!(everything(&keyspace, |view| view.flush(1..4)).len() >= 50),
            _ => {}
        }
    });
    assert!(whole && steps > 7);
    assert_eq!(sink.entries(), all);
    assert_eq!(keyspace.counts(0).keys, 1);
}

/// A value that takes many steps, and commands in between.
fn with_a_large_value(meddle: impl Fn(&Keyspace)) {
    let keyspace = Keyspace::new(2, 1, 1);
    let large = vec![7; 200_000];
    with_key(&keyspace, 0, b"large", |view| {
        let value = Value::Object(Kind::PackedSet, Object::Packed(large.clone()));
        view.set(b"large", value, Deadline::At(NOW_MS + 1000));
    });
    for n in 0..100 {
        set(&keyspace, 0, &n.to_string(), n);
    }
    let sink = Kept::new();
    let snapshot = begin(&keyspace, &sink);
    let mut meddled = false;
    let whole = snapshot.run(&keyspace, || {
        if sink.open.lock().is_some() && !meddled {
            meddled = true;
            meddle(&keyspace);
        }
    });
    assert!(whole && meddled);
    let entries = sink.entries();
    assert_eq!(entries.len(), 101);
    assert_eq!(entries[&(0, b"large".to_vec())], large);
    assert_eq!(sink.sum(), 4950);
}

#[test]
fn a_large_value_is_given_out_in_pieces() {
    with_a_large_value(|_| {});
    with_a_large_value(|keyspace| {
        (0..100).for_each(|n| set(keyspace, 0, &format!("{n}"), -1));
        // The table grows: entries move.
        (0..1000).for_each(|n| set(keyspace, 0, &format!("new {n}"), -1));
    });
}

#[test]
fn who_wants_the_open_value_closes_it() {
    with_a_large_value(|keyspace| {
        with_key(keyspace, 0, b"large", |view| {
            view.update(b"large").expect("there").set_value(Value::Int(1));
        });
    });
    with_a_large_value(|keyspace| {
        assert!(with_key(keyspace, 0, b"large", |view| view.remove(b"large")).is_some())
    });
    with_a_large_value(|keyspace| drop(everything(keyspace, |view| view.flush(0..2))));
    with_a_large_value(|keyspace| everything(keyspace, |view| view.swap(0, 1)));
    // It expires.
    with_a_large_value(|keyspace| {
        assert_eq!(keyspace.expire_due(0, unix_ms() + 1000, Duration::from_secs(1)).expired, 1);
    });
}

#[test]
fn a_cancelled_snapshot_leaves_everything_in_order() {
    let keyspace = Keyspace::new(2, SHARDS, 1);
    (0..500).for_each(|n| set(&keyspace, 0, &n.to_string(), n));
    for way in 0..3 {
        let sink = Arc::new(Kept { last_breath: if way == 0 { 3 } else { usize::MAX }, ..Kept::default() });
        let snapshot = begin(&keyspace, &sink);
        let control: Control = snapshot.control();
        let mut steps = 0;
        let whole = snapshot.run(&keyspace, || {
            steps += 1;
            match (way, steps) {
                (1, 4) => control.cancel(),
                (2, 1) => {
                    control.cancel();
                    set(&keyspace, 0, "3", 3);
                    drop(everything(&keyspace, |view| view.flush(0..1)));
                    (0..500).for_each(|n| set(&keyspace, 0, &n.to_string(), n));
                }
                _ => {}
            }
        });
        assert!(!whole && control.is_cancelled() && control.saved_keys() < 500);
        let next = Kept::new();
        let snapshot = begin(&keyspace, &next);
        let control = snapshot.control();
        assert!(snapshot.run(&keyspace, || {}));
        assert_eq!((next.sum(), control.saved_keys(), control.cut().keys()), (499 * 250, 500, 500));
    }
}

#[test]
fn the_next_snapshot_waits_for_one_that_is_cancelled() {
    let keyspace = Keyspace::new(1, SHARDS, 1);
    (0..500).for_each(|n| set(&keyspace, 0, &n.to_string(), n));
    let first = begin(&keyspace, &Kept::new());
    first.control().cancel();
    std::thread::scope(|scope| {
        let second = scope.spawn(|| {
            let sink = Kept::new();
            assert!(begin(&keyspace, &sink).run(&keyspace, || {}));
            sink.sum()
        });
        std::thread::sleep(Duration::from_millis(10));
        assert!(!first.run(&keyspace, || {}));
        assert_eq!(second.join().expect("no panic"), 499 * 250);
    });
}

#[test]
fn entries_keep_their_epoch_whatever_is_done_to_them() {
    let mut entry =
        Entry::new(b"key", Value::Bytes(b"1"), None, crate::keyspace::access::Access::created(NOW_MS));
    entry.set_epoch(Epoch(true));
    entry.set_value(Value::Int(1));
    assert_eq!(entry.epoch(), Epoch(true));
    entry.set_deadline(Some(1));
    assert_eq!(entry.epoch(), Epoch(true));
    entry.write_at(20_000, b"end");
    assert_eq!(entry.epoch(), Epoch(true));
    assert!(entry.overwrite(&Value::Bytes(b"1")) || entry.epoch() == Epoch(true));
    entry.set_epoch(Epoch(false));
    assert_eq!((entry.epoch(), entry.key(), entry.deadline()), (Epoch(false), &b"key"[..], Some(1)));
}

/// Accounts between which threads move money, within and across databases, while snapshots are taken.
struct Bank {
    keyspace: Keyspace,
    stop: AtomicBool,
}

const ACCOUNTS: usize = 3000;
const MONEY: i64 = 1000 * ACCOUNTS as i64;

fn account(n: usize) -> (usize, Vec<u8>) {
    (n % 3, format!("account {n}").into_bytes())
}

impl Bank {
    fn new() -> Bank {
        let bank = Bank { keyspace: Keyspace::new(4, 16, 1), stop: AtomicBool::new(false) };
        for n in 0..ACCOUNTS {
            let (db, key) = account(n);
            set(&bank.keyspace, db, std::str::from_utf8(&key).expect("text"), 1000);
        }
        bank
    }

    /// Moves money between two accounts at once: changes them in place, replaces, removes, makes them anew.
    fn transfer(&self, rng: &mut impl Rng) {
        let (from, to) = (account(rng.random_range(0..ACCOUNTS)), account(rng.random_range(0..ACCOUNTS)));
        if from == to {
            return;
        }
        let mut footprint = Footprint::default();
        for (db, key) in [&from, &to] {
            footprint.add_key(*db, self.keyspace.hash(key), Mode::Exclusive);
        }
        let mut view = self.keyspace.lock_footprint(0, NOW_MS, &footprint);
        let balance = |view: &View<'_>, place: &Key| match view.peek_in(place.0, &place.1).map(Entry::string)
        {
            None => 0,
            Some(Some(StringRef::Int(n))) => n,
            Some(_) => panic!("accounts are numbers"),
        };
        let (has, had) = (balance(&view, &from), balance(&view, &to));
        // A third are closed: all the money leaves.
        let amount = if rng.random_range(0..3) == 0 { has } else { rng.random_range(0..=has) };
        for ((db, key), n) in [(&from, has - amount), (&to, had + amount)] {
            view.turn_to(*db);
            match n {
                0 => drop(view.remove(key)),
                n if rng.random() => view.set(key, Value::Int(n), Deadline::Clear),
                n if rng.random() => view.set(key, Value::Int(n), Deadline::At(i64::MAX / 2)),
                n => view.update_or_create(key, Value::Int(0)).set_value(Value::Int(n)),
            }
        }
        view.finish();
    }

    /// Takes snapshots while others transfer, and returns the sums of what they have.
    fn audit(&self, snapshots: usize) -> Vec<i64> {
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let mut rng = rand::rng();
                    while !self.stop.load(Ordering::Relaxed) {
                        self.transfer(&mut rng);
                    }
                });
            }
            scope.spawn(|| {
                while !self.stop.load(Ordering::Relaxed) {
                    // Back at once, so that transfers find their accounts.
                    everything(&self.keyspace, |view| {
                        view.swap(0, 3);
                        view.swap(3, 0);
                    });
                    std::thread::sleep(Duration::from_micros(300));
                }
            });
            let sums = (0..snapshots).map(|_| {
                let sink = Kept::new();
                assert!(begin(&self.keyspace, &sink).run(&self.keyspace, std::thread::yield_now));
                sink.sum()
            });
            let sums = sums.collect();
            self.stop.store(true, Ordering::Relaxed);
            sums
        })
    }
}

#[test]
fn snapshots_under_transfers_have_all_the_money() {
    for sum in Bank::new().audit(60) {
        assert_eq!(sum, MONEY);
    }
}

/// Shows that the test above would notice.
#[test]
fn snapshots_with_a_broken_cut_have_too_much_or_too_little() {
    let bank = Bank::new();
    bank.keyspace.snapshots().break_cut();
    assert!(bank.audit(60).iter().any(|sum| *sum != MONEY));
}
