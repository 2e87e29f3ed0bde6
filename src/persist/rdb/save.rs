//! Entries on their way into a snapshot's file.
//!
//! A [`Saver`] is the [`Sink`] of a snapshot. Entries come from the walker and from writers; each of the two
//! lanes has a buffer, in which records stand whole but for the last one of the walker's, of which there may be a part.
//! When the walker breathes, what the buffers hold goes to the file: writers' records only between two of the walker's.
//! Each buffer knows which database it has last selected. Large strings are not copied while their shard is locked, but
//! shared, and written (and compressed) from where they are.

use super::file::NewFile;
use super::{SIGNATURE, opcode};
use crate::command::serialize;
use crate::keyspace::access;
use crate::keyspace::snapshot::{Control, Cut, Lane, Sink};
use crate::keyspace::{Entry, StringRef};
use crate::memory;
use crate::rdb::payload::{VERSION, VERSION_DEADLINES};
use crate::rdb::value::kind;
use crate::rdb::write::{Output, Writer};
use crate::state::Server;
use bytes::Bytes;
use parking_lot::Mutex;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A buffer that holds more goes to the file: enough for one system call to be worth it.
const WRITE_FROM_BYTES: usize = 256 << 10;

/// How soon a delay ends when the snapshot is cancelled.
const DELAY_STEP: Duration = Duration::from_millis(10);

/// Which facts about keys are written, as `maxmemory-policy` wants them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AccessFacts {
    None,
    Idle,
    Frequency,
}

/// How a snapshot is written.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// `rdbcompression`
    pub compress: bool,
    pub access: AccessFacts,
    /// The file is the base of a log (`aof-base`).
    pub is_log_base: bool,
    /// `rdb-key-save-delay`: the walker waits for so long behind each key.
    pub key_delay: Duration,
}

/// Records that wait to be written.
#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    /// Strings that belong into `bytes` at these offsets, which ascend.
    shared: Vec<(usize, Bytes)>,
    shared_bytes: usize,
    /// The database that the next record belongs to, if the buffer has said so.
    selected: Option<usize>,
    /// The last record is not complete.
    is_open: bool,
    keys: u64,
}

impl Buffer {
    fn len(&self) -> usize {
        self.bytes.len() + self.shared_bytes
    }

    /// Takes what there is.
    fn take(&mut self) -> Buffer {
        let spare = Vec::with_capacity(self.bytes.capacity().min(2 * WRITE_FROM_BYTES));
        let rest =
            Buffer { bytes: spare, selected: self.selected, is_open: self.is_open, ..Buffer::default() };
        std::mem::replace(self, rest)
    }
}

/// The file, until it is complete or given up.
struct Target {
    file: Option<NewFile>,
    error: Option<io::Error>,
}

impl Target {
    /// Does something with the file. After an error it is given up.
    fn attempt(&mut self, f: impl FnOnce(&mut NewFile) -> io::Result<()>) {
        if let Some(Err(error)) = self.file.as_mut().map(f) {
            (self.file, self.error) = (None, Some(error));
        }
    }
}

/// Sizes of the databases at the cut, to be written when they are first selected.
type Sizes = Vec<(usize, usize, usize)>;

/// Takes the entries of a snapshot and writes them to a file.
pub struct Saver {
    options: Options,
    /// Unix milliseconds of the cut.
    now_ms: std::sync::atomic::AtomicI64,
    walker: Mutex<Buffer>,
    writers: Mutex<Buffer>,
    sizes: Mutex<Sizes>,
    target: Mutex<Target>,
    snapshot: OnceLock<Control>,
}

/// What stands in front of the keys beside sizes.
#[derive(Clone, Default, Debug)]
pub struct Facts {
    /// Sources of libraries of functions.
    pub libraries: Vec<Vec<u8>>,
    /// Bytes of memory in use.
    pub used_bytes: u64,
}

impl Facts {
    /// As of now.
    pub fn of(server: &Server) -> Facts {
        let libraries = server.scripting.functions.current();
        Facts {
            libraries: libraries.iter().map(|library| library.text.to_vec()).collect(),
            used_bytes: memory::used_bytes() as u64,
        }
    }
}

impl Saver {
    pub fn new(file: NewFile, options: Options) -> Arc<Saver> {
        Arc::new(Saver {
            options,
            now_ms: 0.into(),
            walker: Mutex::default(),
            writers: Mutex::default(),
            sizes: Mutex::default(),
            target: Mutex::new(Target { file: Some(file), error: None }),
            snapshot: OnceLock::new(),
        })
    }

    /// States which snapshot this is for.
    pub fn belongs_to(&self, snapshot: Control) {
        let _ = self.snapshot.set(snapshot);
    }

    /// Waits for the time that the keys take since the last breath, or until nobody wants the snapshot any more.
    fn delay(&self) {
        let keys = std::mem::take(&mut self.walker.lock().keys);
        let end = Instant::now() + self.options.key_delay * keys as u32;
        while Instant::now() < end && !self.snapshot.get().is_some_and(Control::is_cancelled) {
            std::thread::sleep(end.saturating_duration_since(Instant::now()).min(DELAY_STEP));
        }
    }

    /// To be called at the cut: writes what stands in front of all keys, into memory.
    pub fn begin(&self, cut: &Cut, facts: &Facts) {
        self.now_ms.store(cut.at_ms, std::sync::atomic::Ordering::Relaxed);
        let has_field_deadlines = cut.databases.iter().any(|(_, counts)| counts.timed_hashes > 0);
        let version = if has_field_deadlines { VERSION_DEADLINES } else { VERSION };
        let mut buffer = self.walker.lock();
        let mut writer = Writer { out: &mut buffer.bytes, compress: self.options.compress };
        writer.out.put(SIGNATURE);
        writer.out.put(format!("{version:04}").as_bytes());
        let mut aux = |name: &str, value: &str| {
            writer.byte(opcode::AUX);
            writer.string(name.as_bytes());
            writer.string(value.as_bytes());
        };
        aux("redis-ver", crate::REDIS_VERSION);
        aux("redis-bits", &usize::BITS.to_string());
        aux("ctime", &(cut.at_ms / 1000).to_string());
        aux("used-mem", &facts.used_bytes.to_string());
        aux("aof-base", if self.options.is_log_base { "1" } else { "0" });
        for library in &facts.libraries {
            writer.byte(opcode::FUNCTION);
            writer.string(library);
        }
        *self.sizes.lock() =
            cut.databases.iter().map(|(db, counts)| (*db, counts.keys, counts.deadlines)).collect();
    }

    /// Writes what is left, and the end. The snapshot has to be over.
    ///
    /// # Errors
    /// Whatever kept the file from being written, now or before.
    pub fn finish(&self, name: &Path) -> io::Result<u64> {
        self.write_out(0);
        let mut target = self.target.lock();
        if let Some(error) = target.error.take() {
            return Err(error);
        }
        let mut file = target.file.take().expect("a file is finished once");
        file.write(&[opcode::END])?;
        let checksum = file.checksum();
        file.write(&checksum.to_le_bytes())?;
        let bytes = file.bytes();
        file.complete(name)?;
        Ok(bytes)
    }

    /// What kept the file from being written.
    pub fn take_error(&self) -> Option<io::Error> {
        self.target.lock().error.take()
    }

    /// Gives the file up.
    pub fn abandon(&self) {
        self.target.lock().file = None;
    }

    /// Writes buffers that hold more than this.
    fn write_out(&self, above_bytes: usize) {
        let mut walker = self.walker.lock();
        let is_open = walker.is_open;
        let mut from_walker = (walker.len() > above_bytes).then(|| walker.take());
        let mut from_writers = None;
        if !is_open {
            let mut writers = self.writers.lock();
            if writers.len() > above_bytes {
                from_writers = Some(writers.take());
                writers.selected = None;
                // Whatever the walker adds comes behind.
                from_walker = from_walker.or_else(|| Some(walker.take()));
                walker.selected = None;
            }
        }
        drop(walker);
        let mut target = self.target.lock();
        for buffer in from_walker.into_iter().chain(from_writers) {
            target.attempt(|file| self.write_buffer(file, &buffer));
        }
    }

    fn write_buffer(&self, file: &mut NewFile, buffer: &Buffer) -> io::Result<()> {
        let mut at = 0;
        for (offset, string) in &buffer.shared {
            file.write(&buffer.bytes[at..*offset])?;
            at = *offset;
            let mut writer = Writer { out: Vec::new(), compress: self.options.compress };
            if !writer.compressed(string) {
                writer.length(string.len() as u64);
                file.write(&writer.out)?;
                file.write(string)?;
            } else {
                file.write(&writer.out)?;
            }
        }
        file.write(&buffer.bytes[at..])
    }

    /// The facts in front of a key's value, and the key.
    fn head(&self, buffer: &mut Buffer, db: usize, entry: &Entry, kind: u8) {
        let mut writer = Writer { out: &mut buffer.bytes, compress: false };
        if buffer.selected.replace(db) != Some(db) {
            writer.byte(opcode::SELECT_DB);
            writer.length(db as u64);
            let mut sizes = self.sizes.lock();
            if let Some(at) = sizes.iter().position(|(other, ..)| *other == db) {
                let (_, keys, deadlines) = sizes.remove(at);
                writer.byte(opcode::RESIZE_DB);
                writer.length(keys as u64);
                writer.length(deadlines as u64);
            }
        }
        if let Some(deadline) = entry.deadline() {
            writer.byte(opcode::DEADLINE_MS);
            writer.millis(deadline);
        }
        let now_ms = self.now_ms.load(std::sync::atomic::Ordering::Relaxed);
        match self.options.access {
            AccessFacts::None => {}
            AccessFacts::Idle => {
                writer.byte(opcode::IDLE);
                writer.length(entry.access().idle_seconds(now_ms).into());
            }
            AccessFacts::Frequency => {
                writer.byte(opcode::FREQUENCY);
                writer.byte(entry.access().frequency(now_ms));
            }
        }
        writer.byte(kind);
        writer.string(entry.key());
    }
}

impl Sink for Saver {
    fn save(&self, lane: Lane, db: usize, entry: &Entry, from: u64, budget: usize) -> Option<u64> {
        let (buffer, compress) = match lane {
            Lane::Walker => (&self.walker, self.options.compress),
            // Whoever waits for this one wants to be gone; strings may be compressed or not, one by one.
            Lane::Writers => (&self.writers, false),
        };
        let mut buffer = buffer.lock();
        let buffer = &mut *buffer;
        if from == 0 {
            buffer.keys += 1;
            if let Some(StringRef::Shared(bytes)) = entry.string() {
                self.head(buffer, db, entry, kind::STRING);
                buffer.shared.push((buffer.bytes.len(), bytes.clone()));
                buffer.shared_bytes += bytes.len();
                return None;
            }
        }
        let now_ms = self.now_ms.load(std::sync::atomic::Ordering::Relaxed);
        // A hash all of whose fields have expired is not there.
        let value = serialize::Saving::of(entry, now_ms)?;
        if from == 0 {
            self.head(buffer, db, entry, value.kind());
        }
        let mut writer = Writer { out: &mut buffer.bytes, compress };
        let next = value.write_part(&mut writer, from, budget);
        if lane == Lane::Walker {
            buffer.is_open = next.is_some();
        }
        next
    }

    fn breathe(&self) -> bool {
        if !self.options.key_delay.is_zero() {
            self.delay();
        }
        self.write_out(WRITE_FROM_BYTES);
        self.target.lock().error.is_none()
    }
}

/// The directives' wishes for a snapshot.
impl Options {
    pub fn of(config: &crate::config::Config, is_log_base: bool) -> Options {
        use crate::config::choice::EvictionPolicy as Policy;
        let access = match config.maxmemory_policy() {
            Policy::AllkeysLru | Policy::VolatileLru => AccessFacts::Idle,
            _ if access::is_lfu() => AccessFacts::Frequency,
            _ => AccessFacts::None,
        };
        Options {
            compress: config.rdbcompression(),
            access,
            is_log_base,
            key_delay: Duration::from_micros(config.rdb_key_save_delay().max(0) as u64),
        }
    }
}
