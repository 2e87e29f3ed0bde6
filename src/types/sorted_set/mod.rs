//! A large sorted set: members of a score each, found by name, by score, by rank.
//!
//! Two structures share one allocation per member: the [hash table](super::table) owns the members and finds them by
//! name, a [counting B+tree](tree) has them in order of (score, member). A member of 17 bytes takes 32 bytes, about
//! 12 in the leaves of the tree and 12 in the table: some 56, where a skip list with a dictionary takes 100.
//! Finding by name is one look into the table, everything else O(log n) steps in the tree, of which the last one
//! or two leave the processor's caches.
//!
//! Scores are never NaN: who calls sees to it. Knows nothing of commands, encodings or replies.

mod element;
mod tree;

use super::prefetch::{Step, Target};
use super::table::Table;
use element::{Element, Shared};
use std::ops::Range;
use tree::{Item as _, Items, Tree};

/// See the module's head.
#[derive(Default)]
pub struct SortedSet {
    /// Owns the members.
    table: Table<Element>,
    /// Pointers to the members of `table`, all of them and no others.
    tree: Tree<Shared>,
}

/// A member in the order of its set.
pub type Ranked<'a> = (&'a [u8], f64);

fn shown(item: &Shared) -> Ranked<'_> {
    (item.member(), item.score())
}

impl SortedSet {
    pub fn new() -> SortedSet {
        SortedSet::default()
    }

    pub fn len(&self) -> usize {
        self.tree.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The score of a member.
    #[inline]
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        self.table.get(member).map(Element::score)
    }

    /// Asks the processor for memory on the way to what is wanted.
    pub fn prefetch(&self, target: Target<'_>, step: Step) {
        let (member, score) = match target {
            Target::Element(member) | Target::Ranked(member) => (member, None),
            Target::Moved(member, score) => (member, Some(score)),
            Target::First => return self.prefetch_first(step),
            Target::Any => return,
        };
        match step {
            Step::Segment | Step::Place | Step::Element => self.table.prefetch(member, step),
            Step::Leaf => {
                let own = self.table.get(member).map(Element::score);
                own.into_iter().chain(score).for_each(|score| self.tree.prefetch_leaf(score, member));
            }
            Step::Probes => score.into_iter().for_each(|score| self.tree.prefetch_probes(score, member)),
            Step::Items => score.into_iter().for_each(|score| self.tree.prefetch_items(score, member)),
        }
    }

    /// The first item, level by level, then its way through the table, which it is to be taken out of, too.
    fn prefetch_first(&self, step: Step) {
        if let Some((first, beyond)) = self.tree.prefetch_first(step as usize)
            && let Some(step) = Step::ALL.get(beyond)
        {
            self.table.prefetch(first.member(), *step);
        }
    }

    /// Asks `decide` for the new score of a member, given the one that it has: `None` leaves the set as it is.
    pub fn update(&mut self, member: &[u8], decide: impl FnOnce(Option<f64>) -> Option<f64>) {
        match self.table.get_mut(member) {
            Some(element) => {
                let old = element.score();
                let Some(new) = decide(Some(old)) else { return };
                // SAFETY: the pointer is in the tree already, and stays there until the element goes.
                let shared = unsafe { element.share() };
                self.tree.remove(&shared);
                element.set_score(new);
                self.tree.insert(shared);
            }
            None => {
                let Some(new) = decide(None) else { return };
                let shared = self.add(new, member);
                self.tree.insert(shared);
            }
        }
    }

    /// Gives a member a score; the one that it had.
    pub fn insert(&mut self, score: f64, member: &[u8]) -> Option<f64> {
        let mut before = None;
        self.update(member, |old| {
            before = old;
            Some(score)
        });
        before
    }

    /// Adds a member that comes after all others and is not in the set: how a set is built in order.
    pub fn push(&mut self, score: f64, member: &[u8]) {
        let shared = self.add(score, member);
        self.tree.push(shared);
    }

    /// Puts a new member into the table. The caller puts it into the tree.
    fn add(&mut self, score: f64, member: &[u8]) -> Shared {
        let element = Element::new(score, member);
        // SAFETY: the table is about to own the element; the pointer leaves the tree before the element goes, and
        // both are changed only by who holds the set exclusively.
        let shared = unsafe { element.share() };
        let old = self.table.insert(element);
        debug_assert!(old.is_none(), "a new member");
        shared
    }

    /// Frees a member that is no longer in the tree.
    fn forget(&mut self, shared: Shared) {
        let element = self.table.remove(shared.member());
        debug_assert!(element.is_some(), "the table holds what the tree held");
    }

    /// Takes out a member; the score that it had.
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let element = self.table.get(member)?;
        // SAFETY: used before the element goes.
        let shared = unsafe { element.share() };
        self.tree.remove(&shared);
        self.table.remove(member).map(|element| element.score())
    }

    /// Takes out the member of this rank, which is shown to `f` before.
    pub fn remove_rank<R>(&mut self, rank: usize, f: impl FnOnce(Ranked<'_>) -> R) -> Option<R> {
        let shared = self.tree.remove_rank(rank)?;
        let result = f(shown(&shared));
        self.forget(shared);
        Some(result)
    }

    /// Takes out the members of these ranks, as far as there are any.
    pub fn remove_range(&mut self, ranks: Range<usize>) {
        for _ in ranks.start..ranks.end.min(self.len()) {
            let _: Option<()> = self.remove_rank(ranks.start, |_| ());
        }
    }

    /// Rank (0 is the lowest score) and score of a member.
    pub fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        let element = self.table.get(member)?;
        // SAFETY: used while the set is borrowed.
        let shared = unsafe { element.share() };
        Some((self.tree.rank(&shared)?, element.score()))
    }

    /// The member of this rank.
    pub fn get(&self, rank: usize) -> Option<Ranked<'_>> {
        self.tree.get(rank).map(shown)
    }

    /// The members of these ranks (as far as there are any), from the first or from the last on.
    pub fn range(&self, ranks: Range<usize>, reverse: bool) -> Members<'_> {
        Members(self.tree.range(ranks, reverse))
    }

    /// The number of members whose score comes before a place in the order of scores.
    pub fn position_by_score(&self, before: impl Fn(f64) -> bool) -> usize {
        self.tree.position(|score, _| before(score))
    }

    /// The number of members that come before a place in the order of members, in a set of equal scores.
    pub fn position_by_member(&self, before: impl Fn(&[u8]) -> bool) -> usize {
        self.tree.position(|_, item| before(item.member()))
    }

    /// One step of a walk in no order, as [`Table::scan`] does it.
    pub fn scan(&self, cursor: u64, count: usize, mut f: impl FnMut(Ranked<'_>)) -> u64 {
        self.table.scan(cursor, count, |element| f((element.member(), element.score())))
    }

    /// Bytes allocated for the set, without the value itself: those of the tree, and what [`Table::heap_bytes`]
    /// says.
    pub fn heap_bytes(&self) -> usize {
        self.table.heap_bytes() + self.tree.heap_bytes()
    }
}

/// A walk over members in order.
pub struct Members<'a>(Items<'a, Shared>);

impl<'a> Iterator for Members<'a> {
    type Item = Ranked<'a>;

    #[inline]
    fn next(&mut self) -> Option<Ranked<'a>> {
        self.0.next().map(shown)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl Clone for SortedSet {
    fn clone(&self) -> SortedSet {
        let mut copy = SortedSet::new();
        self.range(0..self.len(), false).for_each(|(member, score)| copy.push(score, member));
        copy
    }
}

impl std::fmt::Debug for SortedSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.range(0..self.len(), false)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(Vec<u8>, i8),
        Add(Vec<u8>, i8),
        Remove(Vec<u8>),
        RemoveRank(usize),
        RemoveRange(usize, usize),
        Copy,
    }

    fn step() -> impl Strategy<Value = Step> {
        let member = || {
            prop_oneof![
                (0..400_u32).prop_map(|n| n.to_string().into_bytes()),
                proptest::collection::vec(any::<u8>(), 0..300),
            ]
        };
        prop_oneof![
            12 => (member(), any::<i8>()).prop_map(|(member, score)| Step::Insert(member, score)),
            3 => (member(), any::<i8>()).prop_map(|(member, score)| Step::Add(member, score)),
            4 => member().prop_map(Step::Remove),
            2 => (0..300_usize).prop_map(Step::RemoveRank),
            1 => (0..300_usize, 0..60_usize).prop_map(|(from, len)| Step::RemoveRange(from, len)),
            1 => Just(Step::Copy),
        ]
    }

    fn sorted(model: &BTreeMap<Vec<u8>, f64>) -> Vec<(Vec<u8>, f64)> {
        let mut all: Vec<_> = model.iter().map(|(member, score)| (member.clone(), *score)).collect();
        all.sort_by(|a, b| a.1.total_cmp(&b.1).then_with(|| a.0.cmp(&b.0)));
        all
    }

    fn check(set: &SortedSet, model: &BTreeMap<Vec<u8>, f64>) {
        let all = sorted(model);
        let own = |(member, score): Ranked<'_>| (member.to_vec(), score);
        assert_eq!((set.len(), set.table.len(), set.is_empty()), (all.len(), all.len(), all.is_empty()));
        assert!(set.range(0..all.len(), false).map(own).eq(all.iter().cloned()));
        assert!(set.range(0..all.len(), true).map(own).eq(all.iter().rev().cloned()));
        for (rank, (member, score)) in all.iter().enumerate() {
            assert_eq!((set.score(member), set.rank(member)), (Some(*score), Some((rank, *score))));
            assert_eq!(set.get(rank).map(own), Some((member.clone(), *score)));
        }
        assert_eq!(set.position_by_score(|score| score <= 5.0), all.iter().filter(|e| e.1 <= 5.0).count());
        let mut seen = BTreeMap::new();
        let mut cursor = 0;
        loop {
            cursor = set.scan(cursor, 10, |(member, score)| {
                seen.insert(member.to_vec(), score);
            });
            if cursor == 0 {
                break;
            }
        }
        assert_eq!(seen, *model);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn agrees_with_a_map(steps in proptest::collection::vec(step(), 1..400)) {
            let (mut set, mut model) = (SortedSet::new(), BTreeMap::new());
            for (at, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Insert(member, score) => {
                        let score = f64::from(score);
                        prop_assert_eq!(set.insert(score, &member), model.insert(member, score));
                    }
                    Step::Add(member, by) => {
                        // Only members that are there get more.
                        set.update(&member, |old| old.map(|old| old + f64::from(by)));
                        if let Some(score) = model.get_mut(&member) {
                            *score += f64::from(by);
                        }
                    }
                    Step::Remove(member) => prop_assert_eq!(set.remove(&member), model.remove(&member)),
                    Step::RemoveRank(rank) => {
                        let expected = sorted(&model).get(rank).cloned();
                        let removed = set.remove_rank(rank, |(member, score)| (member.to_vec(), score));
                        prop_assert_eq!(&removed, &expected);
                        expected.map(|(member, _)| model.remove(&member));
                    }
                    Step::RemoveRange(from, len) => {
                        set.remove_range(from..from + len);
                        for (member, _) in sorted(&model).into_iter().skip(from).take(len) {
                            model.remove(&member);
                        }
                    }
                    Step::Copy => set = set.clone(),
                }
                if at % 16 == 0 {
                    check(&set, &model);
                }
            }
            check(&set, &model);
        }
    }

    #[test]
    fn by_member_in_a_set_of_equal_scores() {
        let mut set = SortedSet::new();
        for n in 0..1000 {
            set.insert(0.0, format!("{n:04}").as_bytes());
        }
        assert_eq!(set.position_by_member(|member| member < b"0500".as_slice()), 500);
        assert_eq!(set.position_by_member(|member| member <= b"0500".as_slice()), 501);
        assert_eq!(set.position_by_member(|_| true), 1000);
        assert_eq!(set.position_by_member(|_| false), 0);
    }

    #[test]
    fn bytes_of_a_member() {
        let mut set = SortedSet::new();
        for n in 0..100_000_u32 {
            set.insert(f64::from(n.wrapping_mul(2_654_435_761)), format!("member:{n:010}").as_bytes());
        }
        let bytes = set.heap_bytes() as f64 / 100_000.0;
        assert!(bytes < 54.0, "{bytes} bytes a member");
    }
}
