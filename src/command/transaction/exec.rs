//! MULTI, EXEC and DISCARD.

use super::BASE;
use crate::command::call::{Call, Origin};
use crate::command::errors::Error;
use crate::command::inside::add_footprint;
use crate::command::spec::{Command, Flags, Scope};
use crate::command::table::table;
use crate::keyspace::view::Mode;
use crate::keyspace::{Footprint, Keyspace};
use crate::state::Session;
use crate::state::transaction::Transaction;

pub const MULTI: Command = Command {
    name: "multi",
    summary: "Begins a transaction: the commands that follow are queued for EXEC.",
    since: "1.2.0",
    handler: Some(multi),
    ..BASE
};

fn multi(call: &mut Call<'_, '_>) -> Result<(), Error> {
    if call.session.transaction.is_some() {
        return Err(Error::line("ERR MULTI calls can not be nested"));
    }
    call.session.transaction = Some(Transaction::begin());
    call.session.publish_transaction();
    call.out.ok();
    Ok(())
}

pub const DISCARD: Command = Command {
    name: "discard",
    summary: "Forgets the queued commands and the watched keys.",
    since: "2.0.0",
    complexity: "O(N) where N is the number of queued commands",
    handler: Some(discard),
    ..BASE
};

fn discard(call: &mut Call<'_, '_>) -> Result<(), Error> {
    if call.session.transaction.is_none() {
        return Err(Error::line("ERR DISCARD without MULTI"));
    }
    call.session.discard(call.server);
    call.out.ok();
    Ok(())
}

pub const EXEC: Command = Command {
    name: "exec",
    summary: "Executes the queued commands as one, unless a watched key has changed.",
    since: "1.2.0",
    complexity: "That of the queued commands",
    flags: Flags::NOSCRIPT
        .union(Flags::LOADING)
        .union(Flags::STALE)
        .union(Flags::SKIP_SLOWLOG)
        .union(Flags::UNQUEUED),
    reply: "array of the replies, or null if a watched key has changed",
    scope: Scope::Queued,
    handler: Some(exec),
    ..BASE
};

/// What EXEC locks: all that the queued commands touch, and the watched keys, so that none of them changes between the
/// look at them and the end of the transaction.
pub fn footprint(keyspace: &Keyspace, session: &Session) -> Footprint {
    let mut footprint = Footprint::default();
    let Some(transaction) = session.transaction.as_ref().filter(|transaction| !transaction.failed) else {
        return footprint;
    };
    for watched in session.watched.keys() {
        footprint.add_key(watched.db, watched.hash, Mode::Shared);
    }
    let mut db = session.db;
    for (command, request, keys) in transaction.commands() {
        let entry = table().all[command];
        db = add_footprint(&mut footprint, keyspace, db, entry, request, keys.iter().copied());
    }
    footprint
}

fn exec(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let Some(transaction) = call.session.transaction.take() else {
        return Err(Error::line("ERR EXEC without MULTI"));
    };
    call.stop_time();
    let session = &*call.session;
    let is_dirty = call.server.watchers.has_changed(&session.client, &session.watched, call.keys.now_ms);
    call.session.unwatch(call.server);
    let result = if transaction.failed {
        Err(Error::line("EXECABORT Transaction discarded because of previous errors."))
    } else if is_dirty {
        call.out.null_array();
        Ok(())
    } else {
        run(call, &transaction);
        Ok(())
    };
    transaction.end();
    call.session.publish_transaction();
    result
}

fn run(call: &mut Call<'_, '_>, transaction: &Transaction) {
    call.out.array(transaction.len());
    let began = call.meter.begin_inside();
    for (command, request, _) in transaction.commands() {
        call.run_inside(table().all[command], request, Origin::Transaction);
    }
    call.meter.end_inside(began);
}
