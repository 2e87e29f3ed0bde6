//! Setting and deleting fields.

use super::PAIRS;
use super::value::{Limits, create, edit};
use crate::command::args::Args;
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command, Flags, Group, KeyFlags, KeySpec};

/// What setting commands have in common.
const SET: Command = Command {
    since: "2.0.0",
    group: Group::Hash,
    complexity: "O(N) in the number of fields to be set.",
    arity: -4,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
    ..Command::NEW
};

pub const HSET: Command = Command {
    name: "hset",
    summary: "Sets the values of fields of a hash, which is created if there is none.",
    args: &[Arg::key("key", 0), PAIRS],
    history: &[("4.0.0", "Several fields at once.")],
    reply: "the number of fields that are new",
    handler: Some(|call| {
        let created = set(call)?;
        call.out.integer(created as i64);
        Ok(())
    }),
    ..SET
};

pub const HMSET: Command = Command {
    name: "hmset",
    summary: "Sets the values of fields of a hash, which is created if there is none.",
    args: &[Arg::key("key", 0), PAIRS],
    deprecated: Some(("4.0.0", "`HSET` with several fields")),
    reply: "OK",
    handler: Some(|call| {
        set(call)?;
        call.out.ok();
        Ok(())
    }),
    ..SET
};

/// The arguments that are left, two by two.
pub fn pairs<'a>(args: Args<'a>) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone {
    let first = args.position();
    (0..args.left() / 2).map(move |n| (args.get(first + 2 * n), args.get(first + 2 * n + 1)))
}

/// Sets fields, and returns how many are new.
fn set(call: &mut Call<'_, '_>) -> Result<usize, Error> {
    let key = call.args.take()?;
    if !call.args.left().is_multiple_of(2) {
        return Err(Error::WrongArity(call.entry.full_name.clone()));
    }
    let (limits, pairs) = (Limits::of(call.server), pairs(call.args));
    let changed = edit(call.keys, key, limits, |hash| {
        hash.prepare(pairs.clone());
        Ok(pairs.clone().filter(|(name, value)| hash.set(name, value, false)).count())
    })?;
    let created = changed.unwrap_or_else(|| create(call.keys, key, limits, pairs));
    call.keys.changed((call.args.left() / 2) as u64);
    Ok(created)
}

pub const HSETNX: Command = Command {
    name: "hsetnx",
    summary: "Sets the value of a field of a hash unless there is such a field.",
    complexity: "O(1)",
    arity: 4,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))],
    args: &[Arg::key("key", 0), Arg::string("field"), Arg::string("value")],
    reply: "1 if the field was set, 0 if it was there",
    handler: Some(hsetnx),
    ..SET
};

fn hsetnx(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let (limits, pairs) = (Limits::of(call.server), pairs(call.args));
    let set = edit(call.keys, key, limits, |hash| {
        let new = pairs.clone().find(|(name, _)| hash.read().get(name).is_none());
        Ok(new.is_some_and(|(name, value)| hash.set(name, value, false)))
    })?;
    let set = set.unwrap_or_else(|| create(call.keys, key, limits, pairs) > 0);
    call.keys.changed(set.into());
    call.out.integer(set.into());
    Ok(())
}

pub const HDEL: Command = Command {
    name: "hdel",
    summary: "Deletes fields of a hash, and the hash with its last field.",
    since: "2.0.0",
    group: Group::Hash,
    complexity: "O(N) in the number of fields to be deleted.",
    arity: -3,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
    args: &[Arg::key("key", 0), Arg::string("field").multiple()],
    history: &[("2.4.0", "Several fields at once.")],
    reply: "the number of fields that were deleted",
    handler: Some(hdel),
    ..Command::NEW
};

fn hdel(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let (limits, fields) = (Limits::of(call.server), call.args);
    let deleted =
        edit(call.keys, key, limits, |hash| Ok(fields.rest().filter(|name| hash.remove(name)).count()))?;
    let deleted = deleted.unwrap_or(0);
    call.keys.changed(deleted as u64);
    call.out.integer(deleted as i64);
    Ok(())
}
