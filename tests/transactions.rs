//! MULTI, EXEC, DISCARD, WATCH and UNWATCH: what they reply, what they keep apart, and what others see of them.

mod common;

use common::{Client, Process, elements, info, text};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long clients race.
const RACE: Duration = Duration::from_secs(3);

fn ok(reply: &[u8]) {
    assert_eq!(reply, b"+OK\r\n", "{}", reply.escape_ascii());
}

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

/// Sends lines of words, and returns the replies as text with visible line ends.
fn ask_all(client: &mut Client, lines: &[&str]) -> Vec<String> {
    lines.iter().for_each(|line| client.send(&words(line)));
    lines.iter().map(|_| client.receive().escape_ascii().to_string()).collect()
}

/// Asks one thing and returns the reply as text with visible line ends.
fn ask(client: &mut Client, line: &str) -> String {
    client.ask(&words(line)).escape_ascii().to_string()
}

/// A field of the line of CLIENT LIST of the client of this name.
fn field(observer: &mut Client, name: &str, field: &str) -> String {
    let list = text(&observer.ask(&["CLIENT", "LIST"]));
    let line = list.lines().find(|line| line.contains(&format!(" name={name} "))).expect("the client");
    let value = line.split(' ').find_map(|word| word.strip_prefix(field)?.strip_prefix('='));
    value.expect("the field").to_owned()
}

/// Conversations whose replies are those of Redis to the byte. `other:` is said by another client.
const CONVERSATIONS: &[&[&str]] = &[
    &["multi", "set a 1", "get a", "incr a", "exec", "get a"],
    &["multi", "exec", "multi", "discard", "exec", "discard"],
    &["multi", "multi", "set a 1", "exec"],
    &["multi", "watch a", "set a 1", "exec"],
    &["multi", "unwatch", "ping", "echo hello", "exec"],
    &["set a x", "multi", "incr a", "lpush a 1", "set b 2", "exec", "get b"],
    &["multi", "nosuch", "set a 1", "exec", "get a"],
    &["multi", "get", "set a 1", "exec", "get a"],
    &["multi", "set a 1", "nosuch", "discard", "get a"],
    &["multi", "config nosuch", "exec"],
    &["multi", "set a 1", "exec now", "get a", "exec"],
    &["exec now", "multi now", "discard now", "watch", "unwatch now"],
    &["multi", "shutdown", "exec"],
    &[
        "multi",
        "select 1",
        "set a 1",
        "select 2",
        "set a 2",
        "select 99",
        "set b 2",
        "exec",
        "get b",
        "select 1",
        "get a",
    ],
    &["multi", "reset", "exec", "get a"],
    &["multi", "set a 1", "flushall", "dbsize", "exec"],
    &["set a 1", "multi", "flushdb", "set b 1", "dbsize", "keys *", "randomkey", "scan 0", "exec"],
    &["set a 1", "multi", "swapdb 0 1", "get a", "select 1", "get a", "exec", "select 0"],
    &["set a 1", "multi", "move a 1", "move a 99", "copy b c db 99", "copy a b db 1", "exists a", "exec"],
    &["mset a 1 b 2", "multi", "rename a c", "rename a d", "mget a b c", "del b c", "exec", "dbsize"],
    &["watch a", "set a 1", "multi", "get a", "exec", "multi", "get a", "exec"],
    &["watch a", "multi", "get a", "exec"],
    &["watch a b c", "other: set b 1", "multi", "get b", "exec"],
    &["watch a", "other: set b 1", "multi", "get b", "exec"],
    &["watch a", "other: set a 1", "unwatch", "multi", "get a", "exec"],
    &["watch a", "other: set a 1", "multi", "discard", "multi", "get a", "exec"],
    &["set a 1", "watch a", "other: del a", "multi", "ping", "exec"],
    &["watch a", "other: del a", "multi", "ping", "exec"],
    &["set a 1", "watch a", "other: set a 1", "multi", "ping", "exec"],
    &["set a 1", "watch a", "other: expire a 100", "multi", "ping", "exec"],
    &["set a 1", "watch a", "other: expire none 100", "other: persist a", "multi", "ping", "exec"],
    &["set a 1 ex 100", "watch a", "other: persist a", "multi", "ping", "exec"],
    &["set a 1", "watch a", "other: get a", "other: object encoding a", "multi", "ping", "exec"],
    &["set a 1", "watch a", "other: lpush a 1", "multi", "ping", "exec"],
    &["set a 1", "watch a", "other: flushall", "multi", "ping", "exec"],
    &["watch a", "other: flushall", "multi", "ping", "exec"],
    &["set a 1", "watch a", "other: select 1", "other: flushdb", "multi", "ping", "exec"],
    &["set a 1", "watch a", "other: swapdb 0 1", "multi", "ping", "exec"],
    &["select 1", "set a 1", "select 0", "watch a", "other: swapdb 1 0", "multi", "ping", "exec"],
    &["set b 1", "watch a", "other: swapdb 0 1", "multi", "ping", "exec"],
    &["watch a", "other: swapdb 0 0", "multi", "ping", "exec"],
    &["set a 1", "watch a", "other: swapdb 2 1", "multi", "ping", "exec"],
    &["set a 1", "watch a", "other: rename a b", "multi", "ping", "exec"],
    &["set b 1", "watch a", "other: rename b a", "multi", "ping", "exec"],
    &["set a 1", "watch a", "other: rename a a", "multi", "ping", "exec"],
    &["mset a 1 b 1", "watch a", "other: renamenx b a", "multi", "ping", "exec"],
    &["set b 1", "watch a", "other: copy b a", "multi", "ping", "exec"],
    &["set a 1", "watch a", "other: copy a b", "multi", "ping", "exec"],
    &["set a 1", "watch a", "other: move a 1", "multi", "ping", "exec"],
    &["set a 1", "watch b", "other: move a 1", "multi", "ping", "exec"],
    &["set a 1", "select 1", "watch a", "other: move a 1", "multi", "ping", "exec"],
    &["select 5", "set a 1", "watch a", "select 1", "set a 2", "select 5", "multi", "ping", "exec"],
    &["rpush a 1", "watch a", "other: lpop a", "multi", "ping", "exec"],
    &["rpush a 1", "watch a", "other: lrange a 0 -1", "other: lrem a 1 x", "multi", "ping", "exec"],
    &["sadd a 1", "watch a", "other: sadd a 1", "multi", "ping", "exec"],
    &["sadd a 1", "watch a", "other: srem a 1", "multi", "ping", "exec"],
    &["sadd a 1", "watch b", "other: sinterstore b a a", "multi", "ping", "exec"],
    &["sadd b 1", "watch b", "other: sinterstore b a a", "multi", "ping", "exec"],
    &["watch b", "other: sinterstore b a a", "multi", "ping", "exec"],
    &["zadd a 1 x", "watch a", "other: zadd a 1 x", "multi", "ping", "exec"],
    &["zadd a 1 x", "watch a", "other: zincrby a 1 x", "multi", "ping", "exec"],
    &["hset a f v", "watch a", "other: hset a f v", "multi", "ping", "exec"],
    &["hset a f v", "watch a", "other: hdel a g", "multi", "ping", "exec"],
    &["xadd a 1-1 f v", "watch a", "other: xtrim a maxlen 5", "multi", "ping", "exec"],
    &["xadd a 1-1 f v", "watch a", "other: xadd a 2-1 f v", "multi", "ping", "exec"],
    &["pfadd a x", "watch a", "other: pfadd a x", "multi", "ping", "exec"],
    &["pfadd a x", "watch a", "other: pfadd a y", "multi", "ping", "exec"],
    &["setbit a 1 1", "watch a", "other: bitcount a", "multi", "ping", "exec"],
    &["watch a", "other: append a x", "multi", "ping", "exec"],
    &["set a x", "watch a", "other: getex a", "multi", "ping", "exec"],
    &["set a x", "watch a", "other: getex a ex 100", "multi", "ping", "exec"],
    &[
        "set a x",
        "watch a",
        "other: setnx a y",
        "other: set a y nx",
        "other: msetnx a 1 b 2",
        "multi",
        "ping",
        "exec",
    ],
    &["set a x", "watch a", "reset", "set a y", "multi", "ping", "exec"],
    &["client reply skip", "multi", "set a 1", "client reply skip", "exec", "get a"],
    &["hello 3", "watch a", "set a 1", "multi", "ping", "exec", "multi", "hello 2", "hgetall a", "exec"],
];

/// The whole conversation as the server under test and Redis have it.
fn converse(server: &Process, conversation: &[&str]) -> Vec<String> {
    let (mut client, mut other) = (server.connect(), server.connect());
    ok(&other.ask(&["FLUSHALL"]));
    let mut replies = Vec::new();
    let mut silent = 0;
    for line in conversation {
        if let Some(line) = line.strip_prefix("other: ") {
            replies.push(ask(&mut other, line));
        } else if *line == "client reply skip" {
            client.send(&words(line));
            silent = 2;
        } else if silent == 2 {
            client.send(&words(line));
            silent = 0;
        } else {
            replies.push(ask(&mut client, line));
        }
    }
    replies.retain(|reply| !reply.contains("server"));
    replies
}

#[test]
fn conversations_are_those_of_redis() {
    let (ours, redis) = (Process::nuthatch(&[]), Process::redis(&[]));
    for conversation in CONVERSATIONS {
        let (ours, redis) = (converse(&ours, conversation), converse(&redis, conversation));
        assert!(ours == redis, "{conversation:?}\nours:  {ours:#?}\nRedis: {redis:#?}");
    }
}

#[test]
fn a_watched_key_that_expires_fails_the_transaction_also_if_nobody_has_noticed() {
    let server = Process::nuthatch(&["--enable-debug-command", "yes"]);
    let (mut client, mut other) = (server.connect(), server.connect());
    let sleep = || thread::sleep(Duration::from_millis(60));
    let failed = "*-1\\r\\n";
    let passed = "*1\\r\\n+PONG\\r\\n";
    let exec =
        |client: &mut Client| ask_all(client, &["multi", "ping", "exec"]).pop().expect("the reply of EXEC");
    for active in ["0", "1"] {
        ok(&other.ask(&["DEBUG", "SET-ACTIVE-EXPIRE", active]));
        // It expires while it is watched.
        ask_all(&mut client, &["set a 1 px 50", "watch a"]);
        sleep();
        assert_eq!(exec(&mut client), failed, "active expiry: {active}");
        // Somebody comes upon it.
        ask_all(&mut client, &["set a 1 px 50", "watch a"]);
        sleep();
        ask(&mut other, "get a");
        assert_eq!(exec(&mut client), failed, "active expiry: {active}");
        // It was gone before: removing it changes nothing.
        for command in ["get a", "del a", "flushdb", "flushall", "swapdb 0 1", "exists a", "ping"] {
            ask(&mut client, "set a 1 px 50");
            sleep();
            ask(&mut client, "watch a");
            ask(&mut other, command);
            assert_eq!(exec(&mut client), passed, "{command}, active expiry: {active}");
        }
        // But a new value does.
        ask(&mut client, "set a 1 px 50");
        sleep();
        ask(&mut client, "watch a");
        ask(&mut other, "set a 2");
        assert_eq!(exec(&mut client), failed);
        // An expired key comes in the place of none, and goes.
        ask_all(&mut client, &["flushall", "select 1", "set a 1 px 50", "select 0"]);
        sleep();
        ask(&mut client, "watch a");
        ask_all(&mut other, &["swapdb 0 1", "get a"]);
        assert_eq!(exec(&mut client), passed);
        // A field of a hash.
        ask_all(&mut client, &["del h", "hset h f 1 g 2", "hpexpire h 50 fields 1 f", "watch h"]);
        sleep();
        ask(&mut other, "hset none f v");
        if active == "1" {
            assert_eq!(exec(&mut client), failed);
        } else {
            exec(&mut client);
        }
    }
}

#[test]
fn what_others_see_of_a_transaction() {
    let server = Process::nuthatch(&[]);
    let (mut client, mut observer) = (server.connect(), server.connect());
    ok(&client.ask(&["CLIENT", "SETNAME", "me"]));
    let mut see = |name: &str| field(&mut observer, "me", name);
    assert_eq!([see("flags"), see("multi"), see("watch")], ["N", "-1", "0"]);
    ask_all(&mut client, &["watch a b c", "watch a", "multi", "set x 1", "get x"]);
    assert_eq!([see("flags"), see("multi"), see("watch")], ["x", "2", "3"]);
    let small: usize = see("multi-mem").parse().expect("a number");
    let total: usize = see("tot-mem").parse().expect("a number");
    client.ask(&["SET", "x", &"v".repeat(100_000)]);
    let large: usize = see("multi-mem").parse().expect("a number");
    let larger: usize = see("tot-mem").parse().expect("a number");
    assert!(small > 0 && (100_000..110_000).contains(&(large - small)), "{small}, then {large}");
    assert!(larger >= total + 100_000, "{total}, then {larger}");
    assert_eq!(info(&mut observer, "watching_clients"), 1);
    assert_eq!(info(&mut observer, "total_watched_keys"), 3);
    ask(&mut observer, "set b 1");
    let mut see = |name: &str| field(&mut observer, "me", name);
    assert_eq!([see("flags"), see("multi"), see("watch")], ["xd", "3", "0"]);
    assert_eq!(info(&mut observer, "watching_clients"), 0);
    assert_eq!(info(&mut observer, "total_watched_keys"), 0);
    assert_eq!(ask(&mut client, "exec"), "*-1\\r\\n");
    let mut see = |name: &str| field(&mut observer, "me", name);
    assert_eq!([see("flags"), see("multi"), see("multi-mem")], ["N", "-1", "0"]);
    // Whoever goes away watches nothing.
    ask_all(&mut client, &["watch a b", "multi"]);
    assert_eq!(info(&mut observer, "total_watched_keys"), 2);
    drop(client);
    common::await_clients(&mut observer, 1);
    assert_eq!(info(&mut observer, "total_watched_keys"), 0);
    assert_eq!(info(&mut observer, "watching_clients"), 0);
}

#[test]
fn commands_inside_count_like_others() {
    let server = Process::nuthatch(&["--slowlog-log-slower-than", "0"]);
    let mut client = server.connect();
    ok(&client.ask(&["CONFIG", "RESETSTAT"]));
    ask_all(&mut client, &["set s x", "multi", "incr a", "incr s", "get a", "get none", "exec"]);
    ask_all(&mut client, &["multi", "get", "exec"]);
    let stats = text(&client.ask(&["INFO", "everything"]));
    let line = |name: &str| {
        let line = stats.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("{name} is not there")).to_owned()
    };
    let has = |name: &str, parts: &[&str]| {
        let line = line(name);
        assert!(parts.iter().all(|part| line.contains(part)), "{name}: {line}");
    };
    has("cmdstat_incr", &["calls=2,", "failed_calls=1"]);
    has("cmdstat_get", &["calls=2,", "rejected_calls=1", "failed_calls=0"]);
    has("cmdstat_exec", &["calls=2,", "failed_calls=1"]);
    has("cmdstat_multi", &["calls=2,"]);
    assert_eq!(line("errorstat_ERR"), "count=2");
    assert_eq!(line("errorstat_EXECABORT"), "count=1");
    assert_eq!(line("keyspace_hits"), "1");
    assert_eq!(line("keyspace_misses"), "1");
    // RESETSTAT, SET, two of MULTI and EXEC each, and four inside.
    assert_eq!(line("total_commands_processed"), "10");
    let log = text(&client.ask(&["SLOWLOG", "LEN"]));
    assert!(log.parse::<u32>().expect("a number") >= 8);
    let log = client.ask(&["SLOWLOG", "GET", "-1"]).escape_ascii().to_string().to_lowercase();
    assert!(log.contains("incr") && log.contains("multi") && !log.contains("exec\\r"), "{log}");
}

#[test]
fn memory_for_a_transaction_has_limits() {
    let server = Process::nuthatch(&[]);
    let (mut client, mut other) = (server.connect(), server.connect());
    // What needs memory is refused when it is queued, and when it was queued before.
    ask_all(&mut client, &["multi", "get x"]);
    ok(&other.ask(&["CONFIG", "SET", "maxmemory", "1"]));
    assert_eq!(ask(&mut client, "exec"), "*1\\r\\n$-1\\r\\n");
    let refused = ask_all(&mut client, &["multi", "set x 1", "exec"]);
    assert!(refused[1].starts_with("-OOM") && refused[2].starts_with("-EXECABORT"), "{refused:?}");
    ok(&other.ask(&["CONFIG", "SET", "maxmemory", "0"]));
    ask_all(&mut client, &["multi", "set x 1"]);
    ok(&other.ask(&["CONFIG", "SET", "maxmemory", "1"]));
    let refused = ask(&mut client, "exec");
    assert_eq!(
        refused,
        "-EXECABORT Transaction discarded because of: OOM command not allowed when used memory > \\'maxmemory\\'.\\r\\n"
    );
    ok(&other.ask(&["CONFIG", "SET", "maxmemory", "0"]));
    assert_eq!(ask_all(&mut client, &["exists x", "ping"]), [":0\\r\\n", "+PONG\\r\\n"]);
    // A queue counts as input.
    ok(&other.ask(&["CONFIG", "SET", "client-query-buffer-limit", "1048576"]));
    ask(&mut client, "multi");
    let value = "v".repeat(20_000);
    let mut sent = 0;
    let closed = loop {
        client.write(&common::encode(&["SET", "x", &value]));
        sent += 1;
        let mut byte = [0];
        if std::io::Read::read(&mut client.stream(), &mut byte).is_ok_and(|read| read == 1) {
            std::io::Read::read_exact(&mut client.stream(), &mut [0; 8]).expect("the rest of +QUEUED");
            assert!(sent < 100, "nothing ends the queue");
        } else {
            break sent;
        }
    };
    assert!((50..60).contains(&closed), "closed after {closed} commands");
    assert_eq!(info(&mut other, "client_query_buffer_limit_disconnections"), 1);
}

#[test]
fn a_write_pause_holds_up_transactions_that_write() {
    let server = Process::nuthatch(&[]);
    let (mut client, mut other) = (server.connect(), server.connect());
    ask_all(&mut client, &["multi", "set x 1"]);
    ok(&other.ask(&["CLIENT", "PAUSE", "10000", "WRITE"]));
    let mut reader = server.connect();
    assert_eq!(ask_all(&mut reader, &["multi", "get x", "exec"])[2], "*1\\r\\n$-1\\r\\n");
    client.send(&["EXEC"]);
    thread::sleep(Duration::from_millis(50));
    assert_eq!(ask(&mut reader, "get x"), "$-1\\r\\n");
    ok(&other.ask(&["CLIENT", "UNPAUSE"]));
    assert_eq!(client.receive(), b"*1\r\n+OK\r\n");
}

#[test]
fn a_write_pause_lets_scripts_pass_that_say_they_write_nothing() {
    let server = Process::nuthatch(&[]);
    let mut client = server.connect();
    let reads = "#!lua flags=no-writes\nreturn 1";
    let sha1 = text(&client.ask(&["SCRIPT", "LOAD", reads]));
    let library = "#!lua name=l\nredis.register_function{function_name='f', callback=function() return 2 end, \
                   flags={'no-writes'}}";
    client.ask(&["FUNCTION", "LOAD", library]);
    ok(&client.ask(&["CLIENT", "PAUSE", "10000", "WRITE"]));
    let mut reader = server.connect();
    assert_eq!(reader.ask(&["EVAL", "#!lua flags=no-writes\nreturn 0", "0"]), b":0\r\n");
    assert_eq!(reader.ask(&["EVALSHA", &sha1, "0"]), b":1\r\n");
    assert_eq!(reader.ask(&["EVAL_RO", "return 3", "0"]), b":3\r\n");
    assert_eq!(reader.ask(&["FCALL", "f", "0"]), b":2\r\n");
    reader.ask(&["MULTI"]);
    reader.ask(&["EVAL", reads, "0"]);
    assert_eq!(reader.ask(&["EXEC"]), b"*1\r\n:1\r\n");
    reader.send(&["EVAL", "return 4", "0"]);
    thread::sleep(Duration::from_millis(50));
    ok(&client.ask(&["CLIENT", "UNPAUSE"]));
    assert_eq!(reader.receive(), b":4\r\n");
}

/// Clients that race until the time is over or one of them panics.
struct Race {
    end: Instant,
    failed: AtomicBool,
}

struct Alarm<'a>(&'a AtomicBool);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

impl Race {
    fn new() -> Race {
        Race { end: Instant::now() + RACE, failed: AtomicBool::new(false) }
    }

    fn run(&self, server: &Process, mut step: impl FnMut(&mut Client)) {
        let _alarm = Alarm(&self.failed);
        let mut client = server.connect();
        while Instant::now() < self.end && !self.failed.load(Ordering::Relaxed) {
            step(&mut client);
        }
    }
}

fn dice(seed: usize) -> impl FnMut(usize) -> usize {
    let mut state = seed as u64 * 0x9E37_79B9 + 1;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    }
}

const ACCOUNTS: usize = 100;
const MOVERS: usize = 64;
const READERS: usize = 4;
const EACH: i64 = 1000;

fn sum(reply: &[u8]) -> i64 {
    let values = elements(reply).expect("an array");
    assert_eq!(values.len(), ACCOUNTS);
    values.iter().map(|value| text(value).parse::<i64>().expect("a balance")).sum()
}

#[test]
fn money_is_moved_and_never_lost() {
    let server = Process::nuthatch(&["--io-threads", "6"]);
    let accounts: Vec<String> = (0..ACCOUNTS).map(|n| format!("account:{n}")).collect();
    let mut set = vec!["MSET".to_owned()];
    set.extend(accounts.iter().flat_map(|name| [name.clone(), EACH.to_string()]));
    ok(&server.connect().ask(&set));
    let (moved, refused, sums) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let race = Race::new();
    thread::scope(|scope| {
        for id in 0..MOVERS {
            let (race, server, accounts, moved, refused) = (&race, &server, &accounts, &moved, &refused);
            scope.spawn(move || {
                let mut throw = dice(id + 1);
                race.run(server, |client| {
                    let (from, to) = (&accounts[throw(ACCOUNTS)], &accounts[throw(ACCOUNTS)]);
                    if from == to {
                        return;
                    }
                    ok(&client.ask(&["WATCH", from, to]));
                    let balances = client.ask(&["MGET", from, to]);
                    let balances: Vec<i64> = elements(&balances)
                        .expect("an array")
                        .iter()
                        .map(|balance| text(balance).parse().expect("a number"))
                        .collect();
                    let amount = 1 + throw(50) as i64;
                    client.send(&["MULTI"]);
                    client.send(&["SET", from, &(balances[0] - amount).to_string()]);
                    client.send(&["SET", to, &(balances[1] + amount).to_string()]);
                    client.send(&["EXEC"]);
                    for _ in 0..3 {
                        client.receive();
                    }
                    let passed = elements(&client.receive()).is_some_and(|replies| replies.len() == 2);
                    if passed { moved } else { refused }.fetch_add(1, Ordering::Relaxed);
                });
            });
        }
        for id in 0..READERS {
            let (race, server, accounts, sums) = (&race, &server, &accounts, &sums);
            scope.spawn(move || {
                race.run(server, |client| {
                    let total = if id % 2 == 0 {
                        let mut get = vec!["MGET".to_owned()];
                        get.extend(accounts.iter().cloned());
                        sum(&client.ask(&get))
                    } else {
                        client.send(&["MULTI"]);
                        accounts.iter().for_each(|name| client.send(&["GET", name]));
                        client.send(&["EXEC"]);
                        (0..=ACCOUNTS).for_each(|_| drop(client.receive()));
                        sum(&client.receive())
                    };
                    assert_eq!(total, EACH * ACCOUNTS as i64, "reader {id}");
                    sums.fetch_add(1, Ordering::Relaxed);
                });
            });
        }
    });
    let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    assert!(
        count(&moved) > 500 && count(&refused) > 0 && count(&sums) > 100,
        "{moved:?} {refused:?} {sums:?}"
    );
    let mut get = vec!["MGET".to_owned()];
    get.extend(accounts);
    assert_eq!(sum(&server.connect().ask(&get)), EACH * ACCOUNTS as i64);
}

#[test]
fn sixteen_keys_are_never_seen_torn() {
    const KEYS: usize = 16;
    let server = Process::nuthatch(&["--io-threads", "6"]);
    let keys: Vec<String> = (0..KEYS).map(|n| format!("key:{n}")).collect();
    let reads = AtomicUsize::new(0);
    let race = Race::new();
    thread::scope(|scope| {
        for id in 0..4 {
            let (race, server, keys) = (&race, &server, &keys);
            scope.spawn(move || {
                let mut number = 0;
                race.run(server, |client| {
                    number += 1;
                    let value = format!("{id}-{number}");
                    if number % 3 == 0 {
                        client.send(&["MULTI"]);
                        keys.iter().rev().for_each(|key| client.send(&["SET", key, &value]));
                        client.send(&["EXEC"]);
                        (0..KEYS + 2).for_each(|_| drop(client.receive()));
                    } else {
                        let mut set = vec!["MSET"];
                        set.extend(keys.iter().flat_map(|key| [key.as_str(), &value]));
                        ok(&client.ask(&set));
                    }
                });
            });
        }
        for _ in 0..4 {
            scope.spawn(|| {
                race.run(&server, |client| {
                    let mut get = vec!["MGET"];
                    get.extend(keys.iter().map(String::as_str));
                    let reply = client.ask(&get);
                    let values = elements(&reply).expect("an array");
                    assert!(values.iter().all(|value| *value == values[0]), "torn: {}", reply.escape_ascii());
                    reads.fetch_add(1, Ordering::Relaxed);
                });
            });
        }
    });
    assert!(reads.load(Ordering::Relaxed) > 500, "{reads:?}");
}
