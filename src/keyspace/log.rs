//! The stream of effects: every change to the data set as commands that lead to the same data when they are run again.
//!
//! Whoever changes keys appends what it has done while it still holds their shards, so the stream has one order, in
//! which each key's changes come as they happened. What belongs together, a transaction or a command with several
//! effects, is one [`Unit`] and stands between MULTI and EXEC; a unit is appended as a whole. The stream is in the form
//! of requests, with SELECT where the database changes, and positions in it are bytes since the process began.
//!
//! One reader takes it in chunks of whole units ([`Log::take`]) and hands them on: to files, to replicas. It tells how
//! far they are secured, and whoever must not answer before that waits for it ([`Log::hold`], [`Log::poll_secured`]).
//! While there is no reader the log is closed and nothing is appended.
//!
//! A leaf lock: nothing else is taken while it is held. Knows nothing of commands, files or sockets.

use parking_lot::Mutex;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread::Thread;
use std::time::Duration;

/// A buffer that has grown larger than this for one chunk is not kept, bytes.
const KEEP_BYTES: usize = 4 * 1024 * 1024;

/// While more than this waits to be written, bytes, clients wait: memory must not fill up behind a slow disk.
const MAX_BEHIND_BYTES: u64 = 64 * 1024 * 1024;

/// As a limit: nobody waits.
const NO_LIMIT: u64 = u64::MAX;

/// Appends a request in the form of the wire.
pub fn encode<'a>(out: &mut Vec<u8>, count: usize, args: impl Iterator<Item = &'a [u8]>) {
    number(out, b'*', count);
    for arg in args {
        number(out, b'$', arg.len());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

#[inline]
fn number(out: &mut Vec<u8>, sign: u8, number: usize) {
    out.push(sign);
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn encode_select(out: &mut Vec<u8>, db: usize) {
    let mut text = itoa::Buffer::new();
    encode(out, 2, [b"SELECT".as_slice(), text.format(db).as_bytes()].into_iter());
}

/// The effects of one command or transaction.
#[derive(Default)]
pub struct Unit {
    bytes: Vec<u8>,
    commands: usize,
    first_db: usize,
    last_db: usize,
}

impl Unit {
    pub fn is_empty(&self) -> bool {
        self.commands == 0
    }

    /// Adds a command that runs in the database `db`.
    pub fn push<'a>(&mut self, db: usize, count: usize, args: impl Iterator<Item = &'a [u8]>) {
        if self.commands == 0 {
            self.first_db = db;
        } else if self.last_db != db {
            encode_select(&mut self.bytes, db);
        }
        self.last_db = db;
        self.commands += 1;
        encode(&mut self.bytes, count, args);
    }

    /// Empties it; keeps its memory, unless that is a lot.
    pub fn clear(&mut self) {
        self.commands = 0;
        self.bytes.clear();
        self.bytes.shrink_to(KEEP_BYTES);
    }

    /// Memory that it holds, bytes.
    pub fn capacity_bytes(&self) -> usize {
        self.bytes.capacity()
    }
}

/// A piece of the stream.
#[derive(Default)]
pub struct Chunk {
    /// Where it begins.
    pub from: u64,
    /// Whole units.
    pub bytes: Vec<u8>,
    /// Where in it another second begins, and which (Unix time). Only if [`Log::set_stamps`] says so.
    pub stamps: Vec<(usize, i64)>,
}

impl Chunk {
    /// Where it ends.
    pub fn end(&self) -> u64 {
        self.from + self.bytes.len() as u64
    }
}

#[derive(Default)]
struct Inner {
    /// What is not taken yet.
    chunk: Chunk,
    /// The database in which the stream's next command would run; `None` if it has to say so.
    selected: Option<usize>,
    is_open: bool,
    stamps: bool,
    last_stamp: i64,
    /// The reader has nothing to do, and wants to be woken.
    reader_sleeps: bool,
}

/// See the module's head.
pub struct Log {
    inner: Mutex<Inner>,
    /// Position of its end.
    end: AtomicU64,
    /// Position up to which it is secured.
    secured: AtomicU64,
    /// How many bytes at most may be unsecured when a client is answered.
    limit: AtomicU64,
    /// The stream cannot be secured at the moment: only those wait who have appended to it.
    is_stuck: AtomicBool,
    /// The reader is woken by whoever waits, not by what is appended.
    wakes_late: AtomicBool,
    sleepers: Mutex<Vec<(u64, Waker)>>,
    reader: OnceLock<Thread>,
    /// Expired keys leave as UNLINK, not as DEL.
    unlinks: AtomicBool,
}

impl Default for Log {
    fn default() -> Log {
        Log {
            inner: Mutex::default(),
            end: AtomicU64::new(0),
            secured: AtomicU64::new(0),
            limit: AtomicU64::new(NO_LIMIT),
            is_stuck: AtomicBool::new(false),
            wakes_late: AtomicBool::new(false),
            sleepers: Mutex::default(),
            reader: OnceLock::new(),
            unlinks: AtomicBool::new(false),
        }
    }
}

/// For whom replies wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hold {
    /// For nobody, unless the reader is far behind.
    Behind,
    /// For all that was appended before.
    All,
}

impl Log {
    /// Position of the stream's end.
    #[inline]
    pub fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// Appends one command.
    #[inline]
    pub(super) fn append<'a>(&self, db: usize, count: usize, args: impl Iterator<Item = &'a [u8]>) {
        self.with_chunk(db, |out| encode(out, count, args), db);
    }

    /// Appends one command that is in the form of the wire already.
    #[inline]
    pub(super) fn append_encoded(&self, db: usize, encoded: &[u8]) {
        self.with_chunk(db, |out| out.extend_from_slice(encoded), db);
    }

    /// Appends a unit.
    pub(super) fn append_unit(&self, unit: &Unit) {
        if unit.commands == 1 {
            return self.append_encoded(unit.first_db, &unit.bytes);
        }
        let Unit { first_db, last_db, .. } = *unit;
        let mut inner = self.inner.lock();
        if !inner.is_open {
            return;
        }
        inner.stamp();
        encode(&mut inner.chunk.bytes, 1, [b"MULTI".as_slice()].into_iter());
        inner.select(first_db);
        inner.chunk.bytes.extend_from_slice(&unit.bytes);
        inner.selected = Some(last_db);
        encode(&mut inner.chunk.bytes, 1, [b"EXEC".as_slice()].into_iter());
        self.appended(inner);
    }

    #[inline]
    fn with_chunk(&self, first_db: usize, write: impl FnOnce(&mut Vec<u8>), last_db: usize) {
        let mut inner = self.inner.lock();
        if !inner.is_open {
            return;
        }
        if inner.stamps {
            inner.stamp();
        }
        if inner.selected != Some(first_db) {
            inner.select(first_db);
        }
        write(&mut inner.chunk.bytes);
        inner.selected = Some(last_db);
        self.appended(inner);
    }

    #[inline]
    fn appended(&self, mut inner: parking_lot::MutexGuard<'_, Inner>) {
        self.end.store(inner.chunk.end(), Ordering::Release);
        if inner.reader_sleeps && !self.wakes_late.load(Ordering::Relaxed) {
            inner.reader_sleeps = false;
            drop(inner);
            self.wake();
        }
    }

    #[cold]
    fn wake(&self) {
        if let Some(reader) = self.reader.get() {
            reader.unpark();
        }
    }

    /// Wakes the reader if it sleeps.
    pub fn wake_reader(&self) {
        let sleeps = std::mem::take(&mut self.inner.lock().reader_sleeps);
        if sleeps {
            self.wake();
        }
    }

    /// A key has expired: how the stream calls its removal.
    pub(super) fn removal(&self) -> &'static [u8] {
        if self.unlinks.load(Ordering::Relaxed) { b"UNLINK" } else { b"DEL" }
    }

    /// Whether expired keys leave as UNLINK.
    pub fn set_unlinks(&self, unlinks: bool) {
        self.unlinks.store(unlinks, Ordering::Relaxed);
    }

    /// Whether chunks tell when another second begins.
    pub fn set_stamps(&self, stamps: bool) {
        let mut inner = self.inner.lock();
        inner.stamps = stamps;
        inner.last_stamp = 0;
    }

    /// Sets for whom replies wait.
    pub fn set_hold(&self, hold: Option<Hold>) {
        let limit = match hold {
            None => NO_LIMIT,
            Some(Hold::Behind) => MAX_BEHIND_BYTES,
            Some(Hold::All) => 0,
        };
        self.limit.store(limit, Ordering::Relaxed);
        self.wakes_late.store(limit == 0, Ordering::Relaxed);
        self.wake_sleepers(if limit == NO_LIMIT { u64::MAX } else { self.secured() });
    }

    /// Opens the log. To be called while every shard is locked, or before there are clients. Returns the position at
    /// which the stream goes on.
    pub(super) fn open(&self) -> u64 {
        self.inner.lock().is_open = true;
        self.cut()
    }

    /// Closes the log: nothing is appended any more. What was not taken can still be taken.
    pub(super) fn close(&self) {
        self.inner.lock().is_open = false;
    }

    /// Begins anew here: what follows can be read without what came before. Returns the position.
    pub fn cut(&self) -> u64 {
        let mut inner = self.inner.lock();
        inner.selected = None;
        inner.last_stamp = 0;
        inner.chunk.end()
    }

    /// The calling thread is the reader from now on. The first who says so stays.
    pub fn read_here(&self) {
        let _ = self.reader.set(std::thread::current());
    }

    /// Takes what there is, in exchange for `chunk`, whose memory is used again; waits up to `patience` if there is
    /// nothing. To be called by the reader.
    pub fn take(&self, chunk: &mut Chunk, patience: Duration) {
        chunk.bytes.clear();
        chunk.bytes.shrink_to(KEEP_BYTES);
        chunk.stamps.clear();
        let mut inner = self.inner.lock();
        if inner.chunk.bytes.is_empty() && !patience.is_zero() {
            inner.reader_sleeps = true;
            drop(inner);
            std::thread::park_timeout(patience);
            inner = self.inner.lock();
            inner.reader_sleeps = false;
        }
        chunk.from = inner.chunk.end();
        std::mem::swap(&mut inner.chunk, chunk);
    }

    /// Position up to which the stream is secured.
    #[inline]
    pub fn secured(&self) -> u64 {
        self.secured.load(Ordering::Acquire)
    }

    /// States that the stream is secured up to this position, and wakes those who waited for that. Returns how many
    /// these were.
    pub fn secure(&self, position: u64) -> usize {
        self.secured.fetch_max(position, Ordering::AcqRel);
        self.wake_sleepers(position)
    }

    fn wake_sleepers(&self, position: u64) -> usize {
        let mut woken = Vec::new();
        self.sleepers.lock().retain_mut(|(wanted, waker)| {
            let sleeps_on = *wanted > position;
            if !sleeps_on {
                woken.push(std::mem::replace(waker, Waker::noop().clone()));
            }
            sleeps_on
        });
        let count = woken.len();
        woken.into_iter().for_each(Waker::wake);
        count
    }

    /// States whether the stream cannot be secured at the moment. Then reading goes on: only those wait who have
    /// appended something themselves.
    pub fn set_stuck(&self, is_stuck: bool) {
        self.is_stuck.store(is_stuck, Ordering::Relaxed);
        if is_stuck {
            // Those who have appended nothing find out that they need not wait.
            self.wake_sleepers(u64::MAX);
        }
    }

    /// Whether the stream cannot be secured at the moment.
    pub fn is_stuck(&self) -> bool {
        self.is_stuck.load(Ordering::Relaxed)
    }

    /// Bytes that are not taken yet.
    pub fn pending_bytes(&self) -> u64 {
        self.inner.lock().chunk.bytes.len() as u64
    }

    /// Whether even reading has to wait for those who wait.
    pub fn holds_all(&self) -> bool {
        self.limit.load(Ordering::Relaxed) == 0
    }

    /// The position that has to be secured before a client is answered now; `None` if it is. `own` is the position
    /// behind what the client itself has appended last.
    #[inline]
    pub fn hold(&self, own: u64) -> Option<u64> {
        let limit = self.limit.load(Ordering::Relaxed);
        if limit == NO_LIMIT {
            return None;
        }
        let mut wanted = self.end().saturating_sub(limit);
        if self.is_stuck.load(Ordering::Relaxed) {
            wanted = wanted.min(own);
        }
        (wanted > self.secured()).then_some(wanted)
    }

    /// Ready when the stream is secured up to this position; else the task is woken then.
    pub fn poll_secured(&self, cx: &mut Context<'_>, position: u64) -> Poll<()> {
        let is_ready = || self.secured() >= position || self.limit.load(Ordering::Relaxed) == NO_LIMIT;
        if is_ready() {
            return Poll::Ready(());
        }
        {
            let mut sleepers = self.sleepers.lock();
            if is_ready() {
                return Poll::Ready(());
            }
            match sleepers.iter_mut().find(|(_, waker)| waker.will_wake(cx.waker())) {
                Some((wanted, _)) => *wanted = position.min(*wanted),
                None => sleepers.push((position, cx.waker().clone())),
            }
        }
        self.wake_reader();
        Poll::Pending
    }

    /// How many clients wait for the stream to be secured.
    pub fn sleepers(&self) -> usize {
        self.sleepers.lock().len()
    }
}

impl Inner {
    #[cold]
    fn select(&mut self, db: usize) {
        if self.selected != Some(db) {
            encode_select(&mut self.chunk.bytes, db);
            self.selected = Some(db);
        }
    }

    /// Notes that another second has begun.
    fn stamp(&mut self) {
        if self.stamps {
            let now = super::unix_ms() / 1000;
            if now > self.last_stamp {
                self.last_stamp = now;
                self.chunk.stamps.push((self.chunk.bytes.len(), now));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(log: &Log) -> String {
        let mut chunk = Chunk::default();
        log.take(&mut chunk, Duration::ZERO);
        let text = String::from_utf8(chunk.bytes).unwrap();
        let words = text.split("\r\n").filter(|word| !word.starts_with(['*', '$']));
        words.collect::<Vec<_>>().join(" ").trim().to_owned()
    }

    fn append(log: &Log, db: usize, words: &str) {
        let args: Vec<&str> = words.split(' ').collect();
        log.append(db, args.len(), args.iter().map(|arg| arg.as_bytes()));
    }

    fn push(unit: &mut Unit, db: usize, words: &str) {
        let args: Vec<&str> = words.split(' ').collect();
        unit.push(db, args.len(), args.iter().map(|arg| arg.as_bytes()));
    }

    #[test]
    fn the_database_is_named_where_it_changes() {
        let log = Log::default();
        append(&log, 0, "SET lost 1");
        assert_eq!((text(&log).as_str(), log.end()), ("", 0), "it is closed");
        log.open();
        append(&log, 0, "SET a 1");
        append(&log, 0, "SET b 1");
        append(&log, 3, "SET c 1");
        assert_eq!(text(&log), "SELECT 0 SET a 1 SET b 1 SELECT 3 SET c 1");
        append(&log, 3, "SET d 1");
        log.cut();
        append(&log, 3, "SET e 1");
        assert_eq!(text(&log), "SET d 1 SELECT 3 SET e 1");
        log.close();
        append(&log, 3, "SET lost 1");
        assert_eq!(text(&log), "");
    }

    #[test]
    fn only_a_unit_of_several_commands_is_a_transaction() {
        let log = Log::default();
        log.open();
        let mut unit = Unit::default();
        push(&mut unit, 1, "SET a 1");
        log.append_unit(&unit);
        push(&mut unit, 2, "SET b 1");
        push(&mut unit, 2, "DEL b");
        log.append_unit(&unit);
        unit.clear();
        assert!(unit.is_empty());
        append(&log, 2, "SET c 1");
        assert_eq!(text(&log), "SELECT 1 SET a 1 MULTI SET a 1 SELECT 2 SET b 1 DEL b EXEC SET c 1");
    }

    #[test]
    fn positions_go_on_from_chunk_to_chunk() {
        let log = Log::default();
        log.open();
        let mut chunk = Chunk::default();
        let mut position = 0;
        for round in 0..5 {
            (0..round).for_each(|_| append(&log, 0, "INCR n"));
            log.take(&mut chunk, Duration::ZERO);
            assert_eq!(chunk.from, position);
            position = chunk.end();
            assert_eq!(position, log.end());
        }
    }

    #[test]
    fn whoever_must_wait_is_woken_when_its_position_is_secured() {
        let log = Log::default();
        log.open();
        append(&log, 0, "SET a 1");
        assert_eq!(log.hold(0), None);
        log.set_hold(Some(Hold::Behind));
        assert_eq!(log.hold(0), None);
        log.set_hold(Some(Hold::All));
        let wanted = log.hold(0).unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(log.poll_secured(&mut cx, wanted).is_pending());
        assert_eq!(log.sleepers(), 1);
        log.secure(wanted - 1);
        assert_eq!(log.sleepers(), 1);
        log.secure(wanted);
        assert_eq!(log.sleepers(), 0);
        assert!(log.poll_secured(&mut cx, wanted).is_ready());
        assert_eq!(log.hold(0), None);
    }

    #[test]
    fn seconds_are_told_where_units_begin() {
        let log = Log::default();
        log.open();
        log.set_stamps(true);
        append(&log, 0, "SET a 1");
        append(&log, 0, "SET b 1");
        let mut chunk = Chunk::default();
        log.take(&mut chunk, Duration::ZERO);
        assert_eq!(chunk.stamps[0].0, 0);
        assert!(chunk.stamps.len() <= 2);
    }
}
