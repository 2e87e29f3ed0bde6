//! Values on their way out.

use crate::command::list::value::{ListRef, list};
use crate::command::set::value::SetRef;
use crate::command::sorted_set::value::SortedSetRef;
use crate::keyspace::{Entry, Kind, Object, StringRef};
use crate::rdb::payload::{VERSION, VERSION_DEADLINES};
use crate::rdb::value::{NODE_PACKED, NODE_PLAIN, kind};
use crate::rdb::write::{Output, Writer};
use crate::rdb::{intset, listpack, stream};
use crate::types::hash::{self, Hash};
use crate::types::list::Node;
use crate::types::list::items::Items;
use crate::types::packed_hash::{self, Layout};
use crate::types::rows;
use crate::types::stream::Stream;

/// Columns of hashes (without deadlines) and sorted sets that are kept in one piece.
const PAIR: usize = 2;

/// A value whose encoding is chosen.
#[derive(Clone, Copy)]
pub struct Saving<'a> {
    form: Form<'a>,
    /// Unix milliseconds; fields that have expired by then are left out.
    now_ms: i64,
}

#[derive(Clone, Copy)]
enum Form<'a> {
    String(StringRef<'a>),
    List(ListRef<'a>),
    Integers(&'a [u8]),
    Set(SetRef<'a>),
    /// All in one piece, without deadlines.
    PackedHash(&'a [u8]),
    /// In one piece with room for deadlines.
    TimedHash(&'a [u8]),
    Hash(&'a Hash),
    PackedSortedSet(&'a [u8]),
    SortedSet(SortedSetRef<'a>),
    Stream(&'a Stream),
}

impl<'a> Saving<'a> {
    /// The value of an entry; `None` for a hash all of whose fields have expired.
    pub fn of(entry: &'a Entry, now_ms: i64) -> Option<Saving<'a>> {
        let packed = || entry.packed().unwrap_or_default();
        let form = match entry.kind() {
            Kind::Int | Kind::Bytes => Form::String(entry.string()?),
            Kind::PackedList | Kind::List => Form::List(list(entry).ok()?),
            Kind::IntSet => Form::Integers(packed()),
            Kind::PackedSet | Kind::Set => Form::Set(SetRef::of(entry).ok()?),
            Kind::PackedHash => Form::PackedHash(packed()),
            Kind::TimedPackedHash => Form::TimedHash(packed()),
            Kind::Hash => match entry.object() {
                Some(Object::Hash(hash)) => Form::Hash(hash),
                _ => return None,
            },
            Kind::PackedSortedSet => Form::PackedSortedSet(packed()),
            Kind::SortedSet => Form::SortedSet(SortedSetRef::of(entry).ok()?),
            Kind::Stream => match entry.object() {
                Some(Object::Stream(stream)) => Form::Stream(stream),
                _ => return None,
            },
        };
        let is_empty = match form {
            Form::TimedHash(bytes) => packed_hash::len(bytes, Layout::Timed, now_ms) == 0,
            Form::Hash(hash) => hash.is_empty(now_ms),
            _ => false,
        };
        (!is_empty).then_some(Saving { form, now_ms })
    }

    /// Type and encoding, one of [`kind`].
    pub fn kind(self) -> u8 {
        let has_deadlines = self.earliest().is_some();
        match self.form {
            Form::String(_) => kind::STRING,
            Form::List(_) => kind::LIST_QUICKLIST_2,
            Form::Integers(_) => kind::SET_INTSET,
            // Redis 7.0 has no other.
            Form::Set(_) => kind::SET,
            Form::TimedHash(_) if has_deadlines => kind::HASH_LISTPACK_DEADLINES,
            Form::PackedHash(_) | Form::TimedHash(_) => kind::HASH_LISTPACK,
            Form::Hash(_) if has_deadlines => kind::HASH_DEADLINES,
            Form::Hash(_) => kind::HASH,
            Form::PackedSortedSet(_) => kind::SORTED_SET_LISTPACK,
            Form::SortedSet(_) => kind::SORTED_SET,
            Form::Stream(_) => kind::STREAM_2,
        }
    }

    /// The version of the format that the encoding needs.
    pub fn version(self) -> u16 {
        if self.earliest().is_some() { VERSION_DEADLINES } else { VERSION }
    }

    /// The earliest deadline of a field that has not expired.
    fn earliest(self) -> Option<i64> {
        match self.form {
            Form::TimedHash(bytes) => {
                packed_hash::iter(bytes, Layout::Timed, self.now_ms).next().and_then(|entry| entry.deadline)
            }
            Form::Hash(hash) => hash.earliest_after(self.now_ms),
            _ => None,
        }
    }

    /// Writes the value in the encoding that [`Saving::kind`] names.
    pub fn write(self, writer: &mut Writer<impl Output>) {
        let left = self.write_part(writer, 0, usize::MAX);
        debug_assert_eq!(left, None);
    }

    /// Writes a part of the value: from its beginning (0) or from what the part before returned, and until about
    /// `budget` bytes are written. Returns where the next part begins; the value must not change in between.
    pub fn write_part(self, writer: &mut Writer<impl Output>, from: u64, budget: usize) -> Option<u64> {
        let mut budget = Budget(budget);
        match self.form {
            Form::String(value) => value.with(|bytes| writer.string(bytes)),
            Form::List(ListRef::Inline(items)) => {
                writer.length(1);
                write_node(writer, items);
            }
            Form::List(ListRef::Own(list)) => {
                if from == 0 {
                    writer.length(list.blocks() as u64);
                }
                for (node, number) in list.nodes().skip(from as usize).zip(from + 1..) {
                    let bytes = match node {
                        Node::Packed(items) => {
                            write_node(writer, items);
                            items.bytes.len()
                        }
                        Node::Large(bytes) => {
                            writer.length(NODE_PLAIN);
                            writer.string(bytes);
                            bytes.len()
                        }
                    };
                    if budget.is_spent(bytes) && (number as usize) < list.blocks() {
                        return Some(number);
                    }
                }
            }
            Form::Integers(bytes) => writer.string(&intset::from_set(bytes)),
            Form::Set(SetRef::Table(table)) => {
                if from == 0 {
                    writer.length(table.len() as u64);
                }
                let next = table.walk(from as usize, |members| {
                    let mut bytes = 0;
                    for member in members {
                        writer.string(member.as_bytes());
                        bytes += member.as_bytes().len() + 1;
                    }
                    budget.is_spent(bytes)
                });
                return next.map(|slot| slot as u64);
            }
            Form::Set(set) => {
                writer.length(set.len() as u64);
                set.each(|member| member.with(|member| writer.string(member)));
            }
            Form::PackedHash(bytes) | Form::PackedSortedSet(bytes) => {
                writer.string(&listpack::of(rows::items(bytes, PAIR)));
            }
            Form::TimedHash(bytes) => self.write_timed(writer, bytes),
            Form::Hash(hash) => return self.write_hash(writer, hash, from, budget),
            Form::SortedSet(set) => {
                if from == 0 {
                    writer.length(set.len() as u64);
                }
                // The last comes first, as Redis has it, whose skip list grows fastest from behind.
                let rest = 0..set.len() - from as usize;
                for ((member, score), number) in set.range(rest, true).zip(from + 1..) {
                    let bytes = member.with(|member| {
                        writer.string(member);
                        member.len()
                    });
                    writer.double(score.get());
                    if budget.is_spent(bytes + size_of::<f64>()) && (number as usize) < set.len() {
                        return Some(number);
                    }
                }
            }
            Form::Stream(value) => return stream::write_part(writer, value, from, budget.0),
        }
        None
    }

    fn write_timed(self, writer: &mut Writer<impl Output>, bytes: &[u8]) {
        let fields = packed_hash::iter(bytes, Layout::Timed, self.now_ms);
        let layout = match self.earliest() {
            Some(earliest) => {
                writer.millis(earliest);
                Layout::Timed
            }
            None => Layout::Plain,
        };
        writer.string(&listpack::of(packed_hash::items(layout, fields)));
    }

    fn write_hash(
        self,
        writer: &mut Writer<impl Output>,
        hash: &Hash,
        from: u64,
        mut budget: Budget,
    ) -> Option<u64> {
        let earliest = self.earliest();
        if from == 0 {
            if let Some(earliest) = earliest {
                writer.millis(earliest);
            }
            writer.length(hash.len(self.now_ms) as u64);
        }
        let next = hash.walk(from as usize, |fields| {
            let mut bytes = 0;
            for field in fields.iter().filter(|field| !hash::is_due(field.deadline(), self.now_ms)) {
                if let Some(earliest) = earliest {
                    // So that 0 is none.
                    writer.length(field.deadline().map_or(0, |deadline| deadline.abs_diff(earliest) + 1));
                }
                writer.string(field.name());
                writer.string(field.value());
                bytes += field.name().len() + field.value().len() + 2;
            }
            budget.is_spent(bytes)
        });
        next.map(|slot| slot as u64)
    }

    /// The number of bytes that [`Saving::write`] writes.
    pub fn bytes(self, compress: bool) -> usize {
        let mut writer = Writer { out: Count(0), compress };
        self.write(&mut writer);
        writer.out.0
    }
}

/// Bytes that may still be written.
struct Budget(usize);

impl Budget {
    /// Whether nothing is left after so many more bytes.
    fn is_spent(&mut self, bytes: usize) -> bool {
        self.0 = self.0.saturating_sub(bytes);
        self.0 == 0
    }
}

fn write_node(writer: &mut Writer<impl Output>, items: Items<'_>) {
    writer.length(NODE_PACKED);
    writer.string(&listpack::from_items(items.bytes, items.count));
}

/// Only counts.
struct Count(usize);

impl Output for Count {
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
}
