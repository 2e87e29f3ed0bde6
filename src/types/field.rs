//! One field of a large hash: its name, its value and perhaps its deadline, in one allocation behind a thin
//! pointer.
//!
//! ```text
//! offset 0      1              1 + (1 | 4)
//!        ┌──────┬──────────────┬───────────────┬─────────────┬──────┬───────┐
//!        │ form │ name len     │ value len     │ deadline ms │ name │ value │
//!        │ u8   │ u8 | u32     │ u8 | u32      │ if TIMED    │      │       │
//!        └──────┴──────────────┴───────────────┴─────────────┴──────┴───────┘
//! ```
//!
//! Lengths take one byte where they fit. So a name of 17 bytes with a value of 16 takes 36 bytes, which is a block
//! of 40; the table that holds the field adds a pointer. Knows nothing of tables or of time.
//!
//! # Invariants of the `unsafe` code
//! - A `Field` owns an allocation of exactly [`Shape::layout`], all of it initialised, whose first bytes (form and
//!   lengths) describe it.
//! - A [`FieldRef`] is a pointer to that allocation. Whoever keeps one must not use it after the field was dropped
//!   or changed.

use super::table::Element;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error, realloc};
use std::ptr::NonNull;

const LONG_NAME: u8 = 1 << 0;
const LONG_VALUE: u8 = 1 << 1;
const TIMED: u8 = 1 << 2;

/// The longest name or value whose length takes one byte.
const MAX_SHORT_BYTES: usize = u8::MAX as usize;

/// A field of a hash: see the module's head.
pub struct Field(NonNull<u8>);

// SAFETY: a field owns what it points to, and shared access changes nothing.
unsafe impl Send for Field {}
// SAFETY: as above.
unsafe impl Sync for Field {}

/// The identity of a field for as long as neither it nor its value is changed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct FieldRef(NonNull<u8>);

// SAFETY: a bare address; it is only followed by `name`, whose caller answers for it.
unsafe impl Send for FieldRef {}
// SAFETY: as above.
unsafe impl Sync for FieldRef {}

impl FieldRef {
    /// The name of the field.
    ///
    /// # Safety
    /// The field is alive, and was not changed since it gave out this reference.
    pub unsafe fn name<'a>(self) -> &'a [u8] {
        // SAFETY: by the caller's promise the allocation is as `Shape::read` expects it.
        unsafe {
            let shape = Shape::read(self.0);
            std::slice::from_raw_parts(self.0.as_ptr().add(shape.name_at()), shape.name_len)
        }
    }
}

/// Sizes and offsets of one field.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Shape {
    form: u8,
    name_len: usize,
    value_len: usize,
}

impl Shape {
    fn new(name_len: usize, value_len: usize, timed: bool) -> Shape {
        assert!(name_len.max(value_len) <= u32::MAX as usize, "an argument is at most 512 MB");
        let long_name = LONG_NAME * (name_len > MAX_SHORT_BYTES) as u8;
        let long_value = LONG_VALUE * (value_len > MAX_SHORT_BYTES) as u8;
        Shape { form: long_name | long_value | (TIMED * timed as u8), name_len, value_len }
    }

    /// # Safety
    /// The pointer is to the allocation of a field.
    #[inline]
    unsafe fn read(base: NonNull<u8>) -> Shape {
        let base = base.as_ptr();
        // SAFETY: form and lengths are the first bytes of the allocation; lengths may not be aligned.
        unsafe {
            let form = base.read();
            if form & (LONG_NAME | LONG_VALUE) == 0 {
                let (name_len, value_len) = (base.add(1).read() as usize, base.add(2).read() as usize);
                return Shape { form, name_len, value_len };
            }
            let length = |at: usize, long: bool| {
                if long {
                    base.add(at).cast::<u32>().read_unaligned() as usize
                } else {
                    base.add(at).read() as usize
                }
            };
            let shape = Shape { form, name_len: length(1, form & LONG_NAME != 0), value_len: 0 };
            Shape { value_len: length(shape.value_len_at(), form & LONG_VALUE != 0), ..shape }
        }
    }

    fn is_timed(self) -> bool {
        self.form & TIMED != 0
    }

    fn value_len_at(self) -> usize {
        if self.form & LONG_NAME == 0 { 2 } else { 5 }
    }

    fn deadline_at(self) -> usize {
        self.value_len_at() + if self.form & LONG_VALUE == 0 { 1 } else { 4 }
    }

    #[inline]
    fn name_at(self) -> usize {
        self.deadline_at() + 8 * self.is_timed() as usize
    }

    #[inline]
    fn value_at(self) -> usize {
        self.name_at() + self.name_len
    }

    fn bytes(self) -> usize {
        self.value_at() + self.value_len
    }

    fn layout(self) -> Layout {
        Layout::from_size_align(self.bytes(), 1).expect("names and values are below 4 GiB each")
    }

    /// Writes form and lengths.
    ///
    /// # Safety
    /// The pointer is to an allocation of this shape.
    unsafe fn write(self, base: *mut u8) {
        let length = |at: usize, len: usize, long: bool| {
            // SAFETY: the offsets are within the allocation.
            unsafe {
                if long {
                    base.add(at).cast::<u32>().write_unaligned(len as u32);
                } else {
                    base.add(at).write(len as u8);
                }
            }
        };
        // SAFETY: as above.
        unsafe { base.write(self.form) };
        length(1, self.name_len, self.form & LONG_NAME != 0);
        length(self.value_len_at(), self.value_len, self.form & LONG_VALUE != 0);
    }
}

impl Field {
    /// `deadline_ms` is a Unix time in milliseconds.
    pub fn new(name: &[u8], value: &[u8], deadline_ms: Option<i64>) -> Field {
        let shape = Shape::new(name.len(), value.len(), deadline_ms.is_some());
        let layout = shape.layout();
        // SAFETY: the layout is not empty; every byte of it is written: form and lengths, the deadline if the
        // shape has one, name and value up to the end.
        unsafe {
            let base = alloc(layout);
            let Some(pointer) = NonNull::new(base) else { handle_alloc_error(layout) };
            shape.write(base);
            if let Some(deadline) = deadline_ms {
                base.add(shape.deadline_at()).cast::<i64>().write_unaligned(deadline);
            }
            base.add(shape.name_at()).copy_from_nonoverlapping(name.as_ptr(), name.len());
            base.add(shape.value_at()).copy_from_nonoverlapping(value.as_ptr(), value.len());
            Field(pointer)
        }
    }

    #[inline]
    fn shape(&self) -> Shape {
        // SAFETY: the allocation is this field's.
        unsafe { Shape::read(self.0) }
    }

    #[inline]
    fn slice(&self, at: usize, len: usize) -> &[u8] {
        // SAFETY: callers ask for parts of the allocation, which is initialised and not changed while borrowed.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().add(at), len) }
    }

    #[inline]
    pub fn name(&self) -> &[u8] {
        let shape = self.shape();
        self.slice(shape.name_at(), shape.name_len)
    }

    #[inline]
    pub fn value(&self) -> &[u8] {
        let shape = self.shape();
        self.slice(shape.value_at(), shape.value_len)
    }

    /// When the field expires: Unix milliseconds.
    #[inline]
    pub fn deadline(&self) -> Option<i64> {
        let shape = self.shape();
        shape.is_timed().then(|| {
            // SAFETY: a timed field has its deadline there, not aligned.
            unsafe { self.0.as_ptr().add(shape.deadline_at()).cast::<i64>().read_unaligned() }
        })
    }

    /// The deadline with the field's identity, if it has one.
    pub fn due(&self) -> Option<(i64, FieldRef)> {
        self.deadline().map(|deadline| (deadline, FieldRef(self.0)))
    }

    /// Gives the field another value, in place if the allocator's size class allows.
    pub fn set_value(&mut self, value: &[u8]) {
        let old = self.shape();
        let new = Shape::new(old.name_len, value.len(), old.is_timed());
        if new.form != old.form {
            *self = Field::new(self.name(), value, self.deadline());
            return;
        }
        // SAFETY: the allocation has the old layout and gets the new one; what stands before the value is the same
        // in both but for the length, which is written, as the value is.
        unsafe {
            if new != old {
                let base = realloc(self.0.as_ptr(), old.layout(), new.bytes());
                let Some(pointer) = NonNull::new(base) else { handle_alloc_error(new.layout()) };
                self.0 = pointer;
                new.write(base);
            }
            self.0.as_ptr().add(new.value_at()).copy_from_nonoverlapping(value.as_ptr(), value.len());
        }
    }

    /// Sets or removes the deadline (Unix milliseconds).
    pub fn set_deadline(&mut self, deadline_ms: Option<i64>) {
        let shape = self.shape();
        match deadline_ms {
            Some(deadline) if shape.is_timed() => {
                // SAFETY: a timed field has its deadline there, not aligned; `self` is borrowed exclusively.
                unsafe { self.0.as_ptr().add(shape.deadline_at()).cast::<i64>().write_unaligned(deadline) }
            }
            None if !shape.is_timed() => {}
            _ => *self = Field::new(self.name(), self.value(), deadline_ms),
        }
    }
}

impl Element for Field {
    #[inline]
    fn key(&self) -> &[u8] {
        self.name()
    }

    fn heap_bytes(&self) -> usize {
        self.shape().bytes()
    }

    fn address(&self) -> *const u8 {
        self.0.as_ptr()
    }
}

impl Clone for Field {
    fn clone(&self) -> Field {
        Field::new(self.name(), self.value(), self.deadline())
    }
}

impl std::fmt::Debug for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
        write!(f, "{}={} {:?}", text(self.name()), text(self.value()), self.deadline())
    }
}

impl Drop for Field {
    fn drop(&mut self) {
        let layout = self.shape().layout();
        // SAFETY: the allocation of this layout is the field's own, and is never used again.
        unsafe { dealloc(self.0.as_ptr(), layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_small_field_is_small() {
        assert_eq!(Field::new(&[b'f'; 17], &[b'v'; 16], None).heap_bytes(), 36);
        assert_eq!(Field::new(b"", b"", None).heap_bytes(), 3);
        assert_eq!(size_of::<Option<Field>>(), 8);
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..40),
            (250_usize..262).prop_map(|len| vec![b'x'; len]),
            (0_usize..5000).prop_map(|len| vec![b'y'; len]),
        ]
    }

    proptest! {
        #[test]
        fn holds_what_it_was_given(
            name in text(),
            first in (text(), any::<Option<i64>>()),
            changes in proptest::collection::vec((text(), any::<Option<i64>>(), any::<bool>()), 0..8),
        ) {
            let (mut value, mut deadline) = first;
            let mut field = Field::new(&name, &value, deadline);
            for (other_value, other_deadline, is_value) in changes {
                if is_value {
                    field.set_value(&other_value);
                    value = other_value;
                } else {
                    field.set_deadline(other_deadline);
                    deadline = other_deadline;
                }
                let copy = field.clone();
                for field in [&field, &copy] {
                    prop_assert_eq!(field.name(), &name[..]);
                    prop_assert_eq!(field.value(), &value[..]);
                    prop_assert_eq!(field.deadline(), deadline);
                }
                prop_assert_eq!(field.due().is_some(), deadline.is_some());
                if let Some((_, reference)) = field.due() {
                    // SAFETY: the field lives and was not changed since.
                    prop_assert_eq!(unsafe { reference.name() }, &name[..]);
                }
            }
        }
    }
}
