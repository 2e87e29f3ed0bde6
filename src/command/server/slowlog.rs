//! SLOWLOG: the latest slow commands.

use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::help;
use crate::command::spec::{Arg, Command, Flags, Group, Scope};

/// Entries shown when no number is given.
const DEFAULT_COUNT: usize = 10;

/// What all subcommands have in common.
const BASE: Command = Command {
    since: "2.2.12",
    group: Group::Server,
    arity: 2,
    flags: Flags::ADMIN.union(Flags::LOADING).union(Flags::STALE),
    scope: Scope::Nothing,
    ..Command::NEW
};

pub const SLOWLOG: Command = Command {
    name: "slowlog",
    summary: "Contains the commands on the log of slow commands.",
    since: "2.2.12",
    group: Group::Server,
    complexity: "Depends on the subcommand.",
    arity: -2,
    help: HELP,
    subcommands: &[
        Command {
            name: "get",
            summary: "Returns the latest slow commands.",
            complexity: "O(N) where N is the number of entries returned",
            arity: -2,
            tips: &["request_policy:all_nodes", "nondeterministic_output"],
            args: &[Arg::integer("count").optional()],
            history: &[("4.0.0", "Shows the client's address and name.")],
            reply: "array of entries: number, Unix time, microseconds, arguments, client's address and name",
            handler: Some(get),
            ..BASE
        },
        help::record(Group::Server, "6.2.0"),
        Command {
            name: "len",
            summary: "Returns the number of entries.",
            tips: &["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"],
            reply: "integer",
            handler: Some(|call| {
                call.out.integer(call.server.slowlog.len() as i64);
                Ok(())
            }),
            ..BASE
        },
        Command {
            name: "reset",
            summary: "Forgets all entries.",
            complexity: "O(N) where N is the number of entries",
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            reply: "OK",
            handler: Some(|call| {
                call.server.slowlog.reset();
                call.out.ok();
                Ok(())
            }),
            ..BASE
        },
    ],
    ..Command::NEW
};

fn get(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let out_of_range = Error::line("ERR count should be greater than or equal to -1");
    let count = match call.args.left() {
        0 => DEFAULT_COUNT,
        // Anything that is not such a number gets the same answer.
        1 => match call.args.next_i64().map_err(|_| out_of_range.clone())? {
            -1 => usize::MAX,
            count => usize::try_from(count).map_err(|_| out_of_range)?,
        },
        _ => return Err(help::syntax_error(call)),
    };
    let entries = call.server.slowlog.latest(count);
    let out = &mut *call.out;
    out.array(entries.len());
    for entry in entries {
        out.array(6);
        out.integer(entry.id as i64);
        out.integer(entry.unix_s);
        out.integer(entry.micros as i64);
        out.array(entry.args.len());
        for arg in &entry.args {
            out.bulk(arg);
        }
        out.text(&entry.client_addr);
        out.bulk(&entry.client_name);
    }
    Ok(())
}

const HELP: &[&str] = &[
    "GET [<count>]",
    "    The latest <count> entries (default: 10, -1: all). An entry is made of its number, Unix time,",
    "    microseconds taken, array of arguments, client's address, client's name.",
    "LEN",
    "    The number of entries.",
    "RESET",
    "    Forget all entries.",
];
