//! Queueing what comes behind MULTI.

use crate::command::errors::Error;
use crate::command::scripting;
use crate::command::spec::Scope;
use crate::command::table::Entry;
use crate::keyspace::view::Hashed;
use crate::resp::scan::Request;
use crate::state::{Server, Session};

/// What became of a request behind MULTI.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Queued {
    /// It waits for EXEC, or would if the transaction had not failed already.
    Yes,
    /// The queue would be larger than a client's input may be.
    TooLarge,
}

/// Queues a request that has passed the gate; `keys` are those by which it is locked.
pub fn queue(
    server: &Server,
    session: &mut Session,
    entry: &'static Entry,
    request: Request<'_>,
    keys: &[Hashed],
) -> Queued {
    let is_dirty = session.client.watch.is_dirty();
    let Some(transaction) = &mut session.transaction else { return Queued::Yes };
    if transaction.failed || is_dirty {
        // It is not going to be executed.
        return Queued::Yes;
    }
    let limit_bytes = server.config.client_query_buffer_limit() as usize;
    if transaction.args_bytes() > limit_bytes || !transaction.has_room(request) {
        return Queued::TooLarge;
    }
    let flags = match entry.spec.scope {
        Scope::Script => scripting::flags(server, entry, request),
        _ => entry.spec.flags,
    };
    transaction.push(entry.id, flags.bits(), request, keys);
    session.publish_transaction();
    Queued::Yes
}

/// A command behind MULTI was refused: EXEC is going to be, too.
pub fn fail(session: &mut Session) {
    if let Some(transaction) = &mut session.transaction {
        transaction.failed = true;
    }
}

/// EXEC itself is refused, which ends the transaction. Returns the error that says so.
pub fn abort(server: &Server, session: &mut Session, error: &Error) -> Error {
    session.discard(server);
    let line = error.reply();
    let reason = line.strip_prefix(b"ERR ").unwrap_or(&line);
    Error::Echo([b"EXECABORT Transaction discarded because of: ", reason].concat())
}
