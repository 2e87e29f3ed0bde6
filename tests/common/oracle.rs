//! What tests share that take Redis as the judge: random requests go to both servers, whose replies have to agree.

#![allow(dead_code, reason = "every test program uses a part of this, and none uses all")]

use super::common::{self, Client, Process};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::time::{Duration, Instant};

/// How many of the last requests a failure shows.
const SHOWN_REQUESTS: usize = 30;
/// How much of a reply it shows, bytes.
const SHOWN_BYTES: usize = 1000;

pub type Request = Vec<Vec<u8>>;

/// Chance, with what the tests often need of it.
pub struct Dice(pub StdRng);

impl Dice {
    pub fn chance(&mut self, percent: u32) -> bool {
        self.0.random_range(0..100) < percent
    }

    /// One of the words, now and then in lower case.
    pub fn word(&mut self, words: &[&str]) -> Vec<u8> {
        let word = words.choose(&mut self.0).expect("words");
        if self.chance(85) { word.as_bytes().to_vec() } else { word.to_ascii_lowercase().into_bytes() }
    }

    /// One of the words as it is.
    pub fn key(&mut self, keys: &[&str]) -> Vec<u8> {
        keys.choose(&mut self.0).expect("keys").as_bytes().to_vec()
    }

    pub fn number(&mut self, range: std::ops::Range<i64>) -> i64 {
        self.0.random_range(range)
    }
}

/// A request of words.
pub fn request(words: &[&str]) -> Request {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

pub fn shown(bytes: &[u8]) -> String {
    let text = bytes[..bytes.len().min(SHOWN_BYTES)].escape_ascii().to_string();
    if bytes.len() > SHOWN_BYTES { format!("{text}… ({} bytes)", bytes.len()) } else { text }
}

pub fn line(request: &[Vec<u8>]) -> String {
    request.iter().map(|arg| shown(arg)).collect::<Vec<_>>().join(" ")
}

/// A connection to each of the two servers.
pub struct Pair {
    pub ours: Client,
    pub theirs: Client,
}

impl Pair {
    pub fn ask(&mut self, request: &[Vec<u8>]) -> (Vec<u8>, Vec<u8>) {
        self.ours.send(request);
        self.theirs.send(request);
        (self.ours.receive(), self.theirs.receive())
    }
}

/// A comparison of two servers in runs, each of which begins with an empty database, in either protocol in turn.
pub struct Comparison {
    pub ours: Process,
    pub theirs: Process,
    /// After so long no further run begins.
    pub time_limit: Duration,
    pub run_requests: usize,
    /// What both are asked first in each run.
    pub first: Vec<Request>,
}

impl Comparison {
    /// Makes requests with `next`, until the time is over. `alike` says of replies that are not the same whether they
    /// mean the same.
    ///
    /// # Panics
    /// If replies differ, or if not even one run came to its end.
    pub fn run(
        &self,
        mut next: impl FnMut(&mut Dice) -> Request,
        alike: impl Fn(&Request, &[u8], &[u8]) -> bool,
    ) {
        let started = Instant::now();
        let mut requests = 0;
        for seed in 0.. {
            if started.elapsed() > self.time_limit {
                break;
            }
            let mut pair = Pair { ours: self.ours.connect(), theirs: self.theirs.connect() };
            let proto = if seed % 2 == 0 { "2" } else { "3" };
            pair.ask(&request(&["HELLO", proto]));
            pair.ask(&request(&["FLUSHALL"]));
            self.first.iter().for_each(|request| {
                pair.ask(request);
            });
            begin_log(&mut pair.ours);
            let mut dice = Dice(StdRng::seed_from_u64(seed));
            let mut history: Vec<Request> = Vec::new();
            for step in 0..self.run_requests {
                let request = next(&mut dice);
                let (ours, theirs) = pair.ask(&request);
                let agree = ours == theirs || alike(&request, &ours, &theirs);
                history.push(request);
                if !agree {
                    let from = history.len().saturating_sub(SHOWN_REQUESTS);
                    let last: Vec<String> = history[from..].iter().map(|request| line(request)).collect();
                    panic!(
                        "seed {seed}, RESP{proto}, request {step}:\n{}\nours: {}\ntheirs: {}",
                        last.join("\n"),
                        shown(&ours),
                        shown(&theirs)
                    );
                }
                requests += 1;
            }
            check_log(&mut self.ours.connect(), seed);
        }
        println!("{requests} requests");
        assert!(requests >= self.run_requests, "not even one run was completed");
    }
}

/// Has our server log what it does from here on.
fn begin_log(ours: &mut Client) {
    ours.ask(&request(&["CONFIG", "SET", "appendonly", "no"]));
    assert_eq!(ours.ask(&request(&["CONFIG", "SET", "appendonly", "yes"])), b"+OK\r\n");
    while common::info(ours, "aof_rewrite_in_progress") + common::info(ours, "aof_rewrite_scheduled") > 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What was logged has to lead to the data that there is.
///
/// # Panics
/// If it does not; not on a server that may not be debugged.
fn check_log(ours: &mut Client, seed: u64) {
    // Keys that expire while it is loaded would look like differences.
    ours.ask(&request(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]));
    let before = state(ours);
    let loaded = ours.ask(&request(&["DEBUG", "LOADAOF"]));
    if loaded.starts_with(b"-ERR DEBUG command not allowed") {
        return;
    }
    assert_eq!(loaded, b"+OK\r\n");
    let after = state(ours);
    ours.ask(&request(&["DEBUG", "SET-ACTIVE-EXPIRE", "1"]));
    for (key, value) in &before {
        // What had a deadline may have reached it.
        let is_timed = value.starts_with("timed");
        let found = after.get(key);
        assert!(
            found == Some(value) || found.is_none() && is_timed,
            "seed {seed}: {key} is {found:?} in the log, not {value}"
        );
    }
    let extra: Vec<&String> = after.keys().filter(|key| !before.contains_key(*key)).collect();
    assert!(extra.is_empty(), "seed {seed}: only in the log: {extra:?}");
}

/// A digest of each key of each database.
fn state(ours: &mut Client) -> std::collections::BTreeMap<String, String> {
    let mut state = std::collections::BTreeMap::new();
    for db in 0..16 {
        ours.ask(&request(&["SELECT", &db.to_string()]));
        let keys = ours.ask(&request(&["KEYS", "*"]));
        for key in common::elements(&keys).expect("an array") {
            let start = key.iter().position(|byte| *byte == b'\n').expect("a bulk") + 1;
            let key = key[start..key.len() - 2].to_vec();
            let mut ask = |words: &[&str]| {
                let mut request = request(words);
                request.push(key.clone());
                shown(&ours.ask(&request))
            };
            let is_timed = !ask(&["PEXPIRETIME"]).starts_with(":-1");
            let digest = ask(&["DEBUG", "DIGEST-VALUE"]);
            let groups = ask(&["XINFO", "GROUPS"]);
            let kind = if is_timed { "timed" } else { "kept" };
            let groups = if groups.starts_with('-') { String::new() } else { groups };
            state.insert(format!("{db} {}", shown(&key)), format!("{kind} {digest} {groups}"));
        }
    }
    ours.ask(&request(&["SELECT", "0"]));
    state
}

/// Whether both replies have the same elements, in whatever order.
pub fn same_elements(ours: &[u8], theirs: &[u8]) -> bool {
    let in_order = |reply| {
        common::elements(reply).map(|mut elements| {
            elements.sort_unstable();
            elements
        })
    };
    in_order(ours) == in_order(theirs)
}

/// Whether two replies differ at most in how they write doubles.
pub fn same_numbers(ours: &[u8], theirs: &[u8]) -> bool {
    let lines = |reply: &[u8]| -> Vec<Vec<u8>> {
        let lines = reply.split(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"$"));
        lines.map(|line| line.trim_ascii_end().to_vec()).collect()
    };
    let number = |line: &[u8]| -> Option<f64> {
        std::str::from_utf8(line.strip_prefix(b",").unwrap_or(line)).ok()?.parse().ok()
    };
    let (ours, theirs) = (lines(ours), lines(theirs));
    let alike = |(a, b): (&Vec<u8>, &Vec<u8>)| a == b || number(a).is_some() && number(a) == number(b);
    ours.len() == theirs.len() && ours.iter().zip(&theirs).all(alike)
}
