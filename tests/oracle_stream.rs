//! Redis is the judge of streams: random sequences of all commands on them, with all their options and with bad
//! arguments, get the same replies from this server and from the `redis-server` on the path.
//!
//! What cannot be the same is made so before the comparison: times, and fields that a later version than the
//! Redis at hand has added. IDs by the clock are only asked of a stream that is far ahead of all clocks. With a
//! Redis of 8.2 or later, its options on references are tested as well, and `lag` and `entries-read`, which
//! it reckons otherwise than 7.2, are left out.

mod common;

use common::{Client, Process, frame_len, text};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::time::{Duration, Instant};

/// All runs together take about this long.
const TIME_LIMIT: Duration = Duration::from_secs(15);
/// Commands of one run, which begins with an empty database.
const RUN_COMMANDS: usize = 1500;
/// How many of the last commands a failure shows.
const SHOWN_COMMANDS: usize = 60;

type Request = Vec<Vec<u8>>;

/// `far` is ahead of all clocks; `str` is no stream.
const KEYS: &[&str] = &["s", "t", "u", "far", "s", "t", "str", "none"];
const GROUPS: &[&str] = &["g", "h", "g", "nosuch"];
const CONSUMERS: &[&str] = &["alice", "bob", "carol", ""];
const FIELDS: &[&str] = &["a", "b", "name", "12", "-5", ""];
const VALUES: &[&str] =
    &["1", "x", "value", "-4097", "70000", "9223372036854775807", "007", "a longer value", ""];
const BAD_IDS: &[&str] =
    &["", "-", "+", "*", "x", "1-x", "1-2-3", "-1", "1-", "18446744073709551616", "5-*", "$", ">"];
const COUNTS: &[&str] = &["0", "1", "2", "3", "10", "-1", "-5", "x", "", "9223372036854775807"];

struct Generator {
    rng: StdRng,
    /// Whether Redis knows the commands of 8.2.
    has_references: bool,
    /// Whether Redis creates a consumer that gets nothing, as it does since 7.2.
    creates_consumers: bool,
    /// Unix time of additions, which only grows.
    clock: u64,
    /// What comes next, without choice.
    queue: Vec<Request>,
}

impl Generator {
    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    fn pick(&mut self, words: &[&str]) -> String {
        (*words.choose(&mut self.rng).expect("words")).to_owned()
    }

    fn below(&mut self, n: u64) -> u64 {
        self.rng.random_range(0..n)
    }

    /// An ID that there may be.
    fn id(&mut self) -> String {
        if self.chance(2) {
            return self.pick(BAD_IDS);
        }
        let ms = self.clock.saturating_sub(self.rng.random_range(0..20));
        match self.below(10) {
            0 => ms.to_string(),
            1 => "0".into(),
            2 => format!("99999999999999-{}", self.below(60)),
            _ => format!("{ms}-{}", self.below(3)),
        }
    }

    fn ids(&mut self, out: &mut Vec<String>) {
        for _ in 0..=self.below(4) {
            let id = self.id();
            out.push(id);
        }
    }

    /// The end of a range.
    fn end(&mut self, edge: &str) -> String {
        match self.below(6) {
            0 | 1 => edge.into(),
            2 => format!("({}", self.id()),
            3 => {
                self.pick(&["-", "+", "(-", "(+", "(", "(0-0", "(18446744073709551615-18446744073709551615"])
            }
            _ => self.id(),
        }
    }

    fn count(&mut self, out: &mut Vec<String>) {
        if self.chance(40) {
            out.push("COUNT".into());
            let count = if self.chance(85) { self.below(6).to_string() } else { self.pick(COUNTS) };
            out.push(count);
        }
    }

    fn references(&mut self, out: &mut Vec<String>) {
        if self.has_references && self.chance(40) {
            let option = self.pick(&["KEEPREF", "DELREF", "ACKED", "acked", "delref"]);
            out.push(option);
        }
    }

    fn trim(&mut self, out: &mut Vec<String>) {
        // ACKED is left to tests with a known outcome: Redis 8.2 stops at other blocks.
        if self.has_references && self.chance(20) {
            out.push(self.pick(&["KEEPREF", "DELREF"]));
        }
        let by_id = self.chance(50);
        out.push(if by_id { "MINID" } else { "MAXLEN" }.into());
        // Redis before 8.4.1 does not trim at all if it shall do so approximately and mind references.
        let has_references =
            ["KEEPREF", "DELREF", "ACKED", "acked", "delref"].contains(&out[out.len() - 2].as_str());
        let approximate = !has_references && self.chance(40);
        if approximate {
            out.push("~".into());
        } else if self.chance(40) {
            out.push("=".into());
        }
        let threshold = match (self.chance(3), by_id) {
            (true, _) => self.pick(&["x", "-1", "~", ""]),
            (_, true) => self.id(),
            _ => self.below(12).to_string(),
        };
        out.push(threshold);
        if self.chance(if approximate { 40 } else { 3 }) {
            out.push("LIMIT".into());
            let limit = if self.chance(90) { self.below(12).to_string() } else { self.pick(COUNTS) };
            out.push(limit);
        }
        if self.chance(2) {
            out.push(self.pick(&["MAXLEN", "MINID", "LIMIT", "bad"]));
        }
    }

    fn add(&mut self) -> Vec<String> {
        let key = self.pick(&["s", "s", "t", "t", "u", "far", "str"]);
        let mut out = vec!["XADD".into(), key.clone()];
        if self.chance(10) {
            out.push("NOMKSTREAM".into());
        }
        if self.chance(20) {
            self.trim(&mut out);
        }
        let id = if key == "far" {
            "*".into()
        } else if self.chance(85) {
            self.clock += self.below(3);
            let (ms, seq) = (self.clock, self.below(3));
            if self.chance(20) { format!("{ms}-*") } else { format!("{ms}-{seq}") }
        } else if self.chance(90) {
            self.id()
        } else {
            self.pick(&["0-0", "0", "0-*", "+", "-", "x", "1-*-", "18446744073709551615-*"])
        };
        // A stream that is at the end of all IDs takes no more.
        out.push(if id == "*" && key != "far" { "1-1".into() } else { id });
        let fields: Vec<String> = if self.chance(60) {
            vec!["name".into(), "a".into()]
        } else {
            (0..=self.below(3)).map(|_| self.pick(FIELDS)).collect()
        };
        for field in fields {
            out.push(field);
            let value = if self.chance(10) { "v".repeat(self.below(90) as usize) } else { self.pick(VALUES) };
            out.push(value);
        }
        if self.chance(1) {
            out.pop();
        }
        out
    }

    fn read(&mut self) -> Vec<String> {
        let of_group = self.chance(70);
        let mut out: Vec<String> = vec![if of_group { "XREADGROUP" } else { "XREAD" }.into()];
        if of_group == self.chance(98) {
            out.extend(["GROUP".into(), self.pick(&["g", "h", "g", "g"]), self.pick(CONSUMERS)]);
        }
        self.count(&mut out);
        if self.chance(if of_group { 20 } else { 1 }) {
            out.push("NOACK".into());
        }
        if self.chance(2) {
            out.push(self.pick(&["BLOCK", "COUNT", "bad", "GROUP"]));
        }
        if self.chance(99) {
            out.push("STREAMS".into());
        }
        let keys = if self.chance(70) || !self.creates_consumers { 1 } else { 2 };
        for _ in 0..keys {
            let keys = if self.chance(90) { &["s", "t", "u", "far"] } else { KEYS };
            let key = self.pick(keys);
            out.push(key);
        }
        for _ in 0..keys {
            let id = match (self.chance(75), of_group) {
                (true, true) => ">".into(),
                (true, false) => "$".into(),
                _ => self.id(),
            };
            // Debian's Redis does not know the ID of the top entry.
            let is_new = id == "+" || id == "$" && self.chance(70);
            out.push(if is_new { "0".into() } else { id });
        }
        if self.chance(1) {
            out.push("1".into());
        }
        out
    }

    fn group(&mut self) -> Vec<String> {
        let (key, group) = (self.pick(KEYS), self.pick(GROUPS));
        let mut out: Vec<String> = vec!["XGROUP".into()];
        let id = |this: &mut Generator| match this.below(5) {
            0 => "$".to_owned(),
            1 => this.pick(&["-", "+", "0"]),
            _ => this.id(),
        };
        match self.below(20) {
            0..9 => {
                out.extend(["CREATE".into(), key, self.pick(&["g", "h"]), id(self)]);
                if self.chance(20) {
                    out.push("MKSTREAM".into());
                }
                self.entries_read(&mut out);
            }
            9..13 => {
                out.extend(["SETID".into(), key, group, id(self)]);
                self.entries_read(&mut out);
            }
            // Redis 8.2 goes on to mind what a group had not read that is gone.
            13..15 if !self.has_references => out.extend(["DESTROY".into(), key, group]),
            13..17 => out.extend(["CREATECONSUMER".into(), key, group, self.pick(CONSUMERS)]),
            17..19 => out.extend(["DELCONSUMER".into(), key, group, self.pick(CONSUMERS)]),
            _ => out.extend([self.pick(&["bad", "CREATE", "SETID", "DESTROY"]), key, group]),
        }
        if self.chance(2) {
            out.push("extra".into());
        }
        out
    }

    fn entries_read(&mut self, out: &mut Vec<String>) {
        if self.chance(20) {
            let count = if self.chance(80) { self.below(20).to_string() } else { self.pick(COUNTS) };
            out.extend(["ENTRIESREAD".into(), count]);
        }
    }

    fn idle(&mut self) -> String {
        if self.chance(95) { self.pick(&["0", "0", "0", "100000000", "-1"]) } else { self.pick(&["x", ""]) }
    }

    fn claim(&mut self) -> Vec<String> {
        let (key, group, consumer) = (self.pick(KEYS), self.pick(GROUPS), self.pick(CONSUMERS));
        if self.chance(40) {
            let mut out = vec!["XAUTOCLAIM".into(), key, group, consumer, self.idle(), self.end("-")];
            self.count(&mut out);
            if self.chance(30) {
                out.push("JUSTID".into());
            }
            if self.chance(2) {
                out.push(self.pick(&["COUNT", "bad"]));
            }
            return out;
        }
        let mut out = vec!["XCLAIM".into(), key, group, consumer, self.idle()];
        self.ids(&mut out);
        for _ in 0..self.below(3) {
            match self.below(14) {
                0 | 1 => out.push("JUSTID".into()),
                2..5 => out.push("FORCE".into()),
                5..7 => out.extend(["IDLE".into(), self.pick(&["0", "500000000", "x", "-1"])]),
                7 => out.extend(["TIME".into(), self.pick(&["1000", "-1", "99999999999999", "x"])]),
                8 | 9 => out.extend(["RETRYCOUNT".into(), self.pick(&["0", "7", "-1", "x"])]),
                10..13 => out.extend(["LASTID".into(), self.id()]),
                _ => out.push(self.pick(&["bad", "IDLE", "TIME", "LASTID"])),
            }
        }
        out
    }

    fn pending(&mut self) -> Vec<String> {
        let mut out = vec!["XPENDING".into(), self.pick(KEYS), self.pick(GROUPS)];
        if self.chance(60) {
            if self.chance(30) {
                out.extend(["IDLE".into(), self.idle()]);
            }
            out.extend([self.end("-"), self.end("+"), self.pick(&["10", "1", "3", "0", "-1", "x"])]);
            if self.chance(40) {
                out.push(self.pick(CONSUMERS));
            }
        }
        if self.chance(2) {
            out.pop();
        }
        out
    }

    fn delete(&mut self) -> Vec<String> {
        let key = self.pick(KEYS);
        if !self.has_references || self.chance(40) {
            let mut out = vec!["XDEL".into(), key];
            self.ids(&mut out);
            return out;
        }
        let acknowledge = self.chance(50);
        let mut out = vec![if acknowledge { "XACKDEL" } else { "XDELEX" }.into(), key];
        if acknowledge {
            out.push(self.pick(GROUPS));
        }
        self.references(&mut out);
        let mut ids = Vec::new();
        self.ids(&mut ids);
        let count = if self.chance(95) { ids.len().to_string() } else { self.pick(COUNTS) };
        out.extend(["IDS".into(), count]);
        out.extend(ids);
        self.references(&mut out);
        if self.chance(2) {
            out.push(self.pick(&["IDS", "bad", "1-1"]));
        }
        out
    }

    fn set_id(&mut self) -> Vec<String> {
        let mut out = vec!["XSETID".into(), self.pick(&["s", "t", "u", "str", "none"]), self.id()];
        if self.chance(40) {
            out.extend(["ENTRIESADDED".into(), self.pick(&["0", "5", "50", "1000", "-1", "x"])]);
        }
        if self.chance(40) {
            out.extend(["MAXDELETEDID".into(), self.id()]);
        }
        if self.chance(2) {
            out.push("bad".into());
        }
        out
    }

    fn info(&mut self) -> Vec<String> {
        let key = self.pick(KEYS);
        let mut out: Vec<String> = vec!["XINFO".into()];
        match self.below(10) {
            0..3 => out.extend(["STREAM".into(), key]),
            3..5 => {
                out.extend(["STREAM".into(), key, "FULL".into()]);
                self.count(&mut out);
            }
            5..7 => out.extend(["GROUPS".into(), key]),
            7..9 => out.extend(["CONSUMERS".into(), key, self.pick(GROUPS)]),
            _ => out.extend([self.pick(&["STREAM", "GROUPS", "bad"]), key, "bad".into()]),
        }
        out
    }

    fn next(&mut self) -> Request {
        if let Some(request) = self.queue.pop() {
            return request;
        }
        let request = self.command();
        let consumer = match request[0].to_ascii_uppercase().as_slice() {
            b"XCLAIM" | b"XAUTOCLAIM" => Some((&request[1], &request[2], &request[3])),
            b"XREADGROUP" => request
                .iter()
                .position(|word| word == b"STREAMS")
                .and_then(|at| Some((request.get(at + 1)?, &request[2], &request[3]))),
            _ => None,
        };
        let Some((key, group, consumer)) = consumer.filter(|_| !self.creates_consumers) else {
            return request;
        };
        let words =
            [b"XGROUP".to_vec(), b"CREATECONSUMER".to_vec(), key.clone(), group.clone(), consumer.clone()];
        self.queue.push(request);
        words.to_vec()
    }

    fn command(&mut self) -> Request {
        let words: Vec<String> = match self.rng.random_range(0..100) {
            0..30 => self.add(),
            30..45 => self.read(),
            45..53 => self.group(),
            53..60 => self.claim(),
            60..65 => self.pending(),
            65..71 => {
                let mut out = vec!["XACK".into(), self.pick(KEYS), self.pick(GROUPS)];
                self.ids(&mut out);
                out
            }
            71..76 => self.delete(),
            76..79 => {
                let mut out = vec!["XTRIM".into(), self.pick(KEYS)];
                self.trim(&mut out);
                out
            }
            79..84 => {
                let reverse = self.chance(50);
                let mut out: Vec<String> =
                    vec![if reverse { "XREVRANGE" } else { "XRANGE" }.into(), self.pick(KEYS)];
                let (start, end) = (self.end("-"), self.end("+"));
                out.extend(if reverse { [end, start] } else { [start, end] });
                self.count(&mut out);
                out
            }
            84 | 85 => vec!["XLEN".into(), self.pick(KEYS)],
            // Redis 7.0 lets XSETID go below what was deleted.
            86..88 if self.creates_consumers => self.set_id(),
            86..95 => self.info(),
            95 => vec!["DEL".into(), self.pick(&["s", "t", "u"])],
            96 => vec!["COPY".into(), self.pick(&["s", "t"]), self.pick(&["u", "t"]), "REPLACE".into()],
            97 => {
                let directive = self.pick(&["stream-node-max-entries", "stream-node-max-bytes"]);
                let value = self.pick(if directive.ends_with("entries") {
                    &["0", "1", "3", "100"]
                } else {
                    &["0", "50", "200", "4096"]
                });
                vec!["CONFIG".into(), "SET".into(), directive, value]
            }
            98 => vec!["OBJECT".into(), "ENCODING".into(), self.pick(KEYS)],
            _ => vec!["TYPE".into(), self.pick(KEYS)],
        };
        let mut request: Request = words.into_iter().map(String::into_bytes).collect();
        if self.chance(5) {
            request[0].make_ascii_lowercase();
        }
        request
    }
}

/// A reply, taken apart.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Tree {
    Leaf(Vec<u8>),
    List(u8, Vec<Tree>),
}

fn tree(reply: &[u8]) -> Tree {
    let head = reply.iter().position(|byte| *byte == b'\n').expect("a line") + 1;
    if !matches!(reply[0], b'*' | b'%' | b'~') || reply.starts_with(b"*-1") {
        return Tree::Leaf(reply.to_vec());
    }
    let mut rest = &reply[head..];
    let mut elements = Vec::new();
    while !rest.is_empty() {
        let (element, tail) = rest.split_at(frame_len(rest).expect("a whole reply"));
        elements.push(tree(element));
        rest = tail;
    }
    Tree::List(reply[0], elements)
}

/// Unix times in milliseconds are above this, and no other number of the tests is.
const TIME_FROM: i64 = 1_000_000_000_000;

fn is_named(tree: &Tree, names: &[&str]) -> bool {
    matches!(tree, Tree::Leaf(leaf) if leaf[0] == b'$' && leaf[1] != b'-' && names.contains(&text(leaf).as_str()))
}

/// Makes equal what may differ.
fn leveled(tree: Tree, left_out: &[&str], is_pending: bool) -> Tree {
    match tree {
        Tree::Leaf(leaf) => {
            let number =
                leaf.strip_prefix(b":").and_then(|n| std::str::from_utf8(n).ok()?.trim().parse::<i64>().ok());
            Tree::Leaf(if number.is_some_and(|n| n > TIME_FROM && n != i64::MAX) {
                b":time".to_vec()
            } else {
                leaf
            })
        }
        Tree::List(kind, mut elements) => {
            let mut at = 0;
            while at + 1 < elements.len() {
                if is_named(&elements[at], left_out) {
                    elements.drain(at..at + 2);
                } else if is_named(&elements[at], &["idle", "inactive", "seen-time"]) {
                    elements[at + 1] = Tree::Leaf(b":time".to_vec());
                    at += 2;
                } else {
                    at += 1;
                }
            }
            if is_pending
                && elements.len() == 4
                && matches!(&elements[2], Tree::Leaf(leaf) if leaf[0] == b':')
            {
                elements[2] = Tree::Leaf(b":time".to_vec());
            }
            Tree::List(
                kind,
                elements.into_iter().map(|element| leveled(element, left_out, is_pending)).collect(),
            )
        }
    }
}

struct Pair {
    ours: Client,
    theirs: Client,
    left_out: &'static [&'static str],
}

impl Pair {
    fn agree(&mut self, request: &[Vec<u8>]) -> Result<(), String> {
        self.ours.send(request);
        self.theirs.send(request);
        let (ours, theirs) = (self.ours.receive(), self.theirs.receive());
        if ours == theirs {
            return Ok(());
        }
        // Redis worded the first anew in 7.2 and in 8, and checks for the second in another order since 7.2.
        for alike in ["-ERR Unbalanced ", "-ERR The ID specified in XSETID is smaller than "] {
            if ours.starts_with(alike.as_bytes()) && theirs.starts_with(alike.as_bytes()) {
                return Ok(());
            }
        }
        let name = request[0].to_ascii_uppercase();
        let level = |reply: &[u8]| leveled(tree(reply), self.left_out, name == b"XPENDING");
        if (name == b"XINFO" || name == b"XPENDING") && level(&ours) == level(&theirs) {
            return Ok(());
        }
        Err(format!("ours: {}\ntheirs: {}", ours.escape_ascii(), theirs.escape_ascii()))
    }

    fn check(&mut self, words: &[&str]) -> Result<(), String> {
        let request: Request = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        self.agree(&request).map_err(|why| format!("{words:?}\n{why}"))
    }
}

fn line(request: &[Vec<u8>]) -> String {
    request.iter().map(|arg| format!("\"{}\"", arg.escape_ascii())).collect::<Vec<_>>().join(" ")
}

/// Major and minor version.
fn version(client: &mut Client) -> (u32, u32) {
    let info = text(&client.ask(&["INFO", "server"]));
    let version = info.lines().find_map(|line| line.strip_prefix("redis_version:")).expect("a version");
    let mut parts = version.split('.').map(|part| part.parse().expect("a number"));
    (parts.next().expect("major"), parts.next().expect("minor"))
}

#[test]
fn random_commands_get_the_replies_of_redis() {
    let debug = ["--enable-debug-command", "yes"];
    let (ours, theirs) = (Process::nuthatch(&debug), Process::redis(&debug));
    let version = version(&mut theirs.connect());
    let left_out: &[&str] = match version {
        (7, 0 | 1) => &["inactive", "active-time"],
        (7, 2 | 3) => &[],
        _ => &["lag", "entries-read"],
    };
    let started = Instant::now();
    let mut commands = 0;
    for seed in 0.. {
        if started.elapsed() > TIME_LIMIT {
            break;
        }
        let mut pair = Pair { ours: ours.connect(), theirs: theirs.connect(), left_out };
        let proto = if seed % 2 == 0 { "2" } else { "3" };
        pair.ours.ask(&["HELLO", proto]);
        pair.theirs.ask(&["HELLO", proto]);
        for words in [
            &["FLUSHALL"][..],
            &["CONFIG", "SET", "stream-node-max-entries", "3", "stream-node-max-bytes", "4096"],
            &["SET", "str", "x"],
            &["XADD", "far", "99999999999999-0", "a", "1"],
        ] {
            pair.check(words).expect("the beginning");
        }
        let mut generator = Generator {
            rng: StdRng::seed_from_u64(seed),
            has_references: version >= (8, 2),
            creates_consumers: version >= (7, 2),
            clock: 1,
            queue: Vec::new(),
        };
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
        for key in ["s", "t", "u", "far"] {
            for words in [
                &["XINFO", "STREAM", key, "FULL", "COUNT", "0"][..],
                &["XINFO", "GROUPS", key],
                &["DEBUG", "DIGEST-VALUE", key],
            ] {
                pair.check(words).unwrap_or_else(|why| panic!("seed {seed}, in the end: {why}"));
            }
        }
    }
    println!("{commands} commands");
    assert!(commands >= RUN_COMMANDS, "not even one run was completed");
}
