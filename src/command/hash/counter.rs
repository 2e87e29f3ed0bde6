//! Fields as numbers.

use super::value::{HashMut, Limits, edit_or_create};
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command, Flags, Group, KeyFlags, KeySpec};
use crate::types::events::Class;
use crate::types::long_double::LongDouble;
use crate::types::number;
use crate::types::packed::Item;

/// What both commands have in common.
const COUNT: Command = Command {
    group: Group::Hash,
    complexity: "O(1)",
    arity: 4,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))],
    ..Command::NEW
};

pub const HINCRBY: Command = Command {
    name: "hincrby",
    summary: "Adds to the integer in a field of a hash, which counts as 0 if there is none.",
    since: "2.0.0",
    args: &[Arg::key("key", 0), Arg::string("field"), Arg::integer("increment")],
    reply: "the new value",
    handler: Some(hincrby),
    ..COUNT
};

fn hincrby(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let (key, field) = (call.args.take()?, call.args.take()?);
    let by = call.args.next_i64()?;
    let sum = edit_or_create(call.keys, key, Limits::of(call.server), |hash| {
        let old = match hash.read().get(field) {
            None => 0,
            Some(Item::Int(n)) => n,
            Some(Item::Text(text)) => number::parse_i64(text).ok_or(Error::FieldNotInteger)?,
        };
        let sum = old.checked_add(by).ok_or(Error::Overflow)?;
        hash.set(field, itoa::Buffer::new().format(sum).as_bytes(), true);
        Ok(sum)
    })?;
    call.keys.notify(Class::HASH, "hincrby", key);
    call.keys.changed(1);
    call.out.integer(sum);
    Ok(())
}

pub const HINCRBYFLOAT: Command = Command {
    name: "hincrbyfloat",
    summary: "Adds to the floating point number in a field of a hash, which counts as 0 if there is none.",
    since: "2.6.0",
    args: &[Arg::key("key", 0), Arg::string("field"), Arg::double("increment")],
    reply: "bulk string: the new value",
    handler: Some(hincrbyfloat),
    ..COUNT
};

fn hincrbyfloat(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let (key, field) = (call.args.take()?, call.args.take()?);
    let by = LongDouble::parse(call.args.take()?).ok_or(Error::NotFloat)?;
    // Only what is finite can be added to.
    by.checked_add(LongDouble::from(0)).ok_or(Error::IncrementInfinite)?;
    let add = |hash: &mut HashMut<'_>| {
        let old = match hash.read().get(field) {
            None => LongDouble::from(0),
            Some(value) => value.with(LongDouble::parse).ok_or(Error::FieldNotFloat)?,
        };
        let sum = old.checked_add(by).ok_or(Error::NanOrInfinity)?;
        let mut text = Vec::new();
        sum.write(&mut text);
        let is_timed = hash.read().deadline(field).flatten().is_some();
        hash.set(field, &text, true);
        Ok((text, is_timed))
    };
    let (text, is_timed) = edit_or_create(call.keys, key, Limits::of(call.server), add)?;
    call.keys.notify(Class::HASH, "hincrbyfloat", key);
    call.keys.changed(1);
    // Others may add floating point numbers otherwise; and HSET would take the field's deadline away.
    if is_timed {
        call.keys.propagate(&[b"HSETEX", key, b"KEEPTTL", b"FIELDS", b"1", field, &text]);
    } else {
        call.keys.propagate(&[b"HSET", key, field, &text]);
    }
    call.out.bulk(&text);
    Ok(())
}
