//! Single members: SADD, SREM, SISMEMBER, SMISMEMBER, SMEMBERS, SCARD, SMOVE.

use super::reply_member;
use super::value::{self, Limits, SetRef};
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::generic::free_entry;
use crate::command::spec::{Arg, Command, Flags, Group, KeyFlags, KeySpec};
use crate::keyspace::{Deadline, View};
use crate::types::events::Class;
use crate::types::packed::Item;

const KEY_AND_MEMBERS: &[Arg] = &[Arg::key("key", 0), Arg::string("member").multiple()];
const ONE_OR_MORE: &[(&str, &str)] = &[("2.4.0", "Several members.")];

pub const SADD: Command = Command {
    name: "sadd",
    summary: "Adds members to a set, which is created if there is none.",
    since: "1.0.0",
    group: Group::Set,
    complexity: "O(N) in the number of members.",
    arity: -3,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))],
    args: KEY_AND_MEMBERS,
    history: ONE_OR_MORE,
    reply: "the number of members that were not there before",
    handler: Some(sadd),
    ..Command::NEW
};

fn sadd(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let limits = Limits::of(&call.server.config);
    let added = add_all(call.keys, key, call.args.rest(), limits)?;
    if added > 0 {
        call.keys.notify(Class::SET, "sadd", key);
    }
    call.keys.changed(added as u64);
    call.out.integer(added as i64);
    Ok(())
}

/// Adds members to the set at `key`; returns how many were not there.
fn add_all<'a>(
    keys: &mut View<'_>,
    key: &[u8],
    members: impl ExactSizeIterator<Item = &'a [u8]>,
    limits: Limits,
) -> Result<usize, Error> {
    let Some(entry) = keys.update(key) else {
        let (set, added) = value::create(members, limits);
        set.store(|value| keys.set(key, value, Deadline::Clear));
        return Ok(added);
    };
    value::expect(entry, members.len(), limits)?;
    let mut added = 0;
    for member in members {
        added += value::add(entry, member, limits)? as usize;
    }
    Ok(added)
}

pub const SREM: Command = Command {
    name: "srem",
    summary: "Removes members from a set; the last one takes the key with it.",
    since: "1.0.0",
    group: Group::Set,
    complexity: "O(N) in the number of members.",
    arity: -3,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
    args: KEY_AND_MEMBERS,
    history: ONE_OR_MORE,
    reply: "the number of members that were there",
    handler: Some(srem),
    ..Command::NEW
};

fn srem(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let mut removed = 0;
    if let Some(entry) = call.keys.update(key) {
        let mut left = SetRef::of(entry)?.len();
        for member in call.args.rest() {
            if left == 0 {
                break;
            }
            let found = value::remove(entry, member)? as usize;
            removed += found;
            left -= found;
        }
        if left == 0 {
            remove_key(call.keys, key);
        }
        if removed > 0 {
            tell_removed(call.keys, key, left == 0, "srem");
        }
    }
    call.keys.changed(removed as u64);
    call.out.integer(removed as i64);
    Ok(())
}

/// Takes a key out of the database.
pub(super) fn remove_key(keys: &mut View<'_>, key: &[u8]) -> bool {
    let removed = keys.remove(key);
    let found = removed.is_some();
    removed.into_iter().for_each(free_entry);
    found
}

/// States that members were removed from the set at `key`, maybe all.
pub(super) fn tell_removed(keys: &View<'_>, key: &[u8], all: bool, event: &str) {
    keys.notify(Class::SET, event, key);
    if all {
        keys.event(Class::GENERIC, "del", key);
    }
}

pub const SISMEMBER: Command = Command {
    name: "sismember",
    summary: "Tells whether something is a member of a set.",
    since: "1.0.0",
    group: Group::Set,
    complexity: "O(1)",
    arity: 3,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RO)],
    args: &[Arg::key("key", 0), Arg::string("member")],
    reply: "1 for a member, 0 otherwise",
    handler: Some(sismember),
    ..Command::NEW
};

fn sismember(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let set = call.keys.get(call.args.take()?).map(SetRef::of).transpose()?;
    let member = Item::Text(call.args.take()?);
    call.out.integer(set.is_some_and(|set| set.contains(member)).into());
    Ok(())
}

pub const SMISMEMBER: Command = Command {
    name: "smismember",
    summary: "Tells of several things whether they are members of a set.",
    since: "6.2.0",
    group: Group::Set,
    complexity: "O(N) in the number of things.",
    arity: -3,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    args: KEY_AND_MEMBERS,
    reply: "array of 1 for each member and 0 for what is none",
    handler: Some(smismember),
    ..Command::NEW
};

fn smismember(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let set = call.keys.get(call.args.take()?).map(SetRef::of).transpose()?;
    call.out.array(call.args.left());
    for member in call.args.rest() {
        call.out.integer(set.is_some_and(|set| set.contains(Item::Text(member))).into());
    }
    Ok(())
}

pub const SMEMBERS: Command = Command {
    name: "smembers",
    summary: "Returns all members of a set.",
    since: "1.0.0",
    group: Group::Set,
    complexity: "O(N) in the number of members.",
    arity: 2,
    flags: Flags::READONLY,
    tips: &["nondeterministic_output_order"],
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    args: &[Arg::key("key", 0)],
    reply: "set of the members",
    handler: Some(smembers),
    ..Command::NEW
};

fn smembers(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let Some(entry) = call.keys.get(call.args.take()?) else {
        call.out.set(0);
        return Ok(());
    };
    let set = SetRef::of(entry)?;
    call.out.set(set.len());
    set.each(|member| reply_member(call.out, member));
    Ok(())
}

pub const SCARD: Command = Command {
    name: "scard",
    summary: "Returns the number of members of a set.",
    since: "1.0.0",
    group: Group::Set,
    complexity: "O(1)",
    arity: 2,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RO)],
    args: &[Arg::key("key", 0)],
    reply: "the number of members, 0 if there is no such key",
    handler: Some(scard),
    ..Command::NEW
};

fn scard(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let set = call.keys.get(call.args.take()?).map(SetRef::of).transpose()?;
    call.out.integer(set.map_or(0, SetRef::len) as i64);
    Ok(())
}

pub const SMOVE: Command = Command {
    name: "smove",
    summary: "Moves a member from one set to another.",
    since: "1.0.0",
    group: Group::Set,
    complexity: "O(1)",
    arity: 4,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: &[
        KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE)),
        KeySpec::one(2, KeyFlags::RW.union(KeyFlags::INSERT)),
    ],
    args: &[Arg::key("source", 0), Arg::key("destination", 1), Arg::string("member")],
    reply: "1 if the member was moved, 0 if the source did not have it",
    handler: Some(smove),
    ..Command::NEW
};

fn smove(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let (source, destination, member) = (call.args.take()?, call.args.take()?, call.args.take()?);
    let moved = move_member(call, source, destination, member)?;
    call.out.integer(moved.into());
    Ok(())
}

fn move_member(
    call: &mut Call<'_, '_>,
    source: &[u8],
    destination: &[u8],
    member: &[u8],
) -> Result<bool, Error> {
    // Both are looked up first, as by Redis: a destination that has expired goes even when there is no source.
    let (from, to) = (call.keys.peek(source), call.keys.peek(destination));
    let Some(from) = from else { return Ok(false) };
    let set = SetRef::of(from)?;
    to.map(SetRef::of).transpose()?;
    if source == destination {
        return Ok(set.contains(Item::Text(member)));
    }
    let Some(from) = call.keys.update(source) else { return Ok(false) };
    if !value::remove(from, member)? {
        return Ok(false);
    }
    let is_empty = SetRef::of(from)?.is_empty();
    if is_empty {
        remove_key(call.keys, source);
    }
    tell_removed(call.keys, source, is_empty, "srem");
    let limits = Limits::of(&call.server.config);
    let added = add_all(call.keys, destination, std::iter::once(member), limits)?;
    if added > 0 {
        call.keys.notify(Class::SET, "sadd", destination);
    }
    call.keys.changed(1 + added as u64);
    Ok(true)
}
