//! The thread that writes the stream of effects to the log's files, and forces it to disk.
//!
//! It takes what there is, writes it with one call, and takes again: while it writes, or waits for the disk, commands
//! append to the next chunk. With `appendfsync always` that is group commit: all that was appended while one fsync
//! ran is made durable by the next one, and only then the replies leave that depend on it. Otherwise it takes at most
//! one chunk a millisecond, so that nobody who appends has to wake it while there is much to do, and a second thread
//! forces the file to disk once a second, beside the writing.
//!
//! A chunk that cannot be written stays whole: what a failed write has left of it is cut off again, and it is tried once
//! more every second. Until then new writes are refused.
//!
//! Where the log goes on in another file, a [`Switch`] says from which position on.

use super::Aof;
use crate::config::choice::AppendFsync;
use crate::keyspace::log::Chunk;
use crate::keyspace::unix_ms;
use crate::memory;
use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

/// The longest sleep while there is nothing to write: how soon a change of the configuration is noticed.
const PATIENCE: Duration = Duration::from_millis(100);

/// Between two chunks, unless replies wait for them.
const NAP: Duration = Duration::from_millis(1);

/// A chunk of this size is worth the next one at once, bytes.
const LARGE_CHUNK_BYTES: usize = 256 * 1024;

/// With `always`, clients are waited for no longer than this share of the time that an fsync takes, in steps of this
/// length.
const GATHER_SHARE: f32 = 0.6;
const GATHER_STEP: Duration = Duration::from_micros(40);

/// `appendfsync everysec`.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// Forcing the file to disk takes too long from here on (Redis's figure).
const SYNC_TOO_LONG: Duration = Duration::from_secs(2);

/// How long a failed write is left alone, and how often it is logged (Redis's figures).
const RETRY_AFTER: Duration = Duration::from_secs(1);
const LOG_ERRORS_EVERY: Duration = Duration::from_secs(30);

/// A file that is being appended to.
#[derive(Clone)]
pub struct Target {
    pub file: Arc<File>,
    /// Bytes that belong to it.
    pub bytes: u64,
}

/// From this position of the stream on, it goes to this file, or to none.
pub struct Switch {
    pub position: u64,
    pub to: Option<Target>,
}

/// A file that is to be forced to disk, and the position of the stream that is safe then.
struct Job {
    file: Arc<File>,
    position: u64,
    is_last: bool,
}

/// See the module's head.
pub struct Writer {
    aof: Arc<Aof>,
    target: Option<Target>,
    chunk: Chunk,
    /// What of the chunk is written, bytes, and stamps.
    done: usize,
    stamped: usize,
    /// Position up to which the file has the stream.
    written: u64,
    /// Position up to which the second thread was asked to force it to disk.
    asked: u64,
    asked_at: Instant,
    jobs: Sender<Job>,
    /// With `always`: how long it takes to force the file to disk, and for how many clients that was done of late.
    sync_time: Duration,
    crowd: usize,
    failed_at: Option<Instant>,
    error_logged_at: Option<Instant>,
    was_delay_logged: bool,
}

/// Starts the threads.
pub fn start(aof: Arc<Aof>) -> io::Result<()> {
    let (jobs, receiver) = mpsc::channel();
    let syncer = aof.clone();
    std::thread::Builder::new().name("aof-sync".into()).spawn(move || sync_forever(&syncer, &receiver))?;
    let writer = Writer {
        aof,
        target: None,
        chunk: Chunk::default(),
        done: 0,
        stamped: 0,
        written: 0,
        asked: 0,
        asked_at: Instant::now(),
        jobs,
        sync_time: Duration::ZERO,
        crowd: 0,
        failed_at: None,
        error_logged_at: None,
        was_delay_logged: false,
    };
    std::thread::Builder::new().name("aof".into()).spawn(move || writer.run())?;
    Ok(())
}

/// The second thread.
fn sync_forever(aof: &Aof, jobs: &Receiver<Job>) {
    while let Ok(job) = jobs.recv() {
        let result = job.file.sync_data();
        match result {
            Ok(()) => {
                aof.note_sync_error(None);
                aof.note_synced(job.position);
            }
            Err(error) => aof.note_sync_error(Some(&error)),
        }
        if job.is_last {
            aof.is_syncing.store(false, Ordering::Release);
        }
    }
}

impl Writer {
    fn run(mut self) {
        let server = self.aof.server.clone();
        let log = server.keyspace.effects().log();
        log.read_here();
        loop {
            let policy = server.config.appendfsync();
            if self.is_chunk_done() {
                if policy == AppendFsync::Always {
                    self.gather();
                }
                self.aof.unwritten.store(0, Ordering::Relaxed);
                log.take(&mut self.chunk, if self.aof.has_switch() { Duration::ZERO } else { PATIENCE });
                (self.done, self.stamped) = (0, 0);
                self.aof.unwritten.store(self.chunk.bytes.len() as u64, Ordering::Relaxed);
            }
            let bytes = self.chunk.bytes.len();
            let written = self.write_chunk(policy);
            if written {
                self.sync(policy);
            }
            self.aof.look_after();
            memory::publish();
            if !written {
                std::thread::park_timeout(RETRY_AFTER);
            } else if policy != AppendFsync::Always && bytes > 0 && bytes < LARGE_CHUNK_BYTES {
                std::thread::sleep(NAP);
            }
        }
    }

    /// Waits for clients that were answered just now and have more to write, so that one fsync serves them all. Without
    /// that they would fall into two groups, each of which waits for the fsync of the other: not worth while where the
    /// disk is faster than their way back.
    fn gather(&self) {
        let log = self.aof.server.keyspace.effects().log();
        let (started, patience) = (Instant::now(), self.sync_time.mul_f32(GATHER_SHARE));
        while log.sleepers() + self.crowd / 16 < self.crowd && started.elapsed() < patience {
            std::thread::sleep(GATHER_STEP);
        }
    }

    fn is_chunk_done(&self) -> bool {
        self.done == self.chunk.bytes.len()
    }

    /// Position of the next byte to write.
    fn position(&self) -> u64 {
        self.chunk.from + self.done as u64
    }

    /// Writes what is left of the chunk, each part to its file. False if that failed.
    fn write_chunk(&mut self, policy: AppendFsync) -> bool {
        loop {
            let next = self.aof.next_switch();
            let end = next.unwrap_or(u64::MAX).min(self.chunk.end());
            if self.position() < end && !self.write_until(end, policy) {
                return false;
            }
            self.written = self.written.max(self.position());
            match next {
                Some(position) if position <= self.position() => self.switch(policy),
                _ => return true,
            }
        }
    }

    /// Writes up to this position, which is in the chunk.
    fn write_until(&mut self, end: u64, policy: AppendFsync) -> bool {
        let until = (end - self.chunk.from) as usize;
        let Some(target) = &mut self.target else {
            self.done = until;
            return true;
        };
        let stamps: Vec<(usize, i64)> =
            self.chunk.stamps[self.stamped..].iter().copied().take_while(|(at, _)| *at < until).collect();
        let mut stamped = Vec::new();
        let bytes = if stamps.is_empty() {
            &self.chunk.bytes[self.done..until]
        } else {
            let mut from = self.done;
            for (at, second) in &stamps {
                stamped.extend_from_slice(&self.chunk.bytes[from..*at]);
                stamped.extend_from_slice(format!("#TS:{second}\r\n").as_bytes());
                from = *at;
            }
            stamped.extend_from_slice(&self.chunk.bytes[from..until]);
            &stamped
        };
        let delay_micros = self.aof.server.switches.log_delay_micros.load(Ordering::Relaxed);
        if delay_micros > 0 {
            std::thread::sleep(Duration::from_micros(delay_micros));
        }
        let started = Instant::now();
        let result = (&*target.file).write_all(bytes);
        self.aof.note_write(started.elapsed());
        match result {
            Ok(()) => {
                target.bytes += bytes.len() as u64;
                self.aof.grow(bytes.len() as u64);
                self.done = until;
                self.stamped += stamps.len();
                self.note_success();
                true
            }
            Err(error) => {
                if self.aof.next_is_nothing() {
                    tracing::warn!("What was not written to the AOF file yet is lost: {error}");
                    self.done = until;
                    return true;
                }
                // Nobody may find a part of a command there.
                if let Err(error) = target.file.set_len(target.bytes) {
                    tracing::warn!(
                        "Could not remove short write from the append-only file. The server may refuse to load the \
                         AOF the next time it starts. ftruncate: {error}"
                    );
                }
                self.note_failure(&error, policy);
                false
            }
        }
    }

    fn note_success(&mut self) {
        if self.failed_at.take().is_some() {
            self.error_logged_at = None;
            tracing::info!("AOF write error looks solved. The server can write again.");
            self.aof.note_write_error(None);
        }
    }

    fn note_failure(&mut self, error: &io::Error, policy: AppendFsync) {
        self.failed_at = Some(Instant::now());
        self.aof.note_write_error(Some(error));
        if self.error_logged_at.is_none_or(|at| at.elapsed() >= LOG_ERRORS_EVERY) {
            self.error_logged_at = Some(Instant::now());
            tracing::warn!("Error writing to the AOF file: {}", crate::observe::process::error_text(error));
            if policy == AppendFsync::Always {
                tracing::warn!("Clients whose writes are not on disk wait until it can be written again.");
            }
        }
    }

    /// Goes on in the file of the next switch.
    fn switch(&mut self, policy: AppendFsync) {
        if let Some(old) = self.target.take() {
            // What comes behind must not be on disk before what is in this one.
            let is_gone = self.aof.next_is_nothing();
            if policy == AppendFsync::No && !is_gone {
                let _ = self.jobs.send(Job { file: old.file, position: 0, is_last: false });
            } else if let Err(error) = old.file.sync_data() {
                tracing::warn!("Fail to fsync the AOF file: {error}");
                self.aof.note_sync_error(Some(&error));
            } else {
                self.aof.note_synced(self.written);
            }
        }
        self.target = self.aof.take_switch(self.written);
        self.asked = self.written;
    }

    /// Forces to disk what is written, if it is time.
    fn sync(&mut self, policy: AppendFsync) {
        let aof = self.aof.clone();
        let log = aof.server.keyspace.effects().log();
        let forced = aof.sync_now.swap(false, Ordering::AcqRel);
        let spares = aof.server.config.no_appendfsync_on_rewrite() && aof.is_disk_busy();
        let Some(target) = &self.target else {
            aof.note_synced(self.written);
            log.secure(self.written);
            return;
        };
        match policy {
            AppendFsync::Always if !spares || forced => {
                if self.written > aof.server.append_only.synced() {
                    let started = Instant::now();
                    if let Err(error) = target.file.sync_data() {
                        // Nobody knows what is on disk now, and to try again proves nothing.
                        tracing::error!(
                            "Can't persist AOF for fsync error when the AOF fsync policy is 'always': {error}. \
                             Exiting..."
                        );
                        std::process::exit(1);
                    }
                    let took = started.elapsed();
                    aof.note_latency("aof-fsync-always", took);
                    aof.note_synced(self.written);
                    self.sync_time = (self.sync_time * 7 + took) / 8;
                }
                let woken = log.secure(self.written);
                self.crowd = (woken + log.sleepers()).max(self.crowd - self.crowd / 8);
            }
            _ if forced => {
                match target.file.sync_data() {
                    Ok(()) => aof.note_synced(self.written),
                    Err(error) => aof.note_sync_error(Some(&error)),
                }
                log.secure(self.written);
            }
            AppendFsync::EverySecond if !spares => {
                log.secure(self.written);
                self.ask_for_sync();
            }
            _ => {
                log.secure(self.written);
            }
        }
    }

    /// Has the second thread force the file to disk, once a second.
    fn ask_for_sync(&mut self) {
        let Some(target) = &self.target else { return };
        let is_due = self.written > self.asked || self.aof.has_sync_failed();
        if !is_due || self.asked_at.elapsed() < SYNC_EVERY {
            return;
        }
        if self.aof.is_syncing.load(Ordering::Acquire) {
            if self.asked_at.elapsed() >= SYNC_TOO_LONG
                && !std::mem::replace(&mut self.was_delay_logged, true)
            {
                self.aof.delayed_syncs.fetch_add(1, Ordering::Relaxed);
                tracing::info!(
                    "Asynchronous AOF fsync is taking too long (disk is busy?). Writing the AOF buffer without waiting \
                     for fsync to complete, this may slow down the server."
                );
            }
            return;
        }
        self.was_delay_logged = false;
        (self.asked, self.asked_at) = (self.written, Instant::now());
        self.aof.is_syncing.store(true, Ordering::Release);
        let _ = self.jobs.send(Job { file: target.file.clone(), position: self.written, is_last: true });
    }
}

/// Where a sample of latency belongs in time, Unix seconds.
pub fn now_s() -> i64 {
    unix_ms() / 1000
}
