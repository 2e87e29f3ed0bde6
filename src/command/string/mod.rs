//! Commands on strings.
//!
//! A string that is the canonical form of a 64-bit integer is kept as that integer, as in Redis; a long one is
//! shared with the request that brought it and with the replies that carry it away, and is never copied.

mod counter;
mod expiry;
mod get;
mod lcs;
mod multi;
mod range;
mod set;

use super::args::Args;
use super::errors::Error;
use super::spec::Command;
use crate::keyspace::entry::MAX_INLINE_BYTES;
use crate::keyspace::{Entry, StringRef, Value};
use crate::resp::reply::Reply;
use crate::types::number;

pub const COMMANDS: &[Command] = &[
    range::APPEND,
    counter::DECR,
    counter::DECRBY,
    get::GET,
    get::GETDEL,
    get::GETEX,
    range::GETRANGE,
    set::GETSET,
    counter::INCR,
    counter::INCRBY,
    counter::INCRBYFLOAT,
    lcs::LCS,
    multi::MGET,
    multi::MSET,
    multi::MSETNX,
    set::PSETEX,
    set::SET,
    set::SETEX,
    set::SETNX,
    range::SETRANGE,
    range::STRLEN,
    range::SUBSTR,
];

/// The value that a client's bytes become.
#[inline]
fn encoded(bytes: &[u8]) -> Value<'_> {
    number::parse_i64(bytes).map_or(Value::Bytes(bytes), Value::Int)
}

/// Consumes an argument as a value to be kept.
#[inline]
fn next_value<'a>(args: &mut Args<'a>) -> Result<Value<'a>, Error> {
    if args.peek().is_some_and(|arg| arg.len() > MAX_INLINE_BYTES) {
        return args.next_bytes().map(Value::Shared);
    }
    args.take().map(encoded)
}

/// Replies with a string.
#[inline]
fn reply_string(out: &mut Reply, value: StringRef<'_>) {
    match value {
        StringRef::Int(n) => out.bulk_integer(n),
        StringRef::Inline(bytes) => out.bulk(bytes),
        StringRef::Shared(bytes) => out.bulk_shared(bytes),
    }
}

/// The value of an entry that has to be a string.
#[inline]
pub fn string(entry: &Entry) -> Result<StringRef<'_>, Error> {
    entry.string().ok_or(Error::WrongType)
}

/// Replies with the string of an entry, or null if there is none.
#[inline]
fn reply_value(out: &mut Reply, found: Option<&Entry>) -> Result<(), Error> {
    match found {
        Some(entry) => reply_string(out, string(entry)?),
        None => out.null(),
    }
    Ok(())
}
