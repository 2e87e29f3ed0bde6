//! SELECT, RESET and QUIT: the connection's database, its beginning and its end.

use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command, Databases, Flags, Group, Scope};
use crate::state::session::Next;

pub const SELECT: Command = Command {
    name: "select",
    summary: "Chooses the database that the connection's commands work on.",
    group: Group::Connection,
    arity: 2,
    flags: Flags::LOADING.union(Flags::STALE).union(Flags::FAST),
    args: &[Arg::integer("index")],
    reply: "OK",
    scope: Scope::Select,
    handler: Some(select),
    ..Command::NEW
};

pub const RESET: Command = Command {
    name: "reset",
    summary: "Puts the connection back into the state of a new one.",
    since: "6.2.0",
    group: Group::Connection,
    arity: 1,
    flags: Flags::NOSCRIPT
        .union(Flags::LOADING)
        .union(Flags::STALE)
        .union(Flags::FAST)
        .union(Flags::NO_AUTH)
        .union(Flags::ALLOW_BUSY)
        .union(Flags::FOR_SUBSCRIBERS)
        .union(Flags::UNQUEUED),
    reply: "RESET",
    scope: Scope::Nothing,
    handler: Some(reset),
    ..Command::NEW
};

pub const QUIT: Command = Command {
    name: "quit",
    summary: "Closes the connection.",
    group: Group::Connection,
    arity: -1,
    flags: Flags::ALLOW_BUSY
        .union(Flags::NOSCRIPT)
        .union(Flags::LOADING)
        .union(Flags::STALE)
        .union(Flags::FAST)
        .union(Flags::NO_AUTH)
        .union(Flags::FOR_SUBSCRIBERS)
        .union(Flags::UNQUEUED),
    deprecated: Some(("7.2.0", "just closing the connection")),
    reply: "OK",
    scope: Scope::Nothing,
    handler: Some(quit),
    ..Command::NEW
};

fn select(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let databases = Databases { selected: call.session.db, count: call.server.keyspace.databases() };
    let db = databases.next(&mut call.args)?;
    call.session.select(db);
    call.out.ok();
    Ok(())
}

fn reset(call: &mut Call<'_, '_>) -> Result<(), Error> {
    call.session.discard(call.server);
    call.server.pubsub.forget(call.session);
    call.server.end_tracking(call.session);
    if call.session.is_monitor {
        call.server.monitors.remove(call.session.client.id);
        call.session.set_monitor(false);
    }
    // What was sent to the client until now is still in its old protocol, and comes first.
    call.session.client.mailbox.empty_into(call.out);
    call.session.reset(!call.server.needs_password());
    call.out.set_proto(call.session.proto);
    call.out.simple("RESET");
    Ok(())
}

fn quit(call: &mut Call<'_, '_>) -> Result<(), Error> {
    call.session.next = Next::CloseAfterReply;
    call.out.ok();
    Ok(())
}
