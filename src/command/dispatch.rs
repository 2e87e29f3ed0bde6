//! Runs one request: finds its record, passes the gate, locks its keys, calls the handler, counts.
//!
//! Knows commands and the shared state; nothing of sockets. The connection resolves a whole batch first
//! ([`resolve`]) so that the keys of all its requests can be fetched from memory before the first one runs.

use super::args::Args;
use super::call::Call;
use super::errors::{Error, echo};
use super::keyspec;
use super::spec::{Databases, Flags, Scope};
use super::table::{Entry, table};
use crate::keyspace::View;
use crate::keyspace::view::{Hashed, Mode};
use crate::memory;
use crate::resp::reply::Reply;
use crate::resp::scan::Request;
use crate::state::counters::WorkerCounters;
use crate::state::pause::Paused;
use crate::state::session::{Next, ReplyMode};
use crate::state::{Server, Session};
use smallvec::SmallVec;
use std::sync::atomic::Ordering;

/// How much of an unknown command and its arguments an error repeats, bytes (Redis's figure).
const UNKNOWN_COMMAND_ECHO_BYTES: usize = 128;

/// A foreign protocol is logged at most this often, milliseconds (Redis's figure): logs must not fill up.
const FOREIGN_LOG_PERIOD_MS: i64 = 60_000;

/// A lock is passed on from request to request for at most this long: others wait for it.
const MAX_HELD_NANOS: u64 = 20_000;

/// Equal requests for a fast command are timed together, up to this many: the clock costs as much as they do.
const MAX_TIMED_TOGETHER: u64 = 8;

/// What a request turned out to be, before anything runs.
#[derive(Clone, Copy)]
pub enum Resolved {
    Command(&'static Entry),
    /// A container with a word that is none of its subcommands.
    UnknownSubcommand(&'static Entry),
    UnknownCommand,
    /// No arguments at all: ignored.
    Empty,
}

/// What is known of the request that comes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Following {
    Anything,
    /// It wants the same one lock in the same mode.
    SameLock,
    /// It is the same to the byte, and has one key.
    SameRequest,
}

/// How far a request came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    Done,
    /// It has to wait for the end of a CLIENT PAUSE; nothing was done.
    Paused {
        is_write: bool,
    },
}

/// Finds the record of a request.
#[inline]
pub fn resolve(request: Request<'_>) -> Resolved {
    if request.is_empty() {
        return Resolved::Empty;
    }
    let Some(entry) = table().find(request.get(0)) else { return Resolved::UnknownCommand };
    resolve_sub(entry, request)
}

#[inline]
fn resolve_sub(entry: &'static Entry, request: Request<'_>) -> Resolved {
    if entry.subcommands.is_empty() || request.len() < 2 {
        return Resolved::Command(entry);
    }
    match entry.find_sub(request.get(1)) {
        Some(sub) => Resolved::Command(sub),
        None => Resolved::UnknownSubcommand(entry),
    }
}

/// Appends the hashed keys of a request that locks by key. A request whose keys cannot be found (its
/// arguments are wrong) has none; its handler will say what is wrong.
#[inline]
pub fn hash_keys(server: &Server, resolved: Resolved, request: Request<'_>, keys: &mut Vec<Hashed>) {
    let Resolved::Command(entry) = resolved else { return };
    let mut push = |at: usize| {
        let key = request.get(at);
        keys.push(Hashed::new(key, server.keyspace.hash(key)));
    };
    match entry.single_key {
        Some(at) if at < request.len() => push(at),
        Some(_) => {}
        None if matches!(entry.spec.scope, Scope::Keys) && !entry.spec.keys.is_empty() => {
            let before = keys.len();
            let mut push = |at: usize, _| {
                let key = request.get(at);
                keys.push(Hashed::new(key, server.keyspace.hash(key)));
            };
            if keyspec::for_each_key(entry.spec, request, &mut push).is_err() {
                keys.truncate(before);
            }
        }
        None => {}
    }
}

/// Equal calls since the clock was last read.
#[derive(Default)]
struct Untimed {
    entry: Option<&'static Entry>,
    calls: u64,
    failed: u64,
}

/// Runs requests of the connections of one worker.
pub struct Dispatcher<'a> {
    pub server: &'a Server,
    counters: &'a WorkerCounters,
    clock: &'a quanta::Clock,
    /// The clock's raw value at the end of the last command, so that one reading per command suffices.
    last_raw: u64,
    track_latency: bool,
    latency_threshold_ms: i64,
    /// What the last command locked, if the next one is going to use it.
    view: Option<View<'a>>,
    /// The clock's raw value when it was locked.
    locked_raw: u64,
    untimed: Untimed,
    /// From where on a command is noted in the slow log or as an event of latency.
    notable_nanos: u64,
    now_ms: i64,
}

impl<'a> Dispatcher<'a> {
    /// For one batch of requests that happen now.
    pub fn new(server: &'a Server, worker: usize, clock: &'a quanta::Clock, now_ms: i64) -> Dispatcher<'a> {
        let slower_than_micros = server.config.slowlog_log_slower_than();
        let latency_threshold_ms = server.config.latency_monitor_threshold() as i64;
        let slow = u64::try_from(slower_than_micros).map_or(u64::MAX, |micros| micros.saturating_mul(1000));
        let late = match latency_threshold_ms as u64 {
            0 => u64::MAX,
            ms => ms.saturating_mul(1_000_000),
        };
        Dispatcher {
            server,
            counters: server.counters.worker(worker),
            clock,
            last_raw: clock.raw(),
            track_latency: server.counters.track_latency.load(Ordering::Relaxed),
            latency_threshold_ms,
            notable_nanos: slow.min(late),
            view: None,
            locked_raw: 0,
            untimed: Untimed::default(),
            now_ms,
        }
    }

    /// Passes the gate and runs the command. Writes one reply, unless the connection's mode suppresses it.
    /// If the `following` request is going to want the same lock, it is kept for it.
    #[inline]
    pub fn run(
        &mut self,
        session: &mut Session,
        out: &mut Reply,
        request: Request<'_>,
        resolved: Resolved,
        keys: &'a [Hashed],
        following: Following,
    ) -> Flow {
        let entry = match resolved {
            Resolved::Command(entry) => entry,
            Resolved::Empty => return Flow::Done,
            _ if is_foreign(request.get(0)) => {
                self.expel(session);
                return Flow::Done;
            }
            _ => {
                self.release();
                let error = unresolved(resolved, request);
                self.reject(session, out, None, &error);
                return Flow::Done;
            }
        };
        if let Err(error) = self.gate(session, entry, request) {
            self.release();
            self.reject(session, out, Some(entry), &error);
            return Flow::Done;
        }
        let paused = self.server.pause.level();
        if paused != Paused::Nothing && !entry.spec.flags.contains(Flags::ALLOW_BUSY) {
            let is_write = entry.is_write();
            if paused == Paused::Everything || is_write {
                self.release();
                return Flow::Paused { is_write };
            }
        }
        self.call(session, out, request, entry, keys, following);
        let held_nanos = self.clock.delta_as_nanos(self.locked_raw, self.last_raw);
        if following == Following::Anything || held_nanos > MAX_HELD_NANOS {
            self.release();
        }
        Flow::Done
    }

    /// Everything that can refuse a known command before it starts, in Redis's order.
    #[inline]
    fn gate(&self, session: &Session, entry: &'static Entry, request: Request<'_>) -> Result<(), Error> {
        let flags = entry.spec.flags;
        if !entry.spec.accepts(request.len()) || entry.spec.handler.is_none() {
            return Err(Error::WrongArity(entry.full_name.clone()));
        }
        if flags.contains(Flags::PROTECTED) && !self.allows_protected(session, entry) {
            return Err(Error::err(format_args!(
                "{} command not allowed. If the enable-{}-command option is set to \"local\", you can run it \
                 from a local connection, otherwise you need to set this option in the configuration file, and \
                 then restart the server.",
                entry.spec.name.to_ascii_uppercase(),
                entry.spec.name,
            )));
        }
        if !session.authenticated && !flags.contains(Flags::NO_AUTH) && self.server.needs_password() {
            return Err(Error::NoAuth);
        }
        if flags.contains(Flags::DENYOOM) {
            let limit = self.server.config.maxmemory();
            if limit != 0 && memory::used_bytes() as u64 > limit {
                return Err(Error::Oom);
            }
        }
        Ok(())
    }

    #[cold]
    fn allows_protected(&self, session: &Session, _entry: &Entry) -> bool {
        self.server.config.enable_debug_command().allows(session.client.is_local())
    }

    /// Ends a connection over which a browser, say, was made to send requests of its own protocol that hold
    /// commands. Nothing is answered, and what follows is not looked at.
    #[cold]
    fn expel(&self, session: &mut Session) {
        session.next = Next::CloseNow;
        let logged_ms = &self.server.intruder_logged_ms;
        if self.now_ms - logged_ms.load(Ordering::Relaxed) > FOREIGN_LOG_PERIOD_MS {
            logged_ms.store(self.now_ms, Ordering::Relaxed);
            tracing::warn!(
                "Possible SECURITY ATTACK detected. Somebody sends POST or Host: to this server, which looks like \
                 Cross Protocol Scripting. Connection from {} aborted.",
                session.client.addr
            );
        }
    }

    #[cold]
    fn reject(&mut self, session: &mut Session, out: &mut Reply, entry: Option<&Entry>, error: &Error) {
        if let Some(entry) = entry {
            self.counters.commands[entry.id].rejected.add(1);
        }
        begin_reply(session);
        if !ends_silent(session) {
            out.error(error.reply());
        }
        self.count_error(error);
    }

    #[cold]
    fn count_error(&self, error: &Error) {
        self.counters.totals.error_replies.add(1);
        self.server.counters.count_error(&error.code());
    }

    /// Releases what the last command has left locked for the next one.
    #[inline]
    pub fn release(&mut self) {
        if let Some(entry) = self.untimed.entry {
            // The request that was to be timed with these did not come to run.
            self.time(entry);
        }
        let Some(view) = &mut self.view else { return };
        let tally = view.finish();
        let totals = &self.counters.totals;
        if tally.hits.get() + tally.misses.get() > 0 {
            totals.keyspace_hits.add(tally.hits.get() as u64);
            totals.keyspace_misses.add(tally.misses.get() as u64);
        }
        if tally.dirty.get() > 0 {
            totals.dirty.add(tally.dirty.get());
        }
        if tally.expired.get() > 0 {
            totals.expired_keys.add(tally.expired.get() as u64);
            totals.expired_lazily.add(tally.expired.get() as u64);
        }
        if tally.expired_fields.get() > 0 {
            totals.expired_subkeys.add(tally.expired_fields.get() as u64);
        }
        self.view = None;
    }

    /// The view for a command: the one that is still locked if it fits, or else a new one.
    #[inline]
    fn view(
        &mut self,
        session: &Session,
        entry: &'static Entry,
        request: Request<'_>,
        keys: &'a [Hashed],
    ) -> Result<&mut View<'a>, Error> {
        let mode = if entry.is_write() { Mode::Exclusive } else { Mode::Shared };
        let fits = match (&self.view, keys) {
            (Some(view), [key]) => view.has_lock_of(session.db, key, mode),
            _ => false,
        };
        if fits && let Some(view) = &mut self.view {
            view.pass_on(keys);
        } else {
            self.release();
            self.view = Some(match entry.spec.scope {
                Scope::Keys => self.server.keyspace.lock_keys(session.db, self.now_ms, keys, mode),
                _ => self.lock_more(session, entry, request, mode)?,
            });
            self.locked_raw = self.last_raw;
        }
        Ok(self.view.as_mut().expect("there is a view by now"))
    }

    /// Locks for a command that locks otherwise than by its keys in the selected database.
    fn lock_more(
        &self,
        session: &Session,
        entry: &'static Entry,
        request: Request<'_>,
        mode: Mode,
    ) -> Result<View<'a>, Error> {
        let keyspace: &'a crate::keyspace::Keyspace = &self.server.keyspace;
        let (db, now_ms) = (session.db, self.now_ms);
        Ok(match entry.spec.scope {
            Scope::Keys => unreachable!("locked by its keys"),
            Scope::Nothing => keyspace.lock_nothing(db, now_ms),
            Scope::Database => keyspace.lock_databases(db, now_ms, std::iter::once(db), mode),
            Scope::AllDatabases => keyspace.lock_databases(db, now_ms, 0..keyspace.databases(), mode),
            Scope::UsedDatabases => {
                let used = (0..keyspace.databases()).filter(|db| keyspace.existing(*db).is_some());
                keyspace.lock_databases(db, now_ms, used, mode)
            }
            Scope::Custom(places) => {
                let mut args = Args::new(request, entry.first_arg());
                let mut found = Vec::new();
                let databases = Databases { selected: db, count: keyspace.databases() };
                places(&mut args, databases, &mut found)?;
                let places: SmallVec<[(usize, &[u8]); 4]> =
                    found.into_iter().map(|(db, at)| (db, request.get(at))).collect();
                keyspace.lock_places(db, now_ms, &places, mode)
            }
        })
    }

    #[inline]
    fn call(
        &mut self,
        session: &mut Session,
        out: &mut Reply,
        request: Request<'_>,
        entry: &'static Entry,
        keys: &'a [Hashed],
        following: Following,
    ) {
        let Some(handler) = entry.spec.handler else { return };
        begin_reply(session);
        session.client.last_command.store(entry.id as u32, Ordering::Relaxed);
        let before = out.len();
        let server = self.server;
        let result = match self.view(session, entry, request, keys) {
            Err(error) => Err(error),
            Ok(view) => {
                view.touch = !session.no_touch;
                let args = Args::new(request, entry.first_arg());
                handler(&mut Call { args, keys: view, out, session, server, entry })
            }
        };
        let failed = result.is_err();
        if let Err(error) = result {
            out.truncate(before);
            out.error(error.reply());
            self.count_error(&error);
        }
        if session.reply_mode != ReplyMode::On && ends_silent(session) {
            out.truncate(before);
        }
        if session.next == Next::CloseNow {
            out.truncate(0);
        }
        let client = &session.client;
        client.count_command();
        client.last_active_ms.store(self.now_ms, Ordering::Relaxed);
        self.counters.totals.commands.add(1);
        self.untimed.calls += 1;
        self.untimed.failed += failed as u64;
        if following == Following::SameRequest
            && self.untimed.calls < MAX_TIMED_TOGETHER
            && entry.spec.flags.contains(Flags::FAST)
        {
            self.untimed.entry = Some(entry);
            return;
        }
        let nanos = self.time(entry);
        if nanos >= self.notable_nanos {
            self.note_slow(session, request, entry, nanos);
        }
    }

    /// Reads the clock and counts the calls since it was last read, which were of this command. Returns the
    /// nanoseconds of one.
    #[inline]
    fn time(&mut self, entry: &Entry) -> u64 {
        let raw = self.clock.raw();
        let together_nanos = self.clock.delta_as_nanos(std::mem::replace(&mut self.last_raw, raw), raw);
        let Untimed { calls, failed, .. } = std::mem::take(&mut self.untimed);
        let nanos = if calls == 1 { together_nanos } else { together_nanos / calls };
        self.counters.commands[entry.id].record(calls, nanos, failed, self.track_latency);
        nanos
    }

    #[cold]
    fn note_slow(&self, session: &Session, request: Request<'_>, entry: &Entry, nanos: u64) {
        let micros = nanos / 1000;
        let flags = entry.spec.flags;
        // The command itself may have changed what counts as slow.
        let slower_than_micros = self.server.config.slowlog_log_slower_than();
        if self.latency_threshold_ms > 0 && micros as i64 / 1000 >= self.latency_threshold_ms {
            let event = if flags.contains(Flags::FAST) { "fast-command" } else { "command" };
            self.server.latency.add(event, self.now_ms / 1000, micros / 1000);
        }
        if slower_than_micros < 0
            || (micros as i64) < slower_than_micros
            || flags.contains(Flags::SKIP_SLOWLOG)
        {
            return;
        }
        let name = session.client.names.lock().name.clone();
        self.server.slowlog.push(
            self.now_ms / 1000,
            micros,
            entry.loggable(request),
            &session.client.addr,
            &name,
        );
    }
}

impl Drop for Dispatcher<'_> {
    fn drop(&mut self) {
        self.release();
    }
}

/// A command begins: what CLIENT REPLY SKIP said of the next command now holds for this one.
#[inline]
fn begin_reply(session: &mut Session) {
    if session.reply_mode == ReplyMode::SkipNext {
        session.reply_mode = ReplyMode::Skip;
    }
}

/// A command ends: whether its reply is not sent.
fn ends_silent(session: &mut Session) -> bool {
    match session.reply_mode {
        ReplyMode::On | ReplyMode::SkipNext => false,
        ReplyMode::Off => true,
        ReplyMode::Skip => {
            session.reply_mode = ReplyMode::On;
            true
        }
    }
}

/// Whether an unknown command is in truth the beginning, or a header, of an HTTP request.
fn is_foreign(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}

#[cold]
fn unresolved(resolved: Resolved, request: Request<'_>) -> Error {
    if let Resolved::UnknownSubcommand(entry) = resolved {
        return Error::UnknownSubcommand {
            container: entry.spec.name.to_ascii_uppercase(),
            sub: echo(request.get(1), UNKNOWN_COMMAND_ECHO_BYTES).to_vec(),
        };
    }
    let mut args = Vec::new();
    for arg in request.iter().skip(1) {
        if args.len() >= UNKNOWN_COMMAND_ECHO_BYTES {
            break;
        }
        let arg = echo(arg, UNKNOWN_COMMAND_ECHO_BYTES - args.len());
        args.push(b'\'');
        args.extend_from_slice(arg);
        args.extend_from_slice(b"' ");
    }
    let name = echo(request.get(0), UNKNOWN_COMMAND_ECHO_BYTES);
    Error::UnknownCommand([b"'", name, b"', with args beginning with: ", &args].concat())
}
