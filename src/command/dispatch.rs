//! Runs one request: finds its record, passes the gate, locks its keys, calls the handler, counts.
//!
//! Knows commands and the shared state; nothing of sockets. The connection resolves a whole batch first
//! ([`resolve`]) so that the keys of all its requests can be fetched from memory before the first one runs.

use super::args::Args;
use super::blocking;
use super::call::{Call, Origin};
use super::errors::{Error, echo};
use super::inside;
use super::keyspec;
use super::meter::Meter;
use super::scripting;
use super::spec::{Flags, Scope};
use super::table::{Entry, table};
use super::transaction::{self, Queued};
use crate::keyspace::view::{Hashed, Mode, Tally};
use crate::keyspace::{Footprint, View, unix_ms};
use crate::memory;
use crate::resp::reply::{Proto, Reply};
use crate::resp::scan::Request;
use crate::script::Purpose;
use crate::state::counters::WorkerTotals;
use crate::state::pause::Paused;
use crate::state::persistence::obstacle;
use crate::state::session::{Next, ReplyMode};
use crate::state::tracking::Modes;
use crate::state::waiters::{self, Rest};
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
        None if matches!(entry.spec.scope, Scope::Keys | Scope::Script) && !entry.spec.keys.is_empty() => {
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
    meter: Meter<'a>,
    /// What the last command locked, if the next one is going to use it.
    view: Option<View<'a>>,
    /// The clock's raw value when it was locked.
    locked_raw: u64,
    untimed: Untimed,
    /// What has to be done for clients that wait, as soon as the locks are gone.
    rest: Rest,
    now_ms: i64,
}

impl<'a> Dispatcher<'a> {
    /// For one batch of requests that happen now.
    pub fn new(server: &'a Server, worker: usize, clock: &'a quanta::Clock, now_ms: i64) -> Dispatcher<'a> {
        Dispatcher {
            server,
            meter: Meter::new(server, worker, clock, now_ms),
            view: None,
            locked_raw: 0,
            untimed: Untimed::default(),
            rest: Rest::default(),
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
            let is_write = self.pausable_flags(session, entry, request).intersects(Flags::WRITES);
            if paused == Paused::Everything || is_write {
                self.release();
                return Flow::Paused { is_write };
            }
        }
        if session.transaction.is_some() && !entry.spec.flags.contains(Flags::UNQUEUED) {
            self.queue(session, out, request, entry, keys);
            return Flow::Done;
        }
        self.call(session, out, request, entry, keys, following);
        if self.view.as_ref().is_some_and(View::has_interest) {
            self.conclude(session, request);
        }
        if following == Following::Anything
            || !self.rest.postponed.is_empty()
            || self.meter.nanos_since(self.locked_raw) > MAX_HELD_NANOS
        {
            self.release();
        }
        Flow::Done
    }

    /// Queues a request behind MULTI.
    fn queue(
        &mut self,
        session: &mut Session,
        out: &mut Reply,
        request: Request<'_>,
        entry: &'static Entry,
        keys: &[Hashed],
    ) {
        begin_reply(session);
        match transaction::queue(self.server, session, entry, request, keys) {
            Queued::Yes if ends_silent(session) => {}
            Queued::Yes => out.simple("QUEUED"),
            Queued::TooLarge => {
                session.next = Next::CloseNow;
                self.meter.counters.totals.query_buffer_disconnections.add(1);
                tracing::warn!(
                    "Closing client that reached max query buffer length: id={} qbuf={}",
                    session.client.id,
                    session.queued_bytes()
                );
            }
        }
    }

    /// Everything that can refuse a known command before it starts, in Redis's order.
    #[inline]
    fn gate(&self, session: &Session, entry: &'static Entry, request: Request<'_>) -> Result<(), Error> {
        let flags = flags(session, entry);
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
        if flags.contains(Flags::NO_MULTI) && session.transaction.is_some() {
            return Err(Error::line("ERR Command not allowed inside a transaction"));
        }
        if self.server.scripting.is_busy() && !flags.contains(Flags::ALLOW_BUSY) {
            return Err(busy_error(self.server));
        }
        if flags.contains(Flags::DENYOOM) {
            let limit = self.server.config.maxmemory();
            if limit != 0 && memory::used_bytes() as u64 > limit {
                return Err(Error::Oom);
            }
        }
        let obstacles = self.server.persistence.obstacles();
        if obstacles != 0 {
            self.obstacle_gate(obstacles, entry, flags)?;
        }
        if session.is_subscriber || session.is_monitor {
            return listener_gate(session, entry);
        }
        Ok(())
    }

    /// The flags by which a pause concerns a command.
    #[cold]
    fn pausable_flags(&self, session: &Session, entry: &Entry, request: Request<'_>) -> Flags {
        if matches!(entry.spec.scope, Scope::Script) {
            return scripting::flags(self.server, entry, request);
        }
        flags(session, entry)
    }

    /// What may not be done while data is loaded, or while what is written could not be saved.
    #[cold]
    fn obstacle_gate(&self, obstacles: u8, entry: &Entry, flags: Flags) -> Result<(), Error> {
        // Whoever watches a server by PING is to learn of it, too.
        if obstacles & obstacle::SNAPSHOT_FAILED != 0
            && (flags.intersects(Flags::WRITES) || entry.spec.name == "ping")
        {
            return Err(Error::SnapshotFailed);
        }
        if obstacles & obstacle::LOG_FAILED != 0
            && (flags.intersects(Flags::WRITES) || entry.spec.name == "ping")
        {
            return Err(Error::LogFailed(self.server.append_only.error()));
        }
        if obstacles & obstacle::LOADING != 0 && !entry.spec.flags.contains(Flags::LOADING) {
            return Err(Error::Loading);
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
            self.meter.counters.commands[entry.id].rejected.add(1);
        }
        let aborted;
        let mut error = error;
        transaction::fail(session);
        if entry.is_some_and(Entry::is_exec) {
            aborted = transaction::abort(self.server, session, error);
            error = &aborted;
        }
        begin_reply(session);
        end_caching(session, entry);
        if !ends_silent(session) {
            out.error(error.reply());
        }
        self.meter.count_error(error);
    }

    /// Releases what the last command has left locked for the next one.
    #[inline]
    pub fn release(&mut self) {
        if let Some(entry) = self.untimed.entry {
            // The request that was to be timed with these did not come to run.
            self.time(entry);
        }
        let Some(view) = &mut self.view else { return };
        let is_observed = !view.is_unobserved();
        count(view.finish(), &self.meter.counters.totals);
        self.view = None;
        if is_observed && (!self.rest.postponed.is_empty() || self.server.waiters.has_expired()) {
            self.serve_rest();
        }
    }

    /// The command is over: logs it, and tells those whom it concerns.
    fn conclude(&mut self, session: &mut Session, request: Request<'_>) {
        let Some(view) = &self.view else { return };
        if view.is_logged() && view.log_command(|| request.encoded(), request.len(), request.iter()) {
            session.log_position = self.server.keyspace.effects().log().end();
        }
        if !view.is_unobserved() {
            self.serve_waiters();
        }
    }

    /// The command is over: serves clients that wait for the keys that it has changed.
    #[cold]
    fn serve_waiters(&mut self) {
        let Some(view) = &mut self.view else { return };
        let ready = waiters::ready_keys(view);
        if ready.is_empty() {
            return;
        }
        if let Some(entry) = self.untimed.entry {
            // What follows is no part of these calls.
            self.time(entry);
        }
        if let Some(view) = &mut self.view {
            // What has expired while the command ran is not served.
            view.now_ms = unix_ms();
            self.server.waiters.serve(view, ready, &mut self.rest);
        }
        self.count_ended();
        self.meter.pass_over();
    }

    /// Serves clients that could not be served under the command's own locks.
    #[cold]
    fn serve_rest(&mut self) {
        let (server, totals) = (self.server, &self.meter.counters.totals);
        server.waiters.serve_rest(&server.keyspace, self.now_ms, &mut self.rest, |view| {
            count(view.finish(), totals);
        });
        self.count_ended();
        self.meter.pass_over();
    }

    /// Counts the commands of clients that were served: their connections may sleep on.
    fn count_ended(&mut self) {
        for waiter in self.rest.ended.drain(..) {
            blocking::count(self.server, self.meter.counters, &waiter, self.now_ms);
        }
    }

    /// The command waits: it is counted when it is done (see [`super::blocking::count`]).
    #[cold]
    fn begin_wait(&mut self, session: &mut Session) {
        if let Some(entry) = self.untimed.entry {
            self.time(entry);
        }
        let nanos = self.meter.pass_over();
        if let Some(wait) = &session.wait {
            wait.waiter.bill.nanos.store(nanos, Ordering::Relaxed);
        }
        session.client.last_active_ms.store(self.now_ms, Ordering::Relaxed);
    }

    /// Locks for a command: keeps what is still locked if it fits.
    #[inline]
    fn lock(
        &mut self,
        session: &Session,
        entry: &'static Entry,
        request: Request<'_>,
        keys: &'a [Hashed],
        mode: Mode,
    ) -> Result<(), Error> {
        if let (Some(view), [key]) = (&mut self.view, keys)
            && view.has_lock_of(session.db, key, mode)
        {
            view.pass_on(keys);
            return Ok(());
        }
        let is_script = matches!(entry.spec.scope, Scope::Script);
        let wanders = is_script && scripting::may_wander(self.server, entry, request);
        if wanders && self.grow(session, keys, mode) {
            return Ok(());
        }
        self.release();
        self.view = Some(match entry.spec.scope {
            Scope::Keys => self.server.keyspace.lock_keys(session.db, self.now_ms, keys, mode),
            Scope::Script if !wanders => self.server.keyspace.lock_keys(session.db, self.now_ms, keys, mode),
            _ => self.lock_more(session, entry, request)?,
        });
        self.locked_raw = self.meter.last_raw();
        Ok(())
    }

    /// Whether the view can be used on, as it may grow: the last script did not keep to its keys, and neither will this.
    fn grow(&mut self, session: &Session, keys: &'a [Hashed], mode: Mode) -> bool {
        let Some(view) = self.view.as_mut().filter(|view| view.may_grow()) else { return false };
        let mut footprint = Footprint::default();
        keys.iter().for_each(|key| footprint.add_key(session.db, key.hash, mode));
        view.turn_to(session.db);
        view.pass_on(keys);
        view.cover(&footprint)
    }

    /// Locks for a command that locks otherwise than by its keys in the selected database.
    fn lock_more(
        &self,
        session: &Session,
        entry: &'static Entry,
        request: Request<'_>,
    ) -> Result<View<'a>, Error> {
        let keyspace: &'a crate::keyspace::Keyspace = &self.server.keyspace;
        let (db, now_ms, mode) = (session.db, self.now_ms, inside::mode(entry));
        Ok(match entry.spec.scope {
            Scope::Keys => unreachable!("locked by its keys"),
            Scope::Nothing | Scope::Walk | Scope::Survey(_) | Scope::Select => {
                keyspace.lock_nothing(db, now_ms)
            }
            Scope::Database => keyspace.lock_databases(db, now_ms, std::iter::once(db), mode),
            Scope::AllDatabases => keyspace.lock_databases(db, now_ms, 0..keyspace.databases(), mode),
            Scope::UsedDatabases => {
                let used = (0..keyspace.databases()).filter(|db| keyspace.existing(*db).is_some());
                keyspace.lock_databases(db, now_ms, used, mode)
            }
            Scope::Custom(_) => {
                let places = inside::custom_places(keyspace, db, entry, request)?;
                let places: SmallVec<[(usize, &[u8]); 4]> =
                    places.into_iter().map(|(db, at)| (db, request.get(at))).collect();
                keyspace.lock_places(db, now_ms, &places, mode)
            }
            Scope::Queued => {
                let footprint = transaction::footprint(keyspace, session);
                if footprint.is_open() {
                    keyspace.lock_growing(db, now_ms, &footprint, Mode::Exclusive)
                } else {
                    keyspace.lock_footprint(db, now_ms, &footprint)
                }
            }
            Scope::Script => {
                let mut footprint = Footprint::default();
                let mut hashed = Vec::new();
                hash_keys(self.server, Resolved::Command(entry), request, &mut hashed);
                hashed.iter().for_each(|key| footprint.add_key(db, key.hash, mode));
                keyspace.lock_growing(db, now_ms, &footprint, mode)
            }
            Scope::Chosen(_) => {
                let mut footprint = Footprint::default();
                inside::add_footprint(&mut footprint, keyspace, db, entry, request, std::iter::empty());
                keyspace.lock_footprint(db, now_ms, &footprint)
            }
        })
    }

    /// Whether somebody may have to be told that the command was called.
    #[inline]
    fn is_followed(&self, session: &Session) -> bool {
        self.meter.monitored || !session.tracking.is_empty()
    }

    /// What some clients make of a command that was called. It is still under its locks: what is shown of one key is in
    /// the order in which it was done.
    #[cold]
    fn follow(&self, session: &mut Session, request: Request<'_>, entry: &'static Entry) {
        if self.meter.monitored {
            show_monitors(self.server, session, Origin::Client, entry, request);
        }
        if !session.tracking.is_empty() {
            remember_tracked(self.server, session, entry, request);
            end_caching(session, Some(entry));
        }
    }

    /// Calls a handler again that could not do with its key locked for reading.
    #[cold]
    fn call_exclusively(
        &mut self,
        session: &mut Session,
        out: &mut Reply,
        request: Request<'_>,
        entry: &'static Entry,
        keys: &'a [Hashed],
    ) -> Result<(), Error> {
        self.lock(session, entry, request, keys, Mode::Exclusive)?;
        let (Some(handler), Some(view)) = (entry.spec.handler, &mut self.view) else { return Ok(()) };
        view.set_touch(!session.no_touch);
        view.act_for(session.client.id);
        let (server, meter) = (self.server, &mut self.meter);
        let (args, origin) = (Args::new(request, entry.first_arg()), Origin::Client);
        let result = handler(&mut Call { args, keys: view, out, session, server, entry, origin, meter });
        if self.is_followed(session) {
            self.follow(session, request, entry);
        }
        result
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
        let result = match self.lock(session, entry, request, keys, entry.first_mode()) {
            Err(error) => Err(error),
            Ok(()) => {
                let (server, meter) = (self.server, &mut self.meter);
                let view = self.view.as_mut().expect("it was just locked");
                view.set_touch(!session.no_touch);
                view.act_for(session.client.id);
                let (args, origin) = (Args::new(request, entry.first_arg()), Origin::Client);
                let result =
                    handler(&mut Call { args, keys: view, out, session, server, entry, origin, meter });
                if self.is_followed(session) && result != Err(Error::NeedsExclusive) {
                    self.follow(session, request, entry);
                }
                result
            }
        };
        let result = match result {
            Err(Error::NeedsExclusive) => self.call_exclusively(session, out, request, entry, keys),
            result => result,
        };
        let failed = result.is_err();
        if let Err(error) = result {
            out.truncate(before);
            out.error(error.reply());
            self.meter.count_error(&error);
        }
        if session.reply_mode != ReplyMode::On
            && ends_silent(session)
            && !entry.spec.flags.contains(Flags::PUSHES)
        {
            out.truncate(before);
        }
        if session.next == Next::CloseNow {
            out.truncate(0);
        }
        if session.next == Next::Wait {
            return self.begin_wait(session);
        }
        self.meter.count_command(session);
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
        self.meter.note(session, request, entry, nanos);
    }

    /// Counts the calls since the clock was last read, which were of this command. Returns the nanoseconds of one.
    #[inline]
    fn time(&mut self, entry: &Entry) -> u64 {
        let Untimed { calls, failed, .. } = std::mem::take(&mut self.untimed);
        self.meter.time(entry, calls, failed)
    }
}

/// Counts what a command did to keys.
#[inline]
fn count(tally: &Tally, totals: &WorkerTotals) {
    if tally.hits.get() + tally.misses.get() > 0 {
        totals.keyspace_hits.add(tally.hits.get() as u64);
        totals.keyspace_misses.add(tally.misses.get() as u64);
    }
    if tally.dirty() > 0 {
        totals.dirty.add(tally.dirty().into());
    }
    if tally.expired.get() > 0 {
        totals.expired_keys.add(tally.expired.get() as u64);
        totals.expired_lazily.add(tally.expired.get() as u64);
    }
    if tally.expired_fields.get() > 0 {
        totals.expired_subkeys.add(tally.expired_fields.get() as u64);
    }
}

impl Drop for Dispatcher<'_> {
    fn drop(&mut self) {
        self.release();
    }
}

/// The command's flags; of EXEC, also those of the commands that it would run as far as they matter at the gate.
#[inline]
fn flags(session: &Session, entry: &Entry) -> Flags {
    match &session.transaction {
        Some(transaction) if entry.is_exec() => {
            let queued = Flags::from_bits_retain(transaction.flags);
            entry.spec.flags | queued.intersection(Flags::WRITES.union(Flags::DENYOOM))
        }
        _ => entry.spec.flags,
    }
}

/// What clients that mostly listen may not do.
#[cold]
fn listener_gate(session: &Session, entry: &Entry) -> Result<(), Error> {
    let flags = entry.spec.flags;
    if session.is_subscriber && session.proto == Proto::Resp2 && !flags.contains(Flags::FOR_SUBSCRIBERS) {
        return Err(Error::SubscriberMode(entry.full_name.clone()));
    }
    if session.is_monitor && (entry.is_write() || flags.contains(Flags::READONLY)) {
        return Err(Error::ReplicaKeyspace);
    }
    Ok(())
}

/// Shows a command to those who watch.
#[cold]
pub(super) fn show_monitors(
    server: &Server,
    session: &Session,
    origin: Origin,
    entry: &Entry,
    request: Request<'_>,
) {
    if !entry.spec.flags.intersects(Flags::SKIP_MONITOR.union(Flags::ADMIN)) {
        let by_script = origin == Origin::Script;
        server.monitors.show(&session.client, by_script, session.db, entry.loggable(request));
    }
}

/// A tracked client may cache what it is answered: notes so while the keys are still locked, so that whoever changes
/// them next tells it.
#[cold]
pub(super) fn remember_tracked(server: &Server, session: &Session, entry: &Entry, request: Request<'_>) {
    // Of a script, what its commands read is remembered, not what it declares.
    let reads = entry.spec.flags.contains(Flags::READONLY) && !matches!(entry.spec.scope, Scope::Script);
    if reads && session.tracking.remembers() {
        let mut remember = |at: usize, _| server.tracking.remember(session.client.id, request.get(at));
        // Where the arguments are wrong there are no keys, and the answer is an error.
        let _ = keyspec::for_each_key(entry.spec, request, &mut remember);
    }
}

/// CLIENT CACHING speaks of the next command only, which is not one of CLIENT's, or of a whole transaction.
fn end_caching(session: &mut Session, entry: Option<&Entry>) {
    if session.transaction.is_some() {
        return;
    }
    let is_client = entry.and_then(|entry| entry.parent).is_some_and(|parent| parent.name == "client");
    if !is_client {
        session.tracking.remove(Modes::CACHING);
    }
}

/// What a command is answered with while a script keeps others waiting.
#[cold]
pub fn busy_error(server: &Server) -> Error {
    match server.scripting.busy_with() {
        Some(Purpose::Functions) => Error::BusyFunction,
        Some(Purpose::Eval) | None => Error::BusyScript,
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
