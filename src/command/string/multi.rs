//! Several strings at once: MGET, MSET, MSETNX.

use super::{next_value, reply_string};
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command, Flags, Group, KeyFlags, KeySpec};
use crate::keyspace::Deadline;
use crate::types::events::Class;

const PAIR: &[Arg] = &[Arg::key("key", 0), Arg::string("value")];

pub const MGET: Command = Command {
    name: "mget",
    summary: "Returns the strings stored at several keys, all as of the same instant.",
    since: "1.0.0",
    group: Group::String,
    complexity: "O(N) in the number of keys.",
    arity: -2,
    flags: Flags::READONLY.union(Flags::FAST),
    tips: &["request_policy:multi_shard"],
    keys: &[KeySpec::range(1, -1, 1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    args: &[Arg::key("key", 0).multiple()],
    reply: "array with a bulk string for each key, or null if it is missing or no string",
    handler: Some(mget),
    ..Command::NEW
};

fn mget(call: &mut Call<'_, '_>) -> Result<(), Error> {
    call.out.array(call.args.left());
    for key in call.args.rest() {
        match call.keys.get(key).and_then(|entry| entry.string()) {
            Some(value) => reply_string(call.out, value),
            None => call.out.null(),
        }
    }
    Ok(())
}

pub const MSET: Command = Command {
    name: "mset",
    summary: "Gives several keys a string each, all at the same instant.",
    since: "1.0.1",
    group: Group::String,
    complexity: "O(N) in the number of keys.",
    arity: -3,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    tips: &["request_policy:multi_shard", "response_policy:all_succeeded"],
    keys: &[KeySpec::range(1, -1, 2, KeyFlags::OW.union(KeyFlags::UPDATE))],
    args: &[Arg::block("data", PAIR).multiple()],
    reply: "OK",
    handler: Some(mset),
    ..Command::NEW
};

fn mset(call: &mut Call<'_, '_>) -> Result<(), Error> {
    check_pairs(call)?;
    set_pairs(call)?;
    call.out.ok();
    Ok(())
}

pub const MSETNX: Command = Command {
    name: "msetnx",
    summary: "Gives several keys a string each if none of the keys exists.",
    since: "1.0.1",
    group: Group::String,
    complexity: "O(N) in the number of keys.",
    arity: -3,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: &[KeySpec::range(1, -1, 2, KeyFlags::OW.union(KeyFlags::INSERT))],
    args: &[Arg::block("data", PAIR).multiple()],
    reply: "1 if the keys were set, 0 if one of them existed",
    handler: Some(msetnx),
    ..Command::NEW
};

fn msetnx(call: &mut Call<'_, '_>) -> Result<(), Error> {
    check_pairs(call)?;
    if call.args.rest().step_by(2).any(|key| call.keys.peek(key).is_some()) {
        call.out.integer(0);
        return Ok(());
    }
    set_pairs(call)?;
    call.out.integer(1);
    Ok(())
}

fn check_pairs(call: &Call<'_, '_>) -> Result<(), Error> {
    if call.args.left().is_multiple_of(2) {
        Ok(())
    } else {
        Err(Error::WrongArity(call.entry.full_name.clone()))
    }
}

/// Sets each pair that is left. A key that comes twice keeps its last value, and counts twice.
fn set_pairs(call: &mut Call<'_, '_>) -> Result<(), Error> {
    call.keys.changed(call.args.left() as u64 / 2);
    while !call.args.is_done() {
        let key = call.args.take()?;
        let value = next_value(&mut call.args)?;
        call.keys.overwrite(key, value, Deadline::Clear);
        call.keys.notify(Class::STRING, "set", key);
    }
    Ok(())
}
