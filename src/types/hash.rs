//! A large hash: fields by name, each of which may expire.
//!
//! The fields stand in a [`Table`], one allocation each (see [`field`](super::field)). Deadlines, where there are
//! any, are kept a second time in order, with the address of their field in the place of its name: 24 bytes or so a
//! field in a B-tree, and nothing at all for a hash whose fields live for ever. The order answers at once what
//! expires next and how many fields have expired, and finds those without a look at the others.
//!
//! Time is an argument: at `now_ms` a field is gone if its deadline lies before, whether it was removed
//! ([`Hash::remove_due`]) or not.
//!
//! # Invariant of the `unsafe` code
//! `deadlines` has exactly the fields of the table that have a deadline, each with it and with its address as of now.
//! Everything that changes a field goes through this module, which changes both.

use super::field::{Field, FieldRef};
use super::names::Names;
use super::prefetch::Step;
use super::table::Table;
use rand::Rng;
use smallvec::SmallVec;
use std::collections::BTreeSet;

/// How often a random pick is repeated that finds an expired field, before all others are looked at.
const RANDOM_TRIES: usize = 32;

/// Names up to this length are copied to the stack while their field is removed.
const USUAL_NAME_BYTES: usize = 64;

/// Memory of one deadline in the B-tree: two words, in nodes that are about two thirds full.
const DEADLINE_BYTES: usize = 24;

/// See the [module](self).
#[derive(Default)]
pub struct Hash {
    fields: Table<Field>,
    deadlines: BTreeSet<(i64, FieldRef)>,
}

impl Clone for Hash {
    fn clone(&self) -> Hash {
        let fields = self.fields.clone();
        let deadlines = if self.deadlines.is_empty() {
            BTreeSet::new()
        } else {
            fields.iter().filter_map(Field::due).collect()
        };
        Hash { fields, deadlines }
    }
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.fields.iter()).finish()
    }
}

/// Whether a deadline lies before `now_ms`.
#[inline]
pub fn is_due(deadline_ms: Option<i64>, now_ms: i64) -> bool {
    deadline_ms.is_some_and(|deadline| deadline < now_ms)
}

impl Hash {
    pub fn new() -> Hash {
        Hash::default()
    }

    /// Number of fields, expired ones included.
    pub fn fields(&self) -> usize {
        self.fields.len()
    }

    /// Number of fields that have not expired.
    pub fn len(&self, now_ms: i64) -> usize {
        let expired =
            self.deadlines.iter().take_while(|(deadline, _)| is_due(Some(*deadline), now_ms)).count();
        self.fields.len() - expired
    }

    /// Whether no field is there that has not expired.
    pub fn is_empty(&self, now_ms: i64) -> bool {
        self.len(now_ms) == 0
    }

    /// The deadline that comes first.
    #[inline]
    pub fn earliest(&self) -> Option<i64> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// The earliest deadline that has not passed.
    pub fn earliest_after(&self, now_ms: i64) -> Option<i64> {
        self.deadlines.iter().map(|(deadline, _)| *deadline).find(|deadline| !is_due(Some(*deadline), now_ms))
    }

    #[inline]
    pub fn get(&self, name: &[u8], now_ms: i64) -> Option<&Field> {
        self.fields.get(name).filter(|field| !is_due(field.deadline(), now_ms))
    }

    /// Sets the value of a field; its deadline, if it has one, is removed unless it is to be kept. Returns whether
    /// the field is new.
    pub fn set(&mut self, name: &[u8], value: &[u8], keep_deadline: bool) -> bool {
        let Some(field) = self.fields.get_mut(name) else {
            self.fields.insert(Field::new(name, value, None));
            return true;
        };
        let old = field.due();
        field.set_value(value);
        if old.is_some() && !keep_deadline {
            field.set_deadline(None);
        }
        let new = field.due();
        self.refile(old, new);
        false
    }

    /// Sets or removes the deadline (Unix milliseconds) of a field; `false` if there is no such field.
    pub fn set_deadline(&mut self, name: &[u8], deadline_ms: Option<i64>) -> bool {
        let Some(field) = self.fields.get_mut(name) else { return false };
        let old = field.due();
        field.set_deadline(deadline_ms);
        let new = field.due();
        self.refile(old, new);
        true
    }

    fn refile(&mut self, old: Option<(i64, FieldRef)>, new: Option<(i64, FieldRef)>) {
        if old == new {
            return;
        }
        if let Some(old) = old {
            self.deadlines.remove(&old);
        }
        self.deadlines.extend(new);
    }

    /// Removes a field; `false` if there is no such field.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        let Some(field) = self.fields.remove(name) else { return false };
        self.refile(field.due(), None);
        true
    }

    /// Removes up to `limit` fields that have expired, adds their names to `names`, and returns how many.
    pub fn remove_due(&mut self, now_ms: i64, limit: usize, names: &mut Names) -> usize {
        for removed in 0..limit {
            let Some(&(deadline, field)) = self.deadlines.first() else { return removed };
            if !is_due(Some(deadline), now_ms) {
                return removed;
            }
            // SAFETY: by this module's invariant the field is in the table, unchanged since it was filed.
            let name: SmallVec<[u8; USUAL_NAME_BYTES]> = unsafe { field.name() }.into();
            self.remove(&name);
            names.push(&name);
        }
        limit
    }

    /// All fields that have not expired.
    pub fn iter(&self, now_ms: i64) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(move |field| !is_due(field.deadline(), now_ms))
    }

    /// As [`Table::walk`]; `f` gets fields that have expired, too.
    pub fn walk(&self, slot: usize, f: impl FnMut(&[Field]) -> bool) -> Option<usize> {
        self.fields.walk(slot, f)
    }

    /// A field that has not expired, each with the same probability.
    pub fn random(&self, now_ms: i64, rng: &mut impl Rng) -> Option<&Field> {
        for _ in 0..RANDOM_TRIES {
            let field = self.fields.random(rng)?;
            if !is_due(field.deadline(), now_ms) {
                return Some(field);
            }
        }
        let left = self.len(now_ms);
        if left == 0 { None } else { self.iter(now_ms).nth(rng.random_range(0..left)) }
    }

    /// Visits about `count` fields from `cursor` on that have not expired; returns the cursor to go on with, 0 at
    /// the end.
    pub fn scan(&self, cursor: u64, count: usize, now_ms: i64, mut visit: impl FnMut(&Field)) -> u64 {
        self.fields.scan(cursor, count, |field| {
            if !is_due(field.deadline(), now_ms) {
                visit(field);
            }
        })
    }

    /// Takes one step to a field, for who wants its memory fetched.
    #[inline]
    pub fn prefetch(&self, name: &[u8], step: Step) {
        self.fields.prefetch(name, step);
    }

    /// Bytes allocated, as asked of the allocator; those of the deadlines' order are an estimate.
    pub fn heap_bytes(&self) -> usize {
        self.fields.heap_bytes() + self.deadlines.len() * DEADLINE_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use std::collections::BTreeMap;

    type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<i64>)>;

    fn check(hash: &Hash, model: &Model, now_ms: i64) -> Result<(), TestCaseError> {
        let alive: BTreeMap<&[u8], &[u8]> = model
            .iter()
            .filter(|(_, (_, deadline))| !is_due(*deadline, now_ms))
            .map(|(name, (value, _))| (&name[..], &value[..]))
            .collect();
        prop_assert_eq!(hash.len(now_ms), alive.len());
        prop_assert_eq!(hash.fields(), model.len());
        let seen: BTreeMap<&[u8], &[u8]> =
            hash.iter(now_ms).map(|field| (field.name(), field.value())).collect();
        prop_assert_eq!(&seen, &alive);
        prop_assert_eq!(hash.earliest(), model.values().filter_map(|(_, deadline)| *deadline).min());
        for name in model.keys() {
            let found = hash.get(name, now_ms);
            prop_assert_eq!(found.map(Field::value), alive.get(&name[..]).copied());
        }
        let picked = hash.random(now_ms, &mut StdRng::seed_from_u64(1)).map(Field::name);
        prop_assert_eq!(picked.is_some(), !alive.is_empty());
        prop_assert!(picked.is_none_or(|name| alive.contains_key(name)));
        Ok(())
    }

    proptest! {
        #[test]
        fn agrees_with_a_map(
            steps in proptest::collection::vec(
                (0_u8..8, 0_u8..40, proptest::collection::vec(any::<u8>(), 0..300), 0_i64..50),
                1..120,
            ),
        ) {
            let (mut hash, mut model, mut now_ms) = (Hash::new(), Model::new(), 0);
            for (step, name, value, time) in steps {
                let name = vec![name; 1 + name as usize % 3];
                match step {
                    0..=2 => {
                        let keep = step == 2;
                        let old = model.get(&name).and_then(|(_, deadline)| *deadline).filter(|_| keep);
                        let is_new = hash.set(&name, &value, keep);
                        prop_assert_eq!(is_new, model.insert(name, (value, old)).is_none());
                    }
                    3 | 4 => {
                        let deadline = (time > 5).then_some(now_ms + time);
                        let known = model.get_mut(&name).map(|(_, old)| *old = deadline).is_some();
                        prop_assert_eq!(hash.set_deadline(&name, deadline), known);
                    }
                    5 => prop_assert_eq!(hash.remove(&name), model.remove(&name).is_some()),
                    6 => now_ms += time,
                    _ => {
                        let due = model.values().filter(|(_, deadline)| is_due(*deadline, now_ms)).count();
                        let limit = time as usize;
                        prop_assert_eq!(hash.remove_due(now_ms, limit, &mut Names::default()), due.min(limit));
                        prop_assert_eq!(hash.remove_due(now_ms, usize::MAX, &mut Names::default()), due - due.min(limit));
                        model.retain(|_, (_, deadline)| !is_due(*deadline, now_ms));
                    }
                }
                check(&hash, &model, now_ms)?;
            }
            let mut copy = hash.clone();
            check(&copy, &model, now_ms)?;
            drop(hash);
            copy.remove_due(i64::MAX, usize::MAX, &mut Names::default());
            model.retain(|_, (_, deadline)| deadline.is_none());
            check(&copy, &model, now_ms)?;
        }
    }

    #[test]
    fn a_scan_sees_all_that_live() {
        let mut hash = Hash::new();
        for n in 0..1000_u32 {
            hash.set(&n.to_be_bytes(), b"v", false);
            if n % 10 == 0 {
                hash.set_deadline(&n.to_be_bytes(), Some(5));
            }
        }
        let (mut seen, mut cursor) = (BTreeSet::new(), 0);
        loop {
            cursor = hash.scan(cursor, 10, 6, |field| {
                seen.insert(field.name().to_vec());
            });
            if cursor == 0 {
                break;
            }
        }
        assert_eq!(seen.len(), 900);
    }
}
