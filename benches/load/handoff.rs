//! The time from a push to the arrival of the element at a client that is blocked in BLPOP.
//!
//! One connection pushes, the others wait for the same list in turns: first come, first served. The time runs from
//! before the write of the push to behind the last byte that the waiting connection receives. Whoever was served
//! waits again, and has some time for it before the next push, so that every push meets somebody who waits.

use crate::latency::{self, Line};
use crate::options::Options;
use crate::report::Report;
use std::io::{self, Write};
use std::thread;
use std::time::{Duration, Instant};

const PUSH: &[u8] = b"*3\r\n$5\r\nRPUSH\r\n$13\r\nhandoff:queue\r\n$16\r\nxxxxxxxxxxxxxxxx\r\n";
const POP: &[u8] = b"*3\r\n$5\r\nBLPOP\r\n$13\r\nhandoff:queue\r\n$1\r\n0\r\n";

/// How long a client has to come to wait: many times what a server needs for a request.
const PAUSE: Duration = Duration::from_micros(300);

/// Measures for `--seconds` after `--warmup`, with `--connections` clients that wait, and reports the distribution.
pub fn run(options: &Options, report: &mut Report) -> io::Result<()> {
    let mut pusher = Line::connect(&options.address)?;
    let mut waiting =
        (0..options.connections).map(|_| Line::connect(&options.address)).collect::<io::Result<Vec<_>>>()?;
    for line in &mut waiting {
        line.socket.write_all(POP)?;
        thread::sleep(PAUSE);
    }
    let mut nanos = Vec::new();
    let begin = Instant::now();
    let (measured_from, end) = (begin + options.warmup, begin + options.warmup + options.seconds);
    let amount = waiting.len();
    for turn in 0.. {
        let line = &mut waiting[turn % amount];
        let from = Instant::now();
        if from >= end {
            break;
        }
        pusher.socket.write_all(PUSH)?;
        line.await_reply()?;
        if from >= measured_from {
            nanos.push(from.elapsed().as_nanos() as u64);
        }
        pusher.await_reply()?;
        line.socket.write_all(POP)?;
        thread::sleep(PAUSE);
    }
    report.text("mode", "handoff");
    report.text("command", &options.command);
    report.integer("connections", amount as u64 + 1);
    report.integer("requests", nanos.len() as u64);
    report.integer("errors", waiting.iter().map(Line::errors).sum::<u64>() + pusher.errors());
    latency::distribution(nanos, report);
    Ok(())
}
