//! Redis is the judge of SORT: random sequences of it, and of the commands that make what it sorts, get the same
//! replies from this server and from Debian's Redis.

mod common;
#[path = "common/oracle.rs"]
mod oracle;

use common::Process;
use oracle::{Comparison, Dice, Request, request};
use std::time::Duration;

/// (Nothing out of range: after that, old Redis takes any number for it.)
const ELEMENTS: &[&str] = &[
    "0",
    "1",
    "2",
    "3",
    "7",
    "12",
    "-5",
    "10",
    "1.5",
    "-0.25",
    "1e3",
    "100",
    "9223372036854775807",
    "",
    " 4",
    "4 ",
    "abc",
    "Abc",
    "b",
    "x y",
    "inf",
    "-inf",
    "nan",
    "0x10",
    "*",
    "->",
];
/// Those that SORT takes without ALPHA.
const NUMBERS: usize = 13;

const KEYS: &[&str] =
    &["list", "list", "numbers", "numbers", "set", "set", "zset", "zset", "none", "text", "hash"];
/// Not what is sorted by patterns: elements that these do not know would have no order.
const TARGETS: &[&str] = &["target", "target", "string", "new"];
/// Different for each element.
const UNIQUE: &[&str] = &["unique_*", "object_*->unique"];

fn element(dice: &mut Dice) -> Vec<u8> {
    dice.key(ELEMENTS)
}

fn number(dice: &mut Dice) -> Vec<u8> {
    dice.key(&ELEMENTS[..NUMBERS])
}

/// Keys and fields that patterns find.
fn first() -> Vec<Request> {
    let mut requests = Vec::new();
    for (index, element) in ELEMENTS.iter().enumerate() {
        let unique = (index * 7919 % 1009).to_string();
        requests.push(request(&["SET", &format!("unique_{element}"), &unique]));
        requests.push(request(&["HSET", &format!("object_{element}"), "unique", &unique, "name", element]));
    }
    requests
}

fn sort(dice: &mut Dice) -> Request {
    let mut out = vec![dice.word(&["SORT", "SORT", "SORT", "SORT_RO"]), dice.key(KEYS)];
    let alpha = dice.chance(60);
    let by: &[&str] = match dice.number(0..10) {
        0..4 => &[],
        4..6 => UNIQUE,
        6 => &["nosort", "#", "", "a->b"],
        // Texts that are equal are left in an order of their own, except in a list without a limit.
        _ if alpha && (out[1] != b"list" && out[1] != b"numbers") => UNIQUE,
        _ => &[
            "weight_*",
            "object_*->weight",
            "text*",
            "list*",
            "object_*->",
            "object_*->none",
            "*->*",
            "object_->*",
        ],
    };
    let may_limit = !(alpha && by.contains(&"weight_*"));
    let mut parts: Vec<Request> = Vec::new();
    if !by.is_empty() {
        parts.push(vec![dice.word(&["BY"]), dice.key(by)]);
    }
    if alpha {
        parts.push(vec![dice.word(&["ALPHA"])]);
    }
    if dice.chance(50) {
        parts.push(vec![dice.word(&["ASC", "DESC", "DESC"])]);
    }
    let is_unsorted_set = by.contains(&"nosort") && out[1] == b"set";
    if may_limit && !is_unsorted_set && dice.chance(35) {
        let (offset, count) = (dice.number(-2..12), dice.number(-2..12));
        parts.push(vec![
            dice.word(&["LIMIT"]),
            offset.to_string().into_bytes(),
            count.to_string().into_bytes(),
        ]);
    }
    let gets: &[&str] = &[
        "#",
        "unique_*",
        "weight_*",
        "object_*->name",
        "object_*->none",
        "fixed",
        "*",
        "list*",
        "#*",
        "object_*->",
    ];
    while dice.chance(30) {
        parts.push(vec![dice.word(&["GET"]), dice.key(gets)]);
    }
    if dice.chance(25) {
        parts.push(vec![dice.word(&["STORE"]), dice.key(TARGETS)]);
    }
    if dice.chance(3) {
        let words: &[&str] = &["BY", "LIMIT", "GET", "BAD", "LIMIT x 1", "LIMIT 0 1.5", "LIMIT 1"];
        // A BY that takes the next word for its pattern leaves a set in its own order, of which LIMIT shows a part.
        let words = if out[1] == b"set" { &words[1..] } else { words };
        parts.push(dice.key(words).split(|byte| *byte == b' ').map(<[u8]>::to_vec).collect());
    }
    while !parts.is_empty() {
        let at = dice.number(0..parts.len() as i64) as usize;
        out.extend(parts.swap_remove(at));
    }
    out
}

fn next(dice: &mut Dice) -> Request {
    let named = |words: &[&str], rest: Vec<Vec<u8>>| [request(words), rest].concat();
    match dice.number(0..100) {
        0..55 => sort(dice),
        55..62 => named(&["RPUSH", "list"], vec![element(dice), element(dice)]),
        62..68 => named(&["LPUSH", "numbers"], vec![number(dice), number(dice)]),
        68..74 => named(&["SADD", "set"], vec![if dice.chance(80) { number(dice) } else { element(dice) }]),
        74..80 => {
            let score = dice.number(-5..5).to_string().into_bytes();
            named(&["ZADD", "zset"], vec![score, if dice.chance(80) { number(dice) } else { element(dice) }])
        }
        80..85 => {
            let key = [&b"weight_"[..], &element(dice)].concat();
            let value =
                if dice.chance(95) { dice.number(-3..3).to_string().into_bytes() } else { element(dice) };
            vec![b"SET".to_vec(), key, value]
        }
        85..88 => {
            let key = [&b"object_"[..], &element(dice)].concat();
            let value = dice.number(-3..3).to_string().into_bytes();
            vec![b"HSET".to_vec(), key, b"weight".to_vec(), value]
        }
        88 => vec![b"DEL".to_vec(), [&b"weight_"[..], &element(dice)].concat()],
        89 => vec![b"DEL".to_vec(), dice.key(&["list", "set", "zset", "numbers", "target"])],
        90 => request(&["SET", if dice.chance(50) { "text" } else { "string" }, "x"]),
        91 => request(&["HSET", "hash", "f", "v"]),
        92..95 => named(&["LRANGE"], vec![dice.key(TARGETS), b"0".to_vec(), b"-1".to_vec()]),
        95..98 => named(&["TYPE"], vec![dice.key(TARGETS)]),
        98 => named(&["COMMAND", "GETKEYS"], sort(dice)),
        _ => named(&["EXISTS"], vec![dice.key(TARGETS)]),
    }
}

/// A set in its own order, which is nobody's business.
fn is_unordered(request: &Request) -> bool {
    let mut pairs = request.windows(2);
    let has_pattern = |pair: &[Vec<u8>]| pair[0].eq_ignore_ascii_case(b"BY") && !pair[1].contains(&b'*');
    request[0].to_ascii_uppercase().starts_with(b"SORT") && request[1] == b"set" && pairs.any(has_pattern)
}

#[test]
fn random_sorting_gets_the_replies_of_redis() {
    let comparison = Comparison {
        // So that what is stored is in many blocks.
        ours: Process::nuthatch(&["--enable-debug-command", "yes", "--list-max-listpack-size", "16"]),
        theirs: Process::redis(&["--list-max-listpack-size", "16"]),
        time_limit: Duration::from_secs(10),
        run_requests: 2000,
        first: first(),
    };
    comparison
        .run(next, |request, ours, theirs| is_unordered(request) && oracle::same_elements(ours, theirs));
}
