//! Whole values: one number says type and encoding, then come the bytes. A [`Sink`] is told the elements.

use super::read::{double, length, millis, string, text_double};
use super::source::{Corrupt, Source};
use super::{intset, listpack, zipmap, ziplist};
use crate::types::number;
use crate::types::packed::Item;

/// Type and encoding of a value, Redis's `RDB_TYPE_…`.
pub mod kind {
    pub const STRING: u8 = 0;
    pub const LIST: u8 = 1;
    pub const SET: u8 = 2;
    /// Scores as text.
    pub const SORTED_SET_TEXT: u8 = 3;
    pub const HASH: u8 = 4;
    pub const SORTED_SET: u8 = 5;
    pub const HASH_ZIPMAP: u8 = 9;
    pub const LIST_ZIPLIST: u8 = 10;
    pub const SET_INTSET: u8 = 11;
    pub const SORTED_SET_ZIPLIST: u8 = 12;
    pub const HASH_ZIPLIST: u8 = 13;
    /// Ziplists.
    pub const LIST_QUICKLIST: u8 = 14;
    pub const HASH_LISTPACK: u8 = 16;
    pub const SORTED_SET_LISTPACK: u8 = 17;
    /// Listpacks, and items of their own.
    pub const LIST_QUICKLIST_2: u8 = 18;
    pub const SET_LISTPACK: u8 = 20;
    /// With field deadlines, as Redis 7.4's release candidates wrote them.
    pub const HASH_DEADLINES_EARLY: u8 = 22;
    pub const HASH_LISTPACK_DEADLINES_EARLY: u8 = 23;
    /// With field deadlines, each relative to the earliest.
    pub const HASH_DEADLINES: u8 = 24;
    pub const HASH_LISTPACK_DEADLINES: u8 = 25;
}

/// Of a node of [`kind::LIST_QUICKLIST_2`]: one item, or a listpack.
const NODE_PLAIN: u64 = 1;
const NODE_PACKED: u64 = 2;

/// Builds a value. A method is called once for each element, in order; of a value only one method is used.
/// Those that return whether the element was new may find that it was not.
pub trait Sink {
    fn string(&mut self, value: Vec<u8>);
    fn item(&mut self, item: &[u8]);
    fn member(&mut self, member: &[u8]) -> bool;
    /// `score` is never NaN.
    fn scored(&mut self, member: &[u8], score: f64) -> bool;
    /// `deadline_ms` in Unix milliseconds.
    fn field(&mut self, field: &[u8], value: &[u8], deadline_ms: Option<i64>) -> bool;
}

/// Reads a value of this kind and returns the number of its elements (of a string: 1). A collection without any
/// is no value: the caller decides what that means.
pub fn read(kind: u8, source: &mut impl Source, sink: &mut impl Sink) -> Result<u64, Corrupt> {
    match kind {
        kind::STRING => {
            sink.string(string(source)?);
            Ok(1)
        }
        kind::LIST => {
            let count = length(source)?;
            for _ in 0..count {
                sink.item(&string(source)?);
            }
            Ok(count)
        }
        kind::LIST_ZIPLIST => items_of_ziplist(source, sink),
        kind::LIST_QUICKLIST => {
            let (nodes, mut count) = (length(source)?, 0);
            for _ in 0..nodes {
                count += items_of_ziplist(source, sink)?;
            }
            Ok(count)
        }
        kind::LIST_QUICKLIST_2 => quicklist(source, sink),
        kind::SET => {
            let count = length(source)?;
            for _ in 0..count {
                let member = string(source)?;
                new_or(source, sink.member(&member))?;
            }
            Ok(count)
        }
        kind::SET_INTSET => {
            let blob = string(source)?;
            let mut count = 0;
            in_blob(source, intset::each(&blob, |n| {
                count += 1;
                Item::Int(n).with(|member| new(sink.member(member)))
            }))?;
            Ok(count)
        }
        kind::SET_LISTPACK => {
            let blob = string(source)?;
            let mut count = 0;
            in_blob(source, listpack::each(&blob, |item| {
                count += 1;
                item.with(|member| new(sink.member(member)))
            }))?;
            Ok(count)
        }
        kind::SORTED_SET | kind::SORTED_SET_TEXT => {
            let count = length(source)?;
            for _ in 0..count {
                let member = string(source)?;
                let score = if kind == kind::SORTED_SET { double(source)? } else { text_double(source)? };
                if score.is_nan() {
                    return Err(source.corrupt("a score that is no number"));
                }
                new_or(source, sink.scored(&member, score))?;
            }
            Ok(count)
        }
        kind::SORTED_SET_LISTPACK | kind::SORTED_SET_ZIPLIST => {
            let blob = string(source)?;
            let mut groups = Groups::new(|[member, score]: [Item<'_>; 2]| {
                let score = match score {
                    Item::Int(n) => n as f64,
                    Item::Text(text) => number::parse_f64(text).ok_or("a score that is no number")?,
                };
                member.with(|member| new(sink.scored(member, score)))
            });
            let walked = if kind == kind::SORTED_SET_LISTPACK {
                listpack::each(&blob, |item| groups.push(item))
            } else {
                ziplist::each(&blob, |item| groups.push(item))
            };
            let walked = walked.and_then(|()| groups.finish());
            let count = groups.count;
            in_blob(source, walked)?;
            Ok(count)
        }
        kind::HASH => {
            let count = length(source)?;
            for _ in 0..count {
                let (field, value) = (string(source)?, string(source)?);
                new_or(source, sink.field(&field, &value, None))?;
            }
            Ok(count)
        }
        kind::HASH_ZIPMAP => {
            let blob = string(source)?;
            let mut count = 0;
            in_blob(source, zipmap::each(&blob, |field, value| {
                count += 1;
                new(sink.field(field, value, None))
            }))?;
            Ok(count)
        }
        kind::HASH_ZIPLIST | kind::HASH_LISTPACK => {
            let blob = string(source)?;
            let mut groups = Groups::new(|[field, value]: [Item<'_>; 2]| {
                field.with(|field| value.with(|value| new(sink.field(field, value, None))))
            });
            let walked = if kind == kind::HASH_LISTPACK {
                listpack::each(&blob, |item| groups.push(item))
            } else {
                ziplist::each(&blob, |item| groups.push(item))
            };
            let walked = walked.and_then(|()| groups.finish());
            let count = groups.count;
            in_blob(source, walked)?;
            Ok(count)
        }
        kind::HASH_DEADLINES | kind::HASH_DEADLINES_EARLY => {
            // The earliest deadline, from which the others count, so that 1 is that one itself.
            let earliest_ms = if kind == kind::HASH_DEADLINES { millis(source)?.saturating_sub(1) } else { 0 };
            let count = length(source)?;
            for _ in 0..count {
                let deadline_ms = match length(source)? {
                    0 => None,
                    ahead => Some(deadline(earliest_ms.checked_add_unsigned(ahead)).map_err(|what| source.corrupt(what))?),
                };
                let (field, value) = (string(source)?, string(source)?);
                new_or(source, sink.field(&field, &value, deadline_ms))?;
            }
            Ok(count)
        }
        kind::HASH_LISTPACK_DEADLINES | kind::HASH_LISTPACK_DEADLINES_EARLY => {
            if kind == kind::HASH_LISTPACK_DEADLINES {
                millis(source)?;
            }
            let blob = string(source)?;
            let mut groups = Groups::new(|[field, value, deadline_ms]: [Item<'_>; 3]| {
                let deadline_ms = match deadline_ms {
                    Item::Int(0) => None,
                    Item::Int(ms) => Some(deadline(Some(ms))?),
                    Item::Text(_) => return Err(BAD_DEADLINE),
                };
                field.with(|field| value.with(|value| new(sink.field(field, value, deadline_ms))))
            });
            let walked = listpack::each(&blob, |item| groups.push(item)).and_then(|()| groups.finish());
            let count = groups.count;
            in_blob(source, walked)?;
            Ok(count)
        }
        _ => Err(source.corrupt("unknown type of a value")),
    }
}

const TWICE: &str = "an element that is there twice";
const BAD_DEADLINE: &str = "a deadline that is no time";

fn new(is_new: bool) -> Result<(), &'static str> {
    if is_new { Ok(()) } else { Err(TWICE) }
}

fn new_or(source: &impl Source, is_new: bool) -> Result<(), Corrupt> {
    in_blob(source, new(is_new))
}

fn in_blob(source: &impl Source, walked: Result<(), &'static str>) -> Result<(), Corrupt> {
    walked.map_err(|what| source.corrupt(what))
}

fn deadline(ms: Option<i64>) -> Result<i64, &'static str> {
    ms.filter(|ms| *ms >= 0).ok_or(BAD_DEADLINE)
}

fn items_of_ziplist(source: &mut impl Source, sink: &mut impl Sink) -> Result<u64, Corrupt> {
    let blob = string(source)?;
    let mut count = 0;
    let walked = ziplist::each(&blob, |item| {
        count += 1;
        item.with(|item| sink.item(item));
        Ok(())
    });
    in_blob(source, walked)?;
    Ok(count)
}

fn quicklist(source: &mut impl Source, sink: &mut impl Sink) -> Result<u64, Corrupt> {
    let (nodes, mut count) = (length(source)?, 0);
    for _ in 0..nodes {
        let container = length(source)?;
        let node = string(source)?;
        match container {
            NODE_PLAIN => {
                sink.item(&node);
                count += 1;
            }
            NODE_PACKED => {
                let walked = listpack::each(&node, |item| {
                    count += 1;
                    item.with(|item| sink.item(item));
                    Ok(())
                });
                in_blob(source, walked)?;
            }
            _ => return Err(source.corrupt("unknown kind of a list's node")),
        }
    }
    Ok(count)
}

/// Collects items into groups of `N` that belong together.
struct Groups<'a, const N: usize, F> {
    waiting: [Item<'a>; N],
    len: usize,
    count: u64,
    f: F,
}

impl<'a, const N: usize, F: FnMut([Item<'a>; N]) -> Result<(), &'static str>> Groups<'a, N, F> {
    fn new(f: F) -> Self {
        Groups { waiting: [Item::Int(0); N], len: 0, count: 0, f }
    }

    fn push(&mut self, item: Item<'a>) -> Result<(), &'static str> {
        self.waiting[self.len] = item;
        self.len += 1;
        if self.len == N {
            self.len = 0;
            self.count += 1;
            return (self.f)(self.waiting);
        }
        Ok(())
    }

    /// Nothing may be left over.
    fn finish(&self) -> Result<(), &'static str> {
        if self.len == 0 { Ok(()) } else { Err("a part of a pair is missing") }
    }
}
