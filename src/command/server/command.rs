//! The COMMAND family: the command table as clients see it.

use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::keyspec;
use crate::command::spec::{Acl, Arg, Command, Flags, Group, KeyFlags, Scope};
use crate::command::table::{Entry, table};
use crate::command::{describe, help};
use crate::types::glob;

/// What all records of the family have in common.
const BASE: Command = Command {
    since: "2.8.13",
    group: Group::Server,
    flags: Flags::LOADING.union(Flags::STALE),
    acl: Acl::CONNECTION,
    scope: Scope::Nothing,
    ..Command::NEW
};

const ANY_ORDER: &[&str] = &["nondeterministic_output_order"];

const NAMES: &[Arg] = &[Arg::string("command-name").optional().multiple()];

const FULL_COMMAND: &[Arg] = &[Arg::string("command"), Arg::string("arg").optional().multiple()];

pub const COMMAND: Command = Command {
    name: "command",
    summary: "Describes every command of this server.",
    complexity: "O(N) where N is the total number of commands",
    arity: -1,
    tips: ANY_ORDER,
    reply: "array of command descriptions",
    handler: Some(info),
    help: HELP,
    subcommands: &[
        Command {
            name: "count",
            summary: "Counts the commands of this server.",
            arity: 2,
            reply: "integer",
            handler: Some(count),
            ..BASE
        },
        Command {
            name: "docs",
            summary: "Documents commands: purpose, complexity, history, arguments.",
            since: "7.0.0",
            complexity: "O(N) where N is the number of commands to look up",
            arity: -2,
            tips: ANY_ORDER,
            args: NAMES,
            reply: "map of name to documentation",
            handler: Some(docs),
            ..BASE
        },
        Command {
            name: "getkeys",
            summary: "Finds the keys in a command with its arguments.",
            complexity: "O(N) where N is the number of arguments to the command",
            arity: -3,
            args: FULL_COMMAND,
            reply: "array of keys",
            handler: Some(get_keys),
            ..BASE
        },
        Command {
            name: "getkeysandflags",
            summary: "Finds the keys in a command with its arguments, and what it does with each.",
            since: "7.0.0",
            complexity: "O(N) where N is the number of arguments to the command",
            arity: -3,
            args: FULL_COMMAND,
            reply: "array of pairs of key and flags",
            handler: Some(get_keys_and_flags),
            ..BASE
        },
        Command { acl: Acl::CONNECTION, ..help::record(Group::Server, "5.0.0") },
        Command {
            name: "info",
            summary: "Describes commands: arity, flags, key positions, ACL categories.",
            complexity: "O(N) where N is the number of commands to look up",
            arity: -2,
            tips: ANY_ORDER,
            args: NAMES,
            history: &[("7.0.0", "Without names, describes all commands.")],
            reply: "array of command descriptions, null for unknown names",
            handler: Some(info),
            ..BASE
        },
        Command {
            name: "list",
            summary: "Lists the names of commands and subcommands.",
            since: "7.0.0",
            complexity: "O(N) where N is the total number of commands",
            arity: -2,
            tips: ANY_ORDER,
            args: &[Arg::one_of(
                "filterby",
                &[
                    Arg::string("module-name").token("MODULE"),
                    Arg::string("category").token("ACLCAT"),
                    Arg::pattern("pattern").token("PATTERN"),
                ],
            )
            .token("FILTERBY")
            .optional()],
            reply: "array of names",
            handler: Some(list),
            ..BASE
        },
    ],
    ..BASE
};

fn count(call: &mut Call<'_, '_>) -> Result<(), Error> {
    call.out.integer(table().commands.len() as i64);
    Ok(())
}

/// COMMAND and COMMAND INFO: every command, or one entry for each name asked for.
fn info(call: &mut Call<'_, '_>) -> Result<(), Error> {
    if call.args.is_done() {
        call.out.array(table().commands.len());
        table().commands.iter().for_each(|entry| describe::info(call.out, entry));
        return Ok(());
    }
    call.out.array(call.args.left());
    for name in call.args.rest() {
        match table().find_full(name) {
            Some(entry) => describe::info(call.out, entry),
            None => call.out.null(),
        }
    }
    Ok(())
}

fn docs(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let wanted: Vec<&Entry> = if call.args.is_done() {
        table().commands.clone()
    } else {
        call.args.rest().filter_map(|name| table().find_full(name)).collect()
    };
    call.out.map(wanted.len());
    for entry in wanted {
        call.out.text(&entry.full_name);
        describe::docs(call.out, entry);
    }
    Ok(())
}

/// Which commands COMMAND LIST names.
enum Filter<'a> {
    All,
    /// Commands of a module: there are no modules.
    None,
    Category(Acl),
    Pattern(&'a [u8]),
}

impl Filter<'_> {
    fn accepts(&self, entry: &Entry) -> bool {
        match self {
            Filter::All => true,
            Filter::None => false,
            Filter::Category(category) => entry.spec.acl_categories().contains(*category),
            Filter::Pattern(pattern) => glob::matches(pattern, entry.full_name.as_bytes(), true),
        }
    }
}

fn list(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let filter = list_filter(call)?;
    let names: Vec<&str> = table()
        .all
        .iter()
        .filter(|entry| filter.accepts(entry))
        .map(|entry| entry.full_name.as_str())
        .collect();
    call.out.array(names.len());
    names.iter().for_each(|name| call.out.text(name));
    Ok(())
}

fn list_filter<'a>(call: &mut Call<'a, '_>) -> Result<Filter<'a>, Error> {
    let args = &mut call.args;
    if args.is_done() {
        return Ok(Filter::All);
    }
    if !args.skip_word("FILTERBY") {
        return Err(Error::Syntax);
    }
    let filter = if args.skip_word("MODULE") {
        args.take()?;
        Filter::None
    } else if args.skip_word("ACLCAT") {
        Acl::by_name(args.take()?).map_or(Filter::None, Filter::Category)
    } else if args.skip_word("PATTERN") {
        Filter::Pattern(args.take()?)
    } else {
        return Err(Error::Syntax);
    };
    args.finish()?;
    Ok(filter)
}

fn get_keys(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let keys = inner_keys(call)?;
    call.out.array(keys.len());
    for (key, _) in keys {
        call.out.bulk(key);
    }
    Ok(())
}

fn get_keys_and_flags(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let keys = inner_keys(call)?;
    call.out.array(keys.len());
    for (key, flags) in keys {
        call.out.array(2);
        call.out.bulk(key);
        describe::key_flags(call.out, flags);
    }
    Ok(())
}

/// The keys of the command that stands in the arguments.
fn inner_keys<'a>(call: &Call<'a, '_>) -> Result<Vec<(&'a [u8], KeyFlags)>, Error> {
    let request = call.args.request().tail(call.args.position());
    let entry = table().find(request.get(0)).and_then(|entry| {
        let has_sub = request.len() > 1 && !entry.subcommands.is_empty();
        if has_sub { entry.find_sub(request.get(1)) } else { Some(entry) }
    });
    let spec = entry.ok_or(Error::line("ERR Invalid command specified"))?.spec;
    if !keyspec::has_keys(spec) {
        return Err(Error::line("ERR The command has no key arguments"));
    }
    if !spec.accepts(request.len()) {
        return Err(Error::line("ERR Invalid number of arguments specified for command"));
    }
    let found = keyspec::keys(spec, request)?;
    Ok(found.into_iter().map(|key| (request.get(key.position), key.flags)).collect())
}

/// HELP.
const HELP: &[&str] = &[
    "(no subcommand)",
    "    Describe all commands.",
    "COUNT",
    "    Return the number of commands.",
    "LIST [FILTERBY (MODULE <module-name>|ACLCAT <category>|PATTERN <pattern>)]",
    "    List the names of commands, all or those that pass a filter.",
    "INFO [<command-name> ...]",
    "    Describe the named commands, or all.",
    "DOCS [<command-name> ...]",
    "    Document the named commands, or all.",
    "GETKEYS <full-command>",
    "    List the keys in a full command.",
    "GETKEYSANDFLAGS <full-command>",
    "    List the keys in a full command with the flags of their use.",
];
