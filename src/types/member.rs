//! A member of a large set: a string behind a thin pointer, its length in front of it.
//!
//! ```text
//! ┌────────────────────────┬───────┐
//! │ length, 7 bits a byte  │ bytes │
//! └────────────────────────┴───────┘
//! ```
//!
//! The length takes one byte for up to 127 bytes, lowest bits first, with the top bit set in all of its bytes
//! but the last (LEB128). A member of 17 bytes takes 18, of the allocator's class of 24.
//!
//! # Invariants of the `unsafe` code
//! - `Member` owns an allocation of exactly the bytes that length and string take, aligned to 1, all of them
//!   initialised, and never changes it.

use super::table::Element;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::fmt;
use std::ptr::NonNull;

/// The most bytes that a length takes: strings are below 4 GiB.
const MAX_LENGTH_BYTES: usize = 5;

/// An owned string: see the module's head.
pub struct Member(NonNull<u8>);

// SAFETY: a member owns what it points to and never changes it.
unsafe impl Send for Member {}
// SAFETY: as above.
unsafe impl Sync for Member {}

fn layout(length_bytes: usize, len: usize) -> Layout {
    Layout::array::<u8>(length_bytes + len).expect("strings are below 4 GiB")
}

impl Member {
    /// A copy of these bytes.
    ///
    /// # Panics
    /// If they are 4 GiB or more: arguments of requests are much less.
    pub fn new(bytes: &[u8]) -> Member {
        assert!(u32::try_from(bytes.len()).is_ok(), "a member is at most 512 MB");
        let (mut length, mut length_bytes, mut left) = ([0; MAX_LENGTH_BYTES], 0, bytes.len());
        loop {
            let more = left >= 0x80;
            length[length_bytes] = left as u8 & 0x7F | (more as u8) << 7;
            length_bytes += 1;
            left >>= 7;
            if !more {
                break;
            }
        }
        let layout = layout(length_bytes, bytes.len());
        // SAFETY: the layout is not empty; all of its bytes are written, first the length, then the string.
        unsafe {
            let Some(pointer) = NonNull::new(alloc(layout)) else { handle_alloc_error(layout) };
            pointer.as_ptr().copy_from_nonoverlapping(length.as_ptr(), length_bytes);
            pointer.as_ptr().add(length_bytes).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            Member(pointer)
        }
    }

    /// How many bytes the length takes, and the length.
    #[inline]
    fn shape(&self) -> (usize, usize) {
        // SAFETY: the first byte is part of the length; more follow while their top bit is set.
        let byte = |at: usize| unsafe { self.0.add(at).read() as usize };
        let first = byte(0);
        if first < 0x80 {
            return (1, first);
        }
        let (mut len, mut at) = (first & 0x7F, 1);
        loop {
            let next = byte(at);
            len |= (next & 0x7F) << (7 * at);
            at += 1;
            if next < 0x80 {
                return (at, len);
            }
        }
    }

    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        let (length_bytes, len) = self.shape();
        // SAFETY: behind the length lie this many initialised bytes.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().add(length_bytes), len) }
    }
}

impl Element for Member {
    #[inline]
    fn key(&self) -> &[u8] {
        self.as_bytes()
    }

    fn heap_bytes(&self) -> usize {
        let (length_bytes, len) = self.shape();
        length_bytes + len
    }

    #[inline]
    fn address(&self) -> *const u8 {
        self.0.as_ptr()
    }
}

impl Clone for Member {
    fn clone(&self) -> Member {
        Member::new(self.as_bytes())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let (length_bytes, len) = self.shape();
        // SAFETY: the allocation was made with this layout.
        unsafe { dealloc(self.0.as_ptr(), layout(length_bytes, len)) }
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.as_bytes().escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_every_width() {
        for (len, length_bytes) in
            [(0, 1), (1, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (2_097_152, 4)]
        {
            let bytes: Vec<u8> = (0..len).map(|n| n as u8).collect();
            let member = Member::new(&bytes);
            assert_eq!(member.as_bytes(), bytes);
            assert_eq!(member.clone().as_bytes(), bytes);
            assert_eq!(member.heap_bytes(), len + length_bytes);
        }
    }
}
