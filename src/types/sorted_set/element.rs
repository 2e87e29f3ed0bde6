//! One member of a sorted set with its score, in one allocation, and the bare pointers to it.
//!
//! ```text
//! offset  0           8            9 (17 if LONG)
//!         ┌───────────┬────────────┬────────┐
//!         │ score f64 │ length u8  │ member │   a length of 255 is LONG: the true one follows as u64
//!         └───────────┴────────────┴────────┘
//! ```
//!
//! A member of 17 bytes takes 26, that is 32 of an allocator whose classes are steps of 8. The table of the set
//! owns an [`Element`]; its tree holds a [`Shared`], eight bytes that say nothing of lifetimes.
//!
//! # Invariants of the `unsafe` code
//! - An `Element` owns an allocation of the size that [`layout`] says for its member, aligned to 8, all bytes of
//!   which are initialised. Length and member never change; the score does only through `&mut Element`.
//! - Whoever makes a `Shared` ([`Element::share`], which is unsafe) promises that it is not used after the element
//!   is gone, and not while another thread may hold the element by `&mut`. The sorted set keeps the promise by
//!   having both inside itself and by removing a `Shared` from the tree before the element from the table.

use super::tree::Item;
use crate::types::table;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;

const LENGTH_AT: usize = 8;
const SHORT_AT: usize = 9;
const LONG_AT: usize = 17;
/// The length of a member that is too long for one byte.
const LONG: u8 = u8::MAX;

/// A member and its score, owned.
pub struct Element(NonNull<u8>);

/// The same, not owned. Equal are those of the same element.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Shared(NonNull<u8>);

// SAFETY: an element owns what it points to, and changes it through `&mut` only.
unsafe impl Send for Element {}
// SAFETY: as above.
unsafe impl Sync for Element {}
// SAFETY: a shared pointer only reads, and by the promise of who made it nobody writes meanwhile.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

fn member_at(len: usize) -> usize {
    if len < LONG as usize { SHORT_AT } else { LONG_AT }
}

fn layout(len: usize) -> Layout {
    Layout::from_size_align(member_at(len) + len, align_of::<f64>()).expect("a member fits the memory")
}

/// The score at the start of an element.
///
/// # Safety
/// `base` points to an element that is alive and not being changed.
#[inline]
unsafe fn score(base: NonNull<u8>) -> f64 {
    // SAFETY: an element starts with its score, aligned.
    unsafe { base.cast::<f64>().read() }
}

/// The member of an element.
///
/// # Safety
/// `base` points to an element that stays alive for `'a`.
#[inline]
unsafe fn member<'a>(base: NonNull<u8>) -> &'a [u8] {
    // SAFETY: the lengths stand at these offsets and tell how many initialised bytes follow; they and the
    // member never change.
    unsafe {
        let short = base.add(LENGTH_AT).read();
        if short != LONG {
            return std::slice::from_raw_parts(base.add(SHORT_AT).as_ptr(), short as usize);
        }
        let len = base.add(SHORT_AT).cast::<u64>().read_unaligned() as usize;
        std::slice::from_raw_parts(base.add(LONG_AT).as_ptr(), len)
    }
}

impl Element {
    pub fn new(score: f64, member: &[u8]) -> Element {
        let layout = layout(member.len());
        let at = member_at(member.len());
        // SAFETY: the layout is not empty, and every byte of it is written: score, length or lengths, member.
        unsafe {
            let Some(base) = NonNull::new(alloc(layout)) else { handle_alloc_error(layout) };
            base.cast::<f64>().write(score);
            if at == SHORT_AT {
                base.add(LENGTH_AT).write(member.len() as u8);
            } else {
                base.add(LENGTH_AT).write(LONG);
                base.add(SHORT_AT).cast::<u64>().write_unaligned(member.len() as u64);
            }
            base.add(at).as_ptr().copy_from_nonoverlapping(member.as_ptr(), member.len());
            Element(base)
        }
    }

    #[inline]
    pub fn score(&self) -> f64 {
        // SAFETY: the element is alive and borrowed.
        unsafe { score(self.0) }
    }

    #[inline]
    pub fn member(&self) -> &[u8] {
        // SAFETY: the element is alive as long as it is borrowed.
        unsafe { member(self.0) }
    }

    pub fn set_score(&mut self, score: f64) {
        // SAFETY: the element is borrowed exclusively.
        unsafe { self.0.cast::<f64>().write(score) }
    }

    /// A pointer to the element that may be kept.
    ///
    /// # Safety
    /// It must not be used after the element is gone, nor while another thread may change the element.
    pub unsafe fn share(&self) -> Shared {
        Shared(self.0)
    }
}

impl Drop for Element {
    fn drop(&mut self) {
        let layout = layout(self.member().len());
        // SAFETY: the element owns an allocation of this layout, and is never used again.
        unsafe { dealloc(self.0.as_ptr(), layout) }
    }
}

impl table::Element for Element {
    #[inline]
    fn key(&self) -> &[u8] {
        self.member()
    }

    fn heap_bytes(&self) -> usize {
        layout(self.member().len()).size()
    }
}

impl Item for Shared {
    #[inline]
    fn score(&self) -> f64 {
        // SAFETY: who made `self` promised that the element is alive.
        unsafe { score(self.0) }
    }

    #[inline]
    fn member(&self) -> &[u8] {
        // SAFETY: as above.
        unsafe { member(self.0) }
    }

    #[inline]
    fn prefetch(&self) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: prefetching never faults.
        unsafe {
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(self.0.as_ptr().cast());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::table::Element as _;

    #[test]
    fn members_of_all_lengths() {
        for len in [0, 1, 17, 253, 254, 255, 256, 70_000] {
            let bytes: Vec<u8> = (0..len).map(|n| n as u8).collect();
            let mut element = Element::new(1.5, &bytes);
            // SAFETY: it is used only while `element` lives, and on this thread.
            let shared = unsafe { element.share() };
            element.set_score(f64::NEG_INFINITY);
            assert_eq!((element.score(), element.member()), (f64::NEG_INFINITY, bytes.as_slice()));
            assert_eq!((shared.score(), shared.member()), (f64::NEG_INFINITY, bytes.as_slice()));
        }
        assert_eq!(Element::new(0.0, &[b'x'; 17]).heap_bytes(), 26);
    }
}
