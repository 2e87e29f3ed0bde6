//! Taking members out: ZREM and the three ZREMRANGEBY*.

use super::interval::{By, Interval};
use super::value::{Limits, SortedSetMut};
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::generic::free_entry;
use crate::command::spec::{Arg, Command, Flags, Group, KeyFlags, KeySpec};

const KEYS: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))];

pub const ZREM: Command = Command {
    name: "zrem",
    summary: "Removes members from a sorted set. A sorted set without members is deleted.",
    since: "1.2.0",
    group: Group::SortedSet,
    complexity: "O(M*log(N)) in the number of members that are named and of those of the sorted set.",
    arity: -3,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: KEYS,
    args: &[Arg::key("key", 0), Arg::string("member").multiple()],
    history: &[("2.4.0", "Several members.")],
    reply: "the number of members that were removed",
    handler: Some(zrem),
    ..Command::NEW
};

fn zrem(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let limits = Limits::of(call);
    let (mut removed, mut is_empty) = (0, false);
    if let Some(entry) = call.keys.update(key) {
        let mut set = SortedSetMut::of(entry, limits)?;
        let mut left = set.read().len();
        for member in call.args.rest() {
            if set.remove(member) {
                removed += 1;
                left -= 1;
            }
            if left == 0 {
                break;
            }
        }
        is_empty = left == 0;
    }
    if is_empty && let Some(entry) = call.keys.remove(key) {
        free_entry(entry);
    }
    call.keys.changed(removed);
    call.out.integer(removed as i64);
    Ok(())
}

/// Fields that the three commands on ranges share.
const REMOVE_RANGE: Command = Command {
    group: Group::SortedSet,
    complexity: "O(log(N)+M) in the number of members of the sorted set and of those that are removed.",
    arity: 4,
    flags: Flags::WRITE,
    keys: KEYS,
    reply: "the number of members that were removed",
    ..Command::NEW
};

pub const ZREMRANGEBYRANK: Command = Command {
    name: "zremrangebyrank",
    summary: "Removes the members of a sorted set within a range of ranks.",
    since: "2.0.0",
    args: &[Arg::key("key", 0), Arg::integer("start"), Arg::integer("stop")],
    handler: Some(|call| remove_range(call, By::Rank)),
    ..REMOVE_RANGE
};

pub const ZREMRANGEBYSCORE: Command = Command {
    name: "zremrangebyscore",
    summary: "Removes the members of a sorted set within a range of scores.",
    since: "1.2.0",
    args: &[Arg::key("key", 0), Arg::double("min"), Arg::double("max")],
    handler: Some(|call| remove_range(call, By::Score)),
    ..REMOVE_RANGE
};

pub const ZREMRANGEBYLEX: Command = Command {
    name: "zremrangebylex",
    summary: "Removes the members of a sorted set of equal scores within a range of members.",
    since: "2.8.9",
    args: &[Arg::key("key", 0), Arg::string("min"), Arg::string("max")],
    handler: Some(|call| remove_range(call, By::Member)),
    ..REMOVE_RANGE
};

fn remove_range(call: &mut Call<'_, '_>, by: By) -> Result<(), Error> {
    let key = call.args.take()?;
    let interval = Interval::parse(by, false, &mut call.args)?;
    let limits = Limits::of(call);
    let (mut removed, mut is_all) = (0, false);
    if let Some(entry) = call.keys.update(key) {
        let mut set = SortedSetMut::of(entry, limits)?;
        let ranks = interval.ranks(set.read(), false);
        removed = ranks.len();
        is_all = removed == set.read().len();
        if !is_all && removed > 0 {
            set.remove_range(ranks);
        }
    }
    if is_all && let Some(entry) = call.keys.remove(key) {
        free_entry(entry);
    }
    call.keys.changed(removed as u64);
    call.out.integer(removed as i64);
    Ok(())
}
