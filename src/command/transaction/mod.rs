//! MULTI, EXEC, DISCARD, WATCH, UNWATCH: several commands as one.
//!
//! Behind MULTI the dispatcher queues commands instead of running them ([`queue`]). EXEC locks the union of what all of
//! them need, and the shards of the watched keys for reading, runs them one after the other inside that one view, and
//! then lets go: nobody sees a part of it, and nothing that was watched changes before the end.

mod exec;
mod queue;
mod watch;

pub use exec::footprint;
pub use queue::{Queued, abort, fail, queue};

use super::spec::{Command, Flags, Group, Scope};

/// What the records of the group have in common.
const BASE: Command = Command {
    group: Group::Transactions,
    flags: Flags::NOSCRIPT
        .union(Flags::LOADING)
        .union(Flags::STALE)
        .union(Flags::FAST)
        .union(Flags::ALLOW_BUSY)
        .union(Flags::UNQUEUED),
    scope: Scope::Nothing,
    reply: "OK",
    ..Command::NEW
};

pub const COMMANDS: &[Command] = &[exec::DISCARD, exec::EXEC, exec::MULTI, watch::UNWATCH, watch::WATCH];
