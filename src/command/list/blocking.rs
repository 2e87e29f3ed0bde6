//! Waiting for a list: BLPOP, BRPOP, BLMPOP, BLMOVE, BRPOPLPUSH.
//!
//! Each is first tried as its sibling that does not wait. If there is no list, it becomes an [`Operation`], which
//! is the same again, done when somebody else has made one.

use super::pop::{self, COUNT, NUMKEYS, POP_KEY, next_positive, pop_many};
use super::transfer::transfer;
use super::value::{self, Sizes};
use super::{ENDS, next_end};
use crate::command::blocking::{self, Deadline};
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Begin, Command, Find, Flags, Group, KeyFlags, KeySpec};
use crate::keyspace::{Type, View};
use crate::resp::reply::Reply;
use crate::state::waiters::Operation;
use crate::types::list::End;

const TIMEOUT: Arg = Arg::double("timeout");
const SECONDS_WITH_FRACTION: &[(&str, &str)] = &[("6.0.0", "The time may have a fraction.")];

pub const BLPOP: Command = Command {
    name: "blpop",
    summary: "Takes an element from the head of the first list that there is among several keys; waits for one.",
    since: "2.0.0",
    group: Group::List,
    complexity: "O(N) in the number of keys.",
    arity: -3,
    flags: Flags::WRITE.union(Flags::BLOCKING),
    keys: &[KeySpec::range(1, -2, 1, POP_KEY)],
    args: &[Arg::key("key", 0).multiple(), TIMEOUT],
    history: SECONDS_WITH_FRACTION,
    reply: "the key and the element; null if the time is over",
    handler: Some(|call| pop_one(call, End::Head)),
    ..Command::NEW
};

pub const BRPOP: Command = Command {
    name: "brpop",
    summary: "Takes an element from the tail of the first list that there is among several keys; waits for one.",
    handler: Some(|call| pop_one(call, End::Tail)),
    ..BLPOP
};

pub const BLMPOP: Command = Command {
    name: "blmpop",
    summary: "Takes elements from an end of the first list that there is among several keys; waits for one.",
    since: "7.0.0",
    complexity: "O(N+M) where N is the number of keys and M that of elements taken.",
    arity: -5,
    keys: &[KeySpec {
        flags: POP_KEY,
        begin: Begin::Index(2),
        find: Find::KeyNum { count_at: 0, first: 1, step: 1 },
        notes: "",
    }],
    args: &[
        TIMEOUT,
        Arg::integer("numkeys"),
        Arg::key("key", 0).multiple(),
        Arg::one_of("where", ENDS),
        Arg::integer("count").token("COUNT").optional(),
    ],
    history: &[],
    reply: "the key and the array of its elements; null if the time is over",
    handler: Some(blmpop),
    ..BLPOP
};

pub const BLMOVE: Command = Command {
    name: "blmove",
    summary: "Takes an element from an end of a list and adds it at an end of another one, or of the same; waits \
              for one.",
    since: "6.2.0",
    complexity: "O(1)",
    arity: 6,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::BLOCKING),
    keys: &[KeySpec::one(1, POP_KEY), KeySpec::one(2, KeyFlags::RW.union(KeyFlags::INSERT))],
    args: &[
        Arg::key("source", 0),
        Arg::key("destination", 1),
        Arg::one_of("wherefrom", ENDS),
        Arg::one_of("whereto", ENDS),
        TIMEOUT,
    ],
    history: &[],
    reply: "the element; null if the time is over",
    handler: Some(blmove),
    ..BLPOP
};

pub const BRPOPLPUSH: Command = Command {
    name: "brpoplpush",
    summary: "Takes an element from the tail of a list and adds it at the head of another one, or of the same; \
              waits for one.",
    since: "2.2.0",
    arity: 4,
    args: &[Arg::key("source", 0), Arg::key("destination", 1), TIMEOUT],
    history: SECONDS_WITH_FRACTION,
    deprecated: Some(("6.2.0", "`BLMOVE` with the `RIGHT` and `LEFT` arguments")),
    handler: Some(brpoplpush),
    ..BLMOVE
};

/// What is taken from the first list.
#[derive(Clone, Copy)]
struct Pop {
    end: End,
    /// `None`: one element, which is replied as such.
    count: Option<usize>,
    sizes: Sizes,
}

impl Pop {
    /// Takes from the list at `key` and replies. `false`, and no reply, if there is none.
    fn from(self, view: &mut View<'_>, key: &[u8], out: &mut Reply) -> Result<bool, Error> {
        let begin = |out: &mut Reply| {
            out.array(2);
            out.bulk(key);
        };
        match self.count {
            Some(count) => {
                let popped = pop_many(view, key, self.end, count, self.sizes, out, begin)?;
                if popped.is_some() {
                    pop::propagate(view, key, self.end, popped);
                }
                Ok(popped.is_some())
            }
            None => {
                let popped = value::pop(view, key, self.end, self.sizes, |element| {
                    begin(out);
                    value::reply(out, element);
                })?;
                if popped.is_some() {
                    pop::propagate(view, key, self.end, None);
                }
                Ok(popped.is_some())
            }
        }
    }
}

/// A [`Pop`] that waits for one of its keys.
struct AwaitedPop {
    keys: Box<[Box<[u8]>]>,
    pop: Pop,
}

fn is_list(view: &View<'_>, key: &[u8]) -> bool {
    view.peek(key).is_some_and(|entry| entry.value_type() == Type::List)
}

impl Operation for AwaitedPop {
    fn keys(&self) -> &[Box<[u8]>] {
        &self.keys
    }

    fn is_ready(&self, view: &View<'_>, key: &[u8]) -> bool {
        is_list(view, key)
    }

    fn perform(&self, view: &mut View<'_>, out: &mut Reply) -> Result<(), Vec<u8>> {
        let ready = self.keys.iter().find(|key| view.may_write(view.db, key) && is_list(view, key));
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
        if !call.server.waiters.is_promised(call.keys, key) && pop.from(call.keys, key, call.out)? {
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
    let pop = Pop { end, count: None, sizes: Sizes::of(call.server) };
    pop_or_wait(call, deadline, first.rest().take(count), pop)
}

fn blmpop(call: &mut Call<'_, '_>) -> Result<(), Error> {
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
    let pop = Pop { end, count: Some(count.unwrap_or(1)), sizes: Sizes::of(call.server) };
    pop_or_wait(call, deadline, keys.rest().take(numkeys), pop)
}

/// Takes an element from one list for another.
struct AwaitedMove {
    /// The source, alone.
    source: [Box<[u8]>; 1],
    from: End,
    destination: Box<[u8]>,
    to: End,
    sizes: Sizes,
}

impl Operation for AwaitedMove {
    fn keys(&self) -> &[Box<[u8]>] {
        &self.source
    }

    fn destination(&self) -> Option<&[u8]> {
        Some(&self.destination)
    }

    fn is_ready(&self, view: &View<'_>, key: &[u8]) -> bool {
        is_list(view, key)
    }

    fn perform(&self, view: &mut View<'_>, out: &mut Reply) -> Result<(), Vec<u8>> {
        let (source, destination) = ((&*self.source[0], self.from), (&*self.destination, self.to));
        let moved = transfer(view, source, destination, self.sizes, out).map_err(|error| error.reply())?;
        if moved {
            propagate_move(view, source, destination);
        }
        Ok(())
    }
}

fn blmove(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let (source, destination) = (call.args.take()?, call.args.take()?);
    let (from, to) = (next_end(&mut call.args)?, next_end(&mut call.args)?);
    move_or_wait(call, (source, from), (destination, to))
}

fn brpoplpush(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let (source, destination) = (call.args.take()?, call.args.take()?);
    move_or_wait(call, (source, End::Tail), (destination, End::Head))
}

/// States that the command is logged as its sibling that does not wait.
fn propagate_move(view: &View<'_>, (source, from): (&[u8], End), (destination, to): (&[u8], End)) {
    let word = |end| if end == End::Head { b"LEFT".as_slice() } else { b"RIGHT" };
    match (from, to) {
        (End::Tail, End::Head) => view.propagate(&[b"RPOPLPUSH", source, destination]),
        _ => view.propagate(&[b"LMOVE", source, destination, word(from), word(to)]),
    }
}

fn move_or_wait(
    call: &mut Call<'_, '_>,
    (source, from): (&[u8], End),
    (destination, to): (&[u8], End),
) -> Result<(), Error> {
    let deadline = blocking::next_seconds(&mut call.args, call.keys.now_ms)?;
    let sizes = Sizes::of(call.server);
    if !call.server.waiters.is_promised(call.keys, source)
        && transfer(call.keys, (source, from), (destination, to), sizes, call.out)?
    {
        propagate_move(call.keys, (source, from), (destination, to));
        return Ok(());
    }
    if call.origin.is_inside() {
        // Unlike the end of the time, which has the null of an array.
        call.out.null();
        return Ok(());
    }
    let (source, destination) = ([Box::from(source)], Box::from(destination));
    blocking::wait(call, deadline, AwaitedMove { source, from, destination, to, sizes });
    Ok(())
}
