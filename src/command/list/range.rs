//! Looking at a list and cutting it: LLEN, LINDEX, LRANGE, LTRIM.

use super::value::{self, Sizes};
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command, Flags, Group, KeyFlags, KeySpec};
use crate::types::list::End;
use std::ops::Range;

pub const LLEN: Command = Command {
    name: "llen",
    summary: "Returns the length of a list.",
    since: "1.0.0",
    group: Group::List,
    complexity: "O(1)",
    arity: 2,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RO)],
    args: &[Arg::key("key", 0)],
    reply: "the length, 0 if there is no list",
    handler: Some(llen),
    ..Command::NEW
};

fn llen(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let len = call.keys.get(key).map(value::list).transpose()?.map_or(0, |list| list.len());
    call.out.integer(len as i64);
    Ok(())
}

pub const LINDEX: Command = Command {
    name: "lindex",
    summary: "Returns an element of a list by its index.",
    since: "1.0.0",
    group: Group::List,
    complexity: "O(N+B) where N is the number of elements to step over in one block of the list, and B that of blocks \
                 between it and the nearer end, each of several hundred elements.",
    arity: 3,
    flags: Flags::READONLY,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    args: &[Arg::key("key", 0), Arg::integer("index")],
    reply: "the element, or null if there is none",
    handler: Some(lindex),
    ..Command::NEW
};

fn lindex(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let Some(entry) = call.keys.get(key) else {
        call.out.null();
        return Ok(());
    };
    let list = value::list(entry)?;
    match list.get(call.args.next_i64()?) {
        Some(element) => value::reply(call.out, element),
        None => call.out.null(),
    }
    Ok(())
}

pub const LRANGE: Command = Command {
    name: "lrange",
    summary: "Returns a part of a list.",
    since: "1.0.0",
    group: Group::List,
    complexity: "O(B+N) where B is the number of blocks of the list between the start and the nearer end, and N that \
                 of elements returned.",
    arity: 4,
    flags: Flags::READONLY,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    args: &[Arg::key("key", 0), Arg::integer("start"), Arg::integer("stop")],
    reply: "array of elements",
    handler: Some(lrange),
    ..Command::NEW
};

fn lrange(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let (start, stop) = (call.args.next_i64()?, call.args.next_i64()?);
    let Some(entry) = call.keys.get(key) else {
        call.out.array(0);
        return Ok(());
    };
    let list = value::list(entry)?;
    let range = absolute(start, stop, list.len());
    list.reply_range(call.out, range.start, range.len(), End::Head);
    Ok(())
}

pub const LTRIM: Command = Command {
    name: "ltrim",
    summary: "Removes all elements of a list but a part.",
    since: "1.0.0",
    group: Group::List,
    complexity: "O(N) in the number of elements removed; whole blocks of them count as one.",
    arity: 4,
    flags: Flags::WRITE,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
    args: &[Arg::key("key", 0), Arg::integer("start"), Arg::integer("stop")],
    reply: "OK",
    handler: Some(ltrim),
    ..Command::NEW
};

fn ltrim(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let (start, stop) = (call.args.next_i64()?, call.args.next_i64()?);
    if let Some(entry) = call.keys.update(key) {
        let sizes = Sizes::of(call.server);
        let len = value::list(entry)?.len();
        let kept = absolute(start, stop, len);
        if !kept.is_empty() {
            value::remove_range(entry, kept.end, len - kept.end, sizes)?;
            value::remove_range(entry, 0, kept.start, sizes)?;
        }
        value::removed(call.keys, key, kept.len());
        call.keys.changed((len - kept.len()) as u64);
    }
    call.out.ok();
    Ok(())
}

/// The elements from `start` to `stop` inclusive, where negative positions count from the end of `len` elements.
fn absolute(start: i64, stop: i64, len: usize) -> Range<usize> {
    let len = len as i64;
    let absolute = |position: i64| if position < 0 { position.saturating_add(len) } else { position };
    let (start, stop) = (absolute(start).max(0), absolute(stop).min(len - 1));
    if start > stop { 0..0 } else { start as usize..stop as usize + 1 }
}

#[cfg(test)]
mod tests {
    use super::absolute;

    #[test]
    fn ranges_as_redis_counts_them() {
        for (start, stop, expected) in [
            (0, -1, 0..5),
            (1, 3, 1..4),
            (-3, -1, 2..5),
            (-100, 1, 0..2),
            (3, 100, 3..5),
            (5, 9, 0..0),
            (3, 1, 0..0),
            (0, -100, 0..0),
            (4, 4, 4..5),
            (i64::MIN, i64::MAX, 0..5),
            (i64::MAX, i64::MIN, 0..0),
        ] {
            assert_eq!(absolute(start, stop, 5), expected, "{start} {stop}");
        }
        assert_eq!(absolute(0, -1, 0), 0..0);
    }
}
