//! What a server promises of its snapshots, tried from outside: consistent under writes, whole after every kill, and
//! refusals that end when the disk takes data again.

mod common;

use common::{Client, Process, encode, free_port, text};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const ACCOUNTS: u64 = 500;
const MONEY: i64 = 100 * ACCOUNTS as i64;

fn ask(client: &mut Client, words: &[&str]) -> String {
    client.send(words);
    String::from_utf8_lossy(&client.receive()).trim_end().to_owned()
}

fn server(directory: &Path, more: &[&str]) -> Process {
    let directory = directory.to_str().expect("a path of text");
    Process::nuthatch(&[&["--dir", directory, "--enable-debug-command", "yes"], more].concat())
}

fn info(client: &mut Client, field: &str) -> String {
    let text = ask(client, &["INFO", "persistence", "memory"]);
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {field} in {text}")).trim().to_owned()
}

fn await_saved(client: &mut Client) {
    let give_up = Instant::now() + Duration::from_secs(20);
    while info(client, "rdb_bgsave_in_progress") != "0" {
        assert!(Instant::now() < give_up, "the snapshot takes too long");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Moves money between two accounts, which may be in different databases, as a transaction.
fn transfer(client: &mut Client, from: u64, to: u64) {
    let amount = (from * 7 + to * 13) % 50;
    for words in [
        &["MULTI"][..],
        &["SELECT", &(from % 3).to_string()],
        &["DECRBY", &format!("account {from}"), &amount.to_string()],
        &["SELECT", &(to % 3).to_string()],
        &["INCRBY", &format!("account {to}"), &amount.to_string()],
        &["EXEC"],
    ] {
        client.write(&encode(words));
    }
}

/// The sum of all accounts.
fn sum(client: &mut Client) -> i64 {
    let mut sum = 0;
    for db in 0..3 {
        ask(client, &["SELECT", &db.to_string()]);
        for n in (db..ACCOUNTS).step_by(3) {
            client.send(&["GET", &format!("account {n}")]);
            let reply = client.receive();
            let number = text(&reply).parse::<i64>().ok();
            sum += number.unwrap_or_else(|| panic!("account {n}: {}", reply.escape_ascii()));
        }
    }
    sum
}

fn open_accounts(client: &mut Client) {
    for n in 0..ACCOUNTS {
        ask(client, &["SELECT", &(n % 3).to_string()]);
        ask(client, &["SET", &format!("account {n}"), "100"]);
    }
    ask(client, &["SELECT", "0"]);
}

/// Transfers on two connections until told to stop, with `f` meanwhile.
fn under_transfers<R>(server: &Process, f: impl FnOnce() -> R) -> R {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for worker in 0..2_u64 {
            let stop = &stop;
            scope.spawn(move || {
                let mut client = server.connect();
                let mut n = worker * 17;
                while !stop.load(Ordering::Relaxed) {
                    n += 1;
                    transfer(&mut client, n * 31 % ACCOUNTS, n * 57 % ACCOUNTS);
                    for _ in 0..6 {
                        if client.try_receive().is_none() {
                            // The server was killed.
                            return;
                        }
                    }
                }
            });
        }
        let result = f();
        stop.store(true, Ordering::Relaxed);
        result
    })
}

/// Whatever is saved while money moves has all the money.
#[test]
fn snapshots_under_writes_are_of_one_instant() {
    let directory = tempfile::tempdir().expect("a directory");
    let saving = server(directory.path(), &[]);
    let mut client = saving.connect();
    open_accounts(&mut client);
    for _ in 0..5 {
        under_transfers(&saving, || {
            std::thread::sleep(Duration::from_millis(20));
            assert_eq!(ask(&mut client, &["BGSAVE"]), "+Background saving started");
            await_saved(&mut client);
        });
        let copy = tempfile::tempdir().expect("a directory");
        std::fs::copy(directory.path().join("dump.rdb"), copy.path().join("dump.rdb")).expect("a snapshot");
        let loading = server(copy.path(), &[]);
        assert_eq!(sum(&mut loading.connect()), MONEY);
    }
    assert_eq!(sum(&mut client), MONEY);
}

/// A kill at any moment leaves the old snapshot or the new one, and never a part of one.
#[test]
fn a_kill_while_a_snapshot_is_saved_leaves_a_whole_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let first = server(directory.path(), &[]);
    open_accounts(&mut first.connect());
    assert_eq!(ask(&mut first.connect(), &["SAVE"]), "+OK");
    drop(first);
    for round in 0..8 {
        // Slow enough to be killed in the middle.
        let process = server(directory.path(), &["--rdb-key-save-delay", "40"]);
        let mut client = process.connect();
        assert_eq!(sum(&mut client), MONEY, "round {round}");
        under_transfers(&process, || {
            assert_eq!(ask(&mut client, &["BGSAVE"]), "+Background saving started");
            std::thread::sleep(Duration::from_millis(5 * round));
            process.signal("KILL");
            process.wait();
        });
    }
    let last = server(directory.path(), &[]);
    assert_eq!(sum(&mut last.connect()), MONEY);
}

#[test]
fn a_full_disk_stops_writes_until_there_is_room() {
    let directory = tempfile::tempdir().expect("a directory");
    let process = server(directory.path(), &[]);
    let mut client = process.connect();
    ask(&mut client, &["CONFIG", "SET", "save", "3600 1000"]);
    ask(&mut client, &["SET", "before", "1"]);
    let temporary = directory.path().join(format!("temp-{}.rdb", process.id()));
    for is_full in [true, false] {
        if is_full {
            // A disk on which nothing has room.
            std::os::unix::fs::symlink("/dev/full", &temporary).expect("a link");
        } else {
            // A name that cannot be used.
            std::fs::create_dir(&temporary).expect("a directory");
        }
        ask(&mut client, &["BGSAVE"]);
        await_saved(&mut client);
        assert_eq!(info(&mut client, "rdb_last_bgsave_status"), "err");
        for refused in [&["SET", "a", "b"][..], &["PING"], &["DEL", "before"]] {
            let reply = ask(&mut client, refused);
            assert!(reply.starts_with("-MISCONF Redis is configured to save RDB snapshots"), "{reply}");
        }
        assert_eq!(ask(&mut client, &["GET", "before"]), "$1\r\n1");
        ask(&mut client, &["CONFIG", "SET", "stop-writes-on-bgsave-error", "no"]);
        assert_eq!(ask(&mut client, &["SET", "a", "b"]), "+OK");
        ask(&mut client, &["CONFIG", "SET", "stop-writes-on-bgsave-error", "yes"]);
        assert!(ask(&mut client, &["SET", "a", "b"]).starts_with("-MISCONF"));
        if is_full {
            // Whoever gave the file up has removed its name.
            let _ = std::fs::remove_file(&temporary);
        } else {
            std::fs::remove_dir(&temporary).expect("the directory goes");
        }
        assert_eq!(ask(&mut client, &["BGSAVE"]), "+Background saving started");
        await_saved(&mut client);
        assert_eq!(info(&mut client, "rdb_last_bgsave_status"), "ok");
        assert_eq!(ask(&mut client, &["SET", "a", "b"]), "+OK");
        assert!(!temporary.exists());
    }
}

#[test]
fn save_points_save() {
    let directory = tempfile::tempdir().expect("a directory");
    let process = server(directory.path(), &[]);
    let mut client = process.connect();
    ask(&mut client, &["CONFIG", "SET", "save", "1 3"]);
    for n in 0..3 {
        ask(&mut client, &["SET", &n.to_string(), "1"]);
    }
    let file = directory.path().join("dump.rdb");
    process.await_true("a save point saves", || file.exists());
    await_saved(&mut client);
    assert_eq!(info(&mut client, "rdb_changes_since_last_save"), "0");
    assert_eq!(info(&mut client, "rdb_saves"), "1");
}

/// The end of a server saves what is to be saved, or the server goes on.
#[test]
fn the_end_saves_or_does_not_come() {
    let directory = tempfile::tempdir().expect("a directory");
    let keys = |expected: &str| {
        let process = server(directory.path(), &[]);
        assert_eq!(ask(&mut process.connect(), &["DBSIZE"]), expected);
    };
    // Without save points only SAVE saves.
    for (end, expected) in [(&["SHUTDOWN"][..], ":0"), (&["SHUTDOWN", "SAVE"], ":1")] {
        let process = server(directory.path(), &[]);
        let mut client = process.connect();
        ask(&mut client, &["SET", "a", "b"]);
        client.send(end);
        assert!(process.wait().success());
        keys(expected);
    }
    // With save points only NOSAVE does not.
    let process = server(directory.path(), &["--save", "3600 1"]);
    let mut client = process.connect();
    ask(&mut client, &["SET", "b", "c"]);
    client.send(&["SHUTDOWN", "NOSAVE"]);
    assert!(process.wait().success());
    keys(":1");
    let process = server(directory.path(), &["--save", "3600 1"]);
    let mut client = process.connect();
    ask(&mut client, &["SET", "b", "c"]);
    process.signal("TERM");
    assert!(process.wait().success());
    keys(":2");
    // What cannot be saved keeps the server.
    let elsewhere = tempfile::tempdir().expect("a directory");
    let process = server(elsewhere.path(), &["--save", "3600 1"]);
    // It answers when it has looked for data.
    assert_eq!(ask(&mut process.connect(), &["PING"]), "+PONG");
    std::fs::create_dir_all(elsewhere.path().join("dump.rdb/occupied"))
        .expect("a directory in the file's place");
    let mut client = process.connect();
    assert_eq!(ask(&mut client, &["SHUTDOWN"]), "-ERR Errors trying to SHUTDOWN. Check logs.");
    assert_eq!(ask(&mut client, &["CONFIG", "SET", "stop-writes-on-bgsave-error", "no"]), "+OK");
    assert_eq!(ask(&mut client, &["SET", "a", "b"]), "+OK");
    client.send(&["SHUTDOWN", "NOSAVE"]);
    assert!(process.wait().success());
}

/// While data is loaded commands are refused, and INFO says how far it is; a file that cannot be loaded ends the server.
#[test]
fn loading_is_told_and_errors_end_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let process = server(directory.path(), &[]);
    let mut client = process.connect();
    ask(&mut client, &["DEBUG", "POPULATE", "3000000"]);
    assert_eq!(ask(&mut client, &["SAVE"]), "+OK");
    drop(process);
    let loading = server(directory.path(), &[]);
    let mut client = loading.connect();
    let mut refused = 0;
    while ask(&mut client, &["GET", "key:1"]) == "-LOADING Redis is loading the dataset in memory" {
        refused += 1;
        let text = ask(&mut client, &["INFO", "persistence"]);
        if text.contains("loading:1") {
            assert!(text.contains("loading_total_bytes:") && text.contains("loading_eta_seconds:"), "{text}");
        }
    }
    println!("{refused} requests were refused");
    assert_eq!(ask(&mut client, &["DBSIZE"]), ":3000000");
    drop(loading);
    let file = directory.path().join("dump.rdb");
    let mut bytes = std::fs::read(&file).expect("the snapshot");
    bytes.truncate(1000);
    std::fs::write(&file, &bytes).expect("a shorter one");
    let output = Command::new(env!("CARGO_BIN_EXE_nuthatch"))
        .args(["--port", &free_port().to_string(), "--dir", directory.path().to_str().expect("text")])
        .stdin(Stdio::null())
        .output()
        .expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8_lossy(&output.stdout);
    assert!(log.contains("Short read or OOM loading DB") && log.contains("dump.rdb"), "{log}");
    assert_eq!(std::fs::read(&file).expect("the file"), bytes, "nothing is overwritten");
}

#[test]
fn flushall_gives_a_snapshot_up_and_flushdb_does_not() {
    let directory = tempfile::tempdir().expect("a directory");
    let process = server(directory.path(), &["--rdb-key-save-delay", "100"]);
    let mut client = process.connect();
    let file = directory.path().join("dump.rdb");
    ask(&mut client, &["DEBUG", "POPULATE", "5000"]);
    ask(&mut client, &["BGSAVE"]);
    assert_eq!(ask(&mut client, &["BGSAVE"]), "-ERR Background save already in progress");
    assert_eq!(ask(&mut client, &["SAVE"]), "-ERR Background save already in progress");
    ask(&mut client, &["FLUSHALL"]);
    await_saved(&mut client);
    assert!(!file.exists());
    ask(&mut client, &["DEBUG", "POPULATE", "5000"]);
    ask(&mut client, &["BGSAVE"]);
    ask(&mut client, &["FLUSHDB"]);
    ask(&mut client, &["SET", "later", "1"]);
    await_saved(&mut client);
    let copy = server(directory.path(), &[]);
    assert_eq!(ask(&mut copy.connect(), &["DBSIZE"]), ":5000");
}

/// What is loaded counts like what was written, whichever threads have loaded it.
#[test]
fn memory_of_what_was_loaded_counts() {
    let directory = tempfile::tempdir().expect("a directory");
    let used = |client: &mut Client| info(client, "used_memory").parse::<f64>().expect("a number");
    let first = server(directory.path(), &[]);
    let mut client = first.connect();
    assert_eq!(ask(&mut client, &["DEBUG", "POPULATE", "100000"]), "+OK");
    assert_eq!(ask(&mut client, &["SAVE"]), "+OK");
    let before = used(&mut client);
    client.send(&["SHUTDOWN", "NOSAVE"]);
    assert!(first.wait().success());
    let second = server(directory.path(), &[]);
    let mut client = second.connect();
    assert_eq!(ask(&mut client, &["DBSIZE"]), ":100000");
    let after = used(&mut client);
    assert!((after / before - 1.0).abs() < 0.2, "{before} bytes before, {after} after");
}
