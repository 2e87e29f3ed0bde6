//! SORT looks at keys that it does not name, and is nevertheless as atomic as any other command.

mod common;

use common::{Process, elements, text};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long the clients race.
const RACE: Duration = Duration::from_millis(2500);

/// More workers than the machine may have cores, so that they are interrupted anywhere.
const WORKERS: &str = "6";

const ELEMENTS: usize = 12;

/// Gives all elements weights and values at once: those of round `n` are all larger than those of round `n` - 1, in
/// falling order in every other round.
fn round(n: usize) -> Vec<String> {
    let mut request = vec!["MSET".to_owned()];
    for element in 0..ELEMENTS {
        let place = if n.is_multiple_of(2) { element } else { ELEMENTS - 1 - element };
        request.extend([format!("weight_{element}"), (n * ELEMENTS + place).to_string()]);
        request.extend([format!("value_{element}"), n.to_string()]);
    }
    request
}

fn texts(reply: &[u8]) -> Vec<String> {
    elements(reply).unwrap_or_else(|| panic!("{}", reply.escape_ascii())).into_iter().map(text).collect()
}

/// What must be true of one sorting: all weights and values are of one round, and in order.
fn check(found: &[String], what: &str) {
    assert_eq!(found.len(), 3 * ELEMENTS, "{what}");
    let number = |text: &String| text.parse::<usize>().unwrap_or_else(|_| panic!("{what}: {text:?}"));
    let rows: Vec<(usize, usize, usize)> =
        found.chunks(3).map(|row| (number(&row[0]), number(&row[1]), number(&row[2]))).collect();
    let round = rows[0].2;
    for (at, (element, weight, value)) in rows.iter().enumerate() {
        let expected = if round.is_multiple_of(2) { at } else { ELEMENTS - 1 - at };
        assert_eq!((*element, *weight, *value), (expected, round * ELEMENTS + at, round), "{what}: {rows:?}");
    }
}

#[test]
fn patterns_see_one_moment() {
    let server = Process::nuthatch(&["--io-threads", WORKERS]);
    let mut client = server.connect();
    let all: Vec<String> = (0..ELEMENTS).map(|element| element.to_string()).collect();
    let with = |head: &[&str]| {
        head.iter().map(|word| word.to_string()).chain(all.iter().cloned()).collect::<Vec<_>>()
    };
    client.ask(&with(&["SADD", "elements"]));
    client.ask(&with(&["RPUSH", "others"]));
    client.ask(&round(0));
    let words = ["BY", "weight_*", "GET", "#", "GET", "weight_*", "GET", "value_*"];
    let request = |head: &[&str], tail: &[&str]| -> Vec<String> {
        [head, &words, tail].concat().into_iter().map(str::to_owned).collect()
    };
    let reading = [
        request(&["SORT_RO", "elements"], &[]),
        request(&["SORT", "elements"], &[]),
        request(&["SORT", "others"], &[]),
    ];
    let storing = request(&["SORT", "elements"], &["STORE", "sorted"]);
    let (end, failed) = (Instant::now() + RACE, AtomicBool::new(false));
    let goes_on = || Instant::now() < end && !failed.load(Ordering::Relaxed);
    let sorted = thread::scope(|scope| {
        let guarded = |work: &dyn Fn() -> usize| {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            result.unwrap_or_else(|panic| {
                failed.store(true, Ordering::Relaxed);
                std::panic::resume_unwind(panic)
            })
        };
        let guarded = &guarded;
        let (server, goes_on, reading, storing) = (&server, &goes_on, &reading, &storing);
        let mut sorters = Vec::new();
        for request in reading {
            sorters.push(scope.spawn(move || {
                guarded(&|| {
                    let mut client = server.connect();
                    let mut count = 0;
                    while goes_on() {
                        check(&texts(&client.ask(request)), &request[0]);
                        count += 1;
                    }
                    count
                })
            }));
        }
        sorters.push(scope.spawn(move || {
            guarded(&|| {
                let mut client = server.connect();
                let mut count = 0;
                while goes_on() {
                    let reply = client.ask(storing);
                    assert_eq!(text(&reply), (3 * ELEMENTS).to_string());
                    check(&texts(&client.ask(&["LRANGE", "sorted", "0", "-1"])), "stored");
                    count += 1;
                }
                count
            })
        }));
        // Writers of many keys in both orders, of one key, of the whole database, and walks over it.
        scope.spawn(move || {
            guarded(&|| {
                let mut client = server.connect();
                let mut n = 1;
                while goes_on() {
                    client.ask(&round(n));
                    n += 1;
                }
                n
            })
        });
        scope.spawn(move || {
            guarded(&|| {
                let mut client = server.connect();
                let mut n = 0;
                while goes_on() {
                    client.ask(&["MSET", "sorted2", "x", "other", "y", "elements3", "z"]);
                    client.ask(&["RENAME", "other", "another"]);
                    client.ask(&["SORT", "others", "STORE", "sorted2"]);
                    client.ask(&["SCAN", "0", "COUNT", "100"]);
                    client.ask(&["SWAPDB", "1", "2"]);
                    client.ask(&["DBSIZE"]);
                    n += 1;
                }
                n
            })
        });
        sorters.into_iter().map(|sorter| sorter.join().expect("a client without a complaint")).min()
    });
    assert!(sorted > Some(20), "there was no race: {sorted:?}");
}
