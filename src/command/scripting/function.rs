//! FUNCTION: the libraries of functions.

use super::MANAGES;
use super::script::{FLUSH_MODE, flush_mode, kill};
use super::transfer::{dump, restore};
use super::worker::Worker;
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::help;
use crate::command::spec::{Arg, Command, Flags, Group};
use crate::script::Purpose;
use crate::script::library::{ENGINE, Libraries, Library};
use crate::types::glob;
use std::sync::Arc;

/// The flags of those that change the set of libraries.
const CHANGES: Flags = Flags::NOSCRIPT.union(Flags::WRITE);

const TO_ALL: &[&str] = &["request_policy:all_shards", "response_policy:all_succeeded"];

pub const FUNCTION: Command = Command {
    name: "function",
    summary: "Contains the commands on functions.",
    since: "7.0.0",
    group: Group::Scripting,
    complexity: "Depends on the subcommand.",
    arity: -2,
    help: HELP,
    subcommands: &[
        Command {
            name: "delete",
            summary: "Deletes a library.",
            since: "7.0.0",
            arity: 3,
            flags: CHANGES,
            tips: TO_ALL,
            args: &[Arg::string("library-name")],
            handler: Some(delete),
            ..MANAGES
        },
        Command {
            name: "dump",
            summary: "Returns all libraries in serialised form.",
            since: "7.0.0",
            complexity: "O(N) where N is the number of functions",
            arity: 2,
            reply: "the serialised libraries",
            handler: Some(dump),
            ..MANAGES
        },
        Command {
            name: "flush",
            summary: "Deletes all libraries.",
            since: "7.0.0",
            complexity: "O(N) where N is the number of functions deleted",
            arity: -2,
            flags: CHANGES,
            tips: TO_ALL,
            args: &[FLUSH_MODE],
            handler: Some(flush),
            ..MANAGES
        },
        help::record(Group::Scripting, "7.0.0"),
        Command {
            name: "kill",
            summary: "Ends functions that keep others waiting.",
            since: "7.0.0",
            arity: 2,
            flags: Flags::NOSCRIPT.union(Flags::ALLOW_BUSY),
            tips: &["request_policy:all_shards", "response_policy:one_succeeded"],
            handler: Some(|call| {
                kill(call.server, Purpose::Functions)?;
                call.out.ok();
                Ok(())
            }),
            ..MANAGES
        },
        Command {
            name: "list",
            summary: "Returns the libraries and their functions.",
            since: "7.0.0",
            complexity: "O(N) where N is the number of functions",
            arity: -2,
            tips: &["nondeterministic_output_order"],
            args: &[
                Arg::string("library-name-pattern").token("LIBRARYNAME").optional(),
                Arg::word("withcode", "WITHCODE").optional(),
            ],
            reply: "array of maps",
            handler: Some(list),
            ..MANAGES
        },
        Command {
            name: "load",
            summary: "Loads a library.",
            since: "7.0.0",
            complexity: "O(1) (considering compilation time is redundant)",
            arity: -3,
            flags: CHANGES.union(Flags::DENYOOM),
            tips: TO_ALL,
            args: &[Arg::word("replace", "REPLACE").optional(), Arg::string("function-code")],
            reply: "the library's name",
            handler: Some(load),
            ..MANAGES
        },
        Command {
            name: "restore",
            summary: "Loads serialised libraries.",
            since: "7.0.0",
            complexity: "O(N) where N is the number of functions on the payload",
            arity: -3,
            flags: CHANGES.union(Flags::DENYOOM),
            tips: TO_ALL,
            args: &[
                Arg::string("serialized-value"),
                Arg::one_of(
                    "policy",
                    &[
                        Arg::word("flush", "FLUSH"),
                        Arg::word("append", "APPEND"),
                        Arg::word("replace", "REPLACE"),
                    ],
                )
                .optional(),
            ],
            handler: Some(restore),
            ..MANAGES
        },
        Command {
            name: "stats",
            summary: "Returns which function keeps others waiting, and what each engine has.",
            since: "7.0.0",
            arity: 2,
            flags: Flags::NOSCRIPT.union(Flags::ALLOW_BUSY),
            tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
            reply: "map",
            handler: Some(stats),
            ..MANAGES
        },
    ],
    ..Command::NEW
};

fn load(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let mut replace = false;
    while call.args.left() > 1 {
        if !call.args.skip_word("replace") {
            return Err(Error::echoing("Unknown option given: ", call.args.take()?, ""));
        }
        replace = true;
    }
    if call.args.is_done() {
        return Err(Error::line("ERR Function code is missing"));
    }
    let text = call.args.take()?;
    let mut library = Library::parse(text).map_err(refused)?;
    let functions = &call.server.scripting.functions;
    if functions.current().get(&library.name).is_some() && !replace {
        return Err(Error::echoing("Library '", &library.name, "' already exists"));
    }
    Worker::with(|worker| {
        worker.refresh_functions(call.server);
        worker.load_new(&mut library)?;
        let (id, name) = (library.id, library.name.clone());
        let library = Arc::new(library);
        let added = functions.change(|libraries| libraries.add(library, replace));
        if added.is_err() {
            worker.give_up_library(id);
        }
        added.map_err(refused)?;
        call.keys.changed(1);
        call.out.bulk(&name);
        Ok(())
    })
}

fn refused(message: Vec<u8>) -> Error {
    Error::Echo([b"ERR ", message.as_slice()].concat())
}

fn delete(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let name = call.args.take()?;
    let missing = Error::line("ERR Library not found");
    let functions = &call.server.scripting.functions;
    functions.change(|libraries| if libraries.remove(name) { Ok(()) } else { Err(missing) })?;
    call.keys.changed(1);
    call.out.ok();
    Ok(())
}

fn flush(call: &mut Call<'_, '_>) -> Result<(), Error> {
    if call.args.left() > 1 {
        return Err(help::syntax_error(call));
    }
    flush_mode(call, "ERR FUNCTION FLUSH only supports SYNC|ASYNC option")?;
    call.server.scripting.functions.change(|libraries| {
        *libraries = Libraries::default();
        Ok::<(), Error>(())
    })?;
    call.keys.changed(1);
    call.out.ok();
    Ok(())
}

fn list(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let (mut pattern, mut with_code) = (None, false);
    while let Some(word) = call.args.peek() {
        if !with_code && call.args.skip_word("withcode") {
            with_code = true;
        } else if pattern.is_none() && call.args.skip_word("libraryname") {
            if call.args.is_done() {
                return Err(Error::line("ERR library name argument was not given"));
            }
            pattern = Some(call.args.take()?);
        } else {
            return Err(Error::echoing("Unknown argument ", word, ""));
        }
    }
    let libraries = call.server.scripting.functions.current();
    let wanted =
        |library: &&Arc<Library>| pattern.is_none_or(|pattern| glob::matches(pattern, &library.name, true));
    let found: Vec<&Arc<Library>> = libraries.iter().filter(wanted).collect();
    let out = &mut *call.out;
    out.array(found.len());
    for library in found {
        out.map(3 + with_code as usize);
        out.text("library_name");
        out.bulk(&library.name);
        out.text("engine");
        out.text(ENGINE);
        out.text("functions");
        out.array(library.functions.len());
        for function in &library.functions {
            out.map(3);
            out.text("name");
            out.bulk(&function.name);
            out.text("description");
            match &function.description {
                Some(description) => out.bulk(description),
                None => out.null(),
            }
            out.text("flags");
            out.set(function.flags.names().count());
            function.flags.names().for_each(|name| out.simple(name));
        }
        if with_code {
            out.text("library_code");
            out.bulk(&library.text);
        }
    }
    Ok(())
}

fn stats(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let slowest = call.server.scripting.slowest();
    if slowest.as_ref().is_some_and(|run| run.purpose == Purpose::Eval) {
        return Err(Error::BusyScript);
    }
    let out = &mut *call.out;
    out.map(2);
    out.text("running_script");
    match slowest {
        None => out.null(),
        Some(run) => {
            out.map(3);
            out.text("name");
            out.text(&run.name);
            out.text("command");
            out.array(run.command.len());
            run.command.iter().for_each(|arg| out.bulk(arg));
            out.text("duration_ms");
            out.integer(run.started.elapsed().as_millis() as i64);
        }
    }
    let libraries = call.server.scripting.functions.current();
    out.text("engines");
    out.map(1);
    out.text(ENGINE);
    out.map(2);
    out.text("libraries_count");
    out.integer(libraries.len() as i64);
    out.text("functions_count");
    out.integer(libraries.functions() as i64);
    Ok(())
}

/// HELP.
const HELP: &[&str] = &[
    "DELETE <library name>",
    "    Delete a library.",
    "DUMP",
    "    All libraries in serialised form.",
    "FLUSH [ASYNC|SYNC]",
    "    Delete all libraries.",
    "KILL",
    "    End the functions that keep others waiting.",
    "LIST [LIBRARYNAME <pattern>] [WITHCODE]",
    "    The libraries with their functions, and with their code if wanted.",
    "LOAD [REPLACE] <code>",
    "    Load a library, or put it in the place of one of the same name.",
    "RESTORE <serialised libraries> [FLUSH|APPEND|REPLACE]",
    "    Load serialised libraries, beside or in the place of those there are.",
    "STATS",
    "    Which function keeps others waiting, and what each engine has.",
];
