//! The append-only file as commands see it: what can be asked of it, and who waits for it. The work is done by an
//! [`Engine`] that the `persist` folder provides.

use super::waiters::{Waiter, Waiters};
use crate::keyspace::Keyspace;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// What becomes of a request to rewrite the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rewriting {
    Started,
    /// Later: something else is in the way.
    Scheduled,
    /// It is being rewritten already.
    InProgress,
    /// The files cannot be made; the log of the server says why.
    Failed,
}

/// For INFO.
#[derive(Clone, Copy, Debug)]
pub struct Status {
    /// Commands are logged.
    pub is_on: bool,
    pub is_rewriting: bool,
    pub is_scheduled: bool,
    /// Seconds that the last rewriting took, -1 if there was none.
    pub last_rewrite_s: i64,
    /// Seconds since the one in progress began, -1 if there is none.
    pub current_rewrite_s: i64,
    pub was_rewrite_ok: bool,
    pub rewrites: u64,
    pub failures_in_turn: u64,
    pub was_write_ok: bool,
    /// Sizes in bytes: of all files, of these after the last rewriting, of what is not written yet.
    pub current_bytes: u64,
    pub base_bytes: u64,
    pub buffer_bytes: u64,
    /// A file is being forced to disk, beside the writing.
    pub is_syncing: bool,
    /// How often that took too long.
    pub delayed_syncs: u64,
}

/// Does the work with files.
pub trait Engine: Send + Sync {
    fn status(&self) -> Status;

    /// Rewrites the log, now or `later`, when nothing is in the way any more.
    fn rewrite(&self, later: bool) -> Rewriting;

    /// Turns the log on or off. False if it could not be turned on; the server's log says why.
    fn set_on(&self, on: bool) -> bool;

    /// Takes over what CONFIG SET has changed.
    fn configure(&self);

    /// Waits until all that was logged so far is in the files, and on disk.
    fn sync(&self) -> bool;

    /// Empties all databases and loads the log again. The caller holds no lock of the keyspace. False if it could not
    /// be loaded.
    fn reload(&self) -> bool;
}

/// A connection that waits for its writes to be on disk: its position, and its wait.
type Awaiting = (u64, Arc<Waiter>);

/// See the module's head.
#[derive(Default)]
pub struct AppendOnly {
    engine: OnceLock<Arc<dyn Engine>>,
    is_on: AtomicBool,
    /// Position of the stream of effects up to which it is on disk.
    synced: AtomicU64,
    awaiting: Mutex<Vec<Awaiting>>,
    error: Mutex<Option<String>>,
}

impl AppendOnly {
    /// Sets who does the work. The first who is set stays.
    pub fn set_engine(&self, engine: Arc<dyn Engine>) {
        let _ = self.engine.set(engine);
    }

    /// Who does the work; nobody in tests that start no server.
    pub fn engine(&self) -> Option<&dyn Engine> {
        self.engine.get().map(|engine| &**engine)
    }

    /// Whether commands are logged.
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    pub fn set_on(&self, on: bool) {
        self.is_on.store(on, Ordering::Relaxed);
    }

    /// Why it cannot be written.
    pub fn error(&self) -> String {
        self.error.lock().clone().unwrap_or_default()
    }

    pub fn set_error(&self, error: Option<String>) {
        *self.error.lock() = error;
    }

    /// Position of the stream of effects up to which it is on disk.
    pub fn synced(&self) -> u64 {
        self.synced.load(Ordering::Acquire)
    }

    /// WAITAOF: the waiter is served when the stream is on disk up to this position.
    pub fn wait(&self, waiters: &Waiters, keyspace: &Keyspace, position: u64, waiter: Arc<Waiter>) {
        let mut awaiting = self.awaiting.lock();
        if self.synced() >= position {
            drop(awaiting);
            waiters.complete(keyspace, &waiter);
        } else {
            awaiting.retain(|(_, waiter)| waiter.is_waiting());
            awaiting.push((position, waiter));
        }
    }

    /// The stream is on disk up to this position: serves those who wait for that.
    pub fn note_synced(&self, waiters: &Waiters, keyspace: &Keyspace, position: u64) {
        let mut ready = Vec::new();
        {
            let mut awaiting = self.awaiting.lock();
            self.synced.fetch_max(position, Ordering::AcqRel);
            awaiting.retain(|(wanted, waiter)| {
                let is_ready = *wanted <= position;
                if is_ready {
                    ready.push(waiter.clone());
                }
                !is_ready
            });
        }
        ready.iter().for_each(|waiter| waiters.complete(keyspace, waiter));
    }
}
