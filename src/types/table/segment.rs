//! One piece of a [`Table`](super::Table): some hundred elements in one allocation, without gaps or order.
//!
//! ```text
//! offset  0      4          8       16            16 + capacity, rounded up to 8
//!         ┌──────┬──────────┬───────┬─────────────┬──────────────────────────────┐
//!         │ len  │ capacity │ depth │ tags (u8)   │ elements (8 bytes each)      │
//!         └──────┴──────────┴───────┴─────────────┴──────────────────────────────┘
//! ```
//!
//! A tag is eight bits of an element's hash. Capacities are those that fill the size classes of jemalloc, so
//! that a segment is about nine tenths full at any time.
//!
//! # Invariants of the `unsafe` code
//! - `Segment` owns an allocation of exactly `layout(capacity)`.
//! - The first `len` tags and the first `len` elements are initialised, and `len <= capacity`.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::ptr::NonNull;

#[repr(C, align(8))]
struct Header {
    len: u32,
    capacity: u32,
    /// How many bits of the hash all elements have in common.
    depth: u8,
}

const HEADER_BYTES: usize = size_of::<Header>();
const ELEMENT_BYTES: usize = 8;

/// The least number of elements that room is made for.
const MIN_CAPACITY: usize = 4;

pub(super) struct Segment<E> {
    base: NonNull<Header>,
    owns: PhantomData<E>,
}

// SAFETY: a segment owns its elements as a vector does.
unsafe impl<E: Send> Send for Segment<E> {}
// SAFETY: as above.
unsafe impl<E: Sync> Sync for Segment<E> {}

fn elements_at(capacity: usize) -> usize {
    HEADER_BYTES + capacity.next_multiple_of(align_of::<Header>())
}

fn layout(capacity: usize) -> Layout {
    Layout::from_size_align(elements_at(capacity) + ELEMENT_BYTES * capacity, align_of::<Header>())
        .expect("segments are small")
}

/// The size class of jemalloc (with a quantum of 8 bytes) that this many bytes are taken from.
fn size_class_bytes(bytes: usize) -> usize {
    // Four classes between two powers of two.
    let spacing = (1_usize << (bytes - 1).ilog2() >> 2).max(8);
    bytes.next_multiple_of(spacing)
}

/// How many elements fit the size class that so many elements need at least.
fn roomy_capacity(len: usize) -> usize {
    let class_bytes = size_class_bytes(layout(len.max(MIN_CAPACITY)).size());
    // Nine bytes an element; rounding the tags up to 8 costs one element at most.
    let upper = (class_bytes - HEADER_BYTES) / (ELEMENT_BYTES + 1);
    if layout(upper).size() <= class_bytes { upper } else { upper - 1 }
}

impl<E> Segment<E> {
    /// An empty segment with room for `len` elements.
    pub(super) fn with_room(len: usize, depth: u8) -> Segment<E> {
        const { assert!(size_of::<E>() == ELEMENT_BYTES && align_of::<E>() <= align_of::<Header>()) };
        let capacity = roomy_capacity(len);
        let layout = layout(capacity);
        // SAFETY: the layout is not empty; the header is written before anybody sees the segment, and no
        // element is initialised, as its length says.
        unsafe {
            let Some(base) = NonNull::new(alloc(layout).cast::<Header>()) else { handle_alloc_error(layout) };
            base.write(Header { len: 0, capacity: capacity as u32, depth });
            Segment { base, owns: PhantomData }
        }
    }

    #[inline]
    fn header(&self) -> &Header {
        // SAFETY: the header is initialised and lives as long as the segment.
        unsafe { self.base.as_ref() }
    }

    #[inline]
    fn header_mut(&mut self) -> &mut Header {
        // SAFETY: as above, and the segment is borrowed exclusively.
        unsafe { self.base.as_mut() }
    }

    #[inline]
    fn tags_start(&self) -> *mut u8 {
        // SAFETY: within the allocation, or at its end.
        unsafe { self.base.as_ptr().cast::<u8>().add(HEADER_BYTES) }
    }

    #[inline]
    fn elements_start(&self) -> *mut E {
        // SAFETY: within the allocation; a multiple of 8 from its start.
        unsafe { self.base.as_ptr().cast::<u8>().add(elements_at(self.capacity())).cast() }
    }

    #[inline]
    fn capacity(&self) -> usize {
        self.header().capacity as usize
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.header().len as usize
    }

    #[inline]
    pub(super) fn depth(&self) -> u8 {
        self.header().depth
    }

    pub(super) fn set_depth(&mut self, depth: u8) {
        self.header_mut().depth = depth;
    }

    #[inline]
    pub(super) fn tags(&self) -> &[u8] {
        // SAFETY: the first `len` tags are initialised.
        unsafe { std::slice::from_raw_parts(self.tags_start(), self.len()) }
    }

    #[inline]
    pub(super) fn elements(&self) -> &[E] {
        // SAFETY: the first `len` elements are initialised.
        unsafe { std::slice::from_raw_parts(self.elements_start(), self.len()) }
    }

    #[inline]
    pub(super) fn elements_mut(&mut self) -> &mut [E] {
        // SAFETY: as above, and the segment is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.elements_start(), self.len()) }
    }

    /// Bytes of the allocation.
    pub(super) fn allocated_bytes(&self) -> usize {
        layout(self.capacity()).size()
    }

    /// Moves everything into an allocation with room for `len` elements (at least those that there are).
    fn resize(&mut self, len: usize) {
        let count = self.len();
        let mut other = Segment::<E>::with_room(len.max(count), self.depth());
        // SAFETY: both have room for `count` tags and elements. The elements are moved: the old segment
        // forgets them before it is dropped.
        unsafe {
            other.tags_start().copy_from_nonoverlapping(self.tags_start(), count);
            other.elements_start().copy_from_nonoverlapping(self.elements_start(), count);
        }
        self.header_mut().len = 0;
        other.header_mut().len = count as u32;
        *self = other;
    }

    /// Appends an element.
    #[inline]
    pub(super) fn push(&mut self, tag: u8, element: E) {
        let len = self.len();
        if len == self.capacity() {
            self.resize(len + 1);
        }
        // SAFETY: there is room behind the last element.
        unsafe {
            self.tags_start().add(len).write(tag);
            self.elements_start().add(len).write(element);
        }
        self.header_mut().len = len as u32 + 1;
    }

    /// Takes the last element, with its tag.
    pub(super) fn pop(&mut self) -> Option<(u8, E)> {
        let last = self.len().checked_sub(1)?;
        self.header_mut().len = last as u32;
        // SAFETY: this element was initialised and is not counted any more.
        unsafe { Some((self.tags_start().add(last).read(), self.elements_start().add(last).read())) }
    }

    /// Takes the element at `at`; the last one takes its place.
    ///
    /// # Panics
    /// If there is no such element.
    pub(super) fn swap_remove(&mut self, at: usize) -> E {
        let last = self.len() - 1;
        assert!(at <= last, "an element of the segment");
        self.elements_mut().swap(at, last);
        // SAFETY: both tags are initialised.
        unsafe { self.tags_start().add(at).write(self.tags_start().add(last).read()) };
        let (_, element) = self.pop().expect("not empty");
        element
    }

    /// Gives memory back if much more is held than needed.
    pub(super) fn shrink(&mut self) {
        let len = self.len();
        if len < self.capacity() / 2 && roomy_capacity(len) < self.capacity() {
            self.resize(len);
        }
    }
}

impl<E: Clone> Clone for Segment<E> {
    fn clone(&self) -> Self {
        let mut clone = Segment::with_room(self.len(), self.depth());
        for (&tag, element) in self.tags().iter().zip(self.elements()) {
            clone.push(tag, element.clone());
        }
        clone
    }
}

impl<E> Drop for Segment<E> {
    fn drop(&mut self) {
        let layout = layout(self.capacity());
        // SAFETY: the elements are dropped once, then the allocation is given back with its own layout.
        unsafe {
            std::ptr::drop_in_place(self.elements_mut());
            dealloc(self.base.as_ptr().cast(), layout);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacities_fill_the_size_classes() {
        for len in 1..600 {
            let capacity = roomy_capacity(len);
            assert!(capacity >= len);
            let class = size_class_bytes(layout(len.max(MIN_CAPACITY)).size());
            assert!(layout(capacity).size() <= class && layout(capacity + 1).size() > class, "{len}");
        }
        assert_eq!([1, 8, 9, 64, 65, 81, 1025].map(size_class_bytes), [8, 8, 16, 64, 80, 96, 1280]);
    }

    #[test]
    fn elements_move_and_are_dropped_once() {
        let mut segment = Segment::<Box<usize>>::with_room(1, 3);
        for n in 0..500 {
            segment.push(n as u8, Box::new(n));
        }
        for n in (0..500).step_by(2).rev() {
            assert_eq!(*segment.swap_remove(n), n);
            segment.shrink();
        }
        let copy = segment.clone();
        drop(segment);
        assert_eq!((copy.len(), copy.depth()), (250, 3));
        assert!(copy.tags().iter().zip(copy.elements()).all(|(&tag, n)| tag == **n as u8 && **n % 2 == 1));
    }
}
