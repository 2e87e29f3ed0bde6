//! Redis is the judge of serialised values: what DUMP gives here, the `redis-server` on the path takes with RESTORE, and
//! the other way round, for every type in every form; both then say the same of the value. Hashes whose fields have
//! deadlines go to and fro if that Redis knows them (7.4 and later).

mod common;
#[path = "common/rdb_examples.rs"]
mod rdb_examples;

use common::{Client, Process, elements, text};
use nuthatch::rdb::payload::{VERSION, seal};
use nuthatch::rdb::value::kind;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::time::{Duration, Instant};

const TIME_LIMIT: Duration = Duration::from_secs(12);
/// A deadline of fields that no test sees, Unix milliseconds.
const LATE_MS: i64 = 4_000_000_000_000;

/// From this version on, fields of a hash may have deadlines.
const HAS_DEADLINES: (u32, u32) = (7, 4);

/// Times when consumers were active do not go to Redis 7.0; what its tree is like is its own affair; Redis 8 reckons the
/// lag otherwise than 7, and says more.
const LEFT_OUT: &[&str] =
    &["active-time", "radix-tree-keys", "radix-tree-nodes", "lag", "idmp-duration", "idmp-maxsize"];

type Request = Vec<Vec<u8>>;

fn words(words: &[&str]) -> Request {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

/// The bytes of a bulk string.
fn bulk(reply: &[u8]) -> Vec<u8> {
    assert_eq!(reply[0], b'$', "{}", reply.escape_ascii());
    let start = reply.iter().position(|byte| *byte == b'\n').expect("a line") + 1;
    reply[start..reply.len() - 2].to_vec()
}

struct Generator {
    rng: StdRng,
}

impl Generator {
    fn below(&mut self, n: usize) -> usize {
        self.rng.random_range(0..n)
    }

    /// How many elements: few, or some more than the limits of small forms.
    fn count(&mut self) -> usize {
        match self.below(8) {
            0 => 1,
            1..5 => 1 + self.below(12),
            5 => 100 + self.below(100),
            6 => 500 + self.below(40),
            _ => 1000 + self.below(2000),
        }
    }

    fn integer(&mut self) -> Vec<u8> {
        let n = self.rng.random::<i64>() >> self.below(64);
        n.to_string().into_bytes()
    }

    /// A text of any kind. `number` makes it another than others.
    fn text(&mut self, number: usize) -> Vec<u8> {
        let mut text = match self.below(10) {
            0..4 => return self.integer(),
            4 => Vec::new(),
            5 => vec![b'a'; self.below(200)],
            6 => b"some words, ".repeat(self.below(40)),
            7 => (0..self.below(80)).map(|_| self.rng.random()).collect(),
            8 if self.below(30) == 0 => vec![b'x'; 9000 + self.below(9000)],
            _ => b"0".to_vec(),
        };
        text.extend_from_slice(number.to_string().as_bytes());
        text
    }

    /// A request for each of `count` elements at `key`, several at a time.
    fn requests(
        &mut self,
        name: &str,
        key: &str,
        count: usize,
        mut element: impl FnMut(&mut Generator, usize, &mut Request),
    ) -> Vec<Request> {
        let mut all = Vec::new();
        let mut number = 0;
        while number < count {
            let mut request = words(&[name, key]);
            for _ in 0..50.min(count - number) {
                element(self, number, &mut request);
                number += 1;
            }
            all.push(request);
        }
        all
    }

    /// Requests that make a value of some type at `key`.
    fn value(&mut self, key: &str, has_deadlines: bool) -> Vec<Request> {
        let count = self.count();
        match self.below(if has_deadlines { 9 } else { 8 }) {
            0 => vec![vec![b"SET".to_vec(), key.into(), self.text(count)]],
            1 => self.requests("RPUSH", key, count, |generator, number, request| {
                request.push(generator.text(number));
            }),
            2 => self.requests("SADD", key, count, |generator, _, request| request.push(generator.integer())),
            3 => self.requests("SADD", key, count, |generator, number, request| {
                request.push(generator.text(number));
            }),
            4 => self.requests("HSET", key, count, |generator, number, request| {
                request.extend([generator.text(number), generator.text(0)]);
            }),
            5 => self.requests("ZADD", key, count, |generator, number, request| {
                let score = match generator.below(5) {
                    0 => generator.integer(),
                    1 => b"-inf".to_vec(),
                    2 => b"0".to_vec(),
                    _ => format!("{:e}", generator.rng.random::<f64>() * 1e9).into_bytes(),
                };
                request.extend([score, generator.text(number)]);
            }),
            6 | 7 => self.stream(key, count.min(300)),
            _ => {
                let mut all = self.requests("HSET", key, count, |_, number, request| {
                    request.extend([format!("f{number}").into_bytes(), number.to_string().into_bytes()]);
                });
                for number in 0..count.min(20) {
                    let deadline = (LATE_MS + self.below(1000) as i64).to_string();
                    let field = format!("f{number}");
                    all.push(words(&["HPEXPIREAT", key, &deadline, "FIELDS", "1", &field]));
                }
                all
            }
        }
    }

    fn stream(&mut self, key: &str, count: usize) -> Vec<Request> {
        let mut all = vec![words(&["XGROUP", "CREATE", key, "g", "0", "MKSTREAM"])];
        for number in 1..=count {
            let id = format!("{}-{}", number / 3, number % 3 + 1);
            let mut request = words(&["XADD", key, &id]);
            let fields = if self.below(4) == 0 { 1 + self.below(4) } else { 2 };
            for field in 0..fields {
                request.extend([format!("field{field}").into_bytes(), self.text(field)]);
            }
            all.push(request);
        }
        for consumer in ["alice", "bob"] {
            let count = self.below(count + 1).max(1).to_string();
            all.push(words(&["XREADGROUP", "GROUP", "g", consumer, "COUNT", &count, "STREAMS", key, ">"]));
        }
        for _ in 0..self.below(count) {
            let number = 1 + self.below(count);
            let id = format!("{}-{}", number / 3, number % 3 + 1);
            match self.below(3) {
                0 => all.push(words(&["XACK", key, "g", &id])),
                1 => all.push(words(&["XDEL", key, &id])),
                _ => {}
            }
        }
        if self.below(3) == 0 {
            all.push(words(&["XTRIM", key, "MAXLEN", &self.below(count).to_string()]));
            all.push(words(&["XGROUP", "CREATE", key, "second", "$"]));
        }
        all
    }
}

/// Everything that both say of a value; what only one version says of a stream is left out.
fn description(client: &mut Client, key: &str, left_out: &[&str], version: (u32, u32)) -> Vec<String> {
    let kind = text(&client.ask(&["TYPE", key]));
    let mut all = vec![kind.clone()];
    // Since 7.2 the digest of a sorted set takes in scores as they are written since then.
    let signature = if kind == "zset" && version >= (7, 2) {
        client.ask(&["ZRANGE", key, "0", "-1", "WITHSCORES"])
    } else {
        client.ask(&["DEBUG", "DIGEST-VALUE", key])
    };
    flatten(&signature, &[], &mut all);
    match kind.as_str() {
        "stream" => {
            let full = client.ask(&["XINFO", "STREAM", key, "FULL", "COUNT", "0"]);
            flatten(&full, left_out, &mut all);
        }
        "hash" if version >= HAS_DEADLINES => {
            let names = client.ask(&["HKEYS", key]);
            let mut names: Vec<Vec<u8>> = elements(&names).expect("a list").into_iter().map(bulk).collect();
            names.sort();
            for name in names.iter().take(40) {
                let ask: [&[u8]; 5] = [b"HPEXPIRETIME", key.as_bytes(), b"FIELDS", b"1", name];
                flatten(&client.ask(&ask), &[], &mut all);
            }
        }
        _ => {}
    }
    all
}

/// The leaves of a reply, but those of these names.
fn flatten(reply: &[u8], left_out: &[&str], out: &mut Vec<String>) {
    match elements(reply) {
        None => out.push(reply.escape_ascii().to_string()),
        Some(elements) => {
            let mut at = 0;
            while at < elements.len() {
                let is_name = elements[at].starts_with(b"$") && !elements[at].starts_with(b"$-");
                if is_name && left_out.contains(&text(elements[at]).as_str()) {
                    at += 2;
                    continue;
                }
                flatten(elements[at], left_out, out);
                at += 1;
            }
        }
    }
}

/// Major and minor version.
fn version(client: &mut Client) -> (u32, u32) {
    let info = text(&client.ask(&["INFO", "server"]));
    let version = info.lines().find_map(|line| line.strip_prefix("redis_version:")).expect("a version");
    let mut parts = version.split('.').map(|part| part.parse().expect("a number"));
    (parts.next().expect("major"), parts.next().expect("minor"))
}

fn copy(from: &mut Client, to: &mut Client, key: &str, new_key: &str) {
    let payload = bulk(&from.ask(&["DUMP", key]));
    let restore: [&[u8]; 4] = [b"RESTORE", new_key.as_bytes(), b"0", &payload];
    let reply = to.ask(&restore);
    assert_eq!(reply, b"+OK\r\n", "{} for {}", reply.escape_ascii(), payload.escape_ascii());
}

fn servers() -> (Process, Process) {
    let debug = ["--enable-debug-command", "yes"];
    (Process::nuthatch(&debug), Process::redis(&debug))
}

#[test]
fn values_go_to_redis_and_back() {
    let (ours, theirs) = servers();
    let (mut ours, mut again, mut theirs) = (ours.connect(), ours.connect(), theirs.connect());
    let version = version(&mut theirs);
    let started = Instant::now();
    let mut values = 0;
    for seed in 0.. {
        if started.elapsed() > TIME_LIMIT {
            break;
        }
        let mut generator = Generator { rng: StdRng::seed_from_u64(seed) };
        let compress = if generator.below(2) == 0 { "yes" } else { "no" };
        for client in [&mut ours, &mut theirs] {
            client.ask(&["FLUSHALL"]);
            client.ask(&["CONFIG", "SET", "rdbcompression", compress]);
        }
        for request in generator.value("a", version >= HAS_DEADLINES) {
            let reply = ours.ask(&request);
            assert_ne!(reply[0], b'-', "{}: {}", text(&request[0]), reply.escape_ascii());
        }
        let expected = description(&mut ours, "a", LEFT_OUT, version);
        copy(&mut ours, &mut theirs, "a", "b");
        assert_eq!(description(&mut theirs, "b", LEFT_OUT, version), expected, "seed {seed}, in Redis");
        copy(&mut theirs, &mut ours, "b", "c");
        assert_eq!(description(&mut ours, "c", LEFT_OUT, version), expected, "seed {seed}, back from Redis");
        copy(&mut ours, &mut again, "c", "d");
        assert_eq!(description(&mut ours, "d", LEFT_OUT, version), expected, "seed {seed}, to and fro here");
        let encodings = ["a", "c", "d"].map(|key| text(&ours.ask(&["OBJECT", "ENCODING", key])));
        // Sets in one piece go as plain members, as Redis 7.0 knows no other.
        let is_set = expected[0] == "set";
        assert!(
            is_set || encodings.iter().all(|encoding| *encoding == encodings[0]),
            "seed {seed}: {encodings:?}"
        );
        values += 1;
    }
    println!("{values} values");
    assert!(values > 20, "hardly any value was tried");
}

/// The newest encoding that a version of Redis reads.
fn newest_kind(version: (u32, u32)) -> u8 {
    match version {
        (7, 0) => kind::STREAM_2,
        (7, 1..=3) => kind::STREAM_3,
        _ => kind::HASH_LISTPACK_DEADLINES,
    }
}

#[test]
fn every_encoding_and_damage_to_it_mean_the_same_to_redis() {
    let (ours, theirs) = servers();
    let (mut ours, mut theirs) = (ours.connect(), theirs.connect());
    let version = version(&mut theirs);
    theirs.ask(&["CONFIG", "SET", "sanitize-dump-payload", "yes"]);
    let examples: Vec<Vec<u8>> = rdb_examples::examples()
        .into_iter()
        .map(|(input, _)| input)
        // Redis is free to remove fields that have expired, as one in each of these has.
        .filter(|input| input[0] < kind::HASH_DEADLINES_EARLY && input[0] <= newest_kind(version))
        .collect();
    let mut restore = |input: &[u8], is_whole: bool| {
        let payload = seal(input.to_vec(), VERSION);
        let request: [&[u8]; 5] = [b"RESTORE", b"key", b"0", &payload, b"REPLACE"];
        let taken = [&mut ours, &mut theirs].map(|client| client.ask(&request)[0] == b'+');
        if taken == [true, true] {
            let mut both =
                [&mut ours, &mut theirs].map(|client| description(client, "key", LEFT_OUT, version));
            // Redis believes in the order of a sorted set, and in what a stream says of itself.
            if both[0][0] == "zset" {
                both.iter_mut().for_each(|description| description.sort());
            }
            if is_whole || both[0][0] != "stream" {
                assert_eq!(both[0], both[1], "{}", input.escape_ascii());
            }
        }
        taken
    };
    for input in &examples {
        assert_eq!(restore(input, true), [true, true], "{}", input.escape_ascii());
    }
    let mut rng = StdRng::seed_from_u64(1);
    let started = Instant::now();
    let mut outcomes = [0; 3];
    while started.elapsed() < TIME_LIMIT / 2 {
        let mut input = examples.choose(&mut rng).expect("examples").clone();
        let at = rng.random_range(0..input.len());
        input[at] = if rng.random() { rng.random() } else { input[at] ^ 1 << rng.random_range(0..8) };
        match restore(&input, false) {
            [true, true] => outcomes[0] += 1,
            [false, false] => outcomes[1] += 1,
            // Some counts, and bytes behind the value, Redis does not look at.
            [false, true] => outcomes[2] += 1,
            [true, false] => panic!("Redis refuses {}", input.escape_ascii()),
        }
    }
    println!("taken by both, refused by both, refused here: {outcomes:?}");
}

#[test]
fn redis_7_0_writes_the_same_bytes() {
    let (ours, theirs) = servers();
    let (mut ours, mut theirs) = (ours.connect(), theirs.connect());
    if version(&mut theirs) != (7, 0) {
        println!("skipped: the Redis at hand is not 7.0");
        return;
    }
    for client in [&mut ours, &mut theirs] {
        client.ask(&["CONFIG", "SET", "rdbcompression", "no"]);
    }
    let long = "x".repeat(70);
    let requests: [&[&str]; 16] = [
        &["SET", "string", "text"],
        &["SET", "int8", "-5"],
        &["SET", "int16", "12345"],
        &["SET", "int32", "-2147483648"],
        &["SET", "int64", "2147483648"],
        &["SET", "long", &long],
        &["RPUSH", "list", "a", "", "12", "-4097", "70000", "9223372036854775807", &long],
        &["SADD", "small", "1", "-5", "300"],
        &["SADD", "wide", "1", "5000000000"],
        &["HSET", "hash", "name", "value", "1", "2", "", "empty"],
        &["ZADD", "zset", "1", "a", "2.5", "b", "-inf", "c", "70000", "d"],
        &["ZADD", "skiplist", "1", "a", "2.5", &long, "-inf", "c", "70000", "d"],
        &["XADD", "stream", "1-1", "a", "1", "b", "x"],
        &["XADD", "stream", "2-1", "other", "1"],
        &["XDEL", "stream", "1-1"],
        &["XGROUP", "CREATE", "stream", "g", "0"],
    ];
    for request in requests {
        assert_eq!(ours.ask(request), theirs.ask(request));
        assert_eq!(
            ours.ask(&["DUMP", request[1]]).escape_ascii().to_string(),
            theirs.ask(&["DUMP", request[1]]).escape_ascii().to_string(),
            "{request:?}"
        );
    }
}

#[test]
fn errors_are_those_of_redis() {
    let (ours, theirs) = servers();
    let (mut ours, mut theirs) = (ours.connect(), theirs.connect());
    ours.ask(&["SET", "source", "value"]);
    let good = bulk(&ours.ask(&["DUMP", "source"]));
    let damaged: Vec<u8> = good.iter().enumerate().map(|(at, byte)| byte ^ u8::from(at == 1)).collect();
    let bad_kind = {
        let mut payload = vec![8, 1, b'a'];
        payload = seal(payload, 9);
        payload
    };
    let later = seal(b"\x00\x01a".to_vec(), 99);
    let none = seal(Vec::new(), 9);
    let payloads: [&[u8]; 8] = [&good, &damaged, b"", b"short", &good[1..], &bad_kind, &later, &none];
    let options: [&[&str]; 18] = [
        &[],
        &["REPLACE"],
        &["replace", "absttl"],
        &["REPLACE", "REPLACE", "ABSTTL", "ABSTTL"],
        &["IDLETIME"],
        &["IDLETIME", "10"],
        &["IDLETIME", "-1"],
        &["IDLETIME", "x"],
        &["IDLETIME", "1", "IDLETIME", "2", "REPLACE"],
        &["FREQ"],
        &["FREQ", "255", "REPLACE"],
        &["FREQ", "256"],
        &["FREQ", "-1"],
        &["FREQ", ""],
        &["FREQ", "1", "IDLETIME", "1"],
        &["IDLETIME", "1", "FREQ", "1"],
        &["BAD"],
        &["REPLACE", "BAD"],
    ];
    for ttl in ["0", "100000", "-1", "x", "", "9223372036854775808"] {
        for payload in payloads {
            for options in options {
                for key in ["key", "taken"] {
                    for client in [&mut ours, &mut theirs] {
                        client.ask(&["DEL", "key"]);
                        client.ask(&["SET", "taken", "x"]);
                    }
                    let mut request: Vec<&[u8]> = vec![b"RESTORE", key.as_bytes(), ttl.as_bytes(), payload];
                    request.extend(options.iter().map(|word| word.as_bytes()));
                    let shown = format!("{key} {ttl} {} {options:?}", payload.escape_ascii());
                    let (here, there) = (ours.ask(&request), theirs.ask(&request));
                    assert_eq!(text(&here), text(&there), "{shown}");
                    assert_eq!(ours.ask(&["EXISTS", key]), theirs.ask(&["EXISTS", key]), "{shown}");
                }
            }
        }
    }
    for request in [&["DUMP"][..], &["DUMP", "none"], &["DUMP", "a", "b"], &["RESTORE", "a", "0"]] {
        assert_eq!(ours.ask(request), theirs.ask(request), "{request:?}");
    }
    for request in [
        &["COMMAND", "INFO", "DUMP", "RESTORE"][..],
        &["COMMAND", "GETKEYS", "RESTORE", "k", "0", "x"],
        &["COMMAND", "GETKEYS", "DUMP", "k"],
    ] {
        assert_eq!(text(&ours.ask(request)), text(&theirs.ask(request)), "{request:?}");
    }
}

#[test]
fn options_say_how_a_key_was_used_and_when_it_ends() {
    let (ours, theirs) = servers();
    let mut both = [ours.connect(), theirs.connect()];
    both[0].ask(&["SET", "source", "value"]);
    let payload = bulk(&both[0].ask(&["DUMP", "source"]));
    let far = (LATE_MS / 1000).to_string();
    let far_ms = LATE_MS.to_string();
    for (policy, ttl, options, question, expected) in [
        ("allkeys-lru", "0", &["IDLETIME", "1000"][..], &["OBJECT", "IDLETIME", "key"][..], ":1000\r\n"),
        ("allkeys-lru", "0", &["FREQ", "100"], &["OBJECT", "IDLETIME", "key"], ":0\r\n"),
        ("allkeys-lfu", "0", &["FREQ", "100"], &["OBJECT", "FREQ", "key"], ":100\r\n"),
        ("allkeys-lfu", "0", &["FREQ", "0"], &["OBJECT", "FREQ", "key"], ":0\r\n"),
        ("noeviction", &far_ms, &["ABSTTL"], &["PEXPIRETIME", "key"], &format!(":{far_ms}\r\n")),
        ("noeviction", &far_ms, &["ABSTTL"], &["EXPIRETIME", "key"], &format!(":{far}\r\n")),
        ("noeviction", "1", &["ABSTTL"], &["EXISTS", "key"], ":0\r\n"),
        ("noeviction", "0", &["ABSTTL"], &["PTTL", "key"], ":-1\r\n"),
    ] {
        for (server, client) in ["here", "in Redis"].into_iter().zip(&mut both) {
            client.ask(&["CONFIG", "SET", "maxmemory-policy", policy]);
            client.ask(&["SET", "key", "old", "EX", "1000"]);
            let mut request: Vec<&[u8]> = vec![b"RESTORE", b"key", ttl.as_bytes(), &payload, b"REPLACE"];
            request.extend(options.iter().map(|word| word.as_bytes()));
            assert_eq!(client.ask(&request), b"+OK\r\n");
            assert_eq!(client.ask(question), expected.as_bytes(), "{options:?} {server}");
        }
    }
}
