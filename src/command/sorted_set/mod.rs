//! Commands on sorted sets.
//!
//! [`value`] is the sorted set as the handlers see it, whatever its form; [`interval`] what ranges mean. Every
//! range becomes one of ranks, found in O(log n) steps, before anything is visited.

pub(in crate::command) mod add;
mod blocking;
pub(in crate::command) mod build;
mod combine;
mod interval;
mod pop;
mod random;
pub(in crate::command) mod range;
mod read;
mod remove;
mod source;
pub(crate) mod value;
mod walk;

use super::spec::{Arg, Command, KeyFlags, KeySpec};
use crate::keyspace::{Entry, View};
use crate::resp::reply::{Proto, Reply};
use crate::types::packed::Item;
use value::SortedSetRef;

use super::errors::Error;

pub const COMMANDS: &[Command] = &[
    blocking::BZMPOP,
    blocking::BZPOPMAX,
    blocking::BZPOPMIN,
    add::ZADD,
    read::ZCARD,
    read::ZCOUNT,
    combine::ZDIFF,
    combine::ZDIFFSTORE,
    add::ZINCRBY,
    combine::ZINTER,
    combine::ZINTERCARD,
    combine::ZINTERSTORE,
    read::ZLEXCOUNT,
    pop::ZMPOP,
    read::ZMSCORE,
    pop::ZPOPMAX,
    pop::ZPOPMIN,
    random::ZRANDMEMBER,
    range::ZRANGE,
    range::ZRANGEBYLEX,
    range::ZRANGEBYSCORE,
    range::ZRANGESTORE,
    read::ZRANK,
    remove::ZREM,
    remove::ZREMRANGEBYLEX,
    remove::ZREMRANGEBYRANK,
    remove::ZREMRANGEBYSCORE,
    range::ZREVRANGE,
    range::ZREVRANGEBYLEX,
    range::ZREVRANGEBYSCORE,
    read::ZREVRANK,
    walk::ZSCAN,
    read::ZSCORE,
    combine::ZUNION,
    combine::ZUNIONSTORE,
];

/// The key of a command that only reads it.
pub(in crate::command) const READ_KEY: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))];

const WITHSCORES: Arg = Arg::word("withscores", "WITHSCORES").optional();

/// The sorted set at `key`, to be read.
pub(in crate::command) fn find<'a>(
    view: &'a View<'_>,
    key: &[u8],
) -> Result<Option<SortedSetRef<'a>>, Error> {
    view.get(key).map(|entry: &Entry| SortedSetRef::of(entry)).transpose()
}

/// Announces `count` members, with scores or without: RESP2 has no pairs within the array.
fn reply_members(out: &mut Reply, count: usize, with_scores: bool) {
    out.array(if with_scores && out.proto() == Proto::Resp2 { 2 * count } else { count });
}

/// Replies with one of the members announced, and with its score if it is given.
#[inline]
fn reply_member(out: &mut Reply, member: Item<'_>, score: Option<f64>) {
    if score.is_some() && out.proto() == Proto::Resp3 {
        out.array(2);
    }
    reply_name(out, member);
    if let Some(score) = score {
        out.double(score);
    }
}

#[inline]
pub(in crate::command) fn reply_name(out: &mut Reply, member: Item<'_>) {
    match member {
        Item::Int(n) => out.bulk_integer(n),
        Item::Text(text) => out.bulk(text),
    }
}
