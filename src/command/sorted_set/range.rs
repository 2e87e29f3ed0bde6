//! Members in order: ZRANGE with all its forms, the older commands that it replaces, and ZRANGESTORE.

use super::interval::{By, Interval, Limit};
use super::value::store;
use super::{READ_KEY, WITHSCORES, find, reply_member, reply_members};
use crate::command::args::Args;
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command, Flags, Group, KeyFlags, KeySpec};
use crate::types::packed::Item;
use std::borrow::Cow;

const LIMIT_BY_RANK: Error =
    Error::line("ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX");
const SCORES_BY_LEX: Error =
    Error::line("ERR syntax error, WITHSCORES not supported in combination with BYLEX");

const LIMIT: Arg =
    Arg::block("limit", &[Arg::integer("offset"), Arg::integer("count")]).token("LIMIT").optional();
const SORT_BY: Arg =
    Arg::one_of("sortby", &[Arg::word("byscore", "BYSCORE"), Arg::word("bylex", "BYLEX")]).optional();
const REV: Arg = Arg::word("rev", "REV").optional();

/// Fields that the reading commands of this file share.
const RANGE: Command = Command {
    group: Group::SortedSet,
    complexity: "O(log(N)+M) in the number of members of the sorted set and of those that are returned.",
    arity: -4,
    flags: Flags::READONLY,
    keys: READ_KEY,
    reply: "array of members, with WITHSCORES each followed by its score (RESP3: arrays of both)",
    ..Command::NEW
};

pub const ZRANGE: Command = Command {
    name: "zrange",
    summary: "Returns the members of a sorted set within a range of ranks, scores or members.",
    since: "1.2.0",
    args: &[
        Arg::key("key", 0),
        Arg::string("start"),
        Arg::string("stop"),
        SORT_BY.since("6.2.0"),
        REV.since("6.2.0"),
        LIMIT.since("6.2.0"),
        WITHSCORES,
    ],
    history: &[("6.2.0", "The options BYSCORE, BYLEX, REV and LIMIT.")],
    handler: Some(|call| reply_range(call, None, None)),
    ..RANGE
};

pub const ZREVRANGE: Command = Command {
    name: "zrevrange",
    summary: "Returns the members of a sorted set within a range of ranks, from the highest score down.",
    since: "1.2.0",
    args: &[Arg::key("key", 0), Arg::integer("start"), Arg::integer("stop"), WITHSCORES],
    deprecated: Some(("6.2.0", "`ZRANGE` with the `REV` argument")),
    handler: Some(|call| reply_range(call, Some(By::Rank), Some(true))),
    ..RANGE
};

pub const ZRANGEBYSCORE: Command = Command {
    name: "zrangebyscore",
    summary: "Returns the members of a sorted set within a range of scores.",
    since: "1.0.5",
    args: &[Arg::key("key", 0), Arg::double("min"), Arg::double("max"), WITHSCORES.since("2.0.0"), LIMIT],
    history: &[("2.0.0", "The option WITHSCORES.")],
    deprecated: Some(("6.2.0", "`ZRANGE` with the `BYSCORE` argument")),
    handler: Some(|call| reply_range(call, Some(By::Score), Some(false))),
    ..RANGE
};

pub const ZREVRANGEBYSCORE: Command = Command {
    name: "zrevrangebyscore",
    summary: "Returns the members of a sorted set within a range of scores, from the highest score down.",
    since: "2.2.0",
    args: &[Arg::key("key", 0), Arg::double("max"), Arg::double("min"), WITHSCORES, LIMIT],
    history: &[("2.1.6", "Either end can be exclusive.")],
    deprecated: Some(("6.2.0", "`ZRANGE` with the `REV` and `BYSCORE` arguments")),
    handler: Some(|call| reply_range(call, Some(By::Score), Some(true))),
    ..RANGE
};

pub const ZRANGEBYLEX: Command = Command {
    name: "zrangebylex",
    summary: "Returns the members of a sorted set of equal scores within a range of members.",
    since: "2.8.9",
    args: &[Arg::key("key", 0), Arg::string("min"), Arg::string("max"), LIMIT],
    deprecated: Some(("6.2.0", "`ZRANGE` with the `BYLEX` argument")),
    reply: "array of members",
    handler: Some(|call| reply_range(call, Some(By::Member), Some(false))),
    ..RANGE
};

pub const ZREVRANGEBYLEX: Command = Command {
    name: "zrevrangebylex",
    summary: "Returns the members of a sorted set of equal scores within a range of members, in reverse order.",
    since: "2.8.9",
    args: &[Arg::key("key", 0), Arg::string("max"), Arg::string("min"), LIMIT],
    deprecated: Some(("6.2.0", "`ZRANGE` with the `REV` and `BYLEX` arguments")),
    reply: "array of members",
    handler: Some(|call| reply_range(call, Some(By::Member), Some(true))),
    ..RANGE
};

pub const ZRANGESTORE: Command = Command {
    name: "zrangestore",
    summary: "Stores the members of a sorted set within a range of ranks, scores or members at another key.",
    since: "6.2.0",
    group: Group::SortedSet,
    complexity: "O(log(N)+M) in the number of members of the sorted set and of those that are stored.",
    arity: -5,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: &[
        KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE)),
        KeySpec::one(2, KeyFlags::RO.union(KeyFlags::ACCESS)),
    ],
    args: &[
        Arg::key("dst", 0),
        Arg::key("src", 1),
        Arg::string("min"),
        Arg::string("max"),
        SORT_BY,
        REV,
        LIMIT,
    ],
    reply: "the number of members stored",
    handler: Some(zrangestore),
    ..Command::NEW
};

/// A range with its options.
struct Query<'a> {
    interval: Interval<'a>,
    reverse: bool,
    limit: Limit,
    with_scores: bool,
}

impl<'a> Query<'a> {
    /// Consumes all arguments behind the key. `by` and `reverse` are given by the older commands, whose names say
    /// them; `stores` says that scores are no option.
    fn parse(
        args: &mut Args<'a>,
        by: Option<By>,
        reverse: Option<bool>,
        stores: bool,
    ) -> Result<Query<'a>, Error> {
        let mut ends = *args;
        args.take()?;
        args.take()?;
        let (mut chosen_by, mut chosen_reverse) = (by, reverse);
        let (mut limit, mut with_scores) = (Limit::NONE, false);
        while !args.is_done() {
            if !stores && args.skip_word("WITHSCORES") {
                with_scores = true;
            } else if args.left() > 2 && args.skip_word("LIMIT") {
                limit = Limit { offset: args.next_i64()?, count: args.next_i64()? };
            } else if chosen_reverse.is_none() && args.skip_word("REV") {
                chosen_reverse = Some(true);
            } else if chosen_by.is_none() && args.skip_word("BYLEX") {
                chosen_by = Some(By::Member);
            } else if chosen_by.is_none() && args.skip_word("BYSCORE") {
                chosen_by = Some(By::Score);
            } else {
                return Err(Error::Syntax);
            }
        }
        let (by, reverse) = (chosen_by.unwrap_or(By::Rank), chosen_reverse.unwrap_or(false));
        if by == By::Rank && limit.count != Limit::NONE.count {
            return Err(LIMIT_BY_RANK);
        }
        if by == By::Member && with_scores {
            return Err(SCORES_BY_LEX);
        }
        let interval = Interval::parse(by, reverse, &mut ends)?;
        // Redis takes a LIMIT of all from ranks too, and ignores it.
        let limit = if by == By::Rank { Limit::NONE } else { limit };
        Ok(Query { interval, reverse, limit, with_scores })
    }
}

fn reply_range(call: &mut Call<'_, '_>, by: Option<By>, reverse: Option<bool>) -> Result<(), Error> {
    let key = call.args.take()?;
    let query = Query::parse(&mut call.args, by, reverse, false)?;
    let Some(set) = find(call.keys, key)? else {
        call.out.array(0);
        return Ok(());
    };
    let ranks = query.limit.apply(query.interval.ranks(set, query.reverse), query.reverse);
    reply_members(call.out, ranks.len(), query.with_scores);
    for (member, score) in set.range(ranks, query.reverse) {
        reply_member(call.out, member, query.with_scores.then(|| score.get()));
    }
    Ok(())
}

fn zrangestore(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let event = call.entry.spec.name;
    let (target, source) = (call.args.take()?, call.args.take()?);
    let query = Query::parse(&mut call.args, None, None, true)?;
    store(call, target, event, |view| {
        let Some(set) = find(view, source)? else { return Ok(Vec::new()) };
        let ranks = query.limit.apply(query.interval.ranks(set, query.reverse), query.reverse);
        Ok(set.range(ranks, false).map(|(member, score)| (borrowed(member), score.get())).collect())
    })
}

/// A member's text, which only a number has to be written for.
pub fn borrowed(member: Item<'_>) -> Cow<'_, [u8]> {
    match member {
        Item::Text(text) => Cow::Borrowed(text),
        Item::Int(_) => Cow::Owned(member.to_vec()),
    }
}
