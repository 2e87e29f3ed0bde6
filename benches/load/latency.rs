//! The time single requests take: back to back on one connection, or at a fixed rate.
//!
//! Back to back, the time of a request runs from before its write to behind the last byte of its reply. At a fixed
//! rate the requests go out on a timetable; when the server is late with one, the next ones are due while it is
//! still awaited, and their time runs from when they were due. Otherwise one long stall would count as a single slow
//! request ("coordinated omission"), while a real user stream meets it many times.

use crate::batch::{Batch, Numbers};
use crate::options::Options;
use crate::replies::ReplyCounter;
use crate::report::Report;
use crate::socket::{Address, Socket};
use crate::throughput::seed;
use std::io::{self, ErrorKind, Read, Write};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

const READ_BYTES: usize = 16 * 1024;
/// The last stretch before a request is due is spent spinning, since sleeping is only this exact.
const SPIN: Duration = Duration::from_micros(80);

/// A connection with a single request under way.
pub struct Line {
    pub socket: Socket,
    replies: ReplyCounter,
    buffer: Box<[u8]>,
}

impl Line {
    pub fn connect(address: &Address) -> io::Result<Line> {
        let socket = Socket::connect(address)?;
        Ok(Line { socket, replies: ReplyCounter::default(), buffer: vec![0; READ_BYTES].into() })
    }

    /// Error replies so far.
    pub fn errors(&self) -> u64 {
        self.replies.errors()
    }

    /// Sends `request` and waits for its reply.
    fn call(&mut self, request: &[u8]) -> io::Result<()> {
        self.socket.write_all(request)?;
        self.await_reply()
    }

    /// Waits for the reply to the request that is under way.
    pub fn await_reply(&mut self) -> io::Result<()> {
        let Line { socket, replies, buffer } = self;
        loop {
            match socket.read(buffer) {
                Ok(0) => {
                    return Err(io::Error::new(ErrorKind::UnexpectedEof, "the server closed a connection"));
                }
                Ok(bytes) if replies.feed(&buffer[..bytes]) > 0 => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Measures for `--seconds` after `--warmup` and reports the distribution.
pub fn run(options: &Options, report: &mut Report) -> io::Result<()> {
    // Without a rate there is never more than one request under way, so one connection is all there can be.
    let amount = if options.rate.is_some() { options.connections } else { 1 };
    let mut lines = (0..amount).map(|_| Line::connect(&options.address)).collect::<io::Result<Vec<_>>>()?;
    let mut batch = Batch::new(&options.templates.request, 1, options.keys, options.value_size);
    let mut numbers = Numbers::new(seed(0), options.keys, options.spread_from, options.spread_ms);
    let mut nanos = Vec::new();

    wait_for_start(options.start_at);
    let begin = Instant::now();
    let measured_from = begin + options.warmup;
    let end = measured_from + options.seconds;
    let mut last_done = begin;
    for turn in 0_u32.. {
        batch.refresh(1, &mut numbers);
        let mut from = Instant::now();
        if let Some(rate) = options.rate {
            let due = begin + Duration::from_secs_f64(f64::from(turn) / rate);
            sleep_until(due);
            from = if last_done > due { due } else { Instant::now() };
        }
        if from >= end {
            break;
        }
        let line = turn as usize % lines.len();
        lines[line].call(batch.requests(1))?;
        last_done = Instant::now();
        if from >= measured_from {
            nanos.push((last_done - from).as_nanos() as u64);
        }
    }
    report.text("mode", "latency");
    report.text("command", &options.command);
    report.integer("connections", lines.len() as u64);
    report.integer("requests", nanos.len() as u64);
    report.integer("errors", lines.iter().map(Line::errors).sum());
    distribution(nanos, report);
    Ok(())
}

/// Reports mean and percentiles of these times.
pub fn distribution(mut nanos: Vec<u64>, report: &mut Report) {
    nanos.sort_unstable();
    let micros = |nanos: u64| nanos as f64 / 1e3;
    report.number("mean_us", micros(nanos.iter().sum()) / nanos.len().max(1) as f64);
    for (name, share) in [("p50_us", 0.5), ("p99_us", 0.99), ("p999_us", 0.999), ("max_us", 1.0)] {
        report.number(name, micros(percentile(&nanos, share)));
    }
}

/// The smallest of the sorted values that at least `share` of them do not exceed; 0 if there are none.
fn percentile(sorted: &[u64], share: f64) -> u64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or(0)
}

fn sleep_until(due: Instant) {
    while let Some(left) = due.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        match left.checked_sub(SPIN) {
            Some(rest) if !rest.is_zero() => thread::sleep(rest),
            _ => std::hint::spin_loop(),
        }
    }
}

fn wait_for_start(unix_ms: Option<u64>) {
    let Some(unix_ms) = unix_ms else { return };
    let start = SystemTime::UNIX_EPOCH + Duration::from_millis(unix_ms);
    if let Ok(left) = start.duration_since(SystemTime::now()) {
        sleep_until(Instant::now() + left);
    }
}
