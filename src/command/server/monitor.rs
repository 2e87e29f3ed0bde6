//! MONITOR: shows the client every command as it begins.

use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Command, Flags, Group, Scope};

pub const MONITOR: Command = Command {
    name: "monitor",
    summary: "Shows the client every command as it begins.",
    group: Group::Server,
    flags: Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE),
    reply: "OK, then a line for each command until the connection ends or RESET",
    scope: Scope::Nothing,
    handler: Some(monitor),
    ..Command::NEW
};

fn monitor(call: &mut Call<'_, '_>) -> Result<(), Error> {
    // Who watches already is not answered, as in Redis.
    if !call.session.is_monitor {
        call.session.set_monitor(true);
        call.server.monitors.add(&call.session.client);
        call.out.ok();
    }
    Ok(())
}
