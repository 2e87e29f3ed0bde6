//! Finds the keys of a request by the key specifications of its command.
//!
//! Dispatch locks what is found here before the handler starts; COMMAND GETKEYS and ACL key rules ask the same
//! question. Requests come from clients, so every position and count is checked against what was sent. Knows
//! records and requests; nothing of databases, hashes or locks.

use super::errors::Error;
use super::spec::{Begin, Command, Find, Flags, KeyFlags, KeySpec};
use crate::resp::scan::Request;
use crate::types::number;
use smallvec::SmallVec;

/// Where a key stands among the arguments, and what the command does with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FoundKey {
    /// Index into the whole request (0 is the command's name).
    pub position: usize,
    pub flags: KeyFlags,
}

/// What COMMAND GETKEYS answers when a specification does not fit the arguments.
pub const INVALID_ARGUMENTS: Error = Error::line("ERR Invalid arguments specified for command");

/// The keys of a request, in the order of the specifications.
///
/// # Errors
/// [`INVALID_ARGUMENTS`] if a specification does not fit the arguments, or if no key is found though the
/// command cannot do without.
pub fn keys(spec: &Command, request: Request<'_>) -> Result<SmallVec<[FoundKey; 8]>, Error> {
    let mut found = SmallVec::new();
    for_each_key(spec, request, |position, flags| found.push(FoundKey { position, flags }))?;
    if found.is_empty() && !spec.flags.contains(Flags::NO_MANDATORY_KEYS) {
        return Err(INVALID_ARGUMENTS);
    }
    Ok(found)
}

/// Whether requests of this command can name keys at all.
pub fn has_keys(spec: &Command) -> bool {
    spec.find_keys.is_some() || spec.keys.iter().any(|keys| !keys.flags.contains(KeyFlags::NOT_KEY))
}

/// Calls `visit` with position and use of each key of a request, without allocating. A key that is named
/// twice is visited twice.
///
/// # Errors
/// [`INVALID_ARGUMENTS`] if a specification does not fit the arguments; keys of the specifications before it
/// were visited by then. The handler of such a request meets the same arguments and words its own error.
#[inline]
pub fn for_each_key(
    spec: &Command,
    request: Request<'_>,
    mut visit: impl FnMut(usize, KeyFlags),
) -> Result<(), Error> {
    if let Some(find) = spec.find_keys {
        find(request, &mut visit);
        return Ok(());
    }
    for keys in spec.keys {
        if keys.flags.contains(KeyFlags::NOT_KEY) {
            continue;
        }
        let fits = visit_spec(keys, request, &mut visit);
        if !fits && !spec.flags.contains(Flags::NO_MANDATORY_KEYS) {
            return Err(INVALID_ARGUMENTS);
        }
    }
    Ok(())
}

/// Visits the keys of one specification; false if it does not fit the arguments or cannot find all keys.
#[inline]
fn visit_spec(keys: &KeySpec, request: Request<'_>, visit: &mut impl FnMut(usize, KeyFlags)) -> bool {
    // Signed, because specifications count from the end too. A request has less than 2^31 arguments and the
    // numbers of a specification are 16 bits wide, so the sums below cannot overflow.
    let argc = request.len() as i64;
    let begin = match keys.begin {
        Begin::Index(at) => at as i64,
        Begin::Keyword { word, from } => match find_word(request, word, from) {
            Some(at) => at + 1,
            // An option that was not given: no keys, and nothing wrong with that.
            None => return true,
        },
        Begin::Unknown => return false,
    };
    let range = match keys.find {
        Find::Range { last, step, limit } => {
            let last = match (last, limit) {
                (0.., _) => begin + last as i64,
                (_, ..=1) => argc + last as i64,
                (_, limit) => begin + (argc - begin) / limit as i64 + last as i64,
            };
            Some((begin, last, step))
        }
        Find::KeyNum { count_at, first, step } => counted(request, begin + count_at as i64).map(|count| {
            let first = begin + first as i64;
            (first, first + (count - 1) * step.max(1) as i64, step)
        }),
        Find::Unknown => None,
    };
    let Some((first, last, step)) = range else { return false };
    if first < 1 || first > last || last >= argc {
        return false;
    }
    let step = step.max(1) as usize;
    let mut position = first as usize;
    while position <= last as usize {
        visit(position, keys.flags);
        position += step;
    }
    !keys.flags.contains(KeyFlags::INCOMPLETE)
}

/// The number of keys that argument `at` holds; `None` if it is no number that this request could satisfy.
fn counted(request: Request<'_>, at: i64) -> Option<i64> {
    let argc = request.len() as i64;
    if !(1..argc).contains(&at) {
        return None;
    }
    number::parse_i64(request.get(at as usize)).filter(|count| (0..argc).contains(count))
}

/// The position of `word`, which must have an argument behind it, from argument `from` on (backwards from
/// the end if negative).
fn find_word(request: Request<'_>, word: &str, from: i16) -> Option<i64> {
    let argc = request.len() as i64;
    let is_word = |at: &i64| request.get(*at as usize).eq_ignore_ascii_case(word.as_bytes());
    if from > 0 {
        (from as i64..argc - 1).find(is_word)
    } else {
        // Redis does not look at argument 1 when it searches backwards.
        (2..=(argc + from as i64).min(argc - 1)).rev().find(is_word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::scan::Span;
    use bytes::Bytes;

    const RW: KeyFlags = KeyFlags::RW;

    fn record(keys: &'static [KeySpec]) -> Command {
        Command { name: "x", keys, ..Command::NEW }
    }

    const fn with(begin: Begin, find: Find) -> KeySpec {
        KeySpec { flags: RW, begin, find, notes: "" }
    }

    const TO_LAST: Find = Find::Range { last: -1, step: 1, limit: 0 };
    const COUNTED: Find = Find::KeyNum { count_at: 0, first: 1, step: 1 };

    fn found(spec: &Command, line: &str) -> Result<Vec<usize>, Error> {
        let large: Vec<Bytes> = line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
        let spans: Vec<Span> = (0..large.len()).map(|i| Span::Large(i as u32)).collect();
        keys(spec, Request::new(&[], &large, &spans))
            .map(|keys| keys.iter().map(|key| key.position).collect())
    }

    fn positions(spec: &Command, line: &str) -> Vec<usize> {
        found(spec, line).unwrap()
    }

    fn is_invalid(spec: &Command, line: &str) -> bool {
        found(spec, line) == Err(INVALID_ARGUMENTS)
    }

    #[test]
    fn ranges() {
        let one = record(const { &[KeySpec::one(2, RW)] });
        assert_eq!(positions(&one, "object freq k"), [2]);
        assert!(is_invalid(&one, "object freq"));
        let all = record(const { &[KeySpec::range(1, -1, 1, RW)] });
        assert_eq!(positions(&all, "del a b a"), [1, 2, 3]);
        assert!(is_invalid(&all, "del"));
        let pairs = record(const { &[KeySpec::range(1, -1, 2, RW)] });
        assert_eq!(positions(&pairs, "mset a 1 b 2"), [1, 3]);
        let but_last = record(const { &[KeySpec::range(1, -2, 1, RW)] });
        assert_eq!(positions(&but_last, "blpop a b 0"), [1, 2]);
        assert!(is_invalid(&but_last, "blpop 0"));
        let beyond = record(const { &[KeySpec::range(1, i16::MAX, 1, RW)] });
        assert!(is_invalid(&beyond, "x a b"));
        let before = record(const { &[KeySpec::range(1, i16::MIN, 1, RW)] });
        assert!(is_invalid(&before, "x a b"));
    }

    #[test]
    fn keywords_in_both_directions_and_a_limit() {
        let half = Find::Range { last: -1, step: 1, limit: 2 };
        let streams = Command {
            keys: Box::leak(Box::new([with(Begin::Keyword { word: "STREAMS", from: 1 }, half)])),
            ..Command::NEW
        };
        assert_eq!(positions(&streams, "xread count 2 streams a b 0 0"), [4, 5]);
        assert!(is_invalid(&streams, "xread count 2 a b 0 0"), "no keyword, no key");
        assert!(is_invalid(&streams, "xread streams"), "nothing behind the keyword");
        let backwards = record(const { &[with(Begin::Keyword { word: "KEYS", from: -2 }, TO_LAST)] });
        assert_eq!(positions(&backwards, "migrate h p x 0 9 keys a keys b c"), [9, 10]);
        assert!(is_invalid(&backwards, "x"));
        let far = record(const { &[with(Begin::Keyword { word: "KEYS", from: i16::MIN }, TO_LAST)] });
        assert!(is_invalid(&far, "x keys a b"));
    }

    #[test]
    fn counted_keys() {
        let union = record(const { &[KeySpec::one(1, RW), with(Begin::Index(2), COUNTED)] });
        assert_eq!(positions(&union, "zunionstore d 2 a b weights 1 2"), [1, 3, 4]);
        for bad in ["0", "-1", "3", "x", "", "9223372036854775807", "-9223372036854775808", "4294967297"] {
            assert!(is_invalid(&union, &format!("zunionstore d {bad} a b")), "{bad}");
        }
        assert!(is_invalid(&union, "zunionstore d"));
        let eval = Command {
            keys: const { &[with(Begin::Index(2), COUNTED)] },
            flags: Flags::NO_MANDATORY_KEYS,
            ..Command::NEW
        };
        assert_eq!(positions(&eval, "eval s 1 a b"), [3]);
        assert_eq!(positions(&eval, "eval s 0 b"), [0; 0]);
        assert_eq!(positions(&eval, "eval s"), [0; 0]);
    }

    #[test]
    fn what_is_no_key_incomplete_or_found_by_the_command_itself() {
        const CHANNEL: KeySpec = KeySpec::one(1, KeyFlags::NOT_KEY);
        let channel = record(const { &[CHANNEL] });
        assert!(!has_keys(&channel));
        assert!(is_invalid(&channel, "spublish c m"));
        const SORTED: KeySpec = KeySpec::one(1, KeyFlags::RO.union(KeyFlags::INCOMPLETE));
        let incomplete = record(const { &[SORTED] });
        assert!(has_keys(&incomplete));
        assert!(is_invalid(&incomplete, "sort k"));
        let own = Command { find_keys: Some(|request, visit| visit(request.len() - 1, RW)), ..incomplete };
        assert_eq!(positions(&own, "sort k store d"), [3]);
    }
}
