//! What a handler is given: its arguments, the locked keys, the place for its reply, and its surroundings.

use super::args::Args;
use super::meter::Meter;
use super::table::Entry;
use crate::keyspace::View;
use crate::resp::reply::Reply;
use crate::state::{Server, Session};

/// One running command. The fields are separate so that a handler can borrow them side by side.
pub struct Call<'a, 'k> {
    pub args: Args<'a>,
    /// The keys of this command, locked as its record says.
    pub keys: &'a mut View<'k>,
    pub out: &'a mut Reply,
    /// The connection's state as commands see and change it.
    pub session: &'a mut Session,
    pub server: &'a Server,
    /// The command's own place in the table.
    pub entry: &'static Entry,
    pub origin: Origin,
    /// Counts and times this command, and those that run inside of it.
    pub meter: &'a mut Meter<'k>,
}

/// Who wants a command to run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// The client has sent it by itself.
    Client,
    /// It was queued behind MULTI.
    Transaction,
    /// A script has called it.
    Script,
}

impl Origin {
    /// Whether it runs inside another command, which holds all locks for it. Such a command takes none itself, and where
    /// it would wait for something to come, it replies at once that there is nothing.
    pub fn is_inside(self) -> bool {
        self != Origin::Client
    }
}

impl Call<'_, '_> {
    /// The length from which on a reply need not go on: the connection will be closed for what it has not read.
    pub fn longest_reply_bytes(&self) -> usize {
        match self.server.config.client_output_buffer_limit().normal.hard_bytes {
            0 => usize::MAX,
            bytes => usize::try_from(bytes).unwrap_or(usize::MAX),
        }
    }
}
