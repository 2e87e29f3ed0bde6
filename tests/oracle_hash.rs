//! Redis is the judge of the commands on hashes: random sequences, with bad arguments and with both forms of a hash,
//! get the same replies from this server and from Redis, byte for byte.
//!
//! What cannot be the same is compared by meaning: the order of fields of a large hash, what HSCAN returns over a
//! whole walk, which fields HRANDFIELD picks, times up to the few milliseconds by which the servers' clocks differ.
//!
//! Debian's Redis is too old for deadlines of fields. The sequences have them if `NUTHATCH_TEST_REDIS` names a
//! server of version 8, as does the script of expectations below, which otherwise runs against this server alone.

mod common;

use common::{Client, Process, frame_len, info, text};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// All runs together take about this long.
const TIME_LIMIT: Duration = Duration::from_secs(12);
/// Commands of one run, which begins with empty databases.
const RUN_COMMANDS: usize = 3000;
/// How many of the last commands a failure shows.
const SHOWN_COMMANDS: usize = 20;

/// Small limits, so that hashes turn into tables soon.
const LIMITS: [&[&str]; 2] = [
    &["CONFIG", "SET", "hash-max-listpack-entries", "12"],
    &["CONFIG", "SET", "hash-max-listpack-value", "30"],
];

type Request = Vec<Vec<u8>>;

fn request(words: &[&str]) -> Request {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

const KEYS: [&[u8]; 5] = [b"a", b"b", b"c", b"string", b"none"];

const FIELDS: &[&[u8]] = &[
    b"f",
    b"g",
    b"name",
    b"field:1",
    b"field:2",
    b"field:3",
    b"",
    b"0",
    b"1",
    b"-1",
    b"007",
    b"12345678901",
    b"\xff\x00",
    b"one",
    b"two",
    b"three",
    b"four",
    b"five",
    b"six",
    b"twenty-nine bytes in the name",
    b"a name that is longer than is allowed in a packed hash",
];

const VALUES: &[&[u8]] = &[
    b"",
    b"0",
    b"1",
    b"-1",
    b"42",
    b"007",
    b"127",
    b"128",
    b"-4096",
    b"-4097",
    b"32768",
    b"8388608",
    b"2147483648",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"1.5",
    b"-3.25",
    b"3e2",
    b"1e300",
    b"1e4931",
    b"inf",
    b"nan",
    b" 1",
    b"hello",
    b"line\r\nbreak",
    b"nul\x00nul",
    b"exactly thirty bytes, and pack",
    b"thirty-one bytes are too many, ",
];

const NUMBERS: &[&[u8]] = &[
    b"0",
    b"1",
    b"-1",
    b"2",
    b"3",
    b"10",
    b"-10",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"abc",
    b"",
    b"1.5",
    b" 1",
    b"9223372036854775808",
    b"4611686018427387904",
    b"-4611686018427387904",
];

/// Makes up requests.
struct Generator {
    rng: StdRng,
    /// Whether there are deadlines of fields.
    is_new: bool,
    deadlines: i64,
}

impl Generator {
    fn of(&mut self, texts: &[&[u8]]) -> Vec<u8> {
        texts.choose(&mut self.rng).expect("texts").to_vec()
    }

    fn word(&mut self, words: &[&str]) -> Vec<u8> {
        words.choose(&mut self.rng).expect("words").as_bytes().to_vec()
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    fn value(&mut self) -> Vec<u8> {
        match self.rng.random_range(0..40) {
            0 => vec![b'v'; self.rng.random_range(0..300)],
            1 => vec![b'v'; self.rng.random_range(0..40_000)],
            2..8 => self.rng.random_range(-70_000..70_000_i64).to_string().into_bytes(),
            _ => self.of(VALUES),
        }
    }

    fn pairs(&mut self, out: &mut Request) {
        for _ in 0..self.rng.random_range(1..5) {
            out.push(self.of(FIELDS));
            out.push(self.value());
        }
    }

    fn fields(&mut self, out: &mut Request) {
        for _ in 0..self.rng.random_range(1..4) {
            out.push(self.of(FIELDS));
        }
    }

    /// `FIELDS numfields` and as many fields, or nearly.
    fn counted_fields(&mut self, out: &mut Request) {
        out.push(self.word(&["FIELDS", "fields", "FIELDS", "FIELDS", "FIELDS", "FIELDS", "FIELDS", "FIELD"]));
        let at = out.len();
        self.fields(out);
        let count = (out.len() - at).to_string().into_bytes();
        let count = if self.chance(95) { count } else { self.of(NUMBERS) };
        out.insert(at, count);
    }

    /// Seconds that differ from all others by more than a run takes.
    fn seconds(&mut self) -> i64 {
        self.deadlines += 1;
        1_000 + (self.deadlines * 7_919 % 1_000_003) * 100
    }

    /// A time; now and then a bad one or one in the past. (Nothing that would be now.)
    fn time(&mut self, is_absolute: bool, is_millis: bool) -> Vec<u8> {
        if self.chance(15) {
            let bad = ["0", "-1", "abc", "", "9223372036854775807", "70368744177664", "-9223372036854775808"];
            return self.word(&bad);
        }
        let base = if is_absolute { 4_000_000_000 } else { 0 };
        let seconds = base + self.seconds();
        (if is_millis { seconds * 1_000 } else { seconds }).to_string().into_bytes()
    }

    fn time_option(&mut self, out: &mut Request) {
        let option = self.rng.random_range(0..4);
        out.push(["EX", "px", "EXAT", "PXAT"][option].into());
        out.push(self.time(option >= 2, option % 2 == 1));
    }

    fn next(&mut self) -> Request {
        let newer = self.is_new && self.chance(50);
        let mut out = if newer { self.newer_command() } else { self.command() };
        if self.chance(1) {
            out.push(self.value());
        } else if self.chance(1) {
            out.pop();
        }
        out
    }

    fn command(&mut self) -> Request {
        let key = self.of(&KEYS);
        let mut out = vec![Vec::new(), key];
        let name = match self.rng.random_range(0..100) {
            0..22 => {
                self.pairs(&mut out);
                if self.chance(75) { "HSET" } else { "hmset" }
            }
            22..26 => {
                out.extend([self.of(FIELDS), self.value()]);
                "HSETNX"
            }
            26..33 => {
                out.push(self.of(FIELDS));
                "HGET"
            }
            33..37 => {
                self.fields(&mut out);
                "HMGET"
            }
            37..44 => ["HGETALL", "HKEYS", "HVALS"][self.rng.random_range(0..3)],
            44..58 => {
                self.fields(&mut out);
                "HDEL"
            }
            58..61 => {
                out.push(self.of(FIELDS));
                "HEXISTS"
            }
            61..63 => "HLEN",
            63..66 => {
                out.push(self.of(FIELDS));
                "HSTRLEN"
            }
            66..74 => {
                out.extend([self.of(FIELDS), self.of(NUMBERS)]);
                "HINCRBY"
            }
            74..81 => {
                out.extend([self.of(FIELDS), self.of(VALUES)]);
                "HINCRBYFLOAT"
            }
            81..87 => {
                if self.chance(75) {
                    // No counts that would fill the memory.
                    out.push(self.word(&[
                        "0",
                        "1",
                        "3",
                        "-3",
                        "13",
                        "-30",
                        "100",
                        "abc",
                        "-9223372036854775808",
                    ]));
                    if self.chance(60) {
                        out.push(self.word(&["WITHVALUES", "withvalues", "bad"]));
                    }
                }
                "HRANDFIELD"
            }
            87..92 => {
                out.push(self.word(&["0", "0", "0", "x", "1x", "-"]));
                for _ in 0..self.rng.random_range(0..3) {
                    match self.rng.random_range(0..4) {
                        0 | 1 => {
                            out.extend([b"MATCH".to_vec(), self.word(&["*", "f*", "field:?", "[0-9]*", ""])])
                        }
                        2 => out.extend([b"COUNT".to_vec(), self.word(&["1", "3", "1000", "0", "-1", "x"])]),
                        _ => out.push(self.word(&["COUNT", "MATCH", "TYPE", "bad"])),
                    }
                }
                "HSCAN"
            }
            92 => "DEL",
            93 => "TYPE",
            94 => {
                out.push(self.of(&KEYS));
                out.push(b"REPLACE".to_vec());
                "COPY"
            }
            95 => {
                out.push(self.of(&KEYS));
                "RENAME"
            }
            96 => {
                out.insert(1, b"ENCODING".to_vec());
                "OBJECT"
            }
            97 => "EXISTS",
            _ => {
                out[1] = b"string".to_vec();
                out.push(b"x".to_vec());
                "SET"
            }
        };
        out[0] = name.into();
        out
    }

    fn newer_command(&mut self) -> Request {
        let key = self.of(&KEYS);
        let mut out = vec![Vec::new(), key];
        let name = match self.rng.random_range(0..100) {
            0..28 => {
                let form = self.rng.random_range(0..4);
                out.push(self.time(form >= 2, form % 2 == 1));
                if self.chance(40) {
                    out.push(self.word(&["NX", "XX", "GT", "LT", "nx", "gt", "bad"]));
                }
                self.counted_fields(&mut out);
                ["HEXPIRE", "HPEXPIRE", "HEXPIREAT", "HPEXPIREAT"][form]
            }
            28..44 => {
                self.counted_fields(&mut out);
                ["HTTL", "HPTTL", "HEXPIRETIME", "HPEXPIRETIME"][self.rng.random_range(0..4)]
            }
            44..52 => {
                self.counted_fields(&mut out);
                "HPERSIST"
            }
            52..66 => {
                match self.rng.random_range(0..5) {
                    0 => {}
                    1 => out.push(self.word(&["PERSIST", "persist", "KEEPTTL", "bad"])),
                    _ => self.time_option(&mut out),
                }
                self.counted_fields(&mut out);
                "HGETEX"
            }
            66..92 => {
                for _ in 0..self.rng.random_range(0..3) {
                    match self.rng.random_range(0..8) {
                        0..2 => out.push(self.word(&["FNX", "fxx"])),
                        2 => out.push(self.word(&["KEEPTTL", "PERSIST", "bad", "EX"])),
                        _ => self.time_option(&mut out),
                    }
                }
                out.push(b"FIELDS".to_vec());
                let at = out.len();
                self.pairs(&mut out);
                let count = ((out.len() - at) / 2).to_string().into_bytes();
                let count = if self.chance(95) { count } else { self.of(NUMBERS) };
                out.insert(at, count);
                "HSETEX"
            }
            _ => {
                self.counted_fields(&mut out);
                "HGETDEL"
            }
        };
        out[0] = name.into();
        out
    }
}

/// The elements of an array or a map, each in wire form; `None` for any other reply.
fn elements(reply: &[u8]) -> Option<Vec<&[u8]>> {
    if !matches!(reply.first(), Some(b'*' | b'%')) {
        return None;
    }
    let mut rest = &reply[reply.iter().position(|byte| *byte == b'\n')? + 1..];
    let mut elements = Vec::new();
    while !rest.is_empty() {
        let (element, tail) = rest.split_at(frame_len(rest)?);
        elements.push(element);
        rest = tail;
    }
    Some(elements)
}

fn integer(reply: &[u8]) -> Option<i64> {
    std::str::from_utf8(reply.strip_prefix(b":")?.strip_suffix(b"\r\n")?).ok()?.parse().ok()
}

/// Fields, or fields with their values.
type Chunks<'a> = BTreeSet<Vec<&'a [u8]>>;

/// The head of an array or a map and its elements, `chunk` by `chunk`, in no order.
fn unordered(reply: &[u8], chunk: usize) -> Option<(&[u8], Chunks<'_>)> {
    let elements = elements(reply)?;
    let head = &reply[..reply.iter().position(|byte| *byte == b'\n')?];
    Some((head, elements.chunks(chunk).map(<[&[u8]]>::to_vec).collect()))
}

/// Equal, or lists of times that differ by at most `tolerance`.
fn near(ours: &[u8], theirs: &[u8], tolerance: u64) -> bool {
    match (elements(ours), elements(theirs)) {
        (Some(a), Some(b)) if a.len() == b.len() => {
            a.iter().zip(b).all(|(a, b)| match (integer(a), integer(b)) {
                (Some(a), Some(b)) if a >= 0 && b >= 0 => a.abs_diff(b) <= tolerance,
                _ => *a == b,
            })
        }
        _ => ours == theirs,
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

    fn is_packed(&mut self, key: &[u8]) -> bool {
        let encoding = [b"OBJECT".to_vec(), b"ENCODING".to_vec(), key.to_vec()];
        let (ours, theirs) = self.ask(&encoding);
        assert_eq!(ours, theirs, "encoding");
        ours.windows(8).any(|word| word == b"listpack")
    }

    /// Asks both, and says whether the replies mean the same.
    fn agree(&mut self, request: &[Vec<u8>]) -> Result<(), String> {
        let name = String::from_utf8_lossy(&request[0]).to_ascii_uppercase();
        if name == "HSCAN" && request.get(2).is_some_and(|cursor| cursor == b"0") {
            let (ours, theirs) = (walk(&mut self.ours, request), walk(&mut self.theirs, request));
            return if ours == theirs { Ok(()) } else { Err(format!("ours: {ours:?}\ntheirs: {theirs:?}")) };
        }
        let (ours, theirs) = self.ask(request);
        let same = match name.as_str() {
            "HGETALL" | "HKEYS" | "HVALS" if ours != theirs && ours[0] != b'-' => {
                let chunk = if name == "HGETALL" { 2 } else { 1 };
                !self.is_packed(&request[1]) && unordered(&ours, chunk) == unordered(&theirs, chunk)
            }
            "HRANDFIELD" => self.same_picks(request, &ours, &theirs),
            "HTTL" | "HEXPIRETIME" => near(&ours, &theirs, 1),
            "HPTTL" | "HPEXPIRETIME" => near(&ours, &theirs, 2_000),
            _ => ours == theirs,
        };
        if same { Ok(()) } else { Err(format!("ours: {}\ntheirs: {}", shown(&ours), shown(&theirs))) }
    }

    /// As many picks, all of fields that there are, and of each once if they are to be different.
    fn same_picks(&mut self, request: &[Vec<u8>], ours: &[u8], theirs: &[u8]) -> bool {
        if ours[0] != theirs[0] || ours[0] == b'-' || ours[0] == b'_' {
            return ours == theirs;
        }
        let all = [b"HGETALL".to_vec(), request[1].clone()];
        let (all, _) = self.ask(&all);
        let all = elements(&all).expect("a hash");
        let (Some(ours), Some(theirs)) = (elements(ours), elements(theirs)) else {
            return ours == theirs || all.chunks(2).any(|pair| pair[0] == ours);
        };
        let in_pairs = request.len() == 4 && ours.first().is_some_and(|pick| pick[0] != b'*');
        let picks: Vec<Vec<&[u8]>> = ours
            .chunks(1 + in_pairs as usize)
            .map(|pick| elements(pick[0]).unwrap_or(pick.to_vec()))
            .collect();
        let distinct: BTreeSet<&Vec<&[u8]>> = picks.iter().collect();
        ours.len() == theirs.len()
            && picks.iter().all(|pick| all.chunks(2).any(|pair| pair.starts_with(pick)))
            && (request[2].starts_with(b"-") || distinct.len() == picks.len())
    }

    /// Everything there is, is the same.
    fn agree_on_contents(&mut self) -> Result<(), String> {
        for key in KEYS.iter().filter(|key| **key != b"string") {
            for words in [&["HGETALL"][..], &["HLEN"], &["OBJECT", "ENCODING"], &["DEBUG", "DIGEST-VALUE"]] {
                let mut request = request(words);
                request.push(key.to_vec());
                self.agree(&request).map_err(|why| format!("{}: {why}", line(&request)))?;
            }
        }
        Ok(())
    }
}

/// All elements of a walk, or the error.
fn walk(client: &mut Client, request: &[Vec<u8>]) -> Result<BTreeSet<Vec<Vec<u8>>>, Vec<u8>> {
    let mut request = request.to_vec();
    let mut seen = BTreeSet::new();
    loop {
        let reply = client.ask(&request);
        let Some(parts) = elements(&reply) else { return Err(reply) };
        let found = elements(parts[1]).expect("an array");
        seen.extend(found.chunks(2).map(|pair| pair.iter().map(|part| part.to_vec()).collect()));
        request[2] = text(parts[0]).into_bytes();
        if request[2] == b"0" {
            return Ok(seen);
        }
    }
}

fn shown(bytes: &[u8]) -> String {
    let text = bytes[..bytes.len().min(300)].escape_ascii().to_string();
    if bytes.len() > 300 { format!("{text}… ({} bytes)", bytes.len()) } else { text }
}

fn line(request: &[Vec<u8>]) -> String {
    request.iter().map(|arg| format!("\"{}\"", shown(arg))).collect::<Vec<_>>().join(" ")
}

/// The first number of the version of a server.
fn version(client: &mut Client) -> u32 {
    let info = text(&client.ask(&["INFO", "server"]));
    let version = info.lines().find_map(|line| line.strip_prefix("redis_version:")).expect("a version");
    version.split('.').next().and_then(|number| number.parse().ok()).expect("a number")
}

#[test]
fn random_commands_get_the_replies_of_redis() {
    let debug = ["--enable-debug-command", "yes"];
    let (ours, theirs) = (Process::nuthatch(&debug), Process::redis(&debug));
    let is_new = version(&mut theirs.connect()) >= 8;
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
        LIMITS.iter().for_each(|limit| drop(pair.ask(&request(limit))));
        let rng = StdRng::seed_from_u64(seed);
        let mut generator = Generator { rng, is_new, deadlines: seed as i64 * 1_000 };
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
    println!("{commands} commands, with deadlines of fields: {is_new}");
    assert!(commands >= RUN_COMMANDS, "not even one run was completed");
}

/// A reply as people write it.
fn plain(reply: &[u8]) -> String {
    match reply[0] {
        b'*' | b'%' => {
            let parts = elements(reply).expect("an array");
            format!("[{}]", parts.into_iter().map(plain).collect::<Vec<_>>().join(" "))
        }
        b'$' if reply == b"$-1\r\n" => "nil".into(),
        b'$' => text(reply),
        b'-' => String::from_utf8_lossy(&reply[..reply.len() - 2]).into_owned(),
        _ => String::from_utf8_lossy(&reply[1..reply.len() - 2]).into_owned(),
    }
}

const MISSING: &str = "-ERR Mandatory argument FIELDS is missing or not at the right position";
const MISMATCH: &str = "-ERR The `numfields` parameter must match the number of arguments";
const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";
const ONE_TIME: &str = "-ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified";

/// Requests on fields with deadlines and their replies, as Redis 8.2 gives them.
const SCRIPT: &[(&str, &str)] = &[
    ("HSET h a 1 b 2 c 3", "3"),
    ("OBJECT ENCODING h", "listpack"),
    ("HTTL h FIELDS 2 a none", "[-1 -2]"),
    ("HPERSIST h FIELDS 2 a none", "[-1 -2]"),
    ("OBJECT ENCODING h", "listpack"),
    ("HEXPIRE h 100 FIELDS 2 none b", "[-2 1]"),
    ("OBJECT ENCODING h", "listpackex"),
    ("HTTL h FIELDS 3 a b c", "[-1 100 -1]"),
    // Those with deadlines come first.
    ("HKEYS h", "[b a c]"),
    ("HPEXPIREAT h 4000000000001 FIELDS 1 c", "[1]"),
    ("HPEXPIRETIME h FIELDS 3 a b c", "[-1 _ 4000000000001]"),
    ("HEXPIRETIME h FIELDS 1 c", "[4000000001]"),
    ("HKEYS h", "[b c a]"),
    ("HEXPIREAT h 4000000000 NX FIELDS 3 a b c", "[1 0 0]"),
    ("HEXPIREAT h 4000000000 XX FIELDS 2 a none", "[1 -2]"),
    ("HEXPIREAT h 3999999999 GT FIELDS 2 a b", "[0 1]"),
    ("HEXPIREAT h 4000000000 GT FIELDS 1 a", "[0]"),
    ("HEXPIREAT h 4000000000 LT FIELDS 1 a", "[0]"),
    ("HEXPIREAT h 3999999998 LT FIELDS 2 a c", "[1 1]"),
    ("HPERSIST h FIELDS 2 a b", "[1 1]"),
    ("HEXPIREAT h 3999999998 GT FIELDS 1 a", "[0]"),
    ("HEXPIREAT h 3999999998 LT FIELDS 1 a", "[1]"),
    ("HEXPIRE h 0 FIELDS 2 a none", "[2 -2]"),
    ("HEXPIREAT h 1 XX FIELDS 2 b c", "[0 2]"),
    ("HGETALL h", "[b 2]"),
    ("HPEXPIRE h 0 FIELDS 2 b b", "[2 -2]"),
    ("EXISTS h", "0"),
    ("HEXPIRE h 0 FIELDS 2 b c", "[-2 -2]"),
    ("HTTL h FIELDS 1 b", "[-2]"),
    ("HPERSIST h FIELDS 1 b", "[-2]"),
    // Setting a value ends the deadline, counting does not.
    ("HSET h a 1 b 2", "2"),
    ("HEXPIRE h 100 FIELDS 2 a b", "[1 1]"),
    ("HSET h a 2", "0"),
    ("HINCRBY h b 5", "7"),
    ("HINCRBYFLOAT h b 0.5", "7.5"),
    ("HTTL h FIELDS 2 a b", "[-1 100]"),
    ("HSETNX h b 1", "0"),
    ("HTTL h FIELDS 1 b", "[100]"),
    ("COPY h copy", "1"),
    ("HTTL copy FIELDS 2 a b", "[-1 100]"),
    ("RENAME copy h", "OK"),
    ("HTTL h FIELDS 2 a b", "[-1 100]"),
    ("DEL h", "1"),
    // HGETEX and HGETDEL.
    ("HSET h a 1 b 2 c 3", "3"),
    ("HGETEX h FIELDS 2 a none", "[1 nil]"),
    ("OBJECT ENCODING h", "listpack"),
    ("HGETEX h PERSIST FIELDS 1 a", "[1]"),
    ("OBJECT ENCODING h", "listpackex"),
    ("HGETEX h EX 100 FIELDS 2 a none", "[1 nil]"),
    ("HGETEX h PXAT 4000000000000 FIELDS 1 b", "[2]"),
    ("HEXPIRETIME h FIELDS 1 b", "[4000000000]"),
    ("HGETEX h PERSIST FIELDS 2 a c", "[1 3]"),
    ("HTTL h FIELDS 2 a c", "[-1 -1]"),
    ("HGETEX h EXAT 1 FIELDS 2 a a", "[1 nil]"),
    ("HGETDEL h FIELDS 3 b b none", "[2 nil nil]"),
    ("HGETDEL h FIELDS 1 c", "[3]"),
    ("EXISTS h", "0"),
    ("HGETDEL h FIELDS 2 b c", "[nil nil]"),
    ("HGETEX h EX 10 FIELDS 1 b", "[nil]"),
    // HSETEX.
    ("HSETEX h FXX FIELDS 1 a 1", "0"),
    ("EXISTS h", "0"),
    ("HSETEX h FNX EX 100 FIELDS 2 a 1 b 2", "1"),
    ("OBJECT ENCODING h", "listpackex"),
    ("HTTL h FIELDS 2 a b", "[100 100]"),
    ("HSETEX h FNX FIELDS 2 b 3 c 4", "0"),
    ("HSETEX h FXX FIELDS 2 b 3 c 4", "0"),
    ("HSETEX h FXX KEEPTTL FIELDS 2 a 5 b 6", "1"),
    ("HTTL h FIELDS 2 a b", "[100 100]"),
    ("HMGET h a b c", "[5 6 nil]"),
    ("HSETEX h FIELDS 1 a 7", "1"),
    ("HTTL h FIELDS 2 a b", "[-1 100]"),
    ("HSETEX h PXAT 4000000000000 FIELDS 1 a 8", "1"),
    ("HEXPIRETIME h FIELDS 1 a", "[4000000000]"),
    ("HSETEX h EXAT 1 FIELDS 2 a 9 c 9", "1"),
    ("HGETALL h", "[b 6]"),
    ("HSETEX h PXAT 1 FIELDS 1 b 9", "1"),
    ("EXISTS h", "0"),
    ("HSETEX h PXAT 1 FIELDS 1 b 9", "1"),
    ("EXISTS h", "0"),
    // Large ones.
    ("CONFIG SET hash-max-listpack-entries 2", "OK"),
    ("HSETEX h EX 100 FIELDS 2 a 1 b 2", "1"),
    ("OBJECT ENCODING h", "listpackex"),
    ("HSET h c 3", "1"),
    ("OBJECT ENCODING h", "hashtable"),
    ("HTTL h FIELDS 3 a b c", "[100 100 -1]"),
    ("HEXPIRE h 0 FIELDS 2 a c", "[2 2]"),
    ("HPERSIST h FIELDS 2 a b", "[-2 1]"),
    ("HGETALL h", "[b 2]"),
    ("CONFIG SET hash-max-listpack-entries 512", "OK"),
    ("DEL h", "1"),
    // What is wrong.
    ("SET s x", "OK"),
    ("HEXPIRE s x FIELDS 1 a", WRONG_TYPE),
    ("HTTL s x 1 a", WRONG_TYPE),
    ("HPERSIST s x 1 a", WRONG_TYPE),
    ("HGETEX s x 1 a", WRONG_TYPE),
    ("HGETDEL s x 1 a", WRONG_TYPE),
    ("HSETEX s FIELDS 1 a 1", WRONG_TYPE),
    ("HSETEX s x 1 a 1", "-ERR unknown argument: x"),
    ("HEXPIRE h x FIELDS 1 a", "-ERR value is not an integer or out of range"),
    ("HEXPIRE h -1 FIELDS 1 a", "-ERR invalid expire time, must be >= 0"),
    ("HPEXPIREAT h 70368744177663 FIELDS 1 a", "[-2]"),
    ("HPEXPIREAT h 70368744177664 FIELDS 1 a", "-ERR invalid expire time in 'hpexpireat' command"),
    ("HEXPIRE h 70368744177 FIELDS 1 a", "-ERR invalid expire time in 'hexpire' command"),
    ("HEXPIRE h 1 BAD 1 a", MISSING),
    ("HEXPIRE h 1 NX BAD 1 a", MISSING),
    ("HEXPIRE h 1 NX XX FIELDS 1 a", MISSING),
    ("HEXPIRE h 1 FIELDS 0 a", "-ERR Parameter `numFields` should be greater than 0"),
    ("HEXPIRE h 1 FIELDS x a", "-ERR Parameter `numFields` should be greater than 0"),
    ("HEXPIRE h 1 FIELDS 2 a", MISMATCH),
    ("HEXPIRE h 1 NX FIELDS 1 a b", MISMATCH),
    ("HEXPIRE h 1 FIELDS 1", "-ERR wrong number of arguments for 'hexpire' command"),
    ("HTTL h FIELD 1 a", MISSING),
    ("HTTL h FIELDS 0 a", "-ERR Number of fields must be a positive integer"),
    ("HTTL h FIELDS x a", "-ERR Number of fields must be a positive integer"),
    ("HTTL h FIELDS 2 a", MISMATCH),
    ("HPERSIST h FIELD 1 a", MISSING),
    ("HPERSIST h FIELDS -1 a", "-ERR Number of fields must be a positive integer"),
    ("HPERSIST h FIELDS 2 a", MISMATCH),
    ("HGETDEL h FIELD 1 a", MISSING),
    ("HGETDEL h FIELDS 0 a", "-ERR Number of fields must be a positive integer"),
    ("HGETDEL h FIELDS 1 a b", MISMATCH),
    ("HGETEX h FIELD 1 a", MISSING),
    ("HGETEX h EX 1 PX 1 FIELDS 1 a", MISSING),
    ("HGETEX h KEEPTTL FIELDS 1 a", MISSING),
    ("HGETEX h EX x FIELDS 1 a", "-ERR value is not an integer or out of range"),
    ("HGETEX h EX -1 FIELDS 1 a", "-ERR invalid expire time, must be >= 0"),
    ("HGETEX h PX 70368744177664 FIELDS 1 a", "-ERR invalid expire time in 'hgetex' command"),
    ("HGETEX h PERSIST FIELDS 0 a", "-ERR Number of fields must be a positive integer"),
    ("HGETEX h PERSIST FIELDS 2 a", MISMATCH),
    ("HSETEX h FNX FXX FIELDS 1 a 1", "-ERR Only one of FXX or FNX arguments can be specified"),
    ("HSETEX h FNX FNX FIELDS 1 a 1", "-ERR Only one of FXX or FNX arguments can be specified"),
    ("HSETEX h EX 1 PX 1 FIELDS 1 a 1", ONE_TIME),
    ("HSETEX h KEEPTTL EX 1 FIELDS 1 a 1", ONE_TIME),
    ("HSETEX h EX 1 KEEPTTL FIELDS 1 a 1", ONE_TIME),
    ("HSETEX h PERSIST FIELDS 1 a 1", "-ERR unknown argument: PERSIST"),
    ("HSETEX h EX -1 FIELDS 1 a 1", "-ERR invalid expire time, must be >= 0"),
    ("HSETEX h FNX FXX EX", "-ERR wrong number of arguments for 'hsetex' command"),
    ("HSETEX h FNX KEEPTTL FXX EX", "-ERR Only one of FXX or FNX arguments can be specified"),
    ("HSETEX h FNX KEEPTTL EX FNX", ONE_TIME),
    ("HSETEX h FIELDS 0 a 1", "-ERR invalid number of fields"),
    ("HSETEX h FIELDS 2147483648 a 1", "-ERR invalid number of fields"),
    ("HSETEX h FIELDS 2 a 1", "-ERR wrong number of arguments for 'hsetex' command"),
    ("HSETEX h FIELDS 1 a 1 b", "-ERR wrong number of arguments for 'hsetex' command"),
    ("HSETEX h FNX KEEPTTL FIELDS 1", "-ERR wrong number of arguments for 'hsetex' command"),
    ("EXISTS h", "0"),
    ("HSCAN h 0 NOVALUES", "[0 []]"),
    ("HSET h a 1", "1"),
    ("HSCAN h 0 NOVALUES COUNT 5", "[0 [a]]"),
    ("HSCAN h 0 NOVALUES NOVALUES", "[0 [a]]"),
    ("HSCAN h 0 MATCH b NOVALUES", "[0 []]"),
];

fn run_script(client: &mut Client) {
    client.ask(&["FLUSHALL"]);
    let mut wrong = Vec::new();
    for (words, expected) in SCRIPT {
        let words: Vec<&str> = words.split(' ').collect();
        let reply = plain(&client.ask(&words));
        // `_` stands for whatever there is.
        let fits = match expected.split_once('_') {
            Some((before, after)) if !expected.starts_with('-') => {
                reply.starts_with(before) && reply.ends_with(after)
            }
            _ => reply == *expected,
        };
        if !fits {
            wrong.push(format!("{}: {reply}, not {expected}", words.join(" ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn commands_on_deadlines_of_fields() {
    run_script(&mut Process::nuthatch(&[]).connect());
}

#[test]
fn the_script_tells_the_truth_about_redis() {
    let oracle = Process::redis(&["--enable-debug-command", "yes"]);
    let mut client = oracle.connect();
    if version(&mut client) >= 8 {
        run_script(&mut client);
    }
}

/// Waits until `reply` is the reply, and says how long that took.
fn await_reply(client: &mut Client, words: &[&str], reply: &str) -> Duration {
    let started = Instant::now();
    while plain(&client.ask(words)) != reply {
        assert!(started.elapsed() < Duration::from_secs(10), "{words:?} is still not {reply}");
        std::thread::sleep(Duration::from_millis(1));
    }
    started.elapsed()
}

#[test]
fn fields_go_when_their_time_has_come() {
    let server = Process::nuthatch(&["--hash-max-listpack-entries", "8"]);
    let mut client = server.connect();
    for (key, size) in [("small", 4), ("large", 40)] {
        for n in 0..size {
            let (field, deadline) = (n.to_string(), (400 + n % 2 * 400).to_string());
            assert_eq!(
                plain(&client.ask(&["HSETEX", key, "PX", &deadline, "FIELDS", "1", &field, "v"])),
                "1"
            );
        }
    }
    let keyspace = |client: &mut Client| text(&client.ask(&["INFO", "keyspace"]));
    assert!(keyspace(&mut client).contains("db0:keys=2,expires=0,avg_ttl=0,subexpiry=2"));
    // Of the small one nothing is asked: the wheel alone removes its fields.
    await_reply(&mut client, &["HLEN", "large"], "20");
    await_reply(&mut client, &["DBSIZE"], "0");
    assert_eq!(info(&mut client, "expired_subkeys"), 44);
    assert_eq!(info(&mut client, "expired_keys"), 0);
    // A key that has a deadline of its own, earlier or later than that of its field.
    for (key, field_ms, key_ms) in [("one", "20", "60000"), ("other", "60000", "20")] {
        client.ask(&["HSETEX", key, "PX", field_ms, "FIELDS", "1", "f", "v"]);
        client.ask(&["PEXPIRE", key, key_ms]);
        await_reply(&mut client, &["DBSIZE"], "0");
    }
    assert!(!keyspace(&mut client).contains("db0"));
    // A deadline that was moved or taken back.
    client.ask(&["HSETEX", "h", "PX", "20", "FIELDS", "3", "a", "1", "b", "2", "c", "3"]);
    client.ask(&["HPEXPIRE", "h", "60", "FIELDS", "1", "b"]);
    client.ask(&["HPERSIST", "h", "FIELDS", "1", "c"]);
    client.ask(&["RENAME", "h", "moved"]);
    client.ask(&["COPY", "moved", "copy"]);
    for key in ["moved", "copy"] {
        await_reply(&mut client, &["HGETALL", key], "[c 3]");
    }
    // What is invisible is removed a moment later.
    let give_up = Instant::now() + Duration::from_secs(10);
    while !keyspace(&mut client).contains("db0:keys=2,expires=0,avg_ttl=0,subexpiry=0") {
        assert!(Instant::now() < give_up, "{}", keyspace(&mut client));
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn expired_fields_are_invisible() {
    let server = Process::nuthatch(&["--enable-debug-command", "yes", "--hash-max-listpack-entries", "3"]);
    let mut client = server.connect();
    client.ask(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]);
    for fields in [&["a", "1", "b", "2"][..], &["a", "1", "b", "2", "c", "3", "d", "4"]] {
        let last = fields[fields.len() - 2];
        let alive = &fields[..fields.len() - 2];
        let all = format!("[{}]", alive.join(" "));
        let count = (alive.len() / 2).to_string();
        for (request, expected) in [
            (&["HGET", "h", last][..], "nil"),
            (&["HMGET", "h", last], "[nil]"),
            (&["HEXISTS", "h", last], "0"),
            (&["HSTRLEN", "h", last], "0"),
            (&["HLEN", "h"], &count),
            (&["HGETDEL", "h", "FIELDS", "1", last], "[nil]"),
            (&["HGETEX", "h", "FIELDS", "1", last], "[nil]"),
            (&["HTTL", "h", "FIELDS", "1", last], "[-2]"),
            (&["HPERSIST", "h", "FIELDS", "1", last], "[-2]"),
            (&["HEXPIRE", "h", "10", "FIELDS", "1", last], "[-2]"),
            (&["HDEL", "h", last], "0"),
            (&["HSETNX", "h", last, "new"], "1"),
            (&["HINCRBY", "h", last, "7"], "7"),
            (&["HINCRBYFLOAT", "h", last, "7"], "7"),
            (&["HSETEX", "h", "FXX", "FIELDS", "1", last, "new"], "0"),
            (&["HSETEX", "h", "FNX", "FIELDS", "1", last, "new"], "1"),
            (&["HSET", "h", last, "new"], "1"),
        ] {
            client.ask(&["DEL", "h"]);
            client.ask(&[&["HSET", "h"][..], fields].concat());
            client.ask(&["HPEXPIRE", "h", "1", "FIELDS", "1", last]);
            std::thread::sleep(Duration::from_millis(3));
            if request[0] != "HLEN" {
                let everything: BTreeSet<String> = elements(&client.ask(&["HGETALL", "h"]))
                    .expect("a map")
                    .chunks(2)
                    .map(|p| plain(p[0]))
                    .collect();
                assert_eq!(everything.len().to_string(), count);
                assert!(!everything.contains(last));
                for _ in 0..20 {
                    assert_ne!(plain(&client.ask(&["HRANDFIELD", "h"])), last);
                }
                let picks = client.ask(&["HRANDFIELD", "h", "100"]);
                assert_eq!(elements(&picks).expect("an array").len(), alive.len() / 2);
                if alive.len() == 2 {
                    assert_eq!(plain(&client.ask(&["HSCAN", "h", "0"])), format!("[0 {all}]"));
                }
            }
            assert_eq!(plain(&client.ask(request)), expected, "{request:?}");
        }
    }
    // The last field takes the key along, as soon as somebody writes.
    client.ask(&["HSETEX", "gone", "PX", "1", "FIELDS", "1", "f", "v"]);
    std::thread::sleep(Duration::from_millis(3));
    assert_eq!(plain(&client.ask(&["HGETALL", "gone"])), "[]");
    assert_eq!(plain(&client.ask(&["HRANDFIELD", "gone"])), "nil");
    assert_eq!(plain(&client.ask(&["HRANDFIELD", "gone", "-5"])), "[]");
    assert_eq!(plain(&client.ask(&["HDEL", "gone", "f"])), "0");
    assert_eq!(plain(&client.ask(&["EXISTS", "gone"])), "0");
}

#[test]
fn a_hundred_thousand_fields_go_at_once() {
    let server = Process::nuthatch(&[]);
    let mut client = server.connect();
    let names: Vec<String> = (0..100_000).map(|n| format!("field:{n}")).collect();
    for names in names.chunks(1000) {
        let mut set = vec!["HSET", "h"];
        set.extend(names.iter().flat_map(|name| [name.as_str(), "value"]));
        client.ask(&set);
    }
    let deadline = std::time::SystemTime::now() + Duration::from_millis(700);
    let deadline = deadline.duration_since(std::time::UNIX_EPOCH).expect("now").as_millis().to_string();
    for names in names.chunks(1000) {
        let mut expire = vec!["HPEXPIREAT", "h", &deadline, "FIELDS", "1000"];
        expire.extend(names.iter().map(String::as_str));
        client.ask(&expire);
    }
    let mut other = server.connect();
    let took = await_reply(&mut other, &["DBSIZE"], "0");
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(info(&mut client, "expired_subkeys"), 100_000);
}
