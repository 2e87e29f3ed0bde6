//! A sorted set that is made as a whole, member by member in any order, in the form that its size demands.

use super::value::{COLUMNS, Limits, insert_pair, pairs_of, unpacked_score};
use crate::keyspace::{Kind, NewValue, Object};
use crate::types::packed::{self, Item};
use crate::types::rows;
use crate::types::sorted_set::SortedSet;

/// The longest that a packed sorted set may get, whatever the directives allow (a listpack's limit in Redis).
const MAX_PACKED_BYTES: usize = 1 << 30;

/// A sorted set that is no key's value yet.
pub struct NewSortedSet {
    limits: Limits,
    form: Form,
}

enum Form {
    /// Members and scores in the order of their coming. Whether a member is there twice is not known yet.
    Packed(Vec<u8>),
    Large(Box<SortedSet>),
}

impl NewSortedSet {
    pub fn new(limits: Limits) -> NewSortedSet {
        NewSortedSet { limits, form: Form::Packed(rows::new()) }
    }

    /// Adds a member, whose score is a number. `false` if it is there already, which [`NewSortedSet::finish`] may also be
    /// the first to find.
    pub fn add(&mut self, member: &[u8], score: f64) -> bool {
        if let Form::Packed(bytes) = &mut self.form {
            let members = rows::len(bytes, COLUMNS) + 1;
            if self.limits.allow(members, member.len())
                && bytes.len().saturating_add(member.len()) < MAX_PACKED_BYTES
            {
                let end = bytes.len();
                insert_pair(bytes, end, Item::of(member), score);
                return true;
            }
            let mut set = Box::new(SortedSet::new());
            let are_new = pairs_of(bytes)
                .all(|(member, score)| member.with(|text| set.insert(unpacked_score(score), text).is_none()));
            if !are_new {
                return false;
            }
            self.form = Form::Large(set);
        }
        match &mut self.form {
            Form::Large(set) => set.insert(score, member).is_none(),
            Form::Packed(_) => unreachable!("a packed set became a large one"),
        }
    }

    /// The sorted set, unless a member is there twice.
    pub fn finish(self) -> Option<NewValue> {
        let bytes = match self.form {
            Form::Large(set) => return Some(NewValue::Object(Kind::SortedSet, Object::SortedSet(set))),
            Form::Packed(bytes) => bytes,
        };
        if !packed::are_distinct(pairs_of(&bytes).map(|(member, _)| member)) {
            return None;
        }
        let mut pairs: Vec<(Item<'_>, f64)> =
            pairs_of(&bytes).map(|(member, score)| (member, unpacked_score(score))).collect();
        let order = |a: &(Item<'_>, f64), b: &(Item<'_>, f64)| {
            let by_score = a.1.partial_cmp(&b.1).unwrap_or(std::cmp::Ordering::Equal);
            by_score.then_with(|| a.0.with(|a| b.0.with(|b| a.cmp(b))))
        };
        if pairs.is_sorted_by(|a, b| order(a, b).is_le()) {
            return Some(NewValue::Packed(Kind::PackedSortedSet, bytes));
        }
        pairs.sort_by(order);
        let mut sorted = rows::new();
        for (member, score) in pairs {
            let end = sorted.len();
            insert_pair(&mut sorted, end, member, score);
        }
        Some(NewValue::Packed(Kind::PackedSortedSet, sorted))
    }
}
