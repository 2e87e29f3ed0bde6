//! A list as a value of a key: in which of its forms it is kept, and how it changes from one to the other.
//!
//! To clients a list is a *listpack* as long as it is small (`list-max-listpack-size`), and a *quicklist*
//! afterwards. It becomes a listpack again when it has shrunk to one block of half that size. Listpacks have two
//! forms here: up to [`MAX_SHORT_BYTES`] the list stands in its entry, where every change moves it as a whole; a
//! longer one is a [`List`] without a limit, on whose ends the work does not depend on its size.
//!
//! Other commands read lists with [`list`] and [`ListRef`], and change them with [`push`] and [`pop`], which leave
//! everything in order; nothing else looks at the forms.

use crate::command::args::Args;
use crate::command::errors::Error;
use crate::command::generic::free_entry;
use crate::config::Config;
use crate::keyspace::{Deadline, Entry, Kind, Object, Value, View};
use crate::resp::reply::Reply;
use crate::resp::scan::Span;
use crate::state::Server;
use crate::types::events::Class;
use crate::types::list::items::Items;
use crate::types::list::{Element, End, Incoming, Limit, List, Wanted};
use crate::types::packed::{self, HEADER_BYTES, Item};
use bytes::Bytes;
use smallvec::SmallVec;
use std::ops::ControlFlow;

/// The longest list that stands in its entry. Moving so much costs about as much as a step further into memory.
pub(super) const MAX_SHORT_BYTES: usize = 1024;

/// A list that has left its entry comes back when its items take no more than this.
const MIN_LONG_BYTES: usize = 512;

/// What an item takes beside its text, at most, if it is short.
const ITEM_OVERHEAD_BYTES: usize = 3;

/// Sizes of listpacks that negative values of `list-max-listpack-size` stand for, from -1 on.
const SIZES_BYTES: [u32; 5] = [4096, 8192, 16_384, 32_768, 65_536];

/// The limit on bytes where the directive limits the number of items.
const COUNTED_BYTES: u32 = 8192;

/// `list-max-listpack-size`, and what follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// From where on a list is a quicklist.
    listpack: Limit,
}

impl Sizes {
    pub fn of(server: &Server) -> Sizes {
        Self::of_config(&server.config)
    }

    pub fn of_config(config: &Config) -> Sizes {
        Self::of_directive(config.list_max_listpack_size())
    }

    /// Whether a list of so many items of so many bytes in all is a listpack.
    pub(super) fn admits(self, item_bytes: usize, items: usize) -> bool {
        self.listpack.admits(item_bytes, items)
    }

    fn of_directive(value: i64) -> Sizes {
        let listpack = match usize::try_from(value) {
            Ok(items) => Limit { bytes: COUNTED_BYTES, items: items.clamp(1, u32::MAX as usize - 1) as u32 },
            Err(_) => {
                let level = (value.unsigned_abs() as usize).min(SIZES_BYTES.len());
                Limit { bytes: SIZES_BYTES[level - 1], items: u32::MAX }
            }
        };
        Sizes { listpack }
    }

    /// The limit of a quicklist's blocks, which keeps it for life. It counts no more than 2^15 - 1 items.
    pub(super) fn block(self) -> Limit {
        let counts = self.listpack.items != u32::MAX;
        let items = if counts { self.listpack.items.min(i16::MAX as u32) } else { u32::MAX };
        Limit { items, ..self.listpack }
    }

    /// What a quicklist has to keep to, to be a listpack again.
    fn shrunk(self) -> Limit {
        match self.listpack {
            Limit { bytes, items: u32::MAX } => Limit { bytes: bytes / 2, items: u32::MAX },
            Limit { items, .. } => Limit { bytes: u32::MAX, items: items / 2 },
        }
    }
}

/// A list in either form.
#[derive(Clone, Copy)]
pub enum ListRef<'a> {
    Inline(Items<'a>),
    Own(&'a List),
}

/// The list of an entry.
///
/// # Errors
/// [`Error::WrongType`] if it holds something else.
#[inline]
pub fn list(entry: &Entry) -> Result<ListRef<'_>, Error> {
    match entry.kind() {
        Kind::PackedList => Ok(ListRef::Inline(Items::of_sequence(entry.packed().unwrap_or_default()))),
        Kind::List => match entry.object() {
            Some(Object::List(list)) => Ok(ListRef::Own(list)),
            _ => unreachable!("entries of this kind have a list"),
        },
        _ => Err(Error::WrongType),
    }
}

impl<'a> ListRef<'a> {
    #[inline]
    pub fn len(self) -> usize {
        match self {
            ListRef::Inline(items) => items.count,
            ListRef::Own(list) => list.len(),
        }
    }

    /// Only while an element is being moved: a key with an empty list is removed.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Element number `index`, from the end if it is negative (-1 is the last).
    pub fn get(self, index: i64) -> Option<Element<'a>> {
        let index = self.index(index)?;
        match self {
            ListRef::Inline(items) => items.get(index).map(Element::Packed),
            ListRef::Own(list) => list.get(index),
        }
    }

    /// The number of an element that may be counted from the end, if there is such an element.
    fn index(self, index: i64) -> Option<usize> {
        let len = self.len();
        let index = match usize::try_from(index) {
            Ok(index) => index,
            Err(_) => len.checked_sub(index.unsigned_abs() as usize)?,
        };
        (index < len).then_some(index)
    }

    /// Shows elements to `f` one after the other, from number `index` on away from the end `from`, until it
    /// breaks.
    #[inline]
    pub fn visit(self, index: usize, from: End, mut f: impl FnMut(Element<'_>) -> ControlFlow<()>) {
        match self {
            ListRef::Inline(items) => {
                if index < items.count {
                    let _ = items.visit(index, from, |item| f(Element::Packed(item)));
                }
            }
            ListRef::Own(list) => list.visit(index, from, f),
        }
    }

    /// Shows all elements to `f` from the head on.
    pub fn each(self, mut f: impl FnMut(Element<'_>)) {
        self.visit(0, End::Head, |element| {
            f(element);
            ControlFlow::Continue(())
        });
    }

    /// Replies with `count` elements, which there have to be, from number `index` on away from the end `from`.
    pub fn reply_range(self, out: &mut Reply, index: usize, count: usize, from: End) {
        out.array(count);
        let mut left = count;
        if left == 0 {
            return;
        }
        self.visit(index, from, |element| {
            reply(out, element);
            left -= 1;
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
    }
}

/// Replies with an element.
#[inline]
pub fn reply(out: &mut Reply, element: Element<'_>) {
    match element {
        Element::Packed(Item::Text(text)) => out.bulk(text),
        Element::Packed(Item::Int(n)) => out.bulk_integer(n),
        Element::Large(bytes) => out.bulk_shared(bytes),
    }
}

/// The arguments that are left, as elements of a list.
pub fn incoming<'a>(args: Args<'a>) -> impl ExactSizeIterator<Item = Incoming<'a>> + Clone {
    let request = args.request();
    (args.position()..request.len()).map(move |at| {
        let shared = match request.span(at) {
            Span::Large(_) => Some(request.large(at)),
            Span::Buffered { .. } => None,
        };
        Incoming { text: request.get(at), shared }
    })
}

/// Adds elements at an end of the list at `key`, one after the other. Makes the list if there is none. Returns
/// its length. The caller counts the change.
///
/// # Errors
/// [`Error::WrongType`] if the key holds something else.
#[inline]
pub fn push<'a>(
    view: &mut View<'_>,
    key: &[u8],
    end: End,
    elements: impl ExactSizeIterator<Item = Incoming<'a>> + Clone,
    sizes: Sizes,
) -> Result<usize, Error> {
    if let Some(entry) = view.update(key) {
        let len = push_to(entry, end, elements, sizes)?;
        view.notify(Class::LIST, push_event(end), key);
        return Ok(len);
    }
    let count = elements.len();
    create(end, elements, sizes, |value| view.set(key, value, Deadline::Clear));
    view.notify(Class::LIST, push_event(end), key);
    Ok(count)
}

/// Makes a list of elements that are added at an end one after the other, and hands it to `f`.
#[inline]
pub fn create<'a>(
    end: End,
    elements: impl ExactSizeIterator<Item = Incoming<'a>> + Clone,
    sizes: Sizes,
    f: impl FnOnce(Value<'_>),
) {
    let count = elements.len();
    let bytes = text_bytes(elements.clone());
    if sizes.listpack.admits(bytes, count) && is_short(0, bytes, count) {
        let items = packed_order(end, elements);
        let mut sequence: SmallVec<[u8; 256]> = SmallVec::from_slice(&(count as u16).to_le_bytes());
        for item in items {
            let at = sequence.len();
            sequence.resize(at + item.encoded_bytes(), 0);
            item.write(&mut sequence[at..]);
        }
        f(Value::Packed(Kind::PackedList, &sequence));
    } else {
        let limit = (!sizes.listpack.admits(bytes, count)).then(|| sizes.block());
        let mut list = List::new(Items { bytes: &[], count: 0 }, limit);
        elements.for_each(|element| list.push(end, element));
        f(Value::Object(Kind::List, Object::List(list)));
    }
}

/// Adds elements at an end of a list that there is. Returns its length. The caller counts the change.
///
/// # Errors
/// [`Error::WrongType`] if the key holds something else.
#[inline]
pub fn push_to<'a>(
    entry: &mut Entry,
    end: End,
    elements: impl ExactSizeIterator<Item = Incoming<'a>> + Clone,
    sizes: Sizes,
) -> Result<usize, Error> {
    prepare(entry, elements.clone(), sizes)?;
    if let Some(list) = own(entry) {
        elements.for_each(|element| list.push(end, element));
        return Ok(list.len());
    }
    let bytes = entry.packed().unwrap_or_default();
    let at = match end {
        End::Head => HEADER_BYTES,
        End::Tail => bytes.len(),
    };
    let len = packed::len(bytes) + elements.len();
    packed::insert(entry, at, &packed_order(end, elements));
    Ok(len)
}

/// Items in the order in which they stand in the list after they were added at an end.
fn packed_order<'a>(end: End, elements: impl Iterator<Item = Incoming<'a>>) -> SmallVec<[Item<'a>; 4]> {
    let mut items: SmallVec<[Item<'a>; 4]> = elements.map(|element| Item::of(element.text)).collect();
    if end == End::Head {
        items.reverse();
    }
    items
}

fn text_bytes<'a>(elements: impl Iterator<Item = Incoming<'a>>) -> usize {
    elements.map(|element| element.text.len()).sum()
}

/// Whether a list stays short with so much more.
fn is_short(item_bytes: usize, added_bytes: usize, added: usize) -> bool {
    item_bytes + added_bytes + added * ITEM_OVERHEAD_BYTES <= MAX_SHORT_BYTES
}

/// The list of an entry that is not kept in the entry itself.
#[inline]
fn own(entry: &mut Entry) -> Option<&mut List> {
    match entry.object_mut() {
        Some(Object::List(list)) => Some(list),
        _ => None,
    }
}

/// Gives a list the form that it needs to take up these elements, wherever.
///
/// # Errors
/// [`Error::WrongType`] if the entry holds something else.
#[inline]
fn prepare<'a>(
    entry: &mut Entry,
    elements: impl ExactSizeIterator<Item = Incoming<'a>>,
    sizes: Sizes,
) -> Result<(), Error> {
    let (items, is_inline) = match list(entry)? {
        ListRef::Inline(items) => (items, true),
        ListRef::Own(list) if list.limit().is_some() => return Ok(()),
        ListRef::Own(list) => (list.only_block().unwrap_or(Items { bytes: &[], count: 0 }), false),
    };
    let added = elements.len();
    let added_bytes = text_bytes(elements);
    if !sizes.listpack.admits(items.bytes.len() + added_bytes, items.count + added) {
        let limit = sizes.block();
        if is_inline {
            let list = List::new(items, Some(limit));
            entry.set_value(Value::Object(Kind::List, Object::List(list)));
        } else if let Some(list) = own(entry) {
            list.divide(limit);
        }
    } else if is_inline && !is_short(items.bytes.len(), added_bytes, added) {
        let list = List::new(items, None);
        entry.set_value(Value::Object(Kind::List, Object::List(list)));
    }
    Ok(())
}

/// Gives a list that may have shrunk the form that it should have.
#[inline]
fn settle(entry: &mut Entry, sizes: Sizes) {
    let Some(list) = own(entry) else { return };
    let Some(items) = list.only_block() else { return };
    let (bytes, count) = (items.bytes.len(), items.count);
    if list.limit().is_some() {
        if !sizes.shrunk().admits(bytes, count) {
            return;
        }
        list.unite();
    }
    if bytes <= MIN_LONG_BYTES {
        go_inline(entry);
    }
}

#[cold]
fn go_inline(entry: &mut Entry) {
    let Ok(ListRef::Own(list)) = list(entry) else { return };
    let Some(items) = list.only_block() else { return };
    let sequence = items.to_sequence();
    entry.set_value(Value::Packed(Kind::PackedList, &sequence));
}

/// The event of elements that were added at an end.
#[inline]
pub fn push_event(end: End) -> &'static str {
    match end {
        End::Head => "lpush",
        End::Tail => "rpush",
    }
}

/// The event of elements that were taken from an end.
#[inline]
pub fn pop_event(end: End) -> &'static str {
    match end {
        End::Head => "lpop",
        End::Tail => "rpop",
    }
}

/// Leaves everything in order after something was removed from the list at `key`, which is so long now, and states
/// that as this event.
#[inline]
pub fn removed(view: &mut View<'_>, key: &[u8], len: usize, event: &str) {
    remove_if_empty(view, key, len);
    tell_removed(view, key, len, event);
}

#[inline]
fn remove_if_empty(view: &mut View<'_>, key: &[u8], len: usize) {
    if len == 0
        && let Some(entry) = view.remove(key)
    {
        free_entry(entry);
    }
}

/// States that something was removed from the list at `key`, which is so long now.
#[inline]
pub fn tell_removed(view: &View<'_>, key: &[u8], len: usize, event: &str) {
    view.notify(Class::LIST, event, key);
    if len == 0 {
        view.event(Class::GENERIC, "del", key);
    }
}

/// Takes the element at an end of the list at `key`, if there is one, and shows it to `f`. Counts the change.
///
/// # Errors
/// [`Error::WrongType`] if the key holds something else.
#[inline]
pub fn pop<R>(
    view: &mut View<'_>,
    key: &[u8],
    end: End,
    sizes: Sizes,
    f: impl FnOnce(Element<'_>) -> R,
) -> Result<Option<R>, Error> {
    let Some((result, len)) = pop_untold(view, key, end, sizes, f)? else { return Ok(None) };
    tell_removed(view, key, len, pop_event(end));
    Ok(result)
}

/// As [`pop`], but leaves it to the caller to tell. Also returns how many elements are left.
#[inline]
pub fn pop_untold<R>(
    view: &mut View<'_>,
    key: &[u8],
    end: End,
    sizes: Sizes,
    f: impl FnOnce(Element<'_>) -> R,
) -> Result<Option<(Option<R>, usize)>, Error> {
    let Some(entry) = view.update(key) else { return Ok(None) };
    let (result, len) = take(entry, end, f)?;
    if len > 0 {
        settle(entry, sizes);
    }
    remove_if_empty(view, key, len);
    view.changed(1);
    Ok(Some((result, len)))
}

/// Shows the element at an end to `f`, then removes it; also tells how many are left. The form stays, even if it is
/// no longer the right one, or if the list is empty.
#[inline]
fn take<R>(
    entry: &mut Entry,
    end: End,
    f: impl FnOnce(Element<'_>) -> R,
) -> Result<(Option<R>, usize), Error> {
    if let Some(list) = own(entry) {
        let result = list.pop(end, f);
        return Ok((result, list.len()));
    }
    let ListRef::Inline(items) = list(entry)? else { unreachable!("an own list was tried before") };
    let index = match end {
        End::Head => 0,
        End::Tail => items.count.saturating_sub(1),
    };
    let at = items.offset(index);
    let result = packed::get(items.bytes, at).map(|(item, _)| f(Element::Packed(item)));
    let left = items.count.saturating_sub(1);
    packed::remove(entry, HEADER_BYTES + at, 1);
    Ok((result, left))
}

/// Moves the element at an end of a list to the other end of the same list, or to where it was; shows it to `f`.
pub fn rotate(
    entry: &mut Entry,
    from: End,
    to: End,
    sizes: Sizes,
    f: impl FnOnce(Element<'_>),
) -> Result<(), Error> {
    let moved = take(entry, from, |element| {
        f(element);
        Moved::new(element)
    })?;
    if let Some(moved) = moved.0 {
        push_to(entry, to, moved.incoming(), sizes)?;
    }
    settle(entry, sizes);
    Ok(())
}

/// An element on its way from one list to another.
pub enum Moved {
    Text(SmallVec<[u8; 64]>),
    Large(Bytes),
}

impl Moved {
    pub fn new(element: Element<'_>) -> Moved {
        match element {
            Element::Packed(item) => item.with(|text| Moved::Text(SmallVec::from_slice(text))),
            Element::Large(bytes) => Moved::Large(bytes.clone()),
        }
    }

    /// As the only element of what is to be pushed.
    pub fn incoming(&self) -> impl ExactSizeIterator<Item = Incoming<'_>> + Clone {
        std::iter::once(match self {
            Moved::Text(text) => Incoming { text, shared: None },
            Moved::Large(bytes) => Incoming { text: bytes, shared: Some(bytes) },
        })
    }
}

/// Removes `count` elements, which there have to be, from number `index` on. Returns how many are left: if there
/// are none, the value is as it was.
pub fn remove_range(entry: &mut Entry, index: usize, count: usize, sizes: Sizes) -> Result<usize, Error> {
    let value = list(entry)?;
    let left = value.len() - count;
    if left == 0 || count == 0 {
        return Ok(left);
    }
    match value {
        ListRef::Inline(items) => {
            let at = HEADER_BYTES + items.offset(index);
            packed::remove(entry, at, count);
        }
        ListRef::Own(_) => {
            if let Some(list) = own(entry) {
                list.remove_range(index, count);
            }
        }
    }
    settle(entry, sizes);
    Ok(left)
}

/// Removes elements that equal `wanted`: at most `most` of them, those nearest to the end `from`. Returns how many
/// there were, and how many elements are left.
pub fn remove_equal(
    entry: &mut Entry,
    wanted: Wanted<'_>,
    most: usize,
    from: End,
    sizes: Sizes,
) -> Result<(usize, usize), Error> {
    let value = list(entry)?;
    let len = value.len();
    let removed = match value {
        ListRef::Inline(items) => {
            let found = items.matches(wanted.item(), most, from);
            for range in found.iter().rev() {
                packed::remove(entry, HEADER_BYTES + range.start, 1);
            }
            found.len()
        }
        ListRef::Own(_) => own(entry).map_or(0, |list| list.remove_equal(wanted, most, from)),
    };
    if removed > 0 && removed < len {
        settle(entry, sizes);
    }
    Ok((removed, len - removed))
}

/// Inserts an element beside the first one that equals `pivot`, on the side of the end `towards`. Returns the new
/// length, `None` if there is no such element. The form is that for one more element in either case, as in Redis.
pub fn insert_beside(
    entry: &mut Entry,
    pivot: Wanted<'_>,
    towards: End,
    element: Incoming<'_>,
    sizes: Sizes,
) -> Result<Option<usize>, Error> {
    prepare(entry, std::iter::once(element), sizes)?;
    if let Some(list) = own(entry) {
        return Ok(list.insert_beside(pivot, towards, element).then(|| list.len()));
    }
    let ListRef::Inline(items) = list(entry)? else { unreachable!("an own list was tried before") };
    let Some(place) = items.find(pivot.item()) else { return Ok(None) };
    let index = match towards {
        End::Head => place.index,
        End::Tail => place.index + 1,
    };
    let (at, len) = (HEADER_BYTES + items.offset(index), items.count + 1);
    packed::insert(entry, at, &[Item::of(element.text)]);
    Ok(Some(len))
}

/// Puts another element in the place of number `index`, which may count from the end; `false` if there is none.
pub fn set(entry: &mut Entry, index: i64, element: Incoming<'_>, sizes: Sizes) -> Result<bool, Error> {
    prepare(entry, std::iter::once(element), sizes)?;
    let value = list(entry)?;
    let Some(index) = value.index(index) else { return Ok(false) };
    match value {
        ListRef::Inline(items) => {
            let at = HEADER_BYTES + items.offset(index);
            packed::replace(entry, at, Item::of(element.text));
        }
        ListRef::Own(_) => {
            if let Some(list) = own(entry) {
                list.set(index, element);
            }
        }
    }
    settle(entry, sizes);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::Keyspace;
    use crate::keyspace::view::{Hashed, Mode};

    fn with_view<R>(f: impl FnOnce(&mut View<'_>) -> R) -> R {
        let keyspace = Keyspace::new(1, 1, 1);
        let keys = [Hashed::new(b"key", keyspace.hash(b"key"))];
        let mut view = keyspace.lock_keys(0, 1, &keys, Mode::Exclusive);
        f(&mut view)
    }

    fn add(view: &mut View<'_>, end: End, texts: &[&[u8]], sizes: Sizes) -> usize {
        push(view, b"key", end, texts.iter().map(|text| Incoming::from(*text)), sizes).unwrap()
    }

    fn texts(view: &View<'_>) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        if let Some(entry) = view.peek(b"key") {
            list(entry).unwrap().each(|element| all.push(element.with(<[u8]>::to_vec)));
        }
        all
    }

    fn encoding(view: &View<'_>) -> &'static str {
        view.peek(b"key").map_or("none", Entry::encoding_name)
    }

    #[test]
    fn sizes_follow_from_the_directive() {
        let limits = |value| {
            let sizes = Sizes::of_directive(value);
            [sizes.listpack, sizes.block(), sizes.shrunk()].map(|limit| (limit.bytes, limit.items))
        };
        let max = u32::MAX;
        assert_eq!(limits(-1), [(4096, max), (4096, max), (2048, max)]);
        assert_eq!(limits(-5), [(65_536, max), (65_536, max), (32_768, max)]);
        assert_eq!(limits(-2_147_483_648), limits(-5));
        assert_eq!(limits(0), limits(1));
        assert_eq!(limits(1), [(8192, 1), (8192, 1), (max, 0)]);
        assert_eq!(limits(2_147_483_647)[..2], [(8192, 2_147_483_647), (8192, 32_767)]);
    }

    #[test]
    fn a_list_passes_through_its_forms_and_back() {
        let sizes = Sizes::of_directive(-2);
        with_view(|view| {
            let is_inline = |view: &View<'_>| view.peek(b"key").unwrap().kind() == Kind::PackedList;
            let (mut len, mut seen) = (0, Vec::new());
            while len < 1000 {
                len += 1;
                assert_eq!(add(view, End::Head, &[b"fifteen letters"], sizes), len);
                let form = (is_inline(view), encoding(view));
                if seen.last() != Some(&(form, 0)) {
                    seen.push((form, 0));
                }
                // What a listpack would have, with its frame: each item takes 17 bytes.
                let is_quicklist = (len - 1) * 17 + 15 + 7 > 8192;
                assert_eq!(
                    encoding(view),
                    if is_quicklist || seen.len() == 3 { "quicklist" } else { "listpack" }
                );
            }
            let forms: Vec<_> = seen.iter().map(|(form, _)| *form).collect();
            assert_eq!(forms, [(true, "listpack"), (false, "listpack"), (false, "quicklist")]);
            let mut seen = Vec::new();
            for left in (1..1000).rev() {
                let popped = pop(view, b"key", End::Head, sizes, |element| element.with(<[u8]>::len));
                assert_eq!(popped.unwrap(), Some(15));
                let form = (is_inline(view), encoding(view));
                if seen.last().map(|(last, _)| *last) != Some(form) {
                    seen.push((form, left));
                }
            }
            // One block is left, and it is half full; then 512 bytes are.
            assert_eq!(
                seen,
                [((false, "quicklist"), 999), ((false, "listpack"), 240), ((true, "listpack"), 30)]
            );
            assert_eq!(pop(view, b"key", End::Head, sizes, |_| ()).unwrap(), Some(()));
            assert_eq!((encoding(view), view.tally.dirty()), ("none", 1000));
            assert_eq!(pop(view, b"key", End::Head, sizes, |_| ()).unwrap(), None);
        });
    }

    #[test]
    fn many_elements_at_once_arrive_in_order() {
        for (directive, count) in [(-2, 3), (-2, 100), (-2, 400), (-2, 900), (2, 3), (128, 128)] {
            let sizes = Sizes::of_directive(directive);
            let elements: Vec<Vec<u8>> = (0..count).map(|n| format!("element {n}").into_bytes()).collect();
            let borrowed: Vec<&[u8]> = elements.iter().map(Vec::as_slice).collect();
            let reversed: Vec<Vec<u8>> = elements.iter().rev().cloned().collect();
            with_view(|view| {
                assert_eq!(add(view, End::Head, &borrowed, sizes), count);
                assert_eq!(texts(view), reversed);
                assert_eq!(add(view, End::Tail, &borrowed, sizes), 2 * count);
                assert_eq!(texts(view), [reversed.clone(), elements.clone()].concat());
                let entry = view.update(b"key").unwrap();
                rotate(entry, End::Head, End::Tail, sizes, |element| {
                    assert_eq!(element.with(<[u8]>::to_vec), elements[count - 1]);
                })
                .unwrap();
                assert_eq!(list(entry).unwrap().get(-1).unwrap().with(<[u8]>::to_vec), elements[count - 1]);
                assert_eq!(remove_range(entry, 1, 2 * count - 2, sizes), Ok(2));
                assert_eq!(texts(view).len(), 2);
            });
        }
    }
}
