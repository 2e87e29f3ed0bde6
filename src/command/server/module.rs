//! MODULE: which modules are loaded. There are none, and none can be loaded.

use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::help;
use crate::command::spec::{Command, Flags, Group, Scope};

pub const MODULE: Command = Command {
    name: "module",
    summary: "Contains the commands on modules.",
    since: "4.0.0",
    group: Group::Server,
    complexity: "Depends on the subcommand.",
    arity: -2,
    help: HELP,
    subcommands: &[
        help::record(Group::Server, "5.0.0"),
        Command {
            name: "list",
            summary: "Returns the loaded modules.",
            since: "4.0.0",
            group: Group::Server,
            complexity: "O(N) where N is the number of loaded modules",
            arity: 2,
            flags: Flags::ADMIN.union(Flags::NOSCRIPT),
            tips: &["nondeterministic_output_order"],
            reply: "array of modules",
            scope: Scope::Nothing,
            handler: Some(list),
            ..Command::NEW
        },
    ],
    ..Command::NEW
};

fn list(call: &mut Call<'_, '_>) -> Result<(), Error> {
    call.out.array(0);
    Ok(())
}

/// HELP.
const HELP: &[&str] = &["LIST", "    The loaded modules."];
