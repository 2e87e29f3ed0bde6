//! A base made of commands (`aof-use-rdb-preamble no`): entries on their way into a file as requests that make them.
//!
//! Large collections take several requests of at most [`ITEMS_PER_COMMAND`] items. An entry is always taken whole.
//! Records of the walker and of writers go to one buffer, which is written when the walker breathes.

use crate::command::hash::value::HashRef;
use crate::command::list;
use crate::command::set::value::SetRef;
use crate::command::sorted_set::value::SortedSetRef;
use crate::keyspace::log::encode;
use crate::keyspace::snapshot::{Cut, Lane, Sink};
use crate::keyspace::{Entry, Object};
use crate::persist::rdb::file::NewFile;
use crate::types::number;
use crate::types::stream::{Group, Id, Stream};
use parking_lot::Mutex;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Redis's `AOF_REWRITE_ITEMS_PER_CMD`.
const ITEMS_PER_COMMAND: usize = 64;

/// A buffer that holds more goes to the file: enough for one system call to be worth it.
const WRITE_FROM_BYTES: usize = 256 << 10;

#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    selected: Option<usize>,
}

struct Output {
    file: Option<NewFile>,
    error: Option<io::Error>,
}

/// Takes the entries of a snapshot and writes them as commands.
pub struct CommandSaver {
    buffer: Mutex<Buffer>,
    output: Mutex<Output>,
    now_ms: AtomicI64,
    /// `rdb-key-save-delay`: the walker waits for so long behind each step.
    delay: Duration,
}

impl CommandSaver {
    pub fn new(file: NewFile, delay: Duration) -> Arc<CommandSaver> {
        Arc::new(CommandSaver {
            buffer: Mutex::default(),
            output: Mutex::new(Output { file: Some(file), error: None }),
            now_ms: AtomicI64::new(0),
            delay,
        })
    }

    /// To be called at the cut. With `stamp` the time is noted.
    pub fn begin(&self, cut: &Cut, stamp: bool) {
        self.now_ms.store(cut.at_ms, Ordering::Relaxed);
        if stamp {
            let line = format!("#TS:{}\r\n", cut.at_ms / 1000);
            self.buffer.lock().bytes.extend_from_slice(line.as_bytes());
        }
    }

    /// Writes what is left. The snapshot has to be over.
    pub fn finish(&self, name: &Path) -> io::Result<u64> {
        self.write_out(0);
        let mut output = self.output.lock();
        if let Some(error) = output.error.take() {
            return Err(error);
        }
        let file = output.file.take().expect("a file is finished once");
        let bytes = file.bytes();
        file.complete(name)?;
        Ok(bytes)
    }

    fn write_out(&self, above_bytes: usize) {
        let bytes = {
            let mut buffer = self.buffer.lock();
            if buffer.bytes.len() <= above_bytes {
                return;
            }
            std::mem::take(&mut buffer.bytes)
        };
        let output = &mut *self.output.lock();
        if let Some(Err(error)) = output.file.as_mut().map(|file| file.write(&bytes)) {
            (output.file, output.error) = (None, Some(error));
        }
    }
}

impl Sink for CommandSaver {
    fn save(&self, _lane: Lane, db: usize, entry: &Entry, _from: u64, _budget: usize) -> Option<u64> {
        let buffer = &mut *self.buffer.lock();
        if buffer.selected.replace(db) != Some(db) {
            write(&mut buffer.bytes, &[b"SELECT", db.to_string().as_bytes()]);
        }
        entry_as_commands(&mut buffer.bytes, entry, self.now_ms.load(Ordering::Relaxed));
        None
    }

    fn breathe(&self) -> bool {
        self.write_out(WRITE_FROM_BYTES);
        if !self.delay.is_zero() {
            std::thread::sleep(self.delay);
        }
        self.output.lock().file.is_some()
    }
}

fn write(out: &mut Vec<u8>, args: &[&[u8]]) {
    encode(out, args.len(), args.iter().copied());
}

/// Collects items for requests that all begin alike.
struct Batch<'a> {
    out: &'a mut Vec<u8>,
    name: &'static [u8],
    key: &'a [u8],
    /// Arguments that make up one item.
    per_item: usize,
    items: Vec<Vec<u8>>,
}

impl<'a> Batch<'a> {
    fn new(out: &'a mut Vec<u8>, name: &'static [u8], key: &'a [u8], per_item: usize) -> Batch<'a> {
        Batch { out, name, key, per_item, items: Vec::new() }
    }

    fn push(&mut self, arg: &[u8]) {
        self.items.push(arg.to_vec());
        if self.items.len() == ITEMS_PER_COMMAND * self.per_item {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if !self.items.is_empty() {
            let args = [self.name, self.key].into_iter().chain(self.items.iter().map(Vec::as_slice));
            encode(self.out, 2 + self.items.len(), args);
            self.items.clear();
        }
    }
}

/// Appends the commands that make an entry.
fn entry_as_commands(out: &mut Vec<u8>, entry: &Entry, now_ms: i64) {
    let key = entry.key();
    if let Some(value) = entry.string() {
        value.with(|value| write(out, &[b"SET", key, value]));
    } else if let Ok(list) = list::value::list(entry) {
        let mut batch = Batch::new(out, b"RPUSH", key, 1);
        list.each(|element| element.with(|element| batch.push(element)));
        batch.flush();
    } else if let Ok(hash) = HashRef::of(entry, now_ms) {
        let mut batch = Batch::new(out, b"HMSET", key, 2);
        let mut deadlines = Vec::new();
        hash.each(|name, value, deadline| {
            name.with(|name| {
                batch.push(name);
                if let Some(deadline) = deadline {
                    deadlines.push((name.to_vec(), deadline));
                }
            });
            value.with(|value| batch.push(value));
        });
        batch.flush();
        for (name, deadline) in deadlines {
            let deadline = deadline.to_string();
            write(out, &[b"HPEXPIREAT", key, deadline.as_bytes(), b"FIELDS", b"1", &name]);
        }
    } else if let Ok(set) = SetRef::of(entry) {
        let mut batch = Batch::new(out, b"SADD", key, 1);
        set.each(|member| member.with(|member| batch.push(member)));
        batch.flush();
    } else if let Ok(set) = SortedSetRef::of(entry) {
        let mut batch = Batch::new(out, b"ZADD", key, 2);
        let mut text = Vec::new();
        for (member, score) in set.all() {
            text.clear();
            number::write_f64_17(&mut text, score.get());
            batch.push(&text);
            member.with(|member| batch.push(member));
        }
        batch.flush();
    } else if let Some(Object::Stream(stream)) = entry.object() {
        stream_as_commands(out, key, stream);
    }
    if let Some(deadline) = entry.deadline() {
        write(out, &[b"PEXPIREAT", key, deadline.to_string().as_bytes()]);
    }
}

fn stream_as_commands(out: &mut Vec<u8>, key: &[u8], stream: &Stream) {
    let marks = stream.entries.marks();
    for entry in stream.entries.range(Id::MIN..=Id::MAX) {
        let mut args = vec![b"XADD".to_vec(), key.to_vec(), entry.id.text().to_vec()];
        for (name, value) in entry.fields {
            name.with(|name| args.push(name.to_vec()));
            value.with(|value| args.push(value.to_vec()));
        }
        encode(out, args.len(), args.iter().map(Vec::as_slice));
    }
    if stream.entries.is_empty() {
        // A stream without entries is made by one that is trimmed at once.
        write(out, &[b"XADD", key, b"MAXLEN", b"0", &empty_id(marks.last_id), b"x", b"y"]);
    }
    write(
        out,
        &[
            b"XSETID",
            key,
            &marks.last_id.text(),
            b"ENTRIESADDED",
            marks.added.to_string().as_bytes(),
            b"MAXDELETEDID",
            &marks.max_deleted_id.text(),
        ],
    );
    for (name, group) in stream.groups.iter() {
        group_as_commands(out, key, name, group);
    }
}

/// The ID of the entry that makes an empty stream: 0-0 would be refused.
fn empty_id(last_id: Id) -> Vec<u8> {
    let id = if last_id == Id::MIN { Id { ms: 0, seq: 1 } } else { last_id };
    id.text().to_vec()
}

fn group_as_commands(out: &mut Vec<u8>, key: &[u8], name: &[u8], group: &Group) {
    let read = group.entries_read.map_or("-1".to_owned(), |read| read.to_string());
    let last_id = group.last_id.text();
    write(out, &[b"XGROUP", b"CREATE", key, name, &last_id, b"ENTRIESREAD", read.as_bytes()]);
    for consumer in group.consumers() {
        write(out, &[b"XGROUP", b"CREATECONSUMER", key, name, consumer.name()]);
        for id in consumer.pending() {
            let Some(pending) = group.pending().get(id) else { continue };
            write(
                out,
                &[
                    b"XCLAIM",
                    key,
                    name,
                    consumer.name(),
                    b"0",
                    &id.text(),
                    b"TIME",
                    pending.delivered_ms.to_string().as_bytes(),
                    b"RETRYCOUNT",
                    pending.deliveries.to_string().as_bytes(),
                    b"JUSTID",
                    b"FORCE",
                ],
            );
        }
    }
}
