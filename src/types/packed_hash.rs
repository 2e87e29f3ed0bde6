//! A small hash as a packed sequence (see [`packed`](super::packed)), in one of two layouts.
//!
//! *Plain*: name, value, name, value. *Timed*, once a field has been given a deadline: name, value, deadline, where
//! a deadline of 0 means none. Timed fields stand in the order of their deadlines, those without one last; so what
//! expires next is the first, and what has expired is a beginning of the sequence that can be cut off. Both
//! layouts, and their order, are those of Redis (`listpack` and `listpackex` in its `t_hash.c`), so that replies
//! come in the same order and a dump needs no sorting.
//!
//! Edits work in place and allocate nothing: items are encoded in a buffer that the thread keeps.

use super::hash::is_due;
use super::names::Names;
use super::packed::{self, Buffer, HEADER_BYTES, Item};
use std::cell::RefCell;

/// What stands for "no deadline".
const NONE: i64 = 0;

/// A thread keeps its buffer for encoding up to this size.
const MAX_KEPT_BYTES: usize = 64 * 1024;

/// The layout of a sequence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layout {
    Plain,
    Timed,
}

impl Layout {
    /// Items of one field.
    #[inline]
    fn stride(self) -> usize {
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
    /// Offset behind the value.
    value_end: usize,
    /// Offset behind the last item of the field.
    end: usize,
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
    let (name, value_at) = packed::get(bytes, at)?;
    let (value, end) = packed::get(bytes, value_at)?;
    let (deadline, end) = deadline(bytes, layout, end)?;
    Some((Entry { name, value, deadline }, end))
}

/// The deadline of a field whose value ends at `value_end`, and where the field ends.
#[inline]
fn deadline(bytes: &[u8], layout: Layout, value_end: usize) -> Option<(Option<i64>, usize)> {
    if layout == Layout::Plain {
        return Some((None, value_end));
    }
    let (item, end) = packed::get(bytes, value_end)?;
    let deadline = match item {
        Item::Int(deadline) => Some(deadline).filter(|deadline| *deadline != NONE),
        Item::Text(_) => None,
    };
    Some((deadline, end))
}

/// Number of fields, expired ones included.
#[inline]
pub fn fields(bytes: &[u8], layout: Layout) -> usize {
    packed::len(bytes) / layout.stride()
}

/// The deadline that comes first in a timed sequence.
#[inline]
pub fn earliest(bytes: &[u8]) -> Option<i64> {
    get(bytes, Layout::Timed, HEADER_BYTES).and_then(|(entry, _)| entry.deadline)
}

/// The offset of the first field that has not expired, and how many come before it.
fn alive(bytes: &[u8], layout: Layout, now_ms: i64) -> (usize, usize) {
    let (mut at, mut expired) = (HEADER_BYTES, 0);
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

/// The offset behind the item at `at`.
#[inline]
fn skip(bytes: &[u8], at: usize) -> Option<usize> {
    match *bytes.get(at)? {
        // The two commonest kinds, an integer and a string in one byte each, have one byte behind them.
        0..packed::STRING_6 => Some(at + 2),
        mark @ packed::STRING_6..packed::INT_13 => Some(at + 2 + (mark & 0x3F) as usize),
        _ => packed::get(bytes, at).map(|(_, next)| next),
    }
}

/// The offset of a name.
#[inline]
fn find_name(bytes: &[u8], layout: Layout, name: &[u8]) -> Option<usize> {
    let next = |at: usize| {
        let at = skip(bytes, skip(bytes, at)?)?;
        if layout == Layout::Plain { Some(at) } else { skip(bytes, at) }
    };
    let mut at = HEADER_BYTES;
    match Item::of(name) {
        Item::Text(&[.., last]) if name.len() <= packed::MAX_STRING_6_BYTES => {
            // Names of one hash often differ in their last byte only.
            let mark = packed::STRING_6 | name.len() as u8;
            loop {
                let candidate = bytes.get(at..at + 1 + name.len());
                if *bytes.get(at)? == mark
                    && let Some([.., other]) = candidate
                    && *other == last
                    && candidate.is_some_and(|candidate| &candidate[1..] == name)
                {
                    return Some(at);
                }
                at = next(at)?;
            }
        }
        wanted => loop {
            if packed::get(bytes, at)?.0 == wanted {
                return Some(at);
            }
            at = next(at)?;
        },
    }
}

/// The place of a field, whether it has expired or not.
#[inline]
pub fn find(bytes: &[u8], layout: Layout, name: &[u8]) -> Option<Place> {
    let at = find_name(bytes, layout, name)?;
    let value_at = skip(bytes, at)?;
    let value_end = skip(bytes, value_at)?;
    let (deadline, end) = deadline(bytes, layout, value_end)?;
    Some(Place { at, value_at, value_end, end, deadline })
}

/// The value of a field that has not expired.
#[inline]
pub fn value<'a>(bytes: &'a [u8], layout: Layout, name: &[u8], now_ms: i64) -> Option<Item<'a>> {
    let place = find(bytes, layout, name).filter(|place| !is_due(place.deadline, now_ms))?;
    packed::get(bytes, place.value_at).map(|(item, _)| item)
}

thread_local! {
    static ENCODED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Calls `f` with a buffer that `fill` has filled.
fn with_encoded(fill: impl FnOnce(&mut Vec<u8>), f: impl FnOnce(&[u8])) {
    ENCODED.with_borrow_mut(|buffer| {
        buffer.clear();
        fill(buffer);
        f(buffer);
        buffer.shrink_to(MAX_KEPT_BYTES);
    });
}

fn encode(out: &mut Vec<u8>, layout: Layout, entry: Entry<'_>) {
    entry.name.encode(out);
    entry.value.encode(out);
    if layout == Layout::Timed {
        Item::Int(entry.deadline.unwrap_or(NONE)).encode(out);
    }
}

/// Adds a field that is not there and has no deadline.
pub fn push(buffer: &mut impl Buffer, layout: Layout, name: &[u8], value: &[u8]) {
    let items = packed::len(buffer.bytes()) + layout.stride();
    let entry = Entry { name: Item::of(name), value: Item::of(value), deadline: None };
    with_encoded(
        |out| encode(out, layout, entry),
        |encoded| {
            let end = buffer.bytes().len();
            buffer.splice(end, 0, encoded);
        },
    );
    packed::set_len(buffer, items);
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
        cut(buffer, layout, place.at, place.end, 1);
        push(buffer, layout, name, value);
        return false;
    }
    with_encoded(
        |out| Item::of(value).encode(out),
        |encoded| {
            let len = place.value_end - place.value_at;
            if encoded.len() == len {
                buffer.overwrite(place.value_at, encoded);
            } else {
                buffer.splice(place.value_at, len, encoded);
            }
        },
    );
    false
}

/// Removes the bytes of `count` fields.
fn cut(buffer: &mut impl Buffer, layout: Layout, from: usize, to: usize, count: usize) {
    let items = packed::len(buffer.bytes()) - count * layout.stride();
    buffer.splice(from, to - from, &[]);
    packed::set_len(buffer, items);
}

/// Removes a field; `false` if there is no such field.
pub fn remove(buffer: &mut impl Buffer, layout: Layout, name: &[u8]) -> bool {
    let Some(place) = find(buffer.bytes(), layout, name) else { return false };
    cut(buffer, layout, place.at, place.end, 1);
    true
}

/// Removes up to `limit` fields of a timed sequence that have expired, adds their names to `names`, and returns how many.
pub fn remove_due(buffer: &mut impl Buffer, now_ms: i64, limit: usize, names: &mut Names) -> usize {
    let bytes = buffer.bytes();
    let (mut end, mut removed) = (HEADER_BYTES, 0);
    while removed < limit
        && let Some((entry, next)) = get(bytes, Layout::Timed, end)
        && is_due(entry.deadline, now_ms)
    {
        entry.name.with(|name| names.push(name));
        end = next;
        removed += 1;
    }
    if removed > 0 {
        cut(buffer, Layout::Timed, HEADER_BYTES, end, removed);
    }
    removed
}

/// Sets or removes the deadline (Unix milliseconds, not 0) of a field of a timed sequence; `false` if there is no
/// such field. Before others with the same deadline.
pub fn set_deadline(buffer: &mut impl Buffer, name: &[u8], deadline_ms: Option<i64>) -> bool {
    let layout = Layout::Timed;
    let Some(place) = find(buffer.bytes(), layout, name) else { return false };
    let mut field = ENCODED.take();
    field.clear();
    field.extend_from_slice(&buffer.bytes()[place.at..place.value_end]);
    Item::Int(deadline_ms.unwrap_or(NONE)).encode(&mut field);
    buffer.splice(place.at, place.end - place.at, &[]);
    let bytes = buffer.bytes();
    let mut at = HEADER_BYTES;
    while let Some((entry, next)) = get(bytes, layout, at)
        && match (entry.deadline, deadline_ms) {
            (Some(other), Some(deadline)) => other < deadline,
            (_, None) => true,
            (None, Some(_)) => false,
        }
    {
        at = next;
    }
    buffer.splice(at, 0, &field);
    field.shrink_to(MAX_KEPT_BYTES);
    ENCODED.set(field);
    true
}

/// A plain sequence in the timed layout.
pub fn timed(plain: &[u8]) -> Vec<u8> {
    of_entries(Layout::Timed, iter(plain, Layout::Plain, 0))
}

/// A sequence of these entries, which stand in the order that the layout demands.
pub fn of_entries<'a>(layout: Layout, entries: impl Iterator<Item = Entry<'a>>) -> Vec<u8> {
    let (mut out, mut count) = (packed::new(), 0);
    for entry in entries {
        encode(&mut out, layout, entry);
        count += layout.stride();
    }
    packed::set_len(&mut out, count);
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
            let (mut bytes, mut model, mut now_ms) = (packed::new(), Model::default(), 0);
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
                prop_assert!(packed::validate(&bytes));
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
            if packed::validate(&bytes) {
                set(&mut bytes, layout, b"a", b"b", false);
            }
        }
    }

    fn value_of(bytes: &[u8], layout: Layout, name: &[u8], now_ms: i64) -> Option<Vec<u8>> {
        value(bytes, layout, name, now_ms).map(Item::to_vec)
    }
}
