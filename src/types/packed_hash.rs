//! A small hash in one piece of memory, as [`rows`] in one of two layouts.
//!
//! *Plain*: name, value, name, value. *Timed*, once a field has been given a deadline: name, value, deadline, where
//! a deadline of 0 means none. Timed fields stand in the order of their deadlines, those without one last; so what
//! expires next is the first, and what has expired is a beginning of the sequence that can be cut off. Both
//! layouts, and their order, are those of Redis (`listpack` and `listpackex` in its `t_hash.c`), so that replies
//! come in the same order and a dump needs no sorting.

use super::hash::is_due;
use super::names::Names;
use super::packed::{Buffer, Item};
use super::rows;
use smallvec::SmallVec;

/// What stands for "no deadline".
const NONE: i64 = 0;

/// The columns of a row.
const NAME: usize = 0;
const VALUE: usize = 1;
const DEADLINE: usize = 2;

/// Values up to this length (Redis's limit for small hashes) are copied to the stack while their row moves.
const USUAL_VALUE_BYTES: usize = 64;

/// The layout of a sequence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layout {
    Plain,
    Timed,
}

impl Layout {
    /// Items of one field.
    #[inline]
    pub fn columns(self) -> usize {
        match self {
            Layout::Plain => 2,
            Layout::Timed => 3,
        }
    }
}

/// Where a field stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Offset of the name.
    at: usize,
    value_at: usize,
    pub deadline: Option<i64>,
}

/// One field in place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry<'a> {
    pub name: Item<'a>,
    pub value: Item<'a>,
    pub deadline: Option<i64>,
}

/// The entry at `at`, and the offset of the next one.
#[inline]
fn get(bytes: &[u8], layout: Layout, at: usize) -> Option<(Entry<'_>, usize)> {
    let (name, value_at) = rows::item(bytes, NAME, at)?;
    let (value, end) = rows::item(bytes, VALUE, value_at)?;
    let (deadline, end) = deadline(bytes, layout, end)?;
    // Whoever walks gets on.
    (end > at).then_some((Entry { name, value, deadline }, end))
}

/// The deadline of a field whose value ends at `value_end`, and where the field ends.
#[inline]
fn deadline(bytes: &[u8], layout: Layout, value_end: usize) -> Option<(Option<i64>, usize)> {
    if layout == Layout::Plain {
        return Some((None, value_end));
    }
    let (item, end) = rows::item(bytes, DEADLINE, value_end)?;
    let deadline = match item {
        Item::Int(deadline) => Some(deadline).filter(|deadline| *deadline != NONE),
        Item::Text(_) => None,
    };
    Some((deadline, end))
}

#[inline]
fn start(bytes: &[u8], layout: Layout) -> usize {
    rows::start(bytes, layout.columns())
}

/// Number of fields, expired ones included.
#[inline]
pub fn fields(bytes: &[u8], layout: Layout) -> usize {
    rows::len(bytes, layout.columns())
}

/// The deadline that comes first in a timed sequence.
#[inline]
pub fn earliest(bytes: &[u8]) -> Option<i64> {
    get(bytes, Layout::Timed, start(bytes, Layout::Timed)).and_then(|(entry, _)| entry.deadline)
}

/// The offset of the first field that has not expired, and how many come before it.
fn alive(bytes: &[u8], layout: Layout, now_ms: i64) -> (usize, usize) {
    let (mut at, mut expired) = (start(bytes, layout), 0);
    if layout == Layout::Timed {
        while let Some((entry, next)) = get(bytes, layout, at)
            && is_due(entry.deadline, now_ms)
        {
            at = next;
            expired += 1;
        }
    }
    (at, expired)
}

/// Number of fields that have not expired.
#[inline]
pub fn len(bytes: &[u8], layout: Layout, now_ms: i64) -> usize {
    let expired = if layout == Layout::Timed { alive(bytes, layout, now_ms).1 } else { 0 };
    fields(bytes, layout) - expired
}

/// All fields that have not expired.
pub fn iter(bytes: &[u8], layout: Layout, now_ms: i64) -> impl Iterator<Item = Entry<'_>> + Clone {
    let (mut at, _) = alive(bytes, layout, now_ms);
    std::iter::from_fn(move || {
        let (entry, next) = get(bytes, layout, at)?;
        at = next;
        Some(entry)
    })
}

/// The place of a field, whether it has expired or not.
#[inline]
pub fn find(bytes: &[u8], layout: Layout, name: &[u8]) -> Option<Place> {
    let at = rows::find(bytes, layout.columns(), Item::of(name))?;
    let (_, value_at) = rows::item(bytes, NAME, at)?;
    let deadline = match layout {
        Layout::Plain => None,
        Layout::Timed => deadline(bytes, layout, rows::item(bytes, VALUE, value_at)?.1)?.0,
    };
    Some(Place { at, value_at, deadline })
}

/// The value of a field that has not expired.
#[inline]
pub fn value<'a>(bytes: &'a [u8], layout: Layout, name: &[u8], now_ms: i64) -> Option<Item<'a>> {
    let place = find(bytes, layout, name).filter(|place| !is_due(place.deadline, now_ms))?;
    rows::item(bytes, VALUE, place.value_at).map(|(item, _)| item)
}

/// Calls `f` with the items of a field.
#[inline]
fn with_row<R>(layout: Layout, entry: Entry<'_>, f: impl FnOnce(&[Item<'_>]) -> R) -> R {
    let row = [entry.name, entry.value, Item::Int(entry.deadline.unwrap_or(NONE))];
    f(&row[..layout.columns()])
}

/// Adds a field that is not there and has no deadline.
pub fn push(buffer: &mut impl Buffer, layout: Layout, name: &[u8], value: &[u8]) {
    let entry = Entry { name: Item::of(name), value: Item::of(value), deadline: None };
    with_row(layout, entry, |row| rows::push(buffer, layout.columns(), row));
}

/// Sets the value of a field; its deadline, if it has one, is removed unless it is to be kept. Returns whether the
/// field is new.
pub fn set(buffer: &mut impl Buffer, layout: Layout, name: &[u8], value: &[u8], keep_deadline: bool) -> bool {
    let Some(place) = find(buffer.bytes(), layout, name) else {
        push(buffer, layout, name, value);
        return true;
    };
    if place.deadline.is_some() && !keep_deadline {
        // Among those without a deadline the field becomes the last.
        rows::remove(buffer, layout.columns(), place.at, 1);
        push(buffer, layout, name, value);
        return false;
    }
    rows::replace(buffer, layout.columns(), place.at, VALUE, Item::of(value));
    false
}

/// Removes a field; `false` if there is no such field.
pub fn remove(buffer: &mut impl Buffer, layout: Layout, name: &[u8]) -> bool {
    let Some(place) = find(buffer.bytes(), layout, name) else { return false };
    rows::remove(buffer, layout.columns(), place.at, 1);
    true
}

/// Removes up to `limit` fields of a timed sequence that have expired, adds their names to `names`, and returns how many.
pub fn remove_due(buffer: &mut impl Buffer, now_ms: i64, limit: usize, names: &mut Names) -> usize {
    let bytes = buffer.bytes();
    let first = start(bytes, Layout::Timed);
    let (mut end, mut removed) = (first, 0);
    while removed < limit
        && let Some((entry, next)) = get(bytes, Layout::Timed, end)
        && is_due(entry.deadline, now_ms)
    {
        entry.name.with(|name| names.push(name));
        end = next;
        removed += 1;
    }
    if removed > 0 {
        rows::remove(buffer, Layout::Timed.columns(), first, removed);
    }
    removed
}

/// Sets or removes the deadline (Unix milliseconds, not 0) of a field of a timed sequence; `false` if there is no
/// such field. Before others with the same deadline.
pub fn set_deadline(buffer: &mut impl Buffer, name: &[u8], deadline_ms: Option<i64>) -> bool {
    let layout = Layout::Timed;
    let Some(place) = find(buffer.bytes(), layout, name) else { return false };
    // The value is copied, since the row moves within the bytes that it is read from.
    let Some((value, _)) = rows::item(buffer.bytes(), VALUE, place.value_at) else { return false };
    let value: SmallVec<[u8; USUAL_VALUE_BYTES]> = value.with(SmallVec::from_slice);
    rows::remove(buffer, layout.columns(), place.at, 1);
    let bytes = buffer.bytes();
    let mut at = start(bytes, layout);
    while let Some((entry, next)) = get(bytes, layout, at)
        && match (entry.deadline, deadline_ms) {
            (Some(other), Some(deadline)) => other < deadline,
            (_, None) => true,
            (None, Some(_)) => false,
        }
    {
        at = next;
    }
    let entry = Entry { name: Item::of(name), value: Item::of(&value), deadline: deadline_ms };
    with_row(layout, entry, |row| rows::insert(buffer, layout.columns(), at, row));
    true
}

/// A plain sequence in the timed layout.
pub fn timed(plain: &[u8]) -> Vec<u8> {
    of_entries(Layout::Timed, iter(plain, Layout::Plain, 0))
}

/// The items of these entries.
pub fn items<'a>(layout: Layout, entries: impl Iterator<Item = Entry<'a>>) -> impl Iterator<Item = Item<'a>> {
    entries.flat_map(move |entry| {
        let row = [entry.name, entry.value, Item::Int(entry.deadline.unwrap_or(NONE))];
        row.into_iter().take(layout.columns())
    })
}

/// A sequence of these entries, which stand in the order that the layout demands.
pub fn of_entries<'a>(layout: Layout, entries: impl Iterator<Item = Entry<'a>>) -> Vec<u8> {
    let mut out = rows::new();
    for entry in entries {
        with_row(layout, entry, |row| rows::push(&mut out, layout.columns(), row));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The obvious version: fields in order, by Redis's rules.
    #[derive(Default)]
    struct Model(Vec<(Vec<u8>, Vec<u8>, Option<i64>)>);

    impl Model {
        fn position(&self, name: &[u8]) -> Option<usize> {
            self.0.iter().position(|(other, ..)| other == name)
        }

        fn file(&mut self, field: (Vec<u8>, Vec<u8>, Option<i64>)) {
            let deadline = |deadline: Option<i64>| deadline.unwrap_or(i64::MAX);
            let at = match field.2 {
                None => self.0.len(),
                Some(new) => {
                    self.0.iter().position(|(.., old)| deadline(*old) >= new).unwrap_or(self.0.len())
                }
            };
            self.0.insert(at, field);
        }
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            (0_i64..20).prop_map(|n| n.to_string().into_bytes()),
            any::<i64>().prop_map(|n| n.to_string().into_bytes()),
            proptest::collection::vec(any::<u8>(), 0..70),
        ]
    }

    fn name() -> impl Strategy<Value = Vec<u8>> {
        (0_u8..24)
            .prop_map(|n| if n % 2 == 0 { n.to_string().into_bytes() } else { vec![b'a' + n; n.into()] })
    }

    proptest! {
        #[test]
        fn agrees_with_a_vector(
            is_timed: bool,
            steps in proptest::collection::vec((0_u8..9, name(), text(), 0_i64..50), 1..80),
        ) {
            let mut layout = if is_timed { Layout::Timed } else { Layout::Plain };
            let (mut bytes, mut model, mut now_ms) = (rows::new(), Model::default(), 0);
            for (step, name, value, time) in steps {
                let position = model.position(&name);
                match step {
                    0..=3 => {
                        let is_new = set(&mut bytes, layout, &name, &value, step == 3);
                        prop_assert_eq!(is_new, position.is_none());
                        match position {
                            Some(at) if step == 3 || model.0[at].2.is_none() => model.0[at].1 = value,
                            Some(at) => {
                                model.0.remove(at);
                                model.file((name, value, None));
                            }
                            None => model.file((name, value, None)),
                        }
                    }
                    4 | 5 if layout == Layout::Timed => {
                        let deadline = (time > 5).then_some(now_ms + time);
                        prop_assert_eq!(set_deadline(&mut bytes, &name, deadline), position.is_some());
                        if let Some(at) = position {
                            let (name, value, _) = model.0.remove(at);
                            model.file((name, value, deadline));
                        }
                    }
                    6 => {
                        prop_assert_eq!(remove(&mut bytes, layout, &name), position.is_some());
                        position.map(|at| model.0.remove(at));
                    }
                    7 => now_ms += time,
                    8 if layout == Layout::Timed => {
                        let due = model.0.iter().filter(|(.., deadline)| is_due(*deadline, now_ms)).count();
                        let limit = time as usize;
                        prop_assert_eq!(remove_due(&mut bytes, now_ms, limit, &mut Names::default()), due.min(limit));
                        model.0.drain(..due.min(limit));
                    }
                    8 if time > 40 => {
                        bytes = timed(&bytes);
                        layout = Layout::Timed;
                    }
                    _ => {}
                }
                prop_assert!(rows::validate(&bytes, layout.columns()));
                prop_assert_eq!(fields(&bytes, layout), model.0.len());
                let seen: Vec<_> = iter(&bytes, layout, now_ms)
                    .map(|entry| (entry.name.to_vec(), entry.value.to_vec(), entry.deadline))
                    .collect();
                let due = model.0.iter().take_while(|(.., deadline)| is_due(*deadline, now_ms)).count();
                prop_assert_eq!(&seen, &model.0[due..]);
                prop_assert_eq!(len(&bytes, layout, now_ms), seen.len());
                for (at, (name, text, deadline)) in model.0.iter().enumerate() {
                    let place = find(&bytes, layout, name);
                    prop_assert_eq!(place.map(|place| place.deadline), Some(*deadline));
                    let found = value_of(&bytes, layout, name, now_ms);
                    prop_assert_eq!(found, (at >= due).then(|| text.clone()));
                }
                if layout == Layout::Timed {
                    prop_assert_eq!(earliest(&bytes), model.0.first().and_then(|field| field.2));
                }
            }
        }

        #[test]
        fn damaged_bytes_do_no_harm(mut bytes in proptest::collection::vec(any::<u8>(), 0..100), is_timed: bool) {
            let layout = if is_timed { Layout::Timed } else { Layout::Plain };
            let _ = (find(&bytes, layout, b"a"), earliest(&bytes), iter(&bytes, layout, 1).count());
            if rows::validate(&bytes, layout.columns()) {
                set(&mut bytes, layout, b"a", b"b", false);
            }
        }
    }

    fn value_of(bytes: &[u8], layout: Layout, name: &[u8], now_ms: i64) -> Option<Vec<u8>> {
        value(bytes, layout, name, now_ms).map(Item::to_vec)
    }
}
