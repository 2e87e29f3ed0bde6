//! What EVAL and FCALL have in common: the locks of a script, its flags, one run of it.
//!
//! A script whose text shows that it touches no other keys runs with those locked that it declares, beside
//! others. Any other script begins in the same way, but as soon as it asks for a key that is not locked, or is about
//! to write, its run is given up, with nothing changed, and started again in a view that may grow; it is remembered
//! of the script, which begins there from then on. So a script never has to be undone.

use super::caller::ScriptCaller;
use super::worker::Worker;
use crate::command::call::{Call, Origin};
use crate::command::errors::Error;
use crate::command::inside;
use crate::command::spec::{Begin, Find, KeyFlags, Scope};
use crate::command::table::{Entry, table};
use crate::keyspace::{Footprint, Keyspace};
use crate::memory;
use crate::resp::scan::Request;
use crate::script::flags::FunctionFlags;
use crate::script::proof::KeyRange;
use crate::script::store::Script;
use crate::script::{Arguments, End, Purpose};
use crate::state::Server;
use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// What to run.
pub struct Errand<'a> {
    pub purpose: Purpose,
    /// As errors name it.
    pub name: &'a str,
    /// Its number in this worker's interpreter.
    pub function: c_int,
    pub keys: Request<'a>,
    pub args: Request<'a>,
    /// What it says of itself, if it says anything.
    pub flags: Option<FunctionFlags>,
    /// The command that runs it allows no writes.
    pub read_only: bool,
    pub keeps_to_declared: bool,
    /// Set when it was found out that it needs a view that may grow.
    pub wanders: &'a AtomicBool,
}

/// Runs a script or function for a command, and writes its result.
pub fn run(call: &mut Call<'_, '_>, worker: &mut Worker, errand: &Errand<'_>) -> Result<(), Error> {
    let is_out_of_memory = is_out_of_memory(call.server);
    check_flags(errand, is_out_of_memory)?;
    if call.meter.monitored {
        // Before what it calls: the record says that the dispatcher does not show it.
        let by_script = call.origin == Origin::Script;
        let args = call.entry.loggable(call.args.request());
        call.server.monitors.show(&call.session.client, by_script, call.session.db, args);
    }
    let (db, mode, before) = (call.session.db, inside::mode(call.entry), call.out.len());
    let began = call.meter.begin_inside();
    let end = loop {
        // Whoever watches shall not see what is then done again.
        let is_wandering =
            !errand.keeps_to_declared && (errand.wanders.load(Ordering::Relaxed) || call.meter.monitored);
        if is_wandering && call.origin == Origin::Client && !call.keys.may_grow() {
            call.keys.start_again(&declared(&call.server.keyspace, db, errand, mode), mode);
        }
        call.stop_time();
        let Call { args, keys, out, session, server, entry, origin, meter } = call;
        // What is not shown to keep to its keys writes only where it could lock others.
        let may_start_again = *origin == Origin::Client && !errand.keeps_to_declared && !keys.may_grow();
        let now = Instant::now();
        let mut caller = ScriptCaller {
            keys,
            session,
            server,
            entry,
            meter,
            request: args.request(),
            errand,
            is_read_only: errand.read_only || has(errand, FunctionFlags::NO_WRITES),
            is_out_of_memory: is_out_of_memory && !has(errand, FunctionFlags::ALLOW_OOM),
            may_start_again,
            has_written: false,
            slow: None,
            started: now,
            attended: now,
        };
        let arguments =
            Arguments { name: errand.name, function: errand.function, keys: errand.keys, args: errand.args };
        let interpreter = worker.interpreter(errand.purpose);
        let end = interpreter.run(&arguments, &mut caller, out);
        let used_bytes = interpreter.used_bytes();
        caller.end();
        call.server.scripting.note_bytes(call.meter.worker(), errand.purpose, used_bytes);
        call.session.db = db;
        call.keys.turn_to(db);
        if !matches!(end, End::Abandoned) {
            break end;
        }
        call.out.truncate(before);
        errand.wanders.store(true, Ordering::Relaxed);
    };
    call.meter.end_inside(began);
    match end {
        End::Failed(failure) if failure.is_counted => Err(Error::Counted(failure.line)),
        End::Failed(failure) => Err(Error::Echo(failure.line)),
        End::Done | End::Abandoned => Ok(()),
    }
}

fn has(errand: &Errand<'_>, flag: FunctionFlags) -> bool {
    errand.flags.is_some_and(|flags| flags.contains(flag))
}

fn is_out_of_memory(server: &Server) -> bool {
    let limit = server.config.maxmemory();
    limit != 0 && memory::used_bytes() as u64 > limit
}

/// Whether what the script says of itself allows that it is run so and now. One that says nothing is looked at
/// command by command.
fn check_flags(errand: &Errand<'_>, is_out_of_memory: bool) -> Result<(), Error> {
    let Some(flags) = errand.flags else { return Ok(()) };
    if flags.contains(FunctionFlags::NO_WRITES) {
        return Ok(());
    }
    if errand.read_only {
        return Err(Error::line("ERR Can not execute a script with write flag using *_ro command."));
    }
    if is_out_of_memory && !flags.contains(FunctionFlags::ALLOW_OOM) {
        return Err(Error::line(
            "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'",
        ));
    }
    Ok(())
}

/// The keys that are declared.
fn declared(
    keyspace: &Keyspace,
    db: usize,
    errand: &Errand<'_>,
    mode: crate::keyspace::view::Mode,
) -> Footprint {
    let mut footprint = Footprint::default();
    for key in errand.keys.iter() {
        footprint.add_key(db, keyspace.hash(key), mode);
    }
    footprint
}

/// Whether a command's script is one that this worker has, and is so.
fn is_script(entry: &Entry, request: Request<'_>, is_so: impl Fn(&Script) -> bool) -> bool {
    if request.len() < 2 {
        return false;
    }
    let first = request.get(1);
    Worker::with(|worker| {
        let script = match entry.spec.name {
            "eval" | "eval_ro" => worker.compiled_text(first),
            "evalsha" | "evalsha_ro" => worker.compiled(first),
            _ => None,
        };
        script.is_some_and(is_so)
    })
}

/// Whether what a command runs is known to need a view that may grow.
pub fn may_wander(server: &Server, entry: &Entry, request: Request<'_>) -> bool {
    if matches!(entry.spec.name, "fcall" | "fcall_ro") {
        let libraries = server.scripting.functions.current();
        let function = (request.len() > 1).then(|| libraries.function(request.get(1))).flatten();
        return function.is_some_and(|(library, _)| library.wanders.load(Ordering::Relaxed));
    }
    is_script(entry, request, |script| !script.keeps_to_declared && script.wanders.load(Ordering::Relaxed))
}

/// Whether a command's script is known to touch no keys but those that it declares.
pub fn declares_all(entry: &Entry, request: Request<'_>) -> bool {
    is_script(entry, request, |script| script.keeps_to_declared)
}

/// Where the keys of a command are: see [`crate::script::proof::FindPlaces`].
pub fn key_places(name: &[u8], first: Option<&[u8]>) -> Option<Vec<KeyRange>> {
    let mut entry = table().find(name)?;
    if !entry.subcommands.is_empty() {
        entry = entry.find_sub(first?)?;
    }
    let spec = entry.spec;
    match spec.scope {
        Scope::Nothing => return Some(Vec::new()),
        Scope::Keys if spec.find_keys.is_none() => {}
        _ => return None,
    }
    let range = |key: &crate::command::spec::KeySpec| {
        let Begin::Index(first) = key.begin else { return None };
        let Find::Range { last, step, limit: 0 | 1 } = key.find else { return None };
        let is_whole =
            !key.flags.intersects(KeyFlags::INCOMPLETE | KeyFlags::VARIABLE_FLAGS | KeyFlags::NOT_KEY);
        let last = if last < 0 { last as i64 } else { (first + last) as i64 };
        let first = usize::try_from(first).ok()?;
        is_whole.then_some(KeyRange { first, last, step: step.max(1) as usize })
    };
    spec.keys.iter().map(range).collect()
}
