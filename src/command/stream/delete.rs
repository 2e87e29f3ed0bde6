//! Deleting single entries: XDEL, XDELEX, and XACKDEL, which acknowledges them as well.

use super::{DELETES, REFERENCES, RW_DELETE, WRITE_FAST, all_ids, find_mut, id, next_references};
use crate::command::args::Args;
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command, Group, KeyFlags, KeySpec};
use crate::types::stream::{Id, References, Stream};

const COMPLEXITY: &str = "O(N) in the number of IDs given, each after a binary search.";

const IDS: Arg = Arg::block("ids", &[Arg::integer("numids"), Arg::string("id").multiple()]).token("IDS");

const NO_IDS: Error = Error::line("ERR IDS option is required");
const NOT_POSITIVE: Error = Error::line("ERR Number of IDs must be a positive integer");
const OTHER_COUNT: Error = Error::line("ERR The `numids` parameter must match the number of arguments");

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
    args: &[Arg::key("key", 0), Arg::string("id").multiple()],
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

/// Reads what XDELEX and XACKDEL have in common: what becomes of references, and how many IDs there are, which
/// the second cursor is put before. Of several lists of IDs, the last one counts.
fn options<'a>(args: &mut Args<'a>) -> Result<(References, usize, Args<'a>), Error> {
    let (mut references, mut ids) = (None, None);
    while !args.is_done() {
        if references.is_none()
            && let Some(found) = next_references(args)
        {
            references = Some(found);
        } else if args.left() >= 2 && args.skip_word("IDS") {
            let count = args.next_i64().ok().and_then(|count| usize::try_from(count).ok());
            let count = count.filter(|count| *count > 0).ok_or(NOT_POSITIVE)?;
            if count > args.left() {
                return Err(OTHER_COUNT);
            }
            ids = Some((count, *args));
            args.seek(args.position() + count);
        } else {
            return Err(Error::Syntax);
        }
    }
    let (count, ids) = ids.ok_or(NO_IDS)?;
    Ok((references.unwrap_or_default(), count, ids))
}

/// The IDs, none of which may be wrong if there is something that they can be looked for in.
fn ids(count: usize, args: Args<'_>) -> Result<Vec<Id>, Error> {
    args.rest().take(count).map(id).collect()
}

fn xdelex(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let stream = find_mut(call.keys, key)?;
    let (references, count, args) = options(&mut call.args)?;
    let mut changes = 0;
    call.out.array(count);
    match stream {
        None => (0..count).for_each(|_| call.out.integer(MISSING)),
        Some(stream) => {
            for id in ids(count, args)? {
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
    if references == References::Acknowledged && stream.groups.refer_to(id) {
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
    keys: &[KeySpec::one(1, RW_DELETE.union(KeyFlags::UPDATE))],
    args: &[Arg::key("key", 0), Arg::string("group"), REFERENCES, IDS],
    reply: "for each ID 1 if it was deleted, -1 if it was not pending, 2 if a group still refers to it",
    handler: Some(xackdel),
    ..Command::NEW
};

fn xackdel(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let (key, group) = (call.args.take()?, call.args.take()?);
    let stream = find_mut(call.keys, key)?;
    let (references, count, args) = options(&mut call.args)?;
    let mut changes = 0;
    call.out.array(count);
    match stream.filter(|stream| stream.groups.get(group).is_some()) {
        None => (0..count).for_each(|_| call.out.integer(MISSING)),
        Some(stream) => {
            for id in ids(count, args)? {
                let result = acknowledge(stream, group, id, references);
                changes += (result != MISSING) as u64;
                call.out.integer(result);
            }
        }
    }
    call.keys.changed(changes);
    Ok(())
}

/// Acknowledges an entry, and deletes it unless it is still referred to and that matters.
fn acknowledge(stream: &mut Stream, group: &[u8], id: Id, references: References) -> i64 {
    if !stream.groups.get_mut(group).is_some_and(|group| group.acknowledge(id)) {
        return MISSING;
    }
    if references == References::Delete {
        stream.groups.forget(id);
    }
    match delete(stream, id, references) {
        STILL_REFERENCED => STILL_REFERENCED,
        _ => DELETED,
    }
}
