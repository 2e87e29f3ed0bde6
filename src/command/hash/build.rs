//! A hash that is made as a whole, field by field, in the form that its size demands.

use super::value::Limits;
use crate::keyspace::{Kind, NewValue, Object};
use crate::types::hash::Hash;
use crate::types::packed::{self, Item};
use crate::types::packed_hash::{self, Entry, Layout};
use crate::types::rows;

/// The longest that a packed hash may get, whatever the directives allow (a listpack's limit in Redis).
const MAX_PACKED_BYTES: usize = 1 << 30;

/// A hash that is no key's value yet.
pub struct NewHash {
    limits: Limits,
    form: Form,
}

enum Form {
    /// In the order of their coming. Whether a name is there twice is not known yet.
    Packed {
        fields: Vec<u8>,
        /// Of the first fields; the others have none.
        deadlines: Vec<Option<i64>>,
    },
    Table(Hash),
}

impl NewHash {
    pub fn new(limits: Limits) -> NewHash {
        NewHash { limits, form: Form::Packed { fields: rows::new(), deadlines: Vec::new() } }
    }

    /// Adds a field. `false` if it is there already, which [`NewHash::finish`] may also be the first to find.
    pub fn add(&mut self, name: &[u8], value: &[u8], deadline_ms: Option<i64>) -> bool {
        if let Form::Packed { fields, deadlines } = &mut self.form {
            let count = packed_hash::fields(fields, Layout::Plain);
            let bytes = fields.len().saturating_add(name.len()).saturating_add(value.len());
            if self.limits.allow_one_more(count, name, value) && bytes < MAX_PACKED_BYTES {
                if deadline_ms.is_some() {
                    deadlines.resize(count, None);
                    deadlines.push(deadline_ms);
                }
                packed_hash::push(fields, Layout::Plain, name, value);
                return true;
            }
            let Some(table) = to_table(fields, deadlines) else { return false };
            self.form = Form::Table(table);
        }
        match &mut self.form {
            Form::Table(table) => add_to_table(table, name, value, deadline_ms),
            Form::Packed { .. } => unreachable!("a packed hash became a table"),
        }
    }

    /// The hash, unless a name is there twice.
    pub fn finish(self) -> Option<NewValue> {
        let (fields, deadlines) = match self.form {
            Form::Table(table) => return Some(NewValue::Object(Kind::Hash, Object::Hash(Box::new(table)))),
            Form::Packed { fields, deadlines } => (fields, deadlines),
        };
        if !packed::are_distinct(packed_hash::iter(&fields, Layout::Plain, 0).map(|entry| entry.name)) {
            return None;
        }
        if deadlines.is_empty() {
            return Some(NewValue::Packed(Kind::PackedHash, fields));
        }
        let mut entries: Vec<Entry<'_>> = with_deadlines(&fields, &deadlines).collect();
        entries.sort_by_key(|entry| entry.deadline.unwrap_or(i64::MAX));
        let timed = packed_hash::of_entries(Layout::Timed, entries.into_iter());
        Some(NewValue::Packed(Kind::TimedPackedHash, timed))
    }
}

fn with_deadlines<'a>(fields: &'a [u8], deadlines: &'a [Option<i64>]) -> impl Iterator<Item = Entry<'a>> {
    let deadlines = deadlines.iter().copied().chain(std::iter::repeat(None));
    packed_hash::iter(fields, Layout::Plain, 0)
        .zip(deadlines)
        .map(|(entry, deadline)| Entry { deadline, ..entry })
}

/// `None` if a name is there twice.
fn to_table(fields: &[u8], deadlines: &[Option<i64>]) -> Option<Hash> {
    let mut table = Hash::new();
    let mut add = |name: Item<'_>, value: Item<'_>, deadline| {
        name.with(|name| value.with(|value| add_to_table(&mut table, name, value, deadline)))
    };
    with_deadlines(fields, deadlines)
        .all(|entry| add(entry.name, entry.value, entry.deadline))
        .then_some(table)
}

fn add_to_table(table: &mut Hash, name: &[u8], value: &[u8], deadline_ms: Option<i64>) -> bool {
    let is_new = table.set(name, value, true);
    if is_new && deadline_ms.is_some() {
        table.set_deadline(name, deadline_ms);
    }
    is_new
}
