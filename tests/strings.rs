//! What strings do that Debian's Redis cannot judge: options newer than it, and how large values behave.

mod common;

use common::{Client, Process};

fn bulk(value: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", value.len()).as_bytes(), value, b"\r\n"].concat()
}

fn expect(client: &mut Client, words: &[&str], reply: &str) {
    assert_eq!(String::from_utf8_lossy(&client.ask(words)), reply, "{words:?}");
}

#[test]
fn set_if_equal() {
    let server = Process::nuthatch(&[]);
    let client = &mut server.connect();
    expect(client, &["SET", "k", "1", "IFEQ", "1"], "$-1\r\n");
    expect(client, &["EXISTS", "k"], ":0\r\n");
    expect(client, &["SET", "k", "1"], "+OK\r\n");
    expect(client, &["SET", "k", "two", "ifeq", "1", "EX", "100"], "+OK\r\n");
    expect(client, &["TTL", "k"], ":100\r\n");
    expect(client, &["SET", "k", "3", "IFEQ", "2"], "$-1\r\n");
    expect(client, &["SET", "k", "3", "IFEQ", "2", "GET"], "$3\r\ntwo\r\n");
    expect(client, &["SET", "k", "3", "GET", "IFEQ", "two", "KEEPTTL"], "$3\r\ntwo\r\n");
    expect(client, &["GET", "k"], "$1\r\n3\r\n");
    expect(client, &["TTL", "k"], ":100\r\n");
    for bad in [&["IFEQ"][..], &["IFEQ", "3", "NX"], &["XX", "IFEQ", "3"]] {
        expect(client, &[&["SET", "k", "4"], bad].concat(), "-ERR syntax error\r\n");
    }
    let reads = "*1\r\n*2\r\n$1\r\nk\r\n*3\r\n+RW\r\n+access\r\n+update\r\n";
    expect(client, &["COMMAND", "GETKEYSANDFLAGS", "SET", "k", "v", "IFEQ", "1"], reads);
    let writes = "*1\r\n*2\r\n$1\r\nk\r\n*2\r\n+OW\r\n+update\r\n";
    expect(client, &["COMMAND", "GETKEYSANDFLAGS", "SET", "k", "v"], writes);
}

#[test]
fn large_values_are_kept_changed_and_dropped() {
    let server = Process::nuthatch(&[]);
    let client = &mut server.connect();
    let mut value: Vec<u8> = (0..5_000_000_u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect();
    client.ask(&[b"SET".as_slice(), b"big", &value]);
    assert_eq!(client.ask(&["GET", "big"]), bulk(&value));
    // The reply of the first GET may still be on its way when the value changes.
    client.send(&["GET", "big"]);
    client.send(&["SETRANGE", "big", "1000000", "in the middle"]);
    client.send(&["APPEND", "big", "at the end"]);
    client.send(&["GET", "big"]);
    assert_eq!(client.receive(), bulk(&value));
    value[1_000_000..1_000_013].copy_from_slice(b"in the middle");
    value.extend_from_slice(b"at the end");
    assert_eq!(client.receive(), b":5000000\r\n");
    assert_eq!(client.receive(), b":5000010\r\n");
    assert_eq!(client.receive(), bulk(&value));
    assert_eq!(client.ask(&["GETRANGE", "big", "1000000", "1999999"]), bulk(&value[1_000_000..2_000_000]));
    expect(client, &["COPY", "big", "copy"], ":1\r\n");
    expect(client, &["APPEND", "copy", "!"], ":5000011\r\n");
    expect(client, &["STRLEN", "big"], ":5000010\r\n");
    expect(client, &["UNLINK", "big", "copy"], ":2\r\n");
    expect(client, &["DBSIZE"], ":0\r\n");
}

#[test]
fn a_string_has_a_largest_size() {
    let server = Process::nuthatch(&["--proto-max-bulk-len", "1mb"]);
    let client = &mut server.connect();
    let too_long = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n";
    expect(client, &["SETRANGE", "k", "1048576", "x"], too_long);
    expect(client, &["SETRANGE", "k", "9223372036854775807", "x"], too_long);
    expect(client, &["SETRANGE", "k", "1048575", "x"], ":1048576\r\n");
    expect(client, &["APPEND", "k", "x"], too_long);
    expect(client, &["SETRANGE", "k", "-1", "x"], "-ERR offset is out of range\r\n");
    let lcs = "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len\r\n";
    expect(client, &["LCS", "k", "k"], lcs);
}

#[test]
fn a_flush_frees_in_the_background() {
    let server = Process::nuthatch(&[]);
    let client = &mut server.connect();
    for db in ["0", "1"] {
        expect(client, &["SELECT", db], "+OK\r\n");
        for first in (0..20_000).step_by(1_000) {
            let pairs = (first..first + 1_000).flat_map(|n| [format!("key:{n}"), "v".into()]);
            client.ask(&std::iter::once("MSET".into()).chain(pairs).collect::<Vec<String>>());
        }
        expect(client, &["DBSIZE"], ":20000\r\n");
    }
    expect(client, &["FLUSHDB"], "+OK\r\n");
    expect(client, &["DBSIZE"], ":0\r\n");
    expect(client, &["SWAPDB", "0", "1"], "+OK\r\n");
    expect(client, &["DBSIZE"], ":20000\r\n");
    expect(client, &["FLUSHALL", "ASYNC"], "+OK\r\n");
    expect(client, &["DBSIZE"], ":0\r\n");
    let freed = |client: &mut Client| {
        let info = String::from_utf8(client.ask(&["INFO", "memory", "stats"])).expect("text");
        info.lines()
            .filter_map(|line| line.strip_prefix("lazyfreed_objects:")?.parse::<u64>().ok())
            .sum::<u64>()
    };
    for _ in 0..500 {
        if freed(client) == 40_000 {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("{} objects freed", freed(client));
}
