//! Whole values: one number says type and encoding, then come the bytes. A [`Sink`] is told the elements.

use super::read::{double, length, millis, string, text_double, value};
use super::source::{Corrupt, Source};
use super::{intset, listpack, stream, ziplist, zipmap};
use crate::types::number;
use crate::types::packed::Item;
use crate::types::stream::Stream;

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
    pub const STREAM: u8 = 15;
    pub const HASH_LISTPACK: u8 = 16;
    pub const SORTED_SET_LISTPACK: u8 = 17;
    /// Listpacks, and items of their own.
    pub const LIST_QUICKLIST_2: u8 = 18;
    /// With the first ID, the highest deleted one, and counts of what was ever added and read.
    pub const STREAM_2: u8 = 19;
    pub const SET_LISTPACK: u8 = 20;
    /// With the time when a consumer last got something.
    pub const STREAM_3: u8 = 21;
    /// With field deadlines, as Redis 7.4's release candidates wrote them.
    pub const HASH_DEADLINES_EARLY: u8 = 22;
    pub const HASH_LISTPACK_DEADLINES_EARLY: u8 = 23;
    /// With field deadlines, each relative to the earliest.
    pub const HASH_DEADLINES: u8 = 24;
    pub const HASH_LISTPACK_DEADLINES: u8 = 25;
}

/// Of a node of [`kind::LIST_QUICKLIST_2`]: one item, or a listpack.
pub const NODE_PLAIN: u64 = 1;
pub const NODE_PACKED: u64 = 2;

/// The latest deadline that a field may have, Unix milliseconds (Redis's `EB_EXPIRE_TIME_MAX`).
const MAX_DEADLINE_MS: i64 = 0xFFFF_FFFF_FFFE;

/// Builds a value. A method is called once for each element, in order; of a value only the methods of one type are used.
/// Those that return whether the element was new may find that it was not, and may leave it to the end.
pub trait Sink {
    fn string(&mut self, value: Vec<u8>);
    fn item(&mut self, item: &[u8]);
    /// The list was kept in more than one block.
    fn several_blocks(&mut self);
    fn member(&mut self, member: &[u8]) -> bool;
    /// `score` is never NaN.
    fn scored(&mut self, member: &[u8], score: f64) -> bool;
    /// `deadline_ms` in Unix milliseconds, not 0.
    fn field(&mut self, field: &[u8], value: &[u8], deadline_ms: Option<i64>) -> bool;
    fn stream(&mut self, stream: Stream);
}

/// Reads a value of this kind. Returns whether there is anything in it: a collection without elements is no value, and
/// the caller decides what that means. (A string is a value, and so is a stream, however empty.)
pub fn read(kind: u8, source: &mut impl Source, sink: &mut impl Sink) -> Result<bool, Corrupt> {
    use kind::{
        HASH, HASH_DEADLINES, HASH_DEADLINES_EARLY, HASH_LISTPACK, HASH_LISTPACK_DEADLINES,
        HASH_LISTPACK_DEADLINES_EARLY, HASH_ZIPLIST, HASH_ZIPMAP, LIST, LIST_QUICKLIST, LIST_QUICKLIST_2,
        LIST_ZIPLIST, SET, SET_INTSET, SET_LISTPACK, SORTED_SET, SORTED_SET_LISTPACK, SORTED_SET_TEXT,
        SORTED_SET_ZIPLIST, STREAM, STREAM_2, STREAM_3, STRING,
    };
    let count = match kind {
        STRING => {
            sink.string(value(source)?);
            1
        }
        STREAM | STREAM_2 | STREAM_3 => {
            sink.stream(stream::read(kind, source)?);
            1
        }
        LIST => counted(source, |source| {
            sink.item(&string(source)?);
            Ok(())
        })?,
        LIST_ZIPLIST => items_of_ziplist(source, sink)?,
        LIST_QUICKLIST | LIST_QUICKLIST_2 => quicklist(kind, source, sink)?,
        SET => counted(source, |source| {
            let member = string(source)?;
            new(sink.member(&member)).map_err(|what| source.corrupt(what))
        })?,
        SET_INTSET => in_blob(source, |blob, count| {
            intset::each(blob, |n| {
                *count += 1;
                Item::Int(n).with(|member| new(sink.member(member)))
            })
        })?,
        SET_LISTPACK => in_blob(source, |blob, count| {
            listpack::each(blob, "Set listpack integrity check failed", |item| {
                *count += 1;
                item.with(|member| new(sink.member(member)))
            })
        })?,
        SORTED_SET | SORTED_SET_TEXT => counted(source, |source| {
            let member = string(source)?;
            let score = if kind == SORTED_SET { double(source)? } else { text_double(source)? };
            let added = if score.is_nan() { Err(BAD_SCORE) } else { new(sink.scored(&member, score)) };
            added.map_err(|what| source.corrupt(what))
        })?,
        SORTED_SET_ZIPLIST | SORTED_SET_LISTPACK => {
            let broken = "Zset ziplist integrity check failed";
            in_blob(source, |blob, count| {
                grouped(kind == SORTED_SET_ZIPLIST, blob, broken, |[member, score]| {
                    *count += 1;
                    let score = score_of(score)?;
                    member.with(|member| new(sink.scored(member, score)))
                })
            })?
        }
        HASH => counted(source, |source| {
            let (field, value) = (string(source)?, string(source)?);
            new(sink.field(&field, &value, None)).map_err(|what| source.corrupt(what))
        })?,
        HASH_ZIPMAP => in_blob(source, |blob, count| {
            zipmap::each(blob, |field, value| {
                *count += 1;
                new(sink.field(field, value, None))
            })
        })?,
        HASH_ZIPLIST | HASH_LISTPACK => {
            let broken = "Hash ziplist integrity check failed";
            in_blob(source, |blob, count| {
                grouped(kind == HASH_ZIPLIST, blob, broken, |[field, value]| {
                    *count += 1;
                    field.with(|field| value.with(|value| new(sink.field(field, value, None))))
                })
            })?
        }
        HASH_DEADLINES | HASH_DEADLINES_EARLY => {
            // Deadlines count from the earliest one, so that 1 is that one itself.
            let from_ms = if kind == HASH_DEADLINES { millis(source)?.saturating_sub(1) } else { 0 };
            counted(source, |source| {
                let deadline_ms = match length(source)? {
                    0 => Ok(None),
                    ahead => deadline(from_ms.checked_add_unsigned(ahead)),
                };
                let deadline_ms = deadline_ms.map_err(|what| source.corrupt(what))?;
                let (field, value) = (string(source)?, string(source)?);
                new(sink.field(&field, &value, deadline_ms)).map_err(|what| source.corrupt(what))
            })?
        }
        HASH_LISTPACK_DEADLINES | HASH_LISTPACK_DEADLINES_EARLY => {
            if kind == HASH_LISTPACK_DEADLINES {
                // The earliest deadline, which the fields tell as well.
                millis(source)?;
            }
            let broken = "Hash listpackex integrity check failed";
            in_blob(source, |blob, count| {
                grouped(false, blob, broken, |[field, value, deadline_ms]| {
                    *count += 1;
                    let deadline_ms = match deadline_ms {
                        Item::Int(ms) => deadline(Some(ms))?,
                        Item::Text(_) => return Err(BAD_DEADLINE),
                    };
                    field.with(|field| value.with(|value| new(sink.field(field, value, deadline_ms))))
                })
            })?
        }
        _ => return Err(source.corrupt(UNKNOWN_KIND)),
    };
    Ok(count > 0)
}

/// What is wrong with a kind that is none.
pub const UNKNOWN_KIND: &str = "Unknown RDB encoding type";
/// What is wrong with a value in which an element is there twice.
pub const TWICE: &str = "integrity check failed: table or listpack with dup elements";
const BAD_DEADLINE: &str = "invalid expireAt time";
const BAD_SCORE: &str = "a score that is no number";

fn new(is_new: bool) -> Result<(), &'static str> {
    if is_new { Ok(()) } else { Err(TWICE) }
}

/// The deadline of a field; 0 is none.
fn deadline(ms: Option<i64>) -> Result<Option<i64>, &'static str> {
    match ms {
        Some(0) => Ok(None),
        Some(ms @ 1..=MAX_DEADLINE_MS) => Ok(Some(ms)),
        _ => Err(BAD_DEADLINE),
    }
}

fn score_of(item: Item<'_>) -> Result<f64, &'static str> {
    match item {
        Item::Int(n) => Ok(n as f64),
        Item::Text(text) => number::parse_f64(text).ok_or(BAD_SCORE),
    }
}

/// Reads elements with `each`, as many as a length says that comes first, and returns how many that are.
fn counted<S: Source>(
    source: &mut S,
    mut each: impl FnMut(&mut S) -> Result<(), Corrupt>,
) -> Result<u64, Corrupt> {
    let count = length(source)?;
    for _ in 0..count {
        each(source)?;
    }
    Ok(count)
}

/// Reads a blob and walks it with `walk`, which counts the elements.
fn in_blob(
    source: &mut impl Source,
    walk: impl FnOnce(&[u8], &mut u64) -> Result<(), &'static str>,
) -> Result<u64, Corrupt> {
    let blob = string(source)?;
    let mut count = 0;
    walk(&blob, &mut count).map_err(|what| source.corrupt(what))?;
    Ok(count)
}

fn items_of_ziplist(source: &mut impl Source, sink: &mut impl Sink) -> Result<u64, Corrupt> {
    in_blob(source, |blob, count| {
        ziplist::each(blob, "List ziplist integrity check failed", |item| {
            *count += 1;
            item.with(|item| sink.item(item));
            Ok(())
        })
    })
}

fn quicklist(kind: u8, source: &mut impl Source, sink: &mut impl Sink) -> Result<u64, Corrupt> {
    let (mut count, mut blocks) = (0, 0);
    counted(source, |source| {
        let before = count;
        if kind == kind::LIST_QUICKLIST {
            count += items_of_ziplist(source, sink)?;
        } else {
            match length(source)? {
                NODE_PLAIN => {
                    let item = string(source)?;
                    if item.is_empty() {
                        return Err(source.corrupt("Quicklist integrity check failed: an empty node"));
                    }
                    sink.item(&item);
                    count += 1;
                }
                NODE_PACKED => {
                    count += in_blob(source, |blob, count| {
                        listpack::each(blob, "Listpack integrity check failed", |item| {
                            *count += 1;
                            item.with(|item| sink.item(item));
                            Ok(())
                        })
                    })?;
                }
                _ => return Err(source.corrupt("Quicklist integrity check failed: an unknown container")),
            }
        }
        blocks += u64::from(count > before);
        Ok(())
    })?;
    if blocks > 1 {
        sink.several_blocks();
    }
    Ok(count)
}

/// Walks a blob whose items belong together by `N`.
fn grouped<'a, const N: usize>(
    is_ziplist: bool,
    blob: &'a [u8],
    broken: &'static str,
    mut each: impl FnMut([Item<'a>; N]) -> Result<(), &'static str>,
) -> Result<(), &'static str> {
    let (mut waiting, mut len) = ([Item::Int(0); N], 0);
    let push = |item| {
        waiting[len] = item;
        len = (len + 1) % N;
        if len == 0 { each(waiting) } else { Ok(()) }
    };
    if is_ziplist {
        ziplist::each(blob, broken, push)?;
    } else {
        listpack::each(blob, broken, push)?;
    }
    if len == 0 { Ok(()) } else { Err(broken) }
}
