//! XINFO: what there is to know about a stream, its groups and their consumers.

use super::{RO_ACCESS, find, no_such_group, reply_entries, reply_entry, reply_id};
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::help;
use crate::command::spec::{Arg, Command, Flags, Group as CommandGroup, KeySpec};
use crate::resp::reply::Reply;
use crate::types::stream::{Consumer, Group, Id, Stream};

/// What the subcommands have in common.
const BASE: Command = Command {
    since: "5.0.0",
    group: CommandGroup::Stream,
    flags: Flags::READONLY,
    keys: &[KeySpec::one(2, RO_ACCESS)],
    ..Command::NEW
};

pub const XINFO: Command = Command {
    name: "xinfo",
    summary: "Contains the commands that describe streams.",
    since: "5.0.0",
    group: CommandGroup::Stream,
    complexity: "Depends on the subcommand.",
    arity: -2,
    help: HELP,
    subcommands: &[
        Command {
            name: "consumers",
            summary: "Describes the consumers of a group.",
            complexity: "O(N) in the number of consumers.",
            arity: 4,
            tips: &["nondeterministic_output"],
            args: &[Arg::key("key", 0), Arg::string("group")],
            history: &[("7.2.0", "The field `inactive`; `idle` counts from the last attempt.")],
            reply: "array of maps",
            handler: Some(consumers),
            ..BASE
        },
        Command {
            name: "groups",
            summary: "Describes the groups of a stream.",
            complexity: "O(N) in the number of groups.",
            arity: 3,
            args: &[Arg::key("key", 0)],
            history: &[("7.0.0", "The fields `entries-read` and `lag`.")],
            reply: "array of maps",
            handler: Some(groups),
            ..BASE
        },
        help::record(CommandGroup::Stream, "5.0.0"),
        Command {
            name: "stream",
            summary: "Describes a stream, with FULL also its entries, groups and what is pending.",
            complexity: "O(N) in the number of blocks, with a tiny constant, and in what is returned.",
            arity: -3,
            args: &[
                Arg::key("key", 0),
                Arg::block(
                    "full-block",
                    &[Arg::word("full", "FULL"), Arg::integer("count").token("COUNT").optional()],
                )
                .optional(),
            ],
            history: &[
                ("6.0.0", "FULL."),
                (
                    "7.0.0",
                    "The fields `max-deleted-entry-id`, `entries-added`, `recorded-first-entry-id`, `entries-read` \
                     and `lag`.",
                ),
                ("7.2.0", "The field `active-time`; `seen-time` is that of the last attempt."),
            ],
            reply: "map",
            handler: Some(stream_info),
            ..BASE
        },
    ],
    ..Command::NEW
};

/// Entries, and pending entries of each group and consumer, that FULL returns if it is not told.
const DEFAULT_COUNT: usize = 10;

fn stream_info(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let stream = find(call.keys, key)?.ok_or(Error::NoSuchKey)?;
    let args = &mut call.args;
    let count = match args.left() {
        0 => None,
        1 if args.skip_word("FULL") => Some(DEFAULT_COUNT),
        3 if args.skip_word("FULL") && args.skip_word("COUNT") => Some(match args.next_i64()? {
            0 => usize::MAX,
            count => usize::try_from(count).unwrap_or(DEFAULT_COUNT),
        }),
        _ => return Err(help::syntax_error(call)),
    };
    match count {
        None => overview(call.out, stream),
        Some(count) => full(call.out, stream, count),
    }
    Ok(())
}

/// The fields that both forms begin with.
fn common_fields(out: &mut Reply, stream: &Stream) {
    let marks = stream.entries.marks();
    out.text("length");
    out.integer(marks.length as i64);
    out.text("radix-tree-keys");
    out.integer(stream.entries.blocks().count() as i64);
    out.text("radix-tree-nodes");
    out.integer(stream.entries.radix_nodes() as i64);
    out.text("last-generated-id");
    reply_id(out, marks.last_id);
    out.text("max-deleted-entry-id");
    reply_id(out, marks.max_deleted_id);
    out.text("entries-added");
    out.integer(marks.added as i64);
    out.text("recorded-first-entry-id");
    reply_id(out, marks.first_id);
}

fn overview(out: &mut Reply, stream: &Stream) {
    let all = Id::MIN..=Id::MAX;
    out.map(10);
    common_fields(out, stream);
    out.text("groups");
    out.integer(stream.groups.len() as i64);
    let ends = [
        ("first-entry", stream.entries.range(all.clone()).next()),
        ("last-entry", stream.entries.range_back(all).next()),
    ];
    for (name, entry) in ends {
        out.text(name);
        match entry {
            Some(entry) => reply_entry(out, entry),
            None => out.null(),
        }
    }
}

fn full(out: &mut Reply, stream: &Stream, count: usize) {
    out.map(9);
    common_fields(out, stream);
    out.text("entries");
    reply_entries(out, stream.entries.range(Id::MIN..=Id::MAX).take(count));
    out.text("groups");
    out.array(stream.groups.len());
    for (name, group) in stream.groups.iter() {
        full_group(out, stream, name, group, count);
    }
}

fn full_group(out: &mut Reply, stream: &Stream, name: &[u8], group: &Group, count: usize) {
    out.map(7);
    out.text("name");
    out.bulk(name);
    progress(out, stream, group);
    out.text("pel-count");
    out.integer(group.pending().len() as i64);
    out.text("pending");
    out.array(count.min(group.pending().len()));
    for (id, pending) in group.pending().iter().take(count) {
        out.array(4);
        reply_id(out, *id);
        out.bulk(group.consumer(pending.consumer).name());
        out.integer(pending.delivered_ms);
        out.integer(pending.deliveries as i64);
    }
    out.text("consumers");
    out.array(group.consumers().len());
    for consumer in group.consumers() {
        full_consumer(out, group, consumer, count);
    }
}

fn full_consumer(out: &mut Reply, group: &Group, consumer: &Consumer, count: usize) {
    out.map(5);
    out.text("name");
    out.bulk(consumer.name());
    out.text("seen-time");
    out.integer(consumer.seen_ms);
    out.text("active-time");
    out.integer(consumer.active_ms.unwrap_or(NEVER));
    out.text("pel-count");
    out.integer(consumer.pending().len() as i64);
    out.text("pending");
    let place = out.deferred();
    let mut written = 0;
    for id in consumer.pending().iter().take(count) {
        let Some(pending) = group.pending().get(id) else { continue };
        out.array(3);
        reply_id(out, *id);
        out.integer(pending.delivered_ms);
        out.integer(pending.deliveries as i64);
        written += 1;
    }
    out.finish_array(place, written);
}

/// The time of what never happened.
const NEVER: i64 = -1;

/// How far a group is.
fn progress(out: &mut Reply, stream: &Stream, group: &Group) {
    out.text("last-delivered-id");
    reply_id(out, group.last_id);
    out.text("entries-read");
    integer_or_null(out, group.entries_read.map(|read| read as i64));
    out.text("lag");
    integer_or_null(out, stream.lag(group));
}

fn integer_or_null(out: &mut Reply, n: Option<i64>) {
    match n {
        Some(n) => out.integer(n),
        None => out.null(),
    }
}

fn groups(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let stream = find(call.keys, key)?.ok_or(Error::NoSuchKey)?;
    let out = &mut *call.out;
    out.array(stream.groups.len());
    for (name, group) in stream.groups.iter() {
        out.map(6);
        out.text("name");
        out.bulk(name);
        out.text("consumers");
        out.integer(group.consumers().len() as i64);
        out.text("pending");
        out.integer(group.pending().len() as i64);
        progress(out, stream, group);
    }
    Ok(())
}

fn consumers(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let (key, name) = (call.args.take()?, call.args.take()?);
    let stream = find(call.keys, key)?.ok_or(Error::NoSuchKey)?;
    let group = stream.groups.get(name).ok_or_else(|| no_such_group(key, name))?;
    let now_ms = call.keys.now_ms;
    let out = &mut *call.out;
    out.array(group.consumers().len());
    for consumer in group.consumers() {
        out.map(4);
        out.text("name");
        out.bulk(consumer.name());
        out.text("pending");
        out.integer(consumer.pending().len() as i64);
        out.text("idle");
        out.integer((now_ms - consumer.seen_ms).max(0));
        out.text("inactive");
        out.integer(consumer.active_ms.map_or(NEVER, |active| now_ms - active));
    }
    Ok(())
}

const HELP: &[&str] = &[
    "CONSUMERS <key> <groupname>",
    "    Describe the consumers of a group.",
    "GROUPS <key>",
    "    Describe the groups of a stream.",
    "STREAM <key> [FULL [COUNT <count>]",
    "    Describe a stream.",
];
