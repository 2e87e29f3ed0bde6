//! Redis is the judge of keyspace events: the same random commands here and on the `redis-server` on the path make
//! the same events in the same order, those of expiry included, whether a command or nobody comes upon the key.
//!
//! Commands and classes that are newer than the Redis at hand are left to the script of expectations below, which
//! holds for Redis 8.2 and is run against it, too, if that is the one on the path.

mod common;

use common::{Client, Process, elements, text};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::time::{Duration, Instant};

/// All runs together take about this long.
const TIME_LIMIT: Duration = Duration::from_secs(15);
/// Commands of one run, which begins with empty databases.
const RUN_COMMANDS: usize = 1500;
/// How many of the last commands a failure shows.
const SHOWN_COMMANDS: usize = 20;

/// Deadlines of this many milliseconds, more than either server needs for a command, have passed when the run has waited
/// for [`PAUSE`].
const SOON_MS: &str = "10";
const PAUSE: Duration = Duration::from_millis(14);

/// Commands on values of one type. A word that is one of these stands for something: `K` a key of the type, mostly;
/// `N` a small number, `V` a value, `F` a field or member, `S` a score, `I` an ID of a stream, `SOON` and `LATE`
/// milliseconds, `PAST` a Unix time that has passed.
type Templates = &'static [&'static str];

const STRINGS: Templates = &[
    "SET K V",
    "SET K V NX",
    "SET K V XX GET",
    "SET K V PX LATE",
    "SET K V PX SOON",
    "SET K V KEEPTTL",
    "SET K N",
    "SETNX K V",
    "SETEX K 100 V",
    "PSETEX K LATE V",
    "GETSET K V",
    "GETDEL K",
    "GETEX K",
    "GETEX K PX LATE",
    "GETEX K PERSIST",
    "GETEX K PXAT PAST",
    "MSET K V K V",
    "MSETNX K V K V",
    "MGET K K",
    "GET K",
    "STRLEN K",
    "APPEND K V",
    "SETRANGE K N V",
    "SETRANGE K N ",
    "GETRANGE K 0 -1",
    "INCR K",
    "DECRBY K N",
    "INCRBYFLOAT K N",
    "SETBIT K N 1",
    "SETBIT K N 0",
    "BITFIELD K SET u8 0 N",
    "BITFIELD K GET u8 0",
    "BITOP OR K K K",
    "BITOP NOT K K",
    "BITCOUNT K",
    "LCS K K",
];

const SKETCHES: Templates = &["PFADD K F", "PFADD K", "PFMERGE K K K", "PFCOUNT K", "PFCOUNT K K"];

const LISTS: Templates = &[
    "LPUSH K V V",
    "RPUSH K V",
    "LPUSHX K V",
    "RPUSHX K V V",
    "LPOP K",
    "RPOP K N",
    "LMPOP 2 K K LEFT COUNT N",
    "RPOPLPUSH K K",
    "LMOVE K K LEFT RIGHT",
    "LREM K 0 V",
    "LREM K 1 V",
    "LSET K 0 V",
    "LINSERT K BEFORE V V",
    "LTRIM K N -1",
    "LTRIM K 5 1",
    "LTRIM K 0 -1",
    "LRANGE K 0 -1",
    "LLEN K",
    "LPOS K V",
];

const SETS: Templates = &[
    "SADD K F F",
    "SADD K N N N",
    "SREM K F F",
    "SREM K N",
    "SMOVE K K F",
    "SPOP K 100",
    "SPOP K 0",
    "SINTERSTORE K K K",
    "SUNIONSTORE K K K",
    "SDIFFSTORE K K K",
    "SMEMBERS K",
    "SISMEMBER K F",
    "SINTERCARD 2 K K",
];

const HASHES: Templates = &[
    "HSET K F V F V",
    "HMSET K F V",
    "HSETNX K F V",
    "HDEL K F F",
    "HDEL K F F F F F F",
    "HINCRBY K F N",
    "HINCRBYFLOAT K F N",
    "HGET K F",
    "HGETALL K",
    "HEXISTS K F",
];

const SORTED_SETS: Templates = &[
    "ZADD K S F S F",
    "ZADD K XX S F",
    "ZADD K NX S F",
    "ZADD K INCR S F",
    "ZADD K CH GT S F",
    "ZINCRBY K S F",
    "ZREM K F F",
    "ZREMRANGEBYRANK K 0 1",
    "ZREMRANGEBYSCORE K S S",
    "ZREMRANGEBYLEX K [a [c",
    "ZPOPMIN K",
    "ZPOPMAX K N",
    "ZMPOP 2 K K MIN COUNT N",
    "ZUNIONSTORE K 2 K K",
    "ZINTERSTORE K 2 K K",
    "ZDIFFSTORE K 2 K K",
    "ZRANGESTORE K K 0 N",
    "ZRANGE K 0 -1",
    "ZSCORE K F",
    "ZCARD K",
];

const STREAMS: Templates = &[
    "XADD K I F V",
    "XADD K NOMKSTREAM I F V",
    "XADD K MAXLEN 2 I F V",
    "XADD K MAXLEN 100 I F V",
    "XDEL K I",
    "XDEL K I I I",
    "XTRIM K MAXLEN 1",
    "XTRIM K MAXLEN 100",
    "XSETID K 9999-1",
    "XGROUP CREATE K g 0",
    "XGROUP CREATE K g $ MKSTREAM",
    "XGROUP SETID K g 0",
    "XGROUP DESTROY K g",
    "XGROUP CREATECONSUMER K g F",
    "XGROUP DELCONSUMER K g F",
    "XREADGROUP GROUP g F COUNT 2 STREAMS K >",
    "XREADGROUP GROUP g F NOACK STREAMS K >",
    "XREADGROUP GROUP g F STREAMS K 0",
    "XCLAIM K g F 0 I I",
    "XCLAIM K g F 0 I FORCE",
    "XAUTOCLAIM K g F 0 0",
    "XACK K g I",
    "XRANGE K - +",
    "XREAD STREAMS K 0",
    "XLEN K",
];

const KEYS: Templates = &[
    "DEL K",
    "DEL K K K",
    "UNLINK K",
    "EXISTS K K",
    "TOUCH K",
    "TYPE K",
    "TTL K",
    "OBJECT ENCODING K",
    "EXPIRE K 100",
    "PEXPIRE K LATE GT",
    "PEXPIRE K SOON",
    "PEXPIRE K SOON",
    "PEXPIREAT K PAST",
    "PERSIST K",
    "RENAME K K",
    "RENAMENX K K",
    "COPY K K",
    "COPY K K REPLACE",
    "COPY K K DB 1",
    "MOVE K 1",
    "SELECT 1",
    "SELECT 0",
    "SELECT 0",
    "FLUSHDB",
    "SWAPDB 0 1",
    "DBSIZE",
];

/// Names of keys begin with the letter of their type.
const TYPES: [(char, Templates); 8] = [
    ('s', STRINGS),
    ('p', SKETCHES),
    ('l', LISTS),
    ('e', SETS),
    ('h', HASHES),
    ('z', SORTED_SETS),
    ('x', STREAMS),
    ('*', KEYS),
];

type Request = Vec<Vec<u8>>;

struct Generator {
    rng: StdRng,
}

impl Generator {
    fn number(&mut self, below: u32) -> u32 {
        self.rng.random_range(0..below)
    }

    fn key(&mut self, letter: char) -> String {
        let strange = self.number(20) == 0;
        let letter = if letter == '*' || strange { TYPES[self.number(7) as usize].0 } else { letter };
        format!("{letter}{}", self.number(3))
    }

    fn word(&mut self, word: &str, letter: char) -> String {
        match word {
            "K" => self.key(letter),
            "N" => self.number(9).to_string(),
            "V" => ["1", "2", "abc", "a-value-of-more-than-a-few-bytes"][self.number(4) as usize].to_owned(),
            "F" => ["a", "b", "c", "d"][self.number(4) as usize].to_owned(),
            "S" => (self.number(9) as i32 - 4).to_string(),
            "I" => format!("{}-{}", self.number(12), self.number(3)),
            "SOON" => SOON_MS.to_owned(),
            "LATE" => "1000000".to_owned(),
            "PAST" => "1000000".to_owned(),
            word => word.to_owned(),
        }
    }

    fn request(&mut self) -> Request {
        let (letter, templates) = TYPES[self.number(TYPES.len() as u32) as usize];
        let template = templates.choose(&mut self.rng).expect("there are some");
        template.split(' ').map(|word| self.word(word, letter).into_bytes()).collect()
    }
}

/// A server with a client that gives commands and one that gets the events.
struct Side {
    _process: Process,
    commands: Client,
    events: Client,
}

impl Side {
    fn new(process: Process, classes: &str) -> Side {
        let (mut commands, mut events) = (process.connect(), process.connect());
        for (name, value) in [("notify-keyspace-events", classes), ("stream-node-max-entries", "100")] {
            assert_eq!(commands.ask(&["CONFIG", "SET", name, value]), b"+OK\r\n");
        }
        assert_eq!(commands.ask(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]), b"+OK\r\n");
        events.ask(&["PSUBSCRIBE", "__key*__:*"]);
        Side { _process: process, commands, events }
    }

    /// All events that have happened, as `channel message`.
    fn events(&mut self) -> Vec<String> {
        self.events.send(&["PING"]);
        let mut all = Vec::new();
        loop {
            let message = self.events.receive();
            let parts: Vec<String> = elements(&message).expect("an array").into_iter().map(text).collect();
            match parts.as_slice() {
                [kind, _, channel, message] if kind == "pmessage" => all.push(format!("{channel} {message}")),
                _ => return all,
            }
        }
    }

    /// The events of one command.
    fn run(&mut self, request: &Request) -> Vec<String> {
        self.commands.ask(request);
        self.events()
    }
}

const OPTIONS: [&str; 4] = ["--enable-debug-command", "yes", "--hz", "10"];

/// All that happens to keys in Redis 7.0.
const CLASSES: &str = "KEAnm";

#[test]
fn the_same_commands_make_the_same_events() {
    let mut ours = Side::new(Process::nuthatch(&OPTIONS), CLASSES);
    let mut theirs = Side::new(Process::redis(&OPTIONS), CLASSES);
    // XREADGROUP makes its consumer in any case from 7.2 on.
    let compares_consumers = version(&mut theirs.commands) >= vec![7, 2];
    let started = Instant::now();
    let mut seed = rand::rng().random();
    let mut commands = 0;
    let mut events = 0;
    while started.elapsed() < TIME_LIMIT {
        let mut generator = Generator { rng: StdRng::seed_from_u64(seed) };
        let mut shown: Vec<String> = Vec::new();
        for side in [&mut ours, &mut theirs] {
            side.run(&vec![b"FLUSHALL".to_vec()]);
            side.run(&vec![b"SELECT".to_vec(), b"0".to_vec()]);
        }
        for _ in 0..RUN_COMMANDS {
            let request = generator.request();
            let words: Vec<String> =
                request.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
            shown.push(words.join(" "));
            let (mut ours, mut theirs) = (ours.run(&request), theirs.run(&request));
            if words[0].ends_with("STORE") || words[0] == "BITOP" {
                // Where nothing is to be stored, Redis deletes what is there without a look whether it has expired.
                for event in ours.iter_mut().chain(&mut theirs) {
                    *event = event.replace("expired", "del");
                }
            }
            if !compares_consumers {
                for events in [&mut ours, &mut theirs] {
                    events.retain(|event| !event.contains("consumer"));
                }
            }
            assert_eq!(
                ours,
                theirs,
                "seed {seed}; the last commands:\n{}",
                shown[shown.len().saturating_sub(SHOWN_COMMANDS)..].join("\n")
            );
            events += ours.len();
            if words.iter().any(|word| word == SOON_MS) {
                std::thread::sleep(PAUSE);
            }
        }
        commands += RUN_COMMANDS;
        seed += 1;
    }
    println!("{events} events of {commands} commands");
    assert!(events > 0);
}

/// Commands with the events that they make in Redis 8.2, all classes being published: `event:key`. `wait` lets
/// deadlines pass.
const SCRIPT: &[(&str, &str)] = &[
    ("SET a 1", "new:a set:a"),
    ("SET a 2", "overwritten:a set:a"),
    ("SET a 3 EX 100", "overwritten:a set:a expire:a"),
    ("GET none", "keymiss:none"),
    ("GETSET a 2", "overwritten:a set:a"),
    ("MSET a 1 b 2", "overwritten:a set:a new:b set:b"),
    ("LPUSH l x", "new:l lpush:l"),
    ("SET l 1", "overwritten:l type_changed:l set:l"),
    ("LPUSH m x", "new:m lpush:m"),
    ("RENAME m l", "new:l rename_from:m rename_to:l overwritten:l type_changed:l"),
    ("COPY l a REPLACE", "new:a copy_to:a overwritten:a type_changed:a"),
    ("COPY l c", "new:c copy_to:c"),
    ("SADD s 1 2", "new:s sadd:s"),
    ("SUNIONSTORE s s", "overwritten:s sunionstore:s"),
    ("SUNIONSTORE a s", "overwritten:a type_changed:a sunionstore:a"),
    ("ZADD z 1 a", "new:z zadd:z"),
    ("ZUNIONSTORE s 1 z", "overwritten:s type_changed:s zunionstore:s"),
    ("ZRANGESTORE z z 0 -1", "overwritten:z zrangestore:z"),
    ("INCR n", "new:n incrby:n"),
    ("INCR n", "incrby:n"),
    ("BITOP OR n n", "overwritten:n set:n"),
    ("PFMERGE p p", "keymiss:p keymiss:p new:p pfadd:p"),
    ("HSET h f v f2 v f3 v f4 v", "new:h hset:h"),
    ("HEXPIRE h 100 FIELDS 1 f", "hexpire:h"),
    ("HPEXPIRE h 1 FIELDS 1 f2", "hexpire:h"),
    ("wait", "hexpired:h"),
    ("HPEXPIREAT h 1000 FIELDS 1 f3", "hdel:h"),
    ("HPERSIST h FIELDS 1 f", "hpersist:h"),
    ("HPERSIST h FIELDS 1 f", ""),
    ("HGETEX h EX 100 FIELDS 2 f f4", "hexpire:h"),
    ("HGETEX h FIELDS 2 f f4", ""),
    ("HGETEX h PERSIST FIELDS 1 f", "hpersist:h"),
    ("HGETEX h PXAT 1000 FIELDS 1 f", "hdel:h"),
    ("HSETEX h FIELDS 1 f v", "hset:h"),
    ("HSETEX h EX 100 FIELDS 2 f v g v", "hset:h hexpire:h"),
    ("HSETEX h PXAT 1000 FIELDS 2 f v g v", "hset:h hdel:h"),
    ("HGETDEL h FIELDS 1 none", ""),
    ("HGETDEL h FIELDS 1 f4", "hdel:h del:h"),
    ("HSET h f v", "new:h hset:h"),
    ("HPEXPIRE h 1 FIELDS 1 f", "hexpire:h"),
    ("wait", "hexpired:h del:h"),
    ("HSET h f v g v", "new:h hset:h"),
    ("HEXPIRE h 0 FIELDS 2 f g", "hdel:h del:h"),
    ("XADD x 1-1 f v", "new:x xadd:x"),
    ("XADD x 2-1 f v", "xadd:x"),
    ("XADD x 3-1 f v", "xadd:x"),
    ("XGROUP CREATE x g 0", "xgroup-create:x"),
    ("XREADGROUP GROUP g c STREAMS x >", "xgroup-createconsumer:x"),
    ("XACKDEL x g IDS 1 1-1", "xdel:x"),
    ("XACKDEL x g IDS 1 1-1", ""),
    ("XDELEX x IDS 1 2-1", "xdel:x"),
    ("XDELEX x IDS 1 2-1", ""),
    ("XADD x MAXLEN 0 4-1 f v", "xadd:x xtrim:x"),
];

/// As long as Redis takes for a round of expiry, at most.
const LONG_PAUSE: Duration = Duration::from_millis(300);

/// The version of a server.
fn version(client: &mut Client) -> Vec<u32> {
    let info = text(&client.ask(&["INFO", "server"]));
    let version = info.lines().find_map(|line| line.strip_prefix("redis_version:")).expect("a version");
    version.split('.').map(|part| part.parse().expect("a number")).collect()
}

fn run_script(process: Process) {
    let mut side = Side::new(process, "EAnmoc");
    side.commands.ask(&["DEBUG", "SET-ACTIVE-EXPIRE", "1"]);
    for (command, expected) in SCRIPT {
        let events = if *command == "wait" {
            std::thread::sleep(LONG_PAUSE);
            side.events()
        } else {
            side.run(&command.split(' ').map(|word| word.as_bytes().to_vec()).collect())
        };
        let events: Vec<String> =
            events.iter().map(|event| event.replace("__keyevent@0__:", "").replace(' ', ":")).collect();
        assert_eq!(events.join(" "), *expected, "{command}");
    }
}

#[test]
fn the_events_of_redis_8_2() {
    run_script(Process::nuthatch(&OPTIONS));
    let theirs = Process::redis(&OPTIONS);
    if version(&mut theirs.connect()) >= vec![8, 2] {
        run_script(theirs);
    }
}
