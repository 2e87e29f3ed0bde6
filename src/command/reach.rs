//! What of a large collection a request is going to use, as far as its arguments tell: so that it can be fetched from
//! memory before the command runs. Only a hint; whatever is said here changes no reply.

use super::spec::{Command, Group};
use crate::resp::scan::Request;
use crate::types::number;
use crate::types::prefetch::Target;

/// What a command uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// Its values are not collections, or it uses more than one can fetch.
    Nothing,
    /// Something of a collection.
    Any,
    /// The element that is named so many arguments behind the key.
    Element(usize),
    /// That element, and its place in the order.
    Ranked(usize),
    /// Of a score and a member behind the key that member, its place, and its new place.
    Moved,
    /// The first element in the order.
    First,
}

impl Reach {
    /// That of a command.
    pub fn of(command: &Command) -> Reach {
        match (command.group, command.name) {
            (Group::SortedSet, "zadd") => Reach::Moved,
            (Group::SortedSet, "zincrby") => Reach::Ranked(2),
            (Group::SortedSet, "zrank" | "zrevrank" | "zrem") => Reach::Ranked(1),
            (Group::SortedSet, "zscore" | "zmscore") | (Group::Geo, "geopos" | "geohash") => {
                Reach::Element(1)
            }
            (Group::SortedSet, "zpopmin") => Reach::First,
            (Group::Set, "spop" | "srandmember" | "smembers" | "scard") => Reach::Any,
            (Group::SortedSet | Group::Geo, _) => Reach::Any,
            (Group::Set | Group::Hash, _) => Reach::Element(1),
            _ => Reach::Nothing,
        }
    }

    /// What this request, whose key is argument `key_at`, wants.
    #[inline]
    pub fn target(self, request: Request<'_>, key_at: usize) -> Option<Target<'_>> {
        let argument = |behind: usize| {
            let at = key_at + behind;
            (at < request.len()).then(|| request.get(at))
        };
        Some(match self {
            Reach::Nothing => return None,
            Reach::Any => Target::Any,
            Reach::First => Target::First,
            Reach::Element(behind) => argument(behind).map_or(Target::Any, Target::Element),
            Reach::Ranked(behind) => argument(behind).map_or(Target::Any, Target::Ranked),
            Reach::Moved => match (argument(1).and_then(number::parse_f64), argument(2)) {
                (Some(score), Some(member)) => Target::Moved(member, score),
                _ => Target::Any,
            },
        })
    }
}
