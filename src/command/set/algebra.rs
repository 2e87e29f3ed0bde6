//! Several sets at once: intersections, unions and differences, replied with, counted or stored.

use super::members::remove_key;
use super::reply_member;
use super::value::{Form, Limits, NewSet, SetRef, canonical};
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Begin, Command, Find, Flags, Group, KeyFlags, KeySpec};
use crate::keyspace::{Deadline, Kind, View};
use crate::types::packed::Item;
use ahash::RandomState;
use smallvec::SmallVec;
use std::cmp::Reverse;
use std::collections::HashSet;

/// The sets of a request in its order; `None` where there is no key.
type Operands<'v> = SmallVec<[Option<SetRef<'v>>; 8]>;

/// Sets that there are.
type Sets<'v> = SmallVec<[SetRef<'v>; 8]>;

fn operands<'a, 'v>(
    keys: &'v View<'_>,
    names: impl Iterator<Item = &'a [u8]>,
) -> Result<Operands<'v>, Error> {
    names.map(|name| keys.get(name).map(SetRef::of).transpose()).collect()
}

const KEYS: &[Arg] = &[Arg::key("key", 0).multiple()];
const RESULT_AND_KEYS: &[Arg] = &[Arg::key("destination", 0), Arg::key("key", 1).multiple()];
const RESULT_SPECS: &[KeySpec] = &[
    KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE)),
    KeySpec::range(2, -1, 1, KeyFlags::RO.union(KeyFlags::ACCESS)),
];

/// What the commands that reply with a set share.
const REPLYING: Command = Command {
    since: "1.0.0",
    group: Group::Set,
    arity: -2,
    flags: Flags::READONLY,
    tips: &["nondeterministic_output_order"],
    keys: &[KeySpec::range(1, -1, 1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    args: KEYS,
    ..Command::NEW
};

/// What the commands that store a set share.
const STORING: Command = Command {
    since: "1.0.0",
    group: Group::Set,
    arity: -3,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: RESULT_SPECS,
    args: RESULT_AND_KEYS,
    reply: "the number of members of the result",
    ..Command::NEW
};

const INTERSECTION_COST: &str = "O(N*M) in the size of the smallest set and the number of sets.";
const ALL_MEMBERS_COST: &str = "O(N) in the number of members of all sets.";

pub const SINTER: Command = Command {
    name: "sinter",
    summary: "Returns the members that several sets have in common.",
    complexity: INTERSECTION_COST,
    reply: "set of the members",
    handler: Some(sinter),
    ..REPLYING
};

fn sinter(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let sets = operands(call.keys, call.args.rest())?;
    let place = call.out.deferred();
    let mut found = 0;
    intersect(sets, |member| {
        reply_member(call.out, member);
        found += 1;
        true
    });
    call.out.finish_set(place, found);
    Ok(())
}

/// Shows the members that all sets have to `f`, until it says false.
fn intersect<'v>(sets: Operands<'v>, f: impl FnMut(Item<'v>) -> bool) {
    let Some((smallest, others)) = smallest_first(sets) else { return };
    intersect_with(smallest, &others, f);
}

/// The smallest set and the others, the smaller ones first; `None` if one is missing, which is as if it were
/// empty.
fn smallest_first(sets: Operands<'_>) -> Option<(SetRef<'_>, Sets<'_>)> {
    let mut sets: Sets<'_> = sets.into_iter().collect::<Option<_>>()?;
    sets.sort_by_key(|set| set.len());
    let smallest = sets.remove(0);
    sets.retain(|set| !set.is(smallest));
    Some((smallest, sets))
}

fn intersect_with<'v>(smallest: SetRef<'v>, others: &[SetRef<'v>], mut f: impl FnMut(Item<'v>) -> bool) {
    smallest.each_while(|member| !others.iter().all(|set| set.contains(member)) || f(member));
}

pub const SINTERCARD: Command = Command {
    name: "sintercard",
    summary: "Returns how many members several sets have in common.",
    since: "7.0.0",
    complexity: INTERSECTION_COST,
    arity: -3,
    tips: &[],
    keys: &[KeySpec {
        flags: KeyFlags::RO.union(KeyFlags::ACCESS),
        begin: Begin::Index(1),
        find: Find::KeyNum { count_at: 0, first: 1, step: 1 },
        notes: "",
    }],
    args: &[
        Arg::integer("numkeys"),
        Arg::key("key", 0).multiple(),
        Arg::integer("limit").token("LIMIT").optional(),
    ],
    reply: "the number of common members, at most the limit",
    handler: Some(sintercard),
    ..REPLYING
};

fn sintercard(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let count = call.args.next_i64().ok().and_then(|count| usize::try_from(count).ok());
    let count = count.filter(|count| *count > 0);
    let count = count.ok_or(Error::line("ERR numkeys should be greater than 0"))?;
    if count > call.args.left() {
        return Err(Error::line("ERR Number of keys can't be greater than number of args"));
    }
    let names = call.args.rest().take(count);
    call.args.seek(call.args.position() + count);
    let mut limit = 0;
    while !call.args.is_done() {
        if !call.args.skip_word("LIMIT") || call.args.is_done() {
            return Err(Error::Syntax);
        }
        limit = call.args.next_i64().unwrap_or(-1);
        if limit < 0 {
            return Err(Error::line("ERR LIMIT can't be negative"));
        }
    }
    let mut found = 0;
    intersect(operands(call.keys, names)?, |_| {
        found += 1;
        found != limit
    });
    call.out.integer(found);
    Ok(())
}

pub const SINTERSTORE: Command = Command {
    name: "sinterstore",
    summary: "Stores the members that several sets have in common.",
    complexity: INTERSECTION_COST,
    handler: Some(sinterstore),
    ..STORING
};

fn sinterstore(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let limits = Limits::of(&call.server.config);
    store(call, |sets| {
        let (smallest, others) = smallest_first(sets)?;
        let mut found = Vec::new();
        intersect_with(smallest, &others, |member| {
            found.push(canonical(member));
            true
        });
        let first = if let SetRef::Integers(_) = smallest { Kind::IntSet } else { Kind::PackedSet };
        let mut form = Form::beginning_as(first, limits);
        found.iter().for_each(|member| form.add(*member));
        let all_integers = found.iter().all(|member| matches!(member, Item::Int(_)));
        let kind = if all_integers && form.holds_integers(found.len()) { Kind::IntSet } else { form.kind() };
        Some((kind, found))
    })
}

/// Stores what `compute` makes of the sets, and replies with the number of members. Nothing, or no members, is
/// the absence of the key.
fn store(
    call: &mut Call<'_, '_>,
    compute: impl for<'v> FnOnce(Operands<'v>) -> Option<(Kind, Vec<Item<'v>>)>,
) -> Result<(), Error> {
    let destination = call.args.take()?;
    let result = compute(operands(call.keys, call.args.rest())?).filter(|(_, members)| !members.is_empty());
    let result = result.map(|(kind, members)| (NewSet::of(kind, &members), members.len()));
    let had_key = remove_key(call.keys, destination);
    let count = match result {
        Some((set, count)) => {
            set.store(|value| call.keys.set(destination, value, Deadline::Clear));
            count
        }
        None => 0,
    };
    call.keys.changed((had_key || count > 0).into());
    call.out.integer(count as i64);
    Ok(())
}

pub const SUNION: Command = Command {
    name: "sunion",
    summary: "Returns the members that any of several sets has.",
    complexity: ALL_MEMBERS_COST,
    reply: "set of the members",
    handler: Some(|call| reply_with(call, |sets| unite(sets, |_| ()))),
    ..REPLYING
};

pub const SUNIONSTORE: Command = Command {
    name: "sunionstore",
    summary: "Stores the members that any of several sets has.",
    complexity: ALL_MEMBERS_COST,
    handler: Some(|call| {
        let mut form = Form::beginning_as(Kind::IntSet, Limits::of(&call.server.config));
        store(call, |sets| {
            let members = unite(sets, |member| form.add(member));
            Some((form.kind(), members))
        })
    }),
    ..STORING
};

pub const SDIFF: Command = Command {
    name: "sdiff",
    summary: "Returns the members of a set that no other of several sets has.",
    complexity: ALL_MEMBERS_COST,
    reply: "set of the members",
    handler: Some(|call| reply_with(call, |sets| subtract(sets, |_| ()))),
    ..REPLYING
};

pub const SDIFFSTORE: Command = Command {
    name: "sdiffstore",
    summary: "Stores the members of a set that no other of several sets has.",
    complexity: ALL_MEMBERS_COST,
    handler: Some(|call| {
        let mut form = Form::beginning_as(Kind::IntSet, Limits::of(&call.server.config));
        store(call, |sets| {
            let members = subtract(sets, |member| form.add(member));
            Some((form.kind(), members))
        })
    }),
    ..STORING
};

/// Replies with what `compute` makes of the sets.
fn reply_with(
    call: &mut Call<'_, '_>,
    compute: impl for<'v> FnOnce(Operands<'v>) -> Vec<Item<'v>>,
) -> Result<(), Error> {
    let members = compute(operands(call.keys, call.args.rest())?);
    call.out.set(members.len());
    members.into_iter().for_each(|member| reply_member(call.out, member));
    Ok(())
}

/// Members in canonical form, each once.
type Distinct<'v> = HashSet<Item<'v>, RandomState>;

/// The members of all sets, each once. `added` sees them as they are found, as the sets of Redis do.
fn unite<'v>(sets: Operands<'v>, mut added: impl FnMut(Item<'v>)) -> Vec<Item<'v>> {
    let sets: Sets<'v> = sets.into_iter().flatten().collect();
    let mut all = Vec::with_capacity(sets.iter().map(|set| set.len()).max().unwrap_or(0));
    let mut push = |member| {
        added(member);
        all.push(member);
    };
    match sets.as_slice() {
        [] => {}
        [one] => one.each(|member| push(canonical(member))),
        sets => {
            let mut seen = Distinct::default();
            for set in sets {
                set.each(|member| {
                    let member = canonical(member);
                    if seen.insert(member) {
                        push(member);
                    }
                });
            }
        }
    }
    all
}

/// The members of the first set that no other has. `added` sees those that the set of Redis has at any time.
fn subtract<'v>(sets: Operands<'v>, mut added: impl FnMut(Item<'v>)) -> Vec<Item<'v>> {
    let mut sets = sets.into_iter();
    let Some(first) = sets.next().flatten() else { return Vec::new() };
    let mut others: Sets<'v> = sets.flatten().collect();
    if others.iter().any(|set| set.is(first)) {
        return Vec::new();
    }
    // As Redis weighs the two ways: to look every member up in the other sets costs more by member, but ends
    // with the first set that has it.
    let looking_up = first.len() * (others.len() + 1) / 2;
    let removing = first.len() + others.iter().map(|set| set.len()).sum::<usize>();
    if looking_up <= removing {
        others.sort_by_key(|set| Reverse(set.len()));
        let mut left = Vec::new();
        first.each(|member| {
            if !others.iter().any(|set| set.contains(member)) {
                added(canonical(member));
                left.push(canonical(member));
            }
        });
        return left;
    }
    let mut left = Distinct::with_capacity_and_hasher(first.len(), RandomState::new());
    first.each(|member| {
        added(canonical(member));
        left.insert(canonical(member));
    });
    for set in others {
        set.each_while(|member| {
            left.remove(&canonical(member));
            !left.is_empty()
        });
    }
    left.into_iter().collect()
}
