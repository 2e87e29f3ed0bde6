//! Runs commands that were logged, to make the data from them that there was.
//!
//! Nothing is refused that was done before, and nothing waits, is counted, or is shown to anybody. Above all, nothing
//! expires meanwhile: what was logged behind a change of a key was done while the key was there, and the removal of a
//! key that had expired is logged like any other. So the commands run in a time of their own, far before all deadlines
//! (see [`REPLAY_SHIFT_MS`](crate::keyspace::REPLAY_SHIFT_MS)).

use super::args::Args;
use super::call::{Call, Origin};
use super::dispatch::{Resolved, hash_keys, resolve};
use super::errors::Error;
use super::inside;
use super::meter::Meter;
use super::spec::Flags;
use super::table::Entry;
use super::transaction;
use crate::keyspace::view::Hashed;
use crate::keyspace::{Footprint, REPLAY_SHIFT_MS, unix_ms};
use crate::resp::reply::Reply;
use crate::resp::scan::Request;
use crate::state::{Server, Session};

/// Requests whose keys are fetched from memory together.
const BATCH: usize = 64;

/// Why a log cannot be replayed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unknown {
    /// There is no such command.
    Command(Vec<u8>),
}

/// Replays one log.
pub struct Replay<'a> {
    server: &'a Server,
    session: Session,
    clock: quanta::Clock,
    out: Reply,
    keys: Vec<Hashed>,
    /// Commands that ended with an error.
    errors: u64,
    /// The first of these errors.
    first_error: Option<Vec<u8>>,
}

impl<'a> Replay<'a> {
    /// `session` is nobody's.
    pub fn new(server: &'a Server, session: Session) -> Replay<'a> {
        Replay {
            server,
            session,
            clock: quanta::Clock::new(),
            out: Reply::default(),
            keys: Vec::new(),
            errors: 0,
            first_error: None,
        }
    }

    /// Whether commands are queued behind MULTI.
    pub fn is_in_transaction(&self) -> bool {
        self.session.transaction.is_some()
    }

    /// Forgets a transaction that has no end.
    pub fn discard(&mut self) {
        self.session.discard(self.server);
    }

    /// How many commands ended with an error, and the first of these errors.
    pub fn errors(&self) -> (u64, Option<&[u8]>) {
        (self.errors, self.first_error.as_deref())
    }

    /// Runs requests, one after the other. Returns how many were run before one that is not known.
    pub fn run<'r>(
        &mut self,
        count: usize,
        request: impl Fn(usize) -> Request<'r>,
    ) -> Result<(), (usize, Unknown)> {
        let mut first = 0;
        while first < count {
            let end = count.min(first + BATCH);
            let mut keys = std::mem::take(&mut self.keys);
            keys.clear();
            let mut bounds = Vec::with_capacity(end - first);
            for at in first..end {
                let resolved = resolve(request(at));
                let from = keys.len();
                hash_keys(self.server, resolved, request(at), &mut keys);
                bounds.push((resolved, from..keys.len()));
            }
            let shards = self.server.keyspace.shards(self.session.db);
            keys.iter().for_each(|key| shards.prefetch_bucket(key.hash));
            keys.iter().for_each(|key| shards.prefetch_entry(key.hash));
            for (at, (resolved, range)) in (first..end).zip(bounds) {
                let request = request(at);
                if let Err(unknown) = self.run_one(request, resolved, &keys[range]) {
                    return Err((at, unknown));
                }
            }
            self.keys = keys;
            first = end;
        }
        Ok(())
    }

    fn run_one(&mut self, request: Request<'_>, resolved: Resolved, keys: &[Hashed]) -> Result<(), Unknown> {
        let entry = match resolved {
            Resolved::Command(entry) => entry,
            Resolved::Empty => return Ok(()),
            Resolved::UnknownCommand | Resolved::UnknownSubcommand(_) => {
                return Err(Unknown::Command(request.get(0).to_vec()));
            }
        };
        self.out.clear(0);
        if entry.spec.handler.is_none() || !entry.spec.accepts(request.len()) {
            self.note_error(&Error::WrongArity(entry.full_name.clone()).reply());
            return Ok(());
        }
        let server = self.server;
        let Replay { session, .. } = self;
        if session.transaction.is_some() && !entry.spec.flags.contains(Flags::UNQUEUED) {
            transaction::queue(server, session, entry, request, keys);
            return Ok(());
        }
        let failed = Self::execute(server, session, &self.clock, &mut self.out, entry, request, keys);
        if let Err(error) = failed {
            self.note_error(&error.reply());
        }
        Ok(())
    }

    fn execute(
        server: &Server,
        session: &mut Session,
        clock: &quanta::Clock,
        out: &mut Reply,
        entry: &'static Entry,
        request: Request<'_>,
        keys: &[Hashed],
    ) -> Result<(), Error> {
        let Some(handler) = entry.spec.handler else { return Ok(()) };
        let now_ms = unix_ms() - REPLAY_SHIFT_MS;
        let keyspace = &server.keyspace;
        let footprint = if entry.is_exec() {
            transaction::footprint(keyspace, session)
        } else {
            let mut footprint = Footprint::default();
            let hashes = keys.iter().map(|key| key.hash);
            inside::add_footprint(&mut footprint, keyspace, session.db, entry, request, hashes);
            footprint.exclusively()
        };
        let mut view = keyspace.lock_footprint(session.db, now_ms, &footprint);
        let mut meter = Meter::idle(server, clock, now_ms);
        let result = handler(&mut Call {
            args: Args::new(request, entry.first_arg()),
            keys: &mut view,
            out,
            session,
            server,
            entry,
            origin: Origin::Transaction,
            meter: &mut meter,
        });
        view.finish();
        result
    }

    fn note_error(&mut self, line: &[u8]) {
        self.errors += 1;
        self.first_error.get_or_insert_with(|| line.to_vec());
    }
}
