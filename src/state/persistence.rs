//! What the server knows of its data on disk: what is being loaded or saved, what became of it, and why writes may have
//! to be refused. The work itself is done by an [`Engine`] that the `persist` folder provides: commands reach it here.

use super::Server;
use crate::keyspace::snapshot::Control;
use parking_lot::Mutex;
use std::sync::OnceLock;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64};
use std::time::{Duration, Instant};

/// Why a command may be refused, as bits of [`Persistence::obstacles`].
pub mod obstacle {
    /// Data is being loaded.
    pub const LOADING: u8 = 1;
    /// The last snapshot could not be saved.
    pub const SNAPSHOT_FAILED: u8 = 2;
    /// The log cannot be written.
    pub const LOG_FAILED: u8 = 4;
}

/// After a failed snapshot the next one is not tried before this time (Redis's `CONFIG_BGSAVE_RETRY_DELAY`).
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Why a snapshot is not begun.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// One is being saved.
    SaveInProgress,
    /// The log is being rewritten, or a replica is being fed.
    OtherSnapshot,
    /// The file cannot be made; the log says why.
    Failed,
}

/// What DEBUG RELOAD does with the data that is there.
#[derive(Clone, Copy, Debug)]
pub struct Reload {
    /// Saves a snapshot first.
    pub save: bool,
    /// Empties all databases before it is loaded.
    pub flush: bool,
    /// Keys that are there already are replaced.
    pub merge: bool,
}

/// Does the work with files.
pub trait Engine: Send + Sync {
    /// Saves a snapshot before it returns; false if that failed. The caller holds no lock of the keyspace.
    fn save(&self) -> Result<(), Refusal>;

    /// Makes the cut of a snapshot, which is then saved by another thread.
    fn save_in_background(&self) -> Result<(), Refusal>;

    /// Loads the snapshot again, under the eyes of nobody. False if that failed.
    fn reload(&self, how: Reload) -> bool;
}

/// What is being saved.
pub struct Saving {
    pub control: Control,
    pub started: Instant,
}

/// What is known of loading, for INFO.
#[derive(Default)]
pub struct Loading {
    /// Unix seconds.
    pub started_at: AtomicI64,
    pub total_bytes: AtomicU64,
    pub loaded_bytes: AtomicU64,
    /// The memory in use when the snapshot was saved, as it says.
    pub rdb_used_bytes: AtomicU64,
    /// Keys of the last snapshot that was loaded.
    pub keys: AtomicU64,
    pub expired_keys: AtomicU64,
}

/// Data on disk, as commands see it.
pub struct Persistence {
    obstacles: AtomicU8,
    engine: OnceLock<Box<dyn Engine>>,
    pub loading: Loading,
    /// The count of changes that the last snapshot has.
    saved_changes: AtomicU64,
    /// Unix seconds.
    last_save: AtomicI64,
    has_failed: AtomicBool,
    last_try: Mutex<Option<Instant>>,
    /// Seconds that the last snapshot took in the background; -1 if there was none.
    last_seconds: AtomicI64,
    saves: AtomicU64,
    saving: Mutex<Option<Saving>>,
    /// Held by whoever begins to save. Not while it saves.
    claim: Mutex<()>,
    /// BGSAVE SCHEDULE waits for the end of another snapshot.
    is_scheduled: AtomicBool,
}

impl Persistence {
    /// `now_s` is what LASTSAVE says until something is saved, Unix seconds.
    pub fn new(now_s: i64) -> Persistence {
        Persistence {
            obstacles: AtomicU8::new(0),
            engine: OnceLock::new(),
            loading: Loading::default(),
            saved_changes: AtomicU64::new(0),
            last_save: AtomicI64::new(now_s),
            has_failed: AtomicBool::new(false),
            last_try: Mutex::new(None),
            last_seconds: AtomicI64::new(-1),
            saves: AtomicU64::new(0),
            saving: Mutex::new(None),
            claim: Mutex::new(()),
            is_scheduled: AtomicBool::new(false),
        }
    }

    /// Sets who does the work. The first who is set stays.
    pub fn set_engine(&self, engine: Box<dyn Engine>) {
        let _ = self.engine.set(engine);
    }

    /// Who does the work; nobody in tests that start no server.
    pub fn engine(&self) -> Option<&dyn Engine> {
        self.engine.get().map(Box::as_ref)
    }

    /// Bits of [`obstacle`]. Mostly there are none.
    #[inline]
    pub fn obstacles(&self) -> u8 {
        self.obstacles.load(Relaxed)
    }

    /// Puts an obstacle in the way of commands, or takes it away.
    pub fn set_obstacle(&self, obstacle: u8, is_there: bool) {
        if is_there {
            self.obstacles.fetch_or(obstacle, Release);
        } else {
            self.obstacles.fetch_and(!obstacle, Release);
        }
    }

    pub fn is_loading(&self) -> bool {
        self.obstacles.load(Acquire) & obstacle::LOADING != 0
    }

    /// Begins to load so many bytes; commands are refused until [`Persistence::end_loading`].
    pub fn begin_loading(&self, total_bytes: u64, now_s: i64) {
        self.loading.started_at.store(now_s, Relaxed);
        self.loading.total_bytes.store(total_bytes, Relaxed);
        self.loading.loaded_bytes.store(0, Relaxed);
        self.loading.rdb_used_bytes.store(0, Relaxed);
        self.set_obstacle(obstacle::LOADING, true);
    }

    pub fn end_loading(&self) {
        self.set_obstacle(obstacle::LOADING, false);
    }

    /// Changes since the last snapshot, of which there were `changes` since the start.
    pub fn unsaved_changes(&self, changes: u64) -> u64 {
        changes.saturating_sub(self.saved_changes.load(Relaxed))
    }

    /// All changes up to this count are on disk, or are forgotten.
    pub fn forget_changes(&self, changes: u64) {
        self.saved_changes.store(changes, Relaxed);
    }

    /// Unix seconds.
    pub fn last_save(&self) -> i64 {
        self.last_save.load(Relaxed)
    }

    /// Whether the last snapshot could be saved.
    pub fn is_last_save_ok(&self) -> bool {
        !self.has_failed.load(Relaxed)
    }

    /// Whether a snapshot that failed was tried too short a time ago.
    pub fn waits_after_failure(&self) -> bool {
        !self.is_last_save_ok() && self.last_try.lock().is_some_and(|at| at.elapsed() < RETRY_AFTER)
    }

    /// A snapshot is tried.
    pub fn note_try(&self) {
        *self.last_try.lock() = Some(Instant::now());
    }

    /// A snapshot is saved that has so many changes.
    pub fn note_saved(&self, changes: u64, now_s: i64) {
        self.forget_changes(changes);
        self.last_save.store(now_s, Relaxed);
        self.saves.fetch_add(1, Relaxed);
        self.has_failed.store(false, Relaxed);
    }

    /// A snapshot could not be saved.
    pub fn note_failed(&self) {
        self.has_failed.store(true, Relaxed);
    }

    /// Snapshots saved so far.
    pub fn saves(&self) -> u64 {
        self.saves.load(Relaxed)
    }

    pub fn reset_saves(&self) {
        self.saves.store(0, Relaxed);
    }

    /// The right to begin to save; nothing if somebody else has it.
    pub fn claim(&self) -> Option<parking_lot::MutexGuard<'_, ()>> {
        self.claim.try_lock()
    }

    /// What is being saved. Nothing is locked while this is.
    pub fn saving(&self) -> parking_lot::MutexGuard<'_, Option<Saving>> {
        self.saving.lock()
    }

    pub fn is_saving(&self) -> bool {
        self.saving.lock().is_some()
    }

    /// What was being saved is saved, or is not.
    pub fn end_saving(&self, was_in_background: bool) {
        if let Some(saving) = self.saving.lock().take()
            && was_in_background
        {
            self.last_seconds.store(saving.started.elapsed().as_secs() as i64, Relaxed);
        }
    }

    /// Gives up what is being saved in the background. Returns whether there was anything.
    pub fn cancel_saving(&self) -> bool {
        let saving = self.saving.lock();
        saving.as_ref().inspect(|saving| saving.control.cancel()).is_some()
    }

    /// Seconds that the last snapshot took in the background; -1 if there was none.
    pub fn last_seconds(&self) -> i64 {
        self.last_seconds.load(Relaxed)
    }

    pub fn schedule(&self, is_scheduled: bool) {
        self.is_scheduled.store(is_scheduled, Relaxed);
    }

    pub fn is_scheduled(&self) -> bool {
        self.is_scheduled.load(Relaxed)
    }
}

impl Server {
    /// Finds out anew whether commands have to be refused because of the disk.
    pub fn update_obstacles(&self) {
        let persistence = &self.persistence;
        let is_in_the_way = !persistence.is_last_save_ok()
            && self.config.stop_writes_on_bgsave_error()
            && !self.config.save().is_empty();
        persistence.set_obstacle(obstacle::SNAPSHOT_FAILED, is_in_the_way);
    }
}
