//! CLIENT PAUSE, UNPAUSE and UNBLOCK: making clients wait, and ending their waits.

use super::ADMIN;
use crate::command::blocking;
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::help;
use crate::command::spec::{Arg, Command};
use crate::state::pause::Paused;
use crate::state::waiters::Unblock;
use crate::types::number;

pub const PAUSE: Command = Command {
    name: "pause",
    summary: "Lets the commands of all clients wait, or only those that write.",
    since: "3.0.0",
    arity: -3,
    args: &[
        Arg::integer("timeout"),
        Arg::one_of("mode", &[Arg::word("write", "WRITE"), Arg::word("all", "ALL")])
            .optional()
            .since("6.2.0"),
    ],
    history: &[("6.2.0", "Takes the mode.")],
    handler: Some(pause),
    ..ADMIN
};

pub const UNPAUSE: Command = Command {
    name: "unpause",
    summary: "Ends a pause.",
    since: "6.2.0",
    complexity: "O(N) where N is the number of paused clients",
    handler: Some(unpause),
    ..ADMIN
};

pub const UNBLOCK: Command = Command {
    name: "unblock",
    summary: "Ends the wait of a client that is blocked in a command.",
    since: "5.0.0",
    complexity: "O(log N) where N is the number of connections",
    arity: -3,
    args: &[
        Arg::integer("client-id"),
        Arg::one_of("unblock-type", &[Arg::word("timeout", "TIMEOUT"), Arg::word("error", "ERROR")])
            .optional(),
    ],
    reply: "1 if the client was blocked, else 0",
    handler: Some(unblock),
    ..ADMIN
};

fn pause(call: &mut Call<'_, '_>) -> Result<(), Error> {
    if call.args.left() > 2 {
        return Err(help::syntax_error(call));
    }
    let timeout = call.args.take()?;
    let paused = match call.args.peek() {
        None => Paused::Everything,
        Some(_) if call.args.skip_word("WRITE") => Paused::Writes,
        Some(_) if call.args.skip_word("ALL") => Paused::Everything,
        Some(_) => return Err(Error::line("ERR CLIENT PAUSE mode must be WRITE or ALL")),
    };
    let now_ms = call.keys.now_ms;
    let until_ms = until(timeout, now_ms)?;
    let until_ms = call.server.pause.pause(paused, until_ms, now_ms);
    call.server.keyspace.expiry().pause_until(until_ms);
    call.out.ok();
    Ok(())
}

/// When `timeout`, in milliseconds from now, is over.
fn until(timeout: &[u8], now_ms: i64) -> Result<i64, Error> {
    let timeout = number::parse_i64(timeout).ok_or(Error::TimeoutNotInteger)?;
    if timeout < 0 {
        return Err(Error::TimeoutNegative);
    }
    timeout.checked_add(now_ms).ok_or(Error::TimeoutOutOfRange)
}

fn unpause(call: &mut Call<'_, '_>) -> Result<(), Error> {
    call.server.pause.unpause();
    call.server.keyspace.expiry().pause_until(0);
    call.out.ok();
    Ok(())
}

fn unblock(call: &mut Call<'_, '_>) -> Result<(), Error> {
    if call.args.left() > 2 {
        return Err(help::syntax_error(call));
    }
    let id = call.args.take()?;
    let how = if call.args.is_done() || call.args.skip_word("TIMEOUT") {
        Unblock::Timeout
    } else if call.args.skip_word("ERROR") {
        Unblock::Error
    } else {
        return Err(Error::line("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"));
    };
    let id = number::parse_i64(id).ok_or(Error::NotInteger)?;
    let client = u64::try_from(id).ok().and_then(|id| call.server.clients.get(id));
    let unblocked =
        client.and_then(|client| call.server.waiters.unblock(&call.server.keyspace, &client, how));
    if let Some(waiter) = &unblocked {
        blocking::count(call.server, call.meter.counters, waiter, call.keys.now_ms);
    }
    call.out.integer(unblocked.is_some().into());
    Ok(())
}
