//! Scripts are atomic, whether or not they declare their keys, beside everything else that clients do.
//!
//! Scripts that name their keys in ARGV only swap values among keys, so that each value is always there exactly once;
//! pairs of keys are written together by MSET, by transactions and by scripts that declare them, and must never be
//! seen different; counters are counted up one by one. All of it at once, from many connections.
//! `NUTHATCH_LOAD_SECONDS` makes it longer.

mod common;

use common::{Client, Process, elements, text};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const CONNECTIONS: u64 = 32;
const SWAPPED_KEYS: u32 = 1000;
const PAIRS: u32 = 50;
const COUNTERS: u32 = 10;

/// Its keys are in ARGV, and built from it.
const SWAP: &str = "local a, b = 'n:' .. ARGV[1], 'n:' .. ARGV[2] \
                    local x, y = redis.call('GET', a), redis.call('GET', b) \
                    redis.call('SET', a, y) redis.call('SET', b, x) return 1";

/// The same with declared keys.
const SWAP_DECLARED: &str = "local x, y = redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2]) \
                             redis.call('SET', KEYS[1], y) redis.call('SET', KEYS[2], x) return 1";

const SET_PAIR: &str = "redis.call('SET', KEYS[1], ARGV[1]) redis.call('SET', KEYS[2], ARGV[1])";

/// Finds out by the value of one key which other it is to read.
const FOLLOW: &str = "local v = redis.call('GET', KEYS[1]) return redis.call('GET', 'n:' .. v)";

fn seconds() -> Duration {
    let wanted = std::env::var("NUTHATCH_LOAD_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(wanted.unwrap_or(3))
}

fn load_script(client: &mut Client, script: &str) -> String {
    text(&client.ask(&["SCRIPT", "LOAD", script]))
}

struct Load<'a> {
    client: Client,
    random: StdRng,
    counted: &'a AtomicU64,
}

impl Load<'_> {
    fn swapped(&mut self) -> String {
        self.random.random_range(0..SWAPPED_KEYS).to_string()
    }

    fn step(&mut self, scripts: &[String; 4]) {
        let (a, b) = (self.swapped(), self.swapped());
        let pair = self.random.random_range(0..PAIRS);
        let (left, right) = (format!("p:{pair}:a"), format!("p:{pair}:b"));
        let value = self.random.random_range(0..1_000_000).to_string();
        let [swap, swap_declared, set_pair, follow] = scripts;
        let client = &mut self.client;
        match self.random.random_range(0..9) {
            0 | 1 if a != b => assert_eq!(client.ask(&["EVALSHA", swap, "0", &a, &b]), b":1\r\n"),
            2 if a != b => {
                let (a, b) = (format!("n:{a}"), format!("n:{b}"));
                assert_eq!(client.ask(&["EVALSHA", swap_declared, "2", &a, &b]), b":1\r\n");
            }
            3 => assert_eq!(client.ask(&["MSET", &left, &value, &right, &value]), b"+OK\r\n"),
            4 => {
                client.ask(&["MULTI"]);
                client.ask(&["SET", &left, &value]);
                client.ask(&[
                    "EVAL",
                    "return redis.call('SET', 'p:' .. ARGV[1] .. ':b', ARGV[2])",
                    "0",
                    &pair.to_string(),
                    &value,
                ]);
                assert_eq!(client.ask(&["EXEC"]), b"*2\r\n+OK\r\n+OK\r\n");
            }
            5 => assert_eq!(client.ask(&["EVALSHA", set_pair, "2", &left, &right, &value]), b"$-1\r\n"),
            6 => {
                let reply = client.ask(&["MGET", &left, &right]);
                let pair = elements(&reply).expect("two values");
                assert_eq!(pair[0], pair[1], "a pair was seen between its two writes");
            }
            7 => {
                let key = format!("n:{a}");
                assert_eq!(client.ask(&["EVALSHA", follow, "1", &key])[0], b'$');
            }
            _ => {
                let counter = format!("c:{}", self.random.random_range(0..COUNTERS));
                client.ask(&["INCR", &counter]);
                self.counted.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

#[test]
fn scripts_are_atomic_beside_everything_else() {
    let server = Process::nuthatch(&["--io-threads", "4"]);
    let mut client = server.connect();
    for n in 0..SWAPPED_KEYS {
        client.ask(&["SET", &format!("n:{n}"), &n.to_string()]);
    }
    let scripts = [SWAP, SWAP_DECLARED, SET_PAIR, FOLLOW].map(|script| load_script(&mut client, script));
    let (counted, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let until = Instant::now() + seconds();
    std::thread::scope(|scope| {
        for seed in 0..CONNECTIONS {
            let (scripts, stop, counted, server) = (&scripts, &stop, &counted, &server);
            scope.spawn(move || {
                let mut load =
                    Load { client: server.connect(), random: StdRng::seed_from_u64(seed), counted };
                while !stop.load(Ordering::Relaxed) {
                    load.step(scripts);
                }
            });
        }
        while Instant::now() < until {
            std::thread::sleep(Duration::from_millis(50));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let mut values: Vec<u32> = (0..SWAPPED_KEYS)
        .map(|n| text(&client.ask(&["GET", &format!("n:{n}")])).parse().expect("a number"))
        .collect();
    values.sort_unstable();
    assert_eq!(values, (0..SWAPPED_KEYS).collect::<Vec<u32>>(), "values were lost or doubled");
    let sum: u64 = (0..COUNTERS)
        .filter_map(|n| text(&client.ask(&["GET", &format!("c:{n}")])).parse::<u64>().ok())
        .sum();
    assert_eq!(sum, counted.load(Ordering::Relaxed));
}

/// A limiter that many ask at once lets through exactly as many as it may.
#[test]
fn a_limiter_counts_exactly() {
    const LIMIT: u64 = 100;
    let script = "redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', 0) local n = redis.call('ZCARD', KEYS[1]) \
                  if n < tonumber(ARGV[1]) then redis.call('ZADD', KEYS[1], n + 1, ARGV[2]) \
                  redis.call('EXPIRE', KEYS[1], 60) return 1 end return 0";
    let server = Process::nuthatch(&["--io-threads", "4"]);
    let sha1 = load_script(&mut server.connect(), script);
    let passed = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for connection in 0..16 {
            let (sha1, passed, server) = (&sha1, &passed, &server);
            scope.spawn(move || {
                let mut client = server.connect();
                for n in 0..200 {
                    let member = format!("{connection}-{n}");
                    for limiter in ["one", "two", "three"] {
                        let reply = client.ask(&["EVALSHA", sha1, "1", limiter, &LIMIT.to_string(), &member]);
                        passed.fetch_add((reply == b":1\r\n") as u64, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(passed.load(Ordering::Relaxed), 3 * LIMIT);
}

/// Redlock on one server: who holds a lock is alone, and nobody releases the lock of another.
#[test]
fn a_lock_has_one_holder() {
    let release =
        "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end";
    let server = Process::nuthatch(&["--io-threads", "4"]);
    let sha1 = load_script(&mut server.connect(), release);
    let (holders, held) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for connection in 0..16 {
            let (sha1, holders, held, server) = (&sha1, &holders, &held, &server);
            scope.spawn(move || {
                let mut client = server.connect();
                let (mine, other) = (format!("token-{connection}"), format!("token-{}", connection + 1));
                for _ in 0..300 {
                    if client.ask(&["SET", "lock", &mine, "NX", "PX", "30000"]) != b"+OK\r\n" {
                        continue;
                    }
                    assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0, "two hold the lock");
                    held.fetch_add(1, Ordering::Relaxed);
                    assert_eq!(client.ask(&["EVALSHA", sha1, "1", "lock", &other]), b":0\r\n");
                    holders.fetch_sub(1, Ordering::SeqCst);
                    assert_eq!(client.ask(&["EVALSHA", sha1, "1", "lock", &mine]), b":1\r\n");
                }
            });
        }
    });
    assert!(held.load(Ordering::Relaxed) > 0);
}

/// Time stands still in a script and in a transaction, to the microsecond, but not so early that who has a key later
/// has an earlier time: what one has stored is in nobody's future.
#[test]
fn time_does_not_go_back_for_who_shares_a_key() {
    const SCRIPT: &str = "local t = redis.call('TIME') local now = t[1] * 1000000 + t[2] \
                          local last = tonumber(redis.call('GET', KEYS[1]) or 0) \
                          redis.call('SET', KEYS[1], string.format('%.0f', now)) \
                          local again = redis.call('TIME') \
                          if again[1] ~= t[1] or again[2] ~= t[2] then return 'moved' end \
                          return {now < last and 1 or 0, now % 1000 == 0 and 1 or 0}";
    const CALLS: u64 = 4000;
    const CONNECTIONS: u64 = 16;
    let server = Process::nuthatch(&["--io-threads", "4"]);
    let sha1 = load_script(&mut server.connect(), SCRIPT);
    let (back, whole) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for connection in 0..CONNECTIONS {
            let (sha1, back, whole, server) = (&sha1, &back, &whole, &server);
            scope.spawn(move || {
                let mut client = server.connect();
                for _ in 0..CALLS / 8 {
                    for _ in 0..8 {
                        if connection % 4 == 0 {
                            client.send(&["MULTI"]);
                            client.send(&["EVALSHA", sha1, "1", "k"]);
                            client.send(&["EXEC"]);
                        } else {
                            client.send(&["EVALSHA", sha1, "1", "k"]);
                        }
                    }
                    for _ in 0..8 {
                        let reply = if connection % 4 == 0 {
                            assert_eq!(client.receive(), b"+OK\r\n");
                            assert_eq!(client.receive(), b"+QUEUED\r\n");
                            elements(&client.receive()).expect("an array")[0].to_vec()
                        } else {
                            client.receive()
                        };
                        let numbers = elements(&reply).expect("time moved");
                        back.fetch_add((numbers[0] == b":1\r\n") as u64, Ordering::Relaxed);
                        whole.fetch_add((numbers[1] == b":1\r\n") as u64, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(back.load(Ordering::Relaxed), 0, "times before those of the key's last writer");
    assert!(whole.load(Ordering::Relaxed) < CALLS * CONNECTIONS / 2, "times in whole milliseconds");
}
