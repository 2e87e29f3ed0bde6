//! Redis is the judge of lists: random sequences of all their commands, with all options and with bad arguments,
//! over several values of `list-max-listpack-size`, get the same replies here and from the `redis-server` on the
//! path. In the end the values have the same digests; from Redis 7.2 on, also the same encodings all along.

mod common;

use common::{Client, Process, text};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::time::{Duration, Instant};

/// All runs together take about this long.
const TIME_LIMIT: Duration = Duration::from_secs(15);
/// Commands of one run, which begins with empty databases.
const RUN_COMMANDS: usize = 2000;
/// How many of the last commands a failure shows.
const SHOWN_COMMANDS: usize = 20;

/// Values of `list-max-listpack-size`.
const SIZES: &[&str] = &["-2", "-1", "2", "16", "128", "1", "0", "-5", "-9"];

const KEYS: &[&str] = &["a", "b", "c", "a-list-with-a-longer-name"];

type Request = Vec<Vec<u8>>;

fn request(words: &[&str]) -> Request {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

const INTEGERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "-2",
    "3",
    "10",
    "-10",
    "100",
    "9223372036854775807",
    "-9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "abc",
    "",
    "1.5",
    " 1",
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

    /// One key in twenty holds a string, and one none.
    fn key(&mut self) -> Vec<u8> {
        match self.rng.random_range(0..20) {
            0 => b"string".to_vec(),
            1 => b"missing".to_vec(),
            _ => self.word(KEYS),
        }
    }

    fn element(&mut self) -> Vec<u8> {
        match self.rng.random_range(0..40) {
            0..15 => self.word(&["a", "b", "c", "", "0", "-1", "007", "fifteen letters"]),
            15..25 => self.rng.random_range(-20_000..20_000_i64).to_string().into_bytes(),
            25..28 => (self.rng.random::<i64>() >> self.rng.random_range(0..64)).to_string().into_bytes(),
            28..38 => {
                let len = self.rng.random_range(0..200);
                (0..len).map(|_| self.rng.random()).collect()
            }
            _ => {
                let len = *[4000, 4097, 8184, 8193, 40_000, 70_000].choose(&mut self.rng).expect("lengths");
                vec![self.rng.random_range(b'a'..=b'c'); len]
            }
        }
    }

    fn index(&mut self) -> Vec<u8> {
        match self.rng.random_range(0..10) {
            0 => self.word(INTEGERS),
            1..5 => self.rng.random_range(-5..5).to_string().into_bytes(),
            _ => self.rng.random_range(-200..200).to_string().into_bytes(),
        }
    }

    fn side(&mut self) -> Vec<u8> {
        if self.chance(3) {
            return self.word(&["", "UP", "LEFTY"]);
        }
        self.word(&["LEFT", "RIGHT", "left", "Right"])
    }

    fn next(&mut self) -> Request {
        let mut out = self.command();
        // Now and then one argument too many or too few.
        if self.chance(1) {
            out.push(self.element());
        } else if self.chance(1) && out.len() > 1 {
            out.pop();
        }
        out
    }

    fn command(&mut self) -> Request {
        let key = self.key();
        let mut out = vec![Vec::new(), key];
        let name = match self.rng.random_range(0..100) {
            0..30 => {
                let most = *[1, 1, 2, 5, 60].choose(&mut self.rng).expect("lengths");
                (0..self.rng.random_range(1..=most)).for_each(|_| out.push(self.element()));
                *["LPUSH", "RPUSH", "LPUSH", "RPUSH", "LPUSHX", "RPUSHX"]
                    .choose(&mut self.rng)
                    .expect("names")
            }
            30..44 => {
                if self.chance(40) {
                    out.push(self.index());
                }
                *["LPOP", "RPOP"].choose(&mut self.rng).expect("names")
            }
            44..46 => "LLEN",
            46..50 => {
                out.extend([self.index(), self.index()]);
                "LRANGE"
            }
            50..53 => {
                out.push(self.index());
                "LINDEX"
            }
            53..62 => {
                let side =
                    if self.chance(95) { self.word(&["BEFORE", "after", "AFTER"]) } else { self.element() };
                out.extend([side, self.element(), self.element()]);
                "LINSERT"
            }
            62..71 => {
                out.extend([self.index(), self.element()]);
                "LSET"
            }
            71..76 => {
                let count =
                    if self.chance(20) { self.word(INTEGERS) } else { self.word(&["0", "1", "-1", "-3"]) };
                out.extend([count, self.element()]);
                "LREM"
            }
            76..78 => {
                let (start, stop) = (self.index(), self.index());
                let (start, stop) =
                    if self.chance(60) { (b"1".to_vec(), b"-2".to_vec()) } else { (start, stop) };
                out.extend([start, stop]);
                "LTRIM"
            }
            78..85 => {
                out.push(self.element());
                for _ in 0..self.rng.random_range(0..4) {
                    out.push(self.word(&["RANK", "COUNT", "MAXLEN", "rank", "count", "maxlen", "bad"]));
                    if self.chance(97) {
                        out.push(self.index());
                    }
                }
                "LPOS"
            }
            85..92 => {
                out.extend([self.key(), self.side(), self.side()]);
                "LMOVE"
            }
            92..94 => {
                out.push(self.key());
                "RPOPLPUSH"
            }
            94..98 => {
                let keys = self.rng.random_range(1..4);
                out[1] = if self.chance(90) { keys.to_string().into_bytes() } else { self.word(INTEGERS) };
                (0..keys).for_each(|_| out.push(self.key()));
                out.push(self.side());
                for _ in 0..self.rng.random_range(0..3) {
                    out.push(self.word(&["COUNT", "COUNT", "count", "bad"]));
                    if self.chance(97) {
                        out.push(self.index());
                    }
                }
                "LMPOP"
            }
            98 => {
                out.extend([self.word(KEYS), b"REPLACE".to_vec()]);
                out[1] = self.word(KEYS);
                "COPY"
            }
            _ => ["DEL", "TYPE"][self.rng.random_range(0..2)],
        };
        out[0] =
            if self.chance(90) { name.as_bytes().to_vec() } else { name.to_ascii_lowercase().into_bytes() };
        if out[1] == b"string" && name == "DEL" {
            out[1] = b"missing".to_vec();
        }
        out
    }
}

/// Numbers that some Redis gets wrong: LSET of 7.2 and later drops the upper half of an index, LREM and LPOS before
/// 7.2 cannot negate the lowest number.
fn is_incomparable(request: &[Vec<u8>]) -> bool {
    let number = |at: usize| std::str::from_utf8(request.get(at)?).ok()?.parse::<i64>().ok();
    match request[0].to_ascii_uppercase().as_slice() {
        b"LSET" => number(2).is_some_and(|index| i32::try_from(index).is_err()),
        b"LREM" | b"LPOS" => (2..request.len()).any(|at| number(at) == Some(i64::MIN)),
        _ => false,
    }
}

/// The two servers, side by side.
struct Pair {
    ours: Client,
    theirs: Client,
    compares_encodings: bool,
}

impl Pair {
    fn agree(&mut self, request: &[Vec<u8>]) -> Result<(), String> {
        self.ours.send(request);
        self.theirs.send(request);
        let (ours, theirs) = (self.ours.receive(), self.theirs.receive());
        if ours == theirs {
            Ok(())
        } else {
            Err(format!("{}\nours: {}\ntheirs: {}", line(request), shown(&ours), shown(&theirs)))
        }
    }

    fn agree_on_encodings(&mut self, sent: &[Vec<u8>]) -> Result<(), String> {
        if !self.compares_encodings {
            return Ok(());
        }
        sent.iter()
            .skip(1)
            .take(4)
            .filter(|key| KEYS.iter().any(|known| known.as_bytes() == *key))
            .try_for_each(|key| self.agree(&[b"OBJECT".to_vec(), b"ENCODING".to_vec(), key.clone()]))
    }

    fn agree_on_contents(&mut self) -> Result<(), String> {
        for key in KEYS {
            self.agree(&request(&["DEBUG", "DIGEST-VALUE", key]))?;
            self.agree(&request(&["LRANGE", key, "0", "-1"]))?;
        }
        Ok(())
    }
}

fn shown(bytes: &[u8]) -> String {
    let text = bytes[..bytes.len().min(100)].escape_ascii().to_string();
    if bytes.len() > 100 { format!("{text}… ({} bytes)", bytes.len()) } else { text }
}

fn line(request: &[Vec<u8>]) -> String {
    request.iter().map(|arg| format!("\"{}\"", shown(arg))).collect::<Vec<_>>().join(" ")
}

fn version(client: &mut Client) -> Vec<u32> {
    let info = text(&client.ask(&["INFO", "server"]));
    let version = info.lines().find_map(|line| line.strip_prefix("redis_version:")).expect("a version");
    version.split('.').map(|part| part.parse().expect("a number")).collect()
}

#[test]
fn random_commands_get_the_replies_of_redis() {
    let debug = ["--enable-debug-command", "yes"];
    let (ours, theirs) = (Process::nuthatch(&debug), Process::redis(&debug));
    let compares_encodings = version(&mut theirs.connect()) >= vec![7, 2];
    let started = Instant::now();
    let mut commands = 0;
    for seed in 0.. {
        if started.elapsed() > TIME_LIMIT {
            break;
        }
        let mut pair = Pair { ours: ours.connect(), theirs: theirs.connect(), compares_encodings };
        let proto = if seed % 2 == 0 { "2" } else { "3" };
        let size = SIZES[seed as usize % SIZES.len()];
        for client in [&mut pair.ours, &mut pair.theirs] {
            client.ask(&["HELLO", proto]);
            client.ask(&["FLUSHALL"]);
            client.ask(&["CONFIG", "SET", "list-max-listpack-size", size]);
            client.ask(&["SET", "string", "value"]);
        }
        let mut generator = Generator { rng: StdRng::seed_from_u64(seed) };
        let mut history: Vec<Request> = Vec::new();
        for step in 0..RUN_COMMANDS {
            let request = generator.next();
            if is_incomparable(&request) {
                continue;
            }
            history.push(request.clone());
            let result = pair.agree(&request).and_then(|()| pair.agree_on_encodings(&request));
            if let Err(why) = result {
                let from = history.len().saturating_sub(SHOWN_COMMANDS);
                let last: Vec<String> = history[from..].iter().map(|request| line(request)).collect();
                panic!("seed {seed}, RESP{proto}, size {size}, command {step}:\n{}\n{why}", last.join("\n"));
            }
            commands += 1;
        }
        pair.agree_on_contents().unwrap_or_else(|why| panic!("seed {seed}, in the end: {why}"));
    }
    println!("{commands} commands, encodings compared: {compares_encodings}");
    assert!(commands >= RUN_COMMANDS, "not even one run was completed");
}

/// The names of encodings as Redis 7.2 gives them, which not every Redis at hand has.
#[test]
fn encodings_change_as_in_redis_7_2() {
    let ours = Process::nuthatch(&[]);
    let mut client = ours.connect();
    let mut ask = |words: &[&str]| text(&client.ask(words));
    let long = "x".repeat(8193);
    let mut check = |size: &str, requests: &[&[&str]], expected: &str| {
        ask(&["DEL", "l"]);
        assert_eq!(ask(&["CONFIG", "SET", "list-max-listpack-size", size]), "OK");
        for request in requests {
            let reply = ask(request);
            assert!(!reply.starts_with("ERR"), "{request:?}: {reply}");
        }
        assert_eq!(ask(&["OBJECT", "ENCODING", "l"]), expected, "{size} {requests:?}");
    };
    let abc = &["RPUSH", "l", "a", "b", "c"][..];
    let abcd = &["RPUSH", "l", "a", "b", "c", "d"][..];
    check("3", &[abc], "listpack");
    check("3", &[abc, &["RPUSH", "l", "d"]], "quicklist");
    check("3", &[abc, &["LINSERT", "l", "AFTER", "b", "d"]], "quicklist");
    check("3", &[abc, &["LINSERT", "l", "AFTER", "missing", "d"]], "quicklist");
    check("3", &[abc, &["LSET", "l", "0", "d"]], "quicklist");
    check("-1", &[abc, &["LSET", "l", "0", &long]], "quicklist");
    check("3", &[abcd, &["RPOP", "l", "2"]], "quicklist");
    check("3", &[abcd, &["RPOP", "l", "3"]], "listpack");
    check("3", &[abcd, &["LTRIM", "l", "1", "1"]], "listpack");
    check("-1", &[abc, &["RPUSH", "l", &long]], "quicklist");
    check("-1", &[abc, &["RPUSH", "l", &long], &["RPOP", "l"]], "listpack");
    check("-1", &[abc, &["LPUSH", "l", &long], &["RPOP", "l", "3"], &["LSET", "l", "-1", "c"]], "listpack");
    check("0", &[&["RPUSH", "l", "a"]], "listpack");
    check("0", &[&["RPUSH", "l", "a", "b"]], "quicklist");
    check("-6", &[&["RPUSH", "l", &"x".repeat(60_000)]], "listpack");
    check("-6", &[&["RPUSH", "l", &"x".repeat(60_000)], &["RPUSH", "l", &"x".repeat(5536)]], "quicklist");
}
