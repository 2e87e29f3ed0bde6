//! Redis is the judge of places: random sequences of the commands on them get the same replies from this server and
//! from Debian's Redis.

mod common;
#[path = "common/oracle.rs"]
mod oracle;

use common::Process;
use oracle::{Comparison, Dice, Request};
use rand::Rng;
use rand::seq::IndexedRandom;
use std::time::Duration;

struct Generator<'a>(&'a mut Dice);

impl Generator<'_> {
    fn chance(&mut self, percent: u32) -> bool {
        self.0.chance(percent)
    }

    fn word(&mut self, words: &[&str]) -> Vec<u8> {
        self.0.word(words)
    }

    fn key(&mut self) -> Vec<u8> {
        self.word(&["a", "b", "b", "b", "c", "text", "none"])
    }

    fn member(&mut self) -> Vec<u8> {
        format!("m{}", self.0.0.random_range(0..120)).into_bytes()
    }

    fn unit(&mut self) -> Vec<u8> {
        if self.chance(3) { self.word(&["x", "", "kms"]) } else { self.word(&["m", "km", "km", "ft", "mi"]) }
    }

    /// Longitude and latitude, each place but once. Not near the poles, where searches miss a few.
    fn place(&mut self, out: &mut Request) {
        if self.chance(2) {
            out.extend([
                self.word(&["181", "x", "nan", "-180", "0"]),
                self.word(&["86", "-85.06", "inf", "85.05112878"]),
            ]);
            return;
        }
        let near = self.chance(60);
        let (x, y) = if near { (10.0..20.0, 40.0..50.0) } else { (-179.0..179.0, -80.0..80.0) };
        out.push(format!("{:.6}", self.0.0.random_range(x)).into_bytes());
        out.push(format!("{:.6}", self.0.0.random_range(y)).into_bytes());
    }

    fn length(&mut self) -> Vec<u8> {
        if self.chance(3) {
            return self.word(&["-1", "x", "0", ""]);
        }
        let most = *[10.0, 1_000.0, 100_000.0, 3_000_000.0].choose(&mut self.0.0).expect("lengths");
        format!("{:.3}", self.0.0.random_range(0.0..most)).into_bytes()
    }

    fn limits(&mut self, out: &mut Request) {
        if self.chance(40) {
            let bad = self.chance(5);
            out.push(self.word(&["COUNT"]));
            out.push(if bad { self.word(&["0", "-1", "x"]) } else { self.word(&["1", "3", "10", "100"]) });
            if self.chance(30) {
                out.push(self.word(&["ANY"]));
            }
        }
        if self.chance(50) {
            out.push(self.word(&["ASC", "DESC"]));
        }
        if self.chance(2) {
            out.push(self.word(&["ANY", "COUNT", "bad", "STOREDIST"]));
        }
    }

    fn details(&mut self, out: &mut Request) {
        for word in ["WITHDIST", "WITHHASH", "WITHCOORD"] {
            if self.chance(40) {
                out.push(self.word(&[word]));
            }
        }
    }

    fn search(&mut self, out: &mut Request) {
        if self.chance(50) {
            out.extend([self.word(&["FROMMEMBER"]), self.member()]);
        } else {
            out.push(self.word(&["FROMLONLAT"]));
            self.place(out);
        }
        if self.chance(55) {
            out.extend([self.word(&["BYRADIUS"]), self.length(), self.unit()]);
        } else {
            out.extend([self.word(&["BYBOX"]), self.length(), self.length(), self.unit()]);
        }
        self.limits(out);
        if self.chance(2) {
            out.extend([self.word(&["FROMMEMBER", "BYRADIUS", "STORE"]), self.member()]);
        }
    }

    fn radius(&mut self, name: &str) -> Request {
        let mut out = vec![self.word(&[name]), self.key()];
        if name.contains("BYMEMBER") {
            out.push(self.member());
        } else {
            self.place(&mut out);
        }
        out.extend([self.length(), self.unit()]);
        let stores = self.chance(30);
        if !stores || self.chance(3) {
            self.details(&mut out);
        }
        self.limits(&mut out);
        if stores {
            out.extend([self.word(&["STORE", "STOREDIST"]), self.key()]);
            if self.chance(10) {
                out.extend([self.word(&["STORE", "STOREDIST"]), self.key()]);
            }
        }
        out
    }

    fn next(&mut self) -> Request {
        let mut out = self.command();
        if self.chance(1) {
            out.push(b"x".to_vec());
        } else if self.chance(1) && out.len() > 1 {
            out.pop();
        }
        out
    }

    fn command(&mut self) -> Request {
        let key = self.key();
        match self.0.0.random_range(0..100) {
            0..25 => {
                let mut out = vec![self.word(&["GEOADD"]), key];
                for _ in 0..self.0.0.random_range(0..3) {
                    if self.chance(30) {
                        out.push(self.word(&["NX", "XX", "CH", "CH"]));
                    }
                }
                for _ in 0..*[1, 2, 5, 60].choose(&mut self.0.0).expect("counts") {
                    self.place(&mut out);
                    out.push(self.member());
                }
                out
            }
            25..31 => {
                let mut out = vec![self.word(&["GEOPOS", "GEOHASH"]), key];
                for _ in 0..self.0.0.random_range(0..4) {
                    out.push(self.member());
                }
                out
            }
            31..38 => {
                let mut out = vec![self.word(&["GEODIST"]), key, self.member(), self.member()];
                if self.chance(60) {
                    out.push(self.unit());
                }
                out
            }
            38..62 => {
                let mut out = vec![self.word(&["GEOSEARCH"]), key];
                self.search(&mut out);
                self.details(&mut out);
                out
            }
            62..72 => {
                let mut out = vec![self.word(&["GEOSEARCHSTORE"]), key, self.key()];
                self.search(&mut out);
                if self.chance(40) {
                    out.push(self.word(&["STOREDIST"]));
                }
                out
            }
            72..77 => self.radius("GEORADIUS"),
            77..82 => self.radius("GEORADIUSBYMEMBER"),
            82..85 => self.radius("GEORADIUS_RO"),
            85..88 => self.radius("GEORADIUSBYMEMBER_RO"),
            88..91 => [&b"ZRANGE"[..], &key, b"0", b"-1", b"WITHSCORES"].map(<[u8]>::to_vec).to_vec(),
            91..93 => [&b"OBJECT"[..], b"ENCODING", &key].map(<[u8]>::to_vec).to_vec(),
            93 => vec![b"DEL".to_vec(), key],
            94 => [&b"SET"[..], b"text", b"x"].map(<[u8]>::to_vec).to_vec(),
            95 => {
                let score =
                    self.word(&["-1", "9007199254740991", "0.5", "4503599627370496", "inf", "-1000", "3e15"]);
                vec![b"ZADD".to_vec(), key, score, self.member()]
            }
            _ => vec![b"ZREM".to_vec(), key, self.member(), self.member()],
        }
    }
}

fn is_sorted_search(request: &Request) -> bool {
    let name = request[0].to_ascii_uppercase();
    (name.starts_with(b"GEOSEARCH") || name.starts_with(b"GEORADIUS")) && name != b"GEOSEARCHSTORE"
}

/// A reply with the names of places taken out.
fn without_names(reply: &[u8]) -> Vec<u8> {
    let lines = reply.split(|byte| *byte == b'\n');
    let is_name =
        |line: &[u8]| line.first() == Some(&b'm') && line[1..].trim_ascii().iter().all(u8::is_ascii_digit);
    let is_length = |line: &[u8]| line.first() == Some(&b'$');
    lines.filter(|line| !is_name(line) && !is_length(line)).collect::<Vec<_>>().join(&b'\n')
}

#[test]
fn random_commands_get_the_replies_of_redis() {
    let comparison = Comparison {
        ours: Process::nuthatch(&["--enable-debug-command", "yes"]),
        theirs: Process::redis(&[]),
        time_limit: Duration::from_secs(10),
        run_requests: 2000,
        first: Vec::new(),
    };
    // Scores are written in another way since 7.2.
    let is_range = |request: &Request| request[0] == b"ZRANGE";
    // Of places that are equally far away, the order, and which are among the first, is left to chance.
    comparison.run(
        |dice| Generator(dice).next(),
        |request, ours, theirs| {
            is_range(request) && oracle::same_numbers(ours, theirs)
                || is_sorted_search(request) && without_names(ours) == without_names(theirs)
        },
    );
}
