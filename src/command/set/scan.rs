//! SSCAN: a walk through a set in steps.

use super::reply_member;
use super::value::SetRef;
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::scanning::{ScanOptions, Scanned, parse_cursor};
use crate::command::spec::{Arg, Command, Flags, Group, KeyFlags, KeySpec};
use crate::resp::reply::Reply;
use crate::types::packed::Item;

pub const SSCAN: Command = Command {
    name: "sscan",
    summary: "Returns some members of a set and the cursor with which to ask for more.",
    since: "2.8.0",
    group: Group::Set,
    complexity: "O(1) for every call; O(N) for a whole walk, in the number of members.",
    arity: -3,
    flags: Flags::READONLY,
    tips: &["nondeterministic_output"],
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    args: &[
        Arg::key("key", 0),
        Arg::integer("cursor"),
        Arg::pattern("pattern").token("MATCH").optional(),
        Arg::integer("count").token("COUNT").optional(),
    ],
    reply: "array of the cursor to go on with (0 at the end) and an array of members",
    handler: Some(sscan),
    ..Command::NEW
};

fn sscan(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let cursor = parse_cursor(call.args.take()?).ok_or(Error::InvalidCursor)?;
    // Redis looks at the options only if there is a set to walk through.
    let Some(set) = call.keys.get(key).map(SetRef::of).transpose()? else {
        call.out.array(2);
        call.out.bulk_integer(0);
        call.out.array(0);
        return Ok(());
    };
    let options = ScanOptions::parse(&mut call.args, Scanned::Members)?;
    let mut members = Reply::new(call.out.proto());
    let mut found = 0;
    let mut visit = |member: Item<'_>| {
        if member.with(|text| options.accepts(text)) {
            reply_member(&mut members, member);
            found += 1;
        }
    };
    let next = match set {
        SetRef::Table(table) => {
            table.scan(cursor, options.count, |member| visit(Item::Text(member.as_bytes())))
        }
        // Small forms are returned at once, whatever the cursor.
        set => {
            set.each(visit);
            0
        }
    };
    call.out.array(2);
    call.out.bulk_integer(next as i64);
    call.out.array(found);
    members.parts().for_each(|part| call.out.raw(part.as_slice()));
    Ok(())
}
