//! Counts and times what is executed: calls, errors, latency, the slow log.
//!
//! A batch of requests has one meter, which reads the configuration once. One reading of the clock a command is enough,
//! since a command begins when the one before it ends. Commands inside another one (EXEC) are measured each for itself,
//! and the outer one as a whole. Knows nothing of locks or replies.

use super::errors::Error;
use super::spec::Flags;
use super::table::Entry;
use crate::resp::scan::Request;
use crate::state::counters::WorkerCounters;
use crate::state::{Server, Session};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// See the module's head.
pub struct Meter<'a> {
    server: &'a Server,
    pub counters: &'a WorkerCounters,
    worker: usize,
    clock: &'a quanta::Clock,
    /// The clock's raw value when the last command ended.
    last_raw: u64,
    track_latency: bool,
    latency_threshold_ms: i64,
    /// From where on a command is noted in the slow log or as an event of latency.
    notable_nanos: u64,
    /// Somebody watches by MONITOR.
    pub monitored: bool,
    /// The wall clock, from the Unix epoch, as it stands for all that runs inside the current command.
    pub stopped_at: Duration,
    now_ms: i64,
}

/// When a command began inside of which others run.
#[derive(Clone, Copy)]
pub struct Began(u64);

impl<'a> Meter<'a> {
    /// For one batch of requests that happen now.
    pub fn new(server: &'a Server, worker: usize, clock: &'a quanta::Clock, now_ms: i64) -> Meter<'a> {
        let slower_than_micros = server.config.slowlog_log_slower_than();
        let latency_threshold_ms = server.config.latency_monitor_threshold() as i64;
        let slow = u64::try_from(slower_than_micros).map_or(u64::MAX, |micros| micros.saturating_mul(1000));
        let late = match latency_threshold_ms as u64 {
            0 => u64::MAX,
            ms => ms.saturating_mul(1_000_000),
        };
        Meter {
            server,
            counters: server.counters.worker(worker),
            worker,
            clock,
            last_raw: clock.raw(),
            track_latency: server.counters.track_latency.load(Ordering::Relaxed),
            latency_threshold_ms,
            notable_nanos: slow.min(late),
            monitored: !server.monitors.is_empty(),
            stopped_at: Duration::ZERO,
            now_ms,
        }
    }

    /// For commands that are replayed: what it measures is shown to nobody.
    pub fn idle(server: &'a Server, clock: &'a quanta::Clock, now_ms: i64) -> Meter<'a> {
        Meter {
            server,
            worker: 0,
            stopped_at: Duration::ZERO,
            counters: &server.counters.replay,
            clock,
            last_raw: 0,
            track_latency: false,
            latency_threshold_ms: 0,
            notable_nanos: u64::MAX,
            monitored: false,
            now_ms,
        }
    }

    /// The number of the worker.
    pub fn worker(&self) -> usize {
        self.worker
    }

    /// The clock's raw value when the last command ended.
    #[inline]
    pub fn last_raw(&self) -> u64 {
        self.last_raw
    }

    /// Nanoseconds from a raw value of the clock to the end of the last command.
    #[inline]
    pub fn nanos_since(&self, raw: u64) -> u64 {
        self.clock.delta_as_nanos(raw, self.last_raw)
    }

    /// A command has run for this client.
    #[inline]
    pub fn count_command(&self, session: &Session) {
        let client = &session.client;
        client.count_command();
        client.last_active_ms.store(self.now_ms, Ordering::Relaxed);
        self.counters.totals.commands.add(1);
    }

    /// Reads the clock and counts `calls` of this command since it was last read, `failed` of which ended with an
    /// error. Returns the nanoseconds of one.
    #[inline]
    pub fn time(&mut self, entry: &Entry, calls: u64, failed: u64) -> u64 {
        let raw = self.clock.raw();
        let together_nanos = self.clock.delta_as_nanos(std::mem::replace(&mut self.last_raw, raw), raw);
        let nanos = if calls == 1 { together_nanos } else { together_nanos / calls };
        self.counters.commands[entry.id].record(calls, nanos, failed, self.track_latency);
        nanos
    }

    /// Notes a command that took so long, if that is worth it.
    #[inline]
    pub fn note(&self, session: &Session, request: Request<'_>, entry: &Entry, nanos: u64) {
        if nanos >= self.notable_nanos {
            self.note_slow(session, request, entry, nanos);
        }
    }

    /// What has happened since the end of the last command is no command. Returns its nanoseconds.
    pub fn pass_over(&mut self) -> u64 {
        let raw = self.clock.raw();
        self.clock.delta_as_nanos(std::mem::replace(&mut self.last_raw, raw), raw)
    }

    /// What happens from here on happens inside the command that runs.
    pub fn begin_inside(&mut self) -> Began {
        let began = Began(self.last_raw);
        self.last_raw = self.clock.raw();
        began
    }

    /// The outer command goes on.
    pub fn end_inside(&mut self, began: Began) {
        self.last_raw = began.0;
    }

    #[cold]
    pub fn count_error(&self, error: &Error) {
        if matches!(error, Error::Counted(_)) {
            return;
        }
        self.counters.totals.error_replies.add(1);
        self.server.counters.count_error(&error.code());
    }

    #[cold]
    fn note_slow(&self, session: &Session, request: Request<'_>, entry: &Entry, nanos: u64) {
        let micros = nanos / 1000;
        let flags = entry.spec.flags;
        // The command itself may have changed what counts as slow.
        let slower_than_micros = self.server.config.slowlog_log_slower_than();
        if self.latency_threshold_ms > 0 && micros as i64 / 1000 >= self.latency_threshold_ms {
            let event = if flags.contains(Flags::FAST) { "fast-command" } else { "command" };
            self.server.latency.add(event, self.now_ms / 1000, micros / 1000);
        }
        if slower_than_micros < 0
            || (micros as i64) < slower_than_micros
            || flags.contains(Flags::SKIP_SLOWLOG)
        {
            return;
        }
        let name = session.client.names.lock().name.clone();
        self.server.slowlog.push(
            self.now_ms / 1000,
            micros,
            entry.loggable(request),
            &session.client.addr,
            &name,
        );
    }
}
