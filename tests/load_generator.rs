//! The parts of the benchmarks' load generator that a wrong figure could come from: the requests that it sends and
//! the counting of replies.

#[path = "../benches/load/batch.rs"]
mod batch;
#[path = "../benches/load/digits.rs"]
mod digits;
#[path = "../benches/load/replies.rs"]
mod replies;

use batch::{Batch, INSTANTS_MS, Numbers};
use proptest::prelude::*;
use replies::ReplyCounter;

/// One reply of every kind in RESP2 and RESP3, some of them nested, some errors.
const REPLIES: [&str; 15] = [
    "+OK\r\n",
    "-ERR no\r\n",
    ":-12\r\n",
    "$5\r\na\r\nbc\r\n",
    "$0\r\n\r\n",
    "$-1\r\n",
    "*0\r\n",
    "*-1\r\n",
    "*3\r\n$1\r\na\r\n*2\r\n:1\r\n-ERR in\r\n$-1\r\n",
    "%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n_\r\n",
    "~1\r\n#t\r\n",
    "|1\r\n+a\r\n:1\r\n,1.5\r\n",
    "(123456789012345678901234567890\r\n",
    "=7\r\ntxt:abc\r\n",
    "!5\r\nERR x\r\n",
];
const ERRORS_IN_REPLIES: u64 = 3;

/// A push: it answers nothing.
const PUSH: &str = ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n";

#[test]
fn counts_every_kind_of_reply() {
    for reply in REPLIES {
        assert_eq!(ReplyCounter::default().feed(reply.as_bytes()), 1, "{reply:?}");
        let incomplete = &reply.as_bytes()[..reply.len() - 1];
        assert_eq!(ReplyCounter::default().feed(incomplete), 0, "{reply:?}");
    }
}

proptest! {
    #[test]
    fn counts_the_same_however_the_stream_is_cut(lengths in proptest::collection::vec(1_usize..12, 1..100)) {
        let stream = REPLIES.join(PUSH);
        let mut counter = ReplyCounter::default();
        let mut rest = stream.as_bytes();
        let mut replies = 0;
        for length in lengths.iter().cycle() {
            let (piece, later) = rest.split_at((*length).min(rest.len()));
            replies += counter.feed(piece);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(replies, REPLIES.len() as u64);
        prop_assert_eq!(counter.errors(), ERRORS_IN_REPLIES);
        prop_assert_eq!(counter.pushes(), REPLIES.len() as u64 - 1);
    }
}

#[test]
fn numbers_a_sequence_in_order_over_batches() {
    let mut batch = Batch::new("SET key:__seq__ 1__seq__", 2, 10, 16);
    let mut numbers = Numbers::new(1, 10, 0, 1);
    batch.refresh(2, &mut numbers);
    batch.refresh(1, &mut numbers);
    let request = "*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000004\r\n$13\r\n1000000000005\r\n";
    assert_eq!(std::str::from_utf8(batch.requests(1)), Ok(request));
    let second = "*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000002\r\n$13\r\n1000000000003\r\n";
    assert_eq!(std::str::from_utf8(batch.requests(2)), Ok([request, second].concat().as_str()));
}

#[test]
fn a_template_of_several_requests_has_as_many_replies() {
    let batch = Batch::new("MULTI ; INCR a ; EXEC", 2, 1, 1);
    assert_eq!(batch.replies(), 3);
    let one = "*1\r\n$5\r\nMULTI\r\n*2\r\n$4\r\nINCR\r\n$1\r\na\r\n*1\r\n$4\r\nEXEC\r\n";
    assert_eq!(std::str::from_utf8(batch.requests(2)), Ok(one.repeat(2).as_str()));
}

#[test]
fn draws_random_keys_and_instants_from_the_whole_range_and_nowhere_else() {
    const KEYS: u64 = 1500;
    const SPREAD_MS: u64 = 40;
    let from = INSTANTS_MS.end - SPREAD_MS;
    let mut batch = Batch::new("SET key:__rand__ __value__ PXAT __spread__", 100, KEYS, 3);
    let mut numbers = Numbers::new(7, KEYS, from, SPREAD_MS);
    let mut keys = std::collections::BTreeSet::new();
    let mut instants = std::collections::BTreeSet::new();
    for _ in 0..500 {
        batch.refresh(100, &mut numbers);
        let text = std::str::from_utf8(batch.requests(100)).expect("requests are text");
        for request in text.split_terminator("*5\r\n").filter(|request| !request.is_empty()) {
            let lines: Vec<&str> = request.lines().collect();
            assert_eq!((lines[5], lines[8]), ("xxx", "$13"), "{request:?}");
            keys.insert(lines[3][4..].parse::<u64>().expect("a key number"));
            instants.insert(lines[9].parse::<u64>().expect("an instant"));
        }
    }
    assert!(keys.iter().copied().eq(0..KEYS), "{} of {KEYS} keys", keys.len());
    assert!(instants.iter().copied().eq(from..from + SPREAD_MS), "{instants:?}");
}
