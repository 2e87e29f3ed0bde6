//! What an entry may hold: the types of values, the forms that they are kept in, and those too large or too rich to
//! stand inside an entry. Knows nothing of how entries are laid out.

use crate::types::hash::Hash;
use crate::types::list::List;
use crate::types::member::Member;
use crate::types::prefetch::{Step, Target};
use crate::types::sorted_set::SortedSet;
use crate::types::stream::Stream;
use crate::types::table::Table;
use bytes::Bytes;

/// A value too large or too rich to stand inside its entry.
#[derive(Clone, Debug)]
pub enum Object {
    List(List),
    /// A collection in one piece of more than [`MAX_INLINE_BYTES`](super::MAX_INLINE_BYTES).
    Packed(Vec<u8>),
    Hash(Box<Hash>),
    /// A set that is not kept in one piece.
    Set(Table<Member>),
    /// A sorted set of its own.
    SortedSet(Box<SortedSet>),
    /// A string of more than [`MAX_INLINE_BYTES`](super::MAX_INLINE_BYTES).
    String(Bytes),
    Stream(Box<Stream>),
}

impl Object {
    /// Bytes allocated for the object, itself included, as asked of the allocator.
    pub fn heap_bytes(&self) -> usize {
        let beyond = match self {
            Object::List(list) => list.heap_bytes(),
            Object::Packed(bytes) => bytes.capacity(),
            Object::Hash(hash) => size_of::<Hash>() + hash.heap_bytes(),
            Object::Set(table) => table.heap_bytes(),
            Object::SortedSet(set) => size_of::<SortedSet>() + set.heap_bytes(),
            Object::String(bytes) => bytes.len(),
            Object::Stream(stream) => stream.heap_bytes(),
        };
        size_of::<Object>() + beyond
    }

    /// Asks the processor for memory on the way to what is wanted.
    pub fn prefetch(&self, target: Target<'_>, step: Step) {
        match (self, target) {
            (Object::SortedSet(set), target) => set.prefetch(target, step),
            (Object::Hash(hash), Target::Element(element)) => hash.prefetch(element, step),
            (Object::Set(table), Target::Element(element)) => table.prefetch(element, step),
            _ => {}
        }
    }

    /// About how many allocations it takes to keep the object.
    pub fn allocations(&self) -> usize {
        match self {
            Object::List(list) => list.blocks(),
            Object::Packed(_) | Object::String(_) => 1,
            Object::Hash(hash) => hash.fields(),
            Object::Set(table) => table.len(),
            Object::SortedSet(set) => set.len(),
            Object::Stream(stream) => stream.pieces(),
        }
    }
}

/// What a value is to clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Type {
    String,
    List,
    Set,
    SortedSet,
    Hash,
    Stream,
}

impl Type {
    /// As TYPE replies.
    pub fn name(self) -> &'static str {
        match self {
            Type::String => "string",
            Type::List => "list",
            Type::Set => "set",
            Type::SortedSet => "zset",
            Type::Hash => "hash",
            Type::Stream => "stream",
        }
    }
}

/// In what form a value is kept. *Packed* forms, and sets of integers, are plain bytes, as Redis has them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    Int,
    Bytes,
    PackedList,
    List,
    PackedHash,
    Hash,
    PackedSet,
    IntSet,
    Set,
    PackedSortedSet,
    SortedSet,
    Stream,
    /// A packed hash with room for the deadlines of its fields.
    TimedPackedHash,
}

impl Kind {
    /// All kinds, by their number.
    pub(super) const ALL: [Kind; 13] = [
        Kind::Int,
        Kind::Bytes,
        Kind::PackedList,
        Kind::List,
        Kind::PackedHash,
        Kind::Hash,
        Kind::PackedSet,
        Kind::IntSet,
        Kind::Set,
        Kind::PackedSortedSet,
        Kind::SortedSet,
        Kind::Stream,
        Kind::TimedPackedHash,
    ];

    pub fn value_type(self) -> Type {
        match self {
            Kind::Int | Kind::Bytes => Type::String,
            Kind::PackedList | Kind::List => Type::List,
            Kind::PackedHash | Kind::TimedPackedHash | Kind::Hash => Type::Hash,
            Kind::PackedSet | Kind::IntSet | Kind::Set => Type::Set,
            Kind::PackedSortedSet | Kind::SortedSet => Type::SortedSet,
            Kind::Stream => Type::Stream,
        }
    }

    /// Whether the value is bytes that [`Entry::packed`](super::Entry::packed) shows.
    pub(super) fn is_packed(self) -> bool {
        matches!(
            self,
            Kind::PackedList
                | Kind::PackedHash
                | Kind::TimedPackedHash
                | Kind::PackedSet
                | Kind::IntSet
                | Kind::PackedSortedSet
        )
    }
}

/// A value on its way into an entry.
#[derive(Debug)]
pub enum Value<'a> {
    Int(i64),
    /// Copied into the entry, or into a buffer of its own if it is long.
    Bytes(&'a [u8]),
    /// Shared, unless it is short enough to be copied.
    Shared(Bytes),
    /// A collection in one piece.
    Packed(Kind, &'a [u8]),
    /// A collection of its own, of this kind.
    Object(Kind, Object),
}

/// A string value in place.
#[derive(Clone, Copy, Debug)]
pub enum StringRef<'a> {
    Int(i64),
    Inline(&'a [u8]),
    Shared(&'a Bytes),
}

impl StringRef<'_> {
    /// The length in bytes of the string a client sees.
    pub fn len(&self) -> usize {
        match self {
            StringRef::Int(n) => itoa::Buffer::new().format(*n).len(),
            StringRef::Inline(bytes) => bytes.len(),
            StringRef::Shared(bytes) => bytes.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `f` with the bytes a client sees.
    #[inline]
    pub fn with<R>(&self, f: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            StringRef::Int(n) => f(itoa::Buffer::new().format(*n).as_bytes()),
            StringRef::Inline(bytes) => f(bytes),
            StringRef::Shared(bytes) => f(bytes),
        }
    }
}
