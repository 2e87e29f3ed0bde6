//! What streams do that Debian's Redis (7.0) cannot judge: options and fields newer than it. The expectations
//! are the replies of Redis 8.2.3, but for what 7.2 says of consumers.

mod common;

use common::{Client, Process, info};

fn expect(client: &mut Client, words: &str, reply: &str) {
    let words: Vec<&str> = words.split(' ').collect();
    assert_eq!(String::from_utf8_lossy(&client.ask(&words)), reply.replace('|', "\r\n"), "{words:?}");
}

/// Ten entries 1-1 to 1-10 in blocks of three, read and acknowledged as said.
fn prepare(client: &mut Client, read: usize, acknowledged: &[u32]) {
    client.ask(&["DEL", "s"]);
    client.ask(&["CONFIG", "SET", "stream-node-max-entries", "3"]);
    for seq in 1..=10 {
        client.ask(&["XADD", "s", &format!("1-{seq}"), "a", "b"]);
    }
    expect(client, "XGROUP CREATE s g 0", "+OK|");
    client.ask(&["XREADGROUP", "GROUP", "g", "c", "COUNT", &read.to_string(), "STREAMS", "s", ">"]);
    for seq in acknowledged {
        expect(client, &format!("XACK s g 1-{seq}"), ":1|");
    }
}

fn left(client: &mut Client) -> Vec<u32> {
    let all = client.ask(&["XRANGE", "s", "-", "+"]);
    let all = String::from_utf8(all).expect("text");
    all.lines().filter_map(|line| line.strip_prefix("1-")?.parse().ok()).collect()
}

#[test]
fn trimming_minds_groups() {
    let server = Process::nuthatch(&[]);
    let client = &mut server.connect();
    prepare(client, 5, &[1, 3, 5]);
    expect(client, "XTRIM s MAXLEN 0 ACKED", ":3|");
    assert_eq!(left(client), [2, 4, 6, 7, 8, 9, 10]);
    prepare(client, 10, &[2, 5, 8, 9]);
    expect(client, "XTRIM s MAXLEN 8 ACKED", ":1|");
    expect(client, "XTRIM s ACKED MINID 1-9", ":2|");
    assert_eq!(left(client), [1, 3, 4, 6, 7, 9, 10]);
    prepare(client, 10, &[1, 2, 3, 4, 5, 6]);
    expect(client, "XTRIM s MAXLEN = 3 acked", ":6|");
    expect(client, "XPENDING s g", "*4|:4|$3|1-7|$4|1-10|*1|*2|$1|c|$1|4|");
    expect(client, "XTRIM s MAXLEN 1 DELREF", ":3|");
    expect(client, "XPENDING s g", "*4|:1|$4|1-10|$4|1-10|*1|*2|$1|c|$1|1|");
    expect(client, "XTRIM s MAXLEN 0 KEEPREF", ":1|");
    expect(client, "XPENDING s g", "*4|:1|$4|1-10|$4|1-10|*1|*2|$1|c|$1|1|");
    expect(client, "XADD s DELREF MAXLEN = 1 2-1 a b", "$3|2-1|");
    // As Redis does since 8.4.1; before, nothing was trimmed.
    prepare(client, 10, &[1, 2, 3, 4]);
    expect(client, "XTRIM s MAXLEN ~ 5 ACKED", ":3|");
    for bad in ["XTRIM s MAXLEN 1 ACKED ACKED", "XTRIM s ACKED MAXLEN 1 DELREF"] {
        expect(client, bad, "-ERR syntax error|");
    }
    let no_id = "-ERR Invalid stream ID specified as stream command argument|";
    expect(client, "XADD s ACKED KEEPREF 2-2 a b", no_id);
}

#[test]
fn xdelex_and_xackdel() {
    let server = Process::nuthatch(&[]);
    let client = &mut server.connect();
    prepare(client, 3, &[2]);
    expect(client, "XDELEX s ACKED IDS 5 1-1 1-2 1-4 1-11 1-2", "*5|:2|:1|:2|:2|:-1|");
    expect(client, "XDELEX s IDS 2 1-1 1-1", "*2|:1|:-1|");
    expect(client, "XPENDING s g", "*4|:2|$3|1-1|$3|1-3|*1|*2|$1|c|$1|2|");
    let dirty = info(client, "rdb_changes_since_last_save");
    expect(client, "XDELEX s DELREF IDS 2 1-1 1-3", "*2|:-1|:1|");
    assert_eq!(info(client, "rdb_changes_since_last_save"), dirty + 2);
    expect(client, "XPENDING s g", "*4|:0|$-1|$-1|*-1|");
    expect(client, "XDELEX none IDS 2 1-1 x", "*2|:-1|:-1|");
    prepare(client, 6, &[]);
    expect(client, "XGROUP CREATE s h 0", "+OK|");
    client.ask(&["XREADGROUP", "GROUP", "h", "c", "COUNT", "6", "STREAMS", "s", ">"]);
    expect(client, "XACK s h 1-1 1-2", ":2|");
    expect(client, "XACKDEL s g ACKED IDS 4 1-1 1-3 1-7 1-1", "*4|:1|:2|:-1|:-1|");
    expect(client, "XACKDEL s g KEEPREF IDS 1 1-4", "*1|:1|");
    expect(client, "XACKDEL s g IDS 1 1-5 DELREF", "*1|:1|");
    assert_eq!(left(client), [2, 3, 6, 7, 8, 9, 10]);
    expect(client, "XPENDING s h", "*4|:3|$3|1-3|$3|1-6|*1|*2|$1|c|$1|3|");
    expect(client, "XACKDEL s none IDS 1 x", "*1|:-1|");
    for (line, error) in [
        ("XDELEX s IDS 2 1-1", "ERR The `numids` parameter must match the number of arguments"),
        ("XDELEX s IDS 0 1-1", "ERR Number of IDs must be a positive integer"),
        ("XDELEX s IDS x 1-1", "ERR Number of IDs must be a positive integer"),
        ("XDELEX s IDS 1 1-1 1-2", "ERR syntax error"),
        ("XDELEX s ACKED DELREF IDS 1 1-1", "ERR syntax error"),
        ("XDELEX s IDS 1 x", "ERR Invalid stream ID specified as stream command argument"),
        ("XACKDEL s g IDS 1", "ERR wrong number of arguments for 'xackdel' command"),
    ] {
        expect(client, line, &format!("-{error}|"));
    }
}

#[test]
fn the_top_entry() {
    let server = Process::nuthatch(&[]);
    let client = &mut server.connect();
    expect(client, "XREAD STREAMS s +", "*-1|");
    expect(client, "XADD s 1-1 a b", "$3|1-1|");
    expect(client, "XADD s 2-1 a b", "$3|2-1|");
    expect(client, "XREAD COUNT 5 STREAMS s +", "*1|*2|$1|s|*1|*2|$3|2-1|*2|$1|a|$1|b|");
    expect(client, "XDEL s 2-1", ":1|");
    expect(client, "XREAD STREAMS s +", "*1|*2|$1|s|*1|*2|$3|1-1|*2|$1|a|$1|b|");
    client.ask(&["HELLO", "3"]);
    expect(client, "XREAD STREAMS s +", "%1|$1|s|*1|*2|$3|1-1|*2|$1|a|$1|b|");
    expect(client, "XREAD BLOCK 1 STREAMS s $", "_|");
}

#[test]
fn consumers_are_seen_and_active() {
    let server = Process::nuthatch(&[]);
    let client = &mut server.connect();
    expect(client, "XGROUP CREATE s g $ MKSTREAM", "+OK|");
    expect(client, "XREADGROUP GROUP g c STREAMS s >", "*-1|");
    let reply = String::from_utf8(client.ask(&["XINFO", "CONSUMERS", "s", "g"])).expect("text");
    assert!(
        reply.starts_with("*1\r\n*8\r\n$4\r\nname\r\n$1\r\nc\r\n$7\r\npending\r\n:0\r\n$4\r\nidle\r\n:"),
        "{reply}"
    );
    assert!(reply.ends_with("$8\r\ninactive\r\n:-1\r\n"), "{reply}");
    expect(client, "XADD s 1-1 a b", "$3|1-1|");
    client.ask(&["XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">"]);
    let reply = String::from_utf8(client.ask(&["XINFO", "CONSUMERS", "s", "g"])).expect("text");
    assert!(!reply.contains(":-1\r\n"), "{reply}");
    // A claim of nothing creates its consumer, too.
    expect(client, "XCLAIM s g d 0 9-9", "*0|");
    expect(client, "XGROUP DELCONSUMER s g d", ":0|");
    expect(client, "XGROUP CREATECONSUMER s g d", ":1|");
}

#[test]
fn a_large_stream_is_freed_in_the_background() {
    let server = Process::nuthatch(&[]);
    let client = &mut server.connect();
    for n in 1..=10_000 {
        client.send(&["XADD", "s", &n.to_string(), "field", "value"]);
    }
    (1..=10_000).for_each(|_| drop(client.receive()));
    expect(client, "XLEN s", ":10000|");
    expect(client, "COPY s t", ":1|");
    expect(client, "XTRIM s MAXLEN 5", ":9995|");
    expect(client, "XLEN t", ":10000|");
    expect(client, "DEL s t", ":2|");
    let give_up = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while info(client, "lazyfreed_objects") == 0 {
        assert!(std::time::Instant::now() < give_up, "nothing was freed");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}
