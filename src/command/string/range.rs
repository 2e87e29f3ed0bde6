//! Parts of strings: APPEND, SETRANGE, GETRANGE, SUBSTR, STRLEN.

use super::{next_value, string};
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command, Flags, Group, KeyFlags, KeySpec};
use crate::keyspace::{Deadline, StringRef, Value};
use crate::state::Server;
use crate::types::events::Class;
use std::ops::Range;

pub const APPEND: Command = Command {
    name: "append",
    summary: "Adds bytes to the end of the string at a key, which counts as empty if there is none.",
    since: "2.0.0",
    group: Group::String,
    complexity: "O(1), amortised, for a short addition to a string of any length: a long string grows into room \
                 that doubles whenever it is used up.",
    arity: 3,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))],
    args: &[Arg::key("key", 0), Arg::string("value")],
    reply: "the new length",
    handler: Some(append),
    ..Command::NEW
};

fn append(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let len = match call.keys.update(key) {
        Some(entry) => {
            let addition = call.args.take()?;
            let old_len = string(entry)?.len();
            let len = checked_len(call.server, old_len, addition.len())?;
            entry.write_at(old_len, addition);
            len
        }
        None => {
            let len = call.args.peek().map_or(0, <[u8]>::len);
            let value = next_value(&mut call.args)?;
            call.keys.set(key, value, Deadline::Clear);
            len
        }
    };
    call.keys.notify(Class::STRING, "append", key);
    call.keys.changed(1);
    call.out.integer(len as i64);
    Ok(())
}

/// The end of `len` bytes from `offset` on, if a string may be that long (`proto-max-bulk-len`).
fn checked_len(server: &Server, offset: usize, len: usize) -> Result<usize, Error> {
    offset
        .checked_add(len)
        .filter(|end| *end as u64 <= server.config.proto_max_bulk_len())
        .ok_or(Error::StringTooLong)
}

pub const SETRANGE: Command = Command {
    name: "setrange",
    summary: "Writes bytes into the string at a key from an offset on; a gap is filled with zero bytes.",
    since: "2.2.0",
    group: Group::String,
    complexity: "O(M) in the length of the value given, if the string need not grow.",
    arity: 4,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
    args: &[Arg::key("key", 0), Arg::integer("offset"), Arg::string("value")],
    reply: "the new length",
    handler: Some(setrange),
    ..Command::NEW
};

fn setrange(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let offset = usize::try_from(call.args.next_i64()?).map_err(|_| Error::OffsetOutOfRange)?;
    let value = call.args.take()?;
    if value.is_empty() {
        let len = call.keys.peek(key).map(string).transpose()?.map_or(0, |value| value.len());
        call.out.integer(len as i64);
        return Ok(());
    }
    checked_len(call.server, offset, value.len())?;
    let entry = call.keys.update_or_create(key, Value::Bytes(b""));
    let old_len = string(entry)?.len();
    entry.write_at(offset, value);
    call.out.integer(old_len.max(offset + value.len()) as i64);
    call.keys.notify(Class::STRING, "setrange", key);
    call.keys.changed(1);
    Ok(())
}

const GETRANGE_COMPLEXITY: &str = "O(N) in the length of the part returned.";

pub const GETRANGE: Command = Command {
    name: "getrange",
    summary: "Returns a part of the string at a key.",
    since: "2.4.0",
    group: Group::String,
    complexity: GETRANGE_COMPLEXITY,
    arity: 4,
    flags: Flags::READONLY,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    args: &[Arg::key("key", 0), Arg::integer("start"), Arg::integer("end")],
    reply: "bulk string, empty if the range holds nothing",
    handler: Some(getrange),
    ..Command::NEW
};

pub const SUBSTR: Command =
    Command { name: "substr", since: "1.0.0", deprecated: Some(("2.0.0", "`GETRANGE`")), ..GETRANGE };

fn getrange(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let start = call.args.next_i64()?;
    let end = call.args.next_i64()?;
    let Some(entry) = call.keys.get(key) else {
        call.out.bulk(b"");
        return Ok(());
    };
    let value = string(entry)?;
    let range = byte_range(start, end, value.len());
    match value {
        StringRef::Shared(bytes) => call.out.bulk_shared(&bytes.slice(range)),
        _ => value.with(|bytes| call.out.bulk(&bytes[range])),
    }
    Ok(())
}

/// The bytes from `start` to `end` inclusive, where negative positions count from the end of the `len` bytes.
/// A position before the first byte means the first byte, even for `end`, as in Redis.
fn byte_range(start: i64, end: i64, len: usize) -> Range<usize> {
    let empty = 0..0;
    if len == 0 || (start < 0 && end < 0 && start > end) {
        return empty;
    }
    let len = len as i64;
    let absolute = |position: i64| if position < 0 { position.saturating_add(len).max(0) } else { position };
    let (start, end) = (absolute(start), absolute(end).min(len - 1));
    if start > end { empty } else { start as usize..end as usize + 1 }
}

pub const STRLEN: Command = Command {
    name: "strlen",
    summary: "Returns the length of the string at a key.",
    since: "2.2.0",
    group: Group::String,
    complexity: "O(1)",
    arity: 2,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RO)],
    args: &[Arg::key("key", 0)],
    reply: "the length in bytes, 0 if there is no such key",
    handler: Some(strlen),
    ..Command::NEW
};

fn strlen(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let len = call.keys.get(key).map(string).transpose()?.map_or(0, |value| value.len());
    call.out.integer(len as i64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::byte_range;

    #[test]
    fn ranges_as_redis_counts_them() {
        for (start, end, expected) in [
            (0, -1, 0..5),
            (1, 3, 1..4),
            (-3, -1, 2..5),
            (-100, 1, 0..2),
            (3, 100, 3..5),
            (5, 9, 0..0),
            (3, 1, 0..0),
            (-1, -3, 0..0),
            (0, -100, 0..1),
            (-100, -99, 0..1),
            (i64::MIN, i64::MAX, 0..5),
            (i64::MAX, i64::MIN, 0..0),
        ] {
            assert_eq!(byte_range(start, end, 5), expected, "{start} {end}");
        }
        assert_eq!(byte_range(0, -1, 0), 0..0);
    }
}
