//! Publishing: some connections publish to one channel, others listen to it, and what counts is messages received.
//!
//! All messages are alike, so a subscriber's are counted by their bytes, and listening costs little more than the
//! system calls. A batch is published only when the messages of one batch of every publisher, and no more, are on
//! their way: the server's queues stay short, whoever is faster.

use crate::batch::{Batch, Numbers};
use crate::epoll::Epoll;
use crate::options::Options;
use crate::process;
use crate::replies::ReplyCounter;
use crate::report::Report;
use crate::socket::Socket;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

const CHANNEL: &str = "news";
const READ_BYTES: usize = 64 * 1024;
/// How long the wait for messages lasts at most before the clock is looked at.
const WAKE_UP_MS: i32 = 100;

/// A connection that publishes, and how many of its requests are unanswered.
struct Publisher {
    socket: Socket,
    replies: ReplyCounter,
    awaited: u64,
}

/// All connections, and what has been counted.
struct Crowd {
    publishers: Vec<Publisher>,
    subscribers: Vec<Socket>,
    epoll: Epoll,
    batch: Batch,
    pipeline: u64,
    message_bytes: u64,
    /// Publishers whose last batch is answered.
    idle: Vec<usize>,
    published: u64,
    received_bytes: u64,
}

impl Crowd {
    fn new(options: &Options) -> io::Result<Crowd> {
        let epoll = Epoll::new()?;
        let template = format!("PUBLISH {CHANNEL} __value__");
        let mut batch = Batch::new(&template, options.pipeline, options.keys, options.value_size);
        batch.refresh(options.pipeline, &mut Numbers::new(0, options.keys, 0, 1));
        let mut subscribers = Vec::new();
        for token in 0..options.subscribers {
            let socket = subscribe(options)?;
            epoll.add(socket.as_raw_fd(), options.connections + token)?;
            subscribers.push(socket);
        }
        let mut publishers = Vec::new();
        for token in 0..options.connections {
            let socket = Socket::connect(&options.address)?;
            epoll.add(socket.as_raw_fd(), token)?;
            publishers.push(Publisher { socket, replies: ReplyCounter::default(), awaited: 0 });
        }
        Ok(Crowd {
            idle: (0..publishers.len()).collect(),
            publishers,
            subscribers,
            epoll,
            batch,
            pipeline: options.pipeline as u64,
            message_bytes: message(options.value_size).len() as u64,
            published: 0,
            received_bytes: 0,
        })
    }

    fn received(&self) -> u64 {
        self.received_bytes / self.message_bytes
    }

    /// Publishes and listens until `end`.
    fn run(&mut self, end: Instant) -> io::Result<()> {
        let mut buffer = vec![0; READ_BYTES];
        let mut ready = Vec::new();
        let window = self.publishers.len() as u64 * self.pipeline;
        while Instant::now() < end {
            while self.published + self.pipeline <= self.received() / self.subscribers.len() as u64 + window
                && let Some(token) = self.idle.pop()
            {
                let publisher = &mut self.publishers[token];
                publisher.socket.write_all(self.batch.requests(self.pipeline as usize))?;
                publisher.awaited = self.pipeline;
                self.published += self.pipeline;
            }
            self.epoll.wait(WAKE_UP_MS, &mut ready)?;
            for &token in &ready {
                self.read(token, &mut buffer)?;
            }
        }
        Ok(())
    }

    /// Reads once from a connection that has something.
    fn read(&mut self, token: usize, buffer: &mut [u8]) -> io::Result<()> {
        match token.checked_sub(self.publishers.len()) {
            Some(subscriber) => {
                self.received_bytes += read_some(&mut self.subscribers[subscriber], buffer)? as u64;
            }
            None => {
                let publisher = &mut self.publishers[token];
                let bytes = read_some(&mut publisher.socket, buffer)?;
                publisher.awaited -= publisher.replies.feed(&buffer[..bytes]);
                if publisher.awaited == 0 {
                    self.idle.push(token);
                }
            }
        }
        Ok(())
    }
}

/// What a subscriber gets for one message.
fn message(value_size: usize) -> String {
    let value = "x".repeat(value_size);
    let channel_bytes = CHANNEL.len();
    format!("*3\r\n$7\r\nmessage\r\n${channel_bytes}\r\n{CHANNEL}\r\n${value_size}\r\n{value}\r\n")
}

/// A connection that listens: it has been told so.
fn subscribe(options: &Options) -> io::Result<Socket> {
    let mut socket = Socket::connect(&options.address)?;
    socket.write_all(format!("SUBSCRIBE {CHANNEL}\r\n").as_bytes())?;
    let (mut replies, mut buffer) = (ReplyCounter::default(), [0; 1024]);
    loop {
        let bytes = read_some(&mut socket, &mut buffer)?;
        if replies.feed(&buffer[..bytes]) > 0 {
            return Ok(socket);
        }
    }
}

fn read_some(socket: &mut Socket, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match socket.read(buffer) {
            Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "the server closed a connection")),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// The counts at one moment.
struct Sample {
    time: Instant,
    received: u64,
    published: u64,
    server_cpu: Option<Duration>,
    client_cpu: Duration,
}

impl Sample {
    fn take(options: &Options, crowd: &Crowd) -> io::Result<Sample> {
        Ok(Sample {
            time: Instant::now(),
            received: crowd.received(),
            published: crowd.published,
            server_cpu: options.pid.map(process::cpu_of).transpose()?,
            client_cpu: process::cpu_of_self(),
        })
    }
}

/// Publishes for `--warmup` and `--seconds` and reports on the latter.
pub fn run(options: &Options, report: &mut Report) -> io::Result<()> {
    let mut crowd = Crowd::new(options)?;
    crowd.run(Instant::now() + options.warmup)?;
    let start = Sample::take(options, &crowd)?;
    crowd.run(start.time + options.seconds)?;
    let end = Sample::take(options, &crowd)?;
    let seconds = (end.time - start.time).as_secs_f64();
    let received = end.received - start.received;
    let client_cpu = (end.client_cpu - start.client_cpu).as_secs_f64();
    report.text("mode", "publish");
    report.integer("connections", options.connections as u64);
    report.integer("pipeline", options.pipeline as u64);
    report.integer("subscribers", options.subscribers as u64);
    report.integer("published", end.published - start.published);
    report.integer("messages", received);
    report.number("seconds", seconds);
    report.number("messages_per_second", received as f64 / seconds);
    report.integer("errors", crowd.publishers.iter().map(|publisher| publisher.replies.errors()).sum());
    if let (Some(start), Some(end)) = (start.server_cpu, end.server_cpu) {
        let micros = end.saturating_sub(start).as_secs_f64() * 1e6;
        report.number("server_cpu_us_per_message", micros / received.max(1) as f64);
    }
    report.number("client_busy", client_cpu / seconds);
    Ok(())
}
