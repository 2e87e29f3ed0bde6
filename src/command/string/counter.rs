//! Strings as numbers: INCR and its family.

use super::string;
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command, Flags, Group, KeyFlags, KeySpec};
use crate::keyspace::{Deadline, StringRef, Value};
use crate::types::events::Class;
use crate::types::long_double::LongDouble;
use crate::types::number;

const FLAGS: Flags = Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST);
const KEYS: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))];

pub const INCR: Command = Command {
    name: "incr",
    summary: "Adds one to the integer at a key, which counts as 0 if there is none.",
    since: "1.0.0",
    group: Group::String,
    complexity: "O(1)",
    arity: 2,
    flags: FLAGS,
    keys: KEYS,
    args: &[Arg::key("key", 0)],
    reply: "the new value",
    handler: Some(|call| {
        let key = call.args.take()?;
        add(call, key, 1)
    }),
    ..Command::NEW
};

pub const DECR: Command = Command {
    name: "decr",
    summary: "Subtracts one from the integer at a key, which counts as 0 if there is none.",
    since: "1.0.0",
    group: Group::String,
    complexity: "O(1)",
    arity: 2,
    flags: FLAGS,
    keys: KEYS,
    args: &[Arg::key("key", 0)],
    reply: "the new value",
    handler: Some(|call| {
        let key = call.args.take()?;
        add(call, key, -1)
    }),
    ..Command::NEW
};

pub const INCRBY: Command = Command {
    name: "incrby",
    summary: "Adds to the integer at a key, which counts as 0 if there is none.",
    since: "1.0.0",
    group: Group::String,
    complexity: "O(1)",
    arity: 3,
    flags: FLAGS,
    keys: KEYS,
    args: &[Arg::key("key", 0), Arg::integer("increment")],
    reply: "the new value",
    handler: Some(|call| {
        let key = call.args.take()?;
        let by = call.args.next_i64()?;
        add(call, key, by)
    }),
    ..Command::NEW
};

pub const DECRBY: Command = Command {
    name: "decrby",
    summary: "Subtracts from the integer at a key, which counts as 0 if there is none.",
    since: "1.0.0",
    group: Group::String,
    complexity: "O(1)",
    arity: 3,
    flags: FLAGS,
    keys: KEYS,
    args: &[Arg::key("key", 0), Arg::integer("decrement")],
    reply: "the new value",
    handler: Some(|call| {
        let key = call.args.take()?;
        let by = call.args.next_i64()?.checked_neg().ok_or(Error::DecrementOverflow)?;
        add(call, key, by)
    }),
    ..Command::NEW
};

fn add(call: &mut Call<'_, '_>, key: &[u8], by: i64) -> Result<(), Error> {
    let mut sum = by;
    let done = match call.keys.update(key) {
        Some(entry) => {
            let old = match string(entry)? {
                StringRef::Int(n) => n,
                text => text.with(number::parse_i64).ok_or(Error::NotInteger)?,
            };
            sum = old.checked_add(by).ok_or(Error::Overflow)?;
            entry.overwrite(&Value::Int(sum))
        }
        None => false,
    };
    if !done {
        call.keys.set(key, Value::Int(sum), Deadline::Keep);
    }
    call.keys.notify(Class::STRING, "incrby", key);
    call.keys.changed(1);
    call.out.integer(sum);
    Ok(())
}

pub const INCRBYFLOAT: Command = Command {
    name: "incrbyfloat",
    summary: "Adds to the floating point number at a key, which counts as 0 if there is none.",
    since: "2.6.0",
    group: Group::String,
    complexity: "O(1)",
    arity: 3,
    flags: FLAGS,
    keys: KEYS,
    args: &[Arg::key("key", 0), Arg::double("increment")],
    reply: "bulk string: the new value",
    handler: Some(incrbyfloat),
    ..Command::NEW
};

fn incrbyfloat(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let old = match call.keys.update(key) {
        Some(entry) => string(entry)?.with(LongDouble::parse).ok_or(Error::NotFloat)?,
        None => LongDouble::from(0),
    };
    let by = LongDouble::parse(call.args.take()?).ok_or(Error::NotFloat)?;
    let sum = old.checked_add(by).ok_or(Error::NanOrInfinity)?;
    let mut text = Vec::new();
    sum.write(&mut text);
    call.keys.set(key, Value::Bytes(&text), Deadline::Keep);
    call.keys.notify(Class::STRING, "incrbyfloat", key);
    call.keys.changed(1);
    // Others may add floating point numbers otherwise.
    call.keys.propagate(&[b"SET", key, &text, b"KEEPTTL"]);
    call.out.bulk(&text);
    Ok(())
}
