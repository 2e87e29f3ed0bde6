//! Which members a range command means: by rank, by score or by member, and a part of those.

use super::value::SortedSetRef;
use crate::command::args::Args;
use crate::command::errors::Error;
use crate::types::number;
use std::ops::Range;

const NOT_SCORES: Error = Error::line("ERR min or max is not a float");
const NOT_MEMBERS: Error = Error::line("ERR min or max not valid string range item");

/// What the ends of a range are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    Rank,
    Score,
    Member,
}

/// One end of a range of members.
#[derive(Clone, Copy)]
enum Bound<'a> {
    /// Below all members.
    Least,
    /// Above all members.
    Greatest,
    Open(&'a [u8]),
    Closed(&'a [u8]),
}

/// A range.
#[derive(Clone, Copy)]
pub enum Interval<'a> {
    Rank { start: i64, stop: i64 },
    Score { min: f64, min_open: bool, max: f64, max_open: bool },
    Member(MemberInterval<'a>),
}

/// A range of members of one score.
#[derive(Clone, Copy)]
pub struct MemberInterval<'a> {
    min: Bound<'a>,
    max: Bound<'a>,
}

fn score_bound(text: &[u8]) -> Result<(f64, bool), Error> {
    let (number, open) = match text {
        [b'(', number @ ..] => (number, true),
        number => (number, false),
    };
    number::parse_f64_loosely(number).map(|score| (score, open)).ok_or(NOT_SCORES)
}

fn member_bound(text: &[u8]) -> Result<Bound<'_>, Error> {
    match text {
        // Redis looks only as far as C's strings go.
        [b'-'] | [b'-', 0, ..] => Ok(Bound::Least),
        [b'+'] | [b'+', 0, ..] => Ok(Bound::Greatest),
        [b'(', member @ ..] => Ok(Bound::Open(member)),
        [b'[', member @ ..] => Ok(Bound::Closed(member)),
        _ => Err(NOT_MEMBERS),
    }
}

impl Bound<'_> {
    /// Whether a member is so far below this end that it is outside of a range that begins here.
    fn excludes_below(&self, member: &[u8]) -> bool {
        match self {
            Bound::Least => false,
            Bound::Greatest => true,
            Bound::Open(end) => member <= *end,
            Bound::Closed(end) => member < *end,
        }
    }

    /// Whether a member is within a range that ends here, as far as this end is concerned.
    fn includes_below(&self, member: &[u8]) -> bool {
        match self {
            Bound::Least => false,
            Bound::Greatest => true,
            Bound::Open(end) => member < *end,
            Bound::Closed(end) => member <= *end,
        }
    }
}

impl<'a> Interval<'a> {
    /// Reads two arguments. A range that is walked backwards by score or member names its upper end first.
    pub fn parse(by: By, reverse: bool, args: &mut Args<'a>) -> Result<Interval<'a>, Error> {
        let (first, second) = (args.take()?, args.take()?);
        let (min, max) = if reverse && by != By::Rank { (second, first) } else { (first, second) };
        Ok(match by {
            By::Rank => {
                let index = |text| number::parse_i64(text).ok_or(Error::NotInteger);
                Interval::Rank { start: index(min)?, stop: index(max)? }
            }
            By::Score => {
                let ((min, min_open), (max, max_open)) = (score_bound(min)?, score_bound(max)?);
                Interval::Score { min, min_open, max, max_open }
            }
            By::Member => {
                Interval::Member(MemberInterval { min: member_bound(min)?, max: member_bound(max)? })
            }
        })
    }

    /// The ranks of a set's members that are meant. Ranks that are given count from the last member on if the
    /// walk is backwards; those that are returned never do.
    pub fn ranks(&self, set: SortedSetRef<'_>, reverse: bool) -> Range<usize> {
        let (start, end) = match *self {
            Interval::Rank { start, stop } => return index_range(start, stop, set.len(), reverse),
            Interval::Score { min, min_open, max, max_open } => (
                set.position_by_score(|score| score < min || min_open && score == min),
                set.position_by_score(|score| score < max || !max_open && score == max),
            ),
            Interval::Member(MemberInterval { min, max }) => (
                set.position_by_member(|member| min.excludes_below(member)),
                set.position_by_member(|member| max.includes_below(member)),
            ),
        };
        start..end.max(start)
    }
}

/// Ranks `start` to `stop`, both included and negative ones counted from the end, of `len`.
fn index_range(start: i64, stop: i64, len: usize, reverse: bool) -> Range<usize> {
    let count = len as i64;
    let from_end = |index: i64| if index < 0 { count + index } else { index };
    let (start, stop) = (from_end(start).max(0), from_end(stop).min(count - 1));
    if start > stop {
        return 0..0;
    }
    let (start, end) = (start as usize, stop as usize + 1);
    if reverse { len - end..len - start } else { start..end }
}

/// The option LIMIT.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    pub offset: i64,
    /// Negative: all.
    pub count: i64,
}

impl Limit {
    pub const NONE: Limit = Limit { offset: 0, count: -1 };

    /// The part of a range that is left, in the direction of the walk.
    pub fn apply(self, ranks: Range<usize>, reverse: bool) -> Range<usize> {
        let Ok(offset) = usize::try_from(self.offset) else { return 0..0 };
        let skip = offset.min(ranks.len());
        let rest = ranks.len() - skip;
        let count = usize::try_from(self.count).map_or(rest, |count| count.min(rest));
        if reverse {
            ranks.end - skip - count..ranks.end - skip
        } else {
            ranks.start + skip..ranks.start + skip + count
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_from_both_ends() {
        for (start, stop, len, expected, reversed) in [
            (0, -1, 5, 0..5, 0..5),
            (0, 0, 5, 0..1, 4..5),
            (1, 2, 5, 1..3, 2..4),
            (-2, -1, 5, 3..5, 0..2),
            (-100, 1, 5, 0..2, 3..5),
            (3, 100, 5, 3..5, 0..2),
            (3, 2, 5, 0..0, 0..0),
            (5, 9, 5, 0..0, 0..0),
            (0, -6, 5, 0..0, 0..0),
            (i64::MIN, i64::MAX, 5, 0..5, 0..5),
            (0, -1, 0, 0..0, 0..0),
        ] {
            assert_eq!(index_range(start, stop, len, false), expected, "{start} {stop} {len}");
            assert_eq!(index_range(start, stop, len, true), reversed, "{start} {stop} {len} reversed");
        }
    }

    #[test]
    fn limits() {
        let limit = |offset, count| Limit { offset, count };
        assert_eq!(Limit::NONE.apply(2..7, false), 2..7);
        assert_eq!(limit(1, 2).apply(2..7, false), 3..5);
        assert_eq!(limit(1, 2).apply(2..7, true), 4..6);
        assert_eq!(limit(3, 9).apply(2..7, false), 5..7);
        assert_eq!(limit(3, -5).apply(2..7, true), 2..4);
        assert!(limit(9, 1).apply(2..7, false).is_empty());
        assert!(limit(-1, 1).apply(2..7, true).is_empty());
        assert!(limit(0, 0).apply(2..7, true).is_empty());
    }
}
