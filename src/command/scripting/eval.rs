//! EVAL, EVALSHA and their read-only forms.

use super::run::{Errand, run};
use super::worker::Worker;
use super::{ARG, KEY, NUMKEYS, READ_KEYS, READ_KEYS_OF_SHA, READS, RUNS, WRITTEN_KEYS_OF_SHA};
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command};
use crate::resp::scan::Request;
use crate::script::Purpose;
use crate::script::store::SHA1_DIGITS;
use crate::types::number;

const SCRIPT_ARGS: &[Arg] = &[Arg::string("script"), NUMKEYS, KEY, ARG];
const SHA_ARGS: &[Arg] = &[Arg::string("sha1"), NUMKEYS, KEY, ARG];

pub const EVAL: Command = Command {
    name: "eval",
    summary: "Runs a Lua script.",
    since: "2.6.0",
    args: SCRIPT_ARGS,
    handler: Some(|call| eval(call, By::Text, false)),
    ..RUNS
};

pub const EVAL_RO: Command = Command {
    name: "eval_ro",
    summary: "Runs a Lua script that only reads.",
    since: "7.0.0",
    flags: READS,
    keys: READ_KEYS,
    args: SCRIPT_ARGS,
    handler: Some(|call| eval(call, By::Text, true)),
    ..RUNS
};

pub const EVALSHA: Command = Command {
    name: "evalsha",
    summary: "Runs a Lua script that is known by its SHA1.",
    since: "2.6.0",
    keys: WRITTEN_KEYS_OF_SHA,
    args: SHA_ARGS,
    handler: Some(|call| eval(call, By::Sha1, false)),
    ..RUNS
};

pub const EVALSHA_RO: Command = Command {
    name: "evalsha_ro",
    summary: "Runs a Lua script that is known by its SHA1 and only reads.",
    since: "7.0.0",
    flags: READS,
    keys: READ_KEYS_OF_SHA,
    args: SHA_ARGS,
    handler: Some(|call| eval(call, By::Sha1, true)),
    ..RUNS
};

/// What the first argument is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Text,
    Sha1,
}

fn eval(call: &mut Call<'_, '_>, by: By, read_only: bool) -> Result<(), Error> {
    let request = call.args.request();
    if by == By::Sha1 && request.get(1).len() != SHA1_DIGITS {
        return Err(Error::NoScript);
    }
    let count = number::parse_i64(request.get(2)).ok_or(Error::NotInteger)?;
    let (keys, args) = keys_and_args(request, count)?;
    Worker::with(|worker| {
        let compiled = match by {
            By::Text => worker.script(call.server, request.get(1))?,
            By::Sha1 => worker.known_script(call.server, request.get(1))?,
        };
        let script = &*compiled.script;
        let errand = Errand {
            purpose: Purpose::Eval,
            name: &script.name,
            function: compiled.function,
            keys,
            args,
            flags: script.flags,
            read_only,
            keeps_to_declared: script.keeps_to_declared,
            wanders: &script.wanders,
        };
        call.server.scripting.scripts.touch(script);
        run(call, worker, &errand)
    })
}

/// Divides what stands behind the number of keys.
pub fn keys_and_args(request: Request<'_>, count: i64) -> Result<(Request<'_>, Request<'_>), Error> {
    if count > request.len() as i64 - 3 {
        return Err(Error::line("ERR Number of keys can't be greater than number of args"));
    }
    let count = usize::try_from(count).map_err(|_| Error::line("ERR Number of keys can't be negative"))?;
    Ok((request.part(3..3 + count), request.tail(3 + count)))
}
