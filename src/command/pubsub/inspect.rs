//! PUBSUB: who listens to what.

use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::help;
use crate::command::spec::{Arg, Command, Flags, Group, Scope};
use crate::state::pubsub::Kind;
use crate::types::glob;

/// What the subcommands have in common.
const BASE: Command = Command {
    since: "2.8.0",
    group: Group::PubSub,
    arity: -2,
    flags: Flags::PUBSUB.union(Flags::LOADING).union(Flags::STALE),
    scope: Scope::Nothing,
    ..Command::NEW
};

pub const PUBSUB: Command = Command {
    name: "pubsub",
    summary: "Contains the commands that show who listens to what.",
    complexity: "Depends on the subcommand.",
    flags: Flags::empty(),
    help: HELP,
    subcommands: &[
        CHANNELS,
        help::record(Group::PubSub, "6.2.0"),
        NUMPAT,
        NUMSUB,
        SHARDCHANNELS,
        SHARDNUMSUB,
    ],
    ..BASE
};

const HELP: &[&str] = &[
    "CHANNELS [<pattern>]",
    "    The channels that somebody listens to, or those of them that fit <pattern>.",
    "NUMPAT",
    "    The number of patterns that somebody listens to.",
    "NUMSUB [<channel> ...]",
    "    How many clients listen to each channel, patterns aside.",
    "SHARDCHANNELS [<pattern>]",
    "    The shard channels that somebody listens to, or those of them that fit <pattern>.",
    "SHARDNUMSUB [<shardchannel> ...]",
    "    How many clients listen to each shard channel.",
];

const CHANNELS: Command = Command {
    name: "channels",
    summary: "Returns the channels that somebody listens to.",
    complexity: "O(N) where N is the number of such channels",
    args: &[Arg::pattern("pattern").optional()],
    reply: "array of names",
    handler: Some(|call| channels(call, Kind::Channel)),
    ..BASE
};

const SHARDCHANNELS: Command = Command {
    name: "shardchannels",
    summary: "Returns the shard channels that somebody listens to.",
    since: "7.0.0",
    handler: Some(|call| channels(call, Kind::Shard)),
    ..CHANNELS
};

const NUMSUB: Command = Command {
    name: "numsub",
    summary: "Returns how many clients listen to channels.",
    complexity: "O(N) where N is the number of channels, and of clients that listen to them",
    args: &[Arg::string("channel").optional().multiple()],
    reply: "array of each channel and the number of clients",
    handler: Some(|call| numsub(call, Kind::Channel)),
    ..BASE
};

const SHARDNUMSUB: Command = Command {
    name: "shardnumsub",
    summary: "Returns how many clients listen to shard channels.",
    since: "7.0.0",
    args: &[Arg::string("shardchannel").optional().multiple()],
    handler: Some(|call| numsub(call, Kind::Shard)),
    ..NUMSUB
};

const NUMPAT: Command = Command {
    name: "numpat",
    summary: "Returns the number of patterns that somebody listens to.",
    arity: 2,
    reply: "integer",
    handler: Some(numpat),
    ..BASE
};

fn channels(call: &mut Call<'_, '_>, kind: Kind) -> Result<(), Error> {
    if call.args.left() > 1 {
        return Err(help::syntax_error(call));
    }
    let mut names = call.server.pubsub.active_channels(kind);
    if let Some(pattern) = call.args.peek() {
        names.retain(|name| glob::matches(pattern, name, false));
    }
    call.out.array(names.len());
    names.iter().for_each(|name| call.out.bulk(name));
    Ok(())
}

fn numsub(call: &mut Call<'_, '_>, kind: Kind) -> Result<(), Error> {
    let names = call.args.rest();
    call.out.array(names.len() * 2);
    for name in names {
        call.out.bulk(name);
        call.out.integer(call.server.pubsub.listeners(kind, name) as i64);
    }
    Ok(())
}

fn numpat(call: &mut Call<'_, '_>) -> Result<(), Error> {
    call.out.integer(call.server.pubsub.count(Kind::Pattern) as i64);
    Ok(())
}
