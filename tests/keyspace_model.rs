//! The keyspace against the obvious one, a `HashMap` per database: random sequences of everything that a view
//! and the walks can do, with a clock that moves, and after each step the same contents and the same counts.

use bytes::Bytes;
use nuthatch::keyspace::shard::Counts;
use nuthatch::keyspace::view::{Hashed, Mode};
use nuthatch::keyspace::{Deadline, Entry, Keyspace, Value, View, unix_ms};
use proptest::prelude::*;
use proptest::sample::Index;
use std::collections::HashMap;
use std::time::Duration;

const DATABASES: usize = 2;
const SHARDS: usize = 4;
const REAPERS: usize = 2;
/// Few enough for operations to meet, enough for tables to grow and shrink.
const KEYS: usize = 150;
/// Longer strings are shared with their replies instead of standing in their entries.
const LARGE_BYTES: usize = 20_000;
const LONG_KEY_BYTES: usize = 300;
/// A clock that goes back by less is waited for.
const SMALL_JUMP_MS: i64 = 1000;

/// What the model knows of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    value: Vec<u8>,
    deadline: Option<i64>,
}

type Model = HashMap<Vec<u8>, Known>;

/// A key of some database.
#[derive(Clone, Copy, Debug)]
struct At {
    db: usize,
    key: usize,
}

#[derive(Clone, Debug)]
enum Content {
    Int(i64),
    Bytes(usize),
    /// Shared with the test, which so sees when it is freed.
    Shared,
}

/// Milliseconds from now; negative ones have passed.
type Ahead = i64;

#[derive(Clone, Debug)]
enum Op {
    Set(At, Content, Option<Ahead>),
    SetKeepingDeadline(At, Content),
    SetMany(usize, Vec<usize>, Content),
    Append(At, usize),
    Remove(At),
    SetDeadline(At, Option<Ahead>),
    Get(At),
    /// RENAME, MOVE and the like.
    Move(At, At),
    Copy(At, At),
    Fill(usize, Option<Ahead>),
    Flush(usize),
    Swap,
    Scan(usize, usize),
    RandomKey(usize),
    Expire,
    Forward(Ahead),
    Backward(Ahead),
}

fn at() -> impl Strategy<Value = At> {
    (0..DATABASES, any::<Index>()).prop_map(|(db, key)| At { db, key: key.index(KEYS) })
}

/// A few keys, so that something is found at them.
fn near() -> impl Strategy<Value = At> {
    prop_oneof![3 => (0..DATABASES, 0..8_usize).prop_map(|(db, key)| At { db, key }), 1 => at()]
}

fn content() -> impl Strategy<Value = Content> {
    prop_oneof![
        4 => any::<i64>().prop_map(Content::Int),
        6 => (0..400_usize).prop_map(Content::Bytes),
        1 => Just(Content::Bytes(LARGE_BYTES)),
        2 => Just(Content::Shared),
    ]
}

fn ahead() -> impl Strategy<Value = Ahead> {
    prop_oneof![2 => -5..60_i64, 2 => 60..10_000_i64, 1 => 10_000..100_000_000_000_i64]
}

fn op() -> impl Strategy<Value = Op> {
    let deadline = || prop::option::of(ahead());
    prop_oneof![
        8 => (near(), content(), deadline()).prop_map(|(at, value, ahead)| Op::Set(at, value, ahead)),
        2 => (near(), content()).prop_map(|(at, value)| Op::SetKeepingDeadline(at, value)),
        2 => (0..DATABASES, prop::collection::vec(0..KEYS, 0..12), content())
            .prop_map(|(db, keys, value)| Op::SetMany(db, keys, value)),
        3 => (near(), 0..300_usize).prop_map(|(at, len)| Op::Append(at, len)),
        4 => near().prop_map(Op::Remove),
        6 => (near(), deadline()).prop_map(|(at, ahead)| Op::SetDeadline(at, ahead)),
        4 => near().prop_map(Op::Get),
        3 => (near(), near()).prop_map(|(from, to)| Op::Move(from, to)),
        2 => (near(), near()).prop_map(|(from, to)| Op::Copy(from, to)),
        1 => (0..DATABASES, deadline()).prop_map(|(db, ahead)| Op::Fill(db, ahead)),
        1 => (0..DATABASES).prop_map(Op::Flush),
        1 => Just(Op::Swap),
        2 => (0..DATABASES, 1..50_usize).prop_map(|(db, count)| Op::Scan(db, count)),
        1 => (0..DATABASES).prop_map(Op::RandomKey),
        3 => Just(Op::Expire),
        4 => prop_oneof![1..100_i64, 100..20_000_i64, 20_000..4_000_000_000_i64].prop_map(Op::Forward),
        1 => prop_oneof![1..SMALL_JUMP_MS, 2000..100_000_i64].prop_map(Op::Backward),
    ]
}

fn key_name(key: usize) -> Vec<u8> {
    let mut name = format!("key:{key}").into_bytes();
    if key % 7 == 3 {
        name.resize(LONG_KEY_BYTES, b'-');
    }
    name
}

fn text(entry: &Entry) -> Vec<u8> {
    entry.string().unwrap().with(<[u8]>::to_vec)
}

fn known(entry: &Entry) -> Known {
    Known { value: text(entry), deadline: entry.deadline() }
}

/// `assert_eq!` that prints only what differs.
fn assert_same(seen: &Model, model: &Model) {
    let differs = |key: &&Vec<u8>| seen.get(*key) != model.get(*key);
    if let Some(key) = seen.keys().chain(model.keys()).find(differs) {
        panic!("{}: {:?} instead of {:?}", key.escape_ascii(), seen.get(key), model.get(key));
    }
}

/// The keyspace and its model, in step.
struct Pair {
    keyspace: Keyspace,
    model: [Model; DATABASES],
    now_ms: i64,
    /// Every large value that was ever shared with the keyspace.
    shared: Vec<Bytes>,
    /// Expired keys: those the keyspace reported, and those the model lost.
    reported: u64,
    expected: u64,
}

impl Pair {
    /// Starts `offset_ms` beside a time at which wheels turn their slots of `level`.
    fn new(level: u32, offset_ms: i64) -> Pair {
        let turn_ms = 1 << (6 * level);
        // Wheels start by the real clock, which must not be ahead of this one.
        let now_ms = (unix_ms() + 1_000_000) / turn_ms * turn_ms + turn_ms + offset_ms;
        Pair {
            keyspace: Keyspace::new(DATABASES, SHARDS, REAPERS),
            model: Default::default(),
            now_ms,
            shared: Vec::new(),
            reported: 0,
            expected: 0,
        }
    }

    /// A value, and what a client sees of it.
    fn value(&mut self, content: &Content) -> (Value<'static>, Vec<u8>) {
        match content {
            Content::Int(n) => (Value::Int(*n), n.to_string().into_bytes()),
            Content::Bytes(len) => {
                let bytes: &'static [u8] = &[b'v'; LARGE_BYTES];
                (Value::Bytes(&bytes[..*len]), bytes[..*len].to_vec())
            }
            Content::Shared => {
                let bytes = Bytes::from(vec![self.shared.len() as u8; LARGE_BYTES]);
                self.shared.push(bytes.clone());
                (Value::Shared(bytes.clone()), bytes.to_vec())
            }
        }
    }

    /// The model's keys expire the moment the clock says so.
    fn expire_model(&mut self) {
        for model in &mut self.model {
            let before = model.len();
            model.retain(|_, known| known.deadline.is_none_or(|deadline| self.now_ms <= deadline));
            self.expected += (before - model.len()) as u64;
        }
    }

    fn known(&mut self, at: At) -> Option<&mut Known> {
        self.model[at.db].get_mut(&key_name(at.key))
    }

    /// Runs `f` as a command that names these keys of one database.
    fn command<R>(&mut self, db: usize, keys: &[&[u8]], mode: Mode, f: impl FnOnce(&mut View<'_>) -> R) -> R {
        let hashed: Vec<Hashed> = keys.iter().map(|key| Hashed::new(key, self.keyspace.hash(key))).collect();
        let mut view = self.keyspace.lock_keys(db, self.now_ms, &hashed, mode);
        let result = f(&mut view);
        self.reported += u64::from(view.finish().expired.get());
        result
    }

    fn set(&mut self, at: At, content: &Content, deadline: Deadline) {
        let key = key_name(at.key);
        let (value, seen) = self.value(content);
        let deadline_ms = match deadline {
            Deadline::Clear => None,
            Deadline::Keep => self.known(at).and_then(|known| known.deadline),
            Deadline::At(ms) => Some(ms),
        };
        self.command(at.db, &[&key], Mode::Exclusive, |view| view.set(&key, value, deadline));
        self.model[at.db].insert(key, Known { value: seen, deadline: deadline_ms });
    }

    /// Moves (or copies) a key over another one, which goes without being counted as expired even if it is.
    fn transfer(&mut self, from: At, to: At, copy: bool) {
        if (from.db, from.key) == (to.db, to.key) {
            return;
        }
        let (source, target) = (key_name(from.key), key_name(to.key));
        let places = [(from.db, source.as_slice()), (to.db, target.as_slice())];
        let mut view = self.keyspace.lock_places(from.db, self.now_ms, &places, Mode::Exclusive);
        let entry = if copy {
            view.peek_in(from.db, &source).map(|entry| entry.copied(&target, entry.access()))
        } else {
            view.remove_in(from.db, &source).map(|entry| entry.renamed(&target))
        };
        let known = if copy {
            self.model[from.db].get(&source).cloned()
        } else {
            self.model[from.db].remove(&source)
        };
        assert_eq!(entry.is_some(), known.is_some());
        if let (Some(entry), Some(known)) = (entry, known) {
            let replaced = view.insert_in(to.db, entry);
            if replaced.is_some_and(|old| old.deadline().is_some_and(|deadline| self.now_ms > deadline)) {
                self.expected -= 1;
            }
            self.model[to.db].insert(target, known);
        }
        self.reported += u64::from(view.finish().expired.get());
    }

    fn scan(&self, db: usize, count: usize) {
        let mut seen = Model::new();
        let mut cursor = 0;
        loop {
            cursor = self.keyspace.scan(db, cursor, count, self.now_ms, |entry| {
                let before = seen.insert(entry.key().to_vec(), known(entry));
                assert!(before.is_none(), "nothing moves meanwhile, so nothing comes twice");
            });
            assert!(cursor < 1 << 53);
            if cursor == 0 {
                break;
            }
        }
        assert_same(&seen, &self.model[db]);
    }

    /// Lets all reapers do what is due now.
    fn expire(&mut self) {
        for reaper in 0..REAPERS {
            loop {
                let round = self.keyspace.expire_due(reaper, self.now_ms, Duration::from_secs(10));
                self.reported += round.expired;
                if !round.more {
                    break;
                }
            }
        }
    }

    fn apply(&mut self, op: &Op) {
        let deadline = |ahead: &Option<Ahead>| ahead.map(|ahead| self.now_ms + ahead);
        match op {
            Op::Set(at, content, ahead) => {
                let deadline = deadline(ahead).map_or(Deadline::Clear, Deadline::At);
                self.set(*at, content, deadline);
            }
            Op::SetKeepingDeadline(at, content) => self.set(*at, content, Deadline::Keep),
            Op::SetMany(db, keys, content) => {
                let names: Vec<Vec<u8>> = keys.iter().map(|key| key_name(*key)).collect();
                let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
                let values: Vec<_> = names.iter().map(|_| self.value(content)).collect();
                let (values, seen): (Vec<_>, Vec<_>) = values.into_iter().unzip();
                self.command(*db, &names, Mode::Exclusive, |view| {
                    for (name, value) in names.iter().zip(values) {
                        view.set(name, value, Deadline::Clear);
                    }
                });
                for (name, seen) in names.iter().zip(seen) {
                    self.model[*db].insert(name.to_vec(), Known { value: seen, deadline: None });
                }
            }
            Op::Append(at, len) => {
                let key = key_name(at.key);
                let more = vec![b'a'; *len];
                self.command(at.db, &[&key], Mode::Exclusive, |view| {
                    let entry = view.update_or_create(&key, Value::Bytes(b""));
                    entry.write_at(entry.string().unwrap().len(), &more);
                });
                let new = || Known { value: Vec::new(), deadline: None };
                self.model[at.db].entry(key).or_insert_with(new).value.extend_from_slice(&more);
            }
            Op::Remove(at) => {
                let key = key_name(at.key);
                let removed = self.command(at.db, &[&key], Mode::Exclusive, |view| view.remove(&key));
                assert_eq!(removed.map(|entry| known(&entry)), self.model[at.db].remove(&key));
            }
            Op::SetDeadline(at, ahead) => {
                let (key, deadline) = (key_name(at.key), deadline(ahead));
                let found =
                    self.command(at.db, &[&key], Mode::Exclusive, |view| view.set_deadline(&key, deadline));
                let known = self.known(*at);
                assert_eq!(found, known.is_some());
                if let Some(known) = known {
                    known.deadline = deadline;
                }
            }
            Op::Get(at) => {
                let key = key_name(at.key);
                let found = self.command(at.db, &[&key], Mode::Shared, |view| view.get(&key).map(known));
                assert_eq!(found.as_ref(), self.model[at.db].get(&key));
            }
            Op::Move(from, to) => self.transfer(*from, *to, false),
            Op::Copy(from, to) => self.transfer(*from, *to, true),
            Op::Fill(db, ahead) => {
                let deadline = deadline(ahead).map_or(Deadline::Clear, Deadline::At);
                (0..KEYS).for_each(|key| self.set(At { db: *db, key }, &Content::Int(5), deadline));
            }
            Op::Flush(db) => {
                let mut view =
                    self.keyspace.lock_databases(*db, self.now_ms, std::iter::once(*db), Mode::Exclusive);
                // What has expired goes unreported.
                let zombies = view.counts(*db).keys - self.model[*db].len();
                let garbage = view.flush(*db..*db + 1);
                assert_eq!(garbage.len(), self.model[*db].len() + zombies);
                assert_eq!(view.counts(*db), Counts::default());
                view.finish();
                self.expected -= zombies as u64;
                self.model[*db].clear();
            }
            Op::Swap => {
                let mut view = self.keyspace.lock_databases(0, self.now_ms, 0..DATABASES, Mode::Exclusive);
                view.swap(1, 0);
                view.finish();
                self.model.swap(0, 1);
            }
            Op::Scan(db, count) => self.scan(*db, *count),
            Op::RandomKey(db) => match self.keyspace.random_key(*db, self.now_ms) {
                Some(key) => assert!(self.model[*db].contains_key(&key)),
                None => assert!(self.model[*db].is_empty()),
            },
            Op::Expire => self.expire(),
            Op::Forward(ms) => self.now_ms += ms,
            Op::Backward(ms) => {
                // Expired keys that are still there would come back to life: Redis's would, too.
                self.expire();
                if self.zombies() == 0 {
                    self.now_ms -= ms;
                }
            }
        }
    }

    /// Expired keys that are still in memory.
    fn zombies(&self) -> usize {
        (0..DATABASES).map(|db| self.keyspace.counts(db).keys - self.model[db].len()).sum()
    }

    /// All that can be seen without touching anything agrees.
    fn check(&self) {
        for (db, model) in self.model.iter().enumerate() {
            let mut view = self.keyspace.lock_databases(db, self.now_ms, std::iter::once(db), Mode::Shared);
            let counts = view.counts(db);
            let mut seen = Model::new();
            view.each_entry(db, |entry| assert!(seen.insert(entry.key().to_vec(), known(entry)).is_none()));
            assert_same(&seen, model);
            view.finish();
            let mortal = model.values().filter(|known| known.deadline.is_some()).count();
            assert_eq!(counts.deadlines - mortal, counts.keys - model.len());
            assert_eq!(counts, self.keyspace.counts(db));
        }
        assert_eq!(self.reported + self.zombies() as u64, self.expected);
    }

    /// Once the expiry work is done, nothing is left of what expired, at the latest when the clock shows what
    /// it showed before it jumped back a little.
    fn check_settled(&mut self) {
        self.expire();
        self.now_ms += 2 * SMALL_JUMP_MS;
        self.expire_model();
        self.expire();
        self.check();
        assert_eq!(self.reported, self.expected);
        for (db, model) in self.model.iter().enumerate() {
            let counts = self.keyspace.counts(db);
            let deadlines: Vec<i64> = model.values().filter_map(|known| known.deadline).collect();
            assert_eq!((counts.keys, counts.deadlines), (model.len(), deadlines.len()));
            assert_eq!(counts.deadline_sum, deadlines.iter().map(|ms| i128::from(*ms)).sum());
            let overhead = self.keyspace.lock_nothing(db, 0).overhead(db);
            assert!(overhead.table_bytes <= (16 * model.len() + 64 * SHARDS) * 9, "{overhead:?}");
            // Seven levels of slots per shard, five bytes an item with room to grow, and some left behind.
            let items = 2 * deadlines.len() + 65 * SHARDS;
            assert!(overhead.wheel_bytes <= SHARDS * 7 * 1100 + items * 24, "{overhead:?}");
        }
        // A shared value is held by the test and, at most, by the keys that have it.
        for bytes in &self.shared {
            let holders =
                self.model.iter().flat_map(HashMap::values).any(|known| known.value[..] == bytes[..]);
            assert!(holders || bytes.is_unique(), "a value outlives its key");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_keyspace_is_like_a_map(
        level in 0..7_u32,
        offset_ms in prop_oneof![-100..100_i64, -10_000..10_000_i64],
        ops in prop::collection::vec(op(), 1..120),
    ) {
        let mut pair = Pair::new(level, offset_ms);
        for op in &ops {
            pair.apply(op);
            pair.expire_model();
            pair.check();
        }
        pair.check_settled();
        // A year later no key with a deadline within it is left.
        pair.now_ms += 365 * 24 * 3_600_000;
        pair.expire_model();
        pair.check_settled();
        (0..DATABASES).for_each(|db| pair.apply(&Op::Flush(db)));
        pair.check_settled();
        assert!(pair.shared.iter().all(Bytes::is_unique), "a value outlives a flush");
    }
}

/// Keys that are deleted before their time leave items in the wheels, which are swept when that adds up. No key
/// that is there may be lost to a sweep, not even the one whose filing caused it.
#[test]
fn no_key_is_lost_to_a_sweep() {
    let mut pair = Pair::new(0, 0);
    for key in 0..2000 {
        let at = At { db: 0, key };
        pair.set(at, &Content::Int(1), Deadline::At(pair.now_ms + 10));
        if key % 10 != 0 {
            pair.apply(&Op::Remove(at));
        }
    }
    pair.check();
    pair.now_ms += 20;
    pair.expire_model();
    pair.check_settled();
    assert_eq!(pair.reported, 200);
}
