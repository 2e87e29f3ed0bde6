//! Trimming: removing entries from the head of a stream.
//!
//! Whole blocks go in constant time each; within the block where the trimming ends, entries are marked one by
//! one, unless an approximate result is good enough. As in Redis, IDs that were trimmed are no gaps: the
//! highest deleted ID stays what it was.

use super::block::Decision;
use super::entries::Entries;
use super::id::Id;

/// What shall be left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keep {
    /// At most so many entries.
    Length(u64),
    /// Entries at or above this ID.
    From(Id),
}

/// A trimming.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trim {
    pub keep: Keep,
    /// Remove whole blocks only.
    pub approximate: bool,
    /// Stop before more entries than this are removed; 0 is no limit.
    pub limit: u64,
}

impl Entries {
    /// Trims, and returns how many entries were removed. With `allow`, each entry is only removed if that says
    /// so (and takes note of it).
    pub fn trim(&mut self, trim: &Trim, mut allow: Option<&mut dyn FnMut(Id) -> bool>) -> u64 {
        let mut total = 0;
        let mut index = 0;
        while let Some(block) = self.blocks.get(index) {
            let length = self.marks.length;
            if matches!(trim.keep, Keep::Length(most) if length <= most) {
                break;
            }
            let live = block.counts().0 as u64;
            if trim.limit > 0 && total + live > trim.limit {
                break;
            }
            let whole = match trim.keep {
                Keep::Length(most) => length - live >= most,
                Keep::From(from) => block.last_id().is_some_and(|last| last < from),
            };
            if whole && allow.is_none() {
                self.remove_block(index, live);
                total += live;
                continue;
            }
            if !whole && trim.approximate {
                break;
            }
            let mut left = length;
            let deleted = self.delete_in(index, |id| {
                let enough = match trim.keep {
                    Keep::Length(most) => left <= most,
                    Keep::From(from) => id >= from,
                };
                if enough {
                    return Decision::Stop;
                }
                if allow.as_mut().is_some_and(|allow| !allow(id)) {
                    return Decision::Keep;
                }
                left -= 1;
                Decision::Delete
            });
            total += deleted;
            if !whole {
                // A block of which only deleted entries are left stays, as in Redis.
                break;
            }
            if deleted == live {
                self.remove_block(index, 0);
            } else {
                index += 1;
            }
        }
        if total > 0 {
            self.find_first();
        }
        total
    }
}
