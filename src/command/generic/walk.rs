//! Looking through a whole database: KEYS, SCAN, RANDOMKEY.

use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::scanning::{ScanOptions, Scanned, matches, parse_cursor};
use crate::command::spec::{Acl, Arg, Command, Flags, Group, Scope};
use crate::resp::reply::Reply;

pub const KEYS: Command = Command {
    name: "keys",
    summary: "Returns all names of keys that match a pattern.",
    since: "1.0.0",
    group: Group::Generic,
    complexity: "O(N) in the number of keys of the database, which is locked meanwhile.",
    arity: 2,
    flags: Flags::READONLY,
    acl: Acl::DANGEROUS,
    tips: &["request_policy:all_shards", "nondeterministic_output_order"],
    args: &[Arg::pattern("pattern")],
    reply: "array of names",
    scope: Scope::Database,
    handler: Some(keys),
    ..Command::NEW
};

fn keys(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let pattern = call.args.take()?;
    let place = call.out.deferred();
    let mut found = 0;
    call.keys.each_entry(call.keys.db, |entry| {
        if matches(pattern, entry.key()) {
            call.out.bulk(entry.key());
            found += 1;
        }
    });
    call.out.finish_array(place, found);
    Ok(())
}

pub const SCAN: Command = Command {
    name: "scan",
    summary: "Returns some names of keys and the cursor with which to ask for more.",
    since: "2.8.0",
    group: Group::Generic,
    complexity: "O(1) for every call; O(N) for a whole walk, in the number of keys of the database.",
    arity: -2,
    flags: Flags::READONLY.union(Flags::TOUCHES_ARBITRARY_KEYS),
    tips: &["nondeterministic_output", "request_policy:special", "response_policy:special"],
    args: &[
        Arg::integer("cursor"),
        Arg::pattern("pattern").token("MATCH").optional(),
        Arg::integer("count").token("COUNT").optional(),
        Arg::string("type").token("TYPE").optional().since("6.0.0"),
    ],
    history: &[("6.0.0", "The option TYPE.")],
    reply: "array of the cursor to go on with (0 at the end) and an array of names",
    scope: Scope::Walk,
    handler: Some(scan),
    ..Command::NEW
};

fn scan(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let cursor = parse_cursor(call.args.take()?).ok_or(Error::InvalidCursor)?;
    let options = ScanOptions::parse(&mut call.args, Scanned::Keys)?;
    let mut names = Reply::new(call.out.proto());
    let mut found = 0;
    let next = call.keys.scan(cursor, options.count, |entry| {
        if options.accepts(entry.key()) && options.accepts_type(entry.value_type().name()) {
            names.bulk(entry.key());
            found += 1;
        }
    });
    call.out.array(2);
    call.out.bulk_integer(next as i64);
    call.out.array(found);
    names.parts().for_each(|part| call.out.raw(part.as_slice()));
    Ok(())
}

pub const RANDOMKEY: Command = Command {
    name: "randomkey",
    summary: "Returns the name of a key picked at random.",
    since: "1.0.0",
    group: Group::Generic,
    complexity: "O(1)",
    arity: 1,
    flags: Flags::READONLY.union(Flags::TOUCHES_ARBITRARY_KEYS),
    tips: &["request_policy:all_shards", "response_policy:special", "nondeterministic_output"],
    reply: "bulk string, or null if the database is empty",
    scope: Scope::Walk,
    handler: Some(randomkey),
    ..Command::NEW
};

fn randomkey(call: &mut Call<'_, '_>) -> Result<(), Error> {
    match call.keys.random_key() {
        Some(key) => call.out.bulk(&key),
        None => call.out.null(),
    }
    Ok(())
}
