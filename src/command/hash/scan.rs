//! HSCAN: walking through a hash.

use super::value::{read, reply_item};
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::scanning::{ScanOptions, Scanned, parse_cursor};
use crate::command::spec::{Arg, Command, Flags, Group, KeyFlags, KeySpec};
use crate::resp::reply::Reply;

pub const HSCAN: Command = Command {
    name: "hscan",
    summary: "Returns some fields of a hash with their values, and the cursor with which to ask for more.",
    since: "2.8.0",
    group: Group::Hash,
    complexity: "O(1) for every call; O(N) for a whole walk, in the number of fields.",
    arity: -3,
    flags: Flags::READONLY,
    tips: &["nondeterministic_output"],
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    args: &[
        Arg::key("key", 0),
        Arg::integer("cursor"),
        Arg::pattern("pattern").token("MATCH").optional(),
        Arg::integer("count").token("COUNT").optional(),
        Arg::word("novalues", "NOVALUES").optional(),
    ],
    reply: "array of the cursor to go on with (0 at the end) and an array of fields and values",
    handler: Some(hscan),
    ..Command::NEW
};

fn hscan(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let cursor = parse_cursor(call.args.take()?).ok_or(Error::InvalidCursor)?;
    let mut found = Reply::new(call.out.proto());
    let (mut next, mut count) = (0, 0);
    if let Some(hash) = read(call.keys, key)? {
        let options = ScanOptions::parse(&mut call.args, Scanned::Fields)?;
        next = hash.scan(cursor, options.count, |name, value| {
            if name.with(|name| options.accepts(name)) {
                reply_item(&mut found, name);
                count += 1;
                if !options.without_values {
                    reply_item(&mut found, value);
                    count += 1;
                }
            }
        });
    }
    call.out.array(2);
    call.out.bulk_integer(next as i64);
    call.out.array(count);
    found.parts().for_each(|part| call.out.raw(part.as_slice()));
    Ok(())
}
