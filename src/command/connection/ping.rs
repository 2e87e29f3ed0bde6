//! PING and ECHO: is anybody there?

use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command, Flags, Group, Scope};
use crate::resp::reply::Proto;

pub const PING: Command = Command {
    name: "ping",
    summary: "Answers PONG, or with the message it was given.",
    group: Group::Connection,
    arity: -1,
    flags: Flags::FAST.union(Flags::FOR_SUBSCRIBERS),
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    args: &[Arg::string("message").optional()],
    reply: "PONG, or the message",
    scope: Scope::Nothing,
    handler: Some(ping),
    ..Command::NEW
};

pub const ECHO: Command = Command {
    name: "echo",
    summary: "Answers with the message it was given.",
    group: Group::Connection,
    arity: 2,
    flags: Flags::LOADING.union(Flags::STALE).union(Flags::FAST),
    args: &[Arg::string("message")],
    reply: "the message",
    scope: Scope::Nothing,
    handler: Some(echo),
    ..Command::NEW
};

fn ping(call: &mut Call<'_, '_>) -> Result<(), Error> {
    if call.session.is_subscriber && call.session.proto == Proto::Resp2 && call.args.left() < 2 {
        // Where messages arrive as arrays, so does this.
        call.out.array(2);
        call.out.text("pong");
        call.out.bulk(call.args.peek().unwrap_or_default());
        return Ok(());
    }
    match call.args.left() {
        0 => call.out.simple("PONG"),
        1 => call.out.bulk(call.args.take()?),
        _ => return Err(Error::WrongArity(call.entry.full_name.clone())),
    }
    Ok(())
}

fn echo(call: &mut Call<'_, '_>) -> Result<(), Error> {
    call.out.bulk(call.args.take()?);
    Ok(())
}
