//! ZSCAN.

use super::{READ_KEY, find};
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::scanning::{ScanOptions, Scanned, parse_cursor};
use crate::command::spec::{Arg, Command, Flags, Group};
use crate::resp::reply::Reply;

pub const ZSCAN: Command = Command {
    name: "zscan",
    summary: "Returns some members of a sorted set with their scores, and the cursor with which to ask for more.",
    since: "2.8.0",
    group: Group::SortedSet,
    complexity: "O(1) for every call; O(N) for a whole walk, in the number of members of the sorted set.",
    arity: -3,
    flags: Flags::READONLY,
    tips: &["nondeterministic_output"],
    keys: READ_KEY,
    args: &[
        Arg::key("key", 0),
        Arg::integer("cursor"),
        Arg::pattern("pattern").token("MATCH").optional(),
        Arg::integer("count").token("COUNT").optional(),
    ],
    reply: "array of the cursor to go on with (0 at the end) and an array of members, each followed by its score",
    handler: Some(zscan),
    ..Command::NEW
};

fn zscan(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let cursor = parse_cursor(call.args.take()?).ok_or(Error::InvalidCursor)?;
    let mut page = Reply::new(call.out.proto());
    let mut found = 0;
    let mut next = 0;
    if let Some(set) = find(call.keys, key)? {
        let options = ScanOptions::parse(&mut call.args, Scanned::Members)?;
        next = set.scan(cursor, options.count, |member, score| {
            if options.accepts(member) {
                page.bulk(member);
                page.bulk(score);
                found += 2;
            }
        });
    }
    call.out.array(2);
    call.out.bulk_integer(next as i64);
    call.out.array(found);
    page.parts().for_each(|part| call.out.raw(part.as_slice()));
    Ok(())
}
