//! Redis is the judge of blocking commands: the same scenarios, with several clients, give the same replies and errors
//! from this server and from Debian's Redis, byte for byte.
//!
//! A scenario is a list of steps. `name: COMMAND …` is answered at once; `name~ COMMAND …` waits; `name<` is the reply
//! that comes after a wait. What Redis changed after the version at hand (7.0) is in other tests.

mod common;

use common::{Client, Process};
use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

const SCENARIOS: &[(&str, &[&str])] = &[
    (
        "lists",
        &[
            "a~ BLPOP l 0",
            "p: RPUSH l 1 2 3",
            "a<",
            "p: LRANGE l 0 -1",
            "a: BRPOP l 0",
            "a: BLPOP none l 0",
            "a~ BRPOP x y l 0",
            "p: LPUSH y 1",
            "a<",
            "p: EXISTS x y l",
        ],
    ),
    (
        "the order of the keys decides",
        &[
            "a~ BLPOP k1 k2 k3 0",
            "p: MULTI",
            "p: RPUSH k2 b",
            "p: RPUSH k3 c",
            "p: EXEC",
            "a<",
            "p: EXISTS k1 k2 k3",
            "p: RPUSH k1 a",
            "a: BLPOP k2 k1 k3 0",
            "a: BLPOP k2 k1 k3 0",
        ],
    ),
    (
        "first come, first served, each from its own end",
        &[
            "a~ BLPOP l 0",
            "b~ BRPOP l 0",
            "c~ BLMPOP 0 1 l RIGHT COUNT 10",
            "d~ BLPOP l 0",
            "p: RPUSH l 1 2 3 4 5",
            "a<",
            "b<",
            "c<",
            "p: RPUSH l 6",
            "d<",
            "p: EXISTS l",
        ],
    ),
    (
        "the same key twice",
        &[
            "a~ BLPOP l l 0",
            "p: RPUSH l 1",
            "a<",
            "a~ BLPOP l m l 0",
            "p: RPUSH l 2 3",
            "a<",
            "p: LRANGE l 0 -1",
        ],
    ),
    (
        "moving",
        &[
            "a~ BLMOVE s d LEFT RIGHT 0",
            "p: RPUSH s 1 2",
            "a<",
            "p: LRANGE d 0 -1",
            "a: BLMOVE s d RIGHT LEFT 0",
            "p: LRANGE d 0 -1",
            "a~ BRPOPLPUSH s s 0",
            "p: RPUSH s 1 2 3",
            "a<",
            "p: LRANGE s 0 -1",
            "a: BRPOPLPUSH s d 0",
            "p: LRANGE d 0 -1",
        ],
    ),
    (
        "moving on to somebody who waits",
        &[
            "a~ BRPOPLPUSH l1 l2 0",
            "b~ BLMOVE l2 l3 LEFT LEFT 0",
            "c~ BLPOP l3 0",
            "p: RPUSH l1 x",
            "a<",
            "b<",
            "c<",
            "p: EXISTS l1 l2 l3",
            "a~ BRPOPLPUSH l1 l2 0",
            "b~ BRPOPLPUSH l2 l1 0",
            "p: RPUSH l1 y",
            "a<",
            "b<",
            "p: LRANGE l1 0 -1",
        ],
    ),
    (
        "a destination of another type",
        &[
            "p: SET d string",
            "a~ BLMOVE s d LEFT LEFT 0",
            "b~ BLPOP s 0",
            "p: RPUSH s 1",
            "a<",
            "b<",
            "p: RPUSH s 1",
            "a: BLMOVE s d LEFT LEFT 0",
            "a: BRPOPLPUSH s d 0",
            "p: LRANGE s 0 -1",
        ],
    ),
    (
        "keys of other types",
        &[
            "p: SET s string",
            "a: BLPOP s 0",
            "a: BRPOP none s 0",
            "a: BLMOVE s d LEFT LEFT 0",
            "a: BLMPOP 0 1 s LEFT",
            "a: BZPOPMIN s 0",
            "a: BZMPOP 0 1 s MIN",
            "a: XREAD BLOCK 0 STREAMS s 0",
            "p: DEL s",
            "a~ BLPOP s 0",
            "p: SET s string",
            "p: DEL s",
            "p: ZADD s 1 a",
            "p: DEL s",
            "p: RPUSH s 1",
            "a<",
        ],
    ),
    (
        "what is gone before the command is done wakes nobody",
        &[
            "a~ BLPOP l 0",
            "p: MULTI",
            "p: RPUSH l 1",
            "p: DEL l",
            "p: EXEC",
            "p: MULTI",
            "p: RPUSH l 1",
            "p: DEL l",
            "p: SET l string",
            "p: EXEC",
            "p: DEL l",
            "p: RPUSH l 2",
            "a<",
        ],
    ),
    (
        "served when the transaction is over",
        &[
            "a~ BLPOP l 0",
            "b~ BZPOPMAX z 0",
            "p: MULTI",
            "p: RPUSH l 1",
            "p: LPUSH l 2",
            "p: ZADD z 1 a 2 b",
            "p: LRANGE l 0 -1",
            "p: EXEC",
            "a<",
            "b<",
            "p: LRANGE l 0 -1",
        ],
    ),
    (
        "nobody waits in a transaction",
        &[
            "p: MULTI",
            "p: BLPOP l 0",
            "p: BRPOP l 0",
            "p: BLMOVE l m LEFT LEFT 0",
            "p: BRPOPLPUSH l m 0",
            "p: BLMPOP 0 1 l LEFT",
            "p: BZPOPMIN z 0",
            "p: BZMPOP 0 1 z MAX",
            "p: XREAD BLOCK 0 STREAMS s $",
            "p: WAIT 1 0",
            "p: EXEC",
        ],
    ),
    (
        "sorted sets",
        &[
            "a~ BZPOPMIN z 0",
            "b~ BZPOPMAX z 0",
            "c~ BZMPOP 0 2 y z MIN COUNT 2",
            "p: ZADD z 1 a 2.5 b 3 c 4 d 5 e",
            "a<",
            "b<",
            "c<",
            "a: BZPOPMIN y z 0",
            "p: EXISTS z",
            "a~ BZPOPMIN y z 0",
            "p: ZINCRBY y 2 m",
            "a<",
            "a~ BZPOPMAX y z 0",
            "p: ZADD w 7 m",
            "p: ZUNIONSTORE z 1 w",
            "a<",
        ],
    ),
    (
        "sorted sets in RESP3",
        &[
            "a: HELLO 3",
            "a~ BZPOPMIN z 0",
            "p: ZADD z 1.5 a 2 b",
            "a<",
            "a~ BZMPOP 0 1 y MIN COUNT 5",
            "p: ZADD y 1 a 2 b",
            "a<",
            "a~ BLPOP l 0.01",
            "a<",
            "a~ BLMOVE l m LEFT LEFT 0.01",
            "a<",
            "a~ BZPOPMIN none 0.01",
            "a<",
            "a~ XREAD BLOCK 10 STREAMS none 0",
            "a<",
            "a~ XREAD BLOCK 0 STREAMS s $",
            "p: XADD s 1-1 f v",
            "a<",
        ],
    ),
    (
        "names of other kinds",
        &[
            "a~ BLPOP to 0",
            "p: RPUSH from 1 2",
            "p: RENAME from to",
            "a<",
            "p: DEL to",
            "a~ BLPOP to 0",
            "p: RPUSH from 3",
            "p: COPY from to",
            "a<",
            "a~ BLPOP to 0",
            "p: SELECT 1",
            "p: RPUSH to 4",
            "p: MOVE to 0",
            "a<",
            "a~ BLPOP to 0",
            "p: RPUSH to 5",
            "p: SWAPDB 0 1",
            "a<",
            "p: SWAPDB 0 1",
            "p: DBSIZE",
        ],
    ),
    (
        "SWAPDB serves by the order of arrival",
        &[
            "a~ BLPOP k 0",
            "b~ BLPOP k 0",
            "c: SELECT 9",
            "c~ BLPOP k 0",
            "p: SELECT 9",
            "c2: SELECT 9",
            "p: SELECT 8",
            "p: RPUSH k 1 2 3",
            "p: SWAPDB 8 0",
            "a<",
            "b<",
            "p: SWAPDB 0 9",
            "c<",
        ],
    ),
    ("sorting", &["a~ BLPOP out 0", "p: RPUSH in 3 1 2", "p: SORT in STORE out", "a<", "p: LRANGE out 0 -1"]),
    ("restoring", &["a~ BLPOP l 0", "p: RPUSH m 1", "p: DUMP-RESTORE m l", "a<"]),
    (
        "times",
        &[
            "a~ BLPOP l 0.01",
            "a<",
            "a~ BRPOP l m 0.01",
            "a<",
            "a~ BLMOVE l m LEFT RIGHT 0.01",
            "a<",
            "a~ BRPOPLPUSH l m 0.01",
            "a<",
            "a~ BLMPOP 0.01 1 l LEFT",
            "a<",
            "a~ BZPOPMIN z 0.01",
            "a<",
            "a~ BZMPOP 0.01 1 z MAX",
            "a<",
            "a~ XREAD BLOCK 10 STREAMS s 0",
            "a<",
            "a~ WAIT 1 10",
            "a<",
            "p: RPUSH l 1",
            "p: LRANGE l 0 -1",
        ],
    ),
    (
        "since 7.2: times without end",
        &[
            "a: BLPOP l inf",
            "a: BLPOP l 9223372036854775807",
            "a: BLPOP l 9223372036854775",
            "a: BLPOP l 1e300",
            "a: XREAD BLOCK 9223372036854775807 STREAMS s 0",
        ],
    ),
    (
        "since 7.2: all streams are read when one wakes the reader",
        &[
            "p: XADD s 1-1 f v",
            "a~ XREAD BLOCK 0 STREAMS s t $ 0",
            "p: MULTI",
            "p: XADD t 1-1 a 1",
            "p: XADD s 1-3 b 2",
            "p: XADD t 1-2 c 3",
            "p: EXEC",
            "a<",
        ],
    ),
    (
        "bad times",
        &[
            "a: BLPOP l -1",
            "a: BLPOP l x",
            "a: BLPOP l",
            "a: BLPOP l ''",
            "a: BLPOP l 1e5000",
            "a: BLPOP l -inf",
            "a: BLPOP l nan",
            "a: BLPOP l -1e300",
            "a: BLPOP l -0.0011",
            "a: BRPOPLPUSH l m -1",
            "a: BRPOPLPUSH l m x",
            "a: BLMOVE l m LEFT LEFT x",
            "a: BLMOVE l m LEFT MIDDLE x",
            "a: BLMOVE l m LEFT LEFT",
            "a: BLMPOP x 1 l LEFT",
            "a: BLMPOP x 0 l LEFT",
            "a: BLMPOP -1 1 l LEFT COUNT 0",
            "a: BLMPOP -1 1 l LEFT COUNT 1 COUNT 1",
            "a: BLMPOP -1 2 l LEFT",
            "a: BLMPOP 1 1 l UP",
            "a: BLMPOP 1 1 LEFT",
            "a: BZPOPMIN z x",
            "a: BZPOPMAX z -1",
            "a: BZMPOP x 1 z MIN",
            "a: BZMPOP -1 1 z MIN",
            "a: BZMPOP 1 0 z MIN",
            "a: BZMPOP 1 1 z MID",
            "a: BZMPOP 1 1 z MIN COUNT 0",
            "a: XREAD BLOCK x STREAMS s 0",
            "a: XREAD BLOCK -1 STREAMS s 0",
            "a: XREAD BLOCK 1.5 STREAMS s 0",
            "a: WAIT 1",
            "a: WAIT x 1",
            "a: WAIT 1 x",
            "a: WAIT 1 -1",
            "a: WAIT 0 0",
            "a: WAIT -5 0",
        ],
    ),
    (
        "streams",
        &[
            "p: XADD s 1-1 f v",
            "a: XREAD BLOCK 0 STREAMS s 0",
            "a~ XREAD BLOCK 0 STREAMS s $",
            "b~ XREAD BLOCK 0 COUNT 1 STREAMS t s 0 1-1",
            "p: XADD s 1-2 f w",
            "a<",
            "b<",
            "a~ XREAD BLOCK 0 STREAMS s 5-0",
            "p: XADD s 2-0 too low",
            "p: XADD s 6-0 high enough",
            "a<",
            "a~ XREAD BLOCK 0 STREAMS new $",
            "p: DEL new",
            "p: LPUSH new 1",
            "p: DEL new",
            "p: XADD new 3-3 f v",
            "a<",
        ],
    ),
    (
        "groups",
        &[
            "p: XGROUP CREATE s g $ MKSTREAM",
            "a~ XREADGROUP GROUP g a BLOCK 0 STREAMS s >",
            "b~ XREADGROUP GROUP g b BLOCK 0 COUNT 1 STREAMS s >",
            "p: XADD s 1-1 f 1",
            "a<",
            "p: XADD s 1-2 f 2",
            "b<",
            "p: XPENDING s g",
            "a: XREADGROUP GROUP g a BLOCK 0 STREAMS s 0",
            "a~ XREADGROUP GROUP g a NOACK BLOCK 0 STREAMS s >",
            "p: XADD s 1-3 f 3",
            "a<",
            "p: XPENDING s g",
            "a~ XREADGROUP GROUP g a BLOCK 10 STREAMS s >",
            "a<",
            "a: XREADGROUP GROUP none a BLOCK 0 STREAMS s >",
            "a: XREADGROUP GROUP g a BLOCK 0 STREAMS s $",
            "a: XREADGROUP GROUP g a BLOCK x STREAMS s >",
        ],
    ),
    (
        "CLIENT UNBLOCK",
        &[
            "a~ BLPOP l 0",
            "p: UNBLOCK a",
            "a<",
            "a~ BZPOPMIN z 0",
            "p: UNBLOCK a ERROR",
            "a<",
            "a~ XREAD BLOCK 0 STREAMS s 0",
            "p: UNBLOCK a TIMEOUT",
            "a<",
            "a~ WAIT 1 0",
            "p: UNBLOCK a",
            "a<",
            "p: UNBLOCK a",
            "a~ BLMOVE l m LEFT LEFT 0",
            "p: UNBLOCK a TIMEOUT",
            "a<",
            "p: CLIENT UNBLOCK 999999",
            "p: CLIENT UNBLOCK x",
            "p: CLIENT UNBLOCK 1 MAYBE",
            "a~ BLPOP l 0",
            "p: RPUSH l 1",
            "p: UNBLOCK a",
            "a<",
        ],
    ),
];

/// A server with clients by name.
struct Side {
    server: Process,
    clients: BTreeMap<String, Client>,
    control: Client,
}

impl Side {
    fn new(server: Process) -> Side {
        let control = server.connect();
        Side { server, clients: BTreeMap::new(), control }
    }

    fn client(&mut self, name: &str) -> &mut Client {
        let server = &self.server;
        self.clients.entry(name.to_owned()).or_insert_with(|| server.connect())
    }

    /// Does one step. Returns the reply, if one is due.
    fn step(&mut self, step: &str) -> Option<Vec<u8>> {
        if let Some(name) = step.strip_suffix('<') {
            return Some(self.client(name).receive());
        }
        let at = step.find([':', '~']).expect("a step");
        let (name, command) = (&step[..at], step[at + 1..].trim());
        let words: Vec<&str> = command.split(' ').map(|word| if word == "''" { "" } else { word }).collect();
        if step.as_bytes()[at] == b'~' {
            let before = common::info(&mut self.control, "blocked_clients");
            self.client(name).send(&words);
            self.await_blocked(before);
            return None;
        }
        Some(match words[0] {
            "UNBLOCK" => {
                let id = self.id(words[1]);
                let how = words.get(2).copied().unwrap_or("TIMEOUT");
                self.client(name).ask(&["CLIENT", "UNBLOCK", &id, how])
            }
            "DUMP-RESTORE" => {
                let dumped = self.client(name).ask(&["DUMP", words[1]]);
                let Some(from) = dumped.iter().position(|byte| *byte == b'\n') else { return Some(dumped) };
                let value = &dumped[from + 1..dumped.len() - 2];
                self.client(name).ask(&[b"RESTORE", words[2].as_bytes(), b"0", value])
            }
            "HELLO" => {
                // It tells of the server.
                let reply = self.client(name).ask(&words);
                vec![reply[0]]
            }
            _ => self.client(name).ask(&words),
        })
    }

    /// The number of a client that is blocked, from CLIENT LIST: the one whose last command blocks.
    fn id(&mut self, name: &str) -> String {
        let port = self.clients[name].stream().local_addr().expect("a socket").port();
        let list = common::text(&self.control.ask(&["CLIENT", "LIST"]));
        let line = list.lines().find(|line| line.contains(&format!(":{port} laddr="))).expect("a client");
        line.split_once(' ').expect("fields").0.trim_start_matches("id=").to_owned()
    }

    /// Waits until one more client is blocked than there were; not for long, since its time may be over already.
    fn await_blocked(&mut self, before: u64) {
        let give_up = Instant::now() + Duration::from_millis(50);
        while common::info(&mut self.control, "blocked_clients") <= before && Instant::now() < give_up {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Commands of this server that are still to come: scenarios with them are passed over.
fn knows(side: &mut Side, scenario: &[&str]) -> bool {
    let mut names =
        scenario.iter().filter_map(|step| step.split([':', '~']).nth(1)?.split_whitespace().next());
    names.all(|name| {
        let name = match name {
            "UNBLOCK" => "CLIENT",
            "DUMP-RESTORE" => "RESTORE",
            name => name,
        };
        side.control.ask(&["COMMAND", "INFO", name]).starts_with(b"*1\r\n*1")
    })
}

/// What the titles of scenarios begin with to which Redis 7.0 replies otherwise than Redis 7.2 and this server. They are
/// compared when NUTHATCH_TEST_REDIS names a newer one.
const NEWER: &str = "since 7.2: ";

#[test]
fn scenarios_give_the_same_replies() {
    let mut ours = Side::new(Process::nuthatch(&["--io-threads", "3"]));
    let mut theirs = Side::new(Process::redis(&[]));
    let is_old = common::text(&theirs.control.ask(&["INFO", "server"])).contains("redis_version:7.0.");
    let mut different = Vec::new();
    for (title, scenario) in SCENARIOS {
        if !knows(&mut ours, scenario) || title.starts_with(NEWER) && is_old {
            println!("{title}: passed over");
            continue;
        }
        for step in *scenario {
            println!("{title}, {step}");
            let (our, their) = (ours.step(step), theirs.step(step));
            if our != their {
                let show = |reply: Option<Vec<u8>>| reply.unwrap_or_default().escape_ascii().to_string();
                different.push(format!("{title}, {step}\n  ours: {}\ntheirs: {}", show(our), show(their)));
                break;
            }
        }
        for side in [&mut ours, &mut theirs] {
            side.clients.clear();
            assert_eq!(side.control.ask(&["FLUSHALL"]), b"+OK\r\n");
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}
