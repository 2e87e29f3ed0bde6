//! Asking the processor for memory before it is needed.
//!
//! The way to an element of a large collection leads from one cache miss to the next. Where many are wanted, all of
//! them go the first [`Step`], then all the second: so the misses of a step overlap.

/// Asks for the cache line at this address. A hint: any address will do, nothing is read.
#[inline]
pub fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: prefetching never faults, whatever the address.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// What of a large collection is wanted.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Target<'a> {
    /// The element of this name.
    Element(&'a [u8]),
    /// This element, and its place in the order.
    Ranked(&'a [u8]),
    /// This element, and its place in the order, and the one that it has with this score.
    Moved(&'a [u8], f64),
    /// The first in the order.
    First,
    /// Nobody knows: the head of the collection.
    Any,
}

/// The way to it. The steps before have to be done, and what they asked for should have arrived.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Step {
    /// The segment of the table with its tags.
    Segment,
    /// Where the segment keeps the pointer.
    Place,
    /// What that points to.
    Element,
    /// Where it stands in the order.
    Leaf,
    /// Some of those that stand there.
    Probes,
    /// Those between two of them.
    Items,
}

impl Step {
    /// All steps, in their order.
    pub const ALL: [Step; 6] =
        [Step::Segment, Step::Place, Step::Element, Step::Leaf, Step::Probes, Step::Items];
}

impl Target<'_> {
    /// Whether this step is one on the way.
    #[inline]
    pub fn takes(self, step: Step) -> bool {
        match self {
            Target::Element(_) => step <= Step::Element,
            Target::Ranked(_) => step <= Step::Leaf,
            Target::Moved(..) | Target::First => true,
            Target::Any => false,
        }
    }
}
