//! Redis is the judge of bits and HyperLogLogs: random sequences of their commands, mixed with others on the same
//! strings, get the same replies from this server and from Debian's Redis, and leave the same bytes behind.
//!
//! What is newer than that Redis (7.0) has expectations written by hand.

mod common;

use common::{Client, Process, info};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// All runs of random commands together take about this long.
const TIME_LIMIT: Duration = Duration::from_secs(15);
/// Commands of one run, which begins with an empty database.
const RUN_COMMANDS: usize = 3000;
/// How many of the last commands a failure shows.
const SHOWN_COMMANDS: usize = 30;

type Request = Vec<Vec<u8>>;

fn request(words: &[&str]) -> Request {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

/// Where the header of a sketch says in which form it is.
const ENCODING_AT: usize = 4;

/// Keys that mostly hold sketches, and keys that mostly hold anything else.
const SKETCHES: [&str; 4] = ["h1", "h2", "h3", "h4"];
const STRINGS: [&str; 5] = ["a", "b", "c", "a-name-of-more-than-a-few-bytes", "n"];

const INTEGERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "7",
    "8",
    "-8",
    "9",
    "15",
    "-20",
    "63",
    "64",
    "100",
    "-100",
    "1000000",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "4294967295",
    "4294967296",
    "01",
    "+1",
    "abc",
    "",
    "1.5",
];

struct Generator {
    rng: StdRng,
}

impl Generator {
    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    fn word(&mut self, words: &[&str]) -> Vec<u8> {
        words.choose(&mut self.rng).expect("words").as_bytes().to_vec()
    }

    fn spell(&mut self, words: &[&str]) -> Vec<u8> {
        let word = self.word(words);
        if self.chance(80) { word } else { word.to_ascii_lowercase() }
    }

    fn key(&mut self) -> Vec<u8> {
        let keys = if self.chance(90) { &STRINGS[..] } else { &SKETCHES[..] };
        self.word(keys)
    }

    /// A key that no sketch is ever written to. What Redis 7.0 makes of damaged registers depends on the memory behind
    /// them, so what changes bits keeps off the sketches, and sketches off the keys whose bits are changed.
    fn string(&mut self) -> Vec<u8> {
        self.word(&STRINGS)
    }

    fn written_sketch(&mut self) -> Vec<u8> {
        self.word(&SKETCHES)
    }

    fn sketch(&mut self) -> Vec<u8> {
        let keys = if self.chance(95) { &SKETCHES[..] } else { &STRINGS[..] };
        self.word(keys)
    }

    fn number(&mut self, usual: std::ops::Range<i64>) -> Vec<u8> {
        if self.chance(8) {
            return self.word(INTEGERS);
        }
        self.rng.random_range(usual).to_string().into_bytes()
    }

    /// The position of a bit: mostly near the beginning, seldom so far that strings get long.
    fn offset(&mut self) -> Vec<u8> {
        match self.rng.random_range(0..40) {
            0 => self.number(0..400_000),
            1 => self.word(&["4294967296", "-1", "x", "", "4294967295000", "9223372036854775807", "#1"]),
            _ => self.rng.random_range(0..300).to_string().into_bytes(),
        }
    }

    fn value(&mut self) -> Vec<u8> {
        match self.rng.random_range(0..10) {
            0 => self.word(INTEGERS),
            1 => vec![*[0, 0xff, 0x55].choose(&mut self.rng).expect("bytes"); self.rng.random_range(0..70)],
            2 => {
                vec![*[0, 0xff].choose(&mut self.rng).expect("bytes"); self.rng.random_range(16_000..40_000)]
            }
            _ => (0..self.rng.random_range(0..60)).map(|_| self.rng.random()).collect(),
        }
    }

    fn range(&mut self, out: &mut Request, least: usize) {
        let parts = self.rng.random_range(least..=3);
        for part in 0..parts {
            out.push(if part < 2 {
                self.number(-40..300)
            } else {
                self.spell(&["BYTE", "BIT", "BIT", "bad"])
            });
        }
    }

    fn field_type(&mut self) -> Vec<u8> {
        if self.chance(3) {
            return self
                .word(&["u64", "i65", "u0", "i0", "", "u", "x8", "U8", "i08", "i-1", "u8 ", "i8\0x", "9"]);
        }
        let (sign, most) = if self.chance(50) { ('i', 64) } else { ('u', 63) };
        format!("{sign}{}", self.rng.random_range(1..=most)).into_bytes()
    }

    fn fields(&mut self, out: &mut Request, only_get: bool) {
        for _ in 0..self.rng.random_range(0..6) {
            let operation = match self.rng.random_range(0..100) {
                0..2 => "bad",
                2..25 if !only_get => "SET",
                25..55 if !only_get => "INCRBY",
                55..75 if !only_get || self.chance(5) => "OVERFLOW",
                _ => "GET",
            };
            out.push(self.spell(&[operation]));
            if operation == "OVERFLOW" {
                out.push(self.spell(&["WRAP", "SAT", "FAIL", "FAIL", "SAT", "SAT", "FAIL", "WRAP", "bad"]));
                continue;
            }
            out.push(self.field_type());
            if self.chance(30) {
                out.push(format!("#{}", self.rng.random_range(-1..20)).into_bytes());
            } else {
                out.push(self.offset());
            }
            if operation != "GET" {
                let wide = self.chance(30);
                out.push(if wide {
                    self.rng.random::<i64>().to_string().into_bytes()
                } else {
                    self.number(-300..300)
                });
            }
        }
        if self.chance(2) {
            out.pop();
        }
    }

    fn elements(&mut self, out: &mut Request) {
        let count = match self.rng.random_range(0..20) {
            0 => 0,
            1 => 600,
            2..5 => 60,
            _ => self.rng.random_range(1..5),
        };
        for _ in 0..count {
            let element = match self.rng.random_range(0..3) {
                0 => self.rng.random_range(0..50).to_string().into_bytes(),
                1 => self.rng.random_range(0..100_000).to_string().into_bytes(),
                _ => (0..self.rng.random_range(0..30)).map(|_| self.rng.random()).collect(),
            };
            out.push(element);
        }
    }

    fn next(&mut self) -> Request {
        let mut out = self.command();
        let name = out[0].clone();
        if !self.chance(80) {
            out[0] = name.to_ascii_lowercase();
        }
        if self.chance(1) {
            out.push(self.value());
        } else if self.chance(1) && out.len() > 1 {
            out.pop();
        }
        out
    }

    fn command(&mut self) -> Request {
        let key = self.key();
        let start = |name: &str, key: Vec<u8>| vec![name.as_bytes().to_vec(), key];
        match self.rng.random_range(0..100) {
            0..14 => {
                vec![
                    b"SETBIT".to_vec(),
                    self.string(),
                    self.offset(),
                    self.word(&["0", "1", "1", "1", "2", "-1", "x"]),
                ]
            }
            14..20 => vec![b"GETBIT".to_vec(), key, self.offset()],
            20..30 => {
                let mut out = start("BITCOUNT", key);
                match self.rng.random_range(0..12) {
                    0..3 => {}
                    3 => out.push(self.number(-10..10)),
                    _ => self.range(&mut out, 2),
                }
                out
            }
            30..42 => {
                let mut out = start("BITPOS", key);
                out.push(self.word(&["0", "1", "0", "1", "0", "1", "2", "x"]));
                self.range(&mut out, 0);
                out
            }
            42..50 => {
                let mut out =
                    vec![b"BITOP".to_vec(), self.spell(&["AND", "OR", "XOR", "NOT", "bad"]), self.string()];
                let most = if out[1].eq_ignore_ascii_case(b"NOT") && self.chance(90) { 1 } else { 4 };
                for _ in 0..self.rng.random_range(1..=most) {
                    out.push(self.string());
                }
                out
            }
            50..62 => {
                let mut out = start("BITFIELD", self.string());
                let only_get = self.chance(20);
                self.fields(&mut out, only_get);
                out
            }
            62..66 => {
                let mut out = start("BITFIELD_RO", key);
                let only_get = self.chance(90);
                self.fields(&mut out, only_get);
                out
            }
            66..70 => vec![b"SET".to_vec(), key, self.value()],
            70 => vec![b"APPEND".to_vec(), self.string(), self.value()],
            71 => start("GET", key),
            72 => start("DEL", key),
            73 => vec![b"OBJECT".to_vec(), b"ENCODING".to_vec(), key],
            74 => vec![b"COPY".to_vec(), self.string(), key, b"REPLACE".to_vec()],
            75 => vec![b"INCRBY".to_vec(), key, self.number(-100..100)],
            76..86 => {
                let mut out = start("PFADD", self.written_sketch());
                self.elements(&mut out);
                out
            }
            86..90 => {
                let mut out = start("PFCOUNT", self.sketch());
                for _ in 0..self.rng.random_range(0..3) {
                    out.push(self.sketch());
                }
                out
            }
            90..92 => {
                let mut out = start("PFMERGE", self.written_sketch());
                for _ in 0..self.rng.random_range(0..3) {
                    out.push(self.sketch());
                }
                out
            }
            92..94 => {
                let subcommand =
                    self.spell(&["ENCODING", "ENCODING", "DECODE", "DECODE", "GETREG", "TODENSE", "BAD"]);
                vec![b"PFDEBUG".to_vec(), subcommand, self.sketch()]
            }
            94 => start("GET", self.sketch()),
            95 => start("DEL", self.sketch()),
            96 => vec![b"OBJECT".to_vec(), b"ENCODING".to_vec(), self.sketch()],
            97 => vec![b"APPEND".to_vec(), self.written_sketch(), self.word(&["", "\x10", "\x20"])],
            98 => {
                // Of the header: what Redis 7.0 makes of damaged registers depends on memory behind them.
                let byte = [b"H".to_vec(), b"Y".to_vec(), vec![0], vec![1], vec![self.rng.random()]];
                let mut byte = byte.choose(&mut self.rng).expect("bytes").clone();
                let at = self.rng.random_range(0..16);
                if at == ENCODING_AT && byte == [1] {
                    // Dense registers would be taken for sparse ones.
                    byte = vec![2];
                }
                vec![b"SETRANGE".to_vec(), self.written_sketch(), at.to_string().into_bytes(), byte]
            }
            _ => {
                let bytes = self.word(&["0", "20", "100", "300", "3000", "3000", "3000", "20000"]);
                vec![b"CONFIG".to_vec(), b"SET".to_vec(), b"hll-sparse-max-bytes".to_vec(), bytes]
            }
        }
    }
}

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

    fn agree(&mut self, request: &[Vec<u8>]) -> Result<(), String> {
        let (ours, theirs) = self.ask(request);
        if ours == theirs || self.is_excused(request, &ours, &theirs) {
            return Ok(());
        }
        Err(format!("ours: {}\ntheirs: {}", shown(&ours), shown(&theirs)))
    }

    /// From Redis 7.2 on bad arguments are an error without a key, too, and a bad unit is one of a range that ends
    /// before it starts.
    fn is_excused(&mut self, request: &[Vec<u8>], ours: &[u8], theirs: &[u8]) -> bool {
        let name = request[0].to_ascii_uppercase();
        let scans = name == b"BITCOUNT" || name == b"BITPOS";
        if !scans || !ours.starts_with(b"-ERR") || theirs.starts_with(b"-") {
            return false;
        }
        let number = |at: usize| std::str::from_utf8(request.get(at)?).ok()?.parse::<i64>().ok();
        let exists = [b"EXISTS".to_vec(), request[1].clone()];
        matches!((number(2), number(3)), (Some(start), Some(end)) if start < 0 && end < start)
            || self.ask(&exists) == (b":0\r\n".to_vec(), b":0\r\n".to_vec())
    }

    fn agree_on_contents(&mut self) -> Result<(), String> {
        for key in STRINGS.into_iter().chain(SKETCHES) {
            for words in [&["GET", key][..], &["OBJECT", "ENCODING", key], &["DEBUG", "DIGEST-VALUE", key]] {
                let request = request(words);
                self.agree(&request).map_err(|why| format!("{}: {why}", line(&request)))?;
            }
        }
        Ok(())
    }

    /// Counts of changes to the data.
    fn changes(&mut self) -> (u64, u64) {
        let of = |client| info(client, "rdb_changes_since_last_save");
        (of(&mut self.ours), of(&mut self.theirs))
    }
}

fn shown(bytes: &[u8]) -> String {
    let text = bytes[..bytes.len().min(300)].escape_ascii().to_string();
    if bytes.len() > 300 { format!("{text}… ({} bytes)", bytes.len()) } else { text }
}

fn line(request: &[Vec<u8>]) -> String {
    request.iter().map(|arg| format!("\"{}\"", shown(arg))).collect::<Vec<_>>().join(" ")
}

#[test]
fn random_commands_get_the_replies_of_redis() {
    let enable = ["--enable-debug-command", "yes"];
    let (ours, theirs) = (Process::nuthatch(&enable), Process::redis(&enable));
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
        let before = pair.changes();
        let mut generator = Generator { rng: StdRng::seed_from_u64(seed) };
        let mut history: Vec<Request> = Vec::new();
        for step in 0..RUN_COMMANDS {
            let request = generator.next();
            history.push(request.clone());
            let outcome = catch_unwind(AssertUnwindSafe(|| pair.agree(&request)));
            if let Err(why) = outcome.unwrap_or_else(|_| Err("a server is gone".into())) {
                let from = history.len().saturating_sub(SHOWN_COMMANDS);
                let last: Vec<String> = history[from..].iter().map(|request| line(request)).collect();
                panic!("seed {seed}, RESP{proto}, command {step}:\n{}\n{why}", last.join("\n"));
            }
            commands += 1;
        }
        pair.agree_on_contents().unwrap_or_else(|why| panic!("seed {seed}, in the end: {why}"));
        let after = pair.changes();
        assert_eq!(after.0 - before.0, after.1 - before.1, "seed {seed}: changes");
    }
    println!("{commands} commands");
    assert!(commands >= RUN_COMMANDS, "not even one run was completed");
}

/// A sketch that grows from nothing to dense has Redis's bytes at every step.
#[test]
fn sketches_have_the_bytes_of_redis_at_every_size() {
    let (ours, theirs) = (Process::nuthatch(&[]), Process::redis(&[]));
    let mut pair = Pair { ours: ours.connect(), theirs: theirs.connect() };
    let mut check = |words: &[&str]| {
        let request = request(words);
        pair.agree(&request).unwrap_or_else(|why| panic!("{}: {why}", line(&request)));
    };
    for n in 0..4_000_u32 {
        let element = n.wrapping_mul(2_654_435_761).to_string();
        check(&["PFADD", "k", &element]);
        if n % 50 == 0 {
            check(&["GET", "k"]);
            check(&["PFCOUNT", "k"]);
            check(&["PFADD", "other", &element, "x", "y"]);
            check(&["PFMERGE", "union", "other", "k"]);
            check(&["GET", "union"]);
            check(&["PFCOUNT", "union", "k"]);
        }
    }
    check(&["PFDEBUG", "ENCODING", "k"]);
    check(&["PFDEBUG", "GETREG", "other"]);
    check(&["GET", "other"]);
}

/// Strings that pass for sketches, and are not, get an answer; so does whoever asks next.
#[test]
fn damaged_sketches_do_no_harm() {
    let ours = Process::nuthatch(&[]);
    let mut client = ours.connect();
    let mut rng = StdRng::seed_from_u64(3);
    for _ in 0..3_000 {
        let mut bytes = b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80".to_vec();
        let len = rng.random_range(0..400);
        bytes.extend((0..len).map(|_| rng.random::<u8>()));
        client.ask(&[b"SET".to_vec(), b"k".to_vec(), bytes]);
        for words in [
            &["PFCOUNT", "k"][..],
            &["PFDEBUG", "DECODE", "k"],
            &["PFADD", "k", "a", "b", "c", "d", "e"],
            &["PFCOUNT", "k", "other"],
            &["PFMERGE", "k", "other"],
            &["PFMERGE", "other2", "k"],
            &["PFDEBUG", "GETREG", "k"],
            &["PFDEBUG", "TODENSE", "k"],
        ] {
            let reply = client.ask(&request(words));
            let is_fine =
                !reply.starts_with(b"-") || reply == b"-INVALIDOBJ Corrupted HLL object detected\r\n";
            let is_dense = reply == b"-ERR HLL encoding is not sparse\r\n";
            assert!(is_fine || is_dense, "{}", shown(&reply));
        }
    }
}

/// What Redis 8.2 added.
#[test]
fn newer_operations() {
    let ours = Process::nuthatch(&[]);
    let mut client = ours.connect();
    let mut check = |words: &[&str], reply: &[u8]| {
        assert_eq!(shown(&client.ask(words)), shown(reply), "{words:?}");
    };
    // One nibble for each combination of the sources, a longer tail in the second.
    let sources: [(&str, &[u8]); 3] =
        [("x", b"\x00\xff\x00\xff"), ("y", b"\x0f\x0f\x00\xf0\x3c"), ("z", b"\x33\x33")];
    let mut setter = ours.connect();
    for (key, value) in sources {
        setter.ask(&[b"SET", key.as_bytes(), value]);
    }
    for (operation, expected) in [
        ("DIFF", &b"$5\r\n\x00\xc0\x00\x0f\x00\r\n"[..]),
        ("DIFF1", b"$5\r\n\x3f\x00\x00\x00\x3c\r\n"),
        ("ANDOR", b"$5\r\n\x00\x3f\x00\xf0\x00\r\n"),
        ("ONE", b"$5\r\n\x3c\xc0\x00\x0f\x3c\r\n"),
    ] {
        check(&["BITOP", operation, "d", "x", "y", "z"], b":5\r\n");
        check(&["GET", "d"], expected);
        check(&["OBJECT", "ENCODING", "d"], b"$3\r\nraw\r\n");
        check(&["BITOP", operation, "d", "none", "none2"], b":0\r\n");
        check(&["EXISTS", "d"], b":0\r\n");
        if operation != "ONE" {
            let error = format!("-ERR BITOP {operation} must be called with at least two source keys.\r\n");
            check(&["BITOP", &operation.to_lowercase(), "d", "x"], error.as_bytes());
        }
    }
    check(&["BITOP", "ONE", "d", "x"], b":4\r\n");
    check(&["GET", "d"], b"$4\r\n\x00\xff\x00\xff\r\n");
}

/// A bit in a string of many megabytes costs no copy of it, unless a reply still holds the bytes.
#[test]
fn bits_of_large_strings() {
    let ours = Process::nuthatch(&[]);
    let mut client = ours.connect();
    let mut check = |words: &[&str], reply: &str| {
        assert_eq!(shown(&client.ask(words)), shown(reply.as_bytes()), "{words:?}");
    };
    const BITS: u64 = 8 * 64 * 1024 * 1024;
    check(&["SETBIT", "k", &(BITS - 1).to_string(), "1"], ":0\r\n");
    let started = Instant::now();
    for bit in 0..2_000_u64 {
        check(&["SETBIT", "k", &(bit * 250_007 % BITS).to_string(), "1"], ":0\r\n");
    }
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    check(&["STRLEN", "k"], &format!(":{}\r\n", BITS / 8));
    check(&["BITCOUNT", "k"], ":2001\r\n");
    check(&["BITPOS", "k", "1", "-1"], &format!(":{}\r\n", BITS - 1));
    check(&["BITOP", "NOT", "n", "k"], &format!(":{}\r\n", BITS / 8));
    check(&["BITCOUNT", "n"], &format!(":{}\r\n", BITS - 2001));
    check(&["BITOP", "XOR", "n", "n", "k"], &format!(":{}\r\n", BITS / 8));
    check(&["BITPOS", "n", "0"], &format!(":{BITS}\r\n"));
    check(&["BITPOS", "n", "0", "0", "-1"], ":-1\r\n");
}
