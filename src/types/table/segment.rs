//! One piece of a [`Table`](super::Table): some hundred elements, without gaps or order.
//!
//! ```text
//! ┌──────────┬─────┬─────────────────┬───────────┐      ┌────────────────────────┐
//! │ elements │ len │ capacity, depth │ tags (u8) │      │ elements (8 bytes each) │
//! └────┬─────┴─────┴─────────────────┴───────────┘      └────────────────────────┘
//!      └────────────────────────────────────────────────▶
//! ```
//!
//! A tag is eight bits of an element's hash. Capacities are those that fill the size classes of jemalloc (128,
//! 160, 192, 224, 256 elements), so that a segment is about nine tenths full at any time.
//!
//! # Invariants of the `unsafe` code
//! - `Segment` owns the allocation of its head, of exactly `head_layout(capacity)`, and through it that of the
//!   elements, of exactly `elements_layout(capacity)`.
//! - The first `len` tags and the first `len` elements are initialised, and `len <= capacity`.

use crate::types::prefetch::prefetch;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::ptr::NonNull;

#[repr(C)]
struct Header {
    elements: NonNull<u8>,
    len: u32,
    /// The capacity, and in the lowest [`DEPTH_BITS`] how many bits of the hash all elements have in common.
    capacity_and_depth: u32,
}

const HEADER_BYTES: usize = size_of::<Header>();
const ELEMENT_BYTES: usize = 8;
const DEPTH_BITS: u32 = 6;

const CACHE_LINE_BYTES: usize = 64;

/// How much of a head is prefetched: the tags of a segment that is neither full nor nearly empty.
const PREFETCHED_BYTES: usize = 3 * CACHE_LINE_BYTES;

/// The least number of elements that room is made for.
const MIN_CAPACITY: usize = 4;

pub(super) struct Segment<E> {
    head: NonNull<Header>,
    owns: PhantomData<E>,
}

// SAFETY: a segment owns its elements as a vector does.
unsafe impl<E: Send> Send for Segment<E> {}
// SAFETY: as above.
unsafe impl<E: Sync> Sync for Segment<E> {}

fn head_layout(capacity: usize) -> Layout {
    Layout::from_size_align(HEADER_BYTES + capacity, align_of::<Header>()).expect("segments are small")
}

fn elements_layout(capacity: usize) -> Layout {
    Layout::array::<[u8; ELEMENT_BYTES]>(capacity)
        .and_then(|layout| layout.align_to(ELEMENT_BYTES))
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
    let capacity = size_class_bytes(len.max(MIN_CAPACITY) * ELEMENT_BYTES) / ELEMENT_BYTES;
    assert!(capacity < 1 << (u32::BITS - DEPTH_BITS), "a segment has far fewer elements");
    capacity
}

fn allocate(layout: Layout) -> NonNull<u8> {
    // SAFETY: the layouts of this module are not empty.
    NonNull::new(unsafe { alloc(layout) }).unwrap_or_else(|| handle_alloc_error(layout))
}

impl<E> Segment<E> {
    /// An empty segment with room for `len` elements.
    pub(super) fn with_room(len: usize, depth: u8) -> Segment<E> {
        const { assert!(size_of::<E>() == ELEMENT_BYTES && align_of::<E>() <= ELEMENT_BYTES) };
        let capacity = roomy_capacity(len);
        let head = allocate(head_layout(capacity)).cast::<Header>();
        let elements = allocate(elements_layout(capacity));
        let capacity_and_depth = (capacity as u32) << DEPTH_BITS | u32::from(depth);
        // SAFETY: the head has room for its header, and no element is initialised, as its length says.
        unsafe { head.write(Header { elements, len: 0, capacity_and_depth }) };
        Segment { head, owns: PhantomData }
    }

    #[inline]
    fn header(&self) -> &Header {
        // SAFETY: the header is initialised and lives as long as the segment.
        unsafe { self.head.as_ref() }
    }

    #[inline]
    fn header_mut(&mut self) -> &mut Header {
        // SAFETY: as above, and the segment is borrowed exclusively.
        unsafe { self.head.as_mut() }
    }

    #[inline]
    fn tags_start(&self) -> *mut u8 {
        // SAFETY: behind the header, within the allocation.
        unsafe { self.head.as_ptr().cast::<u8>().add(HEADER_BYTES) }
    }

    #[inline]
    fn elements_start(&self) -> *mut E {
        self.header().elements.as_ptr().cast()
    }

    #[inline]
    fn capacity(&self) -> usize {
        (self.header().capacity_and_depth >> DEPTH_BITS) as usize
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.header().len as usize
    }

    #[inline]
    pub(super) fn depth(&self) -> u8 {
        (self.header().capacity_and_depth & ((1 << DEPTH_BITS) - 1)) as u8
    }

    pub(super) fn set_depth(&mut self, depth: u8) {
        self.header_mut().capacity_and_depth = (self.capacity() as u32) << DEPTH_BITS | u32::from(depth);
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

    /// Asks the processor for the head and most of the tags.
    #[inline]
    pub(super) fn prefetch(&self) {
        let head = self.head.as_ptr().cast::<u8>();
        (0..PREFETCHED_BYTES).step_by(CACHE_LINE_BYTES).for_each(|at| prefetch(head.wrapping_add(at)));
    }

    /// Bytes of both allocations.
    pub(super) fn allocated_bytes(&self) -> usize {
        head_layout(self.capacity()).size() + elements_layout(self.capacity()).size()
    }

    /// Moves everything to where there is room for `len` elements (at least those that there are).
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
        let (capacity, elements) = (self.capacity(), self.header().elements);
        // SAFETY: the elements are dropped once, then both allocations are given back with their own layouts.
        unsafe {
            std::ptr::drop_in_place(self.elements_mut());
            dealloc(elements.as_ptr(), elements_layout(capacity));
            dealloc(self.head.as_ptr().cast(), head_layout(capacity));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacities_fill_the_size_classes() {
        assert_eq!([8, 9, 64, 65, 81, 1025].map(size_class_bytes), [8, 16, 64, 80, 96, 1280]);
        assert_eq!([0, 4, 5, 9, 113, 128, 129, 256].map(roomy_capacity), [4, 4, 5, 10, 128, 128, 160, 256]);
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
