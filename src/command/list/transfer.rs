//! Moving an element from one list to another: LMOVE, RPOPLPUSH.

use super::value::{self, Moved, Sizes};
use super::{ENDS, next_end};
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command, Flags, Group, KeyFlags, KeySpec};
use crate::keyspace::View;
use crate::resp::reply::Reply;
use crate::types::list::End;

pub const LMOVE: Command = Command {
    name: "lmove",
    summary: "Takes an element from an end of a list and adds it at an end of another one, or of the same.",
    since: "6.2.0",
    group: Group::List,
    complexity: "O(1)",
    arity: 5,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: &[
        KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE)),
        KeySpec::one(2, KeyFlags::RW.union(KeyFlags::INSERT)),
    ],
    args: &[
        Arg::key("source", 0),
        Arg::key("destination", 1),
        Arg::one_of("wherefrom", ENDS),
        Arg::one_of("whereto", ENDS),
    ],
    reply: "the element, or null if there is no list",
    handler: Some(lmove),
    ..Command::NEW
};

pub const RPOPLPUSH: Command = Command {
    name: "rpoplpush",
    summary: "Takes an element from the tail of a list and adds it at the head of another one, or of the same.",
    since: "1.2.0",
    arity: 3,
    args: &[Arg::key("source", 0), Arg::key("destination", 1)],
    deprecated: Some(("6.2.0", "`LMOVE` with the `RIGHT` and `LEFT` arguments")),
    handler: Some(rpoplpush),
    ..LMOVE
};

fn lmove(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let (source, destination) = (call.args.take()?, call.args.take()?);
    let (from, to) = (next_end(&mut call.args)?, next_end(&mut call.args)?);
    reply(call, source, from, destination, to)
}

fn rpoplpush(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let (source, destination) = (call.args.take()?, call.args.take()?);
    reply(call, source, End::Tail, destination, End::Head)
}

fn reply(
    call: &mut Call<'_, '_>,
    source: &[u8],
    from: End,
    destination: &[u8],
    to: End,
) -> Result<(), Error> {
    let sizes = Sizes::of(call.server);
    if !transfer(call.keys, (source, from), (destination, to), sizes, call.out)? {
        call.out.null();
    }
    Ok(())
}

/// Moves an element from an end of the list at one key to an end of the list at another, and replies with it.
/// `false`, and no reply, if there is no list to take it from.
///
/// # Errors
/// [`Error::WrongType`] if one of the keys holds something else; then nothing was changed.
pub fn transfer(
    view: &mut View<'_>,
    (source, from): (&[u8], End),
    (destination, to): (&[u8], End),
    sizes: Sizes,
    out: &mut Reply,
) -> Result<bool, Error> {
    let Some(entry) = view.update(source) else { return Ok(false) };
    if source == destination {
        value::rotate(entry, from, to, sizes, |element| value::reply(out, element))?;
        view.changed(1);
        return Ok(true);
    }
    value::list(entry)?;
    if let Some(entry) = view.peek(destination) {
        value::list(entry)?;
    }
    let moved = value::pop(view, source, from, sizes, |element| {
        value::reply(out, element);
        Moved::new(element)
    })?;
    let Some(moved) = moved else { return Ok(false) };
    value::push(view, destination, to, moved.incoming(), sizes)?;
    Ok(true)
}
