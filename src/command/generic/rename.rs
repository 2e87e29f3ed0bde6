//! Keys under other names and in other databases: RENAME, RENAMENX, COPY, MOVE.

use super::free_entry;
use crate::command::args::Args;
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command, Databases, Flags, Group, KeyFlags, KeySpec, Scope};
use crate::keyspace::access::Access;
use crate::types::events::Class;

const SOURCE: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE);

pub const RENAME: Command = Command {
    name: "rename",
    summary: "Gives a key another name; a key that has the name already is replaced.",
    since: "1.0.0",
    group: Group::Generic,
    complexity: "O(1)",
    arity: 3,
    flags: Flags::WRITE,
    keys: &[KeySpec::one(1, SOURCE), KeySpec::one(2, KeyFlags::OW.union(KeyFlags::UPDATE))],
    args: &[Arg::key("key", 0), Arg::key("newkey", 1)],
    reply: "OK",
    handler: Some(rename),
    ..Command::NEW
};

pub const RENAMENX: Command = Command {
    name: "renamenx",
    summary: "Gives a key another name, unless there is a key of that name.",
    flags: Flags::WRITE.union(Flags::FAST),
    keys: &[KeySpec::one(1, SOURCE), KeySpec::one(2, KeyFlags::OW.union(KeyFlags::INSERT))],
    history: &[("3.2.0", "The same name twice is no error any more.")],
    reply: "1 if the key was renamed, 0 if the new name was taken",
    handler: Some(renamenx),
    ..RENAME
};

fn rename(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let (from, to) = (call.args.take()?, call.args.take()?);
    if call.keys.update(from).is_none() {
        return Err(Error::NoSuchKey);
    }
    if from != to {
        move_entry(call, from, call.keys.db, to, ["rename_from", "rename_to"]);
    }
    call.out.ok();
    Ok(())
}

fn renamenx(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let (from, to) = (call.args.take()?, call.args.take()?);
    if call.keys.update(from).is_none() {
        return Err(Error::NoSuchKey);
    }
    // A key's own name is always taken.
    let free = call.keys.peek(to).is_none();
    if free {
        move_entry(call, from, call.keys.db, to, ["rename_from", "rename_to"]);
    }
    call.out.integer(free.into());
    Ok(())
}

/// Moves the entry of `from` in the selected database to the name `to` in database `db`; these are the events of the
/// two keys.
fn move_entry(call: &mut Call<'_, '_>, from: &[u8], db: usize, to: &[u8], events: [&str; 2]) {
    if let Some(entry) = call.keys.remove(from) {
        let new_type = entry.value_type();
        let old = call.keys.insert_in(db, entry.renamed(to));
        call.keys.notify(Class::GENERIC, events[0], from);
        call.keys.notify_in(db, Class::GENERIC, events[1], to);
        if let Some(old) = old {
            call.keys.overwritten(db, to, old.value_type(), new_type);
            free_entry(old);
        }
        call.keys.changed(1);
    }
}

pub const COPY: Command = Command {
    name: "copy",
    summary: "Copies the value of a key to another key.",
    since: "6.2.0",
    group: Group::Generic,
    complexity: "O(N) in the number of elements for collections, O(1) for strings.",
    arity: -3,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: &[
        KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS)),
        KeySpec::one(2, KeyFlags::OW.union(KeyFlags::UPDATE)),
    ],
    args: &[
        Arg::key("source", 0),
        Arg::key("destination", 1),
        Arg::integer("destination-db").token("DB").optional(),
        Arg::word("replace", "REPLACE").optional(),
    ],
    reply: "1 if the value was copied, 0 if there is no source or the destination exists",
    scope: Scope::Custom(|args, databases, places| {
        let from = args.position();
        let options = CopyOptions::parse(args, databases)?;
        places.extend([(databases.selected, from), (options.db, from + 1)]);
        Ok(())
    }),
    handler: Some(copy),
    ..Command::NEW
};

struct CopyOptions<'a> {
    from: &'a [u8],
    to: &'a [u8],
    db: usize,
    replace: bool,
}

impl<'a> CopyOptions<'a> {
    fn parse(args: &mut Args<'a>, databases: Databases) -> Result<CopyOptions<'a>, Error> {
        let (from, to) = (args.take()?, args.take()?);
        let mut options = CopyOptions { from, to, db: databases.selected, replace: false };
        while !args.is_done() {
            if args.skip_word("REPLACE") {
                options.replace = true;
            } else if args.skip_word("DB") {
                options.db = databases.next(args)?;
            } else {
                return Err(Error::Syntax);
            }
        }
        Ok(options)
    }
}

fn databases(call: &Call<'_, '_>) -> Databases {
    Databases { selected: call.keys.db, count: call.keys.keyspace().databases() }
}

fn copy(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let databases = databases(call);
    let CopyOptions { from, to, db, replace } = CopyOptions::parse(&mut call.args, databases)?;
    if db == call.keys.db && from == to {
        return Err(Error::SameObject);
    }
    let now_ms = call.keys.now_ms;
    let copy = match call.keys.get(from) {
        Some(source) if replace || call.keys.peek_in(db, to).is_none() => {
            Some(source.copied(to, Access::created(now_ms)))
        }
        _ => None,
    };
    call.out.integer(copy.is_some().into());
    if let Some(copy) = copy {
        let new_type = copy.value_type();
        let old = call.keys.insert_in(db, copy);
        call.keys.notify_in(db, Class::GENERIC, "copy_to", to);
        if let Some(old) = old {
            call.keys.overwritten(db, to, old.value_type(), new_type);
            free_entry(old);
        }
        call.keys.changed(1);
    }
    Ok(())
}

pub const MOVE: Command = Command {
    name: "move",
    summary: "Moves a key to another database.",
    since: "1.0.0",
    group: Group::Generic,
    complexity: "O(1)",
    arity: 3,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))],
    args: &[Arg::key("key", 0), Arg::integer("db")],
    reply: "1 if the key was moved, 0 if there is no such key or the other database has one",
    scope: Scope::Custom(|args, databases, places| {
        let at = args.position();
        args.take()?;
        places.extend([(databases.selected, at), (databases.next(args)?, at)]);
        Ok(())
    }),
    handler: Some(move_key),
    ..Command::NEW
};

fn move_key(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let databases = databases(call);
    let db = databases.next(&mut call.args)?;
    if db == call.keys.db {
        return Err(Error::SameObject);
    }
    let free = call.keys.update(key).is_some() && call.keys.peek_in(db, key).is_none();
    if free {
        move_entry(call, key, db, key, ["move_from", "move_to"]);
    }
    call.out.integer(free.into());
    Ok(())
}
