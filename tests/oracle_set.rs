//! Redis is the judge of the commands on sets: random sequences, with all options and with bad arguments, get the
//! same replies from this server and from Debian's Redis.
//!
//! Members come in any order, so replies that are sets are compared sorted. What is picked at random is checked
//! against what the set has in Redis, and taken out of it there too. The forms of sets (OBJECT ENCODING) are those
//! of Redis 7.2, which the Redis at hand (7.0) does not have yet: a test of its own spells them out.

mod common;

use common::{Client, Process, elements, text};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// All runs together take about this long.
const TIME_LIMIT: Duration = Duration::from_secs(12);
/// Commands of one run, which begins with an empty database.
const RUN_COMMANDS: usize = 2000;
/// How many of the last commands a failure shows.
const SHOWN_COMMANDS: usize = 25;

type Request = Vec<Vec<u8>>;

const KEYS: [&str; 6] = ["a", "b", "c", "large", "integers", "string"];

const COUNTS: &[&str] = &[
    "0",
    "1",
    "2",
    "3",
    "10",
    "100",
    "600",
    "-1",
    "-5",
    "-200",
    "x",
    "",
    "1.5",
    "-9223372036854775808",
    "9223372036854775808",
];

const MEMBERS: &[&str] = &[
    "",
    "0",
    "-1",
    "007",
    "+5",
    "1.5",
    "32767",
    "32768",
    "-32769",
    "2147483648",
    "-2147483649",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "hello",
    "two words",
    "line\r\nbreak",
    "nul\0nul",
];

struct Generator(StdRng);

impl Generator {
    fn one_of(&mut self, words: &[&str]) -> Vec<u8> {
        words.choose(&mut self.0).expect("words").as_bytes().to_vec()
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.0.random_range(0..100) < percent
    }

    fn key(&mut self) -> Vec<u8> {
        self.one_of(&KEYS)
    }

    fn member(&mut self) -> Vec<u8> {
        match self.0.random_range(0..20) {
            0..5 => self.one_of(MEMBERS),
            5..12 => self.0.random_range(-50..700).to_string().into_bytes(),
            12..18 => format!("member:{}", self.0.random_range(0..500)).into_bytes(),
            18 => vec![b'x'; self.0.random_range(0..200)],
            _ => (0..self.0.random_range(0..30)).map(|_| self.0.random()).collect(),
        }
    }

    fn members(&mut self) -> Vec<Vec<u8>> {
        let count = match self.0.random_range(0..20) {
            0 => 600,
            1 | 2 => 130,
            3..6 => 20,
            _ => self.0.random_range(1..4),
        };
        (0..count).map(|_| self.member()).collect()
    }

    fn with(name: &str, args: impl IntoIterator<Item = Vec<u8>>) -> Request {
        std::iter::once(name.as_bytes().to_vec()).chain(args).collect()
    }

    fn with_keys(&mut self, name: &str) -> Request {
        let count = self.0.random_range(1..5);
        Self::with(name, (0..count).map(|_| self.key()))
    }

    fn next(&mut self) -> Request {
        let mut request = self.command();
        if self.chance(1) {
            request.push(self.member());
        } else if self.chance(1) && request.len() > 1 {
            request.pop();
        }
        if self.chance(10) {
            request[0].make_ascii_lowercase();
        }
        request
    }

    fn command(&mut self) -> Request {
        let key = self.key();
        match self.0.random_range(0..100) {
            0..24 => {
                let mut members = self.members();
                match key.as_slice() {
                    // Nothing but integers, for a while.
                    b"integers" if self.chance(98) => members
                        .iter_mut()
                        .for_each(|member| *member = self.0.random_range(-300..300).to_string().into_bytes()),
                    b"large" => {
                        let from = self.0.random_range(0..2000);
                        members.extend((from..from + 500).map(|n| format!("large:{n}").into_bytes()));
                    }
                    _ => {}
                }
                Self::with("SADD", std::iter::once(key).chain(members))
            }
            24..34 => Self::with("SREM", std::iter::once(key).chain(self.members())),
            34..38 => Self::with("SISMEMBER", [key, self.member()]),
            38..41 => Self::with("SMISMEMBER", std::iter::once(key).chain(self.members())),
            41..44 => Self::with("SMEMBERS", [key]),
            44..48 => Self::with("SCARD", [key]),
            48..54 => Self::with("SMOVE", [key, self.key(), self.member()]),
            54..57 => self.with_keys("SINTER"),
            57..60 => self.with_keys("SUNION"),
            60..64 => self.with_keys("SDIFF"),
            64..67 => {
                let name = ["SINTERSTORE", "SUNIONSTORE", "SDIFFSTORE"][self.0.random_range(0..3)];
                self.with_keys(name)
            }
            67..72 => self.intersection_size(),
            72..80 => {
                let mut request = Self::with("SPOP", [key]);
                if self.chance(50) {
                    request.push(self.one_of(COUNTS));
                }
                request
            }
            80..88 => {
                let mut request = Self::with("SRANDMEMBER", [key]);
                if self.chance(70) {
                    request.push(self.one_of(COUNTS));
                }
                request
            }
            88..93 => self.scan(key),
            93 => Self::with("DEL", [key]),
            94 => Self::with("SET", [b"string".to_vec(), b"x".to_vec()]),
            95 => Self::with("COPY", [key, self.key(), b"REPLACE".to_vec()]),
            96 => Self::with("RENAME", [key, self.key()]),
            97 => Self::with("TYPE", [key]),
            98 => Self::with("EXPIRE", [key, b"1000".to_vec()]),
            _ => Self::with("TTL", [key]),
        }
    }

    fn intersection_size(&mut self) -> Request {
        let mut keys = self.with_keys("");
        keys.remove(0);
        let count = keys.len().to_string().into_bytes();
        let mut request = Self::with("SINTERCARD", std::iter::once(count).chain(keys));
        if self.chance(10) {
            request[1] = self.one_of(COUNTS);
        }
        for _ in 0..self.0.random_range(0..2) {
            match self.0.random_range(0..10) {
                0 => request.push(self.one_of(&["LIMIT", "BAD", ""])),
                _ => request.extend([b"LIMIT".to_vec(), self.one_of(COUNTS)]),
            }
        }
        request
    }

    fn scan(&mut self, key: Vec<u8>) -> Request {
        let cursor = if self.chance(90) {
            b"0".to_vec()
        } else {
            self.one_of(&["x", "", "-", "99999999999999999999"])
        };
        let mut request = Self::with("SSCAN", [key, cursor]);
        for _ in 0..self.0.random_range(0..3) {
            match self.0.random_range(0..6) {
                0 | 1 => request.extend([b"MATCH".to_vec(), self.one_of(&["*", "*1*", "member:?", "[0-5]"])]),
                2 | 3 => {
                    request.extend([b"COUNT".to_vec(), self.one_of(&["1", "7", "1000", "0", "-1", "x"])])
                }
                4 => request.extend([b"TYPE".to_vec(), b"set".to_vec()]),
                _ => request.push(self.one_of(&["COUNT", "MATCH", "bad"])),
            }
        }
        request
    }
}

/// The elements of an array or set; `None` for any other reply.
fn parts(reply: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut reply = reply.to_vec();
    if reply[0] == b'~' {
        reply[0] = b'*';
    }
    elements(&reply).map(|parts| parts.into_iter().map(<[u8]>::to_vec).collect())
}

/// The reply with the elements of an array or set in order.
fn sorted(reply: &[u8]) -> (u8, Vec<Vec<u8>>) {
    let mut parts = parts(reply).unwrap_or_else(|| vec![reply.to_vec()]);
    parts.sort();
    (reply[0], parts)
}

/// The bytes of a bulk string.
fn body(bulk: &[u8]) -> Vec<u8> {
    let start = bulk.iter().position(|byte| *byte == b'\n').expect("a bulk string") + 1;
    bulk[start..bulk.len() - 2].to_vec()
}

fn is_aggregate(reply: &[u8]) -> bool {
    matches!(reply[0], b'*' | b'~')
}

fn request(words: &[&str]) -> Request {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
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

    /// The members that a set has in Redis, as bulk strings.
    fn members(&mut self, key: &[u8]) -> BTreeSet<Vec<u8>> {
        let reply = self.theirs.ask(&[b"SMEMBERS", key]);
        parts(&reply).map(|parts| parts.into_iter().collect()).unwrap_or_default()
    }

    fn agree(&mut self, request: &[Vec<u8>]) -> Result<(), String> {
        let name = String::from_utf8_lossy(&request[0]).to_ascii_uppercase();
        match name.as_str() {
            "SPOP" | "SRANDMEMBER" if request.len() > 1 => return self.agree_on_picks(&name, request),
            "SSCAN" if request.get(2).is_some_and(|cursor| cursor == b"0") => {
                return self.agree_on_walk(request);
            }
            _ => {}
        }
        let (ours, theirs) = self.ask(request);
        let same = match name.as_str() {
            "SMEMBERS" | "SINTER" | "SUNION" | "SDIFF" => sorted(&ours) == sorted(&theirs),
            // Only a cursor of 0 means anything to both.
            "SSCAN" => {
                is_aggregate(&ours) == is_aggregate(&theirs) && (is_aggregate(&ours) || ours == theirs)
            }
            "TTL" => ours[..3] == theirs[..3],
            _ => ours == theirs,
        };
        if same { Ok(()) } else { Err(difference(&ours, &theirs)) }
    }

    /// What we pick, the set has in Redis; what we take out is taken out there. A reply that picks nothing is
    /// the same.
    fn agree_on_picks(&mut self, name: &str, request: &[Vec<u8>]) -> Result<(), String> {
        let members = self.members(&request[1]);
        let ours = self.ours.ask(request);
        let picked: Vec<Vec<u8>> = match parts(&ours) {
            Some(parts) => parts,
            None if ours[0] == b'$' && ours != b"$-1\r\n" => vec![ours.clone()],
            None => Vec::new(),
        };
        if picked.is_empty() || name == "SRANDMEMBER" {
            let theirs = self.theirs.ask(request);
            let count = |reply: &[u8]| reply.split(|byte| *byte == b'\n').next().map(<[u8]>::to_vec);
            let same =
                if is_aggregate(&ours) { count(&ours) == count(&theirs) } else { ours[0] == theirs[0] };
            if !same || ours[0] == b'-' && ours != theirs {
                return Err(difference(&ours, &theirs));
            }
        }
        if !picked.iter().all(|member| members.contains(member)) {
            return Err(format!("no members: {}", shown(&ours)));
        }
        let count = request.get(2).and_then(|count| std::str::from_utf8(count).ok()?.parse::<i64>().ok());
        if !picked.is_empty() && count.unwrap_or(1) > 0 {
            let distinct: BTreeSet<&Vec<u8>> = picked.iter().collect();
            let expected = members.len().min(count.unwrap_or(1) as usize);
            if (distinct.len(), picked.len()) != (expected, expected) {
                return Err(format!("{} picked of {}", picked.len(), members.len()));
            }
        }
        if name == "SPOP" && !picked.is_empty() {
            let removal = [b"SREM".to_vec(), request[1].clone()];
            self.theirs
                .ask(&removal.into_iter().chain(picked.iter().map(|bulk| body(bulk))).collect::<Vec<_>>());
        }
        Ok(())
    }

    /// A whole walk returns the same members.
    fn agree_on_walk(&mut self, request: &[Vec<u8>]) -> Result<(), String> {
        let (ours, theirs) = (walk(&mut self.ours, request), walk(&mut self.theirs, request));
        if ours == theirs { Ok(()) } else { Err(format!("ours: {ours:?}\ntheirs: {theirs:?}")) }
    }
}

fn walk(client: &mut Client, request: &[Vec<u8>]) -> Result<BTreeSet<Vec<u8>>, Vec<u8>> {
    let mut request = request.to_vec();
    let mut seen = BTreeSet::new();
    loop {
        let reply = client.ask(&request);
        let Some([cursor, found]) = parts(&reply).and_then(|parts| <[Vec<u8>; 2]>::try_from(parts).ok())
        else {
            return Err(reply);
        };
        seen.extend(parts(&found).expect("an array"));
        request[2] = body(&cursor);
        if request[2] == b"0" {
            return Ok(seen);
        }
    }
}

fn shown(bytes: &[u8]) -> String {
    let text = bytes[..bytes.len().min(300)].escape_ascii().to_string();
    if bytes.len() > 300 { format!("{text}… ({} bytes)", bytes.len()) } else { text }
}

fn difference(ours: &[u8], theirs: &[u8]) -> String {
    format!("ours: {}\ntheirs: {}", shown(ours), shown(theirs))
}

fn line(request: &[Vec<u8>]) -> String {
    let shown: Vec<String> = request.iter().take(8).map(|arg| format!("\"{}\"", shown(arg))).collect();
    if request.len() > 8 {
        format!("{} … ({} arguments)", shown.join(" "), request.len())
    } else {
        shown.join(" ")
    }
}

#[test]
fn random_commands_get_the_replies_of_redis() {
    let debug = ["--enable-debug-command", "yes"];
    let (ours, theirs) = (Process::nuthatch(&debug), Process::redis(&debug));
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
        // Small limits make sets change their form more often.
        let limit = ["0", "3", "128"][seed as usize % 3];
        pair.ours.ask(&request(&["CONFIG", "SET", "set-max-listpack-entries", limit]));
        let integers = ["512", "0", "5"][seed as usize / 3 % 3];
        pair.ask(&request(&["CONFIG", "SET", "set-max-intset-entries", integers]));
        let mut generator = Generator(StdRng::seed_from_u64(seed));
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
        for key in KEYS {
            for words in [&["SMEMBERS", key][..], &["SCARD", key], &["DEBUG", "DIGEST-VALUE", key]] {
                pair.agree(&request(words)).unwrap_or_else(|why| panic!("seed {seed}, {words:?}: {why}"));
            }
        }
    }
    println!("{commands} commands");
    assert!(commands >= RUN_COMMANDS, "not even one run was completed");
}

/// A server whose replies are compared with texts.
struct Told(Client);

impl Told {
    #[track_caller]
    fn says(&mut self, words: &str, expected: &str) {
        let request: Vec<&str> = words.split(' ').collect();
        assert_eq!(self.0.ask(&request).escape_ascii().to_string(), expected, "{words}");
    }

    #[track_caller]
    fn has_form(&mut self, key: &str, form: &str) {
        assert_eq!(text(&self.0.ask(&["OBJECT", "ENCODING", key])), form, "{key}");
    }

    fn add(&mut self, key: &str, members: impl IntoIterator<Item = String>) {
        let words: Vec<String> = ["SADD".into(), key.into()].into_iter().chain(members).collect();
        self.0.ask(&words);
    }
}

fn integers(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|n| n.to_string())
}

fn words(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|n| format!("word{n}"))
}

/// Checked against Redis 8.2.3, by hand.
#[test]
fn forms_are_those_of_redis_7_2() {
    let server = match std::env::var("NUTHATCH_TEST_PORT") {
        Ok(port) => (None, port.parse().expect("a port")),
        Err(_) => {
            let process = Process::nuthatch(&[]);
            let port = process.port;
            (Some(process), port)
        }
    };
    let stream = std::net::TcpStream::connect(("127.0.0.1", server.1)).expect("a connection");
    let mut told = Told(Client::over(stream));
    told.says("FLUSHALL", "+OK\\r\\n");
    // From their beginning.
    told.add("ints", integers(512));
    told.has_form("ints", "intset");
    told.add("many-ints", integers(513));
    told.has_form("many-ints", "hashtable");
    told.add("words", words(128));
    told.has_form("words", "listpack");
    told.add("many-words", words(129));
    told.has_form("many-words", "hashtable");
    told.add("long", ["x".repeat(64)]);
    told.has_form("long", "listpack");
    told.add("longer", ["x".repeat(65)]);
    told.has_form("longer", "hashtable");
    told.add("mixed", ["1".into(), "a".into(), "2".into()]);
    told.has_form("mixed", "listpack");
    // Growing.
    told.add("ints", ["512".into()]);
    told.has_form("ints", "hashtable");
    told.add("words", ["1".into()]);
    told.has_form("words", "hashtable");
    told.add("128", integers(127));
    told.add("128", ["a".into()]);
    told.has_form("128", "listpack");
    told.add("129", integers(128));
    told.add("129", ["a".into()]);
    told.has_form("129", "hashtable");
    told.add("long", ["y".repeat(65)]);
    told.has_form("long", "hashtable");
    // Many at once, even if they are there.
    told.add("again", words(5));
    told.add("again", (0..129).map(|_| "word0".into()));
    told.has_form("again", "hashtable");
    // Never back.
    told.0.ask(
        &std::iter::once("SREM".to_owned())
            .chain(["many-words".into()])
            .chain(words(128))
            .collect::<Vec<_>>(),
    );
    told.has_form("many-words", "hashtable");
    // Stored as a whole.
    told.says("SINTERSTORE to many-ints many-ints", ":513\\r\\n");
    told.has_form("to", "hashtable");
    told.says("SINTERSTORE to many-words words", ":0\\r\\n");
    told.says("SREM many-ints 0", ":1\\r\\n");
    told.has_form("many-ints", "hashtable");
    told.says("SINTERSTORE to many-ints many-ints", ":512\\r\\n");
    told.has_form("to", "intset");
    told.says("SUNIONSTORE to mixed", ":3\\r\\n");
    told.has_form("to", "listpack");
    told.says("SUNIONSTORE to many-ints mixed", ":513\\r\\n");
    told.has_form("to", "hashtable");
    told.says("SDIFFSTORE to mixed 128", ":0\\r\\n");
    told.says("EXISTS to", ":0\\r\\n");
    told.add("few", ["5".into(), "7".into()]);
    told.says("SDIFFSTORE to mixed few", ":3\\r\\n");
    told.has_form("to", "listpack");
    told.says("SDIFFSTORE to few mixed", ":2\\r\\n");
    told.has_form("to", "intset");
    // What is left of many may be few again.
    told.add("popped", words(200));
    told.0.ask(&["SPOP", "popped", "190"]);
    told.has_form("popped", "listpack");
    told.add("popped", words(200));
    told.has_form("popped", "hashtable");
    told.0.ask(&["SPOP", "popped", "100"]);
    told.has_form("popped", "hashtable");
    told.says("SCARD popped", ":100\\r\\n");
    drop(server);
}

#[test]
fn replies_of_resp3_and_errors() {
    let server = Process::nuthatch(&[]);
    let mut told = Told(server.connect());
    told.0.ask(&["HELLO", "3"]);
    told.says("SADD s 2 1", ":2\\r\\n");
    told.says("SMEMBERS s", "~2\\r\\n$1\\r\\n1\\r\\n$1\\r\\n2\\r\\n");
    told.says("SINTER s none", "~0\\r\\n");
    told.says("SDIFF s", "~2\\r\\n$1\\r\\n1\\r\\n$1\\r\\n2\\r\\n");
    told.says("SRANDMEMBER s 0", "*0\\r\\n");
    told.says("SRANDMEMBER none", "_\\r\\n");
    told.says("SPOP none", "_\\r\\n");
    told.says("SPOP none 1", "~0\\r\\n");
    told.says("SSCAN s 0 NOVALUES", "-ERR NOVALUES option can only be used in HSCAN\\r\\n");
    told.says("SPOP s -1", "-ERR value is out of range, must be positive\\r\\n");
    told.says("SPOP s x", "-ERR value is out of range, must be positive\\r\\n");
    told.says("SPOP s 1 2", "-ERR syntax error\\r\\n");
    told.says("SRANDMEMBER s x", "-ERR value is not an integer or out of range\\r\\n");
    told.says(
        "SRANDMEMBER s -9223372036854775808",
        "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807\\r\\n",
    );
    told.says("SPOP s 5", "~2\\r\\n$1\\r\\n1\\r\\n$1\\r\\n2\\r\\n");
    told.says("EXISTS s", ":0\\r\\n");
    told.says("SINTERCARD 0 s", "-ERR numkeys should be greater than 0\\r\\n");
    told.says("SINTERCARD 2 s", "-ERR Number of keys can\\'t be greater than number of args\\r\\n");
    told.says("SINTERCARD 1 s LIMIT -1", "-ERR LIMIT can\\'t be negative\\r\\n");
    told.says("SINTERCARD 1 s LIMIT", "-ERR syntax error\\r\\n");
    told.says("SSCAN none 0 BAD", "*2\\r\\n$1\\r\\n0\\r\\n*0\\r\\n");
    told.says("SSCAN none x", "-ERR invalid cursor\\r\\n");
    told.says("SET string x", "+OK\\r\\n");
    for words in [
        "SADD string a",
        "SREM string a",
        "SISMEMBER string a",
        "SMISMEMBER string a",
        "SMEMBERS string",
        "SCARD string",
        "SPOP string",
        "SPOP string 0",
        "SRANDMEMBER string",
        "SRANDMEMBER string 0",
        "SINTER none string",
        "SINTERCARD 2 none string",
        "SUNIONSTORE to none string",
        "SDIFF none string",
        "SSCAN string 0 BAD",
    ] {
        told.says(words, "-WRONGTYPE Operation against a key holding the wrong kind of value\\r\\n");
    }
    told.says("SMOVE none string a", ":0\\r\\n");
    told.says("SADD s a", ":1\\r\\n");
    told.says("SMOVE s string b", "-WRONGTYPE Operation against a key holding the wrong kind of value\\r\\n");
    told.says("SUNIONSTORE string s", ":1\\r\\n");
    told.says("TYPE string", "+set\\r\\n");
}

/// Each member of a small set is picked about as often, in every form and with every way to ask.
#[test]
fn picks_are_uniform() {
    const ROUNDS: usize = 4000;
    let server = Process::nuthatch(&["--set-max-listpack-entries", "20"]);
    let mut client = server.connect();
    let mut told = Told(server.connect());
    told.add("intset", integers(10));
    told.add("listpack", words(10));
    told.add("hashtable", words(30));
    for key in ["intset", "listpack", "hashtable"] {
        told.has_form(key, key);
        for count in ["", "3", "8", "-4"] {
            let mut seen: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
            let mut picked = 0;
            for _ in 0..ROUNDS {
                let request: Vec<&str> =
                    ["SRANDMEMBER", key, count].into_iter().filter(|word| !word.is_empty()).collect();
                let reply = client.ask(&request);
                for member in parts(&reply).unwrap_or_else(|| vec![reply]) {
                    *seen.entry(member).or_default() += 1;
                    picked += 1;
                }
            }
            let members = if key == "hashtable" { 30 } else { 10 };
            let expected = picked as f64 / members as f64;
            // Six standard deviations of a count that is nearly Poisson's.
            let tolerance = 6.0 * expected.sqrt();
            assert_eq!(seen.len(), members, "{key} {count}");
            for (member, times) in seen {
                assert!(
                    (times as f64 - expected).abs() < tolerance,
                    "{key} {count}: {times} of {expected}, {}",
                    member.escape_ascii()
                );
            }
        }
    }
}
