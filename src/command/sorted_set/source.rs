//! What ZUNION and its siblings read: sorted sets, and plain sets, each of whose members counts 1.

use super::value::{SortedSetRef, Walk};
use crate::command::errors::Error;
use crate::command::set::value::SetRef;
use crate::keyspace::Entry;
use crate::types::packed::Item;

/// The members of one key.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    /// There is no such key.
    Nothing,
    Sorted(SortedSetRef<'a>),
    Plain(SetRef<'a>),
}

impl<'a> Source<'a> {
    pub fn of(entry: Option<&'a Entry>) -> Result<Source<'a>, Error> {
        match entry {
            None => Ok(Source::Nothing),
            Some(entry) => {
                SortedSetRef::of(entry).map(Source::Sorted).or_else(|_| SetRef::of(entry).map(Source::Plain))
            }
        }
    }

    pub fn len(self) -> usize {
        match self {
            Source::Nothing => 0,
            Source::Sorted(set) => set.len(),
            Source::Plain(set) => set.len(),
        }
    }

    pub fn score(self, member: &[u8]) -> Option<f64> {
        match self {
            Source::Nothing => None,
            Source::Sorted(set) => set.score(member),
            Source::Plain(set) => set.contains(Item::Text(member)).then_some(1.0),
        }
    }

    /// All members with their scores.
    pub fn members(self) -> impl Iterator<Item = (Item<'a>, f64)> {
        let (walk, plain): (Option<Walk<'a>>, Vec<Item<'a>>) = match self {
            Source::Nothing => (None, Vec::new()),
            Source::Sorted(set) => (Some(set.all()), Vec::new()),
            Source::Plain(set) => (None, set.to_vec()),
        };
        let scored = walk.into_iter().flatten().map(|(member, score)| (member, score.get()));
        scored.chain(plain.into_iter().map(|member| (member, 1.0)))
    }
}
