//! A B+tree that counts: items in order of (score, member), found by that order or by their rank.
//!
//! B+trees are Comer's ("The Ubiquitous B-Tree", 1979); that inner nodes know how many items lie below each
//! child is what makes rank and selection take O(log n) steps. Departures from the textbook:
//!
//! - Items are small copies of something that is owned elsewhere (a pointer each), so that a leaf is eight bytes
//!   an item. To compare two items is therefore expensive, a cache miss. Inner nodes keep the score of each
//!   child's first item beside it and look at a member only where scores are equal; a leaf is searched in two
//!   rounds, each of which asks the processor for all items that it may look at before it looks at the first.
//! - An item whose place is known to hold it is found by identity, which takes no comparison of contents.
//! - A node that overflows at the end of the tree is left full, and a new one is begun: items that arrive in
//!   order fill their leaves. In the middle nodes are split in half. A node of less than half is joined with a
//!   neighbour, or takes some items from it.
//! - The sizes of nodes are classes of the allocator.
//!
//! Knows nothing of hashing, ownership or commands. Entirely safe code.

use crate::types::prefetch::prefetch;
use smallvec::SmallVec;
use std::ops::Range;

/// What a tree orders. Equality means identity: the same thing, not only one with equal contents.
pub trait Item: Copy + PartialEq {
    fn score(&self) -> f64;
    fn member(&self) -> &[u8];
    /// Asks the processor for the item's memory.
    fn prefetch(&self);
}

/// With its length a leaf takes 512 bytes.
const LEAF_ITEMS: usize = 63;
/// With its length an inner node takes 1248 bytes, of an allocator's class of 1280.
const INNER_CHILDREN: usize = 31;
/// A leaf is searched in two rounds: first one item in eight, then the eight.
const ROUND_ITEMS: usize = 8;
/// So many pointers stand in a cache line of 64 bytes.
const ITEMS_PER_LINE: usize = 8;
/// How many items ahead of the one that is visited are asked for. More than a cache holds open at once is of
/// no use.
const AHEAD_ITEMS: usize = 10;
/// Levels for which a walk needs no allocation: 15^7 leaves.
const USUAL_LEVELS: usize = 8;

type Leaf<T> = SmallVec<[T; LEAF_ITEMS]>;
type Inner<T> = SmallVec<[Child<T>; INNER_CHILDREN]>;

enum Node<T> {
    Leaf(Box<Leaf<T>>),
    Inner(Box<Inner<T>>),
}

/// A node as its parent knows it.
struct Child<T> {
    /// The score of `first`.
    score: f64,
    /// The first item below.
    first: T,
    /// Items below.
    count: usize,
    node: Node<T>,
}

/// Whether a node lies at an end of the tree.
#[derive(Clone, Copy)]
struct Edge {
    first: bool,
    last: bool,
}

/// Which item is meant.
enum Place<'a, T> {
    Rank(usize),
    Item(&'a T),
}

/// See the module's head.
pub struct Tree<T> {
    root: Node<T>,
    len: usize,
}

impl<T: Item> Default for Tree<T> {
    fn default() -> Self {
        Tree { root: Node::Leaf(Box::default()), len: 0 }
    }
}

/// Every how many items of a leaf of so many one is looked at in the first round.
#[inline]
fn probe_step(items: usize) -> usize {
    items.div_ceil(ROUND_ITEMS)
}

/// Looks at one item in `step` of a leaf, and returns between which of them the place lies.
#[inline]
fn second_round<T: Item>(items: &[T], step: usize, is_before: impl Fn(&T) -> bool) -> Range<usize> {
    let probes = (items.len() - 1) / step;
    let (mut passed, mut failed) = (0, probes + 1);
    while failed - passed > 1 {
        let middle = (passed + failed) / 2;
        if is_before(&items[middle * step]) {
            passed = middle;
        } else {
            failed = middle;
        }
    }
    let start = if passed == 0 { 0 } else { passed * step + 1 };
    start..(failed * step).min(items.len())
}

/// Whether `item` comes before a place of this score and member.
#[inline]
fn is_before<T: Item>(item_score: f64, item: &T, score: f64, member: &[u8]) -> bool {
    item_score < score || (item_score == score && item.member() < member)
}

/// How many items of a leaf come before a place; `before` says of each item (and its score) whether it does.
#[inline]
fn leaf_position<T: Item>(items: &[T], before: &impl Fn(f64, &T) -> bool) -> usize {
    let is_before = |item: &T| before(item.score(), item);
    let step = probe_step(items.len());
    let mut round = 0..items.len();
    if step > 1 {
        items.iter().skip(step).step_by(step).for_each(T::prefetch);
        round = second_round(items, step, is_before);
    }
    items[round.clone()].iter().for_each(T::prefetch);
    round.start + items[round].partition_point(is_before)
}

/// The child that a place before which all items of `before` come lies in.
#[inline]
fn inner_position<T: Item>(children: &[Child<T>], before: &impl Fn(f64, &T) -> bool) -> usize {
    children[1..].partition_point(|child| before(child.score, &child.first))
}

/// Inserts an element into a node, which is split if it is full: the right part is returned then.
fn insert_into<E, const N: usize>(
    node: &mut SmallVec<[E; N]>,
    at: usize,
    element: E,
    edge: Edge,
) -> Option<Box<SmallVec<[E; N]>>> {
    if node.len() < N {
        node.insert(at, element);
        return None;
    }
    let from = match at {
        0 if edge.first => 0,
        at if edge.last && at == N => N,
        _ => N / 2,
    };
    let mut right: Box<SmallVec<[E; N]>> = Box::default();
    right.extend(node.drain(from..));
    if at <= from && from < N {
        node.insert(at, element);
    } else {
        right.insert(at - from, element);
    }
    Some(right)
}

/// Puts all elements of two neighbours into the left one if it has room, and says so; otherwise gives each
/// half of them.
fn join<E, const N: usize>(left: &mut SmallVec<[E; N]>, right: &mut SmallVec<[E; N]>) -> bool {
    let total = left.len() + right.len();
    if total <= N {
        left.extend(right.drain(..));
        return true;
    }
    let half = total / 2;
    if left.len() > half {
        right.insert_many(0, left.drain(half..));
    } else {
        let missing = half - left.len();
        left.extend(right.drain(..missing));
    }
    false
}

impl<T: Item> Child<T> {
    /// `None` for a node without items.
    fn new(node: Node<T>) -> Option<Child<T>> {
        let (first, score, count) = node.summary()?;
        Some(Child { score, first, count, node })
    }

    /// Looks at the node again after it has changed. It must have items.
    fn refresh(&mut self) {
        if let Some((first, score, count)) = self.node.summary() {
            (self.first, self.score, self.count) = (first, score, count);
        }
    }
}

impl<T: Item> Node<T> {
    /// First item, its score, number of items.
    fn summary(&self) -> Option<(T, f64, usize)> {
        match self {
            Node::Leaf(items) => items.first().map(|first| (*first, first.score(), items.len())),
            Node::Inner(children) => {
                let count = children.iter().map(|child| child.count).sum();
                children.first().map(|child| (child.first, child.score, count))
            }
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Node::Leaf(items) => items.is_empty(),
            Node::Inner(children) => children.is_empty(),
        }
    }

    /// Whether it is less than half full.
    fn is_sparse(&self) -> bool {
        match self {
            Node::Leaf(items) => items.len() < LEAF_ITEMS / 2,
            Node::Inner(children) => children.len() < INNER_CHILDREN / 2,
        }
    }

    /// Returns the right part if the node was split.
    fn insert(&mut self, item: T, before: &impl Fn(f64, &T) -> bool, edge: Edge) -> Option<Child<T>> {
        match self {
            Node::Leaf(items) => {
                let at = leaf_position(items, before);
                Child::new(Node::Leaf(insert_into(items, at, item, edge)?))
            }
            Node::Inner(children) => {
                let at = inner_position(children, before);
                let below =
                    Edge { first: edge.first && at == 0, last: edge.last && at + 1 == children.len() };
                let child = &mut children[at];
                if at == 0 && !before(child.score, &child.first) {
                    (child.first, child.score) = (item, item.score());
                }
                child.count += 1;
                let right = child.node.insert(item, before, below)?;
                child.count -= right.count;
                Child::new(Node::Inner(insert_into(children, at + 1, right, edge)?))
            }
        }
    }

    fn remove(&mut self, place: Place<'_, T>) -> Option<T> {
        match self {
            Node::Leaf(items) => {
                let at = match place {
                    Place::Rank(rank) => rank,
                    Place::Item(item) => items.iter().position(|other| other == item)?,
                };
                (at < items.len()).then(|| items.remove(at))
            }
            Node::Inner(children) => {
                let (at, below) = match place {
                    Place::Rank(rank) => {
                        let (at, rank) = by_rank(children, rank);
                        (at, Place::Rank(rank))
                    }
                    Place::Item(item) => (child_of(children, item), Place::Item(item)),
                };
                let child = &mut children[at];
                let removed = child.node.remove(below)?;
                child.count -= 1;
                if child.node.is_sparse() {
                    mend(children, at);
                } else if child.first == removed {
                    child.refresh();
                }
                Some(removed)
            }
        }
    }
}

/// The child that holds the item of this rank, and the rank within it.
#[inline]
fn by_rank<T>(children: &[Child<T>], mut rank: usize) -> (usize, usize) {
    for (at, child) in children.iter().enumerate() {
        if rank < child.count {
            return (at, rank);
        }
        rank -= child.count;
    }
    (children.len() - 1, usize::MAX)
}

/// The child that holds this item, if any does.
#[inline]
fn child_of<T: Item>(children: &[Child<T>], item: &T) -> usize {
    let (score, member) = (item.score(), item.member());
    inner_position(children, &|other_score, other: &T| {
        other == item || is_before(other_score, other, score, member)
    })
}

/// Child `at` became sparse: it is joined with a neighbour.
fn mend<T: Item>(children: &mut Inner<T>, at: usize) {
    if children.len() == 1 {
        // Only at an end of the tree; the parent has to see to this node.
        if children[0].node.is_empty() {
            children.clear();
        } else {
            children[0].refresh();
        }
        return;
    }
    let left = at.saturating_sub(1);
    let [a, b] = &mut children[left..=left + 1] else { unreachable!("two neighbours") };
    let joined = match (&mut a.node, &mut b.node) {
        (Node::Leaf(a), Node::Leaf(b)) => join(a, b),
        (Node::Inner(a), Node::Inner(b)) => join(a, b),
        _ => unreachable!("neighbours are of the same height"),
    };
    a.refresh();
    b.refresh();
    if joined {
        children.remove(left + 1);
    }
}

impl<T: Item> Tree<T> {
    pub fn len(&self) -> usize {
        self.len
    }

    fn insert_by(&mut self, item: T, before: &impl Fn(f64, &T) -> bool) {
        self.len += 1;
        let Some(right) = self.root.insert(item, before, Edge { first: true, last: true }) else { return };
        let old = std::mem::replace(&mut self.root, Node::Inner(Box::default()));
        if let Node::Inner(children) = &mut self.root {
            children.extend(Child::new(old));
            children.push(right);
        }
    }

    /// Adds an item, whose member is not in the tree.
    pub fn insert(&mut self, item: T) {
        let (score, member) = (item.score(), item.member());
        self.insert_by(item, &|other_score, other: &T| is_before(other_score, other, score, member));
    }

    /// Adds an item that comes after all others.
    pub fn push(&mut self, item: T) {
        self.insert_by(item, &|_, _: &T| true);
    }

    fn remove_at(&mut self, place: Place<'_, T>) -> Option<T> {
        let removed = self.root.remove(place)?;
        self.len -= 1;
        while let Node::Inner(children) = &mut self.root
            && children.len() < 2
        {
            self.root = children.pop().map_or(Node::Leaf(Box::default()), |only| only.node);
        }
        Some(removed)
    }

    /// Takes out this item; whether it was there.
    pub fn remove(&mut self, item: &T) -> bool {
        self.remove_at(Place::Item(item)).is_some()
    }

    /// Takes out the item of this rank.
    pub fn remove_rank(&mut self, rank: usize) -> Option<T> {
        self.remove_at(Place::Rank(rank))
    }

    /// How many items come before `item`, which is in the tree.
    pub fn rank(&self, item: &T) -> Option<usize> {
        let (mut node, mut rank) = (&self.root, 0);
        loop {
            match node {
                Node::Leaf(items) => return items.iter().position(|other| other == item).map(|at| rank + at),
                Node::Inner(children) => {
                    let at = child_of(children, item);
                    rank += children[..at].iter().map(|child| child.count).sum::<usize>();
                    node = &children[at].node;
                }
            }
        }
    }

    /// The leaf that a place lies in.
    fn leaf(&self, score: f64, member: &[u8]) -> &[T] {
        let before = |other_score: f64, other: &T| is_before(other_score, other, score, member);
        let mut node = &self.root;
        loop {
            match node {
                Node::Leaf(items) => return items,
                Node::Inner(children) => node = &children[inner_position(children, &before)].node,
            }
        }
    }

    /// Asks the processor for the leaf that a place lies in.
    pub fn prefetch_leaf(&self, score: f64, member: &[u8]) {
        self.leaf(score, member).iter().step_by(ITEMS_PER_LINE).for_each(|item| {
            prefetch(std::ptr::from_ref(item).cast());
        });
    }

    /// Asks for the items of that leaf that are looked at in the first round of a search.
    pub fn prefetch_probes(&self, score: f64, member: &[u8]) {
        let items = self.leaf(score, member);
        let step = probe_step(items.len());
        items.iter().skip(step).step_by(step.max(1)).for_each(T::prefetch);
    }

    /// Asks for the items that are looked at in the second round.
    pub fn prefetch_items(&self, score: f64, member: &[u8]) {
        let items = self.leaf(score, member);
        let step = probe_step(items.len());
        if step > 1 {
            let before = |item: &T| is_before(item.score(), item, score, member);
            items[second_round(items, step, before)].iter().for_each(T::prefetch);
        }
    }

    /// Asks for the first node so many levels below the root, or the first item below the last of them. Returns that
    /// item, and by how much the level is below it, if it is.
    pub fn prefetch_first(&self, level: usize) -> Option<(&T, usize)> {
        let mut node = &self.root;
        for passed in 0..level {
            match node {
                Node::Inner(children) => node = &children[0].node,
                Node::Leaf(items) => {
                    let (first, beyond) = (items.first()?, level - passed - 1);
                    if beyond > 0 {
                        return Some((first, beyond - 1));
                    }
                    first.prefetch();
                    return None;
                }
            }
        }
        prefetch(match node {
            Node::Leaf(items) => std::ptr::from_ref::<Leaf<T>>(items).cast(),
            Node::Inner(children) => std::ptr::from_ref::<Inner<T>>(children).cast(),
        });
        None
    }

    /// The number of items of which `before` says that they come before a place: it is given the score and the
    /// item, and must hold of all items up to that place and of none behind it.
    pub fn position(&self, before: impl Fn(f64, &T) -> bool) -> usize {
        let (mut node, mut rank) = (&self.root, 0);
        loop {
            match node {
                Node::Leaf(items) => return rank + leaf_position(items, &before),
                Node::Inner(children) => {
                    let at = inner_position(children, &before);
                    rank += children[..at].iter().map(|child| child.count).sum::<usize>();
                    node = &children[at].node;
                }
            }
        }
    }

    /// The item of this rank.
    pub fn get(&self, mut rank: usize) -> Option<&T> {
        let mut node = &self.root;
        loop {
            match node {
                Node::Leaf(items) => return items.get(rank),
                Node::Inner(children) => {
                    let (at, below) = by_rank(children, rank);
                    (node, rank) = (&children[at].node, below);
                }
            }
        }
    }

    /// The items of these ranks (as far as there are any), from the first or from the last on.
    pub fn range(&self, ranks: Range<usize>, reverse: bool) -> Items<'_, T> {
        let end = ranks.end.min(self.len);
        let mut items =
            Items { path: SmallVec::new(), leaf: &[], at: 0, left: end.saturating_sub(ranks.start), reverse };
        if items.left > 0 {
            let mut node = &self.root;
            let mut rank = if reverse { end - 1 } else { ranks.start };
            while let Node::Inner(children) = node {
                let (at, below) = by_rank(children, rank);
                items.path.push((children, at));
                (node, rank) = (&children[at].node, below);
            }
            items.enter(node);
            items.at = rank + reverse as usize;
        }
        items
    }

    /// Bytes allocated for nodes, as asked of the allocator.
    pub fn heap_bytes(&self) -> usize {
        fn bytes<T>(node: &Node<T>) -> usize {
            match node {
                Node::Leaf(_) => size_of::<Leaf<T>>(),
                Node::Inner(children) => match &children[0].node {
                    // All are of the same height: no need to visit each leaf.
                    Node::Leaf(_) => size_of::<Inner<T>>() + children.len() * size_of::<Leaf<T>>(),
                    Node::Inner(_) => {
                        size_of::<Inner<T>>() + children.iter().map(|child| bytes(&child.node)).sum::<usize>()
                    }
                },
            }
        }
        bytes(&self.root)
    }
}

/// The children of an inner node, and the one of them that a walk is in.
type Level<'a, T> = (&'a [Child<T>], usize);

/// A walk over items in order.
pub struct Items<'a, T> {
    /// From the root down.
    path: SmallVec<[Level<'a, T>; USUAL_LEVELS]>,
    leaf: &'a [T],
    /// The next item of the leaf, or the one before which the next one lies if the walk is backwards.
    at: usize,
    /// Items still to come.
    left: usize,
    reverse: bool,
}

impl<'a, T: Item> Items<'a, T> {
    /// Goes down to the first leaf below a node, or the last one.
    fn enter(&mut self, mut node: &'a Node<T>) {
        while let Node::Inner(children) = node {
            let at = if self.reverse { children.len() - 1 } else { 0 };
            self.path.push((children, at));
            node = &children[at].node;
        }
        let Node::Leaf(items) = node else { return };
        self.leaf = items;
        self.at = if self.reverse { items.len() } else { 0 };
        let soon = self.left.min(AHEAD_ITEMS);
        if self.reverse {
            items.iter().rev().take(soon).for_each(T::prefetch);
        } else {
            items.iter().take(soon).for_each(T::prefetch);
        }
    }

    /// Goes to the neighbour of the leaf.
    fn step(&mut self) -> Option<()> {
        loop {
            let (children, at) = self.path.pop()?;
            let next = if self.reverse { at.checked_sub(1) } else { Some(at + 1) };
            if let Some(child) = next.and_then(|next| children.get(next)) {
                self.path.push((children, next?));
                self.enter(&child.node);
                return Some(());
            }
        }
    }
}

impl<'a, T: Item> Iterator for Items<'a, T> {
    type Item = &'a T;

    #[inline]
    fn next(&mut self) -> Option<&'a T> {
        self.left = self.left.checked_sub(1)?;
        if self.reverse {
            if self.at == 0 {
                self.step()?;
            }
            self.at -= 1;
            if let Some(ahead) = self.at.checked_sub(AHEAD_ITEMS) {
                self.leaf[ahead].prefetch();
            }
            self.leaf.get(self.at)
        } else {
            if self.at == self.leaf.len() {
                self.step()?;
            }
            self.at += 1;
            if let Some(ahead) = self.leaf.get(self.at + AHEAD_ITEMS) {
                ahead.prefetch();
            }
            self.leaf.get(self.at - 1)
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T: Item> ExactSizeIterator for Items<'_, T> {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// An item that a test owns for ever. Its number tells it from others.
    #[derive(Clone, Copy, Debug)]
    struct Name {
        score: f64,
        member: [u8; 4],
    }

    impl PartialEq for Name {
        fn eq(&self, other: &Name) -> bool {
            self.member == other.member
        }
    }

    impl Item for Name {
        fn score(&self) -> f64 {
            self.score
        }

        fn member(&self) -> &[u8] {
            &self.member
        }

        fn prefetch(&self) {}
    }

    /// Scores are whole numbers, so that the model can order them.
    type Model = BTreeSet<(i64, [u8; 4])>;

    fn name((score, member): (i64, [u8; 4])) -> Name {
        Name { score: score as f64, member }
    }

    fn plain(name: &Name) -> (i64, [u8; 4]) {
        (name.score as i64, name.member)
    }

    /// Checks a node and returns its height and its number of items.
    fn check(node: &Node<Name>, edge: Edge, is_root: bool) -> (usize, usize) {
        let at_edge = edge.first || edge.last || is_root;
        assert!(at_edge || !node.is_sparse(), "a sparse node in the middle");
        assert!(is_root || !node.is_empty(), "an empty node");
        match node {
            Node::Leaf(items) => {
                assert!(!items.spilled());
                assert!(items.is_sorted_by_key(plain));
                (0, items.len())
            }
            Node::Inner(children) => {
                assert!(!children.spilled() && (!is_root || children.len() > 1));
                let (mut heights, mut total) = (BTreeSet::new(), 0);
                for (at, child) in children.iter().enumerate() {
                    let last = edge.last && at + 1 == children.len();
                    let (height, count) =
                        check(&child.node, Edge { first: edge.first && at == 0, last }, false);
                    assert_eq!(child.count, count);
                    let (first, score, _) = child.node.summary().unwrap();
                    assert_eq!((plain(&child.first), child.score), (plain(&first), score));
                    heights.insert(height);
                    total += count;
                }
                assert_eq!(heights.len(), 1, "leaves at different heights");
                (heights.first().unwrap() + 1, total)
            }
        }
    }

    fn check_all(tree: &Tree<Name>, model: &Model) {
        let (_, count) = check(&tree.root, Edge { first: true, last: true }, true);
        assert_eq!((count, tree.len()), (model.len(), model.len()));
        assert!(tree.range(0..usize::MAX, false).map(plain).eq(model.iter().copied()));
        assert!(tree.range(0..count, true).map(plain).eq(model.iter().rev().copied()));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(i64, u32),
        /// That many that come after all others.
        Append(usize),
        /// That many that come before all others.
        Prepend(usize),
        Remove(prop::sample::Index),
        RemoveFirst(usize),
        RemoveLast(usize),
        RemoveRange(prop::sample::Index, usize),
        Look(prop::sample::Index, prop::sample::Index),
    }

    fn step(scores: i64) -> impl Strategy<Value = Step> {
        let insert = (0..scores, any::<u32>()).prop_map(|(score, member)| Step::Insert(score, member));
        prop_oneof![
            20 => insert,
            2 => (1..200_usize).prop_map(Step::Append),
            1 => (1..200_usize).prop_map(Step::Prepend),
            6 => any::<prop::sample::Index>().prop_map(Step::Remove),
            1 => (1..150_usize).prop_map(Step::RemoveFirst),
            1 => (1..150_usize).prop_map(Step::RemoveLast),
            1 => (any::<prop::sample::Index>(), 1..200_usize).prop_map(|(at, n)| Step::RemoveRange(at, n)),
            3 => (any::<prop::sample::Index>(), any::<prop::sample::Index>()).prop_map(|(a, b)| Step::Look(a, b)),
        ]
    }

    fn apply(tree: &mut Tree<Name>, model: &mut Model, step: Step, used: &mut BTreeSet<[u8; 4]>) {
        let mut add = |model: &mut Model, tree: &mut Tree<Name>, score: i64, member: [u8; 4], push: bool| {
            if used.insert(member) {
                model.insert((score, member));
                let item = name((score, member));
                if push { tree.push(item) } else { tree.insert(item) }
            }
        };
        match step {
            Step::Insert(score, member) => add(model, tree, score, member.to_be_bytes(), false),
            Step::Append(count) => {
                for n in 0..count {
                    let score = model.last().map_or(0, |last| last.0 + 1);
                    add(
                        model,
                        tree,
                        score,
                        (n as u32).wrapping_add(score as u32).wrapping_mul(3).to_le_bytes(),
                        n % 2 == 0,
                    );
                }
            }
            Step::Prepend(count) => {
                for n in 0..count {
                    let score = model.first().map_or(0, |first| first.0 - 1);
                    add(
                        model,
                        tree,
                        score,
                        (n as u32).wrapping_add(score as u32).wrapping_mul(5).to_le_bytes(),
                        false,
                    );
                }
            }
            Step::Remove(at) if !model.is_empty() => {
                let gone = *at.get(&model.iter().copied().collect::<Vec<_>>());
                model.remove(&gone);
                assert!(tree.remove(&name(gone)));
                assert!(!tree.remove(&name(gone)));
            }
            Step::RemoveFirst(count) => {
                for _ in 0..count {
                    assert_eq!(tree.remove_rank(0).as_ref().map(plain), model.pop_first());
                }
            }
            Step::RemoveLast(count) => {
                for _ in 0..count {
                    let removed = tree.remove_rank(model.len().saturating_sub(1));
                    assert_eq!(removed.as_ref().map(plain), model.pop_last());
                }
            }
            Step::RemoveRange(at, count) => {
                let from = at.index(model.len() + 1);
                let gone: Vec<_> = model.iter().skip(from).take(count).copied().collect();
                for expected in gone {
                    model.remove(&expected);
                    assert_eq!(tree.remove_rank(from).as_ref().map(plain), Some(expected));
                }
                assert!(tree.remove_rank(model.len()).is_none());
            }
            Step::Look(a, b) => {
                let all: Vec<_> = model.iter().copied().collect();
                let (a, b) = (a.index(all.len() + 1), b.index(all.len() + 1));
                let (from, to) = (a.min(b), a.max(b));
                assert!(tree.range(from..to, false).map(plain).eq(all[from..to].iter().copied()));
                assert!(tree.range(from..to, true).map(plain).eq(all[from..to].iter().rev().copied()));
                assert_eq!(tree.range(from..to, true).len(), to - from);
                assert_eq!(tree.get(a).map(plain), all.get(a).copied());
                if let Some(wanted) = all.get(a) {
                    assert_eq!(tree.rank(&name(*wanted)), Some(a));
                    let below = all.iter().filter(|other| other.0 < wanted.0).count();
                    assert_eq!(tree.position(|score, _| score < wanted.0 as f64), below);
                    let place =
                        tree.position(|score, item| is_before(score, item, wanted.0 as f64, &wanted.1));
                    assert_eq!(place, a);
                }
            }
            Step::Remove(_) => {}
        }
    }

    fn run(steps: Vec<Step>) {
        let (mut tree, mut model, mut used) = (Tree::default(), Model::new(), BTreeSet::new());
        for step in steps {
            apply(&mut tree, &mut model, step, &mut used);
            check_all(&tree, &model);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn agrees_with_a_set(steps in proptest::collection::vec(step(1_000_000), 1..250)) {
            run(steps);
        }

        #[test]
        fn agrees_with_a_set_of_equal_scores(steps in proptest::collection::vec(step(3), 1..250)) {
            run(steps);
        }
    }

    #[test]
    fn nodes_are_of_classes_of_the_allocator() {
        assert_eq!(size_of::<Leaf<&u8>>(), 512);
        assert!(size_of::<Inner<&u8>>() <= 1280);
    }

    #[test]
    fn items_in_order_fill_their_leaves() {
        for descending in [false, true] {
            let mut tree = Tree::default();
            for n in 0..10_000_i64 {
                let score = if descending { -n } else { n };
                tree.insert(name((score, (n as u32).to_be_bytes())));
            }
            check(&tree.root, Edge { first: true, last: true }, true);
            let full = 10_000 / LEAF_ITEMS * size_of::<Leaf<Name>>();
            assert!(tree.heap_bytes() < full + full / 8, "{} of {full}", tree.heap_bytes());
            let mut gone = 0;
            while tree.remove_rank(0).is_some() {
                gone += 1;
                if gone % 100 == 0 {
                    check(&tree.root, Edge { first: true, last: true }, true);
                }
            }
            assert_eq!((gone, tree.len(), tree.heap_bytes()), (10_000, 0, size_of::<Leaf<Name>>()));
        }
    }

    #[test]
    fn items_in_any_order_leave_leaves_two_thirds_full() {
        let mut tree = Tree::default();
        let mut state = 1_u32;
        for _ in 0..100_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            tree.insert(name((i64::from(state), state.to_be_bytes())));
        }
        check(&tree.root, Edge { first: true, last: true }, true);
        let bytes_per_item = size_of::<Leaf<Name>>() as f64 / LEAF_ITEMS as f64;
        assert!((tree.heap_bytes() as f64) < 100_000.0 * bytes_per_item / 0.60);
    }
}
