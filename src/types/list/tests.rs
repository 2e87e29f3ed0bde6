//! Lists against the obvious: a deque of vectors.

use super::*;
use crate::types::packed;
use proptest::prelude::*;

const ALL: usize = usize::MAX;

fn incoming(text: &[u8]) -> Incoming<'_> {
    text.into()
}

fn contents(list: &List) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    list.visit(0, End::Head, |element| {
        all.push(element.with(<[u8]>::to_vec));
        ControlFlow::Continue(())
    });
    all
}

/// What every list keeps to.
fn check(list: &List) {
    let mut len = 0;
    for block in list.all_blocks() {
        len += block.count();
        assert!(block.count() > 0 || list.is_empty());
        if let Block::Packed(packed) = block {
            let items = packed.items();
            assert!(packed::validate(&items.to_sequence()), "{items:?}");
        } else {
            assert!(list.limit.is_some());
        }
    }
    assert_eq!(len, list.len());
    assert!(list.limit.is_some() || list.blocks() == 1);
}

fn limit(bytes: u32, items: u32) -> Limit {
    Limit { bytes, items }
}

fn limits() -> impl Strategy<Value = Option<Limit>> {
    prop_oneof![
        Just(None),
        Just(Some(limit(40, u32::MAX))),
        Just(Some(limit(120, u32::MAX))),
        Just(Some(limit(1000, 1))),
        Just(Some(limit(200, 3))),
        Just(Some(limit(8192, u32::MAX))),
    ]
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (0_u8..4).prop_map(|n| vec![b'a' + n]),
        2 => (-300_i64..300).prop_map(|n| n.to_string().into_bytes()),
        2 => any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        2 => proptest::collection::vec(any::<u8>(), 0..50),
        1 => (0_usize..400).prop_map(|len| vec![b'x'; len]),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Push(End, Vec<u8>),
    Pop(End),
    Insert(prop::sample::Index, End, Vec<u8>),
    Set(prop::sample::Index, Vec<u8>),
    RemoveEqual(prop::sample::Index, usize, End),
    RemoveRange(prop::sample::Index, usize),
    Divide,
    Unite,
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![Just(End::Head), Just(End::Tail)]
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        8 => (end(), text()).prop_map(|(end, text)| Step::Push(end, text)),
        4 => end().prop_map(Step::Pop),
        3 => (index(), end(), text()).prop_map(|(at, end, text)| Step::Insert(at, end, text)),
        3 => (index(), text()).prop_map(|(at, text)| Step::Set(at, text)),
        1 => (index(), prop_oneof![0_usize..4, Just(ALL)], end())
            .prop_map(|(at, most, from)| Step::RemoveEqual(at, most, from)),
        1 => (index(), prop_oneof![0_usize..4, 0_usize..40]).prop_map(|(at, n)| Step::RemoveRange(at, n)),
        1 => Just(Step::Divide),
        1 => Just(Step::Unite),
    ]
}

fn remove_equal(model: &mut VecDeque<Vec<u8>>, wanted: &[u8], most: usize, from: End) -> usize {
    let before = model.len();
    let mut left = most;
    let mut keep = |text: &Vec<u8>| {
        let goes = left > 0 && text == wanted;
        left -= usize::from(goes);
        !goes
    };
    match from {
        End::Head => model.retain(keep),
        End::Tail => {
            let mut kept: VecDeque<_> = model.drain(..).rev().filter(|text| keep(text)).collect();
            kept.make_contiguous().reverse();
            *model = kept;
        }
    }
    before - model.len()
}

proptest! {
    #[test]
    fn lists_agree_with_a_deque(start in limits(), later in limits(), steps in proptest::collection::vec(step(), 1..150)) {
        let mut list = List { limit: start, ..List::default() };
        let mut model = VecDeque::<Vec<u8>>::new();
        for step in steps {
            match step {
                Step::Push(end, text) => {
                    list.push(end, incoming(&text));
                    match end {
                        End::Head => model.push_front(text),
                        End::Tail => model.push_back(text),
                    }
                }
                Step::Pop(end) => {
                    let expected = match end {
                        End::Head => model.pop_front(),
                        End::Tail => model.pop_back(),
                    };
                    let popped = list.pop(end, |element| element.with(<[u8]>::to_vec));
                    prop_assert_eq!(popped, expected);
                }
                Step::Insert(at, towards, text) if !model.is_empty() => {
                    let pivot = model[at.index(model.len())].clone();
                    let at = model.iter().position(|other| *other == pivot).unwrap();
                    prop_assert!(list.insert_beside(Wanted::new(&pivot), towards, incoming(&text)));
                    model.insert(at + usize::from(towards == End::Tail), text);
                }
                Step::Insert(_, towards, text) => {
                    prop_assert!(!list.insert_beside(Wanted::new(b"a"), towards, incoming(&text)));
                }
                Step::Set(at, text) => {
                    let at = at.index(model.len() + 1);
                    prop_assert_eq!(list.set(at, incoming(&text)), at < model.len());
                    if let Some(place) = model.get_mut(at) {
                        *place = text;
                    }
                }
                Step::RemoveEqual(at, most, from) => {
                    let wanted = model.get(at.index(model.len() + 1)).cloned().unwrap_or(b"b".to_vec());
                    let removed = list.remove_equal(Wanted::new(&wanted), most, from);
                    prop_assert_eq!(removed, remove_equal(&mut model, &wanted, most, from));
                }
                Step::RemoveRange(at, count) => {
                    let at = at.index(model.len() + 1);
                    list.remove_range(at, count);
                    model.drain(at..(at + count).min(model.len()));
                }
                Step::Divide => {
                    if let Some(limit) = later.filter(|_| list.limit().is_none()) {
                        list.divide(limit);
                    }
                }
                Step::Unite => {
                    if list.only_block().is_some() {
                        list.unite();
                    }
                }
            }
            check(&list);
            prop_assert_eq!(contents(&list), model.iter().cloned().collect::<Vec<_>>());
        }
        for (at, expected) in model.iter().enumerate() {
            prop_assert_eq!(&list.get(at).unwrap().with(<[u8]>::to_vec), expected);
            let mut backwards = Vec::new();
            list.visit(at, End::Tail, |element| {
                backwards.push(element.with(<[u8]>::to_vec));
                if backwards.len() == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            prop_assert_eq!(backwards, model.range(..=at).rev().take(5).cloned().collect::<Vec<_>>());
        }
        prop_assert!(list.get(model.len()).is_none());
        prop_assert_eq!(contents(&list.clone()), contents(&list));
    }
}

/// The number of items of each block, 0 for a large one.
fn shape(list: &List) -> Vec<usize> {
    let count = |block: &Block| match block {
        Block::Packed(packed) => packed.count(),
        Block::Large(_) => 0,
    };
    list.all_blocks().map(count).collect()
}

fn filled(limit: Limit, texts: &[&[u8]]) -> List {
    let mut list = List { limit: Some(limit), ..List::default() };
    texts.iter().for_each(|text| list.push(End::Tail, incoming(text)));
    list
}

#[test]
fn blocks_hold_what_they_may() {
    let list = filled(limit(8192, 3), &[b"a", b"b", b"c", b"d", &[b'x'; 8193], b"e"]);
    assert_eq!(shape(&list), [3, 1, 0, 1]);
    // 480 items of 17 bytes, 7 of frame, and 8 + 15 for another item to be let in are 8190.
    let mut list = filled(limit(8192, u32::MAX), &[]);
    (0..1_000_000).for_each(|_| list.push(End::Tail, incoming(b"fifteen letters")));
    assert_eq!(shape(&list)[..2], [481, 481]);
    // An eighth of the ring may be free. A quicklist takes 40 bytes a node.
    let bytes = list.heap_bytes();
    assert!(bytes < 1_000_000_usize.div_ceil(481) * (8192 + 40), "{bytes} bytes");
}

#[test]
fn a_full_block_is_split_and_its_halves_are_joined_with_their_neighbours() {
    let limit = limit(8192, 4);
    let mut list = filled(limit, &[b"a", b"b", b"c", b"d", b"e", b"f"]);
    assert!(list.insert_beside(Wanted::new(b"b"), End::Tail, incoming(b"+")));
    // a b + | c d e f
    assert_eq!(shape(&list), [3, 4]);
    assert!(list.insert_beside(Wanted::new(b"c"), End::Head, incoming(b"+")));
    assert_eq!(shape(&list), [4, 4]);
    assert!(list.insert_beside(Wanted::new(b"c"), End::Head, incoming(b"+")));
    assert_eq!(shape(&list), [4, 1, 4]);
    assert!(list.set(4, incoming(&[b'x'; 10_000])));
    assert_eq!(shape(&list), [4, 0, 4]);
    assert!(list.set(1, incoming(&[b'x'; 10_000])));
    assert_eq!(shape(&list), [1, 0, 2, 0, 4]);
    assert!(list.set(1, incoming(b"small")));
    assert_eq!(shape(&list), [1, 3, 0, 4]);
    assert_eq!(list.remove_equal(Wanted::new(&[b'x'; 10_000]), ALL, End::Tail), 1);
    assert_eq!(shape(&list), [1, 3, 4]);
}

#[test]
fn a_list_of_one_block_grows_without_bound_until_it_is_divided() {
    let mut list = List::new(Items { bytes: &[], count: 0 }, None);
    (0..5000).for_each(|_| list.push(End::Head, incoming(b"fifteen letters")));
    assert_eq!((list.blocks(), list.len()), (1, 5000));
    list.divide(limit(4096, u32::MAX));
    list.push(End::Head, incoming(b"one more"));
    assert_eq!(shape(&list), [1, 5000]);
    assert!(list.only_block().is_none());
    list.pop(End::Head, |_| ());
    assert!(list.only_block().is_some());
    list.unite();
    assert_eq!(list.limit(), None);
}

#[test]
fn large_items_are_shared() {
    let bytes = Bytes::from(vec![b'x'; 10_000]);
    let mut list = filled(limit(4096, u32::MAX), &[b"a"]);
    list.push(End::Tail, Incoming { text: &bytes, shared: Some(&bytes) });
    let Some(Element::Large(kept)) = list.get(1) else { panic!("a large item") };
    assert_eq!(kept.as_ptr(), bytes.as_ptr());
}
