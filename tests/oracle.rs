//! Redis is the judge: random sequences of the commands on strings and keys, with all their options and with
//! bad arguments, get the same replies from this server and from Debian's Redis, byte for byte.
//!
//! What cannot be the same is compared by meaning: the order of KEYS, what SCAN returns over a whole walk,
//! whether RANDOMKEY finds anything, times up to the few milliseconds by which the servers' clocks differ, and
//! bytes that are no UTF-8 within error texts.
//! Commands and options newer than the Redis at hand (7.0) are left to other tests.

mod common;

use common::{Client, Process, elements};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// All runs together take about this long.
const TIME_LIMIT: Duration = Duration::from_secs(15);
/// Commands of one run, which begins with empty databases.
const RUN_COMMANDS: usize = 3000;
/// How many of the last commands a failure shows.
const SHOWN_COMMANDS: usize = 30;
/// The databases that are used, of the 16 that there are.
const DATABASES: usize = 3;

type Request = Vec<Vec<u8>>;

fn request(words: &[&str]) -> Request {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

const KEYS: [&[u8]; 9] =
    [b"a", b"b", b"key:1", b"key:2", b"n", b"f", b"", b"\x00\xff\r\n", b"a-name-of-more-than-a-few-bytes"];

const VALUES: &[&str] = &[
    "",
    "0",
    "1",
    "-1",
    "7",
    "007",
    "-0",
    "+5",
    "42",
    " 1",
    "1 ",
    "9999",
    "10000",
    "9223372036854775806",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775807",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551616",
    "1.5",
    "-3.25",
    "3e2",
    "5.0e3",
    "1e300",
    "1e-300",
    "1e4931",
    "1e5000",
    "0x10",
    "0x1p3",
    "inf",
    "-inf",
    "nan",
    ".5",
    "5.",
    "1e",
    "123456789.123456789",
    "0.1",
    "0.2",
    "hello",
    "hello world",
    "ohmytext",
    "mynewtext",
    "line\r\nbreak",
    "nul\0nul",
    "exactly forty-four bytes is what embstr has.",
    "forty-five bytes are one more than embstr has",
];

const INTEGERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "5",
    "10",
    "-3",
    "100",
    "-100",
    "44",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "abc",
    "",
    "1.5",
    " 1",
    "2147483648",
];

/// Makes up requests. Deadlines are unique, so that no reply depends on a millisecond.
struct Generator {
    rng: StdRng,
    deadlines: i64,
}

impl Generator {
    fn key(&mut self) -> Vec<u8> {
        KEYS.choose(&mut self.rng).expect("keys").to_vec()
    }

    fn word(&mut self, words: &[&str]) -> Vec<u8> {
        words.choose(&mut self.rng).expect("words").as_bytes().to_vec()
    }

    fn value(&mut self) -> Vec<u8> {
        match self.rng.random_range(0..20) {
            0..14 => self.word(VALUES),
            14..17 => self.rng.random_range(-20_000..20_000_i64).to_string().into_bytes(),
            17 | 18 => {
                let len = self.rng.random_range(0..300);
                (0..len).map(|_| self.rng.random()).collect()
            }
            _ => {
                let len = *[1_000, 16_384, 16_385, 40_000, 100_000].choose(&mut self.rng).expect("lengths");
                vec![self.rng.random_range(b'a'..=b'z'); len]
            }
        }
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    fn spell(&mut self, word: &str) -> Vec<u8> {
        if self.chance(80) { word.as_bytes().to_vec() } else { word.to_ascii_lowercase().into_bytes() }
    }

    /// Seconds that differ from all others by more than a run takes.
    fn seconds(&mut self) -> i64 {
        self.deadlines += 1;
        // Multiples of a prime in the ring of another: in no order, none twice.
        1_000 + (self.deadlines * 7_919 % 1_000_003) * 100
    }

    /// An amount for EX and its siblings; now and then a bad one or one in the past.
    fn time(&mut self, is_absolute: bool, is_millis: bool) -> Vec<u8> {
        if self.chance(25) {
            let bad = [
                "0",
                "-1",
                "1",
                "abc",
                "",
                "9223372036854775807",
                "9223372036854775",
                "-9223372036854775808",
            ];
            let word = self.word(&bad);
            // Future times that are not unique would race with the clock, and to the very last millisecond
            // Redis's EXPIRETIME overflows.
            let races = match word.as_slice() {
                b"1" => !is_absolute,
                b"9223372036854775" => is_millis && !is_absolute,
                b"9223372036854775807" => is_millis && is_absolute,
                _ => false,
            };
            return if races { b"0".to_vec() } else { word };
        }
        let base = if is_absolute { 4_000_000_000 } else { 0 };
        let seconds = base + self.seconds();
        (if is_millis { seconds * 1_000 } else { seconds }).to_string().into_bytes()
    }

    fn time_option(&mut self, out: &mut Request) {
        let option = self.rng.random_range(0..4);
        out.push(self.spell(["EX", "PX", "EXAT", "PXAT"][option]));
        if self.chance(97) {
            out.push(self.time(option >= 2, option % 2 == 1));
        }
    }

    fn set_options(&mut self, out: &mut Request) {
        for _ in 0..self.rng.random_range(0..3) {
            match self.rng.random_range(0..10) {
                0 | 1 => out.push(self.spell("NX")),
                2 | 3 => out.push(self.spell("XX")),
                4 => out.push(self.spell("GET")),
                5 => out.push(self.spell("KEEPTTL")),
                6 => out.push(self.word(&["PERSIST", "BAD", "", "N"])),
                _ => self.time_option(out),
            }
        }
    }

    fn with_keys(&mut self, name: &str, most: usize) -> Request {
        let mut out = request(&[name]);
        for _ in 0..self.rng.random_range(1..=most) {
            out.push(self.key());
        }
        out
    }

    fn next(&mut self) -> Request {
        let mut out = self.command();
        let name = self.spell(&String::from_utf8_lossy(&out[0]));
        out[0] = name;
        // Now and then one argument too many or too few.
        if self.chance(1) {
            out.push(self.value());
        } else if self.chance(1) && out.len() > 1 {
            out.pop();
        }
        out
    }

    fn command(&mut self) -> Request {
        let key = self.key();
        let one_key = |name: &str, key: Vec<u8>| vec![name.as_bytes().to_vec(), key];
        match self.rng.random_range(0..100) {
            0..12 => {
                let mut out = vec![b"SET".to_vec(), key, self.value()];
                self.set_options(&mut out);
                out
            }
            12..18 => one_key("GET", key),
            18 => one_key("GETDEL", key),
            19 | 20 => {
                let mut out = one_key("GETEX", key);
                match self.rng.random_range(0..6) {
                    0 => {}
                    1 => out.push(b"PERSIST".to_vec()),
                    2 => {
                        out.push(b"PERSIST".to_vec());
                        self.time_option(&mut out);
                    }
                    3 => out.push(self.word(&["KEEPTTL", "NX", "GET", "x"])),
                    _ => self.time_option(&mut out),
                }
                out
            }
            21 => vec![b"GETSET".to_vec(), key, self.value()],
            22 => vec![b"SETNX".to_vec(), key, self.value()],
            23 => vec![b"SETEX".to_vec(), key, self.time(false, false), self.value()],
            24 => vec![b"PSETEX".to_vec(), key, self.time(false, true), self.value()],
            25 | 26 => self.with_keys("MGET", 5),
            27..30 => {
                let name = if self.chance(60) { "MSET" } else { "MSETNX" };
                let mut out = request(&[name]);
                for _ in 0..self.rng.random_range(1..4) {
                    out.push(self.key());
                    out.push(self.value());
                }
                out
            }
            30..34 => vec![b"APPEND".to_vec(), key, self.value()],
            34 | 35 => one_key("STRLEN", key),
            36..38 => {
                let name = if self.chance(70) { "GETRANGE" } else { "SUBSTR" };
                vec![name.as_bytes().to_vec(), key, self.word(INTEGERS), self.word(INTEGERS)]
            }
            38..41 => {
                let offset = match self.rng.random_range(0..6) {
                    0 => self.word(INTEGERS),
                    1 => self.rng.random_range(0..40_000).to_string().into_bytes(),
                    _ => self.rng.random_range(0..60).to_string().into_bytes(),
                };
                vec![b"SETRANGE".to_vec(), key, offset, self.value()]
            }
            41 | 42 => one_key("INCR", key),
            43 => one_key("DECR", key),
            44 | 45 => vec![b"INCRBY".to_vec(), key, self.word(INTEGERS)],
            46 | 47 => vec![b"DECRBY".to_vec(), key, self.word(INTEGERS)],
            48..51 => vec![b"INCRBYFLOAT".to_vec(), key, self.word(VALUES)],
            51 | 52 => {
                let mut out = vec![b"LCS".to_vec(), key, self.key()];
                for _ in 0..self.rng.random_range(0..3) {
                    out.push(self.word(&["LEN", "IDX", "WITHMATCHLEN", "MINMATCHLEN", "MINMATCHLEN", "bad"]));
                    if out.last().is_some_and(|word| word == b"MINMATCHLEN") {
                        out.push(self.word(INTEGERS));
                    }
                }
                out
            }
            53 | 54 => self.with_keys("DEL", 3),
            55 => self.with_keys("UNLINK", 3),
            56 => self.with_keys("EXISTS", 4),
            57 => self.with_keys("TOUCH", 4),
            58 => one_key("TYPE", key),
            59..66 => {
                let form = self.rng.random_range(0..4);
                let name = ["EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT"][form];
                let mut out = one_key(name, key);
                out.push(self.time(form >= 2, form % 2 == 1));
                for _ in 0..self.rng.random_range(0..3) {
                    out.push(self.word(&["NX", "XX", "GT", "LT", "xx", "gt", "lt", "bad"]));
                }
                out
            }
            66..71 => one_key(["TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME"][self.rng.random_range(0..4)], key),
            71 | 72 => one_key("PERSIST", key),
            73 => vec![
                b"KEYS".to_vec(),
                self.word(&["*", "", "a*", "key:?", "[a-f]", "?", "\\*", "[^a]", "*:*"]),
            ],
            74 => request(&["RANDOMKEY"]),
            75..77 => vec![b"RENAME".to_vec(), key, self.key()],
            77..79 => vec![b"RENAMENX".to_vec(), key, self.key()],
            79..82 => {
                let mut out = vec![b"COPY".to_vec(), key, self.key()];
                for _ in 0..self.rng.random_range(0..3) {
                    match self.rng.random_range(0..6) {
                        0..3 => {
                            out.push(self.spell("DB"));
                            out.push(self.database());
                        }
                        3 | 4 => out.push(self.spell("REPLACE")),
                        _ => out.push(self.word(&["DB", "bad"])),
                    }
                }
                out
            }
            82..84 => vec![b"MOVE".to_vec(), key, self.database()],
            84 => vec![b"SWAPDB".to_vec(), self.database(), self.database()],
            85 => request(&["DBSIZE"]),
            86..90 => vec![b"SELECT".to_vec(), self.database()],
            90 => {
                let flush = ["FLUSHDB", "FLUSHDB", "FLUSHALL"][self.rng.random_range(0..3)];
                let mut out = request(&[flush]);
                if self.chance(50) {
                    out.push(self.word(&["SYNC", "ASYNC", "async", "bad"]));
                }
                out
            }
            91..94 => vec![b"OBJECT".to_vec(), self.word(&["ENCODING", "encoding"]), key],
            94 => vec![b"OBJECT".to_vec(), self.word(&["REFCOUNT", "FREQ", "IDLETIME", "bad"]), key],
            95 if self.chance(50) => request(&["OBJECT"]),
            95 => vec![self.value(), self.value(), self.value()],
            _ => self.scan(),
        }
    }

    fn database(&mut self) -> Vec<u8> {
        if self.chance(90) {
            return self.rng.random_range(0..DATABASES).to_string().into_bytes();
        }
        self.word(&["16", "-1", "abc", "", "2147483648", "9223372036854775808", "1.5"])
    }

    fn scan(&mut self) -> Request {
        let cursor = if self.chance(85) {
            b"0".to_vec()
        } else {
            self.word(&["x", " 1", "1x", "", "-", "99999999999999999999"])
        };
        let mut out = vec![b"SCAN".to_vec(), cursor];
        for _ in 0..self.rng.random_range(0..3) {
            match self.rng.random_range(0..5) {
                0 | 1 => out.extend([b"MATCH".to_vec(), self.word(&["*", "a*", "key:*", "?", ""])]),
                2 => out.extend([b"COUNT".to_vec(), self.word(&["1", "3", "1000", "0", "-1", "x"])]),
                3 => out.extend([b"TYPE".to_vec(), self.word(&["string", "STRING", "list", "bad"])]),
                _ => out.push(self.word(&["COUNT", "MATCH", "TYPE", "bad"])),
            }
        }
        out
    }
}

/// The two servers, side by side.
struct Pair {
    ours: Client,
    theirs: Client,
}

impl Pair {
    fn ask(&mut self, request: &[Vec<u8>]) -> (Vec<u8>, Vec<u8>) {
        self.ours.send(request);
        self.theirs.send(request);
        (self.ours.receive(), self.theirs.receive())
    }

    /// Asks both, and says whether the replies mean the same.
    fn agree(&mut self, request: &[Vec<u8>]) -> Result<(), String> {
        let name = String::from_utf8_lossy(&request[0]).to_ascii_uppercase();
        if name == "DBSIZE" {
            // Redis counts a key whose time is over until somebody looks at it.
            let mut look = vec![b"EXISTS".to_vec()];
            look.extend(KEYS.iter().map(|key| key.to_vec()));
            self.ask(&look);
        }
        if name == "SCAN" && request.get(1).is_some_and(|cursor| cursor == b"0") {
            return self.agree_on_walk(request);
        }
        let (ours, theirs) = self.ask(request);
        let same = match name.as_str() {
            "KEYS" => sorted(&ours) == sorted(&theirs),
            "SCAN" => is_error(&ours) == is_error(&theirs) && (!is_error(&ours) || ours == theirs),
            "RANDOMKEY" => is_null(&ours) == is_null(&theirs) && is_error(&ours) == is_error(&theirs),
            "TTL" | "EXPIRETIME" => near(&ours, &theirs, 1),
            "PTTL" | "PEXPIRETIME" => near(&ours, &theirs, 2_000),
            // Keys with the same small integer share one object in Redis, its idle time too; COPY ends that.
            "OBJECT" => {
                ours == theirs
                    || is_of_object(request) && integer(&ours).is_some() && integer(&theirs).is_some()
            }
            _ => ours == theirs,
        };
        if same || same_echo(&ours, &theirs) {
            Ok(())
        } else {
            Err(format!("ours: {}\ntheirs: {}", shown(&ours), shown(&theirs)))
        }
    }

    /// A whole walk returns the same keys.
    fn agree_on_walk(&mut self, request: &[Vec<u8>]) -> Result<(), String> {
        let (ours, theirs) = (walk(&mut self.ours, request), walk(&mut self.theirs, request));
        if ours == theirs { Ok(()) } else { Err(format!("ours: {ours:?}\ntheirs: {theirs:?}")) }
    }

    /// Everything there is, is the same.
    fn agree_on_contents(&mut self) -> Result<(), String> {
        for db in 0..DATABASES {
            self.agree(&request(&["SELECT", &db.to_string()]))?;
            self.agree(&request(&["DBSIZE"]))?;
            for key in KEYS {
                for words in [&["GET"][..], &["PTTL"], &["OBJECT", "ENCODING"]] {
                    let mut request = request(words);
                    request.push(key.to_vec());
                    self.agree(&request)
                        .map_err(|why| format!("database {db}, {}: {why}", line(&request)))?;
                }
            }
        }
        Ok(())
    }
}

/// All elements of a walk, or the error.
fn walk(client: &mut Client, request: &[Vec<u8>]) -> Result<BTreeSet<Vec<u8>>, Vec<u8>> {
    let mut request = request.to_vec();
    let mut seen = BTreeSet::new();
    loop {
        let reply = client.ask(&request);
        let Some([cursor, found]) = elements(&reply).and_then(|parts| <[&[u8]; 2]>::try_from(parts).ok())
        else {
            return Err(reply);
        };
        seen.extend(elements(found).expect("an array").into_iter().map(<[u8]>::to_vec));
        let text = cursor.split(|byte| *byte == b'\n').nth(1).expect("a bulk string");
        request[1] = text.strip_suffix(b"\r").expect("a line").to_vec();
        if request[1] == b"0" {
            return Ok(seen);
        }
    }
}

fn sorted(reply: &[u8]) -> Result<BTreeSet<&[u8]>, &[u8]> {
    elements(reply).map(|elements| elements.into_iter().collect()).ok_or(reply)
}

fn is_error(reply: &[u8]) -> bool {
    reply.starts_with(b"-")
}

/// Two errors that repeat what they do not understand: bytes that are no UTF-8 are repeated as replacement
/// characters here.
fn same_echo(ours: &[u8], theirs: &[u8]) -> bool {
    is_error(ours) && is_error(theirs) && ours == String::from_utf8_lossy(theirs).as_bytes()
}

fn is_null(reply: &[u8]) -> bool {
    reply == b"$-1\r\n" || reply == b"_\r\n"
}

fn is_of_object(request: &[Vec<u8>]) -> bool {
    let word = request.get(1).map(|word| word.to_ascii_uppercase());
    word.is_some_and(|word| word == b"REFCOUNT" || word == b"IDLETIME")
}

fn integer(reply: &[u8]) -> Option<i64> {
    std::str::from_utf8(reply.strip_prefix(b":")?.strip_suffix(b"\r\n")?).ok()?.parse().ok()
}

/// Equal, or two times that differ by at most `tolerance`.
fn near(ours: &[u8], theirs: &[u8], tolerance: i64) -> bool {
    match (integer(ours), integer(theirs)) {
        (Some(a), Some(b)) if a >= 0 && b >= 0 => a.abs_diff(b) <= tolerance as u64,
        _ => ours == theirs,
    }
}

fn shown(bytes: &[u8]) -> String {
    let text = bytes[..bytes.len().min(200)].escape_ascii().to_string();
    if bytes.len() > 200 { format!("{text}… ({} bytes)", bytes.len()) } else { text }
}

fn line(request: &[Vec<u8>]) -> String {
    request.iter().map(|arg| format!("\"{}\"", shown(arg))).collect::<Vec<_>>().join(" ")
}

#[test]
fn random_commands_get_the_replies_of_redis() {
    let (ours, theirs) = (Process::nuthatch(&[]), Process::redis(&[]));
    let started = Instant::now();
    let mut commands = 0;
    for seed in 0.. {
        if started.elapsed() > TIME_LIMIT {
            break;
        }
        let mut pair = Pair { ours: ours.connect(), theirs: theirs.connect() };
        let proto = if seed % 2 == 0 { "2" } else { "3" };
        pair.ask(&request(&["HELLO", proto]));
        pair.ask(&request(&["FLUSHALL"]));
        let mut generator = Generator { rng: StdRng::seed_from_u64(seed), deadlines: seed as i64 * 1_000 };
        let mut history: Vec<Request> = Vec::new();
        for step in 0..RUN_COMMANDS {
            let request = generator.next();
            history.push(request.clone());
            if let Err(why) = pair.agree(&request) {
                let from = history.len().saturating_sub(SHOWN_COMMANDS);
                let last: Vec<String> = history[from..].iter().map(|request| line(request)).collect();
                panic!("seed {seed}, RESP{proto}, command {step}:\n{}\n{why}", last.join("\n"));
            }
            commands += 1;
        }
        pair.agree_on_contents().unwrap_or_else(|why| panic!("seed {seed}, in the end: {why}"));
    }
    println!("{commands} commands");
    assert!(commands >= RUN_COMMANDS, "not even one run was completed");
}

#[test]
fn short_lives_end_in_both() {
    let (ours, theirs) = (Process::nuthatch(&[]), Process::redis(&[]));
    let mut pair = Pair { ours: ours.connect(), theirs: theirs.connect() };
    let mut check = |words: &[&str]| {
        let request = request(words);
        pair.agree(&request).unwrap_or_else(|why| panic!("{}: {why}", line(&request)));
    };
    for set in [
        &["SET", "a", "1", "PX", "1"][..],
        &["PSETEX", "a", "1", "v"],
        &["SET", "a", "1", "PXAT", "1"],
        &["SET", "a", "1", "EXAT", "1", "GET"],
    ] {
        for (then, reply) in [
            (&["GET", "a"][..], true),
            (&["SET", "a", "2", "XX"], true),
            (&["SET", "a", "2", "KEEPTTL", "GET"], true),
            (&["INCRBY", "a", "5"], true),
            (&["APPEND", "a", "xy"], true),
            (&["SETRANGE", "a", "3", "xy"], true),
            (&["INCRBYFLOAT", "a", "0.5"], true),
            (&["GETEX", "a", "PERSIST"], true),
            (&["GETDEL", "a"], true),
            (&["DEL", "a"], true),
            (&["EXISTS", "a", "a"], true),
            (&["TYPE", "a"], true),
            (&["EXPIRE", "a", "100"], true),
            (&["PERSIST", "a"], true),
            (&["RENAME", "a", "b"], true),
            (&["RENAMENX", "b", "a"], true),
            (&["COPY", "b", "a"], true),
            (&["COPY", "a", "c"], true),
            (&["MOVE", "a", "1"], true),
            (&["MSETNX", "a", "1", "d", "2"], true),
            (&["KEYS", "*"], true),
            (&["RANDOMKEY"], false),
        ] {
            check(&["FLUSHALL"]);
            if reply {
                check(&["SET", "b", "other"]);
            }
            check(set);
            std::thread::sleep(Duration::from_millis(3));
            check(then);
            check(&["PTTL", "a"]);
            check(&["GET", "a"]);
            check(&["KEYS", "*"]);
            check(&["DBSIZE"]);
        }
    }
}
