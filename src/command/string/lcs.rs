//! LCS: what two strings have in common.

use crate::command::args::Args;
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command, Flags, Group, KeyFlags, KeySpec};
use crate::keyspace::StringRef;
use crate::resp::reply::Reply;
use crate::types::lcs;

pub const LCS: Command = Command {
    name: "lcs",
    summary: "Finds a longest common subsequence of two strings.",
    since: "7.0.0",
    group: Group::String,
    complexity: "O(N*M) in the lengths of the strings.",
    arity: -3,
    flags: Flags::READONLY,
    keys: &[KeySpec::range(1, 1, 1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    args: &[
        Arg::key("key1", 0),
        Arg::key("key2", 0),
        Arg::word("len", "LEN").optional(),
        Arg::word("idx", "IDX").optional(),
        Arg::integer("min-match-len").token("MINMATCHLEN").optional(),
        Arg::word("withmatchlen", "WITHMATCHLEN").optional(),
    ],
    reply: "bulk string; with LEN its length; with IDX a map of the matches and the length",
    handler: Some(lcs),
    ..Command::NEW
};

#[derive(Clone, Copy, Default)]
struct LcsOptions {
    len: bool,
    idx: bool,
    min_match_len: usize,
    with_match_len: bool,
}

impl LcsOptions {
    fn parse(args: &mut Args<'_>) -> Result<LcsOptions, Error> {
        let mut options = LcsOptions::default();
        while !args.is_done() {
            if args.skip_word("IDX") {
                options.idx = true;
            } else if args.skip_word("LEN") {
                options.len = true;
            } else if args.skip_word("WITHMATCHLEN") {
                options.with_match_len = true;
            } else if args.skip_word("MINMATCHLEN") {
                options.min_match_len = usize::try_from(args.next_i64()?).unwrap_or(0);
            } else {
                return Err(Error::Syntax);
            }
        }
        if options.len && options.idx { Err(Error::LcsLenAndIdx) } else { Ok(options) }
    }
}

fn lcs(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let (a, b) = (call.args.take()?, call.args.take()?);
    let options = LcsOptions::parse(&mut call.args)?;
    let value = |key| call.keys.get(key).map_or(Some(StringRef::Inline(b"")), |entry| entry.string());
    let (Some(a), Some(b)) = (value(a), value(b)) else {
        return Err(Error::line("ERR The specified keys must contain string values"));
    };
    // The table is memory that only lives for this command, bounded as any string is.
    if lcs::needed_bytes(a.len(), b.len()) as u64 > call.server.config.proto_max_bulk_len() {
        return Err(Error::LcsTooLarge);
    }
    a.with(|a| b.with(|b| reply(call.out, a, b, options)))
}

fn reply(out: &mut Reply, a: &[u8], b: &[u8], options: LcsOptions) -> Result<(), Error> {
    if options.len {
        out.integer(lcs::length(a, b) as i64);
        return Ok(());
    }
    let found = lcs::find(a, b).ok_or(Error::LcsNoMemory)?;
    if !options.idx {
        out.bulk(&found.bytes);
        return Ok(());
    }
    out.map(2);
    out.text("matches");
    let matches = || found.matches.iter().filter(|found| found.len() >= options.min_match_len);
    out.array(matches().count());
    for found in matches() {
        out.array(2 + options.with_match_len as usize);
        for (start, end) in [(found.a_start, found.a_end), (found.b_start, found.b_end)] {
            out.array(2);
            out.integer(start as i64);
            out.integer(end as i64);
        }
        if options.with_match_len {
            out.integer(found.len() as i64);
        }
    }
    out.text("len");
    out.integer(found.bytes.len() as i64);
    Ok(())
}
