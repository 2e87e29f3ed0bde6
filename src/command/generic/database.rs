//! Whole databases: DBSIZE, FLUSHDB, FLUSHALL, SWAPDB.

use super::free_garbage;
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Acl, Arg, Command, Flags, Group, Scope};

pub const DBSIZE: Command = Command {
    name: "dbsize",
    summary: "Returns the number of keys in the selected database.",
    since: "1.0.0",
    group: Group::Server,
    complexity: "O(1)",
    arity: 1,
    flags: Flags::READONLY.union(Flags::FAST),
    acl: Acl::KEYSPACE,
    tips: &["request_policy:all_shards", "response_policy:agg_sum"],
    reply: "the number of keys",
    scope: Scope::Database,
    handler: Some(dbsize),
    ..Command::NEW
};

fn dbsize(call: &mut Call<'_, '_>) -> Result<(), Error> {
    call.out.integer(call.keys.counts(call.keys.db).keys as i64);
    Ok(())
}

const FLUSH_TYPE: &[Arg] =
    &[Arg::word("async", "ASYNC").since("4.0.0"), Arg::word("sync", "SYNC").since("6.2.0")];

pub const FLUSHDB: Command = Command {
    name: "flushdb",
    summary: "Deletes all keys of the selected database.",
    since: "1.0.0",
    group: Group::Server,
    complexity: "O(1); another thread gives the memory back.",
    arity: -1,
    flags: Flags::WRITE,
    acl: Acl::KEYSPACE.union(Acl::DANGEROUS),
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    args: &[Arg::one_of("flush-type", FLUSH_TYPE).optional()],
    history: &[("4.0.0", "The option ASYNC."), ("6.2.0", "The option SYNC.")],
    reply: "OK",
    scope: Scope::Database,
    handler: Some(|call| {
        let db = call.keys.db;
        flush(call, db..db + 1)
    }),
    ..Command::NEW
};

pub const FLUSHALL: Command = Command {
    name: "flushall",
    summary: "Deletes all keys of all databases.",
    scope: Scope::UsedDatabases,
    handler: Some(|call| {
        let all = 0..call.keys.keyspace().databases();
        flush(call, all)
    }),
    ..FLUSHDB
};

/// SYNC and ASYNC make no difference: the keys are gone at once, their memory a moment later.
fn flush(call: &mut Call<'_, '_>, databases: std::ops::Range<usize>) -> Result<(), Error> {
    if !call.args.is_done() && !call.args.skip_word("SYNC") && !call.args.skip_word("ASYNC") {
        return Err(Error::Syntax);
    }
    call.args.finish()?;
    let is_all = databases.len() == call.keys.keyspace().databases();
    if is_all {
        // Nobody wants a snapshot of what is gone by now.
        call.server.persistence.cancel_saving();
    }
    let garbage = call.keys.flush(databases);
    let keys = garbage.len() as u64;
    call.keys.changed(keys);
    if is_all && !call.server.config.save().is_empty() {
        // What is gone shall not come back: a snapshot of nothing is saved at once, which has this change, too.
        let changes = call.server.counters.raw().dirty + keys;
        call.server.persistence.forget_changes(changes);
        call.server.persistence.schedule(true);
    }
    if keys == 0 {
        // Redis logs a flush of nothing, too.
        call.keys.propagate_many(call.args.count(), call.args.request().iter());
    }
    free_garbage(garbage);
    call.out.ok();
    Ok(())
}

pub const SWAPDB: Command = Command {
    name: "swapdb",
    summary: "Exchanges the contents of two databases.",
    since: "4.0.0",
    group: Group::Server,
    complexity: "O(1)",
    arity: 3,
    flags: Flags::WRITE.union(Flags::FAST),
    acl: Acl::KEYSPACE.union(Acl::DANGEROUS),
    args: &[Arg::integer("index1"), Arg::integer("index2")],
    reply: "OK",
    scope: Scope::AllDatabases,
    handler: Some(swapdb),
    ..Command::NEW
};

fn swapdb(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let first = call.args.next_i32().map_err(|_| Error::InvalidFirstDbIndex)?;
    let second = call.args.next_i32().map_err(|_| Error::InvalidSecondDbIndex)?;
    let count = call.keys.keyspace().databases();
    let index = |n: i32| usize::try_from(n).ok().filter(|n| *n < count).ok_or(Error::DbIndexOutOfRange);
    let (first, second) = (index(first)?, index(second)?);
    call.keys.swap(first, second);
    call.keys.changed(1);
    call.out.ok();
    Ok(())
}
