//! What there is: EXISTS, TOUCH, TYPE.

use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command, Flags, Group, KeyFlags, KeySpec};

const READ_FAST: Flags = Flags::READONLY.union(Flags::FAST);

pub const EXISTS: Command = Command {
    name: "exists",
    summary: "Counts how many of the keys there are; a key that is named twice counts twice.",
    since: "1.0.0",
    group: Group::Generic,
    complexity: "O(N) in the number of keys.",
    arity: -2,
    flags: READ_FAST,
    tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
    keys: &[KeySpec::range(1, -1, 1, KeyFlags::RO)],
    args: &[Arg::key("key", 0).multiple()],
    history: &[("3.0.3", "Several keys.")],
    reply: "the number of keys that exist",
    handler: Some(exists),
    ..Command::NEW
};

fn exists(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let count = call.args.rest().filter(|key| call.keys.probe(key).is_some()).count();
    call.out.integer(count as i64);
    Ok(())
}

pub const TOUCH: Command = Command {
    name: "touch",
    summary: "Marks keys as used just now and counts how many of them there are.",
    since: "3.2.1",
    group: Group::Generic,
    complexity: "O(N) in the number of keys.",
    arity: -2,
    flags: READ_FAST,
    tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
    keys: &[KeySpec::range(1, -1, 1, KeyFlags::RO)],
    args: &[Arg::key("key", 0).multiple()],
    reply: "the number of keys that exist",
    handler: Some(touch),
    ..Command::NEW
};

fn touch(call: &mut Call<'_, '_>) -> Result<(), Error> {
    // The one command whose purpose is the access counts it even under CLIENT NO-TOUCH.
    call.keys.set_touch(true);
    let count = call.args.rest().filter(|key| call.keys.get(key).is_some()).count();
    call.out.integer(count as i64);
    Ok(())
}

pub const TYPE: Command = Command {
    name: "type",
    summary: "Returns the type of the value at a key.",
    since: "1.0.0",
    group: Group::Generic,
    complexity: "O(1)",
    arity: 2,
    flags: READ_FAST,
    keys: &[KeySpec::one(1, KeyFlags::RO)],
    args: &[Arg::key("key", 0)],
    reply: "the type's name, or none if there is no such key",
    handler: Some(type_of),
    ..Command::NEW
};

fn type_of(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    call.out.simple(call.keys.probe(key).map_or("none", |entry| entry.value_type().name()));
    Ok(())
}
