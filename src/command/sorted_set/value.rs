//! Sorted sets as commands see them: in one piece inside the entry, or as a structure of their own.
//!
//! A small one is [`rows`] of member and score in order; whole scores are integers, others their shortest text. Beyond the limits of `zset-max-listpack-*` it becomes a
//! [`SortedSet`], and stays one. No other file of this folder knows that there are two forms.

use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::generic::free_entry;
use crate::config::Config;
use crate::keyspace::{Deadline, Entry, Kind, Object, Type, Value, View};
use crate::types::events::Class;
use crate::types::number;
use crate::types::packed::{Buffer, Item};
use crate::types::rows;
use crate::types::sorted_set::{Members, SortedSet};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Range;

/// The columns of a sorted set in one piece: members and scores.
pub(super) const COLUMNS: usize = 2;
const MEMBER: usize = 0;
const SCORE: usize = 1;

/// Up to where a sorted set is kept in one piece.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    entries: usize,
    member_bytes: usize,
}

impl Limits {
    pub fn of(call: &Call<'_, '_>) -> Limits {
        Self::of_config(&call.server.config)
    }

    pub fn of_config(config: &Config) -> Limits {
        Limits {
            entries: config.zset_max_listpack_entries() as usize,
            member_bytes: config.zset_max_listpack_value() as usize,
        }
    }

    /// The same limit on members, and none on their length.
    pub fn of_any_length(self) -> Limits {
        Limits { member_bytes: usize::MAX, ..self }
    }

    /// Whether so many members, of at most this length, are kept in one piece.
    pub(super) fn allow(self, members: usize, longest_bytes: usize) -> bool {
        members <= self.entries && longest_bytes <= self.member_bytes
    }
}

/// A score that may still have to be read.
#[derive(Clone, Copy)]
pub enum Score<'a> {
    Number(f64),
    Packed(Item<'a>),
}

impl Score<'_> {
    pub fn get(self) -> f64 {
        match self {
            Score::Number(score) => score,
            Score::Packed(item) => unpacked_score(item),
        }
    }
}

pub(super) fn unpacked_score(item: Item<'_>) -> f64 {
    match item {
        Item::Int(n) => n as f64,
        Item::Text(text) => number::parse_f64_loosely(text).unwrap_or(0.0),
    }
}

/// Compares a member with others that are kept as items.
fn compare_member(item: Item<'_>, member: &[u8]) -> Ordering {
    item.with(|text| text.cmp(member))
}

/// A sorted set to be read.
#[derive(Clone, Copy)]
pub enum SortedSetRef<'a> {
    Packed(&'a [u8]),
    Large(&'a SortedSet),
}

impl<'a> SortedSetRef<'a> {
    /// The value of an entry, which has to be a sorted set.
    pub fn of(entry: &'a Entry) -> Result<SortedSetRef<'a>, Error> {
        if entry.value_type() != Type::SortedSet {
            return Err(Error::WrongType);
        }
        match entry.object() {
            Some(Object::SortedSet(set)) => Ok(SortedSetRef::Large(set)),
            _ => entry.packed().map(SortedSetRef::Packed).ok_or(Error::WrongType),
        }
    }

    pub fn len(self) -> usize {
        match self {
            SortedSetRef::Packed(bytes) => rows::len(bytes, COLUMNS),
            SortedSetRef::Large(set) => set.len(),
        }
    }

    pub fn score(self, member: &[u8]) -> Option<f64> {
        match self {
            SortedSetRef::Packed(bytes) => {
                let at = rows::find(bytes, COLUMNS, Item::of(member))?;
                pair_at(bytes, at).map(|(_, score, _)| unpacked_score(score))
            }
            SortedSetRef::Large(set) => set.score(member),
        }
    }

    /// Rank (0 is the lowest score) and score of a member.
    pub fn rank(self, member: &[u8]) -> Option<(usize, f64)> {
        match self {
            SortedSetRef::Packed(bytes) => {
                let (rank, at) = rows::position(bytes, COLUMNS, Item::of(member))?;
                pair_at(bytes, at).map(|(_, score, _)| (rank, unpacked_score(score)))
            }
            SortedSetRef::Large(set) => set.rank(member),
        }
    }

    /// The number of members whose score comes before a place in the order of scores.
    pub fn position_by_score(self, before: impl Fn(f64) -> bool) -> usize {
        match self {
            SortedSetRef::Packed(_) => self.all().take_while(|(_, score)| before(score.get())).count(),
            SortedSetRef::Large(set) => set.position_by_score(before),
        }
    }

    /// The number of members that come before a place in the order of members.
    pub fn position_by_member(self, before: impl Fn(&[u8]) -> bool) -> usize {
        match self {
            SortedSetRef::Packed(_) => self.all().take_while(|(item, _)| item.with(&before)).count(),
            SortedSetRef::Large(set) => set.position_by_member(before),
        }
    }

    /// Members and scores of these ranks, from the first or from the last on.
    pub fn range(self, ranks: Range<usize>, reverse: bool) -> Walk<'a> {
        match self {
            SortedSetRef::Packed(bytes) => {
                let left = ranks.end.min(self.len()).saturating_sub(ranks.start);
                let at = rows::nth(bytes, COLUMNS, ranks.start).unwrap_or(bytes.len());
                let pairs = Pairs { bytes, at, left, reversed: Vec::new() };
                Walk::Packed(if reverse { pairs.reversed() } else { pairs })
            }
            SortedSetRef::Large(set) => Walk::Large(set.range(ranks, reverse)),
        }
    }

    /// One step of a walk in no order: calls `f` with members and the text of their scores and returns the cursor
    /// to go on with, 0 at the end. What is in one piece is visited in one step.
    pub fn scan(self, cursor: u64, count: usize, mut f: impl FnMut(&[u8], &[u8])) -> u64 {
        match self {
            SortedSetRef::Packed(_) => {
                for (member, score) in self.all() {
                    let Score::Packed(score) = score else { continue };
                    member.with(|member| score.with(|score| f(member, score)));
                }
                0
            }
            SortedSetRef::Large(set) => {
                let mut text = Vec::with_capacity(number::MAX_F64_LEN);
                set.scan(cursor, count, |(member, score)| {
                    // Redis writes these by way of a long double.
                    text.clear();
                    number::write_f64_17(&mut text, score);
                    f(member, &text);
                })
            }
        }
    }

    /// All members and scores in order.
    pub fn all(self) -> Walk<'a> {
        self.range(0..usize::MAX, false)
    }
}

/// The pair at an offset, and the offset of the next.
fn pair_at(bytes: &[u8], at: usize) -> Option<(Item<'_>, Item<'_>, usize)> {
    let (member, next) = rows::item(bytes, MEMBER, at)?;
    let (score, behind) = rows::item(bytes, SCORE, next)?;
    Some((member, score, behind))
}

/// All pairs that are kept in one piece.
pub(super) fn pairs_of(bytes: &[u8]) -> Pairs<'_> {
    Pairs { bytes, at: rows::start(bytes, COLUMNS), left: usize::MAX, reversed: Vec::new() }
}

/// A walk over pairs that are kept in one piece.
#[derive(Clone)]
pub struct Pairs<'a> {
    bytes: &'a [u8],
    /// The next pair.
    at: usize,
    left: usize,
    /// The offsets of all pairs of a walk backwards, of which the last comes next; empty if it goes forwards.
    reversed: Vec<usize>,
}

impl Pairs<'_> {
    /// The same pairs from the last to the first. (Rows are only walked forwards; there are few.)
    fn reversed(mut self) -> Self {
        while self.reversed.len() < self.left
            && let Some(next) = rows::next(self.bytes, COLUMNS, self.at)
        {
            self.reversed.push(self.at);
            self.at = next;
        }
        self.left = self.reversed.len();
        self
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (Item<'a>, Item<'a>);

    #[inline]
    fn next(&mut self) -> Option<(Item<'a>, Item<'a>)> {
        self.left = self.left.checked_sub(1)?;
        self.at = self.reversed.pop().unwrap_or(self.at);
        let (member, score, next) = pair_at(self.bytes, self.at)?;
        self.at = next;
        Some((member, score))
    }
}

/// A walk over members and their scores.
pub enum Walk<'a> {
    Packed(Pairs<'a>),
    Large(Members<'a>),
}

impl<'a> Iterator for Walk<'a> {
    type Item = (Item<'a>, Score<'a>);

    #[inline]
    fn next(&mut self) -> Option<(Item<'a>, Score<'a>)> {
        match self {
            Walk::Packed(pairs) => pairs.next().map(|(member, score)| (member, Score::Packed(score))),
            Walk::Large(members) => {
                members.next().map(|(member, score)| (Item::Text(member), Score::Number(score)))
            }
        }
    }
}

/// Calls `f` with the item that a score is kept as.
fn with_packed_score<R>(score: f64, f: impl FnOnce(Item<'_>) -> R) -> R {
    match number::exact_integer(score) {
        Some(n) => f(Item::Int(n)),
        None => {
            let mut text = Vec::with_capacity(number::MAX_F64_LEN);
            number::write_f64(&mut text, score);
            f(Item::of(&text))
        }
    }
}

/// Inserts a pair before the one at `at`.
pub(super) fn insert_pair(buffer: &mut impl Buffer, at: usize, member: Item<'_>, score: f64) {
    with_packed_score(score, |score| rows::insert(buffer, COLUMNS, at, &[member, score]));
}

/// Where a pair belongs in the order of scores and members.
fn place_of(bytes: &[u8], member: &[u8], score: f64) -> usize {
    let mut at = rows::start(bytes, COLUMNS);
    while let Some((other, other_score, next)) = pair_at(bytes, at) {
        let other_score = unpacked_score(other_score);
        if other_score > score || other_score == score && compare_member(other, member).is_gt() {
            break;
        }
        at = next;
    }
    at
}

/// A sorted set to be changed. When it is empty, whoever changed it removes the key.
pub struct SortedSetMut<'a> {
    entry: &'a mut Entry,
    limits: Limits,
}

impl<'a> SortedSetMut<'a> {
    /// The value of an entry, which has to be a sorted set.
    pub fn of(entry: &'a mut Entry, limits: Limits) -> Result<SortedSetMut<'a>, Error> {
        SortedSetRef::of(entry)?;
        Ok(SortedSetMut { entry, limits })
    }

    /// The set at `key`, an empty one if there is none yet.
    pub fn create(view: &'a mut View<'_>, key: &[u8], limits: Limits) -> SortedSetMut<'a> {
        let entry = view.update_or_create(key, Value::Packed(Kind::PackedSortedSet, &rows::EMPTY));
        SortedSetMut { entry, limits }
    }

    pub fn read(&self) -> SortedSetRef<'_> {
        SortedSetRef::of(self.entry).expect("a sorted set")
    }

    fn large(&mut self) -> Option<&mut SortedSet> {
        match self.entry.object_mut() {
            Some(Object::SortedSet(set)) => Some(set),
            _ => None,
        }
    }

    /// Gives the set the form for so many members at least, of this length at most.
    pub fn expect(&mut self, members: usize, longest_bytes: usize) {
        if !self.limits.allow(members, longest_bytes) {
            self.grow();
        }
    }

    /// Takes the set out of one piece, and returns it.
    fn grow(&mut self) -> &mut SortedSet {
        if let SortedSetRef::Packed(_) = self.read() {
            let mut set = SortedSet::new();
            self.read().all().for_each(|(member, score)| member.with(|text| set.push(score.get(), text)));
            self.entry.set_value(Value::Object(Kind::SortedSet, Object::SortedSet(Box::new(set))));
        }
        self.large().expect("a large set by now")
    }

    /// Asks `decide` for the new score of a member, given the one that it has: `None` leaves the set as it is.
    pub fn update(&mut self, member: &[u8], decide: impl FnOnce(Option<f64>) -> Option<f64>) {
        if let Some(set) = self.large() {
            return set.update(member, decide);
        }
        let item = Item::of(member);
        let entry = &mut *self.entry;
        match rows::find(entry.bytes(), COLUMNS, item) {
            Some(at) => {
                let old = pair_at(entry.bytes(), at).map(|(_, score, _)| unpacked_score(score));
                let Some(new) = decide(old) else { return };
                rows::remove(entry, COLUMNS, at, 1);
                let at = place_of(entry.bytes(), member, new);
                insert_pair(entry, at, item, new);
            }
            None => {
                let Some(new) = decide(None) else { return };
                let members = rows::len(entry.bytes(), COLUMNS) + 1;
                if self.limits.allow(members, member.len()) {
                    let at = place_of(entry.bytes(), member, new);
                    insert_pair(entry, at, item, new);
                } else {
                    self.grow().insert(new, member);
                }
            }
        }
    }

    /// Takes out a member; whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        if let Some(set) = self.large() {
            return set.remove(member).is_some();
        }
        let entry = &mut *self.entry;
        let found = rows::find(entry.bytes(), COLUMNS, Item::of(member));
        found.inspect(|at| rows::remove(entry, COLUMNS, *at, 1)).is_some()
    }

    /// Takes out the members of these ranks.
    pub fn remove_range(&mut self, ranks: Range<usize>) {
        if let Some(set) = self.large() {
            return set.remove_range(ranks);
        }
        let entry = &mut *self.entry;
        if let Some(at) = rows::nth(entry.bytes(), COLUMNS, ranks.start) {
            rows::remove(entry, COLUMNS, at, ranks.len());
        }
    }

    /// Takes out the member of this rank, which is shown to `f` before.
    pub fn take(&mut self, rank: usize, f: impl FnOnce(Item<'_>, f64)) {
        if let Some(set) = self.large() {
            set.remove_rank(rank, |(member, score)| f(Item::Text(member), score));
            return;
        }
        let entry = &mut *self.entry;
        let at = rows::nth(entry.bytes(), COLUMNS, rank);
        if let Some(at) = at
            && let Some((member, score, _)) = pair_at(entry.bytes(), at)
        {
            f(member, unpacked_score(score));
            rows::remove(entry, COLUMNS, at, 1);
        }
    }
}

/// Members and scores in order that a command is about to store.
pub type Sorted<'a> = Vec<(Cow<'a, [u8]>, f64)>;

/// A new sorted set, which does not borrow what it was made of.
enum Made {
    Packed(Vec<u8>),
    Large(SortedSet),
}

/// Stores a sorted set, if there is anything in it, in the place of whatever `key` holds, and replies with the
/// number of its members. `find` looks them up, `event` tells of them.
pub fn store(
    call: &mut Call<'_, '_>,
    key: &[u8],
    event: &str,
    find: impl for<'v> FnOnce(&'v View<'_>) -> Result<Sorted<'v>, Error>,
) -> Result<(), Error> {
    let limits = Limits::of(call);
    let sorted = find(call.keys)?;
    let count = sorted.len();
    let longest_bytes = sorted.iter().map(|(member, _)| member.len()).max().unwrap_or(0);
    let made = if limits.allow(count, longest_bytes) {
        let mut bytes = rows::new();
        for (member, score) in &sorted {
            let end = bytes.len();
            insert_pair(&mut bytes, end, Item::of(member), *score);
        }
        Made::Packed(bytes)
    } else {
        let mut set = SortedSet::new();
        sorted.iter().for_each(|(member, score)| set.push(*score, member));
        Made::Large(set)
    };
    drop(sorted);
    if count == 0
        && let Some(old) = call.keys.remove(key)
    {
        free_entry(old);
        call.keys.notify(Class::GENERIC, "del", key);
        call.keys.changed(1);
    }
    if count > 0 {
        let value = match made {
            Made::Packed(ref bytes) => Value::Packed(Kind::PackedSortedSet, bytes),
            Made::Large(set) => Value::Object(Kind::SortedSet, Object::SortedSet(Box::new(set))),
        };
        call.keys.overwrite(key, value, Deadline::Clear);
        call.keys.notify(Class::ZSET, event, key);
        call.keys.changed(1);
    }
    call.out.integer(count as i64);
    Ok(())
}
