//! SUBSCRIBE, PSUBSCRIBE, SSUBSCRIBE and their opposites.
//!
//! Each name is answered with a push of its own, a confirmation. A client gets no message of a channel before the
//! confirmation that it listens to it, and none after the one that it does not.

use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command, Flags, Group, KeyFlags, KeySpec, Scope};
use crate::state::pubsub::Kind;

/// What all six have in common.
const BASE: Command = Command {
    since: "2.0.0",
    group: Group::PubSub,
    flags: Flags::PUBSUB
        .union(Flags::NOSCRIPT)
        .union(Flags::LOADING)
        .union(Flags::STALE)
        .union(Flags::FOR_SUBSCRIBERS)
        .union(Flags::PUSHES),
    reply: "for each name a push of the command's name, that name, and the number of subscriptions",
    scope: Scope::Nothing,
    ..Command::NEW
};

/// What the three that end subscriptions have in common.
const END: Command = Command {
    arity: -1,
    reply: "for each name, or each subscription if none is given, a push as to the opposite command",
    ..BASE
};

pub const SUBSCRIBE: Command = Command {
    name: "subscribe",
    summary: "Listens to channels.",
    complexity: "O(N) where N is the number of channels",
    arity: -2,
    args: &[Arg::string("channel").multiple()],
    handler: Some(|call| subscribe(call, Kind::Channel, "subscribe")),
    ..BASE
};

pub const PSUBSCRIBE: Command = Command {
    name: "psubscribe",
    summary: "Listens to all channels whose names fit patterns.",
    complexity: "O(N) where N is the number of patterns",
    arity: -2,
    args: &[Arg::pattern("pattern").multiple()],
    handler: Some(|call| subscribe(call, Kind::Pattern, "psubscribe")),
    ..BASE
};

pub const SSUBSCRIBE: Command = Command {
    name: "ssubscribe",
    summary: "Listens to shard channels.",
    since: "7.0.0",
    complexity: "O(N) where N is the number of shard channels",
    arity: -2,
    keys: &[KeySpec::range(1, -1, 1, KeyFlags::NOT_KEY)],
    args: &[Arg::string("shardchannel").multiple()],
    handler: Some(|call| subscribe(call, Kind::Shard, "ssubscribe")),
    ..BASE
};

pub const UNSUBSCRIBE: Command = Command {
    name: "unsubscribe",
    summary: "Listens to channels no more.",
    complexity: "O(N) where N is the number of channels",
    args: &[Arg::string("channel").optional().multiple()],
    handler: Some(|call| unsubscribe(call, Kind::Channel, "unsubscribe")),
    ..END
};

pub const PUNSUBSCRIBE: Command = Command {
    name: "punsubscribe",
    summary: "Listens to patterns no more.",
    complexity: "O(N) where N is the number of patterns",
    args: &[Arg::pattern("pattern").optional().multiple()],
    handler: Some(|call| unsubscribe(call, Kind::Pattern, "punsubscribe")),
    ..END
};

pub const SUNSUBSCRIBE: Command = Command {
    name: "sunsubscribe",
    summary: "Listens to shard channels no more.",
    since: "7.0.0",
    complexity: "O(N) where N is the number of shard channels",
    keys: &[KeySpec::range(1, -1, 1, KeyFlags::NOT_KEY)],
    args: &[Arg::string("shardchannel").optional().multiple()],
    handler: Some(|call| unsubscribe(call, Kind::Shard, "sunsubscribe")),
    ..END
};

fn subscribe(call: &mut Call<'_, '_>, kind: Kind, word: &str) -> Result<(), Error> {
    for name in call.args.rest() {
        call.server.pubsub.subscribe(call.session, kind, name);
        confirm(call, kind, word, Some(name));
    }
    Ok(())
}

fn unsubscribe(call: &mut Call<'_, '_>, kind: Kind, word: &str) -> Result<(), Error> {
    if !call.args.is_done() {
        for name in call.args.rest() {
            end(call, kind, word, name);
        }
        return Ok(());
    }
    let all = call.session.subscriptions.as_ref().map_or(Vec::new(), |all| all.names(kind));
    for name in &all {
        end(call, kind, word, name);
    }
    if all.is_empty() {
        confirm(call, kind, word, None);
    }
    Ok(())
}

fn end(call: &mut Call<'_, '_>, kind: Kind, word: &str, name: &[u8]) {
    call.server.pubsub.unsubscribe(call.session, kind, name);
    // Messages that were published before come before the confirmation; but not in the midst of the replies of EXEC.
    if !call.origin.is_inside() {
        call.session.client.mailbox.empty_into(call.out);
    }
    confirm(call, kind, word, Some(name));
}

/// Shard channels are counted apart from channels and patterns.
fn confirm(call: &mut Call<'_, '_>, kind: Kind, word: &str, name: Option<&[u8]>) {
    let count = call.session.subscriptions.as_ref().map_or(0, |all| match kind {
        Kind::Shard => all.count(Kind::Shard),
        Kind::Channel | Kind::Pattern => all.count(Kind::Channel) + all.count(Kind::Pattern),
    });
    call.out.push(3);
    call.out.text(word);
    match name {
        Some(name) => call.out.bulk(name),
        None => call.out.null(),
    }
    call.out.integer(count as i64);
}
