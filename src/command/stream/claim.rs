//! Taking over what is pending for another consumer: XCLAIM and XAUTOCLAIM.

use super::log::{propagate_claim, propagate_consumer, propagate_position};
use super::{
    RW_DELETE, UPDATES, WRITE_FAST, find, find_mut, id, no_key_or_group, range_start, reply_entry, reply_id,
};
use crate::command::args::Args;
use crate::command::call::Call;
use crate::command::errors::{Error, echo};
use crate::command::spec::{Arg, Command, Group as CommandGroup, KeySpec};
use crate::resp::reply::Reply;
use crate::types::events::Class;
use crate::types::stream::{ConsumerId, Entries, Group, Id, Pending, Stream, StreamEntry};

pub const XCLAIM: Command = Command {
    name: "xclaim",
    summary: "Makes pending entries those of another consumer, as if they had been delivered to it.",
    since: "5.0.0",
    group: CommandGroup::Stream,
    complexity: "O(log N) for each ID, N entries being pending for the group.",
    arity: -6,
    flags: WRITE_FAST,
    tips: &["nondeterministic_output"],
    keys: UPDATES,
    args: &[
        Arg::key("key", 0),
        Arg::string("group"),
        Arg::string("consumer"),
        Arg::string("min-idle-time"),
        Arg::string("id").multiple(),
        Arg::integer("ms").token("IDLE").optional(),
        Arg::unix_time("unix-time-milliseconds").token("TIME").optional(),
        Arg::integer("count").token("RETRYCOUNT").optional(),
        Arg::word("force", "FORCE").optional(),
        Arg::word("justid", "JUSTID").optional(),
        Arg::string("lastid").token("LASTID").optional(),
    ],
    reply: "array of the entries that were claimed, or of their IDs",
    handler: Some(xclaim),
    ..Command::NEW
};

/// An integer of an option, or an error of its own.
fn integer(args: &mut Args<'_>, error: &'static str) -> Result<i64, Error> {
    args.next_i64().map_err(|_| Error::line(error))
}

/// How entries are claimed.
#[derive(Default)]
struct Claim {
    min_idle_ms: i64,
    /// When they count as delivered: now, if it is not said.
    delivered_ms: Option<i64>,
    deliveries: Option<u64>,
    force: bool,
    just_id: bool,
    last_id: Id,
}

impl Claim {
    /// Reads the IDs, as far as they are some, and the options behind them.
    fn parse(args: &mut Args<'_>, now_ms: i64) -> Result<(Claim, Vec<Id>), Error> {
        let mut claim = Claim::default();
        let idle = integer(args, "ERR Invalid min-idle-time argument for XCLAIM")?;
        claim.min_idle_ms = idle.max(0);
        let mut ids = Vec::new();
        while let Some(id) = args.peek().and_then(|text| Id::parse(text, 0)) {
            ids.push(id);
            args.take()?;
        }
        while let Some(option) = args.peek() {
            let has_value = args.left() >= 2;
            if args.skip_word("FORCE") {
                claim.force = true;
            } else if args.skip_word("JUSTID") {
                claim.just_id = true;
            } else if has_value && args.skip_word("IDLE") {
                let idle = integer(args, "ERR Invalid IDLE option argument for XCLAIM")?;
                claim.delivered_ms = Some(now_ms.wrapping_sub(idle));
            } else if has_value && args.skip_word("TIME") {
                claim.delivered_ms = Some(integer(args, "ERR Invalid TIME option argument for XCLAIM")?);
            } else if has_value && args.skip_word("RETRYCOUNT") {
                let count = integer(args, "ERR Invalid RETRYCOUNT option argument for XCLAIM")?;
                claim.deliveries = u64::try_from(count).ok();
            } else if has_value && args.skip_word("LASTID") {
                claim.last_id = id(args.take()?)?;
            } else {
                let option = echo(option, usize::MAX);
                return Err(Error::echoing("Unrecognized XCLAIM option '", option, "'"));
            }
        }
        Ok((claim, ids))
    }
}

fn xclaim(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let (key, name, consumer_name) = (call.args.take()?, call.args.take()?, call.args.take()?);
    let now_ms = call.keys.clock_ms();
    call.keys.probe(key);
    let (entries, group) = find_group(find_mut(call.keys, key)?, key, name)?;
    let (claim, ids) = Claim::parse(&mut call.args, now_ms)?;
    let moves_on = claim.last_id > group.last_id;
    group.last_id = group.last_id.max(claim.last_id);
    let (consumer, is_new) = group.find_or_create_consumer(consumer_name, now_ms);
    group.consumer_mut(consumer).seen_ms = now_ms;
    // A time that makes no sense, because it is in the future or before all times, is now.
    let delivered_ms = claim.delivered_ms.filter(|time| (0..=now_ms).contains(time)).unwrap_or(now_ms);
    let mut changes = 0;
    let (mut claimed, mut gone) = (Vec::new(), Vec::new());
    let place = call.out.deferred();
    for id in ids {
        let Some(entry) = entries.get(id) else {
            if group.acknowledge(id) {
                gone.push(id);
            }
            continue;
        };
        let before = match group.pending().get(&id) {
            Some(pending)
                if claim.min_idle_ms > 0
                    && now_ms.saturating_sub(pending.delivered_ms) < claim.min_idle_ms =>
            {
                continue;
            }
            Some(pending) => pending.deliveries,
            None if claim.force => 1,
            None => continue,
        };
        let deliveries = claim.deliveries.unwrap_or_else(|| next_count(before, claim.just_id));
        take_over(group, id, Pending { consumer, delivered_ms, deliveries }, now_ms);
        reply_claimed(call.out, entry, claim.just_id);
        claimed.push(id);
    }
    call.out.finish_array(place, claimed.len());
    changes += (claimed.len() + gone.len()) as u64;
    if changes == 0 {
        changes = moves_on.into();
    }
    if is_new {
        call.keys.event(Class::STREAM, "xgroup-createconsumer", key);
    }
    call.keys.changed(changes + is_new as u64);
    let changes = Changes { is_new, claimed: &claimed, gone: &gone, moves_on };
    changes.propagate(call, key, name, consumer_name)
}

/// What a command has changed in a group.
struct Changes<'a> {
    is_new: bool,
    claimed: &'a [Id],
    gone: &'a [Id],
    moves_on: bool,
}

impl Changes<'_> {
    /// States how they are logged.
    fn propagate(self, call: &Call<'_, '_>, key: &[u8], name: &[u8], consumer: &[u8]) -> Result<(), Error> {
        let keys = &*call.keys;
        if !keys.is_logged() {
            return Ok(());
        }
        keys.propagate_no_more();
        if self.is_new && self.claimed.is_empty() {
            propagate_consumer(keys, key, name, consumer);
        }
        let Some(group) = find(keys, key)?.and_then(|stream| stream.groups.get(name)) else { return Ok(()) };
        for id in self.gone {
            keys.propagate(&[b"XACK", key, name, &id.text()]);
        }
        for id in self.claimed {
            if let Some(pending) = group.pending().get(id) {
                propagate_claim(keys, key, (name, group), consumer, *id, pending);
            }
        }
        if self.moves_on {
            propagate_position(keys, key, (name, group));
        }
        Ok(())
    }
}

/// The stream's entries and the group that is asked for.
fn find_group<'v>(
    stream: Option<&'v mut Stream>,
    key: &[u8],
    name: &[u8],
) -> Result<(&'v mut Entries, &'v mut Group), Error> {
    let found = stream.and_then(|Stream { entries, groups }| Some((entries, groups.get_mut(name)?)));
    found.ok_or_else(|| no_key_or_group(key, name))
}

/// How often an entry was delivered, after it was claimed: one that only its ID is told of was not.
fn next_count(before: u64, just_id: bool) -> u64 {
    if just_id { before } else { before.wrapping_add(1) }
}

fn take_over(group: &mut Group, id: Id, pending: Pending, now_ms: i64) {
    group.assign(id, pending);
    group.consumer_mut(pending.consumer).active_ms = Some(now_ms);
}

fn reply_claimed(out: &mut Reply, entry: StreamEntry<'_>, just_id: bool) {
    if just_id { reply_id(out, entry.id) } else { reply_entry(out, entry) }
}

pub const XAUTOCLAIM: Command = Command {
    name: "xautoclaim",
    summary: "Makes entries that are pending for long those of another consumer.",
    since: "6.2.0",
    group: CommandGroup::Stream,
    complexity: "O(N log M) for N entries looked at, ten times COUNT at most, of M that are pending.",
    arity: -6,
    flags: WRITE_FAST,
    tips: &["nondeterministic_output"],
    keys: &[KeySpec::one(1, RW_DELETE)],
    args: &[
        Arg::key("key", 0),
        Arg::string("group"),
        Arg::string("consumer"),
        Arg::string("min-idle-time"),
        Arg::string("start"),
        Arg::integer("count").token("COUNT").optional(),
        Arg::word("justid", "JUSTID").optional(),
    ],
    history: &[("7.0.0", "The IDs of entries that are no longer there.")],
    reply: "where to go on, the entries that were claimed or their IDs, the IDs of pending entries that are gone",
    handler: Some(xautoclaim),
    ..Command::NEW
};

/// Entries that XAUTOCLAIM takes over at most if it is not told.
const DEFAULT_COUNT: i64 = 100;
/// For each of them, so many pending entries are looked at.
const ATTEMPTS_PER_ENTRY: i64 = 10;
/// A greater count is refused: Redis would not find the memory for so many IDs.
const MAX_COUNT: i64 = i64::MAX / 16;
const ADDRESSABLE_COUNT: i64 = 1 << 43;

fn xautoclaim(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let (key, name, consumer_name) = (call.args.take()?, call.args.take()?, call.args.take()?);
    let idle = integer(&mut call.args, "ERR Invalid min-idle-time argument for XAUTOCLAIM")?;
    let min_idle_ms = idle.max(0);
    let start = range_start(call.args.take()?)?;
    let (mut count, mut just_id) = (DEFAULT_COUNT, false);
    while !call.args.is_done() {
        if call.args.left() >= 2 && call.args.skip_word("COUNT") {
            count = integer(&mut call.args, "ERR COUNT must be > 0")?;
            if !(1..=MAX_COUNT).contains(&count) {
                return Err(Error::line("ERR COUNT must be > 0"));
            }
        } else if call.args.skip_word("JUSTID") {
            just_id = true;
        } else {
            return Err(Error::Syntax);
        }
    }
    let now_ms = call.keys.clock_ms();
    call.keys.probe(key);
    let (entries, group) = find_group(find_mut(call.keys, key)?, key, name)?;
    if count > ADDRESSABLE_COUNT {
        return Err(Error::line(
            "ERR Insufficient memory, failed allocating transient memory, COUNT too high.",
        ));
    }
    let (consumer, is_new) = group.find_or_create_consumer(consumer_name, now_ms);
    group.consumer_mut(consumer).seen_ms = now_ms;
    let sweep = Sweep { consumer, min_idle_ms, just_id, now_ms, count };
    let Swept { claimed, gone, next } = sweep.run(entries, group, start);
    call.out.array(3);
    reply_id(call.out, next);
    call.out.array(claimed.len());
    for entry in claimed.iter().filter_map(|id| entries.get(*id)) {
        reply_claimed(call.out, entry, just_id);
    }
    call.out.array(gone.len());
    gone.iter().for_each(|id| reply_id(call.out, *id));
    if is_new {
        call.keys.event(Class::STREAM, "xgroup-createconsumer", key);
    }
    call.keys.changed((claimed.len() + gone.len()) as u64 + is_new as u64);
    let changes = Changes { is_new, claimed: &claimed, gone: &gone, moves_on: false };
    changes.propagate(call, key, name, consumer_name)
}

/// A walk over pending entries that takes over those that are idle.
struct Sweep {
    consumer: ConsumerId,
    min_idle_ms: i64,
    just_id: bool,
    now_ms: i64,
    count: i64,
}

struct Swept {
    claimed: Vec<Id>,
    /// Entries that were pending and are deleted.
    gone: Vec<Id>,
    /// Where to go on; 0-0 if that was all.
    next: Id,
}

impl Sweep {
    fn run(&self, entries: &Entries, group: &mut Group, start: Id) -> Swept {
        let mut swept = Swept { claimed: Vec::new(), gone: Vec::new(), next: Id::MIN };
        let mut next = Some(start);
        let (mut attempts, mut left) = (self.count * ATTEMPTS_PER_ENTRY, self.count);
        let pending_from = |group: &Group, from: Option<Id>| {
            group.pending().range(from?..).next().map(|(id, pending)| (*id, *pending))
        };
        while let Some((id, pending)) = pending_from(group, next) {
            if attempts == 0 || left == 0 {
                swept.next = id;
                break;
            }
            attempts -= 1;
            next = id.next();
            if !entries.contains(id) {
                group.acknowledge(id);
                swept.gone.push(id);
                left -= 1;
            } else if self.min_idle_ms == 0
                || self.now_ms.saturating_sub(pending.delivered_ms) >= self.min_idle_ms
            {
                let deliveries = next_count(pending.deliveries, self.just_id);
                let pending = Pending { consumer: self.consumer, delivered_ms: self.now_ms, deliveries };
                take_over(group, id, pending, self.now_ms);
                swept.claimed.push(id);
                left -= 1;
            }
        }
        swept
    }
}
