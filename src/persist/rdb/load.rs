//! A snapshot on its way into a keyspace.
//!
//! One thread reads the file in blocks and finds the records in them; others make entries of them and put them into
//! their shards, which costs most of the time: building values, and waiting for memory. Blocks are cut between records,
//! so a block and the list of its records is all that another thread needs. A record that is larger than a block gets a
//! block of its own, which grows with what has really arrived.
//!
//! What is wrong is found with its offset, and nothing that comes behind it is taken for data.

use super::scan::{self, Fault, Key, Record};
use crate::command::serialize::{self, Limits, Problem};
use crate::config::Config;
use crate::keyspace::access::{self, Access};
use crate::keyspace::fill::Existing;
use crate::keyspace::{Entry, Keyspace, NewValue, Value};
use crate::memory;
use crate::rdb::Corrupt;
use crate::rdb::payload::CHECKSUM;
use crate::rdb::read::{Text, value_in};
use crate::rdb::source::Slice;
use crate::rdb::value::kind;
use crate::types::number;
use parking_lot::Mutex;
use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// What is read at a time: enough work for a thread to be worth handing over.
const BLOCK_BYTES: usize = 1 << 20;

/// Entries put into the keyspace together: so many cache misses overlap.
const FILL_ENTRIES: usize = 64;

/// A key takes no fewer bytes in a file: a bound for what is believed of sizes.
const MIN_KEY_BYTES: u64 = 3;

/// So many keys without elements are named in the log (Redis's figure).
const MAX_EMPTY_LOGGED: u64 = 10;

/// How a snapshot is loaded.
#[derive(Clone, Copy)]
pub struct Options {
    /// Unix milliseconds. Keys that have expired by then are left out, unless `keep_expired`.
    pub now_ms: i64,
    pub keep_expired: bool,
    pub existing: Existing,
    /// `rdbchecksum`
    pub check_sum: bool,
    pub threads: usize,
    pub limits: Limits,
}

impl Options {
    pub fn of(config: &Config, now_ms: i64) -> Options {
        Options {
            now_ms,
            keep_expired: false,
            existing: Existing::Fault,
            check_sum: config.rdbchecksum(),
            threads: config.io_threads(),
            limits: Limits::of(config),
        }
    }
}

/// What is told while a snapshot is loaded.
pub trait Listener: Sync {
    /// So many bytes of the file have been read.
    fn progress(&self, bytes: u64);
    /// A fact about the file.
    fn aux(&self, name: &[u8], value: &[u8]);
    /// The source of a library of functions.
    ///
    /// # Errors
    /// What is wrong with it.
    fn library(&self, source: &[u8]) -> Result<(), String>;
}

/// What was loaded.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Loaded {
    pub keys: u64,
    pub expired_keys: u64,
    /// Collections without elements, which some old versions of Redis left behind.
    pub empty_keys: u64,
    /// Where the snapshot ends in the file, bytes.
    pub bytes: u64,
}

/// Why a snapshot cannot be loaded.
#[derive(Debug)]
pub enum Error {
    Io(io::Error),
    /// The file ends within a record that begins at this offset.
    Short {
        at: u64,
    },
    Signature,
    Version(String),
    Checksum {
        expected: u64,
        got: u64,
    },
    Module {
        name: String,
        at: u64,
    },
    Corrupt {
        at: u64,
        what: &'static str,
        key: Option<Vec<u8>>,
    },
    Duplicate {
        key: Vec<u8>,
        db: usize,
    },
    Database {
        number: u64,
        at: u64,
    },
    Library(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io(error) => write!(f, "{error}"),
            Error::Short { at } => {
                write!(f, "Short read or OOM loading DB. Unrecoverable error, aborting now. (offset {at})")
            }
            Error::Signature => f.write_str("Wrong signature trying to load DB from file"),
            Error::Version(version) => write!(f, "Can't handle RDB format version {version}"),
            Error::Checksum { expected, got } => {
                write!(
                    f,
                    "Wrong RDB checksum expected: ({expected:x}) but got ({got:x}). Aborting now. RDB CRC error"
                )
            }
            Error::Module { name, at } => write!(
                f,
                "The RDB file contains module data I can't load: no matching module type '{name}' (offset {at})"
            ),
            Error::Corrupt { at, what, key: None } => {
                write!(f, "Internal error in RDB reading offset {at} -> {what}")
            }
            Error::Corrupt { at, what, key: Some(key) } => {
                let key = key.escape_ascii();
                write!(f, "Internal error in RDB reading offset {at}, key '{key}' -> {what}")
            }
            Error::Duplicate { key, db } => {
                write!(f, "RDB has duplicated key '{}' in DB {db}", key.escape_ascii())
            }
            Error::Database { number, at } => write!(
                f,
                "FATAL: Data file was created with a server configured to handle more than {number} databases \
                 (offset {at})"
            ),
            Error::Library(why) => write!(f, "Failed loading a library of functions: {why}"),
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::Io(error)
    }
}

/// Part of a file, and the keys in it.
struct Block {
    bytes: Vec<u8>,
    /// Where the bytes begin in the file.
    offset: u64,
    /// Each with its database.
    keys: Vec<(usize, Key)>,
}

/// What the threads share.
struct Shared<'a> {
    keyspace: &'a Keyspace,
    options: Options,
    keys: AtomicU64,
    expired: AtomicU64,
    empty: AtomicU64,
    error: Mutex<Option<Error>>,
    has_failed: AtomicBool,
}

impl Shared<'_> {
    fn fail(&self, error: Error) {
        // The first one counts; the others may follow from it.
        self.error.lock().get_or_insert(error);
        self.has_failed.store(true, Ordering::Relaxed);
    }

    fn work(&self, blocks: &Mutex<Receiver<Block>>) {
        loop {
            let block = blocks.lock().recv();
            let Ok(block) = block else { return };
            if self.has_failed.load(Ordering::Relaxed) {
                continue;
            }
            if let Err(error) = self.fill(&block) {
                self.fail(error);
            }
            memory::publish();
        }
    }

    /// Puts the keys of a block into the keyspace.
    fn fill(&self, block: &Block) -> Result<(), Error> {
        let mut entries = Vec::with_capacity(FILL_ENTRIES);
        let mut keys = block.keys.iter().peekable();
        let mut loaded = 0;
        while let Some((db, key)) = keys.next() {
            if let Some(entry) = self.entry(block, key)? {
                entries.push(entry);
            }
            if entries.len() == FILL_ENTRIES || keys.peek().is_none_or(|(next, _)| next != db) {
                loaded += entries.len() as u64;
                let filled = self.keyspace.fill(*db, &mut entries, self.options.existing);
                filled.map_err(|old| Error::Duplicate { key: old.key().to_vec(), db: *db })?;
            }
        }
        self.keys.fetch_add(loaded, Ordering::Relaxed);
        Ok(())
    }

    /// The entry of a key; nothing if it has expired, or if there is nothing in it.
    fn entry(&self, block: &Block, key: &Key) -> Result<Option<Entry>, Error> {
        let Options { now_ms, keep_expired, limits, .. } = self.options;
        if key.deadline_ms.is_some_and(|deadline| deadline < now_ms) && !keep_expired {
            self.expired.fetch_add(1, Ordering::Relaxed);
            return Ok(None);
        }
        let name = value_in(&mut Slice::from(&block.bytes, key.key.start));
        let corrupt = |corrupt: Corrupt| Error::Corrupt {
            at: block.offset + corrupt.at,
            what: corrupt.what,
            key: name.as_ref().ok().map(|name| name.with(<[u8]>::to_vec)),
        };
        let access = match (key.frequency, key.idle) {
            (Some(frequency), _) if access::is_lfu() => Access::frequent(now_ms, frequency),
            (_, Some(idle)) if !access::is_lfu() => {
                Access::idle(now_ms, u32::try_from(idle).unwrap_or(u32::MAX))
            }
            _ => Access::created(now_ms),
        };
        let mut source = Slice::from(&block.bytes[..key.value.end], key.value.start);
        let entry = |value: Value<'_>| match &name {
            Ok(name) => Ok(name.with(|name| Entry::new(name, value, key.deadline_ms, access))),
            Err(error) => Err(*error),
        };
        let made = if key.kind == kind::STRING {
            match value_in(&mut source).map_err(corrupt)? {
                Text::Int(n) => entry(Value::Int(n.into())),
                Text::Plain(bytes) => match number::parse_i64(bytes) {
                    Some(n) => entry(Value::Int(n)),
                    None => entry(Value::Bytes(bytes)),
                },
                Text::Unpacked(bytes) => NewValue::String(bytes.into()).store(entry),
            }
        } else {
            match serialize::load(key.kind, &mut source, limits) {
                Ok(value) => value.store(entry),
                Err(Problem::Empty) => {
                    if self.empty.fetch_add(1, Ordering::Relaxed) < MAX_EMPTY_LOGGED {
                        let shown = |name: &[u8]| name.escape_ascii().to_string();
                        let name = name.as_ref().map(|name| name.with(shown)).unwrap_or_default();
                        tracing::info!("skipping empty key: {name}");
                    }
                    return Ok(None);
                }
                Err(Problem::Corrupt(error)) => Err(error),
            }
        };
        made.map(Some).map_err(corrupt)
    }
}

/// Loads the snapshot that `file` begins with, which is about `total_bytes` long, into the keyspace.
pub fn load(
    file: impl Read,
    total_bytes: u64,
    keyspace: &Keyspace,
    options: Options,
    listener: &dyn Listener,
) -> Result<Loaded, Error> {
    let shared = Shared {
        keyspace,
        options,
        keys: AtomicU64::new(0),
        expired: AtomicU64::new(0),
        empty: AtomicU64::new(0),
        error: Mutex::new(None),
        has_failed: AtomicBool::new(false),
    };
    let threads = options.threads.max(1);
    let bytes = std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(threads);
        let blocks = Arc::new(Mutex::new(receiver));
        for _ in 0..threads {
            let (shared, blocks) = (&shared, blocks.clone());
            // A thread that the system refuses is done without, as long as there is one.
            let _ = std::thread::Builder::new()
                .name("load".into())
                .spawn_scoped(scope, move || shared.work(&blocks));
        }
        let mut reader = Reader {
            file,
            total_bytes,
            options,
            keyspace,
            listener,
            block: Vec::new(),
            offset: 0,
            version: 0,
            db: 0,
            keys: Vec::new(),
            digest: CHECKSUM.digest(),
        };
        reader.run(&sender, &shared.has_failed)
    });
    if let Some(error) = shared.error.into_inner() {
        return Err(error);
    }
    Ok(Loaded {
        keys: shared.keys.into_inner(),
        expired_keys: shared.expired.into_inner(),
        empty_keys: shared.empty.into_inner(),
        bytes: bytes?,
    })
}

struct Reader<'a, R> {
    file: R,
    total_bytes: u64,
    options: Options,
    keyspace: &'a Keyspace,
    listener: &'a dyn Listener,
    block: Vec<u8>,
    /// Where the block begins in the file.
    offset: u64,
    version: u16,
    db: usize,
    keys: Vec<(usize, Key)>,
    digest: crc::Digest<'static, u64, crc::Table<16>>,
}

impl<R: Read> Reader<'_, R> {
    /// Hands out blocks until the end of the snapshot. Returns where that is.
    fn run(&mut self, blocks: &SyncSender<Block>, has_failed: &AtomicBool) -> Result<u64, Error> {
        let mut wanted = BLOCK_BYTES;
        loop {
            let missing = wanted.saturating_sub(self.block.len());
            self.block.reserve_exact(missing);
            let read = self.file.by_ref().take(missing as u64).read_to_end(&mut self.block)?;
            let is_last = read < missing;
            let (mut at, mut end) = (0, None);
            while end.is_none() {
                match scan::record(&self.block, at, self.version) {
                    Ok((record, next)) => {
                        if let Record::End { checksum } = record {
                            end = Some((next, checksum));
                        } else {
                            self.take(record, at)?;
                            at = next;
                        }
                    }
                    Err(Fault::Short) => break,
                    Err(fault) => return Err(self.error(fault, at)),
                }
            }
            if let Some((next, checksum)) = end {
                self.check(at, checksum)?;
                self.hand_over(next, blocks);
                return Ok(self.offset);
            }
            if is_last {
                return Err(match self.version {
                    0 if self.block.len() >= super::SIGNATURE.len()
                        && !self.block.starts_with(super::SIGNATURE) =>
                    {
                        Error::Signature
                    }
                    _ => Error::Short { at: self.offset + at as u64 },
                });
            }
            if has_failed.load(Ordering::Relaxed) {
                return Ok(0);
            }
            // A record that does not fit is tried again with twice as much.
            wanted = if at == 0 { wanted * 2 } else { BLOCK_BYTES };
            if at > 0 {
                self.digest.update(&self.block[..at]);
                self.hand_over(at, blocks);
            }
        }
    }

    /// Gives what is in front of `end` to the other threads.
    fn hand_over(&mut self, end: usize, blocks: &SyncSender<Block>) {
        let mut rest = Vec::with_capacity(BLOCK_BYTES.max(self.block.len() - end));
        rest.extend_from_slice(&self.block[end..]);
        self.block.truncate(end);
        let bytes = std::mem::replace(&mut self.block, rest);
        let block = Block { bytes, offset: self.offset, keys: std::mem::take(&mut self.keys) };
        self.offset += end as u64;
        self.listener.progress(self.offset);
        if !block.keys.is_empty() {
            // They are all there until this ends.
            let _ = blocks.send(block);
        }
    }

    fn take(&mut self, record: Record, at: usize) -> Result<(), Error> {
        match record {
            Record::Begin(version) => self.version = version,
            Record::Aux { name, value } => self.listener.aux(&name, &value),
            Record::Select(number) => {
                let db = usize::try_from(number).ok().filter(|db| *db < self.keyspace.databases());
                self.db = db.ok_or(Error::Database { number, at: self.offset + at as u64 })?;
            }
            Record::Resize { keys, .. } => {
                let possible = (self.total_bytes / MIN_KEY_BYTES) as usize;
                self.keyspace.reserve(self.db, possible.min(usize::try_from(keys).unwrap_or(possible)));
            }
            Record::Library(source) => self.listener.library(&source).map_err(Error::Library)?,
            Record::ModuleAux { name } => {
                tracing::warn!("The RDB file has data of the module '{name}', which is passed over");
            }
            Record::Key(key) => self.keys.push((self.db, key)),
            Record::End { .. } => {}
        }
        Ok(())
    }

    fn error(&self, fault: Fault, at: usize) -> Error {
        let at = self.offset + at as u64;
        match fault {
            Fault::Short => Error::Short { at },
            Fault::Signature => Error::Signature,
            Fault::Version(digits) => Error::Version(digits.escape_ascii().to_string()),
            Fault::Module(name) => Error::Module { name, at },
            Fault::Corrupt(Corrupt { at, what }) => Error::Corrupt { at: self.offset + at, what, key: None },
        }
    }

    /// Compares the checksum with that of everything up to the end mark at `at`.
    fn check(&mut self, at: usize, checksum: Option<u64>) -> Result<(), Error> {
        self.digest.update(&self.block[..=at]);
        let Some(expected) = checksum.filter(|_| self.options.check_sum) else { return Ok(()) };
        if expected == 0 {
            tracing::info!("RDB file was saved with checksum disabled: no check performed.");
            return Ok(());
        }
        let got = self.digest.clone().finalize();
        if got == expected { Ok(()) } else { Err(Error::Checksum { expected, got }) }
    }
}
