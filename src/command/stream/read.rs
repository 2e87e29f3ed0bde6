//! XREAD and XREADGROUP: what is new in streams, for anybody or for a consumer of a group.
//!
//! First the arguments are read, and with them what each ID means at this time; what is there for the reader
//! is found and written by [`serve`]. If there is nothing, a read with BLOCK becomes an [`Operation`], which asks again
//! when a stream has grown.

use super::log::{propagate_claim, propagate_consumer, propagate_position};
use super::{
    INVALID_ID, RO_ACCESS, c_string, find, no_group, reply_entries, reply_entry, reply_id, stream, stream_mut,
};
use crate::command::args::Args;
use crate::command::blocking::{self, Deadline};
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Begin, Command, Find, Flags, Group as CommandGroup, KeyFlags, KeySpec};
use crate::keyspace::View;
use crate::resp::reply::{Proto, Reply};
use crate::resp::scan::Request;
use crate::state::waiters::Operation;
use crate::types::events::Class;
use crate::types::stream::{Consumer, ConsumerId, Id, Stream, StreamEntry};
use smallvec::SmallVec;

const KEYS: Find = Find::Range { last: -1, step: 1, limit: 2 };

const COUNT: Arg = Arg::integer("count").token("COUNT").optional();
const BLOCK: Arg = Arg::integer("milliseconds").token("BLOCK").optional();
const STREAMS: Arg =
    Arg::block("streams", &[Arg::key("key", 0).multiple(), Arg::string("id").multiple()]).token("STREAMS");

pub const XREAD: Command = Command {
    name: "xread",
    summary: "Returns entries of streams above given IDs; with BLOCK it waits for one.",
    since: "5.0.0",
    group: CommandGroup::Stream,
    complexity: "For each stream O(N) in the number of entries returned, after a binary search.",
    arity: -4,
    flags: Flags::BLOCKING.union(Flags::READONLY).union(Flags::MOVABLEKEYS),
    keys: &[KeySpec {
        flags: RO_ACCESS,
        begin: Begin::Keyword { word: "STREAMS", from: 1 },
        find: KEYS,
        notes: "",
    }],
    find_keys: Some(find_keys),
    args: &[COUNT, BLOCK, STREAMS],
    reply: "array (RESP2) or map (RESP3) of keys and entries, or null if there is nothing",
    handler: Some(xread),
    ..Command::NEW
};

pub const XREADGROUP: Command = Command {
    name: "xreadgroup",
    summary: "Returns entries of streams that are new to a group, or what is pending for a consumer of it.",
    complexity: "For each stream O(N log M) for N entries returned, M being pending for the group.",
    arity: -7,
    flags: Flags::BLOCKING.union(Flags::WRITE).union(Flags::MOVABLEKEYS),
    keys: &[KeySpec {
        flags: RO_ACCESS,
        begin: Begin::Keyword { word: "STREAMS", from: 4 },
        find: KEYS,
        notes: "",
    }],
    args: &[
        Arg::block("group-block", &[Arg::string("group"), Arg::string("consumer")]).token("GROUP"),
        COUNT,
        BLOCK,
        Arg::word("noack", "NOACK").optional(),
        STREAMS,
    ],
    handler: Some(xreadgroup),
    ..XREAD
};

/// Visits the keys where the handlers will look for them: behind STREAMS as an option, not as a value.
fn find_keys(request: Request<'_>, visit: &mut dyn FnMut(usize, KeyFlags)) {
    let mut args = Args::new(request, 1);
    while !args.is_done() {
        if args.skip_word("BLOCK") || args.skip_word("COUNT") {
            args.seek(args.position() + 1);
        } else if args.skip_word("GROUP") {
            args.seek(args.position() + 2);
        } else if args.skip_word("STREAMS") {
            if args.left().is_multiple_of(2) {
                let first = args.position();
                (first..first + args.left() / 2).for_each(|position| visit(position, RO_ACCESS));
            }
            return;
        } else if !args.skip_word("NOACK") {
            return;
        }
    }
}

/// From where on a stream is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum After {
    /// Above this ID; for a consumer, what is pending for it.
    Above(Id),
    /// What its group has not read yet.
    New,
}

/// A group and a consumer of it.
#[derive(Clone, Copy)]
struct Reader<'a> {
    group: &'a [u8],
    consumer: &'a [u8],
    /// Entries do not become pending.
    no_ack: bool,
}

/// What is to be read.
struct Reading<'a> {
    reader: Option<Reader<'a>>,
    /// Entries of each stream.
    count: usize,
    streams: SmallVec<[(&'a [u8], After); 4]>,
    /// How long to wait if there is nothing; `None` is not at all.
    block: Option<Deadline>,
}

fn xread(call: &mut Call<'_, '_>) -> Result<(), Error> {
    read(call, false)
}

fn xreadgroup(call: &mut Call<'_, '_>) -> Result<(), Error> {
    read(call, true)
}

fn read(call: &mut Call<'_, '_>, of_group: bool) -> Result<(), Error> {
    let reading = parse(call, of_group)?;
    if serve(call.keys, call.out, &reading)? {
        return Ok(());
    }
    match reading.block {
        None => call.out.null_array(),
        Some(deadline) => {
            blocking::wait(call, deadline, AwaitedRead::new(&reading));
        }
    }
    Ok(())
}

/// A read that waits for something new in one of its streams.
struct AwaitedRead {
    keys: Box<[Box<[u8]>]>,
    /// From where on the stream of each key is read.
    after: Box<[After]>,
    count: usize,
    reader: Option<AwaitedReader>,
}

/// [`Reader`] in memory of its own.
struct AwaitedReader {
    group: Box<[u8]>,
    consumer: Box<[u8]>,
    no_ack: bool,
}

impl AwaitedReader {
    fn as_reader(&self) -> Reader<'_> {
        Reader { group: &self.group, consumer: &self.consumer, no_ack: self.no_ack }
    }
}

impl AwaitedRead {
    fn new(reading: &Reading<'_>) -> AwaitedRead {
        AwaitedRead {
            keys: blocking::owned(reading.streams.iter().map(|(key, _)| *key)),
            after: reading.streams.iter().map(|(_, after)| *after).collect(),
            count: reading.count,
            reader: reading.reader.map(|Reader { group, consumer, no_ack }| AwaitedReader {
                group: group.into(),
                consumer: consumer.into(),
                no_ack,
            }),
        }
    }
}

impl Operation for AwaitedRead {
    fn keys(&self) -> &[Box<[u8]>] {
        &self.keys
    }

    /// Without its stream a group is gone.
    fn ends_without_key(&self) -> bool {
        self.reader.is_some()
    }

    fn is_ready(&self, view: &View<'_>, key: &[u8]) -> bool {
        // Of another type, or gone: that concerns readers of a group.
        let Some(Ok(found)) = view.peek(key).map(stream) else { return self.ends_without_key() };
        let top = found.entries.top_id();
        match &self.reader {
            Some(reader) => {
                let group = found.groups.get(&reader.group);
                group.is_none_or(|group| top.is_some_and(|top| top > group.last_id))
            }
            None => self.keys.iter().zip(&self.after).any(|(other, after)| {
                **other == *key && matches!(after, After::Above(id) if top.is_some_and(|top| top > *id))
            }),
        }
    }

    fn perform(&self, view: &mut View<'_>, out: &mut Reply) -> Result<(), Vec<u8>> {
        let reader = self.reader.as_ref().map(AwaitedReader::as_reader);
        let mut streams = SmallVec::new();
        for (key, after) in self.keys.iter().zip(&self.after) {
            if view.may_write(view.db, key) {
                let found = view.peek(key).map(stream).transpose().map_err(|error| error.reply())?;
                check_group(found, reader, key).map_err(|error| error.reply())?;
                streams.push((&**key, *after));
            }
        }
        let reading = Reading { reader, count: self.count, streams, block: None };
        serve(view, out, &reading).map(|_| ()).map_err(|error| error.reply())
    }
}

const GROUP_OF_XREAD: Error =
    Error::line("ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.");
const NOACK_OF_XREAD: Error =
    Error::line("ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.");
const NO_GROUP: Error = Error::line("ERR Missing GROUP option for XREADGROUP");
const LAST_OF_GROUP: Error = Error::line(
    "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by \
     specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set.",
);
const TOP_OF_GROUP: Error = Error::line(
    "ERR The + ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by \
     specifying a proper ID, or use the > ID to get new messages. The + ID would just return an empty result set.",
);
const NEW_OF_XREAD: Error = Error::line(
    "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
);

/// Reads all arguments. The streams and groups have to be what they are taken for.
fn parse<'a>(call: &mut Call<'a, '_>, of_group: bool) -> Result<Reading<'a>, Error> {
    let now_ms = call.keys.now_ms;
    let args = &mut call.args;
    let (mut group, mut no_ack, mut count, mut block) = (None, false, usize::MAX, None);
    loop {
        if args.left() >= 2 && args.skip_word("BLOCK") {
            block = Some(blocking::next_millis(args, now_ms)?);
        } else if args.left() >= 2 && args.skip_word("COUNT") {
            count = usize::try_from(args.next_i64()?).ok().filter(|n| *n > 0).unwrap_or(usize::MAX);
        } else if args.left() >= 2 && args.skip_word("STREAMS") {
            break;
        } else if args.left() >= 3 && args.skip_word("GROUP") {
            if !of_group {
                return Err(GROUP_OF_XREAD);
            }
            group = Some((args.take()?, args.take()?));
        } else if args.skip_word("NOACK") {
            if !of_group {
                return Err(NOACK_OF_XREAD);
            }
            no_ack = true;
        } else {
            return Err(Error::Syntax);
        }
    }
    if !args.left().is_multiple_of(2) {
        let (name, symbol) = (call.entry.spec.name, if of_group { '>' } else { '$' });
        return Err(Error::err(format_args!(
            "Unbalanced '{name}' list of streams: for each stream key an ID or '{symbol}' must be specified."
        )));
    }
    let reader = group.map(|(group, consumer)| Reader { group, consumer, no_ack });
    if of_group && reader.is_none() {
        return Err(NO_GROUP);
    }
    let (first, half) = (args.position(), args.left() / 2);
    let streams = (first..first + half).map(|position| {
        let (key, id) = (call.args.get(position), call.args.get(position + half));
        Ok((key, after(call.keys, reader, key, id)?))
    });
    Ok(Reading { reader, count, streams: streams.collect::<Result<_, Error>>()?, block })
}

/// What an ID means for a stream as it is now.
fn after(keys: &View<'_>, reader: Option<Reader<'_>>, key: &[u8], id: &[u8]) -> Result<After, Error> {
    let stream = find(keys, key)?;
    check_group(stream, reader, key)?;
    Ok(After::Above(match (id, reader) {
        (b"$", Some(_)) => return Err(LAST_OF_GROUP),
        (b"$", None) => stream.map_or(Id::MIN, |stream| stream.entries.marks().last_id),
        (b"+", Some(_)) => return Err(TOP_OF_GROUP),
        (b"+", None) => {
            // The entry at the top is the only one above.
            let top = stream.and_then(|stream| stream.entries.top_id());
            top.and_then(Id::previous).unwrap_or(Id::MIN)
        }
        (b">", Some(_)) => return Ok(After::New),
        (b">", None) => return Err(NEW_OF_XREAD),
        (text, _) => match Id::parse(text, 0).ok_or(INVALID_ID)? {
            // Redis's own sign for what is new.
            Id::MAX if reader.is_some() => return Ok(After::New),
            id => id,
        },
    }))
}

/// The group of a reader has to be there.
fn check_group(stream: Option<&Stream>, reader: Option<Reader<'_>>, key: &[u8]) -> Result<(), Error> {
    match reader {
        Some(Reader { group, .. }) if stream.is_none_or(|stream| stream.groups.get(group).is_none()) => {
            Err(no_group(&[
                b"No such key '",
                c_string(key),
                b"' or consumer group '",
                c_string(group),
                b"' in XREADGROUP with GROUP option",
            ]))
        }
        _ => Ok(()),
    }
}

/// Writes what is there for the reader now. `false`, and nothing written, if there is nothing.
fn serve(keys: &mut View<'_>, out: &mut Reply, reading: &Reading<'_>) -> Result<bool, Error> {
    let place = out.deferred();
    let mut served = 0;
    for &(key, after) in &reading.streams {
        let was_served = match reading.reader {
            None => serve_anybody(keys, out, key, after, reading.count)?,
            Some(reader) => serve_consumer(keys, out, key, after, reader, reading.count)?,
        };
        served += was_served as usize;
    }
    if served > 0 {
        match out.proto() {
            Proto::Resp2 => out.finish_array(place, served),
            Proto::Resp3 => out.finish_map(place, served),
        }
    }
    Ok(served > 0)
}

/// Writes the name of a stream; its entries follow.
fn begin_stream(out: &mut Reply, key: &[u8]) {
    if out.proto() == Proto::Resp2 {
        out.array(2);
    }
    out.bulk(key);
}

fn serve_anybody(
    keys: &View<'_>,
    out: &mut Reply,
    key: &[u8],
    after: After,
    count: usize,
) -> Result<bool, Error> {
    let Some(stream) = find(keys, key)? else { return Ok(false) };
    let After::Above(id) = after else { return Ok(false) };
    let Some(start) = id.next() else { return Ok(false) };
    let mut entries = stream.entries.range(start..=Id::MAX).take(count).peekable();
    if entries.peek().is_none() {
        return Ok(false);
    }
    begin_stream(out, key);
    reply_entries(out, entries);
    Ok(true)
}

fn serve_consumer(
    keys: &mut View<'_>,
    out: &mut Reply,
    key: &[u8],
    after: After,
    reader: Reader<'_>,
    count: usize,
) -> Result<bool, Error> {
    let now_ms = keys.clock_ms();
    let Some(stream) = keys.update(key).map(stream_mut).transpose()? else { return Ok(false) };
    let Some(group) = stream.groups.get_mut(reader.group) else { return Ok(false) };
    let (consumer, is_new) = group.find_or_create_consumer(reader.consumer, now_ms);
    group.consumer_mut(consumer).seen_ms = now_ms;
    let last_id = group.last_id;
    // What is logged: these are pending now, for the last time delivered as their group knows.
    let mut delivered = Vec::new();
    let is_served = match after {
        After::Above(id) => {
            begin_stream(out, key);
            delivered = serve_history(out, stream, reader.group, consumer, id, count, now_ms);
            true
        }
        After::New if stream.entries.top_id().is_some_and(|top| top > last_id) => {
            begin_stream(out, key);
            let place = out.deferred();
            let each = |entry: StreamEntry<'_>| {
                reply_entry(out, entry);
                delivered.push(entry.id);
            };
            let served = stream.deliver(reader.group, consumer, count, reader.no_ack, now_ms, each);
            out.finish_array(place, served);
            true
        }
        After::New => false,
    };
    if is_new {
        keys.event(Class::STREAM, "xgroup-createconsumer", key);
    }
    keys.changed(is_new as u64 + is_served as u64);
    if keys.is_logged() {
        keys.propagate_no_more();
        // To become the owner of an entry makes a consumer.
        let is_owner = !delivered.is_empty() && (!reader.no_ack || after != After::New);
        if is_new && !is_owner {
            propagate_consumer(keys, key, reader.group, reader.consumer);
        }
        if let Some(stream) = find(keys, key)? {
            propagate_deliveries(keys, key, stream, reader, after, &delivered);
        }
    }
    Ok(is_served)
}

/// States how the delivery of these entries is logged.
fn propagate_deliveries(
    keys: &View<'_>,
    key: &[u8],
    stream: &Stream,
    reader: Reader<'_>,
    after: After,
    delivered: &[Id],
) {
    let Some(group) = stream.groups.get(reader.group) else { return };
    for id in delivered {
        if let Some(pending) = group.pending().get(id).filter(|_| !reader.no_ack || after != After::New) {
            propagate_claim(keys, key, (reader.group, group), reader.consumer, *id, pending);
        }
    }
    if after == After::New && !delivered.is_empty() {
        propagate_position(keys, key, (reader.group, group));
    }
}

/// Writes what is pending for a consumer above an ID, and counts it as delivered once more. An entry that is
/// gone has no fields. Returns those that were delivered.
fn serve_history(
    out: &mut Reply,
    stream: &mut Stream,
    group: &[u8],
    consumer: ConsumerId,
    above: Id,
    count: usize,
    now_ms: i64,
) -> Vec<Id> {
    let Stream { entries, groups } = stream;
    let mut delivered = Vec::new();
    let Some(group) = groups.get_mut(group) else {
        out.array(0);
        return delivered;
    };
    let pending = |consumer: &Consumer| -> Vec<Id> {
        above
            .next()
            .map_or(Vec::new(), |start| consumer.pending().range(start..).take(count).copied().collect())
    };
    let ids = pending(group.consumer(consumer));
    out.array(ids.len());
    for id in ids {
        match entries.get(id) {
            Some(entry) => {
                reply_entry(out, entry);
                group.redeliver(id, now_ms);
                delivered.push(id);
            }
            None => {
                out.array(2);
                reply_id(out, id);
                out.null_array();
            }
        }
    }
    delivered
}
