//! CONFIG: reading and changing directives while the server runs.

use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::help;
use crate::command::spec::{Arg, Command, Flags, Group, Scope};
use crate::config::{Caller, flag, lookup};
use crate::memory::{self, lazyfree};
use crate::observe::process;
use crate::resp::scan::Request;
use crate::state::Server;
use std::io;

/// What all subcommands have in common.
const BASE: Command = Command {
    since: "2.0.0",
    group: Group::Server,
    arity: 2,
    flags: Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE),
    reply: "OK",
    scope: Scope::Nothing,
    ..Command::NEW
};

/// A cluster's client has to repeat these everywhere.
const ON_ALL_NODES: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

pub const CONFIG: Command = Command {
    name: "config",
    summary: "Contains the commands on the server's configuration.",
    since: "2.0.0",
    group: Group::Server,
    complexity: "Depends on the subcommand.",
    arity: -2,
    help: HELP,
    subcommands: &[
        Command {
            name: "get",
            summary: "Returns the values of directives.",
            complexity: "O(N) where N is the number of directives",
            arity: -3,
            args: &[Arg::string("parameter").multiple()],
            history: &[("7.0.0", "Takes several patterns.")],
            reply: "map of directive and value",
            handler: Some(get),
            ..BASE
        },
        help::record(Group::Server, "5.0.0"),
        Command {
            name: "resetstat",
            summary: "Starts all statistics again.",
            tips: ON_ALL_NODES,
            handler: Some(reset_statistics),
            ..BASE
        },
        Command {
            name: "rewrite",
            summary: "Brings the configuration file up to date with the values in force.",
            since: "2.8.0",
            tips: ON_ALL_NODES,
            handler: Some(rewrite),
            ..BASE
        },
        Command {
            name: "set",
            summary: "Changes directives, all of those named or none.",
            complexity: "O(N) where N is the number of directives to set",
            arity: -4,
            tips: ON_ALL_NODES,
            args: &[Arg::block("data", &[Arg::string("parameter"), Arg::string("value")]).multiple()],
            history: &[("7.0.0", "Takes several directives.")],
            is_secret: Some(is_secret),
            handler: Some(set),
            ..BASE
        },
    ],
    ..Command::NEW
};

fn get(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let patterns: Vec<&[u8]> = call.args.rest().collect();
    let found = call.server.config.get(&patterns);
    call.out.map(found.len());
    for (name, value) in found {
        call.out.bulk(&name);
        call.out.bulk(&value);
    }
    Ok(())
}

/// The value of a directive that holds a password.
fn is_secret(request: Request<'_>, index: usize) -> bool {
    let is_value = index >= 3 && index % 2 == 1;
    is_value && lookup(request.get(index - 1)).is_some_and(|(id, _)| id.directive().has(flag::SENSITIVE))
}

fn set(call: &mut Call<'_, '_>) -> Result<(), Error> {
    if !call.args.left().is_multiple_of(2) {
        return Err(Error::Syntax);
    }
    let mut pairs = Vec::with_capacity(call.args.left() / 2);
    while !call.args.is_done() {
        pairs.push((call.args.take()?, call.args.take()?));
    }
    let server = call.server;
    let caller =
        Caller { is_local: call.session.client.is_local(), is_loading: call.server.persistence.is_loading() };
    let changes = server.config.set_many(&pairs, caller, &mut |change| server.apply_change(change));
    changes.map_err(|error| Error::Other(error.to_string().into()))?;
    call.out.ok();
    Ok(())
}

fn reset_statistics(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let server = call.server;
    server.counters.reset();
    server.clients.reset_counts();
    server.scripting.scripts.reset_evicted();
    memory::publish();
    memory::reset_peak();
    lazyfree::reset_freed();
    server.persistence.reset_saves();
    call.out.ok();
    Ok(())
}

fn rewrite(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let written = rewrite_file(call.server, false)?;
    if let Err(error) = written {
        let reason = process::error_text(&error);
        tracing::warn!("CONFIG REWRITE failed: {reason}");
        return Err(Error::err(format_args!("Rewriting config file: {reason}")));
    }
    tracing::info!("CONFIG REWRITE executed with success.");
    call.out.ok();
    Ok(())
}

/// Rewrites the configuration file; `all` gives every directive a line.
pub fn rewrite_file(server: &Server, all: bool) -> Result<io::Result<()>, Error> {
    let file =
        server.config_file.as_ref().ok_or(Error::line("ERR The server is running without a config file"))?;
    Ok(server.config.rewrite(file, all))
}

const HELP: &[&str] = &[
    "GET <pattern> [<pattern> ...]",
    "    The directives whose names match a glob-like <pattern>, and their values.",
    "SET <directive> <value> [<directive> <value> ...]",
    "    Give each <directive> its <value>; if one cannot be had, none.",
    "RESETSTAT",
    "    Start the statistics of INFO again.",
    "REWRITE",
    "    Bring the configuration file up to date.",
];
