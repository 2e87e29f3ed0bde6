//! The append-only file: the stream of effects (see [`crate::keyspace::log`]) in files, in Redis 7's layout of several
//! parts.
//!
//! [`manifest`] says which files there are, [`files`] is the folder they are in. [`writer`] is the thread that writes the
//! stream, [`rewrite`] makes a new base beside it from a snapshot, [`load`] makes the data from the files when the
//! server starts, [`read`] takes a file apart, [`check`] is `nuthatch check-aof`. [`Aof`] is what they share.
//!
//! What is in which file is decided by positions of the stream: at the cut of a snapshot the stream is cut, too, and
//! from that position on it goes to another increment. So base and increments fit together exactly.
//!
//! Lock order: `files`, then `running`, `switches`; they are leaves to everybody else.

pub mod check;
mod commands;
pub mod files;
pub mod load;
pub mod manifest;
pub mod read;
mod rewrite;
mod writer;

use crate::config::choice::AppendFsync;
use crate::keyspace::log::Hold;
use crate::observe::process::error_text;
use crate::state::Server;
use crate::state::append_only::{Engine, Rewriting, Status};
use crate::state::persistence::obstacle;
use files::{Folder, ManifestError};
use manifest::Manifest;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use writer::{Switch, Target, now_s};

/// Automatic rewriting gives up for a while after so many failures in a row (Redis's figure), at first for a minute, then
/// for twice as long each time, at most for an hour.
const FAILURES_BEFORE_PAUSE: u64 = 3;
const MAX_PAUSE_MINUTES: u64 = 60;

/// Rewriting that was asked for and has failed is tried again after this time.
const RETRY_REWRITE_AFTER: Duration = Duration::from_secs(1);

/// How far the log is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Off,
    /// It is written, but it has no base yet.
    Beginning,
    On,
}

/// The files there are.
struct Files {
    folder: Folder,
    manifest: Manifest,
    phase: Phase,
}

/// A rewriting in progress.
struct Running {
    started: Instant,
    /// Ends the snapshot that it is made of.
    control: Option<crate::keyspace::snapshot::Control>,
    cancelled: bool,
}

/// See the module's head.
pub struct Aof {
    pub(super) server: Arc<Server>,
    files: Mutex<Files>,
    switches: Mutex<VecDeque<Switch>>,
    /// A switch was made.
    switched: Condvar,
    running: Mutex<Option<Running>>,
    is_scheduled: AtomicBool,
    /// The threads run.
    has_started: AtomicBool,
    /// Sizes of all files, and of these after the last rewriting, bytes.
    current_bytes: AtomicU64,
    base_bytes: AtomicU64,
    unwritten: AtomicU64,
    is_syncing: AtomicBool,
    /// Somebody waits for all that is written to be on disk.
    sync_now: AtomicBool,
    delayed_syncs: AtomicU64,
    last_rewrite_s: AtomicI64,
    rewrites: AtomicU64,
    has_rewrite_failed: AtomicBool,
    failures_in_turn: AtomicU64,
    /// When the last one has failed.
    failed_at: Mutex<Option<Instant>>,
    /// Automatic rewriting waits until then.
    paused_until: Mutex<Option<Instant>>,
    write_error: Mutex<Option<String>>,
    sync_error: Mutex<Option<String>>,
}

/// Gives the server the one who keeps its log.
pub fn install(server: &Arc<Server>) -> Arc<Aof> {
    let aof = Aof::new(server.clone());
    server.append_only.set_engine(Arc::new(Handle(aof.clone())));
    aof
}

impl Aof {
    /// For a server whose configuration is read.
    pub fn new(server: Arc<Server>) -> Arc<Aof> {
        let folder = Folder::new(&server.config.appenddirname(), &server.config.appendfilename());
        Arc::new(Aof {
            server,
            files: Mutex::new(Files { folder, manifest: Manifest::default(), phase: Phase::Off }),
            switches: Mutex::default(),
            switched: Condvar::new(),
            running: Mutex::default(),
            is_scheduled: AtomicBool::new(false),
            has_started: AtomicBool::new(false),
            current_bytes: AtomicU64::new(0),
            base_bytes: AtomicU64::new(0),
            unwritten: AtomicU64::new(0),
            is_syncing: AtomicBool::new(false),
            sync_now: AtomicBool::new(false),
            delayed_syncs: AtomicU64::new(0),
            last_rewrite_s: AtomicI64::new(-1),
            rewrites: AtomicU64::new(0),
            has_rewrite_failed: AtomicBool::new(false),
            failures_in_turn: AtomicU64::new(0),
            failed_at: Mutex::default(),
            paused_until: Mutex::default(),
            write_error: Mutex::default(),
            sync_error: Mutex::default(),
        })
    }

    /// Reads which files there are. False, and the reason in the server's log, if that cannot be told.
    pub fn read_manifest(&self) -> bool {
        let files = &mut *self.files.lock();
        match files.folder.read_manifest() {
            Ok(manifest) => files.manifest = manifest,
            Err(ManifestError::Bad(bad)) => {
                tracing::warn!("{bad}");
                return false;
            }
            Err(ManifestError::Io(error)) => {
                let (name, error) = (files.folder.manifest_name(), error_text(&error));
                tracing::warn!("Fatal error: can't open the AOF manifest file {name} for reading: {error}");
                return false;
            }
        }
        true
    }

    /// Begins to log into the files that were loaded, or into new ones. To be called when there are no clients yet.
    ///
    /// # Errors
    /// What cannot be made, and why: the server cannot start.
    pub fn open(self: &Arc<Aof>) -> Result<(), String> {
        let files = &mut *self.files.lock();
        let Files { folder, manifest, .. } = files;
        let failed = |what: &str, error: &io::Error| format!("{what}: {}", error_text(error));
        folder.create().map_err(|error| {
            failed(&format!("Can't open or create append-only dir {}", folder.name()), &error)
        })?;
        if manifest.is_empty() {
            let base = manifest.add_base(folder.prefix(), self.server.config.aof_use_rdb_preamble());
            rewrite::write_empty_base(&self.server, folder, &base)
                .map_err(|error| failed(&format!("Can't create the AOF base file {base}"), &error))?;
            tracing::info!("Creating AOF base file {base} on server start");
        }
        let last = manifest.increments.last().map(|part| part.name.clone());
        let is_new = last.is_none();
        let name = last.unwrap_or_else(|| manifest.add_increment(folder.prefix()));
        let file = folder
            .append_to(&name, false)
            .map_err(|error| failed(&format!("Can't open the append-only file {name}"), &error))?;
        folder.write_manifest(manifest).map_err(|error| failed("Can't write the AOF manifest", &error))?;
        let bytes = file.metadata().map_or(0, |data| data.len());
        let verb = if is_new { "Creating" } else { "Opening" };
        tracing::info!("{verb} AOF incr file {name} on server start");
        folder.remove_history(manifest, &self.server.config);
        self.current_bytes.store(folder.total_size(manifest), Ordering::Relaxed);
        files.phase = Phase::On;
        let position = self.server.keyspace.effects().open_log();
        self.push_switch(position, Some(Target { file: Arc::new(file), bytes }));
        self.server.append_only.set_on(true);
        self.start().map_err(|error| failed("Can't start the thread that writes the AOF", &error))?;
        self.configure_on(true);
        Ok(())
    }

    /// Starts the threads, unless they run.
    fn start(self: &Arc<Aof>) -> io::Result<()> {
        if self.has_started.swap(true, Ordering::AcqRel) { Ok(()) } else { writer::start(self.clone()) }
    }

    // What the writer asks.

    fn push_switch(&self, position: u64, to: Option<Target>) {
        self.switches.lock().push_back(Switch { position, to });
    }

    fn has_switch(&self) -> bool {
        !self.switches.lock().is_empty()
    }

    fn next_switch(&self) -> Option<u64> {
        self.switches.lock().front().map(|switch| switch.position)
    }

    fn next_is_nothing(&self) -> bool {
        self.switches.lock().front().is_some_and(|switch| switch.to.is_none())
    }

    /// Takes the next switch, which is made: all before `written` is in its file.
    fn take_switch(&self, written: u64) -> Option<Target> {
        let target = self.switches.lock().pop_front().and_then(|switch| switch.to);
        self.server.keyspace.effects().log().secure(written);
        self.switched.notify_all();
        target
    }

    fn grow(&self, bytes: u64) {
        self.current_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn note_synced(&self, position: u64) {
        self.server.append_only.note_synced(&self.server.waiters, &self.server.keyspace, position);
    }

    /// Notes an error of writing, or that it is over.
    fn note_write_error(&self, error: Option<&io::Error>) {
        *self.write_error.lock() = error.map(error_text);
        self.publish_errors();
    }

    /// Notes an error of forcing a file to disk, or that it is over.
    fn note_sync_error(&self, error: Option<&io::Error>) {
        let mut last = self.sync_error.lock();
        if last.is_none() && error.is_none() {
            return;
        }
        if let Some(error) = error {
            tracing::warn!("Fail to fsync the AOF file: {}", error_text(error));
        }
        *last = error.map(error_text);
        drop(last);
        self.publish_errors();
    }

    fn has_sync_failed(&self) -> bool {
        self.sync_error.lock().is_some()
    }

    fn publish_errors(&self) {
        let error = self.write_error.lock().clone().or_else(|| self.sync_error.lock().clone());
        self.server.persistence.set_obstacle(obstacle::LOG_FAILED, error.is_some());
        self.server.keyspace.effects().log().set_stuck(error.is_some());
        self.server.append_only.set_error(error);
    }

    /// Notes how long a write took.
    fn note_write(&self, took: Duration) {
        let event = if self.is_syncing.load(Ordering::Relaxed) {
            "aof-write-pending-fsync"
        } else if self.is_disk_busy() {
            "aof-write-active-child"
        } else {
            "aof-write-alone"
        };
        self.note_latency(event, took);
        self.note_latency("aof-write", took);
    }

    fn note_latency(&self, event: &str, took: Duration) {
        let threshold = self.server.config.latency_monitor_threshold();
        let millis = took.as_millis() as u64;
        if threshold > 0 && millis >= threshold {
            self.server.latency.add(event, now_s(), millis);
        }
    }

    /// Whether a snapshot is being written.
    fn is_disk_busy(&self) -> bool {
        self.running.lock().is_some() || self.server.persistence.is_saving()
    }

    /// What is to be looked after all the time: rewriting that waits, or that the size of the log asks for.
    fn look_after(self: &Arc<Aof>) {
        let waits = self.failed_at.lock().is_some_and(|at| at.elapsed() < RETRY_REWRITE_AFTER);
        if waits || self.is_disk_busy() {
            return;
        }
        let phase = self.files.lock().phase;
        let is_wanted = self.is_scheduled.load(Ordering::Relaxed) || phase == Phase::Beginning;
        if is_wanted || phase == Phase::On && self.has_outgrown() {
            rewrite::begin(self);
        }
    }

    /// Whether the log has grown as much as `auto-aof-rewrite-percentage` and `-min-size` say.
    fn has_outgrown(&self) -> bool {
        let config = &self.server.config;
        let percentage = config.auto_aof_rewrite_percentage();
        let current = self.current_bytes.load(Ordering::Relaxed);
        if percentage == 0 || current < config.auto_aof_rewrite_min_size() {
            return false;
        }
        if self.paused_until.lock().is_some_and(|until| Instant::now() < until) {
            return false;
        }
        let base = self.base_bytes.load(Ordering::Relaxed).max(1);
        let growth = (current as i128 * 100 / i128::from(base) - 100) as i64;
        let outgrown = growth >= percentage as i64;
        if outgrown {
            tracing::info!("Starting automatic rewriting of AOF on {growth}% growth");
        }
        outgrown
    }

    /// Notes how a rewriting has ended.
    fn note_rewrite(&self, ok: bool, took: Duration) {
        self.has_rewrite_failed.store(!ok, Ordering::Relaxed);
        self.last_rewrite_s.store(took.as_secs() as i64, Ordering::Relaxed);
        *self.failed_at.lock() = (!ok).then(Instant::now);
        if ok {
            self.failures_in_turn.store(0, Ordering::Relaxed);
            *self.paused_until.lock() = None;
            return;
        }
        let failures = self.failures_in_turn.fetch_add(1, Ordering::Relaxed) + 1;
        if failures >= FAILURES_BEFORE_PAUSE {
            let doublings = (failures - FAILURES_BEFORE_PAUSE).min(6) as u32;
            let minutes = (1u64 << doublings).min(MAX_PAUSE_MINUTES);
            *self.paused_until.lock() = Some(Instant::now() + Duration::from_secs(60 * minutes));
            tracing::warn!(
                "Background AOF rewrite has repeatedly failed and triggered the limit, will retry in {minutes} minutes"
            );
        }
    }

    /// Waits until the writer has made all switches.
    fn wait_for_switches(&self) {
        let mut switches = self.switches.lock();
        while !switches.is_empty() {
            self.server.keyspace.effects().log().wake_reader();
            self.switched.wait_for(&mut switches, Duration::from_millis(10));
        }
    }

    /// Gives up a rewriting in progress. It ends by itself, when it can: it may need locks that the caller holds.
    fn cancel_rewriting(&self) {
        if let Some(running) = &mut *self.running.lock() {
            tracing::info!("Killing running AOF rewrite child: {}", std::process::id());
            running.cancelled = true;
            if let Some(control) = &running.control {
                control.cancel();
            }
        }
    }

    /// Whether the rewriting in progress was given up.
    fn is_rewriting_cancelled(&self) -> bool {
        self.running.lock().as_ref().is_none_or(|running| running.cancelled)
    }

    /// Turns the log on: it is written at once, but complete only when it has a base. False if it cannot be.
    fn turn_on(self: &Arc<Aof>) -> bool {
        self.cancel_rewriting();
        {
            let files = &mut *self.files.lock();
            let made = files.folder.create();
            if let Err(error) = &made {
                let (name, error) = (files.folder.name(), error_text(error));
                tracing::warn!("Can't open or create append-only dir {name}: {error}");
                return false;
            }
            files.phase = Phase::Beginning;
        }
        if let Err(error) = self.start() {
            tracing::warn!("Can't start the thread that writes the AOF: {error}");
            return false;
        }
        self.server.append_only.set_on(true);
        if self.server.persistence.is_saving() {
            self.is_scheduled.store(true, Ordering::Relaxed);
            tracing::info!(
                "AOF was enabled but there is already another background operation. An AOF background was scheduled to \
                 start when possible."
            );
        } else if self.running.lock().is_some() {
            // The one that was given up has not ended yet.
            self.is_scheduled.store(true, Ordering::Relaxed);
        } else if rewrite::begin(self) == Rewriting::Failed {
            self.files.lock().phase = Phase::Off;
            self.server.append_only.set_on(false);
            tracing::warn!(
                "The server needs to enable the AOF but can't trigger a background AOF rewrite operation. Check the \
                 above logs for more info about the error."
            );
            return false;
        }
        self.configure();
        true
    }

    fn turn_off(&self) {
        self.cancel_rewriting();
        let effects = self.server.keyspace.effects();
        effects.close_log();
        self.push_switch(effects.log().end(), None);
        effects.log().set_hold(None);
        self.wait_for_switches();
        let files = &mut *self.files.lock();
        if files.phase == Phase::Beginning {
            files::remove(&files.folder.file(&files.folder.temporary_increment()));
        }
        files.phase = Phase::Off;
        if self.is_scheduled.swap(false, Ordering::Relaxed) {
            tracing::info!("AOF was disabled but there is a scheduled AOF background, cancel it.");
        }
        self.note_write_error(None);
        self.note_sync_error(None);
        self.server.append_only.set_on(false);
    }
}

/// The engine is what threads share, by reference.
pub struct Handle(pub Arc<Aof>);

impl Engine for Handle {
    fn status(&self) -> Status {
        let aof = &*self.0;
        let phase = aof.files.lock().phase;
        let running = aof.running.lock().as_ref().map(|running| running.started);
        let log = aof.server.keyspace.effects().log();
        Status {
            is_on: phase != Phase::Off,
            is_rewriting: running.is_some(),
            is_scheduled: aof.is_scheduled.load(Ordering::Relaxed),
            last_rewrite_s: aof.last_rewrite_s.load(Ordering::Relaxed),
            current_rewrite_s: running.map_or(-1, |started| started.elapsed().as_secs() as i64),
            was_rewrite_ok: !aof.has_rewrite_failed.load(Ordering::Relaxed),
            rewrites: aof.rewrites.load(Ordering::Relaxed),
            failures_in_turn: aof.failures_in_turn.load(Ordering::Relaxed),
            was_write_ok: aof.write_error.lock().is_none() && aof.sync_error.lock().is_none(),
            current_bytes: aof.current_bytes.load(Ordering::Relaxed),
            base_bytes: aof.base_bytes.load(Ordering::Relaxed),
            buffer_bytes: log.pending_bytes() + aof.unwritten.load(Ordering::Relaxed),
            is_syncing: aof.is_syncing.load(Ordering::Relaxed),
            delayed_syncs: aof.delayed_syncs.load(Ordering::Relaxed),
        }
    }

    fn rewrite(&self, later: bool) -> Rewriting {
        let aof = &self.0;
        if aof.running.lock().is_some() {
            return Rewriting::InProgress;
        }
        aof.paused_until.lock().take();
        if later || aof.server.persistence.is_saving() {
            aof.is_scheduled.store(true, Ordering::Relaxed);
            tracing::info!("Background append only file rewriting scheduled.");
            return Rewriting::Scheduled;
        }
        rewrite::begin(aof)
    }

    fn set_on(&self, on: bool) -> bool {
        let is_on = self.0.files.lock().phase != Phase::Off;
        match (is_on, on) {
            (false, true) => self.0.turn_on(),
            (true, false) => {
                self.0.turn_off();
                true
            }
            _ => true,
        }
    }

    fn configure(&self) {
        self.0.configure();
    }

    fn sync(&self) -> bool {
        self.0.sync()
    }

    fn reload(&self) -> bool {
        self.0.reload()
    }
}

impl Aof {
    /// Takes over what the configuration says.
    fn configure(&self) {
        let is_on = {
            let files = &mut *self.files.lock();
            files.folder.remove_history(&mut files.manifest, &self.server.config);
            files.phase != Phase::Off
        };
        self.configure_on(is_on);
    }

    fn configure_on(&self, is_on: bool) {
        let config = &self.server.config;
        let log = self.server.keyspace.effects().log();
        log.set_stamps(config.aof_timestamp_enabled());
        log.set_hold(is_on.then(|| match config.appendfsync() {
            AppendFsync::Always => Hold::All,
            AppendFsync::EverySecond | AppendFsync::No => Hold::Behind,
        }));
    }

    /// Waits until all that was appended so far is on disk. False if it cannot be written.
    fn sync(&self) -> bool {
        if self.files.lock().phase == Phase::Off {
            return true;
        }
        let log = self.server.keyspace.effects().log();
        let position = log.end();
        while self.server.append_only.synced() < position {
            self.sync_now.store(true, Ordering::Release);
            if self.write_error.lock().is_some() || self.sync_error.lock().is_some() {
                return false;
            }
            log.wake_reader();
            std::thread::sleep(Duration::from_millis(1));
        }
        true
    }
}
