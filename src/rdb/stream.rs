//! Streams, in any of their three encodings: blocks, each by its ID a listpack as [`block`](crate::types::stream::block)
//! has it; what the stream counts and remembers; groups, each with what is pending and with its consumers.
//!
//! The second encoding adds the first ID, the highest deleted one, how many entries were ever added, and how many of
//! them each group has read; the third adds when a consumer last got something.

use super::listpack;
use super::read::{length, millis, string};
use super::source::{Corrupt, Source};
use super::value::kind::{STREAM, STREAM_3};
use super::write::{Output, Writer};
use crate::types::stream::block::Block;
use crate::types::stream::{Contradiction, Entries, Group, Groups, Id, NewConsumer, NewPending, Stream};

/// Stands for a number of entries that is not known.
const UNKNOWN: u64 = u64::MAX;

/// Reads a stream of this kind.
pub fn read(kind: u8, source: &mut impl Source) -> Result<Stream, Corrupt> {
    let mut entries = Entries::default();
    for _ in 0..length(source)? {
        let first = string(source)?;
        let first =
            <[u8; 16]>::try_from(first).map_err(|_| source.corrupt("Stream node key entry is no ID"))?;
        let blob = string(source)?;
        let block = listpack::open(&blob).and_then(|(items, noted)| {
            let block = Block::of_items(Id::from_bytes(first), items)?;
            noted.is_none_or(|noted| noted == block.items()).then_some(block)
        });
        let block = block.ok_or_else(|| source.corrupt("Stream listpack integrity check failed"))?;
        if !entries.append_block(block) {
            return Err(source.corrupt("Stream listpacks are not in the order of their IDs"));
        }
    }
    read_marks(kind, source, &mut entries)?;
    let mut groups = Groups::default();
    for _ in 0..length(source)? {
        let name = string(source)?;
        let group = read_group(kind, source, &entries)?;
        if !groups.add(&name, group) {
            return Err(source.corrupt("Duplicated consumer group name"));
        }
    }
    Ok(Stream { entries, groups })
}

fn read_marks(kind: u8, source: &mut impl Source, entries: &mut Entries) -> Result<(), Corrupt> {
    let (count, last_id) = (length(source)?, read_id(source)?);
    let found = *entries.marks();
    if count != found.length {
        return Err(source.corrupt("Stream length inconsistent with its entries"));
    }
    if last_id < found.last_id {
        return Err(source.corrupt("Stream entries above the last ID"));
    }
    if kind == STREAM {
        entries.set_marks(last_id, None, None);
        return Ok(());
    }
    // The first ID is known from the entries.
    read_id(source)?;
    let (max_deleted_id, added) = (read_id(source)?, length(source)?);
    entries.set_marks(last_id, Some(added), Some(max_deleted_id));
    Ok(())
}

/// An ID as two lengths.
fn read_id(source: &mut impl Source) -> Result<Id, Corrupt> {
    Ok(Id::new(length(source)?, length(source)?))
}

/// An ID as 16 bytes.
fn read_raw_id(source: &mut impl Source) -> Result<Id, Corrupt> {
    Ok(Id::from_bytes(source.array()?))
}

fn read_group(kind: u8, source: &mut impl Source, entries: &Entries) -> Result<Group, Corrupt> {
    let last_id = read_id(source)?;
    let entries_read = if kind == STREAM {
        entries.marks().added_up_to(last_id)
    } else {
        Some(length(source)?).filter(|read| *read != UNKNOWN)
    };
    let mut pending = Vec::new();
    for _ in 0..length(source)? {
        let (id, delivered_ms) = (read_raw_id(source)?, read_time(source)?);
        pending.push(NewPending { id, delivered_ms, deliveries: length(source)? });
    }
    let mut consumers = Vec::new();
    for _ in 0..length(source)? {
        let (name, seen_ms) = (string(source)?, read_time(source)?);
        let active_ms =
            if kind == STREAM_3 { Some(millis(source)?).filter(|time| *time >= 0) } else { Some(seen_ms) };
        let mut pending = Vec::new();
        for _ in 0..length(source)? {
            pending.push(read_raw_id(source)?);
        }
        consumers.push(NewConsumer { name, seen_ms, active_ms, pending });
    }
    Group::of_parts(last_id, entries_read, pending, consumers).map_err(|why| {
        source.corrupt(match why {
            Contradiction::ConsumerTwice => "Duplicate stream consumer detected",
            Contradiction::PendingTwice => "Duplicated global PEL entry loading stream consumer group",
            Contradiction::NotPending => "Consumer entry not found in group global PEL",
            Contradiction::OwnedTwice => "Duplicated consumer PEL entry loading a stream consumer group",
            Contradiction::Unowned => "Stream CG PEL entry without consumer",
        })
    })
}

/// A time, which is not before 1970.
fn read_time(source: &mut impl Source) -> Result<i64, Corrupt> {
    millis(source).map(|time| time.max(0))
}

/// What has the position of a stream's first group, behind all blocks; the next ones follow.
const GROUPS_FROM: u64 = 1 << 32;

/// Writes a part of a stream, in the second encoding, the newest that Redis 7.0 reads: from its beginning (0) or from
/// what the part before returned, and until about `budget` bytes are written. Groups are not divided.
pub fn write_part(
    writer: &mut Writer<impl Output>,
    stream: &Stream,
    from: u64,
    mut budget: usize,
) -> Option<u64> {
    let blocks = stream.entries.block_count() as u64;
    if from == 0 {
        writer.length(blocks);
    }
    let mut at = from;
    while at < blocks {
        let block = stream.entries.block(at as usize)?;
        writer.string(&block.first().to_bytes());
        writer.string(&listpack::from_items(block.bytes(), block.items()));
        at += 1;
        budget = budget.saturating_sub(block.bytes().len());
        if budget == 0 && at < blocks {
            return Some(at);
        }
    }
    if at < GROUPS_FROM {
        let marks = stream.entries.marks();
        writer.length(marks.length);
        for id in [marks.last_id, marks.first_id, marks.max_deleted_id] {
            write_id(writer, id);
        }
        writer.length(marks.added);
        writer.length(stream.groups.len() as u64);
        at = GROUPS_FROM;
    }
    let end = GROUPS_FROM + stream.groups.len() as u64;
    for (name, group) in stream.groups.iter().skip((at - GROUPS_FROM) as usize) {
        if budget == 0 {
            return Some(at);
        }
        write_group(writer, name, group);
        at += 1;
        let pending_bytes = size_of::<Id>() + size_of::<i64>();
        budget = budget.saturating_sub(group.pending().len() * pending_bytes);
    }
    debug_assert_eq!(at, end);
    None
}

fn write_group(writer: &mut Writer<impl Output>, name: &[u8], group: &Group) {
    writer.string(name);
    write_id(writer, group.last_id);
    writer.length(group.entries_read.unwrap_or(UNKNOWN));
    writer.length(group.pending().len() as u64);
    for (id, pending) in group.pending() {
        writer.out.put(&id.to_bytes());
        writer.millis(pending.delivered_ms);
        writer.length(pending.deliveries);
    }
    writer.length(group.consumers().len() as u64);
    for consumer in group.consumers() {
        writer.string(consumer.name());
        writer.millis(consumer.seen_ms);
        writer.length(consumer.pending().len() as u64);
        for id in consumer.pending() {
            writer.out.put(&id.to_bytes());
        }
    }
}

fn write_id(writer: &mut Writer<impl Output>, id: Id) {
    writer.length(id.ms);
    writer.length(id.seq);
}
