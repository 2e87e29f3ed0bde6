//! SAVE, BGSAVE, LASTSAVE: snapshots on disk. BGREWRITEAOF: a new beginning of the log.

use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Acl, Arg, Command, Flags, Group, Scope};
use crate::state::append_only::Rewriting;
use crate::state::persistence::{Engine, Refusal};

pub const SAVE: Command = Command {
    name: "save",
    summary: "Saves a snapshot before it replies.",
    since: "1.0.0",
    group: Group::Server,
    complexity: "O(N) where N is the number of keys in all databases",
    arity: 1,
    flags: Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::NO_ASYNC_LOADING).union(Flags::NO_MULTI),
    reply: "OK",
    scope: Scope::Nothing,
    handler: Some(save),
    ..Command::NEW
};

pub const BGSAVE: Command = Command {
    name: "bgsave",
    summary: "Saves a snapshot in the background.",
    complexity: "O(1); another thread does the work.",
    arity: -1,
    flags: Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::NO_ASYNC_LOADING),
    args: &[Arg::word("schedule", "SCHEDULE").optional().since("3.2.2")],
    history: &[("3.2.2", "The option SCHEDULE.")],
    reply: "a line that says whether it has begun or will begin later",
    handler: Some(bgsave),
    ..SAVE
};

pub const BGREWRITEAOF: Command = Command {
    name: "bgrewriteaof",
    summary: "Rewrites the append-only file in the background, as short as it can be.",
    complexity: "O(1); another thread does the work.",
    arity: 1,
    flags: Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::NO_ASYNC_LOADING),
    reply: "a line that says whether it has begun or will begin later",
    handler: Some(bgrewriteaof),
    ..SAVE
};

fn bgrewriteaof(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let log = call.server.append_only.engine().ok_or(Error::line("ERR"))?;
    // A transaction holds locks that a cut would wait for.
    match log.rewrite(call.origin.is_inside()) {
        Rewriting::Started => call.out.simple("Background append only file rewriting started"),
        Rewriting::Scheduled => call.out.simple("Background append only file rewriting scheduled"),
        Rewriting::InProgress => {
            return Err(Error::line("ERR Background append only file rewriting already in progress"));
        }
        Rewriting::Failed => {
            return Err(Error::line(
                "ERR Can't execute an AOF background rewriting. Please check the server logs for more information.",
            ));
        }
    }
    Ok(())
}

pub const LASTSAVE: Command = Command {
    name: "lastsave",
    summary: "Returns when a snapshot was last saved.",
    complexity: "O(1)",
    arity: 1,
    flags: Flags::LOADING.union(Flags::STALE).union(Flags::FAST),
    acl: Acl::ADMIN.union(Acl::DANGEROUS),
    tips: &["nondeterministic_output"],
    reply: "Unix seconds",
    scope: Scope::Nothing,
    handler: Some(|call| {
        call.out.integer(call.server.persistence.last_save());
        Ok(())
    }),
    since: "1.0.0",
    group: Group::Server,
    ..Command::NEW
};

fn engine<'a>(call: &Call<'a, '_>) -> Result<&'a dyn Engine, Error> {
    call.server.persistence.engine().ok_or(Error::line("ERR"))
}

fn save(call: &mut Call<'_, '_>) -> Result<(), Error> {
    match engine(call)?.save() {
        Ok(()) => call.out.ok(),
        Err(Refusal::SaveInProgress) => {
            return Err(Error::line("ERR Background save already in progress"));
        }
        Err(Refusal::OtherSnapshot) => {
            return Err(Error::line("ERR Another child process is active (AOF?): can't SAVE right now"));
        }
        Err(Refusal::Failed) => return Err(Error::line("ERR")),
    }
    Ok(())
}

fn bgsave(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let schedule = match call.args.left() {
        0 => false,
        1 if call.args.skip_word("SCHEDULE") => true,
        _ => return Err(Error::Syntax),
    };
    let persistence = &call.server.persistence;
    if persistence.is_saving() {
        return Err(Error::line("ERR Background save already in progress"));
    }
    // A transaction holds locks that a cut would wait for: it is made right after it.
    let result = if call.origin.is_inside() {
        persistence.schedule(true);
        call.out.simple("Background saving started");
        return Ok(());
    } else {
        engine(call)?.save_in_background()
    };
    match result {
        Ok(()) => call.out.simple("Background saving started"),
        Err(Refusal::SaveInProgress) => {
            return Err(Error::line("ERR Background save already in progress"));
        }
        Err(Refusal::OtherSnapshot) if schedule => {
            persistence.schedule(true);
            call.out.simple("Background saving scheduled");
        }
        Err(Refusal::OtherSnapshot) => {
            return Err(Error::line(
                "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in \
                 order to schedule a BGSAVE whenever possible.",
            ));
        }
        Err(Refusal::Failed) => return Err(Error::line("ERR")),
    }
    Ok(())
}
