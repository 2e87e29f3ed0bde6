//! Questions about a sorted set that have a number for an answer: ZCARD, ZCOUNT, ZLEXCOUNT, ZSCORE, ZMSCORE, ZRANK,
//! ZREVRANK.

use super::interval::{By, Interval};
use super::{READ_KEY, find};
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command, Flags, Group, KeyFlags, KeySpec};

/// Fields that the commands of this file share.
const READING: Command = Command {
    group: Group::SortedSet,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: READ_KEY,
    ..Command::NEW
};

pub const ZCARD: Command = Command {
    name: "zcard",
    summary: "Returns the number of members of a sorted set.",
    since: "1.2.0",
    arity: 2,
    keys: &[KeySpec::one(1, KeyFlags::RO)],
    args: &[Arg::key("key", 0)],
    reply: "integer, 0 if there is no such key",
    handler: Some(zcard),
    ..READING
};

fn zcard(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let count = find(call.keys, call.args.take()?)?.map_or(0, |set| set.len());
    call.out.integer(count as i64);
    Ok(())
}

pub const ZCOUNT: Command = Command {
    name: "zcount",
    summary: "Returns the number of members of a sorted set with scores within a range.",
    since: "2.0.0",
    complexity: "O(log(N)) in the number of members of the sorted set.",
    arity: 4,
    args: &[Arg::key("key", 0), Arg::double("min"), Arg::double("max")],
    reply: "integer, 0 if there is no such key",
    handler: Some(|call| count(call, By::Score)),
    ..READING
};

pub const ZLEXCOUNT: Command = Command {
    name: "zlexcount",
    summary: "Returns the number of members within a range of members, in a sorted set of equal scores.",
    since: "2.8.9",
    complexity: "O(log(N)) in the number of members of the sorted set.",
    arity: 4,
    args: &[Arg::key("key", 0), Arg::string("min"), Arg::string("max")],
    reply: "integer, 0 if there is no such key",
    handler: Some(|call| count(call, By::Member)),
    ..READING
};

fn count(call: &mut Call<'_, '_>, by: By) -> Result<(), Error> {
    let key = call.args.take()?;
    let interval = Interval::parse(by, false, &mut call.args)?;
    let count = find(call.keys, key)?.map_or(0, |set| interval.ranks(set, false).len());
    call.out.integer(count as i64);
    Ok(())
}

pub const ZSCORE: Command = Command {
    name: "zscore",
    summary: "Returns the score of a member of a sorted set.",
    since: "1.2.0",
    arity: 3,
    args: &[Arg::key("key", 0), Arg::string("member")],
    reply: "double, or null if there is no such member or key",
    handler: Some(zscore),
    ..READING
};

fn zscore(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let (key, member) = (call.args.take()?, call.args.take()?);
    match find(call.keys, key)?.and_then(|set| set.score(member)) {
        Some(score) => call.out.double(score),
        None => call.out.null(),
    }
    Ok(())
}

pub const ZMSCORE: Command = Command {
    name: "zmscore",
    summary: "Returns the scores of several members of a sorted set.",
    since: "6.2.0",
    complexity: "O(N) in the number of members asked for.",
    arity: -3,
    args: &[Arg::key("key", 0), Arg::string("member").multiple()],
    reply: "array with a double for each member, or null if it is not in the set",
    handler: Some(zmscore),
    ..READING
};

fn zmscore(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let set = find(call.keys, call.args.take()?)?;
    call.out.array(call.args.left());
    for member in call.args.rest() {
        match set.and_then(|set| set.score(member)) {
            Some(score) => call.out.double(score),
            None => call.out.null(),
        }
    }
    Ok(())
}

pub const ZRANK: Command = Command {
    name: "zrank",
    summary: "Returns the rank of a member of a sorted set, counted from the lowest score.",
    since: "2.0.0",
    complexity: "O(log(N)) in the number of members of the sorted set.",
    arity: -3,
    args: &[Arg::key("key", 0), Arg::string("member"), Arg::word("withscore", "WITHSCORE").optional()],
    history: &[("7.2.0", "The option WITHSCORE.")],
    reply: "integer (with WITHSCORE an array of it and the score), or null if there is no such member or key",
    handler: Some(|call| rank(call, false)),
    ..READING
};

pub const ZREVRANK: Command = Command {
    name: "zrevrank",
    summary: "Returns the rank of a member of a sorted set, counted from the highest score.",
    handler: Some(|call| rank(call, true)),
    ..ZRANK
};

fn rank(call: &mut Call<'_, '_>, reverse: bool) -> Result<(), Error> {
    let (key, member) = (call.args.take()?, call.args.take()?);
    if call.args.left() > 1 {
        return Err(Error::WrongArity(call.entry.full_name.clone()));
    }
    let with_score = call.args.skip_word("WITHSCORE");
    call.args.finish()?;
    let found = find(call.keys, key)?.and_then(|set| {
        let (rank, score) = set.rank(member)?;
        Some((if reverse { set.len() - 1 - rank } else { rank }, score))
    });
    match found {
        Some((rank, score)) if with_score => {
            call.out.array(2);
            call.out.integer(rank as i64);
            call.out.double(score);
        }
        Some((rank, _)) => call.out.integer(rank as i64),
        None if with_score => call.out.null_array(),
        None => call.out.null(),
    }
    Ok(())
}
