//! Commands are atomic, over real connections served by several workers: each test keeps something true that
//! any command torn apart, lost or done twice would break.

mod common;

use common::{Client, Process, elements, text};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

/// How long each test lets its clients race.
const RACE: Duration = Duration::from_millis(1500);

/// More workers than the machine may have cores, so that they are interrupted anywhere.
const WORKERS: &str = "6";

/// Requests sent at once, so that workers are busy with whole batches.
const PIPELINE: usize = 16;

fn server() -> Process {
    Process::nuthatch(&["--io-threads", WORKERS])
}

/// The clients of one race. They go on until the time is over, or one of them panics.
struct Race<'a> {
    server: &'a Process,
    end: Instant,
    failed: AtomicBool,
}

/// Ends the race if its thread panics, so that the others do not go on as if nothing was wrong.
struct Alarm<'a>(&'a AtomicBool);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

impl<'a> Race<'a> {
    fn new(server: &'a Process) -> Race<'a> {
        Race { server, end: Instant::now() + RACE, failed: AtomicBool::new(false) }
    }

    /// Runs `step` with growing numbers on a connection of its own until the end; returns how often.
    fn run(&self, mut step: impl FnMut(&mut Client, usize)) -> usize {
        let _alarm = Alarm(&self.failed);
        let mut client = self.server.connect();
        let mut number = 0;
        while Instant::now() < self.end && !self.failed.load(Ordering::Relaxed) {
            step(&mut client, number);
            number += 1;
        }
        number
    }
}

/// The results of all threads; panics if one of them did.
fn join<T>(threads: Vec<ScopedJoinHandle<'_, T>>) -> Vec<T> {
    threads.into_iter().map(|thread| thread.join().expect("a client without a complaint")).collect()
}

fn integer(reply: &[u8]) -> i64 {
    assert_eq!(reply[0], b':', "{}", reply.escape_ascii());
    text(reply).parse().expect("a number")
}

fn ok(reply: &[u8]) {
    assert_eq!(reply, b"+OK\r\n", "{}", reply.escape_ascii());
}

/// The one value that all elements of the reply have.
fn one_value(reply: &[u8]) -> String {
    let values: BTreeSet<&[u8]> = elements(reply).expect("an array").into_iter().collect();
    assert_eq!(values.len(), 1, "a torn read: {}", reply.escape_ascii());
    reply.escape_ascii().to_string()
}

fn words<'a>(command: &'a str, args: &'a [String]) -> Vec<&'a str> {
    [command].into_iter().chain(args.iter().map(String::as_str)).collect()
}

fn keys(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}:{number}")).collect()
}

/// The arguments that give every key the same value.
fn pairs(keys: &[String], value: &str) -> Vec<String> {
    keys.iter().flat_map(|key| [key.clone(), value.to_owned()]).collect()
}

fn ask_all(client: &mut Client, requests: &[Vec<&str>]) -> Vec<Vec<u8>> {
    requests.iter().for_each(|request| client.send(request));
    requests.iter().map(|_| client.receive()).collect()
}

#[test]
fn groups_of_keys_are_written_and_read_as_one() {
    let server = server();
    let race = Race::new(&server);
    let groups: Vec<Vec<String>> = (0..3).map(|group| keys(&format!("group{group}"), 12)).collect();
    thread::scope(|scope| {
        for writer in 0..4 {
            let (race, groups) = (&race, &groups);
            scope.spawn(move || {
                race.run(|client, number| {
                    let group = &groups[number % groups.len()];
                    let pairs = pairs(group, &format!("{writer}-{number}"));
                    let mut reversed = group.clone();
                    reversed.reverse();
                    // Different orders of the same keys, which must not wait for each other in a circle.
                    let requests = match number % 5 {
                        0 => vec![words("DEL", &reversed), words("MSETNX", &pairs)],
                        1 => vec![words("UNLINK", group), words("MSET", &pairs)],
                        _ => vec![words("MSET", &pairs); 4],
                    };
                    ask_all(client, &requests);
                })
            });
        }
        let readers = (0..4).map(|_| {
            scope.spawn(|| {
                let mut seen = BTreeSet::new();
                race.run(|client, number| {
                    let mut group = groups[number % groups.len()].clone();
                    if number % 2 == 1 {
                        group.reverse();
                    }
                    for reply in ask_all(client, &vec![words("MGET", &group); PIPELINE]) {
                        seen.insert(one_value(&reply));
                    }
                    let found = integer(&client.ask(&words("EXISTS", &group)));
                    assert!(found == 0 || found == group.len() as i64, "{found} keys of a group");
                });
                seen.len()
            })
        });
        let seen = join(readers.collect());
        assert!(seen.iter().all(|values| *values > 10), "there was no race: {seen:?}");
    });
}

#[test]
fn a_renamed_key_is_always_in_one_place() {
    let server = server();
    let race = Race::new(&server);
    let places = keys("place", 8);
    ok(&server.connect().ask(&["SET", &places[0], "the token"]));
    thread::scope(|scope| {
        let movers = (0..4).map(|mover| {
            let (race, places) = (&race, &places);
            scope.spawn(move || {
                let mut moves = 0;
                race.run(|client, number| {
                    let place = |at: usize| places[(number * 7 + mover * 3 + at) % places.len()].as_str();
                    let requests: Vec<_> = (0..PIPELINE)
                        .map(|at| {
                            let command = if at % 2 == 0 { "RENAME" } else { "RENAMENX" };
                            vec![command, place(at), place(at * 5 + 1)]
                        })
                        .collect();
                    for reply in ask_all(client, &requests) {
                        moves += usize::from(reply == b"+OK\r\n" || reply == b":1\r\n");
                    }
                });
                moves
            })
        });
        let movers: Vec<_> = movers.collect();
        for _ in 0..3 {
            scope.spawn(|| {
                race.run(|client, _| {
                    for reply in ask_all(client, &vec![words("EXISTS", &places); PIPELINE]) {
                        assert_eq!(integer(&reply), 1, "the token is in no place, or in two");
                    }
                })
            });
        }
        let moves: usize = join(movers).into_iter().sum();
        assert!(moves > 100, "only {moves} moves");
    });
    assert_eq!(integer(&server.connect().ask(&["DBSIZE"])), 1);
}

#[test]
fn copies_are_of_one_moment() {
    let server = server();
    let race = Race::new(&server);
    ok(&server.connect().ask(&["MSET", "a", "0", "b", "0"]));
    thread::scope(|scope| {
        for writer in 0..3 {
            let race = &race;
            scope.spawn(move || {
                race.run(|client, number| {
                    // Of different sizes: a value is replaced, not only written over.
                    let value = format!("{writer}-{number}").repeat(1 + number % 50);
                    ok(&client.ask(&["MSET", "a", &value, "b", &value]));
                })
            });
        }
        for (from, to) in [("a", "b"), ("b", "a")] {
            let race = &race;
            scope.spawn(move || {
                race.run(|client, _| {
                    for reply in ask_all(client, &vec![vec!["COPY", from, to, "REPLACE"]; PIPELINE]) {
                        assert_eq!(integer(&reply), 1);
                    }
                })
            });
        }
        for _ in 0..3 {
            scope.spawn(|| {
                race.run(|client, _| {
                    for reply in ask_all(client, &vec![vec!["MGET", "a", "b"]; PIPELINE]) {
                        one_value(&reply);
                    }
                })
            });
        }
    });
}

#[test]
fn nothing_is_counted_twice_or_lost() {
    let server = server();
    let race = Race::new(&server);
    const COUNTERS: [&str; 3] = ["n:0", "n:1", "n:2"];
    let counts = thread::scope(|scope| {
        let clients = (0..8).map(|_| {
            scope.spawn(|| {
                let mut returned: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
                let mut appended = 0;
                race.run(|client, number| {
                    let counter = COUNTERS[number % COUNTERS.len()];
                    let mut requests = vec![vec!["INCR", counter]; PIPELINE];
                    requests.extend([vec!["APPEND", "text", "xyz"], vec!["INCRBYFLOAT", "sum", "0.25"]]);
                    let replies = ask_all(client, &requests);
                    let numbers = replies[..PIPELINE].iter().map(|reply| integer(reply));
                    returned.entry(counter).or_default().extend(numbers);
                    appended += 1;
                });
                (returned, appended)
            })
        });
        join(clients.collect())
    });
    let mut client = server.connect();
    for counter in COUNTERS {
        let mut all: Vec<i64> =
            counts.iter().flat_map(|(returned, _)| returned.get(counter)).flatten().copied().collect();
        all.sort_unstable();
        assert!(all.iter().copied().eq(1..=all.len() as i64), "{counter}: a number twice, or missing");
        assert_eq!(text(&client.ask(&["GET", counter])), all.len().to_string());
    }
    let appended: usize = counts.iter().map(|(_, appended)| appended).sum();
    assert_eq!(integer(&client.ask(&["STRLEN", "text"])), 3 * appended as i64);
    assert_eq!(text(&client.ask(&["GET", "text"])), "xyz".repeat(appended));
    assert_eq!(text(&client.ask(&["GET", "sum"])).parse(), Ok(appended as f64 / 4.0));
}

#[test]
fn exchanged_values_form_one_chain() {
    let server = server();
    let race = Race::new(&server);
    let (mut taken, mut given) = (Vec::new(), Vec::new());
    thread::scope(|scope| {
        let clients = (0..6).map(|id| {
            let race = &race;
            scope.spawn(move || {
                let (mut taken, mut given) = (Vec::new(), Vec::new());
                race.run(|client, number| {
                    let token = format!("{id}-{number}");
                    let request = match number % 3 {
                        0 => vec!["GETSET", "k", &token],
                        1 => vec!["SET", "k", &token, "GET"],
                        _ => vec!["GETDEL", "k"],
                    };
                    let reply = client.ask(&request);
                    if reply != b"$-1\r\n" {
                        taken.push(text(&reply));
                    }
                    if request[0] != "GETDEL" {
                        given.push(token);
                    }
                });
                (taken, given)
            })
        });
        for (took, gave) in join(clients.collect()) {
            taken.extend(took);
            given.extend(gave);
        }
    });
    let last = server.connect().ask(&["GETDEL", "k"]);
    if last != b"$-1\r\n" {
        taken.push(text(&last));
    }
    taken.sort();
    given.sort();
    assert!(taken == given, "{} values given, {} taken, not the same ones", given.len(), taken.len());
    assert!(given.len() > 1000, "only {} exchanges", given.len());
}

#[test]
fn one_of_several_wins() {
    const KEYS: [&str; 3] = ["a", "b", "c"];
    let server = server();
    let mut judge = server.connect();
    let mut players: Vec<Client> = (0..6).map(|_| server.connect()).collect();
    let end = Instant::now() + RACE;
    let mut winners = BTreeSet::new();
    while Instant::now() < end {
        // Every two of these pairs have a key in common, so only the first can be set.
        for (player, client) in players.iter_mut().enumerate() {
            let (one, other) = (KEYS[player % 3], KEYS[(player + 1) % 3]);
            let value = player.to_string();
            client.send(&["MSETNX", one, &value, other, &value]);
        }
        let wins: Vec<i64> = players.iter_mut().map(|client| integer(&client.receive())).collect();
        assert_eq!(wins.iter().sum::<i64>(), 1, "{wins:?}");
        let winner = wins.iter().position(|won| *won == 1).unwrap_or_default();
        winners.insert(winner);
        let (one, other) = (KEYS[winner % 3], KEYS[(winner + 1) % 3]);
        assert!(one_value(&judge.ask(&["MGET", one, other])).contains(&winner.to_string()));
        assert_eq!(integer(&judge.ask(&["EXISTS", "a", "b", "c"])), 2);
        assert_eq!(integer(&judge.ask(&["DEL", "a", "b", "c"])), 2);
        // The same with one key.
        players.iter_mut().for_each(|client| client.send(&["SET", "lock", "mine", "NX"]));
        let wins = players.iter_mut().filter_map(|client| (client.receive() == b"+OK\r\n").then_some(()));
        assert_eq!(wins.count(), 1);
        assert_eq!(integer(&judge.ask(&["DEL", "lock"])), 1);
    }
    assert!(winners.len() > 1, "there was no race");
}

#[test]
fn compare_and_set() {
    let server = server();
    let race = Race::new(&server);
    ok(&server.connect().ask(&["SET", "n", "0"]));
    let successes: usize = thread::scope(|scope| {
        let clients = (0..6).map(|_| {
            scope.spawn(|| {
                let mut successes = 0;
                race.run(|client, _| {
                    let old = text(&client.ask(&["GET", "n"]));
                    let new = (old.parse::<i64>().expect("a number") + 1).to_string();
                    successes += usize::from(client.ask(&["SET", "n", &new, "IFEQ", &old]) == b"+OK\r\n");
                });
                successes
            })
        });
        join(clients.collect()).into_iter().sum()
    });
    assert_eq!(text(&server.connect().ask(&["GET", "n"])), successes.to_string());
    assert!(successes > 100, "only {successes} successes");
}

#[test]
fn databases_are_swapped_whole() {
    let server = server();
    let race = Race::new(&server);
    let names = keys("k", 10);
    let mut client = server.connect();
    for db in ["1", "2"] {
        ok(&client.ask(&["SELECT", db]));
        ok(&client.ask(&words("MSET", &pairs(&names, db))));
    }
    // One of the two has more keys than the other.
    ok(&client.ask(&["SET", "more", "2"]));
    thread::scope(|scope| {
        let swappers =
            (0..2).map(|_| scope.spawn(|| race.run(|client, _| ok(&client.ask(&["SWAPDB", "1", "2"])))));
        let swappers: Vec<_> = swappers.collect();
        for db in ["1", "2"] {
            let (race, names) = (&race, &names);
            scope.spawn(move || {
                race.run(|client, _| {
                    ok(&client.ask(&["SELECT", db]));
                    let mut everything = names.clone();
                    everything.push("more".to_owned());
                    for reply in ask_all(client, &vec![words("MGET", &everything); PIPELINE]) {
                        let values = elements(&reply).expect("an array");
                        let first: BTreeSet<_> = values[..names.len()].iter().collect();
                        assert_eq!(first.len(), 1, "half swapped: {}", reply.escape_ascii());
                        let more: &[u8] =
                            if values[0] == b"$1\r\n2\r\n" { b"$1\r\n2\r\n" } else { b"$-1\r\n" };
                        assert_eq!(values[names.len()], more, "{}", reply.escape_ascii());
                    }
                    let size = integer(&client.ask(&["DBSIZE"]));
                    assert!(matches!(size, 10 | 11), "{size} keys");
                })
            });
        }
        let swaps: usize = join(swappers).into_iter().sum();
        assert!(swaps > 100, "only {swaps} swaps");
    });
}

#[test]
fn what_one_client_does_in_turn_others_see_in_turn() {
    let server = server();
    let race = Race::new(&server);
    ok(&server.connect().ask(&["MSET", "first", "0", "second", "0"]));
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            race.run(|client, number| {
                for at in 0..PIPELINE {
                    let value = (number * PIPELINE + at).to_string();
                    client.send(&["SET", "first", &value]);
                    client.send(&["SET", "second", &value]);
                }
                (0..2 * PIPELINE).for_each(|_| ok(&client.receive()));
            })
        });
        for _ in 0..4 {
            scope.spawn(|| {
                let mut last = 0;
                race.run(|client, _| {
                    let requests = ["second", "first"]
                        .repeat(PIPELINE)
                        .into_iter()
                        .map(|key| vec!["GET", key])
                        .collect::<Vec<_>>();
                    let values: Vec<u64> = ask_all(client, &requests)
                        .iter()
                        .map(|reply| text(reply).parse().expect("a number"))
                        .collect();
                    for pair in values.chunks(2) {
                        assert!(pair[1] >= pair[0], "the second SET is seen, the first is not: {pair:?}");
                        assert!(pair[0] >= last, "time runs backwards: {} after {last}", pair[0]);
                        last = pair[0];
                    }
                })
            });
        }
        let batches = writer.join().expect("a client without a complaint");
        assert!(batches > 10, "only {batches} batches");
    });
}

#[test]
fn the_number_of_keys_is_right_in_the_end() {
    let server = server();
    let race = Race::new(&server);
    thread::scope(|scope| {
        for id in 0_usize..8 {
            let race = &race;
            scope.spawn(move || {
                let mut state = id as u64 + 1;
                // An xorshift generator: the sequence is random enough, and the same every time.
                let mut random = move |below: u64| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    state % below
                };
                race.run(|client, _| {
                    for _ in 0..PIPELINE {
                        let [a, b] = [random(500), random(500)].map(|number| format!("key:{number}"));
                        let (a, b) = (a.as_str(), b.as_str());
                        let db = random(4).to_string();
                        match random(14) {
                            0..=3 => client.send(&["SET", a, "v"]),
                            4 => client.send(&["SET", a, "v", "PX", "3"]),
                            5 => client.send(&["MSET", a, "1", b, "2"]),
                            6 => client.send(&["DEL", a, b]),
                            7 => client.send(&["RENAME", a, b]),
                            8 => client.send(&["COPY", a, b, "DB", &db, "REPLACE"]),
                            9 => client.send(&["MOVE", a, &db]),
                            10 => client.send(&["GETEX", a, "PX", "2"]),
                            11 => client.send(&["SELECT", &db]),
                            12 if random(20) == 0 => client.send(&["SWAPDB", "1", "2"]),
                            12 if random(40) == 0 => client.send(&["FLUSHDB", "ASYNC"]),
                            _ => client.send(&["INCR", a]),
                        }
                    }
                    (0..PIPELINE).for_each(|_| drop(client.receive()));
                })
            });
        }
    });
    // Those with a deadline are gone by now.
    thread::sleep(Duration::from_millis(200));
    let mut client = server.connect();
    let mut total = 0;
    for db in 0..4 {
        ok(&client.ask(&["SELECT", &db.to_string()]));
        let counted = integer(&client.ask(&["DBSIZE"]));
        let listed = client.ask(&["KEYS", "*"]);
        let listed: BTreeSet<_> = elements(&listed).expect("an array").into_iter().map(text).collect();
        assert_eq!(counted, listed.len() as i64, "DBSIZE and KEYS of database {db}");
        let mut scanned = Vec::new();
        let mut cursor = "0".to_owned();
        loop {
            let reply = client.ask(&["SCAN", &cursor]);
            let parts = elements(&reply).expect("an array");
            cursor = text(parts[0]);
            scanned.extend(elements(parts[1]).expect("an array").into_iter().map(text));
            if cursor == "0" {
                break;
            }
        }
        assert_eq!(scanned.len(), listed.len(), "SCAN returns a key twice though nothing changes");
        assert_eq!(scanned.into_iter().collect::<BTreeSet<_>>(), listed, "SCAN and KEYS of database {db}");
        let present = listed.iter().filter(|key| integer(&client.ask(&["EXISTS", key])) == 1).count();
        assert_eq!(present, listed.len(), "keys that are listed and not there");
        let deadlines = listed.iter().filter(|key| integer(&client.ask(&["TTL", key])) != -1).count();
        assert_eq!(deadlines, 0, "keys that outlived their deadline");
        total += counted;
    }
    assert!(total > 100, "only {total} keys are left");
    ok(&client.ask(&["FLUSHALL"]));
    assert_eq!(integer(&client.ask(&["DBSIZE"])), 0);
}

/// Within a batch a lock is passed on from request to request as long as they want the same. Runs of requests
/// for one key, with errors, other keys and other modes of locking in between, do and count what they should.
#[test]
fn runs_of_requests_for_one_key_are_exact() {
    let server = server();
    let mut admin = server.connect();
    ok(&admin.ask(&["SET", "text", "no number"]));
    ok(&admin.ask(&["CONFIG", "RESETSTAT"]));
    const RUN: usize = 40;
    let mut batch: Vec<Vec<&str>> = vec![vec!["INCR", "hot"]; RUN];
    batch.extend([vec!["INCR", "text"], vec!["GET"], vec!["NOSUCH", "hot"], vec!["INCR", "hot"]]);
    batch.extend(vec![vec!["GET", "hot"]; RUN]);
    batch.extend([vec!["MGET", "hot", "text"], vec!["GET", "absent"], vec!["DEL", "absent"]]);
    batch.extend([vec!["SET", "brief", "x", "PXAT", "1"], vec!["GET", "brief"], vec!["EXISTS", "brief"]]);
    batch.extend(vec![vec!["INCR", "hot"]; RUN]);
    let increments = batch.iter().filter(|request| request[..] == ["INCR", "hot"]).count();
    let race = Race::new(&server);
    let rounds: usize = thread::scope(|scope| {
        let client = || {
            let (race, batch) = (&race, &batch);
            scope.spawn(move || {
                let mut last = 0;
                race.run(|client, _| {
                    batch.iter().for_each(|request| client.send(request));
                    for request in batch {
                        let reply = client.receive();
                        match request[..] {
                            ["INCR", "hot"] => {
                                let now = integer(&reply);
                                assert!(now > last, "{now} after {last}");
                                last = now;
                            }
                            ["GET", "hot"] => {
                                let now = text(&reply).parse::<i64>().expect("a number");
                                assert!(now >= last, "{now} after {last}");
                                last = now;
                            }
                            ["INCR", "text"] | ["GET"] | ["NOSUCH", ..] => assert_eq!(reply[0], b'-'),
                            ["GET", _] => assert_eq!(reply, b"$-1\r\n"),
                            ["DEL" | "EXISTS", ..] => assert_eq!(reply, b":0\r\n"),
                            ["SET", ..] => ok(&reply),
                            _ => assert_eq!(elements(&reply).expect("an array").len(), 2),
                        }
                    }
                })
            })
        };
        join((0..6).map(|_| client()).collect()).into_iter().sum()
    });
    assert_eq!(text(&admin.ask(&["GET", "hot"])), (rounds * increments).to_string());
    let stats = String::from_utf8(admin.ask(&["INFO", "stats"])).expect("text");
    let figure = |name: &str| {
        let line = stats.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|value| value.parse::<usize>().ok()).expect("a figure")
    };
    assert_eq!(figure("keyspace_hits"), rounds * (RUN + 2) + 1);
    assert_eq!(figure("keyspace_misses"), rounds * 3);
}

/// How many elements the keys of the next test have.
const SORTED: usize = 12;

/// Gives all elements weights and values at once. Those of round `n` are all larger than those of the round before,
/// and in falling order in every other round.
fn weights(n: usize) -> Vec<String> {
    let of = |element: usize| {
        let place = if n.is_multiple_of(2) { element } else { SORTED - 1 - element };
        let weight = [format!("weight_{element}"), (n * SORTED + place).to_string()];
        weight.into_iter().chain([format!("value_{element}"), n.to_string()])
    };
    (0..SORTED).flat_map(of).collect()
}

/// What is true of one sorting: all weights and values are of one round, and in order.
fn sorted_in_one_round(reply: &[u8]) {
    let found: Vec<usize> = elements(reply)
        .unwrap_or_else(|| panic!("{}", reply.escape_ascii()))
        .into_iter()
        .map(|part| text(part).parse().unwrap_or_else(|_| panic!("nothing found: {}", reply.escape_ascii())))
        .collect();
    let round = found[2];
    let expected = |at: usize| {
        let element = if round.is_multiple_of(2) { at } else { SORTED - 1 - at };
        [element, round * SORTED + at, round]
    };
    let expected: Vec<usize> = (0..SORTED).flat_map(expected).collect();
    assert_eq!(found, expected, "a torn sorting");
}

#[test]
fn patterns_of_sort_see_one_moment() {
    let server = server();
    let race = Race::new(&server);
    let numbers: Vec<String> = (0..SORTED).map(|element| element.to_string()).collect();
    let mut client = server.connect();
    for (command, key) in [("SADD", "elements"), ("RPUSH", "others")] {
        client.ask(&words(command, &[vec![key.to_owned()], numbers.clone()].concat()));
    }
    ok(&client.ask(&words("MSET", &weights(0))));
    let patterns = ["BY", "weight_*", "GET", "#", "GET", "weight_*", "GET", "value_*"];
    thread::scope(|scope| {
        let mut sorters = Vec::new();
        for key in [["SORT_RO", "elements"], ["SORT", "elements"], ["SORT", "others"]] {
            let (race, request) = (&race, [&key[..], &patterns].concat());
            sorters
                .push(scope.spawn(move || race.run(|client, _| sorted_in_one_round(&client.ask(&request)))));
        }
        let request = [&["SORT", "elements"], &patterns[..], &["STORE", "sorted"]].concat();
        let racing = &race;
        sorters.push(scope.spawn(move || {
            racing.run(|client, _| {
                assert_eq!(integer(&client.ask(&request)), 3 * SORTED as i64);
                sorted_in_one_round(&client.ask(&["LRANGE", "sorted", "0", "-1"]));
            })
        }));
        scope.spawn(|| race.run(|client, n| ok(&client.ask(&words("MSET", &weights(n))))));
        // Others that lock many keys, or everything, or walk over it.
        scope.spawn(|| {
            race.run(|client, _| {
                ok(&client.ask(&["MSET", "a", "x", "b", "y", "c", "z"]));
                ok(&client.ask(&["RENAME", "b", "d"]));
                client.ask(&["SORT", "others", "STORE", "c"]);
                client.ask(&["SCAN", "0", "COUNT", "100"]);
                ok(&client.ask(&["SWAPDB", "1", "2"]));
            })
        });
        let counts = join(sorters);
        assert!(counts.iter().all(|count| *count > 20), "there was no race: {counts:?}");
    });
}
