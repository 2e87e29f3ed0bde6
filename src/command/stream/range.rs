//! Reading a stream as it stands: XRANGE, XREVRANGE, XLEN.

use super::{READS, find, range_end, range_start, reply_entries};
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command, Flags, Group, KeyFlags, KeySpec};

const COUNT: Arg = Arg::integer("count").token("COUNT").optional();

pub const XRANGE: Command = Command {
    name: "xrange",
    summary: "Returns the entries of a range of IDs.",
    since: "5.0.0",
    group: Group::Stream,
    complexity: "O(N) in the number of entries returned, after a binary search.",
    arity: -4,
    flags: Flags::READONLY,
    keys: READS,
    args: &[Arg::key("key", 0), Arg::string("start"), Arg::string("end"), COUNT],
    history: &[("6.2.0", "Ends that do not belong to the range.")],
    reply: "array of entries",
    handler: Some(|call| range(call, false)),
    ..Command::NEW
};

pub const XREVRANGE: Command = Command {
    name: "xrevrange",
    summary: "Returns the entries of a range of IDs, the last one first.",
    args: &[Arg::key("key", 0), Arg::string("end"), Arg::string("start"), COUNT],
    handler: Some(|call| range(call, true)),
    ..XRANGE
};

fn range(call: &mut Call<'_, '_>, is_reverse: bool) -> Result<(), Error> {
    let key = call.args.take()?;
    let (mut start, mut end) = (call.args.take()?, call.args.take()?);
    if is_reverse {
        std::mem::swap(&mut start, &mut end);
    }
    let ids = range_start(start)?..=range_end(end)?;
    let mut count = usize::MAX;
    while !call.args.is_done() {
        if call.args.left() < 2 || !call.args.skip_word("COUNT") {
            return Err(Error::Syntax);
        }
        count = usize::try_from(call.args.next_i64()?).unwrap_or(0);
    }
    match find(call.keys, key)? {
        None => call.out.array(0),
        Some(_) if count == 0 => call.out.null_array(),
        Some(stream) if is_reverse => reply_entries(call.out, stream.entries.range_back(ids).take(count)),
        Some(stream) => reply_entries(call.out, stream.entries.range(ids).take(count)),
    }
    Ok(())
}

pub const XLEN: Command = Command {
    name: "xlen",
    summary: "Returns the number of entries of a stream.",
    since: "5.0.0",
    group: Group::Stream,
    complexity: "O(1)",
    arity: 2,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RO)],
    args: &[Arg::key("key", 0)],
    reply: "the number of entries, 0 if there is no such key",
    handler: Some(xlen),
    ..Command::NEW
};

fn xlen(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let length = find(call.keys, key)?.map_or(0, |stream| stream.entries.marks().length);
    call.out.integer(length as i64);
    Ok(())
}
