//! The forms of a set, and when it takes which.
//!
//! - *Integers* ([`Kind::IntSet`]): all members are integers, few enough for `set-max-intset-entries`.
//! - *Packed* ([`Kind::PackedSet`]): few enough for `set-max-listpack-entries`, short enough for
//!   `set-max-listpack-value`.
//! - *Table* ([`Kind::Set`]): all others.
//!
//! A set begins with the smallest form that suits its first member and grows into the others, as in Redis 7.2,
//! never back; only a set that is stored as a whole begins anew. The functions here are all that handlers know
//! of sets. They know nothing of requests and replies.

use crate::command::errors::Error;
use crate::config::Config;
use crate::keyspace::{Entry, Kind, NewValue, Object, Value};
use crate::types::intset;
use crate::types::member::Member;
use crate::types::number;
use crate::types::packed::{Buffer, Item};
use crate::types::rows;
use crate::types::table::Table;
use rand::Rng;

/// The longest that a packed set may get, whatever the directives allow (listpack's limit).
const MAX_PACKED_BYTES: usize = 1 << 30;

/// The most integers that stay integers, whatever the directives allow (intset's limit).
const MAX_INTEGERS: u64 = 1 << 30;

/// The directives that decide about the forms.
#[derive(Clone, Copy)]
pub struct Limits {
    integers: usize,
    packed: usize,
    packed_bytes: usize,
}

impl Limits {
    pub fn of(config: &Config) -> Limits {
        Limits {
            integers: config.set_max_intset_entries().min(MAX_INTEGERS) as usize,
            packed: config.set_max_listpack_entries() as usize,
            packed_bytes: config.set_max_listpack_value() as usize,
        }
    }

    /// The same limits on members, and none on their length.
    pub fn of_any_length(self) -> Limits {
        Limits { packed_bytes: usize::MAX, ..self }
    }

    /// Whether a packed set of `len` members takes this one too.
    fn packs(&self, len: usize, member_bytes: usize) -> bool {
        len < self.packed && member_bytes <= self.packed_bytes
    }
}

/// The columns of a packed set: members.
const COLUMNS: usize = 1;
const MEMBER: usize = 0;

/// The bytes that a client sees of an integer.
fn digits(n: i64) -> usize {
    itoa::Buffer::new().format(n).len()
}

fn text_len(item: Item<'_>) -> usize {
    match item {
        Item::Int(n) => digits(n),
        Item::Text(text) => text.len(),
    }
}

/// A member as an integer if it is the canonical form of one, whatever form it came from.
pub fn canonical(item: Item<'_>) -> Item<'_> {
    match item {
        Item::Int(_) => item,
        Item::Text(text) => Item::of(text),
    }
}

/// A set to be read.
#[derive(Clone, Copy)]
pub enum SetRef<'a> {
    Integers(&'a [u8]),
    Packed(&'a [u8]),
    Table(&'a Table<Member>),
}

impl<'a> SetRef<'a> {
    /// The value of an entry, which has to be a set.
    #[inline]
    pub fn of(entry: &'a Entry) -> Result<SetRef<'a>, Error> {
        match (entry.kind(), entry.packed(), entry.object()) {
            (Kind::IntSet, Some(bytes), _) => Ok(SetRef::Integers(bytes)),
            (Kind::PackedSet, Some(bytes), _) => Ok(SetRef::Packed(bytes)),
            (_, _, Some(Object::Set(table))) => Ok(SetRef::Table(table)),
            _ => Err(Error::WrongType),
        }
    }

    pub fn len(self) -> usize {
        match self {
            SetRef::Integers(bytes) => intset::len(bytes),
            SetRef::Packed(bytes) => rows::len(bytes, COLUMNS),
            SetRef::Table(table) => table.len(),
        }
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Whether both are the very same value.
    pub fn is(self, other: SetRef<'_>) -> bool {
        match (self, other) {
            (SetRef::Integers(a), SetRef::Integers(b)) | (SetRef::Packed(a), SetRef::Packed(b)) => {
                std::ptr::eq(a, b)
            }
            (SetRef::Table(a), SetRef::Table(b)) => std::ptr::eq(a, b),
            _ => false,
        }
    }

    #[inline]
    pub fn contains(self, member: Item<'_>) -> bool {
        match self {
            SetRef::Table(table) => member.with(|text| table.get(text).is_some()),
            SetRef::Packed(bytes) => rows::find(bytes, COLUMNS, canonical(member)).is_some(),
            SetRef::Integers(bytes) => match canonical(member) {
                Item::Int(n) => intset::find(bytes, n).is_ok(),
                Item::Text(_) => false,
            },
        }
    }

    /// Shows all members to `f`, until it says false.
    pub fn each_while(self, mut f: impl FnMut(Item<'a>) -> bool) {
        match self {
            SetRef::Integers(bytes) => intset::iter(bytes).map(Item::Int).all(f),
            SetRef::Packed(bytes) => rows::items(bytes, COLUMNS).all(f),
            SetRef::Table(table) => table.iter().all(|member| f(Item::Text(member.as_bytes()))),
        };
    }

    /// Shows all members to `f`.
    pub fn each(self, mut f: impl FnMut(Item<'a>)) {
        self.each_while(|member| {
            f(member);
            true
        });
    }

    /// All members.
    pub fn to_vec(self) -> Vec<Item<'a>> {
        let mut all = Vec::with_capacity(self.len());
        self.each(|member| all.push(member));
        all
    }

    /// A member, each with the same probability; sets are never empty.
    pub fn random(self, rng: &mut impl Rng) -> Option<Item<'a>> {
        match self {
            SetRef::Table(table) => table.random(rng).map(|member| Item::Text(member.as_bytes())),
            SetRef::Integers(bytes) => intset::get(bytes, index(rng, intset::len(bytes))?).map(Item::Int),
            SetRef::Packed(bytes) => {
                let at = rows::nth(bytes, COLUMNS, index(rng, rows::len(bytes, COLUMNS))?)?;
                rows::item(bytes, MEMBER, at).map(|(item, _)| item)
            }
        }
    }

    /// The set in another form.
    fn converted(self, form: Kind) -> NewSet {
        NewSet::of(form, &self.to_vec())
    }
}

/// An index below `len`.
fn index(rng: &mut impl Rng, len: usize) -> Option<usize> {
    (len > 0).then(|| rng.random_range(0..len))
}

/// Chooses `wanted` of `total`, one after the other (Knuth's algorithm S): each call decides about the next one.
pub fn selection(rng: &mut impl Rng, total: usize, wanted: usize) -> impl FnMut() -> bool {
    let (mut left, mut wanted) = (total, wanted);
    move || {
        let chosen = rng.random_range(0..left.max(1)) < wanted;
        left = left.saturating_sub(1);
        wanted -= chosen as usize;
        chosen
    }
}

/// A set that is no key's value yet.
pub enum NewSet {
    /// Integers or packed.
    Bytes(Kind, Vec<u8>),
    Table(Table<Member>),
}

impl NewSet {
    /// An empty set in this form.
    pub fn empty(form: Kind) -> NewSet {
        match form {
            Kind::IntSet => NewSet::Bytes(form, intset::new()),
            Kind::PackedSet => NewSet::Bytes(form, rows::new()),
            _ => NewSet::Table(Table::new()),
        }
    }

    /// An empty set in the form that suits `first` as the first of `count` members.
    fn beginning_with(first: &[u8], count: usize, limits: Limits) -> NewSet {
        NewSet::empty(if count <= limits.integers && number::parse_i64(first).is_some() {
            Kind::IntSet
        } else if count <= limits.packed {
            Kind::PackedSet
        } else {
            Kind::Set
        })
    }

    /// A set of distinct members, which have to suit the form.
    pub fn of(form: Kind, members: &[Item<'_>]) -> NewSet {
        match form {
            Kind::IntSet => {
                let integer = |item: &Item<'_>| match canonical(*item) {
                    Item::Int(n) => Some(n),
                    Item::Text(_) => None,
                };
                let mut integers: Vec<i64> = members.iter().filter_map(integer).collect();
                integers.sort_unstable();
                NewSet::Bytes(form, intset::of(&integers))
            }
            Kind::PackedSet => {
                let members: Vec<Item<'_>> = members.iter().map(|item| canonical(*item)).collect();
                let mut bytes = rows::new();
                rows::push(&mut bytes, COLUMNS, &members);
                NewSet::Bytes(form, bytes)
            }
            _ => {
                let mut table = Table::new();
                for member in members {
                    member.with(|text| table.insert(Member::new(text)));
                }
                NewSet::Table(table)
            }
        }
    }

    /// Adds a member; false if it was there.
    pub fn add(&mut self, member: &[u8], limits: Limits) -> bool {
        loop {
            let (form, bytes) = match self {
                NewSet::Table(table) => return add_to_table(table, member),
                NewSet::Bytes(form, bytes) => (*form, bytes),
            };
            match add_to_bytes(form, bytes, member, limits) {
                Outcome::Added => return true,
                Outcome::WasThere => return false,
                Outcome::Outgrown(larger) => {
                    let set =
                        if form == Kind::IntSet { SetRef::Integers(bytes) } else { SetRef::Packed(bytes) };
                    *self = set.converted(larger);
                }
            }
        }
    }

    /// Calls `f` with what an entry is to hold.
    pub fn store<R>(self, f: impl FnOnce(Value<'_>) -> R) -> R {
        self.finish().store(f)
    }

    /// The set as the value of a key.
    pub fn finish(self) -> NewValue {
        match self {
            NewSet::Bytes(form, bytes) => NewValue::Packed(form, bytes),
            NewSet::Table(table) => NewValue::Object(Kind::Set, Object::Set(table)),
        }
    }
}

/// A set of these members (at least one), and how many of them are distinct.
pub fn create<'a>(members: impl ExactSizeIterator<Item = &'a [u8]>, limits: Limits) -> (NewSet, usize) {
    let mut members = members.peekable();
    let count = members.len();
    let mut set = NewSet::beginning_with(members.peek().unwrap_or(&&b""[..]), count, limits);
    let added = members.filter(|member| set.add(member, limits)).count();
    (set, added)
}

/// What came of adding a member to a set in one piece.
enum Outcome {
    Added,
    WasThere,
    /// Nothing was done; the set has to take this form first.
    Outgrown(Kind),
}

fn add_to_bytes(form: Kind, bytes: &mut impl Buffer, member: &[u8], limits: Limits) -> Outcome {
    let item = Item::of(member);
    let set = bytes.bytes();
    match (form, item) {
        (Kind::IntSet, Item::Int(n)) => {
            if intset::find(set, n).is_ok() {
                return Outcome::WasThere;
            }
            if intset::len(set) >= limits.integers {
                return Outcome::Outgrown(Kind::Set);
            }
            intset::insert(bytes, n);
            Outcome::Added
        }
        (Kind::IntSet, Item::Text(_)) => {
            let len = intset::len(set);
            let ends = [0, len.wrapping_sub(1)].map(|index| intset::get(set, index).map_or(0, digits));
            let longest = ends[0].max(ends[1]).max(member.len());
            let packs = limits.packs(len, longest) && (len + 1).saturating_mul(longest) < MAX_PACKED_BYTES;
            Outcome::Outgrown(if packs { Kind::PackedSet } else { Kind::Set })
        }
        _ => {
            if rows::find(set, COLUMNS, item).is_some() {
                return Outcome::WasThere;
            }
            let packs = limits.packs(rows::len(set, COLUMNS), member.len());
            if !packs || set.len().saturating_add(member.len()) >= MAX_PACKED_BYTES {
                return Outcome::Outgrown(Kind::Set);
            }
            rows::push(bytes, COLUMNS, &[item]);
            Outcome::Added
        }
    }
}

fn add_to_table(table: &mut Table<Member>, member: &[u8]) -> bool {
    table.insert_new(member, || Member::new(member))
}

/// Adds a member to the set of an entry; false if it was there.
pub fn add(entry: &mut Entry, member: &[u8], limits: Limits) -> Result<bool, Error> {
    loop {
        if let Some(Object::Set(table)) = entry.object_mut() {
            return Ok(add_to_table(table, member));
        }
        let form = entry.kind();
        if !matches!(form, Kind::IntSet | Kind::PackedSet) {
            return Err(Error::WrongType);
        }
        match add_to_bytes(form, entry, member, limits) {
            Outcome::Added => return Ok(true),
            Outcome::WasThere => return Ok(false),
            Outcome::Outgrown(larger) => convert(entry, larger)?,
        }
    }
}

fn convert(entry: &mut Entry, form: Kind) -> Result<(), Error> {
    SetRef::of(entry)?.converted(form).store(|value| entry.set_value(value));
    Ok(())
}

/// Lets a set become a table at once if so many more members would be too many for its form.
pub fn expect(entry: &mut Entry, count: usize, limits: Limits) -> Result<(), Error> {
    match entry.kind() {
        Kind::IntSet if count > limits.integers => convert(entry, Kind::Set),
        Kind::PackedSet if count > limits.packed => convert(entry, Kind::Set),
        _ => Ok(()),
    }
}

/// Removes a member from the set of an entry; false if it was not there.
pub fn remove(entry: &mut Entry, member: &[u8]) -> Result<bool, Error> {
    if let Some(Object::Set(table)) = entry.object_mut() {
        return Ok(table.remove(member).is_some());
    }
    let item = Item::of(member);
    match (entry.kind(), item) {
        (Kind::IntSet, Item::Int(n)) => Ok(intset::remove(entry, n)),
        (Kind::IntSet, Item::Text(_)) => Ok(false),
        (Kind::PackedSet, _) => {
            let Some(at) = rows::find(entry.bytes(), COLUMNS, item) else { return Ok(false) };
            rows::remove(entry, COLUMNS, at, 1);
            Ok(true)
        }
        _ => Err(Error::WrongType),
    }
}

/// Takes a member out of the set of an entry, each with the same probability, and shows it to `f`.
pub fn pop(entry: &mut Entry, rng: &mut impl Rng, f: impl FnOnce(Item<'_>)) -> Result<(), Error> {
    if let Some(Object::Set(table)) = entry.object_mut() {
        if let Some(member) = table.take_random(rng) {
            f(Item::Text(member.as_bytes()));
        }
        return Ok(());
    }
    match entry.kind() {
        Kind::IntSet => {
            let index = index(rng, intset::len(entry.bytes()));
            if let Some((index, n)) = index.and_then(|at| Some((at, intset::get(entry.bytes(), at)?))) {
                intset::remove_at(entry, index);
                f(Item::Int(n));
            }
        }
        Kind::PackedSet => {
            let index = index(rng, rows::len(entry.bytes(), COLUMNS));
            let at = index.and_then(|index| rows::nth(entry.bytes(), COLUMNS, index));
            if let Some((at, (item, _))) =
                at.and_then(|at| Some((at, rows::item(entry.bytes(), MEMBER, at)?)))
            {
                f(item);
                rows::remove(entry, COLUMNS, at, 1);
            }
        }
        _ => return Err(Error::WrongType),
    }
    Ok(())
}

/// How many times more members must be popped than remain for the set to be made anew of those that remain, which
/// may then be a smaller form (Redis's `SPOP_MOVE_STRATEGY_MUL`).
const MAKE_ANEW_FROM: usize = 5;

/// Takes `count` members, fewer than there are, out of the set of an entry, and shows them to `f`.
pub fn pop_many(
    entry: &mut Entry,
    count: usize,
    limits: Limits,
    rng: &mut impl Rng,
    mut f: impl FnMut(Item<'_>),
) -> Result<(), Error> {
    let remaining = SetRef::of(entry)?.len() - count;
    if let Some(Object::Set(table)) = entry.object_mut() {
        if remaining.saturating_mul(MAKE_ANEW_FROM) > count {
            for member in (0..count).map_while(|_| table.take_random(rng)) {
                f(Item::Text(member.as_bytes()));
            }
            return Ok(());
        }
        let mut kept = NewSet::empty(Kind::PackedSet);
        for member in (0..remaining).map_while(|_| table.take_random(rng)) {
            kept.add(member.as_bytes(), limits);
        }
        SetRef::Table(table).each(f);
        kept.store(|value| entry.set_value(value));
        return Ok(());
    }
    let set = SetRef::of(entry)?;
    let mut is_popped = selection(rng, set.len(), count);
    let mut kept = Vec::with_capacity(remaining);
    set.each(|member| if is_popped() { f(member) } else { kept.push(member) });
    NewSet::of(entry.kind(), &kept).store(|value| entry.set_value(value));
    Ok(())
}

/// The form that a set takes while members are added to it, for sets that are made as a whole.
pub struct Form {
    kind: Kind,
    len: usize,
    /// Of the integers of [`Kind::IntSet`].
    longest: usize,
    limits: Limits,
}

impl Form {
    /// The form of an empty set that begins as `kind`.
    pub fn beginning_as(kind: Kind, limits: Limits) -> Form {
        Form { kind, len: 0, longest: 0, limits }
    }

    /// One more distinct member, in canonical form.
    pub fn add(&mut self, member: Item<'_>) {
        let bytes = text_len(member);
        self.kind = match (self.kind, member) {
            (Kind::IntSet, Item::Int(_)) if self.len < self.limits.integers => Kind::IntSet,
            (Kind::IntSet, Item::Text(_)) if self.limits.packs(self.len, self.longest.max(bytes)) => {
                Kind::PackedSet
            }
            (Kind::PackedSet, _) if self.limits.packs(self.len, bytes) => Kind::PackedSet,
            _ => Kind::Set,
        };
        self.longest = self.longest.max(bytes);
        self.len += 1;
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether so many integers stay integers.
    pub fn holds_integers(&self, count: usize) -> bool {
        count <= self.limits.integers
    }
}
