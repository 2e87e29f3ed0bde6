//! Consumer groups: who has read how far, and which entries are delivered and not acknowledged yet.
//!
//! A pending entry is known to its group, with whom it was delivered to, when, and how often; and by its ID
//! alone to its consumer. Both are ordered by ID. Consumers are numbered, so that a pending entry need not
//! repeat a name.

use super::id::Id;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// The number of a consumer within its group.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ConsumerId(u32);

/// An entry that was delivered and not acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pending {
    pub consumer: ConsumerId,
    /// When it was delivered last: Unix time in milliseconds.
    pub delivered_ms: i64,
    /// How often it was delivered.
    pub deliveries: u64,
}

/// A member of a group.
#[derive(Clone, Debug)]
pub struct Consumer {
    name: Box<[u8]>,
    /// When it last tried to read or claim: Unix time in milliseconds.
    pub seen_ms: i64,
    /// When it last got something, if it ever did.
    pub active_ms: Option<i64>,
    pending: BTreeSet<Id>,
}

impl Consumer {
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// The entries that it has not acknowledged.
    pub fn pending(&self) -> &BTreeSet<Id> {
        &self.pending
    }
}

/// A consumer group.
#[derive(Clone, Debug)]
pub struct Group {
    /// The last ID that was delivered.
    pub last_id: Id,
    /// How many entries up to that one were ever added to the stream, if that is known.
    pub entries_read: Option<u64>,
    pending: BTreeMap<Id, Pending>,
    /// By number; a place is empty once its consumer is gone.
    consumers: Vec<Option<Consumer>>,
    /// The numbers of all consumers in the order of their names.
    by_name: Vec<ConsumerId>,
}

/// A consumer of a group that is made as a whole.
#[derive(Clone, Debug)]
pub struct NewConsumer {
    pub name: Vec<u8>,
    pub seen_ms: i64,
    pub active_ms: Option<i64>,
    pub pending: Vec<Id>,
}

/// An entry that is pending in a group that is made as a whole.
#[derive(Clone, Copy, Debug)]
pub struct NewPending {
    pub id: Id,
    pub delivered_ms: i64,
    pub deliveries: u64,
}

/// Why a group cannot be made of its parts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Contradiction {
    ConsumerTwice,
    PendingTwice,
    /// A consumer has an entry that is not pending.
    NotPending,
    /// Two consumers, or one twice, have the same entry.
    OwnedTwice,
    /// An entry is pending, but for no consumer.
    Unowned,
}

impl Group {
    /// A group of all its parts, in any order.
    pub fn of_parts(
        last_id: Id,
        entries_read: Option<u64>,
        mut pending: Vec<NewPending>,
        mut consumers: Vec<NewConsumer>,
    ) -> Result<Group, Contradiction> {
        pending.sort_unstable_by_key(|pending| pending.id);
        consumers.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        if pending.windows(2).any(|two| two[0].id == two[1].id) {
            return Err(Contradiction::PendingTwice);
        }
        if consumers.windows(2).any(|two| two[0].name == two[1].name) {
            return Err(Contradiction::ConsumerTwice);
        }
        let mut owners: Vec<Option<ConsumerId>> = vec![None; pending.len()];
        for (number, consumer) in consumers.iter().enumerate() {
            for id in &consumer.pending {
                let at = pending.binary_search_by_key(id, |pending| pending.id);
                let owner = &mut owners[at.map_err(|_| Contradiction::NotPending)?];
                if owner.replace(ConsumerId(number as u32)).is_some() {
                    return Err(Contradiction::OwnedTwice);
                }
            }
        }
        let owned = |(new, owner): (NewPending, Option<ConsumerId>)| {
            let consumer = owner.ok_or(Contradiction::Unowned)?;
            Ok((new.id, Pending { consumer, delivered_ms: new.delivered_ms, deliveries: new.deliveries }))
        };
        Ok(Group {
            last_id,
            entries_read,
            pending: pending.into_iter().zip(owners).map(owned).collect::<Result<_, Contradiction>>()?,
            by_name: (0..consumers.len() as u32).map(ConsumerId).collect(),
            consumers: consumers
                .into_iter()
                .map(|new| {
                    Some(Consumer {
                        name: new.name.into(),
                        seen_ms: new.seen_ms,
                        active_ms: new.active_ms,
                        pending: new.pending.into_iter().collect(),
                    })
                })
                .collect(),
        })
    }

    pub fn new(last_id: Id, entries_read: Option<u64>) -> Group {
        Group { last_id, entries_read, pending: BTreeMap::new(), consumers: Vec::new(), by_name: Vec::new() }
    }

    fn slot(&self, id: ConsumerId) -> Option<&Consumer> {
        self.consumers.get(id.0 as usize)?.as_ref()
    }

    fn search(&self, name: &[u8]) -> Result<usize, usize> {
        self.by_name.binary_search_by(|id| self.consumer(*id).name().cmp(name))
    }

    /// A consumer by its number.
    ///
    /// # Panics
    /// If it is gone: whoever removes a consumer forgets its number.
    pub fn consumer(&self, id: ConsumerId) -> &Consumer {
        self.slot(id).expect("numbers of consumers that are gone are not kept")
    }

    /// A consumer by its number, to be changed.
    ///
    /// # Panics
    /// As [`Group::consumer`].
    pub fn consumer_mut(&mut self, id: ConsumerId) -> &mut Consumer {
        let slot = self.consumers.get_mut(id.0 as usize).and_then(Option::as_mut);
        slot.expect("numbers of consumers that are gone are not kept")
    }

    /// The consumer of this name.
    pub fn find_consumer(&self, name: &[u8]) -> Option<ConsumerId> {
        self.search(name).ok().map(|at| self.by_name[at])
    }

    /// All consumers in the order of their names.
    pub fn consumers(&self) -> impl ExactSizeIterator<Item = &Consumer> {
        self.by_name.iter().map(|id| self.consumer(*id))
    }

    /// The consumer of this name, and whether it had to be created.
    pub fn find_or_create_consumer(&mut self, name: &[u8], now_ms: i64) -> (ConsumerId, bool) {
        let at = match self.search(name) {
            Ok(at) => return (self.by_name[at], false),
            Err(at) => at,
        };
        let consumer =
            Consumer { name: name.into(), seen_ms: now_ms, active_ms: None, pending: BTreeSet::new() };
        // An empty place is looked for only if there is one.
        let is_full = self.consumers.len() == self.by_name.len();
        let free = if is_full { None } else { self.consumers.iter().position(Option::is_none) };
        let slot = free.unwrap_or_else(|| {
            self.consumers.push(None);
            self.consumers.len() - 1
        });
        self.consumers[slot] = Some(consumer);
        let id = ConsumerId(slot as u32);
        self.by_name.insert(at, id);
        (id, true)
    }

    /// Removes a consumer with what is pending for it. Returns how much that was.
    pub fn remove_consumer(&mut self, name: &[u8]) -> Option<usize> {
        let at = self.search(name).ok()?;
        let id = self.by_name.remove(at);
        let consumer = self.consumers[id.0 as usize].take()?;
        consumer.pending.iter().for_each(|entry| {
            self.pending.remove(entry);
        });
        Some(consumer.pending.len())
    }

    /// All pending entries, of all consumers.
    pub fn pending(&self) -> &BTreeMap<Id, Pending> {
        &self.pending
    }

    /// The pending entries of a range, of one consumer or of all.
    pub fn pending_in(
        &self,
        ids: RangeInclusive<Id>,
        consumer: Option<ConsumerId>,
    ) -> Box<dyn Iterator<Item = (Id, Pending)> + '_> {
        if ids.is_empty() {
            return Box::new(std::iter::empty());
        }
        match consumer {
            None => Box::new(self.pending.range(ids).map(|(id, pending)| (*id, *pending))),
            Some(consumer) => {
                let own = self.consumer(consumer).pending.range(ids);
                Box::new(own.filter_map(|id| Some((*id, *self.pending.get(id)?))))
            }
        }
    }

    /// Delivers an entry to a consumer, for the first time or anew.
    pub fn deliver(&mut self, entry: Id, consumer: ConsumerId, now_ms: i64) {
        self.assign(entry, Pending { consumer, delivered_ms: now_ms, deliveries: 1 });
        self.consumer_mut(consumer).active_ms = Some(now_ms);
    }

    /// Makes an entry pending as said, whoever had it before.
    pub fn assign(&mut self, entry: Id, pending: Pending) {
        match self.pending.insert(entry, pending) {
            Some(before) if before.consumer == pending.consumer => return,
            Some(before) => {
                self.consumer_mut(before.consumer).pending.remove(&entry);
            }
            None => {}
        }
        self.consumer_mut(pending.consumer).pending.insert(entry);
    }

    /// Notes that a consumer got an entry once more that is pending for it.
    pub fn redeliver(&mut self, entry: Id, now_ms: i64) {
        if let Some(pending) = self.pending.get_mut(&entry) {
            pending.delivered_ms = now_ms;
            pending.deliveries = pending.deliveries.wrapping_add(1);
        }
    }

    /// Forgets a pending entry; `false` if it was not pending.
    pub fn acknowledge(&mut self, entry: Id) -> bool {
        let Some(pending) = self.pending.remove(&entry) else { return false };
        self.consumer_mut(pending.consumer).pending.remove(&entry);
        true
    }

    /// Bytes allocated, roughly: trees are counted as if their nodes were two thirds full.
    fn heap_bytes(&self) -> usize {
        let tree = |len: usize, bytes: usize| len * bytes * 3 / 2;
        let consumers: usize =
            self.consumers().map(|consumer| consumer.name.len() + tree(consumer.pending.len(), 16)).sum();
        self.consumers.capacity() * size_of::<Option<Consumer>>()
            + self.by_name.capacity() * size_of::<ConsumerId>()
            + tree(self.pending.len(), size_of::<(Id, Pending)>())
            + consumers
    }
}

/// The groups of a stream, in the order of their names.
#[derive(Clone, Debug, Default)]
pub struct Groups(BTreeMap<Box<[u8]>, Group>);

impl Groups {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn get(&self, name: &[u8]) -> Option<&Group> {
        self.0.get(name)
    }

    pub fn get_mut(&mut self, name: &[u8]) -> Option<&mut Group> {
        self.0.get_mut(name)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Group)> {
        self.0.iter().map(|(name, group)| (&**name, group))
    }

    /// Adds a group; `false` if there is one of this name.
    pub fn add(&mut self, name: &[u8], group: Group) -> bool {
        let is_new = !self.0.contains_key(name);
        if is_new {
            self.0.insert(name.into(), group);
        }
        is_new
    }

    pub fn remove(&mut self, name: &[u8]) -> Option<Group> {
        self.0.remove(name)
    }

    /// Whether a group has still to read an entry, or to acknowledge it.
    pub fn refer_to(&self, entry: Id) -> bool {
        self.0.values().any(|group| group.last_id < entry || group.pending.contains_key(&entry))
    }

    /// Removes an entry from what is pending in any group. Returns in how many it was.
    pub fn forget(&mut self, entry: Id) -> usize {
        self.0.values_mut().filter_map(|group| group.acknowledge(entry).then_some(())).count()
    }

    /// Pending entries of all groups.
    pub fn pending(&self) -> usize {
        self.0.values().map(|group| group.pending.len()).sum()
    }

    /// Bytes allocated.
    pub fn heap_bytes(&self) -> usize {
        let bytes = |(name, group): (&[u8], &Group)| {
            name.len() + size_of::<(Box<[u8]>, Group)>() + group.heap_bytes()
        };
        self.iter().map(bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consumers_are_found_by_name_and_numbers_used_again() {
        let mut group = Group::new(Id::MIN, None);
        let (b, is_new) = group.find_or_create_consumer(b"b", 5);
        assert!(is_new);
        let (a, _) = group.find_or_create_consumer(b"a", 6);
        assert_eq!(group.find_or_create_consumer(b"b", 7), (b, false));
        assert_eq!(group.consumers().map(Consumer::name).collect::<Vec<_>>(), [b"a", b"b"]);
        for seq in 1..=3 {
            group.deliver(Id::new(1, seq), if seq == 2 { a } else { b }, 10);
        }
        assert_eq!(group.remove_consumer(b"b"), Some(2));
        assert_eq!(group.remove_consumer(b"b"), None);
        assert_eq!(group.pending().len(), 1);
        let (c, _) = group.find_or_create_consumer(b"c", 11);
        assert_eq!(c, b);
        assert!(group.consumer(c).pending().is_empty());
    }

    #[test]
    fn a_group_is_made_of_parts_that_fit() {
        let id = |seq| Id::new(1, seq);
        let pending = |seqs: &[u64]| -> Vec<NewPending> {
            seqs.iter().map(|seq| NewPending { id: id(*seq), delivered_ms: 5, deliveries: *seq }).collect()
        };
        let consumer = |name: &str, seqs: &[u64]| NewConsumer {
            name: name.into(),
            seen_ms: 7,
            active_ms: None,
            pending: seqs.iter().map(|seq| id(*seq)).collect(),
        };
        let make = |seqs: &[u64], consumers: Vec<NewConsumer>| {
            Group::of_parts(id(9), Some(4), pending(seqs), consumers)
        };
        let mut group = make(&[3, 1, 2], vec![consumer("b", &[1, 3]), consumer("a", &[2])]).unwrap();
        let names: Vec<&[u8]> = group.consumers().map(Consumer::name).collect();
        assert_eq!(names, [b"a", b"b"]);
        let b = group.find_consumer(b"b").unwrap();
        assert_eq!(group.pending()[&id(3)], Pending { consumer: b, delivered_ms: 5, deliveries: 3 });
        assert!(group.acknowledge(id(1)));
        assert!(group.consumer(b).pending().iter().eq(&[id(3)]));
        for (seqs, consumers, expected) in [
            (&[1, 1][..], vec![consumer("a", &[1])], Contradiction::PendingTwice),
            (&[1], vec![consumer("a", &[1]), consumer("a", &[])], Contradiction::ConsumerTwice),
            (&[1], vec![consumer("a", &[1, 2])], Contradiction::NotPending),
            (&[1], vec![consumer("a", &[1]), consumer("b", &[1])], Contradiction::OwnedTwice),
            (&[1], vec![consumer("a", &[1, 1])], Contradiction::OwnedTwice),
            (&[1, 2], vec![consumer("a", &[1])], Contradiction::Unowned),
        ] {
            assert_eq!(make(seqs, consumers).err(), Some(expected));
        }
    }

    #[test]
    fn an_entry_belongs_to_one_consumer() {
        let mut group = Group::new(Id::MIN, Some(0));
        let (a, _) = group.find_or_create_consumer(b"a", 0);
        let (b, _) = group.find_or_create_consumer(b"b", 0);
        let id = Id::new(1, 1);
        group.deliver(id, a, 1);
        group.redeliver(id, 2);
        assert_eq!(group.pending()[&id], Pending { consumer: a, delivered_ms: 2, deliveries: 2 });
        group.deliver(id, b, 3);
        assert_eq!(group.pending()[&id], Pending { consumer: b, delivered_ms: 3, deliveries: 1 });
        assert!(group.consumer(a).pending().is_empty() && group.consumer(b).pending().contains(&id));
        assert_eq!(group.pending_in(Id::MIN..=Id::MAX, Some(b)).count(), 1);
        assert_eq!(group.pending_in(Id::MAX..=Id::MIN, None).count(), 0);
        assert!(group.acknowledge(id) && !group.acknowledge(id));
        assert!(group.consumer(b).pending().is_empty());
    }
}
