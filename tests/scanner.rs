//! The request scanner against `redis-protocol`, an independent reader of the same protocol: the same bytes
//! give the same arguments or are refused by both, whole or in any pieces.

#[path = "common/receiver.rs"]
mod receiver;

use nuthatch::config::parse::split_args;
use nuthatch::resp::inline;
use nuthatch::resp::scan::{LARGE_ARG_FROM_BYTES, Limits, MAX_LINE_BYTES, ProtocolError};
use proptest::prelude::*;
use receiver::{Args, End, Receiver, scan_cut, scan_whole};
use redis_protocol::resp2::decode::decode_range;
use redis_protocol::resp2::types::RangeFrame;

const LIMITS: Limits = Limits { max_bulk_bytes: 512 << 20, authenticated: true };

fn scan_pieces(bytes: &[u8], cuts: &[prop::sample::Index], limits: Limits) -> (Vec<Args>, End) {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    cuts.sort_unstable();
    scan_cut(bytes, &cuts, limits)
}

/// One line with a number, read by `redis-protocol` as the integer reply it would be with `:` in front.
enum Header {
    /// The number and where the line ends.
    Number(i64, usize),
    Bad,
    Partial,
    /// A carriage return stands alone; Redis takes it for a line end, `redis-protocol` does not.
    NoOpinion,
}

fn header(bytes: &[u8]) -> Header {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\r') else { return Header::Partial };
    match bytes.get(end + 1) {
        None => return Header::Partial,
        Some(b'\n') => {}
        Some(_) => return Header::NoOpinion,
    }
    let mut integer = bytes[..end + 2].to_vec();
    integer[0] = b':';
    match decode_range(&integer) {
        // Redis wants the one canonical form: no plus sign, no leading zeros.
        Ok(Some((RangeFrame::Integer(n), len))) if n.to_string().as_bytes() == &bytes[1..end] => {
            Header::Number(n, len)
        }
        _ => Header::Bad,
    }
}

/// What `redis-protocol` makes of a pipeline of multibulk requests. `None`: the bytes leave what it knows
/// (inline requests, see [`header`]).
fn oracle(mut rest: &[u8]) -> Option<(Vec<Args>, End)> {
    let mut requests = Vec::new();
    while !rest.is_empty() {
        if rest[0] != b'*' {
            return None;
        }
        let (count, line) = match header(rest) {
            Header::Number(n, line) if n <= i64::from(i32::MAX) => (n, line),
            Header::Number(..) | Header::Bad => return Some((requests, End::Broken)),
            Header::Partial => return Some((requests, End::Open)),
            Header::NoOpinion => return None,
        };
        rest = &rest[line..];
        let mut args = Vec::new();
        for _ in 0..count {
            match header(rest) {
                Header::Partial => return Some((requests, End::Open)),
                Header::NoOpinion => return None,
                Header::Number(n, _) if rest[0] == b'$' && (0..=LIMITS.max_bulk_bytes).contains(&n) => {}
                // Requests are arrays of bulk strings and of nothing else.
                _ => return Some((requests, End::Broken)),
            }
            match decode_range(rest) {
                Ok(Some((RangeFrame::BulkString((start, end)), len))) => {
                    args.push(rest[start..end].to_vec());
                    rest = &rest[len..];
                }
                Ok(None) => return Some((requests, End::Open)),
                other => panic!("a bulk string by its header, but {other:?}"),
            }
        }
        requests.push(args);
    }
    Some((requests, End::Open))
}

fn encode(requests: &[Args]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for args in requests {
        bytes.extend(format!("*{}\r\n", args.len()).bytes());
        for arg in args {
            bytes.extend(format!("${}\r\n", arg.len()).bytes());
            bytes.extend_from_slice(arg);
            bytes.extend(b"\r\n");
        }
    }
    bytes
}

fn arg() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => prop::collection::vec(any::<u8>(), 0..20),
        4 => prop::sample::select(vec![&b"GET"[..], b"", b"\r\n", b"*1\r\n", b"$3", b"\0"]).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 100..1200),
    ]
}

fn pipeline() -> impl Strategy<Value = Vec<Args>> {
    prop::collection::vec(prop::collection::vec(arg(), 0..6), 0..8)
}

/// Sizes on both sides of the one from which an argument has a buffer of its own.
fn large_arg() -> impl Strategy<Value = Vec<u8>> {
    (LARGE_ARG_FROM_BYTES - 3..LARGE_ARG_FROM_BYTES + 3, any::<u8>())
        .prop_map(|(len, seed)| (0..len).map(|i| (i as u8).wrapping_mul(31) ^ seed).collect())
}

/// One way of spoiling a request.
#[derive(Clone, Debug)]
enum Damage {
    Set(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index, usize),
    Truncate(prop::sample::Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    // What headers are made of is where damage hurts.
    let byte = || prop_oneof![prop::sample::select(b"*$:+-0123456789\r\n ".to_vec()), any::<u8>()];
    let index = any::<prop::sample::Index>;
    prop_oneof![
        (index(), byte()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        (index(), prop::collection::vec(byte(), 1..4)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        (index(), 1..4_usize).prop_map(|(at, len)| Damage::Remove(at, len)),
        index().prop_map(Damage::Truncate),
    ]
}

fn spoil(bytes: &mut Vec<u8>, damages: &[Damage]) {
    for damage in damages {
        let len = bytes.len();
        match damage {
            Damage::Set(at, byte) if len > 0 => bytes[at.index(len)] = *byte,
            Damage::Set(..) => {}
            Damage::Insert(at, new) => {
                let at = at.index(len + 1);
                bytes.splice(at..at, new.iter().copied());
            }
            Damage::Remove(at, count) => {
                let at = at.index(len + 1);
                bytes.drain(at..(at + count).min(len));
            }
            Damage::Truncate(at) => bytes.truncate(at.index(len + 1)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn what_was_encoded_comes_out_in_any_pieces(
        requests in pipeline(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let bytes = encode(&requests);
        prop_assert_eq!(oracle(&bytes), Some((requests.clone(), End::Open)));
        prop_assert_eq!(scan_whole(&bytes, LIMITS), (requests.clone(), End::Open));
        prop_assert_eq!(scan_pieces(&bytes, &cuts, LIMITS), (requests, End::Open));
    }

    #[test]
    fn damaged_requests_are_read_or_refused_alike(
        requests in pipeline(),
        damages in prop::collection::vec(damage(), 1..4),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        max_bulk_bytes in prop::sample::select(vec![10, 1000, LIMITS.max_bulk_bytes]),
        authenticated in any::<bool>(),
    ) {
        let mut bytes = encode(&requests);
        spoil(&mut bytes, &damages);
        let scanned = scan_whole(&bytes, LIMITS);
        if let Some(expected) = oracle(&bytes) {
            prop_assert_eq!(&scanned, &expected);
        }
        prop_assert_eq!(&scan_pieces(&bytes, &cuts, LIMITS), &scanned);
        // Narrower limits refuse earlier, and never read anything else.
        let limits = Limits { max_bulk_bytes, authenticated };
        let limited = scan_whole(&bytes, limits);
        prop_assert!(scanned.0.starts_with(&limited.0));
        prop_assert!(limited == scanned || limited.1 == End::Broken);
        prop_assert_eq!(scan_pieces(&bytes, &cuts, limits), limited);
    }

    #[test]
    fn lines_are_split_as_in_a_configuration_file(
        line in prop::collection::vec(
            prop_oneof![prop::sample::select(b"\"'\\ \txan0f".to_vec()), 1..=255_u8], 0..24),
    ) {
        prop_assert_eq!(inline::split(&line), split_args(&line).ok());
    }

    #[test]
    fn inline_requests_come_out_in_any_pieces(
        lines in prop::collection::vec(prop::collection::vec(
            prop_oneof![prop::sample::select(b"\"'\\ \txan0f\r".to_vec()), any::<u8>()], 0..24), 0..6),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let bytes: Vec<u8> = lines.iter().flat_map(|line| line.iter().copied().chain([b'\n'])).collect();
        prop_assert_eq!(scan_pieces(&bytes, &cuts, LIMITS), scan_whole(&bytes, LIMITS));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn large_arguments_come_out_in_any_pieces(
        before in pipeline(),
        mut with_large in prop::collection::vec(arg(), 0..4),
        large in prop::collection::vec(large_arg(), 1..3),
        at in any::<prop::sample::Index>(),
        after in pipeline(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let at = at.index(with_large.len() + 1);
        with_large.splice(at..at, large);
        let requests: Vec<Args> = before.into_iter().chain([with_large]).chain(after).collect();
        let bytes = encode(&requests);
        prop_assert_eq!(oracle(&bytes), Some((requests.clone(), End::Open)));
        prop_assert_eq!(scan_pieces(&bytes, &cuts, LIMITS), (requests, End::Open));
    }
}

fn refusal(bytes: &[u8], limits: Limits) -> Option<ProtocolError> {
    let mut receiver = Receiver::new(limits);
    receiver.receive(bytes);
    receiver.broken
}

#[test]
fn each_way_of_breaking_the_protocol_has_its_name() {
    let strangers = Limits { authenticated: false, ..LIMITS };
    let long_line = |start: &str| [start.as_bytes(), &vec![b'1'; MAX_LINE_BYTES + 1]].concat();
    let cases: &[(&[u8], Limits, Option<ProtocolError>)] = &[
        (b"*2147483648\r\n", LIMITS, Some(ProtocolError::InvalidMultibulkLength)),
        (b"*2147483647\r\n", LIMITS, None),
        (b"*x\r\n", LIMITS, Some(ProtocolError::InvalidMultibulkLength)),
        (b"*\r\n", LIMITS, Some(ProtocolError::InvalidMultibulkLength)),
        (b"*-10\r\n*0\r\n*-1\r\n", LIMITS, None),
        (b"*1\r\n:5\r\n", LIMITS, Some(ProtocolError::ExpectedDollar(b':'))),
        (b"*1\r\n:5", LIMITS, None),
        (b"*1\r\n\r\n", LIMITS, Some(ProtocolError::ExpectedDollar(b'\r'))),
        (b"*1\r\n$-1\r\n", LIMITS, Some(ProtocolError::InvalidBulkLength)),
        (b"*1\r\n$01\r\n", LIMITS, Some(ProtocolError::InvalidBulkLength)),
        (b"*1\r\n$536870913\r\n", LIMITS, Some(ProtocolError::InvalidBulkLength)),
        (b"*1\r\n$536870912\r\n", LIMITS, None),
        (b"*10\r\n$16384\r\n", strangers, None),
        (b"*11\r\n", strangers, Some(ProtocolError::UnauthMultibulkLength)),
        (b"*1\r\n$16385\r\n", strangers, Some(ProtocolError::UnauthBulkLength)),
        (b"get \"a\n", LIMITS, Some(ProtocolError::UnbalancedQuotes)),
        (&long_line("*"), LIMITS, Some(ProtocolError::TooBigMultibulkLine)),
        (&long_line("*1\r\n$"), LIMITS, Some(ProtocolError::TooBigBulkLine)),
        (&long_line("get "), LIMITS, Some(ProtocolError::TooBigInline)),
    ];
    for (bytes, limits, expected) in cases {
        assert_eq!(&refusal(bytes, *limits), expected, "{}", bytes.escape_ascii());
    }
}

#[test]
fn what_was_only_announced_takes_no_memory() {
    let mut receiver = Receiver::new(LIMITS);
    receiver.receive(b"*1000000\r\n");
    assert_eq!((receiver.spans.capacity(), receiver.large.capacity()), (0, 0));
    receiver.receive(b"$500000000\r\n");
    let (data, total) = receiver.receiving.as_ref().expect("a large argument");
    assert_eq!((data.capacity(), *total), (0, 500_000_002));
}
