//! Looking through a whole database: KEYS, SCAN, RANDOMKEY.

use crate::command::args::Args;
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Acl, Arg, Command, Flags, Group, Scope};
use crate::keyspace::Entry;
use crate::resp::reply::Reply;
use crate::types::glob;

pub const KEYS: Command = Command {
    name: "keys",
    summary: "Returns all names of keys that match a pattern.",
    since: "1.0.0",
    group: Group::Generic,
    complexity: "O(N) in the number of keys of the database, which is locked meanwhile.",
    arity: 2,
    flags: Flags::READONLY,
    acl: Acl::DANGEROUS,
    tips: &["request_policy:all_shards", "nondeterministic_output_order"],
    args: &[Arg::pattern("pattern")],
    reply: "array of names",
    scope: Scope::Database,
    handler: Some(keys),
    ..Command::NEW
};

fn keys(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let pattern = call.args.take()?;
    let place = call.out.deferred();
    let mut found = 0;
    call.keys.each_entry(call.keys.db, |entry| {
        if matches(pattern, entry.key()) {
            call.out.bulk(entry.key());
            found += 1;
        }
    });
    call.out.finish_array(place, found);
    Ok(())
}

fn matches(pattern: &[u8], name: &[u8]) -> bool {
    pattern == b"*" || glob::matches(pattern, name, false)
}

pub const SCAN: Command = Command {
    name: "scan",
    summary: "Returns some names of keys and the cursor with which to ask for more.",
    since: "2.8.0",
    group: Group::Generic,
    complexity: "O(1) for every call; O(N) for a whole walk, in the number of keys of the database.",
    arity: -2,
    flags: Flags::READONLY.union(Flags::TOUCHES_ARBITRARY_KEYS),
    tips: &["nondeterministic_output", "request_policy:special", "response_policy:special"],
    args: &[
        Arg::integer("cursor"),
        Arg::pattern("pattern").token("MATCH").optional(),
        Arg::integer("count").token("COUNT").optional(),
        Arg::string("type").token("TYPE").optional().since("6.0.0"),
    ],
    history: &[("6.0.0", "The option TYPE.")],
    reply: "array of the cursor to go on with (0 at the end) and an array of names",
    scope: Scope::Nothing,
    handler: Some(scan),
    ..Command::NEW
};

/// How many keys SCAN looks at if it is not told.
const DEFAULT_COUNT: usize = 10;

/// What SCAN and its siblings on collections are asked for.
struct ScanOptions<'a> {
    pattern: Option<&'a [u8]>,
    count: usize,
    type_name: Option<&'a [u8]>,
}

impl<'a> ScanOptions<'a> {
    fn parse(args: &mut Args<'a>) -> Result<ScanOptions<'a>, Error> {
        let mut options = ScanOptions { pattern: None, count: DEFAULT_COUNT, type_name: None };
        while !args.is_done() {
            if args.skip_word("COUNT") {
                options.count =
                    usize::try_from(args.next_i64()?).ok().filter(|n| *n > 0).ok_or(Error::Syntax)?;
            } else if args.skip_word("MATCH") {
                options.pattern = Some(args.take()?);
            } else if args.skip_word("TYPE") {
                options.type_name = Some(args.take()?);
            } else {
                return Err(Error::Syntax);
            }
        }
        Ok(options)
    }

    fn accept(&self, entry: &Entry) -> bool {
        self.pattern.is_none_or(|pattern| matches(pattern, entry.key()))
            && self.type_name.is_none_or(|name| name.eq_ignore_ascii_case(entry.type_name().as_bytes()))
    }
}

/// Reads a cursor as C's `strtoul` does, which is what Redis accepts: an optional sign and decimal digits of at
/// most 64 bits. No digits at all are a 0, as long as nothing else is there either.
fn parse_cursor(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return Some(0);
    }
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let magnitude = digits.iter().try_fold(0_u64, |n, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit <= 9).then(|| n.checked_mul(10)?.checked_add(digit.into())).flatten()
    })?;
    Some(if negative { magnitude.wrapping_neg() } else { magnitude })
}

fn scan(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let cursor = parse_cursor(call.args.take()?).ok_or(Error::InvalidCursor)?;
    let options = ScanOptions::parse(&mut call.args)?;
    let mut names = Reply::new(call.out.proto());
    let mut found = 0;
    let (db, now_ms) = (call.keys.db, call.keys.now_ms);
    let next = call.keys.keyspace().scan(db, cursor, options.count, now_ms, |entry| {
        if options.accept(entry) {
            names.bulk(entry.key());
            found += 1;
        }
    });
    call.out.array(2);
    call.out.bulk_integer(next as i64);
    call.out.array(found);
    names.parts().for_each(|part| call.out.raw(part.as_slice()));
    Ok(())
}

pub const RANDOMKEY: Command = Command {
    name: "randomkey",
    summary: "Returns the name of a key picked at random.",
    since: "1.0.0",
    group: Group::Generic,
    complexity: "O(1)",
    arity: 1,
    flags: Flags::READONLY.union(Flags::TOUCHES_ARBITRARY_KEYS),
    tips: &["request_policy:all_shards", "response_policy:special", "nondeterministic_output"],
    reply: "bulk string, or null if the database is empty",
    scope: Scope::Nothing,
    handler: Some(randomkey),
    ..Command::NEW
};

fn randomkey(call: &mut Call<'_, '_>) -> Result<(), Error> {
    match call.keys.keyspace().random_key(call.keys.db, call.keys.now_ms) {
        Some(key) => call.out.bulk(&key),
        None => call.out.null(),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::parse_cursor;

    #[test]
    fn cursors() {
        for (text, expected) in [
            ("0", Some(0)),
            ("", Some(0)),
            ("+12", Some(12)),
            ("007", Some(7)),
            ("-1", Some(u64::MAX)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("-", None),
            (" 1", None),
            ("1 ", None),
            ("x", None),
            ("1.5", None),
        ] {
            assert_eq!(parse_cursor(text.as_bytes()), expected, "{text:?}");
        }
    }
}
