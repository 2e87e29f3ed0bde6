//! Client-side caching. Redis is the judge of which client is told what and in which order, and a model of a
//! client's cache of what it is good for: however many clients read and write at once, no value is cached that
//! the server does not hold any more.

mod common;

use common::{Client, Process, elements, text};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::collections::{HashMap, VecDeque};
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// All random runs together take about this long.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// Commands of one run, with one way of tracking.
const RUN_COMMANDS: usize = 300;
/// How many of the last commands a failure shows.
const SHOWN_COMMANDS: usize = 20;

const OPTIONS: [&str; 2] = ["--enable-debug-command", "yes"];

/// Ways to be tracked; `ID` is the number of the connection to redirect to.
const WAYS: &[&str] = &[
    "ON",
    "ON NOLOOP",
    "ON OPTIN",
    "ON OPTOUT NOLOOP",
    "ON BCAST",
    "ON BCAST NOLOOP",
    "ON BCAST PREFIX a PREFIX b",
    "ON REDIRECT ID",
    "ON REDIRECT ID NOLOOP",
    "ON BCAST REDIRECT ID PREFIX b",
];

/// `K` is one of a few keys.
const COMMANDS: &[&str] = &[
    "GET K",
    "GET K",
    "GET K",
    "MGET K K K",
    "EXISTS K K",
    "TTL K",
    "STRLEN K",
    "LRANGE l 0 -1",
    "HGET h f",
    "SINTER e e",
    "SET K 1",
    "SET K 2 PX 10",
    "SET K 3 NX",
    "MSET K 1 K 2",
    "DEL K K",
    "INCR K",
    "GETDEL K",
    "EXPIRE K 100",
    "PEXPIRE K 10",
    "PERSIST K",
    "RENAME K K",
    "COPY K K REPLACE",
    "MOVE K 1",
    "RPUSH l x",
    "LPOP l",
    "LMOVE l l LEFT RIGHT",
    "HSET h f v",
    "HDEL h f",
    "SADD e x",
    "SREM e x",
    "SUNIONSTORE e e",
    "APPEND K x",
    "SELECT 1",
    "SELECT 0",
    "CLIENT CACHING YES",
    "CLIENT CACHING YES",
    "CLIENT CACHING NO",
    "CLIENT TRACKINGINFO",
    "FLUSHDB",
];

/// Deadlines of this many milliseconds, more than either server needs for a command, have passed after [`PAUSE`].
const SOON_MS: &str = "10";
const PAUSE: Duration = Duration::from_millis(14);

const KEYS: [&str; 5] = ["a1", "a2", "b1", "b2", "c"];

type Request = Vec<String>;

fn words(text: &str) -> Request {
    text.split(' ').map(str::to_owned).collect()
}

/// A server, a client that is tracked, one that is not, and one that invalidations are redirected to.
struct Side {
    _process: Process,
    tracked: Client,
    other: Client,
    target: Client,
    target_id: String,
}

impl Side {
    fn new(process: Process) -> Side {
        let (mut tracked, mut other, mut target) = (process.connect(), process.connect(), process.connect());
        tracked.ask(&["HELLO", "3"]);
        assert_eq!(other.ask(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]), b"+OK\r\n");
        let target_id = text(&target.ask(&["CLIENT", "ID"]));
        target.ask(&["SUBSCRIBE", "__redis__:invalidate"]);
        Side { _process: process, tracked, other, target, target_id }
    }

    /// What each of the three clients receives when one gives a command. Numbers of clients are left out.
    fn run(&mut self, is_tracked: bool, request: &Request) -> Vec<String> {
        let request: Request = request
            .iter()
            .map(|word| if word == "ID" { self.target_id.clone() } else { word.clone() })
            .collect();
        let mut received = Vec::new();
        if is_tracked {
            self.tracked.send(&request);
            loop {
                let frame = self.tracked.receive();
                received.push(format!("tracked: {}", String::from_utf8_lossy(&frame)));
                if frame[0] != b'>' {
                    break;
                }
            }
        } else {
            let reply = self.other.ask(&request);
            received.push(format!("other: {}", String::from_utf8_lossy(&reply)));
        }
        drain(&mut self.tracked, b"+PONG\r\n", "tracked", &mut received);
        drain(&mut self.target, b"*2\r\n$4\r\npong\r\n$0\r\n\r\n", "target", &mut received);
        let id = format!(":{}\r\n", self.target_id);
        let is_info = request.last().is_some_and(|word| word == "TRACKINGINFO");
        received
            .into_iter()
            .map(|line| if is_info { line.replace(&id, ":id\r\n") } else { line })
            // Redis sends what the tracked client understands, which here is not what the receiver does.
            .map(|line| line.replace("invalidate\r\n_\r\n", "invalidate\r\n$-1\r\n"))
            .collect()
    }
}

/// Receives what has come for a client until now.
fn drain(client: &mut Client, pong: &[u8], who: &str, received: &mut Vec<String>) {
    client.send(&["PING"]);
    loop {
        let frame = client.receive();
        if frame == pong {
            return;
        }
        received.push(format!("{who}: {}", String::from_utf8_lossy(&frame)));
    }
}

#[test]
fn the_same_clients_are_told_the_same() {
    let (mut ours, mut theirs) =
        (Side::new(Process::nuthatch(&OPTIONS)), Side::new(Process::redis(&OPTIONS)));
    let started = Instant::now();
    let mut seed: u64 = rand::rng().random();
    let mut told = 0;
    while started.elapsed() < TIME_LIMIT {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut shown: Vec<String> = Vec::new();
        let way = WAYS.choose(&mut rng).expect("there are some");
        let mut requests: VecDeque<(bool, Request)> = ["CLIENT TRACKING OFF", "SELECT 0", "FLUSHALL"]
            .into_iter()
            .map(|text| (true, words(text)))
            .chain([(false, words("SELECT 0")), (true, words(&format!("CLIENT TRACKING {way}")))])
            .collect();
        requests.extend((0..RUN_COMMANDS).map(|_| {
            let template = words(COMMANDS.choose(&mut rng).expect("there are some"));
            let key = |word: String, rng: &mut StdRng| match word.as_str() {
                "K" => (*KEYS.choose(rng).expect("there are some")).to_owned(),
                _ => word,
            };
            let request = template.into_iter().map(|word| key(word, &mut rng)).collect();
            (rng.random_bool(0.6), request)
        }));
        for (is_tracked, request) in requests {
            shown.push(format!("{} {}", if is_tracked { "tracked" } else { "other" }, request.join(" ")));
            let (left, right) = (ours.run(is_tracked, &request), theirs.run(is_tracked, &request));
            assert_eq!(
                left,
                right,
                "seed {seed}; the last commands:\n{}",
                shown[shown.len().saturating_sub(SHOWN_COMMANDS)..].join("\n")
            );
            told += left.iter().filter(|line| line.contains("invalidate")).count();
            if request.last().is_some_and(|word| word == SOON_MS) {
                // Another client comes upon what has expired. (Redis invalidates before a read is remembered, here
                // the reader is told that the key is gone once it has read so.)
                std::thread::sleep(PAUSE);
                for db in ["0", "1"] {
                    for request in [vec!["SELECT", db], [&["EXISTS"], &KEYS[..]].concat()] {
                        let request = request.into_iter().map(str::to_owned).collect();
                        assert_eq!(ours.run(false, &request), theirs.run(false, &request));
                    }
                }
            }
        }
        seed += 1;
    }
    println!("{told} invalidations");
    assert!(told > 0);
}

/// Operations of all clients together; `NUTHATCH_TRACKED_OPERATIONS` asks for others.
const OPERATIONS: usize = 200_000;
const CACHES: usize = 8;
/// Requests that a client sends before it reads the replies.
const PIPELINE: usize = 16;
/// Operations of each client from one comparison with the server to the next.
const ROUND: usize = 1_000;
const CACHED_KEYS: u32 = 200;

/// A client with a cache of its own, which it believes.
struct Cache {
    client: Client,
    values: HashMap<String, Option<String>>,
    /// Keys whose values are going to be replied; `None` for replies that say nothing of a value.
    awaited: VecDeque<Option<String>>,
    invalidations: usize,
}

/// A value, `None` if the key does not exist.
fn value(reply: &[u8]) -> Option<String> {
    (reply != b"_\r\n" && reply != b"$-1\r\n").then(|| text(reply))
}

impl Cache {
    fn new(process: &Process) -> Cache {
        let mut client = process.connect();
        client.ask(&["HELLO", "3"]);
        assert_eq!(client.ask(&["CLIENT", "TRACKING", "ON"]), b"+OK\r\n");
        Cache { client, values: HashMap::new(), awaited: VecDeque::new(), invalidations: 0 }
    }

    /// Takes one frame: a reply, or an invalidation. False for the reply to PING.
    fn receive(&mut self) -> bool {
        let frame = self.client.receive();
        if frame[0] == b'>' {
            self.invalidations += 1;
            let as_array = [b"*", &frame[1..]].concat();
            match elements(elements(&as_array).expect("a push")[1]) {
                Some(keys) => keys.into_iter().for_each(|key| {
                    self.values.remove(&text(key));
                }),
                None => self.values.clear(),
            }
            return true;
        }
        if frame == b"+PONG\r\n" {
            return false;
        }
        if let Some(key) = self.awaited.pop_front().expect("a reply that was asked for") {
            self.values.insert(key, value(&frame));
        }
        true
    }

    fn ask(&mut self, request: &[&str], key: Option<&str>) {
        self.client.send(request);
        self.awaited.push_back(key.map(str::to_owned));
    }

    /// Reads from the cache or the server, and writes, for a while. Returns how many values were in the cache.
    fn work(&mut self, rng: &mut StdRng, operations: usize) -> usize {
        let mut hits = 0;
        for n in 0..operations {
            let key = format!("k{}", rng.random_range(0..CACHED_KEYS));
            let number = rng.random::<u32>().to_string();
            match rng.random_range(0..100) {
                0..70 if self.values.contains_key(&key) => hits += 1,
                0..70 => self.ask(&["GET", &key], Some(&key)),
                70..90 => self.ask(&["SET", &key, &number], None),
                90..94 => self.ask(&["SET", &key, &number, "PX", "2"], None),
                94..97 => self.ask(&["DEL", &key], None),
                97..99 => {
                    self.ask(&["RENAME", &key, &format!("k{}", rng.random_range(0..CACHED_KEYS))], None)
                }
                _ if rng.random_range(0..50) == 0 => self.ask(&["FLUSHALL"], None),
                _ => self.ask(&["INCR", &key], None),
            }
            if n % PIPELINE == PIPELINE - 1 {
                while !self.awaited.is_empty() {
                    self.receive();
                }
            }
        }
        while !self.awaited.is_empty() {
            self.receive();
        }
        hits
    }

    /// Takes everything that the server has for the client.
    fn drain(&mut self) {
        self.client.send(&["PING"]);
        while self.receive() {}
    }
}

/// What the server holds, by an ordinary client.
fn all_values(client: &mut Client) -> HashMap<String, Option<String>> {
    let keys: Vec<String> = (0..CACHED_KEYS).map(|n| format!("k{n}")).collect();
    let mut request = vec!["MGET".to_owned()];
    request.extend(keys.iter().cloned());
    let reply = client.ask(&request);
    keys.into_iter().zip(elements(&reply).expect("an array").into_iter().map(value)).collect()
}

#[test]
fn no_cache_keeps_what_the_server_does_not_hold() {
    let process = Process::nuthatch(&["--io-threads", "4"]);
    let operations = std::env::var("NUTHATCH_TRACKED_OPERATIONS").ok().and_then(|n| n.parse().ok());
    let rounds = operations.unwrap_or(OPERATIONS) / (CACHES * ROUND);
    let barrier = Barrier::new(CACHES + 1);
    let mut judge = process.connect();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..CACHES)
            .map(|_| {
                let (process, barrier) = (&process, &barrier);
                scope.spawn(move || {
                    let mut cache = Cache::new(process);
                    let mut checker = process.connect();
                    let mut rng = StdRng::seed_from_u64(rand::rng().random());
                    let (mut hits, mut compared, mut stale) = (0, 0, Vec::new());
                    for _ in 0..rounds {
                        hits += cache.work(&mut rng, ROUND);
                        // Nobody writes any more; then the judge has met all that has expired.
                        barrier.wait();
                        barrier.wait();
                        cache.drain();
                        let held = all_values(&mut checker);
                        cache.drain();
                        for (key, cached) in &cache.values {
                            compared += 1;
                            if *cached != held[key] {
                                stale.push(format!("{key}: {cached:?} in the cache, {:?} held", held[key]));
                            }
                        }
                        barrier.wait();
                    }
                    (hits, compared, cache.invalidations, stale)
                })
            })
            .collect();
        for _ in 0..rounds {
            barrier.wait();
            all_values(&mut judge);
            barrier.wait();
            barrier.wait();
        }
        for worker in workers {
            let (hits, compared, invalidations, stale) = worker.join().expect("the worker ends");
            assert!(stale.is_empty(), "{stale:#?}");
            println!("{hits} hits, {compared} values compared, {invalidations} invalidations");
            assert!(hits > 0 && compared > 0 && invalidations > 0);
        }
    });
}
