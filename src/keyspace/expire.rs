//! Removes keys when their time has come.
//!
//! Every shard has a timing wheel (see [`crate::types::wheel`]). Threads of their own, the reapers, each look after
//! the shards whose number falls to them: [`Keyspace::expire_due`] takes what is due in small steps, each under one
//! shard's lock; in between the reaper sleeps until the next due time, or until somebody files an earlier one.
//!
//! Why not the workers: deadlines come in crowds, and a worker that removes one keeps the requests of its
//! connections waiting. A thread of its own is put on an idle core by the system; and it offers its core to others
//! after every few microseconds, so whoever shares it, worker or client, does not wait for the end of a time slice.

use super::effects::Expiring;
use super::nap::Nap;
use super::shard::Expired;
use super::{Entry, Keyspace, unix_ms};
use crate::types::wheel::CLOCK_JITTER_MS;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// Items taken per lock: a few microseconds, so that a request for the same shard hardly waits.
const STEP_ITEMS: usize = 32;

/// The longest work without offering the core to others.
const SPELL: Duration = Duration::from_micros(20);

/// Where many keys are due, they wait for each other for this long, since a shard's keys are removed faster together:
/// their cache misses overlap.
const GATHER: Duration = Duration::from_millis(8);

/// Who is further behind than this takes the whole share of the core that the system gives to every thread.
const MAX_LATE_MS: i64 = 20;

/// Sleeps are bounded, so that a clock that was set back or forth is noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// What the reapers share.
pub struct Expiry {
    reapers: Box<[Reaper]>,
    /// DEBUG SET-ACTIVE-EXPIRE.
    active: AtomicBool,
    /// Nothing is removed before this time, Unix milliseconds; see [`Expiry::pause_until`].
    paused_until_ms: AtomicI64,
    stopped: AtomicBool,
}

struct Reaper {
    nap: Nap,
    /// Whom to wake.
    thread: OnceLock<Thread>,
    position: Position,
    /// The latest time of a round since the clock was set back, Unix milliseconds.
    last_ms: AtomicI64,
}

/// Where a reaper's next round begins: a database and one of the reaper's shards. Only the reaper moves it.
struct Position {
    database: AtomicUsize,
    shard: AtomicUsize,
}

impl Position {
    fn get(&self) -> (usize, usize) {
        (self.database.load(Ordering::Relaxed), self.shard.load(Ordering::Relaxed))
    }

    fn set(&self, database: usize, shard: usize) {
        self.database.store(database, Ordering::Relaxed);
        self.shard.store(shard, Ordering::Relaxed);
    }
}

/// What one round of expiry did.
#[derive(Clone, Copy, Default, Debug)]
pub struct Round {
    pub expired: u64,
    /// Fields of hashes.
    pub fields: u64,
    pub took: Duration,
    /// The time budget ran out before everything due was done.
    pub more: bool,
    /// How far behind the round was at worst, milliseconds.
    pub late_ms: i64,
}

impl Expiry {
    pub(super) fn new(reapers: usize) -> Expiry {
        let reaper = |number| Reaper {
            nap: Nap::new(AtomicI64::new(0)),
            thread: OnceLock::new(),
            position: Position { database: AtomicUsize::new(0), shard: AtomicUsize::new(number) },
            last_ms: AtomicI64::new(0),
        };
        Expiry {
            reapers: (0..reapers).map(reaper).collect(),
            active: AtomicBool::new(true),
            paused_until_ms: AtomicI64::new(0),
            stopped: AtomicBool::new(false),
        }
    }

    pub fn set_active(&self, active: bool) {
        self.active.store(active, Ordering::Relaxed);
        self.wake_all();
    }

    pub fn is_active(&self) -> bool {
        self.active.load(Ordering::Relaxed)
    }

    /// Leaves expired keys where they are until then (Unix milliseconds): CLIENT PAUSE says that nothing changes.
    /// Nobody sees them.
    pub fn pause_until(&self, until_ms: i64) {
        self.paused_until_ms.store(until_ms, Ordering::Relaxed);
        self.wake_all();
    }

    pub(super) fn is_paused(&self, now_ms: i64) -> bool {
        now_ms < self.paused_until_ms.load(Ordering::Relaxed)
    }

    /// The number of reapers.
    pub fn reapers(&self) -> usize {
        self.reapers.len()
    }

    /// Ends [`Keyspace::expire_forever`].
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.wake_all();
    }

    fn wake_all(&self) {
        self.reapers.iter().for_each(Reaper::wake);
    }

    /// Called when the wheel of shard number `shard` has something to do earlier than before: wakes the
    /// reaper that would oversleep it.
    pub(super) fn wake_for(&self, shard: usize, due_ms: i64) {
        let reaper = &self.reapers[shard % self.reapers.len()];
        if reaper.nap.is_too_long_for(due_ms) {
            reaper.wake();
        }
    }
}

impl Reaper {
    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

impl Keyspace {
    /// Removes keys that are due from the shards of reaper number `reaper`, for about `budget`, and goes on next
    /// time where the time ran out.
    pub fn expire_due(&self, reaper: usize, now_ms: i64, budget: Duration) -> Round {
        let mut round = Round::default();
        let expiry = &self.common.expiry;
        if !expiry.is_active() || expiry.is_paused(now_ms) {
            return round;
        }
        let started = Instant::now();
        let reapers = expiry.reapers.len();
        let (first, reaper) = (reaper, &expiry.reapers[reaper]);
        let mut due = Vec::with_capacity(STEP_ITEMS);
        let last_ms = reaper.last_ms.load(Ordering::Relaxed);
        let set_back = now_ms + (CLOCK_JITTER_MS as i64) < last_ms;
        let mut dead = Vec::with_capacity(STEP_ITEMS);
        reaper.last_ms.store(if set_back { now_ms } else { now_ms.max(last_ms) }, Ordering::Relaxed);
        if set_back {
            // Wheels that are ahead of the clock would wait for it; looking at them once sets them right.
            for database in 0..self.databases() {
                let Some(shards) = self.existing(database) else { continue };
                for index in (first..shards.len()).step_by(reapers) {
                    let mut shard = self.exclusive(shards, index);
                    shard.advance(now_ms, STEP_ITEMS, &mut due, &mut |expired| {
                        self.note_expired(database, expired, &mut round, &mut dead);
                    });
                    drop(shard);
                    dead.drain(..).for_each(|entry| self.dispose(entry));
                }
            }
        }
        let (start_database, start_shard) = reaper.position.get();
        // The first database comes twice: from where the last round ended, and up to there.
        for turn in 0..=self.databases() {
            let database = (start_database + turn) % self.databases();
            let Some(shards) = self.existing(database) else { continue };
            let from = if turn == 0 { start_shard } else { first };
            let to = if turn == self.databases() { start_shard } else { shards.len() };
            for index in (from..to).step_by(reapers) {
                loop {
                    let late_ms = now_ms - shards.due(index).get();
                    if late_ms < 0 {
                        break;
                    }
                    round.late_ms = round.late_ms.max(late_ms);
                    let mut shard = self.exclusive(shards, index);
                    shard.advance(now_ms, STEP_ITEMS, &mut due, &mut |expired| {
                        self.note_expired(database, expired, &mut round, &mut dead);
                    });
                    drop(shard);
                    // Only now, since values may be large.
                    dead.drain(..).for_each(|entry| self.dispose(entry));
                    round.took = started.elapsed();
                    if round.took > budget {
                        reaper.position.set(database, index + reapers);
                        round.more = true;
                        return round;
                    }
                }
            }
        }
        round
    }

    /// Counts what has expired and tells those whom it concerns, while its shard is locked. What is to be dropped
    /// afterwards goes to `dead`.
    fn note_expired(&self, db: usize, expired: Expired<'_>, round: &mut Round, dead: &mut Vec<Entry>) {
        let tell = |what, key: &[u8]| self.effects.expired(what, db, key, || self.hash(key));
        match expired {
            Expired::Key(entry) => {
                tell(Expiring::Key, entry.key());
                round.expired += 1;
                dead.push(entry);
            }
            Expired::Fields(fields, key) => {
                tell(Expiring::Fields(&fields), key);
                round.fields += fields.len() as u64;
            }
            Expired::AllFields(fields, entry) => {
                tell(Expiring::AllFields(&fields), entry.key());
                round.fields += fields.len() as u64;
                dead.push(entry);
            }
        }
    }

    /// When the next shard of `reaper` wants attention: Unix milliseconds, `i64::MAX` if none does.
    fn next_due(&self, reaper: usize) -> i64 {
        let mut next = i64::MAX;
        for database in 0..self.databases() {
            let Some(shards) = self.existing(database) else { continue };
            for index in (reaper..shards.len()).step_by(self.common.expiry.reapers.len()) {
                next = next.min(shards.due(index).get());
            }
        }
        next
    }

    /// The work of `reaper`, on the calling thread, until [`Expiry::stop`]. Reports each round.
    pub fn expire_forever(&self, reaper: usize, mut report: impl FnMut(Round)) {
        let expiry = &self.common.expiry;
        let (number, reaper) = (reaper, &expiry.reapers[reaper]);
        let _ = reaper.thread.set(std::thread::current());
        let mut crowd: Option<Instant> = None;
        while !expiry.stopped.load(Ordering::Relaxed) {
            let started = Instant::now();
            let round = self.expire_due(number, unix_ms(), SPELL);
            report(round);
            if round.more {
                crowd.get_or_insert(started);
                if round.late_ms <= MAX_LATE_MS {
                    std::thread::yield_now();
                }
                continue;
            }
            if let Some(since) = crowd.take() {
                std::thread::sleep(GATHER.saturating_sub(since.elapsed()));
                continue;
            }
            let due = reaper.nap.begin(|| match expiry.is_active() {
                true => self.next_due(number).max(expiry.paused_until_ms.load(Ordering::Relaxed)),
                false => i64::MAX,
            });
            if let Ok(wait_ms @ 1..) = u64::try_from(due.saturating_sub(unix_ms())) {
                std::thread::park_timeout(Duration::from_millis(wait_ms).min(LONGEST_SLEEP));
            }
            reaper.nap.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::shard::Read;
    use crate::keyspace::view::{Hashed, Mode};
    use crate::keyspace::{Deadline, Value};
    use std::collections::BTreeSet;
    use std::sync::Arc;

    fn set(keyspace: &Keyspace, database: usize, key: &[u8], deadline_ms: i64) {
        let hashed = [Hashed::new(key, keyspace.hash(key))];
        let mut view = keyspace.lock_keys(database, unix_ms(), &hashed, Mode::Exclusive);
        view.set(key, Value::Int(1), Deadline::At(deadline_ms));
        view.finish();
    }

    #[test]
    fn rounds_without_time_for_all_take_turns_with_the_shards() {
        let keyspace = Keyspace::new(3, 8, 2);
        let now_ms = unix_ms();
        for n in 0..64_u32 {
            set(&keyspace, (n % 2) as usize * 2, &n.to_be_bytes(), now_ms + 10);
        }
        let (mut expired, mut rounds) = (0, 0);
        for reaper in 0..2 {
            // Each round removes the keys of one shard, as many as there are.
            while let round @ Round { more: true, .. } =
                keyspace.expire_due(reaper, now_ms + 20, Duration::ZERO)
            {
                (expired, rounds) = (expired + round.expired, rounds + 1);
            }
        }
        assert_eq!(expired, 64);
        assert!(rounds <= 16, "{rounds} rounds");
        assert_eq!(keyspace.counts(0).keys + keyspace.counts(2).keys, 0);
        // A shard that is always due does not keep the next one waiting.
        for n in 0..64_u32 {
            set(&keyspace, 0, &n.to_be_bytes(), now_ms + 30);
        }
        let last = keyspace.shards(0).len() - 2;
        let left = |index: usize| keyspace.shards(0).shared(index).counts().keys;
        let before = left(last);
        let in_first = (0..).map(u64::to_be_bytes).find(|key| keyspace.hash(key).shard == 0).unwrap();
        for _ in 0..4 {
            set(&keyspace, 0, &in_first, now_ms + 35);
            keyspace.expire_due(0, now_ms + 40, Duration::ZERO);
        }
        assert!(before > 0 && left(last) == 0, "{before} keys were in the last shard");
    }

    /// Otherwise every round would look at all shards, find no end, and keep a core busy until the clock is back.
    #[test]
    fn a_clock_set_back_is_dealt_with_in_one_round() {
        let keyspace = Keyspace::new(1, 64, 1);
        let now_ms = unix_ms();
        set(&keyspace, 0, b"key", now_ms + 1000);
        assert!(!keyspace.expire_due(0, now_ms, Duration::ZERO).more);
        let back_ms = now_ms - 3_600_000;
        while keyspace.expire_due(0, back_ms, Duration::ZERO).more {}
        let again = keyspace.expire_due(0, back_ms + 1, Duration::ZERO);
        assert!(!again.more && again.took.is_zero(), "{again:?}");
        assert_eq!(keyspace.counts(0).keys, 1);
        assert_eq!(keyspace.expire_due(0, now_ms + 1001, Duration::from_secs(1)).expired, 1);
    }

    #[test]
    fn wheels_of_a_higher_level_turn_at_different_times() {
        let keyspace = Keyspace::new(1, 64, 1);
        let deadline_ms = unix_ms() + 600_000;
        for n in 0..1000_u32 {
            set(&keyspace, 0, &n.to_be_bytes(), deadline_ms);
        }
        let looks: BTreeSet<i64> = (0..64).map(|index| keyspace.shards(0).due(index).get()).collect();
        assert!(looks.len() > 48, "{} different times", looks.len());
        assert!(*looks.last().unwrap() <= deadline_ms + 1);
    }

    #[test]
    fn a_reaper_wakes_for_an_earlier_deadline_and_ends_when_told() {
        let keyspace = Arc::new(Keyspace::new(1, 4, 1));
        set(&keyspace, 0, b"late", unix_ms() + 3_600_000);
        let reaper = {
            let keyspace = keyspace.clone();
            std::thread::spawn(move || {
                let mut expired = 0;
                keyspace.expire_forever(0, |round| expired += round.expired);
                expired
            })
        };
        std::thread::sleep(Duration::from_millis(20));
        set(&keyspace, 0, b"early", unix_ms() + 5);
        while keyspace.counts(0).keys > 1 {
            std::thread::sleep(Duration::from_millis(1));
        }
        keyspace.expiry().stop();
        assert_eq!(reaper.join().unwrap(), 1);
    }
}
