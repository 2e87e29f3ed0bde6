//! A hash as the handlers see it: whether it is packed or a table, and when it turns from the one into the other,
//! is known here alone.
//!
//! The rules are Redis's: a hash is packed while it has no more fields than `hash-max-listpack-entries` and no
//! field or value is longer than `hash-max-listpack-value`, and never turns back. Deadlines of fields make a packed
//! hash a timed one, for good.

use crate::command::errors::Error;
use crate::command::generic::free_entry;
use crate::config::Config;
use crate::keyspace::{Deadline, Entry, Kind, Object, Type, Value, View};
use crate::resp::reply::Reply;
use crate::state::Server;
use crate::types::events::Class;
use crate::types::hash::Hash;
use crate::types::number;
use crate::types::packed::Item;
use crate::types::packed_hash::{self, Layout};
use crate::types::rows;
use rand::Rng;

/// Up to where a hash is packed.
#[derive(Clone, Copy)]
pub struct Limits {
    fields: usize,
    text_bytes: usize,
}

impl Limits {
    #[inline]
    pub fn of(server: &Server) -> Limits {
        Self::of_config(&server.config)
    }

    #[inline]
    pub fn of_config(config: &Config) -> Limits {
        Limits {
            fields: config.hash_max_listpack_entries() as usize,
            text_bytes: config.hash_max_listpack_value() as usize,
        }
    }

    /// The same limit on fields, and none on their length.
    pub fn of_any_length(self) -> Limits {
        Limits { text_bytes: usize::MAX, ..self }
    }

    /// Whether a hash of so many fields stays packed with this one.
    pub(super) fn allow_one_more(self, fields: usize, name: &[u8], value: &[u8]) -> bool {
        fields < self.fields && self.allow(name, value)
    }

    #[inline]
    fn allow(self, name: &[u8], value: &[u8]) -> bool {
        name.len() <= self.text_bytes && value.len() <= self.text_bytes
    }
}

#[derive(Clone, Copy)]
enum Form<'a> {
    Packed(Layout, &'a [u8]),
    Table(&'a Hash),
}

/// A hash to be read, as of a point in time.
#[derive(Clone, Copy)]
pub struct HashRef<'a> {
    form: Form<'a>,
    now_ms: i64,
}

fn form(entry: &Entry) -> Option<Form<'_>> {
    match entry.kind() {
        Kind::PackedHash => entry.packed().map(|bytes| Form::Packed(Layout::Plain, bytes)),
        Kind::TimedPackedHash => entry.packed().map(|bytes| Form::Packed(Layout::Timed, bytes)),
        Kind::Hash => match entry.object() {
            Some(Object::Hash(hash)) => Some(Form::Table(hash)),
            _ => None,
        },
        _ => None,
    }
}

/// The hash at `key`, to be read: counts as a hit or a miss.
///
/// # Errors
/// The key holds a value of another type.
#[inline]
pub fn read<'v>(keys: &'v View<'_>, key: &[u8]) -> Result<Option<HashRef<'v>>, Error> {
    keys.get(key).map(|entry| HashRef::of(entry, keys.now_ms)).transpose()
}

/// Nothing, if there is a hash or nothing at `key`.
///
/// # Errors
/// The key holds a value of another type.
pub fn check_type(keys: &View<'_>, key: &[u8]) -> Result<(), Error> {
    match keys.peek(key) {
        Some(entry) if entry.value_type() != Type::Hash => Err(Error::WrongType),
        _ => Ok(()),
    }
}

impl<'a> HashRef<'a> {
    /// # Errors
    /// The entry holds a value of another type.
    #[inline]
    pub fn of(entry: &'a Entry, now_ms: i64) -> Result<HashRef<'a>, Error> {
        Ok(HashRef { form: form(entry).ok_or(Error::WrongType)?, now_ms })
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        match self.form {
            Form::Packed(layout, bytes) => packed_hash::len(bytes, layout, self.now_ms),
            Form::Table(hash) => hash.len(self.now_ms),
        }
    }

    /// Whether all fields have expired.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn is_packed(&self) -> bool {
        matches!(self.form, Form::Packed(..))
    }

    /// Whether a field has a deadline, be it in the past.
    pub fn has_deadlines(&self) -> bool {
        match self.form {
            Form::Packed(Layout::Plain, _) => false,
            Form::Packed(Layout::Timed, bytes) => packed_hash::earliest(bytes).is_some(),
            Form::Table(hash) => hash.earliest().is_some(),
        }
    }

    /// Whether every field that is kept is also there: none has expired and waits for its removal.
    pub fn is_fresh(&self) -> bool {
        match self.form {
            Form::Packed(layout, bytes) => packed_hash::fields(bytes, layout) == self.len(),
            Form::Table(hash) => hash.fields() == self.len(),
        }
    }

    /// The value of a field.
    #[inline]
    pub fn get(&self, name: &[u8]) -> Option<Item<'a>> {
        match self.form {
            Form::Packed(layout, bytes) => packed_hash::value(bytes, layout, name, self.now_ms),
            Form::Table(hash) => hash.get(name, self.now_ms).map(|field| Item::Text(field.value())),
        }
    }

    /// The deadline of a field (Unix milliseconds), if there is such a field and if it has one.
    pub fn deadline(&self, name: &[u8]) -> Option<Option<i64>> {
        match self.form {
            Form::Packed(layout, bytes) => packed_hash::find(bytes, layout, name)
                .map(|place| place.deadline)
                .filter(|deadline| !crate::types::hash::is_due(*deadline, self.now_ms)),
            Form::Table(hash) => hash.get(name, self.now_ms).map(|field| field.deadline()),
        }
    }

    /// Calls `f` with the name, the value and the deadline of each field.
    pub fn each(&self, mut f: impl FnMut(Item<'a>, Item<'a>, Option<i64>)) {
        match self.form {
            Form::Packed(layout, bytes) => packed_hash::iter(bytes, layout, self.now_ms)
                .for_each(|entry| f(entry.name, entry.value, entry.deadline)),
            Form::Table(hash) => hash.iter(self.now_ms).for_each(|field| {
                f(Item::Text(field.name()), Item::Text(field.value()), field.deadline());
            }),
        }
    }

    /// All fields with their values.
    pub fn to_vec(self) -> Vec<(Item<'a>, Item<'a>)> {
        let mut all = Vec::with_capacity(self.len());
        self.each(|name, value, _| all.push((name, value)));
        all
    }

    /// A field picked at random, with its value.
    pub fn random(&self, rng: &mut impl Rng) -> Option<(Item<'a>, Item<'a>)> {
        match self.form {
            Form::Packed(layout, bytes) => {
                let len = packed_hash::len(bytes, layout, self.now_ms);
                let at = if len == 0 { return None } else { rng.random_range(0..len) };
                let entry = packed_hash::iter(bytes, layout, self.now_ms).nth(at)?;
                Some((entry.name, entry.value))
            }
            Form::Table(hash) => {
                let field = hash.random(self.now_ms, rng)?;
                Some((Item::Text(field.name()), Item::Text(field.value())))
            }
        }
    }

    /// Visits about `count` fields of a table from `cursor` on, or all of a packed hash; returns the cursor to go
    /// on with, 0 at the end.
    pub fn scan(&self, cursor: u64, count: usize, mut f: impl FnMut(Item<'_>, Item<'_>)) -> u64 {
        match self.form {
            Form::Packed(..) => {
                self.each(|name, value, _| f(name, value));
                0
            }
            Form::Table(hash) => hash.scan(cursor, count, self.now_ms, |field| {
                f(Item::Text(field.name()), Item::Text(field.value()));
            }),
        }
    }
}

/// Replies with a name or a value.
#[inline]
pub fn reply_item(out: &mut Reply, item: Item<'_>) {
    match item {
        Item::Int(n) => out.bulk_integer(n),
        Item::Text(text) => out.bulk(text),
    }
}

/// Replies with a value, or null if there is none.
#[inline]
pub fn reply_or_null(out: &mut Reply, item: Option<Item<'_>>) {
    match item {
        Some(item) => reply_item(out, item),
        None => out.null(),
    }
}

/// The length of the text that a client sees.
pub fn text_len(item: Item<'_>) -> usize {
    match item {
        Item::Int(n) => number::digits(n),
        Item::Text(text) => text.len(),
    }
}

/// A hash to be changed, which has no expired fields.
pub struct HashMut<'a> {
    entry: &'a mut Entry,
    limits: Limits,
    now_ms: i64,
}

/// Lets `change` work on the hash at `key`; `None` if there is none. A hash that has no fields afterwards is removed.
///
/// # Errors
/// The key holds a value of another type, or those of `change`.
#[inline]
pub fn edit<R>(
    keys: &mut View<'_>,
    key: &[u8],
    limits: Limits,
    change: impl FnOnce(&mut HashMut<'_>) -> Result<R, Error>,
) -> Result<Option<R>, Error> {
    let now_ms = keys.now_ms;
    let Some(entry) = keys.update_fields(key) else { return Ok(None) };
    if entry.value_type() != Type::Hash {
        return Err(Error::WrongType);
    }
    let before = entry.field_deadline();
    let mut hash = HashMut { entry, limits, now_ms };
    let result = change(&mut hash);
    let (after, is_empty) = (hash.entry.field_deadline(), hash.entry.is_empty_hash());
    if before != after {
        keys.fields_changed(key, before);
    }
    if is_empty && let Some(entry) = keys.remove(key) {
        free_entry(entry);
    }
    result.map(Some)
}

/// States that the hash at `key`, from which this event took fields, is gone if it is.
pub fn notify_if_gone(keys: &View<'_>, key: &[u8]) {
    if !keys.is_unobserved() && keys.peek(key).is_none() {
        keys.event(Class::GENERIC, "del", key);
    }
}

/// As [`edit`], on an empty hash if there is none at `key`.
pub fn edit_or_create<R>(
    keys: &mut View<'_>,
    key: &[u8],
    limits: Limits,
    change: impl Fn(&mut HashMut<'_>) -> Result<R, Error>,
) -> Result<R, Error> {
    if let Some(result) = edit(keys, key, limits, &change)? {
        return Ok(result);
    }
    keys.set(key, Value::Packed(Kind::PackedHash, &rows::EMPTY), Deadline::Clear);
    let result = edit(keys, key, limits, change)?;
    Ok(result.expect("the hash was created just now"))
}

/// Makes the hash at `key`, where there is nothing, of names and values. Returns how many fields it has.
pub fn create<'a>(
    keys: &mut View<'_>,
    key: &[u8],
    limits: Limits,
    pairs: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
) -> usize {
    let (mut count, mut bytes, mut allowed) = (0, rows::EMPTY.len(), true);
    for (name, value) in pairs.clone() {
        count += 1;
        // What an item takes beside its text is a byte, or two.
        bytes += name.len() + value.len() + 4;
        allowed &= limits.allow(name, value);
    }
    if allowed && count <= limits.fields {
        let mut packed = Vec::with_capacity(bytes);
        packed.extend_from_slice(&rows::EMPTY);
        for (name, value) in pairs {
            packed_hash::set(&mut packed, Layout::Plain, name, value, false);
        }
        keys.set(key, Value::Packed(Kind::PackedHash, &packed), Deadline::Clear);
        return packed_hash::fields(&packed, Layout::Plain);
    }
    let mut hash = Hash::new();
    pairs.for_each(|(name, value)| {
        hash.set(name, value, false);
    });
    let fields = hash.fields();
    keys.set(key, Value::Object(Kind::Hash, Object::Hash(Box::new(hash))), Deadline::Clear);
    fields
}

impl HashMut<'_> {
    fn layout(&self) -> Option<Layout> {
        match self.entry.kind() {
            Kind::PackedHash => Some(Layout::Plain),
            Kind::TimedPackedHash => Some(Layout::Timed),
            _ => None,
        }
    }

    fn table(&mut self) -> &mut Hash {
        match self.entry.object_mut() {
            Some(Object::Hash(hash)) => hash,
            _ => unreachable!("a hash that is not packed is a table"),
        }
    }

    /// The hash as it is now.
    #[inline]
    pub fn read(&self) -> HashRef<'_> {
        HashRef { form: form(self.entry).expect("a hash"), now_ms: self.now_ms }
    }

    /// Makes room for these names and values, if they will need it.
    pub fn prepare<'a>(&mut self, pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) {
        if self.layout().is_none() {
            return;
        }
        let mut count = 0;
        for (name, value) in pairs {
            count += 1;
            if count > self.limits.fields || !self.limits.allow(name, value) {
                self.unpack();
                return;
            }
        }
    }

    /// Turns a packed hash into a table.
    #[cold]
    fn unpack(&mut self) {
        let mut hash = Hash::new();
        self.read().each(|name, value, deadline| {
            name.with(|name| {
                value.with(|value| hash.set(name, value, false));
                if deadline.is_some() {
                    hash.set_deadline(name, deadline);
                }
            });
        });
        self.entry.set_value(Value::Object(Kind::Hash, Object::Hash(Box::new(hash))));
    }

    /// Sets the value of a field; its deadline, if it has one, is removed unless it is to be kept. Returns whether
    /// the field is new.
    #[inline]
    pub fn set(&mut self, name: &[u8], value: &[u8], keep_deadline: bool) -> bool {
        if let Some(layout) = self.layout() {
            if self.limits.allow(name, value) {
                let is_new = packed_hash::set(self.entry, layout, name, value, keep_deadline);
                if is_new
                    && packed_hash::fields(self.entry.packed().unwrap_or_default(), layout)
                        > self.limits.fields
                {
                    self.unpack();
                }
                return is_new;
            }
            self.unpack();
        }
        self.table().set(name, value, keep_deadline)
    }

    /// Removes a field; `false` if there is no such field.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        match self.layout() {
            Some(layout) => packed_hash::remove(self.entry, layout, name),
            None => self.table().remove(name),
        }
    }

    /// Makes a packed hash one whose fields may have deadlines.
    pub fn make_timed(&mut self) {
        if self.layout() == Some(Layout::Plain) {
            let timed = packed_hash::timed(self.entry.packed().unwrap_or_default());
            self.entry.set_value(Value::Packed(Kind::TimedPackedHash, &timed));
        }
    }

    /// Sets or removes the deadline (Unix milliseconds, after now) of a field, if there is one of this name.
    pub fn set_deadline(&mut self, name: &[u8], deadline_ms: Option<i64>) {
        self.make_timed();
        match self.layout() {
            Some(_) => packed_hash::set_deadline(self.entry, name, deadline_ms),
            None => self.table().set_deadline(name, deadline_ms),
        };
    }
}
