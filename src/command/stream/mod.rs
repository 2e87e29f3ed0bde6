//! Commands on streams and their consumer groups.
//!
//! Here is what the handlers share: finding the stream of a key, reading IDs and ends of ranges, writing
//! entries, and the errors that several of them have.

mod add;
mod claim;
mod delete;
mod group;
mod info;
mod log;
mod pending;
mod range;
mod read;
mod trim;

use super::args::Args;
use super::errors::{Error, echo};
use super::spec::{Arg, Command, Flags, KeyFlags, KeySpec};
use crate::keyspace::{Entry, Object, View};
use crate::resp::reply::Reply;
use crate::state::Server;
use crate::types::packed::Item;
use crate::types::stream::{BlockLimits, Id, References, Stream, StreamEntry};

pub const COMMANDS: &[Command] = &[
    pending::XACK,
    delete::XACKDEL,
    add::XADD,
    claim::XAUTOCLAIM,
    claim::XCLAIM,
    delete::XDEL,
    delete::XDELEX,
    group::XGROUP,
    info::XINFO,
    range::XLEN,
    pending::XPENDING,
    range::XRANGE,
    read::XREAD,
    read::XREADGROUP,
    range::XREVRANGE,
    add::XSETID,
    trim::XTRIM,
];

const WRITE_FAST: Flags = Flags::WRITE.union(Flags::FAST);

const RO_ACCESS: KeyFlags = KeyFlags::RO.union(KeyFlags::ACCESS);
const RW_UPDATE: KeyFlags = KeyFlags::RW.union(KeyFlags::UPDATE);
const RW_DELETE: KeyFlags = KeyFlags::RW.union(KeyFlags::DELETE);

const READS: &[KeySpec] = &[KeySpec::one(1, RO_ACCESS)];
const UPDATES: &[KeySpec] = &[KeySpec::one(1, RW_UPDATE)];
const DELETES: &[KeySpec] = &[KeySpec::one(1, RW_DELETE)];

/// The options on what becomes of an entry's places in groups.
const REFERENCES: Arg = Arg::one_of(
    "condition",
    &[Arg::word("keepref", "KEEPREF"), Arg::word("delref", "DELREF"), Arg::word("acked", "ACKED")],
)
.optional();

const INVALID_ID: Error = Error::line("ERR Invalid stream ID specified as stream command argument");
const INVALID_START: Error = Error::line("ERR invalid start ID for the interval");
const INVALID_END: Error = Error::line("ERR invalid end ID for the interval");

/// The error of a key or group that is not there.
fn no_key_or_group(key: &[u8], group: &[u8]) -> Error {
    no_group(&[b"No such key '", c_string(key), b"' or consumer group '", c_string(group), b"'"])
}

/// The error of a group that a stream has not.
fn no_such_group(key: &[u8], group: &[u8]) -> Error {
    no_group(&[b"No such consumer group '", c_string(group), b"' for key name '", c_string(key), b"'"])
}

fn no_group(parts: &[&[u8]]) -> Error {
    Error::Echo([b"NOGROUP ", parts.concat().as_slice()].concat())
}

fn c_string(bytes: &[u8]) -> &[u8] {
    echo(bytes, usize::MAX)
}

/// The value of an entry that has to be a stream.
#[inline]
fn stream(entry: &Entry) -> Result<&Stream, Error> {
    match entry.object() {
        Some(Object::Stream(stream)) => Ok(stream),
        _ => Err(Error::WrongType),
    }
}

/// The value of an entry that has to be a stream, to be changed.
#[inline]
fn stream_mut(entry: &mut Entry) -> Result<&mut Stream, Error> {
    match entry.object_mut() {
        Some(Object::Stream(stream)) => Ok(stream),
        _ => Err(Error::WrongType),
    }
}

/// The stream at a key, to be read.
#[inline]
fn find<'v>(keys: &'v View<'_>, key: &[u8]) -> Result<Option<&'v Stream>, Error> {
    keys.get(key).map(stream).transpose()
}

/// The stream at a key, to be changed.
#[inline]
fn find_mut<'v>(keys: &'v mut View<'_>, key: &[u8]) -> Result<Option<&'v mut Stream>, Error> {
    keys.update(key).map(stream_mut).transpose()
}

/// How large blocks get (`stream-node-max-bytes`, `stream-node-max-entries`).
#[inline]
fn block_limits(server: &Server) -> BlockLimits {
    BlockLimits {
        bytes: server.config.stream_node_max_bytes() as usize,
        entries: server.config.stream_node_max_entries() as usize,
    }
}

/// Reads an ID; one without a number gets 0.
fn id(text: &[u8]) -> Result<Id, Error> {
    Id::parse(text, 0).ok_or(INVALID_ID)
}

/// Consumes an ID.
fn next_id(args: &mut Args<'_>) -> Result<Id, Error> {
    id(args.take()?)
}

/// Reads all IDs that are left, before anything is done with the first.
fn all_ids(args: Args<'_>) -> Result<Vec<Id>, Error> {
    args.rest().map(id).collect()
}

/// An ID where `-` and `+` are the least and the greatest.
fn id_or_edge(text: &[u8], missing_seq: u64) -> Result<Id, Error> {
    match text {
        b"-" => Ok(Id::MIN),
        b"+" => Ok(Id::MAX),
        text => Id::parse(text, missing_seq).ok_or(INVALID_ID),
    }
}

/// The lower end of a range: exclusive with `(` in front.
fn range_start(text: &[u8]) -> Result<Id, Error> {
    match text {
        [b'(', text @ ..] if !text.is_empty() => id(text)?.next().ok_or(INVALID_START),
        text => id_or_edge(text, 0),
    }
}

/// The upper end of a range: exclusive with `(` in front. An ID without a number is the last of its time.
fn range_end(text: &[u8]) -> Result<Id, Error> {
    match text {
        [b'(', text @ ..] if !text.is_empty() => {
            Id::parse(text, u64::MAX).ok_or(INVALID_ID)?.previous().ok_or(INVALID_END)
        }
        text => id_or_edge(text, u64::MAX),
    }
}

/// Consumes an option on what becomes of an entry's places in groups, if there is one.
fn next_references(args: &mut Args<'_>) -> Option<References> {
    let options =
        [("KEEPREF", References::Keep), ("DELREF", References::Delete), ("ACKED", References::Acknowledged)];
    options.into_iter().find_map(|(word, references)| args.skip_word(word).then_some(references))
}

#[inline]
fn reply_id(out: &mut Reply, id: Id) {
    out.bulk(&id.text());
}

fn reply_item(out: &mut Reply, item: Item<'_>) {
    match item {
        Item::Int(n) => out.bulk_integer(n),
        Item::Text(text) => out.bulk(text),
    }
}

/// Writes an entry: its ID, and its names and values in turns.
fn reply_entry(out: &mut Reply, entry: StreamEntry<'_>) {
    out.array(2);
    reply_id(out, entry.id);
    out.array(2 * entry.fields.len());
    for (name, value) in entry.fields {
        reply_item(out, name);
        reply_item(out, value);
    }
}

/// Writes an array of entries.
fn reply_entries<'a>(out: &mut Reply, entries: impl Iterator<Item = StreamEntry<'a>>) {
    let place = out.deferred();
    let mut count = 0;
    for entry in entries {
        reply_entry(out, entry);
        count += 1;
    }
    out.finish_array(place, count);
}
