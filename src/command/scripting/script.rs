//! SCRIPT: the scripts that the server knows.

use super::MANAGES;
use super::worker::Worker;
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::help;
use crate::command::spec::{Arg, Command, Flags, Group};
use crate::script::Purpose;
use crate::script::store::parse_digest;
use crate::state::Server;
use crate::state::scripting::Killing;

/// How FLUSH is to free memory. Here it makes no difference: each worker closes its interpreter when it next runs
/// a script.
pub const FLUSH_MODE: Arg =
    Arg::one_of("flush-type", &[Arg::word("async", "ASYNC"), Arg::word("sync", "SYNC")]).optional();

pub const SCRIPT: Command = Command {
    name: "script",
    summary: "Contains the commands on scripts.",
    since: "2.6.0",
    group: Group::Scripting,
    complexity: "Depends on the subcommand.",
    arity: -2,
    help: HELP,
    subcommands: &[
        Command {
            name: "debug",
            summary: "Ends the debugging of scripts, which this server does not offer.",
            since: "3.2.0",
            arity: 3,
            args: &[Arg::one_of(
                "mode",
                &[Arg::word("yes", "YES"), Arg::word("sync", "SYNC"), Arg::word("no", "NO")],
            )],
            handler: Some(debug),
            ..MANAGES
        },
        Command {
            name: "exists",
            summary: "Tells which scripts are known.",
            since: "2.6.0",
            complexity: "O(N) where N is the number of scripts asked for",
            arity: -3,
            tips: &["request_policy:all_shards", "response_policy:agg_logical_and"],
            args: &[Arg::string("sha1").multiple()],
            reply: "array of 1 and 0",
            handler: Some(exists),
            ..MANAGES
        },
        Command {
            name: "flush",
            summary: "Forgets all scripts.",
            since: "2.6.0",
            complexity: "O(N) where N is the number of scripts",
            arity: -2,
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            args: &[FLUSH_MODE.since("6.2.0")],
            history: &[("6.2.0", "Added the `ASYNC` and `SYNC` flushing mode modifiers.")],
            handler: Some(flush),
            ..MANAGES
        },
        help::record(Group::Scripting, "5.0.0"),
        Command {
            name: "kill",
            summary: "Ends scripts that keep others waiting.",
            since: "2.6.0",
            arity: 2,
            flags: Flags::NOSCRIPT.union(Flags::ALLOW_BUSY),
            tips: &["request_policy:all_shards", "response_policy:one_succeeded"],
            handler: Some(|call| {
                kill(call.server, Purpose::Eval)?;
                call.out.ok();
                Ok(())
            }),
            ..MANAGES
        },
        Command {
            name: "load",
            summary: "Lets the server know a script.",
            since: "2.6.0",
            complexity: "O(N) where N is the length of the script",
            arity: 3,
            flags: Flags::NOSCRIPT.union(Flags::STALE),
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            args: &[Arg::string("script")],
            reply: "the script's SHA1",
            handler: Some(load),
            ..MANAGES
        },
    ],
    ..Command::NEW
};

fn load(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let body = call.args.take()?;
    let compiled = Worker::with(|worker| worker.add_script(call.server, body, true))?;
    call.out.text(&compiled.script.name);
    Ok(())
}

fn exists(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let scripts = &call.server.scripting.scripts;
    call.out.array(call.args.left());
    for sha1 in call.args.rest() {
        let is_known = parse_digest(sha1).is_some_and(|digest| scripts.find(&digest).is_some());
        call.out.integer(is_known.into());
    }
    Ok(())
}

/// Takes the argument of FLUSH, if there is one.
pub fn flush_mode(call: &mut Call<'_, '_>, message: &'static str) -> Result<(), Error> {
    let is_known = call.args.is_done() || call.args.skip_word("sync") || call.args.skip_word("async");
    if is_known && call.args.is_done() { Ok(()) } else { Err(Error::line(message)) }
}

fn flush(call: &mut Call<'_, '_>) -> Result<(), Error> {
    flush_mode(call, "ERR SCRIPT FLUSH only support SYNC|ASYNC option")?;
    call.server.scripting.scripts.flush();
    call.out.ok();
    Ok(())
}

fn debug(call: &mut Call<'_, '_>) -> Result<(), Error> {
    if call.args.skip_word("no") {
        call.out.ok();
        return Ok(());
    }
    if call.args.skip_word("yes") || call.args.skip_word("sync") {
        return Err(Error::line("ERR Scripts cannot be debugged on this server"));
    }
    Err(Error::line("ERR Use SCRIPT DEBUG YES/SYNC/NO"))
}

/// SCRIPT KILL and FUNCTION KILL.
pub fn kill(server: &Server, purpose: Purpose) -> Result<(), Error> {
    match server.scripting.kill(purpose) {
        Killing::Done => Ok(()),
        Killing::NotBusy => Err(Error::line("NOTBUSY No scripts in execution right now.")),
        Killing::HasWritten => Err(Error::line(
            "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait \
             the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.",
        )),
        Killing::Other(Purpose::Eval) => Err(Error::BusyScript),
        Killing::Other(Purpose::Functions) => Err(Error::BusyFunction),
    }
}

/// HELP.
const HELP: &[&str] = &[
    "DEBUG NO",
    "    Scripts are not debugged.",
    "EXISTS <sha1> [<sha1> ...]",
    "    Which of these scripts are known.",
    "FLUSH [ASYNC|SYNC]",
    "    Forget all scripts.",
    "KILL",
    "    End the scripts that keep others waiting.",
    "LOAD <script>",
    "    Know a script without running it.",
];
