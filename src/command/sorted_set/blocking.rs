//! Waiting for a sorted set: BZPOPMIN, BZPOPMAX, BZMPOP.
//!
//! Each is first tried as its sibling that does not wait. If there is no sorted set, it becomes an [`Operation`],
//! which is the same again, done when somebody else has made one.

use super::pop::{COUNT, End, NUMKEYS, POPPED, Shape, next_end, next_positive, pop, propagate};
use super::value::Limits;
use crate::command::blocking::{self, Deadline};
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Begin, Command, Find, Flags, Group, KeySpec};
use crate::keyspace::{Type, View};
use crate::resp::reply::Reply;
use crate::state::waiters::Operation;

const TIMEOUT: Arg = Arg::double("timeout");

pub const BZPOPMIN: Command = Command {
    name: "bzpopmin",
    summary: "Removes the member with the lowest score from the first sorted set that there is among several keys; \
              waits for one.",
    since: "5.0.0",
    group: Group::SortedSet,
    complexity: "O(log(N)) in the number of members of the sorted set.",
    arity: -3,
    flags: Flags::WRITE.union(Flags::FAST).union(Flags::BLOCKING),
    keys: &[KeySpec::range(1, -2, 1, POPPED)],
    args: &[Arg::key("key", 0).multiple(), TIMEOUT],
    history: &[("6.0.0", "The time may have a fraction.")],
    reply: "array of the key, the member and its score; null if the time is over",
    handler: Some(|call| pop_one(call, End::Min)),
    ..Command::NEW
};

pub const BZPOPMAX: Command = Command {
    name: "bzpopmax",
    summary: "Removes the member with the highest score from the first sorted set that there is among several keys; \
              waits for one.",
    handler: Some(|call| pop_one(call, End::Max)),
    ..BZPOPMIN
};

pub const BZMPOP: Command = Command {
    name: "bzmpop",
    summary: "Removes members from an end of the first sorted set that there is among several keys; waits for one.",
    since: "7.0.0",
    complexity: "O(K) + O(M*log(N)) in the number of keys, of members that are popped, of members of the set.",
    arity: -5,
    flags: Flags::WRITE.union(Flags::BLOCKING),
    keys: &[KeySpec {
        flags: POPPED,
        begin: Begin::Index(2),
        find: Find::KeyNum { count_at: 0, first: 1, step: 1 },
        notes: "",
    }],
    args: &[
        TIMEOUT,
        Arg::integer("numkeys"),
        Arg::key("key", 0).multiple(),
        Arg::one_of("where", &[Arg::word("min", "MIN"), Arg::word("max", "MAX")]),
        Arg::integer("count").token("COUNT").optional(),
    ],
    history: &[],
    reply: "array of the key and an array of members with their scores; null if the time is over",
    handler: Some(bzmpop),
    ..BZPOPMIN
};

/// What is taken from the first sorted set, and how it is replied.
#[derive(Clone, Copy)]
struct Pop {
    end: End,
    count: usize,
    shape: Shape,
    limits: Limits,
}

impl Pop {
    /// Takes from the sorted set at `key` and replies. `false`, and no reply, if there is none.
    fn from(self, view: &mut View<'_>, key: &[u8], out: &mut Reply) -> Result<bool, Error> {
        let popped = pop(view, out, key, self.end, self.count, self.shape, self.limits)?;
        if popped.is_some() {
            propagate(view, key, self.end, popped.filter(|_| self.shape == Shape::KeyAndPairs));
        }
        Ok(popped.is_some())
    }
}

/// A [`Pop`] that waits for one of its keys.
struct AwaitedPop {
    keys: Box<[Box<[u8]>]>,
    pop: Pop,
}

fn is_sorted_set(view: &View<'_>, key: &[u8]) -> bool {
    view.peek(key).is_some_and(|entry| entry.value_type() == Type::SortedSet)
}

impl Operation for AwaitedPop {
    fn keys(&self) -> &[Box<[u8]>] {
        &self.keys
    }

    fn is_ready(&self, view: &View<'_>, key: &[u8]) -> bool {
        is_sorted_set(view, key)
    }

    fn perform(&self, view: &mut View<'_>, out: &mut Reply) -> Result<(), Vec<u8>> {
        let ready = self.keys.iter().find(|key| view.may_write(view.db, key) && is_sorted_set(view, key));
        if let Some(key) = ready {
            self.pop.from(view, key, out).map_err(|error| error.reply())?;
        }
        Ok(())
    }
}

fn pop_or_wait<'a>(
    call: &mut Call<'a, '_>,
    deadline: Deadline,
    keys: impl Iterator<Item = &'a [u8]> + Clone,
    pop: Pop,
) -> Result<(), Error> {
    for key in keys.clone() {
        if pop.from(call.keys, key, call.out)? {
            return Ok(());
        }
    }
    blocking::wait(call, deadline, AwaitedPop { keys: blocking::owned(keys), pop });
    Ok(())
}

fn pop_one(call: &mut Call<'_, '_>, end: End) -> Result<(), Error> {
    let first = call.args;
    let count = first.left() - 1;
    call.args.seek(first.position() + count);
    let deadline = blocking::next_seconds(&mut call.args, call.keys.now_ms)?;
    let pop = Pop { end, count: 1, shape: Shape::KeyAndFlat, limits: Limits::of(call) };
    pop_or_wait(call, deadline, first.rest().take(count), pop)
}

fn bzmpop(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let mut timeout = call.args;
    call.args.take()?;
    let numkeys = next_positive(call, NUMKEYS)?;
    let keys = call.args;
    if numkeys >= call.args.left() {
        return Err(Error::Syntax);
    }
    call.args.seek(call.args.position() + numkeys);
    let end = next_end(&mut call.args)?;
    let mut count = None;
    while !call.args.is_done() {
        if count.is_some() || call.args.left() < 2 || !call.args.skip_word("COUNT") {
            return Err(Error::Syntax);
        }
        count = Some(next_positive(call, COUNT)?);
    }
    let deadline = blocking::next_seconds(&mut timeout, call.keys.now_ms)?;
    let pop = Pop { end, count: count.unwrap_or(1), shape: Shape::KeyAndPairs, limits: Limits::of(call) };
    pop_or_wait(call, deadline, keys.rest().take(numkeys), pop)
}
