//! One key with its value, in one allocation.
//!
//! The table of a shard holds only a thin pointer per key. What it points to is laid out for the size class
//! of the allocator rather than for the compiler's convenience:
//!
//! ```text
//! offset  0             1        2            4             8
//!         ┌─────────────┬────────┬────────────┬─────────────┬─────────────┬───────────────┬─────┬─────────┐
//!         │ kind, flags │ key    │ payload    │ access      │ deadline ms │ key len (u64) │ key │ payload │
//!         │ 4 bits each │ len u8 │ len u16    │ (AtomicU32) │ if DEADLINE │ if LONG       │     │         │
//!         └─────────────┴────────┴────────────┴─────────────┴─────────────┴───────────────┴─────┴─────────┘
//! ```
//!
//! A 16-byte key with a 16-byte value takes 40 bytes, 48 with a deadline. The payload is the value's bytes (a
//! string, or a small collection in one piece), an integer (8 bytes), or a pointer to an [`Object`]. Knows
//! nothing of tables, locks or commands.
//!
//! # Invariants of the `unsafe` code
//! - `Entry` owns an allocation of exactly [`Header::allocation_bytes`] bytes, aligned to 8, whose header and
//!   key are never changed after construction except `access` (atomic) and `deadline` (through `&mut`).
//! - All bytes of the allocation are initialised, so that slices into it may be formed.
//! - If the flag FAR says so, the payload is the pointer of one `Box<Object>`, which the entry owns.

use super::access::Access;
use crate::types::hash::Hash;
use crate::types::list::List;
use crate::types::member::Member;
use crate::types::packed::{self, Buffer};
use crate::types::sorted_set::SortedSet;
use crate::types::stream::Stream;
use crate::types::table::{Step, Table};
use bytes::{Bytes, BytesMut};
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error, realloc};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

/// The longest value that is kept inside the entry. Larger ones are reference-counted, so that a reply can
/// share them; below, copying costs less than the sharing (about a microsecond at this size).
pub const MAX_INLINE_BYTES: usize = 16 * 1024;

/// The longest string whose encoding Redis calls `embstr` (its `OBJ_ENCODING_EMBSTR_SIZE_LIMIT`).
const MAX_EMBSTR_BYTES: usize = 44;

/// The deadline of a key that never expires, as the wire and `EXPIRETIME` call it.
pub const NO_DEADLINE: i64 = -1;

/// A value too large or too rich to stand inside its entry.
#[derive(Clone, Debug)]
pub enum Object {
    List(List),
    /// A collection in one piece of more than [`MAX_INLINE_BYTES`].
    Packed(Vec<u8>),
    Hash(Box<Hash>),
    /// A set that is not kept in one piece.
    Set(Table<Member>),
    /// A sorted set of its own.
    SortedSet(Box<SortedSet>),
    /// A string of more than [`MAX_INLINE_BYTES`].
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

    /// Asks the processor for memory on the way to an element.
    pub fn prefetch(&self, element: &[u8], step: Step) {
        match self {
            Object::List(_)
            | Object::Packed(_)
            | Object::SortedSet(_)
            | Object::Stream(_)
            | Object::String(_) => {}
            Object::Hash(hash) => hash.prefetch(element, step),
            Object::Set(table) => table.prefetch(element, step),
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
    const ALL: [Kind; 13] = [
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

    /// Whether the value is bytes that [`Entry::packed`] shows.
    fn is_packed(self) -> bool {
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

const KIND_MASK: u8 = 0x0f;

const FLAG_DEADLINE: u8 = 1 << 4;
/// The key's length does not fit the header and stands before the key.
const FLAG_LONG: u8 = 1 << 5;
/// The string was modified in place, which OBJECT ENCODING shows as `raw`.
const FLAG_RAW: u8 = 1 << 6;
/// The payload is the pointer of an [`Object`].
const FLAG_FAR: u8 = 1 << 7;

/// The longest key whose length fits the header.
const MAX_SHORT_KEY_BYTES: usize = u8::MAX as usize;
const _: () = assert!(MAX_INLINE_BYTES <= u16::MAX as usize);

#[repr(C, align(8))]
struct Header {
    /// The kind in the low half, flags in the high half.
    tag: u8,
    short_key_len: u8,
    payload_len: u16,
    access: AtomicU32,
}

impl Header {
    #[inline]
    fn kind(&self) -> Kind {
        Kind::ALL[(self.tag & KIND_MASK) as usize]
    }

    #[inline]
    fn is(&self, kind: Kind) -> bool {
        self.tag & KIND_MASK == kind as u8
    }

    /// A string inside the entry.
    #[inline]
    fn is_inline_string(&self) -> bool {
        self.tag & (KIND_MASK | FLAG_FAR) == Kind::Bytes as u8
    }

    #[inline]
    fn has(&self, flag: u8) -> bool {
        self.tag & flag != 0
    }

    /// The value is now of this kind and stands inside the entry.
    fn set_inline(&mut self, kind: Kind) {
        self.tag = self.tag & !(KIND_MASK | FLAG_FAR) | kind as u8;
    }
}

const HEADER_BYTES: usize = size_of::<Header>();

/// One key with its value: see the module's head.
#[repr(transparent)]
pub struct Entry(NonNull<Header>);

// SAFETY: an entry owns all that it points to; shared access mutates nothing but the atomic field.
unsafe impl Send for Entry {}
// SAFETY: as above.
unsafe impl Sync for Entry {}

/// Sizes and offsets of one entry, derived from its header or from what it shall hold.
#[derive(Clone, Copy)]
struct Shape {
    deadline: bool,
    key_len: usize,
    payload_len: usize,
}

impl Shape {
    fn is_long(&self) -> bool {
        self.key_len > MAX_SHORT_KEY_BYTES
    }

    fn long_len_at(&self) -> usize {
        HEADER_BYTES + 8 * self.deadline as usize
    }

    fn key_at(&self) -> usize {
        self.long_len_at() + 8 * self.is_long() as usize
    }

    fn payload_at(&self) -> usize {
        self.key_at() + self.key_len
    }

    fn layout(&self) -> Layout {
        Layout::from_size_align(self.payload_at() + self.payload_len, align_of::<Header>())
            .expect("keys and inline values are below 4 GiB")
    }
}

impl Entry {
    /// Makes an entry. `deadline_ms` is a Unix time in milliseconds.
    pub fn new(key: &[u8], value: Value<'_>, deadline_ms: Option<i64>, access: Access) -> Entry {
        let build = |kind, bytes: &[u8]| Self::build(key, kind, 0, bytes, deadline_ms, access);
        match value {
            Value::Int(n) => build(Kind::Int, &n.to_ne_bytes()),
            Value::Bytes(bytes) if bytes.len() <= MAX_INLINE_BYTES => build(Kind::Bytes, bytes),
            Value::Shared(bytes) if bytes.len() <= MAX_INLINE_BYTES => build(Kind::Bytes, &bytes),
            Value::Packed(kind, bytes) if bytes.len() <= MAX_INLINE_BYTES => build(kind, bytes),
            Value::Bytes(bytes) => {
                let object = Object::String(Bytes::copy_from_slice(bytes));
                Self::with_object(key, Kind::Bytes, object, deadline_ms, access)
            }
            Value::Shared(bytes) => {
                Self::with_object(key, Kind::Bytes, Object::String(bytes), deadline_ms, access)
            }
            Value::Packed(kind, bytes) => {
                Self::with_object(key, kind, Object::Packed(bytes.to_vec()), deadline_ms, access)
            }
            Value::Object(kind, object) => Self::with_object(key, kind, object, deadline_ms, access),
        }
    }

    fn with_object(
        key: &[u8],
        kind: Kind,
        object: Object,
        deadline_ms: Option<i64>,
        access: Access,
    ) -> Entry {
        let pointer = Box::into_raw(Box::new(object)) as usize;
        Self::build(key, kind, FLAG_FAR, &pointer.to_ne_bytes(), deadline_ms, access)
    }

    /// `flags` are FAR and RAW.
    fn build(
        key: &[u8],
        kind: Kind,
        flags: u8,
        payload: &[u8],
        deadline_ms: Option<i64>,
        access: Access,
    ) -> Entry {
        let shape = Shape { deadline: deadline_ms.is_some(), key_len: key.len(), payload_len: payload.len() };
        assert!(u32::try_from(key.len()).is_ok(), "a key is at most 512 MB");
        let layout = shape.layout();
        let long = shape.is_long();
        // SAFETY: the layout is not empty; every byte of it is written before the entry is handed out: the
        // header, then deadline and lengths where the shape has them, then key and payload up to the end.
        unsafe {
            let base = alloc(layout);
            let Some(pointer) = NonNull::new(base) else { handle_alloc_error(layout) };
            pointer.cast::<Header>().write(Header {
                tag: kind as u8 | flags | (FLAG_DEADLINE * shape.deadline as u8) | (FLAG_LONG * long as u8),
                short_key_len: if long { 0 } else { key.len() as u8 },
                payload_len: payload.len() as u16,
                access: AtomicU32::new(access.0),
            });
            if let Some(deadline) = deadline_ms {
                base.add(HEADER_BYTES).cast::<i64>().write(deadline);
            }
            if long {
                base.add(shape.long_len_at()).cast::<u64>().write(key.len() as u64);
            }
            base.add(shape.key_at()).copy_from_nonoverlapping(key.as_ptr(), key.len());
            base.add(shape.payload_at()).copy_from_nonoverlapping(payload.as_ptr(), payload.len());
            Entry(pointer.cast())
        }
    }

    #[inline]
    fn header(&self) -> &Header {
        // SAFETY: the pointer is valid for the entry's life and the header is initialised.
        unsafe { self.0.as_ref() }
    }

    #[inline]
    fn base(&self) -> *mut u8 {
        self.0.as_ptr().cast()
    }

    #[inline]
    fn shape(&self) -> Shape {
        let header = self.header();
        let deadline = header.has(FLAG_DEADLINE);
        let payload_len = header.payload_len as usize;
        if !header.has(FLAG_LONG) {
            return Shape { deadline, key_len: header.short_key_len as usize, payload_len };
        }
        // SAFETY: a LONG entry has its key's length at this offset, which is a multiple of 8.
        let key_len =
            unsafe { self.base().add(HEADER_BYTES + 8 * deadline as usize).cast::<u64>().read() as usize };
        Shape { deadline, key_len, payload_len }
    }

    /// The address of the entry, for prefetching only.
    pub fn address(&self) -> *const u8 {
        self.base()
    }

    #[inline]
    pub fn key(&self) -> &[u8] {
        let shape = self.shape();
        // SAFETY: the key's bytes lie here, initialised, and are not changed while `self` is borrowed.
        unsafe { std::slice::from_raw_parts(self.base().add(shape.key_at()), shape.key_len) }
    }

    #[inline]
    fn payload(&self, shape: Shape) -> &[u8] {
        // SAFETY: as for the key.
        unsafe { std::slice::from_raw_parts(self.base().add(shape.payload_at()), shape.payload_len) }
    }

    fn pointer_payload(&self) -> *mut Object {
        debug_assert!(self.header().has(FLAG_FAR));
        // SAFETY: a FAR entry's payload is a pointer's bytes, not aligned.
        unsafe { self.base().add(self.shape().payload_at()).cast::<*mut Object>().read_unaligned() }
    }

    /// The object behind the entry, if its value does not stand inside it.
    pub fn object(&self) -> Option<&Object> {
        // SAFETY: the pointer came from a box that this entry owns.
        self.header().has(FLAG_FAR).then(|| unsafe { &*self.pointer_payload() })
    }

    /// The object behind the entry, to be changed in place.
    pub fn object_mut(&mut self) -> Option<&mut Object> {
        // SAFETY: the pointer came from a box that this entry owns, and `self` is borrowed exclusively.
        self.header().has(FLAG_FAR).then(|| unsafe { &mut *self.pointer_payload() })
    }

    #[inline]
    pub fn kind(&self) -> Kind {
        self.header().kind()
    }

    #[inline]
    pub fn value_type(&self) -> Type {
        self.kind().value_type()
    }

    /// Gives the entry another value of any type; key, deadline and access stay.
    pub fn set_value(&mut self, value: Value<'_>) {
        *self = Entry::new(self.key(), value, self.deadline(), self.access());
    }

    /// The bytes of a collection that is kept in one piece.
    pub fn packed(&self) -> Option<&[u8]> {
        if !self.kind().is_packed() {
            return None;
        }
        match self.object() {
            None => Some(self.payload(self.shape())),
            Some(Object::Packed(bytes)) => Some(bytes),
            Some(_) => None,
        }
    }

    /// The bytes of a collection that is kept in one piece, to be changed in place.
    pub fn packed_mut(&mut self) -> Option<&mut [u8]> {
        if !self.kind().is_packed() {
            return None;
        }
        if self.header().has(FLAG_FAR) {
            return match self.object_mut() {
                Some(Object::Packed(bytes)) => Some(bytes),
                _ => None,
            };
        }
        let shape = self.shape();
        // SAFETY: the payload's bytes lie here, and `self` is borrowed exclusively.
        Some(unsafe {
            std::slice::from_raw_parts_mut(self.base().add(shape.payload_at()), shape.payload_len)
        })
    }

    /// Replaces `removed` bytes at `at` of a collection that is kept in one piece. Grows within the allocator's
    /// size class without moving, and moves out of the entry when it gets too long for it.
    ///
    /// # Panics
    /// If the value is no such collection, or does not have these bytes.
    pub fn splice_packed(&mut self, at: usize, removed: usize, inserted: &[u8]) {
        self.splice_with(at, removed, inserted.len(), |place| place.copy_from_slice(inserted));
    }

    /// The value if it is a string.
    #[inline]
    pub fn string(&self) -> Option<StringRef<'_>> {
        let header = self.header();
        if header.is_inline_string() {
            return Some(StringRef::Inline(self.payload(self.shape())));
        }
        if header.is(Kind::Int) {
            let mut n = [0; 8];
            n.copy_from_slice(self.payload(self.shape()));
            return Some(StringRef::Int(i64::from_ne_bytes(n)));
        }
        match self.object() {
            Some(Object::String(bytes)) => Some(StringRef::Shared(bytes)),
            _ => None,
        }
    }

    /// Overwrites the value in place if it has the same kind and size class; `false` if it must be rebuilt.
    /// The deadline is not touched.
    pub fn overwrite(&mut self, value: &Value<'_>) -> bool {
        let shape = self.shape();
        let (kind, bytes): (Kind, &[u8]) = match value {
            Value::Int(n) => (Kind::Int, &n.to_ne_bytes()),
            Value::Bytes(bytes) => (Kind::Bytes, bytes),
            Value::Packed(kind, bytes) => (*kind, bytes),
            Value::Shared(_) | Value::Object(..) => return false,
        };
        let same = Shape { payload_len: bytes.len(), ..shape };
        if self.header().has(FLAG_FAR) || same.layout() != shape.layout() {
            return false;
        }
        // SAFETY: the payload has exactly this length, and `self` is borrowed exclusively.
        unsafe {
            self.base().add(shape.payload_at()).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            let header = self.0.as_mut();
            header.set_inline(kind);
            header.tag &= !FLAG_RAW;
        }
        true
    }

    /// Marks a string that was modified in place, for OBJECT ENCODING.
    pub fn mark_raw(&mut self) {
        // SAFETY: `self` is borrowed exclusively.
        unsafe { self.0.as_mut() }.tag |= FLAG_RAW;
    }

    pub fn is_raw(&self) -> bool {
        self.header().has(FLAG_RAW)
    }

    /// The inline string's bytes, to be changed in place.
    pub fn inline_mut(&mut self) -> Option<&mut [u8]> {
        self.header().is_inline_string().then(|| self.payload_mut())
    }

    fn payload_mut(&mut self) -> &mut [u8] {
        let shape = self.shape();
        // SAFETY: the payload's bytes lie here, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.base().add(shape.payload_at()), shape.payload_len) }
    }

    /// Grows (with zeros) or shrinks bytes that stand inside the entry, which must stay within
    /// [`MAX_INLINE_BYTES`]. Grows within the allocator's size class without moving.
    pub fn resize_inline(&mut self, len: usize) {
        assert!(!self.header().has(FLAG_FAR) && !self.header().is(Kind::Int) && len <= MAX_INLINE_BYTES);
        let old = self.shape();
        let new = Shape { payload_len: len, ..old };
        // SAFETY: the allocation has the old layout; after growing, the new bytes are zeroed before anybody
        // can see them, and the length in the header matches the new layout.
        unsafe {
            let base = realloc(self.base(), old.layout(), new.layout().size());
            let Some(pointer) = NonNull::new(base) else { handle_alloc_error(new.layout()) };
            self.0 = pointer.cast();
            if len > old.payload_len {
                base.add(old.payload_at() + old.payload_len).write_bytes(0, len - old.payload_len);
            }
            self.0.as_mut().payload_len = len as u16;
        }
    }

    /// Writes `data` at `offset` into the string a client sees (the value has to be one), which grows as needed; a gap is filled with
    /// zeros. The string is raw from then on. Growing is amortised: a short one grows within the allocator's
    /// size classes, a long one into room that doubles, unless a reply still shares it and it must be copied.
    pub fn write_at(&mut self, offset: usize, data: &[u8]) {
        let end = offset + data.len();
        self.make_room(end);
        match self.inline_mut() {
            Some(bytes) => bytes[offset..end].copy_from_slice(data),
            None => self.edit_long(|bytes| {
                if offset == bytes.len() {
                    return bytes.extend_from_slice(data);
                }
                if end > bytes.len() {
                    bytes.resize(end, 0);
                }
                bytes[offset..end].copy_from_slice(data);
            }),
        }
        self.mark_raw();
    }

    /// Lets `edit` change the bytes of the string a client sees (the value has to be one), after it has grown with
    /// zeros to `len` bytes if it was shorter. The string is raw from then on. Nothing is copied unless the
    /// entry has to move, or a reply still shares a long string.
    pub fn edit<R>(&mut self, len: usize, edit: impl FnOnce(&mut [u8]) -> R) -> R {
        self.make_room(len);
        self.mark_raw();
        if let Some(bytes) = self.inline_mut() {
            return edit(bytes);
        }
        self.edit_long(|bytes| {
            if bytes.len() < len {
                bytes.resize(len, 0);
            }
            edit(bytes)
        })
    }

    /// Gives a string other bytes, in place if it is short. The string is raw from then on.
    pub fn rewrite(&mut self, bytes: &[u8]) {
        match self.string() {
            Some(StringRef::Inline(_)) if bytes.len() <= MAX_INLINE_BYTES => {
                self.resize_inline(bytes.len());
                self.inline_mut().expect("an inline string").copy_from_slice(bytes);
            }
            _ => self.set_value(Value::Bytes(bytes)),
        }
        self.mark_raw();
    }

    /// Makes an integer or a short string one that can be written to up to `end`: bytes inside the entry, grown
    /// as needed, or bytes outside of it.
    fn make_room(&mut self, end: usize) {
        if let Some(StringRef::Int(n)) = self.string() {
            self.set_value(Value::Bytes(itoa::Buffer::new().format(n).as_bytes()));
        }
        if !self.header().is_inline_string() {
            return;
        }
        let len = self.shape().payload_len;
        if end > MAX_INLINE_BYTES {
            // Zeroed at once: for hundreds of megabytes the system does that page by page as they are used.
            let mut long = BytesMut::zeroed(end);
            long[..len].copy_from_slice(self.payload(self.shape()));
            self.set_value(Value::Object(Kind::Bytes, Object::String(long.freeze())));
        } else if end > len {
            self.resize_inline(end);
        }
    }

    /// Lets `edit` change a string that stands outside of the entry.
    fn edit_long<R>(&mut self, edit: impl FnOnce(&mut BytesMut) -> R) -> R {
        let Some(Object::String(shared)) = self.object_mut() else { unreachable!("a string") };
        let mut bytes =
            std::mem::take(shared).try_into_mut().unwrap_or_else(|shared| BytesMut::from(&*shared));
        let result = edit(&mut bytes);
        *shared = bytes.freeze();
        result
    }

    /// When the key expires: Unix time in milliseconds.
    #[inline]
    pub fn deadline(&self) -> Option<i64> {
        // SAFETY: an entry with the flag has its deadline behind the header, aligned.
        (self.header().has(FLAG_DEADLINE))
            .then(|| unsafe { self.base().add(HEADER_BYTES).cast::<i64>().read() })
    }

    /// Sets or removes the deadline; the entry moves if it gains or loses the field.
    pub fn set_deadline(&mut self, deadline_ms: Option<i64>) {
        match (self.header().has(FLAG_DEADLINE), deadline_ms) {
            (true, Some(deadline)) => {
                // SAFETY: as in `deadline`, borrowed exclusively.
                unsafe { self.base().add(HEADER_BYTES).cast::<i64>().write(deadline) }
            }
            (false, None) => {}
            _ => {
                *self = self.moved(None, deadline_ms);
            }
        }
    }

    /// The same value and deadline under another key. The entry is used up.
    pub fn renamed(mut self, key: &[u8]) -> Entry {
        let deadline = self.deadline();
        self.moved(Some(key), deadline)
    }

    /// The value in a new allocation, under another key if one is given. This entry is only to be dropped.
    fn moved(&mut self, key: Option<&[u8]>, deadline_ms: Option<i64>) -> Entry {
        let (kind, flags) = (self.kind(), self.header().tag & (FLAG_RAW | FLAG_FAR));
        let key = key.unwrap_or_else(|| self.key());
        let entry = Self::build(key, kind, flags, self.payload(self.shape()), deadline_ms, self.access());
        // SAFETY: `self` is borrowed exclusively. It loses its claim on the object, which is the new entry's now.
        unsafe { self.0.as_mut() }.set_inline(Kind::Bytes);
        entry
    }

    /// A copy of the value and its deadline under another key; a large string is shared.
    pub fn copied(&self, key: &[u8], access: Access) -> Entry {
        let (kind, flags) = (self.kind(), self.header().tag & FLAG_RAW);
        match self.object() {
            Some(object) => Self::with_object(key, kind, object.clone(), self.deadline(), access),
            None => Self::build(key, kind, flags, self.payload(self.shape()), self.deadline(), access),
        }
    }

    #[inline]
    pub fn access(&self) -> Access {
        Access(self.header().access.load(Ordering::Relaxed))
    }

    /// Records an access. Readers may race here: either's record is good.
    #[inline]
    pub fn set_access(&self, access: Access) {
        let cell = &self.header().access;
        if cell.load(Ordering::Relaxed) != access.0 {
            cell.store(access.0, Ordering::Relaxed);
        }
    }

    /// How the value is kept, as OBJECT ENCODING replies.
    pub fn encoding_name(&self) -> &'static str {
        match self.kind() {
            Kind::Int => "int",
            Kind::Bytes => match self.string() {
                Some(StringRef::Inline(bytes)) if bytes.len() <= MAX_EMBSTR_BYTES && !self.is_raw() => {
                    "embstr"
                }
                _ => "raw",
            },
            Kind::PackedList | Kind::PackedHash | Kind::PackedSet | Kind::PackedSortedSet => "listpack",
            Kind::TimedPackedHash => "listpackex",
            Kind::List => match self.object() {
                Some(Object::List(list)) if list.limit().is_none() => "listpack",
                _ => "quicklist",
            },
            Kind::Hash | Kind::Set => "hashtable",
            Kind::IntSet => "intset",
            Kind::SortedSet => "skiplist",
            Kind::Stream => "stream",
        }
    }

    /// Bytes allocated for the entry and what it owns, as asked of the allocator.
    pub fn heap_bytes(&self) -> usize {
        self.shape().layout().size() + self.object().map_or(0, Object::heap_bytes)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let layout = self.shape().layout();
        // SAFETY: the entry owns the object (if any) and the allocation of this layout, and is never used
        // again.
        unsafe {
            if self.header().has(FLAG_FAR) {
                drop(Box::from_raw(self.pointer_payload()));
            }
            dealloc(self.base(), layout);
        }
    }
}

/// A collection that is kept in one piece; anything else counts as empty, and must not be changed in this way.
impl Buffer for Entry {
    fn bytes(&self) -> &[u8] {
        self.packed().unwrap_or_default()
    }

    fn splice(&mut self, at: usize, removed: usize, inserted: &[u8]) {
        self.splice_packed(at, removed, inserted);
    }

    fn splice_with(&mut self, at: usize, removed: usize, len: usize, write: impl FnOnce(&mut [u8])) {
        let kind = self.kind();
        assert!(kind.is_packed(), "a packed value");
        if let Some(object) = self.object_mut() {
            let Object::Packed(bytes) = object else { unreachable!("a packed value is kept as bytes") };
            return write(packed::open(bytes, at, removed, len));
        }
        let old_len = self.shape().payload_len;
        assert!(at + removed <= old_len, "bytes within the value");
        let new_len = old_len - removed + len;
        if new_len > MAX_INLINE_BYTES {
            let mut bytes = Vec::with_capacity(new_len * 2);
            let old = self.payload(self.shape());
            bytes.extend_from_slice(&old[..at]);
            bytes.resize(at + len, 0);
            write(&mut bytes[at..]);
            bytes.extend_from_slice(&old[at + removed..]);
            self.set_value(Value::Object(kind, Object::Packed(bytes)));
            return;
        }
        if new_len > old_len {
            self.resize_inline(new_len);
        }
        let bytes = self.payload_mut();
        if len != removed {
            bytes.copy_within(at + removed..old_len, at + len);
        }
        write(&mut bytes[at..at + len]);
        if new_len < old_len {
            self.resize_inline(new_len);
        }
    }

    fn overwrite(&mut self, at: usize, bytes: &[u8]) {
        assert!(self.kind().is_packed(), "a packed value");
        let all = match self.object_mut() {
            Some(Object::Packed(all)) => all,
            Some(_) => unreachable!("a packed value is kept as bytes"),
            None => self.payload_mut(),
        };
        all[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Entry {}

/// By key, as the table needs it.
impl std::hash::Hash for Entry {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write(self.key());
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn text(entry: &Entry) -> Vec<u8> {
        entry.string().expect("a string").with(<[u8]>::to_vec)
    }

    #[test]
    fn sizes_are_as_drawn() {
        let key = [b'k'; 16];
        let entry = |value, deadline| Entry::new(&key, value, deadline, Access(0));
        assert_eq!(entry(Value::Bytes(&[b'v'; 16]), None).heap_bytes(), 40);
        assert_eq!(entry(Value::Bytes(&[b'v'; 16]), Some(5)).heap_bytes(), 48);
        assert_eq!(entry(Value::Int(7), None).heap_bytes(), 32);
        assert_eq!(entry(Value::Bytes(&[b'v'; 1000]), None).heap_bytes(), 1024);
    }

    #[test]
    fn every_shape_survives_every_change() {
        for key_len in [0, 1, 16, 255, 256, 70_000] {
            for value_len in [0, 1, 255, 256, MAX_INLINE_BYTES, MAX_INLINE_BYTES + 1, 100_000] {
                let key: Vec<u8> = (0..key_len).map(|i| i as u8).collect();
                let value: Vec<u8> = (0..value_len).map(|i| (i * 7) as u8).collect();
                let mut entry = Entry::new(&key, Value::Bytes(&value), None, Access(9));
                for deadline in [Some(1), Some(i64::MAX), None, None, Some(-5), None] {
                    entry.set_deadline(deadline);
                    assert_eq!(entry.deadline(), deadline);
                    assert_eq!((entry.key(), text(&entry)), (key.as_slice(), value.clone()));
                }
                assert_eq!(entry.access(), Access(9));
                entry.set_deadline(Some(77));
                let copy = entry.copied(b"copy", Access(1));
                let entry = entry.renamed(b"other");
                assert_eq!(
                    (entry.key(), text(&entry), entry.deadline()),
                    (&b"other"[..], value.clone(), Some(77))
                );
                assert_eq!((copy.key(), text(&copy), copy.deadline()), (&b"copy"[..], value, Some(77)));
            }
        }
    }

    #[test]
    fn writing_into_a_string_is_like_writing_into_a_vector() {
        for start in [0, 1, 44, 250, MAX_INLINE_BYTES - 3, MAX_INLINE_BYTES, 50_000] {
            let mut expected: Vec<u8> = (0..start).map(|i| i as u8).collect();
            let mut entry = Entry::new(b"key", Value::Bytes(&expected), Some(3), Access(8));
            for (offset, len) in
                [(0, 1), (start, 3), (start + 5, 2), (2, 300), (start + 16_000, 2_000), (17, 4)]
            {
                let data: Vec<u8> = (0..len).map(|i| (i * 3) as u8).collect();
                expected.resize(expected.len().max(offset + len), 0);
                expected[offset..offset + len].copy_from_slice(&data);
                entry.write_at(offset, &data);
                assert_eq!(text(&entry), expected);
                assert_eq!(
                    (entry.key(), entry.deadline(), entry.access()),
                    (&b"key"[..], Some(3), Access(8))
                );
            }
        }
        let mut number = Entry::new(b"key", Value::Int(-15), None, Access(0));
        assert_eq!(number.encoding_name(), "int");
        number.write_at(3, b"0");
        assert_eq!((text(&number), number.encoding_name()), (b"-150".to_vec(), "raw"));
    }

    #[test]
    fn a_long_string_that_a_reply_shares_is_not_changed_under_it() {
        let mut entry = Entry::new(b"key", Value::Bytes(&[7; 20_000]), None, Access(0));
        let Some(StringRef::Shared(bytes)) = entry.string() else { panic!("long strings are shared") };
        let reply = bytes.clone();
        entry.write_at(0, b"x");
        assert_eq!((reply[0], text(&entry)[0]), (7, b'x'));
    }

    #[test]
    fn editing_in_place() {
        for start in [0, 5, MAX_INLINE_BYTES, MAX_INLINE_BYTES + 1, 50_000] {
            for len in [0, 3, 20_000, 60_000] {
                let mut expected = vec![7; start];
                let mut entry = Entry::new(b"key", Value::Bytes(&expected), Some(3), Access(8));
                expected.resize(start.max(len), 0);
                if let Some(last) = expected.last_mut() {
                    *last = 9;
                }
                let seen = entry.edit(len, |bytes| {
                    if let Some(last) = bytes.last_mut() {
                        *last = 9;
                    }
                    bytes.len()
                });
                assert_eq!((seen, text(&entry)), (expected.len(), expected));
                assert_eq!((entry.key(), entry.deadline(), entry.is_raw()), (&b"key"[..], Some(3), true));
            }
        }
        let mut long = Entry::new(b"key", Value::Bytes(&[7; 50_000]), None, Access(0));
        let address = |entry: &Entry| entry.string().unwrap().with(<[u8]>::as_ptr);
        let before = address(&long);
        long.edit(50_000, |bytes| bytes[49_999] = 1);
        assert_eq!(address(&long), before, "a long string is not copied for one byte");
        let Some(StringRef::Shared(bytes)) = long.string() else { panic!("long strings are shared") };
        let reply = bytes.clone();
        long.edit(0, |bytes| bytes[0] = 1);
        assert_eq!((reply[0], text(&long)[0]), (7, 1), "but for a reply that is on its way");
        for value in [Value::Int(-15), Value::Bytes(b"abc"), Value::Bytes(&[1; 20_000])] {
            let mut entry = Entry::new(b"key", value, Some(1), Access(0));
            for len in [2, 300, 1, 30_000, 4] {
                entry.rewrite(&vec![b'x'; len]);
                assert_eq!((text(&entry), entry.deadline()), (vec![b'x'; len], Some(1)));
                assert_eq!(entry.encoding_name(), "raw");
            }
        }
    }

    #[test]
    fn appending_to_a_long_string_seldom_moves_it() {
        let mut entry = Entry::new(b"key", Value::Bytes(&[7; 20_000]), None, Access(0));
        let address = |entry: &Entry| entry.string().unwrap().with(<[u8]>::as_ptr);
        let mut moves = 0;
        for n in 0..200_000 {
            let before = address(&entry);
            entry.write_at(20_000 + n, b"x");
            moves += (address(&entry) != before) as u32;
        }
        assert!(moves <= 10, "{moves} moves");
    }

    #[test]
    fn inline_strings_resize_and_overwrite_in_place() {
        let mut entry = Entry::new(b"key", Value::Bytes(b"abc"), Some(4), Access(0));
        entry.resize_inline(300);
        assert_eq!(&text(&entry)[..4], b"abc\0");
        assert_eq!(text(&entry).len(), 300);
        entry.resize_inline(2);
        assert_eq!((text(&entry), entry.deadline(), entry.key()), (b"ab".to_vec(), Some(4), &b"key"[..]));
        assert!(entry.overwrite(&Value::Bytes(b"xy")));
        assert!(!entry.overwrite(&Value::Bytes(b"xyz")));
        entry.resize_inline(8);
        assert!(entry.overwrite(&Value::Int(-3)));
        assert_eq!(text(&entry), b"-3");
        let mut large = Entry::new(b"key", Value::Bytes(&[1; 20_000]), None, Access(0));
        assert!(!large.overwrite(&Value::Bytes(b"12345678")));
        assert_eq!(text(&large).len(), 20_000);
    }
}
