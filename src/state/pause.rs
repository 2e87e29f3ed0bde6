//! CLIENT PAUSE: until when which commands of clients wait.

use parking_lot::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};
use tokio::sync::Notify;

/// Which commands wait.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Paused {
    Nothing = 0,
    Writes = 1,
    Everything = 2,
}

/// The pause that is in force.
pub struct Pause {
    /// [`Paused`] as a number: what the hot path reads.
    level: AtomicU8,
    until: Mutex<Option<(Paused, i64)>>,
    changed: Notify,
}

impl Default for Pause {
    fn default() -> Pause {
        Pause { level: AtomicU8::new(0), until: Mutex::new(None), changed: Notify::new() }
    }
}

impl Pause {
    /// What waits at the moment; may outlast the end of the pause by the time until [`Pause::wait`] ends it.
    #[inline]
    pub fn level(&self) -> Paused {
        match self.level.load(Ordering::Acquire) {
            0 => Paused::Nothing,
            1 => Paused::Writes,
            _ => Paused::Everything,
        }
    }

    /// Pauses until `until_ms` (Unix). A pause that is in force is never shortened or weakened. Returns until when
    /// the pause now lasts.
    pub fn pause(&self, paused: Paused, until_ms: i64, now_ms: i64) -> i64 {
        let mut current = self.until.lock();
        let (paused, until_ms) = match *current {
            Some((old, old_until)) if old_until > now_ms => (old.max(paused), old_until.max(until_ms)),
            _ => (paused, until_ms),
        };
        *current = Some((paused, until_ms));
        self.level.store(paused as u8, Ordering::Release);
        drop(current);
        self.changed.notify_waiters();
        until_ms
    }

    /// Ends the pause.
    pub fn unpause(&self) {
        *self.until.lock() = None;
        self.level.store(Paused::Nothing as u8, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// The pause in force: what, and milliseconds left.
    pub fn remaining(&self, now_ms: i64) -> Option<(Paused, i64)> {
        let (paused, until) = (*self.until.lock())?;
        (until > now_ms).then_some((paused, until - now_ms))
    }

    /// Waits until commands of this kind may run, ending the pause when its time is over.
    pub async fn wait(&self, is_write: bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let applies = match self.level() {
                Paused::Nothing => false,
                Paused::Writes => is_write,
                Paused::Everything => true,
            };
            if !applies {
                return;
            }
            match self.remaining(crate::keyspace::unix_ms()) {
                None => return self.unpause(),
                Some((_, left_ms)) => {
                    let left = std::time::Duration::from_millis(left_ms as u64);
                    let _ = tokio::time::timeout(left, changed).await;
                }
            }
        }
    }
}
