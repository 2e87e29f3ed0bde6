//! Taking elements from an end: LPOP, RPOP, LMPOP.

use super::value::{self, Sizes};
use super::{ENDS, next_end};
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Begin, Command, Find, Flags, Group, KeyFlags, KeySpec};
use crate::keyspace::View;
use crate::resp::reply::Reply;
use crate::types::list::End;

pub(super) const POP_KEY: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE);

pub const LPOP: Command = Command {
    name: "lpop",
    summary: "Takes elements from the head of a list.",
    since: "1.0.0",
    group: Group::List,
    complexity: "O(N) in the number of elements taken.",
    arity: -2,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: &[KeySpec::one(1, POP_KEY)],
    args: &[Arg::key("key", 0), Arg::integer("count").optional().since("6.2.0")],
    history: &[("6.2.0", "The `count` argument.")],
    reply: "the element, or the array of `count` elements; null if there is no list",
    handler: Some(|call| pop(call, End::Head)),
    ..Command::NEW
};

pub const RPOP: Command = Command {
    name: "rpop",
    summary: "Takes elements from the tail of a list.",
    handler: Some(|call| pop(call, End::Tail)),
    ..LPOP
};

fn pop(call: &mut Call<'_, '_>, end: End) -> Result<(), Error> {
    let key = call.args.take()?;
    let sizes = Sizes::of(call.server);
    if !call.args.is_done() {
        return pop_counted(call, key, end, sizes);
    }
    let out = &mut *call.out;
    let popped = value::pop(call.keys, key, end, sizes, |element| value::reply(out, element))?;
    if popped.is_none() {
        call.out.null();
    }
    Ok(())
}

fn pop_counted(call: &mut Call<'_, '_>, key: &[u8], end: End, sizes: Sizes) -> Result<(), Error> {
    let count = call.args.take()?;
    if !call.args.is_done() {
        return Err(Error::WrongArity(call.entry.full_name.clone()));
    }
    let count = crate::types::number::parse_i64(count).and_then(|count| usize::try_from(count).ok());
    let count = count.ok_or(Error::OutOfRangePositive)?;
    if pop_many(call.keys, key, end, count, sizes, call.out, |_| ())?.is_none() {
        call.out.null_array();
    }
    Ok(())
}

/// Takes up to `count` elements from an end of the list at `key`, and replies with their array, before which
/// `begin` may write. Returns how many; `None`, and no reply, if there is no list.
///
/// # Errors
/// [`Error::WrongType`] if the key holds something else.
pub fn pop_many(
    view: &mut View<'_>,
    key: &[u8],
    end: End,
    count: usize,
    sizes: Sizes,
    out: &mut Reply,
    begin: impl FnOnce(&mut Reply),
) -> Result<Option<usize>, Error> {
    let Some(entry) = view.update(key) else { return Ok(None) };
    let list = value::list(entry)?;
    let len = list.len();
    let count = count.min(len);
    begin(out);
    let (first, lowest) = match end {
        End::Head => (0, 0),
        End::Tail => (len - 1, len - count),
    };
    list.reply_range(out, first, count, end);
    if count > 0 {
        let left = value::remove_range(entry, lowest, count, sizes)?;
        value::removed(view, key, left, value::pop_event(end));
        view.changed(count as u64);
    }
    Ok(Some(count))
}

/// States that the command is logged as LPOP or RPOP, with a count if that is said.
pub fn propagate(view: &View<'_>, key: &[u8], end: End, count: Option<usize>) {
    let name = if end == End::Head { b"LPOP".as_slice() } else { b"RPOP" };
    match count {
        Some(count) => view.propagate(&[name, key, itoa::Buffer::new().format(count).as_bytes()]),
        None => view.propagate(&[name, key]),
    }
}

pub const LMPOP: Command = Command {
    name: "lmpop",
    summary: "Takes elements from an end of the first list that there is among several keys.",
    since: "7.0.0",
    group: Group::List,
    complexity: "O(N+M) where N is the number of keys and M that of elements taken.",
    arity: -4,
    flags: Flags::WRITE,
    keys: &[KeySpec {
        flags: POP_KEY,
        begin: Begin::Index(1),
        find: Find::KeyNum { count_at: 0, first: 1, step: 1 },
        notes: "",
    }],
    args: &[
        Arg::integer("numkeys"),
        Arg::key("key", 0).multiple(),
        Arg::one_of("where", ENDS),
        Arg::integer("count").token("COUNT").optional(),
    ],
    reply: "the key and the array of its elements, or null if there is no list",
    handler: Some(lmpop),
    ..Command::NEW
};

pub(super) const NUMKEYS: Error = Error::line("ERR numkeys should be greater than 0");
pub(super) const COUNT: Error = Error::line("ERR count should be greater than 0");

fn lmpop(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let numkeys = next_positive(call, NUMKEYS)?;
    let mut keys = call.args;
    if numkeys >= call.args.left() {
        return Err(Error::Syntax);
    }
    call.args.seek(call.args.position() + numkeys);
    let end = next_end(&mut call.args)?;
    let mut count = None;
    while !call.args.is_done() {
        if count.is_some() || call.args.left() < 2 || !call.args.skip_word("COUNT") {
            return Err(Error::Syntax);
        }
        count = Some(next_positive(call, COUNT)?);
    }
    let sizes = Sizes::of(call.server);
    for _ in 0..numkeys {
        let key = keys.take()?;
        let begin = |out: &mut Reply| {
            out.array(2);
            out.bulk(key);
        };
        let popped = pop_many(call.keys, key, end, count.unwrap_or(1), sizes, call.out, begin)?;
        if popped.is_some() {
            propagate(call.keys, key, end, popped);
            return Ok(());
        }
    }
    call.out.null_array();
    Ok(())
}

/// Consumes a number of at least 1; anything else is this error.
pub(super) fn next_positive(call: &mut Call<'_, '_>, error: Error) -> Result<usize, Error> {
    let number = crate::types::number::parse_i64(call.args.take()?).filter(|number| *number > 0);
    number.map(|number| number as usize).ok_or(error)
}
