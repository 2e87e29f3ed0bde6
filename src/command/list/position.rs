//! Finding elements: LPOS.

use super::{next_signed, value};
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command, Flags, Group, KeyFlags, KeySpec};
use crate::types::list::{End, Wanted};
use crate::types::number;
use std::ops::ControlFlow;

pub const LPOS: Command = Command {
    name: "lpos",
    summary: "Returns the indexes of the elements of a list that are equal to a given one.",
    since: "6.0.6",
    group: Group::List,
    complexity: "O(N) in the number of elements compared: the whole list, `MAXLEN` of them, or those up to the last one \
                 that is returned.",
    arity: -3,
    flags: Flags::READONLY,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    args: &[
        Arg::key("key", 0),
        Arg::string("element"),
        Arg::integer("rank").token("RANK").optional(),
        Arg::integer("num-matches").token("COUNT").optional(),
        Arg::integer("len").token("MAXLEN").optional(),
    ],
    reply: "the index, or null if there is none; with `COUNT` the array of indexes",
    handler: Some(lpos),
    ..Command::NEW
};

const RANK_ZERO: Error = Error::line(
    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start \
     from the end of the list",
);
const COUNT_NEGATIVE: Error = Error::line("ERR COUNT can't be negative");
const MAXLEN_NEGATIVE: Error = Error::line("ERR MAXLEN can't be negative");

/// What is searched for.
struct Search {
    from: End,
    /// Matches to pass over.
    skip: u64,
    /// Matches to return, if an array of them is asked for; 0 is all.
    count: Option<u64>,
    /// Elements to compare; 0 is all.
    max_len: u64,
}

impl Search {
    fn parse(call: &mut Call<'_, '_>) -> Result<Search, Error> {
        let args = &mut call.args;
        let mut search = Search { from: End::Head, skip: 0, count: None, max_len: 0 };
        while !args.is_done() {
            if args.left() < 2 {
                return Err(Error::Syntax);
            }
            if args.skip_word("RANK") {
                let rank = next_signed(args)?;
                search.from = if rank < 0 { End::Tail } else { End::Head };
                search.skip = rank.unsigned_abs().checked_sub(1).ok_or(RANK_ZERO)?;
            } else if args.skip_word("COUNT") {
                search.count = Some(not_negative(args.take()?).ok_or(COUNT_NEGATIVE)?);
            } else if args.skip_word("MAXLEN") {
                search.max_len = not_negative(args.take()?).ok_or(MAXLEN_NEGATIVE)?;
            } else {
                return Err(Error::Syntax);
            }
        }
        Ok(search)
    }
}

fn not_negative(text: &[u8]) -> Option<u64> {
    number::parse_i64(text).and_then(|number| u64::try_from(number).ok())
}

fn lpos(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let wanted = Wanted::new(call.args.take()?);
    let search = Search::parse(call)?;
    let Some(entry) = call.keys.get(key) else {
        match search.count {
            Some(_) => call.out.array(0),
            None => call.out.null(),
        }
        return Ok(());
    };
    let list = value::list(entry)?;
    let len = list.len();
    let first = match search.from {
        End::Head => 0,
        End::Tail => len.saturating_sub(1),
    };
    let most = match search.count {
        None => 1,
        Some(0) => u64::MAX,
        Some(count) => count,
    };
    let place = call.out.deferred();
    let (mut compared, mut to_skip, mut found) = (0, search.skip, 0);
    list.visit(first, search.from, |element| {
        if wanted.is(element) {
            if to_skip > 0 {
                to_skip -= 1;
            } else {
                let index = match search.from {
                    End::Head => compared,
                    End::Tail => len as u64 - 1 - compared,
                };
                call.out.integer(index as i64);
                found += 1;
            }
        }
        compared += 1;
        if found == most || compared == search.max_len {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    match search.count {
        Some(_) => call.out.finish_array(place, found as usize),
        None if found == 0 => call.out.null(),
        None => {}
    }
    Ok(())
}
