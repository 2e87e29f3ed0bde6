//! Whatever arrives on a connection, the server stays up, other clients are not disturbed, memory is bounded,
//! and broken protocol gets Redis's words before the connection is closed.

mod common;

use common::{Client, Process, await_clients, encode, frame_len, info, text};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

/// How long requests made up at random are sent.
const RANDOM_FOR: Duration = Duration::from_secs(8);

/// How long a client that does nothing wrong waits for its reply at most, whatever others do. The machine
/// that runs the tests may be busy; a server that hangs takes longer than this.
const UNDISTURBED_REPLY: Duration = Duration::from_secs(5);

/// A line of this size is too long for a count or an inline request.
const TOO_LONG_LINE: usize = 64 * 1024 + 2;

const MB: usize = 1 << 20;

fn used_memory(client: &mut Client) -> usize {
    info(client, "used_memory") as usize
}

/// A client that asks now and then, and must be answered soon.
struct Bystander(Client);

impl Bystander {
    fn check(&mut self) {
        let asked = Instant::now();
        assert_eq!(self.0.ask(&["PING"]), b"+PONG\r\n");
        let waited = asked.elapsed();
        assert!(waited < UNDISTURBED_REPLY, "another client waited {waited:?}");
    }
}

fn long_line(start: &str) -> Vec<u8> {
    let mut line = start.as_bytes().to_vec();
    line.resize(start.len() + TOO_LONG_LINE, b'1');
    line
}

/// Input that breaks the protocol, and the line that the server answers before it closes the connection.
fn broken() -> Vec<(Vec<u8>, &'static str)> {
    let table: &[(&str, &str)] = &[
        ("*x\r\n", "invalid multibulk length"),
        ("*\r\n", "invalid multibulk length"),
        ("*1x\r\n", "invalid multibulk length"),
        ("* 1\r\n", "invalid multibulk length"),
        ("*01\r\n", "invalid multibulk length"),
        ("*2147483648\r\n", "invalid multibulk length"),
        ("*9223372036854775808\r\n", "invalid multibulk length"),
        ("*99999999999999999999999\r\n", "invalid multibulk length"),
        ("*1\r\n$-1\r\n", "invalid bulk length"),
        ("*1\r\n$x\r\n", "invalid bulk length"),
        ("*1\r\n$\r\n", "invalid bulk length"),
        ("*1\r\n$+4\r\n", "invalid bulk length"),
        ("*1\r\n$536870913\r\n", "invalid bulk length"),
        ("*1\r\n$9223372036854775807\r\n", "invalid bulk length"),
        ("*1\r\n$9223372036854775808\r\n", "invalid bulk length"),
        ("*2\r\n$4\r\nPING\r\n$-2\r\n", "invalid bulk length"),
        ("*1\r\nPING\r\n", "expected '$', got 'P'"),
        ("*1\r\n:4\r\n", "expected '$', got ':'"),
        ("*2\r\n$4\r\nPING\r\n*1\r\n", "expected '$', got '*'"),
        ("*1\r\n\r\n", "expected '$', got ' '"),
        ("*1\r\n\x01\r\n", "expected '$', got '\x01'"),
        // The terminator of a bulk is not looked at, so one byte too many is where the next length should be.
        ("*2\r\n$4\r\nPING!\r\n$1\r\n", "expected '$', got '\n'"),
        ("SET a \"b\r\n", "unbalanced quotes in request"),
        ("SET a 'b\r\n", "unbalanced quotes in request"),
        ("SET a \"b\"c\r\n", "unbalanced quotes in request"),
        ("SET a 'b'c\r\n", "unbalanced quotes in request"),
        ("\"\n", "unbalanced quotes in request"),
    ];
    let mut table: Vec<_> = table.iter().map(|(input, error)| (input.as_bytes().to_vec(), *error)).collect();
    table.push((long_line(""), "too big inline request"));
    table.push((long_line("*"), "too big mbulk count string"));
    table.push((long_line("*1\r\n$"), "too big bulk count string"));
    table.push((long_line("*2\r\n$4\r\nPING\r\n$"), "too big bulk count string"));
    table
}

#[test]
fn broken_protocol_is_named_and_the_connection_closed() {
    let server = Process::nuthatch(&[]);
    let redis = Process::redis(&[]);
    let mut bystander = Bystander(server.connect());
    for (input, error) in broken() {
        let shown = String::from_utf8_lossy(&input[..input.len().min(60)]).into_owned();
        let replies = [&server, &redis].map(|server| {
            let mut client = server.connect();
            client.write(b"PING\r\n");
            client.write(&input);
            String::from_utf8_lossy(&client.receive_to_end()).into_owned()
        });
        let error = error.replace(['\r', '\n'], " ");
        assert_eq!(replies[0], format!("+PONG\r\n-ERR Protocol error: {error}\r\n"), "{shown:?}");
        assert_eq!(replies[0], replies[1], "{shown:?}: this server and Redis");
        bystander.check();
    }
}

#[test]
fn errors_repeat_bytes_as_they_were_sent() {
    let (server, redis) = (Process::nuthatch(&[]), Process::redis(&[]));
    let (mut ours, mut theirs) = (server.connect(), redis.connect());
    let requests: &[&[&[u8]]] = &[
        &[b"\xff\xfe", b"\xc3(", b"\x80"],
        &[b"CLIENT", b"\xff\x01"],
        &[b"CLIENT", b"KILL", b"TYPE", b"\xe9"],
        &[b"CLIENT", b"KILL", b"USER", b"\xe9"],
        &[b"HELLO", b"3", b"\xf0\x9f"],
        &[b"EXPIRE", b"k", b"1", b"\xfe"],
        &[b"LATENCY", b"GRAPH", b"\xfe"],
    ];
    for request in requests {
        let (ours, theirs) = (ours.ask(request), theirs.ask(request));
        assert_eq!(ours.escape_ascii().to_string(), theirs.escape_ascii().to_string());
        assert!(ours.starts_with(b"-ERR"));
    }
}

#[test]
fn requests_after_broken_protocol_are_not_run() {
    let server = Process::nuthatch(&[]);
    server.connect().write(b"*1\r\n$x\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n");
    let mut client = server.connect();
    client.write(b"INCR n\r\nINCR n\r\n*x\r\nINCR n\r\n");
    let replies = client.receive_to_end();
    assert_eq!(replies, b":1\r\n:2\r\n-ERR Protocol error: invalid multibulk length\r\n");
    assert_eq!(server.connect().ask(&["GET", "n"]), b"$1\r\n2\r\n");
}

#[test]
fn before_authentication_requests_are_small() {
    let server = Process::nuthatch(&["--requirepass", "secret"]);
    for (input, want) in [
        ("*11\r\n", "-ERR Protocol error: unauthenticated multibulk length\r\n"),
        ("*1000000\r\n", "-ERR Protocol error: unauthenticated multibulk length\r\n"),
        ("*1\r\n$16385\r\n", "-ERR Protocol error: unauthenticated bulk length\r\n"),
        ("*2\r\n$4\r\nAUTH\r\n$100000000\r\n", "-ERR Protocol error: unauthenticated bulk length\r\n"),
    ] {
        let mut client = server.connect();
        client.write(input.as_bytes());
        assert_eq!(String::from_utf8_lossy(&client.receive_to_end()), want, "{input:?}");
    }
    let mut client = server.connect();
    let most = vec![b'a'; 16384];
    assert_eq!(client.ask(&[b"GET", most.as_slice()]), b"-NOAUTH Authentication required.\r\n");
    assert_eq!(
        client.ask(&["DEL", "1", "2", "3", "4", "5", "6", "7", "8", "9"]),
        b"-NOAUTH Authentication required.\r\n"
    );
    assert_eq!(
        client.ask(&["AUTH", "wrong"]),
        b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
    );
    // AUTH counts for what follows it in the same packet.
    let larger = vec![b'v'; 100_000];
    let mut requests = encode(&["AUTH", "secret"]);
    requests.extend(encode(&[b"SET", b"k".as_slice(), &larger]));
    requests.extend(encode(&["EXISTS"; 12]));
    client.write(&requests);
    assert_eq!(client.receive(), b"+OK\r\n");
    assert_eq!(client.receive(), b"+OK\r\n");
    assert_eq!(client.receive(), b":0\r\n");
}

#[test]
fn empty_requests_are_ignored() {
    let server = Process::nuthatch(&[]);
    let mut client = server.connect();
    client.write(b"\r\n\n   \r\n*0\r\n*-1\r\n*-10\r\n\t\r\nPING\r\n");
    assert_eq!(client.receive(), b"+PONG\r\n");
    assert_eq!(client.ask(&["ECHO", ""]), b"$0\r\n\r\n");
}

/// All that arrives up to `marker`, or until the server closes the connection.
fn receive_until(client: &Client, marker: &[u8]) -> Vec<u8> {
    let (mut received, mut chunk) = (Vec::new(), [0; 4096]);
    while !received.ends_with(marker) {
        match client.stream().read(&mut chunk) {
            Ok(n) if n > 0 => received.extend_from_slice(&chunk[..n]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                return [b"(silence after) ", received.as_slice()].concat();
            }
            _ => break,
        }
    }
    received
}

#[test]
fn odd_requests_are_read_as_redis_reads_them() {
    let server = Process::nuthatch(&[]);
    let redis = Process::redis(&[]);
    for input in [
        &b"  PING  \r\n\tPING\t\n"[..],
        b"PING\rPING\r\n",
        b"ECHO\x0ba\r\n\x0bECHO \x0ca\r\n",
        b"\"PING\"\r\n'PING'\n",
        b"ECHO \"\\x00\\xff\\n\\\"\"\r\nECHO '\\x00\\''\r\n",
        b"ECHO \"\"\r\nECHO ''\r\n\"\"\r\n",
        b"ECHO a\"b\"\r\n",
        b"$4\r\nPING\r\n",
        b"+OK\r\n:1\r\n-ERR\r\n%1\r\n",
        b"*0\r\n*-1\r\n*-2147483648\r\nPING\r\n",
        b"*-9223372036854775808\r\nPING\r\n",
        b"*1\r\n$0\r\n\r\n",
        b"*1\r\n$4\r\nPINGxx*1\r\n$4\r\nPING\0\0",
        b"*2\r\n$4\r\nECHO\r\n$3\r\n\r\n\0\r\n",
        b"*2\r\n$4\r\necho\r\n$-0\r\n\r\n",
        b"*+1\r\n$4\r\nPING\r\n",
        b"*1\rx$4\rxPINGxx",
        b"*1\n$4\nPING\r\n",
        b"*1\r\n$4\n\nPING\r\n",
        b"GET\r\nGET a b\r\nnonsense 'a b' \"\\r\\n\"\r\n",
        b"SET k v EX\r\nSET k v EX x\r\nSET k v NX XX\r\nGET k\r\n",
    ] {
        let replies = [&server, &redis].map(|server| {
            let mut client = server.connect();
            client.write(input);
            client.write(&encode(&["ECHO", "the end"]));
            receive_until(&client, b"the end\r\n").escape_ascii().to_string()
        });
        assert_eq!(replies[0], replies[1], "this server and Redis, {}", input.escape_ascii());
    }
}

#[test]
fn a_zero_byte_ends_the_words_of_a_line() {
    // Redis does not find the end of such a line and waits for ever.
    let server = Process::nuthatch(&[]);
    let mut client = server.connect();
    client.write(b"PING\0 x\r\n\0\r\n\0PING\r\nECHO a\0b c\n");
    assert_eq!([client.receive(), client.receive()].concat(), b"+PONG\r\n$1\r\na\r\n");
    client.write(b"ECHO \"a\0b\"\r\n");
    assert_eq!(client.receive_to_end(), b"-ERR Protocol error: unbalanced quotes in request\r\n");
}

#[test]
fn arguments_may_be_as_long_as_configured() {
    let server = Process::nuthatch(&["--proto-max-bulk-len", "1mb"]);
    let mut client = server.connect();
    let most = vec![b'm'; MB];
    assert_eq!(client.ask(&[b"SET".as_slice(), b"k", &most]), b"+OK\r\n");
    client.write(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1048577\r\n");
    assert_eq!(client.receive_to_end(), b"-ERR Protocol error: invalid bulk length\r\n");
    let mut client = server.connect();
    assert_eq!(client.ask(&["STRLEN", "k"]), b":1048576\r\n");
    // No command makes a longer value either.
    let too_long = b"-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n";
    assert_eq!(client.ask(&["APPEND", "k", "x"]), too_long);
    assert_eq!(client.ask(&["SETRANGE", "k", "1048576", "x"]), too_long);
    assert_eq!(client.ask(&["CONFIG", "SET", "proto-max-bulk-len", "2mb"]), b"+OK\r\n");
    assert_eq!(client.ask(&["APPEND", "k", "x"]), b":1048577\r\n");
    assert_eq!(client.ask(&[b"ECHO".as_slice(), &[b'e'; MB + 1]]).len(), MB + 1 + "$1048577\r\n\r\n".len());
}

#[test]
fn requests_of_other_protocols_are_cut_off() {
    let server = Process::nuthatch(&[]);
    for request in [
        "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 14\r\n\r\nSET evil 1\r\n",
        "post /x HTTP/1.0\r\n\r\nSET evil 1\r\n",
        "GET / HTTP/1.1\r\nAccept: */*\r\nHost: localhost\r\n\r\nSET evil 1\r\n",
        "*1\r\n$5\r\nHOST:\r\nSET evil 1\r\n",
    ] {
        let mut client = server.connect();
        client.write(request.as_bytes());
        let replies = client.receive_to_end();
        assert!(!replies.windows(3).any(|part| part == b"+OK"), "{}", String::from_utf8_lossy(&replies));
    }
    assert_eq!(server.connect().ask(&["EXISTS", "evil"]), b":0\r\n");
}

/// A pipeline with every form of request, and errors among them.
fn pipeline() -> Vec<u8> {
    let mut bytes = Vec::new();
    for request in [
        &["SET", "a", "1"][..],
        &["INCR", "a"],
        &["ECHO", ""],
        &["SET", "", "empty \r\n key"],
        &["GET", ""],
        &["nonsense", "a"],
        &["MSET", "x", "1", "y"],
        &["MSET", "x", "1", "y", "2"],
        &["MGET", "x", "y", "z", "\0"],
    ] {
        bytes.extend(encode(request));
    }
    bytes.extend(b"\r\nSET q \"a\\x41\\n'\" PX 100000\r\nGET 'q'\r\n*0\r\nPING\r\nGETDEL a\n");
    bytes
}

#[test]
fn requests_may_be_cut_at_any_byte() {
    let server = Process::nuthatch(&[]);
    let mut client = server.connect();
    let requests = pipeline();
    let marker = encode(&["ECHO", "the end"]);
    let mut replies_of = |parts: &[&[u8]]| {
        for part in parts {
            client.write(part);
            // Nothing tells that the server has read a part; given this time, it mostly has.
            std::thread::sleep(Duration::from_micros(500));
        }
        client.write(&marker);
        let mut replies = Vec::new();
        while !replies.ends_with(b"the end\r\n") {
            replies.extend(client.receive());
        }
        replies
    };
    let want = replies_of(&[&requests]);
    assert!(want.starts_with(b"+OK\r\n:2\r\n$0\r\n\r\n"), "{}", String::from_utf8_lossy(&want));
    for at in 1..requests.len() {
        let (first, second) = requests.split_at(at);
        assert_eq!(replies_of(&[first, second]), want, "cut at byte {at}");
    }
    let bytes: Vec<&[u8]> = requests.chunks(1).collect();
    assert_eq!(replies_of(&bytes), want, "byte by byte");
    for size in [2, 3, 7, 16] {
        let parts: Vec<&[u8]> = requests.chunks(size).collect();
        assert_eq!(replies_of(&parts), want, "in pieces of {size} bytes");
    }
}

#[test]
fn long_arguments_may_be_cut_anywhere() {
    let server = Process::nuthatch(&[]);
    let mut client = server.connect();
    // Around the sizes where a long argument is received into a buffer of its own.
    for len in [16_000, 32_767, 32_768, 65_535, 65_536, 200_000] {
        let value: Vec<u8> = (0..len).map(|at| (at * 7 % 251) as u8).collect();
        let mut requests = encode(&[b"SET".as_slice(), b"long", &value]);
        requests.extend(encode(&[b"MSET".as_slice(), b"a", &value, b"b", b"short", b"c", &value]));
        requests.extend(encode(&["MGET", "long", "b", "c"]));
        let want = {
            let mut want = b"+OK\r\n+OK\r\n".to_vec();
            want.extend(encode(&[&value, b"short".as_slice(), &value]));
            want
        };
        let around = |at: usize| (at.saturating_sub(3)..at + 3).filter(|at| *at > 0);
        let cuts = [35, 16_384, 32_768, 65_536, len + 30, 2 * len, requests.len() - 40];
        for at in cuts.into_iter().flat_map(around).filter(|at| *at < requests.len()) {
            let (first, second) = requests.split_at(at);
            client.write(first);
            std::thread::sleep(Duration::from_millis(1));
            client.write(second);
            let replies = [client.receive(), client.receive(), client.receive()].concat();
            assert!(replies == want, "{len} bytes, cut at {at}");
        }
        for size in [1000, 32_768, 65_537] {
            requests.chunks(size).for_each(|part| client.write(part));
            let replies = [client.receive(), client.receive(), client.receive()].concat();
            assert!(replies == want, "{len} bytes, in pieces of {size}");
        }
    }
}

#[test]
fn clients_may_vanish_at_any_byte() {
    let server = Process::nuthatch(&[]);
    let mut bystander = Bystander(server.connect());
    let mut requests = pipeline();
    requests.extend(encode(&[b"SET".as_slice(), b"k", &[b'v'; 40]]));
    for at in 0..requests.len() {
        server.connect().write(&requests[..at]);
    }
    let long = encode(&[b"SET".as_slice(), b"k", &[b'v'; 100_000]]);
    for at in (0..long.len()).step_by(9973) {
        server.connect().write(&long[..at]);
    }
    bystander.check();
    await_clients(&mut bystander.0, 1);
}

#[test]
fn announced_lengths_cost_nothing() {
    const CLIENTS: usize = 100;
    let server = Process::nuthatch(&[]);
    let mut watcher = server.connect();
    let growth = |watcher: &mut Client, input: &[u8]| {
        // What the connections themselves cost is not the question.
        let mut clients: Vec<Client> = (0..CLIENTS).map(|_| server.connect()).collect();
        for client in &mut clients {
            assert_eq!(client.ask(&["PING"]), b"+PONG\r\n");
        }
        std::thread::sleep(Duration::from_millis(1200));
        let before = used_memory(watcher);
        clients.iter_mut().for_each(|client| client.write(input));
        std::thread::sleep(Duration::from_millis(1200));
        used_memory(watcher).saturating_sub(before)
    };
    for input in ["*1000000\r\n", "*2147483647\r\n", "*1000000\r\n$3\r\nSET\r\n$20000\r\n"] {
        let grown = growth(&mut watcher, input.as_bytes());
        assert!(grown < CLIENTS * 4096, "{input:?} from {CLIENTS} clients costs {grown} bytes");
    }
    // A long argument's buffer grows with what arrives.
    let grown = growth(&mut watcher, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\n");
    assert!(
        grown <= CLIENTS * (MB + 4096),
        "an argument of 512 MB from {CLIENTS} clients costs {grown} bytes"
    );
}

/// Commands that would stop or delay the server, end other connections, or fill its memory, by design.
const NOT_AT_RANDOM: &[&str] =
    &["shutdown", "debug", "client", "config", "monitor", "sync", "psync", "replicaof", "slaveof"];

struct Noise {
    rng: StdRng,
    names: Vec<String>,
}

impl Noise {
    fn bytes(&mut self, max: usize) -> Vec<u8> {
        let mut bytes = vec![0; self.rng.random_range(0..=max)];
        self.rng.fill(bytes.as_mut_slice());
        bytes
    }

    fn arg(&mut self) -> Vec<u8> {
        const USUAL: [&str; 24] = [
            "",
            "0",
            "1",
            "-1",
            "a",
            "b",
            "*",
            "nx",
            "xx",
            "get",
            "ex",
            "px",
            "keepttl",
            "match",
            "count",
            "type",
            "10",
            "1.5",
            "9223372036854775807",
            "-9223372036854775808",
            "\0",
            "\r\n",
            "len",
            "withmatchlen",
        ];
        match self.rng.random_range(0..10) {
            0 => self.bytes(40),
            1 => self.rng.random::<i64>().to_string().into_bytes(),
            2 => vec![b'x'; 1 << self.rng.random_range(0..12)],
            _ => USUAL.choose(&mut self.rng).unwrap_or(&"").as_bytes().to_vec(),
        }
    }

    /// A request of the right form with arguments at random.
    fn request(&mut self) -> Vec<u8> {
        let name = self.names.choose(&mut self.rng).cloned().unwrap_or_default();
        let mut args = vec![name.into_bytes()];
        for _ in 0..self.rng.random_range(0..7) {
            args.push(self.arg());
        }
        encode(&args)
    }

    /// A piece of traffic: sound requests, damaged ones, lengths that lie, zeros, noise.
    fn traffic(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..self.rng.random_range(1..20) {
            let mut request = self.request();
            match self.rng.random_range(0..8) {
                0 => {
                    let at = self.rng.random_range(0..request.len());
                    request[at] = self.rng.random();
                }
                1 => request.truncate(self.rng.random_range(0..request.len())),
                2 => {
                    let at = self.rng.random_range(0..=request.len());
                    let noise = self.bytes(5);
                    request.splice(at..at, noise);
                }
                _ => {}
            }
            bytes.extend(request);
        }
        match self.rng.random_range(0..12) {
            0 => self.bytes(3000),
            1 => vec![0; self.rng.random_range(1..70_000)],
            2 => [vec![b'*'; 3], self.bytes(300)].concat(),
            3 => [b"*3\r\n$".as_slice(), self.rng.random::<u32>().to_string().as_bytes(), b"\r\n", &bytes]
                .concat(),
            4 => bytes
                .iter()
                .map(|byte| byte & 0x7f)
                .map(|byte| if byte == b'*' { b' ' } else { byte })
                .collect(),
            _ => bytes,
        }
    }
}

#[test]
fn noise_harms_nobody() {
    let server = Process::nuthatch(&["--databases", "4"]);
    let mut bystander = Bystander(server.connect());
    let list = bystander.0.ask(&["COMMAND", "LIST"]);
    let names: Vec<String> = common::elements(&list)
        .expect("an array")
        .into_iter()
        .map(text)
        .filter(|name| !NOT_AT_RANDOM.contains(&name.as_str()))
        .collect();
    assert!(names.len() > 50, "{names:?}");
    let mut noise = Noise { rng: StdRng::seed_from_u64(20_240_229), names };
    let begun = Instant::now();
    let before = used_memory(&mut bystander.0);
    let mut sent = 0;
    while begun.elapsed() < RANDOM_FOR {
        let traffic = noise.traffic();
        sent += traffic.len();
        let mut client = server.connect();
        client.stream().set_read_timeout(Some(Duration::from_millis(5))).expect("a socket option");
        client.write(&traffic);
        // Mostly leave before the replies come; now and then take some, or all.
        if noise.rng.random_ratio(1, 4) {
            let _ = client.stream().read(&mut [0; 4096]);
        }
        if noise.rng.random_ratio(1, 20) {
            bystander.check();
        }
    }
    assert!(sent > 100_000, "only {sent} bytes were sent");
    await_clients(&mut bystander.0, 1);
    bystander.0.ask(&["FLUSHALL", "SYNC"]);
    assert_eq!(bystander.0.ask(&["SET", "k", "v"]), b"+OK\r\n");
    assert_eq!(bystander.0.ask(&["GET", "k"]), b"$1\r\nv\r\n");
    let after = used_memory(&mut bystander.0);
    assert!(after < before + 16 * MB, "memory in use went from {before} to {after} bytes");
}

#[test]
fn a_value_of_100_mb_comes_back() {
    let server = Process::nuthatch(&[]);
    let mut client = server.connect();
    let value: Vec<u8> =
        (0..100 * MB as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    client.write(&encode(&[b"SET".as_slice(), b"big", &value]));
    assert_eq!(client.receive(), b"+OK\r\n");
    assert_eq!(client.ask(&["STRLEN", "big"]), b":104857600\r\n");
    let reply = client.ask(&["GET", "big"]);
    let header = b"$104857600\r\n";
    assert!(reply.starts_with(header) && reply[header.len()..reply.len() - 2] == value);
    drop((reply, value));
    let before = used_memory(&mut client);
    assert!(before < 160 * MB, "{before} bytes in use for a value of 100 MB");
    assert_eq!(client.ask(&["DEL", "big"]), b":1\r\n");
    let give_up = Instant::now() + Duration::from_secs(5);
    while used_memory(&mut client) > 20 * MB {
        assert!(Instant::now() < give_up, "the memory of a deleted value is not freed");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Sends `count` GETs from a thread, without anybody reading, and returns how much the server then uses more.
fn pile_up(server: &Process, watcher: &mut Client, client: &Client, key: &str, count: usize) -> usize {
    let before = used_memory(watcher);
    let mut stream = client.stream().try_clone().expect("a second handle");
    let requests = encode(&["GET", key]).repeat(count);
    std::thread::spawn(move || stream.write_all(&requests));
    let mut bystander = Bystander(server.connect());
    let mut most = 0;
    for _ in 0..30 {
        std::thread::sleep(Duration::from_millis(50));
        most = most.max(used_memory(watcher));
        bystander.check();
    }
    most.saturating_sub(before)
}

#[test]
fn slow_readers_are_slowed_down_not_buffered_for() {
    let server = Process::nuthatch(&[]);
    let mut watcher = server.connect();
    let (large, small) = (vec![b'l'; MB], vec![b's'; 1000]);
    assert_eq!(watcher.ask(&[b"SET".as_slice(), b"large", &large]), b"+OK\r\n");
    assert_eq!(watcher.ask(&[b"SET".as_slice(), b"small", &small]), b"+OK\r\n");
    for (key, value, count) in [("large", &large, 300), ("small", &small, 300_000)] {
        let mut client = server.connect();
        let grown = pile_up(&server, &mut watcher, &client, key, count);
        // The server reads on until 32 MB of replies wait.
        assert!(grown < 36 * MB, "{count} replies of {} bytes nobody reads cost {grown} bytes", value.len());
        let mut want = format!("${}\r\n", value.len()).into_bytes();
        want.extend_from_slice(value);
        want.extend(b"\r\n");
        // In the end every reply comes, whole and in order.
        for number in 0..count.min(20_000) {
            assert!(client.receive() == want, "reply {number} is damaged");
        }
        // Whoever still sends on this connection learns that it is over.
        client.stream().shutdown(Shutdown::Both).expect("an open connection");
    }
    await_clients(&mut watcher, 1);
    assert_eq!(info(&mut watcher, "client_output_buffer_limit_disconnections"), 0);
}

#[test]
fn query_buffers_are_limited() {
    let server = Process::nuthatch(&["--client-query-buffer-limit", "1mb"]);
    let mut bystander = Bystander(server.connect());
    let mut client = server.connect();
    let arg = [b"$20000\r\n".as_slice(), &[b'a'; 20_000], b"\r\n"].concat();
    client.write(b"*1000\r\n$4\r\nMGET\r\n");
    for _ in 0..100 {
        client.write(&arg);
    }
    assert_eq!(client.receive_to_end(), b"", "the connection is closed without a word");
    bystander.check();
    assert_eq!(info(&mut bystander.0, "client_query_buffer_limit_disconnections"), 1);
    // Requests within the limit pass, and so do pipelines of any length of them.
    let mut client = server.connect();
    let request = encode(&[b"ECHO".as_slice(), &[b'e'; 30_000]]);
    let mut sender = client.stream().try_clone().expect("a second handle");
    let sending = std::thread::spawn(move || sender.write_all(&request.repeat(200)));
    for _ in 0..200 {
        assert_eq!(client.receive().len(), "$30000\r\n\r\n".len() + 30_000);
    }
    sending.join().expect("the sender").expect("all is sent");
}

#[test]
fn output_beyond_the_hard_limit_ends_the_connection() {
    let server = Process::nuthatch(&["--client-output-buffer-limit", "normal 1mb 0 0"]);
    let mut bystander = Bystander(server.connect());
    assert_eq!(bystander.0.ask(&["SETRANGE", "large", "3000000", "x"]), b":3000001\r\n");
    let mut client = server.connect();
    client.write(&encode(&["GET", "large"]));
    assert!(client.receive_to_end().len() < 3_000_001);
    bystander.check();
    assert_eq!(info(&mut bystander.0, "client_output_buffer_limit_disconnections"), 1);
    assert_eq!(bystander.0.ask(&["SETRANGE", "less", "900000", "x"]), b":900001\r\n");
    assert_eq!(server.connect().ask(&["GET", "less"]).len(), "$900001\r\n\r\n".len() + 900_001);
}

#[test]
fn output_above_the_soft_limit_for_too_long_ends_the_connection() {
    let server = Process::nuthatch(&["--client-output-buffer-limit", "normal 0 100kb 1"]);
    let mut watcher = server.connect();
    assert_eq!(watcher.ask(&["SETRANGE", "large", "30000000", "x"]), b":30000001\r\n");
    let mut client = server.connect();
    // Only now it is sure to be counted.
    assert_eq!(client.ask(&["PING"]), b"+PONG\r\n");
    client.write(&encode(&["GET", "large"]));
    await_clients(&mut watcher, 1);
    assert_eq!(info(&mut watcher, "client_output_buffer_limit_disconnections"), 1);
    assert!(client.receive_to_end().len() < 30_000_001);
    // Whoever reads in time may have replies of any size.
    assert_eq!(server.connect().ask(&["STRLEN", "large"]), b":30000001\r\n");
    assert_eq!(server.connect().ask(&["GET", "large"]).len(), "$30000001\r\n\r\n".len() + 30_000_001);
}

#[test]
fn one_client_too_many_is_told_so() {
    let server = Process::nuthatch(&["--maxclients", "3"]);
    let mut first = server.connect();
    assert_eq!(first.ask(&["PING"]), b"+PONG\r\n");
    await_clients(&mut first, 1);
    let mut others = [server.connect(), server.connect()];
    others.iter_mut().for_each(|client| assert_eq!(client.ask(&["PING"]), b"+PONG\r\n"));
    assert_eq!(server.connect().receive_to_end(), b"-ERR max number of clients reached\r\n");
    assert!(info(&mut first, "rejected_connections") >= 1);
    drop(others);
    await_clients(&mut first, 1);
    assert_eq!(server.connect().ask(&["PING"]), b"+PONG\r\n");
}

#[test]
fn every_reply_is_well_formed() {
    // What comes back for noise is noise to a person, but must be replies to a client.
    let server = Process::nuthatch(&[]);
    let list = server.connect().ask(&["COMMAND", "LIST"]);
    let names = common::elements(&list).expect("an array").into_iter().map(text);
    // Commands that subscribe reply once for each channel; after MULTI nothing is answered but QUEUED.
    let has_one_reply = |name: &str| name != "quit" && name != "multi" && !name.ends_with("subscribe");
    let names = names.filter(|name| !NOT_AT_RANDOM.contains(&name.as_str()) && has_one_reply(name)).collect();
    let mut noise = Noise { rng: StdRng::seed_from_u64(7), names };
    for proto in ["2", "3"] {
        let mut client = server.connect();
        client.ask(&["HELLO", proto]);
        for _ in 0..300 {
            let request = noise.request();
            if request
                .windows(5)
                .any(|part| part.eq_ignore_ascii_case(b"hello") || part.eq_ignore_ascii_case(b"reset"))
            {
                continue;
            }
            client.write(&request);
            client.write(&encode(&["ECHO", "marker"]));
            let first = client.receive();
            assert_eq!(frame_len(&first), Some(first.len()));
            let marker = client.receive();
            let shown = String::from_utf8_lossy(&request).into_owned();
            assert_eq!(
                marker,
                b"$6\r\nmarker\r\n",
                "after {shown:?} and {:?}",
                String::from_utf8_lossy(&first)
            );
        }
    }
}
