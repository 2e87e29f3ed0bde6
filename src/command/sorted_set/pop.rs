//! Taking members off an end: ZPOPMIN, ZPOPMAX, ZMPOP.

use super::remove::tell_removed;
use super::reply_name;
use super::value::{Limits, SortedSetMut};
use crate::command::args::Args;
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::generic::free_entry;
use crate::command::spec::{Arg, Begin, Command, Find, Flags, Group, KeyFlags, KeySpec};
use crate::keyspace::View;
use crate::resp::reply::{Proto, Reply};
use crate::types::packed::Item;

pub(super) const POPPED: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE);

/// An end of a sorted set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    Min,
    Max,
}

/// How members are replied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// Member, score, member, score, …
    Flat,
    /// An array of pairs.
    Pairs,
    /// Key, member, score: for one member.
    KeyAndFlat,
    /// The key, then an array of pairs.
    KeyAndPairs,
}

pub const ZPOPMIN: Command = Command {
    name: "zpopmin",
    summary: "Removes the members with the lowest scores from a sorted set and returns them.",
    since: "5.0.0",
    group: Group::SortedSet,
    complexity: "O(log(N)*M) in the number of members of the sorted set and of those that are popped.",
    arity: -2,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: &[KeySpec::one(1, POPPED)],
    args: &[Arg::key("key", 0), Arg::integer("count").optional()],
    reply: "array of member and score; with a count of any number of them (RESP3: as arrays of both)",
    handler: Some(|call| pop_end(call, End::Min)),
    ..Command::NEW
};

pub const ZPOPMAX: Command = Command {
    name: "zpopmax",
    summary: "Removes the members with the highest scores from a sorted set and returns them.",
    handler: Some(|call| pop_end(call, End::Max)),
    ..ZPOPMIN
};

fn pop_end(call: &mut Call<'_, '_>, end: End) -> Result<(), Error> {
    let key = call.args.take()?;
    if call.args.left() > 1 {
        return Err(Error::Syntax);
    }
    let mut count = 1;
    let mut shape = Shape::Flat;
    if !call.args.is_done() {
        let given = call.args.next_i64().ok().and_then(|count| usize::try_from(count).ok());
        count = given.ok_or(Error::OutOfRangePositive)?;
        if call.out.proto() == Proto::Resp3 {
            shape = Shape::Pairs;
        }
    }
    let limits = Limits::of(call);
    if pop(call.keys, call.out, key, end, count, shape, limits)?.is_none() {
        call.out.array(0);
    }
    Ok(())
}

/// Takes up to `count` members off one end of the sorted set at `key` and replies with them; the key goes with
/// its last member. Returns how many; `None` if there is no such key: nothing was replied then.
pub fn pop(
    view: &mut View<'_>,
    out: &mut Reply,
    key: &[u8],
    end: End,
    count: usize,
    shape: Shape,
    limits: Limits,
) -> Result<Option<usize>, Error> {
    let Some(entry) = view.update(key) else { return Ok(None) };
    let mut set = SortedSetMut::of(entry, limits)?;
    let len = set.read().len();
    let popped = count.min(len);
    match shape {
        Shape::Flat => out.array(2 * popped),
        Shape::Pairs => out.array(popped),
        Shape::KeyAndFlat => {
            out.array(1 + 2 * popped);
            out.bulk(key);
        }
        Shape::KeyAndPairs => {
            out.array(2);
            out.bulk(key);
            out.array(popped);
        }
    }
    let mut reply = |member: Item<'_>, score: f64| {
        if matches!(shape, Shape::Pairs | Shape::KeyAndPairs) {
            out.array(2);
        }
        reply_name(out, member);
        out.double(score);
    };
    if popped == len {
        set.read().range(0..len, end == End::Max).for_each(|(member, score)| reply(member, score.get()));
        if let Some(entry) = view.remove(key) {
            free_entry(entry);
        }
    } else {
        for taken in 0..popped {
            let rank = if end == End::Max { len - taken - 1 } else { 0 };
            set.take(rank, &mut reply);
        }
    }
    if popped > 0 {
        let event = if end == End::Max { "zpopmax" } else { "zpopmin" };
        tell_removed(view, key, popped == len, event);
    }
    view.changed(popped as u64);
    Ok(Some(popped))
}

/// States that the command is logged as ZPOPMIN or ZPOPMAX, with a count if that is said.
pub fn propagate(view: &View<'_>, key: &[u8], end: End, count: Option<usize>) {
    let name = if end == End::Min { b"ZPOPMIN".as_slice() } else { b"ZPOPMAX" };
    match count {
        Some(count) => view.propagate(&[name, key, itoa::Buffer::new().format(count).as_bytes()]),
        None => view.propagate(&[name, key]),
    }
}

pub const ZMPOP: Command = Command {
    name: "zmpop",
    summary: "Removes members from an end of the first of several sorted sets that exists and returns them.",
    since: "7.0.0",
    group: Group::SortedSet,
    complexity: "O(K) + O(M*log(N)) in the number of keys, of members that are popped, of members of the set.",
    arity: -4,
    flags: Flags::WRITE,
    keys: &[KeySpec {
        flags: POPPED,
        begin: Begin::Index(1),
        find: Find::KeyNum { count_at: 0, first: 1, step: 1 },
        notes: "",
    }],
    args: &[
        Arg::integer("numkeys"),
        Arg::key("key", 0).multiple(),
        Arg::one_of("where", &[Arg::word("min", "MIN"), Arg::word("max", "MAX")]),
        Arg::integer("count").token("COUNT").optional(),
    ],
    reply: "array of the key and an array of members with their scores, or null if there is nothing to pop",
    handler: Some(zmpop),
    ..Command::NEW
};

pub(super) const NUMKEYS: Error = Error::line("ERR numkeys should be greater than 0");
pub(super) const COUNT: Error = Error::line("ERR count should be greater than 0");

/// Consumes a number of at least 1; everything else is this error.
pub(super) fn next_positive(call: &mut Call<'_, '_>, error: Error) -> Result<usize, Error> {
    let given = call.args.next_i64().ok().and_then(|n| usize::try_from(n).ok());
    given.filter(|n| *n > 0).ok_or(error)
}

/// Consumes MIN or MAX.
pub(super) fn next_end(args: &mut Args<'_>) -> Result<End, Error> {
    if args.skip_word("MIN") {
        Ok(End::Min)
    } else if args.skip_word("MAX") {
        Ok(End::Max)
    } else {
        Err(Error::Syntax)
    }
}

fn zmpop(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let numkeys = next_positive(call, NUMKEYS)?;
    if numkeys >= call.args.left() {
        return Err(Error::Syntax);
    }
    let keys = call.args.rest().take(numkeys);
    call.args.seek(call.args.position() + numkeys);
    let end = next_end(&mut call.args)?;
    let mut count = None;
    while !call.args.is_done() {
        if count.is_some() || call.args.left() < 2 || !call.args.skip_word("COUNT") {
            return Err(Error::Syntax);
        }
        count = Some(next_positive(call, COUNT)?);
    }
    let (count, limits) = (count.unwrap_or(1), Limits::of(call));
    for key in keys {
        let popped = pop(call.keys, call.out, key, end, count, Shape::KeyAndPairs, limits)?;
        if popped.is_some() {
            propagate(call.keys, key, end, popped);
            return Ok(());
        }
    }
    call.out.null_array();
    Ok(())
}
