//! What a server promises of its append-only file, tried from outside: what was acknowledged is there after every kill,
//! whole transactions only, whatever is torn off is cut off, and a log that cannot be written refuses writes until it
//! can.

mod common;

use common::{Client, Process, encode, free_port, text};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const LOG: &str = "appendonlydir/appendonly.aof";

fn ask(client: &mut Client, words: &[&str]) -> String {
    String::from_utf8_lossy(&client.ask(words)).trim_end().to_owned()
}

fn server(directory: &Path, more: &[&str]) -> Process {
    let directory = directory.to_str().expect("a path of text");
    let base = ["--dir", directory, "--enable-debug-command", "yes", "--appendonly", "yes"];
    let server = Process::nuthatch(&[&base[..], more].concat());
    await_loaded(&server);
    server
}

fn await_loaded(server: &Process) {
    server.await_true("the log is loaded", || server.connect().ask(&["PING"]) == b"+PONG\r\n");
}

fn info(client: &mut Client, field: &str) -> String {
    let text = ask(client, &["INFO", "persistence"]);
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {field} in {text}")).trim().to_owned()
}

fn await_rewritten(client: &mut Client) {
    let give_up = Instant::now() + Duration::from_secs(20);
    while info(client, "aof_rewrite_in_progress") != "0" || info(client, "aof_rewrite_scheduled") != "0" {
        assert!(Instant::now() < give_up, "the rewriting takes too long");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(info(client, "aof_last_bgrewrite_status"), "ok");
}

fn digest(client: &mut Client) -> String {
    ask(client, &["DEBUG", "DIGEST"])
}

/// All files of a folder and the folders in it.
fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            std::fs::create_dir_all(&target).expect("a folder");
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

/// A write load: each connection counts up a key of its own, and transactions keep two keys equal. Says what was
/// acknowledged.
#[derive(Default)]
struct Load {
    acknowledged: Mutex<HashMap<String, u64>>,
    stop: AtomicBool,
}

impl Load {
    fn run<R>(&self, server: &Process, connections: usize, f: impl FnOnce() -> R) -> R {
        std::thread::scope(|scope| {
            for number in 0..connections {
                scope.spawn(move || self.write(server, number));
            }
            let result = f();
            self.stop.store(true, Ordering::Relaxed);
            result
        })
    }

    fn write(&self, server: &Process, number: usize) {
        let mut client = server.connect();
        let (counter, left, right) =
            (format!("counter {number}"), format!("left {number}"), format!("right {number}"));
        let (mut n, mut pairs) = (0, 0);
        while !self.stop.load(Ordering::Relaxed) {
            let is_pair = n % 5 == 4;
            if is_pair {
                for words in [
                    &["MULTI"][..],
                    &["INCR", &left],
                    &["SELECT", "1"],
                    &["INCR", &right],
                    &["SELECT", "0"],
                    &["EXEC"],
                ] {
                    client.write(&encode(words));
                }
            } else {
                client.write(&encode(&["INCR", &counter]));
            }
            for _ in 0..if is_pair { 6 } else { 1 } {
                if client.try_receive().is_none() {
                    return;
                }
            }
            let mut acknowledged = self.acknowledged.lock().expect("a map");
            if is_pair {
                pairs += 1;
                acknowledged.insert(left.clone(), pairs);
                n += 1;
            } else {
                n += 1;
                acknowledged.insert(counter.clone(), n - pairs);
            }
        }
    }

    /// How many acknowledged writes are missing. Transactions have to be whole.
    fn missing(&self, server: &Process, connections: usize) -> u64 {
        let mut client = server.connect();
        let get =
            |client: &mut Client, key: &str| -> u64 { text(&client.ask(&["GET", key])).parse().unwrap_or(0) };
        let mut missing = 0;
        for (key, count) in &*self.acknowledged.lock().expect("a map") {
            let found = get(&mut client, key);
            missing += count.saturating_sub(found);
            assert!(found <= count + 1, "{key}: {found} of {count}");
        }
        for number in 0..connections {
            ask(&mut client, &["SELECT", "0"]);
            let left = get(&mut client, &format!("left {number}"));
            ask(&mut client, &["SELECT", "1"]);
            let right = get(&mut client, &format!("right {number}"));
            assert_eq!(left, right, "half a transaction of connection {number}");
        }
        missing
    }
}

#[test]
fn always_loses_nothing_that_was_acknowledged() {
    for round in 0..6 {
        let directory = tempfile::tempdir().expect("a directory");
        let load = Load::default();
        {
            let server = server(directory.path(), &["--appendfsync", "always"]);
            load.run(&server, 8, || {
                std::thread::sleep(Duration::from_millis(60 + 83 * round));
                if round % 2 == 1 {
                    ask(&mut server.connect(), &["BGREWRITEAOF"]);
                    std::thread::sleep(Duration::from_millis(3 * round));
                }
                server.signal("KILL");
            });
        }
        let server = server(directory.path(), &[]);
        assert_eq!(load.missing(&server, 8), 0, "round {round}");
    }
}

#[test]
fn everysec_loses_a_moment_at_most() {
    for round in 0..4 {
        let directory = tempfile::tempdir().expect("a directory");
        let load = Load::default();
        let mut rate = 0.0;
        {
            let server = server(directory.path(), &[]);
            load.run(&server, 4, || {
                let started = Instant::now();
                std::thread::sleep(Duration::from_millis(1100 + 37 * round));
                let written: u64 = load.acknowledged.lock().expect("a map").values().sum();
                rate = written as f64 / started.elapsed().as_secs_f64();
                server.signal("KILL");
            });
        }
        let server = server(directory.path(), &[]);
        let missing = load.missing(&server, 4) as f64;
        assert!(missing <= rate, "{missing} writes are missing, of {rate} a second");
    }
}

/// Kills while the log is rewritten again and again, and while it is turned on.
#[test]
fn kills_during_rewriting_leave_the_log_whole() {
    for round in 0..6 {
        let directory = tempfile::tempdir().expect("a directory");
        let load = Load::default();
        {
            let server = server(directory.path(), &["--appendfsync", "always"]);
            let mut client = server.connect();
            ask(&mut client, &["DEBUG", "POPULATE", "20000"]);
            load.run(&server, 4, || {
                let until = Instant::now() + Duration::from_millis(40 + 29 * round);
                while Instant::now() < until {
                    ask(&mut client, &["BGREWRITEAOF"]);
                    std::thread::sleep(Duration::from_millis(2));
                }
                server.signal("KILL");
            });
        }
        let server = server(directory.path(), &[]);
        assert_eq!(load.missing(&server, 4), 0, "round {round}");
    }
}

#[test]
fn a_log_that_is_turned_on_has_all_that_was_there_before() {
    let directory = tempfile::tempdir().expect("a directory");
    let load = Load::default();
    let before;
    {
        let server = server(directory.path(), &["--appendonly", "no"]);
        let mut client = server.connect();
        ask(&mut client, &["DEBUG", "POPULATE", "5000"]);
        load.run(&server, 4, || {
            for _ in 0..3 {
                assert_eq!(ask(&mut client, &["CONFIG", "SET", "appendonly", "yes"]), "+OK");
                await_rewritten(&mut client);
                assert_eq!(info(&mut client, "aof_enabled"), "1");
                std::thread::sleep(Duration::from_millis(20));
                assert_eq!(ask(&mut client, &["CONFIG", "SET", "appendonly", "no"]), "+OK");
            }
            ask(&mut client, &["CONFIG", "SET", "appendonly", "yes"]);
            await_rewritten(&mut client);
        });
        before = digest(&mut client);
        ask(&mut client, &["DEBUG", "LOADAOF"]);
        assert_eq!(digest(&mut client), before);
        client.write(&encode(&["SHUTDOWN"]));
        server.wait();
    }
    let server = server(directory.path(), &[]);
    assert_eq!(digest(&mut server.connect()), before);
    assert_eq!(load.missing(&server, 4), 0);
}

/// A few of each kind of effect.
fn write_all_kinds(client: &mut Client) {
    for line in [
        "SET s 1 EX 1000",
        "GETEX s PX 2000000",
        "SET float 1.5",
        "INCRBYFLOAT float 0.1",
        "RPUSH list a b c d e",
        "LMPOP 1 list LEFT COUNT 2",
        "BLMOVE list other LEFT RIGHT 1",
        "BLPOP other 1",
        "SADD set 1 2 3 4 5 6 7 8",
        "SPOP set",
        "SPOP set 3",
        "ZADD zset 1 a 2 b 3 c",
        "BZMPOP 1 1 zset MIN COUNT 2",
        "HSET hash f 1 g 2 h 3",
        "HINCRBYFLOAT hash f 0.5",
        "XADD stream * f v",
        "XADD stream MAXLEN ~ 100 * f v",
        "XADD stream * f w",
        "XGROUP CREATE stream group 0",
        "XREADGROUP GROUP group alice COUNT 2 STREAMS stream >",
        "XAUTOCLAIM stream group bob 0 0",
        "XREADGROUP GROUP group alice NOACK STREAMS stream >",
        "COPY list copied",
        "EXPIRE copied 5000",
        "SORT set STORE sorted",
        "GEOADD geo 13.3 38.1 palermo",
        "SETEX gone 1 x",
        "PEXPIRE gone 1",
        "PFADD log a b c",
        "SETBIT bits 7 1",
        "GETSET s other",
        "GETDEL bits",
        "RENAME other2 x",
        "MSET a 1 b 2",
        "SWAPDB 0 3",
        "SET in-zero 1",
    ] {
        client.ask(&line.split(' ').collect::<Vec<_>>());
    }
}

#[test]
fn both_forms_of_the_base_lead_to_the_same_data() {
    for preamble in ["yes", "no"] {
        let directory = tempfile::tempdir().expect("a directory");
        let server = server(directory.path(), &["--aof-use-rdb-preamble", preamble]);
        let mut client = server.connect();
        write_all_kinds(&mut client);
        std::thread::sleep(Duration::from_millis(20));
        let before = digest(&mut client);
        assert_eq!(ask(&mut client, &["DEBUG", "LOADAOF"]), "+OK");
        assert_eq!(digest(&mut client), before, "from the increment");
        ask(&mut client, &["BGREWRITEAOF"]);
        await_rewritten(&mut client);
        let form = if preamble == "yes" { "rdb" } else { "aof" };
        assert!(directory.path().join(format!("{LOG}.2.base.{form}")).exists());
        assert_eq!(ask(&mut client, &["DEBUG", "LOADAOF"]), "+OK");
        assert_eq!(digest(&mut client), before, "from the base");
    }
}

/// What Redis does with the same commands, and what it makes of our files, and we of its.
#[test]
fn redis_takes_the_log_over_and_gives_it_back() {
    for preamble in ["yes", "no"] {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().to_str().expect("a path");
        let mut expected = String::new();
        for turn in 0..4 {
            let args = [
                "--dir",
                path,
                "--appendonly",
                "yes",
                "--enable-debug-command",
                "yes",
                "--aof-use-rdb-preamble",
                preamble,
            ];
            let server = if turn % 2 == 0 { Process::nuthatch(&args) } else { Process::redis(&args) };
            await_loaded(&server);
            let mut client = server.connect();
            if turn > 0 {
                assert_eq!(digest(&mut client), expected, "turn {turn}, {preamble}");
            }
            write_all_kinds(&mut client);
            ask(&mut client, &["SET", &format!("turn {turn}"), "1"]);
            if turn == 1 || turn == 2 {
                ask(&mut client, &["BGREWRITEAOF"]);
                await_rewritten(&mut client);
                write_all_kinds(&mut client);
            }
            // Redis removes what has expired a moment later.
            std::thread::sleep(Duration::from_millis(300));
            expected = digest(&mut client);
            client.write(&encode(&["SHUTDOWN", "NOSAVE"]));
            server.wait();
            let manifest = directory.path().join(format!("{LOG}.manifest"));
            for tool in [redis_tool(), ours()] {
                let output = tool_output(tool, &[manifest.to_str().expect("a path")]);
                assert!(output.1, "{}", output.0);
                assert!(output.0.ends_with("All AOF files and manifest are valid\n"), "{}", output.0);
            }
        }
    }
}

fn redis_tool() -> Command {
    Command::new("redis-check-aof")
}

fn ours() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nuthatch"));
    command.arg("check-aof");
    command
}

fn tool_output(mut command: Command, args: &[&str]) -> (String, bool) {
    let output = command.args(args).stdin(Stdio::null()).output().expect("the tool runs");
    (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.success())
}

/// The tool prints what Redis's prints, whatever is wrong.
#[test]
fn the_tool_says_what_redis_says() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.aof");
    let whole = b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*1\r\n$5\r\nMULTI\r\n*2\r\n$4\r\nINCR\r\n$1\r\na\r\n*1\r\n$4\r\nEXEC\r\n";
    let mut cases: Vec<Vec<u8>> = (0..=whole.len()).map(|end| whole[..end].to_vec()).collect();
    for at in 0..whole.len() {
        let mut flipped = whole.to_vec();
        flipped[at] ^= 1 << (at % 7);
        cases.push(flipped);
    }
    cases.push([whole.as_slice(), b"#TS:5\r\n", whole].concat());
    cases.push([whole.as_slice(), &[0; 50]].concat());
    for case in cases {
        std::fs::write(&path, &case).expect("a file");
        let file = path.to_str().expect("a path");
        let (theirs, mine) = (tool_output(redis_tool(), &[file]), tool_output(ours(), &[file]));
        // Behind the end of a line Redis shows what happens to lie there.
        let known = |(text, ok): (String, bool)| {
            (text.split("got: 00").map(|part| part.get(2..).unwrap_or("")).collect::<String>(), ok)
        };
        assert_eq!(known(mine), known(theirs), "{}", case.escape_ascii());
    }
}

/// The last increment, of a log that is right.
fn small_log(directory: &Path) -> (PathBuf, Vec<u8>) {
    {
        let server = server(directory, &[]);
        let mut client = server.connect();
        for line in ["SET a 1", "MULTI", "SET b 2", "SET c 3", "EXEC", "SET d 4"] {
            client.ask(&line.split(' ').collect::<Vec<_>>());
        }
        client.write(&encode(&["SHUTDOWN"]));
        server.wait();
    }
    let path = directory.join(format!("{LOG}.1.incr.aof"));
    let bytes = std::fs::read(&path).expect("an increment");
    (path, bytes)
}

/// Starts a server in this folder and returns which of the keys a, b, c, d it has; nothing if it refuses to start.
fn keys_after(directory: &Path, more: &[&str]) -> Option<String> {
    let port = free_port();
    let mut command = Command::new(env!("CARGO_BIN_EXE_nuthatch"));
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"]);
    command.args(["--io-threads", "1", "--keyspace-shards", "4", "--dir", directory.to_str()?]).args(more);
    let server = Process::launch(command, port, tempfile::tempdir().expect("a directory"));
    let give_up = Instant::now() + Duration::from_secs(20);
    loop {
        if let Ok(stream) = std::net::TcpStream::connect(("127.0.0.1", port)) {
            let mut client = Client::over(stream);
            client.write(&encode(&["EXISTS", "a"]));
            match client.try_receive() {
                Some(reply) if reply.starts_with(b":") => {
                    let mut has = |key: &str| client.ask(&["EXISTS", key]) == b":1\r\n";
                    return Some(["a", "b", "c", "d"].into_iter().filter(|key| has(key)).collect());
                }
                _ => {}
            }
        }
        if let Some(status) = server.try_wait() {
            assert_eq!(status.code(), Some(1), "a refusal, no crash");
            return None;
        }
        assert!(Instant::now() < give_up);
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_log_that_is_torn_off_anywhere_is_cut_behind_its_last_whole_part() {
    let origin = tempfile::tempdir().expect("a directory");
    let (path, bytes) = small_log(origin.path());
    let name = path.strip_prefix(origin.path()).expect("within").to_owned();
    let find =
        |what: &[u8]| bytes.windows(what.len()).position(|window| window == what).expect("it is there");
    let (first, transaction) = (find(b"*3\r\n$3\r\nSET\r\n$1\r\na"), find(b"*1\r\n$5\r\nMULTI"));
    let last = find(b"*3\r\n$3\r\nSET\r\n$1\r\nd");
    for end in 0..bytes.len() {
        let directory = tempfile::tempdir().expect("a directory");
        copy(origin.path(), directory.path());
        let torn = directory.path().join(&name);
        std::fs::write(&torn, &bytes[..end]).expect("a torn file");
        let (expected, left) = match end {
            _ if end < first => ("", if end == 0 { 0 } else { usize::MAX }),
            _ if end < transaction => ("", first),
            _ if end < last => ("a", transaction),
            _ => ("abc", last),
        };
        let keys = keys_after(directory.path(), &[]).unwrap_or_else(|| panic!("refused at {end}"));
        assert_eq!(keys, expected, "cut at {end}");
        let size = std::fs::metadata(&torn).expect("the file").len() as usize;
        if left != usize::MAX {
            assert_eq!(size, left, "cut at {end}");
        }
        if end > first && end != transaction && end != last {
            std::fs::write(&torn, &bytes[..end]).expect("a torn file");
            assert_eq!(keys_after(directory.path(), &["--aof-load-truncated", "no"]), None, "cut at {end}");
            assert_eq!(std::fs::read(&torn).expect("the file"), &bytes[..end], "nothing was changed");
        }
    }
}

#[test]
fn a_flipped_bit_is_refused_or_is_in_a_value() {
    let origin = tempfile::tempdir().expect("a directory");
    let (path, bytes) = small_log(origin.path());
    let name = path.strip_prefix(origin.path()).expect("within").to_owned();
    for at in 0..bytes.len() {
        let directory = tempfile::tempdir().expect("a directory");
        copy(origin.path(), directory.path());
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        let file = directory.path().join(&name);
        std::fs::write(&file, &flipped).expect("a file");
        let is_text = bytes[at].is_ascii_alphanumeric();
        match keys_after(directory.path(), &[]) {
            // Nothing of the file was changed, or its end was cut off as documented.
            None => assert_eq!(std::fs::read(&file).expect("the file"), flipped, "at {at}"),
            Some(_) => {
                let left = std::fs::read(&file).expect("the file");
                assert!(flipped.starts_with(&left), "at {at}");
                assert!(is_text || left.len() < flipped.len() || !left.starts_with(b"*"), "at {at}");
            }
        }
    }
}

/// A log that cannot be written, here because the process may not make files any larger.
#[test]
fn a_log_that_cannot_be_written_refuses_writes_until_it_can() {
    for policy in ["everysec", "always"] {
        let directory = tempfile::tempdir().expect("a directory");
        let server = server(directory.path(), &["--appendfsync", policy]);
        let mut client = server.connect();
        ask(&mut client, &["SET", "before", "1"]);
        limit_file_size(&server, "10000");
        let mut writer = server.connect();
        writer.write(&encode(&["SET", "large", &"x".repeat(20_000)]));
        let give_up = Instant::now() + Duration::from_secs(20);
        while info(&mut client, "aof_last_write_status") != "err" {
            assert!(Instant::now() < give_up);
            std::thread::sleep(Duration::from_millis(5));
        }
        let refusal = ask(&mut client, &["SET", "after", "1"]);
        assert!(refusal.starts_with("-MISCONF Errors writing to the AOF file: File too large"), "{refusal}");
        assert_eq!(text(&client.ask(&["GET", "before"])), "1");
        limit_file_size(&server, "unlimited");
        while info(&mut client, "aof_last_write_status") != "ok" {
            assert!(Instant::now() < give_up);
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(writer.receive(), b"+OK\r\n");
        assert_eq!(ask(&mut client, &["SET", "after", "1"]), "+OK");
        let before = digest(&mut client);
        assert_eq!(ask(&mut client, &["DEBUG", "LOADAOF"]), "+OK");
        assert_eq!(digest(&mut client), before);
    }
}

fn limit_file_size(server: &Process, bytes: &str) {
    let pid = server.id().to_string();
    let set = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={bytes}:")]).status();
    assert!(set.expect("prlimit").success());
}

#[test]
fn waitaof_waits_for_the_disk() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = server(directory.path(), &["--appendfsync", "no"]);
    let mut client = server.connect();
    assert_eq!(ask(&mut client, &["WAITAOF", "0", "0", "0"]), "*2\r\n:1\r\n:0");
    ask(&mut client, &["SET", "a", "1"]);
    assert_eq!(ask(&mut client, &["WAITAOF", "1", "0", "50"]), "*2\r\n:0\r\n:0");
    ask(&mut client, &["CONFIG", "SET", "appendfsync", "everysec"]);
    let started = Instant::now();
    assert_eq!(ask(&mut client, &["WAITAOF", "1", "0", "5000"]), "*2\r\n:1\r\n:0");
    assert!(started.elapsed() < Duration::from_secs(3));
    ask(&mut client, &["CONFIG", "SET", "appendonly", "no"]);
    assert!(ask(&mut client, &["WAITAOF", "1", "0", "0"]).starts_with("-ERR WAITAOF cannot be used"));
}

#[test]
fn a_log_of_one_file_is_taken_over() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = [encode(&["SELECT", "2"]), encode(&["SET", "old", "1"])].concat();
    std::fs::write(directory.path().join("appendonly.aof"), &log).expect("a file");
    for _ in 0..2 {
        let server = server(directory.path(), &[]);
        let mut client = server.connect();
        ask(&mut client, &["SELECT", "2"]);
        assert_eq!(text(&client.ask(&["GET", "old"])), "1");
        assert!(!directory.path().join("appendonly.aof").exists());
        client.write(&encode(&["SHUTDOWN"]));
        server.wait();
    }
    let manifest =
        std::fs::read_to_string(directory.path().join(format!("{LOG}.manifest"))).expect("a manifest");
    assert!(manifest.starts_with("file appendonly.aof seq 1 type b\n"), "{manifest}");
}

/// What was logged after a deadline was logged while the key was there: nothing expires while a log is loaded.
#[test]
fn nothing_expires_before_the_log_says_so() {
    let directory = tempfile::tempdir().expect("a directory");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time").as_millis();
    let past = (now - 5000).to_string();
    let mut log = Vec::new();
    for words in [
        &["SET", "counter", "5", "PXAT", &past][..],
        &["INCR", "counter"],
        &["PEXPIREAT", "counter", &(now + 100_000).to_string()],
        &["SET", "gone", "1", "PXAT", &past],
        &["APPEND", "gone", "2"],
        &["HSET", "hash", "f", "1", "g", "2"],
        &["HPEXPIREAT", "hash", &past, "FIELDS", "1", "f"],
        &["HINCRBY", "hash", "f", "1"],
        &["HPERSIST", "hash", "FIELDS", "1", "f"],
        &["SET", "relative", "1", "EX", "1000"],
    ] {
        log.extend(encode(words));
    }
    std::fs::write(directory.path().join("appendonly.aof"), &log).expect("a file");
    let server = server(directory.path(), &[]);
    let mut client = server.connect();
    assert_eq!(text(&client.ask(&["GET", "counter"])), "6");
    assert_eq!(ask(&mut client, &["EXISTS", "gone"]), ":0");
    assert_eq!(text(&client.ask(&["HGET", "hash", "f"])), "2");
    let ttl: u64 = text(&client.ask(&["TTL", "relative"])).parse().expect("a number");
    assert!((990..=1000).contains(&ttl), "{ttl}");
    assert!(text(&client.ask(&["OBJECT", "IDLETIME", "counter"])).parse::<u64>().expect("a number") < 10);
}
