//! Many connections with a batch of requests each: how many replies come back in a second, and what they cost.
//!
//! Every connection sends its batch, waits until all replies are there, refreshes the numbers and sends it again:
//! one write and, usually, one read a batch, as `redis-benchmark -P` does. A thread serves its connections through
//! one `epoll`; it never looks at the clock, but publishes its count after every round, and the main thread sleeps
//! and takes the differences.

use crate::batch::{Batch, Numbers};
use crate::epoll::Epoll;
use crate::options::Options;
use crate::process;
use crate::replies::ReplyCounter;
use crate::report::Report;
use crate::socket::Socket;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// Replies are read in pieces of this size: a batch of small ones fits, and it stays in the cache.
const READ_BYTES: usize = 64 * 1024;
/// Requests in a batch while filling the keyspace; deeper hardly helps any server.
const PRELOAD_PIPELINE: usize = 64;
/// Connections while filling. Few, so that their buffers do not show in the server's memory.
const PRELOAD_CONNECTIONS: usize = 8;
/// How long a thread sleeps at most before it sees that the run is over.
const WAKE_UP_MS: i32 = 100;

/// What a thread shares with the main thread.
#[derive(Debug, Default)]
struct Progress {
    replies: AtomicU64,
    pushes: AtomicU64,
    errors: AtomicU64,
    /// Set when the thread came to its end, by itself or by a failure.
    ended: AtomicBool,
}

/// One connection and the batch it has under way.
struct Connection {
    socket: Socket,
    batch: Batch,
    replies: ReplyCounter,
    /// Requests of the batch under way, how many of them are unanswered, and how many of their bytes were written.
    sent: usize,
    awaited: u64,
    written: usize,
}

/// A thread's connections and what they need.
struct Driver {
    connections: Vec<Connection>,
    epoll: Epoll,
    numbers: Numbers,
    pipeline: usize,
    /// Requests that may still be started.
    budget: u64,
}

impl Driver {
    fn new(
        options: &Options,
        template: &str,
        connections: usize,
        pipeline: usize,
        budget: u64,
        seed: u64,
    ) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        let batch = Batch::new(template, pipeline, options.keys, options.value_size);
        let connections = (0..connections)
            .map(|token| {
                let mut socket = Socket::connect(&options.address)?;
                if options.tracking {
                    begin_tracking(&mut socket)?;
                }
                socket.set_nonblocking(true)?;
                epoll.add(socket.as_raw_fd(), token)?;
                let replies = ReplyCounter::default();
                Ok(Connection { socket, batch: batch.clone(), replies, sent: 0, awaited: 0, written: 0 })
            })
            .collect::<io::Result<_>>()?;
        let numbers = Numbers::new(seed, options.keys, options.spread_from, options.spread_ms);
        Ok(Self { connections, epoll, numbers, pipeline, budget })
    }

    /// Runs until told to stop, or until the budget is used up and everything answered.
    fn run(&mut self, progress: &Progress, stop: &AtomicBool) -> io::Result<()> {
        let mut buffer = vec![0; READ_BYTES];
        let mut ready = Vec::new();
        let mut replies = 0;
        for token in 0..self.connections.len() {
            self.start_batch(token)?;
        }
        while !stop.load(Ordering::Relaxed)
            && self.connections.iter().any(|connection| connection.awaited > 0)
        {
            self.epoll.wait(WAKE_UP_MS, &mut ready)?;
            for &token in &ready {
                replies += self.advance(token, &mut buffer)?;
            }
            progress.replies.store(replies, Ordering::Relaxed);
            let pushes = self.connections.iter().map(|connection| connection.replies.pushes()).sum();
            progress.pushes.store(pushes, Ordering::Relaxed);
        }
        let errors = self.connections.iter().map(|connection| connection.replies.errors()).sum();
        progress.errors.store(errors, Ordering::Relaxed);
        Ok(())
    }

    /// Refreshes and sends a connection's batch, as far as the budget allows.
    fn start_batch(&mut self, token: usize) -> io::Result<()> {
        let connection = &mut self.connections[token];
        connection.sent = self.budget.min(self.pipeline as u64) as usize;
        connection.awaited = (connection.sent * connection.batch.replies()) as u64;
        connection.written = 0;
        self.budget -= connection.sent as u64;
        connection.batch.refresh(connection.sent, &mut self.numbers);
        if !connection.write()? {
            self.epoll.watch_writing(connection.socket.as_raw_fd(), token, true)?;
        }
        Ok(())
    }

    /// Goes on with a connection that can be read or written; returns the replies that arrived.
    fn advance(&mut self, token: usize, buffer: &mut [u8]) -> io::Result<u64> {
        let connection = &mut self.connections[token];
        if connection.unwritten() && connection.write()? {
            self.epoll.watch_writing(connection.socket.as_raw_fd(), token, false)?;
        }
        let replies = match connection.socket.read(buffer) {
            Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "the server closed a connection")),
            Ok(bytes) => connection.replies.feed(&buffer[..bytes]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => 0,
            Err(error) => return Err(error),
        };
        connection.awaited = connection
            .awaited
            .checked_sub(replies)
            .ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "more replies than requests"))?;
        if connection.awaited == 0 {
            self.start_batch(token)?;
        }
        Ok(replies)
    }
}

/// Has the server tell the client of changes to what it is going to read.
fn begin_tracking(socket: &mut Socket) -> io::Result<()> {
    const REQUESTS: &[u8] = b"HELLO 3\r\nCLIENT TRACKING ON\r\n";
    socket.write_all(REQUESTS)?;
    let (mut replies, mut buffer, mut awaited) = (ReplyCounter::default(), [0; 1024], 2);
    while awaited > 0 {
        let bytes = socket.read(&mut buffer)?;
        if bytes == 0 || replies.errors() > 0 {
            return Err(io::Error::other("the server does not track"));
        }
        awaited -= replies.feed(&buffer[..bytes]);
    }
    Ok(())
}

impl Connection {
    fn unwritten(&self) -> bool {
        self.written < self.batch.requests(self.sent).len()
    }

    /// Writes what the socket takes; returns whether the batch is out.
    fn write(&mut self) -> io::Result<bool> {
        while self.unwritten() {
            match self.socket.write(&self.batch.requests(self.sent)[self.written..]) {
                Ok(bytes) => self.written += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

/// Sends the filling request `--preload` times, in order, and reports how long that took.
pub fn preload(options: &Options, report: &mut Report) -> io::Result<()> {
    let progress = Progress::default();
    let start = Instant::now();
    let template = &options.templates.fill;
    Driver::new(options, template, PRELOAD_CONNECTIONS, PRELOAD_PIPELINE, options.preload, seed(0))?
        .run(&progress, &AtomicBool::new(false))?;
    let seconds = start.elapsed().as_secs_f64();
    report.integer("preloaded", progress.replies.into_inner());
    report.integer("preload_errors", progress.errors.into_inner());
    report.number("preload_seconds", seconds);
    Ok(())
}

/// The counts at one moment; a measurement is the difference of two.
struct Sample {
    time: Instant,
    replies: u64,
    pushes: u64,
    server_cpu: Option<Duration>,
    client_cpu: Duration,
}

impl Sample {
    fn take(options: &Options, progress: &[Progress]) -> io::Result<Self> {
        let server_cpu = options.pid.map(process::cpu_of).transpose()?;
        let sum = |count: fn(&Progress) -> &AtomicU64| {
            progress.iter().map(|progress| count(progress).load(Ordering::Relaxed)).sum()
        };
        let (replies, pushes) = (sum(|progress| &progress.replies), sum(|progress| &progress.pushes));
        Ok(Self { time: Instant::now(), replies, pushes, server_cpu, client_cpu: process::cpu_of_self() })
    }
}

/// Runs the load for `--warmup` and `--seconds` and reports on the latter.
pub fn run(options: &Options, report: &mut Report) -> io::Result<()> {
    let progress: Vec<Progress> = (0..options.threads).map(|_| Progress::default()).collect();
    let stop = AtomicBool::new(false);
    let mut drivers = (0..options.threads)
        .map(|thread| {
            let rest = usize::from(thread < options.connections % options.threads);
            let share = options.connections / options.threads + rest;
            Driver::new(
                options,
                &options.templates.request,
                share,
                options.pipeline,
                u64::MAX,
                seed(thread as u64),
            )
        })
        .collect::<io::Result<Vec<_>>>()?;
    let (start, end) = thread::scope(|scope| -> io::Result<(Sample, Sample)> {
        let mut threads = Vec::new();
        for (driver, progress) in drivers.iter_mut().zip(&progress) {
            let stop = &stop;
            threads.push(scope.spawn(move || {
                let result = driver.run(progress, stop);
                progress.ended.store(true, Ordering::Relaxed);
                result
            }));
        }
        sleep(options.warmup, &progress);
        let start = Sample::take(options, &progress);
        sleep(options.seconds, &progress);
        let end = Sample::take(options, &progress);
        stop.store(true, Ordering::Relaxed);
        for thread in threads {
            thread.join().map_err(|_| io::Error::other("a load thread panicked"))??;
        }
        Ok((start?, end?))
    })?;
    let errors = progress.iter().map(|progress| progress.errors.load(Ordering::Relaxed)).sum();
    describe(options, report, &start, &end, errors);
    Ok(())
}

fn describe(options: &Options, report: &mut Report, start: &Sample, end: &Sample, errors: u64) {
    let seconds = (end.time - start.time).as_secs_f64();
    let requests = end.replies - start.replies;
    let client_cpu = (end.client_cpu - start.client_cpu).as_secs_f64();
    let micros_each = |cpu: f64| cpu * 1e6 / requests.max(1) as f64;
    report.text("mode", "throughput");
    report.text("command", &options.command);
    report.integer("connections", options.connections as u64);
    report.integer("pipeline", options.pipeline as u64);
    report.integer("requests", requests);
    report.number("seconds", seconds);
    report.number("rps", requests as f64 / seconds);
    if options.tracking {
        report.number("pushes_per_second", (end.pushes - start.pushes) as f64 / seconds);
    }
    report.integer("errors", errors);
    if let (Some(start), Some(end)) = (start.server_cpu, end.server_cpu) {
        report.number("server_cpu_us_per_request", micros_each(end.saturating_sub(start).as_secs_f64()));
    }
    report.number("client_cpu_us_per_request", micros_each(client_cpu));
    // 1 means that every thread of the load was busy all the time, and so perhaps the bottleneck.
    report.number("client_busy", client_cpu / seconds / options.threads as f64);
}

/// Sleeps, but not longer than the load runs.
fn sleep(duration: Duration, progress: &[Progress]) {
    const STEP: Duration = Duration::from_millis(50);
    let end = Instant::now() + duration;
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        if progress.iter().any(|progress| progress.ended.load(Ordering::Relaxed)) {
            break;
        }
        thread::sleep(left.min(STEP));
    }
}

/// A seed that differs between threads and runs.
pub fn seed(thread: u64) -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    (now.as_nanos() as u64) ^ (thread << 56)
}
