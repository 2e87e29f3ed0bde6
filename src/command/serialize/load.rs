//! Values on their way in.

use crate::command::hash::build::NewHash;
use crate::command::list::build::NewList;
use crate::command::set::value::NewSet;
use crate::command::sorted_set::build::NewSortedSet;
use crate::command::{hash, list, set, sorted_set};
use crate::config::Config;
use crate::keyspace::{Kind, NewValue, Object};
use crate::rdb::value::{self, Sink, kind};
use crate::rdb::{Corrupt, Source};
use crate::types::stream::Stream;

/// The directives that decide about the forms of values.
#[derive(Clone, Copy)]
pub struct Limits {
    list: list::value::Sizes,
    set: set::value::Limits,
    hash: hash::value::Limits,
    sorted_set: sorted_set::value::Limits,
}

impl Limits {
    pub fn of(config: &Config) -> Limits {
        Limits {
            list: list::value::Sizes::of_config(config),
            set: set::value::Limits::of(config),
            hash: hash::value::Limits::of_config(config),
            sorted_set: sorted_set::value::Limits::of_config(config),
        }
    }
}

/// Why there is no value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Problem {
    Corrupt(Corrupt),
    /// A collection without elements. (Some old versions of Redis left such keys in their files.)
    Empty,
}

impl From<Corrupt> for Problem {
    fn from(corrupt: Corrupt) -> Problem {
        Problem::Corrupt(corrupt)
    }
}

/// Reads a value of this [`kind`].
pub fn load(kind: u8, source: &mut impl Source, limits: Limits) -> Result<NewValue, Problem> {
    let mut builder = Builder::new(kind, limits);
    if !value::read(kind, source, &mut builder)? {
        return Err(Problem::Empty);
    }
    let made = match builder {
        Builder::Whole(value) => value,
        Builder::List(list) => Some(list.finish()),
        Builder::Set(set, _) => Some(set.finish()),
        Builder::Hash(hash) => hash.finish(),
        Builder::SortedSet(set) => set.finish(),
    };
    made.ok_or_else(|| source.corrupt(value::TWICE).into())
}

/// What there is of a value whose elements come in.
enum Builder {
    /// A string or a stream, as soon as it is there.
    Whole(Option<NewValue>),
    List(NewList),
    Set(NewSet, set::value::Limits),
    Hash(NewHash),
    SortedSet(NewSortedSet),
}

impl Builder {
    /// What was in one piece stays so whatever the length of its elements, as in Redis.
    fn new(kind: u8, limits: Limits) -> Builder {
        let Limits { list, set, hash, sorted_set } = limits;
        match kind {
            kind::LIST | kind::LIST_ZIPLIST | kind::LIST_QUICKLIST | kind::LIST_QUICKLIST_2 => {
                Builder::List(NewList::new(list))
            }
            kind::SET | kind::SET_INTSET => Builder::Set(NewSet::empty(Kind::IntSet), set),
            kind::SET_LISTPACK => Builder::Set(NewSet::empty(Kind::PackedSet), set.of_any_length()),
            kind::HASH | kind::HASH_ZIPMAP | kind::HASH_DEADLINES | kind::HASH_DEADLINES_EARLY => {
                Builder::Hash(NewHash::new(hash))
            }
            kind::HASH_ZIPLIST
            | kind::HASH_LISTPACK
            | kind::HASH_LISTPACK_DEADLINES
            | kind::HASH_LISTPACK_DEADLINES_EARLY => Builder::Hash(NewHash::new(hash.of_any_length())),
            kind::SORTED_SET | kind::SORTED_SET_TEXT => Builder::SortedSet(NewSortedSet::new(sorted_set)),
            kind::SORTED_SET_ZIPLIST | kind::SORTED_SET_LISTPACK => {
                Builder::SortedSet(NewSortedSet::new(sorted_set.of_any_length()))
            }
            _ => Builder::Whole(None),
        }
    }
}

impl Sink for Builder {
    fn string(&mut self, value: Vec<u8>) {
        *self = Builder::Whole(Some(NewValue::String(value.into())));
    }

    fn item(&mut self, item: &[u8]) {
        if let Builder::List(list) = self {
            list.add(item);
        }
    }

    fn several_blocks(&mut self) {
        if let Builder::List(list) = self {
            list.divide();
        }
    }

    fn member(&mut self, member: &[u8]) -> bool {
        match self {
            Builder::Set(set, limits) => set.add(member, *limits),
            _ => false,
        }
    }

    fn scored(&mut self, member: &[u8], score: f64) -> bool {
        match self {
            Builder::SortedSet(set) => set.add(member, score),
            _ => false,
        }
    }

    fn field(&mut self, field: &[u8], value: &[u8], deadline_ms: Option<i64>) -> bool {
        match self {
            Builder::Hash(hash) => hash.add(field, value, deadline_ms),
            _ => false,
        }
    }

    fn stream(&mut self, stream: Stream) {
        *self = Builder::Whole(Some(NewValue::Object(Kind::Stream, Object::Stream(Box::new(stream)))));
    }
}
