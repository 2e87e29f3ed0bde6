//! Statistics: per worker, so that counting costs a plain addition, and summed when they are read.
//!
//! Each worker writes only its own cells; anybody may read them. Resetting records the current values as the
//! new zero, so that nobody ever writes another's cell.

use crate::observe::histogram::{Histogram, Snapshot};
use crossbeam_utils::CachePadded;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// At most this many different error codes are counted; a flood of invented codes switches the counting off,
/// as in Redis.
const MAX_ERROR_CODES: usize = 128;

/// A number that one thread writes and any may read.
#[derive(Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds `n`. Only the thread that owns the cell may call this.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// Remembers `n` if it is the largest so far. Only the thread that owns the cell may call this.
    #[inline]
    pub fn raise(&self, n: u64) {
        if n > self.0.load(Ordering::Relaxed) {
            self.0.store(n, Ordering::Relaxed);
        }
    }

    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! totals {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// The counters of one worker, or of another thread that does work for clients.
        #[derive(Default)]
        pub struct WorkerTotals { $($(#[$doc])* pub $name: Count,)* }

        /// Sums over all workers since start or reset.
        #[derive(Clone, Copy, Default, Debug)]
        pub struct Totals { $($(#[$doc])* pub $name: u64,)* }

        impl Totals {
            fn add(&mut self, worker: &WorkerTotals) {
                $(self.$name = self.$name.wrapping_add(worker.$name.get());)*
            }

            fn since(&self, zero: &Totals) -> Totals {
                Totals { $($name: self.$name.wrapping_sub(zero.$name),)* }
            }
        }
    };
}

totals! {
    commands,
    input_bytes,
    output_bytes,
    keyspace_hits,
    keyspace_misses,
    expired_keys,
    /// Fields of hashes.
    expired_subkeys,
    /// Keys that a command found expired before the wheel had reached them.
    expired_lazily,
    /// Changes to the data set.
    dirty,
    reads,
    writes,
    error_replies,
    reply_buffer_shrinks,
    reply_buffer_expands,
    query_buffer_disconnections,
    output_buffer_disconnections,
    acl_denied_auth,
    acl_denied_cmd,
    /// Values that were checked from one end to the other because they came from outside.
    values_checked,
    /// Nanoseconds spent in expiry.
    expire_nanos,
    /// Turns: of connections, and of housekeeping; and their nanoseconds.
    turns,
    turn_nanos,
    /// Batches whose keys were fetched from memory together, and those keys.
    prefetch_batches,
    prefetched_keys,
}

/// What is known of one command (or subcommand) on one worker.
#[derive(Default)]
pub struct CommandCounts {
    pub calls: Count,
    pub nanos: Count,
    pub rejected: Count,
    pub failed: Count,
    histogram: OnceLock<Box<Histogram>>,
}

impl CommandCounts {
    /// Counts `calls` that are finished and took `nanos` each. Only the owning worker may call this.
    #[inline]
    pub fn record(&self, calls: u64, nanos: u64, failed: u64, histogram: bool) {
        self.calls.add(calls);
        self.nanos.add(nanos * calls);
        self.failed.add(failed);
        if histogram {
            self.histogram.get_or_init(Box::default).record(nanos, calls);
        }
    }
}

/// The statistics of one worker.
pub struct WorkerCounters {
    pub totals: WorkerTotals,
    /// Nanoseconds of the longest turn of a connection, and the most commands that one executed.
    pub longest_turn_nanos: Count,
    pub most_commands: Count,
    /// By number in the command table.
    pub commands: Box<[CommandCounts]>,
}

/// One command's statistics over all workers.
#[derive(Default)]
pub struct CommandTotals {
    pub calls: u64,
    pub nanos: u64,
    pub rejected: u64,
    pub failed: u64,
}

/// All statistics of the server.
pub struct Counters {
    workers: Box<[CachePadded<WorkerCounters>]>,
    /// Of commands that are replayed: part of no sum.
    pub replay: CachePadded<WorkerCounters>,
    /// Of the main thread, which looks after the clients.
    pub housekeeping: CachePadded<WorkerTotals>,
    reapers: Box<[CachePadded<WorkerTotals>]>,
    zero: Mutex<Zero>,
    /// `latency-tracking`.
    pub track_latency: AtomicBool,
    errors: Mutex<BTreeMap<String, u64>>,
    pub instant: Instantaneous,
}

#[derive(Default)]
struct Zero {
    totals: Totals,
    commands: Vec<CommandTotals>,
}

/// Rates per second, sampled by the server's clock.
#[derive(Default)]
pub struct Instantaneous {
    pub ops_per_sec: AtomicU64,
    pub input_bytes_per_sec: AtomicU64,
    pub output_bytes_per_sec: AtomicU64,
    pub turns_per_sec: AtomicU64,
    /// Microseconds of a turn.
    pub turn_micros: AtomicU64,
}

impl Counters {
    /// `commands` is the size of the command table.
    pub fn new(workers: usize, reapers: usize, commands: usize) -> Counters {
        let worker = || {
            CachePadded::new(WorkerCounters {
                totals: WorkerTotals::default(),
                longest_turn_nanos: Count::default(),
                most_commands: Count::default(),
                commands: (0..commands).map(|_| CommandCounts::default()).collect(),
            })
        };
        Counters {
            workers: (0..workers).map(|_| worker()).collect(),
            replay: worker(),
            housekeeping: CachePadded::default(),
            reapers: (0..reapers).map(|_| CachePadded::default()).collect(),
            zero: Mutex::default(),
            track_latency: AtomicBool::new(true),
            errors: Mutex::default(),
            instant: Instantaneous::default(),
        }
    }

    #[inline]
    pub fn worker(&self, worker: usize) -> &WorkerCounters {
        &self.workers[worker]
    }

    /// The statistics of the thread that removes expired keys from its share of the shards.
    pub fn reaper(&self, reaper: usize) -> &WorkerTotals {
        &self.reapers[reaper]
    }

    /// Sums since start, resets notwithstanding.
    pub fn raw(&self) -> Totals {
        let mut totals = Totals::default();
        for worker in &self.workers {
            totals.add(&worker.totals);
        }
        totals.add(&self.housekeeping);
        for reaper in &self.reapers {
            totals.add(reaper);
        }
        totals
    }

    /// Nanoseconds that commands took since start.
    pub fn command_nanos(&self) -> u64 {
        let commands = self.workers.iter().flat_map(|worker| &worker.commands);
        commands.fold(0, |sum, counts| sum.wrapping_add(counts.nanos.get()))
    }

    /// The longest turn of a connection since start in nanoseconds, and the most commands that one executed.
    pub fn longest_turn(&self) -> (u64, u64) {
        let most =
            |count: fn(&WorkerCounters) -> u64| self.workers.iter().map(|w| count(w)).max().unwrap_or(0);
        (most(|worker| worker.longest_turn_nanos.get()), most(|worker| worker.most_commands.get()))
    }

    /// Sums since start or the last reset.
    pub fn totals(&self) -> Totals {
        self.raw().since(&self.zero.lock().totals)
    }

    fn raw_command(&self, id: usize) -> CommandTotals {
        let mut sum = CommandTotals::default();
        for worker in &self.workers {
            let counts = &worker.commands[id];
            sum.calls += counts.calls.get();
            sum.nanos += counts.nanos.get();
            sum.rejected += counts.rejected.get();
            sum.failed += counts.failed.get();
        }
        sum
    }

    /// Statistics of command number `id` since start or the last reset.
    pub fn command(&self, id: usize) -> CommandTotals {
        let mut sum = self.raw_command(id);
        if let Some(zero) = self.zero.lock().commands.get(id) {
            sum.calls -= zero.calls;
            sum.nanos -= zero.nanos;
            sum.rejected -= zero.rejected;
            sum.failed -= zero.failed;
        }
        sum
    }

    /// The latencies (nanoseconds) of command number `id`, if it was called since start or reset.
    pub fn histogram(&self, id: usize) -> Option<Snapshot> {
        let mut sum = Snapshot::new();
        for histogram in self.workers.iter().filter_map(|worker| worker.commands[id].histogram.get()) {
            sum.add(histogram);
        }
        (sum.total() > 0).then_some(sum)
    }

    fn commands(&self) -> usize {
        self.workers.first().map_or(0, |w| w.commands.len())
    }

    /// CONFIG RESETSTAT.
    pub fn reset(&self) {
        let mut zero = self.zero.lock();
        zero.totals = self.raw();
        zero.commands = (0..self.commands()).map(|id| self.raw_command(id)).collect();
        drop(zero);
        self.reset_histograms(0..self.commands());
        self.errors.lock().clear();
    }

    /// LATENCY HISTOGRAM's reset of some commands, or of all.
    pub fn reset_histograms(&self, ids: impl Iterator<Item = usize>) {
        for id in ids {
            for histogram in self.workers.iter().filter_map(|worker| worker.commands[id].histogram.get()) {
                histogram.reset();
            }
        }
    }

    /// Counts an error reply with this code (the first word of its line).
    pub fn count_error(&self, code: &str) {
        let mut errors = self.errors.lock();
        if let Some(count) = errors.get_mut(code) {
            *count += 1;
        } else if errors.len() < MAX_ERROR_CODES {
            errors.insert(code.to_owned(), 1);
        }
    }

    /// Error replies by code.
    pub fn errors(&self) -> Vec<(String, u64)> {
        self.errors.lock().iter().map(|(code, count)| (code.clone(), *count)).collect()
    }
}
