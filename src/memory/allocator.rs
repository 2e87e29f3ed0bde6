//! The global allocator: jemalloc, in size classes of 8 bytes.
//!
//! jemalloc is built with a quantum of 8 bytes (`.cargo/config.toml`), so that blocks of 24, 40 and 56 bytes
//! exist; entries of a cache are small, and rounding them up to 16 would cost several bytes per key. The price
//! is that a plain allocation is aligned to 8 bytes only, so whoever wants more has to say so: this module
//! does. C libraries keep the system's allocator.

use std::alloc::{GlobalAlloc, Layout};
use std::ffi::{c_int, c_void};
use tikv_jemalloc_sys as jemalloc;

/// What every allocation of jemalloc is aligned to, whatever its size class.
const ALWAYS_ALIGNED_TO_BYTES: usize = 8;

/// jemalloc as Rust's allocator.
pub struct Jemalloc;

/// The flags that make jemalloc respect the layout's alignment; 0 if it does by itself.
#[inline(always)]
fn flags(layout: Layout) -> c_int {
    if layout.align() <= ALWAYS_ALIGNED_TO_BYTES && layout.align() <= layout.size() {
        0
    } else {
        jemalloc::MALLOCX_ALIGN(layout.align())
    }
}

// SAFETY: jemalloc's functions fulfil the contract of `GlobalAlloc`: blocks are as large as asked for, aligned as
// `flags` says, and freed or moved with the size and the flags that they were made with (the functions that take
// no flags are those with flags of 0). Callers never pass a layout of no bytes.
unsafe impl GlobalAlloc for Jemalloc {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let block = match flags(layout) {
            0 => unsafe { jemalloc::malloc(layout.size()) },
            flags => unsafe { jemalloc::mallocx(layout.size(), flags) },
        };
        block.cast()
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let block = match flags(layout) {
            0 => unsafe { jemalloc::calloc(1, layout.size()) },
            flags => unsafe { jemalloc::mallocx(layout.size(), flags | jemalloc::MALLOCX_ZERO) },
        };
        block.cast()
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        unsafe { jemalloc::sdallocx(block.cast::<c_void>(), layout.size(), flags(layout)) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller guarantees that the new size is valid for this alignment.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        let block = block.cast::<c_void>();
        let moved = match flags(new_layout) {
            0 => unsafe { jemalloc::realloc(block, new_size) },
            flags => unsafe { jemalloc::rallocx(block, new_size, flags) },
        };
        moved.cast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_aligned_as_asked_for_and_keep_their_bytes() {
        for align_shift in 0..13 {
            let align = 1_usize << align_shift;
            for size in [1, 4, 7, 8, 15, 16, 17, 24, 40, 52, 56, 100, 4_095, 20_000] {
                let layout = Layout::from_size_align(size, align).unwrap();
                // SAFETY: the layout has bytes; the block is written within its size and freed once, with the
                // layout that it has by then.
                unsafe {
                    let blocks: Vec<*mut u8> = (0..20).map(|_| Jemalloc.alloc(layout)).collect();
                    for block in blocks {
                        assert_eq!(block.addr() % align, 0, "{layout:?}");
                        block.write_bytes(0xAB, size);
                        let grown = Jemalloc.realloc(block, layout, size * 3);
                        assert_eq!(grown.addr() % align, 0, "{layout:?}, grown");
                        assert!(std::slice::from_raw_parts(grown, size).iter().all(|byte| *byte == 0xAB));
                        Jemalloc.dealloc(grown, Layout::from_size_align(size * 3, align).unwrap());
                    }
                    let zeroed = Jemalloc.alloc_zeroed(layout);
                    assert_eq!(zeroed.addr() % align, 0, "{layout:?}, zeroed");
                    assert!(std::slice::from_raw_parts(zeroed, size).iter().all(|byte| *byte == 0));
                    Jemalloc.dealloc(zeroed, layout);
                }
            }
        }
    }

    #[test]
    fn forty_bytes_take_forty() {
        // SAFETY: asks for a size only.
        assert_eq!(unsafe { jemalloc::nallocx(40, 0) }, 40, "jemalloc was built without .cargo/config.toml");
    }
}
