//! Who saves snapshots when a command, a save point, DEBUG or the end of the server asks for it.
//!
//! A snapshot is written by a thread of its own, whose time is cut into spells of some microseconds, between which it
//! offers its core to the workers. The cut is made by whoever asks, so that it is where the command is.

use super::rdb::file::NewFile;
use super::rdb::save::{self, Facts, Saver};
use super::start;
use crate::command::scripting;
use crate::config::value::SavePoint;
use crate::keyspace::fill::Existing;
use crate::keyspace::snapshot::Snapshot;
use crate::keyspace::unix_ms;
use crate::memory;
use crate::observe::process::error_text;
use crate::state::Server;
use crate::state::persistence::{Engine, Refusal, Reload, Saving, obstacle};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// The longest work without offering the core to others.
const SPELL: Duration = Duration::from_micros(50);

/// How often it is looked whether a snapshot that was given up has ended.
const ENDING_STEP: Duration = Duration::from_millis(5);

/// Saves and loads snapshots for a server.
pub struct Files {
    server: Weak<Server>,
}

/// Gives the server the one who saves its snapshots.
pub fn install(server: &Arc<Server>) {
    server.persistence.set_engine(Box::new(Files { server: Arc::downgrade(server) }));
}

/// The name of the snapshot's file. Absolute, as the working directory may change while it is written.
pub fn snapshot_name(server: &Server) -> PathBuf {
    server.config.directory().join(OsStr::from_bytes(&server.config.dbfilename()))
}

/// The name of a snapshot that is not complete.
fn temporary_name(server: &Server) -> PathBuf {
    server.config.directory().join(format!("temp-{}.rdb", std::process::id()))
}

/// Removes what was written of a snapshot that will not be completed, because the process ends.
pub fn remove_temporary(server: &Server) {
    // There may be none.
    let _ = std::fs::remove_file(temporary_name(server));
}

/// A snapshot of which the cut is made.
struct Job {
    snapshot: Snapshot,
    saver: Arc<Saver>,
    name: PathBuf,
    /// The count of changes at the cut.
    changes: u64,
}

impl Job {
    /// Opens the file and makes the cut.
    fn begin(server: &Server) -> Result<Job, Refusal> {
        let config = &server.config;
        // One at a time writes to the file, and who comes in between must not touch it.
        let Some(_claim) = server.persistence.claim() else { return Err(Refusal::SaveInProgress) };
        if server.persistence.is_saving() {
            return Err(Refusal::SaveInProgress);
        }
        let temporary = temporary_name(server);
        let file =
            NewFile::create(temporary.clone(), config.rdbchecksum(), config.rdb_save_incremental_fsync());
        let file = file.map_err(|error| {
            tracing::warn!(
                "Failed opening the temp RDB file {} (in server root dir {}) for saving: {}",
                temporary.display(),
                config.directory().display(),
                error_text(&error)
            );
            Refusal::Failed
        })?;
        let saver = Saver::new(file, save::Options::of(config, false));
        let mut changes = 0;
        let snapshot = Snapshot::begin(&server.keyspace, saver.clone(), |cut| {
            saver.begin(cut, &Facts::of(server));
            changes = server.counters.raw().dirty;
        });
        match snapshot {
            Ok(snapshot) => {
                let control = snapshot.control();
                saver.belongs_to(control.clone());
                *server.persistence.saving() = Some(Saving { control, started: Instant::now() });
                Ok(Job { snapshot, saver, name: snapshot_name(server), changes })
            }
            Err(_) => {
                saver.abandon();
                Err(Refusal::OtherSnapshot)
            }
        }
    }

    /// Writes the file. `Ok(false)` if it was cancelled.
    fn run(self, server: &Server) -> io::Result<bool> {
        let mut spell = Instant::now();
        let is_whole = self.snapshot.run(&server.keyspace, || {
            if spell.elapsed() > SPELL {
                memory::publish();
                std::thread::yield_now();
                spell = Instant::now();
            }
        });
        if !is_whole {
            let error = self.saver.take_error();
            self.saver.abandon();
            return error.map_or(Ok(false), Err);
        }
        self.saver.finish(&self.name)?;
        server.persistence.note_saved(self.changes, unix_ms() / 1000);
        tracing::info!("DB saved on disk");
        Ok(true)
    }
}

/// Tells why a snapshot could not be saved.
fn tell_failure(error: &io::Error) {
    tracing::warn!("Write error while saving DB to the disk: {}", error_text(error));
}

impl Files {
    fn server(&self) -> Result<Arc<Server>, Refusal> {
        self.server.upgrade().ok_or(Refusal::Failed)
    }
}

/// Saves a snapshot on this thread. That it failed is told to whoever asked, and keeps nobody from writing.
fn save_now(server: &Server) -> Result<(), Refusal> {
    let result = Job::begin(server)?.run(server);
    server.persistence.end_saving(false);
    match result {
        Ok(true) => {
            server.update_obstacles();
            Ok(())
        }
        Ok(false) => Err(Refusal::Failed),
        Err(error) => {
            tell_failure(&error);
            Err(Refusal::Failed)
        }
    }
}

/// Starts the thread that saves in the background.
fn start_thread(server: &Arc<Server>, f: impl FnOnce(&Server) + Send + 'static) -> Result<(), Refusal> {
    let for_thread = server.clone();
    let thread = std::thread::Builder::new().name("bgsave".into()).spawn(move || f(&for_thread));
    thread.map(drop).map_err(|error| {
        tracing::warn!("Can't save in background: {}", error_text(&error));
        server.persistence.note_failed();
        server.update_obstacles();
        Refusal::Failed
    })
}

/// Begins a snapshot that is saved in the background.
fn begin_in_background(server: &Server) -> Result<Job, Refusal> {
    let job = Job::begin(server).inspect_err(|refusal| {
        if *refusal == Refusal::Failed {
            server.persistence.note_failed();
            server.update_obstacles();
        }
    })?;
    tracing::info!("Background saving started by pid {}", std::process::id());
    Ok(job)
}

/// Runs a snapshot in the background to its end.
fn finish_in_background(server: &Server, job: Job) {
    let control = job.snapshot.control();
    let result = job.run(server);
    server.persistence.end_saving(true);
    match result {
        Ok(true) => tracing::info!("Background saving terminated with success"),
        // It was somebody's wish, and no failure.
        Ok(false) => tracing::warn!(
            "Background saving terminated after {} of {} keys: it was cancelled",
            control.saved_keys(),
            control.cut().keys()
        ),
        Err(error) => {
            tell_failure(&error);
            server.persistence.note_failed();
            tracing::warn!("Background saving error");
        }
    }
    server.update_obstacles();
}

impl Engine for Files {
    fn save(&self) -> Result<(), Refusal> {
        let server = self.server()?;
        if server.persistence.is_saving() {
            return Err(Refusal::SaveInProgress);
        }
        save_now(&server)
    }

    fn save_in_background(&self) -> Result<(), Refusal> {
        let server = self.server()?;
        let persistence = &server.persistence;
        if persistence.is_saving() {
            return Err(Refusal::SaveInProgress);
        }
        persistence.note_try();
        // The thread first: a cut that nobody works off would be in everybody's way.
        let (sender, receiver) = sync_channel::<Job>(1);
        start_thread(&server, move |server| {
            if let Ok(job) = receiver.recv() {
                finish_in_background(server, job);
            }
        })?;
        let job = begin_in_background(&server)?;
        let _ = sender.send(job);
        Ok(())
    }

    fn reload(&self, how: Reload) -> bool {
        let Ok(server) = self.server() else { return false };
        if how.save && save_now(&server).is_err() {
            return false;
        }
        let persistence = &server.persistence;
        persistence.set_obstacle(obstacle::LOADING, true);
        if how.flush {
            let databases = 0..server.keyspace.databases();
            let used = databases.clone().filter(|db| server.keyspace.existing(*db).is_some());
            let mut view =
                server.keyspace.lock_databases(0, unix_ms(), used, crate::keyspace::view::Mode::Exclusive);
            let garbage = view.flush(databases);
            view.finish();
            drop(garbage);
            scripting::forget_libraries(&server);
        }
        let existing = if how.merge { Existing::Replaced } else { Existing::Fault };
        let loaded = start::load_snapshot(&server, existing);
        persistence.end_loading();
        match loaded {
            Ok(_) => {
                tracing::info!("DB reloaded by DEBUG RELOAD");
                true
            }
            Err(error) => {
                tracing::warn!("{error}");
                tracing::warn!("Error trying to load the RDB dump, check server logs.");
                false
            }
        }
    }
}

/// What is to be done every now and then: save points, and BGSAVEs that had to wait. Called by the server's clock.
pub fn turn(server: &Arc<Server>) {
    let persistence = &server.persistence;
    server.update_obstacles();
    if persistence.is_loading() || persistence.is_saving() || persistence.waits_after_failure() {
        return;
    }
    if persistence.is_scheduled() {
        persistence.schedule(false);
        return save_by_clock(server, true);
    }
    let changes = persistence.unsaved_changes(server.counters.raw().dirty);
    let passed = unix_ms() / 1000 - persistence.last_save();
    let is_due = |point: &&SavePoint| changes >= point.changes as u64 && passed > point.seconds;
    let points = server.config.save();
    if let Some(point) = points.iter().find(is_due) {
        tracing::info!("{} changes in {} seconds. Saving...", point.changes, point.seconds);
        save_by_clock(server, false);
    }
}

/// Saves in the background, the cut included: the clock must not wait for locks. If it `was_scheduled` and cannot be
/// done now, it is scheduled again.
fn save_by_clock(server: &Arc<Server>, was_scheduled: bool) {
    server.persistence.note_try();
    // Why it cannot be done is in the log; it is tried again.
    let _ = start_thread(server, move |server| match begin_in_background(server) {
        Ok(job) => finish_in_background(server, job),
        Err(Refusal::OtherSnapshot) if was_scheduled => server.persistence.schedule(true),
        Err(_) => {}
    });
}

/// Whether there is to be a snapshot at the end of the server.
fn wants_save(server: &Server, wish: Option<bool>) -> bool {
    wish.unwrap_or(!server.config.save().is_empty())
}

/// Saves what is to be saved before the server ends: always if that is wished, never if the contrary is, otherwise if
/// there are save points. False if it failed.
pub fn save_before_exit(server: &Server, wish: Option<bool>) -> bool {
    if server.append_only.is_on()
        && let Some(log) = server.append_only.engine()
    {
        tracing::info!("Calling fsync() on the AOF file.");
        if !log.sync() {
            tracing::warn!("Fail to fsync the AOF file: {}", server.append_only.error());
        }
    }
    let persistence = &server.persistence;
    if persistence.cancel_saving() {
        tracing::warn!("There is a child saving an .rdb. Killing it!");
    }
    if !wants_save(server, wish) {
        remove_temporary(server);
        return true;
    }
    while persistence.is_saving() {
        std::thread::sleep(ENDING_STEP);
    }
    tracing::info!("Saving the final RDB snapshot before exiting.");
    if persistence.is_loading() {
        tracing::warn!("The data is not loaded yet, so it is not saved");
        return true;
    }
    let is_saved = save_now(server).is_ok();
    if !is_saved {
        tracing::warn!("Error trying to save the DB, can't exit.");
    }
    is_saved
}
