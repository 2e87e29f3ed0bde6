//! EVAL and its relatives, SCRIPT, FCALL, FUNCTION: commands that run scripts and look after them.
//!
//! [`worker`] has the interpreters of the worker that this thread is, [`caller`] runs the commands that a script
//! calls, [`run`] is what all commands share that run something. The language itself is in [`crate::script`].

mod call;
mod caller;
mod eval;
mod function;
mod run;
mod script;
mod transfer;
mod worker;

pub use transfer::{add_libraries, forget_libraries};

pub use run::{declares_all, may_wander};
pub use script::kill;

use super::spec::{Arg, Begin, Command, Find, Flags, Group, KeyFlags, KeySpec, Scope};

pub const COMMANDS: &[Command] = &[
    eval::EVAL,
    eval::EVAL_RO,
    eval::EVALSHA,
    eval::EVALSHA_RO,
    call::FCALL,
    call::FCALL_RO,
    function::FUNCTION,
    script::SCRIPT,
];

/// What the commands have in common that run something.
const RUNS: Command = Command {
    group: Group::Scripting,
    complexity: "Depends on the script that is executed.",
    arity: -3,
    flags: Flags::NOSCRIPT
        .union(Flags::SKIP_MONITOR)
        .union(Flags::MAY_REPLICATE)
        .union(Flags::NO_MANDATORY_KEYS)
        .union(Flags::STALE),
    keys: WRITTEN_KEYS,
    reply: "what the script returns",
    scope: Scope::Script,
    ..Command::NEW
};

/// The flags of those that run what only reads.
const READS: Flags = Flags::NOSCRIPT
    .union(Flags::SKIP_MONITOR)
    .union(Flags::NO_MANDATORY_KEYS)
    .union(Flags::STALE)
    .union(Flags::READONLY);

const fn counted(flags: KeyFlags, notes: &'static str) -> KeySpec {
    let find = Find::KeyNum { count_at: 0, first: 1, step: 1 };
    KeySpec { flags, begin: Begin::Index(2), find, notes }
}

const RW: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE);
const RO: KeyFlags = KeyFlags::RO.union(KeyFlags::ACCESS);
const UNKNOWN_WRITES: &str = "We cannot tell how the keys will be used so we assume the worst, RW and UPDATE";
const UNKNOWN_READS: &str = "We cannot tell how the keys will be used so we assume the worst, RO and ACCESS";

const WRITTEN_KEYS: &[KeySpec] = &[counted(RW, UNKNOWN_WRITES)];
const READ_KEYS: &[KeySpec] = &[counted(RO, UNKNOWN_READS)];
const WRITTEN_KEYS_OF_SHA: &[KeySpec] = &[counted(RW, "")];
const READ_KEYS_OF_SHA: &[KeySpec] = &[counted(RO, "")];

/// Number of keys, keys and arguments.
const NUMKEYS: Arg = Arg::integer("numkeys");
const KEY: Arg = Arg::key("key", 0).optional().multiple();
const ARG: Arg = Arg::string("arg").optional().multiple();

/// What the subcommands of SCRIPT and FUNCTION have in common.
const MANAGES: Command = Command {
    group: Group::Scripting,
    flags: Flags::NOSCRIPT,
    scope: Scope::Nothing,
    reply: "OK",
    ..Command::NEW
};
