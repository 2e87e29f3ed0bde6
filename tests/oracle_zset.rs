//! Redis is the judge of sorted sets: random sequences of their commands, with all their options and with bad
//! arguments, get the same replies from this server and from Debian's Redis.
//!
//! Runs in both protocols, with the usual limits of the packed form and with narrow ones, so that sets often change
//! their form. What cannot be the same is compared by meaning: doubles by value (Redis 7.0 printed them with 17
//! digits), the order of ZSCAN, and the picks of ZRANDMEMBER. What Redis 7.0 does not have is tested below by hand.

mod common;

use common::{Client, Process, elements};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::time::{Duration, Instant};

/// All runs together take about this long.
const TIME_LIMIT: Duration = Duration::from_secs(15);
/// Commands of one run, which begins with an empty database.
const RUN_COMMANDS: usize = 3000;
/// How many of the last commands a failure shows.
const SHOWN_COMMANDS: usize = 40;

type Request = Vec<Vec<u8>>;

fn request(words: &[&str]) -> Request {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

/// Keys of sets with any scores.
const KEYS: [&str; 5] = ["a", "b", "key:1", "dst", "n"];
/// Keys of sets whose members all have the score 0, for ranges of members.
const LEX_KEYS: [&str; 2] = ["lex:1", "lex:2"];
/// Keys that hold a string, nothing, and plain sets.
const OTHER_KEYS: [&str; 4] = ["string", "nothing", "set:1", "set:2"];

const MEMBERS: &[&str] = &[
    "a",
    "b",
    "c",
    "d",
    "e",
    "f",
    "g",
    "aa",
    "ab",
    "abc",
    "B",
    "",
    "0",
    "1",
    "-1",
    "7",
    "007",
    "100",
    "4095",
    "4096",
    "-4097",
    "32768",
    "8388608",
    "2147483648",
    "9223372036854775807",
    "9223372036854775808",
    "-0",
    "+1",
    "1.5",
    "nul\0nul",
    "line\r\n",
    "twelve bytes",
    "a member of some more bytes than that",
];

const SCORES: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "3",
    "5",
    "10",
    "-10",
    "100",
    "1.5",
    "-2.25",
    "0.125",
    "1e3",
    "0x10",
    "inf",
    "-inf",
    "+inf",
    "-0",
    "1234567",
    "4503599627370497",
    "1e300",
    "-1e300",
    "nan",
    "abc",
    "",
    " 1",
    "1 ",
    "1e400",
    "0.1",
];

const BOUNDS: &[&str] = &[
    "-inf", "+inf", "inf", "0", "1", "(1", "(0", "-1", "(-1", "2", "(2.5", "5", "100", "(inf", "1e400", "(",
    "", " 1", "1 ", "x", "(x", "nan", "0x1",
];

const LEX_BOUNDS: &[&str] = &[
    "-", "+", "[", "(", "[a", "(a", "[b", "(b", "[abc", "(ab", "[1", "(7", "[f", "(g", "[\0", "a", "", "-x",
    "++", "[B",
];

const INDEXES: &[&str] = &["0", "1", "-1", "2", "3", "5", "-2", "-3", "100", "-100", "x", "", "1.5"];

const COUNTS: &[&str] = &["0", "1", "2", "3", "10", "-1", "-2", "x", "", "1.5", "9223372036854775807"];

struct Generator {
    rng: StdRng,
    /// How many requests were made up so far.
    now: usize,
}

impl Generator {
    fn word(&mut self, words: &[&str]) -> Vec<u8> {
        words.choose(&mut self.rng).expect("words").as_bytes().to_vec()
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    fn key(&mut self) -> Vec<u8> {
        match self.rng.random_range(0..100) {
            0..92 => self.word(&KEYS),
            _ => self.word(&OTHER_KEYS),
        }
    }

    /// A key to read, of any kind.
    fn any_key(&mut self) -> Vec<u8> {
        if self.chance(20) { self.word(&LEX_KEYS) } else { self.key() }
    }

    fn member(&mut self) -> Vec<u8> {
        match self.rng.random_range(0..20) {
            0..17 => self.word(MEMBERS),
            17 => vec![self.rng.random(), self.rng.random()],
            _ => self.rng.random_range(-300..300).to_string().into_bytes(),
        }
    }

    fn score(&mut self) -> Vec<u8> {
        match self.rng.random_range(0..10) {
            0..3 => self.word(SCORES),
            3..6 => (f64::from(self.rng.random_range(-80..80)) / 8.0).to_string().into_bytes(),
            _ => self.rng.random_range(-20..20).to_string().into_bytes(),
        }
    }

    fn keys(&mut self, out: &mut Request) -> usize {
        let count = self.rng.random_range(1..=3_usize);
        let named = if self.chance(95) {
            count.to_string().into_bytes()
        } else {
            self.word(&["0", "-1", "x", "9", "9223372036854775807", "9223372036854775808"])
        };
        out.push(named);
        for _ in 0..count {
            out.push(self.any_key());
        }
        count
    }

    fn zadd(&mut self, key: Vec<u8>, is_lex: bool) -> Request {
        let mut out = vec![b"ZADD".to_vec(), key];
        let options = if self.chance(60) { 0 } else { self.rng.random_range(1..3) };
        for _ in 0..options {
            out.push(self.word(&["NX", "XX", "GT", "LT", "CH", "ch", "xx"]));
        }
        if !is_lex && self.chance(10) {
            out.push(b"INCR".to_vec());
        }
        let is_conditional = options > 0;
        for _ in 0..self.rng.random_range(1..4) {
            let score = if is_lex { b"0".to_vec() } else { self.score() };
            let mut member = self.member();
            if is_conditional {
                // A long member that is not added after all changes the form in newer versions only.
                member.truncate(8);
            }
            out.extend([score, member]);
        }
        out
    }

    fn range_options(&mut self, out: &mut Request, scores: bool) {
        for _ in 0..self.rng.random_range(0..3) {
            match self.rng.random_range(0..8) {
                0..3 if scores => out.push(self.word(&["WITHSCORES", "withscores"])),
                0..6 => out.extend([b"LIMIT".to_vec(), self.word(COUNTS), self.word(COUNTS)]),
                6 => out.push(self.word(&["LIMIT", "REV", "BYLEX", "BYSCORE", "bad"])),
                _ => {}
            }
        }
    }

    fn zrange(&mut self, mut out: Request) -> Request {
        let by = self.rng.random_range(0..3);
        let source = if by == 2 { self.word(&LEX_KEYS) } else { self.any_key() };
        out.push(source);
        let bounds = [INDEXES, BOUNDS, LEX_BOUNDS][by];
        out.extend([self.word(bounds), self.word(bounds)]);
        if by > 0 {
            out.push([b"BYSCORE".as_slice(), b"BYLEX"][by - 1].to_vec());
        }
        if self.chance(40) {
            out.push(b"REV".to_vec());
        }
        let stores = out[0] == b"ZRANGESTORE";
        self.range_options(&mut out, !stores || self.now.is_multiple_of(17));
        out
    }

    fn combine(&mut self, mut out: Request, is_diff: bool, is_store: bool) -> Request {
        let keys = self.keys(&mut out);
        for _ in 0..self.rng.random_range(0..3) {
            match self.rng.random_range(0..8) {
                0..3 if !is_diff || self.now.is_multiple_of(13) => {
                    out.push(b"WEIGHTS".to_vec());
                    for _ in 0..keys {
                        out.push(self.word(&["1", "2", "-1", "0.5", "0", "3", "2", "inf", "x"]));
                    }
                }
                3..6 if !is_diff || self.now.is_multiple_of(13) => {
                    out.push(b"AGGREGATE".to_vec());
                    out.push(self.word(&["SUM", "MIN", "MAX", "sum", "min", "max", "avg"]));
                }
                6 if !is_store || self.now.is_multiple_of(13) => out.push(b"WITHSCORES".to_vec()),
                7 if self.now.is_multiple_of(5) => {
                    out.push(self.word(&["WEIGHTS", "AGGREGATE", "LIMIT", "bad"]))
                }
                _ => {}
            }
        }
        out
    }

    fn next(&mut self) -> Request {
        self.now += 1;
        let mut out = self.command();
        // Now and then one argument too many or too few.
        // (ZRANK has options since 7.2.)
        if self.chance(1) && !out[0].ends_with(b"RANK") {
            out.push(self.member());
        } else if self.chance(1) && out.len() > 2 {
            out.pop();
        }
        out
    }

    fn command(&mut self) -> Request {
        let named = |name: &str| request(&[name]);
        match self.rng.random_range(0..110) {
            0..22 => {
                let key = self.key();
                self.zadd(key, false)
            }
            22..30 => {
                let key = self.word(&LEX_KEYS);
                self.zadd(key, true)
            }
            30..34 => vec![b"ZINCRBY".to_vec(), self.key(), self.score(), self.member()],
            34..38 => {
                let mut out = vec![b"ZREM".to_vec(), self.any_key()];
                (0..self.rng.random_range(1..4)).for_each(|_| out.push(self.member()));
                out
            }
            38 => vec![b"ZCARD".to_vec(), self.any_key()],
            39..43 => vec![b"ZSCORE".to_vec(), self.any_key(), self.member()],
            43..45 => vec![b"ZMSCORE".to_vec(), self.any_key(), self.member(), self.member()],
            45..48 => vec![b"ZRANK".to_vec(), self.any_key(), self.member()],
            48..50 => vec![b"ZREVRANK".to_vec(), self.any_key(), self.member()],
            50..58 => self.zrange(named("ZRANGE")),
            58..61 => {
                let target = self.key();
                self.zrange(vec![b"ZRANGESTORE".to_vec(), target])
            }
            61..64 => {
                let name = self.word(&["ZRANGEBYSCORE", "ZREVRANGEBYSCORE"]);
                let mut out = vec![name, self.any_key(), self.word(BOUNDS), self.word(BOUNDS)];
                self.range_options(&mut out, true);
                out
            }
            64..67 => {
                let name = self.word(&["ZRANGEBYLEX", "ZREVRANGEBYLEX"]);
                let mut out = vec![name, self.word(&LEX_KEYS), self.word(LEX_BOUNDS), self.word(LEX_BOUNDS)];
                self.range_options(&mut out, self.now.is_multiple_of(17));
                out
            }
            67..69 => {
                let mut out =
                    vec![b"ZREVRANGE".to_vec(), self.any_key(), self.word(INDEXES), self.word(INDEXES)];
                self.range_options(&mut out, true);
                out
            }
            69..71 => vec![b"ZCOUNT".to_vec(), self.any_key(), self.word(BOUNDS), self.word(BOUNDS)],
            71..73 => {
                vec![
                    b"ZLEXCOUNT".to_vec(),
                    self.word(&LEX_KEYS),
                    self.word(LEX_BOUNDS),
                    self.word(LEX_BOUNDS),
                ]
            }
            73 => vec![b"ZREMRANGEBYRANK".to_vec(), self.any_key(), self.word(INDEXES), self.word(INDEXES)],
            74 => vec![b"ZREMRANGEBYSCORE".to_vec(), self.key(), self.word(BOUNDS), self.word(BOUNDS)],
            75 => {
                let key = self.word(&LEX_KEYS);
                vec![b"ZREMRANGEBYLEX".to_vec(), key, self.word(LEX_BOUNDS), self.word(LEX_BOUNDS)]
            }
            76..79 => {
                let mut out = vec![self.word(&["ZPOPMIN", "ZPOPMAX"]), self.any_key()];
                if self.chance(50) {
                    out.push(self.word(COUNTS));
                }
                out
            }
            79..81 => {
                let mut out = named("ZMPOP");
                self.keys(&mut out);
                out.push(self.word(&["MIN", "MAX", "min", "bad"]));
                if self.chance(50) {
                    out.extend([b"COUNT".to_vec(), self.word(COUNTS)]);
                }
                out
            }
            81..84 => {
                let mut out = vec![b"ZRANDMEMBER".to_vec(), self.any_key()];
                if self.chance(70) {
                    out.push(self.word(&["0", "1", "3", "-1", "-7", "100", "x", "", "-9223372036854775808"]));
                    if self.chance(50) {
                        out.push(self.word(&["WITHSCORES", "withscores", "bad"]));
                    }
                }
                out
            }
            84..93 => {
                let name = self.word(&["ZUNION", "ZINTER", "ZDIFF"]);
                let is_diff = name == b"ZDIFF";
                self.combine(vec![name], is_diff, false)
            }
            93..99 => {
                let name = self.word(&["ZUNIONSTORE", "ZINTERSTORE", "ZDIFFSTORE"]);
                let is_diff = name == b"ZDIFFSTORE";
                let target = self.key();
                self.combine(vec![name, target], is_diff, true)
            }
            99..101 => {
                let mut out = named("ZINTERCARD");
                self.keys(&mut out);
                if self.chance(50) {
                    out.extend([b"LIMIT".to_vec(), self.word(COUNTS)]);
                }
                out
            }
            101..104 => {
                let cursor = if self.chance(90) { b"0".to_vec() } else { self.word(&["x", "", "-"]) };
                let mut out = vec![b"ZSCAN".to_vec(), self.any_key(), cursor];
                for _ in 0..self.rng.random_range(0..3) {
                    match self.rng.random_range(0..3) {
                        0 => out.extend([b"MATCH".to_vec(), self.word(&["*", "a*", "?", "[0-9]*", ""])]),
                        1 => out.extend([b"COUNT".to_vec(), self.word(&["1", "3", "1000", "0", "x"])]),
                        _ => out.push(self.word(&["COUNT", "TYPE", "bad"])),
                    }
                }
                out
            }
            104 => vec![b"DEL".to_vec(), self.any_key()],
            105 => vec![b"COPY".to_vec(), self.word(&KEYS), self.word(&KEYS), b"REPLACE".to_vec()],
            106 => vec![b"SET".to_vec(), b"string".to_vec(), b"x".to_vec()],
            107 => vec![b"SADD".to_vec(), self.word(&["set:1", "set:2"]), self.member(), self.member()],
            // (Sets have other forms since 7.2.)
            _ => vec![b"OBJECT".to_vec(), b"ENCODING".to_vec(), self.word(&KEYS)],
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
        let name = request[0].as_slice();
        if name == b"ZSCAN" && request.get(2).is_some_and(|cursor| cursor == b"0" || cursor.is_empty()) {
            let (ours, theirs) = (walk(&mut self.ours, request), walk(&mut self.theirs, request));
            return if ours == theirs { Ok(()) } else { Err(format!("ours: {ours:?}\ntheirs: {theirs:?}")) };
        }
        let (ours, theirs) = self.ask(request);
        let same = if name == b"ZRANDMEMBER" {
            picks_alike(&mut self.ours, request, &ours, &theirs)
        } else {
            same_values(&ours, &theirs)
        };
        if same { Ok(()) } else { Err(format!("ours: {}\ntheirs: {}", shown(&ours), shown(&theirs))) }
    }

    /// Everything there is, is the same.
    fn agree_on_contents(&mut self) -> Result<(), String> {
        self.agree(&request(&["DBSIZE"]))?;
        for key in KEYS.iter().chain(&LEX_KEYS) {
            for words in [
                &["ZRANGE", key, "0", "-1", "WITHSCORES"][..],
                &["ZRANGE", key, "0", "-1", "REV"],
                &["OBJECT", "ENCODING", key],
                &["DEBUG", "DIGEST-VALUE", key],
            ] {
                self.agree(&request(words)).map_err(|why| format!("{words:?}: {why}"))?;
            }
        }
        Ok(())
    }
}

/// The number that a part of a reply is, as far as it is one.
fn number(part: &[u8]) -> Option<f64> {
    std::str::from_utf8(part.strip_prefix(b",").unwrap_or(part)).ok()?.parse().ok()
}

/// Whether two replies differ at most in how they write doubles.
fn same_values(ours: &[u8], theirs: &[u8]) -> bool {
    if ours == theirs {
        return true;
    }
    let lines = |reply: &[u8]| -> Vec<Vec<u8>> {
        let lines = reply.split(|byte| *byte == b'\n');
        lines.filter(|line| !line.starts_with(b"$")).map(|line| line.trim_ascii_end().to_vec()).collect()
    };
    let (ours, theirs) = (lines(ours), lines(theirs));
    ours.len() == theirs.len()
        && ours
            .iter()
            .zip(&theirs)
            .all(|(ours, theirs)| ours == theirs || number(ours).is_some() && number(ours) == number(theirs))
}

/// A member and its score as they came.
type Named = (Vec<u8>, Vec<u8>);

/// Members with scores of a whole walk in order, or the error.
fn walk(client: &mut Client, request: &[Vec<u8>]) -> Result<Vec<Named>, Vec<u8>> {
    let mut request = request.to_vec();
    let mut seen = Vec::new();
    loop {
        let reply = client.ask(&request);
        let Some([cursor, found]) = elements(&reply).and_then(|parts| <[&[u8]; 2]>::try_from(parts).ok())
        else {
            return Err(reply);
        };
        let found = elements(found).expect("an array");
        let (pairs, odd) = found.as_chunks::<2>();
        assert!(odd.is_empty(), "members without scores");
        seen.extend(pairs.iter().map(|[member, score]| (member.to_vec(), canonical(score))));
        request[2] = content(cursor).to_vec();
        if request[2] == b"0" {
            seen.sort();
            seen.dedup();
            return Ok(seen);
        }
    }
}

/// The bytes of a bulk string.
fn content(bulk: &[u8]) -> &[u8] {
    let start = bulk.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    &bulk[start..bulk.len() - 2]
}

/// A double, however it was written. A negative zero is a zero: whether one survives depends on the form that a
/// set had on the way, and a stored range has fewer of them here.
fn canonical(bulk: &[u8]) -> Vec<u8> {
    number(content(bulk)).map_or(bulk.to_vec(), |score| (score + 0.0).to_string().into_bytes())
}

/// Whether both replies have the same shape and ours names only members of the set, none twice unless the count
/// is negative.
fn picks_alike(client: &mut Client, request: &[Vec<u8>], ours: &[u8], theirs: &[u8]) -> bool {
    let (Some(picked), Some(their_picked)) = (elements(ours), elements(theirs)) else {
        return ours == theirs || [ours, theirs].iter().all(|reply| reply.starts_with(b"$"));
    };
    if picked.len() != their_picked.len() {
        return false;
    }
    let with_scores = request.len() > 3;
    let all = client.ask(&[b"ZRANGE".as_slice(), &request[1], b"0", b"-1", b"WITHSCORES"]);
    let pairs = |reply: &[u8], paired: bool| -> Vec<Named> {
        let parts = elements(reply).expect("an array");
        if !paired {
            return parts.iter().map(|member| (member.to_vec(), Vec::new())).collect();
        }
        if parts.iter().all(|part| part.starts_with(b"*")) {
            let pairs = parts.iter().map(|pair| elements(pair).expect("a pair"));
            return pairs.map(|pair| (pair[0].to_vec(), pair[1].to_vec())).collect();
        }
        parts.chunks(2).map(|pair| (pair[0].to_vec(), pair[1].to_vec())).collect()
    };
    let mut picked = pairs(ours, with_scores);
    let all = pairs(&all, true);
    let known = picked.iter().all(|(member, score)| {
        all.iter().any(|(other, other_score)| other == member && (!with_scores || other_score == score))
    });
    let count = picked.len();
    picked.sort();
    picked.dedup();
    known && (request[2].starts_with(b"-") || picked.len() == count)
}

fn shown(bytes: &[u8]) -> String {
    let text = bytes[..bytes.len().min(600)].escape_ascii().to_string();
    if bytes.len() > 600 { format!("{text}… ({} bytes)", bytes.len()) } else { text }
}

fn line(request: &[Vec<u8>]) -> String {
    request.iter().map(|arg| format!("\"{}\"", shown(arg))).collect::<Vec<_>>().join(" ")
}

#[test]
fn random_commands_get_the_replies_of_redis() {
    let debug = ["--enable-debug-command", "yes"];
    let narrow = ["--zset-max-listpack-entries", "8", "--zset-max-listpack-value", "10"];
    let servers = [&debug[..], &[debug, [narrow[0], narrow[1]], [narrow[2], narrow[3]]].concat()]
        .map(|args| (Process::nuthatch(args), Process::redis(args)));
    let started = Instant::now();
    let mut commands = 0;
    for seed in 0.. {
        if started.elapsed() > TIME_LIMIT {
            break;
        }
        let (ours, theirs) = &servers[seed as usize / 2 % 2];
        let mut pair = Pair { ours: ours.connect(), theirs: theirs.connect() };
        let proto = if seed % 2 == 0 { "2" } else { "3" };
        pair.ask(&request(&["HELLO", proto]));
        pair.ask(&request(&["FLUSHALL"]));
        let mut generator = Generator { rng: StdRng::seed_from_u64(seed), now: 0 };
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

/// A large set, whose tree has several levels, under both servers.
#[test]
fn thousands_of_members() {
    let args = ["--enable-debug-command", "yes"];
    let (ours, theirs) = (Process::nuthatch(&args), Process::redis(&args));
    let mut pair = Pair { ours: ours.connect(), theirs: theirs.connect() };
    let mut rng = StdRng::seed_from_u64(7);
    let mut check = |words: &[String]| {
        let request: Request = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        pair.agree(&request).unwrap_or_else(|why| panic!("{words:?}: {why}"));
    };
    let words = |line: String| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    for round in 0..12_000 {
        let (member, score) = (rng.random_range(0..6_000), rng.random_range(0..2_000) / 2);
        check(&words(format!("ZADD z CH {score} member:{member}")));
        let (a, b) = (rng.random_range(0..1_000), rng.random_range(0..6_000));
        match round % 12 {
            0 => check(&words(format!("ZRANK z member:{b}"))),
            1 => check(&words(format!("ZREVRANK z member:{b}"))),
            2 => check(&words(format!("ZRANGE z {b} {} WITHSCORES", b + 10))),
            3 => check(&words(format!("ZRANGE z {b} {} REV", b + 10))),
            4 => check(&words(format!("ZRANGE z {a} +inf BYSCORE LIMIT {} 5 WITHSCORES", b / 100))),
            5 => check(&words(format!("ZRANGE z ({a} -inf BYSCORE REV LIMIT {} 5", b / 100))),
            6 => check(&words(format!("ZCOUNT z {a} ({}", a + 30))),
            7 => check(&words(format!("ZREM z member:{b} member:{a}"))),
            8 => check(&words(format!("ZPOPMIN z {}", b % 4))),
            9 => check(&words(format!("ZPOPMAX z {}", b % 4))),
            10 => check(&words(format!("ZINCRBY z {} member:{b}", a % 7))),
            _ => check(&words(format!("ZREMRANGEBYRANK z {b} {}", b + 20))),
        }
    }
    for line in [
        "ZUNIONSTORE u 2 z z WEIGHTS 1 2",
        "ZRANGE u 0 -1 WITHSCORES",
        "ZINTERSTORE i 2 u z AGGREGATE MAX",
        "ZRANGESTORE r z 100 900 BYSCORE",
        "ZDIFF 2 z r WITHSCORES",
        "ZREMRANGEBYSCORE z 300 700",
        "COPY u c",
        "DEBUG DIGEST-VALUE z u i r c",
        "DEL u",
    ] {
        check(&words(line.to_owned()));
    }
}

/// What is newer than the Redis that the other tests compare with, and what must be exact to the byte.
#[test]
fn replies_of_newer_versions() {
    let server = Process::nuthatch(&[]);
    let mut client = server.connect();
    let mut check = |line: &str, expected: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(String::from_utf8_lossy(&client.ask(&words)), expected, "{line}");
    };
    check("ZADD z 0.1 a 2 b inf c", ":3\r\n");
    check("ZRANK z b WITHSCORE", "*2\r\n:1\r\n$1\r\n2\r\n");
    check("ZREVRANK z a withscore", "*2\r\n:2\r\n$3\r\n0.1\r\n");
    check("ZRANK z x WITHSCORE", "*-1\r\n");
    check("ZRANK none x WITHSCORE", "*-1\r\n");
    check("ZRANK z x", "$-1\r\n");
    check("ZRANK z a SCORE", "-ERR syntax error\r\n");
    check("ZRANK z a WITHSCORE x", "-ERR wrong number of arguments for 'zrank' command\r\n");
    check("ZINCRBY z 0.2 a", "$19\r\n0.30000000000000004\r\n");
    check("ZADD z 100000000000000000 d 1e21 e", ":2\r\n");
    check("ZSCORE z d", "$18\r\n100000000000000000\r\n");
    check("ZSCORE z e", "$5\r\n1e+21\r\n");
    check("ZSCAN z 0 MATCH a", "*2\r\n$1\r\n0\r\n*2\r\n$1\r\na\r\n$19\r\n0.30000000000000004\r\n");
    check("ZINCRBY z -inf c", "-ERR resulting score is not a number (NaN)\r\n");
    client.ask(&["HELLO", "3"]);
    let mut check = |line: &str, expected: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(String::from_utf8_lossy(&client.ask(&words)), expected, "{line}");
    };
    check("ZRANK z b WITHSCORE", "*2\r\n:1\r\n,2\r\n");
    check("ZRANK z x WITHSCORE", "_\r\n");
    check("ZSCORE z c", ",inf\r\n");
    check("ZPOPMIN z", "*2\r\n$1\r\na\r\n,0.30000000000000004\r\n");
    check("ZPOPMIN z 1", "*1\r\n*2\r\n$1\r\nb\r\n,2\r\n");
    check("ZMPOP 2 none z MAX", "*2\r\n$1\r\nz\r\n*1\r\n*2\r\n$1\r\nc\r\n,inf\r\n");
}
