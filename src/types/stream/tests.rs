//! Streams against the obvious: a map from ID to fields.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

type Field = (Vec<u8>, Vec<u8>);

#[derive(Clone, Debug)]
enum Step {
    Append(Numbering, Vec<Field>),
    /// Deletes the entry at this place among those that there are, or this ID.
    Delete(prop::sample::Index, Option<Id>),
    Trim(Trim),
    Range(Id, Id),
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::sample::select(vec![&b"a"[..], b"b", b"name", b"value", b"12", b"-7000", b"70000000000"])
            .prop_map(<[u8]>::to_vec),
        1 => any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..100),
    ]
}

fn id() -> impl Strategy<Value = Id> {
    (0_u64..40, 0_u64..4).prop_map(|(ms, seq)| Id::new(ms, seq))
}

fn step() -> impl Strategy<Value = Step> {
    let numbering = prop_oneof![
        6 => Just(Numbering::Clock),
        2 => (0_u64..40).prop_map(Numbering::At),
        2 => id().prop_map(Numbering::Given),
    ];
    let keep = prop_oneof![(0_u64..30).prop_map(Keep::Length), id().prop_map(Keep::From)];
    let trim =
        (keep, any::<bool>(), prop_oneof![Just(0_u64), 0_u64..20]).prop_map(|(keep, approximate, limit)| {
            Trim { keep, approximate, limit: if approximate { limit } else { 0 } }
        });
    prop_oneof![
        8 => (numbering, prop::collection::vec((text(), text()), 1..4))
            .prop_map(|(numbering, fields)| Step::Append(numbering, fields)),
        3 => (any::<prop::sample::Index>(), prop::option::of(id()))
            .prop_map(|(index, id)| Step::Delete(index, id)),
        1 => trim.prop_map(Step::Trim),
        2 => (id(), id()).prop_map(|(a, b)| Step::Range(a, b)),
    ]
}

fn fields(entry: StreamEntry<'_>) -> (Id, Vec<Field>) {
    (entry.id, entry.fields.map(|(name, value)| (name.to_vec(), value.to_vec())).collect())
}

fn pairs(fields: &[Field]) -> impl Iterator<Item = &[u8]> + Clone {
    fields.iter().flat_map(|(name, value)| [name.as_slice(), value.as_slice()])
}

proptest! {
    #[test]
    fn entries_agree_with_a_map(
        steps in prop::collection::vec(step(), 1..120),
        max_bytes in prop::sample::select(vec![0_usize, 60, 300]),
        max_entries in prop::sample::select(vec![0_usize, 1, 5]),
    ) {
        let limits = BlockLimits { bytes: max_bytes, entries: max_entries };
        let mut entries = Entries::default();
        let mut model: BTreeMap<Id, Vec<Field>> = BTreeMap::new();
        let (mut last, mut added, mut max_deleted) = (Id::MIN, 0_u64, Id::MIN);
        for (clock, step) in steps.into_iter().enumerate() {
            let now_ms = clock as i64 / 3;
            match step {
                Step::Append(numbering, new) => {
                    let expected = match numbering {
                        Numbering::Given(id) => Some(id),
                        Numbering::At(ms) if ms == last.ms => last.next(),
                        Numbering::At(ms) => Some(Id::new(ms, 0)),
                        Numbering::Clock if now_ms as u64 > last.ms => Some(Id::new(now_ms as u64, 0)),
                        Numbering::Clock => last.next(),
                    };
                    let got = entries.append(numbering, pairs(&new), limits, now_ms);
                    match expected.filter(|id| *id > last) {
                        None => prop_assert_eq!(got, Err(AppendError::NotAbove)),
                        Some(id) => {
                            prop_assert_eq!(got, Ok(id));
                            model.insert(id, new);
                            (last, added) = (id, added + 1);
                        }
                    }
                }
                Step::Delete(index, given) => {
                    let existing = model.keys().nth(index.index(model.len().max(1))).copied();
                    let id = given.or(existing).unwrap_or(Id::MIN);
                    let deleted = model.remove(&id).is_some();
                    prop_assert_eq!(entries.delete(id), deleted);
                    if deleted {
                        max_deleted = max_deleted.max(id);
                    }
                }
                Step::Trim(trim) => {
                    let surplus = match trim.keep {
                        Keep::Length(most) => model.len().saturating_sub(most as usize),
                        Keep::From(from) => model.range(..from).count(),
                    };
                    let removed = entries.trim(&trim, None);
                    if trim.approximate {
                        prop_assert!(removed <= surplus as u64 && (trim.limit == 0 || removed <= trim.limit));
                    } else {
                        prop_assert_eq!(removed, surplus as u64);
                    }
                    (0..removed).for_each(|_| {
                        model.pop_first();
                    });
                }
                Step::Range(from, to) => {
                    let expected: Vec<_> = model
                        .iter()
                        .filter(|(id, _)| (from..=to).contains(*id))
                        .map(|(id, fields)| (*id, fields.clone()))
                        .collect();
                    prop_assert_eq!(entries.range(from..=to).map(fields).collect::<Vec<_>>(), expected.clone());
                    let mut back: Vec<_> = entries.range_back(from..=to).map(fields).collect();
                    back.reverse();
                    prop_assert_eq!(back, expected);
                    prop_assert_eq!(entries.get(from).map(|entry| fields(entry).1), model.get(&from).cloned());
                }
            }
            let expected = Marks {
                length: model.len() as u64,
                first_id: model.keys().next().copied().unwrap_or(Id::MIN),
                last_id: last,
                max_deleted_id: max_deleted,
                added,
            };
            prop_assert_eq!(*entries.marks(), expected);
            prop_assert_eq!(entries.top_id(), model.keys().next_back().copied());
        }
        let all: Vec<_> = entries.range(Id::MIN..=Id::MAX).map(fields).collect();
        prop_assert_eq!(all, model.into_iter().collect::<Vec<_>>());
        let counted: usize = entries.blocks().map(|block| block.counts().0).sum();
        prop_assert_eq!(counted as u64, entries.marks().length);
        if max_entries > 0 {
            prop_assert!(entries.blocks().all(|block| block.forward().count() <= max_entries));
        }
    }

    #[test]
    fn memory_is_counted(steps in prop::collection::vec(step(), 1..100)) {
        let mut entries = Entries::default();
        for step in steps {
            match step {
                Step::Append(_, new) => {
                    let limits = BlockLimits { bytes: 100, entries: 0 };
                    entries.append(Numbering::Clock, pairs(&new), limits, 5).unwrap();
                }
                Step::Delete(index, _) => {
                    let ids: Vec<Id> = entries.range(Id::MIN..=Id::MAX).map(|entry| entry.id).collect();
                    ids.get(index.index(ids.len().max(1))).map(|id| entries.delete(*id));
                }
                Step::Trim(trim) => {
                    entries.trim(&trim, None);
                }
                Step::Range(..) => {}
            }
            let blocks: usize = entries.blocks().map(block::Block::heap_bytes).sum();
            prop_assert!(entries.heap_bytes() >= blocks);
            prop_assert!(entries.heap_bytes() - blocks <= 40 * (64 + 4 * entries.blocks().count()));
        }
    }
}

fn stream(count: u64) -> Stream {
    let mut stream = Stream::default();
    let limits = BlockLimits { bytes: 4096, entries: 3 };
    for seq in 1..=count {
        let pairs = [&b"name"[..], b"value"].into_iter();
        stream.entries.append(Numbering::Given(Id::new(1, seq)), pairs, limits, 0).unwrap();
    }
    stream
}

fn length(keep: u64) -> Trim {
    Trim { keep: Keep::Length(keep), approximate: false, limit: 0 }
}

#[test]
fn groups_read_on_and_know_how_far_they_are() {
    let mut stream = stream(5);
    let mut group = Group::new(Id::MIN, None);
    let (consumer, _) = group.find_or_create_consumer(b"c", 0);
    stream.groups.add(b"g", group);
    let lag = |stream: &Stream| stream.lag(stream.groups.get(b"g").unwrap());
    let read = |stream: &Stream| stream.groups.get(b"g").unwrap().entries_read;
    assert_eq!(lag(&stream), Some(5));
    let mut seen = Vec::new();
    assert_eq!(stream.deliver(b"g", consumer, 2, false, 9, |entry| seen.push(entry.id.seq)), 2);
    assert_eq!((seen, read(&stream), lag(&stream)), (vec![1, 2], Some(2), Some(3)));
    assert!(stream.entries.delete(Id::new(1, 4)));
    assert_eq!(lag(&stream), None, "a gap ahead");
    assert_eq!(stream.deliver(b"g", consumer, 1, true, 9, |_| ()), 1);
    assert_eq!((read(&stream), lag(&stream)), (None, None));
    assert_eq!(stream.deliver(b"g", consumer, usize::MAX, true, 9, |_| ()), 1);
    assert_eq!((read(&stream), lag(&stream)), (Some(5), Some(0)));
    assert_eq!(stream.deliver(b"g", consumer, usize::MAX, true, 9, |_| ()), 0);
    assert_eq!(stream.groups.get(b"g").unwrap().pending().len(), 2);
}

#[test]
fn trimming_minds_references() {
    let mut stream = stream(9);
    let mut group = Group::new(Id::MIN, None);
    let (consumer, _) = group.find_or_create_consumer(b"c", 0);
    stream.groups.add(b"g", group);
    assert_eq!(stream.trim(&length(0), References::Acknowledged), 0, "nothing was read");
    stream.deliver(b"g", consumer, 5, false, 9, |_| ());
    let group = stream.groups.get_mut(b"g").unwrap();
    [1, 2, 3, 5].into_iter().for_each(|seq| assert!(group.acknowledge(Id::new(1, seq))));
    assert_eq!(stream.trim(&length(0), References::Acknowledged), 4);
    let left = |stream: &Stream| -> Vec<u64> {
        stream.entries.range(Id::MIN..=Id::MAX).map(|entry| entry.id.seq).collect()
    };
    assert_eq!(left(&stream), [4, 6, 7, 8, 9]);
    assert_eq!(stream.trim(&length(3), References::Delete), 2);
    assert_eq!(stream.groups.pending(), 0);
    assert_eq!(left(&stream), [7, 8, 9]);
    assert_eq!(stream.entries.marks().max_deleted_id, Id::MIN);
}
