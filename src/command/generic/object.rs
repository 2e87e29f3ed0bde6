//! OBJECT: how a value is kept and how it is used.

use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::help;
use crate::command::spec::{Arg, Command, Flags, Group, KeyFlags, KeySpec};
use crate::keyspace::access::is_lfu;
use crate::keyspace::{Entry, StringRef};

pub const OBJECT: Command = Command {
    name: "object",
    summary: "Contains the commands that tell how values are kept and used.",
    since: "2.2.3",
    group: Group::Generic,
    complexity: "Depends on the subcommand.",
    arity: -2,
    help: HELP,
    subcommands: &[
        Command {
            name: "encoding",
            summary: "Returns the name of the form in which a value is kept.",
            since: "2.2.3",
            reply: "bulk string, or null if there is no such key",
            handler: Some(|call| {
                let name = call.args.take().map(|key| call.keys.probe(key).map(Entry::encoding_name))?;
                match name {
                    Some(name) => call.out.text(name),
                    None => call.out.null(),
                }
                Ok(())
            }),
            ..SUBCOMMAND
        },
        Command {
            name: "freq",
            summary: "Returns how often a key is used, on the logarithmic scale of the LFU policies.",
            since: "4.0.0",
            handler: Some(|call| {
                let now_ms = call.keys.now_ms;
                reply_number(call, |entry| {
                    if is_lfu() {
                        Ok(entry.access().frequency(now_ms).into())
                    } else {
                        Err(Error::LfuNotSelected)
                    }
                })
            }),
            ..SUBCOMMAND
        },
        help::record(Group::Generic, "6.2.0"),
        Command {
            name: "idletime",
            summary: "Returns the seconds since a key was last used.",
            since: "2.2.3",
            handler: Some(|call| {
                let now_ms = call.keys.now_ms;
                reply_number(call, |entry| {
                    if is_lfu() {
                        Err(Error::LfuSelected)
                    } else {
                        Ok(entry.access().idle_seconds(now_ms).into())
                    }
                })
            }),
            ..SUBCOMMAND
        },
        Command {
            name: "refcount",
            summary: "Returns the reference count that Redis would have for a value.",
            since: "2.2.3",
            handler: Some(|call| reply_number(call, |entry| Ok(reference_count(entry)))),
            ..SUBCOMMAND
        },
    ],
    ..Command::NEW
};

/// Fields that the subcommands on a key share.
const SUBCOMMAND: Command = Command {
    group: Group::Generic,
    complexity: "O(1)",
    arity: 3,
    flags: Flags::READONLY,
    tips: &["nondeterministic_output"],
    keys: &[KeySpec::one(2, KeyFlags::RO)],
    args: &[Arg::key("key", 0)],
    reply: "integer, or null if there is no such key",
    ..Command::NEW
};

fn reply_number(call: &mut Call<'_, '_>, number: impl Fn(&Entry) -> Result<i64, Error>) -> Result<(), Error> {
    let key = call.args.take()?;
    match call.keys.probe(key) {
        Some(entry) => call.out.integer(number(entry)?),
        None => call.out.null(),
    }
    Ok(())
}

/// Redis keeps one object each for the integers below this, and shares it among all keys.
const SHARED_INTEGERS: i64 = 10_000;

/// The reference count that Redis shows for an object that is shared for ever.
const SHARED_REFERENCES: i64 = i32::MAX as i64;

fn reference_count(entry: &Entry) -> i64 {
    match entry.string() {
        Some(StringRef::Int(0..SHARED_INTEGERS)) => SHARED_REFERENCES,
        _ => 1,
    }
}

const HELP: &[&str] = &[
    "ENCODING <key>",
    "    The form in which the value of <key> is kept.",
    "FREQ <key>",
    "    How often <key> is used, on a logarithmic scale (under an LFU policy only).",
    "IDLETIME <key>",
    "    Seconds since <key> was last used (not under an LFU policy).",
    "REFCOUNT <key>",
    "    The number of references to the value of <key>.",
];
