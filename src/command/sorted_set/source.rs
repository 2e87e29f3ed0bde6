//! What ZUNION and its siblings read: any entry that yields members with scores.
//!
//! Sorted sets do, and plain sets will, each of whose members counts 1: that is one more form here.

use super::value::{SortedSetRef, Walk};
use crate::command::errors::Error;
use crate::keyspace::Entry;
use crate::types::packed::Item;

/// The members of one key.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    /// There is no such key.
    Nothing,
    Sorted(SortedSetRef<'a>),
}

impl<'a> Source<'a> {
    pub fn of(entry: Option<&'a Entry>) -> Result<Source<'a>, Error> {
        match entry {
            None => Ok(Source::Nothing),
            Some(entry) => SortedSetRef::of(entry).map(Source::Sorted),
        }
    }

    pub fn len(self) -> usize {
        match self {
            Source::Nothing => 0,
            Source::Sorted(set) => set.len(),
        }
    }

    pub fn score(self, member: &[u8]) -> Option<f64> {
        match self {
            Source::Nothing => None,
            Source::Sorted(set) => set.score(member),
        }
    }

    /// All members with their scores.
    pub fn members(self) -> impl Iterator<Item = (Item<'a>, f64)> {
        let walk: Option<Walk<'a>> = match self {
            Source::Nothing => None,
            Source::Sorted(set) => Some(set.all()),
        };
        walk.into_iter().flatten().map(|(member, score)| (member, score.get()))
    }
}
