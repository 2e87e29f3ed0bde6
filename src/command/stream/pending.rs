//! What was delivered and not acknowledged: XPENDING, and XACK.

use super::{
    READS, UPDATES, WRITE_FAST, all_ids, find, find_mut, no_key_or_group, range_end, range_start, reply_id,
};
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command, Flags, Group as CommandGroup};
use crate::resp::reply::Reply;
use crate::types::stream::{Consumer, Group, Id};
use std::ops::RangeInclusive;

pub const XACK: Command = Command {
    name: "xack",
    summary: "Acknowledges entries, which are no longer pending for the group then.",
    since: "5.0.0",
    group: CommandGroup::Stream,
    complexity: "O(N log M) for N IDs and M pending entries.",
    arity: -4,
    flags: WRITE_FAST,
    keys: UPDATES,
    args: &[Arg::key("key", 0), Arg::string("group"), Arg::string("id").multiple()],
    reply: "the number of entries that were pending",
    handler: Some(xack),
    ..Command::NEW
};

fn xack(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let (key, group) = (call.args.take()?, call.args.take()?);
    let stream = find_mut(call.keys, key)?;
    let mut acknowledged = 0;
    if let Some(group) = stream.and_then(|stream| stream.groups.get_mut(group)) {
        for id in all_ids(call.args)? {
            acknowledged += group.acknowledge(id) as u64;
        }
    }
    call.keys.changed(acknowledged);
    call.out.integer(acknowledged as i64);
    Ok(())
}

pub const XPENDING: Command = Command {
    name: "xpending",
    summary: "Returns what is pending for a group: how much, or the entries of a range of IDs.",
    since: "5.0.0",
    group: CommandGroup::Stream,
    complexity: "O(N) in the number of entries looked at, or of consumers for the summary.",
    arity: -3,
    flags: Flags::READONLY,
    tips: &["nondeterministic_output"],
    keys: READS,
    args: &[
        Arg::key("key", 0),
        Arg::string("group"),
        Arg::block(
            "filters",
            &[
                Arg::integer("min-idle-time").token("IDLE").optional().since("6.2.0"),
                Arg::string("start"),
                Arg::string("end"),
                Arg::integer("count"),
                Arg::string("consumer").optional(),
            ],
        )
        .optional(),
    ],
    history: &[("6.2.0", "IDLE, and ends that do not belong to the range.")],
    reply: "number, first and last ID, and consumers; or for each entry ID, consumer, idle time, deliveries",
    handler: Some(xpending),
    ..Command::NEW
};

/// Which pending entries are asked for.
struct Filter<'a> {
    min_idle_ms: i64,
    ids: RangeInclusive<Id>,
    count: usize,
    consumer: Option<&'a [u8]>,
}

fn xpending(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let (key, name) = (call.args.take()?, call.args.take()?);
    let filter = filter(call)?;
    let group = find(call.keys, key)?.and_then(|stream| stream.groups.get(name));
    let group = group.ok_or_else(|| no_key_or_group(key, name))?;
    match filter {
        None => summary(call.out, group),
        Some(filter) => entries(call.out, group, &filter, call.keys.now_ms),
    }
    Ok(())
}

fn filter<'a>(call: &mut Call<'a, '_>) -> Result<Option<Filter<'a>>, Error> {
    /// Start, end and count, and with all that is optional.
    const FEWEST: usize = 3;
    const MOST: usize = 6;
    let args = &mut call.args;
    match args.left() {
        0 => return Ok(None),
        FEWEST..=MOST => {}
        _ => return Err(Error::Syntax),
    }
    let mut min_idle_ms = 0;
    if args.skip_word("IDLE") {
        min_idle_ms = args.next_i64()?;
        if args.left() < FEWEST {
            return Err(Error::Syntax);
        }
    }
    let (start, end) = (args.take()?, args.take()?);
    let count = usize::try_from(args.next_i64()?).unwrap_or(0);
    let ids = range_start(start)?..=range_end(end)?;
    // Redis takes no offence at what follows the consumer.
    Ok(Some(Filter { min_idle_ms, ids, count, consumer: args.peek() }))
}

fn summary(out: &mut Reply, group: &Group) {
    let pending = group.pending();
    out.array(4);
    out.integer(pending.len() as i64);
    let (Some((first, _)), Some((last, _))) = (pending.first_key_value(), pending.last_key_value()) else {
        out.null();
        out.null();
        return out.null_array();
    };
    reply_id(out, *first);
    reply_id(out, *last);
    let busy = || group.consumers().filter(|consumer: &&Consumer| !consumer.pending().is_empty());
    out.array(busy().count());
    for consumer in busy() {
        out.array(2);
        out.bulk(consumer.name());
        out.bulk_integer(consumer.pending().len() as i64);
    }
}

fn entries(out: &mut Reply, group: &Group, filter: &Filter<'_>, now_ms: i64) {
    let consumer = match filter.consumer {
        None => None,
        Some(name) => match group.find_consumer(name) {
            None => return out.array(0),
            found => found,
        },
    };
    let place = out.deferred();
    let mut count = 0;
    let is_idle = |delivered_ms: i64| {
        filter.min_idle_ms == 0 || now_ms.saturating_sub(delivered_ms) >= filter.min_idle_ms
    };
    let found = group.pending_in(filter.ids.clone(), consumer);
    for (id, pending) in found.filter(|(_, pending)| is_idle(pending.delivered_ms)).take(filter.count) {
        out.array(4);
        reply_id(out, id);
        out.bulk(group.consumer(pending.consumer).name());
        out.integer(now_ms.saturating_sub(pending.delivered_ms).max(0));
        out.integer(pending.deliveries as i64);
        count += 1;
    }
    out.finish_array(place, count);
}
