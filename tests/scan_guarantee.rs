//! SCAN's promise: a key that is there from the start of a walk to its end is returned at least once, whatever
//! other clients add and remove meanwhile.

mod common;

use common::{Client, Process, elements};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Keys that stay.
const LASTING: usize = 2_000;
/// Keys that come and go with every wave: enough that every shard's table grows and shrinks several times.
const PASSING: usize = 40_000;
const BATCH: usize = 500;
const TIME_LIMIT: Duration = Duration::from_secs(4);

/// Cursors stay below this, since some clients keep them in floating point numbers.
const CURSOR_LIMIT: u64 = 1 << 53;

fn change_in_batches(client: &mut Client, command: &str, value: Option<&str>, keep_on: &AtomicBool) {
    for first in (0..PASSING).step_by(BATCH) {
        if !keep_on.load(Ordering::Relaxed) {
            return;
        }
        let mut request = vec![command.to_owned()];
        for n in first..first + BATCH {
            request.push(format!("passing:{n}"));
            request.extend(value.map(str::to_owned));
        }
        client.ask(&request);
    }
}

/// One whole walk; returns the keys and the number of calls.
fn walk(client: &mut Client, count: usize) -> (HashSet<Vec<u8>>, usize) {
    let (mut seen, mut calls, mut cursor) = (HashSet::new(), 0, "0".to_owned());
    loop {
        let reply = client.ask(&["SCAN", &cursor, "COUNT", &count.to_string()]);
        let parts = elements(&reply).expect("an array");
        let text = |bulk: &[u8]| {
            let start = bulk.iter().position(|byte| *byte == b'\n').expect("a bulk string") + 1;
            bulk[start..bulk.len() - 2].to_vec()
        };
        seen.extend(elements(parts[1]).expect("an array").into_iter().map(text));
        calls += 1;
        cursor = String::from_utf8(text(parts[0])).expect("digits");
        let number: u64 = cursor.parse().expect("a cursor");
        assert!(number < CURSOR_LIMIT, "cursor {number}");
        if number == 0 {
            return (seen, calls);
        }
    }
}

#[test]
fn keys_that_stay_are_returned_while_tables_grow_and_shrink() {
    let server = Process::nuthatch(&[]);
    let mut client = server.connect();
    for n in 0..LASTING {
        client.ask(&["SET", &format!("lasting:{n}"), "v"]);
    }
    let keep_on = AtomicBool::new(true);
    std::thread::scope(|scope| {
        let mut changer = server.connect();
        scope.spawn(|| {
            while keep_on.load(Ordering::Relaxed) {
                change_in_batches(&mut changer, "MSET", Some("v"), &keep_on);
                change_in_batches(&mut changer, "DEL", None, &keep_on);
            }
            drop(changer);
        });
        let started = Instant::now();
        let mut missing = None;
        for count in [1, 7, 10, 100, 1_000].into_iter().cycle() {
            let (seen, calls) = walk(&mut client, count);
            missing = (0..LASTING).map(|n| format!("lasting:{n}")).find(|key| !seen.contains(key.as_bytes()));
            if missing.is_some() || started.elapsed() > TIME_LIMIT {
                println!("last walk: {calls} calls of {count}, {} keys", seen.len());
                break;
            }
        }
        keep_on.store(false, Ordering::Relaxed);
        assert_eq!(missing, None);
    });
}

#[test]
fn a_walk_of_a_quiet_database_returns_everything_once() {
    let server = Process::nuthatch(&[]);
    let mut client = server.connect();
    for n in 0..LASTING {
        client.ask(&["SET", &format!("lasting:{n}"), "v"]);
    }
    let (seen, calls) = walk(&mut client, 10);
    assert_eq!(seen.len(), LASTING);
    assert!(calls < LASTING, "{calls} calls");
}
