//! Deleting single entries: XDEL, XDELEX, and XACKDEL, which acknowledges them as well.

use super::{DELETES, REFERENCES, WRITE_FAST, all_ids, find_mut, id, next_references};
use crate::command::args::Args;
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command, Group};
use crate::types::stream::{Id, References, Stream};

const COMPLEXITY: &str = "O(N) in the number of IDs given, each after a binary search.";

const IDS: Arg =
    Arg::block("ids", &[Arg::integer("numids"), Arg::string("id").multiple()]).token("IDS");

const NO_IDS: Error = Error::line("ERR IDS option is required");
const NOT_POSITIVE: Error = Error::line("ERR Number of IDs must be a positive integer");
const OTHER_COUNT: Error =
    Error::line("ERR The `numids` parameter must match the number of arguments");

/// What became of one entry, as the reply says it.
const MISSING: i64 = -1;
const DELETED: i64 = 1;
const STILL_REFERENCED: i64 = 2;

pub const XDEL: Command = Command {
    name: "xdel",
    summary: "Deletes entries of a stream.",
    since: "5.0.0",
    group: Group::Stream,
    complexity: COMPLEXITY,
    arity: -3,
    flags: WRITE_FAST,
    keys: DELETES,
    args: &[Arg::key("key", 0), Arg::string("ID").multiple()],
    reply: "the number of entries that were deleted",
    handler: Some(xdel),
    ..Command::NEW
};

fn xdel(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let mut deleted = 0;
    if let Some(stream) = find_mut(call.keys, key)? {
        for id in all_ids(call.args)? {
            deleted += stream.entries.delete(id) as u64;
        }
    }
    call.keys.changed(deleted);
    call.out.integer(deleted as i64);
    Ok(())
}

pub const XDELEX: Command = Command {
    name: "xdelex",
    summary: "Deletes entries of a stream, and says what becomes of their places in groups.",
    since: "8.2.0",
    group: Group::Stream,
    complexity: COMPLEXITY,
    arity: -5,
    flags: WRITE_FAST,
    keys: DELETES,
    args: &[Arg::key("key", 0), REFERENCES, IDS],
    reply: "for each ID 1 if it was deleted, -1 if there is none, 2 if a group still refers to it",
    handler: Some(xdelex),
    ..Command::NEW
};

/// Reads what XDELEX and XACKDEL have in common.
fn options(args: &mut Args<'_>) -> Result<(References, Vec<Id>), Error> {
    let (mut references, mut ids) = (None, None);
    while !args.is_done() {
        if let Some(found) = next_references(args) {
            if references.replace(found).is_some() {
                return Err(Error::Syntax);
            }
        } else if ids.is_none() && args.left() >= 2 && args.skip_word("IDS") {
            ids = Some(counted_ids(args)?);
        } else {
            return Err(Error::Syntax);
        }
    }
    Ok((references.unwrap_or_default(), ids.ok_or(NO_IDS)?))
}

fn counted_ids(args: &mut Args<'_>) -> Result<Vec<Id>, Error> {
    let count = args.next_i64().ok().and_then(|count| usize::try_from(count).ok());
    let count = count.filter(|count| *count > 0).ok_or(NOT_POSITIVE)?;
    if count > args.left() {
        return Err(OTHER_COUNT);
    }
    (0..count).map(|_| id(args.take()?)).collect()
}

fn xdelex(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let (references, ids) = options(&mut call.args)?;
    let mut changes = 0;
    call.out.array(ids.len());
    match find_mut(call.keys, key)? {
        None => ids.iter().for_each(|_| call.out.integer(MISSING)),
        Some(stream) => {
            for id in ids {
                let forgotten = if references == References::Delete { stream.groups.forget(id) } else { 0 };
                let result = delete(stream, id, references);
                changes += (result == DELETED || forgotten > 0) as u64;
                call.out.integer(result);
            }
        }
    }
    call.keys.changed(changes);
    Ok(())
}

/// Deletes an entry, unless it is still referred to and that matters.
fn delete(stream: &mut Stream, id: Id, references: References) -> i64 {
    if references == References::Acknowledged && stream.groups.refer_to(id) && stream.entries.contains(id) {
        return STILL_REFERENCED;
    }
    if stream.entries.delete(id) { DELETED } else { MISSING }
}

pub const XACKDEL: Command = Command {
    name: "xackdel",
    summary: "Acknowledges entries for a group, and deletes them.",
    since: "8.2.0",
    group: Group::Stream,
    complexity: COMPLEXITY,
    arity: -6,
    flags: WRITE_FAST,
    keys: DELETES,
    args: &[Arg::key("key", 0), Arg::string("group"), REFERENCES, IDS],
    reply: "for each ID 1 if it was deleted, -1 if it was not pending, 2 if a group still refers to it",
    handler: Some(xackdel),
    ..Command::NEW
};

fn xackdel(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let (key, group) = (call.args.take()?, call.args.take()?);
    let (references, ids) = options(&mut call.args)?;
    let mut changes = 0;
    call.out.array(ids.len());
    let mut stream = find_mut(call.keys, key)?;
    for id in ids {
        let result = match &mut stream {
            Some(stream) if stream.groups.get_mut(group).is_some_and(|group| group.acknowledge(id)) => {
                changes += 1;
                if references == References::Delete {
                    stream.groups.forget(id);
                }
                match delete(stream, id, references) {
                    STILL_REFERENCED => STILL_REFERENCED,
                    _ => DELETED,
                }
            }
            _ => MISSING,
        };
        call.out.integer(result);
    }
    call.keys.changed(changes);
    Ok(())
}
