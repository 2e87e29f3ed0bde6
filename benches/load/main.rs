//! A light load generator for any server that speaks the Redis protocol.
//!
//! `redis-benchmark` formats every request and parses every reply, and so spends as much CPU as the server it
//! measures; on a machine with few cores that hides the difference between servers. This one prepares its requests
//! beforehand, refreshes only the random digits in place ([`batch`]), and only counts the replies ([`replies`]).
//!
//! It knows the protocol and nothing of this project's server. `benches/compare.py` drives it; it is as useful alone.

mod batch;
mod commands;
mod digits;
mod epoll;
mod handoff;
mod latency;
mod options;
mod process;
mod publish;
mod replies;
mod report;
mod socket;
mod throughput;

use options::{Mode, Options};
use report::Report;
use std::process::ExitCode;

fn main() -> ExitCode {
    // `cargo bench` hands `--bench` to every bench target; it says nothing about a load.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if arguments.is_empty() || arguments.iter().any(|argument| argument == "--help") {
        print!("{}", options::USAGE);
        return ExitCode::SUCCESS;
    }
    let outcome =
        Options::parse(&arguments).and_then(|options| run(&options).map_err(|error| error.to_string()));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("load: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Fills the keyspace if asked to, runs the load, and prints what came of it.
fn run(options: &Options) -> std::io::Result<()> {
    let mut report = Report::default();
    if options.preload > 0 {
        throughput::preload(options, &mut report)?;
    }
    if !options.seconds.is_zero() {
        match options.mode {
            Mode::Throughput => throughput::run(options, &mut report)?,
            Mode::Latency => latency::run(options, &mut report)?,
            Mode::Handoff => handoff::run(options, &mut report)?,
            Mode::Publish => publish::run(options, &mut report)?,
        }
    }
    report.print(options.json);
    Ok(())
}
