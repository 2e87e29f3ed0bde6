//! XGROUP: the groups of a stream and their consumers.

use super::{RW_DELETE, RW_UPDATE, find_mut, id, id_or_edge, no_such_group};
use crate::command::args::Args;
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::help;
use crate::command::spec::{Arg, Command, Flags, Group as CommandGroup, KeyFlags, KeySpec};
use crate::keyspace::{Deadline, Kind, Object, Value};
use crate::memory::lazyfree;
use crate::types::events::Class;
use crate::types::stream::{Group, Id, Stream};

const NO_KEY: Error = Error::line(
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM \
     option to create an empty stream automatically.",
);

/// What the subcommands have in common.
const BASE: Command =
    Command { since: "5.0.0", group: CommandGroup::Stream, arity: 5, flags: Flags::WRITE, ..Command::NEW };

const INSERTS: &[KeySpec] = &[KeySpec::one(2, KeyFlags::RW.union(KeyFlags::INSERT))];
const DELETES: &[KeySpec] = &[KeySpec::one(2, RW_DELETE)];

const KEY_AND_GROUP: &[Arg] = &[Arg::key("key", 0), Arg::string("group")];
const CONSUMER_ARGS: &[Arg] = &[Arg::key("key", 0), Arg::string("group"), Arg::string("consumer")];
const ID: Arg = Arg::one_of("id-selector", &[Arg::string("id"), Arg::word("new-id", "$")]);
const ENTRIES_READ: Arg = Arg::integer("entriesread").display("entries-read").token("ENTRIESREAD").optional();

pub const XGROUP: Command = Command {
    name: "xgroup",
    summary: "Contains the commands on consumer groups.",
    since: "5.0.0",
    group: CommandGroup::Stream,
    complexity: "Depends on the subcommand.",
    arity: -2,
    help: HELP,
    subcommands: &[
        Command {
            name: "create",
            summary: "Creates a group.",
            arity: -5,
            flags: Flags::WRITE.union(Flags::DENYOOM),
            keys: INSERTS,
            args: &[
                Arg::key("key", 0),
                Arg::string("group"),
                ID,
                Arg::word("mkstream", "MKSTREAM").optional(),
                ENTRIES_READ,
            ],
            history: &[("7.0.0", "ENTRIESREAD.")],
            reply: "OK",
            handler: Some(create),
            ..BASE
        },
        Command {
            name: "createconsumer",
            summary: "Creates a consumer in a group.",
            since: "6.2.0",
            flags: Flags::WRITE.union(Flags::DENYOOM),
            keys: INSERTS,
            args: CONSUMER_ARGS,
            reply: "1 if the consumer is new, 0 if there was one of this name",
            handler: Some(create_consumer),
            ..BASE
        },
        Command {
            name: "delconsumer",
            summary: "Deletes a consumer, with what is pending for it.",
            complexity: "O(N log M), N entries being pending for the consumer and M for the group.",
            keys: DELETES,
            args: CONSUMER_ARGS,
            reply: "the number of entries that were pending",
            handler: Some(delete_consumer),
            ..BASE
        },
        Command {
            name: "destroy",
            summary: "Deletes a group.",
            complexity: "O(N) in the number of the group's pending entries.",
            arity: 4,
            keys: DELETES,
            args: KEY_AND_GROUP,
            reply: "1 if the group was deleted, 0 if there is none",
            handler: Some(destroy),
            ..BASE
        },
        help::record(CommandGroup::Stream, "5.0.0"),
        Command {
            name: "setid",
            summary: "Sets the ID up to which a group has read.",
            arity: -5,
            keys: &[KeySpec::one(2, RW_UPDATE)],
            args: &[Arg::key("key", 0), Arg::string("group"), ID, ENTRIES_READ],
            history: &[("7.0.0", "ENTRIESREAD.")],
            reply: "OK",
            handler: Some(set_id),
            ..BASE
        },
    ],
    ..Command::NEW
};

/// The options of CREATE and SETID.
#[derive(Default)]
struct Options {
    make_stream: bool,
    entries_read: Option<u64>,
}

impl Options {
    fn parse(call: &Call<'_, '_>, args: &mut Args<'_>, may_make: bool) -> Result<Options, Error> {
        let mut options = Options::default();
        while !args.is_done() {
            if may_make && args.skip_word("MKSTREAM") {
                options.make_stream = true;
            } else if args.left() >= 2 && args.skip_word("ENTRIESREAD") {
                options.entries_read = match args.next_i64()? {
                    -1 => None,
                    count => Some(
                        u64::try_from(count)
                            .map_err(|_| Error::line("ERR value for ENTRIESREAD must be positive or -1"))?,
                    ),
                };
            } else {
                return Err(help::syntax_error(call));
            }
        }
        Ok(options)
    }
}

/// `$`, or what `parse` makes of the text.
fn id_or_last(
    text: &[u8],
    stream: Option<&Stream>,
    parse: impl Fn(&[u8]) -> Result<Id, Error>,
) -> Result<Id, Error> {
    match text {
        b"$" => Ok(stream.map_or(Id::MIN, |stream| stream.entries.marks().last_id)),
        text => parse(text),
    }
}

fn create(call: &mut Call<'_, '_>) -> Result<(), Error> {
    /// CREATE with both options.
    const MOST_ARGS: usize = 8;
    let (key, name, from) = (call.args.take()?, call.args.take()?, call.args.take()?);
    let options = Options::parse(call, &mut call.args.clone(), true)?;
    let too_many = call.args.count() > MOST_ARGS;
    let syntax_error = help::syntax_error(call);
    let stream = find_mut(call.keys, key)?;
    if stream.is_none() && !options.make_stream {
        return Err(NO_KEY);
    }
    if too_many {
        return Err(syntax_error);
    }
    let group = Group::new(id_or_last(from, stream.as_deref(), id)?, options.entries_read);
    match stream {
        Some(stream) => {
            if !stream.groups.add(name, group) {
                return Err(Error::line("BUSYGROUP Consumer Group name already exists"));
            }
        }
        None => {
            let mut stream = Box::new(Stream::default());
            stream.groups.add(name, group);
            call.keys.set(key, Value::Object(Kind::Stream, Object::Stream(stream)), Deadline::Clear);
            call.keys.modified(key);
        }
    }
    call.keys.event(Class::STREAM, "xgroup-create", key);
    call.keys.changed(1);
    call.out.ok();
    Ok(())
}

fn set_id(call: &mut Call<'_, '_>) -> Result<(), Error> {
    /// SETID with its option.
    const MOST_ARGS: usize = 7;
    let (key, name, to) = (call.args.take()?, call.args.take()?, call.args.take()?);
    let options = Options::parse(call, &mut call.args.clone(), false)?;
    let too_many = call.args.count() > MOST_ARGS;
    let syntax_error = help::syntax_error(call);
    let stream = find_mut(call.keys, key)?.ok_or(NO_KEY)?;
    if stream.groups.get(name).is_none() {
        return Err(no_such_group(key, name));
    }
    if too_many {
        return Err(syntax_error);
    }
    let last_id = id_or_last(to, Some(stream), |text| id_or_edge(text, 0))?;
    if let Some(group) = stream.groups.get_mut(name) {
        group.last_id = last_id;
        group.entries_read = options.entries_read;
    }
    call.keys.event(Class::STREAM, "xgroup-setid", key);
    call.keys.changed(1);
    call.out.ok();
    Ok(())
}

fn destroy(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let (key, name) = (call.args.take()?, call.args.take()?);
    let removed = find_mut(call.keys, key)?.ok_or(NO_KEY)?.groups.remove(name);
    call.out.integer(removed.is_some().into());
    if let Some(group) = removed {
        free_group(group);
        call.keys.notify(Class::STREAM, "xgroup-destroy", key);
        call.keys.changed(1);
    }
    Ok(())
}

/// Frees a group: elsewhere, if that could take long.
fn free_group(group: Group) {
    let pending = group.pending().len();
    if pending >= lazyfree::MANY_FROM_OBJECTS {
        lazyfree::drop_later(group, pending);
    }
}

/// The group that is asked for.
fn find_group<'v>(call: &'v mut Call<'_, '_>, key: &[u8], name: &[u8]) -> Result<&'v mut Group, Error> {
    let stream = find_mut(call.keys, key)?.ok_or(NO_KEY)?;
    stream.groups.get_mut(name).ok_or_else(|| no_such_group(key, name))
}

fn create_consumer(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let (key, name, consumer) = (call.args.take()?, call.args.take()?, call.args.take()?);
    let now_ms = call.keys.clock_ms();
    let (_, is_new) = find_group(call, key, name)?.find_or_create_consumer(consumer, now_ms);
    if is_new {
        call.keys.event(Class::STREAM, "xgroup-createconsumer", key);
        call.keys.changed(1);
    }
    call.out.integer(is_new.into());
    Ok(())
}

fn delete_consumer(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let (key, name, consumer) = (call.args.take()?, call.args.take()?, call.args.take()?);
    let pending = find_group(call, key, name)?.remove_consumer(consumer);
    if pending.is_some() {
        call.keys.event(Class::STREAM, "xgroup-delconsumer", key);
        call.keys.changed(1);
    }
    call.out.integer(pending.unwrap_or(0) as i64);
    Ok(())
}

const HELP: &[&str] = &[
    "CREATE <key> <groupname> <id|$> [option]",
    "    Create a group that reads what comes after the ID. Options:",
    "    * MKSTREAM",
    "      Create an empty stream if there is none.",
    "    * ENTRIESREAD entries_read",
    "      How many entries the group counts as read.",
    "CREATECONSUMER <key> <groupname> <consumer>",
    "    Create a consumer in the group.",
    "DELCONSUMER <key> <groupname> <consumer>",
    "    Delete a consumer of the group, with what is pending for it.",
    "DESTROY <key> <groupname>",
    "    Delete the group.",
    "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
    "    Set the ID up to which the group has read, and how many entries it counts as read.",
];
