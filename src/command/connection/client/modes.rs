//! CLIENT REPLY, NO-EVICT and NO-TOUCH: how the connection wants to be treated.

use super::{ADMIN, BASE, ON_OR_OFF};
use crate::command::args::Args;
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command};
use crate::state::session::ReplyMode;
use std::sync::atomic::Ordering;

pub const REPLY: Command = Command {
    name: "reply",
    summary: "Chooses whether the connection gets replies.",
    since: "3.2.0",
    arity: 3,
    args: &[Arg::one_of(
        "action",
        &[Arg::word("on", "ON"), Arg::word("off", "OFF"), Arg::word("skip", "SKIP")],
    )],
    reply: "OK to ON, nothing to OFF and SKIP",
    handler: Some(reply),
    ..BASE
};

pub const NO_EVICT: Command = Command {
    name: "no-evict",
    summary: "Chooses whether the connection is spared when clients are evicted.",
    since: "7.0.0",
    arity: 3,
    args: ON_OR_OFF,
    handler: Some(no_evict),
    ..ADMIN
};

pub const NO_TOUCH: Command = Command {
    name: "no-touch",
    summary: "Chooses whether the connection's commands leave access times and frequencies of keys alone.",
    since: "7.2.0",
    arity: 3,
    args: ON_OR_OFF,
    handler: Some(no_touch),
    ..BASE
};

fn reply(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let session = &mut *call.session;
    if call.args.skip_word("ON") {
        session.reply_mode = ReplyMode::On;
        call.out.ok();
    } else if call.args.skip_word("OFF") {
        session.reply_mode = ReplyMode::Off;
    } else if call.args.skip_word("SKIP") {
        if session.reply_mode != ReplyMode::Off {
            session.reply_mode = ReplyMode::SkipNext;
        }
    } else {
        return Err(Error::Syntax);
    }
    Ok(())
}

fn on_or_off(args: &mut Args<'_>) -> Result<bool, Error> {
    if args.skip_word("ON") {
        Ok(true)
    } else if args.skip_word("OFF") {
        Ok(false)
    } else {
        Err(Error::Syntax)
    }
}

fn no_evict(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let on = on_or_off(&mut call.args)?;
    call.session.client.no_evict.store(on, Ordering::Relaxed);
    call.out.ok();
    Ok(())
}

fn no_touch(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let on = on_or_off(&mut call.args)?;
    call.session.set_no_touch(on);
    call.out.ok();
    Ok(())
}
