//! Changing elements in the middle: LINSERT, LSET, LREM.

use super::next_signed;
use super::value::{self, Sizes};
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command, Flags, Group, KeyFlags, KeySpec};
use crate::types::list::{End, Wanted};

pub const LINSERT: Command = Command {
    name: "linsert",
    summary: "Inserts an element before or after another one.",
    since: "2.2.0",
    group: Group::List,
    complexity: "O(N) in the number of elements before the one that is looked for.",
    arity: 5,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))],
    args: &[
        Arg::key("key", 0),
        Arg::one_of("where", &[Arg::word("before", "BEFORE"), Arg::word("after", "AFTER")]),
        Arg::string("pivot"),
        Arg::string("element"),
    ],
    reply: "the new length of the list, 0 if there is none, -1 if the pivot is not in it",
    handler: Some(linsert),
    ..Command::NEW
};

fn linsert(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let towards = if call.args.skip_word("AFTER") {
        End::Tail
    } else if call.args.skip_word("BEFORE") {
        End::Head
    } else {
        return Err(Error::Syntax);
    };
    let Some(entry) = call.keys.update(key) else {
        call.out.integer(0);
        return Ok(());
    };
    let pivot = Wanted::new(call.args.take()?);
    let element = value::incoming(call.args).next().ok_or(Error::Syntax)?;
    match value::insert_beside(entry, pivot, towards, element, Sizes::of(call.server))? {
        Some(len) => {
            call.keys.changed(1);
            call.out.integer(len as i64);
        }
        None => call.out.integer(-1),
    }
    Ok(())
}

pub const LSET: Command = Command {
    name: "lset",
    summary: "Replaces an element of a list by its index.",
    since: "1.0.0",
    group: Group::List,
    complexity: "O(N+B) where N is the number of elements to step over in one block of the list, and B that of blocks \
                 between it and the nearer end.",
    arity: 4,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
    args: &[Arg::key("key", 0), Arg::integer("index"), Arg::string("element")],
    reply: "OK",
    handler: Some(lset),
    ..Command::NEW
};

fn lset(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let entry = call.keys.update(key).ok_or(Error::NoSuchKey)?;
    value::list(entry)?;
    let index = call.args.next_i64()?;
    let element = value::incoming(call.args).next().ok_or(Error::Syntax)?;
    if !value::set(entry, index, element, Sizes::of(call.server))? {
        return Err(Error::line("ERR index out of range"));
    }
    call.keys.changed(1);
    call.out.ok();
    Ok(())
}

pub const LREM: Command = Command {
    name: "lrem",
    summary: "Removes the elements of a list that are equal to a given one.",
    since: "1.0.0",
    group: Group::List,
    complexity: "O(N+M) where N is the length of the list and M the number of elements removed.",
    arity: 4,
    flags: Flags::WRITE,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
    args: &[Arg::key("key", 0), Arg::integer("count"), Arg::string("element")],
    reply: "the number of elements removed",
    handler: Some(lrem),
    ..Command::NEW
};

fn lrem(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let count = next_signed(&mut call.args)?;
    let wanted = Wanted::new(call.args.take()?);
    let from = if count < 0 { End::Tail } else { End::Head };
    let most = if count == 0 { usize::MAX } else { count.unsigned_abs() as usize };
    let Some(entry) = call.keys.update(key) else {
        call.out.integer(0);
        return Ok(());
    };
    let (removed, left) = value::remove_equal(entry, wanted, most, from, Sizes::of(call.server))?;
    value::removed(call.keys, key, left);
    call.keys.changed(removed as u64);
    call.out.integer(removed as i64);
    Ok(())
}
