//! Whatever many connections do at once, there is one order of all their commands that explains every reply, in which
//! a command comes before all that were sent after its reply had arrived.
//!
//! Rounds of a few connections, each with a few pipelines of commands on three keys, are recorded and given to a checker:
//! it searches for such an order against a model of the keys, in the manner of Wing and Gong ("Testing and Verifying
//! Concurrent Objects", 1993), remembering dead ends as Lowe does ("Testing for linearizability", 2017). The model
//! counts the versions of a key, so that EXEC must fail exactly if a watched key was changed.

mod common;

use common::{Client, Process};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const KEYS: usize = 3;
const CLIENTS: usize = 5;

/// Pipelines of each client in a round, and the most commands in one.
const PIPELINES: usize = 3;
const MAX_PIPELINE: usize = 4;

const ROUNDS: usize = 1500;

/// What a client may do; a transaction is one thing that it does.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Op {
    Get(usize),
    Set(usize, u64),
    Incr(usize),
    Del(usize),
    /// All keys at once.
    MSet(u64),
    MGet,
    Rename(usize, usize),
    /// MULTI, these, EXEC.
    Transaction(Vec<Op>),
    Watch(usize),
}

impl Op {
    /// The requests, on keys whose names begin like this.
    fn requests(&self, prefix: &str) -> Vec<Vec<String>> {
        let key = |key: &usize| format!("{prefix}:{key}");
        let all = || (0..KEYS).map(|n| key(&n));
        let words = |words: &[&str]| vec![words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()];
        match self {
            Op::Get(k) => words(&["GET", &key(k)]),
            Op::Set(k, n) => words(&["SET", &key(k), &n.to_string()]),
            Op::Incr(k) => words(&["INCR", &key(k)]),
            Op::Del(k) => words(&["DEL", &key(k)]),
            Op::MSet(n) => {
                let pairs = all().flat_map(|key| [key, n.to_string()]);
                vec![["MSET".to_owned()].into_iter().chain(pairs).collect()]
            }
            Op::MGet => vec![["MGET".to_owned()].into_iter().chain(all()).collect()],
            Op::Rename(from, to) => words(&["RENAME", &key(from), &key(to)]),
            Op::Watch(k) => words(&["WATCH", &key(k)]),
            Op::Transaction(ops) => {
                let inner = ops.iter().flat_map(|op| op.requests(prefix));
                words(&["MULTI"]).into_iter().chain(inner).chain(words(&["EXEC"])).collect()
            }
        }
    }
}

/// The keys as they should be at some moment, and what clients watch.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
struct Model {
    values: [Option<u64>; KEYS],
    /// How often each key was changed.
    versions: [u32; KEYS],
    /// By client: watched keys with their versions.
    watched: [Vec<(usize, u32)>; CLIENTS],
}

fn bulk(value: Option<u64>) -> String {
    value.map_or("$-1\r\n".to_owned(), |n| {
        let digits = n.to_string();
        format!("${}\r\n{digits}\r\n", digits.len())
    })
}

impl Model {
    fn change(&mut self, key: usize, value: Option<u64>) {
        self.values[key] = value;
        self.versions[key] += 1;
    }

    /// Does what the operation does; returns the reply that it has to have.
    fn apply(&mut self, client: usize, op: &Op) -> String {
        match op {
            Op::Get(k) => bulk(self.values[*k]),
            Op::Set(k, n) => {
                self.change(*k, Some(*n));
                "+OK\r\n".to_owned()
            }
            Op::Incr(k) => {
                let n = self.values[*k].unwrap_or(0) + 1;
                self.change(*k, Some(n));
                format!(":{n}\r\n")
            }
            Op::Del(k) => {
                let existed = self.values[*k].is_some();
                if existed {
                    self.change(*k, None);
                }
                format!(":{}\r\n", existed as u8)
            }
            Op::MSet(n) => {
                (0..KEYS).for_each(|key| self.change(key, Some(*n)));
                "+OK\r\n".to_owned()
            }
            Op::MGet => {
                let values: String = self.values.iter().map(|value| bulk(*value)).collect();
                format!("*{KEYS}\r\n{values}")
            }
            Op::Rename(from, to) => match self.values[*from] {
                None => "-ERR no such key\r\n".to_owned(),
                Some(n) => {
                    if from != to {
                        self.change(*from, None);
                        self.change(*to, Some(n));
                    }
                    "+OK\r\n".to_owned()
                }
            },
            Op::Watch(k) => {
                self.watched[client].push((*k, self.versions[*k]));
                "+OK\r\n".to_owned()
            }
            Op::Transaction(ops) => {
                let watched = std::mem::take(&mut self.watched[client]);
                if watched.iter().any(|(key, version)| self.versions[*key] != *version) {
                    return "*-1\r\n".to_owned();
                }
                let replies: String = ops.iter().map(|op| self.apply(client, op)).collect();
                format!("*{}\r\n{replies}", ops.len())
            }
        }
    }
}

/// An operation that has happened.
#[derive(Clone, Debug)]
struct Event {
    op: Op,
    sent: Instant,
    received: Instant,
    reply: String,
}

/// Whether one order explains the events, given by client in the order of each.
fn is_linearizable(history: &[Vec<Event>]) -> bool {
    type State = (Vec<usize>, Model);
    let mut dead_ends: HashSet<State> = HashSet::new();
    let mut open: Vec<State> = vec![(vec![0; history.len()], Model::default())];
    while let Some((done, model)) = open.pop() {
        let next = |client: usize| history[client].get(done[client]);
        // Whatever comes next was sent before any other that is left had been answered.
        let Some(first_reply) = (0..history.len()).filter_map(|client| Some(next(client)?.received)).min()
        else {
            return true;
        };
        for client in 0..history.len() {
            let Some(event) = next(client).filter(|event| event.sent <= first_reply) else { continue };
            let mut model = model.clone();
            if model.apply(client, &event.op) == event.reply {
                let mut done = done.clone();
                done[client] += 1;
                let state = (done, model);
                if dead_ends.insert(state.clone()) {
                    open.push(state);
                }
            }
        }
    }
    false
}

/// A generator of numbers (xorshift), the same sequence for the same seed.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }

    fn simple(&mut self) -> Op {
        let (key, other, n) = (self.throw(KEYS), self.throw(KEYS), self.throw(1_000_000) as u64);
        match self.throw(12) {
            0..=2 => Op::Get(key),
            3 => Op::Set(key, n),
            4..=5 => Op::Incr(key),
            6 => Op::Del(key),
            7..=8 => Op::MSet(n),
            9..=10 => Op::MGet,
            _ => Op::Rename(key, other),
        }
    }

    fn op(&mut self) -> Op {
        match self.throw(5) {
            0 => Op::Transaction((0..1 + self.throw(4)).map(|_| self.simple()).collect()),
            1 => Op::Watch(self.throw(KEYS)),
            _ => self.simple(),
        }
    }
}

/// Sends a pipeline of operations and records what became of them.
fn play(client: &mut Client, prefix: &str, ops: Vec<Op>, events: &mut Vec<Event>) {
    let requests: Vec<Vec<Vec<String>>> = ops.iter().map(|op| op.requests(prefix)).collect();
    let bytes: Vec<u8> = requests.iter().flatten().flat_map(|request| common::encode(request)).collect();
    let sent = Instant::now();
    client.write(&bytes);
    for (op, requests) in ops.into_iter().zip(requests) {
        for _ in 1..requests.len() {
            let reply = client.receive();
            assert!(reply == b"+OK\r\n" || reply == b"+QUEUED\r\n", "{}", reply.escape_ascii());
        }
        let reply = String::from_utf8(client.receive()).expect("text");
        events.push(Event { op, sent, received: Instant::now(), reply });
    }
}

/// All clients begin each round together. If one of them panics, so do the others, instead of waiting for it.
#[derive(Default)]
struct Rounds {
    arrived: AtomicUsize,
    failed: AtomicBool,
}

struct Alarm<'a>(&'a AtomicBool);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

impl Rounds {
    fn begin(&self, round: usize) {
        self.arrived.fetch_add(1, Ordering::Relaxed);
        while self.arrived.load(Ordering::Relaxed) < (round + 1) * CLIENTS {
            assert!(!self.failed.load(Ordering::Relaxed), "another client has failed");
            thread::yield_now();
        }
    }
}

#[test]
fn what_many_connections_do_has_an_order() {
    let server = Process::nuthatch(&["--io-threads", "5"]);
    let rounds = Rounds::default();
    let histories: Vec<Vec<Vec<Event>>> = thread::scope(|scope| {
        let clients = (0..CLIENTS).map(|id| {
            let (server, rounds) = (&server, &rounds);
            scope.spawn(move || {
                let _alarm = Alarm(&rounds.failed);
                let mut client = server.connect();
                let mut dice = Dice(0x9E37_79B9_7F4A_7C15 ^ (id as u64 + 1));
                let round = |round: usize| {
                    let prefix = format!("round{round}");
                    let mut events = Vec::new();
                    rounds.begin(round);
                    for _ in 0..PIPELINES {
                        let ops = (0..1 + dice.throw(MAX_PIPELINE)).map(|_| dice.op()).collect();
                        play(&mut client, &prefix, ops, &mut events);
                    }
                    // What is watched ends with the round.
                    assert_eq!(client.ask(&["UNWATCH"]), b"+OK\r\n");
                    events
                };
                (0..ROUNDS).map(round).collect()
            })
        });
        let clients: Vec<_> = clients.collect();
        clients.into_iter().map(|client| client.join().expect("a client without a complaint")).collect()
    });
    let mut concurrent = 0;
    for round in 0..ROUNDS {
        let history: Vec<Vec<Event>> = histories.iter().map(|client| client[round].clone()).collect();
        concurrent += is_concurrent(&history) as usize;
        assert!(is_linearizable(&history), "no order explains round {round}:\n{}", describe(&history));
    }
    assert!(concurrent * 2 > ROUNDS, "only in {concurrent} of {ROUNDS} rounds anything happened at once");
}

fn is_concurrent(history: &[Vec<Event>]) -> bool {
    let spans = || history.iter().flat_map(|events| Some((events.first()?.sent, events.last()?.received)));
    spans().any(|(sent, received)| spans().filter(|(s, r)| *s < received && sent < *r).count() > 2)
}

fn describe(history: &[Vec<Event>]) -> String {
    let first = history.iter().flatten().map(|event| event.sent).min();
    let since = |time: Instant| first.map_or(0, |first| time.duration_since(first).as_micros());
    let line = |client: usize, event: &Event| {
        let Event { op, sent, received, reply } = event;
        format!("client {client}, {:>5}..{:>5} µs: {op:?} -> {reply:?}\n", since(*sent), since(*received))
    };
    let events = history.iter().enumerate();
    events.flat_map(|(client, events)| events.iter().map(move |event| line(client, event))).collect()
}

/// The checker itself: histories that are and that are not explained by an order.
#[test]
fn the_checker_tells_good_histories_from_bad_ones() {
    let zero = Instant::now();
    let at = |ms: u64| zero + Duration::from_millis(ms);
    let event = |op: Op, sent: u64, received: u64, reply: &str| {
        let reply = reply.replace(' ', "\r\n");
        Event { op, sent: at(sent), received: at(received), reply }
    };
    let mset = || event(Op::MSet(7), 0, 10, "+OK ");
    let torn = "*3 $1 7 $-1 $1 7 ";
    let whole = "*3 $1 7 $1 7 $1 7 ";
    let none = "*3 $-1 $-1 $-1 ";
    assert!(is_linearizable(&[
        vec![mset()],
        vec![event(Op::MGet, 2, 5, whole), event(Op::MGet, 6, 20, whole)]
    ]));
    assert!(is_linearizable(&[vec![mset()], vec![event(Op::MGet, 2, 5, none)]]));
    assert!(!is_linearizable(&[vec![mset()], vec![event(Op::MGet, 2, 5, torn)]]), "a torn read");
    assert!(!is_linearizable(&[vec![mset()], vec![event(Op::MGet, 11, 15, none)]]), "a stale read");
    let back = vec![event(Op::MGet, 1, 3, whole), event(Op::MGet, 4, 5, none)];
    assert!(!is_linearizable(&[vec![mset()], back]), "time runs backwards");
    let lost = [vec![event(Op::Incr(0), 0, 5, ":1 ")], vec![event(Op::Incr(0), 1, 6, ":1 ")]];
    assert!(!is_linearizable(&lost), "an increment is lost");
    let cas = |reply: &str| {
        let exec = Op::Transaction(vec![Op::Set(0, 2)]);
        vec![event(Op::Watch(0), 0, 1, "+OK "), event(exec, 10, 20, reply)]
    };
    let set = |sent, received| vec![event(Op::Set(0, 1), sent, received, "+OK ")];
    assert!(is_linearizable(&[cas("*-1 "), set(5, 6)]) && !is_linearizable(&[cas("*1 +OK "), set(5, 6)]));
    assert!(is_linearizable(&[cas("*1 +OK "), set(15, 16)]) && is_linearizable(&[cas("*-1 "), set(15, 16)]));
    assert!(!is_linearizable(&[cas("*-1 "), set(25, 26)]), "EXEC fails for no reason");
}
