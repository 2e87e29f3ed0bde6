//! Commands inside a command: the queue of EXEC, the calls of a script.
//!
//! The outer command holds a view of all that they need, found out by [`add_footprint`] before it was locked (or, in a
//! view that may grow, on the way). Each inner command uses that view in its own database ([`Call::run_inside`]), and
//! is counted, timed and logged like one that a client has sent by itself. Knows nothing of sockets.

use super::args::Args;
use super::call::{Call, Origin};
use super::dispatch::{Resolved, hash_keys, remember_tracked, show_monitors};
use super::errors::Error;
use super::keyspec;
use super::scripting;
use super::spec::{Databases, Needs, Scope};
use super::table::Entry;
use crate::keyspace::hash::KeyHash;
use crate::keyspace::view::Mode;
use crate::keyspace::{Footprint, Keyspace, unix_time};
use crate::resp::scan::Request;

/// The mode in which a command locks its keys.
pub fn mode(entry: &Entry) -> Mode {
    if entry.is_write() { Mode::Exclusive } else { Mode::Shared }
}

/// Adds what a command is going to touch when it runs in the database `db`. `keys` are the hashes of the keys that
/// [`hash_keys`] finds. Returns the database in which the next command runs.
pub fn add_footprint(
    footprint: &mut Footprint,
    keyspace: &Keyspace,
    db: usize,
    entry: &'static Entry,
    request: Request<'_>,
    keys: impl Iterator<Item = KeyHash>,
) -> usize {
    let mode = mode(entry);
    match entry.spec.scope {
        Scope::Keys => keys.for_each(|hash| footprint.add_key(db, hash, mode)),
        Scope::Script => {
            keys.for_each(|hash| footprint.add_key(db, hash, mode));
            if !scripting::declares_all(entry, request) {
                footprint.open();
            }
        }
        Scope::Nothing | Scope::Queued => {}
        Scope::Select => {
            let databases = Databases { selected: db, count: keyspace.databases() };
            // A number that is refused leaves the database as it is.
            return databases.next(&mut Args::new(request, entry.first_arg())).unwrap_or(db);
        }
        Scope::Database => footprint.add_database(db, mode),
        Scope::AllDatabases => (0..keyspace.databases()).for_each(|db| footprint.add_database(db, mode)),
        Scope::UsedDatabases => footprint.add_used_databases(mode),
        Scope::Walk => footprint.add_database(db, Mode::Shared),
        Scope::Survey(mode) => {
            footprint.add_database(db, mode);
            footprint.add_used_databases(mode);
        }
        Scope::Custom(_) => {
            // Arguments that are refused touch nothing.
            for (db, at) in custom_places(keyspace, db, entry, request).unwrap_or_default() {
                footprint.add_key(db, keyspace.hash(request.get(at)), mode);
            }
        }
        Scope::Chosen(needs) => {
            let Needs { database, mode } = needs(request);
            if database {
                footprint.add_database(db, mode);
            } else {
                let mut add = |at: usize, _| footprint.add_key(db, keyspace.hash(request.get(at)), mode);
                // Where the arguments are wrong there are no keys, and the answer is an error.
                let _ = keyspec::for_each_key(entry.spec, request, &mut add);
            }
        }
    }
    db
}

/// The keys that a command of [`Scope::Custom`] touches: databases, and positions of names. None for any other command.
///
/// # Errors
/// The command's reply.
pub fn custom_places(
    keyspace: &Keyspace,
    db: usize,
    entry: &'static Entry,
    request: Request<'_>,
) -> Result<Vec<(usize, usize)>, Error> {
    let mut found = Vec::new();
    if let Scope::Custom(places) = entry.spec.scope {
        let databases = Databases { selected: db, count: keyspace.databases() };
        places(&mut Args::new(request, entry.first_arg()), databases, &mut found)?;
    }
    Ok(found)
}

impl Call<'_, '_> {
    /// Sees to it that the view of this call holds what a command needs that is to be run inside of it. False if the
    /// view may not grow that far: nothing has changed then.
    pub fn cover(&mut self, entry: &'static Entry, request: Request<'_>) -> bool {
        let mut footprint = Footprint::default();
        let mut keys = Vec::new();
        hash_keys(self.server, Resolved::Command(entry), request, &mut keys);
        let hashes = keys.iter().map(|key| key.hash);
        add_footprint(&mut footprint, &self.server.keyspace, self.session.db, entry, request, hashes);
        self.keys.cover(&footprint)
    }

    /// Stops the time for all that will run inside of this command, if it is not inside of another itself. This comes
    /// when the locks are held: who has them next, on whichever worker, sees no earlier time. The time of the batch is
    /// older than the locks, and with it a script could find what another one has stored in its future.
    pub fn stop_time(&mut self) {
        if !self.origin.is_inside() {
            self.meter.stopped_at = unix_time();
            self.keys.now_ms = self.meter.stopped_at.as_millis() as i64;
        }
    }

    /// Runs a command inside of this one, in the database that the session has selected. The view holds what it needs.
    /// Writes its reply, or the error that it ended with.
    pub fn run_inside(&mut self, entry: &'static Entry, request: Request<'_>, origin: Origin) {
        let Some(handler) = entry.spec.handler else { return };
        let before = self.out.len();
        self.keys.turn_to(self.session.db);
        self.keys.set_touch(!self.session.no_touch);
        let result = match custom_places(&self.server.keyspace, self.session.db, entry, request) {
            Err(error) => Err(error),
            Ok(_) => handler(&mut Call {
                args: Args::new(request, entry.first_arg()),
                keys: &mut *self.keys,
                out: &mut *self.out,
                session: &mut *self.session,
                server: self.server,
                entry,
                origin,
                meter: &mut *self.meter,
            }),
        };
        if self.keys.is_logged() {
            self.keys.record(request.len(), request.iter());
        }
        if self.meter.monitored {
            show_monitors(self.server, self.session, origin, entry, request);
        }
        if !self.session.tracking.is_empty() {
            remember_tracked(self.server, self.session, entry, request);
        }
        let failed = result.is_err();
        if let Err(error) = result {
            self.out.truncate(before);
            self.out.error(error.reply());
            self.meter.count_error(&error);
        }
        self.meter.count_command(self.session);
        let nanos = self.meter.time(entry, 1, failed as u64);
        self.meter.note(self.session, request, entry, nanos);
    }
}
