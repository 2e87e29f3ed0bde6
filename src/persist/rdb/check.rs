//! `nuthatch check-rdb FILE`: looks through a snapshot without loading it, and says what it finds in the words of
//! Redis's tool. Values are read to their ends, so that what passes here can be loaded.

use super::opcode;
use super::scan::{self, Fault, Key, Record};
use crate::command::serialize::{self, Limits, Problem};
use crate::config::Config;
use crate::keyspace::unix_ms;
use crate::rdb::payload::CHECKSUM;
use crate::rdb::read::{length, value_in};
use crate::rdb::skip;
use crate::rdb::source::Slice;
use crate::rdb::value::kind;
use crate::rdb::{Corrupt, Source};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// What is read at a time.
const BLOCK_BYTES: usize = 1 << 20;

/// What a check was about when it ended, as Redis's tool calls it.
#[derive(Default)]
struct Scene {
    doing: &'static str,
    key: Option<Vec<u8>>,
    kind: u8,
}

#[derive(Default)]
struct Counts {
    keys: u64,
    deadlines: u64,
    expired: u64,
}

/// Checks the file and prints what is in it. Returns the exit code.
pub fn run(path: &Path) -> i32 {
    let mut report = String::new();
    let is_right = File::open(path).is_ok_and(|file| check(file, path, &mut report));
    print!("{report}");
    i32::from(!is_right)
}

/// Checks a file; appends what there is to say to `report`.
pub fn check(file: impl Read, path: &Path, report: &mut String) -> bool {
    check_prefix(file, path, report).is_some()
}

/// As [`check`], for what a file begins with. Returns where that ends, if nothing is wrong with it.
pub fn check_prefix(file: impl Read, path: &Path, report: &mut String) -> Option<u64> {
    let mut checker = Checker {
        file,
        block: Vec::new(),
        offset: 0,
        at: 0,
        version: 0,
        digest: CHECKSUM.digest(),
        limits: Limits::of(&Config::new()),
        now_ms: unix_ms(),
        scene: Scene { doing: "start", ..Scene::default() },
        counts: Counts::default(),
        report,
    };
    checker.say(0, format_args!("Checking RDB file {}", path.display()));
    let result = checker.run();
    let end = checker.position();
    let Counts { keys, deadlines, expired } = checker.counts;
    match &result {
        Ok(()) => checker.say(checker.position(), format_args!("\\o/ RDB looks OK! \\o/")),
        Err(error) => {
            let scene = std::mem::take(&mut checker.scene);
            checker.line(format_args!("--- RDB ERROR DETECTED ---"));
            checker.say(error.at, format_args!("{}", error.what));
            checker.line(format_args!("[additional info] While doing: {}", scene.doing));
            if let Some(key) = &scene.key {
                checker.line(format_args!("[additional info] Reading key '{}'", key.escape_ascii()));
            }
            checker.line(format_args!(
                "[additional info] Reading type {} ({})",
                scene.kind,
                type_name(scene.kind)
            ));
        }
    }
    checker.line(format_args!("[info] {keys} keys read"));
    checker.line(format_args!("[info] {deadlines} expires"));
    checker.line(format_args!("[info] {expired} already expired"));
    result.ok().map(|()| end)
}

/// What is wrong, and where in the file.
struct Wrong {
    at: u64,
    what: String,
}

struct Checker<'a, R> {
    file: R,
    block: Vec<u8>,
    /// Where the block begins in the file.
    offset: u64,
    /// The next record in the block.
    at: usize,
    version: u16,
    digest: crc::Digest<'static, u64, crc::Table<16>>,
    limits: Limits,
    now_ms: i64,
    scene: Scene,
    counts: Counts,
    report: &'a mut String,
}

impl<R: Read> Checker<'_, R> {
    fn position(&self) -> u64 {
        self.offset + self.at as u64
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.report, "{line}").expect("a string takes all");
    }

    fn say(&mut self, at: u64, what: std::fmt::Arguments<'_>) {
        self.line(format_args!("[offset {at}] {what}"));
    }

    /// Reads more behind what is left of the block. Returns whether that was all there is.
    fn read_on(&mut self, wanted: usize) -> io::Result<bool> {
        self.digest.update(&self.block[..self.at]);
        self.block.drain(..self.at);
        self.offset += self.at as u64;
        self.at = 0;
        let missing = wanted.saturating_sub(self.block.len());
        let read = self.file.by_ref().take(missing as u64).read_to_end(&mut self.block)?;
        Ok(read < missing)
    }

    fn run(&mut self) -> Result<(), Wrong> {
        let mut wanted = BLOCK_BYTES;
        loop {
            let is_last =
                self.read_on(wanted).map_err(|error| Wrong { at: self.offset, what: error.to_string() })?;
            wanted = BLOCK_BYTES.max(2 * self.block.len());
            loop {
                match scan::record(&self.block, self.at, self.version) {
                    Ok((Record::End { checksum }, next)) => return self.end(next, checksum),
                    Ok((record, next)) => {
                        self.record(record, next)?;
                        self.at = next;
                    }
                    Err(Fault::Short) if !is_last => break,
                    Err(fault) => return Err(self.wrong(fault)),
                }
            }
        }
    }

    fn record(&mut self, record: Record, next: usize) -> Result<(), Wrong> {
        let behind = self.offset + next as u64;
        match record {
            Record::Begin(version) => self.version = version,
            Record::Aux { name, value } => {
                let (name, value) = (String::from_utf8_lossy(&name), String::from_utf8_lossy(&value));
                self.say(behind, format_args!("AUX FIELD {name} = '{value}'"));
            }
            Record::Select(db) => self.say(behind, format_args!("Selecting DB ID {db}")),
            Record::ModuleAux { name } => self.say(behind, format_args!("MODULE AUX for: {name}")),
            Record::Resize { .. } | Record::Library(_) | Record::End { .. } => {}
            Record::Key(key) => self.key(&key)?,
        }
        Ok(())
    }

    fn key(&mut self, key: &Key) -> Result<(), Wrong> {
        self.scene = Scene { doing: "read-key", key: None, kind: key.kind };
        let offset = self.offset;
        let wrong = |corrupt: Corrupt| Wrong { at: offset + corrupt.at, what: corrupt.what.into() };
        let name = value_in(&mut Slice::from(&self.block, key.key.start)).map_err(wrong)?;
        self.scene.key = Some(name.with(<[u8]>::to_vec));
        self.scene.doing = "read-object-value";
        let mut source = Slice::from(&self.block[..key.value.end], key.value.start);
        match serialize::load(key.kind, &mut source, self.limits) {
            Ok(_) | Err(Problem::Empty) => {}
            Err(Problem::Corrupt(corrupt)) => return Err(wrong(corrupt)),
        }
        self.counts.keys += 1;
        self.counts.deadlines += u64::from(key.deadline_ms.is_some());
        self.counts.expired += u64::from(key.deadline_ms.is_some_and(|deadline| deadline < self.now_ms));
        self.scene.key = None;
        Ok(())
    }

    fn end(&mut self, next: usize, checksum: Option<u64>) -> Result<(), Wrong> {
        self.digest.update(&self.block[..=self.at]);
        self.at = next;
        let at = self.position();
        self.scene = Scene { doing: "check-sum", ..Scene::default() };
        match checksum {
            None => {}
            Some(0) => {
                self.say(at, format_args!("RDB file was saved with checksum disabled: no check performed."))
            }
            Some(expected) if expected == self.digest.clone().finalize() => {
                self.say(at, format_args!("Checksum OK"));
            }
            Some(_) => return Err(Wrong { at, what: "RDB CRC error".into() }),
        }
        Ok(())
    }

    /// Finds out what the record that is wrong was to be.
    fn wrong(&mut self, fault: Fault) -> Wrong {
        let mut at = self.position();
        self.scene = self.scene_of_fault();
        let what = match fault {
            Fault::Short => {
                at = self.offset + self.block.len() as u64;
                "Unexpected EOF reading RDB file".to_owned()
            }
            Fault::Signature => {
                at = (super::SIGNATURE.len() + super::VERSION_DIGITS) as u64;
                "Wrong signature trying to load DB from file".to_owned()
            }
            Fault::Version(digits) => {
                at = (super::SIGNATURE.len() + super::VERSION_DIGITS) as u64;
                format!("Can't handle RDB format version {}", digits.escape_ascii())
            }
            Fault::Module(name) => {
                format!("The RDB file contains module data I can't load: no matching module type '{name}'")
            }
            Fault::Corrupt(corrupt) => {
                at = self.offset + corrupt.at;
                corrupt.what.to_owned()
            }
        };
        Wrong { at, what }
    }

    fn scene_of_fault(&self) -> Scene {
        let scene = |doing| Scene { doing, ..Scene::default() };
        if self.version == 0 {
            return scene("start");
        }
        let mut source = Slice::from(&self.block, self.at);
        loop {
            let Ok(mark) = source.byte() else { return scene("read-type") };
            let passed = match mark {
                opcode::DEADLINE_MS => source.pass(8),
                opcode::DEADLINE_S => source.pass(4),
                opcode::IDLE => length(&mut source).map(drop),
                opcode::FREQUENCY => source.pass(1),
                opcode::SLOT_INFO | opcode::SELECT_DB | opcode::RESIZE_DB => return scene("read-len"),
                opcode::AUX => return scene("read-aux"),
                opcode::MODULE_AUX => return scene("read-module-aux"),
                opcode::FUNCTION | opcode::FUNCTION_EARLY => return scene("read-functions"),
                opcode::END => return scene("check-sum"),
                kind => {
                    let mut ahead = source.clone();
                    return match (value_in(&mut source), skip::string(&mut ahead)) {
                        (Ok(key), Ok(())) => {
                            Scene { doing: "read-object-value", key: Some(key.with(<[u8]>::to_vec)), kind }
                        }
                        _ => Scene { doing: "read-key", key: None, kind },
                    };
                }
            };
            if passed.is_err() {
                return scene("read-expire");
            }
        }
    }
}

/// What Redis's tool calls a kind.
fn type_name(kind: u8) -> &'static str {
    match kind {
        kind::STRING => "string",
        kind::LIST => "list-linked",
        kind::SET => "set-hashtable",
        kind::SORTED_SET_TEXT => "zset-v1",
        kind::HASH => "hash-hashtable",
        kind::SORTED_SET => "zset-v2",
        6 => "module-pre-release",
        7 => "module-value",
        kind::HASH_ZIPMAP => "hash-zipmap",
        kind::LIST_ZIPLIST => "list-ziplist",
        kind::SET_INTSET => "set-intset",
        kind::SORTED_SET_ZIPLIST => "zset-ziplist",
        kind::HASH_ZIPLIST => "hash-ziplist",
        kind::LIST_QUICKLIST => "quicklist",
        kind::STREAM => "stream",
        kind::HASH_LISTPACK => "hash-listpack",
        kind::SORTED_SET_LISTPACK => "zset-listpack",
        kind::LIST_QUICKLIST_2 => "quicklist-v2",
        kind::STREAM_2 => "stream-v2",
        kind::SET_LISTPACK => "set-listpack",
        kind::STREAM_3 => "stream-v3",
        kind::HASH_DEADLINES | kind::HASH_DEADLINES_EARLY => "hash-hashtable-md",
        kind::HASH_LISTPACK_DEADLINES | kind::HASH_LISTPACK_DEADLINES_EARLY => "hash-listpack-md",
        _ => "unknown",
    }
}
