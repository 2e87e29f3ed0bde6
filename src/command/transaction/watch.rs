//! WATCH and UNWATCH.

use super::BASE;
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command, Flags, KeyFlags, KeySpec, Scope};

pub const WATCH: Command = Command {
    name: "watch",
    summary: "Makes the next EXEC depend on these keys: it does nothing if one of them changes until then.",
    since: "2.2.0",
    complexity: "O(1) for every key.",
    arity: -2,
    keys: &[KeySpec::range(1, -1, 1, KeyFlags::RO)],
    args: &[Arg::key("key", 0).multiple()],
    scope: Scope::Keys,
    handler: Some(watch),
    ..BASE
};

fn watch(call: &mut Call<'_, '_>) -> Result<(), Error> {
    if call.session.transaction.is_some() {
        return Err(Error::line("ERR WATCH inside MULTI is not allowed"));
    }
    for key in call.args.rest() {
        call.session.watch(call.server, call.keys, key);
    }
    call.out.ok();
    Ok(())
}

pub const UNWATCH: Command = Command {
    name: "unwatch",
    summary: "Forgets the watched keys.",
    since: "2.2.0",
    flags: BASE.flags.difference(Flags::UNQUEUED),
    handler: Some(unwatch),
    ..BASE
};

fn unwatch(call: &mut Call<'_, '_>) -> Result<(), Error> {
    call.session.unwatch(call.server);
    call.out.ok();
    Ok(())
}
