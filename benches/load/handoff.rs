//! The time from a push to the arrival of the element at a client that is blocked in BLPOP.
//!
//! One connection pushes, the others wait, each for a list of its own, and are served in turns. The time runs from before
//! the write of the push to behind the last byte that the waiting connection receives. Whoever was served waits
//! again, and has some time for it before the next push, so that every push meets somebody who waits.

use crate::latency::{self, Line};
use crate::options::Options;
use crate::report::Report;
use std::io::{self, Write};
use std::thread;
use std::time::{Duration, Instant};

/// How long a client has to come to wait: many times what a server needs for a request.
const PAUSE: Duration = Duration::from_micros(300);

/// Measures for `--seconds` after `--warmup`, with `--connections` clients that wait, and reports the distribution.
pub fn run(options: &Options, report: &mut Report) -> io::Result<()> {
    let mut pusher = Line::connect(&options.address)?;
    let mut waiting =
        (0..options.connections).map(|_| Line::connect(&options.address)).collect::<io::Result<Vec<_>>>()?;
    let request = |name: &str, number: usize, last: &str| {
        let bytes = last.len();
        format!("*3\r\n$5\r\n{name}\r\n$13\r\nhandoff:{number:05}\r\n${bytes}\r\n{last}\r\n").into_bytes()
    };
    let pop = |number: usize| request("BLPOP", number, "0");
    let push = |number: usize| request("RPUSH", number, "xxxxxxxxxxxxxxxx");
    for (number, line) in waiting.iter_mut().enumerate() {
        line.socket.write_all(&pop(number))?;
        thread::sleep(PAUSE);
    }
    let mut nanos = Vec::new();
    let begin = Instant::now();
    let (measured_from, end) = (begin + options.warmup, begin + options.warmup + options.seconds);
    let amount = waiting.len();
    for turn in 0.. {
        let number = turn % amount;
        let line = &mut waiting[number];
        let (push, pop) = (push(number), pop(number));
        let from = Instant::now();
        if from >= end {
            break;
        }
        pusher.socket.write_all(&push)?;
        line.await_reply()?;
        if from >= measured_from {
            nanos.push(from.elapsed().as_nanos() as u64);
        }
        pusher.await_reply()?;
        line.socket.write_all(&pop)?;
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
