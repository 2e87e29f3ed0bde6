//! Reading hashes.

use super::value::{HashRef, read, reply_item, reply_or_null, text_len};
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command, Flags, Group, KeyFlags, KeySpec};

/// What reading commands have in common.
const READ: Command = Command {
    since: "2.0.0",
    group: Group::Hash,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    ..Command::NEW
};

/// Those that tell something about a hash, and nothing that is in it.
const INSPECT: Command = Command { keys: &[KeySpec::one(1, KeyFlags::RO)], ..READ };

pub const HGET: Command = Command {
    name: "hget",
    summary: "Returns the value of a field of a hash.",
    arity: 3,
    args: &[Arg::key("key", 0), Arg::string("field")],
    reply: "bulk string, or null if there is no such field",
    handler: Some(hget),
    ..READ
};

fn hget(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let (key, field) = (call.args.take()?, call.args.take()?);
    let hash = read(call.keys, key)?;
    reply_or_null(call.out, hash.and_then(|hash| hash.get(field)));
    Ok(())
}

pub const HMGET: Command = Command {
    name: "hmget",
    summary: "Returns the values of several fields of a hash.",
    complexity: "O(N) in the number of fields asked for.",
    arity: -3,
    args: &[Arg::key("key", 0), Arg::string("field").multiple()],
    reply: "array of values, with null for fields that there are not",
    handler: Some(hmget),
    ..READ
};

fn hmget(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let hash = read(call.keys, key)?;
    call.out.array(call.args.left());
    for field in call.args.rest() {
        reply_or_null(call.out, hash.and_then(|hash| hash.get(field)));
    }
    Ok(())
}

pub const HEXISTS: Command = Command {
    name: "hexists",
    summary: "Tells whether a hash has a field.",
    arity: 3,
    args: &[Arg::key("key", 0), Arg::string("field")],
    reply: "1 if there is such a field, otherwise 0",
    handler: Some(hexists),
    ..INSPECT
};

fn hexists(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let (key, field) = (call.args.take()?, call.args.take()?);
    let hash = read(call.keys, key)?;
    call.out.integer(hash.and_then(|hash| hash.get(field)).is_some().into());
    Ok(())
}

pub const HLEN: Command = Command {
    name: "hlen",
    summary: "Returns the number of fields of a hash.",
    arity: 2,
    args: &[Arg::key("key", 0)],
    reply: "the number of fields, 0 if there is no such key",
    handler: Some(hlen),
    ..INSPECT
};

fn hlen(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let hash = read(call.keys, key)?;
    call.out.integer(hash.map_or(0, |hash| hash.len() as i64));
    Ok(())
}

pub const HSTRLEN: Command = Command {
    name: "hstrlen",
    summary: "Returns the length of the value of a field of a hash.",
    since: "3.2.0",
    arity: 3,
    args: &[Arg::key("key", 0), Arg::string("field")],
    reply: "the length in bytes, 0 if there is no such field",
    handler: Some(hstrlen),
    ..INSPECT
};

fn hstrlen(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let (key, field) = (call.args.take()?, call.args.take()?);
    let hash = read(call.keys, key)?;
    call.out.integer(hash.and_then(|hash| hash.get(field)).map_or(0, |value| text_len(value) as i64));
    Ok(())
}

/// What commands that return all of a hash have in common.
const ALL: Command = Command {
    complexity: "O(N) in the number of fields.",
    arity: 2,
    flags: Flags::READONLY,
    tips: &["nondeterministic_output_order"],
    args: &[Arg::key("key", 0)],
    ..READ
};

pub const HGETALL: Command = Command {
    name: "hgetall",
    summary: "Returns all fields of a hash with their values.",
    reply: "map of fields and values",
    handler: Some(hgetall),
    ..ALL
};

fn hgetall(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let hash = read(call.keys, key)?;
    call.out.map(hash.map_or(0, |hash| hash.len()));
    if let Some(hash) = hash {
        hash.each(|name, value, _| {
            reply_item(call.out, name);
            reply_item(call.out, value);
        });
    }
    Ok(())
}

pub const HKEYS: Command = Command {
    name: "hkeys",
    summary: "Returns all fields of a hash.",
    reply: "array of fields",
    handler: Some(|call| column(call, |out, hash| hash.each(|name, _, _| reply_item(out, name)))),
    ..ALL
};

pub const HVALS: Command = Command {
    name: "hvals",
    summary: "Returns all values of a hash.",
    reply: "array of values",
    handler: Some(|call| column(call, |out, hash| hash.each(|_, value, _| reply_item(out, value)))),
    ..ALL
};

fn column(
    call: &mut Call<'_, '_>,
    write: impl FnOnce(&mut crate::resp::reply::Reply, HashRef<'_>),
) -> Result<(), Error> {
    let key = call.args.take()?;
    let hash = read(call.keys, key)?;
    call.out.array(hash.map_or(0, |hash| hash.len()));
    if let Some(hash) = hash {
        write(call.out, hash);
    }
    Ok(())
}
