//! SORT and SORT_RO: the elements of a list, a set or a sorted set in order, or what other keys hold for them.
//!
//! A pattern of BY or GET names another key for each element, or a field of a hash in another key: `weight_*`,
//! `object_*->name`. Which keys those are is known only when the elements are, and then it is too late to lock them in
//! order; so a command with such a pattern locks the whole database, and any other just its keys. Without STORE
//! it locks for reading.

use super::free_entry;
use crate::command::args::Args;
use crate::command::call::{Call, Origin};
use crate::command::errors::{Error, echo};
use crate::command::hash::value::HashRef;
use crate::command::list::value::{self as list, Sizes};
use crate::command::set::value::SetRef;
use crate::command::sorted_set::range::borrowed;
use crate::command::sorted_set::value::SortedSetRef;
use crate::command::spec::{Acl, Arg, Begin, Command, Find, Flags, Group, KeyFlags, KeySpec, Needs, Scope};
use crate::keyspace::view::Mode;
use crate::keyspace::{Deadline, StringRef, Type, View};
use crate::resp::scan::Request;
use crate::types::events::Class;
use crate::types::list::{Element, End, Incoming};
use crate::types::number;
use crate::types::packed::Item;
use bytes::Bytes;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::{ControlFlow, Range};

const READS: KeyFlags = KeyFlags::RO.union(KeyFlags::ACCESS);
const STORES: KeyFlags = KeyFlags::OW.union(KeyFlags::UPDATE);

const fn unknown(flags: KeyFlags, notes: &'static str) -> KeySpec {
    KeySpec { flags, begin: Begin::Unknown, find: Find::Unknown, notes }
}

/// The keys that patterns name.
const BY_PATTERN: KeySpec = unknown(
    READS,
    "For the optional BY/GET keyword. It is marked 'unknown' because the key names derive from the content of the \
     key we sort",
);

const KEY: Arg = Arg::key("key", 0);
const BY: Arg =
    Arg { key_spec: Some(1), ..Arg::pattern("by-pattern").token("BY").display("pattern").optional() };
const LIMIT: Arg =
    Arg::block("limit", &[Arg::integer("offset"), Arg::integer("count")]).token("LIMIT").optional();
const GET: Arg = Arg {
    key_spec: Some(1),
    ..Arg::pattern("get-pattern").token("GET").display("pattern").optional().multiple_token()
};
const ORDER: Arg = Arg::one_of("order", &[Arg::word("asc", "ASC"), Arg::word("desc", "DESC")]).optional();
const ALPHA: Arg = Arg::word("sorting", "ALPHA").optional();

pub const SORT: Command = Command {
    name: "sort",
    summary: "Sorts the elements of a list, a set or a sorted set, and may store them.",
    since: "1.0.0",
    group: Group::Generic,
    complexity: "O(N+M*log(M)) where N is the number of elements, and M of those that are returned.",
    arity: -2,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    acl: Acl::SET.union(Acl::SORTEDSET).union(Acl::LIST).union(Acl::DANGEROUS),
    keys: &[
        KeySpec::one(1, READS),
        BY_PATTERN,
        unknown(
            STORES,
            "For the optional STORE keyword. It is marked 'unknown' because the keyword can appear anywhere in the \
             argument array",
        ),
    ],
    find_keys: Some(find_keys),
    args: &[KEY, BY, LIMIT, GET, ORDER, ALPHA, Arg::key("destination", 2).token("STORE").optional()],
    reply: "array of elements, or of what GET finds for them, null for nothing; with STORE the number of them",
    scope: Scope::Chosen(needs),
    handler: Some(|call| sort(call, true)),
    ..Command::NEW
};

pub const SORT_RO: Command = Command {
    name: "sort_ro",
    summary: "Returns the elements of a list, a set or a sorted set in order.",
    since: "7.0.0",
    flags: Flags::READONLY,
    keys: &[KeySpec::one(1, READS), BY_PATTERN],
    find_keys: Some(|_, visit| visit(1, READS)),
    args: &[KEY, BY, LIMIT, GET, ORDER, ALPHA],
    reply: "array of elements, or of what GET finds for them, null for nothing",
    handler: Some(|call| sort(call, false)),
    ..SORT
};

/// The key that is sorted, and the one of the last STORE.
fn find_keys(request: Request<'_>, visit: &mut dyn FnMut(usize, KeyFlags)) {
    visit(1, READS);
    let mut args = Args::new(request, 2);
    let mut store = None;
    while !args.is_done() {
        let operands = if args.skip_word("LIMIT") {
            2
        } else if args.skip_word("BY") || args.skip_word("GET") {
            1
        } else if args.left() > 1 && args.skip_word("STORE") {
            store = Some(args.position());
            1
        } else {
            args.seek(args.position() + 1);
            0
        };
        args.seek(args.position() + operands);
    }
    if let Some(at) = store {
        visit(at, STORES);
    }
}

/// What a request has to lock. A word that only looks like an option may make it more than is necessary.
fn needs(request: Request<'_>) -> Needs {
    let is = |at: usize, word: &str| request.get(at).eq_ignore_ascii_case(word.as_bytes());
    let mut needs = Needs { database: false, mode: Mode::Shared };
    for at in 2..request.len() - 1 {
        needs.database |=
            (is(at, "BY") || is(at, "GET")) && Pattern::of(request.get(at + 1)).star().is_some();
        if is(at, "STORE") {
            needs.mode = Mode::Exclusive;
        }
    }
    needs
}

/// What BY or GET is given. Redis reads it as far as its first zero byte where it looks for a star or an arrow.
#[derive(Clone, Copy)]
struct Pattern<'a>(&'a [u8]);

impl<'a> Pattern<'a> {
    fn of(text: &'a [u8]) -> Pattern<'a> {
        Pattern(text)
    }

    /// The element itself is meant.
    fn is_element(self) -> bool {
        echo(self.0, usize::MAX) == b"#"
    }

    /// Where the element goes.
    fn star(self) -> Option<usize> {
        memchr::memchr(b'*', echo(self.0, usize::MAX))
    }

    /// What the pattern stands for, given an element.
    fn find<'v>(self, view: &'v View<'_>, element: &'v [u8]) -> Option<Element<'v>> {
        if self.is_element() {
            return Some(Element::Packed(Item::Text(element)));
        }
        self.find_elsewhere(view, element)
    }

    /// What the key or the field holds that the pattern names, given an element.
    fn find_elsewhere<'v>(self, view: &'v View<'_>, element: &[u8]) -> Option<Element<'v>> {
        let star = self.star()?;
        let (before, after) = (&self.0[..star], &self.0[star + 1..]);
        let visible = echo(after, usize::MAX);
        // An arrow that nothing follows is a part of the key's name.
        let arrow = memchr::memmem::find(visible, b"->").filter(|at| at + 2 < visible.len());
        let (after, field) = match arrow {
            Some(at) => (&after[..at], Some(&after[at + 2..])),
            None => (after, None),
        };
        let entry = view.get(&[before, element, after].concat())?;
        match field {
            Some(field) => HashRef::of(entry, view.now_ms).ok()?.get(field).map(Element::Packed),
            None => entry.string().map(|value| match value {
                StringRef::Int(n) => Element::Packed(Item::Int(n)),
                StringRef::Inline(text) => Element::Packed(Item::Text(text)),
                StringRef::Shared(bytes) => Element::Large(bytes),
            }),
        }
    }
}

struct Options<'a> {
    descending: bool,
    alpha: bool,
    offset: i64,
    /// Negative: all.
    count: i64,
    by: Option<Pattern<'a>>,
    /// BY was given something that is the same for all.
    unsorted: bool,
    get: SmallVec<[Pattern<'a>; 4]>,
    store: Option<&'a [u8]>,
    /// A script sorts: what it sees of a set shall be the same wherever it runs.
    for_script: bool,
}

impl<'a> Options<'a> {
    fn parse(args: &mut Args<'a>, may_store: bool, origin: Origin) -> Result<Options<'a>, Error> {
        let mut options = Options {
            descending: false,
            alpha: false,
            offset: 0,
            count: -1,
            by: None,
            unsorted: false,
            get: SmallVec::new(),
            store: None,
            for_script: origin == Origin::Script,
        };
        while !args.is_done() {
            let operands = args.left() - 1;
            if args.skip_word("ASC") {
                options.descending = false;
            } else if args.skip_word("DESC") {
                options.descending = true;
            } else if args.skip_word("ALPHA") {
                options.alpha = true;
            } else if operands >= 2 && args.skip_word("LIMIT") {
                (options.offset, options.count) = (args.next_i64()?, args.next_i64()?);
            } else if may_store && operands >= 1 && args.skip_word("STORE") {
                options.store = Some(args.take()?);
            } else if operands >= 1 && args.skip_word("BY") {
                let pattern = Pattern::of(args.take()?);
                options.unsorted |= pattern.star().is_none();
                options.by = Some(pattern);
            } else if operands >= 1 && args.skip_word("GET") {
                options.get.push(Pattern::of(args.take()?));
            } else {
                return Err(Error::Syntax);
            }
        }
        Ok(options)
    }

    /// Which of so many elements are wanted.
    fn window(&self, len: usize) -> Range<usize> {
        let limited = |n: i64| usize::try_from(n.max(0)).unwrap_or(usize::MAX).min(len);
        let start = limited(self.offset);
        let end = if self.count < 0 { len } else { len.min(start + limited(self.count)) };
        start..end
    }
}

/// What an element is sorted by.
enum Weight<'v> {
    /// The element itself, as text.
    Own,
    Number(f64),
    /// Text found by a pattern.
    Text(Option<Cow<'v, [u8]>>),
}

struct Row<'v> {
    element: Cow<'v, [u8]>,
    weight: Weight<'v>,
}

impl Row<'_> {
    fn compare(&self, other: &Row<'_>) -> Ordering {
        match (&self.weight, &other.weight) {
            (Weight::Number(a), Weight::Number(b)) => {
                a.partial_cmp(b).unwrap_or(Ordering::Equal).then_with(|| self.element.cmp(&other.element))
            }
            (Weight::Text(a), Weight::Text(b)) => a.cmp(b),
            _ => self.element.cmp(&other.element),
        }
    }
}

/// The number that a text is: read as C does, which allows blanks in front, and as nothing else.
fn weight_of(text: &[u8]) -> Result<f64, Error> {
    let text = echo(text, usize::MAX);
    let blanks = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t'..=b'\r')).count();
    let number = if text.is_empty() { Some(0.0) } else { number::parse_f64(&text[blanks..]) };
    // What is less than the least normal double counts as out of range there.
    let number = number.filter(|number| !number.is_subnormal());
    number.ok_or(Error::line("ERR One or more scores can't be converted into double"))
}

/// The elements at a key, in its own order. Only those of the window, if they stay in that order.
fn load<'v>(
    view: &'v View<'_>,
    key: &[u8],
    options: &Options<'_>,
    sorted: &mut bool,
) -> Result<Vec<Row<'v>>, Error> {
    let row = |element: Cow<'v, [u8]>| Row { element, weight: Weight::Own };
    let Some(entry) = view.get(key) else { return Ok(Vec::new()) };
    let reverse = options.unsorted && options.descending;
    match entry.value_type() {
        Type::List => {
            let elements = list::list(entry)?;
            let window = if options.unsorted { options.window(elements.len()) } else { 0..elements.len() };
            let mut rows = Vec::with_capacity(window.len());
            if !window.is_empty() {
                let (index, from) = if reverse {
                    (elements.len() - 1 - window.start, End::Tail)
                } else {
                    (window.start, End::Head)
                };
                elements.visit(index, from, |element| {
                    rows.push(row(Cow::Owned(element.with(<[u8]>::to_vec))));
                    if rows.len() < window.len() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                });
            }
            Ok(rows)
        }
        Type::SortedSet => {
            let set = SortedSetRef::of(entry)?;
            let window = if options.unsorted { options.window(set.len()) } else { 0..set.len() };
            let ranks = if reverse { set.len() - window.end..set.len() - window.start } else { window };
            Ok(set.range(ranks, reverse).map(|(member, _)| row(borrowed(member))).collect())
        }
        Type::Set => {
            let members = SetRef::of(entry)?.to_vec();
            // A set has no order of its own, but what is stored shall be the same everywhere.
            *sorted |= options.store.is_some() || options.for_script;
            let window =
                if options.unsorted && !*sorted { options.window(members.len()) } else { 0..members.len() };
            Ok(members[window].iter().map(|member| row(borrowed(*member))).collect())
        }
        Type::String | Type::Hash | Type::Stream => Err(Error::WrongType),
    }
}

/// The elements that are wanted, in order.
fn rows<'v>(view: &'v View<'_>, key: &[u8], options: &Options<'_>) -> Result<Vec<Row<'v>>, Error> {
    let mut sorted = !options.unsorted;
    let mut rows = load(view, key, options, &mut sorted)?;
    if !sorted {
        return Ok(rows);
    }
    let by = options.by.filter(|_| !options.unsorted);
    // A set that BY leaves without an order gets the one of its members' texts.
    let alpha = options.alpha || options.unsorted;
    weigh(view, &mut rows, by, alpha)?;
    let window = options.window(rows.len());
    let compare = |a: &Row<'_>, b: &Row<'_>| {
        let ordering = a.compare(b);
        if options.descending { ordering.reverse() } else { ordering }
    };
    // Where equal rows are the same element, the ones behind the window need no order.
    if window.end < rows.len() && !(alpha && by.is_some()) {
        rows.select_nth_unstable_by(window.end, compare);
        rows.truncate(window.end);
    }
    rows.sort_by(compare);
    rows.truncate(window.end);
    rows.drain(..window.start);
    Ok(rows)
}

/// Finds out what each row is sorted by.
fn weigh<'v>(
    view: &'v View<'_>,
    rows: &mut [Row<'v>],
    by: Option<Pattern<'_>>,
    alpha: bool,
) -> Result<(), Error> {
    for row in rows {
        row.weight = match by {
            None if alpha => Weight::Own,
            None => Weight::Number(weight_of(&row.element)?),
            Some(pattern) => {
                let found = pattern.find_elsewhere(view, &row.element);
                match found {
                    found if alpha => Weight::Text(found.map(text_of)),
                    Some(Element::Packed(Item::Int(n))) => Weight::Number(n as f64),
                    Some(found) => Weight::Number(found.with(weight_of)?),
                    None => Weight::Number(0.0),
                }
            }
        };
    }
    Ok(())
}

fn text_of(element: Element<'_>) -> Cow<'_, [u8]> {
    match element {
        Element::Packed(item) => borrowed(item),
        Element::Large(bytes) => Cow::Borrowed(bytes),
    }
}

fn sort(call: &mut Call<'_, '_>, may_store: bool) -> Result<(), Error> {
    let key = call.args.take()?;
    let options = Options::parse(&mut call.args, may_store, call.origin)?;
    let rows = rows(call.keys, key, &options)?;
    if let Some(destination) = options.store {
        let values = values(call.keys, &rows, &options.get);
        drop(rows);
        store(call, destination, &values);
        return Ok(());
    }
    call.out.array(rows.len() * options.get.len().max(1));
    for row in &rows {
        if options.get.is_empty() {
            call.out.bulk(&row.element);
        }
        for pattern in &options.get {
            match pattern.find(call.keys, &row.element) {
                Some(found) => list::reply(call.out, found),
                None => call.out.null(),
            }
        }
    }
    Ok(())
}

/// What is stored of these rows: nothing found is an empty string.
fn values(view: &View<'_>, rows: &[Row<'_>], get: &[Pattern<'_>]) -> Vec<Bytes> {
    let kept = |element: Element<'_>| match element {
        Element::Packed(item) => item.with(Bytes::copy_from_slice),
        Element::Large(bytes) => bytes.clone(),
    };
    let mut values = Vec::with_capacity(rows.len() * get.len().max(1));
    for row in rows {
        if get.is_empty() {
            values.push(Bytes::copy_from_slice(&row.element));
        }
        values.extend(get.iter().map(|pattern| pattern.find(view, &row.element).map_or(Bytes::new(), kept)));
    }
    values
}

/// Stores a list, if there is anything in it, in the place of whatever `key` holds, and replies with its length.
fn store(call: &mut Call<'_, '_>, key: &[u8], values: &[Bytes]) {
    if !values.is_empty() {
        let elements = values.iter().map(|value| Incoming { text: value, shared: Some(value) });
        list::create(End::Tail, elements, Sizes::of(call.server), |value| {
            call.keys.overwrite(key, value, Deadline::Clear);
        });
        call.keys.notify(Class::LIST, "sortstore", key);
        call.keys.changed(values.len() as u64);
    } else if let Some(old) = call.keys.remove(key) {
        free_entry(old);
        call.keys.notify(Class::GENERIC, "del", key);
        call.keys.changed(1);
    }
    call.out.integer(values.len() as i64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_read_as_c_does() {
        for (text, weight) in [
            ("", 0.0),
            ("-1.5", -1.5),
            (" \t4", 4.0),
            ("0x10", 16.0),
            ("1e3\0x", 1000.0),
            ("-inf", f64::NEG_INFINITY),
        ] {
            assert_eq!(weight_of(text.as_bytes()), Ok(weight), "{text:?}");
        }
        for bad in ["x", "4 ", " ", "1e999", "1e-310", "1e-999", "nan", "1,5"] {
            assert!(weight_of(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn patterns() {
        let star = |text: &'static str| Pattern::of(text.as_bytes()).star();
        assert_eq!((star("a*b*"), star("fixed"), star("a\0*")), (Some(1), None, None));
        assert!(Pattern::of(b"#").is_element() && !Pattern::of(b"#*").is_element());
    }
}
