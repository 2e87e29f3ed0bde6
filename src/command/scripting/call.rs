//! FCALL and FCALL_RO.

use super::eval::keys_and_args;
use super::run::{Errand, run};
use super::worker::Worker;
use super::{ARG, KEY, NUMKEYS, READ_KEYS, READS, RUNS};
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command};
use crate::script::Purpose;
use crate::types::number;

const ARGS: &[Arg] = &[Arg::string("function"), NUMKEYS, KEY, ARG];

pub const FCALL: Command = Command {
    name: "fcall",
    summary: "Calls a function.",
    since: "7.0.0",
    complexity: "Depends on the function that is executed.",
    args: ARGS,
    reply: "what the function returns",
    handler: Some(|call| fcall(call, false)),
    ..RUNS
};

pub const FCALL_RO: Command = Command {
    name: "fcall_ro",
    summary: "Calls a function that only reads.",
    since: "7.0.0",
    complexity: "Depends on the function that is executed.",
    flags: READS,
    keys: READ_KEYS,
    args: ARGS,
    reply: "what the function returns",
    handler: Some(|call| fcall(call, true)),
    ..RUNS
};

fn fcall(call: &mut Call<'_, '_>, read_only: bool) -> Result<(), Error> {
    let request = call.args.request();
    let libraries = call.server.scripting.functions.current();
    let (library, function) =
        libraries.function(request.get(1)).ok_or(Error::line("ERR Function not found"))?;
    let count = number::parse_i64(request.get(2)).ok_or(Error::line("ERR Bad number of keys provided"))?;
    let (keys, args) = keys_and_args(request, count)?;
    Worker::with(|worker| {
        let callback = worker.callback(call.server, library, &function.name)?;
        let errand = Errand {
            purpose: Purpose::Functions,
            name: &String::from_utf8_lossy(&function.name),
            function: callback,
            keys,
            args,
            flags: Some(function.flags),
            read_only,
            keeps_to_declared: false,
            wanders: &library.wanders,
        };
        run(call, worker, &errand)
    })
}
