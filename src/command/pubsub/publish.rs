//! PUBLISH and SPUBLISH: sending a message to whoever listens.

use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command, Flags, Group, KeyFlags, KeySpec, Scope};

pub const PUBLISH: Command = Command {
    name: "publish",
    summary: "Sends a message to all who listen to a channel.",
    since: "2.0.0",
    group: Group::PubSub,
    complexity: "O(N+M) where N is the number of clients that listen to the channel and M the number of patterns",
    arity: 3,
    flags: Flags::PUBSUB
        .union(Flags::LOADING)
        .union(Flags::STALE)
        .union(Flags::FAST)
        .union(Flags::MAY_REPLICATE),
    args: &[Arg::string("channel"), Arg::string("message")],
    reply: "number of messages sent: one for each client that listens, and for each of its patterns that fits",
    scope: Scope::Nothing,
    handler: Some(publish),
    ..Command::NEW
};

pub const SPUBLISH: Command = Command {
    name: "spublish",
    summary: "Sends a message to all who listen to a shard channel.",
    since: "7.0.0",
    complexity: "O(N) where N is the number of clients that listen to the shard channel",
    keys: &[KeySpec::one(1, KeyFlags::NOT_KEY)],
    args: &[Arg::string("shardchannel"), Arg::string("message")],
    reply: "number of clients that the message was sent to",
    handler: Some(publish_to_shard),
    ..PUBLISH
};

fn publish(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let (channel, message) = (call.args.take()?, call.args.take()?);
    let sent = call.server.pubsub.publish(channel, message);
    call.out.integer(sent as i64);
    Ok(())
}

fn publish_to_shard(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let (channel, message) = (call.args.take()?, call.args.take()?);
    let sent = call.server.pubsub.publish_to_shard(channel, message);
    call.out.integer(sent as i64);
    Ok(())
}
