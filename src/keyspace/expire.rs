//! Removes keys when their time has come.
//!
//! Every shard has a timing wheel (see [`crate::types::wheel`]). Each worker looks after the shards whose
//! number falls to it: [`Keyspace::expire_due`] takes what is due in small steps, each under one shard's lock;
//! in between the worker sleeps until the next due time, or until somebody files an earlier one.

use super::nap::Nap;
use super::{Keyspace, unix_ms};
use crate::types::wheel::CLOCK_JITTER_MS;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Items taken per lock: a few microseconds, so that a request for the same shard hardly waits.
const STEP_ITEMS: usize = 64;

/// The longest work without a pause; about what a pipelined batch takes.
const BUDGET: Duration = Duration::from_micros(200);

/// Sleeps are bounded, so that a clock that was set back or forth is noticed.
const LONGEST_SLEEP_MS: i64 = 1000;

/// What the expiry work of all workers shares.
pub struct Expiry {
    workers: Box<[Sleeper]>,
    /// DEBUG SET-ACTIVE-EXPIRE.
    active: AtomicBool,
}

/// How one worker is woken before its time.
struct Sleeper {
    nap: Nap,
    wake: Notify,
    /// The latest time of a complete round (Unix milliseconds) since the clock was set back.
    last_ms: AtomicI64,
}

/// What one round of expiry did.
#[derive(Clone, Copy, Default, Debug)]
pub struct Round {
    pub expired: u64,
    pub took: Duration,
    /// The time budget ran out before everything due was done.
    pub more: bool,
}

impl Expiry {
    pub(super) fn new(workers: usize) -> Expiry {
        let sleeper =
            || Sleeper { nap: Nap::new(AtomicI64::new(0)), wake: Notify::new(), last_ms: AtomicI64::new(0) };
        Expiry { workers: (0..workers).map(|_| sleeper()).collect(), active: AtomicBool::new(true) }
    }

    pub fn set_active(&self, active: bool) {
        self.active.store(active, Ordering::Relaxed);
    }

    pub fn is_active(&self) -> bool {
        self.active.load(Ordering::Relaxed)
    }

    /// Called when the wheel of shard number `shard` has something to do earlier than before: wakes the
    /// worker that would oversleep it.
    pub(super) fn wake_for(&self, shard: usize, due_ms: i64) {
        let sleeper = &self.workers[shard % self.workers.len()];
        if sleeper.nap.is_too_long_for(due_ms) {
            sleeper.wake.notify_one();
        }
    }
}

impl Keyspace {
    /// Removes keys that are due from the shards of `worker`, for about `budget`.
    pub fn expire_due(&self, worker: usize, now_ms: i64, budget: Duration) -> Round {
        let mut round = Round::default();
        if !self.expiry.is_active() {
            return round;
        }
        let started = Instant::now();
        let sleeper = &self.expiry.workers[worker];
        // Wheels that are ahead of the clock would wait for it; looking at them sets them right.
        let last_ms = sleeper.last_ms.load(Ordering::Relaxed);
        let set_back = now_ms + (CLOCK_JITTER_MS as i64) < last_ms;
        let mut due = Vec::with_capacity(STEP_ITEMS);
        for database in 0..self.databases() {
            let Some(shards) = self.existing(database) else { continue };
            for index in (worker..shards.len()).step_by(self.expiry.workers.len()) {
                let mut look = set_back;
                while std::mem::take(&mut look) || shards.due(index).get() <= now_ms {
                    let mut shard = self.exclusive(shards, index);
                    shard.advance(now_ms, STEP_ITEMS, &mut due, &mut |_| round.expired += 1);
                    drop(shard);
                    round.took = started.elapsed();
                    if round.took > budget {
                        round.more = true;
                        return round;
                    }
                }
            }
        }
        sleeper.last_ms.store(if set_back { now_ms } else { now_ms.max(last_ms) }, Ordering::Relaxed);
        round
    }

    /// When the next shard of `worker` wants attention: Unix milliseconds, `i64::MAX` if none does.
    fn next_due(&self, worker: usize) -> i64 {
        let mut next = i64::MAX;
        for database in 0..self.databases() {
            let Some(shards) = self.existing(database) else { continue };
            for index in (worker..shards.len()).step_by(self.expiry.workers.len()) {
                next = next.min(shards.due(index).get());
            }
        }
        next
    }

    /// The expiry work of `worker`, for as long as the runtime lives. Works at most [`BUDGET`] at a time, so
    /// that requests are served in between, and reports each round.
    pub async fn expire_forever(&self, worker: usize, mut report: impl FnMut(Round)) {
        let sleeper = &self.expiry.workers[worker];
        loop {
            let round = self.expire_due(worker, unix_ms(), BUDGET);
            report(round);
            if round.more {
                tokio::task::yield_now().await;
                continue;
            }
            let due =
                sleeper.nap.begin(|| if self.expiry.is_active() { self.next_due(worker) } else { i64::MAX });
            let wait_ms = due.saturating_sub(unix_ms()).clamp(1, LONGEST_SLEEP_MS) as u64;
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(wait_ms)) => {}
                () = sleeper.wake.notified() => {}
            }
            sleeper.nap.end();
        }
    }
}
