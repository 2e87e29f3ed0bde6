//! Members picked at random: SPOP, SRANDMEMBER.

use super::members::{remove_key, tell_removed};
use super::reply_member;
use super::value::{self, Limits, SetRef, selection};
use crate::command::args::Args;
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command, Flags, Group, KeyFlags, KeySpec};
use crate::keyspace::View;
use crate::resp::reply::Reply;
use crate::types::names::Names;
use crate::types::packed::Item;
use rand::Rng;
use rand::seq::SliceRandom;
use std::collections::HashSet;

pub const SPOP: Command = Command {
    name: "spop",
    summary: "Takes members out of a set at random and returns them; the last one takes the key with it.",
    since: "1.0.0",
    group: Group::Set,
    complexity: "O(1) without a count, O(N) in the count otherwise.",
    arity: -2,
    flags: Flags::WRITE.union(Flags::FAST),
    tips: &["nondeterministic_output"],
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))],
    args: &[Arg::key("key", 0), Arg::integer("count").optional().since("3.2.0")],
    history: &[("3.2.0", "The argument `count`.")],
    reply: "bulk string, or null if there is no such key; with a count, set of the members",
    handler: Some(spop),
    ..Command::NEW
};

fn spop(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    if !call.args.is_done() {
        return spop_count(call, key);
    }
    let is_logged = call.keys.is_logged();
    let Some(entry) = call.keys.update(key) else {
        call.out.null();
        return Ok(());
    };
    let mut popped = Names::default();
    value::pop(entry, &mut rand::rng(), |member| {
        reply_member(call.out, member);
        if is_logged {
            member.with(|member| popped.push(member));
        }
    })?;
    let is_empty = SetRef::of(entry)?.is_empty();
    if is_empty {
        remove_key(call.keys, key);
    }
    tell_removed(call.keys, key, is_empty, "spop");
    call.keys.changed(1);
    propagate(call.keys, key, &popped);
    Ok(())
}

/// Members in one command of the log at most (Redis's figure).
const MEMBERS_PER_COMMAND: usize = 1024;

/// States that the command is logged as the removal of these members.
fn propagate(keys: &View<'_>, key: &[u8], members: &Names) {
    let mut members = members.iter();
    while keys.is_logged() && members.len() > 0 {
        let count = members.len().min(MEMBERS_PER_COMMAND);
        let args = [b"SREM".as_slice(), key].into_iter().chain(members.by_ref().take(count));
        keys.propagate_many(2 + count, args);
    }
}

fn spop_count(call: &mut Call<'_, '_>, key: &[u8]) -> Result<(), Error> {
    if call.args.left() > 1 {
        return Err(Error::Syntax);
    }
    let count = call.args.next_i64().ok().and_then(|count| usize::try_from(count).ok());
    let count = count.ok_or(Error::OutOfRangePositive)?;
    let is_logged = call.keys.is_logged();
    let Some(entry) = call.keys.update(key) else {
        call.out.set(0);
        return Ok(());
    };
    let set = SetRef::of(entry)?;
    let popped = count.min(set.len());
    call.out.set(popped);
    let all = popped == set.len();
    let mut names = Names::default();
    if all {
        set.each(|member| reply_member(call.out, member));
        remove_key(call.keys, key);
    } else if popped > 0 {
        let limits = Limits::of(&call.server.config);
        value::pop_many(entry, popped, limits, &mut rand::rng(), |member| {
            reply_member(call.out, member);
            if is_logged {
                member.with(|member| names.push(member));
            }
        })?;
    }
    if popped > 0 {
        tell_removed(call.keys, key, all, "spop");
        if all {
            call.keys.propagate(&[b"DEL", key]);
        }
        propagate(call.keys, key, &names);
    }
    call.keys.changed(popped as u64);
    Ok(())
}

pub const SRANDMEMBER: Command = Command {
    name: "srandmember",
    summary: "Returns members of a set, picked at random.",
    since: "1.0.0",
    group: Group::Set,
    complexity: "O(1) without a count, O(N) in the count otherwise.",
    arity: -2,
    flags: Flags::READONLY,
    tips: &["nondeterministic_output"],
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    args: &[Arg::key("key", 0), Arg::integer("count").optional().since("2.6.0")],
    history: &[("2.6.0", "The argument `count`.")],
    reply: "bulk string, or null if there is no such key; with a count, array of that many different \
            members, or of members that may repeat if the count is negative",
    handler: Some(srandmember),
    ..Command::NEW
};

/// The count whose amount is no count.
const COUNT_OUT_OF_RANGE: Error =
    Error::line("ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807");

/// Consumes the last argument: how many members, and whether they may repeat.
fn next_count(args: &mut Args<'_>) -> Result<(usize, bool), Error> {
    if args.left() > 1 {
        return Err(Error::Syntax);
    }
    match args.next_i64()? {
        i64::MIN => Err(COUNT_OUT_OF_RANGE),
        count => Ok((count.unsigned_abs() as usize, count < 0)),
    }
}

fn srandmember(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let rng = &mut rand::rng();
    if call.args.is_done() {
        match call.keys.get(key).map(SetRef::of).transpose()?.and_then(|set| set.random(rng)) {
            Some(member) => reply_member(call.out, member),
            None => call.out.null(),
        }
        return Ok(());
    }
    let (count, may_repeat) = next_count(&mut call.args)?;
    let Some(set) = call.keys.get(key).map(SetRef::of).transpose()? else {
        call.out.array(0);
        return Ok(());
    };
    if !may_repeat {
        reply_different(call.out, set, count.min(set.len()), rng);
        return Ok(());
    }
    let longest_bytes = call.longest_reply_bytes();
    call.out.array(count);
    // What is not a table is small enough to be looked through once, and then picked from.
    let all = if let SetRef::Table(_) = set { Vec::new() } else { set.to_vec() };
    for _ in 0..count {
        let member = if all.is_empty() { set.random(rng) } else { Some(all[rng.random_range(0..all.len())]) };
        reply_member(call.out, member.unwrap_or(Item::Text(b"")));
        if call.out.len() > longest_bytes {
            break;
        }
    }
    Ok(())
}

/// How many times as many members as are wanted a table must have for them to be thrown for one by one.
const THROW_FROM: usize = 3;

/// Replies with an array of `count` different members, of which there are that many.
fn reply_different(out: &mut Reply, set: SetRef<'_>, count: usize, rng: &mut impl Rng) {
    out.array(count);
    let table = match set {
        SetRef::Table(table) if count < set.len() => table,
        _ => {
            let mut is_chosen = selection(rng, set.len(), count);
            set.each(|member| {
                if is_chosen() {
                    reply_member(out, member);
                }
            });
            return;
        }
    };
    if count.saturating_mul(THROW_FROM) > set.len() {
        let mut all: Vec<_> = table.iter().collect();
        let (chosen, _) = all.partial_shuffle(rng, count);
        chosen.iter().for_each(|member| out.bulk(member.as_bytes()));
        return;
    }
    let mut seen = HashSet::with_capacity(count);
    while seen.len() < count
        && let Some(member) = table.random(rng)
    {
        if seen.insert(std::ptr::from_ref(member)) {
            out.bulk(member.as_bytes());
        }
    }
}
