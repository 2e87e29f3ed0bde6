//! A script that does not end keeps nobody from being told so, and from ending it.

mod common;

use common::{Client, Process, text};
use std::time::{Duration, Instant};

const FOR_EVER: &str = "while true do end";
const WRITES_FOR_EVER: &str = "redis.call('SET', KEYS[1], 'x') while true do end";

/// A script counts as slow after this, so that tests need not wait for long.
const THRESHOLD_MS: &str = "50";

fn start(workers: &str) -> Process {
    Process::nuthatch(&["--io-threads", workers, "--busy-reply-threshold", THRESHOLD_MS])
}

/// Starts a script and waits until the server is busy with it, as the other client sees it.
fn occupy(running: &mut Client, other: &mut Client, request: &[&str]) {
    running.send(request);
    let give_up = Instant::now() + Duration::from_secs(10);
    while text(&other.ask(&["PING"])) == "PONG" {
        assert!(Instant::now() < give_up, "the server does not become busy");
    }
}

fn begins(reply: &[u8], expected: &str) {
    let reply = String::from_utf8_lossy(reply);
    assert!(reply.starts_with(expected), "expected {expected}, got {reply}");
}

/// With one worker, everybody shares the one that the script occupies.
#[test]
fn others_are_told_and_can_kill() {
    for workers in ["1", "2"] {
        let server = start(workers);
        let (mut running, mut other) = (server.connect(), server.connect());
        occupy(&mut running, &mut other, &["EVAL", FOR_EVER, "0"]);
        begins(
            &other.ask(&["GET", "x"]),
            "-BUSY Redis is busy running a script. You can only call SCRIPT KILL",
        );
        begins(&other.ask(&["EVAL", "return 1", "0"]), "-BUSY");
        begins(&other.ask(&["FUNCTION", "KILL"]), "-BUSY");
        // Several at once, and in pieces.
        other.write(b"*1\r\n$4\r\nPING\r\nPING\r\n*1\r\n$4\r\nPI");
        begins(&other.receive(), "-BUSY");
        begins(&other.receive(), "-BUSY");
        other.write(b"NG\r\n");
        begins(&other.receive(), "-BUSY");
        let mut new = server.connect();
        begins(&new.ask(&["PING"]), "-BUSY");
        assert_eq!(new.ask(&["SCRIPT", "KILL"]), b"+OK\r\n");
        begins(&running.receive(), "-ERR Script killed by user with SCRIPT KILL.");
        for client in [&mut running, &mut other, &mut new] {
            assert_eq!(client.ask(&["PING"]), b"+PONG\r\n");
        }
        begins(&other.ask(&["SCRIPT", "KILL"]), "-NOTBUSY");
    }
}

#[test]
fn a_kill_cannot_be_caught() {
    let server = start("2");
    let (mut running, mut other) = (server.connect(), server.connect());
    for script in [
        "while true do pcall(function() while true do end end) end",
        "while true do pcall(redis.call, 'PING') end",
        "local f = coroutine.wrap(function() while true do end end) while true do pcall(f) end",
        "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
        "local function f() return xpcall(function() while true do end end, f) end while true do f() end",
    ] {
        occupy(&mut running, &mut other, &["EVAL", script, "0"]);
        assert_eq!(other.ask(&["SCRIPT", "KILL"]), b"+OK\r\n");
        begins(&running.receive(), "-ERR");
        assert_eq!(running.ask(&["EVAL", "return 'fine'", "0"]), b"$4\r\nfine\r\n");
    }
}

#[test]
fn what_has_written_is_not_killed() {
    for workers in ["1", "2"] {
        let server = start(workers);
        let (mut running, mut other) = (server.connect(), server.connect());
        occupy(&mut running, &mut other, &["EVAL", WRITES_FOR_EVER, "1", "k"]);
        begins(&other.ask(&["SCRIPT", "KILL"]), "-UNKILLABLE");
        other.send(&["SHUTDOWN", "NOSAVE"]);
        assert!(server.wait().success());
    }
}

#[test]
fn functions_too() {
    let server = start("2");
    let (mut running, mut other) = (server.connect(), server.connect());
    let library = "#!lua name=lib\nredis.register_function('forever', function() while true do end end)";
    assert_eq!(other.ask(&["FUNCTION", "LOAD", library]), b"$3\r\nlib\r\n");
    occupy(&mut running, &mut other, &["FCALL", "forever", "0"]);
    begins(
        &other.ask(&["GET", "x"]),
        "-BUSY Redis is busy running a script. You can only call FUNCTION KILL",
    );
    begins(&other.ask(&["SCRIPT", "KILL"]), "-BUSY");
    assert_eq!(other.ask(&["FUNCTION", "KILL"]), b"+OK\r\n");
    begins(&running.receive(), "-ERR Script killed by user with FUNCTION KILL.");
    begins(&other.ask(&["FUNCTION", "LOAD", "#!lua name=slow\nwhile true do end"]), "-ERR");
    assert_eq!(other.ask(&["PING"]), b"+PONG\r\n");
}
