//! The command line: every option, its default and its meaning.

use crate::batch::INSTANTS_MS;
use crate::commands::{self, Templates};
use crate::socket::Address;
use std::time::Duration;

pub const USAGE: &str = "\
Usage: cargo bench --bench load -- [--option value ...]

A light load generator for servers that speak the Redis protocol: requests are prepared beforehand, their random keys
refreshed in place, and replies only counted.

Where
  --host NAME         host of the server (127.0.0.1)
  --port N            its port (6379)
  --unix PATH         its Unix socket, instead of host and port
What
  --command NAME      set get incr setex mset10 mget10 hotset hotget hotincr ping publish
                      handoff, or custom (get)
  --template TEXT     the request of `custom`, words separated by spaces, with these marks inside the words:
                      __rand__ (random key number), __seq__ (running number), __spread__ (random instant, see below),
                      __value__ (a value of --value-size bytes); a word `;` stands between requests that belong
                      together (as from MULTI to EXEC), each of which counts
  --keys N            key numbers are drawn from 0 to N-1 (1000000)
  --value-size BYTES  length of values (16)
  --preload N         first send the command's filling request N times, numbered 0 to N-1 (0: do not);
                      for `custom` this is the template itself
  --spread-from MS    __spread__ marks are instants in Unix ms from here on, ...
  --spread-ms MS      ... spread evenly at random over so many ms
How
  --connections N     connections, each with one batch of requests under way (50);
                      with --command handoff: those that wait in turns for the pushes of one more
  --threads N         threads that serve them (1)
  --pipeline N        requests in a batch (1)
  --seconds S         how long to measure, fractions allowed (3); 0 stops after --preload
  --warmup S          how long to run before measuring (0.5)
  --latency           time single requests on one connection at a time instead of counting many
  --rate N            with --latency: send N requests a second, over all connections in turn
  --start-at MS       with --latency: start at this Unix time in ms
  --tracking          connections speak RESP3 and have what they read tracked: they are told when it changes
  --subscribers N     with --command publish: this many connections listen to what the others publish (1)
Report
  --pid PID           server process whose CPU time is read from /proc
  --json              print one JSON object
";

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Requests per second of many pipelined connections.
    Throughput,
    /// Time of single requests.
    Latency,
    /// Time from a push to its arrival at a client that waits.
    Handoff,
    /// Messages per second that reach subscribers.
    Publish,
}

/// The command line, checked.
#[derive(Debug)]
pub struct Options {
    pub address: Address,
    pub command: String,
    pub templates: Templates,
    pub keys: u64,
    pub value_size: usize,
    pub preload: u64,
    pub spread_from: u64,
    pub spread_ms: u64,
    pub connections: usize,
    pub threads: usize,
    pub pipeline: usize,
    pub seconds: Duration,
    pub warmup: Duration,
    pub mode: Mode,
    /// Requests per second in latency mode; `None` sends the next one as soon as the last is answered.
    pub rate: Option<f64>,
    /// Unix time in ms at which latency mode starts.
    pub start_at: Option<u64>,
    pub subscribers: usize,
    pub tracking: bool,
    pub pid: Option<u32>,
    pub json: bool,
}

impl Options {
    /// Reads the arguments; the error is a sentence for the user.
    pub fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut host = "127.0.0.1".to_owned();
        let mut port = 6379;
        let mut unix = None;
        let mut template = None;
        let mut options = Self {
            address: Address::Unix(String::new()),
            command: "get".to_owned(),
            templates: Templates::default(),
            keys: 1_000_000,
            value_size: 16,
            preload: 0,
            spread_from: 0,
            spread_ms: 1,
            connections: 50,
            threads: 1,
            pipeline: 1,
            seconds: Duration::from_secs(3),
            warmup: Duration::from_millis(500),
            mode: Mode::Throughput,
            rate: None,
            start_at: None,
            subscribers: 1,
            tracking: false,
            pid: None,
            json: false,
        };
        let mut arguments = arguments.iter();
        while let Some(name) = arguments.next() {
            match name.as_str() {
                "--json" => options.json = true,
                "--tracking" => options.tracking = true,
                "--latency" => options.mode = Mode::Latency,
                _ => {
                    let value =
                        arguments.next().ok_or_else(|| format!("{name} needs a value (see --help)"))?;
                    match name.as_str() {
                        "--host" => host.clone_from(value),
                        "--port" => port = number(name, value)?,
                        "--unix" => unix = Some(value.clone()),
                        "--command" => options.command.clone_from(value),
                        "--template" => template = Some(value.as_str()),
                        "--keys" => options.keys = number(name, value)?,
                        "--value-size" => options.value_size = number(name, value)?,
                        "--preload" => options.preload = number(name, value)?,
                        "--spread-from" => options.spread_from = number(name, value)?,
                        "--spread-ms" => options.spread_ms = number(name, value)?,
                        "--connections" => options.connections = number(name, value)?,
                        "--threads" => options.threads = number(name, value)?,
                        "--pipeline" => options.pipeline = number(name, value)?,
                        "--seconds" => options.seconds = seconds(name, value)?,
                        "--warmup" => options.warmup = seconds(name, value)?,
                        "--rate" => options.rate = Some(number(name, value)?),
                        "--start-at" => options.start_at = Some(number(name, value)?),
                        "--subscribers" => options.subscribers = number(name, value)?,
                        "--pid" => options.pid = Some(number(name, value)?),
                        _ => return Err(format!("unknown option {name} (see --help)")),
                    }
                }
            }
        }
        options.address = unix.map_or(Address::Tcp(host, port), Address::Unix);
        if options.command == "publish" {
            options.mode = Mode::Publish;
        } else if options.command == "handoff" {
            options.mode = Mode::Handoff;
        } else {
            options.templates = commands::find(&options.command, template)?;
        }
        options.check()?;
        Ok(options)
    }

    fn check(&self) -> Result<(), String> {
        if self.connections == 0
            || self.threads == 0
            || self.pipeline == 0
            || self.keys == 0
            || self.spread_ms == 0
            || self.subscribers == 0
        {
            return Err(
                "--connections, --threads, --pipeline, --keys, --spread-ms and --subscribers must be at least 1".into()
            );
        }
        if self.threads > self.connections {
            return Err("--threads must not exceed --connections".into());
        }
        if self.templates.uses_spread()
            && !(INSTANTS_MS.contains(&self.spread_from)
                && INSTANTS_MS.contains(&self.spread_from.saturating_add(self.spread_ms)))
        {
            return Err(
                "__spread__ needs --spread-from and --spread-ms between the years 2001 and 2033".into()
            );
        }
        if self.rate.is_some_and(|rate| !rate.is_finite() || rate <= 0.0) {
            return Err("--rate must be above 0".into());
        }
        Ok(())
    }
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{name}: {value:?} is not a number in range"))
}

fn seconds(name: &str, value: &str) -> Result<Duration, String> {
    Duration::try_from_secs_f64(number(name, value)?).map_err(|error| format!("{name}: {error}"))
}
