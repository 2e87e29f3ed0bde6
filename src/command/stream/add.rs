//! What makes a stream grow: XADD; and XSETID, which tells it what it should remember.

use super::trim::{TRIM, TrimOptions, Trimming};
use super::{INVALID_ID, id};
use super::{
    REFERENCES, RW_UPDATE, UPDATES, WRITE_FAST, block_limits, find_mut, next_id, reply_id, stream_mut,
};
use crate::command::args::Args;
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::spec::{Arg, Command, Flags, Group, KeySpec};
use crate::keyspace::{Deadline, Kind, Object, Value};
use crate::state::Server;
use crate::types::events::Class;
use crate::types::stream::{AppendError, BlockLimits, Id, Numbering, Stream};

const ZERO_ID: Error = Error::line("ERR The ID specified in XADD must be greater than 0-0");
const NOT_ABOVE: Error =
    Error::line("ERR The ID specified in XADD is equal or smaller than the target stream top item");
const EXHAUSTED: Error =
    Error::line("ERR The stream has exhausted the last possible ID, unable to add more items");
const TOO_LARGE: Error = Error::line("ERR Elements are too large to be stored");

pub const XADD: Command = Command {
    name: "xadd",
    summary: "Appends an entry to a stream, which is created if there is none.",
    since: "5.0.0",
    group: Group::Stream,
    complexity: "O(1) for the entry, O(N) in the number of entries that are trimmed.",
    arity: -5,
    flags: WRITE_FAST.union(Flags::DENYOOM),
    tips: &["nondeterministic_output"],
    keys: &[KeySpec {
        notes: "UPDATE instead of INSERT because the stream may be trimmed",
        ..KeySpec::one(1, RW_UPDATE)
    }],
    args: &[
        Arg::key("key", 0),
        Arg::word("nomkstream", "NOMKSTREAM").optional().since("6.2.0"),
        REFERENCES,
        TRIM,
        Arg::one_of("id-selector", &[Arg::word("auto-id", "*"), Arg::string("id")]),
        Arg::block("data", &[Arg::string("field"), Arg::string("value")]).multiple(),
    ],
    history: &[
        ("6.2.0", "NOMKSTREAM, MINID and LIMIT."),
        ("7.0.0", "IDs of the form `ms-*`."),
        ("8.2.0", "KEEPREF, DELREF and ACKED."),
    ],
    reply: "the ID of the entry, or null with NOMKSTREAM and no such key",
    handler: Some(xadd),
    ..Command::NEW
};

/// What XADD is told before the fields.
struct AddOptions {
    must_exist: bool,
    /// `None` if the arguments end before it.
    numbering: Option<Numbering>,
    trimming: Option<Trimming>,
}

impl AddOptions {
    #[inline]
    fn parse(args: &mut Args<'_>, server: &Server) -> Result<AddOptions, Error> {
        // The common case, without a look at the options.
        if args.peek() == Some(b"*") {
            args.take()?;
            return Ok(AddOptions { must_exist: false, numbering: Some(Numbering::Clock), trimming: None });
        }
        let mut trim = TrimOptions::default();
        let (mut must_exist, mut numbering) = (false, None);
        while let Some(option) = args.peek() {
            if option == b"*" {
                numbering = Some(Numbering::Clock);
            } else if trim.next(args)? {
                continue;
            } else if args.skip_word("NOMKSTREAM") {
                must_exist = true;
                continue;
            } else {
                numbering = Some(Numbering::parse(option).ok_or(INVALID_ID)?);
            }
            args.take()?;
            break;
        }
        Ok(AddOptions { must_exist, numbering, trimming: trim.finish(server, false)? })
    }
}

fn xadd(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let options = AddOptions::parse(&mut call.args, call.server)?;
    let left = call.args.left();
    let Some(numbering) = options.numbering.filter(|_| left >= 2 && left.is_multiple_of(2)) else {
        return Err(Error::WrongArity(call.entry.full_name.clone()));
    };
    if numbering == Numbering::Given(Id::MIN) {
        return Err(ZERO_ID);
    }
    let (limits, now_ms) = (block_limits(call.server), call.keys.clock_ms());
    let first = call.args.position();
    let added = match call.keys.update(key) {
        Some(entry) => append(stream_mut(entry)?, numbering, call.args, limits, now_ms, options.trimming),
        None if options.must_exist => {
            call.out.null();
            return Ok(());
        }
        None => {
            let mut stream = Box::new(Stream::default());
            let added = append(&mut stream, numbering, call.args, limits, now_ms, options.trimming);
            call.keys.set(key, Value::Object(Kind::Stream, Object::Stream(stream)), Deadline::Clear);
            added
        }
    };
    let (id, trimmed, outcome) = added.map_err(|error| match error {
        AppendError::Exhausted => EXHAUSTED,
        AppendError::NotAbove => NOT_ABOVE,
        AppendError::TooLarge => TOO_LARGE,
    })?;
    reply_id(call.out, id);
    call.keys.notify(Class::STREAM, "xadd", key);
    if trimmed > 0 {
        call.keys.event(Class::STREAM, "xtrim", key);
    }
    call.keys.changed(1);
    if call.keys.is_logged() {
        // With its real ID, and trimmed to just where it was trimmed now.
        let (head, id) = ([b"XADD".as_slice(), key], id.text());
        let trimming: Vec<Vec<u8>> = outcome.iter().flat_map(Trimming::options).collect();
        let pairs = (first..call.args.count()).map(|at| call.args.get(at));
        let count = head.len() + trimming.len() + 1 + pairs.len();
        let trimming = trimming.iter().map(Vec::as_slice);
        let args = head.into_iter().chain(trimming).chain([&*id]).chain(pairs);
        call.keys.propagate_many(count, args);
    }
    Ok(())
}

/// Appends what is left of the arguments, and trims. Returns also how many entries were trimmed, and what that
/// came to.
#[inline]
fn append(
    stream: &mut Stream,
    numbering: Numbering,
    args: Args<'_>,
    limits: BlockLimits,
    now_ms: i64,
    trimming: Option<Trimming>,
) -> Result<(Id, u64, Option<Trimming>), AppendError> {
    let request = args.request();
    let pairs = (args.position()..args.count()).map(|index| request.get(index));
    let id = stream.entries.append(numbering, pairs, limits, now_ms)?;
    let trimmed = trimming.map_or(0, |trimming| stream.trim(&trimming.trim, trimming.references));
    Ok((id, trimmed, trimming.map(|trimming| trimming.outcome(stream))))
}

pub const XSETID: Command = Command {
    name: "xsetid",
    summary: "Sets the last ID of a stream; replication uses it.",
    since: "5.0.0",
    group: Group::Stream,
    complexity: "O(1)",
    arity: -3,
    flags: WRITE_FAST.union(Flags::DENYOOM),
    keys: UPDATES,
    args: &[
        Arg::key("key", 0),
        Arg::string("last-id"),
        Arg::integer("entries-added").token("ENTRIESADDED").optional().since("7.0.0"),
        Arg::string("max-deleted-id").token("MAXDELETEDID").optional().since("7.0.0"),
    ],
    history: &[("7.0.0", "ENTRIESADDED and MAXDELETEDID.")],
    reply: "OK",
    handler: Some(xsetid),
    ..Command::NEW
};

fn xsetid(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let key = call.args.take()?;
    let last_id = next_id(&mut call.args)?;
    let (mut added, mut max_deleted_id) = (None, None);
    while !call.args.is_done() {
        if call.args.left() < 2 {
            return Err(Error::Syntax);
        }
        if call.args.skip_word("ENTRIESADDED") {
            let count = u64::try_from(call.args.next_i64()?);
            added = Some(count.map_err(|_| Error::line("ERR entries_added must be positive"))?);
        } else if call.args.skip_word("MAXDELETEDID") {
            let deleted = id(call.args.take()?)?;
            if last_id < deleted {
                return Err(Error::line(
                    "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
                ));
            }
            max_deleted_id = Some(deleted).filter(|id| *id != Id::MIN);
        } else {
            return Err(Error::Syntax);
        }
    }
    let entries = &mut find_mut(call.keys, key)?.ok_or(Error::NoSuchKey)?.entries;
    if last_id < entries.marks().max_deleted_id {
        return Err(Error::line(
            "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id",
        ));
    }
    if let Some(top) = entries.top_id() {
        if last_id < top {
            return Err(Error::line(
                "ERR The ID specified in XSETID is smaller than the target stream top item",
            ));
        }
        if added.is_some_and(|added| added < entries.marks().length) {
            return Err(Error::line(
                "ERR The entries_added specified in XSETID is smaller than the target stream length",
            ));
        }
    }
    entries.set_marks(last_id, added, max_deleted_id);
    call.keys.event(Class::STREAM, "xsetid", key);
    call.keys.changed(1);
    call.out.ok();
    Ok(())
}
