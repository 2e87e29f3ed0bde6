//! Records of a snapshot, found in bytes that arrive in blocks. A key's value is passed over, not read: whoever wants
//! it knows where it is.

use super::{CHECKSUM_BYTES, CHECKSUM_FROM_VERSION, SIGNATURE, VERSION_DIGITS, opcode};
use crate::rdb::payload::MAX_VERSION;
use crate::rdb::read::{Text, length, value_in};
use crate::rdb::source::{Slice, TOO_SHORT};
use crate::rdb::{Corrupt, Source, skip};
use std::ops::Range;

/// Kinds of values that modules defined.
const MODULE: u8 = 6;
const MODULE_2: u8 = 7;

/// What the values of a module are made of, each with its mark; then comes the end mark.
mod module {
    pub const END: u64 = 0;
    pub const SIGNED: u64 = 1;
    pub const UNSIGNED: u64 = 2;
    pub const FLOAT: u64 = 3;
    pub const DOUBLE: u64 = 4;
    pub const STRING: u64 = 5;
}

/// A key with its value, as offsets into the block.
#[derive(Clone, Debug)]
pub struct Key {
    /// Where the record begins, what is said of the key included.
    pub at: usize,
    pub deadline_ms: Option<i64>,
    /// Seconds since the last access.
    pub idle: Option<u64>,
    pub frequency: Option<u8>,
    pub kind: u8,
    pub key: Range<usize>,
    pub value: Range<usize>,
}

/// What is in a file.
#[derive(Debug)]
pub enum Record {
    /// The header, with the version.
    Begin(u16),
    Aux {
        name: Vec<u8>,
        value: Vec<u8>,
    },
    Select(u64),
    Resize {
        keys: u64,
        deadlines: u64,
    },
    /// The source of a library of functions.
    Library(Vec<u8>),
    /// Data of a module that belongs to no key. The name is the module's.
    ModuleAux {
        name: String,
    },
    Key(Key),
    /// The end, with the checksum if this version has any.
    End {
        checksum: Option<u64>,
    },
}

/// What is wrong with a file, or why it ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// There is not enough for a whole record.
    Short,
    Signature,
    Version(Vec<u8>),
    /// A value of a module, with its name.
    Module(String),
    /// What is at this offset of the block.
    Corrupt(Corrupt),
}

impl From<Corrupt> for Fault {
    fn from(corrupt: Corrupt) -> Fault {
        if corrupt.what == TOO_SHORT { Fault::Short } else { Fault::Corrupt(corrupt) }
    }
}

/// The name of a module's type, which its number stands for: nine characters of 6 bits, and 10 bits of a version.
fn module_name(id: u64) -> String {
    const CHARACTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    (0..9).rev().map(|at| CHARACTERS[(id >> (10 + 6 * at) & 63) as usize] as char).collect()
}

/// Reads what stands in front of everything: the version.
fn begin(source: &mut Slice<'_>) -> Result<u16, Fault> {
    let header = source.part((SIGNATURE.len() + VERSION_DIGITS) as u64)?;
    let (signature, digits) = header.split_at(SIGNATURE.len());
    if signature != SIGNATURE {
        return Err(Fault::Signature);
    }
    let version = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<u16>().ok());
    version.filter(|version| (1..=MAX_VERSION).contains(version)).ok_or(Fault::Version(digits.to_vec()))
}

fn text(source: &mut Slice<'_>) -> Result<Vec<u8>, Fault> {
    Ok(match value_in(source)? {
        Text::Plain(bytes) => bytes.to_vec(),
        Text::Int(n) => n.to_string().into_bytes(),
        Text::Unpacked(bytes) => bytes,
    })
}

/// Passes over what a module has written.
fn skip_module(source: &mut Slice<'_>) -> Result<(), Fault> {
    loop {
        match length(source)? {
            module::END => return Ok(()),
            module::SIGNED | module::UNSIGNED => drop(length(source)?),
            module::FLOAT => source.pass(4)?,
            module::DOUBLE => source.pass(8)?,
            module::STRING => skip::string(source)?,
            _ => return Err(source.corrupt("unknown part of a module's value").into()),
        }
    }
}

/// The record at offset `at` of the bytes, and where the next one begins. `version` is that of the header, 0 before it.
pub fn record(bytes: &[u8], at: usize, version: u16) -> Result<(Record, usize), Fault> {
    let mut source = Slice::from(bytes, at);
    let record = match version {
        0 => Record::Begin(begin(&mut source)?),
        _ => read(&mut source, at, version)?,
    };
    Ok((record, source.position() as usize))
}

fn read(source: &mut Slice<'_>, at: usize, version: u16) -> Result<Record, Fault> {
    let mut key = Key { at, deadline_ms: None, idle: None, frequency: None, kind: 0, key: 0..0, value: 0..0 };
    loop {
        let mark = source.byte()?;
        return Ok(match mark {
            opcode::DEADLINE_MS => {
                key.deadline_ms = Some(i64::from_le_bytes(source.array()?));
                continue;
            }
            opcode::DEADLINE_S => {
                key.deadline_ms = Some(i64::from(i32::from_le_bytes(source.array()?)) * 1000);
                continue;
            }
            opcode::IDLE => {
                key.idle = Some(length(source)?);
                continue;
            }
            opcode::FREQUENCY => {
                key.frequency = Some(source.byte()?);
                continue;
            }
            opcode::SLOT_INFO => {
                for _ in 0..3 {
                    length(source)?;
                }
                continue;
            }
            opcode::AUX => Record::Aux { name: text(source)?, value: text(source)? },
            opcode::SELECT_DB => Record::Select(length(source)?),
            opcode::RESIZE_DB => Record::Resize { keys: length(source)?, deadlines: length(source)? },
            opcode::FUNCTION => Record::Library(text(source)?),
            opcode::FUNCTION_EARLY => {
                return Err(source.corrupt("Pre-release function format not supported.").into());
            }
            opcode::MODULE_AUX => {
                let id = length(source)?;
                // When it was saved: before or after the keys.
                length(source)?;
                length(source)?;
                skip_module(source)?;
                Record::ModuleAux { name: module_name(id) }
            }
            opcode::END if version < CHECKSUM_FROM_VERSION => Record::End { checksum: None },
            opcode::END => {
                Record::End { checksum: Some(u64::from_le_bytes(source.array::<CHECKSUM_BYTES>()?)) }
            }
            kind => {
                let key_at = source.position() as usize;
                skip::string(source)?;
                let value_at = source.position() as usize;
                if matches!(kind, MODULE | MODULE_2) {
                    return Err(Fault::Module(module_name(length(source)?)));
                }
                if kind > crate::rdb::value::kind::HASH_LISTPACK_DEADLINES {
                    let what = crate::rdb::value::UNKNOWN_KIND;
                    return Err(Fault::Corrupt(Corrupt { at: key_at as u64 - 1, what }));
                }
                skip::value(kind, source)?;
                key.kind = kind;
                key.key = key_at..value_at;
                key.value = value_at..source.position() as usize;
                Record::Key(key)
            }
        });
    }
}
