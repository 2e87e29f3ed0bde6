//! Snapshots go to Redis and back: what one server saves the other one loads, with the same data by DEBUG DIGEST, for
//! every type in every form; and Redis's own tool finds nothing wrong with files that were written here.

mod common;

use common::{Client, Process};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const DEBUG: &[&str] = &["--enable-debug-command", "yes"];

fn ask(client: &mut Client, words: &[&str]) -> String {
    client.send(words);
    String::from_utf8_lossy(&client.receive()).trim_end().to_owned()
}

fn ok(client: &mut Client, words: &[&str]) {
    let reply = ask(client, words);
    assert!(!reply.starts_with('-'), "{words:?}: {reply}");
}

/// Data of every type in every form, in several databases, with deadlines.
fn fill(client: &mut Client) {
    let long = "some words again ".repeat(2000);
    let mut all: Vec<Vec<String>> = Vec::new();
    let mut add = |words: &[&str]| all.push(words.iter().map(|word| (*word).to_owned()).collect());
    for (key, value) in [
        ("int", "12345"),
        ("negative", "-70000"),
        ("huge", "9223372036854775807"),
        ("text", "text"),
        ("", ""),
    ] {
        add(&["SET", key, value]);
    }
    add(&["SET", "long", &long]);
    add(&["SET", "compressible", &"a".repeat(100)]);
    add(&["SET", &"k".repeat(254), "254"]);
    add(&["SET", &"k".repeat(255), "255"]);
    add(&["SET", &"k".repeat(300), "300"]);
    add(&["APPEND", "raw", "abc"]);
    add(&["SET", "late", "x", "PXAT", "4000000000000"]);
    for n in 0..5 {
        add(&["RPUSH", "list", &n.to_string(), "text"]);
        add(&["SADD", "integers", &(n * 1000).to_string()]);
        add(&["SADD", "set", &format!("member {n}")]);
        add(&["HSET", "hash", &format!("field {n}"), &n.to_string()]);
        add(&["ZADD", "zset", &(f64::from(n) / 3.0).to_string(), &format!("member {n}")]);
    }
    for n in 0..3000 {
        let text = format!("element number {n}");
        add(&["RPUSH", "long list", &text]);
        add(&["SADD", "large set", &text]);
        add(&["SADD", "large integers", &(n * 7).to_string()]);
        add(&["HSET", "large hash", &text, &n.to_string()]);
        add(&["ZADD", "large zset", &(f64::from(n) * 0.1).to_string(), &text]);
        add(&["XADD", "stream", &format!("{}-1", n + 1), "n", &n.to_string(), "text", &text]);
    }
    add(&["RPUSH", "list of long ones", &long, "short", &long]);
    add(&["ZADD", "odd scores", "inf", "a", "-inf", "b", "0.1", "c", "1e300", "d", "3", "e"]);
    add(&["XDEL", "stream", "5-1", "6-1"]);
    add(&["XGROUP", "CREATE", "stream", "group", "0"]);
    add(&["XGROUP", "CREATE", "stream", "other", "$"]);
    add(&["XREADGROUP", "GROUP", "group", "alice", "COUNT", "10", "STREAMS", "stream", ">"]);
    add(&["XREADGROUP", "GROUP", "group", "bob", "COUNT", "5", "STREAMS", "stream", ">"]);
    add(&["XACK", "stream", "group", "1-1"]);
    add(&["XADD", "empty stream", "1-1", "a", "b"]);
    add(&["XDEL", "empty stream", "1-1"]);
    add(&["PFADD", "hll", "a", "b", "c"]);
    let library = "#!lua name=lib\nredis.register_function('f', function() return 7 end)";
    add(&["FUNCTION", "LOAD", library]);
    add(&["SELECT", "3"]);
    add(&["SET", "elsewhere", "1"]);
    add(&["PEXPIREAT", "elsewhere", "4000000000000"]);
    add(&["SELECT", "15"]);
    add(&["RPUSH", "last", "a"]);
    add(&["SELECT", "0"]);
    for words in &all {
        ok(client, &words.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

fn digest(client: &mut Client) -> String {
    ask(client, &["DEBUG", "DIGEST"])
}

/// What both say of streams, which digests leave out in part, and of functions.
fn groups(client: &mut Client) -> Vec<String> {
    let pending_of_bob = ask(client, &["XPENDING", "stream", "group", "-", "+", "100", "bob"]);
    vec![
        ask(client, &["XPENDING", "stream", "group"]),
        ask(client, &["XPENDING", "stream", "other"]),
        pending_of_bob.lines().count().to_string(),
        // The last ID is known even where its entry is gone.
        ask(client, &["XADD", "empty stream", "1-1", "a", "b"]),
        ask(client, &["FCALL", "f", "0"]),
    ]
}

fn start(ours: bool, from: &Path, more: &[&str]) -> (Process, TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::copy(from, directory.path().join("dump.rdb")).expect("the snapshot is there");
    let path = directory.path().to_str().expect("a path of text");
    let args = [DEBUG, &["--dir", path], more].concat();
    let process = if ours { Process::nuthatch(&args) } else { Process::redis(&args) };
    (process, directory)
}

fn saved_in_background(process: &Process, client: &mut Client) {
    let before = ask(client, &["LASTSAVE"]);
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(ask(client, &["BGSAVE"]), "+Background saving started");
    process.await_true("the snapshot is saved", || ask(&mut process.connect(), &["LASTSAVE"]) != before);
}

#[test]
fn snapshots_of_redis_are_loaded_and_ours_by_redis() {
    for options in [
        &["--rdbcompression", "no"][..],
        &["--maxmemory-policy", "allkeys-lru"],
        &["--maxmemory-policy", "allkeys-lfu", "--rdbchecksum", "no"],
    ] {
        let args = [DEBUG, options].concat();
        let theirs = Process::redis(&args);
        let mut client = theirs.connect();
        fill(&mut client);
        ok(&mut client, &["SAVE"]);
        let (expected, expected_groups) = (digest(&mut client), groups(&mut client));

        let (ours, directory) = start(true, &theirs.dir().join("dump.rdb"), options);
        let mut client = ours.connect();
        assert_eq!(digest(&mut client), expected, "loaded here");
        assert_eq!(groups(&mut client), expected_groups);
        saved_in_background(&ours, &mut client);
        let file = directory.path().join("dump.rdb");
        let checked = Command::new("redis-check-rdb").arg(&file).output().expect("Redis's tool");
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));

        let (again, _directory) = start(false, &file, options);
        let mut client = again.connect();
        assert_eq!(digest(&mut client), expected, "loaded by Redis");
        assert_eq!(groups(&mut client), expected_groups);

        let (own, _directory) = start(true, &file, options);
        assert_eq!(digest(&mut own.connect()), expected, "loaded here again");
        ok(&mut own.connect(), &["DEBUG", "RELOAD"]);
        assert_eq!(digest(&mut own.connect()), expected, "reloaded");
        assert_eq!(groups(&mut own.connect()), expected_groups);
    }
}

/// Our tool says the same of a file as Redis's.
#[test]
fn the_tool_says_what_redis_says() {
    let theirs = Process::redis(DEBUG);
    let mut client = theirs.connect();
    fill(&mut client);
    ok(&mut client, &["SAVE"]);
    let file = theirs.dir().join("dump.rdb");
    let output = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).output().expect("a tool");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let path = file.to_str().expect("a path of text");
    let ours = || output(env!("CARGO_BIN_EXE_nuthatch"), &["check-rdb", path]);
    let theirs = || output("redis-check-rdb", &[path]);
    assert_eq!(ours(), theirs());
    let whole = std::fs::read(&file).expect("the snapshot");
    // Within the header, a fact, a key, a value, and the checksum.
    for len in [0, 3, 9, 20, 30, 500, whole.len() - 3] {
        std::fs::write(&file, &whole[..len]).expect("a shorter file");
        let ((our_code, ours), (their_code, theirs)) = (ours(), theirs());
        assert_eq!(our_code, their_code, "{len}");
        let error =
            |text: &str| text.lines().skip_while(|line| !line.contains("ERROR")).nth(1).map(str::to_owned);
        let reason = |line: Option<String>| line.and_then(|line| Some(line.split_once("] ")?.1.to_owned()));
        let (ours, theirs) = (reason(error(&ours)), reason(error(&theirs)));
        // In the middle of a stream theirs says what part of it is missing.
        assert!(
            ours == theirs || theirs.as_deref().is_some_and(|why| why.contains("Internal error")),
            "{ours:?}"
        );
    }
}

#[test]
fn a_snapshot_with_field_deadlines_comes_back() {
    let ours = Process::nuthatch(DEBUG);
    let mut client = ours.connect();
    ok(&mut client, &["HSET", "small", "a", "1", "b", "2"]);
    ok(&mut client, &["HPEXPIREAT", "small", "4000000000000", "FIELDS", "1", "a"]);
    for n in 0..1000 {
        ok(&mut client, &["HSET", "large", &format!("field {n}"), "value"]);
    }
    ok(&mut client, &["HPEXPIREAT", "large", "4000000000000", "FIELDS", "2", "field 1", "field 2"]);
    ok(&mut client, &["SAVE"]);
    let expected = digest(&mut client);
    let file = ours.dir().join("dump.rdb");
    assert!(std::fs::read(&file).expect("the snapshot").starts_with(b"REDIS0012"));
    let (again, _directory) = start(true, &file, &[]);
    assert_eq!(digest(&mut again.connect()), expected);
    let times = ask(&mut again.connect(), &["HPEXPIRETIME", "large", "FIELDS", "2", "field 2", "field 3"]);
    assert_eq!(times, "*2\r\n:4000000000000\r\n:-1");
    // Without them, what Redis 7.0 loads is written again.
    ok(&mut client, &["DEL", "small", "large"]);
    ok(&mut client, &["SAVE"]);
    assert!(std::fs::read(&file).expect("the snapshot").starts_with(b"REDIS0010"));
}
