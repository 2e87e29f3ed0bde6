//! Publishing and MONITOR over real sockets: replies to the byte, order, slow subscribers.

mod common;

use common::{Client, Process, await_clients, encode, frame_len, info, text};
use std::collections::HashMap;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

fn push(kind: u8, words: &[&str]) -> String {
    let words: String = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
    let count = words.matches('$').count();
    format!("{}{count}\r\n{words}", kind as char)
}

/// A confirmation: the number of subscriptions comes last.
fn confirmation(kind: u8, word: &str, name: &str, count: usize) -> String {
    let three = push(kind, &[word, name, ""]);
    three.strip_suffix("$0\r\n\r\n").expect("an empty word").to_owned() + &format!(":{count}\r\n")
}

fn receive(client: &mut Client) -> String {
    String::from_utf8(client.receive()).expect("text")
}

fn ask(client: &mut Client, words: &[&str]) -> String {
    String::from_utf8(client.ask(words)).expect("text")
}

/// Subscribes and takes the confirmations.
fn subscribe(client: &mut Client, words: &[&str]) {
    client.send(words);
    for _ in &words[1..] {
        client.receive();
    }
}

fn await_true(what: &str, mut is_true: impl FnMut() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(20);
    while !is_true() {
        assert!(Instant::now() < give_up, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn messages_and_confirmations_to_the_byte_in_both_protocols() {
    let server = Process::nuthatch(&[]);
    for (proto, kind) in [("2", b'*'), ("3", b'>')] {
        let (mut a, mut b) = (server.connect(), server.connect());
        a.ask(&["HELLO", proto]);
        a.send(&["SUBSCRIBE", "one", "two", "one"]);
        for (name, count) in [("one", 1), ("two", 2), ("one", 2)] {
            assert_eq!(receive(&mut a), confirmation(kind, "subscribe", name, count));
        }
        assert_eq!(ask(&mut a, &["PSUBSCRIBE", "o*"]), confirmation(kind, "psubscribe", "o*", 3));
        assert_eq!(ask(&mut a, &["SSUBSCRIBE", "one"]), confirmation(kind, "ssubscribe", "one", 1));
        assert_eq!(ask(&mut b, &["PUBLISH", "one", "hello"]), ":2\r\n");
        assert_eq!(ask(&mut b, &["PUBLISH", "none", "hello"]), ":0\r\n");
        assert_eq!(ask(&mut b, &["SPUBLISH", "one", "shard"]), ":1\r\n");
        assert_eq!(receive(&mut a), push(kind, &["message", "one", "hello"]));
        assert_eq!(receive(&mut a), push(kind, &["pmessage", "o*", "one", "hello"]));
        assert_eq!(receive(&mut a), push(kind, &["smessage", "one", "shard"]));
        assert_eq!(
            ask(&mut b, &["PUBSUB", "NUMSUB", "one", "none"]),
            "*4\r\n$3\r\none\r\n:1\r\n$4\r\nnone\r\n:0\r\n"
        );
        assert_eq!(ask(&mut b, &["PUBSUB", "CHANNELS", "t*"]), "*1\r\n$3\r\ntwo\r\n");
        assert_eq!(ask(&mut b, &["PUBSUB", "NUMPAT"]), ":1\r\n");
        assert_eq!(ask(&mut b, &["PUBSUB", "SHARDCHANNELS"]), "*1\r\n$3\r\none\r\n");
        assert_eq!(ask(&mut b, &["PUBSUB", "SHARDNUMSUB", "one"]), "*2\r\n$3\r\none\r\n:1\r\n");
        for (field, value) in [
            ("pubsub_clients", 1),
            ("pubsub_channels", 2),
            ("pubsub_patterns", 1),
            ("pubsubshard_channels", 1),
        ] {
            assert_eq!(info(&mut b, field), value, "{field}");
        }
        let list = text(&b.ask(&["CLIENT", "LIST", "TYPE", "pubsub"]));
        assert!(list.contains(" flags=P ") && list.contains(" sub=2 psub=1 ssub=1 "), "{list}");
        assert_eq!(ask(&mut a, &["UNSUBSCRIBE", "two"]), confirmation(kind, "unsubscribe", "two", 2));
        assert_eq!(ask(&mut a, &["UNSUBSCRIBE"]), confirmation(kind, "unsubscribe", "one", 1));
        assert_eq!(ask(&mut a, &["PUNSUBSCRIBE"]), confirmation(kind, "punsubscribe", "o*", 0));
        assert_eq!(ask(&mut a, &["SUNSUBSCRIBE", "one"]), confirmation(kind, "sunsubscribe", "one", 0));
        let null = if kind == b'*' { "$-1" } else { "_" };
        let nothing = format!("{}3\r\n$11\r\nunsubscribe\r\n{null}\r\n:0\r\n", kind as char);
        assert_eq!(ask(&mut a, &["UNSUBSCRIBE"]), nothing);
        assert_eq!(ask(&mut a, &["PING"]), "+PONG\r\n");
        assert_eq!(info(&mut b, "pubsub_clients"), 0);
    }
}

#[test]
fn a_subscriber_of_resp2_may_do_little_else() {
    let server = Process::nuthatch(&[]);
    let mut client = server.connect();
    subscribe(&mut client, &["SUBSCRIBE", "c"]);
    assert_eq!(
        ask(&mut client, &["GET", "k"]),
        "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this \
         context\r\n"
    );
    assert!(ask(&mut client, &["CLIENT", "LIST"]).starts_with("-ERR Can't execute 'client|list': only"));
    assert_eq!(ask(&mut client, &["PING"]), "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
    assert_eq!(ask(&mut client, &["PING", "x"]), "*2\r\n$4\r\npong\r\n$1\r\nx\r\n");
    assert_eq!(ask(&mut client, &["RESET"]), "+RESET\r\n");
    assert_eq!(ask(&mut client, &["GET", "k"]), "$-1\r\n");
    assert_eq!(ask(&mut client, &["PUBLISH", "c", "m"]), ":0\r\n");
    subscribe(&mut client, &["SUBSCRIBE", "c"]);
    assert_eq!(ask(&mut client, &["QUIT"]), "+OK\r\n");
    let mut other = server.connect();
    assert_eq!(ask(&mut other, &["PUBLISH", "c", "m"]), ":0\r\n");
}

#[test]
fn own_messages_come_behind_the_reply() {
    let server = Process::nuthatch(&[]);
    let mut client = server.connect();
    client.ask(&["HELLO", "3"]);
    subscribe(&mut client, &["SUBSCRIBE", "c"]);
    client.write(
        &[encode(&["PUBLISH", "c", "1"]), encode(&["PUBLISH", "c", "2"]), encode(&["ECHO", "x"])].concat(),
    );
    let message = |word| push(b'>', &["message", "c", word]);
    let expected =
        [":1\r\n".to_owned(), message("1"), ":1\r\n".to_owned(), message("2"), "$1\r\nx\r\n".to_owned()];
    for part in expected {
        assert_eq!(receive(&mut client), part);
    }
}

#[test]
fn what_was_published_before_a_command_came_is_there_before_its_reply() {
    let server = Process::nuthatch(&["--io-threads", "2"]);
    let mut publisher = server.connect();
    let mut subscribers: Vec<Client> = (0..4).map(|_| server.connect()).collect();
    for subscriber in &mut subscribers {
        subscriber.ask(&["HELLO", "3"]);
        subscribe(subscriber, &["SUBSCRIBE", "c"]);
    }
    for round in 0..2000 {
        let round = round.to_string();
        assert_eq!(ask(&mut publisher, &["PUBLISH", "c", &round]), ":4\r\n");
        for subscriber in &mut subscribers {
            subscriber.send(&["ECHO", "x"]);
            assert_eq!(receive(subscriber), push(b'>', &["message", "c", &round]));
            assert_eq!(receive(subscriber), "$1\r\nx\r\n");
        }
    }
}

#[test]
fn confirmations_come_whatever_client_reply_says() {
    let server = Process::nuthatch(&[]);
    let (mut client, mut other) = (server.connect(), server.connect());
    client.ask(&["HELLO", "3"]);
    client.send(&["CLIENT", "REPLY", "OFF"]);
    client.send(&["PING"]);
    assert_eq!(ask(&mut client, &["SUBSCRIBE", "c"]), confirmation(b'>', "subscribe", "c", 1));
    assert_eq!(ask(&mut other, &["PUBLISH", "c", "m"]), ":1\r\n");
    assert_eq!(receive(&mut client), push(b'>', &["message", "c", "m"]));
    assert_eq!(ask(&mut client, &["UNSUBSCRIBE", "c"]), confirmation(b'>', "unsubscribe", "c", 0));
    assert_eq!(ask(&mut client, &["CLIENT", "REPLY", "ON"]), "+OK\r\n");
    client.send(&["CLIENT", "REPLY", "SKIP"]);
    assert_eq!(ask(&mut client, &["PSUBSCRIBE", "c"]), confirmation(b'>', "psubscribe", "c", 1));
}

/// Many publishers, each numbering its messages to each channel, and many subscribers: every subscriber gets
/// everything, each publisher's messages in order, and all subscribers the messages of a channel in one order.
#[test]
fn all_subscribers_see_one_order_of_each_channel() {
    const PUBLISHERS: usize = 8;
    const SUBSCRIBERS: usize = 12;
    const CHANNELS: usize = 3;
    const MESSAGES: usize = 500;
    let server = Process::nuthatch(&["--io-threads", "3"]);
    let channel = |at: usize| format!("channel:{at}");
    let subscribers: Vec<Client> = (0..SUBSCRIBERS)
        .map(|at| {
            let mut client = server.connect();
            if at % 2 == 0 {
                client.ask(&["HELLO", "3"]);
            }
            if at % 3 == 0 {
                subscribe(&mut client, &["PSUBSCRIBE", "chan*"]);
            } else {
                let names: Vec<String> = (0..CHANNELS).map(channel).collect();
                subscribe(&mut client, &["SUBSCRIBE", &names[0], &names[1], &names[2]]);
            }
            client
        })
        .collect();
    let orders: Vec<HashMap<String, Vec<String>>> = thread::scope(|scope| {
        let readers: Vec<_> = subscribers
            .into_iter()
            .map(|mut client| {
                scope.spawn(move || {
                    let mut orders: HashMap<String, Vec<String>> = HashMap::new();
                    for _ in 0..PUBLISHERS * CHANNELS * MESSAGES {
                        let message = receive(&mut client);
                        let words: Vec<&str> = message.split("\r\n").collect();
                        // The last two bulks: channel and message.
                        let [channel, message] = [words[words.len() - 4], words[words.len() - 2]];
                        orders.entry(channel.to_owned()).or_default().push(message.to_owned());
                    }
                    orders
                })
            })
            .collect();
        for publisher in 0..PUBLISHERS {
            let mut client = server.connect();
            scope.spawn(move || {
                let mut sent = 0;
                while sent < MESSAGES {
                    // In batches of different sizes.
                    let batch = (1 + (sent + publisher) % 17).min(MESSAGES - sent);
                    let mut requests = Vec::new();
                    for number in sent..sent + batch {
                        for at in 0..CHANNELS {
                            requests.extend(encode(&[
                                "PUBLISH",
                                &channel(at),
                                &format!("{publisher}:{number}"),
                            ]));
                        }
                    }
                    client.write(&requests);
                    for _ in 0..batch * CHANNELS {
                        assert_eq!(receive(&mut client), format!(":{SUBSCRIBERS}\r\n"));
                    }
                    sent += batch;
                }
            });
        }
        readers.into_iter().map(|reader| reader.join().expect("a reader")).collect()
    });
    for at in 0..CHANNELS {
        let first = &orders[0][&channel(at)];
        for order in &orders {
            assert!(order[&channel(at)] == *first, "two subscribers see two orders");
        }
        for publisher in 0..PUBLISHERS {
            let own = first.iter().filter_map(|message| message.strip_prefix(&format!("{publisher}:")));
            assert!(own.eq((0..MESSAGES).map(|number| number.to_string())), "a publisher's order is lost");
        }
    }
}

/// No message before the confirmation of a subscription, none after that of its end, however it races.
#[test]
fn subscriptions_begin_and_end_at_their_confirmations() {
    let server = Process::nuthatch(&["--io-threads", "2"]);
    let (mut publisher, mut client) = (server.connect(), server.connect());
    let stop = AtomicU64::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            let burst: Vec<u8> = encode(&["PUBLISH", "c", "m"]).repeat(20);
            while stop.load(Ordering::Relaxed) == 0 {
                publisher.write(&burst);
                (0..20).for_each(|_| drop(publisher.receive()));
            }
        });
        for _ in 0..500 {
            client.send(&["SUBSCRIBE", "c"]);
            assert_eq!(receive(&mut client), confirmation(b'*', "subscribe", "c", 1));
            client.send(&["UNSUBSCRIBE", "c"]);
            while receive(&mut client) != confirmation(b'*', "unsubscribe", "c", 0) {}
            assert_eq!(ask(&mut client, &["PING"]), "+PONG\r\n");
        }
        stop.store(1, Ordering::Relaxed);
    });
}

#[test]
fn a_subscriber_that_does_not_read_is_cut_off_and_nobody_else() {
    let server = Process::nuthatch(&["--client-output-buffer-limit", "pubsub", "1mb", "0", "0"]);
    let (mut publisher, mut slow, mut quick) = (server.connect(), server.connect(), server.connect());
    subscribe(&mut slow, &["SUBSCRIBE", "c"]);
    subscribe(&mut quick, &["SUBSCRIBE", "c"]);
    for large in [false, true] {
        let message = "x".repeat(if large { 100_000 } else { 100 });
        let reader = |client: &mut Client| receive(client).ends_with(&format!("{message}\r\n"));
        let give_up = Instant::now() + Duration::from_secs(60);
        let before = info(&mut publisher, "client_output_buffer_limit_disconnections");
        loop {
            let burst = if large { 1 } else { 100 };
            publisher.write(&encode(&["PUBLISH", "c", &message]).repeat(burst));
            let mut receivers = 0;
            for _ in 0..burst {
                receivers = receive(&mut publisher)[1..].trim_end().parse().expect("a number");
                assert!(reader(&mut quick));
            }
            if receivers == 1 {
                break;
            }
            assert!(Instant::now() < give_up, "the slow subscriber is still there");
        }
        await_true("it is counted", || {
            info(&mut publisher, "client_output_buffer_limit_disconnections") == before + 1
        });
        await_true("it is gone", || info(&mut publisher, "pubsub_clients") == 1);
        assert!(slow.receive_to_end().len() > 100_000);
        slow = server.connect();
        subscribe(&mut slow, &["SUBSCRIBE", "c"]);
    }
}

#[test]
fn who_is_killed_or_gone_is_no_subscriber() {
    let server = Process::nuthatch(&[]);
    let (mut publisher, mut a, mut b) = (server.connect(), server.connect(), server.connect());
    subscribe(&mut a, &["SUBSCRIBE", "c"]);
    b.ask(&["HELLO", "3"]);
    subscribe(&mut b, &["PSUBSCRIBE", "*"]);
    assert_eq!(ask(&mut publisher, &["CLIENT", "KILL", "TYPE", "pubsub"]), ":2\r\n");
    assert_eq!(ask(&mut publisher, &["PUBLISH", "c", "m"]), ":0\r\n");
    assert_eq!(ask(&mut publisher, &["PUBSUB", "CHANNELS"]), "*0\r\n");
    await_true("they are gone", || info(&mut publisher, "pubsub_clients") == 0);
    assert_eq!(info(&mut publisher, "pubsub_patterns"), 0);
    let mut c = server.connect();
    subscribe(&mut c, &["SSUBSCRIBE", "c"]);
    drop(c);
    await_true("it is gone", || info(&mut publisher, "pubsubshard_channels") == 0);
}

#[test]
fn mail_reaches_a_client_that_is_paused() {
    let server = Process::nuthatch(&[]);
    let (mut admin, mut monitor) = (server.connect(), server.connect());
    assert_eq!(ask(&mut monitor, &["MONITOR"]), "+OK\r\n");
    assert_eq!(ask(&mut admin, &["CLIENT", "PAUSE", "2000", "ALL"]), "+OK\r\n");
    monitor.send(&["PING"]);
    // One of the few commands that do not wait.
    admin.ask(&["HELLO", "2"]);
    let started = Instant::now();
    assert!(receive(&mut monitor).contains("\"HELLO\" \"2\""));
    assert!(started.elapsed() < Duration::from_secs(1));
    assert_eq!(receive(&mut monitor), "+PONG\r\n");
    assert!(receive(&mut monitor).contains("\"PING\""));
    assert!(started.elapsed() > Duration::from_secs(1));
}

#[test]
fn monitor_shows_commands_but_no_secrets() {
    let server = Process::nuthatch(&[]);
    let (mut monitor, mut client) = (server.connect(), server.connect());
    assert_eq!(ask(&mut monitor, &["MONITOR"]), "+OK\r\n");
    let list = text(&client.ask(&["CLIENT", "LIST"]));
    assert!(list.contains(" flags=O "), "{list}");
    let addr = list
        .lines()
        .find(|line| line.contains("cmd=client|list"))
        .and_then(|line| line.split(' ').find_map(|field| field.strip_prefix("addr=")));
    let addr = addr.expect("an address");
    client.ask(&["select", "3"]);
    client.ask(&["Set", "k", "a \"b\"\n\u{0}"]);
    client.ask(&["AUTH", "user", "secret"]);
    client.ask(&["CONFIG", "GET", "port"]);
    client.ask(&["GET"]);
    client.ask(&["PING"]);
    let expected = [
        format!("[3 {addr}] \"select\" \"3\""),
        format!("[3 {addr}] \"Set\" \"k\" \"a \\\"b\\\"\\n\\x00\""),
        format!("[3 {addr}] \"AUTH\" \"(redacted)\" \"(redacted)\""),
        format!("[3 {addr}] \"PING\""),
    ];
    for line in expected {
        let shown = receive(&mut monitor);
        let (time, rest) = shown.trim_end().split_once(' ').expect("a time");
        assert!(time.starts_with("+1") && time.contains('.'), "{shown}");
        assert_eq!(rest, line);
    }
    assert_eq!(ask(&mut monitor, &["GET", "k"]), "-ERR Replica can't interact with the keyspace\r\n");
    assert_eq!(ask(&mut monitor, &["RESET"]), "+RESET\r\n");
    assert_eq!(ask(&mut monitor, &["GET", "k"]), "$-1\r\n");
    client.ask(&["PING"]);
    assert_eq!(ask(&mut monitor, &["PING"]), "+PONG\r\n");
}

/// A thousand subscribers that come, listen and go.
#[test]
fn many_subscribers() {
    const SUBSCRIBERS: usize = 1000;
    let server = Process::nuthatch(&[]);
    let mut publisher = server.connect();
    let mut subscribers: Vec<Client> = (0..SUBSCRIBERS).map(|_| server.connect()).collect();
    for client in &mut subscribers {
        subscribe(client, &["SUBSCRIBE", "c"]);
    }
    publisher.write(&encode(&["PUBLISH", "c", "m"]).repeat(100));
    for _ in 0..100 {
        assert_eq!(receive(&mut publisher), format!(":{SUBSCRIBERS}\r\n"));
    }
    let message = push(b'*', &["message", "c", "m"]);
    for client in &mut subscribers {
        for _ in 0..100 {
            assert_eq!(receive(client), message);
        }
    }
    drop(subscribers);
    await_clients(&mut publisher, 1);
    assert_eq!(ask(&mut publisher, &["PUBLISH", "c", "m"]), ":0\r\n");
}

/// A request that is cut into bytes is no reason to hold messages back.
#[test]
fn messages_come_between_the_pieces_of_a_request() {
    let server = Process::nuthatch(&[]);
    let (mut publisher, mut client) = (server.connect(), server.connect());
    client.ask(&["HELLO", "3"]);
    subscribe(&mut client, &["SUBSCRIBE", "c"]);
    for byte in encode(&["ECHO", "x"]) {
        assert_eq!(ask(&mut publisher, &["PUBLISH", "c", "m"]), ":1\r\n");
        assert_eq!(receive(&mut client), push(b'>', &["message", "c", "m"]));
        client.stream().write_all(&[byte]).expect("a byte is taken");
    }
    let reply = client.receive();
    assert_eq!(frame_len(&reply), Some(reply.len()));
    assert_eq!(reply, b"$1\r\nx\r\n");
}
