//! A run of packed items without a header: what a block holds, and what a small list is made of.

use super::End;
use crate::types::packed::{self, Item};
use smallvec::SmallVec;
use std::ops::{ControlFlow, Range};

/// Items one after the other, in the encoding of [`packed`], and how many there are. Where the bytes are
/// damaged they seem to end.
#[derive(Clone, Copy, Debug)]
pub struct Items<'a> {
    pub bytes: &'a [u8],
    pub count: usize,
}

/// An item in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its number, from the head.
    pub index: usize,
    /// Where it begins in the bytes.
    pub at: usize,
}

/// Where items lie that are to be removed, in ascending order.
pub type Ranges = SmallVec<[Range<usize>; 8]>;

impl<'a> Items<'a> {
    /// The items of a packed sequence with its header.
    pub fn of_sequence(bytes: &'a [u8]) -> Items<'a> {
        Items { bytes: bytes.get(packed::HEADER_BYTES..).unwrap_or_default(), count: packed::len(bytes) }
    }

    /// A packed sequence of these items, with its header.
    pub fn to_sequence(self) -> Vec<u8> {
        let header = (self.count.min(packed::MAX_COUNT) as u16).to_le_bytes();
        [&header, self.bytes].concat()
    }

    /// Where item number `index` begins, or the end of the bytes if there are not so many. Walks from the
    /// nearer end.
    pub fn offset(self, index: usize) -> usize {
        if index >= self.count {
            return self.bytes.len();
        }
        if index <= self.count / 2 {
            let mut at = 0;
            for _ in 0..index {
                at = packed::get(self.bytes, at).map_or(self.bytes.len(), |(_, next)| next);
            }
            return at;
        }
        let mut at = self.bytes.len();
        for _ in index..self.count {
            at = packed::ending_at(self.bytes, at).unwrap_or(0);
        }
        at
    }

    /// Item number `index`.
    pub fn get(self, index: usize) -> Option<Item<'a>> {
        packed::get(self.bytes, self.offset(index)).map(|(item, _)| item)
    }

    /// Shows items to `f` one after the other, from number `index` on away from the end `from`, until it breaks.
    #[inline]
    pub fn visit(
        self,
        index: usize,
        from: End,
        mut f: impl FnMut(Item<'a>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match from {
            End::Head => {
                let mut at = self.offset(index);
                while let Some((item, next)) = packed::get(self.bytes, at) {
                    f(item)?;
                    at = next;
                }
            }
            End::Tail => {
                let mut end = self.offset(index + 1);
                while end > 0
                    && let Some(at) = packed::ending_at(self.bytes, end)
                    && let Some((item, _)) = packed::get(self.bytes, at)
                {
                    f(item)?;
                    end = at;
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// The first item that equals `wanted`.
    pub fn find(self, wanted: Item<'_>) -> Option<Place> {
        let mut place = Place { index: 0, at: 0 };
        while let Some((item, next)) = packed::get(self.bytes, place.at) {
            if item == wanted {
                return Some(place);
            }
            place = Place { index: place.index + 1, at: next };
        }
        None
    }

    /// Where items lie that equal `wanted`: at most `most` of them, those nearest to the end `from`.
    pub fn matches(self, wanted: Item<'_>, most: usize, from: End) -> Ranges {
        let mut found = Ranges::new();
        match from {
            End::Head => {
                let mut at = 0;
                while found.len() < most
                    && let Some((item, next)) = packed::get(self.bytes, at)
                {
                    if item == wanted {
                        found.push(at..next);
                    }
                    at = next;
                }
            }
            End::Tail => {
                let mut end = self.bytes.len();
                while end > 0
                    && found.len() < most
                    && let Some(at) = packed::ending_at(self.bytes, end)
                    && let Some((item, _)) = packed::get(self.bytes, at)
                {
                    if item == wanted {
                        found.push(at..end);
                    }
                    end = at;
                }
                found.reverse();
            }
        }
        found
    }
}
