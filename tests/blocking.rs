//! Blocking commands over sockets: what ends a wait, what is seen of it from outside, what it costs. Replies that are
//! the same in every Redis are compared with one in `oracle_blocking.rs`; here are those of Redis 7.2.

mod common;

use common::{Client, Process, info, text};
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

fn server() -> Process {
    Process::nuthatch(&["--io-threads", "3"])
}

/// Waits until so many clients are blocked.
fn await_blocked(control: &mut Client, count: u64) {
    let give_up = Instant::now() + Duration::from_secs(5);
    while info(control, "blocked_clients") != count {
        assert!(Instant::now() < give_up, "not {count} clients are blocked");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A client that is blocked in this command, and one to control the server with.
fn blocked(server: &Process, command: &[&str]) -> (Client, Client) {
    let (mut client, mut control) = (server.connect(), server.connect());
    client.send(command);
    await_blocked(&mut control, 1);
    (client, control)
}

fn show(reply: &[u8]) -> String {
    String::from_utf8_lossy(reply).replace("\r\n", "\\r\\n")
}

fn all(client: &mut Client, commands: &[&[&str]]) {
    for command in commands {
        let reply = client.ask(command);
        assert!(!reply.starts_with(b"-"), "{command:?}: {}", show(&reply));
    }
}

#[test]
fn a_reader_of_a_group_is_told_when_that_is_gone() {
    const GONE: &str = "-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option\\r\\n";
    const OTHER: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value\\r\\n";
    let cases: &[(&[&[&str]], &str)] = &[
        (&[&["DEL", "s"]], GONE),
        (&[&["UNLINK", "s"]], GONE),
        (&[&["XGROUP", "DESTROY", "s", "g"]], GONE),
        (&[&["SET", "s", "string"]], OTHER),
        (&[&["DEL", "s"], &["LPUSH", "s", "1"]], GONE),
        (&[&["FLUSHDB"]], GONE),
        (&[&["FLUSHALL"]], GONE),
        (&[&["SWAPDB", "0", "5"]], GONE),
        (&[&["RENAME", "s", "t"]], GONE),
        (&[&["XADD", "t", "*", "f", "v"], &["RENAME", "t", "s"]], GONE),
        (&[&["MOVE", "s", "3"]], GONE),
        (&[&["PEXPIRE", "s", "20"]], GONE),
        (&[&["EXPIREAT", "s", "1"]], GONE),
    ];
    for (commands, expected) in cases {
        let server = server();
        let mut control = server.connect();
        all(&mut control, &[&["XGROUP", "CREATE", "s", "g", "$", "MKSTREAM"]]);
        let read = ["XREADGROUP", "GROUP", "g", "c", "BLOCK", "0", "STREAMS", "s", ">"];
        let (mut client, mut control) = blocked(&server, &read);
        all(&mut control, commands);
        assert_eq!(show(&client.receive()), *expected, "{commands:?}");
        await_blocked(&mut control, 0);
        assert_eq!(info(&mut control, "total_blocking_keys"), 0);
        assert_eq!(info(&mut control, "total_blocking_keys_on_nokey"), 0);
    }
}

#[test]
fn a_reader_of_a_group_is_served_by_what_takes_the_stream_s_name() {
    let server = server();
    let mut control = server.connect();
    all(
        &mut control,
        &[
            &["XGROUP", "CREATE", "s", "g", "$", "MKSTREAM"],
            &["XGROUP", "CREATE", "t", "g", "$", "MKSTREAM"],
            &["XADD", "t", "1-1", "f", "v"],
        ],
    );
    let read = ["XREADGROUP", "GROUP", "g", "c", "BLOCK", "0", "STREAMS", "s", ">"];
    let (mut client, mut control) = blocked(&server, &read);
    all(&mut control, &[&["RENAME", "t", "s"]]);
    let reply = client.receive();
    assert_eq!(
        show(&reply),
        "*1\\r\\n*2\\r\\n$1\\r\\ns\\r\\n*1\\r\\n*2\\r\\n$3\\r\\n1-1\\r\\n*2\\r\\n$1\\r\\nf\\r\\n$1\\r\\nv\\r\\n"
    );
}

#[test]
fn the_order_of_the_keys_decides() {
    let server = server();
    let (mut client, mut control) = blocked(&server, &["BLPOP", "k1", "k2", "k3", "0"]);
    all(&mut control, &[&["MULTI"], &["RPUSH", "k3", "c"], &["RPUSH", "k2", "b"], &["EXEC"]]);
    assert_eq!(client.receive(), b"*2\r\n$2\r\nk2\r\n$1\r\nb\r\n");
}

#[test]
fn waits_in_a_transaction_that_cuts_the_ground_away() {
    let server = server();
    let mut control = server.connect();
    all(&mut control, &[&["XGROUP", "CREATE", "s", "g", "$", "MKSTREAM"]]);
    // Gone and back again, when the command is done.
    let read = ["XREADGROUP", "GROUP", "g", "c", "BLOCK", "0", "STREAMS", "s", ">"];
    let (mut client, mut control) = blocked(&server, &read);
    all(&mut control, &[&["MULTI"]]);
    all(
        &mut control,
        &[
            &["DEL", "s"],
            &["XGROUP", "CREATE", "s", "g", "$", "MKSTREAM"],
            &["XADD", "s", "1-1", "f", "v"],
            &["EXEC"],
        ],
    );
    assert!(client.receive().starts_with(b"*1\r\n"));
}

#[test]
fn what_is_seen_of_waiting_clients() {
    let server = server();
    let mut control = server.connect();
    all(&mut control, &[&["XGROUP", "CREATE", "s", "g", "$", "MKSTREAM"]]);
    let mut clients: Vec<Client> = (0..4).map(|_| server.connect()).collect();
    clients[0].send(&["BLPOP", "a", "b", "0"]);
    clients[1].send(&["BZPOPMIN", "b", "c", "100"]);
    clients[2].send(&["XREADGROUP", "GROUP", "g", "c", "BLOCK", "100000", "STREAMS", "s", ">"]);
    clients[3].send(&["WAIT", "1", "0"]);
    await_blocked(&mut control, 4);
    assert_eq!(info(&mut control, "total_blocking_keys"), 4);
    assert_eq!(info(&mut control, "total_blocking_keys_on_nokey"), 1);
    assert_eq!(info(&mut control, "clients_in_timeout_table"), 2);
    let list = text(&control.ask(&["CLIENT", "LIST"]));
    let flags = |command: &str| {
        let line = list.lines().find(|line| line.contains(&format!("cmd={command} "))).expect("a client");
        line.split_once("flags=").expect("flags").1.chars().next()
    };
    for command in ["blpop", "bzpopmin", "xreadgroup", "wait"] {
        assert_eq!(flags(command), Some('b'));
    }
    assert_eq!(flags("client|list"), Some('N'));
    drop(clients);
    await_blocked(&mut control, 0);
    assert_eq!(info(&mut control, "total_blocking_keys"), 0);
    assert_eq!(info(&mut control, "clients_in_timeout_table"), 0);
}

/// Statistics of a command: calls and microseconds.
fn statistics(control: &mut Client, command: &str) -> Option<(u64, u64, u64)> {
    let info = text(&control.ask(&["INFO", "commandstats"]));
    let line = info.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:")))?.to_owned();
    let number = |name: &str| {
        let field = line.split(',').find_map(|field| field.strip_prefix(name));
        field.and_then(|number| number.parse().ok()).expect("a number")
    };
    Some((number("calls="), number("usec="), number("failed_calls=")))
}

#[test]
fn a_command_counts_once_and_without_its_wait() {
    let server = server();
    let (mut client, mut control) = blocked(&server, &["BLPOP", "l", "0"]);
    all(&mut control, &[&["CONFIG", "SET", "slowlog-log-slower-than", "0"]]);
    assert_eq!(statistics(&mut control, "blpop"), None, "it is not done yet");
    thread::sleep(Duration::from_millis(100));
    all(&mut control, &[&["RPUSH", "l", "1"]]);
    client.receive();
    let (calls, micros, failed) = statistics(&mut control, "blpop").expect("statistics");
    assert_eq!((calls, failed), (1, 0));
    assert!(micros < 50_000, "{micros}");
    let slow = show(&control.ask(&["SLOWLOG", "GET", "-1"]));
    assert_eq!(slow.matches("BLPOP").count(), 1, "{slow}");
    let id =
        show(&client.ask(&["CLIENT", "ID"])).trim_start_matches(':').trim_end_matches("\\r\\n").to_owned();
    client.send(&["BLPOP", "l", "0"]);
    await_blocked(&mut control, 1);
    assert_eq!(control.ask(&["CLIENT", "UNBLOCK", &id, "ERROR"]), b":1\r\n");
    assert_eq!(show(&client.receive()), "-UNBLOCKED client unblocked via CLIENT UNBLOCK\\r\\n");
    assert_eq!(statistics(&mut control, "blpop").map(|(calls, _, failed)| (calls, failed)), Some((2, 1)));
    assert!(text(&control.ask(&["INFO", "errorstats"])).contains("errorstat_UNBLOCKED:count=1"));
    let out_of_time = client.ask(&["BLPOP", "l", "0.001"]);
    assert_eq!(out_of_time, b"*-1\r\n");
    assert_eq!(statistics(&mut control, "blpop").map(|(calls, _, failed)| (calls, failed)), Some((3, 1)));
}

#[test]
fn times_are_kept_to_milliseconds() {
    let server = server();
    let mut client = server.connect();
    client.ask(&["PING"]);
    for wait_ms in [1_u64, 5, 30, 123] {
        let started = Instant::now();
        let seconds = format!("{}", wait_ms as f64 / 1000.0);
        assert_eq!(client.ask(&["BLPOP", "l", &seconds]), b"*-1\r\n");
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(wait_ms), "{took:?} for {wait_ms} ms");
        // Machines that run tests are busy.
        assert!(took < Duration::from_millis(wait_ms + 50), "{took:?} for {wait_ms} ms");
    }
}

#[test]
fn requests_that_follow_wait_for_the_reply() {
    let server = server();
    let mut control = server.connect();
    let mut client = server.connect();
    for command in
        [&["SET", "k", "1"][..], &["BLPOP", "l", "0"], &["INCR", "k"], &["BLPOP", "l", "0"], &["GET", "k"]]
    {
        client.send(command);
    }
    assert_eq!(client.receive(), b"+OK\r\n");
    await_blocked(&mut control, 1);
    // Sent while it waits: more than one read takes, then a part of a request.
    let large = vec![b'x'; 200_000];
    client.send(&[&b"SET"[..], b"large", &large]);
    let mut stream = client.stream();
    stream.write_all(b"*2\r\n$6\r\nSTRLEN\r\n$5\r\nla").unwrap();
    thread::sleep(Duration::from_millis(20));
    assert_eq!(control.ask(&["GET", "k"]), b"$1\r\n1\r\n");
    control.ask(&["RPUSH", "l", "a", "b"]);
    stream.write_all(b"rge\r\n").unwrap();
    assert_eq!(client.receive(), b"*2\r\n$1\r\nl\r\n$1\r\na\r\n");
    assert_eq!(client.receive(), b":2\r\n");
    assert_eq!(client.receive(), b"*2\r\n$1\r\nl\r\n$1\r\nb\r\n");
    assert_eq!(client.receive(), b"$1\r\n2\r\n");
    assert_eq!(client.receive(), b"+OK\r\n");
    assert_eq!(client.receive(), b":200000\r\n");
}

#[test]
fn clients_that_go_away_take_nothing() {
    let server = server();
    // One that leaves, one that leaves behind requests, one that is killed.
    let (client, mut control) = blocked(&server, &["BLPOP", "l", "0"]);
    drop(client);
    await_blocked(&mut control, 0);
    let (mut client, mut control) = blocked(&server, &["BLPOP", "l", "0"]);
    client.send(&["GET", "k"]);
    thread::sleep(Duration::from_millis(10));
    drop(client);
    await_blocked(&mut control, 0);
    let (mut client, mut control) = blocked(&server, &["BLMOVE", "l", "m", "LEFT", "LEFT", "0"]);
    let list = text(&control.ask(&["CLIENT", "LIST"]));
    let line = list.lines().find(|line| line.contains("cmd=blmove")).expect("a client");
    let id = line.split_once(' ').expect("fields").0.trim_start_matches("id=").to_owned();
    assert_eq!(control.ask(&["CLIENT", "KILL", "ID", &id]), b":1\r\n");
    assert_eq!(client.receive_to_end(), b"");
    await_blocked(&mut control, 0);
    all(&mut control, &[&["RPUSH", "l", "1"]]);
    assert_eq!(control.ask(&["LRANGE", "l", "0", "-1"]), b"*1\r\n$1\r\n1\r\n");
}

#[test]
fn replies_that_are_not_wanted_are_not_sent() {
    let server = server();
    let mut control = server.connect();
    let mut client = server.connect();
    client.send(&["CLIENT", "REPLY", "SKIP"]);
    client.send(&["BLPOP", "l", "0"]);
    client.send(&["PING"]);
    await_blocked(&mut control, 1);
    all(&mut control, &[&["RPUSH", "l", "1"]]);
    assert_eq!(client.receive(), b"+PONG\r\n");
    assert_eq!(control.ask(&["EXISTS", "l"]), b":0\r\n");
}

#[test]
fn the_server_stops_although_clients_wait() {
    let server = server();
    let (mut client, mut control) = blocked(&server, &["BLPOP", "l", "0"]);
    control.send(&["SHUTDOWN", "NOSAVE"]);
    assert!(server.wait().success());
    assert_eq!(client.receive_to_end(), b"");
}

#[test]
fn idle_clients_that_wait_are_not_closed() {
    let server = Process::nuthatch(&["--timeout", "1"]);
    let mut client = server.connect();
    assert_eq!(client.ask(&["BLPOP", "l", "2.5"]), b"*-1\r\n");
}

#[test]
fn acknowledgements_of_a_single_node() {
    let server = server();
    let mut client = server.connect();
    let expected: &[(&[&str], &str)] = &[
        (&["WAIT", "0", "0"], ":0\\r\\n"),
        (&["WAIT", "3", "10"], ":0\\r\\n"),
        (&["WAITAOF", "0", "0", "0"], "*2\\r\\n:0\\r\\n:0\\r\\n"),
        (&["WAITAOF", "0", "1", "10"], "*2\\r\\n:0\\r\\n:0\\r\\n"),
        (
            &["WAITAOF", "1", "0", "0"],
            "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.\\r\\n",
        ),
        (&["WAITAOF", "2", "0", "0"], "-ERR value is out of range, value must between 0 and 1\\r\\n"),
        (&["WAITAOF", "0", "-1", "0"], "-ERR value is out of range, must be positive\\r\\n"),
        (&["WAITAOF", "0", "1", "-1"], "-ERR timeout is negative\\r\\n"),
    ];
    for (command, reply) in expected {
        assert_eq!(show(&client.ask(command)), *reply, "{command:?}");
    }
}

/// Large values are handed over, in whichever form they are kept.
#[test]
fn large_elements() {
    let server = server();
    let (mut client, mut control) = blocked(&server, &["BRPOPLPUSH", "l", "m", "0"]);
    let large = vec![b'x'; 1_000_000];
    assert_eq!(control.ask(&[&b"RPUSH"[..], b"l", &large]), b":1\r\n");
    assert_eq!(client.receive().len(), large.len() + "$1000000\r\n\r\n".len());
    assert_eq!(control.ask(&["LLEN", "m"]), b":1\r\n");
}
