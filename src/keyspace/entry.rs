//! One key with its value, in one allocation.
//!
//! The table of a shard holds only a thin pointer per key. What it points to is laid out for the size class
//! of the allocator rather than for the compiler's convenience:
//!
//! ```text
//! offset  0             1        2            4             8
//!         ┌─────────────┬────────┬────────────┬─────────────┬─────────────┬───────────────┬─────┬─────────┐
//!         │ kind, flags │ key    │ payload    │ access      │ deadline ms │ key len (u64) │ key │ payload │
//!         │ 4 bits each │ len u8 │ len u16    │ (AtomicU32) │ if DEADLINE │ if it is long │     │         │
//!         └─────────────┴────────┴────────────┴─────────────┴─────────────┴───────────────┴─────┴─────────┘
//! ```
//!
//! A 16-byte key with a 16-byte value takes 40 bytes, 48 with a deadline. The payload is the value's bytes (a
//! string, or a small collection in one piece), an integer (8 bytes), or a pointer to an [`Object`]. This file knows
//! the layout; [`value`] what can be kept, [`string`] and [`packed`] how what is kept as bytes is read and changed.
//! Knows nothing of tables, locks or commands.
//!
//! # Invariants of the `unsafe` code
//! - `Entry` owns an allocation of exactly the [`Shape::layout`] that its header tells, aligned to 8. What decides
//!   about it (flags of shape, lengths) changes only together with the allocation; all else but `access`, which
//!   is atomic, changes through `&mut` only.
//! - All bytes of the allocation are initialised, so that slices into it may be formed.
//! - If the flag FAR says so, the payload is the pointer of one `Box<Object>`, which the entry owns.

mod packed;
mod string;
#[cfg(test)]
mod tests;
mod value;

pub use value::{Kind, Object, StringRef, Type, Value};

use super::access::Access;
use super::snapshot::Epoch;
use bytes::Bytes;
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

const KIND_MASK: u8 = 0x0f;

const FLAG_DEADLINE: u8 = 1 << 4;
/// The epoch of snapshots in which the entry was saved or came into being: they alternate.
const FLAG_EPOCH: u8 = 1 << 5;
/// The string was modified in place, which OBJECT ENCODING shows as `raw`.
const FLAG_RAW: u8 = 1 << 6;
/// The payload is the pointer of an [`Object`].
const FLAG_FAR: u8 = 1 << 7;

/// Instead of the key's length: it does not fit the header and stands before the key.
const LONG_KEY: u8 = u8::MAX;
/// The longest key whose length fits the header.
const MAX_SHORT_KEY_BYTES: usize = LONG_KEY as usize - 1;
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

    /// `flags` are FAR, RAW and EPOCH.
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
                tag: kind as u8 | flags | (FLAG_DEADLINE * shape.deadline as u8),
                short_key_len: if long { LONG_KEY } else { key.len() as u8 },
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

    fn header_mut(&mut self) -> &mut Header {
        // SAFETY: as above, and `self` is borrowed exclusively.
        unsafe { self.0.as_mut() }
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
        if header.short_key_len != LONG_KEY {
            return Shape { deadline, key_len: header.short_key_len as usize, payload_len };
        }
        // SAFETY: an entry with a long key has its length at this offset, which is a multiple of 8.
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
        let epoch = self.epoch();
        *self = Entry::new(self.key(), value, self.deadline(), self.access());
        self.set_epoch(epoch);
    }

    /// The epoch of snapshots in which the entry was saved or came into being.
    #[inline]
    pub(super) fn epoch(&self) -> Epoch {
        Epoch(self.header().has(FLAG_EPOCH))
    }

    #[inline]
    pub(super) fn set_epoch(&mut self, epoch: Epoch) {
        let header = self.header_mut();
        header.tag = header.tag & !FLAG_EPOCH | (FLAG_EPOCH * epoch.0 as u8);
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
        let (kind, flags) = (self.kind(), self.header().tag & (FLAG_RAW | FLAG_FAR | FLAG_EPOCH));
        let key = key.unwrap_or_else(|| self.key());
        let entry = Self::build(key, kind, flags, self.payload(self.shape()), deadline_ms, self.access());
        // This one loses its claim on the object, which is the new entry's now.
        self.header_mut().set_inline(Kind::Bytes);
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

    /// Bytes of the entry itself, without the object behind it.
    pub(super) fn inline_bytes(&self) -> usize {
        self.shape().layout().size()
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
